//! The next step after a failed command, by what the robot or the way to it said.

use scsi::{Sense, Status, transport};

/// After a move that left its tape in the arm, whatever else went wrong.
pub(super) const LEFT_IN_ARM: &str = "; the tape is in the robot's arm: 'tape changer put-back' has it put into a slot, then try again";

/// What to do, as the end of a message; empty if the message says it already.
pub(super) fn after(source: &transport::Error) -> &'static str {
    match source {
        transport::Error::Check { sense, .. } => after_sense(sense),
        transport::Error::Timeout { .. } => {
            "; it may still be at work: see where the tapes are ('tape changer status'), then try again"
        }
        transport::Error::Transport { .. } | transport::Error::Io { .. } => {
            "; see to its power and connection, then where the tapes are ('tape changer status'), and try again"
        }
        transport::Error::NotCarried { .. } => {
            "; nothing was moved: see to its power and connection, then try again"
        }
        transport::Error::Malformed { .. } => {
            "; is its firmware up to date? 'changer record' writes down what it answers"
        }
        // Busy, reserved and so on say what to do.
        transport::Error::Status { status: Status::CheckCondition | Status::Other(_), .. } => {
            "; look at the library's own display or log"
        }
        _ => "",
    }
}

fn after_sense(sense: &Sense) -> &'static str {
    if sense.is_station_open() {
        "; close the import/export station"
    } else if sense.is_removal_prevented() {
        "; eject the tape in the drive first (or set eject-before-unload)"
    } else if sense.is_destination_full() {
        "; the library finds a tape there that it did not report: take inventory"
    } else if sense.is_source_empty() {
        "; the library finds no tape where it reported one: take inventory"
    } else if sense.is_becoming_ready() {
        "; it is at work, try again in some minutes"
    } else if sense.needs_operator() {
        "; see to the library, then try again"
    } else if sense.is_load_failure() {
        "; the drive did not take the tape: look at the cartridge, then try another one or another drive"
    } else if sense.is_positioning_failure() {
        "; the robot is stuck: look into the library, free the robot and what it holds, then try again"
    } else if sense.is_hardware_error() {
        "; switch the library off and on and try again; if it fails again, it needs service"
    } else if sense.is_unsupported() {
        "; the library does not know this, do without"
    } else if sense.is_unit_attention() {
        "; something happened to the library: take inventory and try again"
    } else {
        "; look at the library's own display or log, then try again"
    }
}
