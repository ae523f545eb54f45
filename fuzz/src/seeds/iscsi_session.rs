//! What a host sends in whole sessions with an emulated library: to its changer, to a drive with a tape, and
//! messages that are no commands.

use scsi::iscsi::frame::{Outgoing, Writer};
use scsi::iscsi::pdu::{
    Attributes, LoginRequest, LogoutReason, LogoutRequest, NO_TAG, NopOut, Request, ScsiCommand,
    Stage, TaskFunction, TaskManagementRequest, TextRequest, Transit,
};
use scsi::iscsi::text::Text;

/// The name that the target has in these sessions.
pub const ISCSI_TARGET_NAME: &str = "iqn.2026-01.test:fuzz";

const CHANGER: u64 = 0;
const DRIVE: u64 = 1;

/// A login that leads straight to a session with the parameters that need no negotiation.
pub fn iscsi_login() -> Vec<u8> {
    let mut text = Text::new();
    text.push("InitiatorName", "iqn.2026-01.test:host").push("TargetName", ISCSI_TARGET_NAME);
    text.push("SessionType", "Normal");
    let login = LoginRequest {
        transit: Transit {
            current: Stage::Operational,
            next: Some(Stage::FullFeature),
            is_continued: false,
        },
        version_max: 0,
        version_min: 0,
        isid: [0x80, 0, 0, 0, 0, 1],
        tsih: 0,
        task_tag: 0,
        connection: 0,
        cmd_sn: 1,
        exp_stat_sn: 0,
    };
    let mut writer = Writer::new(Vec::new());
    writer.send(&[Outgoing::new(Request::from(login).build(), &text.to_bytes())]).unwrap();
    writer.stream().clone()
}

/// Commands one behind the other, as a session numbers them.
struct Session {
    writer: Writer<Vec<u8>>,
    number: u32,
}

impl Session {
    fn new(flags: u8) -> Session {
        Session { writer: Writer::new(vec![flags]), number: 1 }
    }

    fn send(&mut self, request: impl Into<Request>, data: &[u8]) {
        self.writer.send(&[Outgoing::new(request.into().build(), data)]).unwrap();
    }

    fn command(&mut self, lun: u64, cdb: &[u8], in_bytes: u32, out: &[u8]) {
        let mut whole = [0; 16];
        whole[..cdb.len()].copy_from_slice(cdb);
        let command = ScsiCommand {
            is_immediate: false,
            is_final: true,
            is_read: in_bytes > 0,
            is_write: !out.is_empty(),
            attributes: Attributes::Simple,
            lun,
            task_tag: self.number,
            expected_bytes: in_bytes.max(out.len() as u32),
            cmd_sn: self.number,
            exp_stat_sn: self.number,
            cdb: whole,
        };
        self.number += 1;
        self.send(command, out);
    }

    /// Takes a unit's attentions.
    fn settle(&mut self, lun: u64) {
        for _ in 0..3 {
            self.command(lun, &[0x00; 6], 0, &[]);
        }
    }

    fn bytes(self) -> Vec<u8> {
        self.writer.stream().clone()
    }
}

/// Sessions of hosts with an emulated library.
pub fn iscsi_sessions() -> Vec<Vec<u8>> {
    let mut login = vec![0];
    login.extend(iscsi_login());
    vec![login, robot(), tape(), pages(), management()]
}

fn robot() -> Vec<u8> {
    let mut session = Session::new(1);
    session.command(CHANGER, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], 256, &[]);
    session.command(CHANGER, &[0x12, 0, 0, 0, 96, 0], 96, &[]);
    session.settle(CHANGER);
    session.command(CHANGER, &[0xb8, 0x10, 0, 0, 0, 9, 0, 0, 16, 0, 0, 0], 4096, &[]);
    session.command(CHANGER, &[0x1a, 0, 0x1d, 0, 255, 0], 255, &[]);
    session.command(CHANGER, &[0xa5, 0, 0, 0, 4, 1, 4, 2, 0, 0, 0, 0], 0, &[]);
    session.command(CHANGER, &[0xa6, 0, 0, 0, 1, 0, 4, 2, 4, 0, 0, 0], 0, &[]);
    session.command(CHANGER, &[0x07, 0, 0, 0, 0, 0], 0, &[]);
    session.bytes()
}

fn tape() -> Vec<u8> {
    let mut session = Session::new(1);
    session.settle(DRIVE);
    session.command(DRIVE, &[0x0a, 0, 0, 0, 32, 0], 0, &[7; 32]);
    session.command(DRIVE, &[0x0a, 0, 0, 2, 0, 0], 0, &[8; 512]);
    session.command(DRIVE, &[0x10, 0, 0, 0, 1, 0], 0, &[]);
    session.command(DRIVE, &[0x01, 0, 0, 0, 0, 0], 0, &[]);
    session.command(DRIVE, &[0x08, 2, 0, 0, 32, 0], 32, &[]);
    session.command(DRIVE, &[0x11, 1, 0, 0, 1, 0], 0, &[]);
    session.command(DRIVE, &[0x92, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 0, &[]);
    session.command(DRIVE, &[0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0], 32, &[]);
    session.command(DRIVE, &[0x1b, 0, 0, 0, 0, 0], 0, &[]);
    session.bytes()
}

fn pages() -> Vec<u8> {
    let mut session = Session::new(1);
    session.settle(DRIVE);
    session.command(DRIVE, &[0x5a, 0, 0x3f, 0xff, 0, 0, 0, 4, 0, 0], 1024, &[]);
    session.command(DRIVE, &[0x15, 0x10, 0, 0, 12, 0], 0, &[0, 0, 16, 8, 0, 0, 0, 0, 0, 0, 2, 0]);
    session.command(DRIVE, &[0x4d, 0, 0x6e, 0, 0, 0, 0, 2, 0, 0], 512, &[]);
    let attributes = [0x8c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0];
    session.command(DRIVE, &attributes, 1024, &[]);
    let key = [
        0, 0x10, 0, 0x30, 0x40, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 1, 1, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    ];
    let set_key = [0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, key.len() as u8, 0, 0];
    session.command(DRIVE, &set_key, 0, &key);
    let mut reservation = [0; 24];
    reservation[15] = 9;
    session.command(DRIVE, &[0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0], 0, &reservation);
    session.command(DRIVE, &[0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 8, 0, 0, 0], 2048, &[]);
    session.bytes()
}

fn management() -> Vec<u8> {
    let mut session = Session::new(1);
    session.command(CHANGER, &[0x00; 6], 0, &[]);
    let nop = NopOut {
        is_immediate: true,
        lun: 0,
        task_tag: 90,
        transfer_tag: NO_TAG,
        cmd_sn: 2,
        exp_stat_sn: 2,
    };
    session.send(nop, b"ping");
    let mut text = Text::new();
    text.push("SendTargets", "All");
    let question = TextRequest {
        is_immediate: true,
        is_final: true,
        is_continued: false,
        lun: 0,
        task_tag: 91,
        transfer_tag: NO_TAG,
        cmd_sn: 2,
        exp_stat_sn: 2,
    };
    session.send(question, &text.to_bytes());
    // A write whose data does not come, and its end.
    let write = ScsiCommand {
        is_immediate: false,
        is_final: true,
        is_read: false,
        is_write: true,
        attributes: Attributes::Simple,
        lun: DRIVE,
        task_tag: 92,
        expected_bytes: 4096,
        cmd_sn: 2,
        exp_stat_sn: 2,
        cdb: [0x0a, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    };
    session.send(write, &[]);
    let reset = TaskManagementRequest {
        is_immediate: true,
        function: TaskFunction::LogicalUnitReset,
        lun: DRIVE,
        task_tag: 93,
        referenced_tag: NO_TAG,
        cmd_sn: 3,
        exp_stat_sn: 2,
        ref_cmd_sn: 0,
        exp_data_sn: 0,
    };
    session.send(reset, &[]);
    let logout = LogoutRequest {
        is_immediate: true,
        reason: LogoutReason::CloseSession,
        task_tag: 94,
        connection: 0,
        cmd_sn: 3,
        exp_stat_sn: 3,
    };
    session.send(logout, &[]);
    session.bytes()
}
