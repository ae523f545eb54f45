//! `capstan datastore …`

mod check;
mod create;
mod gc;
mod list;
mod prune;
mod remove;
mod status;
mod update;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;
use crate::config::Places;

/// Make, list, check and remove datastores
#[derive(Debug, Subcommand)]
pub enum DatastoreCommand {
    Check(check::CheckArgs),
    Create(create::CreateArgs),
    Gc(gc::GcArgs),
    List(list::ListArgs),
    Prune(prune::PruneArgs),
    Remove(remove::RemoveArgs),
    #[command(alias = "show")]
    Status(status::StatusArgs),
    Update(update::UpdateArgs),
    Verify(verify::VerifyArgs),
}

pub fn run(places: &Places, command: &DatastoreCommand) -> Result<Outcome> {
    match command {
        DatastoreCommand::Check(args) => check::run(places, args),
        DatastoreCommand::Create(args) => create::run(places, args),
        DatastoreCommand::Gc(args) => gc::run(places, args),
        DatastoreCommand::List(args) => list::run(places, args),
        DatastoreCommand::Prune(args) => prune::run(places, args),
        DatastoreCommand::Remove(args) => remove::run(places, args),
        DatastoreCommand::Status(args) => status::run(places, args),
        DatastoreCommand::Update(args) => update::run(places, args),
        DatastoreCommand::Verify(args) => verify::run(places, args),
    }
}
