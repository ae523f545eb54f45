//! What a restore needs and what it will do, before it does it: which tapes, where they are, what of them; which snapshots go where;
//! what is left out and why.
//!
//! Of a whole set the catalogs tell everything. Of chosen snapshots they tell where the archives are; which chunks these need stands in
//! the archives. As long as one of them was not read, the other tapes that hold chunks of its datastore are needed *perhaps*. Nothing is
//! written for a plan.

use std::collections::{BTreeMap, BTreeSet};

use datastore::hierarchy::ArchiveKind;
use datastore::index::{DynamicIndex, FixedIndex, Index};
use datastore::{Digest, Progress};
use serde::Serialize;
use uuid::Uuid;

use super::lacking::{TapeNeed, lacking};
use super::list::{Needs, expect_archive};
use super::selection::{OnTape, Selection, select};
use super::supply::Supply;
use super::tape_files::{TapeFile, at_file};
use super::{Job, RestoreOptions, RestoreReport, Target, is_about_one_tape};
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::snapshot_archive::{read_snapshot_archive_header, read_snapshot_files};
use crate::loader::{MediaLoader, MediaWait};
use crate::media::listing::Places;
use crate::media::set::SetCatalogs;
use crate::media::{Inventory, MediaCatalog, StateDir};

/// Longest index that is taken into memory: that of an image of 1 PiB.
const INDEX_BYTES_MAX: u64 = 8 << 30;

/// Whether a tape is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Needed {
    /// It is.
    Yes,
    /// Not known before more was read from tape.
    Perhaps,
}

/// A tape that a restore needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedTape {
    /// Label text.
    pub label_text: String,
    /// Media UUID.
    pub uuid: Uuid,
    /// Place in its set.
    pub seq_nr: u64,
    /// `offline`, `online-CHANGER` or `vault-NAME`.
    pub location: String,
    /// The slot or drive of its library, as that was asked last: `slot 3`, `drive 0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// Whether it is needed.
    pub needed: Needed,
    /// Snapshots whose archive is on it.
    pub snapshots: u64,
    /// Tape files that have to be read; without it, nobody knows yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Chunks in them: of a whole set all, of chosen snapshots those that are lacking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u64>,
    /// At most so many bytes are needed of it: of a whole set what is on it, of chosen snapshots the chunks before they were compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// A snapshot that a restore will bring back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedSnapshot {
    /// `store:snapshot` on tape.
    pub snapshot: String,
    /// The datastore that it goes to.
    pub target: String,
    /// The namespaces there; the root is empty.
    pub namespaces: Vec<String>,
    /// Label text of the tape with its archive.
    pub label_text: String,
}

/// What a restore will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RestorePlan {
    /// The set.
    pub media_set_uuid: Uuid,
    /// False if some tapes are only perhaps needed.
    pub exact: bool,
    /// The tapes, in the order of the set.
    pub tapes: Vec<PlannedTape>,
    /// The snapshots, as far as catalogs know them.
    pub snapshots: Vec<PlannedSnapshot>,
    /// What is left out on purpose, with the reason.
    pub snapshots_skipped: Vec<(String, String)>,
    /// What can't be restored, with the reason.
    pub snapshots_failed: Vec<(String, String)>,
    /// What is not known, and why.
    pub unknown: Vec<String>,
}

impl RestorePlan {
    /// Tells which tapes are needed.
    pub(super) fn tell(&self, progress: &dyn Progress) {
        for tape in &self.tapes {
            let mut what = match tape.needed {
                Needed::Yes => format!("needed: tape {} (", tape.label_text),
                Needed::Perhaps => format!("perhaps needed: tape {} (", tape.label_text),
            };
            what.push_str(&tape.location);
            if let Some(element) = &tape.element {
                what.push_str(&format!(", {element}"));
            }
            what.push_str(&format!("), {} snapshots", tape.snapshots));
            if let (Some(files), Some(chunks)) = (tape.files, tape.chunks) {
                what.push_str(&format!(", {chunks} chunks, {files} files"));
            }
            progress.note(&what);
        }
    }
}

/// How much of a tape is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Necessity {
    pub files: u64,
    pub chunks: u64,
    pub bytes: u64,
}

/// Plans a restore. With a `loader` the archives of chosen snapshots are read, as far as their tapes can be had now.
///
/// # Errors
///
/// [`Error::UnknownMediaSet`]; a snapshot name that is none; what keeps a catalog or a target from being read.
pub fn plan_restore(
    state: &StateDir,
    loader: Option<&mut dyn MediaLoader>,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestorePlan> {
    let options = &RestoreOptions { wait: MediaWait::NONE, ..options.clone() };
    // A tape is only read while nobody writes on the set.
    let _set_lock = match &loader {
        Some(_) => Some(state.lock_media_set(&options.media_set)?),
        None => None,
    };
    let inventory = Inventory::load(state)?;
    let set = super::known_set(&inventory, &options.media_set)?;
    let (catalogs, without_catalog) = SetCatalogs::load_available(state, &inventory, &set)?;
    let selection = select(options, &catalogs)?;
    let job = Job { state, inventory: &inventory, options, progress };
    // Not touched, as in a restore, which would write.
    let is_there = |target: &Target, digest: &Digest| {
        Ok(target.store.chunks().meta(digest).is_some_and(|meta| meta.len > 0))
    };
    let mut unknown: Vec<String> = without_catalog.iter().map(Error::to_string).collect();
    unknown.extend(set.require_complete().err().map(|e| e.to_string()));
    let mut planner = Planner { job: &job, catalogs: &catalogs, unknown };
    if options.is_whole_set() {
        let read = read_before(&job, &selection)?;
        let (members, stores) = (super::known_members(&set), &options.stores);
        let needs = lacking(&members, &catalogs, stores, &selection, &read, &is_there)?;
        planner.whole_set(&selection, &needs)
    } else {
        planner.chosen(&selection, &is_there, loader)
    }
}

pub(super) struct Planner<'a> {
    pub job: &'a Job<'a>,
    pub catalogs: &'a SetCatalogs,
    pub unknown: Vec<String>,
}

impl Planner<'_> {
    /// The plan of a whole set.
    pub fn whole_set(
        &mut self,
        selection: &Selection,
        needs: &BTreeMap<Uuid, TapeNeed>,
    ) -> Result<RestorePlan> {
        let mut tapes = BTreeMap::new();
        for (media, need) in needs.iter().filter(|(_, need)| !need.is_nothing()) {
            let mut necessity = need.necessity;
            let used = self.job.inventory.require(media)?.bytes_used;
            if let Some(necessity) = &mut necessity {
                necessity.bytes = used.unwrap_or_default();
            }
            tapes.insert(*media, (Needed::Yes, necessity));
        }
        self.plan(selection, tapes)
    }

    /// The plan for chosen snapshots.
    pub fn chosen(
        &mut self,
        selection: &Selection,
        is_there: &dyn Fn(&Target, &Digest) -> Result<bool>,
        loader: Option<&mut dyn MediaLoader>,
    ) -> Result<RestorePlan> {
        let mut needs = Needs::new(self.catalogs, is_there);
        let mut unread: Vec<&OnTape> = Vec::new();
        for one in &selection.wanted {
            let pending = one.choice.pending(self.job.options)?;
            if pending.is_there() {
                for index in pending.indexes()? {
                    needs.add(&one.choice, &index)?;
                }
            } else {
                unread.push(one);
            }
        }
        // What was read for the plan is read once more by the restore.
        let archives: BTreeSet<Uuid> = unread.iter().map(|one| one.media).collect();
        if let Some(loader) = loader {
            unread = self.read(unread, &mut needs, loader)?;
        }
        let mut tapes: BTreeMap<Uuid, (Needed, Option<Necessity>)> = BTreeMap::new();
        for media in archives.iter().chain(needs.tapes()) {
            let is_known = unread.is_empty();
            tapes.insert(*media, (Needed::Yes, is_known.then(|| needs.of(media))));
        }
        let open: BTreeSet<&str> =
            unread.iter().map(|one| one.choice.archive.store.as_str()).collect();
        for catalog in self.catalogs.iter() {
            let mut may_help = false;
            for (store, target) in open
                .iter()
                .filter_map(|store| Some((*store, self.job.options.stores.target(store)?)))
            {
                may_help |= lacks_any(catalog, store, target, is_there)?;
            }
            if may_help {
                tapes.entry(catalog.media().label.uuid).or_insert((Needed::Perhaps, None));
            }
        }
        self.plan(selection, tapes)
    }

    /// Reads archives from the tapes that can be had; those that were not.
    fn read<'o>(
        &mut self,
        mut unread: Vec<&'o OnTape>,
        needs: &mut Needs<'_>,
        loader: &mut dyn MediaLoader,
    ) -> Result<Vec<&'o OnTape>> {
        let mut report = RestoreReport::new(self.job.options.media_set);
        let mut supply = Supply::new(self.job, loader);
        let mut lost = Vec::new();
        while !unread.is_empty() {
            let order: BTreeSet<Uuid> = unread.iter().map(|one| one.media).collect();
            let order: Vec<Uuid> = order.into_iter().collect();
            let Some(mut loaded) = supply.next(&order, &mut report)? else { break };
            let media = loaded.id.label.uuid;
            let tape = loaded.id.label.label_text.clone();
            let (mut here, elsewhere): (Vec<&OnTape>, _) =
                unread.into_iter().partition(|one| one.media == media);
            unread = elsewhere;
            here.sort_by_key(|one| one.file);
            for one in here {
                let read = read_indexes(&mut *loaded.device, one).on_tape(&tape, one.file);
                match read {
                    Ok(indexes) => {
                        for index in indexes {
                            needs.add(&one.choice, &index)?;
                        }
                    }
                    Err(e) if is_about_one_tape(&e) => {
                        self.unknown.push(format!("{}: {e}", one.choice.name));
                        lost.push(one);
                    }
                    Err(e) => return Err(e),
                }
            }
        }
        self.unknown.append(&mut report.damage);
        unread.append(&mut lost);
        Ok(unread)
    }

    fn plan(
        &mut self,
        selection: &Selection,
        needed: BTreeMap<Uuid, (Needed, Option<Necessity>)>,
    ) -> Result<RestorePlan> {
        let inventory = self.job.inventory;
        let places = Places::of(self.job.state, inventory);
        let mut tapes = Vec::new();
        for (media, (needed, necessity)) in &needed {
            let entry = inventory.require(media)?;
            let archives = selection.wanted.iter().filter(|one| one.media == *media).count();
            tapes.push(PlannedTape {
                label_text: entry.id.label.label_text.clone(),
                uuid: *media,
                seq_nr: entry.id.assigned_set().map_or(0, |set| set.seq_nr),
                location: entry.location().to_string(),
                element: places.element_of(entry),
                needed: *needed,
                snapshots: archives as u64,
                files: necessity.map(|necessity| necessity.files),
                chunks: necessity.map(|necessity| necessity.chunks),
                bytes: necessity.map(|necessity| necessity.bytes).filter(|bytes| *bytes > 0),
            });
        }
        tapes.sort_by_key(|tape| tape.seq_nr);
        let mut snapshots = Vec::new();
        for one in &selection.wanted {
            snapshots.push(PlannedSnapshot {
                snapshot: one.choice.name.clone(),
                target: one.choice.target.name.clone(),
                namespaces: one.choice.into.iter().map(ToString::to_string).collect(),
                label_text: inventory.require(&one.media)?.id.label.label_text.clone(),
            });
        }
        Ok(RestorePlan {
            media_set_uuid: self.job.options.media_set,
            exact: tapes.iter().all(|tape| tape.needed == Needed::Yes && tape.files.is_some()),
            tapes,
            snapshots,
            snapshots_skipped: selection.skipped.clone(),
            snapshots_failed: selection.failed.clone(),
            unknown: std::mem::take(&mut self.unknown),
        })
    }
}

/// True if a tape holds a chunk of the store that the target has not.
fn lacks_any(
    catalog: &MediaCatalog,
    store: &str,
    target: &Target,
    is_there: &dyn Fn(&Target, &Digest) -> Result<bool>,
) -> Result<bool> {
    let mut lacks = Ok(false);
    catalog.each_chunk(store, &mut |digest, _| {
        if matches!(lacks, Ok(false)) {
            lacks = is_there(target, digest).map(|is_there| !is_there);
        }
    })?;
    lacks
}

/// Names of the snapshots whose files an earlier restore left.
pub(super) fn read_before(job: &Job<'_>, selection: &Selection) -> Result<BTreeSet<String>> {
    let mut read = BTreeSet::new();
    for one in &selection.wanted {
        if one.choice.pending(job.options)?.is_there() {
            read.insert(one.choice.name.clone());
        }
    }
    Ok(read)
}

/// The indexes in a snapshot archive.
fn read_indexes(device: &mut dyn TapeDevice, one: &OnTape) -> Result<Vec<Index>> {
    at_file(device, one.file, |file| {
        let TapeFile { header, stream, .. } = file;
        expect_archive(read_snapshot_archive_header(stream, &header)?, &one.choice.archive)?;
        let mut indexes = Vec::new();
        read_snapshot_files(stream, |name, _metadata, size, content| {
            let kind = ArchiveKind::of(name);
            if !matches!(kind, Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex)) {
                return Ok(());
            }
            if size > INDEX_BYTES_MAX {
                let what = format!("{name} has {size} bytes");
                return Err(Error::malformed("snapshot archive", what));
            }
            let mut bytes = Vec::new();
            content
                .read_to_end(&mut bytes)
                .map_err(|e| Error::malformed("snapshot archive", format!("{name}: {e}")))?;
            indexes.push(match kind {
                Some(ArchiveKind::FixedIndex) => Index::Fixed(FixedIndex::decode(&bytes, &name)?),
                _ => Index::Dynamic(DynamicIndex::decode(&bytes, &name)?),
            });
            Ok(())
        })?;
        Ok(indexes)
    })
}
