//! The plain record: what must be on tape by policy, and until when.
//!
//! It knows the policies as sentences of `docs/media.md` and what a cartridge says of itself ([`Truth`]); it does not ask
//! the inventory, the catalogs or the pools.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use datastore::Digest;
use uuid::Uuid;

use crate::days::Event;
use crate::source::Kept;
use crate::store::Print;
use crate::truth::{Truth, prefix_digest};

const DAY_S: i64 = 86_400;

/// A pool's policy, as the model knows it.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub pool: &'static str,
    pub event: Event,
    pub keep_days: i64,
}

/// A media set.
#[derive(Debug)]
struct Set {
    pool: String,
    start: i64,
    /// Snapshots that it must hold.
    must: BTreeSet<String>,
}

pub struct Ledger {
    policies: [Policy; 2],
    snapshots: BTreeMap<String, Kept>,
    sets: BTreeMap<Uuid, Set>,
}

impl Ledger {
    pub fn new(policies: [Policy; 2]) -> Ledger {
        Ledger { policies, snapshots: BTreeMap::new(), sets: BTreeMap::new() }
    }

    fn policy(&self, pool: &str) -> Policy {
        *self.policies.iter().find(|policy| policy.pool == pool).unwrap()
    }

    /// Snapshots were made.
    pub fn keep(&mut self, made: Vec<(String, Kept)>) {
        self.snapshots.extend(made);
    }

    pub fn print(&self, name: &str) -> &Print {
        &self.snapshots[name].print
    }

    /// Every chunk of every snapshot that there ever was, some more than once.
    pub fn each_chunk(&self, each: impl FnMut(&Digest)) {
        self.snapshots.values().flat_map(|kept| &kept.chunks).for_each(each);
    }

    /// Sets begin when a tape says so.
    pub fn learn_sets(&mut self, truth: &Truth) {
        for set in truth.tapes.values().filter_map(|tape| tape.set.as_ref()) {
            if set.seq_nr == 0 {
                let new =
                    || Set { pool: set.pool.clone(), start: set.ctime, must: BTreeSet::new() };
                self.sets.entry(set.uuid).or_insert_with(new);
            }
        }
    }

    /// A job ended well: all these are on the set.
    pub fn promise(&mut self, set: &Uuid, names: &BTreeSet<String>) {
        let set = self.sets.get_mut(set).expect("a set whose first tape has no label");
        set.must.extend(names.iter().cloned());
    }

    /// The set that the pool began last.
    pub fn newest(&self, pool: &str) -> Option<Uuid> {
        let of_pool = self.sets.iter().filter(|(_, set)| set.pool == pool);
        of_pool.max_by_key(|(_, set)| set.start).map(|(uuid, _)| *uuid)
    }

    /// True if a job at `now` must begin a new set by the pool's policy.
    pub fn is_over(&self, pool: &str, now: i64) -> bool {
        let Some(newest) = self.newest(pool) else { return true };
        self.policy(pool).event.after(self.sets[&newest].start) <= now
    }

    /// Until when the set's data must stay.
    pub fn until(&self, uuid: &Uuid) -> i64 {
        let set = &self.sets[uuid];
        let policy = self.policy(&set.pool);
        let later =
            self.sets.values().filter(|other| other.pool == set.pool && other.start > set.start);
        let next = later.map(|other| other.start).min();
        next.unwrap_or_else(|| policy.event.after(set.start)) + policy.keep_days * DAY_S
    }

    /// Sets that must be whole at `now`, oldest first, with what must be on them.
    pub fn kept_at(&self, now: i64) -> Vec<(Uuid, BTreeSet<String>)> {
        let mut kept: Vec<(&Uuid, &Set)> = self
            .sets
            .iter()
            .filter(|(uuid, set)| self.until(uuid) > now && !set.must.is_empty())
            .collect();
        kept.sort_by_key(|(_, set)| set.start);
        kept.into_iter().map(|(uuid, set)| (*uuid, set.must.clone())).collect()
    }

    pub fn pool_of(&self, set: &Uuid) -> &str {
        &self.sets[set].pool
    }

    /// How many sets there have been.
    pub fn sets(&self) -> usize {
        self.sets.len()
    }

    /// Whether anything was written between `before` and `after` where it must not be.
    pub fn check_writes(&self, library: &Path, before: &Truth, after: &Truth) {
        for (barcode, old) in &before.tapes {
            let new = &after.tapes[barcode];
            assert_eq!(new.label, old.label, "{barcode} has another label");
            let Some(label) = &old.label else {
                assert_eq!(new.end, old.end, "{barcode} has no label and was written on");
                continue;
            };
            if let Some(set) = &new.set {
                let pool = label.pool.as_ref().or(old.set.as_ref().map(|set| &set.pool));
                assert!(
                    pool.is_none_or(|pool| *pool == set.pool),
                    "{barcode}, of {pool:?}: {set:?}"
                );
            }
            if !old.has_data() || new.digest == old.digest {
                continue;
            }
            if prefix_digest(library, barcode, old.end) == Some(old.digest) {
                continue;
            }
            let (was, is) = (old.set.as_ref().unwrap(), new.set.as_ref().unwrap());
            let until = self.until(&was.uuid);
            assert!(is.uuid != was.uuid, "{barcode}: data of its own set was overwritten: {was:?}");
            assert!(is.ctime >= until, "{barcode} was overwritten before {until}: {was:?} {is:?}");
        }
    }
}
