//! ERASE and FORMAT MEDIUM, as far as the tape is concerned; how long they take is in `work`.

use scsi::Sense;

use super::write_protection::{check_formattable, check_writable, refuse_worm};
use super::{Drive, threaded, transfer};
use crate::unit::{Command, Done};

/// ERASE: the tape ends at the position. LONG needs no more: what is cut off is gone from the file.
pub(super) fn erase(drive: &mut Drive, _: &mut Command<'_, '_>) -> Done {
    refuse_worm(drive)?;
    check_writable(drive)?;
    let position = drive.record.position;
    let cartridge = threaded(&mut drive.medium)?;
    transfer::note_change(&mut drive.wrote, cartridge);
    cartridge.truncate(position)?;
    cartridge.log.checkpoint()?;
    Ok(())
}

/// FORMAT MEDIUM: to one partition (0), or to those that page 11h asks for (1, and 2, which formats
/// to one before). Without a question it keeps those that there are.
pub(super) fn format(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    check_formattable(drive)?;
    if drive.record.position != 0 || drive.record.partition != 0 {
        return Err(Sense::NOT_AT_BEGINNING.into());
    }
    if command.number(3, 2) != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let cartridge = threaded(&mut drive.medium)?;
    let partition_bytes = match (command.byte(2) & 0x0f, drive.record.layout) {
        (0, _) => Vec::new(),
        (1 | 2, Some(layout)) => layout.capacities(&cartridge.state)?,
        (1 | 2, None) => cartridge.state.partition_bytes.clone(),
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    transfer::note_change(&mut drive.wrote, cartridge);
    cartridge.format(&partition_bytes)?;
    drive.record.layout = None;
    Ok(())
}
