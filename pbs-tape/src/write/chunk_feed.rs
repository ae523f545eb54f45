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
        ChunkFeed { chunks: Some(chunks), next: None, threads }
    }

    /// The next chunk; `None` at the end. After an error there is nothing more to come.
    pub fn take(&mut self) -> Option<Result<FedChunk>> {
        self.next.take().or_else(|| self.chunks.as_ref()?.recv().ok())
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
