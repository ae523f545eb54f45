//! The data path: blocks of all sizes, filemarks, the end of data, fixed blocks.

use super::{
    Next, REWIND, filemarks, numbered, read, read_cdb, stands_before, tape, with_fixed_blocks,
    write,
};
use crate::device::{Check, Device, END_OF_DATA, FILEMARK, INVALID_FIELD, Verdict, pattern};
use crate::want;

/// Checks of the data path. Each begins at the beginning of the tape.
pub const DATA: &[Check] = &[
    ("blocks of every size come back as they were", every_size),
    ("a block of the largest size goes through", largest_block),
    ("a block longer than asked for: its first part, ILI and the excess", longer_block),
    ("a block shorter than asked for: all of it, ILI and the residual", shorter_block),
    ("SILI hides that a block is shorter", suppressed_shorter),
    ("SILI hides that a block is longer, with variable blocks", suppressed_longer),
    ("a filemark is told without data, and passed", filemark),
    ("the end of data is told as often as it is read", end_of_data),
    ("reading and writing nothing moves nothing", nothing),
    ("SILI and FIXED together are refused", suppressed_fixed),
    ("FIXED needs a block length", fixed_without_length),
    ("fixed blocks go many at a time", fixed_blocks),
    ("a filemark among fixed blocks: what was before it, and how many are missing", fixed_filemark),
    ("writing makes everything behind go away", writing_cuts),
    ("WRITE FILEMARKS 0 flushes", flush),
    ("ERASE ends the tape where it stands", erase),
];

fn every_size(device: &mut Device) -> Verdict {
    let sizes =
        [4, 5, 511, 512, 513, 4096, 65_535, 65_536, 131_072, 262_143, 262_144, 262_145, 1 << 20];
    device.good(&REWIND)?;
    for (number, size) in (0u64..).zip(sizes) {
        write(device, &pattern(number, size))
            .map_err(|error| format!("writing {size}: {error}"))?;
    }
    filemarks(device, 1)?;
    device.good(&REWIND)?;
    for (number, size) in (0u64..).zip(sizes) {
        let back = read(device, size).map_err(|error| format!("reading {size}: {error}"))?;
        want!(
            back == pattern(number, size),
            "a block of {size} came back otherwise ({} bytes)",
            back.len()
        );
    }
    Ok(())
}

fn largest_block(device: &mut Device) -> Verdict {
    let limits = device.fetch(&[0x05, 0, 0, 0, 0, 0], 6)?.good(6)?;
    let largest = u32::from_be_bytes([0, limits[1], limits[2], limits[3]]) as usize;
    // The way to the device may take less than the device.
    let size = largest.min(device.transfer_bytes_max());
    device.good(&REWIND)?;
    let block = pattern(1, size);
    write(device, &block)?;
    device.good(&REWIND)?;
    want!(read(device, size)? == block, "it came back otherwise");
    Ok(())
}

fn longer_block(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    let block = pattern(1, 10_000);
    write(device, &block)?;
    write(device, &numbered(7))?;
    device.good(&REWIND)?;
    let failure = device.fetch(&read_cdb(0, 1000), 1000)?.fails((0, 0, 0))?;
    want!(failure.incorrect_length, "ILI is not set");
    want!(
        failure.information == Some(-9000),
        "INFORMATION is {:?}, not -9000",
        failure.information
    );
    want!(failure.data == block[..1000], "{} bytes came, not the first 1000", failure.data.len());
    stands_before(device, Next::Block(7))
}

fn shorter_block(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    let block = pattern(1, 1000);
    write(device, &block)?;
    write(device, &numbered(7))?;
    device.good(&REWIND)?;
    let failure = device.fetch(&read_cdb(0, 10_000), 10_000)?.fails((0, 0, 0))?;
    want!(failure.incorrect_length, "ILI is not set");
    want!(failure.information == Some(9000), "INFORMATION is {:?}, not 9000", failure.information);
    want!(failure.data == block, "{} bytes came, not the block's 1000", failure.data.len());
    stands_before(device, Next::Block(7))
}

fn suppressed_shorter(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    let block = pattern(1, 1000);
    write(device, &block)?;
    device.good(&REWIND)?;
    let back = device.fetch(&read_cdb(2, 10_000), 10_000)?.good(1000)?;
    want!(back == block, "it came back otherwise");
    Ok(())
}

fn suppressed_longer(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    let block = pattern(1, 10_000);
    write(device, &block)?;
    device.good(&REWIND)?;
    let back = device.fetch(&read_cdb(2, 1000), 1000)?.good(1000)?;
    want!(back == block[..1000], "it came back otherwise");
    Ok(())
}

fn filemark(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    filemarks(device, 1)?;
    write(device, &numbered(7))?;
    device.good(&REWIND)?;
    let failure = device.fetch(&read_cdb(0, 5000), 5000)?.fails(FILEMARK)?;
    want!(failure.filemark, "FILEMARK is not set");
    want!(failure.data.is_empty(), "{} bytes came", failure.data.len());
    want!(failure.information == Some(5000), "INFORMATION is {:?}, not 5000", failure.information);
    stands_before(device, Next::Block(7))
}

fn end_of_data(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    write(device, &numbered(7))?;
    for _ in 0..2 {
        let failure = device.fetch(&read_cdb(0, 5000), 5000)?.fails(END_OF_DATA)?;
        want!(!failure.end_of_medium, "EOM is set");
        want!(failure.data.is_empty(), "{} bytes came", failure.data.len());
    }
    Ok(())
}

fn nothing(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&read_cdb(0, 0))?;
    stands_before(device, Next::Block(0))?;
    device.good(&[0x0a, 0, 0, 0, 0, 0])?;
    stands_before(device, Next::Block(1))
}

fn suppressed_fixed(device: &mut Device) -> Verdict {
    tape(device)?;
    device.fetch(&read_cdb(3, 1), 4096)?.fails(INVALID_FIELD).map(drop)
}

fn fixed_without_length(device: &mut Device) -> Verdict {
    tape(device)?;
    device.fetch(&read_cdb(1, 1), 4096)?.fails(INVALID_FIELD).map(drop)
}

fn fixed_blocks(device: &mut Device) -> Verdict {
    with_fixed_blocks(device, |device| {
        let data = pattern(3, 16 * 1024);
        device.put(&[0x0a, 1, 0, 0, 16, 0], &data)?.good(0)?;
        device.good(&REWIND)?;
        let back = device.fetch(&[0x08, 1, 0, 0, 16, 0], data.len())?.good(data.len())?;
        want!(back == data, "they came back otherwise");
        Ok(())
    })
}

fn fixed_filemark(device: &mut Device) -> Verdict {
    with_fixed_blocks(device, |device| {
        let data = pattern(3, 3 * 1024);
        device.put(&[0x0a, 1, 0, 0, 3, 0], &data)?.good(0)?;
        filemarks(device, 1)?;
        device.good(&REWIND)?;
        let failure = device.fetch(&[0x08, 1, 0, 0, 8, 0], 8 * 1024)?.fails(FILEMARK)?;
        want!(
            failure.data == data,
            "{} bytes came, not the 3 blocks before it",
            failure.data.len()
        );
        want!(failure.information == Some(5), "INFORMATION is {:?}, not 5", failure.information);
        Ok(())
    })
}

fn writing_cuts(device: &mut Device) -> Verdict {
    tape(device)?;
    stands_before(device, Next::Block(0))?;
    write(device, &numbered(9))?;
    stands_before(device, Next::EndOfData)?;
    device.good(&REWIND)?;
    stands_before(device, Next::Block(0))?;
    stands_before(device, Next::Block(9))?;
    stands_before(device, Next::EndOfData)
}

fn flush(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&[0x10, 0, 0, 0, 0, 0])?;
    stands_before(device, Next::Block(0))
}

fn erase(device: &mut Device) -> Verdict {
    tape(device)?;
    stands_before(device, Next::Block(0))?;
    device.good(&[0x19, 0, 0, 0, 0, 0])?;
    stands_before(device, Next::EndOfData)?;
    device.good(&REWIND)?;
    stands_before(device, Next::Block(0))?;
    stands_before(device, Next::EndOfData)
}
