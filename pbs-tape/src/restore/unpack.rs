//! Snapshot archives into a datastore.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Weak};

use datastore::hierarchy::{MANIFEST_NAME, qualified_name};
use datastore::manifest::MANIFEST_FILE_BYTES_MAX;
use datastore::snapshot::GroupWriter;
use datastore::{
    BackupGroup, DataBlob, Datastore, Digest, Manifest, Namespace, SnapshotPath, SnapshotWriter,
};

use super::Target;
use crate::error::{Error, Result};
use crate::format::block::StreamReader;
use crate::format::snapshot_archive::read_snapshot_files;

type GroupKey = (String, Namespace, BackupGroup);

/// The groups that snapshots are being restored into; a group is locked as long as one is.
#[derive(Default)]
pub(super) struct Groups {
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
pub(super) fn exists(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
) -> Result<bool> {
    Ok(store.snapshot_info(namespace, snapshot.clone())?.is_some_and(|info| info.finished))
}

/// Copies the files of the archive in `stream` into the snapshot; its manifest is held back and
/// returned.
///
/// The error of a file that can't be read from tape is an error of the tape; one that can't be
/// stored is an error of the datastore.
pub(super) fn unpack(
    stream: &mut StreamReader<'_>,
    writer: &mut SnapshotWriter,
) -> Result<Manifest> {
    let mut manifest = None;
    let what = qualified_name(writer.namespace(), writer.snapshot());
    read_snapshot_files(stream, |name, _metadata, _size, content| {
        if name == MANIFEST_NAME {
            manifest = Some(read_manifest(content, &what)?);
        } else {
            writer.copy_file(name, content)?;
        }
        Ok(())
    })?;
    manifest.ok_or_else(|| Error::malformed("snapshot archive", "it has no manifest"))
}

pub(super) fn read_manifest(content: &mut dyn Read, what: &str) -> Result<Manifest> {
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
pub(super) fn finish(name: &str, writer: SnapshotWriter, manifest: Manifest) -> Result<()> {
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
