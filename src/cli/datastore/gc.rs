//! `capstan datastore gc`

use std::path::Path;

use anyhow::Result;
use clap::Args;
use datastore::gc::{self, Options, Status};
use datastore::lock::turnstile::Wait;

use crate::cli::wait::WaitArgs;
use crate::cli::{self, Outcome};
use crate::config::{Datastores, Places};
use crate::output::{OutputArgs, OutputFormat, bytes, parse_size, print, table};
use crate::progress::Bar;
use crate::{history, repository};

/// Remove the chunks that no snapshot needs any more
///
/// Every index is read and every chunk that one names is touched. Then every other chunk that was not
/// touched for a day goes. It can be interrupted at any time; the next run goes on with what is left.
/// Restores, verification, prune and forget may run beside it, backups of other processes may not.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore gc archive --dry-run")]
pub struct GcArgs {
    /// A folder, or a name from the configuration
    store: String,
    /// Only print what would be removed; nothing is touched, removed or recorded
    #[arg(long)]
    dry_run: bool,
    /// Threads [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Keep what was used in the last so many minutes [default: the datastore's gc-atime-cutoff, or
    /// 1445]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(gc::CUTOFF_MINUTES_MAX)))]
    cutoff_minutes: Option<u32>,
    /// Trust that the file system keeps times of access
    #[arg(long)]
    no_atime_safety_check: bool,
    /// Memory for the names of chunks in use; a store that needs more is gone through in parts
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "256M")]
    marks_bytes_max: u64,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &GcArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    if repository.configured {
        places.load::<Datastores>()?.check_not_nested(&repository.name)?;
    }
    let config = &repository.config;
    let options = Options {
        upid: Some(cli::task_name("garbage_collection", &repository.name)?),
        cutoff_minutes: args
            .cutoff_minutes
            .or(config.gc_atime_cutoff)
            .unwrap_or(gc::CUTOFF_MINUTES),
        atime_safety_check: !args.no_atime_safety_check
            && config.gc_atime_safety_check.unwrap_or(true),
        threads: cli::threads(args.threads),
        marks_bytes_max: usize::try_from(args.marks_bytes_max).unwrap_or(usize::MAX),
    };
    let bar = Bar::bytes("gc");
    let store = &repository.store;
    let collect = &mut || {
        if !args.dry_run {
            return gc::collect(store, &options, &bar);
        }
        let base = store.base();
        let tell = |path: &Path, len: u64| {
            if args.output.output_format == OutputFormat::Text {
                let name = path.strip_prefix(base).unwrap_or(path);
                // A reader that went away is no reason to stop; the summary will meet it again.
                let _ = print(&format!("would remove {} ({len} bytes)", name.display()));
            }
        };
        gc::plan(store, &options, &bar, &tell)
    };
    let wait = Wait::new(args.wait.wait, &bar);
    let is_busy = &datastore::Error::is_retryable;
    let status = store.locks().turnstile().collector(&wait, is_busy, collect)?;
    // For the estimate of 'datastore status'; no reason to fail.
    let _ = history::sample(places, &repository);
    let warnings = bar.warnings();
    drop(bar);
    args.output.print(&status, |status| text(status, args.dry_run))?;
    Ok(if warnings == 0 { Outcome::Complete } else { Outcome::Incomplete })
}

fn text(status: &Status, dry_run: bool) -> String {
    let removed = if dry_run { "would be removed" } else { "removed" };
    let count = |count: u64, of: &str, size: u64| format!("{count} {of}, {}", bytes(size));
    let rows = [
        ("indexes", count(status.index_file_count, "files", status.index_data_bytes)),
        ("in use", count(status.disk_chunks, "chunks", status.disk_bytes)),
        (removed, count(status.removed_chunks, "chunks", status.removed_bytes)),
        ("pending", count(status.pending_chunks, "chunks", status.pending_bytes)),
        ("bad copies", format!("{} {removed}, {} pending", status.removed_bad, status.still_bad)),
        ("deduplication factor", format!("{:.2}", status.deduplication_factor())),
    ];
    let rows = rows.map(|(key, value)| vec![key.to_owned(), value]);
    table(&["", ""], rows).trim_start().to_owned()
}
