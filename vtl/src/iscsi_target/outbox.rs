//! What a connection sends, from whichever thread: messages whole and one behind the other, each with
//! the session's numbers as of when it is sent.
//!
//! A reply (data, status, sense) goes out in one system call. If sending fails, part of a message may
//! be on the wire, so the connection is closed and nothing more is sent.

use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use scsi::iscsi::frame::{Digests, Outgoing, Writer};
use scsi::iscsi::parameters::Parameters;
use scsi::iscsi::pdu::{
    Counters, DataIn, DataInStatus, NO_TAG, Residual, Response, ScsiResponse, ServiceResponse,
};
use scsi::iscsi::serial::Serial;

use super::stream;
use crate::home::unpoisoned;
use crate::library::Ended;

/// The sending half of a connection.
pub struct Outbox {
    sending: Mutex<Sending>,
    /// ExpCmdSN and MaxCmdSN, changed together.
    window: AtomicU64,
    socket: Arc<TcpStream>,
}

struct Sending {
    writer: Writer<stream::Sender>,
    stat_sn: Serial,
    is_broken: bool,
}

impl Outbox {
    /// Sends on `socket`; the first status has the number `stat_sn`.
    pub fn new(socket: &Arc<TcpStream>, stat_sn: u32) -> Outbox {
        Outbox {
            sending: Mutex::new(Sending {
                writer: Writer::new(stream::Sender::new(Arc::clone(socket))),
                stat_sn: Serial(stat_sn),
                is_broken: false,
            }),
            window: AtomicU64::new(0),
            socket: Arc::clone(socket),
        }
    }

    /// What was agreed on, from the next message on.
    pub fn set_digests(&self, digests: Digests) {
        unpoisoned(self.sending.lock()).writer.set_digests(digests);
    }

    /// The next command that is expected, and the last one that is taken.
    pub fn set_window(&self, expected: Serial, last: Serial) {
        self.window.store(u64::from(expected.0) << 32 | u64::from(last.0), Ordering::Release);
    }

    /// Sends one message; `response` gets the numbers to put into it.
    pub fn send(&self, response: impl FnOnce(Counters) -> Response, data: &[u8]) {
        let mut sending = unpoisoned(self.sending.lock());
        let response = response(self.counters(&sending));
        let message = Outgoing::new(response.build(), data);
        if response.has_status() {
            sending.stat_sn = sending.stat_sn.next();
        }
        self.put(&mut sending, &[message]);
    }

    fn counters(&self, sending: &Sending) -> Counters {
        let window = self.window.load(Ordering::Acquire);
        Counters {
            stat_sn: sending.stat_sn.0,
            exp_cmd_sn: (window >> 32) as u32,
            max_cmd_sn: window as u32,
        }
    }

    fn put(&self, sending: &mut Sending, messages: &[Outgoing<'_>]) {
        if !sending.is_broken && sending.writer.send(messages).is_err() {
            sending.is_broken = true;
            stream::close(&self.socket);
        }
    }

    /// Sends the end of a command: `data` that it read, its status, its sense data. The initiator
    /// expected to move `expected_bytes`; so many R2Ts were sent for it.
    pub fn end_command(
        &self,
        agreed: &Parameters,
        task_tag: u32,
        ended: &Ended,
        data: &[u8],
        expected_bytes: u32,
        r2ts: u32,
    ) {
        let residual = Residual::between(expected_bytes, ended.wanted);
        let status = ended.status.to_byte();
        // RFC 7143 §11.4.1: status goes with the data only if there is no sense data.
        let with_data = ended.sense.is_empty() && !data.is_empty();
        let mut sending = unpoisoned(self.sending.lock());
        let counters = self.counters(&sending);
        let mut messages = Vec::with_capacity(2);
        let parts = cuts(data.len(), agreed);
        let mut data_sn = r2ts;
        for (offset, length, ends_burst) in parts {
            let is_last = offset + length == data.len();
            let header = Response::DataIn(DataIn {
                is_final: ends_burst,
                is_acknowledged: false,
                status: (is_last && with_data).then_some(DataInStatus { status, residual }),
                lun: 0,
                task_tag,
                transfer_tag: NO_TAG,
                counters,
                data_sn,
                offset: offset as u32,
            });
            let part = data.get(offset..offset + length).unwrap_or_default();
            messages.push(Outgoing::new(header.build(), part));
            data_sn = data_sn.wrapping_add(1);
        }
        let sense = ScsiResponse::segment_of(&ended.sense);
        if !with_data {
            let header = Response::Command(ScsiResponse {
                response: ServiceResponse::Completed,
                status,
                task_tag,
                snack_tag: 0,
                counters,
                exp_data_sn: data_sn,
                residual,
            });
            messages.push(Outgoing::new(header.build(), &sense));
        }
        sending.stat_sn = sending.stat_sn.next();
        self.put(&mut sending, &messages);
    }
}

/// Where data is cut into messages: offset, length, and whether a sequence ends there.
fn cuts(total: usize, agreed: &Parameters) -> impl Iterator<Item = (usize, usize, bool)> {
    let segment = (agreed.send_data_bytes_max as usize).max(1);
    let burst = (agreed.burst_bytes_max as usize).max(1);
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= total {
            return None;
        }
        let left_of_burst = burst - offset % burst;
        let length = segment.min(left_of_burst).min(total - offset);
        let cut = (offset, length, length == left_of_burst || offset + length == total);
        offset += length;
        Some(cut)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_cut_into_segments_and_bursts() {
        let agreed = |send_data_bytes_max, burst_bytes_max| Parameters {
            send_data_bytes_max,
            burst_bytes_max,
            ..Parameters::default()
        };
        let all = |total, agreed: &Parameters| cuts(total, agreed).collect::<Vec<_>>();
        assert_eq!(all(0, &agreed(10, 25)), []);
        assert_eq!(all(7, &agreed(10, 25)), [(0, 7, true)]);
        assert_eq!(
            all(40, &agreed(10, 25)),
            [(0, 10, false), (10, 10, false), (20, 5, true), (25, 10, false), (35, 5, true)]
        );
        assert_eq!(all(50, &agreed(100, 25)), [(0, 25, true), (25, 25, true)]);
    }
}
