//! The cases of `docs/formats/gc.md`, one after the other, and some more of their kind.

use std::fs;
use std::os::unix::fs::symlink;

use datastore::gc::{self, CacheStats, Status};
use datastore::{Digest, Error};

use crate::world::{DAY, World, chunk_path, digest, now};

/// A collection that must work.
#[track_caller]
fn collected(world: &World) -> Status {
    world.collect().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn unreferenced_chunks_wait_for_a_day_and_five_minutes() {
    let s = now();
    // (age in seconds, what becomes of it)
    for (age, wanted) in [(0, "used"), (60, "pending"), (86_690, "pending"), (86_720, "removed")] {
        let world = World::new();
        let path = world.chunk("lonely", s - age);
        // A chunk that was written while the run goes on.
        if age == 0 {
            world.set_atime(&path, now() + 5);
        }
        let status = collected(&world);
        assert_eq!(world.has(&path), wanted != "removed", "{age}");
        let one = |kind: &str| u64::from(wanted == kind);
        let len = "lonely".len() as u64;
        let wanted = Status {
            disk_chunks: one("used"),
            disk_bytes: one("used") * len,
            pending_chunks: one("pending"),
            pending_bytes: one("pending") * len,
            removed_chunks: one("removed"),
            removed_bytes: one("removed") * len,
            cache_stats: Some(CacheStats::default()),
            ..Status::default()
        };
        assert_eq!(status, wanted, "{age}");
    }
}

#[test]
fn the_cut_off_can_be_chosen() {
    let mut world = World::new();
    let (young, old) = (world.chunk("young", now() - 50), world.chunk("old", now() - 70));
    world.options.cutoff_minutes = 1;
    collected(&world);
    assert!(world.has(&young) && !world.has(&old));
    for minutes in [0, 2881] {
        world.options.cutoff_minutes = minutes;
        assert!(matches!(world.collect(), Err(Error::Refused { .. })), "{minutes}");
    }
}

#[test]
fn an_index_anywhere_keeps_its_chunks() {
    type Place = fn(&World);
    let places: [(&str, Place); 9] = [
        ("finished", |w| w.snapshot("host/elsa/2024-05-01T10:00:00Z", &["live"], true)),
        ("unfinished", |w| w.snapshot("vm/100/2024-05-01T10:00:00Z", &["live"], false)),
        ("namespace", |w| w.snapshot("ns/a/ns/b/ct/1/2024-05-01T10:00:00Z", &["live"], true)),
        ("deep namespace", |w| {
            w.snapshot(
                "ns/1/ns/2/ns/3/ns/4/ns/5/ns/6/ns/7/ns/8/ct/1/2024-05-01T10:00:00Z",
                &["live"],
                true,
            );
        }),
        ("impossible time", |w| w.snapshot("host/elsa/2024-13-01T10:00:00Z", &["live"], true)),
        ("foreign folder", |w| w.index("foo/bar/x.didx", &["live"])),
        ("top", |w| w.index("x.fidx", &["live"])),
        ("type folder", |w| w.index("host/x.didx", &["live"])),
        ("link to a file", |w| {
            w.index("y.didx", &["live"]);
            fs::rename(w.path("y.didx"), w.outside("elsewhere")).unwrap();
            w.make_dir("foo");
            symlink(w.outside("elsewhere"), w.path("foo/x.didx")).unwrap();
        }),
    ];
    for (name, place) in places {
        let world = World::new();
        let (live, dead) = (world.chunk("live", now() - 10 * DAY), world.chunk("dead", 1));
        place(&world);
        let s = now();
        let status = collected(&world);
        assert!(world.has(&live) && !world.has(&dead), "{name}");
        assert!(world.atime(&live) >= s - 1, "{name}: touched");
        assert_eq!((status.disk_chunks, status.removed_chunks, status.index_file_count), (1, 1, 1));
        let belongs = ["finished", "unfinished", "namespace"].contains(&name);
        assert_eq!(world.ear.heard("unexpected place"), usize::from(!belongs), "{name}");
    }
}

#[test]
fn what_is_hidden_or_named_otherwise_keeps_nothing() {
    type Place = fn(&World);
    let places: [(&str, Place); 7] = [
        ("hidden folder", |w| w.index(".hid/x.didx", &["live"])),
        ("hidden file", |w| w.index("foo/.x.didx", &["live"])),
        ("only an extension", |w| w.index("foo/.didx", &["live"])),
        ("upper case", |w| w.index("x.DIDX", &["live"])),
        ("temporary", |w| w.index("x.tmp_didx", &["live"])),
        ("temporary beside", |w| w.index("host/e/2024-05-01T10:00:00Z/root.pxar.tmp_x", &["live"])),
        ("folder behind a link", |w| {
            fs::create_dir(w.outside("tree")).unwrap();
            w.index("x.didx", &["live"]);
            fs::rename(w.path("x.didx"), w.outside("tree/x.didx")).unwrap();
            symlink(w.outside("tree"), w.path("linked")).unwrap();
        }),
    ];
    for (name, place) in places {
        let world = World::new();
        let live = world.chunk("live", now() - 10 * DAY);
        place(&world);
        assert_eq!(collected(&world).removed_chunks, 1, "{name}");
        assert!(!world.has(&live), "{name}");
    }
}

#[test]
fn links_that_lead_nowhere_are_ignored() {
    let world = World::new();
    symlink("/nowhere/at/all", world.path("x.didx")).unwrap();
    assert_eq!(collected(&world).index_file_count, 0);
}

#[test]
fn a_missing_chunk_keeps_its_bad_copies() {
    let world = World::new();
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["lost", "lost too"], true);
    let chunk = chunk_path(&digest("lost"));
    for number in [0, 9] {
        world.file(&format!("{chunk}.{number}.bad"), b"rotten", 1);
    }
    let s = now();
    let status = collected(&world);
    assert_eq!(world.ear.heard("missing"), 2);
    for number in [0, 9] {
        assert!(world.atime(&format!("{chunk}.{number}.bad")) >= s - 1);
    }
    assert!(!world.has(&chunk));
    assert_eq!((status.disk_bytes, status.disk_chunks), (12, 0));
    assert_eq!((status.still_bad, status.removed_bad), (0, 0));
}

#[test]
fn a_chunk_that_is_there_frees_its_bad_copies() {
    let world = World::new();
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["live"], true);
    let chunk = world.chunk("live", 1);
    world.file(&format!("{chunk}.0.bad"), b"rotten", 1);
    let status = collected(&world);
    assert!(world.has(&chunk) && !world.has(&format!("{chunk}.0.bad")));
    assert_eq!((status.removed_bad, status.removed_chunks, status.removed_bytes), (1, 0, 6));
}

#[test]
fn a_young_bad_copy_waits() {
    let world = World::new();
    let bad = format!("{}.3.bad", chunk_path(&digest("gone")));
    world.file(&bad, b"rotten", now() - 3600);
    let status = collected(&world);
    assert!(world.has(&bad));
    assert_eq!((status.still_bad, status.pending_bytes, status.pending_chunks), (1, 6, 0));
}

#[test]
fn other_names_are_let_alone() {
    let world = World::new();
    let chunk = chunk_path(&digest("x"));
    let kept: Vec<String> = [
        chunk[..chunk.len() - 1].to_owned(),
        format!("{chunk}0"),
        format!("{chunk}.tmp_aaaaaa"),
        format!("{chunk}.12.bad"),
        format!("{chunk}.x.bad"),
        format!("{chunk}.0.xyz"),
        format!("{chunk}.bad"),
        format!("{chunk}.0.bad.bad"),
        ".chunks/readme".to_owned(),
    ]
    .to_vec();
    for name in &kept {
        world.file(name, b"old", 1);
    }
    let (folder, link) = (chunk_path(&digest("folder")), chunk_path(&digest("link")));
    world.make_dir(&folder);
    world.make_dir(&link);
    fs::remove_dir(world.path(&link)).unwrap();
    symlink(world.path("nowhere"), world.path(&link)).unwrap();
    assert_eq!(
        collected(&world),
        Status { cache_stats: Some(CacheStats::default()), ..Status::default() }
    );
    for name in kept.iter().chain([&folder, &link]) {
        assert!(world.has(name), "{name}");
    }
}

#[test]
fn odd_chunks_go_by_their_age() {
    let world = World::new();
    let upper = digest("upper").to_string().to_uppercase();
    let names = [
        format!(".chunks/{}/{upper}", &upper[..4].to_lowercase()),
        format!(".chunks/0000/{}", digest("misfiled")),
        chunk_path(&digest("empty")),
    ];
    for name in &names {
        world.file(name, if name.contains("/0000/") { b"x" } else { b"" }, 1);
    }
    // An index that names the first two does not help: nobody would find them there.
    world.index("x.didx", &["upper", "misfiled"]);
    let status = collected(&world);
    assert!(names.iter().all(|name| !world.has(name)));
    assert_eq!((status.removed_chunks, status.removed_bytes, status.disk_chunks), (3, 1, 0));
    assert_eq!(world.ear.heard("missing"), 2);
}

#[test]
fn a_marked_chunk_stays_whatever_its_time_says() {
    // As on a file system that forgets what is set: touched, and old again before the sweep.
    let world = World::new();
    let live = world.chunk("live", 1);
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["live"], true);
    let (plan, status) = world.plan().unwrap();
    assert!(plan.is_empty());
    assert_eq!((status.disk_chunks, world.atime(&live)), (1, 1));
}

#[test]
fn a_missing_chunk_folder_is_no_trouble() {
    let world = World::new();
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["live"], true);
    assert!(!world.has(".chunks/ffff"));
    assert_eq!(collected(&world).disk_chunks, 0);
}

#[test]
fn the_status_is_replaced_and_can_be_read() {
    let world = World::new();
    assert_eq!(gc::status(&world.store).unwrap(), None);
    world.file(".gc-status", b"garbage", now());
    assert_eq!(gc::status(&world.store).unwrap(), None);
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["a", "b"], true);
    world.chunk("a", 1);
    world.chunk("c", 1);
    let mut world = world;
    world.options.upid = Some("UPID:test".into());
    let first = collected(&world);
    assert_eq!(gc::status(&world.store).unwrap(), Some(first.clone()));
    assert_eq!(first.upid.as_deref(), Some("UPID:test"));
    let text = fs::read_to_string(world.path(".gc-status")).unwrap();
    assert!(text.starts_with(r#"{"upid":"UPID:test","index-file-count":1,"index-data-bytes":20,"#));
    let second = collected(&world);
    assert_eq!((first.removed_chunks, second.removed_chunks), (1, 0));
    let without_removed = Status { removed_chunks: 0, removed_bytes: 0, ..first };
    assert_eq!(second, without_removed);
}

#[test]
fn repeated_entries_are_counted_as_hits() {
    let world = World::new();
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["a", "a", "a"], true);
    world.chunk("a", 1);
    let status = collected(&world);
    assert_eq!(status.index_data_bytes, 30);
    assert_eq!(status.cache_stats, Some(CacheStats { hits: 2, misses: 1 }));
}

#[test]
fn damage_that_leaves_the_digests_readable_does_not_stop_it() {
    let world = World::new();
    let live = world.chunk("live", 1);
    let path = "host/elsa/2024-05-01T10:00:00Z/root.pxar.didx";
    world.index(path, &["live", "other"]);
    let mut bytes = fs::read(world.path(path)).unwrap();
    bytes[33] ^= 1; // The checksum.
    bytes[200] = 1; // Reserved.
    bytes[4096..4104].copy_from_slice(&99u64.to_le_bytes()); // Behind the next end.
    bytes[4144..4176].fill(0); // "No chunk".
    world.file(path, &bytes, now());
    let status = collected(&world);
    assert!(world.has(&live));
    assert_eq!(status.index_data_bytes, 20);
    assert_eq!(world.ear.heard(&Digest::default().to_string()), 1);
}

#[test]
fn only_one_collection_at_a_time() {
    let world = World::new();
    let guard = world.store.process_lock().try_exclusive().unwrap();
    let error = world.collect().unwrap_err();
    assert!(error.is_retryable());
    assert!(error.to_string().contains("garbage collection is already running"), "{error}");
    drop(guard);
    // A writer of this process is no obstacle.
    let _writer = world.store.process_lock().try_shared().unwrap();
    collected(&world);
}

#[test]
fn a_dry_run_changes_nothing_and_tells_the_same() {
    let world = World::new();
    world.snapshot("host/elsa/2024-05-01T10:00:00Z", &["a", "b", "lost"], true);
    for name in ["a", "b", "c", "d", "e"] {
        world.chunk(name, 1);
    }
    world.chunk("young", now() - 3600);
    let (lost, healed) = (chunk_path(&digest("lost")), chunk_path(&digest("a")));
    world.file(&format!("{lost}.0.bad"), b"rotten", 1);
    world.file(&format!("{healed}.0.bad"), b"rotten", 1);
    let before = world.listing();
    let (plan, planned) = world.plan().unwrap();
    assert_eq!(world.listing(), before);
    let done = collected(&world);
    assert_eq!(planned, done);
    assert_eq!((plan.len(), done.removed_chunks, done.removed_bad), (4, 3, 1));
    assert!(plan.is_sorted_by_key(|(path, _)| path[..12].to_owned()), "in the order of folders");
    let after = world.listing();
    let gone: Vec<_> =
        before.iter().filter(|(name, _)| !after.iter().any(|(a, _)| a == name)).collect();
    assert_eq!(gone.len(), 4);
    assert!(gone.iter().all(|(name, _)| plan.iter().any(|(planned, _)| planned == name)));
}

#[test]
fn the_check_of_times_leaves_the_chunk_of_zeros() {
    let mut world = World::new();
    world.options.atime_safety_check = true;
    let zeros = chunk_path(&Digest::of(&vec![0; 4 << 20]));
    world.make_dir(&zeros[..12]);
    let status = collected(&world);
    assert!(world.has(&zeros));
    assert_eq!(status.disk_chunks, 1);
    // The next dry run knows that the next collection will touch it.
    world.set_atime(&zeros, 1);
    let (plan, planned) = world.plan().unwrap();
    assert_eq!((plan.len(), planned.disk_chunks), (0, 1));
    assert_eq!(planned, collected(&world));
}

#[test]
fn the_journal_of_moves_is_marked_and_emptied() {
    let world = World::new();
    let (live, dead) = (world.chunk("live", 1), world.chunk("dead", 1));
    // Where the walk does not look, as an index in the middle of a move.
    world.index(".moving/x.didx", &["live"]);
    let index = world.path(".moving/x.didx");
    let lines = format!("{}\n/nowhere/y.fidx\n", index.display());
    world.file(".locks/move-journal", lines.as_bytes(), now());
    collected(&world);
    assert!(world.has(&live) && !world.has(&dead));
    assert_eq!(fs::read(world.path(".locks/move-journal")).unwrap(), b"");

    // An error keeps it, and everything else.
    let dead = world.chunk("dead", 1);
    for bad in ["not a path\n", "/nowhere\n/x\0\n", "\u{0}\n"] {
        world.file(".locks/move-journal", bad.as_bytes(), now());
        assert!(world.collect().is_err(), "{bad:?}");
        assert!(world.has(&dead));
        assert_eq!(fs::read(world.path(".locks/move-journal")).unwrap(), bad.as_bytes());
    }
}
