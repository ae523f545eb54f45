//! Waiting until the tape in the drive can be used.
//!
//! A drive that has just been given a cartridge answers TEST UNIT READY with half a dozen different
//! conditions before it is ready: unit attentions (medium changed, reset: once each, in any order, or
//! never), becoming ready, "not formatted" while it threads. Those are waited for. Conditions that
//! waiting cannot cure end the wait at once, so that nobody looks for ten minutes at a drive with a
//! cleaning cartridge in it.

use std::time::{Duration, Instant};

use datastore::Progress;
use scsi::Sense;
use scsi::command::log::{Activity, DeviceActivity};
use scsi::command::{self, medium, timeout, unit};

use super::{Drive, Error, Result};

const DOING: &str = "waiting for the tape";

/// How long and how often is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Time between two looks.
    pub poll_interval: Duration,
    /// How long a tape may take to become ready.
    pub ready_within: Duration,
    /// The same while the drive says that it calibrates: the first load of an LTO-9 or later
    /// cartridge takes up to two hours.
    pub calibrated_within: Duration,
    /// How long "no medium" is not believed: a robot may have let go of the cartridge only now.
    pub no_medium_within: Duration,
    /// How long FORMAT MEDIUM may take in the background.
    pub formatted_within: Duration,
    /// How long a long erase may take.
    pub erased_within: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            poll_interval: Duration::from_secs(1),
            ready_within: Duration::from_secs(600),
            calibrated_within: Duration::from_secs(7500),
            no_medium_within: Duration::from_secs(3),
            formatted_within: Duration::from_secs(7200),
            erased_within: timeout::ERASE_LONG,
        }
    }
}

/// What to do about a drive that is not ready.
enum Verdict {
    /// Look again at once: the condition is gone by having been reported.
    Again,
    /// Look again later.
    Wait,
    /// Thread the cartridge, then wait.
    Load,
    /// Waiting does not help.
    GiveUp,
}

impl Drive {
    /// True if a tape is loaded and ready. Unit attentions that are pending are taken off.
    ///
    /// # Errors
    ///
    /// Only failures of the way to the device.
    pub fn is_ready(&mut self) -> Result<bool> {
        match self.while_opening("testing whether it is ready", |drive| {
            unit::test_unit_ready(&mut drive.transport)
                .map_err(|error| drive.fail("testing whether it is ready", error))
        }) {
            Ok(()) => Ok(true),
            Err(error) if error.sense().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the tape is ready; with `load`, threads a cartridge that only lies in the drive.
    pub fn wait_ready(&mut self, load: bool, progress: &dyn Progress) -> Result<()> {
        let start = Instant::now();
        let mut limit = self.patience.ready_within;
        let mut may_load = load;
        let mut unit_attentions = 0;
        let mut has_noted = false;
        loop {
            let error = match unit::test_unit_ready(&mut self.transport) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let sense = error.sense().copied();
            let verdict = match &sense {
                Some(sense) => self.judge(sense, start.elapsed(), &mut unit_attentions, may_load),
                // A busy or reserved device answers without sense.
                None if matches!(error, scsi::Error::Status { .. }) => Verdict::Wait,
                None => Verdict::GiveUp,
            };
            match verdict {
                Verdict::GiveUp => return Err(self.fail(DOING, error)),
                Verdict::Again => continue,
                Verdict::Load => {
                    may_load = false;
                    // Whether it worked is seen by the next TEST UNIT READY.
                    let cdb = medium::load_cdb(true, false);
                    let _ = command::send(&mut self.transport, &cdb, timeout::LOAD);
                    continue;
                }
                Verdict::Wait => {}
            }
            if start.elapsed() >= limit {
                // Asked only now: some drives do not answer other commands while they load.
                let state = DeviceActivity::request(&mut self.transport);
                let is_calibrating =
                    state.is_ok_and(|state| state.activity() == Activity::Calibrating);
                if !is_calibrating || limit >= self.patience.calibrated_within {
                    return Err(Error::NotReadyInTime {
                        drive: self.name().to_string(),
                        waited: start.elapsed(),
                        last: sense,
                    });
                }
                limit = self.patience.calibrated_within;
                progress.note(&format!(
                    "drive {} is calibrating the new tape, which takes up to two hours",
                    self.name()
                ));
            }
            if !has_noted {
                has_noted = true;
                let operator = match sense {
                    Some(sense) if sense.needs_operator() => {
                        format!(": an operator has to look at it ({sense})")
                    }
                    _ => String::new(),
                };
                progress.note(&format!("waiting for the tape in drive {}{operator}", self.name()));
            }
            self.pause(DOING, progress)?;
        }
    }

    fn judge(
        &self,
        sense: &Sense,
        elapsed: Duration,
        unit_attentions: &mut u32,
        may_load: bool,
    ) -> Verdict {
        const UNIT_ATTENTIONS_AT_ONCE: u32 = 8;
        if sense.is_unit_attention() {
            *unit_attentions += 1;
            // A device that raises one each time must not keep us spinning.
            return if *unit_attentions <= UNIT_ATTENTIONS_AT_ONCE {
                Verdict::Again
            } else {
                Verdict::Wait
            };
        }
        if sense.is_cleaning_cartridge() || sense.is_incompatible_medium() {
            return Verdict::GiveUp;
        }
        if may_load && !sense.is_becoming_ready() && !sense.is_operation_in_progress() {
            return Verdict::Load;
        }
        if sense.is_medium_not_present() {
            return if elapsed < self.patience.no_medium_within {
                Verdict::Wait
            } else {
                Verdict::GiveUp
            };
        }
        // Threading failed: the next try needs another load, and somebody who looks.
        if sense.is_load_failure() {
            return Verdict::GiveUp;
        }
        // "Format corrupted" is also what some drives say while they thread, with key 2 or 3.
        if sense.asc == 0x31 {
            return Verdict::Wait;
        }
        match sense.key {
            scsi::SenseKey::MediumError
            | scsi::SenseKey::HardwareError
            | scsi::SenseKey::IllegalRequest => Verdict::GiveUp,
            _ => Verdict::Wait,
        }
    }
}
