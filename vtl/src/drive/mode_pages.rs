//! The drive's mode pages (SSC-5 §8.5, SPC-4 §7.5).
//!
//! Compression can be switched and is remembered, but stores nothing smaller: a cartridge's capacity
//! counts data bytes as the host sends them.

use scsi::Sense;
use scsi::command::protection::{self, Protection};

use super::layout::{self, Layout};
use super::{Drive, DriveRecord, Medium, protection_methods, threaded};
use crate::cartridge::Purpose;
use crate::generation::{BLOCK_BYTES_MAX, Generation};
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
const POWER_CONDITION: PageCode = (0x1a, 0);
const INFORMATIONAL_EXCEPTIONS: PageCode = (0x1c, 0);
const MEDIUM_CONFIGURATION: PageCode = (0x1d, 0);
/// A page of the IBM family: its last bit says that the drive encrypts.
const VENDOR_FEATURES: PageCode = (0x24, 0);

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
    POWER_CONDITION,
    INFORMATIONAL_EXCEPTIONS,
    MEDIUM_CONFIGURATION,
    VENDOR_FEATURES,
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
    POWER_CONDITION,
    INFORMATIONAL_EXCEPTIONS,
    MEDIUM_CONFIGURATION,
    VENDOR_FEATURES,
];

const D_SENSE: u8 = 0x04;
const DCE: u8 = 0x80;
const DCC: u8 = 0x40;
const DDE: u8 = 0x80;
/// Page 10h, byte 8: READ tells of early warning.
const REW: u8 = 0x01;
/// Page 10h, byte 8: logical object identifiers are supported.
const OBJECTS_SUPPORTED: u8 = 0x40;
/// Page 10h, byte 10: end of data is generated, early warning synchronises, software write protection.
const EEG: u8 = 0x10;
const SEW: u8 = 0x08;
const SWP: u8 = 0x04;
/// Page 10h, byte 15: WORM tampering is told; what a reset does to the position; associated and persistent write
/// protection.
const WTRE: u8 = 0x80;
const REWIND_ON_RESET: u8 = 0x18;
const ASOCWP: u8 = 0x04;
const PERSWP: u8 = 0x02;
/// Page 10h/01h, byte 5: the write mode.
const WRITE_MODE: u8 = 0xf0;
const WRITE_MODE_APPEND_ONLY: u8 = 0x10;
/// Page 24h, last byte.
const ENCRYPTS: u8 = 0x01;
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
        let protected = if self.is_write_protected() { WRITE_PROTECTED } else { 0 };
        [medium_type, buffered | protected]
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
            (DEVICE_CONFIGURATION, true) => {
                let protection = REWIND_ON_RESET | ASOCWP | PERSWP;
                vec![0, 0, 0, 0, 0, 0, REW, 0, SWP, 0, 0, 0, 0xff, protection]
            }
            (DEVICE_CONFIGURATION, false) => self.device_configuration(default),
            (DEVICE_CONFIGURATION_EXTENSION, true) => vec![0, WRITE_MODE, 0xff, 0xff],
            (DEVICE_CONFIGURATION_EXTENSION, false) => {
                let [high, low] = pews_mb.to_be_bytes();
                let append_only = self.record.append_only && !default;
                let write_mode = if append_only { WRITE_MODE_APPEND_ONLY } else { 0 };
                // Short erase mode 2: ERASE without LONG ends the tape there.
                vec![0, write_mode | 0x02, high, low]
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
            (VENDOR_FEATURES, false) => vec![0, 0, 0, 0, 0, ENCRYPTS],
            _ => Vec::new(),
        };
        body.resize(body_length(code), 0);
        body
    }
}

impl Drive {
    /// Page 10h behind its header, without what may be changed for `default`.
    fn device_configuration(&self, default: bool) -> Vec<u8> {
        let record = &self.record;
        let flag = |on: bool, bit: u8| if on && !default { bit } else { 0 };
        let persistent = self.cartridge_state().is_some_and(|state| state.persistently_protected);
        let partition = if default { 0 } else { record.partition };
        let on_reset = if default { 0 } else { record.rewind_on_reset << 3 };
        let compression = default || record.compression;
        let protection =
            on_reset | flag(record.protected_until_unload, ASOCWP) | flag(persistent, PERSWP);
        vec![
            0,
            partition,
            0,
            0,
            0,
            0x64,
            OBJECTS_SUPPORTED | flag(record.warns_readers, REW),
            0,
            EEG | SEW | flag(record.protected_by_software, SWP),
            0,
            0,
            0,
            u8::from(compression),
            WTRE | protection,
        ]
    }

    /// Takes a host's page 10h. What belongs to the cartridge is only noted, so that nothing changes before everything
    /// is checked.
    fn configure(
        &mut self,
        new: &mut DriveRecord,
        persistent: &mut Option<bool>,
        body: &[u8],
    ) -> Done {
        let [_, _, _, _, _, _, reading, _, writing, _, _, _, algorithm, last, ..] = body else {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS.into());
        };
        // 0 off, 1 the drive's own algorithm; others do not exist. 3 is reserved.
        let on_reset = (last & REWIND_ON_RESET) >> 3;
        if *algorithm > 1 || on_reset == 3 {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS.into());
        }
        new.compression = *algorithm == 1;
        new.rewind_on_reset = on_reset;
        new.warns_readers = reading & REW != 0;
        new.protected_by_software = writing & SWP != 0;
        new.protected_until_unload = last & ASOCWP != 0;
        let asked = last & PERSWP != 0;
        let state = self.cartridge_state();
        let changes_cartridge = state.is_some_and(|state| state.persistently_protected) != asked;
        if changes_cartridge || new.protected_until_unload {
            // Both protect the cartridge that is loaded.
            let state = &threaded(&mut self.medium)?.state;
            if changes_cartridge && state.write_protected {
                return Err(Sense::WRITE_PROTECTED.into());
            }
        }
        *persistent = changes_cartridge.then_some(asked);
        Ok(())
    }
}

fn body_length(code: PageCode) -> usize {
    match code {
        ERROR_RECOVERY | CONTROL | INFORMATIONAL_EXCEPTIONS => 10,
        DEVICE_CONFIGURATION_EXTENSION | CONTROL_DATA_PROTECTION => 28,
        MEDIUM_CONFIGURATION => 30,
        POWER_CONDITION => 38,
        VENDOR_FEATURES => 6,
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
    let mut persistent = None;
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
            (DEVICE_CONFIGURATION, body) => drive.configure(&mut new, &mut persistent, body)?,
            (DEVICE_CONFIGURATION_EXTENSION, [_, modes, high, low, ..]) => {
                new.append_only = match modes & WRITE_MODE {
                    0 => false,
                    WRITE_MODE_APPEND_ONLY => true,
                    _ => return Err(wrong.into()),
                };
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
    if let (Some(asked), Medium::Threaded(cartridge)) = (persistent, &mut drive.medium) {
        cartridge.state.persistently_protected = asked;
        cartridge.save()?;
    }
    if new != drive.record || persistent.is_some() {
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
