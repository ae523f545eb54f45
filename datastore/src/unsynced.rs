//! Chunks that may not have reached the disk, and the mark that tells of them after a crash.
//!
//! # The danger
//!
//! At [`SyncLevel::Filesystem`](crate::chunk_store::SyncLevel) chunks become durable all at once, at the
//! end of each backup. If power fails before, a chunk may come back with its name and its length, but
//! with zeros or garbage in it: names are in the journal of a file system, data is not. No snapshot
//! needs that chunk, because its backup never finished. But the next backup of the same content
//! finds a file of the right name and length, and if it believed that file it would finish a
//! snapshot that cannot be restored.
//!
//! Reading every chunk that is there already would make repeated backups as slow as first ones. So
//! only those chunks are read that can have been hit.
//!
//! # The mark
//!
//! Before a process writes its first chunk it makes an empty file [`MARK_PREFIX`]`<random>` in the store's
//! folder and syncs it. It removes the mark after a sync of the file system that covered every chunk
//! it wrote. So as long as there is a mark, chunks that are younger than the mark are *suspect*, and
//! whoever wants to rely on one reads it from the disk and checks its CRC ([`Unsynced::is_suspect`] is
//! asked by [`crate::chunk_store`]). All others are believed by their length, and rightly:
//!
//! * A chunk was written by a session that ended well: then it was synced.
//! * It was written by a session that was cut off by a crash, or whose sync failed: then that session's
//!   mark is still there, and is no younger than the chunk.
//! * It is being written now, by this process or by another one: then it is in the memory of this
//!   machine, and the sync at the end of our own session makes it durable or reports that it failed,
//!   because that session has held the file system open since its beginning
//!   ([`crate::storage::FilesystemHandle`]).
//!
//! Marks of other processes that run at this moment look like those of a crash. That only costs some
//! reads, of chunks that both have in common and that the other one has just written.
//!
//! Times are compared with a margin of [`CLOCK_MARGIN_SECONDS`], for clocks that were set back.
//!
//! # The end of a mark
//!
//! [`ChunkStore::settle`](crate::chunk_store::ChunkStore::settle) reads all suspect chunks, sets the bad
//! ones aside and removes the marks. Garbage collection does so first of all, because it knows that no
//! other process writes.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{LazyLock, PoisonError};

use crate::error::{Error, Result};
use crate::storage::{Kind, SharedStorage};
use crate::sync::{Mutex, MutexGuard};

/// What the names of marks begin with. A name with a leading dot in the store's folder is nothing to
/// other programs of the format.
pub const MARK_PREFIX: &str = ".capstan-unsynced-";
/// A chunk is suspect although it seems to be older than the mark by so much.
pub const CLOCK_MARGIN_SECONDS: i64 = 86_400;
const MARK_MODE: u32 = 0o644;

/// Marks that handles of this process hold. One handle may write while another one settles.
static HELD: LazyLock<std::sync::Mutex<HashSet<PathBuf>>> = LazyLock::new(Default::default);

fn held() -> std::sync::MutexGuard<'static, HashSet<PathBuf>> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this handle of a store knows of chunks that may not be durable.
pub(crate) struct Unsynced {
    storage: SharedStorage,
    base: PathBuf,
    /// Chunks written at or after this time are suspect.
    suspect_since: AtomicI64,
    /// Marks of others were looked for.
    is_loaded: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Our own mark.
    mark: Option<PathBuf>,
    /// Chunks that are being written at this moment.
    writing: u64,
    /// Chunks whose writing has begun, ever.
    begun: u64,
}

/// Held while one chunk is written.
pub(crate) struct Writing<'a>(&'a Unsynced);

impl Drop for Unsynced {
    fn drop(&mut self) {
        // Nobody is left to sync for it: the next settling does.
        if let Some(path) = &self.state().mark {
            held().remove(path);
        }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.state().writing -= 1;
    }
}

/// A mark that somebody left.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    since: i64,
}

impl Unsynced {
    pub(crate) fn new(storage: SharedStorage, base: &Path) -> Unsynced {
        Unsynced {
            storage,
            base: base.to_path_buf(),
            suspect_since: AtomicI64::new(i64::MAX),
            is_loaded: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one assignment: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for marks of others, as every session does first.
    pub(crate) fn look(&self) -> Result<()> {
        let state = self.state();
        for mark in self.marks_except(state.mark.as_deref())? {
            self.suspect(mark.since);
        }
        self.is_loaded.store(true, Ordering::Release);
        Ok(())
    }

    fn suspect(&self, since: i64) {
        let since = since.saturating_sub(CLOCK_MARGIN_SECONDS);
        self.suspect_since.fetch_min(since, Ordering::AcqRel);
    }

    fn marks_except(&self, own: Option<&Path>) -> Result<Vec<Mark>> {
        let entries =
            self.storage.list(&self.base).map_err(|e| Error::io("list", &self.base, e))?;
        let mut marks = Vec::new();
        for entry in entries {
            let Some(name) = entry.name.filter(|name| name.starts_with(MARK_PREFIX)) else {
                continue;
            };
            let path = self.base.join(name);
            if entry.kind != Kind::File || Some(path.as_path()) == own {
                continue;
            }
            match self.storage.meta(&path) {
                Ok(meta) => marks.push(Mark { path, since: meta.mtime }),
                // Its owner has just finished.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("look at", &path, error)),
            }
        }
        Ok(marks)
    }

    /// True if a chunk that was written at this time must be read before it is relied on.
    pub(crate) fn is_suspect(&self, mtime: i64) -> Result<bool> {
        if !self.is_loaded.load(Ordering::Acquire) {
            self.look()?;
        }
        Ok(mtime >= self.suspect_since.load(Ordering::Acquire))
    }

    /// Makes sure that there is a mark, durably, before a chunk is written; the writing ends when the
    /// result is dropped.
    pub(crate) fn begin_writing(&self) -> Result<Writing<'_>> {
        let mut state = self.state();
        if state.mark.is_none() {
            let name = format!("{MARK_PREFIX}{}", uuid::Uuid::new_v4().simple());
            let path = self.base.join(name);
            // Held before it is there: whoever settles through another handle must not take it for
            // a dead one.
            held().insert(path.clone());
            if let Err(error) = self.make_mark(&path) {
                // A mark that is not durable protects nothing; one that stays by accident costs little.
                let _ = self.storage.remove_file(&path);
                held().remove(&path);
                return Err(error);
            }
            state.mark = Some(path);
        }
        state.begun += 1;
        state.writing += 1;
        Ok(Writing(self))
    }

    fn make_mark(&self, path: &Path) -> Result<()> {
        let file = self.storage.create_new(path, MARK_MODE);
        let mut file = file.map_err(|e| Error::io("create", path, e))?;
        file.sync().map_err(|e| Error::io("sync", path, e))?;
        self.storage.sync_dir(&self.base).map_err(|e| Error::io("sync", &self.base, e))
    }

    /// True if chunks were written that no sync has covered yet.
    pub(crate) fn is_marked(&self) -> bool {
        self.state().mark.is_some()
    }

    /// Runs a sync of the file system and removes our mark if every chunk was covered by it.
    pub(crate) fn sync(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = {
            let state = self.state();
            (state.writing == 0).then_some(state.begun)
        };
        let synced = sync();
        let mut state = self.state();
        if let Err(error) = synced {
            // Some chunk is lost, and no later sync will tell: the system reports a failed write
            // once. The mark is left to the next settling, and from now on we suspect our own chunks.
            if let Some(path) = state.mark.take() {
                held().remove(&path);
                let since = self.storage.meta(&path).map_or(i64::MIN, |meta| meta.mtime);
                self.suspect(since);
            }
            return Err(error);
        }
        if before == Some(state.begun)
            && let Some(path) = state.mark.take()
        {
            // Durable whenever the system likes: a mark that comes back only costs some reads. So does
            // one that cannot be removed.
            let _ = self.storage.remove_file(&path);
            held().remove(&path);
        }
        Ok(())
    }

    /// The marks that nobody in this process holds.
    pub(crate) fn foreign_marks(&self) -> Result<Vec<Mark>> {
        // Listed first: a mark that is made meanwhile is not in the list at all.
        let mut marks = self.marks_except(None)?;
        marks.retain(|mark| !held().contains(&mark.path));
        for mark in &marks {
            self.suspect(mark.since);
        }
        Ok(marks)
    }

    /// Removes marks after all suspect chunks were read and what was done about them is durable.
    pub(crate) fn settled(&self, marks: &[Mark]) -> Result<()> {
        let state = self.state();
        for mark in marks {
            match self.storage.remove_file(&mark.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &mark.path, error));
                }
                _ => {}
            }
        }
        self.suspect_since.store(i64::MAX, Ordering::Release);
        // Others may have come meanwhile.
        for mark in self.marks_except(state.mark.as_deref())? {
            self.suspect(mark.since);
        }
        Ok(())
    }
}
