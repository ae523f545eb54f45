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
//!
//! # Several drives at once
//!
//! On the machine's clock two drives work at the same time because their hosts do. A virtual clock cannot see that:
//! commands of several threads move it one after the other, and what each took adds up. A host that works on several
//! drives at once says so with a [`Lane`] for each: a time of its own that begins at the library's and runs on with what is
//! done in it, whatever other lanes do. When a lane ends, the library's clock goes on to where the lane had come, if it is not there
//! yet: what was done in parallel takes as long as the longest of it.
//!
//! A unit is used by one lane at a time. A command to a unit that another lane left at a later time begins then, so two lanes
//! that want the robot wait for each other. As long as lanes share no unit, their times do not depend on how
//! their threads are scheduled.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::abort::Abort;

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
/// The machine does not wake a thread up more exactly: less than this is made up for later.
const SLEEP_MIN: Duration = Duration::from_millis(1);

thread_local! {
    /// The lane that the present command of this thread runs in.
    static IN_LANE: RefCell<Option<Arc<LaneTime>>> = const { RefCell::new(None) };
}

/// The clock of one library in this process.
#[derive(Debug)]
pub struct Clock {
    timing: Timing,
    /// How many times faster than the machine's.
    scale: u32,
    started: Instant,
    virtual_us: AtomicU64,
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Clock {
    pub(crate) fn new(timing: Timing, scale: u32) -> Clock {
        let scale = scale.max(1);
        Clock { timing, scale, started: Instant::now(), virtual_us: AtomicU64::new(0) }
    }

    /// Which time it keeps.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// How many times faster than the machine's clock the real one runs.
    pub fn scale(&self) -> u32 {
        self.scale
    }

    /// False if everything happens at once.
    pub fn is_running(&self) -> bool {
        self.timing != Timing::None
    }

    /// Time since the library was opened in this process; always 0 without a clock.
    pub fn now(&self) -> Duration {
        match self.timing {
            Timing::None => Duration::ZERO,
            Timing::Real => self.started.elapsed().saturating_mul(self.scale),
            Timing::Virtual => {
                self.on_virtual(|time_us| Duration::from_micros(time_us.load(Ordering::SeqCst)))
            }
        }
    }

    /// A host spent so much time between two commands. Only the virtual clock needs to be told.
    pub fn advance(&self, time: Duration) {
        if self.timing == Timing::Virtual {
            self.on_virtual(|time_us| time_us.fetch_add(micros(time), Ordering::SeqCst));
        }
    }

    /// A command takes so much time. `false`: it was told to end before that. Only on the machine's clock is
    /// there time for it.
    pub(crate) fn pass(&self, time: Duration, abort: &Abort) -> bool {
        match self.timing {
            Timing::None => {}
            Timing::Real => return abort.sleep(time / self.scale),
            Timing::Virtual => self.advance(time),
        }
        true
    }

    /// A command ends at this time, if that is not over yet. On the machine's clock it may end a little earlier; what is
    /// missing counts at the next one, which must not begin before this time.
    pub(crate) fn reach(&self, end: Duration) {
        match self.timing {
            Timing::None => {}
            Timing::Real => {
                let rest = end.saturating_sub(self.now()) / self.scale;
                if rest >= SLEEP_MIN {
                    std::thread::sleep(rest);
                }
            }
            Timing::Virtual => {
                self.on_virtual(|time_us| time_us.fetch_max(micros(end), Ordering::SeqCst));
            }
        }
    }

    /// The virtual time of this thread: its lane's, else the library's.
    fn on_virtual<R>(&self, work: impl FnOnce(&AtomicU64) -> R) -> R {
        IN_LANE.with_borrow(|lane| match lane {
            Some(lane) if std::ptr::eq(Arc::as_ptr(&lane.clock), self) => work(&lane.time_us),
            _ => work(&self.virtual_us),
        })
    }
}

/// A course of time beside the library's; see the module's head. Clones are the same lane. It ends with the last of
/// them and of the handles that were opened in it.
#[derive(Debug, Clone)]
pub struct Lane(Arc<LaneTime>);

#[derive(Debug)]
struct LaneTime {
    clock: Arc<Clock>,
    time_us: AtomicU64,
}

impl Drop for LaneTime {
    fn drop(&mut self) {
        let came_to_us = *self.time_us.get_mut();
        self.clock.virtual_us.fetch_max(came_to_us, Ordering::SeqCst);
    }
}

impl Lane {
    /// A lane that begins now.
    pub(crate) fn new(clock: &Arc<Clock>) -> Lane {
        let time_us = AtomicU64::new(micros(clock.now()));
        Lane(Arc::new(LaneTime { clock: Arc::clone(clock), time_us }))
    }

    /// The time that the lane has come to; on a clock that is not virtual, the library's.
    pub fn now(&self) -> Duration {
        self.run(|| self.0.clock.now())
    }

    /// The host of this lane spent so much time between two commands.
    pub fn advance(&self, time: Duration) {
        self.run(|| self.0.clock.advance(time));
    }

    /// What `work` asks the clock and tells it is about this lane.
    pub(crate) fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        /// Puts the lane back that was there, also on a panic.
        struct Back(Option<Arc<LaneTime>>);
        impl Drop for Back {
            fn drop(&mut self) {
                let lane = self.0.take();
                let _this = IN_LANE.with(|place| place.replace(lane));
            }
        }
        let _back = Back(IN_LANE.with(|place| place.replace(Some(Arc::clone(&self.0)))));
        work()
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
        let abort = Abort::default();
        let clock = Clock::new(Timing::Virtual, 1);
        assert!(clock.pass(hour, &abort));
        clock.advance(hour);
        assert_eq!(clock.now(), 2 * hour);
        let none = Clock::new(Timing::None, 1);
        assert!(none.pass(hour, &abort));
        none.advance(hour);
        assert_eq!((none.now(), none.is_running()), (Duration::ZERO, false));
        let real = Clock::new(Timing::Real, 1);
        real.advance(hour);
        assert!(real.pass(Duration::from_millis(2), &abort));
        abort.raise();
        assert!(!real.pass(hour, &abort));
        assert!(real.now() >= Duration::from_millis(2) && real.now() < hour);
    }

    #[test]
    fn the_machines_clock_can_run_faster() {
        let real = Clock::new(Timing::Real, 1000);
        let begin = Instant::now();
        assert!(real.pass(Duration::from_secs(2), &Abort::default()));
        assert!(real.now() >= Duration::from_secs(2));
        assert!(begin.elapsed() >= Duration::from_millis(2));
        let end = real.now() + Duration::from_secs(3);
        real.reach(end);
        assert!(real.now() >= end);
        // Less than a millisecond of the machine's is not slept for, and what is over is not waited for.
        real.reach(Duration::ZERO);
    }

    #[test]
    fn lanes_run_beside_each_other_and_the_longest_counts() {
        let clock = Arc::new(Clock::new(Timing::Virtual, 1));
        let other = Clock::new(Timing::Virtual, 1);
        let second = Duration::from_secs(1);
        clock.advance(second);
        let (short, long) = (Lane::new(&clock), Lane::new(&clock));
        short.advance(2 * second);
        long.run(|| {
            assert!(clock.pass(3 * second, &Abort::default()));
            clock.reach(2 * second);
            other.advance(second);
        });
        assert_eq!((short.now(), long.now(), clock.now()), (3 * second, 4 * second, second));
        assert_eq!(other.now(), second, "a lane is of one clock only");
        let again = long.clone();
        drop(long);
        assert_eq!(clock.now(), second);
        drop(again);
        assert_eq!(clock.now(), 4 * second);
        drop(short);
        assert_eq!(clock.now(), 4 * second);
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
