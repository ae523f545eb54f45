//! What can go wrong between two iSCSI nodes.

use thiserror::Error as ThisError;

use super::pdu::LoginStatus;

/// Result of the protocol code.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a message could not be read, or what is wrong with it. Names no node: whoever holds the
/// connection knows who is at its other end.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The stream failed. A time-out is `WouldBlock` or `TimedOut`, as the stream reports it.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The other side closed the connection.
    #[error("the other side closed the connection")]
    Closed,
    /// A login was refused.
    #[error("login refused: {status}")]
    Refused {
        /// Why.
        status: LoginStatus,
    },
    /// The stream ended inside a message.
    #[error("the connection was closed in the middle of a message")]
    CutOff,
    /// A message announces more data than this side takes.
    #[error(
        "a message of type {opcode:02x}h announces {length} bytes of data, at most {limit} are taken"
    )]
    DataTooLong {
        /// Type of the message.
        opcode: u8,
        /// What it announces.
        length: usize,
        /// What this side declared, or its limit for such messages.
        limit: usize,
    },
    /// A header arrived changed. What follows on the stream can no longer be found.
    #[error("a header arrived damaged (CRC32C {computed:08x}h, sent as {sent:08x}h)")]
    HeaderDigest {
        /// As sent.
        sent: u32,
        /// Of what arrived.
        computed: u32,
    },
    /// A data segment arrived changed. The stream stands behind it.
    #[error("data arrived damaged (CRC32C {computed:08x}h, sent as {sent:08x}h)")]
    DataDigest {
        /// As sent.
        sent: u32,
        /// Of what arrived.
        computed: u32,
    },
    /// A type of message that the protocol does not have in this direction.
    #[error("a message of the unknown type {opcode:02x}h")]
    UnknownType {
        /// Opcode, six bits.
        opcode: u8,
    },
    /// A message that breaks the protocol's rules.
    #[error("malformed {what}: {reason}")]
    Malformed {
        /// Which message or part of one.
        what: &'static str,
        /// Which field, and what was found.
        reason: String,
    },
    /// A parameter on which the two sides can't agree, or that breaks the rules of negotiation.
    #[error("negotiation of {key}: {reason}")]
    Negotiation {
        /// The key.
        key: String,
        /// What was found.
        reason: String,
    },
    /// One side could not show who it is.
    #[error("CHAP: {reason}")]
    Authentication {
        /// Why, without any secret.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("the system has no random bytes: {reason}")]
    Random {
        /// What the system said.
        reason: String,
    },
}

impl Error {
    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Error {
        Error::Malformed { what, reason: reason.into() }
    }

    pub(crate) fn negotiation(key: &str, reason: impl Into<String>) -> Error {
        Error::Negotiation { key: key.to_string(), reason: reason.into() }
    }

    pub(crate) fn authentication(reason: impl Into<String>) -> Error {
        Error::Authentication { reason: reason.into() }
    }

    /// True if the stream only had nothing to give in time.
    pub fn is_timeout(&self) -> bool {
        use std::io::ErrorKind::{TimedOut, WouldBlock};
        matches!(self, Error::Io(error) if matches!(error.kind(), TimedOut | WouldBlock))
    }
}
