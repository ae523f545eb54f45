//! A library's folder in this process, as its units and its robot see it: paths, configuration, the
//! robot's change counter, the fault hook.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scsi::Sense;

use crate::config::LibraryConfig;
use crate::error::{Named, Result};
use crate::faults::Faults;
use crate::unit::name::Unit;

/// The folder of one library.
pub(crate) struct Home {
    dir: PathBuf,
    config: LibraryConfig,
    changes: File,
    faults: Mutex<Option<Arc<dyn Faults>>>,
}

/// A panic while a mutex was held left a unit between two commands at worst: every state file is
/// replaced whole, so going on is safe.
pub(crate) fn unpoisoned<'a, T>(
    lock: std::result::Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>>,
) -> MutexGuard<'a, T> {
    lock.unwrap_or_else(PoisonError::into_inner)
}

impl Home {
    /// The folder `dir` of the library that is configured so.
    pub fn open(dir: &Path, config: LibraryConfig) -> Result<Home> {
        let dir = fs::canonicalize(dir).named(dir)?;
        let changes = open_counter(&dir)?;
        Ok(Home { dir, config, changes, faults: Mutex::default() })
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self) -> &LibraryConfig {
        &self.config
    }

    pub fn drive_folder(&self, number: u16) -> PathBuf {
        self.dir.join(format!("drive{number}"))
    }

    pub fn cartridge_folder(&self, barcode: &str) -> PathBuf {
        self.dir.join("cartridges").join(barcode)
    }

    /// The robot's change counter now.
    pub fn robot_changes(&self) -> Result<u64> {
        read_counter(&self.changes).named(&self.dir)
    }

    pub fn set_faults(&self, faults: Option<Arc<dyn Faults>>) {
        *unpoisoned(self.faults.lock()) = faults;
    }

    /// What the fault hook says of a command.
    pub fn fault(&self, unit: Unit, cdb: &[u8]) -> Option<Sense> {
        let faults = unpoisoned(self.faults.lock()).clone();
        faults.and_then(|faults| faults.on_command(unit, cdb))
    }
}

/// The file of the change counter, 8 bytes little-endian. It needs no durability: after a restart
/// of the machine nobody remembers an older value.
pub(crate) fn open_counter(dir: &Path) -> Result<File> {
    let path = dir.join("robot.changes");
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).named(&path)
}

/// Reads the change counter; a new file counts from 0.
pub(crate) fn read_counter(file: &File) -> io::Result<u64> {
    let mut bytes = [0; 8];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(u64::from_le_bytes(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}
