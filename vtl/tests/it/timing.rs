//! A library that keeps time, on the virtual clock. Times are computed by hand from the tables in
//! `vtl/src/timing.rs` and the geometry of the tape.

use std::time::Duration;

use scsi::Data;
use vtl::{Generation, Options, Timing};

use crate::host::{BLOCK, Host, MIB, Rig, code, move_medium, pattern, rig_with, small};

const BUSY: (u8, u8, u8) = (2, 0x04, 0x07);
const LOADING: (u8, u8, u8) = (2, 0x04, 0x01);
const TEST_UNIT_READY: [u8; 6] = [0; 6];

fn seconds(seconds: f64) -> Duration {
    Duration::from_millis((seconds * 1000.0) as u64)
}

fn timed(generation: Generation) -> Rig {
    rig_with(&Options {
        generation,
        timing: Timing::Virtual,
        // 1 MiB for each of an LTO-8 tape's 208 wraps.
        capacity_bytes: Some(208 * MIB),
        ..small()
    })
}

/// Drive 0 with the cartridge of slot 1, ready.
fn ready(rig: &Rig) -> Host {
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    changer.good(&move_medium(1024, 256));
    drive.fails(&TEST_UNIT_READY, LOADING);
    rig.library.clock().advance(seconds(3.0 * 3600.0));
    drive.settle();
    drive.good(&TEST_UNIT_READY);
    drive
}

/// The time that work takes.
fn time(rig: &Rig, work: impl FnOnce()) -> Duration {
    let before = rig.library.clock().now();
    work();
    rig.library.clock().now() - before
}

fn activity(drive: &mut Host) -> [u8; 3] {
    let page = drive.data_in(&[0x4d, 0, 0x51, 0, 0, 0, 0, 1, 0, 0], 256);
    page[8..11].try_into().unwrap()
}

/// TEST UNIT READY until the drive is no longer busy with `condition`: how many were.
fn polls(drive: &mut Host, condition: (u8, u8, u8)) -> u32 {
    for count in 0..200 {
        match drive.send(&TEST_UNIT_READY, Data::None).sense {
            Some(sense) if code(&sense) == condition => {}
            _ => return count,
        }
    }
    panic!("the drive stays busy")
}

#[test]
fn a_cartridge_is_threaded_for_a_while_and_then_told() {
    let rig = timed(Generation::Lto8);
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    let clock = rig.library.clock();
    assert_eq!(time(&rig, || changer.good(&move_medium(1024, 256))), seconds(15.0));
    // 15 s of threading begin here; each command that meets it takes a second.
    assert_eq!(drive.check(&TEST_UNIT_READY).progress, Some(0));
    assert_eq!(activity(&mut drive), [0x11, 0x34, 0x02]);
    let sense = drive.data_in(&[0x03, 0, 0, 0, 252, 0], 252);
    assert_eq!((sense[2], sense[12], sense[13]), (0x02, 0x04, 0x01));
    assert_eq!(sense[15..18], [0x80, 0x33, 0x33], "3 of 15 s, in 1/65536");
    drive.fails(&[0x34, 0x06, 0, 0, 0, 0, 0, 0, 0, 0], LOADING);
    assert_eq!(clock.now(), seconds(19.0));
    clock.advance(seconds(11.0));
    drive.fails(&TEST_UNIT_READY, (6, 0x28, 0x00));
    drive.good(&TEST_UNIT_READY);
    assert_eq!(activity(&mut drive), [0x31, 0x37, 0x00]);
    assert_eq!(clock.now(), seconds(30.0), "an idle drive does not move the clock");
}

#[test]
fn winding_takes_as_long_as_the_way() {
    let rig = timed(Generation::Lto8);
    let mut drive = ready(&rig);
    // Half of the first wrap, 480 of 960 m: 48 s at 10 m/s.
    for object in 0..2 {
        assert_eq!(drive.write(&pattern(object, BLOCK)), None);
    }
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(time(&rig, || drive.rewind()), seconds(49.5));
    assert_eq!(time(&rig, || drive.rewind()), seconds(0.0));
    assert_eq!(time(&rig, || assert_eq!(drive.space(1, 1), None)), seconds(49.5));
    // Back to a quarter of the wrap: 24 s, and turning round to read forward.
    assert_eq!(time(&rig, || assert_eq!(drive.locate(0, 1), None)), seconds(1.5 + 24.0 + 2.0));
    // Unloading rewinds first.
    assert_eq!(
        time(&rig, || drive.good(&[0x1b, 0, 0, 0, 0, 0])),
        seconds(1.5 + 24.0) + seconds(17.0)
    );
    drive.fails(&TEST_UNIT_READY, (2, 0x3a, 0));
    assert_eq!(time(&rig, || drive.good(&[0x1b, 0, 0, 0, 1, 0])), seconds(15.0));
    drive.fails(&TEST_UNIT_READY, (6, 0x28, 0));
}

#[test]
fn immediate_commands_end_at_once_and_leave_the_drive_busy() {
    let rig = timed(Generation::Lto8);
    let mut drive = ready(&rig);
    for object in 0..2 {
        assert_eq!(drive.write(&pattern(object, BLOCK)), None);
    }
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(time(&rig, || drive.good(&[0x01, 1, 0, 0, 0, 0])), Duration::ZERO);
    assert_eq!(activity(&mut drive), [0x31, 0x37, 0x08]);
    assert_eq!(drive.write(b"x").map(|sense| code(&sense)), Some(BUSY));
    // INQUIRY is answered meanwhile.
    assert_eq!(drive.data_in(&[0x12, 0, 0, 0, 36, 0], 36).len(), 36);
    assert_eq!(polls(&mut drive, BUSY), 50 - 3, "49.5 s in seconds, three of them spent above");
    assert_eq!(drive.position(), (0, 0));
    // LOCATE(16) to object 2, LOCATE(10) to object 0, unload and load.
    drive.good(&[0x92, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]);
    assert_eq!(activity(&mut drive)[2], 0x07);
    assert!(polls(&mut drive, BUSY) > 0);
    assert_eq!(drive.position(), (2, 0));
    drive.good(&[0x2b, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(polls(&mut drive, BUSY) > 0);
    drive.good(&[0x1b, 1, 0, 0, 0, 0]);
    assert_eq!(activity(&mut drive)[2], 0x03);
    assert_eq!(polls(&mut drive, BUSY), 16);
    drive.fails(&TEST_UNIT_READY, (2, 0x3a, 0));
    drive.good(&[0x1b, 1, 0, 0, 1, 0]);
    assert_eq!(polls(&mut drive, LOADING), 15);
    // An immediate motion that cannot end well says so at once.
    assert!(drive.locate(0, 99).is_some_and(|sense| sense.is_end_of_data()));
}

#[test]
fn erasing_and_formatting_go_on_for_hours_and_end_within_fifty_polls() {
    let rig = timed(Generation::Lto8);
    let mut drive = ready(&rig);
    assert_eq!(drive.write(b"data"), None);
    drive.rewind();
    // A whole tape of 12 TB at 360 MB/s, although this one holds less.
    let erased = time(&rig, || drive.good(&[0x19, 0x01, 0, 0, 0, 0]));
    assert_eq!(erased.as_secs(), 33_333);
    assert_eq!(time(&rig, || drive.good(&[0x19, 0, 0, 0, 0, 0])), seconds(5.0));
    drive.good(&[0x19, 0x03, 0, 0, 0, 0]);
    assert_eq!(activity(&mut drive)[2], 0x09);
    let mut changer = rig.changer();
    changer.fails(&move_medium(256, 1024), (5, 0x53, 0x02));
    assert_eq!(polls(&mut drive, BUSY), 48);
    drive.good(&[0x04, 0x01, 0, 0, 0, 0]);
    assert_eq!(activity(&mut drive)[2], 0x0a);
    assert!(drive.check(&TEST_UNIT_READY).progress.is_some_and(|done| done > 0));
    assert!(polls(&mut drive, (2, 0x04, 0x04)) <= 50);
    drive.good(&TEST_UNIT_READY);
    assert_eq!(time(&rig, || drive.good(&[0x04, 0, 0, 0, 0, 0])), seconds(120.0));
}

/// What the calibration of the cartridge takes, from its memory file.
fn calibration(rig: &Rig) -> Duration {
    let path = rig.dir.path().join("cartridges/CAP001L9/cartridge.json");
    let text = std::fs::read_to_string(path).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    let id = u64::from_str_radix(state["id"].as_str().unwrap(), 16).unwrap();
    Duration::from_secs(60 * (40 + id % 81))
}

#[test]
fn an_lto9_cartridge_is_calibrated_once_in_its_life() {
    let rig = timed(Generation::Lto9);
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    changer.good(&move_medium(1024, 256));
    let begin = rig.library.clock().now();
    let lasts = calibration(&rig);
    assert_eq!(polls(&mut drive, LOADING), 16 + 50);
    let took = rig.library.clock().now() - begin;
    assert_eq!(took.as_secs(), 16 + lasts.as_secs());
    drive.settle();
    drive.good(&TEST_UNIT_READY);
    // The robot takes it out and brings it again: it is only threaded.
    changer.good(&move_medium(256, 1024));
    changer.good(&move_medium(1024, 256));
    assert_eq!(polls(&mut drive, LOADING), 16);
}

#[test]
fn an_interrupted_calibration_begins_anew() {
    let rig = timed(Generation::Lto9);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    let mut drive = rig.drive(0);
    drive.settle();
    rig.library.clock().advance(seconds(600.0));
    drive.fails(&TEST_UNIT_READY, LOADING);
    assert_eq!(activity(&mut drive), [0x11, 0x34, 0x0b]);
    drop(drive);
    let mut drive = rig.drive(0);
    assert_eq!(polls(&mut drive, LOADING), 50);
    drive.settle();
    drive.good(&TEST_UNIT_READY);
}

#[test]
fn the_robot_takes_its_time() {
    let rig = timed(Generation::Lto8);
    let mut changer = rig.changer();
    changer.settle();
    assert_eq!(time(&rig, || changer.good(&move_medium(1024, 1028))), seconds(15.4));
    assert_eq!(time(&rig, || changer.good(&move_medium(1028, 257))), seconds(15.4));
    // 1 gripper, 6 slots, 2 import/export slots, 2 drives.
    assert_eq!(time(&rig, || changer.good(&[0x07, 0, 0, 0, 0, 0])), seconds(11.0));
    // A drive that is loaded unloads for the robot: it was never written, so it stands rewound.
    let mut drive = rig.drive(1);
    drive.settle();
    rig.library.clock().advance(seconds(60.0));
    drive.settle();
    assert_eq!(time(&rig, || changer.good(&move_medium(257, 1024))), seconds(17.0 + 15.0));
}

#[test]
fn without_a_clock_nothing_is_ever_busy() {
    let rig = rig_with(&Options { generation: Generation::Lto9, ..small() });
    let mut drive = rig.loaded();
    assert_eq!(drive.write(b"data"), None);
    for cdb in [[0x01, 1, 0, 0, 0, 0], [0x19, 3, 0, 0, 0, 0], [0x04, 1, 0, 0, 0, 0]] {
        drive.good(&cdb);
        drive.good(&TEST_UNIT_READY);
    }
    assert_eq!(rig.library.clock().now(), Duration::ZERO);
}

#[test]
fn cleaning_takes_two_minutes_and_ends_unloaded() {
    for timing in [Timing::Virtual, Timing::None] {
        let rig = rig_with(&Options { cartridges: 0, timing, ..small() });
        rig.library.add_cartridge("CLN001L8", None).unwrap();
        let mut changer = rig.changer();
        changer.settle();
        let mut drive = rig.drive(0);
        drive.settle();
        rig.library.set_faults(Some("once drive0 ready -> cleaning requested".parse().unwrap()));
        let _ = drive.send(&TEST_UNIT_READY, Data::None);
        rig.library.set_faults(None);
        assert_eq!(activity(&mut drive)[0] & 0x04, 0x04, "cleaning is requested");
        changer.good(&move_medium(1024, 256));
        if timing == Timing::Virtual {
            drive.fails(&TEST_UNIT_READY, (2, 0x30, 0x03));
            assert_eq!(activity(&mut drive)[1..], [0x34, 0x01]);
            changer.fails(&move_medium(256, 1024), (5, 0x53, 0x02));
            // Polls of 2.4 s, three of which are spent.
            assert_eq!(polls(&mut drive, (2, 0x30, 0x03)), 47);
        }
        drive.fails(&TEST_UNIT_READY, (2, 0x3a, 0x00));
        assert_eq!(activity(&mut drive)[0] & 0x06, 0, "nothing asks for cleaning");
        let alerts = drive.data_in(&[0x4d, 0, 0x6e, 0, 0, 0, 0, 2, 0, 0], 512);
        let raised: Vec<u8> =
            alerts[4..].chunks(5).filter(|flag| flag[4] != 0).map(|flag| flag[1]).collect();
        assert_eq!(raised, [0u8; 0], "flags 11, 20 and 21 are over");
        changer.good(&move_medium(256, 1024));
    }
}

/// A number in the memory file of the cleaning cartridge.
fn cleaner_memory(rig: &Rig) -> (u64, bool) {
    let text = std::fs::read_to_string(cleaner_path(rig)).unwrap();
    let state: serde_json::Value = serde_json::from_str(&text).unwrap();
    (state["cleanings_left"].as_u64().unwrap(), state["cleaning_begun"] == true)
}

fn cleaner_path(rig: &Rig) -> std::path::PathBuf {
    rig.dir.path().join("cartridges/CLN001L8/cartridge.json")
}

#[test]
fn an_interrupted_cleaning_costs_no_second_use() {
    let rig = rig_with(&Options { cartridges: 0, timing: Timing::Virtual, ..small() });
    rig.library.add_cartridge("CLN001L8", None).unwrap();
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    changer.good(&move_medium(1024, 256));
    drive.fails(&TEST_UNIT_READY, (2, 0x30, 0x03));
    assert_eq!(cleaner_memory(&rig), (49, true));
    let interrupted = std::fs::read(cleaner_path(&rig)).unwrap();
    rig.library.clock().advance(seconds(120.0));
    drive.fails(&TEST_UNIT_READY, (2, 0x3a, 0x00));
    assert_eq!(cleaner_memory(&rig), (49, false));
    // The memory as a killed program had left it: the next drive begins anew.
    std::fs::write(cleaner_path(&rig), interrupted).unwrap();
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    assert_eq!(cleaner_memory(&rig), (49, false));
    // A new cleaning is a new use.
    drive.good(&[0x1b, 0, 0, 0, 1, 0]);
    assert_eq!(cleaner_memory(&rig), (48, false));
}

#[test]
fn the_memory_of_a_cleaning_cartridge_tells_what_it_is() {
    let rig = rig_with(&Options { cartridges: 0, timing: Timing::Virtual, ..small() });
    rig.library.add_cartridge("CLN001L8", None).unwrap();
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    changer.good(&move_medium(1024, 256));
    let from_0408 = [0x8c, 0, 0, 0, 0, 0, 0, 0, 0x04, 0x08, 0, 0, 1, 0, 0, 0];
    let attributes = drive.data_in(&from_0408, 256);
    // 0408h: a cleaning cartridge; 0409h: for 50 uses. Then 040Bh.
    let expected = [4, 8, 0x80, 0, 1, 1, 4, 9, 0x80, 0, 2, 0, 50, 4, 0x0b];
    assert_eq!(attributes[4..19], expected);
    rig.library.clock().advance(seconds(120.0));
    drive.fails(&from_0408, (2, 0x3a, 0x00));
}

#[test]
fn alerts_about_a_cartridge_are_over_when_another_one_comes() {
    let rig = rig_with(&small());
    let mut drive = rig.loaded();
    // 5: read failure; 9: write protected; 30: the drive's hardware; 20: clean now.
    for flag in [5, 9, 30, 20] {
        rig.library.set_faults(Some(format!("once drive0 ready -> alert {flag}").parse().unwrap()));
        drive.good(&TEST_UNIT_READY);
    }
    rig.library.set_faults(None);
    // Page 12h shows them and leaves them.
    let alerts = |drive: &mut Host| {
        let page = drive.data_in(&[0x4d, 0, 0x52, 0, 0, 0, 0, 1, 0, 0], 256);
        u64::from_be_bytes(page[8..16].try_into().unwrap())
    };
    let flags =
        |numbers: &[u32]| numbers.iter().fold(0, |flags, number| flags | 1 << (64 - number));
    assert_eq!(alerts(&mut drive), flags(&[5, 9, 20, 30]));
    let mut changer = rig.changer();
    changer.good(&move_medium(256, 1024));
    assert_eq!(alerts(&mut drive), flags(&[5, 9, 20, 30]), "the drive is empty, and told so");
    changer.good(&move_medium(1025, 256));
    drive.settle();
    assert_eq!(alerts(&mut drive), flags(&[20, 30]));
}

#[test]
fn an_lto10_cartridge_is_not_calibrated() {
    let rig = timed(Generation::Lto10);
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    changer.good(&move_medium(1024, 256));
    assert_eq!(polls(&mut drive, LOADING), 16);
}

#[test]
fn a_drive_that_nobody_has_open_cleans_too_until_the_cartridge_is_used_up() {
    let rig = rig_with(&Options { cartridges: 0, timing: Timing::Virtual, ..small() });
    rig.library.add_cartridge("CLN001L8", None).unwrap();
    let mut changer = rig.changer();
    changer.settle();
    for _ in 0..50 {
        let took = time(&rig, || changer.good(&move_medium(1024, 256)));
        assert_eq!(took, seconds(15.0 + 120.0));
        changer.good(&move_medium(256, 1024));
    }
    assert!(time(&rig, || changer.good(&move_medium(1024, 256))) < seconds(60.0));
    let mut drive = rig.drive(0);
    drive.settle();
    drive.fails(&TEST_UNIT_READY, (2, 0x30, 0x0b));
    let alerts = drive.data_in(&[0x4d, 0, 0x6e, 0, 0, 0, 0, 2, 0, 0], 512);
    assert_eq!(alerts[4 + 21 * 5 + 4], 1, "TapeAlert 22");
    changer.good(&move_medium(256, 1024));
}
