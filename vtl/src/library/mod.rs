//! The door: a library in a folder.
//!
//! | path in the folder | content |
//! |---|---|
//! | `library.json` | what the library is; written once |
//! | `robot.json`, `robot.lock`, `robot.changes` | what is where, its lock, its change counter |
//! | `station.lock` | held while a session has locked the import/export station |
//! | `driveN/lock`, `driveN/state` | who has drive N open; what it remembers |
//! | `faults.plan`, `faults.counts` | faults on demand, see [`crate::faults`] |
//! | `cartridges/BARCODE/` | a cartridge, see [`crate::cartridge`] |

mod attachment;
mod create;
mod handle;
mod host_session;
mod interchange;
mod operator;
mod shared;
mod station;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use scsi::Transport;
use serde::Serialize;

pub use create::Options;
pub(crate) use handle::Ended;
pub use handle::{ChangerUnit, DriveUnit};
pub(crate) use host_session::HostReference;
pub use host_session::HostSession;
pub use interchange::{ImportOptions, InterchangeReport};
pub use station::ByHand;

use crate::clock::{Clock, Lane};
use crate::config::LibraryConfig;
use crate::drive::Drive;
use crate::element::ElementKind;
use crate::encryption_control::EncryptionControl;
use crate::error::{Error, Result};
use crate::faults::{self, FaultPlan, RuleStatus};
use crate::robot::Robot;
use crate::streaming::StreamingReport;
use crate::unit::Nexus;
use crate::unit::name::Unit;
use shared::Shared;

/// An element and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedElement {
    /// Kind.
    pub kind: ElementKind,
    /// Number within its kind, from 0 for drives, from 1 for slots (as operators count them).
    pub number: u16,
    /// Element address.
    pub address: u16,
    /// Bar code of the cartridge in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barcode: Option<String>,
    /// Data bytes on the cartridge, as of when it was last closed or its index brought up to date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
    /// Data bytes until the cartridge's hard end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    /// The cartridge is write protected.
    pub write_protected: bool,
}

/// What is where, for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LibraryListing {
    /// Generation of the drives.
    pub generation: crate::Generation,
    /// Serial number of the changer.
    pub serial: String,
    /// Drives, slots, import/export slots.
    pub elements: Vec<ListedElement>,
    /// The door of the import/export station is open.
    pub station_open: bool,
    /// Bar codes of cartridges that were taken out by hand and can be put in again.
    pub shelf: Vec<String>,
}

/// An emulated library in a folder.
///
/// ```
/// use std::time::Duration;
/// use scsi::{Data, Transport};
/// use vtl::{Library, Options};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// let library = Library::create(&dir.path().join("library"), &Options::default())?;
/// let mut changer = library.changer()?;
/// let minute = Duration::from_secs(60);
/// // TEST UNIT READY takes the unit attention of the power on.
/// changer.execute(&[0; 6], Data::None, minute)?;
/// // MOVE MEDIUM from the first slot to the first drive.
/// let cdb = [0xa5, 0, 0, 0, 0x04, 0x00, 0x01, 0x00, 0, 0, 0, 0];
/// changer.execute(&cdb, Data::None, minute)?.into_result(&cdb)?;
/// assert_eq!(library.list()?.elements[0].barcode.as_deref(), Some("CAP001L8"));
/// # Ok(())
/// # }
/// ```
///
/// Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Library {
    shared: Arc<Shared>,
    /// The folder as the user named it, for messages.
    dir: PathBuf,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("dir", &self.dir).finish()
    }
}

impl Library {
    /// Creates a library with its cartridges in a new or empty folder.
    pub fn create(dir: &Path, options: &Options) -> Result<Library> {
        create::create(dir, options)?;
        Library::open(dir)
    }

    /// Opens the library in a folder. Handles in one process share their state.
    pub fn open(dir: &Path) -> Result<Library> {
        Ok(Library { shared: shared::open(dir)?, dir: dir.to_path_buf() })
    }

    /// The library's folder, as it was named when opened.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many drives there are.
    pub fn drives(&self) -> u16 {
        self.shared.home().config().drives
    }

    /// The library's time in this process. A host in the same process tells the virtual clock what time it
    /// spent itself: `library.clock().advance(…)`.
    pub fn clock(&self) -> &Clock {
        self.shared.home().clock()
    }

    /// A course of time for a host that works on several units at once: beginning now, beside the library's
    /// ([`crate::clock`]). [`DriveUnit::in_lane`] and [`ChangerUnit::in_lane`] put handles into it.
    pub fn lane(&self) -> Lane {
        Lane::new(self.shared.home().clock())
    }

    /// How a drive streamed since the library was opened in this process: back-hitches, speeds, waits. All zero on a library
    /// that keeps no time.
    ///
    /// # Errors
    ///
    /// There is no drive of this number.
    pub fn streaming(&self, drive: u16) -> Result<StreamingReport> {
        Ok(self.shared.drives().slot(drive)?.streaming())
    }

    pub(crate) fn config(&self) -> &LibraryConfig {
        self.shared.home().config()
    }

    /// Makes durable what was written to the tape in a drive that this process has open.
    pub(crate) fn flush_drive(&self, number: u16) -> Result<()> {
        self.shared.on_drive(number, Drive::flush)
    }

    /// A handle to a drive, numbered from 0. Fails if another process has it open.
    pub fn drive(&self, number: u16) -> Result<DriveUnit> {
        DriveUnit::open(&self.shared, &self.dir, number, Nexus::LOCAL, None)
    }

    /// A handle to the changer.
    pub fn changer(&self) -> Result<ChangerUnit> {
        Ok(ChangerUnit::new(&self.shared, &self.dir, Nexus::LOCAL, None))
    }

    /// Says who is in charge of encryption in this process: hosts (the default), or the library itself,
    /// as libraries with a key manager are. The drives notice at their next command.
    pub fn set_encryption_control(&self, control: EncryptionControl) {
        self.shared.home().set_encryption_control(control);
    }

    /// Sets what goes wrong for the handles of this process, or nothing.
    pub fn set_faults(&self, plan: Option<FaultPlan>) {
        self.shared.home().faults().set(plan);
    }

    /// Writes a plan of faults into the library's folder, in place of one that is there. It is in force
    /// for every process from its next command on.
    pub fn store_faults(&self, plan: &FaultPlan) -> Result<()> {
        let home = self.shared.home();
        let mut robot = Robot::lock(home)?;
        faults::set(home.dir(), plan)?;
        robot.announce()
    }

    /// Takes the plan of faults out of the library's folder.
    pub fn clear_stored_faults(&self) -> Result<()> {
        let home = self.shared.home();
        let mut robot = Robot::lock(home)?;
        faults::clear(home.dir())?;
        robot.announce()
    }

    /// The rules of the plan in the library's folder, and how often each took effect.
    pub fn stored_faults(&self) -> Result<Vec<RuleStatus>> {
        faults::list(self.shared.home().dir())
    }
}

/// Opens one unit of the library in a folder, for [`scsi::Connect`].
///
/// # Errors
///
/// [`scsi::Error::Open`] says what is wrong with the library, or that the drive is in use.
pub fn open_unit(
    dir: &Path,
    unit: impl Into<Unit>,
) -> std::result::Result<Box<dyn Transport>, scsi::Error> {
    let unit = unit.into();
    let open = || -> Result<Box<dyn Transport>> {
        let library = Library::open(dir)?;
        Ok(match unit {
            Unit::Drive(number) => Box::new(library.drive(number)?),
            Unit::Changer => Box::new(library.changer()?),
        })
    };
    open().map_err(|error: Error| scsi::Error::Open {
        device: handle::name(dir, unit),
        reason: error.to_string(),
    })
}
