//! Destroying a datastore with all it holds.
//!
//! Nobody can undo this, so it is done only while nobody uses the store: the process lock is held
//! exclusively, this process writes nothing, and no group or snapshot is locked. The caller has seen
//! to it that nobody begins to use it meanwhile.
//!
//! The order is the reference's: first what refers to chunks, then the chunks, then the lock. A crash
//! on the way leaves a store in which every snapshot that is still there is whole, or one without
//! snapshots; beginning anew goes on with it. Only what belongs to a datastore is removed, so that
//! whatever else lies in its folder stays, and the folder with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::datastore::Datastore;
use crate::error::{Error, Result};
use crate::lock::LOCKS_DIR;
use crate::lock::process::ExclusiveGuard;
use crate::progress::Progress;
use crate::storage::{Kind, Storage, remove_tree};
use crate::unsynced::MARK_PREFIX;

/// Folders of snapshots, in the order in which they go.
const TREES: [&str; 4] = ["ns", "ct", "vm", "host"];

/// What would be removed: folders and files of the store that are there, in order.
pub fn plan(store: &Datastore) -> Result<Vec<PathBuf>> {
    let names = TREES.into_iter().chain([".gc-status", ".chunks", LOCKS_DIR, ".lock"]);
    let mut there = Vec::new();
    for path in names.map(|name| store.base().join(name)) {
        match store.storage().meta(&path) {
            Ok(_) => there.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("look at", &path, error)),
        }
    }
    Ok(there)
}

/// Fails if anybody uses the store: writes to it, collects its garbage, reads or removes a snapshot.
pub fn check_unused(store: &Arc<Datastore>) -> Result<()> {
    claim(store).map(drop)
}

fn claim(store: &Arc<Datastore>) -> Result<ExclusiveGuard> {
    let in_use = |what: String, holder| Error::Locked { what, holder };
    let lock = store.process_lock();
    let guard = lock.try_exclusive()?;
    if lock.oldest_shared().is_some() {
        let what = format!("datastore {}", store.base().display());
        return Err(in_use(what, "this process is writing to it"));
    }
    store.locks().for_each_file(&mut |file| {
        if store.locks().is_held(&file.path)? {
            let what = match &file.object {
                Some(object) => object.to_string(),
                None => format!("what {} stands for", file.path.display()),
            };
            return Err(in_use(what, "a restore, verification, tape job or removal is running"));
        }
        Ok(())
    })?;
    Ok(guard)
}

/// Removes everything that belongs to the store, and its folder if that is empty then. True if the
/// folder is gone.
pub fn run(store: &Arc<Datastore>, progress: &dyn Progress) -> Result<bool> {
    let _guard = claim(store)?;
    let storage = &**store.storage();
    let (base, tree) = (store.base(), |name: &str| store.base().join(name));
    for name in TREES {
        remove(storage, &tree(name), progress)?;
    }
    // On the disk, too, the snapshots are gone before their chunks.
    storage.sync_dir(base).map_err(|e| Error::io("sync", base, e))?;
    for name in [".gc-status", ".chunks"] {
        remove(storage, &tree(name), progress)?;
    }
    // Lock files of our own; a folder that the configuration names elsewhere may have other users.
    if store.locks().dir() == tree(LOCKS_DIR) {
        remove(storage, &tree(LOCKS_DIR), progress)?;
    }
    // Nobody needs to know any more which chunks may not have reached the disk.
    for entry in storage.list(base).map_err(|e| Error::io("list", base, e))? {
        if let Some(name) = entry.name.filter(|name| name.starts_with(MARK_PREFIX)) {
            remove(storage, &tree(&name), progress)?;
        }
    }
    remove(storage, &tree(".lock"), progress)?;
    match storage.remove_dir(base) {
        Ok(()) => Ok(true),
        Err(error) => {
            progress.warn(&format!("the folder {} stays: {error}", base.display()));
            Ok(false)
        }
    }
}

fn remove(storage: &dyn Storage, path: &Path, progress: &dyn Progress) -> Result<()> {
    if progress.is_aborted() {
        return Err(Error::Aborted);
    }
    match storage.meta(path) {
        Ok(meta) if meta.kind == Kind::Dir => {
            progress.note(&format!("removing {}", path.display()));
            remove_tree(storage, path)
        }
        Ok(_) => storage.remove_file(path).map_err(|e| Error::io("remove", path, e)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("look at", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datastore::Options;
    use crate::hierarchy::{BackupGroup, Namespace};
    use crate::progress::Silent;

    fn store() -> (tempfile::TempDir, Arc<Datastore>) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("store");
        // Not all 65536 folders: they take seconds on a disk.
        std::fs::create_dir_all(base.join(".chunks/0000")).unwrap();
        std::fs::write(base.join(".chunks/0000/x"), "x").unwrap();
        std::fs::create_dir_all(base.join("host/a/2024-01-01T00:00:00Z")).unwrap();
        std::fs::create_dir_all(base.join("ns/b/vm/1")).unwrap();
        std::fs::write(base.join(".gc-status"), "{}").unwrap();
        let store = Datastore::open(&base, &Options::default()).unwrap();
        (dir, store)
    }

    #[test]
    fn everything_goes() {
        let (dir, store) = store();
        drop(store.locks().group(&Namespace::root(), &"vm/1".parse().unwrap()).unwrap());
        let names: Vec<_> = plan(&store)
            .unwrap()
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, ["ns", "host", ".gc-status", ".chunks", ".locks", ".lock"]);
        assert!(run(&store, &Silent).unwrap());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_not_the_stores_stays() {
        let (_dir, store) = store();
        let own = store.base().join("letter.txt");
        std::fs::write(&own, "dear").unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("keep"), "me").unwrap();
        std::os::unix::fs::symlink(outside.path(), store.base().join("host/link")).unwrap();
        assert!(!run(&store, &Silent).unwrap());
        assert_eq!(std::fs::read(&own).unwrap(), b"dear");
        assert_eq!(std::fs::read(outside.path().join("keep")).unwrap(), b"me");
        assert_eq!(plan(&store).unwrap(), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_store_in_use_stays_whole() {
        let (_dir, store) = store();
        let whole = plan(&store).unwrap();
        let refused = |what: &str| {
            let error = run(&store, &Silent).unwrap_err();
            assert!(error.is_retryable(), "{what}: {error}");
            assert!(whole.iter().all(|path| path.exists()), "{what}");
        };
        let root = Namespace::root();
        let group: BackupGroup = "host/a".parse().unwrap();
        let snapshot = "host/a/2024-01-01T00:00:00Z".parse().unwrap();
        let shared = store.process_lock().try_shared().unwrap();
        refused("writer");
        drop(shared);
        let reader = store.locks().snapshot(&root, &snapshot, crate::lock::Mode::Shared).unwrap();
        refused("reader");
        drop(reader);
        let manifest = store.locks().manifest(&root, &snapshot).unwrap();
        refused("manifest");
        drop(manifest);
        let owner = store.locks().group(&root, &group).unwrap();
        refused("group");
        drop(owner);
        assert!(run(&store, &Silent).unwrap());
    }
}
