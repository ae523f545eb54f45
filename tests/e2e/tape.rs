//! A datastore to tape cartridges and back.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::listing::picture;
use crate::tape_world::{ALPHA_1, ALPHA_2, DISK, Rig, SECRET, SIGNED, media_set, sizes};
use crate::world::{World, field_of_all, text};

fn set_of(values: Vec<String>) -> BTreeSet<String> {
    values.into_iter().collect()
}

#[test]
fn a_datastore_goes_to_tape_and_back() {
    let mut rig = Rig::new();
    let first = rig.to_tape();
    let tapes = first["tapes"].as_array().unwrap();
    assert!(tapes.len() >= 3, "the data should need three cartridges: {first}");
    assert_eq!(first["snapshots-written"].as_array().map(Vec::len), Some(4), "{first}");
    assert_eq!(first["snapshots-failed"], json!([]));
    let set = media_set(&first);

    // Nothing is new: nothing is written.
    let second = rig.to_tape();
    assert_eq!(second["snapshots-written"], json!([]));
    assert_eq!((&second["snapshots-skipped"], &second["chunks"]), (&json!(4), &json!(0)));

    // Only what is new is written, to the set that is there.
    rig.change_and_back_up();
    let third = rig.to_tape();
    assert_eq!(media_set(&third), set);
    assert_eq!(third["snapshots-written"].as_array().map(Vec::len), Some(1), "{third}");
    assert!(third["chunks"].as_u64() < Some(12), "known chunks were written again: {third}");

    let world = &rig.world;
    let content = world.media_content();
    let wanted = [ALPHA_1, ALPHA_2, DISK]
        .map(str::to_owned)
        .into_iter()
        .chain([format!("ns/site/{SECRET}"), format!("ns/site/ns/inner/{SIGNED}")])
        .collect::<BTreeSet<_>>();
    assert_eq!(set_of(field_of_all(&content, "snapshot")), wanted);
    for (field, value) in [("pool", "pool"), ("store", "source"), ("media-set-uuid", &set)] {
        assert_eq!(set_of(field_of_all(&content, field)), BTreeSet::from([value.to_owned()]));
    }
    assert_eq!(text(&content[0]["media-set-name"]), format!("set {set}"));

    // The same catalogs, asked for names.
    let find = |patterns: &[&str]| -> BTreeSet<String> {
        let mut arguments = args!["tape", "find"];
        arguments.extend(patterns.iter().map(|pattern| pattern.into()));
        let found = world.json(arguments);
        assert_eq!(set_of(field_of_all(&found, "location")), set_of(vec!["online-lib".to_owned()]));
        set_of(field_of_all(&found, "snapshot"))
    };
    assert_eq!(find(&["*"]), wanted);
    assert_eq!(find(&["source:host/alpha"]), set_of(vec![ALPHA_1.into(), ALPHA_2.into()]));
    assert_eq!(find(&["2024-05-02*", "ns/site/ct/*"]).len(), 2);
    world.fails(args!["tape", "find", "host/beta"], &["no snapshot", "fits"]);
    let elsewhere = args!["tape", "find", "*", "--pool", "other"];
    world.fails(elsewhere, &["no snapshot", "fits"]);
    let only = world.json(args!["tape", "media", "content", "--backup-type", "vm"]);
    assert_eq!(field_of_all(&only, "snapshot"), [DISK]);

    let media = world.json(args!["tape", "media", "list", "--pool", "pool"]);
    let media = media.as_array().unwrap();
    assert_eq!(media.len(), 8);
    let mut sequence: Vec<u64> = media.iter().filter_map(|m| m["seq-nr"].as_u64()).collect();
    sequence.sort_unstable();
    assert_eq!(sequence, (0..sequence.len() as u64).collect::<Vec<_>>());
    let full = media.iter().filter(|m| m["status"] == "full").count();
    assert_eq!(full, sequence.len() - 1, "all but the last cartridge are full: {media:?}");
    assert!(media.iter().all(|m| m["location"] == "online-lib" && m["catalog"] == true));

    let before = world.snapshots("source");
    rig.throw_source_away();

    // The whole set, into an empty store.
    world.create_store("second");
    let restore = |arguments| world.json(world.tape([args!["restore"], arguments].concat()));
    let report = restore(args![set, "second"]);
    assert_eq!(report["snapshots-restored"].as_array().map(Vec::len), Some(5), "{report}");
    assert_eq!((&report["snapshots-failed"], &report["damage"]), (&json!([]), &json!([])));
    rig.check_restored("second");
    assert_eq!(world.snapshots("second"), before);

    // Again: everything is there, and stays as it is.
    let pictured = picture(&[&world.fast("second")]);
    let report = restore(args![set, "second"]);
    assert_eq!(report["snapshots-restored"], json!([]), "{report}");
    assert_eq!(report["chunks"], 0, "{report}");
    assert_eq!(picture(&[&world.fast("second")]), pictured);

    // Chosen snapshots, of which one lies in a namespace.
    world.create_store("third");
    let chosen = [format!("source:{ALPHA_2}"), format!("source:ns/site/{SECRET}")];
    let report = restore(args![set, "third", "--snapshots", chosen[0], chosen[1]]);
    assert_eq!(report["snapshots-restored"].as_array().map(Vec::len), Some(2), "{report}");
    let listed = world.json(args!["snapshot", "list", "--repository", "third"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    world.run(args!["datastore", "verify", "third", "--keyfile", rig.key()]);
    rig.check_tree("third", "", ALPHA_2);
    rig.check_tree("third", "site", SECRET);

    // What is not on the set is told; nothing else is restored in its place.
    let mut wrong = args!["restore", set, "third", "--snapshots"];
    wrong.extend(args!["source:host/nobody/2024-05-01T10:00:00Z"]);
    let run = world.attempt(world.tape(wrong));
    assert_eq!(run.code(), Some(3), "{run}");
    run.says(&["host/nobody", "none of the catalogs of media set"]);
}

#[test]
fn tapes_alone_bring_everything_back() {
    let mut rig = Rig::new();
    let set = media_set(&rig.to_tape());
    rig.change_and_back_up();
    rig.to_tape();
    let content = rig.world.media_content();
    let listed = rig.world.json(args!["tape", "media", "list"]);
    // A machine that knows nothing: labels, then the catalogs that the cartridges carry.
    rig.world.forget_state();
    assert_eq!(rig.world.json(args!["tape", "media", "list"]), json!([]));
    let inventory = args!["inventory", "--read-labels", "--catalog"];
    let report = rig.world.json(rig.world.tape(inventory));
    assert_eq!(report["failed"], json!([]), "{report}");
    assert_eq!(rig.world.media_content(), content);
    let without_status = |list: serde_json::Value| -> Vec<String> {
        let mut rows: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|m| format!("{} {} {} {}", m["label-text"], m["uuid"], m["seq-nr"], m["pool"]))
            .collect();
        rows.sort();
        rows
    };
    let found = rig.world.json(args!["tape", "media", "list"]);
    assert_eq!(without_status(found), without_status(listed.clone()));

    // A machine that knows nothing and cartridges whose catalogs are not trusted: a scan of all.
    rig.world.forget_state();
    rig.world.run(rig.world.tape(args!["inventory", "--read-labels"]));
    let mut labels: Vec<String> = Vec::new();
    for media in listed.as_array().unwrap() {
        if media.get("media-set-uuid").is_some() {
            labels.push(text(&media["label-text"]));
        }
    }
    for label in &labels {
        rig.world.run(rig.world.tape(args!["load-media", label]));
        let report = rig.world.json(rig.world.tape(args!["catalog", "--scan", "--force"]));
        assert_eq!(report["damage"], json!([]), "{report}");
    }
    assert_eq!(rig.world.media_content(), content);

    rig.world.create_store("rescued");
    rig.world.run(rig.world.tape(args!["restore", set, "rescued"]));
    rig.check_restored("rescued");

    // The set goes on from here as if nothing had happened: all of the source is on it.
    let report = rig.to_tape();
    assert_eq!((media_set(&report), &report["chunks"]), (set, &json!(0)), "{report}");
    assert_eq!(report["snapshots-skipped"], 5, "{report}");
}

#[test]
fn cartridges_move_between_libraries() {
    let mut rig = Rig::new();
    let set = media_set(&rig.to_tape());
    let exported = rig.world.fast("exported");
    let labels = rig.export_all(&exported);
    assert!(labels.len() >= 3, "{labels:?}");
    for label in &labels {
        let files = sizes(&exported.join(label));
        assert!(files.iter().any(|(name, _)| name == "index.json"), "{files:?}");
        assert!(files.iter().any(|(name, size)| name == "00000.blocks" && *size == 262_144));
    }
    rig.throw_source_away();

    // Another library takes them; what it gives out again is the same to the byte.
    let other = rig.world.create_library("other", 0);
    for label in &labels {
        rig.world.run(args!["vtl", "cartridge", "import", other, label, exported.join(label)]);
        rig.world.json(args!["vtl", "cartridge", "check", other, label]);
    }
    let again = rig.world.fast("exported-again");
    for label in &labels {
        rig.world.run(args!["vtl", "cartridge", "export", other, label, again.join(label)]);
        for (name, _) in sizes(&exported.join(label)) {
            let (one, two) = (exported.join(label).join(&name), again.join(label).join(&name));
            assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "{label}/{name} differs");
        }
    }

    rig.world.forget_state();
    let drive = |arguments| [args!["tape"], arguments, args!["--drive", "other-0"]].concat();
    rig.world.run(drive(args!["inventory", "--read-labels", "--catalog"]));
    rig.world.create_store("second");
    rig.world.run(drive(args!["restore", set, "second"]));
    rig.check_restored("second");
}

#[test]
fn drives_and_slots_do_as_they_are_told() {
    let world = World::new();
    let library = world.create_library("lib", 3);
    world.run(args!["tape", "pool", "create", "pool"]);
    let status = || world.json(args!["tape", "changer", "status", "lib"]);
    let at = |label: &str| -> (String, u64) {
        let status = status();
        let entry = status.as_array().unwrap().iter().find(|e| e["label-text"] == label);
        let entry = entry.unwrap_or_else(|| panic!("{label} is nowhere in {status}"));
        (text(&entry["entry-kind"]), entry["entry-id"].as_u64().unwrap())
    };
    let entries = status();
    let kinds = field_of_all(&entries, "entry-kind");
    let count = |kind: &str| kinds.iter().filter(|k| *k == kind).count();
    assert_eq!((count("drive"), count("slot"), count("import-export")), (2, 12, 6), "{entries}");

    world.run(world.tape(args!["load-media", "CAP002L8"]));
    assert_eq!(at("CAP002L8"), ("drive".to_owned(), 0));
    let drive = world.json(world.tape(args!["status"]));
    assert_eq!(drive["density"], "LTO8", "{drive}");
    world.run(world.tape(args!["label", "--label-text", "CAP002L8", "--pool", "pool"]));
    let label = world.json(world.tape(args!["read-label"]));
    assert_eq!((&label["label-text"], &label["pool"]), (&json!("CAP002L8"), &json!("pool")));
    world.run(world.tape(args!["unload", "--target-slot", "9"]));
    assert_eq!(at("CAP002L8"), ("slot".to_owned(), 9));
    world.run(world.tape(args!["load-media", "CAP002L8"]));
    world.run(world.tape(args!["unload"]));
    assert_eq!(at("CAP002L8"), ("slot".to_owned(), 9));

    // The rest by bar code; the one that has a label is left alone.
    let report = world.json(world.tape(args!["barcode-label"]));
    let labelled = field_of_all(&report["labelled"], "label-text");
    assert_eq!(labelled, ["CAP001L8", "CAP003L8"], "{report}");
    world.run(world.tape(args!["unload"]));
    let inventory = world.json(world.tape(args!["inventory"]));
    assert_eq!(inventory["media"].as_array().map(Vec::len), Some(3), "{inventory}");

    // Blank again, but only if it is the one that was named.
    world.run(world.tape(args!["load-media", "CAP003L8"]));
    world.fails(world.tape(args!["format", "--label-text", "CAP001L8"]), &["CAP001L8", "CAP003L8"]);
    world.json(world.tape(args!["read-label"]));
    world.run(world.tape(args!["format", "--label-text", "CAP003L8"]));
    world.fails(world.tape(args!["read-label"]), &["label"]);

    let listed = world.json(args!["vtl", "list", library]);
    let barcodes = listed["elements"].as_array().unwrap().iter();
    assert_eq!(barcodes.filter(|e| e.get("barcode").is_some_and(|b| !b.is_null())).count(), 3);
}

#[test]
fn a_media_set_is_put_where_an_operator_takes_it() {
    let rig = Rig::new();
    let mut backup = rig.world.tape(args!["backup", "source", "pool"]);
    backup.extend(args!["--export-media-set"]);
    let report = rig.world.json(backup);
    let status = rig.world.json(args!["tape", "changer", "status"]);
    let mut handed_out: Vec<String> = status
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["entry-kind"] == "import-export" && !e["label-text"].is_null())
        .map(|e| text(&e["label-text"]))
        .collect();
    handed_out.sort();
    let mut written: Vec<String> = report["tapes"].as_array().unwrap().iter().map(text).collect();
    written.sort();
    assert_eq!(handed_out, written, "{status}");
}

#[test]
fn the_configuration_of_tape_can_be_listed_changed_and_removed() {
    let world = World::new();
    let library = world.create_library("lib", 1);
    let second = format!("vtl:{}#drive1", library.display());
    let mut create = args!["tape", "drive", "create", "lib-1", "--path", second];
    create.extend(args!["--changer", "lib", "--changer-drivenum", "1"]);
    world.run(create);
    let drives = world.json(args!["tape", "drive", "list"]);
    assert_eq!(field_of_all(&drives, "name"), ["lib-0", "lib-1"]);
    assert_eq!(world.json(args!["tape", "drive", "show", "lib-1"])["changer-drivenum"], 1);
    world.run(args!["tape", "drive", "update", "lib-1", "--changer-drivenum", "0"]);
    assert!(world.json(args!["tape", "drive", "show", "lib-1"]).get("changer-drivenum").is_none());
    world.fails(args!["tape", "changer", "remove", "lib"], &["lib-0", "uses"]);
    world.run(args!["tape", "drive", "remove", "lib-1"]);
    world.fails(args!["tape", "drive", "show", "lib-1"], &["no drive 'lib-1'"]);

    let mut create = args!["tape", "pool", "create", "daily", "--drive", "lib-0"];
    create.extend(args!["--retention", "2 weeks", "--allocation", "always"]);
    world.run(create);
    world.run(args!["tape", "pool", "update", "daily", "--comment", "for the week"]);
    let pool = world.json(args!["tape", "pool", "show", "daily"]);
    let wanted = json!({
        "name": "daily", "drive": "lib-0", "retention": "2 weeks", "allocation": "always",
        "comment": "for the week"
    });
    assert_eq!(pool, wanted);
    assert_eq!(field_of_all(&world.json(args!["tape", "pool", "list"]), "name"), ["daily"]);
    assert_eq!(world.json(args!["tape", "pool", "status", "daily"])["media"], json!([]));
    world.run(args!["tape", "pool", "remove", "daily"]);
    assert_eq!(world.json(args!["tape", "pool", "list"]), json!([]));

    world.run(args!["tape", "changer", "update", "lib", "--export-slots", "11,12"]);
    let changer = world.json(args!["tape", "changer", "show", "lib"]);
    assert_eq!(changer["export-slots"], json!([11, 12]));
    let status = world.json(args!["tape", "changer", "status"]);
    let kinds = field_of_all(&status, "entry-kind");
    assert_eq!(kinds.iter().filter(|k| *k == "import-export").count(), 8, "{status}");
    assert_eq!(world.json(args!["tape", "changer", "list"])[0]["name"], "lib");
    for what in ["drive", "changer"] {
        assert!(world.json(args!["tape", what, "scan"]).is_array());
    }
}
