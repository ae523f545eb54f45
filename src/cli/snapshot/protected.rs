//! `capstan snapshot protected …`

use anyhow::Result;
use clap::{ArgAction, Args, Subcommand};

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::config::Places;
use crate::output::OutputArgs;
use crate::repository;

/// Show and change whether a snapshot is protected from removal
#[derive(Debug, Subcommand)]
pub enum ProtectedCommand {
    Show(ShowArgs),
    Update(UpdateArgs),
}

/// Show whether a snapshot is protected
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan snapshot protected show host/elsa --repository archive"
)]
pub struct ShowArgs {
    /// Snapshot, or group for its newest
    snapshot: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Protect a snapshot from removal, or stop doing so
///
/// Nothing removes a protected snapshot: not prune, not forget, not the removal of its group or
/// namespace. Refused while the snapshot is in use.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot protected update \
                        host/elsa/2024-05-01T10:00:00Z true --repository archive")]
pub struct UpdateArgs {
    /// Snapshot, or group for its newest
    snapshot: String,
    /// true or false
    #[arg(action = ArgAction::Set)]
    protected: bool,
    #[command(flatten)]
    place: PlaceArgs,
}

pub fn run(places: &Places, command: &ProtectedCommand) -> Result<Outcome> {
    match command {
        ProtectedCommand::Show(args) => {
            let (repository, namespace) = args.place.open(places)?;
            let store = &repository.store;
            let snapshot = repository::find_snapshot(store, &namespace, &args.snapshot)?;
            let protected = store.is_protected(&namespace, &snapshot)?;
            args.output.print(&protected, ToString::to_string)?;
        }
        ProtectedCommand::Update(args) => {
            let (repository, namespace) = args.place.open(places)?;
            let store = &repository.store;
            let snapshot = repository::find_snapshot(store, &namespace, &args.snapshot)?;
            store.set_protected(&namespace, &snapshot, args.protected)?;
        }
    }
    Ok(Outcome::Complete)
}
