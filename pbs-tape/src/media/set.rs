//! A media set with what is on it: the catalogs of its tapes, asked together.

use std::collections::BTreeMap;

use datastore::Digest;
use uuid::Uuid;

use super::catalog::MediaCatalog;
use super::inventory::Inventory;
use super::state::StateDir;
use crate::error::{Error, Result};

pub use super::set_members::MediaSet;

/// The catalogs of a set's tapes, asked together.
#[derive(Debug, Default)]
pub struct SetCatalogs {
    catalogs: BTreeMap<Uuid, MediaCatalog>,
}

impl SetCatalogs {
    /// Loads the catalogs of all members.
    pub fn load(state: &StateDir, inventory: &Inventory, set: &MediaSet) -> Result<SetCatalogs> {
        let mut catalogs = SetCatalogs::default();
        for media in set.members().iter().flatten() {
            let entry = inventory.require(media)?;
            catalogs.insert(MediaCatalog::load(state, &entry.id)?);
        }
        Ok(catalogs)
    }

    /// Loads the catalogs that there are, for reading only: what they know is true without the others.
    /// With them, the errors of those that can't be loaded.
    pub fn load_available(
        state: &StateDir,
        inventory: &Inventory,
        set: &MediaSet,
    ) -> Result<(SetCatalogs, Vec<Error>)> {
        let mut catalogs = SetCatalogs::default();
        let mut lacking = Vec::new();
        for media in set.members().iter().flatten() {
            let entry = inventory.require(media)?;
            match MediaCatalog::load(state, &entry.id) {
                Ok(catalog) => catalogs.insert(catalog),
                Err(e) => lacking.push(e),
            }
        }
        Ok((catalogs, lacking))
    }

    /// Adds a catalog, or replaces that of the same tape.
    pub fn insert(&mut self, catalog: MediaCatalog) {
        self.catalogs.insert(catalog.media().label.uuid, catalog);
    }

    /// The catalog of a tape, to add to it.
    pub fn get_mut(&mut self, media: &Uuid) -> Option<&mut MediaCatalog> {
        self.catalogs.get_mut(media)
    }

    /// The catalogs in the order of the media UUIDs.
    pub fn iter(&self) -> impl Iterator<Item = &MediaCatalog> {
        self.catalogs.values()
    }

    /// True if any tape holds the snapshot.
    pub fn contains_snapshot(&self, store: &str, snapshot: &str) -> bool {
        self.find_snapshot(store, snapshot).is_some()
    }

    /// True if any tape holds the chunk.
    pub fn contains_chunk(&self, store: &str, digest: &Digest) -> bool {
        self.find_chunk(store, digest).is_some()
    }

    /// Tape and file of a snapshot.
    pub fn find_snapshot(&self, store: &str, snapshot: &str) -> Option<(Uuid, u64)> {
        self.catalogs.iter().find_map(|(media, catalog)| {
            catalog.content().snapshot(store, snapshot).map(|file| (*media, file))
        })
    }

    /// Tape and file of a chunk.
    pub fn find_chunk(&self, store: &str, digest: &Digest) -> Option<(Uuid, u64)> {
        self.catalogs.iter().find_map(|(media, catalog)| {
            catalog.content().chunk(store, digest).map(|file| (*media, file))
        })
    }
}
