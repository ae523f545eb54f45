//! Forgetting, notes, protection, owners and namespaces through the crate's public door: what is
//! used or protected stays, what goes never goes by halves, and nothing else is touched.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::lock::Mode;
use datastore::namespace::RemoveGroups;
use datastore::progress::{Progress, Silent};
use datastore::snapshot::reader::load_manifest;
use datastore::snapshot::remove::Obstacle;
use datastore::snapshot::{GroupFolder, GroupWriter, SnapshotWriter};
use datastore::storage::{
    Entry, FilesystemHandle, Meta, ReadAt, RealStorage, Storage, StorageDir, StorageFile,
};
use datastore::{
    BackupGroup, CryptConfig, CryptMode, DataBlob, Datastore, Digest, Error, Manifest, Namespace,
    SnapshotPath, SnapshotReader,
};

const OWNER: &str = "root@pam";
const OLD: &str = "host/elsa/2024-01-01T00:00:00Z";
const NEW: &str = "host/elsa/2024-01-02T00:00:00Z";
const NEWEST: &str = "host/elsa/2024-01-03T00:00:00Z";

/// A store with only those folders of chunks that the tests use: opening does not count them, and
/// making all takes longer than everything else here.
struct World {
    _dir: tempfile::TempDir,
    base: PathBuf,
    store: Arc<Datastore>,
}

fn options() -> Options {
    Options { sync_level: SyncLevel::None, lock_dir: None }
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = dir.path().join("store");
        fs::create_dir_all(base.join(".chunks")).unwrap();
        let store = Datastore::open(&base, &options()).unwrap();
        World { _dir: dir, base, store }
    }

    /// A world with finished snapshots in the root namespace.
    fn with(names: &[&str]) -> World {
        let world = World::new();
        for name in names {
            world.back_up("", name);
        }
        world
    }

    fn begin(&self, namespace: &str, name: &str) -> Result<SnapshotWriter, Error> {
        let path = snapshot(name);
        let group = GroupWriter::open(&self.store, &ns(namespace), path.group(), OWNER)?;
        SnapshotWriter::begin_backup(&group, path.time())
    }

    fn fill(&self, writer: &SnapshotWriter, key: Option<&CryptConfig>) -> Manifest {
        let content = writer.snapshot().to_string();
        let digest = key
            .map_or_else(|| Digest::of(content.as_bytes()), |key| key.digest(content.as_bytes()));
        fs::create_dir_all(self.base.join(".chunks").join(&digest.to_string()[..4])).unwrap();
        let blob = DataBlob::encode(content.as_bytes(), key, true).unwrap();
        writer.insert_chunk(&digest, &blob, content.len() as u64).unwrap();
        let mode = if key.is_some() { CryptMode::Encrypt } else { CryptMode::None };
        let entries = [(content.len() as u64, digest)];
        let mut manifest = Manifest::new(writer.snapshot());
        manifest.add(writer.add_dynamic_index("root.pxar.didx", &entries, mode).unwrap()).unwrap();
        let conf = DataBlob::encode(b"name: elsa\n", key, true).unwrap();
        manifest.add(writer.add_blob("elsa.conf.blob", &conf, mode).unwrap()).unwrap();
        manifest
    }

    fn back_up(&self, namespace: &str, name: &str) {
        let writer = self.begin(namespace, name).unwrap();
        let manifest = self.fill(&writer, None);
        writer.finish(manifest).unwrap();
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    fn forget(&self, name: &str) -> Result<GroupFolder, Error> {
        Ok(self.store.forget_snapshot(&root(), &snapshot(name))?.group)
    }

    fn finished(&self, group: &str) -> Vec<String> {
        let snapshots = self.store.snapshots(&root(), &self::group(group), &mut ()).unwrap();
        snapshots.iter().filter(|info| info.finished).map(|info| info.path.to_string()).collect()
    }

    /// Names of all lock files but that of the process lock.
    fn lock_files(&self) -> Vec<String> {
        let mut found = Vec::new();
        tree_below(&self.base.join(".locks"), &mut found);
        let names = found.iter().filter(|path| path.is_file());
        names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }

    /// Everything in the store with its content.
    fn everything(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = Vec::new();
        tree_below(&self.base, &mut found);
        found.into_iter().map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
    }
}

fn tree_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let entry = entry.unwrap();
        found.push(entry.path());
        if entry.file_type().unwrap().is_dir() {
            tree_below(&entry.path(), found);
        }
    }
    found.sort();
}

fn root() -> Namespace {
    Namespace::root()
}

fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

fn group(text: &str) -> BackupGroup {
    text.parse().unwrap()
}

fn snapshot(text: &str) -> SnapshotPath {
    text.parse().unwrap()
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

// ---- forgetting a snapshot

#[test]
fn forgetting_removes_the_snapshot_and_its_lock_files_and_nothing_else() {
    let world = World::with(&[OLD, NEW, "vm/100/2024-01-01T00:00:00Z"]);
    let chunks = world.everything().keys().filter(|p| p.starts_with(world.dir(".chunks"))).count();
    assert_eq!(world.forget(OLD).unwrap(), GroupFolder::HoldsSnapshots);
    assert_eq!(world.finished("host/elsa"), [NEW]);
    assert_eq!(world.finished("vm/100").len(), 1);
    assert_eq!(names_in(&world.dir("host/elsa")), ["2024-01-02T00:00:00Z", "owner"]);
    assert!(
        !world
            .lock_files()
            .iter()
            .any(|name| name.contains(r"2024\x2d01\x2d01T00") && name.starts_with("host"))
    );
    let after = world.everything().keys().filter(|p| p.starts_with(world.dir(".chunks"))).count();
    assert_eq!(after, chunks, "chunks are left to garbage collection");
    // Once more: it is not there, and asking leaves no lock file.
    assert!(world.forget(OLD).unwrap_err().is_missing());
    assert!(!world.lock_files().iter().any(|name| name.contains(r"host-elsa-2024\x2d01\x2d01")));
}

#[test]
fn the_last_snapshot_takes_its_group_with_it() {
    let world = World::with(&[OLD]);
    world.store.set_group_notes(&root(), &group("host/elsa"), "about elsa").unwrap();
    assert_eq!(world.forget(OLD).unwrap(), GroupFolder::Removed);
    assert!(!world.dir("host/elsa").exists());
    assert!(world.dir("host").exists(), "the folder of the type stays");
    assert_eq!(world.lock_files(), Vec::<String>::new());
    // And the group can begin anew, with another owner.
    let writer = GroupWriter::open(&world.store, &root(), &group("host/elsa"), "b@pbs").unwrap();
    assert_eq!(world.store.owner(&root(), writer.group()).unwrap(), "b@pbs");
}

#[test]
fn what_is_protected_is_never_removed() {
    let world = World::with(&[OLD, NEW]);
    let store = &world.store;
    assert!(!store.is_protected(&root(), &snapshot(OLD)).unwrap());
    store.set_protected(&root(), &snapshot(OLD), true).unwrap();
    store.set_protected(&root(), &snapshot(OLD), true).unwrap();
    assert!(store.is_protected(&root(), &snapshot(OLD)).unwrap());
    let marker = world.dir(OLD).join(".protected");
    assert_eq!(fs::read(&marker).unwrap(), b"");
    let before = world.everything();
    let error = world.forget(OLD).unwrap_err();
    assert!(matches!(error, Error::Protected { .. }), "{error}");
    for (path, content) in &before {
        assert_eq!(&fs::read(path).unwrap_or_default(), content, "{}", path.display());
    }
    let removal = store.forget_group(&root(), &group("host/elsa"), &Silent).unwrap();
    assert_eq!(removal.protected, [snapshot(OLD)]);
    assert_eq!(removal.removed, [snapshot(NEW)]);
    assert!(!removal.is_complete());
    assert_eq!(store.owner(&root(), &group("host/elsa")).unwrap(), OWNER);
    store.set_protected(&root(), &snapshot(OLD), false).unwrap();
    store.set_protected(&root(), &snapshot(OLD), false).unwrap();
    assert!(!marker.exists());
    assert_eq!(world.forget(OLD).unwrap(), GroupFolder::Removed);
    // A marker that is anything at all counts.
    world.back_up("", OLD);
    fs::create_dir(&marker).unwrap();
    assert!(matches!(world.forget(OLD), Err(Error::Protected { .. })));
    let nothing = snapshot("host/elsa/2030-01-01T00:00:00Z");
    assert!(store.is_protected(&root(), &nothing).unwrap_err().is_missing());
    assert!(store.set_protected(&root(), &nothing, true).unwrap_err().is_missing());
}

#[test]
fn what_is_in_use_is_not_removed_and_not_protected() {
    let world = World::with(&[OLD, NEW]);
    let before = names_in(&world.dir(OLD));
    let reader = SnapshotReader::open(&world.store, &root(), &snapshot(OLD)).unwrap();
    assert!(world.forget(OLD).unwrap_err().is_retryable());
    assert!(world.store.set_protected(&root(), &snapshot(OLD), true).unwrap_err().is_retryable());
    assert_eq!(names_in(&world.dir(OLD)), before);
    // Notes do not disturb a reader.
    world.store.set_notes(&root(), &snapshot(OLD), "being read").unwrap();
    drop(reader);
    // The base of a running backup, and the snapshot that it writes.
    let writer = world.begin("", NEWEST).unwrap();
    assert!(world.forget(NEW).unwrap_err().is_retryable());
    assert!(world.forget(NEWEST).unwrap_err().is_retryable());
    let elsa = group("host/elsa");
    assert!(world.store.set_owner(&root(), &elsa, "b@pbs").unwrap_err().is_retryable());
    assert!(world.store.set_group_notes(&root(), &elsa, "x").unwrap_err().is_retryable());
    assert!(world.store.forget_group(&root(), &elsa, &Silent).unwrap_err().is_retryable());
    let error = world.store.set_notes(&root(), &snapshot(NEWEST), "too early").unwrap_err();
    assert!(error.is_missing(), "{error}");
    assert!(!world.dir(NEWEST).join("index.json.blob").exists());
    // Others go as always.
    assert_eq!(world.forget(OLD).unwrap(), GroupFolder::HoldsSnapshots);
    drop(writer);
    assert_eq!(world.finished("host/elsa"), [NEW]);
}

#[test]
fn a_group_that_somebody_writes_to_stays() {
    let world = World::with(&[OLD]);
    let guard = world.store.locks().group(&root(), &group("host/elsa")).unwrap();
    assert_eq!(world.forget(OLD).unwrap(), GroupFolder::InUse);
    drop(guard);
    assert_eq!(names_in(&world.dir("host/elsa")), ["owner"]);
    let removal = world.store.forget_group(&root(), &group("host/elsa"), &Silent).unwrap();
    assert!(removal.is_complete() && removal.removed.is_empty());
    assert!(!world.dir("host/elsa").exists());
}

#[test]
fn removal_waits_for_a_change_of_the_manifest() {
    let world = World::with(&[OLD]);
    let guard = world.store.locks().manifest(&root(), &snapshot(OLD)).unwrap();
    let released = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(150));
            assert!(world.dir(OLD).join("index.json.blob").exists());
            released.store(true, Ordering::SeqCst);
            drop(guard);
        });
        assert_eq!(world.forget(OLD).unwrap(), GroupFolder::Removed);
        assert!(released.load(Ordering::SeqCst), "the removal did not wait");
    });
}

#[test]
fn unfinished_and_damaged_snapshots_can_be_forgotten() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("no manifest", |dir| fs::remove_file(dir.join("index.json.blob")).unwrap()),
        ("garbage", |dir| fs::write(dir.join("index.json.blob"), b"garbage").unwrap()),
        ("empty manifest", |dir| fs::write(dir.join("index.json.blob"), b"").unwrap()),
        ("a folder for a manifest", |dir| {
            fs::remove_file(dir.join("index.json.blob")).unwrap();
            fs::create_dir(dir.join("index.json.blob")).unwrap();
            fs::write(dir.join("index.json.blob/x"), b"x").unwrap();
        }),
        ("leftovers", |dir| fs::write(dir.join("root.pxar.tmp_didx"), b"x").unwrap()),
        ("nothing in it", |dir| {
            fs::remove_dir_all(dir).unwrap();
            fs::create_dir(dir).unwrap();
        }),
    ];
    let world = World::with(&[NEWEST]);
    for (what, damage) in damages {
        fs::remove_dir_all(world.dir("host/elsa")).unwrap();
        world.back_up("", OLD);
        world.back_up("", NEWEST);
        damage(&world.dir(OLD));
        assert_eq!(world.forget(OLD).unwrap(), GroupFolder::HoldsSnapshots, "{what}");
        assert!(!world.dir(OLD).exists(), "{what}");
    }
}

#[test]
fn links_are_removed_and_never_followed() {
    let world = World::with(&[OLD, NEW]);
    let outside = world.base.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), b"x").unwrap();
    symlink(&outside, world.dir(OLD).join("folder")).unwrap();
    symlink(outside.join("precious"), world.dir(OLD).join("file.blob")).unwrap();
    fs::create_dir_all(world.dir(OLD).join("deep/deeper")).unwrap();
    symlink(&outside, world.dir(OLD).join("deep/deeper/link")).unwrap();
    symlink(world.dir(NEW), world.dir(NEWEST)).unwrap();
    symlink(world.dir("host/elsa"), world.dir("host/anna")).unwrap();
    world.forget(OLD).unwrap();
    assert!(!world.dir(OLD).exists());
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"x");
    // What listings do not show cannot be named either.
    for name in [NEWEST, "host/anna/2024-01-02T00:00:00Z"] {
        assert!(world.forget(name).unwrap_err().is_missing(), "{name}");
        assert!(world.store.set_notes(&root(), &snapshot(name), "x").unwrap_err().is_missing());
    }
    assert!(world.store.set_owner(&root(), &group("host/anna"), "b@pbs").unwrap_err().is_missing());
    assert_eq!(world.finished("host/elsa"), [NEW]);
}

#[test]
fn a_name_that_is_not_text_stops_a_removal_before_it_begins() {
    let world = World::with(&[OLD, NEW]);
    let strange = OsStr::from_bytes(b"\xff\xfe");
    fs::create_dir(world.dir(OLD).join("inner")).unwrap();
    fs::write(world.dir(OLD).join("inner").join(strange), b"x").unwrap();
    let plan = world.store.plan_forget_snapshot(&root(), &snapshot(OLD)).unwrap();
    assert!(matches!(plan.obstacle, Some(Obstacle::Refused(_))));
    let error = world.forget(OLD).unwrap_err().to_string();
    assert!(error.contains("inner") && error.contains("not text"), "{error}");
    assert_eq!(world.finished("host/elsa"), [OLD, NEW], "nothing was removed");
    load_manifest(&world.store, &root(), &snapshot(OLD)).unwrap();
    fs::remove_dir_all(world.dir(OLD).join("inner")).unwrap();
    // In the group's folder it only keeps that.
    fs::write(world.dir("host/elsa").join(strange), b"x").unwrap();
    world.forget(OLD).unwrap();
    let GroupFolder::Stays { reason } = world.forget(NEW).unwrap() else { panic!() };
    assert!(reason.contains("not text"), "{reason}");
}

#[test]
fn foreign_files_keep_a_group_with_owner_and_notes() {
    let world = World::with(&[OLD, NEW]);
    let elsa = group("host/elsa");
    world.store.set_group_notes(&root(), &elsa, "about elsa").unwrap();
    fs::write(world.dir("host/elsa/README"), b"x").unwrap();
    fs::create_dir(world.dir("host/elsa/2024-02-30T00:00:00Z")).unwrap();
    // Leftovers of ours are not foreign.
    fs::write(world.dir("host/elsa/owner.tmp_abcdef"), b"x").unwrap();
    let plan = world.store.plan_forget_group(&root(), &elsa).unwrap();
    assert!(!plan.is_complete() && !plan.in_use);
    assert!(plan.snapshots.iter().all(|snapshot| snapshot.obstacle.is_none()));
    assert!(plan.foreign.unwrap().contains("README"));
    let removal = world.store.forget_group(&root(), &elsa, &Silent).unwrap();
    assert_eq!(removal.removed, [snapshot(OLD), snapshot(NEW)]);
    let GroupFolder::Stays { reason } = &removal.folder else { panic!("{removal:?}") };
    assert!(reason.contains("'README'") && reason.contains("2024-02-30"), "{reason}");
    assert_eq!(world.store.owner(&root(), &elsa).unwrap(), OWNER);
    assert_eq!(world.store.group_notes(&root(), &elsa).unwrap(), "about elsa");
    fs::remove_file(world.dir("host/elsa/README")).unwrap();
    fs::remove_dir(world.dir("host/elsa/2024-02-30T00:00:00Z")).unwrap();
    let removal = world.store.forget_group(&root(), &elsa, &Silent).unwrap();
    assert!(removal.is_complete(), "{removal:?}");
    assert!(!world.dir("host/elsa").exists());
}

// ---- the order of a removal, and what a failure leaves

/// The file system, with every change written down, and one that fails.
struct Recording {
    real: RealStorage,
    calls: Mutex<Vec<(&'static str, PathBuf)>>,
    count: AtomicUsize,
    fail_at: AtomicUsize,
}

impl Recording {
    fn step(&self, verb: &'static str, path: &Path) -> io::Result<()> {
        self.calls.lock().unwrap().push((verb, path.to_path_buf()));
        if self.count.fetch_add(1, Ordering::SeqCst) == self.fail_at.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }

    fn fail_at(&self, step: usize) {
        self.calls.lock().unwrap().clear();
        self.count.store(0, Ordering::SeqCst);
        self.fail_at.store(step, Ordering::SeqCst);
    }
}

impl Storage for Recording {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        self.real.read(path, limit)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        self.real.open(path)
    }
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn StorageFile>> {
        self.step("create", path)?;
        self.real.create_new(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step("rename", to)?;
        self.real.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step("remove", path)?;
        self.real.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step("rmdir", path)?;
        self.real.remove_dir(path)
    }
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step("mkdir", path)?;
        self.real.create_dir(path, mode)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.real.list(path)
    }
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn StorageDir>> {
        self.real.open_dir(path)
    }
    fn meta(&self, path: &Path) -> io::Result<Meta> {
        self.real.meta(path)
    }
    fn touch(&self, path: &Path) -> io::Result<()> {
        self.real.touch(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step("sync", path)?;
        self.real.sync_dir(path)
    }
    fn open_filesystem(&self, path: &Path) -> io::Result<Box<dyn FilesystemHandle>> {
        self.real.open_filesystem(path)
    }
    fn forget_cached(&self, path: &Path) -> io::Result<()> {
        self.real.forget_cached(path)
    }
}

fn recording(world: &World) -> (Arc<Recording>, Arc<Datastore>) {
    let storage = Arc::new(Recording {
        real: RealStorage::new(&world.base).unwrap(),
        calls: Mutex::default(),
        count: AtomicUsize::new(0),
        fail_at: AtomicUsize::new(usize::MAX),
    });
    let shared: Arc<dyn Storage> = Arc::clone(&storage) as Arc<dyn Storage>;
    let store = Datastore::open_on(&world.base, shared, &options()).unwrap();
    (storage, store)
}

#[test]
fn the_manifest_goes_first_and_durably() {
    let world = World::with(&[OLD]);
    let (storage, store) = recording(&world);
    let dir = world.dir(OLD).canonicalize().unwrap();
    for finished in [true, false] {
        if !finished {
            world.back_up("", OLD);
            fs::remove_file(dir.join("index.json.blob")).unwrap();
        }
        storage.fail_at(usize::MAX);
        store.forget_snapshot(&root(), &snapshot(OLD)).unwrap();
        let calls = storage.calls.lock().unwrap().clone();
        assert_eq!(calls[0], ("remove", dir.join("index.json.blob")));
        // Even if it is gone already: who removed it may have died before he synced.
        assert_eq!(calls[1], ("sync", dir.clone()));
        let removed: Vec<_> = calls[2..].iter().map(|(verb, _)| *verb).collect();
        assert_eq!(removed, ["remove", "remove", "rmdir", "remove", "remove", "rmdir"]);
        let group = dir.parent().unwrap();
        assert_eq!(calls[4].1, dir);
        assert_eq!(calls[5].1, group.join("notes"));
        assert_eq!(calls[6].1, group.join("owner"));
        assert_eq!(calls[7].1, group);
    }
}

/// Every step of a removal fails once. Whatever is left: a manifest has all its files, a group that
/// stays has its owner or holds nothing, and the next removal ends it.
#[test]
fn a_removal_that_fails_anywhere_leaves_no_half_snapshot() {
    let world = World::new();
    let (storage, store) = recording(&world);
    let mut failures = 0;
    for step in 0.. {
        world.back_up("", OLD);
        store.set_group_notes(&root(), &group("host/elsa"), "about elsa").unwrap();
        storage.fail_at(step);
        let result = store.forget_snapshot(&root(), &snapshot(OLD));
        let hit = storage.count.load(Ordering::SeqCst) > step;
        storage.fail_at(usize::MAX);
        if !hit {
            result.unwrap();
            break;
        }
        failures += 1;
        let dir = world.dir(OLD);
        if dir.join("index.json.blob").exists() {
            assert!(dir.join("root.pxar.didx").exists(), "step {step}");
            assert!(dir.join("elsa.conf.blob").exists(), "step {step}");
        }
        if dir.exists() {
            result.unwrap_err();
            assert_eq!(store.owner(&root(), &group("host/elsa")).unwrap(), OWNER);
            assert_eq!(
                store.forget_snapshot(&root(), &snapshot(OLD)).unwrap().group,
                GroupFolder::Removed
            );
        } else {
            // The snapshot went; only its group could not.
            assert!(matches!(result.unwrap().group, GroupFolder::Stays { .. }), "step {step}");
            assert_eq!(store.owner(&root(), &group("host/elsa")).unwrap(), OWNER, "step {step}");
            store.forget_group(&root(), &group("host/elsa"), &Silent).unwrap();
        }
        assert!(!world.dir("host/elsa").exists(), "step {step}");
    }
    assert!(failures >= 8, "{failures} steps were tried");
}

/// A change of a manifest that fails at any step leaves the old one or the new one.
#[test]
fn an_update_that_fails_anywhere_leaves_a_whole_manifest() {
    let world = World::with(&[OLD]);
    let (storage, store) = recording(&world);
    let mut failures = 0;
    for step in 0.. {
        let notes = format!("notes {step}");
        let before = store.notes(&root(), &snapshot(OLD)).unwrap();
        storage.fail_at(step);
        let result = store.set_notes(&root(), &snapshot(OLD), &notes);
        storage.fail_at(usize::MAX);
        let after = store.notes(&root(), &snapshot(OLD)).unwrap();
        assert!(after == before || after == notes, "step {step}: {after:?}");
        if result.is_ok() {
            assert_eq!(after, notes);
            break;
        }
        failures += 1;
    }
    // The file, the rename, the folder's sync.
    assert_eq!(failures, 3);
    assert_eq!(names_in(&world.dir(OLD)), ["elsa.conf.blob", "index.json.blob", "root.pxar.didx"]);
}

// ---- the manifest

fn signing_key() -> CryptConfig {
    CryptConfig::new([7; 32]).unwrap()
}

#[test]
fn notes_are_changed_and_the_signature_stays_valid() {
    let world = World::new();
    let key = signing_key();
    let writer = world.begin("", OLD).unwrap();
    let mut manifest = world.fill(&writer, Some(&key));
    manifest.sign(&key).unwrap();
    writer.finish(manifest).unwrap();
    drop(writer);
    let store = &world.store;
    assert_eq!(store.notes(&root(), &snapshot(OLD)).unwrap(), "");
    let text = "First line of notes\nsecond line, ünïcödé";
    store.set_notes(&root(), &snapshot(OLD), text).unwrap();
    assert_eq!(store.notes(&root(), &snapshot(OLD)).unwrap(), text);
    let reader = SnapshotReader::open(store, &root(), &snapshot(OLD)).unwrap();
    reader.check_key(&key).unwrap();
    assert!(reader.manifest().signature().is_some());
    drop(reader);
    store.set_notes(&root(), &snapshot(OLD), "").unwrap();
    let manifest = load_manifest(store, &root(), &snapshot(OLD)).unwrap();
    assert!(!manifest.unprotected.contains_key("notes"));
    assert!(manifest.unprotected.contains_key("chunk_upload_stats"), "the rest stays");
}

#[test]
fn an_update_keeps_what_it_does_not_know_and_refuses_what_is_signed() {
    let world = World::with(&[OLD]);
    let store = &world.store;
    let path = world.dir(OLD).join("index.json.blob");
    let json = r#"{"zzz":{"b":1,"a":[1.5,null]},"backup-id":"elsa","backup-time":1704067200,
        "backup-type":"host","files":[{"filename":"x.blob","size":1,"future":true,
        "csum":"0202020202020202020202020202020202020202020202020202020202020202"}],
        "signature":null,"unprotected":{"other":[1,2],"notes":"old"}}"#;
    fs::write(&path, DataBlob::encode(json.as_bytes(), None, true).unwrap().as_bytes()).unwrap();
    store.set_notes(&root(), &snapshot(OLD), "new").unwrap();
    let blob = DataBlob::from_bytes(fs::read(&path).unwrap(), &"x").unwrap();
    let text = blob.decode(None, 1 << 20, &"x").unwrap();
    let mut value: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(value["unprotected"]["notes"], "new");
    value["unprotected"]["notes"] = "old".into();
    assert_eq!(value, serde_json::from_str::<serde_json::Value>(json).unwrap());
    // Nothing changed, nothing written.
    let before = fs::metadata(&path).unwrap();
    store.set_notes(&root(), &snapshot(OLD), "new").unwrap();
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
    // A file more is a change of what is signed.
    let bytes = fs::read(&path).unwrap();
    let refused = store.update_manifest(&root(), &snapshot(OLD), &mut |manifest| {
        let mut file = manifest.files()[0].clone();
        file.filename = "y.blob".into();
        manifest.add(file)
    });
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // An error of the change itself changes nothing.
    let failed = store.update_manifest(&root(), &snapshot(OLD), &mut |manifest| {
        manifest.unprotected.clear();
        Err(Error::Aborted)
    });
    assert!(matches!(failed, Err(Error::Aborted)));
    assert_eq!(fs::read(&path).unwrap(), bytes);
    // More than a manifest may hold.
    let much = "x".repeat(17 << 20);
    assert!(matches!(store.set_notes(&root(), &snapshot(OLD), &much), Err(Error::Refused { .. })));
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn changes_at_the_same_time_are_all_in_the_result() {
    let world = World::with(&[OLD]);
    std::thread::scope(|scope| {
        for name in ["one", "two", "three"] {
            let store = &world.store;
            scope.spawn(move || {
                for _ in 0..20 {
                    let mut add = |manifest: &mut Manifest| {
                        let count = manifest.unprotected.get(name).and_then(|v| v.as_u64());
                        manifest.unprotected.insert(name.into(), (count.unwrap_or(0) + 1).into());
                        Ok(())
                    };
                    store.update_manifest(&root(), &snapshot(OLD), &mut add).unwrap();
                }
            });
        }
    });
    let manifest = load_manifest(&world.store, &root(), &snapshot(OLD)).unwrap();
    for name in ["one", "two", "three"] {
        assert_eq!(manifest.unprotected[name], 20, "{name}");
    }
}

#[test]
fn an_update_does_not_bring_a_removed_snapshot_back() {
    let world = World::with(&[OLD, NEW]);
    let dir = world.dir(OLD);
    // By a program that takes no lock.
    let result = world.store.update_manifest(&root(), &snapshot(OLD), &mut |manifest| {
        fs::remove_dir_all(&dir).unwrap();
        manifest.unprotected.insert("notes".into(), "x".into());
        Ok(())
    });
    assert!(result.unwrap_err().is_missing());
    assert!(!dir.exists());
    // By one that does: the change waits, and then finds nothing.
    let guard = world.store.locks().manifest(&root(), &snapshot(NEW)).unwrap();
    std::thread::scope(|scope| {
        let change = scope.spawn(|| world.store.set_notes(&root(), &snapshot(NEW), "x"));
        std::thread::sleep(Duration::from_millis(100));
        fs::remove_dir_all(world.dir(NEW)).unwrap();
        guard.remove();
        assert!(change.join().unwrap().unwrap_err().is_missing());
    });
    assert!(!world.dir(NEW).exists());
    let of_new = |name: &String| name.contains(r"2024\x2d01\x2d02") && name.ends_with(".lck");
    assert!(!world.lock_files().iter().any(of_new), "no lock file is left");
}

#[test]
fn garbage_is_not_updated() {
    let world = World::with(&[OLD]);
    let path = world.dir(OLD).join("index.json.blob");
    fs::write(&path, b"garbage").unwrap();
    let error = world.store.set_notes(&root(), &snapshot(OLD), "x").unwrap_err();
    assert!(error.is_damaged(), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"garbage");
}

// ---- groups

#[test]
fn group_notes_are_set_and_cleared() {
    let world = World::with(&[OLD]);
    let (store, elsa) = (&world.store, group("host/elsa"));
    assert_eq!(store.group_notes(&root(), &elsa).unwrap(), "");
    store.set_group_notes(&root(), &elsa, "group notes\nmore").unwrap();
    assert_eq!(fs::read(world.dir("host/elsa/notes")).unwrap(), b"group notes\nmore");
    assert_eq!(store.group_notes(&root(), &elsa).unwrap(), "group notes\nmore");
    store.set_group_notes(&root(), &elsa, "").unwrap();
    store.set_group_notes(&root(), &elsa, "").unwrap();
    assert!(!world.dir("host/elsa/notes").exists());
    assert!(store.set_group_notes(&root(), &elsa, &"x".repeat(2 << 20)).is_err());
    fs::write(world.dir("host/elsa/notes"), b"\xff").unwrap();
    assert!(store.group_notes(&root(), &elsa).unwrap_err().is_damaged());
    let anna = group("host/anna");
    assert!(store.group_notes(&root(), &anna).unwrap_err().is_missing());
    assert!(store.set_group_notes(&root(), &anna, "x").unwrap_err().is_missing());
    assert!(!world.dir("host/anna").exists());
    assert!(!world.lock_files().iter().any(|name| name.contains("anna")));
}

#[test]
fn an_owner_can_be_read_at_every_moment_of_a_change() {
    let world = World::with(&[OLD]);
    let (store, elsa) = (&world.store, group("host/elsa"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::SeqCst) || reads == 0 {
                let owner = store.owner(&root(), &elsa).unwrap();
                assert!(["root@pam", "b@pbs!token"].contains(&owner.as_str()), "{owner}");
                reads += 1;
            }
        });
        for turn in 0..100 {
            let owner = if turn % 2 == 0 { "b@pbs!token" } else { "root@pam" };
            store.set_owner(&root(), &elsa, owner).unwrap();
        }
        done.store(true, Ordering::SeqCst);
        reader.join().unwrap();
    });
    store.set_owner(&root(), &elsa, "b@pbs!token").unwrap();
    assert_eq!(fs::read(world.dir("host/elsa/owner")).unwrap(), b"b@pbs!token\n");
    for bad in ["", "root", "a b@pam", "a@", "a@pam!", "a@pam\n"] {
        assert!(store.set_owner(&root(), &elsa, bad).is_err(), "{bad:?}");
    }
    // A group without owner gets one.
    fs::remove_file(world.dir("host/elsa/owner")).unwrap();
    assert!(world.begin("", NEW).is_err());
    store.set_owner(&root(), &elsa, OWNER).unwrap();
    drop(world.begin("", NEW).unwrap());
}

struct AbortAfter(AtomicUsize);

impl Progress for AbortAfter {
    fn is_aborted(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
    fn note(&self, _text: &str) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn a_group_goes_but_for_what_is_in_use() {
    let world = World::with(&[OLD, NEW, NEWEST]);
    let elsa = group("host/elsa");
    let reader = SnapshotReader::open(&world.store, &root(), &snapshot(NEW)).unwrap();
    let before = world.everything();
    let plan = world.store.plan_forget_group(&root(), &elsa).unwrap();
    assert_eq!(world.everything(), before, "a plan changes nothing");
    let obstacles: Vec<_> = plan.snapshots.iter().map(|s| s.obstacle.clone()).collect();
    assert_eq!(obstacles, [None, Some(Obstacle::InUse), None]);
    let aborted = world.store.forget_group(&root(), &elsa, &AbortAfter(AtomicUsize::new(1)));
    assert!(matches!(aborted, Err(Error::Aborted)));
    assert_eq!(world.finished("host/elsa"), [NEW, NEWEST]);
    let removal = world.store.forget_group(&root(), &elsa, &Silent).unwrap();
    assert_eq!(removal.removed, [snapshot(NEWEST)]);
    assert_eq!(removal.failed[0].0, snapshot(NEW));
    assert!(removal.failed[0].1.is_retryable());
    assert_eq!(removal.folder, GroupFolder::HoldsSnapshots);
    drop(reader);
    let removal = world.store.forget_group(&root(), &elsa, &Silent).unwrap();
    assert!(removal.is_complete());
    assert!(world.store.forget_group(&root(), &elsa, &Silent).unwrap_err().is_missing());
    assert_eq!(world.lock_files(), Vec::<String>::new());
}

#[test]
fn a_plan_sees_locks_and_takes_none() {
    let world = World::with(&[OLD]);
    let elsa = group("host/elsa");
    let plan = world.store.plan_forget_group(&root(), &elsa).unwrap();
    assert!(plan.is_complete());
    let _exclusive =
        world.store.locks().snapshot(&root(), &snapshot(OLD), Mode::Exclusive).unwrap();
    let _group = world.store.locks().group(&root(), &elsa).unwrap();
    let plan = world.store.plan_forget_group(&root(), &elsa).unwrap();
    assert!(plan.in_use && !plan.is_complete());
    assert_eq!(plan.snapshots[0].obstacle, Some(Obstacle::InUse));
    let missing = world.store.plan_forget_group(&root(), &group("vm/1"));
    assert!(missing.unwrap_err().is_missing());
}

// ---- namespaces

fn world_of_namespaces() -> World {
    let world = World::new();
    for name in ["a/b/c", "a/d", "e"] {
        world.store.create_namespace(&ns(name), true).unwrap();
    }
    world.back_up("a/b", OLD);
    world.back_up("a/b/c", OLD);
    world.back_up("a/b/c", NEW);
    world.back_up("e", OLD);
    world
}

fn texts(namespaces: &[Namespace]) -> Vec<String> {
    namespaces.iter().map(ToString::to_string).collect()
}

#[test]
fn namespaces_go_deepest_first_with_their_groups() {
    let world = world_of_namespaces();
    let before = world.everything();
    let plan = world.store.plan_remove_namespace(&ns("a")).unwrap();
    assert_eq!(world.everything(), before, "a plan changes nothing");
    let planned: Vec<_> = plan.iter().map(|p| p.namespace.to_string()).collect();
    let removal = world.store.remove_namespace(&ns("a"), RemoveGroups::Yes, &Silent).unwrap();
    assert!(removal.is_complete(), "{removal:?}");
    assert_eq!(texts(&removal.removed), ["a/d", "a/b/c", "a/b", "a"]);
    assert_eq!(texts(&removal.removed), planned);
    assert_eq!(removal.groups.iter().map(|(_, group)| group.removed.len()).sum::<usize>(), 3);
    assert!(!world.dir("ns/a").exists());
    assert!(world.dir("ns/e/host/elsa").exists());
    assert!(matches!(
        world.store.remove_namespace(&root(), RemoveGroups::Yes, &Silent),
        Err(Error::Refused { .. })
    ));
    let missing = world.store.remove_namespace(&ns("a"), RemoveGroups::Yes, &Silent);
    assert!(missing.unwrap_err().is_missing());
}

#[test]
fn without_their_groups_only_empty_namespaces_go() {
    let world = world_of_namespaces();
    let removal = world.store.remove_namespace(&ns("a"), RemoveGroups::No, &Silent).unwrap();
    assert_eq!(texts(&removal.removed), ["a/d"]);
    let kept: Vec<_> = removal.kept.iter().map(|(ns, _)| ns.to_string()).collect();
    assert_eq!(kept, ["a/b/c", "a/b", "a"]);
    assert!(removal.kept[0].1.contains("1 backup group"), "{:?}", removal.kept);
    assert_eq!(world.store.groups(&ns("a/b/c")).unwrap().len(), 1);
    load_manifest(&world.store, &ns("a/b/c"), &snapshot(OLD)).unwrap();
}

#[test]
fn what_is_protected_or_foreign_keeps_its_namespace() {
    let world = world_of_namespaces();
    world.store.set_protected(&ns("a/b/c"), &snapshot(OLD), true).unwrap();
    fs::write(world.dir("ns/a/ns/d/README"), b"x").unwrap();
    let plan = world.store.plan_remove_namespace(&ns("a")).unwrap();
    let of = |name: &str| plan.iter().find(|p| p.namespace == ns(name)).unwrap();
    assert_eq!(of("a/d").foreign, ["README"]);
    assert_eq!(of("a/b/c").groups[0].snapshots[0].obstacle, Some(Obstacle::Protected));
    let removal = world.store.remove_namespace(&ns("a"), RemoveGroups::Yes, &Silent).unwrap();
    assert!(!removal.is_complete() && removal.removed.is_empty());
    let why = |name: &str| &removal.kept.iter().find(|(kept, _)| *kept == ns(name)).unwrap().1;
    assert!(why("a/d").contains("README"), "{}", why("a/d"));
    assert!(why("a/b/c").contains("1 backup group"), "{}", why("a/b/c"));
    assert!(why("a").contains("namespaces"), "{}", why("a"));
    load_manifest(&world.store, &ns("a/b/c"), &snapshot(OLD)).unwrap();
    assert!(!world.dir("ns/a/ns/b/ns/c").join(NEW).exists());
    assert!(!world.dir("ns/a/ns/b").join(OLD).exists());
    // A folder whose name is no namespace's, a link and a file in `ns` keep it too.
    for (name, make) in [
        ("bad name", (|path| fs::create_dir(path).unwrap()) as fn(&Path)),
        ("link", |path| symlink("/", path).unwrap()),
        ("file", |path| fs::write(path, b"x").unwrap()),
    ] {
        let path = world.dir("ns/e/ns").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make(&path);
        let plan = world.store.plan_remove_namespace(&ns("e")).unwrap();
        assert_eq!(plan[0].foreign, [format!("ns/{name}")]);
        let removal = world.store.remove_namespace(&ns("e"), RemoveGroups::Yes, &Silent).unwrap();
        assert!(removal.kept[0].1.contains(name), "{:?}", removal.kept);
        fs::remove_dir(&path).or_else(|_| fs::remove_file(&path)).unwrap();
    }
    let removal = world.store.remove_namespace(&ns("e"), RemoveGroups::Yes, &Silent).unwrap();
    assert!(removal.is_complete());
}
