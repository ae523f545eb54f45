//! Waiting for the tape and setting options.

use super::*;

fn expect_options(script: &mut Script) {
    let sense = sense_cdb(Size::Ten, 0x0f, 0, false);
    script.expect_in(&sense, &parameters(0, 1, true).build(Size::Ten));
    let extension = sense_cdb(Size::Ten, 0x10, 1, false);
    script.expect_check(&extension, Sense::INVALID_FIELD_IN_CDB);
    let limits = BlockLimits { granularity: 0, maximum_bytes: 0x80_0000, minimum_bytes: 1 };
    script.expect_in(&BlockLimits::cdb(), &limits.build());
    expect_no_protection(script);
    expect_no_encryption(script);
}

#[test]
fn a_changer_is_no_drive() {
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), &Inquiry { kind: 8, ..drive_inquiry() }.build());
    let error = Drive::open(Box::new(script.device())).unwrap_err();
    assert!(matches!(error, Error::NotATapeDrive { kind: 8, .. }), "{error}");
}

#[test]
fn everything_a_loading_drive_says_on_its_way() {
    let (mut script, mut drive) = open();
    let ready = test_unit_ready_cdb();
    script.expect_check(&ready, Sense::POWER_ON);
    script.expect_check(&ready, Sense::MEDIUM_CHANGED);
    script.expect_check(&ready, Sense::MEDIUM_NOT_PRESENT);
    script.expect_check(&load_cdb(true, false), Sense::MEDIUM_NOT_PRESENT);
    script.expect_check(&ready, Sense::BECOMING_READY);
    script.expect_check(&ready, Sense::new(SenseKey::NotReady, 0x31, 0x00));
    script.expect_check(&ready, Sense::new(SenseKey::MediumError, 0x31, 0x00));
    script.expect(&ready, Answer::Status(DeviceStatus::Busy));
    script.expect_check(&ready, Sense::MEDIUM_CHANGED);
    script.expect_good(&ready);
    expect_options(&mut script);
    let watcher = Watcher::default();
    drive.prepare_media(true, &watcher).unwrap();
    assert_eq!(drive.block_bytes_max(), 0x80_0000);
    assert_eq!(watcher.notes.lock().unwrap().len(), 1);
    // Where the tape stands has not been asked.
    assert!(drive.write_block(&[1]).unwrap_err().is_position_lost());
}

#[test]
fn options_are_changed_only_if_they_must_and_a_unit_attention_is_taken() {
    let (mut script, mut drive) = open();
    script.expect_good(&test_unit_ready_cdb());
    let sense = sense_cdb(Size::Ten, 0x0f, 0, false);
    script.expect_check(&sense, Sense::MODE_PARAMETERS_CHANGED);
    script.expect_in(&sense, &parameters(512, 0, false).build(Size::Ten));
    script.expect_out(
        &select_cdb(Size::Ten, 32),
        &parameters(0, 1, true).build_for_select(Size::Ten),
    );
    // A programmable early warning that somebody left is switched off.
    let extension = sense_cdb(Size::Ten, 0x10, 1, false);
    let page =
        |early_warning_mb| DeviceConfigurationExtension { early_warning_mb, ..Default::default() };
    let mut left = parameters(0, 1, true);
    left.pages = page(500).build().to_vec();
    script.expect_in(&extension, &left.build(Size::Ten));
    left.pages = page(0).build().to_vec();
    script.expect_out(&select_cdb(Size::Ten, 48), &left.build_for_select(Size::Ten));
    let limits = BlockLimits { granularity: 0, maximum_bytes: 0, minimum_bytes: 1 };
    script.expect_in(&BlockLimits::cdb(), &limits.build());
    expect_no_protection(&mut script);
    expect_no_encryption(&mut script);
    drive.prepare_media(false, &Watcher::default()).unwrap();
    assert_eq!(drive.block_bytes_max(), 0xff_ffff);
}

#[test]
fn what_waiting_cannot_cure_ends_it_at_once() {
    type Check = fn(&Error) -> bool;
    let cases: [(Sense, Check); 6] = [
        (Sense::MEDIUM_NOT_PRESENT, |error| matches!(error, Error::NoMedium { .. })),
        (Sense::CLEANING_CARTRIDGE, |error| matches!(error, Error::CleaningCartridge { .. })),
        (Sense::INCOMPATIBLE_MEDIUM, |error| matches!(error, Error::IncompatibleMedium { .. })),
        (Sense::READ_ERROR, |error| matches!(error, Error::Medium { .. })),
        (Sense::LOAD_FAILED, |error| matches!(error, Error::Scsi { .. })),
        (Sense::INVALID_OPCODE, |error| matches!(error, Error::Scsi { .. })),
    ];
    for (sense, is_expected) in cases {
        let (mut script, mut drive) = open();
        script.expect_check(&test_unit_ready_cdb(), sense);
        let error = drive.wait_ready(false, &Watcher::default()).unwrap_err();
        assert!(is_expected(&error), "{sense}: {error:?}");
    }
}

#[test]
fn time_is_up_unless_the_drive_calibrates() {
    let busy = Patience { ready_within: Duration::ZERO, ..HASTE };
    let activity = |activity| {
        let value = vec![0x11, 0x34, activity, 0];
        let parameters = vec![scsi::command::log::Parameter { code: 0, control: 3, value }];
        LogPage { page: 0x11, subpage: 0, parameters }.build()
    };
    let asked = LogPage::cdb(0x11, 0, 0x4000);

    let (mut script, mut drive) = open();
    drive.set_patience(busy);
    script.expect_check(&test_unit_ready_cdb(), Sense::BECOMING_READY);
    script.expect_in(&asked, &activity(2));
    let error = drive.wait_ready(false, &Watcher::default()).unwrap_err();
    assert!(matches!(error, Error::NotReadyInTime { .. }) && error.is_retryable());

    let (mut script, mut drive) = open();
    drive.set_patience(busy);
    script.expect_check(&test_unit_ready_cdb(), Sense::BECOMING_READY);
    script.expect_in(&asked, &activity(0xb));
    script.expect_check(&test_unit_ready_cdb(), Sense::BECOMING_READY);
    script.expect_good(&test_unit_ready_cdb());
    let watcher = Watcher::default();
    drive.wait_ready(false, &watcher).unwrap();
    assert!(watcher.notes.lock().unwrap()[0].contains("calibrating"));
}

#[test]
fn waiting_can_be_aborted() {
    let (mut script, mut drive) = open();
    script.expect_check(&test_unit_ready_cdb(), Sense::BECOMING_READY);
    let watcher = Watcher { is_aborted: true, ..Default::default() };
    assert!(drive.wait_ready(false, &watcher).unwrap_err().is_aborted());
}
