//! Filling the file lists: from a datastore after a job wrote its snapshots to tape, or from the tapes; and emptying them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datastore::{CryptConfig, Datastore, Manifest, Progress};

use crate::error::Result;
use crate::extract::{ExtractOptions, Extraction, NamesOnTape};
use crate::loader::{MediaLoader, check_abort};
use crate::media::catalog::snapshot_list;
use crate::media::file_lists::{FileLists, Group, Learned, in_datastore};
use crate::media::find_files::{FilePattern, FoundFile, NotSearched, Unsearched, in_names};
use crate::media::{Inventory, PoolConfig, StateDir};
use crate::restore::is_about_one_tape;

/// Learns the names of snapshots that lie in a datastore, which is called `source` on tape. What can't be read is told, and known to
/// nobody.
///
/// # Errors
///
/// The state folder can't be written, or the job is to end.
pub fn remember_files(
    state: &StateDir,
    store: &Arc<Datastore>,
    source: &str,
    snapshots: &[String],
    progress: &dyn Progress,
) -> Result<()> {
    let mut groups: BTreeMap<Group, Vec<(i64, &String)>> = BTreeMap::new();
    for snapshot in snapshots {
        let (group, time) = Group::of(source, snapshot)?;
        groups.entry(group).or_default().push((time, snapshot));
    }
    let lists = FileLists::of(state);
    for (group, snapshots) in groups {
        let known = lists.load(&group);
        let mut learned = BTreeMap::new();
        for (time, snapshot) in snapshots {
            check_abort(progress)?;
            match in_datastore(store, snapshot, known.as_ref()) {
                Ok(one) => _ = learned.insert(time, one),
                Err(e) => progress.warn(&format!(
                    "the names of files in {source}:{snapshot} are not known to 'tape find': {e}"
                )),
            }
        }
        lists.learn(&group, learned)?;
    }
    forget_files(state)
}

/// Removes what is about snapshots that are on no tape any more.
pub fn forget_files(state: &StateDir) -> Result<()> {
    let inventory = Inventory::load(state)?;
    let mut kept = BTreeSet::new();
    for entry in inventory.entries().filter(|entry| !entry.id.is_empty()) {
        // Nobody knows what is on a tape without a catalog.
        let Ok(list) = snapshot_list(state, &entry.id) else { return Ok(()) };
        kept.extend(list);
    }
    FileLists::of(state).collect(&kept)
}

/// What reading names from tape brought.
#[derive(Debug, Default)]
pub struct NamesRead {
    /// What fits, in snapshots whose names are not kept.
    pub found: Vec<FoundFile>,
    /// Those snapshots.
    pub searched: Vec<String>,
    /// Snapshots whose names could not be read, and why.
    pub failed: Vec<(String, String)>,
}

/// Reads the names of snapshots from tape.
pub struct TapeNames<'a> {
    /// Inventory, catalogs and file lists.
    pub state: &'a StateDir,
    /// The configured pools.
    pub pools: &'a [PoolConfig],
    /// How tapes are read.
    pub options: &'a ExtractOptions,
    /// What is looked for in names that may not be kept.
    pub files: &'a [FilePattern],
}

impl TapeNames<'_> {
    /// Learns the names of these snapshots. `key` gives the key of an encrypted one: its names are looked through here, and kept nowhere.
    pub fn read(
        &self,
        loader: &mut dyn MediaLoader,
        wanted: &[NotSearched],
        key: &dyn Fn(&Manifest) -> Option<Arc<CryptConfig>>,
        progress: &dyn Progress,
    ) -> Result<NamesRead> {
        let mut wanted: Vec<&NotSearched> =
            wanted.iter().filter(|one| one.reason != Unsearched::NoCatalog).collect();
        let place = |one: &NotSearched| {
            let content = one.places.first().map(|place| &place.content);
            content.map(|content| (content.media_set_ctime, content.seq_nr, content.uuid))
        };
        wanted.sort_by_key(|one| place(one));
        let mut read = NamesRead::default();
        for one in wanted {
            check_abort(progress)?;
            match self.read_one(loader, one, key, progress) {
                Ok(None) => {}
                Ok(Some(mut hits)) => {
                    read.found.append(&mut hits);
                    read.searched.push(one.snapshot.clone());
                }
                Err(e) if is_about_one_tape(&e) => {
                    read.failed.push((one.snapshot.clone(), e.to_string()));
                }
                Err(e) => return Err(e),
            }
        }
        Ok(read)
    }

    /// What fits in names that are not kept, if these are such.
    fn read_one(
        &self,
        loader: &mut dyn MediaLoader,
        one: &NotSearched,
        key: &dyn Fn(&Manifest) -> Option<Arc<CryptConfig>>,
        progress: &dyn Progress,
    ) -> Result<Option<Vec<FoundFile>>> {
        let (store, name) = one.snapshot.split_once(':').unwrap_or_default();
        let (group, time) = Group::of(store, name)?;
        let lists = FileLists::of(self.state);
        let known = lists.load(&group);
        let (state, pools) = (self.state, self.pools);
        let mut extraction =
            Extraction::open(state, loader, pools, &one.snapshot, self.options, progress)?;
        let key = key(extraction.manifest());
        let is_known = |catalog: &_| known.as_ref().is_some_and(|known| known.knows(catalog));
        let mut found = None;
        let learned = match extraction.names(key, &is_known)? {
            NamesOnTape::NoCatalog => Learned::NoCatalog,
            NamesOnTape::Known(catalog) => Learned::Names(catalog, None),
            NamesOnTape::Plain(catalog, names) => Learned::Names(catalog, Some(names)),
            NamesOnTape::Encrypted(names) => {
                if let Some(names) = names {
                    found = Some(in_names(self.files, &group, &names, &one.places));
                }
                Learned::Encrypted
            }
        };
        lists.learn(&group, BTreeMap::from([(time, learned)]))?;
        Ok(found)
    }
}
