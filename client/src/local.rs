//! Sessions with a datastore on this machine.

use std::collections::HashSet;
use std::sync::Arc;

use datastore::index::Index;
use datastore::manifest::FileInfo;
use datastore::snapshot::GroupWriter;
use datastore::{
    CryptMode, DataBlob, Datastore, Digest, Fingerprint, Manifest, Namespace, SnapshotPath,
    SnapshotReader, SnapshotWriter,
};

use crate::error::Result;
use crate::session::{ArchiveShape, ArchiveSink, BackupSession, RestoreSession};

/// A backup into a local datastore.
pub struct LocalBackup {
    writer: Arc<SnapshotWriter>,
    // After the writer, so that an unfinished snapshot is gone before the group is looked at.
    _group: Arc<GroupWriter>,
}

impl LocalBackup {
    /// Begins a backup; see [`SnapshotWriter::begin_backup`].
    pub fn begin(
        store: &Arc<Datastore>,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        owner: &str,
    ) -> Result<LocalBackup> {
        let group = GroupWriter::open(store, namespace, snapshot.group(), owner)?;
        let writer = Arc::new(SnapshotWriter::begin_backup(&group, snapshot.time())?);
        Ok(LocalBackup { writer, _group: group })
    }
}

impl BackupSession for LocalBackup {
    fn snapshot(&self) -> &SnapshotPath {
        self.writer.snapshot()
    }

    fn base(&self) -> Option<&SnapshotPath> {
        self.writer.base()
    }

    fn base_key(&self) -> Option<Fingerprint> {
        self.writer.base_key()
    }

    fn begin_archive(
        &self,
        filename: &str,
        shape: ArchiveShape,
        crypt_mode: CryptMode,
    ) -> Result<Arc<dyn ArchiveSink>> {
        let known = self
            .writer
            .base_index(filename, crypt_mode)
            .map(|index| index.digests().collect())
            .unwrap_or_default();
        Ok(Arc::new(LocalArchive {
            writer: Arc::clone(&self.writer),
            filename: filename.to_owned(),
            shape,
            crypt_mode,
            known,
        }))
    }

    fn add_blob(&self, filename: &str, blob: &DataBlob, crypt_mode: CryptMode) -> Result<FileInfo> {
        Ok(self.writer.add_blob(filename, blob, crypt_mode)?)
    }

    fn new_bytes(&self) -> u64 {
        self.writer.new_bytes()
    }

    fn reused_chunks(&self) -> u64 {
        self.writer.reused_chunks()
    }

    fn finish(&self, manifest: Manifest) -> Result<Manifest> {
        Ok(self.writer.finish(manifest)?)
    }
}

struct LocalArchive {
    writer: Arc<SnapshotWriter>,
    filename: String,
    shape: ArchiveShape,
    crypt_mode: CryptMode,
    known: HashSet<Digest>,
}

impl ArchiveSink for LocalArchive {
    fn known_chunks(&self) -> &HashSet<Digest> {
        &self.known
    }

    fn reuse_chunk(&self, digest: &Digest) -> Result<bool> {
        Ok(self.writer.reuse_chunk(digest)?)
    }

    fn count_repeated(&self) {
        self.writer.count_repeated();
    }

    fn store_chunk(&self, digest: &Digest, blob: &DataBlob, plain_len: u64) -> Result<()> {
        self.writer.insert_chunk(digest, blob, plain_len)?;
        Ok(())
    }

    fn finish(&self, chunks: &[(u64, Digest)]) -> Result<FileInfo> {
        Ok(match self.shape {
            ArchiveShape::Dynamic => {
                self.writer.add_dynamic_index(&self.filename, chunks, self.crypt_mode)?
            }
            ArchiveShape::Fixed { size } => {
                let digests = chunks.iter().map(|(_, digest)| *digest).collect();
                self.writer.add_fixed_index(&self.filename, size, digests, self.crypt_mode)?
            }
        })
    }
}

/// A snapshot of a local datastore.
pub struct LocalRestore(SnapshotReader);

impl LocalRestore {
    /// Opens a finished snapshot and holds it.
    pub fn open(
        store: &Arc<Datastore>,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<LocalRestore> {
        Ok(LocalRestore(SnapshotReader::open(store, namespace, snapshot)?))
    }
}

impl RestoreSession for LocalRestore {
    fn snapshot(&self) -> &SnapshotPath {
        self.0.snapshot()
    }

    fn manifest(&self) -> &Manifest {
        self.0.manifest()
    }

    fn index(&self, filename: &str) -> Result<Index> {
        Ok(self.0.index(filename)?)
    }

    fn blob(&self, filename: &str) -> Result<DataBlob> {
        Ok(self.0.blob(filename)?)
    }

    fn chunk(&self, digest: &Digest) -> Result<DataBlob> {
        Ok(self.0.store().chunks().read(digest)?)
    }
}
