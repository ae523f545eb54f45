//! What an operator can ask for, one file an operation. A command line or a server calls these and
//! shows what they return; every result can be serialised, with the field names that operators know.
//!
//! All of them take the state directory and a [`MediaLoader`], which stands for one drive that the
//! caller has locked ([`crate::station::DriveStation`] does so by existing).

pub mod alerts;
pub mod catalog;
pub mod clean;
pub mod erase;
pub mod export;
pub mod file_lists;
pub mod inventory;
pub mod label;
pub mod media;
pub mod mt;
pub mod read_label;
pub mod restore_key;
pub mod scan;

use datastore::Progress;

use crate::device::TapeDevice;
use crate::error::Result;
use crate::format::label::Labels;
use crate::loader::{MediaLoader, labels_in};
use crate::media::{Inventory, Lock, MediaCatalog, MediaId, StateDir};

/// The lock that goes with the pool that a tape belongs to.
fn lock_pool_of(state: &StateDir, pool: Option<&str>) -> Result<Lock> {
    match pool {
        Some(pool) => state.lock_pool(pool),
        None => state.lock_unassigned_pool(),
    }
}

/// The locks of the pool and of the set that a tape belongs to.
///
/// A job that writes holds its set while it asks the pool for another tape. So the set is never waited
/// for with the pool in hand: both would wait for each other until one gives up.
fn lock_pool_and_set(state: &StateDir, id: &MediaId) -> Result<(Lock, Option<Lock>)> {
    loop {
        let pool = lock_pool_of(state, id.pool())?;
        let Some(set) = id.assigned_set() else { return Ok((pool, None)) };
        if let Some(set) = state.try_lock_media_set(&set.uuid)? {
            return Ok((pool, Some(set)));
        }
        drop(pool);
        // Until it is free, or until waiting took too long.
        drop(state.lock_media_set(&set.uuid)?);
    }
}

pub(crate) fn media_id(labels: &Labels) -> MediaId {
    MediaId {
        label: labels.media.clone(),
        media_set_label: labels.media_set.as_ref().map(|found| found.label.clone()),
    }
}

/// Lets the inventory know a tape whose labels were read, and drops a catalog that can't be its own.
fn inventorize(state: &StateDir, labels: &Labels) -> Result<MediaId> {
    let id = media_id(labels);
    let _locks = lock_pool_and_set(state, &id)?;
    MediaCatalog::destroy_unrelated(state, &id)?;
    Inventory::load(state)?.store(id.clone(), false)?;
    Ok(id)
}

/// Opens the tape in the drive and reads its labels.
fn open_and_read_labels(
    loader: &mut dyn MediaLoader,
    progress: &dyn Progress,
) -> Result<(Box<dyn TapeDevice>, Option<Labels>)> {
    let mut device = loader.open(progress)?;
    let labels = labels_in(&mut *device, loader.drive_name())?;
    Ok((device, labels))
}

#[cfg(test)]
mod tests;
