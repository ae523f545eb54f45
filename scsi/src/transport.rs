//! One logical unit and the way to it.
//!
//! A [`Transport`] carries one command at a time and reports exactly what the device reported:
//! status, sense and how many bytes really moved. It never retries, never interprets and never
//! hides a unit attention; that is for the drive and changer code above, which knows what a lost
//! position means. Bytes of a read buffer behind [`Reply::transferred`] keep their old content.

use std::time::Duration;

use thiserror::Error as ThisError;

use crate::sense::Sense;

/// What travels with a command, seen from the host.
#[derive(Debug)]
pub enum Data<'a> {
    /// No data phase.
    None,
    /// The device sends at most this many bytes.
    In(&'a mut [u8]),
    /// The host sends these bytes.
    Out(&'a [u8]),
}

impl Data<'_> {
    /// Length of the buffer in bytes, 0 without one.
    pub fn len(&self) -> usize {
        match self {
            Data::None => 0,
            Data::In(buffer) => buffer.len(),
            Data::Out(buffer) => buffer.len(),
        }
    }

    /// True if no byte can move.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// SCSI status byte (SAM-5 §5.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// 00h.
    Good,
    /// 02h: there is sense data.
    CheckCondition,
    /// 08h: try again later.
    Busy,
    /// 18h: another host reserved the unit.
    ReservationConflict,
    /// 28h: the unit's queue is full.
    TaskSetFull,
    /// Anything else, as sent.
    Other(u8),
}

impl Status {
    /// From the byte on the wire.
    pub fn from_byte(byte: u8) -> Status {
        match byte {
            0x00 => Status::Good,
            0x02 => Status::CheckCondition,
            0x08 => Status::Busy,
            0x18 => Status::ReservationConflict,
            0x28 => Status::TaskSetFull,
            other => Status::Other(other),
        }
    }

    /// What the status means, in words.
    pub fn text(self) -> String {
        match self {
            Status::Good => "good".to_string(),
            Status::CheckCondition => "failed without saying why".to_string(),
            Status::Busy => "the device is busy; try again later".to_string(),
            Status::ReservationConflict => {
                "another host has reserved the device; release it there".to_string()
            }
            Status::TaskSetFull => {
                "the device has too many commands to do; try again later".to_string()
            }
            Status::Other(byte) => format!("device status {byte:02x}h"),
        }
    }

    /// True if the device has refused the command without looking at it (SAM-5 §5.3.1), so that it may be
    /// sent again. A reservation is not of that kind: it ends when another host says so.
    pub fn is_try_again(self) -> bool {
        matches!(self, Status::Busy | Status::TaskSetFull)
    }

    /// To the byte on the wire.
    pub fn to_byte(self) -> u8 {
        match self {
            Status::Good => 0x00,
            Status::CheckCondition => 0x02,
            Status::Busy => 0x08,
            Status::ReservationConflict => 0x18,
            Status::TaskSetFull => 0x28,
            Status::Other(byte) => byte,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status byte.
    pub status: Status,
    /// Bytes that really moved, at most the buffer's length (buffer length minus residual).
    pub transferred: usize,
    /// Sense data, present with [`Status::CheckCondition`] (and where a device sends it unasked).
    pub sense: Option<Sense>,
}

/// Why a command could not be carried at all, or (see [`Reply::into_result`]) how it failed.
///
/// What a device said names the command, what happened on the way names the device. Which device it was and
/// what to do about it is added by whoever knows what was being done (`drive` and `changer`).
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The device answered with CHECK CONDITION.
    #[error("{}: {sense}", command(*opcode))]
    Check {
        /// First byte of the CDB.
        opcode: u8,
        /// What the device said.
        sense: Sense,
    },
    /// The device answered with a status that carries no sense data.
    #[error("{}: {}", command(*opcode), status.text())]
    Status {
        /// First byte of the CDB.
        opcode: u8,
        /// The status.
        status: Status,
    },
    /// The device did not answer in time.
    #[error("{}: no answer within {} s", command(*opcode), timeout.as_secs())]
    Timeout {
        /// First byte of the CDB.
        opcode: u8,
        /// What was allowed.
        timeout: Duration,
    },
    /// The way to the device failed (host adapter, driver, connection).
    #[error("{device}: {}", transport_failed(reason))]
    Transport {
        /// The device as the user named it.
        device: String,
        /// Host and driver status, or what else is known.
        reason: String,
    },
    /// The command did certainly not reach the device, which therefore did nothing: it may be sent again,
    /// whatever it is.
    #[error("{device}: {}", not_carried(reason))]
    NotCarried {
        /// The device as the user named it.
        device: String,
        /// What was in the way.
        reason: String,
    },
    /// More bytes in one command than the way to the device takes.
    #[error("{device}: {}", too_long(*opcode, *bytes, *limit_bytes))]
    TransferTooLong {
        /// The device as the user named it.
        device: String,
        /// First byte of the CDB.
        opcode: u8,
        /// Bytes that were to be moved.
        bytes: u64,
        /// Largest transfer that the kernel tells.
        limit_bytes: u64,
    },
    /// The device could not be opened or is not what was asked for.
    #[error("{device}: {reason}")]
    Open {
        /// The device as the user named it.
        device: String,
        /// What is wrong and what to do about it.
        reason: String,
    },
    /// An operating system error on the device.
    #[error("{device}: {source}")]
    Io {
        /// The device as the user named it.
        device: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A reply that does not follow the standard.
    #[error("{}: malformed reply: {reason}", command(*opcode))]
    Malformed {
        /// First byte of the CDB.
        opcode: u8,
        /// Which field, and what was found.
        reason: String,
    },
}

/// A command's name with its code.
fn command(opcode: u8) -> String {
    match crate::command::opcode::name(opcode) {
        Some(name) => format!("{name} ({opcode:02x}h)"),
        None => format!("SCSI command {opcode:02x}h"),
    }
}

impl Error {
    /// The sense data, if the device sent some.
    pub fn sense(&self) -> Option<&Sense> {
        match self {
            Error::Check { sense, .. } => Some(sense),
            _ => None,
        }
    }

    /// The message without the device's name, for one that has named the device already.
    pub fn without_device(&self) -> String {
        match self {
            Error::Transport { reason, .. } => transport_failed(reason),
            Error::NotCarried { reason, .. } => not_carried(reason),
            Error::Open { reason, .. } => reason.clone(),
            Error::Io { source, .. } => source.to_string(),
            Error::TransferTooLong { opcode, bytes, limit_bytes, .. } => {
                too_long(*opcode, *bytes, *limit_bytes)
            }
            Error::Check { .. }
            | Error::Status { .. }
            | Error::Timeout { .. }
            | Error::Malformed { .. } => self.to_string(),
        }
    }
}

fn transport_failed(reason: &str) -> String {
    format!("SCSI transport failed: {reason}")
}

fn not_carried(reason: &str) -> String {
    format!("the command was not carried: {reason}")
}

fn too_long(opcode: u8, bytes: u64, limit_bytes: u64) -> String {
    format!(
        "{}: {bytes} bytes in one command are too many, host adapter and kernel take {limit_bytes}; \
         raise the adapter driver's limit (max_sectors) or use another adapter",
        command(opcode)
    )
}

impl Reply {
    /// GOOD becomes the number of bytes moved; everything else an [`Error`].
    ///
    /// Commands whose CHECK CONDITION may be good news (READ at a filemark, WRITE at early warning)
    /// look at the reply themselves instead.
    pub fn into_result(self, cdb: &[u8]) -> Result<usize, Error> {
        let opcode = cdb.first().copied().unwrap_or(0);
        match (self.status, self.sense) {
            (Status::Good, _) => Ok(self.transferred),
            (Status::CheckCondition, Some(sense)) => Err(Error::Check { opcode, sense }),
            (status, _) => Err(Error::Status { opcode, status }),
        }
    }
}

/// One logical unit.
pub trait Transport: Send {
    /// Sends one command and waits for its end, at most `timeout`.
    ///
    /// `cdb` is 6, 10, 12 or 16 bytes. `Err` means that the command was not carried or its end is
    /// unknown; a device that refuses a command is `Ok` with its status and sense.
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error>;

    /// The device as the user named it, for messages.
    fn name(&self) -> &str;
}

impl<T: Transport + ?Sized> Transport for Box<T> {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        (**self).execute(cdb, data, timeout)
    }

    fn name(&self) -> &str {
        (**self).name()
    }
}

/// Turns an address into an open logical unit. The binary supplies the implementation that knows
/// every kind of address; crates that need devices take this trait.
pub trait Connect: Send + Sync {
    /// Opens the logical unit at `address`.
    fn connect(&self, address: &crate::address::Address) -> Result<Box<dyn Transport>, Error>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What drive and changer say of a failure named the device twice: they had named it already.
    #[test]
    fn each_error_names_device_or_command_and_can_leave_the_device_out() {
        let device = || "iscsi://host/target/0".to_string();
        let opcode = 0x08;
        let reason = || "what happened".to_string();
        let errors = [
            Error::Check { opcode, sense: Sense::READ_ERROR },
            Error::Status { opcode, status: Status::Busy },
            Error::Timeout { opcode, timeout: Duration::from_secs(9) },
            Error::Transport { device: device(), reason: reason() },
            Error::NotCarried { device: device(), reason: reason() },
            Error::TransferTooLong { device: device(), opcode, bytes: 9, limit_bytes: 8 },
            Error::Open { device: device(), reason: reason() },
            Error::Io { device: device(), source: std::io::Error::other("what happened") },
            Error::Malformed { opcode, reason: reason() },
        ];
        for error in errors {
            let (text, short) = (error.to_string(), error.without_device());
            assert!(!short.contains("iscsi:") && short.len() > 10, "{short}");
            match text.strip_prefix("iscsi://host/target/0: ") {
                Some(rest) => assert_eq!(rest, short),
                None => assert!(text == short && text.contains("READ (08h)"), "{text}"),
            }
        }
    }
}
