//! The changer's replies, to the byte, and its refusals.

use scsi::Data;
use vtl::Options;

use crate::host::*;

fn status(kind: u8, start: u16, count: u16, flags: u8, allocation: u32) -> Vec<u8> {
    let [s1, s2] = start.to_be_bytes();
    let [c1, c2] = count.to_be_bytes();
    let [_, a1, a2, a3] = allocation.to_be_bytes();
    vec![0xb8, kind, s1, s2, c1, c2, flags, a1, a2, a3, 0, 0]
}

fn tag(barcode: &str) -> Vec<u8> {
    let mut tag =
        if barcode.is_empty() { vec![0; 32] } else { format!("{barcode:<32}").into_bytes() };
    tag.extend([0; 4]);
    tag
}

#[test]
fn slots_with_tags_to_the_byte() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    let reply = changer.data_in(&status(0x12, 1024, 6, 0, 0xffff), 0xffff);
    let mut expected = vec![0x04, 0x00, 0, 6, 0, 0, 0x01, 0x28];
    expected.extend([2, 0x80, 0, 48, 0, 0, 0x01, 0x20]);
    for (address, barcode) in (0u16..).zip(["CAP001L8", "CAP002L8", "CAP003L8", "CAP004L8", "", ""])
    {
        let full = !barcode.is_empty();
        expected.extend([0x04, address as u8, 8 | u8::from(full), 0, 0, 0, 0, 0, 0]);
        expected.extend([u8::from(full), 0, 0]);
        expected.extend(tag(barcode));
    }
    assert_eq!(reply, expected);
    // Cut: the counts still tell everything, nothing is sent beyond the allocation.
    for allocation in [0u32, 4, 8, 20, 100] {
        let cut = changer.data_in(&status(0x12, 1024, 6, 0, allocation), 4096);
        assert_eq!(cut, expected[..allocation as usize]);
    }
    // A count of elements that exist from the start on.
    let reply = changer.data_in(&status(0x12, 1027, 2, 0, 0xffff), 0xffff);
    assert_eq!(reply[..8], [0x04, 0x03, 0, 2, 0, 0, 0, 104]);
    assert_eq!(reply.len(), 8 + 104);
    let reply = changer.data_in(&status(0x12, 1024, 0, 0, 0xffff), 0xffff);
    assert_eq!(reply, [0; 8]);
}

#[test]
fn drives_with_identifiers_access_and_source() {
    let rig = rig(8 * MIB);
    let mut drive = rig.drive(0);
    drive.settle();
    let serial = drive.data_in(&[0x12, 1, 0x80, 0, 255, 0], 255)[4..].to_vec();
    assert_eq!(serial.len(), 10);
    let mut changer = rig.changer();
    changer.settle();
    // Without DVCID no identifier, without VOLTAG no tag.
    let reply = changer.data_in(&status(0x04, 256, 1, 0, 255), 255);
    assert_eq!(reply[..8], [1, 0, 0, 1, 0, 0, 0, 20]);
    assert_eq!(reply[8..16], [4, 0, 0, 12, 0, 0, 0, 12]);
    assert_eq!(reply[16..], [1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    changer.good(&move_medium(1025, 256));
    let reply = changer.data_in(&status(0x14, 0, 100, 1, 0xffff), 0xffff);
    assert_eq!(reply[..8], [1, 0, 0, 2, 0, 0, 0, 180]);
    assert_eq!(reply[8..16], [4, 0x80, 0, 86, 0, 0, 0, 172]);
    // Loaded: FULL without ACCESS, with the slot it came from.
    assert_eq!(reply[16..28], [1, 0, 1, 0, 0, 0, 0, 0, 0, 0x81, 4, 1]);
    assert_eq!(reply[28..64], tag("CAP002L8"));
    assert_eq!(reply[64..68], [2, 1, 0, 34]);
    assert_eq!(&reply[68..76], b"CAPSTAN ");
    assert_eq!(&reply[76..92], b"VTL-LTO8        ");
    assert_eq!(reply[92..102], serial);
    // Unloaded by the host: the robot can take it.
    drive.settle();
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    let reply = changer.data_in(&status(0x04, 256, 1, 0, 255), 255);
    assert_eq!(reply[18], 9);
    // Other types get four zero bytes with DVCID.
    let reply = changer.data_in(&status(0x02, 1024, 1, 1, 255), 255);
    assert_eq!(reply[8..12], [2, 0, 0, 16]);
    assert_eq!(reply.len(), 32);
}

#[test]
fn all_types_come_as_pages_that_do_not_overlap() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    let reply = changer.data_in(&status(0x00, 0, 1000, 0, 0xffff), 0xffff);
    assert_eq!(reply[..4], [0, 1, 0, 11]);
    let total = u32::from_be_bytes([0, reply[5], reply[6], reply[7]]) as usize;
    assert_eq!(reply.len(), 8 + total);
    let mut at = 8;
    let mut seen = Vec::new();
    while at < reply.len() {
        let length = usize::from(u16::from_be_bytes([reply[at + 2], reply[at + 3]]));
        let bytes = u32::from_be_bytes([0, reply[at + 5], reply[at + 6], reply[at + 7]]) as usize;
        seen.push((reply[at], bytes / length));
        at += 8 + bytes;
    }
    assert_eq!(seen, [(1, 1), (3, 2), (4, 2), (2, 6)]);
    // A limit counts over all types.
    let reply = changer.data_in(&status(0x00, 17, 2, 0, 0xffff), 0xffff);
    assert_eq!(reply[..4], [0, 17, 0, 2]);
    // Behind everything; a type that has none there; an unknown type.
    changer.fails(&status(0x02, 1030, 10, 0, 255), (5, 0x21, 1));
    assert_eq!(changer.data_in(&status(0x03, 18, 10, 0, 255), 255), [0; 8]);
    changer.fails(&status(0x05, 0, 10, 0, 255), (5, 0x24, 0));
}

#[test]
fn a_library_without_import_export_has_no_such_page() {
    let rig = rig_with(&Options { import_export: 0, ..small() });
    let mut changer = rig.changer();
    changer.settle();
    assert_eq!(changer.data_in(&status(0x13, 0, 1000, 0, 255), 255), [0; 8]);
    let page = changer.data_in(&[0x1a, 8, 0x1d, 0, 255, 0], 255);
    assert_eq!(page[14..18], [0, 16, 0, 0]);
}

#[test]
fn moves_and_their_refusals() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.fails(&move_medium(1028, 1029), (5, 0x3b, 0x0e));
    changer.fails(&move_medium(1024, 1025), (5, 0x3b, 0x0d));
    changer.fails(&move_medium(1030, 1024), (5, 0x21, 1));
    changer.fails(&move_medium(1024, 1030), (5, 0x21, 1));
    changer.fails(&move_medium(1024, 1), (5, 0x21, 1));
    let mut wrong_robot = move_medium(1024, 1028);
    wrong_robot[3] = 2;
    changer.fails(&wrong_robot, (5, 0x21, 1));
    wrong_robot[3] = 1;
    changer.good(&wrong_robot);
    changer.good(&move_medium(1028, 256));
    changer.good(&move_medium(256, 257));
    // From drive to drive the slot stays the source.
    let reply = changer.data_in(&status(0x04, 257, 1, 0, 255), 255);
    assert_eq!(reply[25..28], [0x81, 4, 4]);
    changer.good(&move_medium(257, 16));
    let reply = changer.data_in(&status(0x13, 16, 1, 0, 255), 255);
    assert_eq!(reply[18], 0x39);
    // Out of the station: the station's address is the source.
    changer.good(&move_medium(16, 1024));
    let reply = changer.data_in(&status(0x02, 1024, 1, 0, 255), 255);
    assert_eq!(reply[25..28], [0x81, 0, 16]);
    changer.good(&[0x07, 0, 0, 0, 0, 0]);
    changer.good(&[0x37, 1, 4, 0, 0, 0, 0, 2, 0, 0]);
    changer.good(&[0xe7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    changer.fails(&[0x37, 1, 9, 0, 0, 0, 0, 2, 0, 0], (5, 0x21, 1));
}

#[test]
fn the_operators_station() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    rig.library.insert_cartridge("NEW001L8", None).unwrap();
    changer.fails(&[0; 6], (6, 0x28, 1));
    changer.good(&[0; 6]);
    let reply = changer.data_in(&status(0x13, 16, 1, 0, 255), 255);
    assert_eq!(reply[18], 0x3b);
    assert_eq!(reply[28..64], tag("NEW001L8"));
    changer.good(&move_medium(16, 1028));
    rig.library.put_into_station("NEW001L8").unwrap();
    rig.library.take_from_station("NEW001L8").unwrap();
    changer.fails(&[0; 6], (6, 0x28, 1));
    rig.library.add_cartridge("NEW002L8", None).unwrap();
    changer.fails(&[0; 6], (6, 0x28, 0));
    // A locked station.
    changer.good(&[0x1e, 0, 0, 0, 1, 0]);
    assert!(rig.library.insert_cartridge("NEW003L8", None).unwrap_err().is_retryable());
    changer.good(&[0x1e, 0, 0, 0, 0, 0]);
    rig.library.insert_cartridge("NEW003L8", None).unwrap();
    changer.settle();
    // No room, twice the same, in a drive.
    assert!(rig.library.add_cartridge("NEW004L8", None).is_err());
    rig.library.remove_cartridge("NEW003L8").unwrap();
    assert!(rig.library.insert_cartridge("CAP001L8", None).is_err());
    changer.settle();
    changer.good(&move_medium(1024, 256));
    assert!(rig.library.remove_cartridge("CAP001L8").unwrap_err().is_retryable());
    assert!(rig.library.remove_cartridge("GONE01L8").unwrap_err().is_missing());
}

#[test]
fn pages() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    // As `ch` asks, without DBD; as `mtx` asks; the long form.
    let assignment = [0x1d, 0x12, 0, 1, 0, 1, 4, 0, 0, 6, 0, 16, 0, 2, 1, 0, 0, 2, 0, 0];
    for cdb in [[0x1a, 0, 0x1d, 0, 255, 0], [0x1a, 8, 0x1d, 0, 0x88, 0]] {
        let reply = changer.data_in(&cdb, 255);
        assert_eq!(reply[..4], [23, 0, 0, 0]);
        assert_eq!(reply[4..], assignment);
    }
    let reply = changer.data_in(&[0x5a, 8, 0x1d, 0, 0, 0, 0, 16, 0, 0], 4096);
    assert_eq!(reply[..8], [0, 26, 0, 0, 0, 0, 0, 0]);
    assert_eq!(reply[8..], assignment);
    let reply = changer.data_in(&[0x1a, 8, 0x1f, 0, 255, 0], 255);
    assert_eq!(reply[4..12], [0x1f, 0x12, 0x0e, 0, 0, 0x0e, 0x0e, 0x0e]);
    assert_eq!(reply[12..], [0, 0, 0, 0, 0, 0x0e, 0x0e, 0x0e, 0, 0, 0, 0]);
    let reply = changer.data_in(&[0x1a, 8, 0x1e, 0, 255, 0], 255);
    assert_eq!(reply[4..], [0x1e, 2, 0, 0]);
    // LOG SENSE: the list, TapeAlert, and a page that is not there.
    assert_eq!(
        changer.data_in(&[0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0], 256),
        [0, 0, 0, 3, 0, 0x0d, 0x2e]
    );
    let reply = changer.data_in(&[0x4d, 0, 0x2e, 0, 0, 0, 0, 4, 0, 0], 1024);
    assert_eq!((reply.len(), &reply[..4]), (324, &[0x2e, 0, 0x01, 0x40][..]));
    changer.fails(&[0x4d, 0, 0x51, 0, 0, 0, 0, 4, 0, 0], (5, 0x24, 0));
    let inquiry = changer.data_in(&[0x12, 0, 0, 0, 255, 0], 255);
    assert_eq!(
        (inquiry[0], inquiry[1], inquiry[4], inquiry.len(), inquiry[55]),
        (8, 0x80, 51, 56, 1)
    );
    assert_eq!(changer.data_in(&[0x12, 1, 0, 0, 255, 0], 255), [8, 0, 0, 3, 0, 0x80, 0x83]);
    // Type 8 devices give B0h and on another meaning.
    changer.fails(&[0x12, 1, 0xb0, 0, 255, 0], (5, 0x24, 0));
    let reply = changer.send(&[0x15, 0x10, 0, 0, 0, 0], Data::Out(&[]));
    assert_eq!(reply.sense, None);
}
