//! Asynchronous Message, Reject and SNACK (RFC 7143 §11.9, §11.16, §11.17).
//!
//! Asynchronous Message: 8 logical unit; 24 counters; 36 event; 37 vendor code; 38, 40, 42 parameters. Its
//! data segment of a SCSI event is laid out as that of a SCSI Response. Reject: byte 2 reason; 24 counters;
//! 36 DataSN; its data segment is the header that was refused. SNACK: byte 1 type; 8 logical unit; 20 tag;
//! 28 ExpStatSN; 40 first; 44 count.

use super::task::coded;
use super::{Counters, FINAL, Header, NO_TAG, opcode};
use crate::iscsi::{Result, lun};

coded! {
    /// What happened (§11.9.1).
    AsyncEvent {
        /// A SCSI event; sense data is in the data segment.
        Scsi = 0,
        /// The target wants this connection logged out within parameter 3 seconds.
        LogoutRequested = 1,
        /// The target drops connection parameter 1.
        ConnectionDropped = 2,
        /// The target drops all connections of this session.
        SessionDropped = 3,
        /// The target wants parameters negotiated again.
        NegotiationRequested = 4,
        /// Tasks of a unit were ended by somebody else.
        TasksTerminated = 5,
        /// Vendor specific.
        Vendor = 255,
    }
}

/// Asynchronous Message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asynchronous {
    /// What happened.
    pub event: AsyncEvent,
    /// Code of a vendor's event.
    pub vendor_code: u8,
    /// Logical unit number.
    pub lun: u64,
    /// The target's numbers.
    pub counters: Counters,
    /// By event.
    pub parameters: [u16; 3],
}

impl Asynchronous {
    pub(super) fn parse(header: &Header) -> Result<Asynchronous> {
        header.must_be(opcode::ASYNCHRONOUS, "Asynchronous Message")?;
        Ok(Asynchronous {
            event: AsyncEvent::from_code(header.u8(36)),
            vendor_code: header.u8(37),
            lun: lun::decode(header.array(8)),
            counters: Counters::parse(header),
            parameters: [header.u16(38), header.u16(40), header.u16(42)],
        })
    }

    pub(super) fn build(&self) -> Header {
        let [first, second, third] = self.parameters.map(u16::to_be_bytes);
        let header = Header::new(opcode::ASYNCHRONOUS, FINAL)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, NO_TAG)
            .put(36, &[self.event.code(), self.vendor_code])
            .put(38, &first)
            .put(40, &second)
            .put(42, &third);
        self.counters.put(header)
    }
}

coded! {
    /// Why a message was refused (§11.17.1).
    RejectReason {
        /// Its data arrived damaged.
        DataDigest = 0x02,
        /// A SNACK that can't be served.
        SnackReject = 0x03,
        /// It breaks the protocol.
        Protocol = 0x04,
        /// The target does not support this type of message.
        CommandNotSupported = 0x05,
        /// Too many commands for immediate delivery.
        TooManyImmediate = 0x06,
        /// A task is in progress.
        TaskInProgress = 0x07,
        /// An acknowledgement of data that was not sent.
        InvalidDataAck = 0x08,
        /// A field is wrong.
        InvalidField = 0x09,
        /// The target is out of resources for a long operation.
        LongOperation = 0x0a,
        /// Negotiation was reset.
        NegotiationReset = 0x0b,
        /// Waiting for a logout.
        WaitingForLogout = 0x0c,
    }
}

/// Reject: the data segment is the header of the message that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub reason: RejectReason,
    /// The target's numbers.
    pub counters: Counters,
    /// Next Data-Out or R2T number, for reasons about data.
    pub data_sn: u32,
}

impl Reject {
    pub(super) fn parse(header: &Header) -> Result<Reject> {
        header.must_be(opcode::REJECT, "Reject")?;
        Ok(Reject {
            reason: RejectReason::from_code(header.u8(2)),
            counters: Counters::parse(header),
            data_sn: header.u32(36),
        })
    }

    pub(super) fn build(&self) -> Header {
        let header = Header::new(opcode::REJECT, FINAL)
            .put(2, &[self.reason.code()])
            .put_u32(16, NO_TAG)
            .put_u32(36, self.data_sn);
        self.counters.put(header)
    }

    /// The refused header in the data segment of a reject, if it is there.
    pub fn refused(data: &[u8]) -> Option<Header> {
        data.first_chunk().copied().map(Header::from_bytes)
    }
}

/// SNACK: send something again. With error recovery level 0 a target refuses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snack {
    /// 0 data or R2T, 1 status, 2 acknowledgement of data, 3 R-Data.
    pub kind: u8,
    /// Logical unit number.
    pub lun: u64,
    /// Task tag of the command, or [`NO_TAG`].
    pub task_tag: u32,
    /// Target transfer tag or SNACK tag.
    pub snack_tag: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
    /// First number that is missing.
    pub first: u32,
    /// How many are missing, 0 for all.
    pub count: u32,
}

impl Snack {
    pub(super) fn parse(header: &Header) -> Result<Snack> {
        header.must_be(opcode::SNACK, "SNACK")?;
        Ok(Snack {
            kind: header.u8(1) & 0x0f,
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            snack_tag: header.u32(20),
            exp_stat_sn: header.u32(28),
            first: header.u32(40),
            count: header.u32(44),
        })
    }

    pub(super) fn build(&self) -> Header {
        Header::new(opcode::SNACK, FINAL | self.kind & 0x0f)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.snack_tag)
            .put_u32(28, self.exp_stat_sn)
            .put_u32(40, self.first)
            .put_u32(44, self.count)
    }
}
