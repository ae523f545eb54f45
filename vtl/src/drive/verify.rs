//! VERIFY(6) (SSC-5 §7): blocks are read and held against their checks, and nothing goes to the host.
//!
//! It moves and ends as READ does (filemarks, end of data, damaged blocks, blocks that no key opens) and shares its
//! way through the tape, so what VERIFY calls good can be read. INFORMATION is as of READ; there is no SILI, so
//! each block of another length than asked for is told. Comparing with data of the host (BYTCMP), and what newer
//! drives add to it, is refused.

use scsi::Sense;

use super::{Drive, threaded, transfer};
use crate::cartridge::Object;
use crate::unit::{Command, Done};

const FIXED: u8 = 0x01;
/// IMMED: there is no waiting for the end that it could save.
const IMMEDIATE: u8 = 0x04;

/// VERIFY(6).
pub(super) fn verify(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let flags = command.byte(1);
    let is_fixed = flags & FIXED != 0;
    let length = command.number(2, 3);
    let block_length = drive.record.block_length;
    threaded(&mut drive.medium)?;
    if flags & !(FIXED | IMMEDIATE) != 0 || (is_fixed && block_length == 0) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let (blocks, block_length) = match (length, is_fixed) {
        (0, _) => return Ok(()),
        (count, true) => (count, u64::from(block_length)),
        (length, false) => (1, length),
    };
    let mut result = Ok(());
    for done in 0..blocks {
        let residual = if is_fixed { blocks - done } else { length } as i64;
        result = verify_block(drive, command, (block_length, is_fixed), residual);
        if result.is_err() {
            break;
        }
    }
    transfer::note_read_error(drive, &result);
    result
}

fn verify_block(
    drive: &mut Drive,
    command: &Command<'_, '_>,
    (length, is_fixed): (u64, bool),
    residual: i64,
) -> Done {
    let next = transfer::next_object(drive, command.nexus, &mut [], residual)?;
    match next {
        Object::Block(actual) if u64::from(actual) != length => {
            let told = if is_fixed { residual } else { length as i64 - i64::from(actual) };
            Err(Sense::NONE.with_incorrect_length().with_information(told).into())
        }
        _ => Ok(()),
    }
}
