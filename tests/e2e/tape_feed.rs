//! How a drive is fed: readers and buffer as asked for, else as configured, else by measurement; and what measures them.

use std::ffi::OsString;
use std::fs;

use serde_json::{Value, json};

use crate::tape_world::{Rig, media_set};
use crate::world::{World, text};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Adds a section `[feed]` to the configuration, in place of the one that is there.
fn configure_feed(world: &World, lines: &str) {
    let path = world.config.join("tape.toml");
    let config = fs::read_to_string(&path).unwrap();
    let before = config.split("[feed]").next().unwrap();
    fs::write(&path, format!("{before}\n[feed]\n{lines}\n")).unwrap();
}

#[test]
fn readers_and_buffer_are_those_asked_for_then_those_configured_then_measured() {
    let rig = Rig::new();
    let world = &rig.world;
    let job = |options: Vec<OsString>| {
        world.json(world.tape([args!["backup", "source", "pool"], options].concat()))
    };
    let fed = |report: &Value| {
        (report["feed"]["readers"].as_u64(), report["feed"]["buffer-bytes"].as_u64())
    };
    // A buffer that is smaller than its chunks takes one at a time; the largest have 4 MiB.
    let first = job(args!["--readers", "3", "--buffer", "64K"]);
    assert_eq!(fed(&first), (Some(3), Some(64 * KIB)));
    assert_eq!(first["snapshots-written"].as_array().map(Vec::len), Some(4), "{first}");
    let peak = first["feed"]["buffer-peak-bytes"].as_u64().unwrap();
    assert!((64 * KIB..5 * MIB).contains(&peak), "{first}");

    // Measured: one reader to begin with, and no more than a quarter of the memory that is free.
    let measured = fed(&job(args![]));
    assert_eq!(measured.0, Some(1));
    assert!((Some(128 * MIB)..=Some(1 << 30)).contains(&measured.1), "{measured:?}");

    configure_feed(world, "readers = 5\nbuffer = \"48M\"");
    assert_eq!(fed(&job(args![])), (Some(5), Some(48 * MIB)));
    assert_eq!(fed(&job(args!["--readers", "2"])), (Some(2), Some(48 * MIB)));
    assert_eq!(fed(&job(args!["--buffer", "32M"])), (Some(5), Some(32 * MIB)));
    // What makes no sense is brought to what does.
    assert_eq!(fed(&job(args!["--readers", "99"])).0, Some(32));
    assert_eq!(fed(&job(args!["--readers", "0"])).0, Some(1));

    configure_feed(world, "buffer = \"much\"");
    let backup = || world.tape(args!["backup", "source", "pool"]);
    world.fails(backup(), &["tape.toml", "[feed] buffer"]);
    configure_feed(world, "buffers = \"1G\"");
    world.fails(backup(), &["tape.toml", "buffers"]);
    world.run([backup(), args!["--help"]].concat());
    configure_feed(world, "readers = 2");

    // What went to tape in pieces of a chunk comes back whole.
    rig.throw_source_away();
    world.create_store("second");
    let set = media_set(&first);
    world.run(world.tape(args!["restore", set, "second"]));
    rig.check_restored("second");
}

#[test]
fn a_benchmark_measures_and_recommends_and_writes_over_what_it_was_told_to() {
    let rig = Rig::new();
    let world = &rig.world;
    let benchmark = |more: Vec<OsString>| world.tape([args!["benchmark"], more].concat());
    let label = |text: &str| {
        let media = world.json(args!["tape", "media", "list"]);
        media.as_array().unwrap().iter().find(|one| one["label-text"] == text).cloned()
    };

    // Disk alone: no drive is needed.
    let disk = world.json(args!["tape", "benchmark", "source"]);
    let runs = disk["disk"]["runs"].as_array().unwrap();
    let readers: Vec<u64> = runs.iter().filter_map(|run| run["readers"].as_u64()).collect();
    assert_eq!(readers, [1, 2, 4, 8]);
    assert_eq!(disk["advice"]["readers"], disk["disk"]["readers"]);
    assert!(disk.get("drive").is_none() && disk.get("together").is_none());

    // The plan, and no word is no yes.
    let before = label("CAP001L8").unwrap();
    let plan = world.json(benchmark(args!["--media", "CAP001L8", "--dry-run"]));
    assert_eq!((text(&plan["label-text"]), &plan["is-blank"]), ("CAP001L8".into(), &json!(false)));
    assert_eq!(plan["pool"], "pool");
    world
        .fails(benchmark(args!["--media", "CAP001L8"]), &["CAP001L8", "nothing was done", "--yes"]);
    assert_eq!(label("CAP001L8").unwrap()["uuid"], before["uuid"]);

    let all = args!["source", "--media", "CAP001L8", "--size", "4M", "--yes", "--readers", "2"];
    let all = world.json(benchmark([all, args!["--buffer", "16M"]].concat()));
    assert_eq!(all["drive"]["bytes"], json!(4 * MIB));
    assert!(all["drive"]["write-bytes-per-second"].as_u64() > Some(0), "{all}");
    assert!(all["drive"]["read-bytes-per-second"].as_u64() > Some(0), "{all}");
    assert_eq!(all["together"]["feed"]["readers"], 2);
    assert_eq!(all["together"]["feed"]["buffer-bytes"], json!(16 * MIB));
    assert!(all["together"]["bytes"].as_u64() >= Some(4 * MIB), "{all}");
    let after = label("CAP001L8").unwrap();
    assert_ne!(after["uuid"], before["uuid"]);
    assert_eq!((&after["pool"], &after["location"]), (&before["pool"], &before["location"]));

    // As text, with lines for the configuration.
    let run = world.run(benchmark(args!["source", "--media", "CAP001L8", "--size", "4M", "--yes"]));
    run.says_on_stdout(&["readers", "write and sync", "locate", "disk into drive", "[feed]"]);

    // All of it is as usable as before; and then one of the set is not to be had.
    let report = rig.to_tape();
    let used = text(&report["tapes"][0]);
    world.fails(benchmark(args!["--media", used, "--yes"]), &[&used, "media set"]);
    world.json(world.tape(args!["verify", media_set(&report)]));
    world.fails(benchmark(args!["--media", "CAP099L8", "--yes"]), &["CAP099L8"]);
    let neither = world.attempt(benchmark(args![]));
    assert_eq!(neither.code(), Some(2), "{neither}");
}
