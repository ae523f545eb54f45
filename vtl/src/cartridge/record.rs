//! The bytes of a cartridge's log: its file header and the header of each record.
//!
//! `docs/formats/vtl-cartridge.md` is the format's page. All numbers are little-endian.
//!
//! Log header, 64 bytes at offset 0:
//!
//! | offset | size | content |
//! |--:|--:|---|
//! | 0 | 8 | `CAPVTLOG` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | partition number |
//! | 16 | 8 | cartridge id, random |
//! | 24 | 32 | zero |
//! | 56 | 8 | CRC-64 of bytes 0 to 55 |
//!
//! Record header, 64 bytes at a multiple of 64, then the data and the seal, zero-padded to a multiple
//! of 64:
//!
//! | offset | size | content |
//! |--:|--:|---|
//! | 0 | 4 | `VREC` |
//! | 4 | 1 | kind: 1 block, 2 filemark |
//! | 5 | 1 | flags: bit 0 the block is encrypted |
//! | 6 | 2 | bytes of the seal behind the data (`seal`), 48 or more; 0 without encryption |
//! | 8 | 4 | data bytes; 0 for a filemark |
//! | 12 | 4 | epoch: how often the tape was overwritten before its end |
//! | 16 | 8 | object number in the partition |
//! | 24 | 4 | filemarks before this object |
//! | 28 | 4 | how many objects before this one were not yet known to be durable |
//! | 32 | 8 | data bytes before this object |
//! | 40 | 8 | chain: the check of the record before; for object 0 the cartridge id |
//! | 48 | 8 | CRC-64 of data and seal, 0 for a filemark |
//! | 56 | 8 | check: CRC-64 of bytes 0 to 55, the cartridge id and the record's offset |
//!
//! Each field that is not plainly needed defends against something:
//!
//! * *check* covers id and offset, so a log stored inside a log (a backup of a library), a stale
//!   block that the disk returns, or a record copied elsewhere is never taken for a record here;
//! * *chain* and *epoch* make a record useless behind any other predecessor, so after a power cut
//!   that kept some of the unsynchronised writes and lost others, no mixture of two histories is
//!   read as one;
//! * the CRC of an encrypted block is that of what is stored, so whether a cartridge is whole can be
//!   told without a key;
//! * *not yet durable* tells a reader that meets a bad header whether the tape had ended there
//!   (nothing behind was ever synchronised) or whether recorded data is damaged.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::durable::crc64;

/// Size of the log header, of a record header, and the unit of alignment.
pub(super) const SLOT_BYTES: u64 = 64;
/// The same for slices.
pub(super) const SLOT: usize = 64;
/// Largest block that the format can hold.
pub const RECORD_BYTES_MAX: u32 = 0xff_ffff;

/// Sizes that a seal can have.
pub(super) const SEAL_BYTES: std::ops::RangeInclusive<u16> = 48..=4096;

/// Most filemarks that the formats can count.
pub(super) const FILES_MAX: u32 = 0x7fff_ffff;

const LOG_MAGIC: [u8; 8] = *b"CAPVTLOG";
const LOG_VERSION: u32 = 1;
const RECORD_MAGIC: [u8; 4] = *b"VREC";
const FLAG_SEALED: u8 = 0x01;
const KIND_BLOCK: u8 = 1;
const KIND_FILEMARK: u8 = 2;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct LogHeaderBytes {
    magic: [u8; 8],
    version: U32,
    partition: U32,
    id: U64,
    reserved: [u8; 32],
    check: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
struct RecordHeaderBytes {
    magic: [u8; 4],
    kind: u8,
    flags: u8,
    seal_bytes: U16,
    length: U32,
    epoch: U32,
    object: U64,
    file: U32,
    not_durable: U32,
    bytes_before: U64,
    chain: U64,
    data_crc: U64,
    check: U64,
}

const CHECKED: usize = 56;
const _: () = assert!(size_of::<LogHeaderBytes>() == SLOT);
const _: () = assert!(size_of::<RecordHeaderBytes>() == SLOT);

/// The header at the start of a log.
pub(super) fn encode_log_header(id: u64, partition: u32) -> [u8; SLOT] {
    let mut header = LogHeaderBytes {
        magic: LOG_MAGIC,
        version: LOG_VERSION.into(),
        partition: partition.into(),
        id: id.into(),
        reserved: [0; 32],
        check: 0.into(),
    };
    let check = header.as_bytes().get(..CHECKED).map_or(0, |bytes| crc64(&[bytes]));
    header.check = check.into();
    let mut bytes = [0; SLOT];
    bytes.copy_from_slice(header.as_bytes());
    bytes
}

/// True if `bytes` is the log header of partition `partition` of cartridge `id`.
pub(super) fn is_log_header(bytes: &[u8; SLOT], id: u64, partition: u32) -> bool {
    *bytes == encode_log_header(id, partition)
}

/// A record header without its check, which follows from where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub filemark: bool,
    /// Data bytes, 0 for a filemark.
    pub length: u32,
    /// Bytes of the seal behind the data, 0 for a plain block and a filemark.
    pub seal_bytes: u16,
    pub epoch: u32,
    pub object: u64,
    /// Filemarks before this object.
    pub file: u32,
    /// Objects that were known durable when this was written.
    pub durable: u64,
    /// Data bytes before this object.
    pub bytes_before: u64,
    pub chain: u64,
    pub data_crc: u64,
}

impl Record {
    /// The header's bytes for a place in a log, and its check.
    pub fn encode(&self, id: u64, offset: u64) -> ([u8; SLOT], u64) {
        let not_durable = self.object.saturating_sub(self.durable);
        let mut header = RecordHeaderBytes {
            magic: RECORD_MAGIC,
            kind: if self.filemark { KIND_FILEMARK } else { KIND_BLOCK },
            flags: if self.seal_bytes > 0 { FLAG_SEALED } else { 0 },
            seal_bytes: self.seal_bytes.into(),
            length: self.length.into(),
            epoch: self.epoch.into(),
            object: self.object.into(),
            file: self.file.into(),
            // Saturating only makes fewer objects look durable, which is the safe side.
            not_durable: u32::try_from(not_durable).unwrap_or(u32::MAX).into(),
            bytes_before: self.bytes_before.into(),
            chain: self.chain.into(),
            data_crc: self.data_crc.into(),
            check: 0.into(),
        };
        let check = check_of(header.as_bytes(), id, offset);
        header.check = check.into();
        let mut bytes = [0; SLOT];
        bytes.copy_from_slice(header.as_bytes());
        (bytes, check)
    }

    /// The header at `offset` of the log of cartridge `id`, with its check; `None` if these bytes
    /// were not written as a record header to this place.
    pub fn decode(bytes: &[u8; SLOT], id: u64, offset: u64) -> Option<(Record, u64)> {
        let header = RecordHeaderBytes::ref_from_bytes(bytes).ok()?;
        if header.magic != RECORD_MAGIC || header.check.get() != check_of(bytes, id, offset) {
            return None;
        }
        let (length, seal_bytes) = (header.length.get(), header.seal_bytes.get());
        let seal_fits = match header.flags {
            0 => seal_bytes == 0,
            FLAG_SEALED => SEAL_BYTES.contains(&seal_bytes),
            _ => false,
        };
        let filemark = match header.kind {
            KIND_BLOCK if (1..=RECORD_BYTES_MAX).contains(&length) && seal_fits => false,
            KIND_FILEMARK if length == 0 && header.flags == 0 && seal_fits => true,
            _ => return None,
        };
        let object = header.object.get();
        let (file, bytes_before) = (header.file.get(), header.bytes_before.get());
        // Every object before takes a header, every byte before a byte: whoever forges a record
        // cannot make a reader count to numbers that the file has no room for.
        let room = object.checked_add(1).and_then(|slots| slots.checked_mul(SLOT_BYTES));
        if room.is_none_or(|room| room > offset)
            || u64::from(file) > object
            || file >= FILES_MAX
            || bytes_before > offset
        {
            return None;
        }
        let record = Record {
            filemark,
            length,
            seal_bytes,
            epoch: header.epoch.get(),
            object,
            file,
            durable: object.saturating_sub(header.not_durable.get().into()),
            bytes_before,
            chain: header.chain.get(),
            data_crc: header.data_crc.get(),
        };
        Some((record, header.check.get()))
    }

    /// Data and seal.
    pub fn content_bytes(&self) -> u64 {
        u64::from(self.length) + u64::from(self.seal_bytes)
    }

    /// Bytes this record takes in the log, header and padding included.
    pub fn stored_bytes(&self) -> u64 {
        SLOT_BYTES + self.content_bytes().next_multiple_of(SLOT_BYTES)
    }
}

fn check_of(header: &[u8], id: u64, offset: u64) -> u64 {
    let checked = header.get(..CHECKED).unwrap_or_default();
    crc64(&[checked, &id.to_le_bytes(), &offset.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Record {
        Record {
            filemark: false,
            length: 1000,
            seal_bytes: 0,
            epoch: 3,
            object: 7,
            file: 2,
            durable: 5,
            bytes_before: 300,
            chain: 0x1122_3344_5566_7788,
            data_crc: 0xaabb_ccdd,
        }
    }

    #[test]
    fn layout_is_frozen() {
        let (bytes, _) = sample().encode(0xfeed, 640);
        assert_eq!(&bytes[..4], b"VREC");
        assert_eq!(bytes[4..8], [1, 0, 0, 0]);
        assert_eq!(bytes[8..12], 1000u32.to_le_bytes());
        assert_eq!(bytes[12..16], 3u32.to_le_bytes());
        assert_eq!(bytes[16..24], 7u64.to_le_bytes());
        assert_eq!(bytes[24..28], 2u32.to_le_bytes());
        assert_eq!(bytes[28..32], 2u32.to_le_bytes());
        assert_eq!(bytes[32..40], 300u64.to_le_bytes());
        assert_eq!(bytes[40..48], 0x1122_3344_5566_7788u64.to_le_bytes());
        assert_eq!(bytes[48..56], 0xaabb_ccddu64.to_le_bytes());
        // CRC-64/XZ of "123456789", so that the polynomial is pinned too.
        assert_eq!(crc64(&[b"123456789"]), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn an_encrypted_block_has_its_flag_and_the_size_of_its_seal() {
        let sealed = Record { seal_bytes: 60, ..sample() };
        let (bytes, check) = sealed.encode(0xfeed, 640);
        assert_eq!(bytes[4..8], [1, 1, 60, 0]);
        assert_eq!(Record::decode(&bytes, 0xfeed, 640), Some((sealed, check)));
        assert_eq!((sample().stored_bytes(), sealed.stored_bytes()), (1088, 1152));
        let decodes = |record: Record| {
            let (bytes, _) = record.encode(0xfeed, 640);
            Record::decode(&bytes, 0xfeed, 640).is_some()
        };
        assert!(!decodes(Record { seal_bytes: 47, ..sample() }));
        assert!(!decodes(Record { seal_bytes: 4097, ..sample() }));
        assert!(!decodes(Record { filemark: true, length: 0, seal_bytes: 60, ..sample() }));
    }

    #[test]
    fn numbers_beyond_the_file_do_not_decode() {
        let decodes = |record: Record| {
            let (bytes, _) = record.encode(0xfeed, 640);
            Record::decode(&bytes, 0xfeed, 640).is_some()
        };
        assert!(decodes(Record { object: 9, durable: 9, ..sample() }));
        assert!(!decodes(Record { object: 10, durable: 10, ..sample() }));
        assert!(!decodes(Record { object: u64::MAX, ..sample() }));
        assert!(!decodes(Record { file: 8, ..sample() }));
        assert!(!decodes(Record { bytes_before: 641, ..sample() }));
    }

    #[test]
    fn only_the_written_place_and_cartridge_decode() {
        let (bytes, check) = sample().encode(0xfeed, 640);
        assert_eq!(Record::decode(&bytes, 0xfeed, 640), Some((sample(), check)));
        assert_eq!(Record::decode(&bytes, 0xfeed, 704), None);
        assert_eq!(Record::decode(&bytes, 0xfeee, 640), None);
        for index in 0..SLOT {
            let mut bad = bytes;
            bad[index] ^= 0x10;
            assert_eq!(Record::decode(&bad, 0xfeed, 640), None, "byte {index}");
        }
    }
}
