//! The buffer between the disk and the drive: pieces in the order of the plan, bounded in bytes.
//!
//! * **Order.** A piece has its place before it is read, so what is read by several threads comes out in the order in which it was
//!   planned.
//! * **Memory.** A place is given only while all places together need no more than the gate's capacity; one piece that is larger than
//!   that has the buffer for itself. Places are given in order, so the oldest one never waits for room behind a younger one.
//! * **No waiting for ever.** Everyone who waits is woken when the ring is closed, or when a thread died; who takes looks
//!   every tenth of a second whether the job was aborted.
//!
//! What is given out when is decided by the [`Gate`].

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::gate::{Decision, Gate, Level, SNAPSHOTS_AHEAD_MAX};
use super::readers::ReaderCount;
use crate::chunk_workers::lock;

/// How often a wait looks for an abort.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What becomes of a piece that needs no reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Given out whatever the gate says: nothing of it goes to tape.
    News,
    /// The same, and a snapshot is held open with it.
    Snapshot,
    /// Something to write.
    Data,
}

/// What the gate and the count of readers know goes from one ring to the next of a job.
#[derive(Debug)]
pub struct Measured {
    /// The gate.
    pub gate: Gate,
    /// How many readers.
    pub readers: ReaderCount,
    /// The most bytes that were held at once.
    pub peak_bytes: u64,
}

/// Why there is nothing to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The job was aborted.
    Aborted,
    /// A thread died, so that what was planned will not come.
    Broken,
}

/// A place that was given to a reader.
#[derive(Debug)]
pub struct Place(u64);

struct Slot<W, T> {
    bytes: u64,
    kind: Kind,
    content: Content<W, T>,
}

enum Content<W, T> {
    Wanted(W),
    Reading,
    Ready(T),
}

struct State<W, T> {
    slots: VecDeque<Slot<W, T>>,
    /// Number of the first slot.
    first: u64,
    /// The first slot that no reader has.
    next_read: u64,
    /// So many slots from the first one on are ready.
    ready: usize,
    /// With so many bytes.
    ready_bytes: u64,
    /// Bytes that the slots have or will have.
    bytes: u64,
    /// Of them those that were read.
    held_bytes: u64,
    /// Slots with a snapshot.
    snapshots: usize,
    /// The plan waits for room now.
    is_full: bool,
    /// It had to wait since the last piece came.
    was_full: bool,
    /// A reader had to wait for the plan since the last piece came.
    was_unplanned: bool,
    is_planned: bool,
    /// The plan has nothing more before something was taken.
    is_paused: bool,
    is_closed: bool,
    is_broken: bool,
    measured: Measured,
}

/// The buffer. `W` is what is to be read, `T` what comes out.
pub struct Ring<W, T> {
    state: Mutex<State<W, T>>,
    /// For the plan: there may be room.
    room: Condvar,
    /// For readers: there may be work.
    work: Condvar,
    /// For readers that are not needed: the number may have changed.
    idle: Condvar,
    /// For who takes: there may be something.
    ready: Condvar,
    clock: Instant,
}

impl<W, T> Ring<W, T> {
    /// An empty buffer. Times are counted from `clock`.
    pub fn new(measured: Measured, clock: Instant) -> Ring<W, T> {
        Ring {
            state: Mutex::new(State {
                slots: VecDeque::new(),
                first: 0,
                next_read: 0,
                ready: 0,
                ready_bytes: 0,
                bytes: 0,
                held_bytes: 0,
                snapshots: 0,
                is_full: false,
                // Time before the first piece is none of the disk's.
                was_full: true,
                was_unplanned: false,
                is_planned: false,
                is_paused: false,
                is_closed: false,
                is_broken: false,
                measured,
            }),
            room: Condvar::new(),
            work: Condvar::new(),
            idle: Condvar::new(),
            ready: Condvar::new(),
            clock,
        }
    }

    /// Plans a piece of so many bytes that a reader is to read, as soon as there is room. False if nobody wants it any more.
    pub fn plan(&self, bytes: u64, wanted: W) -> bool {
        self.push(bytes, Kind::Data, Content::Wanted(wanted))
    }

    /// Adds a piece that is there already. False if nobody wants it any more.
    pub fn put(&self, kind: Kind, piece: T) -> bool {
        self.push(0, kind, Content::Ready(piece))
    }

    fn push(&self, bytes: u64, kind: Kind, content: Content<W, T>) -> bool {
        let mut state = lock(&self.state);
        while !state.is_closed && !state.has_room(bytes, kind) {
            state.is_full = true;
            state.was_full = true;
            self.ready.notify_one();
            state = wait(&self.room, state, None);
        }
        state.is_full = false;
        state.is_paused = false;
        if state.is_closed {
            return false;
        }
        let is_wanted = matches!(content, Content::Wanted(_));
        state.bytes += bytes;
        state.snapshots += usize::from(kind == Kind::Snapshot);
        state.slots.push_back(Slot { bytes, kind, content });
        if is_wanted {
            self.work.notify_one();
        } else {
            state.count_ready();
            self.ready.notify_one();
        }
        true
    }

    /// Nothing more will be planned.
    pub fn end_plan(&self) {
        lock(&self.state).is_planned = true;
        self.work.notify_all();
        self.idle.notify_all();
        self.ready.notify_one();
    }

    /// Nothing more will be planned before something of what there is was taken, or for some time.
    pub fn pause(&self) {
        lock(&self.state).is_paused = true;
        self.ready.notify_one();
    }

    /// What reader number `reader` is to read next; `None`: it is not needed any more.
    pub fn fetch(&self, reader: usize) -> Option<(Place, W)> {
        let mut state = lock(&self.state);
        loop {
            if state.is_closed || state.is_broken {
                return None;
            }
            if reader >= state.measured.readers.active() {
                if state.is_planned && state.all_fetched() {
                    return None;
                }
                // It may have been woken in place of one that is needed.
                self.work.notify_one();
                state = wait(&self.idle, state, None);
                continue;
            }
            match state.next_wanted() {
                Some(found) => return Some(found),
                None if state.is_planned => return None,
                None => {
                    state.was_unplanned = true;
                    state = wait(&self.work, state, None);
                }
            }
        }
    }

    /// What was read, and how many bytes it really has.
    pub fn fill(&self, place: &Place, bytes: u64, piece: T) {
        let mut state = lock(&self.state);
        let State { slots, first, .. } = &mut *state;
        let slot = place.0.checked_sub(*first).and_then(|at| slots.get_mut(at as usize));
        let Some(slot) = slot else { return };
        let planned_bytes = std::mem::replace(&mut slot.bytes, bytes);
        slot.content = Content::Ready(piece);
        state.bytes = state.bytes.saturating_sub(planned_bytes) + bytes;
        state.held_bytes += bytes;
        state.measured.peak_bytes = state.measured.peak_bytes.max(state.held_bytes);
        let now = self.clock.elapsed();
        let is_full = state.is_full;
        let was_room = !std::mem::replace(&mut state.was_full, is_full);
        let was_busy = was_room && !std::mem::take(&mut state.was_unplanned);
        let before = state.measured.readers.active();
        state.measured.gate.arrived(now, bytes, was_room);
        state.measured.readers.arrived(now, bytes, was_busy);
        if state.measured.readers.active() != before {
            self.idle.notify_all();
            self.work.notify_all();
        }
        state.count_ready();
        self.ready.notify_one();
    }

    /// The next piece in the plan's order; `None` at its end. Waits until the gate lets it pass.
    pub fn take(&self, is_aborted: &dyn Fn() -> bool) -> Result<Option<T>, Ended> {
        let mut state = lock(&self.state);
        loop {
            if is_aborted() {
                return Err(Ended::Aborted);
            }
            if state.ready == 0 {
                match state.slots.is_empty() && state.is_planned {
                    true => return Ok(None),
                    false if state.is_broken => return Err(Ended::Broken),
                    false => {}
                }
            } else if state.slots.front().is_some_and(|slot| slot.kind != Kind::Data) {
                return Ok(self.pop(&mut state));
            }
            let now = self.clock.elapsed();
            let level = state.level();
            let limit = match state.measured.gate.decide(now, level) {
                Decision::Go if state.ready > 0 => {
                    let piece_bytes = state.slots.front().map_or(0, |slot| slot.bytes);
                    state.measured.gate.took(now, piece_bytes, level);
                    return Ok(self.pop(&mut state));
                }
                Decision::At(time) => time.saturating_sub(now).min(LOOK_EVERY),
                Decision::Go | Decision::Rest => LOOK_EVERY,
            };
            // The gate may have made the buffer larger.
            self.room.notify_one();
            state = wait(&self.ready, state, Some(limit));
        }
    }

    /// True if the next piece is one for which `is_it` says so. Waits until it is known, and not for the gate. What is still to be
    /// read is data.
    pub fn next_is(
        &self,
        is_aborted: &dyn Fn() -> bool,
        is_it: &dyn Fn(&T) -> bool,
    ) -> Result<bool, Ended> {
        let mut state = lock(&self.state);
        loop {
            match state.slots.front() {
                Some(Slot { content: Content::Ready(piece), .. }) => return Ok(is_it(piece)),
                Some(_) => return Ok(true),
                None if state.is_planned => return Ok(false),
                None if state.is_broken => return Err(Ended::Broken),
                None if is_aborted() => return Err(Ended::Aborted),
                None => state = wait(&self.ready, state, Some(LOOK_EVERY)),
            }
        }
    }

    fn pop(&self, state: &mut State<W, T>) -> Option<T> {
        let slot = state.slots.pop_front()?;
        state.first += 1;
        state.next_read = state.next_read.max(state.first);
        state.ready = state.ready.saturating_sub(1);
        state.ready_bytes = state.ready_bytes.saturating_sub(slot.bytes);
        state.bytes = state.bytes.saturating_sub(slot.bytes);
        state.held_bytes = state.held_bytes.saturating_sub(slot.bytes);
        state.snapshots = state.snapshots.saturating_sub(usize::from(slot.kind == Kind::Snapshot));
        self.room.notify_one();
        match slot.content {
            Content::Ready(piece) => Some(piece),
            Content::Wanted(_) | Content::Reading => None,
        }
    }

    /// The drive changed: its slowest speed, in bytes a second.
    pub fn set_drive_slowest(&self, bytes_per_s: Option<u64>) {
        lock(&self.state).measured.gate.set_drive_slowest(bytes_per_s);
    }

    /// True once nobody takes any more.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    /// Nobody takes any more: all who wait go home.
    pub fn close(&self) {
        lock(&self.state).is_closed = true;
        self.wake_all();
    }

    /// A thread died.
    pub fn break_off(&self) {
        lock(&self.state).is_broken = true;
        self.wake_all();
    }

    fn wake_all(&self) {
        for one in [&self.room, &self.work, &self.idle, &self.ready] {
            one.notify_all();
        }
    }

    /// What was measured so far.
    pub fn measured<R>(&self, look: impl FnOnce(&Measured) -> R) -> R {
        look(&lock(&self.state).measured)
    }

    /// Pieces that were planned and not taken.
    pub fn left(&self) -> usize {
        lock(&self.state).slots.len()
    }
}

impl<W, T> State<W, T> {
    fn has_room(&self, bytes: u64, kind: Kind) -> bool {
        match kind {
            Kind::Data => self.bytes == 0 || self.bytes + bytes <= self.measured.gate.capacity(),
            Kind::Snapshot => self.snapshots < SNAPSHOTS_AHEAD_MAX,
            Kind::News => true,
        }
    }

    fn all_fetched(&self) -> bool {
        self.next_read >= self.first + self.slots.len() as u64
    }

    fn next_wanted(&mut self) -> Option<(Place, W)> {
        loop {
            let at = self.next_read.checked_sub(self.first)? as usize;
            let slot = self.slots.get_mut(at)?;
            let place = Place(self.next_read);
            self.next_read += 1;
            if let Content::Wanted(_) = slot.content
                && let Content::Wanted(wanted) =
                    std::mem::replace(&mut slot.content, Content::Reading)
            {
                return Some((place, wanted));
            }
        }
    }

    fn count_ready(&mut self) {
        while let Some(Slot { bytes, content: Content::Ready(_), .. }) = self.slots.get(self.ready)
        {
            self.ready += 1;
            self.ready_bytes += bytes;
        }
    }

    fn level(&self) -> Level {
        Level {
            bytes: self.ready_bytes,
            snapshots: self.snapshots,
            is_final: self.is_broken
                || (self.ready == self.slots.len()
                    && (self.is_planned || self.is_full || self.is_paused)),
        }
    }
}

fn wait<'a, S>(
    condition: &Condvar,
    state: MutexGuard<'a, S>,
    limit: Option<Duration>,
) -> MutexGuard<'a, S> {
    // A poisoned lock is as good as before: what a thread that panicked left undone is told by `break_off`.
    match limit {
        None => condition.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner),
        Some(limit) => match condition.wait_timeout(state, limit) {
            Ok((state, _)) => state,
            Err(poisoned) => poisoned.into_inner().0,
        },
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
