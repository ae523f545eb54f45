//! Operations that are not in the table: what becomes of them follows from their locks.

use std::time::{Duration, Instant};

use datastore::group::GroupRemoval;
use datastore::progress::Silent;
use datastore::{Error, Namespace};

use crate::acts::{Act, Outcome, bk, fo, ra, um, ve};
use crate::holder::{Holder, Where};
use crate::world::{OWNER, Snapshot, World, group, new_model, path};

const BOTH: [Where; 2] = [Where::SameProcess, Where::OtherProcess];

fn root() -> Namespace {
    Namespace::root()
}

/// Refused within a second because something is locked, and nothing is changed.
#[track_caller]
fn refused<T>(world: &World, operation: impl Fn() -> Result<T, Error>) {
    let before = world.tree();
    let fastest = (0..3)
        .map(|_| {
            let start = Instant::now();
            match operation() {
                Err(error) => assert!(error.is_retryable(), "{error}"),
                Ok(_) => panic!("it was not refused"),
            }
            start.elapsed()
        })
        .min();
    assert!(fastest < Some(Duration::from_secs(1)), "{fastest:?}");
    world.assert_unchanged(&before, "refused");
}

fn everywhere(act: Act, check: impl Fn(&World)) {
    for place in BOTH {
        for stop in 0..act.kind.places().len() {
            let world = World::new();
            let holder = Holder::start(place, &world, act, stop);
            check(&world);
            assert_eq!(holder.release(), Outcome::Done);
        }
    }
}

#[test]
fn protection_is_refused_while_a_snapshot_is_read_written_verified_or_removed() {
    for act in [ra("a3"), ve("a3"), fo("a3"), bk("a4")] {
        everywhere(act, |world| {
            for protected in [true, false] {
                refused(world, || world.store.set_protected(&root(), &path(act.on), protected));
            }
            // Its neighbour is free.
            world.store.set_protected(&root(), &path("a1"), true).unwrap();
        });
    }
    // The base of a running backup is in use, too.
    everywhere(bk("a4"), |world| {
        refused(world, || world.store.set_protected(&root(), &path("a3"), true));
    });
}

#[test]
fn protection_does_not_wait_for_a_change_of_the_manifest() {
    everywhere(um("a3"), |world| world.store.set_protected(&root(), &path("a3"), true).unwrap());
}

#[test]
fn notes_are_changed_while_a_snapshot_is_read_or_verified() {
    for act in [ra("a3"), ve("a3")] {
        everywhere(act, |world| {
            world.store.set_notes(&root(), &path("a3"), "read").unwrap();
            assert_eq!(world.store.notes(&root(), &path("a3")).unwrap(), "read");
        });
    }
}

#[test]
fn what_was_protected_meanwhile_is_not_removed() {
    let world = World::new();
    world.store.set_protected(&root(), &path("a1"), true).unwrap();
    let refused = world.store.forget_snapshot(&root(), &path("a1")).unwrap_err();
    assert!(matches!(refused, Error::Protected { .. }), "{refused}");
    world.check(&new_model());
}

#[test]
fn owner_and_notes_of_a_group_are_refused_during_a_backup() {
    everywhere(bk("a4"), |world| {
        refused(world, || world.store.set_owner(&root(), &group("a4"), "other@pam"));
        refused(world, || world.store.set_group_notes(&root(), &group("a4"), "x"));
        // Another group is free.
        world.store.set_owner(&root(), &group("b1"), OWNER).unwrap();
    });
}

#[test]
fn a_group_is_not_removed_while_a_backup_to_it_runs() {
    everywhere(bk("a4"), |world| {
        refused(world, || world.store.forget_group(&root(), &group("a4"), &Silent));
    });
}

#[test]
fn the_removal_of_a_group_leaves_what_is_in_use() {
    for place in BOTH {
        let world = World::new();
        let holder = Holder::start(place, &world, ra("a2"), 0);
        let removal: GroupRemoval =
            world.store.forget_group(&root(), &group("a2"), &Silent).unwrap();
        assert!(!removal.is_complete());
        assert_eq!(removal.removed, [path("a1"), path("a3")]);
        assert_eq!(holder.release(), Outcome::Done);
        let mut model = new_model();
        model.remove("a1");
        model.remove("a3");
        world.check(&model);
    }
}

#[test]
fn a_backup_is_refused_while_its_group_is_locked() {
    let world = World::new();
    let guard = world.store.locks().group(&root(), &group("a4")).unwrap();
    refused(&world, || crate::world::back_up(&world.store, "a4", &mut || {}));
    drop(guard);
    crate::world::back_up(&world.store, "a4", &mut || {}).unwrap();
    let mut model = new_model();
    model.insert("a4".into(), Snapshot::default());
    world.check(&model);
}

/// A refused backup leaves nothing of a group that it would have made, nor of its type.
#[test]
fn a_backup_that_a_collection_keeps_out_leaves_no_group() {
    for stop in 0..2 {
        let world = World::new();
        let holder = Holder::start(Where::OtherProcess, &world, crate::acts::gm(), stop);
        refused(&world, || {
            let vm = "vm/100".parse().unwrap();
            let group = datastore::snapshot::GroupWriter::open(&world.store, &root(), &vm, OWNER)?;
            datastore::SnapshotWriter::begin_backup(&group, 1_700_000_000)
        });
        assert_eq!(holder.release(), Outcome::Done);
    }
}
