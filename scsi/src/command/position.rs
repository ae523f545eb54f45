//! Moving the tape and asking where it stands (SSC-5): REWIND, SPACE, LOCATE, READ POSITION.

use super::fields::{Fields, be24};
use super::{Cdb, fetch, opcode, timeout};
use crate::transport::{Error, Transport};

/// REWIND; with `immediate` the drive answers at once and is busy meanwhile.
pub const fn rewind_cdb(immediate: bool) -> Cdb {
    Cdb::new([opcode::REWIND, immediate as u8, 0, 0, 0, 0])
}

/// What SPACE counts (SSC-5 §7.9, CODE field).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpaceUnit {
    /// Blocks; stops at a filemark.
    Blocks,
    /// Filemarks: forward ends behind, backward before the last one counted.
    Filemarks,
    /// To the end of the recorded data; the count does not matter.
    EndOfData,
}

impl SpaceUnit {
    /// The CODE field.
    pub const fn code(self) -> u8 {
        match self {
            SpaceUnit::Blocks => 0,
            SpaceUnit::Filemarks => 1,
            SpaceUnit::EndOfData => 3,
        }
    }
}

/// SPACE by `count` (negative towards the beginning): the 6-byte form where 24 bits are enough,
/// since every drive knows that one.
pub const fn space_cdb(unit: SpaceUnit, count: i64) -> Cdb {
    if count >= -0x7f_ffff && count <= 0x7f_ffff {
        // Two's complement: the low 24 bits are the signed 24-bit number.
        let [a, b, c] = be24(count as u32);
        Cdb::new([opcode::SPACE_6, unit.code(), a, b, c, 0])
    } else {
        let [a, b, c, d, e, f, g, h] = count.to_be_bytes();
        let code = unit.code();
        Cdb::new([opcode::SPACE_16, code, 0, 0, a, b, c, d, e, f, g, h, 0, 0, 0, 0])
    }
}

/// Where LOCATE goes (SSC-5 §7.4, DEST_TYPE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// To the logical object of this number (blocks and filemarks counted from 0).
    Object(u64),
    /// To a logical file. Drive families disagree by one about which place that is.
    File(u64),
    /// To the end of the recorded data.
    EndOfData,
}

/// LOCATE(16) within the present partition.
pub const fn locate_cdb(destination: Destination) -> Cdb {
    let (kind, number) = match destination {
        Destination::Object(number) => (0b000, number),
        Destination::File(number) => (0b001, number),
        Destination::EndOfData => (0b011, 0),
    };
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    Cdb::new([opcode::LOCATE_16, kind << 3, 0, 0, a, b, c, d, e, f, g, h, 0, 0, 0, 0])
}

/// READ POSITION, long form (SSC-5 §7.7.4).
///
/// | byte | content |
/// |--:|---|
/// | 0 | BOP 80h, EOP 40h, MPU 08h, LONU 04h, BPEW 01h |
/// | 4–7 | partition |
/// | 8–15 | logical object number |
/// | 16–23 | logical file identifier: filemarks before the position |
/// | 24–31 | obsolete |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LongPosition {
    /// At the beginning of the partition, where the drive says so at all.
    pub beginning: bool,
    /// Behind early warning.
    pub early_warning: bool,
    /// The file number is unknown (MPU).
    pub file_unknown: bool,
    /// The object number is unknown (LONU).
    pub object_unknown: bool,
    /// Behind the programmable early warning.
    pub programmable_early_warning: bool,
    /// Partition.
    pub partition: u32,
    /// Blocks and filemarks before the position.
    pub object: u64,
    /// Filemarks before the position.
    pub file: u64,
}

impl LongPosition {
    /// Length of the reply.
    pub const LENGTH: usize = 32;

    /// The command. Its allocation length must be 0 in this form.
    pub const fn cdb() -> Cdb {
        Cdb::new([opcode::READ_POSITION, 0x06, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Decodes the reply, which must be whole.
    pub fn parse(bytes: &[u8]) -> Result<LongPosition, Error> {
        let fields = Fields::new(opcode::READ_POSITION, "long position", bytes);
        fields.slice(0, Self::LENGTH)?;
        let flags = fields.u8(0)?;
        Ok(LongPosition {
            beginning: flags & 0x80 != 0,
            early_warning: flags & 0x40 != 0,
            file_unknown: flags & 0x08 != 0,
            object_unknown: flags & 0x04 != 0,
            programmable_early_warning: flags & 0x01 != 0,
            partition: fields.u32(4)?,
            object: fields.u64(8)?,
            file: fields.u64(16)?,
        })
    }

    /// The reply of a drive at this position.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0u8; Self::LENGTH];
        bytes[0] = u8::from(self.beginning) << 7
            | u8::from(self.early_warning) << 6
            | u8::from(self.file_unknown) << 3
            | u8::from(self.object_unknown) << 2
            | u8::from(self.programmable_early_warning);
        bytes[4..8].copy_from_slice(&self.partition.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.object.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.file.to_be_bytes());
        bytes
    }

    /// Asks a drive.
    pub fn request(transport: &mut dyn Transport) -> Result<LongPosition, Error> {
        LongPosition::parse(&fetch(transport, &LongPosition::cdb(), Self::LENGTH, timeout::SHORT)?)
    }
}

/// READ POSITION, short form (SSC-5 §7.7.2): 32-bit numbers, for other people's programs; this house
/// uses the long form.
///
/// 20 bytes: flags {BOP 80h, EOP 40h, LOCU 20h, BYCU 10h, LOLU 04h, PERR 02h, BPEW 01h}, partition, 2
/// reserved, first object\[4\], last object\[4\], reserved, objects in buffer\[3\], bytes in buffer\[4\].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortPosition {
    /// At the beginning of the partition.
    pub beginning: bool,
    /// Behind early warning.
    pub early_warning: bool,
    /// The two buffer counts are unknown (LOCU and BYCU).
    pub buffer_unknown: bool,
    /// The object numbers are unknown or do not fit 32 bits (LOLU or PERR).
    pub object_unknown: bool,
    /// Behind the programmable early warning.
    pub programmable_early_warning: bool,
    /// Partition.
    pub partition: u8,
    /// Next object between host and drive.
    pub first_object: u32,
    /// Next object between buffer and tape.
    pub last_object: u32,
    /// Objects in the buffer.
    pub buffered_objects: u32,
    /// Bytes in the buffer.
    pub buffered_bytes: u32,
}

impl ShortPosition {
    /// Length of the reply.
    pub const LENGTH: usize = 20;

    /// The command.
    pub const fn cdb() -> Cdb {
        Cdb::new([opcode::READ_POSITION, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// Decodes the reply.
    pub fn parse(bytes: &[u8]) -> Result<ShortPosition, Error> {
        let fields = Fields::new(opcode::READ_POSITION, "short position", bytes);
        let flags = fields.u8(0)?;
        Ok(ShortPosition {
            beginning: flags & 0x80 != 0,
            early_warning: flags & 0x40 != 0,
            buffer_unknown: flags & 0x30 != 0,
            object_unknown: flags & 0x06 != 0,
            programmable_early_warning: flags & 0x01 != 0,
            partition: fields.u8(1)?,
            first_object: fields.u32(4)?,
            last_object: fields.u32(8)?,
            buffered_objects: fields.u24(13)?,
            buffered_bytes: fields.u32(16)?,
        })
    }

    /// The reply of a drive at this position.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0u8; Self::LENGTH];
        bytes[0] = u8::from(self.beginning) << 7
            | u8::from(self.early_warning) << 6
            | if self.buffer_unknown { 0x30 } else { 0 }
            | u8::from(self.object_unknown) << 2
            | u8::from(self.programmable_early_warning);
        bytes[1] = self.partition;
        bytes[4..8].copy_from_slice(&self.first_object.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.last_object.to_be_bytes());
        bytes[13..16].copy_from_slice(&be24(self.buffered_objects));
        bytes[16..20].copy_from_slice(&self.buffered_bytes.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blocks() {
        assert_eq!(&*rewind_cdb(false), &[1, 0, 0, 0, 0, 0]);
        assert_eq!(&*space_cdb(SpaceUnit::Filemarks, 1), &[0x11, 1, 0, 0, 1, 0]);
        assert_eq!(&*space_cdb(SpaceUnit::Blocks, -1), &[0x11, 0, 0xff, 0xff, 0xff, 0]);
        assert_eq!(&*space_cdb(SpaceUnit::EndOfData, 0), &[0x11, 3, 0, 0, 0, 0]);
        assert_eq!(
            &*space_cdb(SpaceUnit::Blocks, -0x80_0000),
            &[0x91, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(
            &*locate_cdb(Destination::File(5)),
            &[0x92, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0]
        );
        assert_eq!(locate_cdb(Destination::EndOfData)[1], 0x18);
        assert_eq!(&*LongPosition::cdb(), &[0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn long_form_must_be_whole() {
        let position =
            LongPosition { beginning: true, object: 0x1_0000_0002, file: 7, ..Default::default() };
        let bytes = position.build();
        assert_eq!(bytes[0], 0x80);
        assert_eq!(LongPosition::parse(&bytes).unwrap(), position);
        assert!(LongPosition::parse(&bytes[..31]).is_err());
    }

    proptest! {
        #[test]
        fn forms_round_trip(
            beginning: bool, early_warning: bool, programmable_early_warning: bool,
            file_unknown: bool, object_unknown: bool, partition: u32, object: u64, file: u64,
            buffered in 0u32..0x100_0000,
        ) {
            let long = LongPosition {
                beginning, early_warning, file_unknown, object_unknown,
                programmable_early_warning, partition, object, file,
            };
            prop_assert_eq!(LongPosition::parse(&long.build()).unwrap(), long);
            let short = ShortPosition {
                beginning, early_warning, buffer_unknown: file_unknown, object_unknown,
                programmable_early_warning, partition: partition as u8,
                first_object: object as u32, last_object: file as u32,
                buffered_objects: buffered, buffered_bytes: partition,
            };
            prop_assert_eq!(ShortPosition::parse(&short.build()).unwrap(), short);
        }
    }
}
