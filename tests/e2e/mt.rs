//! `capstan mt`: each command a process of its own, as scripts call it.

use std::ffi::OsString;

use serde_json::{Value, json};

use crate::drive_rig::DriveRig as Rig;
use crate::world::text;

#[test]
fn a_tape_is_moved_command_by_command() {
    let rig = Rig::loaded();
    // Three empty files.
    assert_eq!(rig.place(args!["weof", "3"]), (3, 3));
    assert_eq!(rig.place(args!["bsf", "2"]), (1, 1));
    assert_eq!(rig.place(args!["tell"]), (1, 1));
    assert_eq!(rig.place(args!["fsf"]), (2, 2));
    assert_eq!(rig.place(args!["asf", "1"]), (1, 1));
    assert_eq!(rig.place(args!["seekfile", "0"]), (0, 0));
    assert_eq!(rig.place(args!["fsfm", "1"]), (0, 0));
    assert_eq!(rig.place(args!["seod"]), (3, 3));
    assert_eq!(rig.place(args!["bsfm", "1"]), (3, 3));
    assert_eq!(rig.place(args!["seek", "1"]), (1, 1));
    assert_eq!(rig.place(args!["rewind"]), (0, 0));
    // As mt: a motion says nothing to people.
    let run = rig.world.run(rig.mt(args!["fsf"]));
    assert_eq!((run.stdout().as_str(), run.stderr().as_str()), ("", ""));
    let run = rig.world.run(rig.mt(args!["tell"]));
    assert_eq!(run.stdout().trim(), "At block 1 (file 1).");

    rig.world.fails(rig.mt(args!["fsf", "9"]), &["end of the data", "7 of 9 filemarks", "#drive0"]);
    rig.world.fails(rig.mt(args!["fsr", "1"]), &["end of the data", "1 of 1 blocks"]);
    rig.world.run(rig.mt(args!["rewind"]));
    rig.world.fails(rig.mt(args!["bsr", "1"]), &["beginning of the tape"]);
    rig.world.fails(rig.mt(args!["asf", "8"]), &["no file 8"]);
    rig.world.fails(rig.mt(args!["seek", "77"]), &["no block 77"]);
}

#[test]
fn what_destroys_is_planned_and_asked_for() {
    let rig = Rig::loaded();
    rig.world.run(rig.mt(args!["weof", "5"]));
    rig.world.run(rig.mt(args!["asf", "2"]));
    rig.world.fails(rig.mt(args!["weof"]), &["data follows block 2 (in file 2)", "--yes"]);
    let plan = rig.world.json(rig.mt(args!["erase", "--dry-run"]));
    assert_eq!((&plan["block-number"], &plan["nothing-follows"]), (&json!(2), &json!(false)));
    rig.world.fails(rig.mt(args!["erase"]), &["everything from block 2 (file 2)", "--yes"]);
    assert_eq!(rig.place(args!["eod"]), (5, 5), "nothing was lost by asking");

    rig.world.run(rig.mt(args!["asf", "3"]));
    rig.world.run(rig.mt(args!["erase", "--yes"]));
    assert_eq!(rig.place(args!["eod"]), (3, 3));
    rig.world.run(rig.mt(args!["asf", "1"]));
    assert_eq!(rig.place(args!["weof", "--yes"]), (2, 2));
    assert_eq!(rig.place(args!["eod"]), (2, 2));
    // Of another program: formatted on demand only.
    rig.world.fails(rig.mt(args!["format"]), &["label can't be read", "nothing was done"]);
    assert_eq!(rig.place(args!["eod"]), (2, 2));
    rig.world.run(rig.mt(args!["format", "--yes"]));
    assert_eq!(rig.place(args!["eod"]), (0, 0));

    // A labelled tape is named in the plan, and forgotten when it is formatted.
    let label = args!["label", "--label-text", "CAP001L8"];
    rig.world.run(rig.world.tape(label));
    let plan = rig.world.json(rig.world.tape(args!["format", "--any", "--dry-run"]));
    assert_eq!(text(&plan["label-text"]), "CAP001L8");
    let plan = rig.world.json(rig.mt(args!["format", "--dry-run"]));
    assert_eq!(text(&plan["label-text"]), "CAP001L8");
    let known = || rig.world.json(args!["tape", "media", "list"]).as_array().unwrap().len();
    assert_eq!(known(), 1);
    rig.world.run(rig.mt(args!["format", "--yes"]));
    assert_eq!(known(), 0);
}

#[test]
fn options_stay_in_the_drive_and_jobs_set_their_own() {
    let rig = Rig::loaded();
    let options = |arguments: Vec<OsString>| rig.world.json(rig.mt(arguments));
    let wanted = json!({"compression": false, "blocksize": 65536, "buffer-mode": 0});
    let set = args!["options", "--compression", "false", "--blocksize", "65536"];
    assert_eq!(options([set, args!["--buffer-mode", "0"]].concat()), wanted);
    assert_eq!(options(args!["options"]), wanted);
    assert_eq!(options(args!["setblk", "512"])["blocksize"], json!(512));
    assert_eq!(options(args!["compression", "on"])["compression"], json!(true));
    let defaults = json!({"compression": true, "blocksize": 0, "buffer-mode": 1});
    assert_eq!(options(args!["options", "--defaults"]), defaults);

    rig.world.run(rig.mt(args!["setblk", "512"]));
    rig.world.run(rig.world.tape(args!["label", "--label-text", "CAP001L8"]));
    assert_eq!(options(args!["options"]), defaults);
    for bad in [args!["setblk", "99999999"], args!["options", "--buffer-mode", "2"]] {
        assert_eq!(rig.world.attempt(rig.mt(bad)).code(), Some(2));
    }
}

#[test]
fn a_drive_tells_about_itself_and_its_tape() {
    let rig = Rig::loaded();
    let status = rig.world.json(rig.mt(args!["status"]));
    assert_eq!((&status["ready"], &status["file-number"]), (&json!(true), &json!(0)), "{status}");
    assert_eq!(status["cleaning-requested"], json!(false));
    let run = rig.world.run(rig.mt(args!["status", "--mt"]));
    run.says_on_stdout(&[
        "File number=0, block number=0",
        "Density code 0x5e (LTO8)",
        "BOT ONLINE",
    ]);
    let memory = rig.world.run(rig.mt(args!["cartridge-memory"]));
    memory.says_on_stdout(&["|Medium Serial Number|"]);
    let same = rig.world.json(rig.world.tape(args!["cartridge-memory"]));
    assert_eq!(same.as_array().map(Vec::len), Some(memory.stdout().lines().count()));
    let statistics = rig.world.json(rig.mt(args!["volume-statistics"]));
    assert_eq!(statistics["volume-mounts"], json!(1));
    assert_eq!(statistics, rig.world.json(rig.world.tape(args!["volume-statistics"])));
    let densities = rig.world.json(rig.mt(args!["densities"]));
    let names: Vec<String> =
        densities.as_array().unwrap().iter().map(|one| text(&one["name"])).collect();
    assert!(names.contains(&"LTO8".to_owned()) && names.contains(&"LTO7".to_owned()), "{names:?}");
    let sense = rig.world.json(rig.mt(args!["sense"]));
    assert_eq!(sense["key"], json!(0), "{sense}");
    rig.world.run(rig.mt(args!["tape-alert-flags"])).says_on_stdout(&["(empty)"]);
    let alerts = rig.world.json(rig.world.tape(args!["alert-flags"]));
    assert_eq!((&alerts["raw"], &alerts["flags"]), (&json!("0000000000000000"), &json!([])));
}

#[test]
fn ejecting_loading_and_locking() {
    let rig = Rig::loaded();
    rig.world.run(rig.mt(args!["offline"]));
    let status = rig.world.json(rig.mt(args!["status"]));
    assert_eq!((&status["ready"], &status["file-number"]), (&json!(false), &Value::Null));
    rig.world.run(rig.mt(args!["status", "--mt"])).says_on_stdout(&["DR_OPEN"]);
    rig.world.run(rig.mt(args!["load"]));
    assert_eq!(rig.place(args!["tell"]), (0, 0));
    rig.world.run(rig.mt(args!["lock"]));
    rig.world.run(rig.mt(args!["unlock"]));
    rig.world.run(rig.mt(args!["retension"]));
    rig.world.run(rig.mt(args!["eject"]));
}

#[test]
fn the_drive_is_named_in_any_of_the_usual_ways() {
    let mut rig = Rig::loaded();
    let world = &rig.world;
    world.run(args!["mt", "rewind"]);
    world.run(args!["mt", "--drive", "lib-0", "rewind"]);
    world.run(args!["mt", "rewind", "-f", rig.vtl("drive0")]);
    world.fails(args!["mt", "--drive", "nope", "rewind"], &["no drive 'nope'"]);
    world.fails(args!["mt", "-f", "sg3", "rewind"], &["'sg3' is no device address"]);
    let other = rig.vtl("drive1");
    world.fails(args!["mt", "-f", other, "rewind"], &["#drive1", "no tape loaded"]);
    // The variable of mt users, and ours before it.
    rig.world.set_env("TAPE", &other);
    rig.world.fails(args!["mt", "rewind"], &["#drive1"]);
    rig.world.set_env("CAPSTAN_TAPE_DRIVE", "lib-0");
    rig.world.run(args!["mt", "rewind"]);
    rig.world.run(args!["mt", "scan"]);
}
