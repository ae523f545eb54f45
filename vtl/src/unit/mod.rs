//! What drives and changers do alike as SCSI device servers.
//!
//! A logical unit is reached by some *nexus* (a host as the unit sees it) with a command; how the
//! command travelled (a function call, iSCSI) is none of its business. The order in which
//! [`execute`] looks at a command follows SPC-4: unknown codes first, then faults on demand,
//! then a pending unit attention, then reservations of other hosts, then the command itself.

mod faulty;
pub(crate) mod inquiry;
pub(crate) mod log_pages;
pub(crate) mod mode_pages;
pub(crate) mod name;
pub(crate) mod nexus;
pub(crate) mod opcodes;
pub(crate) mod reservation;
pub(crate) mod table;

use std::collections::{BTreeMap, VecDeque};
use std::io;

use scsi::command::opcode;
use scsi::command::unit::build_report_luns;
use scsi::{Data, Reply, Sense, SenseKey, Status};

use crate::faults::{Context, Effect};
use crate::home::Home;
pub(crate) use nexus::Nexus;
use reservation::{Access, Reservations};

/// Why a command did not end with GOOD.
#[derive(Debug)]
pub(crate) enum Stop {
    /// CHECK CONDITION.
    Check(Sense),
    /// RESERVATION CONFLICT: another host has reserved the unit.
    Conflict,
    /// Another status without sense data; a fault wants it so.
    Status(Status),
    /// The host gets no answer; a fault wants it so.
    NoAnswer,
    /// The host's file system failed under the emulation: no device would say this.
    Host(io::Error),
}

impl From<Sense> for Stop {
    fn from(sense: Sense) -> Stop {
        Stop::Check(sense)
    }
}

/// How a command's handler ends.
pub(crate) type Done = Result<(), Stop>;

/// One command on its way through a logical unit.
pub(crate) struct Command<'c, 'd> {
    cdb: &'c [u8],
    data: Data<'d>,
    transferred: usize,
    wanted: u64,
    /// Who sent it.
    pub nexus: Nexus,
}

impl<'c, 'd> Command<'c, 'd> {
    pub fn new(nexus: Nexus, cdb: &'c [u8], data: Data<'d>) -> Command<'c, 'd> {
        Command { cdb, data, transferred: 0, wanted: 0, nexus }
    }

    /// The command descriptor block.
    pub fn cdb(&self) -> &'c [u8] {
        self.cdb
    }

    /// A byte of the CDB, 0 behind its end (the table checks lengths before).
    pub fn byte(&self, index: usize) -> u8 {
        self.cdb.get(index).copied().unwrap_or(0)
    }

    /// A big-endian number in the CDB.
    pub fn number(&self, index: usize, bytes: usize) -> u64 {
        (index..index + bytes).fold(0, |number, at| number << 8 | u64::from(self.byte(at)))
    }

    /// Sends a reply, cut to the allocation length and the host's buffer.
    pub fn reply(&mut self, bytes: &[u8], allocation: u64) {
        self.wanted = allocation.min(bytes.len() as u64);
        let Data::In(buffer) = &mut self.data else { return };
        let length =
            bytes.len().min(buffer.len()).min(usize::try_from(allocation).unwrap_or(usize::MAX));
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
            self.transferred = length;
        }
    }

    /// The host's buffer for data from the device, at most `length` bytes of it.
    pub fn buffer(&mut self, length: usize) -> &mut [u8] {
        match &mut self.data {
            Data::In(buffer) => {
                let length = length.min(buffer.len());
                buffer.get_mut(..length).unwrap_or_default()
            }
            _ => &mut [],
        }
    }

    /// Bytes that moved so far.
    pub fn transferred(&self) -> usize {
        self.transferred
    }

    /// So many bytes of [`Command::buffer`] count as sent.
    pub fn set_transferred(&mut self, length: usize) {
        self.transferred = length;
    }

    /// Bytes that the command would move for a host with room, or data, for all of them. At least
    /// what [`Command::transferred`] says.
    pub fn wanted(&self) -> u64 {
        self.wanted.max(self.transferred as u64)
    }

    /// The command would move so many bytes.
    pub fn set_wanted(&mut self, length: u64) {
        self.wanted = length;
    }

    /// The host's data of a length that the CDB announces. A host that sends less has broken the
    /// data phase (B/4B/00); nothing is done with half a block.
    pub fn parameters(&mut self, length: usize) -> Result<&'d [u8], Stop> {
        if length == 0 {
            return Ok(&[]);
        }
        let data: &'d [u8] = match &self.data {
            Data::Out(data) => data,
            _ => &[],
        };
        self.wanted = length as u64;
        match data.get(..length) {
            Some(bytes) => {
                self.transferred = length;
                Ok(bytes)
            }
            None => Err(Sense::new(scsi::SenseKey::AbortedCommand, 0x4b, 0x00).into()),
        }
    }
}

/// Unit attentions waiting for each nexus.
#[derive(Debug, Default)]
pub(crate) struct Attentions {
    pending: BTreeMap<Nexus, VecDeque<Sense>>,
}

impl Attentions {
    /// The unit was reset by a host (6/29/03).
    pub const RESET: Sense = Sense::new(SenseKey::UnitAttention, 0x29, 0x03);

    /// A nexus that was not there before starts with these.
    pub fn attach(&mut self, nexus: Nexus, pending: impl IntoIterator<Item = Sense>) {
        self.pending.entry(nexus).or_insert_with(|| pending.into_iter().collect());
    }

    /// A nexus that is gone, with all that waits for it.
    pub fn detach(&mut self, nexus: Nexus) {
        self.pending.remove(&nexus);
    }

    /// Queues a condition for every nexus but the one that caused it. Power on goes before all
    /// else; a condition that waits already is not queued twice.
    pub fn raise(&mut self, sense: Sense, except: Option<Nexus>) {
        for (nexus, queue) in &mut self.pending {
            if Some(*nexus) != except {
                enqueue(queue, sense);
            }
        }
    }

    /// Queues a condition for one nexus.
    pub fn raise_for(&mut self, nexus: Nexus, sense: Sense) {
        if let Some(queue) = self.pending.get_mut(&nexus) {
            enqueue(queue, sense);
        }
    }

    /// Takes a condition back from one nexus.
    pub fn withdraw_from(&mut self, nexus: Nexus, sense: &Sense) {
        if let Some(queue) = self.pending.get_mut(&nexus) {
            queue.retain(|waiting| waiting != sense);
        }
    }

    /// A power on or reset: whatever waited is void, and this is told to every nexus.
    pub fn restart(&mut self, sense: Sense) {
        for queue in self.pending.values_mut() {
            queue.clear();
            queue.push_back(sense);
        }
    }

    /// True if something waits for the nexus.
    pub fn is_waiting(&self, nexus: Nexus) -> bool {
        self.pending.get(&nexus).is_some_and(|queue| !queue.is_empty())
    }

    /// Takes a condition back that no longer holds.
    pub fn withdraw(&mut self, sense: &Sense) {
        for queue in self.pending.values_mut() {
            queue.retain(|waiting| waiting != sense);
        }
    }

    /// Takes the next condition of a nexus.
    pub fn take(&mut self, nexus: Nexus) -> Option<Sense> {
        self.pending.get_mut(&nexus)?.pop_front()
    }

    /// True if this condition waits for the nexus.
    pub fn waits(&self, nexus: Nexus, sense: &Sense) -> bool {
        self.pending.get(&nexus).is_some_and(|queue| queue.contains(sense))
    }
}

fn enqueue(queue: &mut VecDeque<Sense>, sense: Sense) {
    if queue.contains(&sense) {
        return;
    }
    if sense.asc == Sense::POWER_ON.asc {
        queue.push_front(sense);
    } else {
        queue.push_back(sense);
    }
}

/// How a handler of type `U` is reached, and what is known of the command.
pub(crate) struct Entry<U> {
    /// First byte of the CDB.
    pub opcode: u8,
    /// Service action, where the command has one.
    pub service_action: Option<u16>,
    /// The CDB usage map of REPORT SUPPORTED OPERATION CODES; its length is the CDB's.
    pub usage: &'static [u8],
    /// Executes the command.
    pub run: fn(&mut U, &mut Command<'_, '_>) -> Done,
}

/// What [`execute`] needs of a logical unit.
pub(crate) trait LogicalUnit: Sized + 'static {
    /// The unit's commands.
    const COMMANDS: &'static [Entry<Self>];

    /// The library's folder.
    fn home(&self) -> &Home;

    /// Called before each command: the unit looks what happened to it since the last one.
    fn refresh(&mut self) -> Done;

    /// Called after each command, whatever its end: the unit writes down what it must remember.
    fn settle(&mut self) -> Done;

    /// Called before a command is carried out: the condition that it meets in a unit that is busy with an
    /// operation of its own, if it has to wait for that.
    fn meet_work(&mut self, _opcode: u8) -> Done {
        Ok(())
    }

    /// Unit attentions that wait.
    fn attentions(&mut self) -> &mut Attentions;

    /// Reservations of the unit.
    fn reservations(&mut self) -> &mut Reservations;

    /// A session began: its first command meets 29/00.
    fn nexus_established(&mut self, nexus: Nexus) -> Done;

    /// A session ended, orderly or not: what it had set for itself here goes (attentions that
    /// wait, prevention of removal).
    fn nexus_lost(&mut self, nexus: Nexus) -> Done;

    /// LOGICAL UNIT RESET: settings as after power on, and every nexus is told (29/03).
    fn reset(&mut self) -> Done;

    /// Sense data goes out in descriptor format (D_SENSE of mode page 0Ah).
    fn descriptor_sense(&self) -> bool {
        false
    }

    /// What a fault plan may ask about a command.
    fn fault_context(&mut self, cdb: &[u8]) -> Result<Context, Stop>;

    /// Lets a fault happen to the unit, before it executes the command or in place of it.
    fn suffer(&mut self, effect: &Effect, command: &mut Command<'_, '_>) -> Done;

    /// True while a unit without power answers nothing; each call counts as one command.
    fn is_down(&mut self) -> bool;
}

/// Why a host gets no reply.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The unit does not answer; whether the command was carried out is not known to the host.
    NoAnswer,
    /// The host's file system failed.
    Host(io::Error),
}

/// How a command ended.
pub(crate) type Outcome = Result<Reply, Failure>;

/// Carries one command through a unit.
pub(crate) fn execute<U: LogicalUnit>(unit: &mut U, command: &mut Command<'_, '_>) -> Outcome {
    let mut done = dispatch(unit, command);
    if let Err(stop) = unit.settle() {
        // The command's own end is worth more than a failure to note it, unless it was GOOD.
        if done.is_ok() {
            done = Err(stop);
        }
    }
    match done {
        Ok(()) => Ok(Reply { status: Status::Good, transferred: command.transferred, sense: None }),
        Err(Stop::Check(sense)) => Ok(Reply {
            status: Status::CheckCondition,
            transferred: command.transferred,
            sense: Some(sense),
        }),
        Err(Stop::Conflict) => Ok(Reply {
            status: Status::ReservationConflict,
            transferred: command.transferred,
            sense: None,
        }),
        Err(Stop::Status(status)) => {
            Ok(Reply { status, transferred: command.transferred, sense: None })
        }
        Err(Stop::NoAnswer) => Err(Failure::NoAnswer),
        Err(Stop::Host(error)) => Err(Failure::Host(error)),
    }
}

fn dispatch<U: LogicalUnit>(unit: &mut U, command: &mut Command<'_, '_>) -> Done {
    let entry = find(U::COMMANDS, command)?;
    unit.refresh()?;
    if unit.home().faults().is_armed() {
        return faulty::run_faulty(unit, entry, command);
    }
    run(unit, entry, command)
}

fn run<U: LogicalUnit>(unit: &mut U, entry: &Entry<U>, command: &mut Command<'_, '_>) -> Done {
    // SPC-4 §5.14: these are answered while an attention waits; REQUEST SENSE takes it itself.
    if !is_exempt(entry.opcode)
        && let Some(sense) = unit.attentions().take(command.nexus)
    {
        return Err(sense.into());
    }
    if unit.reservations().conflict(command.nexus, Access::of(command.cdb())) {
        return Err(Stop::Conflict);
    }
    unit.meet_work(entry.opcode)?;
    (entry.run)(unit, command)
}

/// True for the commands that an attention does not stop.
fn is_exempt(code: u8) -> bool {
    matches!(code, opcode::INQUIRY | opcode::REPORT_LUNS | opcode::REQUEST_SENSE)
}

/// The table's entry for a CDB.
fn find<U>(
    table: &'static [Entry<U>],
    command: &Command<'_, '_>,
) -> Result<&'static Entry<U>, Stop> {
    let code = command.byte(0);
    let mut known = false;
    for entry in table.iter().filter(|entry| entry.opcode == code) {
        known = true;
        let matches =
            entry.service_action.is_none_or(|action| action == u16::from(command.byte(1) & 0x1f));
        if matches {
            return if command.cdb().len() >= entry.usage.len() {
                Ok(entry)
            } else {
                Err(Sense::INVALID_FIELD_IN_CDB.into())
            };
        }
    }
    Err(if known { Sense::INVALID_FIELD_IN_CDB } else { Sense::INVALID_OPCODE }.into())
}

/// REQUEST SENSE (SPC-4 §6.39): a waiting attention, else `otherwise`. Nothing is told twice.
pub(crate) fn request_sense(
    attentions: &mut Attentions,
    command: &mut Command<'_, '_>,
    otherwise: Sense,
) {
    let sense = attentions.take(command.nexus).unwrap_or(otherwise);
    let allocation = command.number(4, 1);
    if command.byte(1) & 0x01 != 0 {
        command.reply(&sense.to_descriptor(), allocation);
    } else {
        command.reply(&sense.to_fixed(), allocation);
    }
}

/// REPORT LUNS (SPC-4 §6.33) of a target with these logical units.
pub(crate) fn report_luns(command: &mut Command<'_, '_>, luns: &[u16]) -> Done {
    let allocation = command.number(6, 4);
    if allocation < 16 || command.byte(2) > 0x02 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    // Well known logical units only (01h): there are none.
    let luns = if command.byte(2) == 0x01 { &[] } else { luns };
    command.reply(&build_report_luns(luns), allocation);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_nexus_has_its_own_attentions() {
        let other = Nexus(1);
        let mut attentions = Attentions::default();
        attentions.attach(Nexus::LOCAL, []);
        attentions.attach(other, [Sense::POWER_ON]);
        attentions.raise(Sense::MODE_PARAMETERS_CHANGED, Some(Nexus::LOCAL));
        assert_eq!(attentions.take(Nexus::LOCAL), None);
        assert_eq!(attentions.take(other), Some(Sense::POWER_ON));
        assert_eq!(attentions.take(other), Some(Sense::MODE_PARAMETERS_CHANGED));
        assert_eq!(attentions.take(other), None);
    }

    #[test]
    fn what_waits_for_a_lost_nexus_is_gone() {
        let mut attentions = Attentions::default();
        attentions.attach(Nexus(1), [Sense::POWER_ON]);
        attentions.detach(Nexus(1));
        attentions.raise(Sense::MEDIUM_CHANGED, None);
        assert_eq!(attentions.take(Nexus(1)), None);
        attentions.attach(Nexus(1), [Sense::POWER_ON]);
        assert_eq!(attentions.take(Nexus(1)), Some(Sense::POWER_ON));
        assert_eq!(attentions.take(Nexus(1)), None);
    }

    #[test]
    fn power_on_is_told_first_and_nothing_twice() {
        let mut attentions = Attentions::default();
        attentions.attach(Nexus::LOCAL, []);
        attentions.raise(Sense::MEDIUM_CHANGED, None);
        attentions.raise(Sense::MEDIUM_CHANGED, None);
        attentions.raise(Sense::POWER_ON, None);
        assert_eq!(attentions.take(Nexus::LOCAL), Some(Sense::POWER_ON));
        assert_eq!(attentions.take(Nexus::LOCAL), Some(Sense::MEDIUM_CHANGED));
        assert_eq!(attentions.take(Nexus::LOCAL), None);
    }
}
