//! Tapes in the order of their slots: the first, the last, the one before or behind.

use super::Changer;
use crate::error::{Error, Result};
use crate::status::Status;

/// Which tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Of the lowest slot.
    First,
    /// Of the highest slot.
    Last,
    /// Of the slot behind that of the tape in the drive; with an empty drive, the first.
    Next,
    /// Of the slot before that of the tape in the drive.
    Previous,
}

impl Changer {
    /// Puts the tape in drive `drive` back and loads another one in the order of the slots. Import/export slots and
    /// cleaning cartridges do not count. A tape that is in the drive already stays. Returns the slot that the tape
    /// came from.
    pub fn load_step(&mut self, step: Step, drive: u64) -> Result<u64> {
        let status = self.status()?;
        let loaded = self.drive_of(&status, drive)?;
        let is_loaded = !loaded.status.is_empty();
        let current = loaded.loaded_slot;
        if is_loaded && current.is_none() {
            return Err(Error::NoHome { changer: self.name().to_string(), drive });
        }
        let slot = self.step(&status, step, drive, current)?;
        if current == Some(slot) {
            return Ok(slot);
        }
        let status = if is_loaded { self.unload_by(&status, drive, current)? } else { status };
        self.move_slot_to_drive(&status, slot, drive)?;
        Ok(slot)
    }

    fn step(&self, status: &Status, step: Step, drive: u64, current: Option<u64>) -> Result<u64> {
        let holds_tape = |(number, slot): &(u64, &crate::SlotStatus)| {
            let is_tape = !slot.status.is_empty() && !slot.status.is_cleaning_cartridge();
            !slot.import_export && (is_tape || current == Some(*number))
        };
        let slots: Vec<u64> =
            status.numbered_slots().filter(holds_tape).map(|(number, _)| number).collect();
        let found = match (step, current) {
            (Step::First, _) | (Step::Next, None) => slots.first(),
            (Step::Last, _) => slots.last(),
            (Step::Next, Some(current)) => slots.iter().find(|slot| **slot > current),
            (Step::Previous, Some(current)) => slots.iter().rev().find(|slot| **slot < current),
            (Step::Previous, None) => return Err(self.empty(format!("drive {drive}"))),
        };
        found.copied().ok_or_else(|| Error::NoFurtherTape { changer: self.name().to_string() })
    }
}
