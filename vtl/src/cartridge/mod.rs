//! A cartridge: a folder with its memory (`cartridge.json`) and the log of what is recorded.
//!
//! What guards the data is argued in `log` and `recovery`; the bytes are in `record` and `index` and
//! on the page `docs/formats/vtl-cartridge.md`. Only one process has a cartridge open at a time: its
//! folder's lock file is held as long as the cartridge is open.

mod index;
mod locate;
mod log;
mod object;
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

pub(crate) use log::ObjectLog;
pub(crate) use object::{Fault, Object};
pub use record::RECORD_BYTES_MAX;
pub(crate) use seal::{IV_BYTES, KEY_BYTES, Seal, TAG_BYTES};
pub use state::Purpose;
pub(crate) use state::{CartridgeState, HostAttribute, early_warning_bytes};

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
    /// The recorded objects. (Further partitions will be further logs.)
    pub log: ObjectLog,
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
            state,
            log,
            _lock: lock,
        };
        cartridge.check_encryption_marks().map_err(|fault| cartridge.error(fault))?;
        Ok(cartridge)
    }

    /// The marks may be older than the log: what was recorded since may lack them, and what they point
    /// to may have been written over. The first is prevented by saving a mark before the block that it
    /// is about; the second is seen here.
    fn check_encryption_marks(&mut self) -> std::result::Result<(), Fault> {
        let objects = self.log.objects();
        if let Some(first) = self.state.first_encrypted
            && (first >= objects || !self.log.is_sealed(first)?)
        {
            self.state.first_encrypted = None;
        }
        if let Some(first) = self.state.first_plain_after
            && (self.state.first_encrypted.is_none_or(|sealed| sealed > first)
                || first >= objects
                || self.log.is_sealed(first)?)
        {
            self.state.first_plain_after = None;
        }
        Ok(())
    }

    /// Makes everything behind `position` go away, as a write there does on a tape.
    pub fn truncate(&mut self, position: u64) -> std::result::Result<(), Fault> {
        self.log.truncate(position)?;
        let kept = |mark: Option<u64>| mark.filter(|object| *object < position);
        self.state.first_encrypted = kept(self.state.first_encrypted);
        self.state.first_plain_after = kept(self.state.first_plain_after);
        Ok(())
    }

    /// Appends a block with its seal, empty for a plain one, and notes what the memory knows of
    /// encryption.
    pub fn append_block(&mut self, data: &[u8], seal: &[u8]) -> std::result::Result<(), Fault> {
        let object = self.log.objects();
        let is_marked = match (seal.is_empty(), self.state.first_encrypted) {
            (false, None) => {
                self.state.first_encrypted = Some(object);
                true
            }
            (true, Some(_)) if self.state.first_plain_after.is_none() => {
                self.state.first_plain_after = Some(object);
                true
            }
            _ => false,
        };
        if is_marked {
            self.save().map_err(|error| Fault::Host(std::io::Error::other(error)))?;
        }
        self.log.append_block(data, seal)
    }

    /// Data bytes on a cartridge that may be in use, as of its last checkpoint.
    pub fn recorded_bytes(folder: &Path, state: &CartridgeState) -> Option<u64> {
        ObjectLog::checkpointed_bytes(folder, 0, state.id)
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
        let flushed = self.log.checkpoint();
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
            log_header_damaged: !self.log.header_is_whole(),
        };
        progress.total(self.log.bytes());
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
                Err(Fault::Damaged { object, offset, reason }) => {
                    report.damaged.push(DamagedObject { object, offset, reason: reason.to_owned() })
                }
                Err(fault) => return Err(self.error(fault)),
            }
        }
        Ok(report)
    }
}
