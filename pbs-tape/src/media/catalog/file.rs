//! A catalog as a file: loading, appending, replacing.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datastore::Digest;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use uuid::Uuid;

use super::content::CatalogContent;
use super::record::{MAGIC_V1_0, MAGIC_V1_1, Next, Record, RecordReader};
use crate::error::{Error, IoResultExt, Result};
use crate::media::inventory::MediaId;
use crate::media::state::{LOCK_WAIT, StateDir, remove_file_if_present, sync_parent};

const CATALOG_MODE: u32 = 0o644;
const MAGIC_BYTES: u64 = MAGIC_V1_1.len() as u64;
/// Pending bytes above which a catalog that is being rebuilt is committed.
const REBUILD_PENDING_BYTES_MAX: usize = 1 << 20;

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
    pending: Vec<u8>,
}

impl MediaCatalog {
    /// Loads the catalog of `media` to look things up.
    pub fn load(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        MediaCatalog::open(state, media, false)
    }

    /// Loads the catalog of `media` to add to it.
    pub fn load_for_append(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        MediaCatalog::open(state, media, true)
    }

    fn open(state: &StateDir, media: &MediaId, append: bool) -> Result<MediaCatalog> {
        let path = state.catalog_file(&media.label.uuid);
        let file = match OpenOptions::new().read(true).append(append).open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(Error::CatalogMissing { tape: media.label.label_text.clone() });
            }
            Err(e) => return Err(Error::io(&path, e)),
        };
        let file = lock_file(file, &path)?;
        let (mut content, mut extent) = load(&file, &path, media, None)?;
        if extent.torn {
            if append {
                keep_torn_copy(&file, &path, extent.good_bytes)?;
            }
            // What an unfinished archive added must not be found.
            (content, extent) = load(&file, &path, media, Some(extent.good_bytes))?;
        }
        let mut catalog = MediaCatalog {
            state: state.clone(),
            media: media.clone(),
            path,
            file: None,
            committed_bytes: extent.good_bytes,
            content,
            pending: Vec::new(),
        };
        if append {
            catalog.file = Some(unlock_file(file, &catalog.path)?);
            if catalog.committed_bytes == 0 {
                // An empty file is a catalog that nobody has begun.
                catalog.begin()?;
            }
        }
        Ok(catalog)
    }

    /// Starts a new catalog under a temporary name; [`MediaCatalog::publish`] makes it the tape's.
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
            pending: Vec::new(),
        };
        catalog.begin()?;
        Ok(catalog)
    }

    /// Replaces whatever catalog the tape had by one that knows its labels only.
    pub fn overwrite(state: &StateDir, media: &MediaId) -> Result<MediaCatalog> {
        let mut catalog = MediaCatalog::create_temporary(state, media)?;
        catalog.commit()?;
        catalog.publish()?;
        Ok(catalog)
    }

    /// True if the tape has a catalog.
    pub fn exists(state: &StateDir, media: &Uuid) -> bool {
        state.catalog_file(media).is_file()
    }

    /// Removes the tape's catalog and its snapshot list; having none is fine.
    pub fn destroy(state: &StateDir, media: &Uuid) -> Result<()> {
        remove_file_if_present(&state.catalog_file(media))?;
        remove_file_if_present(&state.snapshot_list_file(media))?;
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

    /// What is known to be on the tape, records not yet committed included.
    pub fn content(&self) -> &CatalogContent {
        &self.content
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

/// Checks a whole catalog, for instance one that came from tape, without keeping it. It must be that
/// of `media` and hold both its labels.
pub fn check_catalog_stream(input: &mut dyn Read, name: &Path, media: &MediaId) -> Result<()> {
    let mut magic = [0u8; MAGIC_V1_1.len()];
    input.read_exact(&mut magic).at(name)?;
    check_magic(&magic, name)?;
    let mut reader = RecordReader::new(input, MAGIC_BYTES);
    let mut content = CatalogContent::default();
    loop {
        let offset = reader.offset();
        let damaged =
            |reason: String| Error::CatalogDamaged { path: name.to_path_buf(), offset, reason };
        match reader.next_record().at(name)? {
            Next::Record(record) => content.apply(media, &record).map_err(damaged)?,
            Next::End if content.is_archive_open() => {
                return Err(damaged("a chunk archive does not end".into()));
            }
            Next::End if content.labels() < 2 => {
                return Err(damaged("it lacks a label".into()));
            }
            Next::End => return Ok(()),
            Next::Torn => return Err(damaged("it ends inside a record".into())),
            Next::Bad(reason) => return Err(damaged(reason)),
        }
    }
}

struct Extent {
    /// End of the last complete label, archive or snapshot.
    good_bytes: u64,
    /// Something incomplete follows.
    torn: bool,
}

fn load(
    file: &File,
    path: &Path,
    media: &MediaId,
    limit: Option<u64>,
) -> Result<(CatalogContent, Extent)> {
    let mut input = file;
    input.seek(SeekFrom::Start(0)).at(path)?;
    let mut input = BufReader::new(input).take(limit.unwrap_or(u64::MAX));
    let mut content = CatalogContent::default();
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic).at(path)?;
    if (magic.len() as u64) < MAGIC_BYTES {
        // A catalog begins with one commit of magic and labels: less than the magic is either
        // nothing at all or the torn beginning of that commit.
        let torn = !magic.is_empty();
        if torn && !MAGIC_V1_1.starts_with(&magic) && magic.iter().any(|byte| *byte != 0) {
            return Err(bad_magic(&magic, path));
        }
        return Ok((content, Extent { good_bytes: 0, torn }));
    }
    if magic.iter().all(|byte| *byte == 0) {
        let mut rest = Vec::new();
        input.by_ref().take(1 << 20).read_to_end(&mut rest).at(path)?;
        if rest.iter().all(|byte| *byte == 0) {
            return Ok((content, Extent { good_bytes: 0, torn: true }));
        }
    }
    check_magic(&magic, path)?;
    let mut reader = RecordReader::new(input, MAGIC_BYTES);
    let mut good_bytes = MAGIC_BYTES;
    loop {
        let offset = reader.offset();
        let damaged =
            |reason: String| Error::CatalogDamaged { path: path.to_path_buf(), offset, reason };
        match reader.next_record().at(path)? {
            Next::Record(record) => {
                content.apply(media, &record).map_err(damaged)?;
                if !content.is_archive_open() {
                    good_bytes = reader.offset();
                }
            }
            Next::End => {
                let torn = content.is_archive_open();
                return Ok((content, Extent { good_bytes, torn }));
            }
            Next::Torn => return Ok((content, Extent { good_bytes, torn: true })),
            Next::Bad(reason) => return Err(damaged(reason)),
        }
    }
}

/// The media UUID and, if there is one, the set UUID that a catalog names. `None` for a catalog that
/// nobody has begun.
fn read_labels(file: &File, path: &Path) -> Result<Option<(Uuid, Option<Uuid>)>> {
    let mut magic = Vec::new();
    let mut input = BufReader::new(file);
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic).at(path)?;
    // Loading such a file cuts its torn first commit off and begins it anew.
    let is_torn_prefix = (magic.len() as u64) < MAGIC_BYTES && MAGIC_V1_1.starts_with(&magic);
    if is_torn_prefix || magic.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    check_magic(&magic, path)?;
    let mut reader = RecordReader::new(input, MAGIC_BYTES);
    let Next::Record(Record::Label { uuid: media, file_number: 0, .. }) =
        reader.next_record().at(path)?
    else {
        return Ok(None);
    };
    match reader.next_record().at(path)? {
        Next::Record(Record::Label { uuid: set, file_number: 1, .. }) => {
            Ok(Some((media, Some(set))))
        }
        _ => Ok(Some((media, None))),
    }
}

fn check_magic(magic: &[u8], path: &Path) -> Result<()> {
    if magic == MAGIC_V1_1 { Ok(()) } else { Err(bad_magic(magic, path)) }
}

fn bad_magic(magic: &[u8], path: &Path) -> Error {
    let reason = if magic == MAGIC_V1_0 {
        "version 1.0 is no longer supported; rebuild the catalog from the tape with 'tape catalog'"
            .to_string()
    } else {
        format!("{} is not the magic of a media catalog", hex::encode(magic))
    };
    Error::CatalogDamaged { path: path.to_path_buf(), offset: 0, reason }
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

fn lock_file(file: File, path: &Path) -> Result<Flock<File>> {
    const POLL: Duration = Duration::from_millis(20);
    let mut file = file;
    let start = std::time::Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                if start.elapsed() >= LOCK_WAIT {
                    return Err(Error::Locked {
                        what: "media catalog".into(),
                        path: path.to_path_buf(),
                        waited_s: LOCK_WAIT.as_secs(),
                        holder: None,
                    });
                }
                file = back;
                std::thread::sleep(POLL);
            }
            Err((_, errno)) => return Err(Error::io(path, errno.into())),
        }
    }
}

fn unlock_file(file: Flock<File>, path: &Path) -> Result<File> {
    file.unlock().map_err(|(_, errno)| Error::io(path, errno.into()))
}
