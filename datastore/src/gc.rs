//! Garbage collection: removing chunks that no index names (`docs/formats/gc.md`).
//!
//! # Why no chunk that is needed is removed
//!
//! A collection first *marks*: it reads every index below the store and gathers the digests. Then it
//! *touches* the chunk of each, and then it *sweeps*: every file in the chunk folders is looked at, and
//! goes if it is not marked **and** was last touched before the cut-off. Each step begins when the one
//! before has ended without an error. A chunk is needed in one of two ways.
//!
//! * **An index names it, since before the sweep.** The walk and the listing between them meet every
//!   index that was there when marking began and still is when it is opened (see `roots` for those that
//!   vanish), so the digest is among the marks. Marks are whole digests and none is ever dropped. What
//!   is marked is not removed, whatever its time of access says: a file system that loses
//!   those times, a clock that was set back, a touch that failed unnoticed cost nothing.
//! * **A writer relies on it whose index is not there yet**, or came after we looked. Every writer holds
//!   the process lock, shared, from before its first chunk until after its manifest, and touches or
//!   writes each chunk that it relies on in that time, those of its base snapshot too. In another process
//!   there is no such writer while we hold that lock exclusively. In this process it either began before
//!   `oldest_writer` was sampled, and the cut-off is at least [`WRITER_MARGIN_SECONDS`] before it began; or
//!   it began later, and its chunks are younger than the start of the run, while the cut-off is at least a
//!   minute before that. The decision about a chunk is made under the chunk store's mutex, and so is
//!   every insertion: the writer touches first and the chunk is young, or the sweep is first and the
//!   writer finds it gone and writes it anew. Nobody is told "it is there" about a chunk that then goes.
//!
//! The day between the cut-off and now is for writers that follow other rules than ours, such as
//! the reference on another host that shares the store's file system, and for mounts with
//! `relatime`.
//!
//! # Why it holds after a power cut
//!
//! A removed snapshot may come back with a crash: its folder was unlinked, but that had not reached the
//! disk. If its chunks were swept meanwhile, and *that* had reached the disk, a finished snapshot
//! without chunks would remain. So between marking and everything else the file system is synced:
//! whatever was already gone when we marked is gone for good. What is removed later was marked.
//!
//! # Why it holds in parts
//!
//! Marks that outgrow their limit are for a range of prefixes only (see `marks`), and the run then goes
//! over the store in several parts. Each part is a collection of its own, with all steps in order: it
//! reads every index anew, and sweeps only folders whose prefixes its marks are complete for. All parts use the
//! cut-off and the oldest writer of the beginning. That is the safe direction: an earlier cut-off
//! removes less, and the argument above asks of them only that they were sampled before the marking.
//!
//! # Why it may end anywhere
//!
//! Every single removal is safe by itself, so any number of them is. A run that fails, is aborted or is
//! killed leaves chunks touched, which only keeps them longer, and garbage lying around, which the next run
//! removes. Nothing is remembered from one run to the next: `.gc-status` is for people. Going on after
//! an error is what would be unsafe, so whatever cannot be read or understood while marking ends the
//! run before anything is removed.

mod atime_check;
mod journal;
mod marks;
mod parallel;
mod roots;
mod status;
mod sweep;
mod touch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use crate::chunk_store::SyncLevel;
use crate::datastore::Datastore;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::storage::Kind;
use crate::time;
use marks::{Marks, PREFIXES};
use sweep::{Action, Counters};

pub use atime_check::check_atime;
pub use status::{CacheStats, STATUS_NAME, Status, status};

/// Cut-off unless another one is asked for: a day, because `relatime` mounts may be that late, and
/// five minutes.
pub const CUTOFF_MINUTES: u32 = 1445;
/// Longest cut-off that may be asked for.
pub const CUTOFF_MINUTES_MAX: u32 = 2880;
/// How far before the oldest writer the cut-off lies.
pub const WRITER_MARGIN_SECONDS: i64 = 300;
/// Memory for marks unless another limit is asked for: seven million chunks.
pub const MARKS_BYTES_MAX: usize = 256 << 20;
/// Missing chunks that are told one by one.
const MISSING_TOLD_MAX: u64 = 100;

/// How to collect.
#[derive(Debug, Clone)]
pub struct Options {
    /// The task's identifier for the status (`UPID:…`).
    pub upid: Option<String>,
    /// A chunk that no index needs goes if it was not touched for so many minutes, 1 to
    /// [`CUTOFF_MINUTES_MAX`].
    pub cutoff_minutes: u32,
    /// Prove first that the file system keeps times of access; see [`check_atime`].
    pub atime_safety_check: bool,
    /// Threads that read indexes, touch and sweep.
    pub threads: usize,
    /// Memory for marks in bytes. A store that needs more is collected in several parts.
    pub marks_bytes_max: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            upid: None,
            cutoff_minutes: CUTOFF_MINUTES,
            atime_safety_check: true,
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            marks_bytes_max: MARKS_BYTES_MAX,
        }
    }
}

/// Removes the chunks that nothing needs and writes `.gc-status`.
///
/// Fails with [`Error::Locked`] and changes nothing if another process writes to the store, or anybody
/// collects it already. Backups of this process may go on meanwhile.
pub fn collect(
    store: &Arc<Datastore>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Status> {
    let _guard = store.process_lock().try_exclusive()?;
    let run = Run::begin(store, options, progress)?;
    let session = store.chunks().begin_session(store.process_lock(), &[])?;
    // Nobody else writes, so this is the time to look after what a crash left behind.
    store.chunks().settle(&session, progress)?;
    let status = std::thread::scope(|scope| {
        let check = || {
            let result = atime_check::check_atime(store, progress);
            run.is_refused.store(result.is_err(), Ordering::Relaxed);
            result
        };
        let mut checking = options.atime_safety_check.then(|| scope.spawn(check));
        let mut proved = || match checking.take().map(ScopedJoinHandle::join) {
            None => Ok(()),
            Some(Ok(result)) => {
                store.chunks().end_session(&session);
                result
            }
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        };
        match (run.parts(&Action::Remove, &mut proved), proved()) {
            // The check ended the run, and has the reason.
            (Err(Error::Aborted), Err(error)) => Err(error),
            (result, _) => result,
        }
    })?;
    if let Err(error) = status::write(store, &status) {
        progress.warn(&format!("the result was not recorded: {error}"));
    }
    Ok(status)
}

/// What [`collect`] would do: `tell` hears the path and the length of each file that it would remove, in
/// the order of their folders, and the status says what it would find.
///
/// Takes the same lock and reads the same indexes, but touches nothing, removes nothing and records
/// nothing; the check of times of access is left out, because it writes.
pub fn plan(
    store: &Arc<Datastore>,
    options: &Options,
    progress: &dyn Progress,
    tell: &(dyn Fn(&Path, u64) + Sync),
) -> Result<Status> {
    let _guard = store.process_lock().try_exclusive()?;
    let mut run = Run::begin(store, options, progress)?;
    if options.atime_safety_check {
        run.probed = Some(atime_check::probe()?.0);
    }
    run.parts(&Action::Tell(tell), &mut || Ok(()))
}

/// Times of access before this go. In whole seconds since 1970, like the arguments.
///
/// The reference leaves the margin out when the oldest writer began after the cut-off, be it by a second
/// only. But the clock that stamps files is a little behind the one that was asked when the writer began,
/// or is that of a file server: what the writer touched first may seem to be older than the writer.
fn min_atime(started: i64, oldest_writer: Option<i64>, cutoff_minutes: u32) -> i64 {
    let min_atime = started - i64::from(cutoff_minutes) * 60;
    oldest_writer.map_or(min_atime, |writer| min_atime.min(writer - WRITER_MARGIN_SECONDS))
}

/// One collection.
struct Run<'a> {
    store: &'a Arc<Datastore>,
    options: &'a Options,
    progress: &'a dyn Progress,
    oldest_writer: i64,
    min_atime: i64,
    /// False once the indexes are read again for another part, so that people hear of each oddity once.
    is_first_part: AtomicBool,
    /// The chunk that a check which was left out would have touched, and so kept.
    probed: Option<Digest>,
    /// The file system turned out not to keep times of access.
    is_refused: AtomicBool,
    missing: AtomicU64,
}

impl<'a> Run<'a> {
    /// Samples the times. The exclusive process lock is held, and nothing was marked.
    fn begin(
        store: &'a Arc<Datastore>,
        options: &'a Options,
        progress: &'a dyn Progress,
    ) -> Result<Run<'a>> {
        if !(1..=CUTOFF_MINUTES_MAX).contains(&options.cutoff_minutes) {
            return Err(Error::Refused {
                reason: format!(
                    "a cut-off of {} minutes is not allowed; it lies between 1 and {CUTOFF_MINUTES_MAX}",
                    options.cutoff_minutes
                ),
            });
        }
        // In this order: a writer that comes between the two is no older than the start.
        let started = time::now();
        let oldest_writer = store.process_lock().oldest_shared();
        Ok(Run {
            store,
            options,
            progress,
            oldest_writer: oldest_writer.unwrap_or(started),
            min_atime: min_atime(started, oldest_writer, options.cutoff_minutes),
            is_first_part: AtomicBool::new(true),
            probed: None,
            is_refused: AtomicBool::new(false),
            missing: AtomicU64::new(0),
        })
    }

    /// Collects one range of prefixes after the other until all are done. Before each sweep `proved` is
    /// asked whether there may be one.
    fn parts(&self, action: &Action<'_>, proved: &mut dyn FnMut() -> Result<()>) -> Result<Status> {
        let mut read: Option<roots::Tally> = None;
        let mut distinct = 0;
        let mut counters = Counters::default();
        let mut low = 0;
        while low < PREFIXES {
            let marks = Mutex::new(Marks::new(low, self.options.marks_bytes_max));
            let (tally, journal) = roots::mark(self, &marks)?;
            let marks = marks.into_inner().unwrap_or_else(PoisonError::into_inner);
            let marked = marks.finish();
            let high = marked.prefixes().end;
            let is_last = high == PREFIXES;
            let part = if low == 0 && is_last {
                String::new()
            } else {
                format!(" in folders {low:04x} to {:04x}", high - 1)
            };
            self.progress.note(&format!(
                "marked: {} indexes with {} entries name {} chunks{part}",
                tally.index_files,
                tally.entries,
                marked.len()
            ));
            if let Action::Remove = action {
                // See "Why it holds after a power cut".
                self.sync()?;
                let touched = touch::touch(self, &marked)?;
                self.progress.note(&format!(
                    "touched: {} chunks, {} are missing{part}",
                    touched.chunks, touched.missing
                ));
                if is_last {
                    journal.empty(self)?;
                }
            }
            proved()?;
            let swept = sweep::sweep(self, &marked, action)?;
            self.progress.note(&format!(
                "swept: {} chunks in use, {} removed, {} pending{part}",
                swept.disk_chunks, swept.removed_chunks, swept.pending_chunks
            ));
            counters.add(&swept);
            distinct += marked.len() as u64;
            // A second look at the indexes may find other ones; the first is the one that counts.
            read.get_or_insert(tally);
            self.is_first_part.store(false, Ordering::Relaxed);
            low = high;
        }
        self.warn_of_more_missing();
        Ok(self.status(read.unwrap_or_default(), distinct, &counters))
    }

    /// Makes what was removed from the store's folders durable. One of the folders at the top may be on
    /// a file system of its own.
    fn sync(&self) -> Result<()> {
        if self.store.sync_level() == SyncLevel::None {
            return Ok(());
        }
        let (storage, base) = (self.store.storage(), self.store.base());
        let entries = storage.list(base).map_err(|e| Error::io("list", base, e))?;
        let folders = entries.into_iter().filter(|entry| entry.kind == Kind::Dir);
        let tops = folders.filter_map(|entry| Some(base.join(entry.name?)));
        let mut synced = Vec::new();
        for folder in std::iter::once(base.to_path_buf()).chain(tops) {
            let device = match storage.meta(&folder) {
                Ok(meta) => meta.device,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("look at", &folder, error)),
            };
            if !synced.contains(&device) {
                storage.sync_filesystem(&folder).map_err(|e| Error::io("sync", &folder, e))?;
                synced.push(device);
            }
        }
        Ok(())
    }

    fn status(&self, read: roots::Tally, distinct: u64, counters: &Counters) -> Status {
        Status {
            upid: self.options.upid.clone(),
            index_file_count: read.index_files,
            index_data_bytes: read.data_bytes,
            disk_bytes: counters.disk_bytes,
            disk_chunks: counters.disk_chunks,
            removed_bytes: counters.removed_bytes,
            removed_chunks: counters.removed_chunks,
            pending_bytes: counters.pending_bytes,
            pending_chunks: counters.pending_chunks,
            removed_bad: counters.removed_bad,
            still_bad: counters.still_bad,
            cache_stats: Some(CacheStats {
                hits: read.entries.saturating_sub(distinct),
                misses: distinct,
            }),
        }
    }

    /// The chunk folder of a prefix.
    fn folder(&self, prefix: u16) -> PathBuf {
        self.store.chunks().dir().join(format!("{prefix:04x}"))
    }

    /// Ends the run if that is wanted. Asked before each index, batch of digests and file.
    fn check(&self) -> Result<()> {
        if self.is_refused.load(Ordering::Relaxed) {
            return Err(Error::Aborted);
        }
        Run::check_abort(self.progress)
    }

    fn check_abort(progress: &dyn Progress) -> Result<()> {
        if progress.is_aborted() { Err(Error::Aborted) } else { Ok(()) }
    }

    fn warn_once_a_run(&self, text: &str) {
        if self.is_first_part.load(Ordering::Relaxed) {
            self.progress.warn(text);
        }
    }

    fn warn_missing(&self, digest: &Digest) {
        if self.missing.fetch_add(1, Ordering::Relaxed) < MISSING_TOLD_MAX {
            self.progress.warn(&format!(
                "chunk {digest} is missing although an index names it; 'verify' finds the snapshots"
            ));
        }
    }

    fn warn_of_more_missing(&self) {
        let missing = self.missing.load(Ordering::Relaxed);
        if missing > MISSING_TOLD_MAX {
            self.progress.warn(&format!(
                "{} more chunks are missing, {missing} in all",
                missing - MISSING_TOLD_MAX
            ));
        }
    }
}

#[cfg(test)]
mod tests;
