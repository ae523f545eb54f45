//! Several drives at once on the virtual clock.

use std::time::Duration;

use vtl::{Generation, Lane, Options, StreamingReport, Timing};

use crate::host::{BLOCK, Host, Rig, move_medium, pattern, rig_with, small};

/// Two LTO-4 drives, loaded and ready.
fn two_drives() -> Rig {
    let rig =
        rig_with(&Options { generation: Generation::Lto4, timing: Timing::Virtual, ..small() });
    let mut changer = rig.changer();
    changer.settle();
    for number in 0..2 {
        let mut drive = rig.drive(number);
        drive.settle();
        changer.good(&move_medium(1024 + number, 256 + number));
        let _ = drive.send(&[0; 6], scsi::Data::None);
        rig.library.clock().advance(Duration::from_secs(60));
        drive.settle();
    }
    rig
}

/// A host's work on a drive: blocks with pauses of the host's, and a synchronisation after every ten.
fn work(drive: &mut Host, rounds: u64, pause: impl Fn(Duration)) {
    for round in 0..rounds {
        for number in 0..10 {
            pause(Duration::from_millis(3 * number + round));
            assert_eq!(drive.write(&pattern(number, BLOCK)), None);
        }
        assert_eq!(drive.filemarks(1), None);
    }
}

/// The time of both drives' work, and what they counted.
fn elapsed(rig: &Rig, run: impl FnOnce()) -> (Duration, [StreamingReport; 2]) {
    let before = rig.library.clock().now();
    run();
    let time = rig.library.clock().now() - before;
    (time, [0, 1].map(|number| rig.library.streaming(number).unwrap()))
}

fn in_lane(rig: &Rig, number: u16, lane: &Lane) -> Host {
    Host(Box::new(rig.library.drive(number).unwrap().in_lane(lane)))
}

#[test]
fn what_two_drives_do_at_once_takes_as_long_as_the_longer_of_it() {
    const ROUNDS: [u64; 2] = [4, 9];
    let alone = [0, 1].map(|number| {
        let rig = two_drives();
        elapsed(&rig, || {
            let clock = rig.library.clock();
            work(&mut rig.drive(number), ROUNDS[usize::from(number)], |time| clock.advance(time));
        })
    });
    assert!(alone[0].0 < alone[1].0);
    for _ in 0..3 {
        let rig = two_drives();
        let together = elapsed(&rig, || {
            let lanes = [rig.library.lane(), rig.library.lane()];
            std::thread::scope(|scope| {
                for (number, lane) in (0u16..).zip(&lanes) {
                    let mut drive = in_lane(&rig, number, lane);
                    let rounds = ROUNDS[usize::from(number)];
                    scope.spawn(move || work(&mut drive, rounds, |time| lane.advance(time)));
                }
            });
            assert_eq!(lanes[1].now() - lanes[0].now(), alone[1].0 - alone[0].0);
        });
        assert_eq!(together.0, alone[1].0);
        assert_eq!(together.1[0], alone[0].1[0]);
        assert_eq!(together.1[1], alone[1].1[1]);
    }
}

#[test]
fn lanes_wait_for_each_other_at_the_robot() {
    let rig = two_drives();
    let before = rig.library.clock().now();
    let lanes = [rig.library.lane(), rig.library.lane()];
    std::thread::scope(|scope| {
        for (slot, lane) in (1026..).zip(&lanes) {
            let changer = rig.library.changer().unwrap().in_lane(lane);
            scope.spawn(move || Host(Box::new(changer)).good(&move_medium(slot, slot + 2)));
        }
    });
    drop(lanes);
    // Two moves over two slots of 15.2 s; one robot.
    assert_eq!(rig.library.clock().now() - before, Duration::from_millis(2 * 15_200));
}

#[test]
fn a_drive_is_not_used_before_another_lane_left_it() {
    let rig = two_drives();
    let (first, second) = (rig.library.lane(), rig.library.lane());
    let began = second.now();
    let mut drive = in_lane(&rig, 0, &first);
    first.advance(Duration::from_secs(100));
    drive.good(&[0; 6]);
    assert_eq!(second.now(), began);
    in_lane(&rig, 0, &second).good(&[0; 6]);
    assert_eq!(second.now(), began + Duration::from_secs(100));
    // So does a robot that takes the tape out of it.
    first.advance(Duration::from_secs(100));
    drive.good(&[0; 6]);
    let mut changer = Host(Box::new(rig.library.changer().unwrap().in_lane(&second)));
    changer.good(&move_medium(256, 1024));
    // Unloading and a move to the first slot.
    assert_eq!(second.now(), began + Duration::from_secs(200 + 17 + 15));
}

#[test]
fn a_real_clock_can_run_faster_than_the_machines() {
    let rig = rig_with(&Options { timing: Timing::Real, time_scale: 1_000, ..small() });
    let mut changer = rig.changer();
    changer.settle();
    let began = rig.library.clock().now();
    let machine = std::time::Instant::now();
    changer.good(&move_medium(1024, 1028));
    assert!(rig.library.clock().now() - began >= Duration::from_millis(15_400));
    assert!(machine.elapsed() >= Duration::from_millis(15));
    let options = Options { time_scale: 0, ..small() };
    let dir = tempfile::tempdir().unwrap();
    let error = vtl::Library::create(dir.path(), &options).unwrap_err();
    assert!(error.to_string().contains("1 to 10000"), "{error}");
}
