//! The next step after a failed command, by what the device or the way to it said.

use scsi::{Status, transport};

/// What to do, as the end of a message; empty if the message says it already.
pub(super) fn after(source: &transport::Error) -> &'static str {
    let Some(sense) = source.sense() else {
        return match source {
            transport::Error::Timeout { .. } => {
                "; the drive may still be at it: see what it does ('mt status'), then rewind and begin again"
            }
            transport::Error::Transport { .. } | transport::Error::Io { .. } => {
                "; see to the drive's power and connection; where the tape stands is unknown: rewind and begin again"
            }
            transport::Error::NotCarried { .. } => {
                "; the drive did nothing: see to its power and connection, then try again"
            }
            transport::Error::Status {
                status: Status::CheckCondition | Status::Other(_), ..
            } => "; see what the drive does ('mt status'), then try again",
            transport::Error::Malformed { .. } => {
                "; is the drive's firmware up to date? 'capstan mt status' shows it"
            }
            _ => "",
        };
    };
    if sense.needs_load() {
        "; 'capstan mt load' threads the cartridge"
    } else if sense.is_becoming_ready() || sense.is_operation_in_progress() {
        "; wait until the drive is ready"
    } else if sense.needs_operator() {
        "; see to the drive: it needs a person"
    } else if sense.is_load_failure() {
        "; eject the cartridge, look at it, and try another one"
    } else if sense.is_removal_prevented() {
        "; 'capstan mt unlock' lets the tape out, unless another program holds it"
    } else if sense.is_protection_failure() {
        "; data was changed on the way to the drive: check cable and host adapter"
    } else if sense.is_hardware_error() {
        "; clean the drive and try again; if it fails again, it needs service"
    } else if sense.is_unsupported() {
        "; the drive does not know this"
    } else {
        "; 'capstan tape alert-flags' may tell more"
    }
}

/// What a peripheral device type is (SPC-4 table 49).
pub(super) fn kind_text(kind: u8) -> &'static str {
    match kind {
        0x00 => "a disk",
        0x01 => "a tape drive",
        0x05 => "a CD or DVD drive",
        0x08 => "a media changer",
        0x0d => "an enclosure",
        0x1f => "nothing that is connected",
        _ => "something else",
    }
}
