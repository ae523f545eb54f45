//! Snapshot archives into a datastore, by way of a folder where their files wait for their chunks.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use datastore::hierarchy::{ArchiveKind, MANIFEST_NAME, is_safe_id};
use datastore::index::Index;
use datastore::manifest::MANIFEST_FILE_BYTES_MAX;
use datastore::snapshot::GroupWriter;
use datastore::storage::Storage;
use datastore::{
    BackupGroup, DataBlob, Datastore, Digest, Manifest, Namespace, SnapshotPath, SnapshotWriter,
};

use super::Target;
use crate::error::{Error, IoResultExt, Result};
use crate::format::block::StreamReader;
use crate::format::snapshot_archive::read_snapshot_files;

/// So much of a file is copied at once.
const COPY_BYTES: usize = 256 << 10;

type GroupKey = (String, Namespace, BackupGroup);

/// The groups that snapshots are being restored into; a group is locked as long as one is.
#[derive(Default)]
pub(crate) struct Groups {
    open: HashMap<GroupKey, Weak<GroupWriter>>,
}

impl Groups {
    /// Begins a snapshot in its namespace and group, both made if missing. `None`: it exists.
    pub fn begin(
        &mut self,
        target: &Target,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        owner: &str,
    ) -> Result<Option<SnapshotWriter>> {
        let store = &target.store;
        if exists(store, namespace, snapshot)? {
            return Ok(None);
        }
        store.create_namespace(namespace, true)?;
        let key = (target.name.clone(), namespace.clone(), snapshot.group().clone());
        let group = match self.open.get(&key).and_then(Weak::upgrade) {
            Some(group) => group,
            None => {
                let group = GroupWriter::open(store, namespace, snapshot.group(), owner)?;
                self.open.insert(key, Arc::downgrade(&group));
                group
            }
        };
        match SnapshotWriter::begin_restore(&group, snapshot.time()) {
            Ok(writer) => Ok(Some(writer)),
            Err(datastore::Error::Exists { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// True if the datastore has the snapshot, finished.
pub(crate) fn exists(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
) -> Result<bool> {
    Ok(store.snapshot_info(namespace, snapshot.clone())?.is_some_and(|info| info.finished))
}

/// Why nothing can be restored to a group, if it is somebody else's. What else may be wrong with it is told when it is written to.
pub(super) fn refusal(
    store: &Datastore,
    namespace: &Namespace,
    group: &BackupGroup,
    owner: &str,
) -> Option<String> {
    let found = store.owner(namespace, group).ok()?;
    (!Datastore::is_owner(&found, owner))
        .then(|| format!("backup group {group} belongs to {found}, not to {owner}"))
}

pub(crate) fn read_manifest(content: &mut dyn Read, what: &str) -> Result<Manifest> {
    let mut bytes = Vec::new();
    content
        .take(MANIFEST_FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e: io::Error| Error::malformed("snapshot archive", e.to_string()))?;
    if bytes.len() as u64 > MANIFEST_FILE_BYTES_MAX {
        return Err(Error::malformed("snapshot archive", "its manifest is too large"));
    }
    let what = format!("manifest of snapshot {what}");
    let blob = DataBlob::from_bytes(bytes, &what)?;
    Ok(Manifest::from_blob(&blob, &what)?)
}

/// Lets the snapshot exist if all its chunks are there; else says what is missing.
pub(crate) fn finish(name: &str, writer: SnapshotWriter, manifest: Manifest) -> Result<()> {
    let mut missing = 0;
    let mut first: Option<Digest> = None;
    for digest in writer.needed_chunks()? {
        if !writer.store().chunks().touch(&digest)? {
            missing += 1;
            first.get_or_insert(digest);
        }
    }
    if let Some(first) = first {
        return Err(Error::MissingChunks {
            snapshot: name.to_string(),
            missing,
            first: first.to_string(),
        });
    }
    Ok(writer.finish_restore(manifest)?)
}

/// Copies the files of the archive in `stream` into a folder, which is made if it is missing. None of them may be there.
pub(crate) fn unpack_to_folder(stream: &mut StreamReader<'_>, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).at(folder)?;
    read_snapshot_files(stream, |name, _metadata, _size, content| {
        if ArchiveKind::of(name).is_none() || !is_safe_id(name) {
            return Err(Error::malformed("snapshot archive", format!("it holds a file '{name}'")));
        }
        let path = folder.join(name);
        let mut file = match File::create_new(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let what = format!("it holds {name} twice");
                return Err(Error::malformed("snapshot archive", what));
            }
            file => file.at(&path)?,
        };
        // Errors of the tape are told apart from those of the disk: the next tape would meet only the latter.
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            // The tape's own error is inside; it says more than that copying failed.
            let count = content
                .read(&mut buffer)
                .map_err(|e| Error::malformed("snapshot archive", format!("{name}: {e}")))?;
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                return Ok(());
            };
            file.write_all(bytes).at(&path)?;
        }
    })
}

/// Files of a folder, in the order of their names.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .at(folder)?
        .map(|entry| entry.map(|entry| entry.path()).at(folder))
        .collect::<Result<_>>()?;
    files.sort();
    Ok(files)
}

fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// The indexes among the files of a snapshot in a folder.
pub(crate) fn indexes_in(storage: &dyn Storage, folder: &Path) -> Result<Vec<Index>> {
    let mut indexes = Vec::new();
    for path in files_in(folder)? {
        if let Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex) =
            ArchiveKind::of(file_name(&path))
        {
            indexes.push(Index::load(storage, &path)?);
        }
    }
    Ok(indexes)
}

/// Lets a snapshot whose files are in a folder exist if all its chunks are there.
pub(crate) fn finish_from_folder(name: &str, writer: SnapshotWriter, folder: &Path) -> Result<()> {
    let mut manifest = None;
    for path in files_in(folder)? {
        let mut file = File::open(&path).at(&path)?;
        match file_name(&path) {
            MANIFEST_NAME => manifest = Some(read_manifest(&mut file, name)?),
            file_name => writer.copy_file(file_name, &mut file as &mut dyn Read)?,
        }
    }
    let manifest =
        manifest.ok_or_else(|| Error::malformed("snapshot archive", "it has no manifest"))?;
    finish(name, writer, manifest)
}
