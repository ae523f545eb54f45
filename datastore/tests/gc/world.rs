//! A store with only the chunk folders that a test uses, and files of any age in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datastore::chunk_store::SyncLevel;
use datastore::gc::{self, Options, Status};
use datastore::index::{DynamicIndex, FixedIndex};
use datastore::storage::{Kind, RealStorage, SharedStorage};
use datastore::testing::CrashFs;
use datastore::{Datastore, Digest, Error, Progress};

pub const DAY: i64 = 86_400;

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

pub fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// Where a chunk lies, relative to the store.
pub fn chunk_path(digest: &Digest) -> String {
    format!(".chunks/{:04x}/{digest}", digest.prefix())
}

/// Collects what it is told, and aborts after a number of questions.
#[derive(Default)]
pub struct Ear {
    pub warnings: Mutex<Vec<String>>,
    pub notes: Mutex<Vec<String>>,
    asked: AtomicU64,
    abort_after: Option<u64>,
}

impl Ear {
    pub fn aborting_after(count: u64) -> Ear {
        Ear { abort_after: Some(count), ..Ear::default() }
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    pub fn heard(&self, text: &str) -> usize {
        self.warnings.lock().unwrap().iter().filter(|warning| warning.contains(text)).count()
    }
}

impl Progress for Ear {
    fn is_aborted(&self) -> bool {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        self.abort_after.is_some_and(|after| asked >= after)
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }

    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

pub struct World {
    dir: tempfile::TempDir,
    /// The file system, if it is one in memory.
    pub memory: Option<CrashFs>,
    pub store: Arc<Datastore>,
    pub options: Options,
    pub ear: Ear,
}

impl World {
    /// A store on a real file system.
    pub fn new() -> World {
        World::with(|base| {
            fs::create_dir_all(base.join(".chunks")).unwrap();
            (Arc::new(RealStorage::new(base).unwrap()), None)
        })
    }

    /// A store on a file system that can be made to fail.
    pub fn in_memory() -> World {
        World::with(|base| {
            let memory = CrashFs::new(base);
            let storage = memory.storage();
            storage.create_dir(&base.join(".chunks"), 0o755).unwrap();
            (storage, Some(memory))
        })
    }

    pub fn with(make: impl FnOnce(&Path) -> (SharedStorage, Option<CrashFs>)) -> World {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = dir.path().join("store");
        fs::create_dir(&base).unwrap();
        let (storage, memory) = make(&base);
        let level = if memory.is_some() { SyncLevel::Filesystem } else { SyncLevel::None };
        let how = datastore::datastore::Options { sync_level: level, lock_dir: None };
        let store = Datastore::open_on(&base, storage, &how).unwrap();
        let options = Options { atime_safety_check: false, threads: 2, ..Options::default() };
        World { dir, memory, store, options, ear: Ear::default() }
    }

    /// A path outside of the store.
    pub fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A path in the store.
    pub fn path(&self, name: &str) -> PathBuf {
        self.store.base().join(name)
    }

    pub fn has(&self, name: &str) -> bool {
        self.store.storage().meta(&self.path(name)).is_ok()
    }

    pub fn make_dir(&self, name: &str) {
        let mut path = self.store.base().to_path_buf();
        for part in Path::new(name) {
            path.push(part);
            match self.store.storage().create_dir(&path, 0o755) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => panic!("{error}"),
                _ => {}
            }
        }
    }

    /// A file of `content` that was last accessed at `atime`.
    pub fn file(&self, name: &str, content: &[u8], atime: i64) {
        let path = self.path(name);
        self.make_dir(Path::new(name).parent().unwrap().to_str().unwrap());
        if path.starts_with(self.store.base().join(".locks")) {
            // Locks are real whatever the storage is.
            fs::write(&path, content).unwrap();
            return;
        }
        let storage = self.store.storage();
        let _ = storage.remove_file(&path);
        storage.create_new(&path, 0o644).unwrap().write_all(content).unwrap();
        self.set_atime(name, atime);
    }

    pub fn set_atime(&self, name: &str, atime: i64) {
        if let Some(memory) = &self.memory {
            memory.set_atime(name, atime);
            return;
        }
        let time = UNIX_EPOCH + Duration::from_secs(u64::try_from(atime).unwrap());
        let times = fs::FileTimes::new().set_accessed(time);
        fs::File::open(self.path(name)).unwrap().set_times(times).unwrap();
    }

    pub fn atime(&self, name: &str) -> i64 {
        self.store.storage().meta(&self.path(name)).unwrap().atime
    }

    /// A chunk whose content is its name; its path.
    pub fn chunk(&self, name: &str, atime: i64) -> String {
        let path = chunk_path(&digest(name));
        self.file(&path, name.as_bytes(), atime);
        path
    }

    /// An index that names chunks of 10 bytes each.
    pub fn index(&self, path: &str, chunks: &[&str]) {
        let digests: Vec<Digest> = chunks.iter().map(|name| digest(name)).collect();
        self.file(path, &index_bytes(path, &digests), now());
    }

    /// A snapshot with one index, with a manifest or without one.
    pub fn snapshot(&self, path: &str, chunks: &[&str], finished: bool) {
        self.index(&format!("{path}/root.pxar.didx"), chunks);
        if finished {
            self.file(&format!("{path}/index.json.blob"), b"not looked at", now());
        }
    }

    pub fn collect(&self) -> Result<Status, Error> {
        gc::collect(&self.store, &self.options, &self.ear)
    }

    /// What a dry run would remove, and its status.
    pub fn plan(&self) -> Result<(Vec<(String, u64)>, Status), Error> {
        let told = Mutex::new(Vec::new());
        let tell = |path: &Path, len: u64| {
            let name = path.strip_prefix(self.store.base()).unwrap().to_str().unwrap();
            told.lock().unwrap().push((name.to_owned(), len));
        };
        let status = gc::plan(&self.store, &self.options, &self.ear, &tell)?;
        Ok((told.into_inner().unwrap(), status))
    }

    /// Every file in the store with its time of access, apart from the locks.
    pub fn listing(&self) -> Vec<(String, i64)> {
        let storage = self.store.storage();
        let mut found = Vec::new();
        let mut folders = vec![self.store.base().to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in storage.list(&folder).unwrap() {
                let path = folder.join(entry.name.unwrap());
                let name = path.strip_prefix(self.store.base()).unwrap().to_str().unwrap();
                if entry.kind == Kind::Dir {
                    folders.push(path);
                } else if !name.starts_with(".lock") {
                    found.push((name.to_owned(), storage.meta(&path).unwrap().atime));
                }
            }
        }
        found.sort();
        found
    }

    /// The names of [`World::listing`] alone.
    pub fn names(&self) -> Vec<String> {
        self.listing().into_iter().map(|(name, _)| name).collect()
    }
}

/// An index of chunks of 10 bytes (`.didx`) or of whole ones but the last (`.fidx`).
pub fn index_bytes(path: &str, digests: &[Digest]) -> Vec<u8> {
    if path.ends_with(".fidx") {
        let size = digests.len() as u64 * (4 << 20) - 1;
        return FixedIndex::new([7; 16], 1, size, digests.to_vec()).unwrap().encode();
    }
    DynamicIndex::new([7; 16], 1, digests.iter().map(|digest| (10, *digest))).unwrap().encode()
}
