//! Check and repair through the crate's public door: every kind of disorder is found, what can be
//! repaired is, and nothing that a manifest or an index names is ever removed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use datastore::check::repair::{Outcome, Repairer};
use datastore::check::{self, Finding, Kind, Severity};
use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::lock::Mode;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{CryptConfig, CryptMode, DataBlob, Datastore, Digest, Namespace, SnapshotPath};

const SNAPSHOT: &str = "host/elsa/2024-01-01T00:00:00Z";
const OTHER: &str = "host/elsa/2024-01-02T00:00:00Z";
const INNER: &str = "vm/100/2024-01-03T00:00:00Z";

struct World {
    _dir: tempfile::TempDir,
    base: PathBuf,
    store: Arc<Datastore>,
}

impl World {
    /// A whole store with three snapshots in two namespaces, one of them encrypted.
    fn new() -> World {
        // 65536 folders take seconds on a disk and half a second in memory.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let base = dir.path().join("store");
        let options = Options { sync_level: SyncLevel::None, lock_dir: None };
        let store = Datastore::create(&base, &options).unwrap();
        let base = store.base().to_path_buf();
        let world = World { _dir: dir, base, store };
        world.back_up("", SNAPSHOT, None);
        world.back_up("", OTHER, None);
        let inner: Namespace = "site/db".parse().unwrap();
        world.store.create_namespace(&inner, true).unwrap();
        world.back_up("site/db", INNER, Some(&CryptConfig::new([7; 32]).unwrap()));
        world
    }

    fn begin(&self, namespace: &str, name: &str) -> SnapshotWriter {
        let path: SnapshotPath = name.parse().unwrap();
        let namespace = namespace.parse().unwrap();
        let group = GroupWriter::open(&self.store, &namespace, path.group(), "root@pam").unwrap();
        SnapshotWriter::begin_backup(&group, path.time()).unwrap()
    }

    fn back_up(&self, namespace: &str, name: &str, key: Option<&CryptConfig>) {
        let writer = self.begin(namespace, name);
        let mode = key.map_or(CryptMode::None, |_| CryptMode::Encrypt);
        let mut chunks = Vec::new();
        for number in 0..4 {
            let content = format!("{name} {number}").into_bytes();
            let digest = key.map_or_else(|| Digest::of(&content), |key| key.digest(&content));
            let blob = DataBlob::encode(&content, key, true).unwrap();
            writer.insert_chunk(&digest, &blob, content.len() as u64).unwrap();
            chunks.push((content.len() as u64, digest));
        }
        let mut manifest = datastore::Manifest::new(writer.snapshot());
        manifest.add(writer.add_dynamic_index("root.pxar.didx", &chunks, mode).unwrap()).unwrap();
        let blob = DataBlob::encode(b"conf", key, true).unwrap();
        manifest.add(writer.add_blob("vm.conf.blob", &blob, mode).unwrap()).unwrap();
        writer.finish(manifest).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// A chunk of [`SNAPSHOT`].
    fn chunk(&self) -> (Digest, PathBuf) {
        let digest = Digest::of(format!("{SNAPSHOT} 0").as_bytes());
        (digest, self.store.chunks().path(&digest))
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn find(&self, references: bool) -> Vec<Finding> {
        let mut findings = Vec::new();
        let options = check::Options { references };
        check::find(&self.store, &options, &Silent, &mut |finding| findings.push(finding)).unwrap();
        findings
    }

    /// Does everything that is proposed.
    fn repair(&self, findings: &[Finding]) -> Vec<Outcome> {
        let repairer = Repairer::begin(&self.store).unwrap();
        let repairs = findings.iter().filter_map(Finding::repair);
        repairs.map(|repair| repairer.apply(repair).unwrap()).collect()
    }

    /// Every file by its content, without lock files.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.base.clone()];
        while let Some(dir) = folders.pop() {
            for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
                let (path, kind) = (entry.path(), entry.file_type().unwrap());
                if kind.is_dir() && !path.ends_with(".locks") {
                    folders.push(path);
                } else if kind.is_file() {
                    files.insert(path.clone(), fs::read(path).unwrap());
                }
            }
        }
        files
    }
}

fn age(path: &Path, hours: u64) {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    let times = fs::FileTimes::new().set_accessed(time).set_modified(time);
    fs::File::open(path).unwrap().set_times(times).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn old_file(world: &World, name: &str) {
    age(&world.write(name, b"half"), 25);
}

type Seed = fn(&World);

/// What can be repaired: the damage, the kind, and where it is found (`?` stands for one character).
const REPAIRED: &[(&str, Kind, &str, Seed)] = &[
    ("a missing chunk folder", Kind::ChunkFolderMissing, ".chunks/ffff", |w| {
        fs::remove_dir(w.path(".chunks/ffff")).unwrap();
    }),
    ("mode of the store", Kind::Mode, ".", |w| mode(&w.base, 0o700)),
    ("mode of .chunks", Kind::Mode, ".chunks", |w| mode(&w.path(".chunks"), 0o755)),
    ("mode of a chunk folder", Kind::Mode, ".chunks/0001", |w| {
        mode(&w.path(".chunks/0001"), 0o700);
    }),
    ("mode of the lock", Kind::Mode, ".lock", |w| mode(&w.path(".lock"), 0o666)),
    ("mode of a group", Kind::Mode, "host/elsa", |w| mode(&w.path("host/elsa"), 0o555)),
    ("mode of a namespace", Kind::Mode, "ns/site", |w| mode(&w.path("ns/site"), 0o555)),
    ("an old temporary chunk", Kind::Temporary, "*.tmp_aB3dE9", |w| {
        let name = format!(".chunks/0000/{}.tmp_aB3dE9", "0".repeat(64));
        old_file(w, &name);
    }),
    ("an old status", Kind::Temporary, ".gc-status.tmp_abcdef", |w| {
        old_file(w, ".gc-status.tmp_abcdef");
    }),
    ("old notes", Kind::Temporary, "host/elsa/notes.tmp_abcdef", |w| {
        old_file(w, "host/elsa/notes.tmp_abcdef");
    }),
    ("an old manifest", Kind::Temporary, "*/index.json.tmp_abcdef", |w| {
        old_file(w, &format!("{SNAPSHOT}/index.json.tmp_abcdef"));
    }),
    ("an old index of the reference", Kind::Temporary, "*/x.pxar.tmp_didx", |w| {
        old_file(w, &format!("ns/site/ns/db/{INNER}/x.pxar.tmp_didx"));
    }),
    ("a store that was not made", Kind::Temporary, ".chunks_new.tmp_abcdef", |w| {
        let dir = w.path(".chunks_new.tmp_abcdef");
        fs::create_dir_all(dir.join(".chunks/0000")).unwrap();
        age(&dir.join(".chunks"), 25);
        age(&dir, 25);
    }),
    ("a chunk in another folder", Kind::MisfiledChunk, ".chunks/0000/*", |w| {
        let (digest, path) = w.chunk();
        fs::rename(path, w.path(&format!(".chunks/0000/{digest}"))).unwrap();
    }),
    ("a chunk in upper case", Kind::MisfiledChunk, ".chunks/*", |w| {
        let (digest, path) = w.chunk();
        let upper = digest.to_string().to_uppercase();
        fs::rename(&path, path.with_file_name(upper)).unwrap();
    }),
    ("an encrypted chunk in another folder", Kind::MisfiledChunk, ".chunks/0000/*", |w| {
        let key = CryptConfig::new([7; 32]).unwrap();
        let digest = key.digest(format!("{INNER} 0").as_bytes());
        let path = w.store.chunks().path(&digest);
        fs::rename(path, w.path(&format!(".chunks/0000/{digest}"))).unwrap();
    }),
    ("a folder in upper case", Kind::Stray, ".chunks/00FF", |w| {
        let (digest, path) = w.chunk();
        fs::create_dir(w.path(".chunks/00FF")).unwrap();
        fs::rename(path, w.path(&format!(".chunks/00FF/{digest}"))).unwrap();
    }),
    ("a sound chunk set aside", Kind::BadChunk, ".chunks/*.0.bad", |w| {
        let (_, path) = w.chunk();
        fs::rename(&path, path.with_extension("0.bad")).unwrap();
    }),
    ("an unfinished snapshot", Kind::UnfinishedSnapshot, "host/elsa/2024-02-01T00:00:00Z", |w| {
        old_file(w, "host/elsa/2024-02-01T00:00:00Z/root.pxar.tmp_didx");
        age(&w.path("host/elsa/2024-02-01T00:00:00Z"), 25);
    }),
    ("an empty group", Kind::EmptyGroup, "vm/7", |w| {
        fs::create_dir_all(w.path("vm/7")).unwrap();
        age(&w.path("vm/7"), 25);
    }),
    ("stale locks", Kind::StaleLocks, ".locks", |w| {
        drop(w.store.locks().group(&Namespace::root(), &"vm/9".parse().unwrap()).unwrap());
    }),
];

/// What is only told.
const TOLD: &[(&str, Kind, Severity, &str, Seed)] = &[
    ("a stray file", Kind::Stray, Severity::Warning, "letter", |w| {
        w.write("letter", b"dear");
    }),
    ("a writer that was cut off", Kind::UnsyncedMark, Severity::Info, ".capstan-unsynced-0", |w| {
        w.write(".capstan-unsynced-0", b"");
    }),
    ("a hidden stray", Kind::Stray, Severity::Warning, ".hidden", |w| {
        w.write(".hidden/x.didx", b"x");
    }),
    ("a stray in .chunks", Kind::Stray, Severity::Warning, ".chunks/x", |w| {
        w.write(".chunks/x", b"x");
    }),
    ("a stray among chunks", Kind::Stray, Severity::Warning, ".chunks/0000/*.12.bad", |w| {
        w.write(&format!(".chunks/0000/{}.12.bad", "0".repeat(64)), b"x");
    }),
    ("a stray in a type", Kind::Stray, Severity::Warning, "host/x", |w| {
        w.write("host/x", b"x");
    }),
    ("a stray in a group", Kind::Stray, Severity::Warning, "host/elsa/x", |w| {
        w.write("host/elsa/x", b"x");
    }),
    ("a stray in a snapshot", Kind::Stray, Severity::Warning, "*/x.txt", |w| {
        w.write(&format!("{OTHER}/x.txt"), b"x");
    }),
    ("a stray in a namespace", Kind::Stray, Severity::Warning, "ns/site/x", |w| {
        w.write("ns/site/x", b"x");
    }),
    ("an index outside", Kind::OutsideIndex, Severity::Warning, "a/b/x.didx", |w| {
        w.write("a/b/x.didx", b"x");
    }),
    ("a link to an index", Kind::OutsideIndex, Severity::Warning, "x.fidx", |w| {
        symlink("/nowhere", w.path("x.fidx")).unwrap();
    }),
    ("a folder like an index", Kind::WrongKind, Severity::Error, "x.didx", |w| {
        w.write("x.didx/y", b"x");
    }),
    ("a group like an index", Kind::WrongKind, Severity::Error, "vm/x.didx", |w| {
        w.write("vm/x.didx/owner", b"root@pam\n");
    }),
    ("a young temporary file", Kind::Temporary, Severity::Info, "*.tmp_abcdef", |w| {
        age(&w.write(&format!("{OTHER}/x.tmp_abcdef"), b"x"), 23);
    }),
    ("a link in a type", Kind::Symlink, Severity::Warning, "host/link", |w| {
        symlink(w.path("host/elsa"), w.path("host/link")).unwrap();
    }),
    ("a link as a type", Kind::Symlink, Severity::Warning, "ct", |w| {
        symlink(w.path("host"), w.path("ct")).unwrap();
    }),
    ("a file as a type", Kind::WrongKind, Severity::Error, "ct", |w| {
        w.write("ct", b"x");
    }),
    ("a folder as a chunk", Kind::WrongKind, Severity::Error, ".chunks/0000/*", |w| {
        fs::create_dir(w.path(&format!(".chunks/0000/{}", "0".repeat(64)))).unwrap();
    }),
    ("a file as a chunk folder", Kind::WrongKind, Severity::Error, ".chunks/0002", |w| {
        fs::remove_dir(w.path(".chunks/0002")).unwrap();
        w.write(".chunks/0002", b"x");
    }),
    ("no time", Kind::OddSnapshotName, Severity::Error, "*/2024-02-30T00:00:00Z", |w| {
        fs::create_dir(w.path("host/elsa/2024-02-30T00:00:00Z")).unwrap();
    }),
    ("no group", Kind::OddGroupName, Severity::Warning, "host/-x", |w| {
        fs::create_dir(w.path("host/-x")).unwrap();
    }),
    ("no namespace", Kind::OddNamespace, Severity::Error, "ns/bad name", |w| {
        fs::create_dir(w.path("ns/bad name")).unwrap();
    }),
    ("no owner", Kind::GroupOwner, Severity::Error, "host/elsa", |w| {
        fs::remove_file(w.path("host/elsa/owner")).unwrap();
    }),
    ("a group without snapshots", Kind::EmptyGroup, Severity::Info, "host/empty", |w| {
        w.write("host/empty/owner", b"root@pam\n");
    }),
    ("a manifest that is none", Kind::Manifest, Severity::Error, "*/index.json.blob", |w| {
        w.write(&format!("{SNAPSHOT}/index.json.blob"), b"{}");
    }),
    ("a manifest of another", Kind::Manifest, Severity::Error, "*/index.json.blob", |w| {
        let name = |snapshot: &str| w.path(&format!("{snapshot}/index.json.blob"));
        fs::copy(name(OTHER), name(SNAPSHOT)).unwrap();
    }),
    ("a missing file", Kind::MissingFile, Severity::Error, "*/vm.conf.blob", |w| {
        fs::remove_file(w.path(&format!("{SNAPSHOT}/vm.conf.blob"))).unwrap();
    }),
    ("a file that is not listed", Kind::UnlistedFile, Severity::Warning, "*/more.blob", |w| {
        w.write(&format!("{OTHER}/more.blob"), b"x");
    }),
    ("a status that is none", Kind::GcStatus, Severity::Warning, ".gc-status", |w| {
        w.write(".gc-status", b"x");
    }),
    ("a young unfinished one", Kind::UnfinishedSnapshot, Severity::Info, "*/2024-02-01T*", |w| {
        fs::create_dir(w.path("host/elsa/2024-02-01T00:00:00Z")).unwrap();
    }),
    ("a lost manifest", Kind::UnfinishedSnapshot, Severity::Warning, SNAPSHOT, |w| {
        fs::remove_file(w.path(&format!("{SNAPSHOT}/index.json.blob"))).unwrap();
        for name in ["root.pxar.didx", "vm.conf.blob", ""] {
            age(&w.path(&format!("{SNAPSHOT}/{name}")), 1000);
        }
    }),
    ("a misfiled copy", Kind::MisfiledChunk, Severity::Warning, ".chunks/0000/*", |w| {
        let (digest, path) = w.chunk();
        fs::copy(path, w.path(&format!(".chunks/0000/{digest}"))).unwrap();
    }),
    ("a damaged misfiled chunk", Kind::MisfiledChunk, Severity::Warning, ".chunks/0000/*", |w| {
        w.write(&format!(".chunks/0000/{}", Digest::of(b"nothing")), b"not this");
    }),
    ("a damaged chunk set aside", Kind::BadChunk, Severity::Info, ".chunks/*.0.bad", |w| {
        let (_, path) = w.chunk();
        fs::write(path.with_extension("0.bad"), b"not this").unwrap();
        fs::remove_file(path).unwrap();
    }),
    ("marks of an object store", Kind::ObjectStoreMark, Severity::Info, "*.using", |w| {
        w.write(&format!(".chunks/0000/{}.using", "0".repeat(64)), b"");
    }),
];

/// `*` stands for anything.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((head, tail)) => path.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && matches(tail, &rest[at..]))
        }),
    }
}

fn find<'a>(findings: &'a [Finding], kind: Kind, pattern: &str) -> Option<&'a Finding> {
    findings.iter().find(|f| f.kind == kind && matches(pattern, &f.path))
}

#[test]
fn a_healthy_store_has_no_findings() {
    let world = World::new();
    assert_eq!(world.find(true), []);
    // Neither has one that is written to.
    let writer = world.begin("", "host/elsa/2024-03-01T00:00:00Z");
    let findings = world.find(true);
    assert!(findings.iter().all(|f| f.severity == Severity::Info), "{findings:?}");
    assert!(Repairer::begin(&world.store).is_err(), "a writer keeps repairs out");
    drop(writer);
    assert_eq!(world.find(true), []);
}

/// What a damage is done to, if others are done to the same: they need a store each.
fn object(name: &str) -> &str {
    let chunk = ["chunk set aside", "misfiled", "upper case", "another folder"];
    let objects = [("manifest", "manifest"), ("missing file", "manifest"), ("type", "type")];
    let objects = objects.into_iter().chain(chunk.map(|word| (word, "chunk")));
    objects.into_iter().find(|(word, _)| name.contains(word)).map_or(name, |(_, object)| object)
}

/// Damages in as few lots as possible: a store is made and looked at for each.
fn lots<T>(rows: &[T], name: impl Fn(&T) -> &str) -> Vec<Vec<&T>> {
    let mut lots: Vec<Vec<&T>> = Vec::new();
    for row in rows {
        let fits = |lot: &&mut Vec<&T>| lot.iter().all(|o| object(name(o)) != object(name(row)));
        match lots.iter_mut().find(fits) {
            Some(lot) => lot.push(row),
            None => lots.push(vec![row]),
        }
    }
    lots
}

#[test]
fn what_can_be_repaired_is() {
    let world = World::new();
    let whole = world.files();
    for mut lot in lots(REPAIRED, |row| row.0) {
        // Modes last: the others could not be done any more.
        lot.sort_by_key(|row| row.1 == Kind::Mode);
        for (.., seed) in &lot {
            seed(&world);
        }
        let findings = world.find(false);
        for (name, kind, pattern, _) in &lot {
            let found = find(&findings, *kind, pattern);
            let found = found.unwrap_or_else(|| panic!("{name} was not found: {findings:#?}"));
            assert!(found.repair().is_some(), "{name}: {found:?}");
        }
        let outcomes = world.repair(&findings);
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Done), "{outcomes:?}");
        assert_eq!(world.find(true), []);
        assert_eq!(world.files(), whole);
    }
}

#[test]
fn an_empty_chunk_makes_room_for_a_new_one() {
    let world = World::new();
    let (digest, path) = world.chunk();
    let content = fs::read(&path).unwrap();
    fs::write(&path, b"").unwrap();
    let findings = world.find(true);
    assert!(find(&findings, Kind::EmptyChunk, ".chunks/*").is_some(), "{findings:?}");
    assert!(find(&findings, Kind::MissingChunks, "*/root.pxar.didx").is_some(), "{findings:?}");
    world.repair(&findings);
    let after = world.find(false);
    assert!(after.iter().all(|f| f.kind == Kind::BadChunk && f.severity == Severity::Info));
    let blob = DataBlob::from_bytes(content, &"test").unwrap();
    assert!(!world.store.chunks().insert(&digest, &blob).unwrap().duplicate);
    assert!(find(&world.find(true), Kind::MissingChunks, "*").is_none());
}

#[test]
fn what_cannot_be_repaired_is_told_and_left() {
    for lot in lots(TOLD, |row| row.0) {
        let world = World::new();
        for (.., seed) in &lot {
            seed(&world);
        }
        let before = world.files();
        let findings = world.find(false);
        for (name, kind, severity, pattern, _) in &lot {
            let fits = |f: &&Finding| {
                f.kind == *kind && f.severity == *severity && matches(pattern, &f.path)
            };
            let found = findings.iter().find(fits);
            let found = found.unwrap_or_else(|| panic!("{name} was not found: {findings:#?}"));
            assert_eq!(found.repair(), None, "{name}: {found:?}");
        }
        world.repair(&findings);
        assert_eq!(world.files(), before);
        assert_eq!(world.find(false), findings, "they stay");
    }
}

#[test]
fn files_of_others_are_given_back() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("note: only root can give files away; this test has nothing to do");
        return;
    }
    let world = World::new();
    let chown = |path: &Path| std::os::unix::fs::chown(path, Some(1234), Some(1234)).unwrap();
    let (_, chunk) = world.chunk();
    for path in [
        chunk,
        world.path(".lock"),
        world.path("host/elsa"),
        world.path("host/elsa/owner"),
        world.path(&format!("{SNAPSHOT}/index.json.blob")),
    ] {
        chown(&path);
    }
    let findings = world.find(false);
    assert_eq!(findings.len(), 5, "{findings:#?}");
    assert!(findings.iter().all(|f| f.kind == Kind::Ownership));
    world.repair(&findings);
    assert_eq!(world.find(false), []);
}

#[test]
fn what_is_held_or_came_back_to_life_is_left() {
    let world = World::new();
    let name = "host/elsa/2024-02-01T00:00:00Z";
    old_file(&world, &format!("{name}/root.pxar.tmp_didx"));
    age(&world.path(name), 25);
    let findings = world.find(false);
    assert_eq!(findings.len(), 2, "the file and the folder: {findings:?}");
    let snapshot: SnapshotPath = name.parse().unwrap();
    let guard = world.store.locks().snapshot(&Namespace::root(), &snapshot, Mode::Shared).unwrap();
    let outcomes = world.repair(&findings);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Left(_))), "{outcomes:?}");
    drop(guard);
    // Its writer goes on.
    fs::write(world.path(&format!("{name}/root.pxar.tmp_didx")), b"more").unwrap();
    let outcomes = world.repair(&findings);
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Left(_))), "{outcomes:?}");
    assert!(world.path(&format!("{name}/root.pxar.tmp_didx")).exists());
    // The right place was taken meanwhile: the one that is there stays.
    let (digest, path) = world.chunk();
    let wrong = world.path(&format!(".chunks/0000/{digest}"));
    fs::rename(&path, &wrong).unwrap();
    let findings = world.find(false);
    fs::copy(&wrong, &path).unwrap();
    let content = fs::read(&path).unwrap();
    let moved = findings.iter().position(|f| f.kind == Kind::MisfiledChunk).unwrap();
    assert!(matches!(world.repair(&findings[moved..=moved])[0], Outcome::Left(_)));
    assert_eq!((fs::read(&path).unwrap(), wrong.exists()), (content, true));
}

#[test]
fn missing_chunks_are_told_once_an_index() {
    let world = World::new();
    let (digest, path) = world.chunk();
    fs::remove_file(path).unwrap();
    assert_eq!(world.find(false), []);
    let findings = world.find(true);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].kind, Kind::MissingChunks);
    assert_eq!(findings[0].path, format!("{SNAPSHOT}/root.pxar.didx"));
    assert!(findings[0].detail.contains("1 of its 4"), "{findings:?}");
    assert!(findings[0].detail.contains(&digest.to_string()), "{findings:?}");
}

/// Damages of all kinds on top of each other, in an order that a seed decides: no repair ever
/// removes or changes what a manifest or an index names, and a second round finds nothing to do.
#[test]
fn no_repair_removes_what_is_referred_to() {
    let seed = std::env::var("CAPSTAN_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| datastore::time::now() as u64);
    eprintln!("CAPSTAN_TEST_SEED={seed}");
    let mut state = seed | 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    for round in 0..3 {
        let world = World::new();
        let whole = world.files();
        let mut done = Vec::new();
        for _ in 0..4 + random(16) {
            let (name, _, _, seed) = &REPAIRED[random(REPAIRED.len())];
            // A chunk can be put in the wrong place once.
            if done.iter().any(|other: &&str| object(other) == object(name)) {
                continue;
            }
            seed(&world);
            done.push(*name);
        }
        let damaged = world.files();
        let findings = world.find(true);
        let what = format!("seed {seed}, round {round}, {done:?}");
        for finding in &findings {
            let Some(gone) = finding.repair().and_then(|repair| repair.removes(&world.store))
            else {
                continue;
            };
            for path in whole.keys() {
                assert!(!path.starts_with(&gone), "{what}: {finding:?} removes {}", path.display());
            }
        }
        world.repair(&findings);
        let after = world.files();
        for (path, content) in &whole {
            let before = damaged.get(path);
            if before == Some(content) {
                assert_eq!(after.get(path), Some(content), "{what}: {}", path.display());
            }
        }
        assert_eq!(after, whole, "{what}");
        assert_eq!(world.find(true), [], "{what}");
    }
}

/// The reference's own store is in order.
#[test]
fn a_store_of_the_reference_is_in_order() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(PathBuf::from) else {
        eprintln!("note: CAPSTAN_GOLDEN is not set; this test has nothing to do");
        return;
    };
    let world = World::new();
    for name in ["host", "ns"] {
        fs::remove_dir_all(world.path(name)).unwrap();
    }
    fs::remove_dir_all(world.path(".locks")).unwrap();
    copy(&golden.join("datastore"), &world.base);
    let findings = world.find(true);
    assert_eq!(findings, []);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
