//! Backup and restore through the session traits: what survives damage, and what does not happen
//! after a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use client::backup::{self, Options};
use client::local::{LocalBackup, LocalRestore};
use client::restore::{self, Target};
use client::session::{BackupSession, RestoreSession};
use client::source::Source;
use datastore::chunk_store::SyncLevel;
use datastore::progress::Silent;
use datastore::{CryptMode, Datastore, Namespace, SnapshotPath};

fn new_store() -> (tempfile::TempDir, Arc<Datastore>) {
    let memory = Path::new("/dev/shm");
    let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
    let options = datastore::datastore::Options { sync_level: SyncLevel::None, lock_dir: None };
    let store = Datastore::create(&dir.path().join("store"), &options).unwrap();
    (dir, store)
}

fn options() -> Options {
    Options {
        key: None,
        crypt_mode: CryptMode::None,
        encrypted_key: None,
        compress: true,
        chunk_bytes_avg: 64 << 10,
        workers: 2,
        archive: pxar::create::Options::default(),
    }
}

fn snapshot(second: i64) -> SnapshotPath {
    SnapshotPath::new("host/elsa".parse().unwrap(), 1_700_000_000 + second).unwrap()
}

fn back_up(store: &Arc<Datastore>, second: i64, source: &str) -> client::Result<()> {
    let sources: Vec<Source> = vec![source.parse()?];
    let session = LocalBackup::begin(store, &Namespace::root(), &snapshot(second), "root@pam")?;
    backup::run(&session, &sources, &options(), &Silent).map(|_| ())
}

fn open(store: &Arc<Datastore>, second: i64) -> Arc<dyn RestoreSession> {
    Arc::new(LocalRestore::open(store, &Namespace::root(), &snapshot(second)).unwrap())
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            (state >> 24) as u8
        })
        .collect()
}

/// Files behind a damaged chunk are found through the tables of their folders.
#[test]
fn damage_to_one_chunk_costs_only_what_is_in_it() {
    let (dir, store) = new_store();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    for (number, name) in ["a", "b", "sub/c", "z"].into_iter().enumerate() {
        std::fs::write(tree.join(name), noise(number as u64 + 7, 1 << 20)).unwrap();
    }
    back_up(&store, 0, &format!("t.pxar:{}", tree.display())).unwrap();
    let session = open(&store, 0);
    // Some chunk in the middle of file `a`.
    let index = session.index("t.pxar.didx").unwrap();
    let digest = index.entry(index.position_of(500_000).unwrap()).unwrap().digest;
    let path = store.chunks().path(&digest);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let restore = |name: &str, on_error| {
        let target = dir.path().join(name);
        let archive = pxar::extract::Options { on_error, ..pxar::extract::Options::default() };
        let options = restore::Options { key: None, workers: 2, archive, overwrite: false };
        (restore::run(&session, "t.pxar", Target::Path(&target), &options, &Silent), target)
    };
    let (strict, _) = restore("strict", pxar::extract::OnError::Abort);
    let error = strict.unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains(&digest.to_string()), "{error}");

    let (result, target) = restore("rest", pxar::extract::OnError::Continue);
    assert_eq!(result.unwrap().failed, 1);
    assert!(!target.join("a").exists(), "half a file is no file");
    for name in ["b", "sub/c", "z"] {
        assert_eq!(
            std::fs::read(target.join(name)).unwrap(),
            std::fs::read(tree.join(name)).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn a_pattern_takes_only_what_it_names() {
    let (dir, store) = new_store();
    let tree = dir.path().join("tree");
    std::fs::create_dir_all(tree.join("sub")).unwrap();
    std::fs::write(tree.join("sub/wanted"), noise(1, 300_000)).unwrap();
    std::fs::write(tree.join("other"), noise(2, 300_000)).unwrap();
    back_up(&store, 0, &format!("t.pxar:{}", tree.display())).unwrap();
    let patterns =
        pxar::exclude::PatternList::parse(["wanted"], pxar::exclude::Effect::Include).unwrap();
    let archive = pxar::extract::Options { patterns, ..pxar::extract::Options::default() };
    let options = restore::Options { key: None, workers: 1, archive, overwrite: false };
    let target = dir.path().join("out");
    let session = open(&store, 0);
    let summary =
        restore::run(&session, "t.pxar", Target::Path(&target), &options, &Silent).unwrap();
    assert_eq!(summary.failed, 0);
    assert!(!target.join("other").exists());
    assert_eq!(
        std::fs::read(target.join("sub/wanted")).unwrap(),
        std::fs::read(tree.join("sub/wanted")).unwrap()
    );
}

/// A store that cannot take chunks ends the backup, whichever thread notices, and nothing is left.
#[test]
fn a_failing_store_ends_the_backup_without_a_trace() {
    let (dir, store) = new_store();
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    std::fs::write(tree.join("big"), noise(5, 4 << 20)).unwrap();
    // Without the folders of chunks no chunk can be stored.
    let chunks = store.base().join(".chunks");
    let hidden = store.base().join(".hidden");
    std::fs::rename(&chunks, &hidden).unwrap();
    std::fs::create_dir(&chunks).unwrap();
    let error = back_up(&store, 0, &format!("t.pxar:{}", tree.display())).unwrap_err();
    assert!(error.to_string().contains(".chunks"), "{error}");
    assert!(store.groups(&Namespace::root()).unwrap().is_empty());
    std::fs::remove_dir(&chunks).unwrap();
    std::fs::rename(&hidden, &chunks).unwrap();
    back_up(&store, 0, &format!("t.pxar:{}", tree.display())).unwrap();
}

/// The second backup of the same data stores nothing and reads no chunk.
#[test]
fn known_chunks_are_not_stored_again_and_vanished_ones_are() {
    let (dir, store) = new_store();
    let image = dir.path().join("disk");
    std::fs::write(&image, noise(9, 9 << 20)).unwrap();
    let source = format!("d.img:{}", image.display());
    let run = |second| {
        let session =
            LocalBackup::begin(&store, &Namespace::root(), &snapshot(second), "root@pam").unwrap();
        let sources: Vec<Source> = vec![source.parse().unwrap()];
        backup::run(&session, &sources, &options(), &Silent).unwrap();
        session.new_bytes()
    };
    assert!(run(0) > 9 << 20);
    assert_eq!(run(1), 0);
    let index = open(&store, 1).index("d.img.fidx").unwrap();
    std::fs::remove_file(store.chunks().path(&index.entry(1).unwrap().digest)).unwrap();
    assert!(run(2) > 4 << 20, "the chunk that was lost is stored anew");
    let target = dir.path().join("out");
    let options = restore::Options {
        key: None,
        workers: 2,
        archive: pxar::extract::Options::default(),
        overwrite: false,
    };
    restore::run(&open(&store, 0), "d.img", Target::Path(&target), &options, &Silent).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), std::fs::read(&image).unwrap());
    let again = restore::run(&open(&store, 0), "d.img", Target::Path(&target), &options, &Silent);
    assert!(again.unwrap_err().to_string().contains("exists already"));
}

/// `--overwrite` gives the old file up only for a whole new one.
#[test]
fn a_failed_restore_leaves_the_old_file() {
    let (dir, store) = new_store();
    let image = dir.path().join("disk");
    std::fs::write(&image, noise(3, 5 << 20)).unwrap();
    back_up(&store, 0, &format!("d.img:{}", image.display())).unwrap();
    let session = open(&store, 0);
    let target = dir.path().join("target");
    std::fs::write(&target, "the only copy").unwrap();
    let options = || restore::Options {
        key: None,
        workers: 1,
        archive: pxar::extract::Options::default(),
        overwrite: true,
    };
    let index = session.index("d.img.fidx").unwrap();
    let chunk = store.chunks().path(&index.entry(1).unwrap().digest);
    let content = std::fs::read(&chunk).unwrap();
    std::fs::remove_file(&chunk).unwrap();
    restore::run(&session, "d.img", Target::Path(&target), &options(), &Silent).unwrap_err();
    assert_eq!(std::fs::read(&target).unwrap(), b"the only copy");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "no leftover");
    std::fs::write(&chunk, content).unwrap();
    restore::run(&session, "d.img", Target::Path(&target), &options(), &Silent).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), std::fs::read(&image).unwrap());
    // What is no file is not replaced.
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    restore::run(&session, "d.img", Target::Path(&link), &options(), &Silent).unwrap_err();
    assert!(link.is_symlink());
}

/// Room that a file takes on the disk in bytes.
fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).unwrap().blocks() * 512
}

/// A sparse image comes back bit for bit and sparse, in the clear and encrypted, whatever is a hole,
/// is written zeros or ends in the middle of a chunk; its chunks of zeros are one chunk.
#[test]
fn a_sparse_image_is_what_it_was() {
    use std::os::unix::fs::FileExt;
    const MIB: u64 = 1 << 20;
    let (dir, store) = new_store();
    let image = dir.path().join("disk");
    // (length, where data lies, where zeros are written)
    let shapes: [(u64, &[u64], &[u64]); 6] = [
        (64 * MIB, &[], &[]),
        (64 * MIB + 12_345, &[0], &[]),
        (64 * MIB + 1, &[64 * MIB], &[8 * MIB, 9 * MIB]),
        (61 * MIB, &[5 * MIB, 5 * MIB + 300_000, 33 * MIB - 1], &[60 * MIB]),
        (3 * MIB, &[], &[]),
        (8 * MIB, &[4 * MIB - 1], &[]),
    ];
    let key = Arc::new(datastore::CryptConfig::new([7; 32]).unwrap());
    for (number, (len, data, zeros)) in shapes.into_iter().enumerate() {
        let file = std::fs::File::create(&image).unwrap();
        for at in data {
            file.write_all_at(&noise(*at + 1, 1000), *at).unwrap();
        }
        for at in zeros {
            file.write_all_at(&vec![0; MIB as usize], *at).unwrap();
        }
        file.set_len(len).unwrap();
        for encrypted in [false, true] {
            let second = 2 * number as i64 + i64::from(encrypted);
            let options = Options {
                key: encrypted.then(|| Arc::clone(&key)),
                crypt_mode: if encrypted { CryptMode::Encrypt } else { CryptMode::None },
                ..options()
            };
            let source: Source = format!("d.img:{}", image.display()).parse().unwrap();
            let session =
                LocalBackup::begin(&store, &Namespace::root(), &snapshot(second), "root@pam")
                    .unwrap();
            backup::run(&session, &[source], &options, &Silent).unwrap();
            drop(session);

            let session = open(&store, second);
            let index = session.index("d.img.fidx").unwrap();
            assert_eq!(index.content_size(), len);
            let mut digests: Vec<_> = index.digests().collect();
            assert_eq!(digests.len() as u64, len.div_ceil(4 * MIB));
            digests.sort();
            digests.dedup();
            assert!(digests.len() <= data.len() + 2, "zeros are one chunk, the rest another");

            let target = dir.path().join("out");
            let options = restore::Options {
                key: options.key,
                workers: 2,
                archive: pxar::extract::Options::default(),
                overwrite: true,
            };
            let to_file = Target::Path(&target);
            restore::run(&session, "d.img", to_file, &options, &Silent).unwrap();
            let original = std::fs::read(&image).unwrap();
            assert!(std::fs::read(&target).unwrap() == original, "shape {number}");
            assert!(disk_bytes(&target) <= 140_000 * data.len() as u64, "shape {number}");
            let mut stream = Vec::new();
            let to_stream = Target::Stream(&mut stream);
            restore::run(&session, "d.img", to_stream, &options, &Silent).unwrap();
            assert!(stream == original, "shape {number}");
        }
    }
}
