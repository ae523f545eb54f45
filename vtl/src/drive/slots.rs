//! The drives of a library as far as this process has them open: one device server each behind a
//! mutex, for all its handles and for the robot of this process.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use super::Drive;
use crate::clock::{Clock, Timing};
use crate::error::{Error, Result};
use crate::home::{Home, unpoisoned};
use crate::streaming::StreamingReport;
use crate::unit::{Done, Stop};

/// A drive while it is open in this process.
#[derive(Default)]
pub(crate) struct DriveSlot {
    handles: usize,
    drive: Option<Drive>,
    /// What the drive counted when it was open earlier.
    streamed: StreamingReport,
    /// When the last command to it ended, in the lane of whoever sent it.
    left_at: Duration,
}

impl DriveSlot {
    /// The drive, if this process has it open.
    pub fn drive_mut(&mut self) -> Option<&mut Drive> {
        self.drive.as_mut()
    }

    /// A command begins: not before the last one ended.
    pub fn meet(&mut self, clock: &Clock) {
        clock.reach(self.left_at);
    }

    /// A command ended.
    pub fn part(&mut self, clock: &Clock) {
        if clock.timing() == Timing::Virtual {
            self.left_at = clock.now();
        }
    }

    /// What the drive counted since the library was opened in this process.
    pub fn streaming(&mut self) -> StreamingReport {
        let mut report = self.streamed.clone();
        if let Some(drive) = &mut self.drive {
            report.add(drive.streaming());
        }
        report
    }

    /// Has the drive look what the robot brought. One that nobody has open does at once what it does with it by
    /// itself; if another process has it open, that one will notice.
    pub fn notice_robot(&mut self, home: &Arc<Home>, number: u16) -> Done {
        if let Some(drive) = &mut self.drive {
            return drive.follow_robot();
        }
        match Drive::open(home, number) {
            Ok(mut drive) => {
                drive.follow_robot()?;
                drive.wait()?;
                drive.leave().map_err(Stop::from)
            }
            Err(Error::UnitBusy { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn unknown(number: u16) -> Error {
    Error::UnitUnknown { unit: format!("drive {number}") }
}

/// The places of all drives, by number.
pub(crate) struct Drives {
    home: Arc<Home>,
    slots: Vec<Mutex<DriveSlot>>,
}

impl Drives {
    /// No drive is open yet.
    pub fn new(home: &Arc<Home>) -> Drives {
        let slots = (0..home.config().drives).map(|_| Mutex::default()).collect();
        Drives { home: Arc::clone(home), slots }
    }

    /// A drive's place in this process, locked.
    pub fn slot(&self, number: u16) -> Result<MutexGuard<'_, DriveSlot>> {
        let slot = self.slots.get(usize::from(number)).ok_or_else(|| unknown(number))?;
        Ok(unpoisoned(slot.lock()))
    }

    /// As [`Drives::slot`]; `None` if somebody is using the drive at this moment.
    pub fn try_slot(&self, number: u16) -> Result<Option<MutexGuard<'_, DriveSlot>>> {
        let slot = self.slots.get(usize::from(number)).ok_or_else(|| unknown(number))?;
        Ok(match slot.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Counts one more handle of a drive; the first opens it.
    pub fn attach(&self, number: u16) -> Result<()> {
        let mut slot = self.slot(number)?;
        if slot.drive.is_none() {
            slot.drive = Some(Drive::open(&self.home, number)?);
        }
        slot.handles += 1;
        Ok(())
    }

    /// Counts one handle less; the last closes the drive and leaves the tape where it stands.
    pub fn detach(&self, number: u16) {
        let Ok(mut slot) = self.slot(number) else { return };
        slot.handles = slot.handles.saturating_sub(1);
        if slot.handles == 0
            && let Some(mut drive) = slot.drive.take()
        {
            drive.finish_stream();
            slot.streamed.add(drive.streaming());
            // Nobody is left to be told; what a failed flush lost was never promised, and the
            // next opening recovers the tape.
            let _ = drive.leave();
        }
    }
}
