//! Robots from the command line: `mtx`, `tape changer`, `changer record` and `replay`, and drives that are found by
//! their serial numbers.

use std::ffi::OsString;

use serde_json::Value;

use crate::world::{World, read_text, text};

/// A world with a library `lib` (2 drives, 12 slots, 6 import/export), drive 0 configured.
struct Robot {
    world: World,
    address: String,
}

impl Robot {
    fn new(cartridges: u16) -> Robot {
        let world = World::new();
        let dir = world.create_library("lib", cartridges);
        let address = format!("vtl:{}#changer", dir.display());
        Robot { world, address }
    }

    fn mtx(&self, arguments: Vec<OsString>) -> Vec<OsString> {
        [args!["mtx", "-f", self.address], arguments].concat()
    }

    fn drive(&self, number: u16) -> String {
        self.address.replace("#changer", &format!("#drive{number}"))
    }

    /// Bar code in a slot, from 1.
    fn slot(&self, number: usize) -> Value {
        let status = self.world.json(self.mtx(args!["status"]));
        status["slots"][number - 1]["status"]["VolumeTag"].clone()
    }
}

/// A line of `mtx status` in its documented grammar; panics if it has none.
fn parse_mtx_line(line: &str) -> (String, u64, Option<String>) {
    let label =
        |rest: &str, mark: &str| rest.split_once(mark).map(|(_, tag)| tag.trim().to_owned());
    if let Some(rest) = line.strip_prefix("Data Transfer Element ") {
        let (number, rest) = rest.split_once(':').unwrap();
        assert!(rest == "Empty" || rest.starts_with("Full ("), "{line}");
        return ("drive".into(), number.parse().unwrap(), label(rest, ":VolumeTag = "));
    }
    let rest = line.strip_prefix("      Storage Element ").unwrap_or_else(|| panic!("{line}"));
    let (place, rest) = rest.split_once(':').unwrap();
    let (number, kind) = match place.strip_suffix(" IMPORT/EXPORT") {
        Some(number) => (number, "station"),
        None => (place, "slot"),
    };
    assert!(rest == "Empty" || rest.starts_with("Full "), "{line}");
    (kind.into(), number.parse().unwrap(), label(rest, ":VolumeTag="))
}

#[test]
fn mtx_moves_and_its_text_parses_as_that_of_mtx() {
    let robot = Robot::new(3);
    let world = &robot.world;
    world.run(robot.mtx(args!["load", "2", "1"])).says_on_stdout(&["slot 2", "drive 1"]);
    world.run(robot.mtx(args!["transfer", "3", "14"]));
    let printed = world.run(robot.mtx(args!["status", "--mtx-format"])).stdout();
    let mut lines = printed.lines();
    let head =
        format!("  Storage Changer {}:2 Drives, 18 Slots ( 6 Import/Export )", robot.address);
    assert_eq!(lines.next(), Some(&*head));
    let parsed: Vec<_> = lines.map(parse_mtx_line).collect();
    let drives: Vec<_> = parsed.iter().filter(|(kind, ..)| kind == "drive").collect();
    assert_eq!(drives.iter().map(|(_, number, _)| *number).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(drives[1].2.as_deref(), Some("CAP002L8"));
    let slots: Vec<u64> =
        parsed.iter().filter(|(kind, ..)| kind != "drive").map(|(_, number, _)| *number).collect();
    assert_eq!(slots, (1..=18).collect::<Vec<_>>());
    let station = ("station".to_owned(), 14, Some("CAP003L8".to_owned()));
    assert!(parsed.contains(&station), "{printed}");
    // The whole field of 32 characters, as mtx prints it.
    let loaded = format!("Full (Storage Element 2 Loaded):VolumeTag = {:<32}\n", "CAP002L8");
    assert!(printed.contains(&loaded), "{printed}");

    let run = world.run(robot.mtx(args!["--mtx-format", "unload", "5", "1"]));
    assert_eq!(run.stdout(), "Unloading drive 1 into Storage Element 5...done\n");
    assert_eq!(robot.slot(5), "CAP002L8");
    world.run(robot.mtx(args!["import"])).says_on_stdout(&["slot 14 to slot 2"]);
    world.run(robot.mtx(args!["export", "2"])).says_on_stdout(&["slot 2 to slot 13"]);
    let before = robot.world.json(robot.mtx(args!["status"]));
    world.run(robot.mtx(args!["position", "13"]));
    assert_eq!(robot.world.json(robot.mtx(args!["status"])), before, "the robot took something");
    world.run(robot.mtx(args!["inventory"]));
    world.run(robot.mtx(args!["inventory", "1", "3"]));
    world.run(robot.mtx(args!["inquiry", "--mtx-format"])).says_on_stdout(&["Medium Changer"]);
}

#[test]
fn tapes_in_the_order_of_their_slots_by_every_way_to_name_the_changer() {
    let mut robot = Robot::new(2);
    robot.world.run(args!["mtx", "first"]).says_on_stdout(&["slot 1"]);
    robot
        .world
        .run(args!["mtx", "--changer", "lib", "next"])
        .says_on_stdout(&["into slot 1", "slot 2"]);
    robot.world.set_env("CHANGER", "lib");
    robot.world.fails(args!["mtx", "next"], &["no further tape"]);
    robot.world.set_env("CHANGER", robot.address.clone());
    robot.world.run(args!["mtx", "previous"]);
    robot.world.unset_env("CHANGER");
    robot.world.set_env("CAPSTAN_TAPE_DRIVE", "lib-0");
    robot.world.run(args!["mtx", "last"]);
    robot.world.run(args!["mtx", "unload"]).says_on_stdout(&["slot 2"]);
}

#[test]
fn what_cannot_be_done_says_why_and_moves_nothing() {
    let robot = Robot::new(2);
    let world = &robot.world;
    world.fails(robot.mtx(args!["load", "3"]), &["slot 3 is empty"]);
    world.fails(robot.mtx(args!["load", "99"]), &["no slot 99", "18"]);
    world.fails(robot.mtx(args!["load", "1", "2"]), &["no drive 2"]);
    world.fails(robot.mtx(args!["transfer", "1", "2"]), &["slot 2 is occupied by CAP002L8"]);
    world.fails(robot.mtx(args!["unload"]), &["drive 0 is empty"]);
    world.fails(robot.mtx(args!["exchange", "1", "2"]), &["exchange is not offered", "transfers"]);
    world.fails(
        args!["mtx", "-f", robot.drive(0), "status"],
        &["not a media changer", "tape drive"],
    );
    world.fails(args!["mtx", "-f", "/dev/sg4711", "status"], &["/dev/sg4711"]);
    world.fails(args!["mtx", "--changer", "other", "status"], &["no changer 'other'"]);
    world.fails(args!["tape", "changer", "clean", "lib"], &["no cleaning cartridge", "CLN"]);
    world.fails(
        args!["tape", "changer", "import", "lib", "--slot", "1"],
        &["no import/export slot"],
    );
    assert_eq!((robot.slot(1), robot.slot(2)), ("CAP001L8".into(), "CAP002L8".into()));
}

#[test]
fn a_drive_is_cleaned_and_the_cartridge_is_back_in_its_slot() {
    let robot = Robot::new(2);
    let dir = robot.address.trim_start_matches("vtl:").trim_end_matches("#changer").to_owned();
    robot.world.run(args!["vtl", "cartridge", "add", dir, "CLN001L8"]);
    assert_eq!(robot.slot(3), "CLN001L8");
    let run = robot.world.run(args!["tape", "changer", "clean", "lib"]);
    assert!(!run.stderr().contains("still"), "{run}");
    assert_eq!((robot.slot(1), robot.slot(3)), ("CAP001L8".into(), "CLN001L8".into()));
    let memory = std::path::Path::new(&dir).join("cartridges/CLN001L8/cartridge.json");
    let memory: Value = serde_json::from_str(&std::fs::read_to_string(memory).unwrap()).unwrap();
    assert_eq!(memory["cleanings_left"], 49);
}

#[test]
fn a_configured_changer_by_its_name() {
    let robot = Robot::new(2);
    let world = &robot.world;
    let changer = |arguments: Vec<OsString>| [args!["tape", "changer"], arguments].concat();
    world.run(changer(args!["load", "lib", "--label-text", "CAP002L8"]));
    // The last answer is there, also when the library is not.
    let live = world.json(changer(args!["status", "lib"]));
    std::fs::rename(world.fast("lib.vtl"), world.fast("away")).unwrap();
    assert_eq!(world.json(changer(args!["status", "lib", "--cache"])), live);
    world.attempt(changer(args!["status", "lib"]));
    std::fs::rename(world.fast("away"), world.fast("lib.vtl")).unwrap();
    world.run(changer(args!["unload", "lib", "--slot", "7"]));
    assert_eq!(robot.slot(7), "CAP002L8");
    world.run(changer(args!["transfer", "lib", "--from", "7", "--to", "8"]));
    world.run(changer(args!["export", "lib", "--label-text", "CAP002L8"]));
    assert_eq!(robot.slot(13), "CAP002L8");
    world.run(changer(args!["import", "lib", "--slot", "13", "--to", "4"]));
    assert_eq!(robot.slot(4), "CAP002L8");
    world.run(changer(args!["lock", "lib"]));
    world.run(changer(args!["unlock", "lib"]));
    world.run(changer(args!["put-back", "lib"])).says_on_stdout(&["arm is empty"]);
    world.run(changer(args!["inventory", "lib", "--slots", "2-4"]));
}

#[test]
fn a_drive_finds_its_place_by_its_serial_number() {
    let robot = Robot::new(0);
    let world = &robot.world;
    let create = |name: &str, more: Vec<OsString>| {
        let path = robot.drive(1);
        [args!["tape", "drive", "create", name, "--path", path], more].concat()
    };
    let shown = || world.json(args!["tape", "drive", "list"]);
    let remove = || world.run(args!["tape", "drive", "remove", "lib-1"]);
    world.run(create("lib-1", args![])).says(&["serial number", "drive 1 of changer 'lib'"]);
    assert_eq!(shown()[1]["changer"], "lib");
    assert_eq!(shown()[1]["changer-drivenum"], 1);
    remove();
    world.run(create("lib-1", args!["--changer", "lib"])).says(&["drive 1 of changer 'lib'"]);
    assert_eq!(shown()[1]["changer-drivenum"], 1);
    remove();
    // The user's word counts, but not silently.
    let run = world.run(create("lib-1", args!["--changer", "lib", "--changer-drivenum", "0"]));
    run.says(&["warning", "of its drive 1, not of 0"]);
    world.run(args!["tape", "drive", "update", "lib-1", "--changer-drivenum", "1"]);
    assert_eq!(shown()[1]["changer-drivenum"], 1);
    remove();
    world.run(create("lib-1", args!["--changer", ""]));
    assert!(shown()[1].get("changer").is_none(), "{}", shown());
}

#[test]
fn a_library_is_recorded_masked_and_played() {
    let robot = Robot::new(3);
    let world = &robot.world;
    world.run(robot.mtx(args!["load", "2", "1"]));
    let (plain, masked) = (world.disk("plain.txt"), world.disk("masked.txt"));
    world.run(args!["changer", "record", robot.address, plain]);
    world.run(args!["changer", "record", robot.address, masked, "--mask"]);
    let live = world.json(robot.mtx(args!["status"]));
    assert_eq!(world.json(args!["changer", "replay", plain]), live);
    let serial = text(&live["drives"][1]["drive_serial_number"]);
    let text_of = read_text(&masked);
    assert!(text_of.contains("masked: yes") && !text_of.contains("CAP002L8"));
    assert!(!text_of.contains(&serial), "{serial}");
    let played = world.json(args!["changer", "replay", masked]);
    assert_ne!(played["drives"][1]["status"], live["drives"][1]["status"]);
    assert_eq!(played["drives"][1]["loaded_slot"], 2);
    world.run(args!["changer", "replay", masked]).says_on_stdout(&["recorded", "Storage Element"]);
    // Nothing is overwritten, nothing is left of a failure.
    world.fails(args!["changer", "record", robot.address, plain], &["cannot create"]);
    let none = world.disk("none.txt");
    world.fails(args!["changer", "record", robot.drive(0), none], &["not a media changer"]);
    assert!(!none.exists());
    std::fs::write(&none, "hello").unwrap();
    world.fails(args!["changer", "replay", none], &["no transcript", "line 1"]);
}
