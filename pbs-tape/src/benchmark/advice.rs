//! Readers and buffer from what was measured.
//!
//! * **Readers**: as many as pay on the disk ([`super::disk`]).
//! * **Buffer**: a disk that gives what the drive takes at its slowest or more needs it for its pauses only, and the size that a feed begins with
//!   does. A slower one leaves the drive without data again and again. While the drive takes `s` bytes a second and the disk
//!   gives `d`, a full buffer of `b` bytes lasts for `b·s/(s−d)` bytes on tape. So a terabyte has `10¹²·(s−d)/(s·b)` stops, and the size is the one with
//!   [`STOPS_PER_TB`] of them, as far as memory goes.

use serde::Serialize;

use crate::write::feed::BUFFER_BYTES_FIRST;

/// How many stops a terabyte are put up with: a stop and start is 2 to 4 seconds in 40 minutes.
const STOPS_PER_TB: u64 = 100;
const TB: u64 = 1_000_000_000_000;

/// What to set in `[feed]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Advice {
    /// Threads that read.
    pub readers: usize,
    /// Size of the buffer.
    pub buffer_bytes: u64,
    /// Why that size.
    pub reason: &'static str,
}

/// What to set for a disk that gives `disk` bytes a second with `readers` readers, and a drive that takes no less than `slowest`.
/// The buffer becomes no larger than `memory_bytes`.
pub fn advise(readers: usize, disk: u64, slowest: Option<u64>, memory_bytes: u64) -> Advice {
    let short = slowest.map(|slowest| (slowest, slowest.saturating_sub(disk)));
    let (wanted, reason) = match short {
        None => (BUFFER_BYTES_FIRST, "the drive's slowest speed is not known"),
        Some((_, 0)) => (BUFFER_BYTES_FIRST, "the disk gives what the drive needs to stream"),
        Some((slowest, lacking)) => {
            let bytes = u128::from(TB / STOPS_PER_TB) * u128::from(lacking) / u128::from(slowest);
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).max(BUFFER_BYTES_FIRST);
            (bytes, "the disk is slower than the drive's slowest speed: more memory, fewer stops")
        }
    };
    Advice { readers, buffer_bytes: wanted.min(memory_bytes), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_disk_gets_the_buffer_that_keeps_stops_few() {
        const MB: u64 = 1_000_000;
        const GIB: u64 = 1 << 30;
        // MB/s of the disk, slowest of the drive, memory, size.
        let cases = [
            (100, Some(177), 64 * GIB, 10_000 * MB * 77 / 177),
            (55, Some(177), 64 * GIB, 10_000 * MB * 122 / 177),
            (55, Some(177), 4 * GIB, 4 * GIB),
            (170, Some(177), 64 * GIB, GIB),
            (177, Some(177), 64 * GIB, GIB),
            (900, Some(177), 64 * GIB, GIB),
            (900, None, 64 * GIB, GIB),
            (900, Some(177), GIB / 2, GIB / 2),
            (0, Some(177), 64 * GIB, 10_000 * MB),
        ];
        for (disk, slowest, memory, expected) in cases {
            let advice = advise(4, disk * MB, slowest.map(|speed: u64| speed * MB), memory);
            assert!(advice.buffer_bytes.abs_diff(expected) < MB, "{disk} {slowest:?}: {advice:?}");
            assert_eq!(advice.readers, 4);
        }
    }
}
