//! The operator's hands at the library: the station's door, and cartridges that come and go.
//!
//! A cartridge that is taken out lies on the *shelf* beside the library: its folder stays where it is, no unit sees it, and
//! it can be put in again, with everything that is recorded on it. That is what offsite storage is made of.
//!
//! All of it is a change of `robot.json` under the robot's lock, as every move of the robot is, so it works while other
//! processes use or serve the library. What a host is told:
//!
//! | done by hand | told |
//! |---|---|
//! | station opened | its elements have ACCESS=0, moves to and from them are refused (2/3A/02) |
//! | station closed | 6/28/01 once for each host; what was put in has ImpExp |
//! | cartridge put into or taken from the station while it is closed | as opening, doing it, and closing |
//! | the same with a storage slot (the library's door) | 6/28/00 of the changer |
//! | cartridge put into a drive | as if the robot had: the drive threads it, then 6/28/00 of the drive |
//! | cartridge taken from a drive | nothing; only what the drive has ejected can be taken |
//!
//! A host that has locked the station (PREVENT MEDIUM REMOVAL) keeps the door closed. A door that is open already is not
//! affected.

use super::Library;
use crate::barcode::{self, Kind};
use crate::cartridge::Cartridge;
use crate::changer;
use crate::drive::RecordFile;
use crate::element::ElementKind;
use crate::error::{Error, Result};
use crate::robot::{Occupant, Robot};

/// Where an operator puts a cartridge. Numbers are those of [`super::ListedElement`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByHand {
    /// The first free place of the import/export station.
    Station,
    /// A place of the import/export station, from 1.
    StationSlot(u16),
    /// A storage slot, from 1.
    Slot(u16),
    /// A drive, from 0.
    Drive(u16),
}

impl Library {
    /// Opens the door of the import/export station. One that is open stays so.
    pub fn open_station(&self) -> Result<()> {
        let mut robot = Robot::lock(self.shared.home())?;
        if robot.state.import_export.is_empty() {
            return Err(Error::UnitUnknown { unit: "import/export station".into() });
        }
        self.refuse_locked_station(&robot, "the station")?;
        robot.state.station_open = true;
        robot.commit()
    }

    /// Closes the door of the import/export station, and every host is told that it was used.
    pub fn close_station(&self) -> Result<()> {
        let mut robot = Robot::lock(self.shared.home())?;
        if robot.state.station_open {
            robot.state.station_open = false;
            robot.state.attentions.note_station_accessed();
        }
        robot.commit()
    }

    /// Puts a cartridge in by hand: one from the shelf, or a new, blank one where nobody knows the bar code. Where it
    /// is now, with the number within its kind.
    ///
    /// # Errors
    ///
    /// [`Error::CartridgeExists`] if it is in the library, [`Error::Occupied`] and [`Error::NoFreeElement`] without
    /// room, [`Error::UnitUnknown`] for a place that is not there, [`Error::CartridgeBusy`] if a host has locked the
    /// station.
    pub fn put_in(
        &self,
        barcode: &str,
        place: ByHand,
        capacity_bytes: Option<u64>,
    ) -> Result<(ElementKind, u16)> {
        let home = self.shared.home();
        let mut robot = Robot::lock(home)?;
        if robot.state.find(barcode).is_some() {
            return Err(Error::CartridgeExists { barcode: barcode.into() });
        }
        let (kind, number) = free_place(&mut robot, place)?;
        if kind == ElementKind::ImportExport {
            self.refuse_locked_station(&robot, barcode)?;
        }
        if !robot.state.shelf.remove(barcode) {
            let state = self.blank(barcode, capacity_bytes)?;
            self.make_cartridge(&robot, &state)?;
        }
        let mut occupant = Occupant::new(barcode);
        match kind {
            ElementKind::ImportExport => {
                occupant.imported = true;
                robot.state.note_station_used();
            }
            ElementKind::Drive => {
                robot.state.loads += 1;
                occupant.load = robot.state.loads;
                let folder = home.cartridge_folder(barcode);
                let noted = changer::note_load(home, &folder, number);
                noted.map_err(|stop| self.shared.failed(stop))?;
            }
            ElementKind::Slot | ElementKind::Transport => {
                robot.state.attentions.note_inventory_changed();
            }
        }
        if let Some(place) = robot.state.place(kind, number) {
            *place = Some(occupant);
        }
        robot.commit()?;
        drop(robot);
        if kind == ElementKind::Drive {
            if matches!(barcode::classify(barcode), Ok(Kind::Cleaning)) {
                // The drive cleans by itself, whether or not a program looks at it.
                self.shared.drive_was_loaded(number)?;
            }
            return Ok((kind, number));
        }
        Ok((kind, number + 1))
    }

    /// Takes a cartridge out by hand and puts it on the shelf. One in a drive must have been ejected.
    pub fn take_out(&self, barcode: &str) -> Result<()> {
        let home = self.shared.home();
        let mut robot = Robot::lock(home)?;
        let unknown = || Error::CartridgeUnknown { barcode: barcode.into() };
        if robot.state.shelf.contains(barcode) {
            return Err(busy(barcode, "the cartridge is on the shelf already"));
        }
        let (kind, number) = robot.state.find(barcode).ok_or_else(unknown)?;
        match kind {
            ElementKind::Drive => {
                let load = robot.state.occupant(kind, number).map(|occupant| occupant.load);
                let record = RecordFile::peek(&home.drive_folder(number));
                let is_ejected = record.is_some_and(|record| {
                    record.unloaded && !record.prevented && Some(record.load) == load
                });
                if !is_ejected {
                    return Err(busy(
                        barcode,
                        "the drive holds it; eject it first ('capstan mt eject')",
                    ));
                }
            }
            ElementKind::ImportExport => self.refuse_locked_station(&robot, barcode)?,
            ElementKind::Slot | ElementKind::Transport => {}
        }
        // Nobody has it open, and nobody opens it until this is done.
        let Some(_lock) = Cartridge::try_lock(&home.cartridge_folder(barcode))? else {
            return Err(busy(barcode, "the cartridge is in use elsewhere; try again later"));
        };
        robot.state.place(kind, number).and_then(Option::take).ok_or_else(unknown)?;
        robot.state.shelf.insert(barcode.to_owned());
        match kind {
            ElementKind::ImportExport => robot.state.note_station_used(),
            ElementKind::Drive => {}
            ElementKind::Slot | ElementKind::Transport => {
                robot.state.attentions.note_inventory_changed();
            }
        }
        robot.commit()
    }
}

fn busy(barcode: &str, reason: &str) -> Error {
    Error::CartridgeBusy { barcode: barcode.into(), reason: reason.into() }
}

/// The element that an operator means, if it is free. Its number counts from 0.
fn free_place(robot: &mut Robot, place: ByHand) -> Result<(ElementKind, u16)> {
    let (kind, number, name) = match place {
        ByHand::Station => {
            let kind = ElementKind::ImportExport;
            let free = robot.state.first_free(kind);
            let number = free.ok_or(Error::NoFreeElement { kind: "import/export slot" })?;
            return Ok((kind, number));
        }
        ByHand::StationSlot(number) => (
            ElementKind::ImportExport,
            number.checked_sub(1),
            format!("import/export slot {number}"),
        ),
        ByHand::Slot(number) => {
            (ElementKind::Slot, number.checked_sub(1), format!("slot {number}"))
        }
        ByHand::Drive(number) => (ElementKind::Drive, Some(number), format!("drive {number}")),
    };
    let Some(number) = number else { return Err(Error::UnitUnknown { unit: name }) };
    match robot.state.place(kind, number) {
        None => Err(Error::UnitUnknown { unit: name }),
        Some(None) => Ok((kind, number)),
        Some(Some(occupant)) => {
            Err(Error::Occupied { place: name, barcode: occupant.barcode.clone() })
        }
    }
}
