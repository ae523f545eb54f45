//! A library's folder in this process, as its units and its robot see it: paths, configuration, the
//! robot's change counter, the faults in force, the clock; and when this machine started.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::config::LibraryConfig;
use crate::durable::crc64;
use crate::encryption_control::EncryptionControl;
use crate::error::{Named, Result};
use crate::faults::Faults;

/// The folder of one library.
pub(crate) struct Home {
    dir: PathBuf,
    config: LibraryConfig,
    changes: File,
    faults: Faults,
    encryption: Mutex<EncryptionControl>,
    clock: Arc<Clock>,
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
        let clock = Arc::new(Clock::new(config.timing, config.time_scale));
        Ok(Home {
            dir,
            config,
            changes,
            faults: Faults::default(),
            encryption: Mutex::default(),
            clock,
        })
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

    /// The robot's change counter now. A plan of faults that somebody set counts as a change too, and
    /// is in force from here on.
    pub fn robot_changes(&self) -> Result<u64> {
        let changes = read_counter(&self.changes).named(&self.dir)?;
        self.faults.notice(&self.dir, changes)?;
        Ok(changes)
    }

    /// Somebody else is in charge of encryption from here on.
    pub fn set_encryption_control(&self, control: EncryptionControl) {
        *unpoisoned(self.encryption.lock()) = control;
    }

    /// Who is in charge of encryption.
    pub fn encryption_control(&self) -> EncryptionControl {
        unpoisoned(self.encryption.lock()).clone()
    }

    /// The library's time.
    pub fn clock(&self) -> &Arc<Clock> {
        &self.clock
    }

    /// What goes wrong here.
    pub fn faults(&self) -> &Faults {
        &self.faults
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

/// A number that changes when the machine restarts. Where the kernel does not tell it, it is
/// constant, and drives never power on by themselves.
pub(crate) fn boot_id() -> u64 {
    std::fs::read("/proc/sys/kernel/random/boot_id").map_or(0, |id| crc64(&[&id]))
}
