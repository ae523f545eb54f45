//! What drives stream with: tables by generation.
//!
//! | format | steps in MB/s | from |
//! |---|---|---|
//! | LTO-9 | 408 385 366 347 325 305 284 263 244 223 203 177 | user's guide of a full-height drive |
//! | LTO-8 | 112 to 365 in 12 steps | its ends and their number from the same guide; the steps between are even |
//! | LTO-10 | as LTO-9 | estimate: none are published; 400 MB/s on paper |
//! | LTO-7, M8 | 40 to 300, by 20 | its ends from vendors' tables; the steps between are an estimate |
//! | LTO-5, LTO-6 | 40 to 140, to 160, by 20 | as LTO-7 |
//! | LTO-4, LTO-3 | 40 to 120, to 80, by 20 | as LTO-7 |
//! | LTO-2 | 20, 40 | estimate |
//!
//! A cartridge of an older format runs at the steps of its own format.
//!
//! | drive | buffer in MB | from |
//! |---|--:|---|
//! | LTO-7 to LTO-10 | 1,000 | "about 1 GiB" in the manual of a backup program; the sizes of single models differ |
//! | LTO-6 | 512 | estimate, half of LTO-7 |
//! | LTO-5 | 256 | estimate, half of LTO-6 |
//! | LTO-4 | 128 | estimate, half of LTO-5 |
//!
//! A stop with its way back takes 2 s, running up 1 s: together in the middle of the 2 to 4 s that are said of a
//! back-hitch. A drive that has stopped begins again when half of its buffer is work for it, or 10 s after the last
//! WRITE (the write delay time of mode page 10h).

use std::time::Duration;

use crate::generation::Generation;

const MB: u64 = 1_000_000;
/// Stopping and going back behind the place.
const STOP: Duration = Duration::from_secs(2);
/// Running up to speed before the place.
const START: Duration = Duration::from_secs(1);
/// Write delay time of mode page 10h.
const WRITE_DELAY: Duration = Duration::from_secs(10);

/// What a drive streams a tape with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Size of the buffer in bytes, at least 64 KiB.
    pub buffer_bytes: u64,
    /// Speeds in MB/s, ascending, at least one and none of them 0.
    pub steps_mb_per_s: &'static [u32],
    /// Time to run up to speed.
    pub start: Duration,
    /// Time to stop and go back.
    pub stop: Duration,
    /// Time without a WRITE after which what waits in the buffer is written.
    pub write_delay: Duration,
}

impl Figures {
    /// Those of a drive with a cartridge of a format that it can use.
    pub fn new(drive: Generation, cartridge: Generation) -> Figures {
        Figures {
            buffer_bytes: buffer_mb(drive) * MB,
            steps_mb_per_s: steps(cartridge),
            start: START,
            stop: STOP,
            write_delay: WRITE_DELAY,
        }
    }
}

fn buffer_mb(drive: Generation) -> u64 {
    match drive {
        Generation::Lto2 | Generation::Lto3 | Generation::Lto4 => 128,
        Generation::Lto5 => 256,
        Generation::Lto6 => 512,
        _ => 1_000,
    }
}

fn steps(cartridge: Generation) -> &'static [u32] {
    match cartridge {
        Generation::Lto2 => &[20, 40],
        Generation::Lto3 => &[40, 60, 80],
        Generation::Lto4 => &[40, 60, 80, 100, 120],
        Generation::Lto5 => &[40, 60, 80, 100, 120, 140],
        Generation::Lto6 => &[40, 60, 80, 100, 120, 140, 160],
        Generation::Lto7 | Generation::Lto7M8 => {
            &[40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 240, 260, 280, 300]
        }
        Generation::Lto8 => &[112, 135, 158, 181, 204, 227, 250, 273, 296, 319, 342, 365],
        Generation::Lto9 | Generation::Lto10 | Generation::Lto10P => {
            &[177, 203, 223, 244, 263, 284, 305, 325, 347, 366, 385, 408]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timing::native_mb_per_s;

    #[test]
    fn every_pair_has_a_buffer_and_ascending_steps() {
        for drive in Generation::ALL.into_iter().filter(|drive| drive.has_drives()) {
            for (cartridge, _) in drive.formats() {
                let figures = Figures::new(drive, cartridge);
                let steps = figures.steps_mb_per_s;
                assert!(figures.buffer_bytes >= 128 * MB, "{drive}");
                assert!(steps[0] > 0 && steps.is_sorted_by(|a, b| a < b), "{cartridge}");
                // The fastest step is the speed on the data sheet, to a few MB/s.
                let fastest = u64::from(*steps.last().unwrap());
                assert!(fastest.abs_diff(native_mb_per_s(cartridge)) <= 8, "{cartridge}");
            }
        }
    }
}
