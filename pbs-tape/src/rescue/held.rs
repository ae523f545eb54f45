//! Snapshots that were found, and the files of those whose chunks are not all here yet.
//!
//! On tape the chunks of a snapshot come before its archive; but tapes come in any order, and some are damaged. So the
//! files of a snapshot wait in a folder of their own until each of its chunks is in the datastore, and only then the
//! snapshot appears there. Beside the folder lies what is told of the snapshot; without that it counts for nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use datastore::hierarchy::{ArchiveKind, MANIFEST_NAME, parse_qualified_name};
use datastore::index::Index;
use datastore::manifest::FileInfo;
use datastore::storage::Storage;
use datastore::{Digest, Namespace, SnapshotPath};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::folder::RescueFolder;
use crate::error::{Error, IoResultExt, Result};
use crate::format::block::StreamReader;
use crate::format::snapshot_archive::SnapshotArchiveHeader;
use crate::media::catalog::DigestSet;
use crate::media::state::{remove_file_if_present, replace_file};
use crate::restore::Target;
use crate::restore::tape_files::{Verdict, judge_whole_file};
use crate::restore::unpack::{
    Groups, exists, finish_from_folder, indexes_in, read_manifest, unpack_to_folder,
};

const FACTS_MODE: u32 = 0o644;

/// What is told of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Facts {
    pub store: String,
    /// `[ns/…/]type/id/time`.
    pub snapshot: String,
    /// Tape and file of the archive that was taken.
    pub media: Uuid,
    pub file: u64,
    /// As its manifest lists them.
    pub files: Vec<FileInfo>,
    /// It is in the datastore, and nothing waits any more.
    pub is_published: bool,
}

impl Facts {
    /// `store:snapshot`.
    pub fn name(&self) -> String {
        format!("{}:{}", self.store, self.snapshot)
    }

    /// Bytes of its files as its manifest counts them.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }

    /// Its place in a datastore.
    pub fn path(&self) -> Result<(Namespace, SnapshotPath)> {
        Ok(parse_qualified_name(&self.snapshot)?)
    }
}

/// All snapshots that were found, by `store:snapshot`.
pub(super) struct Held {
    folder: PathBuf,
    found: BTreeMap<String, Facts>,
    /// A chunk that each lacked when it was looked at last.
    lacking: BTreeMap<String, Digest>,
}

impl Held {
    /// Those that earlier runs found. What such a run left unfinished is removed.
    pub fn load(folder: &RescueFolder) -> Result<Held> {
        let path = folder.snapshots();
        let mut found: BTreeMap<String, Facts> = BTreeMap::new();
        let mut folders = Vec::new();
        for entry in fs::read_dir(&path).at(&path)? {
            let entry = entry.at(&path)?.path();
            if entry.extension().is_none_or(|extension| extension != "json") {
                folders.push(entry);
                continue;
            }
            let facts = fs::read(&entry).ok();
            let facts = facts.and_then(|text| serde_json::from_slice::<Facts>(&text).ok());
            let is_whole =
                |facts: &Facts| facts.is_published || path.join(id_of(&facts.name())).is_dir();
            match facts.filter(is_whole) {
                Some(facts) => _ = found.insert(facts.name(), facts),
                None => fs::remove_file(&entry).at(&entry)?,
            }
        }
        let waiting: Vec<PathBuf> = found
            .values()
            .filter(|facts| !facts.is_published)
            .map(|facts| path.join(id_of(&facts.name())))
            .collect();
        for folder in folders.iter().filter(|folder| !waiting.contains(folder)) {
            remove_folder(folder)?;
        }
        Ok(Held { folder: path, found, lacking: BTreeMap::new() })
    }

    /// Forgets snapshots that are not in their datastore any more: their archives are read again.
    pub fn forget_gone(&mut self, folder: &mut RescueFolder) -> Result<()> {
        let published: Vec<Facts> =
            self.found.values().filter(|facts| facts.is_published).cloned().collect();
        for facts in published {
            let (namespace, snapshot) = facts.path()?;
            let is_there = match folder.existing_target(&facts.store)? {
                Some(target) => exists(&target.store, &namespace, &snapshot)?,
                None => false,
            };
            if !is_there {
                self.give_up(&facts)?;
            }
        }
        Ok(())
    }

    /// All, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Facts> {
        self.found.values()
    }

    /// One of them.
    pub fn get(&self, store: &str, snapshot: &str) -> Option<&Facts> {
        self.found.get(&format!("{store}:{snapshot}"))
    }

    /// Where the files of a snapshot wait.
    pub fn folder_of(&self, facts: &Facts) -> PathBuf {
        self.folder.join(id_of(&facts.name()))
    }

    /// Takes the files of the archive in `stream`. An error is damage of the archive, or the disk's.
    pub fn take(
        &mut self,
        folder: &RescueFolder,
        stream: &mut StreamReader<'_>,
        archive: &SnapshotArchiveHeader,
        media: Uuid,
        file: u64,
    ) -> Result<Verdict> {
        let name = format!("{}:{}", archive.store, archive.snapshot);
        let bad = |reason: String| Error::malformed("snapshot archive", reason);
        let (_, path) = parse_qualified_name(&archive.snapshot).map_err(|e| bad(e.to_string()))?;
        let own = self.folder.join(id_of(&name));
        let temp = own.with_extension("tmp");
        remove_folder(&temp)?;
        let taken = (|| {
            let unpacked = unpack_to_folder(stream, &temp);
            let verdict = match judge_whole_file(stream) {
                Ok(verdict) => verdict,
                // After a read error the stream itself only says that it failed; unpacking knows why.
                Err(judged) => return Err(unpacked.err().unwrap_or(judged)),
            };
            if verdict == Verdict::Ignore {
                return Ok(None);
            }
            unpacked?;
            let manifest = temp.join(MANIFEST_NAME);
            let mut input = File::open(&manifest).at(&manifest)?;
            let manifest = read_manifest(&mut input, &name).map_err(|e| bad(e.to_string()))?;
            if !manifest.belongs_to(&path) {
                return Err(bad("its manifest is another snapshot's".into()));
            }
            for info in manifest.files() {
                check_file(folder.storage(), &temp.join(&info.filename), info)?;
            }
            Ok(Some(Facts {
                store: archive.store.clone(),
                snapshot: archive.snapshot.clone(),
                media,
                file,
                files: manifest.files().to_vec(),
                is_published: false,
            }))
        })();
        let facts = match taken {
            Ok(Some(facts)) => facts,
            other => {
                remove_folder(&temp)?;
                return other.map(|_| Verdict::Ignore);
            }
        };
        remove_folder(&own)?;
        fs::rename(&temp, &own).at(&own)?;
        self.write_facts(&facts)?;
        self.found.insert(name, facts);
        Ok(Verdict::Good)
    }

    /// The chunks that the files of a snapshot name.
    pub fn needed_chunks(&self, folder: &RescueFolder, facts: &Facts) -> Result<DigestSet> {
        let mut digests = DigestSet::default();
        for index in indexes_in(folder.storage(), &self.folder_of(facts))? {
            digests.extend(index.digests());
        }
        Ok(digests)
    }

    fn facts_file(&self, facts: &Facts) -> PathBuf {
        self.folder.join(format!("{}.json", id_of(&facts.name())))
    }

    fn write_facts(&self, facts: &Facts) -> Result<()> {
        let text = serde_json::to_vec_pretty(facts)
            .map_err(|e| Error::malformed("snapshot archive", e.to_string()))?;
        replace_file(&self.facts_file(facts), &text, FACTS_MODE)
    }

    /// Forgets a snapshot, so that another copy of its archive can be taken.
    fn give_up(&mut self, facts: &Facts) -> Result<()> {
        remove_file_if_present(&self.facts_file(facts))?;
        remove_folder(&self.folder_of(facts))?;
        self.found.remove(&facts.name());
        Ok(())
    }

    /// Lets a snapshot appear in the datastore if all its chunks are there; false if one is lacking.
    ///
    /// An error that says [`Error::is_damaged`] is about the snapshot's files: they are given up, so that another copy of
    /// the archive can take their place.
    pub fn publish(
        &mut self,
        folder: &RescueFolder,
        target: &Target,
        groups: &mut Groups,
        name: &str,
        owner: &str,
    ) -> Result<bool> {
        let Some(facts) = self.found.get(name).cloned() else { return Ok(false) };
        let path = self.folder_of(&facts);
        let chunks = target.store.chunks();
        if let Some(digest) = self.lacking.get(name)
            && !chunks.touch(digest)?
        {
            return Ok(false);
        }
        let published = (|| {
            let (namespace, snapshot) = facts.path()?;
            if !exists(&target.store, &namespace, &snapshot)? {
                for digest in self.needed_chunks(folder, &facts)? {
                    if !chunks.touch(&digest)? {
                        self.lacking.insert(name.to_string(), digest);
                        return Ok(false);
                    }
                }
                if let Some(writer) = groups.begin(target, &namespace, &snapshot, owner)? {
                    finish_from_folder(name, writer, &path)?;
                }
            }
            Ok(true)
        })();
        match published {
            Ok(true) => {
                let facts = Facts { is_published: true, ..facts };
                self.write_facts(&facts)?;
                remove_folder(&path)?;
                self.found.insert(name.to_string(), facts);
                Ok(true)
            }
            Err(error) if is_about_files(&error) => {
                self.give_up(&facts)?;
                Err(error)
            }
            other => other,
        }
    }
}

/// A file of a snapshot must be what its manifest says: what depends on it is found by it.
fn check_file(storage: &dyn Storage, path: &Path, info: &FileInfo) -> Result<()> {
    let bad = |reason: String| {
        Error::malformed("snapshot archive", format!("{}: {reason}", info.filename))
    };
    let found = match ArchiveKind::of(&info.filename) {
        Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex) => {
            let index = Index::load(storage, path).map_err(|e| bad(e.to_string()))?;
            (index.content_size(), index.compute_csum())
        }
        _ => {
            let content = fs::read(path).map_err(|e| bad(e.to_string()))?;
            (content.len() as u64, Digest::of(&content))
        }
    };
    match found == (info.size, info.csum) {
        true => Ok(()),
        false => Err(bad("its checksum or size is not what the manifest says".into())),
    }
}

/// True if what waits is not what its manifest says, as opposed to a datastore that takes nothing.
fn is_about_files(error: &Error) -> bool {
    match error.cause() {
        Error::Datastore(error) => error.is_damaged(),
        other => other.is_damaged(),
    }
}

/// A name for a folder, whatever the snapshot is called.
fn id_of(name: &str) -> String {
    Digest::of(name.as_bytes()).to_string()
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(folder, e)),
        _ => Ok(()),
    }
}
