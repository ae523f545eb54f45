//! The worked cases of the published rules, a test a row.
//!
//! | situation | test |
//! |---|---|
//! | pool without tapes | `a_pool_without_tapes` |
//! | one labelled tape, allocated until it is full | `one_labelled_tape` |
//! | two tapes, continue and keep | `two_tapes_with_continue_and_keep` |
//! | always, 12 s, one tape | `always_with_twelve_seconds_and_one_tape` |
//! | a tape offline, a pool of changer c1 | `an_offline_tape_seen_from_a_changer` |
//! | the same, stand-alone | `an_offline_tape_seen_from_a_stand_alone_drive` |
//! | a set with sequence numbers 0 and 1 | `a_set_of_two_tapes` |
//! | only number 1 known | `a_set_whose_first_tape_is_unknown` |
//! | number 0 damaged or retired | `a_set_with_a_damaged_or_retired_tape` |
//! | three sets with times 10, 20, 30 | `three_sets_one_after_the_other` |
//! | two sets, both of time 10 | `two_sets_of_one_time` |
//! | sets of which only (5, 50), (1, 10), (0, 20) are known | `the_latest_set_may_be_incomplete` |
//! | a tape with a zero-UUID set label | `a_zero_uuid_label_is_no_set_label` |

use super::*;

#[test]
fn a_pool_without_tapes() {
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
fn one_labelled_tape() {
    let world = World::new("continue", "keep");
    let tape = world.tape("T1", Some("p1"), 0);
    let (mut pool, _) = world.session(10);
    assert_eq!(pool.guess_next(10), Some((tape, TapeOrigin::Empty)));
    assert_eq!(pool.allocate(10).unwrap(), (tape, TapeOrigin::Empty));
    assert!(MediaCatalog::exists(&world.state, &tape));
    assert_eq!(pool.guess_next(10), Some((tape, TapeOrigin::Current)));
    assert_eq!(pool.allocate(10).unwrap(), (tape, TapeOrigin::Current));
    set_full(&mut pool, &tape);
    assert!(matches!(pool.allocate(10), Err(Error::NoUsableMedia { .. })));
}

#[test]
fn two_tapes_with_continue_and_keep() {
    let world = World::new("continue", "keep");
    let (first, second) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 1));
    let (mut pool, _) = world.session(10);
    assert_eq!(pool.allocate(10).unwrap(), (first, TapeOrigin::Empty));
    set_full(&mut pool, &first);
    assert_eq!(pool.allocate(11).unwrap(), (second, TapeOrigin::Empty));
    let label = pool.inventory().get(&second).unwrap().id.media_set_label.clone().unwrap();
    assert_eq!((label.seq_nr, label.ctime, label.pool.as_str()), (1, 11, "p1"));
    set_full(&mut pool, &second);
    assert!(matches!(pool.allocate(12), Err(Error::NoUsableMedia { .. })));
    drop(pool);
    // The next job goes on with the same set.
    let (pool, reason) = world.session(20);
    assert_eq!((pool.current_set().members().len(), reason), (2, None));
}

#[test]
fn always_with_twelve_seconds_and_one_tape() {
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

fn one_tape_in_a_set(world: &World) -> Uuid {
    let tape = world.tape("T1", Some("p1"), 0);
    world.put_into_set(&tape, Uuid::new_v4(), 0, 10);
    tape
}

#[test]
fn an_offline_tape_seen_from_a_changer() {
    let mut world = World::new("continue", "keep");
    let tape = one_tape_in_a_set(&world);
    world.reach = Reach::Changer("c1".into());
    assert_eq!(world.open().usability().unwrap(), Usability::NeedsTape);
    // In a vault it makes the set unusable.
    let mut inventory = Inventory::load(&world.state).unwrap();
    inventory.set_location(&tape, Location::Vault("v".into())).unwrap();
    assert!(world.open().usability().is_err());
    let (pool, reason) = world.session(20);
    assert!(reason.unwrap().contains("offsite"));
    assert!(pool.current_set().is_empty());
}

#[test]
fn an_offline_tape_seen_from_a_stand_alone_drive() {
    let world = World::new("continue", "keep");
    let tape = one_tape_in_a_set(&world);
    assert_eq!(world.open().usability().unwrap(), Usability::LastTapeWritable(tape));
}

#[test]
fn a_set_of_two_tapes() {
    let world = World::new("continue", "keep");
    let (first, second) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 0));
    let set = Uuid::new_v4();
    world.put_into_set(&first, set, 0, 10);
    world.put_into_set(&second, set, 1, 11);
    let pool = world.open();
    assert_eq!(pool.usability().unwrap(), Usability::LastTapeWritable(second));
    let status = |tape: &Uuid| pool.status(pool.inventory().get(tape).unwrap());
    assert_eq!((status(&first), status(&second)), (MediaStatus::Full, MediaStatus::Writable));
}

#[test]
fn a_set_whose_first_tape_is_unknown() {
    let world = World::new("continue", "keep");
    let second = world.tape("T2", Some("p1"), 0);
    world.put_into_set(&second, Uuid::new_v4(), 1, 11);
    let (pool, reason) = world.session(20);
    assert!(reason.unwrap().contains("incomplete"));
    assert!(pool.current_set().is_empty());
}

#[test]
fn a_set_with_a_damaged_or_retired_tape() {
    let world = World::new("continue", "keep");
    let (first, second) = (world.tape("T1", Some("p1"), 0), world.tape("T2", Some("p1"), 0));
    let set = Uuid::new_v4();
    world.put_into_set(&first, set, 0, 10);
    world.put_into_set(&second, set, 1, 11);
    for status in [MediaStatus::Damaged, MediaStatus::Retired] {
        world.status(&first, status);
        let (_, reason) = world.session(20);
        assert!(reason.unwrap().contains(&status.to_string()));
    }
}

/// The latest set of the pool, given the set, sequence number and time of each tape.
fn latest_set(labels: &[(Uuid, u64, i64)]) -> (World, Option<Uuid>) {
    let world = World::new("continue", "keep");
    for (number, (set, seq_nr, ctime)) in labels.iter().enumerate() {
        let tape = world.tape(&format!("T{number}"), Some("p1"), 0);
        world.put_into_set(&tape, *set, *seq_nr, *ctime);
    }
    let latest = Inventory::load(&world.state).unwrap().latest_set("p1");
    (world, latest)
}

#[test]
fn three_sets_one_after_the_other() {
    let sets = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    assert_eq!(
        latest_set(&[(sets[0], 0, 10), (sets[1], 0, 20), (sets[2], 0, 30)]).1,
        Some(sets[2])
    );
    // Two tapes of one set do not contend.
    assert_eq!(latest_set(&[(sets[0], 0, 10), (sets[0], 1, 10)]).1, Some(sets[0]));
    assert_eq!(latest_set(&[]).1, None);
}

#[test]
fn two_sets_of_one_time() {
    let (world, latest) = latest_set(&[(Uuid::new_v4(), 0, 10), (Uuid::new_v4(), 0, 10)]);
    assert_eq!(latest, None);
    assert!(world.open().current_set().is_empty());
}

#[test]
fn the_latest_set_may_be_incomplete() {
    let sets = [Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4()];
    let (world, latest) = latest_set(&[(sets[0], 5, 50), (sets[1], 1, 10), (sets[2], 0, 20)]);
    assert_eq!(latest, Some(sets[0]));
    let (pool, reason) = world.session(60);
    assert!(reason.unwrap().contains("incomplete"));
    assert!(pool.current_set().is_empty());
}

#[test]
fn a_zero_uuid_label_is_no_set_label() {
    let world = World::new("continue", "overwrite");
    let tape = world.tape("T1", Some("p1"), 0);
    world.put_into_set(&tape, Uuid::nil(), 0, 3);
    let pool = world.open();
    let entry = pool.inventory().get(&tape).unwrap();
    assert_eq!((entry.id.assigned_set(), entry.id.is_empty()), (None, true));
    assert_eq!(pool.status(entry), MediaStatus::Writable);
    assert_eq!(pool.expiry(entry, &SetTimes::of(pool.inventory())), None);
    assert!(pool.inventory().media_sets().is_empty());
}
