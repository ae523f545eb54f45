//! REPORT DENSITY SUPPORT (SSC-5 §7.10).

use scsi::Sense;

use super::{Drive, threaded};
use crate::generation::Generation;
use crate::unit::inquiry::padded;
use crate::unit::{Command, Done};

/// Bytes of a density descriptor behind its length field, as the length field tells it.
const DESCRIPTOR_LENGTH: u16 = 52;
const WRITABLE: u8 = 0x80;
const DEFAULT: u8 = 0x20;
/// Descriptor length valid.
const LENGTH_VALID: u8 = 0x01;
/// Tape width in tenths of a millimetre.
const WIDTH: u16 = 127;

/// Answers the command: all formats, or with MEDIA that of the loaded cartridge.
pub(super) fn report(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let options = command.byte(1);
    if options & 0x02 != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let native = drive.generation();
    let mut formats = native.formats();
    if options & 0x01 != 0 {
        let loaded = threaded(&mut drive.medium)?.state.generation;
        formats.retain(|(format, _)| *format == loaded);
    }
    let body: Vec<u8> = formats
        .into_iter()
        .flat_map(|(format, writable)| descriptor(format, writable, format == native))
        .collect();
    let length = (body.len() + 2) as u16;
    let reply = [&length.to_be_bytes()[..], &[0, 0], &body].concat();
    command.reply(&reply, command.number(7, 2));
    Ok(())
}

fn descriptor(format: Generation, writable: bool, native: bool) -> Vec<u8> {
    let facts = format.facts();
    let mut flags = LENGTH_VALID;
    if writable {
        flags |= WRITABLE;
    }
    if native {
        flags |= DEFAULT;
    }
    let [_, bits_high, bits_middle, bits_low] = facts.bits_per_mm.to_be_bytes();
    let capacity_mb = u32::try_from(facts.capacity_bytes / 1_000_000).unwrap_or(u32::MAX);
    let mut bytes = vec![facts.density, facts.density, flags];
    bytes.extend(DESCRIPTOR_LENGTH.to_be_bytes());
    bytes.extend([bits_high, bits_middle, bits_low]);
    bytes.extend(WIDTH.to_be_bytes());
    bytes.extend(facts.tracks.to_be_bytes());
    bytes.extend(capacity_mb.to_be_bytes());
    bytes.extend(padded("LTO-CVE", 8));
    bytes.extend(padded(facts.density_name, 8));
    bytes.extend(padded(facts.description, 20));
    bytes
}
