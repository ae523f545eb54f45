use super::*;
use crate::media::state::StateDir;

fn state() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path()).unwrap();
    (folder, state)
}

fn label(text: &str, pool: Option<&str>) -> MediaLabel {
    MediaLabel {
        ctime: 1,
        label_text: text.into(),
        pool: pool.map(str::to_string),
        uuid: Uuid::new_v4(),
    }
}

fn in_set(label: MediaLabel, set: Uuid, seq_nr: u64, ctime: i64) -> MediaId {
    let pool = label.pool.clone().unwrap_or_else(|| "p1".into());
    let set = MediaSetLabel { ctime, encryption_key_fingerprint: None, pool, seq_nr, uuid: set };
    MediaId { label, media_set_label: Some(set) }
}

#[test]
fn the_golden_inventory_is_read_and_written_back() {
    let Some(golden) = crate::testing::golden() else { return };
    let text = std::fs::read(golden.join("tape/state/inventory.json")).unwrap();
    let list = parse(&text).unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list[0].location(), Location::Online("vtape".into()));
    assert_eq!(list[0].status, Some(MediaStatus::Full));
    assert_eq!(to_text(list.iter()).unwrap(), text);
}

#[test]
fn an_absent_or_empty_file_is_an_empty_list() {
    let (_folder, state) = state();
    assert_eq!(Inventory::load(&state).unwrap().entries().count(), 0);
    std::fs::write(state.inventory_file(), b"").unwrap();
    assert_eq!(Inventory::load(&state).unwrap().entries().count(), 0);
    std::fs::write(state.inventory_file(), b"[{}]").unwrap();
    assert!(Inventory::load(&state).unwrap_err().is_damaged());
}

#[test]
fn storing_keeps_what_the_labels_do_not_say() {
    let (_folder, state) = state();
    let mut inventory = Inventory::load(&state).unwrap();
    let media = label("T1", Some("p1"));
    let uuid = media.uuid;
    inventory.store(in_set(media.clone(), Uuid::nil(), 0, 5), false).unwrap();
    inventory.set_location(&uuid, Location::Vault("v1".into())).unwrap();
    inventory.set_bytes_used(&uuid, Some(7)).unwrap();
    inventory.set_status(&uuid, Some(MediaStatus::Damaged)).unwrap();
    assert!(inventory.set_status(&uuid, Some(MediaStatus::Writable)).is_err());

    // The reservation for the pool is only in the inventory and must survive.
    inventory.store(MediaId { label: media.clone(), media_set_label: None }, false).unwrap();
    let entry = inventory.get(&uuid).unwrap();
    assert!(entry.id.media_set_label.as_ref().unwrap().is_unassigned());
    assert_eq!(entry.status, Some(MediaStatus::Damaged));
    assert_eq!((entry.location().to_string().as_str(), entry.bytes_used), ("vault-v1", Some(7)));

    inventory.store(in_set(media.clone(), Uuid::new_v4(), 0, 5), true).unwrap();
    assert_eq!(inventory.get(&uuid).unwrap().status, None);
    inventory.store(MediaId { label: media, media_set_label: None }, false).unwrap();
    assert!(inventory.get(&uuid).unwrap().id.is_empty(), "a real set label is not kept");

    assert_eq!(Inventory::load(&state).unwrap().entries, inventory.entries);
    assert!(inventory.remove(&uuid).unwrap() && !inventory.remove(&uuid).unwrap());
    assert!(inventory.set_location(&uuid, Location::Offline).unwrap_err().is_missing());
}

#[test]
fn two_processes_do_not_lose_each_others_changes() {
    let (_folder, state) = state();
    let mut one = Inventory::load(&state).unwrap();
    let mut two = Inventory::load(&state).unwrap();
    one.store(MediaId { label: label("T1", None), media_set_label: None }, false).unwrap();
    two.store(MediaId { label: label("T2", None), media_set_label: None }, false).unwrap();
    assert_eq!(Inventory::load(&state).unwrap().entries().count(), 2);
}

#[test]
fn locations_follow_what_the_libraries_hold() {
    let (_folder, state) = state();
    let mut inventory = Inventory::load(&state).unwrap();
    let mut uuids = Vec::new();
    for (text, location) in [
        ("AA", "offline"),
        ("BB", "online-lib"),
        ("CC", "online-gone"),
        ("DD", "online-other"),
        ("EE", "vault-v"),
        ("FF", "vault-v"),
    ] {
        let id = MediaId { label: label(text, None), media_set_label: None };
        uuids.push(id.label.uuid);
        inventory.store(id, false).unwrap();
        inventory.set_location(uuids.last().unwrap(), location.parse().unwrap()).unwrap();
    }
    let online = BTreeMap::from([("lib".to_string(), vec!["AA".to_string(), "FF".to_string()])]);
    inventory.update_online(&online, &["lib".into(), "other".into()]).unwrap();
    let found: Vec<String> =
        uuids.iter().map(|uuid| inventory.get(uuid).unwrap().location().to_string()).collect();
    let expected = ["online-lib", "offline", "offline", "online-other", "vault-v", "online-lib"];
    assert_eq!(found, expected);
}

#[test]
fn label_texts_may_be_ambiguous() {
    let (_folder, state) = state();
    let mut inventory = Inventory::load(&state).unwrap();
    for _ in 0..2 {
        inventory
            .store(MediaId { label: label("T1", None), media_set_label: None }, false)
            .unwrap();
    }
    assert!(matches!(inventory.find_by_label_text("T1"), Err(Error::AmbiguousLabel { .. })));
    assert!(inventory.find_by_label_text("T2").unwrap().is_none());
}

#[test]
fn two_tapes_at_one_place_are_an_error() {
    let (_folder, state) = state();
    let mut inventory = Inventory::load(&state).unwrap();
    let set = Uuid::new_v4();
    for seq_nr in [1, 1] {
        inventory.store(in_set(label("TT", Some("p1")), set, seq_nr, 5), false).unwrap();
    }
    assert!(matches!(inventory.media_set(&set), Err(Error::MediaSetInconsistent { .. })));
}

/// Locks are between descriptors, so threads stand for processes.
#[test]
fn what_many_record_at_once_is_all_there() {
    const WRITERS: usize = 6;
    const TAPES_EACH: usize = 15;
    let (_folder, state) = state();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let state = &state;
            scope.spawn(move || {
                let mut inventory = Inventory::load(state).unwrap();
                for number in 0..TAPES_EACH {
                    let label = label(&format!("W{writer}N{number}"), None);
                    let uuid = label.uuid;
                    inventory.store(MediaId { label, media_set_label: None }, false).unwrap();
                    inventory.set_location(&uuid, Location::Vault("v1".into())).unwrap();
                    inventory.set_bytes_used(&uuid, Some(number as u64)).unwrap();
                }
            });
        }
        // Who only reads sees a whole list at every moment.
        for _ in 0..200 {
            Inventory::load(&state).unwrap();
        }
    });
    let inventory = Inventory::load(&state).unwrap();
    assert_eq!(inventory.entries().count(), WRITERS * TAPES_EACH);
    for entry in inventory.entries() {
        let number = entry.id.label.label_text.split_once('N').unwrap().1;
        assert_eq!(entry.bytes_used, Some(number.parse().unwrap()));
        assert_eq!(entry.location(), Location::Vault("v1".into()));
    }
}

/// Every prefix of a new list under its temporary name, as a crash may leave it.
#[test]
fn what_a_crash_left_of_a_new_list_is_never_read() {
    let (folder, state) = state();
    let mut inventory = Inventory::load(&state).unwrap();
    let one = label("T1", None);
    inventory.store(MediaId { label: one.clone(), media_set_label: None }, false).unwrap();
    let whole = std::fs::read(state.inventory_file()).unwrap();
    let temp = folder.path().join(format!("inventory.tmp_{}", std::process::id()));
    for length in [0, 1, whole.len() / 2, whole.len() - 1, whole.len()] {
        std::fs::write(&temp, &whole[..length]).unwrap();
        let mut inventory = Inventory::load(&state).unwrap();
        assert_eq!(inventory.entries().count(), 1);
        inventory.set_bytes_used(&one.uuid, Some(length as u64)).unwrap();
        let after = Inventory::load(&state).unwrap();
        assert_eq!(after.get(&one.uuid).unwrap().bytes_used, Some(length as u64));
        assert!(!temp.exists());
    }
}

#[test]
fn a_change_that_fails_leaves_the_list_as_it_was() {
    let (_folder, state) = state();
    let mut inventory = Inventory::load(&state).unwrap();
    let one = label("T1", None);
    inventory.store(MediaId { label: one.clone(), media_set_label: None }, false).unwrap();
    let before = inventory.entries.clone();
    let both = [one.uuid, Uuid::new_v4()];
    assert!(inventory.set_locations(&both, &Location::Vault("v1".into())).is_err());
    assert_eq!(inventory.entries, before);
    assert_eq!(Inventory::load(&state).unwrap().entries, before);
}
