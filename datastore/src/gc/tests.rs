//! The rules that are plain arithmetic; whole collections are in `tests/gc.rs`.

use super::*;

#[test]
fn the_cut_off_follows_the_clock_and_the_oldest_writer() {
    let s = 1_000_000_000;
    // (oldest writer, minutes, cut-off)
    let cases = [
        (None, 1445, s - 86_700),
        (None, 1, s - 60),
        (None, 2880, s - 172_800),
        (Some(s - 1), 1445, s - 86_700),
        (Some(s - 86_400), 1445, s - 86_700),
        // What a writer touches as it begins may be stamped with the second before.
        (Some(s - 86_401), 1445, s - 86_701),
        (Some(s - 86_700), 1445, s - 87_000),
        (Some(s - 86_701), 1445, s - 86_701 - 300),
        (Some(s - 2 * 86_400 - 7), 1445, s - 2 * 86_400 - 307),
        (Some(s), 1, s - 300),
        (Some(s - 60), 1, s - 360),
        (Some(s - 61), 1, s - 361),
    ];
    for (oldest_writer, minutes, wanted) in cases {
        assert_eq!(min_atime(s, oldest_writer, minutes), wanted, "{oldest_writer:?} {minutes}");
    }
}

/// A store with the folders of some chunks, and those chunks last touched at some times.
fn store_with(chunks: &[(&str, i64)]) -> (tempfile::TempDir, Arc<Datastore>) {
    let dir = tempfile::tempdir().unwrap();
    for (content, atime) in chunks {
        let digest = Digest::of(content.as_bytes());
        let path = dir.path().join(format!(".chunks/{:04x}/{digest}", digest.prefix()));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs((*atime).unsigned_abs());
        let times = std::fs::FileTimes::new().set_accessed(time);
        std::fs::File::open(&path).unwrap().set_times(times).unwrap();
    }
    let store = Datastore::open(dir.path(), &crate::datastore::Options::default()).unwrap();
    (dir, store)
}

/// A writer of this process that began two days ago and is still at it.
#[test]
fn chunks_of_a_long_writer_stay() {
    let s = time::now();
    let w = s - 2 * 86_400 - 1000;
    let (_dir, store) = store_with(&[("before", w - 301), ("margin", w - 299), ("during", w + 1)]);
    let options = Options { threads: 1, ..Options::default() };
    let mut run = Run::begin(&store, &options, &crate::progress::Silent).unwrap();
    assert_eq!((run.oldest_writer, run.min_atime), (s, s - 86_700));
    run.oldest_writer = w;
    run.min_atime = min_atime(s, Some(w), CUTOFF_MINUTES);
    let status = run.parts(&Action::Remove, &mut || Ok(())).unwrap();
    assert_eq!((status.removed_chunks, status.pending_chunks, status.disk_chunks), (1, 1, 1));
    assert!(!store.chunks().path(&Digest::of(b"before")).exists());
}

/// Nothing is swept if the check of times says no, however late.
#[test]
fn the_last_word_before_a_sweep_counts() {
    let (_dir, store) = store_with(&[("old", 1)]);
    let options = Options { threads: 1, ..Options::default() };
    let run = Run::begin(&store, &options, &crate::progress::Silent).unwrap();
    let refused = || Err(Error::Refused { reason: "no".into() });
    let ended = run.parts(&Action::Remove, &mut refused.clone());
    assert!(matches!(ended, Err(Error::Refused { .. })));
    assert!(store.chunks().path(&Digest::of(b"old")).exists());
    // And once it is known, marking does not go on.
    run.is_refused.store(true, Ordering::Relaxed);
    assert!(matches!(run.parts(&Action::Remove, &mut || Ok(())), Err(Error::Aborted)));
}
