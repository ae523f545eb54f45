//! What is shown of tapes, sets and their content. Field names and meaning are those that operators
//! and scripts know from the reference.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use changer::Place;
use serde::Serialize;
use uuid::Uuid;

use super::catalog::{MediaCatalog, SnapshotLists};
use super::expiry::SetTimes;
use super::inventory::{Inventory, InventoryEntry, Location, MediaStatus};
use super::policy::PoolConfig;
use super::pool::{MediaPool, Reach};
use super::state::StateDir;
use crate::care::{Overview, Verdict};
use crate::error::{Error, Result};

/// One tape of `media list`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MediaListEntry {
    /// Native capacity in use, as the drive reported it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
    /// True if the tape's catalog is there, or none is needed.
    pub catalog: bool,
    /// When it was labelled.
    pub ctime: i64,
    /// The slot or drive of its library, as that was asked last: `slot 3`, `drive 0`. Not a field of
    /// the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// True if its data may be overwritten.
    pub expired: bool,
    /// Label text.
    pub label_text: String,
    /// `offline`, `online-CHANGER` or `vault-NAME`.
    pub location: String,
    /// When it joined its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_ctime: Option<i64>,
    /// Name of its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_name: Option<String>,
    /// UUID of its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// Its pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Place in its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_nr: Option<u64>,
    /// What may be done with it.
    pub status: MediaStatus,
    /// Media UUID.
    pub uuid: Uuid,
    /// `watch` or `replace`, from what drives said about it; absent if nothing is to be done. Not a field of the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict_reason: Option<String>,
}

/// One snapshot of `media content`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MediaContentEntry {
    /// Time of the snapshot.
    pub backup_time: i64,
    /// Label text of the tape that holds its archive.
    pub label_text: String,
    /// When that tape joined the set.
    pub media_set_ctime: i64,
    /// Name of the set.
    pub media_set_name: String,
    /// UUID of the set.
    pub media_set_uuid: Uuid,
    /// Pool of the set.
    pub pool: String,
    /// Place of the tape in the set.
    pub seq_nr: u64,
    /// `[ns/…/]type/id/time`.
    pub snapshot: String,
    /// Datastore that it comes from.
    pub store: String,
    /// Media UUID of the tape.
    pub uuid: Uuid,
}

/// One set of `media sets`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct MediaSetListEntry {
    /// When it was started, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_ctime: Option<i64>,
    /// Its name.
    pub media_set_name: String,
    /// Its UUID.
    pub media_set_uuid: Uuid,
    /// Its pool.
    pub pool: String,
}

/// Which content is wanted; `None` everywhere is all.
#[derive(Debug, Clone, Default)]
pub struct ContentFilter {
    /// Pool of the set.
    pub pool: Option<String>,
    /// Label text of the tape.
    pub label_text: Option<String>,
    /// Media UUID of the tape.
    pub media: Option<Uuid>,
    /// The set.
    pub media_set: Option<Uuid>,
    /// `vm`, `ct` or `host`.
    pub backup_type: Option<String>,
    /// Backup id.
    pub backup_id: Option<String>,
}

/// Which tapes are wanted; `None` everywhere is all.
#[derive(Debug, Clone, Default)]
pub struct MediaFilter {
    /// Those that belong to this pool.
    pub pool: Option<String>,
    /// Those of this status.
    pub status: Option<MediaStatus>,
    /// Those in such a place.
    pub place: Option<PlaceFilter>,
    /// Those whose data may be overwritten (`true`), or those for which that is not so.
    pub expired: Option<bool>,
}

/// Where a tape is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceFilter {
    /// Exactly there.
    Exactly(Location),
    /// In any library.
    Online,
    /// In any vault.
    Vault,
}

impl PlaceFilter {
    fn holds(&self, location: &Location) -> bool {
        match self {
            PlaceFilter::Exactly(wanted) => wanted == location,
            PlaceFilter::Online => matches!(location, Location::Online(_)),
            PlaceFilter::Vault => matches!(location, Location::Vault(_)),
        }
    }
}

impl FromStr for PlaceFilter {
    type Err = Error;

    fn from_str(text: &str) -> Result<PlaceFilter> {
        match text {
            "online" => Ok(PlaceFilter::Online),
            "vault" => Ok(PlaceFilter::Vault),
            exact => exact.parse().map(PlaceFilter::Exactly),
        }
    }
}

/// The known tapes that `filter` wants, pool by pool, in each in the order of the UUIDs. `pools` are the configured ones; with each, the
/// status is what a job starting `now` would see. The second result tells of pools for which nobody
/// can say that; their tapes are shown with what was decided about them.
pub fn media_list(
    state: &StateDir,
    pools: &[PoolConfig],
    filter: &MediaFilter,
    now: i64,
) -> Result<(Vec<MediaListEntry>, Vec<String>)> {
    let inventory = Inventory::load(state)?;
    let times = SetTimes::of(&inventory);
    let places = Places::of(state, &inventory);
    let care = Arc::new(Overview::load(state));
    let mut views: BTreeMap<&str, (&PoolConfig, Option<MediaPool>)> = BTreeMap::new();
    let mut odd = Vec::new();
    for config in pools {
        let preview = MediaPool::preview(inventory.clone(), config.clone(), Reach::Anywhere, now);
        let view = match preview {
            Ok((view, _)) => Some(view.with_care(Arc::clone(&care))),
            Err(e @ Error::MediaSetInconsistent { .. }) => {
                odd.push(format!("pool {}: {e}", config.name));
                None
            }
            Err(e) => return Err(e),
        };
        views.insert(&config.name, (config, view));
    }
    let mut list = Vec::new();
    for entry in inventory.entries() {
        let pool = entry.id.pool();
        let view = pool.and_then(|pool| views.get(pool));
        let (status, expired) = match view {
            Some((_, Some(view))) => {
                let expiry = view.expiry(entry, &times);
                (view.status(entry), expiry.is_some_and(|expiry| expiry.is_over(now)))
            }
            _ => {
                let computed = pool.map_or(MediaStatus::Writable, |_| MediaStatus::Unknown);
                (entry.decided_status().unwrap_or(computed), false)
            }
        };
        if filter.pool.is_some() && filter.pool.as_deref() != pool
            || filter.status.is_some_and(|wanted| wanted != status)
            || filter.place.as_ref().is_some_and(|place| !place.holds(&entry.location()))
            || filter.expired.is_some_and(|wanted| wanted != expired)
        {
            continue;
        }
        let set = entry.id.assigned_set();
        let concern = care.concern(&entry.id.label.uuid);
        list.push(MediaListEntry {
            bytes_used: entry.bytes_used,
            catalog: entry.id.is_empty() || MediaCatalog::exists(state, &entry.id.label.uuid),
            ctime: entry.id.label.ctime,
            element: places.element_of(entry),
            expired,
            label_text: entry.id.label.label_text.clone(),
            location: entry.location().to_string(),
            media_set_ctime: set.map(|set| set.ctime),
            media_set_name: set.map(|set| {
                let pool = view.map(|(config, _)| *config);
                set_name(pool, &set.uuid, times.start(&set.uuid))
            }),
            media_set_uuid: set.map(|set| set.uuid),
            pool: pool.map(str::to_string),
            seq_nr: set.map(|set| set.seq_nr),
            status,
            uuid: entry.id.label.uuid,
            verdict: concern.map(|(verdict, _)| verdict),
            verdict_reason: concern.and_then(|(_, reason)| reason).map(str::to_string),
        });
    }
    let place = |pool: &Option<String>| {
        pools.iter().position(|known| Some(&known.name) == pool.as_ref()).unwrap_or(pools.len())
    };
    list.sort_by_key(|media| place(&media.pool));
    Ok((list, odd))
}

/// In which slot or drive of its library each tape was when that was asked last.
#[derive(Default)]
pub(crate) struct Places {
    statuses: BTreeMap<String, changer::Status>,
}

impl Places {
    pub fn of(state: &StateDir, inventory: &Inventory) -> Places {
        let mut places = Places::default();
        for entry in inventory.entries() {
            let Location::Online(changer) = entry.location() else { continue };
            if !places.statuses.contains_key(&changer)
                && let Some(status) = state.changer_status(&changer).load()
            {
                places.statuses.insert(changer, status);
            }
        }
        places
    }

    /// `slot 3`, `drive 0`; `None` if it is in no library, or nobody asked that where it is.
    pub fn element_of(&self, entry: &InventoryEntry) -> Option<String> {
        let Location::Online(changer) = entry.location() else { return None };
        match self.statuses.get(&changer)?.find(&entry.id.label.label_text)? {
            Place::Drive(drive) => Some(format!("drive {drive}")),
            Place::Slot(slot) => Some(format!("slot {slot}")),
            Place::ImportExport(slot) => Some(format!("import-export {slot}")),
        }
    }
}

fn set_name(pool: Option<&PoolConfig>, set: &Uuid, start: Option<i64>) -> String {
    match (start, pool) {
        (None, _) => set.to_string(),
        (Some(start), Some(pool)) => pool.set_name(set, start),
        (Some(start), None) => PoolConfig::new("").set_name(set, start),
    }
}

/// All known media sets.
pub fn media_set_list(state: &StateDir, pools: &[PoolConfig]) -> Result<Vec<MediaSetListEntry>> {
    let inventory = Inventory::load(state)?;
    let times = SetTimes::of(&inventory);
    Ok(inventory
        .media_sets()
        .into_iter()
        .map(|(set, pool_name)| MediaSetListEntry {
            media_set_ctime: times.start(&set),
            media_set_name: set_name(
                pools.iter().find(|pool| pool.name == pool_name),
                &set,
                times.start(&set),
            ),
            media_set_uuid: set,
            pool: pool_name,
        })
        .collect())
}

/// The snapshots on tapes, tape by tape in the order of the media UUIDs. Tapes without a catalog that
/// can be read are left out; the second result tells of them.
pub fn media_content(
    state: &StateDir,
    pools: &[PoolConfig],
    filter: &ContentFilter,
) -> Result<(Vec<MediaContentEntry>, Vec<String>)> {
    let inventory = Inventory::load(state)?;
    let times = SetTimes::of(&inventory);
    let wanted = |wish: &Option<String>, value: &str| wish.as_deref().is_none_or(|w| w == value);
    let mut content = Vec::new();
    let mut odd = Vec::new();
    let mut lists = SnapshotLists::new(state);
    for entry in inventory.entries() {
        let Some(set) = entry.id.assigned_set() else { continue };
        let label = &entry.id.label;
        if !wanted(&filter.pool, &set.pool)
            || !wanted(&filter.label_text, &label.label_text)
            || filter.media.is_some_and(|media| media != label.uuid)
            || filter.media_set.is_some_and(|wish| wish != set.uuid)
        {
            continue;
        }
        let pool = pools.iter().find(|pool| pool.name == set.pool);
        let name = set_name(pool, &set.uuid, times.start(&set.uuid));
        let list = match lists.of(&entry.id) {
            Ok(list) => list,
            Err(e) if e.is_missing() || e.is_damaged() => {
                odd.push(format!("tape {}: {e}", label.label_text));
                continue;
            }
            Err(e) => return Err(e),
        };
        for (store, snapshot) in list {
            let Ok((_, path)) = datastore::hierarchy::parse_qualified_name(&snapshot) else {
                continue;
            };
            if !wanted(&filter.backup_type, path.group().backup_type().as_str())
                || !wanted(&filter.backup_id, path.group().id())
            {
                continue;
            }
            content.push(MediaContentEntry {
                backup_time: path.time(),
                label_text: label.label_text.clone(),
                media_set_ctime: set.ctime,
                media_set_name: name.clone(),
                media_set_uuid: set.uuid,
                pool: set.pool.clone(),
                seq_nr: set.seq_nr,
                snapshot,
                store,
                uuid: label.uuid,
            });
        }
    }
    Ok((content, odd))
}
