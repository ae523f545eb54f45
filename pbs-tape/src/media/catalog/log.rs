//! Reading a catalog's log: from its beginning, from where an index ends, or from a stream.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use uuid::Uuid;

use super::content::CatalogContent;
use super::order::RecordOrder;
use super::record::{MAGIC_V1_0, MAGIC_V1_1, Next, Record, RecordReader};
use crate::error::{Error, IoResultExt, Result};
use crate::media::inventory::MediaId;

const MAGIC_BYTES: u64 = MAGIC_V1_1.len() as u64;

/// A part of a log. Reads at its own place, so that several can read one file.
pub(super) struct LogRange<'a> {
    file: &'a File,
    offset: u64,
    end: u64,
}

impl LogRange<'_> {
    /// The bytes from `offset` to `end`; fewer if the file is shorter.
    pub fn new(file: &File, offset: u64, end: u64) -> LogRange<'_> {
        LogRange { file, offset, end }
    }
}

impl Read for LogRange<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let bytes = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

/// How much of a log is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// End of the last complete label, archive or snapshot.
    pub good_bytes: u64,
    /// Something incomplete follows.
    pub torn: bool,
}

/// Called for every record after it was taken in.
pub(super) type EachRecord<'a> = &'a mut dyn FnMut(&Record, &CatalogContent);

/// Reads a log from its beginning to `end`.
pub(super) fn read_log(
    file: &File,
    path: &Path,
    media: &MediaId,
    end: u64,
    content: &mut CatalogContent,
    each: EachRecord<'_>,
) -> Result<Extent> {
    let mut input = LogRange::new(file, 0, end);
    let mut magic = Vec::new();
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic).at(path)?;
    if (magic.len() as u64) < MAGIC_BYTES {
        // A catalog begins with one commit of magic and labels: less than the magic is either
        // nothing at all or the torn beginning of that commit.
        let torn = !magic.is_empty();
        if torn && !MAGIC_V1_1.starts_with(&magic) && magic.iter().any(|byte| *byte != 0) {
            return Err(bad_magic(&magic, path));
        }
        return Ok(Extent { good_bytes: 0, torn });
    }
    if magic.iter().all(|byte| *byte == 0) {
        let mut rest = Vec::new();
        input.by_ref().take(1 << 20).read_to_end(&mut rest).at(path)?;
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(Extent { good_bytes: 0, torn: true });
        }
    }
    check_magic(&magic, path)?;
    read_records(file, path, media, MAGIC_BYTES, end, content, each)
}

/// Reads the records between two places. `content` is what those before `from` made.
pub(super) fn read_records(
    file: &File,
    path: &Path,
    media: &MediaId,
    from: u64,
    end: u64,
    content: &mut CatalogContent,
    each: EachRecord<'_>,
) -> Result<Extent> {
    let mut reader = RecordReader::new(LogRange::new(file, from, end), from);
    let mut good_bytes = from;
    loop {
        let offset = reader.offset();
        let damaged =
            |reason: String| Error::CatalogDamaged { path: path.to_path_buf(), offset, reason };
        match reader.next_record().at(path)? {
            Next::Record(record) => {
                content.apply(media, &record).map_err(damaged)?;
                each(&record, content);
                if !content.is_archive_open() {
                    good_bytes = reader.offset();
                }
            }
            Next::End => {
                let torn = content.is_archive_open();
                return Ok(Extent { good_bytes, torn });
            }
            Next::Torn => return Ok(Extent { good_bytes, torn: true }),
            Next::Bad(reason) => return Err(damaged(reason)),
        }
    }
}

/// Checks a whole catalog, for instance one that came from tape, without keeping it. It must be that
/// of `media` and hold both its labels.
pub fn check_catalog_stream(input: &mut dyn Read, name: &Path, media: &MediaId) -> Result<()> {
    let mut magic = [0u8; MAGIC_V1_1.len()];
    input.read_exact(&mut magic).at(name)?;
    check_magic(&magic, name)?;
    let mut reader = RecordReader::new(input, MAGIC_BYTES);
    let mut order = RecordOrder::default();
    loop {
        let offset = reader.offset();
        let damaged =
            |reason: String| Error::CatalogDamaged { path: name.to_path_buf(), offset, reason };
        match reader.next_record().at(name)? {
            Next::Record(record) => order.check(media, &record).map_err(damaged)?,
            Next::End if order.open_archive().is_some() => {
                return Err(damaged("a chunk archive does not end".into()));
            }
            Next::End if order.labels() < 2 => {
                return Err(damaged("it lacks a label".into()));
            }
            Next::End => return Ok(()),
            Next::Torn => return Err(damaged("it ends inside a record".into())),
            Next::Bad(reason) => return Err(damaged(reason)),
        }
    }
}

/// The media UUID and, if there is one, the set UUID that a catalog names. `None` for a catalog that
/// nobody has begun.
pub(super) fn read_labels(file: &File, path: &Path) -> Result<Option<(Uuid, Option<Uuid>)>> {
    let mut magic = Vec::new();
    let mut input = BufReader::new(file);
    input.by_ref().take(MAGIC_BYTES).read_to_end(&mut magic).at(path)?;
    // Loading such a file cuts its torn first commit off and begins it anew.
    let is_torn_prefix = (magic.len() as u64) < MAGIC_BYTES && MAGIC_V1_1.starts_with(&magic);
    if is_torn_prefix || magic.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    check_magic(&magic, path)?;
    let mut reader = RecordReader::new(input, MAGIC_BYTES);
    let Next::Record(Record::Label { uuid: media, file_number: 0, .. }) =
        reader.next_record().at(path)?
    else {
        return Ok(None);
    };
    match reader.next_record().at(path)? {
        Next::Record(Record::Label { uuid: set, file_number: 1, .. }) => {
            Ok(Some((media, Some(set))))
        }
        _ => Ok(Some((media, None))),
    }
}

fn check_magic(magic: &[u8], path: &Path) -> Result<()> {
    if magic == MAGIC_V1_1 { Ok(()) } else { Err(bad_magic(magic, path)) }
}

fn bad_magic(magic: &[u8], path: &Path) -> Error {
    let reason = if magic == MAGIC_V1_0 {
        "version 1.0 is no longer supported; rebuild the catalog from the tape with 'tape catalog'"
            .to_string()
    } else {
        format!("{} is not the magic of a media catalog", hex::encode(magic))
    };
    Error::CatalogDamaged { path: path.to_path_buf(), offset: 0, reason }
}
