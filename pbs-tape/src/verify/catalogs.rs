//! A media catalog, on disk or on tape, against what was truly read.
//!
//! A catalog that names what its tape does not hold is damage: a later job leaves out what is promised, and a restore
//! looks for it in vain. One that knows less than the tape is only incomplete: that is what an interrupted job leaves,
//! and each catalog on tape is older than what was written behind it.
//!
//! Catalogs are read record by record and never held, whatever their length.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use datastore::Digest;
use uuid::Uuid;

use super::ledger::{FileContent, Ledger, TapeFacts};
use super::report::TapeState;
use crate::error::{Error, IoResultExt, Result};
use crate::media::catalog::CatalogContent;
use crate::media::catalog::record::{MAGIC_V1_1, Next, Record, RecordReader};

/// Something that a catalog names and its tape does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lost {
    /// The file that it names.
    pub file: u64,
    /// The snapshot, `store:name`, if it is one.
    pub snapshot: Option<String>,
    /// What is there instead.
    pub reason: String,
    /// That the file is damaged was seen when it was read.
    pub is_known: bool,
}

/// What a catalog says, as far as it is not so.
#[derive(Debug, Default)]
pub(super) struct CatalogCheck {
    /// Promised, and not there.
    pub lost: Vec<Lost>,
    /// Files of chunks and snapshots that it names, with the number of chunks.
    pub named: BTreeMap<u64, u64>,
    /// It ends inside a record or an archive.
    pub is_torn: bool,
}

/// The chunk archive whose records are being read.
struct OpenArchive {
    file: u64,
    store: Option<u16>,
    /// Its chunks were all read, so each must be among them.
    is_comparable: bool,
    chunks: u64,
    missing: BTreeSet<Digest>,
}

/// So many missing chunks of an archive are named; for the rest it says "and more".
const MISSING_NAMED: usize = 3;

/// Compares a whole catalog. `Err` if it is none: it breaks the rules of its own format, or can't be read.
///
/// It must be a catalog of the tape `facts`, of which all files up to the end, or those in `facts`, were read.
pub(super) fn check_catalog(
    input: &mut dyn Read,
    name: &Path,
    facts: &TapeFacts,
    ledger: &Ledger,
) -> Result<CatalogCheck> {
    let mut check = CatalogCheck::default();
    let mut magic = Vec::new();
    input.take(MAGIC_V1_1.len() as u64).read_to_end(&mut magic).at(name)?;
    let damaged =
        |offset, reason| Error::CatalogDamaged { path: name.to_path_buf(), offset, reason };
    if magic != MAGIC_V1_1 {
        return Err(damaged(0, format!("{} is not the magic of a catalog", hex::encode(magic))));
    }
    let mut reader = RecordReader::new(input, MAGIC_V1_1.len() as u64);
    // It checks the order of all records but those of chunks, which it would keep.
    let mut order = CatalogContent::default();
    let mut open: Option<OpenArchive> = None;
    loop {
        let offset = reader.offset();
        let record = match reader.next_record().at(name)? {
            Next::Record(record) => record,
            Next::End | Next::Torn if order.is_archive_open() => {
                check.is_torn = true;
                return Ok(check);
            }
            Next::End => return Ok(check),
            Next::Torn => {
                check.is_torn = true;
                return Ok(check);
            }
            Next::Bad(reason) => return Err(damaged(offset, reason)),
        };
        if let Record::Chunk(digest) = &record {
            let Some(open) = &mut open else {
                return Err(damaged(offset, "chunk outside a chunk archive".into()));
            };
            open.chunks += 1;
            let is_known = !open.is_comparable
                || open.store.is_some_and(|store| ledger.has_met(store, digest));
            if !is_known {
                open.missing.insert(*digest);
            }
            continue;
        }
        order.apply(&facts.id, &record).map_err(|reason| damaged(offset, reason))?;
        match record {
            Record::ArchiveStart { file_number, uuid, store } => {
                let store_number = ledger.find_store(&store);
                let wanted = |content: &FileContent| match content {
                    FileContent::Chunks { store, .. } => Some(*store) == store_number,
                    _ => false,
                };
                let what = format!("a chunk archive of {store}");
                let lost = compare_file(facts, file_number, uuid, &what, wanted);
                let is_comparable = lost.is_none()
                    && facts.files.get(&file_number).is_some_and(|file| file.is_sound);
                check.lost.extend(lost.map(|lost| Lost { snapshot: None, ..lost }));
                open = Some(OpenArchive {
                    file: file_number,
                    store: store_number,
                    is_comparable,
                    chunks: 0,
                    missing: BTreeSet::new(),
                });
            }
            Record::ArchiveEnd { .. } => {
                let Some(open) = open.take() else { continue };
                check.named.insert(open.file, open.chunks);
                if !open.missing.is_empty() {
                    check.lost.push(open.lost());
                }
            }
            Record::Snapshot { file_number, uuid, store, snapshot } => {
                check.named.insert(file_number, 0);
                let full_name = format!("{store}:{snapshot}");
                let wanted = |content: &FileContent| match content {
                    FileContent::Snapshot { name } => *name == full_name,
                    _ => false,
                };
                let what = format!("the archive of snapshot {full_name}");
                if let Some(mut lost) = compare_file(facts, file_number, uuid, &what, wanted) {
                    lost.snapshot = lost.snapshot.map(|_| full_name);
                    check.lost.push(lost);
                }
            }
            Record::Label { .. } | Record::Chunk(_) => {}
        }
    }
}

impl OpenArchive {
    fn lost(self) -> Lost {
        let named: Vec<String> =
            self.missing.iter().take(MISSING_NAMED).map(ToString::to_string).collect();
        let more = if self.missing.len() > named.len() { " and more" } else { "" };
        Lost {
            file: self.file,
            snapshot: None,
            is_known: false,
            reason: format!(
                "{} chunks that a catalog names are not in it: {}{more}",
                self.missing.len(),
                named.join(", ")
            ),
        }
    }
}

/// What is wrong with a file that a catalog names. A snapshot in it stays without its name, and there is none if the
/// file is what it should be but for its UUID, which nobody needs to read it.
fn compare_file(
    facts: &TapeFacts,
    number: u64,
    uuid: Uuid,
    what: &str,
    is_wanted: impl Fn(&FileContent) -> bool,
) -> Option<Lost> {
    let lost = |reason: String| {
        let snapshot = Some(String::new());
        Some(Lost { file: number, snapshot, reason, is_known: false })
    };
    let Some(file) = facts.files.get(&number) else {
        if facts.state == TapeState::Unreadable {
            let found = lost(format!("{what} should be there, and the tape can't be read"));
            return found.map(|found| Lost { is_known: true, ..found });
        }
        return lost(format!("{what} should be there, and the tape has no such file"));
    };
    match &file.content {
        FileContent::Unreadable => {
            let found = lost(format!("{what} should be there, and can't be read"));
            found.map(|found| Lost { is_known: true, ..found })
        }
        FileContent::Abandoned => {
            let found = lost(format!("{what} should be there, and the file is not finished"));
            found.map(|found| Lost { is_known: !file.is_sound, ..found })
        }
        content if !is_wanted(content) => {
            lost(format!("{what} should be there, and the file is something else"))
        }
        _ if file.uuid != uuid => {
            let found = file.uuid;
            let found = lost(format!("{what} should have the UUID {uuid}, and has {found}"));
            found.map(|found| Lost { snapshot: None, ..found })
        }
        _ => None,
    }
}

/// Where the tape knows more than a catalog of all of it.
pub(super) fn differences(facts: &TapeFacts, check: &CatalogCheck) -> Vec<String> {
    let mut found = Vec::new();
    for (number, file) in &facts.files {
        let unknown = |what: &str| {
            format!("tape {}, file {number}: its catalog does not know {what}", facts.text())
        };
        match (&file.content, check.named.get(number)) {
            (FileContent::Snapshot { name }, None) => {
                found.push(unknown(&format!("the archive of snapshot {name}")));
            }
            (FileContent::Chunks { .. }, None) => found.push(unknown("this chunk archive")),
            (FileContent::Chunks { count, .. }, Some(named)) if count > named => {
                found.push(unknown(&format!("{} of its chunks", count - named)));
            }
            _ => {}
        }
    }
    found
}
