//! Chosen snapshots: their archives, then the chunks that they need and the datastore lacks.
//!
//! What a tape is needed for is known as far as the archives were read that need something of it. A snapshot's chunks are on tapes
//! before its archive or on the same one. So tapes with archives come first, the last of the set before the others: then each tape is
//! loaded once. Any other order is right as well and may cost a tape a second load.

use std::collections::{BTreeMap, BTreeSet};

use datastore::Digest;
use datastore::index::Index;
use uuid::Uuid;

use super::chunks::store_chunks;
use super::pending::Pending;
use super::plan::Necessity;
use super::selection::{Choice, OnTape};
use super::supply::{Loaded, Supply};
use super::tape_files::{TapeFile, at_file, judge_chunk_archive, open_chunk_archive};
use super::waiting::WaitingList;
use super::{Job, RestoreReport, Target, is_about_one_tape};
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::snapshot_archive::{SnapshotArchiveHeader, read_snapshot_archive_header};
use crate::loader::{MediaLoader, check_abort};
use crate::media::MediaSet;
use crate::media::catalog::DigestSet;
use crate::media::set::SetCatalogs;

/// Chunks to be taken from one file of a tape.
#[derive(Default)]
pub(super) struct FileChunks {
    store: String,
    digests: DigestSet,
    bytes: u64,
}

/// What is needed of the tapes, as far as it is known.
pub(super) struct Needs<'a> {
    catalogs: &'a SetCatalogs,
    /// Whether the target has a chunk.
    is_there: &'a dyn Fn(&Target, &Digest) -> Result<bool>,
    chunks: BTreeMap<Uuid, BTreeMap<u64, FileChunks>>,
    /// Chunks of each source that were looked for, and those that were not there.
    seen: BTreeMap<String, (DigestSet, DigestSet)>,
}

impl<'a> Needs<'a> {
    pub fn new(
        catalogs: &'a SetCatalogs,
        is_there: &'a dyn Fn(&Target, &Digest) -> Result<bool>,
    ) -> Needs<'a> {
        Needs { catalogs, is_there, chunks: BTreeMap::new(), seen: BTreeMap::new() }
    }

    /// Adds what an index of a snapshot needs. A chunk that is not there yet, if there is one.
    pub fn add(&mut self, choice: &Choice, index: &Index) -> Result<Option<Digest>> {
        let store = &choice.archive.store;
        let (seen, lacking) = self.seen.entry(store.clone()).or_default();
        let mut some_lacking = None;
        for entry in index.entries() {
            let digest = entry.digest;
            if seen.insert(digest) && !(self.is_there)(&choice.target, &digest)? {
                lacking.insert(digest);
                // A chunk that no catalog knows is found missing when the snapshot is to appear.
                if let Some((media, file)) = self.catalogs.find_chunk(store, &digest)? {
                    let files = self.chunks.entry(media).or_default();
                    let wanted = files.entry(file).or_default();
                    wanted.store.clone_from(store);
                    wanted.digests.insert(digest);
                    wanted.bytes += entry.len();
                }
            }
            if lacking.contains(&digest) {
                some_lacking = Some(digest);
            }
        }
        Ok(some_lacking)
    }

    /// The tapes that chunks are needed from.
    pub fn tapes(&self) -> impl Iterator<Item = &Uuid> {
        self.chunks.keys()
    }

    /// What a tape is needed for.
    pub fn of(&self, media: &Uuid) -> Necessity {
        let mut necessity = Necessity::default();
        for file in self.chunks.get(media).into_iter().flat_map(BTreeMap::values) {
            necessity.files += 1;
            necessity.chunks += file.digests.len() as u64;
            necessity.bytes += file.bytes;
        }
        necessity
    }
}

pub(super) fn restore(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    set: &MediaSet,
    catalogs: &SetCatalogs,
    wanted: Vec<OnTape>,
    report: &mut RestoreReport,
) -> Result<()> {
    let touch = |target: &Target, digest: &Digest| Ok(target.store.chunks().touch(digest)?);
    let mut needs = Needs::new(catalogs, &touch);
    let mut waiting = WaitingList::new(job);
    let mut unread = Vec::new();
    for one in wanted {
        check_abort(job.progress)?;
        let mut pending = one.choice.pending(job.options)?;
        if pending.is_there() {
            job.progress.note(&format!("{} was read from tape before", one.choice.name));
            note_chunks(&mut needs, &one.choice, &mut pending)?;
            waiting.add(one.choice, pending);
        } else {
            unread.push(one);
        }
    }
    waiting.publish_whole(report)?;
    let mut supply = Supply::new(job, loader);
    loop {
        let order = order(set, &needs, &unread);
        if order.is_empty() {
            break;
        }
        let Some(Loaded { id, mut device }) = supply.next(&order, report)? else { break };
        let media = id.label.uuid;
        let (mut here, elsewhere) = unread.into_iter().partition(|one| one.media == media);
        unread = elsewhere;
        read_archives(
            job,
            &mut *device,
            &id.label.label_text,
            &mut here,
            report,
            &mut |one, mut pending| {
                note_chunks(&mut needs, &one, &mut pending)?;
                waiting.add(one, pending);
                Ok(())
            },
        )?;
        let files = needs.chunks.remove(&media).unwrap_or_default();
        read_chunks(job, &mut *device, &id.label.label_text, files, report)?;
        drop(device);
        waiting.publish_whole(report)?;
    }
    for one in &unread {
        let label_text = job.inventory.require(&one.media)?.id.label.label_text.clone();
        let error = Error::UnreachedTape { tape: label_text };
        report.failed(job.progress, &one.choice.name, &error);
    }
    waiting.finish(!supply.has_given_up(), report)
}

/// The tapes that are needed now, best first.
fn order(set: &MediaSet, needs: &Needs<'_>, unread: &[OnTape]) -> Vec<Uuid> {
    let archives: BTreeSet<Uuid> = unread.iter().map(|one| one.media).collect();
    let needed: BTreeSet<Uuid> = archives.iter().chain(needs.tapes()).copied().collect();
    let members = set.members().iter().rev().flatten();
    let mut order: Vec<Uuid> = members.filter(|media| needed.contains(media)).copied().collect();
    order.sort_by_key(|media| !archives.contains(media));
    order
}

fn note_chunks(needs: &mut Needs<'_>, one: &Choice, pending: &mut Pending) -> Result<()> {
    let mut some_lacking = None;
    for index in pending.indexes()? {
        some_lacking = needs.add(one, &index)?.or(some_lacking);
    }
    if let Some(digest) = some_lacking {
        pending.lacks(digest);
    }
    Ok(())
}

/// The snapshot archives on one tape, upwards.
fn read_archives(
    job: &Job<'_>,
    device: &mut dyn TapeDevice,
    tape: &str,
    here: &mut Vec<OnTape>,
    report: &mut RestoreReport,
    taken: &mut dyn FnMut(Choice, Pending) -> Result<()>,
) -> Result<()> {
    here.sort_by_key(|one| one.file);
    for OnTape { choice, file, .. } in here.drain(..) {
        check_abort(job.progress)?;
        job.progress.note(&format!("File {file}: snapshot archive {}", choice.name));
        let pending = choice.pending(job.options)?;
        let read = at_file(device, file, |file| {
            let TapeFile { header, stream, .. } = file;
            expect_archive(read_snapshot_archive_header(stream, &header)?, &choice.archive)?;
            pending.take(stream)
        });
        match read.on_tape(tape, file) {
            Ok(()) => taken(choice, pending)?,
            Err(e) if is_about_one_tape(&e) || matches!(e.cause(), Error::Datastore(_)) => {
                report.failed(job.progress, &choice.name, &e);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Refuses another archive than the catalog says is there.
pub(super) fn expect_archive(
    found: SnapshotArchiveHeader,
    wanted: &SnapshotArchiveHeader,
) -> Result<()> {
    if found == *wanted {
        return Ok(());
    }
    Err(Error::malformed(
        "snapshot archive",
        format!(
            "it holds {}:{}, the catalog says {}:{}",
            found.store, found.snapshot, wanted.store, wanted.snapshot
        ),
    ))
}

/// The chunks that are wanted of one tape.
fn read_chunks(
    job: &Job<'_>,
    device: &mut dyn TapeDevice,
    tape: &str,
    files: BTreeMap<u64, FileChunks>,
    report: &mut RestoreReport,
) -> Result<()> {
    for (file, wanted) in files {
        check_abort(job.progress)?;
        let Some(target) = job.options.stores.target(&wanted.store) else { continue };
        job.progress.note(&format!("File {file}: {} chunks wanted", wanted.digests.len()));
        let read = at_file(device, file, |file| take_chunks(job, file, target, wanted, report));
        match read.on_tape(tape, file) {
            Ok(()) => {}
            Err(e) if is_about_one_tape(&e) => report.damaged(job.progress, &e),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn take_chunks(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    target: &Target,
    wanted: FileChunks,
    report: &mut RestoreReport,
) -> Result<()> {
    let FileChunks { store, digests: mut wanted, .. } = wanted;
    let mut archive = open_chunk_archive(file.stream, &file.header, &store)?;
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
