//! `capstan tape media statistics`: what cartridges went through, and which of them are due to be replaced.

use anyhow::Result;
use clap::Args;
use pbs_tape::care::statistics::{MediaStatistics, media};

use crate::cli::Outcome;
use crate::cli::tape::care::{alerts_text, periods_text, rate, time, verdict_text};
use crate::cli::tape::station;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};

/// Show what cartridges went through: loads, bytes, wear, errors, alerts, and a verdict
///
/// It is what drives said whenever a job was done with them or the cartridge left; no drive is asked now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape media statistics\n  \
                        capstan tape media statistics CAP001L8")]
pub struct StatisticsArgs {
    /// Label text, UUID or serial number of the cartridge [default: a line for each]
    tape: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &StatisticsArgs) -> Result<Outcome> {
    let found = media(&station::state(places)?, args.tape.as_deref())?;
    match (&args.tape, found.as_slice()) {
        (Some(_), [one]) => args.output.print(one, whole)?,
        _ => args.output.print(&found, |found| summary(found))?,
    }
    Ok(Outcome::Complete)
}

fn summary(found: &[MediaStatistics]) -> String {
    if found.is_empty() {
        return "nothing is recorded yet".to_owned();
    }
    let rows = found.iter().map(|one| {
        vec![
            one.label_text.clone().unwrap_or_default(),
            one.format.clone(),
            one.total.mounts.to_string(),
            bytes(one.total.bytes_written),
            bytes(one.total.bytes_read),
            format!("{:.0}%", one.wear * 100.0),
            rate(one.story.retries_per_tb),
            one.total.errors().to_string(),
            time(one.story.last_seen),
            one.verdict.to_string(),
            one.reasons.first().cloned().unwrap_or_default(),
        ]
    });
    let header = [
        "label-text",
        "format",
        "loads",
        "written",
        "read",
        "wear",
        "retries/TB",
        "errors",
        "last seen",
        "verdict",
        "reason",
    ];
    table(&header, rows)
}

fn whole(one: &MediaStatistics) -> String {
    let label = one.label_text.as_deref().or(one.medium_serial.as_deref()).unwrap_or("unknown");
    let mut text = format!("cartridge {label} ({}", one.format);
    if one.worm {
        text.push_str(", written once only");
    }
    if let Some(serial) = &one.medium_serial {
        text.push_str(&format!(", serial number {serial}"));
    }
    text.push_str(")\n");
    text.push_str(&verdict_text(one.verdict, &one.reasons));
    text.push_str(&format!("loads: {} of {}\n", one.total.mounts, one.mounts_limit));
    text.push_str(&format!(
        "written: {}, read: {}\n",
        bytes(one.total.bytes_written),
        bytes(one.total.bytes_read)
    ));
    if let (Some(done), Some(limit)) = (one.full_passes, one.full_passes_limit) {
        text.push_str(&format!("written or read whole: {done:.1} times of {limit:.0}\n"));
    }
    if let Some(passes) = one.passes {
        text.push_str(&format!("passes over the heads: {passes} of {}\n", one.passes_limit));
    }
    if let Some(left) = one.life_remaining_percent {
        text.push_str(&format!("left of its life, says the drive: {left}%\n"));
    }
    if let Some(left) = one.cleanings_left {
        text.push_str(&format!("cleanings left: {left}\n"));
    }
    if let (Some(used), Some(capacity)) = (one.bytes_used, one.capacity_bytes) {
        text.push_str(&format!("in use: {} of {}\n", bytes(used), bytes(capacity)));
    }
    text.push_str(&format!(
        "retries: {} writing, {} reading; failed: {} writing, {} reading\n",
        one.total.write_retries,
        one.total.read_retries,
        one.total.write_errors,
        one.total.read_errors
    ));
    if let Some(drive) = &one.story.last_with {
        text.push_str(&format!("last seen {} in drive {drive}\n", time(one.story.last_seen)));
    }
    text.push_str(&periods_text(&one.story));
    text.push_str(&alerts_text(&one.story, "drive", |raised| raised.drive.clone()));
    text
}
