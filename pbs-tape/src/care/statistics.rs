//! What the histories say, for operators and programs: a line for each cartridge or drive, or all of one.
//!
//! No drive is asked. The verdict is made anew from the history, so that it is that of this program's rules and not of the one that
//! wrote the last record.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use scsi::command::device_statistics::DeviceStatistics;
use serde::Serialize;
use uuid::Uuid;

use super::history::History;
use super::limits;
use super::record::{Counters, Event, Record};
use super::verdict::{self, Judgement, Verdict};
use crate::error::{Error, Result};
use crate::media::StateDir;
use crate::operations::alerts::{Alert, alert};

/// What a cartridge went through.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MediaStatistics {
    /// Text of its label, or its bar code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// Media UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium_serial: Option<String>,
    /// Its format, as `LTO8`.
    pub format: String,
    /// It is written once only.
    pub worm: bool,
    /// What is to be done about it.
    pub verdict: Verdict,
    /// Why, the worst first.
    pub reasons: Vec<String>,
    /// Its life.
    #[serde(flatten)]
    pub total: Counters,
    /// How often the whole tape was written or read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_passes: Option<f64>,
    /// How often that may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_passes_limit: Option<f64>,
    /// Passes of the tape over the heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<u64>,
    /// How many it is made for.
    pub passes_limit: u64,
    /// How many loads it is made for.
    pub mounts_limit: u64,
    /// Used part of its life by the worst of all figures, 1.0 = all of it.
    pub wear: f64,
    /// What the drive thinks is left, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life_remaining_percent: Option<u64>,
    /// Bytes recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
    /// Bytes that fit without compression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    /// Of a cleaning cartridge: how often it can be used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanings_left: Option<u64>,
    /// What both kinds of history have.
    #[serde(flatten)]
    pub story: Story,
}

/// What a drive went through.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriveStatistics {
    /// Its configured name when it was used last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive_serial: Option<String>,
    /// What is to be done about it.
    pub verdict: Verdict,
    /// Why, the worst first.
    pub reasons: Vec<String>,
    /// It asks to be cleaned.
    pub cleaning_requested: bool,
    /// What was done with it since its history began.
    #[serde(flatten)]
    pub recorded: Counters,
    /// Its life, as it says itself.
    #[serde(flatten)]
    pub device: DeviceStatistics,
    /// When it was cleaned last, as far as recorded, seconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_cleaned: Option<i64>,
    /// What both kinds of history have.
    #[serde(flatten)]
    pub story: Story,
}

/// A history in words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Story {
    /// Retries for each 10¹² bytes moved, over all that was recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries_per_tb: Option<f64>,
    /// When the history begins, seconds since the epoch.
    pub first_seen: i64,
    /// When it was added to last.
    pub last_seen: i64,
    /// Configured name of the drive, or label of the cartridge, of the last record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_with: Option<String>,
    /// Month by month.
    pub periods: Vec<Period>,
    /// What was raised when, the latest first.
    pub alerts: Vec<AlertRaised>,
    /// Records that can't be read.
    pub damaged_records: usize,
}

/// What came in one month.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Period {
    /// The month in UTC, as `2026-11`.
    pub month: String,
    /// What was counted.
    #[serde(flatten)]
    pub counted: Counters,
    /// Retries for each 10¹² bytes moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries_per_tb: Option<f64>,
}

/// A TapeAlert flag that was raised.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct AlertRaised {
    /// When that was recorded, seconds since the epoch.
    pub time: i64,
    /// Configured name of the drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
    /// Label of the cartridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// The flag.
    #[serde(flatten)]
    pub alert: Alert,
}

/// All cartridges that have a history, by label; with `which`, the one with that label text, UUID or serial number.
///
/// # Errors
///
/// [`Error::NoStatistics`] if there is none of it.
pub fn media(state: &StateDir, which: Option<&str>) -> Result<Vec<MediaStatistics>> {
    let mut found: Vec<MediaStatistics> =
        histories(&state.care_media_folder())?.iter().filter_map(of_cartridge).collect();
    if let Some(which) = which {
        let uuid: Option<Uuid> = which.parse().ok();
        found.retain(|one| {
            one.label_text.as_deref() == Some(which)
                || one.medium_serial.as_deref() == Some(which)
                || uuid.is_some() && one.uuid == uuid
        });
        if found.is_empty() {
            return Err(Error::NoStatistics { what: "tape", name: which.to_string() });
        }
    }
    found.sort_by(|a, b| (&a.label_text, &a.medium_serial).cmp(&(&b.label_text, &b.medium_serial)));
    Ok(found)
}

/// All drives that have a history, by name; with `which`, the one with that configured name or serial number.
///
/// # Errors
///
/// [`Error::NoStatistics`] if there is none of it.
pub fn drives(state: &StateDir, which: Option<&str>) -> Result<Vec<DriveStatistics>> {
    let mut found: Vec<DriveStatistics> =
        histories(&state.care_drive_folder())?.iter().filter_map(of_drive).collect();
    if let Some(which) = which {
        found.retain(|one| {
            one.drive.as_deref() == Some(which) || one.drive_serial.as_deref() == Some(which)
        });
        if found.is_empty() {
            return Err(Error::NoStatistics { what: "drive", name: which.to_string() });
        }
    }
    found.sort_by(|a, b| (&a.drive, &a.drive_serial).cmp(&(&b.drive, &b.drive_serial)));
    Ok(found)
}

fn histories(folder: &Path) -> Result<Vec<History>> {
    let files = match std::fs::read_dir(folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io(folder, error)),
    };
    let is_history = |path: &Path| path.extension().is_some_and(|end| end == "care");
    let paths = files.flatten().map(|file| file.path()).filter(|path| is_history(path));
    paths.map(|path| History::load(&path)).collect()
}

fn of_cartridge(history: &History) -> Option<MediaStatistics> {
    let last = history.records.last()?;
    let Judgement { verdict, reasons } = verdict::of_cartridge(&history.records);
    let density = verdict::density_of(last);
    Some(MediaStatistics {
        label_text: last.label_text.clone(),
        uuid: last.uuid,
        medium_serial: last.medium_serial.clone(),
        format: density.to_string(),
        worm: last.worm,
        verdict,
        reasons,
        total: last.total,
        full_passes: verdict::full_passes(last),
        full_passes_limit: limits::full_passes(density),
        passes: last.passes,
        passes_limit: limits::PASSES,
        mounts_limit: limits::loads(density),
        wear: verdict::wear(last).into_iter().map(|(used, _)| used).fold(0.0, f64::max),
        life_remaining_percent: last.life_remaining_percent,
        bytes_used: last.bytes_used,
        capacity_bytes: last.capacity_bytes,
        cleanings_left: last.cleanings_left,
        story: story(history, |record| record.drive.clone())?,
    })
}

fn of_drive(history: &History) -> Option<DriveStatistics> {
    let last = history.records.last()?;
    let Judgement { verdict, reasons } = verdict::of_drive(&history.records);
    let cleaned = history.records.iter().rev().find(|record| record.event == Event::Cleaning);
    Some(DriveStatistics {
        drive: last.drive.clone(),
        drive_serial: last.drive_serial.clone(),
        verdict,
        reasons,
        cleaning_requested: last.cleaning_requested,
        recorded: sum(&history.records),
        device: last.device,
        last_cleaned: cleaned.map(|record| record.time),
        story: story(history, |record| record.label_text.clone())?,
    })
}

fn sum<'a>(records: impl IntoIterator<Item = &'a Record>) -> Counters {
    records.into_iter().fold(Counters::default(), |sum, record| sum.plus(&record.delta))
}

fn story(history: &History, partner: impl Fn(&Record) -> Option<String>) -> Option<Story> {
    let (first, last) = (history.records.first()?, history.records.last()?);
    let mut months: BTreeMap<String, Vec<&Record>> = BTreeMap::new();
    for record in &history.records {
        months.entry(month(record.time)).or_default().push(record);
    }
    let periods = months.into_iter().map(|(month, records)| {
        let counted = sum(records);
        Period { month, counted, retries_per_tb: verdict::retries_per_tb(&counted) }
    });
    let alerts = history.records.iter().rev().flat_map(|record| {
        record.raised.numbers().map(|number| AlertRaised {
            time: record.time,
            drive: record.drive.clone(),
            label_text: record.label_text.clone(),
            alert: alert(number),
        })
    });
    Some(Story {
        retries_per_tb: verdict::retries_per_tb(&sum(&history.records)),
        first_seen: first.since,
        last_seen: last.time,
        last_with: partner(last),
        periods: periods.collect(),
        alerts: alerts.collect(),
        damaged_records: history.damaged,
    })
}

/// The month of a moment in UTC, as `2026-11`.
fn month(time: i64) -> String {
    match Timestamp::from_second(time) {
        Ok(time) => time.to_zoned(TimeZone::UTC).strftime("%Y-%m").to_string(),
        Err(_) => "unknown".to_string(),
    }
}
