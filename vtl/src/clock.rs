//! The time of an emulated library: none, the machine's, or a virtual one.
//!
//! * **None**: everything happens at once. The clock is never asked, and costs no system call.
//! * **Real**: an operation takes its time on the machine's clock; a command that waits for its end
//!   sleeps.
//! * **Virtual**: time is a number that only the library moves, so that the same commands always
//!   see the same times, and hours pass at once. A command that waits for an operation's end moves
//!   it there. A host in the same process says with [`Clock::advance`] what time it spent itself.
//!
//! # Why hosts that poll come to an end
//!
//! On the virtual clock nothing passes while a host sleeps between two polls, so the poll itself
//! must move it. Each command that meets a busy unit, whether it is answered with "busy" or is one of those
//! that are carried out meanwhile, moves the clock by [`poll_step`]: a fiftieth of the operation, but at least
//! a second (no host polls a tape drive more often). So every operation ends within 50 commands to the unit
//! that is busy, also if it takes 30 hours, and one of a few seconds is still seen going on.
//! A unit that is not busy never moves the clock by being asked.
//!
//! There is one clock for each library in a process, shared by its units. What a drive is doing belongs to
//! the process that has it open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Which time a library keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Timing {
    /// Everything happens at once.
    #[default]
    None,
    /// Operations take their time on the machine's clock.
    Real,
    /// Operations take their time on a clock that only the library moves.
    Virtual,
}

/// Polls that an operation takes at most on the virtual clock.
const POLLS_MAX: u128 = 50;
/// What a poll of a busy unit takes at least on the virtual clock.
const POLL_STEP_MIN: Duration = Duration::from_secs(1);

/// The clock of one library in this process.
#[derive(Debug)]
pub struct Clock {
    timing: Timing,
    started: Instant,
    virtual_us: AtomicU64,
}

impl Clock {
    pub(crate) fn new(timing: Timing) -> Clock {
        Clock { timing, started: Instant::now(), virtual_us: AtomicU64::new(0) }
    }

    /// Which time it keeps.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// False if everything happens at once.
    pub fn is_running(&self) -> bool {
        self.timing != Timing::None
    }

    /// Time since the library was opened in this process; always 0 without a clock.
    pub fn now(&self) -> Duration {
        match self.timing {
            Timing::None => Duration::ZERO,
            Timing::Real => self.started.elapsed(),
            Timing::Virtual => Duration::from_micros(self.virtual_us.load(Ordering::SeqCst)),
        }
    }

    /// A host spent so much time between two commands. Only the virtual clock needs to be told.
    pub fn advance(&self, time: Duration) {
        if self.timing == Timing::Virtual {
            let time_us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
            self.virtual_us.fetch_add(time_us, Ordering::SeqCst);
        }
    }

    /// A command takes so much time.
    pub(crate) fn pass(&self, time: Duration) {
        match self.timing {
            Timing::None => {}
            Timing::Real => std::thread::sleep(time),
            Timing::Virtual => self.advance(time),
        }
    }
}

/// How far a poll moves the virtual clock while an operation of this duration goes on.
pub fn poll_step(operation: Duration) -> Duration {
    // Rounded up to what the clock counts in.
    let step_us = operation.as_micros().div_ceil(POLLS_MAX);
    let step_us = u64::try_from(step_us).unwrap_or(u64::MAX);
    Duration::from_micros(step_us).max(POLL_STEP_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_virtual_clock_is_moved() {
        let hour = Duration::from_secs(3600);
        let clock = Clock::new(Timing::Virtual);
        clock.pass(hour);
        clock.advance(hour);
        assert_eq!(clock.now(), 2 * hour);
        let none = Clock::new(Timing::None);
        none.pass(hour);
        none.advance(hour);
        assert_eq!((none.now(), none.is_running()), (Duration::ZERO, false));
        let real = Clock::new(Timing::Real);
        real.advance(hour);
        real.pass(Duration::from_millis(2));
        assert!(real.now() >= Duration::from_millis(2) && real.now() < hour);
    }

    #[test]
    fn every_operation_ends_within_fifty_polls() {
        for seconds in [1, 16, 49, 50, 51, 7_200, 166_370] {
            let operation = Duration::from_secs(seconds) + Duration::from_micros(333_333);
            let mut polls = 0;
            let mut passed = Duration::ZERO;
            while passed < operation {
                passed += poll_step(operation);
                polls += 1;
            }
            assert!(polls <= 50, "{seconds} s took {polls} polls");
        }
    }
}
