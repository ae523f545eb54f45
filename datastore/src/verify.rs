//! Verifying that stored snapshots are what they were.
//!
//! Every file of a snapshot is held against its manifest, every chunk is read once per run,
//! unpacked and held against its digest. Without the key of an encrypted chunk only its CRC can be
//! checked; with the key its content is. Damage never stops a run: the point is to know all of it.
//! A damaged chunk is set aside so that the next backup of its content heals it.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::blob::DataBlob;
use crate::crypt::{CryptConfig, CryptMode};
use crate::datastore::Datastore;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::hierarchy::{ArchiveKind, MANIFEST_NAME, Namespace, SnapshotPath};
use crate::index::IndexEntry;
use crate::manifest::{FileInfo, VerifyResult, VerifyState};
use crate::progress::Progress;
use crate::snapshot::SnapshotReader;
use crate::storage::replace_file;

/// The group of benchmark runs, which are never kept.
const BENCHMARK_GROUP: &str = "host/benchmark";

/// How to verify.
pub struct Options {
    /// Keys at hand. Encrypted content is checked with the key whose fingerprint fits.
    pub keys: Vec<Arc<CryptConfig>>,
    /// Threads that read and check chunks.
    pub threads: usize,
    /// Record the result in each manifest, and set damaged chunks aside.
    pub record: Option<TaskName>,
}

/// Who verifies, as recorded with the result.
#[derive(Debug, Clone)]
pub struct TaskName {
    /// The task's identifier (`UPID:…`).
    pub upid: String,
}

/// What was found in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotReport {
    /// Namespace, empty for the root.
    pub ns: String,
    /// `type/id/time`.
    pub snapshot: String,
    /// True if all is well.
    pub ok: bool,
    /// Why it was not looked at, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// What is wrong.
    pub errors: Vec<String>,
}

/// Verifies snapshots of one store; knows which chunks it has seen.
pub struct Verifier<'a> {
    store: &'a Arc<Datastore>,
    options: &'a Options,
    progress: &'a dyn Progress,
    verified: HashSet<Digest>,
    corrupt: HashSet<Digest>,
}

/// A chunk to check for one file.
struct Work {
    entry: IndexEntry,
    inode: u64,
}

impl<'a> Verifier<'a> {
    /// A run over a store.
    pub fn new(
        store: &'a Arc<Datastore>,
        options: &'a Options,
        progress: &'a dyn Progress,
    ) -> Verifier<'a> {
        Verifier { store, options, progress, verified: HashSet::new(), corrupt: HashSet::new() }
    }

    /// Number of different chunks that were found good so far.
    pub fn verified_chunks(&self) -> usize {
        self.verified.len()
    }

    /// Verifies one snapshot. `Err` only if the run is aborted.
    pub fn snapshot(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<SnapshotReport> {
        let mut report = SnapshotReport {
            ns: namespace.to_string(),
            snapshot: snapshot.to_string(),
            ok: false,
            skipped: None,
            errors: Vec::new(),
        };
        if snapshot.group().to_string() == BENCHMARK_GROUP {
            report.ok = true;
            report.skipped = Some("benchmarks hold no data".into());
            return Ok(report);
        }
        let reader = match SnapshotReader::open(self.store, namespace, snapshot) {
            Ok(reader) => reader,
            Err(error) if error.is_retryable() => {
                report.ok = true;
                report.skipped = Some(error.to_string());
                return Ok(report);
            }
            Err(error)
                if error.is_missing()
                    && self
                        .store
                        .storage()
                        .meta(&self.store.snapshot_dir(namespace, snapshot))
                        .is_err() =>
            {
                report.ok = true;
                report.skipped = Some("it was removed meanwhile".into());
                return Ok(report);
            }
            Err(error) => {
                report.errors.push(error.to_string());
                return Ok(report);
            }
        };
        self.check_manifest(&reader, &mut report.errors);
        for file in reader.manifest().files().to_vec() {
            self.check_file(&reader, &file, &mut report.errors)?;
        }
        report.ok = report.errors.is_empty();
        if let Some(task) = &self.options.record
            && let Err(error) = record(self.store, namespace, snapshot, report.ok, task)
        {
            report.ok = false;
            report.errors.push(format!("cannot record the result: {error}"));
        }
        Ok(report)
    }

    fn check_manifest(&self, reader: &SnapshotReader, errors: &mut Vec<String>) {
        if !reader.manifest().belongs_to(reader.snapshot()) {
            errors.push("its manifest is that of another snapshot".into());
        }
        if let Some(key) = self.named_key(reader)
            && let Err(error) = reader.check_key(key)
        {
            errors.push(error.to_string());
        }
    }

    /// The key that the manifest names, if it is at hand. Anybody can write that name.
    fn named_key(&self, reader: &SnapshotReader) -> Option<&'a Arc<CryptConfig>> {
        let wanted = reader.manifest().key_fingerprint().ok()??;
        self.options.keys.iter().find(|key| key.fingerprint() == wanted)
    }

    /// The key that has proved that it made this snapshot. With another one every sound chunk would
    /// look damaged and be set aside.
    fn key_of(&self, reader: &SnapshotReader) -> Option<&'a Arc<CryptConfig>> {
        let signed = reader.manifest().signature().is_some();
        self.named_key(reader).filter(|key| signed && reader.check_key(key).is_ok())
    }

    fn check_file(
        &mut self,
        reader: &SnapshotReader,
        file: &FileInfo,
        errors: &mut Vec<String>,
    ) -> Result<()> {
        let key = self.key_of(reader).cloned();
        let checked = match ArchiveKind::of(&file.filename) {
            Some(ArchiveKind::Blob) => check_blob(reader, file, key.as_deref()),
            Some(_) => return self.check_archive(reader, file, key, errors),
            None => {
                Err(Error::damaged(file.filename.clone(), "its name is not that of an archive"))
            }
        };
        if let Err(error) = checked {
            errors.push(error.to_string());
        }
        Ok(())
    }

    fn check_archive(
        &mut self,
        reader: &SnapshotReader,
        file: &FileInfo,
        key: Option<Arc<CryptConfig>>,
        errors: &mut Vec<String>,
    ) -> Result<()> {
        let index = match reader.index(&file.filename) {
            Ok(index) => index,
            Err(error) => {
                errors.push(error.to_string());
                return Ok(());
            }
        };
        let csum = index.compute_csum();
        if csum != index.header().csum {
            errors.push(format!(
                "{}: its header says its checksum is {}, but it is {csum}",
                file.filename,
                index.header().csum
            ));
        }
        let mut queued = HashSet::new();
        let mut work = Vec::new();
        for entry in index.entries() {
            if self.corrupt.contains(&entry.digest) {
                errors.push(format!(
                    "{}: chunk {} is known to be damaged",
                    file.filename, entry.digest
                ));
            } else if !self.verified.contains(&entry.digest) && queued.insert(entry.digest) {
                let inode = self.store.chunks().inode(&entry.digest).unwrap_or(u64::MAX);
                work.push(Work { entry, inode });
            } else {
                self.progress.advance_bytes(entry.len());
            }
        }
        // In the order in which chunks lie on the disk, roughly: a disk that must not seek reads
        // several times as fast.
        work.sort_by_key(|work| work.inode);
        self.check_chunks(file, key.as_deref(), &work, errors)
    }

    fn check_chunks(
        &mut self,
        file: &FileInfo,
        key: Option<&CryptConfig>,
        work: &[Work],
        errors: &mut Vec<String>,
    ) -> Result<()> {
        let next = AtomicUsize::new(0);
        let outcomes = Mutex::new(Vec::with_capacity(work.len()));
        let (store, progress, record) = (self.store, self.progress, self.options.record.is_some());
        std::thread::scope(|scope| {
            for _ in 0..self.options.threads.clamp(1, 64).min(work.len().max(1)) {
                scope.spawn(|| {
                    while !progress.is_aborted() {
                        let Some(work) = work.get(next.fetch_add(1, Ordering::Relaxed)) else {
                            break;
                        };
                        let outcome = check_chunk(store, file, key, &work.entry, record);
                        progress.advance_bytes(work.entry.len());
                        outcomes
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((work.entry.digest, outcome));
                    }
                });
            }
        });
        if progress.is_aborted() {
            return Err(Error::Aborted);
        }
        for (digest, outcome) in outcomes.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match outcome {
                ChunkOutcome::Good => {
                    self.verified.insert(digest);
                }
                ChunkOutcome::WrongMode(reason) => {
                    errors.push(format!("{}: {reason}", file.filename))
                }
                ChunkOutcome::Corrupt { error, set_aside } => {
                    errors.push(format!("{}: {error}", file.filename));
                    self.corrupt.insert(digest);
                    if let Some(bad) = set_aside {
                        progress.warn(&format!("damaged chunk set aside as {}", bad.display()));
                    }
                }
            }
        }
        Ok(())
    }
}

enum ChunkOutcome {
    Good,
    /// The chunk is sound, but not of the form that the archive must have.
    WrongMode(String),
    Corrupt {
        error: Error,
        set_aside: Option<PathBuf>,
    },
}

fn check_chunk(
    store: &Datastore,
    file: &FileInfo,
    key: Option<&CryptConfig>,
    entry: &IndexEntry,
    record: bool,
) -> ChunkOutcome {
    let prove = |blob: &DataBlob| -> Result<()> {
        if !blob.kind().encrypted || key.is_some() {
            let key = key.filter(|_| blob.kind().encrypted);
            blob.decode_chunk(key, &entry.digest, entry.len() as usize)?;
        }
        Ok(())
    };
    let checked = store.chunks().read(&entry.digest).and_then(|blob| {
        prove(&blob)?;
        Ok(blob)
    });
    let blob = match checked {
        Ok(blob) => blob,
        Err(error) => {
            // At once, while the verdict is fresh; and what was set aside is looked at once more,
            // because a backup may just have written the chunk anew.
            let damaged = error.is_damaged() || error.is_unreadable();
            let set_aside = if record && damaged {
                let is_sound = |blob: &DataBlob| prove(blob).is_ok();
                store.chunks().set_aside(&entry.digest, &is_sound).unwrap_or(None)
            } else {
                None
            };
            return ChunkOutcome::Corrupt { error, set_aside };
        }
    };
    let encrypted = blob.kind().encrypted;
    if encrypted != (file.crypt_mode == CryptMode::Encrypt) {
        return ChunkOutcome::WrongMode(format!(
            "chunk {} is {}, the archive's mode is {}",
            entry.digest,
            if encrypted { "encrypted" } else { "not encrypted" },
            file.crypt_mode
        ));
    }
    ChunkOutcome::Good
}

fn check_blob(reader: &SnapshotReader, file: &FileInfo, key: Option<&CryptConfig>) -> Result<()> {
    let blob = reader.blob(&file.filename)?;
    if !blob.kind().encrypted || key.is_some() {
        reader.blob_content(&file.filename, key)?;
    }
    Ok(())
}

/// Writes the result into the manifest, under the manifest's lock and without touching what is
/// signed.
fn record(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
    ok: bool,
    task: &TaskName,
) -> Result<()> {
    let state = VerifyState {
        state: if ok { VerifyResult::Ok } else { VerifyResult::Failed },
        upid: task.upid.clone(),
    };
    let _lock = store.locks().manifest(namespace, snapshot)?;
    let mut manifest = crate::snapshot::reader::load_manifest(store, namespace, snapshot)?;
    manifest.set_verify_state(&state)?;
    let path = store.snapshot_dir(namespace, snapshot).join(MANIFEST_NAME);
    let blob = manifest.to_blob()?;
    let mode = crate::datastore::FILE_MODE;
    replace_file(&**store.storage(), &path, &[blob.as_bytes()], mode, store.durability())
}
