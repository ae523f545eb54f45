//! Which snapshots on which cartridges hold a file.

use std::fs;

use serde_json::{Value, json};

use crate::tape_world::{ALPHA_1, ALPHA_2, Rig, SECRET, SIGNED};
use crate::world::{Run, text};

/// The answer of a search, whatever its exit code.
fn answer(run: &Run) -> Value {
    serde_json::from_slice(&run.output.stdout).unwrap_or_else(|e| panic!("{e}: {run}"))
}

/// Path and snapshot of everything that was found.
fn found(answer: &Value) -> Vec<(String, String)> {
    let files = answer["found"].as_array().unwrap().iter();
    files
        .flat_map(|file| {
            let snapshots = file["snapshots"].as_array().unwrap().iter();
            snapshots.map(|place| (text(&file["path"]), text(&place["snapshot"])))
        })
        .collect()
}

fn not_searched(answer: &Value) -> Vec<(String, String)> {
    let left = answer["not-searched"].as_array().unwrap().iter();
    left.map(|one| (text(&one["snapshot"]), text(&one["reason"]))).collect()
}

#[test]
fn files_are_found_in_the_snapshots_that_have_them() {
    let mut rig = Rig::new();
    rig.to_tape();
    rig.change_and_back_up();
    rig.to_tape();
    let world = &rig.world;
    let find = |arguments| {
        let json = args!["--output-format", "json"];
        world.attempt([args!["tape", "find"], arguments, json].concat())
    };
    let pair = |path: &str, snapshot: &str| (path.to_string(), snapshot.to_string());

    // What a job wrote is known at once, and no cartridge moves.
    let run = find(args!["host/alpha", "--file", "docs/one-byte", "--file", "/new-file"]);
    assert_eq!(run.code(), Some(0), "{run}");
    let told = answer(&run);
    assert_eq!(found(&told), [pair("/docs/one-byte", ALPHA_1), pair("/new-file", ALPHA_2)]);
    let place = &told["found"][1]["snapshots"][0];
    assert_eq!(place["location"], json!("online-lib"), "{place}");
    assert!(text(&place["label-text"]).starts_with("CAP00"), "{place}");
    assert_eq!(told["found"][1]["archive"], json!("root.pxar"));
    let shown = world.run(args!["tape", "find", "host/alpha", "--file", "new-file"]);
    shown.says_on_stdout(&["/new-file", ALPHA_2, "root.pxar", "online-lib"]);

    // Everywhere: an encrypted snapshot is not silently left out; images have no names.
    let run = find(args!["--file", "/file"]);
    assert_eq!(run.code(), Some(3), "{run}");
    let told = answer(&run);
    let signed = format!("ns/site/ns/inner/{SIGNED}");
    assert_eq!(found(&told), [pair("/file", &signed)]);
    let secret = format!("source:ns/site/{SECRET}");
    assert!(not_searched(&told).contains(&(secret.clone(), "encrypted".into())), "{told}");
    assert_eq!(not_searched(&told).len(), 2, "{told}");
    run.says(&["not searched", SECRET, "encrypted"]);

    // With its key it is looked through, and nothing of it is kept.
    let keyed = |file: &str| {
        let read = args!["--read-tapes", "--drive", "lib-0", "--keyfile", rig.key()];
        find([args!["--file", file], read].concat())
    };
    let run = keyed("/file");
    assert_eq!(run.code(), Some(0), "{run}");
    let all = found(&answer(&run));
    assert!(all.contains(&pair("/file", &format!("ns/site/{SECRET}"))), "{all:?}");
    assert_eq!(found(&answer(&find(args!["--file", "/file"]))), [pair("/file", &signed)]);

    // Without the lists nothing is known; from the cartridges it is known again, for good.
    let lists = world.fast("state").join("tape/file-lists");
    let files: Vec<_> = fs::read_dir(&lists).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "a file a group");
    for (number, file) in files.iter().enumerate() {
        let mut bytes = fs::read(file).unwrap();
        match number {
            0 => fs::remove_file(file).unwrap(),
            _ => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(file, bytes).unwrap();
            }
        }
    }
    let run = find(args!["host/alpha", "--file", "new-file"]);
    assert_eq!(run.code(), Some(1), "{run}");
    assert_eq!(not_searched(&answer(&run)).len(), 3);
    run.says(&["not known", "--read-tapes"]);
    world.run(world.tape(args!["unload"]));
    let read = args!["host/alpha", "--file", "new-file", "--read-tapes", "--drive", "lib-0"];
    for arguments in [read, args!["host/alpha", "--file", "new-file"]] {
        let run = find(arguments);
        assert_eq!(run.code(), Some(0), "{run}");
        assert_eq!(found(&answer(&run)), [pair("/new-file", ALPHA_2)]);
    }

    // What is on no cartridge any more is forgotten.
    let media = world.json(args!["tape", "media", "list"]);
    for tape in media.as_array().unwrap() {
        world.run(args!["tape", "media", "destroy", text(&tape["label-text"]), "--force"]);
    }
    assert_eq!(fs::read_dir(&lists).unwrap().count(), 0);

    // What makes no sense is refused.
    for wrong in [args![], args!["--file", ""], args!["--file", "!x"], args!["x", "--read-tapes"]] {
        assert_eq!(find(wrong).code(), Some(2));
    }
}
