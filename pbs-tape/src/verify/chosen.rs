//! Chosen snapshots: their archives first, then the chunks that these name, each tape as few times as possible.

use std::collections::BTreeMap;

use datastore::Digest;
use uuid::Uuid;

use super::Job;
use super::ledger::Ledger;
use super::report::{SnapshotState, TapeState, VerifiedSnapshot};
use super::whole::{check_chunks, check_snapshot};
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::snapshot_archive::read_snapshot_archive_header;
use crate::loader::{MediaLoader, check_abort};
use crate::media::set::SetCatalogs;
use crate::restore::tape_files::{
    TapeFile, Verdict, at_file, is_tape_damage, judge_chunk_archive, open_chunk_archive,
};

/// Digests wanted from each file of each tape, sorted, with the datastore that they are of.
type Plan = BTreeMap<Uuid, BTreeMap<u64, (String, Vec<Digest>)>>;

/// Verifies snapshots of the set by their full names, `store:name`.
pub(super) fn verify(
    job: &Job<'_>,
    loader: &mut dyn MediaLoader,
    names: &[String],
    ledger: &mut Ledger,
) -> Result<()> {
    let (catalogs, lacking) = SetCatalogs::load_available(job.state, job.inventory, &job.members)?;
    for error in lacking {
        job.progress.warn(&error.to_string());
    }
    let mut archives: BTreeMap<Uuid, BTreeMap<u64, &str>> = BTreeMap::new();
    for name in names {
        let place =
            name.split_once(':').and_then(|(store, name)| catalogs.find_snapshot(store, name));
        match place {
            Some((media, file)) => {
                archives.entry(media).or_default().insert(file, name);
            }
            None => ledger
                .unverified
                .push(format!("{name}: none of the catalogs of media set {} knows it", job.set)),
        }
    }
    for media in job.in_order() {
        let Some(files) = archives.remove(&media) else { continue };
        job.with_tape(loader, &media, ledger, TapeState::Chosen, |device, tape, ledger| {
            for (file, name) in &files {
                check_abort(job.progress)?;
                snapshot(job, device, tape, *file, name, ledger)?;
            }
            Ok(())
        })?;
        for (file, name) in files {
            account_for(ledger, &media, file, name);
        }
    }
    let mut plan = plan(ledger, &catalogs)?;
    // Their memory is not needed while tapes are read.
    drop(catalogs);
    for media in job.in_order() {
        let Some(files) = plan.remove(&media) else { continue };
        job.with_tape(loader, &media, ledger, TapeState::Chosen, |device, tape, ledger| {
            for (file, (store, digests)) in &files {
                check_abort(job.progress)?;
                chunks(job, device, tape, *file, store, digests, ledger)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// Lists a snapshot whose archive was not read because its tape could not be.
fn account_for(ledger: &mut Ledger, media: &Uuid, file: u64, name: &str) {
    if ledger.snapshots.iter().any(|one| one.snapshot == name) {
        return;
    }
    let Some(tape) = ledger.tapes.iter().find(|tape| tape.id.label.uuid == *media) else { return };
    let (text, reason) = (tape.text().to_owned(), tape.reason.clone());
    if tape.state == TapeState::Unreadable {
        ledger.lose_snapshot(name, &text, file, &reason);
    } else {
        let mut unread = VerifiedSnapshot::new(name.to_owned(), text, file);
        unread.state = SnapshotState::Unknown;
        ledger.snapshots.push(unread);
    }
}

/// Where the chunks are that the snapshots' indexes name.
fn plan(ledger: &Ledger, catalogs: &SetCatalogs) -> Result<Plan> {
    let mut plan = Plan::new();
    for need in &ledger.needs {
        let Some(archive) = ledger.archives.get(need.archive as usize) else { continue };
        let store = ledger.store(archive.store);
        if let Some((media, file)) = catalogs.find_chunk(store, &need.digest)? {
            let files = plan.entry(media).or_default();
            let (_, digests) = files.entry(file).or_insert_with(|| (store.to_owned(), Vec::new()));
            digests.push(need.digest);
        }
    }
    for (_, digests) in plan.values_mut().flat_map(|files| files.values_mut()) {
        digests.sort_unstable();
        digests.dedup();
    }
    Ok(plan)
}

/// Notes damage at a place of a tape; other errors end what is done with it.
fn or_damage(
    job: &Job<'_>,
    ledger: &mut Ledger,
    tape: usize,
    file: u64,
    result: Result<()>,
) -> Result<Option<String>> {
    let text = ledger.tapes.get(tape).map(|tape| tape.text().to_owned()).unwrap_or_default();
    let Err(error) = result.on_tape(&text, file) else { return Ok(None) };
    let is_gone = matches!(error.cause(), Error::Drive(e) if e.is_missing());
    if !is_tape_damage(&error) && !is_gone {
        return Err(error);
    }
    job.progress.warn(&error.to_string());
    let reason = match &error {
        Error::OnTape { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    ledger.add_damage(&text, Some(file), reason.clone());
    Ok(Some(reason))
}

fn snapshot(
    job: &Job<'_>,
    device: &mut dyn TapeDevice,
    tape: usize,
    number: u64,
    name: &str,
    ledger: &mut Ledger,
) -> Result<()> {
    let text = ledger.tapes.get(tape).map(|tape| tape.text().to_owned()).unwrap_or_default();
    job.progress.note(&format!("File {number}: snapshot archive {name}"));
    let read = at_file(device, number, |file| {
        let TapeFile { header, stream, .. } = file;
        let archive = read_snapshot_archive_header(stream, &header)?;
        let found = format!("{}:{}", archive.store, archive.snapshot);
        if found != name {
            let reason = format!("it holds {found}, the catalog says {name}");
            return Err(Error::malformed("snapshot archive", reason));
        }
        match check_snapshot(job, stream, &archive, &text, number, ledger)? {
            Verdict::Good => Ok(()),
            Verdict::Ignore => Err(Error::malformed("snapshot archive", "it is not finished")),
        }
    });
    if let Some(tape) = ledger.tapes.get_mut(tape) {
        tape.files_read += 1;
    }
    if let Some(reason) = or_damage(job, ledger, tape, number, read)? {
        let place = ledger.snapshots.iter().position(|one| one.snapshot == name);
        match place {
            Some(place) => {
                ledger.blame_file(&text, number, place);
            }
            None => {
                ledger.lose_snapshot(name, &text, number, &reason);
            }
        }
    }
    Ok(())
}

fn chunks(
    job: &Job<'_>,
    device: &mut dyn TapeDevice,
    tape: usize,
    number: u64,
    store: &str,
    digests: &[Digest],
    ledger: &mut Ledger,
) -> Result<()> {
    let text = ledger.tapes.get(tape).map(|tape| tape.text().to_owned()).unwrap_or_default();
    job.progress.note(&format!("File {number}: {} chunks", digests.len()));
    let store_number = ledger.store_number(store)?;
    let read = at_file(device, number, |file| {
        let TapeFile { header, stream, .. } = file;
        let mut archive = open_chunk_archive(stream, &header, store)?;
        let mut left = digests.len();
        let mut damage = Vec::new();
        let (result, _) = check_chunks(job, &text, number, store_number, ledger, |sink| {
            let mut blob = sink.buffer();
            while left > 0 {
                check_abort(job.progress)?;
                match archive.next_chunk_behind_damage(&mut blob, &mut damage)? {
                    None => break,
                    Some(digest) if digests.binary_search(&digest).is_ok() => {
                        left -= 1;
                        sink.put(digest, std::mem::replace(&mut blob, sink.buffer()))?;
                    }
                    Some(_) => {}
                }
            }
            Ok(())
        })?;
        let judged = match result {
            Err(error) if !is_tape_damage(&error) => return Err(error),
            // With all chunks at hand nobody asks how the rest of the file is.
            Ok(()) if left == 0 => Ok(Verdict::Good),
            result => judge_chunk_archive(stream, result, &mut damage),
        };
        for error in damage {
            job.progress.warn(&format!("tape {text}, file {number}: {error}"));
            ledger.add_damage(&text, Some(number), error.to_string());
        }
        judged.map(drop)
    });
    if let Some(tape) = ledger.tapes.get_mut(tape) {
        tape.files_read += 1;
    }
    or_damage(job, ledger, tape, number, read).map(drop)
}
