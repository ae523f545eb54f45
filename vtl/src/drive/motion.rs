//! REWIND, SPACE, LOCATE and READ POSITION (SSC-5 §7).
//!
//! A position is the number of the next object; the file number is the count of filemarks before it.
//! Spacing over blocks stops *behind* a filemark going forward and *before* it going back; spacing
//! over filemarks ends behind, or before, the last one counted.

use scsi::Sense;
use scsi::command::opcode;

use super::{Drive, threaded};
use crate::cartridge::ObjectLog;
use crate::unit::{Command, Done, Stop};

/// A drive empties its buffer before it moves the tape (SSC-5 §4.2.10, synchronize operations).
fn synchronise(drive: &mut Drive) -> Result<&mut ObjectLog, Stop> {
    let log = &mut threaded(&mut drive.medium)?.log;
    if log.synchronised() < log.objects() {
        log.flush()?;
    }
    Ok(log)
}

/// REWIND.
pub(super) fn rewind(drive: &mut Drive, _: &mut Command<'_, '_>) -> Done {
    synchronise(drive)?;
    drive.record.position = 0;
    Ok(())
}

/// Where a motion ended and what there is to tell about it.
type Landing = (u64, Option<Sense>);

/// SPACE(6) and SPACE(16).
pub(super) fn space(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let count = if command.byte(0) == opcode::SPACE_16 {
        command.number(4, 8) as i64
    } else {
        // 24 bits with sign.
        i64::from((command.number(2, 3) as i32) << 8 >> 8)
    };
    let position = drive.record.position;
    let log = synchronise(drive)?;
    let (landing, sense) = match command.byte(1) & 0x0f {
        0 if count >= 0 => blocks_forward(log, position, count.unsigned_abs())?,
        0 => blocks_back(log, position, count.unsigned_abs())?,
        1 if count >= 0 => filemarks_forward(log, position, count.unsigned_abs())?,
        1 => filemarks_back(log, position, count.unsigned_abs())?,
        3 => (log.objects(), None),
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    drive.record.position = landing;
    sense.map_or(Ok(()), |sense| Err(sense.into()))
}

fn rest(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn blocks_forward(log: &mut ObjectLog, position: u64, count: u64) -> Result<Landing, Stop> {
    let end = log.objects();
    let mark = log.next_filemark(position)?;
    let reach = mark.unwrap_or(end).saturating_sub(position);
    if count <= reach {
        return Ok((position + count, None));
    }
    Ok(match mark {
        Some(mark) => (mark + 1, Some(Sense::FILEMARK.with_information(rest(count - reach)))),
        None => (end, Some(Sense::END_OF_DATA.with_information(rest(count - reach)))),
    })
}

fn blocks_back(log: &mut ObjectLog, position: u64, count: u64) -> Result<Landing, Stop> {
    let mark = log.previous_filemark(position)?;
    let first = mark.map_or(0, |mark| mark + 1);
    let reach = position - first;
    if count <= reach {
        return Ok((position - count, None));
    }
    Ok(match mark {
        Some(mark) => (mark, Some(Sense::FILEMARK.with_information(rest(count - reach)))),
        None => (0, Some(Sense::BEGINNING_OF_MEDIUM.with_information(rest(count - reach)))),
    })
}

fn filemarks_forward(log: &mut ObjectLog, position: u64, count: u64) -> Result<Landing, Stop> {
    if count == 0 {
        return Ok((position, None));
    }
    let here = u64::from(log.file_at(position)?);
    let wanted = here.checked_add(count).and_then(|files| u32::try_from(files).ok());
    if let Some(wanted) = wanted
        && let Some(behind) = log.position_of_file(wanted)?
    {
        return Ok((behind, None));
    }
    let found = u64::from(log.files()) - here;
    Ok((log.objects(), Some(Sense::END_OF_DATA.with_information(rest(count - found)))))
}

fn filemarks_back(log: &mut ObjectLog, position: u64, count: u64) -> Result<Landing, Stop> {
    let here = log.file_at(position)?;
    let wanted = u32::try_from(count).ok().and_then(|count| here.checked_sub(count));
    let Some(files) = wanted else {
        let missing = count - u64::from(here);
        return Ok((0, Some(Sense::BEGINNING_OF_MEDIUM.with_information(rest(missing)))));
    };
    // The mark that the file number counts up from, and stop before it.
    let behind = log.position_of_file(files + 1)?.unwrap_or(position);
    Ok((behind.saturating_sub(1), None))
}

/// LOCATE(10). The BT bit (device-specific addresses) is taken as clear, as drives do.
pub(super) fn locate_10(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    if command.byte(1) & 0x02 != 0 {
        change_partition(drive, command.byte(8))?;
    }
    locate_object(drive, command.number(3, 4))
}

/// LOCATE(16): by object, by file, to the end of data.
pub(super) fn locate_16(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let destination = command.number(4, 8);
    let kind = command.byte(1) >> 3 & 0x07;
    if !matches!(kind, 0 | 1 | 3) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if command.byte(1) & 0x02 != 0 {
        change_partition(drive, command.byte(3))?;
    }
    match kind {
        0 => locate_object(drive, destination),
        1 => {
            let log = synchronise(drive)?;
            let found = match u32::try_from(destination) {
                Ok(file) => log.position_of_file(file)?,
                Err(_) => None,
            };
            // The first object of the file, as T10 has it; a mark before it belongs to the file
            // before.
            land(drive, found)
        }
        _ => {
            let end = synchronise(drive)?.objects();
            land(drive, Some(end))
        }
    }
}

/// The CP bit: to the begin of another partition, from where the destination counts.
fn change_partition(drive: &mut Drive, number: u8) -> Done {
    synchronise(drive)?;
    let cartridge = threaded(&mut drive.medium)?;
    if number == cartridge.partition() {
        return Ok(());
    }
    if !cartridge.select_partition(number) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    cartridge.state.partition_changes += 1;
    drive.record.partition = number;
    drive.record.position = 0;
    Ok(())
}

fn locate_object(drive: &mut Drive, object: u64) -> Done {
    let end = synchronise(drive)?.objects();
    land(drive, (object <= end).then_some(object))
}

/// Goes to a position, or to the end of data if it lies behind.
fn land(drive: &mut Drive, position: Option<u64>) -> Done {
    let end = threaded(&mut drive.medium)?.log.objects();
    drive.record.position = position.unwrap_or(end);
    if position.is_none() {
        return Err(Sense::END_OF_DATA.into());
    }
    Ok(())
}

const BEGINNING: u8 = 0x80;
const BEHIND_EARLY_WARNING: u8 = 0x40;
const LOCATION_UNKNOWN: u8 = 0x04;
const BEHIND_PROGRAMMABLE: u8 = 0x01;

/// READ POSITION: short (00h, and 01h which old drivers send), long (06h), extended (08h).
pub(super) fn read_position(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let position = drive.record.position;
    let pews_bytes = u64::from(drive.record.pews_mb) * 1_000_000;
    let (unwritten, _) = drive.buffered();
    let cartridge = threaded(&mut drive.medium)?;
    let (mut on_tape, mut buffered) = (position, 0);
    if unwritten > 0 {
        on_tape = cartridge.log.first_beyond(cartridge.log.bytes().saturating_sub(unwritten))?;
        buffered = position.saturating_sub(on_tape);
    }
    let file = cartridge.log.file_at(position)?;
    let bytes = cartridge.log.bytes_before(position)?;
    let early_warning = cartridge.early_warning_at();
    let partition = cartridge.partition();
    let mut flags = 0;
    if position == 0 {
        flags |= BEGINNING;
    }
    if bytes >= early_warning && position > 0 {
        flags |= BEHIND_EARLY_WARNING;
    }
    if pews_bytes > 0 && bytes >= early_warning.saturating_sub(pews_bytes) {
        flags |= BEHIND_PROGRAMMABLE;
    }
    let allocation = command.number(7, 2);
    match command.byte(1) & 0x1f {
        0x00 | 0x01 => {
            let mut reply = [0u8; 20];
            let mut place = |position| {
                u32::try_from(position).unwrap_or_else(|_| {
                    flags |= LOCATION_UNKNOWN;
                    0
                })
            };
            let (first, last) = (place(position), place(on_tape));
            let objects = u32::try_from(buffered).map_or(0xff_ffff, |count| count.min(0xff_ffff));
            fill(&mut reply, 0, &[flags, partition]);
            fill(&mut reply, 4, &first.to_be_bytes());
            fill(&mut reply, 8, &last.to_be_bytes());
            fill(&mut reply, 12, &objects.to_be_bytes());
            fill(&mut reply, 16, &u32::try_from(unwritten).unwrap_or(u32::MAX).to_be_bytes());
            command.reply(&reply, u64::MAX);
        }
        0x06 if allocation == 0 => {
            let mut reply = [0u8; 32];
            fill(&mut reply, 0, &[flags]);
            fill(&mut reply, 4, &u32::from(partition).to_be_bytes());
            fill(&mut reply, 8, &position.to_be_bytes());
            fill(&mut reply, 16, &u64::from(file).to_be_bytes());
            command.reply(&reply, u64::MAX);
        }
        0x08 => {
            let mut reply = [0u8; 32];
            fill(&mut reply, 0, &[flags, partition, 0x00, 0x1c]);
            let objects = u32::try_from(buffered).map_or(0xff_ffff, |count| count.min(0xff_ffff));
            fill(&mut reply, 4, &objects.to_be_bytes());
            fill(&mut reply, 8, &position.to_be_bytes());
            fill(&mut reply, 16, &on_tape.to_be_bytes());
            fill(&mut reply, 24, &unwritten.to_be_bytes());
            command.reply(&reply, allocation);
        }
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    }
    Ok(())
}

fn fill(reply: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = reply.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}
