//! Keys: set, removed, left behind, refused. Drives that answer oddly, from scripts; the rest on an
//! emulated drive that really encrypts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use scsi::command::security::{
    Ability, Algorithm, DecryptionMode, EncryptionCapabilities, EncryptionMode, HostControl,
    PAGE_CAPABILITIES, ParametersControl, Scope, SetEncryption, clear_encryption_cdb,
    clear_encryption_page, protocol_in_cdb,
};
use vtl::EncryptionControl;
use zeroize::Zeroizing;

use super::emulated::{library, load};
use super::*;

const KEY: [u8; 32] = [0x2a; 32];

fn key() -> DriveKey {
    DriveKey::new(Zeroizing::new(KEY))
}

fn on() -> EncryptionStatus {
    EncryptionStatus::of(EncryptionMode::Encrypt, DecryptionMode::Mixed)
}

fn off() -> EncryptionStatus {
    EncryptionStatus::default()
}

/// Algorithm 4 is the one to take: the others are of another kind or can't.
fn capabilities() -> EncryptionCapabilities {
    let good = Algorithm {
        index: 4,
        valid_for_volume: true,
        authenticates: true,
        distinguishes: true,
        decrypt: Ability::Hardware,
        encrypt: Ability::Hardware,
        key_bytes: 32,
        code: 0x0001_0014,
        ..Algorithm::default()
    };
    EncryptionCapabilities {
        host_control: HostControl::Allowed,
        algorithms: vec![
            Algorithm { index: 1, code: 0x0001_0010, ..good },
            Algorithm { index: 2, key_bytes: 16, ..good },
            Algorithm { index: 3, encrypt: Ability::ExternalControl, ..good },
            good,
            Algorithm { index: 5, ..good },
        ],
        ..EncryptionCapabilities::default()
    }
}

fn expect_capabilities(script: &mut Script, reply: &EncryptionCapabilities) {
    script.expect_in(&protocol_in_cdb(PAGE_CAPABILITIES, 8192), &reply.build());
}

fn expect_status(script: &mut Script, status: &EncryptionStatus) {
    script.expect_in(&EncryptionStatus::cdb(), &status.build());
}

fn expect_clear(script: &mut Script) {
    script.expect_out(&clear_encryption_cdb(), &clear_encryption_page());
}

fn expect_set(script: &mut Script) {
    let set = SetEncryption::mixed(4, &KEY);
    script.expect_out(&set.cdb(), &set.build());
}

fn sense_of<T: std::fmt::Debug>(result: Result<T>) -> Sense {
    *result.unwrap_err().sense().unwrap()
}

#[test]
fn a_drive_without_encryption_or_with_none_set_is_left_alone() {
    for sense in [Sense::INVALID_OPCODE, Sense::INVALID_FIELD_IN_CDB] {
        let (mut script, mut drive) = open();
        script.expect_check(&EncryptionStatus::cdb(), sense);
        drive.encryption_off().unwrap();
        // Remembered: nothing is sent for these.
        drive.encryption_off().unwrap();
        let error = drive.set_key(&key()).unwrap_err();
        assert!(matches!(error, Error::EncryptionImpossible { .. }), "{error}");
    }
    let (mut script, mut drive) = open();
    expect_status(&mut script, &off());
    drive.encryption_off().unwrap();
}

#[test]
fn a_foreign_key_is_removed() {
    let (mut script, mut drive) = open();
    expect_status(&mut script, &on());
    expect_clear(&mut script);
    expect_status(&mut script, &off());
    drive.encryption_off().unwrap();
}

#[test]
fn a_key_that_stays_is_an_error_unless_a_library_is_in_charge() {
    for is_refused in [false, true] {
        for is_managed in [false, true] {
            let (mut script, mut drive) = open();
            expect_status(&mut script, &on());
            if is_refused {
                script.expect_check(&clear_encryption_cdb(), Sense::INVALID_FIELD_IN_PARAMETERS);
            } else {
                expect_clear(&mut script);
            }
            expect_status(&mut script, &on());
            let host_control =
                if is_managed { HostControl::Prevented } else { HostControl::Allowed };
            expect_capabilities(
                &mut script,
                &EncryptionCapabilities { host_control, ..capabilities() },
            );
            match drive.encryption_off() {
                Ok(()) => assert!(is_managed && drive.is_encryption_managed()),
                Err(Error::EncryptionOn { encryption_mode: 2, .. }) => assert!(!is_managed),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[test]
fn another_tape_in_between_is_told() {
    let (mut script, mut drive) = open();
    script.expect_check(&EncryptionStatus::cdb(), Sense::MEDIUM_CHANGED);
    let error = drive.encryption_off().unwrap_err();
    assert!(matches!(error, Error::PositionLost { .. }), "{error}");
}

#[test]
fn a_key_is_set_with_the_first_algorithm_that_fits_and_removed_when_the_handle_goes() {
    let (mut script, mut drive) = open();
    expect_capabilities(&mut script, &capabilities());
    expect_set(&mut script);
    // Odd drives: another scope than was set, and a page that announces more than it sends.
    let mut status = EncryptionStatus { scope: Scope::Local, ..on() }.build();
    status[3] = 0x20;
    script.expect_in(&EncryptionStatus::cdb(), &status);
    drive.set_key(&key()).unwrap();
    assert!(!format!("{:?} {:?}", drive, key()).contains("42"));
    // A unit attention costs the first attempt.
    script.expect_check(&clear_encryption_cdb(), Sense::MEDIUM_CHANGED);
    expect_clear(&mut script);
    drop(drive);
}

#[test]
fn a_reply_longer_than_announced_is_cut() {
    let (mut script, mut drive) = open();
    let mut reply = capabilities().build();
    // Only the first three, none of which will do, are announced.
    reply[2..4].copy_from_slice(&(16u16 + 3 * 24).to_be_bytes());
    script.expect_in(&protocol_in_cdb(PAGE_CAPABILITIES, 8192), &reply);
    let error = drive.set_key(&key()).unwrap_err();
    assert!(matches!(error, Error::EncryptionImpossible { .. }), "{error}");
    assert!(error.to_string().contains("AES-256-GCM"), "{error}");
}

#[test]
fn a_page_that_is_none_is_no_encryption() {
    for reply in [&[][..], &[0, 0x10], &[0, 0x21, 0, 0, 0, 0]] {
        let (mut script, mut drive) = open();
        script.expect_in(&protocol_in_cdb(PAGE_CAPABILITIES, 8192), reply);
        let error = drive.set_key(&key()).unwrap_err();
        assert!(matches!(error, Error::EncryptionImpossible { .. }), "{error}");
        // Not wanted, it does no harm.
        drive.encryption_off().unwrap();
    }
}

#[test]
fn a_drive_that_takes_the_key_and_does_something_else_is_refused_and_cleared() {
    let states = [
        off(),
        EncryptionStatus::of(EncryptionMode::Encrypt, DecryptionMode::Decrypt),
        EncryptionStatus::of(EncryptionMode::Encrypt, DecryptionMode::Raw),
        EncryptionStatus { encryption_mode: 7, ..off() },
    ];
    for state in states {
        let (mut script, mut drive) = open();
        expect_capabilities(&mut script, &capabilities());
        expect_set(&mut script);
        expect_status(&mut script, &state);
        expect_clear(&mut script);
        let error = drive.set_key(&key()).unwrap_err();
        assert!(matches!(error, Error::EncryptionState { .. }), "{error}");
    }
}

#[test]
fn a_refused_key_says_why() {
    let managed = [Sense::ENCRYPTION_PREVENTED, Sense::new(SenseKey::IllegalRequest, 0xee, 0x0f)];
    for sense in managed {
        let (mut script, mut drive) = open();
        expect_capabilities(&mut script, &capabilities());
        script.expect_check(&SetEncryption::mixed(4, &KEY).cdb(), sense);
        let error = drive.set_key(&key()).unwrap_err();
        assert!(matches!(error, Error::EncryptionManaged { .. }), "{error}");
    }
    let (mut script, mut drive) = open();
    expect_capabilities(&mut script, &capabilities());
    script.expect_check(&SetEncryption::mixed(4, &KEY).cdb(), Sense::KEY_FAIL_LIMIT);
    expect_clear(&mut script);
    let error = drive.set_key(&key()).unwrap_err();
    assert!(error.to_string().contains("unload it and load it again"), "{error}");
}

#[test]
fn a_change_by_somebody_else_is_looked_at_before_the_block_goes_on() {
    let changes = [
        Sense::ENCRYPTION_CHANGED,
        Sense::ENCRYPTION_CHANGED_ELSEWHERE,
        Sense::new(SenseKey::UnitAttention, 0x2a, 0x13),
    ];
    for change in changes {
        // Still off: the block goes on.
        let (mut script, mut drive) = open_at(0, 0);
        expect_status(&mut script, &off());
        drive.encryption_off().unwrap();
        script.expect_check(&write_cdb(BLOCK), change);
        script.expect_check(&EncryptionStatus::cdb(), change);
        expect_status(&mut script, &off());
        script.expect_good(&write_cdb(BLOCK));
        let _ = drive.write_block(&[1; BLOCK as usize]).unwrap();

        // A key appeared: nothing is written, now or later.
        script.expect_check(&write_cdb(BLOCK), change);
        expect_status(&mut script, &on());
        let error = drive.write_block(&[1; BLOCK as usize]).unwrap_err();
        assert!(matches!(error, Error::EncryptionState { .. }), "{error}");
        expect_status(&mut script, &on());
        let error = drive.write_block(&[1; BLOCK as usize]).unwrap_err();
        assert!(matches!(error, Error::EncryptionState { .. }), "{error}");
    }
}

#[test]
fn a_change_met_by_another_command_loses_the_position_and_is_looked_at_all_the_same() {
    let (mut script, mut drive) = open_at(0, 0);
    expect_status(&mut script, &off());
    drive.encryption_off().unwrap();
    script.expect_check(&blocks(1), Sense::ENCRYPTION_CHANGED);
    assert!(matches!(drive.space_blocks(1), Err(Error::PositionLost { .. })));
    script.expect_good(&rewind_cdb(false));
    drive.rewind().unwrap();
    expect_status(&mut script, &on());
    let error = drive.write_block(&[1; BLOCK as usize]).unwrap_err();
    assert!(matches!(error, Error::EncryptionState { .. }), "{error}");
}

#[test]
fn the_state_is_asserted_as_the_drive_tells_it() {
    let cases = [
        (Some(off()), true, false),
        (Some(on()), false, true),
        (Some(EncryptionStatus { control: ParametersControl::Library, ..on() }), true, true),
        (Some(EncryptionStatus::of(EncryptionMode::Encrypt, DecryptionMode::Raw)), false, false),
        (None, true, false),
    ];
    for (status, is_off, is_on) in cases {
        let (mut script, mut drive) = open();
        for (expected, is_met) in [(Encryption::On, is_on), (Encryption::Off, is_off)] {
            match &status {
                Some(status) => expect_status(&mut script, status),
                None => expect_no_encryption(&mut script),
            }
            let met = drive.assert_encryption(expected);
            assert_eq!(met.is_ok(), is_met, "{status:?} {expected}");
        }
    }
}

#[test]
fn encrypted_blocks_are_read_with_their_key_and_positions_stay_without() {
    let (_folder, library) = library(None);
    let mut drive = load(&library);
    drive.rewind().unwrap();
    let _ = drive.write_block(&[1; 512]).unwrap();
    drive.set_key(&key()).unwrap();
    let _ = drive.write_block(&[2; 512]).unwrap();
    drive.write_filemarks(1, false).unwrap();
    assert_eq!(drive.status().unwrap().encryption.as_deref(), Some("on (modes 2/3)"));
    drive.rewind().unwrap();
    let mut buffer = [0; 512];
    for byte in [1, 2] {
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(512));
        assert_eq!(buffer, [byte; 512]);
    }
    drive.encryption_off().unwrap();
    drive.rewind().unwrap();
    assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(512));
    for _ in 0..2 {
        assert_eq!(sense_of(drive.read_block(&mut buffer)).code(), (7, 0x74, 1));
    }
    assert_eq!(drive.position().unwrap(), Position { file: 0, object: 1 });
    drive.set_key(&DriveKey::new(Zeroizing::new([9; 32]))).unwrap();
    assert_eq!(sense_of(drive.read_block(&mut buffer)).code(), (7, 0x74, 3));
    drive.set_key(&key()).unwrap();
    assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(512));
    assert_eq!(buffer, [2; 512]);
}

/// The state that a program which only looks would see.
fn state(library: &vtl::Library) -> EncryptionStatus {
    EncryptionStatus::request(&mut library.drive(0).unwrap()).unwrap()
}

#[test]
fn no_key_outlives_its_handle() {
    let (_folder, library) = library(None);
    // Keeps the drive open, as a kernel does.
    let _kernel = library.drive(0).unwrap();
    // Closed in order.
    let mut drive = load(&library);
    drive.set_key(&key()).unwrap();
    assert!(state(&library).is_mixed());
    drop(drive);
    assert!(state(&library).is_off());
    // A panic underway.
    let mut drive = load(&library);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        drive.set_key(&key()).unwrap();
        panic!("in the middle of a job");
    }));
    assert!(panicked.is_err() && state(&library).is_off());
    // A program that was killed removes nothing. The next one does, when it opens the drive.
    let mut drive = load(&library);
    drive.set_key(&key()).unwrap();
    std::mem::forget(drive);
    assert!(state(&library).is_mixed());
    let mut drive = load(&library);
    assert!(state(&library).is_off());
    drive.rewind().unwrap();
    let _ = drive.write_block(&[3; 512]).unwrap();
    drive.rewind().unwrap();
    assert_eq!(drive.read_block(&mut [0; 512]).unwrap(), Read::Block(512));
}

#[test]
fn a_library_in_charge_is_told_and_does_no_harm() {
    let (_folder, library) = library(None);
    for library_key in [None, Some(Zeroizing::new(KEY))] {
        let control = EncryptionControl::Library { key: library_key };
        library.set_encryption_control(control);
        let watcher = Watcher::default();
        let mut drive = super::emulated::load_with(&library, &watcher);
        // Not wanted: everything works, encrypted by the library or not.
        drive.rewind().unwrap();
        drive.encryption_off().unwrap();
        drive.assert_encryption(Encryption::Off).unwrap();
        let _ = drive.write_block(&[5; 512]).unwrap();
        drive.write_filemarks(1, false).unwrap();
        drive.rewind().unwrap();
        let mut buffer = [0; 512];
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(512));
        assert_eq!(buffer, [5; 512]);
        let text = drive.status().unwrap().encryption.unwrap();
        assert!(text.contains("managed by the library"), "{text}");
        // Wanted: what, and what to do.
        let error = drive.set_key(&key()).unwrap_err();
        assert!(matches!(error, Error::EncryptionManaged { .. }), "{error}");
        assert!(error.to_string().contains("application-managed"), "{error}");
    }
}

/// What SECURITY PROTOCOL OUT answers, and what becomes of it: the drive understood and does not want to, so
/// the tape stands where it stood, and a key that may have got through is taken out again.
#[test]
fn a_key_that_the_drive_refuses_is_told_with_the_reason() {
    for (sense, words) in [
        // Too many wrong keys; unloading ends that.
        (Sense::KEY_FAIL_LIMIT, "unload"),
        // The key instance counter changed while the parameters were locked.
        (Sense::LOCKED_KEY_CHANGED, "7/2A/13"),
        (Sense::INVALID_FIELD_IN_PARAMETERS, "5/26/00"),
    ] {
        let (mut script, mut drive) = open_at(2, 9);
        expect_capabilities(&mut script, &capabilities());
        script.expect_check(&SetEncryption::mixed(4, &KEY).cdb(), sense);
        expect_clear(&mut script);
        let error = drive.set_key(&key()).unwrap_err();
        assert!(matches!(error, Error::KeyRefused { sense: found, .. } if found == sense));
        assert!(error.to_string().to_lowercase().contains(&words.to_lowercase()), "{error}");
        assert_eq!((script.remaining(), drive.trust), (0, Trust::Sure), "{sense}");
        // The same for taking a foreign key out: what counts is what the drive says afterwards.
        let (mut script, mut drive) = open_at(2, 9);
        expect_status(&mut script, &on());
        script.expect_check(&clear_encryption_cdb(), sense);
        expect_status(&mut script, &on());
        expect_capabilities(&mut script, &capabilities());
        let error = drive.encryption_off().unwrap_err();
        assert!(matches!(error, Error::EncryptionOn { .. }), "{error}");
        assert_eq!((script.remaining(), drive.trust), (0, Trust::Sure), "{sense}");
    }
}

#[test]
fn a_key_that_is_left_outlives_its_handle_until_a_job_opens_the_drive() {
    let (_folder, library) = library(None);
    drop(load(&library));
    let by_hand = || {
        let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
        drive.adopt_position().unwrap();
        drive
    };
    let _kernel = library.drive(0).unwrap();
    let before = by_hand().encryption_report().unwrap();
    assert_eq!((before.state, before.control, before.hosts_can_set_key), ("off", "hosts", true));
    // Without being left it goes with the handle.
    by_hand().set_key(&key()).unwrap();
    assert_eq!(by_hand().encryption_report().unwrap().state, "off");
    let mut drive = by_hand();
    drive.set_key(&key()).unwrap();
    drive.leave_key();
    drop(drive);
    let mut drive = by_hand();
    let report = drive.encryption_report().unwrap();
    assert_eq!((report.state, report.encryption_mode, report.decryption_mode), ("mixed", 2, 3));
    assert!(report.key_instance > before.key_instance);
    drive.rewind().unwrap();
    let _ = drive.write_block(&[1; BLOCK as usize]).unwrap();
    drive.write_filemarks(1, false).unwrap();
    drive.rewind().unwrap();
    let report = drive.encryption_report().unwrap();
    assert_eq!((report.next_block, report.volume_has_encrypted_blocks), (Some("readable"), true));
    drop(drive);
    // A job begins like this.
    drop(load(&library));
    let mut drive = by_hand();
    drive.rewind().unwrap();
    let report = drive.encryption_report().unwrap();
    assert_eq!((report.state, report.next_block), ("off", Some("not-readable")));
}

#[test]
fn who_decides_about_encryption_is_told() {
    let (mut script, mut drive) = open();
    script.expect_check(&EncryptionStatus::cdb(), Sense::INVALID_OPCODE);
    let report = drive.encryption_report().unwrap();
    assert_eq!((report.state, report.hosts_can_set_key), ("none", false));
    let next_block = protocol_in_cdb(0x0021, 8192);
    for (control, host_control, expected) in [
        (ParametersControl::Library, HostControl::Prevented, ("library", false)),
        (ParametersControl::Unknown, HostControl::Prevented, ("library", false)),
        (ParametersControl::Hosts, HostControl::Allowed, ("hosts", true)),
        (ParametersControl::Unknown, HostControl::Allowed, ("unknown", true)),
    ] {
        let (mut script, mut drive) = open();
        expect_status(&mut script, &EncryptionStatus { control, ..on() });
        expect_capabilities(
            &mut script,
            &EncryptionCapabilities { host_control, ..capabilities() },
        );
        script.expect_check(&next_block, Sense::INVALID_FIELD_IN_CDB);
        let report = drive.encryption_report().unwrap();
        assert_eq!((report.control, report.hosts_can_set_key), expected, "{control:?}");
        assert_eq!((report.state, report.next_block), ("mixed", None));
    }
}
