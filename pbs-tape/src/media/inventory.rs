//! The inventory: which tapes exist (`docs/formats/inventory.md`).
//!
//! `inventory.json` is an array with one object a tape, sorted by media UUID. Every change reloads
//! the file under its lock, changes it, replaces it in one step and gives the lock back; so several
//! processes can share it, and a crash leaves the old or the new list.
//!
//! Identity is the media UUID. Label texts are for people and barcodes: not unique by construction.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use super::set_members::MediaSet;
use super::state::{StateDir, replace_file};
use crate::error::{Error, Result};
use crate::format::label::{MediaLabel, MediaSetLabel};

const INVENTORY_MODE: u32 = 0o640;

/// Both labels of a tape, without keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaId {
    /// Who the tape is.
    pub label: MediaLabel,
    /// Which set it is in, or the pool that it is reserved for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_set_label: Option<MediaSetLabel>,
}

impl MediaId {
    /// The set that the tape is in; a reservation (zero UUID) is none.
    pub fn assigned_set(&self) -> Option<&MediaSetLabel> {
        self.media_set_label.as_ref().filter(|label| !label.is_unassigned())
    }

    /// True if the tape is in no set.
    pub fn is_empty(&self) -> bool {
        self.assigned_set().is_none()
    }

    /// The pool that the tape belongs to. `None`: free for any.
    pub fn pool(&self) -> Option<&str> {
        match &self.media_set_label {
            Some(set) => Some(&set.pool),
            None => self.label.pool.as_deref(),
        }
    }
}

/// Where a tape is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Location {
    /// On a shelf.
    #[default]
    Offline,
    /// In the library of this name.
    Online(String),
    /// In the vault of this name.
    Vault(String),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Offline => f.write_str("offline"),
            Location::Online(changer) => write!(f, "online-{changer}"),
            Location::Vault(vault) => write!(f, "vault-{vault}"),
        }
    }
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Location> {
        if text == "offline" {
            Ok(Location::Offline)
        } else if let Some(changer) = text.strip_prefix("online-") {
            Ok(Location::Online(changer.to_string()))
        } else if let Some(vault) = text.strip_prefix("vault-") {
            Ok(Location::Vault(vault.to_string()))
        } else {
            Err(Error::BadArgument {
                what: "location",
                value: text.to_string(),
                reason: "it must be offline, online-CHANGER or vault-NAME".into(),
            })
        }
    }
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Location, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What may be done with a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaStatus {
    /// A job may write on it.
    Writable,
    /// It holds data and takes no more.
    Full,
    /// Nothing is known.
    Unknown,
    /// It is broken.
    Damaged,
    /// It is not to be used any more.
    Retired,
}

impl fmt::Display for MediaStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            MediaStatus::Writable => "writable",
            MediaStatus::Full => "full",
            MediaStatus::Unknown => "unknown",
            MediaStatus::Damaged => "damaged",
            MediaStatus::Retired => "retired",
        })
    }
}

/// One tape of the inventory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// Native capacity in use as the drive reports it, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
    /// Its labels.
    pub id: MediaId,
    /// Where it was seen last; absent = offline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// What an operator or a job decided; absent = nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<MediaStatus>,
}

impl InventoryEntry {
    /// Where it is.
    pub fn location(&self) -> Location {
        self.location.clone().unwrap_or_default()
    }

    /// The stored decision, if it is one that stands (full, damaged, retired).
    pub fn decided_status(&self) -> Option<MediaStatus> {
        self.status.filter(|status| {
            matches!(status, MediaStatus::Full | MediaStatus::Damaged | MediaStatus::Retired)
        })
    }
}

/// The list of known tapes.
#[derive(Debug, Clone)]
pub struct Inventory {
    state: StateDir,
    entries: BTreeMap<Uuid, InventoryEntry>,
}

impl Inventory {
    /// Loads the list.
    pub fn load(state: &StateDir) -> Result<Inventory> {
        let mut inventory = Inventory { state: state.clone(), entries: BTreeMap::new() };
        inventory.reload()?;
        Ok(inventory)
    }

    /// Loads it again.
    pub fn reload(&mut self) -> Result<()> {
        let path = self.state.inventory_file();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(Error::io(path, e)),
        };
        let list =
            parse(&text).map_err(|e| Error::InventoryDamaged { path, reason: e.to_string() })?;
        self.entries = list.into_iter().map(|entry| (entry.id.label.uuid, entry)).collect();
        Ok(())
    }

    /// The state directory that it lies in.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// All tapes in the order of their UUIDs.
    pub fn entries(&self) -> impl Iterator<Item = &InventoryEntry> {
        self.entries.values()
    }

    /// The tape with this UUID.
    pub fn get(&self, media: &Uuid) -> Option<&InventoryEntry> {
        self.entries.get(media)
    }

    /// The tape with this UUID, or an error.
    pub fn require(&self, media: &Uuid) -> Result<&InventoryEntry> {
        self.get(media).ok_or_else(|| Error::UnknownTape { tape: media.to_string() })
    }

    /// The tape with this label text; an error if several have it.
    pub fn find_by_label_text(&self, label_text: &str) -> Result<Option<&InventoryEntry>> {
        let has_it = |entry: &&InventoryEntry| entry.id.label.label_text == label_text;
        let mut found = self.entries.values().filter(has_it);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(Error::AmbiguousLabel {
                label_text: label_text.to_string(),
                tapes: self.entries.values().filter(has_it).map(|e| e.id.label.uuid).collect(),
            }),
            (entry, None) => Ok(entry),
        }
    }

    /// The tape that an operator names: by its UUID as it is printed, which no label text can be, or by
    /// its label text; an error if several have that text.
    pub fn find_by_name(&self, name: &str) -> Result<Option<&InventoryEntry>> {
        // Label texts have 32 characters at most, UUIDs with their hyphens 36.
        match Uuid::try_parse(name) {
            Ok(uuid) if name.len() == uuid::fmt::Hyphenated::LENGTH => Ok(self.get(&uuid)),
            _ => self.find_by_label_text(name),
        }
    }

    /// Adds a tape, or updates what its labels say. `clear_status` also forgets a decision about it.
    ///
    /// A tape that is reserved for a pool stays reserved until it is in a set.
    pub fn store(&mut self, id: MediaId, clear_status: bool) -> Result<()> {
        self.update(|entries| {
            match entries.get_mut(&id.label.uuid) {
                Some(entry) => {
                    let reserved = entry
                        .id
                        .media_set_label
                        .take()
                        .filter(|label| id.media_set_label.is_none() && label.is_unassigned());
                    entry.id = id;
                    if reserved.is_some() {
                        entry.id.media_set_label = reserved;
                    }
                    if clear_status {
                        entry.status = None;
                    }
                }
                None => {
                    let entry =
                        InventoryEntry { bytes_used: None, id, location: None, status: None };
                    entries.insert(entry.id.label.uuid, entry);
                }
            }
            Ok(())
        })
    }

    /// Forgets a tape; false if it was not known.
    pub fn remove(&mut self, media: &Uuid) -> Result<bool> {
        self.update(|entries| Ok(entries.remove(media).is_some()))
    }

    /// Records a decision about a tape, or takes it back. Only full, damaged and retired can be
    /// decided; the rest is computed.
    pub fn set_status(&mut self, media: &Uuid, status: Option<MediaStatus>) -> Result<()> {
        if let Some(status @ (MediaStatus::Writable | MediaStatus::Unknown)) = status {
            return Err(Error::BadArgument {
                what: "status",
                value: status.to_string(),
                reason: "it can be set to full, damaged or retired, or cleared".into(),
            });
        }
        self.update_entry(media, |entry| entry.status = status)
    }

    /// Records where a tape is.
    pub fn set_location(&mut self, media: &Uuid, location: Location) -> Result<()> {
        self.update_entry(media, |entry| entry.location = Some(location))
    }

    /// Records where several tapes are: of all of them, or of none.
    pub fn set_locations(&mut self, tapes: &[Uuid], location: &Location) -> Result<()> {
        self.update(|entries| {
            for tape in tapes {
                let entry = entries
                    .get_mut(tape)
                    .ok_or_else(|| Error::UnknownTape { tape: tape.to_string() })?;
                entry.location = Some(location.clone());
            }
            Ok(())
        })
    }

    /// Records how much native capacity is in use.
    pub fn set_bytes_used(&mut self, media: &Uuid, bytes_used: Option<u64>) -> Result<()> {
        self.update_entry(media, |entry| entry.bytes_used = bytes_used)
    }

    /// Takes in what libraries hold: `online` has, for each library asked, its label texts;
    /// `configured` names all libraries there are.
    pub fn update_online(
        &mut self,
        online: &BTreeMap<String, Vec<String>>,
        configured: &[String],
    ) -> Result<()> {
        let mut holder: BTreeMap<&str, &str> = BTreeMap::new();
        for (changer, texts) in online {
            for text in texts {
                holder.insert(text, changer);
            }
        }
        self.update(|entries| {
            for entry in entries.values_mut() {
                if let Some(changer) = holder.get(entry.id.label.label_text.as_str()) {
                    entry.location = Some(Location::Online(changer.to_string()));
                } else if let Some(Location::Online(changer)) = &entry.location {
                    let asked = online.contains_key(changer);
                    if asked || !configured.contains(changer) {
                        entry.location = Some(Location::Offline);
                    }
                }
            }
            Ok(())
        })
    }

    /// The same for one library, when nothing is known about the others.
    pub fn update_online_of(&mut self, changer: &str, texts: Vec<String>) -> Result<()> {
        let mut others: Vec<String> = self
            .entries
            .values()
            .filter_map(|entry| match &entry.location {
                Some(Location::Online(changer)) => Some(changer.clone()),
                _ => None,
            })
            .collect();
        others.push(changer.to_string());
        self.update_online(&BTreeMap::from([(changer.to_string(), texts)]), &others)
    }

    /// The members of a set, by sequence number.
    pub fn media_set(&self, set: &Uuid) -> Result<MediaSet> {
        let mut members = MediaSet::new(*set);
        for entry in self.entries.values() {
            if let Some(label) = entry.id.assigned_set().filter(|label| label.uuid == *set) {
                members.insert(label.seq_nr, entry.id.label.uuid)?;
            }
        }
        Ok(members)
    }

    /// All sets with the pool that they belong to.
    pub fn media_sets(&self) -> BTreeMap<Uuid, String> {
        self.entries
            .values()
            .filter_map(|entry| entry.id.assigned_set())
            .map(|label| (label.uuid, label.pool.clone()))
            .collect()
    }

    /// When the set was started: the time of its first tape's set label, if that tape is known.
    pub fn set_start_time(&self, set: &Uuid) -> Option<i64> {
        self.entries
            .values()
            .filter_map(|entry| entry.id.assigned_set())
            .find(|label| label.uuid == *set && label.seq_nr == 0)
            .map(|label| label.ctime)
    }

    /// The set that a pool wrote last. `None` if there is none, or if two claim to be it.
    pub fn latest_set(&self, pool: &str) -> Option<Uuid> {
        let labels = || {
            self.entries
                .values()
                .filter_map(|entry| entry.id.assigned_set())
                .filter(|label| label.pool == pool)
        };
        let mut latest: Option<&MediaSetLabel> = None;
        for label in labels() {
            if latest.is_none_or(|latest| label.ctime > latest.ctime) {
                latest = Some(label);
            }
        }
        let latest = latest?;
        let contested =
            labels().any(|label| label.uuid != latest.uuid && label.ctime >= latest.ctime);
        (!contested).then_some(latest.uuid)
    }

    fn update_entry(
        &mut self,
        media: &Uuid,
        change: impl FnOnce(&mut InventoryEntry),
    ) -> Result<()> {
        self.update(|entries| match entries.get_mut(media) {
            Some(entry) => {
                change(entry);
                Ok(())
            }
            None => Err(Error::UnknownTape { tape: media.to_string() }),
        })
    }

    fn update<T>(
        &mut self,
        change: impl FnOnce(&mut BTreeMap<Uuid, InventoryEntry>) -> Result<T>,
    ) -> Result<T> {
        let _lock = self.state.lock_inventory()?;
        self.reload()?;
        let before = self.entries.clone();
        let result = match change(&mut self.entries) {
            Ok(result) => result,
            Err(e) => {
                self.entries = before;
                return Err(e);
            }
        };
        if self.entries != before {
            let text = to_text(self.entries.values()).map_err(|e| Error::InventoryDamaged {
                path: self.state.inventory_file(),
                reason: e.to_string(),
            })?;
            replace_file(&self.state.inventory_file(), &text, INVENTORY_MODE)?;
        }
        Ok(result)
    }
}

fn parse(text: &[u8]) -> serde_json::Result<Vec<InventoryEntry>> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Vec::new());
    }
    serde_json::from_slice(text)
}

fn to_text<'a>(entries: impl Iterator<Item = &'a InventoryEntry>) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(&entries.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
