//! What ends a collection, and that nothing was removed then.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::time::Duration;

use datastore::testing::{Action, CallKind, Fault, FaultAt, StopStorage, When};
use datastore::{Error, Namespace};

use crate::world::{DAY, Ear, World, chunk_path, digest, index_bytes, now};

const SNAPSHOT: &str = "host/elsa/2024-05-01T10:00:00Z";

/// A store with something to keep, something to remove, and an old status.
fn furnish(world: &World) {
    world.snapshot(SNAPSHOT, &["live"], true);
    world.chunk("live", now() - 10 * DAY);
    world.chunk("dead", 1);
    world.file(".gc-status", b"the last one", now());
}

/// The collection fails, and all is as it was but for times of access.
#[track_caller]
fn fails(world: &World, what: &str) -> Error {
    let before = world.names();
    let error = match world.collect() {
        Ok(status) => panic!("{what} should have ended it: {status:?}"),
        Err(error) => error,
    };
    assert_eq!(world.names(), before, "{what}");
    let status = world.store.storage().read(&world.path(".gc-status"), 100).unwrap();
    assert_eq!(status, b"the last one", "{what}");
    // The store can be used at once.
    drop(world.store.process_lock().try_exclusive().unwrap());
    error
}

#[test]
fn an_index_that_is_none() {
    let good = |name: &str| index_bytes(name, &[digest("a"), digest("b")]);
    let changed = |name: &str, at: usize, with: &[u8]| {
        let mut bytes = good(name);
        bytes[at..at + with.len()].copy_from_slice(with);
        bytes
    };
    let cases: [(&str, &str, Vec<u8>); 14] = [
        ("empty", "x.didx", Vec::new()),
        ("short", "x.didx", good("x.didx")[..4095].to_vec()),
        ("without entries", "x.didx", good("x.didx")[..4096].to_vec()),
        ("without entries, fixed", "x.fidx", good("x.fidx")[..4096].to_vec()),
        ("of no whole entries", "x.didx", good("x.didx")[..4097].to_vec()),
        ("one byte short", "x.fidx", good("x.fidx")[..4096 + 63].to_vec()),
        ("one byte long", "x.fidx", [good("x.fidx"), vec![0]].concat()),
        ("one entry short", "x.fidx", good("x.fidx")[..4096 + 32].to_vec()),
        ("of the other kind", "x.fidx", good("x.didx")),
        ("of the other kind, dynamic", "x.didx", good("x.fidx")),
        ("of another magic", "x.didx", changed("x.didx", 0, b"\0")),
        ("of chunk size 0", "x.fidx", changed("x.fidx", 72, &0u64.to_le_bytes())),
        ("of chunk size 3 MiB", "x.fidx", changed("x.fidx", 72, &(3u64 << 20).to_le_bytes())),
        ("of another size", "x.fidx", changed("x.fidx", 64, &(1u64 << 40).to_le_bytes())),
    ];
    for (what, name, bytes) in &cases {
        for folder in ["", "foo/", "host/elsa/2024-05-02T10:00:00Z/", "host/"] {
            let world = World::new();
            furnish(&world);
            world.file(&format!("{folder}{name}"), bytes, now());
            let error = fails(&world, what);
            assert!(error.is_damaged(), "{what}: {error}");
            assert!(error.to_string().contains(&format!("{folder}{name}")), "{error}");
        }
    }
}

#[test]
fn an_index_that_is_no_file() {
    type Make = fn(&World);
    let cases: [(&str, Make); 5] = [
        ("folder", |w| w.make_dir("foo/x.didx")),
        ("fifo", |w| {
            nix::unistd::mkfifo(&w.path("x.didx"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }),
        ("link to a device", |w| symlink("/dev/zero", w.path("x.fidx")).unwrap()),
        ("link to a folder", |w| symlink("/", w.path("x.fidx")).unwrap()),
        ("link to itself", |w| symlink("x.fidx", w.path("x.fidx")).unwrap()),
    ];
    for (what, make) in cases {
        let world = World::new();
        furnish(&world);
        make(&world);
        fails(&world, what);
    }
}

#[test]
fn a_folder_that_is_no_namespace() {
    for name in ["ns/bad name", "ns/a/ns/-x"] {
        let world = World::new();
        furnish(&world);
        world.make_dir(name);
        let error = fails(&world, name);
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_name_that_is_not_text() {
    let world = World::new();
    furnish(&world);
    world.make_dir("foo");
    let name = std::ffi::OsStr::from_bytes(b"\xff.didx");
    fs::write(world.path("foo").join(name), index_bytes("x.didx", &[digest("dead")])).unwrap();
    let error = world.collect().unwrap_err();
    assert!(error.to_string().contains("not text"), "{error}");
    assert!(world.has(&chunk_path(&digest("dead"))));
}

#[test]
fn a_system_that_says_no() {
    use CallKind::{List, Meta, Open, OpenDir, OpenFilesystem, Read, SyncFilesystem, Touch};
    let live = digest("live").to_string();
    // (call, path, error, whether the collection ends)
    let cases: Vec<(CallKind, &str, i32, bool)> = vec![
        (List, "/store/lost+found", libc::EACCES, false),
        (List, "/store/lost+found", libc::EIO, true),
        (List, "/host/lost+found", libc::EACCES, true),
        (List, "/store/secret", libc::EACCES, true),
        (List, "/store/secret", libc::EIO, true),
        (List, "/host/elsa", libc::EACCES, true),
        (List, "/host/elsa", libc::EIO, true),
        (List, SNAPSHOT, libc::EIO, true),
        (List, "/store/ns", libc::EIO, true),
        (Open, "root.pxar.didx", libc::EACCES, true),
        (Open, "root.pxar.didx", libc::EMFILE, true),
        (Open, "root.pxar.didx", libc::EIO, true),
        (Read, "root.pxar.didx", libc::EIO, true),
        (OpenFilesystem, "/store", libc::EMFILE, true),
        (SyncFilesystem, "/store", libc::EIO, true),
        (Touch, &live, libc::EIO, true),
        (Touch, &live, libc::EROFS, true),
        (Touch, &live, libc::EPERM, true),
        (OpenDir, &live[..4], libc::EACCES, true),
        (List, "/.chunks", libc::EIO, true),
        // A file that cannot be looked at is nobody's business.
        (Meta, &live, libc::EIO, false),
    ];
    for (kind, path, errno, ends) in cases {
        let world = World::in_memory();
        furnish(&world);
        for folder in ["lost+found", "host/lost+found", "secret", "ns/a"] {
            world.make_dir(folder);
        }
        let memory = world.memory.as_ref().unwrap();
        memory.inject(Fault { at: FaultAt::Path(kind, path.to_owned()), errno, short: false });
        let what = format!("{kind:?} {path} {errno}");
        if ends {
            let before = world.collect().map(|_| ()).unwrap_err();
            memory.heal();
            assert!(!matches!(before, Error::Aborted), "{what}: {before}");
            assert!(world.has(&chunk_path(&digest("dead"))), "{what}");
            let status = world.store.storage().read(&world.path(".gc-status"), 100).unwrap();
            assert_eq!(status, b"the last one", "{what}");
        } else {
            world.collect().unwrap_or_else(|error| panic!("{what}: {error}"));
            memory.heal();
        }
        assert!(world.has(&chunk_path(&digest("live"))), "{what}");
        // And when the system is well again, the next run does it.
        world.collect().unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!world.has(&chunk_path(&digest("dead"))), "{what}");
        assert!(world.has(&chunk_path(&digest("live"))), "{what}");
    }
}

#[test]
fn a_sweep_that_fails_removed_only_what_may_go() {
    use CallKind::{List, OpenDir, RemoveFile};
    for (kind, errno) in [
        (RemoveFile, libc::EIO),
        (RemoveFile, libc::EROFS),
        (OpenDir, libc::EACCES),
        (List, libc::EIO),
    ] {
        let world = World::in_memory();
        furnish(&world);
        let others: Vec<String> = (0..50).map(|n| world.chunk(&format!("dead {n}"), 1)).collect();
        let stuck = &others[20];
        let path = if kind == RemoveFile { stuck[13..].to_owned() } else { stuck[..12].to_owned() };
        let memory = world.memory.as_ref().unwrap();
        memory.inject(Fault { at: FaultAt::Path(kind, path.clone()), errno, short: false });
        let error = world.collect().unwrap_err();
        assert!(error.to_string().contains(&path), "{error}");
        memory.heal();
        assert!(world.has(stuck) && world.has(&chunk_path(&digest("live"))));
        assert_eq!(
            world.store.storage().read(&world.path(".gc-status"), 100).unwrap(),
            b"the last one"
        );
        world.collect().unwrap();
        assert!(others.iter().all(|path| !world.has(path)));
        assert!(world.has(&chunk_path(&digest("live"))));
    }
}

/// A status that cannot be written is no failure: the garbage is gone.
#[test]
fn a_full_disk_can_be_collected() {
    let world = World::in_memory();
    furnish(&world);
    world.file("host/elsa/notes", b"x", now());
    let memory = world.memory.as_ref().unwrap();
    let kinds = vec![CallKind::Create, CallKind::Write, CallKind::CreateDir];
    memory.inject(Fault { at: FaultAt::From(0, kinds), errno: libc::ENOSPC, short: true });
    assert_eq!(world.collect().unwrap().removed_chunks, 1);
    assert_eq!(world.ear.heard("not recorded"), 1);
    memory.heal();
    assert_eq!(
        world.store.storage().read(&world.path(".gc-status"), 100).unwrap(),
        b"the last one"
    );
}

/// Stopped after any number of questions: nothing that is needed is gone, and the next run does what
/// is left.
#[test]
fn an_abort_anywhere() {
    let furnished = |limit: usize| {
        let mut world = World::new();
        for day in 1..4 {
            world.snapshot(&format!("host/elsa/2024-05-0{day}T10:00:00Z"), &["a", "b", "c"], true);
            world.snapshot(&format!("vm/{day}/2024-05-01T10:00:00Z"), &["c", "d"], true);
        }
        let kept = ["a", "b", "c", "d"].map(|name| world.chunk(name, 1));
        for number in 0..20 {
            world.chunk(&format!("dead {number}"), 1);
        }
        world.file(".gc-status", b"the last one", now());
        world.options.marks_bytes_max = limit;
        (world, kept)
    };
    for limit in [usize::MAX, 64] {
        let (calm, _) = furnished(limit);
        let wanted = calm.collect().unwrap();
        let questions = calm.ear.asked();
        assert!(questions > 40, "{questions}");
        for after in 0..questions {
            let (mut world, kept) = furnished(limit);
            world.ear = Ear::aborting_after(after);
            assert!(matches!(world.collect(), Err(Error::Aborted)), "{after} of {questions}");
            assert!(kept.iter().all(|path| world.has(path)), "{after}");
            assert_eq!(fs::read(world.path(".gc-status")).unwrap(), b"the last one");
            world.ear = Ear::default();
            let status = world.collect().unwrap();
            assert!(status.removed_chunks <= wanted.removed_chunks);
            assert_eq!(world.names(), calm.names(), "{after}");
        }
    }
}

#[test]
fn a_snapshot_that_vanishes_while_it_is_read() {
    let world = stopping();
    let (world, stops) = (&world.0, &world.1);
    let oldest = "host/elsa/2024-05-01T10:00:00Z";
    let newest = "host/elsa/2024-05-03T10:00:00Z";
    world.snapshot(oldest, &["old"], true);
    world.snapshot(newest, &["shared"], true);
    let kept = [world.chunk("old", 1), world.chunk("shared", 1), world.chunk("new", 1)];
    let gate = stops.stop(Action::Open, When::Before, move |path| {
        path.to_string_lossy().contains("2024-05-03")
    });
    std::thread::scope(|scope| {
        let run = scope.spawn(|| world.collect().unwrap());
        assert!(gate.wait_held(Duration::from_secs(30)));
        // Forgotten, and the next one took over its chunk, after we listed the group.
        fs::remove_dir_all(world.path(newest)).unwrap();
        world.snapshot("host/elsa/2024-05-04T10:00:00Z", &["shared", "new"], true);
        gate.open();
        let status = run.join().unwrap();
        assert_eq!((status.index_file_count, status.disk_chunks), (2, 3));
    });
    assert!(kept.iter().all(|path| world.has(path)));
}

#[test]
fn an_older_snapshot_that_vanishes_is_skipped() {
    let world = stopping();
    let (world, stops) = (&world.0, &world.1);
    let (older, newest) = ("host/elsa/2024-05-01T10:00:00Z", "host/elsa/2024-05-03T10:00:00Z");
    world.snapshot(older, &["old"], true);
    world.snapshot(newest, &["new"], true);
    world.chunk("old", 1);
    world.chunk("new", 1);
    let gate = stops.stop(Action::Open, When::Before, move |path| {
        path.to_string_lossy().contains("2024-05-01")
    });
    std::thread::scope(|scope| {
        let run = scope.spawn(|| world.collect().unwrap());
        assert!(gate.wait_held(Duration::from_secs(30)));
        fs::remove_dir_all(world.path(older)).unwrap();
        gate.open();
        let status = run.join().unwrap();
        assert_eq!((status.index_file_count, status.disk_chunks, status.removed_chunks), (1, 1, 1));
    });
}

/// A group whose newest snapshot vanishes again and again is locked after ten times; one that is in use
/// then ends the collection.
#[test]
fn a_group_that_does_not_hold_still_is_locked() {
    for busy in [false, true] {
        let world = stopping();
        let (world, stops) = (&world.0, &world.1);
        let name = |number: usize| format!("host/elsa/2024-05-{number:02}T10:00:00Z");
        world.snapshot(&name(1), &["live"], true);
        world.chunk("live", 1);
        world.chunk("dead", 1);
        let gates: Vec<_> = (1..=11)
            .map(|number| {
                let text = name(number);
                stops.stop(Action::Open, When::Before, move |path| {
                    path.to_string_lossy().contains(&text)
                })
            })
            .collect();
        let group = "host/elsa".parse().unwrap();
        let lock = || world.store.locks().group(&Namespace::root(), &group);
        std::thread::scope(|scope| {
            let run = scope.spawn(|| world.collect());
            let mut held = None;
            for (number, gate) in (1..).zip(&gates) {
                assert!(gate.wait_held(Duration::from_secs(30)), "{number}");
                if number <= 10 {
                    fs::remove_dir_all(world.path(&name(number))).unwrap();
                    world.snapshot(&name(number + 1), &["live"], true);
                    held = Some(lock().unwrap());
                    if number < 10 || !busy {
                        held = None;
                    }
                } else {
                    assert!(lock().unwrap_err().is_retryable(), "the collector has it");
                }
                gate.open();
                if number == 10 && busy {
                    break;
                }
            }
            let result = run.join().unwrap();
            drop(held);
            if busy {
                assert!(result.unwrap_err().is_retryable());
                assert!(world.has(&chunk_path(&digest("dead"))));
            } else {
                let status = result.unwrap();
                assert_eq!((status.index_file_count, status.disk_chunks), (1, 1));
                drop(lock().unwrap());
            }
            assert!(world.has(&chunk_path(&digest("live"))));
        });
    }
}

/// A real store in which threads can be held. One thread collects, so that the order is known.
fn stopping() -> (World, std::sync::Arc<StopStorage>) {
    let mut stops = None;
    let mut world = World::with(|base| {
        fs::create_dir_all(base.join(".chunks")).unwrap();
        let real = datastore::storage::RealStorage::new(base).unwrap();
        let storage = StopStorage::new(std::sync::Arc::new(real));
        stops = Some(std::sync::Arc::clone(&storage));
        (storage, None)
    });
    world.options.threads = 1;
    (world, stops.unwrap())
}
