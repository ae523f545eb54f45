//! Cartridges as an operator handles them: which there are, where they are, what comes next.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::tape_world::{Rig, media_set};
use crate::world::{World, field_of_all, text};

fn labels(list: &Value) -> Vec<String> {
    let mut labels = field_of_all(list, "label-text");
    labels.sort();
    labels
}

/// Labels, location and status of one cartridge.
fn one(world: &World, label: &str) -> Value {
    let list = world.json(args!["tape", "media", "list"]);
    let found = list.as_array().unwrap().iter().find(|media| media["label-text"] == label);
    found.unwrap_or_else(|| panic!("{label} is not in {list}")).clone()
}

#[test]
fn a_media_set_goes_to_a_vault_through_the_import_export_slots() {
    let rig = Rig::new();
    let world = &rig.world;
    let report = rig.to_tape();
    let (set, written) = (media_set(&report), labels_of(&report));
    assert!(written.len() >= 2, "{report}");

    // Where they are, to the slot: one is still in the drive.
    let list = world.json(args!["tape", "media", "list", "--location", "online-lib"]);
    assert_eq!(list.as_array().map(Vec::len), Some(8), "{list}");
    let elements = field_of_all(&list, "element");
    assert_eq!(elements.iter().filter(|e| *e == "drive 0").count(), 1, "{elements:?}");
    assert!(elements.iter().all(|e| e == "drive 0" || e.starts_with("slot ")), "{elements:?}");

    let plan = world.json(args!["tape", "media", "export", set, "--dry-run"]);
    assert_eq!(labels(&plan["tapes"]), written, "{plan}");
    assert_eq!(plan["tapes"][0]["result"], "would-export");
    let exported = world.json(args!["tape", "media", "export", set]);
    let slots = field_of_all(&world.json(args!["tape", "changer", "status"]), "entry-kind");
    assert_eq!(slots.iter().filter(|kind| *kind == "import-export").count(), 6);
    assert!(exported["tapes"].as_array().unwrap().iter().all(|t| t["result"] == "exported"));
    let away = world.json(args!["tape", "media", "list", "--location", "offline"]);
    assert_eq!(labels(&away), written);

    let before = world.json(args!["tape", "media", "list"]);
    let plan = world.json(args!["tape", "media", "vault", set, "--vault", "bank", "--dry-run"]);
    assert_eq!(labels(&plan["moved"]), written);
    assert_eq!(world.json(args!["tape", "media", "list"]), before, "a plan changes nothing");
    let moved = world.json(args!["tape", "media", "vault", set, "--vault", "bank"]);
    assert_eq!(moved, plan);
    assert_eq!(moved["moved"][0]["to"], "vault-bank", "{moved}");
    assert_eq!(labels(&world.json(args!["tape", "media", "list", "--location", "vault"])), written);

    // The tape that would be written next is out of reach, so the next job begins a set.
    let status = world.json(args!["tape", "pool", "status", "pool"]);
    assert!(text(&status["new-media-set"]).contains("bank"), "{status}");
    let next = text(&status["next-media-label"]);
    assert!(!written.contains(&next), "{status}");
    world.run(world.tape(args!["load-media", next]));
    assert_eq!(labels_of(&rig.to_tape())[0], next);

    // Back into the library.
    let back = world.json(args!["tape", "media", "import"]);
    assert_eq!(labels(&back), written, "{back}");
    assert_eq!(labels(&world.json(args!["tape", "media", "list", "--location", "vault"])), [""; 0]);
    assert_eq!(one(world, &written[0])["location"], "online-lib");
    world.run(args!["tape", "media", "import"]).says(&["nothing is in the import/export slots"]);
}

fn labels_of(report: &Value) -> Vec<String> {
    let mut labels: Vec<String> = report["tapes"].as_array().unwrap().iter().map(text).collect();
    labels.sort();
    labels
}

#[test]
fn what_an_operator_says_of_a_cartridge_counts() {
    let rig = Rig::new();
    let world = &rig.world;
    let report = rig.to_tape();
    let used = labels_of(&report);
    let used = used.last().unwrap();
    let media = |rest: Vec<std::ffi::OsString>| [args!["tape", "media"], rest].concat();

    world.run(media(args!["set-status", used, "damaged"]));
    assert_eq!(labels(&world.json(media(args!["list", "--status", "damaged"]))), [used.as_str()]);
    let status = world.json(args!["tape", "pool", "status", "pool"]);
    assert!(text(&status["new-media-set"]).contains("is damaged"), "{status}");
    assert_eq!(status["tapes"]["damaged"], 1);
    world.run(media(args!["set-status", used, "clear"]));
    assert_eq!(one(world, used)["status"], "writable");
    let run = world.attempt(media(args!["set-status", used, "writable"]));
    assert_eq!(run.code(), Some(2));

    world.run(media(args!["move", used, "--vault", "bank"])).says(&["in library lib"]);
    assert_eq!(one(world, used)["location"], "vault-bank");
    let uuid = text(&one(world, used)["uuid"]);
    world.run(media(args!["move", uuid, "--offline"]));
    assert_eq!(one(world, used)["location"], "offline");
    world.fails(media(args!["move", used, "--vault", "a vault"]), &["vault name"]);
    assert_eq!(world.attempt(media(args!["move", used])).code(), Some(2));

    world.fails(media(args!["destroy", used]), &[used, "--force", &media_set(&report)]);
    let listed = world.json(media(args!["list"])).as_array().unwrap().len();
    world.run(media(args!["destroy", used, "--force"]));
    assert_eq!(world.json(media(args!["list"])).as_array().unwrap().len(), listed - 1);
    world.fails(media(args!["destroy", used]), &[used, "not in the inventory"]);
    // It turns up again.
    world.run(world.tape(args!["inventory", "--read-labels"]));
    assert_eq!(one(world, used)["media-set-uuid"], report["media-set-uuid"]);
}

#[test]
fn one_label_text_on_two_cartridges_is_told_with_both_uuids() {
    let mut world = World::new();
    for library in ["lib", "other"] {
        world.create_library(library, 2);
        world.run(args!["tape", "barcode-label", "--drive", format!("{library}-0")]);
        world.forget_state();
    }
    let mut uuids = Vec::new();
    for library in ["lib", "other"] {
        let drive = format!("{library}-0");
        world.attempt(args!["tape", "inventory", "--read-all-labels", "--drive", drive]);
    }
    for media in world.json(args!["tape", "media", "list"]).as_array().unwrap() {
        if media["label-text"] == "CAP001L8" {
            uuids.push(text(&media["uuid"]));
        }
    }
    assert_eq!(uuids.len(), 2);
    let command = args!["tape", "media", "set-status", "CAP001L8", "retired"];
    world.fails(command.clone(), &["several tapes", &uuids[0], &uuids[1]]);
    world.run([command, args!["--uuid", uuids[1]]].concat());
    let retired = world.json(args!["tape", "media", "list", "--status", "retired"]);
    assert_eq!(field_of_all(&retired, "uuid"), [uuids[1].as_str()]);
}

#[test]
fn pools_follow_a_calendar() {
    let world = World::new();
    world.create_library("lib", 3);
    let mut create = args!["tape", "pool", "create", "weekly", "--drive", "lib-0"];
    create.extend(args!["--allocation", "sat 3:00 UTC", "--retention", "4 weeks"]);
    world.run(create);
    world.run(args!["tape", "pool", "create", "other", "--drive", "lib-0"]);
    assert_eq!(world.json(args!["tape", "pool", "show", "weekly"])["allocation"], "sat 3:00 UTC");
    let update =
        |allocation: &str| args!["tape", "pool", "update", "weekly", "--allocation", allocation];
    world.fails(update("somewhen"), &["'continue'", "mon..fri 21:30"]);
    world.fails(args!["tape", "pool", "update", "weekly", "--retention", "1 mon"], &["time span"]);
    world.fails(args!["tape", "pool", "update", "weekly", "--template", "%~"], &["template"]);
    world.run(world.tape(args!["barcode-label", "--pool", "weekly"]));

    let status = world.json(args!["tape", "pool", "status"]);
    assert_eq!(field_of_all(&status, "name"), ["other", "weekly"]);
    assert_eq!(status[1]["next-media-label"], "CAP001L8", "{status}");
    assert_eq!(status[1]["tapes"]["empty"], 3);
    assert!(text(&status[0]["no-media"]).contains("pool other has no usable tape"), "{status}");

    world.create_store("source");
    std::fs::create_dir(world.disk("tree")).unwrap();
    std::fs::write(world.disk("tree/file"), "text").unwrap();
    let archive = crate::round_trip::source("root.pxar", &world.disk("tree"));
    world.run(args!["backup", archive, "--repository", "source"]);
    world.run(world.tape(args!["backup", "source", "weekly"]));
    let at = |time: &str| world.json(args!["tape", "pool", "status", "weekly", "--at", time]);
    let today = at("2020-01-01T00:00");
    assert_eq!(today["next-media-origin"], "current", "{today}");
    assert_eq!(today["new-media-set"], Value::Null);
    let later = at("2199-01-01T00:00");
    assert!(text(&later["new-media-set"]).contains("sat 3:00 UTC"), "{later}");
    assert_eq!(
        (&later["next-media-label"], &later["next-media-origin"]),
        (&json!("CAP002L8"), &json!("empty"))
    );
    let shown = world.run(args!["tape", "pool", "status", "weekly"]).stdout();
    assert!(shown.contains("the next cartridge is CAP001L8"), "{shown}");
}

/// An inventory of `count` cartridges on the shelf, in the format of its page.
fn write_inventory(world: &World, count: u64) {
    let tapes: Vec<Value> = (0..count)
        .map(|number| {
            let uuid = format!("00000000-0000-4000-8000-{number:012x}");
            json!({"id": {"label": {"ctime": 1, "label_text": format!("T{number:03}"), "uuid": uuid}}})
        })
        .collect();
    std::fs::create_dir_all(world.state.join("tape")).unwrap();
    let text = serde_json::to_vec(&tapes).unwrap();
    std::fs::write(world.state.join("tape/inventory.json"), text).unwrap();
}

/// Commands at once, and others that are killed at any moment: what a command that ended well recorded
/// is there, and the list is whole at every moment.
#[test]
fn an_inventory_survives_commands_at_once_and_killed_ones() {
    let seed: u64 = std::env::var("CAPSTAN_TEST_SEED")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64);
    eprintln!("CAPSTAN_TEST_SEED={seed}");
    let world = World::new();
    write_inventory(&world, 60);
    let move_to = |tape: u64, vault: &str| {
        args!["tape", "media", "move", format!("T{tape:03}"), "--vault", vault]
    };
    std::thread::scope(|scope| {
        for worker in 0..3u64 {
            let world = &world;
            scope.spawn(move || {
                for number in 0..10 {
                    world.run(move_to(worker * 10 + number, &format!("vault{worker}")));
                }
            });
        }
        let mut state = seed | 1;
        for tape in 30..60 {
            let mut child = world
                .command(&move_to(tape, "killed"))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            std::thread::sleep(Duration::from_micros(state % 20_000));
            child.kill().unwrap();
            child.wait().unwrap();
            let list = world.json(args!["tape", "media", "list"]);
            assert_eq!(list.as_array().map(Vec::len), Some(60), "seed {seed}");
        }
    });
    for media in world.json(args!["tape", "media", "list"]).as_array().unwrap() {
        let number: u64 = text(&media["label-text"])[1..].parse().unwrap();
        let place = text(&media["location"]);
        match number / 10 {
            worker @ 0..3 => {
                assert_eq!(place, format!("vault-vault{worker}"), "seed {seed}: {media}")
            }
            _ => assert!(place == "offline" || place == "vault-killed", "seed {seed}: {media}"),
        }
    }
}
