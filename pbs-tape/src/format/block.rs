//! Blocks and streams: how bytes become a tape file and back.
//!
//! A block is 262144 bytes: a 16-byte header and the payload area.
//!
//! | offset | size | field |
//! |--:|--:|---|
//! | 0 | 8 | magic `dc bd af ca eb a0 a5 28` |
//! | 8 | 1 | flags: bit 0 end of stream, bit 1 incomplete |
//! | 9 | 3 | payload bytes in use, little-endian |
//! | 12 | 4 | number of the block in its file, little-endian |
//! | 16 | 262128 | payload, zero behind the used part |
//!
//! What the writer guarantees, and every reader may rely on:
//!
//! * all blocks but the last are full and have flags 0; the last has the end marker, is never full
//!   and is followed by exactly one filemark. A stream that ends at a block boundary therefore gets
//!   one more, empty block;
//! * early warning is success: the block that raised it is on tape. It is remembered until the file
//!   is finished, because the caller decides what it means for its kind of file;
//! * a writer that is dropped unfinished leaves a file without end marker, closed by a filemark if
//!   the drive still takes one, so that the next file does not merge into it.
//!
//! The reader checks every block before it gives out a byte of it, consumes the filemark behind the
//! end marker by *reading* (spacing over it would hide a stray block) and refuses to go on after an
//! error, because the position is then unknown.

mod reader;
mod writer;

pub use reader::{Opened, StreamReader};
use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub use writer::StreamWriter;

use crate::error::{BlockFault, Result};

/// Bytes of a block on tape.
pub const BLOCK_BYTES: usize = 262_144;
/// Bytes of the block header.
const HEADER_BYTES: usize = size_of::<BlockHeader>();
/// Bytes of a block's payload area.
pub const PAYLOAD_BYTES: usize = BLOCK_BYTES - HEADER_BYTES;

/// First 8 bytes of SHA-256 of "Proxmox Tape Block Header v1.0".
const BLOCK_MAGIC: [u8; 8] = [0xdc, 0xbd, 0xaf, 0xca, 0xeb, 0xa0, 0xa5, 0x28];
const FLAG_END_OF_STREAM: u8 = 0x01;
const FLAG_INCOMPLETE: u8 = 0x02;
/// The last block of a file that its writer gave up.
const FLAG_GIVEN_UP: u8 = FLAG_END_OF_STREAM | FLAG_INCOMPLETE;

const _: () = assert!(HEADER_BYTES == 16);
const _: () = assert!(PAYLOAD_BYTES == 262_128);
const _: () = assert!(PAYLOAD_BYTES < 1 << 24, "the size field has three bytes");

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct BlockHeader {
    magic: [u8; 8],
    flags: u8,
    size: [u8; 3],
    seq_nr: U32,
}

impl BlockHeader {
    fn new(flags: u8, size: usize, seq_nr: u32) -> BlockHeader {
        debug_assert!(size <= PAYLOAD_BYTES);
        let [size_0, size_1, size_2, _] = (size as u32).to_le_bytes();
        BlockHeader {
            magic: BLOCK_MAGIC,
            flags,
            size: [size_0, size_1, size_2],
            seq_nr: U32::new(seq_nr),
        }
    }

    fn payload_bytes(&self) -> u32 {
        let [size_0, size_1, size_2] = self.size;
        u32::from_le_bytes([size_0, size_1, size_2, 0])
    }
}

/// How many blocks a stream of `bytes` bytes makes.
pub fn blocks_for_stream(bytes: u64) -> u64 {
    bytes / PAYLOAD_BYTES as u64 + 1
}

/// True once the drive has said that the end of the medium is near (LEOM). The block that raised
/// it was written.
pub type EarlyWarning = bool;

/// Takes the blocks of tape files.
pub trait BlockSink {
    /// Writes one block of [`BLOCK_BYTES`] and says whether the drive raised early warning.
    ///
    /// [`Error::TapeFull`] is the physical end of the medium; the block was not written.
    fn write_block(&mut self, block: &[u8]) -> Result<EarlyWarning>;

    /// The same from memory that has room behind the block, for what a drive's protection adds: without a copy.
    fn write_block_in_place(&mut self, block: &mut AlignedBlock) -> Result<EarlyWarning> {
        self.write_block(block.as_slice())
    }

    /// Writes one filemark without waiting for the medium. Early warning is not reported.
    fn write_filemark(&mut self) -> Result<()>;
}

/// What came from the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockRead {
    /// A block of so many bytes (more than the buffer if the block was longer).
    Block {
        /// Its length on the medium as far as known.
        bytes: usize,
    },
    /// A filemark; the position is behind it.
    Filemark,
    /// The end of recorded data.
    EndOfData,
}

/// Gives the blocks of tape files.
pub trait BlockSource {
    /// Reads the next block into `buffer`.
    fn read_block(&mut self, buffer: &mut [u8]) -> Result<BlockRead>;

    /// The same into memory that has room behind the block, for what a drive's protection adds: without a copy. After an
    /// error there may be anything in it.
    fn read_block_in_place(&mut self, block: &mut AlignedBlock) -> Result<BlockRead> {
        self.read_block(block.bytes_mut())
    }

    /// After a read that failed because the medium is damaged there: goes behind that block.
    fn pass_unreadable_block(&mut self) -> Result<()>;
}

impl<T: BlockSink + ?Sized> BlockSink for Box<T> {
    fn write_block(&mut self, block: &[u8]) -> Result<EarlyWarning> {
        (**self).write_block(block)
    }
    fn write_block_in_place(&mut self, block: &mut AlignedBlock) -> Result<EarlyWarning> {
        (**self).write_block_in_place(block)
    }
    fn write_filemark(&mut self) -> Result<()> {
        (**self).write_filemark()
    }
}

impl<T: BlockSource + ?Sized> BlockSource for Box<T> {
    fn read_block(&mut self, buffer: &mut [u8]) -> Result<BlockRead> {
        (**self).read_block(buffer)
    }
    fn read_block_in_place(&mut self, block: &mut AlignedBlock) -> Result<BlockRead> {
        (**self).read_block_in_place(block)
    }
    fn pass_unreadable_block(&mut self) -> Result<()> {
        (**self).pass_unreadable_block()
    }
}

/// A buffer of one block, aligned to a memory page so that a kernel can move it without a copy, with room behind it for a
/// check value.
pub struct AlignedBlock {
    memory: Box<[u8]>,
    start: usize,
}

const PAGE_BYTES: usize = 4096;
/// Bytes behind an [`AlignedBlock`] for what protection adds.
const ROOM_BYTES: usize = 64;

impl AlignedBlock {
    /// A buffer of zeros.
    pub fn new() -> AlignedBlock {
        let memory = vec![0u8; BLOCK_BYTES + ROOM_BYTES + PAGE_BYTES].into_boxed_slice();
        let start = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        AlignedBlock { memory, start }
    }

    /// The bytes of the block.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + BLOCK_BYTES]
    }

    fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + BLOCK_BYTES]
    }

    /// The block and the room behind it.
    pub(crate) fn with_room(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + BLOCK_BYTES + ROOM_BYTES]
    }
}

impl Default for AlignedBlock {
    fn default() -> AlignedBlock {
        AlignedBlock::new()
    }
}

/// A block that was read by itself, out of the middle of a file.
#[derive(Debug, Clone, Copy)]
pub struct SingleBlock<'a> {
    /// Its part of the stream.
    pub payload: &'a [u8],
    /// The file ends with it.
    pub is_last: bool,
}

/// The block `seq_nr` of a file, read as `bytes` bytes into `block`, with the checks of a reader that came to it from
/// the beginning.
pub fn single_block(
    block: &[u8],
    bytes: usize,
    seq_nr: u32,
) -> Result<SingleBlock<'_>, BlockFault> {
    let header = check_block(block, bytes, seq_nr)?;
    // At most the block's length, as was checked.
    let end = HEADER_BYTES + header.payload_bytes() as usize;
    let payload = block.get(HEADER_BYTES..end).ok_or(BlockFault::Length { bytes: block.len() })?;
    Ok(SingleBlock { payload, is_last: header.flags & FLAG_END_OF_STREAM != 0 })
}

/// Checks a block's header against its place in the file.
fn check_block(block: &[u8], bytes: usize, seq_nr: u32) -> Result<BlockHeader, BlockFault> {
    if bytes != BLOCK_BYTES {
        return Err(BlockFault::Length { bytes });
    }
    let Ok((header, _)) = BlockHeader::read_from_prefix(block) else {
        return Err(BlockFault::Length { bytes: block.len() });
    };
    if header.magic != BLOCK_MAGIC {
        return Err(BlockFault::Magic);
    }
    if header.seq_nr.get() != seq_nr {
        return Err(BlockFault::Sequence { found: header.seq_nr.get() });
    }
    if header.payload_bytes() as usize > PAYLOAD_BYTES {
        return Err(BlockFault::Size { size: header.payload_bytes() });
    }
    if header.payload_bytes() == 0 && header.flags & FLAG_END_OF_STREAM == 0 {
        return Err(BlockFault::Empty);
    }
    Ok(header)
}

#[cfg(test)]
mod tests;
