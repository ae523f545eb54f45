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

use std::io;

use zerocopy::byteorder::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{BlockFault, Error, Result};

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

    /// After a read that failed because the medium is damaged there: goes behind that block.
    fn pass_unreadable_block(&mut self) -> Result<()>;
}

impl<T: BlockSink + ?Sized> BlockSink for Box<T> {
    fn write_block(&mut self, block: &[u8]) -> Result<EarlyWarning> {
        (**self).write_block(block)
    }
    fn write_filemark(&mut self) -> Result<()> {
        (**self).write_filemark()
    }
}

impl<T: BlockSource + ?Sized> BlockSource for Box<T> {
    fn read_block(&mut self, buffer: &mut [u8]) -> Result<BlockRead> {
        (**self).read_block(buffer)
    }
    fn pass_unreadable_block(&mut self) -> Result<()> {
        (**self).pass_unreadable_block()
    }
}

/// So many damaged blocks in a row are passed in a file; after that it is given up. A drive tries for minutes to read
/// each.
const DAMAGED_BLOCKS_IN_A_ROW_MAX: u32 = 16;

/// A buffer of one block, aligned to a memory page so that a kernel can move it without a copy.
pub struct AlignedBlock {
    memory: Box<[u8]>,
    start: usize,
}

const PAGE_BYTES: usize = 4096;

impl AlignedBlock {
    /// A buffer of zeros.
    pub fn new() -> AlignedBlock {
        let memory = vec![0u8; BLOCK_BYTES + PAGE_BYTES].into_boxed_slice();
        let start = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        AlignedBlock { memory, start }
    }

    /// The bytes of the block.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }

    fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + BLOCK_BYTES]
    }

    fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.start + BLOCK_BYTES]
    }
}

impl Default for AlignedBlock {
    fn default() -> AlignedBlock {
        AlignedBlock::new()
    }
}

/// Writes one tape file.
pub struct StreamWriter<'a> {
    sink: &'a mut dyn BlockSink,
    block: AlignedBlock,
    /// Payload bytes collected for the block being built, always below [`PAYLOAD_BYTES`].
    used: usize,
    seq_nr: u32,
    early_warning: EarlyWarning,
    finished: bool,
}

impl<'a> StreamWriter<'a> {
    /// Starts a file at the position of `sink`.
    pub fn new(sink: &'a mut dyn BlockSink) -> StreamWriter<'a> {
        StreamWriter {
            sink,
            block: AlignedBlock::new(),
            used: 0,
            seq_nr: 0,
            early_warning: false,
            finished: false,
        }
    }

    /// Appends `data`; the result is true from the first block of this file on that raised early
    /// warning.
    pub fn append(&mut self, mut data: &[u8]) -> Result<EarlyWarning> {
        while !data.is_empty() {
            let room = PAYLOAD_BYTES - self.used;
            let (now, later) = data.split_at(room.min(data.len()));
            let from = HEADER_BYTES + self.used;
            self.block.as_mut_slice()[from..from + now.len()].copy_from_slice(now);
            self.used += now.len();
            data = later;
            if self.used == PAYLOAD_BYTES {
                self.send(0)?;
            }
        }
        Ok(self.early_warning)
    }

    /// Writes the last block and the filemark. `incomplete` says that the content is to be ignored.
    ///
    /// The result includes early warning raised by the last block.
    pub fn finish(mut self, incomplete: bool) -> Result<EarlyWarning> {
        let used = self.used;
        self.block.as_mut_slice()[HEADER_BYTES + used..].fill(0);
        self.send(FLAG_END_OF_STREAM | if incomplete { FLAG_INCOMPLETE } else { 0 })?;
        self.finished = true;
        self.sink.write_filemark()?;
        Ok(self.early_warning)
    }

    /// Bytes that went to the drive for this file: whole blocks, without what is still collected.
    pub fn sent_bytes(&self) -> u64 {
        u64::from(self.seq_nr) * BLOCK_BYTES as u64
    }

    /// True once a block of this file raised early warning.
    pub fn early_warning(&self) -> EarlyWarning {
        self.early_warning
    }

    fn send(&mut self, flags: u8) -> Result<()> {
        let header = BlockHeader::new(flags, self.used, self.seq_nr);
        self.block.as_mut_slice()[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        // The pair to the reader's check: nothing leaves that a reader would refuse.
        check_block(self.block.as_slice(), BLOCK_BYTES, self.seq_nr)
            .map_err(|fault| Error::Block { block: self.seq_nr, fault })?;
        let next_seq_nr = self.seq_nr.checked_add(1).ok_or_else(|| {
            Error::malformed("tape file", "it would have more than 2^32 - 1 blocks")
        })?;
        self.early_warning |= self.sink.write_block(self.block.as_slice())?;
        self.seq_nr = next_seq_nr;
        self.used = 0;
        Ok(())
    }
}

impl Drop for StreamWriter<'_> {
    fn drop(&mut self) {
        if !self.finished && self.seq_nr > 0 {
            // An abandoned file must not merge with the next one. If the drive refuses, whoever
            // appends next finds the missing filemark and adds it.
            let _ = self.sink.write_filemark();
        }
    }
}

impl io::Write for StreamWriter<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.append(data).map_err(io::Error::other)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is at the place where a file should start.
pub enum Opened<'a> {
    /// A file; its first block was read and is good.
    File(StreamReader<'a>),
    /// A filemark: an empty file.
    Filemark,
    /// The end of recorded data.
    EndOfData,
}

/// Reads one tape file.
pub struct StreamReader<'a> {
    source: &'a mut dyn BlockSource,
    block: AlignedBlock,
    /// Next payload byte to give out and end of the used payload, as offsets into the block.
    next: usize,
    end: usize,
    /// Blocks read so far, which is the number that the next block must have.
    blocks: u32,
    state: ReadState,
    /// No block was odd in a way that readers put up with.
    as_written: bool,
    /// What [`io::Read`] could not pass on as it is.
    failure: Option<Error>,
    /// Why the stream failed, if reading can go on behind that block.
    obstacle: Option<Obstacle>,
    /// Blocks that were passed since the last good one.
    passed: u32,
}

/// A block that is in the way, and where the tape stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// The drive could not read it; the position is not known.
    Unreadable,
    /// It was read and is not what belongs there; the tape stands behind it.
    Refused,
    /// It was read and its number is another one: it may be a block too many, or blocks may be missing.
    OutOfSequence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    /// More blocks are expected.
    Reading,
    /// The end marker was read, and the filemark behind it.
    Ended { incomplete: bool },
    /// A filemark came without an end marker.
    EndedWithoutMarker,
    /// The recorded data ended inside the file, and so did the tape.
    Torn,
    /// Position unknown.
    Failed,
}

impl<'a> StreamReader<'a> {
    /// Opens the file at the position of `source`.
    pub fn open(source: &'a mut dyn BlockSource) -> Result<Opened<'a>> {
        let mut reader = StreamReader {
            source,
            block: AlignedBlock::new(),
            next: 0,
            end: 0,
            blocks: 0,
            state: ReadState::Reading,
            as_written: true,
            failure: None,
            obstacle: None,
            passed: 0,
        };
        match reader.fetch()? {
            BlockRead::Block { .. } => Ok(Opened::File(reader)),
            BlockRead::Filemark => Ok(Opened::Filemark),
            BlockRead::EndOfData => Ok(Opened::EndOfData),
        }
    }

    /// Up to `buffer.len()` bytes; 0 is the end of a file with end marker (or of `buffer`).
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if !self.fill()? {
            return Ok(0);
        }
        let bytes = buffer.len().min(self.end - self.next);
        buffer[..bytes].copy_from_slice(&self.block.as_slice()[self.next..self.next + bytes]);
        self.next += bytes;
        Ok(bytes)
    }

    /// Fills `buffer` as far as the stream goes; the result is short only at its end.
    pub fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                bytes => filled += bytes,
            }
        }
        Ok(filled)
    }

    /// Fills `buffer`; an end before that is an error of `what`.
    pub fn read_exact(&mut self, buffer: &mut [u8], what: &'static str) -> Result<()> {
        let filled = self.read_full(buffer)?;
        if filled < buffer.len() {
            return Err(Error::malformed(
                what,
                format!("the file ends after {filled} of {} bytes", buffer.len()),
            ));
        }
        Ok(())
    }

    /// Reads on to the end of the file and throws the data away; the number of blocks of the file.
    ///
    /// A missing end marker is tolerated here, and told by [`StreamReader::has_end_marker`].
    pub fn skip_to_end(&mut self) -> Result<u32> {
        loop {
            match self.state {
                ReadState::Ended { .. } | ReadState::EndedWithoutMarker => return Ok(self.blocks),
                ReadState::Torn => {
                    return Err(Error::UnexpectedEndOfData { blocks: self.blocks });
                }
                ReadState::Failed => return Err(Error::StreamMisuse("after a read error")),
                ReadState::Reading => match self.fetch()? {
                    BlockRead::Block { .. } => {}
                    BlockRead::Filemark => self.state = ReadState::EndedWithoutMarker,
                    BlockRead::EndOfData => return Err(self.ended_early()),
                },
            }
        }
    }

    /// Fails unless all content was read; consumes nothing but the end.
    pub fn expect_end(&mut self, what: &'static str) -> Result<()> {
        if self.fill()? {
            return Err(Error::malformed(what, "unexpected data behind it"));
        }
        Ok(())
    }

    /// True if the file's end was reached and has an end marker; false if it has none.
    ///
    /// Asking before the end was reached is an error.
    pub fn has_end_marker(&self) -> Result<bool> {
        match self.state {
            ReadState::Ended { .. } => Ok(true),
            ReadState::EndedWithoutMarker => Ok(false),
            ReadState::Reading => Err(Error::StreamMisuse("before its end was reached")),
            ReadState::Torn => Err(Error::UnexpectedEndOfData { blocks: self.blocks }),
            ReadState::Failed => Err(Error::StreamMisuse("after a read error")),
        }
    }

    /// True if the writer gave the file up (flag INCOMPLETE). Needs the end marker.
    pub fn is_incomplete(&self) -> Result<bool> {
        match self.state {
            ReadState::Ended { incomplete } => Ok(incomplete),
            ReadState::EndedWithoutMarker => Err(Error::NoEndMarker { blocks: self.blocks }),
            ReadState::Reading => Err(Error::StreamMisuse("before its end was reached")),
            ReadState::Torn => Err(Error::UnexpectedEndOfData { blocks: self.blocks }),
            ReadState::Failed => Err(Error::StreamMisuse("after a read error")),
        }
    }

    /// Blocks read so far.
    pub fn blocks(&self) -> u32 {
        self.blocks
    }

    /// False if a block that was read is one that every reader takes and no writer makes: with unknown flags, short without
    /// being the last, or not zero behind its payload.
    pub fn is_as_written(&self) -> bool {
        self.as_written
    }

    /// The error that a caller of [`io::Read`] got only the words of.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    /// Makes bytes available; false at the end of a file with end marker.
    fn fill(&mut self) -> Result<bool> {
        loop {
            if self.next < self.end {
                return Ok(true);
            }
            match self.state {
                ReadState::Ended { .. } => return Ok(false),
                ReadState::EndedWithoutMarker => {
                    return Err(Error::NoEndMarker { blocks: self.blocks });
                }
                ReadState::Torn => {
                    return Err(Error::UnexpectedEndOfData { blocks: self.blocks });
                }
                ReadState::Failed => return Err(Error::StreamMisuse("after a read error")),
                ReadState::Reading => match self.fetch()? {
                    BlockRead::Block { .. } => {}
                    BlockRead::Filemark => {
                        self.state = ReadState::EndedWithoutMarker;
                        return Err(Error::NoEndMarker { blocks: self.blocks });
                    }
                    BlockRead::EndOfData => return Err(self.ended_early()),
                },
            }
        }
    }

    fn ended_early(&mut self) -> Error {
        self.state = ReadState::Torn;
        Error::UnexpectedEndOfData { blocks: self.blocks }
    }

    /// After an error: goes on behind the block that could not be read or is not what belongs there. What was not yet
    /// given out of the block before is gone, and so is what was in that one; [`StreamReader::offset`] tells where the
    /// stream goes on once the next block was read.
    ///
    /// The block behind may be of any number that can follow, because blocks may be missing.
    pub(crate) fn resume(&mut self) -> Result<()> {
        let obstacle = self.obstacle.take().filter(|_| self.passed < DAMAGED_BLOCKS_IN_A_ROW_MAX);
        let Some(obstacle) = obstacle else {
            return Err(Error::StreamMisuse("behind damage that can't be passed"));
        };
        if obstacle == Obstacle::Unreadable {
            self.source.pass_unreadable_block()?;
        }
        if obstacle != Obstacle::OutOfSequence {
            self.blocks = self.blocks.saturating_add(1);
        }
        self.passed += 1;
        (self.next, self.end) = (0, 0);
        self.state = ReadState::Reading;
        Ok(())
    }

    /// Place in the stream of the next byte that is given out.
    pub(crate) fn offset(&self) -> u64 {
        let left = (self.end - self.next) as u64;
        // All blocks before the one in memory were full, and this one begins where they end.
        let begin = u64::from(self.blocks.saturating_sub(1)) * PAYLOAD_BYTES as u64;
        match self.end {
            0 => u64::from(self.blocks) * PAYLOAD_BYTES as u64,
            end => begin + (end - HEADER_BYTES) as u64 - left,
        }
    }

    /// Reads the next block if nothing is left of the last one; false at the end of the file.
    pub(crate) fn make_available(&mut self) -> Result<bool> {
        self.fill()
    }

    /// Reads on to behind the next occurrence of `pattern`; false at the end of the file.
    pub(crate) fn pass_pattern(&mut self, pattern: &[u8; 8]) -> Result<bool> {
        // How the last block ended, so that a pattern that two blocks share is found.
        let mut window: Vec<u8> = Vec::new();
        while self.fill()? {
            let rest = &self.block.as_slice()[self.next..self.end];
            let carried = window.len();
            window.extend_from_slice(rest);
            if let Some(at) = window.windows(pattern.len()).position(|bytes| bytes == pattern) {
                // A match reaches into the new bytes: what was carried is shorter than the pattern.
                self.next += at + pattern.len() - carried;
                return Ok(true);
            }
            self.next = self.end;
            window.drain(..window.len().saturating_sub(pattern.len() - 1));
        }
        Ok(false)
    }

    /// Reads and checks the next block; with the end marker also the filemark behind it.
    fn fetch(&mut self) -> Result<BlockRead> {
        debug_assert_eq!(self.state, ReadState::Reading);
        // Until proven otherwise: an error leaves the stream unusable.
        self.state = ReadState::Failed;
        let read = self.source.read_block(self.block.as_mut_slice()).inspect_err(|error| {
            let is_passable = |e: &crate::drive::Error| e.is_damaged() && !e.is_undecryptable();
            if matches!(error, Error::Drive(e) if is_passable(e)) {
                self.obstacle = Some(Obstacle::Unreadable);
            }
        })?;
        let BlockRead::Block { bytes } = read else {
            return Ok(read);
        };
        let header = match check_block(self.block.as_slice(), bytes, self.blocks) {
            Err(BlockFault::Sequence { found }) if self.may_follow_a_gap(found) => {
                self.blocks = found;
                check_block(self.block.as_slice(), bytes, found)
            }
            checked => checked,
        };
        let header = header.map_err(|fault| {
            self.obstacle = Some(match fault {
                BlockFault::Sequence { .. } => Obstacle::OutOfSequence,
                _ => Obstacle::Refused,
            });
            Error::Block { block: self.blocks, fault }
        })?;
        self.passed = 0;
        self.blocks = self.blocks.checked_add(1).ok_or(Error::Block {
            block: u32::MAX,
            fault: BlockFault::Sequence { found: header.seq_nr.get() },
        })?;
        // At most the block's length, as was checked.
        let end = HEADER_BYTES + header.payload_bytes() as usize;
        self.as_written &= match header.flags {
            0 => end == BLOCK_BYTES,
            FLAG_END_OF_STREAM | FLAG_GIVEN_UP => {
                self.block.as_slice()[end..].iter().all(|byte| *byte == 0)
            }
            _ => false,
        };
        self.state = if header.flags & FLAG_END_OF_STREAM != 0 {
            let mut probe = [0u8; 512];
            match self.source.read_block(&mut probe)? {
                BlockRead::Filemark => {
                    ReadState::Ended { incomplete: header.flags & FLAG_INCOMPLETE != 0 }
                }
                BlockRead::Block { .. } => {
                    return Err(Error::Block { block: self.blocks, fault: BlockFault::AfterEnd });
                }
                BlockRead::EndOfData => {
                    return Err(self.ended_early());
                }
            }
        } else {
            ReadState::Reading
        };
        self.next = HEADER_BYTES;
        self.end = end;
        Ok(read)
    }

    /// True if a block with this number can be the next one after blocks were passed.
    fn may_follow_a_gap(&self, found: u32) -> bool {
        self.passed > 0 && found > self.blocks && found - self.blocks <= DAMAGED_BLOCKS_IN_A_ROW_MAX
    }
}

impl io::Read for StreamReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        StreamReader::read(self, buffer).map_err(|error| {
            let words = error.to_string();
            self.failure.get_or_insert(error);
            io::Error::other(words)
        })
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
