//! A store with only those folders of chunks that a test uses: opening does not count them, and
//! making all takes longer than everything else here.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{
    BackupGroup, CryptConfig, CryptMode, DataBlob, Datastore, Digest, Manifest, Namespace,
    SnapshotPath,
};

pub struct SmallStore {
    _dir: tempfile::TempDir,
    pub base: PathBuf,
    pub store: Arc<Datastore>,
}

impl SmallStore {
    pub fn new() -> SmallStore {
        let memory = Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let base = dir.path().join("store");
        fs::create_dir_all(base.join(".chunks")).unwrap();
        let options = Options { sync_level: SyncLevel::None, lock_dir: None };
        let store = Datastore::open(&base, &options).unwrap();
        SmallStore { _dir: dir, base, store }
    }

    pub fn begin(&self, namespace: &str, name: &str) -> SnapshotWriter {
        let path = snapshot(name);
        self.store.create_namespace(&ns(namespace), true).unwrap();
        let group =
            GroupWriter::open(&self.store, &ns(namespace), path.group(), "root@pam").unwrap();
        SnapshotWriter::begin_backup(&group, path.time()).unwrap()
    }

    /// One archive of these chunks.
    pub fn fill(
        &self,
        writer: &SnapshotWriter,
        chunks: &[&[u8]],
        key: Option<&CryptConfig>,
    ) -> Manifest {
        let mode = if key.is_some() { CryptMode::Encrypt } else { CryptMode::None };
        let mut entries = Vec::new();
        for content in chunks {
            let digest = key.map_or_else(|| Digest::of(content), |key| key.digest(content));
            let folder = self.store.chunks().path(&digest);
            fs::create_dir_all(folder.parent().unwrap()).unwrap();
            let blob = DataBlob::encode(content, key, true).unwrap();
            writer.insert_chunk(&digest, &blob, content.len() as u64).unwrap();
            entries.push((content.len() as u64, digest));
        }
        let mut manifest = Manifest::new(writer.snapshot());
        manifest.add(writer.add_dynamic_index("root.pxar.didx", &entries, mode).unwrap()).unwrap();
        if let Some(key) = key {
            manifest.sign(key).unwrap();
        }
        manifest
    }

    pub fn back_up(&self, namespace: &str, name: &str) {
        self.back_up_chunks(namespace, name, &[name.as_bytes()], None);
    }

    pub fn back_up_chunks(
        &self,
        namespace: &str,
        name: &str,
        chunks: &[&[u8]],
        key: Option<&CryptConfig>,
    ) {
        let writer = self.begin(namespace, name);
        let manifest = self.fill(&writer, chunks, key);
        writer.finish(manifest).unwrap();
    }

    /// What an interrupted backup leaves.
    pub fn leave_unfinished(&self, name: &str) {
        let dir = self.base.join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("root.pxar.didx"), "half").unwrap();
    }

    /// The snapshots of a group, unfinished ones too, oldest first, without the group's name.
    pub fn times(&self, namespace: &str, group: &str) -> Vec<String> {
        let group: BackupGroup = group.parse().unwrap();
        let snapshots = self.store.snapshots(&ns(namespace), &group, &mut ()).unwrap();
        snapshots.iter().map(|info| info.path.time_text()).collect()
    }
}

pub fn ns(text: &str) -> Namespace {
    text.parse().unwrap()
}

pub fn snapshot(text: &str) -> SnapshotPath {
    text.parse().unwrap()
}
