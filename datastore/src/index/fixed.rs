//! The index of an archive whose chunks all have one size but the last (`.fidx`,
//! `docs/formats/index.md`).
//!
//! ```text
//! offset  size  field
//!      0     8  magic
//!      8    16  uuid
//!     24     8  creation time, i64
//!     32    32  SHA-256 of all digests in order
//!     64     8  length of the archive, u64
//!     72     8  chunk size, u64, a power of two
//!     80  4016  zero
//!   4096  32·n  digests
//! ```

use super::{COMMON_END, HEADER_LEN, Header, IndexEntry, csum_of};
use crate::digest::Digest;
use crate::error::{Error, Result};

pub(crate) const MAGIC: [u8; 8] = [0x2f, 0x7f, 0x41, 0xed, 0x91, 0xfd, 0x0f, 0xcd];
const SIZE_AT: usize = COMMON_END;
const CHUNK_SIZE_AT: usize = SIZE_AT + 8;
const FIXED_END: usize = CHUNK_SIZE_AT + 8;
pub(super) const ENTRY_LEN: usize = 32;

/// Chunk size of every image in bytes.
pub const CHUNK_SIZE: u64 = 4 << 20;

/// What a header says of the archive, proved against the length of the file.
pub(super) struct Shape {
    /// Length of the archive in bytes.
    pub size: u64,
    /// Bytes of every chunk but the last.
    pub chunk_size: u64,
    /// Number of entries.
    pub len: u64,
}

/// Holds the header against the number of bytes behind it. The error is a reason.
pub(super) fn shape(header: &[u8], body_bytes: u64) -> std::result::Result<Shape, String> {
    let number = |range: std::ops::Range<usize>| {
        let mut bytes = [0; 8];
        if let Some(found) = header.get(range) {
            bytes.copy_from_slice(found);
        }
        u64::from_le_bytes(bytes)
    };
    let size = number(SIZE_AT..CHUNK_SIZE_AT);
    let chunk_size = number(CHUNK_SIZE_AT..FIXED_END);
    if !chunk_size.is_power_of_two() {
        return Err(format!("a chunk size of {chunk_size} is not a power of two"));
    }
    let len = body_bytes / ENTRY_LEN as u64;
    if !body_bytes.is_multiple_of(ENTRY_LEN as u64) || len == 0 || size.div_ceil(chunk_size) != len
    {
        return Err(format!(
            "{body_bytes} bytes of entries do not fit an archive of {size} bytes in chunks of {chunk_size}"
        ));
    }
    Ok(Shape { size, chunk_size, len })
}

/// A fixed index in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FixedIndex {
    pub(crate) header: Header,
    size: u64,
    chunk_size: u64,
    digests: Vec<Digest>,
}

impl FixedIndex {
    /// An index of an archive of `size` bytes in chunks of [`CHUNK_SIZE`].
    pub fn new(uuid: [u8; 16], ctime: i64, size: u64, digests: Vec<Digest>) -> Result<FixedIndex> {
        if size.div_ceil(CHUNK_SIZE) != digests.len() as u64 || digests.is_empty() {
            return Err(Error::Refused {
                reason: format!("{} chunks do not make an image of {size} bytes", digests.len()),
            });
        }
        let header = Header { uuid, ctime, csum: Digest::default() };
        let mut index = FixedIndex { header, size, chunk_size: CHUNK_SIZE, digests };
        index.header.csum = index.compute_csum();
        Ok(index)
    }

    /// Reads the whole file's content.
    pub fn decode(content: &[u8], what: &dyn std::fmt::Display) -> Result<FixedIndex> {
        let damaged = |reason: String| Error::damaged(what.to_string(), reason);
        let header = Header::decode(content, &MAGIC)
            .ok_or_else(|| damaged("it does not begin like a fixed index".into()))?;
        let body = content.get(HEADER_LEN..).unwrap_or_default();
        let Shape { size, chunk_size, .. } = shape(content, body.len() as u64).map_err(damaged)?;
        let (records, _) = body.as_chunks::<ENTRY_LEN>();
        let digests = records.iter().map(|record| Digest(*record)).collect();
        Ok(FixedIndex { header, size, chunk_size, digests })
    }

    /// The whole file's content.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = self.header.encode(&MAGIC);
        content[SIZE_AT..CHUNK_SIZE_AT].copy_from_slice(&self.size.to_le_bytes());
        content[CHUNK_SIZE_AT..FIXED_END].copy_from_slice(&self.chunk_size.to_le_bytes());
        content.reserve_exact(self.digests.len() * ENTRY_LEN);
        for digest in &self.digests {
            content.extend_from_slice(&digest.0);
        }
        content
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// True without chunks.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Length of the archive in bytes.
    pub fn content_size(&self) -> u64 {
        self.size
    }

    /// Size of all chunks but the last.
    pub fn chunk_size(&self) -> u64 {
        self.chunk_size
    }

    /// The chunk at a position.
    pub fn entry(&self, position: usize) -> Option<IndexEntry> {
        let digest = *self.digests.get(position)?;
        // The number of entries fits the size, so neither product nor sum can overflow before it.
        let start = position as u64 * self.chunk_size;
        Some(IndexEntry {
            start,
            end: start.saturating_add(self.chunk_size).min(self.size),
            digest,
        })
    }

    /// Position of the chunk that holds the byte at `offset`.
    pub fn position_of(&self, offset: u64) -> Option<usize> {
        (offset < self.size).then(|| (offset / self.chunk_size) as usize)
    }

    /// SHA-256 over the digests.
    pub fn compute_csum(&self) -> Digest {
        csum_of(self.digests.iter().map(|digest| &digest.0[..]))
    }
}
