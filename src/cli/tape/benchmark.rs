//! `capstan tape benchmark`

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use datastore::Progress as _;
use pbs_tape::benchmark::{
    BenchmarkReport, CartridgePlan, DiskOptions, DiskReport, DriveFigures, DriveOptions,
    MachineClock, TogetherReport, advise, look, measure_disk, run_on_cartridge,
};
use pbs_tape::loader::MediaLoader as _;
use pbs_tape::write::{BufferSize, TapeBackupOptions, buffer_bytes_max};

use super::backup::{buffer, feed_text, readers};
use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::cli::confirm::confirm;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, bytes, parse_size, table};
use crate::progress::Bar;
use crate::repository;

const AFTER_HELP: &str = "\
Examples:
  capstan tape benchmark archive
  capstan tape benchmark archive --media CAP001L8 --dry-run
  capstan tape benchmark archive --media CAP001L8 --size 16G --yes";

/// Measure how fast disk and drive are, and recommend readers and buffer
///
/// With a datastore, chunks of its newest snapshots are read with 1, 2, 4 and 8 readers. With a
/// cartridge, the drive is measured with bytes that do not compress: everything on the cartridge is
/// lost. It must be blank, or labelled and in no media set. With both, the datastore is also fed
/// into the drive.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct BenchmarkArgs {
    /// Datastore: a folder, or a name from the configuration
    #[arg(required_unless_present = "media")]
    store: Option<String>,
    /// Label text of a cartridge that may be written over
    #[arg(long, value_name = "LABEL")]
    media: Option<String>,
    /// How much is written to the cartridge and read back; several times the drive's buffer
    #[arg(long, default_value = "8G", value_name = "SIZE", value_parser = parse_size)]
    size: u64,
    /// Threads that read while the drive is fed [default: as many as pay, by measurement]
    #[arg(long, value_name = "N")]
    readers: Option<usize>,
    /// Memory between disk and drive [default: as in a backup]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    buffer: Option<u64>,
    /// Only load the cartridge and tell what would be written over
    #[arg(long, requires = "media")]
    dry_run: bool,
    /// Write over the cartridge without asking
    #[arg(long, requires = "media")]
    yes: bool,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &BenchmarkArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let bar = Arc::new(Bar::bytes("tape benchmark"));
    let clock = MachineClock::start();
    let store = args.store.as_deref().map(|store| repository::open(places, store)).transpose()?;
    let mut report = BenchmarkReport::default();
    let state = station::state(places)?;
    // The question comes before a long measurement, not behind it.
    let mut cartridge = None;
    if let Some(media) = &args.media {
        let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
        let plan = look(&state, &mut station, media, &clock, &*bar)?;
        if args.dry_run {
            args.output.print(&plan, |plan| plan_text(plan, args.size))?;
            return Ok(Outcome::Complete);
        }
        confirm(&plan_text(&plan, args.size), args.yes)?;
        cartridge = Some((station, plan));
    }
    if let Some(store) = &store {
        bar.note("reading chunks with 1, 2, 4 and 8 readers");
        report.disk = Some(measure_disk(&store.store, &DiskOptions::default(), &clock, &*bar)?);
    }
    if let Some((mut station, plan)) = cartridge {
        bar.note(&format!("writing {} to {} and reading it", bytes(args.size), plan.label_text));
        let mut options = DriveOptions {
            bytes: args.size,
            store: store.as_ref().map(|store| Arc::clone(&store.store)),
            readers: readers(args.readers, &tape.feed),
            buffer: TapeBackupOptions::new("").buffer,
        };
        if let Some(bytes) = buffer(args.buffer, &tape.feed)? {
            options.buffer = BufferSize::Fixed(bytes);
        }
        let (drive, together) =
            run_on_cartridge(&state, &mut station, &plan, &options, &clock, &*bar)?;
        (report.drive, report.together) = (Some(drive), together);
        if station.config().changer.is_some() {
            station.unload(None)?;
        }
    }
    if let Some(disk) = &report.disk {
        let slowest = report.drive.as_ref().and_then(|drive| drive.slowest_bytes_per_second);
        let advice = advise(disk.readers, disk.bytes_per_second, slowest, buffer_bytes_max());
        report.advice = Some(advice);
    }
    args.output.print(&report, text)?;
    Ok(Outcome::Complete)
}

fn plan_text(plan: &CartridgePlan, size: u64) -> String {
    let what = match (&plan.uuid, &plan.pool) {
        (None, _) => "is blank".to_owned(),
        (Some(uuid), None) => {
            format!("has a label ({uuid}), belongs to no pool and to no media set")
        }
        (Some(uuid), Some(pool)) => {
            format!("has a label ({uuid}) of pool {pool} and belongs to no media set")
        }
    };
    let after =
        if plan.is_blank { "it is blank again" } else { "it gets a new label with the same text" };
    format!(
        "drive {}: cartridge {} {what}; {} are written over it, and afterwards {after}",
        plan.drive,
        plan.label_text,
        bytes(size)
    )
}

fn per_second(rate: u64) -> String {
    format!("{:.0} MB/s", rate as f64 / 1e6)
}

fn text(report: &BenchmarkReport) -> String {
    let mut parts = Vec::new();
    parts.extend(report.disk.as_ref().map(disk_text));
    parts.extend(report.drive.as_ref().map(drive_text));
    parts.extend(report.together.as_ref().map(together_text));
    if let Some(advice) = &report.advice {
        let size = (advice.buffer_bytes >> 20).max(1);
        parts.push(format!(
            "recommended: {}\n\n[feed]\nreaders = {}\nbuffer = \"{size}M\"\n",
            advice.reason, advice.readers
        ));
    }
    parts.join("\n")
}

fn disk_text(disk: &DiskReport) -> String {
    let rows = disk.runs.iter().map(|run| {
        let mark = if run.readers == disk.readers { "pays" } else { "" };
        vec![
            run.readers.to_string(),
            run.chunks.to_string(),
            bytes(run.bytes),
            per_second(run.bytes_per_second),
            mark.to_owned(),
        ]
    });
    format!("disk\n{}", table(&["readers", "chunks", "read", "speed", ""], rows))
}

fn drive_text(drive: &DriveFigures) -> String {
    let mut rows = vec![
        ("load", format!("{:.1} s", drive.load.as_secs_f64())),
        ("write", per_second(drive.write_bytes_per_second)),
        ("write and sync", per_second(drive.write_and_sync_bytes_per_second)),
        (
            "stops",
            format!(
                "{} (longest wait {:.1} s)",
                drive.write_stops,
                drive.write_longest_wait.as_secs_f64()
            ),
        ),
        ("sync", format!("{:.1} s", drive.sync.as_secs_f64())),
        ("read", per_second(drive.read_bytes_per_second)),
    ];
    if let Some(slowest) = drive.slowest_bytes_per_second {
        rows.push(("slowest speed", per_second(slowest)));
    }
    for locate in &drive.locates {
        let way = format!(
            "{:.1} s, block {} to {}",
            locate.time.as_secs_f64(),
            locate.from_block,
            locate.to_block
        );
        rows.push(("locate", way));
    }
    let rows = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]);
    let head = format!("drive {} with {}, {}", drive.drive, drive.label_text, bytes(drive.bytes));
    format!("{head}\n{}", table(&["what", "figure"], rows))
}

fn together_text(together: &TogetherReport) -> String {
    format!(
        "disk into drive: {} chunks, {} in {:.1} s, {}\n{}\n",
        together.chunks,
        bytes(together.bytes),
        together.time.as_secs_f64(),
        per_second(together.bytes_per_second),
        feed_text(&together.feed)
    )
}
