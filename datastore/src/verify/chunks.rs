//! The chunks of one archive, read once a run.
//!
//! Chunks are read by several threads, each of which reads, unpacks and hashes one chunk at a time:
//! a thread that waits for the disk leaves its processor to the others, and no chunk is copied from
//! one thread to another.
//!
//! Memory is 20 bytes for each entry of the index at hand beside the index itself and, for each
//! different chunk of the whole run, what [`DigestSet`] takes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::digest_set::DigestSet;
use super::findings::Findings;
use crate::blob::DataBlob;
use crate::crypt::{CryptConfig, CryptMode};
use crate::datastore::Datastore;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::index::{Index, IndexEntry};
use crate::progress::Progress;

const THREADS_MAX: usize = 64;

/// What a run knows about the chunks it has met.
pub(super) struct Seen {
    /// Their content was proved.
    proved: DigestSet,
    /// Encrypted, without their key at hand: their checksum fits. With the key they are read again.
    intact: DigestSet,
    /// Missing, damaged or unreadable.
    corrupt: DigestSet,
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen { proved: DigestSet::new(), intact: DigestSet::new(), corrupt: DigestSet::new() }
    }

    /// Number of different chunks that were found good.
    pub(super) fn good(&self) -> usize {
        self.proved.len() + self.intact.len()
    }

    fn is_good(&self, digest: &Digest, has_key: bool) -> bool {
        self.proved.contains(digest) || !has_key && self.intact.contains(digest)
    }
}

/// One archive whose index is known to be sound.
pub(super) struct Archive<'a> {
    pub(super) filename: &'a str,
    pub(super) crypt_mode: CryptMode,
    pub(super) index: &'a Index,
    /// The key that made it, if it is at hand.
    pub(super) key: Option<Arc<CryptConfig>>,
}

/// How chunks are read.
pub(super) struct Reading<'a> {
    pub(super) store: &'a Datastore,
    pub(super) progress: &'a dyn Progress,
    pub(super) threads: usize,
    /// Set damaged chunks aside.
    pub(super) set_aside: bool,
}

/// A chunk to read: where its file lies, and where the index names it first.
struct Work {
    inode: u64,
    position: Position,
    references: u32,
}

/// Position in an index. An index that is loaded has fewer than 2^32 entries, because its file has
/// at most 16 GiB; one with more would be a finding.
type Position = u32;

impl Reading<'_> {
    /// Reads the chunks of an archive that were not read before. `Err` if the run is aborted, or the
    /// system does not let us see for ourselves.
    pub(super) fn check(
        &self,
        archive: &Archive<'_>,
        seen: &mut Seen,
        findings: &mut Findings,
    ) -> Result<()> {
        let work = self.work(archive, seen, findings);
        let next = AtomicUsize::new(0);
        let refused: Mutex<Option<Error>> = Mutex::new(None);
        let is_over = AtomicBool::new(false);
        let shared = Mutex::new((seen, findings));
        std::thread::scope(|scope| {
            for _ in 0..self.threads.clamp(1, THREADS_MAX).min(work.len()) {
                scope.spawn(|| {
                    while !self.progress.is_aborted() && !is_over.load(Ordering::Relaxed) {
                        let Some(work) = work.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            break;
                        };
                        let Some(entry) = archive.index.entry(work.position as usize) else {
                            continue;
                        };
                        let outcome = match self.check_chunk(archive, &entry) {
                            Outcome::Corrupt { error, .. } if error.is_inconclusive() => {
                                is_over.store(true, Ordering::Relaxed);
                                let mut refused =
                                    refused.lock().unwrap_or_else(PoisonError::into_inner);
                                refused.get_or_insert(error);
                                break;
                            }
                            outcome => outcome,
                        };
                        self.progress.advance_bytes(entry.len());
                        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                        let (seen, findings) = &mut *shared;
                        self.note(archive, work, &entry, outcome, seen, findings);
                    }
                });
            }
        });
        if self.progress.is_aborted() {
            return Err(Error::Aborted);
        }
        refused.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// What has to be read, in the order in which chunks lie on the disk, roughly: a disk that must
    /// not seek reads several times as fast.
    fn work(&self, archive: &Archive<'_>, seen: &Seen, findings: &mut Findings) -> Vec<Work> {
        let index = archive.index;
        let digest_at =
            |position: &Position| index.entry(*position as usize).map(|entry| entry.digest);
        let same_digest = |left: &Position, right: &Position| digest_at(left) == digest_at(right);
        // By digest first: what an archive names often is looked up and read once.
        let Ok(entries) = Position::try_from(index.len()) else {
            findings.add(archive.filename, None, "it has too many entries to be checked", 1);
            return Vec::new();
        };
        let mut positions: Vec<Position> = (0..entries).collect();
        positions.sort_unstable_by_key(|position| (digest_at(position), *position));
        let mut work = Vec::with_capacity(positions.chunk_by(same_digest).count());
        for same in positions.chunk_by(same_digest) {
            let Some((position, others)) = same.split_first() else { continue };
            let Some(entry) = index.entry(*position as usize) else { continue };
            let references = others.len() as u64 + 1;
            let is_corrupt = seen.corrupt.contains(&entry.digest);
            if is_corrupt {
                let text = format!("chunk {} is known to be damaged", entry.digest);
                findings.add(archive.filename, Some(*position as usize), &text, references);
            }
            if is_corrupt || seen.is_good(&entry.digest, archive.key.is_some()) {
                self.progress.advance_bytes(entry.len().saturating_mul(references));
                continue;
            }
            self.progress.advance_bytes(entry.len().saturating_mul(references - 1));
            let inode = self.store.chunks().meta(&entry.digest).map_or(u64::MAX, |meta| meta.inode);
            work.push(Work { inode, position: *position, references: references as u32 });
        }
        work.sort_unstable_by_key(|work| (work.inode, work.position));
        work
    }

    fn check_chunk(&self, archive: &Archive<'_>, entry: &IndexEntry) -> Outcome {
        let key = archive.key.as_deref();
        let chunks = self.store.chunks();
        let prove = |blob: &DataBlob| -> Result<bool> {
            let encrypted = blob.kind().encrypted;
            if encrypted && key.is_none() {
                return Ok(false);
            }
            blob.decode_chunk(key.filter(|_| encrypted), &entry.digest, entry.len() as usize)?;
            Ok(true)
        };
        let checked = chunks.read(&entry.digest).and_then(|blob| Ok((prove(&blob)?, blob)));
        let (proved, blob) = match checked {
            Ok(checked) => checked,
            Err(error) => {
                // At once, while the verdict is fresh; and what was set aside is looked at once
                // more, because a backup may just have written the chunk anew.
                let damaged = error.is_damaged() || error.is_unreadable();
                let set_aside = if self.set_aside && damaged {
                    let is_sound = |blob: &DataBlob| prove(blob).is_ok();
                    chunks.set_aside(&entry.digest, &is_sound).unwrap_or(None)
                } else {
                    None
                };
                return Outcome::Corrupt { error, set_aside };
            }
        };
        let encrypted = blob.kind().encrypted;
        if encrypted != (archive.crypt_mode == CryptMode::Encrypt) {
            return Outcome::WrongMode { encrypted };
        }
        Outcome::Good { proved }
    }

    fn note(
        &self,
        archive: &Archive<'_>,
        work: &Work,
        entry: &IndexEntry,
        outcome: Outcome,
        seen: &mut Seen,
        findings: &mut Findings,
    ) {
        let (position, references) = (Some(work.position as usize), u64::from(work.references));
        match outcome {
            Outcome::Good { proved: true } => {
                seen.proved.insert(entry.digest);
            }
            Outcome::Good { proved: false } => {
                seen.intact.insert(entry.digest);
            }
            // Not remembered: every archive that names it is told.
            Outcome::WrongMode { encrypted } => {
                let text = format!(
                    "chunk {} is {}, the archive's mode is {}",
                    entry.digest,
                    if encrypted { "encrypted" } else { "not encrypted" },
                    archive.crypt_mode
                );
                findings.add(archive.filename, position, &text, references);
            }
            Outcome::Corrupt { error, set_aside } => {
                findings.add(archive.filename, position, &error.to_string(), references);
                seen.corrupt.insert(entry.digest);
                if let Some(bad) = set_aside {
                    let text = format!("damaged chunk set aside as {}", bad.display());
                    self.progress.warn(&text);
                }
            }
        }
    }
}

enum Outcome {
    /// `proved` is false for encrypted content whose key is not at hand.
    Good {
        proved: bool,
    },
    /// The chunk is sound, but not of the form that the archive must have.
    WrongMode {
        encrypted: bool,
    },
    Corrupt {
        error: Error,
        set_aside: Option<PathBuf>,
    },
}
