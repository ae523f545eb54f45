//! One tape file, read at any place.
//!
//! Where a file's blocks lie is arithmetic: they are numbered objects, one after the other, and all but the last are
//! full ([`format::block`](crate::format::block)). So a place in the stream is a block and an offset in it, and a drive finds a block by
//! its number. Each block is checked as if it had been reached from the file's beginning, above all that it says
//! itself which block of its file it is: a block of another file never does at the same place. So whoever
//! goes too far learns it from the block, the filemark or the end of data that is there instead.

use crate::device::TapeDevice;
use crate::error::{BlockFault, Error, Result};
use crate::format::block::{AlignedBlock, BLOCK_BYTES, BlockRead, PAYLOAD_BYTES, single_block};

/// A file of the tape in a drive.
pub(super) struct FileBlocks<'d> {
    device: &'d mut dyn TapeDevice,
    first_object: u64,
    /// The block that the drive stands before, if that is known.
    next: Option<u32>,
    block: AlignedBlock,
    loaded: Option<Loaded>,
    /// So many blocks are rather read over than passed by a locate.
    pub gap_blocks_max: u32,
    /// Blocks that were read.
    pub blocks_read: u64,
    /// Times that the drive was sent elsewhere.
    pub locates: u64,
}

#[derive(Clone, Copy)]
struct Loaded {
    number: u32,
    payload_bytes: usize,
    is_last: bool,
}

impl<'d> FileBlocks<'d> {
    /// Goes to a file, whose first object's number is remembered by the caller once it is known.
    pub fn open(
        device: &'d mut dyn TapeDevice,
        file: u64,
        first_object: &mut Option<u64>,
    ) -> Result<FileBlocks<'d>> {
        let (first_object, next) = match *first_object {
            Some(object) => (object, None),
            None => {
                device.move_to_file(file)?;
                (*first_object.insert(device.object_number()?), Some(0))
            }
        };
        Ok(FileBlocks {
            device,
            first_object,
            next,
            block: AlignedBlock::new(),
            loaded: None,
            gap_blocks_max: 0,
            blocks_read: 0,
            locates: 1,
        })
    }

    /// The payload of a block; `None` if the file has ended before it. With it, whether it is the last.
    pub fn payload(&mut self, number: u32) -> Result<Option<&[u8]>> {
        Ok(self.load(number)?.map(|loaded| self.part(loaded)))
    }

    fn part(&mut self, loaded: Loaded) -> &[u8] {
        let bytes: &[u8] = self.block.bytes_mut();
        single_block(bytes, BLOCK_BYTES, loaded.number)
            .map(|block| block.payload)
            .unwrap_or_default()
            .get(..loaded.payload_bytes)
            .unwrap_or_default()
    }

    fn load(&mut self, number: u32) -> Result<Option<Loaded>> {
        if let Some(loaded) = self.loaded {
            if loaded.number == number {
                return Ok(Some(loaded));
            }
            if loaded.is_last && number > loaded.number {
                return Ok(None);
            }
        }
        if let Some(next) = self.next
            && let Some(gap) = number.checked_sub(next)
            && gap <= self.gap_blocks_max
        {
            for passed in next..number {
                match self.read(passed) {
                    Ok(Some(_)) => {}
                    Ok(None) => return Ok(None),
                    // What is passed over need not be whole.
                    Err(_) => break,
                }
            }
        }
        if self.next != Some(number) {
            self.loaded = None;
            self.next = None;
            self.locates += 1;
            match self.device.move_to_object(self.first_object + u64::from(number)) {
                Ok(()) => self.next = Some(number),
                Err(Error::Drive(e)) if e.is_missing() => return Ok(None),
                Err(e) => return Err(e),
            }
        }
        self.read(number)
    }

    fn read(&mut self, number: u32) -> Result<Option<Loaded>> {
        self.loaded = None;
        self.next = None;
        let bytes = match self.device.read_block(self.block.bytes_mut())? {
            BlockRead::Block { bytes } => bytes,
            BlockRead::Filemark | BlockRead::EndOfData => return Ok(None),
        };
        self.blocks_read += 1;
        let block = match single_block(self.block.bytes_mut(), bytes, number) {
            Ok(block) => block,
            Err(BlockFault::Sequence { .. }) => return Ok(None),
            Err(fault) => return Err(Error::Block { block: number, fault }),
        };
        let (payload_bytes, is_last) = (block.payload.len(), block.is_last);
        if payload_bytes < PAYLOAD_BYTES && !is_last {
            // No writer does this, and places in the stream are not where they are looked for.
            let size = u32::try_from(payload_bytes).unwrap_or(u32::MAX);
            return Err(Error::Block { block: number, fault: BlockFault::Size { size } });
        }
        let loaded = Loaded { number, payload_bytes, is_last };
        self.next = number.checked_add(1);
        self.loaded = Some(loaded);
        Ok(Some(loaded))
    }

    /// Fills `buffer` from a place of the stream as far as the file goes; the result is short only at its end.
    pub fn read_at(&mut self, mut offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let (number, from) = place(offset)?;
            let Some(payload) = self.payload(number)? else { break };
            let part = payload.get(from..).unwrap_or_default();
            let bytes = part.len().min(room.len());
            if bytes == 0 {
                break;
            }
            room.split_at_mut(bytes).0.copy_from_slice(part.split_at(bytes).0);
            filled += bytes;
            offset += bytes as u64;
        }
        Ok(filled)
    }
}

/// The block of a place in the stream, and the offset in its payload.
pub(super) fn place(offset: u64) -> Result<(u32, usize)> {
    let payload = PAYLOAD_BYTES as u64;
    let number = u32::try_from(offset / payload)
        .map_err(|_| Error::malformed("tape file", "it would have more than 2^32 - 1 blocks"))?;
    Ok((number, (offset % payload) as usize))
}
