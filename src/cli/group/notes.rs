//! `capstan group notes …`

use anyhow::Result;
use clap::{Args, Subcommand};
use datastore::BackupGroup;

use crate::cli::Outcome;
use crate::cli::notes_text::{self, NOTES_HELP};
use crate::cli::place::PlaceArgs;
use crate::config::Places;
use crate::output::OutputArgs;

/// Show and change the notes of a backup group
#[derive(Debug, Subcommand)]
pub enum NotesCommand {
    Show(ShowArgs),
    Update(UpdateArgs),
}

/// Show the notes of a backup group
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan group notes show host/elsa --repository archive")]
pub struct ShowArgs {
    /// Group: type/id
    group: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Replace the notes of a backup group
///
/// Refused while a backup to the group is running.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan group notes update host/elsa 'the file server' \
                        --repository archive")]
pub struct UpdateArgs {
    /// Group: type/id
    group: String,
    #[arg(help = NOTES_HELP)]
    notes: String,
    #[command(flatten)]
    place: PlaceArgs,
}

pub fn run(places: &Places, command: &NotesCommand) -> Result<Outcome> {
    match command {
        NotesCommand::Show(args) => {
            let group: BackupGroup = args.group.parse()?;
            let (repository, namespace) = args.place.open(places)?;
            let notes = repository.store.group_notes(&namespace, &group)?;
            args.output.print(&notes, Clone::clone)?;
        }
        NotesCommand::Update(args) => {
            let group: BackupGroup = args.group.parse()?;
            let (repository, namespace) = args.place.open(places)?;
            let notes = notes_text::given(&args.notes)?;
            repository.store.set_group_notes(&namespace, &group, &notes)?;
        }
    }
    Ok(Outcome::Complete)
}
