//! Catalog archives: media catalogs kept on tape, so that tapes explain themselves.
//!
//! The header data says which tape the catalog describes, keys in this order: `uuid`,
//! `media_set_uuid`, `seq_nr`. The content is that tape's media catalog file byte for byte, as it
//! was committed at that moment (`docs/formats/media-catalog.md`).
//!
//! Each tape of a set starts with the catalogs of all earlier ones, and each job that did something
//! ends with the catalog of the tape it is on: the last tape of a set tells all of it, but for the
//! part that a crash cut off, which a scan finds.

use std::io::Read;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::block::{BlockSink, EarlyWarning, StreamReader, StreamWriter};
use super::header::{ContentHeader, ContentKind};
use crate::error::{Error, Result};

/// Which tape's catalog it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogArchiveHeader {
    /// Media UUID of the described tape.
    pub uuid: Uuid,
    /// Its media set.
    pub media_set_uuid: Uuid,
    /// Its place in the set.
    pub seq_nr: u64,
}

/// How writing a catalog archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogWritten {
    /// It is on tape. Early warning in its body does not matter.
    Complete {
        /// Bytes sent to the drive, whole blocks.
        sent_bytes: u64,
        /// Whether early warning was raised.
        early_warning: EarlyWarning,
    },
    /// The tape was full before the content began; the file is marked incomplete.
    DoesNotFit,
}

/// Writes the catalog read from `content`. `with_namespaces` selects the version: 1.1 if the job
/// may touch namespaces, else 1.0.
///
/// [`Error::TapeFull`] means that the tape's reserve ended: the file has no end marker and readers
/// step over it.
pub fn write_catalog_archive(
    sink: &mut dyn BlockSink,
    archive: &CatalogArchiveHeader,
    content: &mut dyn Read,
    with_namespaces: bool,
    ctime: i64,
) -> Result<CatalogWritten> {
    let kind = if with_namespaces {
        ContentKind::CatalogArchiveV1_1
    } else {
        ContentKind::CatalogArchiveV1_0
    };
    let mut stream = StreamWriter::new(sink);
    ContentHeader::write(&mut stream, kind, ctime, archive)?;
    if stream.early_warning() {
        stream.finish(true)?;
        return Ok(CatalogWritten::DoesNotFit);
    }
    let mut buffer = vec![0u8; 64 * 1024];
    loop {
        let bytes = match content.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::malformed("media catalog", e.to_string())),
        };
        stream.append(&buffer[..bytes])?;
    }
    let sent_bytes = stream.sent_bytes() + super::block::BLOCK_BYTES as u64;
    let early_warning = stream.finish(false)?;
    Ok(CatalogWritten::Complete { sent_bytes, early_warning })
}

/// Reads the header data of the catalog archive that `header` opened; the catalog itself follows
/// in `stream`.
pub fn read_catalog_archive(
    stream: &mut StreamReader<'_>,
    header: &ContentHeader,
) -> Result<CatalogArchiveHeader> {
    if !header.kind.is_catalog_archive() {
        return Err(Error::UnexpectedContent {
            expected: ContentKind::CatalogArchiveV1_1.name(),
            found: header.kind.name(),
        });
    }
    header.read_data(stream)
}
