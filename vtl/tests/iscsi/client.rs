//! An initiator that does exactly what it is told.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use scsi::Sense;
use scsi::iscsi::frame::{Outgoing, Reader, Writer};
use scsi::iscsi::negotiation::Negotiation;
use scsi::iscsi::parameters::{Parameters, Wishes};
use scsi::iscsi::pdu::{
    Attributes, DataOut, Isid, LoginRequest, LoginResponse, LoginStatus, NO_TAG, Request, Residual,
    Response, ScsiCommand, ScsiResponse, Stage, TaskFunction, TaskManagementRequest, TaskResult,
    Transit,
};
use scsi::iscsi::text::Text;
use tempfile::TempDir;
use vtl::iscsi_target::{Event, Target, TargetOptions};
use vtl::{Library, Options};

pub const INITIATOR: &str = "iqn.2026-01.test:initiator";
pub const CHANGER: u64 = 0;
pub const DRIVE: u64 = 1;
pub const MIB: usize = 1 << 20;

/// A library behind a target.
pub struct World {
    pub target: Target,
    pub library: Library,
    pub events: Arc<Mutex<Vec<Event>>>,
    pub dir: TempDir,
}

pub fn world() -> World {
    world_with(TargetOptions::default())
}

pub fn world_with(options: TargetOptions) -> World {
    let dir = tempfile::tempdir().unwrap();
    let library = Library::create(
        dir.path(),
        &Options {
            drives: 2,
            slots: 6,
            import_export: 2,
            cartridges: 4,
            capacity_bytes: Some(256 << 20),
            ..Options::default()
        },
    )
    .unwrap();
    start(library, dir, options)
}

fn start(library: Library, dir: TempDir, options: TargetOptions) -> World {
    let events = Arc::new(Mutex::new(Vec::new()));
    let observer = {
        let events = Arc::clone(&events);
        Arc::new(move |event| events.lock().unwrap().push(event))
    };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let target = Target::start(&library, TargetOptions { listen, ..options }, observer).unwrap();
    World { target, library, events, dir }
}

/// A library that keeps the machine's time, behind a target, with a cartridge in drive 0. It was loaded while the
/// library kept none, because loading takes half a minute.
pub fn timed_world() -> World {
    let loaded = world();
    drop(loaded.loaded_session(9));
    let World { target, library, dir, .. } = loaded;
    target.stop().unwrap();
    drop(library);
    let file = dir.path().join("library.json");
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["timing"] = "real".into();
    std::fs::write(&file, config.to_string()).unwrap();
    let library = Library::open(dir.path()).unwrap();
    start(library, dir, TargetOptions::default())
}

impl World {
    /// A session with the ISID that ends in `number`.
    pub fn session(&self, number: u8) -> Raw {
        let mut raw = Raw::connect(self.target.address());
        raw.isid[5] = number;
        raw.login(self.target.name(), &Wishes::default()).unwrap();
        raw
    }

    /// The same, with the cartridge of slot 1 in drive 0 and past its attentions.
    pub fn loaded_session(&self, number: u8) -> Raw {
        let mut raw = self.session(number);
        raw.settle(CHANGER);
        raw.good(CHANGER, &move_medium(1024, 256));
        raw.settle(DRIVE);
        raw
    }
}

pub fn move_medium(from: u16, to: u16) -> [u8; 12] {
    let [f1, f2] = from.to_be_bytes();
    let [t1, t2] = to.to_be_bytes();
    [0xa5, 0, 0, 0, f1, f2, t1, t2, 0, 0, 0, 0]
}

pub fn write_6(length: usize) -> [u8; 6] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [0x0a, 0, a, b, c, 0]
}

pub fn read_6(length: usize) -> [u8; 6] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [0x08, 0x02, a, b, c, 0]
}

/// Content that tells blocks apart.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

/// The end of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u8,
    pub sense: Option<Sense>,
    pub data: Vec<u8>,
    pub residual: Residual,
}

impl Answer {
    /// Key, ASC, ASCQ.
    pub fn code(&self) -> (u8, u8, u8) {
        self.sense.map_or((0, 0, 0), |sense| (sense.key.to_byte(), sense.asc, sense.ascq))
    }
}

pub struct Raw {
    pub reader: Reader<TcpStream>,
    pub writer: Writer<TcpStream>,
    pub isid: Isid,
    pub initiator: String,
    pub cmd_sn: u32,
    pub exp_stat_sn: u32,
    pub max_cmd_sn: u32,
    pub next_tag: u32,
    pub agreed: Parameters,
}

impl Raw {
    pub fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Raw {
            reader: Reader::new(stream.try_clone().unwrap(), 8192),
            writer: Writer::new(stream),
            isid: [0x80, 0, 0, 0, 0, 0],
            initiator: INITIATOR.into(),
            cmd_sn: 0xffff_fff0,
            exp_stat_sn: 0x7fff_fffe,
            max_cmd_sn: 0,
            next_tag: 1,
            agreed: Parameters::default(),
        }
    }

    pub fn socket(&self) -> &TcpStream {
        self.writer.stream()
    }

    pub fn tag(&mut self) -> u32 {
        self.next_tag += 1;
        self.next_tag - 1
    }

    pub fn send(&mut self, request: impl Into<Request>, data: &[u8]) {
        self.send_to_closing(request, data).unwrap();
    }

    /// The same to a target that may end the session before it took all of it.
    pub fn send_to_closing(
        &mut self,
        request: impl Into<Request>,
        data: &[u8],
    ) -> Result<(), scsi::iscsi::Error> {
        let header = request.into().build();
        self.writer.send(&[Outgoing::new(header, data)])
    }

    /// The next message; `None` if the target closed the connection.
    pub fn receive(&mut self) -> Option<(Response, Vec<u8>)> {
        let header = match self.reader.header() {
            Ok(header) => header?,
            Err(error) if error.is_timeout() => panic!("the target says nothing"),
            Err(_) => return None,
        };
        let data = self.reader.data().unwrap();
        let response = Response::parse(&header).unwrap();
        let counters = response.counters();
        if response.has_status() {
            assert_eq!(counters.stat_sn, self.exp_stat_sn, "{response:?}");
            self.exp_stat_sn = counters.stat_sn.wrapping_add(1);
        }
        self.max_cmd_sn = counters.max_cmd_sn;
        Some((response, data))
    }

    pub fn login_request(&self, current: Stage, next: Option<Stage>) -> LoginRequest {
        LoginRequest {
            transit: Transit { current, next, is_continued: false },
            version_max: 0,
            version_min: 0,
            isid: self.isid,
            tsih: 0,
            task_tag: 0,
            connection: 1,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
        }
    }

    /// One step of a login.
    pub fn login_step(
        &mut self,
        request: LoginRequest,
        text: &Text,
    ) -> Option<(LoginResponse, Text)> {
        self.send(request, &text.to_bytes());
        match self.receive()? {
            (Response::Login(response), data) => Some((response, Text::parse(&data).unwrap())),
            (other, _) => panic!("{other:?}"),
        }
    }

    pub fn identity(&self, target: &str) -> Text {
        let mut text = Text::new();
        text.push("InitiatorName", self.initiator.clone());
        text.push("SessionType", "Normal").push("TargetName", target);
        text
    }

    /// A login without authentication in one step.
    pub fn login(&mut self, target: &str, wishes: &Wishes) -> Result<(), LoginStatus> {
        let mut text = self.identity(target);
        self.negotiate(&mut text, wishes, false)
    }

    /// The operational stage.
    pub fn negotiate(
        &mut self,
        text: &mut Text,
        wishes: &Wishes,
        is_discovery: bool,
    ) -> Result<(), LoginStatus> {
        let mut negotiation = Negotiation::new(wishes.clone(), is_discovery);
        negotiation.propose(text);
        let request = self.login_request(Stage::Operational, Some(Stage::FullFeature));
        let (response, answers) = self.login_step(request, text).unwrap();
        if !response.status.is_success() {
            return Err(response.status);
        }
        assert_eq!(response.transit.next, Some(Stage::FullFeature));
        assert_ne!(response.tsih, 0);
        let mut rest = Text::new();
        for (key, value) in answers.iter() {
            negotiation.receive(key, value, &mut rest).unwrap();
        }
        self.agreed = negotiation.finish().unwrap();
        let most = self.agreed.recv_data_bytes_max as usize;
        self.reader.set_limits(self.agreed.digests, most);
        self.writer.set_digests(self.agreed.digests);
        Ok(())
    }

    pub fn command_request(&mut self, lun: u64, cdb: &[u8]) -> ScsiCommand {
        let mut block = [0; 16];
        block[..cdb.len()].copy_from_slice(cdb);
        let command = ScsiCommand {
            is_immediate: false,
            is_final: true,
            is_read: false,
            is_write: false,
            attributes: Attributes::Simple,
            lun,
            task_tag: self.tag(),
            expected_bytes: 0,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            cdb: block,
        };
        self.cmd_sn = self.cmd_sn.wrapping_add(1);
        command
    }

    /// Sends a command without data or one that reads; gives its tag.
    pub fn begin(&mut self, lun: u64, cdb: &[u8], expected_bytes: u32) -> u32 {
        let mut command = self.command_request(lun, cdb);
        command.is_read = expected_bytes > 0;
        command.expected_bytes = expected_bytes;
        let tag = command.task_tag;
        self.send(command, &[]);
        tag
    }

    /// Sends a command with all its data in its own message.
    pub fn begin_write(&mut self, lun: u64, cdb: &[u8], data: &[u8]) -> u32 {
        let mut command = self.command_request(lun, cdb);
        command.is_write = true;
        command.expected_bytes = data.len() as u32;
        let tag = command.task_tag;
        self.send(command, data);
        tag
    }

    /// The answer to the oldest command.
    #[track_caller]
    pub fn answer(&mut self, tag: u32) -> Answer {
        let mut data = Vec::new();
        loop {
            let (response, segment) = self.receive().unwrap();
            match response {
                Response::DataIn(message) => {
                    assert_eq!(message.task_tag, tag);
                    assert_eq!(message.offset as usize, data.len());
                    data.extend(segment);
                    if let Some(end) = message.status {
                        let (status, residual) = (end.status, end.residual);
                        return Answer { status, sense: None, data, residual };
                    }
                }
                Response::Command(ScsiResponse { status, residual, task_tag, .. }) => {
                    assert_eq!(task_tag, tag);
                    let sense = Sense::parse(ScsiResponse::sense_in(&segment));
                    return Answer { status, sense, data, residual };
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[track_caller]
    pub fn command(&mut self, lun: u64, cdb: &[u8], expected_bytes: u32) -> Answer {
        let tag = self.begin(lun, cdb, expected_bytes);
        self.answer(tag)
    }

    #[track_caller]
    pub fn command_out(&mut self, lun: u64, cdb: &[u8], data: &[u8]) -> Answer {
        let tag = self.begin_write(lun, cdb, data);
        self.answer(tag)
    }

    #[track_caller]
    pub fn good(&mut self, lun: u64, cdb: &[u8]) {
        let answer = self.command(lun, cdb, 0);
        assert_eq!((answer.status, answer.sense), (0, None), "{cdb:02x?}");
    }

    #[track_caller]
    pub fn fails(&mut self, lun: u64, cdb: &[u8], code: (u8, u8, u8)) {
        let answer = self.command(lun, cdb, 0);
        assert_eq!((answer.status, answer.code()), (2, code), "{cdb:02x?}");
    }

    /// Takes unit attentions until none is left.
    #[track_caller]
    pub fn settle(&mut self, lun: u64) {
        for _ in 0..8 {
            match self.command(lun, &[0; 6], 0).sense {
                Some(sense) if sense.is_unit_attention() => {}
                _ => return,
            }
        }
        panic!("unit attentions without end");
    }

    #[track_caller]
    pub fn write_block(&mut self, data: &[u8]) {
        let answer = self.command_out(DRIVE, &write_6(data.len()), data);
        assert_eq!((answer.status, answer.sense, answer.residual), (0, None, Residual::None));
    }

    #[track_caller]
    pub fn read_block(&mut self, length: usize) -> Answer {
        self.command(DRIVE, &read_6(length), length as u32)
    }

    #[track_caller]
    pub fn rewind(&mut self) {
        self.good(DRIVE, &[1, 0, 0, 0, 0, 0]);
    }

    /// Object number of the drive's position.
    #[track_caller]
    pub fn position(&mut self) -> u64 {
        let answer = self.command(DRIVE, &[0x34, 0x06, 0, 0, 0, 0, 0, 0, 0, 0], 32);
        u64::from_be_bytes(answer.data[8..16].try_into().unwrap())
    }

    pub fn data_out(&mut self, task_tag: u32, transfer_tag: u32, offset: u32, part: (&[u8], bool)) {
        let message = self.data_out_message(task_tag, transfer_tag, offset, part.1);
        self.send(message, part.0);
    }

    pub fn data_out_message(
        &self,
        task_tag: u32,
        transfer_tag: u32,
        offset: u32,
        is_final: bool,
    ) -> DataOut {
        DataOut {
            is_final,
            lun: if transfer_tag == NO_TAG { 0 } else { DRIVE },
            task_tag,
            transfer_tag,
            exp_stat_sn: self.exp_stat_sn,
            data_sn: 0,
            offset,
        }
    }

    pub fn management_request(
        &mut self,
        function: TaskFunction,
        lun: u64,
        referenced_tag: u32,
    ) -> u32 {
        let task_tag = self.tag();
        let request = TaskManagementRequest {
            is_immediate: true,
            function,
            lun,
            task_tag,
            referenced_tag,
            cmd_sn: self.cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            ref_cmd_sn: 0,
            exp_data_sn: 0,
        };
        self.send(request, &[]);
        task_tag
    }

    #[track_caller]
    pub fn manage(&mut self, function: TaskFunction, lun: u64, referenced_tag: u32) -> TaskResult {
        let tag = self.management_request(function, lun, referenced_tag);
        match self.receive().unwrap().0 {
            Response::TaskManagement(response) => {
                assert_eq!(response.task_tag, tag);
                response.result
            }
            other => panic!("{other:?}"),
        }
    }
}
