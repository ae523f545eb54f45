//! Reading chunks ahead, so that the drive never waits for the disk.
//!
//! One thread puts the chunks of each index into the order in which they lie on the disk; readers
//! load and check them; a bounded queue keeps what was read until the tape takes it. A chunk whose
//! CRC is wrong never gets out of here as a chunk: it comes as the error that ends its snapshot,
//! because a tape must not promise what it does not hold.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};
use datastore::{DataBlob, Datastore, Digest};

use crate::error::{Error, Result};

/// Chunks that wait for the tape: with the usual 4 MiB, at most 32 MiB.
const QUEUE_CHUNKS: usize = 8;

/// In which order the chunks of an index are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChunkOrder {
    /// By inode number, which is how they lie on the disk, roughly.
    #[default]
    Inode,
    /// As in the index.
    Index,
}

/// A chunk on its way to the tape.
pub struct FedChunk {
    /// Its name.
    pub digest: Digest,
    /// Its file, checked.
    pub blob: DataBlob,
}

/// The chunks of one snapshot that the media set lacks.
pub struct ChunkFeed {
    chunks: Option<Receiver<Result<FedChunk>>>,
    /// Chunks that must still come: only their number tells the end from threads that died.
    expected: usize,
    snapshot: Arc<str>,
    /// Looked at, or given back because a tape cut it.
    next: Option<Result<FedChunk>>,
    threads: Vec<JoinHandle<()>>,
}

/// The chunks that one index adds.
pub struct ChunkList {
    /// Name of the index, for messages.
    pub archive: String,
    /// What to read.
    pub digests: Vec<Digest>,
}

impl ChunkFeed {
    /// Starts to read. `snapshot` is for messages.
    pub fn start(
        store: &Arc<Datastore>,
        snapshot: String,
        lists: Vec<ChunkList>,
        order: ChunkOrder,
        readers: usize,
    ) -> ChunkFeed {
        let expected = lists.iter().map(|list| list.digests.len()).sum();
        let (work_in, work) = bounded::<(Digest, Arc<str>)>(QUEUE_CHUNKS);
        let (chunks_in, chunks) = bounded(QUEUE_CHUNKS);
        let mut threads = Vec::new();
        let lister_store = Arc::clone(store);
        threads.push(thread::spawn(move || list(&lister_store, lists, order, &work_in)));
        let snapshot: Arc<str> = snapshot.into();
        for _ in 0..readers.max(1) {
            let (store, work, chunks_in) = (Arc::clone(store), work.clone(), chunks_in.clone());
            let snapshot = Arc::clone(&snapshot);
            threads.push(thread::spawn(move || read(&store, &snapshot, &work, &chunks_in)));
        }
        ChunkFeed { chunks: Some(chunks), expected, snapshot, next: None, threads }
    }

    /// The next chunk; `None` at the end. After an error there is nothing more to come.
    pub fn take(&mut self) -> Option<Result<FedChunk>> {
        if let Some(next) = self.next.take() {
            return Some(next);
        }
        if self.expected == 0 {
            return None;
        }
        match self.chunks.as_ref()?.recv() {
            Ok(Ok(chunk)) => {
                self.expected -= 1;
                Some(Ok(chunk))
            }
            Ok(Err(e)) => {
                self.expected = 0;
                Some(Err(e))
            }
            // The queue closes when all threads are gone, however they went.
            Err(_) => {
                let missing = std::mem::take(&mut self.expected);
                Some(Err(Error::FeedEnded { snapshot: self.snapshot.to_string(), missing }))
            }
        }
    }

    /// True if nothing is left.
    pub fn is_empty(&mut self) -> bool {
        if self.next.is_none() {
            self.next = self.take();
        }
        self.next.is_none()
    }

    /// Takes back a chunk that must be written again.
    pub fn put_back(&mut self, chunk: FedChunk) {
        debug_assert!(self.next.is_none(), "only the chunk given out last can come back");
        self.next = Some(Ok(chunk));
    }
}

impl Drop for ChunkFeed {
    fn drop(&mut self) {
        // Closing the queue ends the threads at their next chunk.
        self.chunks = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn list(
    store: &Datastore,
    lists: Vec<ChunkList>,
    order: ChunkOrder,
    work: &Sender<(Digest, Arc<str>)>,
) {
    for ChunkList { archive, digests } in lists {
        let archive: Arc<str> = archive.into();
        let mut digests = digests;
        if order == ChunkOrder::Inode {
            // A missing chunk has no inode; reading it will give the error.
            digests.sort_by_cached_key(|digest| store.chunks().inode(digest).unwrap_or(0));
        }
        for digest in digests {
            if work.send((digest, Arc::clone(&archive))).is_err() {
                return;
            }
        }
    }
}

fn read(
    store: &Datastore,
    snapshot: &str,
    work: &Receiver<(Digest, Arc<str>)>,
    chunks: &Sender<Result<FedChunk>>,
) {
    for (digest, archive) in work {
        let chunk = match store.chunks().read(&digest) {
            Ok(blob) => Ok(FedChunk { digest, blob }),
            Err(e) => Err(Error::UnreadableChunk {
                snapshot: snapshot.to_string(),
                archive: archive.to_string(),
                digest: digest.to_string(),
                reason: e.to_string(),
            }),
        };
        let failed = chunk.is_err();
        if chunks.send(chunk).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threads that died without a word have not read everything.
    #[test]
    fn an_early_end_is_an_error() {
        for sent in 0..=2 {
            let (chunks_in, chunks) = bounded(QUEUE_CHUNKS);
            for _ in 0..sent {
                let blob = DataBlob::encode(b"chunk", None, false).unwrap();
                chunks_in.send(Ok(FedChunk { digest: Digest::of(b"chunk"), blob })).unwrap();
            }
            drop(chunks_in);
            let mut feed = ChunkFeed {
                chunks: Some(chunks),
                expected: 2,
                snapshot: "main:host/a".into(),
                next: None,
                threads: Vec::new(),
            };
            for _ in 0..sent {
                assert!(!feed.is_empty());
                let chunk = feed.take().unwrap().unwrap();
                feed.put_back(chunk);
                feed.take().unwrap().unwrap();
            }
            match feed.take() {
                None => assert_eq!(sent, 2),
                Some(Ok(_)) => panic!("more than was sent"),
                Some(Err(e)) => {
                    assert!(sent < 2);
                    assert!(matches!(e, Error::FeedEnded { .. }), "{e}");
                    assert!(e.to_string().contains("main:host/a"), "{e}");
                    assert!(feed.is_empty(), "told once");
                }
            }
        }
    }
}
