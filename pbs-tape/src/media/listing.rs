//! What is shown of tapes, sets and their content. Field names and meaning are those that operators
//! and scripts know from the reference.

use serde::Serialize;
use uuid::Uuid;

use super::catalog::{MediaCatalog, snapshot_list};
use super::inventory::{Inventory, InventoryEntry, MediaStatus};
use super::policy::PoolConfig;
use super::pool::{MediaPool, Reach};
use super::state::StateDir;
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

/// All known tapes, or those of one pool. `pools` are the configured ones; with each, the status is
/// what a job starting `now` would see.
pub fn media_list(
    state: &StateDir,
    pools: &[PoolConfig],
    only_pool: Option<&str>,
    now: i64,
) -> Result<Vec<MediaListEntry>> {
    let inventory = Inventory::load(state)?;
    let mut list = Vec::new();
    for config in pools.iter().filter(|pool| only_pool.is_none_or(|only| only == pool.name)) {
        let mut pool = MediaPool::open(state, config.clone(), Reach::Anywhere)?;
        pool.start_write_session(now, false)?;
        for entry in inventory.entries().filter(|e| e.id.pool() == Some(&config.name)) {
            let status = pool.status(entry);
            let expired = pool.is_expired(entry, now);
            list.push(list_entry(state, &inventory, Some(config), entry, status, expired));
        }
    }
    for entry in inventory.entries() {
        let pool = entry.id.pool();
        if only_pool.is_some_and(|only| pool != Some(only))
            || pools.iter().any(|config| pool == Some(&config.name))
        {
            continue;
        }
        let status = match (entry.decided_status(), pool) {
            (Some(decided), _) => decided,
            (None, None) => MediaStatus::Writable,
            (None, Some(_)) => MediaStatus::Unknown,
        };
        list.push(list_entry(state, &inventory, None, entry, status, false));
    }
    Ok(list)
}

fn list_entry(
    state: &StateDir,
    inventory: &Inventory,
    pool: Option<&PoolConfig>,
    entry: &InventoryEntry,
    status: MediaStatus,
    expired: bool,
) -> MediaListEntry {
    let set = entry.id.assigned_set();
    MediaListEntry {
        bytes_used: entry.bytes_used,
        catalog: entry.id.is_empty() || MediaCatalog::exists(state, &entry.id.label.uuid),
        ctime: entry.id.label.ctime,
        expired,
        label_text: entry.id.label.label_text.clone(),
        location: entry.location().to_string(),
        media_set_ctime: set.map(|set| set.ctime),
        media_set_name: set.map(|set| set_name(inventory, pool, &set.uuid, &set.pool)),
        media_set_uuid: set.map(|set| set.uuid),
        pool: entry.id.pool().map(str::to_string),
        seq_nr: set.map(|set| set.seq_nr),
        status,
        uuid: entry.id.label.uuid,
    }
}

fn set_name(
    inventory: &Inventory,
    pool: Option<&PoolConfig>,
    set: &Uuid,
    pool_name: &str,
) -> String {
    match pool {
        Some(pool) => inventory.set_name(set, pool),
        None => inventory.set_name(set, &PoolConfig::new(pool_name)),
    }
}

/// All known media sets.
pub fn media_set_list(state: &StateDir, pools: &[PoolConfig]) -> Result<Vec<MediaSetListEntry>> {
    let inventory = Inventory::load(state)?;
    Ok(inventory
        .media_sets()
        .into_iter()
        .map(|(set, pool_name)| MediaSetListEntry {
            media_set_ctime: inventory.set_start_time(&set),
            media_set_name: set_name(
                &inventory,
                pools.iter().find(|pool| pool.name == pool_name),
                &set,
                &pool_name,
            ),
            media_set_uuid: set,
            pool: pool_name,
        })
        .collect())
}

/// The snapshots on tapes, tape by tape in the order of the media UUIDs. Tapes without catalog are
/// left out; their label texts are the second result.
pub fn media_content(
    state: &StateDir,
    pools: &[PoolConfig],
    filter: &ContentFilter,
) -> Result<(Vec<MediaContentEntry>, Vec<String>)> {
    let inventory = Inventory::load(state)?;
    let wanted = |wish: &Option<String>, value: &str| wish.as_deref().is_none_or(|w| w == value);
    let mut content = Vec::new();
    let mut without_catalog = Vec::new();
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
        let name = set_name(&inventory, pool, &set.uuid, &set.pool);
        let list = match snapshot_list(state, &entry.id) {
            Ok(list) => list,
            Err(Error::CatalogMissing { tape }) => {
                without_catalog.push(tape);
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
    Ok((content, without_catalog))
}
