//! Cartridges out to plain files and in again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use vtl::{ImportOptions, Options, Progress};

use crate::host::*;

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

fn empty_drive(rig: &Rig) {
    rig.changer().good(&move_medium(256, 1024));
}

#[test]
fn export_and_import_are_each_others_reverse() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    assert_eq!(drive.write(&pattern(77, 12_345)), None);
    drop(drive);
    let out = rig.dir.path().join("out");
    // Not while a drive has it.
    assert!(rig.library.export_cartridge("CAP001L8", &out, &()).unwrap_err().is_retryable());
    empty_drive(&rig);
    let report = rig.library.export_cartridge("CAP001L8", &out, &()).unwrap();
    assert_eq!((report.files, report.blocks, report.filemarks), (4, 7, 3));
    let exported = files(&out);
    assert_eq!(exported["00000.blocks"], [pattern(0, 1000), pattern(1, 2000)].concat());
    // Two marks in a row: an empty file between them.
    assert_eq!(exported["00002.blocks"], b"");
    let index = String::from_utf8(exported["index.json"].clone()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&index).unwrap();
    assert_eq!(value["format"], "capstan-vtl-cartridge");
    assert_eq!(value["barcode"], "CAP001L8");
    assert_eq!(value["files"][0]["records"], serde_json::json!([[1000, 1], [2000, 1]]));
    assert_eq!(value["files"][3]["filemark"], false);

    let same = rig.library.import_cartridge("COPY01L8", &out, &ImportOptions::default(), &());
    assert_eq!(same.unwrap(), report);
    let again = rig.dir.path().join("again");
    rig.library.export_cartridge("COPY01L8", &again, &()).unwrap();
    let mut copied = files(&again);
    let index = String::from_utf8(copied["index.json"].clone()).unwrap();
    copied.insert("index.json".into(), index.replace("COPY01L8", "CAP001L8").into_bytes());
    assert_eq!(copied, exported);
    assert!(rig.library.export_cartridge("CAP001L8", &again, &()).is_err());
}

#[test]
fn without_an_index_blocks_are_256_kib() {
    let rig = rig_with(&Options { cartridges: 1, ..small() });
    let input = tempfile::tempdir().unwrap();
    let data = pattern(5, 2 * BLOCK + 1000);
    fs::write(input.path().join("00000.blocks"), &data).unwrap();
    fs::write(input.path().join("00001.blocks"), b"").unwrap();
    fs::write(input.path().join("notes.txt"), "not for the tape").unwrap();
    let options = ImportOptions::default();
    let report = rig.library.import_cartridge("CAP001L8", input.path(), &options, &()).unwrap();
    assert_eq!((report.files, report.blocks, report.filemarks), (2, 3, 2));
    let mut drive = rig.loaded();
    assert_eq!(drive.read_block(BLOCK), (data[..BLOCK].to_vec(), None));
    assert_eq!(drive.read_block(BLOCK).0, data[BLOCK..2 * BLOCK]);
    assert_eq!(drive.read_block(BLOCK).0, data[2 * BLOCK..]);
    assert!(drive.read_block(BLOCK).1.unwrap().filemark);
    assert!(drive.read_block(BLOCK).1.unwrap().filemark);
    assert_eq!(drive.position(), (5, 2));
    drop(drive);
    empty_drive(&rig);
    // Not over recorded data, unless forced.
    let refused = rig.library.import_cartridge("CAP001L8", input.path(), &options, &());
    assert!(refused.unwrap_err().to_string().contains("not blank"));
    let force = ImportOptions { force: true, ..options };
    rig.library.import_cartridge("CAP001L8", input.path(), &force, &()).unwrap();
}

#[test]
fn bad_imports_change_nothing() {
    let rig = rig_with(&Options { cartridges: 1, ..small() });
    let input = tempfile::tempdir().unwrap();
    let import = |barcode: &str| {
        rig.library.import_cartridge(barcode, input.path(), &ImportOptions::default(), &())
    };
    assert!(import("NEW001L8").unwrap_err().to_string().contains("00000.blocks"));
    fs::write(input.path().join("00001.blocks"), b"x").unwrap();
    assert!(import("NEW001L8").unwrap_err().to_string().contains("00000.blocks is missing"));
    fs::write(input.path().join("00000.blocks"), b"x").unwrap();
    assert!(import("no barcode").is_err());
    let index = |text: &str| fs::write(input.path().join("index.json"), text).unwrap();
    let head = r#""format":"capstan-vtl-cartridge","version":1,"barcode":"X","generation":"lto8","capacity_bytes":8388608"#;
    for (files, complaint) in [
        (r#"[{"name":"../etc/passwd","records":[[1,1]],"filemark":true}]"#, "passwd"),
        (r#"[{"name":"00000.blocks","records":[[2,1]],"filemark":true}]"#, "1 bytes"),
        (r#"[{"name":"00000.blocks","records":[[0,1],[1,1]],"filemark":true}]"#, "1 bytes"),
        (
            r#"[{"name":"00000.blocks","records":[[4294967295,18446744073709551615]],"filemark":true}]"#,
            "bytes",
        ),
        (
            r#"[{"name":"00000.blocks","records":[[1,1]],"filemark":false},{"name":"00001.blocks","records":[[1,1]],"filemark":true}]"#,
            "not the last",
        ),
    ] {
        index(&format!("{{{head},\"files\":{files}}}"));
        let error = import("NEW001L8").unwrap_err();
        assert!(error.to_string().contains(complaint), "{error}");
    }
    index("{");
    assert!(import("NEW001L8").unwrap_err().is_damaged());
    fs::remove_file(input.path().join("index.json")).unwrap();
    let tiny = ImportOptions { capacity_bytes: Some(MIB), ..ImportOptions::default() };
    fs::write(input.path().join("00000.blocks"), vec![1; 2 << 20]).unwrap();
    let error = rig.library.import_cartridge("NEW001L8", input.path(), &tiny, &()).unwrap_err();
    assert!(error.to_string().contains("do not fit"), "{error}");
    assert_eq!(rig.library.cartridges().unwrap(), ["CAP001L8"]);
}

/// Stops after so many bytes.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn advance(&self, bytes: u64) {
        self.0.fetch_sub(bytes.min(self.0.load(Ordering::Relaxed)), Ordering::Relaxed);
    }

    fn is_aborted(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

#[test]
fn an_aborted_import_leaves_no_half_tape() {
    let rig = rig_with(&Options { cartridges: 1, ..small() });
    let input = tempfile::tempdir().unwrap();
    fs::write(input.path().join("00000.blocks"), vec![1; 4 * BLOCK]).unwrap();
    for barcode in ["CAP001L8", "NEW001L8"] {
        let stop = StopAfter(AtomicU64::new(2 * BLOCK as u64));
        let options = ImportOptions::default();
        let error =
            rig.library.import_cartridge(barcode, input.path(), &options, &stop).unwrap_err();
        assert_eq!(error.to_string(), "aborted");
    }
    assert_eq!(rig.library.cartridges().unwrap(), ["CAP001L8"]);
    assert_eq!(rig.loaded().read_block(10).1.map(|s| code(&s)), Some((8, 0, 5)));
}

/// The golden cartridges: `tapefile-N-LABEL.json` is tape file N of LABEL as raw blocks.
#[test]
fn golden_cartridges_come_in_and_out_unchanged() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN") else {
        eprintln!("CAPSTAN_GOLDEN is not set: golden cartridges not tested");
        return;
    };
    let golden = PathBuf::from(golden).join("tape/virtual");
    let rig = rig_with(&Options { cartridges: 0, capacity_bytes: Some(5 * MIB), ..small() });
    for (label, count) in [("GOLD01L8", 15), ("GOLD02L8", 6), ("GOLD03L8", 9)] {
        let input = tempfile::tempdir().unwrap();
        for number in 0..count {
            let from = golden.join(format!("tapefile-{number}-{label}.json"));
            fs::copy(&from, input.path().join(format!("{number:05}.blocks")))
                .unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        }
        let report = rig
            .library
            .import_cartridge(label, input.path(), &ImportOptions::default(), &())
            .unwrap();
        assert_eq!((report.files, report.filemarks), (count, count));
        let output = tempfile::tempdir().unwrap();
        rig.library.export_cartridge(label, output.path(), &()).unwrap();
        let mut exported = files(output.path());
        assert!(exported.remove("index.json").is_some());
        assert_eq!(exported.len(), count as usize);
        assert!(exported == files(input.path()), "{label} changed");
        assert!(rig.library.check_cartridge(label, &()).unwrap().damaged.is_empty());
    }
}
