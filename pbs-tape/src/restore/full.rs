//! Everything: all tapes of the set from front to back, in their order.
//!
//! The chunks of a snapshot come before its archive, on the same tape or an earlier one; so when the
//! archive is met, all that it needs is there or will never be. On the way the media catalogs are
//! rebuilt; a rebuilt catalog replaces the old one only if nothing on the tape was damaged, because
//! a bad day of a drive must not erase what is known.

use datastore::hierarchy::parse_qualified_name;
use uuid::Uuid;

use super::chunks::{StoredArchive, store_archive};
use super::tape_files::{TapeFile, Verdict, ignore_if_abandoned, judge_whole_file, walk};
use super::unpack::{Groups, finish, unpack};
use super::{Job, RestoreReport, Target, is_about_one_tape};
use crate::error::{Error, Result};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::ContentKind;
use crate::format::snapshot_archive::read_snapshot_archive_header;
use crate::loader::MediaLoader;
use crate::media::MediaCatalog;
use crate::media::state::remove_file_if_present;
use crate::operations::catalog::scan_chunk_archive;

pub(super) fn restore(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    members: &[Uuid],
    report: &mut RestoreReport,
) -> Result<()> {
    let mut groups = Groups::default();
    for media in members {
        let (id, mut device) = match job.load(loader, media, report) {
            Ok(loaded) => loaded,
            Err(e) if is_about_one_tape(&e) => {
                report.damaged(job.progress, &e);
                continue;
            }
            Err(e) => return Err(e),
        };
        let tape = id.label.label_text.clone();
        let mut catalog = MediaCatalog::create_temporary(job.state, &id)?;
        let damage_before = report.damage.len();
        let failures = std::cell::RefCell::new(Vec::new());
        let files = walk(
            &mut *device,
            &tape,
            job.progress,
            |file| one_file(job, file, &tape, &mut groups, &mut catalog, report),
            |error| {
                job.progress.warn(&error.to_string());
                failures.borrow_mut().push(error.to_string());
                Ok(())
            },
        );
        report.damage.extend(failures.into_inner());
        match files {
            Ok(files) => {
                job.progress.note(&format!("detected end of data after {files} files"));
            }
            Err(e) if matches!(e.cause(), Error::Drive(_)) && is_about_one_tape(&e) => {
                report.damaged(job.progress, &e);
            }
            Err(e) => {
                remove_file_if_present(&job.state.catalog_temp_file(media))?;
                return Err(e);
            }
        }
        let is_sound = report.damage.len() == damage_before;
        if is_sound || !MediaCatalog::exists(job.state, media) {
            catalog.publish()?;
        } else {
            drop(catalog);
            remove_file_if_present(&job.state.catalog_temp_file(media))?;
        }
    }
    Ok(())
}

fn one_file(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    tape: &str,
    groups: &mut Groups,
    catalog: &mut MediaCatalog,
    report: &mut RestoreReport,
) -> Result<()> {
    match file.header.kind {
        ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
            snapshot_archive(job, file, groups, catalog, report)
        }
        ContentKind::ChunkArchiveV1_1 => chunk_archive(job, file, tape, catalog, report),
        ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1 => {
            judge_whole_file(file.stream).map(|_| ())
        }
        kind => Err(Error::UnexpectedContent { expected: "archive", found: kind.name() }),
    }?;
    catalog.commit_if_large()
}

fn snapshot_archive(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    groups: &mut Groups,
    catalog: &mut MediaCatalog,
    report: &mut RestoreReport,
) -> Result<()> {
    let (number, uuid) = (file.number, file.uuid());
    let archive = match read_snapshot_archive_header(file.stream, &file.header) {
        Ok(archive) => archive,
        Err(e) => return ignore_if_abandoned(file.stream, e),
    };
    let name = format!("{}:{}", archive.store, archive.snapshot);
    job.progress.note(&format!("File {number}: snapshot archive {name}"));
    let mut register = |verdict| match verdict {
        Verdict::Good => catalog.register_snapshot(number, uuid, &archive.store, &archive.snapshot),
        Verdict::Ignore => {
            job.progress.note(&format!("File {number}: incomplete, ignored"));
            Ok(())
        }
    };
    let Some(target) = job.options.stores.target(&archive.store) else {
        let reason = format!("datastore {} is not mapped", archive.store);
        report.snapshots_skipped.push((name, reason));
        return register(judge_whole_file(file.stream)?);
    };
    // A damaged name is damage of this file; the others come back.
    let (namespace, snapshot) = parse_qualified_name(&archive.snapshot)
        .map_err(|e| Error::malformed("snapshot archive", e.to_string()))?;
    let begun = groups.begin(target, &namespace, &snapshot, &job.options.owner);
    let mut writer = match begun {
        Ok(Some(writer)) => writer,
        Ok(None) => {
            report.snapshots_skipped.push((name, "it exists already".into()));
            return register(judge_whole_file(file.stream)?);
        }
        Err(e) => {
            // Another owner, or somebody who writes to the group: only this snapshot fails.
            let verdict = judge_whole_file(file.stream)?;
            if verdict == Verdict::Good {
                report.failed(job.progress, &name, &e);
            }
            return register(verdict);
        }
    };
    let unpacked = unpack(file.stream, &mut writer);
    let verdict = match judge_whole_file(file.stream) {
        Ok(verdict) => verdict,
        Err(judged) => {
            // After a read error the stream itself only says that it failed; unpacking knows why.
            let error = unpacked.err().unwrap_or(judged);
            report.failed(job.progress, &name, &error);
            return Err(Error::malformed("snapshot archive", error.to_string()));
        }
    };
    if verdict == Verdict::Ignore {
        return register(verdict);
    }
    match unpacked.and_then(|manifest| finish(&name, writer, manifest)) {
        Ok(()) => {
            job.progress.note(&format!("restored snapshot {name}"));
            report.snapshots_restored.push(name);
        }
        Err(e) => report.failed(job.progress, &name, &e),
    }
    register(verdict)
}

fn chunk_archive(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    tape: &str,
    catalog: &mut MediaCatalog,
    report: &mut RestoreReport,
) -> Result<()> {
    let (number, uuid) = (file.number, file.uuid());
    let archive = match ChunkArchiveReader::new(file.stream, &file.header) {
        Ok(archive) => archive,
        Err(e) => return ignore_if_abandoned(file.stream, e),
    };
    let store = archive.store().to_string();
    job.progress.note(&format!("File {number}: chunk archive for datastore '{store}'"));
    let Some(Target { store: target, .. }) = job.options.stores.target(&store) else {
        // Reading costs no more than skipping, and so the rebuilt catalog knows these chunks, too.
        return scan_chunk_archive(file, catalog, job.progress);
    };
    let StoredArchive { stored, sound, damage, verdict } =
        store_archive(target, archive, job.options.writers, job.progress)?;
    report.chunks += stored.chunks;
    report.chunk_bytes += stored.chunk_bytes;
    report.chunks_present += stored.present;
    for error in damage {
        let source = Box::new(error);
        report
            .damaged(job.progress, &Error::OnTape { tape: tape.to_string(), file: number, source });
    }
    if verdict? == Verdict::Ignore {
        job.progress.note(&format!("File {number}: unterminated, ignored"));
        return Ok(());
    }
    job.progress.note(&format!("File {number}: register {} chunks", sound.len()));
    // In the order of the tape, as the writer registers them: who looks for one chunk goes by it.
    catalog.register_chunk_archive(number, uuid, &store, &sound)
}
