//! The operator's hands: the station's door, cartridges that go to the shelf and come back, and what hosts are told.

use vtl::{ByHand, ElementKind, Library};

use crate::host::*;

/// Flags of the first import/export element, whose ACCESS is 08h and ImpExp 02h.
fn station_flags(changer: &mut Host) -> u8 {
    changer.data_in(&[0xb8, 3, 0, 16, 0, 1, 0, 0, 0, 255, 0, 0], 255)[18]
}

/// The library as another process has it: its own handles, the same folder.
fn where_is(library: &Library, barcode: &str) -> Option<(ElementKind, u16)> {
    let listing = library.list().unwrap();
    let found = listing.elements.iter().find(|one| one.barcode.as_deref() == Some(barcode));
    found.map(|one| (one.kind, one.number))
}

#[test]
fn an_open_station_is_the_operators_and_closing_it_is_told_once() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    rig.library.open_station().unwrap();
    rig.library.open_station().unwrap();
    assert!(rig.library.list().unwrap().station_open);
    // Nothing is told yet; the robot keeps its gripper out of it.
    changer.good(&[0; 6]);
    assert_eq!(station_flags(&mut changer), 0x30);
    changer.fails(&move_medium(1024, 16), (2, 0x3a, 2));
    changer.fails(&move_medium(16, 1028), (2, 0x3a, 2));
    changer.good(&move_medium(1024, 1028));
    let put = rig.library.put_in("NEW001L8", ByHand::Station, None).unwrap();
    assert_eq!(put, (ElementKind::ImportExport, 1));
    rig.library.put_in("NEW002L8", ByHand::StationSlot(2), None).unwrap();
    rig.library.take_out("NEW002L8").unwrap();
    changer.good(&[0; 6]);
    rig.library.close_station().unwrap();
    changer.fails(&[0; 6], (6, 0x28, 1));
    changer.good(&[0; 6]);
    assert_eq!(station_flags(&mut changer), 0x3b);
    changer.good(&move_medium(16, 1024));
    // A door that is closed already tells nothing.
    rig.library.close_station().unwrap();
    changer.good(&[0; 6]);
}

#[test]
fn a_hand_in_a_closed_station_opens_and_closes_it() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    rig.library.put_in("NEW001L8", ByHand::Station, None).unwrap();
    changer.fails(&[0; 6], (6, 0x28, 1));
    assert_eq!(station_flags(&mut changer), 0x3b);
    rig.library.take_out("NEW001L8").unwrap();
    changer.fails(&[0; 6], (6, 0x28, 1));
    assert_eq!(station_flags(&mut changer), 0x38);
}

#[test]
fn a_host_that_locks_the_station_keeps_it_closed() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&[0x1e, 0, 0, 0, 1, 0]);
    assert!(rig.library.open_station().unwrap_err().is_retryable());
    assert!(rig.library.put_in("NEW001L8", ByHand::Station, None).unwrap_err().is_retryable());
    // A storage slot has a door of its own.
    rig.library.put_in("NEW001L8", ByHand::Slot(5), None).unwrap();
    changer.fails(&[0; 6], (6, 0x28, 0));
    changer.good(&[0x1e, 0, 0, 0, 0, 0]);
    rig.library.open_station().unwrap();
    // A door that is open already is not affected.
    changer.good(&[0x1e, 0, 0, 0, 1, 0]);
    rig.library.put_in("NEW002L8", ByHand::Station, None).unwrap();
    rig.library.close_station().unwrap();
    assert!(rig.library.take_out("NEW002L8").unwrap_err().is_retryable());
}

#[test]
fn what_lies_on_the_shelf_is_gone_for_hosts_and_comes_back_with_its_data() {
    let rig = rig(8 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(256, 1024));
    rig.library.take_out("CAP001L8").unwrap();
    changer.fails(&[0; 6], (6, 0x28, 0));
    assert_eq!(where_is(&rig.library, "CAP001L8"), None);
    assert_eq!(rig.library.list().unwrap().shelf, ["CAP001L8"]);
    changer.fails(&move_medium(1024, 256), (5, 0x3b, 0x0e));
    // It is not made anew over what is on it, not taken out twice, and can be looked at.
    assert!(rig.library.add_cartridge("CAP001L8", None).is_err());
    assert!(rig.library.insert_cartridge("CAP001L8", None).is_err());
    assert!(rig.library.take_out("CAP001L8").is_err());
    assert!(rig.library.check_cartridge("CAP001L8", &()).unwrap().blocks > 0);
    rig.library.set_write_protected("CAP001L8", true).unwrap();

    rig.library.put_in("CAP001L8", ByHand::Slot(6), None).unwrap();
    assert!(rig.library.list().unwrap().shelf.is_empty());
    changer.fails(&[0; 6], (6, 0x28, 0));
    changer.good(&move_medium(1029, 256));
    drive.settle();
    let (block, _) = drive.read_block(100_000);
    assert!(!block.is_empty());
}

#[test]
fn a_cartridge_is_pushed_into_a_drive_and_taken_when_it_is_ejected() {
    let rig = rig(8 * MIB);
    let mut drive = rig.drive(0);
    drive.settle();
    drive.fails(&[0; 6], (2, 0x3a, 0));
    let put = rig.library.put_in("NEW001L8", ByHand::Drive(0), None).unwrap();
    assert_eq!(put, (ElementKind::Drive, 0));
    drive.fails(&[0; 6], (6, 0x28, 0));
    drive.good(&[0; 6]);
    assert_eq!(drive.write(&pattern(1, 1000)), None);
    drive.filemarks(1);
    let refused = rig.library.take_out("NEW001L8").unwrap_err();
    assert!(refused.is_retryable() && refused.to_string().contains("eject"), "{refused}");
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    rig.library.take_out("NEW001L8").unwrap();
    drive.fails(&[0; 6], (2, 0x3a, 0));
    // Another drive reads it.
    rig.library.put_in("NEW001L8", ByHand::Drive(1), None).unwrap();
    let mut other = rig.drive(1);
    other.settle();
    assert_eq!(other.read_block(2000).0, pattern(1, 1000));
}

#[test]
fn places_that_are_taken_or_missing_are_named() {
    let rig = rig(8 * MIB);
    let error = |place| rig.library.put_in("NEW001L8", place, None).unwrap_err();
    let taken = error(ByHand::Slot(1)).to_string();
    assert!(taken.contains("slot 1 holds CAP001L8"), "{taken}");
    for place in [ByHand::Slot(0), ByHand::Slot(7), ByHand::StationSlot(3), ByHand::Drive(2)] {
        assert!(error(place).is_missing(), "{place:?}");
    }
    assert!(rig.library.put_in("CAP001L8", ByHand::Station, None).is_err());
    assert!(rig.library.put_in("../x", ByHand::Station, None).is_err());
    assert!(rig.library.take_out("GONE01L8").unwrap_err().is_missing());
    for number in 1..=2 {
        rig.library.put_in(&format!("NEW00{number}L8"), ByHand::Station, None).unwrap();
    }
    let full = rig.library.put_in("NEW003L8", ByHand::Station, None).unwrap_err().to_string();
    assert!(full.contains("no free import/export slot"), "{full}");
}
