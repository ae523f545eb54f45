//! What becomes of errors while an archive is restored, and the counts of what was done.

use std::io;

use nix::errno::Errno;

use super::options::{OnError, Options, Summary};
use crate::error::{Error, path_of};
use crate::monitor::{Monitor, Warning};

/// Applies the error policy and counts.
pub(super) struct Reporter<'a> {
    pub(super) options: &'a Options,
    pub(super) monitor: &'a dyn Monitor,
    pub(super) summary: Summary,
    /// Path in the archive of the current entry.
    pub(super) path: Vec<u8>,
}

impl Reporter<'_> {
    pub(super) fn fail(&mut self, error: Error) -> Result<(), Error> {
        if self.options.on_error == OnError::Abort || error.is_damaged() || error.is_aborted() {
            return Err(error);
        }
        self.summary.failed += 1;
        self.monitor.warning(&Warning::Failed(error));
        Ok(())
    }

    /// As [`Reporter::fail`] where damage to one entry leaves the way to the others open.
    pub(super) fn pass_over(&mut self, error: Error) -> Result<(), Error> {
        if self.options.on_error == OnError::Abort || error.is_aborted() {
            return Err(error);
        }
        self.summary.failed += 1;
        self.monitor.warning(&Warning::Failed(error));
        Ok(())
    }

    /// Send the error of a call on the current entry through the policy, except ignored ones.
    pub(super) fn check(
        &mut self,
        action: &'static str,
        result: io::Result<()>,
        ignored: &[Errno],
    ) -> Result<(), Error> {
        match result {
            Ok(()) => Ok(()),
            Err(error)
                if ignored.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)) =>
            {
                Ok(())
            }
            Err(error) => self.fail(Error::file(action, &self.path, error)),
        }
    }

    pub(super) fn skipped_metadata(&mut self, reason: String) {
        let path = path_of(&self.path);
        self.monitor.warning(&Warning::MetadataSkipped { path, reason });
    }
}
