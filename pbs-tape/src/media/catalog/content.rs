//! A catalog in memory, and the order that its records must keep.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use datastore::Digest;
use uuid::Uuid;

use super::record::Record;
use crate::format::label::FIRST_DATA_FILE;
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

/// What a tape holds of one datastore.
#[derive(Debug, Default)]
pub struct StoreContent {
    /// Snapshot name → tape file.
    pub snapshots: BTreeMap<String, u64>,
    pub(crate) chunks: DigestMap<u64>,
}

impl StoreContent {
    /// Tape file of a chunk.
    pub fn chunk(&self, digest: &Digest) -> Option<u64> {
        self.chunks.get(digest).copied()
    }

    /// All chunks with their tape files, in no order.
    pub fn chunks(&self) -> impl Iterator<Item = (&Digest, u64)> {
        self.chunks.iter().map(|(digest, file)| (digest, *file))
    }

    /// How many chunks.
    pub fn chunk_count(&self) -> usize {
        self.chunks.len()
    }
}

/// What a tape holds. A later record for the same name or digest replaces the earlier one.
#[derive(Debug, Default)]
pub struct CatalogContent {
    stores: BTreeMap<String, StoreContent>,
    open_archive: Option<(u64, Uuid, String)>,
    last_file: Option<u64>,
    labels: u64,
}

impl CatalogContent {
    /// By datastore.
    pub fn stores(&self) -> &BTreeMap<String, StoreContent> {
        &self.stores
    }

    /// Tape file of a snapshot.
    pub fn snapshot(&self, store: &str, snapshot: &str) -> Option<u64> {
        self.stores.get(store)?.snapshots.get(snapshot).copied()
    }

    /// Tape file of a chunk.
    pub fn chunk(&self, store: &str, digest: &Digest) -> Option<u64> {
        self.stores.get(store)?.chunk(digest)
    }

    /// True between the records `A` and `E`.
    pub fn is_archive_open(&self) -> bool {
        self.open_archive.is_some()
    }

    /// How many of the two labels were seen.
    pub fn labels(&self) -> u64 {
        self.labels
    }

    /// Takes in one record after checking that it may come here; the error says which rule it
    /// breaks. `media` is the tape that the catalog is to describe.
    pub fn apply(&mut self, media: &MediaId, record: &Record) -> Result<(), String> {
        let next_file = match self.last_file {
            None => 0,
            Some(last) => last.checked_add(1).ok_or("file number overflow")?,
        };
        match record {
            Record::Label { file_number, uuid, seq_nr } => {
                if self.open_archive.is_some() {
                    return Err("label inside a chunk archive".into());
                }
                if *file_number >= FIRST_DATA_FILE {
                    return Err(format!("label with file number {file_number}"));
                }
                if *file_number != next_file {
                    return Err(format!("label of file {file_number} where {next_file} belongs"));
                }
                if *file_number == 0 {
                    if *uuid != media.label.uuid {
                        return Err(format!("it describes the tape with UUID {uuid}"));
                    }
                    if *seq_nr != 0 {
                        return Err(format!("media label with sequence number {seq_nr}"));
                    }
                } else if let Some(set) = &media.media_set_label {
                    if *uuid != set.uuid {
                        return Err(format!("unexpected media set {uuid}, not {}", set.uuid));
                    }
                    if *seq_nr != set.seq_nr {
                        return Err(format!(
                            "unexpected sequence number {seq_nr}, not {}",
                            set.seq_nr
                        ));
                    }
                }
                self.last_file = Some(*file_number);
                self.labels += 1;
            }
            Record::ArchiveStart { file_number, uuid, store } => {
                if self.open_archive.is_some() {
                    return Err("chunk archive inside a chunk archive".into());
                }
                check_data_file(*file_number, next_file)?;
                self.open_archive = Some((*file_number, *uuid, store.clone()));
            }
            Record::Chunk(digest) => {
                let Some((file_number, _, store)) = &self.open_archive else {
                    return Err("chunk outside a chunk archive".into());
                };
                let content = match self.stores.get_mut(store) {
                    Some(content) => content,
                    None => self.stores.entry(store.clone()).or_default(),
                };
                content.chunks.insert(*digest, *file_number);
            }
            Record::ArchiveEnd { file_number, uuid } => {
                let Some((open_file, open_uuid, store)) = self.open_archive.take() else {
                    return Err("end of a chunk archive that did not begin".into());
                };
                if (open_file, open_uuid) != (*file_number, *uuid) {
                    return Err(format!(
                        "end of chunk archive {file_number} inside chunk archive {open_file}"
                    ));
                }
                self.stores.entry(store).or_default();
                self.last_file = Some(*file_number);
            }
            Record::Snapshot { file_number, store, snapshot, .. } => {
                if self.open_archive.is_some() {
                    return Err("snapshot inside a chunk archive".into());
                }
                check_data_file(*file_number, next_file)?;
                let content = self.stores.entry(store.clone()).or_default();
                content.snapshots.insert(snapshot.clone(), *file_number);
                self.last_file = Some(*file_number);
            }
        }
        Ok(())
    }
}

fn check_data_file(file_number: u64, next_file: u64) -> Result<(), String> {
    if file_number < FIRST_DATA_FILE {
        return Err(format!("file {file_number} is a label"));
    }
    if file_number < next_file {
        return Err(format!("file {file_number} after file {}", next_file - 1));
    }
    Ok(())
}
