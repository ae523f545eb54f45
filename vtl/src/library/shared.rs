//! What all handles of a process to one library share, and the list that makes them share it.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use crate::changer::Changer;
use crate::config::LibraryConfig;
use crate::drive::Drive;
use crate::drive::slots::Drives;
use crate::error::{Error, Named, Result};
use crate::home::{Home, unpoisoned};
use crate::unit::{Done, Nexus, Stop};

/// One library in this process.
pub(crate) struct Shared {
    home: Arc<Home>,
    drives: Arc<Drives>,
    /// The changer once it was used, and with it this library: what waits in the changer's memory is
    /// told to whoever opens the library next in this process, so both stay until the process ends.
    changer: Mutex<Option<(Changer, Arc<Shared>)>>,
    /// Initiator ports that have a session.
    sessions: Mutex<BTreeSet<Nexus>>,
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
        if *shared.home.config() == config {
            return Ok(shared);
        }
    }
    let home = Arc::new(Home::open(dir, config)?);
    let drives = Arc::new(Drives::new(&home));
    let shared =
        Arc::new(Shared { home, drives, changer: Mutex::default(), sessions: Mutex::default() });
    open.retain(|_, library| library.strong_count() > 0);
    open.insert(key, Arc::downgrade(&shared));
    Ok(shared)
}

impl Shared {
    /// The library's folder.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// The library's drives.
    pub fn drives(&self) -> &Drives {
        &self.drives
    }

    /// Does something that is no command with a drive that a handle of this process keeps open.
    pub fn on_drive(&self, number: u16, work: impl FnOnce(&mut Drive) -> Done) -> Result<()> {
        let mut slot = self.drives.slot(number)?;
        match slot.drive_mut() {
            Some(drive) => work(drive).map_err(|stop| self.failed(stop)),
            None => Err(Error::UnitUnknown { unit: format!("drive {number}") }),
        }
    }

    /// Somebody put a cartridge into a drive.
    pub fn drive_was_loaded(&self, number: u16) -> Result<()> {
        let mut slot = self.drives.slot(number)?;
        slot.notice_robot(&self.home, number).map_err(|stop| self.failed(stop))
    }

    /// Does something with the changer that is no command.
    pub fn on_changer(self: &Arc<Self>, work: impl FnOnce(&mut Changer) -> Done) -> Result<()> {
        self.with_changer(work)?.map_err(|stop| self.failed(stop))
    }

    /// What kept a unit from doing something that is no command.
    pub fn failed(&self, stop: Stop) -> Error {
        let source = match stop {
            Stop::Host(source) => source,
            Stop::Check(sense) => std::io::Error::other(sense.to_string()),
            Stop::Conflict => std::io::Error::other("reservation conflict"),
            Stop::Status(status) => std::io::Error::other(format!("status {status:?}")),
            Stop::NoAnswer => std::io::Error::other("the unit does not answer"),
        };
        Error::Io { path: self.home.dir().to_path_buf(), source }
    }

    /// Initiator ports that have a session.
    pub fn sessions(&self) -> MutexGuard<'_, BTreeSet<Nexus>> {
        unpoisoned(self.sessions.lock())
    }

    /// The changer of this process.
    pub fn with_changer<R>(self: &Arc<Self>, work: impl FnOnce(&mut Changer) -> R) -> Result<R> {
        let mut changer = unpoisoned(self.changer.lock());
        let opened = match changer.take() {
            Some(opened) => opened,
            None => (Changer::new(&self.home, &self.drives)?, Arc::clone(self)),
        };
        let (changer, _) = changer.insert(opened);
        Ok(work(changer))
    }
}
