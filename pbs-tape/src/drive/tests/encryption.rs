//! A key in the drive that is not ours.

use scsi::command::security::{
    DecryptionMode, EncryptionMode, EncryptionStatus, clear_encryption_cdb, clear_encryption_page,
};

use super::*;

fn on() -> EncryptionStatus {
    EncryptionStatus::of(EncryptionMode::Encrypt, DecryptionMode::Mixed)
}

#[test]
fn a_drive_without_encryption_or_with_none_set_is_left_alone() {
    for sense in [Sense::INVALID_OPCODE, Sense::INVALID_FIELD_IN_CDB] {
        let (mut script, mut drive) = open();
        script.expect_check(&EncryptionStatus::cdb(), sense);
        drive.encryption_off().unwrap();
    }
    let (mut script, mut drive) = open();
    script.expect_in(&EncryptionStatus::cdb(), &EncryptionStatus::default().build());
    drive.encryption_off().unwrap();
}

#[test]
fn a_foreign_key_is_removed() {
    let (mut script, mut drive) = open();
    script.expect_in(&EncryptionStatus::cdb(), &on().build());
    script.expect_out(&clear_encryption_cdb(), &clear_encryption_page());
    script.expect_in(&EncryptionStatus::cdb(), &EncryptionStatus::default().build());
    drive.encryption_off().unwrap();
}

#[test]
fn a_key_that_stays_is_an_error() {
    for is_refused in [false, true] {
        let (mut script, mut drive) = open();
        script.expect_in(&EncryptionStatus::cdb(), &on().build());
        if is_refused {
            script.expect_check(&clear_encryption_cdb(), Sense::INVALID_FIELD_IN_PARAMETERS);
        } else {
            script.expect_out(&clear_encryption_cdb(), &clear_encryption_page());
        }
        script.expect_in(&EncryptionStatus::cdb(), &on().build());
        let error = drive.encryption_off().unwrap_err();
        assert!(matches!(error, Error::EncryptionOn { encryption_mode: 2, .. }), "{error}");
    }
}

#[test]
fn another_tape_in_between_is_told() {
    let (mut script, mut drive) = open();
    script.expect_check(&EncryptionStatus::cdb(), Sense::MEDIUM_CHANGED);
    let error = drive.encryption_off().unwrap_err();
    assert!(matches!(error, Error::PositionLost { .. }), "{error}");
}
