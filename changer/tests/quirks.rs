//! The table of robots' quirks: each transcript in `transcripts/`, and what Capstan makes of it.
//!
//! `docs/changers.md` tells the same in words. A transcript that is not in both tables fails, and so does a row
//! without a transcript.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking and tells why on the standard error"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use changer::{ElementStatus, Result, Status, survey};
use scsi::transcript::Transcript;

/// What comes out. Slots and drives in the short form of [`contents`].
enum Outcome {
    /// This content; warnings that contain these texts and no others; the first drive's serial number.
    Works {
        drives: &'static str,
        slots: &'static str,
        warnings: &'static [&'static str],
        serial: Option<&'static str>,
    },
    /// An error that contains these texts.
    Fails(&'static [&'static str]),
}

use Outcome::{Fails, Works};

/// The library that most transcripts describe: two drives, four slots and one for import and export.
const DRIVES: &str = "CAP002L8<2 -";
const SLOTS: &str = "CAP001L8 - CLN001L8 - |-";
const SERIAL: Option<&str> = Some("1013000001");

const USUAL: Outcome = Works { drives: DRIVES, slots: SLOTS, warnings: &[], serial: SERIAL };

const fn warns(warnings: &'static [&'static str]) -> Outcome {
    Works { drives: DRIVES, slots: SLOTS, warnings, serial: SERIAL }
}

const TABLE: &[(&str, Outcome)] = &[
    ("standard", USUAL),
    (
        "tags-padded",
        Works {
            drives: DRIVES,
            slots: "CAP001L8 - CLN001L8 CAP003L8 |-",
            warnings: &[],
            serial: SERIAL,
        },
    ),
    ("dvcid-refused", Works { drives: DRIVES, slots: SLOTS, warnings: &[], serial: None }),
    (
        "dvcid-fails",
        Works { drives: DRIVES, slots: SLOTS, warnings: &["serial numbers"], serial: None },
    ),
    ("dvcid-padding", USUAL),
    (
        "identifier-lengths",
        Works {
            drives: "CAP002L8<2 - -",
            slots: SLOTS,
            warnings: &[],
            serial: Some("CZ1234567890ABCD"),
        },
    ),
    (
        "drive-tags-without-room",
        Works {
            drives: "?<2 -",
            slots: SLOTS,
            warnings: &["drive elements: bar codes announced, no room"],
            serial: SERIAL,
        },
    ),
    ("alternate-tags-without-data", USUAL),
    (
        "voltag-refused",
        Works {
            drives: "?<2 -",
            slots: "? - ? - |-",
            warnings: &["no bar code of its 3 cartridges"],
            serial: SERIAL,
        },
    ),
    (
        "pages-without-tags",
        Works {
            drives: "?<2 -",
            slots: "? - ? - |-",
            warnings: &["no bar code of its 3 cartridges"],
            serial: SERIAL,
        },
    ),
    ("all-types-only", USUAL),
    ("count-of-one-byte", USUAL),
    ("small-buffers", USUAL),
    ("existing-elements-only", USUAL),
    (
        "more-than-1000-slots",
        Works { drives: DRIVES, slots: "…CAP001L8 |-", warnings: &[], serial: SERIAL },
    ),
    ("byte-count-with-header", USUAL),
    ("byte-count-too-small", USUAL),
    ("first-address-wrong", USUAL),
    ("elements-twice", warns(&["reports 2 of its storage elements twice"])),
    (
        "station-among-slots",
        Works {
            drives: DRIVES,
            slots: "CAP001L8 - CLN001L8 |-",
            warnings: &["reports 1 of its import/export elements as slots too"],
            serial: SERIAL,
        },
    ),
    (
        "abnormal-elements",
        Works {
            drives: DRIVES,
            slots: "? - CLN001L8 - |-",
            warnings: &[
                "slot 2 is in an abnormal state: magazine removed (3b/12)",
                "slot 5 is in an abnormal state: a door is open (04/18)",
                "drive 1 is switched off",
            ],
            serial: SERIAL,
        },
    ),
    ("no-addresses-no-arm", USUAL),
    (
        "no-station",
        Works {
            drives: DRIVES,
            slots: "CAP001L8 - CLN001L8 -",
            warnings: &["1 arms are configured but 0 reported"],
            serial: SERIAL,
        },
    ),
    ("block-descriptor", USUAL),
    ("addresses-short", USUAL),
    ("station-count-differs", warns(&["4 import/export slots are configured but 1 reported"])),
    ("slot-count-differs", Fails(&["8 slots are configured but 4 reported", "inventory"])),
    ("becoming-ready", USUAL),
    (
        "changed-in-the-middle",
        Works {
            drives: DRIVES,
            slots: "CAP001L8 - CLN001L8 - |CAP009L8",
            warnings: &[],
            serial: SERIAL,
        },
    ),
    ("descriptor-length-0", Fails(&["descriptors of 0 bytes", "type 2"])),
    ("door-open", Fails(&["a door is open (2/04/18)", "see to the library"])),
    ("cartridge-in-arm", warns(&["CAP007L8 is in the robot's arm"])),
    ("type-ignored", USUAL),
    ("unknown-type", warns(&["a page of the unknown type 09h"])),
    ("transfer-short", Fails(&["8 bytes short", "behind address 1026", "firmware"])),
    (
        "same-bar-code-twice",
        Works {
            drives: DRIVES,
            slots: "CAP002L8 - CLN001L8 - |-",
            warnings: &["CAP002L8 is there more than once"],
            serial: SERIAL,
        },
    ),
    ("not-a-changer", Fails(&["is not a media changer", "01h"])),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts")
}

fn played(name: &str) -> Result<Status> {
    let path = folder().join(format!("{name}.txt"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let transcript = Transcript::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    survey::replay("lib", transcript)
}

/// `-` empty, `?` without bar code, `<n` from slot n, `|` import/export; of a hundred slots the last.
fn contents(status: &Status) -> (String, String) {
    let content = |status: &ElementStatus| match status {
        ElementStatus::Empty => "-".to_string(),
        ElementStatus::Full => "?".to_string(),
        ElementStatus::VolumeTag(tag) => tag.clone(),
    };
    let drives: Vec<_> = status
        .drives
        .iter()
        .map(|drive| {
            let from = drive.loaded_slot.map(|slot| format!("<{slot}")).unwrap_or_default();
            content(&drive.status) + &from
        })
        .collect();
    let slots: Vec<_> = status
        .slots
        .iter()
        .map(|slot| {
            format!("{}{}", if slot.import_export { "|" } else { "" }, content(&slot.status))
        })
        .collect();
    let shown = match slots.as_slice() {
        [.., last, station] if slots.len() > 1000 => format!("…{last} {station}"),
        all => all.join(" "),
    };
    (drives.join(" "), shown)
}

#[test]
fn every_quirk_is_met() {
    for (name, outcome) in TABLE {
        match (played(name), outcome) {
            (Ok(status), Works { drives, slots, warnings, serial }) => {
                let (found_drives, found_slots) = contents(&status);
                assert_eq!((&*found_drives, &*found_slots), (*drives, *slots), "{name}");
                assert_eq!(status.warnings.len(), warnings.len(), "{name}: {:?}", status.warnings);
                for (found, expected) in status.warnings.iter().zip(*warnings) {
                    assert!(found.contains(expected), "{name}: {found}");
                    assert!(found.contains("changer lib"), "{name}: {found}");
                }
                assert_eq!(status.drives[0].drive_serial_number.as_deref(), *serial, "{name}");
            }
            (Err(error), Fails(parts)) => {
                let text = error.to_string();
                assert!(parts.iter().all(|part| text.contains(part)), "{name}: {text}");
                assert!(text.contains("lib"), "{name}: {text}");
            }
            (Ok(status), Fails(_)) => panic!("{name} works: {:?}", contents(&status)),
            (Err(error), Works { .. }) => panic!("{name}: {error}"),
        }
    }
}

/// Harmless deviations are told to those who look for them, not with every status.
#[test]
fn what_does_no_harm_is_a_note() {
    for (name, part) in [
        ("byte-count-with-header", "208 bytes announced, 200 sent"),
        ("first-address-wrong", "first address 0 announced, 1024 is the lowest"),
        ("alternate-tags-without-data", "alternate bar codes announced"),
        ("dvcid-refused", "DVCID refused"),
        ("no-addresses-no-arm", "page 1Dh"),
        ("abnormal-elements", "bar code unreadable (83/01)"),
    ] {
        let notes = played(name).unwrap().notes;
        assert!(notes.iter().any(|note| note.contains(part)), "{name}: {notes:?}");
    }
    assert_eq!(played("standard").unwrap().notes, [""; 0]);
}

#[test]
fn identifiers_of_every_length() {
    let status = played("identifier-lengths").unwrap();
    let serials: Vec<_> =
        status.drives.iter().map(|drive| drive.drive_serial_number.as_deref()).collect();
    assert_eq!(serials, [Some("CZ1234567890ABCD"), Some("1013000002"), None]);
    let status = played("dvcid-padding").unwrap();
    assert_eq!(status.drives[1].drive_serial_number, None);
}

/// Table, folder and page say the same.
#[test]
fn every_transcript_is_in_both_tables() {
    let files: BTreeSet<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.trim_end_matches(".txt").to_string())
        .collect();
    let recorded = ["emulated-library"].map(str::to_string);
    let table: BTreeSet<String> =
        TABLE.iter().map(|(name, _)| (*name).to_string()).chain(recorded).collect();
    assert_eq!(files, table);
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/changers.md"))
            .unwrap();
    let documented: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(name, _)| name.to_string())
        .collect();
    assert_eq!(documented, table);
}

/// The other transcript is recorded of the emulated library and masked.
#[test]
fn a_recorded_library_is_played_as_it_was() {
    let path = folder().join("emulated-library.txt");
    let transcript = Transcript::parse(&std::fs::read(path).unwrap()).unwrap();
    assert!(transcript.is_masked && transcript.origin == "recorded");
    let status = survey::replay("lib", transcript).unwrap();
    let (drives, slots) = contents(&status);
    assert_eq!(drives, "- -");
    assert_eq!(slots, "V00001L8 V00002L8 V00003L8 - - - |- |-");
    assert_eq!(status.warnings, [""; 0]);
    assert_eq!(status.notes, [""; 0]);
}

/// What an emulated library answers now, recorded and played, is what it answers.
#[test]
fn the_emulated_library_is_recorded_whole() {
    let dir = tempfile::tempdir().unwrap();
    let options = vtl::Options {
        drives: 2,
        slots: 6,
        import_export: 2,
        cartridges: 3,
        ..vtl::Options::default()
    };
    let library = vtl::Library::create(&dir.path().join("lib"), &options).unwrap();
    let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
    changer.load_slot(1, 1).unwrap();
    let live = changer.status().unwrap();
    drop(changer);
    let taken = survey::record(Box::new(library.changer().unwrap())).unwrap();
    assert_eq!(taken.status.unwrap(), live);
    let text = taken.transcript.to_text();
    let mut transcript: Transcript = text.parse().unwrap();
    assert_eq!(survey::replay("lib", transcript.clone()).unwrap(), live);
    // The forms that other libraries need are in it: it serves programs that ask in another order.
    let all = transcript.exchanges.iter().filter(|one| one.cdb[..2] == [0xb8, 0x10]).count();
    assert!(all >= 2, "{text}");
    transcript.mask();
    let masked = transcript.to_text();
    for drive in &live.drives {
        let serial = drive.drive_serial_number.as_deref().unwrap();
        assert!(!masked.contains(serial), "{serial} is left:\n{masked}");
    }
    let masked = survey::replay("lib", transcript).unwrap();
    assert_eq!(masked.slots.len(), live.slots.len());
    assert_ne!(masked.drives[1].status, live.drives[1].status);
}
