//! Labelling: giving a blank tape its identity.
//!
//! A tape is labelled only if it is blank: a readable block, of whatever origin, is somebody's data.
//! What was written is read back and compared before the tape counts as labelled.

use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use super::lock_pool_of;
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::block::{AlignedBlock, BlockRead};
use crate::format::label::{
    MEDIA_LABEL_FILE, MediaLabel, check_label_text, check_pool_name, write_media_label,
};
use crate::loader::{CLEANING_PREFIX, MediaLoader, check_abort, read_tape_labels};
use crate::media::{Inventory, MediaCatalog, MediaId, Reach, StateDir};

/// A tape that got a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Labelled {
    /// Label text.
    pub label_text: String,
    /// Its pool, if it was labelled for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Its new identity.
    pub uuid: Uuid,
}

/// What labelling a library did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BarcodeLabelReport {
    /// Tapes that got a label.
    pub labelled: Vec<Labelled>,
    /// Label texts of tapes that were left alone, with the reason.
    pub skipped: Vec<(String, String)>,
    /// Label texts of tapes that could not be labelled, with the reason.
    pub failed: Vec<(String, String)>,
}

/// Labels the blank tape in the drive. Without `pool` it is free for any pool.
pub fn label(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    label_text: &str,
    pool: Option<&str>,
    progress: &dyn Progress,
) -> Result<Labelled> {
    check_label_text(label_text)?;
    pool.map_or(Ok(()), check_pool_name)?;
    check_unused(state, label_text)?;
    // A robot finds tapes by their bar codes: with another text on it, no job could load this one.
    if let Some(bar_code) = loader.loaded_bar_code()?
        && bar_code != label_text
    {
        return Err(Error::BadArgument {
            what: "label text",
            value: label_text.to_string(),
            reason: format!(
                "the tape in drive {} has the bar code {bar_code}, and they must agree",
                loader.drive_name()
            ),
        });
    }
    let mut device = loader.open(progress)?;
    let drive = loader.drive_name().to_string();
    let labelled = write_label(state, &mut *device, &drive, label_text, pool)?;
    if let (Reach::Changer(changer), Some(texts)) = (loader.reach(), loader.online_label_texts()?) {
        Inventory::load(state)?.update_online_of(&changer, texts)?;
    }
    Ok(labelled)
}

/// Labels every blank tape of the library with its barcode.
pub fn barcode_label(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    pool: Option<&str>,
    progress: &dyn Progress,
) -> Result<BarcodeLabelReport> {
    pool.map_or(Ok(()), check_pool_name)?;
    let Some(mut texts) = loader.online_label_texts()? else {
        return Err(Error::Unsupported(format!(
            "drive {} has no changer, so there are no barcodes; use 'tape label'",
            loader.drive_name()
        )));
    };
    texts.sort();
    texts.dedup();
    let mut report = BarcodeLabelReport::default();
    let online = texts.clone();
    for text in texts {
        check_abort(progress)?;
        if text.starts_with(CLEANING_PREFIX) {
            continue;
        }
        match Inventory::load(state)?.find_by_label_text(&text) {
            Ok(None) => {}
            Ok(Some(_)) => {
                let reason = "it is in the inventory already".to_string();
                progress.note(&format!("media '{text}' skipped: {reason}"));
                report.skipped.push((text, reason));
                continue;
            }
            Err(e) => {
                report.skipped.push((text, e.to_string()));
                continue;
            }
        }
        match label_one(state, loader, &text, pool, progress) {
            Ok(labelled) => {
                progress.note(&format!("labelled media '{text}'"));
                report.labelled.push(labelled);
            }
            Err(e) if e.is_aborted() => return Err(e),
            Err(e @ Error::NotBlank { .. }) => {
                progress.note(&format!("media '{text}' skipped: {e}"));
                report.skipped.push((text, e.to_string()));
            }
            Err(e) => {
                progress.warn(&format!("media '{text}': {e}"));
                report.failed.push((text, e.to_string()));
            }
        }
    }
    if let Reach::Changer(changer) = loader.reach() {
        Inventory::load(state)?.update_online_of(&changer, online)?;
    }
    Ok(report)
}

fn label_one(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    text: &str,
    pool: Option<&str>,
    progress: &dyn Progress,
) -> Result<Labelled> {
    check_label_text(text)?;
    let mut device = loader.load(text, progress)?;
    let drive = loader.drive_name().to_string();
    let labelled = write_label(state, &mut *device, &drive, text, pool);
    loader.unload(Some(device))?;
    labelled
}

fn check_unused(state: &StateDir, label_text: &str) -> Result<()> {
    match Inventory::load(state)?.find_by_label_text(label_text)? {
        None => Ok(()),
        Some(entry) => Err(Error::LabelTextInUse {
            label_text: label_text.to_string(),
            uuid: entry.id.label.uuid,
        }),
    }
}

fn write_label(
    state: &StateDir,
    device: &mut dyn TapeDevice,
    drive: &str,
    label_text: &str,
    pool: Option<&str>,
) -> Result<Labelled> {
    require_blank(device, drive)?;
    let label = MediaLabel {
        ctime: state.now(),
        label_text: label_text.to_string(),
        pool: pool.map(str::to_string),
        uuid: Uuid::new_v4(),
    };
    let _pool_lock = lock_pool_of(state, pool)?;
    device.encryption_off()?;
    device.format(true)?;
    device.rewind()?;
    write_media_label(device, &label).on_tape(label_text, MEDIA_LABEL_FILE)?;
    device.sync()?;
    let found = read_tape_labels(device).on_tape(label_text, MEDIA_LABEL_FILE)?;
    let read_back = |reason: &str| Error::LabelReadBack {
        tape: label_text.to_string(),
        reason: reason.to_string(),
    };
    match found {
        None => return Err(read_back("the tape is still blank")),
        Some(found) if found.media != label => {
            return Err(read_back("it is another label"));
        }
        Some(found) if found.media_set.is_some() => {
            return Err(read_back("a media-set label follows"));
        }
        Some(_) => {}
    }
    device.rewind()?;
    device.set_cartridge_labels(Some(label_text), pool)?;
    let id = MediaId { label, media_set_label: None };
    MediaCatalog::overwrite(state, &id)?;
    let labelled = Labelled {
        label_text: label_text.to_string(),
        pool: pool.map(str::to_string),
        uuid: id.label.uuid,
    };
    Inventory::load(state)?.store(id, true)?;
    Ok(labelled)
}

/// Blank is a tape without any block: nothing recorded, or a filemark at its beginning.
fn require_blank(device: &mut dyn TapeDevice, drive: &str) -> Result<()> {
    device.encryption_off()?;
    device.rewind()?;
    let mut block = AlignedBlock::new();
    match device.read_block(block.bytes_mut())? {
        BlockRead::EndOfData | BlockRead::Filemark => Ok(()),
        BlockRead::Block { .. } => Err(Error::NotBlank { drive: drive.to_string() }),
    }
}
