//! Cleaning a drive: a cleaning cartridge in, and out again when the drive is done.
//!
//! The drive cleans by itself when the cartridge comes in and gives it back when it is done, after one to five
//! minutes. The robot's taking it out waits so long, or is refused so long: a move that is refused because the drive
//! does not give the cartridge back has moved nothing, so it is the one move that is tried again.

use std::time::Instant;

use super::{Changer, Patience};
use crate::error::{Error, Result};
use crate::status::Status;

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cleaned {
    /// The cleaning cartridge.
    pub label: String,
    /// Its slot, where it is again.
    pub slot: u64,
}

impl Changer {
    /// Bar codes of the cleaning cartridges in storage slots, the lowest slot first.
    pub fn cleaning_cartridges(&mut self) -> Result<Vec<String>> {
        let status = self.status()?;
        Ok(cleaning_cartridges(&status).map(|(_, label)| label.to_string()).collect())
    }

    /// Cleans drive `drive` with the cleaning cartridge of the lowest storage slot. A tape in the drive is put back
    /// first.
    pub fn clean(&mut self, drive: u64) -> Result<Cleaned> {
        let (status, cleaned) = self.bring_cleaning_cartridge(drive, None)?;
        let start = Instant::now();
        loop {
            let error = match self.take_out(&status, drive, cleaned.slot) {
                Ok(_) => return Ok(cleaned),
                Err(error) => error,
            };
            if !still_cleans(&error) || start.elapsed() >= self.patience.clean_within {
                return Err(error);
            }
            self.pause("waiting for a drive to be clean")?;
        }
    }

    /// The first half of a cleaning: the cartridge of this bar code, or of the lowest storage slot, goes into the drive, and a tape
    /// in it back to its slot before. Then the robot is free for others until [`Changer::end_cleaning`].
    pub fn begin_cleaning(&mut self, drive: u64, label: Option<&str>) -> Result<Cleaned> {
        self.bring_cleaning_cartridge(drive, label).map(|(_, cleaned)| cleaned)
    }

    /// The second half, tried once: the cartridge goes back to `slot`. `Some` tells why not yet: the drive still cleans.
    pub fn end_cleaning(&mut self, drive: u64, slot: u64) -> Result<Option<Error>> {
        let status = self.status()?;
        match self.take_out(&status, drive, slot) {
            Ok(_) => Ok(None),
            Err(error) if still_cleans(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// How long and how often is waited.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    fn bring_cleaning_cartridge(
        &mut self,
        drive: u64,
        label: Option<&str>,
    ) -> Result<(Status, Cleaned)> {
        let mut status = self.status()?;
        let found = cleaning_cartridges(&status)
            .find(|(_, found)| label.is_none_or(|wanted| wanted == *found))
            .map(|(slot, label)| Cleaned { label: label.to_string(), slot });
        let Some(cleaned) = found else {
            return Err(Error::NoCleaningCartridge { changer: self.name().to_string() });
        };
        if !self.drive_of(&status, drive)?.status.is_empty() {
            status = self.unload_by(&status, drive, None)?;
        }
        let status = self.move_slot_to_drive(&status, cleaned.slot, drive)?;
        Ok((status, cleaned))
    }

    /// The cleaning cartridge comes out without an eject: the drive decides when.
    fn take_out(&mut self, status: &Status, drive: u64, slot: u64) -> Result<Status> {
        let from = self.drive_of(status, drive)?.element_address;
        let to = self.slot_of(status, slot)?.element_address;
        self.move_medium(status, (from, format!("drive {drive}")), (to, format!("slot {slot}")))
    }
}

/// The cartridge is not given back yet.
fn still_cleans(error: &Error) -> bool {
    error.is_retryable()
        || error
            .sense()
            .is_some_and(|sense| sense.is_removal_prevented() || sense.is_cleaning_cartridge())
}

fn cleaning_cartridges(status: &Status) -> impl Iterator<Item = (u64, &str)> {
    status
        .numbered_slots()
        .filter(|(_, slot)| !slot.import_export && slot.status.is_cleaning_cartridge())
        .filter_map(|(number, slot)| Some((number, slot.status.label()?)))
}
