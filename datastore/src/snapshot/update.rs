//! Changing a finished snapshot: its manifest, its notes, its protection.
//!
//! # Why an update never costs a snapshot
//!
//! The manifest is what makes a snapshot exist, so there is one door for changing it,
//! [`Datastore::update_manifest`], and everything that changes a manifest goes through it:
//!
//! * It holds the manifest's lock from before it reads until after it renamed, so that two changes
//!   at once are both in the result.
//! * It replaces the file whole: written under a temporary name, synced, renamed, and the folder
//!   synced, whatever the store's sync level is. A snapshot that was safe yesterday must not become
//!   an empty file because somebody wrote a note on it today.
//! * It changes the key `unprotected` and nothing else, down to keys that this version does not
//!   know: a signature covers all the rest.
//! * It makes no folder. A snapshot that was removed meanwhile stays removed: removal holds the same
//!   lock, and against programs that take no locks the temporary file has no folder to be made in.

use std::io;
use std::path::PathBuf;

use crate::datastore::{Datastore, FILE_MODE};
use crate::error::{Error, Result};
use crate::hierarchy::{MANIFEST_NAME, Namespace, PROTECTED_NAME, SnapshotPath, qualified_name};
use crate::lock::Mode;
use crate::manifest::{MANIFEST_FILE_BYTES_MAX, Manifest};
use crate::snapshot::reader::{load_manifest, load_manifest_json};
use crate::storage::{Durability, Kind, replace_file};

/// The key of `unprotected` that holds a snapshot's notes.
const NOTES_KEY: &str = "notes";

impl Datastore {
    /// Fails unless a snapshot has a folder; finished or not.
    pub(crate) fn require_snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<()> {
        // Not through a link: what a listing does not show is not changed or removed either.
        let is_dir = |path: PathBuf| matches!(self.storage().meta(&path), Ok(meta) if meta.kind == Kind::Dir);
        if is_dir(self.group_dir(namespace, snapshot.group()))
            && is_dir(self.snapshot_dir(namespace, snapshot))
        {
            return Ok(());
        }
        Err(Error::NotFound { what: format!("snapshot {}", qualified_name(namespace, snapshot)) })
    }

    /// Changes what a manifest's signature does not cover: `change` is given the manifest as it is
    /// now and may change its `unprotected` keys; a change of anything else is refused. Returns the
    /// manifest as it is afterwards. Nothing is written if nothing changed.
    ///
    /// Waits for the manifest's lock as long as [`crate::lock::MANIFEST_WAIT_MAX`]. Fails with an
    /// error that [`Error::is_missing`] if there is no manifest (any more).
    pub fn update_manifest(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        change: &mut dyn FnMut(&mut Manifest) -> Result<()>,
    ) -> Result<Manifest> {
        // Looked at first, so that a mistyped name does not leave a lock file behind.
        self.require_snapshot(namespace, snapshot)?;
        let guard = self.locks().manifest(namespace, snapshot)?;
        if let Err(error) = self.require_snapshot(namespace, snapshot) {
            // It was removed while we waited; nobody needs our lock file.
            guard.remove();
            return Err(error);
        }
        let (json, what) = load_manifest_json(self, namespace, snapshot)?;
        let before = Manifest::from_json(&json, &what)?;
        let mut after = before.clone();
        change(&mut after)?;
        if after == before {
            return Ok(after);
        }
        let unprotected = std::mem::replace(&mut after.unprotected, before.unprotected.clone());
        if after != before {
            return Err(Error::Refused {
                reason: format!("only what is not signed can be changed in {what}"),
            });
        }
        after.unprotected = unprotected;
        let blob = after.to_blob_like(&json, &what)?;
        if blob.encoded_len() > MANIFEST_FILE_BYTES_MAX {
            return Err(Error::Refused { reason: format!("{what} would become too large") });
        }
        let path = self.snapshot_dir(namespace, snapshot).join(MANIFEST_NAME);
        let storage = &**self.storage();
        replace_file(storage, &path, &[blob.as_bytes()], FILE_MODE, Durability::Now)?;
        Ok(after)
    }

    /// The notes of a snapshot; empty if it has none.
    pub fn notes(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> Result<String> {
        self.require_snapshot(namespace, snapshot)?;
        let manifest = load_manifest(self, namespace, snapshot)?;
        Ok(manifest.notes().unwrap_or_default().to_owned())
    }

    /// Replaces the notes of a finished snapshot, which may be in use. Empty notes are none.
    pub fn set_notes(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        notes: &str,
    ) -> Result<()> {
        self.update_manifest(namespace, snapshot, &mut |manifest| {
            if notes.is_empty() {
                manifest.unprotected.remove(NOTES_KEY);
            } else {
                manifest.unprotected.insert(NOTES_KEY.into(), notes.into());
            }
            Ok(())
        })?;
        Ok(())
    }

    /// True if a snapshot must not be removed.
    pub fn is_protected(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> Result<bool> {
        self.require_snapshot(namespace, snapshot)?;
        let path = self.snapshot_dir(namespace, snapshot).join(PROTECTED_NAME);
        match self.storage().meta(&path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look at", &path, error)),
        }
    }

    /// Protects a snapshot from removal, or stops doing so. Refused while the snapshot is written,
    /// read or verified.
    pub fn set_protected(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        protected: bool,
    ) -> Result<()> {
        self.require_snapshot(namespace, snapshot)?;
        let guard = self.locks().snapshot(namespace, snapshot, Mode::Exclusive)?;
        if let Err(error) = self.require_snapshot(namespace, snapshot) {
            guard.remove();
            return Err(error);
        }
        let dir = self.snapshot_dir(namespace, snapshot);
        let path = dir.join(PROTECTED_NAME);
        let (action, done, already) = if protected {
            let made = self.storage().create_new(&path, FILE_MODE).map(|_file| ());
            ("create", made, io::ErrorKind::AlreadyExists)
        } else {
            ("remove", self.storage().remove_file(&path), io::ErrorKind::NotFound)
        };
        match done {
            Err(error) if error.kind() != already => return Err(Error::io(action, &path, error)),
            _ => {}
        }
        // Also if nothing had to be done: whoever did it may not have come this far.
        self.storage().sync_dir(&dir).map_err(|e| Error::io("sync", &dir, e))
    }
}
