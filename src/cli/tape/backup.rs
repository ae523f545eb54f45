//! `capstan tape backup`

mod mirror;

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use datastore::Namespace;
use pbs_tape::loader::{MediaLoader, MediaWait};
use pbs_tape::operations::file_lists::remember_files;
use pbs_tape::write::{BufferSize, FeedReport, Rests, TapeBackupOptions, run_backup_on};

use super::pool;
use super::station;
use crate::cli::Outcome;
use crate::config::{FeedConfig, Places, Tape};
use crate::output::{OutputArgs, OutputFormat, bytes, parse_size};
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
    /// The drive; given several times, that many write at once [default: the pool's, or the only one configured]
    #[arg(long, env = "CAPSTAN_TAPE_DRIVE", hide_env = true, value_name = "NAME")]
    drive: Vec<String>,
    /// A second, complete copy on another drive into another pool's set; each chunk is read once
    #[arg(long, value_name = "POOL:DRIVE", conflicts_with = "join_after")]
    mirror: Vec<String>,
    /// With several drives: how much is written before a further one takes a cartridge [default: 0 in a new media set, else 64G]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    join_after: Option<u64>,
    /// Only this namespace and those in it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// Levels of namespaces below it [default: all]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Only the newest snapshot of each group
    #[arg(long)]
    latest_only: bool,
    /// Which groups: [include:|exclude:] type:TYPE, group:TYPE/ID or regex:EXPRESSION; may be repeated
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
    /// Threads that read chunks [default: as many as pay, by measurement]
    #[arg(long, value_name = "N")]
    readers: Option<usize>,
    /// Memory between disk and drive [default: what measurement asks for, at most 4G and a quarter of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    buffer: Option<u64>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &BackupArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let (pool, pool_drive) = pool::find(&tape, &args.pool)?;
    let repository = repository::open(places, &args.store)?;
    let namespace: Namespace = args.ns.parse()?;
    let filters = args.group_filter.iter().map(|filter| filter.parse());
    let mut options = TapeBackupOptions {
        namespace,
        max_depth: args.max_depth,
        latest_only: args.latest_only,
        group_filters: filters.collect::<Result<_, _>>()?,
        force_media_set: args.force_media_set,
        eject_media: args.eject_media,
        export_media_set: args.export_media_set,
        readers: readers(args.readers, &tape.feed),
        join_after_bytes: args.join_after,
        wait: if args.wait { MediaWait::FOREVER } else { MediaWait::NONE },
        changers: station::changer_names(&tape),
        ..TapeBackupOptions::new(&repository.name)
    };
    if let Some(bytes) = buffer(args.buffer, &tape.feed)? {
        options.buffer = BufferSize::Fixed(bytes);
    }
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("tape backup"));
    let mut drives: Vec<Option<String>> = args.drive.iter().cloned().map(Some).collect();
    if drives.is_empty() {
        drives.push(pool_drive);
    }
    for copy in &args.mirror {
        drives.push(Some(mirror::drive_of(copy)?.to_owned()));
    }
    if !args.mirror.is_empty() && drives.len() != args.mirror.len() + 1 {
        bail!("--mirror writes each copy with one drive; give --drive once");
    }
    let mut stations = station::open_all(&state, &tape, &drives, &bar)?;
    if !args.mirror.is_empty() {
        let job = mirror::Job {
            state: &state,
            tape: &tape,
            repository: &repository,
            options: &options,
            bar: &bar,
        };
        return job.run(pool, stations, args);
    }
    let mut loaders: Vec<&mut dyn MediaLoader> =
        stations.iter_mut().map(|station| station as &mut dyn MediaLoader).collect();
    let report = run_backup_on(&state, &repository.store, pool, &mut loaders, &options, &*bar)
        .with_context(|| format!("the backup of '{}' to tape failed", repository.name))?;
    for (snapshot, reason) in &report.snapshots_failed {
        bar.warn(&format!("{snapshot}: {reason}"));
    }
    for stream in &report.streams {
        if let Some(error) = &stream.error {
            bar.warn(&format!("drive {} ended early: {error}", stream.drive));
        }
    }
    let (store, written) = (&repository.store, &report.snapshots_written);
    if let Err(error) = remember_files(&state, store, &repository.name, written, &*bar) {
        bar.warn(&format!("'tape find --file' will not know these snapshots: {error}"));
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
        for stream in &report.streams {
            bar.line(&format!(
                "{}: {} snapshots, {} on {}",
                stream.drive,
                stream.snapshots_written,
                bytes(stream.tape_bytes),
                if stream.tapes.is_empty() {
                    "no cartridge".into()
                } else {
                    stream.tapes.join(" ")
                },
            ));
        }
        if report.tape_bytes > 0 {
            bar.line(&feed_text(&report.feed));
        }
    }
    args.output.print(&report, |report| report.media_set_uuid.to_string())?;
    Ok(if report.is_complete() { Outcome::Complete } else { Outcome::Incomplete })
}

/// How many threads read: as asked, else as configured; `None`: by measurement.
pub fn readers(asked: Option<usize>, config: &FeedConfig) -> Option<usize> {
    asked.or(config.readers).map(|readers| readers.clamp(1, 32))
}

/// How large the buffer is: as asked, else as configured; `None`: by measurement.
pub fn buffer(asked: Option<u64>, config: &FeedConfig) -> Result<Option<u64>> {
    if asked.is_some() {
        return Ok(asked);
    }
    let configured = config.buffer.as_deref().map(parse_size).transpose();
    configured.map_err(|e| anyhow!("tape.toml, [feed] buffer: {e}"))
}

/// How the drive was fed, in a line.
pub fn feed_text(feed: &FeedReport) -> String {
    let rests = |what: &str, rests: Rests| {
        format!("{what} {} ({:.1} s)", rests.count, rests.time.as_secs_f64())
    };
    let rate =
        |rate: Option<u64>| rate.map_or("-".to_string(), |rate| format!("{}/s", bytes(rate)));
    format!(
        "drive stopped: {}, {}, {}; disk {}, drive {}; {} readers, buffer {}, at most {} used",
        rests("disk too slow", feed.disk_rests),
        rests("synchronising", feed.drive_rests),
        rests("tape change", feed.tape_changes),
        rate(feed.disk_bytes_per_second),
        rate(feed.drive_bytes_per_second),
        feed.readers,
        bytes(feed.buffer_bytes),
        bytes(feed.buffer_peak_bytes),
    )
}
