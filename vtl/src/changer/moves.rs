//! MOVE MEDIUM (SMC-3 §6.5).
//!
//! The mutexes of the drives concerned are taken first, then the robot's lock (the crate's order of
//! locks). A move out of a drive unloads it by itself where that is possible: if this process has
//! the drive open, or nobody has. If another process has it open, the cartridge must have been
//! unloaded by it.

use std::collections::BTreeMap;
use std::fs::File;
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

/// Answers the command.
pub(super) fn move_medium(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let stops_halfway = std::mem::take(&mut changer.trouble.stops_halfway);
    let home = &*changer.home;
    let config = home.config();
    check_transport(config, command.number(2, 2) as u16)?;
    if command.byte(10) & 0x01 != 0 {
        // INVERT: cartridges have one side.
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let place = |address: u64| element_at(config, address as u16).ok_or(Sense::INVALID_ELEMENT);
    let from = place(command.number(4, 2))?;
    let to = place(command.number(6, 2))?;
    if to.0 == ElementKind::Transport {
        return Err(Sense::INVALID_ELEMENT.into());
    }
    let mut drives = BTreeMap::new();
    let mut numbers: Vec<u16> = [from, to]
        .into_iter()
        .filter(|(kind, _)| *kind == ElementKind::Drive)
        .map(|(_, number)| number)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    for number in numbers {
        drives.insert(number, changer.drives.slot(number)?);
    }
    for (number, slot) in &mut drives {
        slot.meet(home.clock());
        // What the drive remembers may be about an earlier cartridge.
        if let Some(drive) = slot.drive_mut() {
            drive.follow_robot()?;
            if from == (ElementKind::Drive, *number) {
                drive.make_way()?;
            }
        }
    }
    let mut robot = Robot::lock(home)?;
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
    let hold = match from {
        (ElementKind::Drive, number) => {
            let slot = drives.get_mut(&number).ok_or(Sense::INVALID_ELEMENT)?;
            take_from_drive(home, slot, number, &occupant)?
        }
        _ => Hold { _drive: None, unloads_in: Duration::ZERO },
    };
    let folder = home.cartridge_folder(&occupant.barcode);
    // Held until the move is done, so that no door of the library opens the cartridge meanwhile.
    let cartridge = Cartridge::try_lock(&folder)?.ok_or(IN_HAND)?;
    let mut moved = occupant.clone();
    moved.imported = false;
    moved.load = 0;
    if !matches!(from.0, ElementKind::Drive | ElementKind::Transport) {
        moved.source = Some(address_of(from.0, from.1));
    }
    if stops_halfway {
        put(&mut robot, from, None)?;
        robot.state.gripper = Some(moved);
        robot.commit()?;
        return Err(Sense::ROBOT_FAILED.into());
    }
    if let (ElementKind::Drive, number) = to {
        robot.state.loads += 1;
        moved.load = robot.state.loads;
        note_load(home, &folder, number)?;
    }
    put(&mut robot, from, None)?;
    put(&mut robot, to, Some(moved))?;
    robot.commit()?;
    // Others may look meanwhile: what follows takes its time with no lock of the robot's.
    drop((robot, cartridge));
    let lasts = hold.unloads_in + timing::robot_move(from, to);
    drop(hold);
    home.clock().pass(lasts);
    drives.values_mut().for_each(|slot| slot.part(home.clock()));
    match to {
        (ElementKind::Drive, number)
            if matches!(barcode::classify(&occupant.barcode), Ok(Kind::Cleaning)) =>
        {
            // The drive cleans by itself, whether or not a program looks at it.
            drives
                .get_mut(&number)
                .ok_or(Sense::INVALID_ELEMENT)?
                .notice_robot(&changer.home, number)
        }
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
        *kind != ElementKind::Drive && robot.state.occupant(*kind, *number).is_none()
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

fn put(
    robot: &mut Robot,
    (kind, number): (ElementKind, u16),
    occupant: Option<Occupant>,
) -> Result<(), Stop> {
    *robot.state.place(kind, number).ok_or(Sense::INVALID_ELEMENT)? = occupant;
    Ok(())
}

/// The drive's memory entry in the cartridge. A cartridge whose memory makes no sense is moved all
/// the same; the drive will say what is wrong with it.
fn note_load(home: &Home, folder: &std::path::Path, number: u16) -> Result<(), Stop> {
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
    _drive: Option<Flock<File>>,
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
        return Ok(Hold { _drive: None, unloads_in });
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
    Ok(Hold { _drive: lock, unloads_in: Duration::ZERO })
}
