//! What no verification looks at: the order of the store itself.
//!
//! Verification follows manifests to chunks. [`find`] looks at everything else that lies in a store:
//! names that the format does not know, leftovers of writers that died, folders that are missing,
//! chunks under names where no reader looks for them, owners and modes that keep other programs out,
//! and manifests that do not fit the files beside them. It only reads. What it says can be out of
//! date when it is read, because backups and removals may run meanwhile; what vanishes while it
//! looks is no finding.
//!
//! [`repair::Repairer`] does what a finding proposes.
//!
//! # Why a repair loses nothing
//!
//! * It holds the store's process lock exclusively, as garbage collection does: no other process
//!   writes, whatever scheme its other locks follow, and it refuses while this process writes. What
//!   belongs to one snapshot is done under that snapshot's lock besides.
//! * Each step looks again before it acts. A finding is only a hint.
//! * It removes exactly three things: files with a name that only a writer gives to unfinished work,
//!   and only when they were not written to for a day; folders, when they are empty; lock files that
//!   nobody holds and whose object is gone. Nothing that a manifest or an index names is ever
//!   removed: a chunk that is no chunk is renamed as verification does it, and an unfinished
//!   snapshot in which a complete index or blob lies stays, because without a manifest that may be
//!   all that is left of a damaged one. `snapshot forget` and prune remove it when a person says so.
//! * What the format does not know belongs to somebody else and stays.
//! * A chunk is moved only to a place that is free, and only if its content is what its name says: a
//!   wrong one in the right place would keep the next backup from storing the right one.
//!
//! Memory: the names of one folder at a time. With [`Options::references`] also one index and at
//! most 70 MB of digests that were seen already.

mod chunks;
mod hierarchy;
mod locks;
mod names;
mod references;
pub mod repair;

use std::io;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::datastore::{DIR_MODE, Datastore, FILE_MODE};
use crate::error::{Error, Result};
use crate::hierarchy::{ArchiveKind, BackupType, Namespace};
use crate::lock::LOCKS_DIR;
use crate::progress::Progress;
use crate::storage::{Entry, Kind as EntryKind, Meta, Storage};
use crate::unsynced::MARK_PREFIX;
use crate::{chunk_store, gc, time};

use references::References;
pub use repair::Repair;

/// How long a leftover is left alone, in seconds: a writer may still be at work on it.
pub const LEFTOVER_AGE_MIN: i64 = 24 * 3600;

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Also that every chunk which an index names is there.
    pub references: bool,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing needs to be done.
    Info,
    /// Something is not as it should be, but no data is missing.
    Warning,
    /// Data is missing, or an operation on the store will fail.
    Error,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Something that the format does not know.
    Stray,
    /// An index outside every snapshot. Garbage collection reads it and keeps its chunks.
    OutsideIndex,
    /// The unfinished work of a writer.
    Temporary,
    /// A symbolic link; listings do not follow it.
    Symlink,
    /// A thing of the wrong kind where a file or folder should be.
    WrongKind,
    /// A folder that cannot be read.
    Unreadable,
    /// Permission bits.
    Mode,
    /// Files that belong to somebody else than the store.
    Ownership,
    /// One of the 65536 folders of chunks is not there.
    ChunkFolderMissing,
    /// A chunk where no reader looks for it: in another folder, or in upper case.
    MisfiledChunk,
    /// A file of no length with the name of a chunk.
    EmptyChunk,
    /// A chunk that verification set aside.
    BadChunk,
    /// Marks of a store that caches an object store.
    ObjectStoreMark,
    /// A snapshot without a manifest.
    UnfinishedSnapshot,
    /// A folder that looks like a snapshot but has the name of no time.
    OddSnapshotName,
    /// A folder that cannot be a group.
    OddGroupName,
    /// A folder that cannot be a namespace.
    OddNamespace,
    /// A group without a readable owner.
    GroupOwner,
    /// A group without snapshots.
    EmptyGroup,
    /// A manifest that cannot be read or belongs to another snapshot.
    Manifest,
    /// A file that the manifest lists and that is not there.
    MissingFile,
    /// An archive that the manifest does not list.
    UnlistedFile,
    /// Lock files of things that are gone.
    StaleLocks,
    /// A mark of chunks that may not have reached the disk ([`crate::unsynced`]): somebody writes, or was
    /// cut off.
    UnsyncedMark,
    /// The file with the result of the last garbage collection cannot be read.
    GcStatus,
    /// An index names chunks that are not there.
    MissingChunks,
}

/// What can be done about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// [`repair::Repairer::apply`] does it.
    Repair(Repair),
    /// Nothing here does it; the reason, and what a person can do.
    ByHand(String),
}

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// Where, relative to the store; `.` for its own folder. Bytes that are no text are replaced.
    pub path: String,
    /// What was seen.
    pub detail: String,
    /// What can be done.
    pub remedy: Remedy,
}

impl Finding {
    /// What is done about it, if something can be.
    pub fn repair(&self) -> Option<&Repair> {
        match &self.remedy {
            Remedy::Repair(repair) => Some(repair),
            Remedy::ByHand(_) => None,
        }
    }
}

/// Looks at everything in a store and tells `found` what is not as it should be.
///
/// Folders that cannot be read are findings. An error is only what keeps the check from going on:
/// the store's own folder cannot be read, or the user wants an end.
pub fn find(
    store: &Arc<Datastore>,
    options: &Options,
    progress: &dyn Progress,
    found: &mut dyn FnMut(Finding),
) -> Result<()> {
    let base = store.base();
    let meta = store.storage().meta(base).map_err(|e| Error::io("look at", base, e))?;
    let mut checker = Checker {
        store,
        storage: &**store.storage(),
        owner: (meta.uid, meta.gid),
        now: time::now(),
        references: options.references.then(References::default),
        progress,
        found,
    };
    checker.base(&meta)?;
    checker.chunk_folders()?;
    checker.lock_files()
}

/// One run of [`find`].
struct Checker<'a> {
    store: &'a Arc<Datastore>,
    storage: &'a dyn Storage,
    /// User and group that everything should belong to: those of the store's folder.
    owner: (u32, u32),
    now: i64,
    references: Option<References>,
    progress: &'a dyn Progress,
    found: &'a mut dyn FnMut(Finding),
}

impl Checker<'_> {
    fn report(
        &mut self,
        kind: Kind,
        severity: Severity,
        path: &Path,
        detail: impl Into<String>,
        remedy: Remedy,
    ) {
        let relative = path.strip_prefix(self.store.base()).unwrap_or(path);
        let path = match relative.to_string_lossy() {
            text if text.is_empty() => ".".to_owned(),
            text => text.into_owned(),
        };
        (self.found)(Finding { kind, severity, path, detail: detail.into(), remedy });
    }

    fn check_abort(&self) -> Result<()> {
        if self.progress.is_aborted() { Err(Error::Aborted) } else { Ok(()) }
    }

    /// The names in a folder, sorted; `None` if it is gone or, as a finding says then, unreadable.
    fn list(&mut self, path: &Path) -> Result<Option<Vec<Entry>>> {
        self.check_abort()?;
        let mut entries = match self.storage.list(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                self.unreadable(path, &error);
                return Ok(None);
            }
        };
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(Some(entries))
    }

    /// What is known of a name; `None` if it is gone or, as a finding says then, unreadable.
    fn meta(&mut self, path: &Path) -> Option<Meta> {
        match self.storage.meta(path) {
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.unreadable(path, &error);
                None
            }
        }
    }

    fn unreadable(&mut self, path: &Path, error: &io::Error) {
        let reason = "see what the system says about the disk, or who may read it".to_owned();
        let detail = format!("it cannot be read: {error}");
        self.report(Kind::Unreadable, Severity::Error, path, detail, Remedy::ByHand(reason));
    }

    /// True for what was not written to for so long that no writer is still at work on it. A time
    /// in the future is young.
    fn is_old(&self, mtime: i64) -> bool {
        self.now.saturating_sub(mtime) > LEFTOVER_AGE_MIN
    }

    /// Age for people.
    fn age(&self, mtime: i64) -> String {
        match self.now.saturating_sub(mtime).max(0) / 3600 {
            hours @ 0..48 => format!("{hours} hours old"),
            hours => format!("{} days old", hours / 24),
        }
    }

    /// The store's own folder, and below it everything but chunks.
    fn base(&mut self, meta: &Meta) -> Result<()> {
        let base = self.store.base().to_path_buf();
        self.exact_mode(&base, meta, DIR_MODE);
        let entries = self.storage.list(&base).map_err(|e| Error::io("list", &base, e))?;
        let mut unknown = Vec::new();
        for entry in entries {
            let path = names::join(&base, &entry);
            match (entry.name.as_deref().unwrap_or_default(), entry.kind) {
                (".lock", EntryKind::File) => self.lock_file(&path),
                (".gc-status", EntryKind::File) => self.gc_status(&path),
                (chunk_store::CHUNKS_DIR | LOCKS_DIR | "lost+found", EntryKind::Dir) => {}
                (name, EntryKind::File) if names::is_temporary_of(name, ".gc-status") => {
                    self.temporary(&path);
                }
                (name, EntryKind::Dir) if names::is_temporary_of(name, ".chunks_new") => {
                    self.unfinished_store(&path)?;
                }
                (name, EntryKind::File) if name.starts_with(MARK_PREFIX) => {
                    self.unsynced_mark(&path);
                }
                (name, _)
                    if name == "ns" || BackupType::ALL.iter().any(|ty| ty.as_str() == name) => {}
                _ => unknown.push(entry),
            }
        }
        self.namespace(&Namespace::root())?;
        unknown.sort_by(|left, right| left.name.cmp(&right.name));
        for entry in unknown {
            self.stray(&names::join(&base, &entry), entry.kind)?;
        }
        Ok(())
    }

    fn lock_file(&mut self, path: &Path) {
        let Some(meta) = self.meta(path) else { return };
        self.exact_mode(path, &meta, FILE_MODE);
        self.ownership(path, &meta);
        if meta.len > 0 {
            let reason = "only its lock counts; nothing reads it".to_owned();
            let detail = format!("the lock file holds {} bytes", meta.len);
            self.report(Kind::Stray, Severity::Info, path, detail, Remedy::ByHand(reason));
        }
    }

    /// Nobody may take it for a leftover of no use: without it chunks would be believed that a crash
    /// damaged.
    fn unsynced_mark(&mut self, path: &Path) {
        let Some(meta) = self.meta(path) else { return };
        self.ownership(path, &meta);
        let detail = "a backup is running, or was cut off: chunks of that time are read before one \
                      relies on them";
        let reason = "the next 'capstan datastore gc' looks after it; do not remove it";
        let remedy = Remedy::ByHand(reason.into());
        self.report(Kind::UnsyncedMark, Severity::Info, path, detail, remedy);
    }

    fn gc_status(&mut self, path: &Path) {
        if let Some(meta) = self.meta(path) {
            self.ownership(path, &meta);
        }
        if !matches!(gc::status(self.store), Ok(Some(_))) {
            let reason = "the next garbage collection writes it anew".to_owned();
            let detail = "the result of the last garbage collection cannot be read";
            let remedy = Remedy::ByHand(reason);
            self.report(Kind::GcStatus, Severity::Warning, path, detail, remedy);
        }
    }

    /// What an interrupted creation of a store left: a folder of folders without a file.
    fn unfinished_store(&mut self, path: &Path) -> Result<()> {
        let Some(meta) = self.meta(path) else { return Ok(()) };
        let newest = self.meta(&path.join(chunk_store::CHUNKS_DIR)).map_or(0, |meta| meta.mtime);
        let newest = newest.max(meta.mtime);
        let detail = format!("left by the creation of a store, {}", self.age(newest));
        let remedy = if self.is_old(newest) {
            Remedy::Repair(Repair::RemoveEmptyTree { path: path.to_path_buf() })
        } else {
            Remedy::ByHand("it may be in use: it is younger than a day".into())
        };
        let severity = self.leftover_severity(newest);
        self.report(Kind::Temporary, severity, path, detail, remedy);
        Ok(())
    }

    fn leftover_severity(&self, mtime: i64) -> Severity {
        if self.is_old(mtime) { Severity::Warning } else { Severity::Info }
    }

    /// A file whose name says that a writer had not finished it.
    fn temporary(&mut self, path: &Path) {
        let Some(meta) = self.meta(path) else { return };
        let detail = format!("unfinished work of a writer, {}", self.age(meta.mtime));
        let remedy = if self.is_old(meta.mtime) {
            Remedy::Repair(Repair::RemoveTemporary { path: path.to_path_buf(), snapshot: None })
        } else {
            Remedy::ByHand("it may be in use: it is younger than a day".into())
        };
        let severity = self.leftover_severity(meta.mtime);
        self.report(Kind::Temporary, severity, path, detail, remedy);
    }

    /// Something that the format does not know. Garbage collection walks through all of it but hidden
    /// names, so indexes in it matter.
    fn stray(&mut self, path: &Path, kind: EntryKind) -> Result<()> {
        let stays = || Remedy::ByHand("it is not the datastore's; move it elsewhere".into());
        if kind == EntryKind::Symlink {
            return self.symlink(path);
        }
        if !self.index_by_name(path, kind)? {
            let what = if kind == EntryKind::Dir { "folder" } else { "file" };
            let detail = format!("a {what} that the format does not know");
            self.report(Kind::Stray, Severity::Warning, path, detail, stays());
        }
        if kind != EntryKind::Dir || names::is_hidden(path) {
            return Ok(());
        }
        let mut folders = vec![path.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in self.list(&folder)?.unwrap_or_default() {
                let inner = names::join(&folder, &entry);
                if names::is_hidden(&inner) {
                    continue;
                }
                self.index_by_name(&inner, entry.kind)?;
                if entry.kind == EntryKind::Dir {
                    folders.push(inner);
                }
            }
        }
        Ok(())
    }

    /// Reports something that garbage collection takes for an index by its name. True if it does.
    fn index_by_name(&mut self, path: &Path, kind: EntryKind) -> Result<bool> {
        let name = path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let is_index = matches!(
            ArchiveKind::of(&name),
            Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex)
        );
        if !is_index {
            return Ok(false);
        }
        let by_hand = |text: &str| Remedy::ByHand(text.to_owned());
        if kind == EntryKind::Dir {
            let detail = "a folder with the name of an index: garbage collection stops at it";
            self.report(Kind::WrongKind, Severity::Error, path, detail, by_hand("rename it"));
            return Ok(true);
        }
        let detail = "an index outside every snapshot: garbage collection keeps its chunks";
        let remedy = by_hand("remove it by hand if its chunks are not needed");
        self.report(Kind::OutsideIndex, Severity::Warning, path, detail, remedy);
        self.references_of(path)?;
        Ok(true)
    }

    fn symlink(&mut self, path: &Path) -> Result<()> {
        if !self.index_by_name(path, EntryKind::Symlink)? {
            let detail = "a symbolic link: listings do not follow it";
            let reason =
                "what it points to is not part of the store; move it in or remove the link";
            let remedy = Remedy::ByHand(reason.to_owned());
            self.report(Kind::Symlink, Severity::Warning, path, detail, remedy);
        }
        Ok(())
    }

    /// Something of the wrong kind where `wanted` should be.
    fn wrong_kind(&mut self, path: &Path, kind: EntryKind, wanted: &str) -> Result<()> {
        if kind == EntryKind::Symlink {
            return self.symlink(path);
        }
        let detail = format!("it is in the place of {wanted}");
        let remedy = Remedy::ByHand("move it elsewhere".into());
        self.report(Kind::WrongKind, Severity::Error, path, detail, remedy);
        Ok(())
    }

    /// A folder or file whose mode the format fixes; the reference refuses a store with another one.
    fn exact_mode(&mut self, path: &Path, meta: &Meta, wanted: u32) {
        if meta.mode & 0o777 != wanted {
            let detail = format!("mode {:04o} instead of {wanted:04o}", meta.mode);
            let remedy = Remedy::Repair(Repair::SetMode { path: path.to_path_buf(), mode: wanted });
            self.report(Kind::Mode, Severity::Warning, path, detail, remedy);
        }
    }

    /// A folder that its owner must be able to use.
    fn usable_folder(&mut self, path: &Path, meta: &Meta) {
        if meta.mode & 0o700 != 0o700 {
            let detail = format!("its owner cannot use this folder: mode {:04o}", meta.mode);
            let mode = meta.mode | 0o700;
            let remedy = Remedy::Repair(Repair::SetMode { path: path.to_path_buf(), mode });
            self.report(Kind::Mode, Severity::Warning, path, detail, remedy);
        }
    }

    fn is_foreign(&self, meta: &Meta) -> bool {
        (meta.uid, meta.gid) != self.owner
    }

    fn ownership(&mut self, path: &Path, meta: &Meta) {
        if self.is_foreign(meta) {
            self.report_foreign(path, "it belongs", false);
        }
    }

    /// `count` files in one folder that belong to somebody else. One finding a folder, because it is
    /// the work of one program that ran as the wrong user.
    fn foreign_files(&mut self, dir: &Path, count: u64) {
        if count > 0 {
            self.report_foreign(dir, &format!("{count} files in it belong"), true);
        }
    }

    fn report_foreign(&mut self, path: &Path, what: &str, files_in: bool) {
        let (uid, gid) = self.owner;
        let detail = format!("{what} to another user or group than the store ({uid}:{gid})");
        let repair = Repair::SetOwner { path: path.to_path_buf(), files_in, uid, gid };
        self.report(Kind::Ownership, Severity::Warning, path, detail, Remedy::Repair(repair));
    }
}
