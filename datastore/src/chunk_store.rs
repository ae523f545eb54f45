//! The chunk store: every chunk once, under its digest.
//!
//! # Why no chunk is lost
//!
//! * A chunk appears under its name complete or not at all: it is written under a temporary name
//!   in the same folder and renamed.
//! * A chunk that is already there is *touched*: garbage collection removes only what was not
//!   touched for a day, so whoever relies on a chunk touches it first. Insertion and the
//!   collector's decision about one chunk exclude each other through a mutex, so a chunk is
//!   either touched first and kept, or removed first and then written anew. Every rule here is about
//!   one chunk, so there is a mutex for each of [`SHARDS`] parts of the digests: threads that store
//!   different chunks do not wait for each other's disk.
//! * An existing chunk is believed if it has the length that ours has. An empty file (a crash of
//!   some other program) is overwritten. A chunk of another length is legal, because compressors
//!   differ; the shorter one wins, as the format prescribes, but only if its CRC proves it whole.
//! * With [`SyncLevel::Filesystem`] nothing is durable until the backup's end syncs the file
//!   system, which it does before the manifest appears; see [`crate::snapshot::writer`].

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::blob::{BlobKind, ChunkName, DataBlob, ENCODED_CHUNK_BYTES_MAX};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::storage::{Durability, Kind, SharedStorage, replace_file};

/// Name of the folder of chunks in a datastore.
pub const CHUNKS_DIR: &str = ".chunks";
/// Mode of the folder of chunks and of those in it.
pub const CHUNKS_DIR_MODE: u32 = 0o750;
const CHUNK_MODE: u32 = 0o644;
/// Parts of the digests that are locked each on its own.
const SHARDS: usize = 256;

/// When written chunks become durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncLevel {
    /// Whenever the system likes. For tests and throw-away stores.
    None,
    /// Each chunk before its insertion returns.
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
    shards: Box<[Mutex<()>]>,
}

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
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        ChunkStore { storage, dir: base.join(CHUNKS_DIR), sync_level, shards }
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
        // The digest's first byte chooses; the remainder is always inside. A panic of another thread
        // cannot leave a chunk half inserted: the rename decides.
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        let shard = &self.shards[usize::from(digest.prefix() >> 8) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a chunk lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir.join(format!("{:04x}", digest.prefix())).join(digest.to_string())
    }

    /// Inserts an encoded chunk. If it is there already it is touched instead.
    pub fn insert(&self, digest: &Digest, blob: &DataBlob) -> Result<Inserted> {
        let path = self.path(digest);
        let _guard = self.lock(digest);
        if let Some(stored_bytes) = self.keep_existing(digest, blob, &path)? {
            return Ok(Inserted { duplicate: true, stored_bytes });
        }
        let durability = match self.sync_level {
            SyncLevel::File => Durability::Now,
            SyncLevel::None | SyncLevel::Filesystem => Durability::Later,
        };
        replace_file(&*self.storage, &path, &[blob.as_bytes()], CHUNK_MODE, durability)?;
        Ok(Inserted { duplicate: false, stored_bytes: blob.encoded_len() })
    }

    /// Decides about a chunk that is there already: its length if it is kept (and now touched),
    /// `None` if it must be written.
    fn keep_existing(&self, digest: &Digest, blob: &DataBlob, path: &Path) -> Result<Option<u64>> {
        let meta = match self.storage.meta(path) {
            Ok(meta) => meta,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("look at", path, error)),
        };
        let what = || ChunkName(digest).to_string();
        if meta.kind != Kind::File {
            return Err(Error::damaged(what(), "a thing that is no file has its name"));
        }
        let keep = if meta.len == blob.encoded_len() {
            true
        } else if meta.len == 0 {
            false
        } else {
            self.keep_other_length(digest, blob, meta.len)?
        };
        if !keep {
            return Ok(None);
        }
        self.storage.touch(path).map_err(|e| Error::io("touch", path, e))?;
        Ok(Some(meta.len))
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
    /// there as an empty file, which is no chunk.
    pub fn touch(&self, digest: &Digest) -> Result<bool> {
        let path = self.path(digest);
        let _guard = self.lock(digest);
        match self.storage.meta(&path) {
            Ok(meta) if meta.kind == Kind::File && meta.len > 0 => {}
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

    /// Inode number of a chunk's file, the order in which chunks lie on the disk, roughly; `None`
    /// if it is missing.
    pub fn inode(&self, digest: &Digest) -> Option<u64> {
        self.storage.meta(&self.path(digest)).ok().map(|meta| meta.inode)
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
        let candidate = |number: u8| path.with_extension(format!("{number}.bad"));
        let free = (0..9).map(candidate).find(|bad| self.storage.meta(bad).is_err());
        let bad = free.unwrap_or_else(|| candidate(9));
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::crypt::CryptConfig;
    use crate::storage::RealStorage;

    fn store() -> (tempfile::TempDir, ChunkStore) {
        let dir = tempfile::tempdir().unwrap();
        let storage: SharedStorage = Arc::new(RealStorage::new(dir.path()).unwrap());
        // Only the folders that these tests use; 65536 take a second.
        storage.create_dir(&dir.path().join(CHUNKS_DIR), CHUNKS_DIR_MODE).unwrap();
        for name in ["2cf2", "0000"] {
            let chunk_dir = dir.path().join(CHUNKS_DIR).join(name);
            storage.create_dir(&chunk_dir, CHUNKS_DIR_MODE).unwrap();
        }
        let store = ChunkStore::open(storage, dir.path(), SyncLevel::File);
        (dir, store)
    }

    fn long_ago(path: &Path) {
        let time = std::fs::FileTimes::new()
            .set_accessed(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1));
        std::fs::File::open(path).unwrap().set_times(time).unwrap();
    }

    #[test]
    fn a_chunk_is_written_once_and_touched_later() {
        let (_dir, store) = store();
        let digest = Digest::of(b"hello");
        let blob = DataBlob::encode(b"hello", None, true).unwrap();
        assert!(matches!(store.read(&digest), Err(Error::ChunkMissing { .. })));
        assert!(!store.touch(&digest).unwrap());
        assert_eq!(
            store.insert(&digest, &blob).unwrap(),
            Inserted { duplicate: false, stored_bytes: 17 }
        );
        assert!(store.path(&digest).ends_with(format!(".chunks/2cf2/{digest}")));
        long_ago(&store.path(&digest));
        assert!(store.insert(&digest, &blob).unwrap().duplicate);
        let atime = store.storage.meta(&store.path(&digest)).unwrap().atime;
        assert!(atime > 1_000_000_000, "touched: {atime}");
        long_ago(&store.path(&digest));
        assert!(store.touch(&digest).unwrap());
        assert!(store.storage.meta(&store.path(&digest)).unwrap().atime > 1_000_000_000);
        assert_eq!(store.read(&digest).unwrap(), blob);
    }

    /// Every row of the insertion rules: what is there × what comes.
    #[test]
    fn the_rules_for_chunks_of_another_length() {
        let key = CryptConfig::new([3; 32]).unwrap();
        let zeros = vec![0; 1000];
        let encode = |key: Option<&CryptConfig>, compress| {
            DataBlob::encode(&zeros, key, compress).unwrap().into_bytes()
        };
        let (plain, packed) = (encode(None, false), encode(None, true));
        let (secret, secret_packed) = (encode(Some(&key), false), encode(Some(&key), true));
        let mut unknown = plain.clone();
        unknown[0] ^= 0xff;
        // (stored, offered, kept): `None` is a refusal.
        let rows: [(&[u8], &[u8], Option<bool>); 11] = [
            (&plain, &plain, Some(true)),
            (b"", &plain, Some(false)),
            (b"", &secret, Some(false)),
            (&packed, &plain, Some(true)),
            (&plain, &packed, Some(false)),
            (&secret_packed, &secret, Some(true)),
            (&secret, &secret_packed, Some(true)),
            (&packed, &secret, None),
            (b"short", &secret, None),
            (&unknown, &secret, Some(false)),
            (&packed[..packed.len() - 1], &plain, Some(false)),
        ];
        for (row, (stored, offered, kept)) in rows.into_iter().enumerate() {
            let (_dir, store) = store();
            let digest = Digest([0; 32]);
            std::fs::write(store.path(&digest), stored).unwrap();
            let blob = DataBlob::from_bytes(offered.to_vec(), &"offered").unwrap();
            let result = store.insert(&digest, &blob);
            let now = std::fs::read(store.path(&digest)).unwrap();
            match kept {
                None => {
                    assert!(result.unwrap_err().is_damaged(), "row {row}");
                    assert_eq!(now, stored, "row {row}");
                }
                Some(true) => {
                    assert!(result.unwrap().duplicate, "row {row}");
                    assert_eq!(now, stored, "row {row}");
                }
                Some(false) => {
                    assert!(!result.unwrap().duplicate, "row {row}");
                    assert_eq!(now, offered, "row {row}");
                }
            }
        }
        // Two uncompressed encrypted chunks of one content have one length.
        let (_dir, store) = store();
        let digest = Digest([0; 32]);
        std::fs::write(store.path(&digest), &secret[..secret.len() - 1]).unwrap();
        let blob = DataBlob::from_bytes(secret, &"offered").unwrap();
        assert!(store.insert(&digest, &blob).unwrap_err().is_damaged());
    }

    #[test]
    fn damaged_chunks_are_set_aside_ten_times_and_healed() {
        let (_dir, store) = store();
        let digest = Digest::of(b"hello");
        let blob = DataBlob::encode(b"hello", None, true).unwrap();
        for number in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9] {
            store.insert(&digest, &blob).unwrap();
            let bad = store.set_aside(&digest, &|_| false).unwrap().unwrap();
            assert!(bad.to_str().unwrap().ends_with(&format!("{digest}.{number}.bad")));
            assert!(matches!(store.read(&digest), Err(Error::ChunkMissing { .. })));
        }
        assert_eq!(store.set_aside(&digest, &|_| false).unwrap(), None);
        // What was healed meanwhile keeps its name.
        store.insert(&digest, &blob).unwrap();
        assert_eq!(store.set_aside(&digest, &|_| true).unwrap(), None);
        assert_eq!(store.read(&digest).unwrap(), blob);
    }

    #[test]
    fn a_chunk_folder_that_is_missing_is_an_error() {
        let (_dir, store) = store();
        let blob = DataBlob::encode(b"x", None, true).unwrap();
        let error = store.insert(&Digest([0xff; 32]), &blob).unwrap_err();
        assert!(error.to_string().contains("ffff"), "{error}");
        assert!(store.storage.list(&store.dir).unwrap().len() == 2);
    }
}
