//! `capstan datastore …`

mod create;
mod list;
mod show;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;
use crate::config::Places;

/// Make, list and check datastores
#[derive(Debug, Subcommand)]
pub enum DatastoreCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Verify(verify::VerifyArgs),
}

pub fn run(places: &Places, command: &DatastoreCommand) -> Result<Outcome> {
    match command {
        DatastoreCommand::Create(args) => create::run(places, args),
        DatastoreCommand::List(args) => list::run(places, args),
        DatastoreCommand::Show(args) => show::run(places, args),
        DatastoreCommand::Verify(args) => verify::run(places, args),
    }
}
