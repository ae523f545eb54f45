//! `capstan tape backup`

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use datastore::Namespace;
use pbs_tape::loader::MediaWait;
use pbs_tape::write::{TapeBackupOptions, run_backup};

use super::pool;
use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, OutputFormat, bytes};
use crate::progress::Bar;
use crate::repository;

/// Write the snapshots of a datastore that a pool's media set lacks to tape
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape backup archive daily --drive lto0 --eject-media")]
pub struct BackupArgs {
    /// Datastore: a folder, or a name from the configuration
    store: String,
    /// Media pool
    pool: String,
    #[command(flatten)]
    drive: DriveArg,
    /// Only this namespace and those in it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// Levels of namespaces below it [default: all]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Only the newest snapshot of each group
    #[arg(long)]
    latest_only: bool,
    /// Which groups: [include:|exclude:]type:TYPE or group:TYPE/ID; may be repeated
    #[arg(long, value_name = "FILTER")]
    group_filter: Vec<String>,
    /// Begin a new media set
    #[arg(long)]
    force_media_set: bool,
    /// Eject the cartridge at the end
    #[arg(long)]
    eject_media: bool,
    /// Put the whole media set into import/export slots at the end
    #[arg(long)]
    export_media_set: bool,
    /// Wait for a cartridge that has to be brought, instead of failing
    #[arg(long)]
    wait: bool,
    /// Threads that read chunks
    #[arg(long, default_value_t = 1, value_name = "N")]
    readers: usize,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &BackupArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let (pool, pool_drive) = pool::find(&tape, &args.pool)?;
    let repository = repository::open(places, &args.store)?;
    let namespace: Namespace = args.ns.parse()?;
    let filters = args.group_filter.iter().map(|filter| filter.parse());
    let options = TapeBackupOptions {
        namespace,
        max_depth: args.max_depth,
        latest_only: args.latest_only,
        group_filters: filters.collect::<Result<_, _>>()?,
        force_media_set: args.force_media_set,
        eject_media: args.eject_media,
        export_media_set: args.export_media_set,
        readers: args.readers.clamp(1, 32),
        wait: if args.wait { MediaWait::FOREVER } else { MediaWait::NONE },
        changers: station::changer_names(&tape),
        ..TapeBackupOptions::new(&repository.name)
    };
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("tape backup"));
    let drive = args.drive.drive.clone().or(pool_drive);
    let mut station = station::open(&state, &tape, drive.as_deref(), &bar)?;
    let report = run_backup(&state, &repository.store, pool, &mut station, &options, &*bar)
        .with_context(|| format!("the backup of '{}' to tape failed", repository.name))?;
    for (snapshot, reason) in &report.snapshots_failed {
        bar.warn(&format!("{snapshot}: {reason}"));
    }
    if args.output.output_format == OutputFormat::Text {
        let seconds = report.duration.as_secs_f64();
        bar.line(&format!(
            "{} snapshots written, {} were there already; {} chunks, {} on {} in {seconds:.1} s ({}/s)",
            report.snapshots_written.len(),
            report.snapshots_skipped,
            report.chunks,
            bytes(report.tape_bytes),
            report.tapes.join(" "),
            bytes((report.tape_bytes as f64 / seconds.max(0.001)) as u64),
        ));
    }
    args.output.print(&report, |report| report.media_set_uuid.to_string())?;
    let complete = report.snapshots_failed.is_empty();
    Ok(if complete { Outcome::Complete } else { Outcome::Incomplete })
}
