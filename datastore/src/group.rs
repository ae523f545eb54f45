//! A backup group as a whole: its owner, its notes, its removal.
//!
//! Everything here happens under the group's lock, which a backup to the group holds from its first
//! to its last moment: no owner changes and no group vanishes under a running backup. The owner file
//! is replaced, never truncated: at every moment, whatever crashes, it holds the old owner or the new
//! one. A group without owner could be backed up to by nobody.

use std::io;

use crate::datastore::{Datastore, FILE_MODE, SMALL_FILE_BYTES_MAX};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, NOTES_NAME, Namespace, OWNER_NAME, SnapshotPath};
use crate::lock::Guard;
use crate::progress::Progress;
use crate::snapshot::group::check_owner;
use crate::snapshot::remove::{GroupFolder, SnapshotPlan};
use crate::storage::{Durability, Kind, replace_file};

/// What the removal of a group would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// The group.
    pub group: BackupGroup,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<SnapshotPlan>,
    /// True if a backup to it is running or somebody changes it: then nothing would be removed.
    pub in_use: bool,
    /// What keeps its folder although no snapshot does, if anything.
    pub foreign: Option<String>,
}

impl GroupPlan {
    /// True if nothing of the group would be left.
    pub fn is_complete(&self) -> bool {
        !self.in_use
            && self.foreign.is_none()
            && self.snapshots.iter().all(|snapshot| snapshot.obstacle.is_none())
    }
}

/// What the removal of a group did.
#[derive(Debug)]
pub struct GroupRemoval {
    /// The group.
    pub group: BackupGroup,
    /// Snapshots that are gone, oldest first.
    pub removed: Vec<SnapshotPath>,
    /// Snapshots that stay because they are protected.
    pub protected: Vec<SnapshotPath>,
    /// Snapshots that could not be removed, and why: most often somebody uses them.
    pub failed: Vec<(SnapshotPath, Error)>,
    /// What became of the group's folder.
    pub folder: GroupFolder,
}

impl GroupRemoval {
    /// True if nothing of the group is left.
    pub fn is_complete(&self) -> bool {
        self.folder == GroupFolder::Removed
    }
}

impl Datastore {
    /// Fails unless a group is there.
    pub fn require_group(&self, namespace: &Namespace, group: &BackupGroup) -> Result<()> {
        self.require_namespace(namespace)?;
        match self.storage().meta(&self.group_dir(namespace, group)) {
            Ok(meta) if meta.kind == Kind::Dir => Ok(()),
            _ => {
                let place = if namespace.is_root() {
                    String::new()
                } else {
                    format!(" in namespace '{namespace}'")
                };
                Err(Error::NotFound { what: format!("backup group {group}{place}") })
            }
        }
    }

    /// Locks a group that is there.
    fn lock_group(&self, namespace: &Namespace, group: &BackupGroup) -> Result<Guard> {
        // Looked at first, so that a mistyped name does not leave a lock file behind.
        self.require_group(namespace, group)?;
        let guard = self.locks().group(namespace, group)?;
        if let Err(error) = self.require_group(namespace, group) {
            guard.remove();
            return Err(error);
        }
        Ok(guard)
    }

    /// Gives a group to somebody else, also one that has no owner. Refused while a backup to it is
    /// running.
    pub fn set_owner(&self, namespace: &Namespace, group: &BackupGroup, owner: &str) -> Result<()> {
        check_owner(owner)?;
        let _guard = self.lock_group(namespace, group)?;
        let path = self.group_dir(namespace, group).join(OWNER_NAME);
        let line = format!("{owner}\n");
        let storage = &**self.storage();
        replace_file(storage, &path, &[line.as_bytes()], FILE_MODE, Durability::Now)
    }

    /// The notes of a group; empty if it has none.
    pub fn group_notes(&self, namespace: &Namespace, group: &BackupGroup) -> Result<String> {
        self.require_group(namespace, group)?;
        let path = self.group_dir(namespace, group).join(NOTES_NAME);
        let content = match self.storage().read(&path, SMALL_FILE_BYTES_MAX) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            content => content.map_err(|e| Error::io("read", &path, e))?,
        };
        String::from_utf8(content)
            .map_err(|_| Error::damaged(path.display().to_string(), "it is not text"))
    }

    /// Replaces the notes of a group. Empty notes are none. Refused while a backup to the group is
    /// running.
    pub fn set_group_notes(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
        notes: &str,
    ) -> Result<()> {
        if notes.len() as u64 > SMALL_FILE_BYTES_MAX {
            return Err(Error::Refused {
                reason: format!(
                    "these notes have {} bytes, and the notes of a group have at most \
                     {SMALL_FILE_BYTES_MAX}",
                    notes.len()
                ),
            });
        }
        let _guard = self.lock_group(namespace, group)?;
        let dir = self.group_dir(namespace, group);
        let path = dir.join(NOTES_NAME);
        let storage = &**self.storage();
        if !notes.is_empty() {
            let content = [notes.as_bytes()];
            return replace_file(storage, &path, &content, FILE_MODE, Durability::Now);
        }
        match storage.remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io("remove", &path, error)),
            Ok(()) => storage.sync_dir(&dir).map_err(|e| Error::io("sync", &dir, e)),
        }
    }

    /// What [`Datastore::forget_group`] would do now. Changes nothing.
    pub fn plan_forget_group(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
    ) -> Result<GroupPlan> {
        self.require_group(namespace, group)?;
        let snapshots = self.snapshots(namespace, group, &mut ())?;
        Ok(GroupPlan {
            group: group.clone(),
            snapshots: snapshots.into_iter().map(|info| self.plan_of(namespace, info)).collect(),
            in_use: !self.locks().is_group_free(namespace, group),
            foreign: self.content_of_group(namespace, group)?.foreign_text(),
        })
    }

    /// Removes a group with its snapshots, oldest first. What is protected stays and is counted, and
    /// so does what is in use; the group itself goes only if nothing stays.
    ///
    /// Refused at once if the group is locked. An abort between two snapshots is
    /// [`Error::Aborted`]; what is gone by then is gone.
    pub fn forget_group(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
        progress: &dyn Progress,
    ) -> Result<GroupRemoval> {
        let guard = self.lock_group(namespace, group)?;
        let mut removal = GroupRemoval {
            group: group.clone(),
            removed: Vec::new(),
            protected: Vec::new(),
            failed: Vec::new(),
            folder: GroupFolder::HoldsSnapshots,
        };
        for info in self.snapshots(namespace, group, &mut ())? {
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            if info.protected {
                removal.protected.push(info.path);
                continue;
            }
            match self.remove_snapshot(namespace, &info.path) {
                Ok(()) => {
                    progress.note(&format!("removed snapshot {}", info.path));
                    removal.removed.push(info.path);
                }
                Err(Error::Protected { .. }) => removal.protected.push(info.path),
                // Somebody else was faster, and it is what we want.
                Err(error) if error.is_missing() => {}
                Err(error) => {
                    progress.warn(&format!("snapshot {} stays: {error}", info.path));
                    removal.failed.push((info.path, error));
                }
            }
        }
        removal.folder = self.remove_empty_group(namespace, group, guard)?;
        if let GroupFolder::Stays { reason } = &removal.folder {
            progress.warn(&format!("backup group {group} stays: {reason}"));
        }
        Ok(removal)
    }
}
