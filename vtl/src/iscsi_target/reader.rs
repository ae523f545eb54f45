//! The thread that reads a session's connection: takes each message in its turn, collects the data of
//! commands, and answers what needs no unit.
//!
//! The end of a session is the end of this loop. Then nothing more is begun; what is being carried out
//! is waited for before the nexus goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{Builder, Scope};

use scsi::Sense;
use scsi::iscsi::frame::Reader;
use scsi::iscsi::pdu::{
    DataOut, Header, LogoutReason, LogoutRequest, LogoutResponse, LogoutResult, NO_TAG, NopIn,
    NopOut, ReadyToTransfer, Reject, RejectReason, Request, Response, ScsiCommand, TaskFunction,
    TaskManagementRequest, TaskResult, TextRequest, TextResponse,
};
use scsi::iscsi::text::{Collector, Text};
use scsi::iscsi::{self, serial::Serial};

use super::discovery::Directory;
use super::lanes::{Ask, Ending, Place, Ready, Turn};
use super::limits::{COMMANDS_MAX, IMMEDIATE_MAX, REJECTS_MAX, TEXT_BYTES_MAX, TRANSFER_BYTES_MAX};
use super::management::{Action, Function};
use super::registry::Registry;
use super::session::Session;
use super::stream::Incoming;
use super::worker::Worker;
use super::write_data::{Buffer, Next, WriteData};

/// Why a session ended.
pub enum End {
    /// The initiator logged out.
    Logout(LogoutRequest),
    /// The connection is no longer usable.
    Lost(String),
}

/// The end of a step: go on, or end the session.
type Step = Result<(), End>;

/// A command whose data is arriving.
struct Receiving {
    lane: usize,
    transfer_tag: u32,
    command: ScsiCommand,
    data: WriteData,
}

/// The reading side of a session.
pub struct Conversation<'s> {
    pub session: &'s Session,
    /// Not in a discovery session.
    pub worker: Option<Worker<'s>>,
    pub directory: &'s Directory,
    pub reader: Reader<Incoming>,
    receiving: HashMap<u32, Receiving>,
    last_transfer_tag: u32,
    rejects: u32,
    text: Collector,
}

impl From<iscsi::Error> for End {
    fn from(error: iscsi::Error) -> End {
        End::Lost(error.to_string())
    }
}

fn breach(what: &str) -> End {
    End::Lost(format!("protocol error: {what}"))
}

impl<'s> Conversation<'s> {
    /// A session after its login.
    pub fn new(
        session: &'s Session,
        worker: Option<Worker<'s>>,
        directory: &'s Directory,
        reader: Reader<Incoming>,
    ) -> Conversation<'s> {
        Conversation {
            session,
            worker,
            directory,
            reader,
            receiving: HashMap::new(),
            last_transfer_tag: 0,
            rejects: 0,
            text: Collector::new(TEXT_BYTES_MAX),
        }
    }

    /// Reads until the session ends.
    pub fn run<'scope>(&mut self, scope: &'scope Scope<'scope, '_>) -> End
    where
        's: 'scope,
    {
        loop {
            match self.step(scope) {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    fn step<'scope>(&mut self, scope: &'scope Scope<'scope, '_>) -> Step
    where
        's: 'scope,
    {
        let Some(header) = self.reader.header()? else {
            return Err(End::Lost("the connection was closed".into()));
        };
        let request = match Request::parse(&header) {
            Ok(request) => request,
            Err(_) => return self.reject(&header, RejectReason::CommandNotSupported),
        };
        match request {
            Request::Command(command) => self.command(scope, &header, command),
            Request::DataOut(message) => self.data_out(scope, &header, &message),
            Request::NopOut(message) => self.nop(&header, &message),
            Request::TaskManagement(message) => self.management(scope, &message),
            Request::Text(message) => self.text(&header, &message),
            Request::Logout(message) => self.logout(message),
            Request::Login(_) => self.reject(&header, RejectReason::Protocol),
            Request::Snack(_) => self.reject(&header, RejectReason::SnackReject),
        }
    }

    /// Refuses a message; one too many ends the session.
    fn reject(&mut self, header: &Header, reason: RejectReason) -> Step {
        self.session.outbox.send(
            |counters| Response::Reject(Reject { reason, counters, data_sn: 0 }),
            header.as_bytes(),
        );
        self.rejects += 1;
        match self.rejects {
            0..REJECTS_MAX => Ok(()),
            _ => Err(breach("too many messages that had to be refused")),
        }
    }

    /// Refuses a message that leaves no way to go on.
    fn fail<T>(&mut self, header: &Header, reason: RejectReason, what: &str) -> Result<T, End> {
        self.reject(header, reason)?;
        Err(breach(what))
    }

    /// True if the message is to be dealt with now.
    fn is_due(&self, cmd_sn: u32, is_immediate: bool) -> Result<bool, End> {
        match self.session.lanes.turn(cmd_sn, is_immediate, &self.session.outbox) {
            Turn::Take => Ok(true),
            Turn::Ignore => Ok(false),
            Turn::Gap => Err(breach("a command before this one is missing")),
        }
    }

    /// Reads data; damaged data ends the session.
    fn read_into(&mut self, header: &Header, to: &mut [u8]) -> Step {
        match self.reader.data_into(to) {
            Err(iscsi::Error::DataDigest { .. }) => {
                self.fail(header, RejectReason::DataDigest, "damaged data")
            }
            other => Ok(other?),
        }
    }

    fn command<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        header: &Header,
        command: ScsiCommand,
    ) -> Step
    where
        's: 'scope,
    {
        let Some(worker) = self.worker else {
            return self.reject(header, RejectReason::CommandNotSupported);
        };
        if !self.is_due(command.cmd_sn, command.is_immediate)? {
            return Ok(());
        }
        let lanes = &self.session.lanes;
        let lane = worker.lane_of(command.lun);
        let immediate = header.data_bytes();
        if immediate > 0 && !command.is_write {
            return self.fail(header, RejectReason::InvalidField, "data with a command that reads");
        }
        let mut buffer = lanes.buffer();
        let refusal = if command.expected_bytes > TRANSFER_BYTES_MAX
            || (command.is_read && command.is_write)
        {
            // What was announced or follows is passed over.
            Some(Sense::INVALID_FIELD_IN_CDB)
        } else {
            self.read_into(header, buffer.append(immediate))?;
            None
        };
        if command.is_write && refusal.is_none() {
            return self.write_command(scope, header, worker, command, buffer);
        }
        let is_short = refusal.is_some() || worker.may_carry_out(command.lun, command.cdb[0]);
        let ready = Ready { buffer, refusal, is_short, ..Ready::of(command.clone()) };
        let place = lanes.enter(lane, &command, 0, Some(ready), &self.session.outbox);
        self.placed(scope, worker, header, lane, place)
    }

    fn write_command<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        header: &Header,
        worker: Worker<'s>,
        command: ScsiCommand,
        buffer: Buffer,
    ) -> Step
    where
        's: 'scope,
    {
        let lanes = &self.session.lanes;
        let lane = worker.lane_of(command.lun);
        let mut data = match WriteData::begin(&command, &self.session.agreed, buffer) {
            Ok(data) => data,
            Err(what) => return self.fail(header, RejectReason::InvalidField, what),
        };
        let next = data.next();
        if next == Next::Complete {
            let ready = self.whole(worker, command.clone(), data);
            let place = lanes.enter(lane, &command, 0, Some(ready), &self.session.outbox);
            return self.placed(scope, worker, header, lane, place);
        }
        // Commands that others ended leave their data behind until it has all come.
        if self.receiving.len() >= (COMMANDS_MAX + IMMEDIATE_MAX) as usize {
            self.receiving.retain(|tag, _| lanes.is_open(*tag));
        }
        let charge = u64::from(command.expected_bytes);
        let place = lanes.enter(lane, &command, charge, None, &self.session.outbox);
        self.placed(scope, worker, header, lane, place)?;
        if !lanes.is_open(command.task_tag) {
            return Ok(());
        }
        self.last_transfer_tag = Serial(self.last_transfer_tag).next().0;
        if self.last_transfer_tag == NO_TAG {
            self.last_transfer_tag = 0;
        }
        let (transfer_tag, tag) = (self.last_transfer_tag, command.task_tag);
        let receiving = Receiving { lane, transfer_tag, command, data };
        self.ask(&receiving, next);
        self.receiving.insert(tag, receiving);
        Ok(())
    }

    fn whole(&self, worker: Worker<'_>, command: ScsiCommand, data: WriteData) -> Ready {
        let is_short = worker.may_carry_out(command.lun, command.cdb[0]);
        Ready { r2ts: data.r2ts(), buffer: data.buffer, is_short, ..Ready::of(command) }
    }

    /// Sends an R2T, or leaves it with the lanes until there is room.
    fn ask(&self, receiving: &Receiving, next: Next) {
        let Next::Ask { offset, length, r2t_sn } = next else { return };
        let ask = ReadyToTransfer {
            lun: receiving.command.lun,
            task_tag: receiving.command.task_tag,
            transfer_tag: receiving.transfer_tag,
            counters: Default::default(),
            r2t_sn,
            offset,
            desired_bytes: length,
        };
        if self.session.lanes.may_ask(&ask) {
            let send = |counters| Response::ReadyToTransfer(Ask { counters, ..ask });
            self.session.outbox.send(send, &[]);
        }
    }

    fn data_out<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        header: &Header,
        message: &DataOut,
    ) -> Step
    where
        's: 'scope,
    {
        let Some(worker) = self.worker else {
            return self.reject(header, RejectReason::CommandNotSupported);
        };
        // Data of a command that is over already, or was ignored: passed over.
        let Some(mut receiving) = self.receiving.remove(&message.task_tag) else { return Ok(()) };
        let transfer_tag = receiving.transfer_tag;
        match receiving.data.take(message, header.data_bytes(), transfer_tag) {
            Ok(room) => self.read_into(header, room)?,
            Err(what) => return self.fail(header, RejectReason::Protocol, what),
        }
        let next = receiving.data.next();
        if next == Next::Complete {
            let Receiving { lane, command, data, .. } = receiving;
            let ready = self.whole(worker, command, data);
            let place = self.session.lanes.complete(lane, ready);
            return self.placed(scope, worker, header, lane, place);
        }
        self.ask(&receiving, next);
        self.receiving.insert(message.task_tag, receiving);
        Ok(())
    }

    /// Does what a command's place asks for.
    fn placed<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        worker: Worker<'s>,
        header: &Header,
        lane: usize,
        place: Place,
    ) -> Step
    where
        's: 'scope,
    {
        let place = match place {
            Place::Here(ready) => match worker.carry_out(lane, ready, false) {
                Some(place) => place,
                None => return Ok(()),
            },
            other => other,
        };
        match place {
            Place::Queued | Place::Gone | Place::Here(_) => Ok(()),
            Place::TagInUse => self.reject(header, RejectReason::TaskInProgress),
            Place::TooMany => self.reject(header, RejectReason::TooManyImmediate),
            Place::NeedsThread => {
                let name = format!("lun{lane}");
                match Builder::new().name(name).spawn_scoped(scope, move || worker.work(lane)) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(End::Lost(format!("no thread for a unit: {error}"))),
                }
            }
        }
    }

    fn nop(&mut self, header: &Header, message: &NopOut) -> Step {
        let data = self.whole_data(header)?;
        if !self.is_due(message.cmd_sn, message.is_immediate)? || message.task_tag == NO_TAG {
            return Ok(());
        }
        let (lun, task_tag) = (message.lun, message.task_tag);
        let answer =
            |counters| Response::NopIn(NopIn { lun, task_tag, transfer_tag: NO_TAG, counters });
        let most = self.session.agreed.send_data_bytes_max as usize;
        self.session.outbox.send(answer, data.get(..most).unwrap_or(&data));
        Ok(())
    }

    fn whole_data(&mut self, header: &Header) -> Result<Vec<u8>, End> {
        let mut data = vec![0; header.data_bytes()];
        self.read_into(header, &mut data)?;
        Ok(data)
    }

    fn text(&mut self, header: &Header, message: &TextRequest) -> Step {
        let data = self.whole_data(header)?;
        if !self.is_due(message.cmd_sn, message.is_immediate)? {
            return Ok(());
        }
        let asked = match self.text.push(&data, message.is_continued) {
            Ok(asked) => asked,
            Err(error) => {
                return self.fail(header, RejectReason::InvalidField, &error.to_string());
            }
        };
        let is_whole = asked.is_some();
        let answer = match asked {
            Some(asked) => self.directory.answer(&asked, self.worker.is_none()),
            None => Text::new(),
        };
        let response = TextResponse {
            is_final: is_whole,
            is_continued: false,
            lun: message.lun,
            task_tag: message.task_tag,
            // There is nothing that a tag would have to find again.
            transfer_tag: if is_whole { NO_TAG } else { 0 },
            counters: Default::default(),
        };
        let send = |counters| Response::Text(TextResponse { counters, ..response });
        self.session.outbox.send(send, &answer.to_bytes());
        Ok(())
    }

    fn logout(&mut self, message: LogoutRequest) -> Step {
        if !self.is_due(message.cmd_sn, message.is_immediate)? {
            return Ok(());
        }
        if message.reason == LogoutReason::RemoveForRecovery {
            self.session.outbox.send(answer_to(&message, LogoutResult::RecoveryNotSupported), &[]);
            return Ok(());
        }
        Err(End::Logout(message))
    }

    fn management<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        message: &TaskManagementRequest,
    ) -> Step
    where
        's: 'scope,
    {
        if !self.is_due(message.cmd_sn, message.is_immediate)? {
            return Ok(());
        }
        let request = message.task_tag;
        let Some(worker) = self.worker else {
            self.session.answer_management(request, TaskResult::NotSupported);
            return Ok(());
        };
        let lane = worker.lane_of(message.lun);
        let has_unit = worker.nexus.units.unit(message.lun).is_some();
        let answer = match message.function {
            TaskFunction::AbortTask => {
                self.receiving.remove(&message.referenced_tag);
                let outbox = &self.session.outbox;
                let (ending, asks, behind) =
                    self.session.lanes.abort(message.referenced_tag, request, outbox);
                if let Some((lane, place)) = behind {
                    self.managed(scope, worker, lane, place)?;
                }
                self.aborted((ending, asks), TaskResult::NoTask)
            }
            TaskFunction::AbortTaskSet
            | TaskFunction::ClearTaskSet
            | TaskFunction::LogicalUnitReset
                if !has_unit =>
            {
                Some(TaskResult::NoUnit)
            }
            TaskFunction::AbortTaskSet => {
                self.receiving.retain(|_, receiving| receiving.lane != lane);
                let ended =
                    self.session.lanes.abort_lane(lane, Some(request), &self.session.outbox);
                self.aborted(ended, TaskResult::Complete)
            }
            TaskFunction::ClearTaskSet => {
                let affected = self.end_everywhere(worker.registry, lane);
                let hosts = affected.iter().filter_map(|session| session.host.clone()).collect();
                let function = Function::new(request, 1, false);
                let part = function.part(Action::Tell(hosts));
                let place = self.session.lanes.manage(lane, part);
                return self.managed(scope, worker, lane, place);
            }
            TaskFunction::LogicalUnitReset => {
                self.end_everywhere(worker.registry, lane);
                let function = Function::new(request, 1, false);
                let place = self.session.lanes.manage(lane, function.part(Action::Reset));
                return self.managed(scope, worker, lane, place);
            }
            TaskFunction::TargetWarmReset | TaskFunction::TargetColdReset => {
                let is_cold = message.function == TaskFunction::TargetColdReset;
                let count = worker.nexus.units.count();
                let function = Function::new(request, count, is_cold);
                for lane in 0..count {
                    self.end_everywhere(worker.registry, lane);
                    let place = self.session.lanes.manage(lane, function.part(Action::Reset));
                    self.managed(scope, worker, lane, place)?;
                }
                return Ok(());
            }
            TaskFunction::TaskReassign => Some(TaskResult::ReassignNotSupported),
            TaskFunction::ClearAca | TaskFunction::Other(_) => Some(TaskResult::NotSupported),
        };
        if let Some(result) = answer {
            self.session.answer_management(request, result);
        }
        Ok(())
    }

    fn managed<'scope>(
        &mut self,
        scope: &'scope Scope<'scope, '_>,
        worker: Worker<'s>,
        lane: usize,
        place: Place,
    ) -> Step
    where
        's: 'scope,
    {
        // What was let in before has no header to be refused.
        let none = Header::from_bytes([0; 48]);
        self.placed(scope, worker, &none, lane, place)
    }

    /// What is answered now to the end of tasks; `None` if it is answered later.
    fn aborted(
        &self,
        (ending, asks): (Ending, Vec<Ask>),
        if_unknown: TaskResult,
    ) -> Option<TaskResult> {
        self.session.send_asks(asks);
        match ending {
            Ending::Removed => Some(TaskResult::Complete),
            Ending::Awaited => None,
            Ending::Unknown => Some(if_unknown),
        }
    }

    /// Ends everybody's tasks on a unit; gives the other sessions that had some.
    fn end_everywhere(&mut self, registry: &Registry, lane: usize) -> Vec<Arc<Session>> {
        self.receiving.retain(|_, receiving| receiving.lane != lane);
        let mut affected = Vec::new();
        for session in registry.sessions() {
            if session.lanes.count() == 0 {
                continue;
            }
            let (ending, asks) = session.lanes.abort_lane(lane, None, &session.outbox);
            let is_own = std::ptr::eq(&*session, self.session);
            if is_own {
                session.send_asks(asks);
            } else if !asks.is_empty() {
                // Its peer may not be reading: this session must not wait for that. Without a thread the
                // commands concerned wait until their host gives them up.
                let session = Arc::clone(&session);
                let _ = Builder::new().name("r2t".into()).spawn(move || session.send_asks(asks));
            }
            if ending != Ending::Unknown && !is_own {
                affected.push(session);
            }
        }
        affected
    }
}

/// The answer to a logout.
pub fn answer_to(
    message: &LogoutRequest,
    result: LogoutResult,
) -> impl FnOnce(scsi::iscsi::pdu::Counters) -> Response {
    let task_tag = message.task_tag;
    move |counters| {
        Response::Logout(LogoutResponse {
            result,
            task_tag,
            counters,
            time2wait: 0,
            time2retain: 0,
        })
    }
}
