//! One tape of a rescue, from its labels to the end of its data.
//!
//! It is walked with the restore's code, so that what one calls readable the other takes. What was taken in an earlier
//! run, as the tape's note says, is stepped over; whatever else can be read is taken, also behind damage.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::Rescue;
use super::identify::{Identified, RescueTape, identify};
use super::notes::{Content, FileNote, TapeNote};
use super::report::{MetTape, TapeState};
use crate::device::TapeDevice;
use crate::error::{Error, IoResultExt, Result};
use crate::format::block::StreamReader;
use crate::format::catalog_archive::{CatalogArchiveHeader, read_catalog_archive};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::ContentKind;
use crate::format::label::{FIRST_DATA_FILE, MediaLabel, MediaSetLabel};
use crate::format::snapshot_archive::read_snapshot_archive_header;
use crate::media::state::{remove_file_if_present, sync_parent};
use crate::media::{MediaCatalog, MediaId};
use crate::operations::catalog::{receive_catalog, scan_chunks};
use crate::restore::chunks::{StoredArchive, store_archive};
use crate::restore::is_about_one_tape;
use crate::restore::tape_files::{TapeFile, Verdict, judge_whole_file, walk};

/// How often notes are written down while a tape is read: each time waits for the disk.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// What a rescue does with chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Nothing: they are passed over, which takes minutes for a tape. Where chunks are is known from catalogs.
    List,
    /// They are read, which takes hours for a tape, so that it is known where they are without catalogs.
    Scan,
    /// They go into the datastore.
    Rescue,
}

impl Rescue<'_> {
    /// Reads the tape in the device.
    ///
    /// `Err` if the rescue can't go on. That this tape can't be read is noted.
    pub(super) fn read_tape(
        &mut self,
        device: &mut dyn TapeDevice,
        bar_code: Option<&str>,
    ) -> Result<()> {
        let text = bar_code.unwrap_or_default().to_string();
        let tape = match identify(device, bar_code)? {
            Identified::Tape(tape) => *tape,
            Identified::Blank => {
                self.meet(MetTape::other(text, TapeState::Blank, "nothing is on it".into()));
                return Ok(());
            }
            Identified::Unused(label) => {
                let reason = "it is labelled, and nothing is on it".to_string();
                self.meet(MetTape::other(label.label_text, TapeState::Unused, reason));
                return Ok(());
            }
            Identified::Foreign(reason) => {
                self.meet(MetTape::other(text, TapeState::Foreign, reason));
                return Ok(());
            }
        };
        let media = self.begin_note(&tape);
        let name = self.notes.get(&media).map(TapeNote::name).unwrap_or_default();
        self.progress
            .note(&format!("tape {name}{}", place_in_set(tape.set.as_ref().map(|s| &s.label))));
        if let Some(reason) = &tape.labels_damaged {
            self.progress.warn(&format!("tape {name}: its labels can't be read: {reason}"));
        }
        if let Some(set) = &tape.set
            && let Err(error) = self.keys.give(&name, set, device)
        {
            if !matches!(error, Error::RescueKeyMissing { .. }) && !is_about_one_tape(&error) {
                return Err(error);
            }
            self.progress.warn(&error.to_string());
            self.meet(MetTape::of(media, TapeState::Locked, error.to_string()));
            return Ok(());
        }
        let (state, reason) = self.walk_tape(device, media, &name)?;
        self.meet(MetTape::of(media, state, reason));
        Ok(())
    }

    /// The note of a tape that is in the drive: the one that there is, unless the tape is in another set by now.
    fn begin_note(&mut self, tape: &RescueTape) -> Uuid {
        let mut id = tape.id.clone();
        if tape.labels_damaged.is_some()
            && let Some(set) = id.assigned_set()
        {
            // The catalog on another tape may say which one belongs there.
            let place = (set.uuid, set.seq_nr);
            let known = self.notes.values().map(|note| &note.id).find(|known| {
                known.assigned_set().is_some_and(|set| (set.uuid, set.seq_nr) == place)
            });
            if let Some(known) = known {
                id.label.uuid = known.label.uuid;
            }
        }
        let media = id.label.uuid;
        let known = self.notes.remove(&media);
        let same_set = |known: &TapeNote| match (known.id.assigned_set(), id.assigned_set()) {
            (Some(known), Some(set)) => known.uuid == set.uuid,
            // With a damaged label one knows less than before.
            (_, None) => true,
            (None, Some(_)) => true,
        };
        let mut note = match known.filter(same_set) {
            Some(known) if tape.labels_damaged.is_some() && known.is_seen => known,
            Some(known) => TapeNote { id, ..known },
            None => TapeNote::new(id, true),
        };
        note.is_seen = true;
        note.problem = tape
            .labels_damaged
            .as_ref()
            .map(|reason| format!("its labels can't be read: {reason}"));
        self.notes.insert(media, note);
        media
    }

    fn walk_tape(
        &mut self,
        device: &mut dyn TapeDevice,
        media: Uuid,
        name: &str,
    ) -> Result<(TapeState, String)> {
        let mut catalog = self.begin_catalog(&media)?;
        if let (Purpose::Rescue, Some(note)) = (self.options.purpose, self.notes.get_mut(&media)) {
            // What was damaged is tried once more, and told anew.
            note.files.retain(|_, file| file.damage_count == 0);
        }
        match device.move_to_file(FIRST_DATA_FILE) {
            Ok(()) => {}
            // Nothing is behind the labels.
            Err(Error::Drive(e)) if e.is_missing() => {}
            Err(error) if is_about_one_tape(&error) => {
                return self.end_tape(media, Some(error.to_string()));
            }
            Err(error) => return Err(error),
        }
        let progress = self.progress;
        let shared = RefCell::new(&mut *self);
        let walked = walk(
            device,
            name,
            progress,
            |file| shared.borrow_mut().one_file(file, media, name, &mut catalog),
            |error| shared.borrow_mut().note_damage(media, &error),
        );
        match walked {
            Ok(files) => {
                progress.note(&format!("tape {name}: end of data after {files} files"));
                if let Some(mut catalog) = catalog {
                    catalog.publish()?;
                }
                self.end_tape(media, None)
            }
            Err(error) if is_about_one_tape(&error) => {
                progress.warn(&error.to_string());
                drop(catalog);
                remove_file_if_present(&self.folder.state().catalog_temp_file(&media))?;
                self.end_tape(media, Some(error.to_string()))
            }
            Err(error) => {
                // What was taken stays taken.
                self.keep_note(&media)?;
                Err(error)
            }
        }
    }

    /// The catalog that a scan makes; a tape that tells no set has none.
    fn begin_catalog(&self, media: &Uuid) -> Result<Option<MediaCatalog>> {
        let id = self.notes.get(media).map(|note| &note.id);
        let id = id.filter(|id| self.options.purpose == Purpose::Scan && !id.is_empty());
        id.map(|id| MediaCatalog::create_temporary(self.folder.state(), id)).transpose()
    }

    /// The tape can't be read any further. `problem` is why, if its data does not end there.
    fn end_tape(&mut self, media: Uuid, problem: Option<String>) -> Result<(TapeState, String)> {
        let Some(note) = self.notes.get_mut(&media) else {
            return Ok((TapeState::Partly, String::new()));
        };
        let reached_end = problem.is_none();
        if problem.is_some() {
            note.problem = problem;
        }
        note.is_listed |= reached_end;
        note.is_rescued |=
            reached_end && self.options.purpose == Purpose::Rescue && !note.is_damaged();
        let reason = note.problem.clone().unwrap_or_default();
        let state = match (reached_end, note.is_damaged()) {
            (true, false) => TapeState::Read,
            (true, true) => TapeState::Damaged,
            (false, _) => TapeState::Partly,
        };
        self.keep_note(&media)?;
        Ok((state, reason))
    }

    fn keep_note(&self, media: &Uuid) -> Result<()> {
        self.folder.sync()?;
        self.notes.get(media).map_or(Ok(()), |note| self.folder.store_note(note))
    }

    /// Writes a note down if that was not done for a while. A run that is killed reads again what came since.
    fn keep_note_sometimes(&mut self, media: &Uuid) -> Result<()> {
        if self.kept.elapsed() < KEEP_EVERY {
            return Ok(());
        }
        self.kept = Instant::now();
        self.keep_note(media)
    }

    /// Keeps what a file is, and that what it holds is here.
    fn keep_file(&mut self, media: Uuid, number: u64, file: FileNote) -> Result<()> {
        if let Some(note) = self.notes.get_mut(&media) {
            note.files.insert(number, file);
        }
        self.keep_note_sometimes(&media)
    }

    fn note_damage(&mut self, media: Uuid, error: &Error) -> Result<()> {
        self.progress.warn(&error.to_string());
        let Some(note) = self.notes.get_mut(&media) else { return Ok(()) };
        match error {
            Error::OnTape { file, source, .. } => {
                let unreadable = FileNote::new(Uuid::nil(), Content::Unreadable);
                note.files.entry(*file).or_insert(unreadable).add_damage(source.to_string());
            }
            other => note.problem = Some(other.to_string()),
        }
        self.keep_note_sometimes(&media)
    }

    fn one_file(
        &mut self,
        file: TapeFile<'_, '_>,
        media: Uuid,
        name: &str,
        catalog: &mut Option<MediaCatalog>,
    ) -> Result<()> {
        let (number, uuid) = (file.number, file.uuid());
        // With a catalog under construction all must be read.
        if catalog.is_none() && !self.options.again && self.is_here(media, number, uuid) {
            return Ok(());
        }
        match file.header.kind {
            ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
                self.snapshot_archive(file, media, catalog)
            }
            ContentKind::ChunkArchiveV1_1 => self.chunk_archive(file, media, name, catalog),
            ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1 => {
                self.catalog_archive(file, media, catalog.is_some())
            }
            // Labels that lie where they do not belong hold nothing.
            kind => Err(Error::UnexpectedContent { expected: "archive", found: kind.name() }),
        }
    }

    /// True if an earlier run took all of a file.
    fn is_here(&self, media: Uuid, number: u64, uuid: Uuid) -> bool {
        let note = self.notes.get(&media).and_then(|note| note.files.get(&number));
        let Some(file) = note.filter(|file| file.uuid == uuid && file.damage_count == 0) else {
            return false;
        };
        match &file.content {
            Content::Chunks { is_stored, .. } => *is_stored,
            Content::Snapshot { store, snapshot } => self.held.get(store, snapshot).is_some(),
            Content::Catalog { of } => MediaCatalog::exists(self.folder.state(), of),
            Content::Abandoned => true,
            Content::Unreadable => false,
        }
    }

    fn snapshot_archive(
        &mut self,
        file: TapeFile<'_, '_>,
        media: Uuid,
        catalog: &mut Option<MediaCatalog>,
    ) -> Result<()> {
        let (number, uuid) = (file.number, file.uuid());
        let archive = match read_snapshot_archive_header(file.stream, &file.header) {
            Ok(archive) => archive,
            Err(error) => return self.abandoned_or(file, media, error),
        };
        let (store, snapshot) = (archive.store.clone(), archive.snapshot.clone());
        self.progress.note(&format!("File {number}: snapshot archive {store}:{snapshot}"));
        let content = Content::Snapshot { store: store.clone(), snapshot: snapshot.clone() };
        let verdict = match self.held.get(&store, &snapshot) {
            // The same snapshot on another tape, or of another set.
            Some(_) => judge_whole_file(file.stream),
            None => self.held.take(self.folder, file.stream, &archive, media, number),
        };
        let verdict = match verdict {
            Ok(verdict) => verdict,
            Err(error) => {
                // Which snapshot the damage costs is told, too.
                self.keep_file(media, number, FileNote::new(uuid, content))?;
                return Err(error);
            }
        };
        match verdict {
            Verdict::Good => {
                if let Some(catalog) = catalog {
                    catalog.register_snapshot(number, uuid, &store, &snapshot)?;
                    catalog.commit_if_large()?;
                }
                self.keep_file(media, number, FileNote::new(uuid, content))
            }
            Verdict::Ignore => {
                self.progress.note(&format!("File {number}: given up by its writer, ignored"));
                self.keep_file(media, number, FileNote::new(uuid, Content::Abandoned))
            }
        }
    }

    /// What is left of a file whose head could not be read: its writer may have given it up before that was written.
    fn abandoned_or(&mut self, file: TapeFile<'_, '_>, media: Uuid, error: Error) -> Result<()> {
        match judge_whole_file(file.stream) {
            Ok(Verdict::Ignore) => {
                let (number, uuid) = (file.number, file.uuid());
                self.keep_file(media, number, FileNote::new(uuid, Content::Abandoned))
            }
            _ => Err(error),
        }
    }

    fn chunk_archive(
        &mut self,
        file: TapeFile<'_, '_>,
        media: Uuid,
        name: &str,
        catalog: &mut Option<MediaCatalog>,
    ) -> Result<()> {
        let (number, uuid) = (file.number, file.uuid());
        let archive = match ChunkArchiveReader::new(&mut *file.stream, &file.header) {
            Ok(archive) => archive,
            Err(error) => return self.abandoned_or(file, media, error),
        };
        let store = archive.store().to_string();
        let mut note =
            FileNote::new(uuid, Content::Chunks { store: store.clone(), is_stored: false });
        match self.options.purpose {
            Purpose::List => {
                self.progress.note(&format!("File {number}: chunk archive of {store}"));
                // What is stored already stays so.
                let known = self.notes.get(&media).and_then(|note| note.files.get(&number));
                if known.is_some_and(|known| known.uuid == uuid) {
                    return Ok(());
                }
                return self.keep_file(media, number, note);
            }
            Purpose::Scan => {
                self.keep_file(media, number, note)?;
                let Some(catalog) = catalog else { return Ok(()) };
                scan_chunks(archive, number, uuid, catalog, self.progress)?;
                return catalog.commit_if_large();
            }
            Purpose::Rescue => {}
        }
        self.progress.note(&format!("File {number}: chunk archive of {store}"));
        let target = self.folder.target(&store)?;
        let StoredArchive { stored, damage, verdict, .. } =
            store_archive(&target.store, archive, self.options.writers, self.progress)?;
        self.chunks += stored.chunks;
        self.chunk_bytes += stored.chunk_bytes;
        self.chunks_present += stored.present;
        for error in damage {
            self.progress.warn(&format!("tape {name}, file {number}: {error}"));
            note.add_damage(error.to_string());
        }
        note.content = match &verdict {
            Ok(Verdict::Good) => Content::Chunks { store, is_stored: true },
            Ok(Verdict::Ignore) => Content::Abandoned,
            Err(_) => Content::Chunks { store, is_stored: false },
        };
        self.keep_file(media, number, note)?;
        verdict.map(|_| ())
    }

    fn catalog_archive(
        &mut self,
        file: TapeFile<'_, '_>,
        media: Uuid,
        is_scanned: bool,
    ) -> Result<()> {
        let (number, uuid) = (file.number, file.uuid());
        let archive = match read_catalog_archive(file.stream, &file.header) {
            Ok(archive) => archive,
            Err(error) => return self.abandoned_or(file, media, error),
        };
        self.progress.note(&format!("File {number}: catalog of tape {}", archive.uuid));
        let note = FileNote::new(uuid, Content::Catalog { of: archive.uuid });
        let member = self.member(&archive, media);
        // A scan finds out itself what is on the tape.
        if let Some(member) = member.filter(|_| !is_scanned || archive.uuid != media)
            && let Err(error) = self.take_catalog(&mut *file.stream, member)
        {
            return self.abandoned_or(file, media, error);
        }
        match judge_whole_file(file.stream)? {
            Verdict::Good => self.keep_file(media, number, note),
            Verdict::Ignore => {
                self.keep_file(media, number, FileNote::new(uuid, Content::Abandoned))
            }
        }
    }

    /// The tape that a catalog describes; `None` if that tape is in another set by now.
    fn member(&self, archive: &CatalogArchiveHeader, media: Uuid) -> Option<MediaId> {
        if let Some(known) = self.notes.get(&archive.uuid) {
            let set = known.id.assigned_set()?;
            return (set.uuid == archive.media_set_uuid).then(|| known.id.clone());
        }
        let of = self.notes.get(&media).and_then(|note| note.id.assigned_set());
        let pool = of.filter(|set| set.uuid == archive.media_set_uuid)?.pool.clone();
        let label =
            MediaLabel { ctime: 0, label_text: String::new(), pool: None, uuid: archive.uuid };
        let set = MediaSetLabel {
            ctime: 0,
            encryption_key_fingerprint: None,
            pool,
            seq_nr: archive.seq_nr,
            uuid: archive.media_set_uuid,
        };
        Some(MediaId { label, media_set_label: Some(set) })
    }

    /// Keeps the catalog in `stream`, unless there is one that knows more: a catalog only ever grows.
    fn take_catalog(&mut self, stream: &mut StreamReader<'_>, member: MediaId) -> Result<()> {
        let state = self.folder.state();
        let uuid = member.label.uuid;
        let temp = state.catalog_temp_file(&uuid);
        let received = receive_catalog(state, stream, &member);
        let Ok(Some(temp)) = received else {
            remove_file_if_present(&temp)?;
            return received.map(|_| ());
        };
        let target = state.catalog_file(&uuid);
        let length = |path: &Path| std::fs::metadata(path).map(|meta| meta.len()).ok();
        if length(&target).is_some_and(|known| Some(known) >= length(&temp)) {
            remove_file_if_present(&temp)?;
            return Ok(());
        }
        remove_file_if_present(&state.catalog_index_file(&uuid))?;
        std::fs::rename(&temp, &target).at(&target)?;
        sync_parent(&target)?;
        self.notes.entry(uuid).or_insert_with(|| TapeNote::new(member, false));
        self.keep_note(&uuid)
    }
}

fn place_in_set(set: Option<&MediaSetLabel>) -> String {
    match set {
        None => String::new(),
        Some(set) => {
            format!(": tape {} of media set {}, pool {}", set.seq_nr + 1, set.uuid, set.pool)
        }
    }
}
