//! What the disk gives: chunks read as the feed reads them, with 1, 2, 4 and 8 readers.
//!
//! Every run has chunks of its own, so that no run reads what an earlier one brought into memory, and what was in memory before is forgotten.
//! Which run has which is dealt out in stretches over the whole disk: discs are faster at their edge. In a stretch the order is
//! that of the feed, by inode. What is found good is told by the rule of the feed ([`pays`]).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datastore::hierarchy::ArchiveKind;
use datastore::{Datastore, Digest, Progress, SnapshotReader};
use serde::Serialize;

use super::{Clock, seconds};
use crate::chunk_workers::lock;
use crate::error::{Error, Result};
use crate::loader::check_abort;
use crate::media::catalog::DigestSet;
use crate::write::TapeBackupOptions;
use crate::write::feed::{bytes_per_s, pays};
use crate::write::find_groups;

/// How many readers are tried.
const READERS: [usize; 4] = [1, 2, 4, 8];
/// Chunks that lie together in a stretch, at most.
const STRETCH_CHUNKS_MAX: usize = 64;
/// Each run gets a stretch so many times.
const STRETCHES_EACH: usize = 8;

/// How much is read.
#[derive(Debug, Clone, Copy)]
pub struct DiskOptions {
    /// A run reads no more than this.
    pub bytes_each: u64,
    /// And for no longer.
    pub time_each: Duration,
}

impl Default for DiskOptions {
    fn default() -> DiskOptions {
        DiskOptions { bytes_each: 4 << 30, time_each: Duration::from_secs(15) }
    }
}

/// What the disk gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskReport {
    /// With how many readers what came.
    pub runs: Vec<DiskRun>,
    /// As many readers as pay.
    pub readers: usize,
    /// What came with them, in bytes a second.
    pub bytes_per_second: u64,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiskRun {
    /// Threads that read.
    pub readers: usize,
    /// Chunks that were read.
    pub chunks: u64,
    /// Chunks that could not be read.
    pub unreadable: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// How long it took.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub time: Duration,
    /// Bytes a second.
    pub bytes_per_second: u64,
}

/// Reads chunks of the newest snapshots. Changes nothing.
///
/// # Errors
///
/// [`Error::Unsupported`] if there are too few chunks for runs of all numbers of readers.
pub fn measure_disk(
    store: &Arc<Datastore>,
    options: &DiskOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<DiskReport> {
    let wanted = options.bytes_each.saturating_mul(READERS.len() as u64);
    let mut chunks = some_chunks(store, wanted, progress)?;
    if chunks.len() < READERS.len() {
        return Err(Error::Unsupported(format!(
            "the newest snapshots have {} chunks, which are too few to measure with",
            chunks.len()
        )));
    }
    chunks.sort_by_key(|chunk| chunk.inode);
    let mut runs = Vec::new();
    for (readers, part) in READERS.into_iter().zip(deal(&chunks, READERS.len())) {
        check_abort(progress)?;
        for chunk in &part {
            store.chunks().forget_cached(&chunk.digest);
        }
        let run = read(store, readers, &part, options, clock, progress)?;
        for chunk in &part {
            store.chunks().forget_cached(&chunk.digest);
        }
        runs.push(run);
    }
    let best = best(&runs);
    let (readers, bytes_per_second) =
        best.map_or((1, 0), |run| (run.readers, run.bytes_per_second));
    Ok(DiskReport { readers, bytes_per_second, runs })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Chunk {
    digest: Digest,
    inode: u64,
}

/// Chunks of the newest snapshot of each group, until there are so many bytes of them.
fn some_chunks(store: &Arc<Datastore>, wanted: u64, progress: &dyn Progress) -> Result<Vec<Chunk>> {
    let mut seen = DigestSet::default();
    let mut chunks = Vec::new();
    let mut bytes = 0u64;
    let groups = find_groups(store, &TapeBackupOptions::new(""), progress)?;
    for (namespace, group) in groups {
        let mut odd: Vec<String> = Vec::new();
        let snapshots = store.snapshots(&namespace, &group, &mut odd)?;
        let Some(newest) = snapshots.into_iter().rev().find(|info| info.finished) else { continue };
        let reader = match SnapshotReader::open(store, &namespace, &newest.path) {
            Ok(reader) => reader,
            // It is removed now, or damaged: there are others.
            Err(e) => {
                progress.warn(&e.to_string());
                continue;
            }
        };
        for file in reader.manifest().files() {
            if !matches!(
                ArchiveKind::of(&file.filename),
                Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex)
            ) {
                continue;
            }
            for digest in reader.index(&file.filename)?.digests() {
                if bytes >= wanted {
                    return Ok(chunks);
                }
                if seen.insert(digest)
                    && let Some(meta) = store.chunks().meta(&digest)
                {
                    bytes += meta.len;
                    chunks.push(Chunk { digest, inode: meta.inode });
                }
            }
        }
    }
    Ok(chunks)
}

/// Deals out in stretches, one after the other.
fn deal(chunks: &[Chunk], parts: usize) -> Vec<Vec<Chunk>> {
    let stretch = (chunks.len() / (parts * STRETCHES_EACH)).clamp(1, STRETCH_CHUNKS_MAX);
    let mut dealt = vec![Vec::new(); parts];
    for (number, stretch) in chunks.chunks(stretch).enumerate() {
        if let Some(part) = dealt.get_mut(number % parts) {
            part.extend_from_slice(stretch);
        }
    }
    dealt
}

fn read(
    store: &Arc<Datastore>,
    readers: usize,
    part: &[Chunk],
    options: &DiskOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<DiskRun> {
    let (next, bytes, chunks) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let unreadable = Mutex::new(Vec::new());
    let began = clock.now();
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                while !progress.is_aborted()
                    && clock.now().saturating_sub(began) < options.time_each
                    && let Some(chunk) = part.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    match store.chunks().read(&chunk.digest) {
                        Ok(blob) => {
                            bytes.fetch_add(blob.encoded_len(), Ordering::Relaxed);
                            chunks.fetch_add(1, Ordering::Relaxed);
                            progress.advance_bytes(blob.encoded_len());
                        }
                        Err(e) => lock(&unreadable).push(e.to_string()),
                    }
                }
            });
        }
    });
    let time = clock.now().saturating_sub(began);
    check_abort(progress)?;
    let unreadable = unreadable.into_inner().unwrap_or_else(|e| e.into_inner());
    for reason in &unreadable {
        progress.warn(reason);
    }
    let bytes = bytes.into_inner();
    Ok(DiskRun {
        readers,
        chunks: chunks.into_inner(),
        unreadable: unreadable.len() as u64,
        bytes,
        time,
        bytes_per_second: bytes_per_s(bytes, time).unwrap_or(0),
    })
}

/// The run with as many readers as pay.
fn best(runs: &[DiskRun]) -> Option<&DiskRun> {
    let mut best = runs.first()?;
    for run in runs.iter().skip(1) {
        if !pays(best.bytes_per_second, run.bytes_per_second) {
            break;
        }
        best = run;
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_readers_are_recommended_as_long_as_each_step_pays() {
        // MB/s with 1, 2, 4 and 8 readers; the number recommended.
        for (rates, expected) in [
            ([110, 89, 100, 108], 1),
            ([55, 70, 80, 95], 8),
            ([118, 180, 300, 300], 4),
            ([0, 0, 0, 0], 8),
        ] {
            let run = |(readers, rate): (usize, u64)| DiskRun {
                readers,
                chunks: 1,
                unreadable: 0,
                bytes: rate,
                time: Duration::from_secs(1),
                bytes_per_second: rate,
            };
            let runs: Vec<DiskRun> = READERS.into_iter().zip(rates).map(run).collect();
            assert_eq!(best(&runs).unwrap().readers, expected, "{rates:?}");
        }
    }

    #[test]
    fn every_chunk_is_dealt_to_one_run_and_each_run_gets_some_of_all_places() {
        for count in [4usize, 5, 63, 308, 5_000] {
            let chunks: Vec<Chunk> = (0..count)
                .map(|inode| Chunk { digest: Digest([inode as u8; 32]), inode: inode as u64 })
                .collect();
            let dealt = deal(&chunks, 4);
            let mut inodes: Vec<u64> = dealt.iter().flatten().map(|chunk| chunk.inode).collect();
            inodes.sort_unstable();
            assert_eq!(inodes, (0..count as u64).collect::<Vec<_>>());
            for part in &dealt {
                assert!(part.is_sorted_by_key(|chunk| chunk.inode));
                assert!(part.len() * 5 >= count, "{count}: {}", part.len());
            }
        }
    }
}
