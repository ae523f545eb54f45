//! Putting chunks from tape into a datastore, with several threads, because checking and storing
//! costs more than reading a tape.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use datastore::blob::{CHUNK_BYTES_MAX, ChunkName};
use datastore::{DataBlob, Datastore, Digest, Progress};

use crate::error::{Error, Result};

/// Chunks between reader and writers.
const QUEUE_CHUNKS: usize = 8;

/// What became of the chunks of one archive.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Chunks whose bytes were sound, in no order.
    pub sound: Vec<Digest>,
    /// Chunks whose bytes are wrong, with the reason.
    pub bad: Vec<(Digest, String)>,
    pub chunks: u64,
    pub chunk_bytes: u64,
    pub present: u64,
}

/// Takes chunks in the thread that reads the tape.
pub(super) struct ChunkSink<'a> {
    queue: &'a Sender<(Digest, Vec<u8>)>,
    free: &'a Receiver<Vec<u8>>,
    failed: &'a Mutex<Option<Error>>,
}

impl ChunkSink<'_> {
    /// A buffer to read the next chunk into.
    pub fn buffer(&self) -> Vec<u8> {
        self.free.try_recv().unwrap_or_default()
    }

    /// Gives a chunk to the writers. Fails if a writer failed.
    pub fn put(&self, digest: Digest, blob: Vec<u8>) -> Result<()> {
        if self.queue.send((digest, blob)).is_ok() {
            return Ok(());
        }
        Err(take(self.failed).unwrap_or(Error::Aborted))
    }
}

/// Runs `read`, which puts chunks into the sink, and waits until all are stored.
///
/// Chunks that are damaged are listed in the result; a datastore that fails is an error.
pub(super) fn store_chunks<T>(
    target: &Datastore,
    writers: usize,
    progress: &dyn Progress,
    read: impl FnOnce(&ChunkSink<'_>) -> Result<T>,
) -> Result<(Result<T>, Stored)> {
    let (queue_in, queue) = bounded(QUEUE_CHUNKS);
    let (free_in, free) = unbounded();
    let failed = Mutex::new(None);
    let stored = Mutex::new(Stored::default());
    let bytes = AtomicU64::new(0);
    let result = thread::scope(|scope| {
        for _ in 0..writers.max(1) {
            let (queue, free_in) = (queue.clone(), free_in.clone());
            let (failed, stored, bytes) = (&failed, &stored, &bytes);
            scope.spawn(move || {
                if let Err(e) = write(target, &queue, &free_in, stored, bytes, progress) {
                    let mut slot = failed.lock().unwrap_or_else(|e| e.into_inner());
                    slot.get_or_insert(e);
                    // Let nobody wait for room that will never come.
                    for _ in queue.iter() {}
                }
            });
        }
        // Only the writers hold the receiving end, so that their end is noticed.
        drop(queue);
        let sink = ChunkSink { queue: &queue_in, free: &free, failed: &failed };
        let result = read(&sink);
        drop(queue_in);
        result
    });
    if let Some(e) = take(&failed) {
        return Err(e);
    }
    let mut stored = stored.into_inner().unwrap_or_else(|e| e.into_inner());
    stored.chunk_bytes = bytes.load(Ordering::Relaxed);
    Ok((result, stored))
}

fn write(
    target: &Datastore,
    queue: &Receiver<(Digest, Vec<u8>)>,
    free: &Sender<Vec<u8>>,
    stored: &Mutex<Stored>,
    bytes: &AtomicU64,
    progress: &dyn Progress,
) -> Result<()> {
    for (digest, blob) in queue {
        let len = blob.len() as u64;
        let blob = check(&digest, blob);
        let known = match &blob {
            // A chunk that is there is only touched, so that garbage collection keeps it.
            Ok(_) => target.chunks().touch(&digest)?,
            Err(_) => false,
        };
        if let Ok(blob) = &blob
            && !known
        {
            if let Err(reason) = prove(&digest, blob) {
                lock(stored).bad.push((digest, reason));
                continue;
            }
            target.chunks().insert(&digest, blob)?;
            bytes.fetch_add(len, Ordering::Relaxed);
        }
        progress.advance_bytes(len);
        let mut stored = lock(stored);
        match blob {
            Ok(blob) => {
                stored.sound.push(digest);
                if known {
                    stored.present += 1;
                } else {
                    stored.chunks += 1;
                }
                drop(stored);
                let _ = free.send(blob.into_bytes());
            }
            Err(reason) => stored.bad.push((digest, reason)),
        }
    }
    Ok(())
}

/// Magic, length and CRC.
fn check(digest: &Digest, blob: Vec<u8>) -> Result<DataBlob, String> {
    DataBlob::from_bytes(blob, &ChunkName(digest)).map_err(|e| e.to_string())
}

/// The digest, which for an encrypted chunk needs the key and can't be checked here.
fn prove(digest: &Digest, blob: &DataBlob) -> Result<(), String> {
    if blob.kind().encrypted {
        return Ok(());
    }
    let content =
        blob.decode(None, CHUNK_BYTES_MAX, &ChunkName(digest)).map_err(|e| e.to_string())?;
    let found = Digest::of(&content);
    if found == *digest {
        Ok(())
    } else {
        Err(format!("chunk {digest}: its content has the digest {found}"))
    }
}

fn lock(stored: &Mutex<Stored>) -> std::sync::MutexGuard<'_, Stored> {
    stored.lock().unwrap_or_else(|e| e.into_inner())
}

fn take(failed: &Mutex<Option<Error>>) -> Option<Error> {
    failed.lock().unwrap_or_else(|e| e.into_inner()).take()
}
