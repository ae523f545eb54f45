//! What `mt` users ask of a drive, one command at a time.
//!
//! Each call is a process of its own: it means the tape in the drive, where it stands
//! ([`Drive::adopt_position`] says why that is safe here and nowhere else). Every motion ends with asking
//! the drive where the tape is, so that "done" is never said of a place that the drive does not report.
//!
//! Two commands destroy what lies behind the present position, and the drive would do so without a word:
//! * [`write_marks`] is refused if data follows, unless its caller was told so;
//! * [`plan_erase`] tells what goes before [`erase`] does it.

use datastore::Progress;
use serde::Serialize;

use crate::drive::{Drive, Error, Position, Result};

/// A motion of the tape. Counts are at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    /// To the beginning of the tape.
    Rewind,
    /// To the first block of the file with this number, from 0.
    File(u64),
    /// Forward over so many filemarks: to the first block of a later file.
    ForwardFiles(u32),
    /// Back over so many filemarks: to the end of an earlier file, before its mark.
    BackFiles(u32),
    /// Forward over so many filemarks, then back before the last: to the end of a file.
    ForwardToFileEnd(u32),
    /// Back over so many filemarks, then forward behind the last: to the first block of a file.
    BackToFileStart(u32),
    /// Forward over so many blocks of this file.
    ForwardBlocks(u32),
    /// Back over so many blocks of this file.
    BackBlocks(u32),
    /// To the end of the recorded data.
    EndOfData,
    /// Before the object (block or filemark) with this number, from 0 over the whole tape.
    Object(u64),
}

/// What an erase would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ErasePlan {
    /// The drive as the user named it.
    pub drive: String,
    /// Everything from here to the end of the tape goes.
    #[serde(flatten)]
    pub from: Position,
    /// There is nothing recorded there.
    pub nothing_follows: bool,
    /// Only the end of the data is set; else the tape is overwritten, which takes hours.
    pub fast: bool,
}

/// Waits until the tape is ready and takes over where it stands.
pub fn here(drive: &mut Drive, progress: &dyn Progress) -> Result<Position> {
    drive.wait_ready(false, progress)?;
    drive.adopt_position()
}

/// Moves the tape and tells where it stands then.
///
/// # Errors
///
/// [`Error::SpacingShort`] says what ended a motion early; [`Error::NoSuchFile`],
/// [`Error::NoSuchObject`] that the tape ends before.
pub fn move_tape(drive: &mut Drive, motion: Motion, progress: &dyn Progress) -> Result<Position> {
    here(drive, progress)?;
    match motion {
        Motion::Rewind => drive.rewind()?,
        Motion::File(number) => drive.move_to_file(number)?,
        Motion::ForwardFiles(count) => drive.pass_filemarks(count.into())?,
        Motion::BackFiles(count) => drive.pass_filemarks(-i64::from(count))?,
        Motion::ForwardToFileEnd(count) => {
            drive.pass_filemarks(count.into())?;
            drive.pass_filemarks(-1)?;
        }
        Motion::BackToFileStart(count) => {
            drive.pass_filemarks(-i64::from(count))?;
            drive.pass_filemarks(1)?;
        }
        Motion::ForwardBlocks(count) => drive.pass_blocks(count.into())?,
        Motion::BackBlocks(count) => drive.pass_blocks(-i64::from(count))?,
        Motion::EndOfData => drive.space_to_end_of_data()?,
        Motion::Object(number) => return drive.move_to_object(number),
    }
    drive.position()
}

/// Writes filemarks where the tape stands; they are on the tape when this returns.
///
/// # Errors
///
/// [`Error::DataFollows`] if data would be lost, unless `overwrite`.
pub fn write_marks(
    drive: &mut Drive,
    count: u32,
    overwrite: bool,
    progress: &dyn Progress,
) -> Result<Position> {
    let Position { file, object } = here(drive, progress)?;
    if !overwrite && !drive.is_at_end_of_data()? {
        return Err(Error::DataFollows { drive: drive.name().to_string(), file, object });
    }
    drive.write_filemarks(count, false)?;
    drive.position()
}

/// What [`erase`] would do to the tape where it stands. Nothing is changed.
pub fn plan_erase(drive: &mut Drive, fast: bool, progress: &dyn Progress) -> Result<ErasePlan> {
    let from = here(drive, progress)?;
    let kind = drive.medium_kind()?;
    if kind.worm {
        let reason = "it can't be erased".to_string();
        return Err(Error::Worm { drive: drive.name().to_string(), reason });
    }
    if kind.write_protected {
        let sense = scsi::Sense::WRITE_PROTECTED;
        return Err(Error::WriteProtected { drive: drive.name().to_string(), sense });
    }
    let nothing_follows = drive.is_at_end_of_data()?;
    Ok(ErasePlan { drive: drive.name().to_string(), from, nothing_follows, fast })
}

/// Erases from where the tape stands according to [`plan_erase`] with the same handle. Where the tape
/// stands afterwards.
pub fn erase(drive: &mut Drive, plan: &ErasePlan, progress: &dyn Progress) -> Result<Position> {
    let now = drive.position()?;
    if now != plan.from {
        return Err(Error::WrongObject {
            drive: drive.name().to_string(),
            wanted: plan.from.object,
            reported: now.object,
        });
    }
    drive.erase(plan.fast, progress)?;
    drive.position()
}

#[cfg(test)]
mod tests;
