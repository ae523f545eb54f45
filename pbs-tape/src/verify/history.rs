//! When what was verified last, so that a schedule gets round to everything.
//!
//! The format knows no such thing, so this is a file of its own in the state folder, `verify-history.json`. It is written
//! only by a run that is asked to record. Nothing rests on it: if it is lost or damaged, what it knew counts as never
//! verified. Sets and tapes that left the inventory are dropped when it is written.

use std::collections::BTreeMap;

use datastore::Digest;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::report::{SnapshotState, TapeState, VerifyReport};
use super::scope::VerifyScope;
use crate::error::{Error, Result};
use crate::media::set::SetCatalogs;
use crate::media::state::replace_file;
use crate::media::{Inventory, StateDir};

const HISTORY_MODE: u32 = 0o640;
const DAY_S: i64 = 86_400;

/// How many snapshots of those in question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// So many.
    Count(u64),
    /// So many of a hundred, rounded up.
    Percent(u8),
}

impl std::str::FromStr for Sample {
    type Err = Error;

    fn from_str(text: &str) -> Result<Sample> {
        let sample = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().filter(|n| (1..=100).contains(n)).map(Sample::Percent)
            }
            None => text.parse().ok().filter(|n| *n > 0).map(Sample::Count),
        };
        sample.ok_or_else(|| Error::BadArgument {
            what: "sample",
            value: text.to_string(),
            reason: "it must be a number of snapshots, or 1% to 100% of them".into(),
        })
    }
}

/// Which snapshots of a set or a tape are verified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Choice {
    /// Only some; those first that were not verified for longest, at random among equals.
    pub sample: Option<Sample>,
    /// Only those that were not verified in the last so many days.
    pub outdated_after_days: Option<u32>,
}

/// What came out last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastVerified {
    /// When, seconds since the epoch.
    pub time: i64,
    /// Nothing was wrong.
    pub ok: bool,
}

/// The file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyHistory {
    /// Media set → `store:snapshot`.
    #[serde(default)]
    pub snapshots: BTreeMap<Uuid, BTreeMap<String, LastVerified>>,
    /// Tapes that were read as a whole, by media UUID.
    #[serde(default)]
    pub tapes: BTreeMap<Uuid, LastVerified>,
}

impl VerifyHistory {
    /// Loads it; one that can't be understood is as good as none.
    pub fn load(state: &StateDir) -> Result<VerifyHistory> {
        let path = state.verify_history_file();
        match std::fs::read(&path) {
            Ok(text) => Ok(serde_json::from_slice(&text).unwrap_or_default()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(VerifyHistory::default()),
            Err(e) => Err(Error::io(&path, e)),
        }
    }

    /// Adds what a run found. What is unknown stays as it was.
    pub fn record(state: &StateDir, report: &VerifyReport, time: i64) -> Result<()> {
        let _lock = state.lock_verify_history()?;
        let mut history = VerifyHistory::load(state)?;
        let of_set = history.snapshots.entry(report.media_set_uuid).or_default();
        for one in &report.snapshots {
            // Of what lies on other tapes nothing was seen.
            if one.state != SnapshotState::Unknown && one.chunks_elsewhere == 0 {
                let ok = one.state == SnapshotState::Ok;
                of_set.insert(one.snapshot.clone(), LastVerified { time, ok });
            }
        }
        for tape in report.tapes.iter().filter(|tape| tape.state == TapeState::Read) {
            let ok = !report.damage.iter().any(|damage| damage.tape == tape.label_text);
            history.tapes.insert(tape.uuid, LastVerified { time, ok });
        }
        let inventory = Inventory::load(state)?;
        let sets = inventory.media_sets();
        history.snapshots.retain(|set, _| sets.contains_key(set));
        history.tapes.retain(|media, _| inventory.get(media).is_some());
        let path = state.verify_history_file();
        let text = serde_json::to_vec_pretty(&history)
            .map_err(|e| Error::malformed("verify history", e.to_string()))?;
        replace_file(&path, &text, HISTORY_MODE)
    }

    fn last(&self, set: &Uuid, name: &str) -> Option<i64> {
        self.snapshots.get(set)?.get(name).map(|last| last.time)
    }
}

/// The snapshots of `scope` that `choice` means, by what the catalogs know; `None` if there is nothing to do.
pub fn choose(
    state: &StateDir,
    scope: &VerifyScope,
    choice: Choice,
    now: i64,
) -> Result<Option<VerifyScope>> {
    let set = scope.media_set();
    let mut names = match scope {
        VerifyScope::Snapshots { names, .. } => names.clone(),
        VerifyScope::Set(_) => names_on(state, &set, None)?,
        VerifyScope::Tape { media, .. } => names_on(state, &set, Some(media))?,
    };
    let history = VerifyHistory::load(state)?;
    let last = |name: &String| history.last(&set, name);
    if let Some(days) = choice.outdated_after_days {
        let since = now.saturating_sub(i64::from(days).saturating_mul(DAY_S));
        names.retain(|name| last(name).is_none_or(|time| time < since));
    }
    if let Some(sample) = choice.sample {
        let count = match sample {
            Sample::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Sample::Percent(percent) => (names.len() * usize::from(percent)).div_ceil(100),
        };
        let lot: [u8; 16] = datastore::crypt::random()?;
        // Never verified comes first.
        names.sort_by_cached_key(|name| {
            (last(name), Digest::of(&[lot.as_slice(), name.as_bytes()].concat()))
        });
        names.truncate(count);
    }
    Ok((!names.is_empty()).then_some(VerifyScope::Snapshots { set, names }))
}

fn names_on(state: &StateDir, set: &Uuid, tape: Option<&Uuid>) -> Result<Vec<String>> {
    let inventory = Inventory::load(state)?;
    let (catalogs, mut lacking) =
        SetCatalogs::load_available(state, &inventory, &inventory.media_set(set)?)?;
    // A sample of half of a set would look like one of all of it.
    if let Some(error) = lacking.pop() {
        return Err(error);
    }
    let mut names = Vec::new();
    for catalog in catalogs.iter() {
        if tape.is_none_or(|tape| catalog.media().label.uuid == *tape) {
            for (store, content) in catalog.content().stores() {
                names.extend(content.snapshots.keys().map(|name| format!("{store}:{name}")));
            }
        }
    }
    Ok(names)
}
