//! Every message says which drive, what happened in words, and what to do.

use scsi::{SenseKey, Status};

use super::*;

const SENSE: Sense = Sense::READ_ERROR;

/// One error of each variant but `Invalid`, whose reason says all.
fn all() -> Vec<Error> {
    let drive = || "lto0".to_string();
    let doing = "reading a block";
    let sense = SENSE;
    let check = |sense| transport::Error::Check { opcode: 0x08, sense };
    let scsi = |source| Error::Scsi { drive: drive(), doing, source };
    vec![
        scsi(check(Sense::new(SenseKey::HardwareError, 0x44, 0x00))),
        scsi(check(Sense::NEEDS_LOAD)),
        scsi(check(Sense::BECOMING_READY)),
        scsi(check(Sense::OFFLINE)),
        scsi(check(Sense::LOAD_FAILED)),
        scsi(check(Sense::REMOVAL_PREVENTED)),
        scsi(check(Sense::INVALID_FIELD_IN_CDB)),
        scsi(check(Sense::new(SenseKey::AbortedCommand, 0x4b, 0x00))),
        scsi(transport::Error::Status { opcode: 0x08, status: Status::Busy }),
        scsi(transport::Error::Status { opcode: 0x08, status: Status::ReservationConflict }),
        scsi(transport::Error::Timeout { opcode: 0x08, timeout: Duration::from_secs(9) }),
        scsi(transport::Error::Transport { device: drive(), reason: "reset".into() }),
        scsi(transport::Error::NotCarried { device: drive(), reason: "no memory".into() }),
        scsi(transport::Error::Io { device: drive(), source: std::io::ErrorKind::NotFound.into() }),
        scsi(transport::Error::Malformed { opcode: 0x08, reason: "short".into() }),
        scsi(transport::Error::TransferTooLong {
            device: drive(),
            opcode: 0x08,
            bytes: 8,
            limit_bytes: 7,
        }),
        Error::NotATapeDrive { drive: drive(), kind: 8 },
        Error::NoMedium { drive: drive(), sense },
        Error::CleaningCartridge { drive: drive(), sense },
        Error::IncompatibleMedium { drive: drive(), sense },
        Error::NotReadyInTime { drive: drive(), waited: Duration::from_secs(9), last: Some(sense) },
        Error::PositionLost { drive: drive(), doing, sense },
        Error::PositionUnknown { drive: drive(), doing },
        Error::Deferred { drive: drive(), doing, sense },
        Error::BlockCheckFailed {
            drive: drive(),
            block: None,
            method: scsi::command::protection::Method::Crc32c,
        },
        Error::ProtectionLost { drive: drive() },
        Error::EncryptionState {
            drive: drive(),
            expected: crate::drive::Encryption::Off,
            found: "on".into(),
        },
        Error::VolumeOverflow { drive: drive() },
        Error::WriteProtected { drive: drive(), sense },
        Error::Worm { drive: drive(), reason: "it holds data".into() },
        Error::EncryptionOn { drive: drive(), encryption_mode: 2, decryption_mode: 2 },
        Error::EncryptionImpossible { drive: drive(), reason: "it has no AES-256" },
        Error::EncryptionManaged { drive: drive() },
        Error::KeyRefused { drive: drive(), sense },
        Error::Medium { drive: drive(), doing, sense },
        Error::Undecryptable { drive: drive(), sense },
        Error::Partitioned { drive: drive(), partition: 1 },
        Error::NoSuchFile { drive: drive(), file: 7 },
        Error::NoSuchObject { drive: drive(), object: 7 },
        Error::Blank { drive: drive() },
        Error::TornEnd { drive: drive(), file: 7 },
        Error::WrongFile { drive: drive(), wanted: 7, reported: 8 },
        Error::WrongObject { drive: drive(), wanted: 7, reported: 8 },
        Error::SpacingShort {
            drive: drive(),
            what: "blocks",
            stopped_at: "a filemark",
            count: -7,
            not_done: 3,
        },
        Error::Unsupported { drive: drive(), what: "locating", sense },
        Error::OptionRefused {
            drive: drive(),
            option: "blocksize",
            wanted: "7".into(),
            has: "has 8".into(),
        },
        Error::DataFollows { drive: drive(), file: 1, object: 7 },
        Error::BlockTooLong { drive: drive(), block_bytes: 8, limit_bytes: 7 },
        Error::ShortWrite { drive: drive(), block_bytes: 8, written_bytes: 7 },
        Error::Aborted { drive: drive(), doing },
    ]
}

#[test]
fn every_message_names_drive_and_next_step() {
    for error in all() {
        let text = error.to_string();
        assert_eq!(text.matches("lto0").count(), 1, "named once: {text}");
        let (what, next) = text.rsplit_once([';', ',']).unwrap_or((&text, ""));
        assert!(!what.is_empty() && next.len() > 5, "no next step: {text}");
        assert!(!text.ends_with('.') && !text.contains("  "), "{text}");
        if error.sense() == Some(&SENSE) && !matches!(error, Error::NoMedium { .. }) {
            assert!(text.contains("unrecovered read error"), "no words of the drive: {text}");
        }
    }
}

#[test]
fn something_else_than_a_drive_is_named() {
    for (kind, what) in [(0, "a disk"), (8, "a media changer"), (0x1e, "something else")] {
        let text = Error::NotATapeDrive { drive: "/dev/sg3".into(), kind }.to_string();
        assert!(text.contains(&format!("/dev/sg3 is not a tape drive but {what}")), "{text}");
    }
}
