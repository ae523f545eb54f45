//! Several handles, several processes, and processes that are killed.
//!
//! A second process is this test program started again with a role in its environment; the test
//! named `other_process` is its body and does nothing when it is run as a test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use vtl::Library;

use crate::host::*;

const ROLE: &str = "CAPSTAN_VTL_TEST_ROLE";
const DIR: &str = "CAPSTAN_VTL_TEST_DIR";

struct Other {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

/// Starts this program again in a role and waits until it says that it is ready.
fn start(role: &str, dir: &Path) -> Other {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sharing::other_process", "--nocapture"])
        .env(ROLE, role)
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().contains("ready")), "{role} did not start");
    Other { child, lines }
}

impl Other {
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets it end, which it does when its standard input closes.
    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

fn wait_for_end_of_input() {
    let mut line = String::new();
    while std::io::stdin().lock().read_line(&mut line).unwrap() > 0 {}
}

#[test]
fn other_process() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let dir = std::env::var(DIR).unwrap();
    let library = Library::open(Path::new(&dir)).unwrap();
    match role.as_str() {
        "hold drive 0" => {
            let mut drive = Host(Box::new(library.drive(0).unwrap()));
            drive.settle();
            println!("ready");
            wait_for_end_of_input();
        }
        "meet faults" => {
            println!("ready");
            println!("failures {}", crate::faults::read_log_until_it_works(Path::new(&dir)));
        }
        "hold drive 0 unloaded" => {
            let mut drive = Host(Box::new(library.drive(0).unwrap()));
            drive.settle();
            drive.good(&[0x1b, 0, 0, 0, 0, 0]);
            println!("ready");
            wait_for_end_of_input();
            // What the other process did meanwhile.
            drive.fails(&[0; 6], (2, 0x3a, 0));
            drive.fails(&[0x1b, 0, 0, 0, 1, 0], (2, 0x3a, 0));
        }
        "hold drive 0 empty" => {
            let mut drive = Host(Box::new(library.drive(0).unwrap()));
            drive.settle();
            drive.fails(&[0; 6], (2, 0x3a, 0));
            println!("ready");
            wait_for_end_of_input();
            drive.fails(&[0; 6], (6, 0x28, 0));
            drive.good(&[0; 6]);
            assert_eq!(drive.write(b"by the other process"), None);
        }
        "write until killed" => {
            let mut drive = Host(Box::new(library.drive(0).unwrap()));
            drive.settle();
            println!("ready");
            for number in 0u64.. {
                if drive.write(&pattern(number, 10_000 + number as usize % 777)).is_some() {
                    break;
                }
                if number % 16 == 15 {
                    drive.filemarks(1);
                    println!("{number}");
                }
            }
        }
        "fill the disk" => {
            let mut drive = Host(Box::new(library.drive(0).unwrap()));
            drive.settle();
            let block = pattern(1, BLOCK);
            let mut stored = 0u64;
            let error = loop {
                let [_, a, b, c] = (BLOCK as u32).to_be_bytes();
                let write = [0x0a, 0, a, b, c, 0];
                let timeout = std::time::Duration::from_secs(60);
                match drive.0.execute(&write, scsi::Data::Out(&block), timeout) {
                    Ok(reply) => assert_eq!(reply.sense, None),
                    Err(error) => break error,
                }
                stored += 1;
            };
            // The failure names the device and is no sense data; the tape is as before the write.
            assert!(
                matches!(&error, scsi::Error::Io { device, .. } if device.ends_with("#drive0"))
            );
            assert_eq!(drive.position(), (stored, 0));
            assert_eq!(drive.write(b"small"), None);
            assert_eq!(drive.filemarks(1), None);
            drive.rewind();
            for _ in 0..stored {
                assert!(drive.read_block(BLOCK).0 == block);
            }
            assert_eq!(drive.read_block(BLOCK).0, b"small");
            println!("ready");
        }
        "move about" => {
            println!("ready");
            let mut changer = Host(Box::new(library.changer().unwrap()));
            for _ in 0..40 {
                changer.send(&move_medium(1025, 1029), scsi::Data::None);
                changer.send(&move_medium(1029, 1025), scsi::Data::None);
            }
        }
        role => panic!("{role}"),
    }
}

#[test]
fn a_drive_in_use_elsewhere_cannot_be_opened_or_emptied() {
    let rig = rig(64 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    let other = start("hold drive 0", rig.dir.path());
    let error = rig.library.drive(0).err().unwrap();
    assert!(error.is_retryable() && error.to_string().contains("drive 0"), "{error}");
    let error = vtl::open_unit(rig.dir.path(), vtl::Unit::Drive(0)).err().unwrap();
    assert!(error.to_string().contains("in use"), "{error}");
    changer.fails(&move_medium(256, 1024), (5, 0x53, 2));
    // The rest of the library goes on.
    changer.good(&move_medium(1025, 257));
    rig.drive(1).settle();
    assert_eq!(rig.library.list().unwrap().elements[0].barcode.as_deref(), Some("CAP001L8"));
    other.kill();
    changer.good(&move_medium(256, 1024));
    rig.drive(0).settle();
}

#[test]
fn an_unloaded_cartridge_can_be_taken_from_under_the_holder() {
    let rig = rig(64 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    let other = start("hold drive 0 unloaded", rig.dir.path());
    changer.good(&move_medium(256, 1024));
    other.end();
}

#[test]
fn a_cartridge_put_into_a_held_drive_is_noticed() {
    let rig = rig(64 * MIB);
    let other = start("hold drive 0 empty", rig.dir.path());
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    other.end();
    let mut drive = rig.drive(0);
    // That process was told of the new cartridge; this machine knows.
    assert_eq!(drive.position(), (1, 0));
    drive.rewind();
    assert_eq!(drive.read_block(100).0, b"by the other process");
}

#[test]
fn a_killed_writer_leaves_a_valid_tape_and_its_position() {
    for _ in 0..3 {
        let rig = rig(512 * MIB);
        let mut changer = rig.changer();
        changer.settle();
        changer.good(&move_medium(1024, 256));
        let mut other = start("write until killed", rig.dir.path());
        let mut synchronised = 0;
        for _ in 0..3 {
            synchronised = other.next().trim().parse::<u64>().unwrap();
        }
        other.kill();
        let mut drive = rig.drive(0);
        let (position, file) = drive.position();
        drive.locate(3, 0);
        let (end, _) = drive.position();
        // The record may be on the tape and the process gone before it noted its position.
        assert!(end == position || end == position + 1, "{end} {position}");
        assert!(file >= 3);
        drive.rewind();
        let mut number = 0;
        for object in 0..end {
            let (data, sense) = drive.read_block(20_000);
            if object % 17 == 16 {
                assert!(sense.unwrap().filemark);
                continue;
            }
            assert_eq!(sense, None);
            assert!(data == pattern(number, 10_000 + number as usize % 777), "block {number}");
            number += 1;
        }
        assert!(number > synchronised);
        assert_eq!(drive.write(b"and on"), None);
    }
}

/// A limit on the size of files stands for a full disk: the log can't grow beyond it.
#[test]
fn a_full_disk_is_told_and_costs_nothing_that_is_recorded() {
    let rig = rig(512 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 9000; exec \"$0\" --exact sharing::other_process --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(ROLE, "fill the disk")
        .env(DIR, rig.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("ready"), "{said}");
}

#[test]
fn moves_of_two_processes_never_lose_a_cartridge() {
    let rig = rig(MIB);
    let other = start("move about", rig.dir.path());
    let mut changer = rig.changer();
    changer.settle();
    for _ in 0..40 {
        changer.send(&move_medium(1025, 1028), scsi::Data::None);
        changer.send(&move_medium(1028, 1025), scsi::Data::None);
    }
    other.end();
    let cartridges = rig.library.cartridges().unwrap();
    assert_eq!(cartridges, ["CAP001L8", "CAP002L8", "CAP003L8", "CAP004L8"]);
}

#[test]
fn position_and_settings_outlive_the_program() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.locate(0, 4);
    drive.data_out(&[0x15, 0x10, 0, 0, 12, 0], &[0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 4, 0]);
    drop(drive);
    let mut drive = rig.drive(0);
    // No unit attention: for the drive nothing happened.
    assert_eq!(drive.position(), (4, 1));
    let header = drive.data_in(&[0x1a, 0, 0, 0, 12, 0], 12);
    assert_eq!((header[2], &header[9..]), (0, &[0, 4, 0][..]));
}

/// The state file is stale after a restart of the machine; without it the drive cannot know more.
#[test]
fn a_restart_of_the_machine_powers_the_drive_on() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    drive.write_example();
    drive.good(&[0x1e, 0, 0, 0, 1, 0]);
    drop(drive);
    let state = rig.dir.path().join("drive0/state");
    let mut bytes = std::fs::read(&state).unwrap();
    bytes[8] ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let mut drive = rig.drive(0);
    drive.fails(&[0; 6], (6, 0x29, 0));
    drive.fails(&[0; 6], (6, 0x28, 0));
    assert_eq!(drive.position(), (0, 0));
    // Nor is the lock of the medium remembered.
    drop(drive);
    rig.changer().good(&move_medium(256, 1024));
}

/// What waits is told once, to whichever program of the machine comes first.
#[test]
fn attentions_belong_to_the_machine() {
    let rig = rig(64 * MIB);
    let mut changer = rig.changer();
    changer.settle();
    changer.good(&move_medium(1024, 256));
    rig.drive(0).fails(&[0; 6], (6, 0x29, 0));
    rig.drive(0).fails(&[0; 6], (6, 0x28, 0));
    rig.drive(0).good(&[0; 6]);
}

#[test]
fn a_cartridge_whose_memory_is_damaged_is_refused_and_can_be_taken_out() {
    let rig = rig(64 * MIB);
    std::fs::write(rig.dir.path().join("cartridges/CAP001L8/cartridge.json"), "{").unwrap();
    let mut drive = rig.loaded();
    drive.fails(&[0; 6], (3, 0x31, 0));
    drive.fails(&[0x08, 2, 0, 0, 1, 0], (3, 0x31, 0));
    assert_eq!(rig.library.list().unwrap().elements[0].barcode.as_deref(), Some("CAP001L8"));
    rig.changer().good(&move_medium(256, 1024));
    drive.fails(&[0; 6], (2, 0x3a, 0));
    assert!(rig.library.check_cartridge("CAP001L8", &()).unwrap_err().is_damaged());
}

#[test]
fn handles_of_one_process_share_the_drive() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let again = Library::open(&rig.dir.path().join(".")).unwrap();
    let mut second = Host(Box::new(again.drive(0).unwrap()));
    assert_eq!(drive.write(b"one"), None);
    assert_eq!(second.write(b"two"), None);
    assert_eq!(drive.position(), (2, 0));
    drop(drive);
    assert_eq!(second.position(), (2, 0));
    second.rewind();
    assert_eq!(second.read_block(10).0, b"one");
}

#[test]
fn threads_hammer_one_library() {
    let rig = rig(64 * MIB);
    rig.changer().settle();
    std::thread::scope(|scope| {
        for number in 0..2u16 {
            let library = rig.library.clone();
            scope.spawn(move || {
                let mut changer = Host(Box::new(library.changer().unwrap()));
                for round in 0..15u64 {
                    let slot = 1024 + number;
                    changer.good(&move_medium(slot, 256 + number));
                    let mut drive = Host(Box::new(library.drive(number).unwrap()));
                    drive.settle();
                    drive.locate(3, 0);
                    assert_eq!(drive.position(), (round, 0));
                    assert_eq!(drive.write(&pattern(round, 5000)), None);
                    changer.good(&move_medium(256 + number, slot));
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                assert_eq!(rig.library.cartridges().unwrap().len(), 4);
            }
        });
    });
}

#[test]
fn creating_refuses_what_makes_no_library() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("precious"), "x").unwrap();
    let error = Library::create(dir.path(), &small()).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert!(Library::open(dir.path()).unwrap_err().is_missing());
    let fresh = dir.path().join("a/b");
    for options in [
        vtl::Options { drives: 0, ..small() },
        vtl::Options { slots: 0, ..small() },
        vtl::Options { cartridges: 7, ..small() },
        vtl::Options { import_export: 241, ..small() },
        vtl::Options { capacity_bytes: Some(1000), ..small() },
        vtl::Options { barcode_prefix: "cap".into(), ..small() },
    ] {
        assert!(Library::create(&fresh, &options).is_err(), "{options:?}");
        assert!(!fresh.exists());
    }
    Library::create(&fresh, &small()).unwrap();
    let error = vtl::open_unit(&fresh, vtl::Unit::Drive(9)).err().unwrap();
    assert!(error.to_string().contains("no drive 9"), "{error}");
}

/// `5x` is five times, however many processes meet the rule.
#[test]
fn faults_of_the_folder_are_counted_across_processes() {
    let rig = rig(64 * MIB);
    let mut drive = rig.loaded();
    let plan = "5x drives log -> sense 4/44/00".parse::<vtl::faults::FaultPlan>().unwrap();
    rig.library.store_faults(&plan).unwrap();
    let log = [0x4d, 0, 0x12, 0, 0, 0, 0, 0, 64, 0];
    drive.fails(&log, (4, 0x44, 0));
    drive.fails(&log, (4, 0x44, 0));
    let mut other = start("meet faults", rig.dir.path());
    assert_eq!(other.next(), "failures 3");
    other.end();
    drive.data_in(&log, 64);
    assert!(rig.library.stored_faults().unwrap()[0].is_used_up);
}
