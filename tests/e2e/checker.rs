//! What Capstan writes, read by an independent implementation of the formats.
//!
//! The checker is a Python program in the folder that `CAPSTAN_CHECK` names; it shares no code with
//! Capstan. `CAPSTAN_CHECK_PYTHON` is an interpreter that has its requirements. The tests return at
//! once if `CAPSTAN_CHECK` is not set.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::round_trip::source;
use crate::tape_world::Rig;
use crate::tree::{bytes, one_of_everything, write};
use crate::world::{World, external};

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
