//! Moving the tape and knowing where it stands.
//!
//! File numbers count filemarks before the position. SPACE over filemarks towards the end stops
//! *behind* the last one counted, towards the beginning *before* it. LOCATE by file is quick but drive
//! families disagree by one about what a number means; [`Drive::move_to_file`] learns the difference
//! once for each open drive, and falls back to spacing where LOCATE is unknown.

use scsi::command::position::{
    Destination, LongPosition, SpaceUnit, locate_cdb, rewind_cdb, space_cdb,
};
use scsi::command::{self, timeout};
use scsi::transport;

use super::{Drive, Error, LocateByFile, Result, Trust};

/// Where the tape stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Position {
    /// File number: filemarks before the position.
    #[serde(rename = "file-number")]
    pub file: u64,
    /// Logical object number: blocks and filemarks before the position.
    #[serde(rename = "block-number")]
    pub object: u64,
}

/// How SPACE ended. The count not done is there only if the drive told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spaced {
    /// Everything asked for was passed.
    Done,
    /// Spacing over blocks met a filemark: the tape stands behind it (forwards) or before it
    /// (backwards).
    Filemark {
        /// Count not done.
        not_done: Option<u64>,
    },
    /// The end of the recorded data, where the tape now stands.
    EndOfData {
        /// Count not done.
        not_done: Option<u64>,
    },
    /// The beginning of the tape, where it now stands.
    Beginning {
        /// Count not done.
        not_done: Option<u64>,
    },
}

const POSITION: &str = "reading the position";
const REWINDING: &str = "rewinding";
const SPACING: &str = "spacing";
const LOCATING: &str = "locating";

/// How LOCATE ended.
enum Located {
    There,
    BeyondEnd,
    Unsupported,
}

impl Drive {
    /// Asks the drive where the tape stands. Makes an unknown position known again, but not a lost
    /// one: which tape it is must be found out from its beginning.
    pub fn position(&mut self) -> Result<Position> {
        if self.trust == Trust::Lost {
            return Err(self.position_unknown(POSITION));
        }
        let position = LongPosition::request(&mut self.transport)
            .map_err(|error| self.fail(POSITION, error))?;
        if position.partition != 0 {
            return Err(Error::Partitioned {
                drive: self.name().to_string(),
                partition: position.partition,
            });
        }
        if position.file_unknown || position.object_unknown {
            self.trust = self.trust.after_failure();
            return Err(self.position_unknown(POSITION));
        }
        self.trust = Trust::Sure;
        Ok(Position { file: position.file, object: position.object })
    }

    /// Goes to the beginning of the tape.
    ///
    /// After [`Error::PositionLost`] this is the way back, and further unit attentions in the queue
    /// are taken off; without it, one that comes up now is reported like any other.
    pub fn rewind(&mut self) -> Result<()> {
        let was_told = self.trust == Trust::Lost;
        let rewind = |drive: &mut Drive| {
            command::send(&mut drive.transport, &rewind_cdb(false), timeout::REWIND).or_else(
                |error| match error.sense() {
                    Some(sense) if sense.is_beginning_of_medium() => Ok(()),
                    _ => Err(drive.fail(REWINDING, error)),
                },
            )
        };
        if was_told {
            self.while_opening(REWINDING, rewind)?;
        } else {
            rewind(self)?;
        }
        self.trust = Trust::Sure;
        Ok(())
    }

    /// Passes `count` filemarks, negative towards the beginning.
    pub fn space_filemarks(&mut self, count: i64) -> Result<Spaced> {
        self.space(SpaceUnit::Filemarks, count)
    }

    /// Passes `count` blocks, negative towards the beginning. Stops at a filemark.
    pub fn space_blocks(&mut self, count: i64) -> Result<Spaced> {
        self.space(SpaceUnit::Blocks, count)
    }

    /// Goes to the end of the recorded data.
    pub fn space_to_end_of_data(&mut self) -> Result<()> {
        // An absolute destination: the present position does not matter unless the tape is unknown.
        if self.trust == Trust::Lost {
            return Err(self.position_unknown(SPACING));
        }
        match self.send_space(SpaceUnit::EndOfData, 0)? {
            Spaced::Done | Spaced::EndOfData { .. } => {
                self.trust = Trust::Sure;
                Ok(())
            }
            // Anywhere else a write would cut the tape off.
            Spaced::Filemark { .. } | Spaced::Beginning { .. } => {
                self.trust = self.trust.after_failure();
                Err(self.position_unknown("going to the end of the data"))
            }
        }
    }

    fn space(&mut self, unit: SpaceUnit, count: i64) -> Result<Spaced> {
        self.require_position(SPACING)?;
        if count == 0 {
            return Ok(Spaced::Done);
        }
        self.send_space(unit, count)
    }

    fn send_space(&mut self, unit: SpaceUnit, count: i64) -> Result<Spaced> {
        let error =
            match command::send(&mut self.transport, &space_cdb(unit, count), timeout::POSITION) {
                Ok(()) => return Ok(Spaced::Done),
                Err(error) => error,
            };
        let Some(sense) = error.sense() else { return Err(self.fail(SPACING, error)) };
        let not_done = sense.information.map(i64::unsigned_abs);
        if sense.is_filemark() {
            Ok(Spaced::Filemark { not_done })
        } else if sense.is_end_of_data() {
            Ok(Spaced::EndOfData { not_done })
        } else if sense.is_beginning_of_medium() {
            Ok(Spaced::Beginning { not_done })
        } else if sense.is_early_warning() && not_done.unwrap_or(0) == 0 {
            // Passed everything, and stands near the end of the tape.
            Ok(Spaced::Done)
        } else {
            Err(self.fail(SPACING, error))
        }
    }

    /// Passes exactly `count` filemarks.
    pub fn pass_filemarks(&mut self, count: i64) -> Result<()> {
        let spaced = self.space_filemarks(count)?;
        self.require_done("filemarks", count, spaced)
    }

    /// Passes exactly `count` blocks, none of them behind a filemark.
    pub fn pass_blocks(&mut self, count: i64) -> Result<()> {
        let spaced = self.space_blocks(count)?;
        self.require_done("blocks", count, spaced)
    }

    fn require_done(&mut self, what: &'static str, count: i64, spaced: Spaced) -> Result<()> {
        let (stopped_at, not_done) = match spaced {
            Spaced::Done => return Ok(()),
            Spaced::Filemark { not_done } => ("a filemark", not_done),
            Spaced::EndOfData { not_done } => ("the end of the data", not_done),
            Spaced::Beginning { not_done } => ("the beginning of the tape", not_done),
        };
        self.trust = self.trust.after_failure();
        let not_done = not_done.unwrap_or(1);
        Err(Error::SpacingShort {
            drive: self.name().to_string(),
            what,
            stopped_at,
            count,
            not_done,
        })
    }

    /// Goes before the object (block or filemark) of this number, counted from 0 over the whole tape.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if the tape ends before; [`Error::Unsupported`] from drives without LOCATE.
    pub fn move_to_object(&mut self, object: u64) -> Result<Position> {
        if self.trust == Trust::Lost {
            return Err(self.position_unknown(LOCATING));
        }
        match self.locate(Destination::Object(object))? {
            Located::There => {}
            Located::BeyondEnd => {
                self.trust = self.trust.after_failure();
                return Err(Error::NoSuchObject { drive: self.name().to_string(), object });
            }
            Located::Unsupported => {
                return Err(Error::Unsupported {
                    drive: self.name().to_string(),
                    what: LOCATING,
                    sense: scsi::Sense::INVALID_OPCODE,
                });
            }
        }
        let position = self.position()?;
        if position.object != object {
            self.trust = self.trust.after_failure();
            return Err(Error::WrongObject {
                drive: self.name().to_string(),
                wanted: object,
                reported: position.object,
            });
        }
        Ok(position)
    }

    fn locate(&mut self, destination: Destination) -> Result<Located> {
        let result =
            command::send(&mut self.transport, &locate_cdb(destination), timeout::POSITION);
        match result {
            Ok(()) => {
                self.trust = Trust::Sure;
                Ok(Located::There)
            }
            Err(error) => match error.sense() {
                Some(sense) if sense.is_unsupported() => Ok(Located::Unsupported),
                Some(sense)
                    if sense.is_end_of_data()
                        || (sense.is_entity_not_found() && !sense.is_medium_error()) =>
                {
                    Ok(Located::BeyondEnd)
                }
                _ => Err(self.fail(LOCATING, error)),
            },
        }
    }

    /// Goes to the first block of file `file` (0 = beginning of the tape).
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchFile`] if the tape ends before.
    pub fn move_to_file(&mut self, file: u64) -> Result<()> {
        match file {
            0 => return self.rewind(),
            // LOCATE to file 0 is not reliable, and this is as quick.
            1 => {
                self.rewind()?;
                self.pass_filemarks_to(1, 1)?;
            }
            _ => {
                if self.trust == Trust::Lost {
                    return Err(self.position_unknown(LOCATING));
                }
                if self.locate_by_file == LocateByFile::Unsupported
                    || !self.move_to_file_by_locate(file)?
                {
                    self.move_to_file_by_spacing(file)?;
                }
            }
        }
        let reported = self.position()?.file;
        if reported != file {
            return Err(self.wrong_file(file, reported));
        }
        Ok(())
    }

    /// `false` if the drive does not know LOCATE by file.
    fn move_to_file_by_locate(&mut self, file: u64) -> Result<bool> {
        // Twice at most: the first use of a drive may only find out the difference.
        for _ in 0..2 {
            let offset = match self.locate_by_file {
                LocateByFile::Offset(offset) => offset,
                LocateByFile::Untried | LocateByFile::Unsupported => 0,
            };
            let target = (file - 1).saturating_add_signed(offset);
            match self.locate(Destination::File(target))? {
                Located::There => {}
                Located::BeyondEnd => return Err(self.no_such_file(file)),
                Located::Unsupported => {
                    self.locate_by_file = LocateByFile::Unsupported;
                    return Ok(false);
                }
            }
            self.pass_filemarks_to(1, file)?;
            if let LocateByFile::Offset(_) = self.locate_by_file {
                return Ok(true);
            }
            let reported = self.position()?.file;
            // File numbers are far below 2^63: a drive that reports more is refused by the check that
            // follows.
            let difference = (file as i64).wrapping_sub(reported as i64);
            self.locate_by_file = LocateByFile::Offset(difference);
            if difference == 0 {
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn move_to_file_by_spacing(&mut self, file: u64) -> Result<()> {
        let now = self.position()?.file;
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if file > now {
            return self.pass_filemarks_to(signed(file - now), file);
        }
        let back = now - file + 1;
        if back < file {
            self.pass_filemarks(-signed(back))?;
            self.pass_filemarks_to(1, file)
        } else {
            self.rewind()?;
            self.pass_filemarks_to(signed(file), file)
        }
    }

    /// Passes filemarks forwards on the way to `file`.
    fn pass_filemarks_to(&mut self, count: i64, file: u64) -> Result<()> {
        match self.space_filemarks(count)? {
            Spaced::Done => Ok(()),
            _ => Err(self.no_such_file(file)),
        }
    }

    fn no_such_file(&mut self, file: u64) -> Error {
        self.trust = self.trust.after_failure();
        Error::NoSuchFile { drive: self.name().to_string(), file }
    }

    fn wrong_file(&mut self, wanted: u64, reported: u64) -> Error {
        // What was learnt was wrong, or the drive is.
        self.locate_by_file = LocateByFile::Untried;
        self.trust = self.trust.after_failure();
        Error::WrongFile { drive: self.name().to_string(), wanted, reported }
    }

    /// True if the last thing recorded is a filemark (or nothing is). The tape must stand at the end of
    /// the data and stands there again afterwards.
    fn ends_in_filemark(&mut self) -> Result<bool> {
        if self.position()?.object == 0 {
            return Ok(true);
        }
        match self.space_blocks(-1)? {
            Spaced::Filemark { .. } => {
                self.pass_filemarks(1)?;
                Ok(true)
            }
            Spaced::Done => match self.space_blocks(1)? {
                Spaced::Done => Ok(false),
                _ => Err(self.fail(
                    SPACING,
                    transport::Error::Malformed {
                        opcode: command::opcode::SPACE_6,
                        reason: "a block passed backwards is not there forwards".to_string(),
                    },
                )),
            },
            spaced @ (Spaced::EndOfData { .. } | Spaced::Beginning { .. }) => {
                self.require_done("blocks", -1, spaced).map(|()| false)
            }
        }
    }

    /// Goes to the end of the data and makes sure that the next block starts a new file: a last file
    /// without filemark (power failed while it was written) gets one.
    pub fn to_end_of_data_for_append(&mut self) -> Result<Position> {
        self.space_to_end_of_data()?;
        if !self.ends_in_filemark()? {
            self.write_filemarks(1, false)?;
        }
        self.position()
    }

    /// Goes to the first block of the last file and returns its number.
    ///
    /// # Errors
    ///
    /// [`Error::Blank`] on an empty tape, [`Error::TornEnd`] if no filemark ends the last file (the
    /// tape then stands at the end of the data).
    pub fn move_to_last_file(&mut self) -> Result<u64> {
        self.space_to_end_of_data()?;
        let end = self.position()?;
        if end.object == 0 {
            return Err(Error::Blank { drive: self.name().to_string() });
        }
        if !self.ends_in_filemark()? {
            return Err(Error::TornEnd { drive: self.name().to_string(), file: end.file });
        }
        let wanted = end.file.saturating_sub(1);
        if wanted == 0 {
            self.rewind()?;
        } else {
            self.pass_filemarks(-2)?;
            self.pass_filemarks(1)?;
        }
        let reported = self.position()?.file;
        if reported != wanted {
            return Err(self.wrong_file(wanted, reported));
        }
        Ok(wanted)
    }
}
