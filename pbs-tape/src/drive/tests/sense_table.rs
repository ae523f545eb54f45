//! The table of conditions (key, code, qualifier) against operations: what the drive code makes of each,
//! and what it believes of the tape's position afterwards.

use super::*;

/// What is under way when the condition comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    Read,
    Write,
    Filemark,
    BlocksForward,
    FilemarksBack,
    Rewind,
    Format,
    Load,
}
use Doing::*;

const ALL: [Doing; 8] = [Read, Write, Filemark, BlocksForward, FilemarksBack, Rewind, Format, Load];
const MOTION: [Doing; 2] = [BlocksForward, FilemarksBack];
/// All but FORMAT MEDIUM, which has a replacement where a drive does not know it.
const REFUSABLE: [Doing; 6] = [Read, Write, Filemark, BlocksForward, FilemarksBack, Rewind];

/// The name of a result's variant, as the table has it.
fn variant(debug: String) -> String {
    debug.chars().take_while(|c| c.is_ascii_alphanumeric()).collect()
}

fn named<T: std::fmt::Debug>(result: Result<T>) -> String {
    match result {
        Ok(value) => variant(format!("{value:?}")),
        Err(error) => variant(format!("{error:?}")),
    }
}

/// How the operation ends if the device answers `sense`, and what is believed of the position.
fn outcome(doing: Doing, sense: Sense) -> (String, Trust) {
    let (mut script, mut drive) = open_at(2, 9);
    let name = match doing {
        Read => {
            script.expect(&read_cdb(BLOCK), Answer::Check(sense));
            named(drive.read_block(&mut [0; BLOCK as usize]))
        }
        Write => {
            script.expect(&write_cdb(BLOCK), Answer::Check(sense));
            match drive.write_block(&[1; BLOCK as usize]) {
                Ok(Written { early_warning: true }) => "EarlyWarning".into(),
                other => named(other),
            }
        }
        Filemark => {
            script.expect(&write_filemarks_cdb(1, false), Answer::Check(sense));
            match drive.write_filemarks(1, false) {
                Ok(()) => "Done".into(),
                other => named(other),
            }
        }
        BlocksForward => {
            script.expect(&blocks(3), Answer::Check(sense));
            named(drive.space_blocks(3))
        }
        FilemarksBack => {
            script.expect(&marks(-3), Answer::Check(sense));
            named(drive.space_filemarks(-3))
        }
        Rewind => {
            script.expect(&rewind_cdb(false), Answer::Check(sense));
            match drive.rewind() {
                Ok(()) => "Done".into(),
                other => named(other),
            }
        }
        Format => {
            script.expect(&format_cdb(false), Answer::Check(sense));
            named(drive.format_medium(false, &Watcher::default()))
        }
        Load => {
            script.expect(&load_cdb(true, false), Answer::Check(sense));
            named(drive.load())
        }
    };
    assert_eq!(script.remaining(), 0, "{doing:?} {sense}");
    (name, drive.trust)
}

fn of(key: u8, asc: u8, ascq: u8) -> Sense {
    Sense::new(SenseKey::from_byte(key), asc, ascq)
}

/// Conditions, operations, the result's name, what is believed of the position afterwards.
type Row = (&'static [(u8, u8, u8)], &'static [Doing], &'static str, Trust);

const LOST: Trust = Trust::Lost;
const UNKNOWN: Trust = Trust::Unknown;
const SURE: Trust = Trust::Sure;

#[test]
fn each_condition_means_one_thing_to_each_operation() {
    let rows: &[Row] = &[
        // Filemarks, ends, warnings: news, not errors.
        (&[(0, 0x00, 0x01)], &[Read], "Filemark", SURE),
        (&[(0, 0x00, 0x01)], &MOTION, "Filemark", SURE),
        (&[(0, 0x00, 0x02), (0, 0x00, 0x07)], &[Write], "EarlyWarning", SURE),
        (&[(0, 0x00, 0x02), (0, 0x00, 0x07)], &[Filemark], "Done", SURE),
        (&[(0, 0x00, 0x04)], &MOTION, "Beginning", SURE),
        (&[(0, 0x00, 0x04)], &[Rewind], "Done", SURE),
        (&[(8, 0x00, 0x05)], &[Read], "EndOfData", SURE),
        (&[(8, 0x00, 0x05)], &MOTION, "EndOfData", SURE),
        (&[(8, 0x14, 0x03)], &[Read], "EndOfData", SURE),
        (&[(8, 0x14, 0x03)], &MOTION, "EndOfData", SURE),
        (&[(8, 0x14, 0x01), (8, 0x14, 0x00)], &MOTION, "Scsi", UNKNOWN),
        (&[(3, 0x14, 0x00), (3, 0x14, 0x01), (3, 0x14, 0x03)], &MOTION, "Medium", UNKNOWN),
        (&[(0xb, 0x14, 0x00), (0xb, 0x14, 0x01), (0xb, 0x14, 0x03)], &MOTION, "Scsi", UNKNOWN),
        (&[(0xd, 0x00, 0x02)], &[Write], "VolumeOverflow", SURE),
        // What the device refuses leaves the tape where it is.
        (&[(5, 0x24, 0x00)], &[Read, Write, Filemark], "Scsi", SURE),
        (&[(5, 0x20, 0x00), (5, 0x26, 0x00)], &REFUSABLE, "Scsi", SURE),
        (&[(5, 0x30, 0x05), (5, 0x53, 0x02)], &ALL, "Scsi", SURE),
        (&[(5, 0x3b, 0x0c)], &[Format], "Scsi", SURE),
        (
            &[(7, 0x27, 0x00), (7, 0x27, 0x02), (7, 0x5a, 0x02), (7, 0x30, 0x00), (7, 0x30, 0x05)],
            &[Write, Filemark, Format],
            "WriteProtected",
            SURE,
        ),
        // Encryption: the drive takes no more keys, or its key was changed while it was locked.
        (&[(7, 0x26, 0x10), (7, 0x2a, 0x13)], &[Write, Filemark], "*", UNKNOWN),
        (&[(7, 0x30, 0x0c), (7, 0x30, 0x0d)], &[Write, Filemark, Format], "Worm", SURE),
        (
            &[(7, 0x74, 0x01), (7, 0x74, 0x02), (7, 0x74, 0x03), (7, 0x74, 0x04), (7, 0x74, 0x05)],
            &[Read],
            "Undecryptable",
            SURE,
        ),
        // The tape is not there, or is another one.
        (&[(2, 0x3a, 0x00), (2, 0x3a, 0x04)], &ALL, "NoMedium", LOST),
        (&[(2, 0x30, 0x03), (2, 0x30, 0x07)], &ALL, "CleaningCartridge", LOST),
        (
            &[
                (6, 0x28, 0x00),
                (6, 0x29, 0x00),
                (6, 0x29, 0x01),
                (6, 0x29, 0x02),
                (6, 0x29, 0x03),
                (6, 0x29, 0x07),
                (6, 0x2a, 0x01),
                (6, 0x2a, 0x03),
                (6, 0x2a, 0x04),
                (6, 0x2a, 0x05),
                (6, 0x2f, 0x00),
                (6, 0x3f, 0x01),
                (6, 0x3f, 0x03),
                (6, 0x5a, 0x01),
            ],
            &ALL,
            "PositionLost",
            LOST,
        ),
        // Data commands check encryption and go on (tests of encryption); motions stop.
        (
            &[(6, 0x2a, 0x11), (6, 0x2a, 0x12), (6, 0x2a, 0x13)],
            &[BlocksForward, FilemarksBack, Rewind, Format],
            "PositionLost",
            LOST,
        ),
        // Something failed underway: where the tape stands has to be asked.
        (
            &[(2, 0x04, 0x01), (2, 0x04, 0x02), (2, 0x04, 0x04), (2, 0x04, 0x07)],
            &ALL,
            "Scsi",
            UNKNOWN,
        ),
        (&[(2, 0x04, 0x03), (2, 0x04, 0x12), (2, 0x31, 0x00)], &ALL, "Scsi", UNKNOWN),
        (
            &[(2, 0x53, 0x00), (2, 0x53, 0x04), (4, 0x53, 0x00), (4, 0x53, 0x04)],
            &ALL,
            "Scsi",
            UNKNOWN,
        ),
        (
            &[(2, 0x30, 0x00), (3, 0x30, 0x01), (3, 0x30, 0x02), (3, 0x30, 0x05)],
            &[Read, Write],
            "*",
            UNKNOWN,
        ),
        (
            &[(2, 0x30, 0x00), (3, 0x30, 0x01), (3, 0x30, 0x02), (4, 0x30, 0x05)],
            &[Load],
            "IncompatibleMedium",
            UNKNOWN,
        ),
        (&[(4, 0x10, 0x01), (4, 0x10, 0x04)], &[Write], "*", UNKNOWN),
        (&[(0xb, 0x00, 0x00), (0xb, 0x47, 0x03), (0xb, 0x4b, 0x00)], &ALL, "Scsi", UNKNOWN),
        (
            &[(3, 0x11, 0x00), (3, 0x0c, 0x00), (3, 0x31, 0x00), (3, 0x53, 0x00), (3, 0x53, 0x04)],
            &ALL,
            "Medium",
            UNKNOWN,
        ),
        (&[(4, 0x44, 0x00), (4, 0x82, 0x00)], &ALL, "Scsi", UNKNOWN),
        // Codes of one maker, shown as numbers.
        (&[(4, 0xee, 0x00), (2, 0xef, 0x01)], &ALL, "Scsi", UNKNOWN),
    ];
    let mut wrong = Vec::new();
    for (conditions, operations, expected, trust) in rows {
        for (key, asc, ascq) in conditions.iter() {
            for doing in operations.iter() {
                let (name, found) = outcome(*doing, of(*key, *asc, *ascq));
                // A star: whichever error tells it best, but an error.
                let is_error = !["Block", "Written", "EarlyWarning", "Done", "Filemark"]
                    .contains(&name.as_str());
                let fits = name == *expected || (*expected == "*" && is_error);
                if !fits || found != *trust {
                    wrong.push(format!(
                        "{key:x}/{asc:02x}/{ascq:02x} {doing:?}: {name} {found:?}, \
                         expected {expected} {trust:?}"
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Some devices tell of another length although SILI is set.
#[test]
fn another_length_in_spite_of_sili_still_gives_the_block() {
    let ili = |information: Option<i64>| {
        let sense = of(0, 0, 0).with_incorrect_length();
        information.map_or(sense, |value| sense.with_information(value))
    };
    let read = |sense: Sense, sent: usize| {
        let (mut script, mut drive) = open_at(2, 9);
        script.expect(&read_cdb(BLOCK), Answer::BytesAndCheck(vec![7; sent], sense));
        let found = drive.read_block(&mut [0; BLOCK as usize]);
        assert_eq!(script.remaining(), 0);
        (found, drive.trust)
    };
    // Shorter: what was asked for without what is missing, whatever the adapter's count says.
    for sent in [1000, BLOCK as usize] {
        let (found, trust) = read(ili(Some(i64::from(BLOCK) - 1000)), sent);
        assert_eq!((found.unwrap(), trust), (crate::drive::Read::Block(1000), SURE));
    }
    assert_eq!(read(ili(None), 1000).0.unwrap(), crate::drive::Read::Block(1000));
    // Longer: an error that tells the length, and the tape stands behind the block.
    let (found, trust) = read(ili(Some(-5)), BLOCK as usize);
    assert!(matches!(found, Err(Error::BlockTooLong { block_bytes, limit_bytes, .. })
            if block_bytes == u64::from(BLOCK) + 5 && limit_bytes == u64::from(BLOCK)),);
    assert_eq!(trust, SURE);
}

#[test]
fn a_deferred_condition_is_never_about_the_command_that_met_it() {
    for code in [(0, 0x00, 0x01), (0, 0x00, 0x02), (8, 0x00, 0x05), (3, 0x0c, 0x00), (0xd, 0, 2)] {
        let sense = of(code.0, code.1, code.2).as_deferred();
        for doing in [Read, Write, Filemark, BlocksForward] {
            assert_eq!(outcome(doing, sense), ("Deferred".into(), UNKNOWN), "{sense} {doing:?}");
        }
    }
}

#[test]
fn a_request_for_cleaning_is_success_and_remembered() {
    for (key, asc, ascq) in [(0, 0x00, 0x17), (1, 0x00, 0x17), (0, 0x82, 0x82)] {
        let (mut script, mut drive) = open_at(2, 9);
        script.expect(&write_cdb(BLOCK), Answer::Check(of(key, asc, ascq)));
        assert!(!drive.write_block(&[1; BLOCK as usize]).unwrap().early_warning);
        assert!(drive.is_cleaning_requested(), "{key:x}/{asc:02x}/{ascq:02x}");
        assert_eq!(drive.trust, SURE);
    }
}

/// Conditions, and what waiting for a tape does about them.
type WaitingRow = (&'static [(u8, u8, u8)], Waiting);

/// What waiting for a tape does about a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Asks again.
    GoesOn,
    /// Ends at once with an error of this name.
    Ends(&'static str),
}

#[test]
fn waiting_for_a_tape_ends_where_waiting_cannot_help() {
    use Waiting::*;
    let rows: &[WaitingRow] = &[
        (&[(2, 0x04, 0x01), (2, 0x04, 0x04), (2, 0x04, 0x07)], GoesOn),
        (&[(2, 0x04, 0x02), (2, 0x04, 0x03), (2, 0x04, 0x12)], GoesOn),
        (&[(2, 0x31, 0x00), (3, 0x31, 0x00)], GoesOn),
        (&[(6, 0x28, 0x00), (6, 0x29, 0x00), (6, 0x2a, 0x01), (6, 0x3f, 0x01)], GoesOn),
        (&[(0xb, 0x47, 0x03)], GoesOn),
        (&[(2, 0x3a, 0x00), (2, 0x3a, 0x04)], Ends("NoMedium")),
        (&[(2, 0x30, 0x03), (2, 0x30, 0x07)], Ends("CleaningCartridge")),
        (&[(2, 0x30, 0x00), (3, 0x30, 0x02), (3, 0x30, 0x01)], Ends("IncompatibleMedium")),
        (&[(3, 0x11, 0x00), (3, 0x53, 0x04)], Ends("Medium")),
        (&[(2, 0x53, 0x00), (2, 0x53, 0x04), (4, 0x53, 0x00), (4, 0x44, 0x00)], Ends("Scsi")),
        (&[(5, 0x20, 0x00)], Ends("Scsi")),
    ];
    for (conditions, expected) in rows {
        for (key, asc, ascq) in conditions.iter() {
            let (mut script, mut drive) = open();
            script.expect_check(&test_unit_ready_cdb(), of(*key, *asc, *ascq));
            if *expected == GoesOn {
                script.expect_good(&test_unit_ready_cdb());
            }
            let found = match drive.wait_ready(false, &Watcher::default()) {
                Ok(()) => "ready".to_string(),
                other => named(other),
            };
            let wanted = match expected {
                GoesOn => "ready",
                Ends(name) => name,
            };
            assert_eq!(found, wanted, "{key:x}/{asc:02x}/{ascq:02x}");
            assert_eq!(script.remaining(), 0, "{key:x}/{asc:02x}/{ascq:02x}");
        }
    }
}

#[test]
fn who_waits_for_an_operator_says_so() {
    let (mut script, mut drive) = open();
    script.expect_check(&test_unit_ready_cdb(), of(2, 0x04, 0x03));
    script.expect_good(&test_unit_ready_cdb());
    let watcher = Watcher::default();
    drive.wait_ready(false, &watcher).unwrap();
    let notes = watcher.notes.lock().unwrap().join("\n");
    assert!(notes.contains("operator") && notes.contains("2/04/03"), "{notes}");
}
