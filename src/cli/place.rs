//! Where a group or snapshot is: the two options that every command about one has.

use anyhow::Result;
use clap::Args;
use datastore::Namespace;

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
