//! Partitions: made by FORMAT MEDIUM, written and found apart, in whole or not at all.

use scsi::Data;
use vtl::{Generation, Options};

use crate::host::*;

const MB: u64 = 1_000_000;

/// MODE SENSE(6) of page 11h without block descriptor: the page with its header.
fn page(drive: &mut Host) -> Vec<u8> {
    drive.data_in(&[0x1a, 8, 0x11, 0, 255, 0], 255)[4..].to_vec()
}

/// MODE SELECT of page 11h.
fn select(drive: &mut Host, page: &[u8]) -> Option<(u8, u8, u8)> {
    let list = [&[0, 0, 0x10, 0], page].concat();
    let cdb = [0x15, 0x10, 0, 0, list.len() as u8, 0];
    drive.send(&cdb, Data::Out(&list)).sense.map(|s| code(&s))
}

/// A layout with sizes in MB (FFFFh: the rest).
fn layout(drive: &mut Host, sizes: &[u16]) -> Option<(u8, u8, u8)> {
    let mut page = page(drive);
    page[3] = sizes.len() as u8 - 1;
    page[4] = 0x20 | 0x10 | 0x04;
    page[8..].fill(0);
    for (place, size) in page[8..].chunks_mut(2).zip(sizes) {
        place.copy_from_slice(&size.to_be_bytes());
    }
    select(drive, &page)
}

fn locate(drive: &mut Host, partition: u8, object: u64) -> Option<(u8, u8, u8)> {
    let mut cdb = vec![0x92, 0x02, 0, partition];
    cdb.extend(object.to_be_bytes());
    cdb.extend([0; 4]);
    drive.send(&cdb, Data::None).sense.map(|s| code(&s))
}

/// Partition and object of READ POSITION, long form; the other forms and the active partition of mode page 10h must
/// agree.
fn position(drive: &mut Host) -> (u32, u64) {
    let long = drive.data_in(&[0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0], 32);
    let short = drive.data_in(&[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0], 20);
    let extended = drive.data_in(&[0x34, 8, 0, 0, 0, 0, 0, 0, 32, 0], 32);
    let partition = u32::from_be_bytes(long[4..8].try_into().unwrap());
    let configuration = drive.data_in(&[0x1a, 8, 0x10, 0, 255, 0], 255);
    let others = [short[1], extended[1], configuration[4 + 3]];
    assert_eq!(others.map(u32::from), [partition; 3]);
    (partition, u64::from_be_bytes(long[8..16].try_into().unwrap()))
}

const FORMAT: [u8; 6] = [0x04, 0, 1, 0, 0, 0];

#[test]
fn what_is_written_in_one_partition_stays_out_of_the_others() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(page(&mut drive)[..6], [0x11, 0x0e, 3, 0, 0x1c, 3]);
    assert_eq!(drive.write(b"before"), None);
    drive.rewind();
    assert_eq!(layout(&mut drive, &[0xffff, 8, 4]), None);
    // Nothing happens before the format, and the page shows what was asked for.
    assert_eq!(drive.read_block(10).0, b"before");
    assert_eq!(page(&mut drive)[3], 2);
    drive.fails(&FORMAT, (5, 0x3b, 0x0c));
    drive.rewind();
    drive.good(&FORMAT);
    assert_eq!(drive.read_block(10).1.map(|s| code(&s)), Some((8, 0, 5)));

    for partition in [2, 0, 1] {
        assert_eq!(locate(&mut drive, partition, 0), None);
        assert_eq!(position(&mut drive), (partition.into(), 0));
        assert_eq!(drive.write(&[partition; 1000]), None);
        assert_eq!(drive.filemarks(1), None);
        assert_eq!(position(&mut drive), (partition.into(), 2));
    }
    for partition in [0, 1, 2] {
        assert_eq!(locate(&mut drive, partition, 0), None);
        assert_eq!(drive.read_block(1000), (vec![partition; 1000], None));
        // The end of data is the partition's own.
        assert_eq!(drive.locate(3, 0), None);
        assert_eq!(position(&mut drive), (partition.into(), 2));
        assert_eq!(drive.locate(0, 3).map(|s| code(&s)), Some((8, 0, 5)));
        // REWIND stays in the partition.
        drive.rewind();
        assert_eq!(position(&mut drive), (partition.into(), 0));
    }
    assert_eq!(locate(&mut drive, 3, 0), Some((5, 0x24, 0)));
    assert_eq!(position(&mut drive), (2, 0));
    // FORMAT MEDIUM from partition 0 only; LOAD goes there.
    drive.fails(&FORMAT, (5, 0x3b, 0x0c));
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    assert_eq!(position(&mut drive), (0, 0));
    // LOCATE(10) changes partition too.
    drive.good(&[0x2b, 2, 0, 0, 0, 0, 1, 0, 1, 0]);
    assert_eq!(position(&mut drive), (1, 1));
    // ERASE ends this partition only.
    drive.rewind();
    drive.good(&[0x19, 0, 0, 0, 0, 0]);
    assert_eq!(drive.locate(3, 0), None);
    assert_eq!(position(&mut drive), (1, 0));
    assert_eq!(locate(&mut drive, 2, 0), None);
    assert_eq!(drive.read_block(1000).0, [2; 1000]);
}

#[test]
fn each_partition_has_its_own_end_and_its_own_figures() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(layout(&mut drive, &[0xffff, 8]), None);
    drive.good(&FORMAT);
    let rest = 64 * MIB - 8 * MB;
    assert_eq!(locate(&mut drive, 1, 0), None);
    let block = vec![1u8; 1_000_000];
    let warned: Vec<Option<(u8, u8, u8)>> =
        (0..9).map(|_| drive.write(&block).map(|s| code(&s))).collect();
    // 8 MB with 2.5 MB behind early warning.
    assert_eq!(warned[..5], [None; 5]);
    assert_eq!(warned[5..8], [Some((0, 0, 2)); 3]);
    assert_eq!(warned[8], Some((0xd, 0, 2)));
    assert_eq!(drive.data_in(&[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0], 20)[0] & 0x40, 0x40);
    // The other partition is not near its end.
    assert_eq!(locate(&mut drive, 0, 0), None);
    assert_eq!(drive.write(&block), None);
    let capacity = drive.data_in(&[0x4d, 0, 0x71, 0, 0, 0, 0, 1, 0, 0], 256);
    let mib: Vec<u32> = capacity[4..]
        .chunks(8)
        .map(|parameter| u32::from_be_bytes(parameter[4..].try_into().unwrap()))
        .collect();
    assert_eq!(mib, [((rest - MB) / MIB) as u32, 0, (rest / MIB) as u32, (8 * MB / MIB) as u32]);
    let statistics = drive.data_in(&[0x4d, 0, 0x57, 0, 0, 2, 2, 1, 0, 0], 256);
    assert_eq!(statistics[4..8], [2, 2, 3, 16]);
    assert_eq!(statistics[8..16], [7, 0, 0, 0, 0, 0, 0, (rest / MB) as u8]);
    assert_eq!(statistics[16..24], [7, 0, 0, 1, 0, 0, 0, 8]);
    // Cartridge memory: how many partitions, and what each has left.
    let partitions = [0x8c, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    assert_eq!(drive.data_in(&partitions, 64), [0, 2, 0, 2]);
    for (partition, capacity) in [(0, rest), (1, 8 * MB)] {
        let cdb = [0x8c, 0, 0, 0, 0, 0, 0, partition, 0, 1, 0, 0, 0, 17, 0, 0];
        let reply = drive.data_in(&cdb, 17);
        assert_eq!(reply[9..17], (capacity / MIB).to_be_bytes(), "partition {partition}");
    }
    drive.fails(&[0x8c, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0], (5, 0x24, 0));
}

#[test]
fn formats_refuse_what_a_medium_cannot_have() {
    for (generation, most) in [(Generation::Lto4, 0), (Generation::Lto5, 1), (Generation::Lto9, 3)]
    {
        let rig = rig_with(&Options { generation, ..small() });
        let mut drive = rig.loaded();
        assert_eq!(page(&mut drive)[2], most, "{generation}");
        for count in 1..=4u8 {
            let sizes = vec![4; usize::from(count)];
            let refused = layout(&mut drive, &sizes);
            let expected = (count - 1 > most || most == 0).then_some((5, 0x26, 0));
            assert_eq!(refused, expected, "{generation} {count}");
        }
        drive.fails(&[0x04, 0, 3, 0, 0, 0], (5, 0x24, 0));
        // What MODE SENSE gave is taken back as it is.
        let now = page(&mut drive);
        assert_eq!(select(&mut drive, &now), None, "{generation}");
    }
    // A WORM tape is not formatted.
    let rig = rig_with(&Options { worm: true, ..small() });
    rig.loaded().fails(&FORMAT, (7, 0x30, 0x0c));
}

#[test]
fn partitions_outlive_unloading_programs_and_are_checked_and_removed_whole() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(layout(&mut drive, &[0xffff, 8, 8, 8]), None);
    // The question is the drive's: another program may format.
    drop(drive);
    let mut drive = rig.drive(0);
    drive.good(&[0x04, 0, 2, 0, 0, 0]);
    assert_eq!(locate(&mut drive, 3, 0), None);
    assert_eq!(drive.write(b"three"), None);
    drop(drive);
    let mut drive = rig.drive(0);
    assert_eq!(position(&mut drive), (3, 1));
    rig.changer().good(&move_medium(256, 1024));
    drop(drive);
    let folder = rig.dir.path().join("cartridges/CAP001L8");
    assert!(folder.join("partition3.log").exists());
    let report = rig.library.check_cartridge("CAP001L8", &()).unwrap();
    assert_eq!((report.blocks, report.damaged.len()), (1, 0));
    let refused = rig.library.export_cartridge("CAP001L8", &rig.dir.path().join("out"), &());
    let told = refused.unwrap_err().to_string();
    assert!(told.contains("4 partitions") && told.contains("format"), "{told}");
    // Damage is found in the partition where it is.
    let log = folder.join("partition3.log");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[128] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let report = rig.library.check_cartridge("CAP001L8", &()).unwrap();
    assert_eq!(report.damaged.iter().map(|d| d.partition).collect::<Vec<_>>(), [3]);

    let mut drive = rig.loaded();
    drive.good(&[0x04, 0, 0, 0, 0, 0]);
    assert_eq!(page(&mut drive)[3], 0);
    assert_eq!(locate(&mut drive, 1, 0), Some((5, 0x24, 0)));
    let left = std::fs::read_dir(&folder).unwrap().filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("partition")
    });
    assert_eq!(left.count(), 2, "log and index of partition 0");
}

#[test]
fn what_a_crash_left_of_a_format_is_not_a_partition() {
    let rig = rig(64 * MIB);
    let folder = rig.dir.path().join("cartridges/CAP001L8");
    // The log of a partition that cartridge.json does not count yet.
    std::fs::write(folder.join("partition1.log"), b"half of a header").unwrap();
    let mut drive = rig.loaded();
    assert_eq!(locate(&mut drive, 1, 0), Some((5, 0x24, 0)));
    assert_eq!(drive.write(b"data"), None);
    drive.rewind();
    assert_eq!(layout(&mut drive, &[0xffff, 8]), None);
    drive.good(&FORMAT);
    assert_eq!(locate(&mut drive, 1, 0), None);
    assert_eq!(drive.write(b"alternate"), None);
    drive.rewind();
    assert_eq!(drive.read_block(100).0, b"alternate");
}

#[test]
fn encryption_is_known_for_each_partition() {
    use scsi::command::security::SetEncryption;
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(layout(&mut drive, &[0xffff, 8]), None);
    drive.good(&FORMAT);
    for object in 0..3 {
        assert_eq!(drive.write(&[object; 100]), None);
    }
    assert_eq!(locate(&mut drive, 1, 0), None);
    let key = SetEncryption::mixed(1, &[7; 32]);
    assert_eq!(drive.send(&key.cdb(), Data::Out(&key.build())).sense, None);
    assert_eq!(drive.write(b"secret"), None);
    let first = |drive: &mut Host, partition: u8| {
        let cdb = [0x8c, 0, 0, 0, 0, 0, 0, partition, 0x02, 0x24, 0, 0, 0, 17, 0, 0];
        u64::from_be_bytes(drive.data_in(&cdb, 17)[9..17].try_into().unwrap())
    };
    // Also for the next program; the key is gone with the last one.
    for _ in 0..2 {
        assert_eq!([first(&mut drive, 0), first(&mut drive, 1)], [u64::MAX, 0]);
        drop(drive);
        drive = rig.drive(0);
    }
    assert_eq!(locate(&mut drive, 1, 0), None);
    assert_eq!(drive.read_block(100).1.map(|s| code(&s)), Some((7, 0x74, 1)));
    // Writing over the begin of one partition says nothing of the other.
    assert_eq!(locate(&mut drive, 0, 0), None);
    assert_eq!(drive.write(b"plain"), None);
    assert_eq!([first(&mut drive, 0), first(&mut drive, 1)], [u64::MAX, 0]);
    drive.rewind();
    assert_eq!(drive.read_block(100).0, b"plain");
    drive.rewind();
    drive.good(&FORMAT);
    assert_eq!([first(&mut drive, 0), first(&mut drive, 1)], [u64::MAX; 2]);
}
