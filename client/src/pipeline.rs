//! The parallel half of a backup: from a stream of bytes to stored chunks.
//!
//! One thread produces: it reads files and looks for cut points. A few workers do the rest for one
//! chunk at a time: digest, look whether it is known, compress, encrypt, store. Several streams
//! (archives, and the catalog beside them) share the workers.
//!
//! * The queue between them is bounded, so memory does not grow with the archive: at most
//!   [`Pipeline::buffers_max`] chunks are in flight, and their buffers are used again.
//! * The order of the index is that of the stream, whichever worker finishes first: each chunk
//!   carries its number.
//! * Runs of zeros, which disk images are full of, cost nothing after the first chunk of them: all
//!   further chunks are known to be that one.
//! * The first failure anywhere stops the producer at its next chunk, and the stream cannot be
//!   finished any more. An index is written only from a complete list.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use datastore::blob::Encoder;
use datastore::chunker::Chunker;
use datastore::{CryptConfig, Digest};

use crate::error::{Error, Result};
use crate::session::ArchiveSink;
use crate::zeros::is_zero;

/// How chunks are made.
#[derive(Clone)]
pub struct ChunkOptions {
    /// Encrypts, and keys the digests.
    pub key: Option<Arc<CryptConfig>>,
    /// Tries to compress.
    pub compress: bool,
    /// Worker threads.
    pub workers: usize,
}

/// Workers that turn pieces of streams into stored chunks.
pub struct Pipeline {
    jobs: Option<Sender<Job>>,
    buffers: Buffers,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Job {
    stream: Arc<Stream>,
    number: usize,
    content: Vec<u8>,
}

/// What the workers and streams of one backup have in common.
struct Shared {
    options: ChunkOptions,
    failed: AtomicBool,
    error: Mutex<Option<Error>>,
    /// Chunks stored in this session.
    stored: Mutex<HashSet<Digest>>,
}

/// One archive.
struct Stream {
    sink: Arc<dyn ArchiveSink>,
    state: Mutex<StreamState>,
    progress: Condvar,
}

/// Length of a chunk that is not stored yet; no chunk is empty.
const PENDING: u64 = 0;

#[derive(Default)]
struct StreamState {
    /// Length and digest of each chunk. The list of an image of 16 TiB has four million entries, so
    /// their size matters.
    chunks: Vec<(u64, Digest)>,
    done: usize,
}

/// Empty buffers. Fresh memory of this size costs a page fault every 4 KiB, which is as much work
/// as the reading itself.
#[derive(Clone)]
struct Buffers {
    sender: Sender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
}

impl Buffers {
    fn new(count: usize) -> Buffers {
        let (sender, receiver) = bounded(count);
        Buffers { sender, receiver }
    }

    fn take(&self) -> Vec<u8> {
        self.receiver.try_recv().unwrap_or_default()
    }

    fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        // A full pool lets the buffer go.
        let _ = self.sender.try_send(buffer);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A worker that panics fails the whole backup; what it left behind is not used.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn fail(&self, error: Error) {
        let mut first = lock(&self.error);
        if first.is_none() {
            *first = Some(error);
        }
        self.failed.store(true, Ordering::Release);
    }

    fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn take_error(&self) -> Error {
        lock(&self.error).take().unwrap_or(Error::WorkerDied)
    }
}

impl Pipeline {
    /// Starts the workers.
    pub fn start(options: ChunkOptions) -> Result<Pipeline> {
        let count = options.workers.clamp(1, 64);
        let (jobs, queue) = bounded::<Job>(count);
        let buffers = Buffers::new(Pipeline::buffers_max(count));
        let shared = Arc::new(Shared {
            options,
            failed: AtomicBool::new(false),
            error: Mutex::new(None),
            stored: Mutex::default(),
        });
        let mut workers = Vec::with_capacity(count);
        for number in 0..count {
            let (queue, shared, buffers) = (queue.clone(), Arc::clone(&shared), buffers.clone());
            let mut encoder = Encoder::new()?;
            let worker = std::thread::Builder::new()
                .name(format!("chunk-{number}"))
                .spawn(move || {
                    for job in queue {
                        // A worker that died would leave its queue, and whoever waits for it, alone.
                        let run = || run_job(&shared, &mut encoder, &buffers, job);
                        if catch_unwind(AssertUnwindSafe(run)).is_err() {
                            shared.fail(Error::WorkerDied);
                        }
                    }
                })
                .map_err(|e| Error::io("start a thread of", "this program", e))?;
            workers.push(worker);
        }
        Ok(Pipeline { jobs: Some(jobs), buffers, shared, workers })
    }

    /// Most chunk buffers in use at once with so many workers: one each, as many queued, and one
    /// being filled by each of the archive and the catalog.
    pub fn buffers_max(workers: usize) -> usize {
        2 * workers + 2
    }

    /// A stream that is cut by content, into chunks of `avg` bytes on average.
    pub fn dynamic_stream(&self, sink: Arc<dyn ArchiveSink>, avg: usize) -> Result<ChunkWriter> {
        let chunker = Chunker::new(avg)?;
        Ok(self.stream(sink, Cutter::Content(chunker)))
    }

    /// A stream that is cut every `size` bytes.
    pub fn fixed_stream(&self, sink: Arc<dyn ArchiveSink>, size: usize) -> ChunkWriter {
        self.stream(sink, Cutter::Size(size.max(1)))
    }

    fn stream(&self, sink: Arc<dyn ArchiveSink>, cutter: Cutter) -> ChunkWriter {
        let stream = Arc::new(Stream { sink, state: Mutex::default(), progress: Condvar::new() });
        ChunkWriter {
            jobs: self.jobs.clone(),
            shared: Arc::clone(&self.shared),
            buffers: self.buffers.clone(),
            stream,
            cutter,
            buffer: Vec::new(),
            sent: 0,
            zeros: None,
        }
    }

    /// The error that made a stream fail: what a worker met, if one did, else `other`.
    pub fn cause(&self, other: Error) -> Error {
        if self.shared.is_failed() { self.shared.take_error() } else { other }
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // What is still queued is of no use any more; a finished stream has nothing queued.
        self.shared.failed.store(true, Ordering::Release);
        self.jobs = None;
        for worker in self.workers.drain(..) {
            // A panic was reported by the stream already.
            let _ = worker.join();
        }
    }
}

fn run_job(shared: &Shared, encoder: &mut Encoder, buffers: &Buffers, job: Job) {
    /// Fails the backup if the worker leaves without an outcome, by a panic.
    struct Watch<'a>(&'a Shared, &'a Stream, bool);
    impl Drop for Watch<'_> {
        fn drop(&mut self) {
            if !self.2 {
                self.0.fail(Error::WorkerDied);
            }
            // The lock makes sure that a waiting thread sees the change.
            drop(lock(&self.1.state));
            self.1.progress.notify_all();
        }
    }
    let mut watch = Watch(shared, &job.stream, false);
    if !shared.is_failed() {
        match store_chunk(shared, encoder, &*job.stream.sink, &job.content) {
            Ok(digest) => {
                let mut state = lock(&job.stream.state);
                if let Some(slot) = state.chunks.get_mut(job.number) {
                    *slot = (job.content.len() as u64, digest);
                    state.done += 1;
                }
            }
            Err(error) => shared.fail(error),
        }
    }
    watch.2 = true;
    drop(watch);
    buffers.give(job.content);
}

fn digest_of(shared: &Shared, content: &[u8]) -> Digest {
    let key = shared.options.key.as_deref();
    key.map_or_else(|| Digest::of(content), |key| key.digest(content))
}

fn store_chunk(
    shared: &Shared,
    encoder: &mut Encoder,
    sink: &dyn ArchiveSink,
    content: &[u8],
) -> Result<Digest> {
    let key = shared.options.key.as_deref();
    let digest = digest_of(shared, content);
    let known = sink.known_chunks().contains(&digest) || lock(&shared.stored).contains(&digest);
    if known && sink.reuse_chunk(&digest)? {
        return Ok(digest);
    }
    let blob = encoder.encode(content, key, shared.options.compress)?;
    sink.store_chunk(&digest, &blob, content.len() as u64)?;
    lock(&shared.stored).insert(digest);
    Ok(digest)
}

enum Cutter {
    Content(Chunker),
    Size(usize),
}

impl Cutter {
    fn len_max(&self) -> usize {
        match self {
            Cutter::Content(chunker) => chunker.len_max(),
            Cutter::Size(size) => *size,
        }
    }

    fn scan(&mut self, chunk: &[u8]) -> Option<usize> {
        match self {
            Cutter::Content(chunker) => chunker.scan(chunk),
            Cutter::Size(size) => (chunk.len() >= *size).then_some(*size),
        }
    }
}

/// Bytes between two looks for a cut point: enough to make the look cheap, few enough that the
/// bytes behind a cut, which must be moved to the next buffer, are few.
const SCAN_BYTES: usize = 64 << 10;

/// The beginning of a stream's way: takes bytes, cuts them, hands chunks to the workers.
pub struct ChunkWriter {
    jobs: Option<Sender<Job>>,
    shared: Arc<Shared>,
    buffers: Buffers,
    stream: Arc<Stream>,
    cutter: Cutter,
    /// The current chunk as far as it has arrived.
    buffer: Vec<u8>,
    sent: usize,
    /// The chunk of zeros that is as long as chunks get, once one was sent to be stored.
    zeros: Option<Digest>,
}

impl ChunkWriter {
    /// Appends zeros to a stream of chunks of one size. Whole chunks of them are not even made.
    pub(crate) fn add_zeros(
        &mut self,
        bytes: u64,
        mut step: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let len_max = self.cutter.len_max();
        let mut rest = bytes;
        while rest > 0 {
            if self.buffer.is_empty()
                && rest >= len_max as u64
                && let Some(digest) = self.zeros
            {
                self.repeat(digest, len_max)?;
                rest -= len_max as u64;
                step(len_max as u64)?;
                continue;
            }
            self.prepare_buffer();
            let have = self.buffer.len();
            let len = rest.min((len_max - have) as u64) as usize;
            self.buffer.resize(have + len, 0);
            self.cut()?;
            rest -= len as u64;
            step(len as u64)?;
        }
        Ok(())
    }

    /// Takes everything that `input` has, without a copy in between; the number of bytes.
    pub fn copy_from(
        &mut self,
        input: &mut dyn Read,
        mut step: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<u64> {
        let mut total = 0;
        loop {
            self.prepare_buffer();
            let have = self.buffer.len();
            let want = (self.cutter.len_max() - have).min(1 << 20);
            self.buffer.resize(have + want, 0);
            let read = loop {
                match input.read(self.buffer.get_mut(have..).unwrap_or_default()) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result,
                }
            };
            self.buffer.truncate(have + read.as_ref().map_or(0, |read| *read));
            let read = read?;
            if read == 0 {
                return Ok(total);
            }
            total += read as u64;
            step(read as u64)?;
            self.cut()?;
        }
    }

    /// Hands complete chunks to the workers.
    fn cut(&mut self) -> io::Result<()> {
        while let Some(len) = self.cutter.scan(&self.buffer) {
            let mut next = self.buffers.take();
            next.reserve_exact(self.cutter.len_max());
            next.extend_from_slice(self.buffer.get(len..).unwrap_or_default());
            self.buffer.truncate(len);
            let chunk = std::mem::replace(&mut self.buffer, next);
            self.send(chunk)?;
        }
        Ok(())
    }

    fn prepare_buffer(&mut self) {
        if self.buffer.capacity() == 0 {
            self.buffer = self.buffers.take();
            self.buffer.reserve_exact(self.cutter.len_max());
        }
    }

    /// Notes a chunk whose content was sent before.
    fn repeat(&mut self, digest: Digest, len: usize) -> io::Result<()> {
        if self.shared.is_failed() {
            return Err(stopped());
        }
        self.sent += 1;
        let mut state = lock(&self.stream.state);
        state.chunks.push((len as u64, digest));
        state.done += 1;
        drop(state);
        self.stream.sink.count_repeated();
        Ok(())
    }

    fn send(&mut self, content: Vec<u8>) -> io::Result<()> {
        if self.shared.is_failed() {
            return Err(stopped());
        }
        if content.len() == self.cutter.len_max() && is_zero(&content) {
            if let Some(digest) = self.zeros {
                self.repeat(digest, content.len())?;
                self.buffers.give(content);
                return Ok(());
            }
            self.zeros = Some(digest_of(&self.shared, &content));
        }
        let number = self.sent;
        self.sent += 1;
        lock(&self.stream.state).chunks.push((PENDING, Digest::default()));
        let job = Job { stream: Arc::clone(&self.stream), number, content };
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())
    }

    /// Stores the rest, waits for all chunks of the stream and ends the archive.
    pub fn finish(mut self) -> Result<datastore::manifest::FileInfo> {
        if !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            if self.send(rest).is_err() {
                return Err(self.shared.take_error());
            }
        }
        let mut state = lock(&self.stream.state);
        while state.done < self.sent {
            if self.shared.is_failed() {
                return Err(self.shared.take_error());
            }
            state = self.stream.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let chunks = std::mem::take(&mut state.chunks);
        drop(state);
        // All are done, so none is pending; a list with a hole must never become an index.
        if chunks.iter().any(|(len, _)| *len == PENDING) {
            return Err(Error::WorkerDied);
        }
        self.stream.sink.finish(&chunks)
    }
}

fn stopped() -> io::Error {
    io::Error::other("the backup cannot store its chunks")
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.prepare_buffer();
        let room = self.cutter.len_max() - self.buffer.len();
        let count = bytes.len().min(room).min(SCAN_BYTES);
        self.buffer.extend_from_slice(bytes.get(..count).unwrap_or_default());
        self.cut()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
