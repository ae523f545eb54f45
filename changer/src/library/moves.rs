//! Moving tapes: load, unload, transfer, import, export.

use scsi::command::element as smc;

use super::Changer;
use crate::error::{Error, Result};
use crate::status::{CLEANING_PREFIX, Place, Status, TransportStatus};

const MOVING: &str = "moving a tape";

impl Changer {
    /// Loads the tape of slot `slot` into drive `drive`.
    pub fn load_slot(&mut self, slot: u64, drive: u64) -> Result<Status> {
        let status = self.status()?;
        self.move_slot_to_drive(&status, slot, drive)
    }

    /// Brings the tape with this label text into drive `drive`. Another tape in that drive is put back
    /// first; a tape that is there already stays.
    ///
    /// # Errors
    ///
    /// [`Error::NotOnline`], [`Error::InExportSlot`] and [`Error::InOtherDrive`] say where the tape
    /// is not; nothing was moved then.
    pub fn load(&mut self, label: &str, drive: u64) -> Result<Status> {
        if label.starts_with(CLEANING_PREFIX) {
            return Err(Error::CleaningCartridge {
                changer: self.name().to_string(),
                label: label.to_string(),
            });
        }
        let status = self.status()?;
        let here = self.drive_of(&status, drive)?.status.clone();
        let slot = match status.find(label) {
            Some(Place::Drive(number)) if number == drive => return Ok(status),
            Some(Place::Drive(number)) => {
                return Err(Error::InOtherDrive {
                    changer: self.name().to_string(),
                    label: label.to_string(),
                    drive: number,
                });
            }
            Some(Place::ImportExport(slot)) => {
                return Err(Error::InExportSlot {
                    changer: self.name().to_string(),
                    label: label.to_string(),
                    slot,
                });
            }
            None => {
                return Err(Error::NotOnline {
                    changer: self.name().to_string(),
                    label: label.to_string(),
                });
            }
            Some(Place::Slot(slot)) => slot,
        };
        if here.is_empty() {
            return self.move_slot_to_drive(&status, slot, drive);
        }
        let status = self.unload_by(&status, drive, None)?;
        // The tape did not move in between, but whoever opened the door may have taken it.
        match status.find(label) {
            Some(Place::Slot(slot)) => self.move_slot_to_drive(&status, slot, drive),
            _ => {
                Err(Error::NotOnline { changer: self.name().to_string(), label: label.to_string() })
            }
        }
    }

    /// Takes the tape out of drive `drive`: to slot `target`, or to the slot it came from if that is
    /// known and empty, or to the first empty storage slot.
    pub fn unload(&mut self, drive: u64, target: Option<u64>) -> Result<Status> {
        let status = self.status()?;
        self.unload_by(&status, drive, target)
    }

    /// Moves the tape of slot `from` to slot `to`.
    pub fn transfer(&mut self, from: u64, to: u64) -> Result<Status> {
        let status = self.status()?;
        self.transfer_by(&status, from, to)
    }

    /// Brings the tape of import/export slot `from` to storage slot `to`, or to the first empty one. Returns
    /// that slot's number.
    pub fn import(&mut self, from: u64, to: Option<u64>) -> Result<u64> {
        let status = self.status()?;
        if !self.slot_of(&status, from)?.import_export {
            return Err(Error::NotExportSlot { changer: self.name().to_string(), slot: from });
        }
        let free = to.or_else(|| status.first_free_slot(false));
        let to = free.ok_or_else(|| Error::NoFreeSlot {
            changer: self.name().to_string(),
            import_export: false,
        })?;
        self.transfer_by(&status, from, to)?;
        Ok(to)
    }

    /// Where the tape with this label text is.
    pub fn find(&mut self, label: &str) -> Result<Option<Place>> {
        Ok(self.status()?.find(label))
    }

    /// Brings the tape with this label text to the first empty import/export slot and returns that
    /// slot's number. `drive` is the drive whose tape may be taken out for that.
    ///
    /// `None` if the tape is not online: not in the library, in another drive, or already in an
    /// import/export slot.
    pub fn export(&mut self, label: &str, drive: Option<u64>) -> Result<Option<u64>> {
        let status = self.status()?;
        let free = |changer: &Changer| {
            status.first_free_slot(true).ok_or_else(|| Error::NoFreeSlot {
                changer: changer.name().to_string(),
                import_export: true,
            })
        };
        match status.find(label) {
            Some(Place::Drive(number)) if Some(number) == drive => {
                let target = free(self)?;
                self.unload_by(&status, number, Some(target))?;
                Ok(Some(target))
            }
            Some(Place::Slot(slot)) => {
                let target = free(self)?;
                self.transfer_by(&status, slot, target)?;
                Ok(Some(target))
            }
            Some(Place::Drive(_) | Place::ImportExport(_)) | None => Ok(None),
        }
    }

    pub(super) fn move_slot_to_drive(
        &mut self,
        status: &Status,
        slot: u64,
        drive: u64,
    ) -> Result<Status> {
        let source = self.slot_of(status, slot)?;
        let target = self.drive_of(status, drive)?;
        if source.status.is_empty() {
            return Err(self.empty(format!("slot {slot}")));
        }
        if !target.status.is_empty() {
            return Err(self.occupied(format!("drive {drive}"), target.status.label()));
        }
        self.move_medium(
            status,
            (source.element_address, format!("slot {slot}")),
            (target.element_address, format!("drive {drive}")),
        )
    }

    pub(super) fn unload_by(
        &mut self,
        status: &Status,
        drive: u64,
        target: Option<u64>,
    ) -> Result<Status> {
        let source = self.drive_of(status, drive)?;
        if source.status.is_empty() {
            return Err(self.empty(format!("drive {drive}")));
        }
        let slot = match target.or_else(|| status.slot_to_unload(drive)) {
            Some(slot) => slot,
            None => {
                return Err(Error::NoFreeSlot {
                    changer: self.name().to_string(),
                    import_export: false,
                });
            }
        };
        let target = self.slot_of(status, slot)?;
        if !target.status.is_empty() {
            return Err(self.occupied(format!("slot {slot}"), target.status.label()));
        }
        self.check_abort(MOVING)?;
        self.eject(drive)?;
        self.move_medium(
            status,
            (source.element_address, format!("drive {drive}")),
            (target.element_address, format!("slot {slot}")),
        )
    }

    /// Has the drive eject, where the library needs that.
    fn eject(&mut self, drive: u64) -> Result<()> {
        let Some(eject) = &mut self.eject else { return Ok(()) };
        eject(drive).map_err(|reason| Error::Eject {
            changer: self.transport.name().to_string(),
            drive,
            reason,
        })
    }

    pub(super) fn transfer_by(&mut self, status: &Status, from: u64, to: u64) -> Result<Status> {
        let source = self.slot_of(status, from)?;
        let target = self.slot_of(status, to)?;
        if source.status.is_empty() {
            return Err(self.empty(format!("slot {from}")));
        }
        if !target.status.is_empty() {
            return Err(self.occupied(format!("slot {to}"), target.status.label()));
        }
        self.move_medium(
            status,
            (source.element_address, format!("slot {from}")),
            (target.element_address, format!("slot {to}")),
        )
    }

    /// Moves and reads the status again. The move's failure counts more than that of the reading.
    pub(super) fn move_medium(
        &mut self,
        status: &Status,
        (source, from): (u16, String),
        (destination, to): (u16, String),
    ) -> Result<Status> {
        self.check_abort(MOVING)?;
        // Address 0 is the default arm of a library that names none.
        let arms = &status.transports;
        let own = arms.iter().find(|arm| arm.element_address == source);
        let arm = own.or_else(|| arms.first()).map_or(0, |arm| arm.element_address);
        let moved = smc::move_medium(&mut self.transport, arm, source, destination);
        let after = self.status();
        match moved {
            Ok(()) => after,
            Err(error) => {
                let before = own.is_some();
                let holds =
                    |arms: &[TransportStatus]| arms.iter().any(|arm| !arm.status.is_empty());
                let left_in_arm = !before && after.is_ok_and(|after| holds(&after.transports));
                Err(Error::Move {
                    changer: self.name().to_string(),
                    from,
                    to,
                    left_in_arm,
                    source: Box::new(error),
                })
            }
        }
    }
}
