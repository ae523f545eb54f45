//! Cleaning a drive: a cleaning cartridge in, and out again when the drive is done.
//!
//! The drive cleans by itself when the cartridge comes in and gives it back when it is done, after one to five
//! minutes. The robot's taking it out waits so long, or is refused so long: a move that is refused because the drive
//! does not give the cartridge back has moved nothing, so it is the one move that is tried again.

use std::time::Instant;

use super::Changer;
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
    /// Cleans drive `drive` with the cleaning cartridge of the lowest storage slot. A tape in the drive is put back
    /// first.
    pub fn clean(&mut self, drive: u64) -> Result<Cleaned> {
        let mut status = self.status()?;
        let (slot, label) = self.cleaning_cartridge(&status)?;
        if !self.drive_of(&status, drive)?.status.is_empty() {
            status = self.unload_by(&status, drive, None)?;
        }
        let status = self.move_slot_to_drive(&status, slot, drive)?;
        let start = Instant::now();
        loop {
            let error = match self.take_out(&status, drive, slot) {
                Ok(_) => return Ok(Cleaned { label, slot }),
                Err(error) => error,
            };
            let waits = error.is_retryable()
                || error.sense().is_some_and(|sense| {
                    sense.is_removal_prevented() || sense.is_cleaning_cartridge()
                });
            if !waits || start.elapsed() >= self.patience.clean_within {
                return Err(error);
            }
            self.pause("waiting for a drive to be clean")?;
        }
    }

    /// The cleaning cartridge comes out without an eject: the drive decides when.
    fn take_out(&mut self, status: &Status, drive: u64, slot: u64) -> Result<Status> {
        let from = self.drive_of(status, drive)?.element_address;
        let to = self.slot_of(status, slot)?.element_address;
        self.move_medium(status, (from, format!("drive {drive}")), (to, format!("slot {slot}")))
    }

    fn cleaning_cartridge(&self, status: &Status) -> Result<(u64, String)> {
        let mut slots = status.numbered_slots();
        let found =
            slots.find(|(_, slot)| !slot.import_export && slot.status.is_cleaning_cartridge());
        found
            .and_then(|(number, slot)| Some((number, slot.status.label()?.to_string())))
            .ok_or_else(|| Error::NoCleaningCartridge { changer: self.name().to_string() })
    }
}
