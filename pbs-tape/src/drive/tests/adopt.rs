//! Taking over a position: only once, only before a job, and never past a later unit attention.

use super::*;

#[test]
fn what_happened_before_is_taken_off_and_the_drive_says_where_the_tape_is() {
    let (mut script, mut drive) = open();
    script.expect_check(&test_unit_ready_cdb(), Sense::POWER_ON);
    script.expect_check(&test_unit_ready_cdb(), Sense::MEDIUM_CHANGED);
    script.expect_good(&test_unit_ready_cdb());
    expect_position(&mut script, 3, 40);
    assert_eq!(drive.adopt_position().unwrap(), Position { file: 3, object: 40 });
    // From here on the handle is as strict as any.
    script.expect_check(&marks(1), Sense::MEDIUM_CHANGED);
    assert!(matches!(drive.space_filemarks(1), Err(Error::PositionLost { .. })));
    assert!(matches!(drive.adopt_position(), Err(Error::PositionUnknown { .. })));
    assert!(matches!(drive.space_filemarks(1), Err(Error::PositionUnknown { .. })));
}

#[test]
fn a_drive_that_was_prepared_for_a_job_never_takes_a_position_over() {
    let (mut script, mut drive) = open();
    // However preparing ends.
    script.expect_check(&test_unit_ready_cdb(), Sense::MEDIUM_NOT_PRESENT);
    assert!(drive.prepare_media(false, &Watcher::default()).is_err());
    assert!(matches!(drive.adopt_position(), Err(Error::PositionUnknown { .. })));
}

#[test]
fn an_empty_drive_has_no_position() {
    let (mut script, mut drive) = open();
    script.expect_check(&test_unit_ready_cdb(), Sense::MEDIUM_NOT_PRESENT);
    assert!(matches!(drive.adopt_position(), Err(Error::NoMedium { .. })));
}

#[test]
fn looking_for_data_goes_back_to_where_it_was() {
    for (answer, way_back, is_end) in [
        (Answer::Check(Sense::END_OF_DATA), None, true),
        (Answer::Good, Some(blocks(-1)), false),
        (Answer::Check(Sense::FILEMARK), Some(marks(-1)), false),
    ] {
        let (mut script, mut drive) = open_at(2, 10);
        expect_position(&mut script, 2, 10);
        script.expect(&blocks(1), answer);
        if let Some(cdb) = way_back {
            script.expect_good(&cdb);
        }
        expect_position(&mut script, 2, 10);
        assert_eq!(drive.is_at_end_of_data().unwrap(), is_end);
    }
    // A drive that does not come back is not written to.
    let (mut script, mut drive) = open_at(2, 10);
    expect_position(&mut script, 2, 10);
    script.expect_good(&blocks(1)).expect_good(&blocks(-1));
    expect_position(&mut script, 2, 11);
    assert!(matches!(drive.is_at_end_of_data(), Err(Error::WrongObject { .. })));
    assert!(matches!(drive.write_block(&[1]), Err(Error::PositionUnknown { .. })));
}

#[test]
fn objects_are_located_and_checked() {
    let locate = |object| locate_cdb(Destination::Object(object));
    let (mut script, mut drive) = open_at(0, 0);
    script.expect_good(&locate(17));
    expect_position(&mut script, 2, 17);
    assert_eq!(drive.move_to_object(17).unwrap(), Position { file: 2, object: 17 });
    script.expect_good(&locate(18));
    expect_position(&mut script, 2, 17);
    assert!(matches!(drive.move_to_object(18), Err(Error::WrongObject { reported: 17, .. })));
    script.expect_check(&locate(99), Sense::END_OF_DATA);
    assert!(drive.move_to_object(99).unwrap_err().is_missing());
    script.expect_check(&locate(1), Sense::INVALID_OPCODE);
    assert!(matches!(drive.move_to_object(1), Err(Error::Unsupported { .. })));
}
