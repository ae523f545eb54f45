//! Mirrored copies: one feed, two or more complete sets.
//!
//! ```text
//! feed: what any of the sets lacks, each chunk read once → for each copy: queue → what its set lacks → its writer
//! ```
//!
//! * **Each copy is a job of its own behind its queue.** It has its pool, drive, set and catalogs, and leaves out what *its* set holds. A copy that fails ends
//!   alone: its queue is closed, nothing is read for its sake any more, and the others go on.
//! * **What is planned stays planned until every copy has registered it.** The feed gives a snapshot's end out long before the copies have written it,
//!   so a token goes with it, and whoever drops the last one says that its chunks are in the catalogs.
//! * **A bad chunk ends its snapshot in every copy that lacks it.** The plan is made anew from what is registered then; a chunk that waits in a
//!   queue may come a second time, and finds itself in the catalog when it comes to its turn: a bad chunk closes the archive before.
//! * **Memory.** A queue holds few bytes, and copies share the chunks. So copies go in step: while one waits for a cartridge, the other
//!   goes on for as long as its queue and then rests, as it would for a slow disk.

mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use datastore::{BackupGroup, Datastore, Namespace, Progress};

use self::queue::{CopyFeed, CopyQueue, Item};
use super::feed::{BufferSize, Dealer, Feed, Plan, PlannedSnapshot, Step, Steps};
use super::job::{Online, find_groups, look_online, note_online};
use super::known::Known;
use super::options::TapeBackupOptions;
use super::pool_writer::PoolWriter;
use super::report::{CopyReport, FeedReport, MirrorReport, TapeBackupReport, WriterTimes};
use super::stream::Stream;
use super::streams::job_set::JobSet;
use super::streams::queue::{Dealt, GroupQueue};
use super::streams::voice::Voice;
use super::streams::{Ended, put_cartridges_away};
use crate::error::{Error, Result};
use crate::loader::MediaLoader;
use crate::media::{MediaPool, PoolConfig, StateDir};

/// The most bytes that wait for one copy.
const QUEUE_BYTES_MAX: u64 = 256 << 20;

/// Where one copy goes.
pub struct CopyTo<'l> {
    /// Its pool; each copy has another.
    pub pool: PoolConfig,
    /// Its drive.
    pub loader: &'l mut dyn MediaLoader,
}

/// A copy that has its set.
struct Begun<'l> {
    set: Arc<JobSet>,
    writer: PoolWriter<'l>,
}

/// Backs up to several sets at once, each on a drive, which must be locked by the caller.
///
/// What ends one copy does not end the others; its error is in the report. The job fails when all have failed.
pub fn run_mirrored(
    state: &StateDir,
    store: &Arc<Datastore>,
    mut copies: Vec<CopyTo<'_>>,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<MirrorReport> {
    let start = Instant::now();
    for (at, copy) in copies.iter().enumerate() {
        if copies.iter().take(at).any(|other| other.pool.name == copy.pool.name) {
            return Err(Error::BadArgument {
                what: "pool",
                value: copy.pool.name.clone(),
                reason: "each copy needs a pool of its own".into(),
            });
        }
    }
    let mut online = Online::new();
    for copy in &mut copies {
        look_online(&mut *copy.loader, &mut online)?;
    }
    note_online(state, online, options)?;
    let groups = find_groups(store, options, progress)?;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let voices: Vec<Voice<'_>> = copies
        .iter()
        .map(|copy| {
            let name = format!("{} ({})", copy.pool.name, copy.loader.drive_name());
            Voice::new(progress, Some(name), &stop)
        })
        .collect();
    let names: Vec<(String, String)> = copies
        .iter()
        .map(|copy| (copy.pool.name.clone(), copy.loader.drive_name().to_string()))
        .collect();
    let copies = copies
        .iter_mut()
        .map(|copy| CopyTo { pool: copy.pool.clone(), loader: &mut *copy.loader })
        .collect();
    let begun = begin(state, copies, options, &voices);
    let (mut ended, feed) = write(store, options, progress, &groups, begun, &voices);
    if ended.iter().all(|(_, copy)| copy.result.is_err())
        && let Some(failed) = ended.iter_mut().find_map(|(_, copy)| take_error(copy))
    {
        return Err(failed);
    }
    if progress.is_aborted() {
        return Err(Error::Aborted);
    }
    let mut reports = Vec::new();
    for ((pool, drive), (set, mut copy)) in names.into_iter().zip(ended) {
        if let (Some(set), true) = (&set, copy.result.is_ok()) {
            let one = std::slice::from_mut(&mut copy);
            // Its set is written; only its cartridges lie elsewhere than was asked for.
            copy.result = put_cartridges_away(set, options, progress, one);
        }
        let mut report = TapeBackupReport::new(copy.report.media_set_uuid);
        report.add(copy.report, None, None);
        report.duration = start.elapsed();
        let error = copy.result.err().map(|error| error.to_string());
        reports.push(CopyReport { pool, drive, error, report });
    }
    Ok(MirrorReport { copies: reports, feed, duration: start.elapsed() })
}

type Ends<'l> = Vec<(Option<Arc<JobSet>>, Ended<'l>)>;

fn take_error(copy: &mut Ended<'_>) -> Option<Error> {
    std::mem::replace(&mut copy.result, Ok(())).err()
}

/// Opens the set of each copy, in the order of the pools' names: two jobs that mirror into the same pools don't wait for each other
/// for ever.
fn begin<'l>(
    state: &StateDir,
    copies: Vec<CopyTo<'l>>,
    options: &TapeBackupOptions,
    voices: &'l [Voice<'l>],
) -> Vec<Result<Begun<'l>>> {
    let mut ordered: Vec<_> = copies.into_iter().zip(voices).enumerate().collect();
    ordered.sort_by(|(_, (a, _)), (_, (b, _))| a.pool.name.cmp(&b.pool.name));
    let mut begun: Vec<(usize, Result<Begun<'l>>)> = ordered
        .into_iter()
        .map(|(place, (copy, voice))| (place, begin_one(state, copy, options, voice)))
        .collect();
    begun.sort_by_key(|(place, _)| *place);
    begun.into_iter().map(|(_, begun)| begun).collect()
}

fn begin_one<'l>(
    state: &StateDir,
    copy: CopyTo<'l>,
    options: &TapeBackupOptions,
    voice: &'l Voice<'l>,
) -> Result<Begun<'l>> {
    let CopyTo { pool, loader } = copy;
    let pool = MediaPool::open_for_writing(state, pool, loader.reach())?;
    let set = JobSet::begin(pool, loader.keys(), options.force_media_set, 1, voice)?;
    let set = Arc::new(set);
    let with_namespaces = options.with_namespaces();
    let writer =
        PoolWriter::new(Arc::clone(&set), 0, loader, voice, options.wait, with_namespaces)?;
    Ok(Begun { set, writer })
}

/// Feeds all copies that could begin. What became of each, in their order, and how they were fed.
fn write<'l>(
    store: &Arc<Datastore>,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
    groups: &[(Namespace, BackupGroup)],
    begun: Vec<Result<Begun<'l>>>,
    voices: &'l [Voice<'l>],
) -> (Ends<'l>, FeedReport) {
    let (queue_bytes, buffer) = share(options.buffer);
    let known: Vec<Arc<Known>> = begun.iter().flatten().map(|begun| begun.writer.known()).collect();
    let queues: Vec<CopyQueue> = begun.iter().map(|_| CopyQueue::new(queue_bytes)).collect();
    let slowest: Vec<AtomicU64> = begun.iter().map(|_| AtomicU64::new(0)).collect();
    for (queue, _) in queues.iter().zip(&begun).filter(|(_, begun)| begun.is_err()) {
        queue.close();
    }
    let dealer = Arc::new(All(GroupQueue::new(groups.iter().cloned(), 1)));
    let mut plan = Plan::new(Arc::clone(store), options.store_name.clone(), dealer, known);
    plan.latest_only = options.latest_only;
    plan.order = options.chunk_order;
    thread::scope(|scope| {
        let copies: Vec<_> = begun
            .into_iter()
            .zip(voices)
            .zip(queues.iter().zip(&slowest))
            .map(|((begun, voice), (queue, slowest))| {
                scope.spawn(move || match begun {
                    Ok(begun) => {
                        let set = Some(Arc::clone(&begun.set));
                        (set, one_copy(store, options, groups, begun, voice, queue, slowest))
                    }
                    Err(error) => {
                        voice.warn(&format!("this copy can't begin: {error}"));
                        let report = TapeBackupReport::new(uuid::Uuid::nil());
                        (None, Ended { writer: None, report, result: Err(error) })
                    }
                })
            })
            .collect();
        let mut feed = Feed::start(plan, buffer, options.readers, progress).for_copies();
        distribute(&mut feed, &queues, &slowest, progress);
        let mut ends = Vec::new();
        for copy in copies {
            match copy.join() {
                Ok(end) => ends.push(end),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        (ends, FeedReport::new(&feed, &WriterTimes::default()))
    })
}

/// How much of the memory is for each queue, and how much for the buffer in front of them.
fn share(buffer: BufferSize) -> (u64, BufferSize) {
    let (BufferSize::Fixed(bytes) | BufferSize::UpTo(bytes)) = buffer;
    let queue_bytes = (bytes / 4).clamp(1, QUEUE_BYTES_MAX);
    let rest = (bytes - queue_bytes).max(1);
    match buffer {
        BufferSize::Fixed(_) => (queue_bytes, BufferSize::Fixed(rest)),
        BufferSize::UpTo(_) => (queue_bytes, BufferSize::UpTo(rest)),
    }
}

fn one_copy<'l>(
    store: &Datastore,
    options: &TapeBackupOptions,
    groups: &[(Namespace, BackupGroup)],
    begun: Begun<'l>,
    voice: &'l Voice<'l>,
    queue: &CopyQueue,
    slowest: &AtomicU64,
) -> Ended<'l> {
    let Begun { set, mut writer } = begun;
    // It has them all, in the order in which they come.
    let dealt = GroupQueue::new(groups.iter().cloned(), 1);
    while let Dealt::Group(_) = dealt.take(0) {}
    let report = TapeBackupReport::new(*set.uuid());
    let mut feed = CopyFeed::new(queue, writer.known(), &options.store_name, voice, slowest);
    let mut stream = Stream {
        number: 0,
        queue: &dealt,
        store,
        options,
        progress: voice,
        attempted: false,
        report,
    };
    let result = stream.run(&mut writer, &mut feed);
    let mut report = stream.report;
    if let Err(error) = &result {
        // As in a job with one drive: what is certainly on tape may be kept.
        if !matches!(error.cause(), Error::Drive(_) | Error::Changer(_)) {
            let _ = writer.commit();
        }
        if !error.is_aborted() {
            voice.warn(&format!("this copy ends, the others go on: {error}"));
        }
    }
    writer.known().give_up();
    queue.close();
    report.feed = FeedReport::of_drive(writer.times());
    report.tapes = writer.used_tapes().to_vec();
    report.tape_bytes = writer.sent_bytes();
    Ended { writer: Some(writer), report, result }
}

/// Gives what the feed has to all copies that are there.
fn distribute(
    feed: &mut Feed<'_>,
    queues: &[CopyQueue],
    slowest: &[AtomicU64],
    progress: &dyn Progress,
) {
    let put = |item: Item| queues.iter().for_each(|queue| queue.put(item.clone(), progress));
    let mut current: Option<Arc<PlannedSnapshot>> = None;
    while !queues.iter().all(CopyQueue::is_closed) {
        // All are to stream: the one that must run fastest decides.
        let fastest = slowest.iter().map(|bytes| bytes.load(Ordering::Relaxed)).max();
        feed.set_drive_slowest(fastest.filter(|bytes| *bytes > 0));
        match feed.next_step() {
            Ok(None) => break,
            Err(error) => {
                put(Item::Failed(Arc::new(error)));
                break;
            }
            Ok(Some(step)) => match step {
                Step::Warning(text) => progress.warn(&text),
                Step::Skipped => put(Item::Skipped),
                Step::Unreadable(at, error) => put(Item::Unreadable(at, Arc::new(error))),
                Step::Begin(snapshot) => {
                    current = Some(Arc::clone(&snapshot));
                    put(Item::Begin(snapshot));
                }
                Step::Chunk(chunk) => put(Item::Chunk(chunk)),
                Step::BadChunk(error) => {
                    put(Item::BadChunk(Arc::new(error)));
                    if let Some(snapshot) = current.take() {
                        feed.restart_behind(&snapshot);
                    }
                }
                Step::End(snapshot) => {
                    let registered = Arc::new(feed.registered(&snapshot));
                    put(Item::End(snapshot, registered));
                }
                Step::GroupDone(number) => put(Item::GroupDone(number)),
                Step::Idle => put(Item::Idle),
                Step::Failed(error) => {
                    put(Item::Failed(Arc::new(error)));
                    break;
                }
            },
        }
    }
    queues.iter().for_each(CopyQueue::end);
}

/// An error that several copies are told: the same words, and the same kind where that decides something.
fn same_error(error: &Error) -> Error {
    match error {
        Error::Aborted => Error::Aborted,
        Error::UnreadableChunk { snapshot, archive, digest, reason } => Error::UnreadableChunk {
            snapshot: snapshot.clone(),
            archive: archive.clone(),
            digest: digest.clone(),
            reason: reason.clone(),
        },
        Error::FeedEnded { snapshot, missing } => {
            Error::FeedEnded { snapshot: snapshot.clone(), missing: *missing }
        }
        other => Error::Unsupported(other.to_string()),
    }
}

/// Deals all groups to the only feed.
struct All(GroupQueue);

impl Dealer for All {
    fn next(&self) -> Dealt {
        self.0.take(0)
    }

    fn is_all_dealt(&self) -> bool {
        self.0.waiting() == 0
    }
}
