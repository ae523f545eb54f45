//! Faults on demand: what each does to replies, to the tape and to the robot, and that a plan in the
//! library's folder counts across handles and processes.

use std::time::Duration;

use scsi::{Data, Sense, Status, Transport};
use vtl::faults::FaultPlan;
use vtl::{ElementKind, Library};

use crate::host::*;

fn set(rig: &Rig, plan: &str) {
    rig.library.set_faults(Some(plan.parse::<FaultPlan>().unwrap()));
}

/// Sends a command that gets no answer.
#[track_caller]
fn no_answer(host: &mut Host, cdb: &[u8], data: Data<'_>) {
    let error = host.0.execute(cdb, data, Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, scsi::Error::Transport { .. }), "{error}");
}

fn write_cdb(length: usize) -> [u8; 6] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    [0x0a, 0, a, b, c, 0]
}

/// TapeAlert flags, read without clearing them.
fn alerts(host: &mut Host) -> Vec<u32> {
    let page = host.data_in(&[0x4d, 0, 0x12, 0, 0, 0, 0, 0, 64, 0], 64);
    let flags = u64::from_be_bytes(page[8..16].try_into().unwrap());
    (1..=64).filter(|flag| flags >> (64 - flag) & 1 == 1).collect()
}

#[test]
fn a_rule_answers_instead_of_the_unit_so_often_as_it_says() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    set(&rig, "2x drive0 write -> sense 3/0c/00\nonce drive1 write -> busy");
    for _ in 0..2 {
        assert_eq!(drive.write(b"x").map(|s| code(&s)), Some((3, 0x0c, 0)));
        assert_eq!(drive.position(), (0, 0));
    }
    assert_eq!(drive.write(b"x"), None);
    set(&rig, "always drives write -> write-error");
    assert_eq!(drive.write(b"x").and_then(|s| s.information), Some(1));
    assert!(alerts(&mut drive).contains(&6));
    rig.library.set_faults(None);
    assert_eq!(drive.write(b"x"), None);
}

#[test]
fn an_unreadable_record_is_passed_and_the_rest_is_read() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    set(&rig, "always drives read object=1 barcode=CAP001L8 -> unreadable");
    for _ in 0..2 {
        drive.rewind();
        assert_eq!(drive.read_block(1000), (pattern(0, 1000), None));
        let (data, sense) = drive.read_block(2000);
        let sense = sense.unwrap();
        assert_eq!((data.len(), code(&sense), sense.information), (0, (3, 0x11, 0), Some(2000)));
        assert_eq!(drive.position(), (2, 0));
        assert_eq!(drive.read_block(10).1, Some(Sense::FILEMARK.with_information(10)));
    }
    assert!(alerts(&mut drive).contains(&5));
    set(&rig, "always drives read barcode=CAP002L8 -> unreadable");
    drive.rewind();
    assert_eq!(drive.read_block(1000).1, None);
    set(&rig, "once drives space -> unreadable");
    assert_eq!(drive.space(1, 1).map(|s| code(&s)), Some((3, 0x3b, 0)));
}

/// Everything before the last synchronisation stays, everything behind it is gone.
#[test]
fn a_drive_without_power_loses_its_buffer_and_nothing_else() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0]);
    for object in 0..3 {
        assert_eq!(drive.write(&pattern(object, 5000)), None);
    }
    assert_eq!(drive.filemarks(1), None);
    for object in 4..7 {
        assert_eq!(drive.write(&pattern(object, 5000)), None);
    }
    set(&rig, "once drive0 write -> power-loss down=2");
    no_answer(&mut drive, &write_cdb(5000), Data::Out(&pattern(7, 5000)));
    no_answer(&mut drive, &[0; 6], Data::None);
    no_answer(&mut drive, &[0; 6], Data::None);
    drive.fails(&[0; 6], (6, 0x29, 0));
    assert_eq!(drive.position(), (0, 0));
    // Settings are those of a drive that was just switched on.
    assert_eq!(drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12)[9..], [0, 0, 0]);
    for object in 0..3 {
        assert_eq!(drive.read_block(5000), (pattern(object, 5000), None));
    }
    assert_eq!(drive.read_block(5000).1.map(|s| s.filemark), Some(true));
    assert_eq!(drive.read_block(5000).1.map(|s| code(&s)), Some((8, 0, 5)));
    assert_eq!(drive.position(), (4, 1));
    // What is gone stays gone when the cartridge is looked at from outside.
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    rig.changer().good(&move_medium(256, 1024));
    let report = rig.library.check_cartridge("CAP001L8", &()).unwrap();
    assert_eq!((report.blocks, report.filemarks, report.damaged.len()), (3, 1, 0));
}

#[test]
fn motion_and_a_flush_empty_the_buffer() {
    let flushes: [&[u8]; 5] = [
        &[0x10, 0, 0, 0, 0, 0],
        &[0x01, 0, 0, 0, 0, 0],
        &[0x11, 3, 0, 0, 0, 0],
        &[0x2b, 0, 0, 0, 0, 0, 1, 0, 0, 0],
        &[0x92, 0x18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    for flush in flushes {
        let rig = rig(64 * MIB);
        let mut drive = rig.loaded();
        assert_eq!(drive.write(&pattern(1, 5000)), None);
        drive.good(flush);
        set(&rig, "once drive0 ready -> power-loss");
        no_answer(&mut drive, &[0; 6], Data::None);
        drive.fails(&[0; 6], (6, 0x29, 0));
        assert_eq!(drive.read_block(5000), (pattern(1, 5000), None), "{flush:02x?}");
    }
    // Without one the block is gone.
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(1, 5000)), None);
    set(&rig, "once drive0 ready -> power-loss");
    no_answer(&mut drive, &[0; 6], Data::None);
    drive.settle();
    assert_eq!(drive.read_block(5000).1.map(|s| code(&s)), Some((8, 0, 5)));
}

#[test]
fn a_deferred_error_is_about_blocks_that_never_arrived() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(b"kept"), None);
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(drive.write(b"lost"), None);
    set(&rig, "once drive0 filemarks -> deferred 3/0c/00");
    let sense = drive.filemarks(1).unwrap();
    assert_eq!((code(&sense), sense.deferred), ((3, 0x0c, 0), true));
    assert_eq!(drive.position(), (2, 1));
    assert_eq!(drive.read_block(10).1.map(|s| code(&s)), Some((8, 0, 5)));
}

#[test]
fn a_reset_keeps_data_and_loses_position_and_settings() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    set(&rig, "once drive0 position -> reset");
    drive.fails(&[0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0], (6, 0x29, 2));
    assert_eq!(drive.position(), (0, 0));
    assert_eq!(drive.space(3, 0), None);
    assert_eq!(drive.position(), (9, 3));
}

#[test]
fn statuses_and_lost_answers() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    for (word, status) in [
        ("busy", Status::Busy),
        ("conflict", Status::ReservationConflict),
        ("queue-full", Status::TaskSetFull),
    ] {
        set(&rig, &format!("once drive0 ready -> {word}"));
        let reply = drive.send(&[0; 6], Data::None);
        assert_eq!((reply.status, reply.sense), (status, None));
        drive.good(&[0; 6]);
    }
    set(&rig, "once drive0 write -> lost-reply");
    no_answer(&mut drive, &write_cdb(1), Data::Out(b"x"));
    assert_eq!(drive.position(), (1, 0));
    set(&rig, "once drive0 write -> lost-command");
    no_answer(&mut drive, &write_cdb(1), Data::Out(b"x"));
    assert_eq!(drive.position(), (1, 0));
}

#[test]
fn attentions_are_dropped() {
    let rig = rig(64 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    let mut drive = rig.drive(0);
    // Power on is never told; the new medium, which is next, is.
    set(&rig, "once drive0 any -> drop-attention");
    drive.fails(&[0; 6], (6, 0x28, 0));
    drive.good(&[0; 6]);
    set(&rig, "once drive0 ready -> sense 6/28/00");
    drive.fails(&[0; 6], (6, 0x28, 0));
    drive.good(&[0; 6]);
}

#[test]
fn replies_that_are_wrong_about_lengths() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    set(&rig, "once drive0 write -> residual 10");
    let reply = drive.send(&write_cdb(1000), Data::Out(&pattern(0, 1000)));
    assert_eq!((reply.status, reply.transferred), (Status::Good, 990));
    drive.rewind();
    set(&rig, "once drive0 read -> incorrect-length");
    let (data, sense) = drive.read_block(1200);
    let sense = sense.unwrap();
    assert!(sense.incorrect_length);
    assert_eq!((data, sense.information), (pattern(0, 1000), Some(200)));
    // A block of just that length gives no reason to tell anything.
    drive.rewind();
    set(&rig, "once drive0 read -> incorrect-length");
    assert_eq!(drive.read_block(1000), (pattern(0, 1000), None));
}

#[test]
fn a_drive_asks_for_cleaning() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    set(&rig, "once drive0 write -> cleaning requested");
    let sense = drive.write(b"x").unwrap();
    assert_eq!((code(&sense), drive.position()), ((1, 0, 0x17), (1, 0)));
    assert_eq!(alerts(&mut drive), [21]);
    let activity =
        |drive: &mut Host| drive.data_in(&[0x4d, 0, 0x11, 0, 0, 0, 0, 0, 64, 0], 64)[8] & 0x06;
    assert_eq!(activity(&mut drive), 0x04);
    set(&rig, "once drive0 write -> cleaning required");
    assert!(drive.write(b"x").is_some());
    assert_eq!((activity(&mut drive), alerts(&mut drive)), (0x06, vec![20, 21]));
    set(&rig, "once drive0 ready -> alert 3");
    drive.good(&[0; 6]);
    assert_eq!(alerts(&mut drive), [3, 20, 21]);
}

#[test]
fn tab_and_end_of_tape_change_the_cartridge() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    assert_eq!(drive.write(&pattern(0, 100_000)), None);
    set(&rig, "once drive0 write object=1 -> early-warning");
    assert_eq!(drive.write(&pattern(1, 100_000)), Some(Sense::EARLY_WARNING));
    assert_eq!(drive.write(&pattern(2, 100_000)), Some(Sense::EARLY_WARNING));
    set(&rig, "once drive0 write -> end-of-tape");
    assert_eq!(drive.write(&pattern(3, 100_000)).map(|s| code(&s)), Some((0xd, 0, 2)));
    assert_eq!(drive.position(), (3, 0));
    // It is the tape that is short: the next program finds it so.
    rig.library.set_faults(None);
    assert_eq!(drive.write(&pattern(3, 100_000)).map(|s| code(&s)), Some((0xd, 0, 2)));
    assert_eq!(drive.filemarks(1), Some(Sense::EARLY_WARNING));
    set(&rig, "once drive0 write -> protect");
    assert_eq!(drive.write(b"x").map(|s| code(&s)), Some((7, 0x27, 0)));
}

#[test]
fn a_stuck_robot_leaves_the_cartridge_or_keeps_it() {
    let rig = rig(64 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    set(&rig, "2x changer move -> stuck");
    for _ in 0..2 {
        changer.fails(&move_medium(1024, 256), (4, 0x15, 1));
    }
    changer.good(&move_medium(1024, 256));
    set(&rig, "once changer move from=drive -> gripper");
    changer.good(&move_medium(1025, 257));
    changer.fails(&move_medium(256, 1024), (4, 0x15, 1));
    let place_of = |barcode: &str| {
        let elements = rig.library.list().unwrap().elements;
        let found = elements.iter().find(|one| one.barcode.as_deref() == Some(barcode)).unwrap();
        (found.kind, found.address)
    };
    assert_eq!(place_of("CAP001L8"), (ElementKind::Transport, 1));
    // The gripper is told as full, and nothing moves until it is empty.
    let status = changer.data_in(&[0xb8, 0x11, 0, 1, 0, 1, 0, 0, 4, 0, 0, 0], 1024);
    assert_eq!((status[18] & 1, &status[28..36]), (1, &b"CAP001L8"[..]));
    changer.fails(&move_medium(1026, 256), (4, 0x15, 1));
    changer.good(&move_medium(1, 256));
    assert_eq!(place_of("CAP001L8"), (ElementKind::Drive, 256));
    // INITIALIZE ELEMENT STATUS puts it back where it belongs.
    set(&rig, "once changer move -> gripper");
    changer.fails(&move_medium(256, 1029), (4, 0x15, 1));
    changer.good(&[0x07, 0, 0, 0, 0, 0]);
    assert_eq!(place_of("CAP001L8"), (ElementKind::Slot, 1024));
    changer.fails(&move_medium(1024, 1), (5, 0x21, 1));
}

#[test]
fn labels_are_misread_for_as_long_as_the_rule_says() {
    let rig = rig(64 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    let labels = |changer: &mut Host| {
        let status = changer.data_in(&[0xb8, 0x12, 4, 0, 0, 2, 0, 0, 4, 0, 0, 0], 1024);
        let label = |at: usize| String::from_utf8(status[at + 12..at + 20].to_vec()).unwrap();
        (label(16), label(16 + 48), [status[18] & 1, status[18 + 48] & 1])
    };
    set(
        &rig,
        "once changer inventory -> label CAP001L8 CAP009L8\nalways changer inventory -> label CAP002L8",
    );
    assert_eq!(labels(&mut changer), ("CAP009L8".into(), "\0".repeat(8), [1, 1]));
    assert_eq!(labels(&mut changer), ("CAP001L8".into(), "\0".repeat(8), [1, 1]));
    rig.library.set_faults(None);
    assert_eq!(labels(&mut changer).1, "CAP002L8");
}

#[test]
fn a_plan_in_the_folder_counts_for_all_and_stays_used_up() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let mut other = rig.drive(1);
    other.settle();
    let plan = "2x drives log after=1 -> sense 4/44/00".parse::<FaultPlan>().unwrap();
    rig.library.store_faults(&plan).unwrap();
    let log = [0x4d, 0, 0x12, 0, 0, 0, 0, 0, 64, 0];
    assert_eq!(drive.data_in(&log, 64).len(), 16);
    other.fails(&log, (4, 0x44, 0));
    let status = rig.library.stored_faults().unwrap();
    assert_eq!((status[0].met, status[0].fired, status[0].is_used_up), (2, 1, false));
    drive.fails(&log, (4, 0x44, 0));
    other.data_in(&log, 64);
    // Setting it again starts it again.
    rig.library.store_faults(&plan).unwrap();
    assert_eq!(rig.library.stored_faults().unwrap()[0].met, 0);
    drive.data_in(&log, 64);
    drive.fails(&log, (4, 0x44, 0));
    rig.library.clear_stored_faults().unwrap();
    drive.data_in(&log, 64);
    assert!(rig.library.stored_faults().unwrap().is_empty());
}

#[test]
fn a_dump_tells_runs_and_names_damage() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    for _ in 0..3 {
        assert_eq!(drive.write(&pattern(7, 1000)), None);
    }
    assert_eq!(drive.filemarks(2), None);
    assert_eq!(drive.write(b"end"), None);
    drive.good(&[0x1b, 0, 0, 0, 0, 0]);
    rig.changer().good(&move_medium(256, 1024));
    let dump = || rig.library.dump_cartridge("CAP001L8", &()).unwrap().partitions.remove(0);
    let shape = |runs: &[vtl::cartridge::DumpRun]| -> Vec<(u64, u64, u32, u32, bool)> {
        runs.iter()
            .map(|run| (run.object, run.count, run.file, run.length, run.damage.is_some()))
            .collect()
    };
    let whole = dump();
    assert_eq!((whole.objects, whole.filemarks, whole.bytes), (6, 2, 3003));
    let sound = [(0, 3, 0, 1000, false), (3, 2, 0, 0, false), (5, 1, 2, 3, false)];
    assert_eq!(shape(&whole.runs), sound);
    assert_eq!(whole.runs[2].begins_with, "656e64");
    // A byte of the second block is turned over.
    let log = rig.dir.path().join("cartridges/CAP001L8/partition0.log");
    let mut bytes = std::fs::read(&log).unwrap();
    let second = whole.runs[0].offset as usize + 64 + 1024 + 64 + 10;
    bytes[second] ^= 0xff;
    std::fs::write(&log, bytes).unwrap();
    let damaged = shape(&dump().runs);
    let split = [(0, 1, 0, 1000, false), (1, 1, 0, 1000, true), (2, 1, 0, 1000, false)];
    assert_eq!(damaged, [&split[..], &sound[1..]].concat());
}

/// Another process knows the folder only.
pub fn read_log_until_it_works(dir: &std::path::Path) -> u32 {
    let library = Library::open(dir).unwrap();
    let mut drive = Host(Box::new(library.drive(1).unwrap()));
    drive.settle();
    let mut failures = 0;
    let log = [0x4d, 0, 0x12, 0, 0, 0, 0, 0, 64, 0];
    while drive.send(&log, Data::In(&mut [0; 64])).status != Status::Good {
        failures += 1;
    }
    failures
}
