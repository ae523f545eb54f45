//! What is to be verified: found by the words of an operator, and what it needs.

use datastore::hierarchy::parse_qualified_name;
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::media::listing::media_set_list;
use crate::media::set::SetCatalogs;
use crate::media::{Inventory, PoolConfig, StateDir};

/// What is to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyScope {
    /// All tapes of a media set.
    Set(Uuid),
    /// One tape, as far as it goes.
    Tape {
        /// Its media set.
        set: Uuid,
        /// Its media UUID.
        media: Uuid,
    },
    /// Chosen snapshots with all that they need.
    Snapshots {
        /// Their media set.
        set: Uuid,
        /// `store:[ns/…/]type/id/time`.
        names: Vec<String>,
    },
}

/// A tape that a verification needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedTape {
    /// Label text.
    pub label_text: String,
    /// Media UUID.
    pub uuid: Uuid,
    /// Its place in the set.
    pub seq_nr: u64,
    /// Where it was seen last.
    pub location: String,
    /// Bytes on it, if the drive that wrote it told: as many are read at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
}

/// What a verification needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct VerifyPlan {
    /// The set.
    pub media_set_uuid: Uuid,
    /// The tapes in the order in which they are asked for. For chosen snapshots not each may be needed: which chunks
    /// they name is on tape.
    pub tapes: Vec<PlannedTape>,
    /// Chosen snapshots.
    pub snapshots: Vec<String>,
    /// Bytes on these tapes, as far as they are known.
    pub bytes: u64,
}

impl VerifyScope {
    /// Finds what `text` means: a snapshot, `store:[ns/…/]type/id/time`; the UUID or the name of a media set; the UUID or
    /// the label text of a tape. A snapshot that several sets hold is looked for in the one that was begun last.
    pub fn find(state: &StateDir, pools: &[PoolConfig], text: &str) -> Result<VerifyScope> {
        let bad = |reason: String| Error::BadArgument {
            what: "set, snapshot or tape",
            value: text.into(),
            reason,
        };
        let inventory = Inventory::load(state)?;
        let sets = media_set_list(state, pools)?;
        if let Ok(uuid) = text.parse::<Uuid>() {
            if sets.iter().any(|set| set.media_set_uuid == uuid) {
                return Ok(VerifyScope::Set(uuid));
            }
            if inventory.get(&uuid).is_some() {
                return VerifyScope::tape(&inventory, &uuid);
            }
            return Err(bad(
                "neither a media set nor a tape in the inventory has this UUID; 'tape inventory' reads labels".into(),
            ));
        }
        let mut named = sets.iter().filter(|set| set.media_set_name == text);
        match (named.next(), named.next()) {
            (Some(_), Some(_)) => {
                return Err(bad("several media sets have this name; give the UUID".into()));
            }
            (Some(set), None) => return Ok(VerifyScope::Set(set.media_set_uuid)),
            (None, _) => {}
        }
        if let Some(entry) = inventory.find_by_label_text(text)? {
            return VerifyScope::tape(&inventory, &entry.id.label.uuid);
        }
        let snapshot = text.split_once(':').filter(|(_, name)| parse_qualified_name(name).is_ok());
        let Some((store, name)) = snapshot else {
            return Err(bad(
                "it is no media set and no tape of the inventory, and no snapshot (store:[ns/…/]type/id/time)".into(),
            ));
        };
        let mut newest = None;
        for set in &sets {
            let members = inventory.media_set(&set.media_set_uuid)?;
            let (catalogs, _) = SetCatalogs::load_available(state, &inventory, &members)?;
            if catalogs.find_snapshot(store, name).is_some() {
                newest = newest.max(Some((set.media_set_ctime, set.media_set_uuid)));
            }
        }
        let (_, set) = newest.ok_or_else(|| bad("no catalog of a media set knows it".into()))?;
        Ok(VerifyScope::Snapshots { set, names: vec![text.to_owned()] })
    }

    fn tape(inventory: &Inventory, media: &Uuid) -> Result<VerifyScope> {
        let entry = inventory.require(media)?;
        let set = entry.id.assigned_set().ok_or_else(|| Error::BadArgument {
            what: "tape",
            value: entry.id.label.label_text.clone(),
            reason: "it is in no media set, so there is nothing on it to verify".into(),
        })?;
        Ok(VerifyScope::Tape { set: set.uuid, media: *media })
    }

    /// The media set.
    pub fn media_set(&self) -> Uuid {
        match self {
            VerifyScope::Set(set)
            | VerifyScope::Tape { set, .. }
            | VerifyScope::Snapshots { set, .. } => *set,
        }
    }

    /// What it needs.
    pub fn plan(&self, state: &StateDir) -> Result<VerifyPlan> {
        let set = self.media_set();
        let inventory = Inventory::load(state)?;
        let members = inventory.media_set(&set)?;
        let known: Vec<Uuid> = members.members().iter().copied().flatten().collect();
        let (wanted, snapshots) = match self {
            VerifyScope::Set(_) => (known, Vec::new()),
            VerifyScope::Tape { media, .. } => (vec![*media], Vec::new()),
            VerifyScope::Snapshots { names, .. } => {
                // A snapshot's chunks are on the tape of its archive or on one before.
                let (catalogs, _) = SetCatalogs::load_available(state, &inventory, &members)?;
                let place = |name: &String| {
                    let (store, name) = name.split_once(':')?;
                    let (media, _) = catalogs.find_snapshot(store, name)?;
                    members.position(&media)
                };
                let last = names.iter().filter_map(place).max();
                let upto = known.iter().filter(|media| members.position(media) <= last);
                (upto.copied().collect(), names.clone())
            }
        };
        let mut tapes = Vec::new();
        for media in wanted {
            let entry = inventory.require(&media)?;
            tapes.push(PlannedTape {
                label_text: entry.id.label.label_text.clone(),
                uuid: media,
                seq_nr: entry.id.assigned_set().map_or(0, |set| set.seq_nr),
                location: entry.location().to_string(),
                bytes_used: entry.bytes_used,
            });
        }
        let bytes = tapes.iter().filter_map(|tape| tape.bytes_used).sum();
        Ok(VerifyPlan { media_set_uuid: set, tapes, snapshots, bytes })
    }
}
