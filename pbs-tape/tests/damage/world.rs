//! A media set over several tapes, written once, and copies of it to be damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options as StoreOptions;
use datastore::hierarchy::qualified_name;
use datastore::manifest::Manifest;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{CryptConfig, CryptMode, DataBlob, Datastore, Digest, Namespace, SnapshotPath};
use pbs_tape::loader::MediaWait;
use pbs_tape::media::{PoolConfig, StateDir};
use pbs_tape::operations::label::barcode_label;
use pbs_tape::restore::{RestoreOptions, StoreMap, run_restore};
use pbs_tape::station::{ChangerConfig, DriveConfig, DriveStation};
use pbs_tape::verify::{VerifyOptions, VerifyReport, VerifyScope, run_verify};
use pbs_tape::write::{TapeBackupOptions, run_backup};
use scsi::{Address, Connect, Transport, VtlUnit};
use tempfile::TempDir;
use uuid::Uuid;
use vtl::{Library, Options};

use crate::common::{allow_chunk, copy_folder, memory_folder, noise};
use crate::log::Log;
use crate::map::Map;

const STORE: &str = "main";

fn open_store(path: &Path, digests: &[Digest]) -> Arc<Datastore> {
    std::fs::create_dir_all(path.join(".chunks")).unwrap();
    let options = StoreOptions { sync_level: SyncLevel::None, ..StoreOptions::default() };
    let store = Datastore::open(path, &options).unwrap();
    for digest in digests {
        allow_chunk(&store, digest);
    }
    store
}

struct Emulated;

impl Connect for Emulated {
    fn connect(&self, address: &Address) -> Result<Box<dyn Transport>, scsi::Error> {
        let Address::Vtl { dir, unit } = address else { panic!("{address}") };
        vtl::open_unit(dir, *unit)
    }
}

fn station(state: &StateDir, dir: &Path) -> DriveStation {
    let address = |unit| Address::Vtl { dir: dir.to_path_buf(), unit };
    let config = DriveConfig {
        name: "lto0".into(),
        address: address(VtlUnit::Drive(0)),
        changer: Some(ChangerConfig {
            name: "lib0".into(),
            address: address(VtlUnit::Changer),
            export_slots: Vec::new(),
            eject_before_unload: false,
        }),
        changer_drive: 0,
    };
    let wait = Duration::from_millis(10);
    DriveStation::open(state, config, Arc::new(Emulated), Arc::new(Silent), wait).unwrap()
}

/// The sound set.
pub struct World {
    folder: TempDir,
    key: Arc<CryptConfig>,
    set: Uuid,
    /// Bar codes of its tapes, in their order.
    pub tapes: Vec<String>,
    /// `store:name` of its snapshots.
    pub names: Vec<String>,
    pub map: Map,
    digests: Vec<Digest>,
}

impl World {
    /// Five snapshots, of which some share chunks, one is encrypted and one lies in a namespace; two jobs.
    pub fn new() -> World {
        let folder = memory_folder();
        let key = Arc::new(CryptConfig::new([5; 32]).unwrap());
        let store = open_store(&folder.path().join("source"), &[]);
        let dir = folder.path().join("library");
        let options = Options {
            drives: 1,
            slots: 8,
            cartridges: 6,
            capacity_bytes: Some(6 << 20),
            ..Options::default()
        };
        drop(Library::create(&dir, &options).unwrap());
        let state = StateDir::open(folder.path().join("state")).unwrap();
        let mut drive = station(&state, &dir);
        barcode_label(&state, &mut drive, Some("p1"), &Silent).unwrap();
        let mut back_up = || {
            let options = TapeBackupOptions::new(STORE);
            let pool = PoolConfig::new("p1");
            run_backup(&state, &store, pool, &mut drive, &options, &Silent).unwrap()
        };
        let mut needs = BTreeMap::new();
        let mut blobs = BTreeMap::new();
        let mut add = |namespace: &str, group: &str, time: i64, chunks: &[Vec<u8>], key| {
            let (name, all) = add_snapshot(&store, namespace, group, time, chunks, key);
            needs.insert(name, all.keys().copied().collect::<BTreeSet<Digest>>());
            blobs.extend(all);
        };
        let chunks = |from: u64, count: u64| -> Vec<Vec<u8>> {
            (from..from + count)
                .map(|n| noise(n, 20_000 + (n as usize * 77_777) % 600_000))
                .collect()
        };
        let first = chunks(1, 7);
        let mut second = first[2..].to_vec();
        second.extend(chunks(20, 4));
        add("", "host/a", 1_700_000_000, &first, None);
        add("", "host/a", 1_700_000_100, &second, None);
        add("x/y", "host/b", 1_700_000_200, &chunks(30, 8), None);
        let report = back_up();
        let set = report.media_set_uuid;
        add("", "vm/7", 1_700_000_300, &chunks(40, 9), Some(&*key));
        let mut last = second[3..].to_vec();
        last.extend(chunks(50, 6));
        add("", "host/a", 1_700_000_400, &last, None);
        let again = back_up();
        assert_eq!(again.media_set_uuid, set);
        let mut tapes = report.tapes.clone();
        tapes.extend(again.tapes.iter().filter(|text| !report.tapes.contains(text)).cloned());
        assert!(tapes.len() >= 3, "{tapes:?}");
        pbs_tape::loader::MediaLoader::unload(&mut drive, None).unwrap();
        drop(drive);
        let logs: Vec<Log> =
            tapes.iter().map(|text| Log::read(&dir.join("cartridges").join(text))).collect();
        let names = needs.keys().cloned().collect();
        let digests = blobs.keys().copied().collect();
        let map = Map::new(&logs, &blobs, needs);
        World { folder, key, set, tapes, names, map, digests }
    }

    /// A copy of tapes and state.
    pub fn copy(&self) -> Copy<'_> {
        let folder = memory_folder();
        for name in ["library", "state"] {
            copy_folder(&self.folder.path().join(name), &folder.path().join(name));
        }
        Copy { world: self, folder }
    }
}

/// Adds a snapshot; its name on tape, and its chunks' files.
fn add_snapshot(
    store: &Arc<Datastore>,
    namespace: &str,
    group: &str,
    time: i64,
    chunks: &[Vec<u8>],
    key: Option<&CryptConfig>,
) -> (String, BTreeMap<Digest, Vec<u8>>) {
    let namespace: Namespace = namespace.parse().unwrap();
    store.create_namespace(&namespace, true).unwrap();
    let snapshot = SnapshotPath::new(group.parse().unwrap(), time).unwrap();
    let group = GroupWriter::open(store, &namespace, snapshot.group(), "root@pam").unwrap();
    let writer = SnapshotWriter::begin_backup(&group, time).unwrap();
    let mode = if key.is_some() { CryptMode::Encrypt } else { CryptMode::None };
    let (mut entries, mut blobs) = (Vec::new(), BTreeMap::new());
    for chunk in chunks {
        let digest = key.map_or_else(|| Digest::of(chunk), |key| key.digest(chunk));
        allow_chunk(store, &digest);
        let blob = DataBlob::encode(chunk, key, true).unwrap();
        writer.insert_chunk(&digest, &blob, chunk.len() as u64).unwrap();
        entries.push((chunk.len() as u64, digest));
        blobs.insert(digest, std::fs::read(store.chunks().path(&digest)).unwrap());
    }
    let mut manifest = Manifest::new(&snapshot);
    manifest.add(writer.add_dynamic_index("root.pxar.didx", &entries, mode).unwrap()).unwrap();
    let conf = DataBlob::encode(b"configuration", key, true).unwrap();
    manifest.add(writer.add_blob("etc.conf.blob", &conf, mode).unwrap()).unwrap();
    if let Some(key) = key {
        manifest.sign(key).unwrap();
    }
    writer.finish(manifest).unwrap();
    (format!("{STORE}:{}", qualified_name(&namespace, &snapshot)), blobs)
}

/// A copy that may be damaged.
pub struct Copy<'w> {
    pub world: &'w World,
    folder: TempDir,
}

impl Copy<'_> {
    fn library(&self) -> PathBuf {
        self.folder.path().join("library")
    }

    /// The log of a tape.
    pub fn log(&self, tape: usize) -> Log {
        Log::read(&self.library().join("cartridges").join(&self.world.tapes[tape]))
    }

    pub fn verify(&self) -> VerifyReport {
        let state = StateDir::open(self.folder.path().join("state")).unwrap();
        let mut drive = station(&state, &self.library());
        let options = VerifyOptions {
            scope: VerifyScope::Set(self.world.set),
            keys: vec![Arc::clone(&self.world.key)],
            threads: 2,
            wait: MediaWait::NONE,
        };
        run_verify(&state, &mut drive, &options, &Silent).unwrap()
    }

    /// Restores everything; the names of what came back.
    pub fn restore(&self) -> BTreeSet<String> {
        let state = StateDir::open(self.folder.path().join("state")).unwrap();
        let mut drive = station(&state, &self.library());
        let target = open_store(&self.folder.path().join("target"), &self.world.digests);
        let options = RestoreOptions {
            media_set: self.world.set,
            stores: StoreMap::all_to("target", target),
            snapshots: Vec::new(),
            owner: "root@pam".into(),
            wait: MediaWait::NONE,
            writers: 2,
        };
        let report = run_restore(&state, &mut drive, &options, &Silent).unwrap();
        report.snapshots_restored.into_iter().collect()
    }
}
