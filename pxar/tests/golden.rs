//! Archives and catalogs written by the reference implementation, compared entry by entry, and
//! written again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pxar::acl::{Acl, Named};
use pxar::catalog::{self, Sink};
use pxar::decoder::{Decoder, Event};
use pxar::{Accessor, EntryKind, Metadata, Silent, create, extract, listing};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The folder of golden data, or nothing if the variable is not set.
fn golden() -> Option<PathBuf> {
    let folder = std::env::var_os("CAPSTAN_GOLDEN");
    if folder.is_none() {
        eprintln!("skipped: CAPSTAN_GOLDEN is not set");
    }
    folder.map(PathBuf::from)
}

fn read(path: &Path) -> Vec<u8> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        let output = Command::new("gzip").arg("-dc").arg(path).stderr(Stdio::inherit()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{path:?}");
        output.stdout
    } else {
        fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }
}

fn acl_text(acl: &Acl) -> String {
    let list = |named: &[Named], kind: &str, id: &str| {
        let items: Vec<_> = named
            .iter()
            .map(|n| {
                format!("{kind} {{ {id}: {}, permissions: Permissions({}) }}", n.id, n.permissions)
            })
            .collect();
        format!("[{}]", items.join(", "))
    };
    let group_obj = acl.group_obj.map_or("None".to_owned(), |permissions| {
        format!("Some(GroupObject {{ permissions: Permissions({permissions}) }})")
    });
    let default = acl.default.map_or("None".to_owned(), |base| {
        format!(
            "Some(Default {{ user_obj_permissions: Permissions({}), group_obj_permissions: \
             Permissions({}), other_permissions: Permissions({}), mask_permissions: \
             Permissions({}) }})",
            base.user_obj, base.group_obj, base.other, base.mask
        )
    });
    format!(
        "Acl {{ users: {}, groups: {}, group_obj: {group_obj}, default: {default}, \
         default_users: {}, default_groups: {} }}",
        list(&acl.users, "User", "uid"),
        list(&acl.groups, "Group", "gid"),
        list(&acl.default_users, "User", "uid"),
        list(&acl.default_groups, "Group", "gid"),
    )
}

/// An entry as a line of the golden listings.
fn line(path: &[u8], metadata: &Metadata, kind: &EntryKind, offset: u64) -> Value {
    let mut line = json!({
        "path": String::from_utf8_lossy(path),
        "path-hex": hex::encode(path),
        "mode": format!("{:o}", metadata.mode),
        "flags": metadata.flags,
        "uid": metadata.uid,
        "gid": metadata.gid,
        "mtime": [metadata.mtime.secs, i64::from(metadata.mtime.nanos)],
    });
    let mut set = |key: &str, value: Value| {
        line.as_object_mut().unwrap().insert(key.to_owned(), value);
    };
    match kind {
        EntryKind::Directory => set("kind", json!("dir")),
        EntryKind::File { size, payload_offset } => {
            set("kind", json!("file"));
            set("size", json!(size));
            if let Some(offset) = payload_offset {
                set("payload-offset", json!(offset));
            }
        }
        EntryKind::Symlink { target } => {
            set("kind", json!("symlink"));
            set("target", json!(String::from_utf8_lossy(target)));
        }
        EntryKind::Hardlink { target, target_offset } => {
            set("kind", json!("hardlink"));
            set("target", json!(String::from_utf8_lossy(target)));
            set("offset", json!(offset - target_offset));
        }
        EntryKind::Device { major, minor } => {
            set("kind", json!("device"));
            set("major", json!(major));
            set("minor", json!(minor));
        }
        EntryKind::Fifo => set("kind", json!("fifo")),
        EntryKind::Socket => set("kind", json!("socket")),
        other => panic!("{other:?}"),
    }
    if !metadata.xattrs.is_empty() {
        let xattrs = metadata.xattrs.iter();
        let xattrs: Vec<_> = xattrs
            .map(|x| json!([String::from_utf8_lossy(&x.name), hex::encode(&x.value)]))
            .collect();
        set("xattrs", json!(xattrs));
    }
    if let Some(fcaps) = &metadata.fcaps {
        set("fcaps", json!(hex::encode(fcaps)));
    }
    if !metadata.acl.is_empty() {
        set("acl", json!(acl_text(&metadata.acl)));
    }
    if let Some(id) = metadata.quota_project_id {
        set("quota-project-id", json!(id));
    }
    line
}

fn sha256(mut content: impl Read) -> String {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).unwrap();
    hex::encode(Sha256::digest(&bytes))
}

/// The listing of an archive in its own order.
fn listed(archive: &[u8], payload: Option<&[u8]>) -> Vec<Value> {
    match payload {
        Some(payload) => list(Decoder::split(archive, payload).unwrap()),
        None => list(Decoder::new(archive).unwrap()),
    }
}

fn list<R: Read, P: Read>(mut decoder: Decoder<R, P>) -> Vec<Value> {
    let mut lines = Vec::new();
    let special = |kind: &str| {
        json!({"flags": 0, "gid": 0, "kind": kind, "mode": "0", "mtime": [0, 0],
               "path": "/", "path-hex": "2f", "uid": 0})
    };
    if decoder.version() == 2 {
        lines.push(special("version Version2"));
    }
    if let Some(prelude) = decoder.prelude() {
        let mut line = special("prelude");
        line["data"] = json!(hex::encode(prelude));
        lines.push(line);
    }
    while let Some(event) = decoder.next_event().unwrap() {
        let Event::Entry(entry) = event else { continue };
        let mut line = line(decoder.path(), &entry.metadata, &entry.kind, entry.offset);
        if matches!(entry.kind, EntryKind::File { .. }) {
            line["sha256"] = json!(sha256(decoder.content()));
        }
        lines.push(line);
    }
    lines
}

/// The same through random access.
fn listed_at_random(accessor: &Accessor) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut pending = vec![(accessor.lookup(b"/").unwrap().unwrap(), b"/".to_vec())];
    while let Some((entry, path)) = pending.pop() {
        let mut line = line(&path, &entry.metadata, &entry.kind, entry.offset);
        if matches!(entry.kind, EntryKind::File { .. }) {
            line["sha256"] = json!(sha256(accessor.content(&entry).unwrap()));
        }
        lines.push(line);
        // Found by path as well as by enumeration.
        assert_eq!(accessor.lookup(&path).unwrap().unwrap(), entry);
        if entry.kind == EntryKind::Directory {
            let directory = accessor.open_directory(&entry).unwrap();
            for child in directory.entries() {
                let child = child.unwrap();
                let slash: &[u8] = if path == b"/" { b"" } else { b"/" };
                let path = [&path[..], slash, &child.name].concat();
                pending.push((child, path));
            }
        }
    }
    lines
}

fn expected(folder: &Path, name: &str) -> Vec<Value> {
    let text = String::from_utf8(read(&folder.join(name))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn assert_lines(found: &[Value], expected: &[Value]) {
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

fn sorted(mut lines: Vec<Value>) -> Vec<Value> {
    lines.sort_by_key(|line| line["path-hex"].to_string());
    lines
}

#[test]
fn unified_archives_are_read() {
    let Some(golden) = golden() else { return };
    let folder = golden.join("pxar");
    for (archive, entries) in [
        ("tree-1.pxar.gz", "tree-1.entries.jsonl"),
        ("mini.pxar", "mini.entries.jsonl"),
        ("mini-pxarbin.pxar", "mini.entries.jsonl"),
    ] {
        let bytes = read(&folder.join(archive));
        let expected = expected(&folder, entries);
        assert_lines(&listed(&bytes, None), &expected);
        let accessor = Accessor::open(bytes).unwrap();
        assert_eq!(accessor.version(), 1);
        assert_lines(&sorted(listed_at_random(&accessor)), &sorted(expected));
    }
}

#[test]
fn split_archives_are_read() {
    let Some(golden) = golden() else { return };
    let folder = golden.join("pxar");
    for (archive, payload, entries) in [
        ("tree-1.mpxar", "tree-1.ppxar.gz", "tree-1.split.entries.jsonl"),
        ("mini-prelude.mpxar", "mini-prelude.ppxar", "mini-prelude.split.entries.jsonl"),
    ] {
        let bytes = read(&folder.join(archive));
        let payload = read(&folder.join(payload));
        let expected = expected(&folder, entries);
        assert_lines(&listed(&bytes, Some(&payload)), &expected);
        let accessor = Accessor::open_split(bytes, payload).unwrap();
        assert_eq!(accessor.version(), 2);
        let is_entry = |line: &Value| {
            !line["kind"].as_str().unwrap().starts_with("version") && line["kind"] != "prelude"
        };
        let entries: Vec<_> = expected.iter().filter(|line| is_entry(line)).cloned().collect();
        assert_lines(&sorted(listed_at_random(&accessor)), &sorted(entries));
        let prelude = expected.iter().find(|line| line["kind"] == "prelude");
        let prelude = prelude.map(|line| hex::decode(line["data"].as_str().unwrap()).unwrap());
        assert_eq!(accessor.prelude().unwrap(), prelude);
    }
}

/// Restore, then archive what was restored: byte for byte the original, in both versions. Needs to
/// be root for owners, devices and `trusted.` attributes.
#[test]
fn a_restored_tree_gives_the_same_archives_again() {
    let Some(golden) = golden() else { return };
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs to be root");
        return;
    }
    let folder = golden.join("pxar");
    let original = read(&folder.join("tree-1.pxar.gz"));
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("tree");
    let options = extract::Options::default();
    let summary = extract::extract(&original[..], None, &target, &options, &Silent).unwrap();
    assert_eq!(summary.failed, 0);

    let mut again = Vec::new();
    let mut catalog = catalog::Writer::new(Vec::new()).unwrap();
    catalog.start_archive(b"root.pxar.didx").unwrap();
    let options = create::Options::default();
    create::create(&target, &mut again, Some(&mut catalog), &options, &Silent).unwrap();
    catalog.end_archive().unwrap();
    assert_lines(&listed(&again, None), &expected(&folder, "tree-1.entries.jsonl"));
    assert!(again == original, "the listings are equal, the bytes are not");
    let original = read(&golden.join("restore/catalog-tree-1.pcat1"));
    assert!(catalog.finish().unwrap() == original, "the catalogs differ");

    let (mut again, mut payload) = (Vec::new(), Vec::new());
    create::create_split(&target, &mut again, &mut payload, &options, &Silent).unwrap();
    assert_lines(&listed(&again, Some(&payload)), &expected(&folder, "tree-1.split.entries.jsonl"));
    assert!(again == read(&folder.join("tree-1.mpxar")));
    assert!(payload == read(&folder.join("tree-1.ppxar.gz")));

    // And the split original restores to the same.
    let target = place.path().join("from-split");
    let options = extract::Options::default();
    extract::extract(&again[..], Some(&mut &payload[..]), &target, &options, &Silent).unwrap();
    let mut once_more = Vec::new();
    let options = create::Options::default();
    create::create(&target, &mut once_more, None, &options, &Silent).unwrap();
    assert_lines(&listed(&once_more, None), &expected(&folder, "tree-1.entries.jsonl"));
}

#[test]
fn the_catalog_is_read_and_written_again() {
    let Some(golden) = golden() else { return };
    let bytes = read(&golden.join("restore/catalog-tree-1.pcat1"));
    let reader = catalog::Reader::open(&bytes[..]).unwrap();
    let mut dump = Vec::new();
    let zone = jiff::tz::TimeZone::UTC;
    reader
        .walk(&reader.root(), &mut |found| {
            writeln!(dump, "{}", listing::catalog_line(found, &zone)).unwrap();
            Ok(true)
        })
        .unwrap();
    let expected = read(&golden.join("restore/client-catalog-dump.txt"));
    assert_eq!(String::from_utf8(dump).unwrap(), String::from_utf8(expected).unwrap());
}

#[test]
fn listings_name_the_same_paths() {
    let Some(golden) = golden() else { return };
    let folder = golden.join("pxar");
    for (archive, list) in
        [("tree-1.pxar.gz", "tree-1.pxar-list.txt"), ("mini.pxar", "mini.pxar-list.txt")]
    {
        let bytes = read(&folder.join(archive));
        let mut decoder = Decoder::new(&bytes[..]).unwrap();
        let mut found = String::new();
        while let Some(event) = decoder.next_event().unwrap() {
            if matches!(event, Event::Entry(_)) {
                found += &listing::quote(decoder.path());
                found.push('\n');
            }
        }
        assert_eq!(found, String::from_utf8(read(&folder.join(list))).unwrap());
    }
}
