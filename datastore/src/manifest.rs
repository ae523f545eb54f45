//! The manifest: what a snapshot consists of, and the file whose presence makes it exist
//! (`docs/formats/manifest.md`).
//!
//! A manifest is JSON in an unencrypted blob. The signature covers everything but `signature` and
//! `unprotected`, in a canonical form without white space, so that notes and verification results
//! can be changed later without the key. Whoever rewrites a manifest changes `unprotected` only.

mod canonical;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::blob::DataBlob;
use crate::crypt::{CryptConfig, CryptMode};
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::hierarchy::{BackupType, SnapshotPath};

pub use canonical::canonical_json;

/// Largest manifest that is read, in plain bytes.
const MANIFEST_BYTES_MAX: usize = 16 << 20;
/// Largest encoded manifest.
pub const MANIFEST_FILE_BYTES_MAX: u64 = MANIFEST_BYTES_MAX as u64 + 44;

/// One archive of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileInfo {
    /// How its content is protected.
    #[serde(default)]
    pub crypt_mode: CryptMode,
    /// Checksum of an index; SHA-256 of a blob's file.
    pub csum: Digest,
    /// Name in the snapshot's folder.
    pub filename: String,
    /// Length of the archive behind an index; length of a blob's file.
    pub size: u64,
}

/// What a verification found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VerifyResult {
    /// Everything was as it should be.
    Ok,
    /// Something was missing or damaged.
    Failed,
}

/// When a snapshot was last verified, and how it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyState {
    /// How it went.
    pub state: VerifyResult,
    /// Identifier of the task, with its time.
    pub upid: String,
}

impl VerifyState {
    /// When the verification began, in seconds since 1970, if its identifier can be read.
    pub fn time(&self) -> Option<i64> {
        crate::time::of_task(&self.upid)
    }
}

/// What became of the chunks of a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkUploadStats {
    /// Bytes that were stored.
    pub compressed_size: u64,
    /// Chunks that were offered.
    pub count: u64,
    /// Chunks that were there already.
    pub duplicates: u64,
    /// Plain bytes of the chunks, and encoded bytes of the blobs.
    pub size: u64,
}

/// The content of a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Manifest {
    backup_id: String,
    backup_time: i64,
    backup_type: BackupType,
    files: Vec<FileInfo>,
    #[serde(default)]
    signature: Option<String>,
    /// Not covered by the signature: notes, results of verification, statistics. Keys that this
    /// version does not know are kept.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub unprotected: Map<String, Value>,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Map<String, Value>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Manifest {
    /// A manifest without files.
    pub fn new(snapshot: &SnapshotPath) -> Manifest {
        Manifest {
            backup_id: snapshot.group().id().to_owned(),
            backup_time: snapshot.time(),
            backup_type: snapshot.group().backup_type(),
            files: Vec::new(),
            signature: None,
            unprotected: Map::new(),
        }
    }

    /// Adds an archive. A name may occur once.
    pub fn add(&mut self, file: FileInfo) -> Result<()> {
        if self.file(&file.filename).is_some() {
            return Err(Error::Exists {
                what: format!("archive {} of this backup", file.filename),
            });
        }
        self.files.push(file);
        Ok(())
    }

    /// The archives in order.
    pub fn files(&self) -> &[FileInfo] {
        &self.files
    }

    /// The archive with that stored name.
    pub fn file(&self, filename: &str) -> Option<&FileInfo> {
        self.files.iter().find(|file| file.filename == filename)
    }

    /// True if the manifest says that it belongs to `snapshot`. The folder is what counts; a
    /// difference is worth a finding.
    pub fn belongs_to(&self, snapshot: &SnapshotPath) -> bool {
        self.backup_id == snapshot.group().id()
            && self.backup_type == snapshot.group().backup_type()
            && self.backup_time == snapshot.time()
    }

    /// Reads JSON.
    pub fn from_json(text: &[u8], what: &dyn std::fmt::Display) -> Result<Manifest> {
        serde_json::from_slice(text)
            .map_err(|e| Error::damaged(what.to_string(), format!("it is no manifest: {e}")))
    }

    /// The text that goes into the blob: pretty-printed with keys in byte order.
    pub fn to_json(&self) -> Result<String> {
        // A JSON value keeps its keys sorted, which is the order of the format.
        let text =
            serde_json::to_value(self).and_then(|value| serde_json::to_string_pretty(&value));
        text.map_err(|e| Error::damaged("manifest", e.to_string()))
    }

    /// Reads the blob of a manifest.
    pub fn from_blob(blob: &DataBlob, what: &dyn std::fmt::Display) -> Result<Manifest> {
        Manifest::from_json(&Manifest::json_of_blob(blob, what)?, what)
    }

    /// The JSON in the blob of a manifest.
    pub(crate) fn json_of_blob(blob: &DataBlob, what: &dyn std::fmt::Display) -> Result<Vec<u8>> {
        if blob.kind().encrypted {
            return Err(Error::damaged(what.to_string(), "a manifest is never encrypted"));
        }
        blob.decode(None, MANIFEST_BYTES_MAX, what)
    }

    /// Makes the blob of a manifest.
    pub fn to_blob(&self) -> Result<DataBlob> {
        DataBlob::encode(self.to_json()?.as_bytes(), None, true)
    }

    /// Makes the blob of a manifest that was `json` and whose `unprotected` keys are now those of
    /// `self`. Everything else is taken from `json`, also keys that this version does not know: the
    /// signature may cover them.
    pub(crate) fn to_blob_like(
        &self,
        json: &[u8],
        what: &dyn std::fmt::Display,
    ) -> Result<DataBlob> {
        let bad = |e: serde_json::Error| Error::damaged(what.to_string(), e.to_string());
        let mut value: Map<String, Value> = serde_json::from_slice(json).map_err(bad)?;
        value.insert("unprotected".into(), Value::Object(self.unprotected.clone()));
        let text = serde_json::to_string_pretty(&value).map_err(bad)?;
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(Error::Refused {
                reason: format!(
                    "{what} would have {} bytes, and a manifest has at most {MANIFEST_BYTES_MAX}",
                    text.len()
                ),
            });
        }
        DataBlob::encode(text.as_bytes(), None, true)
    }

    fn canonical_bytes(&self) -> Result<Vec<u8>> {
        let bad = |e: serde_json::Error| Error::damaged("manifest", e.to_string());
        let mut value = serde_json::to_value(self).map_err(bad)?;
        if let Value::Object(map) = &mut value {
            map.remove("signature");
            map.remove("unprotected");
        }
        canonical_json(&value)
    }

    /// Signs the manifest and records which key did it.
    pub fn sign(&mut self, key: &CryptConfig) -> Result<()> {
        self.signature = Some(hex::encode(key.sign(&self.canonical_bytes()?)?));
        self.unprotected
            .insert("key-fingerprint".into(), Value::String(key.fingerprint().to_string()));
        Ok(())
    }

    /// The signature as written.
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Which key signed, as far as the manifest says. Anybody who can write the store can change
    /// this: it finds a key, it proves nothing.
    pub fn key_fingerprint(&self) -> Result<Option<Fingerprint>> {
        match self.unprotected.get("key-fingerprint") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.parse()?)),
            Some(_) => Err(Error::damaged("manifest", "'key-fingerprint' is not text")),
        }
    }

    /// Checks the signature against a key: the key must be the one named, and the signature must
    /// fit. A manifest without a signature passes, as it does in the reference.
    pub fn verify_signature(&self, key: &CryptConfig, what: &dyn std::fmt::Display) -> Result<()> {
        let Some(signature) = &self.signature else { return Ok(()) };
        if let Some(wanted) = self.key_fingerprint()?
            && wanted != key.fingerprint()
        {
            return Err(Error::WrongKey {
                what: what.to_string(),
                wanted,
                given: key.fingerprint(),
            });
        }
        let expected = hex::encode(key.sign(&self.canonical_bytes()?)?);
        // Comparing in constant time gives nothing away to somebody who tries signatures.
        let (found, expected) = (signature.as_bytes(), expected.as_bytes());
        if found.len() == expected.len() && openssl::memcmp::eq(found, expected) {
            Ok(())
        } else {
            Err(Error::BadSignature { what: what.to_string() })
        }
    }

    /// The result of the last verification, if there was one that can be read.
    pub fn verify_state(&self) -> Option<VerifyState> {
        let value = self.unprotected.get("verify_state")?;
        serde_json::from_value(value.clone()).ok()
    }

    /// Notes of the snapshot.
    pub fn notes(&self) -> Option<&str> {
        self.unprotected.get("notes")?.as_str()
    }

    /// What became of the chunks when the snapshot was made.
    pub fn chunk_upload_stats(&self) -> Option<ChunkUploadStats> {
        let value = self.unprotected.get("chunk_upload_stats")?;
        serde_json::from_value(value.clone()).ok()
    }

    /// Records what became of the chunks.
    pub fn set_chunk_upload_stats(&mut self, stats: &ChunkUploadStats) -> Result<()> {
        let value =
            serde_json::to_value(stats).map_err(|e| Error::damaged("manifest", e.to_string()))?;
        self.unprotected.insert("chunk_upload_stats".into(), value);
        Ok(())
    }

    /// Records the result of a verification.
    pub fn set_verify_state(&mut self, state: &VerifyState) -> Result<()> {
        let value =
            serde_json::to_value(state).map_err(|e| Error::damaged("manifest", e.to_string()))?;
        self.unprotected.insert("verify_state".into(), value);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
