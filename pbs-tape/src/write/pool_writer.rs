//! Writing onto the tapes of a pool's current media set.
//!
//! Why nothing is lost or overwritten:
//!
//! * the tape in the drive is identified by the UUID in its label, and its media-set label is
//!   compared with the inventory before anything is written (`tape`, `identify`). A tape that unexpectedly
//!   belongs to a set is not overwritten: the inventory learns what it is and another tape is chosen;
//! * data is appended at the end of data as the drive finds it, behind a filemark; the catalog only
//!   remembers file numbers that the drive reported;
//! * a catalog is committed only after the tape was synced, so it never promises data that a power
//!   cut may have taken.
//!
//! A set may have several writers, each with a drive and tapes of its own ([`JobSet`]).

mod tape;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datastore::Progress;
use uuid::Uuid;

use super::feed::ChunkSource;
use super::known::Known;
use super::report::WriterTimes;
use super::streams::job_set::{JobSet, Left};
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::block::BLOCK_BYTES;
use crate::format::catalog_archive::{CatalogArchiveHeader, CatalogWritten, write_catalog_archive};
use crate::format::chunk_archive::{Appended, ChunkArchiveWriter};
use crate::format::snapshot_archive::{
    SnapshotArchiveHeader, SnapshotFile, write_snapshot_archive,
};
use crate::loader::{MediaLoader, MediaWait};
use crate::media::{MediaCatalog, MediaStatus, Reach};

/// Tape and catalog are synced at least after so many bytes.
const COMMIT_BYTES: u64 = 128 << 30;
/// A catalog archive of up to this size always fits behind early warning on a real tape; larger
/// ones are compared with the capacity that is left.
const CATALOG_BYTES_UNCHECKED_MAX: u64 = 64 << 20;

/// Writes onto one media set.
pub struct PoolWriter<'a> {
    set: Arc<JobSet>,
    /// Its number among the writers of the set.
    stream: usize,
    loader: &'a mut dyn MediaLoader,
    progress: &'a dyn Progress,
    wait: MediaWait,
    with_namespaces: bool,
    /// Shared with who plans ahead of the writer.
    known: Arc<Known>,
    loaded: Option<LoadedTape>,
    /// What is to be said of its tape if it ends with an error now.
    left: Left,
    /// Something may have been written over the set label of the tape that is loaded.
    label_begun: bool,
    used: Vec<String>,
    sent_bytes: u64,
    times: WriterTimes,
}

struct LoadedTape {
    media: Uuid,
    label_text: String,
    device: Box<dyn TapeDevice>,
    slowest_bytes_per_s: Option<u64>,
    /// Sent since the last commit.
    uncommitted_bytes: u64,
    /// Taken into the set by this job and still without anything but labels and catalogs.
    is_fresh: bool,
    /// An archive of this job raised early warning: no other one follows.
    is_nearly_full: bool,
}

/// What [`PoolWriter::append_chunk_archive`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunksWritten {
    /// Whole chunks.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub chunk_bytes: u64,
}

impl<'a> PoolWriter<'a> {
    /// Writer number `stream` of a set.
    pub fn new(
        set: Arc<JobSet>,
        stream: usize,
        loader: &'a mut dyn MediaLoader,
        progress: &'a dyn Progress,
        wait: MediaWait,
        with_namespaces: bool,
    ) -> Result<PoolWriter<'a>> {
        let known = Arc::new(set.known(stream)?);
        Ok(PoolWriter {
            set,
            stream,
            loader,
            progress,
            wait,
            with_namespaces,
            known,
            loaded: None,
            left: Left::Well,
            label_begun: false,
            used: Vec::new(),
            sent_bytes: 0,
            times: WriterTimes::default(),
        })
    }

    /// What the set holds, this job's pending records included.
    pub fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Label texts of the tapes written on, in order.
    pub fn used_tapes(&self) -> &[String] {
        &self.used
    }

    /// Bytes that went to tapes, whole blocks.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// True if all that was written is synced and in the catalogs.
    pub fn is_committed(&self) -> bool {
        self.loaded.as_ref().is_none_or(|tape| tape.uncommitted_bytes == 0)
    }

    /// How its tape is left if it ends with an error now.
    pub fn left(&self) -> Left {
        self.left
    }

    /// What it spent its time with.
    pub fn times(&self) -> &WriterTimes {
        &self.times
    }

    /// Slowest speed of the drive with the tape that is in it, in bytes a second, if it is known.
    pub fn drive_slowest(&self) -> Option<u64> {
        self.loaded.as_ref().and_then(|tape| tape.slowest_bytes_per_s)
    }

    /// Writes the committed catalog of one tape at the current position; false if it does not fit.
    fn append_catalog_of(&mut self, media: Uuid, set: Uuid, seq_nr: u64) -> Result<bool> {
        let (mut content, content_bytes) = MediaCatalog::open_committed(self.set.state(), &media)?;
        let (with_namespaces, now) = (self.with_namespaces, self.now());
        let tape = self.tape()?;
        if content_bytes > CATALOG_BYTES_UNCHECKED_MAX {
            let remaining = tape.device.bytes_remaining().unwrap_or_default();
            if remaining.is_some_and(|remaining| remaining < content_bytes) {
                return Ok(false);
            }
        }
        let file = tape.device.file_number()?;
        let header = CatalogArchiveHeader { uuid: media, media_set_uuid: set, seq_nr };
        let written =
            write_catalog_archive(&mut *tape.device, &header, &mut content, with_namespaces, now);
        match written {
            Ok(CatalogWritten::Complete { sent_bytes, .. }) => {
                tape.uncommitted_bytes += sent_bytes;
                self.add_sent(sent_bytes);
                Ok(true)
            }
            Ok(CatalogWritten::DoesNotFit) => Ok(false),
            // The reserve behind early warning ended. The file has no end marker and is stepped over.
            Err(e) if matches!(e.cause(), Error::TapeFull) => Ok(false),
            Err(e) => Err(e).on_tape(&tape.label_text, file),
        }
    }

    /// Writes one chunk archive with what `feed` has, as far as tape and archive take it.
    ///
    /// An error of the feed, or an abort, ends the archive cleanly: what is in it counts, and is
    /// committed before the error goes on.
    pub fn append_chunk_archive(
        &mut self,
        feed: &mut dyn ChunkSource,
        store: &str,
    ) -> Result<ChunksWritten> {
        self.load_writable_with_room()?;
        let (progress, now) = (self.progress, self.now());
        let tape = self.tape()?;
        let label_text = tape.label_text.clone();
        let file = tape.device.file_number()?;
        let mut digests = Vec::new();
        let mut written = ChunksWritten { chunks: 0, chunk_bytes: 0 };
        let mut early_warning = false;
        let mut interrupted = None;
        let began = Instant::now();
        let mut waited = Duration::ZERO;
        let mut write = || -> Result<(Uuid, u64)> {
            let mut archive = ChunkArchiveWriter::new(&mut *tape.device, store, now)?;
            loop {
                if progress.is_aborted() {
                    interrupted = Some(Error::Aborted);
                    break;
                }
                let asked = Instant::now();
                let next = feed.next_chunk();
                waited += asked.elapsed();
                let chunk = match next {
                    None => break,
                    Some(Ok(chunk)) => chunk,
                    Some(Err(e)) => {
                        interrupted = Some(e);
                        break;
                    }
                };
                let blob_bytes = chunk.blob.encoded_len();
                let appended = archive.append(&chunk.digest, chunk.blob.as_bytes())?;
                let complete = appended != Appended::EarlyWarning { complete: false };
                early_warning = matches!(appended, Appended::EarlyWarning { .. });
                if complete {
                    digests.push(chunk.digest);
                    written.chunks += 1;
                    written.chunk_bytes += blob_bytes;
                    progress.advance_bytes(blob_bytes);
                } else {
                    feed.put_back(chunk);
                }
                if appended != Appended::Room {
                    break;
                }
            }
            let sent_bytes = archive.sent_bytes() + BLOCK_BYTES as u64;
            Ok((archive.finish()?.uuid, sent_bytes))
        };
        let (uuid, sent_bytes) = match write() {
            Ok(closed) => closed,
            Err(e) => return Err(self.write_failed(e).on_tape_error(&label_text, file)),
        };
        tape_mut(&mut self.loaded)?.uncommitted_bytes += sent_bytes;
        self.add_sent(sent_bytes);
        self.times.written_bytes += sent_bytes;
        self.times.writing += began.elapsed().saturating_sub(waited);
        self.with_catalog(|catalog| catalog.register_chunk_archive(file, uuid, store, &digests))?;
        if let Some(interrupted) = interrupted {
            self.commit()?;
            return Err(interrupted);
        }
        // Full is what could not take all; with nothing left to write the next file will find out.
        if early_warning && feed.has_chunk() {
            let tape = tape_mut(&mut self.loaded)?;
            if tape.is_fresh && digests.is_empty() {
                let tape = tape.label_text.clone();
                self.commit()?;
                self.set_full()?;
                return Err(Error::DoesNotFit { what: "even one chunk".into(), tape });
            }
            self.commit()?;
            self.set_full()?;
        } else {
            if !digests.is_empty() {
                tape_mut(&mut self.loaded)?.is_fresh = false;
            }
            if early_warning {
                tape_mut(&mut self.loaded)?.is_nearly_full = true;
                self.commit()?;
            }
        }
        self.commit_if_due()?;
        Ok(written)
    }

    /// Writes one snapshot archive; if the tape ends, again on the next.
    pub fn append_snapshot_archive(
        &mut self,
        archive: &SnapshotArchiveHeader,
        files: &mut dyn FnMut() -> Result<Vec<Result<SnapshotFile>>>,
    ) -> Result<()> {
        const TRIES: usize = 2;
        for _ in 0..TRIES {
            self.load_writable_with_room()?;
            let now = self.now();
            let tape = self.tape()?;
            let label_text = tape.label_text.clone();
            let file = tape.device.file_number()?;
            let written = match write_snapshot_archive(&mut *tape.device, archive, files()?, now) {
                Ok(written) => written,
                Err(e) => return Err(self.write_failed(e).on_tape_error(&label_text, file)),
            };
            let tape = tape_mut(&mut self.loaded)?;
            tape.uncommitted_bytes += written.sent_bytes;
            tape.is_fresh &= !written.complete;
            tape.is_nearly_full |= written.complete && written.early_warning;
            self.add_sent(written.sent_bytes);
            if written.complete {
                let uuid = written.header.uuid;
                self.with_catalog(|catalog| {
                    catalog.register_snapshot(file, uuid, &archive.store, &archive.snapshot)
                })?;
                self.commit_if_due()?;
                return Ok(());
            }
            self.commit()?;
            self.set_full()?;
        }
        let tape = self.tape()?.label_text.clone();
        Err(Error::DoesNotFit {
            what: format!("the archive of snapshot {}", archive.snapshot),
            tape,
        })
    }

    /// Writes the catalog of the current tape, the last thing of a job. If it does not fit, the next
    /// tape gets it with those of its predecessors, and then its own.
    pub fn append_own_catalog(&mut self) -> Result<()> {
        const TRIES: usize = 2;
        for _ in 0..TRIES {
            self.commit()?;
            self.load_writable()?;
            let media = self.tape()?.media;
            let set = *self.set.uuid();
            let Some(seq_nr) = self.set.with_pool(|pool| pool.current_set().position(&media))
            else {
                return Err(Error::UnknownTape { tape: media.to_string() });
            };
            if self.append_catalog_of(media, set, seq_nr as u64)? {
                return self.tape()?.device.sync();
            }
            self.set_full()?;
        }
        let tape = self.tape()?.label_text.clone();
        Err(Error::DoesNotFit { what: "the media catalog".into(), tape })
    }

    /// Waits until everything is on the medium, then lets the catalog say so.
    pub fn commit(&mut self) -> Result<()> {
        let Some(tape) = &mut self.loaded else { return Ok(()) };
        let began = Instant::now();
        tape.device.sync()?;
        if tape.uncommitted_bytes > 0 {
            self.times.syncs.count += 1;
            self.times.syncs.time += began.elapsed();
        }
        let (is_more, media) = self.with_catalog(|catalog| {
            let is_more = catalog.has_pending();
            catalog.commit()?;
            Ok((is_more, catalog.media().clone()))
        })?;
        if is_more {
            self.set.commits().tell(&media, self.stream);
        }
        self.tape()?.uncommitted_bytes = 0;
        self.note_bytes_used();
        Ok(())
    }

    /// Records how full the tape in the drive is. That is only for display, and no reason to fail.
    fn note_bytes_used(&mut self) {
        let Some(tape) = &mut self.loaded else { return };
        let Ok(Some(bytes)) = tape.device.bytes_used() else { return };
        let media = tape.media;
        let set_used =
            self.set.with_pool(|pool| pool.inventory_mut().set_bytes_used(&media, Some(bytes)));
        if let Err(e) = set_used {
            self.progress
                .warn(&format!("tape {}: its fill level was not recorded: {e}", tape.label_text));
        }
    }

    fn commit_if_due(&mut self) -> Result<()> {
        if self.loaded.as_ref().is_some_and(|tape| tape.uncommitted_bytes >= COMMIT_BYTES) {
            self.commit()?;
        }
        Ok(())
    }

    /// As [`PoolWriter::load_writable`], for one more archive. Behind early warning there is room for what ends a tape, and an
    /// archive of one block never sees that it is too long: many of them would go on to the very end.
    fn load_writable_with_room(&mut self) -> Result<()> {
        self.load_writable()?;
        if self.loaded.as_ref().is_some_and(|tape| tape.is_nearly_full && !tape.is_fresh) {
            self.commit()?;
            self.set_full()?;
            self.load_writable()?;
        }
        Ok(())
    }

    /// Records that the tape in the drive takes no more.
    fn set_full(&mut self) -> Result<()> {
        let media = self.tape()?.media;
        self.decide(&media, MediaStatus::Full)
    }

    fn decide(&mut self, media: &Uuid, status: MediaStatus) -> Result<()> {
        self.set.with_pool(|pool| pool.inventory_mut().set_status(media, Some(status)))
    }

    fn add_sent(&mut self, bytes: u64) {
        self.sent_bytes += bytes;
        self.set.add_sent(bytes);
    }

    /// A write failed in a way that early warning did not announce. If the tape is simply full, the
    /// next job must not try it again.
    fn write_failed(&mut self, error: Error) -> Error {
        if matches!(error.cause(), Error::TapeFull) {
            // What was registered before lies on the tape if it can still be synced; if not, the
            // next job writes it again.
            let _ = self.commit();
            let _ = self.set_full();
        }
        error
    }

    /// Takes the tape that this job used before out of the drive, with all that was registered for
    /// it committed.
    pub(super) fn put_away(&mut self) -> Result<()> {
        self.commit()?;
        if let Some(tape) = self.loaded.take() {
            self.progress.note(&format!("eject media {}", tape.label_text));
            self.loader.unload(Some(tape.device))?;
            if let Some(catalog) = self.known.catalogs_mut().get_mut(&tape.media) {
                catalog.settle();
            }
        }
        Ok(())
    }

    /// Ejects the tape in the drive, and puts it back into a slot if there is a robot.
    pub fn eject(&mut self) -> Result<()> {
        self.commit()?;
        let device = self.loaded.take().map(|tape| tape.device);
        self.loader.unload(device)
    }

    /// True if a robot feeds its drive.
    pub fn has_robot(&self) -> bool {
        matches!(self.loader.reach(), Reach::Changer(_))
    }

    /// After an error: has the robot take the tape out of the drive, if it can, for another drive to go on with it.
    fn take_out(&mut self) -> Result<()> {
        let device = self.loaded.take().map(|tape| tape.device);
        if !self.has_robot() {
            return Ok(());
        }
        match self.loader.unload(device) {
            Ok(()) => Ok(()),
            // A drive that does not eject by itself may still give it to the robot.
            Err(_) => self.loader.unload(None),
        }
    }

    /// Puts a tape into an import/export slot; false if the robot does not have it.
    pub fn export(&mut self, label_text: &str) -> Result<bool> {
        self.loader.export(label_text)
    }

    fn now(&self) -> i64 {
        self.set.state().now()
    }

    fn tape(&mut self) -> Result<&mut LoadedTape> {
        tape_mut(&mut self.loaded)
    }

    /// Changes the catalog of the tape in the drive.
    fn with_catalog<R>(
        &mut self,
        change: impl FnOnce(&mut MediaCatalog) -> Result<R>,
    ) -> Result<R> {
        let media = self.tape()?.media;
        let mut catalogs = self.known.catalogs_mut();
        let catalog = catalogs
            .get_mut(&media)
            .ok_or_else(|| Error::CatalogMissing { tape: media.to_string() })?;
        change(catalog)
    }
}

fn tape_mut(loaded: &mut Option<LoadedTape>) -> Result<&mut LoadedTape> {
    loaded.as_mut().ok_or(Error::StreamMisuse("without a tape in the drive"))
}

trait Placed {
    fn on_tape_error(self, tape: &str, file: u64) -> Error;
}

impl Placed for Error {
    fn on_tape_error(self, tape: &str, file: u64) -> Error {
        match Err::<(), Error>(self).on_tape(tape, file) {
            Err(placed) => placed,
            // An error stays an error.
            Ok(()) => Error::Aborted,
        }
    }
}
