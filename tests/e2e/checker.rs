//! What Capstan writes, read by an independent implementation of the formats.
//!
//! The checker is a Python program in the folder that `CAPSTAN_CHECK` names; it shares no code with
//! Capstan. `CAPSTAN_CHECK_PYTHON` is an interpreter that has its requirements. The tests return at
//! once if `CAPSTAN_CHECK` is not set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use datastore::progress::Silent;
use pbs_tape::device::{LtoTape, TapeDevice};
use pbs_tape::drive::Drive;
use pbs_tape::format::{BLOCK_BYTES, BlockRead, BlockSource as _};
use pbs_tape::keys::{KeyStore, drive_key_of_set};
use pbs_tape::loader::read_tape_labels;
use scsi::VtlUnit;
use serde_json::Value;

use crate::round_trip::source;
use crate::tape_world::Rig;
use crate::tree::{bytes, one_of_everything, write};
use crate::world::{World, external, text};

/// What a checker run said: its findings, and the summary at the end.
struct Findings {
    findings: Vec<Value>,
    summary: Value,
    text: String,
}

/// Runs the checker, which must find no error.
#[track_caller]
fn check(checker: &Path, arguments: Vec<OsString>) -> Findings {
    let python = std::env::var_os("CAPSTAN_CHECK_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(python)
        .arg(checker.join("archive_check.py"))
        .args(&arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("the checker can be started; CAPSTAN_CHECK_PYTHON names an interpreter");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = format!("{arguments:?}\n{stdout}{stderr}");
    assert!(output.status.success(), "the checker finds errors: {text}");
    // A listing goes to the standard output, then the findings to the standard error.
    let lines = stdout.lines().chain(stderr.lines());
    let values: Vec<Value> = lines.filter_map(|line| serde_json::from_str(line).ok()).collect();
    let summary = values.iter().find(|value| value.get("summary").is_some()).cloned();
    let summary = summary.unwrap_or_else(|| panic!("no summary: {text}"));
    let findings: Vec<Value> =
        values.into_iter().filter(|value| value.get("level").is_some()).collect();
    assert!(findings.iter().all(|f| f["level"] != "error"), "{text}");
    assert_eq!((&summary["errors"], &summary["ok"]), (&0.into(), &true.into()), "{text}");
    Findings { findings, summary: summary["summary"].clone(), text }
}

impl Findings {
    /// Fails if there is a warning that is not one of the expected kinds.
    #[track_caller]
    fn only_warns_of(&self, codes: &[&str]) {
        for finding in &self.findings {
            let code = finding["code"].as_str().unwrap_or_default();
            assert!(codes.contains(&code), "unexpected warning {finding}\n{}", self.text);
        }
    }
}

/// Checks exported cartridges; how many snapshots are on them, or nothing without a checker.
#[track_caller]
pub fn check_cartridges(exported: &Path, labels: &[String], key: &Path) -> Option<u64> {
    let checker = checker()?;
    let mut arguments = args!["tape"];
    arguments.extend(labels.iter().map(|label| exported.join(label).into_os_string()));
    let found = check(&checker, [arguments, args!["--key", key]].concat());
    // A cartridge that is written beside another carries that one's catalog as it was then, and what both need is on both.
    found.only_warns_of(&["catalog-missing", "chunk-twice"]);
    found.summary["snapshots"].as_u64()
}

fn checker() -> Option<PathBuf> {
    external("CAPSTAN_CHECK")
}

#[test]
fn a_datastore_is_as_the_formats_say() {
    let Some(checker) = checker() else { return };
    let rig = Rig::new();
    let store = rig.world.fast("source");
    let found = check(&checker, args!["datastore", store, "--key", rig.key()]);
    // Lock files lie in a folder that the reference does not know.
    found.only_warns_of(&["stray"]);
    assert_eq!((&found.summary["snapshots"], &found.summary["namespaces"]), (&4.into(), &3.into()));
    assert_eq!(found.summary["unreferenced_chunks"], 0, "{}", found.text);
    // After a verification has been recorded, and without the key.
    rig.world.run(args!["datastore", "verify", "source", "--keyfile", rig.key()]);
    check(&checker, args!["datastore", store, "--key", rig.key()]);
    check(&checker, args!["datastore", store]);
}

#[test]
fn a_media_set_is_as_the_formats_say() {
    let Some(checker) = checker() else { return };
    let mut rig = Rig::new();
    rig.to_tape();
    rig.change_and_back_up();
    rig.to_tape();
    let exported = rig.world.fast("exported");
    let labels = rig.export_all(&exported);
    let mut arguments = args!["tape"];
    arguments.extend(labels.iter().map(|label| exported.join(label).into_os_string()));
    let found = check(&checker, [arguments.clone(), args!["--key", rig.key()]].concat());
    found.only_warns_of(&[]);
    assert_eq!(found.summary["cartridges"].as_u64(), Some(labels.len() as u64));
    assert!(labels.len() >= 2, "the set spans cartridges: {labels:?}");
    assert_eq!((&found.summary["sets"], &found.summary["snapshots"]), (&1.into(), &5.into()));
    check(&checker, arguments);

    // The catalogs on the disk, record by record.
    for entry in std::fs::read_dir(rig.world.state.join("tape")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "log") {
            let python =
                std::env::var_os("CAPSTAN_CHECK_PYTHON").unwrap_or_else(|| "python3".into());
            let output = Command::new(python)
                .arg(checker.join("archive_check.py"))
                .args(args!["catalog", path])
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{}: {text}", path.display());
        }
    }

    // What came back from tape is as good as what went there.
    let set = crate::tape_world::media_set(&rig.to_tape());
    rig.world.create_store("second");
    rig.world.run(rig.world.tape(args!["restore", set, "second"]));
    let store = rig.world.fast("second");
    let found = check(&checker, args!["datastore", store, "--key", rig.key()]);
    found.only_warns_of(&["stray"]);
    assert_eq!(found.summary["snapshots"], 5, "{}", found.text);
}

/// Writes the files of the cartridge in a drive as the drive delivers them, with the key of its set.
fn export_decrypted(library: &Path, keys: &KeyStore, out: &Path) {
    std::fs::create_dir_all(out).unwrap();
    let drive = Drive::open(vtl::open_unit(library, VtlUnit::Drive(0)).unwrap()).unwrap();
    let mut tape = LtoTape::new(drive, Arc::new(Silent));
    let set = read_tape_labels(&mut tape).unwrap().unwrap().media_set.unwrap().label;
    let name = set.encryption_key_fingerprint.unwrap().parse().unwrap();
    let key = keys.key(name).unwrap().unwrap();
    tape.rewind().unwrap();
    tape.set_key(&drive_key_of_set(&key, &set.uuid).unwrap()).unwrap();
    let mut block = vec![0; BLOCK_BYTES];
    let mut file = Vec::new();
    let mut number = 0;
    loop {
        match tape.read_block(&mut block).unwrap() {
            BlockRead::Block { bytes } => file.extend_from_slice(&block[..bytes]),
            BlockRead::Filemark => {
                write(out.join(format!("{number:05}.blocks")), &file);
                file.clear();
                number += 1;
            }
            BlockRead::EndOfData => break,
        }
    }
    assert!(number > 3 && file.is_empty(), "{number} files");
}

/// A set over several cartridges that the drive encrypted, with snapshots in namespaces and catalogs; and what a rescue
/// makes of it.
#[test]
fn an_encrypted_media_set_and_its_rescue_are_as_the_formats_say() {
    let Some(checker) = checker() else { return };
    let mut rig = Rig::new();
    let password = rig.world.disk("password");
    write(&password, "in the safe\n");
    let mut create = args!["tape", "key", "create", "--kdf", "pbkdf2"];
    create.extend(args!["--password-file", password]);
    rig.world.run(create);
    let key = text(&rig.world.json(args!["tape", "key", "list"])[0]["fingerprint"]);
    rig.world.run(args!["tape", "pool", "update", "pool", "--encrypt", key]);
    rig.to_tape();
    rig.change_and_back_up();
    rig.to_tape();
    let world = &rig.world;
    let used = world.json(args!["tape", "key", "show", key])["media"].clone();
    let used: Vec<String> = used.as_array().unwrap().iter().map(text).collect();
    assert!(used.len() >= 2, "the set spans cartridges: {used:?}");
    let keys = KeyStore::at(&world.config);
    let mut arguments = args!["tape"];
    for label in &used {
        let out = world.fast(format!("decrypted-{label}"));
        world.run(world.tape(args!["load-media", label]));
        export_decrypted(&rig.library, &keys, &out);
        arguments.push(out.into_os_string());
    }
    world.run(world.tape(args!["unload"]));
    let found = check(&checker, [arguments, args!["--key", rig.key()]].concat());
    found.only_warns_of(&[]);
    assert_eq!(found.summary["cartridges"].as_u64(), Some(used.len() as u64));
    assert_eq!((&found.summary["sets"], &found.summary["snapshots"]), (&1.into(), &5.into()));

    let dir = world.fast("rescue");
    let address = |unit: &str| format!("vtl:{}#{unit}", rig.library.display());
    let mut rescue = args!["tape", "rescue", dir, "--drive", address("drive0")];
    rescue.extend(args!["--changer", address("changer"), "--password-file", password]);
    World::new().run(rescue);
    let store = dir.join("datastore/source");
    let found = check(&checker, args!["datastore", store, "--key", rig.key()]);
    found.only_warns_of(&["stray"]);
    assert_eq!(found.summary["snapshots"], 5, "{}", found.text);
}

#[test]
fn file_archives_are_as_the_formats_say() {
    let Some(checker) = checker() else { return };
    let world = World::new();
    world.create_store("store");
    one_of_everything(&world.disk("rich"));
    // A folder large enough for several levels of its goodbye table.
    for number in 0..700 {
        write(world.disk(format!("many/{number:x}/file {number}")), bytes(number + 1, 10));
    }
    std::fs::create_dir(world.disk("empty")).unwrap();
    for name in ["rich", "many", "empty"] {
        let mut backup = args!["backup", source("root.pxar", &world.disk(name))];
        backup.extend(args!["--repository", "store", "--backup-id", name]);
        let report = world.json(backup);
        let group = format!("host/{name}");
        let restore = args!["restore", group, "root.pxar", "-", "--repository", "store"];
        let archive = world.fast(format!("{name}.pxar"));
        write(&archive, world.run(restore).output.stdout);
        let found = check(&checker, args!["pxar", archive]);
        found.only_warns_of(&[]);
        assert!(found.text.lines().count() as u64 > report["entries"].as_u64().unwrap());
    }
}
