//! READ ELEMENT STATUS (SMC-3 §6.11), to the byte.
//!
//! Reply: header of 8 bytes {first address\[2\], elements\[2\], 0, byte count\[3\]}; per element type a
//! page of 8 bytes {type, flags, descriptor length\[2\], 0, byte count\[3\]} and its descriptors
//! {12 bytes, volume tag 36 with VOLTAG, identifier with DVCID}. The counts tell what exists, also
//! when the allocation length cuts the reply.

use scsi::Sense;

use super::Changer;
use crate::barcode;
use crate::drive;
use crate::element::{ElementKind, KINDS, address_of};
use crate::robot::{RobotState, count_of};
use crate::unit::inquiry::padded;
use crate::unit::{Command, Done};

const FULL: u8 = 0x01;
const PUT_IN_BY_OPERATOR: u8 = 0x02;
const ACCESSIBLE: u8 = 0x08;
const EXPORT_ENABLED: u8 = 0x10;
const IMPORT_ENABLED: u8 = 0x20;
const SOURCE_VALID: u8 = 0x80;
const PRIMARY_TAG: u8 = 0x80;

/// What the CDB asks to be told of each element.
#[derive(Clone, Copy)]
struct Details {
    tags: bool,
    identifiers: bool,
}

/// Answers the command.
pub(super) fn read(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let config = changer.home.config().clone();
    let wanted = match command.byte(1) & 0x0f {
        0 => None,
        1 => Some(ElementKind::Transport),
        2 => Some(ElementKind::Slot),
        3 => Some(ElementKind::ImportExport),
        4 => Some(ElementKind::Drive),
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    let start = command.number(2, 2) as u16;
    let most = command.number(4, 2) as usize;
    let details =
        Details { tags: command.byte(1) & 0x10 != 0, identifiers: command.byte(6) & 0x01 != 0 };
    let allocation = command.number(7, 3);
    let last = KINDS
        .into_iter()
        .map(|kind| address_of(kind, 0).saturating_add(count_of(&config, kind).saturating_sub(1)));
    if last.max().is_some_and(|last| start > last) {
        return Err(Sense::INVALID_ELEMENT.into());
    }
    let robot = changer.robot()?;
    let mut first = None;
    let mut total = 0;
    let mut pages = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| wanted.is_none_or(|wanted| wanted == *kind)) {
        let selected: Vec<u16> = (0..count_of(&config, kind))
            .filter(|number| address_of(kind, *number) >= start)
            .take(most - total)
            .collect();
        let Some(lowest) = selected.first() else { continue };
        first = first.or(Some(address_of(kind, *lowest)));
        total += selected.len();
        pages.extend(page(changer, &robot.state, kind, &selected, details));
    }
    drop(robot);
    let [_, high, middle, low] = (pages.len() as u32).to_be_bytes();
    let mut reply = first.unwrap_or(0).to_be_bytes().to_vec();
    reply.extend((total as u16).to_be_bytes());
    reply.extend([0, high, middle, low]);
    reply.extend(pages);
    command.reply(&reply, allocation);
    Ok(())
}

fn page(
    changer: &Changer,
    state: &RobotState,
    kind: ElementKind,
    numbers: &[u16],
    details: Details,
) -> Vec<u8> {
    let code = match kind {
        ElementKind::Transport => 1,
        ElementKind::Slot => 2,
        ElementKind::ImportExport => 3,
        ElementKind::Drive => 4,
    };
    let descriptors: Vec<Vec<u8>> =
        numbers.iter().map(|number| descriptor(changer, state, kind, *number, details)).collect();
    let length = descriptors.first().map_or(0, Vec::len) as u16;
    let body = descriptors.concat();
    let [_, high, middle, low] = (body.len() as u32).to_be_bytes();
    let mut page = vec![code, if details.tags { PRIMARY_TAG } else { 0 }];
    page.extend(length.to_be_bytes());
    page.extend([0, high, middle, low]);
    page.extend(body);
    page
}

fn descriptor(
    changer: &Changer,
    state: &RobotState,
    kind: ElementKind,
    number: u16,
    details: Details,
) -> Vec<u8> {
    let occupant = state.occupant(kind, number);
    let mut flags = match kind {
        ElementKind::Transport => 0,
        ElementKind::Slot => ACCESSIBLE,
        // The operator has the places of an open station.
        ElementKind::ImportExport if state.station_open => EXPORT_ENABLED | IMPORT_ENABLED,
        ElementKind::ImportExport => ACCESSIBLE | EXPORT_ENABLED | IMPORT_ENABLED,
        // The robot cannot take a threaded cartridge.
        ElementKind::Drive => match occupant {
            None => ACCESSIBLE,
            Some(occupant) => match changer.drive_record(number, occupant.load) {
                Some(record) if record.unloaded => ACCESSIBLE,
                _ => 0,
            },
        },
    };
    if let Some(occupant) = occupant {
        flags |= FULL;
        if kind == ElementKind::ImportExport && occupant.imported {
            flags |= PUT_IN_BY_OPERATOR;
        }
    }
    let label = occupant.and_then(|occupant| changer.trouble.label(&occupant.barcode));
    let medium_type = label.map_or(0, |label| match barcode::classify(label) {
        Ok(barcode::Kind::Data(_)) => 1,
        Ok(barcode::Kind::Cleaning) => 2,
        Ok(barcode::Kind::Worm(_)) => 4,
        Err(_) => 0,
    });
    let source = occupant.and_then(|occupant| occupant.source);
    let mut bytes = address_of(kind, number).to_be_bytes().to_vec();
    bytes.extend([flags, 0, 0, 0, 0, 0, 0]);
    bytes.push(medium_type | if source.is_some() { SOURCE_VALID } else { 0 });
    bytes.extend(source.unwrap_or(0).to_be_bytes());
    if details.tags {
        match label {
            Some(label) => {
                bytes.extend(padded(label, 32));
                bytes.extend([0; 4]);
            }
            None => bytes.extend([0; 36]),
        }
    }
    if details.identifiers {
        match kind {
            ElementKind::Drive => {
                bytes.extend(drive::identity(changer.home.config(), number).designator());
            }
            _ => bytes.extend([0; 4]),
        }
    }
    bytes
}
