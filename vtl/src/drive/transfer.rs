//! READ, WRITE and WRITE FILEMARKS (SSC-5 §7).
//!
//! What INFORMATION says: the bytes (or, with FIXED, blocks) that were asked for and not moved; it
//! is negative when a block is longer than asked for.

use scsi::Sense;

use super::blocks::{self, Refusal};
use super::errors::Direction;
use super::write_protection::check_writable;
use super::{Drive, alert, threaded};
use crate::cartridge::{Cartridge, Fault, Object};
use crate::generation::BLOCK_BYTES_MAX;
use crate::unit::{Command, Done, Nexus, Stop};

const MB: u64 = 1_000_000;

/// READ(6).
pub(super) fn read(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let fixed = command.byte(1) & 0x01 != 0;
    let suppress = command.byte(1) & 0x02 != 0;
    let length = command.number(2, 3);
    let block_length = drive.record.block_length;
    threaded(&mut drive.medium)?;
    if fixed && (suppress || block_length == 0) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if length == 0 {
        return Ok(());
    }
    let result = if fixed {
        read_fixed(drive, command, length)
    } else {
        read_variable(drive, command, length, suppress && block_length == 0, suppress)
    };
    note_read_error(drive, &result);
    result
}

/// Counts a damaged block and raises its TapeAlert flags.
pub(super) fn note_read_error(drive: &mut Drive, result: &Done) {
    if let Err(Stop::Check(sense)) = result
        && sense.is_medium_error()
    {
        drive.count_failure(Direction::Read);
        drive.raise_alert(alert::HARD_ERROR);
        drive.raise_alert(alert::READ_FAILURE);
    }
}

/// Reads the object at the position and moves behind it. A damaged block is passed too, so that a
/// host can go on with what follows.
///
/// A block that may not be read (encryption) is not passed.
pub(super) fn next_object(
    drive: &mut Drive,
    nexus: Nexus,
    buffer: &mut [u8],
    residual: i64,
) -> Result<Object, Stop> {
    let cartridge = threaded(&mut drive.medium)?;
    let position = drive.record.position;
    if position >= cartridge.log.objects() {
        return Err(Sense::END_OF_DATA.with_information(residual).into());
    }
    let sent_at_most = buffer.len() as u64;
    let read = match blocks::read(drive, nexus, buffer) {
        Ok(object) => Ok(object),
        Err(Refusal::Fault(fault)) => Err(fault),
        Err(Refusal::Stop(Stop::Check(sense))) => {
            return Err(sense.with_information(residual).into());
        }
        Err(Refusal::Stop(stop)) => return Err(stop),
    };
    if !matches!(read, Err(Fault::Host(_))) {
        drive.record.position = position + 1;
    }
    match read {
        Ok(Object::Filemark) => Err(Sense::FILEMARK.with_information(residual).into()),
        Ok(Object::Block(actual)) => {
            let sent = u64::from(actual).min(sent_at_most);
            let cartridge = threaded(&mut drive.medium)?;
            drive.record.read_bytes += sent;
            cartridge.state.lifetime_read_bytes += sent;
            cartridge.state.last_load_read_bytes += sent;
            drive.stream_read(u64::from(actual))?;
            Ok(Object::Block(actual))
        }
        Err(Fault::Damaged { .. }) => Err(Sense::READ_ERROR.with_information(residual).into()),
        Err(fault) => Err(fault.into()),
    }
}

fn read_variable(
    drive: &mut Drive,
    command: &mut Command<'_, '_>,
    requested: u64,
    suppress_longer: bool,
    suppress_shorter: bool,
) -> Done {
    let nexus = command.nexus;
    let buffer = command.buffer(requested as usize);
    let available = buffer.len();
    let Object::Block(actual) = next_object(drive, nexus, buffer, requested as i64)? else {
        return Ok(());
    };
    command.set_transferred(available.min(actual as usize));
    command.set_wanted(requested.min(u64::from(actual)));
    let residual = requested as i64 - i64::from(actual);
    let told = match residual {
        0 => false,
        residual if residual < 0 => !suppress_longer,
        _ => !suppress_shorter,
    };
    if told {
        return Err(Sense::NONE.with_incorrect_length().with_information(residual).into());
    }
    warn_reader(drive, 0)
}

/// With REW of page 10h: tells a reader that the tape stands behind early warning (SSC-5 §8.5.6).
fn warn_reader(drive: &mut Drive, residual: i64) -> Done {
    if !drive.record.warns_readers {
        return Ok(());
    }
    let position = drive.record.position;
    let cartridge = threaded(&mut drive.medium)?;
    if cartridge.log.bytes_before(position)? < cartridge.early_warning_at() {
        return Ok(());
    }
    Err(Sense::EARLY_WARNING.with_information(residual).into())
}

fn read_fixed(drive: &mut Drive, command: &mut Command<'_, '_>, count: u64) -> Done {
    let block_length = drive.record.block_length as usize;
    let total = block_length.saturating_mul(count as usize);
    let nexus = command.nexus;
    let check_bytes = blocks::check_bytes(drive.hosts.protection(nexus));
    if drive.record.block_length <= check_bytes {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let mut sent = 0;
    for done in 0..count {
        let residual = (count - done) as i64;
        let buffer = command.buffer(total);
        let rest = buffer.get_mut(sent..).unwrap_or_default();
        // A block of another length is passed without touching the buffer.
        let position = drive.record.position;
        let log = &mut threaded(&mut drive.medium)?.log;
        let fits = position < log.objects()
            && log.kind(position)? == Object::Block(drive.record.block_length - check_bytes);
        let room = if fits { rest.len().min(block_length) } else { 0 };
        let place = rest.get_mut(..room).unwrap_or_default();
        match next_object(drive, nexus, place, residual) {
            Ok(Object::Block(actual)) if actual as usize == block_length => {
                sent += room;
                command.set_transferred(sent);
                warn_reader(drive, residual - 1)?;
            }
            Ok(_) => {
                command.set_transferred(sent);
                return Err(Sense::NONE.with_incorrect_length().with_information(residual).into());
            }
            Err(stop) => {
                command.set_transferred(sent);
                return Err(stop);
            }
        }
    }
    command.set_wanted(total as u64);
    command.set_transferred(sent);
    Ok(())
}

/// What the cartridge's memory remembers of a change.
pub(super) fn note_change(wrote: &mut bool, cartridge: &mut Cartridge) {
    if !*wrote {
        *wrote = true;
        cartridge.state.change_reference = cartridge.state.change_reference.wrapping_add(1);
    }
}

/// WRITE(6).
pub(super) fn write(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let fixed = command.byte(1) & 0x01 != 0;
    let length = command.number(2, 3);
    threaded(&mut drive.medium)?;
    let block_length = if fixed { u64::from(drive.record.block_length) } else { length };
    if (fixed && block_length == 0) || block_length > u64::from(BLOCK_BYTES_MAX) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if length == 0 {
        return Ok(());
    }
    check_writable(drive)?;
    let nexus = command.nexus;
    blocks::check_encryption(drive, nexus)?;
    let count = if fixed { length } else { 1 };
    let total = usize::try_from(block_length * count).unwrap_or(usize::MAX);
    let data = command.parameters(total)?;
    let mut warning = None;
    for (done, block) in (0u64..).zip(data.chunks(block_length as usize)) {
        let residual = if fixed { count - done } else { length } as i64;
        match write_block(drive, nexus, block, residual) {
            Ok(None) => {}
            // A write of many blocks goes on through early warning and tells it at its end.
            Ok(Some(sense)) => warning = Some(sense),
            Err(stop) => {
                if matches!(stop, Stop::Host(_)) {
                    drive.count_failure(Direction::Write);
                }
                return Err(stop);
            }
        }
    }
    let buffered = drive.record.buffered;
    if !buffered {
        threaded(&mut drive.medium)?.log.flush()?;
        drive.synchronise_stream();
    }
    warning.map_or(Ok(()), |sense| Err(Stop::from(sense)))
}

/// Writes one block; `Some` if it is stored and early warning is to be told.
fn write_block(
    drive: &mut Drive,
    nexus: Nexus,
    block: &[u8],
    residual: i64,
) -> Result<Option<Sense>, Stop> {
    let block = blocks::received(drive.hosts.protection(nexus), block)
        .map_err(|sense| sense.with_information(residual))?;
    let position = drive.record.position;
    let pews_bytes = u64::from(drive.record.pews_mb) * MB;
    let cartridge = threaded(&mut drive.medium)?;
    let length = block.len() as u64;
    let before = cartridge.log.bytes_before(position)?;
    if before.saturating_add(length) > cartridge.capacity_bytes() {
        return Err(Sense::VOLUME_OVERFLOW.with_information(residual).into());
    }
    note_change(&mut drive.wrote, cartridge);
    cartridge.truncate(position)?;
    blocks::append(drive, nexus, block)?;
    let cartridge = threaded(&mut drive.medium)?;
    drive.record.position = position + 1;
    drive.record.written_bytes += length;
    cartridge.state.lifetime_written_bytes += length;
    cartridge.state.write_mounts += u64::from(cartridge.state.last_load_written_bytes == 0);
    cartridge.state.last_load_written_bytes += length;
    let after = before + length;
    let early_warning = cartridge.early_warning_at();
    let programmable = early_warning.saturating_sub(pews_bytes);
    drive.stream_written(length);
    Ok(if after >= early_warning {
        Some(Sense::EARLY_WARNING)
    } else if pews_bytes > 0 && before < programmable && after >= programmable {
        Some(Sense::PROGRAMMABLE_EARLY_WARNING)
    } else {
        None
    })
}

/// WRITE FILEMARKS(6). Without IMMED everything before is durable when it ends. Filemarks take no
/// room, so they can still be written behind the end for blocks.
pub(super) fn write_filemarks(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let immediate = command.byte(1) & 0x01 != 0;
    let setmarks = command.byte(1) & 0x02 != 0;
    let count = command.number(2, 3) as u32;
    threaded(&mut drive.medium)?;
    if setmarks {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if count > 0 {
        check_writable(drive)?;
        let position = drive.record.position;
        let cartridge = threaded(&mut drive.medium)?;
        note_change(&mut drive.wrote, cartridge);
        cartridge.truncate(position)?;
        cartridge.log.append_filemarks(count)?;
        drive.record.position = position + u64::from(count);
    }
    let cartridge = threaded(&mut drive.medium)?;
    if !immediate {
        cartridge.log.flush()?;
        drive.synchronise_stream();
    }
    let cartridge = threaded(&mut drive.medium)?;
    let at = cartridge.log.bytes_before(drive.record.position)?;
    if count > 0 && at >= cartridge.early_warning_at() {
        return Err(Sense::EARLY_WARNING.into());
    }
    Ok(())
}
