//! The parallel half of a restore: chunks read, unpacked and proved ahead, handed out in order.
//!
//! Workers take the chunks of an index in order, each as soon as it is free; the reader waits for
//! the next one in order. At most a fixed number of chunks is under way or waiting, so memory does
//! not grow with the archive. Whatever is handed out has the digest and length of its index entry.
//!
//! A chunk of zeros is read and proved once; wherever else its name stands in the index, the bytes
//! are known. Most of a disk image is often made of it.

use std::collections::VecDeque;
use std::io::{self, BufRead, Read};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use datastore::index::{Index, IndexEntry};
use datastore::{CryptConfig, Digest};

use crate::error::{Error, Result};
use crate::session::RestoreSession;
use crate::zeros::is_zero;

/// A chunk on its way, and where its content goes.
type Order = (IndexEntry, Sender<Result<Content>>);

/// The next bytes of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// These.
    Bytes(Vec<u8>),
    /// So many zeros.
    Zeros(u64),
}

impl Content {
    /// Number of bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Zeros(len) => *len,
        }
    }

    /// True without a byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

enum UnderWay {
    Ordered(IndexEntry, Receiver<Result<Content>>),
    Known(Content),
}

/// The content of an archive from its first byte to its last.
pub struct ReadAhead {
    index: Index,
    /// First chunk that is not ordered yet.
    next: usize,
    orders: Option<Sender<Order>>,
    /// Chunks under way, in order.
    under_way: VecDeque<UnderWay>,
    window: usize,
    /// A chunk that was proved to hold nothing but zeros.
    zeros: Option<(Digest, u64)>,
    current: Vec<u8>,
    taken: usize,
    /// What went wrong, beside the `io::Error` that a reader gets to see.
    error: Option<Error>,
    workers: Vec<JoinHandle<()>>,
}

impl ReadAhead {
    /// Begins to read an archive.
    pub fn start(
        session: &Arc<dyn RestoreSession>,
        index: Index,
        key: Option<Arc<CryptConfig>>,
        workers: usize,
    ) -> Result<ReadAhead> {
        let count = workers.clamp(1, 64);
        let window = 2 * count;
        let (orders, queue) = bounded::<Order>(window);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let (queue, session, key) = (queue.clone(), Arc::clone(session), key.clone());
            let worker = std::thread::Builder::new()
                .name(format!("read-{number}"))
                .spawn(move || {
                    for (entry, answer) in queue {
                        // A reader that was dropped does not want the answer any more.
                        let _ = answer.send(read_chunk(&*session, key.as_deref(), &entry));
                    }
                })
                .map_err(|e| Error::io("start a thread of", "this program", e))?;
            threads.push(worker);
        }
        Ok(ReadAhead {
            index,
            next: 0,
            orders: Some(orders),
            under_way: VecDeque::with_capacity(window),
            window,
            zeros: None,
            current: Vec::new(),
            taken: 0,
            error: None,
            workers: threads,
        })
    }

    /// The next chunk's content, in order; `None` after the last.
    pub fn next_chunk(&mut self) -> Result<Option<Content>> {
        while self.under_way.len() < self.window
            && let Some(entry) = self.index.entry(self.next)
            && let Some(orders) = &self.orders
        {
            if self.zeros == Some((entry.digest, entry.len())) {
                self.under_way.push_back(UnderWay::Known(Content::Zeros(entry.len())));
            } else {
                let (answer, receiver) = bounded(1);
                orders.send((entry, answer)).map_err(|_| Error::WorkerDied)?;
                self.under_way.push_back(UnderWay::Ordered(entry, receiver));
            }
            self.next += 1;
        }
        match self.under_way.pop_front() {
            None => Ok(None),
            Some(UnderWay::Known(content)) => Ok(Some(content)),
            Some(UnderWay::Ordered(entry, receiver)) => {
                let content = receiver.recv().map_err(|_| Error::WorkerDied)??;
                if matches!(content, Content::Zeros(_)) {
                    self.zeros = Some((entry.digest, entry.len()));
                }
                Ok(Some(content))
            }
        }
    }

    /// The error behind a failed read, if there was one, else `other`.
    pub fn cause(&mut self, other: Error) -> Error {
        self.error.take().unwrap_or(other)
    }
}

fn read_chunk(
    session: &dyn RestoreSession,
    key: Option<&CryptConfig>,
    entry: &IndexEntry,
) -> Result<Content> {
    let blob = session.chunk(&entry.digest)?;
    let len = usize::try_from(entry.len()).unwrap_or(usize::MAX);
    let bytes = blob.decode_chunk(key, &entry.digest, len)?;
    Ok(if is_zero(&bytes) { Content::Zeros(entry.len()) } else { Content::Bytes(bytes) })
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.error.is_some() {
            // Going on would hand out the chunk behind the one that failed.
            return Err(io::Error::other("the archive could not be read further"));
        }
        if self.taken >= self.current.len() {
            match self.next_chunk() {
                Ok(chunk) => {
                    self.taken = 0;
                    match chunk {
                        None => self.current = Vec::new(),
                        Some(Content::Bytes(bytes)) => self.current = bytes,
                        Some(Content::Zeros(len)) => {
                            // A chunk was this long when it was proved, so it fits into memory.
                            self.current.clear();
                            self.current.resize(usize::try_from(len).unwrap_or_default(), 0);
                        }
                    }
                }
                Err(error) => {
                    let shown = io::Error::other(error.to_string());
                    self.error = Some(error);
                    return Err(shown);
                }
            }
        }
        Ok(self.current.get(self.taken..).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        let (to, from) = (buffer.get_mut(..count), available.get(..count));
        if let (Some(to), Some(from)) = (to, from) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        Ok(count)
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.orders = None;
        self.under_way.clear();
        for worker in self.workers.drain(..) {
            // A worker that panicked has already shown itself as a missing answer.
            let _ = worker.join();
        }
    }
}
