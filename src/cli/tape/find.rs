//! `capstan tape find`

use anyhow::{Result, bail};
use clap::Args;
use pbs_tape::media::find::{SnapshotPattern, find_snapshots};
use pbs_tape::media::listing::ContentFilter;

use super::{pool, station};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, table};
use crate::progress::say;

/// Find snapshots on cartridges by their names
///
/// Answers from the catalogs; no cartridge is loaded. A pattern is a glob over STORE/[ns/A/ns/B/]TYPE/ID/TIME. It may
/// leave out the beginning, and finds all that is below what it fits: a datastore, a namespace, a group.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape find host/elsa\n  \
    capstan tape find '2024-05-*' --pool offsite\n  \
    capstan tape find 'archive:vm/*' 'ns/site/**/elsa'")]
pub struct FindArgs {
    /// What to look for
    #[arg(value_name = "PATTERN", required = true, value_parser = SnapshotPattern::parse)]
    patterns: Vec<SnapshotPattern>,
    /// Only media sets of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &FindArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let filter = ContentFilter { pool: args.pool.clone(), ..ContentFilter::default() };
    let (found, without_catalog) =
        find_snapshots(&station::state(places)?, &pool::all(&tape)?, &args.patterns, &filter)?;
    args.output.print(&found, |found| {
        let rows = found.iter().map(|found| {
            let content = &found.content;
            vec![
                format!("{}:{}", content.store, content.snapshot),
                content.label_text.clone(),
                found.location.clone(),
                content.pool.clone(),
                content.media_set_name.clone(),
                content.seq_nr.to_string(),
            ]
        });
        table(&["snapshot", "label-text", "location", "pool", "media-set", "seq-nr"], rows)
    })?;
    for tape in &without_catalog {
        say(&format!(
            "warning: cartridge {tape} has no catalog here; 'capstan tape catalog' makes one"
        ));
    }
    if found.is_empty() {
        bail!("no snapshot in the catalogs fits");
    }
    Ok(if without_catalog.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}
