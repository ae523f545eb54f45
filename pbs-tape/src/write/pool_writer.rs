//! Writing onto the tapes of a pool's current media set.
//!
//! Why nothing is lost or overwritten:
//!
//! * the tape in the drive is identified by the UUID in its label, and its media-set label is
//!   compared with the inventory before anything is written (`identify`). A tape that unexpectedly
//!   belongs to a set is not overwritten: the inventory learns what it is and another tape is chosen;
//! * data is appended at the end of data as the drive finds it, behind a filemark; the catalog only
//!   remembers file numbers that the drive reported;
//! * a catalog is committed only after the tape was synced, so it never promises data that a power
//!   cut may have taken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datastore::Progress;
use uuid::Uuid;

use super::feed::{ChunkSource, Known};
use super::identify::{SetLabel, compare_set_label, is_without_catalogs};
use super::report::WriterTimes;
use crate::device::TapeDevice;
use crate::drive::{DriveKey, Encryption};
use crate::error::{Error, Result, ResultExt};
use crate::format::block::BLOCK_BYTES;
use crate::format::catalog_archive::{CatalogArchiveHeader, CatalogWritten, write_catalog_archive};
use crate::format::chunk_archive::{Appended, ChunkArchiveWriter};
use crate::format::label::{
    FIRST_DATA_FILE, MEDIA_SET_LABEL_FILE, MediaSetLabel, write_media_set_label,
};
use crate::format::snapshot_archive::{
    SnapshotArchiveHeader, SnapshotFile, write_snapshot_archive,
};
use crate::keys::PoolKey;
use crate::loader::{MediaLoader, MediaWait, check_abort, request_media_to_write};
use crate::media::pool::TapeOrigin;
use crate::media::set::SetCatalogs;
use crate::media::{MediaCatalog, MediaId, MediaPool, MediaStatus};

/// Tape and catalog are synced at least after so many bytes.
const COMMIT_BYTES: u64 = 128 << 30;
/// From this sequence number on, a set is so long that losing one tape of it hurts.
const LARGE_SET_SEQ_NR: u64 = 20;
/// A catalog archive of up to this size always fits behind early warning on a real tape; larger
/// ones are compared with the capacity that is left.
const CATALOG_BYTES_UNCHECKED_MAX: u64 = 64 << 20;
/// Tapes that turn out to be something else are replaced so many times.
const SURPRISES_MAX: usize = 100;

/// Writes onto one media set.
pub struct PoolWriter<'a> {
    pool: MediaPool,
    /// Of a pool whose sets are encrypted.
    key: Option<PoolKey>,
    loader: &'a mut dyn MediaLoader,
    progress: &'a dyn Progress,
    wait: MediaWait,
    with_namespaces: bool,
    /// Shared with who plans ahead of the writer.
    known: Arc<Known>,
    loaded: Option<LoadedTape>,
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
    /// Begins a write session: decides about a new set, and loads all catalogs of the current one.
    pub fn start(
        mut pool: MediaPool,
        loader: &'a mut dyn MediaLoader,
        progress: &'a dyn Progress,
        wait: MediaWait,
        force_new_set: bool,
        with_namespaces: bool,
    ) -> Result<PoolWriter<'a>> {
        let encrypt = pool.config().encrypt.as_deref();
        let key = encrypt.map(|name| PoolKey::find(loader.keys(), name)).transpose()?;
        if let Some(reason) = pool.start_write_session(now(), force_new_set)? {
            progress.note(&format!("starting new media set - reason: {reason}"));
        }
        progress.note(&format!("media set uuid: {}", pool.current_set().uuid()));
        let state = pool.inventory().state().clone();
        let catalogs = SetCatalogs::load(&state, pool.inventory(), pool.current_set())?;
        Ok(PoolWriter {
            pool,
            key,
            loader,
            progress,
            wait,
            with_namespaces,
            known: Arc::new(Known::new(catalogs)),
            loaded: None,
            used: Vec::new(),
            sent_bytes: 0,
            times: WriterTimes::default(),
        })
    }

    /// The pool, with its current set.
    pub fn pool(&self) -> &MediaPool {
        &self.pool
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

    /// What it spent its time with.
    pub fn times(&self) -> &WriterTimes {
        &self.times
    }

    /// Slowest speed of the drive with the tape that is in it, in bytes a second, if it is known.
    pub fn drive_slowest(&self) -> Option<u64> {
        self.loaded.as_ref().and_then(|tape| tape.slowest_bytes_per_s)
    }

    /// Makes sure that a writable tape of the set is in the drive, at its end of data.
    pub fn load_writable(&mut self) -> Result<()> {
        for _ in 0..SURPRISES_MAX {
            check_abort(self.progress)?;
            let (media, origin) = self.pool.allocate(now())?;
            if self.loaded.as_ref().is_some_and(|loaded| loaded.media == media) {
                return Ok(());
            }
            let id = self.pool.inventory().require(&media)?.id.clone();
            let text = id.label.label_text.clone();
            match origin {
                TapeOrigin::Current => {}
                origin => self.progress.note(&format!(
                    "allocated new writable media '{text}' ({})",
                    match origin {
                        TapeOrigin::Expired => "its data is no longer protected",
                        TapeOrigin::Free => "from the scratch pool",
                        _ => "empty",
                    }
                )),
            }
            let began = Instant::now();
            let is_change = !self.used.is_empty();
            self.put_away()?;
            let is_loaded = self.load(id)?;
            if is_change {
                self.times.changes.count += u64::from(is_loaded);
                self.times.changes.time += began.elapsed();
            }
            if is_loaded {
                return Ok(());
            }
        }
        Err(Error::NoUsableMedia {
            pool: self.pool.config().name.clone(),
            hint: " (all tapes tried belong to other media sets)".into(),
        })
    }

    /// Loads and prepares one tape. False: it is not what the inventory thought.
    fn load(&mut self, id: MediaId) -> Result<bool> {
        let Some(set_label) = id.assigned_set().cloned() else {
            return Err(Error::WrongMediaSet {
                tape: id.label.label_text,
                reason: "it is in no media set".into(),
            });
        };
        let (mut device, labels) =
            request_media_to_write(self.loader, &id.label, self.wait, self.progress)?;
        let media = id.label.uuid;
        // Not every drive can tell its alerts; that is no reason to refuse it.
        let alerts = device.critical_alerts().unwrap_or_default();
        if !alerts.is_empty() {
            self.pool.inventory_mut().set_status(&media, Some(MediaStatus::Damaged))?;
            return Err(Error::CriticalAlerts {
                tape: id.label.label_text,
                alerts: alerts.join(", "),
            });
        }
        let compared = compare_set_label(&labels, &set_label, &id)?;
        if !matches!(compared, SetLabel::Same) && self.lists_data_of(&media) {
            // This job, and those before it, left snapshots and chunks out on the word of that
            // catalog. What goes on is for an operator to decide.
            return Err(Error::WrongMediaSet {
                tape: id.label.label_text,
                reason: "its catalog lists data, but its label says that it is not in this set"
                    .into(),
            });
        }
        let is_new = match compared {
            SetLabel::Same => false,
            SetLabel::Missing => true,
            // Why the tape was chosen does not count, only the label on it: an earlier job may have
            // taken it into the set without ever seeing it.
            SetLabel::Other(found) if !self.pool.may_overwrite(&found, now()) => {
                self.learn_surprise(&id, found)?;
                self.loader.unload(Some(device))?;
                return Ok(false);
            }
            SetLabel::Other(_) => true,
        };
        let drive_key = self.drive_key(&id, &set_label)?;
        if let Some(key) = &drive_key {
            // That a drive can't encrypt shows before anything is written.
            device.set_key(key)?;
        }
        let state = self.pool.inventory().state().clone();
        let catalog = if is_new {
            self.progress.note("writing new media set label");
            device.move_to_file(MEDIA_SET_LABEL_FILE)?;
            let file = device.file_number()?;
            if file != MEDIA_SET_LABEL_FILE {
                return Err(Error::BadAppendPosition { tape: id.label.label_text, file });
            }
            device.encryption_off()?;
            let key_config = self.key.as_ref().map(PoolKey::label_config);
            let written = write_media_set_label(&mut *device, &set_label, key_config);
            if written.as_ref().is_err_and(|e| matches!(e.cause(), Error::TapeFull)) {
                // It takes nothing at all. The next job must not be stopped by it again.
                self.pool.inventory_mut().set_status(&media, Some(MediaStatus::Damaged))?;
            }
            written.on_tape(&id.label.label_text, MEDIA_SET_LABEL_FILE)?;
            device.sync()?;
            if let Some(key) = &drive_key {
                device.set_key(key)?;
            }
            device.set_cartridge_labels(Some(&id.label.label_text), Some(&set_label.pool))?;
            MediaCatalog::overwrite(&state, &id)?
        } else {
            MediaCatalog::load_for_append(&state, &id)?
        };
        let encryption = if drive_key.is_some() { Encryption::On } else { Encryption::Off };
        device.assert_encryption(encryption)?;
        let is_unused = is_new || is_without_catalogs(&mut *device, &catalog, &set_label)?;
        self.known.catalogs_mut().insert(catalog);
        // Only for pacing; a drive that does not tell gets all it takes.
        let slowest_bytes_per_s = device.slowest_bytes_per_s().unwrap_or_default();
        self.loaded = Some(LoadedTape {
            media,
            label_text: id.label.label_text.clone(),
            device,
            slowest_bytes_per_s,
            uncommitted_bytes: 0,
            is_fresh: is_unused,
        });
        self.used.push(id.label.label_text);
        if is_unused {
            if set_label.seq_nr >= LARGE_SET_SEQ_NR {
                self.progress.warn(&format!(
                    "large media set: this is tape number {}; think of a new set",
                    set_label.seq_nr + 1
                ));
            }
            self.append_predecessors(&set_label)?;
        }
        self.move_to_end()?;
        Ok(true)
    }

    /// The key that the drive needs for this set, which must be the pool's.
    fn drive_key(&self, id: &MediaId, set_label: &MediaSetLabel) -> Result<Option<DriveKey>> {
        let wanted = set_label.encryption_key_fingerprint.as_deref();
        if wanted != self.key.as_ref().map(PoolKey::fingerprint) {
            return Err(Error::WrongMediaSet {
                tape: id.label.label_text.clone(),
                reason: "its set is encrypted differently from what the pool asks for now".into(),
            });
        }
        self.key.as_ref().map(|key| key.for_set(&set_label.uuid)).transpose()
    }

    /// True if the catalog of this tape knows of snapshots or chunks.
    fn lists_data_of(&self, media: &Uuid) -> bool {
        let mut catalogs = self.known.catalogs_mut();
        let catalog = catalogs.get_mut(media);
        catalog.is_some_and(|catalog| !catalog.content().stores().is_empty())
    }

    /// The tape is in a set that the inventory did not know. It is not ours to overwrite.
    fn learn_surprise(&mut self, id: &MediaId, found: MediaSetLabel) -> Result<()> {
        self.progress.warn(&format!(
            "tape {} is in media set {} of pool {}, which the inventory did not know: it is not \
             overwritten, and recorded as what it is",
            id.label.label_text, found.uuid, found.pool
        ));
        let found = MediaId { label: id.label.clone(), media_set_label: Some(found) };
        MediaCatalog::destroy_unrelated(self.pool.inventory().state(), &found)?;
        self.pool.forget_member(found)
    }

    fn move_to_end(&mut self) -> Result<()> {
        let tape = self.tape()?;
        let file = tape.device.move_to_end_for_append()?;
        if file < FIRST_DATA_FILE {
            return Err(Error::BadAppendPosition { tape: tape.label_text.clone(), file });
        }
        Ok(())
    }

    /// The catalogs of all earlier tapes, first thing on a new one.
    fn append_predecessors(&mut self, set_label: &MediaSetLabel) -> Result<()> {
        let members = self.pool.current_set().members().to_vec();
        for (seq_nr, member) in members.iter().enumerate().take(set_label.seq_nr as usize) {
            let Some(media) = member else {
                return Err(Error::MediaSetInconsistent {
                    set: set_label.uuid,
                    reason: format!("the tape with sequence number {seq_nr} is unknown"),
                });
            };
            self.progress.note(&format!("write catalog for previous media: {media}"));
            if !self.append_catalog_of(*media, set_label.uuid, seq_nr as u64)? {
                // A tape that ends so early must not stop every job to come: the next one takes
                // another.
                self.set_full()?;
                let tape = self.tape()?.label_text.clone();
                return Err(Error::DoesNotFit {
                    what: format!("the media catalog of tape {media}"),
                    tape,
                });
            }
        }
        Ok(())
    }

    /// Writes the committed catalog of one tape at the current position; false if it does not fit.
    fn append_catalog_of(&mut self, media: Uuid, set: Uuid, seq_nr: u64) -> Result<bool> {
        let state = self.pool.inventory().state().clone();
        let (mut content, content_bytes) = MediaCatalog::open_committed(&state, &media)?;
        let with_namespaces = self.with_namespaces;
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
            write_catalog_archive(&mut *tape.device, &header, &mut content, with_namespaces, now());
        match written {
            Ok(CatalogWritten::Complete { sent_bytes, .. }) => {
                tape.uncommitted_bytes += sent_bytes;
                self.sent_bytes += sent_bytes;
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
        self.load_writable()?;
        let progress = self.progress;
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
            let mut archive = ChunkArchiveWriter::new(&mut *tape.device, store, now())?;
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
        self.sent_bytes += sent_bytes;
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
            self.load_writable()?;
            let tape = self.tape()?;
            let label_text = tape.label_text.clone();
            let file = tape.device.file_number()?;
            let written = match write_snapshot_archive(&mut *tape.device, archive, files()?, now())
            {
                Ok(written) => written,
                Err(e) => return Err(self.write_failed(e).on_tape_error(&label_text, file)),
            };
            let tape = tape_mut(&mut self.loaded)?;
            tape.uncommitted_bytes += written.sent_bytes;
            self.sent_bytes += written.sent_bytes;
            if written.complete {
                tape.is_fresh = false;
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
            let set = *self.pool.current_set().uuid();
            let Some(seq_nr) = self.pool.current_set().position(&media) else {
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
        self.with_catalog(MediaCatalog::commit)?;
        self.tape()?.uncommitted_bytes = 0;
        self.note_bytes_used();
        Ok(())
    }

    /// Records how full the tape in the drive is. That is only for display, and no reason to fail.
    fn note_bytes_used(&mut self) {
        let Some(tape) = &mut self.loaded else { return };
        let Ok(Some(bytes)) = tape.device.bytes_used() else { return };
        if let Err(e) = self.pool.inventory_mut().set_bytes_used(&tape.media, Some(bytes)) {
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

    /// Records that the tape in the drive takes no more.
    fn set_full(&mut self) -> Result<()> {
        let media = self.tape()?.media;
        self.pool.inventory_mut().set_status(&media, Some(MediaStatus::Full))
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
    fn put_away(&mut self) -> Result<()> {
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

    /// Puts all tapes of the set into import/export slots (a stand-alone drive ejects).
    pub fn export_media_set(&mut self) -> Result<()> {
        self.put_away()?;
        let texts: BTreeSet<String> = self
            .pool
            .current_set()
            .members()
            .iter()
            .flatten()
            .filter_map(|media| self.pool.inventory().get(media))
            .map(|entry| entry.id.label.label_text.clone())
            .collect();
        for text in texts {
            if self.loader.export(&text)? {
                self.progress.note(&format!("exported media '{text}'"));
            } else {
                self.progress.warn(&format!("export failed - media '{text}' is not online"));
            }
        }
        Ok(())
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

fn now() -> i64 {
    datastore::time::now()
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
