//! `.gc-status`: what the last collection found (`docs/formats/datastore.md`).
//!
//! Written after a collection that succeeded, and only then: whoever reads it may take it that the
//! sweep was whole. It decides nothing, so a file that cannot be read is the same as none.

use serde::{Deserialize, Serialize};

use crate::datastore::{Datastore, FILE_MODE};
use crate::error::{Error, Result};
use crate::storage::replace_file;

/// Name of the file in the store's folder.
pub const STATUS_NAME: &str = ".gc-status";
/// Longest status that is read.
const STATUS_BYTES_MAX: u64 = 1 << 20;

/// What a collection found and did. The names and their order are those of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Task that did it.
    #[serde(default)]
    pub upid: Option<String>,
    /// Indexes that were read.
    pub index_file_count: u64,
    /// Bytes that all of them stand for.
    pub index_data_bytes: u64,
    /// Bytes of all chunk files in use, and of bad copies in use.
    pub disk_bytes: u64,
    /// Chunks in use.
    pub disk_chunks: u64,
    /// Bytes of all files that were removed.
    pub removed_bytes: u64,
    /// Chunks that were removed.
    pub removed_chunks: u64,
    /// Bytes of files that no index needs but that are too young to be removed.
    pub pending_bytes: u64,
    /// Chunks that no index needs but that are too young to be removed.
    pub pending_chunks: u64,
    /// Bad copies that were removed.
    pub removed_bad: u64,
    /// Bad copies that no index needs but that are too young to be removed.
    pub still_bad: u64,
    /// How often indexes named what another entry had named already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_stats: Option<CacheStats>,
}

/// How the entries of all indexes divide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStats {
    /// Entries that name a chunk that was marked already.
    pub hits: u64,
    /// Entries that marked a chunk.
    pub misses: u64,
}

impl Status {
    /// How many bytes of archives a byte on the disk stands for; 1 for an empty store.
    pub fn deduplication_factor(&self) -> f64 {
        if self.disk_bytes == 0 {
            1.0
        } else {
            self.index_data_bytes as f64 / self.disk_bytes as f64
        }
    }
}

/// The result of the last collection of a store; `None` if there is none, or none that can be
/// understood.
pub fn status(store: &Datastore) -> Result<Option<Status>> {
    let path = store.base().join(STATUS_NAME);
    match store.storage().read(&path, STATUS_BYTES_MAX) {
        Ok(content) => Ok(serde_json::from_slice(&content).ok()),
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::InvalidData
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Error::io("read", &path, error)),
    }
}

pub(super) fn write(store: &Datastore, status: &Status) -> Result<()> {
    let path = store.base().join(STATUS_NAME);
    let content = serde_json::to_vec(status)
        .map_err(|error| Error::damaged(path.display().to_string(), error.to_string()))?;
    replace_file(&**store.storage(), &path, &[&content], FILE_MODE, store.durability())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = r#"{"upid":"UPID:x","index-file-count":1,"index-data-bytes":2,"disk-bytes":3,"disk-chunks":4,"removed-bytes":5,"removed-chunks":6,"pending-bytes":7,"pending-chunks":8,"removed-bad":9,"still-bad":10,"cache-stats":{"hits":11,"misses":12}}"#;

    #[test]
    fn the_fields_stand_in_their_order() {
        let status: Status = serde_json::from_str(EVERYTHING).unwrap();
        assert_eq!(serde_json::to_string(&status).unwrap(), EVERYTHING);
        assert_eq!((status.still_bad, status.cache_stats.unwrap().misses), (10, 12));
    }

    #[test]
    fn only_the_newer_fields_may_be_missing() {
        let value: serde_json::Value = serde_json::from_str(EVERYTHING).unwrap();
        for field in value.as_object().unwrap().keys() {
            let mut less = value.clone();
            less.as_object_mut().unwrap().remove(field);
            let read: serde_json::Result<Status> = serde_json::from_value(less);
            assert_eq!(read.is_ok(), ["upid", "cache-stats"].contains(&field.as_str()), "{field}");
        }
        let null = EVERYTHING.replace("\"UPID:x\"", "null");
        assert_eq!(serde_json::from_str::<Status>(&null).unwrap().upid, None);
    }

    #[test]
    fn the_factor_of_an_empty_store_is_one() {
        assert!((Status::default().deduplication_factor() - 1.0).abs() < f64::EPSILON);
        let status = Status { index_data_bytes: 30, disk_bytes: 10, ..Status::default() };
        assert!((status.deduplication_factor() - 3.0).abs() < f64::EPSILON);
    }
}
