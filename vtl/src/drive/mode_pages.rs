//! The drive's mode pages (SSC-5 §8.5, SPC-4 §7.5).
//!
//! Compression can be switched and is remembered, but stores nothing smaller: a cartridge's capacity
//! counts data bytes as the host sends them.

use scsi::Sense;
use scsi::command::protection::{self, Protection};

use super::layout::{self, Layout};
use super::{Drive, Medium, protection_methods};
use crate::cartridge::Purpose;
use crate::generation::{Access, BLOCK_BYTES_MAX, Generation};
use crate::unit::mode_pages::{self, ModePages, PageCode, Values};
use crate::unit::{Command, Done};

const ERROR_RECOVERY: PageCode = (0x01, 0);
const DISCONNECT_RECONNECT: PageCode = (0x02, 0);
const CONTROL: PageCode = (0x0a, 0);
const CONTROL_DATA_PROTECTION: PageCode = (protection::PAGE, protection::SUBPAGE);
const DATA_COMPRESSION: PageCode = (0x0f, 0);
const DEVICE_CONFIGURATION: PageCode = (0x10, 0);
const DEVICE_CONFIGURATION_EXTENSION: PageCode = (0x10, 0x01);
const MEDIUM_PARTITION: PageCode = (0x11, 0);
const INFORMATIONAL_EXCEPTIONS: PageCode = (0x1c, 0);
const MEDIUM_CONFIGURATION: PageCode = (0x1d, 0);

/// Ascending.
const PAGES: &[PageCode] = &[
    ERROR_RECOVERY,
    DISCONNECT_RECONNECT,
    CONTROL,
    CONTROL_DATA_PROTECTION,
    DATA_COMPRESSION,
    DEVICE_CONFIGURATION,
    DEVICE_CONFIGURATION_EXTENSION,
    MEDIUM_PARTITION,
    INFORMATIONAL_EXCEPTIONS,
    MEDIUM_CONFIGURATION,
];

/// The same without block protection, which came with LTO-5.
const PAGES_UNPROTECTED: &[PageCode] = &[
    ERROR_RECOVERY,
    DISCONNECT_RECONNECT,
    CONTROL,
    DATA_COMPRESSION,
    DEVICE_CONFIGURATION,
    DEVICE_CONFIGURATION_EXTENSION,
    MEDIUM_PARTITION,
    INFORMATIONAL_EXCEPTIONS,
    MEDIUM_CONFIGURATION,
];

const D_SENSE: u8 = 0x04;
const DCE: u8 = 0x80;
const DCC: u8 = 0x40;
const DDE: u8 = 0x80;
const WRITE_PROTECTED: u8 = 0x80;
const BUFFERED: u8 = 0x10;
/// Density code in MODE SELECT: leave as it is.
const NO_CHANGE: u8 = 0x7f;

impl ModePages for Drive {
    fn header(&self) -> [u8; 2] {
        let buffered = if self.record.buffered { BUFFERED } else { 0 };
        let Medium::Threaded(cartridge) = &self.medium else { return [0, buffered] };
        let facts = cartridge.state.generation.facts();
        let medium_type = match cartridge.state.purpose {
            Purpose::Worm => facts.medium_type_worm.unwrap_or(facts.medium_type),
            _ => facts.medium_type,
        };
        let read_only = cartridge.state.write_protected
            || self.generation().access(cartridge.state.generation) != Access::ReadWrite;
        [medium_type, buffered | if read_only { WRITE_PROTECTED } else { 0 }]
    }

    fn block_descriptor(&self) -> Option<[u8; 8]> {
        let density = match &self.medium {
            Medium::Threaded(cartridge) => cartridge.state.generation.facts().density,
            _ => 0,
        };
        let [_, high, middle, low] = self.record.block_length.to_be_bytes();
        Some([density, 0, 0, 0, 0, high, middle, low])
    }

    fn codes(&self) -> &'static [PageCode] {
        if protection_methods(self.generation()).is_empty() { PAGES_UNPROTECTED } else { PAGES }
    }

    fn page(&self, code: PageCode, values: Values) -> Vec<u8> {
        let changeable = values == Values::Changeable;
        let default = values == Values::Default;
        let compression = default || self.record.compression;
        let pews_mb = if default { 0 } else { self.record.pews_mb };
        let zeros = |length: usize| vec![0u8; length];
        let mut body = match (code, changeable) {
            (ERROR_RECOVERY, _) => zeros(10),
            (DISCONNECT_RECONNECT, _) => zeros(14),
            (CONTROL, true) => vec![D_SENSE],
            (CONTROL, false) => {
                vec![if self.record.descriptor_sense && !default { D_SENSE } else { 0 }]
            }
            (CONTROL_DATA_PROTECTION, true) => vec![0xff, 0x3f, 0xc0],
            (CONTROL_DATA_PROTECTION, false) => {
                let asked = self.hosts.protection(self.asking);
                let page = if default { Protection::default() } else { asked };
                page.build().get(4..).unwrap_or_default().to_vec()
            }
            (DATA_COMPRESSION, true) => vec![DCE],
            (DATA_COMPRESSION, false) => {
                let enabled = if compression { DCE } else { 0 };
                vec![enabled | DCC, DDE, 0, 0, 0, 1, 0, 0, 0, 1]
            }
            (DEVICE_CONFIGURATION, true) => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff],
            (DEVICE_CONFIGURATION, false) => {
                vec![0, 0, 0, 0, 0, 0x64, 0x40, 0, 0x18, 0, 0, 0, u8::from(compression), 0x80]
            }
            (DEVICE_CONFIGURATION_EXTENSION, true) => vec![0, 0, 0xff, 0xff],
            (DEVICE_CONFIGURATION_EXTENSION, false) => {
                let [high, low] = pews_mb.to_be_bytes();
                // Write mode 0, short erase mode 2: ERASE without LONG ends the tape there.
                vec![0, 0x02, high, low]
            }
            (MEDIUM_PARTITION, true) => layout::changeable(self.cartridge_state()),
            (MEDIUM_PARTITION, false) => {
                let asked = if default { None } else { self.record.layout };
                layout::page(asked, self.cartridge_state())
            }
            (INFORMATIONAL_EXCEPTIONS, false) => vec![0x08, 0x03],
            (MEDIUM_CONFIGURATION, false) => match &self.medium {
                Medium::Threaded(cartridge) if cartridge.state.purpose == Purpose::Worm => {
                    vec![0x01, 0, 0, 0x02]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        body.resize(body_length(code), 0);
        body
    }
}

fn body_length(code: PageCode) -> usize {
    match code {
        ERROR_RECOVERY | CONTROL | INFORMATIONAL_EXCEPTIONS => 10,
        DEVICE_CONFIGURATION_EXTENSION | CONTROL_DATA_PROTECTION => 28,
        MEDIUM_CONFIGURATION => 30,
        MEDIUM_PARTITION => layout::PAGE_BYTES,
        _ => 14,
    }
}

/// MODE SENSE(6) and (10).
pub(super) fn sense(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    drive.asking = command.nexus;
    mode_pages::sense(drive, command)
}

/// MODE SELECT(6) and (10). Everything is checked before anything changes.
pub(super) fn select(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    drive.asking = command.nexus;
    let Some(selection) = mode_pages::select(drive, command)? else { return Ok(()) };
    let wrong = Sense::INVALID_FIELD_IN_PARAMETERS;
    let mut new = drive.record.clone();
    let mut new_protection = drive.hosts.protection(command.nexus);
    new.buffered = match selection.device_specific >> 4 & 0x07 {
        0 => false,
        1 => true,
        _ => return Err(wrong.into()),
    };
    if let Some([density, _, _, _, _, high, middle, low]) = selection.descriptor {
        let own = match &drive.medium {
            Medium::Threaded(cartridge) => cartridge.state.generation.facts().density,
            _ => 0,
        };
        if ![0, NO_CHANGE, own].contains(&density) {
            return Err(wrong.into());
        }
        new.block_length = u32::from_be_bytes([0, high, middle, low]);
        if new.block_length > BLOCK_BYTES_MAX {
            return Err(wrong.into());
        }
    }
    for (code, body) in &selection.pages {
        match (*code, body.as_slice()) {
            (CONTROL, [flags, ..]) => new.descriptor_sense = flags & D_SENSE != 0,
            (CONTROL_DATA_PROTECTION, body) => {
                new_protection = checked_protection(drive.generation(), body)?;
            }
            (DATA_COMPRESSION, [flags, ..]) => new.compression = flags & DCE != 0,
            (DEVICE_CONFIGURATION, [_, _, _, _, _, _, _, _, _, _, _, _, algorithm, ..]) => {
                // 0 off, 1 the drive's own algorithm; others do not exist.
                new.compression = match algorithm {
                    0 => false,
                    1 => true,
                    _ => return Err(wrong.into()),
                };
            }
            (DEVICE_CONFIGURATION_EXTENSION, [_, _, high, low, ..]) => {
                new.pews_mb = u16::from_be_bytes([*high, *low]);
            }
            (MEDIUM_PARTITION, body) if *body != drive.page(MEDIUM_PARTITION, Values::Current) => {
                let layout = Layout::from_page(body).ok_or(wrong)?;
                // Refused now and not when the tape is to be formatted.
                drive.cartridge_state().map_or(Ok(Vec::new()), |state| layout.capacities(state))?;
                new.layout = Some(layout);
            }
            _ => {}
        }
    }
    // For this host only, so nobody else is told.
    drive.hosts.of(command.nexus).protection = new_protection;
    if new != drive.record {
        drive.record = new;
        drive.attentions.raise(Sense::MODE_PARAMETERS_CHANGED, Some(command.nexus));
    }
    Ok(())
}

/// The protection that a host asks for, if this drive has it.
fn checked_protection(
    generation: Generation,
    body: &[u8],
) -> std::result::Result<Protection, Sense> {
    if let [method, ..] = body
        && *method != 0
        && !protection_methods(generation).iter().any(|one| one.to_byte() == *method)
    {
        return Err(Sense::PROTECTION_METHOD);
    }
    Protection::parse_body(body).map_err(|_| Sense::INVALID_FIELD_IN_PARAMETERS)
}
