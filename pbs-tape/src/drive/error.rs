//! What can go wrong with a drive, in the terms of the person or program that must decide what to do.
//!
//! Every message names the drive, what was being done or asked for, what the drive said in words, and the
//! next step. A test holds each variant to that.

mod advice;

use std::time::Duration;

use scsi::{Sense, transport};
use thiserror::Error as ThisError;

/// Result of drive operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a drive operation failed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A command failed in a way that needs no name of its own here, or was not carried at all.
    #[error("drive {drive}: {doing} failed: {}{}", source.without_device(), advice::after(source))]
    Scsi {
        /// The drive as the user named it.
        drive: String,
        /// What was being done.
        doing: &'static str,
        /// What the device or the way to it reported.
        source: transport::Error,
    },
    /// The device is no tape drive.
    #[error(
        "{drive} is not a tape drive but {} (peripheral device type {kind:02x}h, wanted 01h); 'tape drive scan' lists the drives",
        advice::kind_text(*kind)
    )]
    NotATapeDrive {
        /// The device as the user named it.
        drive: String,
        /// Peripheral device type of its INQUIRY data.
        kind: u8,
    },
    /// No cartridge in the drive.
    #[error("drive {drive}: no tape loaded; insert one or load it with the changer")]
    NoMedium {
        /// The drive as the user named it.
        drive: String,
        /// What the drive said.
        sense: Sense,
    },
    /// A cleaning cartridge is in the drive, or cleaning failed.
    #[error("drive {drive}: {sense}; wait until cleaning has finished, then insert a data tape")]
    CleaningCartridge {
        /// The drive as the user named it.
        drive: String,
        /// What the drive said.
        sense: Sense,
    },
    /// The drive cannot use this kind of cartridge.
    #[error(
        "drive {drive}: this tape cannot be used in this drive: {sense}; load one of a generation and format that it handles ('mt densities' lists them)"
    )]
    IncompatibleMedium {
        /// The drive as the user named it.
        drive: String,
        /// What the drive said.
        sense: Sense,
    },
    /// The tape did not become ready in time.
    #[error(
        "drive {drive}: the tape was not ready within {} s{}; see what the drive does ('mt status'), then try again",
        waited.as_secs(),
        last.map(|sense| format!(" ({sense})")).unwrap_or_default()
    )]
    NotReadyInTime {
        /// The drive as the user named it.
        drive: String,
        /// How long was waited.
        waited: Duration,
        /// What the drive said last.
        last: Option<Sense>,
    },
    /// A reset, a changed medium or another host came in between: the command was not executed, and
    /// where the tape stands (and which tape it is) is unknown.
    #[error(
        "drive {drive}: {doing}: {sense}; the position is lost, rewind and read the labels again"
    )]
    PositionLost {
        /// The drive as the user named it.
        drive: String,
        /// What was being done.
        doing: &'static str,
        /// What the drive said.
        sense: Sense,
    },
    /// An earlier failure left the position unknown, and nobody has asked for it since.
    #[error(
        "drive {drive}: {doing} refused: the tape's position is unknown after an earlier error; rewind and begin again"
    )]
    PositionUnknown {
        /// The drive as the user named it.
        drive: String,
        /// What was refused.
        doing: &'static str,
    },
    /// An error of an earlier, buffered command: everything since the last synchronisation is to be
    /// taken as not written.
    #[error(
        "drive {drive}: {doing}: {sense}; data written since the last synchronisation is lost, write it again"
    )]
    Deferred {
        /// The drive as the user named it.
        drive: String,
        /// What was being done when it was reported.
        doing: &'static str,
        /// What the drive said.
        sense: Sense,
    },
    /// Physical end of the tape: the block was not written.
    #[error(
        "drive {drive}: the tape is full, the last block was not written; go on with another tape"
    )]
    VolumeOverflow {
        /// The drive as the user named it.
        drive: String,
    },
    /// The tape cannot be written.
    #[error(
        "drive {drive}: the tape cannot be written: {sense}; move the cartridge's write protection tab or load another tape"
    )]
    WriteProtected {
        /// The drive as the user named it.
        drive: String,
        /// What the drive said.
        sense: Sense,
    },
    /// A WORM tape that holds data cannot be formatted, erased or overwritten.
    #[error("drive {drive}: WORM tape: {reason}; what is written stays, load another tape")]
    Worm {
        /// The drive as the user named it.
        drive: String,
        /// What was refused.
        reason: String,
    },
    /// The drive encrypts what is written, or decrypts what is read, and can't be told not to.
    #[error(
        "drive {drive}: encryption is on (modes {encryption_mode}/{decryption_mode}) and can't be turned off; remove the key in the software or library that set it"
    )]
    EncryptionOn {
        /// The drive as the user named it.
        drive: String,
        /// Encryption mode, 0 = off.
        encryption_mode: u8,
        /// Decryption mode, 0 = off.
        decryption_mode: u8,
    },
    /// A block came from the drive with a check value that does not fit it: it was changed on its way.
    #[error(
        "drive {drive}: block {} was damaged between the drive and this program: its {method} is wrong; check cable and host adapter, then read the tape again",
        block.map_or_else(|| "(number not known)".to_string(), |block| block.to_string())
    )]
    BlockCheckFailed {
        /// The drive as the user named it.
        drive: String,
        /// Logical object number of the block, if the drive tells.
        block: Option<u64>,
        /// How the value is made.
        method: scsi::command::protection::Method,
    },
    /// Check values were switched off while blocks were written with them.
    #[error(
        "drive {drive}: block protection was switched off by another program; what was written since the last synchronisation is not to be relied on, make sure that only one program uses the drive"
    )]
    ProtectionLost {
        /// The drive as the user named it.
        drive: String,
    },
    /// The drive cannot encrypt as it is wanted.
    #[error("drive {drive}: {reason}; use another drive, or a pool without drive encryption")]
    EncryptionImpossible {
        /// The drive as the user named it.
        drive: String,
        /// What it lacks.
        reason: &'static str,
    },
    /// A library, or a key manager behind it, sets keys, and hosts may not.
    #[error(
        "drive {drive}: encryption is managed by the library, which refuses keys from hosts; set the library's encryption method for this drive to application-managed, or use a pool without drive encryption"
    )]
    EncryptionManaged {
        /// The drive as the user named it.
        drive: String,
    },
    /// The drive did not take the key.
    #[error("drive {drive}: the drive refused the key: {sense}{}", key_advice(sense))]
    KeyRefused {
        /// The drive as the user named it.
        drive: String,
        /// What the drive said.
        sense: Sense,
    },
    /// The drive's encryption is in another state than this handle asked for.
    #[error(
        "drive {drive}: encryption is {found}, it should be {expected}; find out which other program or host uses the drive"
    )]
    EncryptionState {
        /// The drive as the user named it.
        drive: String,
        /// What is needed.
        expected: super::Encryption,
        /// What the drive says.
        found: String,
    },
    /// The tape is damaged where it was to be read or written.
    #[error("drive {drive}: {doing}: {sense}; the tape is damaged or the drive needs cleaning")]
    Medium {
        /// The drive as the user named it.
        drive: String,
        /// What was being done.
        doing: &'static str,
        /// What the drive said.
        sense: Sense,
    },
    /// The block is encrypted and the key in the drive does not read it (or reads only encrypted
    /// blocks and this one is plain).
    #[error(
        "drive {drive}: the data cannot be decrypted: {sense}; the key that it was written with is needed"
    )]
    Undecryptable {
        /// The drive as the user named it.
        drive: String,
        /// What the drive said.
        sense: Sense,
    },
    /// The tape has more than one partition.
    #[error(
        "drive {drive}: partitioned tapes are not supported (position is in partition {partition}); 'tape format' makes one partition and loses the data"
    )]
    Partitioned {
        /// The drive as the user named it.
        drive: String,
        /// Partition in which the tape stands.
        partition: u32,
    },
    /// The tape ends before the file asked for.
    #[error(
        "drive {drive}: there is no file {file} on the tape, it ends before; 'mt eod' and 'mt tell' show where"
    )]
    NoSuchFile {
        /// The drive as the user named it.
        drive: String,
        /// Number of the file, from 0.
        file: u64,
    },
    /// The tape holds no data at all.
    #[error("drive {drive}: the tape holds no data; label it first")]
    Blank {
        /// The drive as the user named it.
        drive: String,
    },
    /// The last file of the tape has no filemark behind it: writing it was interrupted.
    #[error(
        "drive {drive}: the tape's last file, number {file}, is torn: no filemark ends it; the next job that writes ends it"
    )]
    TornEnd {
        /// The drive as the user named it.
        drive: String,
        /// Number of the torn file.
        file: u64,
    },
    /// Positioning ended in another file than asked for.
    #[error(
        "drive {drive}: asked for file {wanted} of the tape, but the drive stands at file {reported}; rewind and try again"
    )]
    WrongFile {
        /// The drive as the user named it.
        drive: String,
        /// File asked for.
        wanted: u64,
        /// File that the drive reports.
        reported: u64,
    },
    /// Positioning ended before another block than asked for.
    #[error(
        "drive {drive}: asked for block {wanted} of the tape, but the drive stands at block {reported}; rewind and try again"
    )]
    WrongObject {
        /// The drive as the user named it.
        drive: String,
        /// Object number asked for.
        wanted: u64,
        /// Object number that the drive reports.
        reported: u64,
    },
    /// The tape ends before the block asked for.
    #[error(
        "drive {drive}: there is no block {object} on the tape, it ends before; 'mt eod' and 'mt tell' show where"
    )]
    NoSuchObject {
        /// The drive as the user named it.
        drive: String,
        /// Object number, from 0.
        object: u64,
    },
    /// The drive cannot do what was asked for.
    #[error("drive {drive}: {what} is not possible with this drive: {sense}; do without")]
    Unsupported {
        /// The drive as the user named it.
        drive: String,
        /// The operation.
        what: &'static str,
        /// What the drive said.
        sense: Sense,
    },
    /// An option was not taken.
    #[error(
        "drive {drive}: {option}: asked for {wanted}, but the drive {has}; ask for what it can do"
    )]
    OptionRefused {
        /// The drive as the user named it.
        drive: String,
        /// Which option.
        option: &'static str,
        /// The value asked for.
        wanted: String,
        /// What the drive has or says.
        has: String,
    },
    /// Data follows the place that would be written: it would be lost.
    #[error(
        "drive {drive}: data follows block {object} (in file {file}), and writing here makes all of it unreadable; 'mt eod' goes to the end of the data, --yes writes here"
    )]
    DataFollows {
        /// The drive as the user named it.
        drive: String,
        /// File in which the tape stands.
        file: u64,
        /// Object number before which it stands.
        object: u64,
    },
    /// SPACE ended early: fewer blocks or filemarks than asked for.
    #[error(
        "drive {drive}: spacing ended early at {stopped_at}, {not_done} of {} {what} not passed; 'mt tell' shows where the tape stands",
        count.unsigned_abs()
    )]
    SpacingShort {
        /// The drive as the user named it.
        drive: String,
        /// `blocks` or `filemarks`.
        what: &'static str,
        /// What ended it: a filemark, the end of the data, the beginning of the tape.
        stopped_at: &'static str,
        /// Count asked for, negative towards the beginning.
        count: i64,
        /// How many are missing, where the drive told.
        not_done: u64,
    },
    /// A block is longer than the drive or the buffer takes.
    #[error(
        "drive {drive}: a block of {block_bytes} bytes does not fit, the limit is {limit_bytes}; is this another program's tape?"
    )]
    BlockTooLong {
        /// The drive as the user named it.
        drive: String,
        /// Length of the block.
        block_bytes: u64,
        /// Largest possible length.
        limit_bytes: u64,
    },
    /// The drive took only a part of a block and called it success.
    #[error(
        "drive {drive}: only {written_bytes} of {block_bytes} bytes of a block were written; check cable and host adapter"
    )]
    ShortWrite {
        /// The drive as the user named it.
        drive: String,
        /// What was to be written.
        block_bytes: usize,
        /// What was written.
        written_bytes: usize,
    },
    /// A request that makes no sense.
    #[error("drive {drive}: {reason}")]
    Invalid {
        /// The drive as the user named it.
        drive: String,
        /// What is wrong.
        reason: String,
    },
    /// The operation was ended by request.
    #[error("drive {drive}: {doing} aborted by request; a drive goes on with what it has begun")]
    Aborted {
        /// The drive as the user named it.
        drive: String,
        /// What was being done.
        doing: &'static str,
    },
}

fn key_advice(sense: &Sense) -> &'static str {
    if sense.is_key_fail_limit() {
        "; too many keys were tried that do not fit this tape, unload it and load it again"
    } else {
        "; 'capstan mt status' shows the drive's encryption, and the library may manage it"
    }
}

impl Error {
    /// The sense data behind the error, if the device sent some.
    pub fn sense(&self) -> Option<&Sense> {
        match self {
            Error::Scsi { source, .. } => source.sense(),
            Error::NoMedium { sense, .. }
            | Error::CleaningCartridge { sense, .. }
            | Error::IncompatibleMedium { sense, .. }
            | Error::PositionLost { sense, .. }
            | Error::Deferred { sense, .. }
            | Error::WriteProtected { sense, .. }
            | Error::Medium { sense, .. }
            | Error::Unsupported { sense, .. }
            | Error::Undecryptable { sense, .. }
            | Error::KeyRefused { sense, .. } => Some(sense),
            Error::NotReadyInTime { last, .. } => last.as_ref(),
            _ => None,
        }
    }

    /// No (usable) tape is in the drive: bring another one.
    pub fn is_medium_missing(&self) -> bool {
        matches!(
            self,
            Error::NoMedium { .. }
                | Error::CleaningCartridge { .. }
                | Error::IncompatibleMedium { .. }
        )
    }

    /// What was asked for is not on the tape: it is blank or ends before.
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::NoSuchFile { .. } | Error::NoSuchObject { .. } | Error::Blank { .. })
    }

    /// The tape (or, on it, the end of its last file) is damaged.
    pub fn is_damaged(&self) -> bool {
        matches!(
            self,
            Error::Medium { .. } | Error::TornEnd { .. } | Error::BlockCheckFailed { .. }
        )
    }

    /// The same may work later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Error::NotReadyInTime { .. } => true,
            Error::Scsi { source, .. } => match source {
                transport::Error::Status { status, .. } => matches!(
                    status,
                    transport::Status::Busy
                        | transport::Status::TaskSetFull
                        | transport::Status::ReservationConflict
                ),
                transport::Error::NotCarried { .. } => true,
                _ => source.sense().is_some_and(|sense| {
                    sense.is_becoming_ready() || sense.is_operation_in_progress()
                }),
            },
            _ => false,
        }
    }

    /// The tape's position is unknown and which tape it is may be too.
    pub fn is_position_lost(&self) -> bool {
        matches!(
            self,
            Error::PositionLost { .. } | Error::PositionUnknown { .. } | Error::Deferred { .. }
        )
    }

    /// The tape is physically full.
    pub fn is_volume_overflow(&self) -> bool {
        matches!(self, Error::VolumeOverflow { .. })
    }

    /// The tape refuses writing: tab, operator, older generation or WORM.
    pub fn is_write_protected(&self) -> bool {
        matches!(self, Error::WriteProtected { .. } | Error::Worm { .. })
    }

    /// The drive cannot decrypt the data with the key it has.
    pub fn is_undecryptable(&self) -> bool {
        matches!(self, Error::Undecryptable { .. })
    }

    /// The operation was ended by request.
    pub fn is_aborted(&self) -> bool {
        matches!(self, Error::Aborted { .. })
    }
}

#[cfg(test)]
mod tests;
