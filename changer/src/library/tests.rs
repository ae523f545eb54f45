use scsi::command::element::{
    DriveIdentifier, Element, ElementType, Page, StatusRequest, build_status, move_cdb,
};
use scsi::command::mode::{self, ElementAddresses, ElementRange, Parameters, Size};
use scsi::command::operations::CommandTimeouts;
use scsi::testing::{Answer, Script};
use scsi::{Sense, SenseKey};

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::Place;

/// A small library whose answers are kept in step with what the test says is where.
#[derive(Clone)]
struct Model {
    drives: Vec<Element>,
    storage: Vec<Element>,
    station: Vec<Element>,
    station_assigned: u16,
    arm: Element,
}

fn full(address: u16, tag: &str) -> Element {
    Element { full: true, tag: Some(tag.into()), ..Element::empty(address) }
}

impl Model {
    /// Slots 1–3 (1024…), station slot 4 (768), drives 0 and 1 (256…); CAP001L8 in slot 1, CAP002L8 in
    /// drive 1 from slot 2, CLN001L8 in slot 3.
    fn new() -> Model {
        let mut drive = full(257, "CAP002L8");
        drive.source = Some(1025);
        Model {
            drives: vec![Element::empty(256), drive],
            storage: vec![full(1024, "CAP001L8"), Element::empty(1025), full(1026, "CLN001L8")],
            station: vec![Element::empty(768)],
            station_assigned: 1,
            arm: Element::empty(1),
        }
    }

    fn page(&self) -> Vec<u8> {
        let range = |first, count| ElementRange { first, count };
        let page = ElementAddresses {
            transport: range(1, 1),
            storage: range(1024, self.storage.len() as u16),
            import_export: range(768, self.station_assigned),
            drives: range(256, self.drives.len() as u16),
        };
        Parameters { pages: page.build().to_vec(), ..Default::default() }.build(Size::Six)
    }

    fn expect_status(&self, script: &mut Script) {
        script.expect_in(&mode::sense_cdb(Size::Six, 0x1d, 0, true), &self.page());
        let mut expect = |kind, elements: &[Element], tags, identifiers| {
            let page = Page { kind, elements: elements.to_vec() };
            script.expect_in(
                &status_cdb(kind, tags, identifiers),
                &build_status(&[page], tags, identifiers),
            );
        };
        expect(ElementType::Storage, &self.storage, true, false);
        expect(ElementType::ImportExport, &self.station, true, false);
        expect(ElementType::Drive, &self.drives, true, false);
        expect(ElementType::Drive, &self.drives, false, true);
        expect(ElementType::Transport, std::slice::from_ref(&self.arm), true, false);
    }
}

fn status_cdb(kind: ElementType, tags: bool, identifiers: bool) -> scsi::command::Cdb {
    StatusRequest {
        kind: Some(kind),
        tags,
        identifiers,
        current: false,
        first: 0,
        count: 1000,
        allocation: 0xffff,
    }
    .cdb()
}

/// An opened changer and the script to go on with.
fn open() -> (Script, Changer) {
    let mut script = Script::new();
    let inquiry = Inquiry {
        qualifier: 0,
        kind: inquiry::TYPE_CHANGER,
        removable: true,
        version: 5,
        vendor: "STK".into(),
        product: "SL150".into(),
        revision: "0250".into(),
    };
    script.expect_in(&Inquiry::cdb(36), &inquiry.build());
    script.expect_check(&CommandTimeouts::cdb(), Sense::INVALID_OPCODE);
    let changer = Changer::open(Box::new(script.device())).unwrap();
    (script, changer.with_patience(HASTE))
}

/// Never sleeps, but still repeats.
const HASTE: Patience = Patience {
    poll_interval: Duration::ZERO,
    answer_within: Duration::from_secs(60),
    ready_within: Duration::from_secs(60),
    clean_within: Duration::from_secs(60),
};

#[test]
fn a_drive_is_no_changer() {
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), &[0x01, 0x80, 5, 2, 0x1f]);
    let error = Changer::open(Box::new(script.device())).unwrap_err();
    assert!(matches!(error, Error::NotAChanger { kind: 1, .. }), "{error}");
}

#[test]
fn a_robot_that_says_how_long_its_moves_take_is_given_that_time() {
    let (mut script, _) = open();
    let inquiry = [0x08, 0x80, 5, 2, 0x1f].iter().copied().chain([b' '; 31]).collect::<Vec<_>>();
    script.expect_in(&Inquiry::cdb(36), &inquiry);
    let told = [0, 0, 0, 20, 0xa5, 0, 0, 0, 0, 2, 0, 12, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0];
    script.expect_in(&CommandTimeouts::cdb(), &told);
    let mut changer = Changer::open(Box::new(script.device())).unwrap().with_patience(HASTE);
    let mut model = Model::new();
    model.expect_status(&mut script);
    let moving = move_cdb(1, 1024, 256);
    script.expect_good(&moving);
    model.drives[0] = full(256, "CAP001L8");
    model.storage[0] = Element::empty(1024);
    model.expect_status(&mut script);
    changer.load_slot(1, 0).unwrap();
    assert_eq!(script.timeouts_of(&moving), [Duration::from_secs(0x2000)]);
}

#[test]
fn load_by_label_puts_the_other_tape_home_first() {
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 257, 1025));
    model.storage[1] = full(1025, "CAP002L8");
    model.drives[1] = Element::empty(257);
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1024, 257));
    model.storage[0] = Element::empty(1024);
    model.drives[1] = full(257, "CAP001L8");
    model.expect_status(&mut script);
    let status = changer.load("CAP001L8", 1).unwrap();
    assert_eq!(status.find("CAP001L8"), Some(Place::Drive(1)));
    assert_eq!(changer.last_status(), Some(&status));
}

#[test]
fn load_by_label_moves_nothing_if_there_is_nothing_to_do_or_it_cannot_be() {
    type Check = fn(&Error) -> bool;
    let refused: [(&str, u64, Check); 4] = [
        ("CAP002L8", 0, |error| matches!(error, Error::InOtherDrive { drive: 1, .. })),
        ("CAP404L8", 1, |error| matches!(error, Error::NotOnline { .. }) && error.is_missing()),
        ("CAP003L8", 1, |error| matches!(error, Error::InExportSlot { slot: 4, .. })),
        ("CAP001L8", 7, |error| matches!(error, Error::NoSuchDrive { count: 2, .. })),
    ];
    let mut model = Model::new();
    model.station[0] = full(768, "CAP003L8");
    for (label, drive, is_expected) in refused {
        let (mut script, mut changer) = open();
        model.expect_status(&mut script);
        let error = changer.load(label, drive).unwrap_err();
        assert!(is_expected(&error), "{label}: {error}");
    }
    let (mut script, mut changer) = open();
    model.expect_status(&mut script);
    changer.load("CAP002L8", 1).unwrap();
    // Not even asked where it is.
    let (_script, mut changer) = open();
    let error = changer.load("CLN001L8", 0).unwrap_err();
    assert!(matches!(error, Error::CleaningCartridge { .. }), "{error}");
}

#[test]
fn a_failed_move_is_reported_after_the_status_was_read_again() {
    let (mut script, mut changer) = open();
    let model = Model::new();
    model.expect_status(&mut script);
    script.expect_check(&move_cdb(1, 257, 1025), Sense::REMOVAL_PREVENTED);
    model.expect_status(&mut script);
    let error = changer.unload(1, None).unwrap_err();
    assert!(matches!(&error, Error::Move { from, to, .. } if from == "drive 1" && to == "slot 2"));
    assert!(error.to_string().contains("eject"), "{error}");
    assert!(changer.last_status().is_some());
}

#[test]
fn moves_are_never_repeated() {
    let (mut script, mut changer) = open();
    let model = Model::new();
    model.expect_status(&mut script);
    script.expect_check(&move_cdb(1, 1024, 256), Sense::BECOMING_READY);
    model.expect_status(&mut script);
    assert!(changer.load_slot(1, 0).unwrap_err().is_retryable());
}

#[test]
fn export_from_slot_and_from_the_own_drive() {
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1024, 768));
    model.expect_status(&mut script);
    assert_eq!(changer.export("CAP001L8", Some(1)).unwrap(), Some(4));

    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 257, 768));
    model.expect_status(&mut script);
    assert_eq!(changer.export("CAP002L8", Some(1)).unwrap(), Some(4));

    // In another drive, unknown: not online.
    for (label, drive) in [("CAP002L8", Some(0)), ("CAP002L8", None), ("CAP404L8", Some(1))] {
        model.expect_status(&mut script);
        assert_eq!(changer.export(label, drive).unwrap(), None);
    }

    model.station[0] = full(768, "CAP003L8");
    model.expect_status(&mut script);
    assert!(changer.export("CAP001L8", None).unwrap_err().is_no_free_slot());
    model.expect_status(&mut script);
    assert_eq!(changer.export("CAP003L8", None).unwrap(), None);
}

#[test]
fn impossible_transfers_move_nothing() {
    let (mut script, mut changer) = open();
    let model = Model::new();
    for (from, to, part) in [
        (2, 4, "slot 2 is empty"),
        (1, 3, "occupied by CLN001L8"),
        (1, 9, "no slot 9"),
        (0, 2, "no slot 0"),
    ] {
        model.expect_status(&mut script);
        let error = changer.transfer(from, to).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    model.expect_status(&mut script);
    assert!(changer.unload(0, None).unwrap_err().to_string().contains("drive 0 is empty"));
}

#[test]
fn a_library_that_is_not_ready_is_asked_again() {
    let (mut script, mut changer) = open();
    let model = Model::new();
    let addresses = mode::sense_cdb(Size::Six, 0x1d, 0, true);
    script.expect_check(&addresses, Sense::POWER_ON);
    script.expect_check(&addresses, Sense::STATION_ACCESSED);
    script.expect(&addresses, Answer::Broken);
    script.expect_in(&addresses, &model.page());
    script.expect_check(&status_cdb(ElementType::Storage, true, false), Sense::BECOMING_READY);
    script.expect_check(&status_cdb(ElementType::Storage, true, false), Sense::BECOMING_READY);
    // From here the status goes on as usual, behind the address page.
    let mut rest = Script::new();
    model.expect_status(&mut rest);
    rest.skip(1);
    script.append(&mut rest);
    assert_eq!(changer.status().unwrap().slots.len(), 4);
}

#[test]
fn waiting_ends_by_time_and_by_request() {
    let (mut script, changer) = open();
    let addresses = mode::sense_cdb(Size::Six, 0x1d, 0, true);
    let impatient = Patience { answer_within: Duration::ZERO, ..HASTE };
    let mut changer = changer.with_patience(impatient);
    script.expect_check(&addresses, Sense::OFFLINE);
    assert!(matches!(changer.status(), Err(Error::Scsi { .. })));
    let mut changer = changer.with_patience(HASTE).with_abort(Box::new(|| true));
    script.expect_check(&addresses, Sense::BECOMING_READY);
    assert!(changer.status().unwrap_err().is_aborted());
}

#[test]
fn later_questions_are_asked_once() {
    let (mut script, mut changer) = open();
    let model = Model::new();
    script.expect_in(&mode::sense_cdb(Size::Six, 0x1d, 0, true), &model.page());
    let page = Page { kind: ElementType::Storage, elements: model.storage.clone() };
    script.expect_in(
        &status_cdb(ElementType::Storage, true, false),
        &build_status(&[page], true, false),
    );
    script.expect_check(
        &status_cdb(ElementType::ImportExport, true, false),
        Sense::new(SenseKey::HardwareError, 0x15, 0x01),
    );
    assert!(changer.status().is_err());
    assert_eq!(changer.last_status(), None);
}

#[test]
fn counts_that_disagree() {
    // Import/export elements: odd. Slots: elements would be missing.
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.station_assigned = 5;
    model.expect_status(&mut script);
    let status = changer.status().unwrap();
    assert!(status.warnings[0].contains("5 import/export slots"), "{:?}", status.warnings);

    let (mut script, mut changer) = open();
    let mut fewer = Model::new();
    let page = fewer.page();
    fewer.storage.pop();
    let mut rest = Script::new();
    fewer.expect_status(&mut rest);
    rest.skip(1);
    script.expect_in(&mode::sense_cdb(Size::Six, 0x1d, 0, true), &page);
    script.append(&mut rest);
    assert!(matches!(
        changer.status(),
        Err(Error::Counts { what: "slots", assigned: 3, reported: 2, .. })
    ));
}

#[test]
fn configured_export_slots_are_not_used_for_unloading() {
    let (mut script, changer) = open();
    let mut changer = changer.with_export_slots(vec![1]);
    let mut model = Model::new();
    model.storage[0] = Element::empty(1024);
    model.drives[1].source = None;
    model.drives[1].identifier = Some(DriveIdentifier::default());
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 257, 1025));
    model.expect_status(&mut script);
    changer.unload(1, None).unwrap();
}

#[test]
fn a_change_in_the_middle_of_a_status_begins_it_anew() {
    let (mut script, mut changer) = open();
    let model = Model::new();
    script.expect_in(&mode::sense_cdb(Size::Six, 0x1d, 0, true), &model.page());
    let page = Page { kind: ElementType::Storage, elements: model.storage.clone() };
    let storage = status_cdb(ElementType::Storage, true, false);
    script.expect_in(&storage, &build_status(&[page], true, false));
    let station = status_cdb(ElementType::ImportExport, true, false);
    script.expect_check(&station, Sense::STATION_ACCESSED);
    let mut after = Model::new();
    after.storage[0] = Element::empty(1024);
    after.expect_status(&mut script);
    assert!(changer.status().unwrap().slots[0].status.is_empty());
}

#[test]
fn a_drive_ejects_first_where_the_library_needs_that() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&asked);
    let (mut script, changer) = open();
    let mut changer = changer.with_eject(Box::new(move |drive| {
        told.lock().unwrap().push(drive);
        if told.lock().unwrap().len() > 1 { Err("it is in use".into()) } else { Ok(()) }
    }));
    let mut model = Model::new();
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 257, 1025));
    model.storage[1] = full(1025, "CAP002L8");
    model.drives[1] = Element::empty(257);
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1024, 257));
    model.expect_status(&mut script);
    // Loading another tape takes the one in the drive out, too.
    changer.load("CAP001L8", 1).unwrap();
    assert_eq!(*asked.lock().unwrap(), [1]);
    // A drive that does not eject keeps its tape.
    Model::new().expect_status(&mut script);
    let error = changer.unload(1, None).unwrap_err();
    assert!(matches!(&error, Error::Eject { drive: 1, .. }), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
}

#[test]
fn between_two_moves_the_operation_can_be_ended() {
    let aborted = Arc::new(Mutex::new(false));
    let asked = Arc::clone(&aborted);
    let eject = Arc::clone(&aborted);
    let (mut script, changer) = open();
    let mut changer = changer
        .with_abort(Box::new(move || *asked.lock().unwrap()))
        // The wish comes while the first tape is on its way.
        .with_eject(Box::new(move |_| {
            *eject.lock().unwrap() = true;
            Ok(())
        }));
    Model::new().expect_status(&mut script);
    let error = changer.load("CAP001L8", 1).unwrap_err();
    assert!(error.is_aborted(), "{error}");
}

#[test]
fn a_tape_that_a_failed_move_left_in_the_arm_is_told_and_put_back() {
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.expect_status(&mut script);
    script.expect_check(&move_cdb(1, 1024, 256), Sense::ROBOT_FAILED);
    model.storage[0] = Element::empty(1024);
    let arm = Element { source: Some(1024), ..full(1, "CAP001L8") };
    model.arm = arm;
    model.expect_status(&mut script);
    let error = changer.load_slot(1, 0).unwrap_err();
    assert!(matches!(&error, Error::Move { left_in_arm: true, .. }), "{error}");
    assert!(error.to_string().contains("robot's arm"), "{error}");

    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1, 1024));
    model.expect_status(&mut script);
    assert_eq!(changer.put_back(None).unwrap(), Some(1));
    // To a chosen slot, which must be empty.
    model.expect_status(&mut script);
    assert!(matches!(changer.put_back(Some(3)), Err(Error::Occupied { .. })));
    model.arm = Element::empty(1);
    model.expect_status(&mut script);
    assert_eq!(changer.put_back(None).unwrap(), None);
}

#[test]
fn import_from_the_station_only() {
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.station[0] = full(768, "CAP003L8");
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 768, 1025));
    model.expect_status(&mut script);
    assert_eq!(changer.import(4, None).unwrap(), 2);
    model.expect_status(&mut script);
    assert!(matches!(changer.import(1, None), Err(Error::NotExportSlot { slot: 1, .. })));
    model.storage[1] = full(1025, "CAP004L8");
    model.expect_status(&mut script);
    assert!(changer.import(4, None).unwrap_err().is_no_free_slot());
}

#[test]
fn the_station_is_locked_and_unlocked() {
    let (mut script, mut changer) = open();
    script.expect_good(&[0x1e, 0, 0, 0, 1, 0]);
    script.expect_good(&[0x1e, 0, 0, 0, 0, 0]);
    changer.lock_station(true).unwrap();
    changer.lock_station(false).unwrap();
    script.expect_check(&[0x1e, 0, 0, 0, 1, 0], Sense::INVALID_OPCODE);
    assert!(changer.lock_station(true).unwrap_err().to_string().contains("locking"));
}

#[test]
fn the_robot_goes_before_a_slot_and_takes_nothing() {
    use scsi::command::element::position_cdb;
    let (mut script, mut changer) = open();
    let model = Model::new();
    let arm = 1;
    model.expect_status(&mut script);
    script.expect_good(&position_cdb(arm, 1025));
    changer.position(2).unwrap();
    model.expect_status(&mut script);
    script.expect_check(&position_cdb(arm, 1024), Sense::INVALID_OPCODE);
    let refused = changer.position(1).unwrap_err().to_string();
    assert!(refused.contains("sending the robot to a slot"), "{refused}");
    // Nothing is sent for a slot that is not there.
    model.expect_status(&mut script);
    assert!(changer.position(99).is_err());
}

#[test]
fn inventory_of_some_slots() {
    use scsi::command::element::{initialize_cdb, initialize_range_cdb};
    let (mut script, mut changer) = open();
    let model = Model::new();
    model.expect_status(&mut script);
    script.expect_good(&initialize_range_cdb(1025, 2, false));
    model.expect_status(&mut script);
    changer.inventory_slots(2, 3).unwrap();
    // Neither code is known: the whole library.
    model.expect_status(&mut script);
    script.expect_check(&initialize_range_cdb(1024, 1, false), Sense::INVALID_OPCODE);
    script.expect_check(&initialize_range_cdb(1024, 1, true), Sense::INVALID_OPCODE);
    script.expect_good(&initialize_cdb());
    model.expect_status(&mut script);
    changer.inventory_slots(1, 1).unwrap();
    // The station lies elsewhere, and a range does not go backwards.
    for (first, last) in [(3, 4), (2, 1)] {
        model.expect_status(&mut script);
        assert!(matches!(changer.inventory_slots(first, last), Err(Error::NoRange { .. })));
    }
}

/// The drive gives the cleaning cartridge back when it is done; until then it prevents removal.
#[test]
fn cleaning_waits_for_the_drive() {
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 257, 1025));
    model.drives[1] = Element::empty(257);
    model.storage[1] = full(1025, "CAP002L8");
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1026, 257));
    model.storage[2] = Element::empty(1026);
    model.drives[1] = Element { source: Some(1026), ..full(257, "CLN001L8") };
    model.expect_status(&mut script);
    for sense in [Sense::REMOVAL_PREVENTED, Sense::CLEANING_CARTRIDGE] {
        script.expect_check(&move_cdb(1, 257, 1026), sense);
        model.expect_status(&mut script);
    }
    script.expect_good(&move_cdb(1, 257, 1026));
    model.expect_status(&mut script);
    let cleaned = changer.clean(1).unwrap();
    assert_eq!(cleaned, Cleaned { label: "CLN001L8".into(), slot: 3 });
    // Used up, jammed: no waiting.
    let mut model = Model::new();
    model.drives[1] = Element::empty(257);
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1026, 257));
    model.expect_status(&mut script);
    script.expect_check(&move_cdb(1, 257, 1026), Sense::LOAD_FAILED);
    model.expect_status(&mut script);
    assert!(matches!(changer.clean(1), Err(Error::Move { .. })));

    model.storage[2] = Element::empty(1026);
    model.expect_status(&mut script);
    assert!(matches!(changer.clean(1), Err(Error::NoCleaningCartridge { .. })));
}

#[test]
fn tapes_in_the_order_of_their_slots() {
    // CAP001L8 in slot 1, CAP002L8 of slot 2 in drive 1, the cleaning cartridge in slot 3.
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    model.expect_status(&mut script);
    assert_eq!(changer.load_step(Step::Last, 1).unwrap(), 2);
    model.expect_status(&mut script);
    assert!(matches!(changer.load_step(Step::Next, 1), Err(Error::NoFurtherTape { .. })));
    model.expect_status(&mut script);
    assert!(changer.load_step(Step::Previous, 0).unwrap_err().to_string().contains("empty"));
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1024, 256));
    model.expect_status(&mut script);
    assert_eq!(changer.load_step(Step::Next, 0).unwrap(), 1);
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 257, 1025));
    let mut after = model.clone();
    after.drives[1] = Element::empty(257);
    after.storage[1] = full(1025, "CAP002L8");
    after.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1024, 257));
    model.expect_status(&mut script);
    assert_eq!(changer.load_step(Step::Previous, 1).unwrap(), 1);
    model.drives[1].source = None;
    model.expect_status(&mut script);
    assert!(matches!(changer.load_step(Step::First, 1), Err(Error::NoHome { drive: 1, .. })));
}

#[test]
fn the_cache_has_the_last_answer_and_none_after_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let cache = StatusCache::new(folder.path(), "lib");
    let (mut script, changer) = open();
    let mut changer = changer.with_cache(cache.clone());
    let model = Model::new();
    model.expect_status(&mut script);
    let status = changer.status().unwrap();
    assert_eq!(cache.load(), Some(status));
    let addresses = mode::sense_cdb(Size::Six, 0x1d, 0, true);
    script.expect_check(&addresses, Sense::OFFLINE);
    let mut changer = changer.with_patience(Patience { answer_within: Duration::ZERO, ..HASTE });
    assert!(changer.status().is_err());
    assert_eq!(cache.load(), None);
}

#[test]
fn more_drives_than_a_byte_can_count() {
    let (mut script, mut changer) = open();
    let mut model = Model::new();
    let drive = |address: u16| Element {
        identifier: Some(DriveIdentifier {
            serial: Some(format!("SN{address:08}")),
            ..Default::default()
        }),
        ..Element::empty(address)
    };
    model.drives = (256..600).map(drive).collect();
    model.expect_status(&mut script);
    let status = changer.status().unwrap();
    assert_eq!(status.drives.len(), 344);
    assert_eq!(status.drive_of_serial("SN00000599"), Some(343));
    model.expect_status(&mut script);
    script.expect_good(&move_cdb(1, 1024, 599));
    model.expect_status(&mut script);
    changer.load_slot(1, 343).unwrap();
}

/// The same operations on an emulated library, which builds its replies on its own.
mod emulated {
    use super::*;

    fn library(dir: &std::path::Path) -> vtl::Library {
        let options = vtl::Options {
            drives: 2,
            slots: 6,
            import_export: 2,
            cartridges: 3,
            ..vtl::Options::default()
        };
        vtl::Library::create(dir, &options).unwrap()
    }

    fn labels(status: &Status) -> Vec<String> {
        status.online_labels().into_iter().map(str::to_string).collect()
    }

    #[test]
    fn tapes_go_round() {
        let dir = tempfile::tempdir().unwrap();
        let library = library(&dir.path().join("lib"));
        let mut changer = Changer::open(Box::new(library.changer().unwrap())).unwrap();
        let status = changer.status().unwrap();
        assert_eq!((status.drives.len(), status.slots.len()), (2, 8));
        assert_eq!(status.warnings, [""; 0]);
        assert!(status.slots[6].import_export && !status.slots[5].import_export);
        let tapes = labels(&status);
        assert_eq!(tapes.len(), 3);

        let status = changer.load(&tapes[1], 0).unwrap();
        assert_eq!(status.find(&tapes[1]), Some(Place::Drive(0)));
        assert_eq!(status.drives[0].loaded_slot, Some(2));
        // The other tape goes in by the same door; the first goes home.
        let status = changer.load(&tapes[0], 0).unwrap();
        assert_eq!(status.find(&tapes[1]), Some(Place::Slot(2)));
        assert_eq!(status.find(&tapes[0]), Some(Place::Drive(0)));
        assert!(matches!(changer.load(&tapes[0], 1), Err(Error::InOtherDrive { drive: 0, .. })));

        assert_eq!(changer.export(&tapes[0], Some(0)).unwrap(), Some(7));
        assert_eq!(changer.export(&tapes[2], None).unwrap(), Some(8));
        assert!(changer.export(&tapes[1], None).unwrap_err().is_no_free_slot());
        assert!(matches!(changer.load(&tapes[2], 0), Err(Error::InExportSlot { slot: 8, .. })));
        assert_eq!(labels(&changer.status().unwrap()), [tapes[1].clone()]);

        let status = changer.transfer(8, 5).unwrap();
        assert_eq!(status.find(&tapes[2]), Some(Place::Slot(5)));
        assert!(changer.inventory().is_ok());
    }

    #[test]
    fn drives_are_found_by_their_serial_number() {
        let dir = tempfile::tempdir().unwrap();
        let library = library(&dir.path().join("lib"));
        let mut changer = Changer::open(Box::new(library.changer().unwrap())).unwrap();
        let status = changer.status().unwrap();
        for number in 0..2u16 {
            let mut drive = library.drive(number).unwrap();
            let page = inquiry::request_vpd(&mut drive, inquiry::VPD_SERIAL).unwrap();
            let serial = inquiry::serial(&page).unwrap();
            assert_eq!(status.drive_of_serial(&serial), Some(number.into()), "{serial}");
        }
    }
}
