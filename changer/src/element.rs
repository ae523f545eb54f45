//! Asking a library for all its elements.
//!
//! Libraries deviate from SMC in what they send and in how much they take to be asked at once; how
//! single descriptors are read in spite of that is told in [`scsi::command::element`]. Here is how the
//! questions are put so that every library answers them:
//!
//! * one type of element at a time, because some mix up types when asked for all;
//! * at most 1000 elements and 65535 bytes at a time, going on behind the last address that came: some
//!   refuse more, and a reply cut to the allocation length loses elements silently;
//! * bar codes and drive identifiers in separate questions, because some cannot give both, and a
//!   failure to give identifiers is no failure.

use scsi::command::element::{DriveIdentifier, Element, ElementType, StatusRequest};
use scsi::{Transport, transport};

/// Elements asked for at once.
const COUNT: u16 = 1000;

/// All elements of a library by type, each in the order in which the library reports them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Elements {
    /// Robot arms.
    pub transports: Vec<Element>,
    /// Slots.
    pub storage: Vec<Element>,
    /// Slots that an operator can reach.
    pub import_export: Vec<Element>,
    /// Drives, with the identifiers that the library tells.
    pub drives: Vec<Element>,
}

/// Asks for the storage elements: the first question of all, which callers repeat while the library
/// is not ready.
pub(crate) fn read_storage(
    transport: &mut dyn Transport,
) -> Result<Vec<Element>, transport::Error> {
    read(transport, ElementType::Storage, true, false)
}

/// Asks for everything else.
pub(crate) fn read_others(
    transport: &mut dyn Transport,
    storage: Vec<Element>,
) -> Result<Elements, transport::Error> {
    let import_export = read(transport, ElementType::ImportExport, true, false)?;
    let mut drives = read(transport, ElementType::Drive, true, false)?;
    // Not all libraries know DVCID; without it the drives are just nameless.
    let identified = read(transport, ElementType::Drive, false, true).unwrap_or_default();
    for drive in &mut drives {
        let same = identified.iter().find(|one| one.address == drive.address);
        if let Some(identifier) = same.and_then(|one| one.identifier.clone()) {
            let known = drive.identifier.take().unwrap_or_default();
            drive.identifier = Some(DriveIdentifier {
                vendor: identifier.vendor.or(known.vendor),
                model: identifier.model.or(known.model),
                serial: identifier.serial.or(known.serial),
            });
        }
    }
    let transports = read(transport, ElementType::Transport, true, false)?;
    Ok(Elements { transports, storage, import_export, drives })
}

fn read(
    transport: &mut dyn Transport,
    kind: ElementType,
    tags: bool,
    identifiers: bool,
) -> Result<Vec<Element>, transport::Error> {
    let mut all: Vec<Element> = Vec::new();
    let mut first = 0u16;
    loop {
        let request = StatusRequest {
            kind: Some(kind),
            tags,
            identifiers,
            current: false,
            first,
            count: COUNT,
            allocation: StatusRequest::ALLOCATION_MAX,
        };
        let reply = match request.request(transport) {
            Ok(reply) => reply,
            // Behind the last element, or no element of this type at all.
            Err(error) if is_no_such_element(&error, first) => return Ok(all),
            Err(error) => return Err(error),
        };
        let before = all.len();
        all.extend(
            reply.pages.into_iter().filter(|page| page.kind == kind).flat_map(|page| page.elements),
        );
        let Some(new) = all.get(before..).filter(|new| !new.is_empty()) else { return Ok(all) };
        let is_complete = !reply.is_cut && new.len() < usize::from(COUNT);
        // Addresses below `first` were refused, so the loop gets on with each round.
        let last = new.iter().map(|element| element.address).max().unwrap_or(u16::MAX);
        match last.checked_add(1) {
            Some(next) if !is_complete => first = next,
            _ => return Ok(all),
        }
    }
}

fn is_no_such_element(error: &transport::Error, first: u16) -> bool {
    let Some(sense) = error.sense() else { return false };
    sense.is_invalid_element() || (first > 0 && sense.code() == (0x5, 0x24, 0x00))
}

#[cfg(test)]
mod tests {
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
            let storage = read_storage(&mut script).unwrap();
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
        let drives = read(&mut script, ElementType::Drive, true, true).unwrap();
        assert_eq!(drives.len(), 900);
        assert!(drives.windows(2).all(|pair| pair[0].address + 1 == pair[1].address));
    }

    #[test]
    fn a_reply_shorter_than_announced_is_an_error() {
        let mut script = Script::new();
        let whole = build_status(&[page(ElementType::Storage, 1..4)], true, false);
        let cdb = request(ElementType::Storage, 0, true, false).cdb();
        script.expect_in(&cdb, &whole[..whole.len() - 1]);
        assert!(read_storage(&mut script).is_err());
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
        let elements = read_others(&mut script, Vec::new()).unwrap();
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
        let elements = read_others(&mut script, Vec::new()).unwrap();
        assert_eq!(elements.drives[0].identifier, None);
        let serial = elements.drives[1].identifier.as_ref().unwrap().serial.as_deref();
        assert_eq!(serial, Some("1013000042"));
    }
}
