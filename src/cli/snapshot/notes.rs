//! `capstan snapshot notes …`

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli::Outcome;
use crate::cli::notes_text::{self, NOTES_HELP};
use crate::cli::place::SnapshotArgs;
use crate::config::Places;
use crate::output::OutputArgs;

/// Show and change the notes of a snapshot
#[derive(Debug, Subcommand)]
pub enum NotesCommand {
    Show(ShowArgs),
    Update(UpdateArgs),
}

/// Show the notes of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot notes show host/elsa --repository archive")]
pub struct ShowArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Replace the notes of a snapshot
///
/// Notes are not signed: whoever can write the datastore can change them.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot notes update host/elsa 'before the upgrade' \
                        --repository archive")]
pub struct UpdateArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    #[arg(help = NOTES_HELP)]
    notes: String,
}

pub fn run(places: &Places, command: &NotesCommand) -> Result<Outcome> {
    match command {
        NotesCommand::Show(args) => {
            let (repository, namespace, snapshot) = args.snapshot.open(places)?;
            let notes = repository.store.notes(&namespace, &snapshot)?;
            args.output.print(&notes, Clone::clone)?;
        }
        NotesCommand::Update(args) => {
            let (repository, namespace, snapshot) = args.snapshot.open(places)?;
            let notes = notes_text::given(&args.notes)?;
            repository.store.set_notes(&namespace, &snapshot, &notes)?;
        }
    }
    Ok(Outcome::Complete)
}
