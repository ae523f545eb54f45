//! The buffer by itself: order, room, ends. Nothing here may hang: each test runs against a limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::write::feed::BufferSize;

type Numbers = Ring<u64, u64>;

fn ring(capacity: u64, readers: usize) -> Arc<Numbers> {
    let measured = Measured {
        gate: Gate::new(BufferSize::Fixed(capacity)),
        readers: ReaderCount::new(Some(readers)),
        peak_bytes: 0,
    };
    Arc::new(Ring::new(measured, Instant::now()))
}

const GO_ON: &dyn Fn() -> bool = &|| false;

/// Runs something that must come to its end.
fn within_a_minute<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> R {
    let (done_in, done) = crossbeam_channel::bounded(1);
    thread::spawn(move || _ = done_in.send(run()));
    done.recv_timeout(Duration::from_secs(60)).expect("it hangs, or panicked")
}

/// Threads that read: each number has as many bytes as planned.
fn readers(ring: &Arc<Numbers>, count: usize) -> Vec<thread::JoinHandle<()>> {
    (0..count)
        .map(|reader| {
            let ring = Arc::clone(ring);
            thread::spawn(move || {
                while let Some((place, number)) = ring.fetch(reader) {
                    // The younger ones are done first, if they can.
                    if number % 3 == 0 {
                        thread::sleep(Duration::from_micros(300));
                    }
                    ring.fill(&place, number, number);
                }
            })
        })
        .collect()
}

/// What comes out of a ring, in order, with the most bytes that were in it.
fn pass(capacity: u64, threads: usize, sizes: Vec<u64>) -> (Vec<u64>, u64) {
    let ring = ring(capacity, threads);
    let mut all = readers(&ring, threads);
    let planner = Arc::clone(&ring);
    all.push(thread::spawn(move || {
        for size in sizes {
            let is_wanted = match size {
                0 => planner.put(Kind::Data, 0),
                size => planner.plan(size, size),
            };
            assert!(is_wanted);
        }
        planner.end_plan();
    }));
    let mut out = Vec::new();
    while let Some(number) = ring.take(GO_ON).unwrap() {
        out.push(number);
    }
    for thread in all {
        thread.join().unwrap();
    }
    (out, ring.measured(|measured| measured.peak_bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// What goes in comes out in order, whatever the sizes, and never more is held than allowed.
    #[test]
    fn what_goes_in_comes_out_in_order(
        sizes in proptest::collection::vec(0_u64..200, 0..60),
        capacity in 1_u64..400,
        threads in 1_usize..5,
    ) {
        let (out, peak) = within_a_minute({
            let sizes = sizes.clone();
            move || pass(capacity, threads, sizes)
        });
        prop_assert!(peak <= capacity.max(sizes.iter().copied().max().unwrap_or(0)));
        prop_assert_eq!(out, sizes);
    }
}

#[test]
fn a_piece_larger_than_the_buffer_has_it_for_itself() {
    let sizes = vec![5, 100, 5, 5, 100, 100, 5];
    let (out, peak) = within_a_minute(|| pass(10, 3, vec![5, 100, 5, 5, 100, 100, 5]));
    assert_eq!((out, peak), (sizes, 100));
}

/// A reader that stops, a plan that waits for room and one that rests: closing sends all of them home.
#[test]
fn closing_wakes_whoever_waits() {
    within_a_minute(|| {
        let ring = ring(10, 2);
        let mut all = Vec::new();
        let planner = Arc::clone(&ring);
        all.push(thread::spawn(move || {
            while planner.plan(8, 8) {}
            assert!(planner.is_closed());
        }));
        all.extend(readers(&ring, 4));
        let taker = Arc::clone(&ring);
        let is_aborted = Arc::new(AtomicBool::new(false));
        let aborted = Arc::clone(&is_aborted);
        assert_eq!(ring.take(GO_ON).unwrap(), Some(8));
        all.push(thread::spawn(move || {
            // Whether it was in the middle of a wait or before: it ends.
            while taker.take(&|| aborted.load(Ordering::Relaxed)).is_ok() {}
        }));
        is_aborted.store(true, Ordering::Relaxed);
        ring.close();
        for thread in all {
            thread.join().unwrap();
        }
    });
}

/// Whatever was read before a thread died is given out; behind it comes the error and no end.
#[test]
fn a_thread_that_died_is_an_error_and_no_end() {
    within_a_minute(|| {
        for filled in 0..3 {
            let ring = ring(1_000, 1);
            for number in 1..=3 {
                assert!(ring.plan(10, number));
            }
            ring.end_plan();
            for _ in 0..filled {
                let (place, number) = ring.fetch(0).unwrap();
                ring.fill(&place, 10, number);
            }
            ring.break_off();
            for number in 1..=filled {
                assert_eq!(ring.take(GO_ON), Ok(Some(number)));
            }
            assert_eq!(ring.take(GO_ON), Err(Ended::Broken));
            assert_eq!(ring.left() as u64, 3 - filled);
        }
    });
}

#[test]
fn news_pass_a_gate_that_is_shut_and_data_waits_behind_it() {
    within_a_minute(|| {
        let ring = ring(1_000, 1);
        ring.put(Kind::News, 1);
        ring.put(Kind::Snapshot, 2);
        assert!(ring.plan(10, 3));
        let (place, number) = ring.fetch(0).unwrap();
        ring.fill(&place, 10, number);
        assert_eq!(ring.take(GO_ON), Ok(Some(1)));
        assert_eq!(ring.take(GO_ON), Ok(Some(2)));
        assert_eq!(ring.next_is(GO_ON, &|number| *number == 3), Ok(true));
        let looks = std::cell::Cell::new(0);
        let third = || {
            looks.set(looks.get() + 1);
            looks.get() == 3
        };
        assert_eq!(ring.take(&third), Err(Ended::Aborted), "10 bytes are below the high mark");
        ring.end_plan();
        assert_eq!(ring.take(GO_ON), Ok(Some(3)));
        assert_eq!(ring.take(GO_ON), Ok(None));
    });
}

#[test]
fn snapshots_ahead_are_few() {
    within_a_minute(|| {
        let ring = ring(1_000, 1);
        let planner = Arc::clone(&ring);
        let thread = thread::spawn(move || {
            for number in 0..200 {
                planner.put(Kind::Snapshot, number);
            }
            planner.end_plan();
        });
        for number in 0..200 {
            assert!(ring.left() <= SNAPSHOTS_AHEAD_MAX);
            assert_eq!(ring.take(GO_ON), Ok(Some(number)));
        }
        assert_eq!(ring.take(GO_ON), Ok(None));
        thread.join().unwrap();
    });
}

/// Pieces of 32 MiB in a buffer that is no multiple of them, with more readers than fit.
#[test]
fn large_pieces_stay_within_the_limit() {
    const PIECE: u64 = 32 << 20;
    let (out, peak) = within_a_minute(|| pass(3 * PIECE + 1, 8, vec![PIECE; 40]));
    assert_eq!(out, vec![PIECE; 40]);
    assert!(peak <= 3 * PIECE, "{peak}");
}
