//! A restore that was ended goes on with the same command, and reads only what is lacking.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Ends the job when it asks for the n-th time.
struct EndsAt {
    left: AtomicU64,
}

impl Progress for EndsAt {
    fn is_aborted(&self) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_err()
    }
}

impl EndsAt {
    fn new(n: u64) -> EndsAt {
        EndsAt { left: AtomicU64::new(n) }
    }
}

fn chunks_in(store: &Datastore) -> u64 {
    let folders = std::fs::read_dir(store.base().join(".chunks")).unwrap();
    folders.map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap().count() as u64).sum()
}

fn visible(set: &Set, target: &Arc<Datastore>) -> Vec<usize> {
    let there = |name: &String| {
        let (namespace, path) = datastore::hierarchy::parse_qualified_name(name).unwrap();
        unpack::exists(target, &namespace, &path).unwrap()
    };
    (0..set.names.len()).filter(|n| there(&set.names[*n])).collect()
}

/// Ended at every point where it can be: what shows is whole, and the second run stores each chunk that the first did not, and no other.
#[test]
fn a_restore_ended_anywhere_goes_on_where_it_was() {
    let mut set = written();
    for chosen in [&[][..], &[0, 1, 2]] {
        let mut points = 0;
        for end in 0.. {
            let name = format!("target-{}-{end}", chosen.len());
            let target = set.world.store_for(&name, &set.store);
            let options = set.options(&target, chosen);
            let first =
                run_restore(&set.world.state, &mut set.library, &options, &EndsAt::new(end));
            if first.is_ok() {
                break;
            }
            points += 1;
            assert!(first.unwrap_err().is_aborted());
            let (stored, before) = (chunks_in(&target), visible(&set, &target));
            set.assert_restored(&target, &before);
            let second = set.restore(&target, chosen);
            let context = format!("{chosen:?}, ended at {end}: {second:?}");
            assert_eq!(stored + second.chunks, chunks_in(&target), "{context}");
            assert_eq!(second.snapshots_restored.len(), 3 - before.len(), "{context}");
            // Of a chunk archive that was begun a full restore takes what is lacking, and passes the rest.
            assert!(second.chunks_present <= stored, "{context}");
            second.into_result().unwrap();
            set.assert_restored(&target, &[0, 1, 2]);
            assert!(!target.base().join(".tmp").join(set.uuid.to_string()).exists(), "{context}");
            std::fs::remove_dir_all(target.base()).unwrap();
        }
        assert!(points > 20, "{chosen:?}: ended at {points} points only");
    }
}

/// Tapes that were read are not asked for again, even if they are not there any more.
#[test]
fn a_second_run_asks_only_for_the_tapes_that_are_lacking() {
    for chosen in [&[][..], &[0, 1, 2]] {
        let mut set = written();
        let target = set.target();
        // At first only the later tapes can be had; then only the first.
        set.library.exported = vec![set.tapes[0].clone()];
        let first = set.restore(&target, chosen);
        assert!(!first.tapes.contains(&set.tapes[0]));
        assert!(first.into_result().is_err());
        let before = visible(&set, &target);
        set.library.exported = set.tapes[1..].to_vec();
        let second = set.restore(&target, chosen);
        assert_eq!(second.tapes, [set.tapes[0].clone()], "{chosen:?}");
        assert_eq!(second.snapshots_restored.len(), 3 - before.len());
        second.into_result().unwrap();
        set.assert_restored(&target, &[0, 1, 2]);
        // And now nothing.
        set.library.exported = set.tapes.clone();
        let third = set.restore(&target, chosen);
        assert!(third.tapes.is_empty());
        assert_eq!(third.snapshots_skipped.len(), 3);
        third.into_result().unwrap();
    }
}

/// A snapshot that somebody removed comes back, with the chunks that are still there.
#[test]
fn what_was_removed_since_comes_back_alone() {
    let mut set = written();
    let target = set.target();
    set.restore(&target, &[]);
    let (namespace, path) = datastore::hierarchy::parse_qualified_name(&set.names[1]).unwrap();
    std::fs::remove_dir_all(target.snapshot_dir(&namespace, &path)).unwrap();
    let again = set.restore(&target, &[]);
    assert_eq!((again.tapes.len(), again.chunks), (1, 0));
    set.assert_restored(&target, &[0, 1, 2]);
    // A chunk that is gone as well is read from its file, and from nowhere else.
    let reader = datastore::SnapshotReader::open(&target, &namespace, &path).unwrap();
    let digest = reader.index("root.pxar.didx").unwrap().digests().last().unwrap();
    drop(reader);
    std::fs::remove_dir_all(target.snapshot_dir(&namespace, &path)).unwrap();
    std::fs::remove_file(target.chunks().path(&digest)).unwrap();
    let again = set.restore(&target, &[]);
    assert_eq!(again.chunks, 1);
    set.assert_restored(&target, &[0, 1, 2]);
}

/// Whatever a crash made of the files that waited: they are proved, and read from tape again if they are not right.
#[test]
fn what_a_crash_left_of_waiting_files_is_not_believed() {
    let waiting = |set: &mut Set, target: &Arc<Datastore>| {
        // The last tape has an archive whose chunks are elsewhere.
        set.library.exported = vec![set.tapes[0].clone(), set.tapes[1].clone()];
        set.restore(target, &[]);
        set.library.exported.clear();
        let mut files = Vec::new();
        let mut folders = vec![target.base().join(".tmp").join(set.uuid.to_string())];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { files.push(path) }
            }
        }
        files.sort();
        files
    };
    let count = {
        let mut set = written();
        let target = set.target();
        waiting(&mut set, &target).len()
    };
    assert!(count >= 3, "{count} files wait");
    let mut set = written();
    for number in 0..count {
        for harm in ["gone", "empty", "short", "flipped", "zeros"] {
            let target = set.world.store_for(&format!("{harm}-{number}"), &set.store);
            let path = waiting(&mut set, &target).swap_remove(number);
            let mut bytes = std::fs::read(&path).unwrap();
            match harm {
                "gone" => std::fs::remove_file(&path).unwrap(),
                "empty" => std::fs::write(&path, []).unwrap(),
                "short" => std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap(),
                "flipped" => {
                    *bytes.last_mut().unwrap() ^= 1;
                    std::fs::write(&path, bytes).unwrap();
                }
                _ => std::fs::write(&path, vec![0; bytes.len()]).unwrap(),
            }
            let report = set.restore(&target, &[]);
            report.into_result().unwrap_or_else(|e| panic!("{harm} {}: {e}", path.display()));
            set.assert_restored(&target, &[0, 1, 2]);
        }
    }
}
