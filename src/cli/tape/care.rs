//! `capstan tape drive statistics`, and the texts that it shares with `tape media statistics`.

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use pbs_tape::care::Verdict;
use pbs_tape::care::statistics::{AlertRaised, DriveStatistics, Story, drives};

use super::station;
use crate::cli::Outcome;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};

/// Show what drives went through: hours, bytes, errors, cleanings, alerts, and a verdict
///
/// It is what they said whenever a job was done with them; no drive is asked now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape drive statistics\n  \
                        capstan tape drive statistics lto0")]
pub struct DriveStatisticsArgs {
    /// Configured name or serial number of the drive [default: a line for each]
    drive: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn drive_statistics(places: &Places, args: &DriveStatisticsArgs) -> Result<Outcome> {
    let found = drives(&station::state(places)?, args.drive.as_deref())?;
    match (&args.drive, found.as_slice()) {
        (Some(_), [one]) => args.output.print(one, whole)?,
        _ => args.output.print(&found, |found| summary(found))?,
    }
    Ok(Outcome::Complete)
}

fn count(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn summary(found: &[DriveStatistics]) -> String {
    if found.is_empty() {
        return "nothing is recorded yet".to_owned();
    }
    let rows = found.iter().map(|one| {
        vec![
            one.drive.clone().unwrap_or_default(),
            one.drive_serial.clone().unwrap_or_default(),
            count(one.device.power_on_hours),
            count(one.device.loads),
            count(one.device.cleanings),
            bytes(one.recorded.bytes_written),
            bytes(one.recorded.bytes_read),
            rate(one.story.retries_per_tb),
            one.recorded.errors().to_string(),
            one.verdict.to_string(),
            one.reasons.first().cloned().unwrap_or_default(),
        ]
    });
    let header = [
        "drive",
        "serial",
        "hours",
        "loads",
        "cleanings",
        "written",
        "read",
        "retries/TB",
        "errors",
        "verdict",
        "reason",
    ];
    table(&header, rows)
}

fn whole(one: &DriveStatistics) -> String {
    let name = one.drive.as_deref().or(one.drive_serial.as_deref()).unwrap_or("unknown");
    let mut text = format!("drive {name}");
    if let Some(serial) = &one.drive_serial {
        text.push_str(&format!(" (serial number {serial})"));
    }
    text.push('\n');
    text.push_str(&verdict_text(one.verdict, &one.reasons));
    let device = &one.device;
    for (what, number) in [
        ("hours switched on", device.power_on_hours),
        ("hours in motion", device.motion_hours),
        ("hours in motion since it was cleaned", device.motion_hours_since_cleaning),
        ("loads", device.loads),
        ("cleanings", device.cleanings),
        ("times switched on", device.power_cycles),
        ("writes that failed", device.hard_write_errors),
        ("reads that failed", device.hard_read_errors),
    ] {
        if let Some(number) = number {
            text.push_str(&format!("{what}: {number}\n"));
        }
    }
    if let Some(cleaned) = one.last_cleaned {
        text.push_str(&format!("cleaned last: {}\n", time(cleaned)));
    }
    text.push_str(&format!(
        "recorded since {}: {} written, {} read, {} retries, {} failures\n",
        time(one.story.first_seen),
        bytes(one.recorded.bytes_written),
        bytes(one.recorded.bytes_read),
        one.recorded.retries(),
        one.recorded.errors(),
    ));
    text.push_str(&periods_text(&one.story));
    text.push_str(&alerts_text(&one.story, "cartridge", |raised| raised.label_text.clone()));
    text
}

/// A verdict with all its reasons.
pub fn verdict_text(verdict: Verdict, reasons: &[String]) -> String {
    let mut text = format!("verdict: {verdict}\n");
    for reason in reasons {
        text.push_str(&format!("  {reason}\n"));
    }
    text
}

/// Retries a TB.
pub fn rate(retries_per_tb: Option<f64>) -> String {
    retries_per_tb.map(|rate| format!("{rate:.0}")).unwrap_or_default()
}

/// Local time to the minute.
pub fn time(moment: i64) -> String {
    match Timestamp::from_second(moment) {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => moment.to_string(),
    }
}

/// Errors month by month.
pub fn periods_text(story: &Story) -> String {
    let rows = story.periods.iter().map(|period| {
        vec![
            period.month.clone(),
            period.counted.mounts.to_string(),
            bytes(period.counted.bytes_written),
            bytes(period.counted.bytes_read),
            rate(period.retries_per_tb),
            period.counted.errors().to_string(),
        ]
    });
    let header = ["month", "loads", "written", "read", "retries/TB", "errors"];
    let mut text = format!("\n{}", table(&header, rows));
    if story.damaged_records > 0 {
        text.push_str(&format!("{} records can't be read\n", story.damaged_records));
    }
    text
}

/// The flags that were raised, with what to do.
pub fn alerts_text(
    story: &Story,
    with: &str,
    partner: impl Fn(&AlertRaised) -> Option<String>,
) -> String {
    if story.alerts.is_empty() {
        return "\nno TapeAlert flag was raised\n".to_owned();
    }
    let rows = story.alerts.iter().map(|raised| {
        vec![
            time(raised.time),
            raised.alert.number.to_string(),
            raised.alert.name.clone(),
            partner(raised).unwrap_or_default(),
            raised.alert.meaning.clone(),
            raised.alert.action.clone(),
        ]
    });
    format!("\n{}", table(&["time", "flag", "name", with, "meaning", "what to do"], rows))
}
