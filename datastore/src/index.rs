//! Indexes: the list of chunks of one archive (`docs/formats/index.md`).
//!
//! Both kinds start with a 4096-byte header and go on with packed entries to the end of the file.
//! A fixed index cuts at multiples of one size and stores digests only; a dynamic index stores the
//! end of each chunk with its digest. An index is opened whole or not at all: a length that does
//! not fit, an unknown magic or ends that do not rise are damage.

pub mod dynamic;
pub mod fixed;
pub mod scan;

use std::path::Path;

use crate::digest::{Digest, Hasher};
use crate::error::{Error, Result};
use crate::hierarchy::ArchiveKind;
use crate::storage::{ReadAt, Storage};

pub use dynamic::DynamicIndex;
pub use fixed::FixedIndex;
pub use scan::IndexScan;

/// Bytes before the first entry.
pub(crate) const HEADER_LEN: usize = 4096;
const MAGIC_LEN: usize = 8;
const UUID_AT: usize = 8;
const CTIME_AT: usize = 24;
/// Where the checksum stands in the header.
pub(crate) const CSUM_AT: usize = 32;
/// First byte behind the common part of the header.
pub(crate) const COMMON_END: usize = 64;

/// What both kinds of header say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Random, informational.
    pub uuid: [u8; 16],
    /// Creation time in seconds since 1970, informational.
    pub ctime: i64,
    /// SHA-256 over the entries.
    pub csum: Digest,
}

impl Header {
    fn encode(&self, magic: &[u8; MAGIC_LEN]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..MAGIC_LEN].copy_from_slice(magic);
        bytes[UUID_AT..CTIME_AT].copy_from_slice(&self.uuid);
        bytes[CTIME_AT..CSUM_AT].copy_from_slice(&self.ctime.to_le_bytes());
        bytes[CSUM_AT..COMMON_END].copy_from_slice(&self.csum.0);
        bytes
    }

    fn decode(bytes: &[u8], magic: &[u8; MAGIC_LEN]) -> Option<Header> {
        if bytes.len() < HEADER_LEN || bytes.get(..MAGIC_LEN)? != magic {
            return None;
        }
        Some(Header {
            uuid: bytes.get(UUID_AT..CTIME_AT)?.try_into().ok()?,
            ctime: i64::from_le_bytes(bytes.get(CTIME_AT..CSUM_AT)?.try_into().ok()?),
            csum: Digest(bytes.get(CSUM_AT..COMMON_END)?.try_into().ok()?),
        })
    }
}

/// One chunk of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexEntry {
    /// First byte of the archive that the chunk holds.
    pub start: u64,
    /// First byte of the archive behind the chunk.
    pub end: u64,
    /// The chunk's name.
    pub digest: Digest,
}

impl IndexEntry {
    /// Length of the chunk's content in bytes.
    pub fn len(&self) -> u64 {
        self.end - self.start
    }

    /// True for a chunk without content, which no index holds.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// An index of either kind, read into memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Index {
    /// `.didx`
    Dynamic(DynamicIndex),
    /// `.fidx`
    Fixed(FixedIndex),
}

impl Index {
    /// Reads the index at `path`, whose name tells its kind.
    pub fn load(storage: &dyn Storage, path: &Path) -> Result<Index> {
        Index::load_from(storage, path, path)
    }

    /// Reads the index that will be at `path`, whose name tells its kind, and lies at `place` now.
    pub(crate) fn load_from(storage: &dyn Storage, place: &Path, path: &Path) -> Result<Index> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = storage.open(place).map_err(|e| Error::io("open", place, e))?;
        let len = file.len().map_err(|e| Error::io("read", place, e))?;
        let content = read_all(&*file, len, place)?;
        let what = path.display();
        match ArchiveKind::of(name) {
            Some(ArchiveKind::DynamicIndex) => {
                Ok(Index::Dynamic(DynamicIndex::decode(&content, &what)?))
            }
            Some(ArchiveKind::FixedIndex) => Ok(Index::Fixed(FixedIndex::decode(&content, &what)?)),
            _ => Err(Error::damaged(what.to_string(), "its name is not that of an index")),
        }
    }

    /// The header.
    pub fn header(&self) -> &Header {
        match self {
            Index::Dynamic(index) => &index.header,
            Index::Fixed(index) => &index.header,
        }
    }

    /// Number of chunks.
    pub fn len(&self) -> usize {
        match self {
            Index::Dynamic(index) => index.len(),
            Index::Fixed(index) => index.len(),
        }
    }

    /// True without chunks; such an index never exists in a store.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Length of the archive in bytes.
    pub fn content_size(&self) -> u64 {
        match self {
            Index::Dynamic(index) => index.content_size(),
            Index::Fixed(index) => index.content_size(),
        }
    }

    /// The chunk at a position in the list.
    pub fn entry(&self, position: usize) -> Option<IndexEntry> {
        match self {
            Index::Dynamic(index) => index.entry(position),
            Index::Fixed(index) => index.entry(position),
        }
    }

    /// All chunks in order.
    pub fn entries(&self) -> impl Iterator<Item = IndexEntry> + '_ {
        (0..self.len()).filter_map(|position| self.entry(position))
    }

    /// The digests in order, as often as they occur.
    pub fn digests(&self) -> impl Iterator<Item = Digest> + '_ {
        self.entries().map(|entry| entry.digest)
    }

    /// Position of the chunk that holds the byte at `offset`.
    pub fn position_of(&self, offset: u64) -> Option<usize> {
        match self {
            Index::Dynamic(index) => index.position_of(offset),
            Index::Fixed(index) => index.position_of(offset),
        }
    }

    /// The checksum recomputed from the entries.
    pub fn compute_csum(&self) -> Digest {
        match self {
            Index::Dynamic(index) => index.compute_csum(),
            Index::Fixed(index) => index.compute_csum(),
        }
    }
}

/// Reads a file of known length; shorter is an error.
fn read_all(file: &dyn ReadAt, len: u64, path: &Path) -> Result<Vec<u8>> {
    // An index of 16 TiB of 64-KiB chunks has 10 GiB; nobody writes a larger one.
    const INDEX_BYTES_MAX: u64 = 16 << 30;
    if len > INDEX_BYTES_MAX {
        return Err(Error::damaged(
            path.display().to_string(),
            format!("an index of {len} bytes cannot be"),
        ));
    }
    let mut content = vec![0; len as usize];
    let read = file.read_at(&mut content, 0).map_err(|e| Error::io("read", path, e))?;
    if read as u64 != len {
        return Err(Error::damaged(
            path.display().to_string(),
            format!("it ends after {read} of {len} bytes"),
        ));
    }
    Ok(content)
}

fn csum_of<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut hasher = Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests;
