//! The files of a snapshot as they go to tape.
//!
//! What was read and proved when the snapshot was opened is what is written: the manifest may be replaced at any time, and a blob
//! may be damaged by the next read.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;

use datastore::SnapshotReader;
use datastore::hierarchy::{ArchiveKind, CLIENT_LOG_NAME, MANIFEST_NAME};
use datastore::storage::ReadAt;

use crate::error::{Error, Result};
use crate::format::snapshot_archive::SnapshotFile;

/// The files of a snapshot in the order of its archive on tape.
pub(super) fn snapshot_files(reader: &SnapshotReader) -> Result<Vec<Result<SnapshotFile>>> {
    let mut names = vec![MANIFEST_NAME.to_string()];
    let mut seen = BTreeSet::from([MANIFEST_NAME, CLIENT_LOG_NAME]);
    for file in reader.manifest().files() {
        // Readers accept a manifest that names a file twice; an archive can't hold it twice.
        if seen.insert(&file.filename) {
            names.push(file.filename.clone());
        }
    }
    let dir = reader.store().snapshot_dir(reader.namespace(), reader.snapshot());
    if dir.join(CLIENT_LOG_NAME).is_file() {
        names.push(CLIENT_LOG_NAME.to_string());
    }
    names.into_iter().map(|name| snapshot_file(reader, &dir, name).map(Ok)).collect()
}

fn snapshot_file(
    reader: &SnapshotReader,
    dir: &std::path::Path,
    name: String,
) -> Result<SnapshotFile> {
    let path = dir.join(&name);
    let meta = std::fs::symlink_metadata(&path).map_err(|e| Error::io(&path, e))?;
    let mut metadata = pxar::Metadata::with_mode(meta.mode());
    metadata.uid = meta.uid();
    metadata.gid = meta.gid();
    metadata.mtime = pxar::Timestamp {
        secs: meta.mtime(),
        nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0),
    };
    if name == MANIFEST_NAME {
        // The manifest may be replaced at any time (notes); what was read with the lists counts.
        let bytes = reader.manifest_blob().as_bytes().to_vec();
        let size = bytes.len() as u64;
        return Ok(SnapshotFile {
            name,
            metadata,
            size,
            content: Box::new(io::Cursor::new(bytes)),
        });
    }
    let is_listed = reader.manifest().files().iter().any(|file| file.filename == name);
    if is_listed && ArchiveKind::of(&name) == Some(ArchiveKind::Blob) {
        // Written is what was checked, not what the disk gives the next time.
        let bytes = reader.blob(&name)?.as_bytes().to_vec();
        let size = bytes.len() as u64;
        let content = Box::new(io::Cursor::new(bytes));
        return Ok(SnapshotFile { name, metadata, size, content });
    }
    let file = reader.open_file(&name)?;
    let size = file.len().map_err(|e| Error::io(&path, e))?;
    Ok(SnapshotFile { name, metadata, size, content: Box::new(Sequential { file, offset: 0 }) })
}

struct Sequential {
    file: Box<dyn ReadAt>,
    offset: u64,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(buffer, self.offset)?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}
