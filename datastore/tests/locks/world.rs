//! A store small enough to be made for every single case.
//!
//! A whole store has 65,536 folders of chunks. This one has those that its known contents need, and
//! no other: whatever would be stored beside them fails, loudly.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::lock::Mode;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::storage::RealStorage;
use datastore::testing::StopStorage;
use datastore::{
    BackupGroup, CryptMode, DataBlob, Datastore, Digest, Error, Manifest, Namespace, SnapshotPath,
    SnapshotReader,
};
use tempfile::TempDir;

use crate::acts;

/// Who owns all groups.
pub const OWNER: &str = "root@pam";
/// The snapshots that a new world has.
pub const SNAPSHOTS: [&str; 4] = ["a1", "a2", "a3", "b1"];
/// Every snapshot that a test may make.
const NAMES: [&str; 12] = ["a1", "a2", "a3", "a4", "a5", "a6", "b1", "b2", "b3", "c1", "d1", "e1"];
/// Content that every snapshot has.
pub const SHARED: &str = "shared";
/// Content that no snapshot has at first, and every new backup.
pub const REVIVED: &str = "revived";
/// Content that no snapshot ever has.
pub const DEAD: &str = "dead";
/// Old enough to be removed by a collector.
pub const OLD: Duration = Duration::from_secs(3 * 24 * 3600);

/// Folder and storage of one case.
pub struct World {
    _dir: TempDir,
    base: PathBuf,
    /// Stops of the handle that this process uses.
    pub stops: Arc<StopStorage>,
    /// The handle that this process uses.
    pub store: Arc<Datastore>,
}

/// What must be true of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub notes: String,
    pub verified: bool,
}

/// Paths in a store with mode and content.
pub type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// What must be true of a store: its snapshots.
pub type Model = BTreeMap<String, Snapshot>;

/// The snapshots that a new world has.
pub fn new_model() -> Model {
    SNAPSHOTS.iter().map(|name| ((*name).to_owned(), Snapshot::default())).collect()
}

/// The snapshot that a short name stands for: the letter is the group, the digit the day.
pub fn path(name: &str) -> SnapshotPath {
    let (group, day) = name.split_at(1);
    format!("host/{group}/2024-01-0{day}T00:00:00Z").parse().unwrap()
}

/// The group of a short name.
pub fn group(name: &str) -> BackupGroup {
    path(name).group().clone()
}

fn short(path: &SnapshotPath) -> String {
    let text = path.to_string();
    let (group, time) = text.strip_prefix("host/").unwrap().split_once('/').unwrap();
    format!("{group}{}", &time[9..10])
}

/// The contents of the archive of a snapshot.
pub fn contents(name: &str) -> Vec<String> {
    let mut contents = vec![SHARED.to_owned(), name.to_owned()];
    if !SNAPSHOTS.contains(&name) {
        contents.push(REVIVED.to_owned());
    }
    contents
}

/// The content of the image of a snapshot.
pub fn image(name: &str) -> String {
    format!("image of {name}")
}

/// The folder of chunks in which a content lies.
pub fn chunk_folder(content: &str) -> String {
    format!("{:04x}", Digest::of(content.as_bytes()).prefix())
}

/// Opens a store with stops in its storage.
pub fn open(base: &Path) -> (Arc<StopStorage>, Arc<Datastore>) {
    let stops = StopStorage::new(Arc::new(RealStorage::new(base).unwrap()));
    let store = Datastore::open_on(base, Arc::clone(&stops) as _, &Options::default()).unwrap();
    (stops, store)
}

impl World {
    /// A store with [`SNAPSHOTS`], whose chunks are all [`OLD`].
    pub fn new() -> World {
        let memory = Path::new("/dev/shm");
        let dir = tempfile::Builder::new().prefix("capstan-locks-").tempdir_in(memory);
        let dir = dir.or_else(|_| tempfile::tempdir()).unwrap();
        let base = dir.path().join("store");
        fs::create_dir(&base).unwrap();
        let chunks = base.join(".chunks");
        fs::create_dir(&chunks).unwrap();
        fs::set_permissions(&chunks, fs::Permissions::from_mode(0o750)).unwrap();
        let mut known: Vec<String> = [SHARED, REVIVED, DEAD].map(str::to_owned).into();
        for name in NAMES {
            known.extend([name.to_owned(), image(name)]);
        }
        let mut folders: Vec<String> = known.iter().map(|content| chunk_folder(content)).collect();
        // The chunk with which a collector tries whether times of access work.
        folders.push(format!("{:04x}", Digest::of(&vec![0; 4 << 20]).prefix()));
        folders.sort();
        folders.dedup();
        for folder in folders {
            fs::create_dir(chunks.join(folder)).unwrap();
        }
        let (stops, store) = open(&base);
        let world = World { _dir: dir, base, stops, store };
        for name in SNAPSHOTS {
            back_up(&world.store, name, &mut || {}).unwrap();
        }
        // Durable one by one: no mark stays of a writer that never synced.
        let options = Options { sync_level: SyncLevel::File, ..Options::default() };
        let durable = Datastore::open(&world.base, &options).unwrap();
        for content in [REVIVED, DEAD] {
            let blob = DataBlob::encode(content.as_bytes(), None, true).unwrap();
            durable.chunks().insert(&Digest::of(content.as_bytes()), &blob).unwrap();
        }
        world.age_chunks(OLD);
        world
    }

    /// The store's folder.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Another handle of this process, without stops.
    pub fn fresh(&self) -> Arc<Datastore> {
        Datastore::open(&self.base, &Options::default()).unwrap()
    }

    /// The folder of a snapshot.
    pub fn dir(&self, name: &str) -> PathBuf {
        self.store.snapshot_dir(&Namespace::root(), &path(name))
    }

    /// The file of a chunk.
    pub fn chunk(&self, content: &str) -> PathBuf {
        self.store.chunks().path(&Digest::of(content.as_bytes()))
    }

    /// Sets the time of last access of a chunk.
    pub fn age_chunk(&self, content: &str, age: Duration) {
        set_age(&self.chunk(content), age);
    }

    /// Sets the time of last access of all chunks.
    pub fn age_chunks(&self, age: Duration) {
        for folder in fs::read_dir(self.base.join(".chunks")).unwrap() {
            for file in fs::read_dir(folder.unwrap().path()).unwrap() {
                set_age(&file.unwrap().path(), age);
            }
        }
    }

    /// Everything in the store but the lock files and times: names, kinds, modes, contents.
    pub fn tree(&self) -> Tree {
        let mut tree = BTreeMap::new();
        add_tree(&self.base, &self.base, &mut tree);
        tree
    }

    /// Fails unless the tree is as it was.
    #[track_caller]
    pub fn assert_unchanged(&self, before: &Tree, why: &str) {
        let after = self.tree();
        for path in before.keys().chain(after.keys()) {
            assert!(before.get(path) == after.get(path), "{why}: {} changed", path.display());
        }
    }

    /// Fails unless the store is as the model says: these snapshots, whole, with these notes; no
    /// leftovers; no lock held; and a collection that finds every chunk old removes nothing of it.
    #[track_caller]
    pub fn check(&self, model: &Model) {
        self.check_snapshots(model);
        for path in self.tree().keys() {
            let text = path.to_str().unwrap();
            assert!(!text.contains(".tmp"), "a leftover: {text}");
        }
        self.check_nothing_is_locked();
        self.age_chunks(OLD);
        acts::collect(&self.store).unwrap();
        assert!(!self.chunk(DEAD).exists(), "the collection did nothing");
        self.check_snapshots(model);
    }

    #[track_caller]
    fn check_snapshots(&self, model: &Model) {
        let store = self.fresh();
        let root = Namespace::root();
        let mut found = Model::new();
        for group in store.groups(&root).unwrap() {
            assert_eq!(store.owner(&root, &group).unwrap(), OWNER);
            for info in store.snapshots(&root, &group, &mut ()).unwrap() {
                let name = short(&info.path);
                assert!(info.finished, "{name} is not finished");
                let manifest = restore(&store, &name).unwrap_or_else(|error| {
                    panic!("{name} cannot be restored: {error}");
                });
                let notes = manifest.notes().unwrap_or_default().to_owned();
                let verified = manifest.verify_state().is_some();
                found.insert(name, Snapshot { notes, verified });
            }
        }
        assert_eq!(&found, model);
    }

    #[track_caller]
    fn check_nothing_is_locked(&self) {
        let store = self.fresh();
        let root = Namespace::root();
        drop(store.process_lock().try_exclusive().unwrap());
        assert_eq!(store.process_lock().oldest_shared(), None);
        for name in NAMES {
            let path = path(name);
            drop(store.locks().group(&root, path.group()).unwrap());
            drop(store.locks().snapshot(&root, &path, Mode::Exclusive).unwrap());
            drop(store.locks().manifest(&root, &path).unwrap());
        }
    }
}

fn set_age(path: &Path, age: Duration) {
    let times = fs::FileTimes::new().set_accessed(SystemTime::now() - age);
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

fn add_tree(base: &Path, dir: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with(".locks") {
            continue;
        }
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_dir() {
            add_tree(base, &path, tree);
            Vec::new()
        } else {
            let atime = meta.accessed().unwrap();
            let content = fs::read(&path).unwrap();
            // Looking must not make a chunk young.
            let times = fs::FileTimes::new().set_accessed(atime);
            fs::File::open(&path).unwrap().set_times(times).unwrap();
            content
        };
        tree.insert(path.strip_prefix(base).unwrap().into(), (meta.mode(), content));
    }
}

/// Makes a snapshot; `pause` is called when it has begun and after each chunk.
pub fn back_up(
    store: &Arc<Datastore>,
    name: &str,
    pause: &mut dyn FnMut(),
) -> Result<Manifest, Error> {
    let path = path(name);
    let group = GroupWriter::open(store, &Namespace::root(), path.group(), OWNER)?;
    let writer = SnapshotWriter::begin_backup(&group, path.time())?;
    pause();
    let insert = |content: &str| {
        let digest = Digest::of(content.as_bytes());
        let blob = DataBlob::encode(content.as_bytes(), None, true)?;
        writer.insert_chunk(&digest, &blob, content.len() as u64)?;
        Ok::<_, Error>((content.len() as u64, digest))
    };
    let mut entries = Vec::new();
    for content in contents(name) {
        entries.push(insert(&content)?);
        pause();
    }
    let (size, digest) = insert(&image(name))?;
    let mode = CryptMode::None;
    let mut manifest = Manifest::new(&path);
    manifest.add(writer.add_dynamic_index("data.didx", &entries, mode)?)?;
    manifest.add(writer.add_fixed_index("disk.fidx", size, vec![digest], mode)?)?;
    let conf = DataBlob::encode(name.as_bytes(), None, true)?;
    manifest.add(writer.add_blob("name.blob", &conf, mode)?)?;
    writer.finish(manifest)
}

/// Reads a snapshot whole, under its lock, and holds it against what it must hold.
pub fn restore(store: &Arc<Datastore>, name: &str) -> Result<Manifest, Error> {
    let reader = SnapshotReader::open(store, &Namespace::root(), &path(name))?;
    read_all(&reader, name)
}

/// Reads an open snapshot whole.
pub fn read_all(reader: &SnapshotReader, name: &str) -> Result<Manifest, Error> {
    let store = reader.store();
    assert_eq!(reader.blob_content("name.blob", None)?, name.as_bytes());
    for (file, contents) in [("data.didx", contents(name)), ("disk.fidx", vec![image(name)])] {
        let index = reader.index(file)?;
        let mut read = Vec::new();
        for entry in index.entries() {
            let blob = store.chunks().read(&entry.digest)?;
            let content = blob.decode_chunk(None, &entry.digest, entry.len() as usize)?;
            read.push(String::from_utf8(content).unwrap());
        }
        assert_eq!(read, contents, "{file} of {name}");
    }
    Ok(reader.manifest().clone())
}
