//! `capstan datastore prune`

use anyhow::Result;
use clap::Args;
use datastore::prune;
use datastore::scope::Scope;

use crate::cli::Outcome;
use crate::cli::prune::{KeepArgs, carry_out, time_zone};
use crate::config::Places;
use crate::output::OutputArgs;
use crate::progress::Bar;
use crate::repository;

/// Remove the snapshots of all groups that no rule keeps
///
/// Each group is pruned for itself, as 'capstan prune' does it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore prune archive --keep-daily 14 --dry-run")]
pub struct PruneArgs {
    /// A folder, or a name from the configuration
    store: String,
    /// Only this namespace and those in it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// How many levels of namespaces deeper; 0 is that of --ns alone [default: all]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Only print what would stay and what would go
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    keep: KeepArgs,
}

pub fn run(places: &Places, args: &PruneArgs) -> Result<Outcome> {
    let scope = Scope { namespace: args.ns.parse()?, depth: args.max_depth };
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let bar = Bar::bytes("prune");
    let mut odd = Vec::new();
    let keep = args.keep.options();
    let (plans, failures) = prune::plan(store, &scope, &keep, &time_zone()?, &mut odd)?;
    for line in odd.into_iter().chain(failures.iter().map(ToString::to_string)) {
        bar.warn(&line);
    }
    carry_out(store, &plans, keep, args.dry_run, args.output, bar)
}
