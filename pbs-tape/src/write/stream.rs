//! What is done for one drive: the steps of its feed, in their order.
//!
//! For each snapshot all its chunks, then its archive. Here is decided what becomes of a snapshot that can't be read; what
//! becomes of the job when the drive fails is decided by whoever runs the stream.

use std::sync::Arc;

use datastore::{Datastore, Progress};

use super::feed::{PlannedSnapshot, SnapshotAt, Step, Steps};
use super::options::TapeBackupOptions;
use super::pool_writer::PoolWriter;
use super::report::TapeBackupReport;
use super::snapshot_files::snapshot_files;
use super::streams::queue::GroupQueue;
use crate::error::{Error, Result};
use crate::format::snapshot_archive::SnapshotArchiveHeader;
use crate::loader::check_abort;

/// What one stream does, and what became of it.
pub(super) struct Stream<'a> {
    /// Its number.
    pub number: usize,
    pub queue: &'a GroupQueue,
    pub store: &'a Datastore,
    pub options: &'a TapeBackupOptions,
    pub progress: &'a dyn Progress,
    /// A snapshot was not in the set, whatever became of it.
    pub attempted: bool,
    pub report: TapeBackupReport,
}

impl Stream<'_> {
    /// Writes what the feed has, up to its end.
    pub fn run(&mut self, writer: &mut PoolWriter<'_>, feed: &mut dyn Steps) -> Result<()> {
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
                Step::GroupDone(number) => {
                    let (done, groups) = (self.queue.done(self.number, number), self.queue.total());
                    self.progress.note(&format!(
                        "percentage done: {:.2}% ({done}/{groups} groups)",
                        done as f64 * 100.0 / groups as f64,
                    ));
                }
                // Others may end their work, or count on what is here.
                Step::Idle => writer.commit()?,
                Step::Failed(error) => return Err(error),
            }
            self.note_committed(writer);
        }
        writer.commit()?;
        self.note_committed(writer);
        if self.attempted {
            self.progress.note("append media catalog");
            writer.append_own_catalog()?;
        }
        Ok(())
    }

    /// What was done is safe once it is committed.
    pub fn note_committed(&self, writer: &PoolWriter<'_>) {
        if writer.is_committed() {
            self.queue.committed(self.number);
        }
    }

    /// Writes one chunk archive.
    fn chunks(
        &mut self,
        writer: &mut PoolWriter<'_>,
        feed: &mut dyn Steps,
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
        feed: &mut dyn Steps,
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
