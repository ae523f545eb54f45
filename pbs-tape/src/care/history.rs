//! A history: a file of records, oldest first, in `care/media` or `care/drive` of the state folder.
//!
//! Why it never harms, and is never harmed for good:
//!
//! * a record is one line that is appended in one write while the lock of all histories is held, so that jobs at the same time don't
//!   mix theirs. A crash may leave the beginning of a line, which is cut off by the next append;
//! * each line has a check of its own. One that is damaged is passed over and counted, those around it are read;
//! * a file grows to [`RECORDS_MAX`] records. Then the older half is put together in pairs ([`Record::merge`]) and the file replaced in
//!   one step: what happened long ago gets coarser, and no count and no alert is lost;
//! * a line is not synchronised: what a power cut takes is made up for by the next record, whose totals are the cartridge's own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::record::{LINE_BYTES_MAX, Record};
use crate::error::{Error, IoResultExt, Result};
use crate::media::state::replace_file;

/// Most records of a file.
pub const RECORDS_MAX: usize = 256;
/// Most bytes of a file that are read; there are never more unless somebody else wrote them.
pub const FILE_BYTES_MAX: u64 = (RECORDS_MAX * LINE_BYTES_MAX) as u64;
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// Lines that are not as they were written.
    pub damaged: usize,
    /// Bytes up to the end of the last whole line.
    intact_bytes: u64,
    /// The file is longer than one that this program writes.
    is_too_long: bool,
}

impl History {
    /// From the content of a file. Whatever it is, what can be read in it is read.
    pub fn decode(content: &[u8]) -> History {
        let mut history = History::default();
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            // Without a newline it is the beginning of a line that a crash cut off.
            let Some(line) = line.strip_suffix(b"\n") else { break };
            history.intact_bytes += line.len() as u64 + 1;
            match Record::decode(line) {
                Some(record) => history.records.push(record),
                None => history.damaged += 1,
            }
        }
        history
    }

    /// Reads a file; one that is not there is empty.
    pub fn load(path: &Path) -> Result<History> {
        let Some((content, is_whole)) = read_end(path, FILE_BYTES_MAX)? else {
            return Ok(History::default());
        };
        let mut history = History::decode(&content);
        history.is_too_long = !is_whole;
        Ok(history)
    }

    /// The last record of a file, read from its end alone; `None` if there is none that can be read.
    pub fn last_of(path: &Path) -> Result<Option<Record>> {
        // Room for one whole line whatever comes before and behind it.
        let Some((content, _)) = read_end(path, 3 * LINE_BYTES_MAX as u64)? else {
            return Ok(None);
        };
        let lines = content.split_inclusive(|byte| *byte == b'\n').rev();
        Ok(lines.filter_map(|line| line.strip_suffix(b"\n")).find_map(Record::decode))
    }

    /// Adds a record to the file that this was loaded from. The caller holds the lock of the histories since.
    pub fn append(&mut self, path: &Path, record: Record) -> Result<()> {
        let line = record.encode()?;
        self.records.push(record);
        if self.records.len() > RECORDS_MAX || self.is_too_long {
            self.records = thin(std::mem::take(&mut self.records));
            let mut content = Vec::new();
            for record in &self.records {
                content.extend(record.encode()?);
            }
            replace_file(path, &content, FILE_MODE)?;
            self.intact_bytes = content.len() as u64;
            (self.damaged, self.is_too_long) = (0, false);
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).at(folder)?;
        }
        let mut file =
            OpenOptions::new().create(true).append(true).mode(FILE_MODE).open(path).at(path)?;
        if file.metadata().at(path)?.len() > self.intact_bytes {
            file.set_len(self.intact_bytes).at(path)?;
        }
        file.write_all(&line).at(path)?;
        self.intact_bytes += line.len() as u64;
        Ok(())
    }
}

/// The last `bytes_max` bytes of a file, and whether that is all of it; `None` if there is no file.
fn read_end(path: &Path, bytes_max: u64) -> Result<Option<(Vec<u8>, bool)>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, error)),
    };
    let start = file.metadata().at(path)?.len().saturating_sub(bytes_max);
    file.seek(SeekFrom::Start(start)).at(path)?;
    let mut content = Vec::new();
    file.take(bytes_max).read_to_end(&mut content).at(path)?;
    Ok(Some((content, start == 0)))
}

/// Puts the older half together in pairs.
fn thin(records: Vec<Record>) -> Vec<Record> {
    let older = records.len() / 2;
    let mut thinned = Vec::with_capacity(records.len());
    let mut first: Option<Record> = None;
    for (at, record) in records.into_iter().enumerate() {
        if at >= older {
            thinned.extend(first.take());
            thinned.push(record);
        } else {
            match first.take() {
                None => first = Some(record),
                Some(one) => thinned.push(one.merge(record)),
            }
        }
    }
    thinned.extend(first);
    // A file that somebody else made may hold more than any of ours.
    let over = thinned.len().saturating_sub(RECORDS_MAX);
    thinned.drain(..over);
    thinned
}
