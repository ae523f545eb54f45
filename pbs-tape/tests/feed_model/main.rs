//! What the buffer between disk and drive is worth, on models of both. `make bench-feed` prints the whole table.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod model;

use model::{Disk, run};
use pbs_tape::write::BufferSize;

const GIB: u64 = 1 << 30;

fn disk(name: &str) -> Disk {
    Disk::ALL.into_iter().find(|disk| disk.name.starts_with(name)).unwrap()
}

/// The disk of the issue: 100 MB/s with a seek of 8 ms before each chunk.
#[test]
fn a_slow_disk_stops_the_drive_much_less_with_the_buffer() {
    let hdd = disk("HDD 100 MB/s, 8 ms a chunk");
    let without = run(hdd, None, 200);
    let with = run(hdd, Some(BufferSize::UpTo(4 * GIB)), 200);
    assert!(without.back_hitches_per_tb() > 700.0, "{without:?}");
    assert!(
        with.back_hitches_per_tb() * 4.0 < without.back_hitches_per_tb(),
        "{with:?} {without:?}"
    );
    assert!(with.peak_bytes <= 4 * GIB);
    // Nothing of the disk's time is lost.
    assert!(with.mb_per_s() > without.mb_per_s() * 0.97, "{with:?} {without:?}");
    // More memory, fewer stops.
    let more = run(hdd, Some(BufferSize::UpTo(8 * GIB)), 200);
    assert!(more.back_hitches_per_tb() < with.back_hitches_per_tb() * 0.7, "{more:?} {with:?}");
}

/// A disk as fast as one of the drive's speeds lets it stream: the buffer must not make it stop where it did not before.
#[test]
fn a_disk_between_the_drive_s_speeds_lets_it_stream() {
    let array = disk("array 250 MB/s");
    for size in [None, Some(BufferSize::UpTo(4 * GIB)), Some(BufferSize::Fixed(GIB))] {
        let outcome = run(array, size, 200);
        assert!(outcome.back_hitches <= 1, "{size:?}: {outcome:?}");
        assert!(outcome.mb_per_s() > 240.0, "{size:?}: {outcome:?}");
    }
}

/// A disk that is away now and then is fast enough on the whole: the buffer evens it out.
#[test]
fn a_disk_that_pauses_does_not_stop_the_drive() {
    let pausing = disk("array 350 MB/s, 6 s away");
    let without = run(pausing, None, 400);
    let with = run(pausing, Some(BufferSize::UpTo(4 * GIB)), 400);
    assert!(without.back_hitches >= 16, "{without:?}");
    assert!(with.back_hitches * 4 <= without.back_hitches, "{with:?} {without:?}");
}

/// A disk that outruns the drive is not waited for, and what it gives beside the drive fills the buffer for its pauses.
#[test]
fn a_disk_that_outruns_the_drive_fills_the_buffer_while_it_streams() {
    let ssd = disk("SSD 700 MB/s, 6 s away");
    let without = run(ssd, None, 400);
    let with = run(ssd, Some(BufferSize::UpTo(4 * GIB)), 400);
    assert!(without.back_hitches >= 14, "{without:?}");
    assert!(with.back_hitches * 3 <= without.back_hitches, "{with:?} {without:?}");
    assert!(with.mb_per_s() > without.mb_per_s(), "{with:?} {without:?}");
}
