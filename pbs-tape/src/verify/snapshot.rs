//! Is a snapshot archive what its manifest says?
//!
//! Each file is held against the manifest: an index by the checksum of its entries and the size of what it describes,
//! a blob by the SHA-256 of its file, its CRC and, unless it is encrypted and the key is not at hand, its content. The
//! manifest has a CRC and maybe a signature. With the key that the signature proves to be the snapshot's, every
//! encrypted chunk must be that key's.
//!
//! An index is also written anew and compared, so that damage in its reserved part is found. Nothing covers the time
//! and the UUID in its header, and neither is needed.

use std::io::Read;
use std::sync::Arc;

use datastore::blob::BLOB_BYTES_MAX;
use datastore::hierarchy::{ArchiveKind, CLIENT_LOG_NAME, MANIFEST_NAME, parse_qualified_name};
use datastore::index::{DynamicIndex, FixedIndex, Index};
use datastore::manifest::{FileInfo, MANIFEST_FILE_BYTES_MAX};
use datastore::{CryptConfig, CryptMode, DataBlob, Digest, Manifest};

use super::ledger::{Archive, Need};
use super::report::{Signature, VerifiedSnapshot};
use crate::error::{Error, Result};
use crate::format::block::StreamReader;
use crate::format::snapshot_archive::{SnapshotArchiveHeader, read_snapshot_files};

/// Longest file of a blob, and of an index, that is taken into memory.
const BLOB_FILE_BYTES_MAX: u64 = BLOB_BYTES_MAX as u64 + 44;
const INDEX_FILE_BYTES_MAX: u64 = 16 << 30;

/// A snapshot archive as it is checked.
pub(super) struct SnapshotCheck<'a> {
    archive: &'a SnapshotArchiveHeader,
    store: u16,
    keys: &'a [Arc<CryptConfig>],
    manifest: Option<Manifest>,
    /// Files of the manifest that came.
    came: Vec<String>,
    /// The key that is proved to be the snapshot's.
    key: Option<usize>,
    pub snapshot: VerifiedSnapshot,
    /// Its indexes, and what they name; places are counted from 0.
    pub archives: Vec<Archive>,
    pub needs: Vec<Need>,
    /// What is not as it was written, and costs nothing.
    pub oddities: Vec<String>,
    pub bytes: u64,
}

impl<'a> SnapshotCheck<'a> {
    pub fn new(
        archive: &'a SnapshotArchiveHeader,
        store: u16,
        keys: &'a [Arc<CryptConfig>],
        tape: &str,
        file: u64,
    ) -> SnapshotCheck<'a> {
        let name = format!("{}:{}", archive.store, archive.snapshot);
        SnapshotCheck {
            archive,
            store,
            keys,
            manifest: None,
            came: Vec::new(),
            key: None,
            snapshot: VerifiedSnapshot::new(name, tape.to_owned(), file),
            archives: Vec::new(),
            needs: Vec::new(),
            oddities: Vec::new(),
            bytes: 0,
        }
    }

    /// Reads the files. An error is about the archive or the tape; what is wrong with single files is in the
    /// snapshot's list.
    pub fn read(&mut self, stream: &mut StreamReader<'_>) -> Result<()> {
        read_snapshot_files(stream, |name, _metadata, size, content| {
            self.bytes += size;
            let checked = match name {
                MANIFEST_NAME => self.check_manifest(content)?,
                _ => self.check_file(name, content)?,
            };
            if let Err(reason) = checked {
                self.snapshot.fail(format!("{name}: {reason}"));
            }
            Ok(())
        })?;
        let files = self.manifest.as_ref().map(Manifest::files).unwrap_or_default();
        let missing: Vec<String> = files
            .iter()
            .map(|file| file.filename.clone())
            .filter(|f| !self.came.contains(f))
            .collect();
        for name in missing {
            self.snapshot.fail(format!("{name}: it is not in the archive"));
        }
        Ok(())
    }

    fn check_manifest(&mut self, content: &mut dyn Read) -> Result<Result<(), String>> {
        let bytes = read_file(content, MANIFEST_FILE_BYTES_MAX)?;
        Ok(self.take_manifest(bytes))
    }

    fn take_manifest(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let what = "the manifest";
        let blob = DataBlob::from_bytes(bytes, &what).map_err(|e| e.to_string())?;
        let manifest = Manifest::from_blob(&blob, &what).map_err(|e| e.to_string())?;
        let named = parse_qualified_name(&self.archive.snapshot);
        if !named.is_ok_and(|(_, snapshot)| manifest.belongs_to(&snapshot)) {
            self.snapshot.fail("its manifest is that of another snapshot".into());
        }
        if manifest.signature().is_some() {
            let wanted = manifest.key_fingerprint().map_err(|e| e.to_string())?;
            let key = self.keys.iter().position(|key| Some(key.fingerprint()) == wanted);
            self.snapshot.signature = match key.and_then(|key| Some((key, self.keys.get(key)?))) {
                None => Signature::NoKey,
                Some((number, key)) => match manifest.verify_signature(key, &what) {
                    Ok(()) => {
                        self.key = Some(number);
                        Signature::Valid
                    }
                    Err(error) => {
                        self.snapshot.fail(error.to_string());
                        Signature::Wrong
                    }
                },
            };
        }
        self.manifest = Some(manifest);
        Ok(())
    }

    fn check_file(&mut self, name: &str, content: &mut dyn Read) -> Result<Result<(), String>> {
        let kind = ArchiveKind::of(name);
        let limit = match kind {
            Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex) => INDEX_FILE_BYTES_MAX,
            _ => BLOB_FILE_BYTES_MAX,
        };
        let bytes = read_file(content, limit)?;
        if name == CLIENT_LOG_NAME {
            return Ok(self.check_blob(None, bytes));
        }
        let Some(manifest) = &self.manifest else {
            return Ok(Err("it comes before the manifest, or the manifest can't be read".into()));
        };
        let Some(info) = manifest.file(name).cloned() else {
            return Ok(Err("the manifest does not list it".into()));
        };
        self.came.push(name.to_owned());
        Ok(match kind {
            Some(ArchiveKind::Blob) => self.check_blob(Some(&info), bytes),
            Some(ArchiveKind::DynamicIndex) => DynamicIndex::decode(&bytes, &"the index")
                .map_err(|e| e.to_string())
                .and_then(|index| self.check_index(&info, Index::Dynamic(index), &bytes)),
            Some(ArchiveKind::FixedIndex) => FixedIndex::decode(&bytes, &"the index")
                .map_err(|e| e.to_string())
                .and_then(|index| self.check_index(&info, Index::Fixed(index), &bytes)),
            None => Err("its name is not that of an archive".into()),
        })
    }

    /// A blob that the manifest lists, or one that it never does.
    fn check_blob(&self, info: Option<&FileInfo>, bytes: Vec<u8>) -> Result<(), String> {
        if let Some(info) = info {
            let (size, csum) = (bytes.len() as u64, Digest::of(&bytes));
            if size != info.size {
                return Err(format!("it has {size} bytes, the manifest says {}", info.size));
            }
            if csum != info.csum {
                return Err(format!("its checksum is {csum}, the manifest says {}", info.csum));
            }
        }
        let blob = DataBlob::from_bytes(bytes, &"it").map_err(|e| e.to_string())?;
        let key = self.key.and_then(|key| self.keys.get(key));
        if blob.kind().encrypted && key.is_none() {
            return Ok(());
        }
        let key = key.filter(|_| blob.kind().encrypted).map(|key| &**key);
        blob.decode(key, BLOB_BYTES_MAX, &"it").map(drop).map_err(|e| e.to_string())
    }

    fn check_index(&mut self, info: &FileInfo, index: Index, bytes: &[u8]) -> Result<(), String> {
        let (size, csum) = (index.content_size(), index.compute_csum());
        if csum != info.csum {
            return Err(format!("its checksum is {csum}, the manifest says {}", info.csum));
        }
        if size != info.size {
            return Err(format!("it describes {size} bytes, the manifest says {}", info.size));
        }
        let archive = u32::try_from(self.archives.len()).map_err(|e| e.to_string())?;
        self.archives.push(Archive {
            snapshot: 0,
            store: self.store,
            name: info.filename.clone(),
            is_encrypted: info.crypt_mode == CryptMode::Encrypt,
            key: self.key,
        });
        let length = |len: u64| u32::try_from(len).unwrap_or(u32::MAX);
        let from = self.needs.len();
        self.needs.extend(index.entries().map(|entry| Need {
            digest: entry.digest,
            length: length(entry.len()),
            archive,
        }));
        // An image names the chunk of zeros often.
        let mut own = self.needs.split_off(from);
        own.sort_unstable();
        own.dedup();
        self.needs.append(&mut own);
        if index.header().csum != csum {
            let said = index.header().csum;
            return Err(format!("its header says its checksum is {said}, but it is {csum}"));
        }
        let again = match &index {
            Index::Dynamic(index) => index.encode(),
            Index::Fixed(index) => index.encode(),
        };
        if again != bytes {
            let name = &info.filename;
            self.oddities.push(format!("{name}: its header has bits that no writer sets"));
        }
        Ok(())
    }
}

/// Grows with what is there, so that a damaged length costs no memory.
fn read_file(content: &mut dyn Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let failed = |reason: String| Error::malformed("snapshot archive", reason);
    content.take(limit + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(failed(format!("it holds a file of more than {limit} bytes")));
    }
    Ok(bytes)
}
