//! A catalog as a file: loading, appending, replacing.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use datastore::Digest;
use uuid::Uuid;

use super::chunks::CoveredChunks;
use super::content::{CatalogContent, ChunkMaps};
use super::load::{Source, lock_file, open_log, unlock_file, whole_commits};
use super::log::read_labels;
use super::record::{MAGIC_V1_1, Record};
use crate::error::{Error, IoResultExt, Result};
use crate::media::inventory::MediaId;
use crate::media::state::{StateDir, remove_file_if_present, sync_parent};

const CATALOG_MODE: u32 = 0o644;
/// Pending bytes above which a catalog that is being rebuilt is committed.
const REBUILD_PENDING_BYTES_MAX: usize = 1 << 20;
/// Bytes of a log behind its index above which loading makes the index anew; 127,000 chunks.
const TAIL_BYTES_MAX: u64 = 4 << 20;
/// The same for all catalogs of a set together, whose chunks behind indexes take about 45 MB then.
const TAILS_BYTES_MAX: u64 = 16 << 20;
/// A set may be so large that this is exceeded: an index that is made anew for less does not pay.
const TAIL_BYTES_MIN: u64 = 64 << 10;
/// Chunks in memory above which a commit makes the index anew; they take about 45 MB.
const RECENT_CHUNKS_MAX: u64 = 1 << 19;

/// The catalog of one tape.
#[derive(Debug)]
pub struct MediaCatalog {
    state: StateDir,
    media: MediaId,
    path: PathBuf,
    /// Present if records may be added.
    file: Option<File>,
    /// Length of the file as far as it was read or written by this object.
    committed_bytes: u64,
    content: CatalogContent,
    chunks: CoveredChunks,
    pending: Vec<u8>,
    tail_bytes_max: u64,
    recent_chunks_max: u64,
}

impl MediaCatalog {
    /// Loads the catalog of `media` to look things up.
    pub fn load(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        MediaCatalog::open(state, media, false)
    }

    /// Loads the catalog of one of so many tapes that are asked together, to look things up. Together
    /// they need little memory, however many they are.
    pub fn load_one_of(state: &StateDir, media: &MediaId, tapes: usize) -> Result<MediaCatalog> {
        let share = TAILS_BYTES_MAX / (tapes as u64).max(1);
        let tail_bytes_max = share.clamp(TAIL_BYTES_MIN, TAIL_BYTES_MAX);
        MediaCatalog::open_with(state, media, false, tail_bytes_max)
    }

    /// Loads the catalog of `media` to add to it.
    pub fn load_for_append(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        MediaCatalog::open(state, media, true)
    }

    fn open(state: &StateDir, media: &MediaId, append: bool) -> Result<MediaCatalog> {
        MediaCatalog::open_with(state, media, append, TAIL_BYTES_MAX)
    }

    pub(super) fn open_with(
        state: &StateDir,
        media: &MediaId,
        append: bool,
        tail_bytes_max: u64,
    ) -> Result<MediaCatalog> {
        let (file, path) = open_log(state, media, append)?;
        let (file, len) = whole_commits(file, &path)?;
        let source = Source { state, media, file: &file, path: &path };
        let mut loaded = source.load(len, tail_bytes_max)?;
        let extent = loaded.extent;
        if extent.torn {
            if append {
                let locked = lock_file(file.try_clone().at(&path)?, &path)?;
                if locked.metadata().at(&path)?.len() != len {
                    return Err(Error::CatalogOrder {
                        tape: media.label.label_text.clone(),
                        reason: "somebody else writes to it".into(),
                    });
                }
                keep_torn_copy(&locked, &path, extent.good_bytes)?;
            }
            // What an unfinished archive added must not be found.
            loaded = source.load(extent.good_bytes, tail_bytes_max)?;
        }
        let mut catalog = MediaCatalog {
            state: state.clone(),
            media: media.clone(),
            path,
            file: None,
            committed_bytes: extent.good_bytes,
            content: loaded.content,
            chunks: loaded.chunks,
            pending: Vec::new(),
            tail_bytes_max,
            recent_chunks_max: RECENT_CHUNKS_MAX,
        };
        if append {
            catalog.file = Some(file);
            if catalog.committed_bytes == 0 {
                // An empty file is a catalog that nobody has begun.
                catalog.begin()?;
            }
        }
        Ok(catalog)
    }

    /// Starts a new catalog under a temporary name; [`MediaCatalog::publish`] makes it the tape's.
    ///
    /// It is for writing: it can't be asked for chunks, so that rebuilding the catalog of a tape needs
    /// no memory for them.
    pub fn create_temporary(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        let path = state.catalog_temp_file(&media.label.uuid);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(CATALOG_MODE)
            .open(&path)
            .at(&path)?;
        let mut catalog = MediaCatalog {
            state: state.clone(),
            media: media.clone(),
            path,
            file: Some(file),
            committed_bytes: 0,
            content: CatalogContent::default(),
            chunks: CoveredChunks::nothing(state, media),
            pending: Vec::new(),
            tail_bytes_max: TAIL_BYTES_MAX,
            recent_chunks_max: RECENT_CHUNKS_MAX,
        };
        catalog.begin()?;
        Ok(catalog)
    }

    /// Replaces whatever catalog the tape had by one that knows its labels only.
    pub fn overwrite(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        let mut catalog = MediaCatalog::create_temporary(state, media)?;
        catalog.publish()?;
        catalog.content.keep_chunks();
        Ok(catalog)
    }

    /// True if the tape has a catalog.
    pub fn exists(state: &StateDir, media: &Uuid) -> bool {
        state.catalog_file(media).is_file()
    }

    /// Removes the tape's catalog with its snapshot list and index; having none is fine.
    pub fn destroy(state: &StateDir, media: &Uuid) -> Result<()> {
        remove_file_if_present(&state.catalog_file(media))?;
        remove_file_if_present(&state.snapshot_list_file(media))?;
        remove_file_if_present(&state.catalog_index_file(media))?;
        Ok(())
    }

    /// Removes the catalog if it can't be that of the tape whose labels were just read: the tape is
    /// in no set (any more), or the catalog names another tape or set.
    ///
    /// A catalog whose beginning can't be read is put aside as `UUID.bad`: it is of no use to anybody
    /// but an expert, and it must not stand in the way of one that is rebuilt from the tape.
    pub fn destroy_unrelated(state: &StateDir, media: &MediaId) -> Result<()> {
        let Some(set) = media.assigned_set() else {
            return MediaCatalog::destroy(state, &media.label.uuid);
        };
        let path = state.catalog_file(&media.label.uuid);
        let file = match File::open(&path) {
            Ok(file) => lock_file(file, &path)?,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io(&path, e)),
        };
        let (media_uuid, set_uuid) = match read_labels(&file, &path) {
            Ok(Some(labels)) => labels,
            Ok(None) => return Ok(()),
            Err(Error::CatalogDamaged { .. }) => {
                let aside = path.with_extension("bad");
                std::fs::rename(&path, &aside).at(&aside)?;
                sync_parent(&aside)?;
                remove_file_if_present(&state.snapshot_list_file(&media.label.uuid))?;
                remove_file_if_present(&state.catalog_index_file(&media.label.uuid))?;
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        let unrelated = media_uuid != media.label.uuid || set_uuid.is_some_and(|it| it != set.uuid);
        if unrelated {
            MediaCatalog::destroy(state, &media.label.uuid)?;
        }
        Ok(())
    }

    /// The tape that it describes.
    pub fn media(&self) -> &MediaId {
        &self.media
    }

    /// What is known to be on the tape besides chunks, records not yet committed included.
    pub fn content(&self) -> &CatalogContent {
        &self.content
    }

    /// Tape file of a chunk, records not yet committed included.
    pub fn chunk(&self, store: &str, digest: &Digest) -> Result<Option<u64>> {
        // Later records replace earlier ones.
        let recent = self.recent()?.get(store).and_then(|chunks| chunks.get(digest));
        match recent {
            Some(file_number) => Ok(Some(*file_number)),
            None => self.chunks.find(store, digest),
        }
    }

    /// Calls `each` once for every chunk of a datastore with its tape file, in no order.
    pub fn each_chunk(&self, store: &str, each: &mut dyn FnMut(&Digest, u64)) -> Result<()> {
        let recent = self.recent()?.get(store);
        self.chunks.each(store, &mut |digest, file_number| {
            if recent.is_none_or(|chunks| !chunks.contains_key(digest)) {
                each(digest, file_number);
            }
        })?;
        for (digest, file_number) in recent.into_iter().flatten() {
            each(digest, *file_number);
        }
        Ok(())
    }

    fn recent(&self) -> Result<&ChunkMaps> {
        self.content.recent().ok_or_else(|| {
            self.order_error("it is being rebuilt and can't be asked for chunks yet".into())
        })
    }

    /// Moves chunks that are in memory to the index, if they are worth it: for a tape that goes back
    /// to its slot while the job goes on.
    pub fn settle(&mut self) {
        if self.content.recent_chunks() * Record::CHUNK_BYTES > self.tail_bytes_max / 16 {
            self.make_index();
        }
    }

    /// Makes the index of all that is committed. Without one the catalog needs more memory, and all
    /// else is as before.
    fn make_index(&mut self) {
        if !self.pending.is_empty() || self.path != self.state.catalog_file(&self.media.label.uuid)
        {
            return;
        }
        let Ok(log) = File::open(&self.path) else { return };
        let source =
            Source { state: &self.state, media: &self.media, file: &log, path: &self.path };
        match source.build(self.committed_bytes) {
            Ok((index, _)) if index.covered_bytes() == self.committed_bytes => {
                self.chunks.set_index(index);
                self.content.forget_recent();
            }
            // It is not tried again before as many chunks have come once more.
            _ => self.recent_chunks_max = self.recent_chunks_max.saturating_mul(2),
        }
    }

    /// Adds a complete snapshot archive.
    pub fn register_snapshot(
        &mut self,
        file_number: u64,
        uuid: Uuid,
        store: &str,
        snapshot: &str,
    ) -> Result<()> {
        self.add(Record::Snapshot {
            file_number,
            uuid,
            store: store.to_string(),
            snapshot: snapshot.to_string(),
        })
    }

    /// Adds a closed chunk archive with the chunks that are whole in it, maybe none.
    pub fn register_chunk_archive(
        &mut self,
        file_number: u64,
        uuid: Uuid,
        store: &str,
        chunks: &[Digest],
    ) -> Result<()> {
        self.add(Record::ArchiveStart { file_number, uuid, store: store.to_string() })?;
        self.pending.reserve(chunks.len() * 33);
        for digest in chunks {
            self.add(Record::Chunk(*digest))?;
        }
        self.add(Record::ArchiveEnd { file_number, uuid })
    }

    /// True if records were added since the last commit.
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes the collected records to disk. The tape must have been synced before.
    pub fn commit(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        if self.content.is_archive_open() {
            return Err(self.order_error("commit inside a chunk archive".into()));
        }
        let path = self.path.clone();
        let Some(file) = self.file.take() else {
            return Err(self.order_error("it was loaded to read only".into()));
        };
        let mut locked = lock_file(file, &path)?;
        let result = append_synced(&mut locked, &self.pending, self.committed_bytes).at(&path);
        self.file = Some(unlock_file(locked, &path)?);
        result?;
        self.committed_bytes += self.pending.len() as u64;
        self.pending.clear();
        if self.content.recent_chunks() > self.recent_chunks_max {
            self.make_index();
        }
        Ok(())
    }

    /// While rebuilding: commits once enough is collected, so that memory stays bounded.
    pub fn commit_if_large(&mut self) -> Result<()> {
        if self.pending.len() > REBUILD_PENDING_BYTES_MAX && !self.content.is_archive_open() {
            self.commit()?;
        }
        Ok(())
    }

    /// Makes a catalog that was built under a temporary name the tape's own.
    pub fn publish(&mut self) -> Result<()> {
        self.commit()?;
        let target = self.state.catalog_file(&self.media.label.uuid);
        if self.path != target {
            // The index of the old one goes first: it must never be taken for that of the new one.
            remove_file_if_present(&self.state.catalog_index_file(&self.media.label.uuid))?;
            std::fs::rename(&self.path, &target).at(&target)?;
            sync_parent(&target)?;
            self.path = target;
        }
        Ok(())
    }

    /// The committed bytes, for a catalog archive on tape; with them, how many they are.
    pub fn open_committed(state: &StateDir, media: &Uuid) -> Result<(Box<dyn Read + Send>, u64)> {
        let path = state.catalog_file(media);
        let file = File::open(&path).at(&path)?;
        let bytes = file.metadata().at(&path)?.len();
        Ok((Box::new(BufReader::new(file).take(bytes)), bytes))
    }

    fn begin(&mut self) -> Result<()> {
        self.pending.extend_from_slice(&MAGIC_V1_1);
        let label = self.media.label.uuid;
        self.add(Record::Label { file_number: 0, uuid: label, seq_nr: 0 })?;
        // A tape that is only reserved for a pool is in no set; its zero UUID is no catalog entry.
        let set = self.media.assigned_set().map(|set| (set.uuid, set.seq_nr));
        if let Some((uuid, seq_nr)) = set {
            self.add(Record::Label { file_number: 1, uuid, seq_nr })?;
        }
        Ok(())
    }

    fn add(&mut self, record: Record) -> Result<()> {
        let pending = self.pending.len();
        let result = match record.encode(&mut self.pending) {
            Ok(()) => self.content.apply(&self.media, &record),
            Err(reason) => Err(reason),
        };
        result.map_err(|reason| {
            self.pending.truncate(pending);
            self.order_error(reason)
        })
    }

    fn order_error(&self, reason: String) -> Error {
        Error::CatalogOrder { tape: self.media.label.label_text.clone(), reason }
    }
}

/// Keeps what a torn append left for whoever wants to look at it, then cuts it off.
fn keep_torn_copy(file: &File, path: &Path, good_bytes: u64) -> Result<()> {
    let copy = path.with_extension("torn");
    std::fs::copy(path, &copy).at(&copy)?;
    File::open(&copy).and_then(|copy| copy.sync_all()).at(&copy)?;
    sync_parent(&copy)?;
    file.set_len(good_bytes).and_then(|()| file.sync_all()).at(path)
}

fn append_synced(file: &mut File, bytes: &[u8], expected_bytes: u64) -> std::io::Result<()> {
    let found_bytes = file.metadata()?.len();
    if found_bytes != expected_bytes {
        return Err(std::io::Error::other(format!(
            "somebody else changed it: it has {found_bytes} bytes instead of {expected_bytes}"
        )));
    }
    file.seek(SeekFrom::Start(expected_bytes))?;
    let result = file.write_all(bytes).and_then(|()| file.sync_data());
    if result.is_err() {
        // Half a commit is worse than none; if this fails too, the next load cuts it off.
        let _ = file.set_len(expected_bytes);
    }
    result
}
