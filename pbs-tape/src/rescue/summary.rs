//! From notes, catalogs and what is in the datastores to a report.

use std::collections::BTreeMap;

use datastore::Digest;
use uuid::Uuid;

use super::Rescue;
use super::held::Facts;
use super::notes::{Content, TapeNote};
use super::report::{
    Lacking, RescueDamage, RescueFileReport, RescueReport, RescueSetReport, RescueSnapshotReport,
    RescueTapeReport, SnapshotState, TapeState,
};
use super::tape::Purpose;
use crate::error::Result;
use crate::media::MediaCatalog;
use crate::media::set::SetCatalogs;

/// Where the chunks of a snapshot are.
#[derive(Default)]
struct Whereabouts {
    chunks: u64,
    missing: u64,
    unknown: u64,
    lacking: BTreeMap<Uuid, u64>,
}

impl Rescue<'_> {
    pub(super) fn report(&mut self) -> Result<RescueReport> {
        let catalogs = self.catalogs();
        let facts: Vec<Facts> = self.held.iter().cloned().collect();
        let mut snapshots = Vec::new();
        for facts in &facts {
            snapshots.push(self.snapshot_report(facts, &catalogs)?);
        }
        snapshots.extend(self.damaged_snapshots());
        snapshots
            .sort_by(|a, b| (&a.store, &a.ns, &a.snapshot).cmp(&(&b.store, &b.ns, &b.snapshot)));
        Ok(RescueReport {
            tapes: self.tape_reports(),
            sets: self.set_reports(),
            snapshots,
            damage: self.damage_reports(),
            chunks: self.chunks,
            chunk_bytes: self.chunk_bytes,
            chunks_present: self.chunks_present,
            extracted: Vec::new(),
            duration: self.start.elapsed(),
        })
    }

    /// The catalogs that there are. One that can't be read is as good as none.
    fn catalogs(&self) -> SetCatalogs {
        let mut catalogs = SetCatalogs::default();
        for note in self.notes.values() {
            if let Ok(catalog) =
                MediaCatalog::load_one_of(self.folder.state(), &note.id, self.notes.len())
            {
                catalogs.insert(catalog);
            }
        }
        catalogs
    }

    fn tape_name(&self, media: &Uuid) -> String {
        self.notes.get(media).map_or_else(|| format!("tape {media}"), TapeNote::name)
    }

    fn whereabouts(&mut self, facts: &Facts, catalogs: &SetCatalogs) -> Result<Whereabouts> {
        let target = self.folder.existing_target(&facts.store)?;
        let mut found = Whereabouts::default();
        for digest in self.held.needed_chunks(self.folder, facts)? {
            found.chunks += 1;
            if let Some(target) = &target
                && target.store.chunks().touch(&digest)?
            {
                continue;
            }
            match self.place(facts, &digest, catalogs)? {
                // Where chunks are only passed over, their being on a tape is all that can be said.
                Some(media) if self.can_still_be_read(&media) => {}
                Some(media) => {
                    found.missing += 1;
                    *found.lacking.entry(media).or_default() += 1;
                }
                None => {
                    found.missing += 1;
                    found.unknown += 1;
                }
            }
        }
        Ok(found)
    }

    fn place(
        &self,
        facts: &Facts,
        digest: &Digest,
        catalogs: &SetCatalogs,
    ) -> Result<Option<Uuid>> {
        Ok(catalogs.find_chunk(&facts.store, digest)?.map(|(media, _)| media))
    }

    /// True for a tape whose chunks were passed over so far.
    fn can_still_be_read(&self, media: &Uuid) -> bool {
        let is_listing = self.options.purpose != Purpose::Rescue;
        is_listing
            && self
                .notes
                .get(media)
                .is_some_and(|note| note.is_seen && note.is_listed && !note.is_rescued)
    }

    fn snapshot_report(
        &mut self,
        facts: &Facts,
        catalogs: &SetCatalogs,
    ) -> Result<RescueSnapshotReport> {
        let found = match facts.is_published {
            true => Whereabouts::default(),
            false => self.whereabouts(facts, catalogs)?,
        };
        let lacking = found
            .lacking
            .iter()
            .map(|(media, chunks)| Lacking {
                tape: self.tape_name(media),
                chunks: *chunks,
                was_read: self.notes.get(media).is_some_and(|note| note.is_seen),
            })
            .collect();
        let state = match (facts.is_published, found.missing) {
            (true, _) => SnapshotState::Rescued,
            (false, 0) => SnapshotState::Complete,
            (false, _) => SnapshotState::Incomplete,
        };
        let (ns, path) = facts.path()?;
        Ok(RescueSnapshotReport {
            store: facts.store.clone(),
            ns: ns.to_string(),
            snapshot: path.to_string(),
            backup_time: path.time(),
            tape: self.tape_name(&facts.media),
            state,
            is_chosen: self.is_chosen(&facts.store, &facts.snapshot),
            size: facts.bytes(),
            files: facts
                .files
                .iter()
                .map(|file| RescueFileReport {
                    filename: file.filename.clone(),
                    size: file.size,
                    crypt_mode: file.crypt_mode,
                })
                .collect(),
            chunks: (!facts.is_published).then_some(found.chunks),
            missing_chunks: found.missing,
            lacking,
            unknown_chunks: found.unknown,
            reason: self.failed.get(&facts.name()).cloned(),
        })
    }

    /// Snapshots of which no archive can be read: what its head says.
    fn damaged_snapshots(&self) -> Vec<RescueSnapshotReport> {
        let mut damaged: BTreeMap<String, RescueSnapshotReport> = BTreeMap::new();
        for (media, note) in &self.notes {
            for file in note.files.values() {
                let Content::Snapshot { store, snapshot } = &file.content else { continue };
                if self.held.get(store, snapshot).is_some() {
                    continue;
                }
                let Ok((ns, path)) = datastore::hierarchy::parse_qualified_name(snapshot) else {
                    continue;
                };
                let name = format!("{store}:{snapshot}");
                let reason = file.damage.first().or(self.failed.get(&name)).cloned();
                damaged.entry(name).or_insert_with(|| RescueSnapshotReport {
                    store: store.clone(),
                    ns: ns.to_string(),
                    snapshot: path.to_string(),
                    backup_time: path.time(),
                    tape: self.tape_name(media),
                    state: SnapshotState::Damaged,
                    is_chosen: self.is_chosen(store, snapshot),
                    size: 0,
                    files: Vec::new(),
                    chunks: None,
                    missing_chunks: 0,
                    lacking: Vec::new(),
                    unknown_chunks: 0,
                    reason,
                });
            }
        }
        damaged.into_values().collect()
    }

    fn tape_reports(&self) -> Vec<RescueTapeReport> {
        let mut reports: Vec<RescueTapeReport> = Vec::new();
        for (media, note) in &self.notes {
            let met = self.met.iter().rev().find(|met| met.media == Some(*media));
            let state = match met {
                Some(met) => met.state,
                None if !note.is_seen => TapeState::NotSeen,
                None if !note.is_listed => TapeState::Partly,
                None if note.is_damaged() => TapeState::Damaged,
                None => TapeState::Read,
            };
            let reason = met.map(|met| met.reason.clone()).filter(|reason| !reason.is_empty());
            let set = note.id.assigned_set();
            reports.push(RescueTapeReport {
                label_text: note.id.label.label_text.clone(),
                uuid: Some(*media),
                media_set_uuid: set.map(|set| set.uuid),
                pool: set.map(|set| set.pool.clone()),
                seq_nr: set.map(|set| set.seq_nr),
                state,
                reason: reason.or(note.problem.clone()).unwrap_or_default(),
                files: note.files.len() as u64,
                has_catalog: MediaCatalog::exists(self.folder.state(), media),
            });
        }
        reports.sort_by(|a, b| {
            let key =
                |one: &RescueTapeReport| (one.media_set_uuid, one.seq_nr, one.label_text.clone());
            key(a).cmp(&key(b))
        });
        let others = self.met.iter().filter(|met| met.media.is_none());
        reports.extend(others.map(|met| RescueTapeReport {
            label_text: met.label_text.clone(),
            uuid: None,
            media_set_uuid: None,
            pool: None,
            seq_nr: None,
            state: met.state,
            reason: met.reason.clone(),
            files: 0,
            has_catalog: false,
        }));
        reports
    }

    pub(super) fn set_reports(&self) -> Vec<RescueSetReport> {
        let mut sets: BTreeMap<Uuid, (String, BTreeMap<u64, Option<&TapeNote>>)> = BTreeMap::new();
        for note in self.notes.values() {
            let Some(set) = note.id.assigned_set() else { continue };
            let (_, tapes) =
                sets.entry(set.uuid).or_insert_with(|| (set.pool.clone(), BTreeMap::new()));
            let place = tapes.entry(set.seq_nr).or_default();
            *place = place.or(note.is_seen.then_some(note));
        }
        sets.into_iter()
            .map(|(uuid, (pool, tapes))| {
                let mut missing = Vec::new();
                let mut next = 0;
                for (seq_nr, tape) in &tapes {
                    // A number on a damaged label may be anything.
                    missing.extend((next..*seq_nr).take(MISSING_TOLD_MAX));
                    if tape.is_none() {
                        missing.push(*seq_nr);
                    }
                    next = seq_nr.saturating_add(1);
                }
                let last = tapes.values().next_back().copied().flatten();
                let has_end = last.is_some_and(|note| {
                    let last = note.files.values().next_back().map(|file| &file.content);
                    last == Some(&Content::Catalog { of: note.id.label.uuid })
                });
                let tapes = tapes.into_values().flatten().map(TapeNote::name).collect();
                RescueSetReport { uuid, pool, tapes, missing, has_end }
            })
            .collect()
    }

    fn damage_reports(&self) -> Vec<RescueDamage> {
        let mut reports = Vec::new();
        for note in self.notes.values() {
            for (number, file) in note.files.iter().filter(|(_, file)| file.damage_count > 0) {
                let snapshot = match &file.content {
                    Content::Snapshot { store, snapshot } => Some(format!("{store}:{snapshot}")),
                    _ => None,
                };
                reports.push(RescueDamage {
                    tape: note.name(),
                    file: *number,
                    snapshot,
                    reasons: file.damage.clone(),
                    count: file.damage_count,
                });
            }
        }
        reports
    }
}

/// So many gaps in a row are told.
const MISSING_TOLD_MAX: usize = 100;
