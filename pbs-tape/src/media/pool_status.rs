//! What a pool will do next and when its tapes become free: a forecast for operators and job lists.
//!
//! It asks the same pool that a job opens, at a time that the caller chooses, and locks and changes
//! nothing. So it is true as long as nobody writes, labels or moves a tape before that time.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::expiry::{Expiry, SetTimes};
use super::inventory::{Inventory, MediaStatus};
use super::policy::PoolConfig;
use super::pool::{MediaPool, Reach, TapeOrigin};
use super::state::StateDir;
use crate::care::{Overview, Verdict};
use crate::error::Result;

/// What is known of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// When a new set begins.
    pub allocation: String,
    /// How long data is kept.
    pub retention: String,
    /// The set that the next job goes on with; absent if it begins a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// That set's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_name: Option<String>,
    /// Why the next job begins a new set; absent if it does not, or if there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_media_set: Option<String>,
    /// The first tape that the next job writes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_media_label: Option<String>,
    /// That tape's UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_media_uuid: Option<Uuid>,
    /// How it is found: it is written already, empty, expired, or free for any pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_media_origin: Option<TapeOrigin>,
    /// Why there is no next tape.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_media: Option<String>,
    /// How many tapes are in each state.
    pub tapes: TapeCounts,
    /// Native capacity in use on all its tapes, as far as drives reported it, in bytes.
    pub bytes_used: u64,
    /// Its tapes: first those that are not full, then the others in the order in which they become free.
    pub media: Vec<PoolMedia>,
}

/// Numbers of tapes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TapeCounts {
    /// In no set.
    pub empty: u64,
    /// In the current set, and taking more.
    pub writable: u64,
    /// Full, and kept.
    pub full: u64,
    /// Full, and free to be overwritten.
    pub expired: u64,
    /// Damaged.
    pub damaged: u64,
    /// Retired.
    pub retired: u64,
    /// Of all these but the retired and damaged ones: due to be replaced (`tape media statistics` says why).
    pub to_replace: u64,
}

/// One tape of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct PoolMedia {
    /// Label text.
    pub label_text: String,
    /// Media UUID.
    pub uuid: Uuid,
    /// What may be done with it.
    pub status: MediaStatus,
    /// `offline`, `online-CHANGER` or `vault-NAME`.
    pub location: String,
    /// Native capacity in use, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_used: Option<u64>,
    /// UUID of its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_set_uuid: Option<Uuid>,
    /// Place in its set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_nr: Option<u64>,
    /// What is to be done about it; absent if there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// True if its data may be overwritten.
    pub expired: bool,
    /// When that begins; absent for tapes that are not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expires>,
}

/// When a full tape becomes free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expires {
    /// From this moment on, in seconds since 1970.
    At(i64),
    /// Not before the pool has begun another set.
    AfterNextSet,
    /// Never.
    Never,
}

impl From<Expiry> for Expires {
    fn from(expiry: Expiry) -> Expires {
        match expiry {
            Expiry::At(moment) => Expires::At(moment),
            Expiry::AfterNextSet => Expires::AfterNextSet,
            Expiry::Never => Expires::Never,
        }
    }
}

/// The pool as a job at `at` finds it, that reaches tapes as `reach` says.
pub fn pool_status(
    state: &StateDir,
    config: &PoolConfig,
    reach: Reach,
    at: i64,
) -> Result<PoolStatus> {
    let inventory = Inventory::load(state)?;
    let times = SetTimes::of(&inventory);
    let care = Arc::new(Overview::load(state));
    let (pool, new_media_set) = MediaPool::preview(inventory, config.clone(), reach, at)?;
    let pool = pool.with_care(Arc::clone(&care));
    let mut tapes = TapeCounts::default();
    let mut bytes_used = 0u64;
    let mut media = Vec::new();
    for entry in pool.inventory().entries().filter(|e| e.id.pool() == Some(&config.name)) {
        let status = pool.status(entry);
        let expiry = pool.expiry(entry, &times);
        let expired = expiry.is_some_and(|expiry| expiry.is_over(at));
        let count = match status {
            MediaStatus::Full if expired => &mut tapes.expired,
            MediaStatus::Full | MediaStatus::Unknown => &mut tapes.full,
            MediaStatus::Writable if entry.id.is_empty() => &mut tapes.empty,
            MediaStatus::Writable => &mut tapes.writable,
            MediaStatus::Damaged => &mut tapes.damaged,
            MediaStatus::Retired => &mut tapes.retired,
        };
        *count += 1;
        let verdict = care.concern(&entry.id.label.uuid).map(|(verdict, _)| verdict);
        let is_in_use = !matches!(status, MediaStatus::Damaged | MediaStatus::Retired);
        tapes.to_replace += u64::from(is_in_use && verdict == Some(Verdict::Replace));
        bytes_used = bytes_used.saturating_add(entry.bytes_used.unwrap_or(0));
        let set = entry.id.assigned_set();
        media.push(PoolMedia {
            label_text: entry.id.label.label_text.clone(),
            uuid: entry.id.label.uuid,
            status,
            location: entry.location().to_string(),
            bytes_used: entry.bytes_used,
            media_set_uuid: set.map(|set| set.uuid),
            seq_nr: set.map(|set| set.seq_nr),
            verdict,
            expired,
            expires: expiry.map(Expires::from),
        });
    }
    media.sort_by(|a, b| {
        (a.expires, &a.label_text, a.uuid).cmp(&(b.expires, &b.label_text, b.uuid))
    });
    let next = pool.guess_next(at);
    let next_entry = next.and_then(|(tape, _)| pool.inventory().get(&tape));
    let current = (!pool.current_set().is_empty()).then(|| *pool.current_set().uuid());
    Ok(PoolStatus {
        name: config.name.clone(),
        allocation: config.allocation.to_string(),
        retention: config.retention.to_string(),
        media_set_uuid: current,
        media_set_name: current.map(|set| match times.start(&set) {
            Some(start) => config.set_name(&set, start),
            None => set.to_string(),
        }),
        new_media_set,
        next_media_label: next_entry.map(|entry| entry.id.label.label_text.clone()),
        next_media_uuid: next.map(|(tape, _)| tape),
        next_media_origin: next.map(|(_, origin)| origin),
        no_media: next.is_none().then(|| pool.no_media().to_string()),
        tapes,
        bytes_used,
        media,
    })
}

#[cfg(test)]
mod tests;
