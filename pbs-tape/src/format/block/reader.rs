//! Reading a stream: blocks proved one by one, the filemark behind them read, and the way on behind damage.

use std::io;

use super::{
    AlignedBlock, BLOCK_BYTES, BlockRead, BlockSource, FLAG_END_OF_STREAM, FLAG_GIVEN_UP,
    FLAG_INCOMPLETE, HEADER_BYTES, PAYLOAD_BYTES, check_block,
};
use crate::error::{BlockFault, Error, Result};

/// So many damaged blocks in a row are passed in a file; after that it is given up. A drive tries for minutes to read
/// each.
const DAMAGED_BLOCKS_IN_A_ROW_MAX: u32 = 16;

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

    /// Appends up to `count` bytes to `buffer`; 0 is the end of a file with end marker (or of `count`).
    pub fn read_onto(&mut self, buffer: &mut Vec<u8>, count: usize) -> Result<usize> {
        if count == 0 || !self.fill()? {
            return Ok(0);
        }
        let bytes = count.min(self.end - self.next);
        buffer.extend_from_slice(&self.block.as_slice()[self.next..self.next + bytes]);
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
        let read = self.source.read_block_in_place(&mut self.block).inspect_err(|error| {
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
