//! What of a tape a restore of the whole set still needs, by its catalog.
//!
//! After an interruption most of a set is in the datastore already. A file whose chunks are all there, or whose snapshot is, is not read
//! again, and a tape without any other file is not asked for. Who knows too little reads: a tape without catalog is needed whole. If a
//! catalog says less than is on its tape, a snapshot may lack chunks at the end, and that is told.

use std::collections::{BTreeMap, BTreeSet};

use datastore::Digest;
use uuid::Uuid;

use super::plan::Necessity;
use super::selection::Selection;
use super::{StoreMap, Target};
use crate::error::Result;
use crate::media::MediaCatalog;
use crate::media::set::SetCatalogs;

/// Files of a tape that have to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lacking {
    /// All of them, from front to back.
    Everything,
    /// These.
    Files(BTreeSet<u64>),
}

/// What is needed of one tape.
pub(super) struct TapeNeed {
    pub lacking: Lacking,
    /// How much that is, if a catalog tells.
    pub necessity: Option<Necessity>,
}

impl TapeNeed {
    /// True if the tape need not be loaded.
    pub fn is_nothing(&self) -> bool {
        matches!(&self.lacking, Lacking::Files(files) if files.is_empty())
    }
}

/// What is needed of each tape. The archives of the snapshots `read` need not be read again; `is_there` tells whether the target
/// has a chunk.
pub(super) fn lacking(
    members: &[Uuid],
    catalogs: &SetCatalogs,
    stores: &StoreMap,
    selection: &Selection,
    read: &BTreeSet<String>,
    is_there: &dyn Fn(&Target, &Digest) -> Result<bool>,
) -> Result<BTreeMap<Uuid, TapeNeed>> {
    let known: BTreeMap<Uuid, &MediaCatalog> =
        catalogs.iter().map(|catalog| (catalog.media().label.uuid, catalog)).collect();
    // Then there is nothing that chunks could be for.
    let is_restored =
        selection.wanted.is_empty() && members.iter().all(|media| known.contains_key(media));
    let mut needs = BTreeMap::new();
    for media in members {
        let need = match known.get(media) {
            None => TapeNeed { lacking: Lacking::Everything, necessity: None },
            Some(_) if is_restored => TapeNeed {
                lacking: Lacking::Files(BTreeSet::new()),
                necessity: Some(Necessity::default()),
            },
            Some(catalog) => of_tape(catalog, stores, selection, read, is_there)?,
        };
        needs.insert(*media, need);
    }
    Ok(needs)
}

fn of_tape(
    catalog: &MediaCatalog,
    stores: &StoreMap,
    selection: &Selection,
    read: &BTreeSet<String>,
    is_there: &dyn Fn(&Target, &Digest) -> Result<bool>,
) -> Result<TapeNeed> {
    let media = catalog.media().label.uuid;
    let mut needed: BTreeSet<u64> = selection
        .wanted
        .iter()
        .filter(|one| one.media == media && !read.contains(&one.choice.name))
        .map(|one| one.file)
        .collect();
    let mut mapped: BTreeSet<u64> = BTreeSet::new();
    let mut chunks_of: BTreeMap<u64, u64> = BTreeMap::new();
    for (store, content) in catalog.content().stores() {
        let Some(target) = stores.target(store) else { continue };
        mapped.extend(content.snapshots.values());
        let mut failed = None;
        catalog.each_chunk(store, &mut |digest, file| {
            *chunks_of.entry(file).or_default() += 1;
            if failed.is_none() && !needed.contains(&file) {
                match is_there(target, digest) {
                    Ok(true) => {}
                    Ok(false) => _ = needed.insert(file),
                    Err(e) => failed = Some(e),
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
    }
    mapped.extend(chunks_of.keys());
    let chunks = chunks_of.iter().filter(|(file, _)| needed.contains(file)).map(|(_, n)| n).sum();
    let necessity = Some(Necessity { files: needed.len() as u64, chunks, bytes: 0 });
    // In one go, which brings the catalog up to date as well.
    let is_everything = !needed.is_empty() && mapped.is_subset(&needed);
    let lacking = if is_everything { Lacking::Everything } else { Lacking::Files(needed) };
    Ok(TapeNeed { lacking, necessity })
}
