//! Which files are in the snapshots that are on tape: a cache of their catalogs of names, by backup group.
//!
//! A media catalog knows snapshots and not what is in them. Their catalogs of names are archives of the snapshots: in the datastore when a
//! job writes them to tape, later in chunks on tape. What was read of them once is kept in `file-lists` of the state folder, a file a
//! group: each path of all its snapshots once, with the lists that it is in (`group_file`). Most snapshots of a group have nearly the
//! same paths, so a year of them takes little more room than one, and a search looks at each path once.
//!
//! What it promises:
//!
//! * it is a cache: a file that is damaged counts as not there, and is made again by whoever learns of its group next. Nothing else
//!   depends on it;
//! * names of encrypted snapshots are not in it. It only knows that they are encrypted;
//! * what belongs to no snapshot of a media catalog any more is removed at the end of the next job that learns something, or when a
//!   tape is forgotten; but only while the catalogs of all tapes can be read, else nobody knows what is stale.

mod group_file;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use datastore::hierarchy::parse_qualified_name;
use datastore::{BackupGroup, Digest, Namespace};
use openssl::sha::Sha256;

pub use group_file::{GroupFile, List, Path};
pub(crate) use names::NAMES_CATALOG;
pub use names::{Names, in_datastore, of_catalog};

use super::state::{StateDir, remove_file_if_present};
use crate::error::{Error, IoResultExt, Result};

/// Mode of the folder: names of files are nobody's business.
const FOLDER_MODE: u32 = 0o750;

/// A backup group of a datastore, as it was called when it was written to tape.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The datastore.
    pub store: String,
    /// `[ns/…/]type/id`.
    pub name: String,
}

impl Group {
    /// The group of a snapshot, and the snapshot's time.
    pub fn of(store: &str, snapshot: &str) -> Result<(Group, i64)> {
        let (namespace, path) = parse_qualified_name(snapshot)?;
        Ok((Group::new(store, &namespace, path.group()), path.time()))
    }

    /// A group by its parts.
    pub fn new(store: &str, namespace: &Namespace, group: &BackupGroup) -> Group {
        let name = match namespace.is_root() {
            true => group.to_string(),
            false => format!("{}/{group}", namespace.path()),
        };
        Group { store: store.to_owned(), name }
    }
}

/// What was learnt of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Learned {
    /// The digest of its catalog's index, and its names; `None`: they are known already.
    Names(Digest, Option<Names>),
    /// It has a catalog, which is encrypted.
    Encrypted,
    /// It has no catalog of names.
    NoCatalog,
}

/// The folder of file lists.
pub struct FileLists<'a> {
    state: &'a StateDir,
}

impl<'a> FileLists<'a> {
    /// Those of a state folder.
    pub fn of(state: &'a StateDir) -> FileLists<'a> {
        FileLists { state }
    }

    fn path(&self, group: &Group) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(group.store.as_bytes());
        hash.update(b":");
        hash.update(group.name.as_bytes());
        // Names can be longer than those of files.
        let name: String = hex::encode(hash.finish()).chars().take(40).collect();
        self.state.file_lists_folder().join(format!("{name}.names"))
    }

    /// The lists of a group; `None` if there are none that can be used.
    pub fn load(&self, group: &Group) -> Option<GroupFile> {
        GroupFile::load(&self.path(group), group).ok()
    }

    /// Adds what was learnt of snapshots of one group, by their times.
    pub fn learn(&self, group: &Group, learned: BTreeMap<i64, Learned>) -> Result<()> {
        let _lock = self.state.lock_file_lists()?;
        let path = self.path(group);
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).at(folder)?;
        }
        let old = GroupFile::load(&path, group).ok();
        group_file::merge(old, group, learned)?.store(&path)
    }

    /// Removes what is about snapshots that are not among `kept`, which are pairs of datastore and snapshot.
    pub fn collect(&self, kept: &BTreeSet<(String, String)>) -> Result<()> {
        let mut times: BTreeMap<Group, BTreeSet<i64>> = BTreeMap::new();
        for (store, snapshot) in kept {
            if let Ok((group, time)) = Group::of(store, snapshot) {
                times.entry(group).or_default().insert(time);
            }
        }
        let wanted: BTreeMap<PathBuf, (&Group, &BTreeSet<i64>)> =
            times.iter().map(|(group, times)| (self.path(group), (group, times))).collect();
        let folder = self.state.file_lists_folder();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(Error::io(folder, e)),
        };
        let _lock = self.state.lock_file_lists()?;
        for entry in entries {
            let path = entry.at(&folder)?.path();
            let Some((group, times)) = wanted.get(&path) else {
                remove_file_if_present(&path)?;
                continue;
            };
            match GroupFile::load(&path, group) {
                Ok(file) if file.times().all(|time| times.contains(&time)) => {}
                Ok(file) => file.without(&|time| !times.contains(&time))?.store(&path)?,
                Err(_) => _ = remove_file_if_present(&path)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
