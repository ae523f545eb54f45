//! What a media changer does (SMC-3): addresses, element status, moves. The cartridge of the first full slot is moved about.

use crate::device::{Check, Code, Device, INVALID_ELEMENT, Verdict};
use crate::want;

/// Checks of a changer with a cartridge in a slot, an empty slot, and an empty drive.
pub const ALL: &[Check] = &[
    ("mode page 1Dh tells ranges that do not overlap", address_page),
    ("element status of each type has as many elements as page 1Dh tells", counts),
    ("every byte that the header of an element status announces arrives", exact_bytes),
    ("eight bytes are enough to ask for the size of an element status", size_only),
    (
        "element status begins where it is told to and ends after as many as asked for",
        first_and_count,
    ),
    ("element status of all types at once has them all once", all_types),
    ("a single drive is asked for as the kernel's changer driver does it", single_drive),
    ("a full slot has its bar code, padded with blanks", bar_code),
    ("drives tell vendor, model and serial number", drive_identifiers),
    ("element status behind the last element is refused", behind_the_last),
    ("INITIALIZE ELEMENT STATUS works", initialize),
    ("a cartridge moves to another slot and back", move_and_back),
    ("a cartridge remembers where it came from", source_address),
    ("a move to a full element is refused", move_to_full),
    ("a move from an empty element is refused", move_from_empty),
    ("a move to an element that does not exist is refused", move_to_nowhere),
    ("a cartridge goes into the drive and comes back", through_the_drive),
];

const TRANSPORT: u8 = 1;
const STORAGE: u8 = 2;
const DRIVE: u8 = 4;

#[derive(Clone, Copy, Debug)]
struct Range {
    first: u16,
    count: u16,
}

/// Transport, storage, import/export, drives.
fn ranges(device: &mut Device) -> Result<[Range; 4], String> {
    let data = device.fetch(&[0x1a, 8, 0x1d, 0, 255, 0], 255)?.good_any()?;
    let page = data.get(4..24).ok_or(format!("{} bytes", data.len()))?;
    want!(page[..2] == [0x1d, 0x12], "the page begins with {:02x?}", &page[..2]);
    let number = |at: usize| u16::from_be_bytes([page[at], page[at + 1]]);
    Ok([2, 6, 10, 14].map(|at| Range { first: number(at), count: number(at + 2) }))
}

fn status_cdb(kind: u8, first: u16, count: u16, allocation: u32, identifiers: bool) -> [u8; 12] {
    let [f1, f2] = first.to_be_bytes();
    let [c1, c2] = count.to_be_bytes();
    let [_, a1, a2, a3] = allocation.to_be_bytes();
    [0xb8, 0x10 | kind, f1, f2, c1, c2, u8::from(identifiers), a1, a2, a3, 0, 0]
}

#[derive(Debug, Clone)]
struct Element {
    address: u16,
    full: bool,
    source: Option<u16>,
    /// Tag and what follows.
    rest: Vec<u8>,
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// Element status, read strictly: every length must be exact.
fn parse(data: &[u8]) -> Result<Vec<Element>, String> {
    want!(data.len() >= 8, "{} bytes", data.len());
    let announced = number(&data[5..8]);
    want!(announced + 8 == data.len(), "{announced} bytes are announced, {} came", data.len() - 8);
    let mut elements = Vec::new();
    let mut pages = &data[8..];
    while let [_, _, d1, d2, _, b1, b2, b3, rest @ ..] = pages {
        let (each, all) = (number(&[*d1, *d2]), number(&[*b1, *b2, *b3]));
        want!(
            each >= 12 && all.is_multiple_of(each) && all <= rest.len(),
            "a page of {all} bytes, {each} an element"
        );
        elements.extend(rest[..all].chunks(each).map(|one| Element {
            address: u16::from_be_bytes([one[0], one[1]]),
            full: one[2] & 1 != 0,
            source: (one[9] & 0x80 != 0).then(|| u16::from_be_bytes([one[10], one[11]])),
            rest: one[12..].to_vec(),
        }));
        pages = &rest[all..];
    }
    want!(pages.is_empty(), "{} bytes behind the last page", pages.len());
    let told = number(&data[2..4]);
    want!(told == elements.len(), "{told} elements are announced, {} came", elements.len());
    if let Some(lowest) = elements.iter().map(|one| usize::from(one.address)).min() {
        want!(
            number(&data[..2]) == lowest,
            "the first address is {} in the header, {lowest} below",
            number(&data[..2])
        );
    }
    Ok(elements)
}

fn status(device: &mut Device, kind: u8, first: u16, count: u16) -> Result<Vec<Element>, String> {
    let cdb = status_cdb(kind, first, count, 0xffff, false);
    parse(&device.fetch(&cdb, 0xffff)?.good_any()?)
}

/// Element status for the checks of moves: lengths may be wrong, the addresses count.
fn lenient(device: &mut Device, kind: u8, range: Range) -> Result<Vec<Element>, String> {
    let cdb = status_cdb(kind, range.first, range.count, 0xffff, false);
    let data = device.fetch(&cdb, 0xffff)?.good_any()?;
    let each = number(data.get(10..12).ok_or("no page")?).max(12);
    let elements = data[16..].chunks(each).filter(|one| one.len() >= 12).map(|one| Element {
        address: u16::from_be_bytes([one[0], one[1]]),
        full: one[2] & 1 != 0,
        source: (one[9] & 0x80 != 0).then(|| u16::from_be_bytes([one[10], one[11]])),
        rest: one[12..].to_vec(),
    });
    Ok(elements.collect())
}

fn address_page(device: &mut Device) -> Verdict {
    let mut ranges = ranges(device)?.to_vec();
    want!(ranges[1].count > 1 && ranges[3].count > 0, "no slots or no drives: {ranges:?}");
    ranges.retain(|range| range.count > 0);
    ranges.sort_by_key(|range| range.first);
    for pair in ranges.windows(2) {
        let end = u32::from(pair[0].first) + u32::from(pair[0].count);
        want!(end <= u32::from(pair[1].first), "{pair:?} overlap");
    }
    Ok(())
}

fn counts(device: &mut Device) -> Verdict {
    for (kind, range) in (TRANSPORT..).zip(ranges(device)?) {
        if range.count == 0 {
            continue;
        }
        let found = status(device, kind, range.first, range.count)?;
        let addresses: Vec<u16> = found.iter().map(|one| one.address).collect();
        let expected: Vec<u16> = (range.first..range.first + range.count).collect();
        want!(addresses == expected, "type {kind}: {addresses:?}, not {expected:?}");
    }
    Ok(())
}

fn exact_bytes(device: &mut Device) -> Verdict {
    let [_, storage, ..] = ranges(device)?;
    let cdb = status_cdb(STORAGE, storage.first, storage.count, 0xffff, false);
    let data = device.fetch(&cdb, 0xffff)?.good_any()?;
    want!(data.len() >= 8, "{} bytes", data.len());
    let announced = number(&data[5..8]) + 8;
    want!(announced == data.len(), "{announced} are announced, {} came", data.len());
    Ok(())
}

fn size_only(device: &mut Device) -> Verdict {
    let [_, storage, ..] = ranges(device)?;
    let whole = status_cdb(STORAGE, storage.first, storage.count, 0xffff, false);
    let whole = device.fetch(&whole, 0xffff)?.good_any()?;
    let head = status_cdb(STORAGE, storage.first, storage.count, 8, false);
    let head = device.fetch(&head, 64)?.good(8)?;
    want!(head == whole[..8], "it is {head:02x?}, of the whole {:02x?}", &whole[..8]);
    Ok(())
}

fn first_and_count(device: &mut Device) -> Verdict {
    let [_, storage, ..] = ranges(device)?;
    let found = status(device, STORAGE, storage.first + 1, 1)?;
    let addresses: Vec<u16> = found.iter().map(|one| one.address).collect();
    want!(addresses == [storage.first + 1], "asked for {} alone: {addresses:?}", storage.first + 1);
    Ok(())
}

fn all_types(device: &mut Device) -> Verdict {
    let expected: usize = ranges(device)?.iter().map(|range| usize::from(range.count)).sum();
    let found = status(device, 0, 0, 0xffff)?;
    let mut addresses: Vec<u16> = found.iter().map(|one| one.address).collect();
    addresses.sort_unstable();
    addresses.dedup();
    want!(
        addresses.len() == found.len() && found.len() == expected,
        "{} elements, not {expected}",
        found.len()
    );
    Ok(())
}

fn single_drive(device: &mut Device) -> Verdict {
    let [.., drives] = ranges(device)?;
    for address in drives.first..drives.first + drives.count {
        let [high, low] = address.to_be_bytes();
        let cdb = [0xb8, DRIVE, high, low, 0, 1, 0, 0, 0, 255, 0, 0];
        let data = device.fetch(&cdb, 255)?.good_any()?;
        want!(data.get(16..18) == Some(&[high, low]), "asked for {address}: {data:02x?}");
    }
    Ok(())
}

fn full_slot(device: &mut Device, full: bool) -> Result<Element, String> {
    let [_, storage, ..] = ranges(device)?;
    let slots = lenient(device, STORAGE, storage)?;
    slots
        .into_iter()
        .find(|one| one.full == full)
        .ok_or(format!("no slot is {}", if full { "full" } else { "empty" }))
}

fn bar_code(device: &mut Device) -> Verdict {
    let tag = full_slot(device, true)?.rest;
    let text = tag.get(..32).ok_or(format!("{} bytes behind the descriptor", tag.len()))?;
    let end = text.iter().rposition(|byte| *byte != b' ').ok_or("it is blank")?;
    want!(text[..=end].iter().all(u8::is_ascii_graphic), "it is {text:02x?}");
    Ok(())
}

fn drive_identifiers(device: &mut Device) -> Verdict {
    let [.., drives] = ranges(device)?;
    let mut cdb = status_cdb(DRIVE, drives.first, drives.count, 0xffff, true);
    cdb[1] = DRIVE;
    for drive in parse(&device.fetch(&cdb, 0xffff)?.good_any()?)? {
        let head = drive.rest.get(..4).ok_or("no identifier")?;
        want!(
            head[0] & 0x0f == 2 && head[3] >= 10,
            "the identifier of {} begins with {head:02x?}",
            drive.address
        );
        let text = drive.rest.get(4..4 + usize::from(head[3])).ok_or("the identifier is cut")?;
        want!(text.iter().all(|byte| (0x20..0x7f).contains(byte)), "it is not ASCII: {text:02x?}");
    }
    Ok(())
}

fn behind_the_last(device: &mut Device) -> Verdict {
    let failure =
        device.fetch(&status_cdb(STORAGE, 0xfffe, 1, 0xffff, false), 0xffff)?.fails_any()?;
    want!(matches!(failure.code, INVALID_ELEMENT | (5, 0x24, 0x00)), "sense {:02x?}", failure.code);
    Ok(())
}

fn initialize(device: &mut Device) -> Verdict {
    device.good(&[0x07, 0, 0, 0, 0, 0])
}

fn move_cdb(arm: u16, from: u16, to: u16) -> [u8; 12] {
    let [a1, a2] = arm.to_be_bytes();
    let [f1, f2] = from.to_be_bytes();
    let [t1, t2] = to.to_be_bytes();
    [0xa5, 0, a1, a2, f1, f2, t1, t2, 0, 0, 0, 0]
}

fn move_medium(device: &mut Device, from: u16, to: u16) -> Verdict {
    let [arm, ..] = ranges(device)?;
    device.good(&move_cdb(arm.first, from, to))
}

fn refused(device: &mut Device, from: u16, to: u16, code: Code) -> Verdict {
    let [arm, ..] = ranges(device)?;
    device.send(&move_cdb(arm.first, from, to))?.fails(code).map(drop)
}

fn is_full(device: &mut Device, kind: u8, address: u16) -> Result<bool, String> {
    let range = ranges(device)?[usize::from(kind - TRANSPORT)];
    let found = lenient(device, kind, range)?;
    found
        .iter()
        .find(|one| one.address == address)
        .map(|one| one.full)
        .ok_or(format!("no element {address}"))
}

fn move_and_back(device: &mut Device) -> Verdict {
    let (from, to) = (full_slot(device, true)?.address, full_slot(device, false)?.address);
    move_medium(device, from, to)?;
    let moved = is_full(device, STORAGE, to)? && !is_full(device, STORAGE, from)?;
    move_medium(device, to, from)?;
    want!(moved, "after the move from {from} to {to} the status is as before");
    want!(is_full(device, STORAGE, from)?, "it did not come back to {from}");
    Ok(())
}

fn source_address(device: &mut Device) -> Verdict {
    let (from, to) = (full_slot(device, true)?.address, full_slot(device, false)?.address);
    move_medium(device, from, to)?;
    let [_, storage, ..] = ranges(device)?;
    let source = lenient(device, STORAGE, storage)?.into_iter().find(|one| one.address == to);
    move_medium(device, to, from)?;
    let source = source.and_then(|one| one.source);
    want!(source == Some(from), "it tells {source:?}, not {from}");
    Ok(())
}

fn move_to_full(device: &mut Device) -> Verdict {
    let [_, storage, ..] = ranges(device)?;
    let full: Vec<u16> = lenient(device, STORAGE, storage)?
        .iter()
        .filter(|one| one.full)
        .map(|one| one.address)
        .collect();
    want!(full.len() > 1, "two full slots are needed");
    refused(device, full[0], full[1], (5, 0x3b, 0x0d))
}

fn move_from_empty(device: &mut Device) -> Verdict {
    let [_, storage, ..] = ranges(device)?;
    let empty: Vec<u16> = lenient(device, STORAGE, storage)?
        .iter()
        .filter(|one| !one.full)
        .map(|one| one.address)
        .collect();
    want!(empty.len() > 1, "two empty slots are needed");
    refused(device, empty[0], empty[1], (5, 0x3b, 0x0e))
}

fn move_to_nowhere(device: &mut Device) -> Verdict {
    let from = full_slot(device, true)?.address;
    refused(device, from, 0xfffe, INVALID_ELEMENT)
}

fn through_the_drive(device: &mut Device) -> Verdict {
    let slot = full_slot(device, true)?.address;
    let [.., drives] = ranges(device)?;
    move_medium(device, slot, drives.first)?;
    let loaded = is_full(device, DRIVE, drives.first)?;
    move_medium(device, drives.first, slot)?;
    want!(loaded, "drive {} is not full after the move", drives.first);
    want!(is_full(device, STORAGE, slot)?, "it did not come back to {slot}");
    Ok(())
}

/// Puts the cartridge of the first full slot into the first drive.
pub fn load(device: &mut Device) -> Verdict {
    let slot = full_slot(device, true)?.address;
    let [.., drives] = ranges(device)?;
    if is_full(device, DRIVE, drives.first)? {
        return Ok(());
    }
    move_medium(device, slot, drives.first)
}
