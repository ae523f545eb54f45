//! `datastore check`, `status`, `update` and `remove` as a person runs them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::round_trip::source;
use crate::tree::write;
use crate::world::{World, external, field_of_all};

fn back_up(world: &World, store: &str) {
    write(world.disk("tree/file"), b"content");
    let backup = args!["backup", source("root.pxar", &world.disk("tree"))];
    world.run([backup, args!["--repository", store, "--backup-id", "x"]].concat());
}

fn make_old(path: &Path) {
    let time = SystemTime::now() - Duration::from_secs(30 * 3600);
    let file = fs::File::open(path).unwrap();
    file.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
}

#[test]
fn disorder_is_found_repaired_and_gone() {
    let world = World::new();
    let store = world.create_store("store");
    back_up(&world, "store");
    assert_eq!(world.json(args!["datastore", "check", "store", "--references"]), json!([]));

    fs::remove_dir(store.join(".chunks/ffff")).ok();
    let half = store.join(format!(".chunks/0000/{}.tmp_abc123", "0".repeat(64)));
    write(&half, b"half");
    make_old(&half);
    write(store.join("letter.txt"), b"mine");
    // A chunk in a place where no reader looks for it.
    let prefix = fs::read_dir(store.join(".chunks"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap() != "0000" && fs::read_dir(path).unwrap().count() > 0)
        .unwrap();
    let chunk = fs::read_dir(&prefix).unwrap().next().unwrap().unwrap().path();
    let wrong = store.join(".chunks/0000").join(chunk.file_name().unwrap());
    fs::rename(&chunk, &wrong).unwrap();

    let check = args!["datastore", "check", "store"];
    let run = world.attempt(check.clone());
    assert_eq!(run.code(), Some(3), "{run}");
    assert!(run.stdout().contains("letter.txt"), "{run}");
    let run = world.attempt([check.clone(), args!["--repair", "--dry-run"]].concat());
    assert!(half.exists() && wrong.exists(), "{run}");
    let repair = [check.clone(), args!["--repair", "--output-format", "json"]].concat();
    let run = world.attempt(repair);
    assert_eq!(run.code(), Some(3), "the letter stays: {run}");
    assert!(!half.exists() && !wrong.exists() && chunk.exists(), "{run}");
    assert!(store.join("letter.txt").exists() && store.join(".chunks/ffff").is_dir());
    fs::remove_file(store.join("letter.txt")).unwrap();
    assert_eq!(world.json(check), json!([]));
    world.run(args!["datastore", "verify", "store"]);

    // An independent reader of the format agrees.
    let Some(checker) = external("CAPSTAN_CHECK") else { return };
    let python = std::env::var_os("CAPSTAN_CHECK_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .arg(checker.join("archive_check.py"))
        .args(args!["datastore", store])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_status_has_the_names_of_the_reference() {
    let world = World::new();
    world.create_store("store");
    back_up(&world, "store");
    let status = world.json(args!["datastore", "status", "store"]);
    for field in ["store", "total", "used", "avail", "counts", "gc-status", "history"] {
        assert!(status.get(field).is_some(), "{field} is missing in {status}");
    }
    assert_eq!(status["counts"]["host"], json!({"groups": 1, "snapshots": 1}));
    assert_eq!(status["counts"]["other"], json!(null));
    assert_eq!(status["gc-status"]["disk-bytes"], 0);
    assert!(status.get("estimated-full-date").is_none(), "one sample is no ground: {status}");
    let history = world.state.join("datastore/store.history");
    assert_eq!(fs::read_to_string(&history).unwrap().lines().count(), 1);
    world.run(args!["datastore", "update", "store", "--comment", "all of it"]);
    let status = world.json(args!["datastore", "status", "store"]);
    assert_eq!(status["comment"], "all of it");
    assert_eq!(fs::read_to_string(&history).unwrap().lines().count(), 1, "at most one an hour");
    let update = args!["datastore", "update", "store", "--verify-new", "true"];
    world.run([update, args!["--sync-level", "file", "--delete", "comment"]].concat());
    let settings = json!([{"name": "store", "path": world.fast("store"), "sync-level": "file",
                           "verify-new": true}]);
    assert_eq!(world.json(args!["datastore", "list"]), settings);
    let back = args!["datastore", "update", "store", "--delete", "verify-new"];
    world.run([back, args!["--delete", "sync-level"]].concat());
    let settings = json!([{"name": "store", "path": world.fast("store")}]);
    assert_eq!(world.json(args!["datastore", "list"]), settings);
    world.run(args!["datastore", "update", world.fast("store"), "--comment", "by folder"]);
    let listed = world.json(args!["datastore", "list"]);
    assert_eq!(field_of_all(&listed, "comment"), ["by folder"]);
    world.fails(args!["datastore", "update", "store"], &["nothing to change"]);
    let run = world.attempt(args!["datastore", "update", "store", "--sync-level", "often"]);
    assert_eq!(run.code(), Some(2), "{run}");
    world.run(args!["datastore", "update", "store", "--delete", "comment"]);
    assert!(world.json(args!["datastore", "status", "store"]).get("comment").is_none());
}

#[test]
fn a_datastore_is_forgotten_or_destroyed() {
    let world = World::new();
    let store = world.create_store("store");
    back_up(&world, "store");
    let remove = args!["datastore", "remove", "store"];
    world.run([remove.clone(), args!["--dry-run"]].concat());
    // A folder is as good as the name, as everywhere.
    world.run(args!["datastore", "remove", store]);
    world.fails(args!["datastore", "remove", store], &["no datastore in", "--reuse-datastore"]);
    world.fails(remove.clone(), &["no datastore named 'store'"]);
    // Its data is whole.
    world.run(args!["datastore", "create", "store", store, "--reuse-datastore"]);
    world.run(args!["datastore", "verify", "store"]);

    let destroy = [remove, args!["--destroy-data"]].concat();
    let plan = world.run([destroy.clone(), args!["--dry-run"]].concat());
    assert!(plan.stdout().contains(".chunks"), "{plan}");
    world.fails(destroy.clone(), &["--yes"]);
    let destroy = [destroy, args!["--yes"]].concat();
    // Somebody reads a snapshot.
    let lock = fs::read_dir(store.join(".locks")).unwrap().next().unwrap().unwrap().path();
    let held = nix::fcntl::Flock::lock(
        fs::File::open(lock).unwrap(),
        nix::fcntl::FlockArg::LockSharedNonblock,
    )
    .unwrap();
    world.fails(destroy.clone(), &["in use"]);
    world.run(args!["datastore", "verify", "store", "--no-record"]);
    drop(held);
    world.run(destroy);
    assert!(!store.exists());
    assert_eq!(field_of_all(&world.json(args!["datastore", "list"]), "name"), [""; 0]);
}
