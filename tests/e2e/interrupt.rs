//! Jobs that are stopped or killed in the middle: nothing half passes for whole, and the next job
//! works as if nothing had happened.
//!
//! A job is interrupted once it has read or written a given number of bytes, which the kernel
//! counts for each process, so that the places are spread over the work whatever the speed.

use std::ffi::OsString;
use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::listing::{assert_same_entries, list};
use crate::round_trip::source;
use crate::tape_world::media_set;
use crate::tree::{bytes, write};
use crate::world::{World, text};

/// What is counted.
#[derive(Clone, Copy)]
enum Count {
    Read,
    Written,
}

/// Starts a command and sends it a signal once it has moved so many bytes. Returns what it said
/// and its exit code; none if the signal ended it.
#[track_caller]
fn interrupt(
    world: &World,
    arguments: &[OsString],
    (count, limit): (Count, u64),
    signal: Signal,
) -> (Option<i32>, String) {
    let mut child = world
        .command(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    while moved(&child, count) < limit {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "it ended before it could be interrupted: {ended:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it ended well although it was interrupted\n{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    (output.status.code(), stderr)
}

fn moved(child: &Child, count: Count) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let name = match count {
        Count::Read => "rchar: ",
        Count::Written => "wchar: ",
    };
    io.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

const MIB: u64 = 1 << 20;

#[test]
fn a_backup_that_is_stopped_or_killed_is_no_snapshot() {
    let world = World::new();
    let store = world.create_store("store");
    let small = world.disk("small");
    write(small.join("file"), "whole");
    let large = world.disk("large");
    let before = list(&small);
    let backup = |tree: &std::path::Path, time: u64| {
        let mut backup = args!["backup", source("root.pxar", tree), "--repository", "store"];
        backup.extend(args!["--backup-id", "x", "--chunk-size", "256", "--threads", "1"]);
        backup.extend(args!["--backup-time", (1_700_000_000 + time).to_string()]);
        backup
    };
    world.run(backup(&small, 0));
    write(large.join("one"), bytes(1, 80 << 20));
    write(large.join("two"), bytes(2, 80 << 20));

    let finished = |listed: &Value| -> Vec<i64> {
        let listed = listed.as_array().unwrap().iter();
        // An unfinished snapshot has no manifest, and so no size.
        listed
            .filter(|s| s.get("size").is_some())
            .map(|s| s["backup-time"].as_i64().unwrap())
            .collect()
    };
    let snapshots = args!["snapshot", "list", "host/x", "--repository", "store"];
    let mut killed = 0;
    let cases = [
        (Signal::SIGINT, 20),
        (Signal::SIGKILL, 1),
        (Signal::SIGTERM, 90),
        (Signal::SIGKILL, 60),
        (Signal::SIGKILL, 110),
    ];
    for (number, (signal, mib)) in (1..).zip(cases) {
        let limit = (Count::Read, mib * MIB);
        let (code, said) = interrupt(&world, &backup(&large, number), limit, signal);
        if signal == Signal::SIGKILL {
            killed += 1;
        } else {
            // Asked to end, it ends tidily and says so.
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("aborted") && said.contains("no snapshot was made"), "{said}");
        }
        assert_eq!(finished(&world.json(snapshots.clone())), [1_700_000_000], "{signal} {mib}");
        let shown = world.json(args!["datastore", "show", "store"]);
        assert_eq!((&shown["snapshots"], &shown["unfinished"]), (&json!(1), &json!(killed)));
        // The newest that is whole is what a restore takes.
        let target = world.disk(format!("restored{number}"));
        world.run(args!["restore", "host/x", "root.pxar", target, "--repository", "store"]);
        assert_same_entries(&before, &list(&target));
    }
    verify_finds_nothing_but_unfinished(&world, &snapshots, killed);
    let table = world.run(snapshots.clone()).stdout();
    assert!(table.contains("unfinished"), "{table}");

    // The next backup works, and finds the chunks that the killed ones stored.
    let report = world.json(backup(&large, 100));
    assert!(report["chunks-duplicate"].as_u64() > Some(10), "{report}");
    let finished = finished(&world.json(snapshots.clone()));
    assert_eq!(finished.len(), 2, "{finished:?}");
    let target = world.disk("restored");
    world.run(args!["restore", "host/x", "root.pxar", target, "--repository", store]);
    assert_same_entries(&list(&large), &list(&target));
    verify_finds_nothing_but_unfinished(&world, &snapshots, killed);
}

/// As with the reference, a verification names what a killed backup left, and nothing else.
#[track_caller]
fn verify_finds_nothing_but_unfinished(world: &World, snapshots: &[OsString], killed: usize) {
    let verify = args!["datastore", "verify", "store", "--output-format", "json"];
    let run = world.attempt(verify);
    let reports: Value = serde_json::from_slice(&run.output.stdout).expect("JSON");
    let listed = world.json(snapshots.to_vec());
    let mut failed = 0;
    for (report, snapshot) in
        reports.as_array().unwrap().iter().zip(listed.as_array().unwrap().iter().rev())
    {
        let is_whole = snapshot.get("size").is_some();
        assert_eq!(report["ok"], is_whole, "{report}\n{snapshot}");
        failed += usize::from(!is_whole);
    }
    assert_eq!(failed, killed, "{run}");
    assert_eq!(run.code(), Some(i32::from(failed > 0)), "{run}");
}

#[test]
fn a_tape_job_that_is_stopped_or_killed_goes_on() {
    let world = World::new();
    world.create_store("source");
    world.create_library("lib", 12);
    world.run(args!["tape", "pool", "create", "pool"]);
    world.run(world.tape(args!["barcode-label", "--pool", "pool"]));
    let mut wanted = Vec::new();
    for (number, size) in [(1_u64, 9_usize << 20), (2, 24 << 20), (3, 9 << 20)] {
        let tree = world.disk(format!("tree{number}"));
        write(tree.join("file"), bytes(number, size));
        let mut backup = args!["backup", source("root.pxar", &tree), "--repository", "source"];
        backup.extend(args!["--backup-id", format!("id{number}"), "--chunk-size", "256"]);
        world.run(backup);
        wanted.push(list(&tree));
    }
    let job = world.tape(args!["backup", "source", "pool"]);
    // Each run goes on where the one before was interrupted.
    let cases =
        [(Signal::SIGKILL, 3), (Signal::SIGINT, 8), (Signal::SIGKILL, 6), (Signal::SIGTERM, 2)];
    for (signal, mib) in cases {
        let (code, said) = interrupt(&world, &job, (Count::Written, mib * MIB), signal);
        if signal != Signal::SIGKILL {
            assert_eq!(code, Some(1), "{said}");
            assert!(said.contains("abort"), "{said}");
        }
        // What the catalogs list can be restored, whatever was going on.
        let content = world.json(args!["tape", "media", "content"]);
        assert!(content.as_array().unwrap().len() < 3, "{content}");
    }
    let report = world.json(job.clone());
    assert_eq!(report["snapshots-failed"], json!([]), "{report}");
    let content = world.json(args!["tape", "media", "content"]);
    assert_eq!(content.as_array().map(Vec::len), Some(3), "{content}");
    let set = media_set(&report);
    let nothing = world.json(job);
    assert_eq!((text(&nothing["media-set-uuid"]), &nothing["chunks"]), (set.clone(), &json!(0)));

    // A restore that is killed is no trouble either.
    fs::remove_dir_all(world.fast("source")).unwrap();
    world.create_store("second");
    let restore = world.tape(args!["restore", set, "second"]);
    for (signal, mib) in [(Signal::SIGKILL, 5), (Signal::SIGINT, 15)] {
        interrupt(&world, &restore, (Count::Read, mib * MIB), signal);
        world.run(args!["datastore", "verify", "second"]);
    }
    world.json(restore);
    let verified = world.json(args!["datastore", "verify", "second"]);
    let whole = verified.as_array().unwrap().iter().filter(|report| report["ok"] == true).count();
    assert_eq!(whole, 3, "{verified}");
    for (number, wanted) in (1..).zip(&wanted) {
        let target = world.disk(format!("restored{number}"));
        let group = format!("host/id{number}");
        world.run(args!["restore", group, "root.pxar", target, "--repository", "second"]);
        assert_same_entries(wanted, &list(&target));
    }

    // And the cartridges alone are enough, catalogs included.
    let mut world = world;
    world.forget_state();
    world.run(world.tape(args!["inventory", "--read-labels", "--catalog"]));
    let listed = world.json(args!["tape", "media", "content"]);
    let sorted = |content: &Value| {
        let mut rows: Vec<String> =
            content.as_array().unwrap().iter().map(|entry| text(&entry["snapshot"])).collect();
        rows.sort();
        rows
    };
    assert_eq!(sorted(&listed), sorted(&content));
}
