//! What an operator says about tapes that no drive can know: where they are, that they are broken,
//! that they are gone.

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::media::{Inventory, Location, MediaStatus, StateDir};

/// The UUID of the tape with this label text; `uuid` decides between several.
pub fn find(state: &StateDir, label_text: &str, uuid: Option<&Uuid>) -> Result<Uuid> {
    let inventory = Inventory::load(state)?;
    let entry = match uuid {
        Some(uuid) => inventory.get(uuid),
        None => inventory.find_by_label_text(label_text)?,
    };
    match entry {
        Some(entry) if entry.id.label.label_text == label_text => Ok(entry.id.label.uuid),
        _ => Err(Error::UnknownTape { tape: label_text.to_string() }),
    }
}

/// Records that a tape was brought to a vault, or back on the shelf.
pub fn set_location(state: &StateDir, media: &Uuid, vault: Option<&str>) -> Result<()> {
    let location = match vault {
        Some(vault) => Location::Vault(vault.to_string()),
        None => Location::Offline,
    };
    Inventory::load(state)?.set_location(media, location)
}

/// Records that a tape is full, damaged or retired, or takes that back.
pub fn set_status(state: &StateDir, media: &Uuid, status: Option<MediaStatus>) -> Result<()> {
    Inventory::load(state)?.set_status(media, status)
}

/// Forgets a tape that is gone. One that is in a media set only if `force` is set.
pub fn destroy(state: &StateDir, media: &Uuid, force: bool) -> Result<()> {
    let mut inventory = Inventory::load(state)?;
    let entry = inventory.require(media)?;
    if let Some(set) = entry.id.assigned_set()
        && !force
    {
        return Err(Error::Unsupported(format!(
            "tape {} holds data of media set {}; use --force to forget it all the same",
            entry.id.label.label_text, set.uuid
        )));
    }
    inventory.remove(media).map(|_| ())
}
