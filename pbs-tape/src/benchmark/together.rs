//! Disk and drive together: a feed of the datastore into the drive, as a job does it, without that anything of it is registered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastore::{BackupGroup, Datastore, Namespace, Progress};
use serde::Serialize;

use super::{Clock, seconds};
use crate::chunk_workers::lock;
use crate::device::TapeDevice;
use crate::error::Result;
use crate::format::chunk_archive::{Appended, ChunkArchiveWriter};
use crate::loader::check_abort;
use crate::media::set::SetCatalogs;
use crate::write::feed::{BufferSize, Dealer, Feed, Pauses, Plan, Step, Steps as _, bytes_per_s};
use crate::write::{
    Dealt, DealtGroup, FeedReport, Known, TapeBackupOptions, WriterTimes, find_groups,
};

/// How it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TogetherReport {
    /// Chunks that were written.
    pub chunks: u64,
    /// Chunks that could not be read.
    pub unreadable: u64,
    /// Bytes of the chunks.
    pub bytes: u64,
    /// From the start of the feed to the end of the synchronisation.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub time: Duration,
    /// Bytes a second in that time.
    pub bytes_per_second: u64,
    /// How the drive was fed.
    pub feed: FeedReport,
}

/// How the feed is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeedSettings {
    /// `None` finds out how many.
    pub readers: Option<usize>,
    pub buffer: BufferSize,
}

/// Deals all groups to the only feed.
struct Groups(Mutex<VecDeque<(usize, (Namespace, BackupGroup))>>);

impl Dealer for Groups {
    fn next(&self) -> Dealt {
        match lock(&self.0).pop_front() {
            Some((number, (namespace, group))) => {
                Dealt::Group(DealtGroup { number, namespace, group })
            }
            None => Dealt::Over,
        }
    }

    fn is_all_dealt(&self) -> bool {
        lock(&self.0).is_empty()
    }
}

/// Writes chunks of the newest snapshots from the beginning of the tape, no more than `bytes_max`. What was on the tape is lost.
pub(super) fn measure(
    device: &mut dyn TapeDevice,
    store: &Arc<Datastore>,
    settings: FeedSettings,
    bytes_max: u64,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<TogetherReport> {
    let name = "benchmark";
    let groups = find_groups(store, &TapeBackupOptions::new(name), progress)?;
    let dealer = Arc::new(Groups(Mutex::new(groups.into_iter().enumerate().collect())));
    let nothing = Arc::new(Known::new(SetCatalogs::default()));
    let mut plan = Plan::new(Arc::clone(store), name.to_string(), dealer, vec![nothing]);
    plan.latest_only = true;
    device.rewind()?;
    let slowest = device.slowest_bytes_per_s()?;
    let (mut chunks, mut unreadable, mut bytes) = (0, 0, 0);
    let mut times = WriterTimes::default();
    let began = clock.now();
    let mut feed = Feed::start(plan, settings.buffer, settings.readers, progress);
    feed.set_drive_slowest(slowest);
    let mut is_over = false;
    while !is_over {
        let mut archive = ChunkArchiveWriter::new(&mut *device, name, datastore::time::now())?;
        loop {
            check_abort(progress)?;
            let chunk = match feed.next_step()? {
                None => {
                    is_over = true;
                    break;
                }
                Some(Step::Chunk(chunk)) => chunk,
                Some(Step::Failed(error)) => return Err(error),
                Some(Step::BadChunk(error) | Step::Unreadable(_, error)) => {
                    progress.warn(&error.to_string());
                    unreadable += 1;
                    continue;
                }
                Some(Step::Warning(text)) => {
                    progress.warn(&text);
                    continue;
                }
                Some(
                    Step::Skipped | Step::Begin(_) | Step::End(_) | Step::GroupDone(_) | Step::Idle,
                ) => {
                    continue;
                }
            };
            let asked = clock.now();
            let appended = archive.append(&chunk.digest, chunk.blob.as_bytes())?;
            times.writing += clock.now().saturating_sub(asked);
            chunks += 1;
            bytes += chunk.blob.encoded_len();
            times.written_bytes = bytes;
            progress.advance_bytes(chunk.blob.encoded_len());
            is_over = bytes >= bytes_max || matches!(appended, Appended::EarlyWarning { .. });
            if is_over || appended == Appended::ArchiveFull {
                break;
            }
        }
        archive.finish()?;
    }
    let written = clock.now();
    device.sync()?;
    let ended = clock.now();
    times.syncs = Pauses { count: 1, time: ended.saturating_sub(written) };
    let time = ended.saturating_sub(began);
    Ok(TogetherReport {
        chunks,
        unreadable,
        bytes,
        time,
        bytes_per_second: bytes_per_s(bytes, time).unwrap_or(0),
        feed: FeedReport::new(&feed, &times),
    })
}
