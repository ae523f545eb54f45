//! What can go wrong with a media changer.
//!
//! Every message names the changer, what was being done or asked for, what the robot said in words, and the
//! next step. A test holds each variant to that.

mod advice;

use scsi::{Sense, transport};
use thiserror::Error as ThisError;

/// Result of changer operations.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a changer operation failed. Slots are numbered from 1, drives from 0.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// A command failed or was not carried at all.
    #[error("changer {changer}: {doing} failed: {}{}", source.without_device(), advice::after(source))]
    Scsi {
        /// The changer as the user named it.
        changer: String,
        /// What was being done.
        doing: &'static str,
        /// What the device or the way to it reported.
        source: transport::Error,
    },
    /// The device is no media changer.
    #[error(
        "{changer} is not a media changer but {} (peripheral device type {kind:02x}h); give the changer's address",
        name_of(*kind)
    )]
    NotAChanger {
        /// The device as the user named it.
        changer: String,
        /// Peripheral device type of its INQUIRY data.
        kind: u8,
    },
    /// A move failed; the robot says why.
    #[error(
        "changer {changer}: moving the tape from {from} to {to} failed: {}{}",
        source.without_device(),
        if *left_in_arm { advice::LEFT_IN_ARM } else { advice::after(source) }
    )]
    Move {
        /// The changer as the user named it.
        changer: String,
        /// Where the tape was (`slot 3`, `drive 0`).
        from: String,
        /// Where it was to go.
        to: String,
        /// The library says that its arm holds the tape now.
        left_in_arm: bool,
        /// What the device or the way to it reported.
        source: Box<transport::Error>,
    },
    /// The library reports no drive or no slot.
    #[error("changer {changer} reports no {what}; check the library's configuration")]
    Unconfigured {
        /// The changer as the user named it.
        changer: String,
        /// `drives` or `slots`.
        what: &'static str,
    },
    /// The library contradicts itself about how many elements it has.
    #[error(
        "changer {changer}: {assigned} {what} are configured but {reported} reported; \
         take inventory or restart the library"
    )]
    Counts {
        /// The changer as the user named it.
        changer: String,
        /// `drives`, `slots`, …
        what: &'static str,
        /// Count of the element address assignment page.
        assigned: usize,
        /// Elements in the element status.
        reported: usize,
    },
    /// No drive of this number.
    #[error("changer {changer} has no drive {drive}; name one of its {count}, numbered from 0")]
    NoSuchDrive {
        /// The changer as the user named it.
        changer: String,
        /// The number asked for.
        drive: u64,
        /// How many there are.
        count: usize,
    },
    /// No slot of this number.
    #[error("changer {changer} has no slot {slot}; name one of its {count}, numbered from 1")]
    NoSuchSlot {
        /// The changer as the user named it.
        changer: String,
        /// The number asked for.
        slot: u64,
        /// How many there are, import/export slots included.
        count: usize,
    },
    /// The place to take a tape from is empty.
    #[error("changer {changer}: {place} is empty; 'tape changer status' shows where tapes are")]
    Empty {
        /// The changer as the user named it.
        changer: String,
        /// Which place (`slot 3`, `drive 0`).
        place: String,
    },
    /// The place to put a tape is occupied.
    #[error(
        "changer {changer}: {place} is occupied{}; choose another place, or move that tape first",
        label.as_ref().map(|l| format!(" by {l}")).unwrap_or_default()
    )]
    Occupied {
        /// The changer as the user named it.
        changer: String,
        /// Which place (`slot 3`, `drive 0`).
        place: String,
        /// The tape there, if its label is known.
        label: Option<String>,
    },
    /// No tape with this label in the library.
    #[error("changer {changer}: tape {label} is not in the library (offline?); insert it")]
    NotOnline {
        /// The changer as the user named it.
        changer: String,
        /// Label text (bar code) of the tape.
        label: String,
    },
    /// The tape is in another drive.
    #[error("changer {changer}: tape {label} is in drive {drive}; unload it there first")]
    InOtherDrive {
        /// The changer as the user named it.
        changer: String,
        /// Label text (bar code) of the tape.
        label: String,
        /// The drive that holds it.
        drive: u64,
    },
    /// The tape is in an import/export slot, which counts as offline.
    #[error(
        "changer {changer}: tape {label} is in import/export slot {slot}; transfer it to a normal slot first"
    )]
    InExportSlot {
        /// The changer as the user named it.
        changer: String,
        /// Label text (bar code) of the tape.
        label: String,
        /// The import/export slot.
        slot: u64,
    },
    /// Cleaning cartridges are not loaded by label.
    #[error("changer {changer}: {label} is a cleaning cartridge; 'tape changer clean' uses it")]
    CleaningCartridge {
        /// The changer as the user named it.
        changer: String,
        /// Label text (bar code) of the cartridge.
        label: String,
    },
    /// Nowhere to put the tape.
    #[error(
        "changer {changer}: no free {} slot; take a tape out of one",
        if *import_export { "import/export" } else { "storage" }
    )]
    NoFreeSlot {
        /// The changer as the user named it.
        changer: String,
        /// True if an import/export slot was wanted.
        import_export: bool,
    },
    /// The drive did not eject, which the library needs before it takes a tape out.
    #[error(
        "changer {changer}: drive {drive} does not eject: {reason}; eject its tape, then try again"
    )]
    Eject {
        /// The changer as the user named it.
        changer: String,
        /// The drive.
        drive: u64,
        /// What it said.
        reason: String,
    },
    /// No cleaning cartridge.
    #[error(
        "changer {changer}: no cleaning cartridge (a bar code that begins with CLN) in a storage slot; bring one"
    )]
    NoCleaningCartridge {
        /// The changer as the user named it.
        changer: String,
    },
    /// A slot to import from is none that is handed in and out.
    #[error(
        "changer {changer}: slot {slot} is no import/export slot; transfer moves tapes between storage slots"
    )]
    NotExportSlot {
        /// The changer as the user named it.
        changer: String,
        /// The slot.
        slot: u64,
    },
    /// Slots that cannot be looked at alone.
    #[error(
        "changer {changer}: slots {first} to {last} are no range of the library's addresses; take inventory of the whole library"
    )]
    NoRange {
        /// The changer as the user named it.
        changer: String,
        /// First slot.
        first: u64,
        /// Last slot.
        last: u64,
    },
    /// Where the tape in a drive came from is not known, so neither is the next one.
    #[error(
        "changer {changer}: the slot that the tape in drive {drive} came from is not known; unload it to a slot first"
    )]
    NoHome {
        /// The changer as the user named it.
        changer: String,
        /// The drive.
        drive: u64,
    },
    /// No further tape in that direction.
    #[error("changer {changer}: no further tape in the storage slots; 'mtx first' begins again")]
    NoFurtherTape {
        /// The changer as the user named it.
        changer: String,
    },
    /// The operation was ended by request.
    #[error(
        "changer {changer}: {doing} aborted by request; a robot goes on with what it has begun"
    )]
    Aborted {
        /// The changer as the user named it.
        changer: String,
        /// What was being done.
        doing: &'static str,
    },
}

/// Peripheral device types that are taken for a changer by mistake.
fn name_of(kind: u8) -> &'static str {
    match kind {
        0x00 => "a disk",
        0x01 => "a tape drive",
        0x0d => "an enclosure",
        0x1f => "nothing that is connected",
        _ => "another device",
    }
}

impl Error {
    /// The sense data behind the error, if the device sent some.
    pub fn sense(&self) -> Option<&Sense> {
        match self {
            Error::Scsi { source, .. } => source.sense(),
            Error::Move { source, .. } => source.sense(),
            _ => None,
        }
    }

    /// The tape asked for is not where the changer could use it: an operator must bring it.
    pub fn is_missing(&self) -> bool {
        matches!(self, Error::NotOnline { .. } | Error::InExportSlot { .. } | Error::Empty { .. })
    }

    /// The same may work later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        let source = match self {
            Error::Scsi { source, .. } => source,
            Error::Move { source, .. } => source,
            _ => return false,
        };
        match source {
            transport::Error::Status { status, .. } => matches!(
                status,
                transport::Status::Busy
                    | transport::Status::TaskSetFull
                    | transport::Status::ReservationConflict
            ),
            transport::Error::NotCarried { .. } => true,
            _ => source.sense().is_some_and(Sense::is_becoming_ready),
        }
    }

    /// No free slot of the kind that was needed.
    pub fn is_no_free_slot(&self) -> bool {
        matches!(self, Error::NoFreeSlot { .. })
    }

    /// The operation was ended by request.
    pub fn is_aborted(&self) -> bool {
        matches!(self, Error::Aborted { .. })
    }
}

#[cfg(test)]
mod tests;
