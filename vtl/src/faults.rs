//! The hook through which a test makes a unit fail.
//!
//! Every command of every unit passes [`Faults::on_command`] before it is executed; what comes back
//! is answered instead. Richer faults (damaged records, slow or jammed robots, dying sessions) will
//! come in through the same trait.

use scsi::Sense;

use crate::unit::name::Unit;

/// Decides which commands fail.
pub trait Faults: Send + Sync {
    /// `Some` answers the command with CHECK CONDITION and this sense data, and nothing is done.
    fn on_command(&self, unit: Unit, cdb: &[u8]) -> Option<Sense>;
}
