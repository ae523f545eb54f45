//! READ ATTRIBUTE and WRITE ATTRIBUTE: the cartridge memory (SPC-4 §6.17, §6.41, §7.4).

use std::collections::BTreeMap;

use scsi::Sense;

use super::{Drive, threaded, usage};
use crate::cartridge::{CLEANINGS, CartridgeState, HostAttribute, Purpose};
use crate::generation::Generation;
use crate::unit::inquiry::padded;
use crate::unit::{Command, Done, Stop};

const READ_ONLY: u8 = 0x80;
const BINARY: u8 = 0;
const ASCII: u8 = 1;
const TEXT: u8 = 2;
/// Largest value of an attribute without a fixed length; the memory chip is small.
const VALUE_BYTES_MAX: usize = 1_024;
const MIB: u64 = 1 << 20;

/// Attributes that hosts may write: identifier, length (0: any), format.
const HOST_ATTRIBUTES: &[(u16, usize, u8)] = &[
    (0x0800, 8, ASCII),
    (0x0801, 32, ASCII),
    (0x0802, 8, ASCII),
    (0x0803, 160, TEXT),
    (0x0804, 12, ASCII),
    (0x0805, 1, BINARY),
    (0x0806, 32, ASCII),
    (0x0807, 80, TEXT),
    (0x0808, 160, TEXT),
    (0x0809, 16, ASCII),
    (0x080a, 1, BINARY),
    (0x080b, 16, ASCII),
    (0x080c, 0, BINARY),
    (0x0820, 36, BINARY),
    (0x0821, 36, BINARY),
];

/// Length (0: any) and format of a host attribute; `None` if hosts may not write it.
fn host_attribute(id: u16, format: u8) -> Option<(usize, u8)> {
    if (0x1400..=0x17ff).contains(&id) {
        return Some((0, format));
    }
    HOST_ATTRIBUTES
        .iter()
        .find(|(known, _, _)| *known == id)
        .map(|(_, length, format)| (*length, *format))
}

/// Bytes that the memory keeps for what hosts write: a chip has about as much.
const HOST_BYTES_MAX: u64 = 4_096;
/// What hosts wrote does not fit any more (5/55/06).
const MEMORY_FULL: Sense = Sense::new(scsi::SenseKey::IllegalRequest, 0x55, 0x06);

/// Bytes that hosts' attributes take: values and heads.
fn host_bytes(attributes: &BTreeMap<u16, HostAttribute>) -> u64 {
    attributes.values().map(|attribute| attribute.value.len() as u64 + 5).sum()
}

/// The memory of the cartridge in the drive, and the data bytes in each partition. That of a cleaning cartridge can be
/// read although its tape is out of reach.
fn memory(drive: &mut Drive) -> Result<(&CartridgeState, Vec<u64>), Stop> {
    let Drive { medium, cleaner, .. } = drive;
    match cleaner {
        Some(cleaner) => Ok((&cleaner.memory, vec![0])),
        None => {
            let cartridge = threaded(medium)?;
            Ok((&cartridge.state, cartridge.recorded()))
        }
    }
}

/// 0408h and 0409h: what kind of medium it is; of a cleaning cartridge, how many uses it is made for.
fn medium_type(purpose: Purpose) -> (u8, u16) {
    match purpose {
        Purpose::Data => (0x00, 0),
        Purpose::Cleaning => (0x01, CLEANINGS),
        Purpose::Worm => (0x80, 0),
    }
}

/// Everything that the memory holds about a partition with `used` data bytes: identifier to flags and value.
fn all(state: &CartridgeState, used: u64, partition: u8) -> BTreeMap<u16, (u8, Vec<u8>)> {
    let facts = state.generation.facts();
    let (kind, kind_information) = medium_type(state.purpose);
    let capacity = match state.purpose {
        Purpose::Cleaning => 0,
        _ => state.partition_capacity_bytes(partition),
    };
    let marks = state.marks(partition);
    let long = |value: u64| (BINARY, value.to_be_bytes().to_vec());
    let text = |value: &str, length: usize| (ASCII, padded(value, length));
    let left = HOST_BYTES_MAX.saturating_sub(host_bytes(&state.attributes));
    let identity = format!("{:<8}{}", crate::identity::VENDOR, state.serial());
    let identity_bytes = |length: usize| {
        let mut bytes = identity.as_bytes().to_vec();
        bytes.resize(length, 0);
        (BINARY, bytes)
    };
    let mut attributes = BTreeMap::from([
        (0x0000, long(capacity.saturating_sub(used) / MIB)),
        (0x0001, long(capacity / MIB)),
        (0x0002, long(state.last_load_alerts)),
        (0x0003, long(state.load_count)),
        (0x0004, long(left)),
        (0x0005, text("LTO-CVE", 8)),
        (0x0006, (BINARY, vec![facts.density])),
        (0x0007, (BINARY, state.initialization_count.to_be_bytes().to_vec())),
        (0x0008, text(&state.barcode, 32)),
        (0x0009, (BINARY, state.change_reference.to_be_bytes().to_vec())),
        (0x0220, long(state.lifetime_written_bytes / MIB)),
        (0x0221, long(state.lifetime_read_bytes / MIB)),
        (0x0222, long(state.last_load_written_bytes / MIB)),
        (0x0223, long(state.last_load_read_bytes / MIB)),
        // All ones: there is none.
        (0x0224, long(marks.first_encrypted.unwrap_or(u64::MAX))),
        (0x0225, long(marks.first_plain_after.unwrap_or(u64::MAX))),
        (0x0340, (BINARY, usage::medium(state))),
        (0x0341, (BINARY, usage::partition(state))),
        (0x0400, text(crate::identity::VENDOR, 8)),
        (0x0401, text(&state.serial(), 32)),
        (0x0402, (BINARY, facts.length_m.to_be_bytes().to_vec())),
        (0x0403, (BINARY, 127u32.to_be_bytes().to_vec())),
        (0x0404, text("LTO-CVE", 8)),
        (0x0405, (BINARY, vec![facts.density])),
        (0x0406, text(&crate::date::yyyymmdd(state.created), 8)),
        (0x0407, long(facts.memory_bytes)),
        (0x0408, (BINARY, vec![kind])),
        (0x0409, (BINARY, kind_information.to_be_bytes().to_vec())),
        (0x040b, (BINARY, supported_densities(state.generation))),
        (0x1000, identity_bytes(28)),
        (0x1001, identity_bytes(24)),
    ]);
    for (id, drive) in (0x020a..=0x020d).zip(&state.last_drives) {
        attributes.insert(id, text(drive, 40));
    }
    for (flags, _) in attributes.values_mut() {
        *flags |= READ_ONLY;
    }
    for (id, attribute) in &state.attributes {
        attributes.insert(*id, (attribute.format, attribute.value.clone()));
    }
    attributes
}

/// 040Bh: the formats that the medium can be brought to, ten bytes.
fn supported_densities(generation: Generation) -> Vec<u8> {
    let mut codes = vec![generation.facts().density];
    if generation == Generation::Lto7 {
        // An LTO-8 drive can make a type M cartridge of it.
        codes.push(Generation::Lto7M8.facts().density);
    }
    codes.resize(10, 0);
    codes
}

/// READ ATTRIBUTE: values (00h), identifiers (01h), volumes (02h), partitions (03h), identifiers
/// that could exist (05h).
pub(super) fn read(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let (state, recorded) = memory(drive)?;
    let first = command.number(8, 2) as u16;
    let allocation = command.number(10, 4);
    let partition = command.byte(7);
    if command.byte(5) != 0 || partition >= state.partitions() {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let used = recorded.get(usize::from(partition)).copied().unwrap_or(0);
    let attributes = all(state, used, partition);
    let body: Vec<u8> = match command.byte(1) & 0x1f {
        0x00 => {
            let values: Vec<u8> = attributes
                .range(first..)
                .flat_map(|(id, (flags, value))| {
                    let length = (value.len() as u16).to_be_bytes();
                    [&id.to_be_bytes()[..], &[*flags], &length, value].concat()
                })
                .collect();
            if values.is_empty() {
                return Err(Sense::INVALID_FIELD_IN_CDB.into());
            }
            values
        }
        0x01 => attributes.keys().flat_map(|id| id.to_be_bytes()).collect(),
        0x02 | 0x03 => {
            // Two bytes follow: the first volume (partition) and how many there are.
            let count = if command.byte(1) & 0x1f == 0x03 { state.partitions() } else { 1 };
            command.reply(&[0, 2, 0, count], allocation);
            return Ok(());
        }
        0x05 => {
            let mut ids: Vec<u16> = attributes.keys().copied().collect();
            ids.extend(HOST_ATTRIBUTES.iter().map(|(id, _, _)| *id));
            ids.extend(0x020a..=0x020d);
            ids.sort_unstable();
            ids.dedup();
            ids.into_iter().flat_map(u16::to_be_bytes).collect()
        }
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    let reply = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
    command.reply(&reply, allocation);
    Ok(())
}

/// WRITE ATTRIBUTE. All attributes of the list are checked before any is stored; they are durable
/// when the command ends.
pub(super) fn write(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let cartridge = threaded(&mut drive.medium)?;
    if command.byte(5) != 0 || command.byte(7) >= cartridge.state.partitions() {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let length = command.number(10, 4);
    if length == 0 {
        return Ok(());
    }
    let list = command.parameters(usize::try_from(length).unwrap_or(usize::MAX))?;
    let changes = parse(list)?;
    let mut attributes = cartridge.state.attributes.clone();
    for (id, attribute) in changes {
        match attribute {
            Some(attribute) => attributes.insert(id, attribute),
            None => attributes.remove(&id),
        };
    }
    if host_bytes(&attributes) > HOST_BYTES_MAX {
        return Err(MEMORY_FULL.into());
    }
    cartridge.state.attributes = attributes;
    cartridge.save()?;
    Ok(())
}

/// Identifiers with their new values, `None` to remove.
fn parse(list: &[u8]) -> Result<Vec<(u16, Option<HostAttribute>)>, Sense> {
    let (head, rest) = list.split_first_chunk::<4>().ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    let announced = u32::from_be_bytes(*head) as usize;
    let mut rest = rest.get(..announced).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    let mut changes = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let [id_high, id_low, flags, length_high, length_low] = *head;
        let id = u16::from_be_bytes([id_high, id_low]);
        let length = usize::from(u16::from_be_bytes([length_high, length_low]));
        let (value, next) = tail.split_at_checked(length).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        rest = next;
        let (fixed, format) =
            host_attribute(id, flags & 0x03).ok_or(Sense::INVALID_FIELD_IN_PARAMETERS)?;
        let longest = if fixed == 0 { VALUE_BYTES_MAX } else { fixed };
        if value.len() > longest {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS);
        }
        if value.is_empty() {
            changes.push((id, None));
            continue;
        }
        let mut value = value.to_vec();
        if value.len() < fixed {
            value.resize(fixed, if format == ASCII { b' ' } else { 0 });
        }
        changes.push((id, Some(HostAttribute { format, value })));
    }
    if !rest.is_empty() {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    Ok(changes)
}
