//! Taking over the tape and the place where it stands, for commands that a person gives one by one.
//!
//! # Why this is safe where it is done, and why jobs never do it
//!
//! A job believes in a tape because it read its labels, and a unit attention ends that belief: the next
//! write would go wherever the drive now stands, on whatever tape is now in it. So a job must never
//! shrug a unit attention off.
//!
//! `capstan mt fsf 1` is different. It is a process of its own that has read nothing and believes
//! nothing: whoever calls it means the tape that is in the drive, at the place where the last command
//! left it. Only the drive knows that place, so it is asked. A unit attention that is pending says what
//! happened *before* this process began (the robot loaded the tape, the drive was reset), which is
//! just what the person who calls it did or knows. A reset rewinds, and then the drive says so.
//!
//! Three things keep this from leaking into jobs:
//!
//! * it works only on a drive that was opened and not prepared for a job: [`Drive::prepare_media`]
//!   ends the possibility, and every job's drive goes through that;
//! * it works once a handle. A unit attention that comes later is reported like any other;
//! * what destroys data by position (`weof`, `erase`) is asked for by its caller in
//!   [`crate::operations::mt`], which looks whether data follows.

use scsi::command::unit;

use super::{Drive, Error, Position, Result, Spaced, Trust};

const ADOPTING: &str = "taking over the tape's position";
const LOOKING: &str = "looking whether data follows";

impl Drive {
    /// Takes the tape in the drive, where it stands, for the one that is meant; pending unit attentions
    /// are taken off. See the head of this file for who may do this.
    ///
    /// # Errors
    ///
    /// [`Error::NoMedium`] and other reasons why the tape can't be used; [`Error::PositionUnknown`] if
    /// this handle did it already or was prepared for a job.
    pub fn adopt_position(&mut self) -> Result<Position> {
        if !self.may_adopt {
            return Err(self.position_unknown(ADOPTING));
        }
        self.may_adopt = false;
        self.while_opening(ADOPTING, |drive| {
            unit::test_unit_ready(&mut drive.transport).map_err(|error| drive.fail(ADOPTING, error))
        })?;
        self.trust = Trust::Unknown;
        self.position()
    }

    /// True if nothing is recorded behind the place where the tape stands. It stands there again
    /// afterwards.
    ///
    /// One object forwards and back: on a tape that takes seconds, where going to the end of the data to
    /// compare would take minutes.
    pub fn is_at_end_of_data(&mut self) -> Result<bool> {
        let before = self.position()?;
        let is_end = match self.space_blocks(1)? {
            Spaced::EndOfData { .. } => true,
            Spaced::Done => {
                self.space_blocks(-1)?;
                false
            }
            Spaced::Filemark { .. } => {
                self.space_filemarks(-1)?;
                false
            }
            Spaced::Beginning { .. } => return Err(self.position_unknown(LOOKING)),
        };
        let after = self.position()?;
        if after != before {
            self.trust = self.trust.after_failure();
            return Err(Error::WrongObject {
                drive: self.name().to_string(),
                wanted: before.object,
                reported: after.object,
            });
        }
        Ok(is_end)
    }
}
