//! VERIFY, and what a drive tells of the commands and functions that it has.

use scsi::Data;

use super::host::{MIB, code, pattern, rig, rig_with, small};
use vtl::{Generation, Options};

fn verify(flags: u8, length: u32) -> [u8; 6] {
    let [_, a, b, c] = length.to_be_bytes();
    [0x13, flags, a, b, c, 0]
}

#[test]
fn verify_moves_and_ends_as_read_does() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.rewind();
    drive.good(&verify(0, 0));
    assert_eq!(drive.position(), (0, 0));
    drive.good(&verify(0, 1000));
    drive.good(&verify(4, 2000));
    let mark = drive.check(&verify(0, 500));
    assert!(mark.is_filemark() && mark.information == Some(500));
    assert_eq!(drive.position(), (3, 1));
    // Another length, on both sides; the block is passed.
    let longer = drive.check(&verify(0, 500));
    assert!(longer.is_incorrect_length() && longer.information == Some(500 - 4000));
    let shorter = drive.check(&verify(0, 6000));
    assert!(shorter.is_incorrect_length() && shorter.information == Some(1000));
    assert_eq!(drive.position(), (5, 1));
    drive.good(&[0x11, 3, 0, 0, 0, 0]);
    let end = drive.check(&verify(0, 500));
    assert!(end.is_end_of_data() && end.information == Some(500));
    // No data phase: a buffer stays as it was.
    drive.rewind();
    let mut buffer = [0xee; 16];
    let reply = drive.send(&verify(0, 1000), Data::In(&mut buffer));
    assert_eq!((reply.sense, reply.transferred, buffer), (None, 0, [0xee; 16]));
    // Fixed blocks need a block length; comparing with data of the host is not there.
    drive.fails(&verify(1, 1), (5, 0x24, 0));
    drive.fails(&verify(2, 1000), (5, 0x24, 0));
}

#[test]
fn verify_of_fixed_blocks_counts_what_is_left() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0]);
    for number in 0..3 {
        drive.data_out(&[0x0a, 1, 0, 0, 1, 0], &pattern(number, 512));
    }
    assert_eq!(drive.write(&pattern(9, 100)), None);
    drive.rewind();
    drive.good(&verify(1, 2));
    let other = drive.check(&verify(1, 5));
    assert!(other.is_incorrect_length() && other.information == Some(4));
    assert_eq!(drive.position(), (4, 0));
    let end = drive.check(&verify(1, 5));
    assert!(end.is_end_of_data() && end.information == Some(5));
}

#[test]
fn a_block_that_cannot_be_read_does_not_verify() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 1000)), None);
    assert_eq!(drive.write(&pattern(2, 1000)), None);
    drive.rewind();
    let record = rig.dir.path().join("cartridges/CAP001L8");
    damage(&record, &pattern(1, 1000));
    let sense = drive.check(&verify(0, 1000));
    assert_eq!((code(&sense), sense.information), ((3, 0x11, 0), Some(1000)));
    // The damaged block is passed, as by READ, and the next one is good.
    drive.good(&verify(0, 1000));
    let alerts = drive.data_in(&[0x4d, 0, 0x52, 0, 0, 0, 0, 0, 64, 0], 64);
    assert_eq!(alerts[8] & 0x28, 0x28, "HARD ERROR and READ FAILURE");
}

/// Turns a bit in the stored bytes of a block.
fn damage(folder: &std::path::Path, block: &[u8]) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(block.len()).position(|window| window == block);
        if let Some(at) = found {
            bytes[at + 500] ^= 0x10;
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            return std::os::unix::fs::FileExt::write_all_at(
                &file,
                &bytes[at..at + 1000],
                at as u64,
            )
            .unwrap();
        }
    }
    panic!("the block is not in {}", folder.display());
}

#[test]
fn task_management_functions_are_told_as_the_target_has_them() {
    let rig = rig(64 * MIB);
    for mut unit in [rig.drive(0), rig.changer()] {
        unit.settle();
        let mut cdb = [0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
        assert_eq!(unit.data_in(&cdb, 16), [0xd8, 0, 0, 0]);
        cdb[2] = 0x80;
        let extended = unit.data_in(&cdb, 16);
        assert_eq!((extended.len(), &extended[..4]), (16, &[0xd8, 0, 0, 12][..]));
        cdb[9] = 3;
        unit.fails(&cdb, (5, 0x24, 0));
    }
}

#[test]
fn commands_that_a_generation_lacks_are_not_listed() {
    for (generation, listed) in [(Generation::Lto8, false), (Generation::Lto9, true)] {
        let rig = rig_with(&Options { generation, ..small() });
        let mut drive = rig.drive(0);
        drive.settle();
        let all = drive.data_in(&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0], 8192);
        let orders = all[4..].chunks(8).filter(|entry| entry[2..4] == [0, 0x1d]).count();
        assert_eq!(orders, if listed { 2 } else { 0 }, "{generation:?}");
        let one = drive.data_in(&[0xa3, 0x0c, 2, 0xa3, 0, 0x1d, 0, 0, 0x20, 0, 0, 0], 8192);
        assert_eq!(one[1], if listed { 3 } else { 1 }, "{generation:?}");
    }
}
