//! What all handles of a process to one library share, and the list that makes them share it.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use scsi::Sense;

use super::{LibraryConfig, Unit};
use crate::changer::Changer;
use crate::drive::Drive;
use crate::error::{Error, Named, Result};
use crate::faults::Faults;
use crate::robot;

/// One library in this process.
pub(crate) struct Shared {
    dir: PathBuf,
    config: LibraryConfig,
    changes: File,
    drives: Vec<Mutex<DriveSlot>>,
    changer: Mutex<Option<Changer>>,
    faults: Mutex<Option<Arc<dyn Faults>>>,
}

/// A drive while it is open in this process.
#[derive(Default)]
pub(crate) struct DriveSlot {
    handles: usize,
    drive: Option<Drive>,
}

impl DriveSlot {
    /// The drive, if this process has it open.
    pub fn drive_mut(&mut self) -> Option<&mut Drive> {
        self.drive.as_mut()
    }
}

/// A panic while a mutex was held left a unit between two commands at worst: every state file is
/// replaced whole, so going on is safe.
fn unpoisoned<'a, T>(
    lock: std::result::Result<MutexGuard<'a, T>, PoisonError<MutexGuard<'a, T>>>,
) -> MutexGuard<'a, T> {
    lock.unwrap_or_else(PoisonError::into_inner)
}

type Key = (u64, u64);

fn open_libraries() -> &'static Mutex<HashMap<Key, Weak<Shared>>> {
    static OPEN: OnceLock<Mutex<HashMap<Key, Weak<Shared>>>> = OnceLock::new();
    OPEN.get_or_init(Mutex::default)
}

/// The library in `dir`, the same for all callers of this process however they spell the folder.
pub(super) fn open(dir: &Path) -> Result<Arc<Shared>> {
    let config = LibraryConfig::read(dir)?;
    let metadata = fs::metadata(dir).named(dir)?;
    let key = (metadata.dev(), metadata.ino());
    let mut open = unpoisoned(open_libraries().lock());
    if let Some(shared) = open.get(&key).and_then(Weak::upgrade) {
        // A folder removed and made anew may get the same number.
        if shared.config == config {
            return Ok(shared);
        }
    }
    let dir = fs::canonicalize(dir).named(dir)?;
    let changes = robot::open_counter(&dir)?;
    let drives = (0..config.drives).map(|_| Mutex::default()).collect();
    let shared = Arc::new(Shared {
        dir,
        config,
        changes,
        drives,
        changer: Mutex::default(),
        faults: Mutex::default(),
    });
    open.retain(|_, library| library.strong_count() > 0);
    open.insert(key, Arc::downgrade(&shared));
    Ok(shared)
}

impl Shared {
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
        robot::read_counter(&self.changes).named(&self.dir)
    }

    /// A drive's place in this process, locked.
    pub fn drive_slot(&self, number: u16) -> Result<MutexGuard<'_, DriveSlot>> {
        let slot = self
            .drives
            .get(usize::from(number))
            .ok_or_else(|| Error::UnitUnknown { unit: format!("drive {number}") })?;
        Ok(unpoisoned(slot.lock()))
    }

    /// Counts one more handle of a drive; the first opens it.
    pub fn attach_drive(self: &Arc<Self>, number: u16) -> Result<()> {
        let mut slot = self.drive_slot(number)?;
        if slot.drive.is_none() {
            slot.drive = Some(Drive::open(self, number)?);
        }
        slot.handles += 1;
        Ok(())
    }

    /// Counts one handle less; the last closes the drive and leaves the tape where it stands.
    pub fn detach_drive(&self, number: u16) {
        let Ok(mut slot) = self.drive_slot(number) else { return };
        slot.handles = slot.handles.saturating_sub(1);
        if slot.handles == 0
            && let Some(drive) = slot.drive.take()
        {
            // Nobody is left to be told; what a failed flush lost was never promised, and the
            // next opening recovers the tape.
            let _ = drive.leave();
        }
    }

    /// The changer of this process.
    pub fn with_changer<R>(self: &Arc<Self>, work: impl FnOnce(&mut Changer) -> R) -> R {
        let mut changer = unpoisoned(self.changer.lock());
        work(changer.get_or_insert_with(|| Changer::new(self)))
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
