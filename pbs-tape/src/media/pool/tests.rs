//! The worked cases of the rules, as tables.

use super::*;
use crate::format::label::MediaLabel;

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
        let mut inventory = Inventory::load(&self.state).unwrap();
        let mut id = inventory.get(media).unwrap().id.clone();
        id.media_set_label = Some(MediaSetLabel {
            ctime,
            encryption_key_fingerprint: None,
            pool: "p1".into(),
            seq_nr,
            uuid: set,
        });
        inventory.store(id, false).unwrap();
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

fn set_full(pool: &mut MediaPool, media: &Uuid) {
    pool.inventory_mut().set_status(media, Some(MediaStatus::Full)).unwrap();
}

#[test]
fn a_pool_without_tapes_has_nothing_to_write_on() {
    let world = World::new("continue", "keep");
    let (mut pool, reason) = world.session(10);
    assert_eq!(reason, None);
    assert!(pool.current_set().is_empty());
    assert_eq!(pool.usability().unwrap(), Usability::NeedsTape);
    let error = pool.allocate(10).unwrap_err();
    assert!(matches!(error, Error::NoUsableMedia { .. }), "{error}");
    assert_eq!(pool.guess_next(10), None);
}

#[test]
fn tapes_are_used_one_after_the_other() {
    let world = World::new("continue", "keep");
    let first = world.tape("T1", Some("p1"), 0);
    let second = world.tape("T2", Some("p1"), 1);
    let (mut pool, _) = world.session(10);
    assert_eq!(pool.guess_next(10), Some(first));
    assert_eq!(pool.allocate(10).unwrap(), (first, TapeOrigin::Empty));
    assert_eq!(pool.allocate(10).unwrap(), (first, TapeOrigin::Current));
    set_full(&mut pool, &first);
    assert_eq!(pool.allocate(11).unwrap(), (second, TapeOrigin::Empty));
    let label = pool.inventory().get(&second).unwrap().id.media_set_label.clone().unwrap();
    assert_eq!((label.seq_nr, label.ctime, label.pool.as_str()), (1, 11, "p1"));
    assert!(MediaCatalog::exists(&world.state, &second));
    set_full(&mut pool, &second);
    assert!(matches!(pool.allocate(12), Err(Error::NoUsableMedia { .. })));
    drop(pool);
    // The next job goes on with the same set.
    let (pool, reason) = world.session(20);
    assert_eq!((pool.current_set().members().len(), reason), (2, None));
}

#[test]
fn always_with_a_time_span_reuses_a_tape_when_it_expires() {
    let world = World::new("always", "12s");
    let tape = world.tape("T1", Some("p1"), 0);
    let (mut pool, _) = world.session(10);
    assert_eq!(pool.allocate(10).unwrap().0, tape);
    set_full(&mut pool, &tape);
    assert!(pool.allocate(15).is_err());
    drop(pool);
    let (mut pool, reason) = world.session(20);
    assert_eq!(reason.as_deref(), Some("policy is 'always'"));
    assert!(pool.allocate(20).is_err());
    assert!(pool.allocate(21).is_err());
    assert_eq!(pool.allocate(22).unwrap(), (tape, TapeOrigin::Expired));
    assert_eq!(pool.inventory().get(&tape).unwrap().id.media_set_label.as_ref().unwrap().seq_nr, 0);
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
    let pool = world.open();
    let entry = |uuid: &Uuid| pool.inventory().get(uuid).unwrap().clone();
    assert!(!pool.is_expired(&entry(&old), 1_000_000));
    drop(pool);
    world.put_into_set(&new, Uuid::new_v4(), 0, 100);
    let pool = world.open();
    let entry = |uuid: &Uuid| pool.inventory().get(uuid).unwrap().clone();
    assert!(!pool.is_expired(&entry(&old), 104));
    assert!(pool.is_expired(&entry(&old), 105));
    assert!(!pool.is_expired(&entry(&new), 1_000_000), "the current tape is writable, not full");
}

#[test]
fn an_offline_tape_is_writable_only_for_a_stand_alone_drive() {
    let mut world = World::new("continue", "keep");
    let tape = world.tape("T1", Some("p1"), 0);
    world.put_into_set(&tape, Uuid::new_v4(), 0, 10);
    assert_eq!(world.open().usability().unwrap(), Usability::LastTapeWritable(tape));
    world.reach = Reach::Changer("c1".into());
    assert_eq!(world.open().usability().unwrap(), Usability::NeedsTape);
    let mut inventory = Inventory::load(&world.state).unwrap();
    inventory.set_location(&tape, Location::Vault("v".into())).unwrap();
    assert!(world.open().usability().is_err());
    let (pool, reason) = world.session(20);
    assert!(reason.unwrap().contains("offsite"));
    assert!(pool.current_set().is_empty());
}

#[test]
fn only_the_last_tape_of_a_set_is_writable() {
    let world = World::new("continue", "keep");
    let (first, second) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 0));
    let set = Uuid::new_v4();
    world.put_into_set(&second, set, 1, 11);
    let (_, reason) = world.session(20);
    assert!(reason.unwrap().contains("incomplete"));
    world.put_into_set(&first, set, 0, 10);
    let pool = world.open();
    assert_eq!(pool.usability().unwrap(), Usability::LastTapeWritable(second));
    assert_eq!(pool.status(pool.inventory().get(&first).unwrap()), MediaStatus::Full);
    drop(pool);
    for status in [MediaStatus::Damaged, MediaStatus::Retired] {
        world.status(&first, status);
        let (_, reason) = world.session(20);
        assert!(reason.unwrap().contains(&status.to_string()));
    }
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
