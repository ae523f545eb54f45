//! Which tape is in the drive.

use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use super::{inventorize, open_and_read_labels};
use crate::error::{Error, Result};
use crate::format::label::Labels;
use crate::loader::MediaLoader;
use crate::media::StateDir;

/// A tape's labels in one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LabelInfo {
    /// When the tape was labelled.
    pub ctime: i64,
    /// Fingerprint of the key of its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_key_fingerprint: Option<String>,
    /// Label text.
    pub label_text: String,
    /// When it joined its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_ctime: Option<i64>,
    /// Its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// Its pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Place in its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_nr: Option<u64>,
    /// Media UUID.
    pub uuid: Uuid,
}

impl LabelInfo {
    /// From what was read.
    pub fn new(labels: &Labels) -> LabelInfo {
        let set = labels.media_set.as_ref().map(|found| &found.label);
        LabelInfo {
            ctime: labels.media.ctime,
            encryption_key_fingerprint: set.and_then(|set| set.encryption_key_fingerprint.clone()),
            label_text: labels.media.label_text.clone(),
            media_set_ctime: set.map(|set| set.ctime),
            media_set_uuid: set.map(|set| set.uuid),
            pool: set.map(|set| set.pool.clone()).or_else(|| labels.media.pool.clone()),
            seq_nr: set.map(|set| set.seq_nr),
            uuid: labels.media.uuid,
        }
    }
}

/// Reads the labels of the tape in the drive; with `store` the inventory learns them.
pub fn read_label(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    store: bool,
    progress: &dyn Progress,
) -> Result<LabelInfo> {
    let (_device, labels) = open_and_read_labels(loader, progress)?;
    let labels =
        labels.ok_or_else(|| Error::NotLabelled { drive: loader.drive_name().to_string() })?;
    if store {
        inventorize(state, &labels)?;
    }
    Ok(LabelInfo::new(&labels))
}
