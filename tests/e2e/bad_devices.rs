//! Devices that are none, and tapes that can't be used: the message says what happened, to which device,
//! and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

use crate::drive_rig::DriveRig as Rig;
use crate::tree::write;
use crate::world::{World, is_root, note, read_text};

/// The file of a cartridge with this name.
fn cartridge_file(library: &Path, barcode: &str, name: &str) -> PathBuf {
    library.join("cartridges").join(barcode).join(name)
}

#[test]
fn what_is_no_address_is_told_with_the_forms_that_are() {
    let world = World::new();
    for (address, reason) in [
        ("sg3", "whole path"),
        ("", "empty"),
        ("/dev/", "folder"),
        ("http://host/0", "'http://' is not supported"),
        ("vtl:/nowhere", "'#driveN' or '#changer' is missing"),
        ("iscsi://host/iqn.x", "HOST/TARGET/LUN"),
    ] {
        let words = [reason, "iscsi://HOST[:PORT]/TARGET/LUN"];
        world.fails(args!["mt", "-f", address, "status"], &words);
        world.fails(args!["tape", "drive", "create", "lto", "--path", address], &words);
        world.fails(args!["tape", "changer", "create", "lib", "--path", address], &words);
    }
    world.fails(args!["mt", "status"], &["which drive?", "-f", "'capstan mt scan'"]);
    assert!(!world.config.join("tape.toml").exists());
}

#[test]
fn what_is_not_there_or_something_else_is_refused() {
    let rig = Rig::new();
    let file = rig.world.disk("file");
    write(&file, "no device");
    let file = file.display().to_string();
    let (changer, drive) = (rig.vtl("changer"), rig.vtl("drive0"));
    let mt = |address: &str, words: &[&str]| {
        rig.world.fails(args!["mt", "-f", address, "status"], words);
        rig.world.fails(args!["tape", "drive", "create", "lto", "--path", address], words);
    };
    mt("/dev/sg987", &["/dev/sg987: no such device", "'tape drive scan'"]);
    mt("vtl:/nowhere#drive0", &["/nowhere", "No such file"]);
    mt(&rig.vtl("drive7"), &["#drive7", "drive"]);
    mt(&file, &[&file, "is no character device", "/dev/sg0"]);
    mt("/dev/null", &["/dev/null", "another driver (major number 1", "/dev/sg0"]);
    mt(&changer, &[&changer, "is not a tape drive", "08h"]);
    let words = [drive.as_str(), "is not a media changer", "01h"];
    rig.world.fails(args!["tape", "changer", "create", "other", "--path", drive], &words);
}

/// Nodes of the kernel's own drivers, and one that we may not open. They need the right to make nodes.
#[test]
fn nodes_of_other_drivers_and_without_rights_are_told_apart() {
    let world = World::new();
    let node = |name: &str, major, minor| {
        let path = world.disk(name);
        let mode = Mode::from_bits_truncate(0o600);
        mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor)).map(|()| path)
    };
    let (Ok(tape), Ok(changer)) = (node("nst0", 9, 128), node("sch0", 86, 0)) else {
        return note("device nodes can't be made here");
    };
    let words = ["kernel's tape driver", "SCSI generic node"];
    world.fails(args!["mt", "-f", tape, "rewind"], &words);
    let create = args!["tape", "changer", "create", "lib", "--path", changer];
    world.fails(create, &["kernel's changer driver", "SCSI generic node"]);
    // Nothing is behind this one: the kernel or the container says so.
    let generic = node("sg250", 21, 250).unwrap();
    let run = world.attempt(args!["mt", "-f", generic, "rewind"]);
    assert_eq!(run.code(), Some(1), "{run}");
    let stderr = run.stderr();
    let told = stderr.contains("is it switched on") || stderr.contains("allow it");
    assert!(told, "{run}");
    if !is_root() {
        return note("only root can become somebody else");
    }
    // Somebody without rights, who has a folder of their own.
    let state = world.fast("state-of-nobody");
    fs::create_dir(&state).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    for path in [world.disk("."), world.fast(".")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    const NOBODY: u32 = 65_534;
    let program = world.disk("capstan");
    fs::copy(env!("CARGO_BIN_EXE_capstan"), &program).unwrap();
    let output = std::process::Command::new(&program)
        .args(["mt", "-f", &generic.display().to_string(), "rewind"])
        .env("CAPSTAN_CONFIG", &world.config)
        .env("CAPSTAN_STATE", &state)
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for word in ["permission denied", "belongs to root:", "mode 0600", "run as root"] {
        assert!(stderr.contains(word), "{stderr}");
    }
}

#[test]
fn an_empty_drive_is_told_by_every_command_that_needs_a_tape() {
    let rig = Rig::new();
    let words = ["#drive0", "no tape loaded; insert one or load it with the changer"];
    for command in [
        args!["label", "--label-text", "CAP001L8"],
        args!["read-label"],
        args!["format", "--any"],
        args!["catalog"],
        args!["scan"],
        args!["cartridge-memory"],
    ] {
        rig.tape_fails(command, &words);
    }
    for command in ["rewind", "tell", "weof", "erase", "eject"] {
        rig.world.fails(args!["mt", command], &words);
    }
    // What does not need one works.
    let status = rig.world.json(rig.world.tape(args!["status"]));
    assert_eq!(status["ready"], json!(false));
}

#[test]
fn a_blank_tape_is_no_labelled_one() {
    let rig = Rig::new();
    rig.load("CAP001L8");
    for command in [args!["read-label"], args!["catalog"], args!["format", "--label-text", "X"]] {
        rig.tape_fails(command, &["lib-0", "no label; label it first"]);
    }
}

#[test]
fn another_programs_tape_is_left_alone() {
    let rig = Rig::new();
    let folder = rig.world.disk("tar");
    write(folder.join("00000.blocks"), vec![b'x'; 10_240]);
    rig.world.run(args!["vtl", "cartridge", "import", rig.library, "CAP002L8", folder]);
    rig.load("CAP002L8");
    rig.tape_fails(
        args!["read-label"],
        &["drive lib-0 can't be read", "another program's", "'tape format'"],
    );
    rig.tape_fails(
        args!["label", "--label-text", "CAP002L8"],
        &["not empty", "'tape format'", "lib-0"],
    );
    rig.tape_fails(args!["format", "--label-text", "CAP002L8"], &["can't be read"]);
    assert_eq!(rig.world.json(args!["tape", "media", "list"]), json!([]));
}

#[test]
fn a_label_that_cannot_be_read_is_damage_and_no_blank_tape() {
    let mut rig = Rig::new();
    rig.load("CAP001L8");
    rig.world.run(rig.world.tape(args!["label", "--label-text", "CAP001L8"]));
    rig.world.run(rig.world.tape(args!["unload"]));
    // The middle of the first record.
    let log = cartridge_file(&rig.library, "CAP001L8", "partition0.log");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0xff;
    fs::write(&log, bytes).unwrap();
    rig.load("CAP001L8");
    let words = ["#drive0", "unrecovered read error", "damaged or the drive needs cleaning"];
    rig.tape_fails(args!["read-label"], &words);
    // Also not on a machine that has never seen it.
    rig.world.forget_state();
    rig.tape_fails(args!["label", "--label-text", "CAP001L8"], &["unrecovered read error"]);
}

#[test]
fn a_tape_of_another_generation_is_refused_by_name() {
    let rig = Rig::new();
    rig.add("OLD001L5");
    let words = ["#drive0", "incompatible medium", "generation"];
    rig.tape_fails(args!["load-media", "OLD001L5"], &words);
    rig.tape_fails(args!["read-label"], &words);
    rig.world.fails(args!["mt", "rewind"], &words);
    // It can be brought away again.
    rig.world.run(rig.world.tape(args!["unload"]));
}

#[test]
fn a_protected_tape_is_not_written() {
    let rig = Rig::new();
    let file = cartridge_file(&rig.library, "CAP001L8", "cartridge.json");
    let mut state: Value = serde_json::from_str(&read_text(&file)).unwrap();
    state["write_protected"] = json!(true);
    fs::write(&file, state.to_string()).unwrap();
    rig.load("CAP001L8");
    let words = ["write protected", "#drive0", "tab"];
    rig.tape_fails(args!["label", "--label-text", "CAP001L8"], &words);
    rig.world.fails(args!["mt", "weof"], &words);
    rig.world.fails(args!["mt", "erase", "--yes"], &words);
    let status = rig.world.json(args!["mt", "status"]);
    assert_eq!(status["write-protect"], json!(true));
}

#[test]
fn a_worm_tape_with_data_stays_as_it_is() {
    let rig = Rig::new();
    rig.add("WRM001LY");
    rig.load("WRM001LY");
    rig.world.run(rig.world.tape(args!["label", "--label-text", "WRM001LY"]));
    let words = ["#drive0", "WORM"];
    rig.tape_fails(args!["format", "--any"], &words);
    rig.tape_fails(args!["format", "--any", "--dry-run"], &words);
    rig.world.fails(args!["mt", "erase", "--yes"], &words);
    rig.world.run(args!["mt", "rewind"]);
    rig.world.fails(args!["mt", "weof", "--yes"], &words);
    let label = rig.world.json(rig.world.tape(args!["read-label"]));
    assert_eq!(label["label-text"], json!("WRM001LY"));
}

#[test]
fn a_cleaning_cartridge_is_no_tape() {
    let rig = Rig::new();
    rig.add("CLN001L1");
    rig.tape_fails(args!["load-media", "CLN001L1"], &["CLN001L1", "cleaning cartridge", "lib"]);
}

#[test]
fn a_drive_in_use_names_who_uses_it() {
    let rig = Rig::new();
    rig.world.run(rig.world.tape(args!["status"]));
    let folder = rig.world.state.join("tape/drive-lock");
    let lock = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let file = fs::OpenOptions::new().write(true).open(&lock).unwrap();
    let held = Flock::lock(file, FlockArg::LockExclusiveNonblock).unwrap();
    fs::write(&lock, format!("{} tape backup archive offsite\n", std::process::id())).unwrap();
    let process = format!("process {}", std::process::id());
    let words = ["#drive0", &process, "tape backup archive offsite", "try again"];
    rig.world.fails(args!["mt", "--wait", "0s", "rewind"], &words);
    rig.world.fails(args!["mt", "-f", rig.vtl("drive0"), "--wait", "0s", "status"], &words);
    drop(held);
    rig.world.run(args!["mt", "--wait", "0s", "status"]);
}

/// What a drive says in the middle of a command: told in words, with the next step.
#[test]
fn each_condition_is_told_with_what_to_do() {
    let rig = Rig::new();
    rig.load("CAP001L8");
    for (rule, command, words) in [
        (
            "once drive0 space -> sense 4/44/00",
            "fsf",
            ["internal failure of the device", "clean the drive and try again"],
        ),
        (
            "once drive0 space -> sense 3/11/00",
            "fsf",
            ["unrecovered read error", "damaged or the drive needs cleaning"],
        ),
        ("once drive0 space -> sense 6/29/02", "fsf", ["bus reset", "read the labels again"]),
        ("once drive0 filemarks -> sense 7/27/00", "weof", ["write protected", "tab"]),
        ("once drive0 filemarks -> sense 7/5a/02", "weof", ["operator selected", "tab"]),
        ("once drive0 filemarks -> deferred 3/0c/00", "weof", ["is lost", "write it again"]),
        ("once drive0 filemarks -> sense d/00/02", "weof", ["the tape is full", "another tape"]),
        ("once drive0 space -> conflict", "fsf", ["another host has reserved", "release it"]),
        ("once drive0 load -> sense 4/53/00", "load", ["loading or ejecting", "another one"]),
        ("once drive0 unload -> sense 5/53/02", "eject", ["prevented", "'capstan mt unlock'"]),
        ("once drive0 space -> lost-command", "fsf", ["does not answer", "rewind and begin again"]),
        ("always drive0 ready -> sense 2/30/03", "rewind", ["cleaning cartridge", "data tape"]),
        ("always drive0 ready -> sense 4/09/00", "rewind", ["track following", "clean the drive"]),
        ("always drive0 ready -> sense 2/30/01", "rewind", ["unknown format", "'mt densities'"]),
    ] {
        rig.faults(&[rule]);
        let drive = rig.vtl("drive0");
        let mut mt = args!["mt", command];
        if command == "weof" {
            mt.extend(args!["--yes"]);
        }
        rig.world.fails(mt, &[&drive, words[0], words[1]]);
        rig.world.run(args!["vtl", "fault", "clear", rig.library]);
        // The next one finds the tape again.
        rig.world.run(args!["mt", "load"]);
        rig.world.run(args!["mt", "rewind"]);
        rig.world.run(args!["mt", "weof", "--yes"]);
        rig.world.run(args!["mt", "rewind"]);
    }
}

#[test]
fn a_busy_device_is_waited_for() {
    let rig = Rig::new();
    rig.faults(&["3x changer move+inventory -> busy", "3x drive0 ready -> queue-full"]);
    rig.load("CAP001L8");
    rig.faults(&["3x drive0 space -> busy", "2x drive0 filemarks -> queue-full"]);
    rig.world.run(args!["mt", "weof", "2"]);
    let place = rig.world.json(args!["mt", "bsf", "2"]);
    assert_eq!(place["block-number"], json!(0), "nothing was done twice");
}

#[test]
fn a_robot_that_fails_says_what_it_was_moving() {
    let rig = Rig::new();
    for (rule, words) in [
        ("once changer move -> stuck", ["mechanical positioning", "slot 1 to drive 0"]),
        ("once changer move -> sense 2/3a/02", ["station", "close the import/export station"]),
        ("once changer move -> sense 2/04/03", ["manual intervention", "see to the library"]),
    ] {
        rig.faults(&[rule]);
        rig.tape_fails(args!["load-media", "CAP001L8"], &["#changer", words[0], words[1]]);
    }
    rig.load("CAP001L8");
}

#[test]
fn what_a_drive_wants_is_shown_until_it_is_done() {
    let rig = Rig::new();
    rig.load("CAP001L8");
    rig.faults(&["once drive0 filemarks -> cleaning requested"]);
    rig.world.run(args!["mt", "weof"]);
    let status = rig.world.json(rig.world.tape(args!["status"]));
    assert_eq!(status["cleaning-requested"], json!(true));
    rig.world.run(args!["mt", "status", "--mt"]).says_on_stdout(&["CLN"]);
    let alerts = rig.world.json(rig.world.tape(args!["alert-flags"]));
    let flag = &alerts["flags"][0];
    assert_eq!((&flag["name"], &flag["severity"]), (&json!("CLEAN_PERIODIC"), &json!("warning")));
    let run = rig.world.run(rig.world.tape(args!["alert-flags"]));
    run.says_on_stdout(&["CLEAN_PERIODIC", "routine cleaning is due", "'capstan tape clean'"]);
    rig.tape_fails(args!["clean"], &["#changer", "no cleaning cartridge", "CLN"]);
    rig.add("CLN001L1");
    let cleaned = rig.world.json(rig.world.tape(args!["clean"]));
    assert_eq!(cleaned["label-text"], json!("CLN001L1"));
    assert_eq!(cleaned["still-requested"], json!(false));
    let alerts = rig.world.json(rig.world.tape(args!["alert-flags"]));
    assert_eq!(alerts["flags"], json!([]));
    let status = rig.world.json(rig.world.tape(args!["status"]));
    assert_eq!(status["cleaning-requested"], json!(false));
    // The drive is free for the tape that was put back.
    rig.load("CAP001L8");
}
