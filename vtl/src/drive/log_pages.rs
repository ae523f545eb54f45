//! The drive's log pages (SSC-5 §8.3, SPC-4 §7.3).

use scsi::Sense;

use super::work::Activity;
use super::{Drive, Medium, device_statistics, volume_statistics};
use crate::unit::log_pages::{self, Parameter, tape_alert};
use crate::unit::{Command, Done};

/// All pages beside 00h, ascending.
const PAGES: &[u8] = &[0x02, 0x03, 0x0c, 0x0d, 0x11, 0x12, 0x14, 0x17, 0x1b, 0x2e, 0x31, 0x32];
const MB: u64 = 1_000_000;
/// Another host reset the counters (6/2A/02).
const LOG_PARAMETERS_CHANGED: Sense = Sense::new(scsi::SenseKey::UnitAttention, 0x2a, 0x02);

/// LOG SENSE.
pub(super) fn sense(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let code = command.byte(2) & 0x3f;
    let here = position_bytes(drive)?;
    let mut parameters = None;
    if PAGES.contains(&code) {
        parameters = Some(page(drive, code, here));
    }
    log_pages::sense(command, PAGES, |_| parameters)?;
    if code == 0x2e && command.transferred() >= log_pages::TAPE_ALERT_BYTES {
        // Reading the flags here clears them (SSC-5 §8.3.3); page 12h leaves them. A host that asks
        // for the length first has not read them yet.
        drive.record.alerts = 0;
    }
    Ok(())
}

/// LOG SELECT: resetting the counters is all a host can do.
pub(super) fn select(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    if command.number(7, 2) != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if command.byte(1) & 0x02 != 0 {
        drive.attentions.raise(LOG_PARAMETERS_CHANGED, Some(command.nexus));
        drive.record.written_bytes = 0;
        drive.record.read_bytes = 0;
        drive.record.write_errors = 0;
        drive.record.read_errors = 0;
        drive.record.write_retries = 0;
        drive.record.read_retries = 0;
    }
    Ok(())
}

/// Data bytes before the position, 0 without a tape.
fn position_bytes(drive: &mut Drive) -> Result<u64, crate::unit::Stop> {
    let position = drive.record.position;
    match &mut drive.medium {
        Medium::Threaded(cartridge) => Ok(cartridge.log.bytes_before(position)?),
        _ => Ok(0),
    }
}

fn page(drive: &mut Drive, code: u8, here: u64) -> Vec<Parameter> {
    if code == 0x0c {
        return sequential_access(drive, here);
    }
    let activity = drive.activity().or_else(|| drive.transfer_activity());
    let record = &drive.record;
    match code {
        0x02 => errors(record.write_retries, record.write_errors, record.written_bytes),
        0x03 => errors(record.read_retries, record.read_errors, record.read_bytes),
        0x0d => log_pages::temperature(),
        0x11 => vec![Parameter::binary(0x0000, &device_status(drive, activity))],
        0x12 => vec![Parameter::binary(0x0000, &record.alerts.to_be_bytes())],
        0x14 => device_statistics::page(drive),
        0x17 => volume_statistics::page(drive),
        0x1b | 0x32 => compression(drive),
        0x2e => tape_alert(record.alerts),
        0x31 => volume_statistics::capacity(drive),
        _ => Vec::new(),
    }
}

/// Every error that was corrected was corrected by another try, which is a possible delay (SPC-4 §7.3.7).
fn errors(retries: u32, uncorrected: u64, bytes: u64) -> Vec<Parameter> {
    let retries = u64::from(retries);
    vec![
        Parameter::number(0x0000, 0, 4),
        Parameter::number(0x0001, retries, 4),
        Parameter::number(0x0002, retries, 4),
        Parameter::number(0x0003, retries, 4),
        Parameter::number(0x0004, 0, 4),
        Parameter::number(0x0005, bytes, 8),
        Parameter::number(0x0006, uncorrected, 4),
    ]
}

/// What lies in the buffer is the difference between what hosts moved and what the tape did.
fn sequential_access(drive: &mut Drive, here: u64) -> Vec<Parameter> {
    let (unwritten, read_ahead) = drive.buffered();
    let record = &drive.record;
    let mut parameters = vec![
        Parameter::number(0x0000, record.written_bytes, 8),
        Parameter::number(0x0001, record.written_bytes.saturating_sub(unwritten), 8),
        Parameter::number(0x0002, record.read_bytes.saturating_add(read_ahead), 8),
        Parameter::number(0x0003, record.read_bytes, 8),
    ];
    if let Medium::Threaded(cartridge) = &drive.medium {
        parameters.extend([
            Parameter::number(0x0004, cartridge.log.bytes() / MB, 4),
            Parameter::number(0x0005, cartridge.early_warning_at() / MB, 4),
            Parameter::number(
                0x0006,
                (cartridge.capacity_bytes() - cartridge.early_warning_at()) / MB,
                4,
            ),
            Parameter::number(0x0007, here / MB, 4),
        ]);
    }
    parameters.push(Parameter::number(0x0008, drive.stream.figures().buffer_bytes / MB, 4));
    parameters.push(Parameter::number(0x0100, record.cleaning_wanted.into(), 4));
    parameters
}

/// DT device status (ADC-3 §6.1.2).
fn device_status(drive: &Drive, activity: Option<Activity>) -> [u8; 4] {
    const DATA_VALID: u8 = 0x01;
    const IN_TRANSITION: u8 = 0x10;
    const MEDIUM_ACCESSIBLE: u8 = 0x30;
    const WRITE_PROTECTED: u8 = 0x08;
    const MEDIUM_MOUNTED: u8 = 0x37;
    const MEDIUM_PRESENT: u8 = 0x34;
    const EMPTY: u8 = 0x20;
    const CLEANING_REQUESTED: u8 = 0x04;
    const CLEANING_REQUIRED: u8 = 0x02;
    let record = &drive.record;
    let alerts = u8::from(record.alerts != 0);
    let cleaning = if record.cleaning_wanted { CLEANING_REQUESTED } else { 0 }
        | if record.cleaning_needed { CLEANING_REQUIRED } else { 0 };
    let valid = DATA_VALID | cleaning;
    let doing = activity.map_or(0, |activity| activity as u8);
    if activity.is_some_and(Activity::hides_medium) {
        // In transition: the tape is on its way.
        return [valid | IN_TRANSITION, MEDIUM_PRESENT, doing, alerts];
    }
    match &drive.medium {
        Medium::Empty => [valid, EMPTY, 0, alerts],
        Medium::Unloaded | Medium::Refused(_) => [valid, MEDIUM_PRESENT, doing, alerts],
        Medium::Threaded(_) => {
            let protected = if drive.is_write_protected() { WRITE_PROTECTED } else { 0 };
            [valid | MEDIUM_ACCESSIBLE | protected, MEDIUM_MOUNTED, doing, alerts]
        }
    }
}

fn compression(drive: &Drive) -> Vec<Parameter> {
    let read = drive.record.read_bytes;
    let written = drive.record.written_bytes;
    let pair = |code: u16, bytes: u64| {
        [Parameter::number(code, bytes / MB, 4), Parameter::number(code + 1, bytes % MB, 4)]
    };
    let mut parameters = vec![Parameter::number(0, 100, 2), Parameter::number(1, 100, 2)];
    for (code, bytes) in [(2, read), (4, read), (6, written), (8, written)] {
        parameters.extend(pair(code, bytes));
    }
    parameters
}
