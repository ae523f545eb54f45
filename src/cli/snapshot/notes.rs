//! `capstan snapshot notes …`

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::cli::Outcome;
use crate::cli::notes_text::{self, NOTES_HELP};
use crate::cli::place::PlaceArgs;
use crate::config::Places;
use crate::output::OutputArgs;
use crate::repository;

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
    /// Snapshot, or group for its newest
    snapshot: String,
    #[command(flatten)]
    place: PlaceArgs,
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
    /// Snapshot, or group for its newest
    snapshot: String,
    #[arg(help = NOTES_HELP)]
    notes: String,
    #[command(flatten)]
    place: PlaceArgs,
}

pub fn run(places: &Places, command: &NotesCommand) -> Result<Outcome> {
    match command {
        NotesCommand::Show(args) => {
            let (repository, namespace) = args.place.open(places)?;
            let store = &repository.store;
            let snapshot = repository::find_snapshot(store, &namespace, &args.snapshot)?;
            let notes = store.notes(&namespace, &snapshot)?;
            args.output.print(&notes, Clone::clone)?;
        }
        NotesCommand::Update(args) => {
            let (repository, namespace) = args.place.open(places)?;
            let store = &repository.store;
            let snapshot = repository::find_snapshot(store, &namespace, &args.snapshot)?;
            store.set_notes(&namespace, &snapshot, &notes_text::given(&args.notes)?)?;
        }
    }
    Ok(Outcome::Complete)
}
