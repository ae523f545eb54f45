//! The messages of RFC 7143 §11, both directions.
//!
//! A message (PDU) is a header of 48 bytes, perhaps additional header segments, and perhaps a data
//! segment. Each type here parses the fields of its header and builds them again; reserved fields are
//! ignored when read and zero when written. The data segment is never part of these types: it stays
//! where it is, in the caller's buffer or on the stream (see [`super::frame`]).
//!
//! | byte | content in every header |
//! |--:|---|
//! | 0 | immediate 40h, opcode in the low six bits |
//! | 1 | final 80h, the rest by type |
//! | 4 | length of additional header segments in four-byte words |
//! | 5–7 | length of the data segment in bytes, without padding |
//! | 8–15 | logical unit, or by type |
//! | 16–19 | initiator task tag |
//! | 20–47 | by type |
//!
//! [`Request`] is what an initiator sends, [`Response`] what a target sends.

mod command;
mod data;
mod login;
mod notice;
mod session;
mod task;
#[cfg(test)]
mod tests;

pub use command::{Attributes, Residual, ScsiCommand, ScsiResponse, ServiceResponse};
pub use data::{DataIn, DataInStatus, DataOut, ReadyToTransfer};
pub use login::{Isid, LoginRequest, LoginResponse, LoginStatus, Stage, Transit};
pub use notice::{AsyncEvent, Asynchronous, Reject, RejectReason, Snack};
pub use session::{
    LogoutReason, LogoutRequest, LogoutResponse, LogoutResult, NopIn, NopOut, TextRequest,
    TextResponse,
};
pub use task::{TaskFunction, TaskManagementRequest, TaskManagementResponse, TaskResult};

use super::{Error, Result};

/// Length of a header in bytes.
pub const HEADER_BYTES: usize = 48;
/// Largest data segment that a header can announce.
pub const DATA_BYTES_MAX: usize = (1 << 24) - 1;
/// A task tag that names no task.
pub const NO_TAG: u32 = 0xffff_ffff;

/// Opcodes (§11.2.1.2).
pub mod opcode {
    #![allow(missing_docs)]
    pub const NOP_OUT: u8 = 0x00;
    pub const SCSI_COMMAND: u8 = 0x01;
    pub const TASK_MANAGEMENT_REQUEST: u8 = 0x02;
    pub const LOGIN_REQUEST: u8 = 0x03;
    pub const TEXT_REQUEST: u8 = 0x04;
    pub const DATA_OUT: u8 = 0x05;
    pub const LOGOUT_REQUEST: u8 = 0x06;
    pub const SNACK: u8 = 0x10;
    pub const NOP_IN: u8 = 0x20;
    pub const SCSI_RESPONSE: u8 = 0x21;
    pub const TASK_MANAGEMENT_RESPONSE: u8 = 0x22;
    pub const LOGIN_RESPONSE: u8 = 0x23;
    pub const TEXT_RESPONSE: u8 = 0x24;
    pub const DATA_IN: u8 = 0x25;
    pub const LOGOUT_RESPONSE: u8 = 0x26;
    pub const READY_TO_TRANSFER: u8 = 0x31;
    pub const ASYNCHRONOUS: u8 = 0x32;
    pub const REJECT: u8 = 0x3f;
}

const IMMEDIATE: u8 = 0x40;
const OPCODE_MASK: u8 = 0x3f;
const FINAL: u8 = 0x80;

/// The 48 bytes of a header.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header([u8; HEADER_BYTES]);

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Header(")?;
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

impl Header {
    /// From the bytes on the wire. Whether they mean something is found out by parsing.
    pub const fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Header {
        Header(bytes)
    }

    /// The bytes on the wire.
    pub const fn as_bytes(&self) -> &[u8; HEADER_BYTES] {
        &self.0
    }

    /// A header of this type with nothing in it.
    fn new(opcode: u8, flags: u8) -> Header {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = opcode;
        bytes[1] = flags;
        Header(bytes)
    }

    /// Type of the message, six bits.
    pub const fn opcode(&self) -> u8 {
        self.0[0] & OPCODE_MASK
    }

    /// For immediate delivery: outside the order of commands, and CmdSN does not advance.
    pub const fn is_immediate(&self) -> bool {
        self.0[0] & IMMEDIATE != 0
    }

    /// The last message of its sequence.
    pub const fn is_final(&self) -> bool {
        self.0[1] & FINAL != 0
    }

    /// Announced length of the additional header segments in bytes, at most 1020.
    pub const fn additional_bytes(&self) -> usize {
        self.0[4] as usize * 4
    }

    /// Announced length of the data segment in bytes, without padding.
    pub const fn data_bytes(&self) -> usize {
        u32::from_be_bytes([0, self.0[5], self.0[6], self.0[7]]) as usize
    }

    /// Initiator task tag.
    pub fn task_tag(&self) -> u32 {
        self.u32(16)
    }

    /// Announces a data segment of `length` bytes; it must not be longer than [`DATA_BYTES_MAX`].
    pub(super) fn set_data_bytes(&mut self, length: usize) {
        let [_, a, b, c] = (length as u32).to_be_bytes();
        self.0[5..8].copy_from_slice(&[a, b, c]);
    }

    // The offsets below are constants of the types in this folder and lie inside the header; a wrong
    // one would read zeros, and the tests with the RFC's layouts would fail.

    fn u8(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or_default()
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..at + N).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N])
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.array(at))
    }

    fn put(mut self, at: usize, bytes: &[u8]) -> Header {
        if let Some(to) = self.0.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
        self
    }

    fn put_u32(self, at: usize, value: u32) -> Header {
        self.put(at, &value.to_be_bytes())
    }

    fn immediate(mut self, is_immediate: bool) -> Header {
        if is_immediate {
            self.0[0] |= IMMEDIATE;
        }
        self
    }

    fn must_be(&self, opcode: u8, what: &'static str) -> Result<()> {
        if self.opcode() != opcode {
            return Err(Error::malformed(
                what,
                format!("type {:02x}h instead of {opcode:02x}h", self.opcode()),
            ));
        }
        Ok(())
    }
}

/// The numbers by which a target tells what it answered and what it takes (§4.2.2): bytes 24–35 of
/// everything that a target sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Number of this status. Not every message counts (see each type).
    pub stat_sn: u32,
    /// Next command that the target expects.
    pub exp_cmd_sn: u32,
    /// Last command that the target takes now.
    pub max_cmd_sn: u32,
}

impl Counters {
    fn parse(header: &Header) -> Counters {
        Counters { stat_sn: header.u32(24), exp_cmd_sn: header.u32(28), max_cmd_sn: header.u32(32) }
    }

    fn put(&self, header: Header) -> Header {
        header.put_u32(24, self.stat_sn).put_u32(28, self.exp_cmd_sn).put_u32(32, self.max_cmd_sn)
    }
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($type:ident) = $opcode:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant($type),)*
        }

        impl $name {
            /// Parses a header.
            ///
            /// # Errors
            ///
            /// [`Error::UnknownType`] for what does not travel in this direction, and
            /// [`Error::Malformed`].
            pub fn parse(header: &Header) -> Result<$name> {
                match header.opcode() {
                    $(opcode::$opcode => $type::parse(header).map($name::$variant),)*
                    opcode => Err(Error::UnknownType { opcode }),
                }
            }

            /// The header of this message, without the length of its data segment.
            pub fn build(&self) -> Header {
                match self {
                    $($name::$variant(message) => message.build(),)*
                }
            }
        }

        $(impl From<$type> for $name {
            fn from(message: $type) -> $name {
                $name::$variant(message)
            }
        })*
    };
}

messages! {
    /// What an initiator sends.
    Request {
        /// Are you there, or the answer to that.
        NopOut(NopOut) = NOP_OUT,
        /// A SCSI command.
        Command(ScsiCommand) = SCSI_COMMAND,
        /// End tasks, reset units.
        TaskManagement(TaskManagementRequest) = TASK_MANAGEMENT_REQUEST,
        /// A step of a login.
        Login(LoginRequest) = LOGIN_REQUEST,
        /// `key=value` text after the login.
        Text(TextRequest) = TEXT_REQUEST,
        /// Data of a command.
        DataOut(DataOut) = DATA_OUT,
        /// The end of a session or connection.
        Logout(LogoutRequest) = LOGOUT_REQUEST,
        /// Send something again (not with error recovery level 0).
        Snack(Snack) = SNACK,
    }
}

messages! {
    /// What a target sends.
    Response {
        /// Are you there, or the answer to that.
        NopIn(NopIn) = NOP_IN,
        /// The end of a SCSI command.
        Command(ScsiResponse) = SCSI_RESPONSE,
        /// The end of a task management function.
        TaskManagement(TaskManagementResponse) = TASK_MANAGEMENT_RESPONSE,
        /// A step of a login.
        Login(LoginResponse) = LOGIN_RESPONSE,
        /// `key=value` text after the login.
        Text(TextResponse) = TEXT_RESPONSE,
        /// Data of a command, perhaps with its status.
        DataIn(DataIn) = DATA_IN,
        /// The answer to a logout.
        Logout(LogoutResponse) = LOGOUT_RESPONSE,
        /// Send this part of a command's data.
        ReadyToTransfer(ReadyToTransfer) = READY_TO_TRANSFER,
        /// Something happened that no request asked for.
        Asynchronous(Asynchronous) = ASYNCHRONOUS,
        /// A message that the target does not take.
        Reject(Reject) = REJECT,
    }
}

impl Response {
    /// The target's numbers.
    pub fn counters(&self) -> Counters {
        match self {
            Response::NopIn(message) => message.counters,
            Response::Command(message) => message.counters,
            Response::TaskManagement(message) => message.counters,
            Response::Login(message) => message.counters,
            Response::Text(message) => message.counters,
            Response::DataIn(message) => message.counters,
            Response::Logout(message) => message.counters,
            Response::ReadyToTransfer(message) => message.counters,
            Response::Asynchronous(message) => message.counters,
            Response::Reject(message) => message.counters,
        }
    }

    /// True if the message carries a status, so that the target's StatSN advances behind it (§4.2.2.2):
    /// not Data-In without status, R2T, and NOP-In that the target sent by itself.
    pub fn has_status(&self) -> bool {
        match self {
            Response::DataIn(message) => message.status.is_some(),
            Response::ReadyToTransfer(_) => false,
            Response::NopIn(message) => message.task_tag != NO_TAG,
            _ => true,
        }
    }
}
