//! Formatting by generation, erasing, WORM.

use super::*;

fn expect_kind(script: &mut Script, density: u8, worm: bool) {
    let mut kind = parameters(0, 1, true);
    kind.descriptor = Some(BlockDescriptor { density, ..Default::default() });
    kind.pages = MediumConfiguration { worm, ..Default::default() }.build().to_vec();
    script.expect_in(&sense_cdb(Size::Ten, 0x1d, 0, false), &kind.build(Size::Ten));
}

fn expect_cleared_attributes(script: &mut Script) {
    for id in [0x0800, 0x0801, 0x0802, 0x0803, 0x0808] {
        let empty = attribute::build(&[Attribute::host_text(id, "").unwrap()]);
        script.expect_out(&attribute::write_cdb(empty.len() as u32), &empty);
    }
}

/// What a drive says that has ended what it was doing in the background.
fn expect_done(script: &mut Script) {
    script.expect_good(&test_unit_ready_cdb());
    script.expect_in(&request_sense_cdb(), &Sense::new(SenseKey::NoSense, 0, 0).to_fixed());
}

fn format(density: u8, fast: bool, expect: impl Fn(&mut Script)) {
    let (mut script, mut drive) = open();
    expect_kind(&mut script, density, false);
    script.expect_good(&rewind_cdb(false));
    expect(&mut script);
    script.expect_good(&rewind_cdb(false));
    expect_cleared_attributes(&mut script);
    drive.format(fast, &Watcher::default()).unwrap();
}

#[test]
fn by_generation() {
    let ready = test_unit_ready_cdb();
    // LTO-8.
    format(0x5e, true, |script| {
        script.expect_good(&format_cdb(false)).expect_good(&rewind_cdb(false));
    });
    format(0x5e, false, |script| {
        script.expect_good(&format_cdb(false)).expect_good(&rewind_cdb(false));
        script.expect_good(&erase_cdb(true, true));
        expect_done(script);
    });
    // LTO-9: no media optimisation unless asked for.
    format(0x60, true, |script| {
        script.expect_good(&erase_cdb(false, false));
    });
    format(0x60, false, |script| {
        script.expect_good(&format_cdb(true));
        script.expect_check(&ready, Sense::FORMAT_IN_PROGRESS.with_progress(0x8000));
        expect_done(script);
        script.expect_good(&rewind_cdb(false)).expect_good(&erase_cdb(true, true));
        expect_done(script);
    });
    // LTO-4 and unknown.
    for density in [0x46, 0x00] {
        format(density, true, |script| {
            script.expect_good(&erase_cdb(false, false));
        });
    }
}

#[test]
fn long_erase_is_polled_and_falls_back() {
    format(0x46, false, |script| {
        script.expect_good(&erase_cdb(true, true));
        script.expect_check(&test_unit_ready_cdb(), Sense::OPERATION_IN_PROGRESS);
        let running = Sense::new(SenseKey::NoSense, 0x00, 0x18).with_progress(0x4000);
        script.expect_in(&request_sense_cdb(), &running.to_fixed());
        expect_done(script);
    });
    format(0x46, false, |script| {
        script.expect_check(&erase_cdb(true, true), Sense::INVALID_FIELD_IN_CDB);
        script.expect_good(&erase_cdb(true, false));
    });
}

#[test]
fn worm_tapes_are_never_formatted() {
    for (object, is_blank) in [(0, true), (7, false)] {
        let (mut script, mut drive) = open();
        expect_kind(&mut script, 0x5e, true);
        script.expect_good(&rewind_cdb(false)).expect_good(&end_of_data());
        expect_position(&mut script, 0, object);
        match drive.format(true, &Watcher::default()) {
            Ok(()) => assert!(is_blank),
            Err(error) => assert!(!is_blank && matches!(error, Error::Worm { .. })),
        }
    }
    // The medium type tells it too, for drives that lack the page.
    let (mut script, mut drive) = open();
    let page = sense_cdb(Size::Ten, 0x1d, 0, false);
    script.expect_check(&page, Sense::INVALID_FIELD_IN_CDB);
    let mut kind = parameters(0, 1, true);
    kind.medium_type = 0x8c;
    kind.pages.clear();
    script.expect_in(&sense_cdb(Size::Ten, 0x00, 0, false), &kind.build(Size::Ten));
    assert!(drive.medium_kind().unwrap().worm);
}

/// A drive at the beginning of its tape, about to run FORMAT MEDIUM or ERASE.
fn formatting(density: u8) -> (Script, Drive) {
    let (mut script, drive) = open();
    expect_kind(&mut script, density, false);
    script.expect_good(&rewind_cdb(false));
    (script, drive)
}

#[test]
fn nothing_is_tried_again_when_format_or_erase_is_refused() {
    let refusals = [
        // Not at the beginning of the tape, whatever the drive thinks.
        (Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0c), "Scsi"),
        (Sense::new(SenseKey::DataProtect, 0x30, 0x0c), "Worm"),
        (Sense::new(SenseKey::DataProtect, 0x27, 0x00), "WriteProtected"),
        (Sense::new(SenseKey::DataProtect, 0x5a, 0x02), "WriteProtected"),
        (Sense::MEDIUM_CHANGED, "PositionLost"),
        (Sense::MEDIUM_NOT_PRESENT, "NoMedium"),
        (Sense::new(SenseKey::MediumError, 0x31, 0x01), "Medium"),
    ];
    // Density, fast, the command that is refused.
    let commands = [
        (0x5e, true, format_cdb(false)),
        (0x5e, false, format_cdb(false)),
        (0x60, true, erase_cdb(false, false)),
        (0x60, false, format_cdb(true)),
        (0x46, true, erase_cdb(false, false)),
        (0x46, false, erase_cdb(true, true)),
    ];
    for (sense, expected) in refusals {
        for (density, fast, command) in commands {
            let (mut script, mut drive) = formatting(density);
            script.expect_check(&command, sense);
            let error = drive.format(fast, &Watcher::default()).unwrap_err();
            let name = format!("{error:?}");
            assert!(name.starts_with(expected), "{sense} {density:x} {fast}: {name}");
            assert_eq!(script.remaining(), 0, "{sense} {density:x} {fast}");
        }
    }
}

#[test]
fn an_erase_that_only_works_at_the_beginning_is_not_done_there_instead() {
    for fast in [true, false] {
        let (mut script, mut drive) = open_at(2, 9);
        script.expect_check(
            &erase_cdb(!fast, !fast),
            Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0c),
        );
        let error = drive.erase(fast, &Watcher::default()).unwrap_err();
        assert!(matches!(error, Error::Scsi { .. }), "{error}");
        // Nothing was moved: the tape stands where it stood.
        assert_eq!(script.remaining(), 0);
        assert_eq!(drive.trust, Trust::Sure);
    }
    // Where the tape stands is not known: nothing is sent.
    let (script, mut drive) = open();
    for fast in [true, false] {
        assert!(drive.erase(fast, &Watcher::default()).unwrap_err().is_position_lost());
    }
    assert_eq!(script.remaining(), 0);
}

#[test]
fn each_command_is_allowed_the_time_that_makers_publish() {
    let within = |script: &Script, cdb: &Cdb| script.timeouts_of(cdb)[0].as_secs();
    let (mut script, mut drive) = formatting(0x46);
    script.expect_check(&erase_cdb(true, true), Sense::INVALID_FIELD_IN_CDB);
    script.expect_good(&erase_cdb(true, false)).expect_good(&rewind_cdb(false));
    expect_cleared_attributes(&mut script);
    drive.format(false, &Watcher::default()).unwrap();
    // A drive that erases in the foreground only: 46 hours were published.
    assert!(within(&script, &erase_cdb(true, false)) >= 166_370);
    let (mut script, mut drive) = formatting(0x5e);
    script.expect_good(&format_cdb(false)).expect_good(&rewind_cdb(false));
    script.expect_good(&rewind_cdb(false));
    expect_cleared_attributes(&mut script);
    drive.format(true, &Watcher::default()).unwrap();
    assert!(within(&script, &format_cdb(false)) >= 3_840);
    assert!(within(&script, &rewind_cdb(false)) >= 780);
    // From LTO-9 on the optimisation of the tape goes on for two hours, and only then is the time up.
    assert!(Patience::default().formatted_within >= Duration::from_secs(7_200));
    assert!(Patience::default().erased_within >= Duration::from_secs(166_370));
}

#[test]
fn progress_is_told_now_and_then_from_either_place() {
    let running = |progress| Sense::new(SenseKey::NoSense, 0x00, 0x18).with_progress(progress);
    let (mut script, mut drive) = formatting(0x60);
    script.expect_good(&format_cdb(true));
    // With the refusal itself.
    for progress in [0x0000, 0x4000, 0x4100, 0xc000] {
        let sense = Sense::FORMAT_IN_PROGRESS.with_progress(progress);
        script.expect_check(&test_unit_ready_cdb(), sense);
    }
    expect_done(&mut script);
    script.expect_good(&rewind_cdb(false)).expect_good(&erase_cdb(true, true));
    // On being asked; and by a drive that tells nothing at first.
    script.expect_check(&test_unit_ready_cdb(), Sense::OPERATION_IN_PROGRESS);
    script.expect_in(&request_sense_cdb(), &Sense::OPERATION_IN_PROGRESS.to_fixed());
    script.expect_check(&test_unit_ready_cdb(), Sense::OPERATION_IN_PROGRESS);
    script.expect_in(&request_sense_cdb(), &running(0x8000).to_fixed());
    expect_done(&mut script);
    script.expect_good(&rewind_cdb(false));
    expect_cleared_attributes(&mut script);
    let watcher = Watcher::default();
    drive.format(false, &watcher).unwrap();
    let notes = watcher.notes.lock().unwrap();
    let expected = [
        "drive script: formatting the tape: 25 %",
        "drive script: formatting the tape: 75 %",
        "drive script: erasing the tape: 50 %",
    ];
    assert_eq!(*notes, expected);
}

/// TEST UNIT READY is GOOD and only REQUEST SENSE tells that the drive is still at it.
#[test]
fn a_drive_that_only_tells_on_request_is_waited_for() {
    for ascq in [0x16, 0x18, 0x19, 0x1a] {
        let (mut script, mut drive) = open_at(2, 9);
        script.expect_good(&erase_cdb(true, true));
        for _ in 0..3 {
            script.expect_good(&test_unit_ready_cdb());
            let running = Sense::new(SenseKey::NoSense, 0x00, ascq);
            script.expect_in(&request_sense_cdb(), &running.to_fixed());
        }
        expect_done(&mut script);
        drive.erase(false, &Watcher::default()).unwrap();
        assert_eq!(script.remaining(), 0, "0/00/{ascq:02x}");
    }
}

#[test]
fn what_failed_in_the_background_is_told_wherever_it_shows() {
    let failed = Sense::new(SenseKey::MediumError, 0x51, 0x00).as_deferred();
    for (sense, expected) in [(failed, "Deferred"), (Sense::POWER_ON, "PositionLost")] {
        for ready in [None, Some(Sense::OPERATION_IN_PROGRESS)] {
            let (mut script, mut drive) = open_at(2, 9);
            script.expect_good(&erase_cdb(true, true));
            match ready {
                None => script.expect_good(&test_unit_ready_cdb()),
                Some(busy) => script.expect_check(&test_unit_ready_cdb(), busy),
            };
            script.expect_in(&request_sense_cdb(), &sense.to_fixed());
            let error = drive.erase(false, &Watcher::default()).unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        }
        let (mut script, mut drive) = open_at(2, 9);
        script.expect_good(&erase_cdb(true, true));
        script.expect_check(&test_unit_ready_cdb(), sense);
        let error = drive.erase(false, &Watcher::default()).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
}

#[test]
fn an_operation_that_never_ends_is_given_up_and_one_can_be_left() {
    let impatient = Patience { erased_within: Duration::ZERO, ..HASTE };
    let (mut script, mut drive) = open_at(2, 9);
    drive.set_patience(impatient);
    script.expect_good(&erase_cdb(true, true));
    let busy = Sense::OPERATION_IN_PROGRESS.with_progress(1);
    script.expect_check(&test_unit_ready_cdb(), busy);
    let error = drive.erase(false, &Watcher::default()).unwrap_err();
    assert!(matches!(error, Error::NotReadyInTime { last: Some(last), .. } if last == busy));
    let (mut script, mut drive) = open_at(2, 9);
    script.expect_good(&erase_cdb(true, true)).expect_check(&test_unit_ready_cdb(), busy);
    let watcher = Watcher { is_aborted: true, ..Default::default() };
    assert!(drive.erase(false, &watcher).unwrap_err().is_aborted());
}

/// The same drive, but it recommends longer than we would wait.
#[test]
fn a_drive_that_recommends_longer_is_waited_for_longer() {
    let told = |seconds: u32| {
        let mut reply = vec![0, 0, 0, 20, 0x19, 0, 0, 0, 0, 2, 0, 6, 0, 10, 0, 0, 0, 0, 0, 0];
        reply.extend(seconds.to_be_bytes());
        reply
    };
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), &drive_inquiry().build());
    script.expect_in(&CommandTimeouts::cdb(), &told(200_000));
    let mut drive = Drive::open(Box::new(script.device())).unwrap();
    drive.set_patience(Patience { erased_within: Duration::ZERO, ..HASTE });
    expect_position(&mut script, 2, 9);
    drive.position().unwrap();
    script.expect_good(&erase_cdb(true, true));
    let busy = Sense::OPERATION_IN_PROGRESS.with_progress(1);
    script.expect_check(&test_unit_ready_cdb(), busy);
    expect_done(&mut script);
    drive.erase(false, &Watcher::default()).unwrap();
    assert_eq!(script.timeouts_of(&erase_cdb(true, true)), [Duration::from_secs(200_000)]);
}
