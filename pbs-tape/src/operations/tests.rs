use datastore::progress::Silent;

use super::*;
use crate::error::Error;
use crate::format::block::BlockSink;
use crate::media::{Location, MediaStatus};
use crate::testing::{World, library};

#[test]
fn labelling_needs_a_blank_tape_and_a_new_name() {
    let world = World::new();
    let mut tapes = library(3, 100, 6);
    tapes.loaded = Some("T01".into());
    let done = label::label(&world.state, &mut tapes, "ABC01", Some("p1"), &Silent).unwrap();
    let read = read_label::read_label(&world.state, &mut tapes, false, &Silent).unwrap();
    assert_eq!((read.uuid, read.label_text.as_str()), (done.uuid, "ABC01"));
    let error = label::label(&world.state, &mut tapes, "ABC02", None, &Silent).unwrap_err();
    assert!(matches!(error, Error::NotBlank { .. }), "{error}");
    tapes.loaded = Some("T02".into());
    let error = label::label(&world.state, &mut tapes, "ABC01", None, &Silent).unwrap_err();
    assert!(matches!(error, Error::LabelTextInUse { .. }), "{error}");
    assert!(label::label(&world.state, &mut tapes, "-x", None, &Silent).is_err());
    assert!(tapes.medium("T02").records.is_empty(), "refused before anything was written");
    // Somebody else's data, even unreadable as ours.
    let mut device = tapes.open(&Silent).unwrap();
    device.write_block(&vec![7; crate::format::BLOCK_BYTES]).unwrap();
    let error = label::label(&world.state, &mut tapes, "ABC03", None, &Silent).unwrap_err();
    assert!(matches!(error, Error::NotBlank { .. }), "{error}");
}

#[test]
fn a_library_is_labelled_by_its_barcodes() {
    let world = World::new();
    let mut tapes = library(3, 100, 6);
    let medium = tapes.tapes["T02"].clone();
    crate::device::model::ModelDrive::at(medium)
        .write_block(&vec![1; crate::format::BLOCK_BYTES])
        .unwrap();
    let cleaning = tapes.tapes["T01"].clone();
    tapes.tapes.insert("CLN01".into(), cleaning);
    let report = label::barcode_label(&world.state, &mut tapes, None, &Silent).unwrap();
    let labelled: Vec<&str> = report.labelled.iter().map(|one| one.label_text.as_str()).collect();
    assert_eq!(labelled, ["T01", "T03"]);
    assert_eq!(report.skipped[0].0, "T02");
    let again = label::barcode_label(&world.state, &mut tapes, None, &Silent).unwrap();
    assert!(again.labelled.is_empty() && again.failed.is_empty());
}

#[test]
fn formatting_forgets_the_tape() {
    let world = World::new();
    let mut tapes = library(1, 100, 6);
    label::barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    tapes.loaded = Some("T01".into());
    let refused = erase::format(&world.state, &mut tapes, Some("T99"), true, &Silent);
    assert!(refused.is_err());
    let uuid = media::find(&world.state, "T01", None).unwrap();
    let done = erase::format(&world.state, &mut tapes, Some("T01"), true, &Silent).unwrap();
    assert_eq!(done.uuid, Some(uuid));
    assert!(media::find(&world.state, "T01", None).unwrap_err().is_missing());
    assert!(!MediaCatalog::exists(&world.state, &uuid));
    let read = read_label::read_label(&world.state, &mut tapes, false, &Silent);
    assert!(matches!(read, Err(Error::NotLabelled { .. })));
    assert!(erase::format(&world.state, &mut tapes, Some("T01"), true, &Silent).is_err());
    erase::format(&world.state, &mut tapes, None, true, &Silent).unwrap();
}

#[test]
fn a_tape_that_cannot_be_formatted_is_not_forgotten() {
    let world = World::new();
    let mut tapes = library(1, 100, 6);
    label::barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    tapes.loaded = Some("T01".into());
    let uuid = media::find(&world.state, "T01", None).unwrap();
    let id = Inventory::load(&world.state).unwrap().get(&uuid).unwrap().id.clone();
    MediaCatalog::overwrite(&world.state, &id).unwrap();
    tapes.write_protected = true;
    let error = erase::format(&world.state, &mut tapes, Some("T01"), true, &Silent).unwrap_err();
    assert!(error.to_string().contains("cannot be written"), "{error}");
    assert_eq!(media::find(&world.state, "T01", None).unwrap(), uuid);
    assert!(MediaCatalog::exists(&world.state, &uuid));
}

#[test]
fn operators_decide_about_tapes() {
    let world = World::new();
    let mut tapes = library(1, 100, 6);
    label::barcode_label(&world.state, &mut tapes, None, &Silent).unwrap();
    let uuid = media::find(&world.state, "T01", None).unwrap();
    media::set_location(&world.state, &uuid, Some("bank")).unwrap();
    media::set_status(&world.state, &uuid, Some(MediaStatus::Retired)).unwrap();
    let inventory = Inventory::load(&world.state).unwrap();
    let entry = inventory.get(&uuid).unwrap();
    assert_eq!(entry.location(), Location::Vault("bank".into()));
    assert_eq!(entry.status, Some(MediaStatus::Retired));
    media::destroy(&world.state, &uuid, false).unwrap();
    assert!(media::destroy(&world.state, &uuid, false).unwrap_err().is_missing());
}

#[test]
fn a_scan_lists_every_file() {
    let world = World::new();
    let mut tapes = library(1, 100, 6);
    label::barcode_label(&world.state, &mut tapes, None, &Silent).unwrap();
    tapes.loaded = Some("T01".into());
    let mut seen = 0;
    let files = scan::scan(&mut tapes, &Silent, |_| seen += 1).unwrap();
    assert_eq!((files.len(), seen), (1, 1));
    assert_eq!(files[0].kind, "media label");
    assert!(files[0].end_marker && files[0].error.is_none());
}

/// A job that waits for a media set leaves the pool alone, so that whoever holds the set and wants
/// another tape from the pool does not wait for it in turn.
#[test]
fn who_waits_for_a_set_does_not_hold_the_pool() {
    let world = World::new();
    let mut tapes = library(1, 100, 6);
    label::barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    tapes.loaded = Some("T01".into());
    let (_device, labels) = open_and_read_labels(&mut tapes, &Silent).unwrap();
    let mut labels = labels.unwrap();
    let set = uuid::Uuid::new_v4();
    labels.media_set = Some(crate::format::label::MediaSetLabelOnTape {
        label: crate::format::label::MediaSetLabel {
            ctime: 1,
            encryption_key_fingerprint: None,
            pool: "p1".into(),
            seq_nr: 0,
            uuid: set,
        },
        key_config: None,
    });
    let held = world.state.lock_media_set(&set).unwrap();
    let patient = world.state.clone().with_lock_wait(std::time::Duration::from_secs(20));
    let short = world.state.clone().with_lock_wait(std::time::Duration::from_secs(2));
    std::thread::scope(|scope| {
        let taking_in = scope.spawn(|| inventorize(&patient, &labels));
        std::thread::sleep(std::time::Duration::from_millis(100));
        let pool = short.lock_pool("p1");
        drop(held);
        pool.unwrap();
        assert_eq!(taking_in.join().unwrap().unwrap().assigned_set().unwrap().uuid, set);
    });
}
