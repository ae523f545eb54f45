//! A command on its way through a unit that has faults: what happens before it, instead of it, and to
//! its reply.
//!
//! Rules take effect in the order of the plan. One that ends the command keeps those behind it from
//! doing anything more than having been counted.

use std::time::Duration;

use scsi::{Sense, SenseKey, Status};

use super::{Command, Done, Entry, LogicalUnit, Stop, is_exempt, run};
use crate::faults::{Effect, Lost};

/// Carries out one command with the faults that it meets.
pub(super) fn run_faulty<U: LogicalUnit>(
    unit: &mut U,
    entry: &Entry<U>,
    command: &mut Command<'_, '_>,
) -> Done {
    if unit.is_down() {
        return Err(Stop::NoAnswer);
    }
    let mut context = unit.fault_context(command.cdb())?;
    context.attention = !is_exempt(entry.opcode) && unit.attentions().is_waiting(command.nexus);
    let home = unit.home();
    let effects = home.faults().decide(home.dir(), &context).map_err(Stop::Host)?;
    for effect in &effects {
        match effect {
            Effect::Sense(sense) => return Err((*sense).into()),
            Effect::Busy => return Err(Stop::Status(Status::Busy)),
            Effect::Conflict => return Err(Stop::Status(Status::ReservationConflict)),
            Effect::QueueFull => return Err(Stop::Status(Status::TaskSetFull)),
            Effect::Lost(Lost::Command) => return Err(Stop::NoAnswer),
            Effect::DropAttention => {
                unit.attentions().take(command.nexus);
            }
            Effect::Slow { delay_ms } => std::thread::sleep(Duration::from_millis(*delay_ms)),
            // About the reply.
            Effect::Lost(Lost::Reply) | Effect::Residual(_) | Effect::IncorrectLength => {}
            other => unit.suffer(other, command)?,
        }
    }
    let mut done = run(unit, entry, command);
    for effect in &effects {
        match effect {
            Effect::Lost(Lost::Reply) => done = Err(Stop::NoAnswer),
            Effect::Residual(bytes) => {
                let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
                command.set_transferred(command.transferred().saturating_sub(bytes));
            }
            Effect::IncorrectLength if done.is_ok() => done = short_block(command),
            Effect::Cleaning { .. } if done.is_ok() => {
                done = Err(Sense::new(SenseKey::RecoveredError, 0x00, 0x17).into());
            }
            _ => {}
        }
    }
    done
}

/// A block shorter than asked for is told although the host did not want to know.
fn short_block(command: &Command<'_, '_>) -> Done {
    let requested = command.number(2, 3);
    let missing = requested.saturating_sub(command.transferred() as u64);
    if missing == 0 {
        return Ok(());
    }
    let missing = i64::try_from(missing).unwrap_or(i64::MAX);
    Err(Sense::NONE.with_incorrect_length().with_information(missing).into())
}
