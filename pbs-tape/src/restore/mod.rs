//! Tape to datastore.
//!
//! Why a restored snapshot is whole: its files wait in a temporary folder (`pending`) and go through the
//! datastore's writer once its chunks are there. The manifest, which is what makes a snapshot exist, is written
//! last, after every index and blob was found to be what the manifest says and every chunk that an
//! index names was found in the datastore. A snapshot that lacks anything is not made visible; it is
//! reported by name. Every chunk from tape is checked before it is stored: its CRC always, its digest
//! unless it is encrypted.
//!
//! So tapes come in whatever order they can be had (`supply`), and a restore that was ended in any way goes on with the same
//! command: snapshots that exist are left alone, chunks and files that are there are not read again (`lacking`, `list`).
//!
//! Damage does not end a restore. What is wrong with one file of one tape is reported at the end, and
//! everything else is brought back: a user who restores from tape has no other copy.

pub(crate) mod chunks;
mod full;
mod lacking;
mod list;
mod mapping;
mod namespaces;
mod pending;
mod plan;
mod selection;
mod supply;
pub(crate) mod tape_files;
pub(crate) mod unpack;
mod waiting;

use std::sync::Arc;
use std::time::{Duration, Instant};

use datastore::lock::SharedGuard;
use datastore::{Digest, Progress};
use serde::Serialize;
use uuid::Uuid;

pub use mapping::{StoreMap, Target};

pub use namespaces::NamespaceMap;
pub use plan::{Needed, PlannedSnapshot, PlannedTape, RestorePlan, plan_restore};

use crate::error::{Error, Result};
use crate::loader::{MediaLoader, MediaWait};
use crate::media::set::SetCatalogs;
use crate::media::{Inventory, MediaId, MediaSet, StateDir};
use plan::Planner;

/// What is restored, and how.
#[derive(Clone)]
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

impl RestoreOptions {
    /// True if nothing was chosen.
    fn is_whole_set(&self) -> bool {
        self.snapshots.is_empty() && !self.stores.has_namespaces()
    }
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
        self.refused(progress, snapshot, error.to_string());
    }

    fn refused(&mut self, progress: &dyn Progress, snapshot: &str, reason: String) {
        progress.warn(&format!("snapshot {snapshot} was not restored: {reason}"));
        self.snapshots_failed.push((snapshot.to_string(), reason));
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
    let set = known_set(&inventory, &options.media_set)?;
    // And nobody may collect garbage before the snapshots are there that keep the chunks.
    let _store_locks: Vec<SharedGuard> = options
        .stores
        .targets()
        .iter()
        .map(|target| target.store.process_lock().try_shared())
        .collect::<Result<_, _>>()?;
    let job = Job { state, inventory: &inventory, options, progress };
    let mut report = RestoreReport::new(options.media_set);
    // A tape or catalog that is lost costs no more than what was only there: every snapshot is checked
    // for all its chunks before it appears.
    let (catalogs, lacking_catalogs) = SetCatalogs::load_available(state, &inventory, &set)?;
    // Who names snapshots gets them or is told. Else nobody may take what comes back for everything.
    let is_chosen = !options.snapshots.is_empty();
    if let Err(e) = set.require_complete() {
        match is_chosen {
            true => progress.warn(&e.to_string()),
            false => report.damaged(progress, &e),
        }
    }
    for error in lacking_catalogs.iter().filter(|_| !options.is_whole_set()) {
        match is_chosen {
            true => progress.warn(&error.to_string()),
            false => report.damaged(progress, error),
        }
    }
    let selection = selection::select(options, &catalogs)?;
    report.snapshots_skipped.extend(selection.skipped.iter().cloned());
    for (name, reason) in &selection.failed {
        report.refused(progress, name, reason.clone());
    }
    let touch = |target: &Target, digest: &Digest| Ok(target.store.chunks().touch(digest)?);
    let mut planner = Planner { job: &job, catalogs: &catalogs, unknown: Vec::new() };
    if options.is_whole_set() {
        let members = known_members(&set);
        let read = plan::read_before(&job, &selection)?;
        let stores = &options.stores;
        let needs = lacking::lacking(&members, &catalogs, stores, &selection, &read, &touch)?;
        planner.whole_set(&selection, &needs)?.tell(progress);
        full::restore(&job, loader, &members, selection, needs, &mut report)?;
    } else {
        planner.chosen(&selection, &touch, None)?.tell(progress);
        list::restore(&job, loader, &set, &catalogs, selection.wanted, &mut report)?;
    }
    report.duration = start.elapsed();
    Ok(report)
}

/// A set that the inventory knows at least one tape of.
fn known_set(inventory: &Inventory, uuid: &Uuid) -> Result<MediaSet> {
    let set = inventory.media_set(uuid)?;
    if set.is_empty() {
        return Err(Error::UnknownMediaSet { set: *uuid });
    }
    Ok(set)
}

/// Its tapes that the inventory knows, in their order.
fn known_members(set: &MediaSet) -> Vec<Uuid> {
    set.members().iter().copied().flatten().collect()
}

struct Job<'a> {
    state: &'a StateDir,
    inventory: &'a Inventory,
    options: &'a RestoreOptions,
    progress: &'a dyn Progress,
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
