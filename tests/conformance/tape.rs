//! What a tape drive with a scratch tape in it does (SSC-5): blocks, filemarks, positions, pages. The tape is written over.
//!
//! Here: what the three lists of checks share.

mod data;
mod motion;
mod pages;

pub use data::DATA;
pub use motion::MOTION;
pub use pages::PAGES;

use crate::device::{Device, END_OF_DATA, FILEMARK, Verdict, pattern};
use crate::want;

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

fn set_block_length(device: &mut Device, length: u16) -> Verdict {
    let [high, low] = length.to_be_bytes();
    let list = [0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, high, low];
    device.put(&[0x15, 0x10, 0, 0, list.len() as u8, 0], &list)?.good(0).map(drop)
}

/// Runs `check` with a block length of 1024 and sets it back to variable, whatever happened.
pub fn with_fixed_blocks(device: &mut Device, check: fn(&mut Device) -> Verdict) -> Verdict {
    device.good(&REWIND)?;
    set_block_length(device, 1024)?;
    let verdict = check(device);
    set_block_length(device, 0)?;
    verdict
}
