//! Data written by the reference implementation, read through the command line.
//!
//! The data lies in the folder that `CAPSTAN_GOLDEN` names. Tests return at once if the variable
//! is not set and fail if it is set and something is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::listing::{Kind, list, sha256, sha256_of_file};
use crate::tape_world::media_set;
use crate::world::{World, external, is_root, note, read, read_text, text};

const TREE_1: &str = "host/tree/2024-05-01T10:00:00Z";

pub fn golden() -> Option<PathBuf> {
    external("CAPSTAN_GOLDEN")
}

fn json_lines(path: &Path) -> Vec<Value> {
    read_text(path).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            // Content only: the data may be read-only, the copy must not be.
            fs::write(&target, read(entry.path())).unwrap();
        }
    }
}

/// A copy of the reference's datastore, with the empty folders that were left out of it, attached
/// under the name `golden`.
pub fn attach_store(world: &World, golden: &Path) -> PathBuf {
    let store = world.fast("golden-store");
    copy_tree(&golden.join("datastore"), &store);
    for number in 0..=0xffff {
        let folder = store.join(".chunks").join(format!("{number:04x}"));
        if let Err(error) = fs::create_dir(&folder) {
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{}", folder.display());
        }
    }
    fs::write(store.join(".lock"), "").unwrap();
    world.run(args!["datastore", "create", "golden", store, "--reuse-datastore"]);
    store
}

/// The snapshots that a listing of the reference names, with the checksum of each of their files.
fn wanted_snapshots(file: &Path) -> BTreeMap<String, BTreeMap<String, String>> {
    json_lines(file)
        .iter()
        .filter(|snapshot| snapshot.get("snapshot").is_some())
        .map(|snapshot| {
            let files = snapshot["files"].as_array().unwrap().iter();
            let files = files.map(|f| (text(&f["name"]), text(&f["csum"]))).collect();
            (format!("{}:{}", text(&snapshot["ns"]), text(&snapshot["snapshot"])), files)
        })
        .collect()
}

/// The same, of a datastore of ours.
fn found_snapshots(world: &World, store: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    let verified = world.json(args!["datastore", "verify", store, "--no-record"]);
    for report in verified.as_array().unwrap() {
        let (ns, snapshot) = (text(&report["ns"]), text(&report["snapshot"]));
        let files =
            world.json(args!["snapshot", "files", snapshot, "--ns", ns, "--repository", store]);
        let files = files.as_array().unwrap().iter();
        // The manifest has none for itself, nor for the log.
        let files = files.filter(|f| f.get("csum").is_some());
        let files = files.map(|f| (text(&f["filename"]), text(&f["csum"]))).collect();
        found.insert(format!("{ns}:{snapshot}"), files);
    }
    found
}

fn verify_with_key(world: &World, golden: &Path, store: &str) -> usize {
    let key = golden.join("keys/enc-none.json");
    let verified = world.json(args!["datastore", "verify", store, "--keyfile", key]);
    let verified = verified.as_array().unwrap();
    assert!(verified.iter().all(|report| report["ok"] == true), "{verified:?}");
    verified.len()
}

#[test]
fn the_reference_datastore_is_read_whole() {
    let Some(golden) = golden() else { return };
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    attach_store(&world, &golden);
    let wanted = wanted_snapshots(&golden.join("datastore.read.jsonl"));
    assert!(wanted.len() >= 10, "{wanted:?}");
    assert_eq!(found_snapshots(&world, "golden"), wanted);
    assert_eq!(verify_with_key(&world, &golden, "golden"), wanted.len());

    // Notes, protection and owners are shown.
    let listed = world.json(args!["snapshot", "list", "host/tree", "--repository", "golden"]);
    let first = listed.as_array().unwrap().iter().find(|s| s["backup-time"] == 1_714_557_600);
    let first = first.expect("the first snapshot of host/tree");
    assert_eq!(first["protected"], true);
    assert!(first.get("comment").is_some(), "the notes are missing: {first}");
    let inner = world.json(args!["snapshot", "list", "--ns", "sub", "--repository", "golden"]);
    assert_eq!(inner[0]["owner"], "tester@pbs");

    let dump = world.run(args!["catalog", "dump", TREE_1, "--repository", "golden"]);
    assert_eq!(dump.stdout(), read_text(golden.join("restore/client-catalog-dump.txt")));

    restore_images_and_files(&world, &golden);
    restore_what_is_encrypted(&world, &golden);
    // Ours goes on where the reference's stopped.
    go_on_with_a_group(&world, &golden);
}

fn to_stdout(world: &World, snapshot: &str, archive: &str, key: Option<&Path>) -> Vec<u8> {
    let mut restore = args!["restore", snapshot, archive, "-", "--repository", "golden"];
    if let Some(key) = key {
        restore.extend(args!["--keyfile", key]);
    }
    world.run(restore).output.stdout
}

fn restore_images_and_files(world: &World, golden: &Path) {
    let sums = read_text(golden.join("restore/scsi0-v2.sha256"));
    let sum_of = |name: &str| {
        let line = sums.lines().find(|line| line.ends_with(name)).expect(name);
        line.split_whitespace().next().unwrap().to_owned()
    };
    let image = |time: &str, archive: &str| {
        let target = world.disk(format!("image-{time}-{archive}"));
        let mut restore = args!["restore", format!("vm/100/{time}"), archive, target];
        restore.extend(args!["--repository", "golden"]);
        world.run(restore);
        sha256_of_file(&target)
    };
    assert_eq!(image("2024-05-01T11:00:00Z", "drive-scsi0.img"), sum_of(" scsi0.img"));
    assert_eq!(image("2024-05-02T11:00:00Z", "drive-scsi0.img"), sum_of("scsi0-v2.img"));
    let small = to_stdout(world, "vm/101", "drive-virtio1.img", None);
    assert!(small == read(golden.join("restore/small.img")), "small.img differs");
    let small_files =
        [(TREE_1, "text.conf", "text.conf"), ("vm/100", "qemu-server.conf", "qemu-server.conf")];
    for (snapshot, archive, wanted) in small_files {
        let content = to_stdout(world, snapshot, archive, None);
        assert!(content == read(golden.join("restore").join(wanted)), "{archive} differs");
    }
}

fn restore_what_is_encrypted(world: &World, golden: &Path) {
    let key = golden.join("keys/enc-none.json");
    let snapshot = "host/enc/2024-05-01T12:00:00Z";
    let secret = to_stdout(world, snapshot, "secret.conf", Some(&key));
    assert!(secret == read(golden.join("restore/text.conf")), "secret.conf differs");
    let image = to_stdout(world, snapshot, "disk.img", Some(&key));
    assert!(image == read(golden.join("restore/small.img")), "disk.img differs");
    if is_root() {
        let target = world.disk("encrypted");
        let mut restore = args!["restore", snapshot, "root.pxar", target, "--keyfile", key];
        restore.extend(args!["--repository", "golden"]);
        world.run(restore);
        assert!(list(&target).len() > 1, "nothing was restored");
    }
    world.fails(
        args!["restore", snapshot, "disk.img", "-", "--repository", "golden"],
        &["encrypted", "--keyfile"],
    );
    let other = golden.join("keys/enc-scrypt.json");
    let mut restore = args!["restore", snapshot, "disk.img", "-", "--repository", "golden"];
    restore.extend(args!["--keyfile", other]);
    // That it is another key shows before anybody is asked for its passphrase.
    world.fails(restore, &["was made with key", "the given key"]);
}

fn go_on_with_a_group(world: &World, golden: &Path) {
    let image = golden.join("restore/small.img");
    let mut backup = args!["backup", format!("drive-virtio1.img:{}", image.display())];
    backup.extend(args!["--repository", "golden", "--backup-type", "vm", "--backup-id", "101"]);
    backup.extend(args!["--owner", "root@pam"]);
    let report = world.json(backup);
    assert_eq!(report["chunks-stored"], 0, "the reference's chunk is used: {report}");
    assert!(to_stdout(world, "vm/101", "drive-virtio1.img", None) == read(image));
}

#[test]
fn the_reference_keys_open_with_their_passphrase() {
    let Some(golden) = golden() else { return };
    let mut world = World::new();
    for name in ["enc-none", "enc-scrypt", "enc-pbkdf2"] {
        let info = read_text(golden.join(format!("keys/{name}.keyinfo.txt")));
        let wanted = info.lines().next().unwrap().split_whitespace().nth(2).unwrap();
        let shown = world.json(args!["key", "show", golden.join(format!("keys/{name}.json"))]);
        let found = text(&shown["fingerprint"]);
        assert!(found.starts_with(wanted), "{name}: {found} is not {wanted}");
    }
    // That a passphrase opens them is shown by signing with them.
    world.set_env("CAPSTAN_ENCRYPTION_PASSWORD", "golden-password");
    world.create_store("store");
    let file = world.disk("x.conf");
    fs::write(&file, "x").unwrap();
    for name in ["enc-scrypt", "enc-pbkdf2"] {
        let key = golden.join(format!("keys/{name}.json"));
        let mut backup = args!["backup", format!("x.conf:{}", file.display())];
        backup.extend(args!["--repository", "store", "--backup-id", name, "--keyfile", key]);
        world.run(backup);
        let group = format!("host/{name}");
        let mut restore = args!["restore", group, "x.conf", "-", "--repository", "store"];
        restore.extend(args!["--keyfile", key]);
        assert_eq!(world.run(restore).stdout(), "x");
    }
}

/// Reads a POSIX access control list as the kernel stores it: version 2, then tag, permissions and
/// id of each entry.
fn acl_entries(value: &[u8]) -> Vec<(u16, u16, u32)> {
    assert_eq!(value[..4], 2_u32.to_le_bytes());
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |sum, b| sum << 8 | u32::from(*b));
    value[4..]
        .chunks_exact(8)
        .map(|e| (number(&e[..2]) as u16, number(&e[2..4]) as u16, number(&e[4..8])))
        .collect()
}

/// An access control list in the words of the golden listing.
fn acl_text(access: Option<&Vec<u8>>, default: Option<&Vec<u8>>) -> Option<String> {
    const USER_OBJ: u16 = 0x01;
    const USER: u16 = 0x02;
    const GROUP_OBJ: u16 = 0x04;
    const GROUP: u16 = 0x08;
    const MASK: u16 = 0x10;
    const OTHER: u16 = 0x20;
    let access = access.map(|value| acl_entries(value)).unwrap_or_default();
    let default = default.map(|value| acl_entries(value)).unwrap_or_default();
    if access.is_empty() && default.is_empty() {
        return None;
    }
    let named = |entries: &[(u16, u16, u32)], tag: u16, kind: &str, id: &str| -> String {
        let entries: Vec<String> = entries
            .iter()
            .filter(|entry| entry.0 == tag)
            .map(|(_, perm, number)| {
                format!("{kind} {{ {id}: {number}, permissions: Permissions({perm}) }}")
            })
            .collect();
        entries.join(", ")
    };
    let one = |entries: &[(u16, u16, u32)], tag: u16| -> u64 {
        entries.iter().find(|e| e.0 == tag).map_or(u64::MAX, |e| u64::from(e.1))
    };
    let group_obj = match one(&access, GROUP_OBJ) {
        u64::MAX => "None".to_owned(),
        perm => format!("Some(GroupObject {{ permissions: Permissions({perm}) }})"),
    };
    let default_text = if default.is_empty() {
        "None".to_owned()
    } else {
        format!(
            "Some(Default {{ user_obj_permissions: Permissions({}), group_obj_permissions: \
             Permissions({}), other_permissions: Permissions({}), mask_permissions: \
             Permissions({}) }})",
            one(&default, USER_OBJ),
            one(&default, GROUP_OBJ),
            one(&default, OTHER),
            one(&default, MASK)
        )
    };
    Some(format!(
        "Acl {{ users: [{}], groups: [{}], group_obj: {group_obj}, default: {default_text}, \
         default_users: [{}], default_groups: [{}] }}",
        named(&access, USER, "User", "uid"),
        named(&access, GROUP, "Group", "gid"),
        named(&default, USER, "User", "uid"),
        named(&default, GROUP, "Group", "gid"),
    ))
}

/// The golden listing's entry of what a restored one must be, without what only the archive has.
fn comparable(wanted: &Value) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = wanted
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !["flags", "path", "offset"].contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    if let Some(xattrs) = wanted["xattrs"].as_array() {
        let sorted: BTreeSet<String> = xattrs.iter().map(Value::to_string).collect();
        fields.insert("xattrs".into(), format!("{sorted:?}"));
    }
    fields
}

#[test]
fn a_tree_of_the_reference_is_restored_with_all_its_metadata() {
    let Some(golden) = golden() else { return };
    if !is_root() {
        note("only root can restore owners and devices; the golden tree is not compared");
        return;
    }
    let world = World::new();
    attach_store(&world, &golden);
    let target = world.disk("tree");
    world.run(args!["restore", TREE_1, "root.pxar", target, "--repository", "golden"]);
    // The archive on the standard output is the reference's, to the byte.
    let stream = to_stdout(&world, TREE_1, "root.pxar", None);
    let unpacked = Command::new("gzip")
        .args(["-dc"])
        .arg(golden.join("pxar/tree-1.pxar.gz"))
        .output()
        .expect("gzip is there");
    assert!(unpacked.status.success() && stream == unpacked.stdout, "the archive differs");

    let found: BTreeMap<Vec<u8>, _> = list(&target)
        .into_iter()
        .map(|entry| ([b"/", entry.path.as_os_str().as_bytes()].concat(), entry))
        .collect();
    let entries = json_lines(&golden.join("pxar/tree-1.entries.jsonl"));
    assert!(entries.len() > 100, "the listing is short: {}", entries.len());
    let mut seen = BTreeSet::new();
    for wanted in &entries {
        let path = hex::decode(text(&wanted["path-hex"])).unwrap();
        let shown = String::from_utf8_lossy(&path).into_owned();
        let entry = found.get(&path).unwrap_or_else(|| panic!("{shown} was not restored"));
        seen.insert(path.clone());
        if wanted["kind"] == "hardlink" {
            // The listing has the archive's path of the first name.
            let first = found[&[b"/", text(&wanted["target"]).as_bytes()].concat()].clone();
            assert_eq!(entry.first_name, first.first_name, "{shown} is a file of its own");
            continue;
        }
        let kind = match entry.kind {
            Kind::Folder => "dir",
            Kind::File => "file",
            Kind::Link => "symlink",
            Kind::Fifo => "fifo",
            Kind::Socket => "socket",
            Kind::Device => "device",
        };
        let mut fields = BTreeMap::from([
            ("path-hex".to_owned(), hex::encode(&path)),
            ("kind".to_owned(), kind.to_owned()),
            ("mode".to_owned(), format!("{:o}", entry.mode)),
            ("uid".to_owned(), entry.uid.to_string()),
            ("gid".to_owned(), entry.gid.to_string()),
            ("mtime".to_owned(), format!("[{},{}]", entry.mtime.0, entry.mtime.1)),
        ]);
        match entry.kind {
            Kind::File => {
                fields.insert("size".into(), entry.size.to_string());
                fields.insert("sha256".into(), entry.sha256.clone());
            }
            Kind::Link => {
                let target = String::from_utf8_lossy(&entry.target).into_owned();
                fields.insert("target".into(), target);
            }
            Kind::Device => {
                fields.insert("major".into(), nix::sys::stat::major(entry.device).to_string());
                fields.insert("minor".into(), nix::sys::stat::minor(entry.device).to_string());
            }
            _ => {}
        }
        let attribute = |name: &str| entry.xattrs.get(name.as_bytes());
        let acl =
            acl_text(attribute("system.posix_acl_access"), attribute("system.posix_acl_default"));
        if let Some(acl) = acl {
            fields.insert("acl".into(), acl);
        }
        if let Some(capability) = attribute("security.capability") {
            fields.insert("fcaps".into(), hex::encode(capability));
        }
        let plain: BTreeSet<String> = entry
            .xattrs
            .iter()
            .filter(|(name, _)| name.starts_with(b"user.") || name.starts_with(b"trusted."))
            .map(|(name, value)| {
                serde_json::json!([String::from_utf8_lossy(name), hex::encode(value)]).to_string()
            })
            .collect();
        if !plain.is_empty() {
            fields.insert("xattrs".into(), format!("{plain:?}"));
        }
        assert_eq!(fields, comparable(wanted), "{shown} differs");
    }
    let surplus: Vec<_> = found.keys().filter(|path| !seen.contains(*path)).collect();
    assert!(surplus.is_empty(), "not in the archive: {surplus:?}");
}

/// Writes the reference's virtual tapes to cartridges of an emulated library `lib`.
fn import_tapes(world: &World, golden: &Path) -> Vec<String> {
    let library = world.create_library("lib", 0);
    let labels: Vec<String> = (1..=3).map(|number| format!("GOLD0{number}L8")).collect();
    for label in &labels {
        let folder = world.fast(format!("import-{label}"));
        fs::create_dir_all(&folder).unwrap();
        let count = (0..)
            .take_while(|number| {
                let tape_file = golden.join(format!("tape/virtual/tapefile-{number}-{label}.json"));
                if !tape_file.exists() {
                    return false;
                }
                fs::write(folder.join(format!("{number:05}.blocks")), read(tape_file)).unwrap();
                true
            })
            .count();
        assert!(count > 5, "{label} has {count} files");
        world.run(args!["vtl", "cartridge", "import", library, label, folder]);
    }
    let mut create = args!["tape", "pool", "create", "goldenpool", "--drive", "lib-0"];
    create.extend(args!["--template", "%Y-%m-%d set"]);
    world.run(create);
    labels
}

/// Zeroes the bytes of a media catalog that hold nothing (stale memory in the reference's).
fn mask_catalog(mut catalog: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while at < catalog.len() {
        let length = |at: usize| usize::from(catalog[at + 25]);
        at += match catalog[at] {
            b'L' | b'C' => 33,
            b'E' => 25,
            b'A' => {
                let size = 33 + length(at);
                catalog[at + 26..at + 33].fill(0);
                size
            }
            b'S' => {
                let name = usize::from(u16::from_le_bytes([catalog[at + 27], catalog[at + 28]]));
                let size = 33 + length(at) + 1 + name;
                catalog[at + 26] = 0;
                catalog[at + 29..at + 33].fill(0);
                size
            }
            other => panic!("record type {other:#x} at {at}"),
        };
    }
    assert_eq!(at, catalog.len(), "the catalog ends inside a record");
    catalog
}

/// What a listing must have, sorted by cartridge and snapshot.
fn sorted(list: &Value) -> Vec<String> {
    let mut rows: Vec<String> = list.as_array().unwrap().iter().map(Value::to_string).collect();
    rows.sort();
    rows
}

/// The inventory without what another library or a later look may change.
fn plain_inventory(path: &Path) -> Vec<String> {
    let mut inventory: Value = serde_json::from_str(&read_text(path)).unwrap();
    for entry in inventory.as_array_mut().unwrap() {
        for name in ["location", "bytes_used", "status"] {
            entry.as_object_mut().unwrap().remove(name);
        }
    }
    sorted(&inventory)
}

#[track_caller]
fn assert_catalogs(world: &World, golden: &Path) {
    let mut count = 0;
    for entry in fs::read_dir(golden.join("tape/state")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let name = path.file_name().unwrap();
            let ours = mask_catalog(read(world.state.join("tape").join(name)));
            assert!(ours == mask_catalog(read(&path)), "catalog {name:?} differs");
            count += 1;
        }
    }
    assert_eq!(count, 3);
}

#[test]
fn the_reference_tapes_are_inventoried_catalogued_and_restored() {
    let Some(golden) = golden() else { return };
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    let labels = import_tapes(&world, &golden);
    let content: Value =
        serde_json::from_str(&read_text(golden.join("tape/media-content.json"))).unwrap();
    let set = read_text(golden.join("tape/media-set-uuid")).trim().to_owned();

    // Fast: the catalogs that the cartridges carry.
    let inventory = args!["inventory", "--read-labels", "--catalog"];
    let report = world.json(world.tape(inventory));
    assert_eq!(report["failed"], serde_json::json!([]), "{report}");
    assert_eq!(sorted(&world.media_content()), sorted(&content));
    assert_eq!(
        plain_inventory(&world.state.join("tape/inventory.json")),
        plain_inventory(&golden.join("tape/state/inventory.json"))
    );
    assert_catalogs(&world, &golden);

    // Slow: a scan of everything, on a machine that knows nothing.
    world.forget_state();
    world.run(world.tape(args!["inventory", "--read-labels"]));
    for label in &labels {
        world.run(world.tape(args!["load-media", label]));
        world.run(world.tape(args!["catalog", "--scan", "--force"]));
    }
    assert_eq!(sorted(&world.media_content()), sorted(&content));

    world.create_store("restored");
    let report = world.json(world.tape(args!["restore", set, "restored", "--owner", "root@pam"]));
    assert_eq!(media_set(&report), set);
    assert_eq!(report["snapshots-failed"], serde_json::json!([]), "{report}");
    let wanted = wanted_snapshots(&golden.join("tape/restored.read.jsonl"));
    assert_eq!(wanted.len(), 10);
    assert_eq!(found_snapshots(&world, "restored"), wanted);
    assert_eq!(verify_with_key(&world, &golden, "restored"), wanted.len());

    let mut restore = args!["restore", "vm/101", "drive-virtio1.img", "-"];
    restore.extend(args!["--repository", "restored"]);
    let image = world.run(restore).output.stdout;
    assert_eq!(sha256(&image), sha256(&read(golden.join("restore/small.img"))));

    // One snapshot only, from the middle of the set.
    world.create_store("chosen");
    let mut restore = args!["restore", set, "chosen", "--snapshots"];
    restore.extend(args!["golden:ns/sub/ns/inner/ct/101/2024-05-01T14:00:00Z"]);
    world.run(world.tape(restore));
    let found = found_snapshots(&world, "chosen");
    let name = "sub/inner:ct/101/2024-05-01T14:00:00Z";
    assert_eq!(found, BTreeMap::from([(name.to_owned(), wanted[name].clone())]));
}

/// The reference's tapes are sound to a verification, and come back without anything that knows them.
#[test]
fn the_reference_tapes_are_verified_and_rescued() {
    let Some(golden) = golden() else { return };
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    import_tapes(&world, &golden);
    let wanted = wanted_snapshots(&golden.join("tape/restored.read.jsonl"));
    let set = read_text(golden.join("tape/media-set-uuid")).trim().to_owned();
    world.run(world.tape(args!["inventory", "--read-labels", "--catalog"]));
    let report = world.json(world.tape(args!["verify", set]));
    let states = report["snapshots"].as_array().unwrap().iter().map(|one| &one["state"]);
    assert_eq!(states.filter(|state| **state == "ok").count(), wanted.len(), "{report}");
    assert_eq!(report["damage"], serde_json::json!([]), "{report}");

    let dir = world.fast("rescue");
    let address = |unit: &str| format!("vtl:{}#{unit}", world.fast("lib.vtl").display());
    let mut rescue = args!["tape", "rescue", dir, "--drive", address("drive0")];
    rescue.extend(args!["--changer", address("changer"), "--owner", "root@pam"]);
    World::new().run(rescue);
    let store = dir.join("datastore/golden");
    world.run(args!["datastore", "create", "rescued", store, "--reuse-datastore"]);
    assert_eq!(found_snapshots(&world, "rescued"), wanted);
    assert_eq!(verify_with_key(&world, &golden, "rescued"), wanted.len());
}

/// A set that the reference began goes on under Capstan.
#[test]
fn a_set_of_the_reference_is_continued() {
    let Some(golden) = golden() else { return };
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    import_tapes(&world, &golden);
    world.run(world.tape(args!["inventory", "--read-labels", "--catalog"]));
    attach_store(&world, &golden);
    let image = golden.join("restore/small.img");
    let mut backup = args!["backup", format!("disk.img:{}", image.display())];
    backup.extend(args!["--repository", "golden", "--backup-id", "new"]);
    world.run(backup);
    let set = read_text(golden.join("tape/media-set-uuid")).trim().to_owned();
    let report = world.json(world.tape(args!["backup", "golden", "goldenpool"]));
    assert_eq!(media_set(&report), set, "{report}");
    // What the tapes lack is written: the new one, and the one the reference was not asked for.
    let written = report["snapshots-written"].as_array().unwrap().len();
    assert_eq!(report["snapshots-failed"], serde_json::json!([]), "{report}");
    assert_eq!(report["snapshots-skipped"], 10, "{report}");
    world.create_store("restored");
    world.run(world.tape(args!["restore", set, "restored"]));
    assert_eq!(verify_with_key(&world, &golden, "restored"), 10 + written);
}
