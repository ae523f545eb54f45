//! iSCSI (RFC 7143): SCSI commands over TCP, without the help of a kernel.
//!
//! The lower half of this folder is the protocol as bytes and rules, free of sockets and of sides, so that
//! an initiator and a target build on the same code and each checks the other:
//!
//! * [`pdu`]: every message of the protocol as a type that is parsed from a header and built into one;
//! * [`frame`]: messages on a stream: lengths with a hard limit, padding, digests, large data without copies;
//! * [`text`], [`parameters`], [`negotiation`]: `key=value` text, and what two sides agree on from it;
//! * [`chap`]: who the other side is;
//! * [`name`], [`lun`], [`serial`]: names of nodes, numbers of units, numbers that wrap.
//!
//! [`initiator`] is this house's initiator: units of a target as [`crate::Transport`].
//!
//! Everything that is read comes from a stranger: each decoder returns an [`Error`] for any bytes, and
//! nothing is allocated by a length that was only announced.

pub mod chap;
mod error;
pub mod frame;
pub mod initiator;
pub mod lun;
pub mod name;
pub mod negotiation;
pub mod parameters;
pub mod pdu;
pub mod serial;
pub mod text;

pub use error::{Error, Result};
