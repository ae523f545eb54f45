//! Reading ahead for a whole job, so that the drive streams or rests.
//!
//! ```text
//! planner: snapshots → locked reader, blobs proved, chunks that the set and the plan lack, in disk order
//!    → dispatcher: a place in the buffer for each → readers: chunks, checked → buffer → gate → the job
//! ```
//!
//! The plan goes on over the ends of snapshots: while the drive writes one, the chunks of the next are read. What a planned snapshot adds
//! counts as known for those behind it. Why no snapshot gets onto tape without its chunks all the same:
//!
//! * pieces come out in the plan's order, so all that a snapshot counts on was given out before its end;
//! * a chunk whose CRC is wrong never gets out of here as a chunk: it comes as the error that ends its snapshot. The job then
//!   discards the whole plan behind it ([`Feed::restart_behind`]) and it is made anew from what was really written;
//! * an end that threads did not reach is an error, whatever ended them.
//!
//! Files: `gate` (when the drive gets data), `ring` (the buffer), `readers` (how many), `plan` (planner and dispatcher).

mod gate;
mod plan;
mod readers;
mod ring;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use datastore::{DataBlob, Datastore, Digest, Progress};

pub use gate::{
    BUFFER_BYTES_FIRST, BufferSize, Decision, Gate, Level, Pauses, SNAPSHOTS_AHEAD_MAX, bytes_per_s,
};
pub use plan::{Dealer, Plan, PlannedSnapshot, Registered, SnapshotAt};
use plan::{Position, Wanted};
pub use readers::{READERS_MAX, ReaderCount, pays};
use ring::{Ended, Measured, Ring};

use crate::error::{Error, Result};

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
#[derive(Debug, Clone)]
pub struct FedChunk {
    /// Its name.
    pub digest: Digest,
    /// Its file, checked.
    pub blob: Arc<DataBlob>,
}

/// Where chunks for one archive come from.
pub trait ChunkSource {
    /// The next chunk; `None` if something else comes. After an error there is nothing more to come.
    fn next_chunk(&mut self) -> Option<Result<FedChunk>>;

    /// Takes back the chunk that was given out last: it must be written again.
    fn put_back(&mut self, chunk: FedChunk);

    /// True if a chunk comes next. Does not wait for it.
    fn has_chunk(&mut self) -> bool;
}

/// What is to be done for a drive, step by step.
pub trait Steps: ChunkSource {
    /// What is to be done next; `None` at the end.
    fn next_step(&mut self) -> Result<Option<Step>>;

    /// A chunk of `snapshot` was not written: what was planned behind it may have counted on it, and comes anew.
    fn restart_behind(&mut self, snapshot: &PlannedSnapshot);

    /// The drive has a tape with which it runs no slower than this, in bytes a second.
    fn set_drive_slowest(&mut self, bytes_per_s: Option<u64>);
}

/// What the job has to do next.
pub enum Step {
    /// To tell as a warning.
    Warning(String),
    /// The set holds this snapshot already.
    Skipped,
    /// This snapshot can't be read.
    Unreadable(Arc<SnapshotAt>, Error),
    /// The chunks of a snapshot come.
    Begin(Arc<PlannedSnapshot>),
    /// All its chunks were given out: its archive.
    End(Arc<PlannedSnapshot>),
    /// A group is done, by its number.
    GroupDone(usize),
    /// There is nothing to do, and there may be more later.
    Idle,
    /// The plan can't be made: the job ends.
    Failed(Error),
    /// A chunk; it comes through [`ChunkSource`].
    Chunk(FedChunk),
    /// A chunk that could not be read.
    BadChunk(Error),
}

/// Reading ahead for one job.
pub struct Feed<'a> {
    plan: Arc<Plan>,
    progress: &'a dyn Progress,
    clock: Instant,
    ring: Arc<Ring<Wanted, Step>>,
    threads: Vec<JoinHandle<()>>,
    next: Option<FedChunk>,
    /// The snapshot whose chunks come, for messages.
    current: String,
    /// Whoever takes the steps tells himself what is registered.
    is_for_copies: bool,
}

impl<'a> Feed<'a> {
    /// Starts to plan and to read. `readers`: `None` finds out how many.
    pub fn start(
        plan: Plan,
        size: BufferSize,
        readers: Option<usize>,
        progress: &'a dyn Progress,
    ) -> Feed<'a> {
        let measured =
            Measured { gate: Gate::new(size), readers: ReaderCount::new(readers), peak_bytes: 0 };
        let clock = Instant::now();
        let ring = Arc::new(Ring::new(measured, clock));
        let mut feed = Feed {
            plan: Arc::new(plan),
            progress,
            clock,
            ring,
            threads: Vec::new(),
            next: None,
            current: "(none)".into(),
            is_for_copies: false,
        };
        feed.spawn(Position::START);
        feed
    }

    /// The same for several that are written behind queues: what is planned stays planned until [`Registered`] was dropped.
    #[must_use]
    pub fn for_copies(mut self) -> Feed<'a> {
        self.is_for_copies = true;
        self
    }

    /// To be dropped when all have registered the chunks of a snapshot.
    pub fn registered(&self, snapshot: &PlannedSnapshot) -> Registered {
        Registered::new(Arc::clone(&self.plan), snapshot.number)
    }

    fn spawn(&mut self, from: Position) {
        let readers = self.ring.measured(|measured| measured.readers.threads());
        let (planned_in, planned) = crossbeam_channel::bounded(1);
        let (plan, ring) = (Arc::clone(&self.plan), Arc::clone(&self.ring));
        self.threads.push(thread::spawn(move || {
            guarded(&ring, || {
                plan.run(from, &|| ring.is_closed(), &planned_in);
                true
            });
        }));
        let (plan, ring) = (Arc::clone(&self.plan), Arc::clone(&self.ring));
        self.threads.push(thread::spawn(move || {
            guarded(&ring, || plan::dispatch(&plan.store_name, &planned, &ring));
        }));
        for reader in 0..readers {
            let (plan, ring) = (Arc::clone(&self.plan), Arc::clone(&self.ring));
            self.threads.push(thread::spawn(move || {
                guarded(&ring, || {
                    read(&plan.source, reader, &ring);
                    true
                });
            }));
        }
    }

    fn error(&self, ended: Ended) -> Error {
        match ended {
            Ended::Aborted => Error::Aborted,
            Ended::Broken => {
                Error::FeedEnded { snapshot: self.current.clone(), missing: self.ring.left() }
            }
        }
    }

    /// What was measured: the gate, the readers, and the most bytes that were held at once.
    pub fn measured<R>(&self, look: impl FnOnce(&Gate, &ReaderCount, u64) -> R) -> R {
        self.ring.measured(|it| look(&it.gate, &it.readers, it.peak_bytes))
    }

    fn stop(&mut self) {
        self.next = None;
        self.ring.close();
        for thread in self.threads.drain(..) {
            // One that panicked has told so by breaking off.
            let _ = thread.join();
        }
    }
}

impl Steps for Feed<'_> {
    /// What is to be done next; `None` when the job is done.
    fn next_step(&mut self) -> Result<Option<Step>> {
        if let Some(chunk) = self.next.take() {
            return Ok(Some(Step::Chunk(chunk)));
        }
        let step = self.ring.take(&|| self.progress.is_aborted());
        match step {
            Ok(step) => {
                match &step {
                    Some(Step::Begin(snapshot)) => {
                        self.current = format!("{}:{}", self.plan.store_name, snapshot.at.name);
                    }
                    // Its chunks are registered: the catalogs know them.
                    Some(Step::End(snapshot)) if !self.is_for_copies => {
                        self.plan.forget(snapshot.number);
                    }
                    _ => {}
                }
                Ok(step)
            }
            Err(ended) => Err(self.error(ended)),
        }
    }

    /// Discards the plan, which counted on chunks of `snapshot` that were not written, and makes it anew from the snapshot behind it.
    fn restart_behind(&mut self, snapshot: &PlannedSnapshot) {
        self.stop();
        self.plan.forget_all();
        let measured = self.ring.measured(|measured| Measured {
            gate: measured.gate.clone(),
            readers: measured.readers.clone(),
            peak_bytes: measured.peak_bytes,
        });
        self.ring = Arc::new(Ring::new(measured, self.clock));
        self.spawn(snapshot.at.position());
    }

    /// The drive has a tape with which it runs no slower than this, in bytes a second.
    fn set_drive_slowest(&mut self, bytes_per_s: Option<u64>) {
        self.ring.set_drive_slowest(bytes_per_s);
    }
}

impl ChunkSource for Feed<'_> {
    fn next_chunk(&mut self) -> Option<Result<FedChunk>> {
        if !self.has_chunk() {
            return None;
        }
        match self.next_step() {
            Ok(Some(Step::Chunk(chunk))) => Some(Ok(chunk)),
            Ok(Some(Step::BadChunk(error)) | Some(Step::Failed(error))) => Some(Err(error)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn put_back(&mut self, chunk: FedChunk) {
        debug_assert!(self.next.is_none(), "only the chunk given out last can come back");
        self.next = Some(chunk);
    }

    fn has_chunk(&mut self) -> bool {
        if self.next.is_some() {
            return true;
        }
        let is_chunk = |step: &Step| matches!(step, Step::Chunk(_) | Step::BadChunk(_));
        // Whoever takes it is told the error.
        self.ring.next_is(&|| self.progress.is_aborted(), &is_chunk).unwrap_or(true)
    }
}

impl Drop for Feed<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a thread of the feed. If it panics or could not do all, the job is told: it would wait for ever for what that thread had to bring.
fn guarded(ring: &Ring<Wanted, Step>, run: impl FnOnce() -> bool) {
    struct Guard<'a> {
        ring: &'a Ring<Wanted, Step>,
        is_done: bool,
    }
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            if !self.is_done {
                self.ring.break_off();
            }
        }
    }
    let mut guard = Guard { ring, is_done: false };
    guard.is_done = run();
}

fn read(store: &Datastore, reader: usize, ring: &Ring<Wanted, Step>) {
    while let Some((place, wanted)) = ring.fetch(reader) {
        let (bytes, step) = match store.chunks().read(&wanted.digest) {
            Ok(blob) => {
                let blob = Arc::new(blob);
                (blob.encoded_len(), Step::Chunk(FedChunk { digest: wanted.digest, blob }))
            }
            Err(e) => {
                let error = Error::UnreadableChunk {
                    snapshot: wanted.snapshot.to_string(),
                    archive: wanted.archive.to_string(),
                    digest: wanted.digest.to_string(),
                    reason: e.to_string(),
                };
                (0, Step::BadChunk(error))
            }
        };
        ring.fill(&place, bytes, step);
    }
}

#[cfg(test)]
mod tests;
