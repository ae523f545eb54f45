//! An iSCSI initiator in user space: logical units of a target as [`crate::Transport`].
//!
//! One session with one connection carries one logical unit, one command at a time, error recovery level
//! 0. That is all that a tape needs, and what can go wrong stays small enough to argue about:
//!
//! * *No command is ever sent twice.* A command is sent on one connection once. If that connection fails
//!   before the command ended, the end is unknown and the caller is told so
//!   ([`crate::Error::Transport`]). If it failed before anything of the command was sent, the caller is told
//!   that ([`crate::Error::NotCarried`]).
//! * *A connection that was lost is never bridged silently.* The next command connects again, and
//!   [`IscsiDevice`] then answers it with a unit attention of its own (6/29/07): see there.
//! * *Only what really arrived is reported.* Data-In must come in order and without gaps, or the session
//!   ends; [`crate::Reply::transferred`] is what arrived, less what the target says does not count.
//! * *Nothing waits for ever.* Connecting, each step of a login, each command, each answer to a task
//!   management function and the logout have their time.
//!
//! | file | what |
//! |---|---|
//! | `socket` | a TCP connection with deadlines |
//! | `login` | from a connection to a session |
//! | `session` | messages of an open session that are about no command |
//! | `command` | one command from its first to its last message |
//! | `device` | a session that comes back, as a [`crate::Transport`] |
//! | `questions` | a session that is asked about its units |
//! | `discovery` | which targets and units there are |

mod command;
mod device;
mod discovery;
mod login;
mod questions;
mod session;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use device::IscsiDevice;
pub use discovery::{FoundTarget, FoundUnit, discover, units};

use super::chap::Credentials;
use super::name::Name;
use super::parameters::Wishes;
use crate::address::{ISCSI_PORT, parse_portal};

/// Where a target listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Portal {
    /// Host name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Why a text is no portal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no portal: {reason}; write HOST or HOST:PORT")]
pub struct PortalError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Portal {
    type Err = PortalError;

    fn from_str(text: &str) -> Result<Portal, PortalError> {
        let (host, port) =
            parse_portal(text).map_err(|reason| PortalError { text: text.to_string(), reason })?;
        Ok(Portal { host, port })
    }
}

impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != ISCSI_PORT {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

/// How this host appears to targets and what it wants of them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this host.
    pub initiator_name: Name,
    /// What this host shows a target that asks who it is.
    pub credentials: Option<Credentials>,
    /// What the target must show; it then has to use CHAP.
    pub target_credentials: Option<Credentials>,
    /// Parameters to propose.
    pub wishes: Wishes,
    /// Time for a TCP connection.
    pub connect_timeout: Duration,
    /// Time for an answer that needs no device: a step of a login, a NOP, a task management function.
    pub answer_timeout: Duration,
}

impl Options {
    /// No authentication, the usual parameters and times.
    pub fn new(initiator_name: Name) -> Options {
        Options {
            initiator_name,
            credentials: None,
            target_credentials: None,
            wishes: Wishes::default(),
            connect_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
        }
    }
}
