//! The host's power: after so many commands nothing reaches a device any more, and the state folder is kept as it
//! was at that moment, for the host to start again with.
//!
//! Between two commands a job has finished what it does to its files, so a copy then is what a host finds that
//! was switched off there; files that were written and not synchronised are the state folder's own tests' matter.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use scsi::{Data, Error, Reply, Transport};
use tempfile::TempDir;

use crate::common::copy_folder;

enum Supply {
    On,
    /// Commands until it goes.
    Until(u64),
    Gone,
}

/// Power of one host, shared by its ways to devices.
pub struct Power {
    state: PathBuf,
    copy: PathBuf,
    supply: Mutex<Supply>,
}

impl Power {
    /// Of the host whose state folder is in `folder`.
    pub fn new(folder: &TempDir) -> Power {
        let (state, copy) = (folder.path().join("state"), folder.path().join("state-at-cut"));
        Power { state, copy, supply: Mutex::new(Supply::On) }
    }

    pub fn cut_after(&self, commands: u64) {
        *self.supply.lock().unwrap() = Supply::Until(commands);
    }

    /// Power is back. True if it was gone; the state folder is then what it was when it went.
    pub fn restore(&self, state: &Path) -> bool {
        let before = std::mem::replace(&mut *self.supply.lock().unwrap(), Supply::On);
        let was_gone = matches!(before, Supply::Gone);
        if was_gone {
            std::fs::remove_dir_all(state).unwrap();
            std::fs::rename(&self.copy, state).unwrap();
        }
        was_gone
    }

    fn is_on(&self) -> bool {
        let mut supply = self.supply.lock().unwrap();
        match &mut *supply {
            Supply::On => true,
            Supply::Gone => false,
            Supply::Until(0) => {
                copy_folder(&self.state, &self.copy);
                *supply = Supply::Gone;
                false
            }
            Supply::Until(left) => {
                *left -= 1;
                true
            }
        }
    }
}

/// A device of the host.
pub struct Powered<T> {
    pub unit: T,
    pub power: std::sync::Arc<Power>,
}

impl<T: Transport> Transport for Powered<T> {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        if self.power.is_on() {
            return self.unit.execute(cdb, data, timeout);
        }
        let device = self.unit.name().to_owned();
        Err(Error::Transport { device, reason: "the host has no power".into() })
    }

    fn name(&self) -> &str {
        self.unit.name()
    }
}
