//! Recommended access order (SSC-5 §7.6, §7.8): in which order parts of a tape are reached with the least winding.
//!
//! Full-height LTO-9 and LTO-10 drives have it, and every drive here is full-height. The order is that of a host who
//! always goes on to the nearest part, by the time that [`Geometry`] gives for the way; where that is not
//! shorter than going up, it is going up. The list is kept until the cartridge leaves.

use scsi::Sense;
use scsi::command::access_order::{
    HEADER_BYTES, LIMITS, OrderLimits, REORDER, SEGMENT_BYTES, Segment, build_list, parse_list,
};

use super::{Drive, threaded};
use crate::generation::Generation;
use crate::geometry::{Geometry, Place};
use crate::unit::{Command, Done, Stop};

/// Most segments at once: what drives were seen to tell.
const SEGMENTS_MAX: u16 = 2700;

/// Where a segment begins and ends on the tape.
type Ends = (Place, Place);

/// The service action of both commands.
pub(super) const SERVICE_ACTION: u16 = 0x1d;

pub(super) fn has_order(generation: Generation) -> bool {
    generation >= Generation::Lto9
}

/// The indices of segments in the order to read them, from where the tape stands.
fn order(tape: &Geometry, start: Place, segments: &[Ends]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..segments.len()).collect();
    let mut nearest = Vec::with_capacity(segments.len());
    let mut here = start;
    let way = |from: Place, index: usize| {
        segments.get(index).map_or(u64::MAX, |(first, _)| tape.locate_ms(from, *first))
    };
    while let Some((place, index)) =
        left.iter().copied().enumerate().min_by_key(|(_, index)| (way(here, *index), *index))
    {
        left.swap_remove(place);
        nearest.push(index);
        here = segments.get(index).map_or(here, |(_, last)| *last);
    }
    let ascending: Vec<usize> = (0..segments.len()).collect();
    if cost_ms(tape, start, segments, &nearest) < cost_ms(tape, start, segments, &ascending) {
        nearest
    } else {
        ascending
    }
}

/// What the ways between segments take in this order.
fn cost_ms(tape: &Geometry, start: Place, segments: &[Ends], order: &[usize]) -> u64 {
    let mut here = start;
    let mut sum_ms = 0;
    for (first, last) in order.iter().filter_map(|index| segments.get(*index)) {
        sum_ms += tape.locate_ms(here, *first);
        here = *last;
    }
    sum_ms
}

/// MAINTENANCE IN with service action 1Dh: limits, or the ordered list.
pub(super) fn receive(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    if !has_order(drive.generation()) || command.byte(10) & 0x07 != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let allocation = command.number(6, 4);
    if command.byte(1) & LIMITS != 0 {
        let limits =
            OrderLimits { segments_max: SEGMENTS_MAX, descriptor_bytes_max: SEGMENT_BYTES as u16 };
        command.reply(&limits.build(), allocation);
        return Ok(());
    }
    threaded(&mut drive.medium)?;
    let from = usize::try_from(command.number(2, 4)).unwrap_or(usize::MAX);
    let rest = drive.access_order.get(from..).ok_or(Sense::INVALID_FIELD_IN_CDB)?;
    let mut list = build_list(rest);
    if let Some(process) = list.first_mut() {
        *process = REORDER;
    }
    command.reply(&list, allocation);
    Ok(())
}

/// MAINTENANCE OUT with service action 1Dh.
pub(super) fn generate(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    if !has_order(drive.generation()) {
        return Err(Sense::INVALID_OPCODE.into());
    }
    let is_plain = command.byte(2) & 0x07 == REORDER && command.byte(3) & 0x07 == 0;
    threaded(&mut drive.medium)?;
    if !is_plain {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let list = command.parameters(usize::try_from(command.number(6, 4)).unwrap_or(usize::MAX))?;
    if list.len() < HEADER_BYTES {
        return Err(Sense::PARAMETER_LIST_LENGTH.into());
    }
    let segments = parse_list(list).map_err(|_| Sense::INVALID_FIELD_IN_PARAMETERS)?;
    if segments.len() > usize::from(SEGMENTS_MAX) {
        return Err(Sense::INVALID_FIELD_IN_PARAMETERS.into());
    }
    drive.access_order = ordered(drive, &segments)?;
    Ok(())
}

fn ordered(drive: &mut Drive, segments: &[Segment]) -> Result<Vec<Segment>, Stop> {
    let (position, partition) = (drive.record.position, drive.record.partition);
    let cartridge = threaded(&mut drive.medium)?;
    let tape = Geometry::new(cartridge.state.generation, cartridge.capacity_bytes());
    let objects = cartridge.log.objects();
    let mut ends = Vec::with_capacity(segments.len());
    for segment in segments {
        if segment.partition != partition || segment.first > segment.last || segment.last >= objects
        {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS.into());
        }
        let first = cartridge.log.bytes_before(segment.first)?;
        let behind = cartridge.log.bytes_before(segment.last + 1)?;
        ends.push((tape.place(first), tape.place(behind)));
    }
    let start = tape.place(cartridge.log.bytes_before(position)?);
    let order = order(&tape, start, &ends);
    Ok(order.iter().filter_map(|index| segments.get(*index).copied()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_segment_comes_once_and_never_later_than_going_up(
            bytes in proptest::collection::vec(0u64..18_000_000_000_000, 0..60),
            start in 0u64..18_000_000_000_000,
        ) {
            let tape = Geometry::new(Generation::Lto9, 18_000_000_000_000);
            let mut bytes = bytes;
            bytes.sort_unstable();
            let ends: Vec<Ends> = bytes
                .iter()
                .map(|byte| (tape.place(*byte), tape.place(*byte + 100_000_000)))
                .collect();
            let start = tape.place(start);
            let found = order(&tape, start, &ends);
            let mut sorted = found.clone();
            sorted.sort_unstable();
            let ascending: Vec<usize> = (0..ends.len()).collect();
            prop_assert_eq!(&sorted, &ascending);
            let cost = |order: &[usize]| cost_ms(&tape, start, &ends, order);
            prop_assert!(cost(&found) <= cost(&ascending));
        }
    }

    #[test]
    fn a_hundred_places_take_a_fraction_of_the_way() {
        let tape = Geometry::new(Generation::Lto9, 18_000_000_000_000);
        // Spread evenly over the data, so at all places along the tape.
        let ends: Vec<Ends> = (0..100u64)
            .map(|number| tape.place(number * 179_000_000_000 + number * number * 7_777_777))
            .map(|place| (place, place))
            .collect();
        let start = Place::BEGINNING;
        let ascending: Vec<usize> = (0..100).collect();
        let up_ms = cost_ms(&tape, start, &ends, &ascending);
        let found_ms = cost_ms(&tape, start, &ends, &order(&tape, start, &ends));
        assert!(found_ms * 3 < up_ms, "{found_ms} of {up_ms}");
    }
}
