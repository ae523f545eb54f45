//! Finding out which tapes a library holds.

use std::collections::BTreeMap;

use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use super::catalog::restore_catalogs;
use super::{inventorize, media_id};
use crate::error::{Error, Result};
use crate::keys::give_key_for;
use crate::loader::{CLEANING_PREFIX, MediaLoader, check_abort, read_tape_labels};
use crate::media::{Inventory, MediaCatalog, MediaId, Reach, StateDir};

/// What to look at.
#[derive(Debug, Clone, Default)]
pub struct InventoryOptions {
    /// Load tapes with unknown barcodes and read their labels.
    pub read_labels: bool,
    /// The same for all tapes.
    pub read_all_labels: bool,
    /// Also restore the catalogs that the tapes carry.
    pub catalog: bool,
    /// Names of all configured changers.
    pub changers: Vec<String>,
}

/// A tape in the library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct OnlineMedia {
    /// Its barcode.
    pub label_text: String,
    /// Its media UUID, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InventoryReport {
    /// All tapes in the library but cleaning cartridges.
    pub media: Vec<OnlineMedia>,
    /// Media UUIDs whose catalogs were restored.
    pub catalogs: Vec<Uuid>,
    /// Label texts of tapes that could not be taken in, with the reason.
    pub failed: Vec<(String, String)>,
}

/// Takes in what the drive's library holds.
pub fn inventory(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    options: &InventoryOptions,
    progress: &dyn Progress,
) -> Result<InventoryReport> {
    let (Reach::Changer(changer), Some(mut texts)) = (loader.reach(), loader.online_label_texts()?)
    else {
        return Err(Error::Unsupported(format!(
            "drive {} has no changer; use 'tape read-label --inventorize'",
            loader.drive_name()
        )));
    };
    texts.retain(|text| !text.starts_with(CLEANING_PREFIX));
    texts.sort();
    texts.dedup();
    let mut report = InventoryReport::default();
    if options.read_labels || options.read_all_labels || options.catalog {
        for text in &texts {
            check_abort(progress)?;
            let known = match Inventory::load(state)?.find_by_label_text(text) {
                Ok(entry) => entry.is_some(),
                Err(e) => {
                    progress.warn(&e.to_string());
                    report.failed.push((text.clone(), e.to_string()));
                    continue;
                }
            };
            if known && !options.read_all_labels {
                continue;
            }
            match read_one(state, loader, text, progress) {
                Ok(()) => {}
                Err(e) if e.is_aborted() => return Err(e),
                Err(e) => {
                    progress.warn(&format!("media '{text}': {e}"));
                    report.failed.push((text.clone(), e.to_string()));
                }
            }
        }
    }
    let mut configured = options.changers.clone();
    configured.push(changer.clone());
    let mut inventory = Inventory::load(state)?;
    inventory.update_online(&BTreeMap::from([(changer, texts.clone())]), &configured)?;
    if options.catalog {
        restore_missing_catalogs(state, loader, &texts, &mut report, progress)?;
    }
    for text in texts {
        let uuid = match inventory.find_by_label_text(&text) {
            Ok(entry) => entry.map(|entry| entry.id.label.uuid),
            Err(_) => None,
        };
        report.media.push(OnlineMedia { label_text: text, uuid });
    }
    Ok(report)
}

fn read_one(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    text: &str,
    progress: &dyn Progress,
) -> Result<()> {
    let mut device = loader.load(text, progress)?;
    let labels = read_tape_labels(&mut *device);
    loader.unload(Some(device))?;
    let Some(labels) = labels? else {
        progress.note(&format!("media '{text}' is blank"));
        return Ok(());
    };
    if labels.media.label_text != text {
        return Err(Error::Malformed {
            what: "media label",
            reason: format!("it says {}, the barcode says {text}", labels.media.label_text),
        });
    }
    inventorize(state, &labels)?;
    progress.note(&format!("inventorize media '{text}' with uuid '{}'", labels.media.uuid));
    Ok(())
}

/// Loads as few tapes as possible: the last tape of a set carries the catalogs of all earlier ones.
///
/// Of tapes that several drives wrote side by side, one carries the other's catalog as it was when it was begun. Such tapes have one
/// time in their set labels. They are loaded, too, and their own catalogs count; a tape that ended full has none, and then the latest that was
/// found on another one is all of it.
fn restore_missing_catalogs(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    online: &[String],
    report: &mut InventoryReport,
    progress: &dyn Progress,
) -> Result<()> {
    let inventory = Inventory::load(state)?;
    let mut candidates: Vec<&MediaId> = inventory
        .entries()
        .map(|entry| &entry.id)
        .filter(|id| id.assigned_set().is_some() && online.contains(&id.label.label_text))
        .collect();
    candidates
        .sort_by_key(|id| id.assigned_set().map(|set| (set.uuid, std::cmp::Reverse(set.seq_nr))));
    let time = |id: &MediaId| id.assigned_set().map(|set| (set.uuid, set.ctime));
    for id in &candidates {
        check_abort(progress)?;
        let uuid = id.label.uuid;
        let is_there = MediaCatalog::exists(state, &uuid);
        let is_beside_others =
            || candidates.iter().any(|other| other.label.uuid != uuid && time(other) == time(id));
        if is_there && !(report.catalogs.contains(&uuid) && is_beside_others()) {
            continue;
        }
        match catalogs_of(state, loader, id, progress) {
            Ok(restored) => {
                if !restored.contains(&uuid) && !is_there {
                    let reason = "it does not end with its own catalog; load it and run 'tape \
                                  catalog --scan'"
                        .to_string();
                    progress.warn(&format!("media '{}': {reason}", id.label.label_text));
                    report.failed.push((id.label.label_text.clone(), reason));
                }
                for media in restored {
                    if !report.catalogs.contains(&media) {
                        report.catalogs.push(media);
                    }
                }
            }
            Err(e) if e.is_aborted() => return Err(e),
            Err(e) => {
                progress.warn(&format!("media '{}': {e}", id.label.label_text));
                report.failed.push((id.label.label_text.clone(), e.to_string()));
            }
        }
    }
    Ok(())
}

fn catalogs_of(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    id: &MediaId,
    progress: &dyn Progress,
) -> Result<Vec<Uuid>> {
    let mut device = loader.load(&id.label.label_text, progress)?;
    let mut restore = || -> Result<Vec<Uuid>> {
        let labels = read_tape_labels(&mut *device)?
            .ok_or_else(|| Error::NotLabelled { drive: "the drive".into() })?;
        let found = media_id(&labels);
        if found != *id {
            return Err(Error::Malformed {
                what: "tape label",
                reason: "it is not what the inventory says; run 'tape inventory \
                         --read-all-labels'"
                    .into(),
            });
        }
        let Some(set) = id.assigned_set() else { return Ok(Vec::new()) };
        let _set_lock = state.lock_media_set(&set.uuid)?;
        give_key_for(&labels, &mut *device, loader.keys(), loader.drive_name())?;
        restore_catalogs(state, &mut *device, id, set, progress)
    };
    let restored = restore();
    loader.unload(Some(device))?;
    restored
}
