//! Rebuilding media catalogs from the tapes alone.
//!
//! *Fast*: the catalogs that the tapes carry. A tape starts with those of its predecessors and a job
//! ends with that of its own, so the last tape of a set usually tells everything. A tape's own catalog
//! knows what was written before it and nothing else: it counts only as the last file of the tape.
//! *Scan*: reading every file of the tape, which always works and takes hours.
//!
//! A catalog from tape is checked as a whole before it replaces anything.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use datastore::blob::ChunkName;
use datastore::{DataBlob, Digest, Progress};
use serde::Serialize;
use uuid::Uuid;

use super::{inventorize, open_and_read_labels};
use crate::device::TapeDevice;
use crate::error::{Error, IoResultExt, Result, ResultExt};
use crate::format::block::{Opened, StreamReader};
use crate::format::catalog_archive::{CatalogArchiveHeader, read_catalog_archive};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::{ContentHeader, ContentKind};
use crate::format::label::{FIRST_DATA_FILE, MediaSetLabel};
use crate::format::snapshot_archive::read_snapshot_archive_header;
use crate::keys::give_key_for;
use crate::loader::{MediaLoader, check_abort};
use crate::media::catalog::check_catalog_stream;
use crate::media::state::{remove_file_if_present, sync_parent};
use crate::media::{Inventory, MediaCatalog, MediaId, StateDir};
use crate::restore::tape_files::{
    TapeFile, Verdict, ignore_if_abandoned, is_tape_damage, judge_chunk_archive, judge_whole_file,
    walk,
};

const CATALOG_MODE: u32 = 0o644;

/// How a catalog is rebuilt.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatalogOptions {
    /// Replace a catalog that is there.
    pub force: bool,
    /// Read the whole tape instead of the catalogs on it.
    pub scan: bool,
}

/// What rebuilding a catalog found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CatalogReport {
    /// Label text of the tape.
    pub label_text: String,
    /// Its media UUID.
    pub uuid: Uuid,
    /// Its set; without one there is nothing to catalog.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// Media UUIDs of the tapes whose catalogs were restored.
    pub restored: Vec<Uuid>,
    /// True if the tape was read as a whole.
    pub scanned: bool,
    /// Damage met while scanning.
    pub damage: Vec<String>,
}

/// Rebuilds the catalog of the tape in the drive, and those of other tapes of its set as far as it
/// carries them and they are missing.
pub fn catalog(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    options: CatalogOptions,
    progress: &dyn Progress,
) -> Result<CatalogReport> {
    let (mut device, labels) = open_and_read_labels(loader, progress)?;
    let labels =
        labels.ok_or_else(|| Error::NotLabelled { drive: loader.drive_name().to_string() })?;
    let id = inventorize(state, &labels)?;
    let uuid = id.label.uuid;
    let mut report = CatalogReport {
        label_text: id.label.label_text.clone(),
        uuid,
        media_set_uuid: None,
        restored: Vec::new(),
        scanned: false,
        damage: Vec::new(),
    };
    let Some(set) = id.assigned_set().cloned() else {
        progress.note("the tape is in no media set: nothing to catalog");
        return Ok(report);
    };
    report.media_set_uuid = Some(set.uuid);
    if MediaCatalog::exists(state, &uuid) && !options.force {
        return Err(Error::CatalogExists { tape: id.label.label_text });
    }
    let _set_lock = state.lock_media_set(&set.uuid)?;
    give_key_for(&labels, &mut *device, loader.keys(), loader.drive_name())?;
    if !options.scan {
        report.restored = restore_catalogs(state, &mut *device, &id, &set, progress)?;
        if report.restored.contains(&uuid) {
            return Ok(report);
        }
        progress.note("the tape does not end with its own catalog: reading all of it");
    }
    report.scanned = true;
    report.damage = scan_catalog(state, &mut *device, &id, progress)?;
    report.restored.push(uuid);
    Ok(report)
}

/// The fast way. The result names the tapes whose catalogs were restored; the tape's own may be
/// missing among them. The caller holds the lock of the set.
pub(crate) fn restore_catalogs(
    state: &StateDir,
    device: &mut dyn TapeDevice,
    id: &MediaId,
    set: &MediaSetLabel,
    progress: &dyn Progress,
) -> Result<Vec<Uuid>> {
    let inventory = Inventory::load(state)?;
    let tape = &id.label.label_text;
    let mut restored = Vec::new();
    device.move_to_file(FIRST_DATA_FILE)?;
    let mut number = FIRST_DATA_FILE;
    loop {
        check_abort(progress)?;
        let looked =
            look_for_catalog(state, device, &inventory, id, set, Place::Leading, &mut restored);
        match looked.on_tape(tape, number) {
            Ok(Looked::CatalogArchive) => number += 1,
            Ok(Looked::SomethingElse) => break,
            // A catalog archive that a job left unfinished hides nothing that a look at the end of
            // the tape, or a scan, would not find.
            Err(e) if is_tape_damage(&e) => {
                progress.warn(&e.to_string());
                break;
            }
            Err(e) => return Err(e),
        }
    }
    let last = match device.move_to_last_file() {
        Ok(last) => last,
        Err(Error::Drive(e)) if e.is_damaged() => None,
        Err(e) => return Err(e),
    };
    // Whatever ended the loop above may itself be the last file.
    if let Some(last) = last.filter(|last| *last >= number) {
        let looked =
            look_for_catalog(state, device, &inventory, id, set, Place::Last, &mut restored);
        match looked.on_tape(tape, last) {
            Err(e) if !is_tape_damage(&e) => return Err(e),
            Err(e) => progress.warn(&e.to_string()),
            Ok(_) => {}
        }
    }
    for media in &restored {
        progress.note(&format!("found catalog for media {media}"));
    }
    Ok(restored)
}

enum Looked {
    CatalogArchive,
    SomethingElse,
}

/// Where on the tape a file is that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One of the first, where the predecessors' catalogs are.
    Leading,
    /// The last, where the tape's own catalog is if a job ended properly.
    Last,
}

/// Looks at one file; takes the catalog in it if it is one that is wanted.
///
/// The tape's own catalog counts as something else unless it is the last file: behind it is data
/// that it does not know.
fn look_for_catalog(
    state: &StateDir,
    device: &mut dyn TapeDevice,
    inventory: &Inventory,
    id: &MediaId,
    set: &MediaSetLabel,
    place: Place,
    restored: &mut Vec<Uuid>,
) -> Result<Looked> {
    let Opened::File(mut stream) = StreamReader::open(device)? else {
        return Ok(Looked::SomethingElse);
    };
    let header = ContentHeader::read(&mut stream)?;
    if !header.kind.is_catalog_archive() {
        return Ok(Looked::SomethingElse);
    }
    let archive = read_catalog_archive(&mut stream, &header)?;
    if archive.uuid == id.label.uuid && place != Place::Last {
        return Ok(Looked::SomethingElse);
    }
    if let Some(member) = wanted_member(state, inventory, id, set, &archive)
        && take_catalog(state, &mut stream, member)?
    {
        restored.push(archive.uuid);
    }
    stream.skip_to_end()?;
    Ok(Looked::CatalogArchive)
}

fn wanted_member<'a>(
    state: &StateDir,
    inventory: &'a Inventory,
    id: &'a MediaId,
    set: &MediaSetLabel,
    archive: &CatalogArchiveHeader,
) -> Option<&'a MediaId> {
    if archive.media_set_uuid != set.uuid {
        return None;
    }
    if archive.uuid == id.label.uuid {
        return Some(id);
    }
    let member = &inventory.get(&archive.uuid)?.id;
    let is_member = member.assigned_set().is_some_and(|label| label.uuid == set.uuid);
    (is_member && !MediaCatalog::exists(state, &archive.uuid)).then_some(member)
}

/// Copies a catalog from tape and makes it the tape's own if it is sound and really its. False: it
/// is not.
fn take_catalog(state: &StateDir, stream: &mut StreamReader<'_>, member: &MediaId) -> Result<bool> {
    let Some(temp) = receive_catalog(state, stream, member)? else { return Ok(false) };
    let target = state.catalog_file(&member.label.uuid);
    std::fs::rename(&temp, &target).at(&target)?;
    sync_parent(&target)?;
    Ok(true)
}

/// Copies a catalog from tape to the tape's temporary catalog file. `None`: it is not sound, or not that tape's.
pub(crate) fn receive_catalog(
    state: &StateDir,
    stream: &mut StreamReader<'_>,
    member: &MediaId,
) -> Result<Option<PathBuf>> {
    let temp = state.catalog_temp_file(&member.label.uuid);
    let mut file = BufWriter::new(
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(CATALOG_MODE)
            .open(&temp)
            .at(&temp)?,
    );
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut buffer)? {
            0 => break,
            bytes => file.write_all(&buffer[..bytes]).at(&temp)?,
        }
    }
    let file = file.into_inner().map_err(|e| Error::io(&temp, e.into_error()))?;
    file.sync_all().at(&temp)?;
    let sound = !stream.is_incomplete()?
        && check_catalog_stream(
            &mut std::io::BufReader::new(File::open(&temp).at(&temp)?),
            &temp,
            member,
        )
        .is_ok();
    if !sound {
        remove_file_if_present(&temp)?;
        return Ok(None);
    }
    Ok(Some(temp))
}

/// The slow way: reads every file. Damage is returned; what is sound is in the catalog.
pub(crate) fn scan_catalog(
    state: &StateDir,
    device: &mut dyn TapeDevice,
    id: &MediaId,
    progress: &dyn Progress,
) -> Result<Vec<String>> {
    let tape = &id.label.label_text;
    let mut catalog = MediaCatalog::create_temporary(state, id)?;
    let mut damage = Vec::new();
    device.move_to_file(FIRST_DATA_FILE)?;
    let files = walk(
        device,
        tape,
        progress,
        |file| scan_file(file, &mut catalog, progress),
        |error| {
            progress.warn(&error.to_string());
            damage.push(error.to_string());
            Ok(())
        },
    );
    let files = match files {
        Ok(files) => files,
        Err(e) => {
            remove_file_if_present(&state.catalog_temp_file(&id.label.uuid))?;
            return Err(e);
        }
    };
    progress.note(&format!("detected end of data after {files} files"));
    catalog.publish()?;
    Ok(damage)
}

fn scan_file(
    file: TapeFile<'_, '_>,
    catalog: &mut MediaCatalog,
    progress: &dyn Progress,
) -> Result<()> {
    let (number, uuid) = (file.number, file.uuid());
    match file.header.kind {
        ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
            let archive = read_snapshot_archive_header(file.stream, &file.header);
            if judge_whole_file(file.stream)? == Verdict::Ignore {
                progress.note(&format!("File {number}: incomplete snapshot archive, ignored"));
                return Ok(());
            }
            let archive = archive?;
            progress.note(&format!(
                "File {number}: snapshot archive {}:{}",
                archive.store, archive.snapshot
            ));
            catalog.register_snapshot(number, uuid, &archive.store, &archive.snapshot)?;
        }
        ContentKind::ChunkArchiveV1_1 => scan_chunk_archive(file, catalog, progress)?,
        ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1 => {
            judge_whole_file(file.stream)?;
        }
        kind => return Err(Error::UnexpectedContent { expected: "archive", found: kind.name() }),
    }
    catalog.commit_if_large()
}

/// Registers the chunks of an archive whose CRCs are right. A wrong one is an error, after the sound
/// ones were registered.
pub(crate) fn scan_chunk_archive(
    file: TapeFile<'_, '_>,
    catalog: &mut MediaCatalog,
    progress: &dyn Progress,
) -> Result<()> {
    let (number, uuid) = (file.number, file.uuid());
    match ChunkArchiveReader::new(&mut *file.stream, &file.header) {
        Ok(archive) => scan_chunks(archive, number, uuid, catalog, progress),
        Err(e) => ignore_if_abandoned(file.stream, e),
    }
}

/// The same with an archive that was opened.
pub(crate) fn scan_chunks(
    mut archive: ChunkArchiveReader<'_, '_>,
    number: u64,
    uuid: Uuid,
    catalog: &mut MediaCatalog,
    progress: &dyn Progress,
) -> Result<()> {
    let store = archive.store().to_string();
    let mut sound: Vec<Digest> = Vec::new();
    let mut first_bad = None;
    let mut damage = Vec::new();
    let mut read = || -> Result<()> {
        let mut bytes = Vec::new();
        while let Some(digest) = archive.next_chunk_behind_damage(&mut bytes, &mut damage)? {
            check_abort(progress)?;
            progress.advance_bytes(bytes.len() as u64);
            match DataBlob::from_bytes(std::mem::take(&mut bytes), &ChunkName(&digest)) {
                Ok(blob) => {
                    sound.push(digest);
                    bytes = blob.into_bytes();
                }
                Err(e) => {
                    first_bad
                        .get_or_insert_with(|| Error::malformed("chunk archive", e.to_string()));
                }
            }
        }
        Ok(())
    };
    let result = read();
    if let Err(Error::Aborted) = result {
        return result;
    }
    let verdict = judge_chunk_archive(archive.into_stream(), result, &mut damage)?;
    let first_bad = damage.into_iter().next().or(first_bad);
    if verdict == Verdict::Ignore {
        progress.note(&format!("File {number}: unterminated chunk archive, ignored"));
        return first_bad
            .filter(|error| !matches!(error, Error::Malformed { .. }))
            .map_or(Ok(()), Err);
    }
    progress.note(&format!("File {number}: chunk archive of {store}, {} chunks", sound.len()));
    catalog.register_chunk_archive(number, uuid, &store, &sound)?;
    first_bad.map_or(Ok(()), Err)
}
