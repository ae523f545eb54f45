//! Going once through the digests of an index without holding the index in memory.
//!
//! Garbage collection reads every index of a store, and the index of a large image has hundreds of
//! megabytes. A scan holds one batch. It asks for what makes the digests trustworthy as a whole:
//! the magic, a length that fits the header, at least one entry. It does not ask for a checksum
//! that fits or for ends that rise: such an index is damaged and cannot be restored as it is, but the
//! chunks that it names must not be removed before somebody has looked at it.

use std::path::{Path, PathBuf};

use super::{HEADER_LEN, Header, dynamic, fixed};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::hierarchy::ArchiveKind;
use crate::storage::{ReadAt, Storage};

/// Digests that are read at once.
const BATCH_LEN: u64 = 4096;

/// An index of either kind, being read from front to back.
pub struct IndexScan {
    path: PathBuf,
    file: Box<dyn ReadAt>,
    /// Bytes of one entry, and where in it the digest begins.
    entry_len: usize,
    digest_at: usize,
    len: u64,
    done: u64,
    content_size: u64,
    buffer: Vec<u8>,
}

impl IndexScan {
    /// Opens the index at `path`, whose name tells its kind. An error that
    /// [is one of a missing object](Error::is_missing) means that the file is not there.
    pub fn open(storage: &dyn Storage, path: &Path) -> Result<IndexScan> {
        let damaged = |reason: String| Error::damaged(path.display().to_string(), reason);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let file = storage.open(path).map_err(|e| Error::io("open", path, e))?;
        let read_error = |e| Error::io("read", path, e);
        let file_len = file.len().map_err(read_error)?;
        let mut head = vec![0; HEADER_LEN];
        let head_len = file.read_at(&mut head, 0).map_err(read_error)?;
        head.truncate(head_len);
        let body_bytes = file_len.saturating_sub(HEADER_LEN as u64);
        let (entry_len, digest_at, len, content_size) = match ArchiveKind::of(name) {
            Some(ArchiveKind::DynamicIndex) => {
                Header::decode(&head, &dynamic::MAGIC)
                    .ok_or_else(|| damaged("it does not begin like a dynamic index".into()))?;
                let len = dynamic::count(body_bytes).map_err(damaged)?;
                let mut end = [0; dynamic::END_LEN];
                let last = file_len - dynamic::ENTRY_LEN as u64;
                if file.read_at(&mut end, last).map_err(read_error)? != end.len() {
                    return Err(damaged("it became shorter while it was read".into()));
                }
                (dynamic::ENTRY_LEN, dynamic::END_LEN, len, u64::from_le_bytes(end))
            }
            Some(ArchiveKind::FixedIndex) => {
                Header::decode(&head, &fixed::MAGIC)
                    .ok_or_else(|| damaged("it does not begin like a fixed index".into()))?;
                let shape = fixed::shape(&head, body_bytes).map_err(damaged)?;
                (fixed::ENTRY_LEN, 0, shape.len, shape.size)
            }
            _ => return Err(damaged("its name is not that of an index".into())),
        };
        let path = path.to_path_buf();
        let buffer = Vec::new();
        Ok(IndexScan { path, file, entry_len, digest_at, len, done: 0, content_size, buffer })
    }

    /// Number of entries.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True without entries, which no index that could be opened is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of the archive in bytes, as the index says.
    pub fn content_size(&self) -> u64 {
        self.content_size
    }

    /// Replaces the content of `batch` with the next digests; `false` behind the last one.
    pub fn next_batch(&mut self, batch: &mut Vec<Digest>) -> Result<bool> {
        batch.clear();
        let count = BATCH_LEN.min(self.len - self.done);
        if count == 0 {
            return Ok(false);
        }
        let at = HEADER_LEN as u64 + self.done * self.entry_len as u64;
        self.buffer.resize(count as usize * self.entry_len, 0);
        let read = self
            .file
            .read_at(&mut self.buffer, at)
            .map_err(|e| Error::io("read", &self.path, e))?;
        if read != self.buffer.len() {
            return Err(Error::damaged(
                self.path.display().to_string(),
                format!("it ends in the middle of its {} entries", self.len),
            ));
        }
        batch.extend(self.buffer.chunks_exact(self.entry_len).map(|entry| {
            let mut digest = Digest::default();
            // Both lengths are constants of the format, and the digest ends the entry.
            digest.0.copy_from_slice(&entry[self.digest_at..]);
            digest
        }));
        self.done += count;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{DynamicIndex, FixedIndex};
    use crate::storage::RealStorage;

    fn digests(count: u64) -> Vec<Digest> {
        (0..count).map(|number| Digest::of(&number.to_le_bytes())).collect()
    }

    fn scan(name: &str, content: &[u8]) -> Result<(u64, Vec<Digest>)> {
        let dir = tempfile::tempdir().unwrap();
        let storage = RealStorage::new(dir.path()).unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let mut scan = IndexScan::open(&storage, &path)?;
        let (mut all, mut batch) = (Vec::new(), Vec::new());
        while scan.next_batch(&mut batch)? {
            all.extend_from_slice(&batch);
        }
        assert_eq!(all.len() as u64, scan.len());
        Ok((scan.content_size(), all))
    }

    #[test]
    fn a_scan_gives_what_the_index_holds_across_batches() {
        for count in [1, 2, BATCH_LEN - 1, BATCH_LEN, BATCH_LEN + 1, 3 * BATCH_LEN + 7] {
            let wanted = digests(count);
            let dynamic =
                DynamicIndex::new([1; 16], 2, wanted.iter().map(|digest| (10, *digest))).unwrap();
            assert_eq!(scan("x.didx", &dynamic.encode()).unwrap(), (10 * count, wanted.clone()));
            let size = count * fixed::CHUNK_SIZE - 5;
            let fixed = FixedIndex::new([1; 16], 2, size, wanted.clone()).unwrap();
            assert_eq!(scan("x.fidx", &fixed.encode()).unwrap(), (size, wanted));
        }
    }

    #[test]
    fn what_is_no_index_is_refused() {
        let dynamic =
            DynamicIndex::new([1; 16], 2, digests(3).into_iter().map(|d| (1, d))).unwrap();
        let good = dynamic.encode();
        for len in [0, 7, 8, 4095, HEADER_LEN, HEADER_LEN + 1, good.len() - 1] {
            let error = scan("x.didx", &good[..len]).unwrap_err();
            assert!(error.is_damaged(), "{len}: {error}");
        }
        assert!(scan("x.fidx", &good).unwrap_err().is_damaged());
        let fixed = FixedIndex::new([1; 16], 2, 5, digests(1)).unwrap().encode();
        for (at, value) in [(72, 3u64), (72, 0), (64, 0), (64, u64::MAX)] {
            let mut bad = fixed.clone();
            bad[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert!(scan("x.fidx", &bad).unwrap_err().is_damaged(), "{at} {value}");
        }
    }

    /// The chunks of a damaged index are still named by it.
    #[test]
    fn damage_that_leaves_the_digests_alone_is_let_through() {
        let dynamic =
            DynamicIndex::new([1; 16], 2, digests(3).into_iter().map(|d| (1, d))).unwrap();
        let mut bytes = dynamic.encode();
        bytes[40] ^= 1; // The checksum.
        bytes[100] = 1; // Reserved.
        bytes[HEADER_LEN..HEADER_LEN + 8].copy_from_slice(&9u64.to_le_bytes());
        assert_eq!(scan("x.didx", &bytes).unwrap(), (3, digests(3)));
    }
}
