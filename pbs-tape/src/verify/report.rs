//! What a verification found, as it is shown and as a program gets it.

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result};

/// So many messages are kept of one snapshot, and so many pieces of damage; the rest is counted.
pub(super) const MESSAGES_MAX: usize = 1000;

/// The outcome of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifyReport {
    /// The set.
    pub media_set_uuid: Uuid,
    /// The tapes that were wanted, in the order in which they were asked for.
    pub tapes: Vec<VerifiedTape>,
    /// The snapshots whose archives were wanted, in the order of the tapes.
    pub snapshots: Vec<VerifiedSnapshot>,
    /// Everything that is wrong, at most a thousand pieces of it.
    pub damage: Vec<Damage>,
    /// How much is wrong.
    pub damage_count: u64,
    /// Where a catalog knows less than a tape, and the like: worth knowing, nothing is lost.
    pub differences: Vec<String>,
    /// What could not be verified, and why.
    pub unverified: Vec<String>,
    /// How the chunks were checked.
    pub chunks: ChunkCounts,
    /// Bytes of chunks and other files that were checked.
    pub bytes: u64,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

/// One tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifiedTape {
    /// Label text.
    pub label_text: String,
    /// Media UUID.
    pub uuid: Uuid,
    /// How much of it was read.
    pub state: TapeState,
    /// Tape files read.
    pub files: u64,
}

/// How much of a tape was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TapeState {
    /// To the end of its data.
    Read,
    /// Only what the chosen snapshots need.
    Chosen,
    /// Not all that was wanted, because the drive failed.
    Partly,
    /// It did not come into the drive.
    Missing,
    /// It is damaged in a way that keeps everything on it from being read.
    Unreadable,
}

/// What is known of a snapshot now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotState {
    /// Its files and all its chunks that were to be read are good.
    Ok,
    /// Something of it is damaged or gone.
    Damaged,
    /// Nothing wrong was seen, but something could not be read.
    Unknown,
}

/// What the signature of a manifest says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signature {
    /// There is none.
    None,
    /// The key that it was made with is not at hand.
    NoKey,
    /// It is right.
    Valid,
    /// It is wrong.
    Wrong,
}

/// One snapshot archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifiedSnapshot {
    /// `store:[ns/…/]type/id/time`.
    pub snapshot: String,
    /// Tape with its archive.
    pub tape: String,
    /// File on that tape.
    pub file: u64,
    /// The verdict.
    pub state: SnapshotState,
    /// What its signature says.
    pub signature: Signature,
    /// What is wrong, at most a thousand messages.
    pub errors: Vec<String>,
    /// How much is wrong: a chunk counts once an archive that needs it.
    pub error_count: u64,
    /// Chunks on tapes that were not to be read.
    pub chunks_elsewhere: u64,
    /// Chunks that could not be read, and may be good.
    pub chunks_unread: u64,
}

impl VerifiedSnapshot {
    pub(super) fn new(snapshot: String, tape: String, file: u64) -> VerifiedSnapshot {
        VerifiedSnapshot {
            snapshot,
            tape,
            file,
            state: SnapshotState::Ok,
            signature: Signature::None,
            errors: Vec::new(),
            error_count: 0,
            chunks_elsewhere: 0,
            chunks_unread: 0,
        }
    }

    pub(super) fn fail(&mut self, message: String) {
        self.state = SnapshotState::Damaged;
        self.error_count += 1;
        if self.errors.len() < MESSAGES_MAX {
            self.errors.push(message);
        }
    }
}

/// Something that is wrong on a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Damage {
    /// Label text of the tape.
    pub tape: String,
    /// File on it, where it is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<u64>,
    /// What.
    pub reason: String,
    /// The snapshots that it costs something; none if nothing needs what is damaged, or other copies are good.
    pub snapshots: Vec<String>,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.file {
            Some(file) => write!(f, "tape {}, file {file}: {}", self.tape, self.reason),
            None => write!(f, "tape {}: {}", self.tape, self.reason),
        }
    }
}

/// How chunks were checked. A chunk that is on the tapes twice counts twice.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChunkCounts {
    /// Not encrypted, and the content has the digest.
    pub digest: u64,
    /// Encrypted, and decrypted the content has the digest.
    pub digest_with_key: u64,
    /// Encrypted with a key that is not at hand: only the CRC was checked.
    pub crc_only: u64,
    /// Damaged.
    pub damaged: u64,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl VerifyReport {
    /// True if anything is damaged.
    pub fn is_damaged(&self) -> bool {
        self.damage_count > 0
            || self.snapshots.iter().any(|one| one.state == SnapshotState::Damaged)
    }

    /// True if everything that was to be verified was.
    pub fn is_complete(&self) -> bool {
        self.unverified.is_empty()
            && self.snapshots.iter().all(|one| one.state != SnapshotState::Unknown)
    }

    /// The error that the verification should end with, if it does not end well.
    pub fn into_result(self) -> Result<VerifyReport> {
        if self.is_damaged() {
            let in_snapshots = || {
                let damaged =
                    self.snapshots.iter().find_map(|one| Some((one, one.errors.first()?)));
                damaged.map(|(one, error)| format!("{}: {error}", one.snapshot))
            };
            let first = self.damage.first().map(Damage::to_string).or_else(in_snapshots);
            return Err(Error::VerificationFailed {
                set: self.media_set_uuid,
                findings: self.damage_count.max(1),
                first: first.unwrap_or_default(),
            });
        }
        if !self.is_complete() {
            let unknown = || {
                let unknown = self.snapshots.iter().find(|one| one.state == SnapshotState::Unknown);
                unknown.map(|one| format!("{}: not all of its chunks were read", one.snapshot))
            };
            let first = self.unverified.first().cloned().or_else(unknown);
            return Err(Error::NotAllVerified {
                set: self.media_set_uuid,
                first: first.unwrap_or_default(),
            });
        }
        Ok(self)
    }
}
