//! Numbered pieces of work over several threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};

/// Does the pieces `range`, in order as far as that can be said of several threads, `batch` at a time.
/// Each thread has a tally of its own; all are given back. After an error nobody begins another piece, and
/// of several errors that of the first piece is reported. `done` is told the number of pieces that are
/// done.
pub(super) fn for_each<T: Default + Send>(
    range: std::ops::Range<u64>,
    batch: u64,
    threads: usize,
    work: impl Fn(u64, &mut T) -> Result<()> + Sync,
    done: impl Fn(u64) + Sync,
) -> Result<Vec<T>> {
    let next = AtomicU64::new(range.start);
    let finished = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<(u64, Error)>> = Mutex::new(None);
    let worker = || {
        let mut tally = T::default();
        loop {
            let start = next.fetch_add(batch, Ordering::Relaxed);
            if start >= range.end {
                break;
            }
            let end = (start + batch).min(range.end);
            for piece in start..end {
                if stop.load(Ordering::Relaxed) {
                    return tally;
                }
                if let Err(error) = work(piece, &mut tally) {
                    stop.store(true, Ordering::Relaxed);
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(known, _)| piece < *known) {
                        *failed = Some((piece, error));
                    }
                    return tally;
                }
            }
            done(finished.fetch_add(end - start, Ordering::Relaxed) + end - start);
        }
        tally
    };
    let pieces = (range.end.saturating_sub(range.start)).div_ceil(batch.max(1));
    let threads = threads.clamp(1, 64).min(usize::try_from(pieces).unwrap_or(64).max(1));
    let tallies = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(worker)).collect();
        let mut tallies = vec![worker()];
        for other in others {
            match other.join() {
                Ok(tally) => tallies.push(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        tallies
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(tallies),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_is_done_once() {
        for (count, batch, threads) in [(0, 1, 1), (1, 7, 4), (1000, 7, 3), (1000, 1, 64)] {
            let last = AtomicU64::new(0);
            let tallies = for_each(
                5..5 + count,
                batch,
                threads,
                |piece, tally: &mut Vec<u64>| {
                    tally.push(piece);
                    Ok(())
                },
                |done| {
                    last.fetch_max(done, Ordering::Relaxed);
                },
            )
            .unwrap();
            let mut pieces = tallies.concat();
            pieces.sort_unstable();
            assert_eq!(pieces, (5..5 + count).collect::<Vec<_>>());
            assert_eq!(last.into_inner(), count);
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        let begun = AtomicU64::new(0);
        let result: Result<Vec<()>> = for_each(
            0..1_000_000,
            1,
            4,
            |piece, ()| {
                begun.fetch_add(1, Ordering::Relaxed);
                if piece < 10 { Ok(()) } else { Err(Error::Refused { reason: piece.to_string() }) }
            },
            |_| {},
        );
        let piece: u64 = result.unwrap_err().to_string().parse().unwrap();
        // Four threads have at most four pieces in hand.
        assert!((10..14).contains(&piece), "{piece}");
        assert!(begun.into_inner() < 20);
    }
}
