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

mod budget;
mod lane;
#[cfg(test)]
mod tests;
mod window;

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

use scsi::iscsi::pdu::{ReadyToTransfer, ScsiCommand};

use super::limits::QUICK;
use super::outbox::Outbox;
use super::write_data::Buffer;
use crate::home::unpoisoned;
use budget::{Budget, Spare};
use lane::{Entry, Item, Lane};
pub use lane::{Ready, Work};
use window::Window;

/// An R2T that waits for room, as it will be sent.
pub type Ask = ReadyToTransfer;

/// The open commands of a session; `M` is what task management does in a lane.
pub struct Lanes<M> {
    state: Mutex<State<M>>,
    wake: Vec<Condvar>,
}

struct State<M> {
    lanes: Vec<Lane<M>>,
    window: Window,
    budget: Budget,
    spare: Spare,
    is_closed: bool,
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

impl<M> Lanes<M> {
    /// So many lanes, of which the last takes what names no unit. The first command has the number
    /// `first`.
    pub fn new(count: usize, first: u32) -> Lanes<M> {
        Lanes {
            state: Mutex::new(State {
                lanes: (0..count).map(|_| Lane::new()).collect(),
                window: Window::new(first),
                budget: Budget::default(),
                spare: Spare::default(),
                is_closed: false,
            }),
            wake: (0..count).map(|_| Condvar::new()).collect(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<M>> {
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
        self.state().window.announce(outbox);
    }

    /// Looks at the number of a message. Those for immediate delivery are outside the order.
    pub fn turn(&self, cmd_sn: u32, is_immediate: bool, outbox: &Outbox) -> Turn {
        if is_immediate { Turn::Take } else { self.state().window.turn(cmd_sn, outbox) }
    }

    /// A buffer for a command's data.
    pub fn buffer(&self) -> Buffer {
        self.state().spare.take()
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
        if !state.window.take(command.is_immediate, outbox) {
            return Place::TooMany;
        }
        let charge = state.budget.admit(tag, charge);
        let Some(place) = state.lanes.get_mut(lane) else { return Place::Gone };
        let entry = Entry { tag, is_immediate: command.is_immediate, charge };
        place.queue.push_back(Item::Command { entry, ready });
        self.offer(&mut state, lane)
    }

    /// The data of a command is complete.
    pub fn complete(&self, lane: usize, now_ready: Ready) -> Place {
        let mut state = self.state();
        let wanted = now_ready.command.task_tag;
        let place = state.lanes.get_mut(lane).and_then(|lane| lane.find(wanted));
        let Some((_, place)) = place else {
            state.spare.keep(now_ready.buffer);
            return Place::Gone;
        };
        *place = Some(now_ready);
        self.offer(&mut state, lane)
    }

    /// Gives the head of a lane to the caller if it is short and the lane is idle, else to its thread.
    fn offer(&self, state: &mut State<M>, lane: usize) -> Place {
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
    pub fn next(&self, lane: usize) -> Option<Work<M>> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(work) = state.lanes.get_mut(lane)?.start() {
                return Some(work);
            }
            state = unpoisoned(self.wake.get(lane)?.wait(state));
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
        state.window.free(is_immediate);
        state.window.announce(outbox);
        !is_aborted
    }

    /// The answer of a command was sent, or is not to be sent.
    pub fn finish(&self, lane: usize, buffer: Buffer) -> Aftermath {
        let mut state = self.state();
        state.spare.keep(buffer);
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
        self.state().budget.may_ask(ask)
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
            if let Some(item) = place.remove(tag) {
                let mut asks = Vec::new();
                state.drop_item(item, &mut asks);
                state.window.announce(outbox);
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
        let gone = place.remove_commands();
        if !gone.is_empty() && ending == Ending::Unknown {
            ending = Ending::Removed;
        }
        for item in gone {
            state.drop_item(item, &mut asks);
        }
        state.window.announce(outbox);
        (ending, asks)
    }

    /// Puts a management function at the head of a lane; `NeedsThread` as for commands.
    pub fn manage(&self, lane: usize, management: M) -> Place {
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
        state.budget.close();
        drop(state);
        for condition in &self.wake {
            condition.notify_all();
        }
    }
}

impl<M> State<M> {
    fn is_open(&self, tag: u32) -> bool {
        self.lanes.iter().any(|lane| lane.has(tag))
    }

    /// Gives room for data back, and lets in who waits for it.
    fn release(&mut self, charge: u64, asks: &mut Vec<Ask>) {
        self.budget.release(charge);
        while let Some(next) = self.budget.let_in() {
            asks.extend(next.ask);
            if let Some((entry, _)) = self.lanes.iter_mut().find_map(|lane| lane.find(next.tag)) {
                entry.charge = next.charge;
            }
        }
    }

    fn drop_item(&mut self, item: Item<M>, asks: &mut Vec<Ask>) {
        let Item::Command { entry, ready } = item else { return };
        self.budget.forget(entry.tag);
        self.release(entry.charge, asks);
        self.window.free(entry.is_immediate);
        if let Some(ready) = ready {
            self.spare.keep(ready.buffer);
        }
    }
}
