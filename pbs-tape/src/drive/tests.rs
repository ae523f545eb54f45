//! Every command sequence of the drive against a script, and the same operations on an emulated drive.

use std::sync::Mutex;

use scsi::command::attribute::Attribute;
use scsi::command::block::{read_cdb, write_cdb, write_filemarks_cdb};
use scsi::command::log::LogPage;
use scsi::command::medium::{erase_cdb, format_cdb, load_cdb};
use scsi::command::mode::{
    BlockDescriptor, MediumConfiguration, Parameters, Size, select_cdb, sense_cdb,
};
use scsi::command::position::{
    Destination, LongPosition, SpaceUnit, locate_cdb, rewind_cdb, space_cdb,
};
use scsi::command::unit::{request_sense_cdb, test_unit_ready_cdb};
use scsi::command::{Cdb, attribute};
use scsi::testing::{Answer, Script};
use scsi::{Sense, SenseKey, Status as DeviceStatus};

use super::*;

const BLOCK: u32 = 4096;

/// Never sleeps, but still repeats.
const HASTE: Patience = Patience {
    poll_interval: Duration::ZERO,
    ready_within: Duration::from_secs(60),
    calibrated_within: Duration::from_secs(120),
    no_medium_within: Duration::ZERO,
    formatted_within: Duration::from_secs(60),
    erased_within: Duration::from_secs(60),
};

#[derive(Default)]
struct Watcher {
    is_aborted: bool,
    notes: Mutex<Vec<String>>,
}

impl Progress for Watcher {
    fn is_aborted(&self) -> bool {
        self.is_aborted
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_string());
    }
}

fn drive_inquiry() -> Inquiry {
    Inquiry {
        qualifier: 0,
        kind: inquiry::TYPE_TAPE,
        removable: true,
        version: 5,
        vendor: "IBM".into(),
        product: "ULT3580-TD8".into(),
        revision: "K4K1".into(),
    }
}

fn open() -> (Script, Drive) {
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), &drive_inquiry().build());
    let mut drive = Drive::open(Box::new(script.device())).unwrap();
    drive.set_patience(HASTE);
    (script, drive)
}

/// An open drive whose position is known.
fn open_at(file: u64, object: u64) -> (Script, Drive) {
    let (mut script, mut drive) = open();
    expect_position(&mut script, file, object);
    assert_eq!(drive.position().unwrap(), Position { file, object });
    (script, drive)
}

fn expect_position(script: &mut Script, file: u64, object: u64) {
    let position = LongPosition { file, object, ..Default::default() };
    script.expect_in(&LongPosition::cdb(), &position.build());
}

fn marks(count: i64) -> Cdb {
    space_cdb(SpaceUnit::Filemarks, count)
}

fn blocks(count: i64) -> Cdb {
    space_cdb(SpaceUnit::Blocks, count)
}

fn end_of_data() -> Cdb {
    space_cdb(SpaceUnit::EndOfData, 0)
}

fn file(number: u64) -> Cdb {
    locate_cdb(Destination::File(number))
}

/// Mode parameters of a loaded LTO-8 tape.
fn parameters(block_bytes: u32, buffered_mode: u8, compressing: bool) -> Parameters {
    let mut parameters = Parameters {
        medium_type: 0x88,
        device_specific: 0,
        descriptor: Some(BlockDescriptor { density: 0x5e, blocks: 0, block_bytes }),
        pages: Compression {
            enabled: compressing,
            capable: true,
            decompression: true,
            report_exception: 0,
            compression_algorithm: 1,
            decompression_algorithm: 1,
        }
        .build()
        .to_vec(),
    };
    parameters.set_buffered_mode(buffered_mode);
    parameters
}

mod opening {
    use super::*;

    fn expect_options(script: &mut Script) {
        let sense = sense_cdb(Size::Ten, 0x0f, 0, false);
        script.expect_in(&sense, &parameters(0, 1, true).build(Size::Ten));
        let extension = sense_cdb(Size::Ten, 0x10, 1, false);
        script.expect_check(&extension, Sense::INVALID_FIELD_IN_CDB);
        let limits = BlockLimits { granularity: 0, maximum_bytes: 0x80_0000, minimum_bytes: 1 };
        script.expect_in(&BlockLimits::cdb(), &limits.build());
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
        let page = |early_warning_mb| DeviceConfigurationExtension {
            early_warning_mb,
            ..Default::default()
        };
        let mut left = parameters(0, 1, true);
        left.pages = page(500).build().to_vec();
        script.expect_in(&extension, &left.build(Size::Ten));
        left.pages = page(0).build().to_vec();
        script.expect_out(&select_cdb(Size::Ten, 48), &left.build_for_select(Size::Ten));
        let limits = BlockLimits { granularity: 0, maximum_bytes: 0, minimum_bytes: 1 };
        script.expect_in(&BlockLimits::cdb(), &limits.build());
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
}

mod blocks_and_marks {
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
        assert!(matches!(
            read(Some(Sense::FILEMARK.as_deferred()), 0),
            Err(Error::Deferred { .. })
        ));
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
    fn sync_is_no_filemark() {
        let (mut script, mut drive) = open_at(0, 0);
        script.expect_good(&write_filemarks_cdb(0, false));
        drive.sync().unwrap();
        script.expect_check(&write_filemarks_cdb(0, false), Sense::WRITE_ERROR.as_deferred());
        assert!(matches!(drive.sync(), Err(Error::Deferred { .. })));
    }
}

mod positions {
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
}

mod formatting {
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
            script.expect_good(&erase_cdb(true, true)).expect_good(&ready);
        });
        // LTO-9: no media optimisation unless asked for.
        format(0x60, true, |script| {
            script.expect_good(&erase_cdb(false, false));
        });
        format(0x60, false, |script| {
            script.expect_good(&format_cdb(true));
            script.expect_check(&ready, Sense::FORMAT_IN_PROGRESS.with_progress(0x8000));
            script.expect_good(&ready).expect_good(&rewind_cdb(false));
            script.expect_good(&erase_cdb(true, true)).expect_good(&ready);
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
            script.expect_good(&test_unit_ready_cdb());
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
}

mod emulated {
    use super::*;

    fn library(capacity_bytes: Option<u64>) -> (tempfile::TempDir, vtl::Library) {
        let dir = tempfile::tempdir().unwrap();
        let options = vtl::Options {
            drives: 1,
            slots: 2,
            import_export: 0,
            cartridges: 2,
            capacity_bytes,
            ..vtl::Options::default()
        };
        let library = vtl::Library::create(&dir.path().join("lib"), &options).unwrap();
        (dir, library)
    }

    fn loaded(capacity_bytes: Option<u64>) -> (tempfile::TempDir, vtl::Library, Drive) {
        let (dir, library) = library(capacity_bytes);
        let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
        changer.load_slot(1, 0).unwrap();
        let unit = Box::new(library.drive(0).unwrap());
        let drive = Drive::open_with_media(unit, true, &Watcher::default()).unwrap();
        (dir, library, drive)
    }

    fn write_file(drive: &mut Drive, blocks: u8) {
        for number in 0..blocks {
            let _ = drive.write_block(&[number; BLOCK as usize]).unwrap();
        }
        drive.write_filemarks(1, false).unwrap();
    }

    #[test]
    fn an_empty_drive_says_so() {
        let (_dir, library) = library(None);
        let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
        drive.set_patience(HASTE);
        let error = drive.prepare_media(true, &Watcher::default()).unwrap_err();
        assert!(error.is_medium_missing(), "{error}");
        let status = drive.status().unwrap();
        assert_eq!((status.file_number, status.alert_flags.as_deref()), (None, Some("(empty)")));
    }

    #[test]
    fn written_files_are_found_and_read_again() {
        let (_dir, _library, mut drive) = loaded(None);
        drive.rewind().unwrap();
        for blocks in 1..=6 {
            write_file(&mut drive, blocks);
        }
        let mut buffer = vec![0; BLOCK as usize];
        for number in [5u64, 0, 3, 4, 1, 2] {
            drive.move_to_file(number).unwrap();
            for block in 0..=number {
                assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(4096));
                assert!(buffer.iter().all(|byte| u64::from(*byte) == block));
            }
            assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Filemark);
            assert_eq!(drive.position().unwrap().file, number + 1);
        }
        assert!(drive.move_to_file(9).unwrap_err().is_missing());
        assert_eq!(drive.move_to_last_file().unwrap(), 5);
        assert_eq!(drive.to_end_of_data_for_append().unwrap().file, 6);
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::EndOfData);
    }

    #[test]
    fn a_torn_file_is_ended_before_the_next() {
        let (_dir, _library, mut drive) = loaded(None);
        drive.rewind().unwrap();
        write_file(&mut drive, 2);
        let _ = drive.write_block(&[9; 512]).unwrap();
        assert!(matches!(drive.move_to_last_file(), Err(Error::TornEnd { file: 1, .. })));
        let position = drive.to_end_of_data_for_append().unwrap();
        assert_eq!(position, Position { file: 2, object: 5 });
        write_file(&mut drive, 1);
        assert_eq!(drive.move_to_last_file().unwrap(), 2);
    }

    #[test]
    fn a_full_tape_warns_first_and_then_refuses() {
        let (_dir, _library, mut drive) = loaded(Some(64 << 20));
        drive.rewind().unwrap();
        let block = vec![3; 256 << 10];
        let mut warned_at = None;
        let mut written = 0u64;
        let error = loop {
            match drive.write_block(&block) {
                Ok(one) => {
                    written += 1;
                    if one.early_warning {
                        warned_at.get_or_insert(written);
                    } else {
                        assert_eq!(warned_at, None, "early warning is repeated until the end");
                    }
                }
                Err(error) => break error,
            }
            assert!(written < 4096, "the tape never ends");
        };
        assert!(error.is_volume_overflow(), "{error}");
        assert!(warned_at.is_some_and(|at| at < written));
        drive.write_filemarks(1, false).unwrap();
        assert_eq!(drive.position().unwrap(), Position { file: 1, object: written + 1 });
    }

    #[test]
    fn formatted_tapes_are_blank() {
        let (_dir, _library, mut drive) = loaded(None);
        for fast in [true, false] {
            drive.rewind().unwrap();
            write_file(&mut drive, 3);
            drive.set_patience(HASTE);
            drive.format(fast, &Watcher::default()).unwrap();
            assert!(drive.move_to_last_file().unwrap_err().is_missing());
        }
    }

    #[test]
    fn status_and_cartridge_memory() {
        let (_dir, library, mut drive) = loaded(None);
        drive.rewind().unwrap();
        write_file(&mut drive, 3);
        assert_eq!(drive.write_application_attributes(Some("TAPE-1"), Some("daily")).len(), 0);
        let memory = drive.cartridge_memory().unwrap();
        let value = |id| memory.iter().find(|one| one.id == id).map(|one| one.value.as_str());
        assert_eq!(value(0x0800), Some("Capstan"));
        assert_eq!(value(0x0803), Some("TAPE-1"));
        assert_eq!(value(0x0808), Some("daily"));

        let status = drive.status().unwrap();
        assert_eq!(status.density.as_deref(), Some("LTO8"));
        assert!(status.compression && status.blocksize == 0 && status.buffer_mode == 1);
        assert_eq!((status.file_number, status.block_number), (Some(1), Some(4)));
        assert_eq!(status.volume_mounts, Some(1));
        assert!(status.manufactured.is_some() && status.write_protect.is_none());
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["file-number"], 1);
        assert!(json.get("write-protect").is_none() && json.get("drive-activity").is_some());
        assert!(drive.volume_statistics().unwrap().total_native_capacity > 0);
        assert!(drive.remaining_bytes().unwrap() > Some(0));
        assert!(!drive.tape_alerts().unwrap().is_critical());

        let barcode = library.cartridges().unwrap()[0].clone();
        drive.eject().unwrap();
        assert!(!drive.is_ready().unwrap());
        drop(drive);
        let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
        changer.unload(0, None).unwrap();
        library.set_write_protected(&barcode, true).unwrap();
        changer.load(&barcode, 0).unwrap();
        let unit = Box::new(library.drive(0).unwrap());
        let mut drive = Drive::open_with_media(unit, true, &Watcher::default()).unwrap();
        drive.rewind().unwrap();
        assert!(drive.write_block(&[0; 512]).unwrap_err().is_write_protected());
        assert_eq!(drive.status().unwrap().write_protect, Some(true));
    }

    /// Fails each command with this operation code once.
    struct Once(Mutex<Option<(u8, Sense)>>);

    impl vtl::faults::Faults for Once {
        fn on_command(&self, _unit: vtl::Unit, cdb: &[u8]) -> Option<Sense> {
            let mut fault = self.0.lock().unwrap();
            let (opcode, sense) = (*fault)?;
            (cdb.first() == Some(&opcode)).then(|| {
                *fault = None;
                sense
            })
        }
    }

    #[test]
    fn a_reset_while_writing_loses_the_position() {
        let (_dir, library, mut drive) = loaded(None);
        drive.rewind().unwrap();
        write_file(&mut drive, 2);
        let reset = (scsi::command::opcode::WRITE_6, Sense::POWER_ON);
        library.set_faults(Some(std::sync::Arc::new(Once(Mutex::new(Some(reset))))));
        assert!(matches!(drive.write_block(&[1; 512]), Err(Error::PositionLost { .. })));
        assert!(drive.write_block(&[1; 512]).unwrap_err().is_position_lost());
        drive.rewind().unwrap();
        assert_eq!(drive.to_end_of_data_for_append().unwrap().file, 1);
    }
}
