//! Which logical unit number means which unit, and what a number without a unit answers.

use std::sync::Arc;

use scsi::command::opcode;
use scsi::{Data, Sense, SenseKey, Status};

use super::event::{Event, Observer};
use crate::abort::Abort;
use crate::error::Result;
use crate::library::{ChangerUnit, DriveUnit, Ended, HostSession};
use crate::unit::inquiry;
use crate::unit::name::Unit;
use crate::unit::{self, Command, Done, Failure, Nexus, Stop};

/// Logical unit number of the changer; drive N is N + 1.
pub const LUN_CHANGER: u64 = 0;

/// Internal target failure (4/44/00): the emulation's own files failed.
const TARGET_FAILURE: Sense = Sense::new(SenseKey::HardwareError, 0x44, 0x00);

/// The logical units of one session.
pub struct Units {
    changer: ChangerUnit,
    drives: Vec<DriveUnit>,
    luns: Vec<u16>,
    observer: Observer,
}

/// What a unit made of a command.
pub enum Outcome {
    /// It ended.
    Ended(Ended),
    /// The unit does not answer. Its host will give up the command.
    Silence,
    /// It was not begun: another session is using the unit.
    Busy,
}

/// The unit with this number in a library of so many drives.
pub fn unit_at(lun: u64, drives: usize) -> Option<Unit> {
    match lun.checked_sub(1) {
        None => Some(Unit::Changer),
        Some(number) => {
            let exists = usize::try_from(number).is_ok_and(|number| number < drives);
            u16::try_from(number).ok().filter(|_| exists).map(Unit::Drive)
        }
    }
}

impl Units {
    /// Handles to all units.
    pub fn open(session: &HostSession, drives: u16, observer: Observer) -> Result<Units> {
        Ok(Units {
            changer: session.changer(),
            drives: (0..drives).map(|number| session.drive(number)).collect::<Result<_>>()?,
            luns: (0..=drives).collect(),
            observer,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.luns.len()
    }

    /// The unit with this number.
    pub fn unit(&self, lun: u64) -> Option<Unit> {
        unit_at(lun, self.drives.len())
    }

    /// Carries out a command. Without `wait` it is not begun if it would have to wait for another
    /// session's. `abort` ends its wait for a motion; it ends in silence then.
    pub fn run(
        &self,
        lun: u64,
        cdb: &[u8],
        data: Data<'_>,
        wait: bool,
        abort: &Arc<Abort>,
    ) -> Outcome {
        let code = cdb.first().copied().unwrap_or(0);
        if code == opcode::REPORT_LUNS {
            let list = |command: &mut Command<'_, '_>| unit::report_luns(command, &self.luns);
            return Outcome::Ended(answer(cdb, data, list));
        }
        let ended = match self.unit(lun) {
            None => return Outcome::Ended(answer(cdb, data, missing)),
            Some(Unit::Changer) => self.changer.run(cdb, data, abort).map(Some),
            Some(Unit::Drive(number)) => match self.drives.get(usize::from(number)) {
                None => return Outcome::Ended(answer(cdb, data, missing)),
                Some(drive) => drive.run(cdb, data, wait, abort),
            },
        };
        match ended {
            Ok(Some(ended)) => Outcome::Ended(ended),
            Ok(None) => Outcome::Busy,
            Err(Failure::NoAnswer) => Outcome::Silence,
            Err(Failure::Host(error)) => {
                let reason = error.to_string();
                (self.observer)(Event::UnitFailed { lun, reason });
                Outcome::Ended(check(TARGET_FAILURE, 0, 0))
            }
        }
    }
}

fn check(sense: Sense, transferred: usize, wanted: u64) -> Ended {
    let sense = sense.to_fixed().to_vec();
    Ended { status: Status::CheckCondition, transferred, wanted, sense }
}

/// A command refused without a unit.
pub fn refused(sense: Sense) -> Ended {
    check(sense, 0, 0)
}

/// Answers what needs no unit.
fn answer(cdb: &[u8], data: Data<'_>, with: impl FnOnce(&mut Command<'_, '_>) -> Done) -> Ended {
    let mut command = Command::new(Nexus::LOCAL, cdb, data);
    let done = with(&mut command);
    let (transferred, wanted) = (command.transferred(), command.wanted());
    match done {
        Ok(()) => Ended { status: Status::Good, transferred, wanted, sense: Vec::new() },
        Err(Stop::Check(sense)) => check(sense, transferred, wanted),
        Err(_) => check(TARGET_FAILURE, transferred, wanted),
    }
}

/// What a number without a unit answers (SPC-4 §6.6.2, §6.39; SAM-5 §5.11).
fn missing(command: &mut Command<'_, '_>) -> Done {
    match command.byte(0) {
        opcode::INQUIRY => inquiry::of_missing_unit(command),
        opcode::REQUEST_SENSE => {
            unit::request_sense(&mut unit::Attentions::default(), command, Sense::NO_SUCH_UNIT);
            Ok(())
        }
        _ => Err(Sense::NO_SUCH_UNIT.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_changer_comes_first() {
        assert_eq!(unit_at(LUN_CHANGER, 2), Some(Unit::Changer));
        assert_eq!(unit_at(1, 2), Some(Unit::Drive(0)));
        assert_eq!(unit_at(2, 2), Some(Unit::Drive(1)));
        assert_eq!(unit_at(3, 2), None);
        assert_eq!(unit_at(u64::MAX, 2), None);
    }

    #[test]
    fn a_missing_unit_answers_three_commands() {
        let mut buffer = [0xee; 64];
        let inquiry = answer(&[0x12, 0, 0, 0, 36, 0], Data::In(&mut buffer), missing);
        assert_eq!((inquiry.status, inquiry.transferred), (Status::Good, 36));
        assert_eq!((buffer[0], buffer[4]), (0x7f, 31));
        let sense = answer(&[0x03, 0, 0, 0, 18, 0], Data::In(&mut buffer), missing);
        assert_eq!((sense.status, sense.transferred), (Status::Good, 18));
        assert_eq!((buffer[2], buffer[12], buffer[13]), (0x05, 0x25, 0x00));
        let other = answer(&[0; 6], Data::None, missing);
        assert_eq!((other.status, other.sense[12]), (Status::CheckCondition, 0x25));
    }
}
