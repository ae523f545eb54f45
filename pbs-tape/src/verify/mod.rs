//! Are the tapes still what was written?
//!
//! A verification reads a whole media set, one tape of it or chosen snapshots, and writes nothing: no datastore is
//! needed, and neither inventory nor catalogs are changed. Every block header, every chunk, every manifest with its
//! signature, every index and every catalog is held against what it should be; what is wrong is told with the tape, the
//! file and the snapshots that it costs something.
//!
//! Why a verdict can be believed:
//!
//! * "ok" is a snapshot whose archive was read to its end, whose files are what its manifest says, and each of whose chunks
//!   was read and proved in this run (its digest; for encrypted chunks without their key its CRC, which is counted apart).
//!   It reads with the same code as a restore and takes for readable what a restore brings back;
//! * "damaged" is only said of what the tape gave wrong, or of what a catalog promises on a tape that was read to its end. A
//!   drive that fails, a tape that does not come, an abort say nothing of the data: that is "unknown";
//! * a chunk without a good copy is decided about at the end ([`blame`]), because a later copy may be good;
//! * the set is locked, so nobody writes on its tapes or takes them for something else meanwhile.
//!
//! Memory: 40 bytes a chunk on the tapes, half as much again for a moment while lists merge; one index at a time; 40 bytes
//! for each chunk that an index names and that has no good copy yet. For chosen snapshots the last are all chunks that they
//! name, and the set's catalogs are loaded to find them.

mod blame;
mod catalogs;
mod chosen;
pub(crate) mod chunk;
mod history;
mod ledger;
mod report;
mod scope;
mod seen;
mod snapshot;
mod whole;

use std::sync::Arc;
use std::time::Instant;

use datastore::{CryptConfig, Progress};
use uuid::Uuid;

pub use history::{Choice, LastVerified, Sample, VerifyHistory, choose};
pub use report::{
    ChunkCounts, Damage, Signature, SnapshotState, TapeState, VerifiedSnapshot, VerifiedTape,
    VerifyReport,
};
pub use scope::{PlannedTape, VerifyPlan, VerifyScope};

use self::ledger::{Ledger, TapeFacts};
use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::loader::{MediaLoader, MediaWait, request_media};
use crate::media::{Inventory, MediaSet, StateDir};
use crate::restore::{check_set, is_about_one_tape, tape_files::is_tape_damage};

/// What is verified, and how.
pub struct VerifyOptions {
    /// What.
    pub scope: VerifyScope,
    /// Keys at hand, at most 250. Encrypted content is proved with the key that opens it.
    pub keys: Vec<Arc<CryptConfig>>,
    /// How many threads check chunks.
    pub threads: usize,
    /// How long to wait for tapes that have to be brought.
    pub wait: MediaWait,
}

struct Job<'a> {
    state: &'a StateDir,
    inventory: &'a Inventory,
    options: &'a VerifyOptions,
    progress: &'a dyn Progress,
    set: Uuid,
    members: MediaSet,
}

/// Verifies. The drive must be locked by the caller.
///
/// `Err` means that the run ended early, by request or because nothing can be read at all; everything else is in the
/// report, see [`VerifyReport::into_result`].
pub fn run_verify(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    options: &VerifyOptions,
    progress: &dyn Progress,
) -> Result<VerifyReport> {
    let start = Instant::now();
    if options.keys.len() > chunk::KEYS_MAX {
        return Err(Error::BadArgument {
            what: "number of keys",
            value: options.keys.len().to_string(),
            reason: format!("at most {} can be told apart", chunk::KEYS_MAX),
        });
    }
    let set = options.scope.media_set();
    let _set_lock = state.lock_media_set(&set)?;
    let inventory = Inventory::load(state)?;
    let members = inventory.media_set(&set)?;
    if members.is_empty() {
        return Err(Error::UnknownMediaSet { set });
    }
    let job = Job { state, inventory: &inventory, options, progress, set, members };
    let mut ledger = Ledger::default();
    match &options.scope {
        VerifyScope::Set(_) => {
            if let Err(error) = job.members.require_complete() {
                progress.warn(&error.to_string());
                ledger.unverified.push(error.to_string());
            }
            job.whole(loader, &job.in_order(), &mut ledger)?;
        }
        VerifyScope::Tape { media, .. } => job.whole(loader, &[*media], &mut ledger)?,
        VerifyScope::Snapshots { names, .. } => chosen::verify(&job, loader, names, &mut ledger)?,
    }
    blame::settle(&job, &mut ledger)?;
    Ok(report(set, ledger, start))
}

fn report(set: Uuid, ledger: Ledger, start: Instant) -> VerifyReport {
    let tapes = ledger.tapes.into_iter().map(|tape| VerifiedTape {
        label_text: tape.id.label.label_text.clone(),
        uuid: tape.id.label.uuid,
        state: tape.state,
        files: tape.files_read,
    });
    VerifyReport {
        media_set_uuid: set,
        tapes: tapes.collect(),
        snapshots: ledger.snapshots,
        damage: ledger.damage,
        damage_count: ledger.damage_count,
        differences: ledger.differences,
        unverified: ledger.unverified,
        chunks: ledger.counts,
        bytes: ledger.bytes,
        duration: start.elapsed(),
    }
}

impl Job<'_> {
    /// The tapes of the set that are known, in their order.
    fn in_order(&self) -> Vec<Uuid> {
        self.members.members().iter().copied().flatten().collect()
    }

    fn whole(
        &self,
        loader: &mut dyn MediaLoader,
        tapes: &[Uuid],
        ledger: &mut Ledger,
    ) -> Result<()> {
        for media in tapes {
            self.with_tape(loader, media, ledger, TapeState::Read, |device, tape, ledger| {
                whole::verify_tape(self, device, tape, ledger)
            })?;
        }
        Ok(())
    }

    /// Loads a tape of the set and does something with it. `Err` if the run can't go on; that this tape can't be
    /// read is noted. `state` is what the tape is in if all goes well and `work` says nothing else.
    fn with_tape(
        &self,
        loader: &mut dyn MediaLoader,
        media: &Uuid,
        ledger: &mut Ledger,
        state: TapeState,
        work: impl FnOnce(&mut dyn TapeDevice, usize, &mut Ledger) -> Result<()>,
    ) -> Result<()> {
        let id = self.inventory.require(media)?.id.clone();
        let text = id.label.label_text.clone();
        let is_loaded = ledger.tapes.last().is_some_and(|tape| tape.id == id);
        if !is_loaded && !ledger.tapes.is_empty() {
            loader.unload(None)?;
        }
        let known = ledger.tapes.iter().position(|tape| tape.id == id);
        let tape = known.unwrap_or(ledger.tapes.len());
        if known.is_none() {
            let files = std::collections::BTreeMap::new();
            let (state, reason) = (TapeState::Partly, String::new());
            ledger.tapes.push(TapeFacts { id: id.clone(), state, reason, files, files_read: 0 });
        }
        let loaded = request_media(loader, &id.label, self.options.wait, self.progress).and_then(
            |(device, labels)| {
                check_set(&id, labels.media_set.map(|found| found.label), &self.set)?;
                Ok(device)
            },
        );
        let (result, failed) = match loaded {
            Ok(mut device) => {
                let result = work(&mut *device, tape, ledger);
                if result.is_ok() && state == TapeState::Chosen {
                    whole::set_state(ledger, tape, state, String::new());
                }
                (result, TapeState::Partly)
            }
            Err(error) if is_tape_damage(&error) => {
                self.progress.warn(&error.to_string());
                ledger.add_damage(&text, None, error.to_string());
                whole::set_state(ledger, tape, TapeState::Unreadable, error.to_string());
                // For chosen snapshots it was the catalog that led here.
                return match state {
                    TapeState::Read => whole::compare_local_catalog(self, tape, ledger),
                    _ => Ok(()),
                };
            }
            Err(error) => (Err(error), TapeState::Missing),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) if is_about_one_tape(&error) => {
                self.progress.warn(&error.to_string());
                ledger.unverified.push(format!("tape {text}: {error}"));
                whole::set_state(ledger, tape, failed, error.to_string());
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
