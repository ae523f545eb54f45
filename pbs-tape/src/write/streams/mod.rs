//! One job, several drives: parallel streams into one media set.
//!
//! Each stream has a drive, tapes of the set, a feed and a writer of its own. Groups are dealt to them whole (`queue`), tapes are taken one at a
//! time (`job_set`), and what a stream may leave out because it is on another's tape is decided in `known`. Why nothing is lost:
//!
//! * a set is what its tapes and catalogs say, and each stream writes its own as a job with one drive does;
//! * a stream that fails loses what it had not committed and nothing else; its groups are dealt to the others, which find in its
//!   catalogs what is on tape. An error that every stream would meet ends them all, each with what it has committed;
//! * the tape that the next job goes on with is the last of the set. Those before it count as full from then on, because that is how the
//!   format has it. So in a set that is continued a further drive joins only once the job has written enough to be
//!   worth another tape.

pub mod job_set;
pub mod queue;
pub mod voice;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use datastore::{BackupGroup, Datastore, Namespace, Progress};

use self::job_set::{JobSet, Left};
use self::queue::{Dealt, GroupQueue};
use self::voice::Voice;
use super::feed::{BufferSize, Dealer, Feed, Plan};
use super::options::TapeBackupOptions;
use super::pool_writer::PoolWriter;
use super::report::{FeedReport, TapeBackupReport};
use super::stream::Stream;
use crate::error::{Error, Result};
use crate::loader::{MediaLoader, check_abort};

/// How much a job has written before a further drive joins in a set that is continued, unless it was asked otherwise.
const JOIN_AFTER_BYTES: u64 = 64 << 30;
/// How often a stream that is not needed yet looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A job over the drives of one pool.
pub struct StreamsJob<'a> {
    store: &'a Arc<Datastore>,
    options: &'a TapeBackupOptions,
    progress: &'a dyn Progress,
    set: Arc<JobSet>,
    queue: Arc<GroupQueue>,
    /// When further streams join.
    join_after_bytes: u64,
}

/// What became of a stream.
pub struct Ended<'l> {
    /// Its writer, if it came to that.
    pub writer: Option<PoolWriter<'l>>,
    /// What it did.
    pub report: TapeBackupReport,
    /// Whether it came to its end.
    pub result: Result<()>,
}

impl StreamsJob<'_> {
    /// To write these groups onto a set.
    pub fn new<'a>(
        store: &'a Arc<Datastore>,
        options: &'a TapeBackupOptions,
        progress: &'a dyn Progress,
        set: JobSet,
        groups: Vec<(Namespace, BackupGroup)>,
    ) -> StreamsJob<'a> {
        let is_continued = set.with_pool(|pool| !pool.current_set().is_empty());
        let default = if is_continued { JOIN_AFTER_BYTES } else { 0 };
        let join_after_bytes = options.join_after_bytes.unwrap_or(default);
        let queue = GroupQueue::new(groups, set.streams());
        if join_after_bytes == 0 {
            (0..set.streams()).for_each(|stream| queue.expect(stream));
        }
        let (set, queue) = (Arc::new(set), Arc::new(queue));
        StreamsJob { store, options, progress, set, queue, join_after_bytes }
    }

    /// Runs it: one stream a drive.
    pub fn run(self, loaders: &mut [&mut dyn MediaLoader]) -> Result<TapeBackupReport> {
        let streams = loaders.len();
        let first = if streams > 1 { self.seat(loaders)? } else { 0 };
        let stop = AtomicBool::new(false);
        let voices: Vec<Voice<'_>> = loaders
            .iter()
            .map(|loader| {
                let name = (streams > 1).then(|| loader.drive_name().to_string());
                Voice::new(self.progress, name, &stop)
            })
            .collect();
        let mut ended: Vec<Ended<'_>> = if let ([loader], [voice]) = (&mut *loaders, &*voices) {
            vec![self.stream(0, true, &mut **loader, voice)]
        } else {
            thread::scope(|scope| {
                let seats = loaders.iter_mut().zip(&voices).enumerate();
                let threads: Vec<_> = seats
                    .map(|(number, (loader, voice))| {
                        let (job, is_first) = (&self, number == first);
                        scope.spawn(move || job.stream(number, is_first, &mut **loader, voice))
                    })
                    .collect();
                let joined = threads.into_iter().map(|thread| match thread.join() {
                    Ok(ended) => ended,
                    Err(panic) => std::panic::resume_unwind(panic),
                });
                joined.collect()
            })
        };
        self.first_error(&mut ended)?;
        put_cartridges_away(&self.set, self.options, self.progress, &mut ended)?;
        let mut report = TapeBackupReport::new(*self.set.uuid());
        for (voice, ended) in voices.iter().zip(ended) {
            report.add(ended.report, voice.name(), ended.result.err());
        }
        Ok(report)
    }

    /// Decides which stream begins: the one whose drive has the tape that the set is continued on, else the first one. What else is
    /// in the drives is put back into slots, because any of them may be asked for it.
    fn seat(&self, loaders: &mut [&mut dyn MediaLoader]) -> Result<usize> {
        let mut bar_codes = Vec::new();
        for loader in loaders.iter_mut() {
            let bar_code = loader.loaded_bar_code().unwrap_or_else(|error| {
                self.progress.warn(&format!("{}: {error}", loader.drive_name()));
                None
            });
            bar_codes.push(bar_code);
        }
        let mut seat = None;
        for (number, loader) in loaders.iter().enumerate() {
            let Some((media, text)) = self.set.last_writable(&loader.reach())? else { continue };
            let has_it = bar_codes.get(number).is_some_and(|found| found.as_ref() == Some(&text));
            if has_it || seat.is_none() {
                seat = Some((number, media, text));
            }
            if has_it {
                break;
            }
        }
        for (loader, bar_code) in loaders.iter_mut().zip(bar_codes) {
            let Some(bar_code) = bar_code else { continue };
            if seat.as_ref().is_some_and(|(_, _, text)| *text == bar_code) {
                continue;
            }
            if let Err(error) = loader.unload(None) {
                // Its stream will find out what is wrong, if it comes to that.
                self.progress.warn(&format!("{}: {error}", loader.drive_name()));
            }
        }
        let Some((number, media, _)) = seat else { return Ok(0) };
        self.set.hold(number, media);
        Ok(number)
    }

    fn stream<'l>(
        &self,
        number: usize,
        is_first: bool,
        loader: &'l mut dyn MediaLoader,
        voice: &'l Voice<'l>,
    ) -> Ended<'l> {
        let (options, queue) = (self.options, &self.queue);
        let mut report = TapeBackupReport::new(*self.set.uuid());
        let set = Arc::clone(&self.set);
        let writer = self.join(number, is_first, voice).and_then(|joins| {
            let with_namespaces = options.with_namespaces();
            let new = || PoolWriter::new(set, number, loader, voice, options.wait, with_namespaces);
            joins.then(new).transpose()
        });
        let mut writer = match writer {
            Ok(Some(writer)) => writer,
            Ok(None) => {
                queue.leave(number);
                return Ended { writer: None, report, result: Ok(()) };
            }
            Err(error) => {
                self.give_up(number, Left::Well, voice, &error);
                return Ended { writer: None, report, result: Err(error) };
            }
        };
        let dealer = Arc::new(StreamDealer { queue: Arc::clone(queue), stream: number });
        let mut plan = Plan::new(
            Arc::clone(self.store),
            options.store_name.clone(),
            dealer,
            vec![writer.known()],
        );
        plan.latest_only = options.latest_only;
        plan.order = options.chunk_order;
        let streams = self.set.streams() as u64;
        let buffer = match options.buffer {
            BufferSize::Fixed(bytes) => BufferSize::Fixed((bytes / streams).max(1)),
            BufferSize::UpTo(bytes) => BufferSize::UpTo((bytes / streams).max(1)),
        };
        let mut feed = Feed::start(plan, buffer, options.readers, voice);
        let mut stream = Stream {
            number,
            queue,
            store: self.store,
            options,
            progress: voice,
            attempted: false,
            report,
        };
        let result = stream.run(&mut writer, &mut feed);
        stream.report.feed = FeedReport::new(&feed, writer.times());
        // Its planner must have ended before its groups are dealt again.
        drop(feed);
        if let Err(error) = &result {
            // What was written before may be kept, unless the drive lost the thread: then nobody knows
            // what really reached the tape since the last sync.
            if !matches!(error.cause(), Error::Drive(_) | Error::Changer(_)) {
                let _ = writer.commit();
                stream.note_committed(&writer);
            }
            self.give_up(number, writer.left(), voice, error);
        }
        report = stream.report;
        report.tapes = writer.used_tapes().to_vec();
        report.tape_bytes = writer.sent_bytes();
        Ended { writer: Some(writer), report, result }
    }

    /// Waits until this stream is needed. False: it never was.
    fn join(&self, number: usize, is_first: bool, voice: &Voice<'_>) -> Result<bool> {
        let queue = &self.queue;
        if is_first {
            return Ok(true);
        }
        while !queue.is_over(number) {
            check_abort(voice)?;
            let is_worth_it =
                self.set.sent_bytes() >= self.join_after_bytes || queue.has_returned();
            if is_worth_it && queue.waiting() > 0 {
                return Ok(true);
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(false)
    }

    /// A stream ends with an error: others take what it has left.
    fn give_up(&self, number: usize, left: Left, voice: &Voice<'_>, error: &Error) {
        self.set.leave(number, left);
        if is_about_the_job(error) {
            voice.stop_all();
        }
        let groups = self.queue.leave(number);
        if self.set.is_shared() && !error.is_aborted() {
            voice.warn(&format!("{error}; {groups} groups that it had begun go to other drives"));
        }
    }

    /// The error with which the job ends, if it does.
    fn first_error(&self, ended: &mut [Ended<'_>]) -> Result<()> {
        let is_wanted = |error: &Error, round: usize| match round {
            // The cause comes before those that stopped for it.
            0 => is_about_the_job(error) && !error.is_aborted(),
            1 => error.is_aborted(),
            _ => true,
        };
        let all_failed = ended.iter().all(|one| one.result.is_err());
        for round in 0..if all_failed { 3 } else { 2 } {
            for one in ended.iter_mut() {
                if one.result.as_ref().is_err_and(|error| is_wanted(error, round)) {
                    return std::mem::replace(&mut one.result, Ok(()));
                }
            }
        }
        Ok(())
    }
}

/// Which drive the next job uses nobody knows, and it may want any of these cartridges.
fn back_into_slots(set: &JobSet, progress: &dyn Progress, ended: &mut [Ended<'_>]) {
    if !set.is_shared() {
        return;
    }
    for one in ended.iter_mut().filter(|one| one.result.is_ok()) {
        let Some(writer) = one.writer.as_mut().filter(|writer| writer.has_robot()) else {
            continue;
        };
        if let Err(error) = writer.put_away() {
            progress.warn(&error.to_string());
        }
    }
}

/// Where the cartridges of a set go when all has been written.
pub fn put_cartridges_away(
    set: &JobSet,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
    ended: &mut [Ended<'_>],
) -> Result<()> {
    if !options.export_media_set && !options.eject_media {
        back_into_slots(set, progress, ended);
        return Ok(());
    }
    for one in ended.iter_mut().filter(|one| one.result.is_ok()) {
        if let Some(writer) = &mut one.writer {
            if options.export_media_set { writer.put_away()? } else { writer.eject()? }
        }
    }
    if !options.export_media_set {
        return Ok(());
    }
    let texts: BTreeSet<String> = set.with_pool(|pool| {
        let members = pool.current_set().members().iter().flatten();
        let entries = members.filter_map(|media| pool.inventory().get(media));
        entries.map(|entry| entry.id.label.label_text.clone()).collect()
    });
    for text in texts {
        let mut is_out = false;
        for one in ended.iter_mut() {
            let Some(writer) = one.writer.as_mut().filter(|_| !is_out) else { continue };
            match writer.export(&text) {
                Ok(found) => is_out = found,
                Err(error) if one.result.is_ok() => return Err(error),
                // What a drive that failed holds can't be had; that it failed is told.
                Err(error) => progress.warn(&error.to_string()),
            }
        }
        if is_out {
            progress.note(&format!("exported media '{text}'"));
        } else {
            progress.warn(&format!("export failed - media '{text}' is not online"));
        }
    }
    Ok(())
}

/// True for what every other stream would meet as well.
fn is_about_the_job(error: &Error) -> bool {
    matches!(
        error.cause(),
        Error::Aborted
            | Error::Io { .. }
            | Error::Datastore(_)
            | Error::InventoryDamaged { .. }
            | Error::CatalogDamaged { .. }
            | Error::CatalogOrder { .. }
            | Error::CatalogMissing { .. }
            | Error::MediaSetInconsistent { .. }
            | Error::MediaSetUnusable { .. }
            | Error::KeysDamaged { .. }
            | Error::UnknownKey { .. }
            | Error::FeedEnded { .. }
            | Error::StreamMisuse(_)
    )
}

/// Deals the groups of a job to one of its streams.
struct StreamDealer {
    queue: Arc<GroupQueue>,
    stream: usize,
}

impl Dealer for StreamDealer {
    fn next(&self) -> Dealt {
        self.queue.take(self.stream)
    }

    fn is_all_dealt(&self) -> bool {
        self.queue.waiting() == 0
    }
}

#[cfg(test)]
pub(crate) mod tests;
