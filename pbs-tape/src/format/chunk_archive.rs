//! Chunk archives: tape files full of a datastore's chunks.
//!
//! The header data names the datastore, `{"store": NAME}`. Entries follow to the end of the stream:
//!
//! | offset | size | field |
//! |--:|--:|---|
//! | 0 | 8 | magic `48 57 6d f2 de 42 8f dc` |
//! | 8 | 32 | digest of the chunk |
//! | 40 | 8 | length of the blob, little-endian |
//! | 48 | length | the chunk's blob file, verbatim |
//!
//! Why a chunk is never half restored: at early warning the archive is finished *as good* although
//! its last entry may be cut. A reader knows the entry's length, finds the stream ending inside it
//! and does not deliver it; the writer counts such a chunk as not written and puts it, whole, on the
//! next tape. A blob whose length is a multiple of 262144 bytes and whose last slice raised early
//! warning is complete on tape and written again all the same: readers deliver it twice, which is
//! harmless, and both sides follow one rule.

use datastore::Digest;
use serde::{Deserialize, Serialize};
use zerocopy::byteorder::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{BlockSink, StreamReader, StreamWriter};
use super::header::{ContentHeader, ContentKind};
use crate::error::{Error, Result};

/// First 8 bytes of SHA-256 of "Proxmox Backup Chunk Archive Entry v1.0".
const ENTRY_MAGIC: [u8; 8] = [0x48, 0x57, 0x6d, 0xf2, 0xde, 0x42, 0x8f, 0xdc];
const ENTRY_HEADER_BYTES: usize = size_of::<EntryHeader>();
const _: () = assert!(ENTRY_HEADER_BYTES == 48);

/// Early warning is looked at after so many bytes of a blob.
const SLICE_BYTES: usize = 262_144;
/// An archive is closed after the entry that pushed the bytes sent above this.
pub(crate) const ARCHIVE_SENT_BYTES_MAX: u64 = 4 << 30;
/// Longest blob that is taken from tape: 128 MiB of data and the longer of the two headers.
const BLOB_BYTES_MAX: u64 = (128 << 20) + 44;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct EntryHeader {
    magic: [u8; 8],
    digest: [u8; 32],
    size: U64,
}

#[derive(Serialize, Deserialize)]
struct HeaderData {
    store: String,
}

/// Bytes of an entry before its blob.
pub(crate) const ENTRY_HEAD_BYTES: usize = ENTRY_HEADER_BYTES;

/// The head of an entry, read by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHead {
    /// Digest of the chunk.
    pub digest: Digest,
    /// Length of the blob that follows.
    pub blob_bytes: u64,
}

impl EntryHead {
    /// The head that `bytes` begins with; `None` if it is none.
    pub fn parse(bytes: &[u8]) -> Option<EntryHead> {
        let (entry, _) = EntryHeader::read_from_prefix(bytes).ok()?;
        let blob_bytes = entry.size.get();
        (entry.magic == ENTRY_MAGIC && blob_bytes <= BLOB_BYTES_MAX)
            .then_some(EntryHead { digest: Digest(entry.digest), blob_bytes })
    }

    /// Where the next entry may begin in `bytes`, from `from` on: the magic stands there, or its beginning at the end.
    pub fn next_candidate(bytes: &[u8], from: usize) -> Option<usize> {
        let [first, ..] = ENTRY_MAGIC;
        let mut at = from;
        loop {
            let rest = bytes.get(at..)?;
            at += rest.iter().position(|byte| *byte == first)?;
            let candidate = bytes.get(at..)?;
            let len = candidate.len().min(ENTRY_MAGIC.len());
            if candidate.get(..len) == ENTRY_MAGIC.get(..len) {
                return Some(at);
            }
            at += 1;
        }
    }
}

/// Datastore of the archive whose stream begins with `stream`, and where its first entry begins.
pub(crate) fn archive_start(stream: &[u8]) -> Result<(String, u64)> {
    let (data, start) =
        ContentHeader::at_start::<HeaderData>(stream, ContentKind::ChunkArchiveV1_1)?;
    Ok((data.store, start as u64))
}

/// What became of a chunk that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the archive and the archive takes more.
    Room,
    /// It is in the archive; the archive has reached its size and must be finished.
    ArchiveFull,
    /// The tape is near its end; the archive must be finished.
    EarlyWarning {
        /// False if the chunk must be written again on the next tape.
        complete: bool,
    },
}

/// Writes one chunk archive.
pub struct ChunkArchiveWriter<'a> {
    stream: StreamWriter<'a>,
    header: ContentHeader,
}

impl<'a> ChunkArchiveWriter<'a> {
    /// Starts an archive for chunks of the datastore `store`.
    pub fn new(sink: &'a mut dyn BlockSink, store: &str, ctime: i64) -> Result<Self> {
        let mut stream = StreamWriter::new(sink);
        let data = HeaderData { store: store.to_string() };
        let header =
            ContentHeader::write(&mut stream, ContentKind::ChunkArchiveV1_1, ctime, &data)?;
        Ok(ChunkArchiveWriter { stream, header })
    }

    /// Appends the blob of one chunk.
    pub fn append(&mut self, digest: &Digest, blob: &[u8]) -> Result<Appended> {
        let entry =
            EntryHeader { magic: ENTRY_MAGIC, digest: digest.0, size: U64::new(blob.len() as u64) };
        // Early warning in the entry header shows up in the first slice, too.
        self.stream.append(entry.as_bytes())?;
        for slice in blob.chunks(SLICE_BYTES) {
            if self.stream.append(slice)? {
                return Ok(Appended::EarlyWarning { complete: slice.len() < SLICE_BYTES });
            }
        }
        if self.stream.sent_bytes() > ARCHIVE_SENT_BYTES_MAX {
            return Ok(Appended::ArchiveFull);
        }
        Ok(Appended::Room)
    }

    /// Closes the archive, cut or not: it never counts as incomplete.
    pub fn finish(self) -> Result<ContentHeader> {
        self.stream.finish(false)?;
        Ok(self.header)
    }

    /// Bytes that went to the drive for this file, whole blocks.
    pub fn sent_bytes(&self) -> u64 {
        self.stream.sent_bytes()
    }
}

/// Reads one chunk archive, behind its content header.
pub struct ChunkArchiveReader<'s, 'a> {
    stream: &'s mut StreamReader<'a>,
    store: String,
    cut: Option<Digest>,
    place: Place,
}

/// Where in the entries reading is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before an entry, or before the magic of one.
    Header,
    /// Behind an entry's magic.
    BehindMagic,
    /// In a blob that ends at this offset of the stream.
    Blob { end: u64 },
}

impl<'s, 'a> ChunkArchiveReader<'s, 'a> {
    /// Reads the header data of the archive that `header` opened.
    pub fn new(stream: &'s mut StreamReader<'a>, header: &ContentHeader) -> Result<Self> {
        header.must_be(ContentKind::ChunkArchiveV1_1)?;
        let data: HeaderData = header.read_data(stream)?;
        Ok(ChunkArchiveReader { stream, store: data.store, cut: None, place: Place::Header })
    }

    /// Name of the datastore that the chunks come from.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The stream below, to judge it.
    pub fn into_stream(self) -> &'s mut StreamReader<'a> {
        self.stream
    }

    /// Reads the next whole chunk: its blob replaces what is in `blob`. `None` is the end; a cut
    /// last chunk counts as the end and is told by [`ChunkArchiveReader::cut`].
    ///
    /// The blob is as long as announced, and nothing else about it was checked.
    pub fn next_chunk(&mut self, blob: &mut Vec<u8>) -> Result<Option<Digest>> {
        blob.clear();
        let mut bytes = [0u8; ENTRY_HEADER_BYTES];
        let from = match std::mem::replace(&mut self.place, Place::Header) {
            Place::BehindMagic => {
                bytes[..ENTRY_MAGIC.len()].copy_from_slice(&ENTRY_MAGIC);
                ENTRY_MAGIC.len()
            }
            Place::Header | Place::Blob { .. } => 0,
        };
        match from + self.stream.read_full(&mut bytes[from..])? {
            0 => return Ok(None),
            ENTRY_HEADER_BYTES => {}
            short => {
                return Err(Error::malformed(
                    "chunk archive",
                    format!("the file ends after {short} bytes of an entry header"),
                ));
            }
        }
        let entry = EntryHeader::read_from_bytes(&bytes)
            .map_err(|e| Error::malformed("chunk archive", e.to_string()))?;
        if entry.magic != ENTRY_MAGIC {
            return Err(Error::malformed(
                "chunk archive",
                format!("wrong entry magic {}", hex::encode(entry.magic)),
            ));
        }
        let size = entry.size.get();
        if size > BLOB_BYTES_MAX {
            return Err(Error::malformed(
                "chunk archive",
                format!("chunk {} claims {size} bytes", hex::encode(entry.digest)),
            ));
        }
        self.place = Place::Blob { end: self.stream.offset().saturating_add(size) };
        // Grows with what is really there, so that a damaged length costs no memory.
        while (blob.len() as u64) < size {
            let left = (size - blob.len() as u64).min(SLICE_BYTES as u64) as usize;
            if self.stream.read_onto(blob, left)? == 0 {
                blob.clear();
                self.cut = Some(Digest(entry.digest));
                return Ok(None);
            }
        }
        self.place = Place::Header;
        Ok(Some(Digest(entry.digest)))
    }

    /// As [`ChunkArchiveReader::next_chunk`], but goes on behind damage where that is possible; `damage` gets what it was.
    ///
    /// Behind a block that is lost in the middle of a blob, the next entry is where the blob ends. Where that is not
    /// known the next entry is looked for by its magic; that it may be found in the content of a chunk does no
    /// harm, because nobody believes in a chunk that is not proved.
    pub fn next_chunk_behind_damage(
        &mut self,
        blob: &mut Vec<u8>,
        damage: &mut Vec<Error>,
    ) -> Result<Option<Digest>> {
        let mut error = match self.next_chunk(blob) {
            Err(error) => error,
            next => return next,
        };
        loop {
            let passed = match &error {
                Error::Malformed { .. } => Ok(()),
                _ => self.stream.resume(),
            };
            if passed.is_err() {
                // What stopped reading tells more than that it could not be passed.
                return Err(error);
            }
            damage.push(error);
            error = match self.find_entry() {
                Ok(true) => match self.next_chunk(blob) {
                    Err(error) => error,
                    next => return next,
                },
                Ok(false) => return Ok(None),
                Err(error) => error,
            };
        }
    }

    /// Goes to the next entry; false if the file ends before.
    fn find_entry(&mut self) -> Result<bool> {
        if let Place::Blob { end } = self.place {
            // The offset is only right once the block behind the gap is there.
            if !self.stream.make_available()? {
                return Ok(false);
            }
            let at = self.stream.offset();
            if at <= end {
                self.pass_bytes(end - at)?;
                self.place = Place::Header;
                return Ok(true);
            }
        }
        self.place = Place::Header;
        let found = self.stream.pass_pattern(&ENTRY_MAGIC)?;
        if found {
            self.place = Place::BehindMagic;
        }
        Ok(found)
    }

    fn pass_bytes(&mut self, mut count: u64) -> Result<()> {
        let mut buffer = vec![0; SLICE_BYTES];
        while count > 0 {
            let now = count.min(SLICE_BYTES as u64) as usize;
            match self.stream.read(&mut buffer[..now])? {
                // The end of the tape cut the blob; the entry's reader finds the end, too.
                0 => return Ok(()),
                bytes => count -= bytes as u64,
            }
        }
        Ok(())
    }

    /// Digest of the last entry if the end of the tape cut it.
    pub fn cut(&self) -> Option<&Digest> {
        self.cut.as_ref()
    }
}

#[cfg(test)]
mod tests;
