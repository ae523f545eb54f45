//! Formatting: making a tape blank, and forgetting it.

use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use super::{lock_pool_and_set, media_id};
use crate::error::{Error, Result};
use crate::loader::{MediaLoader, read_tape_labels};
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
    let labels = match read_tape_labels(&mut *device) {
        Ok(labels) => labels,
        Err(e) if expected.is_some() || !e.is_damaged() => return Err(e),
        Err(e) => {
            progress.warn(&format!("the label can't be read ({e}); formatting anyway"));
            None
        }
    };
    if let Some(expected) = expected {
        match &labels {
            None => return Err(Error::NotLabelled { drive }),
            Some(labels) if labels.media.label_text != expected => {
                return Err(Error::BadArgument {
                    what: "label text",
                    value: expected.to_string(),
                    reason: format!(
                        "the tape in drive {drive} is {} ({})",
                        labels.media.label_text, labels.media.uuid
                    ),
                });
            }
            Some(_) => {}
        }
    }
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
