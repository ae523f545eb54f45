//! The model against calculations by hand, and what holds for any host.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Generation;

const MB: u64 = 1_000_000;
const TB: u64 = 1_000_000 * MB;
const BLOCK: u64 = 256 * 1024;

fn lto(generation: Generation) -> Stream {
    Stream::new(Figures::new(generation, generation))
}

/// A host that has a block of 256 KiB every so often, and its clock.
struct Host {
    now: Duration,
    stream: Stream,
}

impl Host {
    fn new(generation: Generation) -> Host {
        Host { now: Duration::ZERO, stream: lto(generation) }
    }

    fn write(&mut self) {
        self.now += self.stream.write(self.now, BLOCK);
    }

    fn read(&mut self) {
        self.now += self.stream.read(self.now, BLOCK);
    }

    /// Writes, with blocks coming at `mb_per_s` whatever the drive does in between.
    fn write_steadily(&mut self, bytes: u64, mb_per_s: u64) {
        let began = self.now;
        for number in 1..=bytes / BLOCK {
            self.now = self.now.max(began + Duration::from_micros(number * BLOCK / mb_per_s));
            self.write();
        }
    }

    fn steps(&self) -> Vec<u32> {
        self.stream.report().written.streamed.keys().copied().collect()
    }
}

#[test]
fn a_host_slower_than_the_slowest_step_makes_the_drive_stop_as_often_as_calculated() {
    let mut host = Host::new(Generation::Lto9);
    host.write_steadily(TB / 10, 100);
    // From one stop to the next: 5 s until half of the buffer of 1 GB is full (2 of them go by with
    // stopping), 1 s of running up, then 600 MB are done at 177 - 100 MB/s in 7.79 s. That is 1,379 MB of the host's.
    let cycle = 100 * MB * (5_000 + 1_000 + 600_000 / 77) / 1_000;
    let report = host.stream.report().written.clone();
    assert_eq!(report.back_hitches, TB / 10 / cycle);
    assert_eq!(report.back_hitches, 72, "about 725 a TB");
    assert_eq!(host.steps(), [177]);
    assert_eq!(report.host_waited, Duration::ZERO);
    // Each costs 2 s of stopping and 1 s of running up; after the last one the tape is still at rest or running.
    let cost = report.back_hitch_time.as_secs();
    assert!((3 * 71..=3 * 72).contains(&cost), "{cost}");
}

#[test]
fn a_host_between_two_steps_makes_the_drive_change_between_them_and_never_stop() {
    for (generation, speed, expected) in [
        (Generation::Lto9, 190, [177, 203]),
        (Generation::Lto9, 280, [263, 284]),
        (Generation::Lto8, 120, [112, 135]),
        (Generation::Lto6, 90, [80, 100]),
        (Generation::Lto4, 50, [40, 60]),
    ] {
        let mut host = Host::new(generation);
        host.write_steadily(TB / 10, speed);
        let report = &host.stream.report().written;
        assert_eq!(report.back_hitches, 0, "{generation} at {speed} MB/s");
        assert_eq!(report.host_waited, Duration::ZERO, "{generation} at {speed} MB/s");
        assert_eq!(host.steps(), expected, "{generation} at {speed} MB/s");
    }
}

#[test]
fn a_host_at_a_step_streams() {
    for speed in [177, 244, 400, 408] {
        let mut host = Host::new(Generation::Lto9);
        host.write_steadily(TB / 10, speed);
        let report = &host.stream.report().written;
        assert_eq!(report.back_hitches, 0, "{speed} MB/s");
        assert_eq!(report.host_waited, Duration::ZERO, "{speed} MB/s");
    }
}

#[test]
fn a_faster_host_waits_for_the_tape() {
    let mut host = Host::new(Generation::Lto9);
    host.write_steadily(TB / 10, 2_000);
    let report = host.stream.report().written.clone();
    assert_eq!(report.back_hitches, 0);
    assert_eq!(host.steps(), [408]);
    // All but the buffer's content went to tape at 408 MB/s, after half of the buffer was full at 2,000 MB/s
    // and the tape had run up.
    let tape = Duration::from_micros((TB / 10 - 1_000 * MB) / 408);
    let expected = Duration::from_millis(250 + 1_000) + tape;
    assert!(host.now.abs_diff(expected) < Duration::from_millis(5), "{:?}", host.now);
    let in_buffer = report.host_bytes - report.tape_bytes;
    assert!((1_000 * MB - BLOCK..=1_000 * MB).contains(&in_buffer), "{in_buffer}");
}

#[test]
fn bursts_from_a_large_buffer_stop_the_tape_once_each() {
    // A disk of 100 MB/s fills a host's buffer of 8 GB, which goes to the drive as fast as it takes it.
    let mut host = Host::new(Generation::Lto9);
    for burst in 1..=10 {
        host.now += Duration::from_secs(80);
        for _ in 0..8_000 * MB / BLOCK {
            host.write();
        }
        let stopped = host.stream.report().written.back_hitches;
        assert!(burst - 1 <= stopped && stopped <= burst, "{stopped} after {burst}");
    }
    let steady = {
        let mut host = Host::new(Generation::Lto9);
        host.write_steadily(80_000 * MB, 100);
        host.stream.report().written.back_hitches
    };
    assert!(steady >= 50, "{steady}");
}

#[test]
fn synchronising_costs_the_buffer_and_a_stop() {
    let mut host = Host::new(Generation::Lto8);
    let blocks = 365 * MB / BLOCK;
    for _ in 0..blocks {
        host.write();
    }
    // Less than half of the buffer: nothing is on tape yet.
    assert_eq!(host.stream.unwritten_bytes(host.now), blocks * BLOCK);
    let waited = host.stream.synchronise(host.now);
    assert_eq!(
        waited,
        Duration::from_secs(1) + Duration::from_micros((blocks * BLOCK).div_ceil(365))
    );
    host.now += waited;
    assert_eq!(host.stream.unwritten_bytes(host.now), 0);
    assert_eq!(host.stream.synchronise(host.now), Duration::ZERO, "nothing is left");
    // The tape stops behind the host's back; the next synchronisation meets that.
    host.write();
    let waited = host.stream.synchronise(host.now);
    assert_eq!(waited, Duration::from_secs(3) + Duration::from_micros(BLOCK.div_ceil(365)));
    let report = host.stream.report();
    assert_eq!((report.synchronisations, report.written.back_hitches), (2, 2));
}

#[test]
fn what_waits_is_written_after_the_write_delay() {
    let mut host = Host::new(Generation::Lto9);
    host.write();
    host.now += Duration::from_millis(10_999);
    assert_eq!(host.stream.unwritten_bytes(host.now), BLOCK);
    assert_eq!(host.stream.moving(host.now), Some(Direction::Writing));
    host.now += Duration::from_millis(10);
    assert_eq!(host.stream.unwritten_bytes(host.now), 0);
    host.now += Duration::from_secs(3_600);
    assert_eq!(host.stream.moving(host.now), None);
}

#[test]
fn a_motion_writes_the_buffer_first_and_is_no_back_hitch() {
    let mut host = Host::new(Generation::Lto9);
    for _ in 0..4 {
        host.write();
    }
    let waited = host.stream.halt(host.now);
    assert_eq!(waited, Duration::from_secs(1) + Duration::from_micros((4 * BLOCK).div_ceil(408)));
    host.now += waited;
    assert_eq!(host.stream.moving(host.now), None);
    assert_eq!(host.stream.report().written.back_hitches, 0);
    assert_eq!(host.stream.report().written.tape_bytes, 4 * BLOCK);
}

#[test]
fn reading_is_the_mirror_of_writing() {
    // Slower than the slowest step: the same cycle as when writing.
    let mut host = Host::new(Generation::Lto9);
    host.now += host.stream.begin_reading(host.now, TB);
    for _ in 0..100_000 * MB / BLOCK {
        host.now += Duration::from_micros(BLOCK / 100);
        host.read();
    }
    let read = host.stream.report().read.clone();
    assert!((70..=73).contains(&read.back_hitches), "{}", read.back_hitches);
    assert!(read.host_waited < Duration::from_millis(1_010), "{:?}", read.host_waited);
    // As fast as it goes: 1 s of running up, then the tape's speed.
    let mut host = Host::new(Generation::Lto9);
    host.now += host.stream.begin_reading(host.now, TB);
    let blocks = 10_000 * MB / BLOCK;
    for _ in 0..blocks {
        host.read();
    }
    let expected = Duration::from_secs(1) + Duration::from_micros((blocks * BLOCK).div_ceil(408));
    assert_eq!(host.now, expected);
    assert_eq!(host.stream.report().read.back_hitches, 0);
}

#[test]
fn the_end_of_data_is_no_back_hitch() {
    let mut host = Host::new(Generation::Lto9);
    host.now += host.stream.begin_reading(host.now, 100 * BLOCK);
    for _ in 0..50 {
        host.read();
    }
    host.now += Duration::from_secs(3_600);
    assert_eq!(host.stream.read_ahead_bytes(host.now), 50 * BLOCK);
    assert_eq!(host.stream.moving(host.now), None);
    for _ in 0..50 {
        assert_eq!(host.stream.read(host.now, BLOCK), Duration::ZERO);
    }
    assert_eq!(host.stream.report().read.back_hitches, 0);
    // Nothing was read ahead of the place: appending begins at once.
    host.write();
    assert_eq!(host.stream.report().read.back_hitches, 0);
}

#[test]
fn writing_in_the_middle_of_reading_brings_the_tape_back() {
    let mut host = Host::new(Generation::Lto9);
    host.now += host.stream.begin_reading(host.now, TB);
    host.read();
    host.now += Duration::from_secs(1);
    host.write();
    assert_eq!(host.stream.report().read.back_hitches, 1);
    let waited = host.stream.synchronise(host.now);
    assert_eq!(waited, Duration::from_secs(3) + Duration::from_micros(BLOCK.div_ceil(408)));
}

#[test]
fn a_block_larger_than_the_buffer_goes_through_it() {
    let mut stream = Stream::new(Figures { buffer_bytes: 1 << 20, ..lto4() });
    let waited = stream.write(Duration::ZERO, 8 << 20);
    let expected = Duration::from_secs(1) + Duration::from_micros((7u64 << 20).div_ceil(120));
    assert!(waited.abs_diff(expected) < Duration::from_millis(10), "{waited:?}");
}

fn lto4() -> Figures {
    Figures::new(Generation::Lto4, Generation::Lto4)
}

#[derive(Debug, Clone)]
enum Act {
    Write(u64),
    Read(u64),
    BeginReading(u64),
    Synchronise,
    Halt,
    DropBuffer,
    Rest(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..200 * MB).prop_map(Act::Write),
        4 => (0..200 * MB).prop_map(Act::Read),
        1 => (0..2_000 * MB).prop_map(Act::BeginReading),
        1 => Just(Act::Synchronise),
        1 => Just(Act::Halt),
        1 => Just(Act::DropBuffer),
        4 => (0u64..20_000_000).prop_map(Act::Rest),
    ];
    proptest::collection::vec(act, 1..60)
}

proptest! {
    #[test]
    fn bytes_are_conserved_and_the_buffer_never_overflows(
        acts in acts(),
        generation in proptest::sample::select(vec![Generation::Lto4, Generation::Lto8, Generation::Lto9]),
    ) {
        let buffer = Figures::new(generation, generation).buffer_bytes;
        let mut stream = lto(generation);
        let mut now = Duration::ZERO;
        // What a plain account says: bytes that were lost with the buffer, or read and never taken.
        let (mut lost, mut dropped) = (0, 0);
        let mut left_on_tape = 0u64;
        for act in acts {
            let waited = match act {
                Act::Write(bytes) => {
                    dropped += stream.read_ahead_bytes(now);
                    stream.write(now, bytes)
                }
                Act::Read(_) if !stream.is_reading() => continue,
                Act::Read(bytes) => {
                    let bytes = bytes.min(left_on_tape);
                    left_on_tape -= bytes;
                    stream.read(now, bytes)
                }
                Act::BeginReading(unread) => {
                    dropped += stream.read_ahead_bytes(now);
                    left_on_tape = unread;
                    stream.begin_reading(now, unread)
                }
                Act::Synchronise => stream.synchronise(now),
                Act::Halt => {
                    dropped += stream.read_ahead_bytes(now);
                    stream.halt(now)
                }
                Act::DropBuffer => {
                    lost += stream.unwritten_bytes(now);
                    dropped += stream.read_ahead_bytes(now);
                    stream.drop_buffer();
                    Duration::ZERO
                }
                Act::Rest(micros) => {
                    now += Duration::from_micros(micros);
                    Duration::ZERO
                }
            };
            now += waited;
            let (unwritten, ahead) = (stream.unwritten_bytes(now), stream.read_ahead_bytes(now));
            prop_assert!(unwritten <= buffer && ahead <= buffer);
            let report = stream.report();
            prop_assert_eq!(report.written.host_bytes, report.written.tape_bytes + unwritten + lost);
            prop_assert_eq!(report.read.tape_bytes, report.read.host_bytes + ahead + dropped);
            for transfers in [&report.written, &report.read] {
                // No byte was moved without the tape running for it.
                let could: u128 = transfers
                    .streamed
                    .iter()
                    .map(|(speed, time)| u128::from(*speed) * time.as_micros())
                    .sum();
                prop_assert!(u128::from(transfers.tape_bytes) <= could);
                prop_assert!(transfers.host_waited <= now && transfers.streamed_time() <= now);
            }
        }
    }

    #[test]
    fn a_host_within_the_steps_never_stops_the_tape(mb_per_s in 177u64..=408) {
        let mut host = Host::new(Generation::Lto9);
        host.write_steadily(20_000 * MB, mb_per_s);
        prop_assert_eq!(host.stream.report().written.back_hitches, 0);
    }
}
