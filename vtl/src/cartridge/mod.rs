//! A cartridge: a folder with its memory (`cartridge.json`) and the log of what is recorded.
//!
//! What guards the data is argued in `log` and `recovery`; the bytes are in `record` and `index` and
//! on the page `docs/formats/vtl-cartridge.md`. Only one process has a cartridge open at a time: its
//! folder's lock file is held as long as the cartridge is open.

mod dump;
mod index;
mod locate;
mod log;
mod marks;
mod object;
mod partitions;
mod record;
mod record_io;
mod recovery;
mod seal;
mod state;
mod writeback;

#[cfg(test)]
mod crash_tests;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use nix::fcntl::Flock;
use serde::Serialize;

pub use dump::{DumpPartition, DumpReport, DumpRun, ObjectKind};
pub(crate) use log::ObjectLog;
use marks::Marks;
pub(crate) use object::{Fault, Object};
pub use record::RECORD_BYTES_MAX;
pub(crate) use seal::{IV_BYTES, KEY_BYTES, Seal, TAG_BYTES};
pub use state::Purpose;
pub(crate) use state::{
    CAPACITY_BYTES_MIN, CLEANINGS, CartridgeState, ErrorCounts, HostAttribute, early_warning_bytes,
};

use crate::durable;
use crate::error::{Error, Named, Result};
use crate::progress::Progress;

/// An open cartridge.
#[derive(Debug)]
pub(crate) struct Cartridge {
    folder: PathBuf,
    /// What is in its memory. Changes reach the file through [`Cartridge::save`].
    pub state: CartridgeState,
    /// What the file holds.
    saved: CartridgeState,
    /// The recorded objects of the partition under the head.
    pub log: ObjectLog,
    partition: u8,
    parked: partitions::Parked,
    _lock: Flock<File>,
}

/// The result of reading a whole cartridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// The bar code.
    pub barcode: String,
    /// Blocks that are whole.
    pub blocks: u64,
    /// Filemarks that are whole.
    pub filemarks: u64,
    /// Data bytes in whole blocks.
    pub bytes: u64,
    /// What is not whole.
    pub damaged: Vec<DamagedObject>,
    /// The header of the log itself is damaged; the records do not need it.
    pub log_header_damaged: bool,
}

/// An object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DamagedObject {
    /// Partition that it is in.
    pub partition: u8,
    /// Logical object number.
    pub object: u64,
    /// Byte offset in the log.
    pub offset: u64,
    /// What did not match.
    pub reason: String,
}

impl Cartridge {
    /// Creates the folder of a new, blank cartridge, whole or not at all.
    pub fn create(folder: &Path, state: &CartridgeState) -> Result<()> {
        // A dot in front: never taken for a cartridge. What a crash leaves is made anew by the next
        // attempt.
        let mut name = std::ffi::OsString::from(".new-");
        name.push(folder.file_name().unwrap_or_default());
        let temporary = folder.with_file_name(name);
        if temporary.exists() {
            fs::remove_dir_all(&temporary).named(&temporary)?;
        }
        fs::create_dir(&temporary).named(&temporary)?;
        state.write(&temporary)?;
        ObjectLog::create(&temporary, 0, state.id)?;
        fs::rename(&temporary, folder).named(folder)?;
        durable::sync_folder(folder)
    }

    /// Takes the cartridge's lock; `None` if somebody else holds it.
    pub fn try_lock(folder: &Path) -> Result<Option<Flock<File>>> {
        durable::try_lock(&folder.join("lock"))
    }

    /// Opens a cartridge for exclusive use.
    pub fn open(folder: &Path) -> Result<Cartridge> {
        let state = CartridgeState::read(folder)?;
        let Some(lock) = Cartridge::try_lock(folder)? else {
            return Err(Error::CartridgeBusy {
                barcode: state.barcode,
                reason: "the cartridge is in use elsewhere; try again later".into(),
            });
        };
        // What the memory held before the lock may have been somebody else's work.
        let state = CartridgeState::read(folder)?;
        let log = ObjectLog::open(folder, 0, state.id)?;
        let mut cartridge = Cartridge {
            folder: folder.to_path_buf(),
            saved: state.clone(),
            parked: partitions::open_parked(folder, &state)?,
            partition: 0,
            state,
            log,
            _lock: lock,
        };
        for number in 0..cartridge.state.partitions() {
            cartridge.select_partition(number);
            cartridge.check_marks().map_err(|fault| cartridge.error(fault))?;
        }
        cartridge.select_partition(0);
        Ok(cartridge)
    }

    /// Data bytes on a cartridge that may be in use, as of its last checkpoint.
    pub fn recorded_bytes(folder: &Path, state: &CartridgeState) -> Option<u64> {
        (0..state.partitions())
            .map(|number| ObjectLog::checkpointed_bytes(folder, number.into(), state.id))
            .sum()
    }

    /// Writes the memory if it changed.
    pub fn save(&mut self) -> Result<()> {
        if self.state != self.saved {
            self.state.write(&self.folder)?;
            self.saved = self.state.clone();
        }
        Ok(())
    }

    /// Makes everything durable and closes the cartridge.
    pub fn close(mut self) -> Result<()> {
        let flushed = self.checkpoint_all();
        self.save()?;
        flushed.map_err(|fault| self.error(fault))
    }

    /// A fault with the cartridge's name.
    pub fn error(&self, fault: Fault) -> Error {
        match fault {
            Fault::Damaged { object, offset, reason } => {
                Error::Damaged { barcode: self.state.barcode.clone(), object, offset, reason }
            }
            Fault::Host(source) => Error::Io { path: self.folder.clone(), source },
        }
    }

    /// Reads every object and says which are damaged.
    pub fn check(&mut self, progress: &dyn Progress) -> Result<CheckReport> {
        let mut report = CheckReport {
            barcode: self.state.barcode.clone(),
            blocks: 0,
            filemarks: 0,
            bytes: 0,
            damaged: Vec::new(),
            log_header_damaged: false,
        };
        progress.total(self.recorded().iter().sum());
        for partition in 0..self.state.partitions() {
            self.select_partition(partition);
            self.check_partition(&mut report, progress)?;
        }
        self.select_partition(0);
        Ok(report)
    }

    fn check_partition(&mut self, report: &mut CheckReport, progress: &dyn Progress) -> Result<()> {
        let partition = self.partition;
        report.log_header_damaged |= !self.log.header_is_whole();
        let mut buffer = Vec::new();
        for object in 0..self.log.objects() {
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            let read = self.log.kind(object).and_then(|kind| {
                if let Object::Block(length) = kind {
                    buffer.resize(length as usize, 0);
                }
                self.log.read(object, &mut buffer)
            });
            match read {
                Ok(Object::Block(length)) => {
                    report.blocks += 1;
                    report.bytes += u64::from(length);
                    progress.advance(length.into());
                }
                Ok(Object::Filemark) => report.filemarks += 1,
                Err(Fault::Damaged { object, offset, reason }) => report
                    .damaged
                    .push(DamagedObject { partition, object, offset, reason: reason.to_owned() }),
                Err(fault) => return Err(self.error(fault)),
            }
        }
        Ok(())
    }
}
