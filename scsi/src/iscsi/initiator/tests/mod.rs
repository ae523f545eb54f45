//! The initiator against a target that is played by the test, over loopback: each test says what the
//! target receives and what it answers.

mod data;
mod failures;
mod logins;

use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{IscsiDevice, Options, Portal};
use crate::command::opcode;
use crate::iscsi::chap::TargetChap;
use crate::iscsi::frame::{Outgoing, Reader, Writer};
use crate::iscsi::negotiation::Negotiation;
use crate::iscsi::parameters::{LOGIN_DATA_BYTES_MAX, Parameters, Wishes};
use crate::iscsi::pdu::{
    Counters, DataIn, DataInStatus, LoginRequest, LoginResponse, LoginStatus, NO_TAG,
    ReadyToTransfer, Request, Residual, Response, ScsiCommand, ScsiResponse, ServiceResponse,
    Stage, Transit,
};
use crate::iscsi::text::Text;
use crate::{Data, Reply, Sense, Transport};

const TARGET: &str = "iqn.2026-01.test:scripted";
const LONG: Duration = Duration::from_secs(20);

/// The target's end of one connection.
struct Peer {
    reader: Reader<TcpStream>,
    writer: Writer<TcpStream>,
    stat_sn: u32,
    exp_cmd_sn: u32,
    isid: [u8; 6],
    parameters: Parameters,
}

/// A target that plays `script` in a thread; joining it passes its failed assertions on.
struct Target {
    portal: Portal,
    thread: JoinHandle<()>,
}

impl Target {
    fn play(script: impl FnOnce(TcpListener) + Send + 'static) -> Target {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || script(listener));
        Target { portal: Portal { host: "127.0.0.1".into(), port }, thread }
    }

    fn open(&self, options: &Options) -> Result<IscsiDevice, crate::Error> {
        IscsiDevice::open(&self.portal, TARGET, 1, options)
    }

    fn join(self) {
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn options() -> Options {
    Options {
        answer_timeout: Duration::from_secs(5),
        ..Options::new("iqn.2026-01.test:initiator".parse().unwrap())
    }
}

impl Peer {
    /// Takes a connection.
    fn accept(listener: &TcpListener) -> Peer {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Peer {
            reader: Reader::new(stream.try_clone().unwrap(), LOGIN_DATA_BYTES_MAX),
            writer: Writer::new(stream),
            stat_sn: 100,
            exp_cmd_sn: 1,
            isid: [0; 6],
            parameters: Parameters::default(),
        }
    }

    /// Takes a connection, lets anybody log in, and answers the INQUIRY of opening.
    fn opened(listener: &TcpListener, wishes: &Wishes) -> Peer {
        let mut peer = Peer::accept(listener);
        peer.log_in(wishes, None);
        peer.answer_inquiry();
        peer
    }

    fn counters(&self) -> Counters {
        Counters {
            stat_sn: self.stat_sn,
            exp_cmd_sn: self.exp_cmd_sn,
            max_cmd_sn: self.exp_cmd_sn + 7,
        }
    }

    fn receive(&mut self) -> (Request, Vec<u8>) {
        let header = self.reader.header().unwrap().expect("the initiator closed the connection");
        let request = Request::parse(&header).unwrap();
        let data = self.reader.data().unwrap();
        (request, data)
    }

    fn send(&mut self, response: impl Into<Response>, data: &[u8]) {
        let response = response.into();
        if response.has_status() {
            self.stat_sn += 1;
        }
        self.writer.send(&[Outgoing::new(response.build(), data)]).unwrap();
    }

    fn receive_login(&mut self) -> (LoginRequest, Text) {
        let (request, data) = self.receive();
        let Request::Login(request) = request else { panic!("no login: {request:?}") };
        self.isid = request.isid;
        (request, Text::parse(&data).unwrap())
    }

    fn send_login(&mut self, transit: Transit, status: LoginStatus, text: &Text) {
        let response = LoginResponse {
            transit,
            version_max: 0,
            version_active: 0,
            isid: self.isid,
            tsih: 1,
            task_tag: 0,
            counters: self.counters(),
            status,
        };
        self.send(response, &text.to_bytes());
    }

    /// The whole login; the first request's text is returned.
    fn log_in(&mut self, wishes: &Wishes, chap: Option<TargetChap>) -> Text {
        let (mut request, first) = self.receive_login();
        let mut answer = Text::new();
        answer.push("TargetPortalGroupTag", "1");
        if let Some(mut chap) = chap {
            answer.push("AuthMethod", "CHAP");
            self.send_login(request.transit, LoginStatus::SUCCESS, &answer);
            let (request, text) = self.receive_login();
            let asked = chap.challenge(&text).unwrap();
            self.send_login(request.transit, LoginStatus::SUCCESS, &asked);
            let (request, text) = self.receive_login();
            match chap.check(&text) {
                Ok(shown) => self.send_login(request.transit, LoginStatus::SUCCESS, &shown),
                Err(_) => {
                    self.send_login(
                        request.transit,
                        LoginStatus::AUTHENTICATION_FAILED,
                        &Text::new(),
                    );
                    return first;
                }
            }
        } else {
            answer.push("AuthMethod", "None");
            self.send_login(request.transit, LoginStatus::SUCCESS, &answer);
            if request.transit.next.is_none() {
                // The initiator had offered CHAP too and now goes on without.
                request = self.receive_login().0;
                self.send_login(request.transit, LoginStatus::SUCCESS, &Text::new());
            }
        }
        let mut negotiation = Negotiation::new(wishes.clone(), false);
        let (request, text) = self.receive_login();
        let mut answers = Text::new();
        negotiation.declare(&mut answers);
        for (key, value) in text.iter() {
            negotiation.receive(key, value, &mut answers).unwrap();
        }
        self.send_login(request.transit, LoginStatus::SUCCESS, &answers);
        self.parameters = negotiation.finish().unwrap();
        self.reader
            .set_limits(self.parameters.digests, self.parameters.recv_data_bytes_max as usize);
        self.writer.set_digests(self.parameters.digests);
        first
    }

    fn answer_inquiry(&mut self) {
        let (command, _) = self.receive_command();
        assert_eq!(command.cdb[0], opcode::INQUIRY);
        let mut reply = [b' '; 36];
        reply[..8].copy_from_slice(&[1, 0x80, 6, 2, 31, 0, 0, 0]);
        self.send_data(&command, 0, 0, &reply, Some((0, Residual::None)));
    }

    fn receive_command(&mut self) -> (ScsiCommand, Vec<u8>) {
        match self.receive() {
            (Request::Command(command), data) => {
                assert_eq!(command.cmd_sn, self.exp_cmd_sn, "commands are numbered without gaps");
                assert_eq!(command.exp_stat_sn, self.stat_sn, "every status was seen");
                self.exp_cmd_sn += 1;
                (command, data)
            }
            (other, _) => panic!("no command: {other:?}"),
        }
    }

    fn send_data(
        &mut self,
        command: &ScsiCommand,
        data_sn: u32,
        offset: u32,
        data: &[u8],
        status: Option<(u8, Residual)>,
    ) {
        let message = DataIn {
            is_final: status.is_some(),
            is_acknowledged: false,
            status: status.map(|(status, residual)| DataInStatus { status, residual }),
            lun: 0,
            task_tag: command.task_tag,
            transfer_tag: NO_TAG,
            counters: self.counters(),
            data_sn,
            offset,
        };
        self.send(message, data);
    }

    fn send_end(
        &mut self,
        command: &ScsiCommand,
        status: u8,
        residual: Residual,
        sense: Option<Sense>,
    ) {
        let message = ScsiResponse {
            response: ServiceResponse::Completed,
            status,
            task_tag: command.task_tag,
            snack_tag: 0,
            counters: self.counters(),
            exp_data_sn: 0,
            residual,
        };
        let sense = sense.map(|sense| sense.to_fixed().to_vec()).unwrap_or_default();
        self.send(message, &ScsiResponse::segment_of(&sense));
    }

    fn send_good(&mut self, command: &ScsiCommand) {
        self.send_end(command, 0, Residual::None, None);
    }

    fn send_r2t(&mut self, command: &ScsiCommand, r2t_sn: u32, offset: u32, desired_bytes: u32) {
        let message = ReadyToTransfer {
            lun: 1,
            task_tag: command.task_tag,
            transfer_tag: 0x1000 + r2t_sn,
            counters: self.counters(),
            r2t_sn,
            offset,
            desired_bytes,
        };
        self.send(message, &[]);
    }

    /// The logout of a device that is dropped.
    fn answer_logout(&mut self) {
        let (request, _) = self.receive();
        let Request::Logout(request) = request else { panic!("no logout: {request:?}") };
        let response = crate::iscsi::pdu::LogoutResponse {
            result: crate::iscsi::pdu::LogoutResult::Closed,
            task_tag: request.task_tag,
            counters: self.counters(),
            time2wait: 0,
            time2retain: 0,
        };
        self.send(response, &[]);
    }

    fn at_operational(next: Option<Stage>) -> Transit {
        Transit { current: Stage::Operational, next, is_continued: false }
    }
}

fn ready(device: &mut IscsiDevice) -> Result<Reply, crate::Error> {
    device.execute(&[0; 6], Data::None, LONG)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}
