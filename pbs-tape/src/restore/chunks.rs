//! Putting chunks from tape into a datastore.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use datastore::{Datastore, Digest, Progress};

use super::tape_files::{Verdict, judge_chunk_archive};
use crate::chunk_workers::{ChunkSink, lock, with_workers};
use crate::error::{Error, Result};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::loader::check_abort;
use crate::media::catalog::DigestSet;
use crate::verify::chunk::{parse, prove};

/// What became of the chunks of one archive.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// Chunks whose bytes were sound, in no order.
    pub sound: Vec<Digest>,
    /// Chunks whose bytes are wrong, with the reason.
    pub bad: Vec<(Digest, String)>,
    pub chunks: u64,
    pub chunk_bytes: u64,
    pub present: u64,
}

/// A chunk archive that was read to its end.
pub(crate) struct StoredArchive {
    /// What became of its chunks.
    pub stored: Stored,
    /// The chunks whose bytes were sound, in the order of the tape.
    pub sound: Vec<Digest>,
    /// What is wrong with it besides what `verdict` says, wrong chunks included.
    pub damage: Vec<Error>,
    /// Whether it counts, or why it is damaged.
    pub verdict: Result<Verdict>,
}

/// Stores the chunks of an archive, also those behind damage, and judges the archive.
///
/// `Err` is an abort, or a datastore that takes no more.
pub(crate) fn store_archive(
    target: &Datastore,
    mut archive: ChunkArchiveReader<'_, '_>,
    writers: usize,
    progress: &dyn Progress,
) -> Result<StoredArchive> {
    let mut damage = Vec::new();
    let mut on_tape = Vec::new();
    let (result, mut stored) = store_chunks(target, writers, progress, |sink| {
        loop {
            check_abort(progress)?;
            let mut blob = sink.buffer();
            match archive.next_chunk_behind_damage(&mut blob, &mut damage)? {
                Some(digest) => {
                    on_tape.push(digest);
                    sink.put(digest, blob)?;
                }
                None => return Ok(()),
            }
        }
    })?;
    if let Err(e) = &result
        && e.is_aborted()
    {
        return Err(Error::Aborted);
    }
    let verdict = judge_chunk_archive(archive.into_stream(), result, &mut damage);
    let bad =
        stored.bad.iter().map(|(_, reason)| Error::malformed("chunk archive", reason.clone()));
    damage.splice(0..0, bad);
    let is_sound: DigestSet = std::mem::take(&mut stored.sound).into_iter().collect();
    let sound = on_tape.into_iter().filter(|one| is_sound.contains(one)).collect();
    Ok(StoredArchive { stored, sound, damage, verdict })
}

/// Runs `read`, which puts chunks into the sink, and waits until all are stored.
///
/// Chunks that are damaged are listed in the result; a datastore that fails is an error.
pub(crate) fn store_chunks<T>(
    target: &Datastore,
    writers: usize,
    progress: &dyn Progress,
    read: impl FnOnce(&ChunkSink<'_>) -> Result<T>,
) -> Result<(Result<T>, Stored)> {
    let stored = Mutex::new(Stored::default());
    let bytes = AtomicU64::new(0);
    let work = |digest, blob| write(target, digest, blob, &stored, &bytes, progress);
    let result = with_workers(writers, &work, read)?;
    let mut stored = stored.into_inner().unwrap_or_else(|e| e.into_inner());
    stored.chunk_bytes = bytes.load(Ordering::Relaxed);
    Ok((result, stored))
}

fn write(
    target: &Datastore,
    digest: Digest,
    blob: Vec<u8>,
    stored: &Mutex<Stored>,
    bytes: &AtomicU64,
    progress: &dyn Progress,
) -> Result<Vec<u8>> {
    let len = blob.len() as u64;
    let blob = parse(&digest, blob);
    let known = match &blob {
        // A chunk that is there is only touched, so that garbage collection keeps it.
        Ok(_) => target.chunks().touch(&digest)?,
        Err(_) => false,
    };
    if let Ok(blob) = &blob
        && !known
    {
        // The digest of an encrypted chunk needs its key, which a restore does not have.
        if let Err(reason) = prove(&digest, blob, &[]) {
            lock(stored).bad.push((digest, reason));
            return Ok(Vec::new());
        }
        target.chunks().insert(&digest, blob)?;
        bytes.fetch_add(len, Ordering::Relaxed);
    }
    progress.advance_bytes(len);
    let mut stored = lock(stored);
    match blob {
        Ok(blob) => {
            stored.sound.push(digest);
            if known {
                stored.present += 1;
            } else {
                stored.chunks += 1;
            }
            Ok(blob.into_bytes())
        }
        Err(reason) => {
            stored.bad.push((digest, reason));
            Ok(Vec::new())
        }
    }
}
