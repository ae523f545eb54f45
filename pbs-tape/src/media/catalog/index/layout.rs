//! Bytes of the chunk index (`docs/formats/catalog-index.md`). Integers are little-endian.
//!
//! ```text
//! header │ records of the log but its chunks, padding to 2048 │ blocks of 2048 │ fence │ datastores
//! ```
//!
//! | offset | size | header |
//! |--:|--:|---|
//! | 0 | 8 | `CAPCHIDX` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | CRC-32 of the header with this field zero |
//! | 16 | 16 | media UUID |
//! | 32 | 16 | random: which making of the index this is |
//! | 48 | 8 | inode of the log |
//! | 56 | 8 | its time of change, seconds |
//! | 64 | 4 | and nanoseconds |
//! | 68 | 4 | zero |
//! | 72 | 8 | bytes of the log that are covered |
//! | 80 | 32 | SHA-256 of samples of them |
//! | 112 | 8 | bytes of the log's records |
//! | 120 | 8 | number of chunks |
//! | 128 | 8 | bytes of the table of datastores |
//! | 136 | 4 | CRC-32 of the log's records and their padding |
//! | 140 | 4 | CRC-32 of the fence |
//! | 144 | 4 | CRC-32 of the table of datastores |
//! | 148 | 4 | zero |
//!
//! | offset | size | block |
//! |--:|--:|---|
//! | 0 | 4 | CRC-32 of the header's random bytes and of the rest of the block |
//! | 4 | 4 | number of chunks in it: 50, in the last block the rest |
//! | 8 | 8 | number of the block, from 0 |
//! | 16 | 40 each | digest, u64 tape file; zeros behind the last |
//!
//! The fence has for each block the first four bytes of its first digest, as a u32. The table of
//! datastores has for each one u8 n, n bytes of its name, u64 number of its chunks. Chunks are sorted
//! by datastore in that order, then by digest.

use std::collections::BTreeMap;
use std::ops::Range;

use datastore::Digest;
use uuid::Uuid;
use zerocopy::byteorder::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const MAGIC: [u8; 8] = *b"CAPCHIDX";
pub(super) const VERSION: u32 = 1;
/// Twice as much costs half a microsecond more a look-up, half as much another 80 MB of memory for a
/// billion chunks.
pub(super) const BLOCK_BYTES: usize = 2048;
/// Chunks in a full block.
pub(super) const BLOCK_CHUNKS: usize = 50;
/// Bytes of the fence for each block.
pub(super) const FENCE_BYTES: u64 = size_of::<u32>() as u64;

/// The header.
#[derive(Debug, Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub magic: [u8; 8],
    pub version: U32,
    pub crc: U32,
    pub media: [u8; 16],
    pub build: [u8; 16],
    pub log_inode: U64,
    pub log_mtime_s: I64,
    pub log_mtime_ns: U32,
    pub zero_1: U32,
    pub covered_bytes: U64,
    pub sample: [u8; 32],
    pub head_bytes: U64,
    pub chunks: U64,
    pub stores_bytes: U64,
    pub head_crc: U32,
    pub fence_crc: U32,
    pub stores_crc: U32,
    pub zero_2: U32,
}

pub(super) const HEADER_BYTES: usize = size_of::<Header>();
const _: () = assert!(HEADER_BYTES == 152);

/// A chunk in a block.
#[derive(Debug, Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct RawChunk {
    pub digest: [u8; 32],
    pub file_number: U64,
}

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BlockHeader {
    crc: U32,
    chunks: U32,
    number: U64,
}

const _: () =
    assert!(size_of::<BlockHeader>() + BLOCK_CHUNKS * size_of::<RawChunk>() <= BLOCK_BYTES);

impl Header {
    /// The header's bytes with the right check value.
    pub fn encode(mut self) -> Header {
        self.crc = U32::new(0);
        self.crc = U32::new(crc(0, self.as_bytes()));
        self
    }

    /// Reads the header of an index of this version, if it is whole.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Header> {
        let header = Header::read_from_bytes(bytes).ok()?;
        let found = header.crc;
        let header = header.encode();
        let is_ours = header.magic == MAGIC && header.version.get() == VERSION;
        (is_ours && header.crc == found).then_some(header)
    }

    /// Where the parts are; `None` if the numbers make no file.
    pub fn places(&self) -> Option<Places> {
        let block_bytes = BLOCK_BYTES as u64;
        let head_end = (HEADER_BYTES as u64).checked_add(self.head_bytes.get())?;
        let blocks_at = head_end.checked_next_multiple_of(block_bytes)?;
        let blocks = self.chunks.get().div_ceil(BLOCK_CHUNKS as u64);
        let fence_at = blocks_at.checked_add(blocks.checked_mul(block_bytes)?)?;
        let stores_at = fence_at.checked_add(blocks.checked_mul(FENCE_BYTES)?)?;
        let end = stores_at.checked_add(self.stores_bytes.get())?;
        Some(Places { blocks_at, blocks, fence_at, stores_at, end })
    }

    /// What the check values of blocks begin with: a block of another making is none of this one.
    pub fn block_salt(&self) -> u32 {
        crc(0, &self.build)
    }

    /// Which making of the index this is.
    pub fn build(&self) -> Uuid {
        Uuid::from_bytes(self.build)
    }
}

/// Offsets in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    pub blocks_at: u64,
    pub blocks: u64,
    pub fence_at: u64,
    pub stores_at: u64,
    pub end: u64,
}

/// Completes a block: `block` holds so many chunks behind the place of its header.
pub(super) fn seal_block(block: &mut [u8; BLOCK_BYTES], number: u64, chunks: usize, salt: u32) {
    let used = size_of::<BlockHeader>() + chunks * size_of::<RawChunk>();
    block[used..].fill(0);
    let mut header =
        BlockHeader { crc: U32::new(0), chunks: U32::new(chunks as u32), number: U64::new(number) };
    block[..size_of::<BlockHeader>()].copy_from_slice(header.as_bytes());
    header.crc = U32::new(block_crc(block, salt));
    block[..size_of::<BlockHeader>()].copy_from_slice(header.as_bytes());
}

/// Where the chunk with this number goes in a block.
pub(super) fn chunk_place(number: usize) -> Range<usize> {
    let start = size_of::<BlockHeader>() + number * size_of::<RawChunk>();
    start..start + size_of::<RawChunk>()
}

fn block_crc(block: &[u8; BLOCK_BYTES], salt: u32) -> u32 {
    crc(salt, &block[size_of::<U32>()..])
}

/// The chunks of a block, if it is block `number` of this index and whole.
pub(super) fn block_chunks(
    block: &[u8; BLOCK_BYTES],
    number: u64,
    salt: u32,
) -> Option<&[RawChunk]> {
    let (header, rest) = BlockHeader::ref_from_prefix(block).ok()?;
    if header.crc.get() != block_crc(block, salt) || header.number.get() != number {
        return None;
    }
    let chunks = usize::try_from(header.chunks.get()).ok()?;
    let (chunks, _) = <[RawChunk]>::ref_from_prefix_with_elems(rest, chunks).ok()?;
    Some(chunks)
}

/// The first bytes of a digest as a number that sorts like it.
pub(super) fn digest_prefix(digest: &[u8; 32]) -> u32 {
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// CRC-32 (IEEE) of what had the value `before`, continued with these bytes.
pub(super) fn crc(before: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(before);
    hasher.update(bytes);
    hasher.finalize()
}

/// Datastore → numbers of its chunks in the sorted order.
pub(super) type Stores = BTreeMap<String, Range<u64>>;

/// One row of the table of datastores; `None` for a name that is too long.
pub(super) fn encode_store(name: &str, chunks: u64, out: &mut Vec<u8>) -> Option<()> {
    out.push(u8::try_from(name.len()).ok()?);
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(&chunks.to_le_bytes());
    Some(())
}

/// Reads the table of datastores, whose chunks must be `chunks` in all.
pub(super) fn decode_stores(mut bytes: &[u8], chunks: u64) -> Option<Stores> {
    let mut stores = Stores::new();
    let mut first = 0u64;
    while let Some((len, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let (count, rest) = rest.split_first_chunk::<8>()?;
        let end = first.checked_add(u64::from_le_bytes(*count))?;
        if stores.insert(std::str::from_utf8(name).ok()?.to_string(), first..end).is_some() {
            return None;
        }
        first = end;
        bytes = rest;
    }
    (first == chunks).then_some(stores)
}

impl RawChunk {
    pub fn new(digest: [u8; 32], file_number: u64) -> RawChunk {
        RawChunk { digest, file_number: U64::new(file_number) }
    }

    pub fn digest(&self) -> Digest {
        Digest(self.digest)
    }
}
