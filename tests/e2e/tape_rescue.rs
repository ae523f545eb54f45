//! Rescues through the program, on a machine that has nothing but cartridges and a drive.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::tape_world::{ALPHA_1, DISK, Rig, SECRET};
use crate::tree::bytes;
use crate::world::{World, read, text};

/// States of the snapshots by their names.
fn states(report: &Value) -> Vec<(String, String)> {
    let snapshots = report["snapshots"].as_array().unwrap().iter();
    snapshots.map(|one| (text(&one["snapshot"]), text(&one["state"]))).collect()
}

#[test]
fn cartridges_are_listed_and_rescued_without_configuration_or_state() {
    let mut rig = Rig::new();
    rig.to_tape();
    rig.change_and_back_up();
    rig.to_tape();
    rig.world.run(rig.world.tape(args!["unload"]));
    rig.throw_source_away();
    // Nothing that the old machine knew.
    let fresh = World::new();
    let dir = fresh.fast("rescue");
    let address = |unit: &str| format!("vtl:{}#{unit}", rig.library.display());
    let rescue = |more: Vec<OsString>| {
        let drive = args!["tape", "rescue", dir, "--drive", address("drive1")];
        [drive, args!["--changer", address("changer")], more].concat()
    };

    let listed = fresh.json(rescue(args!["--list"]));
    assert_eq!(states(&listed).len(), 5, "{listed}");
    assert!(states(&listed).iter().all(|(_, state)| state == "complete"), "{listed}");
    assert!(!dir.join("datastore/source").exists());
    let in_namespace =
        listed["snapshots"].as_array().unwrap().iter().find(|one| one["snapshot"] == SECRET);
    let in_namespace = in_namespace.unwrap();
    assert_eq!((&in_namespace["ns"], &in_namespace["store"]), (&json!("site"), &json!("source")));
    assert_eq!(in_namespace["files"][0]["crypt-mode"], "encrypt");
    let table = fresh.run(rescue(args!["--list"]));
    table.says_on_stdout(&["site/inner", ALPHA_1, "complete"]);
    table.says(&["5 snapshots: 0 rescued, 5 complete"]);

    // One group, then all. What is there is a datastore like any other.
    let some = fresh.json(rescue(args!["--snapshots", "ns/site/ct/7"]));
    let rescued = states(&some).into_iter().filter(|(_, state)| state == "rescued");
    assert_eq!(rescued.map(|(name, _)| name).collect::<Vec<_>>(), [SECRET]);
    let all = fresh.run(rescue(Vec::new()));
    all.says(&["5 snapshots: 5 rescued", "datastore source is in"]);
    assert!(!fresh.config.exists() && !fresh.state.exists(), "they were not needed");
    let store = dir.join("datastore/source");
    rig.world.run(args!["datastore", "create", "second", store, "--reuse-datastore"]);
    rig.check_restored("second");

    // A cartridge alone, in a drive without robot; and what can't be one.
    let one = text(&all_tapes(&listed)[0]);
    rig.world.run(rig.world.tape(args!["load-media", one]));
    let other = fresh.fast("other");
    let single = args!["tape", "rescue", other, "--drive", address("drive0")];
    let listed = fresh.json_incomplete([single.clone(), args!["--list"]].concat());
    assert_eq!(all_tapes(&listed)[0], json!(one));
    rig.world.run(rig.world.tape(args!["unload"]));
    fresh.fails(single, &["drive", "no"]);
    let full = fresh.fast("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("thesis"), "text").unwrap();
    let into = args!["tape", "rescue", full, "--drive", address("drive0")];
    fresh.fails(into, &["thesis", "empty folder"]);
}

/// A snapshot that is not whole gives what is left of it.
#[test]
fn files_come_out_of_snapshots_that_are_damaged() {
    let rig = Rig::new();
    let backup = rig.to_tape();
    rig.world.run(rig.world.tape(args!["unload"]));
    let first = text(&backup["tapes"][0]);
    let log = rig.library.join("cartridges").join(&first).join("partition0.log");
    let file = fs::OpenOptions::new().read(true).write(true).open(&log).unwrap();
    // In the middle of a block of the first chunk archive, which is of this snapshot.
    let at = 6 * 262_144 + 100_000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();

    let fresh = World::new();
    let dir = fresh.fast("rescue");
    let address = |unit: &str| format!("vtl:{}#{unit}", rig.library.display());
    let rescue = |more: Vec<OsString>| {
        let drive = args!["tape", "rescue", dir, "--drive", address("drive0")];
        [drive, args!["--changer", address("changer")], more].concat()
    };
    let secret = format!("ns/site/{SECRET}");
    let files = args!["--files", "/file", "/other", "--keyfile", rig.key()];
    let chosen = args!["--snapshots", secret];
    let report = fresh.json_incomplete(rescue([chosen.clone(), files].concat()));
    let extracted = &report["extracted"][0];
    assert_eq!(extracted["archive"], "root.pxar");
    let lost = extracted["lost"].as_array().unwrap();
    assert_eq!(lost.len(), 1, "{report}");
    assert_eq!(lost[0]["path"], "/file");
    let target = dir.join("files/source").join(&secret).join("root.pxar");
    assert_eq!(read(target.join("other")), b"a line\n");
    assert!(!target.join("file").exists());
    // Not without the key; and again, over what is there.
    let run = fresh.attempt(rescue([chosen, args!["--files", "/other"]].concat()));
    assert_eq!(run.code(), Some(3), "{run}");
    run.says(&[&secret, "key"]);

    // An image of a snapshot that is whole.
    let report = fresh.json_incomplete(rescue(args!["--snapshots", DISK, "--files", "/disk.img"]));
    assert_eq!(report["extracted"][0]["lost"], json!([]), "{report}");
    let image = read(dir.join("files/source").join(DISK).join("disk.img"));
    assert!(image[..5_000_000] == bytes(32, 5_000_000) && image.ends_with(b"the end"));
}

fn all_tapes(report: &Value) -> Vec<Value> {
    let tapes = report["tapes"].as_array().unwrap().iter();
    let used = tapes.filter(|tape| tape.get("media-set-uuid").is_some());
    used.map(|tape| tape["label-text"].clone()).collect()
}
