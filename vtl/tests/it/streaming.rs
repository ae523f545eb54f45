//! Drives that stream, on the virtual clock: what hosts wait for, how often the tape stops, and where it is told.
//! Times follow from the tables at the head of `vtl/src/streaming/figures.rs`; the model itself is tested beside
//! its code.

use std::time::Duration;

use scsi::Data;
use vtl::{Generation, Options, StreamingReport, Timing};

use crate::host::{BLOCK, Host, Rig, pattern, rig_with, small};

const MB: u64 = 1_000_000;
/// LTO-4: a buffer of 128 MB, and a tape that runs at 40 to 120 MB/s.
const SLOWEST: u64 = 40;
const FASTEST: u64 = 120;

fn timed(timing: Timing) -> (Rig, Host) {
    let rig = rig_with(&Options {
        generation: Generation::Lto4,
        timing,
        capacity_bytes: Some(1_000 * MB),
        ..small()
    });
    let mut changer = rig.changer();
    changer.settle();
    let mut drive = rig.drive(0);
    drive.settle();
    changer.good(&crate::host::move_medium(1024, 256));
    rig.library.clock().advance(Duration::from_secs(60));
    let _ = drive.send(&[0; 6], Data::None);
    rig.library.clock().advance(Duration::from_secs(60));
    drive.settle();
    (rig, drive)
}

fn report(rig: &Rig) -> StreamingReport {
    rig.library.streaming(0).unwrap()
}

/// The time that work takes.
fn time(rig: &Rig, work: impl FnOnce()) -> Duration {
    let before = rig.library.clock().now();
    work();
    rig.library.clock().now() - before
}

fn log_page(drive: &mut Host, code: u8) -> Vec<u8> {
    drive.data_in(&[0x4d, 0, 0x40 | code, 0, 0, 0, 0, 1, 0, 0], 256)
}

/// The value of a parameter of a log page.
fn parameter(page: &[u8], wanted: u16) -> u64 {
    let mut rest = &page[4..];
    while let [high, low, _, length, tail @ ..] = rest {
        let (value, next) = tail.split_at(usize::from(*length));
        if u16::from_be_bytes([*high, *low]) == wanted {
            return value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        }
        rest = next;
    }
    panic!("no parameter {wanted:#06x}")
}

fn activity(drive: &mut Host) -> u8 {
    log_page(drive, 0x11)[10]
}

#[test]
fn a_slow_host_makes_the_tape_stop_as_often_as_calculated() {
    let (rig, mut drive) = timed(Timing::Virtual);
    let block = pattern(1, BLOCK);
    let blocks = 520 * MB / BLOCK as u64;
    for _ in 0..blocks {
        // 10 MB/s.
        rig.library.clock().advance(Duration::from_micros(BLOCK as u64 / 10));
        assert_eq!(drive.write(&block), None);
    }
    // From stop to stop: 6.4 s until half of the buffer is full, 1 s of running up, and then 74 MB are done
    // at 40 - 10 MB/s in 2.47 s: 98.7 MB of the host's. 520 MB are five of them.
    let written = report(&rig).written;
    assert_eq!(written.back_hitches, 5);
    assert_eq!(written.host_bytes, blocks * BLOCK as u64);
    assert_eq!(written.host_waited, Duration::ZERO);
    assert_eq!(written.streamed.keys().copied().collect::<Vec<_>>(), [SLOWEST as u32]);
}

#[test]
fn the_same_host_in_bursts_makes_it_stop_once_a_burst() {
    let (rig, mut drive) = timed(Timing::Virtual);
    let block = pattern(1, BLOCK);
    for burst in 1..=2 {
        // 10 MB/s fill a buffer of the host's, which goes to the drive as fast as that takes it.
        rig.library.clock().advance(Duration::from_secs(26));
        for _ in 0..260 * MB / BLOCK as u64 {
            assert_eq!(drive.write(&block), None);
        }
        assert_eq!(report(&rig).written.back_hitches, burst - 1);
    }
    // 26 s later the second one has run out too.
    rig.library.clock().advance(Duration::from_secs(26));
    let written = report(&rig).written;
    assert_eq!(written.back_hitches, 2);
    assert_eq!(written.tape_bytes, written.host_bytes);
    assert!(written.streamed[&(FASTEST as u32)] > Duration::from_secs(2), "{written:?}");
    assert!(written.host_waited > Duration::from_secs(2), "{written:?}");
}

#[test]
fn only_a_synchronised_filemark_waits_for_the_buffer() {
    let (rig, mut drive) = timed(Timing::Virtual);
    let block = pattern(1, BLOCK);
    for _ in 0..8 {
        assert_eq!(drive.write(&block), None);
    }
    let unsynchronised = [0x10, 1, 0, 0, 1, 0];
    assert_eq!(time(&rig, || drive.good(&unsynchronised)), Duration::ZERO);
    let page = log_page(&mut drive, 0x0c);
    assert_eq!((parameter(&page, 0), parameter(&page, 1)), (8 * BLOCK as u64, 0));
    assert_eq!(parameter(&page, 8), 128, "size of the buffer in MB");
    assert_eq!(activity(&mut drive), 0, "the tape stands still");
    // READ POSITION, short and extended: eight blocks and a mark are in the buffer.
    let bytes = (8 * BLOCK as u32).to_be_bytes();
    let short = drive.data_in(&[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0], 20);
    assert_eq!(short[4..12], [0, 0, 0, 9, 0, 0, 0, 0]);
    assert_eq!((&short[12..16], &short[16..]), (&[0, 0, 0, 9][..], &bytes[..]));
    let extended = drive.data_in(&[0x34, 8, 0, 0, 0, 0, 0, 0, 32, 0], 32);
    assert_eq!(extended[4..8], [0, 0, 0, 9]);
    assert_eq!((extended[15], extended[23], &extended[28..]), (9, 0, &bytes[..]));
    // 1 s of running up, and 2 MiB at 120 MB/s.
    let flush =
        Duration::from_secs(1) + Duration::from_micros((8 * BLOCK as u64).div_ceil(FASTEST));
    assert_eq!(time(&rig, || assert_eq!(drive.filemarks(1), None)), flush);
    let page = log_page(&mut drive, 0x0c);
    assert_eq!(parameter(&page, 1), 8 * BLOCK as u64);
    assert_eq!(activity(&mut drive), 6, "it stops");
    let short = drive.data_in(&[0x34, 0, 0, 0, 0, 0, 0, 0, 0, 0], 20);
    assert_eq!(short[4..], [0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(time(&rig, || assert_eq!(drive.filemarks(0), None)), Duration::ZERO);
    // What moves the tape waits for the buffer too, also with IMMED.
    assert_eq!(drive.write(&block), None);
    let flush =
        Duration::from_secs(2 + 1) + Duration::from_micros((BLOCK as u64).div_ceil(FASTEST));
    assert_eq!(time(&rig, || drive.good(&[0x01, 1, 0, 0, 0, 0])), flush);
    let report = report(&rig);
    assert_eq!((report.synchronisations, report.written.back_hitches), (2, 1));
}

#[test]
fn without_buffering_each_write_waits_for_the_tape() {
    let (rig, mut drive) = timed(Timing::Virtual);
    // MODE SELECT: buffered mode 0.
    drive.data_out(&[0x15, 0x10, 0, 0, 4, 0], &[0, 0, 0, 0]);
    let block = pattern(1, BLOCK);
    assert!(time(&rig, || assert_eq!(drive.write(&block), None)) > Duration::from_secs(1));
    assert!(time(&rig, || assert_eq!(drive.write(&block), None)) > Duration::from_secs(3));
    assert_eq!(report(&rig).synchronisations, 2);
}

#[test]
fn reading_comes_at_the_speed_of_the_tape() {
    let (rig, mut drive) = timed(Timing::Virtual);
    let blocks = 40;
    for object in 0..blocks {
        assert_eq!(drive.write(&pattern(object, BLOCK)), None);
    }
    drive.rewind();
    let took = time(&rig, || {
        for object in 0..blocks {
            let (data, sense) = drive.read_block(BLOCK);
            assert_eq!((data == pattern(object, BLOCK), sense), (true, None));
        }
    });
    let streamed = Duration::from_micros((blocks * BLOCK as u64).div_ceil(FASTEST));
    assert_eq!(took, Duration::from_secs(1) + streamed);
    let read = report(&rig).read;
    assert_eq!((read.host_bytes, read.tape_bytes), (blocks * BLOCK as u64, blocks * BLOCK as u64));
    assert_eq!((read.host_waited, read.back_hitches), (took, 0));
    // A host that takes one block, and then its time: the drive reads ahead to the end of data.
    drive.rewind();
    let _ = drive.read_block(BLOCK);
    assert_eq!(activity(&mut drive), 5);
    rig.library.clock().advance(Duration::from_secs(60));
    assert_eq!(activity(&mut drive), 0);
    let page = log_page(&mut drive, 0x0c);
    assert_eq!(parameter(&page, 2) - parameter(&page, 3), (blocks - 1) * BLOCK as u64);
    assert_eq!(time(&rig, || drop(drive.read_block(BLOCK))), Duration::ZERO);
}

#[test]
fn power_loss_empties_the_buffer_of_the_model_too() {
    let (rig, mut drive) = timed(Timing::Virtual);
    assert_eq!(drive.filemarks(1), None);
    assert_eq!(drive.write(&pattern(1, BLOCK)), None);
    rig.library.set_faults(Some("once drive0 ready -> power-loss".parse().unwrap()));
    assert!(drive.0.execute(&[0; 6], Data::None, Duration::from_secs(1)).is_err());
    rig.library.set_faults(None);
    drive.settle();
    assert_eq!(drive.space(3, 0), None);
    assert_eq!(drive.position().0, 1, "the block is gone, as without a clock");
    assert_eq!(time(&rig, || assert_eq!(drive.filemarks(0), None)), Duration::ZERO);
    assert_eq!(report(&rig).written.tape_bytes, 0);
}

#[test]
fn what_was_counted_outlives_the_handles() {
    let (rig, mut drive) = timed(Timing::Virtual);
    assert_eq!(drive.write(&pattern(1, BLOCK)), None);
    drop(drive);
    let written = report(&rig).written;
    assert_eq!((written.host_bytes, written.tape_bytes), (BLOCK as u64, BLOCK as u64));
    let mut drive = rig.drive(0);
    drive.settle();
    assert_eq!(drive.write(&pattern(1, BLOCK)), None);
    assert_eq!(report(&rig).written.host_bytes, 2 * BLOCK as u64);
    assert_eq!(rig.library.streaming(1).unwrap(), StreamingReport::default());
    assert!(rig.library.streaming(2).is_err());
}

#[test]
fn without_a_clock_nothing_waits_and_nothing_is_counted() {
    let (rig, mut drive) = timed(Timing::None);
    for object in 0..8 {
        assert_eq!(drive.write(&pattern(object, BLOCK)), None);
    }
    assert_eq!(drive.filemarks(1), None);
    drive.rewind();
    assert_eq!(drive.read_block(BLOCK).1, None);
    assert_eq!(report(&rig), StreamingReport::default());
    let page = log_page(&mut drive, 0x0c);
    assert_eq!(parameter(&page, 1), parameter(&page, 0));
    assert_eq!(rig.library.clock().now(), Duration::ZERO);
}
