//! A tape library as its operator works with it: load this tape, put it back, bring it to the mail slot.
//!
//! Two rules keep a library with several users (and hands) in it from being mixed up:
//!
//! * *Numbers are translated anew for each operation.* What was in a slot a minute ago may be somewhere
//!   else; each operation reads the status first and moves by the addresses it finds.
//! * *After each move the status is read again, whether it worked or not.* A failed move may have left
//!   the tape in the arm; [`Changer::last_status`] shows what the library says afterwards. An error of
//!   that reading behind a move that worked is reported too: repeating the operation then finds the
//!   tape where it was to go.
//!
//! Moves are never repeated: a robot that has dropped a tape must not be told to try again. Only the
//! first questions of a status are, because a library that takes inventory or reports a unit attention
//! is merely not ready.

use std::time::{Duration, Instant};

use scsi::command::element as smc;
use scsi::command::inquiry::{self, Inquiry};
use scsi::command::mode::ElementAddresses;
use scsi::{Transport, transport};

use crate::element::{self, Elements};
use crate::error::{Error, Result};
use crate::status::{CLEANING_PREFIX, Place, Status};

/// How long and how often a library that is not ready is asked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Time between two questions.
    pub poll_interval: Duration,
    /// How long a failing question is repeated.
    pub answer_within: Duration,
    /// The same while the library says that it becomes ready (it takes inventory).
    pub ready_within: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            poll_interval: Duration::from_secs(1),
            answer_within: Duration::from_secs(5),
            ready_within: Duration::from_secs(300),
        }
    }
}

/// Asked while waiting; `true` ends the operation with [`Error::Aborted`].
pub type Abort = Box<dyn Fn() -> bool + Send>;

/// A media changer.
pub struct Changer {
    transport: Box<dyn Transport>,
    export_slots: Vec<u64>,
    patience: Patience,
    abort: Option<Abort>,
    last_status: Option<Status>,
}

impl std::fmt::Debug for Changer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changer")
            .field("name", &self.transport.name())
            .field("export_slots", &self.export_slots)
            .finish_non_exhaustive()
    }
}

const READING: &str = "reading the element status";

impl Changer {
    /// Opens the changer behind `transport`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAChanger`] if it is something else.
    pub fn open(transport: Box<dyn Transport>) -> Result<Changer> {
        let mut transport = transport;
        let changer = transport.name().to_string();
        let inquiry = Inquiry::request(&mut transport).map_err(|source| Error::Scsi {
            changer: changer.clone(),
            doing: "asking what it is",
            source,
        })?;
        if inquiry.kind != inquiry::TYPE_CHANGER {
            return Err(Error::NotAChanger { changer, kind: inquiry.kind });
        }
        Ok(Changer {
            transport,
            export_slots: Vec::new(),
            patience: Patience::default(),
            abort: None,
            last_status: None,
        })
    }

    /// Slot numbers that count as import/export slots although the library calls them storage: for
    /// small libraries without a mail slot.
    #[must_use]
    pub fn with_export_slots(mut self, slots: Vec<u64>) -> Changer {
        self.export_slots = slots;
        self
    }

    /// Changes how long is waited.
    #[must_use]
    pub fn with_patience(mut self, patience: Patience) -> Changer {
        self.patience = patience;
        self
    }

    /// Sets what is asked while waiting.
    #[must_use]
    pub fn with_abort(mut self, abort: Abort) -> Changer {
        self.abort = Some(abort);
        self
    }

    /// The changer as the user named it.
    pub fn name(&self) -> &str {
        self.transport.name()
    }

    /// What the last operation read, for caches; `None` if reading it failed.
    pub fn last_status(&self) -> Option<&Status> {
        self.last_status.as_ref()
    }

    /// Vendor, product and revision.
    pub fn inquiry(&mut self) -> Result<Inquiry> {
        Inquiry::request(&mut self.transport)
            .map_err(|source| self.failed("asking what it is", source))
    }

    /// Reads what is where.
    ///
    /// # Errors
    ///
    /// [`Error::Unconfigured`] for a library without drives or slots, [`Error::Counts`] if the library
    /// contradicts itself about how many there are.
    pub fn status(&mut self) -> Result<Status> {
        self.last_status = None;
        let addresses = match self.patiently(ElementAddresses::request) {
            Ok(addresses) => Some(addresses),
            // The page is only there to check the counts with.
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => None,
            Err(error) => return Err(error),
        };
        let storage = self.patiently(|transport| element::read_storage(transport))?;
        let elements = element::read_others(&mut self.transport, storage)
            .map_err(|source| self.failed(READING, source))?;
        let mut status = Status::number(self.name(), &elements, &self.export_slots)?;
        if let Some(addresses) = addresses {
            self.compare_counts(&addresses, &elements, &mut status)?;
        }
        self.last_status = Some(status.clone());
        Ok(status)
    }

    /// A library that reports fewer slots or drives than it has would make tapes vanish. Import/export
    /// elements and arms are known to be counted differently, and that is only odd.
    fn compare_counts(
        &self,
        addresses: &ElementAddresses,
        elements: &Elements,
        status: &mut Status,
    ) -> Result<()> {
        let pairs = [
            ("drives", addresses.drives.count, elements.drives.len(), true),
            ("slots", addresses.storage.count, elements.storage.len(), true),
            (
                "import/export slots",
                addresses.import_export.count,
                elements.import_export.len(),
                false,
            ),
            ("arms", addresses.transport.count, elements.transports.len(), false),
        ];
        for (what, assigned, reported, is_fatal) in pairs {
            let assigned = usize::from(assigned);
            if assigned == reported {
                continue;
            }
            let error =
                Error::Counts { changer: self.name().to_string(), what, assigned, reported };
            if is_fatal {
                return Err(error);
            }
            status.warnings.push(error.to_string());
        }
        Ok(())
    }

    /// Has the library look at every element again.
    pub fn inventory(&mut self) -> Result<Status> {
        smc::initialize(&mut self.transport)
            .map_err(|source| self.failed("taking inventory", source))?;
        self.status()
    }

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

    fn move_slot_to_drive(&mut self, status: &Status, slot: u64, drive: u64) -> Result<Status> {
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

    fn unload_by(&mut self, status: &Status, drive: u64, target: Option<u64>) -> Result<Status> {
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
        self.move_medium(
            status,
            (source.element_address, format!("drive {drive}")),
            (target.element_address, format!("slot {slot}")),
        )
    }

    fn transfer_by(&mut self, status: &Status, from: u64, to: u64) -> Result<Status> {
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
    fn move_medium(
        &mut self,
        status: &Status,
        (source, from): (u16, String),
        (destination, to): (u16, String),
    ) -> Result<Status> {
        // Address 0 is the default arm of a library that names none.
        let arm = status.transports.first().map_or(0, |arm| arm.element_address);
        let moved = smc::move_medium(&mut self.transport, arm, source, destination);
        let after = self.status();
        match moved {
            Ok(()) => after,
            Err(source) => Err(Error::Move {
                changer: self.name().to_string(),
                from,
                to,
                source: Box::new(source),
            }),
        }
    }

    fn slot_of<'a>(&self, status: &'a Status, slot: u64) -> Result<&'a crate::SlotStatus> {
        status.slot(slot).ok_or_else(|| Error::NoSuchSlot {
            changer: self.name().to_string(),
            slot,
            count: status.slots.len(),
        })
    }

    fn drive_of<'a>(&self, status: &'a Status, drive: u64) -> Result<&'a crate::DriveStatus> {
        status.drive(drive).ok_or_else(|| Error::NoSuchDrive {
            changer: self.name().to_string(),
            drive,
            count: status.drives.len(),
        })
    }

    fn empty(&self, place: String) -> Error {
        Error::Empty { changer: self.name().to_string(), place }
    }

    fn occupied(&self, place: String, label: Option<&str>) -> Error {
        let label = label.map(str::to_string);
        Error::Occupied { changer: self.name().to_string(), place, label }
    }

    fn failed(&self, doing: &'static str, source: transport::Error) -> Error {
        Error::Scsi { changer: self.name().to_string(), doing, source }
    }

    /// Repeats a question while the library is not ready to answer it.
    fn patiently<T>(
        &mut self,
        mut question: impl FnMut(&mut dyn Transport) -> Result<T, transport::Error>,
    ) -> Result<T> {
        const UNIT_ATTENTIONS_AT_ONCE: u32 = 8;
        let start = Instant::now();
        let mut limit = self.patience.answer_within;
        let mut unit_attentions = 0;
        loop {
            let error = match question(&mut self.transport) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if let Some(sense) = error.sense() {
                if sense.is_unsupported() {
                    return Err(self.failed(READING, error));
                }
                if sense.is_becoming_ready() {
                    limit = self.patience.ready_within;
                }
                // It is gone by having been reported; several may be queued.
                if sense.is_unit_attention() && unit_attentions < UNIT_ATTENTIONS_AT_ONCE {
                    unit_attentions += 1;
                    continue;
                }
            }
            if start.elapsed() >= limit {
                return Err(self.failed(READING, error));
            }
            self.pause()?;
        }
    }

    fn pause(&self) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(100);
        let mut left = self.patience.poll_interval;
        loop {
            if self.abort.as_ref().is_some_and(|abort| abort()) {
                return Err(Error::Aborted { changer: self.name().to_string(), doing: READING });
            }
            if left.is_zero() {
                return Ok(());
            }
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}

#[cfg(test)]
mod tests;
