//! Damage in a datastore is found, named and mended by the next backup; what is not damaged stays
//! within reach.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::listing::{assert_same_entries, list};
use crate::round_trip::source;
use crate::tree::{bytes, write};
use crate::world::{World, read, text};

/// What happens to a file.
#[derive(Debug, Clone, Copy)]
enum Action {
    Delete,
    Truncate,
    /// The file is there, but empty.
    Empty,
    FlipBit,
    /// Everything is overwritten with zeros.
    Zero,
}

impl Action {
    const ALL: [Action; 5] =
        [Action::Delete, Action::Truncate, Action::Empty, Action::FlipBit, Action::Zero];

    fn on(self, path: &Path) {
        let mut content = read(path);
        match self {
            Action::Delete => return fs::remove_file(path).unwrap(),
            Action::Truncate => content.truncate(content.len() / 2),
            Action::Empty => content.clear(),
            Action::FlipBit => {
                let last = content.len() - 1;
                content[last] ^= 1;
            }
            Action::Zero => content.fill(0),
        }
        fs::write(path, content).unwrap();
    }
}

const SNAPSHOT: &str = "host/x/2023-11-14T22:13:20Z";

/// The largest chunk of a store.
fn a_chunk(store: &Path) -> PathBuf {
    let mut chunks = Vec::new();
    for folder in fs::read_dir(store.join(".chunks")).unwrap() {
        for chunk in fs::read_dir(folder.unwrap().path()).into_iter().flatten() {
            let chunk = chunk.unwrap();
            // Damaged ones that were set aside have longer names.
            if chunk.file_name().len() == 64 {
                chunks.push(chunk.path());
            }
        }
    }
    chunks.into_iter().max_by_key(|chunk| fs::metadata(chunk).unwrap().len()).unwrap()
}

fn back_up(world: &World, id: &str, time: i64) -> Value {
    let mut backup = args!["backup", source("root.pxar", &world.disk("tree"))];
    backup.extend(args![source("x.conf", &world.disk("x.conf"))]);
    backup.extend(args!["--repository", "store", "--backup-id", id, "--chunk-size", "64"]);
    backup.extend(args!["--backup-time", time.to_string()]);
    world.json(backup)
}

fn try_restore(world: &World, snapshot: &str, target: &Path) -> crate::world::Run {
    world.attempt(args!["restore", snapshot, "root.pxar", target, "--repository", "store"])
}

#[test]
fn every_damage_is_found_and_none_is_restored_as_if_it_were_whole() {
    let world = World::new();
    let store = world.create_store("store");
    write(world.disk("tree/file"), bytes(1, 1_500_000));
    write(world.disk("x.conf"), "some: setting\n");
    let wanted = list(&world.disk("tree"));
    back_up(&world, "x", 1_700_000_000);
    // Another one that shares nothing with it, and that no damage below touches.
    let other = world.disk("other.conf");
    write(&other, "other");
    let mut backup = args!["backup", source("other.conf", &other), "--repository", "store"];
    backup.extend(args!["--backup-id", "other"]);
    world.run(backup);

    let folder = store.join(SNAPSHOT);
    let places = [
        ("chunk", a_chunk(&store)),
        ("index", folder.join("root.pxar.didx")),
        ("blob", folder.join("x.conf.blob")),
        ("manifest", folder.join("index.json.blob")),
    ];
    for (place, path) in places {
        for action in Action::ALL {
            let what = format!("{action:?} of the {place}");
            let whole = read(&path);
            action.on(&path);
            let run = world.attempt(args!["datastore", "verify", "store", "--no-record"]);
            assert_eq!(run.code(), Some(1), "{what} was not found\n{run}");
            run.says(&["host/x"]);
            assert!(run.stdout().contains("host/other"), "the rest is looked at too\n{run}");
            assert!(!run.stderr().contains("host/other"), "{what}: {run}");
            if place != "blob" {
                let target = world.disk(&what);
                let run = try_restore(&world, SNAPSHOT, &target);
                assert_eq!(run.code(), Some(1), "{what}\n{run}");
                run.says(&["host/x"]);
            } else {
                let conf = args!["restore", SNAPSHOT, "x.conf", "-", "--repository", "store"];
                let run = world.fails(conf, &["x.conf"]);
                assert_eq!(run.stdout(), "", "{what}: damaged content was given out");
                // A damaged neighbour keeps nobody from the rest.
                let target = world.disk(&what);
                let run = try_restore(&world, SNAPSHOT, &target);
                assert_eq!(run.code(), Some(0), "{what}\n{run}");
                assert_same_entries(&wanted, &list(&target));
            }
            let restore =
                args!["restore", "host/other", "other.conf", "-", "--repository", "store"];
            assert_eq!(world.run(restore).stdout(), "other");
            fs::write(&path, whole).unwrap();
        }
    }
    world.run(args!["datastore", "verify", "store", "--no-record"]);
}

#[test]
fn the_next_backup_after_a_verification_mends_a_damaged_chunk() {
    let world = World::new();
    let store = world.create_store("store");
    write(world.disk("tree/file"), bytes(1, 1_500_000));
    write(world.disk("x.conf"), "some: setting\n");
    let wanted = list(&world.disk("tree"));
    for (number, action) in (0..).zip(Action::ALL) {
        let time = 1_700_000_000 + number * 10;
        back_up(&world, "x", time);
        let chunk = a_chunk(&store);
        action.on(&chunk);
        let run = world.attempt(args!["datastore", "verify", "store"]);
        assert_eq!(run.code(), Some(1), "{action:?}\n{run}");
        // Snapshots that failed are known as such.
        let listed = world.json(args!["snapshot", "list", "host/x", "--repository", "store"]);
        let newest = listed.as_array().unwrap().iter().max_by_key(|s| s["backup-time"].as_i64());
        assert_eq!(text(&newest.unwrap()["verification"]["state"]), "failed", "{action:?}");
        let report = back_up(&world, "x", time + 1);
        assert!(report["chunks-stored"].as_u64() >= Some(1), "{action:?}: {report}");
        world.run(args!["datastore", "verify", "store"]);
        let target = world.disk(format!("{action:?}"));
        assert_eq!(try_restore(&world, "host/x", &target).code(), Some(0));
        assert_same_entries(&wanted, &list(&target));
    }
}
