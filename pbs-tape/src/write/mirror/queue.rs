//! What waits for one copy, and the copy's view of it.
//!
//! The queue is in the plan's order and bounded in bytes. Both ends end: who puts learns that the copy has ended, who takes that the feed
//! has, and an abort is seen within a tenth of a second.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use datastore::Progress;

use super::same_error;
use crate::chunk_workers::lock;
use crate::error::{Error, Result};
use crate::write::feed::{
    ChunkSource, FedChunk, PlannedSnapshot, Registered, SnapshotAt, Step, Steps,
};
use crate::write::known::Known;

/// How often a wait looks for an abort.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a copy gets.
#[derive(Clone)]
pub enum Item {
    Skipped,
    Unreadable(Arc<SnapshotAt>, Arc<Error>),
    Begin(Arc<PlannedSnapshot>),
    Chunk(FedChunk),
    BadChunk(Arc<Error>),
    /// With it goes the word that the chunks are registered, once the last copy has dropped it.
    End(Arc<PlannedSnapshot>, Arc<Registered>),
    GroupDone(usize),
    Idle,
    /// The feed ended with this.
    Failed(Arc<Error>),
}

struct State {
    items: VecDeque<Item>,
    bytes: u64,
    /// Nothing more comes.
    has_ended: bool,
    /// Nobody takes any more.
    is_closed: bool,
}

/// Between the feed and one copy.
pub struct CopyQueue {
    bytes_max: u64,
    state: Mutex<State>,
    room: Condvar,
    ready: Condvar,
}

impl CopyQueue {
    /// An empty queue. One chunk that is larger has it for itself.
    pub fn new(bytes_max: u64) -> CopyQueue {
        let items = VecDeque::new();
        let state = State { items, bytes: 0, has_ended: false, is_closed: false };
        CopyQueue {
            bytes_max,
            state: Mutex::new(state),
            room: Condvar::new(),
            ready: Condvar::new(),
        }
    }

    /// Adds an item as soon as there is room. It is dropped if nobody takes any more, or the job is aborted.
    pub fn put(&self, item: Item, progress: &dyn Progress) {
        let bytes = item_bytes(&item);
        let mut state = lock(&self.state);
        while !state.is_closed && state.bytes > 0 && state.bytes + bytes > self.bytes_max {
            if progress.is_aborted() {
                return;
            }
            state = wait(&self.room, state);
        }
        if !state.is_closed {
            state.bytes += bytes;
            state.items.push_back(item);
            self.ready.notify_one();
        }
    }

    /// Nothing more comes.
    pub fn end(&self) {
        lock(&self.state).has_ended = true;
        self.ready.notify_one();
    }

    /// Nobody takes any more.
    pub fn close(&self) {
        let items = {
            let mut state = lock(&self.state);
            state.is_closed = true;
            std::mem::take(&mut state.items)
        };
        self.room.notify_one();
        // Outside the lock: tokens are told to the plan.
        drop(items);
    }

    /// True once nobody takes any more.
    pub fn is_closed(&self) -> bool {
        lock(&self.state).is_closed
    }

    fn take(&self, progress: &dyn Progress) -> Result<Option<Item>> {
        let mut state = lock(&self.state);
        loop {
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            if let Some(item) = state.items.pop_front() {
                state.bytes -= item_bytes(&item);
                self.room.notify_one();
                return Ok(Some(item));
            }
            if state.has_ended {
                return Ok(None);
            }
            state = wait(&self.ready, state);
        }
    }
}

fn item_bytes(item: &Item) -> u64 {
    match item {
        Item::Chunk(chunk) => chunk.blob.encoded_len(),
        _ => 0,
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    match condition.wait_timeout(state, LOOK_EVERY) {
        Ok((state, _)) => state,
        Err(poisoned) => PoisonError::into_inner(poisoned).0,
    }
}

/// The steps of one copy: what comes through its queue, without what its set holds.
pub struct CopyFeed<'a> {
    pub queue: &'a CopyQueue,
    pub known: Arc<Known>,
    pub store_name: &'a str,
    pub progress: &'a dyn Progress,
    /// Where the slowest speed of this copy's drive is told; 0 = not known.
    pub slowest: &'a std::sync::atomic::AtomicU64,
    next: Option<Item>,
    /// The snapshot that comes is in the set already.
    is_skipping: bool,
    /// Dropped when the next step is asked for: then the snapshot's archive was written.
    registered: Option<Arc<Registered>>,
}

impl<'a> CopyFeed<'a> {
    pub fn new(
        queue: &'a CopyQueue,
        known: Arc<Known>,
        store_name: &'a str,
        progress: &'a dyn Progress,
        slowest: &'a std::sync::atomic::AtomicU64,
    ) -> CopyFeed<'a> {
        CopyFeed {
            queue,
            known,
            store_name,
            progress,
            slowest,
            next: None,
            is_skipping: false,
            registered: None,
        }
    }

    /// The next item that is something to do for this copy.
    fn take(&mut self) -> Result<Option<Item>> {
        if let Some(item) = self.next.take() {
            return Ok(Some(item));
        }
        loop {
            let Some(item) = self.queue.take(self.progress)? else { return Ok(None) };
            match &item {
                Item::Begin(snapshot)
                    if self.known.contains_snapshot(self.store_name, &snapshot.at.name) =>
                {
                    self.is_skipping = true;
                    return Ok(Some(Item::Skipped));
                }
                Item::BadChunk(_) | Item::End(..) if self.is_skipping => self.is_skipping = false,
                Item::Chunk(_) if self.is_skipping => {}
                Item::Chunk(chunk)
                    if self.known.contains_chunk(self.store_name, &chunk.digest)? => {}
                _ => return Ok(Some(item)),
            }
        }
    }
}

impl Steps for CopyFeed<'_> {
    fn next_step(&mut self) -> Result<Option<Step>> {
        self.registered = None;
        let Some(item) = self.take()? else { return Ok(None) };
        Ok(Some(match item {
            Item::Skipped => Step::Skipped,
            Item::Unreadable(at, error) => Step::Unreadable(at, same_error(&error)),
            Item::Begin(snapshot) => Step::Begin(snapshot),
            Item::Chunk(chunk) => Step::Chunk(chunk),
            Item::BadChunk(error) => Step::BadChunk(same_error(&error)),
            Item::End(snapshot, registered) => {
                self.registered = Some(registered);
                Step::End(snapshot)
            }
            Item::GroupDone(number) => Step::GroupDone(number),
            Item::Idle => Step::Idle,
            Item::Failed(error) => Step::Failed(same_error(&error)),
        }))
    }

    /// The feed itself makes its plan anew when it meets a bad chunk; what it planned before does not come any more.
    fn restart_behind(&mut self, _snapshot: &PlannedSnapshot) {}

    fn set_drive_slowest(&mut self, bytes_per_s: Option<u64>) {
        self.slowest.store(bytes_per_s.unwrap_or(0), std::sync::atomic::Ordering::Relaxed);
    }
}

impl ChunkSource for CopyFeed<'_> {
    fn next_chunk(&mut self) -> Option<Result<FedChunk>> {
        if !self.has_chunk() {
            return None;
        }
        match self.take() {
            Ok(Some(Item::Chunk(chunk))) => Some(Ok(chunk)),
            Ok(Some(Item::BadChunk(error))) => Some(Err(same_error(&error))),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn put_back(&mut self, chunk: FedChunk) {
        debug_assert!(self.next.is_none(), "only the chunk given out last can come back");
        self.next = Some(Item::Chunk(chunk));
    }

    fn has_chunk(&mut self) -> bool {
        match self.take() {
            Ok(Some(item)) => {
                let is_chunk = matches!(item, Item::Chunk(_) | Item::BadChunk(_));
                self.next = Some(item);
                is_chunk
            }
            Ok(None) => false,
            // Whoever takes it is told the error.
            Err(_) => true,
        }
    }
}
