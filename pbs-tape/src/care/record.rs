//! One record of a history: what was counted since the one before, and in all.
//!
//! A line of text: CRC-32 (IEEE) of the JSON that follows as eight hexadecimal digits, a blank, the JSON, a newline. Fields and
//! their units are in `docs/formats/care-history.md`. What is absent was not told, or is 0. Unknown fields are passed over, so that
//! a later program may add some.
//!
//! Decoding is total: a line that is cut, changed in any bit or made by somebody else is refused as a whole, because a wrong number
//! is worse than none.

use scsi::command::device_statistics::DeviceStatistics;
use scsi::command::error_counters::ErrorCounters;
use scsi::command::tape_alert::TapeAlerts;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::verdict::Verdict;
use crate::error::{Error, Result};

/// Longest line that is written or believed, in bytes with its newline.
pub const LINE_BYTES_MAX: usize = 8192;
/// Longest text in a record, in characters. What is longer is cut.
pub const TEXT_CHARS_MAX: usize = 64;
const CRC_DIGITS: usize = 8;

/// When a record was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A job let go of the drive, and the cartridge stayed in it.
    #[default]
    JobEnd,
    /// The cartridge left the drive.
    Leave,
    /// The drive was cleaned.
    Cleaning,
}

/// TapeAlert flags; a list of their numbers in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub TapeAlerts);

impl Flags {
    /// Numbers of the flags, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u8> {
        (1..=64).filter(move |number| self.0.contains(*number))
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that are not in `before`.
    #[must_use]
    pub fn without(self, before: Flags) -> Flags {
        Flags(TapeAlerts::from_bits(self.0.bits() & !before.0.bits()))
    }

    /// Those of both.
    #[must_use]
    pub fn union(self, other: Flags) -> Flags {
        Flags(self.0.union(other.0))
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.numbers())
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Flags, D::Error> {
        let numbers = Vec::<u8>::deserialize(deserializer)?;
        Ok(Flags(numbers.into_iter().fold(TapeAlerts::EMPTY, TapeAlerts::with)))
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What a cartridge went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Counters {
    /// Times that it was loaded.
    #[serde(skip_serializing_if = "is_zero")]
    pub mounts: u64,
    /// Bytes written.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_written: u64,
    /// Bytes read.
    #[serde(skip_serializing_if = "is_zero")]
    pub bytes_read: u64,
    /// Writes that succeeded only after another try.
    #[serde(skip_serializing_if = "is_zero")]
    pub write_retries: u64,
    /// Writes that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub write_errors: u64,
    /// Reads that succeeded only after another try.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_retries: u64,
    /// Reads that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub read_errors: u64,
}

impl Counters {
    /// What came since `before`; a counter that began anew counts as 0.
    #[must_use]
    pub fn since(&self, before: &Counters) -> Counters {
        self.with(before, u64::saturating_sub)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Counters) -> Counters {
        self.with(other, u64::saturating_add)
    }

    /// The smaller of each.
    #[must_use]
    pub fn at_most(&self, other: &Counters) -> Counters {
        self.with(other, u64::min)
    }

    fn with(&self, other: &Counters, both: impl Fn(u64, u64) -> u64) -> Counters {
        Counters {
            mounts: both(self.mounts, other.mounts),
            bytes_written: both(self.bytes_written, other.bytes_written),
            bytes_read: both(self.bytes_read, other.bytes_read),
            write_retries: both(self.write_retries, other.write_retries),
            write_errors: both(self.write_errors, other.write_errors),
            read_retries: both(self.read_retries, other.read_retries),
            read_errors: both(self.read_errors, other.read_errors),
        }
    }

    /// Bytes that went over the heads.
    pub fn bytes(&self) -> u64 {
        self.bytes_written.saturating_add(self.bytes_read)
    }

    /// Reads and writes that needed another try.
    pub fn retries(&self) -> u64 {
        self.write_retries.saturating_add(self.read_retries)
    }

    /// Reads and writes that failed.
    pub fn errors(&self) -> u64 {
        self.write_errors.saturating_add(self.read_errors)
    }
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Record {
    /// Time of the record before, seconds since the epoch: `delta` is what came since.
    pub since: i64,
    /// When it was made, seconds since the epoch.
    pub time: i64,
    /// How many more records were put together in this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub merged: u64,
    /// On what occasion.
    pub event: Event,
    /// Configured name of the drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
    /// Serial number of the drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive_serial: Option<String>,
    /// Media UUID in the label, as far as the job read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Text of the label, or else the bar code in the cartridge's memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_text: Option<String>,
    /// Serial number of the cartridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium_serial: Option<String>,
    /// Density code of its format, 0 = unknown.
    #[serde(skip_serializing_if = "is_zero")]
    pub density: u64,
    /// It is written once only.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub worm: bool,
    /// TapeAlert flags that are raised in the drive.
    #[serde(skip_serializing_if = "Flags::is_empty")]
    pub alerts: Flags,
    /// Those that were not raised at the drive's record before.
    #[serde(skip_serializing_if = "Flags::is_empty")]
    pub raised: Flags,
    /// The drive asks to be cleaned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cleaning_requested: bool,
    /// What the drive was doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity: Option<String>,
    /// The cartridge's life.
    pub total: Counters,
    /// What of it came since the record before.
    pub delta: Counters,
    /// Passes of the tape over the heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passes: Option<u64>,
    /// What the drive thinks is left of the cartridge's life, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub life_remaining_percent: Option<u64>,
    /// Bytes recorded on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
    /// Bytes that fit on it without compression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_bytes: Option<u64>,
    /// Of a cleaning cartridge: how often it can be used again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanings_left: Option<u64>,
    /// The drive's life.
    pub device: DeviceStatistics,
    /// The drive's errors of writing since it began to count.
    pub writing: ErrorCounters,
    /// The drive's errors of reading since it began to count.
    pub reading: ErrorCounters,
    /// What was thought of the cartridge (in a drive's history: of the drive) with this record.
    pub verdict: Verdict,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Cuts a text to what a record takes.
pub fn clip(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}

impl Record {
    /// The line.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let malformed = |reason: String| Error::malformed("care record", reason);
        let json = serde_json::to_vec(self).map_err(|e| malformed(e.to_string()))?;
        let mut line = format!("{:08x} ", crc32fast::hash(&json)).into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        if line.len() > LINE_BYTES_MAX {
            return Err(malformed(format!("{} bytes are too long", line.len())));
        }
        Ok(line)
    }

    /// From a line without its newline; `None` for one that is not as it was written.
    pub fn decode(line: &[u8]) -> Option<Record> {
        if line.len() >= LINE_BYTES_MAX {
            return None;
        }
        let (digits, rest) = line.split_at_checked(CRC_DIGITS)?;
        let json = rest.strip_prefix(b" ")?;
        // `from_str_radix` also takes a sign and capitals, which are never written.
        if !digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')) {
            return None;
        }
        let crc = u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if crc != crc32fast::hash(json) {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    /// Two records, one after the other, as one: sums of what came, the later totals, and of what both are about only
    /// what is the same.
    #[must_use]
    pub fn merge(self, later: Record) -> Record {
        fn same<T: PartialEq>(a: Option<T>, b: Option<T>) -> Option<T> {
            if a == b { b } else { None }
        }
        Record {
            since: self.since,
            merged: self.merged.saturating_add(later.merged).saturating_add(1),
            drive: same(self.drive, later.drive),
            drive_serial: same(self.drive_serial, later.drive_serial),
            uuid: same(self.uuid, later.uuid),
            label_text: same(self.label_text, later.label_text),
            medium_serial: same(self.medium_serial, later.medium_serial),
            worm: self.worm && later.worm,
            alerts: self.alerts.union(later.alerts),
            raised: self.raised.union(later.raised),
            cleaning_requested: self.cleaning_requested || later.cleaning_requested,
            delta: self.delta.plus(&later.delta),
            ..later
        }
    }
}
