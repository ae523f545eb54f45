//! The datastore that changes every day, and what was in it.
//!
//! What a snapshot must come back as is computed here from the bytes that went in, not read from the datastore.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, FileTimes};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datastore::hierarchy::qualified_name;
use datastore::manifest::Manifest;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{CryptMode, DataBlob, Datastore, Digest, Namespace, SnapshotPath};
use tempfile::TempDir;

use crate::common::{allow_chunk, memory_folder, noise};
use crate::dice::Dice;
use crate::store::{Print, open_store};

/// Name of the datastore on tape.
pub const STORE: &str = "main";
/// Snapshots of a group that stay on disk.
const KEEP_LAST: usize = 4;
/// Older than any writer of this process.
const OLD: Duration = Duration::from_secs(400_000);

/// What a snapshot was.
pub struct Kept {
    pub print: Print,
    pub chunks: BTreeSet<Digest>,
}

/// A machine that is backed up each day.
struct Machine {
    namespace: Namespace,
    group: &'static str,
    /// Its disk: what each part of it is made of.
    parts: Vec<u64>,
    /// How many parts change in a day, at most.
    changes: u64,
}

pub struct Source {
    _folder: TempDir,
    pub store: Arc<Datastore>,
    machines: Vec<Machine>,
    dice: Dice,
    /// Snapshots that are on disk.
    pub on_disk: BTreeSet<String>,
    /// Chunks that were written and not collected.
    written: BTreeMap<Digest, u64>,
}

impl Source {
    pub fn new(seed: u64) -> Source {
        let folder = memory_folder();
        let store = open_store(&folder.path().join("source"));
        let office: Namespace = "office".parse().unwrap();
        store.create_namespace(&office, true).unwrap();
        let machine = |number: u64, namespace, group, parts: u64, changes| Machine {
            namespace,
            group,
            parts: (0..parts).map(|part| number << 48 | part).collect(),
            changes,
        };
        let machines = vec![
            machine(1, Namespace::root(), "host/web", 40, 10),
            machine(2, Namespace::root(), "vm/100", 60, 14),
            machine(3, office, "ct/7", 30, 6),
        ];
        Source {
            _folder: folder,
            store,
            machines,
            dice: Dice(seed ^ 0x50),
            on_disk: BTreeSet::new(),
            written: BTreeMap::new(),
        }
    }

    /// The backups of a day, and what goes because of them. What the new snapshots are.
    pub fn day(&mut self, day: u64, time: i64) -> Vec<(String, Kept)> {
        let mut made = Vec::new();
        for number in 0..self.machines.len() {
            let throw = |n: u64| self.dice.roll(day << 16 | (number as u64) << 8 | n);
            let machine = &mut self.machines[number];
            let parts = machine.parts.len() as u64;
            for change in 0..1 + throw(0) % machine.changes {
                let part = (throw(2 * change + 1) % parts) as usize;
                machine.parts[part] = throw(2 * change + 2);
            }
            made.push(self.back_up(number, time));
        }
        self.prune();
        if day % 7 == 6 {
            self.collect();
        }
        made
    }

    fn back_up(&mut self, number: usize, time: i64) -> (String, Kept) {
        let machine = &self.machines[number];
        let snapshot = SnapshotPath::new(machine.group.parse().unwrap(), time).unwrap();
        let (store, namespace) = (&self.store, &machine.namespace);
        let group = GroupWriter::open(store, namespace, snapshot.group(), "root@pam").unwrap();
        let writer = SnapshotWriter::begin_backup(&group, time).unwrap();
        let (mut entries, mut whole) = (Vec::new(), Vec::new());
        for part in &machine.parts {
            let content = noise(*part, 40_000 + (*part % 97) as usize * 1_300);
            let digest = Digest::of(&content);
            if !self.written.contains_key(&digest) || !writer.reuse_chunk(&digest).unwrap() {
                allow_chunk(store, &digest);
                let blob = DataBlob::encode(&content, None, true).unwrap();
                writer.insert_chunk(&digest, &blob, content.len() as u64).unwrap();
                self.written.insert(digest, content.len() as u64);
            }
            entries.push((content.len() as u64, digest));
            whole.extend(content);
        }
        let mut manifest = Manifest::new(&snapshot);
        let none = CryptMode::None;
        manifest.add(writer.add_dynamic_index("root.pxar.didx", &entries, none).unwrap()).unwrap();
        let text = format!("{} at {time}", machine.group);
        let conf = DataBlob::encode(text.as_bytes(), None, true).unwrap();
        manifest.add(writer.add_blob("etc.conf.blob", &conf, none).unwrap()).unwrap();
        writer.finish(manifest).unwrap();
        let name = qualified_name(namespace, &snapshot);
        self.on_disk.insert(name.clone());
        let print = vec![
            ("root.pxar.didx".to_owned(), Digest::of(&whole)),
            ("etc.conf.blob".to_owned(), Digest::of(conf.as_bytes())),
        ];
        (name, Kept { print, chunks: entries.into_iter().map(|(_, digest)| digest).collect() })
    }

    /// Only the newest snapshots stay on disk.
    fn prune(&mut self) {
        for machine in &self.machines {
            let group = machine.group.parse().unwrap();
            let mut odd: Vec<String> = Vec::new();
            let mut all = self.store.snapshots(&machine.namespace, &group, &mut odd).unwrap();
            assert!(odd.is_empty(), "{odd:?}");
            all.truncate(all.len().saturating_sub(KEEP_LAST));
            for old in all {
                self.store.forget_snapshot(&machine.namespace, &old.path).unwrap();
                self.on_disk.remove(&qualified_name(&machine.namespace, &old.path));
            }
        }
    }

    /// A collection, for which all chunks are old: nobody writes now.
    fn collect(&mut self) {
        let old = SystemTime::now() - OLD;
        let times = FileTimes::new().set_accessed(old).set_modified(old);
        for digest in self.written.keys() {
            let path = self.store.chunks().path(digest);
            File::open(path).unwrap().set_times(times).unwrap();
        }
        let options = datastore::gc::Options {
            atime_safety_check: false,
            ..datastore::gc::Options::default()
        };
        datastore::gc::collect(&self.store, &options, &Silent).unwrap();
        let store = Arc::clone(&self.store);
        self.written.retain(|digest, _| store.chunks().path(digest).exists());
    }
}
