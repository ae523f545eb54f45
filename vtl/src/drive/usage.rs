//! Usage histories in the cartridge memory: attributes 0340h and 0341h (SPC-4 §7.4.2.2.7 and
//! following).
//!
//! Fifteen numbers, of six bytes for the medium and of four for a partition: written, write retries,
//! read, read retries for the present load; the same for the load before; the same for the life of the
//! cartridge; loads, changes of partition, initialisations of partitions. Amounts are in MiB.

use crate::cartridge::{CartridgeState, ErrorCounts};

const MIB: u64 = 1 << 20;

fn numbers(state: &CartridgeState) -> [u64; 15] {
    let amounts = |written: u64, read: u64, errors: &ErrorCounts| {
        [written / MIB, errors.write_retries, read / MIB, errors.read_retries]
    };
    let [a, b, c, d] =
        amounts(state.last_load_written_bytes, state.last_load_read_bytes, &state.last_load_errors);
    let [e, f, g, h] = amounts(
        state.previous_load_written_bytes,
        state.previous_load_read_bytes,
        &state.previous_load_errors,
    );
    let [i, j, k, l] =
        amounts(state.lifetime_written_bytes, state.lifetime_read_bytes, &state.lifetime_errors);
    let initializations = u64::from(state.initialization_count);
    [a, b, c, d, e, f, g, h, i, j, k, l, state.load_count, state.partition_changes, initializations]
}

fn fields(state: &CartridgeState, bytes: usize) -> Vec<u8> {
    numbers(state)
        .into_iter()
        .flat_map(|number| number.to_be_bytes().into_iter().skip(8 - bytes))
        .collect()
}

/// Attribute 0340h, 90 bytes.
pub(super) fn medium(state: &CartridgeState) -> Vec<u8> {
    fields(state, 6)
}

/// Attribute 0341h, 60 bytes. Counts are not kept for each partition: all show the medium's.
pub(super) fn partition(state: &CartridgeState) -> Vec<u8> {
    fields(state, 4)
}
