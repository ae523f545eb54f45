//! Positions: SPACE, LOCATE, READ POSITION.

use super::{BLOCKS, FILEMARKS, Next, REWIND, TO_END, space_cdb, stands_before, tape};
use crate::device::{BEGINNING, Check, Code, Device, END_OF_DATA, FILEMARK, Verdict};
use crate::want;

/// Checks of positions.
pub const MOTION: &[Check] = &[
    ("SPACE over blocks stops behind a filemark", space_blocks_forward),
    ("SPACE back over blocks stops before a filemark", space_blocks_back),
    ("SPACE over filemarks ends behind the last one", space_filemarks_forward),
    ("SPACE back over filemarks ends before the last one", space_filemarks_back),
    ("SPACE goes to the end of data", space_end),
    ("SPACE beyond the end of data tells how many are missing", space_beyond_end),
    ("SPACE beyond the beginning tells how many are missing", space_beyond_beginning),
    ("SPACE by nothing moves nothing", space_nothing),
    ("READ POSITION tells object and file", read_position_long),
    ("READ POSITION in its short form tells the object", read_position_short),
    ("LOCATE goes to an object", locate_object),
    ("LOCATE beyond the end stops at the end of data", locate_beyond),
    ("LOCATE in its short form goes to an object", locate_short),
    ("LOCATE goes to a file", locate_file),
];

fn missing(device: &mut Device, cdb: &[u8], code: Code, count: i64) -> Verdict {
    let failure = device.send(cdb)?.fails(code)?;
    want!(
        failure.information == Some(count),
        "INFORMATION is {:?}, not {count}",
        failure.information
    );
    Ok(())
}

fn space_blocks_forward(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(BLOCKS, 1))?;
    stands_before(device, Next::Block(1))?;
    device.good(&REWIND)?;
    missing(device, &space_cdb(BLOCKS, 5), FILEMARK, 3)?;
    stands_before(device, Next::Block(3))
}

fn space_blocks_back(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(FILEMARKS, 1))?;
    device.good(&space_cdb(BLOCKS, 2))?;
    device.good(&space_cdb(BLOCKS, -1))?;
    stands_before(device, Next::Block(4))?;
    missing(device, &space_cdb(BLOCKS, -5), FILEMARK, 3)?;
    stands_before(device, Next::Filemark)
}

fn space_filemarks_forward(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(FILEMARKS, 1))?;
    stands_before(device, Next::Block(3))?;
    device.good(&space_cdb(FILEMARKS, 2))?;
    stands_before(device, Next::Block(8))
}

fn space_filemarks_back(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(TO_END, 0))?;
    device.good(&space_cdb(FILEMARKS, -1))?;
    stands_before(device, Next::Filemark)?;
    stands_before(device, Next::Block(8))?;
    device.good(&space_cdb(FILEMARKS, -3))?;
    stands_before(device, Next::Filemark)?;
    stands_before(device, Next::Block(3))
}

fn space_end(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(TO_END, 0))?;
    stands_before(device, Next::EndOfData)
}

fn space_beyond_end(device: &mut Device) -> Verdict {
    tape(device)?;
    missing(device, &space_cdb(FILEMARKS, 5), END_OF_DATA, 2)?;
    stands_before(device, Next::EndOfData)?;
    device.good(&REWIND)?;
    // What `mt eod` sends: the driver computes the file number from what is missing.
    missing(device, &[0x11, 1, 0x7f, 0xff, 0xff, 0], END_OF_DATA, 0x7f_ffff - 3)
}

fn space_beyond_beginning(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(BLOCKS, 1))?;
    let failure = device.send(&space_cdb(BLOCKS, -4))?.fails(BEGINNING)?;
    want!(failure.end_of_medium, "EOM is not set");
    want!(failure.information == Some(3), "INFORMATION is {:?}, not 3", failure.information);
    stands_before(device, Next::Block(0))
}

fn space_nothing(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(BLOCKS, 0))?;
    device.good(&space_cdb(FILEMARKS, 0))?;
    stands_before(device, Next::Block(0))
}

fn long_position(device: &mut Device) -> Result<(u64, u64), String> {
    let data = device.fetch(&[0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0], 32)?.good(32)?;
    let number =
        |at: usize| data[at..at + 8].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Ok((number(8), number(16)))
}

fn read_position_long(device: &mut Device) -> Verdict {
    tape(device)?;
    for (count, expected) in [(0, (0, 0)), (1, (3, 1)), (1, (7, 2)), (1, (8, 3))] {
        device.good(&space_cdb(FILEMARKS, count))?;
        let found = long_position(device)?;
        want!(found == expected, "object and file are {found:?}, not {expected:?}");
    }
    Ok(())
}

fn read_position_short(device: &mut Device) -> Verdict {
    tape(device)?;
    // 01h is what the kernel's tape driver sends.
    for action in [0, 1] {
        device.good(&REWIND)?;
        for (blocks, object) in [(0, 0), (1, 1)] {
            device.good(&space_cdb(BLOCKS, blocks))?;
            let data = device.fetch(&[0x34, action, 0, 0, 0, 0, 0, 0, 0, 0], 20)?.good(20)?;
            want!(
                data[4..8] == [0, 0, 0, object],
                "the object is {:02x?}, not {object}",
                &data[4..8]
            );
            want!((data[0] & 0x80 != 0) == (object == 0), "BOP is wrong at object {object}");
        }
    }
    Ok(())
}

fn locate_16(kind: u8, number: u8) -> [u8; 16] {
    [0x92, kind << 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, number, 0, 0, 0, 0]
}

fn locate_object(device: &mut Device) -> Verdict {
    tape(device)?;
    for (object, expected) in [(8, Next::Block(8)), (2, Next::Filemark), (4, Next::Block(4))] {
        device.good(&locate_16(0, object))?;
        stands_before(device, expected)?;
    }
    Ok(())
}

fn locate_beyond(device: &mut Device) -> Verdict {
    tape(device)?;
    device.send(&locate_16(0, 50))?.fails(END_OF_DATA)?;
    stands_before(device, Next::EndOfData)
}

fn locate_short(device: &mut Device) -> Verdict {
    tape(device)?;
    // With the BT bit, as the kernel's tape driver sends it.
    device.good(&[0x2b, 4, 0, 0, 0, 0, 4, 0, 0, 0])?;
    stands_before(device, Next::Block(4))
}

/// Drive families disagree which file a number means; a filemark beside it tells either way.
fn locate_file(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&locate_16(1, 1))?;
    let (_, file) = long_position(device)?;
    want!(file <= 1, "the drive tells file {file}");
    if file == 0 {
        device.good(&space_cdb(FILEMARKS, 1))?;
    }
    stands_before(device, Next::Block(3))
}
