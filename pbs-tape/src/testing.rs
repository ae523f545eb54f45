//! What several tests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::media::MediaCatalog;

/// The folder of data written by the reference; `None`, with a note, if there is none here.
pub(crate) fn golden() -> Option<PathBuf> {
    match std::env::var_os("CAPSTAN_GOLDEN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.join("tape/dump.jsonl").is_file(), "CAPSTAN_GOLDEN has no tape data");
            Some(path)
        }
        None => {
            println!("CAPSTAN_GOLDEN is not set: nothing compared");
            None
        }
    }
}

/// Compares a catalog with the reference's own dump of it: one line a datastore.
pub(crate) fn assert_catalog_equals_dump(catalog: &MediaCatalog, dump: &Path) {
    let text = std::fs::read_to_string(dump).unwrap();
    let mut expected = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        expected.insert(line["store"].as_str().unwrap().to_string(), line);
    }
    let mut found = BTreeMap::new();
    for (store, content) in catalog.content().stores() {
        let mut chunks: Vec<(u64, String)> = Vec::new();
        catalog
            .each_chunk(store, &mut |digest, file| chunks.push((file, digest.to_string())))
            .unwrap();
        chunks.sort();
        let mut snapshots: Vec<(u64, String)> =
            content.snapshots.iter().map(|(name, file)| (*file, name.clone())).collect();
        snapshots.sort();
        let line = serde_json::json!({"store": store, "chunks": chunks, "snapshots": snapshots});
        found.insert(store.clone(), line);
    }
    assert_eq!(found, expected, "{}", dump.display());
}

use std::sync::Arc;
use std::time::Duration;

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::manifest::Manifest;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{CryptMode, DataBlob, Datastore, Digest, Namespace, SnapshotPath};

use uuid::Uuid;

use crate::device::model::{Medium, ModelLibrary};
use crate::format::label::{MediaLabel, MediaSetLabel};
use crate::media::{Inventory, MediaId, StateDir};

/// A state directory and datastores in a temporary folder.
pub(crate) struct World {
    pub folder: tempfile::TempDir,
    pub state: StateDir,
}

impl World {
    pub fn new() -> World {
        // Syncing is not what these tests measure: memory is quicker where there is such a folder.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let state = StateDir::open(folder.path().join("state"))
            .unwrap()
            .with_lock_wait(Duration::from_millis(10));
        World { folder, state }
    }

    /// A datastore in the folder `name`. Its 65536 chunk folders would take longer than all tests
    /// together, so only those are made that are needed.
    pub fn store(&self, name: &str) -> Arc<Datastore> {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.join(".chunks")).unwrap();
        let options = Options { sync_level: SyncLevel::None, ..Options::default() };
        Datastore::open(&path, &options).unwrap()
    }

    /// An empty datastore that can take the chunks of another.
    pub fn store_for(&self, name: &str, source: &Datastore) -> Arc<Datastore> {
        let store = self.store(name);
        for entry in std::fs::read_dir(source.base().join(".chunks")).unwrap() {
            let folder = store.base().join(".chunks").join(entry.unwrap().file_name());
            std::fs::create_dir_all(folder).unwrap();
        }
        store
    }
}

/// Makes the folder of a chunk.
pub(crate) fn allow_chunk(store: &Datastore, digest: &Digest) {
    std::fs::create_dir_all(store.chunks().path(digest).parent().unwrap()).unwrap();
}

/// Bytes that do not compress and are the same in each run.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            value ^= value << 13;
            value ^= value >> 7;
            value ^= value << 17;
            (value >> 32) as u8
        })
        .collect()
}

/// Adds a snapshot `host/NAME` of one archive with these chunks; its name on tape.
pub(crate) fn add_snapshot(
    store: &Arc<Datastore>,
    namespace: &str,
    name: &str,
    time: i64,
    chunks: &[Vec<u8>],
) -> String {
    let namespace: Namespace = namespace.parse().unwrap();
    store.create_namespace(&namespace, true).unwrap();
    let snapshot: SnapshotPath =
        SnapshotPath::new(format!("host/{name}").parse().unwrap(), time).unwrap();
    let group = GroupWriter::open(store, &namespace, snapshot.group(), "root@pam").unwrap();
    let writer = SnapshotWriter::begin_backup(&group, time).unwrap();
    let mut entries = Vec::new();
    for chunk in chunks {
        let digest = Digest::of(chunk);
        let blob = DataBlob::encode(chunk, None, true).unwrap();
        allow_chunk(store, &digest);
        writer.insert_chunk(&digest, &blob, chunk.len() as u64).unwrap();
        entries.push((chunk.len() as u64, digest));
    }
    let mut manifest = Manifest::new(&snapshot);
    let info = writer.add_dynamic_index("root.pxar.didx", &entries, CryptMode::None).unwrap();
    manifest.add(info).unwrap();
    let conf = DataBlob::encode(b"configuration", None, true).unwrap();
    manifest.add(writer.add_blob("etc.conf.blob", &conf, CryptMode::None).unwrap()).unwrap();
    writer.finish(manifest).unwrap();
    datastore::hierarchy::qualified_name(&namespace, &snapshot)
}

/// A library of tapes `T01` … of so many blocks up to early warning and behind it.
pub(crate) fn library(tapes: usize, blocks: usize, reserve: usize) -> ModelLibrary {
    ModelLibrary::new(
        (1..=tapes).map(|n| (format!("T{n:02}"), Medium::with_capacity(blocks, reserve))),
    )
}

/// Everything of a snapshot that must be the same after a restore: files and chunk contents.
pub(crate) fn fingerprint(store: &Arc<Datastore>, name: &str) -> Vec<(String, Digest)> {
    let (namespace, snapshot) = datastore::hierarchy::parse_qualified_name(name).unwrap();
    let reader = datastore::SnapshotReader::open(store, &namespace, &snapshot).unwrap();
    let mut found = Vec::new();
    for file in reader.manifest().files() {
        let content = match file.filename.ends_with(".blob") {
            true => Digest::of(reader.blob(&file.filename).unwrap().as_bytes()),
            false => {
                let index = reader.index(&file.filename).unwrap();
                let all: Vec<u8> = index
                    .entries()
                    .flat_map(|entry| {
                        let blob = store.chunks().read(&entry.digest).unwrap();
                        blob.decode_chunk(None, &entry.digest, entry.len() as usize).unwrap()
                    })
                    .collect();
                Digest::of(&all)
            }
        };
        found.push((file.filename.clone(), content));
    }
    found
}

/// Takes a labelled tape into the inventory.
pub(crate) fn tape_of(state: &StateDir, text: &str, pool: Option<&str>) -> Uuid {
    let uuid = Uuid::new_v4();
    let label =
        MediaLabel { ctime: 0, label_text: text.into(), pool: pool.map(str::to_string), uuid };
    let mut inventory = Inventory::load(state).unwrap();
    inventory.store(MediaId { label, media_set_label: None }, false).unwrap();
    uuid
}

/// Gives a tape of the inventory a label of a set of pool `p1`.
pub(crate) fn put_into_set(state: &StateDir, media: &Uuid, set: Uuid, seq_nr: u64, ctime: i64) {
    let mut inventory = Inventory::load(state).unwrap();
    let mut id = inventory.get(media).unwrap().id.clone();
    id.media_set_label = Some(MediaSetLabel {
        ctime,
        encryption_key_fingerprint: None,
        pool: "p1".into(),
        seq_nr,
        uuid: set,
    });
    inventory.store(id, false).unwrap();
}
