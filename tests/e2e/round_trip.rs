//! Files and images into a datastore and back.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::listing::{assert_same_entries, assert_same_trees, list};
use crate::tree::{bytes, one_of_everything, set_mtime, write};
use crate::world::{World, field_of_all, read, text};

/// A source argument.
pub fn source(name: &str, path: &Path) -> String {
    format!("{name}:{}", path.display())
}

#[test]
fn every_kind_of_entry_comes_back_as_it_was() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    one_of_everything(&tree);
    let before = list(&tree);

    let backup = args![
        "backup",
        source("root.pxar", &tree),
        "--repository",
        store,
        "--backup-id",
        "elsa",
        "--backup-time"
    ];
    let with_time = |time: &str| [backup.clone(), args![time]].concat();
    let first = world.json(with_time("2024-05-01T10:00:00Z"));
    assert_eq!(first["snapshot"], "host/elsa/2024-05-01T10:00:00Z");
    assert_eq!(first["skipped"], 0);
    assert_eq!(first["changed-files"], 0);
    assert_eq!(first["entries"].as_u64(), Some(before.len() as u64 - 1), "all but the root");
    assert!(
        first["chunks-stored"].as_u64() > Some(3),
        "the large file has several chunks: {first}"
    );
    assert_same_entries(&before, &list(&tree));

    // The second backup of the same tree stores nothing anew.
    let second = world.json(with_time("2024-05-02T10:00:00Z"));
    assert_eq!(second["chunks-stored"], 0, "{second}");
    assert_eq!(second["archive-bytes"], first["archive-bytes"]);

    let verified = world.json(args!["datastore", "verify", store]);
    let verified = verified.as_array().unwrap();
    assert_eq!(verified.len(), 2);
    assert!(verified.iter().all(|report| report["ok"] == true), "{verified:?}");

    // By its full name, and as the newest of its group.
    for (name, snapshot) in
        [("restored-1", "host/elsa/2024-05-01T10:00:00Z"), ("restored-2", "host/elsa")]
    {
        let target = world.disk(name);
        let run = world.run(args![
            "restore",
            snapshot,
            "root.pxar",
            target,
            "--repository",
            store,
            "--threads",
            "3"
        ]);
        assert_eq!(run.stdout(), "", "a restore into a folder prints no data\n{run}");
        assert_same_trees(&tree, &target);
    }
}

#[test]
fn what_changed_between_backups_is_what_each_snapshot_has() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    write(tree.join("stays"), bytes(1, 6_000_000));
    write(tree.join("grows"), bytes(2, 100_000));
    write(tree.join("vanishes"), "soon");
    write(tree.join("becomes-a-folder"), "file");
    let backup = |time: &str| {
        let source = source("root.pxar", &tree);
        let mut arguments = args!["backup", source, "--repository", store, "--backup-id", "x"];
        arguments.extend(args!["--backup-time", time, "--chunk-size", "256"]);
        world.json(arguments)
    };
    let first = backup("1700000000");
    let before = list(&tree);

    write(tree.join("grows"), bytes(2, 200_000));
    fs::remove_file(tree.join("vanishes")).unwrap();
    fs::remove_file(tree.join("becomes-a-folder")).unwrap();
    write(tree.join("becomes-a-folder/inside"), "new");
    set_mtime(&tree.join("stays"), 5, 5);
    let second = backup("1700000100");
    let after = list(&tree);

    assert!(first["chunks-stored"].as_u64() > Some(10), "{first}");
    // Chunks of the snapshot before are not even looked at again.
    assert!(second["chunks-stored"].as_u64() < Some(6), "{second}");
    assert!(second["stored-bytes"].as_u64() < Some(2_000_000), "{second}");
    for (time, wanted) in [("2023-11-14T22:13:20Z", before), ("2023-11-14T22:15:00Z", after)] {
        let target = world.disk(time);
        let snapshot = format!("host/x/{time}");
        world.run(args!["restore", snapshot, "root.pxar", target, "--repository", store]);
        assert_same_entries(&wanted, &list(&target));
    }
}

/// Looks for text in every file below a folder.
fn contains(folder: &Path, needle: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            contains(&entry.path(), needle)
        } else {
            read(entry.path()).windows(needle.len()).any(|window| window == needle)
        }
    })
}

#[test]
fn encrypted_and_signed_snapshots_need_their_key() {
    const SECRET: &[u8] = b"nobody may ever read this sentence";
    let mut world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    write(tree.join("secret"), [SECRET, &bytes(3, 300_000)].concat());
    write(tree.join("secret-file-name"), bytes(4, 5_000_000));
    let (image, config) = (world.disk("disk.img"), world.disk("vm.conf"));
    write(&image, [SECRET, &bytes(5, 4_500_000)].concat());
    write(&config, SECRET);

    let (open_key, locked_key) = (world.disk("open.json"), world.disk("locked.json"));
    let other_key = world.disk("other.json");
    world.run(args!["key", "create", open_key, "--kdf", "none"]);
    world.run(args!["key", "create", other_key, "--kdf", "none"]);
    world.fails(args!["key", "create", locked_key], &["CAPSTAN_ENCRYPTION_PASSWORD"]);
    world.set_env("CAPSTAN_ENCRYPTION_PASSWORD", "correct horse");
    // A derivation that is quick enough for a test; the default one is used by `key` tests.
    world.run(args!["key", "create", locked_key, "--kdf", "pbkdf2", "--hint", "a horse"]);
    let shown = world.json(args!["key", "show", locked_key]);
    assert_eq!((&shown["kdf"], &shown["hint"]), (&json!("pbkdf2"), &json!("a horse")));
    let locked_print = text(&shown["fingerprint"]);
    let open_print = text(&world.json(args!["key", "show", open_key])["fingerprint"]);

    let backup = |id: &str, options: Vec<std::ffi::OsString>| {
        let mut arguments = args!["backup", source("root.pxar", &tree)];
        arguments.extend(args![source("disk.img", &image), source("vm.conf", &config)]);
        arguments.extend(args!["--repository", store, "--backup-id", id]);
        arguments.extend(options);
        world.json(arguments)
    };
    backup("open", args!["--keyfile", open_key]);
    backup("locked", args!["--keyfile", locked_key, "--crypt-mode", "encrypt"]);
    assert!(!contains(&store, SECRET), "a secret is readable in the datastore");
    assert!(!contains(&store, b"secret-file-name"), "a file name is readable in the datastore");
    // A second encrypted backup with the same key finds its chunks.
    let again =
        backup("open", args!["--keyfile", open_key, "--backup-time", "2100-01-01T00:00:00Z"]);
    assert_eq!(again["chunks-stored"], 0, "{again}");
    backup("signed", args!["--keyfile", open_key, "--crypt-mode", "sign-only"]);
    backup("plain", args!["--crypt-mode", "none"]);

    let expected = [
        ("open", "encrypt", Some(&open_print)),
        ("locked", "encrypt", Some(&locked_print)),
        ("signed", "sign-only", Some(&open_print)),
        ("plain", "none", None),
    ];
    for (id, mode, print) in expected {
        let files =
            world.json(args!["snapshot", "files", format!("host/{id}"), "--repository", store]);
        let mut modes = field_of_all(&files, "crypt-mode");
        let of_manifest = if mode == "none" { "none" } else { "sign-only" };
        assert_eq!(modes.pop().as_deref(), Some(of_manifest), "{files}");
        let modes: BTreeSet<String> = modes.into_iter().collect();
        assert_eq!(modes, BTreeSet::from([mode.to_owned()]), "{files}");
        let listed =
            world.json(args!["snapshot", "list", format!("host/{id}"), "--repository", store]);
        assert_eq!(listed[0]["fingerprint"].as_str().map(str::to_owned).as_ref(), print);
    }

    for (id, key) in [
        ("open", Some(&open_key)),
        ("locked", Some(&locked_key)),
        ("signed", None),
        ("plain", None),
    ] {
        let restore = |archive: &str, target: &Path| {
            let mut arguments = args!["restore", format!("host/{id}"), archive, target];
            arguments.extend(args!["--repository", store]);
            if let Some(key) = key {
                arguments.extend(args!["--keyfile", key]);
            }
            world.run(arguments)
        };
        let target = world.disk(format!("restored-{id}"));
        restore("root.pxar", &target);
        assert_same_trees(&tree, &target);
        let file = world.disk(format!("image-{id}"));
        restore("disk.img", &file);
        assert!(read(&file) == read(&image), "the image of {id} differs");
        assert_eq!(restore("vm.conf", Path::new("-")).output.stdout, SECRET);
    }

    let nowhere = world.disk("nowhere");
    let restore = args!["restore", "host/open", "root.pxar", nowhere, "--repository", store];
    world.fails(restore.clone(), &["encrypted", "--keyfile"]);
    let with = |key: &Path| [restore.clone(), args!["--keyfile", key]].concat();
    world.fails(with(&other_key), &["was made with key", open_print.as_str()]);
    // Signed snapshots are held against the key that is given.
    let signed = args!["restore", "host/signed", "vm.conf", "-", "--repository", store];
    world.run([signed.clone(), args!["--keyfile", open_key]].concat());
    world.fails([signed, args!["--keyfile", other_key]].concat(), &["was made with key"]);

    let keys = args!["--keyfile", open_key, "--keyfile", locked_key];
    let verified = world.json([args!["datastore", "verify", store], keys].concat());
    assert_eq!(verified.as_array().unwrap().len(), 5);
    world.run(args!["datastore", "verify", store]);

    world.set_env("CAPSTAN_ENCRYPTION_PASSWORD", "wrong horse");
    let mut locked = args!["restore", "host/locked", "root.pxar", nowhere, "--repository", store];
    locked.extend(args!["--keyfile", locked_key]);
    world.fails(locked.clone(), &["wrong passphrase", "a horse"]);
    world.unset_env("CAPSTAN_ENCRYPTION_PASSWORD");
    world.fails(locked, &["locked", "CAPSTAN_ENCRYPTION_PASSWORD"]);
    assert!(!nowhere.exists(), "a restore that failed left its folder");
}

#[test]
fn a_key_with_the_default_derivation_opens_again() {
    let mut world = World::new();
    let key = world.disk("key.json");
    world.set_env("CAPSTAN_ENCRYPTION_PASSWORD", "päss wörd");
    world.run(args!["key", "create", key]);
    assert_eq!(world.json(args!["key", "show", key])["kdf"], "scrypt");
    // Never overwritten.
    let before = read(&key);
    world.fails(args!["key", "create", key], &["exists"]);
    assert_eq!(read(&key), before);
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "others may not read a key");
}

#[test]
fn images_and_small_files_come_back_to_the_byte() {
    let world = World::new();
    let store = world.create_store("store");
    // Content, zeros over a chunk and a half, content, and a last chunk of 12345 bytes.
    let mut image = bytes(21, 4 << 20);
    image.extend(vec![0; 6 << 20]);
    image.extend(bytes(22, (2 << 20) + 12345));
    let (disk, tiny, config, log) = (
        world.disk("disk.img"),
        world.disk("tiny.img"),
        world.disk("qemu-server.conf"),
        world.disk("empty.log"),
    );
    write(&disk, &image);
    write(&tiny, b"!");
    write(&config, "memory: 2048\nonboot: 1\n");
    write(&log, "");
    let mut backup = args!["backup", source("drive-scsi0.img", &disk), source("tiny.img", &tiny)];
    backup.extend(args![source("qemu-server.conf", &config), source("notes.log", &log)]);
    backup.extend(args!["--repository", store, "--backup-type", "vm", "--backup-id", "100"]);
    let report = world.json([backup.clone(), args!["--backup-time", "1700000000"]].concat());
    assert_eq!(report["snapshot"], "vm/100/2023-11-14T22:13:20Z");
    // Four chunks of the large one, of which one is all zeros, and the tiny one.
    let chunks = |report: &Value, field: &str| report[field].as_u64().unwrap();
    assert_eq!(
        chunks(&report, "chunks-stored") + chunks(&report, "chunks-duplicate"),
        5,
        "{report}"
    );

    for (archive, wanted) in [
        ("drive-scsi0.img", &image),
        ("tiny.img", &b"!".to_vec()),
        ("qemu-server.conf", &read(&config)),
        ("notes.log", &Vec::new()),
    ] {
        let target = world.disk(format!("restored-{archive}"));
        world.run(args!["restore", "vm/100", archive, target, "--repository", store]);
        assert!(&read(&target) == wanted, "{archive} differs in a file");
        let run = world.run(args!["restore", "vm/100", archive, "-", "--repository", store]);
        assert!(&run.output.stdout == wanted, "{archive} differs on the standard output");
    }
    // Zeros take no space in a restored image.
    use std::os::unix::fs::MetadataExt;
    let blocks = fs::metadata(world.disk("restored-drive-scsi0.img")).unwrap().blocks();
    assert!(blocks * 512 < image.len() as u64, "the zeros were written out");

    // A change of three bytes is one new chunk.
    image[1000..1003].copy_from_slice(b"new");
    write(&disk, &image);
    let report = world.json([backup, args!["--backup-time", "1700000001"]].concat());
    assert_eq!(report["chunks-stored"], 1, "{report}");
    let run = world.run(args!["restore", "vm/100", "drive-scsi0.img", "-", "--repository", store]);
    assert!(run.output.stdout == image, "the changed image differs");

    let files = world.json(args!["snapshot", "files", "vm/100", "--repository", store]);
    let names = field_of_all(&files, "filename");
    assert_eq!(
        names,
        [
            "drive-scsi0.img.fidx",
            "tiny.img.fidx",
            "qemu-server.conf.blob",
            "notes.log.blob",
            "index.json.blob"
        ]
    );
    world.run(args!["datastore", "verify", store]);
}

#[test]
fn namespaces_keep_groups_of_one_name_apart() {
    let world = World::new();
    let store = world.create_store("store");
    let spaces = ["", "site", "site/servers/old"];
    let create =
        |arguments| [args!["namespace", "create", "--repository", store], arguments].concat();
    world.run(create(args!["site"]));
    world.fails(create(args!["site"]), &["site", "exists already"]);
    world.fails(create(args!["site/servers/old"]), &["site/servers", "does not exist"]);
    world.run(create(args!["site/servers/old", "--parents"]));
    let listed = world.json(args!["namespace", "list", "--repository", store]);
    assert_eq!(field_of_all(&listed, "ns"), ["", "site", "site/servers", "site/servers/old"]);
    for (number, ns) in spaces.iter().enumerate() {
        let tree = world.disk(format!("tree{number}"));
        write(tree.join("which"), ns);
        let mut backup = args!["backup", source("root.pxar", &tree), "--repository", store];
        backup.extend(args!["--backup-id", "elsa", "--ns", ns, "--backup-time", "1700000000"]);
        assert_eq!(world.json(backup)["ns"], *ns);
    }
    for (number, ns) in spaces.iter().enumerate() {
        let listed = world.json(args!["snapshot", "list", "--repository", store, "--ns", ns]);
        assert_eq!(field_of_all(&listed, "backup-id"), ["elsa"]);
        let target = world.disk(format!("restored{number}"));
        let mut restore = args!["restore", "host/elsa", "root.pxar", target];
        restore.extend(args!["--repository", store, "--ns", ns]);
        world.run(restore);
        assert_same_trees(&world.disk(format!("tree{number}")), &target);
    }
    let listed =
        world.json(args!["snapshot", "list", "--repository", store, "--ns", "site/servers"]);
    assert_eq!(listed, json!([]));
    let shown = world.json(args!["datastore", "show", store]);
    // The root, site, site/servers and site/servers/old.
    assert_eq!((&shown["namespaces"], &shown["snapshots"]), (&json!(4), &json!(3)));
    let verified = world.json(args!["datastore", "verify", store, "--ns", "site"]);
    let mut verified = field_of_all(&verified, "ns");
    verified.sort();
    assert_eq!(verified, ["site", "site/servers/old"]);
}

#[test]
fn excluded_files_stay_out_and_patterns_choose() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    for name in [
        "keep.txt",
        "drop.o",
        "cache/one",
        "cache/two",
        "sub/cache/kept-because-anchored",
        "sub/drop.o",
        "sub/special.o",
        "sub/ruled/.pxarexclude",
        "sub/ruled/in",
        "sub/ruled/out",
        "etc/passwd",
        "etc/deep/er/conf",
    ] {
        write(tree.join(name), name);
    }
    write(tree.join("sub/ruled/.pxarexclude"), "# a comment\nout\n");
    let mut backup = args!["backup", source("root.pxar", &tree), "--repository", store];
    backup.extend(args!["--backup-id", "x", "--exclude", "*.o", "--exclude", "/cache/"]);
    backup.extend(args!["--exclude", "!special.o"]);
    world.run(backup);

    let files = |folder: &Path| -> BTreeSet<String> {
        list(folder)
            .iter()
            .filter(|entry| entry.kind == crate::listing::Kind::File)
            .map(|entry| entry.path.to_string_lossy().into_owned())
            .collect()
    };
    let all = world.disk("all");
    world.run(args!["restore", "host/x", "root.pxar", all, "--repository", store]);
    let restored = files(&all);
    let wanted = [
        "keep.txt",
        "sub/cache/kept-because-anchored",
        "sub/special.o",
        "sub/ruled/in",
        "sub/ruled/.pxarexclude",
        "etc/passwd",
        "etc/deep/er/conf",
    ];
    for name in wanted {
        assert!(restored.contains(name), "{name} is missing in {restored:?}");
    }
    for name in ["drop.o", "sub/drop.o", "cache/one", "cache/two", "sub/ruled/out"] {
        assert!(!restored.contains(name), "{name} should have been left out of {restored:?}");
    }

    let chosen = world.disk("chosen");
    let mut restore = args!["restore", "host/x", "root.pxar", chosen, "--repository", store];
    restore.extend(args!["--pattern", "/etc/**", "--pattern", "!passwd"]);
    world.run(restore);
    assert_eq!(files(&chosen), BTreeSet::from(["etc/deep/er/conf".to_owned()]));
}

#[test]
fn archives_of_one_snapshot_share_one_catalog() {
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    let store = world.create_store("store");
    let (first, second) = (world.disk("first"), world.disk("second"));
    write(first.join("etc/hosts"), "127.0.0.1 localhost\n");
    write(second.join("data"), "12345");
    std::os::unix::fs::symlink("data", second.join("link")).unwrap();
    set_mtime(&first.join("etc/hosts"), 1_600_000_000, 0);
    set_mtime(&second.join("data"), 1_600_000_001, 999);
    let mut backup = args!["backup", source("etc.pxar", &first), source("home.pxar", &second)];
    backup.extend(args!["--repository", store, "--backup-id", "x", "--backup-type", "ct"]);
    world.run(backup);
    let files = world.json(args!["snapshot", "files", "ct/x", "--repository", store]);
    let mut names = field_of_all(&files, "filename");
    names.sort();
    assert_eq!(names, ["catalog.pcat1.didx", "etc.pxar.didx", "home.pxar.didx", "index.json.blob"]);

    let dump = world.run(args!["catalog", "dump", "ct/x", "--repository", store]);
    let wanted = r#"d "./etc.pxar.didx"
d "./etc.pxar.didx/etc"
f "./etc.pxar.didx/etc/hosts" 20 2020-09-13T12:26:40Z
d "./home.pxar.didx"
f "./home.pxar.didx/data" 5 2020-09-13T12:26:41Z
l "./home.pxar.didx/link"
"#;
    assert_eq!(dump.stdout(), wanted, "{dump}");

    for (archive, tree) in [("etc.pxar", &first), ("home.pxar", &second)] {
        let target = world.disk(format!("restored-{archive}"));
        world.run(args!["restore", "ct/x", archive, target, "--repository", store]);
        assert_same_trees(tree, &target);
    }
}

/// The field names are the reference's: scripts that read its output read ours.
#[test]
fn listings_have_the_names_that_scripts_know() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    write(tree.join("file"), "content");
    let mut backup = args!["backup", source("root.pxar", &tree), "--repository", "store"];
    backup.extend(args!["--backup-id", "x", "--backup-time", "1700000000"]);
    backup.extend(args!["--owner", "tester@pbs"]);
    let run = world.run(backup);
    assert_eq!(run.stdout(), "host/x/2023-11-14T22:13:20Z\n", "what a script wants\n{run}");

    let keys = |value: &Value| -> BTreeSet<String> {
        value.as_object().expect("an object").keys().cloned().collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let snapshots = world.json(args!["snapshot", "list", "--repository", "store"]);
    let snapshot = &snapshots[0];
    let wanted: BTreeSet<String> =
        set(&["backup-type", "backup-id", "backup-time", "files", "size", "owner", "protected"]);
    assert_eq!(keys(snapshot), wanted);
    assert_eq!(snapshot["backup-time"], 1_700_000_000);
    assert_eq!(snapshot["owner"], "tester@pbs");
    assert_eq!(snapshot["protected"], false);
    let names = field_of_all(&snapshot["files"], "filename");
    assert!(names.contains(&"index.json.blob".to_owned()), "{names:?}");

    let files = world.json(args!["snapshot", "files", "host/x", "--repository", store]);
    assert_eq!(keys(&files[0]), set(&["crypt-mode", "csum", "filename", "size"]));

    // A verification is recorded where the reference looks for it.
    world.run(args!["datastore", "verify", "store", "--no-record"]);
    let list = args!["snapshot", "list", "--repository", "store"];
    assert!(world.json(list.clone())[0].get("verification").is_none());
    world.run(args!["datastore", "verify", "store"]);
    let verification = &world.json(list.clone())[0]["verification"];
    assert_eq!(verification["state"], "ok");
    assert!(text(&verification["upid"]).starts_with("UPID:"), "{verification}");

    let stores = world.json(args!["datastore", "list"]);
    assert_eq!(stores, json!([{"name": "store", "path": store}]));
    let shown = world.json(args!["datastore", "show", "store"]);
    for field in ["name", "path", "snapshots", "unfinished", "total", "used", "avail"] {
        assert!(shown.get(field).is_some(), "{field} is missing in {shown}");
    }
    // The table for people has the same facts, and the JSON for them is the same value.
    let table = world.run(list.clone()).stdout();
    assert!(table.contains("host/x/2023-11-14T22:13:20Z") && table.contains("tester@pbs"));
    let pretty = world.run([list.clone(), args!["--output-format", "json-pretty"]].concat());
    let pretty: Value = serde_json::from_slice(&pretty.output.stdout).unwrap();
    assert_eq!(pretty, world.json(list));
}

/// The stream on the standard output is the archive itself, whole.
#[test]
fn an_archive_goes_to_the_standard_output() {
    let world = World::new();
    let store = world.create_store("store");
    let tree = world.disk("tree");
    one_of_everything(&tree);
    let mut backup = args!["backup", source("root.pxar", &tree), "--repository", store];
    backup.extend(args!["--backup-id", "x"]);
    let report = world.json(backup);
    let run = world.run(args!["restore", "host/x", "root.pxar", "-", "--repository", store]);
    let files = world.json(args!["snapshot", "files", "host/x", "--repository", store]);
    let size = files[0]["size"].as_u64().unwrap();
    assert_eq!(run.output.stdout.len() as u64, size, "{report}");
    // The index carries no digest of the stream, but the stream begins with the item of the root.
    assert_eq!(run.output.stdout[..8], 0xd5956474e588acef_u64.to_le_bytes());
}
