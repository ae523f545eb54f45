//! An open session: numbers, and the messages that are about no command.
//!
//! Every message of a target carries its counters. StatSN must advance by one with each status; anything
//! else means that a status was lost, and with error recovery level 0 the session ends (RFC 7143
//! §4.2.2.2, §7.1).

use std::time::{Duration, Instant};

use super::socket::Half;
use crate::Sense;
use crate::iscsi::frame::{Outgoing, Reader, Writer};
use crate::iscsi::parameters::Parameters;
use crate::iscsi::pdu::{
    AsyncEvent, Counters, Header, LogoutReason, LogoutRequest, NO_TAG, NopOut, Reject, Request,
    Response, ScsiResponse, TextRequest,
};
use crate::iscsi::serial::Serial;
use crate::iscsi::text::{Collector, Text};
use crate::iscsi::{Error, Result};

/// Longest answer to SendTargets.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// An open session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) reader: Reader<Half>,
    pub(super) writer: Writer<Half>,
    pub(super) parameters: Parameters,
    /// Number of the next command.
    pub(super) cmd_sn: Serial,
    /// Next status that is expected.
    pub(super) exp_stat_sn: Serial,
    /// Last command that the target takes.
    max_cmd_sn: Serial,
    next_tag: u32,
    pub(super) answer_timeout: Duration,
    /// When something was last heard.
    heard: Instant,
    /// The target wants this session to end.
    is_leaving: bool,
    /// A condition that the target told outside any command.
    attention: Option<Sense>,
}

impl Session {
    pub(super) fn new(
        reader: Reader<Half>,
        writer: Writer<Half>,
        parameters: Parameters,
        cmd_sn: Serial,
        exp_stat_sn: Serial,
        counters: Counters,
        answer_timeout: Duration,
    ) -> Session {
        let mut session = Session {
            reader,
            writer,
            parameters,
            cmd_sn,
            exp_stat_sn,
            // Until the target says otherwise it takes one command.
            max_cmd_sn: cmd_sn,
            next_tag: 0,
            answer_timeout,
            heard: Instant::now(),
            is_leaving: false,
            attention: None,
        };
        session.take_window(counters);
        session
    }

    /// How long nothing was heard of the target.
    pub(super) fn idle(&self) -> Duration {
        self.heard.elapsed()
    }

    /// True if the target asked for the end of this session.
    pub(super) fn is_leaving(&self) -> bool {
        self.is_leaving
    }

    /// A condition that the target told outside any command, once.
    pub(super) fn take_attention(&mut self) -> Option<Sense> {
        self.attention.take()
    }

    /// A tag for a new task.
    pub(super) fn new_tag(&mut self) -> u32 {
        self.next_tag = self.next_tag.wrapping_add(1);
        if self.next_tag == NO_TAG {
            self.next_tag = 0;
        }
        self.next_tag
    }

    /// True if the target takes another command now.
    pub(super) fn has_window(&self) -> bool {
        self.cmd_sn.window_to(self.max_cmd_sn) > 0
    }

    pub(super) fn arm(&mut self, deadline: Instant) -> Result<()> {
        self.reader.stream_mut().arm(deadline)?;
        self.writer.stream_mut().arm(deadline)?;
        Ok(())
    }

    /// MaxCmdSN counts only if it is no step back, and not if it lies before ExpCmdSN - 1 (§4.2.2.1).
    fn take_window(&mut self, counters: Counters) {
        let (expected, last) = (Serial(counters.exp_cmd_sn), Serial(counters.max_cmd_sn));
        if !last.next().is_before(expected) && self.max_cmd_sn.is_before(last) {
            self.max_cmd_sn = last;
        }
    }

    /// The next message that is about a task. What is not is dealt with here, and `None` returned.
    pub(super) fn next(&mut self) -> Result<Option<(Header, Response)>> {
        let header = self.reader.header()?.ok_or(Error::Closed)?;
        self.heard = Instant::now();
        let response = Response::parse(&header)?;
        let counters = response.counters();
        self.take_window(counters);
        if response.has_status() {
            if Serial(counters.stat_sn) != self.exp_stat_sn {
                return Err(Error::malformed(
                    "order of answers",
                    format!("status number {} instead of {}", counters.stat_sn, self.exp_stat_sn.0),
                ));
            }
            self.exp_stat_sn = self.exp_stat_sn.next();
        }
        match response {
            Response::NopIn(nop) if nop.task_tag == NO_TAG => {
                if nop.transfer_tag != NO_TAG {
                    self.send_nop(nop.lun, NO_TAG, nop.transfer_tag)?;
                }
                Ok(None)
            }
            Response::Asynchronous(notice) => {
                let data = self.reader.data()?;
                match notice.event {
                    AsyncEvent::Scsi => {
                        let sense = Sense::parse(ScsiResponse::sense_in(&data));
                        self.attention = self.attention.or(sense);
                    }
                    AsyncEvent::LogoutRequested | AsyncEvent::NegotiationRequested => {
                        self.is_leaving = true;
                    }
                    AsyncEvent::ConnectionDropped | AsyncEvent::SessionDropped => {
                        return Err(Error::Closed);
                    }
                    // Of other hosts' tasks, or only for those who know the vendor.
                    AsyncEvent::TasksTerminated | AsyncEvent::Vendor | AsyncEvent::Other(_) => {}
                }
                Ok(None)
            }
            Response::Reject(reject) => {
                let data = self.reader.data()?;
                let what = Reject::refused(&data).map_or(0xff, |header| header.opcode());
                Err(Error::malformed(
                    "message of ours, says the target",
                    format!(
                        "it rejects type {what:02x}h with reason {:02x}h",
                        reject.reason.code()
                    ),
                ))
            }
            other => Ok(Some((header, other))),
        }
    }

    pub(super) fn send(&mut self, messages: &[Outgoing<'_>]) -> Result<()> {
        self.writer.send(messages)
    }

    fn send_nop(&mut self, lun: u64, task_tag: u32, transfer_tag: u32) -> Result<()> {
        let nop = Request::from(NopOut {
            is_immediate: true,
            lun,
            task_tag,
            transfer_tag,
            cmd_sn: self.cmd_sn.0,
            exp_stat_sn: self.exp_stat_sn.0,
        });
        self.send(&[Outgoing::bare(nop.build())])
    }

    /// Answers what the target sent while no command ran, without waiting. An error means that the session
    /// is over.
    pub(super) fn attend(&mut self) -> Result<()> {
        while self.reader.has_buffered() || self.reader.stream().is_ready()? {
            self.arm(Instant::now() + self.answer_timeout)?;
            if let Some((header, _)) = self.next()? {
                return Err(unexpected(&header));
            }
        }
        Ok(())
    }

    /// Asks whether the target is still there, with NOP-Out.
    pub(super) fn ping(&mut self) -> Result<()> {
        self.arm(Instant::now() + self.answer_timeout)?;
        let tag = self.new_tag();
        self.send_nop(0, tag, NO_TAG)?;
        loop {
            match self.next()? {
                Some((_, Response::NopIn(nop))) if nop.task_tag == tag => return Ok(()),
                Some((header, _)) => return Err(unexpected(&header)),
                None => {}
            }
        }
    }

    /// One text exchange.
    pub(super) fn exchange(&mut self, text: &Text) -> Result<Text> {
        let tag = self.new_tag();
        let mut collector = Collector::new(TEXT_BYTES_MAX);
        let mut collected = Vec::new();
        let (mut transfer_tag, mut lun, mut data) = (NO_TAG, 0, text.to_bytes());
        loop {
            self.arm(Instant::now() + self.answer_timeout)?;
            let request = Request::from(TextRequest {
                is_immediate: false,
                is_final: true,
                is_continued: false,
                lun,
                task_tag: tag,
                transfer_tag,
                cmd_sn: self.cmd_sn.0,
                exp_stat_sn: self.exp_stat_sn.0,
            });
            self.cmd_sn = self.cmd_sn.next();
            self.send(&[Outgoing::new(request.build(), &data)])?;
            let response = loop {
                match self.next()? {
                    Some((_, Response::Text(response))) if response.task_tag == tag => {
                        break response;
                    }
                    Some((header, _)) => return Err(unexpected(&header)),
                    None => {}
                }
            };
            collected.clear();
            self.reader.data_onto(&mut collected)?;
            // An empty answer that is not the last would go on for ever.
            if collected.is_empty() && !response.is_final {
                return Err(Error::malformed("Text Response", "it is empty and not the last"));
            }
            if let Some(answer) = collector.push(&collected, !response.is_final)? {
                return Ok(answer);
            }
            (transfer_tag, lun, data) = (response.transfer_tag, response.lun, Vec::new());
        }
    }

    /// Ends the session in an orderly way, within `timeout`. What the target says to it does not matter any
    /// more.
    pub(super) fn log_out(mut self, timeout: Duration) {
        let tag = self.new_tag();
        let request = Request::from(LogoutRequest {
            is_immediate: true,
            reason: LogoutReason::CloseSession,
            task_tag: tag,
            connection: 0,
            cmd_sn: self.cmd_sn.0,
            exp_stat_sn: self.exp_stat_sn.0,
        });
        let mut goodbye = || -> Result<()> {
            self.arm(Instant::now() + timeout)?;
            self.send(&[Outgoing::bare(request.build())])?;
            loop {
                if let Some((_, Response::Logout(_))) = self.next()? {
                    return Ok(());
                }
            }
        };
        // The connection is closed in any case.
        let _ = goodbye();
        self.reader.stream().shut_down();
    }
}

pub(super) fn unexpected(header: &Header) -> Error {
    Error::malformed(
        "order of messages",
        format!(
            "type {:02x}h for task {:08x}h, which was not expected",
            header.opcode(),
            header.task_tag()
        ),
    )
}
