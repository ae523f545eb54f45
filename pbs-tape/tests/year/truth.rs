//! What is truly on the emulated cartridges: their files read by themselves, past library, drive and the code under test.
//!
//! A cartridge's log is a row of records (`docs/formats/vtl-cartridge.md`); blocks between filemarks are a tape file; its
//! stream begins with a content header and JSON (`docs/formats/tape.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use datastore::Digest;
use serde_json::Value;
use uuid::Uuid;

const RECORD_HEADER: usize = 64;
const BLOCK_HEADER: usize = 16;
const CONTENT_HEADER: usize = 48;
const CHUNK_HEADER: usize = 48;

/// A set label as it is on tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawSet {
    pub uuid: Uuid,
    pub pool: String,
    pub seq_nr: u64,
    pub ctime: i64,
}

/// A media label as it is on tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawLabel {
    pub uuid: Uuid,
    pub text: String,
    pub pool: Option<String>,
    pub ctime: i64,
}

/// What a tape file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawFile {
    Label,
    SetLabel,
    Chunks {
        store: String,
        digests: BTreeSet<Digest>,
    },
    Snapshot {
        store: String,
        name: String,
    },
    Catalog,
    /// Without its end, or marked as given up.
    Broken,
}

/// A cartridge.
#[derive(Debug, Clone)]
pub struct RawTape {
    pub label: Option<RawLabel>,
    pub set: Option<RawSet>,
    pub files: Vec<RawFile>,
    /// Bytes of the log that hold records, and their digest.
    pub end: usize,
    pub digest: Digest,
}

impl RawTape {
    /// True if something lies on it that a restore could need.
    pub fn has_data(&self) -> bool {
        self.files
            .iter()
            .any(|file| !matches!(file, RawFile::Label | RawFile::SetLabel | RawFile::Catalog))
    }
}

/// All cartridges of a library, by bar code. What did not change is not read again.
#[derive(Debug, Default, Clone)]
pub struct Truth {
    seen: BTreeMap<String, (u64, SystemTime)>,
    pub tapes: BTreeMap<String, RawTape>,
}

fn log_of(library: &Path, barcode: &str) -> PathBuf {
    library.join("cartridges").join(barcode).join("partition0.log")
}

/// The first bytes of a cartridge's log.
pub fn prefix_digest(library: &Path, barcode: &str, end: usize) -> Option<Digest> {
    let bytes = std::fs::read(log_of(library, barcode)).unwrap();
    bytes.get(..end).map(Digest::of)
}

impl Truth {
    /// Looks at the cartridges now.
    pub fn look(&mut self, library: &Path) {
        let folder = library.join("cartridges");
        for entry in std::fs::read_dir(folder).unwrap() {
            let barcode = entry.unwrap().file_name().into_string().unwrap();
            let path = log_of(library, &barcode);
            let meta = std::fs::metadata(&path).unwrap();
            let stamp = (meta.len(), meta.modified().unwrap());
            if self.seen.get(&barcode) != Some(&stamp) {
                self.tapes.insert(barcode.clone(), read(&path));
                self.seen.insert(barcode, stamp);
            }
        }
    }

    /// Label texts of the tapes of a set in their order, and holes as `None`.
    pub fn members(&self, set: &Uuid) -> Vec<Option<String>> {
        let mut members: Vec<Option<String>> = Vec::new();
        for (barcode, tape) in &self.tapes {
            if let Some(found) = tape.set.as_ref().filter(|found| found.uuid == *set) {
                let place = found.seq_nr as usize;
                members.resize(members.len().max(place + 1), None);
                assert_eq!(members[place], None, "two tapes at place {place} of set {set}");
                members[place] = Some(barcode.clone());
            }
        }
        members
    }
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |all, byte| all << 8 | usize::from(*byte))
}

fn read(path: &Path) -> RawTape {
    let bytes = std::fs::read(path).unwrap();
    let (mut at, mut streams, mut blocks) = (RECORD_HEADER, Vec::new(), Vec::new());
    while bytes.get(at..at + 4) == Some(b"VREC") {
        let header = &bytes[at..at + RECORD_HEADER];
        assert_eq!(header[5], 0, "encrypted records are not expected");
        let length = number(&header[8..12]);
        let data = &bytes[at + RECORD_HEADER..at + RECORD_HEADER + length];
        if header[4] == 2 {
            streams.push(std::mem::take(&mut blocks));
        } else {
            blocks.push(data);
        }
        at = (at + RECORD_HEADER + length).next_multiple_of(RECORD_HEADER);
    }
    let mut tape = RawTape {
        label: None,
        set: None,
        files: Vec::new(),
        end: at,
        digest: Digest::of(&bytes[..at]),
    };
    if !blocks.is_empty() {
        streams.push(blocks);
    }
    for blocks in streams {
        let file = read_file(&blocks, &mut tape);
        tape.files.push(file);
    }
    tape
}

/// The stream of a file, if it has its end and was not given up.
fn stream(blocks: &[&[u8]]) -> Option<Vec<u8>> {
    let mut stream = Vec::new();
    for (place, block) in blocks.iter().enumerate() {
        let used = number(&block[9..12]);
        stream.extend_from_slice(&block[BLOCK_HEADER..BLOCK_HEADER + used]);
        match block[8] {
            0 => {}
            1 if place + 1 == blocks.len() => return Some(stream),
            _ => return None,
        }
    }
    None
}

fn read_file(blocks: &[&[u8]], tape: &mut RawTape) -> RawFile {
    let Some(stream) = stream(blocks) else { return RawFile::Broken };
    let head_end = CONTENT_HEADER + number(&stream[40..44]);
    let head: Value = serde_json::from_slice(&stream[CONTENT_HEADER..head_end]).unwrap_or_default();
    let text = |name: &str| head[name].as_str().unwrap_or_default().to_owned();
    let uuid = |name: &str| text(name).parse().unwrap();
    match &stream[8..16] {
        [0x2a, 0x05, 0xbf, 0x3c, 0xb0, 0x30, 0xaa, 0x39] => {
            tape.label = Some(RawLabel {
                uuid: uuid("uuid"),
                text: text("label_text"),
                pool: head["pool"].as_str().map(str::to_owned),
                ctime: head["ctime"].as_i64().unwrap(),
            });
            RawFile::Label
        }
        [0x08, 0x60, 0x63, 0xf9, 0x2f, 0x97, 0x53, 0xd8] => {
            tape.set = Some(RawSet {
                uuid: uuid("uuid"),
                pool: text("pool"),
                seq_nr: head["seq_nr"].as_u64().unwrap(),
                ctime: head["ctime"].as_i64().unwrap(),
            });
            RawFile::SetLabel
        }
        [0x6d, 0x31, 0x63, 0x6d, 0xd7, 0x02, 0x83, 0xbf] => {
            RawFile::Chunks { store: text("store"), digests: chunks(&stream[head_end..]) }
        }
        [0xda, 0x16, 0x15, 0xd0, 0x11, 0xe2, 0x9a, 0x62]
        | [0x62, 0x10, 0x36, 0x9b, 0xba, 0x10, 0x33, 0x1d] => {
            RawFile::Snapshot { store: text("store"), name: text("snapshot") }
        }
        [0xb3, 0xec, 0x71, 0xf0, 0xad, 0xec, 0x02, 0x60] => RawFile::Catalog,
        other => panic!("a tape file of kind {other:02x?}"),
    }
}

/// Digests of the chunks of an archive that are whole.
fn chunks(mut rest: &[u8]) -> BTreeSet<Digest> {
    let mut digests = BTreeSet::new();
    while rest.len() >= CHUNK_HEADER {
        assert_eq!(rest[..8], [0x48, 0x57, 0x6d, 0xf2, 0xde, 0x42, 0x8f, 0xdc]);
        let end = CHUNK_HEADER + number(&rest[40..48]);
        if rest.len() < end {
            break;
        }
        digests.insert(Digest(rest[8..40].try_into().unwrap()));
        rest = &rest[end..];
    }
    digests
}
