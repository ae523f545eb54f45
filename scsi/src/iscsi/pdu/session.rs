//! Text, Logout and NOP (RFC 7143 §11.10, §11.11, §11.14, §11.15, §11.18, §11.19).
//!
//! Text: byte 1 final 80h, continue 40h; 8 logical unit and 20 target transfer tag, which a target sets
//! to have more text asked for. NOP: 8 logical unit, 20 target transfer tag. Logout Request: byte 1 reason;
//! 20 connection. Logout Response: byte 2 result; 40 Time2Wait; 42 Time2Retain. Requests: 24 CmdSN, 28
//! ExpStatSN. Responses: 24 counters.

use super::task::coded;
use super::{Counters, FINAL, Header, opcode};
use crate::iscsi::{Result, lun};

const CONTINUE: u8 = 0x40;

fn text_flags(is_final: bool, is_continued: bool) -> u8 {
    (if is_final { FINAL } else { 0 }) | (if is_continued { CONTINUE } else { 0 })
}

/// Text Request. Its data segment is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextRequest {
    /// For immediate delivery.
    pub is_immediate: bool,
    /// The initiator has nothing more to say.
    pub is_final: bool,
    /// The text goes on in the next request.
    pub is_continued: bool,
    /// As in the target's last response.
    pub lun: u64,
    /// Task tag, the same through an exchange.
    pub task_tag: u32,
    /// As in the target's last response, or [`super::NO_TAG`] to begin an exchange.
    pub transfer_tag: u32,
    /// Number of this request.
    pub cmd_sn: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
}

impl TextRequest {
    pub(super) fn parse(header: &Header) -> Result<TextRequest> {
        header.must_be(opcode::TEXT_REQUEST, "Text Request")?;
        Ok(TextRequest {
            is_immediate: header.is_immediate(),
            is_final: header.is_final(),
            is_continued: header.u8(1) & CONTINUE != 0,
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            cmd_sn: header.u32(24),
            exp_stat_sn: header.u32(28),
        })
    }

    pub(super) fn build(&self) -> Header {
        Header::new(opcode::TEXT_REQUEST, text_flags(self.is_final, self.is_continued))
            .immediate(self.is_immediate)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.transfer_tag)
            .put_u32(24, self.cmd_sn)
            .put_u32(28, self.exp_stat_sn)
    }
}

/// Text Response. Its data segment is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextResponse {
    /// The target has nothing more to say.
    pub is_final: bool,
    /// The text goes on in the next response.
    pub is_continued: bool,
    /// For the next request.
    pub lun: u64,
    /// Task tag of the request.
    pub task_tag: u32,
    /// For the next request, or [`super::NO_TAG`] if the exchange is over.
    pub transfer_tag: u32,
    /// The target's numbers.
    pub counters: Counters,
}

impl TextResponse {
    pub(super) fn parse(header: &Header) -> Result<TextResponse> {
        header.must_be(opcode::TEXT_RESPONSE, "Text Response")?;
        Ok(TextResponse {
            is_final: header.is_final(),
            is_continued: header.u8(1) & CONTINUE != 0,
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            counters: Counters::parse(header),
        })
    }

    pub(super) fn build(&self) -> Header {
        let header =
            Header::new(opcode::TEXT_RESPONSE, text_flags(self.is_final, self.is_continued))
                .put(8, &lun::encode(self.lun))
                .put_u32(16, self.task_tag)
                .put_u32(20, self.transfer_tag);
        self.counters.put(header)
    }
}

/// NOP-Out: a question of the initiator, or its answer to a NOP-In.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NopOut {
    /// For immediate delivery.
    pub is_immediate: bool,
    /// Logical unit number.
    pub lun: u64,
    /// Task tag, or [`super::NO_TAG`] if no answer is wanted.
    pub task_tag: u32,
    /// As in the NOP-In that this answers, or [`super::NO_TAG`].
    pub transfer_tag: u32,
    /// Number of this request, or of the next command if it is immediate.
    pub cmd_sn: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
}

impl NopOut {
    pub(super) fn parse(header: &Header) -> Result<NopOut> {
        header.must_be(opcode::NOP_OUT, "NOP-Out")?;
        Ok(NopOut {
            is_immediate: header.is_immediate(),
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            cmd_sn: header.u32(24),
            exp_stat_sn: header.u32(28),
        })
    }

    pub(super) fn build(&self) -> Header {
        Header::new(opcode::NOP_OUT, FINAL)
            .immediate(self.is_immediate)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.transfer_tag)
            .put_u32(24, self.cmd_sn)
            .put_u32(28, self.exp_stat_sn)
    }
}

/// NOP-In: a question of the target, or its answer to a NOP-Out, whose data it sends back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NopIn {
    /// Logical unit number.
    pub lun: u64,
    /// Task tag of the NOP-Out, or [`super::NO_TAG`] if the target asks by itself.
    pub task_tag: u32,
    /// Tag that an answer repeats, or [`super::NO_TAG`] if none is wanted.
    pub transfer_tag: u32,
    /// The target's numbers. StatSN does not advance if the target asks by itself.
    pub counters: Counters,
}

impl NopIn {
    pub(super) fn parse(header: &Header) -> Result<NopIn> {
        header.must_be(opcode::NOP_IN, "NOP-In")?;
        Ok(NopIn {
            lun: lun::decode(header.array(8)),
            task_tag: header.task_tag(),
            transfer_tag: header.u32(20),
            counters: Counters::parse(header),
        })
    }

    pub(super) fn build(&self) -> Header {
        let header = Header::new(opcode::NOP_IN, FINAL)
            .put(8, &lun::encode(self.lun))
            .put_u32(16, self.task_tag)
            .put_u32(20, self.transfer_tag);
        self.counters.put(header)
    }
}

coded! {
    /// Why a logout (§11.14.1).
    LogoutReason {
        /// The session ends.
        CloseSession = 0,
        /// The connection ends.
        CloseConnection = 1,
        /// The connection is to be recovered.
        RemoveForRecovery = 2,
    }
}

coded! {
    /// How a logout ended (§11.15.1).
    LogoutResult {
        /// Closed.
        Closed = 0,
        /// There is no such connection.
        NoConnection = 1,
        /// Recovery is not supported.
        RecoveryNotSupported = 2,
        /// Cleaning up failed.
        CleanupFailed = 3,
    }
}

/// Logout Request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRequest {
    /// For immediate delivery.
    pub is_immediate: bool,
    /// What ends.
    pub reason: LogoutReason,
    /// Task tag.
    pub task_tag: u32,
    /// Which connection.
    pub connection: u16,
    /// Number of this request, or of the next command if it is immediate.
    pub cmd_sn: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
}

impl LogoutRequest {
    pub(super) fn parse(header: &Header) -> Result<LogoutRequest> {
        header.must_be(opcode::LOGOUT_REQUEST, "Logout Request")?;
        Ok(LogoutRequest {
            is_immediate: header.is_immediate(),
            reason: LogoutReason::from_code(header.u8(1) & 0x7f),
            task_tag: header.task_tag(),
            connection: header.u16(20),
            cmd_sn: header.u32(24),
            exp_stat_sn: header.u32(28),
        })
    }

    pub(super) fn build(&self) -> Header {
        Header::new(opcode::LOGOUT_REQUEST, FINAL | self.reason.code())
            .immediate(self.is_immediate)
            .put_u32(16, self.task_tag)
            .put(20, &self.connection.to_be_bytes())
            .put_u32(24, self.cmd_sn)
            .put_u32(28, self.exp_stat_sn)
    }
}

/// Logout Response. The target closes the connection behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutResponse {
    /// How it ended.
    pub result: LogoutResult,
    /// Task tag of the request.
    pub task_tag: u32,
    /// The target's numbers.
    pub counters: Counters,
    /// Wait so many seconds before coming again.
    pub time2wait: u16,
    /// For so many seconds after that the target keeps the session's tasks.
    pub time2retain: u16,
}

impl LogoutResponse {
    pub(super) fn parse(header: &Header) -> Result<LogoutResponse> {
        header.must_be(opcode::LOGOUT_RESPONSE, "Logout Response")?;
        Ok(LogoutResponse {
            result: LogoutResult::from_code(header.u8(2)),
            task_tag: header.task_tag(),
            counters: Counters::parse(header),
            time2wait: header.u16(40),
            time2retain: header.u16(42),
        })
    }

    pub(super) fn build(&self) -> Header {
        let header = Header::new(opcode::LOGOUT_RESPONSE, FINAL)
            .put(2, &[self.result.code()])
            .put_u32(16, self.task_tag)
            .put(40, &self.time2wait.to_be_bytes())
            .put(42, &self.time2retain.to_be_bytes());
        self.counters.put(header)
    }
}
