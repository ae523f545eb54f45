//! A catalog in memory: its snapshots, and those of its chunks that no index holds.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use datastore::Digest;

use super::order::{OpenArchive, RecordOrder};
use super::record::Record;
use crate::media::inventory::MediaId;

/// Digests are uniform by nature, so their first bytes are the best hash there is.
#[derive(Default)]
pub(crate) struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk::<8>() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    fn write_usize(&mut self, _length_prefix: usize) {}
}

pub(crate) type DigestMap<V> = HashMap<Digest, V, BuildHasherDefault<DigestHasher>>;
pub(crate) type DigestSet = std::collections::HashSet<Digest, BuildHasherDefault<DigestHasher>>;

/// Chunks in memory: datastore → digest → tape file.
pub(super) type ChunkMaps = BTreeMap<String, DigestMap<u64>>;

/// What a tape holds of one datastore.
#[derive(Debug, Default)]
pub struct StoreContent {
    /// Snapshot name → tape file.
    pub snapshots: BTreeMap<String, u64>,
}

/// What a tape holds, as far as it is small. A later record for the same name or digest replaces
/// the earlier one.
#[derive(Debug, Default)]
pub struct CatalogContent {
    stores: BTreeMap<String, StoreContent>,
    order: RecordOrder,
    /// Chunks of records since the index was made. Only a catalog that is asked for them has them.
    recent: Option<ChunkMaps>,
    recent_chunks: u64,
}

impl CatalogContent {
    /// Empty, to take in all records with their chunks.
    pub(super) fn with_chunks() -> CatalogContent {
        CatalogContent { recent: Some(ChunkMaps::new()), ..CatalogContent::default() }
    }

    /// From now on chunks are kept; those of earlier records are elsewhere.
    pub(super) fn keep_chunks(&mut self) {
        self.recent.get_or_insert_default();
    }

    /// By datastore.
    pub fn stores(&self) -> &BTreeMap<String, StoreContent> {
        &self.stores
    }

    /// Tape file of a snapshot.
    pub fn snapshot(&self, store: &str, snapshot: &str) -> Option<u64> {
        self.stores.get(store)?.snapshots.get(snapshot).copied()
    }

    /// The chunks of records since the index was made; `None` if chunks are not kept.
    pub(super) fn recent(&self) -> Option<&ChunkMaps> {
        self.recent.as_ref()
    }

    /// Gives those chunks away.
    pub(super) fn into_recent(self) -> ChunkMaps {
        self.recent.unwrap_or_default()
    }

    /// Forgets those chunks: an index has them.
    pub(super) fn forget_recent(&mut self) {
        if let Some(recent) = &mut self.recent {
            // Not `clear`, which keeps the memory.
            *recent = ChunkMaps::new();
        }
        self.recent_chunks = 0;
    }

    /// How many records of chunks were kept in memory.
    pub(super) fn recent_chunks(&self) -> u64 {
        self.recent_chunks
    }

    /// The archive whose chunks come now.
    pub(super) fn open_archive(&self) -> Option<&OpenArchive> {
        self.order.open_archive()
    }

    /// True between the records `A` and `E`.
    pub fn is_archive_open(&self) -> bool {
        self.order.open_archive().is_some()
    }

    /// How many of the two labels were seen.
    pub fn labels(&self) -> u64 {
        self.order.labels()
    }

    /// Takes in one record after checking that it may come here; the error says which rule it
    /// breaks. `media` is the tape that the catalog is to describe.
    pub fn apply(&mut self, media: &MediaId, record: &Record) -> Result<(), String> {
        // An archive without chunks names a datastore, too.
        let ending = match record {
            Record::ArchiveEnd { .. } => self.order.open_archive().map(|open| open.store.clone()),
            _ => None,
        };
        self.order.check(media, record)?;
        match record {
            Record::Chunk(digest) => {
                if let (Some(recent), Some(open)) = (&mut self.recent, self.order.open_archive()) {
                    if !recent.contains_key(&open.store) {
                        recent.insert(open.store.clone(), DigestMap::default());
                    }
                    if let Some(chunks) = recent.get_mut(&open.store) {
                        chunks.insert(*digest, open.file_number);
                        self.recent_chunks += 1;
                    }
                }
            }
            Record::Snapshot { file_number, store, snapshot, .. } => {
                let content = self.stores.entry(store.clone()).or_default();
                content.snapshots.insert(snapshot.clone(), *file_number);
            }
            Record::Label { .. } | Record::ArchiveStart { .. } | Record::ArchiveEnd { .. } => {}
        }
        if let Some(store) = ending {
            self.stores.entry(store).or_default();
        }
        Ok(())
    }
}
