//! From when on the data of a full tape may be overwritten.
//!
//! A pure function of the pool's policy, the tape's media-set label and the times on the labels of all
//! known tapes; so a job, a listing and a forecast cannot differ. It asks for nothing that a restore
//! needs: a set that goes on being written has no expiry, and `keep` never has one.
//!
//! | allocation | the set was used last | known |
//! |---|---|---|
//! | always | when it was started | at once |
//! | continue | when the pool began its next set | once there is one |
//! | event | when the pool began its next set; without one, at the next event after its start | at once, if there is such an event |
//!
//! Retention adds nothing (`overwrite`) or a span to that. Two oddities of the reference are kept, so
//! that both programs agree about every inventory: a reservation (zero UUID) of the pool counts as
//! the beginning of a next set, and "when the set began" is for this question the time on the label
//! of whichever of its tapes has the lowest UUID.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::inventory::Inventory;
use super::policy::{Allocation, PoolConfig, Retention};
use crate::format::label::MediaSetLabel;

/// When data may be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Expiry {
    /// From this moment on, in seconds since 1970.
    At(i64),
    /// Not before the pool has begun another set.
    AfterNextSet,
    /// Never.
    Never,
}

impl Expiry {
    /// True if the data may be overwritten at `now`.
    pub fn is_over(self, now: i64) -> bool {
        matches!(self, Expiry::At(moment) if now >= moment)
    }
}

/// When the sets of an inventory began and followed each other: read once, asked about every tape.
#[derive(Debug, Default)]
pub struct SetTimes {
    /// The time on the label of the first tape, where that is known.
    starts: HashMap<Uuid, i64>,
    pools: BTreeMap<String, PoolTimes>,
}

#[derive(Debug, Default)]
struct PoolTimes {
    /// The time on the label of the tape with the lowest UUID, by set.
    first_ctimes: HashMap<Uuid, i64>,
    /// All labels, reservations included, by time.
    labels: Vec<(i64, Uuid)>,
}

impl SetTimes {
    /// Those of all tapes in the inventory.
    pub fn of(inventory: &Inventory) -> SetTimes {
        let mut times = SetTimes::default();
        // In the order of the media UUIDs.
        for entry in inventory.entries() {
            let Some(label) = &entry.id.media_set_label else { continue };
            if label.seq_nr == 0 && !label.is_unassigned() {
                times.starts.entry(label.uuid).or_insert(label.ctime);
            }
            let pool = times.pools.entry(label.pool.clone()).or_default();
            pool.first_ctimes.entry(label.uuid).or_insert(label.ctime);
            pool.labels.push((label.ctime, label.uuid));
        }
        for pool in times.pools.values_mut() {
            pool.labels.sort_unstable();
        }
        times
    }

    /// When the set was started, if its first tape is known.
    pub fn start(&self, set: &Uuid) -> Option<i64> {
        self.starts.get(set).copied()
    }

    /// When the pool began its next set after that of `label`. A set that has left the inventory,
    /// because its last tape was just taken, began when `label` says.
    fn next_set(&self, label: &MediaSetLabel) -> Option<i64> {
        let pool = self.pools.get(&label.pool)?;
        let began = pool.first_ctimes.get(&label.uuid).copied().unwrap_or(label.ctime);
        let later = pool.labels.partition_point(|(ctime, _)| *ctime <= began);
        pool.labels.iter().skip(later).find(|(_, set)| *set != label.uuid).map(|(ctime, _)| *ctime)
    }
}

/// When the data of a full tape of `pool` with this label may be overwritten.
pub fn expiry(pool: &PoolConfig, times: &SetTimes, label: &MediaSetLabel) -> Expiry {
    let span = match &pool.retention {
        Retention::Keep => return Expiry::Never,
        Retention::Overwrite => 0,
        Retention::Protect(span) => i64::try_from(span.seconds()).unwrap_or(i64::MAX),
    };
    if label.is_unassigned() || label.pool != pool.name {
        return Expiry::Never;
    }
    let start = times.start(&label.uuid).unwrap_or(label.ctime);
    let last_use = match pool.allocation {
        Allocation::Always => Some(start),
        Allocation::Continue | Allocation::Event(_) => {
            times.next_set(label).or_else(|| pool.allocation.next_event(start))
        }
    };
    last_use.map_or(Expiry::AfterNextSet, |moment| Expiry::At(moment.saturating_add(span)))
}
