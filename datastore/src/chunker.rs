//! Where a stream is cut into chunks (`docs/formats/chunker.md`).
//!
//! A cut depends only on the 64 bytes before it and on the distance from the last cut, so that
//! inserting a byte into a file moves the cuts nearby and no others; that is what makes equal
//! content share chunks. The cut points are part of the format: another writer of the same store
//! must find the same ones, or nothing is shared between them.
//!
//! Two properties make it fast. The hash after *n* bytes depends on the last 64 bytes alone (a
//! byte's share has been rotated by 64, that is by nothing, when it leaves), so the first part of
//! a chunk, where no cut is allowed, need not be hashed at all. And the caller keeps the whole
//! chunk in one buffer, so the leaving byte is simply 64 places back.

mod table;

use table::TABLE;

use crate::error::{Error, Result};

/// Bytes that the rolling hash looks at.
const WINDOW: usize = 64;
/// Average chunk size of file archives in bytes.
pub const AVG_ARCHIVE: usize = 4 << 20;
/// Average chunk size of catalogs in bytes.
pub const AVG_CATALOG: usize = 512 << 10;

/// Finds cut points in a stream of which the caller buffers the current chunk.
#[derive(Debug, Clone)]
pub struct Chunker {
    min: usize,
    max: usize,
    mask: u32,
    threshold: u32,
    hash: u32,
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
        Ok(Chunker { min: avg / 4, max: avg * 4, mask, threshold: mask - 2, hash: 0, scanned: 0 })
    }

    /// Length in bytes that no chunk exceeds: the size of the caller's buffer.
    pub fn len_max(&self) -> usize {
        self.max
    }

    /// Looks for the end of the current chunk. `chunk` is everything of it that has arrived, the
    /// bytes of earlier calls included. `Some(length)`: the chunk ends after that many bytes, and
    /// the next call starts a new one; `None`: more bytes are needed.
    pub fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        if chunk.len() < self.min {
            return None;
        }
        if self.scanned < self.min {
            // The first length at which a cut is allowed. Skipping to it is sound because the hash
            // is that of the last 64 bytes.
            let window = chunk.get(self.min - WINDOW..self.min)?;
            self.hash = window.iter().fold(0, |hash, byte| hash.rotate_left(1) ^ value(*byte));
            self.scanned = self.min;
            if self.is_cut() {
                return self.cut(self.min);
            }
        }
        let end = chunk.len().min(self.max);
        let leaving = chunk.get(self.scanned - WINDOW..end - WINDOW)?;
        let entering = chunk.get(self.scanned..end)?;
        let mut hash = self.hash;
        let (mask, threshold) = (self.mask, self.threshold);
        let found = leaving.iter().zip(entering).position(|(leaving, entering)| {
            hash = hash.rotate_left(1) ^ (value(*leaving) ^ value(*entering));
            hash & mask >= threshold
        });
        self.hash = hash;
        if let Some(position) = found {
            return self.cut(self.scanned + position + 1);
        }
        self.scanned = end;
        if end == self.max { self.cut(end) } else { None }
    }

    fn is_cut(&self) -> bool {
        self.hash & self.mask >= self.threshold
    }

    fn cut(&mut self, len: usize) -> Option<usize> {
        self.hash = 0;
        self.scanned = 0;
        Some(len)
    }
}

fn value(byte: u8) -> u32 {
    TABLE[usize::from(byte)]
}

#[cfg(test)]
mod tests;
