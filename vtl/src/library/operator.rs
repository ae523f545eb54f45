//! What an operator does at the library: looks, adds and removes cartridges, uses the import/export
//! station, sets write-protect tabs, has a cartridge checked.

use std::fs;

use super::{Library, LibraryListing, ListedElement};
use crate::barcode;
use crate::cartridge::{Cartridge, CartridgeState, CheckReport, DumpReport};
use crate::changer::StationLock;
use crate::drive::RecordFile;
use crate::durable;
use crate::element::{ElementKind, address_of};
use crate::error::{Error, Named, Result};
use crate::identity::library_serial;
use crate::progress::Progress;
use crate::robot::{Occupant, Robot, count_of};

impl Library {
    /// What is where.
    pub fn list(&self) -> Result<LibraryListing> {
        let config = self.shared.home().config();
        let robot = Robot::lock(self.shared.home())?;
        let mut elements = Vec::new();
        // The gripper is worth a line only if something is stuck in it.
        let gripper = robot.state.gripper.as_ref().map(|_| ElementKind::Transport);
        let kinds = [ElementKind::Drive, ElementKind::Slot, ElementKind::ImportExport];
        for kind in kinds.into_iter().chain(gripper) {
            for number in 0..count_of(config, kind) {
                let occupant = robot.state.occupant(kind, number);
                let mut element = ListedElement {
                    kind,
                    number: if kind == ElementKind::Drive { number } else { number + 1 },
                    address: address_of(kind, number),
                    barcode: occupant.map(|occupant| occupant.barcode.clone()),
                    used_bytes: None,
                    capacity_bytes: None,
                    write_protected: false,
                };
                if let Some(occupant) = occupant {
                    let folder = self.shared.home().cartridge_folder(&occupant.barcode);
                    // A cartridge whose memory is damaged is still listed.
                    if let Ok(state) = CartridgeState::read(&folder) {
                        element.capacity_bytes = Some(state.capacity_bytes);
                        element.write_protected = state.write_protected;
                        element.used_bytes = Cartridge::recorded_bytes(&folder, &state);
                    }
                }
                elements.push(element);
            }
        }
        let serial = library_serial(config);
        Ok(LibraryListing {
            generation: config.generation,
            serial,
            elements,
            station_open: robot.state.station_open,
            shelf: robot.state.shelf.iter().cloned().collect(),
        })
    }

    /// Makes a blank cartridge and puts it into the first free slot.
    pub fn add_cartridge(&self, barcode: &str, capacity_bytes: Option<u64>) -> Result<()> {
        let state = self.blank(barcode, capacity_bytes)?;
        let mut robot = Robot::lock(self.shared.home())?;
        self.place_new(&mut robot, &state, ElementKind::Slot)?;
        robot.state.attentions.note_inventory_changed();
        robot.commit()
    }

    /// Puts a new, blank cartridge into the import/export station, as an operator does.
    pub fn insert_cartridge(&self, barcode: &str, capacity_bytes: Option<u64>) -> Result<()> {
        let state = self.blank(barcode, capacity_bytes)?;
        let mut robot = Robot::lock(self.shared.home())?;
        self.refuse_locked_station(&robot, barcode)?;
        let number = self.place_new(&mut robot, &state, ElementKind::ImportExport)?;
        if let Some(Some(occupant)) = robot.state.place(ElementKind::ImportExport, number) {
            occupant.imported = true;
        }
        robot.state.note_station_used();
        robot.commit()
    }

    /// Moves a cartridge by hand from its slot into the import/export station.
    pub fn put_into_station(&self, barcode: &str) -> Result<()> {
        self.move_by_hand(barcode, ElementKind::Slot, ElementKind::ImportExport)
    }

    /// Moves a cartridge by hand from the import/export station into the first free slot.
    pub fn take_from_station(&self, barcode: &str) -> Result<()> {
        self.move_by_hand(barcode, ElementKind::ImportExport, ElementKind::Slot)
    }

    /// Removes a cartridge from the library and destroys what is on it. It must lie in a slot or
    /// the import/export station.
    pub fn remove_cartridge(&self, barcode: &str) -> Result<()> {
        let mut robot = Robot::lock(self.shared.home())?;
        let (kind, number) = self.out_of_drive(&robot, barcode)?;
        let folder = self.shared.home().cartridge_folder(barcode);
        let Some(lock) = Cartridge::try_lock(&folder)? else {
            return Err(in_use(barcode));
        };
        if let Some(place) = robot.state.place(kind, number) {
            *place = None;
        }
        if kind == ElementKind::ImportExport {
            robot.state.note_station_used();
        } else {
            robot.state.attentions.note_inventory_changed();
        }
        robot.commit()?;
        drop(lock);
        fs::remove_dir_all(&folder).named(&folder)?;
        durable::sync_folder(&folder)
    }

    /// Moves a cartridge's write-protect tab. It must not be in a drive.
    pub fn set_write_protected(&self, barcode: &str, write_protected: bool) -> Result<()> {
        self.with_cartridge(barcode, |cartridge| {
            cartridge.state.write_protected = write_protected;
            cartridge.save()
        })
    }

    /// Reads a whole cartridge and tells which objects are damaged. It must not be in a drive.
    pub fn check_cartridge(&self, barcode: &str, progress: &dyn Progress) -> Result<CheckReport> {
        self.with_cartridge(barcode, |cartridge| cartridge.check(progress))
    }

    /// Reads a whole cartridge and tells what lies on it, object by object. It must not be in a drive.
    pub fn dump_cartridge(&self, barcode: &str, progress: &dyn Progress) -> Result<DumpReport> {
        self.with_cartridge(barcode, |cartridge| cartridge.dump(progress))
    }

    /// The bar codes of all cartridges, sorted.
    pub fn cartridges(&self) -> Result<Vec<String>> {
        let mut barcodes: Vec<String> =
            self.list()?.elements.into_iter().filter_map(|element| element.barcode).collect();
        barcodes.sort_unstable();
        Ok(barcodes)
    }

    /// Works on a cartridge that no drive holds, and closes it. The robot's lock is held only until
    /// the cartridge's own is taken, so the library goes on meanwhile.
    pub(super) fn with_cartridge<R>(
        &self,
        barcode: &str,
        work: impl FnOnce(&mut Cartridge) -> Result<R>,
    ) -> Result<R> {
        let robot = Robot::lock(self.shared.home())?;
        if !robot.state.shelf.contains(barcode) {
            self.out_of_drive(&robot, barcode)?;
        }
        let mut cartridge = Cartridge::open(&self.shared.home().cartridge_folder(barcode))?;
        drop(robot);
        let result = work(&mut cartridge)?;
        cartridge.close()?;
        Ok(result)
    }

    /// Where a cartridge is, if that is no drive that may use it. An unloaded cartridge in a drive
    /// counts as in the drive: only the robot takes it out.
    pub(super) fn out_of_drive(&self, robot: &Robot, barcode: &str) -> Result<(ElementKind, u16)> {
        let (kind, number) = robot
            .state
            .find(barcode)
            .ok_or_else(|| Error::CartridgeUnknown { barcode: barcode.into() })?;
        if kind == ElementKind::Drive {
            let unloaded = RecordFile::peek(&self.shared.home().drive_folder(number))
                .is_some_and(|record| record.unloaded);
            let state = if unloaded { "unloaded in" } else { "in" };
            return Err(Error::CartridgeBusy {
                barcode: barcode.into(),
                reason: format!("the cartridge is {state} drive {number}; move it to a slot first"),
            });
        }
        Ok((kind, number))
    }

    /// The memory of a blank cartridge as this library's drives take it.
    pub(super) fn blank(
        &self,
        barcode: &str,
        capacity_bytes: Option<u64>,
    ) -> Result<CartridgeState> {
        let config = self.shared.home().config();
        CartridgeState::new(barcode, config.generation, capacity_bytes.or(config.capacity_bytes))
    }

    /// Creates a cartridge and notes its place in an element of a kind; the caller commits.
    pub(super) fn place_new(
        &self,
        robot: &mut Robot,
        state: &CartridgeState,
        kind: ElementKind,
    ) -> Result<u16> {
        if robot.state.find(&state.barcode).is_some() || robot.state.shelf.contains(&state.barcode)
        {
            return Err(Error::CartridgeExists { barcode: state.barcode.clone() });
        }
        let number = first_free(robot, kind)?;
        self.make_cartridge(robot, state)?;
        if let Some(place) = robot.state.place(kind, number) {
            *place = Some(Occupant::new(&state.barcode));
        }
        Ok(number)
    }

    /// Makes the folder of a cartridge that the robot does not know.
    pub(super) fn make_cartridge(&self, _: &Robot, state: &CartridgeState) -> Result<()> {
        barcode::classify(&state.barcode)?;
        let folder = self.shared.home().cartridge_folder(&state.barcode);
        // A folder that the robot does not know is what a crash left before its place was noted.
        if folder.exists() {
            fs::remove_dir_all(&folder).named(&folder)?;
        }
        Cartridge::create(&folder, state)
    }

    /// Moves a cartridge into the first free element of the other kind, through the station's door.
    fn move_by_hand(&self, barcode: &str, from: ElementKind, to: ElementKind) -> Result<()> {
        let mut robot = Robot::lock(self.shared.home())?;
        self.refuse_locked_station(&robot, barcode)?;
        let number = first_free(&robot, to)?;
        let mut occupant = self.pick(&mut robot, barcode, from)?;
        occupant.imported = to == ElementKind::ImportExport;
        occupant.source = None;
        if let Some(place) = robot.state.place(to, number) {
            *place = Some(occupant);
        }
        robot.state.note_station_used();
        robot.commit()
    }

    fn pick(&self, robot: &mut Robot, barcode: &str, from: ElementKind) -> Result<Occupant> {
        let (kind, number) = self.out_of_drive(robot, barcode)?;
        if kind != from {
            let reason = match from {
                ElementKind::Slot => "the cartridge is in the import/export station already",
                _ => "the cartridge is not in the import/export station",
            };
            return Err(Error::CartridgeBusy { barcode: barcode.into(), reason: reason.into() });
        }
        if Cartridge::try_lock(&self.shared.home().cartridge_folder(barcode))?.is_none() {
            return Err(in_use(barcode));
        }
        robot
            .state
            .place(kind, number)
            .and_then(Option::take)
            .ok_or_else(|| Error::CartridgeUnknown { barcode: barcode.into() })
    }

    pub(super) fn refuse_locked_station(&self, robot: &Robot, barcode: &str) -> Result<()> {
        let locked = robot.state.station_locked || StationLock::is_held(self.shared.home())?;
        if locked && !robot.state.station_open {
            return Err(Error::CartridgeBusy {
                barcode: barcode.into(),
                reason: "a host has locked the import/export station".into(),
            });
        }
        Ok(())
    }
}

fn first_free(robot: &Robot, kind: ElementKind) -> Result<u16> {
    let name = if kind == ElementKind::Slot { "slot" } else { "import/export slot" };
    robot.state.first_free(kind).ok_or(Error::NoFreeElement { kind: name })
}

fn in_use(barcode: &str) -> Error {
    Error::CartridgeBusy {
        barcode: barcode.into(),
        reason: "the cartridge is in use elsewhere; try again later".into(),
    }
}
