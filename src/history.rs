//! How full each datastore was when: `datastore/NAME.history` in the state folder.
//!
//! Every command that looks at a store's space or changes it leaves a sample, at most one an hour.
//! Only datastores of the configuration have a history; a folder's name may stand for another
//! store tomorrow.

use std::path::PathBuf;

use anyhow::Result;
use datastore::time;
use datastore::usage::{History, Sample, Space, space};

use crate::config::Places;
use crate::repository::Repository;

/// Where the history of a datastore lies.
pub fn path(places: &Places, name: &str) -> PathBuf {
    places.state.join("datastore").join(format!("{name}.history"))
}

/// Takes a sample now and returns the space. The history serves an estimate only: that it cannot be
/// written is nothing that a backup should fail for.
pub fn sample(places: &Places, repository: &Repository) -> Result<Space> {
    let space = space(&repository.store)?;
    if repository.configured {
        let sample = Sample { time: time::now(), space };
        let _ = History::record(&path(places, &repository.name), &sample);
    }
    Ok(space)
}

/// The samples of the last 30 days.
pub fn load(places: &Places, repository: &Repository) -> Result<History> {
    if !repository.configured {
        return Ok(History::default());
    }
    Ok(History::load(&path(places, &repository.name), time::now())?)
}
