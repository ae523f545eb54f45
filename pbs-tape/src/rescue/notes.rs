//! What a rescue knows of a tape: its labels, and what became of each of its files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::media::MediaId;

/// So many damages of one tape file are told; of the others only the number.
const DAMAGE_TOLD_MAX: usize = 20;

/// A tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TapeNote {
    /// Its labels. What is only known from the catalog that another tape carries has no label text.
    pub id: MediaId,
    /// It was in the drive.
    pub is_seen: bool,
    /// The end of its data was reached, and every file on the way was looked at.
    pub is_listed: bool,
    /// The same, and everything in them is here.
    pub is_rescued: bool,
    /// Why not more of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Its files behind the labels, by number.
    pub files: BTreeMap<u64, FileNote>,
}

impl TapeNote {
    /// A tape of which nothing was read yet.
    pub fn new(id: MediaId, is_seen: bool) -> TapeNote {
        let files = BTreeMap::new();
        TapeNote { id, is_seen, is_listed: false, is_rescued: false, problem: None, files }
    }

    /// The label text, or where the tape belongs if that is not known.
    pub fn name(&self) -> String {
        match (self.id.label.label_text.as_str(), self.id.assigned_set()) {
            ("", Some(set)) => format!("tape {} of media set {}", set.seq_nr + 1, set.uuid),
            ("", None) => format!("tape {}", self.id.label.uuid),
            (text, _) => text.to_string(),
        }
    }

    /// True if something on it can't be read.
    pub fn is_damaged(&self) -> bool {
        self.problem.is_some() || self.files.values().any(|file| file.damage_count > 0)
    }
}

/// A file of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FileNote {
    /// Content UUID; nil if the head could not be read.
    pub uuid: Uuid,
    /// What is in it.
    pub content: Content,
    /// What of it could not be read, as far as it is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub damage: Vec<String>,
    /// How many damages there are.
    #[serde(default)]
    pub damage_count: u64,
}

impl FileNote {
    /// A file without damage.
    pub fn new(uuid: Uuid, content: Content) -> FileNote {
        FileNote { uuid, content, damage: Vec::new(), damage_count: 0 }
    }

    /// Adds a damage; one that is known already counts once.
    pub fn add_damage(&mut self, reason: String) {
        if self.damage.contains(&reason) {
            return;
        }
        self.damage_count += 1;
        if self.damage.len() < DAMAGE_TOLD_MAX {
            self.damage.push(reason);
        }
    }
}

/// What is in a file of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(super) enum Content {
    /// Chunks of a datastore; `is_stored` if all that can be read of them are in the folder.
    Chunks { store: String, is_stored: bool },
    /// A snapshot.
    Snapshot { store: String, snapshot: String },
    /// The catalog of a tape.
    Catalog { of: Uuid },
    /// Its writer gave it up; nothing counts in it.
    Abandoned,
    /// Not even its head can be read.
    Unreadable,
}
