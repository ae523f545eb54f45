//! Bytes of the media catalog file (`docs/formats/media-catalog.md`).
//!
//! Eight bytes of magic, then records back to back; integers are little-endian. The structures were
//! once written from memory, so `A` and `S` hold *padding* that is part of the record: zero when
//! written here, anything when written by others.
//!
//! | record | bytes | fields behind the type byte |
//! |---|--:|---|
//! | `L` label | 33 | u64 file number, uuid, u64 seq_nr |
//! | `A` chunk archive begins | 33 + n | u64 file number, uuid, u8 n, 7 padding, datastore name |
//! | `C` chunk | 33 | digest |
//! | `E` chunk archive ends | 25 | u64 file number, uuid |
//! | `S` snapshot | 34 + n + m | u64 file number, uuid, u8 n, 1 padding, u16 m, 4 padding, datastore name, `:`, snapshot name |

use std::io::{ErrorKind, Read};

use datastore::Digest;
use uuid::Uuid;
use zerocopy::byteorder::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// First 8 bytes of SHA-256 of "Proxmox Backup Media Catalog v1.1".
pub const MAGIC_V1_1: [u8; 8] = [0x4c, 0x8e, 0xe8, 0xc1, 0x20, 0xa8, 0x89, 0x71];
/// The same of version 1.0, which nobody reads any more.
pub const MAGIC_V1_0: [u8; 8] = [0xdd, 0x1d, 0xa4, 0x01, 0x3b, 0x45, 0x13, 0x28];

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLabel {
    file_number: U64,
    uuid: [u8; 16],
    seq_nr: U64,
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawArchiveStart {
    file_number: U64,
    uuid: [u8; 16],
    store_len: u8,
    padding: [u8; 7],
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawArchiveEnd {
    file_number: U64,
    uuid: [u8; 16],
}

#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawSnapshot {
    file_number: U64,
    uuid: [u8; 16],
    store_len: u8,
    padding_1: u8,
    name_len: U16,
    padding_2: [u8; 4],
}

const _: () = assert!(size_of::<RawLabel>() == 32);
const _: () = assert!(size_of::<RawArchiveStart>() == 32);
const _: () = assert!(size_of::<RawArchiveEnd>() == 24);
const _: () = assert!(size_of::<RawSnapshot>() == 32);

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A label of the tape.
    Label {
        /// 0 = media label, 1 = media-set label.
        file_number: u64,
        /// Media UUID or media-set UUID.
        uuid: Uuid,
        /// 0, or the place in the set.
        seq_nr: u64,
    },
    /// A chunk archive begins.
    ArchiveStart {
        /// Tape file.
        file_number: u64,
        /// UUID in that file's content header.
        uuid: Uuid,
        /// Datastore of its chunks.
        store: String,
    },
    /// A chunk of the open archive.
    Chunk(Digest),
    /// The open archive ends.
    ArchiveEnd {
        /// Tape file.
        file_number: u64,
        /// UUID in that file's content header.
        uuid: Uuid,
    },
    /// A complete snapshot archive.
    Snapshot {
        /// Tape file.
        file_number: u64,
        /// UUID in that file's content header.
        uuid: Uuid,
        /// Datastore of the snapshot.
        store: String,
        /// `[ns/…/]type/id/time`.
        snapshot: String,
    },
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeError {
    /// The record needs at least so many bytes in all.
    Short {
        /// Bytes needed to get on.
        needed: usize,
    },
    /// Something in it is wrong.
    Bad {
        /// What, with the value found.
        reason: String,
    },
}

const COLON: u8 = b':';

impl Record {
    /// Bytes of a record of a chunk.
    pub const CHUNK_BYTES: u64 = 1 + size_of::<Digest>() as u64;

    /// Appends the record's bytes. Fails on names that the length fields can't hold.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Record::Label { file_number, uuid, seq_nr } => {
                out.push(b'L');
                let raw = RawLabel {
                    file_number: U64::new(*file_number),
                    uuid: *uuid.as_bytes(),
                    seq_nr: U64::new(*seq_nr),
                };
                out.extend_from_slice(raw.as_bytes());
            }
            Record::ArchiveStart { file_number, uuid, store } => {
                let store_len = store_len(store)?;
                out.push(b'A');
                let raw = RawArchiveStart {
                    file_number: U64::new(*file_number),
                    uuid: *uuid.as_bytes(),
                    store_len,
                    padding: [0; 7],
                };
                out.extend_from_slice(raw.as_bytes());
                out.extend_from_slice(store.as_bytes());
            }
            Record::Chunk(digest) => {
                out.push(b'C');
                out.extend_from_slice(&digest.0);
            }
            Record::ArchiveEnd { file_number, uuid } => {
                out.push(b'E');
                let raw =
                    RawArchiveEnd { file_number: U64::new(*file_number), uuid: *uuid.as_bytes() };
                out.extend_from_slice(raw.as_bytes());
            }
            Record::Snapshot { file_number, uuid, store, snapshot } => {
                let store_len = store_len(store)?;
                let name_len = u16::try_from(snapshot.len())
                    .map_err(|_| format!("snapshot name of {} bytes", snapshot.len()))?;
                out.push(b'S');
                let raw = RawSnapshot {
                    file_number: U64::new(*file_number),
                    uuid: *uuid.as_bytes(),
                    store_len,
                    padding_1: 0,
                    name_len: U16::new(name_len),
                    padding_2: [0; 4],
                };
                out.extend_from_slice(raw.as_bytes());
                out.extend_from_slice(store.as_bytes());
                out.push(COLON);
                out.extend_from_slice(snapshot.as_bytes());
            }
        }
        Ok(())
    }

    /// Decodes the record at the start of `bytes`; with it, its length.
    pub fn decode(bytes: &[u8]) -> Result<(Record, usize), DecodeError> {
        let Some((kind, rest)) = bytes.split_first() else {
            return Err(DecodeError::Short { needed: 1 });
        };
        match kind {
            b'L' => {
                let (raw, _) = take::<RawLabel>(rest)?;
                let record = Record::Label {
                    file_number: raw.file_number.get(),
                    uuid: Uuid::from_bytes(raw.uuid),
                    seq_nr: raw.seq_nr.get(),
                };
                Ok((record, 1 + size_of::<RawLabel>()))
            }
            b'A' => {
                let (raw, rest) = take::<RawArchiveStart>(rest)?;
                let fixed = 1 + size_of::<RawArchiveStart>();
                let store_len = usize::from(raw.store_len);
                let store = rest
                    .get(..store_len)
                    .ok_or(DecodeError::Short { needed: fixed + store_len })?;
                let record = Record::ArchiveStart {
                    file_number: raw.file_number.get(),
                    uuid: Uuid::from_bytes(raw.uuid),
                    store: text(store, "datastore name")?,
                };
                Ok((record, fixed + store_len))
            }
            b'C' => {
                let (digest, _) = take::<[u8; 32]>(rest)?;
                Ok((Record::Chunk(Digest(digest)), 33))
            }
            b'E' => {
                let (raw, _) = take::<RawArchiveEnd>(rest)?;
                let record = Record::ArchiveEnd {
                    file_number: raw.file_number.get(),
                    uuid: Uuid::from_bytes(raw.uuid),
                };
                Ok((record, 1 + size_of::<RawArchiveEnd>()))
            }
            b'S' => {
                let (raw, rest) = take::<RawSnapshot>(rest)?;
                let fixed = 1 + size_of::<RawSnapshot>();
                let store_len = usize::from(raw.store_len);
                let names_len = store_len + 1 + usize::from(raw.name_len.get());
                let names = rest
                    .get(..names_len)
                    .ok_or(DecodeError::Short { needed: fixed + names_len })?;
                let (store, name) = names.split_at(store_len);
                let Some((&COLON, name)) = name.split_first() else {
                    return Err(DecodeError::Bad {
                        reason: "there is no colon between datastore and snapshot".into(),
                    });
                };
                let record = Record::Snapshot {
                    file_number: raw.file_number.get(),
                    uuid: Uuid::from_bytes(raw.uuid),
                    store: text(store, "datastore name")?,
                    snapshot: text(name, "snapshot name")?,
                };
                Ok((record, fixed + names_len))
            }
            other => Err(DecodeError::Bad { reason: format!("unknown record type {other:02x}h") }),
        }
    }
}

fn store_len(store: &str) -> Result<u8, String> {
    u8::try_from(store.len()).map_err(|_| format!("datastore name of {} bytes", store.len()))
}

fn take<T: FromBytes>(bytes: &[u8]) -> Result<(T, &[u8]), DecodeError> {
    T::read_from_prefix(bytes).map_err(|_| DecodeError::Short { needed: 1 + size_of::<T>() })
}

fn text(bytes: &[u8], what: &str) -> Result<String, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_string()),
        Err(_) => Err(DecodeError::Bad { reason: format!("the {what} is not UTF-8") }),
    }
}

/// What came next in a catalog file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A record, from this offset on.
    Record(Record),
    /// The clean end.
    End,
    /// The file ends inside a record, or only zeros follow: an append was cut off.
    Torn,
    /// Bytes that are no record.
    Bad(String),
}

/// Reads records one after the other with little memory, however long the catalog is.
pub struct RecordReader<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    /// Offset in the file of `buffer[start]`.
    offset: u64,
}

const READ_BYTES: usize = 256 * 1024;

impl<R: Read> RecordReader<R> {
    /// Reads from `input`, whose next byte is at `offset` of its file.
    pub fn new(input: R, offset: u64) -> RecordReader<R> {
        RecordReader { input, buffer: Vec::new(), start: 0, offset }
    }

    /// Where the next record starts.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record.
    pub fn next_record(&mut self) -> std::io::Result<Next> {
        loop {
            match Record::decode(&self.buffer[self.start..]) {
                Ok((record, len)) => {
                    self.start += len;
                    self.offset += len as u64;
                    return Ok(Next::Record(record));
                }
                Err(DecodeError::Short { .. }) => {
                    if !self.refill()? {
                        let clean = self.start == self.buffer.len();
                        return Ok(if clean { Next::End } else { Next::Torn });
                    }
                }
                Err(DecodeError::Bad { reason }) => {
                    return Ok(if self.rest_is_zero()? { Next::Torn } else { Next::Bad(reason) });
                }
            }
        }
    }

    fn refill(&mut self) -> std::io::Result<bool> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let filled = self.buffer.len();
        // The longest record has 34 + 255 + 65535 bytes, so the buffer stays small.
        self.buffer.resize(filled + READ_BYTES, 0);
        loop {
            match self.input.read(&mut self.buffer[filled..]) {
                Ok(bytes) => {
                    self.buffer.truncate(filled + bytes);
                    return Ok(bytes > 0);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.buffer.truncate(filled);
                    return Err(e);
                }
            }
        }
    }

    /// File systems that lost power may show an append's length without its bytes.
    fn rest_is_zero(&mut self) -> std::io::Result<bool> {
        loop {
            if self.buffer[self.start..].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
            self.start = self.buffer.len();
            if !self.refill()? {
                return Ok(true);
            }
        }
    }
}
