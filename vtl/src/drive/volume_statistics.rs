//! Log pages about the cartridge: volume statistics (17h) and capacity (31h) (SSC-5 §8.3).
//!
//! Counts of data sets and passes are those of a drive that moves the tape for nothing but its data; retries are those that faults
//! ask for. Page 17h is exact: no parameter is padding.

use super::{Drive, Medium};
use crate::cartridge::{Cartridge, CartridgeState, Purpose};
use crate::geometry::Geometry;
use crate::identity::VENDOR;
use crate::timing;
use crate::unit::inquiry::padded;
use crate::unit::log_pages::Parameter;

const MB: u64 = 1_000_000;
const MIB: u64 = 1 << 20;
/// LTO groups data in sets of about this size.
const DATA_SET_BYTES: u64 = 2_500_000;
/// Passes from end to end after which a cartridge counts as used up.
const PASSES_IN_LIFE: u64 = 16_000;

/// Page 17h.
pub(super) fn page(drive: &Drive) -> Vec<Parameter> {
    let Medium::Threaded(cartridge) = &drive.medium else {
        // Page not valid: there is no volume.
        return vec![Parameter::number(0x0000, 0, 1)];
    };
    let state = &cartridge.state;
    let recorded = cartridge.recorded();
    let used: u64 = recorded.iter().sum();
    let capacities =
        || (0..state.partitions()).map(|number| state.partition_capacity_bytes(number));
    let marks = || (0..state.partitions()).map(|number| state.marks(number));
    let worm = state.purpose == Purpose::Worm;
    let facts = state.generation.facts();
    let life_left = 100 - (passes(cartridge).min(PASSES_IN_LIFE) * 100 / PASSES_IN_LIFE);
    vec![
        Parameter::number(0x0000, 1, 1),
        Parameter::number(0x0001, state.load_count, 8),
        Parameter::number(0x0002, state.lifetime_written_bytes / DATA_SET_BYTES, 8),
        Parameter::number(0x0003, state.lifetime_errors.write_retries, 4),
        Parameter::number(0x0004, state.lifetime_errors.write_errors, 4),
        Parameter::number(0x0005, 0, 4),
        Parameter::number(0x0006, 0, 4),
        Parameter::number(0x0007, state.lifetime_read_bytes / DATA_SET_BYTES, 8),
        Parameter::number(0x0008, state.lifetime_errors.read_retries, 4),
        Parameter::number(0x0009, state.lifetime_errors.read_errors, 4),
        Parameter::number(0x000a, 0, 4),
        Parameter::number(0x000b, 0, 4),
        Parameter::number(0x000c, state.last_load_errors.write_errors, 4),
        Parameter::number(0x000d, state.last_load_errors.read_errors, 4),
        Parameter::number(0x000e, state.last_load_written_bytes / MB, 8),
        Parameter::number(0x000f, state.last_load_read_bytes / MB, 8),
        Parameter::number(0x0010, state.lifetime_written_bytes / MB, 8),
        Parameter::number(0x0011, state.lifetime_read_bytes / MB, 8),
        Parameter::number(0x0012, 100, 8),
        Parameter::number(0x0013, 100, 8),
        Parameter::number(0x0014, load_ms(drive), 6),
        Parameter::number(0x0015, load_ms(drive), 6),
        Parameter::number(0x0016, state.capacity_bytes / MB, 4),
        Parameter::number(0x0017, used / MB, 4),
        Parameter::number(0x0018, state.capacity_bytes / MB, 4),
        Parameter::number(0x0019, life_left, 1),
        Parameter::text(0x0040, &format!("{:<32}", state.serial())),
        Parameter::text(0x0041, &format!("{:<8}", state.serial().get(..8).unwrap_or_default())),
        Parameter::text(0x0042, &format!("{:<32}", state.barcode)),
        Parameter::text(0x0043, &format!("{VENDOR:<8}")),
        // No licence belongs to an emulated cartridge.
        Parameter::text(0x0044, &" ".repeat(8)),
        Parameter::text(0x0045, &format!("{:<8}", facts.density_name)),
        Parameter::number(0x0080, u64::from(state.write_protected), 1),
        Parameter::number(0x0081, u64::from(worm), 1),
        Parameter::number(0x0082, 0, 1),
        Parameter::number(0x0100, state.write_mounts, 4),
        Parameter::number(0x0101, state.load_count.saturating_add(passes(cartridge)), 4),
        Parameter::number(0x0102, passes(cartridge), 4),
        objects_by_partition(0x0200, marks().map(|marks| marks.first_encrypted)),
        objects_by_partition(0x0201, marks().map(|marks| marks.first_plain_after)),
        per_partition(0x0202, capacities()),
        per_partition(0x0203, recorded.iter().copied()),
        per_partition(
            0x0204,
            capacities().zip(&recorded).map(|(capacity, used)| capacity.saturating_sub(*used)),
        ),
        mount_history(0x0300, &state.last_drives),
    ]
}

/// Milliseconds that the last load took until the tape was mounted, and ready: threading makes it both.
fn load_ms(drive: &Drive) -> u64 {
    if !drive.home.clock().is_running() {
        return 0;
    }
    u64::try_from(timing::load(drive.generation()).as_millis()).unwrap_or(u64::MAX)
}

/// How often the middle of the tape passed the head: once for each wrap that was written or read.
fn passes(cartridge: &Cartridge) -> u64 {
    let state = &cartridge.state;
    let moved = state.lifetime_written_bytes.saturating_add(state.lifetime_read_bytes);
    let wraps = Geometry::new(state.generation, state.capacity_bytes).wraps();
    let passes = u128::from(moved) * u128::from(wraps) / u128::from(state.capacity_bytes.max(1));
    u64::try_from(passes).unwrap_or(u64::MAX)
}

/// A list with one record a partition: length of the rest, reserved, partition, value in MB.
fn per_partition(code: u16, bytes: impl IntoIterator<Item = u64>) -> Parameter {
    let list: Vec<u8> = (0u16..)
        .zip(bytes)
        .flat_map(|(partition, bytes)| {
            let [high, low] = partition.to_be_bytes();
            let value = u32::try_from(bytes / MB).unwrap_or(u32::MAX).to_be_bytes();
            [&[0x07, 0, high, low][..], &value].concat()
        })
        .collect();
    Parameter::binary(code, &list)
}

/// A list with one record a partition: length of the rest, reserved, partition, object number; all ones where there
/// is no such object.
fn objects_by_partition(code: u16, objects: impl IntoIterator<Item = Option<u64>>) -> Parameter {
    let list: Vec<u8> = (0u16..)
        .zip(objects)
        .flat_map(|(partition, object)| {
            let [high, low] = partition.to_be_bytes();
            let [_, _, object @ ..] = object.unwrap_or(u64::MAX).to_be_bytes();
            [&[0x09, 0, high, low][..], &object].concat()
        })
        .collect();
    Parameter::binary(code, &list)
}

/// A list with one record for each of the last drives, the latest first: length of the rest, reserved, index, vendor
/// (8), serial number (32).
fn mount_history(code: u16, drives: &[String]) -> Parameter {
    let list: Vec<u8> = (0u16..)
        .zip(drives)
        .flat_map(|(index, drive)| {
            let [high, low] = index.to_be_bytes();
            [&[0x2b, 0, high, low][..], &padded(drive, 40)].concat()
        })
        .collect();
    Parameter::binary(code, &list)
}

/// Page 31h in MiB: partition 0 is the main one, partition 1 the alternate.
pub(super) fn capacity(drive: &Drive) -> Vec<Parameter> {
    let (remaining, maximum) = match &drive.medium {
        Medium::Threaded(cartridge) => (
            remaining_mib(&cartridge.state, &cartridge.recorded()),
            [0, 1].map(|number| cartridge.state.partition_capacity_bytes(number) / MIB),
        ),
        _ => ([0; 2], [0; 2]),
    };
    let values = [remaining, maximum].concat();
    (1..).zip(values).map(|(code, value)| Parameter::number(code, value, 4)).collect()
}

fn remaining_mib(state: &CartridgeState, recorded: &[u64]) -> [u64; 2] {
    [0u8, 1].map(|number| {
        let used = recorded.get(usize::from(number)).copied().unwrap_or(0);
        state.partition_capacity_bytes(number).saturating_sub(used) / MIB
    })
}
