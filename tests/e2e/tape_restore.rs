//! What a restore needs, up front; and tapes as they can be had.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::tape_world::{ALPHA_1, Rig, SECRET, media_set};
use crate::world::text;

fn labels(plan: &Value) -> Vec<String> {
    plan["tapes"].as_array().unwrap().iter().map(|tape| text(&tape["label-text"])).collect()
}

#[test]
fn a_dry_run_tells_the_cartridges_and_the_way_of_each_snapshot() {
    let rig = Rig::new();
    let world = &rig.world;
    let report = rig.to_tape();
    let set = media_set(&report);
    world.create_store("second");
    let chunks = || std::fs::read_dir(world.fast("second")).unwrap().count();
    let before = chunks();

    // Everything, without a drive.
    let plan = world.json(args!["tape", "restore", set, "second", "--dry-run"]);
    assert_eq!(plan["exact"], json!(true), "{plan}");
    assert_eq!(json!(labels(&plan)), report["tapes"], "{plan}");
    assert_eq!(plan["snapshots"].as_array().map(Vec::len), Some(4));
    let tape = &plan["tapes"][0];
    assert_eq!((&tape["location"], &tape["needed"]), (&json!("online-lib"), &json!("yes")));
    assert!(tape["element"].is_string() && tape["bytes"].as_u64() > Some(1 << 20), "{tape}");
    let shown = world.run(args!["tape", "restore", set, "second", "--dry-run"]);
    shown.says_on_stdout(&["needed", "online-lib", ALPHA_1, "second: (root)", "second: site"]);

    // One, in another namespace: roughly, then exactly.
    let one = |more| {
        let mut restore = args!["restore", set, "second"];
        restore.extend(args!["--snapshots", format!("source:ns/site/{SECRET}")]);
        restore.extend(args!["--namespaces", "store=source,source=site,target=old/place"]);
        world.tape([restore, more].concat())
    };
    let rough = world.json(one(args!["--dry-run"]));
    assert_eq!(rough["exact"], json!(false), "{rough}");
    assert_eq!(rough["snapshots"][0]["namespaces"], json!(["old/place"]));
    let exact = world.json(one(args!["--dry-run", "--read-tapes"]));
    assert_eq!(exact["exact"], json!(true), "{exact}");
    assert_eq!(chunks(), before, "a dry run writes nothing");
    let restored = world.json(one(args![]));
    let mut read: Vec<String> = restored["tapes"].as_array().unwrap().iter().map(text).collect();
    read.sort();
    assert_eq!(labels(&exact), read);
    let planned: u64 =
        exact["tapes"].as_array().unwrap().iter().filter_map(|tape| tape["chunks"].as_u64()).sum();
    assert_eq!(json!(planned), restored["chunks"]);
    let at = args!["snapshot", "list", "--repository", "second", "--ns", "old/place"];
    assert_eq!(world.json(at).as_array().map(Vec::len), Some(1));
    // Now there is nothing to do.
    world
        .run(one(args!["--dry-run"]))
        .says_on_stdout(&["no cartridge is needed", "exists already"]);

    // What is wrong is told before anything happens.
    let wrong = args!["tape", "restore", set, "second", "--dry-run", "--namespaces", "source=x"];
    let run = world.attempt(wrong);
    assert_eq!(run.code(), Some(2), "{run}");
    run.says(&["store=NAME"]);
    let twice = args!["--namespaces", "store=source", "--namespaces", "store=source,target=x"];
    let twice = [args!["tape", "restore", set, "second", "--dry-run"], twice].concat();
    world.fails(twice, &["given twice"]);
    let unknown = args!["--dry-run", "--snapshots", "source:host/x/2024-05-01T10:00:00Z"];
    let run = world.attempt([args!["tape", "restore", set, "second"], unknown].concat());
    assert_eq!(run.code(), Some(3), "{run}");
}

/// With a drive that no robot feeds: whatever cartridge of the set is put in, in whatever order, is the one that is read.
#[test]
fn cartridges_put_in_by_hand_are_read_in_the_order_in_which_they_come() {
    let rig = Rig::new();
    let world = &rig.world;
    let report = rig.to_tape();
    let set = media_set(&report);
    world.run(world.tape(args!["unload"]));
    rig.throw_source_away();
    world.create_store("second");
    let drive = format!("vtl:{}#drive1", rig.library.display());
    world.run(args!["tape", "drive", "create", "hand", "--path", drive, "--changer", ""]);
    let station = |arguments| [args!["vtl", "station"], arguments].concat();
    let mut tapes: Vec<String> = report["tapes"].as_array().unwrap().iter().map(text).collect();
    assert!(tapes.len() >= 3);
    tapes.rotate_left(1);
    tapes.reverse();
    for tape in &tapes {
        world.run(station(args!["remove", rig.library, tape]));
    }
    let insert = |tape: &str| {
        world.run(station(args!["insert", rig.library, tape, "--drive", "1"]));
    };
    insert(&tapes[0]);
    let restore = args!["tape", "restore", set, "second", "--drive", "hand", "--wait"];
    let restore = [restore, args!["--output-format", "json"]].concat();
    let job = world
        .command(&restore)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let start = Instant::now();
    for pair in tapes.windows(2) {
        // The job ejects what it has read.
        while world.attempt(station(args!["remove", rig.library, pair[0]])).code() != Some(0) {
            assert!(start.elapsed() < Duration::from_secs(300), "{} is not given out", pair[0]);
            std::thread::sleep(Duration::from_millis(50));
        }
        insert(&pair[1]);
    }
    let output = job.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("please insert any of these tapes into drive hand"), "{said}");
    let restored: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(restored["tapes"], json!(tapes));
    rig.check_restored("second");
}
