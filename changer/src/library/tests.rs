use scsi::command::element::{
    DriveIdentifier, Element, ElementType, Page, StatusRequest, build_status, move_cdb,
};
use scsi::command::mode::{self, ElementAddresses, ElementRange, Parameters, Size};
use scsi::testing::{Answer, Script};
use scsi::{Sense, SenseKey};

use super::*;

/// A small library whose answers are kept in step with what the test says is where.
#[derive(Clone)]
struct Model {
    drives: Vec<Element>,
    storage: Vec<Element>,
    station: Vec<Element>,
    station_assigned: u16,
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
        expect(ElementType::Transport, &[Element::empty(1)], true, false);
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
    let changer = Changer::open(Box::new(script.device())).unwrap();
    (script, changer.with_patience(HASTE))
}

/// Never sleeps, but still repeats.
const HASTE: Patience = Patience {
    poll_interval: Duration::ZERO,
    answer_within: Duration::from_secs(60),
    ready_within: Duration::from_secs(60),
};

#[test]
fn a_drive_is_no_changer() {
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), &[0x01, 0x80, 5, 2, 0x1f]);
    let error = Changer::open(Box::new(script.device())).unwrap_err();
    assert!(matches!(error, Error::NotAChanger { kind: 1, .. }), "{error}");
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
