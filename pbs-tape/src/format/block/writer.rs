//! Writing a stream: data into blocks, the last one with the end marker, and a filemark.

use std::io;

use zerocopy::IntoBytes;

use super::{
    AlignedBlock, BLOCK_BYTES, BlockHeader, BlockSink, EarlyWarning, FLAG_END_OF_STREAM,
    FLAG_INCOMPLETE, HEADER_BYTES, PAYLOAD_BYTES, check_block,
};
use crate::error::{Error, Result};

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
            self.block.bytes_mut()[from..from + now.len()].copy_from_slice(now);
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
        self.block.bytes_mut()[HEADER_BYTES + used..].fill(0);
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
        self.block.bytes_mut()[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        // The pair to the reader's check: nothing leaves that a reader would refuse.
        check_block(self.block.as_slice(), BLOCK_BYTES, self.seq_nr)
            .map_err(|fault| Error::Block { block: self.seq_nr, fault })?;
        let next_seq_nr = self.seq_nr.checked_add(1).ok_or_else(|| {
            Error::malformed("tape file", "it would have more than 2^32 - 1 blocks")
        })?;
        self.early_warning |= self.sink.write_block_in_place(&mut self.block)?;
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
