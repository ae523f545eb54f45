//! What is where: `robot.json`, the one truth that all processes share.
//!
//! [`Robot::lock`] takes an exclusive `flock` and reads the file; [`Robot::commit`] bumps the change
//! counter and replaces the file atomically; dropping the value releases the lock. The counter goes
//! first, so that whoever sees it unchanged may rely on what it read before (see the crate's header).
//! Locks are taken on a file opened for the purpose, so threads exclude each other like processes.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::config::LibraryConfig;
use crate::durable;
use crate::element::{ElementKind, KINDS, address_of};
use crate::error::{Error, Named, Result};
use crate::home::{Home, open_counter, read_counter};

/// Version of `robot.json`.
const VERSION: u32 = 1;

/// A cartridge in an element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Occupant {
    pub barcode: String,
    /// Address of the storage or import/export element it was last moved from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<u16>,
    /// The operator put it into the import/export slot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub imported: bool,
    /// In a drive: the number of this load, never used twice.
    #[serde(default)]
    pub load: u64,
}

impl Occupant {
    pub fn new(barcode: &str) -> Occupant {
        Occupant { barcode: barcode.into(), source: None, imported: false, load: 0 }
    }
}

/// What the changer still has to tell the programs of this machine, and the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingAttentions {
    /// Boot id of the machine when power on was last told, as text.
    #[serde(default)]
    pub power_on_told: String,
    /// The operator used the import/export station.
    #[serde(default)]
    pub station_accessed: bool,
    /// The operator changed the inventory otherwise.
    #[serde(default)]
    pub inventory_changed: bool,
    /// How often the station was used and the inventory changed, for hosts other than this
    /// machine: a process that serves some compares it with what it saw last.
    #[serde(default)]
    pub events: OperatorEvents,
}

/// Counts of what an operator did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OperatorEvents {
    pub station: u64,
    pub inventory: u64,
}

impl WaitingAttentions {
    /// The operator used the import/export station.
    pub fn note_station_accessed(&mut self) {
        self.station_accessed = true;
        self.events.station = self.events.station.wrapping_add(1);
    }

    /// The operator changed the inventory otherwise.
    pub fn note_inventory_changed(&mut self) {
        self.inventory_changed = true;
        self.events.inventory = self.events.inventory.wrapping_add(1);
    }
}

/// The content of `robot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RobotState {
    version: u32,
    /// Loads so far.
    pub loads: u64,
    pub drives: Vec<Option<Occupant>>,
    pub slots: Vec<Option<Occupant>>,
    pub import_export: Vec<Option<Occupant>>,
    /// What the robot's gripper holds: a move that stopped on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gripper: Option<Occupant>,
    /// PREVENT ALLOW: this machine has locked the import/export station.
    #[serde(default)]
    pub station_locked: bool,
    /// The door of the import/export station is open.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub station_open: bool,
    /// Cartridges that an operator took out; their folders are still there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub shelf: BTreeSet<String>,
    #[serde(default)]
    pub attentions: WaitingAttentions,
    /// TapeAlert flags of the changer, flag 1 most significant.
    #[serde(default)]
    pub alerts: u64,
}

impl RobotState {
    /// An empty library.
    pub fn new(config: &LibraryConfig) -> RobotState {
        RobotState {
            version: VERSION,
            loads: 0,
            drives: vec![None; config.drives.into()],
            slots: vec![None; config.slots.into()],
            import_export: vec![None; config.import_export.into()],
            gripper: None,
            station_locked: false,
            station_open: false,
            shelf: BTreeSet::new(),
            attentions: WaitingAttentions::default(),
            alerts: 0,
        }
    }

    fn elements(&self, kind: ElementKind) -> &[Option<Occupant>] {
        match kind {
            ElementKind::Transport => std::slice::from_ref(&self.gripper),
            ElementKind::Slot => &self.slots,
            ElementKind::ImportExport => &self.import_export,
            ElementKind::Drive => &self.drives,
        }
    }

    /// An operator did something in the import/export station. Hosts are told when its door is closed.
    pub fn note_station_used(&mut self) {
        if !self.station_open {
            self.attentions.note_station_accessed();
        }
    }

    /// What is in an element.
    pub fn occupant(&self, kind: ElementKind, number: u16) -> Option<&Occupant> {
        self.elements(kind).get(usize::from(number))?.as_ref()
    }

    /// The place of an element; `None` for numbers that do not exist.
    pub fn place(&mut self, kind: ElementKind, number: u16) -> Option<&mut Option<Occupant>> {
        let elements = match kind {
            ElementKind::Transport => return (number == 0).then_some(&mut self.gripper),
            ElementKind::Slot => &mut self.slots,
            ElementKind::ImportExport => &mut self.import_export,
            ElementKind::Drive => &mut self.drives,
        };
        elements.get_mut(usize::from(number))
    }

    /// Where a cartridge is.
    pub fn find(&self, barcode: &str) -> Option<(ElementKind, u16)> {
        KINDS.into_iter().find_map(|kind| {
            let index = self.elements(kind).iter().position(|element| {
                element.as_ref().is_some_and(|occupant| occupant.barcode == barcode)
            })?;
            Some((kind, u16::try_from(index).ok()?))
        })
    }

    /// The first empty element of a kind.
    pub fn first_free(&self, kind: ElementKind) -> Option<u16> {
        let index = self.elements(kind).iter().position(Option::is_none)?;
        u16::try_from(index).ok()
    }
}

/// How many elements of a kind a library has.
pub(crate) fn count_of(config: &LibraryConfig, kind: ElementKind) -> u16 {
    match kind {
        ElementKind::Transport => 1,
        ElementKind::Slot => config.slots,
        ElementKind::ImportExport => config.import_export,
        ElementKind::Drive => config.drives,
    }
}

/// The element at an address.
pub(crate) fn element_at(config: &LibraryConfig, address: u16) -> Option<(ElementKind, u16)> {
    KINDS.into_iter().find_map(|kind| {
        let number = address.checked_sub(address_of(kind, 0))?;
        (number < count_of(config, kind)).then_some((kind, number))
    })
}

/// The robot's state, held exclusively.
pub(crate) struct Robot {
    pub state: RobotState,
    read: RobotState,
    path: std::path::PathBuf,
    counter: File,
    changes: u64,
    _lock: Flock<File>,
}

impl Robot {
    /// Waits for the robot and reads its state.
    pub fn lock(home: &Home) -> Result<Robot> {
        let path = home.dir().join("robot.lock");
        let file = durable::open_lock_file(&path)?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno).named(&path)?;
        let path = home.dir().join("robot.json");
        let state: RobotState = durable::read_json(&path)?;
        let config = home.config();
        let fits = state.version == VERSION
            && state.drives.len() == usize::from(config.drives)
            && state.slots.len() == usize::from(config.slots)
            && state.import_export.len() == usize::from(config.import_export);
        if !fits {
            return Err(Error::Malformed {
                path,
                reason: "its version or elements are not those of library.json".into(),
            });
        }
        let counter = open_counter(home.dir())?;
        let changes = read_counter(&counter).named(&path)?;
        Ok(Robot { read: state.clone(), state, path, counter, changes, _lock: lock })
    }

    /// The change counter as of this state.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Makes every unit look at the library's folder before its next command.
    pub fn announce(&mut self) -> Result<()> {
        self.changes = self.changes.wrapping_add(1);
        self.counter.write_all_at(&self.changes.to_le_bytes(), 0).named(&self.path)
    }

    /// Makes changes to the state durable and visible.
    pub fn commit(&mut self) -> Result<()> {
        if self.state == self.read {
            return Ok(());
        }
        self.announce()?;
        durable::replace_json(&self.path, &self.state)?;
        self.read = self.state.clone();
        Ok(())
    }
}
