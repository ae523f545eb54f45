//! MOVE MEDIUM (SMC-3 §6.5), and what taking a cartridge from its place asks for.
//!
//! The mutexes of the drives concerned are taken first, then the robot's lock (the crate's order of
//! locks). A move out of a drive unloads it by itself where that is possible: if this process has
//! the drive open, or nobody has. If another process has it open, the cartridge must have been
//! unloaded by it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::MutexGuard;
use std::time::Duration;

use nix::fcntl::Flock;
use scsi::{Sense, SenseKey};

use super::Changer;
use crate::barcode::{self, Kind};
use crate::cartridge::{Cartridge, CartridgeState};
use crate::config::LibraryConfig;
use crate::drive::slots::DriveSlot;
use crate::drive::{self, RecordFile};
use crate::durable;
use crate::element::{ElementKind, TRANSPORT_FIRST, address_of};
use crate::home::Home;
use crate::robot::{Occupant, Robot, element_at};
use crate::timing;
use crate::unit::{Command, Done, Stop};

/// Magazine not accessible: somebody on the host's side has the cartridge in hand.
const IN_HAND: Sense = Sense::new(SenseKey::IllegalRequest, 0x3b, 0x11);

/// Address 0 means the default transport.
pub(super) fn check_transport(_: &LibraryConfig, address: u16) -> Done {
    if address == 0 || address == TRANSPORT_FIRST {
        Ok(())
    } else {
        Err(Sense::INVALID_ELEMENT.into())
    }
}

/// Kind and number of an element.
pub(super) type Place = (ElementKind, u16);

/// The drives that a command concerns, locked by ascending number.
pub(super) type Drives<'c> = BTreeMap<u16, MutexGuard<'c, DriveSlot>>;

/// An open station is the operator's: the robot keeps out of it.
pub(super) fn check_station(robot: &Robot, places: &[Place]) -> Done {
    if robot.state.station_open && places.iter().any(|(kind, _)| *kind == ElementKind::ImportExport)
    {
        return Err(Sense::STATION_OPEN.into());
    }
    Ok(())
}

/// The element that a CDB names.
pub(super) fn place(config: &LibraryConfig, address: u64) -> Result<Place, Sense> {
    element_at(config, address as u16).ok_or(Sense::INVALID_ELEMENT)
}

/// Locks the drives at some places. Those that give a cartridge end first what takes only seconds.
pub(super) fn lock_drives<'c>(
    changer: &'c Changer,
    places: &[Place],
    given_by: &[Place],
) -> Result<Drives<'c>, Stop> {
    let mut numbers: Vec<u16> = places
        .iter()
        .filter(|(kind, _)| *kind == ElementKind::Drive)
        .map(|(_, number)| *number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    let mut drives = BTreeMap::new();
    for number in numbers {
        drives.insert(number, changer.drives.slot(number)?);
    }
    for (number, slot) in &mut drives {
        slot.meet(changer.home.clock());
        // What the drive remembers may be about an earlier cartridge.
        if let Some(drive) = slot.drive_mut() {
            drive.follow_robot()?;
            if given_by.contains(&(ElementKind::Drive, *number)) {
                drive.make_way()?;
            }
        }
    }
    Ok(drives)
}

/// A cartridge that the robot may take from its place.
pub(super) struct Taken {
    occupant: Occupant,
    from: Place,
    folder: PathBuf,
    /// Time that the drive takes to give it back.
    pub unloads_in: Duration,
    _drive: Option<Flock<File>>,
    /// Held until the move is done, so that no door of the library opens the cartridge meanwhile.
    _cartridge: Flock<File>,
}

impl Taken {
    /// Looks whether the cartridge can be taken; a drive has unloaded it then.
    pub fn from(
        home: &Home,
        drives: &mut Drives<'_>,
        from: Place,
        occupant: &Occupant,
    ) -> Result<Taken, Stop> {
        let hold = match from {
            (ElementKind::Drive, number) => {
                let slot = drives.get_mut(&number).ok_or(Sense::INVALID_ELEMENT)?;
                take_from_drive(home, slot, number, occupant)?
            }
            _ => Hold { drive: None, unloads_in: Duration::ZERO },
        };
        let folder = home.cartridge_folder(&occupant.barcode);
        let cartridge = Cartridge::try_lock(&folder)?.ok_or(IN_HAND)?;
        let mut occupant = occupant.clone();
        occupant.imported = false;
        occupant.load = 0;
        if !matches!(from.0, ElementKind::Drive | ElementKind::Transport) {
            occupant.source = Some(address_of(from.0, from.1));
        }
        Ok(Taken {
            occupant,
            from,
            folder,
            unloads_in: hold.unloads_in,
            _drive: hold.drive,
            _cartridge: cartridge,
        })
    }

    /// Leaves it in the gripper, with its place empty: the robot stops on its way.
    pub fn strand(self, mut robot: Robot) -> Done {
        put(&mut robot, self.from, None)?;
        robot.state.gripper = Some(self.occupant);
        robot.commit()?;
        Err(Sense::ROBOT_FAILED.into())
    }

    /// Puts it where it is to go. Its old place is the caller's: something else may be there by now.
    pub fn put(&self, home: &Home, robot: &mut Robot, to: Place) -> Done {
        let mut occupant = self.occupant.clone();
        if let (ElementKind::Drive, number) = to {
            robot.state.loads += 1;
            occupant.load = robot.state.loads;
            note_load(home, &self.folder, number)?;
        }
        put(robot, to, Some(occupant))
    }

    /// True if a drive cleans with it by itself, whether or not a program looks at it.
    pub fn cleans(&self) -> bool {
        matches!(barcode::classify(&self.occupant.barcode), Ok(Kind::Cleaning))
    }
}

/// Cartridges have one side: nothing is turned over.
const INVERT: u8 = 0x01;

/// Answers the command.
pub(super) fn move_medium(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let stops_halfway = std::mem::take(&mut changer.trouble.stops_halfway);
    let home = &*changer.home;
    let config = home.config();
    check_transport(config, command.number(2, 2) as u16)?;
    if command.byte(10) & INVERT != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let from = place(config, command.number(4, 2))?;
    let to = place(config, command.number(6, 2))?;
    if to.0 == ElementKind::Transport {
        return Err(Sense::INVALID_ELEMENT.into());
    }
    let mut drives = lock_drives(changer, &[from, to], &[from])?;
    let mut robot = Robot::lock(home)?;
    check_station(&robot, &[from, to])?;
    let occupant = robot.state.occupant(from.0, from.1).ok_or(Sense::SOURCE_EMPTY)?.clone();
    if from == to {
        return Ok(());
    }
    if robot.state.gripper.is_some() && from.0 != ElementKind::Transport {
        // It has to be put down first.
        return Err(Sense::ROBOT_FAILED.into());
    }
    if robot.state.occupant(to.0, to.1).is_some() {
        return Err(Sense::DESTINATION_FULL.into());
    }
    let taken = Taken::from(home, &mut drives, from, &occupant)?;
    if stops_halfway {
        return taken.strand(robot);
    }
    put(&mut robot, from, None)?;
    taken.put(home, &mut robot, to)?;
    robot.commit()?;
    let lasts = taken.unloads_in + timing::robot_move(from, to);
    let cleans = taken.cleans();
    // Others may look meanwhile: what follows takes its time with no lock of the robot's.
    drop((robot, taken));
    // A move that is aborted is at its end: half of one would leave the cartridge nowhere.
    home.clock().pass(lasts, &changer.abort);
    drives.values_mut().for_each(|slot| slot.part(home.clock()));
    if cleans { notice(changer, &mut drives, to) } else { Ok(()) }
}

/// Has a drive look at once at what the robot brought.
pub(super) fn notice(changer: &Changer, drives: &mut Drives<'_>, to: Place) -> Done {
    match to {
        (ElementKind::Drive, number) => drives
            .get_mut(&number)
            .ok_or(Sense::INVALID_ELEMENT)?
            .notice_robot(&changer.home, number),
        _ => Ok(()),
    }
}

/// Puts down what a move that stopped on its way left in the gripper: where it came from, else into the
/// first free slot. Without one it stays where it is.
pub(super) fn empty_gripper(changer: &Changer) -> Done {
    let home = &*changer.home;
    let mut robot = Robot::lock(home)?;
    let Some(occupant) = robot.state.gripper.clone() else { return Ok(()) };
    let source = occupant.source.and_then(|address| element_at(home.config(), address));
    let free_source = source.filter(|(kind, number)| {
        let is_within_reach = *kind != ElementKind::Drive
            && (*kind != ElementKind::ImportExport || !robot.state.station_open);
        is_within_reach && robot.state.occupant(*kind, *number).is_none()
    });
    let first_free = || Some((ElementKind::Slot, robot.state.first_free(ElementKind::Slot)?));
    let Some(to) = free_source.or_else(first_free) else {
        return Err(Sense::ROBOT_FAILED.into());
    };
    robot.state.gripper = None;
    put(&mut robot, to, Some(occupant))?;
    robot.commit()?;
    Ok(())
}

pub(super) fn put(
    robot: &mut Robot,
    (kind, number): Place,
    occupant: Option<Occupant>,
) -> Result<(), Stop> {
    *robot.state.place(kind, number).ok_or(Sense::INVALID_ELEMENT)? = occupant;
    Ok(())
}

/// The drive's memory entry in the cartridge. A cartridge whose memory makes no sense is moved all
/// the same; the drive will say what is wrong with it.
pub(crate) fn note_load(home: &Home, folder: &std::path::Path, number: u16) -> Result<(), Stop> {
    match CartridgeState::read(folder) {
        Ok(mut state) => {
            state.note_load(&drive::memory_name(&drive::identity(home.config(), number)));
            state.write(folder)?;
            Ok(())
        }
        Err(error) if error.is_damaged() || error.is_missing() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What keeps others from opening the drive during the move.
struct Hold {
    drive: Option<Flock<File>>,
    /// Time that the drive takes to give the cartridge back.
    unloads_in: Duration,
}

fn take_from_drive(
    home: &Home,
    slot: &mut DriveSlot,
    number: u16,
    occupant: &Occupant,
) -> Result<Hold, Stop> {
    if let Some(drive) = slot.drive_mut() {
        let unloads_in = drive.release_to_robot()?;
        return Ok(Hold { drive: None, unloads_in });
    }
    let folder = home.drive_folder(number);
    let lock = durable::try_lock(&folder.join("lock"))?;
    let record = RecordFile::peek(&folder).filter(|record| record.load == occupant.load);
    let unloaded = record.as_ref().is_some_and(|record| record.unloaded);
    let prevented = record
        .as_ref()
        .is_some_and(|record| record.prevented || (lock.is_none() && record.prevented_by_session));
    if prevented || (lock.is_none() && !unloaded) {
        return Err(Sense::REMOVAL_PREVENTED.into());
    }
    Ok(Hold { drive: lock, unloads_in: Duration::ZERO })
}
