//! The model itself: what a crash may and may not do.

use super::*;
use crate::storage::{Durability, Storage, replace_file};

fn fs() -> CrashFs {
    CrashFs::new(Path::new("/store"))
}

fn put(fs: &CrashFs, path: &str, content: &[u8], sync: bool) {
    let mut file = fs.create_new(Path::new(path), 0o644).unwrap();
    file.write_all(content).unwrap();
    if sync {
        file.sync().unwrap();
    }
}

fn after(fs: &CrashFs, mode: CrashMode, seed: u64) -> CrashFs {
    let journal = fs.journal();
    CrashFs::from_image(Path::new("/store"), journal.crash_at(journal.len(), mode, seed))
}

fn content(fs: &CrashFs, path: &str) -> Option<Vec<u8>> {
    fs.read(Path::new(path), 1 << 20).ok()
}

#[test]
fn a_synced_file_without_a_synced_name_is_lost_and_the_other_way_round_empty() {
    let fs = fs();
    put(&fs, "/store/data", b"data", true);
    assert_eq!(content(&after(&fs, CrashMode::Lost, 0), "/store/data"), None);
    assert_eq!(content(&after(&fs, CrashMode::NamesOnly, 0), "/store/data").unwrap(), b"data");
    put(&fs, "/store/name", b"name", false);
    fs.sync_dir(Path::new("/store")).unwrap();
    let lost = after(&fs, CrashMode::Lost, 0);
    assert_eq!(content(&lost, "/store/data").unwrap(), b"data");
    assert_eq!(content(&lost, "/store/name").unwrap(), b"");
    assert_eq!(content(&after(&fs, CrashMode::TornZeros, 0), "/store/name").unwrap(), [0; 4]);
    assert_eq!(content(&after(&fs, CrashMode::Kept, 0), "/store/name").unwrap(), b"name");
    let torn = content(&after(&fs, CrashMode::TornPrefix, 7), "/store/name").unwrap();
    assert!(torn.len() < 4 && b"name".starts_with(&torn));
    assert_ne!(content(&after(&fs, CrashMode::TornGarbage, 7), "/store/name").unwrap(), b"name");
    fs.sync_filesystem(Path::new("/store")).unwrap();
    assert_eq!(content(&after(&fs, CrashMode::Lost, 0), "/store/name").unwrap(), b"name");
}

#[test]
fn a_replaced_file_is_the_old_or_the_new_one() {
    let fs = fs();
    let path = Path::new("/store/notes");
    put(&fs, "/store/notes", b"old", false);
    fs.checkpoint();
    replace_file(&fs, path, &[b"newer"], 0o644, Durability::Now).unwrap();
    let journal = fs.journal();
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..=journal.len() {
        for seed in 0..50 {
            for mode in [CrashMode::Random, CrashMode::TornZeros, CrashMode::NamesOnly] {
                let crashed = CrashFs::from_image(&fs.root, journal.crash_at(n, mode, seed));
                seen.insert(content(&crashed, "/store/notes").unwrap());
            }
        }
        for number in 0..journal.pending(n) {
            for mode in [CrashMode::SingleKept(number), CrashMode::SingleLost(number)] {
                let crashed = CrashFs::from_image(&fs.root, journal.crash_at(n, mode, 0));
                seen.insert(content(&crashed, "/store/notes").unwrap());
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [b"newer".to_vec(), b"old".to_vec()]);
    assert_eq!(content(&after(&fs, CrashMode::Lost, 0), "/store/notes").unwrap(), b"newer");
}

/// Removal and rename under other names are kept or lost each on its own.
#[test]
fn changes_of_different_names_know_no_order_but_those_of_one_name_do() {
    let fs = fs();
    put(&fs, "/store/a", b"a", true);
    put(&fs, "/store/b", b"b", true);
    fs.checkpoint();
    fs.remove_file(Path::new("/store/a")).unwrap();
    fs.remove_file(Path::new("/store/b")).unwrap();
    let journal = fs.journal();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let fs = CrashFs::from_image(&fs.root, journal.crash_at(2, CrashMode::Random, seed));
        seen.insert((content(&fs, "/store/a").is_some(), content(&fs, "/store/b").is_some()));
    }
    assert_eq!(seen.len(), 4);

    let fs = self::fs();
    put(&fs, "/store/a", b"1", true);
    fs.checkpoint();
    fs.rename(Path::new("/store/a"), Path::new("/store/b")).unwrap();
    put(&fs, "/store/a", b"2", true);
    // The second `a` on the disk without the rename would be two things under one name.
    let kept = after(&fs, CrashMode::SingleKept(0), 0);
    assert_eq!(content(&kept, "/store/a").unwrap(), b"2");
    assert_eq!(content(&kept, "/store/b").unwrap(), b"1");
    let lost = after(&fs, CrashMode::SingleLost(1), 0);
    assert_eq!(content(&lost, "/store/a").unwrap(), b"1");
    assert_eq!(content(&lost, "/store/b"), None);
    // A synced folder settles the whole rename.
    fs.sync_dir(Path::new("/store")).unwrap();
    let synced = after(&fs, CrashMode::Lost, 0);
    assert_eq!(content(&synced, "/store/b").unwrap(), b"1");
}

#[test]
fn a_folder_is_lost_with_what_is_in_it() {
    let fs = fs();
    fs.create_dir(Path::new("/store/d"), 0o755).unwrap();
    put(&fs, "/store/d/f", b"f", true);
    fs.sync_dir(Path::new("/store/d")).unwrap();
    assert_eq!(content(&after(&fs, CrashMode::Lost, 0), "/store/d/f"), None);
    fs.sync_dir(Path::new("/store")).unwrap();
    assert_eq!(content(&after(&fs, CrashMode::Lost, 0), "/store/d/f").unwrap(), b"f");
}

#[test]
fn what_a_failed_sync_was_to_save_is_lost_for_good() {
    let fs = fs();
    put(&fs, "/store/a", b"a", false);
    let early = fs.open_filesystem(Path::new("/store")).unwrap();
    fs.lose_unsynced_data();
    let late = fs.open_filesystem(Path::new("/store")).unwrap();
    assert!(early.sync().is_err());
    early.sync().unwrap();
    // It was opened before anybody had been told.
    assert!(late.sync().is_err());
    fs.sync_filesystem(Path::new("/store")).unwrap();
    assert_eq!(content(&fs, "/store/a").unwrap(), b"a");
    assert_eq!(content(&after(&fs, CrashMode::Lost, 0), "/store/a").unwrap(), b"");
    // Opened after somebody was told: nobody says a word any more.
    fs.open_filesystem(Path::new("/store")).unwrap().sync().unwrap();
}

#[test]
fn faults_hit_the_calls_that_they_are_for() {
    let fs = fs();
    fs.inject(Fault {
        at: FaultAt::Path(CallKind::Write, "b".into()),
        errno: libc::ENOSPC,
        short: true,
    });
    put(&fs, "/store/a", b"a", false);
    let mut file = fs.create_new(Path::new("/store/b"), 0o644).unwrap();
    let error = file.write_all(b"1234").unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    assert_eq!(content(&fs, "/store/b").unwrap(), b"12");
    fs.heal();
    fs.checkpoint();
    fs.inject(Fault::at_call(1, libc::EIO));
    assert!(fs.meta(Path::new("/store/a")).is_ok());
    assert!(fs.meta(Path::new("/store/a")).is_err());
    assert!(fs.meta(Path::new("/store/a")).is_ok());
    assert_eq!(fs.call_count(), 3);
}

/// The folders of a chunk store are folders like any others.
#[test]
fn chunk_folders_are_cheap_and_behave() {
    let fs = fs();
    let chunks = Path::new("/store/.chunks");
    fs.create_dir(chunks, 0o750).unwrap();
    for prefix in 0..=u16::MAX {
        fs.create_dir(&chunks.join(format!("{prefix:04x}")), 0o750).unwrap();
    }
    assert!(fs.create_dir(&chunks.join("00ff"), 0o750).is_err());
    assert_eq!(Storage::list(&fs, chunks).unwrap().len(), 65536);
    assert_eq!(Storage::meta(&fs, &chunks.join("00ff")).unwrap().mode, 0o750);
    assert_eq!(Storage::list(&fs, &chunks.join("00ff")).unwrap(), []);
    put(&fs, "/store/.chunks/00ff/x", b"x", true);
    fs.set_sparse(true);
    assert_eq!(Storage::list(&fs, chunks).unwrap().len(), 1);
    assert!(fs.remove_dir(&chunks.join("00ff")).is_err());
    fs.remove_file(Path::new("/store/.chunks/00ff/x")).unwrap();
    fs.remove_dir(&chunks.join("00ff")).unwrap();
    assert!(Storage::meta(&fs, &chunks.join("00ff")).is_err());
    fs.set_sparse(false);
    assert_eq!(Storage::list(&fs, chunks).unwrap().len(), 65535);
    let lost = after(&fs, CrashMode::Lost, 0);
    assert_eq!(lost.files(), Vec::<PathBuf>::new());
    fs.sync_filesystem(chunks).unwrap();
    let kept = after(&fs, CrashMode::Lost, 0);
    assert_eq!(Storage::list(&kept, chunks).unwrap().len(), 65535);
    assert_eq!(kept.image().fingerprint(), fs.image().fingerprint());
    assert_ne!(lost.image().fingerprint(), fs.image().fingerprint());
}
