//! How full a datastore is, what it holds, and when it will be full.
//!
//! The numbers are the reference's: space of the file system, counts by backup type, the result of
//! the last garbage collection. The day on which the store will be full comes from a [`History`] of
//! samples that the caller keeps outside the store.
//!
//! # The history file
//!
//! One JSON object a line, oldest first: `{"time":…,"total":…,"used":…,"avail":…}`. A line is
//! appended with one write, at most one an hour; a file that grew too long is replaced in one step by
//! its younger part. Nothing depends on it: a line that cannot be read is left out, and of two
//! programs that write at once one may lose a sample.
//!
//! # The day on which it will be full
//!
//! Space is used up in steps and given back at once by each garbage collection, so a least-squares
//! line is thrown off by a single big removal. The slope here is the median of the slopes between
//! all pairs of samples (Theil and Sen), which half of the samples may contradict without moving it
//! far. From the present it is followed until nothing is available any more.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::datastore::{Datastore, OddNames};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupType, Namespace};
use crate::progress::Progress;
use crate::storage::temp_path;

/// Space of the file system that holds a store, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What is used, by whatever.
    pub used: u64,
    /// What this user may still use.
    pub avail: u64,
}

/// Asks the system for the space under a store.
pub fn space(store: &Datastore) -> Result<Space> {
    let base = store.base();
    let space = nix::sys::statvfs::statvfs(base)
        .map_err(|errno| Error::io("ask for the space of", base, errno.into()))?;
    let unit = space.fragment_size();
    Ok(Space {
        total: space.blocks().saturating_mul(unit),
        used: space.blocks().saturating_sub(space.blocks_free()).saturating_mul(unit),
        avail: space.blocks_available().saturating_mul(unit),
    })
}

/// What there is of one backup type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TypeCounts {
    /// Backup groups.
    pub groups: u64,
    /// Finished snapshots.
    pub snapshots: u64,
}

/// What a store holds, in all namespaces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Containers.
    pub ct: TypeCounts,
    /// Files of machines.
    pub host: TypeCounts,
    /// There is no other type; the reference has a place for it.
    pub other: Option<TypeCounts>,
    /// Virtual machines.
    pub vm: TypeCounts,
}

/// What [`Counts`] leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MoreCounts {
    /// Namespaces, the root among them.
    pub namespaces: u64,
    /// Snapshots without a manifest.
    pub unfinished: u64,
    /// Snapshots that must not be removed.
    pub protected: u64,
}

/// Counts what is in a store.
pub fn counts(
    store: &Datastore,
    progress: &dyn Progress,
    odd: &mut dyn OddNames,
) -> Result<(Counts, MoreCounts)> {
    let (mut counts, mut more) = (Counts::default(), MoreCounts::default());
    for namespace in store.namespaces(&Namespace::root(), None, odd)? {
        more.namespaces += 1;
        let groups = match store.groups(&namespace) {
            Err(error) if error.is_missing() => continue,
            groups => groups?,
        };
        for group in groups {
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            let of_type = match group.backup_type() {
                BackupType::Ct => &mut counts.ct,
                BackupType::Host => &mut counts.host,
                BackupType::Vm => &mut counts.vm,
            };
            of_type.groups += 1;
            for info in store.snapshots(&namespace, &group, odd)? {
                of_type.snapshots += u64::from(info.finished);
                more.unfinished += u64::from(!info.finished);
                more.protected += u64::from(info.protected);
            }
        }
    }
    Ok((counts, more))
}

/// One moment of a store's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since 1970.
    pub time: i64,
    /// The space then.
    #[serde(flatten)]
    pub space: Space,
}

/// Shortest time between two samples in seconds.
const SAMPLE_SECONDS_MIN: i64 = 3600;
/// How far back the history is looked at, in seconds.
const HISTORY_SECONDS: i64 = 30 * 24 * 3600;
/// A longer file is cut to [`HISTORY_SECONDS`]; a sample has about 100 bytes, a month 720 of them.
const HISTORY_FILE_BYTES_MAX: u64 = 200_000;
/// Length of one point of [`History::points`] in seconds.
pub const HISTORY_DELTA: i64 = 6 * 3600;
/// Points that an estimate needs, and the time that they must cover in seconds.
const POINTS_MIN: usize = 8;
const POINTS_SECONDS_MIN: i64 = 2 * 24 * 3600;

/// The samples of the last 30 days, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    samples: Vec<Sample>,
}

/// When a store will be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullDate {
    /// There are not enough samples.
    Unknown,
    /// The space in use does not grow.
    Never,
    /// Then, in seconds since 1970.
    At(i64),
}

impl History {
    /// Samples of the 30 days before `now`.
    pub fn new(mut samples: Vec<Sample>, now: i64) -> History {
        samples.retain(|s| s.time <= now && s.time > now.saturating_sub(HISTORY_SECONDS));
        samples.sort_by_key(|sample| sample.time);
        History { samples }
    }

    /// Reads a history; a missing file is an empty one.
    pub fn load(path: &Path, now: i64) -> Result<History> {
        match File::open(path) {
            Ok(mut file) => Ok(History::new(read_samples(&mut file, path)?, now)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(History::default()),
            Err(error) => Err(Error::io("open", path, error)),
        }
    }

    /// Adds a sample to the history at `path`, unless the last one is younger than an hour. The
    /// folder is made if it is missing.
    pub fn record(path: &Path, sample: &Sample) -> Result<()> {
        let failed = |action| move |error| Error::io(action, path, error);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        }
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).append(true).create(true).open(path).map_err(failed("open"))?;
        let mut samples = read_samples(&mut file, path)?;
        let last = samples.iter().map(|sample| sample.time).max();
        // A last sample in the future is a clock that was wrong.
        if last.is_some_and(|last| (0..SAMPLE_SECONDS_MIN).contains(&(sample.time - last))) {
            return Ok(());
        }
        if file.metadata().map_err(failed("look at"))?.len() > HISTORY_FILE_BYTES_MAX {
            samples.push(*sample);
            let history = History::new(samples, sample.time);
            let text: Vec<String> = history.samples.iter().map(line).collect::<Result<_>>()?;
            let temp = temp_path(path);
            let replace = || -> io::Result<()> {
                let mut file = File::create_new(&temp)?;
                file.write_all(text.concat().as_bytes())?;
                file.sync_all()?;
                std::fs::rename(&temp, path)
            };
            return replace().map_err(failed("write"));
        }
        // A line that was torn by a crash must not swallow this one.
        let mut text = line(sample)?;
        let len = file.metadata().map_err(failed("look at"))?.len();
        if len > 0 {
            let mut byte = [0];
            file.seek(SeekFrom::Start(len - 1)).map_err(failed("read"))?;
            file.read_exact(&mut byte).map_err(failed("read"))?;
            if byte != [b'\n'] {
                text.insert(0, '\n');
            }
        }
        file.write_all(text.as_bytes()).map_err(failed("write"))
    }

    /// The last sample of each stretch of [`HISTORY_DELTA`] seconds, with the first stretch's
    /// beginning; stretches without a sample are `None`.
    pub fn points(&self) -> (i64, Vec<Option<Sample>>) {
        let stretch = |time: i64| time.div_euclid(HISTORY_DELTA);
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return (0, Vec::new());
        };
        let first = stretch(first.time);
        let count = usize::try_from(stretch(last.time) - first).unwrap_or(0) + 1;
        let mut points = vec![None; count];
        for sample in &self.samples {
            let position = usize::try_from(stretch(sample.time) - first).unwrap_or(0);
            if let Some(point) = points.get_mut(position) {
                *point = Some(*sample);
            }
        }
        (first * HISTORY_DELTA, points)
    }

    /// When nothing will be available any more.
    pub fn full_date(&self, now: i64, space: &Space) -> FullDate {
        let points: Vec<Sample> = self.points().1.into_iter().flatten().collect();
        let covered = match (points.first(), points.last()) {
            (Some(first), Some(last)) => last.time - first.time,
            _ => 0,
        };
        if points.len() < POINTS_MIN || covered < POINTS_SECONDS_MIN {
            return FullDate::Unknown;
        }
        // At most 120 points, 7140 pairs.
        let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
        for (position, left) in points.iter().enumerate() {
            for right in points.iter().skip(position + 1) {
                let seconds = (right.time - left.time) as f64;
                slopes.push((right.space.used as f64 - left.space.used as f64) / seconds);
            }
        }
        let middle = slopes.len() / 2;
        let (_, slope, _) = slopes.select_nth_unstable_by(middle, f64::total_cmp);
        if *slope <= 0.0 {
            return FullDate::Never;
        }
        let left = space.avail as f64 / *slope;
        // Further off than 1000 years is not a date.
        if left > 3.2e10 { FullDate::Never } else { FullDate::At(now.saturating_add(left as i64)) }
    }
}

fn line(sample: &Sample) -> Result<String> {
    let text =
        serde_json::to_string(sample).map_err(|e| Error::damaged("sample", e.to_string()))?;
    Ok(text + "\n")
}

fn read_samples(file: &mut File, path: &Path) -> Result<Vec<Sample>> {
    let mut text = Vec::new();
    // Whatever came to lie there, only so much is read.
    let limit = HISTORY_FILE_BYTES_MAX * 4;
    let mut reader = Read::by_ref(file).take(limit);
    reader.read_to_end(&mut text).map_err(|e| Error::io("read", path, e))?;
    let lines = text.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(test)]
mod tests;
