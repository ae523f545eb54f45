use scsi::Sense;
use scsi::command::element::{Page, build_status};
use scsi::testing::Script;

use super::*;

fn request(kind: ElementType, first: u16, tags: bool, identifiers: bool) -> StatusRequest {
    StatusRequest {
        kind: Some(kind),
        tags,
        identifiers,
        current: false,
        first,
        count: 1000,
        allocation: 0xffff,
    }
}

fn storage(script: &mut Script) -> Result<Vec<Element>, transport::Error> {
    Questions::new(script, &mut Manner::default(), None).storage().map(|(storage, _)| storage)
}

fn drives(script: &mut Script) -> Result<Vec<Element>, transport::Error> {
    Questions::new(script, &mut Manner::default(), None).read(ElementType::Drive, true, true)
}

fn others(script: &mut Script) -> Result<Elements, transport::Error> {
    Questions::new(script, &mut Manner::default(), None).others(Default::default())
}

fn page(kind: ElementType, addresses: impl Iterator<Item = u16>) -> Page {
    Page { kind, elements: addresses.map(Element::empty).collect() }
}

#[test]
fn more_than_a_thousand_slots() {
    for end in [Sense::INVALID_ELEMENT, Sense::INVALID_FIELD_IN_CDB] {
        let mut script = Script::new();
        let first = build_status(&[page(ElementType::Storage, 1000..2000)], true, false);
        script.expect_in(&request(ElementType::Storage, 0, true, false).cdb(), &first);
        let second = build_status(&[page(ElementType::Storage, 2000..3000)], true, false);
        script.expect_in(&request(ElementType::Storage, 2000, true, false).cdb(), &second);
        script.expect_check(&request(ElementType::Storage, 3000, true, false).cdb(), end);
        let storage = storage(&mut script).unwrap();
        assert_eq!(storage.len(), 2000);
        assert_eq!(storage.last().unwrap().address, 2999);
    }
}

#[test]
fn a_reply_cut_to_the_allocation_goes_on_behind_the_last_whole_element() {
    let mut script = Script::new();
    // Drives with tags and identifiers: 86 bytes each, 1000 of them do not fit 65535.
    let whole = build_status(&[page(ElementType::Drive, 1..901)], true, true);
    assert!(whole.len() > 0xffff);
    let cut = &whole[..0xffff];
    let got = (0xffff - 16) / 86;
    script.expect_in(&request(ElementType::Drive, 0, true, true).cdb(), cut);
    let rest = build_status(&[page(ElementType::Drive, got + 1..901)], true, true);
    script.expect_in(&request(ElementType::Drive, got + 1, true, true).cdb(), &rest);
    let drives = drives(&mut script).unwrap();
    assert_eq!(drives.len(), 900);
    assert!(drives.windows(2).all(|pair| pair[0].address + 1 == pair[1].address));
}

/// Less is asked for, in case it was too much; in other forms nothing is asked, because what is garbled in one is not
/// to be trusted in another. The first failure is told.
#[test]
fn a_reply_shorter_than_announced_is_an_error() {
    let mut script = Script::new();
    let whole = build_status(&[page(ElementType::Storage, 1..4)], true, false);
    for (count, allocation) in [(1000, 0xffff), (255, 0xffff), (64, 0x1000)] {
        let request =
            StatusRequest { count, allocation, ..request(ElementType::Storage, 0, true, false) };
        script.expect_in(&request.cdb(), &whole[..whole.len() - 1]);
    }
    let error = storage(&mut script).unwrap_err().to_string();
    assert!(error.contains("1 bytes short") && error.contains("behind address 2"), "{error}");
}

/// The manner that worked is not looked for again.
#[test]
fn a_library_is_asked_as_it_wants_to_be_from_then_on() {
    let mut script = Script::new();
    let mut manner = Manner::default();
    let small = |kind, first| StatusRequest {
        count: 64,
        allocation: 0x1000,
        ..request(kind, first, true, false)
    };
    for (count, allocation) in [(1000, 0xffff), (255, 0xffff)] {
        let request =
            StatusRequest { count, allocation, ..request(ElementType::Storage, 0, true, false) };
        script.expect_check(&request.cdb(), Sense::INVALID_FIELD_IN_CDB);
    }
    for _ in 0..2 {
        let first = build_status(&[page(ElementType::Storage, 1..65)], true, false);
        script.expect_in(&small(ElementType::Storage, 0).cdb(), &first);
        let second = build_status(&[page(ElementType::Storage, 65..70)], true, false);
        script.expect_in(&small(ElementType::Storage, 65).cdb(), &second);
        let (storage, _) = Questions::new(&mut script, &mut manner, None).storage().unwrap();
        assert_eq!(storage.len(), 69);
    }
}

#[test]
fn a_refusal_in_every_manner_is_told() {
    let mut script = Script::new();
    for (count, allocation, tags, all) in [
        (1000, 0xffff, true, false),
        (255, 0xffff, true, false),
        (64, 0x1000, true, false),
        (1000, 0xffff, false, false),
        (1000, 0xffff, true, true),
        (1000, 0xffff, false, true),
    ] {
        let request = StatusRequest {
            kind: (!all).then_some(ElementType::Storage),
            count,
            allocation,
            ..request(ElementType::Storage, 0, tags, false)
        };
        script.expect_check(&request.cdb(), Sense::INVALID_FIELD_IN_CDB);
    }
    assert!(is_refused(&storage(&mut script).unwrap_err()));
}

#[test]
fn drives_stay_nameless_where_identifiers_are_unknown() {
    let mut script = Script::new();
    script.expect_check(
        &request(ElementType::ImportExport, 0, true, false).cdb(),
        Sense::INVALID_ELEMENT,
    );
    let drives = build_status(&[page(ElementType::Drive, 256..258)], true, false);
    script.expect_in(&request(ElementType::Drive, 0, true, false).cdb(), &drives);
    script.expect_check(
        &request(ElementType::Drive, 0, false, true).cdb(),
        Sense::INVALID_FIELD_IN_CDB,
    );
    // This one sends drives when asked for transport elements.
    script.expect_in(&request(ElementType::Transport, 0, true, false).cdb(), &drives);
    let elements = others(&mut script).unwrap();
    assert_eq!((elements.drives.len(), elements.transports.len()), (2, 0));
    assert_eq!(elements.drives[0].identifier, None);
}

#[test]
fn identifiers_are_merged_by_address() {
    let mut script = Script::new();
    script.expect_in(&request(ElementType::ImportExport, 0, true, false).cdb(), &[0; 8]);
    let drives = build_status(&[page(ElementType::Drive, 256..258)], true, false);
    script.expect_in(&request(ElementType::Drive, 0, true, false).cdb(), &drives);
    let mut named = page(ElementType::Drive, (256..258).rev());
    named.elements[0].identifier = Some(DriveIdentifier {
        vendor: Some("IBM".into()),
        model: Some("ULT3580-TD8".into()),
        serial: Some("1013000042".into()),
    });
    let named = build_status(&[named], false, true);
    script.expect_in(&request(ElementType::Drive, 0, false, true).cdb(), &named);
    script.expect_in(&request(ElementType::Transport, 0, true, false).cdb(), &[0; 8]);
    let elements = others(&mut script).unwrap();
    assert_eq!(elements.drives[0].identifier, None);
    let serial = elements.drives[1].identifier.as_ref().unwrap().serial.as_deref();
    assert_eq!(serial, Some("1013000042"));
}
