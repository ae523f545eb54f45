//! Collection, backups and removal in one process, in many thousands of orders.
//!
//! The real code runs under a scheduler that decides at every storage call and at every lock who
//! goes on (`shuttle`). After each order every finished snapshot must have all its chunks, whatever ran
//! beside it, with every chunk that is not in use being old enough to go. What is checked is the
//! protocol that the head of `gc.rs` argues for: process lock, oldest writer, marking, touching under
//! the mutex of a chunk, deciding under the same mutex.
//!
//! `make model`; `CAPSTAN_MODEL_ORDERS` is the number of orders of each test. A failure prints the
//! order that led to it, for `shuttle::replay`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::storage::{
    Entry, FilesystemHandle, Meta, ReadAt, SharedStorage, Storage, StorageDir, StorageFile,
};
use datastore::testing::CrashFs;
use datastore::{
    BackupGroup, CryptMode, DataBlob, Datastore, Digest, Error, Manifest, Namespace, SnapshotPath,
    SnapshotReader, gc,
};
use shuttle::thread;

/// Orders of each test without `CAPSTAN_MODEL_ORDERS`.
const ORDERS: usize = 150;

fn orders() -> usize {
    std::env::var("CAPSTAN_MODEL_ORDERS").map_or(ORDERS, |text| text.parse().unwrap())
}

/// Lets the scheduler choose before every call.
#[derive(Clone)]
struct Stepping {
    inner: SharedStorage,
    /// The chunk folders that are there; asking for each of the others would take most of the time.
    folders: Arc<Vec<PathBuf>>,
    /// A storage that says it touched a chunk and did not, to see that the model finds it.
    forgets_touches: bool,
}

fn step() {
    thread::yield_now();
}

impl Storage for Stepping {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        step();
        self.inner.read(path, limit)
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        step();
        self.inner.open(path)
    }
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn StorageFile>> {
        step();
        self.inner.create_new(path, mode)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        step();
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        step();
        self.inner.remove_file(path)
    }
    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        step();
        self.inner.remove_dir(path)
    }
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        step();
        self.inner.create_dir(path, mode)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        step();
        self.inner.list(path)
    }
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn StorageDir>> {
        let is_chunk_folder = path.parent().is_some_and(|outer| outer.ends_with(".chunks"));
        if is_chunk_folder && !self.folders.iter().any(|folder| folder == path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        step();
        let inner = self.inner.open_dir(path)?;
        Ok(Box::new(SteppingDir { inner, forgets_touches: self.forgets_touches }))
    }
    fn meta(&self, path: &Path) -> io::Result<Meta> {
        step();
        self.inner.meta(path)
    }
    fn touch(&self, path: &Path) -> io::Result<()> {
        step();
        if self.forgets_touches { Ok(()) } else { self.inner.touch(path) }
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        step();
        self.inner.sync_dir(path)
    }
    fn open_filesystem(&self, path: &Path) -> io::Result<Box<dyn FilesystemHandle>> {
        self.inner.open_filesystem(path)
    }
    fn forget_cached(&self, path: &Path) -> io::Result<()> {
        self.inner.forget_cached(path)
    }
}

struct SteppingDir {
    inner: Box<dyn StorageDir>,
    forgets_touches: bool,
}

impl StorageDir for SteppingDir {
    fn list(&mut self) -> io::Result<Vec<Entry>> {
        step();
        self.inner.list()
    }
    fn meta(&self, name: &str) -> io::Result<Meta> {
        step();
        self.inner.meta(name)
    }
    fn touch(&self, name: &str) -> io::Result<()> {
        step();
        if self.forgets_touches { Ok(()) } else { self.inner.touch(name) }
    }
    fn remove_file(&self, name: &str) -> io::Result<()> {
        step();
        self.inner.remove_file(name)
    }
}

/// A store with a few chunks, all of them old.
#[derive(Clone)]
struct World {
    fs: CrashFs,
    store: Arc<Datastore>,
    _dir: Arc<tempfile::TempDir>,
}

/// Content of chunk `number`; each has a folder of its own.
fn content(number: u8) -> Vec<u8> {
    vec![number; 100 + usize::from(number)]
}

fn digest(number: u8) -> Digest {
    Digest::of(&content(number))
}

fn group(name: &str) -> BackupGroup {
    format!("host/{name}").parse().unwrap()
}

fn snapshot(name: &str, time: i64) -> SnapshotPath {
    SnapshotPath::new(group(name), time).unwrap()
}

impl World {
    fn new(chunks: &[u8]) -> World {
        World::with_touches(chunks, false)
    }

    fn with_touches(chunks: &[u8], forgets_touches: bool) -> World {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = dir.path().canonicalize().unwrap();
        let fs = CrashFs::new(&base);
        let plain = fs.storage();
        plain.create_dir(&base.join(".chunks"), 0o750).unwrap();
        let mut folders = Vec::new();
        for number in 0..8 {
            let folder = base.join(".chunks").join(format!("{:04x}", digest(number).prefix()));
            plain.create_dir(&folder, 0o750).unwrap();
            folders.push(folder);
        }
        let inner = plain;
        let storage = Stepping { inner, folders: Arc::new(folders), forgets_touches };
        let options = Options { sync_level: SyncLevel::None, lock_dir: None };
        let store = Datastore::open_on(&base, Arc::new(storage), &options).unwrap();
        let world = World { fs, store, _dir: Arc::new(dir) };
        for number in chunks {
            let blob = DataBlob::encode(&content(*number), None, true).unwrap();
            world.store.chunks().insert(&digest(*number), &blob).unwrap();
        }
        world.age();
        world
    }

    /// Makes every chunk old enough to go.
    fn age(&self) {
        self.fs.set_atime(".chunks", datastore::time::now() - 10 * 86_400);
    }

    /// A backup that uploads some chunks and relies on the base snapshot for others, as far as they are
    /// there.
    fn back_up(&self, name: &str, time: i64, uploads: &[u8], reuses: &[u8]) -> Result<(), Error> {
        let group = GroupWriter::open(&self.store, &Namespace::root(), &group(name), "a@pam")?;
        let writer = SnapshotWriter::begin_backup(&group, time)?;
        let mut chunks = Vec::new();
        for number in reuses {
            if !writer.reuse_chunk(&digest(*number))? {
                self.upload(&writer, *number)?;
            }
            chunks.push((content(*number).len() as u64, digest(*number)));
        }
        for number in uploads {
            self.upload(&writer, *number)?;
            chunks.push((content(*number).len() as u64, digest(*number)));
        }
        let file = writer.add_dynamic_index("data.pxar.didx", &chunks, CryptMode::None)?;
        let mut manifest = Manifest::new(&snapshot(name, time));
        manifest.add(file)?;
        writer.finish(manifest)?;
        Ok(())
    }

    fn upload(&self, writer: &SnapshotWriter, number: u8) -> Result<(), Error> {
        let blob = DataBlob::encode(&content(number), None, true)?;
        writer.insert_chunk(&digest(number), &blob, content(number).len() as u64)?;
        Ok(())
    }

    fn collect(&self) -> Result<gc::Status, Error> {
        let options =
            gc::Options { threads: 1, atime_safety_check: false, ..gc::Options::default() };
        gc::collect(&self.store, &options, &Silent)
    }

    fn forget(&self, name: &str, time: i64) -> Result<(), Error> {
        self.store.forget_snapshot(&Namespace::root(), &snapshot(name, time)).map(|_| ())
    }

    fn is_there(&self, number: u8) -> bool {
        self.store.chunks().read(&digest(number)).is_ok()
    }

    /// Every finished snapshot has all its chunks; their number.
    fn assert_whole(&self) -> usize {
        let root = Namespace::root();
        let mut count = 0;
        for group in self.store.groups(&root).unwrap() {
            for info in self.store.snapshots(&root, &group, &mut ()).unwrap() {
                if !info.finished {
                    continue;
                }
                let reader = SnapshotReader::open(&self.store, &root, &info.path).unwrap();
                for entry in reader.index("data.pxar.didx").unwrap().entries() {
                    let blob = self
                        .store
                        .chunks()
                        .read(&entry.digest)
                        .unwrap_or_else(|error| panic!("{} lost a chunk: {error}", info.path));
                    blob.decode_chunk(None, &entry.digest, entry.len() as usize).unwrap();
                }
                count += 1;
            }
        }
        count
    }

    /// Every finished snapshot is whole, now and when all that may go is collected; their number.
    fn assert_stays_whole(&self) -> usize {
        let count = self.assert_whole();
        self.age();
        self.collect().unwrap();
        assert_eq!(self.assert_whole(), count);
        count
    }

    fn spawn(&self, work: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || work(&world))
    }
}

fn check(test: impl Fn() + Send + Sync + 'static) {
    let test = Arc::new(test);
    let random = Arc::clone(&test);
    shuttle::check_random(move || random(), orders());
    // Few, well placed changes of who runs find what is rare among random ones.
    shuttle::check_pct(move || test(), orders(), 3);
}

/// The chunk that is uploaded is there, is old and belongs to nobody: the collector wants it.
#[test]
fn an_upload_of_a_chunk_that_is_being_collected() {
    check(|| {
        let world = World::new(&[1, 2]);
        let writer = world.spawn(|world| world.back_up("a", 1000, &[1, 2], &[]).unwrap());
        let collector = world.spawn(|world| world.collect().map(|_| ()).unwrap());
        writer.join().unwrap();
        collector.join().unwrap();
        assert_eq!(world.assert_stays_whole(), 1);
    });
}

/// The chunks are those of the base snapshot, which is forgotten as soon as the new one is finished.
#[test]
fn chunks_reused_from_a_base_that_is_forgotten() {
    check(|| {
        let world = World::new(&[]);
        world.back_up("a", 1000, &[1, 2], &[]).unwrap();
        world.age();
        let writer = world.spawn(|world| {
            world.back_up("a", 2000, &[3], &[1, 2]).unwrap();
            world.forget("a", 1000).unwrap();
        });
        let collector = world.spawn(|world| world.collect().map(|_| ()).unwrap());
        writer.join().unwrap();
        collector.join().unwrap();
        assert_eq!(world.assert_stays_whole(), 1);
    });
}

/// One of two snapshots that share a chunk is forgotten while garbage is collected. What only it had
/// goes, at the latest the next time.
#[test]
fn a_snapshot_is_forgotten_while_its_chunks_are_marked() {
    check(|| {
        let world = World::new(&[5]);
        world.back_up("a", 1000, &[1, 2], &[]).unwrap();
        world.back_up("b", 1000, &[2, 3], &[]).unwrap();
        world.age();
        let remover = world.spawn(|world| world.forget("a", 1000).unwrap());
        let collector = world.spawn(|world| world.collect().map(|_| ()).unwrap());
        remover.join().unwrap();
        collector.join().unwrap();
        assert_eq!(world.assert_stays_whole(), 1);
        let there: Vec<bool> = [1, 2, 3, 5].map(|number| world.is_there(number)).to_vec();
        assert_eq!(there, [false, true, true, false]);
    });
}

/// Everything at once, with a backup that begins before the collector and one that may begin after it.
#[test]
fn two_backups_a_removal_and_a_collection() {
    check(|| {
        let world = World::new(&[1, 2, 3, 4]);
        world.back_up("old", 1000, &[1, 2], &[]).unwrap();
        world.age();
        let workers = [
            world.spawn(|world| world.back_up("a", 1000, &[2, 3], &[]).unwrap()),
            world.spawn(|world| {
                // Refused while its base is being removed.
                while let Err(error) = world.back_up("old", 2000, &[4], &[1]) {
                    assert!(error.is_retryable(), "{error}");
                    step();
                }
            }),
            world.spawn(|world| {
                // Refused while it is the base of the other backup.
                let _ = world.forget("old", 1000);
            }),
            world.spawn(|world| world.collect().map(|_| ()).unwrap()),
        ];
        for worker in workers {
            worker.join().unwrap();
        }
        assert!(world.assert_stays_whole() >= 2);
    });
}

/// A chunk is found damaged and set aside while a backup brings it anew and the collector runs.
#[test]
fn a_damaged_chunk_is_healed_beside_a_collection() {
    check(|| {
        let world = World::new(&[]);
        world.back_up("a", 1000, &[1], &[]).unwrap();
        let path = world.store.chunks().path(&digest(1));
        world.fs.corrupt(&path, |bytes| bytes[20] ^= 1);
        world.age();
        let verifier = world.spawn(|world| {
            let sound =
                |blob: &DataBlob| blob.decode_chunk(None, &digest(1), content(1).len()).is_ok();
            world.store.chunks().set_aside(&digest(1), &sound).unwrap();
        });
        let collector = world.spawn(|world| world.collect().map(|_| ()).unwrap());
        verifier.join().unwrap();
        world.back_up("a", 2000, &[1], &[]).unwrap();
        collector.join().unwrap();
        assert_eq!(world.assert_whole(), 2);
    });
}

/// Only one collector at a time, whoever is first.
#[test]
fn two_collectors_do_not_run_at_once() {
    static REFUSED: AtomicUsize = AtomicUsize::new(0);
    check(|| {
        let world = World::new(&[1]);
        let collectors = [0, 1].map(|_| {
            world.spawn(|world| match world.collect() {
                Ok(_) => {}
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    REFUSED.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        for collector in collectors {
            collector.join().unwrap();
        }
        assert!(!world.is_there(1));
    });
    assert!(REFUSED.load(Ordering::Relaxed) > 0);
}

/// The model can fail: on a storage that only claims to touch, an upload relies on a chunk that then
/// goes.
#[test]
#[should_panic(expected = "lost a chunk")]
fn the_model_finds_a_touch_that_does_nothing() {
    check(|| {
        let world = World::with_touches(&[1, 2], true);
        let writer = world.spawn(|world| world.back_up("a", 1000, &[1, 2], &[]).unwrap());
        let collector = world.spawn(|world| world.collect().map(|_| ()).unwrap());
        writer.join().unwrap();
        collector.join().unwrap();
        world.assert_whole();
    });
}
