//! Removing a snapshot, and its group when nothing is left in it.
//!
//! # Why a crash never leaves a damaged snapshot
//!
//! A snapshot exists if and only if its manifest does ([`crate::snapshot::writer`]). Removal goes
//! through one function, [`remove_folder`], which takes the manifest away *first* and syncs the
//! folder before it touches anything else. A crash, a full disk or a pulled plug at any moment
//! therefore leaves either the whole snapshot, or a folder without manifest: nobody takes that for a
//! snapshot, and it can be removed again the same way. There is no moment at which a manifest
//! stands without the files that it names. The folder is synced even if the manifest is gone
//! already: whoever removed it may have died before he synced.
//!
//! # Why nothing is removed that somebody uses
//!
//! The snapshot's lock is taken exclusively, which readers, verification, writers and backups based
//! on the snapshot hold; then the manifest's lock, which everybody holds who changes the manifest,
//! so that no change puts a manifest back into a folder that is being removed. The protection is
//! looked at under both. The lock files go last, while they are held.
//!
//! Only the snapshot is removed here. Its chunks are left to garbage collection, which alone knows
//! who else uses them.
//!
//! # The group
//!
//! A group without snapshots goes too, under its own lock, which is only tried for: whoever holds
//! it writes to the group and wants it to stay. Notes, owner and nothing else are removed, and the
//! folder with a plain `rmdir`: whatever else lies there keeps the group, with owner and notes.

use std::io;
use std::path::Path;

use crate::datastore::{Datastore, FILE_MODE, SnapshotInfo};
use crate::error::{Error, Result};
use crate::hierarchy::{
    BackupGroup, MANIFEST_NAME, NOTES_NAME, Namespace, OWNER_NAME, SnapshotPath, qualified_name,
};
use crate::lock::{Guard, Mode};
use crate::storage::{Kind, Storage, remove_tree, replace_file};
use crate::time;

/// Why a snapshot would not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It is protected.
    Protected,
    /// Somebody writes, reads or verifies it, or bases a backup on it.
    InUse,
    /// Something in its folder cannot be removed: why, and what to do.
    Refused(String),
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Obstacle::Protected => f.write_str("protected"),
            Obstacle::InUse => f.write_str("in use"),
            Obstacle::Refused(reason) => f.write_str(reason),
        }
    }
}

/// What the removal of a snapshot would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// The snapshot.
    pub info: SnapshotInfo,
    /// Why it would stay; `None` if it would go.
    pub obstacle: Option<Obstacle>,
}

/// What became of a group's folder when snapshots were removed from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupFolder {
    /// It holds snapshots still.
    HoldsSnapshots,
    /// Nothing was left in it, and it is gone with its owner and notes.
    Removed,
    /// Somebody else has the group locked, and keeps it.
    InUse,
    /// It holds no snapshot, and stays.
    Stays {
        /// What lies in it, or what went wrong.
        reason: String,
    },
}

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forgotten {
    /// What became of the group.
    pub group: GroupFolder,
}

impl Datastore {
    /// What [`Datastore::forget_snapshot`] would do now. Changes nothing.
    pub fn plan_forget_snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<SnapshotPlan> {
        self.require_snapshot(namespace, snapshot)?;
        match self.snapshot_info(namespace, snapshot.clone())? {
            Some(info) => Ok(self.plan_of(namespace, info)),
            None => Err(not_found(namespace, snapshot)),
        }
    }

    pub(crate) fn plan_of(&self, namespace: &Namespace, info: SnapshotInfo) -> SnapshotPlan {
        let dir = self.snapshot_dir(namespace, &info.path);
        let obstacle = if info.protected {
            Some(Obstacle::Protected)
        } else if !self.locks().is_snapshot_free(namespace, &info.path) {
            Some(Obstacle::InUse)
        } else {
            check_names(&**self.storage(), &dir).err().map(|e| Obstacle::Refused(e.to_string()))
        };
        SnapshotPlan { info, obstacle }
    }

    /// Removes a snapshot, finished or not, and its group if nothing else is in it.
    ///
    /// Refused at once if the snapshot is in use ([`Error::Locked`]) or protected
    /// ([`Error::Protected`]). A manifest that is being changed is waited for as long as
    /// [`crate::lock::MANIFEST_WAIT_MAX`]; after that nothing is removed.
    pub fn forget_snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<Forgotten> {
        self.remove_snapshot(namespace, snapshot)?;
        Ok(Forgotten { group: self.tidy_group(namespace, snapshot.group()) })
    }

    /// Like [`Datastore::forget_snapshot`], but refuses a snapshot that is finished. Asked under its
    /// lock: a restore from tape may finish one between a caller's look and its removal.
    pub fn forget_unfinished_snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<Forgotten> {
        self.remove_snapshot_if(namespace, snapshot, &|info| match info.finished {
            true => Err(Error::Refused { reason: format!("snapshot {snapshot} is finished now") }),
            false => Ok(()),
        })?;
        Ok(Forgotten { group: self.tidy_group(namespace, snapshot.group()) })
    }

    /// Removes a snapshot and leaves its group alone.
    pub(crate) fn remove_snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<()> {
        self.remove_snapshot_if(namespace, snapshot, &|_| Ok(()))
    }

    /// Removes a snapshot unless `may_go` refuses, which is asked under the locks.
    fn remove_snapshot_if(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        may_go: &dyn Fn(&SnapshotInfo) -> Result<()>,
    ) -> Result<()> {
        // Looked at first, so that a mistyped name does not leave lock files behind.
        self.require_snapshot(namespace, snapshot)?;
        let guard = self.locks().snapshot(namespace, snapshot, Mode::Exclusive)?;
        let manifest_guard = self.locks().manifest(namespace, snapshot)?;
        let gone = self.require_snapshot(namespace, snapshot).is_err();
        if !gone {
            if self.is_protected(namespace, snapshot)? {
                let what = format!("snapshot {}", qualified_name(namespace, snapshot));
                return Err(Error::Protected { what });
            }
            if let Some(info) = self.snapshot_info(namespace, snapshot.clone())? {
                may_go(&info)?;
            }
            remove_folder(&**self.storage(), &self.snapshot_dir(namespace, snapshot))?;
        }
        manifest_guard.remove();
        guard.remove();
        if gone { Err(not_found(namespace, snapshot)) } else { Ok(()) }
    }

    /// Removes a group that holds no snapshot, if nobody is at it. The snapshot that went before is
    /// gone whatever becomes of its group, so this does not fail.
    fn tidy_group(&self, namespace: &Namespace, group: &BackupGroup) -> GroupFolder {
        let stays = |error: Error| GroupFolder::Stays { reason: error.to_string() };
        // Before the lock is tried for: a backup that begins at this moment must not find its group
        // locked for nothing.
        match self.content_of_group(namespace, group) {
            Ok(content) if content.snapshots > 0 => return GroupFolder::HoldsSnapshots,
            Ok(_) => {}
            Err(error) if error.is_missing() => return GroupFolder::Removed,
            Err(error) => return stays(error),
        }
        match self.locks().group(namespace, group) {
            Ok(guard) => self.remove_empty_group(namespace, group, guard).unwrap_or_else(stays),
            Err(error) if error.is_retryable() => GroupFolder::InUse,
            Err(error) => stays(error),
        }
    }

    /// Removes a group that holds no snapshot, under its lock.
    pub(crate) fn remove_empty_group(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
        guard: Guard,
    ) -> Result<GroupFolder> {
        let dir = self.group_dir(namespace, group);
        let storage = &**self.storage();
        let content = match self.content_of_group(namespace, group) {
            Err(error) if error.is_missing() => {
                guard.remove();
                return Ok(GroupFolder::Removed);
            }
            content => content?,
        };
        if content.snapshots > 0 {
            return Ok(GroupFolder::HoldsSnapshots);
        }
        if let Some(reason) = content.foreign_text() {
            return Ok(GroupFolder::Stays { reason });
        }
        for name in &content.leftovers {
            let path = dir.join(name);
            gone(storage.remove_file(&path)).map_err(|e| Error::io("remove", &path, e))?;
        }
        // Kept in case that the folder turns out to be needed: a group without owner can be backed
        // up to by nobody.
        let mut kept = Vec::new();
        for name in [NOTES_NAME, OWNER_NAME] {
            let path = dir.join(name);
            if let Ok(bytes) = storage.read(&path, crate::datastore::SMALL_FILE_BYTES_MAX) {
                kept.push((path.clone(), bytes));
            }
            gone(storage.remove_file(&path)).map_err(|e| Error::io("remove", &path, e))?;
        }
        match gone(storage.remove_dir(&dir)) {
            Ok(()) => {
                guard.remove();
                Ok(GroupFolder::Removed)
            }
            Err(error) => {
                for (path, bytes) in kept {
                    replace_file(storage, &path, &[&bytes], FILE_MODE, self.durability())?;
                }
                Err(Error::io("remove", &dir, error))
            }
        }
    }

    /// What lies in a group's folder.
    pub(crate) fn content_of_group(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
    ) -> Result<GroupContent> {
        let dir = self.group_dir(namespace, group);
        let entries = self.storage().list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        let mut content = GroupContent::default();
        for entry in entries {
            let Some(name) = entry.name else {
                content.unreadable_names += 1;
                continue;
            };
            let is_dir = entry.kind == Kind::Dir;
            if is_dir && time::from_utc_text(&name).is_some_and(|time| time >= 1) {
                content.snapshots += 1;
            } else if !is_dir && is_leftover(&name) {
                content.leftovers.push(name);
            } else if is_dir || !matches!(name.as_str(), OWNER_NAME | NOTES_NAME) {
                content.foreign.push(name);
            }
        }
        content.foreign.sort();
        Ok(content)
    }
}

/// What lies in a group's folder beside owner and notes.
#[derive(Debug, Default)]
pub(crate) struct GroupContent {
    /// Number of snapshots, finished or not.
    pub(crate) snapshots: usize,
    /// Temporary files of interrupted changes of owner or notes.
    leftovers: Vec<String>,
    /// Names of what belongs to no group.
    foreign: Vec<String>,
    /// Number of names that are not text.
    unreadable_names: usize,
}

impl GroupContent {
    /// A sentence about what belongs to no group, if there is any.
    pub(crate) fn foreign_text(&self) -> Option<String> {
        const SHOWN_MAX: usize = 3;
        let count = self.foreign.len() + self.unreadable_names;
        if count == 0 {
            return None;
        }
        let mut names: Vec<String> =
            self.foreign.iter().take(SHOWN_MAX).map(|name| format!("'{name}'")).collect();
        if names.len() < SHOWN_MAX && self.unreadable_names > 0 {
            names.push("a name that is not text".into());
        }
        let more = if count > names.len() {
            format!(" and {} more", count - names.len())
        } else {
            String::new()
        };
        Some(format!("its folder holds what no backup put there: {}{more}", names.join(", ")))
    }
}

/// True for a temporary file of an interrupted change of owner or notes. The reference has used
/// both forms of temporary names; here they are the same because these files have no extension.
fn is_leftover(name: &str) -> bool {
    [OWNER_NAME, NOTES_NAME]
        .iter()
        .any(|target| name.strip_prefix(target).is_some_and(|rest| rest.starts_with(".tmp_")))
}

/// Removes the folder of a snapshot in the order that the head of this file argues for. A folder
/// that is not there is fine.
///
/// The caller holds the snapshot's lock exclusively and, unless the snapshot was never finished,
/// the manifest's lock.
pub(crate) fn remove_folder(storage: &dyn Storage, dir: &Path) -> Result<()> {
    check_names(storage, dir)?;
    let manifest = dir.join(MANIFEST_NAME);
    match storage.remove_file(&manifest) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A folder by that name makes no snapshot.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {}
        result => result.map_err(|e| Error::io("remove", &manifest, e))?,
    }
    gone(storage.sync_dir(dir)).map_err(|e| Error::io("sync", dir, e))?;
    remove_tree(storage, dir)
}

/// Fails if a folder holds a name that cannot be removed because it is not text. Asked before the
/// first removal, or the snapshot would be gone and its folder would stay.
fn check_names(storage: &dyn Storage, dir: &Path) -> Result<()> {
    let entries = match storage.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|e| Error::io("list", dir, e))?,
    };
    for entry in entries {
        match entry.name {
            None => {
                return Err(Error::Refused {
                    reason: format!(
                        "{} holds a name that is not text, which no backup put there; look at it \
                         and remove it by hand",
                        dir.display()
                    ),
                });
            }
            Some(name) if entry.kind == Kind::Dir => check_names(storage, &dir.join(name))?,
            Some(_) => {}
        }
    }
    Ok(())
}

/// A name that is not there need not be removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn not_found(namespace: &Namespace, snapshot: &SnapshotPath) -> Error {
    Error::NotFound { what: format!("snapshot {}", qualified_name(namespace, snapshot)) }
}
