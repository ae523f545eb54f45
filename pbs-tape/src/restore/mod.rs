//! Tape to datastore.
//!
//! Why a restored snapshot is whole: its files are unpacked into its folder (or, where its chunks come
//! later, into a temporary one), and the manifest, which is what makes a snapshot exist, is written
//! last, after every index and blob was found to be what the manifest says and every chunk that an
//! index names was found in the datastore. A snapshot that lacks anything is not made visible; it is
//! reported by name. Every chunk from tape is checked before it is stored: its CRC always, its digest
//! unless it is encrypted.
//!
//! Damage does not end a restore. What is wrong with one file of one tape is reported at the end, and
//! everything else is brought back: a user who restores from tape has no other copy.

pub(crate) mod chunks;
mod full;
mod list;
mod mapping;
pub(crate) mod tape_files;
pub(crate) mod unpack;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datastore::Progress;
use datastore::lock::SharedGuard;
use serde::Serialize;
use uuid::Uuid;

pub use mapping::{StoreMap, Target};

use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::loader::{MediaLoader, MediaWait, request_media};
use crate::media::{Inventory, MediaId, StateDir};

/// What is restored, and how.
pub struct RestoreOptions {
    /// The set.
    pub media_set: Uuid,
    /// Where to.
    pub stores: StoreMap,
    /// `store:[ns/…/]type/id/time`; none = everything.
    pub snapshots: Vec<String>,
    /// Owner of groups that are created, `user@realm`.
    pub owner: String,
    /// How long to wait for tapes that have to be brought.
    pub wait: MediaWait,
    /// How many threads check and store chunks.
    pub writers: usize,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RestoreReport {
    /// The set.
    pub media_set_uuid: Uuid,
    /// Label texts of the tapes read, in order.
    pub tapes: Vec<String>,
    /// `store:snapshot` of what was restored.
    pub snapshots_restored: Vec<String>,
    /// What was left out on purpose, with the reason.
    pub snapshots_skipped: Vec<(String, String)>,
    /// What could not be restored, with the reason.
    pub snapshots_failed: Vec<(String, String)>,
    /// Other damage met on the tapes.
    pub damage: Vec<String>,
    /// Chunks stored.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub chunk_bytes: u64,
    /// Chunks that were in the datastore already.
    pub chunks_present: u64,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl RestoreReport {
    fn new(media_set_uuid: Uuid) -> RestoreReport {
        RestoreReport {
            media_set_uuid,
            tapes: Vec::new(),
            snapshots_restored: Vec::new(),
            snapshots_skipped: Vec::new(),
            snapshots_failed: Vec::new(),
            damage: Vec::new(),
            chunks: 0,
            chunk_bytes: 0,
            chunks_present: 0,
            duration: Duration::ZERO,
        }
    }

    /// The error that the restore should end with, if anything is missing.
    pub fn into_result(self) -> Result<RestoreReport> {
        let failures: Vec<String> = self
            .snapshots_failed
            .iter()
            .map(|(snapshot, reason)| format!("{snapshot}: {reason}"))
            .chain(self.damage.iter().cloned())
            .collect();
        match failures.first() {
            None => Ok(self),
            Some(first) => Err(Error::Partial { failed: failures.len(), first: first.clone() }),
        }
    }

    fn failed(&mut self, progress: &dyn Progress, snapshot: &str, error: &Error) {
        progress.warn(&format!("snapshot {snapshot} was not restored: {error}"));
        self.snapshots_failed.push((snapshot.to_string(), error.to_string()));
    }

    fn damaged(&mut self, progress: &dyn Progress, error: &Error) {
        progress.warn(&error.to_string());
        self.damage.push(error.to_string());
    }
}

/// Restores a media set, or chosen snapshots of it. The drive must be locked by the caller.
///
/// `Err` means that the job ended early; what could not be restored otherwise is in the report, see
/// [`RestoreReport::into_result`].
pub fn run_restore(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    let start = Instant::now();
    // Nobody may write on the set, or reuse its tapes, from here on: what the inventory says about
    // it is only true under this lock.
    let _set_lock = state.lock_media_set(&options.media_set)?;
    let inventory = Inventory::load(state)?;
    let set = inventory.media_set(&options.media_set)?;
    if set.is_empty() {
        return Err(Error::UnknownMediaSet { set: options.media_set });
    }
    // And nobody may collect garbage before the snapshots are there that keep the chunks.
    let _store_locks: Vec<SharedGuard> = options
        .stores
        .targets()
        .iter()
        .map(|target| target.store.process_lock().try_shared())
        .collect::<Result<_, _>>()?;
    let job = Job { state, inventory: &inventory, options, progress };
    let mut report = RestoreReport::new(options.media_set);
    if options.snapshots.is_empty() {
        // What the other tapes hold comes back, but nobody may take it for everything.
        if let Err(e) = set.require_complete() {
            report.damaged(progress, &e);
        }
        let members: Vec<Uuid> = set.members().iter().copied().flatten().collect();
        full::restore(&job, loader, &members, &mut report)?;
    } else {
        list::restore(&job, loader, &set, &mut report)?;
    }
    report.duration = start.elapsed();
    Ok(report)
}

struct Job<'a> {
    state: &'a StateDir,
    inventory: &'a Inventory,
    options: &'a RestoreOptions,
    progress: &'a dyn Progress,
}

impl Job<'_> {
    /// Loads a member of the set and compares its set label with the inventory. The tape stands at
    /// its first data file.
    fn load(
        &self,
        loader: &mut dyn MediaLoader,
        media: &Uuid,
        report: &mut RestoreReport,
    ) -> Result<(MediaId, Box<dyn TapeDevice>)> {
        let id = self.inventory.require(media)?.id.clone();
        let text = &id.label.label_text;
        if report.tapes.last() != Some(text) && !report.tapes.is_empty() {
            loader.unload(None)?;
        }
        let (device, labels) = request_media(loader, &id.label, self.options.wait, self.progress)?;
        check_set(&id, labels.media_set.map(|found| found.label), &self.options.media_set)?;
        if report.tapes.last() != Some(text) {
            report.tapes.push(text.clone());
        }
        Ok((id, device))
    }
}

/// True if an error is about one tape, or about the drive while that tape was in it: the other tapes
/// are worth a try. An abort, a datastore that takes no more and a state directory that can't be
/// written would meet every other tape as well.
pub(crate) fn is_about_one_tape(error: &Error) -> bool {
    match error.cause() {
        Error::Drive(e) => !e.is_aborted(),
        Error::Aborted | Error::Datastore(_) | Error::Io { .. } => false,
        // All tapes of a set have one key.
        Error::KeyMissing { .. } | Error::KeysDamaged { .. } => false,
        Error::CatalogOrder { .. } | Error::StreamMisuse(_) => false,
        _ => true,
    }
}

/// Refuses a tape that is not the member of the set that the inventory knows.
pub(crate) fn check_set(
    id: &MediaId,
    found: Option<crate::format::label::MediaSetLabel>,
    set: &Uuid,
) -> Result<()> {
    let wrong = |reason| Err(Error::WrongMediaSet { tape: id.label.label_text.clone(), reason });
    let Some(found) = found else {
        return wrong("it has no media-set label".into());
    };
    if found.uuid != *set {
        return wrong(format!("it belongs to media set {}", found.uuid));
    }
    match id.assigned_set() {
        Some(known) if known.seq_nr == found.seq_nr => Ok(()),
        _ => wrong(format!(
            "its label has sequence number {}, which the inventory does not know",
            found.seq_nr
        )),
    }
}

/// A shared handle on the target's datastore.
type SharedStore = Arc<datastore::Datastore>;

#[cfg(test)]
mod tests;
