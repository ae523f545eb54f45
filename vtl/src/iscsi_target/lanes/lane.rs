//! One lane: what waits for a logical unit, in order, and what the unit is carrying out.

use std::collections::VecDeque;
use std::sync::Arc;

use scsi::Sense;
use scsi::iscsi::pdu::ScsiCommand;

use crate::abort::Abort;
use crate::iscsi_target::write_data::Buffer;

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

/// What is next in a lane; `M` is what management does there.
pub enum Work<M> {
    Command(Ready),
    Manage(M),
}

/// What waits in a lane.
pub enum Item<M> {
    /// `ready` once all its data is here.
    Command {
        entry: Entry,
        ready: Option<Ready>,
    },
    Manage(M),
}

/// An open command.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub tag: u32,
    pub is_immediate: bool,
    /// Its part of the budget for data.
    pub charge: u64,
}

/// The command that is being carried out.
pub struct Running {
    pub entry: Entry,
    pub is_aborted: bool,
    pub abort: Arc<Abort>,
    /// Task management requests that are answered when it is over.
    pub waiters: Vec<u32>,
}

impl Running {
    /// Takes its answer away, and its wait for a motion.
    pub fn end(&mut self) {
        self.is_aborted = true;
        self.abort.raise();
    }
}

pub struct Lane<M> {
    pub queue: VecDeque<Item<M>>,
    pub running: Option<Running>,
    /// The last command was a quick one.
    pub is_quick: bool,
    pub has_thread: bool,
}

impl<M> Item<M> {
    fn has(&self, wanted: u32) -> bool {
        matches!(self, Item::Command { entry, .. } if entry.tag == wanted)
    }
}

impl<M> Lane<M> {
    pub fn new() -> Lane<M> {
        Lane { queue: VecDeque::new(), running: None, is_quick: true, has_thread: false }
    }

    /// Takes the head of the lane, if it can be begun.
    pub fn start(&mut self) -> Option<Work<M>> {
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

    /// The place of a command that waits.
    pub fn find(&mut self, wanted: u32) -> Option<(&mut Entry, &mut Option<Ready>)> {
        self.queue.iter_mut().find_map(|item| match item {
            Item::Command { entry, ready } if entry.tag == wanted => Some((entry, ready)),
            _ => None,
        })
    }

    /// Takes a command that waits out of the lane.
    pub fn remove(&mut self, wanted: u32) -> Option<Item<M>> {
        let at = self.queue.iter().position(|item| item.has(wanted))?;
        self.queue.remove(at)
    }

    /// Takes all commands that wait out of the lane. What management is to do there stays.
    pub fn remove_commands(&mut self) -> VecDeque<Item<M>> {
        let (gone, kept) = std::mem::take(&mut self.queue)
            .into_iter()
            .partition(|item| matches!(item, Item::Command { .. }));
        self.queue = kept;
        gone
    }

    /// True if a command is open here.
    pub fn has(&self, wanted: u32) -> bool {
        self.running.as_ref().is_some_and(|running| running.entry.tag == wanted)
            || self.queue.iter().any(|item| item.has(wanted))
    }
}
