//! How long the operations of drives and robots take: tables by generation.
//!
//! Locating and rewinding follow from where data lies ([`crate::geometry`]). The rest are round numbers from
//! drive and library manuals, meant to be of the right size, not measurements of a product:
//!
//! | | s | from |
//! |---|--:|---|
//! | load and thread | 12 … 19 | drive manuals; LTO-9 16 s (cartridge known to the memory) |
//! | unload, rewound | 17 | drive manuals |
//! | first load of an LTO-9 cartridge | 2,400 … 7,200 | calibration ("media optimisation") takes 40 min to 2 h |
//! | format | 120 | a few passes at the beginning of the tape |
//! | format, LTO-9 | as the first load | FORMAT MEDIUM calibrates again |
//! | erase, short | 5 | end of data is written |
//! | erase, long | rest of the tape at native speed | LTO-8: 9.3 h, LTO-9: 12.5 h |
//! | cleaning | 120 | one to five minutes |
//! | robot: a move | 15, and 0.1 for each place between | |
//! | robot: inventory | 1 for each place | bar codes are read one by one |

use std::time::Duration;

use crate::element::ElementKind;
use crate::generation::Generation;

/// Unloading, from the beginning of the tape.
pub const UNLOAD: Duration = Duration::from_secs(17);
/// Writing the end of data.
pub const ERASE_SHORT: Duration = Duration::from_secs(5);
/// Cleaning the heads.
pub const CLEANING: Duration = Duration::from_secs(120);
/// Taking a cartridge and putting it down again.
const MOVE: Duration = Duration::from_secs(15);
/// Moving the robot by one place.
const MOVE_BY_ONE: Duration = Duration::from_millis(100);
/// Reading one bar code.
const LOOK: Duration = Duration::from_secs(1);
const FORMAT: Duration = Duration::from_secs(120);
const CALIBRATION_MIN: Duration = Duration::from_secs(40 * 60);
/// The longest calibration takes so many minutes more than the shortest.
const CALIBRATION_SPREAD_MINUTES: u64 = 80;

/// Native speed of a full-height drive writing its own format, in MB/s.
pub fn native_mb_per_s(drive: Generation) -> u64 {
    match drive {
        Generation::Lto2 => 40,
        Generation::Lto3 => 80,
        Generation::Lto4 => 120,
        Generation::Lto5 => 140,
        Generation::Lto6 => 160,
        Generation::Lto7 | Generation::Lto7M8 => 300,
        Generation::Lto8 => 360,
        Generation::Lto9 | Generation::Lto10 | Generation::Lto10P => 400,
    }
}

/// Loading and threading.
pub fn load(drive: Generation) -> Duration {
    Duration::from_secs(match drive {
        Generation::Lto2 | Generation::Lto3 | Generation::Lto4 => 19,
        Generation::Lto5 | Generation::Lto6 => 12,
        Generation::Lto7 | Generation::Lto7M8 | Generation::Lto8 => 15,
        Generation::Lto9 | Generation::Lto10 | Generation::Lto10P => 16,
    })
}

/// Calibrating a cartridge of a format that is calibrated: LTO-9. What vendors tell of LTO-10 is that it does without. It depends on the cartridge: `id` is what its
/// serial number is made of.
pub fn calibration(cartridge: Generation, id: u64) -> Option<Duration> {
    if cartridge != Generation::Lto9 {
        return None;
    }
    let minutes = id % (CALIBRATION_SPREAD_MINUTES + 1);
    Some(CALIBRATION_MIN + Duration::from_secs(60 * minutes))
}

/// FORMAT MEDIUM.
pub fn format(cartridge: Generation, id: u64) -> Duration {
    calibration(cartridge, id).unwrap_or(FORMAT)
}

/// ERASE with LONG, from `bytes` before the position to the end of a cartridge of `capacity_bytes`. A
/// cartridge of less than its generation's capacity has as much tape as any other.
pub fn erase_long(
    drive: Generation,
    cartridge: Generation,
    bytes: u64,
    capacity_bytes: u64,
) -> Duration {
    let native_bytes = u128::from(cartridge.facts().capacity_bytes);
    let capacity_bytes = u128::from(capacity_bytes.max(1));
    let rest = capacity_bytes - u128::from(bytes).min(capacity_bytes);
    let rest_of_native = native_bytes * rest / capacity_bytes;
    let speed = u128::from(native_mb_per_s(drive));
    // MB/s are bytes per microsecond.
    Duration::from_micros(u64::try_from(rest_of_native / speed).unwrap_or(u64::MAX))
}

/// MOVE MEDIUM between two places, by their numbers in their kinds. Drives, station and gripper
/// are at the first slot.
pub fn robot_move(from: (ElementKind, u16), to: (ElementKind, u16)) -> Duration {
    let place = |(kind, number): (ElementKind, u16)| match kind {
        ElementKind::Slot => u32::from(number),
        _ => 0,
    };
    MOVE + MOVE_BY_ONE * place(from).abs_diff(place(to))
}

/// INITIALIZE ELEMENT STATUS over so many places.
pub fn inventory(places: u32) -> Duration {
    LOOK * places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_erase_takes_the_whole_tape_however_little_it_holds() {
        let hours = |generation: Generation, bytes, capacity| {
            erase_long(generation, generation, bytes, capacity).as_secs() / 360
        };
        assert_eq!(hours(Generation::Lto8, 0, 12_000_000_000_000), 92);
        assert_eq!(hours(Generation::Lto9, 0, 64 << 20), 125);
        assert_eq!(hours(Generation::Lto9, 32 << 20, 64 << 20), 62);
        assert_eq!(hours(Generation::Lto9, u64::MAX, 64 << 20), 0);
    }

    #[test]
    fn calibration_takes_forty_minutes_to_two_hours() {
        let minutes = |id| calibration(Generation::Lto9, id).map(|time| time.as_secs() / 60);
        assert_eq!((minutes(0), minutes(80), minutes(81)), (Some(40), Some(120), Some(40)));
        assert_eq!(calibration(Generation::Lto8, 7), None);
        assert_eq!(calibration(Generation::Lto10, 7), None);
        assert_eq!(calibration(Generation::Lto10P, 7), None);
    }

    #[test]
    fn a_robot_takes_longer_to_a_far_slot() {
        let drive = (ElementKind::Drive, 1);
        assert_eq!(robot_move((ElementKind::Slot, 0), drive), Duration::from_secs(15));
        assert_eq!(robot_move(drive, (ElementKind::Slot, 20)), Duration::from_secs(17));
    }
}
