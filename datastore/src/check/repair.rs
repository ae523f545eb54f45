//! Doing what a finding proposes. The safety argument is at the head of [`crate::check`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{LEFTOVER_AGE_MIN, locks, names};
use crate::blob::{ChunkName, DataBlob, ENCODED_CHUNK_BYTES_MAX};
use crate::chunk_store::CHUNKS_DIR_MODE;
use crate::datastore::Datastore;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace, SnapshotPath, qualified_name};
use crate::lock::Mode;
use crate::lock::process::ExclusiveGuard;
use crate::storage::{Kind as EntryKind, Storage};
use crate::time;

/// Longest content of a chunk in bytes.
const CHUNK_BYTES_MAX: usize = 16 << 20;

/// One change to a store. Paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Repair {
    /// Make a folder of chunks.
    CreateChunkFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Set permission bits.
    SetMode {
        /// The file or folder.
        path: PathBuf,
        /// Its new mode.
        mode: u32,
    },
    /// Give something to the owner of the store.
    SetOwner {
        /// The file or folder.
        path: PathBuf,
        /// Give away the files in the folder instead of the folder.
        files_in: bool,
        /// User.
        uid: u32,
        /// Group.
        gid: u32,
    },
    /// Give a chunk the name and folder where readers look for it.
    MoveChunk {
        /// Where it lies.
        from: PathBuf,
        /// Its digest.
        digest: Digest,
    },
    /// Rename what is no chunk, as verification does it, so that a backup can store the chunk.
    SetChunkAside {
        /// The digest in its name.
        digest: Digest,
    },
    /// Remove a file that a writer left unfinished.
    RemoveTemporary {
        /// The file.
        path: PathBuf,
        /// The snapshot in whose folder it lies.
        snapshot: Option<(Namespace, SnapshotPath)>,
    },
    /// Remove an empty folder.
    RemoveEmptyFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Remove a folder that holds nothing but folders.
    RemoveEmptyTree {
        /// The folder.
        path: PathBuf,
    },
    /// Remove the empty folder of a group.
    RemoveEmptyGroup {
        /// Where the group is.
        namespace: Namespace,
        /// The group.
        group: BackupGroup,
    },
    /// Remove a snapshot that has no manifest and nothing complete in it.
    RemoveUnfinished {
        /// Where the snapshot is.
        namespace: Namespace,
        /// The snapshot.
        snapshot: SnapshotPath,
    },
    /// Remove lock files that nobody holds and whose object is gone.
    RemoveStaleLocks {
        /// Their folder.
        dir: PathBuf,
    },
}

impl Repair {
    /// What it removes, if it removes something. The tests hold it against manifests and indexes.
    pub fn removes(&self, store: &Datastore) -> Option<PathBuf> {
        match self {
            Repair::RemoveTemporary { path, .. }
            | Repair::RemoveEmptyFolder { path }
            | Repair::RemoveEmptyTree { path }
            | Repair::RemoveStaleLocks { dir: path } => Some(path.clone()),
            Repair::RemoveEmptyGroup { namespace, group } => {
                Some(store.group_dir(namespace, group))
            }
            Repair::RemoveUnfinished { namespace, snapshot } => {
                Some(store.snapshot_dir(namespace, snapshot))
            }
            Repair::CreateChunkFolder { .. }
            | Repair::SetMode { .. }
            | Repair::SetOwner { .. }
            | Repair::MoveChunk { .. }
            | Repair::SetChunkAside { .. } => None,
        }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::CreateChunkFolder { .. } => f.write_str("make the folder"),
            Repair::SetMode { mode, .. } => write!(f, "set mode {:04o}", mode & 0o7777),
            Repair::SetOwner { files_in: false, uid, gid, .. } => {
                write!(f, "give it to {uid}:{gid}")
            }
            Repair::SetOwner { uid, gid, .. } => write!(f, "give its files to {uid}:{gid}"),
            Repair::MoveChunk { digest, .. } => {
                write!(f, "move it to .chunks/{:04x}/{digest}", digest.prefix())
            }
            Repair::SetChunkAside { digest } => write!(f, "rename it to {digest}.N.bad"),
            Repair::RemoveTemporary { .. } => f.write_str("remove the file"),
            Repair::RemoveEmptyFolder { .. } => f.write_str("remove the folder if it is empty"),
            Repair::RemoveEmptyTree { .. } => f.write_str("remove the empty folders"),
            Repair::RemoveEmptyGroup { .. } => f.write_str("remove the empty group"),
            Repair::RemoveUnfinished { .. } => f.write_str("remove the unfinished snapshot"),
            Repair::RemoveStaleLocks { .. } => f.write_str("remove those that nobody holds"),
        }
    }
}

/// What became of a repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// Things are no longer as they were found, or somebody is using them; the reason.
    Left(String),
}

fn left(reason: impl Into<String>) -> Result<Outcome> {
    Ok(Outcome::Left(reason.into()))
}

/// What can be told about a chunk without its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Soundness {
    /// Its content has the digest of its name.
    Proven,
    /// It is encrypted, and its checksum fits.
    Whole,
    /// Anything else.
    Damaged,
}

/// Reads a file and compares it with the digest that it is named after.
pub(super) fn soundness(storage: &dyn Storage, path: &Path, digest: &Digest) -> Soundness {
    let read = storage.read(path, ENCODED_CHUNK_BYTES_MAX).ok();
    let blob = read.and_then(|bytes| DataBlob::from_bytes(bytes, &ChunkName(digest)).ok());
    blob.map_or(Soundness::Damaged, |blob| soundness_of(&blob, digest))
}

fn soundness_of(blob: &DataBlob, digest: &Digest) -> Soundness {
    if blob.kind().encrypted {
        return Soundness::Whole;
    }
    match blob.decode(None, CHUNK_BYTES_MAX, &ChunkName(digest)) {
        Ok(plain) if Digest::of(&plain) == *digest => Soundness::Proven,
        _ => Soundness::Damaged,
    }
}

/// The right to repair a store.
pub struct Repairer {
    store: Arc<Datastore>,
    _guard: ExclusiveGuard,
}

impl Repairer {
    /// Keeps everybody from writing to the store. Fails while somebody does.
    pub fn begin(store: &Arc<Datastore>) -> Result<Repairer> {
        let guard = store.process_lock().try_exclusive()?;
        if store.process_lock().oldest_shared().is_some() {
            return Err(Error::Locked {
                what: format!("datastore {}", store.base().display()),
                holder: "this process is writing to it",
            });
        }
        Ok(Repairer { store: Arc::clone(store), _guard: guard })
    }

    /// Looks again and does one repair. What belongs together (a missing folder and the chunks that
    /// go there) is to be done in the order in which it was found.
    pub fn apply(&self, repair: &Repair) -> Result<Outcome> {
        match repair {
            Repair::CreateChunkFolder { path } => self.create_chunk_folder(path),
            Repair::SetMode { path, mode } => self.set_mode(path, *mode),
            Repair::SetOwner { path, files_in, uid, gid } => {
                self.set_owner(path, *files_in, (*uid, *gid))
            }
            Repair::MoveChunk { from, digest } => self.move_chunk(from, digest),
            Repair::SetChunkAside { digest } => self.set_chunk_aside(digest),
            Repair::RemoveTemporary { path, snapshot } => {
                self.remove_temporary(path, snapshot.as_ref())
            }
            Repair::RemoveEmptyFolder { path } => self.remove_dir(path),
            Repair::RemoveEmptyTree { path } => self.remove_empty_tree(path),
            Repair::RemoveEmptyGroup { namespace, group } => {
                self.remove_empty_group(namespace, group)
            }
            Repair::RemoveUnfinished { namespace, snapshot } => {
                self.remove_unfinished(namespace, snapshot)
            }
            Repair::RemoveStaleLocks { dir } => self.remove_stale_locks(dir),
        }
    }

    fn storage(&self) -> &dyn Storage {
        &**self.store.storage()
    }

    fn sync_dir_of(&self, path: &Path) -> Result<()> {
        let Some(dir) = path.parent() else { return Ok(()) };
        self.storage().sync_dir(dir).map_err(|e| Error::io("sync", dir, e))
    }

    fn create_chunk_folder(&self, path: &Path) -> Result<Outcome> {
        match self.storage().create_dir(path, CHUNKS_DIR_MODE) {
            Ok(()) => self.sync_dir_of(path).map(|()| Outcome::Done),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => left("it is there"),
            Err(error) => Err(Error::io("create", path, error)),
        }
    }

    fn set_mode(&self, path: &Path, mode: u32) -> Result<Outcome> {
        let meta = self.storage().meta(path).map_err(|e| Error::io("look at", path, e))?;
        // Setting a mode follows links.
        if !matches!(meta.kind, EntryKind::File | EntryKind::Dir) {
            return left("it is no file or folder any more");
        }
        self.storage().set_mode(path, mode).map_err(|e| Error::io("set the mode of", path, e))?;
        Ok(Outcome::Done)
    }

    fn set_owner(&self, path: &Path, files_in: bool, owner: (u32, u32)) -> Result<Outcome> {
        let give = |path: &Path| -> Result<()> {
            let meta = match self.storage().meta(path) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(Error::io("look at", path, error)),
            };
            if (meta.uid, meta.gid) == owner {
                return Ok(());
            }
            let (uid, gid) = owner;
            self.storage().set_owner(path, uid, gid).map_err(|e| Error::io("give away", path, e))
        };
        if !files_in {
            return give(path).map(|()| Outcome::Done);
        }
        for entry in self.storage().list(path).map_err(|e| Error::io("list", path, e))? {
            if let (Some(name), EntryKind::File) = (entry.name, entry.kind) {
                give(&path.join(name))?;
            }
        }
        Ok(Outcome::Done)
    }

    fn move_chunk(&self, from: &Path, digest: &Digest) -> Result<Outcome> {
        let to = self.store.chunks().path(digest);
        self.store.chunks().exclusively(digest, || {
            match self.storage().meta(&to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("look at", &to, error)),
                Ok(_) => return left("the right place is taken"),
            }
            match self.storage().meta(from) {
                Ok(meta) if meta.kind == EntryKind::File => {}
                _ => return left("it is gone"),
            }
            if soundness(self.storage(), from, digest) == Soundness::Damaged {
                return left("its content is not what its name says");
            }
            self.storage().rename(from, &to).map_err(|e| Error::io("rename", from, e))?;
            // The new name first: between the two the chunk must not be lost.
            self.sync_dir_of(&to)?;
            self.sync_dir_of(from)?;
            Ok(Outcome::Done)
        })
    }

    fn set_chunk_aside(&self, digest: &Digest) -> Result<Outcome> {
        let is_sound = |blob: &DataBlob| soundness_of(blob, digest) != Soundness::Damaged;
        match self.store.chunks().set_aside(digest, &is_sound)? {
            Some(_) => Ok(Outcome::Done),
            None => left("it is gone or sound"),
        }
    }

    /// True if a file has the kind and age of a leftover.
    fn is_old_file(&self, path: &Path) -> Result<bool> {
        match self.storage().meta(path) {
            Ok(meta) => Ok(meta.kind == EntryKind::File
                && time::now().saturating_sub(meta.mtime) > LEFTOVER_AGE_MIN),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look at", path, error)),
        }
    }

    fn remove_temporary(
        &self,
        path: &Path,
        snapshot: Option<&(Namespace, SnapshotPath)>,
    ) -> Result<Outcome> {
        let guard = match snapshot {
            None => None,
            Some((namespace, snapshot)) => {
                match self.store.locks().snapshot(namespace, snapshot, Mode::Exclusive) {
                    Err(error) if error.is_retryable() => return left(error.to_string()),
                    guard => Some(guard?),
                }
            }
        };
        if !self.is_old_file(path)? {
            return left("it is gone or in use");
        }
        self.storage().remove_file(path).map_err(|e| Error::io("remove", path, e))?;
        drop(guard);
        Ok(Outcome::Done)
    }

    fn remove_dir(&self, path: &Path) -> Result<Outcome> {
        match self.storage().remove_dir(path) {
            Ok(()) => Ok(Outcome::Done),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::DirectoryNotEmpty
                        | io::ErrorKind::NotFound
                        | io::ErrorKind::NotADirectory
                ) =>
            {
                left(format!("{error}"))
            }
            Err(error) => Err(Error::io("remove", path, error)),
        }
    }

    /// Two levels of folders without a file. Only plain removals of folders: a file stops it.
    fn remove_empty_tree(&self, path: &Path) -> Result<Outcome> {
        let folders = |path: &Path| -> Result<Vec<PathBuf>> {
            let entries = self.storage().list(path).map_err(|e| Error::io("list", path, e))?;
            let names = entries.into_iter().filter(|entry| entry.kind == EntryKind::Dir);
            Ok(names.filter_map(|entry| entry.name).map(|name| path.join(name)).collect())
        };
        for inner in folders(path)? {
            for innermost in folders(&inner)? {
                self.remove_dir(&innermost)?;
            }
            self.remove_dir(&inner)?;
        }
        self.remove_dir(path)
    }

    fn remove_empty_group(&self, namespace: &Namespace, group: &BackupGroup) -> Result<Outcome> {
        let guard = match self.store.locks().group(namespace, group) {
            Err(error) if error.is_retryable() => return left(error.to_string()),
            guard => guard?,
        };
        let outcome = self.remove_dir(&self.store.group_dir(namespace, group))?;
        if outcome == Outcome::Done {
            guard.remove();
        }
        Ok(outcome)
    }

    fn remove_unfinished(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> Result<Outcome> {
        let guard = match self.store.locks().snapshot(namespace, snapshot, Mode::Exclusive) {
            Err(error) if error.is_retryable() => return left(error.to_string()),
            guard => guard?,
        };
        let dir = self.store.snapshot_dir(namespace, snapshot);
        let entries = match self.storage().list(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return left("it is gone"),
            Err(error) => return Err(Error::io("list", &dir, error)),
        };
        let mut leftovers = Vec::new();
        for entry in entries {
            let path = names::join(&dir, &entry);
            let is_leftover = entry.name.as_deref().is_some_and(names::is_temporary);
            if !is_leftover || !self.is_old_file(&path)? {
                let name = qualified_name(namespace, snapshot);
                return left(format!("{name} is not what it was: {} came", path.display()));
            }
            leftovers.push(path);
        }
        for path in leftovers {
            self.storage().remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        let outcome = self.remove_dir(&dir)?;
        if outcome == Outcome::Done {
            guard.remove();
        }
        Ok(outcome)
    }

    fn remove_stale_locks(&self, dir: &Path) -> Result<Outcome> {
        let mut held = 0_u64;
        self.store.locks().for_each_file(&mut |file| {
            if file.path.parent() == Some(dir) && locks::is_stale(&self.store, &file) {
                held += u64::from(!self.store.locks().remove_unheld(&file.path)?);
            }
            Ok(())
        })?;
        if held > 0 { left(format!("{held} of them are held")) } else { Ok(Outcome::Done) }
    }
}
