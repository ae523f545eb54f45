//! Where a stream is cut into chunks (`docs/formats/chunker.md`).
//!
//! A cut depends only on the 64 bytes before it and on the distance from the last cut, so that
//! inserting a byte into a file moves the cuts nearby and no others; that is what makes equal
//! content share chunks. The cut points are part of the format: another writer of the same store
//! must find the same ones, or nothing is shared between them.
//!
//! What makes it fast:
//!
//! * The hash after *n* bytes depends on the last 64 bytes alone (a byte's share has been rotated by
//!   64, that is by nothing, when it leaves). So the first part of a chunk, where no cut is allowed,
//!   is not looked at, and the search can begin anew anywhere, 64 bytes ahead.
//! * For the same reason the hash of a window is the difference of two *running* hashes, which only
//!   take bytes in: that at its end and that 64 bytes before. One look into the table a byte instead
//!   of two; and the differences of a whole block are independent of each other, so the compiler
//!   makes vector instructions of them.
//! * Nearly no place is a cut. A block is first asked, by 16 bits of each hash, whether it may hold
//!   one at all; only then it is searched byte by byte.

mod table;

pub use table::TABLE;

use crate::error::{Error, Result};

/// Bytes that the rolling hash looks at.
const WINDOW: usize = 64;
/// Average chunk size of file archives in bytes.
pub const AVG_ARCHIVE: usize = 4 << 20;
/// Average chunk size of catalogs in bytes.
pub const AVG_CATALOG: usize = 512 << 10;

/// Bytes of one lane of a block; the first window of the next lane begins [`WINDOW`] before its end.
const LANE: usize = 1024;
/// Windows that end in a lane, and so the distance between lanes.
const LANE_STEP: usize = LANE - WINDOW;
/// Lanes of a block: each is a chain of instructions that wait for each other, two such chains keep
/// a processor busy.
const LANES: usize = 2;

/// Finds cut points in a stream of which the caller buffers the current chunk.
#[derive(Debug, Clone)]
pub struct Chunker {
    min: usize,
    max: usize,
    mask: u32,
    threshold: u32,
    /// The table, turned so that the highest 16 bits of those that decide come lowest.
    turned: Box<[u32; 256]>,
    /// Those of the 16 bits that a cut does not need.
    spare: u16,
    /// Bytes of the current chunk that need no second look.
    scanned: usize,
}

impl Chunker {
    /// A chunker for chunks of `avg` bytes on average: a power of two from 1 KiB to 4 MiB. Chunks
    /// are at least a quarter of that and at most four times as long.
    pub fn new(avg: usize) -> Result<Chunker> {
        if !avg.is_power_of_two() || !(1 << 10..=4 << 20).contains(&avg) {
            return Err(Error::Refused {
                reason: format!(
                    "an average chunk size of {avg} bytes is not possible: it must be a power of two from 1 KiB to 4 MiB"
                ),
            });
        }
        let mask = (2 * avg - 1) as u32;
        // At a cut all bits of the mask are set but the lowest two, which may be 01, 10 or 11.
        let threshold = mask - 2;
        let bits = mask.count_ones();
        let turned = Box::new(TABLE.map(|value| value.rotate_right(bits).rotate_left(16)));
        let spare = !((mask & !3).rotate_right(bits).rotate_left(16) as u16);
        Ok(Chunker { min: avg / 4, max: avg * 4, mask, threshold, turned, spare, scanned: 0 })
    }

    /// Length in bytes that no chunk exceeds: the size of the caller's buffer.
    pub fn len_max(&self) -> usize {
        self.max
    }

    /// Looks for the end of the current chunk. `chunk` is everything of it that has arrived, the
    /// bytes of earlier calls included. `Some(length)`: the chunk ends after that many bytes, and
    /// the next call starts a new one; `None`: more bytes are needed.
    pub fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        let end = chunk.len().min(self.max);
        // The first length that is still in question.
        let first = self.min.max(self.scanned + 1);
        if end < first {
            return None;
        }
        if let Some(position) = self.find(chunk.get(first - WINDOW..end)?) {
            self.scanned = 0;
            return Some(first + position);
        }
        if end == self.max {
            self.scanned = 0;
            return Some(end);
        }
        self.scanned = end;
        None
    }

    /// The first window in `data` after which there is a cut; windows are counted from 0.
    fn find(&self, data: &[u8]) -> Option<usize> {
        let mut done = 0;
        let mut running = [[0; LANE]; LANES];
        while let Some(block) = data.get(done..done + LANES * LANE_STEP + WINDOW) {
            if self.may_hold_a_cut(block, &mut running)
                && let Some(position) = self.find_bytewise(block)
            {
                return Some(done + position);
            }
            // The last window of this block is the first one of the next: asked twice, once is free.
            done += LANES * LANE_STEP;
        }
        self.find_bytewise(data.get(done..)?).map(|position| done + position)
    }

    /// False if there is certainly no cut after any window of the block.
    fn may_hold_a_cut(&self, block: &[u8], running: &mut [[u16; LANE]; LANES]) -> bool {
        let lane = |number: usize| {
            let bytes = block.get(number * LANE_STEP..number * LANE_STEP + LANE);
            bytes.unwrap_or_default().as_chunks::<8>().0
        };
        let (mut hash_0, mut hash_1) = (0u32, 0u32);
        let [running_0, running_1] = running;
        let outputs =
            running_0.as_chunks_mut::<8>().0.iter_mut().zip(running_1.as_chunks_mut::<8>().0);
        for ((input_0, input_1), (output_0, output_1)) in lane(0).iter().zip(lane(1)).zip(outputs) {
            for place in 0..8 {
                hash_0 = hash_0.rotate_left(1) ^ self.turned[usize::from(input_0[place])];
                output_0[place] = hash_0 as u16;
                hash_1 = hash_1.rotate_left(1) ^ self.turned[usize::from(input_1[place])];
                output_1[place] = hash_1 as u16;
            }
        }
        running.iter().any(|running| {
            // The first window has nothing before it: its hash is the running one itself.
            let first = running.get(WINDOW - 1).is_none_or(|hash| hash | self.spare == u16::MAX);
            let ends = running.get(WINDOW..).unwrap_or_default();
            // No early end: that would forbid vector instructions.
            let rest = ends.iter().zip(running).fold(0, |found, (end, before)| {
                found | u16::from((end ^ before) | self.spare == u16::MAX)
            });
            first || rest != 0
        })
    }

    /// As [`Chunker::find`], exactly as the format describes it.
    fn find_bytewise(&self, data: &[u8]) -> Option<usize> {
        let (window, entering) = data.split_at_checked(WINDOW)?;
        let mut hash = window.iter().fold(0u32, |hash, byte| hash.rotate_left(1) ^ value(*byte));
        if hash & self.mask >= self.threshold {
            return Some(0);
        }
        let position = data.iter().zip(entering).position(|(leaving, entering)| {
            hash = hash.rotate_left(1) ^ (value(*leaving) ^ value(*entering));
            hash & self.mask >= self.threshold
        });
        position.map(|position| position + 1)
    }
}

fn value(byte: u8) -> u32 {
    TABLE[usize::from(byte)]
}

#[cfg(test)]
mod tests;
