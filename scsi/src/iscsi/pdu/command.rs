//! SCSI Command and SCSI Response (RFC 7143 §11.3, §11.4).
//!
//! SCSI Command: byte 1 final 80h, read 40h, write 20h, task attributes in the low three bits; 20
//! expected data transfer length; 24 CmdSN; 28 ExpStatSN; 32–47 CDB.
//!
//! SCSI Response: byte 1 bidirectional read overflow 10h and underflow 08h, overflow 04h, underflow 02h;
//! 2 service response; 3 SCSI status; 20 SNACK tag; 24 counters; 36 ExpDataSN; 40 bidirectional read
//! residual; 44 residual. Its data segment: length\[2\] of the sense data, sense data, response data.

use super::{Counters, FINAL, Header, opcode};
use crate::iscsi::{Result, lun};

/// Task attributes (§11.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attributes {
    /// 0.
    Untagged,
    /// 1.
    Simple,
    /// 2.
    Ordered,
    /// 3.
    HeadOfQueue,
    /// 4: ACA.
    AutoContingentAllegiance,
    /// 5 to 7.
    Reserved(u8),
}

impl Attributes {
    fn from_bits(bits: u8) -> Attributes {
        match bits & 0x07 {
            0 => Attributes::Untagged,
            1 => Attributes::Simple,
            2 => Attributes::Ordered,
            3 => Attributes::HeadOfQueue,
            4 => Attributes::AutoContingentAllegiance,
            other => Attributes::Reserved(other),
        }
    }

    fn to_bits(self) -> u8 {
        match self {
            Attributes::Untagged => 0,
            Attributes::Simple => 1,
            Attributes::Ordered => 2,
            Attributes::HeadOfQueue => 3,
            Attributes::AutoContingentAllegiance => 4,
            Attributes::Reserved(bits) => bits & 0x07,
        }
    }
}

/// SCSI Command. Its data segment is immediate data.
///
/// An extended CDB in an additional header segment is not kept: commands here have at most 16 bytes, and
/// the opcode of longer ones (7Fh) says that there was more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScsiCommand {
    /// For immediate delivery.
    pub is_immediate: bool,
    /// No unsolicited Data-Out follows.
    pub is_final: bool,
    /// The initiator takes data.
    pub is_read: bool,
    /// The initiator sends data.
    pub is_write: bool,
    /// Order among other commands.
    pub attributes: Attributes,
    /// Logical unit number.
    pub lun: u64,
    /// Initiator task tag.
    pub task_tag: u32,
    /// How much data the initiator has or takes, in bytes.
    pub expected_bytes: u32,
    /// Number of this command.
    pub cmd_sn: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
    /// Command descriptor block, zeros behind it.
    pub cdb: [u8; 16],
}

const READ: u8 = 0x40;
const WRITE: u8 = 0x20;

impl ScsiCommand {
    pub(super) fn parse(header: &Header) -> Result<ScsiCommand> {
        header.must_be(opcode::SCSI_COMMAND, "SCSI Command")?;
        let flags = header.u8(1);
        Ok(ScsiCommand {
            is_immediate: header.is_immediate(),
            is_final: header.is_final(),
            is_read: flags & READ != 0,
            is_write: flags & WRITE != 0,
            attributes: Attributes::from_bits(flags),
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            expected_bytes: header.u32(20),
            cmd_sn: header.u32(24),
            exp_stat_sn: header.u32(28),
            cdb: header.array(32),
        })
    }

    pub(super) fn build(&self) -> Header {
        let mut flags = self.attributes.to_bits();
        for (is_set, bit) in [(self.is_final, FINAL), (self.is_read, READ), (self.is_write, WRITE)]
        {
            if is_set {
                flags |= bit;
            }
        }
        Header::new(opcode::SCSI_COMMAND, flags)
            .immediate(self.is_immediate)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.expected_bytes)
            .put_u32(24, self.cmd_sn)
            .put_u32(28, self.exp_stat_sn)
            .put(32, &self.cdb)
    }
}

/// By how much the data that moved differs from what the initiator expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Residual {
    /// Not at all.
    #[default]
    None,
    /// So many bytes of what was expected did not move.
    Underflow(u32),
    /// So many bytes more would have moved.
    Overflow(u32),
}

pub(super) const OVERFLOW: u8 = 0x04;
pub(super) const UNDERFLOW: u8 = 0x02;

impl Residual {
    /// From the flags and the count. Both flags at once is forbidden (§11.4.5.2): neither counts then.
    pub(super) fn parse(flags: u8, count: u32) -> Residual {
        match flags & (OVERFLOW | UNDERFLOW) {
            OVERFLOW => Residual::Overflow(count),
            UNDERFLOW => Residual::Underflow(count),
            _ => Residual::None,
        }
    }

    pub(super) fn flags(self) -> u8 {
        match self {
            Residual::None => 0,
            Residual::Underflow(_) => UNDERFLOW,
            Residual::Overflow(_) => OVERFLOW,
        }
    }

    pub(super) fn count(self) -> u32 {
        match self {
            Residual::None => 0,
            Residual::Underflow(count) | Residual::Overflow(count) => count,
        }
    }

    /// For a command for which the initiator `expected` so many bytes while the device had, or took,
    /// `actual`.
    pub fn between(expected: u32, actual: u64) -> Residual {
        let expected = u64::from(expected);
        let count = u32::try_from(expected.abs_diff(actual)).unwrap_or(u32::MAX);
        match actual.cmp(&expected) {
            std::cmp::Ordering::Equal => Residual::None,
            std::cmp::Ordering::Less => Residual::Underflow(count),
            std::cmp::Ordering::Greater => Residual::Overflow(count),
        }
    }
}

/// What became of the delivery of a command (§11.4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceResponse {
    /// 00h: the status field tells.
    Completed,
    /// 01h: the target failed; status means nothing.
    TargetFailure,
    /// Any other.
    Other(u8),
}

/// SCSI Response: the end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScsiResponse {
    /// What became of the delivery.
    pub response: ServiceResponse,
    /// SCSI status byte, if the command was completed.
    pub status: u8,
    /// Initiator task tag.
    pub task_tag: u32,
    /// SNACK tag or 0.
    pub snack_tag: u32,
    /// The target's numbers.
    pub counters: Counters,
    /// How many Data-In or R2T messages the target sent for this command.
    pub exp_data_sn: u32,
    /// Data that did not move.
    pub residual: Residual,
}

impl ScsiResponse {
    pub(super) fn parse(header: &Header) -> Result<ScsiResponse> {
        header.must_be(opcode::SCSI_RESPONSE, "SCSI Response")?;
        Ok(ScsiResponse {
            response: match header.u8(2) {
                0 => ServiceResponse::Completed,
                1 => ServiceResponse::TargetFailure,
                other => ServiceResponse::Other(other),
            },
            status: header.u8(3),
            task_tag: header.task_tag(),
            snack_tag: header.u32(20),
            counters: Counters::parse(header),
            exp_data_sn: header.u32(36),
            residual: Residual::parse(header.u8(1), header.u32(44)),
        })
    }

    pub(super) fn build(&self) -> Header {
        let response = match self.response {
            ServiceResponse::Completed => 0,
            ServiceResponse::TargetFailure => 1,
            ServiceResponse::Other(byte) => byte,
        };
        let header = Header::new(opcode::SCSI_RESPONSE, FINAL | self.residual.flags())
            .put(2, &[response, self.status])
            .put_u32(16, self.task_tag)
            .put_u32(20, self.snack_tag)
            .put_u32(36, self.exp_data_sn)
            .put_u32(44, self.residual.count());
        self.counters.put(header)
    }

    /// The sense data in the data segment of a response. Announced more than is there: what is there.
    pub fn sense_in(data: &[u8]) -> &[u8] {
        let Some((length, rest)) = data.split_first_chunk::<2>() else { return &[] };
        rest.get(..usize::from(u16::from_be_bytes(*length))).unwrap_or(rest)
    }

    /// The data segment with this sense data, empty without any. Sense data has at most 252 bytes.
    pub fn segment_of(sense: &[u8]) -> Vec<u8> {
        if sense.is_empty() {
            return Vec::new();
        }
        let sense = sense.get(..252).unwrap_or(sense);
        let mut segment = Vec::with_capacity(2 + sense.len());
        segment.extend_from_slice(&(sense.len() as u16).to_be_bytes());
        segment.extend_from_slice(sense);
        segment
    }
}
