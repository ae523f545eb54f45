//! Finding files and the end of the data.

use super::*;

#[test]
fn the_first_two_files_need_no_locate() {
    let (mut script, mut drive) = open();
    script.expect_good(&rewind_cdb(false));
    drive.move_to_file(0).unwrap();
    script.expect_good(&rewind_cdb(false)).expect_good(&marks(1));
    expect_position(&mut script, 1, 2);
    drive.move_to_file(1).unwrap();
    script.expect_good(&rewind_cdb(false)).expect_check(&marks(1), Sense::END_OF_DATA);
    assert!(drive.move_to_file(1).unwrap_err().is_missing());
}

#[test]
fn a_drive_that_agrees() {
    let (mut script, mut drive) = open();
    script.expect_good(&file(4)).expect_good(&marks(1));
    expect_position(&mut script, 5, 50);
    expect_position(&mut script, 5, 50);
    drive.move_to_file(5).unwrap();
    // Known now: asked once only.
    script.expect_good(&file(7)).expect_good(&marks(1));
    expect_position(&mut script, 8, 80);
    drive.move_to_file(8).unwrap();
}

#[test]
fn a_drive_that_counts_otherwise_is_learnt_once() {
    let (mut script, mut drive) = open();
    script.expect_good(&file(4)).expect_good(&marks(1));
    expect_position(&mut script, 4, 40);
    script.expect_good(&file(5)).expect_good(&marks(1));
    expect_position(&mut script, 5, 50);
    drive.move_to_file(5).unwrap();
    script.expect_good(&file(2)).expect_good(&marks(1));
    expect_position(&mut script, 2, 20);
    drive.move_to_file(2).unwrap();
}

#[test]
fn a_drive_that_never_arrives_is_refused() {
    let (mut script, mut drive) = open();
    script.expect_good(&file(4)).expect_good(&marks(1));
    expect_position(&mut script, 3, 30);
    script.expect_good(&file(6)).expect_good(&marks(1));
    expect_position(&mut script, 4, 40);
    let error = drive.move_to_file(5).unwrap_err();
    assert!(matches!(error, Error::WrongFile { wanted: 5, reported: 4, .. }), "{error}");
}

#[test]
fn without_locate_files_are_spaced_to() {
    for refusal in [Sense::INVALID_FIELD_IN_CDB, Sense::INVALID_OPCODE] {
        let (mut script, mut drive) = open();
        // From file 2 on to 5.
        script.expect_check(&file(4), refusal);
        expect_position(&mut script, 2, 20);
        script.expect_good(&marks(3));
        expect_position(&mut script, 5, 50);
        drive.move_to_file(5).unwrap();
        // Not tried again. Backwards: behind the mark before file 4.
        expect_position(&mut script, 5, 50);
        script.expect_good(&marks(-2)).expect_good(&marks(1));
        expect_position(&mut script, 4, 40);
        drive.move_to_file(4).unwrap();
        // Near the beginning rewinding is nearer.
        expect_position(&mut script, 9, 90);
        script.expect_good(&rewind_cdb(false)).expect_good(&marks(2));
        expect_position(&mut script, 2, 20);
        drive.move_to_file(2).unwrap();
    }
}

#[test]
fn files_behind_the_end() {
    let (mut script, mut drive) = open();
    script.expect_check(&file(8), Sense::END_OF_DATA);
    assert!(drive.move_to_file(9).unwrap_err().is_missing());
    script.expect_good(&file(8)).expect_check(&marks(1), Sense::END_OF_DATA);
    assert!(matches!(drive.move_to_file(9), Err(Error::NoSuchFile { file: 9, .. })));
    script.expect_check(&file(8), Sense::new(SenseKey::MediumError, 0x14, 0x02));
    assert!(drive.move_to_file(9).unwrap_err().is_damaged());
}

#[test]
fn appending_behind_a_filemark() {
    let (mut script, mut drive) = open();
    script.expect_good(&end_of_data());
    expect_position(&mut script, 3, 30);
    script.expect_check(&blocks(-1), Sense::FILEMARK.with_information(1));
    script.expect_good(&marks(1));
    expect_position(&mut script, 3, 30);
    let position = drive.to_end_of_data_for_append().unwrap();
    assert_eq!(position, Position { file: 3, object: 30 });
}

#[test]
fn appending_behind_a_torn_file_ends_it_first() {
    let (mut script, mut drive) = open();
    script.expect_check(&end_of_data(), Sense::END_OF_DATA);
    expect_position(&mut script, 3, 30);
    script.expect_good(&blocks(-1)).expect_good(&blocks(1));
    script.expect_good(&write_filemarks_cdb(1, false));
    expect_position(&mut script, 4, 31);
    assert_eq!(drive.to_end_of_data_for_append().unwrap().file, 4);
}

#[test]
fn appending_to_a_blank_tape() {
    let (mut script, mut drive) = open();
    script.expect_good(&end_of_data());
    expect_position(&mut script, 0, 0);
    expect_position(&mut script, 0, 0);
    assert_eq!(drive.to_end_of_data_for_append().unwrap().object, 0);
}

#[test]
fn the_end_of_data_is_nowhere_else() {
    for sense in [Sense::FILEMARK, Sense::BEGINNING_OF_MEDIUM, Sense::INVALID_FIELD_IN_CDB] {
        let (mut script, mut drive) = open();
        script.expect_check(&end_of_data(), sense);
        assert!(drive.to_end_of_data_for_append().is_err());
        assert!(drive.write_block(&[0]).unwrap_err().is_position_lost(), "{sense}");
    }
}

#[test]
fn a_search_that_failed_leaves_no_place_to_write() {
    let (mut script, mut drive) = open_at(2, 9);
    script.expect_check(&file(8), Sense::END_OF_DATA);
    assert!(drive.move_to_file(9).unwrap_err().is_missing());
    assert!(drive.write_block(&[0]).unwrap_err().is_position_lost());
}

#[test]
fn appending_stops_at_anything_odd() {
    let (mut script, mut drive) = open();
    script.expect_good(&end_of_data());
    expect_position(&mut script, 3, 30);
    script.expect_check(&blocks(-1), Sense::READ_ERROR);
    assert!(drive.to_end_of_data_for_append().unwrap_err().is_damaged());
    assert!(drive.write_block(&[0]).unwrap_err().is_position_lost());
}

fn expect_end_with_mark(script: &mut Script, file: u64, object: u64) {
    script.expect_good(&end_of_data());
    expect_position(script, file, object);
    expect_position(script, file, object);
    script.expect_check(&blocks(-1), Sense::FILEMARK.with_information(1));
    script.expect_good(&marks(1));
}

#[test]
fn the_last_file() {
    let (mut script, mut drive) = open();
    expect_end_with_mark(&mut script, 4, 40);
    script.expect_good(&marks(-2)).expect_good(&marks(1));
    expect_position(&mut script, 3, 30);
    assert_eq!(drive.move_to_last_file().unwrap(), 3);

    expect_end_with_mark(&mut script, 1, 2);
    script.expect_good(&rewind_cdb(false));
    expect_position(&mut script, 0, 0);
    assert_eq!(drive.move_to_last_file().unwrap(), 0);

    script.expect_good(&end_of_data());
    expect_position(&mut script, 0, 0);
    assert!(drive.move_to_last_file().unwrap_err().is_missing());

    script.expect_good(&end_of_data());
    expect_position(&mut script, 2, 9);
    expect_position(&mut script, 2, 9);
    script.expect_good(&blocks(-1)).expect_good(&blocks(1));
    let error = drive.move_to_last_file().unwrap_err();
    assert!(matches!(error, Error::TornEnd { file: 2, .. }) && error.is_damaged());
}

#[test]
fn spacing_tells_how_it_ended() {
    let (mut script, mut drive) = open_at(2, 9);
    let not_done = Some(3);
    script.expect_check(&blocks(10), Sense::FILEMARK.with_information(3));
    assert_eq!(drive.space_blocks(10).unwrap(), Spaced::Filemark { not_done });
    script.expect_check(&marks(10), Sense::END_OF_DATA.with_information(3));
    assert_eq!(drive.space_filemarks(10).unwrap(), Spaced::EndOfData { not_done });
    script.expect_check(&marks(-10), Sense::BEGINNING_OF_MEDIUM.with_information(-3));
    assert_eq!(drive.space_filemarks(-10).unwrap(), Spaced::Beginning { not_done });
    assert_eq!(drive.space_filemarks(0).unwrap(), Spaced::Done);
}

#[test]
fn positions_that_are_none() {
    let (mut script, mut drive) = open();
    let partitioned = LongPosition { partition: 1, ..Default::default() };
    script.expect_in(&LongPosition::cdb(), &partitioned.build());
    assert!(matches!(drive.position(), Err(Error::Partitioned { partition: 1, .. })));
    let unknown = LongPosition { file_unknown: true, ..Default::default() };
    script.expect_in(&LongPosition::cdb(), &unknown.build());
    assert!(drive.position().unwrap_err().is_position_lost());
    script.expect_in(&LongPosition::cdb(), &[0; 20]);
    assert!(matches!(drive.position(), Err(Error::Scsi { .. })));
}
