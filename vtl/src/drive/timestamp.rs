//! REPORT TIMESTAMP and SET TIMESTAMP (SPC-4 §6.37, §6.45): the drive's own clock, in milliseconds.
//!
//! It runs from 0 at power on, or from what a host set; a reset leaves it. Set, it counts from 1970-01-01 UTC by
//! convention. The record keeps what the machine's clock showed when the timestamp was 0.

use scsi::{Sense, SenseKey};

use super::Drive;
use crate::date;
use crate::unit::{Command, Done};

/// Another host set the clock (6/2A/10).
const CHANGED: Sense = Sense::new(SenseKey::UnitAttention, 0x2a, 0x10);
/// Bytes of the parameter data of both commands.
const BYTES: usize = 12;
/// Where the time comes from: 0 at power on.
const FROM_POWER_ON: u8 = 0;
/// Where the time comes from: SET TIMESTAMP.
const FROM_HOST: u8 = 2;

/// REPORT TIMESTAMP.
pub(super) fn report(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let origin = if drive.record.timestamp_set { FROM_HOST } else { FROM_POWER_ON };
    let time_ms = date::now_ms().wrapping_sub(drive.record.timestamp_zero_ms);
    let [_, _, time @ ..] = time_ms.to_be_bytes();
    let reply = [&[0, (BYTES - 2) as u8, origin, 0][..], &time, &[0, 0]].concat();
    command.reply(&reply, command.number(6, 4));
    Ok(())
}

/// SET TIMESTAMP.
pub(super) fn set(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let length = usize::try_from(command.number(6, 4)).unwrap_or(usize::MAX);
    if length == 0 {
        return Ok(());
    }
    if length < BYTES {
        return Err(Sense::PARAMETER_LIST_LENGTH.into());
    }
    let list = command.parameters(length)?;
    let time = list.get(4..10).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    let time_ms = time.iter().fold(0u64, |time, byte| time << 8 | u64::from(*byte));
    drive.record.timestamp_set = true;
    drive.record.timestamp_zero_ms = date::now_ms().wrapping_sub(time_ms);
    drive.attentions.raise(CHANGED, Some(command.nexus));
    Ok(())
}
