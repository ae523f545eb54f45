//! What a verification has seen so far, and what it still has to find.
//!
//! Why the right snapshots are blamed: every index names its chunks, and each of them is held against the good chunks
//! that were read. What has no good copy yet is kept and asked again when all tapes were read, because a later copy
//! may be good. So nothing is kept of a sound snapshot but its line in the report, and memory goes with the number of
//! chunks ([`super::seen`]) and with the damage.

use datastore::Digest;

use super::report::{ChunkCounts, Damage, MESSAGES_MAX, TapeState, VerifiedSnapshot};
use super::seen::{Seen, SeenChunk};
use crate::error::{Error, Result};
use crate::media::MediaId;

use std::collections::BTreeMap;
use uuid::Uuid;

/// What is in a tape file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FileContent {
    /// Chunks of this datastore, so many different ones.
    Chunks {
        store: u16,
        count: u64,
    },
    /// This snapshot, `store:name`.
    Snapshot {
        name: String,
    },
    Label,
    /// The catalog of the tape with this UUID.
    Catalog {
        of: Uuid,
    },
    /// Its writer gave it up, or was interrupted.
    Abandoned,
    /// Its beginning can't be read.
    Unreadable,
}

/// A tape file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileFacts {
    pub uuid: Uuid,
    pub content: FileContent,
    /// It was read to its end, and nothing of its structure was wrong.
    pub is_sound: bool,
}

/// A tape of the run.
#[derive(Debug, Clone)]
pub(super) struct TapeFacts {
    pub id: MediaId,
    pub state: TapeState,
    /// Why it was not read to its end.
    pub reason: String,
    /// What the files are, where whole tapes are read.
    pub files: BTreeMap<u64, FileFacts>,
    /// How many were read.
    pub files_read: u64,
}

impl TapeFacts {
    pub fn text(&self) -> &str {
        &self.id.label.label_text
    }
}

/// An index that names chunks that were not found good yet.
#[derive(Debug, Clone)]
pub(super) struct Archive {
    /// Place in the list of snapshots.
    pub snapshot: usize,
    pub store: u16,
    /// Its file name.
    pub name: String,
    /// Its chunks are encrypted.
    pub is_encrypted: bool,
    /// The key that is proved to be the snapshot's.
    pub key: Option<usize>,
}

/// A chunk that an index names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Need {
    pub digest: Digest,
    /// Bytes that it must have.
    pub length: u32,
    /// Place in the list of archives.
    pub archive: u32,
}

const _: () = assert!(size_of::<Need>() == 40);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    stores: Vec<String>,
    pub seen: Seen,
    /// Damaged copies of chunks, with the piece of damage that each is; the list of those ends at a thousand.
    bad: BTreeMap<(u16, Digest), Option<usize>>,
    pub archives: Vec<Archive>,
    pub needs: Vec<Need>,
    pub snapshots: Vec<VerifiedSnapshot>,
    pub tapes: Vec<TapeFacts>,
    pub damage: Vec<Damage>,
    pub damage_count: u64,
    pub differences: Vec<String>,
    pub unverified: Vec<String>,
    pub counts: ChunkCounts,
    pub bytes: u64,
}

impl Ledger {
    /// The number that stands for a datastore.
    pub fn store_number(&mut self, name: &str) -> Result<u16> {
        let number = match self.stores.iter().position(|known| known == name) {
            Some(number) => number,
            None => {
                self.stores.push(name.to_owned());
                self.stores.len() - 1
            }
        };
        u16::try_from(number)
            .map_err(|_| Error::malformed("media set", "it has chunks of over 65535 datastores"))
    }

    /// The datastore that a number stands for.
    pub fn store(&self, number: u16) -> &str {
        self.stores.get(usize::from(number)).map_or("", String::as_str)
    }

    /// The number of a datastore that has one.
    pub fn find_store(&self, name: &str) -> Option<u16> {
        let number = self.stores.iter().position(|known| known == name)?;
        u16::try_from(number).ok()
    }

    /// True if a copy of the chunk was read, good or damaged.
    pub fn has_met(&self, store: u16, digest: &Digest) -> bool {
        self.seen.contains(store, digest) || self.bad.contains_key(&(store, *digest))
    }

    /// Notes a damaged copy of a chunk.
    pub fn add_bad(&mut self, tape: &str, file: u64, store: u16, digest: Digest, reason: String) {
        let damage = self.add_damage(tape, Some(file), reason);
        self.bad.insert((store, digest), damage);
        self.counts.damaged += 1;
    }

    /// The damage that a damaged copy of the chunk is.
    pub fn find_bad(&self, store: u16, digest: &Digest) -> Option<Option<usize>> {
        self.bad.get(&(store, *digest)).copied()
    }

    /// Notes that a snapshot is gone with its archive. `true` if that is new.
    pub fn lose_snapshot(&mut self, name: &str, tape: &str, file: u64, reason: &str) -> bool {
        let is_new = !self.snapshots.iter().any(|one| one.snapshot == name);
        if is_new {
            let mut lost = VerifiedSnapshot::new(name.to_owned(), tape.to_owned(), file);
            lost.fail(format!("tape {tape}, file {file}: {reason}"));
            self.snapshots.push(lost);
            let place = self.snapshots.len() - 1;
            self.blame_file(tape, file, place);
        }
        is_new
    }

    /// Adds a snapshot to those that the damage in a file costs something; false if none is known there.
    pub fn blame_file(&mut self, tape: &str, file: u64, snapshot: usize) -> bool {
        let is_there = |damage: &Damage| damage.tape == tape && damage.file == Some(file);
        let places: Vec<usize> = (0..self.damage.len())
            .filter(|place| self.damage.get(*place).is_some_and(is_there))
            .collect();
        for place in &places {
            self.blame(Some(*place), snapshot);
        }
        !places.is_empty()
    }

    /// Notes damage; its place in the list, if the list takes it.
    pub fn add_damage(&mut self, tape: &str, file: Option<u64>, reason: String) -> Option<usize> {
        self.damage_count += 1;
        if self.damage.len() >= MESSAGES_MAX {
            return None;
        }
        self.damage.push(Damage { tape: tape.to_owned(), file, reason, snapshots: Vec::new() });
        Some(self.damage.len() - 1)
    }

    /// Adds a snapshot to those that a piece of damage costs something.
    pub fn blame(&mut self, damage: Option<usize>, snapshot: usize) {
        let Some(name) = self.snapshots.get(snapshot).map(|one| &one.snapshot) else { return };
        let damage = damage.and_then(|damage| self.damage.get_mut(damage));
        if let Some(damage) = damage.filter(|damage| !damage.snapshots.contains(name)) {
            damage.snapshots.push(name.clone());
        }
    }

    /// Takes in a snapshot whose archive was read, and what its indexes need; their place in the list of archives
    /// is counted from 0.
    pub fn add_snapshot(
        &mut self,
        snapshot: VerifiedSnapshot,
        archives: Vec<Archive>,
        needs: Vec<Need>,
    ) -> Result<()> {
        let place = self.snapshots.len();
        self.snapshots.push(snapshot);
        let first = u32::try_from(self.archives.len()).ok();
        let too_many = || Error::malformed("media set", "it has over 4294967295 archives");
        let kept_before = self.needs.len();
        for need in needs {
            let is_met = archives
                .get(need.archive as usize)
                .is_some_and(|archive| self.look_for(archive, &need) == Found::Good);
            if !is_met {
                let archive = first.and_then(|first| first.checked_add(need.archive));
                self.needs.push(Need { archive: archive.ok_or_else(too_many)?, ..need });
            }
        }
        if self.needs.len() > kept_before {
            let archives = archives.into_iter();
            self.archives.extend(archives.map(|one| Archive { snapshot: place, ..one }));
        }
        Ok(())
    }

    /// Looks for a good copy of a chunk that fits the archive.
    pub fn look_for(&self, archive: &Archive, need: &Need) -> Found {
        let mut worst = None;
        for copy in self.seen.copies(archive.store, &need.digest) {
            match fits(archive, need, copy) {
                Ok(()) => return Found::Good,
                Err(reason) => {
                    worst.get_or_insert(reason);
                }
            }
        }
        worst.map_or(Found::Nothing, Found::Unfit)
    }
}

/// What is known of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Good,
    /// It is there, and not what the archive must have.
    Unfit(String),
    Nothing,
}

fn fits(archive: &Archive, need: &Need, copy: &SeenChunk) -> Result<(), String> {
    let is_encrypted = copy.proof().is_encrypted();
    if is_encrypted != archive.is_encrypted {
        let not = |is: bool| if is { "" } else { "not " };
        return Err(format!(
            "it is {}encrypted, and the archive's chunks are {}to be",
            not(is_encrypted),
            not(archive.is_encrypted)
        ));
    }
    if is_encrypted && archive.key.is_some_and(|key| !copy.proof().is_by_key(key)) {
        return Err("it does not decrypt with the snapshot's key".into());
    }
    match copy.length() {
        Some(length) if length != need.length => {
            Err(format!("it has {length} bytes, and the index says {}", need.length))
        }
        _ => Ok(()),
    }
}
