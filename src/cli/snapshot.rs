//! `capstan snapshot …`

mod files;
mod forget;
mod list;
mod notes;
mod protected;
mod verify;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;
use crate::config::Places;

/// List snapshots, look into them, note things on them, protect and remove them
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    List(list::ListArgs),
    Files(files::FilesArgs),
    Forget(forget::ForgetArgs),
    #[command(subcommand)]
    Notes(notes::NotesCommand),
    #[command(subcommand)]
    Protected(protected::ProtectedCommand),
    Verify(verify::VerifyArgs),
}

pub fn run(places: &Places, command: &SnapshotCommand) -> Result<Outcome> {
    match command {
        SnapshotCommand::List(args) => list::run(places, args),
        SnapshotCommand::Files(args) => files::run(places, args),
        SnapshotCommand::Forget(args) => forget::run(places, args),
        SnapshotCommand::Notes(command) => notes::run(places, command),
        SnapshotCommand::Protected(command) => protected::run(places, command),
        SnapshotCommand::Verify(args) => verify::run(places, args),
    }
}
