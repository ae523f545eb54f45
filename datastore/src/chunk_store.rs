//! The chunk store: every chunk once, under its digest.
//!
//! # Why no chunk is lost
//!
//! * A chunk appears under its name complete or not at all: it is written under a temporary name
//!   in the same folder and renamed.
//! * A chunk that is already there is *touched*: what no index names yet is kept by garbage collection
//!   if it was touched since its oldest writer began, so whoever relies on a chunk touches it first. Insertion and the
//!   collector's decision about one chunk exclude each other through a mutex, so a chunk is
//!   either touched first and kept, or removed first and then written anew. Every rule here is about
//!   one chunk, so there is a mutex for each of many parts of the digests: threads that store
//!   different chunks do not wait for each other's disk.
//! * An existing chunk is believed if it has the length that ours has. An empty file (a crash of
//!   some other program) is overwritten. A chunk of another length is legal, because compressors
//!   differ; the shorter one wins, as the format prescribes, but only if its CRC proves it whole.
//! * With [`SyncLevel::Filesystem`] nothing is durable until the backup's end syncs the file
//!   system, which it does before the manifest appears; see [`crate::snapshot::writer`]. A chunk
//!   that some other session wrote and may not have synced is read before it is believed; see
//!   [`crate::unsynced`].
//! * A chunk that is replaced may be needed by a finished snapshot. So its replacement is synced
//!   before the rename, whatever the level: a crash must not exchange a good chunk for an empty one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::blob::{BlobKind, ChunkName, DataBlob, ENCODED_CHUNK_BYTES_MAX};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::lock::ProcessLock;
use crate::lock::chunk::ChunkMutexes;
use crate::progress::Progress;
use crate::storage::{Durability, FilesystemHandle, Kind, Meta, SharedStorage, replace_file};
use crate::sync::MutexGuard;
use crate::unsynced::Unsynced;

/// Name of the folder of chunks in a datastore.
pub const CHUNKS_DIR: &str = ".chunks";
/// Mode of the folder of chunks and of those in it.
pub const CHUNKS_DIR_MODE: u32 = 0o750;
const CHUNK_MODE: u32 = 0o644;

/// When written chunks become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncLevel {
    /// Whenever the system likes. For tests and throw-away stores.
    None,
    /// Each chunk before its insertion returns, and whatever else there is at the end of each backup.
    File,
    /// All at once, at the end of each backup.
    #[default]
    Filesystem,
}

/// What an insertion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inserted {
    /// True if the chunk was there already and was kept.
    pub duplicate: bool,
    /// Length of the stored chunk in bytes.
    pub stored_bytes: u64,
}

/// Every chunk of a datastore.
pub struct ChunkStore {
    storage: SharedStorage,
    dir: PathBuf,
    sync_level: SyncLevel,
    /// Held for each insertion and for each decision to remove a chunk.
    mutexes: Arc<ChunkMutexes>,
    unsynced: Unsynced,
}

/// What becomes of a chunk that is there already.
enum Existing {
    /// It is kept and touched.
    Kept(u64),
    /// It is no chunk, or there is none.
    Missing,
    /// Somebody may need it, but ours takes its place.
    Replaced,
}

/// The file systems that a store lies on, held open by a session of writing: whatever could not be
/// written since then is reported when they are synced.
pub struct OpenFilesystems(Vec<(PathBuf, Box<dyn FilesystemHandle>)>);

impl ChunkStore {
    /// Makes the folders of a new store in `base`.
    pub(crate) fn create(storage: &SharedStorage, base: &Path) -> Result<()> {
        let dir = base.join(CHUNKS_DIR);
        let make = |path: &Path| {
            storage.create_dir(path, CHUNKS_DIR_MODE).map_err(|e| Error::io("create", path, e))
        };
        make(&dir)?;
        for prefix in 0..=u16::MAX {
            make(&dir.join(format!("{prefix:04x}")))?;
        }
        storage.sync_dir(&dir).map_err(|e| Error::io("sync", &dir, e))
    }

    pub(crate) fn open(storage: SharedStorage, base: &Path, sync_level: SyncLevel) -> ChunkStore {
        let dir = base.join(CHUNKS_DIR);
        let unsynced = Unsynced::new(SharedStorage::clone(&storage), base, &dir);
        ChunkStore { storage, dir, sync_level, mutexes: ChunkMutexes::of(base), unsynced }
    }

    /// Begins a session that will rely on chunks: opens the file systems of the chunks and of `dirs`,
    /// and looks for chunks that others may not have synced. `lock` is the store's process lock, which
    /// the caller has.
    pub(crate) fn begin_session(
        &self,
        lock: &ProcessLock,
        dirs: &[&Path],
    ) -> Result<OpenFilesystems> {
        let mut open: Vec<(PathBuf, Box<dyn FilesystemHandle>)> = Vec::new();
        if self.sync_level == SyncLevel::None {
            return Ok(OpenFilesystems(open));
        }
        let mut devices = Vec::new();
        for path in std::iter::once(self.dir.as_path()).chain(dirs.iter().copied()) {
            let meta = self.storage.meta(path).map_err(|e| Error::io("look at", path, e))?;
            if !devices.contains(&meta.device) {
                let handle = self.storage.open_filesystem(path);
                let handle = handle.map_err(|e| Error::io("open", path, e))?;
                open.push((path.to_path_buf(), handle));
                devices.push(meta.device);
            }
        }
        // After the opening: what is written from now on either has its mark or is reported to us.
        self.unsynced.look(&|| lock.is_alone())?;
        Ok(OpenFilesystems(open))
    }

    /// Makes everything durable that was written to the store.
    pub(crate) fn sync_session(&self, open: &OpenFilesystems) -> Result<()> {
        self.unsynced.sync(|| {
            for (path, handle) in &open.0 {
                handle.sync().map_err(|e| Error::io("sync", path, e))?;
            }
            Ok(())
        })
    }

    /// Ends a session in which nothing came to rely on chunks: one that is given up. If all chunks are
    /// durable all the same, the next session need not suspect them.
    pub(crate) fn end_session(&self, open: &OpenFilesystems) {
        if self.unsynced.is_marked() {
            // What cannot be synced stays suspect, and that is all that can be done about it.
            let _ = self.sync_session(open);
        }
    }

    /// Reads every chunk that may not have reached the disk, sets aside those that are no chunks, and
    /// so ends what a crash or a failed sync left behind. Costs one look into the store's folder
    /// if nothing did. The number of chunks set aside.
    ///
    /// The caller knows that no other process writes to the store, and has begun a session.
    pub(crate) fn settle(&self, open: &OpenFilesystems, progress: &dyn Progress) -> Result<u64> {
        if self.sync_level == SyncLevel::None {
            return Ok(0);
        }
        let marks = self.unsynced.foreign_marks()?;
        if marks.is_empty() {
            return Ok(0);
        }
        progress.note("a writer was cut off: chunks that may not have reached the disk are read");
        let mut set_aside = 0;
        let mut unreadable = 0;
        let folders = self.storage.list(&self.dir).map_err(|e| Error::io("list", &self.dir, e))?;
        let folders = folders.into_iter().filter(|folder| folder.kind == Kind::Dir);
        let dirs: Vec<PathBuf> =
            folders.filter_map(|folder| Some(self.dir.join(folder.name?))).collect();
        for (done, dir) in dirs.iter().enumerate() {
            progress.step("read", done as u64, dirs.len() as u64);
            let entries = match self.storage.list(dir) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                entries => entries.map_err(|e| Error::io("list", dir, e))?,
            };
            for entry in entries {
                if progress.is_aborted() {
                    return Err(Error::Aborted);
                }
                let digest = entry.name.as_deref().and_then(|name| name.parse::<Digest>().ok());
                let Some(digest) = digest else { continue };
                let path = self.path(&digest);
                let _guard = self.lock(&digest);
                // An empty file is no chunk to anybody: no need to set it aside.
                let meta = match self.storage.meta(&path) {
                    Ok(meta) if meta.kind == Kind::File && meta.len > 0 => meta,
                    Ok(_) => continue,
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(Error::io("look at", &path, error)),
                };
                if !self.unsynced.is_suspect(meta.mtime)? {
                    continue;
                }
                match self.read_from_disk(&digest) {
                    Ok(_) => {}
                    Err(error) if error.is_damaged() => {
                        let bad = self.free_bad_name(&path);
                        let renamed = self.storage.rename(&path, &bad);
                        renamed.map_err(|e| Error::io("rename", &path, e))?;
                        progress.warn(&format!("damaged chunk set aside as {}", bad.display()));
                        set_aside += 1;
                    }
                    // No verdict: it may be good, and a finished snapshot may need it.
                    Err(error) => {
                        progress.warn(&format!("chunk {digest} stays suspect: {error}"));
                        unreadable += 1;
                    }
                }
            }
        }
        if unreadable > 0 {
            return Ok(set_aside);
        }
        // Nobody may see a bad chunk come back after its mark is gone; and what was read from memory,
        // because its writer was killed a moment ago, must reach the disk.
        self.sync_session(open)?;
        self.unsynced.settled(&marks)?;
        Ok(set_aside)
    }

    /// Reads a chunk from the disk and not from memory, and checks its CRC.
    fn read_from_disk(&self, digest: &Digest) -> Result<DataBlob> {
        let path = self.path(digest);
        self.storage.forget_cached(&path).map_err(|e| Error::io("read", &path, e))?;
        self.read(digest)
    }

    fn is_trusted(&self, digest: &Digest, meta: &Meta) -> Result<bool> {
        if self.sync_level == SyncLevel::None || !self.unsynced.is_suspect(meta.mtime)? {
            return Ok(true);
        }
        match self.read_from_disk(digest) {
            Ok(_) => Ok(true),
            // Whoever asks has the content in hand, or gets it.
            Err(error) if error.is_damaged() || error.is_missing() || error.is_unreadable() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The folder of all chunks.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs a decision about one chunk while nobody else inserts, touches or removes it.
    pub fn exclusively<R>(&self, digest: &Digest, decide: impl FnOnce() -> R) -> R {
        let _guard = self.lock(digest);
        decide()
    }

    fn lock(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.mutexes.lock(digest)
    }

    /// Where a chunk lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{:04x}", digest.prefix())).join(digest.to_string())
    }

    /// Inserts an encoded chunk. If it is there already it is touched instead.
    pub fn insert(&self, digest: &Digest, blob: &DataBlob) -> Result<Inserted> {
        // It could be written, and nobody would read it again.
        if blob.encoded_len() > ENCODED_CHUNK_BYTES_MAX {
            let len = blob.encoded_len();
            return Err(Error::Refused {
                reason: format!(
                    "chunk {digest} has {len} bytes, and at most {ENCODED_CHUNK_BYTES_MAX} are allowed"
                ),
            });
        }
        let path = self.path(digest);
        let _guard = self.lock(digest);
        let existing = self.keep_existing(digest, blob, &path)?;
        if let Existing::Kept(stored_bytes) = existing {
            return Ok(Inserted { duplicate: true, stored_bytes });
        }
        let durability = match (self.sync_level, existing) {
            (SyncLevel::None, _) | (SyncLevel::Filesystem, Existing::Missing) => Durability::Later,
            _ => Durability::Now,
        };
        let _writing = match self.sync_level {
            SyncLevel::Filesystem => Some(self.unsynced.begin_writing()?),
            SyncLevel::None | SyncLevel::File => None,
        };
        replace_file(&*self.storage, &path, &[blob.as_bytes()], CHUNK_MODE, durability)?;
        Ok(Inserted { duplicate: false, stored_bytes: blob.encoded_len() })
    }

    /// Decides about a chunk that is there already, and touches it if it is kept.
    fn keep_existing(&self, digest: &Digest, blob: &DataBlob, path: &Path) -> Result<Existing> {
        let meta = match self.storage.meta(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Existing::Missing);
            }
            Err(error) => return Err(Error::io("look at", path, error)),
        };
        let what = || ChunkName(digest).to_string();
        if meta.kind != Kind::File {
            return Err(Error::damaged(what(), "a thing that is no file has its name"));
        }
        if meta.len == 0 {
            return Ok(Existing::Missing);
        }
        let keep = if meta.len == blob.encoded_len() {
            self.is_trusted(digest, &meta)?
        } else {
            self.is_trusted(digest, &meta)? && self.keep_other_length(digest, blob, meta.len)?
        };
        if !keep {
            return Ok(Existing::Replaced);
        }
        match self.storage.touch(path) {
            Ok(()) => Ok(Existing::Kept(meta.len)),
            // Verification in another process set it aside since we looked.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Existing::Missing),
            Err(error) => Err(Error::io("touch", path, error)),
        }
    }

    /// Decides about a chunk whose length is not that of `blob`. That is legal, because compressors
    /// differ, but it is also what a crash or a full disk of some other program leaves behind, so
    /// the chunk is kept only if its CRC says that it is whole.
    fn keep_other_length(&self, digest: &Digest, blob: &DataBlob, len: u64) -> Result<bool> {
        if !blob.kind().encrypted && len > blob.encoded_len() {
            return Ok(false);
        }
        let existing = match self.read_raw(digest) {
            // What cannot be read is no chunk: it is written anew.
            Err(error) if error.is_damaged() || error.is_missing() || error.is_unreadable() => {
                return Ok(false);
            }
            read => read?,
        };
        let what = || ChunkName(digest).to_string();
        let kind = BlobKind::from_bytes(&existing);
        if blob.kind().encrypted {
            if existing.len() < 8 {
                return Err(Error::damaged(what(), format!("it has only {len} bytes")));
            }
            match kind {
                Some(kind) if !kind.encrypted => {
                    return Err(Error::damaged(
                        what(),
                        "the store holds it unencrypted, although its name says it is encrypted",
                    ));
                }
                Some(kind) if !kind.compressed && !blob.kind().compressed => {
                    return Err(Error::damaged(
                        what(),
                        format!(
                            "the store holds it with {len} bytes instead of {}",
                            blob.encoded_len()
                        ),
                    ));
                }
                _ => {}
            }
        }
        Ok(DataBlob::from_bytes(existing, &ChunkName(digest)).is_ok())
    }

    /// Touches a chunk so that garbage collection keeps it. `false` if it is not there, or is
    /// there as an empty file, which is no chunk, or as one that a crash damaged.
    pub fn touch(&self, digest: &Digest) -> Result<bool> {
        let path = self.path(digest);
        let _guard = self.lock(digest);
        match self.storage.meta(&path) {
            Ok(meta) if meta.kind == Kind::File && meta.len > 0 => {
                if !self.is_trusted(digest, &meta)? {
                    return Ok(false);
                }
            }
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(Error::io("look at", &path, error)),
        }
        match self.storage.touch(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("touch", &path, error)),
        }
    }

    /// Reads a chunk; header and CRC are checked, the content is not.
    pub fn read(&self, digest: &Digest) -> Result<DataBlob> {
        DataBlob::from_bytes(self.read_raw(digest)?, &ChunkName(digest))
    }

    /// The bytes of a chunk's file, unchecked.
    pub fn read_raw(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.path(digest);
        self.storage.read(&path, ENCODED_CHUNK_BYTES_MAX).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::ChunkMissing { digest: *digest },
            std::io::ErrorKind::InvalidData => {
                Error::damaged(ChunkName(digest).to_string(), error.to_string())
            }
            _ => Error::io("read", &path, error),
        })
    }

    /// The next reader of a chunk gets it from the disk and not from memory, where the system can be told so. For
    /// measurements: nothing depends on it, and that there is no such chunk is told to who reads it.
    pub fn forget_cached(&self, digest: &Digest) {
        let _only_slower = self.storage.forget_cached(&self.path(digest));
    }

    /// Length and inode number of a chunk's file, `None` if it is missing. In the order of their inode numbers chunks lie on
    /// the disk, roughly.
    pub fn meta(&self, digest: &Digest) -> Option<Meta> {
        self.storage.meta(&self.path(digest)).ok()
    }

    /// The first of the ten names for bad copies of a chunk that is free, or the last one.
    fn free_bad_name(&self, path: &Path) -> PathBuf {
        let candidate = |number: u8| path.with_extension(format!("{number}.bad"));
        let free = (0..9).map(candidate).find(|bad| self.storage.meta(bad).is_err());
        free.unwrap_or_else(|| candidate(9))
    }

    /// Sets a damaged chunk aside as `<digest>.N.bad`, so that the next backup of its content
    /// writes it anew and heals every snapshot that uses it. A chunk that is already gone is fine.
    ///
    /// Between the verdict and this call somebody may have written the chunk anew, in this process or
    /// another. So what was renamed is read again: a chunk that `is_sound` gets its name back.
    pub fn set_aside(
        &self,
        digest: &Digest,
        is_sound: &dyn Fn(&DataBlob) -> bool,
    ) -> Result<Option<PathBuf>> {
        let path = self.path(digest);
        let _guard = self.lock(digest);
        let bad = self.free_bad_name(&path);
        match self.storage.rename(&path, &bad) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("rename", &path, error)),
        }
        let again = self.storage.read(&bad, ENCODED_CHUNK_BYTES_MAX).ok();
        let again = again.and_then(|bytes| DataBlob::from_bytes(bytes, &ChunkName(digest)).ok());
        if again.is_some_and(|blob| is_sound(&blob)) {
            self.storage.rename(&bad, &path).map_err(|e| Error::io("rename", &bad, e))?;
            return Ok(None);
        }
        Ok(Some(bad))
    }
}

#[cfg(test)]
mod tests;
