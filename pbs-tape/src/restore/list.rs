//! Chosen snapshots: their archives first, then the chunks that they need and the datastore lacks,
//! each tape as few times as possible, then the snapshots appear.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use datastore::hierarchy::parse_qualified_name;
use datastore::{Namespace, SnapshotPath};
use uuid::Uuid;

use super::chunks::store_chunks;
use super::tape_files::{TapeFile, at_file, judge_chunk_archive, open_chunk_archive};
use super::unpack::{Groups, exists, finish_from_folder, indexes_in, unpack_to_folder};
use super::{Job, RestoreReport, SharedStore, Target, is_about_one_tape};
use crate::device::TapeDevice;
use crate::error::{Error, IoResultExt, Result, ResultExt};
use crate::format::snapshot_archive::{SnapshotArchiveHeader, read_snapshot_archive_header};
use crate::loader::{MediaLoader, check_abort};
use crate::media::MediaSet;
use crate::media::catalog::DigestSet;
use crate::media::set::SetCatalogs;

/// A snapshot that was chosen and is on tape.
struct Wanted {
    /// `store:snapshot`, for messages.
    name: String,
    archive: SnapshotArchiveHeader,
    namespace: Namespace,
    snapshot: SnapshotPath,
    target: Target,
    media: Uuid,
    file: u64,
    /// Where its files wait for its chunks.
    folder: PathBuf,
    /// What its indexes name, known after its archive was read.
    digests: DigestSet,
    failed: bool,
}

pub(super) fn restore(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    set: &MediaSet,
    report: &mut RestoreReport,
) -> Result<()> {
    // A tape or catalog that is lost costs no more than what was only there: every snapshot is checked
    // for all its chunks before it appears.
    let members: Vec<Uuid> = set.members().iter().copied().flatten().collect();
    if let Err(e) = set.require_complete() {
        job.progress.warn(&e.to_string());
    }
    let (catalogs, lacking) = SetCatalogs::load_available(job.state, job.inventory, set)?;
    for error in lacking {
        job.progress.warn(&error.to_string());
    }
    let mut wanted = select(job, &catalogs, report)?;
    // The lock on the set makes these folders ours alone; an earlier try may have left something.
    let folders: Vec<PathBuf> = job
        .options
        .stores
        .targets()
        .iter()
        .map(|target| temp_folder(&target.store, &job.options.media_set))
        .collect();
    for folder in &folders {
        if folder.exists() {
            fs::remove_dir_all(folder).at(folder)?;
        }
    }
    let result = restore_selected(job, loader, &members, &catalogs, &mut wanted, report);
    for folder in folders {
        // Only copies of what is on tape.
        let _ = fs::remove_dir_all(folder);
    }
    result
}

fn restore_selected(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    members: &[Uuid],
    catalogs: &SetCatalogs,
    wanted: &mut [Wanted],
    report: &mut RestoreReport,
) -> Result<()> {
    fetch_archives(job, loader, members, wanted, report)?;
    fetch_chunks(job, loader, members, catalogs, wanted, report)?;
    let mut groups = Groups::default();
    for one in wanted.iter().filter(|one| !one.failed) {
        check_abort(job.progress)?;
        match publish(job, &mut groups, one) {
            Ok(true) => {
                job.progress.note(&format!("restored snapshot {}", one.name));
                report.snapshots_restored.push(one.name.clone());
            }
            Ok(false) => {
                report.snapshots_skipped.push((one.name.clone(), "it exists already".into()));
            }
            Err(e) => report.failed(job.progress, &one.name, &e),
        }
    }
    Ok(())
}

fn temp_folder(store: &SharedStore, set: &Uuid) -> PathBuf {
    store.base().join(".tmp").join(set.to_string())
}

/// What of the list can be restored.
fn select(
    job: &Job<'_>,
    catalogs: &SetCatalogs,
    report: &mut RestoreReport,
) -> Result<Vec<Wanted>> {
    let mut wanted: Vec<Wanted> = Vec::new();
    for text in &job.options.snapshots {
        let bad =
            |reason: String| Error::BadArgument { what: "snapshot", value: text.clone(), reason };
        let (store, name) = text
            .split_once(':')
            .ok_or_else(|| bad("it must have the form store:[ns/…/]type/id/time".into()))?;
        let (namespace, snapshot) = parse_qualified_name(name).map_err(|e| bad(e.to_string()))?;
        if wanted.iter().any(|known| known.name == *text) {
            continue;
        }
        let Some(target) = job.options.stores.target(store) else {
            // Who names a snapshot wants it: leaving it out is no success.
            let error = bad(format!("datastore {store} is not mapped to any target"));
            report.failed(job.progress, text, &error);
            continue;
        };
        let Some((media, file)) = catalogs.find_snapshot(store, name) else {
            let error = bad(format!(
                "none of the catalogs of media set {} knows it",
                job.options.media_set
            ));
            report.failed(job.progress, text, &error);
            continue;
        };
        if exists(&target.store, &namespace, &snapshot)? {
            let reason = "it exists already".to_string();
            job.progress.warn(&format!("snapshot {text} is left out: {reason}"));
            report.snapshots_skipped.push((text.clone(), reason));
            continue;
        }
        // Both parts of the path were parsed and printed again: no name leads out of the folder.
        let folder = temp_folder(&target.store, &job.options.media_set)
            .join(safe_store_name(store)?)
            .join(datastore::hierarchy::qualified_name(&namespace, &snapshot));
        wanted.push(Wanted {
            name: text.clone(),
            archive: SnapshotArchiveHeader { snapshot: name.into(), store: store.into() },
            namespace,
            snapshot,
            target: target.clone(),
            media,
            file,
            folder,
            digests: DigestSet::default(),
            failed: false,
        });
    }
    Ok(wanted)
}

fn safe_store_name(store: &str) -> Result<&str> {
    datastore::hierarchy::check_datastore_name(store)?;
    Ok(store)
}

/// Phase 1: the snapshot archives, tape by tape.
fn fetch_archives(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    members: &[Uuid],
    wanted: &mut [Wanted],
    report: &mut RestoreReport,
) -> Result<()> {
    for media in members {
        let mut here: Vec<&mut Wanted> =
            wanted.iter_mut().filter(|one| one.media == *media).collect();
        if here.is_empty() {
            continue;
        }
        here.sort_by_key(|one| one.file);
        let (id, mut device) = match job.load(loader, media, report) {
            Ok(loaded) => loaded,
            Err(e) if is_about_one_tape(&e) => {
                report.damaged(job.progress, &e);
                for one in here {
                    one.failed = true;
                    report.failed(job.progress, &one.name, &e);
                }
                continue;
            }
            Err(e) => return Err(e),
        };
        for one in here {
            check_abort(job.progress)?;
            job.progress.note(&format!("File {}: snapshot archive {}", one.file, one.name));
            let fetched = fetch_archive(&mut *device, one).on_tape(&id.label.label_text, one.file);
            match fetched {
                Ok(()) => {}
                Err(e) if is_about_one_tape(&e) || matches!(e.cause(), Error::Datastore(_)) => {
                    one.failed = true;
                    report.failed(job.progress, &one.name, &e);
                }
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

fn fetch_archive(device: &mut dyn TapeDevice, one: &mut Wanted) -> Result<()> {
    at_file(device, one.file, |file| unpack_archive(file, one))?;
    for index in indexes_in(&**one.target.store.storage(), &one.folder)? {
        one.digests.extend(index.digests());
    }
    Ok(())
}

fn unpack_archive(file: TapeFile<'_, '_>, one: &Wanted) -> Result<()> {
    let TapeFile { header, stream, .. } = file;
    let archive = read_snapshot_archive_header(stream, &header)?;
    if archive != one.archive {
        return Err(Error::malformed(
            "snapshot archive",
            format!(
                "it holds {}:{}, the catalog says {}",
                archive.store, archive.snapshot, one.name
            ),
        ));
    }
    unpack_to_folder(stream, &one.folder)?;
    if stream.is_incomplete()? {
        return Err(Error::malformed("snapshot archive", "it is marked as incomplete"));
    }
    Ok(())
}

/// Which chunks to take from which file of which tape, for each target.
type Plan = BTreeMap<Uuid, BTreeMap<u64, (String, DigestSet)>>;

/// Phase 2: the chunks that the targets lack.
fn fetch_chunks(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    members: &[Uuid],
    catalogs: &SetCatalogs,
    wanted: &[Wanted],
    report: &mut RestoreReport,
) -> Result<()> {
    let mut plan = Plan::new();
    let mut looked_at: BTreeMap<(&str, &str), DigestSet> = BTreeMap::new();
    for one in wanted.iter().filter(|one| !one.failed) {
        let store = one.archive.store.as_str();
        let seen = looked_at.entry((store, one.target.name.as_str())).or_default();
        for digest in &one.digests {
            if !seen.insert(*digest) || one.target.store.chunks().touch(digest)? {
                continue;
            }
            // A chunk that no catalog knows is found missing when the snapshot is to appear.
            if let Some((media, file)) = catalogs.find_chunk(store, digest)? {
                let files = plan.entry(media).or_default();
                let (_, digests) =
                    files.entry(file).or_insert_with(|| (store.into(), DigestSet::default()));
                digests.insert(*digest);
            }
        }
    }
    for media in members {
        let Some(files) = plan.remove(media) else { continue };
        let (id, mut device) = match job.load(loader, media, report) {
            Ok(loaded) => loaded,
            // What lacks these chunks is found out when it is to appear.
            Err(e) if is_about_one_tape(&e) => {
                report.damaged(job.progress, &e);
                continue;
            }
            Err(e) => return Err(e),
        };
        for (file, (store, digests)) in files {
            check_abort(job.progress)?;
            let Some(target) = job.options.stores.target(&store) else { continue };
            job.progress.note(&format!("File {file}: {} chunks wanted", digests.len()));
            let fetched =
                fetch_from_archive(job, &mut *device, file, &store, target, digests, report)
                    .on_tape(&id.label.label_text, file);
            match fetched {
                Ok(()) => {}
                Err(e) if is_about_one_tape(&e) => report.damaged(job.progress, &e),
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}

fn fetch_from_archive(
    job: &Job<'_>,
    device: &mut dyn TapeDevice,
    file: u64,
    store: &str,
    target: &Target,
    wanted: DigestSet,
    report: &mut RestoreReport,
) -> Result<()> {
    at_file(device, file, |file| take_chunks(job, file, store, target, wanted, report))
}

fn take_chunks(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    store: &str,
    target: &Target,
    mut wanted: DigestSet,
    report: &mut RestoreReport,
) -> Result<()> {
    let mut archive = open_chunk_archive(file.stream, &file.header, store)?;
    let mut damage = Vec::new();
    let (result, stored) =
        store_chunks(&target.store, job.options.writers, job.progress, |sink| {
            let mut blob = sink.buffer();
            while !wanted.is_empty() {
                check_abort(job.progress)?;
                match archive.next_chunk_behind_damage(&mut blob, &mut damage)? {
                    None => break,
                    Some(digest) if wanted.remove(&digest) => {
                        sink.put(digest, std::mem::replace(&mut blob, sink.buffer()))?;
                    }
                    Some(_) => {}
                }
            }
            Ok(())
        })?;
    report.chunks += stored.chunks;
    report.chunk_bytes += stored.chunk_bytes;
    report.chunks_present += stored.present;
    for (_, reason) in &stored.bad {
        report.damaged(job.progress, &Error::malformed("chunk archive", reason.clone()));
    }
    if let Err(e) = &result
        && e.is_aborted()
    {
        return result;
    }
    // With all chunks at hand nobody asks how the rest of the file is.
    if result.is_err() {
        judge_chunk_archive(file.stream, result, &mut damage)?;
    }
    for error in &damage {
        report.damaged(job.progress, error);
    }
    Ok(())
}

/// Phase 3: the snapshot appears. False: it exists.
fn publish(job: &Job<'_>, groups: &mut Groups, one: &Wanted) -> Result<bool> {
    let begun = groups.begin(&one.target, &one.namespace, &one.snapshot, &job.options.owner)?;
    let Some(writer) = begun else { return Ok(false) };
    finish_from_folder(&one.name, writer, &one.folder)?;
    Ok(true)
}
