//! `capstan group forget`

use anyhow::Result;
use clap::Args;
use datastore::BackupGroup;

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::cli::removal::{GroupLine, ended_by};
use crate::config::Places;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

/// Remove a backup group with all its snapshots
///
/// Protected snapshots and those in use stay, and the group with them. The space comes back with
/// the next garbage collection.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  capstan group forget host/elsa --repository archive --dry-run\n  \
                  capstan group forget host/elsa --repository archive"
)]
pub struct ForgetArgs {
    /// Group: type/id
    group: String,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &ForgetArgs) -> Result<Outcome> {
    let group: BackupGroup = args.group.parse()?;
    let (repository, namespace) = args.place.open(places)?;
    let store = &repository.store;
    let line = if args.dry_run {
        GroupLine::planned(&store.plan_forget_group(&namespace, &group)?)
    } else {
        let bar = Bar::quiet("forget");
        GroupLine::done(&store.forget_group(&namespace, &group, &bar).map_err(ended_by)?)
    };
    args.output.print(&line, |line| {
        table(&["object", "state"], line.rows(args.dry_run).into_iter().map(Vec::from))
    })?;
    Ok(if line.keep && !args.dry_run { Outcome::Incomplete } else { Outcome::Complete })
}
