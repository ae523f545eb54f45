//! `capstan group …`

mod change_owner;
mod forget;
mod list;
mod notes;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;
use crate::config::Places;

/// List backup groups, note things on them, give them away and remove them
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    List(list::ListArgs),
    Forget(forget::ForgetArgs),
    #[command(subcommand)]
    Notes(notes::NotesCommand),
    ChangeOwner(change_owner::ChangeOwnerArgs),
}

pub fn run(places: &Places, command: &GroupCommand) -> Result<Outcome> {
    match command {
        GroupCommand::List(args) => list::run(places, args),
        GroupCommand::Forget(args) => forget::run(places, args),
        GroupCommand::Notes(command) => notes::run(places, command),
        GroupCommand::ChangeOwner(args) => change_owner::run(places, args),
    }
}
