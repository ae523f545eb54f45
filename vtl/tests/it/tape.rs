//! Reading, writing and positioning: what each command does to position, data and sense.

use scsi::Data;
use vtl::{Generation, Options};

use crate::host::*;

#[test]
fn power_on_comes_before_medium_change_and_each_once() {
    let rig = rig(64 * MIB);
    let mut drive = rig.drive(0);
    let mut changer = rig.changer();
    // INQUIRY and REPORT LUNS are answered while an attention waits, and keep it.
    assert_eq!(changer.data_in(&[0x12, 0, 0, 0, 36, 0], 36).len(), 36);
    changer.data_in(&[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0], 16);
    changer.fails(&[0; 6], (6, 0x29, 0));
    changer.good(&[0; 6]);
    changer.good(&move_medium(1024, 256));
    drive.fails(&[0; 6], (6, 0x29, 0));
    drive.fails(&[0x01, 0, 0, 0, 0, 0], (6, 0x28, 0));
    drive.good(&[0; 6]);
}

#[test]
fn request_sense_takes_an_attention_and_repeats_nothing() {
    let rig = rig(64 * MIB);
    let mut drive = rig.drive(0);
    let request = [0x03, 0, 0, 0, 252, 0];
    let sense = drive.data_in(&request, 252);
    assert_eq!(scsi::Sense::parse(&sense).map(|s| code(&s)), Some((6, 0x29, 0)));
    assert_eq!(sense.len(), 18);
    // Empty drive: the not-ready state.
    let sense = drive.data_in(&request, 252);
    assert_eq!(scsi::Sense::parse(&sense).map(|s| code(&s)), Some((2, 0x3a, 0)));
    let mut drive = {
        drop(drive);
        rig.loaded()
    };
    drive.fails(&[0x08, 0x03, 0, 0, 1, 0], (5, 0x24, 0));
    let sense = drive.data_in(&request, 252);
    assert_eq!(scsi::Sense::parse(&sense).map(|s| code(&s)), Some((0, 0, 0)));
    let sense = drive.data_in(&[0x03, 1, 0, 0, 252, 0], 252);
    assert_eq!(sense[0], 0x72);
}

#[test]
fn an_empty_drive_answers_what_needs_no_medium() {
    let rig = rig(64 * MIB);
    let mut drive = rig.drive(0);
    drive.settle();
    let medium_commands: [&[u8]; 14] = [
        &[0x00, 0, 0, 0, 0, 0],
        &[0x01, 0, 0, 0, 0, 0],
        &[0x04, 0, 0, 0, 0, 0],
        &[0x08, 2, 0, 0, 10, 0],
        &[0x0a, 0, 0, 0, 10, 0],
        &[0x10, 0, 0, 0, 1, 0],
        &[0x11, 0, 0, 0, 1, 0],
        &[0x19, 0, 0, 0, 0, 0],
        &[0x1b, 0, 0, 0, 1, 0],
        &[0x1b, 0, 0, 0, 0, 0],
        &[0x2b, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0x92, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for cdb in medium_commands {
        drive.fails(cdb, (2, 0x3a, 0));
    }
    drive.data_in(&[0x12, 0, 0, 0, 96, 0], 96);
    drive.data_in(&[0x1a, 0, 0x3f, 0, 255, 0], 255);
    drive.data_in(&[0x4d, 0, 0x40, 0, 0, 0, 0, 1, 0, 0], 256);
    drive.data_in(&[0x44, 0, 0, 0, 0, 0, 0, 4, 0, 0], 1024);
    assert_eq!(drive.data_in(&[0x05, 0, 0, 0, 0, 0], 6), [0, 0x80, 0, 0, 0, 1]);
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    drive.good(&[0x1e, 0, 0, 0, 0, 0]);
}

#[test]
fn read_row_by_row() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    let block = |object: u64| pattern(object, 1000 + 1000 * object as usize);

    // Exact.
    drive.rewind();
    assert_eq!(drive.read(0, 1000, 1000), (block(0), None));
    assert_eq!(drive.position(), (1, 0));

    // Block longer, SILI=0: first part, ILI, INFORMATION negative, position behind.
    drive.locate(0, 1);
    let (data, sense) = drive.read(0, 1500, 1500);
    assert_eq!(data, block(1)[..1500]);
    let sense = sense.unwrap();
    assert!(sense.incorrect_length && !sense.filemark && !sense.end_of_medium);
    assert_eq!((code(&sense), sense.information), ((0, 0, 0), Some(-500)));
    assert_eq!(drive.position(), (2, 0));

    // Same with SILI and mode block length 0: GOOD.
    drive.locate(0, 1);
    assert_eq!(drive.read(2, 1500, 1500), (block(1)[..1500].to_vec(), None));

    // Block shorter, SILI=0: whole block, ILI, INFORMATION positive.
    drive.locate(0, 1);
    let (data, sense) = drive.read(0, 5000, 5000);
    assert_eq!(data, block(1));
    let sense = sense.unwrap();
    assert!(sense.incorrect_length);
    assert_eq!(sense.information, Some(3000));
    // With SILI: GOOD with residual.
    drive.locate(0, 1);
    assert_eq!(drive.read(2, 5000, 5000), (block(1), None));

    // At a filemark: nothing, FILEMARK, INFORMATION = requested, behind it.
    for flags in [0, 2] {
        drive.locate(0, 2);
        let (data, sense) = drive.read(flags, 5000, 5000);
        assert!(data.is_empty());
        let sense = sense.unwrap();
        assert!(sense.filemark && !sense.end_of_medium && !sense.incorrect_length);
        assert_eq!((code(&sense), sense.information), ((0, 0, 1), Some(5000)));
        assert_eq!(drive.position(), (3, 1));
    }

    // At the end of data, again and again: 8/00/05 without EOM bit.
    drive.locate(0, 9);
    for _ in 0..2 {
        let (data, sense) = drive.read(2, 5000, 5000);
        assert!(data.is_empty());
        let sense = sense.unwrap();
        assert!(!sense.end_of_medium && !sense.filemark);
        assert_eq!((code(&sense), sense.information), ((8, 0, 5), Some(5000)));
        assert_eq!(drive.position(), (9, 3));
    }

    // Length 0 does nothing, even at the end.
    assert_eq!(drive.read(0, 0, 0), (vec![], None));
    // FIXED with SILI, FIXED without block length.
    drive.fails(&[0x08, 3, 0, 0, 1, 0], (5, 0x24, 0));
    drive.fails(&[0x08, 1, 0, 0, 1, 0], (5, 0x24, 0));
}

#[test]
fn fixed_blocks() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    // Mode block length 512.
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0]);
    let data = pattern(7, 512 * 5);
    drive.data_out(&[0x0a, 1, 0, 0, 5, 0], &data);
    assert_eq!(drive.position(), (5, 0));
    drive.filemarks(1);
    assert_eq!(drive.write(&[1; 100]), None);
    drive.rewind();
    assert_eq!(drive.read(1, 3, 1536), (data[..1536].to_vec(), None));
    // Into the filemark: two blocks, then INFORMATION = blocks not read.
    let (read, sense) = drive.read(1, 4, 2048);
    assert_eq!(read, data[1536..]);
    let sense = sense.unwrap();
    assert_eq!((code(&sense), sense.filemark, sense.information), ((0, 0, 1), true, Some(2)));
    assert_eq!(drive.position(), (6, 1));
    // A block of another length.
    let (read, sense) = drive.read(1, 2, 1024);
    assert!(read.is_empty());
    let sense = sense.unwrap();
    assert!(sense.incorrect_length);
    assert_eq!(sense.information, Some(2));
    // SILI with a block length other than 0 does not hide a longer block.
    drive.rewind();
    let (_, sense) = drive.read(2, 100, 100);
    assert_eq!(sense.unwrap().information, Some(-412));
    drive.locate(0, 9);
    let (_, sense) = drive.read(1, 3, 1536);
    assert_eq!(sense.unwrap().information, Some(3));
}

#[test]
fn writing_ends_the_tape_behind_the_block() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.locate(0, 4);
    assert_eq!(drive.write(b"new"), None);
    assert_eq!(drive.position(), (5, 1));
    assert_eq!(drive.read_block(10).1.map(|s| code(&s)), Some((8, 0, 5)));
    drive.locate(0, 3);
    assert_eq!(drive.read_block(4000).0, pattern(3, 4000));
    assert_eq!(drive.read_block(10), (b"new".to_vec(), None));
    // The same with a filemark, and with ERASE mid-tape.
    drive.locate(0, 1);
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(drive.locate(3, 0), None);
    assert_eq!(drive.position(), (2, 1));
    drive.locate(0, 1);
    drive.good(&[0x19, 0, 0, 0, 0, 0]);
    drive.locate(3, 0);
    assert_eq!(drive.position(), (1, 0));
    // Zero filemarks only flush.
    drive.rewind();
    assert_eq!(drive.filemarks(0), None);
    drive.locate(3, 0);
    assert_eq!(drive.position(), (1, 0));
    // A block that the drive does not take, and data that the host does not send.
    drive.fails(&[0x0a, 0, 0x80, 0, 1, 0], (5, 0x24, 0));
    let reply = drive.send(&[0x0a, 0, 0, 0, 100, 0], Data::Out(&[0; 50]));
    assert_eq!(reply.sense.map(|s| code(&s)), Some((0x0b, 0x4b, 0)));
    assert_eq!(drive.position(), (1, 0));
}

/// From, code, count → position, file; sense {key, asc, ascq}, INFORMATION.
type SpaceRow = (u64, u8, i32, (u64, u64), Option<((u8, u8, u8), i64)>);

#[test]
fn space_row_by_row() {
    const MARK: (u8, u8, u8) = (0, 0, 1);
    const BEGIN: (u8, u8, u8) = (0, 0, 4);
    const END: (u8, u8, u8) = (8, 0, 5);
    // 0 1 block, 2 mark, 3 4 5 block, 6 7 mark, 8 block, 9 end.
    let rows: [SpaceRow; 27] = [
        (9, 1, -1, (7, 2), None),
        (7, 1, 1, (8, 3), None),
        (8, 1, 1, (9, 3), Some((END, 1))),
        (9, 1, -2, (6, 1), None),
        (9, 1, -3, (2, 0), None),
        (9, 1, -5, (0, 0), Some((BEGIN, 2))),
        (0, 1, 3, (8, 3), None),
        (0, 1, 4, (9, 3), Some((END, 1))),
        (0, 1, 0x7f_ffff, (9, 3), Some((END, 0x7f_ffff - 3))),
        (3, 1, -1, (2, 0), None),
        (2, 1, -1, (0, 0), Some((BEGIN, 1))),
        (4, 1, 0, (4, 1), None),
        (0, 0, 2, (2, 0), None),
        (0, 0, 3, (3, 1), Some((MARK, 1))),
        (0, 0, 100, (3, 1), Some((MARK, 98))),
        (2, 0, 1, (3, 1), Some((MARK, 1))),
        (3, 0, 3, (6, 1), None),
        (8, 0, 1, (9, 3), None),
        (8, 0, 5, (9, 3), Some((END, 4))),
        (9, 0, 1, (9, 3), Some((END, 1))),
        (9, 0, -1, (8, 3), None),
        (8, 0, -1, (7, 2), Some((MARK, 1))),
        (6, 0, -3, (3, 1), None),
        (6, 0, -4, (2, 0), Some((MARK, 1))),
        (0, 0, -1, (0, 0), Some((BEGIN, 1))),
        (2, 0, -5, (0, 0), Some((BEGIN, 3))),
        (1, 3, 0, (9, 3), None),
    ];
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    for (from, code_, count, to, expected) in rows {
        let row = format!("from {from}, code {code_}, count {count}");
        assert_eq!(drive.locate(0, from), None, "{row}");
        let sense = drive.space(code_, count);
        assert_eq!(sense.map(|s| (code(&s), s.information.unwrap_or(0))), expected, "{row}");
        if let Some(sense) = sense {
            assert_eq!(sense.filemark, code(&sense) == MARK, "{row}");
            assert_eq!(sense.end_of_medium, code(&sense) == BEGIN, "{row}");
        }
        assert_eq!(drive.position(), to, "{row}");
        // SPACE(16) does the same.
        drive.locate(0, from);
        let mut cdb = vec![0x91, code_, 0, 0];
        cdb.extend(i64::from(count).to_be_bytes());
        cdb.extend([0; 4]);
        let long = drive.send(&cdb, Data::None).sense;
        assert_eq!((long, drive.position()), (sense, to), "{row}");
    }
    drive.fails(&[0x11, 4, 0, 0, 1, 0], (5, 0x24, 0));
}

#[test]
fn locate_row_by_row() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    let end = Some((8, 0, 5));
    let rows: [(u8, u64, (u64, u64), Option<(u8, u8, u8)>); 11] = [
        (0, 0, (0, 0), None),
        (0, 7, (7, 2), None),
        (0, 9, (9, 3), None),
        (0, 10, (9, 3), end),
        (0, u64::MAX, (9, 3), end),
        (1, 0, (0, 0), None),
        (1, 1, (3, 1), None),
        (1, 2, (7, 2), None),
        (1, 3, (8, 3), None),
        (1, 4, (9, 3), end),
        (3, 0, (9, 3), None),
    ];
    for (kind, to, position, expected) in rows {
        drive.rewind();
        let sense = drive.locate(kind, to);
        assert_eq!(sense.map(|s| code(&s)), expected, "kind {kind} to {to}");
        assert_eq!(drive.position(), position, "kind {kind} to {to}");
    }
    // LOCATE(10), with the BT bit of old drivers; another partition; unknown destinations.
    drive.good(&[0x2b, 4, 0, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(drive.position(), (5, 1));
    drive.fails(&[0x2b, 2, 0, 0, 0, 0, 5, 0, 1, 0], (5, 0x24, 0));
    assert_eq!(drive.locate(2, 0).map(|s| code(&s)), Some((5, 0x24, 0)));
    assert_eq!(drive.position(), (5, 1));
}

#[test]
fn read_position_forms() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let short = [0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let old = [0x34, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let extended = [0x34, 8, 0, 0, 0, 0, 0, 0, 32, 0];
    assert_eq!(drive.data_in(&short, 64)[0], 0x80);
    drive.write_example();
    for cdb in [short, old] {
        let reply = drive.data_in(&cdb, 64);
        assert_eq!(reply.len(), 20);
        assert_eq!(reply[0], 0);
        assert_eq!(reply[4..12], [0, 0, 0, 9, 0, 0, 0, 9]);
    }
    let reply = drive.data_in(&extended, 64);
    assert_eq!(reply.len(), 32);
    assert_eq!(reply[..4], [0, 0, 0, 0x1c]);
    assert_eq!(reply[8..24], [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9]);
    // The flag belongs to object 0 only.
    drive.locate(0, 1);
    assert_eq!(drive.data_in(&short, 64)[0], 0);
    drive.rewind();
    assert_eq!(drive.data_in(&short, 64)[0], 0x80);
    drive.fails(&[0x34, 6, 0, 0, 0, 0, 0, 0, 32, 0], (5, 0x24, 0));
    drive.fails(&[0x34, 2, 0, 0, 0, 0, 0, 0, 0, 0], (5, 0x24, 0));
}

#[test]
fn early_warning_then_the_hard_end_then_filemarks_still() {
    let rig = rig(8 * MIB);
    let mut drive = rig.loaded();
    let block = pattern(1, BLOCK);
    let mut before = 0;
    let first = loop {
        match drive.write(&block) {
            None => before += 1,
            Some(sense) => break sense,
        }
    };
    assert_eq!((code(&first), first.end_of_medium, first.information), ((0, 0, 2), true, Some(0)));
    // The block that met early warning is stored, and at least eight more fit.
    let mut behind = 0;
    let end = loop {
        let sense = drive.write(&block).unwrap();
        if code(&sense) != (0, 0, 2) {
            break sense;
        }
        behind += 1;
    };
    assert!(behind >= 8, "{behind}");
    assert_eq!(
        (code(&end), end.end_of_medium, end.information),
        ((0x0d, 0, 2), true, Some(BLOCK as i64))
    );
    let blocks = before + 1 + behind;
    assert_eq!(blocks, 32);
    assert_eq!(drive.position(), (blocks, 0));
    assert_eq!(drive.write(&block).map(|s| code(&s)), Some((0x0d, 0, 2)));
    assert_eq!(drive.filemarks(1).map(|s| code(&s)), Some((0, 0, 2)));
    assert_eq!(drive.position(), (blocks + 1, 1));
    let flags = drive.data_in(&[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0], 20)[0];
    assert_eq!(flags, 0x40);
    // READ never reports it, and everything is there.
    drive.rewind();
    for _ in 0..blocks {
        assert_eq!(drive.read_block(BLOCK), (block.clone(), None));
    }
    // Overwriting from the beginning gives the room back.
    drive.rewind();
    assert_eq!(drive.write(&block), None);
}

#[test]
fn programmable_early_warning_comes_once() {
    let rig = rig(32 * MIB);
    let mut drive = rig.loaded();
    let mut page = vec![0u8; 4];
    page[2] = 0x10;
    page.extend([0x50, 0x01, 0x00, 0x1c, 0x00, 0x02, 0x00, 5]);
    page.resize(4 + 32, 0);
    drive.data_out(&[0x15, 0x10, 0, 0, page.len() as u8, 0], &page);
    let block = pattern(1, BLOCK);
    let mut senses = Vec::new();
    while senses.last() != Some(&(0, 0, 2)) {
        senses.extend(drive.write(&block).map(|s| code(&s)));
    }
    assert_eq!(senses, [(0, 0, 7), (0, 0, 2)]);
}

#[test]
fn write_protection() {
    let rig = rig(64 * MIB);
    rig.library.set_write_protected("CAP001L8", true).unwrap();
    let mut drive = rig.loaded();
    assert_eq!(drive.write(b"x").map(|s| code(&s)), Some((7, 0x27, 0)));
    assert_eq!(drive.filemarks(1).map(|s| code(&s)), Some((7, 0x27, 0)));
    assert_eq!(drive.filemarks(0), None);
    drive.fails(&[0x19, 0, 0, 0, 0, 0], (7, 0x27, 0));
    drive.fails(&[0x04, 0, 0, 0, 0, 0], (7, 0x27, 0));
    assert_eq!(drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12)[2], 0x90);
    assert_eq!(drive.position(), (0, 0));
    // TapeAlert 9 in the response page, which does not clear it; 2Eh does.
    let cdb = [0x4d, 0, 0x52, 0, 0, 0, 0, 1, 0, 0];
    for _ in 0..2 {
        assert_eq!(drive.data_in(&cdb, 64)[8..16], (1u64 << 55).to_be_bytes());
    }
    let alerts = drive.data_in(&[0x4d, 0, 0x6e, 0, 0, 0, 0, 2, 0, 0], 512);
    assert_eq!(alerts[4 + 8 * 5..4 + 9 * 5], [0, 9, 3, 1, 1]);
    assert_eq!(drive.data_in(&cdb, 64)[8..16], [0; 8]);
}

#[test]
fn older_formats_and_strangers() {
    let rig = rig_with(&Options { cartridges: 0, generation: Generation::Lto7, ..small() });
    for barcode in ["AAA001L7", "AAA002L5", "AAA003L9"] {
        rig.library.add_cartridge(barcode, Some(8 * MIB)).unwrap();
    }
    let mut drive = rig.drive(0);
    let mut changer = rig.changer();
    changer.settle();
    drive.settle();
    let expected = [None, None, Some((2, 0x30, 0))];
    for (slot, expected) in (1024..).zip(expected) {
        changer.good(&move_medium(slot, 256));
        drive.fails(&[0; 6], (6, 0x28, 0));
        let sense = drive.send(&[0; 6], Data::None).sense;
        assert_eq!(sense.map(|s| code(&s)), expected, "slot {slot}");
        if slot == 1025 {
            assert_eq!(drive.write(b"x").map(|s| code(&s)), Some((7, 0x30, 5)));
        }
        changer.good(&move_medium(256, slot));
        drive.fails(&[0; 6], (2, 0x3a, 0));
    }
}

#[test]
fn worm_appends_only() {
    let rig = rig_with(&Options { cartridges: 0, ..small() });
    rig.library.add_cartridge("WRM001LY", Some(8 * MIB)).unwrap();
    let mut drive = rig.loaded();
    assert_eq!(drive.write(b"one"), None);
    assert_eq!(drive.filemarks(2), None);
    // Filemarks directly before the end may go.
    assert_eq!(drive.space(1, -1), None);
    assert_eq!(drive.write(b"two"), None);
    for object in [0, 1] {
        drive.locate(0, object);
        assert_eq!(drive.write(b"x").map(|s| code(&s)), Some((7, 0x30, 0x0c)));
        assert_eq!(drive.filemarks(1).map(|s| code(&s)), Some((7, 0x30, 0x0c)));
    }
    drive.rewind();
    drive.fails(&[0x19, 0, 0, 0, 0, 0], (7, 0x30, 0x0c));
    drive.fails(&[0x04, 0, 0, 0, 0, 0], (7, 0x30, 0x0c));
    let page = drive.data_in(&[0x1a, 8, 0x1d, 0, 255, 0], 255);
    assert_eq!((page[1], page[6]), (0x8c, 0x01));
    drive.locate(3, 0);
    assert_eq!(drive.position(), (3, 1));
    assert_eq!(drive.write(b"three"), None);
}

#[test]
fn load_unload_and_prevent() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let unload = [0x1b, 0, 0, 0, 0, 0];
    let load = [0x1b, 0, 0, 0, 1, 0];
    drive.write_example();
    drive.good(&load);
    assert_eq!(drive.position(), (0, 0));
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    drive.fails(&unload, (5, 0x53, 2));
    rig.changer().fails(&move_medium(256, 1024), (5, 0x53, 2));
    drive.good(&[0; 6]);
    drive.good(&[0x1e, 0, 0, 0, 0, 0]);
    drive.good(&unload);
    drive.fails(&[0; 6], (2, 0x3a, 0));
    drive.good(&unload);
    drive.good(&load);
    drive.fails(&[0; 6], (6, 0x28, 0));
    drive.good(&[0; 6]);
    drive.locate(3, 0);
    assert_eq!(drive.position(), (9, 3));
    drive.fails(&[0x1b, 0, 0, 0, 5, 0], (5, 0x24, 0));
    // The robot unloads by itself.
    rig.changer().good(&move_medium(256, 1024));
    drive.fails(&[0; 6], (2, 0x3a, 0));
    drive.fails(&load, (2, 0x3a, 0));
}

#[test]
fn format_and_erase() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.fails(&[0x04, 0, 0, 0, 0, 0], (5, 0x3b, 0x0c));
    drive.rewind();
    drive.fails(&[0x04, 0, 3, 0, 0, 0], (5, 0x24, 0));
    drive.good(&[0x04, 1, 0, 0, 0, 0]);
    assert_eq!(drive.read_block(10).1.map(|s| code(&s)), Some((8, 0, 5)));
    drive.write_example();
    drive.locate(0, 3);
    drive.good(&[0x19, 1, 0, 0, 0, 0]);
    drive.locate(3, 0);
    assert_eq!(drive.position(), (3, 1));
}

#[test]
fn a_damaged_block_is_a_medium_error_and_can_be_passed() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drop(drive);
    // Flip a byte in the data of object 4.
    let log = rig.dir.path().join("cartridges/CAP001L8/partition0.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let needle = pattern(4, 5000);
    let at = bytes.windows(5000).position(|window| window == needle).unwrap();
    bytes[at + 2500] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let mut drive = rig.drive(0);
    drive.locate(0, 4);
    let mut buffer = vec![0xee; 5000];
    let reply = drive.send(&[0x08, 2, 0, 0x13, 0x88, 0], Data::In(&mut buffer));
    let sense = reply.sense.unwrap();
    assert_eq!((code(&sense), sense.information), ((3, 0x11, 0), Some(5000)));
    assert_eq!(reply.transferred, 0);
    assert_eq!(drive.position(), (5, 1));
    assert_eq!(drive.read_block(6000), (pattern(5, 6000), None));
    let alerts = drive.data_in(&[0x4d, 0, 0x52, 0, 0, 0, 0, 1, 0, 0], 64);
    assert_eq!(alerts[8], 0b0010_1000);
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    rig.changer().good(&move_medium(256, 1024));
    let report = rig.library.check_cartridge("CAP001L8", &()).unwrap();
    assert_eq!((report.blocks, report.filemarks), (5, 3));
    let objects: Vec<u64> = report.damaged.iter().map(|damaged| damaged.object).collect();
    assert_eq!(objects, [4]);
}

#[test]
fn the_largest_block() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let block = pattern(3, 8 << 20);
    assert_eq!(drive.write(&block), None);
    drive.rewind();
    // Asked for with the largest length that a CDB can hold.
    let (data, sense) = drive.read(2, 0xff_ffff, 8 << 20);
    assert!(data == block && sense.is_none());
}

/// WRITE FILEMARKS without IMMED is what makes data durable; the index may be lost with the machine.
#[test]
fn a_flushed_tape_needs_nothing_but_its_log() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    let from = rig.dir.path().join("cartridges/CAP001L8");
    let log = std::fs::read(from.join("partition0.log")).unwrap();
    // The picture of the disk at this moment, without index and without a clean end.
    let other = rig.dir.path().join("cartridges/CAP002L8");
    let state = std::fs::read_to_string(from.join("cartridge.json")).unwrap();
    std::fs::write(other.join("cartridge.json"), state.replace("CAP001L8", "CAP002L8")).unwrap();
    std::fs::write(other.join("partition0.log"), log).unwrap();
    std::fs::remove_file(other.join("partition0.index")).unwrap();
    rig.changer().good(&move_medium(1025, 257));
    let mut second = rig.drive(1);
    second.settle();
    second.locate(3, 0);
    assert_eq!(second.position(), (9, 3));
    second.rewind();
    assert_eq!(second.read_block(1000), (pattern(0, 1000), None));
}
