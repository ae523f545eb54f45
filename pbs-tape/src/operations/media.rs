//! What an operator says about tapes that no drive can know: where they are, that they are broken,
//! that they are gone.
//!
//! Only the inventory changes here, never a tape. A tape of a set that a job holds is not forgotten
//! under it: that takes the locks of its pool and set. Where a tape is, and that it is damaged, is
//! true whoever uses it; a job learns of it when it asks for its next tape.

use serde::Serialize;
use uuid::Uuid;

use super::lock_pool_and_set;
use crate::error::{Error, Result};
use crate::media::{Inventory, InventoryEntry, Location, MediaStatus, StateDir};

/// The UUID of a tape, named by its label text or by its UUID. `uuid` decides between several tapes
/// with one text, and must then be a tape of that text.
pub fn find(state: &StateDir, tape: &str, uuid: Option<&Uuid>) -> Result<Uuid> {
    let inventory = Inventory::load(state)?;
    let unknown = || Error::UnknownTape { tape: tape.to_string() };
    let entry = match uuid {
        Some(uuid) => inventory
            .get(uuid)
            .filter(|entry| entry.id.label.label_text == tape || uuid.to_string() == tape),
        None => inventory.find_by_name(tape)?,
    };
    entry.map(|entry| entry.id.label.uuid).ok_or_else(unknown)
}

/// A tape whose place was changed in the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moved {
    /// Its label text.
    pub label_text: String,
    /// Its UUID.
    pub uuid: Uuid,
    /// Where it was believed to be.
    pub from: Location,
    /// Where it is said to be now.
    pub to: Location,
}

/// Records that a tape was brought to a vault, or back on the shelf (`None`).
pub fn set_location(state: &StateDir, media: &Uuid, vault: Option<&str>) -> Result<Moved> {
    let to = place(vault)?;
    let mut inventory = Inventory::load(state)?;
    let moved = moved(inventory.require(media)?, &to);
    inventory.set_location(media, to)?;
    Ok(moved)
}

fn place(vault: Option<&str>) -> Result<Location> {
    match vault {
        Some(vault) => {
            check_vault_name(vault)?;
            Ok(Location::Vault(vault.to_string()))
        }
        None => Ok(Location::Offline),
    }
}

fn check_vault_name(vault: &str) -> Result<()> {
    crate::format::label::check_pool_name(vault).map_err(|e| match e {
        Error::InvalidName { value, reason, .. } => {
            Error::InvalidName { what: "vault name", value, reason }
        }
        other => other,
    })
}

fn moved(entry: &InventoryEntry, to: &Location) -> Moved {
    Moved {
        label_text: entry.id.label.label_text.clone(),
        uuid: entry.id.label.uuid,
        from: entry.location(),
        to: to.clone(),
    }
}

/// What [`move_set`] did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SetMove {
    /// The set.
    pub media_set_uuid: Uuid,
    /// Its known tapes by sequence number.
    pub moved: Vec<Moved>,
    /// Sequence numbers of tapes that the inventory does not know: nobody can say where they are.
    pub unknown: Vec<usize>,
}

/// Records that all tapes of a set were brought to a vault, or back on the shelf (`None`): all of them in
/// one step, or none. A set that a job uses is left alone. `dry_run`: only tells.
pub fn move_set(
    state: &StateDir,
    set: &Uuid,
    vault: Option<&str>,
    dry_run: bool,
) -> Result<SetMove> {
    let to = place(vault)?;
    let _set_lock = state.lock_media_set(set)?;
    let mut inventory = Inventory::load(state)?;
    let members = inventory.media_set(set)?;
    if members.is_empty() {
        return Err(Error::UnknownMediaSet { set: *set });
    }
    let mut report = SetMove { media_set_uuid: *set, moved: Vec::new(), unknown: Vec::new() };
    for (seq_nr, member) in members.members().iter().enumerate() {
        match member {
            Some(media) => report.moved.push(moved(inventory.require(media)?, &to)),
            None => report.unknown.push(seq_nr),
        }
    }
    if !dry_run {
        let tapes: Vec<Uuid> = report.moved.iter().map(|moved| moved.uuid).collect();
        inventory.set_locations(&tapes, &to)?;
    }
    Ok(report)
}

/// Records that a tape is full, damaged or retired, or takes that back.
pub fn set_status(state: &StateDir, media: &Uuid, status: Option<MediaStatus>) -> Result<()> {
    Inventory::load(state)?.set_status(media, status)
}

/// Forgets a tape that is gone. One that is in a media set only if `force` is set: without it the set
/// can't be restored whole. Its catalog stays, for the case that the tape turns up again.
pub fn destroy(state: &StateDir, media: &Uuid, force: bool) -> Result<()> {
    let mut inventory = Inventory::load(state)?;
    loop {
        let id = inventory.require(media)?.id.clone();
        if let Some(set) = id.assigned_set()
            && !force
        {
            // Tapes at one place contradict each other; then the number of tapes is not told.
            let tapes = inventory.media_set(&set.uuid).map(|members| members.members().len());
            return Err(Error::MediaNeeded {
                label_text: id.label.label_text.clone(),
                set: set.uuid,
                pool: set.pool.clone(),
                number: set.seq_nr.saturating_add(1),
                tapes: tapes.ok(),
            });
        }
        let _locks = lock_pool_and_set(state, &id)?;
        inventory.reload()?;
        // A job may have taken the tape before the locks were there; then others are needed.
        if inventory.require(media)?.id == id {
            return inventory.remove(media).map(|_| ());
        }
    }
}

#[cfg(test)]
mod tests;
