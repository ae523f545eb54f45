//! Blocks, filemarks, and what errors do to the position.

use super::*;

fn read(sense: Option<Sense>, bytes: usize) -> Result<Read> {
    let (mut script, mut drive) = open_at(0, 0);
    let answer = match sense {
        None => Answer::Bytes(vec![7; bytes]),
        Some(sense) => Answer::BytesAndCheck(vec![7; bytes], sense),
    };
    script.expect(&read_cdb(BLOCK), answer);
    let mut buffer = vec![0; BLOCK as usize];
    drive.read_block(&mut buffer)
}

#[test]
fn reading() {
    let requested = i64::from(BLOCK);
    assert_eq!(read(None, 4096).unwrap(), Read::Block(4096));
    assert_eq!(read(None, 80).unwrap(), Read::Block(80));
    let filemark = Sense::FILEMARK.with_information(requested);
    assert_eq!(read(Some(filemark), 0).unwrap(), Read::Filemark);
    let end = Sense::END_OF_DATA.with_information(requested);
    assert_eq!(read(Some(end), 0).unwrap(), Read::EndOfData);
    let blank = Sense::new(SenseKey::BlankCheck, 0x14, 0x03);
    assert_eq!(read(Some(blank), 0).unwrap(), Read::EndOfData);
    // A short block reported in spite of SILI, and one that does not fit.
    let short = Sense::NONE.with_incorrect_length();
    assert_eq!(read(Some(short.with_information(96)), 4000).unwrap(), Read::Block(4000));
    assert!(matches!(
        read(Some(short.with_information(-16)), 4096),
        Err(Error::BlockTooLong { block_bytes: 4112, limit_bytes: 4096, .. })
    ));
    // Recovered, and a request for cleaning beside the data.
    let recovered = Sense::new(SenseKey::RecoveredError, 0x17, 0x01);
    assert_eq!(read(Some(recovered), 4096).unwrap(), Read::Block(4096));
}

#[test]
fn reading_errors_say_what_they_are() {
    assert!(read(Some(Sense::READ_ERROR), 0).unwrap_err().is_damaged());
    assert!(read(Some(Sense::POWER_ON), 0).unwrap_err().is_position_lost());
    let key = Sense::new(SenseKey::DataProtect, 0x74, 0x01);
    assert!(read(Some(key), 0).unwrap_err().is_undecryptable());
    // A filemark of an earlier command is none of this one.
    assert!(matches!(read(Some(Sense::FILEMARK.as_deferred()), 0), Err(Error::Deferred { .. })));
}

fn write(answer: Answer) -> (Result<Written>, Drive, Script) {
    let (mut script, mut drive) = open_at(2, 9);
    script.expect(&write_cdb(BLOCK), answer);
    let result = drive.write_block(&[1; BLOCK as usize]);
    (result, drive, script)
}

#[test]
fn early_warning_is_success_and_overflow_is_not() {
    let written = |answer| write(answer).0.unwrap().early_warning;
    assert!(!written(Answer::Good));
    assert!(written(Answer::Check(Sense::EARLY_WARNING)));
    assert!(written(Answer::Check(Sense::PROGRAMMABLE_EARLY_WARNING)));
    let recovered = Sense::new(SenseKey::RecoveredError, 0x0c, 0x01);
    assert!(!written(Answer::Check(recovered)));
    assert!(written(Answer::Check(recovered.with_end_of_medium())));

    let (result, mut drive, mut script) = write(Answer::Check(Sense::VOLUME_OVERFLOW));
    assert!(result.unwrap_err().is_volume_overflow());
    // The file can still be ended, and its end reports early warning like everything there.
    script.expect_check(&write_filemarks_cdb(1, false), Sense::EARLY_WARNING);
    drive.write_filemarks(1, false).unwrap();
}

#[test]
fn a_cleaning_request_is_remembered() {
    let request = Sense::new(SenseKey::RecoveredError, 0x00, 0x17);
    let (result, drive, _script) = write(Answer::Check(request));
    assert!(!result.unwrap().early_warning && drive.is_cleaning_requested());
}

#[test]
fn part_of_a_block_is_no_success() {
    let partial = Sense::EARLY_WARNING.with_information(96);
    let (result, ..) = write(Answer::Check(partial));
    assert!(matches!(result, Err(Error::ShortWrite { written_bytes: 4000, .. })));
}

#[test]
fn refusals_leave_the_position_and_failures_do_not() {
    for (sense, is_known) in [
        (Sense::WRITE_PROTECTED, true),
        (Sense::WORM_OVERWRITE, true),
        (Sense::INVALID_FIELD_IN_CDB, true),
        (Sense::WRITE_ERROR, false),
        (Sense::new(SenseKey::AbortedCommand, 0x4b, 0x00), false),
        (Sense::EARLY_WARNING.as_deferred(), false),
        (Sense::MEDIUM_CHANGED, false),
    ] {
        let (result, mut drive, mut script) = write(Answer::Check(sense));
        let error = result.unwrap_err();
        if is_known {
            assert!(!error.is_position_lost(), "{error}");
            script.expect_good(&write_cdb(1));
            let _ = drive.write_block(&[0]).unwrap();
        } else {
            // Nothing is sent to the drive.
            assert!(matches!(drive.write_block(&[0]), Err(Error::PositionUnknown { .. })));
            assert!(matches!(drive.read_block(&mut [0]), Err(Error::PositionUnknown { .. })));
            assert!(matches!(drive.space_blocks(1), Err(Error::PositionUnknown { .. })));
            assert!(drive.write_filemarks(1, false).unwrap_err().is_position_lost());
        }
    }
    let (_, mut drive, _script) = write(Answer::Broken);
    assert!(drive.write_block(&[0]).unwrap_err().is_position_lost());
}

#[test]
fn asking_for_the_position_is_enough_after_a_failure() {
    let (_, mut drive, mut script) = write(Answer::Check(Sense::WRITE_ERROR));
    expect_position(&mut script, 2, 9);
    drive.position().unwrap();
    script.expect_good(&write_cdb(1));
    let _ = drive.write_block(&[0]).unwrap();
}

#[test]
fn only_rewinding_is_enough_after_a_unit_attention() {
    let (result, mut drive, mut script) = write(Answer::Check(Sense::POWER_ON));
    assert!(matches!(result, Err(Error::PositionLost { .. })));
    assert!(drive.position().unwrap_err().is_position_lost());
    assert!(drive.to_end_of_data_for_append().unwrap_err().is_position_lost());
    assert!(drive.move_to_file(5).unwrap_err().is_position_lost());
    // More of them in the queue belong to the same event.
    script.expect_check(&rewind_cdb(false), Sense::MEDIUM_CHANGED);
    script.expect_good(&rewind_cdb(false));
    drive.rewind().unwrap();
    // A new one does not: rewinding must not hide that the tape was changed.
    script.expect_check(&rewind_cdb(false), Sense::MEDIUM_CHANGED);
    assert!(drive.rewind().unwrap_err().is_position_lost());
}

#[test]
fn lengths_are_checked_before_anything_is_sent() {
    let (_script, mut drive) = open_at(0, 0);
    assert!(matches!(drive.write_block(&[]), Err(Error::Invalid { .. })));
    assert!(matches!(drive.read_block(&mut []), Err(Error::Invalid { .. })));
    let long = vec![0; 0x100_0000];
    assert!(matches!(drive.write_block(&long), Err(Error::BlockTooLong { .. })));
    assert!(drive.write_filemarks(0x100_0000, false).is_err());
}

#[test]
fn a_status_in_between_hides_nothing() {
    let (mut script, mut drive) = open_at(2, 9);
    let deferred = Sense::WRITE_ERROR.as_deferred();
    script.expect_in(&request_sense_cdb(), &deferred.to_fixed());
    assert!(matches!(drive.status(), Err(Error::Deferred { .. })));

    let (mut script, mut drive) = open_at(2, 9);
    script.expect_in(&request_sense_cdb(), &Sense::MEDIUM_CHANGED.to_fixed());
    script.expect(&test_unit_ready_cdb(), Answer::Broken);
    assert!(drive.status().is_err());
    assert!(drive.position().unwrap_err().is_position_lost());
}

#[test]
fn sync_is_no_filemark() {
    let (mut script, mut drive) = open_at(0, 0);
    script.expect_good(&write_filemarks_cdb(0, false));
    drive.sync().unwrap();
    script.expect_check(&write_filemarks_cdb(0, false), Sense::WRITE_ERROR.as_deferred());
    assert!(matches!(drive.sync(), Err(Error::Deferred { .. })));
}
