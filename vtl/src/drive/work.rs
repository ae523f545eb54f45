//! What a drive is busy with, on a library that keeps time.
//!
//! A handler does its work on the files at once and then says how long a drive would have been at it
//! ([`Drive::occupy`]). Without IMMED the command waits for the end on the library's clock; with it, it ends now
//! and the drive is busy until then. While busy, commands that need the medium meet 2/04/01 (loading, calibrating),
//! 2/04/04 (formatting), 2/30/03 (cleaning) or 2/04/07 (all else), with a progress indication, and those that only
//! ask the drive are carried out (SSC-5 §4.2.15, SPC-4 §5.13). Effects that belong to the end of an operation wait
//! for it: 28/00 after a load, the memory's note of a calibration, a cleaning cartridge's being unloaded.
//!
//! A command that is aborted while it waits ends, and its operation goes on as with IMMED: the next command finds
//! the drive busy, or at the position that the aborted one went to. A reset does not stop the tape either.
//!
//! An operation belongs to the process that has the drive open. When the last handle is dropped it counts as
//! done, but for a calibration: one that was interrupted begins anew when the cartridge is opened next.
//!
//! Without a clock there is never any work: [`Drive::occupy`] ends the operation where it begins.

use std::sync::Arc;
use std::time::Duration;

use scsi::Sense;
use scsi::command::opcode::*;

use super::{Drive, Medium, threaded};
use crate::abort::Abort;
use crate::clock::poll_step;
use crate::geometry::{Geometry, Place};
use crate::timing;
use crate::unit::{Command, Done, Stop};

/// Kinds of operations, with the numbers of the device activity in log page 11h (ADC-3 §6.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Activity {
    Cleaning = 0x01,
    Loading = 0x02,
    Unloading = 0x03,
    Reading = 0x05,
    Writing = 0x06,
    Locating = 0x07,
    Rewinding = 0x08,
    Erasing = 0x09,
    Formatting = 0x0a,
    Calibrating = 0x0b,
}

impl Activity {
    fn sense(self) -> Sense {
        match self {
            Activity::Cleaning => Sense::CLEANING_CARTRIDGE,
            Activity::Loading | Activity::Calibrating => Sense::BECOMING_READY,
            Activity::Formatting => Sense::FORMAT_IN_PROGRESS,
            _ => Sense::OPERATION_IN_PROGRESS,
        }
    }

    /// The tape stands still and is out of reach.
    pub(super) fn hides_medium(self) -> bool {
        matches!(
            self,
            Activity::Cleaning | Activity::Loading | Activity::Unloading | Activity::Calibrating
        )
    }
}

/// An operation that goes on. Times are those of the library's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    pub activity: Activity,
    begins: Duration,
    lasts: Duration,
}

impl Work {
    fn ends(&self) -> Duration {
        self.begins.saturating_add(self.lasts)
    }

    /// What commands meet that have to wait, with the part that is done in 1/65536.
    fn sense(&self, now: Duration) -> Sense {
        let done_us = now.saturating_sub(self.begins).as_micros();
        let progress = done_us * 0x1_0000 / self.lasts.as_micros().max(1);
        self.activity.sense().with_progress(u16::try_from(progress).unwrap_or(u16::MAX))
    }
}

/// Commands that a busy drive carries out: they only ask it, or are about hosts.
fn is_answered_meanwhile(opcode: u8) -> bool {
    matches!(
        opcode,
        REQUEST_SENSE
            | INQUIRY
            | REPORT_LUNS
            | LOG_SENSE
            | MODE_SENSE_6
            | MODE_SENSE_10
            | READ_BLOCK_LIMITS
            | MAINTENANCE_IN
            | PERSISTENT_RESERVE_IN
            | PERSISTENT_RESERVE_OUT
            | RESERVE_6
            | RESERVE_10
            | RELEASE_6
            | RELEASE_10
            | PREVENT_ALLOW_MEDIUM_REMOVAL
    )
}

impl Drive {
    /// What the drive is doing.
    pub(super) fn activity(&self) -> Option<Activity> {
        self.work.map(|work| work.activity)
    }

    /// What REQUEST SENSE tells of it.
    pub(super) fn work_sense(&self) -> Option<Sense> {
        self.work.map(|work| work.sense(self.home.clock().now()))
    }

    /// An operation begins that was carried out on the files already. `immediate` leaves it going on.
    pub(super) fn occupy(&mut self, activity: Activity, lasts: Duration, immediate: bool) -> Done {
        let work = Work { activity, begins: self.home.clock().now(), lasts };
        if !self.home.clock().is_running() {
            return self.finish(work);
        }
        self.work = Some(work);
        if immediate { Ok(()) } else { self.wait() }
    }

    /// From now on it is this that ends the wait of a command.
    pub(crate) fn listen_to(&mut self, abort: &Arc<Abort>) {
        self.abort = Arc::clone(abort);
    }

    /// Lets the clock run until the drive is idle.
    ///
    /// # Errors
    ///
    /// [`Stop::NoAnswer`] if the command was told to end before; the drive stays busy.
    pub(crate) fn wait(&mut self) -> Done {
        while let Some(work) = self.work {
            let now = self.home.clock().now();
            if !self.home.clock().pass(work.ends().saturating_sub(now), &self.abort) {
                // The command has no answer any more; the operation goes on as one with IMMED does.
                return Err(Stop::NoAnswer);
            }
            self.work = None;
            self.finish(work)?;
        }
        Ok(())
    }

    /// Ends what is over by now.
    pub(super) fn finish_what_is_over(&mut self) -> Done {
        while let Some(work) = self.work
            && work.ends() <= self.home.clock().now()
        {
            self.work = None;
            self.finish(work)?;
        }
        Ok(())
    }

    /// A command comes while the drive is busy.
    pub(super) fn meet_work(&mut self, opcode: u8) -> Done {
        let Some(work) = self.work else { return Ok(()) };
        let clock = self.home.clock();
        let sense = work.sense(clock.now());
        // A host that polls must come to an end on the virtual clock; see `clock`.
        clock.advance(poll_step(work.lasts));
        // The memory of a cleaning cartridge needs no tape.
        let reads_memory = work.activity == Activity::Cleaning && opcode == READ_ATTRIBUTE;
        if reads_memory || is_answered_meanwhile(opcode) { Ok(()) } else { Err(sense.into()) }
    }

    /// The robot wants the cartridge: operations of seconds are waited for. True if the drive is free now.
    pub(crate) fn make_way(&mut self) -> Result<bool, Stop> {
        self.finish_what_is_over()?;
        match self.activity() {
            None => return Ok(true),
            Some(
                Activity::Cleaning
                | Activity::Calibrating
                | Activity::Formatting
                | Activity::Erasing,
            ) => {
                // The robot's question is a poll like any other.
                let _busy = self.meet_work(MOVE_MEDIUM);
            }
            Some(_) => self.wait()?,
        }
        Ok(self.work.is_none())
    }

    /// The last handle goes: what is going on counts as done, but for a calibration.
    pub(super) fn leave_work(&mut self) -> Done {
        match self.work.take() {
            Some(work) if work.activity != Activity::Calibrating => {
                self.finish(work)?;
                self.work = None;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn finish(&mut self, work: Work) -> Done {
        match work.activity {
            Activity::Loading => {
                self.work = self.calibration(work.ends());
                if self.work.is_none() {
                    self.attentions.raise(Sense::MEDIUM_CHANGED, None);
                }
            }
            Activity::Calibrating => {
                if let Medium::Threaded(cartridge) = &mut self.medium {
                    cartridge.state.calibrated = true;
                    cartridge.save()?;
                }
                self.attentions.raise(Sense::MEDIUM_CHANGED, None);
            }
            Activity::Cleaning => self.end_cleaning()?,
            _ => {}
        }
        Ok(())
    }

    /// A medium was opened that came in just now, or that an earlier program left in the drive.
    pub(super) fn resume_load(&mut self, is_new: bool) -> Done {
        if is_new
            || matches!(self.medium, Medium::Refused(sense) if sense == Sense::CLEANING_CARTRIDGE)
        {
            return self.begin_load(true);
        }
        let calibrating = self.calibration(self.home.clock().now());
        self.work = calibrating;
        Ok(())
    }

    /// The calibration that the threaded cartridge still needs.
    fn calibration(&self, begins: Duration) -> Option<Work> {
        let Medium::Threaded(cartridge) = &self.medium else { return None };
        if !self.home.clock().is_running() || cartridge.state.calibrated {
            return None;
        }
        let lasts = timing::calibration(cartridge.state.generation, cartridge.state.id)?;
        Some(Work { activity: Activity::Calibrating, begins, lasts })
    }

    /// A cartridge came in, or is to be threaded again; the medium is known.
    pub(super) fn begin_load(&mut self, immediate: bool) -> Done {
        if matches!(self.medium, Medium::Refused(sense) if sense == Sense::CLEANING_CARTRIDGE) {
            return self.occupy(Activity::Cleaning, timing::CLEANING, immediate);
        }
        self.occupy(Activity::Loading, timing::load(self.generation()), immediate)
    }

    /// The shape of the tape and where it stands.
    fn place(&mut self) -> Result<Option<(Geometry, Place)>, Stop> {
        let position = self.record.position;
        let Medium::Threaded(cartridge) = &mut self.medium else { return Ok(None) };
        let state = &cartridge.state;
        let before: u64 =
            (0..cartridge.partition()).map(|number| state.partition_capacity_bytes(number)).sum();
        let tape = Geometry::new(state.generation, state.capacity_bytes);
        let byte = before.saturating_add(cartridge.log.bytes_before(position)?);
        Ok(Some((tape, tape.place(byte))))
    }

    /// Time to rewind from here.
    pub(super) fn rewind_time(&mut self) -> Result<Duration, Stop> {
        if !self.home.clock().is_running() {
            return Ok(Duration::ZERO);
        }
        let place = self.place()?;
        Ok(place.map_or(Duration::ZERO, |(tape, from)| Duration::from_millis(tape.rewind_ms(from))))
    }

    /// Time that the robot's taking the cartridge costs a drive that has to unload it first.
    pub(super) fn unload_time(&mut self) -> Result<Duration, Stop> {
        match self.medium {
            Medium::Threaded(_) => Ok(self.rewind_time()? + timing::UNLOAD),
            _ => Ok(Duration::ZERO),
        }
    }
}

type Handler = fn(&mut Drive, &mut Command<'_, '_>) -> Done;

/// Carries out a motion and lets it take its time. A motion that ends with a condition is waited for: there
/// is no later command that could tell it.
fn motion(
    drive: &mut Drive,
    command: &mut Command<'_, '_>,
    activity: Activity,
    immediate: bool,
    handler: Handler,
) -> Done {
    if !drive.home.clock().is_running() {
        return handler(drive, command);
    }
    drive.free_tape();
    let from = drive.place()?;
    let done = handler(drive, command);
    if let (Some((tape, from)), Some((_, to))) = (from, drive.place()?) {
        let lasts_ms = match activity {
            Activity::Rewinding => tape.rewind_ms(from),
            _ => tape.locate_ms(from, to),
        };
        let lasts = Duration::from_millis(lasts_ms);
        drive.occupy(activity, lasts, immediate && done.is_ok())?;
    }
    done
}

/// REWIND.
pub(super) fn rewind(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let immediate = command.byte(1) & 0x01 != 0;
    motion(drive, command, Activity::Rewinding, immediate, super::motion::rewind)
}

/// SPACE(6) and SPACE(16), which know no IMMED.
pub(super) fn space(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    motion(drive, command, Activity::Locating, false, super::motion::space)
}

/// LOCATE(10).
pub(super) fn locate_10(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let immediate = command.byte(1) & 0x01 != 0;
    motion(drive, command, Activity::Locating, immediate, super::motion::locate_10)
}

/// LOCATE(16).
pub(super) fn locate_16(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let immediate = command.byte(1) & 0x01 != 0;
    motion(drive, command, Activity::Locating, immediate, super::motion::locate_16)
}

/// ERASE.
pub(super) fn erase(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let flags = command.byte(1);
    drive.free_tape();
    super::blank::erase(drive, command)?;
    if !drive.home.clock().is_running() {
        return Ok(());
    }
    let mut lasts = timing::ERASE_SHORT;
    if flags & 0x01 != 0 {
        let generation = drive.generation();
        let position = drive.record.position;
        let cartridge = threaded(&mut drive.medium)?;
        let bytes = cartridge.log.bytes_before(position)?;
        let state = &cartridge.state;
        lasts = timing::erase_long(generation, state.generation, bytes, state.capacity_bytes);
    }
    drive.occupy(Activity::Erasing, lasts, flags & 0x02 != 0)
}

/// FORMAT MEDIUM.
pub(super) fn format(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let immediate = command.byte(1) & 0x01 != 0;
    drive.free_tape();
    super::blank::format(drive, command)?;
    let state = &threaded(&mut drive.medium)?.state;
    let lasts = timing::format(state.generation, state.id);
    drive.occupy(Activity::Formatting, lasts, immediate)
}
