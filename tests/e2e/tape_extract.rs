//! Files straight from cartridges, through the program.

use std::fs;

use serde_json::json;

use crate::tape_world::{ALPHA_1, DISK, Rig, SECRET};
use crate::tree::bytes;
use crate::world::{has_program, note, read};

#[test]
fn files_come_straight_from_cartridges_without_the_datastore() {
    let rig = Rig::new();
    let world = &rig.world;
    rig.to_tape();
    world.run(world.tape(args!["unload"]));
    let to = world.disk("found");
    let secret = format!("source:ns/site/{SECRET}");
    let file = bytes(31, 5_000_000);

    // Not without the key; the plan reads no content.
    world.fails(world.tape(args!["extract", secret, "root.pxar", "/file", "--to", to]), &["key"]);
    assert!(!to.exists());
    let keyed = |mut arguments| {
        let mut all = args!["extract", secret, "root.pxar", "--keyfile", rig.key()];
        all.append(&mut arguments);
        world.tape(all)
    };
    let plan = world.json(keyed(args!["/file", "--to", to, "--dry-run"]));
    assert_eq!(plan["content-bytes"], json!(5_000_000));
    assert!(!plan["tapes"].as_array().unwrap().is_empty(), "{plan}");
    let report = world.json(keyed(args!["/file", "--to", to]));
    assert_eq!(report["lost"], json!([]));
    assert!(read(to.join("file")) == file);
    assert!(!to.join("other").exists());
    // What exists is not replaced unasked; what matches nothing is an error.
    world.fails(keyed(args!["/nothing", "--to", to, "--overwrite"]), &["/nothing", "matches"]);
    world.run(keyed(args!["/other", "--to", to, "--allow-existing-dirs"]));
    assert_eq!(read(to.join("other")), b"a line\n");

    // A tar stream.
    let run = world.run(keyed(args!["file", "--to", "-"]));
    if has_program("tar") {
        let tar = world.disk("out.tar");
        fs::write(&tar, &run.output.stdout).unwrap();
        let listed = std::process::Command::new("tar").arg("tf").arg(&tar).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&listed.stdout), "file\n");
    } else {
        note("no tar here: the stream was not listed");
    }

    // Part of an image.
    let disk = format!("source:{DISK}");
    let run = world.run(world.tape(args![
        "extract",
        disk,
        "disk.img",
        "--range",
        "5:1000005",
        "--to",
        "-"
    ]));
    assert!(run.output.stdout == bytes(32, 5_000_000)[5..1_000_005]);

    // Names of one's own: everything of a snapshot that is there.
    let all = world.disk("all");
    world.run(world.tape(args!["extract", format!("source:{ALPHA_1}"), "root.pxar", "--to", all]));
    assert!(fs::read_dir(&all).unwrap().count() > 5);
    world.fails(
        world.tape(args![
            "extract",
            "source:host/nobody/2024-05-01T10:00:00Z",
            "a.pxar",
            "--to",
            to
        ]),
        &["nobody", "no catalog"],
    );
}
