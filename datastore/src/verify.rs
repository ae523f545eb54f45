//! Verifying that stored snapshots are what they were.
//!
//! Every file of a snapshot is held against its manifest, every chunk is read once per run,
//! unpacked and held against its digest. Without the key of an encrypted chunk only its CRC can be
//! checked; with the key its content is. Damage never stops a run: the point is to know all of it.
//! A damaged chunk is set aside so that the next backup of its content heals it.
//!
//! # Why a verdict can be believed
//!
//! * A snapshot is verified under its shared lock: it cannot be removed, and so garbage collection
//!   keeps its chunks, until its result is written.
//! * A chunk counts as good for the rest of a run only as far as it was proved: one that was read
//!   without its key is read again when a snapshot comes whose key is at hand.
//! * A chunk is condemned only by a key that has proved that it made the snapshot, and what was set
//!   aside is read once more under the lock of its name, because it may just have been written anew.
//! * "Skipped" means that somebody is writing the snapshot or has removed it. A folder that nobody
//!   writes and that has no manifest is a failure: it is what an interrupted backup leaves, and
//!   somebody should know.

mod chunks;
mod digest_set;
mod findings;
mod selection;

use std::sync::Arc;

use serde::Serialize;

use self::chunks::{Archive, Reading, Seen};
use self::findings::Findings;
use crate::crypt::CryptConfig;
use crate::datastore::{Datastore, OddNames};
use crate::error::{Error, Result};
use crate::hierarchy::{ArchiveKind, Namespace, SnapshotPath, qualified_name};
use crate::manifest::{FileInfo, VerifyResult, VerifyState};
use crate::progress::Progress;
use crate::snapshot::SnapshotReader;

pub use selection::{Selected, Selection, SkipVerified};

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
#[serde(rename_all = "kebab-case")]
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
    /// What is wrong; at most a thousand messages.
    pub errors: Vec<String>,
    /// How much is wrong: a damaged chunk counts as often as the snapshot needs it.
    pub error_count: u64,
}

impl SnapshotReport {
    fn skip(mut self, why: impl Into<String>) -> SnapshotReport {
        self.ok = true;
        self.skipped = Some(why.into());
        self
    }

    fn fail(mut self, why: String) -> SnapshotReport {
        self.errors.push(why);
        self.error_count = 1;
        self
    }
}

/// Told where a run is.
pub trait Observer {
    /// The next snapshot is looked at.
    fn begin(&mut self, _namespace: &Namespace, _snapshot: &SnapshotPath) {}
    /// That is how it went.
    fn done(&mut self, _report: SnapshotReport) {}
}

/// A whole run.
#[derive(Debug, Default)]
pub struct Summary {
    /// Snapshots that were listed.
    pub snapshots: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that were not looked at.
    pub skipped: u64,
    /// Different chunks that were found good.
    pub chunks: u64,
    /// What could not be listed. Its snapshots were not verified.
    pub unlisted: Vec<Error>,
}

impl Summary {
    /// True if everything was listed and nothing failed.
    pub fn is_ok(&self) -> bool {
        self.failed == 0 && self.unlisted.is_empty()
    }
}

/// Verifies the snapshots of a selection, one after the other. `Err` only if the selection is empty
/// for want of its namespace or group, or if the run is aborted; results until then are recorded.
pub fn run(
    store: &Arc<Datastore>,
    selection: &Selection,
    skip: SkipVerified,
    options: &Options,
    progress: &dyn Progress,
    odd: &mut dyn OddNames,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let selected = selection.list(store, odd)?;
    let mut summary = Summary { unlisted: selected.failures, ..Summary::default() };
    let mut verifier = Verifier::new(store, options, progress).skip_verified(skip);
    for (namespace, snapshot) in &selected.snapshots {
        observer.begin(namespace, snapshot);
        let report = verifier.snapshot(namespace, snapshot)?;
        summary.snapshots += 1;
        summary.failed += u64::from(!report.ok);
        summary.skipped += u64::from(report.skipped.is_some());
        observer.done(report);
    }
    summary.chunks = verifier.verified_chunks() as u64;
    Ok(summary)
}

/// Verifies snapshots of one store; knows which chunks it has seen.
pub struct Verifier<'a> {
    store: &'a Arc<Datastore>,
    options: &'a Options,
    progress: &'a dyn Progress,
    skip: SkipVerified,
    seen: Seen,
}

impl<'a> Verifier<'a> {
    /// A run over a store.
    pub fn new(
        store: &'a Arc<Datastore>,
        options: &'a Options,
        progress: &'a dyn Progress,
    ) -> Verifier<'a> {
        Verifier { store, options, progress, skip: SkipVerified::No, seen: Seen::new() }
    }

    /// Leaves out snapshots that were verified before.
    #[must_use]
    pub fn skip_verified(mut self, skip: SkipVerified) -> Verifier<'a> {
        self.skip = skip;
        self
    }

    /// Number of different chunks that were found good so far.
    pub fn verified_chunks(&self) -> usize {
        self.seen.good()
    }

    /// Verifies one snapshot. `Err` if the run is aborted, or if the system refused something for a
    /// reason that says nothing of the data ([`Error::is_inconclusive`]): then there is no verdict, and
    /// none is recorded.
    pub fn snapshot(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<SnapshotReport> {
        if self.progress.is_aborted() {
            return Err(Error::Aborted);
        }
        let report = SnapshotReport {
            ns: namespace.to_string(),
            snapshot: snapshot.to_string(),
            ok: false,
            skipped: None,
            errors: Vec::new(),
            error_count: 0,
        };
        if snapshot.group().to_string() == BENCHMARK_GROUP {
            return Ok(report.skip("benchmarks hold no data"));
        }
        let reader = match SnapshotReader::open(self.store, namespace, snapshot) {
            Ok(reader) => reader,
            Err(error) if error.is_inconclusive() => return Err(error),
            Err(error) => return Ok(self.explain(report, namespace, snapshot, error)),
        };
        let state = reader.manifest().verify_state();
        if self.skip.skips(state.as_ref(), crate::time::now()) {
            let result = match state.map(|state| state.state) {
                Some(VerifyResult::Failed) => "verified before, and failed",
                _ => "verified before",
            };
            return Ok(report.skip(result));
        }
        self.check(&reader, report)
    }

    /// Why a snapshot could not be opened, and what that means.
    fn explain(
        &self,
        report: SnapshotReport,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        error: Error,
    ) -> SnapshotReport {
        if error.is_retryable() {
            return report.skip(error.to_string());
        }
        if !error.is_missing() {
            return report.fail(error.to_string());
        }
        if self.store.storage().meta(&self.store.snapshot_dir(namespace, snapshot)).is_err() {
            return report.skip("it was removed meanwhile");
        }
        let ns = if namespace.is_root() { String::new() } else { format!(" --ns {namespace}") };
        report.fail(format!(
            "it has no manifest and nobody is writing it: its backup was interrupted; \
             'capstan snapshot forget {snapshot}{ns}' removes what is left of it"
        ))
    }

    fn check(
        &mut self,
        reader: &SnapshotReader,
        mut report: SnapshotReport,
    ) -> Result<SnapshotReport> {
        let mut findings = Findings::default();
        self.check_manifest(reader, &mut findings);
        for file in reader.manifest().files().to_vec() {
            findings.next_file();
            self.check_file(reader, &file, &mut findings)?;
        }
        (report.errors, report.error_count) = findings.finish();
        report.ok = report.errors.is_empty();
        if let Some(task) = &self.options.record
            && let Err(error) = self.record(reader, report.ok, task)
        {
            report.ok = false;
            report.errors.push(format!("cannot record the result: {error}"));
            report.error_count += 1;
        }
        Ok(report)
    }

    fn check_manifest(&self, reader: &SnapshotReader, findings: &mut Findings) {
        if !reader.manifest().belongs_to(reader.snapshot()) {
            findings.add_general("its manifest is that of another snapshot".into());
        }
        if let Some(key) = self.named_key(reader)
            && let Err(error) = reader.check_key(key)
        {
            findings.add_general(error.to_string());
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
        findings: &mut Findings,
    ) -> Result<()> {
        let key = self.key_of(reader).cloned();
        let checked = match ArchiveKind::of(&file.filename) {
            Some(ArchiveKind::Blob) => check_blob(reader, file, key.as_deref()),
            Some(_) => return self.check_archive(reader, file, key, findings),
            None => {
                Err(Error::damaged(file.filename.clone(), "its name is not that of an archive"))
            }
        };
        match checked {
            Err(error) if error.is_inconclusive() => Err(error),
            Err(error) => {
                findings.add_general(error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn check_archive(
        &mut self,
        reader: &SnapshotReader,
        file: &FileInfo,
        key: Option<Arc<CryptConfig>>,
        findings: &mut Findings,
    ) -> Result<()> {
        let index = match reader.index(&file.filename) {
            Ok(index) => index,
            Err(error) if error.is_inconclusive() => return Err(error),
            Err(error) => {
                findings.add_general(error.to_string());
                return Ok(());
            }
        };
        let csum = index.compute_csum();
        if csum != index.header().csum {
            let said = index.header().csum;
            let text = format!("its header says its checksum is {said}, but it is {csum}");
            findings.add(&file.filename, None, &text, 1);
        }
        let archive =
            Archive { filename: &file.filename, crypt_mode: file.crypt_mode, index: &index, key };
        let reading = Reading {
            store: self.store,
            progress: self.progress,
            threads: self.options.threads,
            set_aside: self.options.record.is_some(),
        };
        reading.check(&archive, &mut self.seen, findings)
    }

    /// Writes the result into the manifest.
    fn record(&self, reader: &SnapshotReader, ok: bool, task: &TaskName) -> Result<()> {
        let state = VerifyState {
            state: if ok { VerifyResult::Ok } else { VerifyResult::Failed },
            upid: task.upid.clone(),
        };
        self.store.update_manifest(reader.namespace(), reader.snapshot(), &mut |manifest| {
            manifest.set_verify_state(&state)
        })?;
        Ok(())
    }
}

/// The full name of the snapshot that a report is about.
impl std::fmt::Display for SnapshotReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.ns.parse::<Namespace>(), self.snapshot.parse::<SnapshotPath>()) {
            (Ok(namespace), Ok(snapshot)) => f.write_str(&qualified_name(&namespace, &snapshot)),
            _ => f.write_str(&self.snapshot),
        }
    }
}

fn check_blob(reader: &SnapshotReader, file: &FileInfo, key: Option<&CryptConfig>) -> Result<()> {
    let blob = reader.blob(&file.filename)?;
    if !blob.kind().encrypted || key.is_some() {
        reader.blob_content(&file.filename, key)?;
    }
    Ok(())
}
