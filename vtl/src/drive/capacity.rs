//! SET CAPACITY (SSC-5 §7.14): the tape is made blank, and only the first part of it is used from then on.
//!
//! The proportion is a numerator to 65535 and always of the whole tape, so a later command can give back what an
//! earlier one took. It stays with the cartridge. The smallest tape has room before and behind early warning.

use scsi::Sense;

use super::work::Activity;
use super::{Drive, threaded, transfer, write_protection};
use crate::timing;
use crate::unit::{Command, Done};

/// SET CAPACITY.
pub(super) fn set(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let immediate = command.byte(1) & 0x01 != 0;
    write_protection::check_formattable(drive)?;
    if drive.record.position != 0 || drive.record.partition != 0 {
        return Err(Sense::NOT_AT_BEGINNING.into());
    }
    drive.free_tape();
    let cartridge = threaded(&mut drive.medium)?;
    transfer::note_change(&mut drive.wrote, cartridge);
    cartridge.set_capacity(command.number(3, 2) as u16)?;
    drive.record.layout = None;
    let state = &cartridge.state;
    let lasts = timing::format(state.generation, state.id);
    drive.occupy(Activity::Formatting, lasts, immediate)
}
