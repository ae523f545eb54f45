//! `capstan mt encryption`: a key for other programs. The emulated drive keeps keys in memory only, so it is served here: a
//! drive that is on between two commands.

use serde_json::json;

use crate::drive_rig::DriveRig;
use crate::vtl_serve::serve;

/// A key for other programs stays until a job comes, and is never an argument.
#[test]
fn a_drives_key_is_set_by_hand_and_no_job_ever_uses_it() {
    let rig = DriveRig::loaded();
    let world = &rig.world;
    let server = serve(world, &rig.library, Vec::new());
    for (kind, name, lun) in [("changer", "lib", 0), ("drive", "lib-0", 1)] {
        world.run(args!["tape", kind, "update", name, "--path", server.address(lun)]);
    }
    let encryption = |arguments| [args!["mt", "encryption"], arguments].concat();
    let status = || world.json(encryption(args!["status"]));
    let before = status();
    assert_eq!((&before["state"], &before["control"]), (&json!("off"), &json!("hosts")));
    assert_eq!(before["hosts-can-set-key"], json!(true));
    let bad = world.disk("bad.key");
    std::fs::write(&bad, "not a key\n").unwrap();
    let set = |file: &std::path::Path| encryption(args!["set", "--key-file", file]);
    world.fails(set(&bad), &["bad.key", "64 hexadecimal digits"]);
    world.fails(set(&world.disk("gone")), &["gone", "cannot read the key"]);
    world.fails(encryption(args!["set"]), &["--key-file", "terminal"]);
    assert_eq!(status(), before, "a key that is none changes nothing");

    let file = world.disk("tape.key");
    std::fs::write(&file, "5a".repeat(32) + "\n").unwrap();
    let run = world.run(set(&file));
    run.says_on_stdout(&["mixed"]);
    assert!(!run.stdout().contains("5a5a") && !run.stderr().contains("5a5a"), "{run}");
    assert_eq!(status()["state"], json!("mixed"));
    world.run(encryption(args!["clear"]));
    assert_eq!(status()["state"], json!("off"));

    // Left there, as by a script that crashed: the next job removes it before it writes.
    world.run(set(&file));
    world.run(world.tape(args!["label", "--label-text", "CAP001L8"]));
    let after = status();
    assert_eq!(after["state"], json!("off"));
    assert_eq!(after["volume-has-encrypted-blocks"], json!(false));
    server.end();
}
