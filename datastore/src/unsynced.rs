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
//! The mark keeps the file system open since before the first chunk, and the sync goes through that
//! descriptor, too: a restore from tape stores chunks long before it begins a session of its own.
//!
//! * A chunk was written by a session that ended well: then it was synced.
//! * It was written by a session that was cut off by a crash, or whose sync failed: then that session's
//!   mark is still there, is no younger than the chunk, and was closed later if it was closed.
//! * It is being written now, by this process or by another one: then it is in the memory of this
//!   machine, and the sync at the end of our own session makes it durable or reports that it failed,
//!   because that session has held the file system open since its beginning
//!   ([`crate::storage::FilesystemHandle`]).
//!
//! A sync that fails although this process wrote nothing lost chunks of somebody who leaves no marks (the
//! reference). It is told once, so a mark is left for it.
//!
//! Marks of other processes that run at this moment look like those of a crash. That only costs some
//! reads, of chunks that both have in common and that the other one has just written.
//!
//! # A mark ends with its owner
//!
//! Only chunks that its owner wrote can have been hit, but a mark that lies there for a month makes a
//! month's chunks suspect, and every backup would read them all. So whoever begins a session and finds
//! marks while no other process has the process lock knows that their owners write no more, and *closes*
//! them: he renames them to `…-until-<now>`. Chunks that are younger than that are believed. The marks
//! are listed before the lock is looked at: an owner that is alive has the lock as long as it
//! writes under its mark, and one that takes it afterwards looks whether its mark is still there.
//!
//! Times are compared with a margin of [`CLOCK_MARGIN_SECONDS`] on both sides, for clocks that were set
//! and for file servers, which have their own.
//!
//! # The end of a mark
//!
//! [`ChunkStore::settle`](crate::chunk_store::ChunkStore::settle) reads all suspect chunks, sets the bad
//! ones aside and removes the marks. Garbage collection does so first of all, because it knows that no
//! other process writes.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::storage::{FilesystemHandle, Kind, SharedStorage};
use crate::sync::{Mutex, MutexGuard};
use crate::time;

/// What the names of marks begin with. A name with a leading dot in the store's folder is nothing to
/// other programs of the format.
pub const MARK_PREFIX: &str = ".capstan-unsynced-";
/// A chunk is suspect although it seems to be older than the mark by so much.
pub const CLOCK_MARGIN_SECONDS: i64 = 86_400;
/// Stands in the name of a mark before the time at which it was closed, seconds since 1970.
const UNTIL: &str = "-until-";
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
    /// The folder of chunks, which may be on another file system than `base`.
    chunks: PathBuf,
    suspects: RwLock<Suspects>,
    /// Marks of others were looked for.
    is_loaded: AtomicBool,
    state: Mutex<State>,
}

/// When suspect chunks were written.
#[derive(Default)]
struct Suspects {
    /// As the marks of others say.
    marked: Vec<Span>,
    /// As syncs say that failed through this handle, whether or not a mark could be left.
    failed: Vec<Span>,
}

/// From when until when, seconds since 1970, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    since: i64,
    until: i64,
}

impl Span {
    fn holds(&self, mtime: i64) -> bool {
        (self.since.saturating_sub(CLOCK_MARGIN_SECONDS)
            ..=self.until.saturating_add(CLOCK_MARGIN_SECONDS))
            .contains(&mtime)
    }
}

#[derive(Default)]
struct State {
    /// Our own mark.
    mark: Option<OwnMark>,
    /// Chunks that are being written at this moment.
    writing: u64,
    /// Chunks whose writing has begun, ever.
    begun: u64,
}

/// The mark of this handle.
struct OwnMark {
    path: PathBuf,
    /// Open since before the first chunk under this mark.
    filesystem: Arc<dyn FilesystemHandle>,
}

/// Held while one chunk is written.
pub(crate) struct Writing<'a>(&'a Unsynced);

impl Drop for Unsynced {
    fn drop(&mut self) {
        // Nobody is left to sync for it: the next settling does.
        if let Some(mark) = &self.state().mark {
            held().remove(&mark.path);
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
    span: Span,
}

impl Mark {
    fn is_open(&self) -> bool {
        self.span.until == i64::MAX
    }
}

/// When a mark was closed, by its name; an open one never was.
fn until(name: &str) -> i64 {
    name.rsplit_once(UNTIL).and_then(|(_, time)| time.parse().ok()).unwrap_or(i64::MAX)
}

impl Unsynced {
    pub(crate) fn new(storage: SharedStorage, base: &Path, chunks: &Path) -> Unsynced {
        Unsynced {
            storage,
            base: base.to_path_buf(),
            chunks: chunks.to_path_buf(),
            suspects: RwLock::default(),
            is_loaded: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change of the state is one assignment: a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for marks of others, as every session does first. `is_alone` is asked whether no other
    /// process writes, if that matters.
    pub(crate) fn look(&self, is_alone: &dyn Fn() -> Result<bool>) -> Result<()> {
        let state = self.state();
        let mut marks = self.marks_except(state.mark.as_ref().map(|mark| mark.path.as_path()))?;
        let is_dead = |mark: &Mark| mark.is_open() && !held().contains(&mark.path);
        // Who cannot say is not alone.
        if marks.iter().any(is_dead) && is_alone().unwrap_or(false) {
            for mark in marks.iter_mut().filter(|mark| is_dead(mark)) {
                self.close(mark);
            }
        }
        self.suspects_mut().marked = marks.iter().map(|mark| mark.span).collect();
        self.is_loaded.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes down that the owner of a mark writes no more. Durable whenever the system likes, and left
    /// out if it cannot be done: a mark that stays open only costs reads.
    fn close(&self, mark: &mut Mark) {
        let now = time::now();
        // A machine without a clock of its own may not know yet, after the very power cut that this is
        // about, how late it is.
        if now < mark.span.since {
            return;
        }
        let Some(name) = mark.path.file_name().and_then(|name| name.to_str()) else { return };
        let closed = mark.path.with_file_name(format!("{name}{UNTIL}{now}"));
        if self.storage.rename(&mark.path, &closed).is_ok() {
            mark.path = closed;
            mark.span.until = now;
        }
    }

    fn suspects_mut(&self) -> std::sync::RwLockWriteGuard<'_, Suspects> {
        self.suspects.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn marks_except(&self, own: Option<&Path>) -> Result<Vec<Mark>> {
        let entries =
            self.storage.list(&self.base).map_err(|e| Error::io("list", &self.base, e))?;
        let mut marks = Vec::new();
        for entry in entries {
            let Some(name) = entry.name.filter(|name| name.starts_with(MARK_PREFIX)) else {
                continue;
            };
            let path = self.base.join(&name);
            if entry.kind != Kind::File || Some(path.as_path()) == own {
                continue;
            }
            match self.storage.meta(&path) {
                Ok(meta) => {
                    let span = Span { since: meta.mtime, until: until(&name) };
                    marks.push(Mark { path, span });
                }
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
            self.look(&|| Ok(false))?;
        }
        let suspects = self.suspects.read().unwrap_or_else(PoisonError::into_inner);
        Ok(suspects.marked.iter().chain(&suspects.failed).any(|span| span.holds(mtime)))
    }

    /// Makes sure that there is a mark, durably, before a chunk is written; the writing ends when the
    /// result is dropped.
    pub(crate) fn begin_writing(&self) -> Result<Writing<'_>> {
        let mut state = self.state();
        // A mark that was left over from an earlier session may have been closed since then.
        if state.writing == 0
            && let Some(mark) = &state.mark
            && let Err(error) = self.storage.meta(&mark.path)
        {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(Error::io("look at", &mark.path, error));
            }
            held().remove(&mark.path);
            state.mark = None;
        }
        if state.mark.is_none() {
            let filesystem = self.storage.open_filesystem(&self.chunks);
            let filesystem = filesystem.map_err(|e| Error::io("open", &self.chunks, e))?.into();
            let path = self.new_path();
            // Held before it is there: whoever settles through another handle must not take it for
            // a dead one.
            held().insert(path.clone());
            if let Err(error) = self.make_mark(&path) {
                // A mark that is not durable protects nothing; one that stays by accident costs little.
                let _ = self.storage.remove_file(&path);
                held().remove(&path);
                return Err(error);
            }
            state.mark = Some(OwnMark { path, filesystem });
        }
        state.begun += 1;
        state.writing += 1;
        Ok(Writing(self))
    }

    fn new_path(&self) -> PathBuf {
        self.base.join(format!("{MARK_PREFIX}{}", uuid::Uuid::new_v4().simple()))
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
        let (before, filesystem) = {
            let state = self.state();
            let filesystem = state.mark.as_ref().map(|mark| Arc::clone(&mark.filesystem));
            ((state.writing == 0).then_some(state.begun), filesystem)
        };
        let synced = sync().and_then(|()| match filesystem {
            Some(own) => own.sync().map_err(|e| Error::io("sync", &self.chunks, e)),
            None => Ok(()),
        });
        let mut state = self.state();
        if let Err(error) = synced {
            // Some chunk is lost, and no later sync will tell: the system reports a failed write
            // once. The mark is left to the next settling, and from now on we suspect our own chunks.
            let path = match state.mark.take() {
                Some(mark) => mark.path,
                None => {
                    let path = self.new_path();
                    // On a disk that fails it may fail, too; the error that is reported is the first.
                    let _ = self.make_mark(&path);
                    path
                }
            };
            held().remove(&path);
            let since = self.storage.meta(&path).map_or(i64::MIN, |meta| meta.mtime);
            self.suspects_mut().failed.push(Span { since, until: time::now() });
            return Err(error);
        }
        if before == Some(state.begun)
            && let Some(OwnMark { path, .. }) = state.mark.take()
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
        self.suspects_mut().marked.extend(marks.iter().map(|mark| mark.span));
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
        // Others may have come meanwhile.
        let rest = self.marks_except(state.mark.as_ref().map(|mark| mark.path.as_path()))?;
        *self.suspects_mut() =
            Suspects { marked: rest.iter().map(|mark| mark.span).collect(), failed: Vec::new() };
        Ok(())
    }
}
