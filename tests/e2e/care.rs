//! What is told about the health of cartridges and drives, through the binary.

use serde_json::Value;

use crate::tape_world::Rig;
use crate::world::text;

#[test]
fn statistics_and_a_verdict_for_each_cartridge_and_drive() {
    let rig = Rig::new();
    let world = &rig.world;
    let faults = [
        "once drive0 write after=2 -> retries 7",
        "once drive0 write after=3 -> alert 19",
        "once drive0 write after=4 -> alert 26",
    ];
    let mut set = args!["vtl", "fault", "set", rig.library];
    set.extend(faults.map(Into::into));
    world.run(set);
    let report = rig.to_tape();
    world.run(args!["vtl", "fault", "clear", rig.library]);
    let first = text(&report["tapes"][0]);

    let all = world.json(args!["tape", "media", "statistics"]);
    assert_eq!(all.as_array().map(Vec::len), Some(8), "{all}");
    let one = world.json(args!["tape", "media", "statistics", first]);
    assert_eq!((&one["label-text"], &one["format"]), (&first.clone().into(), &"LTO8".into()));
    assert_eq!(one["write-retries"], 7, "{one}");
    assert_eq!(one["mounts"], 2, "{one}");
    assert!(one["bytes-written"].as_u64().unwrap() > 1_000_000, "{one}");
    assert_eq!(one["verdict"], "watch", "{one}");
    assert_eq!(one["alerts"][0]["name"], "NEARING_MEDIA_LIFE", "{one}");
    assert!(text(&one["alerts"][0]["action"]).contains("copy the data"), "{one}");
    // By its other names.
    for name in ["uuid", "medium-serial"] {
        let again = world.json(args!["tape", "media", "statistics", text(&one[name])]);
        assert_eq!(again, one, "{name}");
    }
    world.run(args!["tape", "media", "statistics", first]).says_on_stdout(&[
        "verdict: watch",
        "TapeAlert 19 NEARING_MEDIA_LIFE",
        "loads: 2 of 20000",
        "retries: 7 writing",
        "copy the data to a new tape",
    ]);
    world.run(args!["tape", "media", "statistics"]).says_on_stdout(&["retries/TB", &first]);

    let drive = world.json(args!["tape", "drive", "statistics", "lib-0"]);
    assert_eq!(drive["write-retries"], 7, "{drive}");
    assert_eq!(drive["mounts"], drive["loads"], "{drive}");
    assert_eq!(drive["verdict"], "watch", "{drive}");
    world
        .run(args!["tape", "drive", "statistics", "lib-0"])
        .says_on_stdout(&["COOLING_FAN_FAILURE", "hours switched on"]);
    world.run(args!["tape", "drive", "statistics"]).says_on_stdout(&["lib-0", "watch"]);

    // Lists tell it too, and a pool counts what is to be replaced.
    let entry = |list: &Value| {
        let list = list.as_array().unwrap().clone();
        list.into_iter().find(|one| one["label-text"] == first.as_str()).unwrap()
    };
    let listed = entry(&world.json(args!["tape", "media", "list"]));
    assert_eq!(listed["verdict"], "watch", "{listed}");
    assert!(text(&listed["verdict-reason"]).contains("19"), "{listed}");
    let status = world.json(args!["tape", "pool", "status", "pool"]);
    assert_eq!(status["tapes"]["to-replace"], 0, "{status}");
    let set = args!["vtl", "fault", "set", rig.library, "once drive0 rewind -> alert 7"];
    world.run(set);
    world.run(world.tape(args!["read-label"]));
    let status = world.json(args!["tape", "pool", "status", "pool"]);
    assert_eq!(status["tapes"]["to-replace"], 1, "{status}");
    world
        .run(args!["tape", "pool", "status", "pool"])
        .says_on_stdout(&["1 due to be replaced", "replace"]);

    world.fails(args!["tape", "media", "statistics", "NONE"], &["NONE", "no statistics"]);
    world.fails(args!["tape", "drive", "statistics", "NONE"], &["NONE", "no statistics"]);
}

/// Histories are nobody's data: damaged or gone, all goes on.
#[test]
fn damaged_histories_cost_what_they_knew_and_nothing_else() {
    let rig = Rig::new();
    let world = &rig.world;
    let folder = world.state.join("tape/care");
    for kind in ["media", "drive"] {
        for file in std::fs::read_dir(folder.join(kind)).unwrap() {
            std::fs::write(file.unwrap().path(), b"garbage\n\0\xff half a li").unwrap();
        }
    }
    let empty = world.json(args!["tape", "media", "statistics"]);
    assert_eq!(empty.as_array().map(Vec::len), Some(0), "{empty}");
    let report = rig.to_tape();
    let first = text(&report["tapes"][0]);
    let one = world.json(args!["tape", "media", "statistics", first]);
    assert_eq!((&one["damaged-records"], &one["mounts"]), (&1.into(), &2.into()), "{one}");
    std::fs::remove_dir_all(&folder).unwrap();
    world.run(world.tape(args!["unload"]));
    world.json(args!["tape", "media", "list"]);
}

/// `tape changer clean` ended with 0 where `tape clean` ended with 3: a script could not tell that it did not help.
#[test]
fn both_ways_to_clean_a_drive_tell_alike_that_it_did_not_help() {
    let rig = Rig::new();
    let world = &rig.world;
    world.run(args!["vtl", "cartridge", "add", rig.library, "CLN001L8"]);
    for clean in [world.tape(args!["clean"]), args!["tape", "changer", "clean", "lib"]] {
        world.run(clean.clone()).says_on_stdout(&["cleaned", "CLN001L8"]);
        world.run(args!["vtl", "fault", "set", rig.library, "always drive0 ready -> alert 21"]);
        let run = world.attempt(clean);
        assert_eq!(run.code(), Some(3), "{run}");
        run.says(&["still asks"]);
        world.run(args!["vtl", "fault", "clear", rig.library]);
    }
    let cleaner = world.json(args!["tape", "media", "statistics", "CLN001L8"]);
    assert_eq!(cleaner["mounts"], 4, "{cleaner}");
    let drive = world.json(args!["tape", "drive", "statistics", "lib-0"]);
    assert_eq!(drive["cleanings"], 4, "{drive}");
    assert!(drive["last-cleaned"].is_i64(), "{drive}");
}

#[test]
fn a_job_cleans_a_drive_that_asks_unless_it_is_told_not_to() {
    let rig = Rig::new();
    let world = &rig.world;
    world.run(args!["vtl", "cartridge", "add", rig.library, "CLN001L8"]);
    world.run(args!["tape", "drive", "update", "lib-0", "--clean", "never"]);
    assert_eq!(world.json(args!["tape", "drive", "show", "lib-0"])["clean"], "never");
    let dirty = "once drive0 write after=3 -> cleaning requested";
    world.run(args!["vtl", "fault", "set", rig.library, dirty]);
    let job = world.tape(args!["backup", "source", "pool", "--eject-media"]);
    world.run(job.clone()).says(&["asks to be cleaned", "'tape clean'"]);
    let drive = world.json(args!["tape", "drive", "statistics", "lib-0"]);
    assert_eq!((&drive["cleanings"], &drive["cleaning-requested"]), (&0.into(), &true.into()));
    world.run(args!["tape", "drive", "update", "lib-0", "--clean", "auto"]);
    assert!(world.json(args!["tape", "drive", "show", "lib-0"]).get("clean").is_none());
    // Before the first tape of the next one.
    world.run(world.tape(args!["load-media", "CAP008L8"])).says(&["was cleaned with CLN001L8"]);
    let drive = world.json(args!["tape", "drive", "statistics", "lib-0"]);
    assert_eq!((&drive["cleanings"], &drive["cleaning-requested"]), (&1.into(), &false.into()));
}
