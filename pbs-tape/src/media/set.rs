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
        let tapes = set.members().len();
        for media in set.members().iter().flatten() {
            let entry = inventory.require(media)?;
            catalogs.insert(MediaCatalog::load_one_of(state, &entry.id, tapes)?);
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
        let tapes = set.members().len();
        for media in set.members().iter().flatten() {
            let entry = inventory.require(media)?;
            match MediaCatalog::load_one_of(state, &entry.id, tapes) {
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
    pub fn contains_chunk(&self, store: &str, digest: &Digest) -> Result<bool> {
        Ok(self.find_chunk(store, digest)?.is_some())
    }

    /// Tape and file of a snapshot.
    pub fn find_snapshot(&self, store: &str, snapshot: &str) -> Option<(Uuid, u64)> {
        self.catalogs.iter().find_map(|(media, catalog)| {
            catalog.content().snapshot(store, snapshot).map(|file| (*media, file))
        })
    }

    /// Tape and file of a chunk.
    pub fn find_chunk(&self, store: &str, digest: &Digest) -> Result<Option<(Uuid, u64)>> {
        for (media, catalog) in &self.catalogs {
            if let Some(file) = catalog.chunk(store, digest)? {
                return Ok(Some((*media, file)));
            }
        }
        Ok(None)
    }
}
