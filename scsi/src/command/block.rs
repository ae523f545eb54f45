//! Blocks and filemarks (SSC-5): READ(6), WRITE(6), WRITE FILEMARKS(6), READ BLOCK LIMITS.
//!
//! Only variable-length blocks are used: FIXED=0, block length 0 in the mode parameters.

use super::fields::{Fields, be24};
use super::{Cdb, fetch, opcode, timeout};
use crate::transport::{Error, Transport};

/// Largest transfer length of READ(6) and WRITE(6): 24 bits.
pub const TRANSFER_BYTES_MAX: u32 = 0x00ff_ffff;

/// READ(6) of one block of at most `length` bytes. SILI=1: a shorter block is no error, it shows as
/// residual.
pub const fn read_cdb(length: u32) -> Cdb {
    let [a, b, c] = be24(length);
    Cdb::new([opcode::READ_6, 0x02, a, b, c, 0])
}

/// The same with SILI=0: any other length is told, with the difference.
pub const fn read_exact_cdb(length: u32) -> Cdb {
    let [a, b, c] = be24(length);
    Cdb::new([opcode::READ_6, 0, a, b, c, 0])
}

/// WRITE(6) of one block of `length` bytes.
pub const fn write_cdb(length: u32) -> Cdb {
    let [a, b, c] = be24(length);
    Cdb::new([opcode::WRITE_6, 0, a, b, c, 0])
}

/// WRITE FILEMARKS(6), `count` of 24 bits. Without `immediate` the drive answers when everything
/// buffered and the marks are on the tape; count 0 then is the way to flush.
pub const fn write_filemarks_cdb(count: u32, immediate: bool) -> Cdb {
    let [a, b, c] = be24(count);
    Cdb::new([opcode::WRITE_FILEMARKS_6, immediate as u8, a, b, c, 0])
}

/// What READ BLOCK LIMITS tells (SSC-5 §7.5): granularity (low five bits), maximum\[3\], minimum\[2\].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimits {
    /// Block lengths must be a multiple of 2 to this power.
    pub granularity: u8,
    /// Longest block in bytes; 0 = no limit.
    pub maximum_bytes: u32,
    /// Shortest block in bytes.
    pub minimum_bytes: u16,
}

impl BlockLimits {
    const LENGTH: usize = 6;

    /// The command.
    pub const fn cdb() -> Cdb {
        Cdb::new([opcode::READ_BLOCK_LIMITS, 0, 0, 0, 0, 0])
    }

    /// Decodes the reply.
    pub fn parse(bytes: &[u8]) -> Result<BlockLimits, Error> {
        let fields = Fields::new(opcode::READ_BLOCK_LIMITS, "block limits", bytes);
        Ok(BlockLimits {
            granularity: fields.u8(0)? & 0x1f,
            maximum_bytes: fields.u24(1)?,
            minimum_bytes: fields.u16(4)?,
        })
    }

    /// The reply of a drive with these limits.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let [a, b, c] = be24(self.maximum_bytes);
        let [d, e] = self.minimum_bytes.to_be_bytes();
        [self.granularity & 0x1f, a, b, c, d, e]
    }

    /// Asks a drive.
    pub fn request(transport: &mut dyn Transport) -> Result<BlockLimits, Error> {
        BlockLimits::parse(&fetch(transport, &BlockLimits::cdb(), Self::LENGTH, timeout::SHORT)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_marks() {
        assert_eq!(&*read_cdb(0x40000), &[0x08, 0x02, 0x04, 0, 0, 0]);
        assert_eq!(&*write_cdb(0x40000), &[0x0a, 0, 0x04, 0, 0, 0]);
        assert_eq!(&*write_filemarks_cdb(1, true), &[0x10, 1, 0, 0, 1, 0]);
        assert_eq!(&*write_filemarks_cdb(0, false), &[0x10, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn limits_round_trip() {
        let limits = BlockLimits { granularity: 0, maximum_bytes: 0x80_0000, minimum_bytes: 1 };
        assert_eq!(limits.build(), [0, 0x80, 0, 0, 0, 1]);
        assert_eq!(BlockLimits::parse(&limits.build()).unwrap(), limits);
        assert!(BlockLimits::parse(&[0, 0x80, 0, 0, 0]).is_err());
    }
}
