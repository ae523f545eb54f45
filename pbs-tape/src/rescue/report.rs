//! What a rescue found and did, and what is still lacking.

use std::time::Duration;

use datastore::CryptMode;
use serde::Serialize;
use uuid::Uuid;

use super::files::RescuedFiles;

/// What became of a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapeState {
    /// It was read to the end of its data, and nothing on it is damaged.
    Read,
    /// It was read to the end of its data; some of it is damaged.
    Damaged,
    /// It was not read to the end of its data.
    Partly,
    /// Its key is not here.
    Locked,
    /// It is labelled, and nothing is on it.
    Unused,
    /// Nothing is on it.
    Blank,
    /// It is another program's, or too damaged to tell.
    Foreign,
    /// It could not be loaded.
    NotLoaded,
    /// Only what another tape says of it is known.
    NotSeen,
}

impl TapeState {
    /// True if something on the tape could not be had, and may be had later.
    pub fn is_lacking(self) -> bool {
        matches!(
            self,
            TapeState::Damaged
                | TapeState::Partly
                | TapeState::Locked
                | TapeState::NotLoaded
                | TapeState::NotSeen
        )
    }
}

/// A tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescueTapeReport {
    /// Its label text, or its bar code if it has no label that can be read. Empty if neither is known.
    pub label_text: String,
    /// Its media UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The set that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// Pool of the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Place in the set, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_nr: Option<u64>,
    /// What became of it.
    pub state: TapeState,
    /// Why, if not all of it was read.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Files behind the labels that were looked at.
    pub files: u64,
    /// A catalog tells which chunks are on it.
    pub has_catalog: bool,
}

/// How far a snapshot is had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotState {
    /// It is in the datastore.
    Rescued,
    /// All its chunks are on tapes that were seen, as far as their catalogs tell, or in the datastore.
    Complete,
    /// Some of its chunks are not on the tapes that were seen, or could not be read.
    Incomplete,
    /// Its archive can't be read.
    Damaged,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescueFileReport {
    /// Its name.
    pub filename: String,
    /// Bytes of what it is an archive of.
    pub size: u64,
    /// How it is protected.
    pub crypt_mode: CryptMode,
}

/// Chunks of a snapshot that are on a tape which was not read, or could not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lacking {
    /// The tape by its label text, or by its place in a media set.
    pub tape: String,
    /// Chunks that only it has.
    pub chunks: u64,
    /// It was read: they are lost on it, or a later run may read them.
    pub was_read: bool,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescueSnapshotReport {
    /// Datastore that it comes from.
    pub store: String,
    /// Its namespace; empty is the root.
    pub ns: String,
    /// `type/id/time`.
    pub snapshot: String,
    /// Its time, seconds since the epoch.
    pub backup_time: i64,
    /// Tape with its archive.
    pub tape: String,
    /// How far it is had.
    pub state: SnapshotState,
    /// False if it is not among those that were asked for.
    pub is_chosen: bool,
    /// Bytes of its archives.
    pub size: u64,
    /// Its archives.
    pub files: Vec<RescueFileReport>,
    /// Chunks that it names, and how many of them are not had. Not counted for one that is rescued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chunks: Option<u64>,
    /// How many of them are not had.
    pub missing_chunks: u64,
    /// The tapes that they are on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<Lacking>,
    /// Chunks that no catalog knows; they are on a tape without one.
    pub unknown_chunks: u64,
    /// Why it can't be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A media set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescueSetReport {
    /// The set.
    pub uuid: Uuid,
    /// Its pool.
    pub pool: String,
    /// The tapes of it that were seen, by their place.
    pub tapes: Vec<String>,
    /// Places before the last known tape that no tape was seen of, from 0.
    pub missing: Vec<u64>,
    /// The last tape that was seen ends as the last of a set does: with its own catalog. If not, there is another one, or
    /// the last job was interrupted.
    pub has_end: bool,
}

/// Damage in a file of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescueDamage {
    /// The tape.
    pub tape: String,
    /// Number of the file on it.
    pub file: u64,
    /// The snapshot whose archive it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// What can't be read, as far as it is told.
    pub reasons: Vec<String>,
    /// How many damages there are.
    pub count: u64,
}

/// What a rescue found and did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescueReport {
    /// The tapes that this run had in the drive, and those that are known from earlier runs or from other tapes.
    pub tapes: Vec<RescueTapeReport>,
    /// The media sets that they are in.
    pub sets: Vec<RescueSetReport>,
    /// The snapshots that were found.
    pub snapshots: Vec<RescueSnapshotReport>,
    /// What can't be read.
    pub damage: Vec<RescueDamage>,
    /// Chunks that this run stored.
    pub chunks: u64,
    /// Their bytes.
    pub chunk_bytes: u64,
    /// Chunks that were there already.
    pub chunks_present: u64,
    /// Files that were taken out of snapshots ([`super::extract_files`]), if some were asked for.
    pub extracted: Vec<RescuedFiles>,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl RescueReport {
    /// True if every snapshot that was asked for is had.
    pub fn has_all_chosen(&self) -> bool {
        self.snapshots.iter().all(|one| {
            let is_had = matches!(one.state, SnapshotState::Rescued | SnapshotState::Complete);
            !one.is_chosen || (is_had && one.reason.is_none())
        })
    }

    /// True if that is so and nothing that was met is damaged or could not be read.
    pub fn is_complete(&self) -> bool {
        self.has_all_chosen()
            && self.damage.is_empty()
            && !self.tapes.iter().any(|tape| tape.state.is_lacking())
    }
}

/// A tape that this run had in the drive, or could not load.
#[derive(Debug, Clone)]
pub(super) struct MetTape {
    pub media: Option<Uuid>,
    pub label_text: String,
    pub state: TapeState,
    pub reason: String,
}

impl MetTape {
    /// One that has a note.
    pub fn of(media: Uuid, state: TapeState, reason: String) -> MetTape {
        MetTape { media: Some(media), label_text: String::new(), state, reason }
    }

    /// One that has none.
    pub fn other(label_text: String, state: TapeState, reason: String) -> MetTape {
        MetTape { media: None, label_text, state, reason }
    }
}
