//! Formatting: making a tape blank, and forgetting it.

use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use super::{lock_pool_and_set, media_id};
use crate::error::{Error, Result};
use crate::format::label::Labels;
use crate::loader::{MediaLoader, labels_in};
use crate::media::{Inventory, MediaCatalog, StateDir};

/// A tape that was made blank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Formatted {
    /// Label text that it had, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// Media UUID that it had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
}

/// What [`format`] would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FormatPlan {
    /// The drive's name.
    pub drive: String,
    /// Label text of the tape, if it has a label that can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// Its media UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The pool that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The media set that loses a tape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// Why the label can't be read: damaged, encrypted, or another program's tape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// The old data stays physically in place.
    pub fast: bool,
}

/// Tells what [`format`] would do to the tape in the drive; changes nothing but where the tape stands.
///
/// # Errors
///
/// Those that would make [`format`] refuse the tape.
pub fn plan(
    loader: &mut dyn MediaLoader,
    expected: Option<&str>,
    fast: bool,
    progress: &dyn Progress,
) -> Result<FormatPlan> {
    let mut device = loader.open(progress)?;
    let drive = loader.drive_name().to_string();
    let mut plan = FormatPlan {
        drive,
        label_text: None,
        uuid: None,
        pool: None,
        media_set_uuid: None,
        unreadable: None,
        fast,
    };
    match labels_in(&mut *device, &plan.drive) {
        Ok(labels) => {
            check_label(labels.as_ref(), expected, &plan.drive)?;
            if let Some(labels) = labels {
                let id = media_id(&labels);
                plan.pool = id.pool().map(str::to_string);
                plan.media_set_uuid = id.assigned_set().map(|set| set.uuid);
                plan.label_text = Some(id.label.label_text);
                plan.uuid = Some(id.label.uuid);
            }
        }
        Err(e) if expected.is_some() || !is_worth_overwriting(&e) => return Err(e),
        Err(e) => plan.unreadable = Some(e.cause().to_string()),
    }
    if plan.label_text.is_some() || plan.unreadable.is_some() {
        device.require_erasable()?;
    }
    Ok(plan)
}

/// Makes the tape in the drive blank; all its data is lost.
///
/// With `expected` it must carry that label text. `fast` leaves the old data physically in place.
/// A tape of a media set that is being written or restored is refused.
pub fn format(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    expected: Option<&str>,
    fast: bool,
    progress: &dyn Progress,
) -> Result<Formatted> {
    let mut device = loader.open(progress)?;
    let drive = loader.drive_name().to_string();
    let labels = match labels_in(&mut *device, &drive) {
        Ok(labels) => labels,
        Err(e) if expected.is_some() || !is_worth_overwriting(&e) => return Err(e),
        Err(e) => {
            progress.warn(&format!("{}; formatting anyway", e.cause()));
            None
        }
    };
    check_label(labels.as_ref(), expected, &drive)?;
    let Some(labels) = labels else {
        device.format(fast)?;
        device.set_cartridge_labels(None, None)?;
        return Ok(Formatted { label_text: None, uuid: None });
    };
    let id = media_id(&labels);
    let _locks = lock_pool_and_set(state, &id)?;
    // A tape that keeps its data must stay known.
    device.require_erasable()?;
    // First forgotten, then erased: a crash in between leaves data that nobody counts on.
    Inventory::load(state)?.remove(&id.label.uuid)?;
    MediaCatalog::destroy(state, &id.label.uuid)?;
    device.format(fast)?;
    device.set_cartridge_labels(None, None)?;
    Ok(Formatted { label_text: Some(id.label.label_text), uuid: Some(id.label.uuid) })
}

/// True if the label can't be read for what is on the tape, and not for want of a tape or a drive. What
/// somebody encrypted with a key that is gone can only be overwritten.
fn is_worth_overwriting(error: &Error) -> bool {
    error.is_damaged() || error.is_undecryptable()
}

/// Refuses a tape that is not the one that was named.
fn check_label(labels: Option<&Labels>, expected: Option<&str>, drive: &str) -> Result<()> {
    match (expected, labels) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Error::NotLabelled { drive: drive.to_string() }),
        (Some(expected), Some(labels)) if labels.media.label_text != expected => {
            Err(Error::BadArgument {
                what: "label text",
                value: expected.to_string(),
                reason: format!(
                    "the tape in drive {drive} is {} ({})",
                    labels.media.label_text, labels.media.uuid
                ),
            })
        }
        (Some(_), Some(_)) => Ok(()),
    }
}
