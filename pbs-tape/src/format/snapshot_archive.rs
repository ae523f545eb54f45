//! Snapshot archives: all files of one snapshot but its chunks.
//!
//! The header data names it, `{"snapshot": "[ns/…/]type/id/time", "store": NAME}`. The content is a
//! pxar archive of version 1 with the files as they lie in the datastore: the manifest first, then
//! what it lists, in its order, then the client's log if there is one. The root's mode is a
//! directory's with the permissions 0664.
//!
//! A snapshot archive is all or nothing: as soon as early warning is seen while the content is
//! written, the file is finished with the mark *incomplete*, nobody counts it, and the whole archive
//! is written again on the next tape. Early warning in the very last block comes too late to matter.

use std::io::{self, Read, Write};

use datastore::hierarchy::MANIFEST_NAME;
use pxar::decoder::Event;
use pxar::{Decoder, Encoder, EntryKind, Metadata};
use serde::{Deserialize, Serialize};

use super::block::{BLOCK_BYTES, BlockSink, StreamReader, StreamWriter};
use super::header::{ContentHeader, ContentKind};
use crate::error::{Error, Result};

/// Mode of the root entry.
const ROOT_MODE: u32 = 0o040_664;

/// The header data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotArchiveHeader {
    /// `[ns/…/]type/id/time`.
    pub snapshot: String,
    /// Datastore that it comes from.
    pub store: String,
}

/// One file to be archived.
pub struct SnapshotFile {
    /// Its name.
    pub name: String,
    /// Mode, owner, group and time of change.
    pub metadata: Metadata,
    /// Exact length of `content` in bytes.
    pub size: u64,
    /// What is in it.
    pub content: Box<dyn Read>,
}

/// How writing a snapshot archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotWritten {
    /// The content header of the file.
    pub header: ContentHeader,
    /// False: the end of the tape was too near, write it again on the next one.
    pub complete: bool,
    /// A block of it raised early warning; of a complete one, the last.
    pub early_warning: bool,
    /// Bytes that went to the drive.
    pub sent_bytes: u64,
}

/// Writes one snapshot archive. The files come in the order described above.
pub fn write_snapshot_archive(
    sink: &mut dyn BlockSink,
    archive: &SnapshotArchiveHeader,
    files: impl IntoIterator<Item = Result<SnapshotFile>>,
    ctime: i64,
) -> Result<SnapshotWritten> {
    let in_namespace = archive.snapshot.starts_with("ns/");
    let kind = if in_namespace {
        ContentKind::SnapshotArchiveV1_2
    } else {
        ContentKind::SnapshotArchiveV1_1
    };
    let mut stream = StreamWriter::new(sink);
    let header = ContentHeader::write(&mut stream, kind, ctime, archive)?;
    let mut output = UntilWarning { stream: &mut stream, warned: false, failure: None };
    let result = encode(&mut output, files);
    let (warned, failure) = (output.warned, output.failure.take());
    if let Some(failure) = failure {
        return Err(failure);
    }
    if !warned {
        result?;
    }
    let sent_bytes = stream.sent_bytes() + BLOCK_BYTES as u64;
    let early_warning = stream.finish(warned)?;
    Ok(SnapshotWritten { header, complete: !warned, early_warning, sent_bytes })
}

fn encode(
    output: &mut UntilWarning<'_, '_>,
    files: impl IntoIterator<Item = Result<SnapshotFile>>,
) -> Result<()> {
    let mut encoder = Encoder::new(output, &Metadata::with_mode(ROOT_MODE)).map_err(pxar_error)?;
    for file in files {
        let mut file = file?;
        encoder
            .add_file(file.name.as_bytes(), &file.metadata, file.size, &mut file.content)
            .map_err(pxar_error)?;
    }
    encoder.finish().map_err(pxar_error)?;
    Ok(())
}

fn pxar_error(error: pxar::Error) -> Error {
    Error::malformed("snapshot archive", error.to_string())
}

/// Passes bytes on until early warning: then there is no use in going on. Slices of a block keep
/// what is written behind the warning small, because little fits there.
struct UntilWarning<'w, 'a> {
    stream: &'w mut StreamWriter<'a>,
    warned: bool,
    failure: Option<Error>,
}

impl Write for UntilWarning<'_, '_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.warned || self.failure.is_some() {
            return Err(io::Error::other("the tape takes no more"));
        }
        let slice = &data[..data.len().min(BLOCK_BYTES)];
        match self.stream.append(slice) {
            Ok(false) => Ok(slice.len()),
            Ok(true) => {
                self.warned = true;
                Err(io::Error::other("early warning"))
            }
            Err(failure) => {
                self.failure = Some(failure);
                Err(io::Error::other("the tape failed"))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads the header data of the snapshot archive that `header` opened.
pub fn read_snapshot_archive_header(
    stream: &mut StreamReader<'_>,
    header: &ContentHeader,
) -> Result<SnapshotArchiveHeader> {
    if !header.kind.is_snapshot_archive() {
        return Err(Error::UnexpectedContent {
            expected: ContentKind::SnapshotArchiveV1_1.name(),
            found: header.kind.name(),
        });
    }
    header.read_data(stream)
}

/// Reads the files of a snapshot archive whose header was read already; `each` gets name, metadata,
/// length and content of one after the other. What `each` does not read is skipped.
///
/// Ends at the end of the file; whether the archive counts is then told by
/// [`StreamReader::is_incomplete`].
///
/// What the tape or the drive reports comes as it is, not in the words of the archive's reader.
pub fn read_snapshot_files(
    stream: &mut StreamReader<'_>,
    each: impl FnMut(&str, &Metadata, u64, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    read_files(stream, each).map_err(|error| stream.take_failure().unwrap_or(error))
}

fn read_files(
    stream: &mut StreamReader<'_>,
    mut each: impl FnMut(&str, &Metadata, u64, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut decoder = Decoder::new(&mut *stream).map_err(pxar_error)?;
    match decoder.next_event().map_err(pxar_error)? {
        // The decoder insists on a directory as the root.
        Some(Event::Entry(_)) => {}
        _ => return Err(Error::malformed("snapshot archive", "it has no root")),
    }
    let mut has_manifest = false;
    loop {
        match decoder.next_event().map_err(pxar_error)? {
            Some(Event::Entry(entry)) => {
                let name = String::from_utf8_lossy(decoder.file_name()).into_owned();
                let EntryKind::File { size, .. } = entry.kind else {
                    return Err(Error::malformed(
                        "snapshot archive",
                        format!("'{name}' is not a regular file"),
                    ));
                };
                has_manifest |= name == MANIFEST_NAME;
                each(&name, &entry.metadata, size, &mut decoder.content())?;
            }
            Some(Event::LeaveDirectory) => {}
            None => break,
        }
    }
    // The decoder reads ahead, so it has seen what follows and the stream has not.
    let is_followed = decoder.is_followed();
    drop(decoder);
    if is_followed.map_err(|e| Error::malformed("snapshot archive", e.to_string()))? {
        return Err(Error::malformed("snapshot archive", "unexpected data behind it"));
    }
    if !has_manifest {
        return Err(Error::malformed("snapshot archive", format!("it has no {MANIFEST_NAME}")));
    }
    stream.expect_end("snapshot archive")
}

#[cfg(test)]
mod tests;
