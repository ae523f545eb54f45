//! Sorting more chunk records than memory should hold.
//!
//! Records are collected up to a limit, sorted, and put away as a run in one unnamed file; at the
//! end the runs are merged. Memory is one run while collecting, and one buffer a run while merging:
//! with a billion records 25 MB, then 63 MB.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Records of one run in memory; each takes 48 bytes.
pub(super) const RUN_ENTRIES: usize = 1 << 19;
/// How much of a run is in memory while runs are merged.
const MERGE_BUFFER_BYTES: usize = 32 * 1024;

/// A record in a run.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawEntry {
    store: U32,
    digest: [u8; 32],
    file_number: U64,
}

const ENTRY_BYTES: usize = size_of::<RawEntry>();

/// Where a chunk of a datastore is. The order of the fields is the order of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    /// Number of the datastore in the index.
    pub store: u32,
    pub digest: [u8; 32],
    /// Tape file.
    pub file_number: u64,
}

impl Entry {
    fn is_same_chunk(&self, other: &Entry) -> bool {
        (self.store, self.digest) == (other.store, other.digest)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let raw = RawEntry {
            store: U32::new(self.store),
            digest: self.digest,
            file_number: U64::new(self.file_number),
        };
        out.extend_from_slice(raw.as_bytes());
    }
}

impl From<RawEntry> for Entry {
    fn from(raw: RawEntry) -> Entry {
        Entry { store: raw.store.get(), digest: raw.digest, file_number: raw.file_number.get() }
    }
}

/// Takes records in any order.
pub(super) struct Sorter {
    spill_path: PathBuf,
    run_entries: usize,
    entries: Vec<Entry>,
    spill: Option<Spill>,
}

/// The runs that were put away, one after the other.
struct Spill {
    file: File,
    bytes: u64,
    /// Ends of the runs.
    ends: Vec<u64>,
}

impl Sorter {
    /// `spill_path` is used for a moment only; nobody else may use that name.
    pub fn new(spill_path: PathBuf, run_entries: usize) -> Sorter {
        Sorter { spill_path, run_entries: run_entries.max(1), entries: Vec::new(), spill: None }
    }

    /// Adds one record.
    pub fn push(&mut self, entry: Entry) -> io::Result<()> {
        if self.entries.len() >= self.run_entries {
            self.put_away()?;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn put_away(&mut self) -> io::Result<()> {
        sort_run(&mut self.entries);
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => {
                let mut options = OpenOptions::new();
                options.read(true).write(true).create(true).truncate(true).mode(0o600);
                let file = options.open(&self.spill_path)?;
                // Without a name it goes away with this process, however that ends.
                std::fs::remove_file(&self.spill_path)?;
                self.spill.insert(Spill { file, bytes: 0, ends: Vec::new() })
            }
        };
        let mut bytes = Vec::with_capacity(1 << 20);
        for part in self.entries.chunks((1 << 20) / ENTRY_BYTES) {
            bytes.clear();
            for entry in part {
                entry.encode(&mut bytes);
            }
            spill.file.write_all_at(&bytes, spill.bytes)?;
            spill.bytes += bytes.len() as u64;
        }
        spill.ends.push(spill.bytes);
        self.entries.clear();
        Ok(())
    }

    /// All records in order, each chunk once: of several places the last, which has the highest file
    /// number because file numbers rise in a catalog.
    pub fn finish(mut self) -> io::Result<Sorted> {
        if self.spill.is_some() {
            self.put_away()?;
        } else {
            sort_run(&mut self.entries);
        }
        let Some(Spill { file, ends, .. }) = self.spill else {
            return Ok(Sorted::InMemory(self.entries.into_iter()));
        };
        drop(self.entries);
        let mut merge = Merge { file, runs: Vec::new(), next: BinaryHeap::new() };
        let mut offset = 0;
        for end in ends {
            let mut run = Run { offset, end, buffer: Vec::new(), at: 0 };
            if let Some(entry) = run.next(&merge.file)? {
                merge.next.push(Reverse((entry, merge.runs.len())));
            }
            merge.runs.push(run);
            offset = end;
        }
        Ok(Sorted::Merged(merge))
    }
}

fn sort_run(entries: &mut Vec<Entry>) {
    entries.sort_unstable();
    // `dedup_by` keeps the first of equals, wanted is the last.
    entries.dedup_by(|later, earlier| {
        let same = later.is_same_chunk(earlier);
        if same {
            *earlier = *later;
        }
        same
    });
}

/// What [`Sorter::finish`] gives.
pub(super) enum Sorted {
    /// All were in memory.
    InMemory(std::vec::IntoIter<Entry>),
    /// From the runs.
    Merged(Merge),
}

impl Sorted {
    /// The next record.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        match self {
            Sorted::InMemory(entries) => Ok(entries.next()),
            Sorted::Merged(merge) => {
                let Some(mut entry) = merge.pop()? else { return Ok(None) };
                while let Some(Reverse((next, _))) = merge.next.peek() {
                    if !next.is_same_chunk(&entry) {
                        break;
                    }
                    if let Some(later) = merge.pop()? {
                        entry = later;
                    }
                }
                Ok(Some(entry))
            }
        }
    }
}

/// The runs and the next record of each.
pub(super) struct Merge {
    file: File,
    runs: Vec<Run>,
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl Merge {
    fn pop(&mut self) -> io::Result<Option<Entry>> {
        let Some(Reverse((entry, run))) = self.next.pop() else { return Ok(None) };
        if let Some(next) = self.runs[run].next(&self.file)? {
            self.next.push(Reverse((next, run)));
        }
        Ok(Some(entry))
    }
}

struct Run {
    offset: u64,
    end: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl Run {
    fn next(&mut self, file: &File) -> io::Result<Option<Entry>> {
        if self.at == self.buffer.len() {
            let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
            let wanted = left.min(MERGE_BUFFER_BYTES / ENTRY_BYTES * ENTRY_BYTES);
            self.buffer.resize(wanted, 0);
            file.read_exact_at(&mut self.buffer, self.offset)?;
            self.offset += wanted as u64;
            self.at = 0;
        }
        let Ok((raw, _)) = RawEntry::read_from_prefix(&self.buffer[self.at..]) else {
            return Ok(None);
        };
        self.at += ENTRY_BYTES;
        Ok(Some(raw.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However many runs, the result is that of a plain map.
        #[test]
        fn records_come_sorted_and_the_last_place_counts(
            records in prop::collection::vec((0u32..3, 0u8..40), 0..300),
            run_entries in 1usize..80,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut sorter = Sorter::new(folder.path().join("spill"), run_entries);
            let mut model = BTreeMap::new();
            for (file, (store, digest)) in records.iter().enumerate() {
                let entry =
                    Entry { store: *store, digest: [*digest; 32], file_number: file as u64 };
                sorter.push(entry).unwrap();
                model.insert((*store, [*digest; 32]), file as u64);
            }
            prop_assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
            let mut sorted = sorter.finish().unwrap();
            let mut found = Vec::new();
            while let Some(entry) = sorted.next().unwrap() {
                found.push(((entry.store, entry.digest), entry.file_number));
            }
            prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        }
    }
}
