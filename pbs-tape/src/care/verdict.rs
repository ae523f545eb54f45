//! What is to be done about a cartridge or a drive: pure functions of its history.
//!
//! | verdict | cartridge | drive |
//! |---|---|---|
//! | replace | worn out, an alert that it is faulty, or failures in two drives | an alert that it fails, or failures with two cartridges: have it serviced |
//! | watch | at four fifths of its life, failures in one drive, an alert that may be the drive's, more and more retries | failures with one cartridge, an alert about it or its surroundings, asks to be cleaned |
//! | good | else | else |
//!
//! Failures and alerts that may be somebody else's fault count for the last [`RECENT`] records, so that a drive that was mended, or
//! a cartridge that was unlucky, gets good again. Wear and what says that a cartridge itself is faulty count for ever. Nothing
//! follows from a verdict by itself: taking a cartridge out of use is an operator's decision.

use std::collections::BTreeSet;

use scsi::command::density::Density;
use scsi::command::tape_alert::{FLAGS, TapeAlerts};
use serde::{Deserialize, Serialize};

use super::limits;
use super::record::{Counters, Flags, Record};

/// How many records count as the present.
pub const RECENT: usize = 20;
/// From this part of its life on a cartridge is watched.
const WATCH_WEAR: f64 = 0.8;
/// Retries a TB are compared if so many bytes were moved before and lately.
const COMPARED_BYTES_MIN: u64 = 100_000_000_000;
/// So many times more retries than before are told ...
const RETRIES_GROWTH: f64 = 10.0;
/// ... if there were at least so many.
const RETRIES_MIN: u64 = 100;

/// Flags that say that the cartridge itself is faulty or used up: MEDIA, MEDIA_LIFE, both mechanical failures, the system area
/// twice, no start of data.
const CARTRIDGE_FAULTY: &[u8] = &[4, 7, 13, 14, 52, 53, 54];
/// Flags that may be about the cartridge: read and write trouble, not data grade, memory chip, directory, life, capacity.
const CARTRIDGE_DOUBTFUL: &[u8] = &[1, 2, 3, 5, 6, 8, 15, 18, 19, 49, 51, 59];
/// Flags that say that the drive fails: hardware, prediction, load and unload, its own system.
const DRIVE_FAULTY: &[u8] = &[30, 31, 38, 56];
/// Flags about the drive or its surroundings.
const DRIVE_DOUBTFUL: &[u8] = &[25, 26, 27, 28, 29, 32, 34, 35, 36, 37, 39, 55, 57, 58];

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing.
    #[default]
    Good,
    /// Look at it now and then.
    Watch,
    /// Take it out of use; of a drive: have it serviced.
    Replace,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Good => "good",
            Verdict::Watch => "watch",
            Verdict::Replace => "replace",
        })
    }
}

/// A verdict with its reasons in words, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Judgement {
    /// What is to be done.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
}

impl Judgement {
    fn of(mut found: Vec<(Verdict, String)>) -> Judgement {
        // Stable: in each degree the order of the rules.
        found.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
        Judgement {
            verdict: found.first().map_or(Verdict::Good, |(verdict, _)| *verdict),
            reasons: found.into_iter().map(|(_, reason)| reason).collect(),
        }
    }
}

/// Used part of the cartridge's life, by each figure that is known: 1.0 = all of it, and what was counted in words.
pub fn wear(record: &Record) -> Vec<(f64, String)> {
    let density = density_of(record);
    let mut found = Vec::new();
    if let Some(left) = record.life_remaining_percent.filter(|left| *left <= 100) {
        let used = (100 - left) as f64 / 100.0;
        found.push((used, format!("the drive says that {left} % of its life are left")));
    }
    match (record.passes.filter(|passes| *passes > 0), full_passes(record)) {
        (Some(passes), _) => found.push((
            passes as f64 / limits::PASSES as f64,
            format!("{passes} of {} passes over the heads", limits::PASSES),
        )),
        // A drive that does not count passes: they follow from the amount of data.
        (None, Some(passes)) => {
            if let Some(limit) = limits::full_passes(density) {
                let words = format!("written or read whole {passes:.0} times, made for {limit:.0}");
                found.push((passes / limit, words));
            }
        }
        (None, None) => {}
    }
    let loads = limits::loads(density);
    found.push((
        record.total.mounts as f64 / loads as f64,
        format!("loaded {} of {loads} times", record.total.mounts),
    ));
    found
}

/// How often the whole tape was written or read.
pub fn full_passes(record: &Record) -> Option<f64> {
    let capacity = record.capacity_bytes.filter(|bytes| *bytes > 0)?;
    Some(record.total.bytes() as f64 / capacity as f64)
}

/// Its format.
pub fn density_of(record: &Record) -> Density {
    Density(u8::try_from(record.density).unwrap_or(0))
}

fn flag_name(number: u8) -> &'static str {
    FLAGS.iter().find(|flag| flag.number == number).map_or("unknown", |flag| flag.name)
}

/// The flags of a list that were raised, with their names.
fn raised<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    list: &[u8],
) -> Vec<(u8, &'static str)> {
    let raised: BTreeSet<u8> =
        records.into_iter().flat_map(|record| record.raised.numbers()).collect();
    raised
        .into_iter()
        .filter(|number| list.contains(number))
        .map(|number| (number, flag_name(number)))
        .collect()
}

/// The flags of a drive that stay raised when its cartridge leaves.
pub fn about_drive(flags: Flags) -> Flags {
    let medium = [CARTRIDGE_FAULTY, CARTRIDGE_DOUBTFUL].concat();
    flags.without(Flags(medium.into_iter().fold(TapeAlerts::EMPTY, TapeAlerts::with)))
}

fn recent(records: &[Record]) -> &[Record] {
    records.get(records.len().saturating_sub(RECENT)..).unwrap_or_default()
}

/// Different partners (drives of a cartridge, cartridges of a drive) with which there were failures lately. Records that were put
/// together may not tell.
fn partners<'a>(
    records: &'a [Record],
    partner: impl Fn(&'a Record) -> Option<&'a str>,
) -> (u64, BTreeSet<&'a str>) {
    let failed = || recent(records).iter().filter(|record| record.delta.errors() > 0);
    let failures = failed().map(|record| record.delta.errors()).fold(0, u64::saturating_add);
    (failures, failed().filter_map(partner).collect())
}

/// About a cartridge, from its history.
pub fn of_cartridge(records: &[Record]) -> Judgement {
    let Some(last) = records.last() else { return Judgement::default() };
    let mut found = Vec::new();
    for (number, name) in raised(records, CARTRIDGE_FAULTY) {
        found.push((Verdict::Replace, format!("TapeAlert {number} {name} was raised with it")));
    }
    for (used, words) in wear(last) {
        if used >= 1.0 {
            found.push((Verdict::Replace, format!("worn out: {words}")));
        } else if used >= WATCH_WEAR {
            found.push((Verdict::Watch, format!("near the end of its life: {words}")));
        }
    }
    if last.cleanings_left == Some(0)
        || [22, 23].iter().any(|number| last.alerts.0.contains(*number))
    {
        found.push((Verdict::Replace, "the cleaning cartridge is used up".to_string()));
    }
    let (failures, drives) = partners(records, |record| record.drive_serial.as_deref());
    if drives.len() >= 2 {
        let words = format!("{failures} reads or writes failed, in {} drives", drives.len());
        found.push((Verdict::Replace, words));
    } else if failures > 0 {
        let words =
            format!("{failures} reads or writes failed; another drive tells whose fault it is");
        found.push((Verdict::Watch, words));
    }
    for (number, name) in raised(recent(records), CARTRIDGE_DOUBTFUL) {
        found
            .push((Verdict::Watch, format!("TapeAlert {number} {name} was raised with it lately")));
    }
    found.extend(growing_retries(records));
    Judgement::of(found)
}

/// More retries a TB than before are told.
fn growing_retries(records: &[Record]) -> Option<(Verdict, String)> {
    let lately = recent(records);
    let before = records.get(..records.len() - lately.len()).unwrap_or_default();
    let sum = |records: &[Record]| {
        records.iter().fold(Counters::default(), |sum, record| sum.plus(&record.delta))
    };
    let (before, lately) = (sum(before), sum(lately));
    if before.bytes().min(lately.bytes()) < COMPARED_BYTES_MIN || lately.retries() < RETRIES_MIN {
        return None;
    }
    let (before, lately) = (retries_per_tb(&before)?, retries_per_tb(&lately)?);
    (lately > before.max(1.0) * RETRIES_GROWTH).then(|| {
        let words = format!("{lately:.0} retries a TB lately, {before:.0} before");
        (Verdict::Watch, words)
    })
}

/// Retries for each 10¹² bytes that were moved; `None` if nothing was.
pub fn retries_per_tb(counters: &Counters) -> Option<f64> {
    let bytes = counters.bytes();
    (bytes > 0).then(|| counters.retries() as f64 * 1e12 / bytes as f64)
}

/// About a drive, from its history.
pub fn of_drive(records: &[Record]) -> Judgement {
    let Some(last) = records.last() else { return Judgement::default() };
    let mut found = Vec::new();
    for (number, name) in raised(recent(records), DRIVE_FAULTY) {
        found.push((Verdict::Replace, format!("TapeAlert {number} {name} was raised lately")));
    }
    let (failures, cartridges) = partners(records, |record| record.medium_serial.as_deref());
    if cartridges.len() >= 2 {
        let words =
            format!("{failures} reads or writes failed, with {} cartridges", cartridges.len());
        found.push((Verdict::Replace, words));
    } else if failures > 0 {
        let words =
            format!("{failures} reads or writes failed; another cartridge tells whose fault it is");
        found.push((Verdict::Watch, words));
    }
    for (number, name) in raised(recent(records), DRIVE_DOUBTFUL) {
        found.push((Verdict::Watch, format!("TapeAlert {number} {name} was raised lately")));
    }
    if last.cleaning_requested {
        found.push((Verdict::Watch, "it asks to be cleaned".to_string()));
    }
    Judgement::of(found)
}

#[cfg(test)]
mod tests;
