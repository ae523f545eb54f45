//! Where a byte of a cartridge lies on the tape, and how long the way there takes.
//!
//! An LTO tape is recorded in *wraps*: the head writes 8, 16 or 32 tracks at once over the whole length,
//! steps sideways, and writes the next wrap in the other direction. So two bytes that are far apart
//! in the data may lie side by side on the tape, and neighbours in the data at a wrap's end may
//! be reached only by turning round. That is all that a recommended access order exploits, and what
//! a model of time needs to know of a locate.
//!
//! Wraps follow from published track counts (tracks ÷ heads: 80 for LTO-5 … 280 for LTO-9), the
//! length from the cartridge memory's attribute 0402h. A cartridge of less than its generation's capacity
//! has the same wraps, each with less on it, so that small cartridges in tests behave like large
//! ones. The recorded part is taken as the whole length; leader and servo areas are left out.
//!
//! Times are a model with round numbers, not measurements of a product: a full rewind at 10 m/s takes
//! the 80 to 100 s that data sheets of LTO-5 to LTO-9 name.

use crate::generation::Generation;

/// Speed of locating and rewinding in millimetres per second.
pub const LOCATE_MM_PER_S: u64 = 10_000;
/// Accelerating, stopping, and finding the block in the data stream.
pub const SETTLE_MS: u64 = 1_500;
/// Moving the head to another wrap, and finding its servo track.
pub const WRAP_CHANGE_MS: u64 = 500;
/// Turning round: the tape stops and runs up again in the other direction.
pub const TURN_MS: u64 = 2_000;

/// The shape of the recorded area of one cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    wraps: u32,
    length_mm: u64,
    capacity_bytes: u64,
}

/// A place on the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Wrap, from 0; even ones run away from the beginning of the tape.
    pub wrap: u32,
    /// Distance from the beginning of the tape.
    pub from_beginning_mm: u64,
}

impl Place {
    /// Where a tape stands after it was loaded or rewound.
    pub const BEGINNING: Place = Place { wrap: 0, from_beginning_mm: 0 };

    /// The wrap is recorded away from the beginning of the tape.
    pub fn runs_forward(self) -> bool {
        self.wrap.is_multiple_of(2)
    }
}

impl Geometry {
    /// The geometry of a cartridge of this format whose hard end comes after `capacity_bytes`.
    pub fn new(format: Generation, capacity_bytes: u64) -> Geometry {
        let facts = format.facts();
        let heads = match format {
            Generation::Lto2 => 8,
            Generation::Lto3 | Generation::Lto4 | Generation::Lto5 | Generation::Lto6 => 16,
            _ => 32,
        };
        let wraps = match u32::from(facts.tracks) / heads {
            // Type M has no published track count; its wraps are known from drive manuals.
            0 => 168,
            wraps => wraps,
        };
        Geometry {
            wraps,
            length_mm: u64::from(facts.length_m) * 1_000,
            capacity_bytes: capacity_bytes.max(1),
        }
    }

    /// Wraps of the whole tape.
    pub fn wraps(&self) -> u32 {
        self.wraps
    }

    /// Length of a wrap in millimetres.
    pub fn length_mm(&self) -> u64 {
        self.length_mm
    }

    /// The place of a byte of the recorded data. Bytes behind the capacity lie at the end.
    pub fn place(&self, byte: u64) -> Place {
        let byte = u128::from(byte.min(self.capacity_bytes));
        // How many millimetres of track lie before it, over all wraps.
        let track_mm = u128::from(self.length_mm) * u128::from(self.wraps);
        let before_mm = byte * track_mm / u128::from(self.capacity_bytes);
        let wrap = (before_mm / u128::from(self.length_mm)).min(u128::from(self.wraps) - 1);
        let along_mm = before_mm - wrap * u128::from(self.length_mm);
        // Both fit: the one is below the number of wraps, the other at most a wrap's length.
        let (wrap, along_mm) = (wrap as u32, along_mm as u64);
        let forward = Place { wrap, from_beginning_mm: along_mm };
        if forward.runs_forward() {
            return forward;
        }
        Place { wrap, from_beginning_mm: self.length_mm.saturating_sub(along_mm) }
    }

    /// Time in milliseconds to go from one place to another and be ready to read there. 0 if it is
    /// the same.
    pub fn locate_ms(&self, from: Place, to: Place) -> u64 {
        if from == to {
            return 0;
        }
        let distance_mm = from.from_beginning_mm.abs_diff(to.from_beginning_mm);
        let mut time_ms = SETTLE_MS + travel_ms(distance_mm);
        if from.wrap != to.wrap {
            time_ms += WRAP_CHANGE_MS;
        }
        // Reading begins in the wrap's own direction. Whoever arrives from the other side runs past
        // the block and turns.
        let moves_forward = to.from_beginning_mm >= from.from_beginning_mm;
        if moves_forward != to.runs_forward() {
            time_ms += TURN_MS;
        }
        time_ms
    }

    /// Time in milliseconds to rewind.
    pub fn rewind_ms(&self, from: Place) -> u64 {
        match from.from_beginning_mm {
            0 if from.wrap == 0 => 0,
            distance_mm => SETTLE_MS + travel_ms(distance_mm),
        }
    }
}

fn travel_ms(distance_mm: u64) -> u64 {
    distance_mm * 1_000 / LOCATE_MM_PER_S
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lto9() -> Geometry {
        Geometry::new(Generation::Lto9, 18_000_000_000_000)
    }

    #[test]
    fn wraps_are_those_of_the_manuals() {
        let wraps = |format| Geometry::new(format, 1 << 40).wraps();
        let table = [
            (Generation::Lto2, 64),
            (Generation::Lto3, 44),
            (Generation::Lto4, 56),
            (Generation::Lto5, 80),
            (Generation::Lto6, 136),
            (Generation::Lto7, 112),
            (Generation::Lto7M8, 168),
            (Generation::Lto8, 208),
            (Generation::Lto9, 280),
            (Generation::Lto10, 472),
            (Generation::Lto10P, 472),
        ];
        for (format, expected) in table {
            assert_eq!(wraps(format), expected, "{format}");
        }
    }

    #[test]
    fn data_runs_to_and_fro() {
        let tape = lto9();
        let wrap_bytes = 18_000_000_000_000 / 280;
        let end_mm = tape.length_mm();
        assert_eq!(tape.place(0), Place::BEGINNING);
        let turn = tape.place(wrap_bytes - 1_000_000);
        assert_eq!((turn.wrap, turn.from_beginning_mm > end_mm - 20), (0, true));
        let turned = tape.place(wrap_bytes + 1_000_000);
        assert_eq!((turned.wrap, turned.from_beginning_mm > end_mm - 20), (1, true));
        let back = tape.place(2 * wrap_bytes + 1_000_000);
        assert_eq!((back.wrap, back.from_beginning_mm < 20), (2, true));
        // The last wrap of an even number ends where the tape begins.
        assert_eq!(tape.place(u64::MAX), Place { wrap: 279, from_beginning_mm: 0 });
    }

    #[test]
    fn the_long_way_takes_as_long_as_data_sheets_say() {
        let tape = lto9();
        let far = Place { wrap: 0, from_beginning_mm: tape.length_mm() };
        assert!((80_000..120_000).contains(&tape.rewind_ms(far)), "{}", tape.rewind_ms(far));
        assert_eq!(tape.rewind_ms(Place::BEGINNING), 0);
        // Far apart in the data, side by side on the tape: wrap 0 and wrap 2 at the same place.
        let here = Place { wrap: 0, from_beginning_mm: 500_000 };
        let beside = Place { wrap: 2, from_beginning_mm: 500_000 };
        assert_eq!(tape.locate_ms(here, beside), SETTLE_MS + WRAP_CHANGE_MS);
        assert_eq!(tape.locate_ms(here, here), 0);
    }

    #[test]
    fn the_average_way_is_as_long_as_the_tape_lets_expect() {
        for format in Generation::ALL {
            let capacity_bytes = format.facts().capacity_bytes;
            let tape = Geometry::new(format, capacity_bytes);
            // Places spread over all wraps; data sheets name about a minute for LTO-9.
            let ways = 9_973;
            let sum_ms: u64 = (1..=ways)
                .map(|number| tape.place(capacity_bytes / ways * number))
                .map(|to| tape.locate_ms(Place::BEGINNING, to))
                .sum();
            let half_way_ms = u64::from(format.facts().length_m) * 1_000 / 2 / 10;
            // Settling and another wrap, and on every other one turning round.
            let expected_ms = half_way_ms + SETTLE_MS + WRAP_CHANGE_MS + TURN_MS / 2;
            let average_ms = sum_ms / ways;
            assert!(average_ms.abs_diff(expected_ms) < 500, "{format}: {average_ms} ms");
            assert!((30_000..75_000).contains(&average_ms), "{format}: {average_ms} ms");
        }
    }

    proptest! {
        #[test]
        fn every_byte_has_a_place_on_the_tape(byte: u64, capacity_bytes in 1u64..1 << 45) {
            let tape = Geometry::new(Generation::Lto8, capacity_bytes);
            let place = tape.place(byte);
            prop_assert!(place.wrap < tape.wraps());
            prop_assert!(place.from_beginning_mm <= tape.length_mm());
        }

        #[test]
        fn a_detour_is_never_shorter_than_the_way(
            from in 0u64..18_000_000_000_000,
            over in 0u64..18_000_000_000_000,
            to in 0u64..18_000_000_000_000,
        ) {
            let tape = lto9();
            let [from, over, to] = [from, over, to].map(|byte| tape.place(byte));
            let detour_ms = tape.locate_ms(from, over) + tape.locate_ms(over, to);
            // A stop on the way may be approached from the better side: at most one turn is saved.
            // Rounding to whole milliseconds is the rest.
            prop_assert!(tape.locate_ms(from, to) <= detour_ms + TURN_MS + 1);
        }
    }
}
