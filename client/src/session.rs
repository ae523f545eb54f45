//! What a backup or restore needs of the place where the data is.
//!
//! The traits are shaped by the wire protocol, which announces an archive before its chunks, so
//! that a server can stand behind them as well as a local datastore.

use std::collections::HashSet;
use std::sync::Arc;

use datastore::index::Index;
use datastore::manifest::FileInfo;
use datastore::{CryptMode, DataBlob, Digest, Fingerprint, Manifest, SnapshotPath};

use crate::error::Result;

/// How an archive is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveShape {
    /// Chunks of varying size.
    Dynamic,
    /// Chunks of one size, for an image of so many bytes.
    Fixed {
        /// Length of the image in bytes.
        size: u64,
    },
}

/// A backup in progress.
pub trait BackupSession: Send + Sync {
    /// Which snapshot is made.
    fn snapshot(&self) -> &SnapshotPath;

    /// The snapshot whose chunks are reused, if there is one.
    fn base(&self) -> Option<&SnapshotPath>;

    /// The key that the base snapshot says it was made with.
    fn base_key(&self) -> Option<Fingerprint>;

    /// Announces an archive by its stored name.
    fn begin_archive(
        &self,
        filename: &str,
        shape: ArchiveShape,
        crypt_mode: CryptMode,
    ) -> Result<Arc<dyn ArchiveSink>>;

    /// Stores a small file.
    fn add_blob(&self, filename: &str, blob: &DataBlob, crypt_mode: CryptMode) -> Result<FileInfo>;

    /// Bytes that were stored so far and were not there before.
    fn new_bytes(&self) -> u64;

    /// Chunks that were reused so far instead of being stored.
    fn reused_chunks(&self) -> u64;

    /// Makes the snapshot exist. Until then a session that ends leaves nothing.
    fn finish(&self, manifest: Manifest) -> Result<Manifest>;
}

/// Takes the chunks of one archive, from several threads at once.
pub trait ArchiveSink: Send + Sync {
    /// Chunks that the base snapshot's archive of the same name has.
    fn known_chunks(&self) -> &HashSet<Digest>;

    /// Relies on a chunk that is known or was stored in this session. `false` if it is gone after
    /// all, and then it must be stored.
    fn reuse_chunk(&self, digest: &Digest) -> Result<bool>;

    /// Told of a chunk that is the same as one that was stored or reused in this session.
    fn count_repeated(&self);

    /// Stores a chunk of `plain_len` bytes of content.
    fn store_chunk(&self, digest: &Digest, blob: &DataBlob, plain_len: u64) -> Result<()>;

    /// Ends the archive with all its chunks in order: length of content and digest of each.
    fn finish(&self, chunks: &[(u64, Digest)]) -> Result<FileInfo>;
}

/// A finished snapshot, held against removal.
pub trait RestoreSession: Send + Sync {
    /// Which snapshot.
    fn snapshot(&self) -> &SnapshotPath;

    /// Its manifest.
    fn manifest(&self) -> &Manifest;

    /// The index of an archive, proved against the manifest.
    fn index(&self, filename: &str) -> Result<Index>;

    /// A small file, proved against the manifest.
    fn blob(&self, filename: &str) -> Result<DataBlob>;

    /// A chunk with a valid header and CRC; its content is for the caller to prove.
    fn chunk(&self, digest: &Digest) -> Result<DataBlob>;
}
