//! A datastore on a file system that loses power, and what must always be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::testing::{CrashFs, Image};
use datastore::{
    CryptMode, DataBlob, Datastore, Digest, Error, Manifest, Namespace, SnapshotPath,
    SnapshotReader,
};

pub const OWNER: &str = "root@pam";

/// Name of an archive and its pieces: what a snapshot is made of and what must come back.
pub type Content = BTreeMap<String, Vec<Vec<u8>>>;
/// Namespace and name of a snapshot.
pub type Name = (Namespace, SnapshotPath);
/// Snapshots and what must come back of them.
pub type Snapshots = BTreeMap<Name, Content>;

pub fn name(namespace: &str, snapshot: &str) -> Name {
    let namespace =
        if namespace.is_empty() { Namespace::root() } else { namespace.parse().unwrap() };
    (namespace, snapshot.parse().unwrap())
}

/// Bytes that no compressor makes shorter, another row for each seed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = datastore::testing::Rng(seed);
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

/// A tree of four chunks and an image of one, with a small file. Contents with neighbouring numbers
/// share three of the chunks.
pub fn content(number: u64) -> Content {
    let tree = vec![
        noise(1, 700),
        noise(number / 2 + 100, 1300),
        b"the same text over and over again, which compresses well. ".repeat(30),
        noise(number + 1000, 400),
    ];
    BTreeMap::from([
        ("root.pxar.didx".to_owned(), tree),
        ("disk.img.fidx".to_owned(), vec![noise(number / 2 + 2000, 900)]),
        ("elsa.conf.blob".to_owned(), vec![format!("number: {number}\n").into_bytes()]),
    ])
}

pub struct World {
    /// The locks' side of the store, in the real file system.
    pub base: tempfile::TempDir,
    pub fs: CrashFs,
    pub options: Options,
}

/// Where lock files are cheap.
fn lock_base() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// An empty store.
fn pristine() -> &'static Image {
    static PRISTINE: OnceLock<Image> = OnceLock::new();
    PRISTINE.get_or_init(|| {
        let world = World::bare();
        Datastore::create_on(world.base(), world.fs.storage(), &world.options).unwrap();
        world.fs.image()
    })
}

impl World {
    /// A world without a store.
    pub fn bare() -> World {
        let base = lock_base();
        let fs = CrashFs::new(&base.path().canonicalize().unwrap());
        World { base, fs, options: Options::default() }
    }

    /// A world with an empty store.
    pub fn new(sync_level: SyncLevel) -> World {
        let mut world = World::bare();
        world.options.sync_level = sync_level;
        world.switch_on(pristine().clone());
        world
    }

    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// The machine starts with this image.
    pub fn switch_on(&mut self, image: Image) {
        self.fs = CrashFs::from_image(&self.base.path().canonicalize().unwrap(), image);
        self.fs.set_sparse(true);
    }

    pub fn open(&self) -> Result<Arc<Datastore>, Error> {
        Datastore::open_on(self.base(), self.fs.storage(), &self.options)
    }

    pub fn store(&self) -> Arc<Datastore> {
        self.open().unwrap()
    }
}

/// Backs up as the client does: chunks that the base snapshot has are reused.
pub fn back_up(store: &Arc<Datastore>, (ns, path): &Name, content: &Content) -> Result<(), Error> {
    let group = GroupWriter::open(store, ns, path.group(), OWNER)?;
    let writer = SnapshotWriter::begin_backup(&group, path.time())?;
    let manifest = write(&writer, path, content)?;
    writer.finish(manifest).map(|_| ())
}

/// Puts a snapshot back as a restore from tape does: chunks, files, manifest, whatever its time.
pub fn put_back(store: &Arc<Datastore>, (ns, path): &Name, content: &Content) -> Result<(), Error> {
    // The files as they are elsewhere.
    static ELSEWHERE: OnceLock<World> = OnceLock::new();
    let elsewhere = ELSEWHERE.get_or_init(|| World::new(SyncLevel::None)).store();
    let source = (Namespace::root(), path.clone());
    if SnapshotReader::open(&elsewhere, &source.0, path).is_err() {
        back_up(&elsewhere, &source, content).unwrap();
    }
    let reader = SnapshotReader::open(&elsewhere, &source.0, path).unwrap();
    let group = GroupWriter::open(store, ns, path.group(), OWNER)?;
    let writer = SnapshotWriter::begin_restore(&group, path.time())?;
    for file in reader.manifest().files() {
        let path = elsewhere.snapshot_dir(&source.0, path).join(&file.filename);
        let bytes = elsewhere.storage().read(&path, 1 << 20).unwrap();
        writer.copy_file(&file.filename, &mut &bytes[..])?;
    }
    for digest in writer.needed_chunks()? {
        if !store.chunks().touch(&digest)? {
            let blob = elsewhere.chunks().read(&digest).unwrap();
            store.chunks().insert(&digest, &blob)?;
        }
    }
    writer.finish_restore(reader.manifest().clone())
}

fn write(
    writer: &SnapshotWriter,
    path: &SnapshotPath,
    content: &Content,
) -> Result<Manifest, Error> {
    let mode = CryptMode::None;
    let mut manifest = Manifest::new(path);
    for (file, pieces) in content {
        if file.ends_with(".blob") {
            let blob = DataBlob::encode(&pieces.concat(), None, true)?;
            manifest.add(writer.add_blob(file, &blob, mode)?)?;
            continue;
        }
        let known: BTreeSet<Digest> =
            writer.base_index(file, mode).iter().flat_map(|index| index.digests()).collect();
        let mut entries = Vec::new();
        for piece in pieces {
            let digest = Digest::of(piece);
            if !(known.contains(&digest) && writer.reuse_chunk(&digest)?) {
                let blob = DataBlob::encode(piece, None, true)?;
                writer.insert_chunk(&digest, &blob, piece.len() as u64)?;
            }
            entries.push((piece.len() as u64, digest));
        }
        manifest.add(if file.ends_with(".fidx") {
            let size = entries.iter().map(|(len, _)| len).sum();
            let digests = entries.into_iter().map(|(_, digest)| digest).collect();
            writer.add_fixed_index(file, size, digests, mode)?
        } else {
            writer.add_dynamic_index(file, &entries, mode)?
        })?;
    }
    Ok(manifest)
}

/// What comes back of a snapshot.
pub fn restore(store: &Arc<Datastore>, (ns, path): &Name) -> Result<Content, Error> {
    let reader = SnapshotReader::open(store, ns, path)?;
    let mut content = Content::new();
    for file in reader.manifest().files() {
        let pieces = if file.filename.ends_with(".blob") {
            vec![reader.blob_content(&file.filename, None)?]
        } else {
            let index = reader.index(&file.filename)?;
            let read = |entry: datastore::index::IndexEntry| {
                let blob = store.chunks().read(&entry.digest)?;
                blob.decode_chunk(None, &entry.digest, entry.len() as usize)
            };
            index.entries().map(read).collect::<Result<_, _>>()?
        };
        content.insert(file.filename.clone(), pieces);
    }
    Ok(content)
}

/// Names of all snapshots that are finished.
pub fn finished(store: &Arc<Datastore>) -> Result<BTreeSet<Name>, Error> {
    let mut names = BTreeSet::new();
    for namespace in store.namespaces(&Namespace::root(), None, &mut ())? {
        for group in store.groups(&namespace)? {
            for info in store.snapshots(&namespace, &group, &mut ())? {
                if info.finished {
                    names.insert((namespace.clone(), info.path));
                }
            }
        }
    }
    Ok(names)
}

/// Checks that exactly the snapshots are there that may be, those that must be, and that each is
/// what it was.
pub fn check_snapshots(
    store: &Arc<Datastore>,
    may: &Snapshots,
    damaged: &BTreeSet<Name>,
    must: &dyn Fn(&Name) -> bool,
) -> Result<BTreeSet<Name>, String> {
    let found = finished(store).map_err(|e| format!("listing: {e}"))?;
    for name in &found {
        let Some(expected) = may.get(name) else {
            return Err(format!("snapshot {name:?} should not be there"));
        };
        match restore(store, name) {
            _ if damaged.contains(name) => {}
            Ok(content) if content == *expected => {}
            Ok(_) => return Err(format!("snapshot {} is not what was backed up", name.1)),
            Err(error) => return Err(format!("snapshot {} cannot be restored: {error}", name.1)),
        }
    }
    match may.keys().find(|name| must(name) && !found.contains(*name)) {
        Some(lost) => Err(format!("snapshot {} is lost", lost.1)),
        None => Ok(found),
    }
}
