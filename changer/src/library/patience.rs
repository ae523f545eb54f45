//! Waiting for a library that is not ready to answer.
//!
//! Only the first questions of a status are repeated, never a move: a library that takes inventory or reports a unit
//! attention is merely not ready, a robot that has dropped a tape must not be told to try again.

use std::time::{Duration, Instant};

use scsi::{Transport, transport};

use super::{Changer, READING};
use crate::error::{Error, Result};

/// How long and how often a library that is not ready is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Time between two questions.
    pub poll_interval: Duration,
    /// How long a failing question is repeated.
    pub answer_within: Duration,
    /// The same while the library says that it becomes ready (it takes inventory).
    pub ready_within: Duration,
    /// How long a drive may clean itself.
    pub clean_within: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            poll_interval: Duration::from_secs(1),
            answer_within: Duration::from_secs(5),
            ready_within: Duration::from_secs(300),
            clean_within: Duration::from_secs(900),
        }
    }
}

impl Changer {
    /// Repeats a question while the library is not ready to answer it.
    pub(super) fn patiently<T>(
        &mut self,
        mut question: impl FnMut(&mut dyn Transport) -> Result<T, transport::Error>,
    ) -> Result<T> {
        const UNIT_ATTENTIONS_AT_ONCE: u32 = 8;
        let start = Instant::now();
        let mut limit = self.patience.answer_within;
        let mut unit_attentions = 0;
        loop {
            let error = match question(&mut self.transport) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(sense) = error.sense() {
                if sense.is_unsupported() {
                    return Err(self.failed(READING, error));
                }
                if sense.is_becoming_ready() {
                    limit = self.patience.ready_within;
                }
                // It is gone by having been reported; several may be queued.
                if sense.is_unit_attention() && unit_attentions < UNIT_ATTENTIONS_AT_ONCE {
                    unit_attentions += 1;
                    continue;
                }
            }
            if start.elapsed() >= limit {
                return Err(self.failed(READING, error));
            }
            self.pause(READING)?;
        }
    }

    /// Fails if the operation is to end. Asked before each move: a robot at work is never interrupted.
    pub(super) fn check_abort(&self, doing: &'static str) -> Result<()> {
        if self.abort.as_ref().is_some_and(|abort| abort()) {
            return Err(Error::Aborted { changer: self.name().to_string(), doing });
        }
        Ok(())
    }

    /// Waits for the time between two questions.
    pub(super) fn pause(&self, doing: &'static str) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(100);
        let mut left = self.patience.poll_interval;
        loop {
            self.check_abort(doing)?;
            if left.is_zero() {
                return Ok(());
            }
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}
