//! Data-Out, Data-In and R2T (RFC 7143 §11.7, §11.8).
//!
//! Data-Out: 8 logical unit (with a target transfer tag), 20 target transfer tag, 28 ExpStatSN, 36 DataSN,
//! 40 buffer offset.
//!
//! Data-In: byte 1 final 80h, acknowledge 40h, overflow 04h, underflow 02h, status 01h; 3 SCSI status; 8
//! logical unit and 20 target transfer tag (with acknowledge); 24 counters; 36 DataSN; 40 buffer offset;
//! 44 residual.
//!
//! R2T: 8 logical unit, 20 target transfer tag, 24 counters, 36 R2TSN, 40 buffer offset, 44 desired length.

use super::{Counters, FINAL, Header, Residual, opcode};
use crate::iscsi::{Result, lun};

const ACKNOWLEDGE: u8 = 0x40;
const STATUS: u8 = 0x01;

/// Data-Out: data of a command, solicited by R2T or sent unasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataOut {
    /// The last message of its sequence.
    pub is_final: bool,
    /// Logical unit number, as in the R2T; 0 without one.
    pub lun: u64,
    /// Task tag of the command.
    pub task_tag: u32,
    /// Tag of the R2T, or [`super::NO_TAG`] for data sent unasked.
    pub transfer_tag: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
    /// Number within the sequence, from 0.
    pub data_sn: u32,
    /// Where in the command's data this lies, in bytes.
    pub offset: u32,
}

impl DataOut {
    pub(super) fn parse(header: &Header) -> Result<DataOut> {
        header.must_be(opcode::DATA_OUT, "Data-Out")?;
        Ok(DataOut {
            is_final: header.is_final(),
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            exp_stat_sn: header.u32(28),
            data_sn: header.u32(36),
            offset: header.u32(40),
        })
    }

    pub(super) fn build(&self) -> Header {
        Header::new(opcode::DATA_OUT, if self.is_final { FINAL } else { 0 })
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.transfer_tag)
            .put_u32(28, self.exp_stat_sn)
            .put_u32(36, self.data_sn)
            .put_u32(40, self.offset)
    }
}

/// The end of a command, told with its last data (§11.7.4): only without sense data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataInStatus {
    /// SCSI status byte.
    pub status: u8,
    /// Data that did not move.
    pub residual: Residual,
}

/// Data-In: data for the initiator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataIn {
    /// The last message of its sequence.
    pub is_final: bool,
    /// The target wants an acknowledgement (not with error recovery level 0).
    pub is_acknowledged: bool,
    /// The end of the command, if there is no SCSI Response.
    pub status: Option<DataInStatus>,
    /// Logical unit number, if an acknowledgement is wanted.
    pub lun: u64,
    /// Task tag of the command.
    pub task_tag: u32,
    /// Tag for the acknowledgement, or [`super::NO_TAG`].
    pub transfer_tag: u32,
    /// The target's numbers; StatSN means something only with a status.
    pub counters: Counters,
    /// Number within the command, from 0.
    pub data_sn: u32,
    /// Where in the command's data this lies, in bytes.
    pub offset: u32,
}

impl DataIn {
    pub(super) fn parse(header: &Header) -> Result<DataIn> {
        header.must_be(opcode::DATA_IN, "Data-In")?;
        let flags = header.u8(1);
        Ok(DataIn {
            is_final: header.is_final(),
            is_acknowledged: flags & ACKNOWLEDGE != 0,
            status: (flags & STATUS != 0).then(|| DataInStatus {
                status: header.u8(3),
                residual: Residual::parse(flags, header.u32(44)),
            }),
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            counters: Counters::parse(header),
            data_sn: header.u32(36),
            offset: header.u32(40),
        })
    }

    pub(super) fn build(&self) -> Header {
        let mut flags = if self.is_final { FINAL } else { 0 };
        if self.is_acknowledged {
            flags |= ACKNOWLEDGE;
        }
        let mut status = 0;
        let mut residual = Residual::None;
        if let Some(end) = self.status {
            flags |= STATUS | end.residual.flags();
            (status, residual) = (end.status, end.residual);
        }
        let header = Header::new(opcode::DATA_IN, flags)
            .put(3, &[status])
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.transfer_tag)
            .put_u32(36, self.data_sn)
            .put_u32(40, self.offset)
            .put_u32(44, residual.count());
        self.counters.put(header)
    }
}

/// R2T: the target asks for a part of a command's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadyToTransfer {
    /// Logical unit number.
    pub lun: u64,
    /// Task tag of the command.
    pub task_tag: u32,
    /// Tag that the Data-Out messages repeat.
    pub transfer_tag: u32,
    /// The target's numbers. StatSN is that of the next status and does not advance.
    pub counters: Counters,
    /// Number of this R2T within the command, from 0.
    pub r2t_sn: u32,
    /// Where in the command's data the part begins, in bytes.
    pub offset: u32,
    /// Its length in bytes.
    pub desired_bytes: u32,
}

impl ReadyToTransfer {
    pub(super) fn parse(header: &Header) -> Result<ReadyToTransfer> {
        header.must_be(opcode::READY_TO_TRANSFER, "R2T")?;
        Ok(ReadyToTransfer {
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            counters: Counters::parse(header),
            r2t_sn: header.u32(36),
            offset: header.u32(40),
            desired_bytes: header.u32(44),
        })
    }

    pub(super) fn build(&self) -> Header {
        let header = Header::new(opcode::READY_TO_TRANSFER, FINAL)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.transfer_tag)
            .put_u32(36, self.r2t_sn)
            .put_u32(40, self.offset)
            .put_u32(44, self.desired_bytes);
        self.counters.put(header)
    }
}
