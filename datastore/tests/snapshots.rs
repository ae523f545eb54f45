//! Snapshots through the crate's public door: they appear whole or not at all, exclude each other
//! as they should, and damage is found.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::verify::{self, Verifier};
use datastore::{
    CryptConfig, CryptMode, DataBlob, Datastore, Digest, Error, Manifest, Namespace, SnapshotPath,
    SnapshotReader,
};

const OWNER: &str = "root@pam";

/// A store has 65536 folders, which take a disk many seconds to make and to remove; memory does
/// it at once.
fn new_store() -> (tempfile::TempDir, Arc<Datastore>) {
    let memory = Path::new("/dev/shm");
    let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
    let options = Options { sync_level: SyncLevel::None, lock_dir: None };
    let store = Datastore::create(&dir.path().join("store"), &options).unwrap();
    (dir, store)
}

fn snapshot(text: &str) -> SnapshotPath {
    text.parse().unwrap()
}

/// One image of `chunks` pieces of content and a small file.
fn back_up(
    store: &Arc<Datastore>,
    namespace: &Namespace,
    name: &str,
    chunks: &[&[u8]],
    key: Option<&CryptConfig>,
) -> Result<Manifest, Error> {
    let path = snapshot(name);
    let group = GroupWriter::open(store, namespace, path.group(), OWNER)?;
    let writer = SnapshotWriter::begin_backup(&group, path.time())?;
    let mode = if key.is_some() { CryptMode::Encrypt } else { CryptMode::None };
    let mut entries = Vec::new();
    for content in chunks {
        let digest = key.map_or_else(|| Digest::of(content), |key| key.digest(content));
        let blob = DataBlob::encode(content, key, true)?;
        writer.insert_chunk(&digest, &blob, content.len() as u64)?;
        entries.push((content.len() as u64, digest));
    }
    let mut manifest = Manifest::new(&path);
    manifest.add(writer.add_dynamic_index("root.pxar.didx", &entries, mode)?)?;
    let conf = DataBlob::encode(b"name: elsa\n", key, true)?;
    manifest.add(writer.add_blob("elsa.conf.blob", &conf, mode)?)?;
    if let Some(key) = key {
        manifest.sign(key)?;
    }
    writer.finish(manifest)
}

fn verify_all(store: &Arc<Datastore>, keys: Vec<Arc<CryptConfig>>) -> Vec<String> {
    let record = Some(verify::TaskName { upid: "UPID:x".into() });
    let options = verify::Options { keys, threads: 2, record };
    let mut verifier = Verifier::new(store, &options, &Silent);
    let mut errors = Vec::new();
    for namespace in store.namespaces(&Namespace::root(), None, &mut ()).unwrap() {
        for group in store.groups(&namespace).unwrap() {
            for info in store.snapshots(&namespace, &group, &mut ()).unwrap() {
                let report = verifier.snapshot(&namespace, &info.path).unwrap();
                assert_eq!(report.ok, report.errors.is_empty());
                errors.extend(report.errors);
            }
        }
    }
    errors
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_new_store_has_the_layout_of_the_format() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, store) = new_store();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(store.base()), 0o755);
    let chunks = store.base().join(".chunks");
    assert_eq!(mode(&chunks), 0o750);
    assert_eq!(mode(&chunks.join("ffff")), 0o750);
    assert_eq!(mode(&store.base().join(".lock")), 0o644);
    let names = names_in(&chunks);
    assert_eq!(names.len(), 65536);
    assert_eq!((names[0].as_str(), names[65535].as_str()), ("0000", "ffff"));
    assert_eq!(names_in(store.base()), [".chunks", ".lock"]);
}

#[test]
fn a_store_is_never_made_over_something_else() {
    let (dir, store) = new_store();
    let options = Options::default();
    let refused = |path: &Path| Datastore::create(path, &options).err().unwrap().to_string();
    assert!(refused(store.base()).contains("already exists"));
    assert!(refused(&store.base().join("inner")).contains("inside the datastore"));
    let full = dir.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("thesis.txt"), "x").unwrap();
    assert!(refused(&full).contains("thesis.txt"));
    assert_eq!(names_in(&full), ["thesis.txt"]);
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    Datastore::create(&file, &options).err().unwrap();
    for not_a_store in [dir.path().join("missing"), full] {
        let error = Datastore::open(&not_a_store, &options).err().unwrap();
        assert!(matches!(error, Error::NotADatastore { .. }), "{error}");
    }
}

#[test]
fn what_was_backed_up_is_read_back_and_verifies() {
    let (_dir, store) = new_store();
    let key = Arc::new(CryptConfig::new([5; 32]).unwrap());
    let deep: Namespace = "a/b".parse().unwrap();
    assert!(matches!(
        back_up(&store, &deep, "host/elsa/2024-01-01T00:00:00Z", &[b"x"], None),
        Err(Error::NotFound { .. })
    ));
    store.create_namespace(&deep, true).unwrap();
    for (namespace, key) in [(Namespace::root(), None), (deep.clone(), Some(&*key))] {
        let name = "host/elsa/2024-01-01T00:00:00Z";
        let manifest = back_up(&store, &namespace, name, &[b"one", b"two", b"one"], key).unwrap();
        assert_eq!(manifest.unprotected["chunk_upload_stats"]["count"], 3);
        assert_eq!(manifest.unprotected["chunk_upload_stats"]["duplicates"], 1);
        let reader = SnapshotReader::open(&store, &namespace, &snapshot(name)).unwrap();
        let config = reader.blob_content("elsa.conf.blob", key).unwrap();
        assert_eq!(config, b"name: elsa\n");
        let index = reader.index("root.pxar.didx").unwrap();
        let content: Vec<u8> = index
            .entries()
            .flat_map(|entry| {
                let blob = store.chunks().read(&entry.digest).unwrap();
                blob.decode_chunk(key, &entry.digest, entry.len() as usize).unwrap()
            })
            .collect();
        assert_eq!(content, b"onetwoone");
    }
    assert_eq!(
        store.owner(&deep, snapshot("host/elsa/2024-01-01T00:00:00Z").group()).unwrap(),
        OWNER
    );
    assert_eq!(verify_all(&store, vec![key]), Vec::<String>::new());
    assert_eq!(store.namespaces(&Namespace::root(), None, &mut ()).unwrap().len(), 3);
    let info = store
        .snapshots(&deep, snapshot("host/elsa/2024-01-01T00:00:00Z").group(), &mut ())
        .unwrap();
    assert!(info[0].finished && !info[0].protected);
    assert_eq!(info[0].files, ["elsa.conf.blob", "index.json.blob", "root.pxar.didx"]);
}

#[test]
fn an_unfinished_backup_leaves_nothing() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    {
        let group = GroupWriter::open(&store, &root, path.group(), OWNER).unwrap();
        let writer = SnapshotWriter::begin_backup(&group, path.time()).unwrap();
        let blob = DataBlob::encode(b"x", None, true).unwrap();
        writer.add_blob("x.conf.blob", &blob, CryptMode::None).unwrap();
        // In progress: listed as unfinished, not readable.
        let info = store.snapshots(&root, path.group(), &mut ()).unwrap();
        assert!(!info[0].finished);
        assert!(SnapshotReader::open(&store, &root, &path).err().unwrap().is_retryable());
    }
    assert!(store.groups(&root).unwrap().is_empty());
    assert!(names_in(&store.base().join("host")).is_empty());
    // A group that has a snapshot stays.
    back_up(&store, &root, "host/elsa/2024-01-01T00:00:00Z", &[b"x"], None).unwrap();
    let group = GroupWriter::open(&store, &root, path.group(), OWNER).unwrap();
    drop(SnapshotWriter::begin_backup(&group, path.time() + 1).unwrap());
    drop(group);
    assert_eq!(store.snapshots(&root, path.group(), &mut ()).unwrap().len(), 1);
    assert_eq!(names_in(&store.base().join("host/elsa")), ["2024-01-01T00:00:00Z", "owner"]);
}

#[test]
fn backups_that_contradict_others_are_refused_and_change_nothing() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let name = "host/elsa/2024-01-01T00:00:00Z";
    back_up(&store, &root, name, &[b"x"], None).unwrap();
    let before = names_in(&store.base().join("host/elsa"));
    let refused = |name: &str| back_up(&store, &root, name, &[b"y"], None).err().unwrap();
    assert!(matches!(refused(name), Error::Exists { .. }));
    let older = refused("host/elsa/2023-12-31T00:00:00Z");
    assert!(older.to_string().contains("not after"), "{older}");
    let path = snapshot(name);
    let stranger = GroupWriter::open(&store, &root, path.group(), "eve@pam").err().unwrap();
    assert!(stranger.to_string().contains("belongs to root@pam"), "{stranger}");
    let busy = GroupWriter::open(&store, &root, path.group(), OWNER).unwrap();
    assert!(refused("host/elsa/2024-01-02T00:00:00Z").is_retryable());
    drop(busy);
    assert_eq!(names_in(&store.base().join("host/elsa")), before);
    for owner in ["", "root", "root@", "@pam", "a b@pam", "root@pam!"] {
        assert!(GroupWriter::open(&store, &root, path.group(), owner).is_err(), "{owner}");
    }
}

#[test]
fn a_manifest_that_does_not_fit_its_files_is_not_published() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    let blob = DataBlob::encode(b"x", None, true).unwrap();
    let attempt = |spoil: &dyn Fn(&mut Manifest, datastore::manifest::FileInfo)| {
        let group = GroupWriter::open(&store, &root, path.group(), OWNER).unwrap();
        let writer = SnapshotWriter::begin_backup(&group, path.time()).unwrap();
        let file = writer.add_blob("x.conf.blob", &blob, CryptMode::None).unwrap();
        let mut manifest = Manifest::new(&path);
        spoil(&mut manifest, file);
        writer.finish(manifest)
    };
    assert!(attempt(&|_, _| {}).is_err());
    assert!(
        attempt(&|m, mut f| {
            f.size += 1;
            m.add(f).unwrap()
        })
        .is_err()
    );
    assert!(
        attempt(&|m, mut f| {
            f.csum.0[0] ^= 1;
            m.add(f).unwrap()
        })
        .is_err()
    );
    assert!(
        attempt(&|m, mut f| {
            m.add(f.clone()).unwrap();
            f.filename = "y.conf.blob".into();
            m.add(f).unwrap()
        })
        .is_err()
    );
    assert!(store.groups(&root).unwrap().is_empty());
    attempt(&|m, f| m.add(f).unwrap()).unwrap();

    let group = GroupWriter::open(&store, &root, path.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_backup(&group, path.time() + 1).unwrap();
    for bad in ["index.json.blob", "client.log.blob", "../x.blob", "x.didx", "x"] {
        assert!(writer.add_blob(bad, &blob, CryptMode::None).is_err(), "{bad}");
    }
    assert!(writer.add_dynamic_index("a.pxar.didx", &[], CryptMode::None).is_err());
    let empty = Manifest::new(writer.snapshot());
    assert!(writer.finish(empty).is_err());
}

#[test]
fn a_reader_keeps_its_snapshot_and_the_base_is_kept_too() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let name = snapshot("host/elsa/2024-01-01T00:00:00Z");
    back_up(&store, &root, &name.to_string(), &[b"x"], None).unwrap();
    let exclusive = || store.locks().snapshot(&root, &name, datastore::lock::Mode::Exclusive);
    let reader = SnapshotReader::open(&store, &root, &name).unwrap();
    assert!(exclusive().is_err());
    drop(reader);
    let group = GroupWriter::open(&store, &root, name.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_backup(&group, name.time() + 1).unwrap();
    assert_eq!(writer.base(), Some(&name));
    assert!(writer.base_index("root.pxar.didx", CryptMode::SignOnly).is_some());
    assert!(writer.base_index("root.pxar.didx", CryptMode::Encrypt).is_none());
    assert!(writer.reuse_chunk(&Digest::of(b"x")).unwrap());
    assert!(!writer.reuse_chunk(&Digest::of(b"y")).unwrap());
    assert!(exclusive().is_err());
    drop(writer);
    drop(exclusive().unwrap());
}

/// Damage × place: everything is found, nothing else is blamed, and a new backup heals chunks.
#[test]
fn damage_is_found_and_the_next_backup_heals_it() {
    let key = Arc::new(CryptConfig::new([5; 32]).unwrap());
    let name = "host/elsa/2024-01-01T00:00:00Z";
    let next = "host/elsa/2024-01-02T00:00:00Z";
    let root = Namespace::root();
    for use_key in [false, true] {
        let key = use_key.then_some(&key);
        let config = key.map(|key| &**key);
        let keys: Vec<_> = key.cloned().into_iter().collect();
        let (_dir, store) = new_store();
        let mut case = 0;
        for place in ["chunk", "root.pxar.didx", "elsa.conf.blob", "index.json.blob"] {
            for action in ["delete", "truncate", "flip", "empty"] {
                case += 1;
                let content: [&[u8]; 2] = [&[case; 5000], b"two"];
                let digest =
                    key.map_or_else(|| Digest::of(content[0]), |key| key.digest(content[0]));
                back_up(&store, &root, name, &content, config).unwrap();
                let path = match place {
                    "chunk" => store.chunks().path(&digest),
                    file => store.snapshot_dir(&root, &snapshot(name)).join(file),
                };
                let mut bytes = std::fs::read(&path).unwrap();
                match action {
                    "delete" => std::fs::remove_file(&path).unwrap(),
                    "truncate" => std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
                    "flip" => {
                        let last = bytes.len() - 1;
                        bytes[last] ^= 1;
                        std::fs::write(&path, &bytes).unwrap();
                    }
                    _ => std::fs::write(&path, b"").unwrap(),
                }
                let errors = verify_all(&store, keys.clone());
                assert!(!errors.is_empty(), "{place} {action} {use_key}");
                if place == "chunk" {
                    // Said to be failed, so it is no base, and its damaged chunk is out of the way.
                    back_up(&store, &root, next, &content, config).unwrap();
                    assert_eq!(verify_all(&store, keys.clone()), Vec::<String>::new(), "{action}");
                }
                std::fs::remove_dir_all(store.base().join("host")).unwrap();
            }
        }
    }
}

#[test]
fn odd_names_are_left_out_of_listings_and_told() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    back_up(&store, &root, "host/elsa/2024-01-01T00:00:00Z", &[b"x"], None).unwrap();
    let group_dir = store.base().join("host/elsa");
    for odd in ["2024-02-30T00:00:00Z", "2024-01-01T00:00:00Zx", "notes.d"] {
        std::fs::create_dir(group_dir.join(odd)).unwrap();
    }
    std::fs::write(group_dir.join("2024-05-05T00:00:00Z"), "a file").unwrap();
    std::os::unix::fs::symlink("2024-01-01T00:00:00Z", group_dir.join("2024-06-06T00:00:00Z"))
        .unwrap();
    std::fs::create_dir_all(store.base().join("ns/bad name")).unwrap();
    std::fs::create_dir_all(store.base().join("host/.hidden")).unwrap();
    let mut odd = Vec::new();
    let group = "host/elsa".parse().unwrap();
    assert_eq!(store.snapshots(&root, &group, &mut odd).unwrap().len(), 1);
    assert_eq!(store.namespaces(&root, None, &mut odd).unwrap(), [Namespace::root()]);
    assert_eq!(store.groups(&root).unwrap(), [group]);
    assert_eq!(odd.len(), 2, "{odd:?}");
}

/// Garbage collection stops at an index that is none, wherever it lies.
#[test]
fn an_index_from_tape_that_is_none_never_has_its_name() {
    let (_dir, store) = new_store();
    let wanted = snapshot("host/elsa/2024-05-01T10:00:00Z");
    let group = GroupWriter::open(&store, &Namespace::root(), wanted.group(), "root@pam").unwrap();
    let writer = SnapshotWriter::begin_restore(&group, wanted.time()).unwrap();
    for name in ["root.pxar.didx", "disk.img.fidx"] {
        let error = writer.copy_file(name, &mut &b"garbage"[..]).unwrap_err();
        assert!(error.is_damaged() && error.to_string().contains(name), "{error}");
    }
    let dir = store.snapshot_dir(&Namespace::root(), &wanted);
    assert_eq!(names_in(&dir), [""; 0]);
    writer.copy_file("vm.conf.blob", &mut &b"anything"[..]).unwrap();
    assert_eq!(names_in(&dir), ["vm.conf.blob"]);
}

#[test]
fn a_restored_snapshot_needs_all_its_chunks() {
    let (_dir, source) = new_store();
    let root = Namespace::root();
    let name = snapshot("host/elsa/2024-01-01T00:00:00Z");
    back_up(&source, &root, &name.to_string(), &[b"one", b"two"], None).unwrap();
    let reader = SnapshotReader::open(&source, &root, &name).unwrap();
    let file = |name: &str| {
        std::fs::read(source.snapshot_dir(&root, reader.snapshot()).join(name)).unwrap()
    };

    let (_dir2, target) = new_store();
    for complete in [false, true] {
        let group = GroupWriter::open(&target, &root, name.group(), OWNER).unwrap();
        let writer = SnapshotWriter::begin_restore(&group, name.time()).unwrap();
        for info in reader.manifest().files() {
            writer.copy_file(&info.filename, &mut &file(&info.filename)[..]).unwrap();
        }
        assert_eq!(writer.needed_chunks().unwrap().len(), 2);
        let present: &[&[u8]] = if complete { &[b"one", b"two"] } else { &[b"one"] };
        for content in present {
            let blob = source.chunks().read(&Digest::of(content)).unwrap();
            target.chunks().insert(&Digest::of(content), &blob).unwrap();
        }
        let result = writer.finish_restore(reader.manifest().clone());
        drop(writer);
        if complete {
            result.unwrap();
        } else {
            assert!(matches!(result, Err(Error::ChunkMissing { .. })));
            drop(group);
            assert!(target.groups(&root).unwrap().is_empty());
        }
    }
    assert_eq!(verify_all(&target, vec![]), Vec::<String>::new());
    // There already: not again.
    let group = GroupWriter::open(&target, &root, name.group(), OWNER).unwrap();
    assert!(matches!(
        SnapshotWriter::begin_restore(&group, name.time()),
        Err(Error::Exists { .. })
    ));
    // What an interrupted restore left is replaced.
    let leftover = target.snapshot_dir(&root, &snapshot("host/elsa/2023-01-01T00:00:00Z"));
    std::fs::create_dir(&leftover).unwrap();
    std::fs::write(leftover.join("root.pxar.didx"), "half").unwrap();
    let time = snapshot("host/elsa/2023-01-01T00:00:00Z").time();
    let writer = SnapshotWriter::begin_restore(&group, time).unwrap();
    assert!(names_in(&leftover).is_empty());
    drop(writer);
    assert!(!leftover.exists());
}

#[test]
fn every_golden_snapshot_verifies() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("golden");
    let status = std::process::Command::new("cp")
        .arg("-rp")
        .arg(golden.join("datastore"))
        .arg(&base)
        .status()
        .unwrap();
    assert!(status.success());
    // Empty folders are left out of the golden data; nothing here writes to them.
    let make_writable =
        std::process::Command::new("chmod").arg("-R").arg("u+w").arg(&base).status();
    assert!(make_writable.unwrap().success());
    let store = Datastore::open(&base, &Options::default()).unwrap();
    let key = std::fs::read(golden.join("keys/enc-none.json")).unwrap();
    let key = datastore::KeyConfig::from_json(&key).unwrap();
    let key = Arc::new(key.unlock(&mut || panic!("no passphrase")).unwrap());
    assert_eq!(verify_all(&store, vec![key]), Vec::<String>::new());
    let mut count = 0;
    for namespace in store.namespaces(&Namespace::root(), None, &mut ()).unwrap() {
        for group in store.groups(&namespace).unwrap() {
            count += store.snapshots(&namespace, &group, &mut ()).unwrap().len();
        }
    }
    assert_eq!(count, 10);
}

#[test]
fn a_refused_backup_leaves_the_group_of_somebody_else_alone() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    let dir = store.base().join("host/elsa");
    std::fs::create_dir_all(dir.join("2023-01-01T00:00:00Z")).unwrap();
    // A group that lost its owner belongs to nobody, not to whoever comes first.
    assert!(GroupWriter::open(&store, &root, path.group(), OWNER).is_err());
    std::fs::remove_dir(dir.join("2023-01-01T00:00:00Z")).unwrap();
    std::fs::write(dir.join("owner"), "eve@pam\n").unwrap();
    assert!(GroupWriter::open(&store, &root, path.group(), OWNER).is_err());
    assert_eq!(std::fs::read_to_string(dir.join("owner")).unwrap(), "eve@pam\n");
    // The empty folder that a crash leaves before the owner is written is no group yet.
    std::fs::remove_file(dir.join("owner")).unwrap();
    drop(GroupWriter::open(&store, &root, path.group(), OWNER).unwrap());
    assert!(!dir.exists());
}

#[test]
fn a_snapshot_being_written_is_skipped_and_a_left_over_one_is_told() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    let options = verify::Options { keys: vec![], threads: 1, record: None };
    let check = || Verifier::new(&store, &options, &Silent).snapshot(&root, &path).unwrap();
    let group = GroupWriter::open(&store, &root, path.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_backup(&group, path.time()).unwrap();
    let report = check();
    assert!(report.ok && report.skipped.is_some(), "{report:?}");
    drop(writer);
    std::fs::create_dir(store.snapshot_dir(&root, &path)).unwrap();
    assert!(!check().ok);
}

#[test]
fn a_wrong_header_checksum_is_found_but_hinders_no_restore() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    back_up(&store, &root, &path.to_string(), &[b"one"], None).unwrap();
    let index = store.snapshot_dir(&root, &path).join("root.pxar.didx");
    let mut bytes = std::fs::read(&index).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    SnapshotReader::open(&store, &root, &path).unwrap().index("root.pxar.didx").unwrap();
    assert_eq!(verify_all(&store, vec![]).len(), 1);
}

/// Anybody who can write the store can write which key a manifest names.
#[test]
fn a_key_that_is_only_named_condemns_no_chunk() {
    let (_dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    let key = Arc::new(CryptConfig::new([5; 32]).unwrap());
    let other = Arc::new(CryptConfig::new([6; 32]).unwrap());
    back_up(&store, &root, &path.to_string(), &[b"one"], Some(&key)).unwrap();
    let file = store.snapshot_dir(&root, &path).join("index.json.blob");
    let blob = DataBlob::from_bytes(std::fs::read(&file).unwrap(), &"manifest").unwrap();
    let mut manifest = Manifest::from_blob(&blob, &"manifest").unwrap();
    let named = other.fingerprint().to_string();
    manifest.unprotected.insert("key-fingerprint".into(), named.into());
    std::fs::write(&file, manifest.to_blob().unwrap().as_bytes()).unwrap();
    let errors = verify_all(&store, vec![key.clone(), other]);
    assert!(errors.iter().any(|error| error.contains("signature")), "{errors:?}");
    assert!(store.chunks().read(&key.digest(b"one")).is_ok());
}

#[test]
fn a_name_in_a_manifest_does_not_lead_out_of_the_snapshot() {
    let (dir, store) = new_store();
    let root = Namespace::root();
    let path = snapshot("host/elsa/2024-01-01T00:00:00Z");
    back_up(&store, &root, &path.to_string(), &[b"one"], None).unwrap();
    let foreign = DataBlob::encode(b"foreign", None, false).unwrap();
    std::fs::write(dir.path().join("foreign.blob"), foreign.as_bytes()).unwrap();
    let file = store.snapshot_dir(&root, &path).join("index.json.blob");
    let blob = DataBlob::from_bytes(std::fs::read(&file).unwrap(), &"manifest").unwrap();
    let mut manifest = Manifest::from_blob(&blob, &"manifest").unwrap();
    let name = "../../../../foreign.blob";
    manifest
        .add(datastore::manifest::FileInfo {
            crypt_mode: CryptMode::None,
            csum: Digest::of(foreign.as_bytes()),
            filename: name.into(),
            size: foreign.encoded_len(),
        })
        .unwrap();
    std::fs::write(&file, manifest.to_blob().unwrap().as_bytes()).unwrap();
    let reader = SnapshotReader::open(&store, &root, &path).unwrap();
    assert!(matches!(reader.blob(name), Err(Error::InvalidName { .. })));
    assert!(reader.open_file(name).is_err());
}
