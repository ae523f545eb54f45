//! `capstan snapshot forget`

use anyhow::{Result, bail};
use clap::Args;
use datastore::SnapshotPath;
use datastore::snapshot::GroupFolder;

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::cli::removal::{SnapshotLine, ended_by, snapshot_table};
use crate::config::Places;
use crate::output::OutputArgs;
use crate::progress::Bar;

/// Remove snapshots
///
/// Finished ones and what an interrupted backup left behind. A protected snapshot and one in use
/// stay. The last snapshot of a group takes the group with it. The space comes back with the next
/// garbage collection.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan snapshot forget host/elsa/2024-05-01T10:00:00Z \
                  --repository archive --dry-run\n  \
                  capstan snapshot forget host/elsa/2024-05-01T10:00:00Z --repository archive")]
pub struct ForgetArgs {
    /// Snapshots by their full names: type/id/time
    #[arg(required = true)]
    snapshots: Vec<String>,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &ForgetArgs) -> Result<Outcome> {
    // All names are looked at before anything is removed: one of them may be a typing error.
    let mut snapshots: Vec<SnapshotPath> = Vec::new();
    for text in &args.snapshots {
        if text.matches('/').count() < 2 {
            bail!(
                "'{text}' names no single snapshot; give its time too (type/id/time), or remove \
                 the whole group with 'capstan group forget'"
            );
        }
        let snapshot = text.parse()?;
        if !snapshots.contains(&snapshot) {
            snapshots.push(snapshot);
        }
    }
    let (repository, namespace) = args.place.open(places)?;
    let store = &repository.store;
    store.require_namespace(&namespace)?;
    let mut lines = Vec::new();
    for snapshot in &snapshots {
        lines.push(SnapshotLine::planned(&store.plan_forget_snapshot(&namespace, snapshot)?));
    }
    if args.dry_run {
        args.output.print(&lines, |lines| snapshot_table(lines, true))?;
        return Ok(Outcome::Complete);
    }
    let bar = Bar::quiet("forget");
    let mut failures = Vec::new();
    for (snapshot, line) in snapshots.iter().zip(&mut lines) {
        if bar.is_interrupted() {
            return Err(ended_by(datastore::Error::Aborted));
        }
        match store.forget_snapshot(&namespace, snapshot) {
            Ok(forgotten) => {
                *line = line.removed();
                if let GroupFolder::Stays { reason } = forgotten.group {
                    bar.warn(&format!("backup group {} stays: {reason}", snapshot.group()));
                }
            }
            Err(error) => {
                *line = line.kept(&error);
                failures.push(error);
            }
        }
    }
    if failures.len() == snapshots.len()
        && let Some(first) = failures.into_iter().next()
    {
        if snapshots.len() == 1 {
            return Err(first.into());
        }
        return Err(anyhow::Error::from(first).context("nothing was removed"));
    }
    args.output.print(&lines, |lines| snapshot_table(lines, false))?;
    let complete = lines.iter().all(|line| !line.keep);
    Ok(if complete && bar.warnings() == 0 { Outcome::Complete } else { Outcome::Incomplete })
}
