//! The rules one by one. Their worked cases, and a plain model of them all, are in files of their own.

use super::*;
use crate::format::label::MediaLabel;

mod model;
mod worked_cases;
mod worm;

struct World {
    _folder: tempfile::TempDir,
    state: StateDir,
    pool: PoolConfig,
    reach: Reach,
}

impl World {
    fn new(allocation: &str, retention: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let mut pool = PoolConfig::new("p1");
        pool.allocation = allocation.parse().unwrap();
        pool.retention = retention.parse().unwrap();
        World { _folder: folder, state, pool, reach: Reach::StandAlone }
    }

    fn tape(&self, text: &str, pool: Option<&str>, ctime: i64) -> Uuid {
        let uuid = Uuid::new_v4();
        let label =
            MediaLabel { ctime, label_text: text.into(), pool: pool.map(str::to_string), uuid };
        let mut inventory = Inventory::load(&self.state).unwrap();
        inventory.store(MediaId { label, media_set_label: None }, false).unwrap();
        uuid
    }

    fn put_into_set(&self, media: &Uuid, set: Uuid, seq_nr: u64, ctime: i64) {
        crate::testing::put_into_set(&self.state, media, set, seq_nr, ctime);
    }

    fn status(&self, media: &Uuid, status: MediaStatus) {
        Inventory::load(&self.state).unwrap().set_status(media, Some(status)).unwrap();
    }

    fn open(&self) -> MediaPool {
        MediaPool::open_for_writing(&self.state, self.pool.clone(), self.reach.clone()).unwrap()
    }

    fn session(&self, now: i64) -> (MediaPool, Option<String>) {
        let mut pool = self.open();
        let reason = pool.start_write_session(now, false).unwrap();
        (pool, reason)
    }
}

fn is_expired(pool: &MediaPool, media: &Uuid, now: i64) -> bool {
    let entry = pool.inventory().get(media).unwrap();
    pool.expiry(entry, &SetTimes::of(pool.inventory())).is_some_and(|expiry| expiry.is_over(now))
}

fn set_full(pool: &mut MediaPool, media: &Uuid) {
    pool.inventory_mut().set_status(media, Some(MediaStatus::Full)).unwrap();
}

#[test]
fn a_set_that_is_in_use_is_not_overwritten() {
    let world = World::new("always", "overwrite");
    let tape = world.tape("T1", Some("p1"), 0);
    let old_set = Uuid::new_v4();
    world.put_into_set(&tape, old_set, 0, 10);
    let (mut pool, _) = world.session(20);
    let restore = world.state.lock_media_set(&old_set).unwrap();
    assert!(pool.allocate(21).is_err());
    drop(restore);
    assert_eq!(pool.allocate(21).unwrap(), (tape, TapeOrigin::Expired));
}

#[test]
fn continue_protects_until_there_is_a_newer_set() {
    let world = World::new("continue", "5s");
    let (old, new) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 0));
    world.put_into_set(&old, Uuid::new_v4(), 0, 10);
    assert!(!is_expired(&world.open(), &old, 1_000_000));
    world.put_into_set(&new, Uuid::new_v4(), 0, 100);
    let pool = world.open();
    assert!(!is_expired(&pool, &old, 104));
    assert!(is_expired(&pool, &old, 105));
    assert!(!is_expired(&pool, &new, 1_000_000), "the current tape is writable, not full");
}

#[test]
fn free_tapes_come_last_and_reserved_tapes_belong_to_their_pool() {
    let world = World::new("continue", "keep");
    let free = world.tape("T1", None, 0);
    let foreign = world.tape("T2", Some("p2"), 0);
    let reserved = world.tape("T3", None, 9);
    world.put_into_set(&reserved, Uuid::nil(), 0, 3);
    let (mut pool, _) = world.session(10);
    assert_eq!(pool.allocate(10).unwrap(), (reserved, TapeOrigin::Empty));
    set_full(&mut pool, &reserved);
    assert_eq!(pool.allocate(11).unwrap(), (free, TapeOrigin::Free));
    assert_eq!(pool.inventory().get(&free).unwrap().id.pool(), Some("p1"));
    set_full(&mut pool, &free);
    assert!(pool.allocate(12).is_err());
    assert!(pool.inventory().get(&foreign).unwrap().id.is_empty());
}

#[test]
fn several_reservations_are_no_duplicate_members() {
    let world = World::new("continue", "keep");
    for text in ["T1", "T2"] {
        let tape = world.tape(text, Some("p1"), 0);
        world.put_into_set(&tape, Uuid::nil(), 0, 3);
    }
    assert!(world.open().current_set().is_empty());
}

#[test]
fn the_hint_says_where_the_tapes_are() {
    let mut world = World::new("continue", "keep");
    world.tape("T1", Some("p1"), 0);
    world.reach = Reach::Changer("c1".into());
    let (mut pool, _) = world.session(10);
    let error = pool.allocate(10).unwrap_err().to_string();
    assert!(error.contains("T1 is offline"), "{error}");
}

#[test]
fn the_current_set_is_locked_while_a_job_has_it() {
    let world = World::new("continue", "keep");
    let tape = world.tape("T1", Some("p1"), 0);
    let set = Uuid::new_v4();
    world.put_into_set(&tape, set, 0, 10);
    let pool = world.open();
    assert!(world.state.try_lock_media_set(&set).unwrap().is_none());
    drop(pool);
    assert!(world.state.try_lock_media_set(&set).unwrap().is_some());
    // A forced new set gives the old one free.
    let mut pool = world.open();
    pool.start_write_session(20, true).unwrap();
    assert!(world.state.try_lock_media_set(&set).unwrap().is_some());
    assert!(world.state.try_lock_media_set(pool.current_set().uuid()).unwrap().is_none());
}

/// Judged is the label on the tape; its set need not be in the inventory.
#[test]
fn what_is_found_on_a_tape_is_overwritten_only_if_the_policy_lets_go() {
    let label = |pool: &str, ctime| MediaSetLabel {
        ctime,
        encryption_key_fingerprint: None,
        pool: pool.into(),
        seq_nr: 0,
        uuid: Uuid::new_v4(),
    };
    for (allocation, retention, newer_set, from) in [
        ("continue", "keep", true, None),
        ("always", "keep", true, None),
        ("always", "12s", false, Some(22)),
        ("continue", "5s", false, None),
        ("continue", "5s", true, Some(105)),
        ("continue", "overwrite", true, Some(100)),
    ] {
        let world = World::new(allocation, retention);
        if newer_set {
            world.put_into_set(&world.tape("T1", Some("p1"), 0), Uuid::new_v4(), 0, 100);
        }
        let pool = world.open();
        let case = format!("{allocation} {retention} {newer_set}");
        assert!(!pool.may_overwrite(&label("p2", 10), i64::MAX), "{case}: another pool");
        match from {
            None => assert!(!pool.may_overwrite(&label("p1", 10), i64::MAX), "{case}"),
            Some(from) => {
                assert!(!pool.may_overwrite(&label("p1", 10), from - 1), "{case}");
                assert!(pool.may_overwrite(&label("p1", 10), from), "{case}");
            }
        }
    }
}

/// What an event policy means for the start of a session and for expiry.
#[test]
fn an_event_begins_a_new_set_and_lets_the_old_one_expire() {
    let world = World::new("minutely UTC", "20s");
    let (old, new) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 1));
    let (mut pool, reason) = world.session(70);
    assert_eq!((reason, pool.allocate(70).unwrap().0), (None, old));
    drop(pool);
    // The event after the start is at 120.
    assert_eq!(world.session(119).1, None);
    let (mut pool, reason) = world.session(120);
    assert!(reason.unwrap().contains("minutely"));
    assert!(!is_expired(&pool, &old, 139));
    assert!(is_expired(&pool, &old, 140), "the event and the span after it");
    assert_eq!(pool.allocate(130).unwrap(), (new, TapeOrigin::Empty));
    // Now the pool has a newer set: what counts is when that one began.
    assert!(!is_expired(&pool, &old, 149));
    assert!(is_expired(&pool, &old, 150));
}

/// Two programs at one pool: the second waits for the set, and by then the pool may have a newer one.
#[test]
fn who_waited_for_a_set_gets_the_one_that_is_the_latest_then() {
    let world = World::new("continue", "keep");
    let (first, second) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 0));
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    world.put_into_set(&first, old, 0, 10);
    let other_job = world.open();
    assert_eq!(other_job.current_set().uuid(), &old);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| *world.open().current_set().uuid());
        std::thread::sleep(std::time::Duration::from_millis(120));
        world.put_into_set(&second, new, 0, 20);
        drop(other_job);
        assert_eq!(waiting.join().unwrap(), new);
    });
}

#[test]
fn what_an_operator_decides_counts_for_the_job_that_runs() {
    let world = World::new("continue", "keep");
    let (first, second) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 1));
    let (mut pool, _) = world.session(10);
    assert_eq!(pool.allocate(10).unwrap().0, first);
    world.status(&first, MediaStatus::Full);
    assert_eq!(pool.allocate(11).unwrap().0, second);
    world.status(&second, MediaStatus::Damaged);
    let error = pool.allocate(12).unwrap_err().to_string();
    assert!(error.contains("T2 is damaged"), "{error}");
}

#[test]
fn jobs_that_ask_at_once_get_different_tapes_and_sets_of_different_times() {
    let world = World::new("always", "keep");
    for number in 0..12 {
        // Of the pool and of none, so that both ways are taken at once.
        world.tape(&format!("T{number:02}"), (number % 2 == 0).then_some("p1"), 0);
    }
    let mut pools: Vec<MediaPool> = (0..8).map(|_| world.session(10).0).collect();
    let barrier = std::sync::Barrier::new(pools.len());
    std::thread::scope(|scope| {
        for pool in &mut pools {
            scope.spawn(|| {
                barrier.wait();
                pool.allocate(10).unwrap();
            });
        }
    });
    let inventory = Inventory::load(&world.state).unwrap();
    let mut ctimes: Vec<i64> =
        inventory.entries().filter_map(|e| e.id.assigned_set()).map(|label| label.ctime).collect();
    ctimes.sort_unstable();
    assert_eq!(ctimes, (10..18).collect::<Vec<_>>());
    assert_eq!(inventory.media_sets().len(), 8);
    assert!(inventory.latest_set("p1").is_some());
}

/// The catalog of a taken tape is written before the inventory: here the machine stops in between.
#[test]
fn a_crash_while_a_tape_is_taken_costs_no_more_than_a_catalog_of_what_had_expired() {
    let world = World::new("always", "overwrite");
    let (old, other) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 0));
    world.put_into_set(&old, Uuid::new_v4(), 0, 10);
    world.put_into_set(&other, Uuid::new_v4(), 0, 20);
    let inventory = Inventory::load(&world.state).unwrap();
    for tape in [&old, &other] {
        MediaCatalog::overwrite(&world.state, &inventory.get(tape).unwrap().id).unwrap();
    }
    let mut id = inventory.get(&old).unwrap().id.clone();
    id.media_set_label.as_mut().unwrap().uuid = Uuid::new_v4();
    MediaCatalog::overwrite(&world.state, &id).unwrap();

    // The tape is where it was, what can be told of it is told, and so is what can't.
    let pools = [world.pool.clone()];
    let filter = crate::media::listing::ContentFilter::default();
    let (_, odd) = crate::media::listing::media_content(&world.state, &pools, &filter).unwrap();
    assert_eq!(odd.len(), 1, "{odd:?}");
    assert!(odd[0].contains("T1"), "{odd:?}");
    // The next job takes it as the first would have.
    let (mut pool, _) = world.session(30);
    assert_eq!(pool.allocate(30).unwrap(), (old, TapeOrigin::Expired));
    let id = &pool.inventory().get(&old).unwrap().id;
    assert!(MediaCatalog::load(&world.state, id).is_ok());
}
