//! `capstan tape extract`

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use pbs_tape::extract::{
    ExtractOptions, ExtractPlan, ExtractReport, ExtractTarget, Extraction, Wanted,
};
use pbs_tape::loader::MediaWait;

use super::pool;
use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::cli::file_options::FileOptionsArgs;
use crate::config::{Places, Tape};
use crate::keys;
use crate::output::{OutputArgs, OutputFormat, bytes, table};
use crate::progress::Bar;

const GIB: u64 = 1 << 30;

const AFTER_HELP: &str = "\
ARCHIVE is the name given at backup. A PATTERN is a path from the root of the archive, which finds its way fastest, or a glob;
the last match decides, '!' leaves out again. DIR gets the files; - writes a tar stream (an image: its bytes) to the standard output.

Examples:
  capstan tape extract main:host/elsa/2024-05-01T10:00:00Z root.pxar /etc/fstab --to /tmp/found
  capstan tape extract main:host/elsa/2024-05-01T10:00:00Z root.pxar '*.conf' --to - | tar tv
  capstan tape extract main:vm/100/2024-05-01T10:00:00Z disk.img --range 0:1048576 --to - | xxd | head
  capstan tape extract main:host/elsa/2024-05-01T10:00:00Z root.pxar /home --to /tmp/found --dry-run";

/// Extract files of a snapshot straight from its cartridges, without a datastore
///
/// Only cartridges that hold something of them are loaded, and of these little more is read than what is wanted. What can't be
/// read is named, and the rest is extracted.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ExtractArgs {
    /// Snapshot: store:[ns/a/ns/b/]type/id/time
    snapshot: String,
    /// Archive in it
    archive: String,
    /// What of it [default: everything]
    #[arg(value_name = "PATTERN")]
    patterns: Vec<String>,
    /// Folder, or - for the standard output
    #[arg(long, value_name = "DIR|-")]
    to: String,
    /// Of an image only the bytes FROM to TO, TO not included
    #[arg(long, value_name = "FROM:TO", value_parser = parse_range)]
    range: Option<Range<u64>>,
    #[command(flatten)]
    drive: DriveArg,
    /// Key that the snapshot was made with [default: the default key, if it is that one]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// Print which cartridges are needed for what, and extract nothing; reads what tells it
    #[arg(long)]
    dry_run: bool,
    /// Wait for a cartridge that has to be brought, instead of going on without it
    #[arg(long)]
    wait: bool,
    /// Folder for the chunks between cartridge and target [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// Most GiB of chunks in it
    #[arg(long, value_name = "GIB", default_value_t = 16)]
    spool_gib: u64,
    #[command(flatten)]
    files: FileOptionsArgs,
    #[command(flatten)]
    output: OutputArgs,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let parsed =
        text.split_once(':').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    match parsed {
        Some((from, to)) if from <= to => Ok(from..to),
        _ => Err("write FROM:TO, two numbers of bytes, the first not above the second".into()),
    }
}

pub fn run(places: &Places, args: &ExtractArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let to_stream = args.to == "-";
    if to_stream && !args.dry_run && args.output.output_format != OutputFormat::Text {
        bail!("the standard output can't take the files and a report; give --to a folder");
    }
    let bar = Arc::new(Bar::bytes("tape extract"));
    let options = ExtractOptions {
        wait: if args.wait { MediaWait::FOREVER } else { MediaWait::NONE },
        spool_folder: args.spool.clone().unwrap_or_else(std::env::temp_dir),
        spool_bytes_max: args.spool_gib.saturating_mul(GIB),
    };
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let pools = pool::all(&tape)?;
    let mut extraction =
        Extraction::open(&state, &mut station, &pools, &args.snapshot, &options, &*bar)
            .with_context(|| format!("cannot read snapshot {} from tape", args.snapshot))?;
    let what = format!("snapshot {}", args.snapshot);
    let wanted = Wanted {
        archive: args.archive.clone(),
        patterns: args.patterns.clone(),
        range: args.range.clone(),
        key: keys::for_snapshot(places, args.keyfile.as_deref(), extraction.manifest(), &what)?,
    };
    let failed = || format!("cannot extract {} of {}", args.archive, args.snapshot);
    if args.dry_run {
        let plan = extraction.plan(&wanted).with_context(failed)?;
        args.output.print(&plan, plan_text)?;
        return Ok(if plan.lost.is_empty() { Outcome::Complete } else { Outcome::Incomplete });
    }
    let path = PathBuf::from(&args.to);
    let mut stdout = std::io::stdout().lock();
    // What cannot be restored is named, and the rest comes.
    let options = pxar::extract::Options {
        on_error: pxar::extract::OnError::Continue,
        ..args.files.options()
    };
    let target = if to_stream {
        ExtractTarget::Stream(&mut stdout)
    } else {
        ExtractTarget::Folder { path: &path, options }
    };
    let report = extraction.run(&wanted, target).with_context(failed)?;
    drop(stdout);
    if !to_stream && args.output.output_format != OutputFormat::Text {
        args.output.print(&report, |_| String::new())?;
    } else {
        tell(&bar, &report);
    }
    Ok(if report.lost.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn tell(bar: &Bar, report: &ExtractReport) {
    let tapes: Vec<String> = report
        .tapes
        .iter()
        .map(|tape| format!("{} from {}", bytes(tape.bytes_read), tape.label_text))
        .collect();
    bar.line(&format!(
        "{} {}: {} entries, {} extracted; read {} in {:.1} s",
        report.snapshot,
        report.archive,
        report.entries,
        bytes(report.content_bytes),
        tapes.join(", "),
        report.duration.as_secs_f64(),
    ));
    if !report.lost.is_empty() {
        bar.warn(&format!("{} could not be extracted; see above", report.lost.len()));
    }
}

fn plan_text(plan: &ExtractPlan) -> String {
    let rows = plan.tapes.iter().map(|tape| {
        vec![
            tape.label_text.clone(),
            tape.location.clone(),
            tape.chunks.to_string(),
            tape.archives.to_string(),
        ]
    });
    let listed = table(&["label-text", "location", "chunks", "archives"], rows);
    let lost: String = plan
        .lost
        .iter()
        .map(|lost| format!("not to be had: {}: {}\n", lost.path, lost.reason))
        .collect();
    format!(
        "{listed}{lost}{} entries, {} of content in at most {} of chunks\n",
        plan.entries,
        bytes(plan.content_bytes),
        bytes(plan.chunk_bytes),
    )
}
