//! Tapes that can be written once only are never chosen to be overwritten.

use super::*;
use crate::care::history::History;
use crate::care::{Overview, Record};

/// What a drive said about a tape.
fn seen(world: &World, media: &Uuid, serial: &str, worm: bool) {
    let record = Record {
        uuid: Some(*media),
        medium_serial: Some(serial.into()),
        worm,
        ..Record::default()
    };
    let path = world.state.care_media_file(&record).unwrap();
    History::load(&path).unwrap().append(&path, record).unwrap();
}

#[test]
fn data_on_a_worm_tape_never_expires_whatever_the_policy_says() {
    let world = World::new("always", "overwrite");
    let by_drive = world.tape("TAPE1", Some("p1"), 0);
    let by_bar_code = world.tape("CAP001LY", Some("p1"), 0);
    let contradicted = world.tape("CAP002LY", Some("p1"), 0);
    let usual = world.tape("CAP003L8", Some("p1"), 0);
    for (seq_nr, tape) in [by_drive, by_bar_code, contradicted, usual].iter().enumerate() {
        world.put_into_set(tape, Uuid::new_v4(), 0, 10 + seq_nr as i64);
    }
    seen(&world, &by_drive, "M1", true);
    seen(&world, &contradicted, "M2", false);
    let (mut pool, _) = world.session(100);
    let expired = [by_drive, by_bar_code, contradicted, usual].map(|t| is_expired(&pool, &t, 200));
    assert_eq!(expired, [false, false, true, true]);
    assert_eq!(pool.guess_next(200).unwrap(), (contradicted, TapeOrigin::Expired));
    assert_eq!(pool.allocate(200).unwrap(), (contradicted, TapeOrigin::Expired));
    set_full(&mut pool, &contradicted);
    assert_eq!(pool.allocate(201).unwrap(), (usual, TapeOrigin::Expired));
    set_full(&mut pool, &usual);
    let error = pool.allocate(202).unwrap_err();
    assert!(matches!(error, Error::NoUsableMedia { .. }), "{error}");
}

/// An empty WORM tape can be written: that overwrites nothing.
#[test]
fn an_empty_worm_tape_is_used_once() {
    let world = World::new("always", "overwrite");
    let tape = world.tape("CAP001LY", Some("p1"), 0);
    let (mut pool, _) = world.session(100);
    assert_eq!(pool.allocate(100).unwrap(), (tape, TapeOrigin::Empty));
    set_full(&mut pool, &tape);
    drop(pool);
    let (mut pool, reason) = world.session(200);
    assert!(reason.is_some());
    assert!(pool.allocate(200).is_err());
}

#[test]
fn a_job_that_finds_out_does_not_choose_the_tape_again() {
    let world = World::new("always", "overwrite");
    let tape = world.tape("T1", Some("p1"), 0);
    world.put_into_set(&tape, Uuid::new_v4(), 0, 10);
    let (mut pool, _) = world.session(100);
    assert!(is_expired(&pool, &tape, 200));
    pool.note_worm(tape);
    assert!(!is_expired(&pool, &tape, 200));
    assert!(pool.allocate(200).is_err());
}

#[test]
fn bar_codes_of_worm_cartridges_are_known() {
    for text in ["CAP001LT", "CAP001LU", "CAP001LZ", "CAP001LH"] {
        assert!(is_worm_bar_code(text), "{text}");
    }
    for text in ["CAP001L8", "CAP001M8", "CAP001LA", "WEEKLYLT1", "LT", ""] {
        assert!(!is_worm_bar_code(text), "{text}");
    }
}

#[test]
fn what_is_known_already_is_not_read_again() {
    let world = World::new("always", "overwrite");
    let tape = world.tape("T1", Some("p1"), 0);
    world.put_into_set(&tape, Uuid::new_v4(), 0, 10);
    let before = std::sync::Arc::new(Overview::load(&world.state));
    seen(&world, &tape, "M1", true);
    let preview = || {
        let inventory = Inventory::load(&world.state).unwrap();
        MediaPool::preview(inventory, world.pool.clone(), Reach::StandAlone, 100).unwrap().0
    };
    assert!(is_expired(&preview().with_care(before), &tape, 200));
    assert!(!is_expired(&preview(), &tape, 200));
}
