//! Lock files whose object is gone.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Checker, Kind, Remedy, Repair, Severity};
use crate::datastore::Datastore;
use crate::error::Result;
use crate::lock::LOCKS_DIR;
use crate::lock::files::{LockFile, Object};

/// True if the group or snapshot that a lock file stands for is gone. Names that cannot be read
/// back stand for something that may be there.
pub(super) fn is_stale(store: &Datastore, file: &LockFile) -> bool {
    let dir = match &file.object {
        Some(Object::Group(group)) => store.group_dir(&file.namespace, group),
        Some(Object::Snapshot(snapshot)) => store.snapshot_dir(&file.namespace, snapshot),
        None => return false,
    };
    let looked = store.storage().meta(&dir);
    looked.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}

impl Checker<'_> {
    /// The lock folder, if it lies in the store. One that is shared with other programs is theirs.
    pub(super) fn lock_files(&mut self) -> Result<()> {
        let locks = self.store.locks();
        if locks.dir() != self.store.base().join(LOCKS_DIR) {
            return Ok(());
        }
        let mut stale: BTreeMap<PathBuf, u64> = BTreeMap::new();
        locks.for_each_file(&mut |file| {
            self.check_abort()?;
            if is_stale(self.store, &file) {
                let dir = file.path.parent().unwrap_or(&file.path).to_path_buf();
                *stale.entry(dir).or_default() += 1;
            }
            Ok(())
        })?;
        for (dir, count) in stale {
            let detail = format!("{count} lock files of groups and snapshots that are gone");
            let remedy = Remedy::Repair(Repair::RemoveStaleLocks { dir: dir.clone() });
            self.report(Kind::StaleLocks, Severity::Info, &dir, detail, remedy);
        }
        Ok(())
    }
}
