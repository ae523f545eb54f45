//! What a job did, and how well the drive was fed.

use std::time::Duration;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::feed::{Feed, Pauses, bytes_per_s};
use crate::error::{Error, Result};

/// What a job did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TapeBackupReport {
    /// The set written on.
    pub media_set_uuid: Uuid,
    /// Label texts of the tapes written on, in order.
    pub tapes: Vec<String>,
    /// Snapshots written.
    pub snapshots_written: Vec<String>,
    /// Snapshots that the set had already.
    pub snapshots_skipped: u64,
    /// Snapshots that were removed while the job ran.
    pub snapshots_vanished: Vec<String>,
    /// Snapshots that could not be read, with the reason.
    pub snapshots_failed: Vec<(String, String)>,
    /// Chunks written.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub chunk_bytes: u64,
    /// Bytes that went to tapes, whole blocks.
    pub tape_bytes: u64,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
    /// How the drives were fed, all together.
    pub feed: FeedReport,
    /// With several drives: what each did.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamReport>,
}

/// What a job did that wrote several copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MirrorReport {
    /// Each copy, in the order in which they were named.
    pub copies: Vec<CopyReport>,
    /// How the disk fed them.
    pub feed: FeedReport,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

/// One of several copies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CopyReport {
    /// Its pool.
    pub pool: String,
    /// Its drive.
    pub drive: String,
    /// Why it ended early, if it did. What the report says was written is on tape only as far as its catalogs tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was done.
    #[serde(flatten)]
    pub report: TapeBackupReport,
}

impl MirrorReport {
    /// True if every copy has all that was asked for.
    pub fn is_complete(&self) -> bool {
        self.copies.iter().all(|copy| copy.error.is_none() && copy.report.is_complete())
    }
}

/// What one drive of several did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct StreamReport {
    /// Name of the drive.
    pub drive: String,
    /// Label texts of the tapes written on, in order.
    pub tapes: Vec<String>,
    /// Snapshots written.
    pub snapshots_written: usize,
    /// Bytes that went to tapes, whole blocks.
    pub tape_bytes: u64,
    /// How the drive was fed.
    pub feed: FeedReport,
    /// Why it ended early, if it did. What it had left was done by the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// That was only because there was no further tape for it.
    #[serde(skip)]
    pub lacked_tape: bool,
}

impl TapeBackupReport {
    /// Of a job that has done nothing yet.
    pub(super) fn new(media_set_uuid: Uuid) -> TapeBackupReport {
        TapeBackupReport {
            media_set_uuid,
            tapes: Vec::new(),
            snapshots_written: Vec::new(),
            snapshots_skipped: 0,
            snapshots_vanished: Vec::new(),
            snapshots_failed: Vec::new(),
            chunks: 0,
            chunk_bytes: 0,
            tape_bytes: 0,
            duration: Duration::ZERO,
            feed: FeedReport::default(),
            streams: Vec::new(),
        }
    }

    /// Adds what one stream did; `drive` is named if there are several.
    pub(super) fn add(
        &mut self,
        stream: TapeBackupReport,
        drive: Option<&str>,
        error: Option<Error>,
    ) {
        if let Some(drive) = drive {
            self.streams.push(StreamReport {
                drive: drive.to_string(),
                tapes: stream.tapes.clone(),
                snapshots_written: stream.snapshots_written.len(),
                tape_bytes: stream.tape_bytes,
                feed: stream.feed.clone(),
                lacked_tape: error
                    .as_ref()
                    .is_some_and(|error| matches!(error.cause(), Error::NoUsableMedia { .. })),
                error: error.map(|error| error.to_string()),
            });
        }
        self.tapes.extend(stream.tapes);
        self.snapshots_written.extend(stream.snapshots_written);
        self.snapshots_skipped += stream.snapshots_skipped;
        self.snapshots_vanished.extend(stream.snapshots_vanished);
        self.snapshots_failed.extend(stream.snapshots_failed);
        self.chunks += stream.chunks;
        self.chunk_bytes += stream.chunk_bytes;
        self.tape_bytes += stream.tape_bytes;
        self.feed.add(&stream.feed);
    }

    /// True if all that was asked for was done, by all drives that had tapes.
    pub fn is_complete(&self) -> bool {
        let stood = |stream: &StreamReport| stream.error.is_none() || stream.lacked_tape;
        self.snapshots_failed.is_empty() && self.streams.iter().all(stood)
    }

    /// The error that the job should end with, if something failed.
    pub fn into_result(self) -> Result<TapeBackupReport> {
        match self.snapshots_failed.first() {
            None => Ok(self),
            Some((snapshot, reason)) => Err(Error::Partial {
                failed: self.snapshots_failed.len(),
                first: format!("{snapshot}: {reason}"),
            }),
        }
    }
}

/// How the drive was fed: whether it streamed, and why not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FeedReport {
    /// The disk did not give enough: the drive was left to rest until the buffer was full again.
    pub disk_rests: Rests,
    /// The drive had to write out its own buffer, at a commit point.
    pub drive_rests: Rests,
    /// Another tape had to come.
    pub tape_changes: Rests,
    /// Bytes a second from the disk while there was room for them; absent for a job too short to tell.
    pub disk_bytes_per_second: Option<u64>,
    /// Bytes a second to the drive while it was given any.
    pub drive_bytes_per_second: Option<u64>,
    /// Readers at the end.
    pub readers: usize,
    /// Size of the buffer at the end.
    pub buffer_bytes: u64,
    /// The most that was in it.
    pub buffer_peak_bytes: u64,
}

/// How often, and how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Rests {
    /// How often.
    pub count: u64,
    /// All together.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub time: Duration,
}

impl From<Pauses> for Rests {
    fn from(pauses: Pauses) -> Rests {
        Rests { count: pauses.count, time: pauses.time }
    }
}

/// What a writer spent its time with.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriterTimes {
    /// Bytes given to the drive in the time of `writing`.
    pub written_bytes: u64,
    /// Waiting for commands that write.
    pub writing: Duration,
    /// Writing out the drive's buffer.
    pub syncs: Pauses,
    /// Taking tapes out and bringing others.
    pub changes: Pauses,
}

impl FeedReport {
    fn add(&mut self, other: &FeedReport) {
        for (all, one) in [
            (&mut self.disk_rests, other.disk_rests),
            (&mut self.drive_rests, other.drive_rests),
            (&mut self.tape_changes, other.tape_changes),
        ] {
            all.count += one.count;
            all.time += one.time;
        }
        for (all, one) in [
            (&mut self.disk_bytes_per_second, other.disk_bytes_per_second),
            (&mut self.drive_bytes_per_second, other.drive_bytes_per_second),
        ] {
            *all = all.map_or(one, |all| Some(all + one.unwrap_or(0)));
        }
        self.readers += other.readers;
        self.buffer_bytes += other.buffer_bytes;
        self.buffer_peak_bytes += other.buffer_peak_bytes;
    }

    /// What a drive behind a queue did.
    pub(super) fn of_drive(times: &WriterTimes) -> FeedReport {
        FeedReport {
            drive_rests: times.syncs.into(),
            tape_changes: times.changes.into(),
            drive_bytes_per_second: bytes_per_s(times.written_bytes, times.writing),
            ..FeedReport::default()
        }
    }

    /// Of a feed, and of a writer that took so long.
    pub(crate) fn new(feed: &Feed<'_>, times: &WriterTimes) -> FeedReport {
        feed.measured(|gate, readers, buffer_peak_bytes| FeedReport {
            disk_rests: gate.rests().into(),
            drive_rests: times.syncs.into(),
            tape_changes: times.changes.into(),
            disk_bytes_per_second: gate.disk_bytes_per_s(),
            drive_bytes_per_second: bytes_per_s(times.written_bytes, times.writing),
            readers: readers.active(),
            buffer_bytes: gate.capacity(),
            buffer_peak_bytes,
        })
    }
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
