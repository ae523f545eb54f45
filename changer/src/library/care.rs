//! What keeps a library in order: inventory, where the robot stands, the lock of the import/export station, a cartridge left in the arm.

use scsi::command::{element as smc, unit};

use super::Changer;
use crate::error::{Error, Result};
use crate::status::Status;

const INVENTORY: &str = "taking inventory";
const POSITIONING: &str = "sending the robot to a slot";

impl Changer {
    /// Has the library look at every element again.
    pub fn inventory(&mut self) -> Result<Status> {
        smc::initialize(&mut self.transport).map_err(|source| self.failed(INVENTORY, source))?;
        self.status()
    }

    /// Has the library look at the slots from `first` to `last` again, by the command of the standard or the older
    /// one of the makers. A library that knows neither looks at everything.
    pub fn inventory_slots(&mut self, first: u64, last: u64) -> Result<Status> {
        let status = self.status()?;
        let start = self.slot_of(&status, first)?.element_address;
        let end = self.slot_of(&status, last)?.element_address;
        // Storage and import/export slots need not lie beside each other: only a range of addresses can be asked for.
        let slots = last.checked_sub(first);
        let count = match (end.checked_sub(start), slots) {
            (Some(distance), Some(slots)) if u64::from(distance) == slots => {
                u16::try_from(slots + 1).ok()
            }
            _ => None,
        };
        let Some(count) = count else {
            return Err(Error::NoRange { changer: self.name().to_string(), first, last });
        };
        match smc::initialize_range(&mut self.transport, start, count) {
            Err(error) if error.sense().is_some_and(scsi::Sense::is_invalid_opcode) => {
                self.inventory()
            }
            Err(source) => Err(self.failed(INVENTORY, source)),
            Ok(()) => self.status(),
        }
    }

    /// Sends the robot before a slot, where it takes nothing. Some libraries open their import/export station for that.
    pub fn position(&mut self, slot: u64) -> Result<()> {
        let status = self.status()?;
        let destination = self.slot_of(&status, slot)?.element_address;
        // Address 0 is the default arm of a library that names none.
        let arm = status.transports.first().map_or(0, |arm| arm.element_address);
        smc::position(&mut self.transport, arm, destination)
            .map_err(|source| self.failed(POSITIONING, source))
    }

    /// Locks the import/export station against hands, or unlocks it. Not every library enforces it, so nothing
    /// may rest on it.
    pub fn lock_station(&mut self, lock: bool) -> Result<()> {
        let doing = if lock {
            "locking the import/export station"
        } else {
            "unlocking the import/export station"
        };
        unit::prevent_removal(&mut self.transport, lock)
            .map_err(|source| self.failed(doing, source))
    }

    /// Puts a cartridge that is in the robot's arm into slot `target`, or into the one that it came from if that is
    /// known and empty, or into the first empty one. Returns the slot's number; `None` if the arms are empty.
    pub fn put_back(&mut self, target: Option<u64>) -> Result<Option<u64>> {
        let status = self.status()?;
        let arms = (0u64..).zip(&status.transports);
        let Some((number, arm)) = arms.into_iter().find(|(_, arm)| !arm.status.is_empty()) else {
            return Ok(None);
        };
        let home =
            arm.loaded_slot.filter(|slot| status.slot(*slot).is_some_and(|one| one.is_free()));
        let slot = target.or(home).or_else(|| status.first_free_slot(false)).ok_or_else(|| {
            Error::NoFreeSlot { changer: self.name().to_string(), import_export: false }
        })?;
        let to = self.slot_of(&status, slot)?;
        if !to.status.is_empty() {
            return Err(self.occupied(format!("slot {slot}"), to.status.label()));
        }
        self.move_medium(
            &status,
            (arm.element_address, format!("arm {number}")),
            (to.element_address, format!("slot {slot}")),
        )?;
        Ok(Some(slot))
    }
}
