//! Everything: the tapes of the set, each from front to back, in whatever order they can be had.
//!
//! The chunks of a snapshot come before its archive, on the same tape or an earlier one. Where tapes come in their order, all that a
//! snapshot needs is there when its archive is met; else its files wait (`pending`) until the tapes with its chunks were read. On the way
//! the media catalogs are rebuilt; a rebuilt catalog replaces the old one only if the whole tape was read and nothing on it was damaged, because
//! a bad day of a drive must not erase what is known. Of a tape that is mostly in the datastore already only what is lacking is read.

use std::collections::{BTreeMap, BTreeSet};

use datastore::hierarchy::parse_qualified_name;
use uuid::Uuid;

use super::chunks::{StoredArchive, store_archive};
use super::lacking::{Lacking, TapeNeed};
use super::selection::{Fate, Selection, fate};
use super::supply::{Loaded, Supply};
use super::tape_files::{TapeFile, Verdict, at_file, ignore_if_abandoned, judge_whole_file, walk};
use super::waiting::WaitingList;
use super::{Job, RestoreReport, Target, is_about_one_tape};
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::ContentKind;
use crate::format::snapshot_archive::read_snapshot_archive_header;
use crate::loader::{MediaLoader, check_abort};
use crate::media::state::remove_file_if_present;
use crate::media::{MediaCatalog, MediaId};
use crate::operations::catalog::scan_chunks;

pub(super) fn restore(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    members: &[Uuid],
    selection: Selection,
    mut needs: BTreeMap<Uuid, TapeNeed>,
    report: &mut RestoreReport,
) -> Result<()> {
    let mut waiting = WaitingList::new(job);
    let known = selection.names();
    let wanted: Vec<(String, Uuid, u64)> =
        selection.wanted.iter().map(|one| (one.choice.name.clone(), one.media, one.file)).collect();
    for one in selection.wanted {
        let pending = one.choice.pending(job.options)?;
        if pending.is_there() {
            job.progress.note(&format!("{} was read from tape before", one.choice.name));
            waiting.add(one.choice, pending);
        }
    }
    needs.retain(|_, need| !need.is_nothing());
    let mut supply = Supply::new(job, loader);
    loop {
        waiting.publish_whole(report)?;
        let order: Vec<Uuid> =
            members.iter().filter(|media| needs.contains_key(*media)).copied().collect();
        if order.is_empty() {
            break;
        }
        let Some(Loaded { id, mut device }) = supply.next(&order, report)? else { break };
        let Some(need) = needs.remove(&id.label.uuid) else { continue };
        let mut tape = Tape { job, id, known: &known, waiting: &mut waiting, report };
        match need.lacking {
            Lacking::Everything => tape.read(&mut *device)?,
            Lacking::Files(files) => tape.read_files(&mut *device, &files)?,
        }
    }
    waiting.finish(!supply.has_given_up(), report)?;
    tell_not_met(job, &wanted, report)
}

/// A snapshot that the catalogs know and that was met nowhere has to be told: nobody would miss it.
fn tell_not_met(
    job: &Job<'_>,
    wanted: &[(String, Uuid, u64)],
    report: &mut RestoreReport,
) -> Result<()> {
    let left_out = report.snapshots_failed.iter().chain(&report.snapshots_skipped);
    let told: BTreeSet<String> =
        left_out.map(|(name, _)| name).chain(&report.snapshots_restored).cloned().collect();
    for (name, media, file) in wanted.iter().filter(|(name, ..)| !told.contains(name)) {
        let tape = job.inventory.require(media)?.id.label.label_text.clone();
        if report.tapes.contains(&tape) {
            let reason = format!(
                "its archive is not in file {file} of tape {tape}, where the catalog says it is; 'tape scan' shows what the tape \
                 holds"
            );
            report.refused(job.progress, name, reason);
        } else {
            report.failed(job.progress, name, &Error::UnreachedTape { tape });
        }
    }
    Ok(())
}

/// A tape that is being read.
struct Tape<'a, 'j> {
    job: &'a Job<'j>,
    id: MediaId,
    /// Snapshots whose fate the report tells already, or will.
    known: &'a BTreeSet<String>,
    waiting: &'a mut WaitingList<'j>,
    report: &'a mut RestoreReport,
}

impl Tape<'_, '_> {
    fn label_text(&self) -> String {
        self.id.label.label_text.clone()
    }

    /// Reads everything, and makes its catalog anew.
    fn read(&mut self, device: &mut dyn TapeDevice) -> Result<()> {
        let (job, tape, media) = (self.job, self.label_text(), self.id.label.uuid);
        let mut catalog = MediaCatalog::create_temporary(job.state, &self.id)?;
        let damage_before = self.report.damage.len();
        let failures = std::cell::RefCell::new(Vec::new());
        let files = walk(
            device,
            &tape,
            job.progress,
            |file| self.one_file(file, Some(&mut catalog)),
            |error| {
                job.progress.warn(&error.to_string());
                failures.borrow_mut().push(error.to_string());
                Ok(())
            },
        );
        self.report.damage.extend(failures.into_inner());
        match files {
            Ok(files) => {
                job.progress.note(&format!("detected end of data after {files} files"));
            }
            Err(e) if matches!(e.cause(), Error::Drive(_)) && is_about_one_tape(&e) => {
                self.report.damaged(job.progress, &e);
            }
            Err(e) => {
                remove_file_if_present(&job.state.catalog_temp_file(&media))?;
                return Err(e);
            }
        }
        let is_sound = self.report.damage.len() == damage_before;
        if is_sound || !MediaCatalog::exists(job.state, &media) {
            catalog.publish()
        } else {
            drop(catalog);
            remove_file_if_present(&job.state.catalog_temp_file(&media)).map(|_| ())
        }
    }

    /// Reads some files. What is wrong with one costs what is in it.
    fn read_files(&mut self, device: &mut dyn TapeDevice, files: &BTreeSet<u64>) -> Result<()> {
        let (job, tape) = (self.job, self.label_text());
        job.progress.note(&format!("{} files of tape {tape} are lacking", files.len()));
        for number in files {
            check_abort(job.progress)?;
            let read = at_file(device, *number, |file| self.one_file(file, None));
            match read.on_tape(&tape, *number) {
                Ok(()) => {}
                Err(e) if is_about_one_tape(&e) => self.report.damaged(job.progress, &e),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Takes one file. Without a catalog nobody asks what else is on the tape.
    fn one_file(
        &mut self,
        file: TapeFile<'_, '_>,
        mut catalog: Option<&mut MediaCatalog>,
    ) -> Result<()> {
        match file.header.kind {
            ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
                self.snapshot_archive(file, catalog.as_deref_mut())
            }
            ContentKind::ChunkArchiveV1_1 => self.chunk_archive(file, catalog.as_deref_mut()),
            ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1 => {
                judge_whole_file(file.stream).map(|_| ())
            }
            kind => Err(Error::UnexpectedContent { expected: "archive", found: kind.name() }),
        }?;
        catalog.map_or(Ok(()), MediaCatalog::commit_if_large)
    }

    fn snapshot_archive(
        &mut self,
        file: TapeFile<'_, '_>,
        catalog: Option<&mut MediaCatalog>,
    ) -> Result<()> {
        let (job, number, uuid) = (self.job, file.number, file.uuid());
        let archive = match read_snapshot_archive_header(file.stream, &file.header) {
            Ok(archive) => archive,
            Err(e) => return ignore_if_abandoned(file.stream, e),
        };
        let name = format!("{}:{}", archive.store, archive.snapshot);
        job.progress.note(&format!("File {number}: snapshot archive {name}"));
        let register = |verdict| match (verdict, catalog) {
            (Verdict::Good, Some(catalog)) => {
                catalog.register_snapshot(number, uuid, &archive.store, &archive.snapshot)
            }
            (Verdict::Good, None) => Ok(()),
            (Verdict::Ignore, _) => {
                job.progress.note(&format!("File {number}: incomplete, ignored"));
                Ok(())
            }
        };
        // A damaged name is damage of this file; the others come back.
        if job.options.stores.target(&archive.store).is_some() {
            parse_qualified_name(&archive.snapshot)
                .map_err(|e| Error::malformed("snapshot archive", e.to_string()))?;
        }
        let choice = match fate(job.options, &archive.store, &archive.snapshot)? {
            _ if self.waiting.contains(&name) => return register(judge_whole_file(file.stream)?),
            Fate::Restore(choice) => choice,
            Fate::Skip(reason) | Fate::Unmapped(reason) => {
                let verdict = judge_whole_file(file.stream)?;
                if !self.known.contains(&name) {
                    self.report.snapshots_skipped.push((name, reason));
                }
                return register(verdict);
            }
            Fate::Refuse(reason) => {
                let verdict = judge_whole_file(file.stream)?;
                if verdict == Verdict::Good && !self.known.contains(&name) {
                    self.report.refused(job.progress, &name, reason);
                }
                return register(verdict);
            }
        };
        let pending = choice.pending(job.options)?;
        let taken = pending.take(file.stream);
        if let Err(e) = &taken
            && matches!(e.cause(), Error::Io { .. })
        {
            // The datastore takes no more.
            return taken;
        }
        let verdict = match judge_whole_file(file.stream) {
            Ok(verdict) => verdict,
            Err(judged) => {
                pending.remove()?;
                // After a read error the stream itself only says that it failed; unpacking knows why.
                let error = taken.err().unwrap_or(judged);
                self.report.failed(job.progress, &name, &error);
                return Err(Error::malformed("snapshot archive", error.to_string()));
            }
        };
        match taken {
            _ if verdict == Verdict::Ignore => pending.remove()?,
            Ok(()) => {
                self.waiting.add(choice, pending);
                self.waiting.publish_last(self.report)?;
            }
            Err(e) => self.report.failed(job.progress, &name, &e),
        }
        register(verdict)
    }

    fn chunk_archive(
        &mut self,
        file: TapeFile<'_, '_>,
        catalog: Option<&mut MediaCatalog>,
    ) -> Result<()> {
        let (job, number, uuid) = (self.job, file.number, file.uuid());
        let tape = self.label_text();
        let archive = match ChunkArchiveReader::new(file.stream, &file.header) {
            Ok(archive) => archive,
            Err(e) => return ignore_if_abandoned(file.stream, e),
        };
        let store = archive.store().to_string();
        job.progress.note(&format!("File {number}: chunk archive for datastore '{store}'"));
        let Some(Target { store: target, .. }) = job.options.stores.target(&store) else {
            // Reading costs no more than skipping, and so the rebuilt catalog knows these chunks, too.
            return match catalog {
                Some(catalog) => scan_chunks(archive, number, uuid, catalog, job.progress),
                None => Ok(()),
            };
        };
        let StoredArchive { stored, sound, damage, verdict } =
            store_archive(target, archive, job.options.writers, job.progress)?;
        self.report.chunks += stored.chunks;
        self.report.chunk_bytes += stored.chunk_bytes;
        self.report.chunks_present += stored.present;
        for error in damage {
            let (tape, source) = (tape.clone(), Box::new(error));
            self.report.damaged(job.progress, &Error::OnTape { tape, file: number, source });
        }
        if verdict? == Verdict::Ignore {
            job.progress.note(&format!("File {number}: unterminated, ignored"));
            return Ok(());
        }
        let Some(catalog) = catalog else { return Ok(()) };
        job.progress.note(&format!("File {number}: register {} chunks", sound.len()));
        // In the order of the tape, as the writer registers them: who looks for one chunk goes by it.
        catalog.register_chunk_archive(number, uuid, &store, &sound)
    }
}
