//! `capstan group change-owner`

use anyhow::Result;
use clap::Args;
use datastore::BackupGroup;

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::config::Places;

/// Give a backup group to another owner
///
/// Only the owner can back up to a group. Also gives an owner to a group that lost its own. Refused
/// while a backup to the group is running.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan group change-owner host/elsa alice@pam --repository archive"
)]
pub struct ChangeOwnerArgs {
    /// Group: type/id
    group: String,
    /// The new owner: user@realm, or user@realm!token
    new_owner: String,
    #[command(flatten)]
    place: PlaceArgs,
}

pub fn run(places: &Places, args: &ChangeOwnerArgs) -> Result<Outcome> {
    let group: BackupGroup = args.group.parse()?;
    let (repository, namespace) = args.place.open(places)?;
    repository.store.set_owner(&namespace, &group, &args.new_owner)?;
    Ok(Outcome::Complete)
}
