//! A session that is asked questions about its units before one of them is in use.

use std::time::Duration;

use super::command::Failure;
use super::session::Session;
use crate::command::unit;
use crate::{Data, Error, Reply, Transport};

/// The units' numbers.
pub(super) fn report_luns(session: &mut Session, name: &str) -> Result<Vec<u64>, Error> {
    unit::report_luns(&mut Unit { session, lun: 0, name })
}

/// One unit of a session that is used for questions only.
pub(super) struct Unit<'s> {
    pub session: &'s mut Session,
    pub lun: u64,
    /// What messages call it.
    pub name: &'s str,
}

impl Transport for Unit<'_> {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let failed = |reason: String| Error::Transport { device: self.name.to_string(), reason };
        self.session.execute(self.lun, cdb, data, timeout).map_err(|failure| match failure {
            Failure::NotSent(error) | Failure::Lost(error) => failed(error.to_string()),
            Failure::Target(code) => {
                failed(format!("the target answers with response {code:02x}h"))
            }
            Failure::Timeout { .. } => {
                Error::Timeout { opcode: cdb.first().copied().unwrap_or(0), timeout }
            }
        })
    }

    fn name(&self) -> &str {
        self.name
    }
}
