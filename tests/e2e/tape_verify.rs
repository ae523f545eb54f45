//! Cartridges that are verified: sound, damaged, away.

use std::fs;
use std::os::unix::fs::FileExt;

use serde_json::{Value, json};

use crate::listing::picture;
use crate::tape_world::{ALPHA_1, Rig, SECRET, SIGNED, media_set};
use crate::world::text;

fn states(report: &Value) -> Vec<(String, String)> {
    let snapshots = report["snapshots"].as_array().unwrap().iter();
    snapshots.map(|one| (text(&one["snapshot"]), text(&one["state"]))).collect()
}

#[test]
fn cartridges_are_verified_by_set_snapshot_and_label() {
    let rig = Rig::new();
    let world = &rig.world;
    let backup = rig.to_tape();
    let set = media_set(&backup);
    world.run(world.tape(args!["unload"]));
    let state = world.fast("state");
    let before = picture(&[&state]);

    // Without the key, then with it.
    let report = world.json(world.tape(args!["verify", set]));
    assert_eq!(states(&report).len(), 4, "{report}");
    assert!(states(&report).iter().all(|(_, state)| state == "ok"), "{report}");
    assert_eq!(report["damage"], json!([]));
    assert_eq!(report["chunks"]["digest-with-key"], 0);
    let sealed = report["chunks"]["crc-only"].as_u64().unwrap();
    assert!(sealed > 0, "{report}");
    let signature = |report: &Value, name: &str| -> String {
        let all = report["snapshots"].as_array().unwrap();
        let one = all.iter().find(|one| text(&one["snapshot"]).ends_with(name)).unwrap();
        text(&one["signature"])
    };
    assert_eq!(signature(&report, SIGNED), "no-key");
    let report = world.json(world.tape(args!["verify", set, "--keyfile", rig.key()]));
    assert_eq!(report["chunks"]["crc-only"], 0);
    assert_eq!(report["chunks"]["digest-with-key"], sealed);
    assert_eq!(
        (signature(&report, SIGNED), signature(&report, SECRET)),
        ("valid".into(), "valid".into())
    );
    assert_eq!(signature(&report, ALPHA_1), "none");

    // By the set's name, one snapshot, one cartridge.
    let report = world.json(world.tape(args!["verify", format!("set {set}")]));
    assert_eq!(states(&report).len(), 4);
    let name = format!("source:ns/site/{SECRET}");
    let report = world.json(world.tape(args!["verify", name]));
    assert_eq!(states(&report), [(name.clone(), "ok".to_owned())]);
    let first = text(&backup["tapes"][0]);
    let report = world.json(world.tape(args!["verify", first]));
    assert_eq!(report["tapes"][0]["label-text"], json!(first));
    assert_eq!(report["tapes"].as_array().map(Vec::len), Some(1));

    let run = world.run(world.tape(args!["verify", name, "--dry-run"]));
    run.says_on_stdout(&[&first, "at most", &set]);
    world.fails(world.tape(args!["verify", "nonsense"]), &["nonsense", "no media set and no tape"]);

    // Nothing was written: the robot's last status, who held the drive and what cartridges went through aside.
    let aside = |path: &std::path::Path| {
        path.components().any(|part| {
            ["changer-state", "drive-lock", "care"].iter().any(|name| part.as_os_str() == *name)
        })
    };
    let mut after = picture(&[&state]);
    let mut before = before;
    for picture in [&mut before, &mut after] {
        picture.retain(|path, _| !aside(path));
    }
    assert_eq!(after, before);
}

#[test]
fn samples_are_taken_in_turn_and_recorded() {
    let rig = Rig::new();
    let world = &rig.world;
    let set = media_set(&rig.to_tape());
    let mut names = Vec::new();
    for _ in 0..2 {
        let report = world.json(world.tape(args!["verify", set, "--sample", "50%"]));
        names.extend(states(&report));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(world.state.join("tape/verify-history.json").is_file());
    let run = world.run(world.tape(args!["verify", set, "--outdated-after", "1"]));
    run.says(&["nothing", "is due"]);
    let run = world.attempt(world.tape(args!["verify", set, "--sample", "0"]));
    assert_eq!(run.code(), Some(2), "{run}");
}

#[test]
fn damage_on_a_cartridge_fails_the_command_and_names_the_snapshot() {
    let rig = Rig::new();
    let world = &rig.world;
    let backup = rig.to_tape();
    let set = media_set(&backup);
    world.run(world.tape(args!["unload"]));
    let first = text(&backup["tapes"][0]);
    let log = rig.library.join("cartridges").join(&first).join("partition0.log");
    let file = fs::OpenOptions::new().read(true).write(true).open(&log).unwrap();
    // In the middle of a block of the first chunk archive.
    let at = 3 * 262_144 + 100_000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();

    let json = args!["verify", set, "--output-format", "json"];
    let run = world.attempt(world.tape(json));
    assert_eq!(run.code(), Some(1), "{run}");
    run.says(&["verification found", &first]);
    let report: Value = serde_json::from_slice(&run.output.stdout).unwrap();
    let damage = report["damage"].as_array().unwrap();
    assert!(damage.iter().any(|one| one["tape"] == json!(first) && one["file"] == 2), "{report}");
    let of_first = format!("source:ns/site/{SECRET}");
    assert!(states(&report).contains(&(of_first.clone(), "damaged".into())), "{report}");
    let run = world.attempt(world.tape(args!["verify", set]));
    run.says(&["damage: tape", &of_first]);
    run.says_on_stdout(&["damaged: "]);
}

#[test]
fn a_cartridge_that_is_away_makes_the_answer_incomplete() {
    let rig = Rig::new();
    let world = &rig.world;
    let backup = rig.to_tape();
    world.run(world.tape(args!["unload"]));
    let last = text(backup["tapes"].as_array().unwrap().last().unwrap());
    // As an operator takes it out: by the station.
    world.run(args!["tape", "changer", "export", "lib", "--label-text", last]);
    let run = world.attempt(world.tape(args!["verify", media_set(&backup)]));
    assert_eq!(run.code(), Some(3), "{run}");
    run.says(&["not everything was verified", &last]);
}
