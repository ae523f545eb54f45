//! Partitions: the medium partition page (11h) and what FORMAT MEDIUM makes of it (SSC-5 §8.5.5).
//!
//! A host sends the page with MODE SELECT; nothing happens to the tape (POFM). The next FORMAT MEDIUM
//! with format 1 or 2 makes the partitions. The page's body:
//!
//! | byte | content |
//! |--:|---|
//! | 0 | most additional partitions |
//! | 1 | additional partitions |
//! | 2 | how sizes are chosen {FDP 80h, SDP 40h, IDP 20h}, unit of sizes PSUM 18h, POFM 04h |
//! | 3 | medium format recognition, 03h |
//! | 4 | exponent of ten of the unit, for PSUM 11b |
//! | 6 | four sizes of two bytes; FFFFh takes what is left |

use scsi::Sense;

use crate::cartridge::{CAPACITY_BYTES_MIN, CartridgeState};

/// Bytes of [`Layout::to_bytes`].
pub(super) const LAYOUT_BYTES: usize = 12;
/// Bytes of the page behind its header.
pub(super) const PAGE_BYTES: usize = 14;

const FIXED: u8 = 0x80;
const EQUAL: u8 = 0x40;
const SIZED: u8 = 0x20;
const UNIT: u8 = 0x18;
const ON_FORMAT: u8 = 0x04;
const TEN_TO_THE: u8 = 0x18;
const REST: u16 = 0xffff;
/// Parts of a tape that FDP gives to each additional partition.
const FIXED_SHARE: u64 = 32;

/// What a host asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    additional: u8,
    flags: u8,
    exponent: u8,
    sizes: [u16; 4],
}

impl Layout {
    /// From the body of page 11h.
    pub fn from_page(body: &[u8]) -> Option<Layout> {
        let [_, additional, flags, _, exponent, _, sizes @ ..] = body else { return None };
        let mut layout = Layout {
            additional: *additional,
            flags: *flags,
            exponent: exponent & 0x0f,
            sizes: [0; 4],
        };
        let (pairs, _) = sizes.as_chunks::<2>();
        for (size, bytes) in layout.sizes.iter_mut().zip(pairs) {
            *size = u16::from_be_bytes(*bytes);
        }
        Some(layout)
    }

    /// For the drive's record.
    pub fn to_bytes(self) -> [u8; LAYOUT_BYTES] {
        let [a, b, c, d] = self.sizes.map(u16::to_be_bytes);
        let head = [self.additional, self.flags, self.exponent, 0];
        let mut bytes = [0; LAYOUT_BYTES];
        for (to, from) in bytes.iter_mut().zip(head.into_iter().chain([a, b, c, d].concat())) {
            *to = from;
        }
        bytes
    }

    /// Back from the drive's record. A layout always has a way to choose sizes; zeros are none.
    pub fn from_bytes(bytes: &[u8; LAYOUT_BYTES]) -> Option<Layout> {
        let [additional, flags, exponent, _, a, b, c, d, e, f, g, h] = *bytes;
        let pairs = [[a, b], [c, d], [e, f], [g, h]];
        let layout = Layout { additional, flags, exponent, sizes: pairs.map(u16::from_be_bytes) };
        (flags != 0).then_some(layout)
    }

    fn page(self, additional_max: u8) -> Vec<u8> {
        let mut body = vec![additional_max, self.additional, self.flags, 0x03, self.exponent, 0];
        body.extend(self.sizes.into_iter().flat_map(u16::to_be_bytes));
        body
    }

    /// The capacities in bytes that it means for a cartridge; none for one partition.
    ///
    /// # Errors
    ///
    /// 5/26/00 if it cannot be: too many partitions, no or several ways to choose sizes, sizes that do
    /// not fit.
    pub fn capacities(self, state: &CartridgeState) -> Result<Vec<u64>, Sense> {
        const WRONG: Sense = Sense::INVALID_FIELD_IN_PARAMETERS;
        let whole = state.capacity_bytes;
        if self.additional > state.generation.facts().additional_partitions_max {
            return Err(WRONG);
        }
        let count = u64::from(self.additional) + 1;
        if count == 1 {
            return Ok(Vec::new());
        }
        let capacities = match self.flags & (FIXED | EQUAL | SIZED) {
            FIXED => {
                let share = whole / FIXED_SHARE;
                let first = whole - share * u64::from(self.additional);
                std::iter::once(first).chain((1..count).map(|_| share)).collect()
            }
            EQUAL => (0..count).map(|_| whole / count).collect(),
            SIZED => self.sized(whole)?,
            _ => return Err(WRONG),
        };
        if capacities.iter().any(|capacity| *capacity < CAPACITY_BYTES_MIN) {
            return Err(WRONG);
        }
        Ok(capacities)
    }

    fn sized(self, whole: u64) -> Result<Vec<u64>, Sense> {
        const WRONG: Sense = Sense::INVALID_FIELD_IN_PARAMETERS;
        let unit = match self.flags & UNIT {
            0x00 => 1,
            0x08 => 1_000,
            0x10 => 1_000_000,
            _ => 10u64.checked_pow(self.exponent.into()).ok_or(WRONG)?,
        };
        let sizes = self.sizes.get(..=usize::from(self.additional)).ok_or(WRONG)?;
        let mut rests = 0;
        let mut taken = 0u64;
        for size in sizes {
            if *size == REST {
                rests += 1;
            } else {
                let bytes = unit.checked_mul((*size).into()).ok_or(WRONG)?;
                taken = taken.checked_add(bytes).ok_or(WRONG)?;
            }
        }
        let left = whole.checked_sub(taken).ok_or(WRONG)?;
        if rests > 1 {
            return Err(WRONG);
        }
        let bytes = |size: u16| if size == REST { left } else { u64::from(size) * unit };
        Ok(sizes.iter().map(|size| bytes(*size)).collect())
    }
}

/// The page as it is now: what was asked for, else what the medium has.
pub(super) fn page(asked: Option<Layout>, state: Option<&CartridgeState>) -> Vec<u8> {
    let Some(state) = state else { return vec![0, 0, TEN_TO_THE | ON_FORMAT, 0x03, 9, 0] };
    let most = state.generation.facts().additional_partitions_max;
    let layout = asked.unwrap_or_else(|| {
        let exponent = exponent(state.capacity_bytes);
        let unit = 10u64.pow(exponent.into());
        let mut sizes = [0; 4];
        for (size, number) in sizes.iter_mut().zip(0..state.partitions()) {
            let units = state.partition_capacity_bytes(number) / unit;
            // FFFFh would be read as "what is left".
            *size = u16::try_from(units).unwrap_or(REST - 1);
        }
        Layout {
            additional: state.partitions() - 1,
            flags: TEN_TO_THE | ON_FORMAT,
            exponent,
            sizes,
        }
    });
    layout.page(most)
}

/// The smallest unit in which a size fits: 10⁹ for LTO, less for the small cartridges of tests.
fn exponent(capacity_bytes: u64) -> u8 {
    match capacity_bytes {
        0..=60_000_000 => 3,
        60_000_001..=60_000_000_000 => 6,
        _ => 9,
    }
}

/// What MODE SELECT may change: nothing where the medium cannot be partitioned.
pub(super) fn changeable(state: Option<&CartridgeState>) -> Vec<u8> {
    match state {
        Some(state) if state.generation.facts().additional_partitions_max > 0 => {
            let ways = FIXED | EQUAL | SIZED | UNIT | ON_FORMAT;
            vec![0, 0xff, ways, 0, 0x0f, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;

    fn state(generation: Generation, capacity_bytes: u64) -> CartridgeState {
        let barcode = format!("CAP001{}", generation.facts().suffix);
        CartridgeState::new(&barcode, generation, Some(capacity_bytes)).unwrap()
    }

    #[test]
    fn sizes_are_chosen_in_three_ways() {
        const MB: u64 = 1_000_000;
        let lto8 = state(Generation::Lto8, 6_400 * MB);
        let layout =
            |additional, flags, exponent, sizes| Layout { additional, flags, exponent, sizes };
        let rows: [(Layout, Option<Vec<u64>>); 11] = [
            (layout(0, SIZED, 0, [0; 4]), Some(vec![])),
            (layout(1, FIXED, 0, [0; 4]), Some(vec![6_200 * MB, 200 * MB])),
            (layout(3, EQUAL, 0, [0; 4]), Some(vec![1_600 * MB; 4])),
            (layout(1, SIZED | 0x10, 0, [400, REST, 0, 0]), Some(vec![400 * MB, 6_000 * MB])),
            (layout(1, SIZED | 0x18, 9, [REST, 2, 0, 0]), Some(vec![4_400 * MB, 2_000 * MB])),
            (layout(1, SIZED | 0x10, 0, [400, 400, 0, 0]), Some(vec![400 * MB, 400 * MB])),
            // Too many, no way or two ways, two rests, too large, too small.
            (layout(4, EQUAL, 0, [0; 4]), None),
            (layout(1, FIXED | EQUAL, 0, [0; 4]), None),
            (layout(1, SIZED | 0x10, 0, [REST, REST, 0, 0]), None),
            (layout(1, SIZED | 0x18, 9, [7, REST, 0, 0]), None),
            (layout(1, SIZED, 0, [7, REST, 0, 0]), None),
        ];
        for (layout, expected) in rows {
            assert_eq!(layout.capacities(&lto8).ok(), expected, "{layout:?}");
            assert_eq!(Layout::from_bytes(&layout.to_bytes()), Some(layout));
            assert_eq!(Layout::from_page(&layout.page(3)), Some(layout));
        }
        let two = layout(1, EQUAL, 0, [0; 4]);
        assert!(two.capacities(&state(Generation::Lto5, 6_400 * MB)).is_ok());
        let three = layout(2, EQUAL, 0, [0; 4]);
        assert!(three.capacities(&state(Generation::Lto5, 6_400 * MB)).is_err());
        assert!(two.capacities(&state(Generation::Lto4, 6_400 * MB)).is_err());
        // Any exponent that a host invents.
        let wild = layout(1, SIZED | 0x18, 15, [REST - 1, REST - 1, 0, 0]);
        assert!(wild.capacities(&lto8).is_err());
    }
}
