//! All tapes of a media set to the import/export slots of a library, and back.
//!
//! The set's lock is held all the time, so no job writes or reads it meanwhile; a tape that is in a
//! drive moves only with that drive's lock. The robot is told bar codes, and a bar code that two
//! tapes of the inventory have says nothing of which of them is there: such a tape stays, with the
//! reason. In the end the inventory learns what the library holds then; tapes in import/export slots
//! count as offline.

use changer::{Changer, Place, Status};
use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::loader::check_abort;
use crate::media::{Inventory, StateDir};
use crate::station::DriveStation;

/// A library that tapes are taken out of or put into.
pub struct Library<'a> {
    /// Its configured name: tapes in it are at `online-NAME`.
    pub name: &'a str,
    /// The robot.
    pub changer: &'a mut Changer,
    /// Locks the drive of this number, if it is configured.
    pub lock_drive: &'a dyn Fn(u64) -> Result<Option<DriveStation>>,
}

/// What [`export_set`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetExport {
    /// The set.
    pub media_set_uuid: Uuid,
    /// Its known tapes by sequence number.
    pub tapes: Vec<Exported>,
    /// Sequence numbers of tapes that the inventory does not know.
    pub unknown: Vec<usize>,
}

impl SetExport {
    /// True if the whole set can be taken out now (or could, after a `dry_run`).
    pub fn is_complete(&self) -> bool {
        let done = |one: &Exported| {
            matches!(
                one.result,
                ExportResult::Exported | ExportResult::WouldExport | ExportResult::Ready
            )
        };
        self.unknown.is_empty() && self.tapes.iter().all(done)
    }
}

/// What became of one tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exported {
    /// Its label text.
    pub label_text: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Its place in the set.
    pub seq_nr: u64,
    /// In words that scripts can compare.
    pub result: ExportResult,
    /// The import/export slot that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
    /// Why it was not moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What became of a tape that was to be taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportResult {
    /// It lies in an import/export slot now.
    Exported,
    /// It would be moved there (`dry_run`).
    WouldExport,
    /// It lay there already.
    Ready,
    /// It is not in this library.
    NotOnline,
    /// All import/export slots are full.
    NoFreeSlot,
    /// It stays where it is.
    Refused,
}

/// Brings the tapes of `set` that are in the library to its import/export slots, in the order of the
/// set. `dry_run`: only tells.
pub fn export_set(
    state: &StateDir,
    set: &Uuid,
    library: &mut Library<'_>,
    dry_run: bool,
    progress: &dyn Progress,
) -> Result<SetExport> {
    let _set_lock = state.lock_media_set(set)?;
    let inventory = Inventory::load(state)?;
    let members = inventory.media_set(set)?;
    if members.is_empty() {
        return Err(Error::UnknownMediaSet { set: *set });
    }
    let mut status = library.changer.status()?;
    let mut free_slots = free_slots(&status);
    let mut report = SetExport { media_set_uuid: *set, tapes: Vec::new(), unknown: Vec::new() };
    for (seq_nr, media) in members.members().iter().enumerate() {
        check_abort(progress)?;
        let Some(media) = media else {
            report.unknown.push(seq_nr);
            continue;
        };
        let label_text = inventory.require(media)?.id.label.label_text.clone();
        let tell = |result, slot, reason| Exported {
            label_text: label_text.clone(),
            uuid: *media,
            seq_nr: seq_nr as u64,
            result,
            slot,
            reason,
        };
        let drive = match status.find(&label_text) {
            None => {
                report.tapes.push(tell(ExportResult::NotOnline, None, None));
                continue;
            }
            Some(Place::ImportExport(slot)) => {
                report.tapes.push(tell(ExportResult::Ready, Some(slot), None));
                continue;
            }
            Some(Place::Slot(_)) => None,
            Some(Place::Drive(drive)) => Some(drive),
        };
        if let Err(e) = inventory.find_by_label_text(&label_text) {
            report.tapes.push(tell(ExportResult::Refused, None, Some(e.to_string())));
            continue;
        }
        if free_slots == 0 {
            report.tapes.push(tell(ExportResult::NoFreeSlot, None, None));
            continue;
        }
        free_slots -= 1;
        if dry_run {
            report.tapes.push(tell(ExportResult::WouldExport, None, None));
            continue;
        }
        match export_one(library, &label_text, drive) {
            Ok(Some(slot)) => {
                progress.note(&format!("tape {label_text} is in import/export slot {slot}"));
                report.tapes.push(tell(ExportResult::Exported, Some(slot), None));
            }
            // Somebody else moved it in between.
            Ok(None) => report.tapes.push(tell(ExportResult::NotOnline, None, None)),
            Err(e) if e.is_aborted() => return Err(e),
            Err(e) => report.tapes.push(tell(ExportResult::Refused, None, Some(e.to_string()))),
        }
        status = library.changer.status()?;
    }
    if !dry_run {
        learn(state, library.name, &status)?;
    }
    Ok(report)
}

fn export_one(
    library: &mut Library<'_>,
    label_text: &str,
    drive: Option<u64>,
) -> Result<Option<u64>> {
    let _drive_lock = match drive {
        Some(drive) => (library.lock_drive)(drive)?,
        None => None,
    };
    Ok(library.changer.export(label_text, drive)?)
}

fn free_slots(status: &Status) -> usize {
    status.numbered_slots().filter(|(_, slot)| slot.import_export && slot.is_free()).count()
}

/// What became of a tape that lay in an import/export slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Imported {
    /// Its bar code; absent if none can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// Its UUID; absent if the inventory does not know it, or knows several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The import/export slot that it came from.
    pub from: u64,
    /// The storage slot that it is in now; absent if it stayed, for want of a free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<u64>,
}

/// Brings all tapes in the import/export slots to storage slots, as long as there are free ones.
pub fn import_all(
    state: &StateDir,
    library: &mut Library<'_>,
    progress: &dyn Progress,
) -> Result<Vec<Imported>> {
    let inventory = Inventory::load(state)?;
    let before = library.changer.status()?;
    let mut report = Vec::new();
    for (from, slot) in before.numbered_slots() {
        if !slot.import_export || slot.status.is_empty() {
            continue;
        }
        check_abort(progress)?;
        let label_text = slot.status.label().map(str::to_string);
        let known = label_text.as_deref().map(|text| inventory.find_by_label_text(text));
        let uuid = known.and_then(Result::ok).flatten().map(|entry| entry.id.label.uuid);
        let slot = match library.changer.import(from, None) {
            Ok(slot) => Some(slot),
            Err(changer::Error::NoFreeSlot { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        report.push(Imported { label_text, uuid, from, slot });
    }
    let status = library.changer.status()?;
    learn(state, library.name, &status)?;
    Ok(report)
}

fn learn(state: &StateDir, library: &str, status: &Status) -> Result<()> {
    let texts = status.online_labels().into_iter().map(str::to_string).collect();
    Inventory::load(state)?.update_online_of(library, texts)
}

#[cfg(test)]
mod tests;
