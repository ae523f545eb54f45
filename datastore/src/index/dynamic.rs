//! The index of an archive whose chunks vary in size (`.didx`, `docs/formats/index.md`).
//!
//! ```text
//! offset  size  field
//!      0     8  magic
//!      8    16  uuid
//!     24     8  creation time, i64
//!     32    32  SHA-256 of all entries as stored
//!     64  4032  zero
//!   4096  40·n  entries: end of the chunk u64, digest
//! ```

use super::{HEADER_LEN, Header, IndexEntry, csum_of};
use crate::digest::Digest;
use crate::error::{Error, Result};

pub(crate) const MAGIC: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];
pub(super) const ENTRY_LEN: usize = 40;
pub(super) const END_LEN: usize = 8;

/// The number of entries in the bytes behind the header. The error is a reason.
pub(super) fn count(body_bytes: u64) -> std::result::Result<u64, String> {
    let count = body_bytes / ENTRY_LEN as u64;
    if count == 0 || !body_bytes.is_multiple_of(ENTRY_LEN as u64) {
        return Err(format!(
            "{body_bytes} bytes of entries are not a whole number of {ENTRY_LEN}-byte entries, at least one"
        ));
    }
    Ok(count)
}

/// A dynamic index in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicIndex {
    pub(crate) header: Header,
    /// (end, digest), ends strictly rising.
    entries: Vec<(u64, Digest)>,
}

impl DynamicIndex {
    /// An index of chunks in order, each with its length in bytes.
    pub fn new(
        uuid: [u8; 16],
        ctime: i64,
        chunks: impl IntoIterator<Item = (u64, Digest)>,
    ) -> Result<DynamicIndex> {
        let mut end = 0u64;
        let mut entries = Vec::new();
        for (len, digest) in chunks {
            end = end.checked_add(len).filter(|_| len > 0).ok_or_else(|| Error::Refused {
                reason: format!("chunk {digest} of {len} bytes does not fit into an index"),
            })?;
            entries.push((end, digest));
        }
        let header = Header { uuid, ctime, csum: Digest::default() };
        let mut index = DynamicIndex { header, entries };
        index.header.csum = index.compute_csum();
        Ok(index)
    }

    /// Reads the whole file's content.
    pub fn decode(content: &[u8], what: &dyn std::fmt::Display) -> Result<DynamicIndex> {
        let damaged = |reason: String| Error::damaged(what.to_string(), reason);
        let header = Header::decode(content, &MAGIC)
            .ok_or_else(|| damaged("it does not begin like a dynamic index".into()))?;
        let body = content.get(HEADER_LEN..).unwrap_or_default();
        count(body.len() as u64).map_err(damaged)?;
        let (records, _) = body.as_chunks::<ENTRY_LEN>();
        let mut entries = Vec::with_capacity(records.len());
        let mut last_end = 0;
        for (position, record) in records.iter().enumerate() {
            let (end, digest) = record.split_at(END_LEN);
            let mut bytes = [0; END_LEN];
            bytes.copy_from_slice(end);
            let end = u64::from_le_bytes(bytes);
            if end <= last_end {
                return Err(damaged(format!(
                    "entry {position} ends at {end}, not behind {last_end}"
                )));
            }
            let mut bytes = [0; 32];
            bytes.copy_from_slice(digest);
            entries.push((end, Digest(bytes)));
            last_end = end;
        }
        Ok(DynamicIndex { header, entries })
    }

    /// The whole file's content.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = self.header.encode(&MAGIC);
        content.reserve_exact(self.entries.len() * ENTRY_LEN);
        for (end, digest) in &self.entries {
            content.extend_from_slice(&end.to_le_bytes());
            content.extend_from_slice(&digest.0);
        }
        content
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True without chunks.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Length of the archive in bytes.
    pub fn content_size(&self) -> u64 {
        self.entries.last().map_or(0, |(end, _)| *end)
    }

    /// The chunk at a position.
    pub fn entry(&self, position: usize) -> Option<IndexEntry> {
        let (end, digest) = *self.entries.get(position)?;
        let before = position.checked_sub(1).and_then(|before| self.entries.get(before));
        Some(IndexEntry { start: before.map_or(0, |(end, _)| *end), end, digest })
    }

    /// Position of the chunk that holds the byte at `offset`.
    pub fn position_of(&self, offset: u64) -> Option<usize> {
        let position = self.entries.partition_point(|(end, _)| *end <= offset);
        (position < self.entries.len()).then_some(position)
    }

    /// SHA-256 over the entries as stored.
    pub fn compute_csum(&self) -> Digest {
        let ends: Vec<[u8; END_LEN]> =
            self.entries.iter().map(|(end, _)| end.to_le_bytes()).collect();
        csum_of(
            ends.iter().zip(&self.entries).flat_map(|(end, (_, digest))| [&end[..], &digest.0[..]]),
        )
    }
}
