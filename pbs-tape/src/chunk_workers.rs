//! Work on chunks that come from a tape, by several threads, because checking and storing them costs more than
//! reading a tape.
//!
//! Memory is bounded: few chunks wait between the thread that reads and those that work. A worker that fails ends
//! the reading with its error; nobody waits for room that will never come.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use datastore::Digest;

use crate::error::{Error, Result};

/// Chunks between reader and workers.
const QUEUE_CHUNKS: usize = 8;

/// Takes chunks in the thread that reads the tape.
pub(crate) struct ChunkSink<'a> {
    queue: &'a Sender<(Digest, Vec<u8>)>,
    free: &'a Receiver<Vec<u8>>,
    failed: &'a Mutex<Option<Error>>,
}

impl ChunkSink<'_> {
    /// A buffer to read the next chunk into.
    pub fn buffer(&self) -> Vec<u8> {
        self.free.try_recv().unwrap_or_default()
    }

    /// Gives a chunk to the workers. Fails if a worker failed.
    pub fn put(&self, digest: Digest, blob: Vec<u8>) -> Result<()> {
        if self.queue.send((digest, blob)).is_ok() {
            return Ok(());
        }
        Err(lock(self.failed).take().unwrap_or(Error::Aborted))
    }
}

/// Runs `read`, which puts chunks into the sink, and waits until `work` has had them all. `work` gives its buffer
/// back, to be used again.
///
/// The outer error is a worker's; the inner result is that of `read`.
pub(crate) fn with_workers<T>(
    workers: usize,
    work: &(dyn Fn(Digest, Vec<u8>) -> Result<Vec<u8>> + Sync),
    read: impl FnOnce(&ChunkSink<'_>) -> Result<T>,
) -> Result<Result<T>> {
    let (queue_in, queue) = bounded(QUEUE_CHUNKS);
    let (free_in, free) = unbounded();
    let failed = Mutex::new(None);
    let result = thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            let (queue, free_in, failed) = (queue.clone(), free_in.clone(), &failed);
            scope.spawn(move || {
                if let Err(e) = work_off(&queue, &free_in, work) {
                    lock(failed).get_or_insert(e);
                    // Let nobody wait for room that will never come.
                    for _ in queue.iter() {}
                }
            });
        }
        // Only the workers hold the receiving end, so that their end is noticed.
        drop(queue);
        let sink = ChunkSink { queue: &queue_in, free: &free, failed: &failed };
        let result = read(&sink);
        drop(queue_in);
        result
    });
    match lock(&failed).take() {
        Some(e) => Err(e),
        None => Ok(result),
    }
}

fn work_off(
    queue: &Receiver<(Digest, Vec<u8>)>,
    free: &Sender<Vec<u8>>,
    work: &(dyn Fn(Digest, Vec<u8>) -> Result<Vec<u8>> + Sync),
) -> Result<()> {
    for (digest, blob) in queue {
        let buffer = work(digest, blob)?;
        let _nobody_reads_any_more = free.send(buffer);
    }
    Ok(())
}

/// What a thread that panicked left is only counted or listed: it is as good as before.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
