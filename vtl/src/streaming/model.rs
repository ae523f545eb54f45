//! One drive between host and tape, in time.
//!
//! Writing and reading are one machine. What the tape still has to do is *work*: when writing, the bytes in the
//! buffer; when reading, the room that is free to read ahead into. The host makes work (it writes into the buffer,
//! or takes from it), the tape does it at the speed of its step. The host waits when its bytes would make
//! more work than the buffer is large; the tape stops when there is none left.
//!
//! ```text
//!          half of the buffer is work,
//!   still ──  or the write delay ends  ──→ starting ──→ streaming ──┐
//!     ↑                                                             │ no work left: a back-hitch
//!     └──────────────────────── stopping ←──────────────────────────┘
//! ```
//!
//! # Speed matching
//!
//! The drive measures what the host does, averaged over the last few windows (the time in which the fastest
//! step does an eighth of the buffer). It looks at the end of each window: with three quarters of the buffer as work
//! it takes the slowest step that is at least as fast as the host, with a quarter the fastest that is no faster;
//! in between it stays. If the host had to wait, what it could do is not known: the fastest. So a host
//! between two steps makes the tape go to and fro between them, and only one that is slower than the slowest step lets it
//! run dry. A step is changed without a stop.
//!
//! # What can be relied on
//!
//! * Bytes are conserved: what the host wrote is on tape or in the buffer; what the tape read was taken or lies in
//!   the buffer. The buffer is never over its size.
//! * Time only goes forward, and the same calls give the same times: there is no other source of anything.
//! * Each call ends: every step of the simulation moves time or changes the state, a still tape is passed in one step, and a
//!   running one runs dry after a bounded number of windows.
//!
//! Left out: the way over the interface takes no time, turning round at a wrap's end neither, and nothing is
//! ever written twice.

use std::time::Duration;

use super::figures::Figures;
use super::report::{StreamingReport, Transfers};

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the tape.
    Writing,
    /// From the tape.
    Reading,
}

/// What the tape does. Times are microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Motion {
    Still,
    Starting { until_us: u64, after_back_hitch: bool },
    Streaming { step: usize },
    Stopping { until_us: u64 },
}

/// The stream of one drive. Times are those of a clock of the caller's that never goes back; a call at an earlier time than
/// the last one counts from where that one ended.
#[derive(Debug, Clone)]
pub struct Stream {
    figures: Figures,
    now_us: u64,
    direction: Direction,
    /// Bytes that the tape has to do, at most the size of the buffer.
    work: u64,
    /// Bytes on the tape before the end of data that were not read yet. Only for reading.
    unread: u64,
    motion: Motion,
    /// The tape stopped for lack of work since it ran last.
    has_hitched: bool,
    /// The tape is wanted elsewhere when the work is done.
    moves_on: bool,
    /// When the host made work last.
    last_work_us: u64,
    window: Window,
    report: StreamingReport,
}

/// What the host did lately.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    began_us: u64,
    bytes: u64,
    host_waited: bool,
    /// Average of earlier windows in kB/s.
    average_kb_per_s: u64,
}

impl Window {
    /// Speed in kB/s in this window so far; `None` if the host could have been faster.
    fn speed(&self, now_us: u64) -> Option<u64> {
        let time_us = now_us.saturating_sub(self.began_us);
        if self.host_waited || time_us == 0 {
            return None;
        }
        Some(
            u64::try_from(u128::from(self.bytes) * 1_000 / u128::from(time_us)).unwrap_or(u64::MAX),
        )
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Stream {
    /// A drive whose tape stands still, with an empty buffer.
    pub fn new(figures: Figures) -> Stream {
        Stream {
            figures,
            now_us: 0,
            direction: Direction::Writing,
            work: 0,
            unread: 0,
            motion: Motion::Still,
            has_hitched: false,
            moves_on: false,
            last_work_us: 0,
            window: Window::default(),
            report: StreamingReport::default(),
        }
    }

    /// What it streams with.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Another cartridge was threaded. What is counted goes on.
    pub fn set_figures(&mut self, figures: Figures) {
        self.drop_buffer();
        self.figures = figures;
    }

    /// Lets time go on to `now`.
    pub fn catch_up(&mut self, now: Duration) {
        self.run(micros(now), None);
    }

    /// The time that it has come to: when the last call ended.
    pub fn now(&self) -> Duration {
        Duration::from_micros(self.now_us)
    }

    /// What was counted up to the last call.
    pub fn report(&self) -> &StreamingReport {
        &self.report
    }

    /// The buffer is gone: power was lost, or the tape is out.
    pub fn drop_buffer(&mut self) {
        self.direction = Direction::Writing;
        self.work = 0;
        self.motion = Motion::Still;
        self.has_hitched = false;
    }

    /// Bytes from the host that are not on tape yet at this time.
    pub fn unwritten_bytes(&mut self, now: Duration) -> u64 {
        self.catch_up(now);
        if self.direction == Direction::Writing { self.work } else { 0 }
    }

    /// Bytes from the tape that no host took yet at this time.
    pub fn read_ahead_bytes(&mut self, now: Duration) -> u64 {
        self.catch_up(now);
        match self.direction {
            Direction::Writing => 0,
            Direction::Reading => self.figures.buffer_bytes - self.work,
        }
    }

    /// Which way data goes while the tape moves for it at this time.
    pub fn moving(&mut self, now: Duration) -> Option<Direction> {
        self.catch_up(now);
        (self.motion != Motion::Still).then_some(self.direction)
    }

    /// The host writes so many bytes; the time that it waits for room.
    pub fn write(&mut self, now: Duration, bytes: u64) -> Duration {
        self.catch_up(now);
        if self.direction == Direction::Reading {
            self.turn_to_writing();
        }
        let began_us = self.now_us;
        self.make_work(bytes);
        self.counters().host_bytes += bytes;
        self.waited_since(began_us)
    }

    /// True if the drive reads ahead for a host.
    pub fn is_reading(&self) -> bool {
        self.direction == Direction::Reading
    }

    /// The host begins to read where the tape stands, `unread` bytes before the end of data. Needed before the first
    /// [`Stream::read`] and after each motion; what is still to be written is written first. The time that
    /// the host waits.
    pub fn begin_reading(&mut self, now: Duration, unread: u64) -> Duration {
        let waited = self.halt(now);
        self.direction = Direction::Reading;
        self.work = self.figures.buffer_bytes;
        self.unread = unread;
        // Nothing is known of the host; it waits, so the tape shall hurry.
        self.window = Window { began_us: self.now_us, host_waited: true, ..Window::default() };
        waited
    }

    /// The host takes so many bytes; the time that it waits for them.
    pub fn read(&mut self, now: Duration, bytes: u64) -> Duration {
        self.catch_up(now);
        let began_us = self.now_us;
        self.make_work(bytes);
        self.counters().host_bytes += bytes;
        self.waited_since(began_us)
    }

    /// The host wants everything on tape; the time that it waits. The tape stops then as after running dry.
    pub fn synchronise(&mut self, now: Duration) -> Duration {
        self.catch_up(now);
        if self.direction == Direction::Reading || self.work == 0 {
            return Duration::ZERO;
        }
        let began_us = self.now_us;
        self.report.synchronisations += 1;
        self.run(u64::MAX, Some(0));
        self.waited_since(began_us)
    }

    /// The tape is wanted elsewhere: what is to be written is written, what was read ahead is dropped, and the tape stands
    /// still for whatever comes. The time that the host waits. That is no back-hitch: the tape need not come back.
    pub fn halt(&mut self, now: Duration) -> Duration {
        self.moves_on = true;
        let waited = self.synchronise(now);
        self.moves_on = false;
        self.drop_buffer();
        waited
    }

    /// Appends behind what was read: the tape ran on and has to come back.
    fn turn_to_writing(&mut self) {
        let is_ahead = self.work < self.figures.buffer_bytes;
        if is_ahead || self.motion != Motion::Still {
            if !matches!(self.motion, Motion::Stopping { .. }) {
                self.report.read.back_hitches += 1;
            }
            self.motion = Motion::Stopping { until_us: self.now_us + micros(self.figures.stop) };
            self.has_hitched = true;
        }
        self.direction = Direction::Writing;
        self.work = 0;
        self.window = Window { began_us: self.now_us, ..Window::default() };
    }

    fn counters(&mut self) -> &mut Transfers {
        match self.direction {
            Direction::Writing => &mut self.report.written,
            Direction::Reading => &mut self.report.read,
        }
    }

    fn waited_since(&mut self, began_us: u64) -> Duration {
        let waited = Duration::from_micros(self.now_us - began_us);
        self.counters().host_waited += waited;
        waited
    }

    /// The host makes work, in pieces that are small beside the buffer, and waits where there is too much.
    fn make_work(&mut self, bytes: u64) {
        let piece_max = (self.figures.buffer_bytes / 8).max(1);
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(piece_max);
            let most = self.figures.buffer_bytes - piece;
            if self.motion == Motion::Still && self.work == 0 {
                // The first after a rest: what went before says nothing of the host's speed.
                self.window = Window { began_us: self.now_us, ..Window::default() };
            }
            if self.work > most {
                self.window.host_waited = true;
                self.run(u64::MAX, Some(most));
            }
            // Behind the end of data a reading host takes what is there.
            self.work = (self.work + piece).min(self.figures.buffer_bytes);
            self.window.bytes += piece;
            self.last_work_us = self.now_us;
            left -= piece;
        }
    }

    /// Lets time run to `until_us`, or until no more than `level` bytes of work are left. With a level the host waits,
    /// and a still tape starts at once.
    fn run(&mut self, until_us: u64, level: Option<u64>) {
        while self.now_us < until_us && level.is_none_or(|level| self.work > level) {
            if !self.advance(until_us, level) {
                // Nothing will ever happen by itself.
                if level.is_none() {
                    self.now_us = until_us;
                }
                return;
            }
        }
    }

    /// Goes on to the next event, at most to `until_us`. False if there is none.
    fn advance(&mut self, until_us: u64, level: Option<u64>) -> bool {
        match self.motion {
            Motion::Still => {
                let Some(start_us) = self.starts_at(level.is_some()) else { return false };
                self.now_us = start_us.clamp(self.now_us, until_us);
                if start_us <= self.now_us {
                    let until_us = self.now_us + micros(self.figures.start);
                    let after_back_hitch = std::mem::take(&mut self.has_hitched);
                    self.motion = Motion::Starting { until_us, after_back_hitch };
                }
            }
            Motion::Starting { until_us: end_us, after_back_hitch } => {
                let passed_us = self.pass_to(end_us.min(until_us));
                if after_back_hitch {
                    self.counters().back_hitch_time += Duration::from_micros(passed_us);
                }
                if end_us <= self.now_us {
                    let step = self.first_step(level.is_some());
                    self.motion = Motion::Streaming { step };
                }
            }
            Motion::Streaming { step } => self.stream(step, until_us, level),
            Motion::Stopping { until_us: end_us } => {
                let passed_us = self.pass_to(end_us.min(until_us));
                self.counters().back_hitch_time += Duration::from_micros(passed_us);
                if end_us <= self.now_us {
                    self.motion = Motion::Still;
                }
            }
        }
        true
    }

    fn pass_to(&mut self, time_us: u64) -> u64 {
        let passed_us = time_us.saturating_sub(self.now_us);
        self.now_us += passed_us;
        passed_us
    }

    /// When a still tape starts, if nothing else happens.
    fn starts_at(&self, host_waits: bool) -> Option<u64> {
        let is_reading = self.direction == Direction::Reading;
        if self.work == 0 || (is_reading && self.unread == 0) {
            None
        } else if host_waits || self.work >= self.figures.buffer_bytes / 2 {
            Some(self.now_us)
        } else if is_reading {
            None
        } else {
            Some(self.last_work_us.saturating_add(micros(self.figures.write_delay)))
        }
    }

    /// The tape runs, up to the next event.
    fn stream(&mut self, step: usize, until_us: u64, level: Option<u64>) {
        let speed = self.figures.steps_mb_per_s.get(step).copied().unwrap_or(1);
        // MB/s are bytes per microsecond.
        let bytes_per_us = u64::from(speed).max(1);
        let possible = match self.direction {
            Direction::Writing => self.work,
            Direction::Reading => self.work.min(self.unread),
        };
        let wanted = possible.min(self.work - level.unwrap_or(0).min(self.work));
        let work_ends_us = self.now_us.saturating_add(wanted.div_ceil(bytes_per_us));
        let window_ends_us = self.window.began_us.saturating_add(self.window_us());
        let passed_us =
            self.pass_to(until_us.min(work_ends_us).min(window_ends_us.max(self.now_us)));
        let done = possible.min(passed_us.saturating_mul(bytes_per_us));
        self.work -= done;
        let counters = self.counters();
        counters.tape_bytes += done;
        *counters.streamed.entry(speed).or_default() += Duration::from_micros(passed_us);
        if self.direction == Direction::Reading {
            self.unread -= done;
            if self.unread == 0 {
                // The end of data: the tape waits there.
                self.motion = Motion::Still;
                return;
            }
        }
        if self.work == 0 && self.moves_on {
            self.motion = Motion::Still;
        } else if self.work == 0 {
            self.counters().back_hitches += 1;
            self.has_hitched = true;
            self.motion = Motion::Stopping { until_us: self.now_us + micros(self.figures.stop) };
            self.window = Window { began_us: self.now_us, ..Window::default() };
        } else if window_ends_us <= self.now_us {
            let step = self.next_step(step, level.is_some());
            self.motion = Motion::Streaming { step };
        }
    }

    fn window_us(&self) -> u64 {
        let fastest = self.figures.steps_mb_per_s.last().copied().unwrap_or(1).max(1);
        (self.figures.buffer_bytes / 8 / u64::from(fastest)).max(1)
    }

    /// The step to begin with: by what the host did since the tape stopped.
    fn first_step(&mut self, host_waits: bool) -> usize {
        let measured = self.window.speed(self.now_us).filter(|_| !host_waits);
        self.window = Window {
            began_us: self.now_us,
            host_waited: host_waits,
            average_kb_per_s: measured.unwrap_or_default(),
            ..Window::default()
        };
        measured.map_or(self.fastest(), |speed| self.no_slower_than(speed))
    }

    /// A window ends: the step to go on with.
    fn next_step(&mut self, step: usize, host_waits: bool) -> usize {
        let measured = self.window.speed(self.now_us).filter(|_| !host_waits);
        // A host that waited was as fast as the tape at least.
        let speed = measured.unwrap_or_else(|| self.kb_per_s(step));
        let average = (self.window.average_kb_per_s * 3 + speed) / 4;
        self.window = Window {
            began_us: self.now_us,
            host_waited: host_waits,
            average_kb_per_s: average,
            ..Window::default()
        };
        let quarter = self.figures.buffer_bytes / 4;
        if measured.is_none() {
            self.fastest()
        } else if self.work >= self.figures.buffer_bytes - quarter {
            self.no_slower_than(average)
        } else if self.work <= quarter {
            self.no_faster_than(average)
        } else {
            step
        }
    }

    fn fastest(&self) -> usize {
        self.figures.steps_mb_per_s.len().saturating_sub(1)
    }

    fn kb_per_s(&self, step: usize) -> u64 {
        self.figures.steps_mb_per_s.get(step).map_or(1_000, |speed| u64::from(*speed) * 1_000)
    }

    fn no_slower_than(&self, kb_per_s: u64) -> usize {
        let steps = self.figures.steps_mb_per_s;
        let slower = steps.iter().filter(|step| u64::from(**step) * 1_000 < kb_per_s).count();
        slower.min(self.fastest())
    }

    fn no_faster_than(&self, kb_per_s: u64) -> usize {
        let steps = self.figures.steps_mb_per_s;
        let fitting = steps.iter().filter(|step| u64::from(**step) * 1_000 <= kb_per_s).count();
        fitting.saturating_sub(1)
    }
}
