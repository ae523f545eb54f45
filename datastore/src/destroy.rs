//! Destroying a datastore with all it holds.
//!
//! Nobody can undo this, so it is done only while nobody uses the store: the process lock is held
//! exclusively, this process writes nothing, and no group or snapshot is locked. The caller has seen
//! to it that nobody begins to use it meanwhile.
//!
//! The order is the reference's: first what refers to chunks, then the chunks, then the lock. But before
//! all that the manifests go, and the file system is synced, because the files of a folder go in
//! any order: a crash, an abort or a disk that fails on the way leaves a store in which every snapshot
//! that is still there is whole, or one without snapshots; beginning anew goes on with it. Only what belongs to a datastore is removed, so that
//! whatever else lies in its folder stays, and the folder with it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::datastore::Datastore;
use crate::error::{Error, Result};
use crate::hierarchy::MANIFEST_NAME;
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
        remove_manifests(storage, &tree(name), progress)?;
    }
    storage.sync_filesystem(base).map_err(|e| Error::io("sync", base, e))?;
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

/// Makes every snapshot below a folder an unfinished one. Fails before it changes a folder that holds a
/// name which could not be removed later.
fn remove_manifests(storage: &dyn Storage, dir: &Path, progress: &dyn Progress) -> Result<()> {
    if progress.is_aborted() {
        return Err(Error::Aborted);
    }
    match storage.meta(dir) {
        Ok(meta) if meta.kind == Kind::Dir => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("look at", dir, error)),
    }
    let entries = storage.list(dir).map_err(|e| Error::io("list", dir, e))?;
    if entries.iter().any(|entry| entry.name.is_none()) {
        let reason = format!("{} holds a name that is not text; remove it by hand", dir.display());
        return Err(Error::Refused { reason });
    }
    for entry in entries {
        let path = dir.join(entry.name.unwrap_or_default());
        if entry.kind == Kind::Dir {
            remove_manifests(storage, &path, progress)?;
        } else if path.file_name().is_some_and(|name| name == MANIFEST_NAME) {
            storage.remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
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

    /// Whatever stops it: a snapshot that still has its manifest has all its files.
    #[test]
    fn no_snapshot_is_left_in_part() {
        use crate::testing::{CallKind, CrashFs, Fault, FaultAt};
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().canonicalize().unwrap();
        for stuck in ["a.pxar.didx", MANIFEST_NAME, "z.pxar.didx"] {
            let fs = CrashFs::new(&base);
            let storage = fs.storage();
            let make_dir = |path: &str| storage.create_dir(&base.join(path), 0o755).unwrap();
            let snapshots = ["host/a/2024-01-01T00:00:00Z", "host/a/2024-01-02T00:00:00Z"];
            for path in [".chunks", "host", "host/a"].into_iter().chain(snapshots) {
                make_dir(path);
            }
            let files = ["a.pxar.didx", MANIFEST_NAME, "z.pxar.didx"];
            for snapshot in snapshots {
                for name in files {
                    drop(storage.create_new(&base.join(snapshot).join(name), 0o644).unwrap());
                }
            }
            let store = Datastore::open_on(&base, fs.storage(), &Options::default()).unwrap();
            let at = FaultAt::Path(CallKind::RemoveFile, format!("{}/{stuck}", snapshots[1]));
            fs.inject(Fault { at, errno: libc::EIO, short: false });
            assert!(run(&store, &Silent).is_err(), "{stuck}");
            for snapshot in snapshots {
                let there = |name| storage.meta(&base.join(snapshot).join(name)).is_ok();
                assert!(
                    !there(MANIFEST_NAME) || files.into_iter().all(there),
                    "{stuck} {snapshot}"
                );
            }
            assert!(storage.meta(&base.join(".chunks")).is_ok());
        }
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
