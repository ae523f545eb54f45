//! How many threads read chunks: as many as pay.
//!
//! More readers help where chunks lie apart or a store has many disks, and hurt where one disk would read them in a row. So it
//! is measured at the start of a job: one reader, then 2, 4 and 8, each for [`WINDOW`] in which the buffer had room. As soon as
//! twice as many bring less than a tenth more, the best number so far is kept for the rest of the job. A disk that keeps
//! the buffer full is never measured further: more readers could gain nothing.
//!
//! Pure: times come from the caller.

use std::time::Duration;

use super::gate::bytes_per_s;

/// The most readers that are tried.
pub const READERS_MAX: usize = 8;
/// Time of reading that decides about a number of readers.
pub const WINDOW: Duration = Duration::from_secs(2);

/// Chooses the number of readers.
#[derive(Debug, Clone)]
pub struct ReaderCount {
    active: usize,
    is_decided: bool,
    /// The best number so far, with its bytes a second.
    best: Option<(usize, u64)>,
    last: Duration,
    window_bytes: u64,
    window_time: Duration,
}

impl ReaderCount {
    /// A fixed number, or one that is found out.
    pub fn new(fixed: Option<usize>) -> ReaderCount {
        ReaderCount {
            active: fixed.unwrap_or(1).max(1),
            is_decided: fixed.is_some(),
            best: None,
            last: Duration::ZERO,
            window_bytes: 0,
            window_time: Duration::ZERO,
        }
    }

    /// How many read now.
    pub fn active(&self) -> usize {
        self.active
    }

    /// How many threads there must be for it.
    pub fn threads(&self) -> usize {
        if self.is_decided { self.active } else { READERS_MAX }
    }

    /// A chunk came. `was_room`: since the one before, no reader had to wait for room.
    pub fn arrived(&mut self, now: Duration, bytes: u64, was_room: bool) {
        let passed = now.saturating_sub(self.last);
        self.last = now;
        if self.is_decided || !was_room {
            return;
        }
        self.window_bytes += bytes;
        self.window_time += passed;
        if self.window_time < WINDOW {
            return;
        }
        let rate = bytes_per_s(self.window_bytes, self.window_time).unwrap_or(0);
        (self.window_bytes, self.window_time) = (0, Duration::ZERO);
        match self.best {
            Some((best, before)) if !pays(before, rate) => {
                self.active = best;
                self.is_decided = true;
            }
            _ if self.active >= READERS_MAX => self.is_decided = true,
            _ => {
                self.best = Some((self.active, rate));
                self.active = (self.active * 2).min(READERS_MAX);
            }
        }
    }
}

/// True if twice as many readers bring enough more: a tenth.
pub fn pays(before: u64, rate: u64) -> bool {
    rate >= before.saturating_add(before / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates of the asks: one disk in a row, one disk scattered, many disks, memory.
    #[test]
    fn as_many_readers_are_taken_as_pay() {
        // MB/s with 1, 2, 4 and 8 readers; the number kept.
        let cases = [
            ([110, 89, 100, 108], 1),
            ([55, 70, 80, 95], 8),
            ([118, 180, 300, 300], 4),
            ([294, 294, 294, 294], 1),
        ];
        for (rates, expected) in cases {
            let mut count = ReaderCount::new(None);
            assert_eq!((count.active(), count.threads()), (1, READERS_MAX));
            for second in 1..60 {
                let rate = rates[count.active().ilog2() as usize];
                count.arrived(Duration::from_secs(second), rate * 1_000_000, true);
            }
            assert_eq!((count.active(), count.threads()), (expected, expected), "{rates:?}");
        }
    }

    #[test]
    fn a_number_given_stays_and_a_full_buffer_measures_nothing() {
        let mut fixed = ReaderCount::new(Some(3));
        let mut full = ReaderCount::new(None);
        for second in 1..60 {
            fixed.arrived(Duration::from_secs(second), 1, true);
            full.arrived(Duration::from_secs(second), 1 << 30, false);
        }
        assert_eq!((fixed.active(), fixed.threads()), (3, 3));
        assert_eq!(full.active(), 1);
        assert_eq!(ReaderCount::new(Some(0)).active(), 1);
    }
}
