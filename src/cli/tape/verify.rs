//! `capstan tape verify`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use pbs_tape::loader::MediaWait;
use pbs_tape::verify::{
    Choice, Sample, SnapshotState, VerifiedSnapshot, VerifyHistory, VerifyOptions, VerifyPlan,
    VerifyReport, VerifyScope, choose, run_verify,
};

use super::pool;
use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::cli::verification::keys_at_hand;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, OutputFormat, bytes, table};
use crate::progress::{Bar, say};

/// Read cartridges and check that nothing on them is missing or damaged
///
/// Every block, chunk, manifest, signature, index and catalog is checked, and nothing is written. What is damaged is told
/// with the snapshots that it costs something. Encrypted chunks are proved with the keys given or the default key, and
/// without one as far as their checksum.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape verify 9da37a55-aac7-4deb-91c6-482b3b675f30 --drive lto0\n  \
    capstan tape verify CAP001L8 --keyfile key.json\n  \
    capstan tape verify 9da37a55-… --sample 5% --outdated-after 90\n  \
    capstan tape verify archive:host/elsa/2024-05-01T10:00:00Z --dry-run")]
pub struct VerifyArgs {
    /// A media set (UUID or name), a cartridge (label text or UUID), or a snapshot (store:[ns/a/ns/b/]type/id/time)
    #[arg(value_name = "SET|SNAPSHOT|TAPE")]
    what: String,
    #[command(flatten)]
    drive: DriveArg,
    /// A key that proves the content of what was encrypted with it; may be repeated [default: the default key, if it
    /// opens without a question]
    #[arg(long, value_name = "FILE")]
    keyfile: Vec<PathBuf>,
    /// Verify only some snapshots of the set or cartridge: so many, or so many of a hundred; those first that were not
    /// verified for longest. The result is recorded
    #[arg(long, value_name = "N|PERCENT%")]
    sample: Option<Sample>,
    /// Verify only snapshots that were not verified in the last so many days. The result is recorded
    #[arg(long, value_name = "DAYS")]
    outdated_after: Option<u32>,
    /// Record the result for later runs with --sample or --outdated-after
    #[arg(long)]
    record: bool,
    /// Print which cartridges are needed and how much is on them, and read nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait for a cartridge that has to be brought, instead of going on without it
    #[arg(long)]
    wait: bool,
    /// Threads that check chunks [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &VerifyArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let mut scope = VerifyScope::find(&state, &pool::all(&tape)?, &args.what)?;
    let choice = Choice { sample: args.sample, outdated_after_days: args.outdated_after };
    let is_choice = choice != Choice::default();
    if is_choice {
        match choose(&state, &scope, choice, datastore::time::now())? {
            Some(chosen) => scope = chosen,
            None => {
                say(&format!("nothing of {} is due for verification", args.what));
                return Ok(Outcome::Complete);
            }
        }
    }
    if args.dry_run {
        args.output.print(&scope.plan(&state)?, plan_text)?;
        return Ok(Outcome::Complete);
    }
    let bar = Arc::new(Bar::bytes("tape verify"));
    let options = VerifyOptions {
        scope,
        keys: keys_at_hand(places, &args.keyfile, &bar)?,
        threads: crate::cli::threads(args.threads),
        wait: if args.wait { MediaWait::FOREVER } else { MediaWait::NONE },
    };
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let report = run_verify(&state, &mut station, &options, &*bar)
        .with_context(|| format!("the verification of {} ended early", args.what))?;
    if is_choice || args.record {
        VerifyHistory::record(&state, &report, datastore::time::now())?;
    }
    if args.output.output_format == OutputFormat::Text {
        tell(&bar, &report);
    }
    args.output.print(&report, |report| snapshots_text(&report.snapshots))?;
    // Damage is a failure of the command, like on disk; something that was not seen is not.
    match report.into_result() {
        Ok(_) => Ok(Outcome::Complete),
        Err(error) if error.is_damaged() => Err(error.into()),
        Err(error) => {
            bar.warn(&error.to_string());
            Ok(Outcome::Incomplete)
        }
    }
}

fn plan_text(plan: &VerifyPlan) -> String {
    let rows = plan.tapes.iter().map(|tape| {
        vec![
            tape.label_text.clone(),
            tape.seq_nr.to_string(),
            tape.location.clone(),
            tape.bytes_used.map_or("unknown".to_owned(), bytes),
        ]
    });
    let listed = table(&["label-text", "seq-nr", "location", "on it"], rows);
    let upto = if plan.snapshots.is_empty() { "" } else { "at most " };
    format!("{listed}{upto}{} to read from media set {}\n", bytes(plan.bytes), plan.media_set_uuid)
}

/// What a program gets with the report.
fn tell(bar: &Bar, report: &VerifyReport) {
    for damage in &report.damage {
        let costs = match damage.snapshots.as_slice() {
            [] => "no snapshot needs it".to_owned(),
            names => format!("damaged with it: {}", names.join(", ")),
        };
        bar.line(&format!("damage: {damage}; {costs}"));
    }
    for difference in &report.differences {
        bar.line(&format!("difference: {difference}"));
    }
    let chunks = &report.chunks;
    let tapes: Vec<&str> = report.tapes.iter().map(|tape| tape.label_text.as_str()).collect();
    bar.line(&format!(
        "{} from {} in {:.1} s; chunks: {} proved by digest, {} by digest with a key, {} by checksum only, {} damaged",
        bytes(report.bytes),
        tapes.join(" "),
        report.duration.as_secs_f64(),
        chunks.digest,
        chunks.digest_with_key,
        chunks.crc_only,
        chunks.damaged,
    ));
}

fn snapshots_text(snapshots: &[VerifiedSnapshot]) -> String {
    let rows = snapshots.iter().map(|one| {
        let state = match (one.state, one.error_count) {
            (SnapshotState::Ok, _) if one.chunks_elsewhere > 0 => {
                format!("ok here, {} chunks on other cartridges", one.chunks_elsewhere)
            }
            (SnapshotState::Ok, _) => "ok".to_owned(),
            (SnapshotState::Damaged, 1) => "damaged: 1 error".to_owned(),
            (SnapshotState::Damaged, count) => format!("damaged: {count} errors"),
            (SnapshotState::Unknown, _) => {
                format!("unknown: {} chunks not read", one.chunks_unread)
            }
        };
        vec![one.snapshot.clone(), format!("{} file {}", one.tape, one.file), state]
    });
    table(&["snapshot", "archive", "result"], rows)
}
