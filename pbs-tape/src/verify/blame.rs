//! The end of a verification: whose are the chunks that were not found good?
//!
//! Each is looked for once more, among all that was read; then among the damaged copies; then in the catalogs, which
//! tell where it should be. On a tape that was read it is lost. On one that was not to be read nothing is said of it; on
//! one that could not be had, it is unknown. What no catalog knows is on none of the tapes, provided that all were
//! read or told by their catalogs.

use super::Job;
use super::ledger::{Archive, Found, Ledger, Need};
use super::report::{SnapshotState, TapeState};
use crate::error::Result;
use crate::media::set::SetCatalogs;

/// What became of a chunk that has no good copy.
enum Fate {
    /// Lost, by which damage if that is listed, and why.
    Lost { damage: Option<usize>, file: Option<(String, u64)>, reason: String },
    /// On a tape that was not to be read.
    Elsewhere,
    /// It could not be read, and may be good.
    Unread,
    /// A later copy was good.
    Good,
}

/// Decides about every chunk that is still needed.
pub(super) fn settle(job: &Job<'_>, ledger: &mut Ledger) -> Result<()> {
    let needs = std::mem::take(&mut ledger.needs);
    if needs.is_empty() {
        return Ok(());
    }
    let (catalogs, lacking) = SetCatalogs::load_available(job.state, job.inventory, &job.members)?;
    let places =
        Places { job, catalogs, all_told: lacking.is_empty() && job.members.is_complete() };
    for need in needs {
        let Some(archive) = ledger.archives.get(need.archive as usize).cloned() else { continue };
        let fate = places.fate(ledger, &archive, &need)?;
        let (damage, file, reason) = match fate {
            Fate::Good => continue,
            Fate::Elsewhere => {
                if let Some(snapshot) = ledger.snapshots.get_mut(archive.snapshot) {
                    snapshot.chunks_elsewhere += 1;
                }
                continue;
            }
            Fate::Unread => {
                if let Some(snapshot) = ledger.snapshots.get_mut(archive.snapshot) {
                    snapshot.chunks_unread += 1;
                    if snapshot.state == SnapshotState::Ok {
                        snapshot.state = SnapshotState::Unknown;
                    }
                }
                continue;
            }
            Fate::Lost { damage, file, reason } => (damage, file, reason),
        };
        if let Some(snapshot) = ledger.snapshots.get_mut(archive.snapshot) {
            snapshot.fail(format!("{}: chunk {}: {reason}", archive.name, need.digest));
        }
        match (damage, file) {
            (Some(damage), _) => ledger.blame(Some(damage), archive.snapshot),
            (None, Some((tape, file))) => {
                if !ledger.blame_file(&tape, file, archive.snapshot) {
                    let reason = "chunks are gone that the catalog says are in it".to_string();
                    let damage = ledger.add_damage(&tape, Some(file), reason);
                    ledger.blame(damage, archive.snapshot);
                }
            }
            (None, None) => {}
        }
    }
    Ok(())
}

struct Places<'a> {
    job: &'a Job<'a>,
    catalogs: SetCatalogs,
    /// The tapes that were not read are known by their catalogs.
    all_told: bool,
}

impl Places<'_> {
    fn fate(&self, ledger: &Ledger, archive: &Archive, need: &Need) -> Result<Fate> {
        let unfit = match ledger.look_for(archive, need) {
            Found::Good => return Ok(Fate::Good),
            Found::Unfit(reason) => Some(reason),
            Found::Nothing => None,
        };
        if let Some(damage) = ledger.find_bad(archive.store, &need.digest) {
            let place = damage.and_then(|damage| ledger.damage.get(damage));
            let reason = place.map_or("it is damaged".into(), |damage| damage.to_string());
            return Ok(Fate::Lost { damage, file: None, reason });
        }
        let place = self.catalogs.find_chunk(ledger.store(archive.store), &need.digest)?;
        if let Some(reason) = unfit {
            return Ok(Fate::Lost { damage: None, file: self.named(place), reason });
        }
        let Some((media, file)) = place else {
            let unread = ledger.tapes.iter().any(|tape| tape.state != TapeState::Read);
            return Ok(if self.all_told || (!unread && self.has_read_all(ledger)) {
                let reason = "it is on none of the tapes".to_string();
                Fate::Lost { damage: None, file: None, reason }
            } else if self.has_read_all(ledger) {
                Fate::Unread
            } else {
                Fate::Elsewhere
            });
        };
        let Some(tape) = ledger.tapes.iter().find(|tape| tape.id.label.uuid == media) else {
            return Ok(Fate::Elsewhere);
        };
        let text = tape.text().to_owned();
        let reason = match tape.state {
            TapeState::Missing | TapeState::Partly => return Ok(Fate::Unread),
            TapeState::Unreadable => format!("it is on tape {text}: {}", tape.reason),
            TapeState::Read | TapeState::Chosen => {
                format!(
                    "the catalog says it is in file {file} of tape {text}, where it can't be read"
                )
            }
        };
        Ok(Fate::Lost { damage: None, file: Some((text, file)), reason })
    }

    fn named(&self, place: Option<(uuid::Uuid, u64)>) -> Option<(String, u64)> {
        let (media, file) = place?;
        let entry = self.job.inventory.get(&media)?;
        Some((entry.id.label.label_text.clone(), file))
    }

    /// True if every tape of the set that there is was to be read.
    fn has_read_all(&self, ledger: &Ledger) -> bool {
        self.job.members.is_complete()
            && self
                .job
                .members
                .members()
                .iter()
                .flatten()
                .all(|media| ledger.tapes.iter().any(|tape| tape.id.label.uuid == *media))
    }
}
