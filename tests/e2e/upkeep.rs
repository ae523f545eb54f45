//! Forgetting, notes, protection, owners, groups and namespaces from the command line.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::golden::{attach_store, golden};
use crate::world::{World, field_of_all, read_text};

const DAYS: [&str; 3] = ["2024-05-01T10:00:00Z", "2024-05-02T10:00:00Z", "2024-05-03T10:00:00Z"];

fn back_up(world: &World, id: &str, ns: &str, day: &str) {
    let source = world.fast("note.txt");
    fs::write(&source, format!("{id} {day}")).unwrap();
    let mut backup = args!["backup", format!("note.conf:{}", source.display())];
    backup.extend(args!["--repository", "store", "--backup-id", id, "--ns", ns]);
    backup.extend(args!["--backup-time", day]);
    world.run(backup);
}

fn world_with_days() -> (World, PathBuf) {
    let world = World::new();
    let store = world.create_store("store");
    for day in DAYS {
        back_up(&world, "x", "", day);
    }
    (world, store)
}

fn left(world: &World) -> Vec<String> {
    let listed = world.json(args!["snapshot", "list", "--repository", "store"]);
    field_of_all(&listed, "backup-time")
}

#[test]
fn a_snapshot_is_forgotten_unless_it_is_protected() {
    let (world, store) = world_with_days();
    let name = |day: usize| format!("host/x/{}", DAYS[day]);
    let protected =
        |verb: &str| args!["snapshot", "protected", verb, name(0), "--repository", "store"];
    assert_eq!(world.json(protected("show")), false);
    let mut update = protected("update");
    update.push("true".into());
    world.run(update);
    assert_eq!(world.json(protected("show")), true);

    let forget = |days: &[usize], dry_run: bool| {
        let mut arguments = args!["snapshot", "forget", "--repository", "store"];
        arguments.extend(days.iter().map(|day| name(*day).into()));
        if dry_run {
            arguments.push("--dry-run".into());
        }
        arguments
    };
    let plan = world.json(forget(&[0, 1], true));
    assert_eq!(
        plan,
        json!([
            {"backup-type": "host", "backup-id": "x", "backup-time": 1_714_557_600,
             "keep": true, "protected": true, "reason": "protected"},
            {"backup-type": "host", "backup-id": "x", "backup-time": 1_714_644_000,
             "keep": false, "protected": false},
        ])
    );
    assert!(world.run(forget(&[1], true)).stdout().contains("would be removed"));
    assert_eq!(left(&world).len(), 3, "a dry run removes nothing");

    world.fails(forget(&[0], false), &[DAYS[0], "protected"]);
    let run = world.attempt(forget(&[0, 1], false));
    assert_eq!(run.code(), Some(3), "one of two stays\n{run}");
    assert!(run.stdout().contains("removed") && run.stdout().contains("stays: protected"), "{run}");
    assert_eq!(left(&world).len(), 2);
    // One name that is wrong, and nothing is removed.
    world.fails(forget(&[2, 1], false), &[DAYS[1], "does not exist"]);
    world.fails(args!["snapshot", "forget", "host/x", "--repository", "store"], &["group forget"]);
    assert_eq!(left(&world).len(), 2);
    let run = world.attempt(args!["group", "forget", "host/x", "--repository", "store"]);
    assert_eq!(run.code(), Some(3), "{run}");
    assert!(run.stdout().contains("stays: snapshots stay"), "{run}");
    let mut update = protected("update");
    update.push("false".into());
    world.run(update);
    world.run(forget(&[0], false));
    assert!(!store.join("host/x").exists(), "the group goes with its last snapshot");
    world.fails(
        args!["group", "forget", "host/x", "--repository", "store"],
        &["backup group host/x", "does not exist"],
    );
}

#[test]
fn notes_and_owners_are_shown_and_changed() {
    let (world, store) = world_with_days();
    let newest = format!("host/x/{}", DAYS[2]);
    let text = "First line of notes\nsecond line, ünïcödé";
    let show = |what: &str, name: &str| {
        world.json(args![what, "notes", "show", name, "--repository", "store"])
    };
    assert_eq!(show("snapshot", "host/x"), "");
    world.run(args!["snapshot", "notes", "update", "host/x", text, "--repository", "store"]);
    assert_eq!(show("snapshot", &newest), text);
    let listed = world.json(args!["snapshot", "list", "--repository", "store"]);
    assert_eq!(listed[2]["comment"], "First line of notes");
    assert!(listed[0].get("comment").is_none());

    assert_eq!(show("group", "host/x"), "");
    let update = args!["group", "notes", "update", "host/x", "-", "--repository", "store"];
    let mut update = world.command(&update);
    let mut child = update.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"about x\nmore\n").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(show("group", "host/x"), "about x\nmore");
    let owner =
        |name: &str| args!["group", "change-owner", "host/x", name, "--repository", "store"];
    world.run(owner("alice@pam!desk"));
    assert_eq!(read_text(store.join("host/x/owner")), "alice@pam!desk\n");
    world.fails(owner("alice"), &["'alice'", "user@realm"]);
    let groups = world.json(args!["group", "list", "--repository", "store"]);
    assert_eq!(
        groups,
        json!([{"backup-type": "host", "backup-id": "x", "backup-count": 3,
            "last-backup": 1_714_730_400, "files": ["index.json.blob", "note.conf.blob"],
            "owner": "alice@pam!desk", "comment": "about x"}])
    );
    world.run(args!["group", "notes", "update", "host/x", "", "--repository", "store"]);
    assert!(!store.join("host/x/notes").exists());
    world.run(args!["datastore", "verify", "store"]);
}

#[test]
fn namespaces_go_with_their_groups_only_if_asked_for() {
    let world = World::new();
    let store = world.create_store("store");
    for ns in ["site/old", "site/new"] {
        world.run(args!["namespace", "create", ns, "--parents", "--repository", "store"]);
    }
    back_up(&world, "x", "site/old", DAYS[0]);
    let delete = |ns: &str, more: &[&str]| {
        let mut arguments = args!["namespace", "delete", ns, "--repository", "store"];
        arguments.extend(more.iter().map(Into::into));
        arguments
    };
    world.fails(delete("site", &[]), &["1 backup group;", "--delete-groups"]);
    world.fails(delete("", &["--delete-groups"]), &["root namespace"]);
    let plan = world.json(delete("site", &["--delete-groups", "--dry-run"]));
    assert_eq!(field_of_all(&plan, "ns"), ["site/old", "site/new", "site"]);
    assert!(store.join("ns/site/ns/new").exists(), "a dry run removes nothing");
    world.run(delete("site/new", &[]));
    let protect = args!["snapshot", "protected", "update", "host/x", "true", "--ns", "site/old"];
    world.run([protect, args!["--repository", "store"]].concat());
    let plan = world.json(delete("site", &["--delete-groups", "--dry-run"]));
    assert!(plan.as_array().unwrap().iter().all(|line| line["keep"] == true), "{plan}");
    let run = world.attempt(delete("site", &["--delete-groups"]));
    assert_eq!(run.code(), Some(3), "{run}");
    run.says(&["'site/old' stays", "1 backup group"]);
    fs::remove_file(store.join("ns/site/ns/old/host/x").join(DAYS[0]).join(".protected")).unwrap();
    let done = world.json(delete("site", &["--delete-groups"]));
    assert_eq!(field_of_all(&done, "ns"), ["site/old", "site"]);
    assert_eq!(done[0]["groups"][0]["snapshots"][0]["keep"], false);
    assert_eq!(
        world.json(args!["namespace", "list", "--repository", "store"]),
        json!([{"ns": ""}])
    );
}

/// The body of an answer of the reference's server.
fn answer(golden: &std::path::Path, name: &str) -> Value {
    let text = read_text(golden.join("api").join(name));
    let (_, body) = text.split_once("\n\n").or_else(|| text.split_once("\r\n\r\n")).unwrap();
    serde_json::from_str::<Value>(body).unwrap()["data"].take()
}

/// Lists in one order: objects by group and time, names by name.
fn sorted(mut list: Value) -> Value {
    let objects = list.as_array_mut().unwrap();
    for object in objects.iter_mut() {
        if let Some(files) = object.get_mut("files").and_then(Value::as_array_mut)
            && files.iter().all(Value::is_string)
        {
            files.sort_by_key(Value::to_string);
        }
    }
    let key = |o: &Value| {
        ["backup-type", "backup-id", "backup-time", "ns"].map(|name| o[name].to_string())
    };
    objects.sort_by_key(key);
    list
}

#[test]
fn listings_are_those_of_the_reference() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    attach_store(&world, &golden);
    let ask = |arguments: Vec<_>| world.json([arguments, args!["--repository", "golden"]].concat());
    let same = |found: Value, name: &str| {
        assert_eq!(sorted(found), sorted(answer(&golden, name)), "{name}");
    };
    same(ask(args!["group", "list"]), "groups.txt");
    same(ask(args!["snapshot", "list"]), "snapshots.txt");
    same(ask(args!["snapshot", "list", "--ns", "sub/inner"]), "snapshots-ns.txt");
    same(ask(args!["namespace", "list"]), "namespaces.txt");
    assert_eq!(ask(args!["group", "notes", "show", "vm/100"]), answer(&golden, "group-notes.txt"));
    let tree = "host/tree/2024-05-01T10:00:00Z";
    assert_eq!(ask(args!["snapshot", "notes", "show", tree]), answer(&golden, "notes.txt"));
    let mut files = ask(args!["snapshot", "files", tree]);
    for file in files.as_array_mut().unwrap() {
        // Ours, in addition.
        file.as_object_mut().unwrap().remove("csum");
    }
    assert_eq!(files, answer(&golden, "files.txt"));
    // A note of ours changes nothing else.
    let before = ask(args!["snapshot", "list", "host/signed"]);
    ask_nothing(&world, args!["snapshot", "notes", "update", "host/signed", "ours"]);
    let mut after = ask(args!["snapshot", "list", "host/signed"]);
    assert_eq!(after[0]["comment"], "ours");
    for field in ["comment", "size", "files"] {
        after[0].as_object_mut().unwrap().remove(field);
    }
    for (name, value) in after[0].as_object().unwrap() {
        assert_eq!(&before[0][name], value, "{name}");
    }
    let key = golden.join("keys/enc-none.json");
    world.run(args!["datastore", "verify", "golden", "--keyfile", key, "--no-record"]);
}

fn ask_nothing(world: &World, arguments: Vec<std::ffi::OsString>) {
    world.run([arguments, args!["--repository", "golden"]].concat());
}
