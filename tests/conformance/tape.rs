//! What a tape drive with a scratch tape in it does (SSC-5): blocks, filemarks, positions, pages. The tape is written over.

use crate::device::{
    BEGINNING, Check, Device, END_OF_DATA, FILEMARK, INVALID_FIELD, Verdict, pattern,
};
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

/// Checks of what the drive tells and can be told.
pub const PAGES: &[Check] = &[
    ("READ BLOCK LIMITS tells a range", block_limits),
    ("MODE SENSE without a page: header and block descriptor", mode_header),
    ("MODE SENSE cut to 4 bytes tells the whole length", mode_cut),
    ("all mode pages fit their lengths", mode_pages),
    ("the block length can be set", mode_block_length),
    ("compression can be switched", mode_compression),
    ("a mode page that does not exist is refused", mode_unknown),
    ("log page 00h lists the pages", log_pages),
    ("each log page asked for 4 bytes tells the length that it then has", log_lengths),
    ("TapeAlert has 64 flags", tape_alert),
    ("the cartridge memory has the medium's serial number", memory),
    ("the cartridge memory keeps what a host writes, and loses what it removes", memory_write),
    ("REPORT DENSITY SUPPORT describes at least one format", density),
    ("PREVENT keeps the tape in, ALLOW lets it go", prevent),
    ("a tape that was unloaded can be loaded again", reload),
];

const REWIND: [u8; 6] = [0x01, 0, 0, 0, 0, 0];

fn read_cdb(flags: u8, length: usize) -> [u8; 6] {
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    [0x08, flags, high, middle, low, 0]
}

fn write(device: &mut Device, block: &[u8]) -> Verdict {
    let [_, high, middle, low] = (block.len() as u32).to_be_bytes();
    device.put(&[0x0a, 0, high, middle, low, 0], block)?.good(0).map(drop)
}

fn read(device: &mut Device, length: usize) -> Result<Vec<u8>, String> {
    device.fetch(&read_cdb(0, length), length)?.good_any()
}

fn filemarks(device: &mut Device, count: u8) -> Verdict {
    device.good(&[0x10, 0, 0, 0, count, 0])
}

fn space_cdb(what: u8, count: i32) -> [u8; 6] {
    let [_, high, middle, low] = count.to_be_bytes();
    [0x11, what, high, middle, low, 0]
}

const BLOCKS: u8 = 0;
const FILEMARKS: u8 = 1;
const TO_END: u8 = 3;

/// A block whose first bytes tell which it is.
fn numbered(number: u8) -> Vec<u8> {
    let mut block = pattern(u64::from(number), 4096);
    block[0] = number;
    block
}

/// Objects 0 1: blocks, 2: mark, 3 4 5: blocks, 6 7: marks, 8: block, 9: end. Leaves the tape at its beginning.
fn tape(device: &mut Device) -> Verdict {
    device.good(&REWIND)?;
    let layout: [Option<u8>; 9] =
        [Some(0), Some(1), None, Some(3), Some(4), Some(5), None, None, Some(8)];
    for object in layout {
        match object {
            Some(number) => write(device, &numbered(number))?,
            None => filemarks(device, 1)?,
        }
    }
    device.good(&REWIND)
}

/// What stands before the tape's position is told by reading on.
#[derive(Debug, PartialEq, Clone, Copy)]
enum Next {
    Block(u8),
    Filemark,
    EndOfData,
}

fn next(device: &mut Device) -> Result<Next, String> {
    let answer = device.fetch(&read_cdb(0, 4096), 4096)?;
    if answer.is_good() {
        return Ok(Next::Block(answer.good(4096)?[0]));
    }
    let failure = answer.fails_any()?;
    match failure.code {
        FILEMARK => Ok(Next::Filemark),
        END_OF_DATA => Ok(Next::EndOfData),
        code => Err(format!("reading on gives {code:02x?}")),
    }
}

fn stands_before(device: &mut Device, expected: Next) -> Verdict {
    let found = next(device)?;
    want!(found == expected, "the tape stands before {found:?}, not {expected:?}");
    Ok(())
}

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

fn set_block_length(device: &mut Device, length: u16) -> Verdict {
    let [high, low] = length.to_be_bytes();
    let list = [0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, high, low];
    device.put(&[0x15, 0x10, 0, 0, list.len() as u8, 0], &list)?.good(0).map(drop)
}

/// Runs `check` with a block length of 1024 and sets it back to variable, whatever happened.
fn with_fixed_blocks(device: &mut Device, check: fn(&mut Device) -> Verdict) -> Verdict {
    device.good(&REWIND)?;
    set_block_length(device, 1024)?;
    let verdict = check(device);
    set_block_length(device, 0)?;
    verdict
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

fn missing(device: &mut Device, cdb: &[u8], code: crate::device::Code, count: i64) -> Verdict {
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

fn block_limits(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x05, 0, 0, 0, 0, 0], 6)?.good(6)?;
    let largest = u32::from_be_bytes([0, data[1], data[2], data[3]]);
    let smallest = u16::from_be_bytes([data[4], data[5]]);
    want!(largest >= 262_144 && u32::from(smallest) <= largest, "from {smallest} to {largest}");
    Ok(())
}

fn mode_header(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x1a, 0, 0, 0, 12, 0], 12)?.good(12)?;
    want!(data[0] == 11 && data[3] == 8, "lengths are {} and {}", data[0], data[3]);
    want!(data[8..] == [0, 0, 0, 0], "the block length is {:02x?}", &data[8..]);
    Ok(())
}

fn mode_cut(device: &mut Device) -> Verdict {
    let whole = device.fetch(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0x10, 0, 0], 4096)?.good_any()?;
    let cut = device.fetch(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 4, 0], 64)?.good(4)?;
    want!(cut[..2] == whole[..2], "it tells {:02x?} and then {:02x?}", &cut[..2], &whole[..2]);
    Ok(())
}

fn mode_pages(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x5a, 0, 0x3f, 0, 0, 0, 0, 0x10, 0, 0], 4096)?.good_any()?;
    want!(data.len() >= 8, "{} bytes", data.len());
    let told = usize::from(u16::from_be_bytes([data[0], data[1]])) + 2;
    want!(told == data.len(), "it tells {told} bytes of {}", data.len());
    let descriptors = usize::from(u16::from_be_bytes([data[6], data[7]]));
    let mut rest = data.get(8 + descriptors..).ok_or("the descriptor is cut")?;
    let mut before = None;
    while let [code, length, ..] = rest {
        let page = code & 0x3f;
        want!(code & 0x40 == 0, "page {page:02x}h has a subpage that was not asked for");
        want!(before < Some(page), "page {page:02x}h stands behind page {before:02x?}");
        before = Some(page);
        rest = rest.get(2 + usize::from(*length)..).ok_or(format!("page {page:02x}h is cut"))?;
    }
    want!(rest.is_empty(), "{} bytes behind the last page", rest.len());
    Ok(())
}

fn mode_block_length(device: &mut Device) -> Verdict {
    with_fixed_blocks(device, |device| {
        let data = device.fetch(&[0x1a, 0, 0, 0, 12, 0], 12)?.good(12)?;
        want!(data[9..] == [0, 4, 0], "the block length is {:02x?}, not 1024", &data[9..]);
        Ok(())
    })
}

fn mode_compression(device: &mut Device) -> Verdict {
    let enabled = |device: &mut Device| -> Result<(Vec<u8>, bool), String> {
        let data = device.fetch(&[0x1a, 0, 0x0f, 0, 255, 0], 255)?.good(28)?;
        let is_enabled = data[14] & 0x80 != 0;
        Ok((data, is_enabled))
    };
    let (mut list, before) = enabled(device)?;
    for _ in 0..2 {
        // What `mt compression` sends back: header, descriptor, page.
        list[0] = 0;
        list[2] &= 0x7f;
        list[12] &= 0x3f;
        list[14] ^= 0x80;
        device.put(&[0x15, 0x10, 0, 0, 28, 0], &list)?.good(0)?;
        let (_, now) = enabled(device)?;
        want!(now == (list[14] & 0x80 != 0), "compression is {now} after it was set otherwise");
    }
    want!(enabled(device)?.1 == before, "it is not as before");
    Ok(())
}

fn mode_unknown(device: &mut Device) -> Verdict {
    device.fetch(&[0x1a, 0, 0x29, 0, 255, 0], 255)?.fails(INVALID_FIELD).map(drop)
}

fn log_cdb(page: u8, length: u16) -> [u8; 10] {
    let [high, low] = length.to_be_bytes();
    [0x4d, 0, 0x40 | page, 0, 0, 0, 0, high, low, 0]
}

fn log_list(device: &mut Device) -> Result<Vec<u8>, String> {
    let data = device.fetch(&log_cdb(0, 255), 255)?.good_any()?;
    want!(data.len() > 4 && data[0] & 0x3f == 0, "page 00h is {data:02x?}");
    Ok(data[4..].to_vec())
}

fn log_pages(device: &mut Device) -> Verdict {
    let pages = log_list(device)?;
    want!(pages.is_sorted(), "{pages:02x?} is not in order");
    for page in [0x00, 0x11, 0x12, 0x17, 0x2e, 0x31] {
        want!(pages.contains(&page), "page {page:02x}h is not in {pages:02x?}");
    }
    Ok(())
}

fn log_lengths(device: &mut Device) -> Verdict {
    for page in log_list(device)? {
        let head = device.fetch(&log_cdb(page, 4), 4)?.good(4)?;
        let told = usize::from(u16::from_be_bytes([head[2], head[3]])) + 4;
        let whole = device.fetch(&log_cdb(page, 0x2000), 0x2000)?.good_any()?;
        want!(whole.len() == told, "page {page:02x}h has {} bytes and tells {told}", whole.len());
    }
    Ok(())
}

fn tape_alert(device: &mut Device) -> Verdict {
    // The current values, whatever is asked for: PC is 0 here, as old programs send it.
    let mut cdb = log_cdb(0x2e, 0x200);
    cdb[2] = 0x2e;
    let data = device.fetch(&cdb, 0x200)?.good(4 + 64 * 5)?;
    for (number, flag) in (1u16..).zip(data[4..].chunks(5)) {
        want!(flag[..2] == number.to_be_bytes() && flag[3] == 1, "flag {number} is {flag:02x?}");
    }
    Ok(())
}

fn attribute(device: &mut Device, first: u16) -> Result<(u16, Vec<u8>), String> {
    let [high, low] = first.to_be_bytes();
    let cdb = [0x8c, 0, 0, 0, 0, 0, 0, 0, high, low, 0, 0, 0x20, 0, 0, 0];
    let data = device.fetch(&cdb, 8192)?.good_any()?;
    want!(data.len() >= 9, "{} bytes", data.len());
    let length = usize::from(u16::from_be_bytes([data[7], data[8]]));
    let value = data.get(9..9 + length).ok_or("the attribute is cut")?;
    Ok((u16::from_be_bytes([data[4], data[5]]), value.to_vec()))
}

fn memory(device: &mut Device) -> Verdict {
    let (id, value) = attribute(device, 0x0401)?;
    want!(id == 0x0401 && value.len() == 32, "attribute {id:04x}h has {} bytes", value.len());
    Ok(())
}

fn memory_write(device: &mut Device) -> Verdict {
    let put = |device: &mut Device, value: &[u8]| -> Verdict {
        let mut list = vec![0, 0, 0, 5 + value.len() as u8, 0x08, 0x03, 2, 0, value.len() as u8];
        list.extend(value);
        let length = list.len() as u8;
        device
            .put(&[0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, length, 0, 0], &list)?
            .good(0)
            .map(drop)
    };
    let mut value = b"conformance".to_vec();
    value.resize(160, b' ');
    put(device, &value)?;
    let found = attribute(device, 0x0803)?;
    want!(found == (0x0803, value), "attribute {:04x}h came back otherwise", found.0);
    put(device, &[])?;
    match attribute(device, 0x0803) {
        Ok((0x0803, _)) => Err("it is still there".to_string()),
        _ => Ok(()),
    }
}

fn density(device: &mut Device) -> Verdict {
    let data = device.fetch(&[0x44, 0, 0, 0, 0, 0, 0, 0x20, 0, 0], 8192)?.good_any()?;
    want!(data.len() >= 4 + 52, "{} bytes", data.len());
    let told = usize::from(u16::from_be_bytes([data[0], data[1]])) + 2;
    want!(
        told == data.len() && (told - 4).is_multiple_of(52),
        "it tells {told} bytes of {}",
        data.len()
    );
    Ok(())
}

const UNLOAD: [u8; 6] = [0x1b, 0, 0, 0, 0, 0];
const LOAD: [u8; 6] = [0x1b, 0, 0, 0, 1, 0];

fn prevent(device: &mut Device) -> Verdict {
    device.good(&[0x1e, 0, 0, 0, 1, 0])?;
    let refused = device.send(&UNLOAD).and_then(|answer| answer.fails((5, 0x53, 0x02)));
    device.good(&[0x1e, 0, 0, 0, 0, 0])?;
    refused?;
    device.good(&[0; 6])
}

fn reload(device: &mut Device) -> Verdict {
    tape(device)?;
    device.good(&space_cdb(FILEMARKS, 1))?;
    device.good(&UNLOAD)?;
    let failure = device.send(&[0; 6])?.fails_any()?;
    want!(
        matches!(failure.code, (2, 0x3a, _) | (2, 0x04, 0x02)),
        "unloaded, it tells {:02x?}",
        failure.code
    );
    device.good(&LOAD)?;
    device.settle()?;
    stands_before(device, Next::Block(0))
}
