//! The backup job: every finished snapshot that the media set lacks goes to tape.
//!
//! What is to be done comes from the [`Feed`] in the order in which it must be done: for each snapshot all its chunks, then its
//! archive. Here it is written, and here is decided what becomes of the job when something fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use datastore::{BackupGroup, Datastore, Namespace, Progress};

use super::feed::{ChunkSource, Feed, Plan, PlannedSnapshot, SnapshotAt, Step};
use super::filters::passes;
use super::options::TapeBackupOptions;
use super::pool_writer::PoolWriter;
use super::report::{FeedReport, TapeBackupReport};
use super::snapshot_files::snapshot_files;
use crate::error::{Error, Result};
use crate::format::snapshot_archive::SnapshotArchiveHeader;
use crate::loader::{MediaLoader, check_abort};
use crate::media::{Inventory, MediaPool, PoolConfig, Reach, StateDir};

/// Runs a backup job. The drive must be locked by the caller.
///
/// Snapshots that can't be read, or that lack a chunk or have a damaged one, are reported and do not
/// end the job; everything else does, after what is already safely on tape was recorded.
pub fn run_backup(
    state: &StateDir,
    store: &Arc<Datastore>,
    pool: PoolConfig,
    loader: &mut dyn MediaLoader,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<TapeBackupReport> {
    let start = Instant::now();
    let reach = loader.reach();
    if let (Reach::Changer(changer), Some(texts)) = (&reach, loader.online_label_texts()?) {
        let online = BTreeMap::from([(changer.clone(), texts)]);
        let mut configured = options.changers.clone();
        if !configured.contains(changer) {
            configured.push(changer.clone());
        }
        Inventory::load(state)?.update_online(&online, &configured)?;
    }
    let groups = find_groups(store, options, progress)?;
    let pool = MediaPool::open_for_writing(state, pool, reach)?;
    let mut writer = PoolWriter::start(
        pool,
        loader,
        progress,
        options.wait,
        options.force_media_set,
        options.with_namespaces(),
    )?;
    let plan = Plan {
        source: Arc::clone(store),
        store_name: options.store_name.clone(),
        groups,
        latest_only: options.latest_only,
        order: options.chunk_order,
        known: writer.known(),
    };
    let report = TapeBackupReport::new(*writer.pool().current_set().uuid());
    let groups = plan.groups.len();
    let mut job = Job { store, options, progress, attempted: false, groups, report };
    let mut feed = Feed::start(plan, options.buffer, options.readers, progress);
    let done = job.run(&mut writer, &mut feed);
    job.report.feed = FeedReport::new(&feed, writer.times());
    drop(feed);
    if let Err(e) = done {
        // What was written before may be kept, unless the drive lost the thread: then nobody knows
        // what really reached the tape since the last sync.
        if !matches!(e.cause(), Error::Drive(_) | Error::Changer(_)) {
            let _ = writer.commit();
        }
        return Err(e);
    }
    if options.export_media_set {
        writer.export_media_set()?;
    } else if options.eject_media {
        writer.eject()?;
    }
    let mut report = job.report;
    report.tapes = writer.used_tapes().to_vec();
    report.tape_bytes = writer.sent_bytes();
    report.duration = start.elapsed();
    Ok(report)
}

fn find_groups(
    store: &Datastore,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<Vec<(Namespace, BackupGroup)>> {
    let mut odd: Vec<String> = Vec::new();
    let namespaces = store.namespaces(&options.namespace, options.max_depth, &mut odd)?;
    for text in odd {
        progress.warn(&text);
    }
    let mut groups = Vec::new();
    for namespace in namespaces {
        for group in store.groups(&namespace)? {
            groups.push((namespace.clone(), group));
        }
    }
    let total = groups.len();
    // Stable: groups of the same name stay in the order of their namespaces, parents first.
    groups.sort_by(|(_, a), (_, b)| a.cmp(b));
    groups.retain(|(_, group)| passes(&options.group_filters, group));
    progress.note(&format!("found {} groups (out of {total} total)", groups.len()));
    Ok(groups)
}

struct Job<'a> {
    store: &'a Arc<Datastore>,
    options: &'a TapeBackupOptions,
    progress: &'a dyn Progress,
    /// A snapshot was not in the set, whatever became of it.
    attempted: bool,
    /// How many groups there are.
    groups: usize,
    report: TapeBackupReport,
}

impl Job<'_> {
    fn run(&mut self, writer: &mut PoolWriter<'_>, feed: &mut Feed<'_>) -> Result<()> {
        let mut current: Option<Arc<PlannedSnapshot>> = None;
        while let Some(step) = feed.next_step()? {
            match step {
                Step::Warning(text) => self.progress.warn(&text),
                Step::Skipped => self.report.snapshots_skipped += 1,
                Step::Unreadable(at, error) => {
                    self.attempted = true;
                    self.unreadable(&at, &error)?;
                }
                Step::Begin(snapshot) => {
                    check_abort(self.progress)?;
                    self.attempted = true;
                    self.progress.note(&format!("backup snapshot {}", snapshot.at.name));
                    // While the tape is loaded the buffer fills.
                    writer.load_writable()?;
                    feed.set_drive_slowest(writer.drive_slowest());
                    current = Some(snapshot);
                }
                Step::Chunk(chunk) => {
                    feed.put_back(chunk);
                    self.chunks(writer, feed, &mut current)?;
                }
                Step::BadChunk(error) => self.bad_chunk(feed, &mut current, &error),
                Step::End(snapshot) => {
                    check_abort(self.progress)?;
                    current = None;
                    self.snapshot_archive(writer, &snapshot)?;
                }
                Step::GroupDone(number) => self.progress.note(&format!(
                    "percentage done: {:.2}% ({number}/{} groups)",
                    number as f64 * 100.0 / self.groups as f64,
                    self.groups
                )),
                Step::Failed(error) => return Err(error),
            }
        }
        writer.commit()?;
        if self.attempted {
            self.progress.note("append media catalog");
            writer.append_own_catalog()?;
        }
        Ok(())
    }

    /// Writes one chunk archive.
    fn chunks(
        &mut self,
        writer: &mut PoolWriter<'_>,
        feed: &mut Feed<'_>,
        current: &mut Option<Arc<PlannedSnapshot>>,
    ) -> Result<()> {
        check_abort(self.progress)?;
        writer.load_writable()?;
        feed.set_drive_slowest(writer.drive_slowest());
        let written = match writer.append_chunk_archive(feed, &self.options.store_name) {
            // The archive was closed and committed before: the tape is in order, and the other
            // snapshots must not wait for somebody to mend this one.
            Err(e @ Error::UnreadableChunk { .. }) => {
                self.bad_chunk(feed, current, &e);
                return Ok(());
            }
            written => written?,
        };
        self.report.chunks += written.chunks;
        self.report.chunk_bytes += written.chunk_bytes;
        self.progress.note(&format!(
            "wrote {} chunks ({:.2} MB)",
            written.chunks,
            written.chunk_bytes as f64 / 1e6
        ));
        Ok(())
    }

    /// Gives a snapshot up. Those behind it may have counted on chunks that were not written now, so they are planned anew.
    fn bad_chunk(
        &mut self,
        feed: &mut Feed<'_>,
        current: &mut Option<Arc<PlannedSnapshot>>,
        error: &Error,
    ) {
        let Some(snapshot) = current.take() else { return };
        let name = &snapshot.at.name;
        self.progress.warn(&format!("snapshot {name} is not complete on disk: {error}"));
        self.report.snapshots_failed.push((name.clone(), error.to_string()));
        feed.restart_behind(&snapshot);
    }

    fn snapshot_archive(
        &mut self,
        writer: &mut PoolWriter<'_>,
        snapshot: &PlannedSnapshot,
    ) -> Result<()> {
        let name = &snapshot.at.name;
        let archive = SnapshotArchiveHeader {
            snapshot: name.clone(),
            store: self.options.store_name.clone(),
        };
        // All files are opened and all blobs read before the archive is begun: what is wrong on disk
        // now leaves the tape as it is.
        let mut is_unreadable = false;
        let mut files = || snapshot_files(&snapshot.reader).inspect_err(|_| is_unreadable = true);
        let appended = writer.append_snapshot_archive(&archive, &mut files);
        match appended {
            Err(e) if is_unreadable => return self.unreadable(&snapshot.at, &e),
            other => other?,
        }
        self.report.snapshots_written.push(name.clone());
        Ok(())
    }

    /// Records that a snapshot could not be read, or is not there any more. The others go on.
    fn unreadable(&mut self, at: &SnapshotAt, error: &Error) -> Result<()> {
        let name = &at.name;
        let info = self.store.snapshot_info(&at.namespace, at.snapshot.clone())?;
        if info.is_none() {
            self.progress.note(&format!("snapshot {name} vanished"));
            self.report.snapshots_vanished.push(name.clone());
        } else {
            self.progress.warn(&format!("snapshot {name} can't be read: {error}"));
            self.report.snapshots_failed.push((name.clone(), error.to_string()));
        }
        Ok(())
    }
}
