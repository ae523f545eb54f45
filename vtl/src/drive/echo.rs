//! WRITE BUFFER and READ BUFFER in echo mode (SPC-4 §6.20.10, §6.49.9): a host gets back what it sent, to try the way
//! between them.
//!
//! Each host has a buffer of its own, so none ever reads another's data (EBOS). It is empty after a reset, and nothing
//! is kept for the next program. Other modes, above all those that load microcode, are refused.

use scsi::{Sense, SenseKey};

use super::Drive;
use crate::unit::{Command, Done};

const ECHO: u8 = 0x0a;
const ECHO_DESCRIPTOR: u8 = 0x0b;
/// Size of a host's buffer.
const CAPACITY_BYTES: u16 = 4096;
/// Data of other hosts is kept apart.
const EBOS: u8 = 0x01;
/// READ BUFFER without a WRITE BUFFER before it (5/2C/00).
const SEQUENCE: Sense = Sense::new(SenseKey::IllegalRequest, 0x2c, 0x00);

/// WRITE BUFFER.
pub(super) fn write(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let length = command.number(6, 3);
    if command.byte(1) & 0x1f != ECHO || length > u64::from(CAPACITY_BYTES) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let data = command.parameters(length as usize)?;
    drive.hosts.of(command.nexus).echo = data.to_vec();
    Ok(())
}

/// READ BUFFER: the echo, or how large it may be.
pub(super) fn read(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let allocation = command.number(6, 3);
    match command.byte(1) & 0x1f {
        ECHO => {
            let echo = &drive.hosts.of(command.nexus).echo;
            if echo.is_empty() {
                return Err(SEQUENCE.into());
            }
            command.reply(echo, allocation);
        }
        ECHO_DESCRIPTOR => {
            let [high, low] = CAPACITY_BYTES.to_be_bytes();
            command.reply(&[EBOS, 0, high, low], allocation);
        }
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    }
    Ok(())
}
