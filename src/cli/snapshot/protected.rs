//! `capstan snapshot protected …`

use anyhow::Result;
use clap::{ArgAction, Args, Subcommand};

use crate::cli::Outcome;
use crate::cli::place::SnapshotArgs;
use crate::config::Places;
use crate::output::OutputArgs;

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
    #[command(flatten)]
    snapshot: SnapshotArgs,
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
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// true or false
    #[arg(action = ArgAction::Set)]
    protected: bool,
}

pub fn run(places: &Places, command: &ProtectedCommand) -> Result<Outcome> {
    match command {
        ProtectedCommand::Show(args) => {
            let (repository, namespace, snapshot) = args.snapshot.open(places)?;
            let protected = repository.store.is_protected(&namespace, &snapshot)?;
            args.output.print(&protected, ToString::to_string)?;
        }
        ProtectedCommand::Update(args) => {
            let (repository, namespace, snapshot) = args.snapshot.open(places)?;
            repository.store.set_protected(&namespace, &snapshot, args.protected)?;
        }
    }
    Ok(Outcome::Complete)
}
