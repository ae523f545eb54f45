//! Write protection that hosts set, append-only mode, SET CAPACITY, and early warning for readers.

use scsi::Data;
use vtl::{Options, Unit};

use crate::host::*;

const BY_SOFTWARE: (u8, u8, u8) = (7, 0x27, 2);
const ASSOCIATED: (u8, u8, u8) = (7, 0x27, 3);
const PERSISTENT: (u8, u8, u8) = (7, 0x27, 4);
const APPEND_ONLY: (u8, u8, u8) = (7, 0x27, 6);

/// Bytes and bits of page 10h.
const REW: (usize, u8) = (8, 0x01);
const SWP: (usize, u8) = (10, 0x04);
const ON_RESET: (usize, u8) = (15, 0x08);
const ASOCWP: (usize, u8) = (15, 0x04);
const PERSWP: (usize, u8) = (15, 0x02);

fn configuration(drive: &mut Host, subpage: u8) -> Vec<u8> {
    drive.data_in(&[0x1a, 8, 0x10, subpage, 255, 0], 255)[4..].to_vec()
}

fn select(drive: &mut Host, page: &[u8]) -> Option<(u8, u8, u8)> {
    let list = [&[0, 0, 0x10, 0], page].concat();
    let cdb = [0x15, 0x10, 0, 0, list.len() as u8, 0];
    drive.send(&cdb, Data::Out(&list)).sense.map(|sense| code(&sense))
}

/// Turns a bit of page 10h on or off.
fn set(drive: &mut Host, (byte, bit): (usize, u8), on: bool) -> Option<(u8, u8, u8)> {
    let mut page = configuration(drive, 0);
    page[byte] = page[byte] & !bit | if on { bit } else { 0 };
    let refused = select(drive, &page);
    if refused.is_none() {
        assert_eq!(configuration(drive, 0), page);
    }
    refused
}

/// Append-only mode on or off.
fn append_only(drive: &mut Host, on: bool) {
    let mut page = configuration(drive, 1);
    page[5] = page[5] & 0x0f | if on { 0x10 } else { 0 };
    assert_eq!(select(drive, &page), None);
    assert_eq!(configuration(drive, 1), page);
}

fn is_protected(drive: &mut Host) -> bool {
    let header = drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12)[2];
    let status = drive.data_in(&[0x4d, 0, 0x51, 0, 0, 0, 0, 0, 12, 0], 12)[8];
    assert_eq!(header & 0x80 != 0, status & 0x08 != 0);
    header & 0x80 != 0
}

/// Every command that writes ends so, and nothing changes.
#[track_caller]
fn refuses(drive: &mut Host, expected: (u8, u8, u8)) {
    let at = drive.position();
    assert_eq!(drive.write(b"x").map(|sense| code(&sense)), Some(expected));
    assert_eq!(drive.filemarks(1).map(|sense| code(&sense)), Some(expected));
    assert_eq!(drive.filemarks(0), None);
    drive.fails(&[0x19, 0, 0, 0, 0, 0], expected);
    assert_eq!(drive.position(), at);
    drive.rewind();
    drive.fails(&[0x04, 0, 0, 0, 0, 0], expected);
    drive.fails(&[0x0b, 0, 0, 0xff, 0xff, 0], expected);
    assert_eq!(drive.locate(0, at.0), None);
}

#[test]
fn software_protection_lasts_until_it_is_taken_back_or_the_drive_is_reset() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    assert_eq!(set(&mut drive, SWP, true), None);
    assert!(is_protected(&mut drive));
    refuses(&mut drive, BY_SOFTWARE);
    // It is the drive's: another program and another cartridge meet it too.
    drop(drive);
    let mut drive = rig.drive(0);
    refuses(&mut drive, BY_SOFTWARE);
    let mut changer = rig.changer();
    changer.good(&move_medium(256, 1024));
    changer.good(&move_medium(1025, 256));
    drive.settle();
    refuses(&mut drive, BY_SOFTWARE);
    assert_eq!(set(&mut drive, SWP, false), None);
    assert!(!is_protected(&mut drive));
    assert_eq!(drive.write(b"x"), None);
}

#[test]
fn associated_protection_ends_with_the_load() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    assert_eq!(set(&mut drive, ASOCWP, true), None);
    assert!(is_protected(&mut drive));
    refuses(&mut drive, ASSOCIATED);
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    // There is nothing that it could be associated with.
    assert_eq!(set(&mut drive, ASOCWP, true), Some((2, 0x3a, 0)));
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    drive.settle();
    assert!(!is_protected(&mut drive));
    assert_eq!(drive.write(b"x"), None);
}

#[test]
fn persistent_protection_goes_with_the_cartridge() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    assert_eq!(set(&mut drive, PERSWP, true), None);
    refuses(&mut drive, PERSISTENT);
    let mut changer = rig.changer();
    changer.good(&move_medium(256, 257));
    let mut other = rig.drive(1);
    other.settle();
    assert!(is_protected(&mut other));
    assert_eq!(configuration(&mut other, 0)[15], 0x82);
    refuses(&mut other, PERSISTENT);
    assert_eq!(set(&mut drive, PERSWP, true), Some((2, 0x3a, 0)));
    assert_eq!(set(&mut other, PERSWP, false), None);
    assert_eq!(other.write(b"x"), None);
    // The tab is stronger: what is behind it cannot be changed.
    other.good(&[0x1b, 0, 0, 0, 0, 0]);
    changer.good(&move_medium(257, 1024));
    rig.library.set_write_protected("CAP001L8", true).unwrap();
    changer.settle();
    changer.good(&move_medium(1024, 257));
    other.settle();
    assert_eq!(set(&mut other, PERSWP, true), Some((7, 0x27, 0)));
    assert_eq!(configuration(&mut other, 0)[15], 0x80);
}

#[test]
fn what_page_10h_cannot_be_is_refused() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let good = configuration(&mut drive, 0);
    // Another algorithm, a reserved value, permanent protection, another partition, end-of-data rules.
    for (byte, value) in [(14, 2), (15, 0x98), (15, 0x81), (3, 1), (10, 0x38)] {
        let mut page = good.clone();
        page[byte] = value;
        assert_eq!(select(&mut drive, &page), Some((5, 0x26, 0)), "byte {byte}");
    }
    let mut page = configuration(&mut drive, 1);
    page[5] = 0x22;
    assert_eq!(select(&mut drive, &page), Some((5, 0x26, 0)));
    assert_eq!(configuration(&mut drive, 0), good);
}

#[test]
fn another_host_learns_of_protection() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let session = rig.library.host_session("iqn.test:protection,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    for bit in [SWP, PERSWP] {
        assert_eq!(set(&mut drive, bit, true), None);
        other.fails(&[0; 6], (6, 0x2a, 1));
        other.good(&[0; 6]);
    }
}

#[test]
fn append_only_mode_lets_nothing_be_written_over() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    append_only(&mut drive, true);
    // At the end, and over filemarks directly before it.
    assert_eq!(drive.write(b"end"), None);
    assert_eq!(drive.filemarks(2), None);
    assert_eq!(drive.space(1, -1), None);
    assert_eq!(drive.write(b"more"), None);
    let end = drive.position();
    assert_eq!(end, (12, 4));
    for object in [0, 2, 6, 11] {
        assert_eq!(drive.locate(0, object), None);
        refuses(&mut drive, APPEND_ONLY);
    }
    assert_eq!(drive.locate(3, 0), None);
    assert_eq!(drive.position(), end);
    append_only(&mut drive, false);
    drive.rewind();
    assert_eq!(drive.write(b"x"), None);
}

/// ALLOW OVERWRITE.
fn allow(what: u8, partition: u8, object: u64) -> Vec<u8> {
    [&[0x82, 0, what, partition][..], &object.to_be_bytes(), &[0; 4]].concat()
}

#[test]
fn allow_overwrite_is_for_one_place() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.fails(&allow(0, 0, 0), (5, 0x20, 0x0c));
    append_only(&mut drive, true);
    assert_eq!(drive.locate(0, 3), None);
    // The host must know where the tape stands.
    drive.fails(&allow(1, 0, 4), (5, 0x3b, 0));
    drive.fails(&allow(1, 1, 3), (5, 0x3b, 0));
    drive.fails(&allow(2, 0, 0), (5, 0x3b, 0x0c));
    drive.fails(&allow(3, 0, 0), (5, 0x24, 0));
    refuses(&mut drive, APPEND_ONLY);
    // It ends when the tape is moved, and when it is taken back.
    drive.good(&allow(1, 0, 3));
    drive.rewind();
    assert_eq!(drive.locate(0, 3), None);
    refuses(&mut drive, APPEND_ONLY);
    drive.good(&allow(1, 0, 3));
    drive.good(&allow(0, 0, 0));
    refuses(&mut drive, APPEND_ONLY);
    drive.good(&allow(1, 0, 3));
    assert_eq!(drive.write(b"new"), None);
    assert_eq!(drive.write(b"and on"), None);
    assert_eq!(drive.position(), (5, 1));
    drive.rewind();
    drive.good(&allow(2, 0, 0));
    // That was for formatting only.
    assert_eq!(drive.write(b"x").map(|sense| code(&sense)), Some(APPEND_ONLY));
    drive.good(&[0x04, 0, 0, 0, 0, 0]);
    assert_eq!(drive.locate(3, 0), None);
    assert_eq!(drive.position(), (0, 0));
}

#[test]
fn set_capacity_gives_and_takes_tape() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let megabytes = |drive: &mut Host| {
        let page = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 0, 0x16, 0, 12, 0], 12);
        u32::from_be_bytes(page[8..12].try_into().unwrap())
    };
    assert_eq!(megabytes(&mut drive), 67);
    drive.write_example();
    drive.fails(&[0x0b, 0, 0, 0x40, 0, 0], (5, 0x3b, 0x0c));
    drive.rewind();
    drive.good(&[0x0b, 1, 0, 0x40, 0, 0]);
    assert_eq!(drive.read_block(10).1.map(|sense| code(&sense)), Some((8, 0, 5)));
    assert_eq!(megabytes(&mut drive), 16);
    let block = pattern(1, 1 << 20);
    let mut fitting = 0;
    while drive.write(&block).is_none_or(|sense| code(&sense) == (0, 0, 2)) {
        fitting += 1;
    }
    assert_eq!(fitting, 16);
    // It stays with the cartridge, and the proportion is always of the whole.
    rig.changer().good(&move_medium(256, 257));
    let mut other = rig.drive(1);
    other.settle();
    assert_eq!(megabytes(&mut other), 16);
    other.good(&[0x0b, 0, 0, 0x80, 0, 0]);
    assert_eq!(megabytes(&mut other), 33);
    other.good(&[0x0b, 0, 0, 0xff, 0xff, 0]);
    assert_eq!(megabytes(&mut other), 67);
    // However little is asked for, something is left.
    other.good(&[0x0b, 0, 0, 0, 0, 0]);
    assert_eq!(other.write(&[1; 1000]), None);
}

#[test]
fn a_worm_tape_keeps_its_capacity() {
    let rig = rig_with(&Options { worm: true, ..small() });
    let mut drive = rig.loaded();
    drive.fails(&[0x0b, 0, 0, 0x40, 0, 0], (7, 0x30, 0x0c));
}

#[test]
fn readers_are_warned_of_the_end_if_they_asked_for_it() {
    let rig = rig(8 * MIB);
    let mut drive = rig.loaded();
    let block = pattern(1, BLOCK);
    let mut before = 0;
    while drive.write(&block).is_none() {
        before += 1;
    }
    assert_eq!(drive.write(&block).map(|sense| code(&sense)), Some((0, 0, 2)));
    for asked in [false, true] {
        assert_eq!(set(&mut drive, REW, asked), None);
        drive.rewind();
        for _ in 0..before {
            assert_eq!(drive.read_block(BLOCK), (block.clone(), None));
        }
        for _ in 0..2 {
            let (data, sense) = drive.read_block(BLOCK);
            assert_eq!(data, block);
            let told = sense.map(|one| (code(&one), one.end_of_medium, one.information));
            assert_eq!(told, asked.then_some(((0, 0, 2), true, Some(0))));
        }
    }
    // Fixed blocks: it ends behind the block that met it.
    let [_, a, b, c] = (BLOCK as u32).to_be_bytes();
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0x10, 8, 0, 0, 0, 0, 0, a, b, c]);
    assert_eq!(drive.locate(0, before - 1), None);
    let (data, sense) = drive.read(1, 3, 3 * BLOCK);
    assert_eq!((data.len(), sense.map(|one| one.information)), (2 * BLOCK, Some(Some(1))));
    assert_eq!(drive.position(), (before + 1, 0));
}

#[test]
fn a_reset_rewinds_if_it_was_asked_to() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let session = rig.library.host_session("iqn.test:reset,i,0x1").unwrap();
    drive.write_example();
    for (asked, position) in [(false, (9, 3)), (true, (0, 0))] {
        assert_eq!(set(&mut drive, ON_RESET, asked), None);
        session.reset(Unit::Drive(0)).unwrap();
        drive.fails(&[0; 6], (6, 0x29, 3));
        assert_eq!(drive.position(), position);
    }
}
