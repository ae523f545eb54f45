//! The open commands of a session: a lane for each logical unit, in each lane one after the other.
//!
//! A command stays in its place while its data arrives, so what came after it on the same unit waits for
//! it. Where a lane is empty and idle, the thread that reads the connection may carry a short command
//! out itself; everything else is done by the lane's own thread, which is started when it is first
//! needed.
//!
//! A command is open from its arrival until its answer was sent. Ending one that is being carried out
//! takes its answer away and ends its wait for a motion (`abort`), and whoever asked is told when it is over
//! (`waiters`); ending one that waits removes it.
//!
//! How much data the session may be asked for ahead of its turn is bounded. Commands are let in to that
//! budget in the order of their arrival, so each one depends only on those before it and none waits in a
//! circle.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use scsi::Sense;
use scsi::iscsi::pdu::{ReadyToTransfer, ScsiCommand};
use scsi::iscsi::serial::Serial;

use super::limits::{
    COMMANDS_MAX, IMMEDIATE_MAX, QUICK, SOLICITED_BYTES_MAX, SPARE_BYTES_MAX, SPARE_MAX,
};
use super::management::Management;
use super::outbox::Outbox;
use super::write_data::Buffer;
use crate::abort::Abort;
use crate::home::unpoisoned;

/// A command with all its data.
#[derive(Debug)]
pub struct Ready {
    pub command: ScsiCommand,
    /// What the initiator sent, or room for what it gets.
    pub buffer: Buffer,
    /// R2Ts that were sent for it.
    pub r2ts: u32,
    /// The target refuses it without asking a unit.
    pub refusal: Option<Sense>,
    /// So short that the reading thread may carry it out.
    pub is_short: bool,
    /// Ends its wait for a motion.
    pub abort: Arc<Abort>,
}

impl Ready {
    /// A command without data that a thread of its own is to carry out.
    pub fn of(command: ScsiCommand) -> Ready {
        Ready {
            command,
            buffer: Buffer::default(),
            r2ts: 0,
            refusal: None,
            is_short: false,
            abort: Arc::default(),
        }
    }
}

/// An R2T that waits for room, as it will be sent.
pub type Ask = ReadyToTransfer;

/// What is next in a lane.
pub enum Work {
    Command(Ready),
    Manage(Management),
}

enum Item {
    /// `ready` once all its data is here.
    Command {
        entry: Entry,
        ready: Option<Ready>,
    },
    Manage(Management),
}

/// An open command.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: u32,
    is_immediate: bool,
    /// Its part of the budget for data.
    charge: u64,
}

/// The command that is being carried out.
struct Running {
    entry: Entry,
    is_aborted: bool,
    abort: Arc<Abort>,
    /// Task management requests that are answered when it is over.
    waiters: Vec<u32>,
}

struct Lane {
    queue: VecDeque<Item>,
    running: Option<Running>,
    /// The last command was a quick one.
    is_quick: bool,
    has_thread: bool,
}

struct Waiting {
    tag: u32,
    charge: u64,
    ask: Option<Ask>,
}

struct State {
    lanes: Vec<Lane>,
    expected: Serial,
    /// Commands in the window that are open.
    open: u32,
    /// Commands for immediate delivery that are open.
    open_immediate: u32,
    solicited: u64,
    waiting: VecDeque<Waiting>,
    spare: Vec<Buffer>,
    is_closed: bool,
}

/// The open commands of a session.
pub struct Lanes {
    state: Mutex<State>,
    wake: Vec<Condvar>,
}

/// What to do with a numbered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is the one expected.
    Take,
    /// It is old, or beyond the window: as if it had not come (RFC 7143 §4.2.2.1).
    Ignore,
    /// A message before it is missing, which on one connection cannot be.
    Gap,
}

/// Where a command went.
pub enum Place {
    /// To the caller, who is to carry it out now.
    Here(Ready),
    /// Into its lane.
    Queued,
    /// Into its lane, which needs a thread.
    NeedsThread,
    /// Its tag is that of an open command.
    TagInUse,
    /// Too many commands for immediate delivery are open.
    TooMany,
    /// It was ended meanwhile.
    Gone,
}

/// What ending a task found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is gone.
    Removed,
    /// It is being carried out; the request is answered when that is over.
    Awaited,
    /// There is no such task.
    Unknown,
}

/// What is to be sent when a command is over.
#[derive(Default)]
pub struct Aftermath {
    /// Task management requests that can be answered now.
    pub waiters: Vec<u32>,
    /// R2Ts for which there is room now.
    pub asks: Vec<Ask>,
}

impl Lanes {
    /// So many lanes, of which the last takes what names no unit. The first command has the number
    /// `first`.
    pub fn new(count: usize, first: u32) -> Lanes {
        let lane =
            || Lane { queue: VecDeque::new(), running: None, is_quick: true, has_thread: false };
        Lanes {
            state: Mutex::new(State {
                lanes: (0..count).map(|_| lane()).collect(),
                expected: Serial(first),
                open: 0,
                open_immediate: 0,
                solicited: 0,
                waiting: VecDeque::new(),
                spare: Vec::new(),
                is_closed: false,
            }),
            wake: (0..count).map(|_| Condvar::new()).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        unpoisoned(self.state.lock())
    }

    fn wake(&self, lane: usize) {
        if let Some(condition) = self.wake.get(lane) {
            condition.notify_one();
        }
    }

    /// How many lanes there are; none in a discovery session.
    pub fn count(&self) -> usize {
        self.wake.len()
    }

    /// Tells the outbox the window as it is now.
    pub fn announce(&self, outbox: &Outbox) {
        self.state().announce(outbox);
    }

    /// Looks at the number of a message. Those for immediate delivery are outside the order.
    pub fn turn(&self, cmd_sn: u32, is_immediate: bool, outbox: &Outbox) -> Turn {
        let mut state = self.state();
        let number = Serial(cmd_sn);
        if is_immediate {
            return Turn::Take;
        }
        if number == state.expected && state.open < COMMANDS_MAX {
            state.expected = state.expected.next();
            state.announce(outbox);
            return Turn::Take;
        }
        let in_window = state.expected.is_before(number) && number.is_before(state.behind_window());
        if in_window { Turn::Gap } else { Turn::Ignore }
    }

    /// A buffer for a command's data.
    pub fn buffer(&self) -> Buffer {
        self.state().spare.pop().unwrap_or_default()
    }

    /// A command arrived, whole (`ready`) or with `charge` bytes of data to come.
    pub fn enter(
        &self,
        lane: usize,
        command: &ScsiCommand,
        charge: u64,
        ready: Option<Ready>,
        outbox: &Outbox,
    ) -> Place {
        let mut state = self.state();
        let tag = command.task_tag;
        if state.is_open(tag) {
            return Place::TagInUse;
        }
        if command.is_immediate {
            if state.open_immediate >= IMMEDIATE_MAX {
                return Place::TooMany;
            }
            state.open_immediate += 1;
        } else {
            state.open += 1;
            state.announce(outbox);
        }
        let charge = state.admit(tag, charge);
        let Some(place) = state.lanes.get_mut(lane) else { return Place::Gone };
        let entry = Entry { tag, is_immediate: command.is_immediate, charge };
        place.queue.push_back(Item::Command { entry, ready });
        self.offer(&mut state, lane)
    }

    /// The data of a command is complete.
    pub fn complete(&self, lane: usize, now_ready: Ready) -> Place {
        let mut state = self.state();
        let wanted = now_ready.command.task_tag;
        let queue = state.lanes.get_mut(lane).map(|lane| &mut lane.queue);
        let place = queue.into_iter().flatten().find_map(|item| match item {
            Item::Command { entry, ready } if entry.tag == wanted => Some(ready),
            _ => None,
        });
        let Some(place) = place else {
            state.keep(now_ready.buffer);
            return Place::Gone;
        };
        *place = Some(now_ready);
        self.offer(&mut state, lane)
    }

    /// Gives the head of a lane to the caller if it is short and the lane is idle, else to its thread.
    fn offer(&self, state: &mut State, lane: usize) -> Place {
        let Some(place) = state.lanes.get_mut(lane) else { return Place::Gone };
        if place.running.is_some() {
            // Whoever carries it out looks at the lane again.
            return Place::Queued;
        }
        let is_for_here = match place.queue.front() {
            Some(Item::Command { ready: Some(ready), .. }) => {
                place.is_quick && ready.is_short && place.queue.len() == 1
            }
            Some(Item::Manage(_)) => false,
            // Its data is still to come.
            Some(Item::Command { ready: None, .. }) | None => return Place::Queued,
        };
        if is_for_here && let Some(Work::Command(ready)) = place.start() {
            return Place::Here(ready);
        }
        if !place.has_thread {
            place.has_thread = true;
            return Place::NeedsThread;
        }
        self.wake(lane);
        Place::Queued
    }

    /// A command that the caller was to carry out goes back: its unit is busy for another session. `Gone`:
    /// it was ended in between and the caller is to finish it.
    pub fn put_back(&self, lane: usize, ready: Ready) -> Place {
        let mut state = self.state();
        let Some(place) = state.lanes.get_mut(lane) else { return Place::Gone };
        let Some(running) = place.running.take() else { return Place::Gone };
        place.is_quick = false;
        if running.is_aborted {
            place.running = Some(running);
            return Place::Gone;
        }
        place.queue.push_front(Item::Command { entry: running.entry, ready: Some(ready) });
        self.offer(&mut state, lane)
    }

    /// Waits for something to do in a lane. `None`: the session is over.
    pub fn next(&self, lane: usize) -> Option<Work> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(work) = state.lanes.get_mut(lane)?.start() {
                return Some(work);
            }
            state = unpoisoned_wait(self.wake.get(lane)?, state);
        }
    }

    /// A command was carried out in so much time. `true` if its answer is to be sent; its place in the
    /// window is free from now on.
    pub fn conclude(&self, lane: usize, took: Duration, outbox: &Outbox) -> bool {
        let mut state = self.state();
        let Some(place) = state.lanes.get_mut(lane) else { return false };
        place.is_quick = took < QUICK;
        let Some(running) = &place.running else { return false };
        let (is_immediate, is_aborted) = (running.entry.is_immediate, running.is_aborted);
        state.free(is_immediate);
        state.announce(outbox);
        !is_aborted
    }

    /// The answer of a command was sent, or is not to be sent.
    pub fn finish(&self, lane: usize, buffer: Buffer) -> Aftermath {
        let mut state = self.state();
        state.keep(buffer);
        let mut aftermath = Aftermath::default();
        let Some(place) = state.lanes.get_mut(lane) else { return aftermath };
        if let Some(running) = place.running.take() {
            aftermath.waiters = running.waiters;
            let has_more = !place.queue.is_empty();
            state.release(running.entry.charge, &mut aftermath.asks);
            if has_more {
                self.wake(lane);
            }
        }
        aftermath
    }

    /// Asks whether an R2T may be sent now; if not, it will be among those of an [`Aftermath`].
    pub fn may_ask(&self, ask: &Ask) -> bool {
        let mut state = self.state();
        match state.waiting.iter_mut().find(|waiting| waiting.tag == ask.task_tag) {
            Some(waiting) => {
                waiting.ask = Some(ask.clone());
                false
            }
            None => true,
        }
    }

    /// True if a command with this tag is open.
    pub fn is_open(&self, tag: u32) -> bool {
        self.state().is_open(tag)
    }

    /// Ends one task. `request` is answered later if it is being carried out. What waited behind it may
    /// have a place now.
    pub fn abort(
        &self,
        tag: u32,
        request: u32,
        outbox: &Outbox,
    ) -> (Ending, Vec<Ask>, Option<(usize, Place)>) {
        let mut state = self.state();
        for lane in 0..state.lanes.len() {
            let Some(place) = state.lanes.get_mut(lane) else { break };
            if let Some(running) = place.running.as_mut().filter(|running| running.entry.tag == tag)
            {
                running.end();
                running.waiters.push(request);
                return (Ending::Awaited, Vec::new(), None);
            }
            let found = place
                .queue
                .iter()
                .position(|item| matches!(item, Item::Command { entry, .. } if entry.tag == tag));
            if let Some(item) = found.and_then(|at| place.queue.remove(at)) {
                let mut asks = Vec::new();
                state.drop_item(item, &mut asks);
                state.announce(outbox);
                let place = self.offer(&mut state, lane);
                return (Ending::Removed, asks, Some((lane, place)));
            }
        }
        (Ending::Unknown, Vec::new(), None)
    }

    /// Ends all tasks of a lane. `request`, if given, is answered later if one is being carried out.
    /// `Unknown` if there was none.
    pub fn abort_lane(
        &self,
        lane: usize,
        request: Option<u32>,
        outbox: &Outbox,
    ) -> (Ending, Vec<Ask>) {
        let mut state = self.state();
        let mut asks = Vec::new();
        let Some(place) = state.lanes.get_mut(lane) else { return (Ending::Unknown, asks) };
        let mut ending = Ending::Unknown;
        if let Some(running) = &mut place.running {
            running.end();
            running.waiters.extend(request);
            ending = Ending::Awaited;
        }
        let (gone, kept) = std::mem::take(&mut place.queue)
            .into_iter()
            .partition(|item| matches!(item, Item::Command { .. }));
        place.queue = kept;
        let gone: VecDeque<Item> = gone;
        if !gone.is_empty() && ending == Ending::Unknown {
            ending = Ending::Removed;
        }
        for item in gone {
            state.drop_item(item, &mut asks);
        }
        state.announce(outbox);
        (ending, asks)
    }

    /// Puts a management function at the head of a lane; `NeedsThread` as for commands.
    pub fn manage(&self, lane: usize, management: Management) -> Place {
        let mut state = self.state();
        let Some(place) = state.lanes.get_mut(lane) else { return Place::Gone };
        place.queue.push_front(Item::Manage(management));
        self.offer(&mut state, lane)
    }

    /// The session is over: nothing more is begun. What is being carried out goes on, but does not wait for
    /// a motion's end any longer.
    pub fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        for lane in &mut state.lanes {
            lane.queue.clear();
            if let Some(running) = &lane.running {
                running.abort.raise();
            }
        }
        state.waiting.clear();
        drop(state);
        for condition in &self.wake {
            condition.notify_all();
        }
    }
}

fn unpoisoned_wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    unpoisoned(condition.wait(state))
}

impl Running {
    /// Takes its answer away, and its wait for a motion.
    fn end(&mut self) {
        self.is_aborted = true;
        self.abort.raise();
    }
}

impl Lane {
    /// Takes the head of the lane, if it can be begun.
    fn start(&mut self) -> Option<Work> {
        if self.running.is_some() {
            return None;
        }
        match self.queue.pop_front()? {
            Item::Manage(management) => Some(Work::Manage(management)),
            Item::Command { entry, ready: Some(ready) } => {
                let abort = Arc::clone(&ready.abort);
                self.running =
                    Some(Running { entry, is_aborted: false, abort, waiters: Vec::new() });
                Some(Work::Command(ready))
            }
            waiting @ Item::Command { ready: None, .. } => {
                self.queue.push_front(waiting);
                None
            }
        }
    }

    fn has(&self, wanted: u32) -> bool {
        self.running.as_ref().is_some_and(|running| running.entry.tag == wanted)
            || self
                .queue
                .iter()
                .any(|item| matches!(item, Item::Command { entry, .. } if entry.tag == wanted))
    }
}

impl State {
    /// The number behind the last one that is taken.
    fn behind_window(&self) -> Serial {
        self.expected.plus(COMMANDS_MAX.saturating_sub(self.open))
    }

    fn announce(&self, outbox: &Outbox) {
        let last = Serial(self.behind_window().0.wrapping_sub(1));
        outbox.set_window(self.expected, last);
    }

    fn is_open(&self, tag: u32) -> bool {
        self.lanes.iter().any(|lane| lane.has(tag))
    }

    fn free(&mut self, is_immediate: bool) {
        let count = if is_immediate { &mut self.open_immediate } else { &mut self.open };
        *count = count.saturating_sub(1);
    }

    /// Lets a command in to the budget for data, or notes that it waits. Gives what it was charged.
    fn admit(&mut self, tag: u32, charge: u64) -> u64 {
        if charge == 0 {
            return 0;
        }
        if self.waiting.is_empty() && self.fits(charge) {
            self.solicited += charge;
            return charge;
        }
        self.waiting.push_back(Waiting { tag, charge, ask: None });
        0
    }

    fn fits(&self, charge: u64) -> bool {
        self.solicited == 0 || self.solicited + charge <= SOLICITED_BYTES_MAX
    }

    /// Gives room back, and lets in who waits for it.
    fn release(&mut self, charge: u64, asks: &mut Vec<Ask>) {
        self.solicited = self.solicited.saturating_sub(charge);
        while let Some(first) = self.waiting.front() {
            if !self.fits(first.charge) {
                break;
            }
            let Some(first) = self.waiting.pop_front() else { break };
            self.solicited += first.charge;
            asks.extend(first.ask);
            let items = self.lanes.iter_mut().flat_map(|lane| &mut lane.queue);
            for item in items {
                if let Item::Command { entry, .. } = item
                    && entry.tag == first.tag
                {
                    entry.charge = first.charge;
                }
            }
        }
    }

    fn drop_item(&mut self, item: Item, asks: &mut Vec<Ask>) {
        let Item::Command { entry, ready } = item else { return };
        self.waiting.retain(|waiting| waiting.tag != entry.tag);
        self.release(entry.charge, asks);
        self.free(entry.is_immediate);
        if let Some(ready) = ready {
            self.keep(ready.buffer);
        }
    }

    fn keep(&mut self, mut buffer: Buffer) {
        let kept: usize = self.spare.iter().map(Buffer::capacity).sum();
        if self.spare.len() < SPARE_MAX && kept + buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
