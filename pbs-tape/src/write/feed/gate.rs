//! When the drive gets data: the rule that lets it stream or rest.
//!
//! A tape that runs out of data stops, goes back and runs up again (a *back-hitch*): seconds, and wear. So the drive is given nothing until the
//! buffer is filled to its **high mark**, and then everything until the buffer is below its **low mark**. Between
//! the marks nothing changes hands twice: one rest costs one back-hitch, however slow the disk is.
//!
//! What passes is paced to the drive's speeds, because a drive runs at one of several and not slower than the slowest:
//!
//! | the disk gives | the drive gets |
//! |---|---|
//! | less than the drive's slowest speed | just above that speed: the buffer lasts longest, and rests are fewest |
//! | more than that | all it takes while the buffer is over its high mark; below, what the disk gives: the drive finds the speed that fits, and what is in the buffer covers pauses of the disk |
//! | as much as the drive takes, or nothing is known yet | all it takes |
//!
//! A disk that has just given more than any drive takes ([`OUTRUN_BYTES_PER_S`]) needs no buffer: the drive begins at once, and an empty
//! buffer is no rest. What such a disk gives beside fills the buffer for its pauses. A pause counts against it while it lasts, so that a disk
//! that stands still outruns nobody; one that was taken for fast because its first files lay in memory costs one rest more.
//! Behind such a disk a buffer of automatic size begins at [`BUFFER_BYTES_OUTRUN`] and grows with what the drive has taken, because memory that is touched for the
//! first time costs a short job more than reading does; the first rest gives it its full size.
//!
//! A wrong measurement rights itself: with too low a pace the buffer fills to the high mark, with too high a one
//! it comes to the low mark. A buffer whose size was not chosen by an operator begins at [`BUFFER_BYTES_FIRST`], which covers
//! the 2 to 4 seconds of a back-hitch at 400 MB/s, and doubles each time the disk left the drive without data, up to its limit.
//!
//! This file is pure: it knows no thread and no clock. Times are those of a clock of the caller's that never goes back.

use std::time::Duration;

/// What a buffer of automatic size begins with.
pub const BUFFER_BYTES_FIRST: u64 = 1 << 30;
/// And behind a disk that outruns the drive, with this; it is a quarter of what the drive has taken from then on.
pub const BUFFER_BYTES_OUTRUN: u64 = 128 << 20;
/// Snapshots, opened and locked, that may wait for the drive.
pub const SNAPSHOTS_AHEAD_MAX: usize = 64;
/// The drive is given so much more than its slowest speed, in percent, so that its buffer never runs dry by rounding.
const PACE_PERCENT: u64 = 102;
/// Over how long the speed of the disk is measured before it counts.
const WINDOW: Duration = Duration::from_secs(1);
/// More than any drive writes: LTO-9 and LTO-10 take 400 MB/s, and chunks do not compress.
pub const OUTRUN_BYTES_PER_S: u64 = 500_000_000;
/// So much must have come at that speed, lately.
const OUTRUN_BYTES: u64 = 64 << 20;

/// How large the buffer may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferSize {
    /// This many bytes.
    Fixed(u64),
    /// What measurement asks for, at most so many bytes.
    UpTo(u64),
}

/// What the buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    /// Bytes that could be given out now.
    pub bytes: u64,
    /// Snapshots that wait.
    pub snapshots: usize,
    /// Nothing will be added before something is taken: the plan has ended, or there is no room.
    pub is_final: bool,
}

/// Whether the drive gets the next piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Now.
    Go,
    /// Not before the buffer has filled.
    Rest,
    /// At this time.
    At(Duration),
}

/// How often and how long something happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pauses {
    /// How often.
    pub count: u64,
    /// All together.
    pub time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was given out yet.
    Filling,
    Open,
    Resting {
        since: Duration,
    },
}

/// The rule, with what it has measured.
#[derive(Debug, Clone)]
pub struct Gate {
    capacity: u64,
    capacity_max: u64,
    /// What the capacity grows to with what is taken; less only behind a disk that outruns the drive.
    capacity_full: u64,
    taken_bytes: u64,
    is_automatic: bool,
    state: State,
    /// Slowest speed of the drive with its tape in bytes a second.
    drive_slowest: Option<u64>,
    paced_until: Duration,
    disk: DiskRate,
    rests: Pauses,
}

impl Gate {
    /// A gate in front of an empty buffer.
    pub fn new(size: BufferSize) -> Gate {
        let (capacity, capacity_max) = match size {
            BufferSize::Fixed(bytes) => (bytes, bytes),
            BufferSize::UpTo(limit) => (limit.min(BUFFER_BYTES_FIRST), limit),
        };
        Gate {
            capacity: capacity.max(1),
            capacity_max: capacity_max.max(1),
            capacity_full: capacity.max(1),
            taken_bytes: 0,
            is_automatic: matches!(size, BufferSize::UpTo(_)),
            state: State::Filling,
            drive_slowest: None,
            paced_until: Duration::ZERO,
            disk: DiskRate::default(),
            rests: Pauses::default(),
        }
    }

    /// How many bytes the buffer may hold now.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The drive has data from this level on.
    pub fn high_mark(&self) -> u64 {
        self.capacity - self.capacity / 8
    }

    /// It has none below this level.
    pub fn low_mark(&self) -> u64 {
        self.capacity / 16
    }

    /// Slowest speed of the drive with the tape that is in it, in bytes a second, if it is known.
    pub fn set_drive_slowest(&mut self, bytes_per_s: Option<u64>) {
        self.drive_slowest = bytes_per_s;
    }

    /// How often the disk left the drive without data after the first filling.
    pub fn rests(&self) -> Pauses {
        self.rests
    }

    /// What the disk gave, in bytes a second, while there was room.
    pub fn disk_bytes_per_s(&self) -> Option<u64> {
        self.disk.overall()
    }

    /// A piece of so many bytes came from the disk. `was_room`: since the piece before, the disk never had to wait for room.
    pub fn arrived(&mut self, now: Duration, bytes: u64, was_room: bool) {
        self.disk.arrived(now, bytes, was_room);
    }

    /// Whether the next piece may go to the drive.
    pub fn decide(&mut self, now: Duration, level: Level) -> Decision {
        let is_high = level.is_final
            || level.bytes >= self.high_mark()
            || level.snapshots >= SNAPSHOTS_AHEAD_MAX - SNAPSHOTS_AHEAD_MAX / 8;
        let is_low =
            level.bytes < self.low_mark().max(1) && level.snapshots < SNAPSHOTS_AHEAD_MAX / 8;
        let is_enough = is_high || self.disk.outruns(now);
        match self.state {
            State::Open if is_low && !level.is_final && !is_enough => {
                self.state = State::Resting { since: now };
                self.rests.count += 1;
                self.capacity_full = match self.capacity < self.capacity_full {
                    true => self.capacity_full,
                    false => self.capacity_full.saturating_mul(2).min(self.capacity_max),
                };
                self.capacity = self.capacity_full;
                return Decision::Rest;
            }
            State::Open => {}
            State::Filling | State::Resting { .. } if !is_enough => return Decision::Rest,
            State::Filling => {
                if !is_high && self.is_automatic {
                    self.capacity = self.capacity.min(BUFFER_BYTES_OUTRUN);
                }
                self.open(now);
            }
            State::Resting { since } => {
                self.rests.time += now.saturating_sub(since);
                self.open(now);
            }
        }
        if now < self.paced_until { Decision::At(self.paced_until) } else { Decision::Go }
    }

    fn open(&mut self, now: Duration) {
        self.state = State::Open;
        self.paced_until = now;
    }

    /// A piece of so many bytes goes to the drive.
    pub fn took(&mut self, now: Duration, bytes: u64, level: Level) {
        self.taken_bytes = self.taken_bytes.saturating_add(bytes);
        self.capacity = self.capacity.max(self.capacity_full.min(self.taken_bytes / 4));
        let Some(pace) = self.pace(level) else {
            self.paced_until = now;
            return;
        };
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(pace.max(1));
        let time = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // What was late is not made up for: the drive sees an even stream.
        self.paced_until = self.paced_until.max(now).saturating_add(time);
    }

    /// Bytes a second that the drive gets, if not all.
    fn pace(&self, level: Level) -> Option<u64> {
        let (disk, slowest) = (self.disk.lasting()?, self.drive_slowest?);
        if level.is_final {
            None
        } else if disk < slowest {
            Some(slowest * PACE_PERCENT / 100)
        } else if level.bytes >= self.high_mark() {
            None
        } else {
            Some(disk)
        }
    }
}

/// What the disk gives.
#[derive(Debug, Clone, Copy, Default)]
struct DiskRate {
    last: Duration,
    window_bytes: u64,
    window_time: Duration,
    lately: Option<u64>,
    bytes: u64,
    time: Duration,
    /// The last [`OUTRUN_BYTES`] that came, and those since.
    runs: [Run; 2],
}

/// Bytes that came in a time.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    bytes: u64,
    time: Duration,
}

impl DiskRate {
    fn arrived(&mut self, now: Duration, bytes: u64, was_room: bool) {
        let passed = now.saturating_sub(self.last);
        self.last = now;
        if !was_room {
            return;
        }
        self.bytes += bytes;
        self.time += passed;
        let [before, run] = &mut self.runs;
        run.bytes += bytes;
        run.time += passed;
        if run.bytes >= OUTRUN_BYTES {
            *before = std::mem::take(run);
        }
        self.window_bytes += bytes;
        self.window_time += passed;
        if self.window_time >= WINDOW {
            let measured = bytes_per_s(self.window_bytes, self.window_time).unwrap_or(0);
            self.lately = Some(match self.lately {
                None => measured,
                Some(before) => (before * 3 + measured) / 4,
            });
            (self.window_bytes, self.window_time) = (0, Duration::ZERO);
        }
    }

    /// True if it has just given more than any drive takes.
    fn outruns(&self, now: Duration) -> bool {
        let [before, run] = self.runs;
        let time = before.time + run.time + now.saturating_sub(self.last);
        before.bytes > 0
            && bytes_per_s(before.bytes + run.bytes, time)
                .is_none_or(|rate| rate >= OUTRUN_BYTES_PER_S)
    }

    /// What can be counted on: what it gives now, and no more than on the whole, so that what its pauses take is made good
    /// between them.
    fn lasting(&self) -> Option<u64> {
        Some(self.lately?.min(self.overall()?))
    }

    fn overall(&self) -> Option<u64> {
        bytes_per_s(self.bytes, self.time)
    }
}

/// Bytes a second; `None` for no time.
pub fn bytes_per_s(bytes: u64, time: Duration) -> Option<u64> {
    let micros = time.as_micros();
    if micros == 0 {
        return None;
    }
    u64::try_from(u128::from(bytes) * 1_000_000 / micros).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn level(bytes: u64) -> Level {
        Level { bytes, snapshots: 1, is_final: false }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_gate_opens_at_the_high_mark_and_closes_below_the_low_one() {
        let mut gate = Gate::new(BufferSize::Fixed(800));
        assert_eq!((gate.high_mark(), gate.low_mark()), (700, 50));
        // Time, level, answer.
        let cases = [
            (0, 0, Decision::Rest),
            (1, 699, Decision::Rest),
            (2, 700, Decision::Go),
            (3, 100, Decision::Go),
            (4, 50, Decision::Go),
            (5, 49, Decision::Rest),
            (6, 699, Decision::Rest),
            (9, 701, Decision::Go),
            (10, 699, Decision::Go),
        ];
        for (now, bytes, expected) in cases {
            assert_eq!(gate.decide(seconds(now), level(bytes)), expected, "{now}");
        }
        // The first filling is no rest: the drive had not begun.
        assert_eq!(gate.rests(), Pauses { count: 1, time: seconds(4) });
        assert_eq!(gate.capacity(), 800, "a size that was chosen stays");
    }

    #[test]
    fn what_is_final_is_given_out_whatever_the_level() {
        let mut gate = Gate::new(BufferSize::Fixed(800));
        let last = |bytes| Level { bytes, snapshots: 0, is_final: true };
        for bytes in [10, 1, 0] {
            assert_eq!(gate.decide(seconds(1), last(bytes)), Decision::Go);
        }
        assert_eq!(gate.rests().count, 0);
    }

    #[test]
    fn many_small_snapshots_open_the_gate_too() {
        let mut gate = Gate::new(BufferSize::Fixed(800));
        let waiting = |snapshots| Level { bytes: 0, snapshots, is_final: false };
        let cases = [
            (55, Decision::Rest),
            (56, Decision::Go),
            (8, Decision::Go),
            (7, Decision::Rest),
            (55, Decision::Rest),
        ];
        for (snapshots, expected) in cases {
            assert_eq!(gate.decide(seconds(1), waiting(snapshots)), expected, "{snapshots}");
        }
    }

    #[test]
    fn a_buffer_of_automatic_size_grows_with_each_rest_to_its_limit() {
        let mut gate = Gate::new(BufferSize::UpTo(3 << 30));
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(gate.capacity() >> 30);
            assert_eq!(gate.decide(seconds(1), level(gate.high_mark())), Decision::Go);
            assert_eq!(gate.decide(seconds(1), level(0)), Decision::Rest);
        }
        assert_eq!(sizes, [1, 2, 3, 3]);
        assert_eq!(Gate::new(BufferSize::UpTo(1 << 20)).capacity(), 1 << 20);
    }

    #[test]
    fn a_disk_that_outruns_every_drive_is_not_waited_for() {
        let mut gate = Gate::new(BufferSize::UpTo(4 << 30));
        let fast = |gate: &mut Gate, from: u64| {
            for piece in 1..=17 {
                gate.arrived(Duration::from_millis(from + piece * 8), 4 << 20, true);
            }
        };
        assert_eq!(gate.decide(Duration::from_millis(1), level(4 << 20)), Decision::Rest);
        fast(&mut gate, 0);
        // Far below the high mark; and that the buffer runs empty is no rest.
        assert_eq!(gate.decide(Duration::from_millis(136), level(68 << 20)), Decision::Go);
        assert_eq!(gate.decide(Duration::from_millis(137), level(0)), Decision::Go);
        assert_eq!(gate.rests().count, 0);
        // It stands still: as any other.
        assert_eq!(gate.decide(Duration::from_millis(400), level(0)), Decision::Rest);
        assert_eq!((gate.rests().count, gate.capacity()), (1, 1 << 30));
        // It is back: what it did not give meanwhile must have passed before it counts again.
        gate.arrived(seconds(5), 4 << 20, true);
        assert_eq!(gate.decide(seconds(5), level(4 << 20)), Decision::Rest);
        fast(&mut gate, 5_000);
        assert_eq!(gate.decide(Duration::from_millis(5_136), level(72 << 20)), Decision::Rest);
        fast(&mut gate, 5_136);
        assert_eq!(gate.decide(Duration::from_millis(5_272), level(140 << 20)), Decision::Go);
        assert_eq!((gate.rests().count, gate.capacity()), (1, 1 << 30));
    }

    #[test]
    fn behind_a_fast_disk_the_buffer_grows_with_what_the_drive_takes() {
        let opened = |size| {
            let mut gate = Gate::new(size);
            for piece in 1..=17 {
                gate.arrived(Duration::from_millis(piece * 8), 4 << 20, true);
            }
            assert_eq!(gate.decide(Duration::from_millis(136), level(68 << 20)), Decision::Go);
            gate
        };
        let mut gate = opened(BufferSize::UpTo(4 << 30));
        let mut sizes = Vec::new();
        for _ in 0..6 {
            sizes.push(gate.capacity() >> 20);
            gate.took(Duration::from_millis(140), 1 << 30, level(68 << 20));
        }
        assert_eq!(sizes, [128, 256, 512, 768, 1024, 1024]);
        // Sizes that were chosen, and such that are smaller, stay.
        assert_eq!(opened(BufferSize::Fixed(1 << 30)).capacity(), 1 << 30);
        assert_eq!(opened(BufferSize::UpTo(64 << 20)).capacity(), 64 << 20);
    }

    #[test]
    fn a_disk_that_is_slower_than_that_is_waited_for_as_ever() {
        let mut gate = Gate::new(BufferSize::UpTo(4 << 30));
        for piece in 1..=100 {
            gate.arrived(Duration::from_millis(piece * 9), 4 << 20, true);
        }
        assert_eq!(gate.decide(Duration::from_millis(900), level(400 << 20)), Decision::Rest);
    }

    /// The table in the head of this file.
    #[test]
    fn the_drive_is_paced_to_what_it_can_do() {
        // MB/s of the disk, slowest of the drive, level of 1000 MB, pace in MB/s.
        let cases = [
            (100, Some(200), 900, Some(204)),
            (100, Some(200), 100, Some(204)),
            (300, Some(200), 900, None),
            (300, Some(200), 800, Some(300)),
            (300, None, 400, None),
        ];
        for (disk, slowest, at, expected) in cases {
            let mut gate = Gate::new(BufferSize::Fixed(1_000 * MB));
            gate.set_drive_slowest(slowest.map(|speed: u64| speed * MB));
            assert_eq!(gate.pace(level(at * MB)), None, "nothing was measured");
            for second in 1..=3 {
                gate.arrived(seconds(second), disk * MB, true);
            }
            // A wait for room says nothing of the disk.
            gate.arrived(seconds(100), MB, false);
            assert_eq!(gate.pace(level(at * MB)), expected.map(|speed: u64| speed * MB), "{disk}");
            assert_eq!(gate.disk_bytes_per_s(), Some(disk * MB));
            assert_eq!(gate.decide(seconds(100), level(900 * MB)), Decision::Go);
            gate.took(seconds(100), 204 * MB, level(at * MB));
            let next = gate.decide(seconds(100), level(800 * MB));
            match expected {
                Some(204) => assert_eq!(next, Decision::At(seconds(101))),
                Some(_) => {
                    assert_eq!(next, Decision::At(seconds(100) + Duration::from_millis(680)))
                }
                None => assert_eq!(next, Decision::Go),
            }
        }
    }
}
