//! Task management (RFC 7143 §11.5; SAM-5 §7).
//!
//! | function | ends | tells |
//! |---|---|---|
//! | ABORT TASK | one task of this session | |
//! | ABORT TASK SET | this session's tasks on the unit | |
//! | CLEAR TASK SET | everybody's tasks on the unit | the others whose tasks they were: 2F/00 |
//! | LOGICAL UNIT RESET | the same | every host: 29/03 |
//! | TARGET WARM RESET, COLD RESET | the same on all units; a cold one ends all sessions too | the same |
//!
//! An ended task has no answer. What a unit does to a tape is not cut short, because half a command is worse than a
//! whole one: the function is answered when the task is over. But a task's wait for a motion ends at once: the tape
//! goes on to where it was sent, and the drive is not ready until it is there, after a reset too. What has to wait for
//! a unit is done in the unit's lane, in front of all else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use scsi::iscsi::pdu::TaskResult;
use scsi::{Sense, SenseKey};

use crate::library::{HostReference, HostSession};
use crate::unit::name::Unit;

/// Commands cleared by another initiator (6/2F/00).
const COMMANDS_CLEARED: Sense = Sense::new(SenseKey::UnitAttention, 0x2f, 0x00);

/// A function on its way through the lanes of the units that it is about.
pub struct Management {
    work: Arc<Function>,
    action: Action,
}

/// What all lanes of a function share: the last one answers.
pub struct Function {
    task_tag: u32,
    pending: AtomicUsize,
    has_failed: AtomicBool,
    ends_sessions: bool,
}

/// What is to be done in a lane.
pub enum Action {
    /// Reset the unit.
    Reset,
    /// Tell these hosts that their tasks are gone.
    Tell(Vec<HostReference>),
}

impl Function {
    /// A function with this task tag in so many lanes.
    pub fn new(task_tag: u32, lanes: usize, ends_sessions: bool) -> Arc<Function> {
        Arc::new(Function {
            task_tag,
            pending: AtomicUsize::new(lanes),
            has_failed: AtomicBool::new(false),
            ends_sessions,
        })
    }

    /// Its part in one lane.
    pub fn part(self: &Arc<Self>, action: Action) -> Management {
        Management { work: Arc::clone(self), action }
    }
}

/// What the last part of a function leaves to its session.
pub struct Verdict {
    /// The function's task tag.
    pub task_tag: u32,
    /// What it is answered.
    pub result: TaskResult,
    /// All sessions are to end.
    pub ends_sessions: bool,
}

impl Management {
    /// Does a function's part in the lane of a unit, for the host that asked for it. The last part gives the verdict.
    pub fn carry_out(self, host: &HostSession, unit: Option<Unit>) -> Option<Verdict> {
        let Management { work, action } = self;
        let done = match (unit, action) {
            (None, _) => Ok(()),
            (Some(unit), Action::Reset) => host.reset(unit),
            (Some(unit), Action::Tell(hosts)) => {
                hosts.iter().try_for_each(|host| host.attend(unit, COMMANDS_CLEARED))
            }
        };
        if done.is_err() {
            work.has_failed.store(true, Ordering::Relaxed);
        }
        if work.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
            return None;
        }
        let result = match work.has_failed.load(Ordering::Relaxed) {
            false => TaskResult::Complete,
            true => TaskResult::Rejected,
        };
        Some(Verdict { task_tag: work.task_tag, result, ends_sessions: work.ends_sessions })
    }
}
