//! Several drives in one job.

use serde_json::json;

use crate::checker::check_cartridges;
use crate::tape_world::{Rig, media_set};
use crate::tree::bytes;
use crate::world::field_of_all;

impl Rig {
    /// Configures the second drive of the library.
    fn add_second_drive(&self) {
        let address = format!("vtl:{}#drive1", self.library.display());
        let mut create = args!["tape", "drive", "create", "lib-1", "--path", address];
        create.extend(args!["--changer", "lib", "--changer-drivenum", "1"]);
        self.world.run(create);
    }
}

#[test]
fn two_drives_write_one_set_that_comes_back() {
    let mut rig = Rig::new();
    rig.add_second_drive();
    let both = |rig: &Rig, more: Vec<std::ffi::OsString>| {
        let mut backup = args!["tape", "backup", "source", "pool"];
        backup.extend(args!["--drive", "lib-0", "--drive", "lib-1"]);
        rig.world.json([backup, more].concat())
    };
    let first = both(&rig, args![]);
    let set = media_set(&first);
    assert_eq!(first["snapshots-written"].as_array().map(Vec::len), Some(4), "{first}");
    assert_eq!(field_of_all(&first["streams"], "drive"), ["lib-0", "lib-1"]);
    for stream in first["streams"].as_array().unwrap() {
        assert_ne!(stream["tapes"], json!([]), "a drive did nothing: {first}");
        assert!(stream.get("error").is_none(), "{first}");
    }
    // Both drives are empty again, so any of them may go on.
    rig.change_and_back_up();
    let second = rig.world.json(args!["tape", "backup", "source", "pool", "--drive", "lib-1"]);
    assert_eq!(media_set(&second), set);
    assert_eq!(second["snapshots-written"].as_array().map(Vec::len), Some(1), "{second}");
    rig.world.run(args!["tape", "unload", "--drive", "lib-1"]);

    // With little to do in a set that is continued the second drive takes no cartridge, unless it is told to.
    let backup = |rig: &Rig, id: &str, seed: u64| {
        let file = rig.world.disk(format!("{id}.img"));
        crate::tree::write(&file, bytes(seed, 300_000));
        let mut backup = args!["backup", crate::round_trip::source("d.img", &file)];
        backup.extend(args!["--repository", "source", "--backup-id", id]);
        rig.world.run(backup);
    };
    backup(&rig, "late-1", 71);
    backup(&rig, "late-2", 72);
    let third = both(&rig, args![]);
    assert_eq!(third["snapshots-written"].as_array().map(Vec::len), Some(2), "{third}");
    assert_eq!(third["streams"][1]["tapes"], json!([]), "{third}");
    backup(&rig, "late-3", 73);
    backup(&rig, "late-4", 74);
    let fourth = both(&rig, args!["--join-after", "0"]);
    // Which of them gets the two new groups among those that are there already is a matter of their speed.
    assert_eq!(fourth["snapshots-written"].as_array().map(Vec::len), Some(2), "{fourth}");
    assert!(
        fourth["streams"].as_array().unwrap().iter().all(|stream| stream.get("error").is_none())
    );
    assert_eq!(media_set(&fourth), set);

    let verified = rig.world.json(rig.world.tape(args!["verify", set, "--keyfile", rig.key()]));
    assert_eq!(verified["damage"], json!([]), "{verified}");
    assert_eq!(verified["snapshots"].as_array().map(Vec::len), Some(9), "{verified}");

    let exported = rig.world.fast("exported");
    let labels = rig.export_all(&exported);
    let found = check_cartridges(&exported, &labels, rig.key());
    assert!(found.is_none_or(|snapshots| snapshots == 9));

    // From the cartridges alone: the state folder is gone, the catalogs come from the cartridges.
    let before = rig.world.snapshots("source");
    rig.throw_source_away();
    std::fs::remove_dir_all(rig.world.state.join("tape")).unwrap();
    let taken = rig.world.json(rig.world.tape(args!["inventory", "--read-labels", "--catalog"]));
    assert_eq!(taken["failed"], json!([]), "{taken}");
    assert_eq!(rig.world.media_content().as_array().map(Vec::len), Some(9));
    rig.world.create_store("second");
    let report = rig.world.json(rig.world.tape(args!["restore", set, "second"]));
    assert_eq!(report["snapshots-restored"].as_array().map(Vec::len), Some(9), "{report}");
    assert_eq!(report["damage"], json!([]), "{report}");
    assert_eq!(rig.world.snapshots("second"), before);
}

#[test]
fn one_drive_named_twice_is_told_and_nothing_is_taken() {
    let rig = Rig::new();
    let mut backup = args!["tape", "backup", "source", "pool"];
    backup.extend(args!["--drive", "lib-0", "--drive", "lib-0"]);
    rig.world.fails(backup, &["lib-0", "the same drive"]);
    let media = rig.world.json(args!["tape", "media", "list"]);
    let media = media.as_array().unwrap();
    assert!(media.iter().all(|one| one.get("media-set-uuid").is_none()), "{media:?}");
}

#[test]
fn a_mirrored_job_writes_two_complete_sets() {
    let rig = Rig::new();
    rig.add_second_drive();
    let world = &rig.world;
    for number in 1..=4 {
        let label = format!("AWAY0{number}L8");
        let mut add = args!["vtl", "cartridge", "add", rig.library, label];
        add.extend(args!["--capacity", crate::tape_world::CAPACITY]);
        world.run(add);
    }
    world.run(args!["tape", "pool", "create", "away", "--drive", "lib-1"]);
    world.run(world.tape(args!["barcode-label", "--pool", "away"]));
    world.run(world.tape(args!["unload"]));
    let mut backup = args!["tape", "backup", "source", "pool", "--drive", "lib-0"];
    backup.extend(args!["--mirror", "away:lib-1", "--eject-media"]);
    let report = world.json(backup.clone());
    let copies = report["copies"].as_array().unwrap();
    assert_eq!(field_of_all(&report["copies"], "pool"), ["pool", "away"]);
    for copy in copies {
        assert!(copy.get("error").is_none(), "{report}");
        assert_eq!(copy["snapshots-written"].as_array().map(Vec::len), Some(4), "{report}");
        let verified = world.json(world.tape(args!["verify", media_set(copy)]));
        assert_eq!(verified["damage"], json!([]), "{verified}");
        assert_eq!(verified["snapshots"].as_array().map(Vec::len), Some(4), "{verified}");
        world.run(world.tape(args!["unload"]));
    }
    assert_ne!(media_set(&copies[0]), media_set(&copies[1]));

    let exported = world.fast("exported");
    let labels = rig.export_all(&exported);
    let found = check_cartridges(&exported, &labels, rig.key());
    assert!(found.is_none_or(|snapshots| snapshots == 8));

    // One of the two does not work: the other copy is whole, and the exit code tells.
    let mut away = args!["backup", crate::round_trip::source("d.img", &world.disk("disk.img"))];
    away.extend(args!["--repository", "source", "--backup-id", "late"]);
    world.run(away);
    let fault = "always drive1 write -> write-error";
    world.run(args!["vtl", "fault", "set", rig.library, fault]);
    let run = world.attempt(backup);
    assert_eq!(run.code(), Some(3), "{run}");
    run.says(&["the copy in pool away on drive lib-1 ended early"]);

    world.create_store("second");
    let set = media_set(&copies[1]);
    world.run(args!["vtl", "fault", "clear", rig.library]);
    world.run(args!["tape", "unload", "--drive", "lib-1"]);
    let restored = world.json(world.tape(args!["restore", set, "second"]));
    assert_eq!(restored["snapshots-failed"], json!([]), "{restored}");
    assert!(restored["snapshots-restored"].as_array().is_some_and(|all| all.len() >= 4));
}

#[test]
fn what_a_mirror_needs_is_told() {
    let rig = Rig::new();
    let world = &rig.world;
    let backup = |more: &[&str]| {
        let mut backup = args!["tape", "backup", "source", "pool", "--drive", "lib-0"];
        backup.extend(more.iter().map(|one| one.into()));
        backup
    };
    world.fails(backup(&["--mirror", "away"]), &["'away'", "POOL:DRIVE"]);
    world.fails(backup(&["--mirror", "pool:lib-0"]), &["the same drive"]);
    rig.add_second_drive();
    world.fails(backup(&["--mirror", "away:lib-1"]), &["no pool 'away'"]);
    world.fails(backup(&["--mirror", "pool:lib-1"]), &["a pool of its own"]);
    world.fails(backup(&["--drive", "lib-1", "--mirror", "pool:lib-1"]), &["--drive once"]);
}
