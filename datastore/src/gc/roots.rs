//! Finding every index, so that what it names is marked.
//!
//! An index that is overlooked costs data, so there are two ways to each. A walk over all folders
//! below the store finds every file with the name of an index, wherever somebody may have put it.
//! Then the hierarchy is listed group by group, and each index that is met there is marked and struck
//! from what the walk found. What is left over lies where no index belongs, or came after the
//! listing: it is marked with a warning.
//!
//! Groups are read with the newest snapshot first, because backups build on the newest one. If its
//! index vanishes between listing and opening, a newer snapshot may have taken over its chunks and then
//! stand in no list of ours, so the group is listed again; after ten times the group is locked, which
//! keeps backups out of it for a moment. An index that vanishes from an older snapshot was
//! forgotten, which is no concern.
//!
//! Whatever cannot be listed, opened or understood ends the collection, for one does not know what it
//! would have named. A folder or an index that is gone is different: nothing needs it any more.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Run;
use super::journal::Journal;
use super::marks::Marks;
use super::parallel::for_each;
use crate::datastore::SnapshotInfo;
use crate::error::{Error, Result};
use crate::hierarchy::{ArchiveKind, BackupGroup, Namespace};
use crate::index::IndexScan;
use crate::storage::Kind;
use crate::time;

/// How often a group is listed again before it is locked.
const LISTINGS_MAX: usize = 10;
/// The folder that file systems keep for their own repair; only their owner may look into it.
const LOST_AND_FOUND: &str = "lost+found";

/// What was read while marking.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Indexes.
    pub index_files: u64,
    /// Bytes of the archives that they stand for.
    pub data_bytes: u64,
    /// Their entries.
    pub entries: u64,
}

/// Marks everything that any index of the store names.
pub(super) fn mark(run: &Run<'_>, marks: &Mutex<Marks>) -> Result<(Tally, Journal)> {
    let marker = Marker {
        run,
        marks,
        index_files: AtomicU64::new(0),
        data_bytes: AtomicU64::new(0),
        entries: AtomicU64::new(0),
        unseen: Mutex::new(walk(run)?),
    };
    marker.hierarchy()?;
    marker.leftovers()?;
    let journal = Journal::read(run)?;
    for path in journal.indexes()? {
        marker.index(&path, true)?;
    }
    let tally = Tally {
        index_files: marker.index_files.into_inner(),
        data_bytes: marker.data_bytes.into_inner(),
        entries: marker.entries.into_inner(),
    };
    Ok((tally, journal))
}

/// The paths of all names of indexes below the store, except in hidden folders.
fn walk(run: &Run<'_>) -> Result<HashSet<PathBuf>> {
    let (storage, base) = (run.store.storage(), run.store.base());
    let mut found = HashSet::new();
    let mut folders = vec![base.to_path_buf()];
    while let Some(folder) = folders.pop() {
        run.check()?;
        let entries = match storage.list(&folder) {
            Ok(entries) => entries,
            // The store itself does not vanish; if it does, it is not a store without indexes.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != base => continue,
            Err(error)
                if error.kind() == io::ErrorKind::PermissionDenied
                    && folder == base.join(LOST_AND_FOUND) =>
            {
                continue;
            }
            Err(error) => return Err(Error::io("list", &folder, error)),
        };
        for entry in entries {
            let Some(name) = entry.name else {
                return Err(Error::Refused {
                    reason: format!(
                        "{} holds a name that is not text, which could be that of an index; rename \
                         or remove it",
                        folder.display()
                    ),
                });
            };
            if name.starts_with('.') {
                continue;
            }
            if is_index_name(&name) {
                found.insert(folder.join(&name));
            }
            if entry.kind == Kind::Dir {
                folders.push(folder.join(name));
            }
        }
    }
    Ok(found)
}

fn is_index_name(name: &str) -> bool {
    matches!(ArchiveKind::of(name), Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex))
}

/// What became of the newest snapshot of a group.
enum Newest {
    Read,
    Vanished,
}

struct Marker<'a> {
    run: &'a Run<'a>,
    marks: &'a Mutex<Marks>,
    index_files: AtomicU64,
    data_bytes: AtomicU64,
    entries: AtomicU64,
    /// What the walk found and the listing did not, so far.
    unseen: Mutex<HashSet<PathBuf>>,
}

impl Marker<'_> {
    fn hierarchy(&self) -> Result<()> {
        let store = self.run.store;
        let mut odd: Vec<String> = Vec::new();
        let namespaces = store.namespaces(&Namespace::root(), None, &mut odd)?;
        if let Some(odd) = odd.first() {
            return Err(Error::Refused {
                reason: format!("{odd}; rename or remove it, then collect again"),
            });
        }
        let mut groups = Vec::new();
        for namespace in namespaces {
            self.run.check()?;
            match store.groups(&namespace) {
                Ok(found) => {
                    groups.extend(found.into_iter().map(|group| (namespace.clone(), group)))
                }
                // Removed since it was listed; everything in it was removed before.
                Err(_) if self.is_gone(&store.namespace_dir(&namespace)) => {}
                Err(error) => return Err(error),
            }
        }
        let total = groups.len() as u64;
        for_each(
            0..total,
            1,
            self.run.options.threads,
            |position, (): &mut ()| {
                self.run.check()?;
                match groups.get(position as usize) {
                    Some((namespace, group)) => self.group(namespace, group),
                    None => Ok(()),
                }
            },
            |done| self.run.progress.step("mark", done, total),
        )?;
        Ok(())
    }

    fn is_gone(&self, folder: &Path) -> bool {
        matches!(
            self.run.store.storage().meta(folder),
            Err(error) if error.kind() == io::ErrorKind::NotFound
        )
    }

    fn group(&self, namespace: &Namespace, group: &BackupGroup) -> Result<()> {
        // An index that is read again counts once.
        let mut counted = HashSet::new();
        for _ in 0..LISTINGS_MAX {
            match self.group_once(namespace, group, &mut counted)? {
                Newest::Read => return Ok(()),
                Newest::Vanished => self.run.check()?,
            }
        }
        // No backup can add a snapshot now, so what vanishes under our hands is only forgotten.
        let _lock = self.run.store.locks().group(namespace, group)?;
        self.group_once(namespace, group, &mut counted)?;
        Ok(())
    }

    fn group_once(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
        counted: &mut HashSet<PathBuf>,
    ) -> Result<Newest> {
        let store = self.run.store;
        let dir = store.group_dir(namespace, group);
        let mut odd: Vec<String> = Vec::new();
        let listed = self
            .newest_name(&dir)
            .and_then(|newest| Ok((newest, store.snapshots(namespace, group, &mut odd)?)));
        let (newest, snapshots) = match listed {
            Ok(listed) => listed,
            Err(_) if self.is_gone(&dir) => return Ok(Newest::Read),
            // Its last snapshot was forgotten, and a backup has made the group anew since.
            Err(error) if error.is_missing() => return Ok(Newest::Vanished),
            Err(error) => return Err(error),
        };
        for odd in odd {
            self.run.warn_once_a_run(&format!("{odd}; what its indexes name is kept"));
        }
        // The newest one went away while the others were listed.
        if newest > snapshots.last().map(|info| info.path.time()) {
            return Ok(Newest::Vanished);
        }
        for (age, info) in snapshots.iter().rev().enumerate() {
            let is_whole = self.snapshot(namespace, info, counted)?;
            if age == 0 && !is_whole {
                return Ok(Newest::Vanished);
            }
        }
        Ok(Newest::Read)
    }

    /// Time of the newest folder of a snapshot, by its name alone.
    fn newest_name(&self, dir: &Path) -> Result<Option<i64>> {
        let entries = self.run.store.storage().list(dir).map_err(|e| Error::io("list", dir, e))?;
        let folders = entries.into_iter().filter(|entry| entry.kind == Kind::Dir);
        let times = folders.filter_map(|entry| time::from_utc_text(&entry.name?));
        Ok(times.filter(|time| *time >= 1).max())
    }

    /// Marks the indexes of a snapshot; `false` if one vanished after it was listed.
    fn snapshot(
        &self,
        namespace: &Namespace,
        info: &SnapshotInfo,
        counted: &mut HashSet<PathBuf>,
    ) -> Result<bool> {
        let dir = self.run.store.snapshot_dir(namespace, &info.path);
        let mut is_whole = true;
        for name in info.files.iter().filter(|name| is_index_name(name)) {
            let path = dir.join(name);
            self.unseen.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
            let is_new = !counted.contains(&path);
            if self.index(&path, is_new)? {
                counted.insert(path);
            } else {
                is_whole = false;
            }
        }
        Ok(is_whole)
    }

    /// Marks what lies where no index belongs.
    fn leftovers(&self) -> Result<()> {
        let mut unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut paths: Vec<PathBuf> = unseen.drain().collect();
        drop(unseen);
        paths.sort_unstable();
        for path in paths {
            if self.index(&path, true)? {
                self.run.warn_once_a_run(&format!(
                    "{} is an index in an unexpected place; what it names is kept",
                    path.display()
                ));
            }
        }
        Ok(())
    }

    /// Marks what an index names; `false` if there is no such index (any more).
    fn index(&self, path: &Path, count: bool) -> Result<bool> {
        self.run.check()?;
        let mut scan = match IndexScan::open(&**self.run.store.storage(), path) {
            Ok(scan) => scan,
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) => return Err(error),
        };
        let mut batch = Vec::new();
        while scan.next_batch(&mut batch)? {
            self.run.check()?;
            self.marks.lock().unwrap_or_else(PoisonError::into_inner).extend(&batch);
        }
        if count {
            self.index_files.fetch_add(1, Ordering::Relaxed);
            self.data_bytes.fetch_add(scan.content_size(), Ordering::Relaxed);
            self.entries.fetch_add(scan.len(), Ordering::Relaxed);
        }
        Ok(true)
    }
}
