//! Mistakes that emulators of tape libraries are known for: a test each, through SCSI alone, that this one does not make
//! them.

use scsi::Data;
use scsi::command::security::{DecryptionMode, EncryptionStatus, SetEncryption};
use vtl::Options;

use crate::host::*;

const END_OF_DATA: (u8, u8, u8) = (8, 0, 5);

/// READ ELEMENT STATUS with volume tags.
fn status(changer: &mut Host, kind: u8, start: u16, count: u16) -> Vec<u8> {
    let ([s1, s2], [c1, c2]) = (start.to_be_bytes(), count.to_be_bytes());
    changer.data_in(&[0xb8, 0x10 | kind, s1, s2, c1, c2, 0, 0, 0xff, 0xff, 0, 0], 0xffff)
}

fn attributes(drive: &mut Host, first: u16) -> Option<Vec<u8>> {
    let [high, low] = first.to_be_bytes();
    let mut buffer = vec![0; 8192];
    let cdb = [0x8c, 0, 0, 0, 0, 0, 0, 0, high, low, 0, 0, 0x20, 0, 0, 0];
    let reply = drive.send(&cdb, Data::In(&mut buffer));
    buffer.truncate(reply.transferred);
    reply.sense.is_none().then_some(buffer)
}

fn write_label(drive: &mut Host, value: &[u8]) {
    let length = value.len() as u8;
    let mut list = vec![0, 0, 0, 5 + length, 8, 3, 2, 0, length];
    list.extend(value);
    let cdb = [0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0, 0];
    drive.data_out(&cdb, &list);
}

#[test]
fn a_read_of_the_wrong_length_moves_the_block_and_tells_the_difference() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 3000)), None);
    drive.rewind();
    let (data, sense) = drive.read(0, 10_000, 10_000);
    assert_eq!((data.len(), sense.unwrap().information), (3000, Some(7000)));
    drive.rewind();
    let (data, sense) = drive.read(0, 1000, 1000);
    assert_eq!((data.len(), sense.unwrap().information), (1000, Some(-2000)));
}

#[test]
fn sili_hides_the_wrong_length() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 3000)), None);
    for length in [1000, 10_000] {
        drive.rewind();
        assert_eq!(drive.read(2, length, 10_000).1, None, "{length}");
    }
}

#[test]
fn a_filemark_sends_nothing() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 3000)), None);
    assert_eq!(drive.filemarks(1), None);
    drive.rewind();
    // The buffers of host and drive held a block a moment ago.
    assert_eq!(drive.read_block(3000).0.len(), 3000);
    let (data, sense) = drive.read_block(3000);
    assert_eq!((data.len(), code(&sense.unwrap())), (0, (0, 0, 1)));
}

#[test]
fn end_of_data_is_not_the_end_of_the_medium() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 3000)), None);
    let sense = drive.read_block(3000).1.unwrap();
    assert_eq!((code(&sense), sense.end_of_medium), (END_OF_DATA, false));
    let sense = drive.space(1, 1).unwrap();
    assert_eq!((code(&sense), sense.end_of_medium), (END_OF_DATA, false));
}

#[test]
fn a_filemark_is_no_block_to_space_over() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.rewind();
    let sense = drive.space(0, 4).unwrap();
    assert_eq!((code(&sense), sense.filemark, sense.information), ((0, 0, 1), true, Some(2)));
    assert_eq!(drive.position(), (3, 1));
}

#[test]
fn spacing_back_from_the_beginning_stays_there() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.rewind();
    for kind in [0, 1] {
        let sense = drive.space(kind, -1).unwrap();
        assert_eq!((code(&sense), sense.end_of_medium), ((0, 0, 4), true));
        assert_eq!(drive.position(), (0, 0));
    }
}

#[test]
fn the_position_is_the_position() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    for object in 0..3u8 {
        for form in [0, 1] {
            let reply = drive.data_in(&[0x34, form, 0, 0, 0, 0, 0, 0, 0, 0], 20);
            assert_eq!((reply[0] & 0x80 != 0, reply[7]), (object == 0, object));
        }
        assert_eq!(drive.write(&pattern(object.into(), 1000)), None);
    }
}

#[test]
fn files_can_be_located() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    for (file, object) in [(0, 0), (1, 3), (2, 7), (3, 8)] {
        assert_eq!(drive.locate(1, file), None);
        assert_eq!(drive.position(), (object, file));
    }
    assert_eq!(drive.locate(1, 4).map(|sense| code(&sense)), Some(END_OF_DATA));
}

#[test]
fn nothing_is_written_behind_the_end_of_the_medium() {
    let rig = rig(8 * MIB);
    let mut drive = rig.loaded();
    let block = pattern(1, BLOCK);
    while drive.write(&block).is_none_or(|sense| code(&sense) == (0, 0, 2)) {}
    let end = drive.position();
    for _ in 0..3 {
        let sense = drive.write(&block).unwrap();
        assert_eq!((code(&sense), sense.end_of_medium), ((0x0d, 0, 2), true));
        assert_eq!(drive.position(), end);
    }
    drive.locate(3, 0);
    assert_eq!(drive.position(), end);
}

#[test]
fn unload_unloads_and_load_loads_again() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 1000)), None);
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    drive.fails(&[0x08, 2, 0, 3, 0xe8, 0], (2, 0x3a, 0));
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    drive.settle();
    assert_eq!(drive.read_block(1000), (pattern(1, 1000), None));
}

#[test]
fn erase_works_in_the_middle_of_the_tape() {
    let rig = rig(64 * MIB);
    for long in [0, 1] {
        let mut drive = rig.loaded();
        drive.write_example();
        assert_eq!(drive.locate(0, 4), None);
        drive.good(&[0x19, long, 0, 0, 0, 0]);
        assert_eq!(drive.read_block(1000).1.map(|sense| code(&sense)), Some(END_OF_DATA));
        assert_eq!(drive.position(), (4, 1));
        rig.changer().good(&move_medium(256, 1024));
    }
}

#[test]
fn every_load_is_told() {
    let rig = rig(64 * MIB);
    let mut drive = rig.drive(0);
    let mut changer = rig.changer();
    drive.settle();
    changer.settle();
    for _ in 0..2 {
        changer.good(&move_medium(1024, 256));
        drive.fails(&[0; 6], (6, 0x28, 0));
        drive.good(&[0; 6]);
        drive.good(&[0x1b, 0, 0, 0, 0, 0]);
        drive.good(&[0x1b, 0, 0, 0, 1, 0]);
        drive.fails(&[0; 6], (6, 0x28, 0));
        drive.good(&[0; 6]);
        changer.good(&move_medium(256, 1024));
    }
}

#[test]
fn element_status_counts_every_byte() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    for kind in 0..=4 {
        let reply = status(&mut changer, kind, 0, 0xffff);
        let told = u32::from_be_bytes([0, reply[5], reply[6], reply[7]]) as usize;
        assert_eq!(reply.len(), 8 + told, "type {kind}");
        // Pages follow each other, each as long as it says, each full of whole descriptors.
        let (mut at, mut elements) = (8, 0);
        while at < reply.len() {
            let length = usize::from(u16::from_be_bytes([reply[at + 2], reply[at + 3]]));
            let bytes = u32::from_be_bytes([0, reply[at + 5], reply[at + 6], reply[at + 7]]);
            assert_eq!(bytes as usize % length, 0, "type {kind}");
            elements += bytes as usize / length;
            at += 8 + bytes as usize;
        }
        assert_eq!((at, elements), (reply.len(), usize::from(reply[3])), "type {kind}");
    }
}

#[test]
fn element_status_shows_each_element_once() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    let reply = status(&mut changer, 0, 0, 0xffff);
    let mut addresses = Vec::new();
    let mut at = 8;
    while at < reply.len() {
        let length = usize::from(u16::from_be_bytes([reply[at + 2], reply[at + 3]]));
        let bytes = u32::from_be_bytes([0, reply[at + 5], reply[at + 6], reply[at + 7]]) as usize;
        let body = &reply[at + 8..at + 8 + bytes];
        addresses.extend(body.chunks(length).map(|one| u16::from_be_bytes([one[0], one[1]])));
        at += 8 + bytes;
    }
    assert_eq!(addresses, [1, 16, 17, 256, 257, 1024, 1025, 1026, 1027, 1028, 1029]);
}

#[test]
fn element_status_stops_at_the_count() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    for (kind, start, count) in [(0, 0, 1), (0, 16, 3), (2, 1025, 2), (4, 0, 1)] {
        let reply = status(&mut changer, kind, start, count);
        assert_eq!(u16::from_be_bytes([reply[2], reply[3]]), count, "{kind} from {start}");
    }
}

#[test]
fn a_page_of_vital_data_that_is_not_listed_is_refused() {
    let rig = rig(8 * MIB);
    for mut unit in [rig.drive(0), rig.changer()] {
        let listed = unit.data_in(&[0x12, 1, 0, 0, 255, 0], 255)[4..].to_vec();
        for page in 0..=0xff {
            if !listed.contains(&page) {
                unit.fails(&[0x12, 1, page, 0, 255, 0], (5, 0x24, 0));
            }
        }
    }
}

#[test]
fn only_units_that_exist_are_listed() {
    let rig = rig(8 * MIB);
    for mut unit in [rig.drive(0), rig.drive(1), rig.changer()] {
        let list = unit.data_in(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 256);
        assert_eq!(list, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}

#[test]
fn subpages_carry_their_bit() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    for (page, subpage) in [(0x10, 0x01), (0x0a, 0xf0)] {
        let reply = drive.data_in(&[0x1a, 8, page, subpage, 255, 0], 255);
        assert_eq!(reply[4..8], [0x40 | page, subpage, 0, 0x1c]);
        assert_eq!(reply.len(), 4 + 32);
    }
}

#[test]
fn a_worm_cartridge_is_told_where_hosts_look() {
    let options = Options { worm: true, ..small() };
    for (rig, worm) in [(rig_with(&options), 1), (rig(64 * MIB), 0)] {
        let mut drive = rig.loaded();
        let page = drive.data_in(&[0x1a, 8, 0x1d, 0, 255, 0], 255);
        assert_eq!(page[4..7], [0x1d, 0x1e, worm]);
        let statistics = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 0, 0x81, 0, 9, 0], 9);
        assert_eq!(statistics[4..9], [0, 0x81, 3, 1, worm]);
    }
}

#[test]
fn log_pages_hold_no_padding() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let pages = drive.data_in(&[0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0], 256)[4..].to_vec();
    for page in pages.into_iter().filter(|page| *page != 0) {
        let reply = drive.data_in(&[0x4d, 0, 0x40 | page, 0, 0, 0, 0, 16, 0, 0], 4096);
        let mut codes = Vec::new();
        let mut rest = &reply[4..];
        while let [high, low, _, length, tail @ ..] = rest {
            assert_ne!(*length, 0, "page {page:02x}");
            codes.push(u16::from_be_bytes([*high, *low]));
            rest = &tail[usize::from(*length)..];
        }
        assert!(rest.is_empty() && codes.is_sorted_by(|one, next| one < next), "page {page:02x}");
    }
}

#[test]
fn encryption_pages_are_as_long_as_they_say() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let listed = drive.data_in(&[0xa2, 0x20, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 256)[4..].to_vec();
    for page in listed.chunks(2) {
        let reply = drive.data_in(&[0xa2, 0x20, page[0], page[1], 0, 0, 0, 0, 4, 0, 0, 0], 1024);
        assert_eq!(reply[..2], *page);
        assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 4);
    }
}

#[test]
fn request_sense_tells_nothing_twice() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let request = [0x03, 0, 0, 0, 18, 0];
    // What a command was told itself is not told again either.
    drive.fails(&[0x11, 1, 0, 0, 1, 0], END_OF_DATA);
    for _ in 0..2 {
        let sense = scsi::Sense::parse(&drive.data_in(&request, 18)).unwrap();
        assert_eq!(code(&sense), (0, 0, 0));
    }
    drop(drive);
    let mut empty = rig.drive(1);
    let mut told = || code(&scsi::Sense::parse(&empty.data_in(&request, 18)).unwrap());
    assert_eq!([told(), told(), told()], [(6, 0x29, 0), (2, 0x3a, 0), (2, 0x3a, 0)]);
}

#[test]
fn ckod_clears_the_key_when_the_tape_goes() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    // Modes of encryption and decryption: off, or encrypt and mixed.
    for (clear_on_demount, expected) in [(true, (0, 0)), (false, (2, 3))] {
        let set = SetEncryption {
            decryption: DecryptionMode::Mixed,
            clear_on_demount,
            ..SetEncryption::mixed(1, &[7; 32])
        };
        let page = set.build();
        drive.data_out(&set.cdb(), &page);
        drive.good(&[0x1b, 0, 0, 0, 0, 0]);
        drive.good(&[0x1b, 0, 0, 0, 1, 0]);
        drive.settle();
        let page = drive.data_in(&[0xa2, 0x20, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0], 256);
        let status = EncryptionStatus::parse(&page).unwrap();
        assert_eq!((status.encryption_mode, status.decryption_mode), expected);
    }
}

#[test]
fn a_short_attribute_keeps_no_old_tail() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    write_label(&mut drive, b"a long label");
    write_label(&mut drive, b"short");
    let value = attributes(&mut drive, 0x0803).unwrap();
    assert_eq!(value[4..9], [8, 3, 2, 0, 160]);
    assert_eq!((&value[9..14], &value[14..9 + 160]), (&b"short"[..], &[0; 155][..]));
}

#[test]
fn an_attribute_of_length_0_is_removed() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    write_label(&mut drive, b"label");
    assert!(attributes(&mut drive, 0x0803).is_some_and(|value| value[4..6] == [8, 3]));
    write_label(&mut drive, b"");
    assert!(attributes(&mut drive, 0x0803).is_none_or(|value| value[4..6] != [8, 3]));
}

#[test]
fn prevention_of_removal_holds() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    drive.fails(&[0x1b, 0, 0, 0, 0, 0], (5, 0x53, 2));
    rig.changer().fails(&move_medium(256, 1024), (5, 0x53, 2));
    drive.good(&[0; 6]);
}

#[test]
fn mode_select_takes_subpages() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    // Programmable early warning of 100 MB; CRC-32C on both ways.
    for (page, subpage, at, values) in [(0x10, 0x01, 6, [0, 100, 0]), (0x0a, 0xf0, 4, [2, 4, 0xc0])]
    {
        let mut list = drive.data_in(&[0x1a, 8, page, subpage, 255, 0], 255);
        list[0] = 0;
        list[4 + at..4 + at + 3].copy_from_slice(&values);
        drive.data_out(&[0x15, 0x10, 0, 0, list.len() as u8, 0], &list);
        let now = drive.data_in(&[0x1a, 8, page, subpage, 255, 0], 255);
        assert_eq!(now[4..], list[4..], "{page:02x}");
    }
}

#[test]
fn every_kind_of_log_value_can_be_asked_for() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    for page in [0x11, 0x17, 0x2e, 0x31] {
        let replies = [0x00, 0x40, 0x80, 0xc0]
            .map(|control| drive.data_in(&[0x4d, 0, control | page, 0, 0, 0, 0, 16, 0, 0], 4096));
        assert!(replies.iter().all(|reply| *reply == replies[0]), "page {page:02x}");
    }
}
