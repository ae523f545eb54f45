//! LOAD UNLOAD and PREVENT ALLOW MEDIUM REMOVAL.

use scsi::Sense;

use super::device_statistics::Event;
use super::work::Activity;
use super::{Drive, Medium, alert, threaded};
use crate::robot::Robot;
use crate::timing;
use crate::unit::{Command, Done};

/// LOAD UNLOAD. Both directions hold the robot's lock, so that a robot of another process that sees
/// the cartridge unloaded can take it without the drive threading it at the same moment.
pub(super) fn load_unload(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let options = command.byte(4);
    let load = options & 0x01 != 0;
    let to_end = options & 0x04 != 0;
    if load && to_end {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if matches!(drive.medium, Medium::Empty) {
        return Err(Sense::MEDIUM_NOT_PRESENT.into());
    }
    let immediate = command.byte(1) & 0x01 != 0;
    if load { load_medium(drive, immediate) } else { unload_medium(drive, immediate) }
}

fn load_medium(drive: &mut Drive, immediate: bool) -> Done {
    if !matches!(drive.medium, Medium::Unloaded) {
        // Loading a loaded tape only rewinds it.
        drive.free_tape();
        let lasts = drive.rewind_time()?;
        threaded(&mut drive.medium)?.select_partition(0);
        drive.record.partition = 0;
        drive.record.position = 0;
        return drive.occupy(Activity::Rewinding, lasts, immediate);
    }
    let home = std::sync::Arc::clone(&drive.home);
    let robot = Robot::lock(&home)?;
    let occupant = robot.state.drives.get(usize::from(drive.number)).and_then(Option::as_ref);
    let Some(occupant) = occupant.filter(|occupant| occupant.load == drive.record.load) else {
        // The robot took it in this very moment.
        drive.seen_changes = None;
        return Err(Sense::MEDIUM_NOT_PRESENT.into());
    };
    let barcode = occupant.barcode.clone();
    drive.record.position = 0;
    drive.thread(&barcode)?;
    drive.record.unloaded = false;
    drive.lifetime.count(Event::Load)?;
    let name = drive.memory_name();
    if let Medium::Threaded(cartridge) = &mut drive.medium {
        cartridge.state.note_load(&name);
        cartridge.save()?;
    }
    // Written before the robot may look again.
    drive.settle_record()?;
    drop(robot);
    drive.begin_load(immediate)
}

fn unload_medium(drive: &mut Drive, immediate: bool) -> Done {
    if matches!(drive.medium, Medium::Unloaded) {
        return Ok(());
    }
    if drive.hosts.prevent_removal() {
        drive.raise_alert(alert::NO_REMOVAL);
        return Err(Sense::REMOVAL_PREVENTED.into());
    }
    let home = std::sync::Arc::clone(&drive.home);
    drive.free_tape();
    let lasts = drive.rewind_time()? + timing::UNLOAD;
    let robot = Robot::lock(&home)?;
    drive.unthread()?;
    drive.record.unloaded = true;
    drive.settle_record()?;
    drop(robot);
    drive.occupy(Activity::Unloading, lasts, immediate)
}

/// PREVENT ALLOW MEDIUM REMOVAL, for the host that sends it.
pub(super) fn prevent_allow(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let prevent = match command.byte(4) & 0x03 {
        0 => false,
        1 => true,
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    drive.hosts.of(command.nexus).prevents_removal = prevent;
    Ok(())
}
