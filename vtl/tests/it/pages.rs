//! INQUIRY, mode pages, log pages, cartridge memory and the lists, to the byte.

use scsi::Data;

use crate::host::*;

#[test]
fn inquiry_and_vital_product_data() {
    let rig = rig(64 * MIB);
    let mut drive = rig.drive(0);
    let standard = drive.data_in(&[0x12, 0, 0, 0, 36, 0], 36);
    assert_eq!(standard[..8], [1, 0x80, 6, 2, 0x1f, 0, 0, 2]);
    assert_eq!(&standard[8..36], b"CAPSTAN VTL-LTO8        0100");
    let pages = drive.data_in(&[0x12, 1, 0, 0, 255, 0], 255);
    assert_eq!(pages, [1, 0, 0, 8, 0, 0x80, 0x83, 0xb0, 0xb1, 0xb2, 0xb3, 0xb5]);
    for page in &pages[4..] {
        let reply = drive.data_in(&[0x12, 1, *page, 0, 255, 0], 255);
        assert_eq!(reply[..2], [1, *page]);
        assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 4);
        // Cut: the length stays.
        assert_eq!(drive.data_in(&[0x12, 1, *page, 0, 4, 0], 255), reply[..4]);
    }
    let identification = drive.data_in(&[0x12, 1, 0x83, 0, 255, 0], 255);
    assert_eq!(identification[4..8], [2, 1, 0, 34]);
    assert_eq!(identification[42..46], [1, 3, 0, 8]);
    assert_eq!(identification[46] >> 4, 5);
    drive.fails(&[0x12, 1, 0xb4, 0, 255, 0], (5, 0x24, 0));
    drive.fails(&[0x12, 0, 0x80, 0, 255, 0], (5, 0x24, 0));
    // Two drives are two devices.
    let other = rig.drive(1).data_in(&[0x12, 1, 0x83, 0, 255, 0], 255);
    assert_ne!(identification, other);
}

#[test]
fn lists_of_units_and_commands() {
    let rig = rig(64 * MIB);
    let mut drive = rig.drive(0);
    drive.settle();
    let units = drive.data_in(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
    assert_eq!(units, [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    drive.fails(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], (5, 0x24, 0));
    let all = drive.data_in(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
    assert_eq!(u32::from_be_bytes(all[..4].try_into().unwrap()) as usize, all.len() - 4);
    let codes: Vec<u8> = all[4..].chunks(8).map(|entry| entry[0]).collect();
    assert!(codes.is_sorted() && codes.contains(&0x92) && !codes.contains(&0xff));
    let timed = drive.data_in(&[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
    assert_eq!((timed.len() - 4) / 20, codes.len());
    let one = drive.data_in(&[0xa3, 0x0c, 1, 0x08, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
    assert_eq!(one, [0, 3, 0, 6, 8, 3, 0xff, 0xff, 0xff, 0]);
    let none = drive.data_in(&[0xa3, 0x0c, 1, 0xff, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
    assert_eq!(none, [0, 1, 0, 0]);
    drive.fails(&[0xff, 0, 0, 0, 0, 0], (5, 0x20, 0));
    drive.fails(&[0xa3, 0x0e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], (5, 0x24, 0));
}

#[test]
fn mode_sense_and_select() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    // As `st` asks.
    let header = drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12);
    assert_eq!(header, [11, 0x88, 0x10, 8, 0x5e, 0, 0, 0, 0, 0, 0, 0]);
    let long = drive.data_in(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 16, 0, 0], 4096);
    assert_eq!(usize::from(u16::from_be_bytes([long[0], long[1]])), long.len() - 2);
    assert_eq!(long[2..8], [0x88, 0x10, 0, 0, 0, 8]);
    let codes = |mut pages: &[u8]| {
        let mut codes = Vec::new();
        while let [first, second, ..] = pages {
            let length = if first & 0x40 == 0 {
                codes.push((*first, 0));
                2 + usize::from(*second)
            } else {
                codes.push((first & 0x3f, *second));
                4 + usize::from(u16::from_be_bytes([pages[2], pages[3]]))
            };
            pages = &pages[length..];
        }
        codes
    };
    let plain = [1, 2, 10, 15, 16, 17, 26, 28, 29, 36].map(|page| (page, 0));
    assert_eq!(codes(&long[16..]), plain);
    let with_subpages = drive.data_in(&[0x5a, 8, 0x3f, 0xff, 0, 0, 0, 16, 0, 0], 4096);
    assert!(codes(&with_subpages[8..]).contains(&(16, 1)));
    assert!(codes(&with_subpages[8..]).contains(&(10, 0xf0)));
    assert_eq!(codes(&with_subpages[8..]).len(), plain.len() + 2);

    let compression = drive.data_in(&[0x1a, 8, 0x0f, 0, 255, 0], 255);
    assert_eq!(compression[4..8], [0x0f, 0x0e, 0xc0, 0x80]);
    let mask = drive.data_in(&[0x1a, 8, 0x4f, 0, 255, 0], 255);
    assert_eq!(mask[4..8], [0x0f, 0x0e, 0x80, 0]);
    let extension = drive.data_in(&[0x1a, 8, 0x10, 1, 255, 0], 255);
    assert_eq!(extension[4..12], [0x50, 1, 0, 0x1c, 0, 2, 0, 0]);
    drive.fails(&[0x1a, 0, 0xcf, 0, 255, 0], (5, 0x39, 0));
    drive.fails(&[0x1a, 0, 0x25, 0, 255, 0], (5, 0x24, 0));

    // As `mt compression` does: header, descriptor, page; then both pages show it.
    let mut list = drive.data_in(&[0x1a, 0, 0x0f, 0, 255, 0], 255);
    list[0] = 0;
    list[12 + 2] &= !0x80;
    drive.data_out(&[0x15, 0x10, 0, 0, 0x1c, 0], &list);
    assert_eq!(drive.data_in(&[0x1a, 8, 0x0f, 0, 255, 0], 255)[6], 0x40);
    assert_eq!(drive.data_in(&[0x1a, 8, 0x10, 0, 255, 0], 255)[4 + 14], 0);
    // As PBS-like hosts do with the long form.
    let mut list = drive.data_in(&[0x5a, 0, 0x0f, 0, 0, 0, 0, 16, 0, 0], 4096);
    list[..2].fill(0);
    list[16 + 2] |= 0x80;
    drive.data_out(&[0x55, 0x10, 0, 0, 0, 0, 0, 0, list.len() as u8, 0], &list);
    assert_eq!(drive.data_in(&[0x1a, 8, 0x0f, 0, 255, 0], 255)[6], 0xc0);
    // Header only; header and descriptor.
    drive.data_out(&[0x15, 0x10, 0, 0, 4, 0], &[0, 0, 0x10, 0]);
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0, 8, 0x5e, 0, 0, 0, 0, 0, 4, 0]);
    let header = drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12);
    assert_eq!(header, [11, 0x88, 0, 8, 0x5e, 0, 0, 0, 0, 0, 4, 0]);

    // Refusals change nothing.
    let refusals: [(&[u8], (u8, u8, u8)); 8] = [
        (&[0, 0, 0x10, 8, 0x46, 0, 0, 0, 0, 0, 0, 0], (5, 0x26, 0)),
        (&[0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0x90, 0, 0], (5, 0x26, 0)),
        (&[0, 0, 0x20, 0], (5, 0x26, 0)),
        (&[0, 0, 0x10, 4, 0, 0, 0, 0], (5, 0x26, 0)),
        (&[0, 0, 0x10], (5, 0x1a, 0)),
        (&[0, 0, 0x10, 8, 0, 0, 0], (5, 0x1a, 0)),
        (&[0, 0, 0x10, 0, 0x0f, 0x0e, 0xc0], (5, 0x1a, 0)),
        (
            &[0, 0, 0x10, 0, 0x8f, 0x0e, 0xc0, 0x80, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0],
            (5, 0x26, 0),
        ),
    ];
    for (list, expected) in refusals {
        let reply = drive.send(&[0x15, 0x10, 0, 0, list.len() as u8, 0], Data::Out(list));
        assert_eq!(reply.sense.map(|s| code(&s)), Some(expected), "{list:02x?}");
    }
    assert_eq!(drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12), header);
}

#[test]
fn log_pages() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    let list = drive.data_in(&[0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0], 256);
    let pages = list[4..].to_vec();
    assert_eq!(pages, [0, 2, 3, 0x0c, 0x0d, 0x11, 0x12, 0x14, 0x17, 0x1b, 0x2e, 0x31, 0x32]);
    for page in &pages[1..] {
        // PC 0 works like PC 1; four bytes tell the length; parameters fill it exactly.
        let head = drive.data_in(&[0x4d, 0, *page, 0, 0, 0, 0, 0, 4, 0], 4);
        let reply = drive.data_in(&[0x4d, 0, 0x40 | page, 0, 0, 0, 0, 16, 0, 0], 4096);
        assert_eq!(head, reply[..4]);
        assert_eq!(usize::from(u16::from_be_bytes([reply[2], reply[3]])), reply.len() - 4);
        let mut rest = &reply[4..];
        let mut last = None;
        while let [high, low, _, length, ..] = rest {
            let code = u16::from_be_bytes([*high, *low]);
            assert!(last < Some(code) && *length > 0, "page {page:02x}");
            last = Some(code);
            rest = &rest[4 + usize::from(*length)..];
        }
        assert!(rest.is_empty());
    }
    // From a parameter on.
    let reply = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 0x02, 0, 16, 0, 0], 4096);
    assert_eq!(reply[4..6], [2, 0]);
    drive.fails(&[0x4d, 0, 0x57, 0, 0, 0xff, 0, 16, 0, 0], (5, 0x24, 0));
    drive.fails(&[0x4d, 0, 0x7f, 0, 0, 0, 0, 16, 0, 0], (5, 0x24, 0));
    let status = drive.data_in(&[0x4d, 0, 0x51, 0, 0, 0, 0, 16, 0, 0], 4096);
    assert_eq!(status[4..], [0, 0, 3, 4, 0x31, 0x37, 0, 0]);
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    let status = drive.data_in(&[0x4d, 0, 0x51, 0, 0, 0, 0, 16, 0, 0], 4096);
    assert_eq!(status[8..], [0x01, 0x34, 0, 0]);
    let volume = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 0, 0, 16, 0, 0], 4096);
    assert_eq!(volume[4..], [0, 0, 3, 1, 0]);
    let counters = drive.data_in(&[0x4d, 0, 0x42, 0, 0, 0, 5, 16, 0, 0], 4096);
    assert_ne!(counters[8..16], [0; 8]);
    drive.good(&[0x4c, 2, 0xc0, 0, 0, 0, 0, 0, 0, 0]);
    let counters = drive.data_in(&[0x4d, 0, 0x42, 0, 0, 0, 5, 16, 0, 0], 4096);
    assert_eq!(counters[8..16], [0; 8]);
}

/// Codes and values of a log page.
fn parameters(page: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut rest = &page[4..];
    let mut parameters = Vec::new();
    while let [high, low, _, length, tail @ ..] = rest {
        let (value, next) = tail.split_at(usize::from(*length));
        parameters.push((u16::from_be_bytes([*high, *low]), value.to_vec()));
        rest = next;
    }
    parameters
}

#[test]
fn volume_statistics_to_the_byte() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    for _ in 0..8 {
        assert_eq!(drive.write(&pattern(3, 1_000_000)), None);
    }
    let page = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 0, 0, 16, 0, 0], 4096);
    let parameters = parameters(&page);
    let value = |code: u16| {
        parameters.iter().find(|(known, _)| *known == code).map(|(_, value)| value.clone())
    };
    for required in [
        0x00, 0x01, 0x02, 0x04, 0x07, 0x09, 0x10, 0x11, 0x16, 0x17, 0x40, 0x80, 0x81, 0x101, 0x102,
        0x202, 0x203, 0x204,
    ] {
        assert!(value(required).is_some(), "{required:04x}");
    }
    assert_eq!(value(0x0000).unwrap(), [1]);
    assert_eq!(value(0x0010).unwrap(), 8u64.to_be_bytes());
    assert_eq!(value(0x0017).unwrap(), 8u32.to_be_bytes());
    assert_eq!(value(0x0019).unwrap(), [100]);
    assert_eq!(value(0x0042).unwrap(), format!("{:<32}", "CAP001L8").into_bytes());
    // One record of eight bytes a partition.
    assert_eq!(value(0x0202).unwrap(), [7, 0, 0, 0, 0, 0, 0, 67]);
    assert_eq!(value(0x0203).unwrap(), [7, 0, 0, 0, 0, 0, 0, 8]);
    assert_eq!(value(0x0204).unwrap(), [7, 0, 0, 0, 0, 0, 0, 59]);
    // Times of the load (no clock: none), licence, loads that wrote, what is encrypted, who loaded.
    assert_eq!((value(0x0014).unwrap(), value(0x0015).unwrap()), (vec![0; 6], vec![0; 6]));
    assert_eq!(value(0x0044).unwrap(), [b' '; 8]);
    assert_eq!(value(0x0100).unwrap(), 1u32.to_be_bytes());
    let none = [9, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!((value(0x0200).unwrap(), value(0x0201).unwrap()), (none.to_vec(), none.to_vec()));
    let history = value(0x0300).unwrap();
    assert_eq!((history.len(), &history[..12]), (44, &b"\x2b\0\0\0CAPSTAN "[..]));
    let serial = drive.data_in(&[0x12, 1, 0x80, 0, 255, 0], 255)[4..].to_vec();
    assert_eq!(history[12..22], serial);
    // Temperature, of drive and robot.
    for host in [&mut drive, &mut rig.changer()] {
        host.settle();
        let page = host.data_in(&[0x4d, 0, 0x4d, 0, 0, 0, 0, 1, 0, 0], 64);
        assert_eq!(page, [0x0d, 0, 0, 6, 0, 0, 3, 2, 0, 28]);
    }
}

#[test]
fn volume_statistics_tell_of_encryption_partitions_and_loads() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 1000)), None);
    let set = scsi::command::security::SetEncryption::mixed(1, &[7; 32]);
    drive.data_out(&set.cdb(), &set.build());
    assert_eq!(drive.write(&pattern(2, 1000)), None);
    let off = scsi::command::security::SetEncryption::off(set.scope);
    drive.data_out(&off.cdb(), &off.build());
    assert_eq!(drive.write(&pattern(3, 1000)), None);
    let mut changer = rig.changer();
    changer.good(&move_medium(256, 257));
    let mut other = rig.drive(1);
    other.settle();
    let page = other.data_in(&[0x4d, 0, 0x57, 0, 0, 0x01, 0, 16, 0, 0], 4096);
    let parameters = parameters(&page);
    let value = |code: u16| {
        parameters.iter().find(|(known, _)| *known == code).map(|(_, value)| value.clone())
    };
    // Written in one load of two.
    assert_eq!(value(0x0100).unwrap(), 1u32.to_be_bytes());
    assert_eq!(value(0x0200).unwrap(), [9, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(value(0x0201).unwrap(), [9, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    let history = value(0x0300).unwrap();
    let serials = [&mut other, &mut drive]
        .map(|one| one.data_in(&[0x12, 1, 0x80, 0, 255, 0], 255)[4..].to_vec());
    assert_eq!(history.len(), 88);
    for (index, serial) in serials.iter().enumerate() {
        let record = &history[44 * index..44 * (index + 1)];
        assert_eq!(record[..4], [0x2b, 0, 0, index as u8]);
        assert_eq!(&record[12..22], serial);
    }
}

#[test]
fn a_drive_counts_loads_cleanings_and_power_cycles_over_its_life() {
    let rig = rig(8 * MIB);
    let counts = |drive: &mut Host| {
        let page = drive.data_in(&[0x4d, 0, 0x54, 0, 0, 0, 0, 16, 0, 0], 4096);
        let parameters = parameters(&page);
        let number = |code: u16| {
            let found = parameters.iter().find(|(known, _)| *known == code).unwrap();
            u32::from_be_bytes(found.1[..].try_into().unwrap())
        };
        [number(0), number(1), number(2), number(0x0c)]
    };
    // It was switched on once, when it was made.
    let mut drive = rig.drive(0);
    drive.settle();
    assert_eq!(counts(&mut drive), [0, 0, 0, 1]);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    drive.settle();
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    drive.settle();
    assert_eq!(counts(&mut drive), [2, 0, 0, 1]);
    let serial = drive.data_in(&[0x12, 1, 0x80, 0, 255, 0], 255)[4..].to_vec();
    let page = drive.data_in(&[0x4d, 0, 0x54, 0, 0, 0, 0x41, 16, 0, 0], 4096);
    assert_eq!(parameters(&page)[0].1[..10], serial);
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    let page = drive.data_in(&[0x4d, 0, 0x54, 0, 0, 0, 0x80, 16, 0, 0], 4096);
    assert_eq!(parameters(&page), [(0x80, vec![1])]);
    drive.good(&[0x1e, 0, 0, 0, 0, 0]);
    // The robot brings tapes to a drive that no program has open, and one that cleans.
    drop(drive);
    changer.good(&move_medium(256, 1024));
    rig.library.add_cartridge("CLN001L8", None).unwrap();
    changer.settle();
    changer.good(&move_medium(1028, 256));
    let mut drive = rig.drive(0);
    drive.settle();
    assert_eq!(counts(&mut drive), [3, 1, 0, 1]);
    // A power cut, or a restart of the machine.
    rig.library.set_faults(Some("once drive0 ready -> power-loss".parse().unwrap()));
    assert!(drive.0.execute(&[0; 6], Data::None, std::time::Duration::from_secs(1)).is_err());
    drive.settle();
    assert_eq!(counts(&mut drive), [3, 1, 0, 2]);
    drop(drive);
    changer.good(&move_medium(256, 1028));
    std::fs::remove_file(rig.dir.path().join("drive0/state")).unwrap();
    let mut drive = rig.drive(0);
    drive.settle();
    assert_eq!(counts(&mut drive), [3, 1, 0, 3]);
}

#[test]
fn another_host_learns_that_counters_were_reset() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let session = rig.library.host_session("iqn.test:counters,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    drive.good(&[0x4c, 2, 0xc0, 0, 0, 0, 0, 0, 0, 0]);
    other.fails(&[0; 6], (6, 0x2a, 2));
    drive.good(&[0; 6]);
}

#[test]
fn densities() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let reply = drive.data_in(&[0x44, 0, 0, 0, 0, 0, 0, 0x20, 0, 0], 8192);
    assert_eq!(reply[..4], [0, 2 + 3 * 52, 0, 0]);
    assert_eq!(reply.len(), 4 + 3 * 52);
    let codes: Vec<_> = reply[4..].chunks(52).map(|d| (d[0], d[2])).collect();
    assert_eq!(codes, [(0x5c, 0x81), (0x5d, 0x81), (0x5e, 0xa1)]);
    let native = &reply[4 + 104..];
    assert_eq!(native[3..5], [0, 52]);
    assert_eq!(native[5..8], [0, 0x50, 0xbd]);
    assert_eq!(native[12..16], 12_000_000u32.to_be_bytes());
    assert_eq!(&native[16..32], b"LTO-CVE U-832   ");
    let media = drive.data_in(&[0x44, 1, 0, 0, 0, 0, 0, 0x20, 0, 0], 8192);
    assert_eq!((media.len(), media[4]), (56, 0x5e));
}

fn attribute(list: &[u8], wanted: u16) -> Option<(u8, Vec<u8>)> {
    let mut rest = &list[4..];
    while rest.len() >= 5 {
        let id = u16::from_be_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_be_bytes([rest[3], rest[4]]));
        if id == wanted {
            return Some((rest[2], rest[5..5 + length].to_vec()));
        }
        rest = &rest[5 + length..];
    }
    None
}

fn write_attribute(drive: &mut Host, id: u16, format: u8, value: &[u8]) -> Option<(u8, u8, u8)> {
    let mut list = ((value.len() + 5) as u32).to_be_bytes().to_vec();
    list.extend(id.to_be_bytes());
    list.push(format);
    list.extend((value.len() as u16).to_be_bytes());
    list.extend(value);
    let mut cdb = vec![0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    cdb.extend((list.len() as u32).to_be_bytes());
    cdb.extend([0, 0]);
    drive.send(&cdb, Data::Out(&list)).sense.map(|s| code(&s))
}

#[test]
fn cartridge_memory() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let read = [0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0];
    let all = drive.data_in(&read, 32768);
    assert_eq!(u32::from_be_bytes(all[..4].try_into().unwrap()) as usize, all.len() - 4);
    for (id, length) in [
        (0x0000, 8),
        (0x0001, 8),
        (0x0003, 8),
        (0x0006, 1),
        (0x0007, 2),
        (0x020a, 40),
        (0x0220, 8),
        (0x0400, 8),
        (0x0401, 32),
        (0x0402, 4),
        (0x0404, 8),
        (0x0405, 1),
        (0x0406, 8),
        (0x0408, 1),
    ] {
        let (flags, value) = attribute(&all, id).unwrap_or_else(|| panic!("{id:04x}"));
        assert_eq!((flags & 0x80, value.len()), (0x80, length), "{id:04x}");
    }
    assert_eq!(attribute(&all, 0x0003).unwrap().1, 1u64.to_be_bytes());
    // Stored, padded, overwritten whole, removed.
    assert_eq!(write_attribute(&mut drive, 0x0803, 2, b"a long label"), None);
    assert_eq!(write_attribute(&mut drive, 0x0803, 2, b"short"), None);
    assert_eq!(write_attribute(&mut drive, 0x0800, 1, b"ME"), None);
    let all = drive.data_in(&read, 32768);
    let (flags, label) = attribute(&all, 0x0803).unwrap();
    assert_eq!((flags, label.len(), &label[..6]), (2, 160, &b"short\0"[..]));
    assert_eq!(attribute(&all, 0x0800), Some((1, b"ME      ".to_vec())));
    let mut from = read;
    from[8] = 8;
    assert_eq!(attribute(&drive.data_in(&from, 32768), 0x0401), None);
    assert_eq!(write_attribute(&mut drive, 0x0803, 2, b""), None);
    // It stays with the cartridge, over moves and formats.
    drive.good(&[0x04, 0, 0, 0, 0, 0]);
    let mut changer = rig.changer();
    changer.good(&move_medium(256, 257));
    let mut other = rig.drive(1);
    other.settle();
    let all = other.data_in(&read, 32768);
    assert_eq!(attribute(&all, 0x0803), None);
    assert!(attribute(&all, 0x0800).is_some());
    assert_eq!(attribute(&all, 0x0003).unwrap().1, 2u64.to_be_bytes());
    // Refusals.
    assert_eq!(write_attribute(&mut other, 0x0401, 1, b"x"), Some((5, 0x26, 0)));
    assert_eq!(write_attribute(&mut other, 0x0800, 1, b"too long for it"), Some((5, 0x26, 0)));
    assert_eq!(write_attribute(&mut other, 0x0900, 1, b"x"), Some((5, 0x26, 0)));
    assert_eq!(write_attribute(&mut other, 0x1623, 0, b"x"), None);
    other.fails(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 0, 0, 0], (5, 0x24, 0));
    assert_eq!(
        other.data_in(&[0x8c, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 64),
        [0, 2, 0, 1]
    );
    assert!(other.data_in(&[0x8c, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0], 4096).len() > 40);
}

#[test]
fn cartridge_memory_tells_of_loads_and_of_what_went_wrong() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let read = |drive: &mut Host| {
        drive.data_in(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 0], 32768)
    };
    for _ in 0..3 {
        assert_eq!(drive.write(&pattern(1, 1 << 20)), None);
    }
    // Removal refused: TapeAlert 10.
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    drive.fails(&[0x1b, 0, 0, 0, 0, 0], (5, 0x53, 2));
    drive.good(&[0x1e, 0, 0, 0, 0, 0]);
    let memory = read(&mut drive);
    let value = |memory: &[u8], id: u16| attribute(memory, id).unwrap().1;
    assert_eq!(value(&memory, 0x0002), [0; 8]);
    assert_eq!(value(&memory, 0x0008), format!("{:<32}", "CAP001L8").into_bytes());
    let history = value(&memory, 0x0340);
    assert_eq!((history.len(), &history[..6]), (90, &[0, 0, 0, 0, 0, 3][..]));
    assert_eq!(value(&memory, 0x0341).len(), 60);
    assert_eq!(value(&memory, 0x040b), [0x5e, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((value(&memory, 0x1000).len(), value(&memory, 0x1001).len()), (28, 24));
    // The next load remembers this one.
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    drive.settle();
    let memory = read(&mut drive);
    assert_eq!(value(&memory, 0x0002), (1u64 << 54).to_be_bytes());
    let history = value(&memory, 0x0340);
    assert_eq!(history[..6], [0; 6]);
    assert_eq!(history[24..30], [0, 0, 0, 0, 0, 3]);
    assert_eq!(value(&memory, 0x0222), [0; 8]);
}

#[test]
fn the_cartridge_memory_can_be_full() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let left = |drive: &mut Host| {
        let reply = drive.data_in(&[0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0], 256);
        u64::from_be_bytes(attribute(&reply, 0x0004).unwrap().1.try_into().unwrap())
    };
    let before = left(&mut drive);
    assert_eq!(write_attribute(&mut drive, 0x1400, 0, &[1; 1000]), None);
    assert_eq!(left(&mut drive), before - 1005);
    let mut id = 0x1401;
    let refused = loop {
        match write_attribute(&mut drive, id, 0, &[1; 1000]) {
            None => id += 1,
            refused => break refused,
        }
    };
    assert_eq!(refused, Some((5, 0x55, 6)));
    assert_eq!(before, left(&mut drive) + u64::from(id - 0x1400) * 1005);
    // What is removed makes room.
    assert_eq!(write_attribute(&mut drive, 0x1400, 0, &[]), None);
    assert_eq!(write_attribute(&mut drive, id, 0, &[1; 1000]), None);
}
