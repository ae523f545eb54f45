//! Mistakes get a message that a person can act on, and change nothing.
//!
//! The tables list command, words that the message must have. What lies in the datastore, the
//! configuration and the state is compared before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::listing::{picture, picture_without_chunks};
use crate::round_trip::source;
use crate::tape_world::{CAPACITY, Rig, media_set};
use crate::tree::{bytes, write};
use crate::world::{World, is_root, note};

type Table<'a> = Vec<(Vec<OsString>, &'a [&'a str])>;

/// Runs each command, which must fail with its words and change nothing in `folders`.
#[track_caller]
fn all_fail(world: &World, folders: &[&Path], table: Table<'_>) {
    // To look into all the chunk folders takes its time: that is done once at the end.
    let (all_before, before) = (picture(folders), picture_without_chunks(folders));
    for (arguments, words) in table {
        let run = world.fails(arguments, words);
        let changed = changes(&before, &picture_without_chunks(folders));
        assert!(changed.is_empty(), "a command that failed changed {changed:?}\n{run}");
    }
    let changed = changes(&all_before, &picture(folders));
    assert!(changed.is_empty(), "commands that failed changed {changed:?}");
}

/// What differs between two pictures.
fn changes(
    before: &BTreeMap<PathBuf, String>,
    after: &BTreeMap<PathBuf, String>,
) -> BTreeSet<PathBuf> {
    let paths = before.keys().chain(after.keys());
    let changed = paths.filter(|path| before.get(*path) != after.get(*path));
    // Lock files and their folders say nothing.
    let counts = changed.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let in_locks = path.components().any(|part| part.as_os_str() == ".locks");
        !in_locks && !name.ends_with(".lck")
    });
    counts.cloned().collect()
}

#[test]
fn a_backup_that_cannot_be_leaves_no_trace() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    write(tree.join("file"), "content");
    write(world.disk("empty.img"), "");
    write(world.disk("image.img"), bytes(1, 10_000));
    write(world.disk("not-a-key.json"), "{\"a\": 1}");
    let locked = world.disk("locked.json");
    let mut world = world;
    world.set_env("CAPSTAN_ENCRYPTION_PASSWORD", "right");
    world.run(args!["key", "create", locked, "--kdf", "pbkdf2"]);
    world.set_env("CAPSTAN_ENCRYPTION_PASSWORD", "wrong");
    let key = world.disk("key.json");
    world.run(args!["key", "create", key, "--kdf", "none"]);
    world.create_store("other");

    let root = source("root.pxar", &tree);
    let backup =
        |arguments: Vec<OsString>| [args!["backup"], arguments, args!["--backup-id", "x"]].concat();
    let to_store =
        |arguments: Vec<OsString>| backup([arguments, args!["--repository", "store"]].concat());
    world.run(to_store(args![root, "--backup-time", "2024-05-01T10:00:00Z"]));

    let nowhere = world.disk("nowhere");
    let plain_folder = world.disk("plain");
    fs::create_dir(&plain_folder).unwrap();
    let table: Table<'_> = vec![
        // Sources.
        (to_store(args![source("a.pxar", &nowhere)]), &["nowhere", "No such file"]),
        (to_store(args![root, source("b.img", &nowhere)]), &["nowhere", "No such file"]),
        (to_store(args![source("a.pxar", &world.disk("image.img"))]), &["is not a folder"]),
        (to_store(args![source("a.img", &tree)]), &["is not a file or block device"]),
        (to_store(args![source("a.conf", &tree)]), &["is not a"]),
        (to_store(args![source("a.img", &world.disk("empty.img"))]), &["empty"]),
        (to_store(args![source("a", &tree)]), &[".pxar", ".img", ".conf"]),
        (to_store(args![source("a.txt", &tree)]), &[".pxar", ".img", ".conf"]),
        (to_store(args!["root.pxar"]), &["NAME.EXTENSION:PATH"]),
        (to_store(args![source("../a.pxar", &tree)]), &["../a.pxar"]),
        (to_store(args![root, root]), &["two sources", "root.pxar"]),
        (to_store(args![source("index.json", &key)]), &["reserved"]),
        // Snapshots.
        (
            to_store(args![root, "--backup-time", "2024-05-01T10:00:00Z"]),
            &["host/x/2024-05-01T10:00:00Z"],
        ),
        (to_store(args![root, "--backup-time", "2024-04-01T10:00:00Z"]), &["2024-05-01T10:00:00Z"]),
        (
            to_store(args![root, "--backup-time", "yesterday"]),
            &["yesterday", "2024-05-01T10:00:00Z"],
        ),
        (
            to_store(args![root, "--ns", "nobody/made/this"]),
            &["nobody/made/this", "does not exist"],
        ),
        (to_store(args![root, "--ns", "../up"]), &["invalid namespace"]),
        (
            args!["backup", root, "--repository", "store", "--backup-id", "../up"],
            &["invalid", "../up"],
        ),
        (to_store(args![root, "--owner", "nobody in particular"]), &["nobody in particular"]),
        (to_store(args![root, "--owner", "somebody@pbs"]), &["belongs to", "somebody@pbs"]),
        // Keys.
        (to_store(args![root, "--crypt-mode", "encrypt"]), &["--keyfile"]),
        (to_store(args![root, "--crypt-mode", "sign-only"]), &["--keyfile"]),
        (to_store(args![root, "--crypt-mode", "none", "--keyfile", key]), &["--keyfile"]),
        (to_store(args![root, "--keyfile", nowhere]), &["nowhere", "No such file"]),
        (to_store(args![root, "--keyfile", world.disk("not-a-key.json")]), &["not-a-key.json"]),
        (to_store(args![root, "--keyfile", locked]), &["locked.json", "wrong passphrase"]),
        // Repositories.
        (backup(args![root, "--repository", nowhere]), &["nowhere"]),
        (
            backup(args![root, "--repository", plain_folder]),
            &["plain", "not a usable datastore", ".chunks"],
        ),
        (
            backup(args![root, "--repository", "unknown"]),
            &["unknown", "datastore list", "./unknown"],
        ),
        (
            backup(args![root, "--repository", "root@pam@backup.example:8007:store"]),
            &["backup.example", "server"],
        ),
        (backup(args![root, "--repository", "backup.example:store"]), &["server"]),
        (to_store(args![root, "--chunk-size", "100"]), &["--chunk-size", "power of two"]),
    ];
    all_fail(&world, &[&store, &world.config, &tree, &plain_folder], table);
    assert!(!nowhere.exists());

    if !is_root() {
        let unreadable = world.disk("unreadable");
        fs::create_dir(&unreadable).unwrap();
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o000)).unwrap();
        let table: Table<'_> =
            vec![(to_store(args![source("a.pxar", &unreadable)]), &["unreadable", "ermission"])];
        all_fail(&world, &[&store], table);
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o700)).unwrap();
    } else {
        note("root reads everything; an unreadable source is not tested");
    }
    let listed = world.json(args!["snapshot", "list", "--repository", "store"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    world.run(args!["datastore", "verify", "store"]);
}

#[test]
fn a_restore_that_cannot_be_touches_nothing() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    write(tree.join("file"), "content");
    write(tree.join("folder/inner"), "content");
    write(world.disk("x.img"), bytes(1, 10_000));
    let mut backup = args!["backup", source("root.pxar", &tree)];
    backup.extend(args![source("x.img", &world.disk("x.img")), "--repository", "store"]);
    backup.extend(args!["--backup-id", "x", "--backup-time", "2024-05-01T10:00:00Z"]);
    world.run(backup);

    let (taken, file) = (world.disk("taken"), world.disk("a-file"));
    write(taken.join("file"), "mine");
    write(&file, "mine");
    let nowhere = world.disk("nowhere");
    let key = world.disk("key.json");
    world.run(args!["key", "create", key, "--kdf", "none"]);
    let restore = |snapshot: &str, archive: &str, target: &Path| {
        args!["restore", snapshot, archive, target, "--repository", "store"]
    };
    let with = |more: Vec<OsString>| [restore("host/x", "root.pxar", &nowhere), more].concat();
    let table: Table<'_> = vec![
        (restore("host/unknown", "root.pxar", &nowhere), &["host/unknown"]),
        (restore("host/x/2024-05-02T10:00:00Z", "root.pxar", &nowhere), &["2024-05-02T10:00:00Z"]),
        (restore("host/x", "other.pxar", &nowhere), &["other.pxar"]),
        (restore("host/x", "root", &nowhere), &["root"]),
        (restore("nonsense", "root.pxar", &nowhere), &["nonsense"]),
        (restore("host/../x", "root.pxar", &nowhere), &["host/../x"]),
        (restore("host/x", "../x.img", &nowhere), &["../x.img"]),
        (with(args!["--ns", "unknown"]), &["unknown"]),
        (with(args!["--pattern", "[a"]), &["[a"]),
        (restore("host/x", "root.pxar", &taken), &["/file", "exists already"]),
        (restore("host/x", "root.pxar", &file), &["a-file"]),
        (restore("host/x", "x.img", &file), &["a-file", "exist"]),
        (restore("host/x", "x.img", &taken), &["taken"]),
        (
            [restore("host/x", "root.pxar", Path::new("-")), args!["--pattern", "a"]].concat(),
            &["--pattern"],
        ),
    ];
    all_fail(&world, &[&store, &world.config, &taken, &file], table);
    assert!(!nowhere.exists(), "a restore that failed left something behind");
    // A folder that is there is taken only when asked for, and a file in it only with --overwrite.
    let into = restore("host/x", "root.pxar", &taken);
    let run = world.attempt([into.clone(), args!["--allow-existing-dirs"]].concat());
    assert_ne!(run.code(), Some(0), "{run}");
    assert_eq!(fs::read(taken.join("file")).unwrap(), b"mine");
    world.run([into, args!["--overwrite"]].concat());
    assert_eq!(fs::read(taken.join("file")).unwrap(), b"content");
}

#[test]
fn stores_keys_and_listings_refuse_what_makes_no_sense() {
    let world = World::new();
    let store = world.create_store("store");
    let full = world.disk("full");
    write(full.join("somebody's"), "data");
    let plain = world.disk("plain");
    fs::create_dir(&plain).unwrap();
    let create = |name: &str, dir: &Path| args!["datastore", "create", name, dir];
    let nowhere = world.disk("nowhere");
    let table: Table<'_> = vec![
        (create("store", &nowhere), &["store", "already"]),
        (create("second", &full), &["full", "empty"]),
        (create("second", &store.join("inside")), &["inside each other"]),
        (create("second", store.parent().unwrap()), &["inside each other"]),
        (create("../second", &nowhere), &["../second"]),
        (create("a", &nowhere), &["'a'"]),
        ([create("second", &plain), args!["--reuse-datastore"]].concat(), &["plain"]),
        ([create("second", &nowhere), args!["--reuse-datastore"]].concat(), &["nowhere"]),
        (args!["datastore", "show", "unknown"], &["unknown"]),
        (args!["datastore", "verify", plain], &["plain", "not a usable datastore"]),
        (args!["snapshot", "list", "--repository", "unknown"], &["unknown"]),
        (args!["snapshot", "list", "--repository", "store", "--ns", "no"], &["'no'", "not exist"]),
        (args!["snapshot", "list", "host", "--repository", "store"], &["host"]),
        (args!["snapshot", "files", "host/no", "--repository", "store"], &["host/no"]),
        (args!["catalog", "dump", "host/no", "--repository", "store"], &["host/no"]),
        (args!["namespace", "create", "a/../b", "--repository", "store"], &["invalid namespace"]),
        (args!["key", "show", nowhere], &["nowhere"]),
    ];
    all_fail(&world, &[&store, &world.config, &full, &plain], table);
    assert!(!nowhere.exists());
    // Wrong usage is another exit code, and says what is right.
    for arguments in [args![], args!["backup"], args!["frobnicate"], args!["backup", "--no-such"]] {
        let run = world.attempt(arguments);
        assert_eq!(run.code(), Some(2), "{run}");
        run.says(&["Usage"]);
    }
    // The folders that this test names in variables are nobody's business there.
    let run = world.attempt(args!["snapshot", "list"]);
    assert!(!run.stderr().contains("--config"), "{run}");
    assert_eq!(world.attempt(args!["--version"]).code(), Some(0));
    // Nor is it a crash that nobody can hear the message.
    for arguments in [args!["datastore", "gc", "unknown"], args!["datastore", "gc", store]] {
        let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let status = world.command(&arguments).stdout(full()).stderr(full()).status().unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}");
    }

    // A configuration that cannot be read stops everything that needs it, and is left as it is.
    let file = world.config.join("datastore.toml");
    for (text, word) in [("[datastore.x]\npath = ", "datastore.toml"), ("[datastor]\n", "datastor")]
    {
        fs::write(&file, text).unwrap();
        world.fails(args!["datastore", "list"], &["datastore.toml", word]);
        world.fails(create("third", &nowhere), &["datastore.toml"]);
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    assert!(!nowhere.exists());
}

#[test]
fn tape_commands_refuse_what_makes_no_sense() {
    let world = World::new();
    let library = world.create_library("lib", 1);
    world.run(args!["tape", "pool", "create", "pool"]);
    let store = world.create_store("store");
    let plain = world.disk("plain");
    fs::create_dir(&plain).unwrap();
    let address = |dir: &Path, unit: &str| format!("vtl:{}#{unit}", dir.display());
    let pool = |arguments: Vec<OsString>| [args!["tape", "pool"], arguments].concat();
    let drive = |name: &str, path: &str| args!["tape", "drive", "create", name, "--path", path];
    const SET: &str = "00000000-0000-4000-8000-000000000000";
    let missing = world.disk("missing");
    let table: Table<'_> = vec![
        (drive("lib-1", &address(&plain, "drive0")), &["plain", "no tape library here"]),
        (drive("lib-1", &address(&library, "drive7")), &["drive7"]),
        (drive("lib-1", &address(&library, "changer")), &["changer"]),
        (drive("lib-1", "/dev/null"), &["/dev/null"]),
        (drive("lib-1", "nonsense"), &["nonsense"]),
        (drive("lib-0", &address(&library, "drive1")), &["lib-0", "already"]),
        (drive("lib-1", &address(&library, "drive0")), &["lib-0", "address"]),
        (drive("../x", &address(&library, "drive1")), &["../x"]),
        (
            [drive("lib-1", &address(&library, "drive1")), args!["--changer", "unknown"]].concat(),
            &["no changer 'unknown'"],
        ),
        (
            args!["tape", "changer", "create", "two", "--path", address(&library, "drive0")],
            &["changer"],
        ),
        (args!["tape", "changer", "status", "unknown"], &["no changer 'unknown'"]),
        (pool(args!["create", "pool"]), &["pool", "already"]),
        (pool(args!["create", "new", "--drive", "unknown"]), &["no drive 'unknown'"]),
        (pool(args!["create", "new", "--retention", "sometimes"]), &["sometimes"]),
        (pool(args!["create", "new", "--allocation", "maybe"]), &["maybe"]),
        (pool(args!["show", "unknown"]), &["no pool 'unknown'"]),
        (pool(args!["remove", "unknown"]), &["no pool 'unknown'"]),
        (args!["tape", "status", "--drive", "unknown"], &["no drive 'unknown'"]),
        (world.tape(args!["backup", "store", "unknown"]), &["no pool 'unknown'"]),
        (world.tape(args!["backup", "unknown", "pool"]), &["no datastore named 'unknown'"]),
        (world.tape(args!["barcode-label", "--pool", "unknown"]), &["no pool 'unknown'"]),
        (world.tape(args!["restore", SET, "store"]), &[SET, "not in the inventory"]),
        (world.tape(args!["restore", SET, "unknown"]), &["unknown"]),
        (world.tape(args!["load-media", "NOTHERE1"]), &["NOTHERE1", "not in the library"]),
        (world.tape(args!["unload", "--target-slot", "99"]), &["drive 0 is empty"]),
        // No cartridge is in the drive.
        (world.tape(args!["read-label"]), &["drive0", "no tape loaded"]),
        (world.tape(args!["format"]), &["--label-text", "--any"]),
        // The library itself.
        (args!["vtl", "create", library], &["not empty"]),
        (args!["vtl", "list", plain], &["no tape library here", "vtl create"]),
        (args!["vtl", "cartridge", "export", library, "NOTHERE1", missing], &["NOTHERE1"]),
        (args!["vtl", "cartridge", "import", library, "NEW001L8", missing], &["missing"]),
        (args!["vtl", "cartridge", "add", library, "CAP001L8"], &["CAP001L8", "already"]),
        (args!["vtl", "cartridge", "add", library, "../../x"], &["bar code"]),
    ];
    let cartridges = library.join("cartridges");
    all_fail(&world, &[&store, &world.config, &plain, &cartridges], table);
    assert!(!missing.exists());
    for (arguments, word) in [
        (args!["vtl", "create", missing, "--capacity", "much"], "much"),
        (args!["vtl", "create", missing, "--generation", "lto3"], "lto8"),
        (world.tape(args!["restore", "no-uuid", "store"]), "no-uuid"),
    ] {
        let run = world.attempt(arguments);
        assert_eq!(run.code(), Some(2), "{run}");
        run.says(&[word]);
    }

    // A cartridge in a drive can't be taken from it by other ways.
    world.run(world.tape(args!["load-media", "CAP001L8"]));
    let out = world.disk("out");
    world.fails(args!["vtl", "cartridge", "export", library, "CAP001L8", out], &["drive"]);
    // Blank: there is no label to read. Labelled: it is not labelled over.
    world.fails(world.tape(args!["read-label"]), &["no label"]);
    world.fails(world.tape(args!["catalog"]), &["no label"]);
    // A robot finds a cartridge by its bar code, so the label must agree with it.
    let other = world.tape(args!["label", "--label-text", "CAP001L9"]);
    world.fails(other, &["bar code CAP001L8", "must agree"]);
    world.run(world.tape(args!["label", "--label-text", "CAP001L8"]));
    let before = picture(&[&cartridges]);
    // Known by its text; and to an instance that does not know it, not blank.
    world.fails(world.tape(args!["label", "--label-text", "CAP001L8"]), &["CAP001L8"]);
    let elsewhere = world.disk("another-state");
    let again = world.tape(args!["--state", elsewhere, "label", "--label-text", "CAP001L8"]);
    let run = world.fails(again, &["not empty"]);
    assert_eq!(picture(&[&cartridges]).len(), before.len(), "{run}");
    world.fails(world.tape(args!["label", "--label-text", "a/b"]), &["a/b"]);
    // Not blank: an import does not overwrite it unless forced.
    world.run(world.tape(args!["unload"]));
    world.run(args!["vtl", "cartridge", "export", library, "CAP001L8", out]);
    world.fails(
        args!["vtl", "cartridge", "import", library, "CAP001L8", out],
        &["not blank", "force"],
    );
    world.fails(args!["vtl", "cartridge", "export", library, "CAP001L8", out], &["not empty"]);
    world.run(args!["vtl", "cartridge", "import", library, "CAP001L8", out, "--force"]);
}

#[test]
fn a_job_without_cartridges_says_what_to_do() {
    let world = World::new();
    world.create_store("store");
    world.create_library("lib", 2);
    world.run(args!["tape", "pool", "create", "pool"]);
    world.run(args!["tape", "pool", "create", "other"]);
    write(world.disk("tree/file"), bytes(1, 30_000_000));
    let mut backup = args!["backup", source("root.pxar", &world.disk("tree"))];
    backup.extend(args!["--repository", "store", "--backup-id", "x", "--chunk-size", "256"]);
    world.run(backup);
    // Nothing has a label yet.
    let job = world.tape(args!["backup", "store", "pool"]);
    world.fails(job.clone(), &["pool", "no usable tape", "label"]);
    // What is there belongs to another pool.
    world.run(world.tape(args!["barcode-label", "--pool", "other"]));
    world.fails(job, &["pool", "no usable tape"]);
    // Two cartridges are too few: the job says so when they are full, and what it needs.
    let run =
        world.fails(world.tape(args!["backup", "store", "other"]), &["other", "no usable tape"]);
    let content = world.json(args!["tape", "media", "content"]);
    assert_eq!(content, serde_json::json!([]), "half a snapshot is listed\n{run}");
    // With more of them it goes on where it stopped.
    let library = world.fast("lib.vtl");
    for barcode in ["NEW001L8", "NEW002L8", "NEW003L8"] {
        world.run(args!["vtl", "cartridge", "add", library, barcode, "--capacity", CAPACITY]);
    }
    world.run(world.tape(args!["barcode-label", "--pool", "other"]));
    let report = world.json(world.tape(args!["backup", "store", "other"]));
    assert_eq!(report["snapshots-written"].as_array().map(Vec::len), Some(1), "{report}");
    let chunk_bytes = report["chunk-bytes"].as_u64().unwrap();
    assert!(chunk_bytes < 20_000_000, "what was on tape was written again: {report}");
    world.create_store("second");
    world.run(world.tape(args!["restore", media_set(&report), "second"]));
    world.run(args!["datastore", "verify", "second"]);
    let target = world.disk("restored");
    world.run(args!["restore", "host/x", "root.pxar", target, "--repository", "second"]);
    crate::listing::assert_same_trees(&world.disk("tree"), &target);
}

#[test]
fn a_cartridge_that_is_not_the_wanted_one_is_left_alone() {
    let rig = Rig::new();
    let report = rig.to_tape();
    let labels = rig.export_all(&rig.world.fast("exported"));
    let world = &rig.world;
    // A cartridge of the set comes back with another one's content (a swapped bar code).
    let mut import = args!["vtl", "cartridge", "import", rig.library, labels[1], "--force"];
    import.extend(args![world.fast("exported").join(&labels[0])]);
    world.run(import);
    world.create_store("second");
    let restore = world.tape(args!["restore", media_set(&report), "second"]);
    let run = world.attempt(restore);
    assert_ne!(run.code(), Some(0), "{run}");
    run.says(&[&labels[1], &labels[0]]);
    // Only whole snapshots are there.
    let verified = world.json(args!["datastore", "verify", "second", "--keyfile", rig.key()]);
    assert!(verified.as_array().is_some_and(|reports| reports.len() < 4), "{verified}");

    // Another machine's set under a bar code that this one knows as its own free cartridge.
    let other = World::new();
    other.create_library("lib", 1);
    other.run(args!["tape", "pool", "create", "pool"]);
    other.run(other.tape(args!["barcode-label", "--pool", "pool"]));
    other.run(other.tape(args!["unload"]));
    let mut import = args!["vtl", "cartridge", "import", other.fast("lib.vtl"), "CAP001L8"];
    import.extend(args![world.fast("exported").join(&labels[0]), "--force"]);
    other.run(import);
    let store = world.fast("source");
    let before = other.run(args!["vtl", "cartridge", "check", other.fast("lib.vtl"), "CAP001L8"]);
    let run = other.attempt(other.tape(args!["backup", store, "pool"]));
    assert_eq!(run.code(), Some(1), "{run}");
    run.says(&["CAP001L8"]);
    other.run(other.tape(args!["unload"]));
    let after = other.run(args!["vtl", "cartridge", "check", other.fast("lib.vtl"), "CAP001L8"]);
    assert_eq!(after.stdout(), before.stdout(), "the foreign cartridge was written on");
}

#[test]
fn a_drive_that_is_in_use_is_not_touched() {
    let world = World::new();
    world.create_library("lib", 1);
    world.run(world.tape(args!["load-media", "CAP001L8"]));
    // Another process holds the drive's lock the way a job does.
    let locks = world.state.join("tape/drive-lock");
    let files: Vec<PathBuf> =
        fs::read_dir(&locks).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "no lock in {}", locks.display());
    let held: Vec<_> = files
        .iter()
        .map(|path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap()
        })
        .collect();
    world.fails(world.tape(args!["read-label"]), &["drive0", "in use", "another process"]);
    drop(held);
    world.run(world.tape(args!["label", "--label-text", "CAP001L8"]));
}

#[test]
fn a_full_disk_leaves_no_snapshot_behind() {
    if !is_root() {
        note("only root can mount a small file system; a full disk is not tested");
        return;
    }
    let world = World::new();
    let mount = world.disk("small");
    fs::create_dir(&mount).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=8M,nr_inodes=200k", "tmpfs"])
        .arg(&mount)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        note("this root may not mount; a full disk is not tested");
        return;
    }
    let _unmount = Unmount(mount.clone());
    let store = mount.join("store");
    world.run(args!["datastore", "create", "small", store]);
    write(world.disk("fits/file"), bytes(1, 1_000_000));
    write(world.disk("large/file"), bytes(2, 30_000_000));
    let backup = |name: &str, time: &str| {
        let mut backup = args!["backup", source("root.pxar", &world.disk(name))];
        backup.extend(args!["--repository", "small", "--backup-id", "x", "--backup-time", time]);
        backup.extend(args!["--chunk-size", "256"]);
        backup
    };
    world.run(backup("fits", "1700000000"));
    let run = world.fails(backup("large", "1700000001"), &["No space left on device"]);
    let listed = world.json(args!["snapshot", "list", "--repository", "small"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}\n{run}");
    let shown = world.json(args!["datastore", "show", "small"]);
    assert_eq!(shown["unfinished"], 0, "{shown}");
    world.run(args!["datastore", "verify", "small", "--no-record"]);
    let target = world.disk("restored");
    world.run(args!["restore", "host/x", "root.pxar", target, "--repository", "small"]);
    crate::listing::assert_same_trees(&world.disk("fits"), &target);
    // A restore to a full disk fails too, and says so.
    let onto = args!["restore", "host/x", "root.pxar", mount.join("x"), "--repository", "small"];
    world.fails(onto, &["No space left on device"]);
}

/// Takes a mounted file system away at the end, however the test ends.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
