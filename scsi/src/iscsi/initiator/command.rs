//! One command on a session, from its first message to its last.
//!
//! Data of the command goes from the caller's buffer to the stream and from the stream into the caller's
//! buffer, without a copy in between. How much is sent unasked (RFC 7143 §4.2.4.2):
//!
//! | ImmediateData | InitialR2T | with the command | unasked Data-Out behind it |
//! |---|---|---|---|
//! | Yes | Yes | up to FirstBurstLength, in one message | none |
//! | Yes | No | the same | the rest of FirstBurstLength |
//! | No | No | nothing | up to FirstBurstLength |
//! | No | Yes | nothing | none |
//!
//! The rest follows R2Ts. The command, its immediate data and all that follows unasked are one call of the
//! system.
//!
//! **When the time is over**, the target is told to forget the command: ABORT TASK, and if it does not
//! answer to that or refuses, LOGICAL UNIT RESET. If it answers to neither, the connection is closed, which
//! ends its tasks too. Whichever it was, the caller gets a time-out: the device may have done anything
//! from nothing to all of it. Only if the command's own end arrives in that time is it what it is, an end.

use std::time::{Duration, Instant};

use super::session::{Session, unexpected};
use crate::iscsi::frame::Outgoing;
use crate::iscsi::pdu::{
    Attributes, DataOut, Header, NO_TAG, ReadyToTransfer, Request, Residual, Response, ScsiCommand,
    ScsiResponse, ServiceResponse, TaskFunction, TaskManagementRequest, TaskResult,
};
use crate::iscsi::serial::Serial;
use crate::iscsi::{Error, Result};
use crate::{Data, Reply, Sense, Status};

/// How a command failed on its way.
#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing of it was sent.
    NotSent(Error),
    /// The session failed under it: its end is unknown, and the session over.
    Lost(Error),
    /// The target told that it could not carry it out. The session goes on.
    Target(u8),
    /// No end in time.
    Timeout {
        /// The target forgot the command, and the session goes on.
        is_session_sound: bool,
    },
}

/// A command that is under way.
struct Task<'d> {
    tag: u32,
    cmd_sn: Serial,
    lun: u64,
    data: Data<'d>,
    /// Bytes that arrived, without a gap from the beginning.
    received: usize,
    /// Bytes that were sent, up to the furthest.
    sent: usize,
    /// Number of the next Data-In.
    data_sn: u32,
    /// Number of the next R2T.
    r2t_sn: u32,
    end: Option<std::result::Result<Reply, u8>>,
}

/// Where a piece of data goes.
#[derive(Clone, Copy)]
struct Sequence {
    transfer_tag: u32,
    lun: u64,
    start: usize,
    end: usize,
}

impl Session {
    /// Carries out one command on logical unit `lun`.
    pub(super) fn execute(
        &mut self,
        lun: u64,
        cdb: &[u8],
        data: Data<'_>,
        timeout: Duration,
    ) -> std::result::Result<Reply, Failure> {
        let now = Instant::now();
        // A time-out beyond the clock is none.
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(1 << 30));
        let (bytes, length) = self.prepare(cdb, &data, deadline).map_err(Failure::NotSent)?;
        let tag = self.new_tag();
        let mut task = Task {
            tag,
            cmd_sn: self.cmd_sn,
            lun,
            data,
            received: 0,
            sent: 0,
            data_sn: 0,
            r2t_sn: 0,
            end: None,
        };
        let outcome = self.begin(&mut task, bytes, length).and_then(|()| {
            loop {
                self.step(&mut task)?;
                if let Some(end) = task.end.take() {
                    return Ok(end);
                }
            }
        });
        match outcome {
            Ok(end) => end.map_err(Failure::Target),
            Err(error) if error.is_timeout() => self.abort(task),
            Err(error) => Err(Failure::Lost(error)),
        }
    }

    /// What must hold before anything is sent: a CDB and a length that fit, and room at the target.
    fn prepare(
        &mut self,
        cdb: &[u8],
        data: &Data<'_>,
        deadline: Instant,
    ) -> Result<([u8; 16], u32)> {
        let mut bytes = [0; 16];
        let Some(to) = bytes.get_mut(..cdb.len()) else {
            return Err(Error::malformed("command", "it is longer than 16 bytes"));
        };
        to.copy_from_slice(cdb);
        let length = u32::try_from(data.len())
            .map_err(|_| Error::malformed("command", "it moves 4 GiB or more"))?;
        self.arm(deadline)?;
        while !self.has_window() {
            if let Some((header, _)) = self.next()? {
                return Err(unexpected(&header));
            }
        }
        Ok((bytes, length))
    }

    /// Sends the command and what may follow unasked.
    fn begin(&mut self, task: &mut Task<'_>, cdb: [u8; 16], length: u32) -> Result<()> {
        let out: &[u8] = match &task.data {
            Data::Out(bytes) => bytes,
            _ => &[],
        };
        let segment = self.parameters.send_data_bytes_max as usize;
        let burst = (self.parameters.first_burst_bytes_max as usize).min(out.len());
        let immediate = if self.parameters.immediate_data { burst.min(segment) } else { 0 };
        let unasked = if self.parameters.initial_r2t { immediate } else { burst };
        let command = Request::from(ScsiCommand {
            is_immediate: false,
            is_final: unasked == immediate,
            is_read: matches!(task.data, Data::In(_)) && length > 0,
            is_write: !out.is_empty(),
            // One at a time, and in the order in which they were sent.
            attributes: Attributes::Simple,
            lun: task.lun,
            task_tag: task.tag,
            expected_bytes: length,
            cmd_sn: task.cmd_sn.0,
            exp_stat_sn: self.exp_stat_sn.0,
            cdb,
        });
        let first = out.get(..immediate).unwrap_or(&[]);
        let mut messages = vec![Outgoing::new(command.build(), first)];
        let sequence = Sequence { transfer_tag: NO_TAG, lun: 0, start: immediate, end: unasked };
        data_out(&mut messages, out, task.tag, sequence, segment, self.exp_stat_sn);
        self.cmd_sn = self.cmd_sn.next();
        task.sent = unasked;
        self.send(&messages)
    }

    /// Takes one message.
    fn step(&mut self, task: &mut Task<'_>) -> Result<()> {
        let Some((header, response)) = self.next()? else { return Ok(()) };
        if header.task_tag() != task.tag {
            return Err(unexpected(&header));
        }
        self.take(task, &header, response)
    }

    /// Takes one message about the task.
    fn take(&mut self, task: &mut Task<'_>, header: &Header, response: Response) -> Result<()> {
        if task.end.is_some() {
            return Err(unexpected(header));
        }
        match response {
            Response::DataIn(message) => {
                let Data::In(buffer) = &mut task.data else { return Err(unexpected(header)) };
                if message.data_sn != task.data_sn || message.offset as usize != task.received {
                    return Err(Error::malformed(
                        "Data-In",
                        format!(
                            "number {} at byte {} instead of number {} at byte {}",
                            message.data_sn, message.offset, task.data_sn, task.received
                        ),
                    ));
                }
                let end = task.received.saturating_add(header.data_bytes());
                let Some(place) = buffer.get_mut(task.received..end) else {
                    return Err(Error::malformed("Data-In", "more data than was asked for"));
                };
                self.reader.data_into(place)?;
                task.received = end;
                task.data_sn = task.data_sn.wrapping_add(1);
                if let Some(status) = message.status {
                    task.end = Some(Ok(task.reply(status.status, status.residual, None)));
                }
                Ok(())
            }
            Response::ReadyToTransfer(message) => self.answer_r2t(task, header, &message),
            Response::Command(message) => {
                let data = self.reader.data()?;
                let sense = Sense::parse(ScsiResponse::sense_in(&data));
                task.end = Some(match message.response {
                    ServiceResponse::Completed => {
                        Ok(task.reply(message.status, message.residual, sense))
                    }
                    ServiceResponse::TargetFailure => Err(1),
                    ServiceResponse::Other(code) => Err(code),
                });
                Ok(())
            }
            _ => Err(unexpected(header)),
        }
    }

    /// Sends the part of the data that the target asks for.
    fn answer_r2t(
        &mut self,
        task: &mut Task<'_>,
        header: &Header,
        r2t: &ReadyToTransfer,
    ) -> Result<()> {
        let Data::Out(out) = task.data else { return Err(unexpected(header)) };
        let start = r2t.offset as usize;
        let end = start.saturating_add(r2t.desired_bytes as usize);
        if r2t.r2t_sn != task.r2t_sn || start >= end || end > out.len() {
            return Err(Error::malformed(
                "R2T",
                format!(
                    "number {} for bytes {start} to {end}, where number {} within {} bytes is due",
                    r2t.r2t_sn,
                    task.r2t_sn,
                    out.len()
                ),
            ));
        }
        task.r2t_sn = task.r2t_sn.wrapping_add(1);
        task.sent = task.sent.max(end);
        let mut messages = Vec::new();
        let sequence = Sequence { transfer_tag: r2t.transfer_tag, lun: r2t.lun, start, end };
        let segment = self.parameters.send_data_bytes_max as usize;
        data_out(&mut messages, out, task.tag, sequence, segment, self.exp_stat_sn);
        self.send(&messages)
    }

    /// The time is over: has the target forget the command.
    fn abort(&mut self, mut task: Task<'_>) -> std::result::Result<Reply, Failure> {
        for function in [TaskFunction::AbortTask, TaskFunction::LogicalUnitReset] {
            match self.manage(&mut task, function) {
                Ok(is_done) => {
                    if let Some(end) = task.end.take() {
                        return end.map_err(Failure::Target);
                    }
                    if is_done {
                        return Err(Failure::Timeout { is_session_sound: true });
                    }
                }
                Err(error) if error.is_timeout() => {}
                Err(_) => break,
            }
        }
        Err(Failure::Timeout { is_session_sound: false })
    }

    /// Asks for a task management function and waits for its answer. True if it was carried out.
    fn manage(&mut self, task: &mut Task<'_>, function: TaskFunction) -> Result<bool> {
        self.arm(Instant::now() + self.answer_timeout)?;
        let tag = self.new_tag();
        let is_abort = function == TaskFunction::AbortTask;
        let request = Request::from(TaskManagementRequest {
            is_immediate: true,
            function,
            lun: task.lun,
            task_tag: tag,
            referenced_tag: if is_abort { task.tag } else { NO_TAG },
            cmd_sn: self.cmd_sn.0,
            exp_stat_sn: self.exp_stat_sn.0,
            ref_cmd_sn: if is_abort { task.cmd_sn.0 } else { 0 },
            exp_data_sn: 0,
        });
        self.send(&[Outgoing::bare(request.build())])?;
        loop {
            let Some((header, response)) = self.next()? else { continue };
            match response {
                Response::TaskManagement(response) if response.task_tag == tag => {
                    // No such task: it ended, and its end was on the way before this.
                    return Ok(matches!(
                        response.result,
                        TaskResult::Complete | TaskResult::NoTask
                    ));
                }
                // The late answer to the function before this one.
                Response::TaskManagement(_) => {}
                _ if header.task_tag() == task.tag => self.take(task, &header, response)?,
                _ => return Err(unexpected(&header)),
            }
        }
    }
}

/// Data-Out messages for a part of the data, of at most `segment` bytes each.
fn data_out<'d>(
    messages: &mut Vec<Outgoing<'d>>,
    out: &'d [u8],
    task_tag: u32,
    sequence: Sequence,
    segment: usize,
    exp_stat_sn: Serial,
) {
    let part = out.get(sequence.start..sequence.end).unwrap_or(&[]);
    let mut offset = sequence.start;
    for (data_sn, piece) in (0u32..).zip(part.chunks(segment.max(1))) {
        let message = Request::from(DataOut {
            is_final: offset + piece.len() == sequence.end,
            lun: sequence.lun,
            task_tag,
            transfer_tag: sequence.transfer_tag,
            exp_stat_sn: exp_stat_sn.0,
            data_sn,
            // Within the 32 bits of the expected length.
            offset: offset as u32,
        });
        messages.push(Outgoing::new(message.build(), piece));
        offset += piece.len();
    }
}

impl Task<'_> {
    /// What the end of the command means for the data: never more than really moved, and less if the
    /// target says that part of it does not count.
    fn reply(&self, status: u8, residual: Residual, sense: Option<Sense>) -> Reply {
        let length = self.data.len();
        let counted = match residual {
            Residual::Underflow(bytes) => length.saturating_sub(bytes as usize),
            Residual::None | Residual::Overflow(_) => length,
        };
        let moved = match self.data {
            Data::In(_) => self.received,
            Data::Out(_) => self.sent,
            Data::None => 0,
        };
        Reply { status: Status::from_byte(status), transferred: moved.min(counted), sense }
    }
}
