//! `capstan tape restore`

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use pbs_tape::loader::MediaWait;
use pbs_tape::restore::{RestoreOptions, StoreMap, run_restore};
use uuid::Uuid;

use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, OutputFormat, bytes};
use crate::progress::Bar;
use crate::repository;

/// Restore a media set, or chosen snapshots of it, into a datastore
///
/// Snapshots that the datastore has already are left as they are.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape restore 9da37a55-aac7-4deb-91c6-482b3b675f30 archive --drive lto0\n  \
    capstan tape restore 9da37a55-… archive --drive lto0 --snapshots archive:host/elsa/2024-05-01T10:00:00Z")]
pub struct RestoreArgs {
    /// UUID of the media set
    media_set: Uuid,
    /// Datastore, or SOURCE=TARGET,… for sets with several
    store: String,
    /// Only these snapshots: store:[ns/a/ns/b/]type/id/time
    #[arg(long, num_args = 1.., value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
    #[command(flatten)]
    drive: DriveArg,
    /// Owner of new backup groups [default: you@pam]
    #[arg(long, value_name = "USER@REALM")]
    owner: Option<String>,
    /// Wait for a cartridge that has to be brought, instead of failing
    #[arg(long)]
    wait: bool,
    /// Threads that check and store chunks [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &RestoreArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let open = |name: &str| {
        repository::open(places, name).map(|repository| repository.store).map_err(|error| {
            pbs_tape::Error::BadArgument {
                what: "datastore",
                value: name.to_owned(),
                reason: format!("{error:#}"),
            }
        })
    };
    let options = RestoreOptions {
        media_set: args.media_set,
        stores: StoreMap::parse(&args.store, &open)?,
        snapshots: args.snapshots.clone(),
        owner: match &args.owner {
            Some(owner) => owner.clone(),
            None => repository::caller()?,
        },
        wait: if args.wait { MediaWait::FOREVER } else { MediaWait::NONE },
        writers: crate::cli::threads(args.threads),
    };
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("tape restore"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let report = run_restore(&state, &mut station, &options, &*bar)
        .with_context(|| format!("the restore of media set {} failed", args.media_set))?;
    if args.output.output_format == OutputFormat::Text {
        let seconds = report.duration.as_secs_f64();
        for (snapshot, reason) in &report.snapshots_skipped {
            bar.line(&format!("skipped {snapshot}: {reason}"));
        }
        bar.line(&format!(
            "{} snapshots restored, {} skipped, {} failed; {} chunks, {} from {} in {seconds:.1} s",
            report.snapshots_restored.len(),
            report.snapshots_skipped.len(),
            report.snapshots_failed.len(),
            report.chunks,
            bytes(report.chunk_bytes),
            report.tapes.join(" "),
        ));
    }
    args.output.print(&report, |report| {
        report.snapshots_restored.iter().map(|name| format!("{name}\n")).collect()
    })?;
    let complete = report.snapshots_failed.is_empty() && report.damage.is_empty();
    Ok(if complete { Outcome::Complete } else { Outcome::Incomplete })
}
