use super::*;
use crate::media::Location;
use crate::testing::{put_into_set, tape_of};

fn world() -> (tempfile::TempDir, StateDir, PoolConfig) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path()).unwrap();
    let mut config = PoolConfig::new("p1");
    config.allocation = "minutely UTC".parse().unwrap();
    config.retention = "30s".parse().unwrap();
    (folder, state, config)
}

#[test]
fn an_empty_pool_says_why_there_is_no_next_tape() {
    let (_folder, state, config) = world();
    let tape = tape_of(&state, "T1", Some("p1"));
    let status = pool_status(&state, &config, Reach::Changer("lib".into()), 10).unwrap();
    assert_eq!(
        (status.next_media_label, status.media_set_uuid, status.new_media_set),
        (None, None, None)
    );
    let reason = status.no_media.unwrap();
    assert!(reason.contains("T1 is offline"), "{reason}");
    assert_eq!(status.tapes, TapeCounts { empty: 1, ..TapeCounts::default() });
    let status = pool_status(&state, &config, Reach::StandAlone, 10).unwrap();
    assert_eq!((status.next_media_uuid, status.no_media), (Some(tape), None));
    assert_eq!(status.next_media_origin, Some(TapeOrigin::Empty));
}

#[test]
fn the_forecast_follows_the_time_that_is_asked_about() {
    let (_folder, state, config) = world();
    let (first, second) = (tape_of(&state, "T1", Some("p1")), tape_of(&state, "T2", Some("p1")));
    let (old, new) = (Uuid::new_v4(), Uuid::new_v4());
    put_into_set(&state, &first, old, 0, 70);
    put_into_set(&state, &second, new, 0, 100);
    let mut inventory = Inventory::load(&state).unwrap();
    inventory.set_bytes_used(&first, Some(1000)).unwrap();
    inventory.set_bytes_used(&second, Some(234)).unwrap();
    let at = |at| pool_status(&state, &config, Reach::StandAlone, at).unwrap();

    // The new set is going on, and the old one is protected for 30 s from its start.
    let status = at(110);
    assert_eq!((status.media_set_uuid, status.new_media_set), (Some(new), None));
    assert_eq!(status.next_media_label.as_deref(), Some("T2"));
    assert_eq!(status.next_media_origin, Some(TapeOrigin::Current));
    assert_eq!(status.bytes_used, 1234);
    assert_eq!(status.tapes, TapeCounts { writable: 1, full: 1, ..TapeCounts::default() });
    let order: Vec<_> = status.media.iter().map(|m| (m.label_text.as_str(), m.expires)).collect();
    assert_eq!(order, [("T2", None), ("T1", Some(Expires::At(130)))]);

    // The event is at 120: then a new set begins, on the tape that has expired by 130.
    let status = at(120);
    assert_eq!((status.media_set_uuid, status.next_media_label), (None, None));
    assert!(status.new_media_set.unwrap().contains("minutely UTC"));
    assert!(status.no_media.is_some());
    let status = at(130);
    assert_eq!(status.next_media_label.as_deref(), Some("T1"));
    assert_eq!(status.next_media_origin, Some(TapeOrigin::Expired));
    assert_eq!((status.tapes.expired, status.tapes.full), (1, 1));
    assert_eq!(status.media[1].expires, Some(Expires::At(150)), "the event, and 30 s");

    // In a vault nobody finds it.
    inventory.set_location(&first, Location::Vault("v".into())).unwrap();
    assert_eq!(at(130).next_media_label, None);
}

#[test]
fn a_pool_that_keeps_says_never_and_one_that_continues_says_after_the_next_set() {
    let (_folder, state, mut config) = world();
    let tapes = [tape_of(&state, "T1", Some("p1")), tape_of(&state, "T2", Some("p1"))];
    let set = Uuid::new_v4();
    put_into_set(&state, &tapes[0], set, 0, 10);
    put_into_set(&state, &tapes[1], set, 1, 11);
    for (retention, wanted) in [("keep", Expires::Never), ("1d", Expires::AfterNextSet)] {
        config.allocation = "continue".parse().unwrap();
        config.retention = retention.parse().unwrap();
        let status = pool_status(&state, &config, Reach::StandAlone, 20).unwrap();
        assert_eq!(status.media[1].expires, Some(wanted));
        let json = serde_json::to_value(&status).unwrap();
        assert!(json["media"][1]["expires"].is_string(), "{json}");
    }
}
