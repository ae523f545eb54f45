//! The library that a command means, and what is done with it: shared by `capstan mtx` and `capstan tape changer`.
//!
//! A tape must not be taken from under a job. A drive of the library that is configured is therefore locked as jobs
//! lock it before its tape is moved, and one that is in use is refused. What nobody configured nobody locks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use changer::{Changer, Place, Status, Step};
use pbs_tape::media::StateDir;
use pbs_tape::operations::export::Library;
use pbs_tape::station::{self, DriveStation};
use scsi::{Address, Connect as _};

use super::tape::station::{find_changer, find_drive, state};
use crate::config::{Places, Tape};
use crate::device::Devices;
use crate::progress::Bar;

/// How long is waited for a job that uses a drive.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// A library and how it is used.
pub struct Robot {
    state: Option<StateDir>,
    tape: Tape,
    /// Its name in the configuration.
    name: Option<String>,
    address: Address,
    export_slots: Vec<u64>,
    eject_before_unload: bool,
    bar: Arc<Bar>,
}

/// What to do.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Into a drive.
    Load { tape: Which, drive: u64 },
    /// Out of a drive.
    Unload { drive: u64, slot: Option<u64> },
    /// From slot to slot.
    Transfer { from: u64, to: u64 },
    /// To the import/export station.
    Export { tape: Which, drive: u64 },
    /// From the import/export station; all tapes in it without a slot.
    Import { slot: Option<u64>, to: Option<u64> },
    /// Another tape, in the order of the slots.
    Step { step: Step, drive: u64 },
    /// A drive.
    Clean { drive: u64 },
    /// What is in the arm.
    PutBack { slot: Option<u64> },
    /// The import/export station.
    Lock { lock: bool },
}

/// A tape.
#[derive(Debug, Clone)]
pub enum Which {
    /// In this slot.
    Slot(u64),
    /// With this bar code.
    Label(String),
}

/// What was done, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// A tape went into a drive; its slot, if it is known.
    Loaded { slot: Option<u64>, drive: u64 },
    /// A tape came out of a drive.
    Unloaded { drive: u64, slot: u64 },
    /// From slot to slot.
    Moved { from: u64, to: u64 },
    /// A drive was cleaned, in words; `still_requested`: it asks for it all the same.
    Cleaned { text: String, still_requested: bool },
    /// Something else, in words.
    Other(String),
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Loaded { slot: Some(slot), drive } => {
                write!(f, "loaded the cartridge of slot {slot} into drive {drive}")
            }
            Done::Loaded { slot: None, drive } => {
                write!(f, "the cartridge is in drive {drive} already")
            }
            Done::Unloaded { drive, slot } => {
                write!(f, "put the cartridge of drive {drive} into slot {slot}")
            }
            Done::Moved { from, to } => {
                write!(f, "moved the cartridge of slot {from} to slot {to}")
            }
            Done::Cleaned { text, .. } | Done::Other(text) => f.write_str(text),
        }
    }
}

impl Done {
    /// As `mtx` says it, where it has words for it.
    pub fn to_mtx_text(&self) -> Option<String> {
        Some(match self {
            Done::Loaded { slot: Some(slot), drive } => {
                format!("Loading media from Storage Element {slot} into drive {drive}...done")
            }
            Done::Unloaded { drive, slot } => {
                format!("Unloading drive {drive} into Storage Element {slot}...done")
            }
            Done::Loaded { slot: None, .. }
            | Done::Moved { .. }
            | Done::Cleaned { .. }
            | Done::Other(_) => return None,
        })
    }
}

impl Robot {
    /// The changer of this name, or the only one.
    pub fn named(places: &Places, name: Option<&str>) -> Result<Robot> {
        let tape: Tape = places.load()?;
        let name = match name {
            Some(name) => name.to_owned(),
            None => only_changer(&tape)?,
        };
        Robot::configured(places, tape, &name)
    }

    /// The changer at this address, as it is configured if it is.
    pub fn at(places: &Places, address: &str) -> Result<Robot> {
        let tape: Tape = places.load()?;
        let address = crate::device::absolute(address)?;
        let path = address.to_string();
        let known = tape.changer.iter().find(|(_, config)| config.path == path);
        if let Some(name) = known.map(|(name, _)| name.clone()) {
            return Robot::configured(places, tape, &name);
        }
        Ok(Robot {
            state: None,
            tape,
            name: None,
            address,
            export_slots: Vec::new(),
            eject_before_unload: false,
            bar: Arc::new(Bar::bytes("changer")),
        })
    }

    /// The changer that loads the drive of this name.
    pub fn of_drive(places: &Places, drive: &str) -> Result<Robot> {
        let tape: Tape = places.load()?;
        let changer = find_drive(&tape, Some(drive))?.changer;
        let name = changer.with_context(|| format!("drive '{drive}' has no changer"))?.name;
        Robot::configured(places, tape, &name)
    }

    fn configured(places: &Places, tape: Tape, name: &str) -> Result<Robot> {
        let config = find_changer(&tape, name)?;
        Ok(Robot {
            state: Some(state(places)?),
            tape,
            name: Some(config.name),
            address: config.address,
            export_slots: config.export_slots,
            eject_before_unload: config.eject_before_unload,
            bar: Arc::new(Bar::bytes("changer")),
        })
    }

    /// Its address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Opens it.
    pub fn open(&self) -> Result<Changer> {
        let bar = Arc::clone(&self.bar);
        let mut changer = Changer::open(Devices.connect(&self.address)?)?
            .with_export_slots(self.export_slots.clone())
            .with_abort(Box::new(move || bar.is_interrupted()));
        if let (Some(state), Some(name)) = (&self.state, &self.name) {
            changer = changer.with_cache(state.changer_status(name));
        }
        if self.eject_before_unload {
            let drives = self.drive_addresses()?;
            changer = changer.with_eject(Box::new(move |drive| match drives.get(&drive) {
                Some(address) => station::eject(&Devices, address),
                None => Err("it is not configured, so it cannot be told to; \
                             'capstan tape drive create' makes it known"
                    .to_owned()),
            }));
        }
        Ok(changer)
    }

    /// Addresses of the configured drives of this library, by their numbers in it.
    fn drive_addresses(&self) -> Result<BTreeMap<u64, Address>> {
        let own = self
            .tape
            .drive
            .values()
            .filter(|drive| self.name.is_some() && drive.changer == self.name);
        own.map(|drive| Ok((drive.changer_drivenum, drive.path.parse()?))).collect()
    }

    /// The lock of a drive of the library, if it is configured.
    fn lock_drive(&self, number: u64) -> Result<Option<DriveStation>> {
        let Some(state) = &self.state else { return Ok(None) };
        let found = self
            .tape
            .drive
            .iter()
            .find(|(_, drive)| drive.changer == self.name && drive.changer_drivenum == number);
        let Some((name, _)) = found else { return Ok(None) };
        let config = find_drive(&self.tape, Some(name))?;
        let progress: Arc<dyn datastore::Progress> = Arc::clone(&self.bar) as _;
        Ok(Some(DriveStation::open(state, config, Arc::new(Devices), progress, LOCK_WAIT)?))
    }

    /// What is where. `cached`: the last answer will do, if there is one.
    pub fn status(&self, cached: bool) -> Result<Status> {
        if cached
            && let (Some(state), Some(name)) = (&self.state, &self.name)
            && let Some(status) = state.changer_status(name).load()
        {
            return Ok(status);
        }
        let status = self.open()?.status()?;
        self.tell(&status);
        Ok(status)
    }

    /// Has the library look at everything, or at these slots.
    pub fn inventory(&self, slots: Option<(u64, u64)>) -> Result<Status> {
        let mut changer = self.open()?;
        let status = match slots {
            None => changer.inventory()?,
            Some((first, last)) => changer.inventory_slots(first, last)?,
        };
        self.tell(&status);
        Ok(status)
    }

    /// Sends the robot before a slot.
    pub fn position(&self, slot: u64) -> Result<()> {
        Ok(self.open()?.position(slot)?)
    }

    /// Lends the library to an operation on the inventory.
    pub fn lend<T>(&self, what: impl FnOnce(&mut Library<'_>) -> pbs_tape::Result<T>) -> Result<T> {
        let name = self.name.as_deref().context("the changer is not configured")?;
        let mut changer = self.open()?;
        let lock_drive = |number| {
            self.lock_drive(number).map_err(|e| {
                e.downcast().unwrap_or_else(|e| pbs_tape::Error::Unsupported(format!("{e:#}")))
            })
        };
        Ok(what(&mut Library { name, changer: &mut changer, lock_drive: &lock_drive })?)
    }

    /// Tells what is odd.
    pub fn tell(&self, status: &Status) {
        for warning in &status.warnings {
            self.bar.warn(warning);
        }
    }

    /// Does it.
    pub fn run(&self, operation: &Operation) -> Result<Vec<Done>> {
        let mut changer = self.open()?;
        let lock = match operation {
            Operation::Load { drive, .. }
            | Operation::Unload { drive, .. }
            | Operation::Step { drive, .. }
            | Operation::Clean { drive } => self.lock_drive(*drive)?,
            Operation::Export { drive, tape: Which::Label(_) } => self.lock_drive(*drive)?,
            Operation::Export { .. }
            | Operation::Transfer { .. }
            | Operation::Import { .. }
            | Operation::PutBack { .. }
            | Operation::Lock { .. } => None,
        };
        let done = match operation {
            Operation::Load { tape: Which::Slot(slot), drive } => {
                changer.load_slot(*slot, *drive)?;
                Done::Loaded { slot: Some(*slot), drive: *drive }
            }
            Operation::Load { tape: Which::Label(label), drive } => {
                let slot = match changer.find(label)? {
                    Some(Place::Slot(slot)) => Some(slot),
                    _ => None,
                };
                changer.load(label, *drive)?;
                Done::Loaded { slot, drive: *drive }
            }
            Operation::Unload { drive, slot } => {
                let status = changer.status()?;
                let slot = slot.or_else(|| status.slot_to_unload(*drive));
                changer.unload(*drive, slot)?;
                Done::Unloaded { drive: *drive, slot: slot.unwrap_or_default() }
            }
            Operation::Transfer { from, to } => {
                changer.transfer(*from, *to)?;
                Done::Moved { from: *from, to: *to }
            }
            Operation::Export { tape: Which::Slot(slot), .. } => {
                let status = changer.status()?;
                let Some(target) = status.first_free_slot(true) else {
                    bail!("changer {}: no free import/export slot", changer.name());
                };
                changer.transfer(*slot, target)?;
                Done::Moved { from: *slot, to: target }
            }
            Operation::Export { tape: Which::Label(label), drive } => {
                match changer.export(label, Some(*drive))? {
                    Some(slot) => {
                        Done::Other(format!("cartridge {label} is in import/export slot {slot}"))
                    }
                    None => bail!(
                        "changer {}: cartridge {label} is neither in a storage slot nor in drive {drive}",
                        changer.name()
                    ),
                }
            }
            Operation::Import { slot: Some(slot), to } => {
                let to = changer.import(*slot, *to)?;
                Done::Moved { from: *slot, to }
            }
            Operation::Import { slot: None, .. } => return import_all(&mut changer),
            Operation::Step { step, drive } => {
                let before = changer.status()?;
                let home = before.drive(*drive).and_then(|drive| drive.loaded_slot);
                let slot = changer.load_step(*step, *drive)?;
                let loaded = Done::Loaded { slot: Some(slot), drive: *drive };
                return Ok(match home {
                    Some(home) if home == slot => vec![Done::Loaded { slot: None, drive: *drive }],
                    Some(home) => vec![Done::Unloaded { drive: *drive, slot: home }, loaded],
                    None => vec![loaded],
                });
            }
            Operation::Clean { drive } => {
                return Ok(vec![self.clean(changer, lock.as_ref(), *drive)?]);
            }
            Operation::PutBack { slot } => Done::Other(match changer.put_back(*slot)? {
                Some(slot) => format!("put the cartridge of the arm into slot {slot}"),
                None => "the arm is empty".to_owned(),
            }),
            Operation::Lock { lock } => {
                changer.lock_station(*lock)?;
                let state = if *lock { "locked" } else { "unlocked" };
                Done::Other(format!("the import/export station is {state}"))
            }
        };
        Ok(vec![done])
    }

    /// Cleans a drive as 'tape clean' does if it is configured; of another one nobody can tell whether it helped.
    fn clean(
        &self,
        mut changer: Changer,
        locked: Option<&DriveStation>,
        number: u64,
    ) -> Result<Done> {
        let words = |label: &str, slot: u64| {
            format!("cleaned drive {number} with {label}, which is in slot {slot} again")
        };
        let Some(station) = locked else {
            let cleaned = changer.clean(number)?;
            return Ok(Done::Other(words(&cleaned.label, cleaned.slot)));
        };
        drop(changer);
        let cleaned = station.clean(None, &*self.bar)?;
        if cleaned.still_requested {
            self.bar.warn(&format!("drive {number} was cleaned and still asks for cleaning"));
        }
        let text = words(&cleaned.label_text, cleaned.slot);
        Ok(Done::Cleaned { text, still_requested: cleaned.still_requested })
    }
}

/// Brings everything in the station to storage slots, as long as there are free ones.
fn import_all(changer: &mut Changer) -> Result<Vec<Done>> {
    let status = changer.status()?;
    let full: Vec<u64> = status
        .numbered_slots()
        .filter(|(_, slot)| slot.import_export && !slot.status.is_empty())
        .map(|(number, _)| number)
        .collect();
    let mut done = Vec::new();
    for from in full {
        let to = changer.import(from, None)?;
        done.push(Done::Moved { from, to });
    }
    if done.is_empty() {
        done.push(Done::Other("nothing is in the import/export slots".to_owned()));
    }
    Ok(done)
}

fn only_changer(tape: &Tape) -> Result<String> {
    match tape.changer.keys().collect::<Vec<_>>().as_slice() {
        [only] => Ok((*only).clone()),
        [] => bail!("no changer is configured; 'capstan tape changer create' makes one"),
        _ => bail!("which changer? 'capstan tape changer list' shows the names"),
    }
}
