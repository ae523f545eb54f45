//! A snapshot whose small files came from tape, and whose chunks come from the spool: what the code of `capstan restore`
//! reads in place of one in a datastore, with the same checks.

use std::collections::BTreeMap;

use client::session::RestoreSession;
use datastore::hierarchy::ArchiveKind;
use datastore::index::{DynamicIndex, FixedIndex, Index};
use datastore::manifest::FileInfo;
use datastore::{DataBlob, Digest, Manifest, SnapshotPath};

use super::spool::{Lookup, Spool};

/// A snapshot on tape.
pub(crate) struct TapeSnapshot {
    pub snapshot: SnapshotPath,
    pub manifest: Manifest,
    /// Its files besides the manifest.
    pub files: BTreeMap<String, Vec<u8>>,
    pub spool: Spool,
}

impl TapeSnapshot {
    fn file(&self, filename: &str) -> client::Result<(&FileInfo, &[u8])> {
        let info = self.manifest.file(filename);
        let content = self.files.get(filename);
        info.zip(content.map(Vec::as_slice)).ok_or_else(|| {
            client::Error::refused(format!("snapshot {} has no file {filename}", self.snapshot))
        })
    }

    fn damaged(&self, filename: &str, reason: String) -> client::Error {
        datastore::Error::damaged(format!("{filename} of snapshot {}", self.snapshot), reason)
            .into()
    }
}

impl RestoreSession for TapeSnapshot {
    fn snapshot(&self) -> &SnapshotPath {
        &self.snapshot
    }

    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn index(&self, filename: &str) -> client::Result<Index> {
        let (info, content) = self.file(filename)?;
        let what = format!("{filename} of snapshot {}", self.snapshot);
        let index = match ArchiveKind::of(filename) {
            Some(ArchiveKind::FixedIndex) => Index::Fixed(FixedIndex::decode(content, &what)?),
            _ => Index::Dynamic(DynamicIndex::decode(content, &what)?),
        };
        let (csum, size) = (index.compute_csum(), index.content_size());
        if csum != info.csum || size != info.size {
            let reason = "its checksum or size is not what the manifest says".to_owned();
            return Err(self.damaged(filename, reason));
        }
        Ok(index)
    }

    fn blob(&self, filename: &str) -> client::Result<DataBlob> {
        let (info, content) = self.file(filename)?;
        if content.len() as u64 != info.size || Digest::of(content) != info.csum {
            let reason = "its checksum or size is not what the manifest says".to_owned();
            return Err(self.damaged(filename, reason));
        }
        Ok(DataBlob::from_bytes(content.to_vec(), &filename)?)
    }

    fn chunk(&self, digest: &Digest) -> client::Result<DataBlob> {
        match self.spool.get(digest) {
            Ok(Lookup::Blob(blob)) => Ok(blob),
            Ok(Lookup::Failed(reason)) => Err(client::Error::refused(reason)),
            Ok(Lookup::Missing) => {
                Err(client::Error::refused(format!("chunk {digest} was not read from tape yet")))
            }
            Err(error) => Err(client::Error::refused(error.to_string())),
        }
    }
}
