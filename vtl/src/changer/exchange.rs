//! EXCHANGE MEDIUM (SMC-3 §6.2): the cartridge of the source goes to the first destination, and the one that is there to
//! the second, which may be the source.
//!
//! Both moves are one change of `robot.json`, so no crash and no other process sees the first without the second. What
//! holds for a move holds for both: drives unload by themselves where they can, and everything is checked before anything
//! moves. Elements that are empty, full or no places for an exchange (the robot itself) are refused.

use scsi::Sense;

use super::Changer;
use super::moves::{self, Taken};
use crate::element::ElementKind;
use crate::robot::Robot;
use crate::timing;
use crate::unit::{Command, Done};

/// INV1 and INV2: cartridges have one side.
const INVERT: u8 = 0x03;

/// Answers the command.
pub(super) fn exchange_medium(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let stops_halfway = std::mem::take(&mut changer.trouble.stops_halfway);
    let home = &*changer.home;
    let config = home.config();
    moves::check_transport(config, command.number(2, 2) as u16)?;
    let source = moves::place(config, command.number(4, 2))?;
    let first = moves::place(config, command.number(6, 2))?;
    let second = moves::place(config, command.number(8, 2))?;
    if command.byte(10) & INVERT != 0 || first == source || first == second {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if [source, first, second].iter().any(|(kind, _)| *kind == ElementKind::Transport) {
        return Err(Sense::INVALID_ELEMENT.into());
    }
    let mut drives = moves::lock_drives(changer, &[source, first, second], &[source, first])?;
    let mut robot = Robot::lock(home)?;
    moves::check_station(&robot, &[source, first, second])?;
    let state = &robot.state;
    let coming = state.occupant(source.0, source.1).ok_or(Sense::SOURCE_EMPTY)?.clone();
    let leaving = state.occupant(first.0, first.1).ok_or(Sense::SOURCE_EMPTY)?.clone();
    if second != source && state.occupant(second.0, second.1).is_some() {
        return Err(Sense::DESTINATION_FULL.into());
    }
    if state.gripper.is_some() {
        // It has to be put down first.
        return Err(Sense::ROBOT_FAILED.into());
    }
    let leaving = Taken::from(home, &mut drives, first, &leaving)?;
    let coming = Taken::from(home, &mut drives, source, &coming)?;
    if stops_halfway {
        return leaving.strand(robot);
    }
    moves::put(&mut robot, source, None)?;
    leaving.put(home, &mut robot, second)?;
    coming.put(home, &mut robot, first)?;
    robot.commit()?;
    let lasts = leaving.unloads_in
        + coming.unloads_in
        + timing::robot_move(first, second)
        + timing::robot_move(source, first);
    let cleaning = [(leaving.cleans(), second), (coming.cleans(), first)];
    // Others may look meanwhile: what follows takes its time with no lock of the robot's.
    drop((robot, leaving, coming));
    home.clock().pass(lasts, &changer.abort);
    drives.values_mut().for_each(|slot| slot.part(home.clock()));
    for (cleans, to) in cleaning {
        if cleans {
            moves::notice(changer, &mut drives, to)?;
        }
    }
    Ok(())
}
