//! The datastore that is backed up, and what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datastore::hierarchy::qualified_name;
use datastore::manifest::Manifest;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{CryptMode, DataBlob, Datastore, Digest, Namespace, SnapshotPath};
use tempfile::TempDir;

use crate::common::{allow_chunk, memory_folder, noise};
use crate::store::{Print, fingerprint, open_store};

/// Name of the datastore on tape.
pub const STORE: &str = "main";
/// An archive of each snapshot that is small.
pub const IMAGE: &str = "disk.img.fidx";
/// The datastore that is backed up. It does not change, so many worlds share it.
pub struct Source {
    _folder: TempDir,
    pub store: Arc<Datastore>,
    /// Snapshots and what is in them.
    pub snapshots: BTreeMap<String, Print>,
    /// Every chunk.
    pub digests: Vec<Digest>,
    /// Snapshots and the chunks that they need.
    pub chunks: BTreeMap<String, BTreeSet<Digest>>,
}

/// Groups of the source.
pub const GROUPS: [&str; 3] = ["host/a", "host/b", "host/c"];

impl Source {
    /// Three groups of two snapshots that share a chunk: about 2.5 MB.
    pub fn new() -> Source {
        let folder = memory_folder();
        let store = open_store(&folder.path().join("source"));
        let mut source = Source {
            _folder: folder,
            store,
            snapshots: BTreeMap::new(),
            digests: Vec::new(),
            chunks: BTreeMap::new(),
        };
        for (number, group) in GROUPS.iter().enumerate() {
            let number = number as u64;
            let mut chunks: Vec<Vec<u8>> =
                (0..4).map(|n| noise(number * 10 + n, 60_000 + 40_000 * n as usize)).collect();
            source.add(group, 1_700_000_000, &chunks);
            chunks.remove(1);
            chunks.push(noise(number * 10 + 8, 300_000));
            source.add(group, 1_700_000_100, &chunks);
        }
        source
    }

    fn add(&mut self, group: &str, time: i64, chunks: &[Vec<u8>]) {
        let store = &self.store;
        let namespace = Namespace::root();
        let snapshot = SnapshotPath::new(group.parse().unwrap(), time).unwrap();
        let group = GroupWriter::open(store, &namespace, snapshot.group(), "root@pam").unwrap();
        let writer = SnapshotWriter::begin_backup(&group, time).unwrap();
        let mut entries = Vec::new();
        for chunk in chunks {
            let digest = Digest::of(chunk);
            allow_chunk(store, &digest);
            let blob = DataBlob::encode(chunk, None, true).unwrap();
            writer.insert_chunk(&digest, &blob, chunk.len() as u64).unwrap();
            entries.push((chunk.len() as u64, digest));
            self.digests.push(digest);
        }
        let mut manifest = Manifest::new(&snapshot);
        let info = writer.add_dynamic_index("root.pxar.didx", &entries, CryptMode::None).unwrap();
        manifest.add(info).unwrap();
        // An image of a chunk that is there anyway, for who wants a single archive.
        let image = vec![entries[0].1];
        let info = writer.add_fixed_index(IMAGE, entries[0].0, image, CryptMode::None).unwrap();
        manifest.add(info).unwrap();
        let conf = DataBlob::encode(b"configuration", None, true).unwrap();
        manifest.add(writer.add_blob("etc.conf.blob", &conf, CryptMode::None).unwrap()).unwrap();
        writer.finish(manifest).unwrap();
        drop((writer, group));
        let name = qualified_name(&namespace, &snapshot);
        let print = fingerprint(store, &name).unwrap();
        self.chunks.insert(name.clone(), entries.iter().map(|(_, digest)| *digest).collect());
        self.snapshots.insert(name, print);
    }
}
