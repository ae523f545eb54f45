//! Logical block protection as hosts see it.

use scsi::Data;
use scsi::command::protection::Method;
use vtl::{Generation, Options};

use crate::host::*;

const CHECK_FAILED: (u8, u8, u8) = (4, 0x10, 1);

/// MODE SELECT(6) of page 0Ah/F0h: method, length, flags. The sense if it was refused.
fn select(host: &mut Host, body: [u8; 3]) -> Option<(u8, u8, u8)> {
    let mut list = vec![0, 0, 0x10, 0, 0x4a, 0xf0, 0, 0x1c];
    list.extend(body);
    list.resize(36, 0);
    host.send(&[0x15, 0x10, 0, 0, 36, 0], Data::Out(&list)).sense.map(|sense| code(&sense))
}

fn in_force(host: &mut Host) -> [u8; 3] {
    let page = host.data_in(&[0x1a, 8, 0x0a, 0xf0, 255, 0], 255);
    assert_eq!(page[4..8], [0x4a, 0xf0, 0, 0x1c]);
    [page[8], page[9], page[10]]
}

fn with_check(method: Method, data: &[u8]) -> Vec<u8> {
    [data, &method.check(data)].concat()
}

#[test]
fn each_generation_offers_what_it_has() {
    let none = [7, 0, 0, 0, 0, 0, 0, 0];
    let one = [7, 1, 4, 0xc0, 0, 0, 0, 0];
    let two = [7, 2, 4, 0xc0, 0, 0, 0, 0];
    let table = [
        (Generation::Lto4, None),
        (Generation::Lto6, Some([&none[..], &one].concat())),
        (Generation::Lto7, Some([&none[..], &one, &two].concat())),
        (Generation::Lto10, Some([&none[..], &one, &two].concat())),
    ];
    for (generation, descriptors) in table {
        let rig = rig_with(&Options { generation, ..small() });
        let mut drive = rig.loaded();
        let vpd = [0x12, 1, 0xb5, 0, 255, 0];
        let Some(descriptors) = descriptors else {
            drive.fails(&vpd, (5, 0x24, 0));
            drive.fails(&[0x1a, 8, 0x0a, 0xf0, 255, 0], (5, 0x24, 0));
            continue;
        };
        assert_eq!(drive.data_in(&vpd, 255)[4..], [&[0; 4][..], &descriptors].concat());
        assert_eq!(in_force(&mut drive), [0, 0, 0]);
        assert_eq!(select(&mut drive, [1, 4, 0xc0]), None);
        assert_eq!(in_force(&mut drive), [1, 4, 0xc0]);
        let crc32c = if generation == Generation::Lto6 { Some((5, 0x10, 5)) } else { None };
        assert_eq!(select(&mut drive, [2, 4, 0xc0]), crc32c);
        assert_eq!(select(&mut drive, [3, 4, 0xc0]), Some((5, 0x10, 5)));
        assert_eq!(select(&mut drive, [1, 8, 0xc0]), Some((5, 0x26, 0)));
        assert_eq!(select(&mut drive, [1, 4, 0xe0]), Some((5, 0x26, 0)), "RBDP");
        assert_eq!(select(&mut drive, [0, 0, 0]), None);
        assert_eq!(in_force(&mut drive), [0, 0, 0]);
    }
}

#[test]
fn a_block_with_a_wrong_value_is_not_recorded() {
    for (method, number) in [(Method::ReedSolomon, 1), (Method::Crc32c, 2)] {
        let rig = rig(64 * MIB);
        let mut drive = rig.loaded();
        assert_eq!(select(&mut drive, [number, 4, 0xc0]), None);
        let data = pattern(1, 1000);
        let good = with_check(method, &data);
        assert_eq!(drive.write(&good), None);
        let mut bad = good.clone();
        bad[500] ^= 1;
        for wrong in [&bad[..], &data, &[1, 2, 3, 4], &[1]] {
            let sense = drive.write(wrong).unwrap();
            assert_eq!((code(&sense), sense.information), (CHECK_FAILED, Some(wrong.len() as i64)));
        }
        assert_eq!(drive.position(), (1, 0));
        assert_eq!(drive.filemarks(1), None);
        drive.rewind();
        // With the value: four bytes more, in every form of READ.
        assert_eq!(drive.read_block(1004), (good.clone(), None));
        assert_eq!(code(&drive.read_block(1004).1.unwrap()), (0, 0, 1));
        drive.rewind();
        let (start, sense) = drive.read(0, 1000, 1000);
        assert_eq!((start, sense.unwrap().information), (good[..1000].to_vec(), Some(-4)));
        // One way only.
        assert_eq!(select(&mut drive, [number, 4, 0x80]), None);
        drive.rewind();
        assert_eq!(drive.read_block(2000), (data.clone(), None));
        assert_eq!(select(&mut drive, [number, 4, 0x40]), None);
        assert_eq!(drive.write(&data), None);
        assert_eq!(select(&mut drive, [0, 0, 0]), None);
        drive.rewind();
        assert_eq!(drive.read_block(2000), (data, None));
    }
}

#[test]
fn protection_is_one_hosts_own_and_ends_with_its_session_or_a_reset() {
    let rig = rig(64 * MIB);
    let mut local = rig.loaded();
    let session = rig.library.host_session("iqn.2026-01.test:a,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    assert_eq!(select(&mut other, [2, 4, 0xc0]), None);
    // Nobody else is told, or affected.
    local.good(&[0; 6]);
    assert_eq!(in_force(&mut local), [0, 0, 0]);
    let data = pattern(3, 300);
    assert_eq!(local.write(&data), None);
    local.rewind();
    assert_eq!(other.read_block(304), (with_check(Method::Crc32c, &data), None));
    session.reset(vtl::Unit::Drive(0)).unwrap();
    local.settle();
    other.settle();
    assert_eq!(in_force(&mut other), [0, 0, 0]);
    assert_eq!(select(&mut other, [2, 4, 0xc0]), None);
    drop((session, other));
    let session = rig.library.host_session("iqn.2026-01.test:a,i,0x1").unwrap();
    let mut other = Host(Box::new(session.drive(0).unwrap()));
    other.settle();
    assert_eq!(in_force(&mut other), [0, 0, 0]);
}

#[test]
fn fixed_blocks_count_their_value() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let data = [pattern(1, 508), pattern(2, 508)];
    let blocks: Vec<u8> = data.iter().flat_map(|data| with_check(Method::Crc32c, data)).collect();
    assert_eq!(select(&mut drive, [2, 4, 0xc0]), None);
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0]);
    drive.data_out(&[0x0a, 1, 0, 0, 2, 0], &blocks);
    drive.rewind();
    assert_eq!(drive.read(1, 2, 1024), (blocks, None));
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(select(&mut drive, [0, 0, 0]), None);
    drive.rewind();
    assert_eq!(drive.read_block(1000), (data[0].clone(), None));
}
