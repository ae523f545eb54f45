use std::time::Duration;

use super::*;
use crate::testing::{put_into_set, tape_of};

fn state() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path()).unwrap().with_lock_wait(Duration::from_millis(1));
    (folder, state)
}

fn location(state: &StateDir, media: &Uuid) -> String {
    Inventory::load(state).unwrap().get(media).unwrap().location().to_string()
}

#[test]
fn a_tape_is_named_by_its_text_or_by_its_uuid() {
    let (_folder, state) = state();
    let one = tape_of(&state, "T1", Some("p1"));
    let twins = [tape_of(&state, "T2", None), tape_of(&state, "T2", None)];
    assert_eq!(find(&state, "T1", None).unwrap(), one);
    assert_eq!(find(&state, &one.to_string(), None).unwrap(), one);
    // Without hyphens it has the length of a label text, and is one.
    assert!(find(&state, &one.simple().to_string(), None).unwrap_err().is_missing());
    let error = find(&state, "T2", None).unwrap_err();
    assert!(matches!(error, Error::AmbiguousLabel { .. }), "{error}");
    for twin in &twins {
        assert!(error.to_string().contains(&twin.to_string()), "{error}");
        assert_eq!(find(&state, "T2", Some(twin)).unwrap(), *twin);
        assert_eq!(find(&state, &twin.to_string(), None).unwrap(), *twin);
    }
    // The text and the UUID must be those of one tape.
    assert!(find(&state, "T2", Some(&one)).unwrap_err().is_missing());
    assert!(find(&state, "T9", None).unwrap_err().is_missing());
}

#[test]
fn a_tape_is_moved_to_a_vault_and_back() {
    let (_folder, state) = state();
    let tape = tape_of(&state, "T1", Some("p1"));
    let moved = set_location(&state, &tape, Some("bank")).unwrap();
    assert_eq!((moved.from, moved.to), (Location::Offline, Location::Vault("bank".into())));
    assert_eq!(location(&state, &tape), "vault-bank");
    for bad in ["", "x", "a vault", "-x", "ü3"] {
        let error = set_location(&state, &tape, Some(bad)).unwrap_err().to_string();
        assert!(error.contains("vault name"), "{error}");
    }
    set_location(&state, &tape, None).unwrap();
    assert_eq!(location(&state, &tape), "offline");
}

#[test]
fn a_set_goes_to_a_vault_whole_or_not_at_all() {
    let (_folder, state) = state();
    let set = Uuid::new_v4();
    let tapes = ["T0", "T1", "T3"].map(|text| tape_of(&state, text, Some("p1")));
    let other = tape_of(&state, "T4", Some("p1"));
    for (tape, seq_nr) in tapes.iter().zip([0, 1, 3]) {
        put_into_set(&state, tape, set, seq_nr, 10);
    }
    put_into_set(&state, &other, Uuid::new_v4(), 0, 20);
    let plan = move_set(&state, &set, Some("bank"), true).unwrap();
    assert_eq!((plan.moved.len(), plan.unknown.as_slice()), (3, &[2][..]));
    assert_eq!(location(&state, &tapes[0]), "offline", "a plan changes nothing");
    let job = state.lock_media_set(&set).unwrap();
    assert!(move_set(&state, &set, Some("bank"), false).unwrap_err().is_retryable());
    drop(job);
    assert_eq!(move_set(&state, &set, Some("bank"), false).unwrap(), plan);
    for tape in &tapes {
        assert_eq!(location(&state, tape), "vault-bank");
    }
    assert_eq!(location(&state, &other), "offline");
    assert!(move_set(&state, &Uuid::new_v4(), None, false).unwrap_err().is_missing());
    // One that is not known moves none of the others.
    let mut inventory = Inventory::load(&state).unwrap();
    let with_a_stranger = [tapes[0], Uuid::new_v4()];
    assert!(inventory.set_locations(&with_a_stranger, &Location::Offline).is_err());
    assert_eq!(inventory.get(&tapes[0]).unwrap().location(), Location::Vault("bank".into()));
    assert_eq!(location(&state, &tapes[0]), "vault-bank");
}

#[test]
fn a_tape_with_data_is_forgotten_by_force_only_and_under_nobody() {
    let (_folder, state) = state();
    let set = Uuid::new_v4();
    let (empty, used) = (tape_of(&state, "T1", Some("p1")), tape_of(&state, "T2", Some("p1")));
    put_into_set(&state, &used, set, 0, 10);
    destroy(&state, &empty, false).unwrap();
    assert!(destroy(&state, &empty, false).unwrap_err().is_missing());
    let error = destroy(&state, &used, false).unwrap_err().to_string();
    for words in ["T2", "number 1 of 1", &set.to_string(), "--force"] {
        assert!(error.contains(words), "{error}");
    }
    let restore = state.lock_media_set(&set).unwrap();
    assert!(destroy(&state, &used, true).unwrap_err().is_retryable());
    assert!(Inventory::load(&state).unwrap().get(&used).is_some());
    drop(restore);
    destroy(&state, &used, true).unwrap();
    assert_eq!(Inventory::load(&state).unwrap().entries().count(), 0);
}

#[test]
fn only_decisions_can_be_recorded() {
    let (_folder, state) = state();
    let tape = tape_of(&state, "T1", None);
    let status = || Inventory::load(&state).unwrap().get(&tape).unwrap().status;
    for decision in [MediaStatus::Full, MediaStatus::Damaged, MediaStatus::Retired] {
        set_status(&state, &tape, Some(decision)).unwrap();
        assert_eq!(status(), Some(decision));
    }
    for computed in [MediaStatus::Writable, MediaStatus::Unknown] {
        assert!(set_status(&state, &tape, Some(computed)).is_err());
    }
    set_status(&state, &tape, None).unwrap();
    assert_eq!(status(), None);
}
