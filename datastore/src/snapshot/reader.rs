//! Reading a snapshot that stays.
//!
//! A reader holds the snapshot's lock shared: the snapshot cannot be removed, and therefore garbage
//! collection keeps its chunks. What a reader hands out is proved: an index must have the checksum
//! and size of the manifest, a blob's file those of the manifest, a chunk the digest of its name.

use std::io;
use std::sync::Arc;

use crate::blob::{BLOB_BYTES_MAX, DataBlob};
use crate::crypt::CryptConfig;
use crate::datastore::Datastore;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::hierarchy::{
    CLIENT_LOG_NAME, MANIFEST_NAME, Namespace, SnapshotPath, is_archive_name, qualified_name,
};
use crate::index::Index;
use crate::lock::{Guard, Mode};
use crate::manifest::{FileInfo, MANIFEST_FILE_BYTES_MAX, Manifest};
use crate::storage::ReadAt;

/// Reads and checks a manifest; no lock is needed because it is only ever replaced whole.
pub fn load_manifest(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
) -> Result<Manifest> {
    let (blob, what) = load_manifest_blob(store, namespace, snapshot)?;
    Manifest::from_blob(&blob, &what)
}

/// The text of a manifest as it lies on the disk, and what to call it in messages.
pub(crate) fn load_manifest_json(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
) -> Result<(Vec<u8>, String)> {
    let (blob, what) = load_manifest_blob(store, namespace, snapshot)?;
    Ok((Manifest::json_of_blob(&blob, &what)?, what))
}

fn load_manifest_blob(
    store: &Datastore,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
) -> Result<(DataBlob, String)> {
    let path = store.snapshot_dir(namespace, snapshot).join(MANIFEST_NAME);
    let bytes = store.storage().read(&path, MANIFEST_FILE_BYTES_MAX).map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            let name = qualified_name(namespace, snapshot);
            let dir = store.snapshot_dir(namespace, snapshot);
            let what = match store.storage().meta(&dir) {
                Ok(_) => format!(
                    "the manifest of snapshot {name} (its backup is running or was interrupted)"
                ),
                Err(_) => format!("snapshot {name}"),
            };
            return Error::NotFound { what };
        }
        Error::io("read", &path, error)
    })?;
    let what = path.display().to_string();
    Ok((DataBlob::from_bytes(bytes, &what)?, what))
}

/// A finished snapshot, locked against removal.
pub struct SnapshotReader {
    store: Arc<Datastore>,
    namespace: Namespace,
    snapshot: SnapshotPath,
    manifest: Manifest,
    manifest_blob: DataBlob,
    _guard: Guard,
}

impl SnapshotReader {
    /// Locks and opens a snapshot.
    pub fn open(
        store: &Arc<Datastore>,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<SnapshotReader> {
        // Looked at first, so that a mistyped name does not leave a lock file behind. A snapshot that
        // is being written has a folder; its lock tells that it is busy, not missing.
        let dir = store.snapshot_dir(namespace, snapshot);
        if store.storage().meta(&dir).is_err() {
            let what = format!("snapshot {}", qualified_name(namespace, snapshot));
            return Err(Error::NotFound { what });
        }
        let guard = store.locks().snapshot(namespace, snapshot, Mode::Shared)?;
        let (manifest_blob, what) = load_manifest_blob(store, namespace, snapshot)?;
        let manifest = Manifest::from_blob(&manifest_blob, &what)?;
        Ok(SnapshotReader {
            store: Arc::clone(store),
            namespace: namespace.clone(),
            snapshot: snapshot.clone(),
            manifest,
            manifest_blob,
            _guard: guard,
        })
    }

    /// The store.
    pub fn store(&self) -> &Arc<Datastore> {
        &self.store
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Which snapshot.
    pub fn snapshot(&self) -> &SnapshotPath {
        &self.snapshot
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest as it lies on the disk.
    pub fn manifest_blob(&self) -> &DataBlob {
        &self.manifest_blob
    }

    /// Checks that `key` is the one that the snapshot was made with, and its signature.
    pub fn check_key(&self, key: &CryptConfig) -> Result<()> {
        self.manifest.verify_signature(key, &self.what("manifest"))
    }

    fn what(&self, filename: &str) -> String {
        format!("{filename} of snapshot {}", qualified_name(&self.namespace, &self.snapshot))
    }

    fn file(&self, filename: &str) -> Result<&FileInfo> {
        // Names come from the manifest, and whoever wrote that may want us elsewhere.
        if !is_archive_name(filename) {
            return Err(Error::InvalidName {
                kind: "archive name",
                name: filename.to_owned(),
                rule: "only .didx, .fidx and .blob files make up a snapshot",
            });
        }
        self.manifest.file(filename).ok_or_else(|| Error::NotFound { what: self.what(filename) })
    }

    /// Opens one of the snapshot's files as it lies on the disk: the manifest, what it lists, or
    /// the client's log.
    pub fn open_file(&self, filename: &str) -> Result<Box<dyn ReadAt>> {
        if filename != MANIFEST_NAME && filename != CLIENT_LOG_NAME {
            self.file(filename)?;
        }
        let path = self.store.snapshot_dir(&self.namespace, &self.snapshot).join(filename);
        self.store.storage().open(&path).map_err(|e| Error::io("open", &path, e))
    }

    /// The index of an archive, proved against the manifest. Its own header is not asked: what the
    /// manifest vouches for can be restored, whatever the header says.
    pub fn index(&self, filename: &str) -> Result<Index> {
        let file = self.file(filename)?;
        let path = self.store.snapshot_dir(&self.namespace, &self.snapshot).join(filename);
        let index = Index::load(&**self.store.storage(), &path)?;
        let csum = index.compute_csum();
        if csum != file.csum {
            return Err(Error::damaged(
                self.what(filename),
                format!("its checksum is {csum}, the manifest says {}", file.csum),
            ));
        }
        if index.content_size() != file.size {
            return Err(Error::damaged(
                self.what(filename),
                format!(
                    "it describes {} bytes, the manifest says {}",
                    index.content_size(),
                    file.size
                ),
            ));
        }
        Ok(index)
    }

    /// A small file as stored, proved against the manifest.
    pub fn blob(&self, filename: &str) -> Result<DataBlob> {
        let file = self.file(filename)?;
        let path = self.store.snapshot_dir(&self.namespace, &self.snapshot).join(filename);
        // Room for the header of an encrypted blob.
        let limit = BLOB_BYTES_MAX as u64 + 44;
        let bytes =
            self.store.storage().read(&path, limit).map_err(|e| Error::io("read", &path, e))?;
        let what = self.what(filename);
        if bytes.len() as u64 != file.size {
            return Err(Error::damaged(
                what,
                format!("it has {} bytes, the manifest says {}", bytes.len(), file.size),
            ));
        }
        let csum = Digest::of(&bytes);
        if csum != file.csum {
            return Err(Error::damaged(
                what,
                format!("its checksum is {csum}, the manifest says {}", file.csum),
            ));
        }
        DataBlob::from_bytes(bytes, &what)
    }

    /// The content of a small file.
    pub fn blob_content(&self, filename: &str, key: Option<&CryptConfig>) -> Result<Vec<u8>> {
        self.blob(filename)?.decode(key, BLOB_BYTES_MAX, &self.what(filename))
    }
}
