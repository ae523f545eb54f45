//! Every message says which changer, what happened in words, and what to do.

use std::time::Duration;

use scsi::{SenseKey, Status};

use super::*;

const STUCK: Sense = Sense::new(SenseKey::HardwareError, 0x15, 0x01);

fn ways_to_fail() -> Vec<transport::Error> {
    let check = |sense| transport::Error::Check { opcode: 0xa5, sense };
    let device = || "lib0".to_string();
    vec![
        check(STUCK),
        check(Sense::new(SenseKey::HardwareError, 0x44, 0x00)),
        check(Sense::new(SenseKey::AbortedCommand, 0x4b, 0x00)),
        check(Sense::new(SenseKey::UnitAttention, 0x29, 0x02)),
        check(Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0d)),
        check(Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0e)),
        check(Sense::REMOVAL_PREVENTED),
        check(Sense::LOAD_FAILED),
        check(Sense::BECOMING_READY),
        check(Sense::OFFLINE),
        check(Sense::INVALID_FIELD_IN_CDB),
        transport::Error::Status { opcode: 0xa5, status: Status::Busy },
        transport::Error::Status { opcode: 0xa5, status: Status::ReservationConflict },
        transport::Error::Status { opcode: 0xa5, status: Status::CheckCondition },
        transport::Error::Timeout { opcode: 0xa5, timeout: Duration::from_secs(9) },
        transport::Error::Transport { device: device(), reason: "connection lost".into() },
        transport::Error::NotCarried { device: device(), reason: "connection lost".into() },
        transport::Error::Io { device: device(), source: std::io::ErrorKind::NotFound.into() },
        transport::Error::Malformed { opcode: 0xb8, reason: "short".into() },
    ]
}

/// One error of each variant, and each way in which a command or a move fails.
fn all() -> Vec<Error> {
    let changer = || "lib0".to_string();
    let label = || "CAP001L8".to_string();
    let place = || "slot 3".to_string();
    let mut all = vec![
        Error::NotAChanger { changer: changer(), kind: 1 },
        Error::Unconfigured { changer: changer(), what: "drives" },
        Error::Counts { changer: changer(), what: "drives", assigned: 1, reported: 2 },
        Error::NoSuchDrive { changer: changer(), drive: 7, count: 2 },
        Error::NoSuchSlot { changer: changer(), slot: 70, count: 2 },
        Error::Empty { changer: changer(), place: place() },
        Error::Occupied { changer: changer(), place: place(), label: Some(label()) },
        Error::NotOnline { changer: changer(), label: label() },
        Error::InOtherDrive { changer: changer(), label: label(), drive: 1 },
        Error::InExportSlot { changer: changer(), label: label(), slot: 13 },
        Error::CleaningCartridge { changer: changer(), label: label() },
        Error::NoFreeSlot { changer: changer(), import_export: true },
        Error::Eject { changer: changer(), drive: 0, reason: "it is busy".into() },
        Error::NoCleaningCartridge { changer: changer() },
        Error::NotExportSlot { changer: changer(), slot: 3 },
        Error::NoRange { changer: changer(), first: 3, last: 4 },
        Error::NoHome { changer: changer(), drive: 0 },
        Error::NoFurtherTape { changer: changer() },
        Error::Aborted { changer: changer(), doing: "unloading" },
    ];
    for source in ways_to_fail() {
        all.push(Error::Scsi { changer: changer(), doing: "reading the status", source });
    }
    for left_in_arm in [false, true] {
        for source in ways_to_fail() {
            let (from, to, source) = (place(), "drive 0".to_string(), Box::new(source));
            all.push(Error::Move { changer: changer(), from, to, left_in_arm, source });
        }
    }
    all
}

#[test]
fn every_message_names_changer_and_next_step() {
    for error in all() {
        let text = error.to_string();
        println!("{text}");
        assert_eq!(text.matches("lib0").count(), 1, "named once: {text}");
        let (what, next) = text.rsplit_once(';').unwrap_or((&text, ""));
        assert!(!what.is_empty() && next.len() > 8, "no next step: {text}");
        assert!(!text.ends_with('.') && !text.contains("  "), "{text}");
    }
}

/// "Moving the tape failed: mechanical positioning error" left an operator alone with it.
#[test]
fn a_stuck_robot_is_to_be_freed() {
    let stuck = |left_in_arm| {
        let source = Box::new(transport::Error::Check { opcode: 0xa5, sense: STUCK });
        let (changer, from, to) = ("lib0".into(), "slot 3".into(), "drive 0".into());
        Error::Move { changer, from, to, left_in_arm, source }.to_string()
    };
    assert!(stuck(false).contains("free the robot"), "{}", stuck(false));
    assert!(stuck(true).contains("put-back"), "{}", stuck(true));
}
