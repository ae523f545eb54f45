//! Typed commands and replies of SPC-4, SSC-5 and SMC-3.
//!
//! Each family of commands has one module, and that module alone knows where its fields are. It
//! offers functions that build CDBs ([`Cdb`]), types that are parsed from replies by a host and,
//! where an emulated device needs them, built by a target, and short functions that send one command
//! through a [`Transport`] and give the decoded reply back. Nothing here retries or interprets:
//! that needs to know what the tape or the robot was doing and belongs to whoever drives them.
//!
//! Decoders are total. A reply that is cut or contradicts itself becomes
//! [`Error::Malformed`] naming the field; a reply that is merely longer than it says is cut to the
//! length that it announces, because many devices fill up the allocation length.

mod fields;

pub mod access_order;
pub mod attribute;
pub mod block;
pub mod density;
pub mod device_statistics;
pub mod element;
pub mod error_counters;
pub mod inquiry;
pub mod log;
pub mod medium;
pub mod mode;
pub mod opcode;
pub mod operations;
pub mod position;
pub mod protection;
pub mod reservation;
pub mod security;
pub mod statistics;
pub mod tape_alert;
pub mod timeout;
pub mod unit;

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use crate::transport::{Data, Error, Reply, Status, Transport};

/// A command descriptor block of 6, 10, 12 or 16 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cdb {
    bytes: [u8; 16],
    length: u8,
}

impl Cdb {
    /// A CDB of these bytes; `N` is 6, 10, 12 or 16.
    pub const fn new<const N: usize>(block: [u8; N]) -> Cdb {
        const { assert!(N == 6 || N == 10 || N == 12 || N == 16, "no such CDB length") };
        let mut bytes = [0u8; 16];
        let mut index = 0;
        while index < N {
            bytes[index] = block[index];
            index += 1;
        }
        Cdb { bytes, length: N as u8 }
    }

    /// First byte.
    pub const fn opcode(&self) -> u8 {
        self.bytes[0]
    }
}

impl Deref for Cdb {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }
}

impl fmt::Debug for Cdb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cdb[")?;
        for (index, byte) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{byte:02x}")?;
        }
        f.write_str("]")
    }
}

/// Outcome of commands for which a CHECK CONDITION is either a failure or no news at all.
///
/// A device may answer a command that *worked* with CHECK CONDITION and RECOVERED ERROR, for
/// example to ask for cleaning. That is success here.
fn outcome(reply: Reply, cdb: &Cdb) -> Result<usize, Error> {
    match reply {
        Reply { status: Status::CheckCondition, transferred, sense: Some(sense) }
            if sense.is_success() =>
        {
            Ok(transferred)
        }
        reply => reply.into_result(cdb),
    }
}

/// Sends a command without data.
pub fn send(transport: &mut dyn Transport, cdb: &Cdb, timeout: Duration) -> Result<(), Error> {
    let reply = transport.execute(cdb, Data::None, timeout)?;
    outcome(reply, cdb).map(drop)
}

/// Sends a command and collects at most `allocation` bytes of its reply.
pub fn fetch(
    transport: &mut dyn Transport,
    cdb: &Cdb,
    allocation: usize,
    timeout: Duration,
) -> Result<Vec<u8>, Error> {
    let mut buffer = vec![0u8; allocation];
    let reply = transport.execute(cdb, Data::In(&mut buffer), timeout)?;
    let transferred = outcome(reply, cdb)?;
    buffer.truncate(transferred);
    Ok(buffer)
}

/// Sends a command with the parameters `data`.
pub fn put(
    transport: &mut dyn Transport,
    cdb: &Cdb,
    data: &[u8],
    timeout: Duration,
) -> Result<(), Error> {
    let reply = transport.execute(cdb, Data::Out(data), timeout)?;
    outcome(reply, cdb).map(drop)
}
