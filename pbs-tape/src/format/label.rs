//! Labels: the first two files of a tape.
//!
//! File 0, the media label, is written once and gives the tape its identity, a UUID, for ever;
//! file 1, the media-set label, says which media set the tape belongs to and where in it. Both are
//! a single block: content header, JSON, nothing else. The JSON keys are written in alphabetical
//! order; readers take any order and ignore keys that they do not know.
//!
//! Neither is ever encrypted, so that every host can tell what a tape is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::block::{BlockSink, BlockSource, Opened, StreamReader, StreamWriter};
use super::header::{ContentHeader, ContentKind};
use crate::error::{Error, Result};

/// File number of the media label.
pub const MEDIA_LABEL_FILE: u64 = 0;
/// File number of the media-set label.
pub const MEDIA_SET_LABEL_FILE: u64 = 1;
/// First file number behind the labels.
pub const FIRST_DATA_FILE: u64 = 2;

/// Media label: who the tape is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaLabel {
    /// When it was labelled, seconds since the epoch.
    pub ctime: i64,
    /// The operator's name of the tape, equal to its barcode if it has one. Not unique by nature.
    pub label_text: String,
    /// The pool that it was labelled for; free for any pool if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Identity of the tape.
    pub uuid: Uuid,
}

/// Media-set label: where the tape belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaSetLabel {
    /// When the tape joined the set, seconds since the epoch; of `seq_nr` 0: the set's start.
    pub ctime: i64,
    /// Fingerprint of the key that encrypts files 2 and up: hex pairs joined by colons.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_key_fingerprint: Option<String>,
    /// Name of the pool.
    pub pool: String,
    /// Place of the tape in the set, from 0.
    pub seq_nr: u64,
    /// The media set. All-zero: reserved for the pool, in no set yet.
    pub uuid: Uuid,
}

impl MediaSetLabel {
    /// True if the tape only waits for use by the pool (zero UUID): it is in no set.
    pub fn is_unassigned(&self) -> bool {
        self.uuid.is_nil()
    }
}

/// The media-set label as on tape: with the password-protected key of an encrypted set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaSetLabelOnTape {
    /// The label proper.
    pub label: MediaSetLabel,
    /// The key config, undecoded.
    pub key_config: Option<serde_json::Value>,
}

#[derive(Serialize, Deserialize)]
struct RawMediaSetLabel {
    ctime: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encryption_key_fingerprint: Option<String>,
    #[serde(default, rename = "key-config", skip_serializing_if = "Option::is_none")]
    key_config: Option<serde_json::Value>,
    pool: String,
    seq_nr: u64,
    uuid: Uuid,
}

/// A tape's two labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// File 0.
    pub media: MediaLabel,
    /// File 1, if there is one.
    pub media_set: Option<MediaSetLabelOnTape>,
}

/// True if `text` can be a label text: 2 to 32 of `A-Z a-z 0-9 _ . -`, not starting with `.` or `-`.
pub fn check_label_text(text: &str) -> Result<()> {
    check_safe_name("label text", text)
}

/// The same for pool names.
pub fn check_pool_name(name: &str) -> Result<()> {
    check_safe_name("pool name", name)
}

fn check_safe_name(what: &'static str, value: &str) -> Result<()> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = (2..=32).contains(&value.len())
        && value.starts_with(word)
        && value.chars().all(|c| word(c) || c == '.' || c == '-');
    if good {
        Ok(())
    } else {
        Err(Error::InvalidName {
            what,
            value: value.to_string(),
            reason: "2 to 32 letters, digits, '_', '.', '-' are allowed, the first not '.' or '-'",
        })
    }
}

/// Writes file 0 at the position of `sink` (which must be the beginning of the tape).
pub fn write_media_label(sink: &mut dyn BlockSink, label: &MediaLabel) -> Result<ContentHeader> {
    check_label_text(&label.label_text)?;
    let mut stream = StreamWriter::new(sink);
    let header = ContentHeader::write(&mut stream, ContentKind::MediaLabel, label.ctime, label)?;
    stream.finish(false)?;
    Ok(header)
}

/// Writes file 1 at the position of `sink`.
///
/// A fingerprint without key config is refused before anything is written: nobody could ever
/// restore the key from such a tape.
pub fn write_media_set_label(
    sink: &mut dyn BlockSink,
    label: &MediaSetLabel,
    key_config: Option<&serde_json::Value>,
) -> Result<ContentHeader> {
    if label.encryption_key_fingerprint.is_some() != key_config.is_some() {
        return Err(Error::malformed(
            "media-set label",
            "a key fingerprint and the key's configuration belong together",
        ));
    }
    let raw = RawMediaSetLabel {
        ctime: label.ctime,
        encryption_key_fingerprint: label.encryption_key_fingerprint.clone(),
        key_config: key_config.cloned(),
        pool: label.pool.clone(),
        seq_nr: label.seq_nr,
        uuid: label.uuid,
    };
    let mut stream = StreamWriter::new(sink);
    let header = ContentHeader::write(&mut stream, ContentKind::MediaSetLabel, label.ctime, &raw)?;
    stream.finish(false)?;
    Ok(header)
}

/// Reads both labels; `source` must stand at the beginning of the tape and ends behind the last
/// label read. `None` is a blank tape.
pub fn read_labels(source: &mut dyn BlockSource) -> Result<Option<Labels>> {
    let Some(media) = read_media_label(source)? else {
        return Ok(None);
    };
    let media_set = match read_media_set_label(source) {
        // The power went while it was written. Nothing can be recorded behind the end of data, so
        // the tape is as good as one that never got a set label.
        Err(Error::UnexpectedEndOfData { .. }) => None,
        label => label?,
    };
    Ok(Some(Labels { media, media_set }))
}

/// Reads file 0. `None` is a blank tape.
pub fn read_media_label(source: &mut dyn BlockSource) -> Result<Option<MediaLabel>> {
    let mut stream = match StreamReader::open(source)? {
        Opened::File(stream) => stream,
        Opened::Filemark => return Err(Error::StrayFilemark),
        Opened::EndOfData => return Ok(None),
    };
    let header = ContentHeader::read(&mut stream)?;
    header.must_be(ContentKind::MediaLabel)?;
    let label: MediaLabel = header.read_data(&mut stream)?;
    stream.expect_end("media label")?;
    Ok(Some(label))
}

/// Reads file 1. `None` is a tape without media set.
pub fn read_media_set_label(source: &mut dyn BlockSource) -> Result<Option<MediaSetLabelOnTape>> {
    let mut stream = match StreamReader::open(source)? {
        Opened::File(stream) => stream,
        Opened::Filemark => return Err(Error::StrayFilemark),
        Opened::EndOfData => return Ok(None),
    };
    let header = ContentHeader::read(&mut stream)?;
    header.must_be(ContentKind::MediaSetLabel)?;
    let raw: RawMediaSetLabel = header.read_data(&mut stream)?;
    stream.expect_end("media-set label")?;
    Ok(Some(MediaSetLabelOnTape {
        label: MediaSetLabel {
            ctime: raw.ctime,
            encryption_key_fingerprint: raw.encryption_key_fingerprint,
            pool: raw.pool,
            seq_nr: raw.seq_nr,
            uuid: raw.uuid,
        },
        key_config: raw.key_config,
    }))
}

#[cfg(test)]
mod tests;
