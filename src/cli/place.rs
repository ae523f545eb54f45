//! Where a group or snapshot is: the two options that every command about one has, and the snapshot
//! itself.

use anyhow::Result;
use clap::Args;
use datastore::{Namespace, SnapshotPath};

use crate::config::Places;
use crate::repository::{self, Repository};

/// Datastore and namespace.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    /// Namespace in the datastore
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
}

impl PlaceArgs {
    /// Opens the datastore.
    pub fn open(&self, places: &Places) -> Result<(Repository, Namespace)> {
        let namespace: Namespace = self.ns.parse()?;
        Ok((repository::open(places, &self.repository)?, namespace))
    }
}

/// A snapshot, and where it is.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Snapshot, or group for its newest
    snapshot: String,
    #[command(flatten)]
    place: PlaceArgs,
}

impl SnapshotArgs {
    /// Opens the datastore and finds the snapshot.
    pub fn open(&self, places: &Places) -> Result<(Repository, Namespace, SnapshotPath)> {
        let (repository, namespace) = self.place.open(places)?;
        let snapshot = repository::find_snapshot(&repository.store, &namespace, &self.snapshot)?;
        Ok((repository, namespace, snapshot))
    }
}
