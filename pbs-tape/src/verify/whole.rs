//! Every file of a tape, from its labels to the end of its data.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Mutex;

use datastore::Digest;
use uuid::Uuid;

use super::Job;
use super::catalogs::{CatalogCheck, Lost, check_catalog, differences};
use super::chunk::{Proof, Proved, parse, prove};
use super::ledger::{FileContent, FileFacts, Ledger, TapeFacts};
use super::report::TapeState;
use super::seen::SeenChunk;
use super::snapshot::SnapshotCheck;
use crate::chunk_workers::{ChunkSink, lock, with_workers};
use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::block::StreamReader;
use crate::format::catalog_archive::read_catalog_archive;
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::ContentKind;
use crate::format::label::MediaLabel;
use crate::format::snapshot_archive::{SnapshotArchiveHeader, read_snapshot_archive_header};
use crate::loader::check_abort;
use crate::media::MediaCatalog;
use crate::restore::tape_files::{
    TapeFile, Verdict, is_tape_damage, judge_chunk_archive, judge_whole_file, walk,
};

/// Reads the tape in the device, which is the `tape`-th of the run. `Err` if the job can't go on.
pub(super) fn verify_tape(
    job: &Job<'_>,
    device: &mut dyn TapeDevice,
    tape: usize,
    ledger: &mut Ledger,
) -> Result<()> {
    let Some(facts) = ledger.tapes.get(tape) else { return Ok(()) };
    let text = facts.text().to_owned();
    device.rewind()?;
    // Damage is noted at once: a catalog behind it is compared with what is known by then.
    let shared = RefCell::new(&mut *ledger);
    let walked = walk(
        device,
        &text,
        job.progress,
        |file| one_file(job, file, tape, &text, &mut shared.borrow_mut()),
        |error| {
            note_damage(job, &mut shared.borrow_mut(), &text, tape, &error);
            Ok(())
        },
    );
    match walked {
        Ok(files) => {
            job.progress.note(&format!("tape {text}: end of data after {files} files"));
            set_state(ledger, tape, TapeState::Read, String::new());
            look_at_the_end(job, ledger, tape);
        }
        // What can be reached of the tape ends here, and it is damage that keeps us from more.
        Err(error) if is_tape_damage(&error) => {
            note_damage(job, ledger, &text, tape, &error);
            set_state(ledger, tape, TapeState::Unreadable, error.to_string());
        }
        Err(error) => return Err(error),
    }
    compare_local_catalog(job, tape, ledger)
}

/// Sets how much of a tape was read, and why not more.
pub(super) fn set_state(ledger: &mut Ledger, tape: usize, state: TapeState, reason: String) {
    if let Some(facts) = ledger.tapes.get_mut(tape) {
        facts.state = state;
        facts.reason = reason;
    }
}

/// A job ends with the catalog of the tape that it is on. No catalog knows of that file, so this is all that tells if the
/// end of a set was lost right before it; a job that was interrupted leaves the same.
fn look_at_the_end(job: &Job<'_>, ledger: &mut Ledger, tape: usize) {
    let Some(facts) = ledger.tapes.get(tape) else { return };
    let media = facts.id.label.uuid;
    let last = facts.files.values().next_back().map(|file| &file.content);
    if job.members.last() == Some(media) && last != Some(&FileContent::Catalog { of: media }) {
        let text = format!("tape {}: the set does not end with its own catalog", facts.text());
        ledger.differences.push(text);
    }
}

fn note_damage(job: &Job<'_>, ledger: &mut Ledger, text: &str, tape: usize, error: &Error) {
    job.progress.warn(&error.to_string());
    let (file, reason) = match error {
        Error::OnTape { file, source, .. } => (Some(*file), source.to_string()),
        other => (None, other.to_string()),
    };
    let damage = ledger.add_damage(text, file, reason);
    let Some(file) = file else { return };
    // The snapshot whose archive it is was listed when its header was read.
    let owner = ledger.snapshots.iter().position(|one| one.tape == text && one.file == file);
    if let Some(owner) = owner {
        ledger.blame(damage, owner);
    }
    if let Some(facts) = ledger.tapes.get_mut(tape) {
        let unreadable =
            FileFacts { uuid: Uuid::nil(), content: FileContent::Unreadable, is_sound: false };
        facts.files.entry(file).or_insert(unreadable).is_sound = false;
    }
}

/// Keeps what a file is.
fn keep(ledger: &mut Ledger, tape: usize, number: u64, facts: FileFacts) {
    if let Some(tape) = ledger.tapes.get_mut(tape) {
        tape.files.insert(number, facts);
        tape.files_read = tape.files.len() as u64;
    }
}

fn one_file(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    tape: usize,
    text: &str,
    ledger: &mut Ledger,
) -> Result<()> {
    let TapeFile { number, header, stream } = file;
    let uuid = header.uuid;
    let mut is_sound = true;
    let file = TapeFile { number, header, stream: &mut *stream };
    let content = match header.kind {
        ContentKind::ChunkArchiveV1_1 => {
            let chunks = chunk_archive(job, file, tape, text, ledger);
            chunks.map(|(content, sound)| {
                is_sound = sound;
                content
            })
        }
        ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
            snapshot_archive(job, file, tape, text, ledger)
        }
        ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1 => {
            catalog_archive(job, file, tape, text, ledger)
        }
        ContentKind::MediaLabel | ContentKind::MediaSetLabel => label(file, ledger.tapes.get(tape)),
        kind => Err(Error::UnexpectedContent { expected: "archive", found: kind.name() }),
    }?;
    // Readers put up with it, so it costs nothing; but it is not what was written.
    if !stream.is_as_written() || header.part_number != 0 || header.reserved != [0; 3] {
        let reason = "a header or the end of a block has bits that no writer sets".to_string();
        job.progress.warn(&format!("tape {text}, file {number}: {reason}"));
        ledger.add_damage(text, Some(number), reason);
    }
    keep(ledger, tape, number, FileFacts { uuid, content, is_sound });
    Ok(())
}

/// What is left of a file whose head could not be read: its writer may have given it up before the head was written.
fn abandoned_or(stream: &mut StreamReader<'_>, error: Error) -> Result<FileContent> {
    match judge_whole_file(stream) {
        Ok(Verdict::Ignore) => Ok(FileContent::Abandoned),
        _ => Err(error),
    }
}

/// The labels were read when the tape was loaded; here they are held against the inventory word by word.
fn label(file: TapeFile<'_, '_>, facts: Option<&TapeFacts>) -> Result<FileContent> {
    let TapeFile { number, header, stream } = file;
    let json = header.read_raw_data(stream)?;
    stream.expect_end(header.kind.name())?;
    let differs = || Error::malformed("label", "it is not what the inventory knows");
    let bad = |e: serde_json::Error| Error::malformed("label", e.to_string());
    let is_right = match (header.kind, number, facts) {
        (ContentKind::MediaLabel, 0, Some(facts)) => {
            serde_json::from_slice::<MediaLabel>(&json).map_err(bad)? == facts.id.label
        }
        (ContentKind::MediaSetLabel, 1, Some(facts)) => {
            let found = serde_json::from_slice(&json).map_err(bad)?;
            facts.id.media_set_label.as_ref() == Some(&found)
        }
        _ => {
            let found = header.kind.name();
            return Err(Error::UnexpectedContent { expected: "archive", found });
        }
    };
    if is_right { Ok(FileContent::Label) } else { Err(differs()) }
}

fn snapshot_archive(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    tape: usize,
    text: &str,
    ledger: &mut Ledger,
) -> Result<FileContent> {
    let TapeFile { number, header, stream } = file;
    let archive = match read_snapshot_archive_header(stream, &header) {
        Ok(archive) => archive,
        Err(error) => return abandoned_or(stream, error),
    };
    let name = format!("{}:{}", archive.store, archive.snapshot);
    job.progress.note(&format!("File {number}: snapshot archive {name}"));
    // Should reading fail: which file it was is known, and what was in it.
    let content = FileContent::Snapshot { name };
    let facts = FileFacts { uuid: header.uuid, content: content.clone(), is_sound: false };
    keep(ledger, tape, number, facts);
    match check_snapshot(job, stream, &archive, text, number, ledger)? {
        Verdict::Good => Ok(content),
        Verdict::Ignore => {
            job.progress.note(&format!("File {number}: incomplete, ignored"));
            Ok(FileContent::Abandoned)
        }
    }
}

/// Checks a snapshot archive whose header was read, and takes it in.
pub(super) fn check_snapshot(
    job: &Job<'_>,
    stream: &mut StreamReader<'_>,
    archive: &SnapshotArchiveHeader,
    text: &str,
    number: u64,
    ledger: &mut Ledger,
) -> Result<Verdict> {
    let store = ledger.store_number(&archive.store)?;
    let mut check = SnapshotCheck::new(archive, store, &job.options.keys, text, number);
    let read = check.read(stream);
    job.progress.advance_bytes(check.bytes);
    ledger.bytes += check.bytes;
    let SnapshotCheck { mut snapshot, archives, needs, oddities, .. } = check;
    let failed = match (judge_whole_file(stream), read) {
        (Ok(Verdict::Ignore), _) => return Ok(Verdict::Ignore),
        (Ok(Verdict::Good), Ok(())) => None,
        // After a read error the stream itself only says that it failed; the first error knows why.
        (_, Err(error)) | (Err(error), Ok(())) => Some(error),
    };
    for oddity in oddities {
        job.progress.warn(&format!("snapshot {}: {oddity}", snapshot.snapshot));
        ledger.add_damage(text, Some(number), oddity);
    }
    match &failed {
        Some(error) if is_tape_damage(error) => {
            snapshot.fail(format!("tape {text}, file {number}: {error}"));
        }
        // The drive failed: that says nothing of the snapshot.
        Some(_) => return failed.map_or(Ok(Verdict::Good), Err),
        None => {}
    }
    if snapshot.error_count > 0 && failed.is_none() {
        for error in &snapshot.errors {
            job.progress.warn(&format!("snapshot {}: {error}", snapshot.snapshot));
        }
        let first = snapshot.errors.first().cloned().unwrap_or_default();
        let damage = ledger.add_damage(text, Some(number), first);
        let place = ledger.snapshots.len();
        ledger.add_snapshot(snapshot, archives, needs)?;
        ledger.blame(damage, place);
    } else {
        ledger.add_snapshot(snapshot, archives, needs)?;
    }
    failed.map_or(Ok(Verdict::Good), Err)
}

/// With what is in it, whether it was read without damage.
fn chunk_archive(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    tape: usize,
    text: &str,
    ledger: &mut Ledger,
) -> Result<(FileContent, bool)> {
    let TapeFile { number, header, stream } = file;
    let mut archive = match ChunkArchiveReader::new(stream, &header) {
        Ok(archive) => archive,
        Err(error) => return abandoned_or(stream, error).map(|content| (content, true)),
    };
    job.progress.note(&format!("File {number}: chunk archive of {}", archive.store()));
    let store = ledger.store_number(archive.store())?;
    let mut damage = Vec::new();
    let (result, count) = check_chunks(job, text, number, store, ledger, |sink| {
        loop {
            check_abort(job.progress)?;
            let mut blob = sink.buffer();
            match archive.next_chunk_behind_damage(&mut blob, &mut damage)? {
                Some(digest) => sink.put(digest, blob)?,
                None => return Ok(()),
            }
        }
    })?;
    let content = FileContent::Chunks { store, count };
    let facts = FileFacts { uuid: header.uuid, content: content.clone(), is_sound: false };
    keep(ledger, tape, number, facts);
    if let Err(error) = &result
        && !is_tape_damage(error)
    {
        return result.map(|()| (content, false));
    }
    let verdict = judge_chunk_archive(stream, result, &mut damage);
    let is_sound = damage.is_empty();
    for error in damage {
        note_damage(
            job,
            ledger,
            text,
            tape,
            &Error::OnTape { tape: text.to_owned(), file: number, source: Box::new(error) },
        );
    }
    match verdict? {
        Verdict::Good => {}
        Verdict::Ignore => {
            job.progress.note(&format!("File {number}: unterminated, ignored"));
            return Ok((FileContent::Abandoned, is_sound));
        }
    }
    if stream.is_incomplete().unwrap_or(false) {
        let reason = "it is marked as given up, which no writer of chunks does".to_string();
        ledger.add_damage(text, Some(number), reason);
    }
    Ok((content, is_sound))
}

/// Runs `read`, which puts chunks into the sink, and takes in what they are; with its result, the number of different
/// chunks that came.
///
/// Also those of an archive without end count as good: a restore finds them there.
pub(super) fn check_chunks(
    job: &Job<'_>,
    text: &str,
    number: u64,
    store: u16,
    ledger: &mut Ledger,
    read: impl FnOnce(&ChunkSink<'_>) -> Result<()>,
) -> Result<(Result<()>, u64)> {
    #[derive(Default)]
    struct Checked {
        good: Vec<(Digest, Proved)>,
        bad: Vec<(Digest, String)>,
        bytes: u64,
    }
    let checked = Mutex::new(Checked::default());
    let work = |digest: Digest, blob: Vec<u8>| {
        let bytes = blob.len() as u64;
        let parsed = parse(&digest, blob);
        let proved = match &parsed {
            Ok(blob) => prove(&digest, blob, &job.options.keys),
            Err(reason) => Err(reason.clone()),
        };
        job.progress.advance_bytes(bytes);
        let mut checked = lock(&checked);
        checked.bytes += bytes;
        match proved {
            Ok(proved) => checked.good.push((digest, proved)),
            Err(reason) => checked.bad.push((digest, reason)),
        }
        Ok(parsed.map(|blob| blob.into_bytes()).unwrap_or_default())
    };
    let result = with_workers(job.options.threads, &work, read)?;
    let checked = checked.into_inner().unwrap_or_else(|e| e.into_inner());
    for (_, proved) in &checked.good {
        let count = match proved.proof {
            Proof::PLAIN => &mut ledger.counts.digest,
            Proof::SEALED => &mut ledger.counts.crc_only,
            _ => &mut ledger.counts.digest_with_key,
        };
        *count += 1;
    }
    ledger.bytes += checked.bytes;
    let mut bad = checked.bad;
    bad.sort();
    for (digest, reason) in bad {
        job.progress.warn(&format!("tape {text}, file {number}: {reason}"));
        ledger.add_bad(text, number, store, digest, reason);
    }
    let seen = |(digest, proved)| SeenChunk::new(store, digest, proved);
    let mut good: Vec<SeenChunk> = checked.good.into_iter().map(seen).collect();
    good.sort_unstable();
    good.dedup();
    let count = good.len() as u64;
    ledger.seen.add(good);
    Ok((result, count))
}

fn catalog_archive(
    job: &Job<'_>,
    file: TapeFile<'_, '_>,
    tape: usize,
    text: &str,
    ledger: &mut Ledger,
) -> Result<FileContent> {
    let TapeFile { number, header, stream } = file;
    let archive = match read_catalog_archive(stream, &header) {
        Ok(archive) => archive,
        Err(error) => return abandoned_or(stream, error),
    };
    job.progress.note(&format!("File {number}: catalog of tape {}", archive.uuid));
    let entry = job.inventory.get(&archive.uuid);
    let set = entry.and_then(|entry| entry.id.assigned_set());
    let is_right = archive.media_set_uuid == job.set
        && set.is_some_and(|set| set.uuid == job.set && set.seq_nr == archive.seq_nr);
    let mut wrong = None;
    let described = ledger.tapes.iter().position(|one| one.id.label.uuid == archive.uuid);
    let same_place = usize::try_from(archive.seq_nr).ok();
    let same_place =
        same_place.and_then(|place| job.members.members().get(place).copied().flatten());
    if entry.is_none() && same_place.is_none() && archive.media_set_uuid == job.set {
        job.progress.note(&format!("File {number}: the inventory does not know that tape"));
    } else if !is_right {
        wrong = Some("it says that it is of another media set or place in it".to_string());
    } else if let Some(facts) = described.and_then(|place| ledger.tapes.get(place))
        // What is behind a failure, or was not to be read, is not in what we know of that tape.
        && (described == Some(tape) || facts.state == TapeState::Read)
    {
        let name = Path::new("catalog archive");
        let checked = check_catalog(&mut *stream, name, facts, ledger);
        match checked {
            Ok(check) => {
                let described = facts.text().to_owned();
                wrong = take_tape_catalog(ledger, &described, check);
            }
            Err(error) => match stream.take_failure() {
                Some(failure) if !is_tape_damage(&failure) => return Err(failure),
                Some(failure) => return abandoned_or(stream, failure),
                None => wrong = Some(error.to_string()),
            },
        }
    }
    if judge_whole_file(stream)? == Verdict::Ignore {
        return Ok(FileContent::Abandoned);
    }
    let content = FileContent::Catalog { of: archive.uuid };
    if let Some(reason) = wrong {
        job.progress.warn(&format!("tape {text}, file {number}: {reason}"));
        ledger.add_damage(text, Some(number), reason);
    }
    Ok(content)
}

/// A catalog on tape may be what is damaged, or what it describes. What is damaged there was told when it was read, and
/// what was lost with it is told here; the rest is the catalog's fault.
fn take_tape_catalog(ledger: &mut Ledger, described: &str, check: CatalogCheck) -> Option<String> {
    let mut wrong = check.is_torn.then(|| "the catalog ends inside a record".to_string());
    for lost in check.lost {
        match &lost.snapshot {
            Some(name) if lost.is_known => {
                ledger.lose_snapshot(name, described, lost.file, &lost.reason);
            }
            _ if lost.is_known => {}
            _ => {
                let Lost { file, reason, .. } = lost;
                wrong.get_or_insert(format!("on tape {described}, file {file}: {reason}"));
            }
        }
    }
    wrong
}

/// Compares the tape's catalog in the state folder with what was read.
pub(super) fn compare_local_catalog(job: &Job<'_>, tape: usize, ledger: &mut Ledger) -> Result<()> {
    let Some(facts) = ledger.tapes.get(tape) else { return Ok(()) };
    let (media, text, is_whole) =
        (facts.id.label.uuid, facts.text().to_owned(), facts.state == TapeState::Read);
    if !MediaCatalog::exists(job.state, &media) {
        ledger.differences.push(Error::CatalogMissing { tape: text }.to_string());
        return Ok(());
    }
    let path = job.state.catalog_file(&media);
    let (mut input, _) = MediaCatalog::open_committed(job.state, &media)?;
    let check = match check_catalog(&mut *input, &path, facts, ledger) {
        Ok(check) => check,
        Err(error) if error.is_damaged() => {
            // A file of this machine, which 'tape catalog' makes anew.
            ledger.differences.push(error.to_string());
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    if is_whole {
        let found = differences(facts, &check);
        ledger.differences.extend(found);
    }
    for lost in check.lost {
        // What is behind an end that could not be passed is told as unreadable, not as missing.
        let Lost { file, snapshot, reason, is_known } = lost;
        if !is_known {
            job.progress.warn(&format!("tape {text}, file {file}: {reason}"));
            ledger.add_damage(&text, Some(file), reason.clone());
        }
        if let Some(name) = snapshot.filter(|name| !name.is_empty()) {
            ledger.lose_snapshot(&name, &text, file, &reason);
        }
    }
    Ok(())
}
