//! EXCHANGE MEDIUM: two cartridges change places in one command.

use vtl::Options;

use crate::host::*;

fn exchange(source: u16, first: u16, second: u16) -> [u8; 12] {
    let ([s1, s2], [a1, a2], [b1, b2]) =
        (source.to_be_bytes(), first.to_be_bytes(), second.to_be_bytes());
    [0xa6, 0, 0, 0, s1, s2, a1, a2, b1, b2, 0, 0]
}

/// Flags, source (0 without one) and bar code of an element.
fn element(changer: &mut Host, address: u16) -> (u8, u16, String) {
    let kind = match address {
        16.. if address < 256 => 3,
        256.. if address < 1024 => 4,
        _ => 2,
    };
    let [a1, a2] = address.to_be_bytes();
    let reply = changer.data_in(&[0xb8, 0x10 | kind, a1, a2, 0, 1, 0, 0, 1, 0, 0, 0], 256);
    let descriptor = &reply[16..];
    assert_eq!(descriptor[..2], [a1, a2]);
    let source = if descriptor[9] & 0x80 == 0 { [0, 0] } else { [descriptor[10], descriptor[11]] };
    let tag = String::from_utf8_lossy(&descriptor[12..44]);
    let tag = tag.trim_end_matches(['\0', ' ']).to_string();
    (descriptor[2], u16::from_be_bytes(source), tag)
}

#[test]
fn two_slots_change_their_cartridges() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&exchange(1024, 1025, 1024));
    assert_eq!(element(&mut changer, 1024), (9, 1025, "CAP002L8".into()));
    assert_eq!(element(&mut changer, 1025), (9, 1024, "CAP001L8".into()));
    // On to a third place.
    changer.good(&exchange(1024, 1026, 16));
    assert_eq!(element(&mut changer, 1024), (8, 0, String::new()));
    assert_eq!(element(&mut changer, 1026), (9, 1024, "CAP002L8".into()));
    assert_eq!(element(&mut changer, 16), (0x39, 1026, "CAP003L8".into()));
}

#[test]
fn the_tape_in_a_drive_is_changed_for_the_next_one() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let mut changer = rig.changer();
    assert_eq!(drive.write(&pattern(1, 1000)), None);
    // The drive unloads by itself, the second tape is threaded by itself and told.
    changer.good(&exchange(1025, 256, 1025));
    drive.fails(&[0; 6], (6, 0x28, 0));
    drive.good(&[0; 6]);
    assert_eq!(drive.read_block(1000).1.map(|sense| code(&sense)), Some((8, 0, 5)));
    assert_eq!(element(&mut changer, 256), (1, 1025, "CAP002L8".into()));
    assert_eq!(element(&mut changer, 1025), (9, 1024, "CAP001L8".into()));
    // Two drives; what was written is there.
    changer.good(&exchange(1025, 256, 257));
    drive.settle();
    assert_eq!(drive.read_block(1000), (pattern(1, 1000), None));
    let mut other = rig.drive(1);
    other.settle();
    other.good(&[0; 6]);
    assert_eq!(element(&mut changer, 257), (1, 1025, "CAP002L8".into()));
    changer.good(&exchange(256, 257, 256));
    drive.settle();
    other.settle();
    assert_eq!(other.read_block(1000), (pattern(1, 1000), None));
}

#[test]
fn a_refused_exchange_changes_nothing() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let mut changer = rig.changer();
    let before: Vec<_> = [256, 257, 1024, 1025, 1026].map(|at| element(&mut changer, at)).into();
    changer.fails(&exchange(1028, 1025, 1029), (5, 0x3b, 0x0e));
    changer.fails(&exchange(1025, 1028, 1029), (5, 0x3b, 0x0e));
    changer.fails(&exchange(1025, 1026, 1027), (5, 0x3b, 0x0d));
    changer.fails(&exchange(1025, 1025, 1028), (5, 0x24, 0));
    changer.fails(&exchange(1025, 1026, 1026), (5, 0x24, 0));
    changer.fails(&exchange(1025, 2000, 1025), (5, 0x21, 1));
    changer.fails(&exchange(1, 1025, 1028), (5, 0x21, 1));
    let mut turned = exchange(1025, 1026, 1025);
    turned[10] = 2;
    changer.fails(&turned, (5, 0x24, 0));
    turned = exchange(1025, 1026, 1025);
    turned[3] = 2;
    changer.fails(&turned, (5, 0x21, 1));
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    changer.fails(&exchange(1025, 256, 1025), (5, 0x53, 2));
    changer.fails(&exchange(256, 1025, 1028), (5, 0x53, 2));
    drive.good(&[0; 6]);
    let after: Vec<_> = [256, 257, 1024, 1025, 1026].map(|at| element(&mut changer, at)).into();
    assert_eq!(before, after);
}

#[test]
fn an_open_station_takes_part_in_no_exchange() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    rig.library.open_station().unwrap();
    changer.fails(&exchange(1024, 1025, 16), (2, 0x3a, 2));
    changer.good(&exchange(1024, 1025, 1024));
    rig.library.close_station().unwrap();
    changer.settle();
    changer.good(&exchange(1024, 1025, 16));
}

#[test]
fn a_robot_that_stops_during_an_exchange_holds_one_cartridge() {
    let rig = rig(8 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    rig.library.set_faults(Some("once changer move -> gripper".parse().unwrap()));
    changer.fails(&exchange(1024, 1025, 1024), (4, 0x15, 1));
    assert_eq!(element(&mut changer, 1024).2, "CAP001L8");
    assert_eq!(element(&mut changer, 1025).2, "");
    changer.fails(&exchange(1024, 1026, 1024), (4, 0x15, 1));
    // Put down, and tried again.
    changer.good(&[0x07, 0, 0, 0, 0, 0]);
    assert_eq!(element(&mut changer, 1025).2, "CAP002L8");
    changer.good(&exchange(1024, 1025, 1024));
}

#[test]
fn a_cleaning_cartridge_that_is_exchanged_into_a_drive_cleans_it() {
    let rig = rig_with(&Options { cartridges: 1, ..small() });
    rig.library.add_cartridge("CLN001L8", None).unwrap();
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    changer.good(&exchange(1025, 256, 1025));
    // It is done, and the cartridge unloaded.
    assert_eq!(element(&mut changer, 256), (9, 1025, "CLN001L8".into()));
    assert_eq!(element(&mut changer, 1025).2, "CAP001L8");
}
