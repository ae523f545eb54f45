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
//! The operations are in `moves` (load, unload, transfer, import, export), `sequence` (the next tape), `clean` (cleaning a
//! drive) and `care` (inventory, station, arm); how long is waited for what, in `patience`.

mod care;
mod clean;
mod moves;
mod patience;
mod sequence;

pub use clean::Cleaned;
pub use patience::Patience;
pub use sequence::Step;

use scsi::command::inquiry::{self, Inquiry};
use scsi::command::mode::ElementAddresses;
use scsi::timeouts::Timeouts;
use scsi::{Transport, transport};

use crate::cache::StatusCache;
use crate::element::{Elements, Manner, Questions};
use crate::error::{Error, Result};
use crate::status::Status;

/// Asked while waiting; `true` ends the operation with [`Error::Aborted`].
pub type Abort = Box<dyn Fn() -> bool + Send>;

/// Has the drive of this number eject its tape, if it holds one; the text says why it could not.
pub type Eject = Box<dyn FnMut(u64) -> Result<(), String> + Send>;

/// A media changer.
pub struct Changer {
    transport: Box<dyn Transport>,
    export_slots: Vec<u64>,
    patience: Patience,
    abort: Option<Abort>,
    eject: Option<Eject>,
    cache: Option<StatusCache>,
    manner: Manner,
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
    /// Opens the changer behind `transport`. It is asked once how long its commands may take
    /// ([`Timeouts`]).
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
            transport: Box::new(Timeouts::learn(transport, &inquiry)),
            export_slots: Vec::new(),
            patience: Patience::default(),
            abort: None,
            eject: None,
            cache: None,
            manner: Manner::default(),
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

    /// Sets what is asked before a tape is taken out of a drive: for libraries that cannot take one that the drive
    /// has not ejected.
    #[must_use]
    pub fn with_eject(mut self, eject: Eject) -> Changer {
        self.eject = Some(eject);
        self
    }

    /// Keeps the last status in a file.
    #[must_use]
    pub fn with_cache(mut self, cache: StatusCache) -> Changer {
        self.cache = Some(cache);
        self
    }

    /// The way to the device, for questions of other kinds.
    pub fn into_transport(self) -> Box<dyn Transport> {
        self.transport
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
        const ROUNDS: u32 = 3;
        self.last_status = None;
        if let Some(cache) = &self.cache {
            cache.remove();
        }
        let mut round = 1;
        let status = loop {
            match self.read_status() {
                // Something was changed in the middle: what was read before may be wrong by now.
                Err(error) if round < ROUNDS && is_unit_attention(&error) => round += 1,
                read => break read?,
            }
        };
        if let Some(cache) = &self.cache {
            cache.store(&status);
        }
        self.last_status = Some(status.clone());
        Ok(status)
    }

    fn read_status(&mut self) -> Result<Status> {
        let mut notes = Vec::new();
        // The page is only there to check the counts with.
        let addresses = match self.patiently(ElementAddresses::request) {
            Ok(addresses) => Some(addresses),
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                notes.push("does not tell how many elements it has (page 1Dh)".to_string());
                None
            }
            Err(Error::Scsi { source: source @ transport::Error::Malformed { .. }, .. }) => {
                notes.push(format!("does not tell how many elements it has (page 1Dh): {source}"));
                None
            }
            Err(error) => return Err(error),
        };
        let mut manner = self.manner;
        let storage = self
            .patiently(|transport| Questions::new(transport, &mut manner, addresses).storage())?;
        self.manner = manner;
        let mut elements = Questions::new(&mut self.transport, &mut self.manner, addresses)
            .others(storage)
            .map_err(|source| self.failed(READING, source))?;
        elements.notes.splice(0..0, notes);
        let mut status = Status::number(self.name(), &elements, &self.export_slots)?;
        if let Some(addresses) = addresses {
            self.compare_counts(&addresses, &elements, &mut status)?;
        }
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
            ("slots", addresses.storage.count, elements.storage.len() + elements.shared, true),
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
}

fn is_unit_attention(error: &Error) -> bool {
    error.sense().is_some_and(scsi::Sense::is_unit_attention)
}

#[cfg(test)]
mod tests;
