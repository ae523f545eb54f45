//! From the selection to the disk: plans, and their execution.

use jiff::tz::TimeZone;

use super::{Candidate, KeepOptions, Mark, Reason, select};
use crate::datastore::{Datastore, OddNames, SnapshotInfo};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace, qualified_name};
use crate::progress::Progress;
use crate::scope::Scope;

/// One snapshot of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The snapshot as it was found.
    pub info: SnapshotInfo,
    /// What becomes of it.
    pub mark: Mark,
}

/// What becomes of the snapshots of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPlan {
    /// Where the group is.
    pub namespace: Namespace,
    /// The group.
    pub group: BackupGroup,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Planned>,
}

impl GroupPlan {
    /// Those that go, oldest first.
    pub fn removals(&self) -> impl Iterator<Item = &Planned> {
        self.snapshots.iter().filter(|planned| !planned.mark.keeps())
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removals {
    /// Snapshots that are gone now.
    pub removed: u64,
    /// Snapshots that were to go and are still there, or were gone before we came; each was a
    /// warning.
    pub failed: u64,
}

/// Decides about one group and changes nothing.
pub fn plan_group(
    store: &Datastore,
    namespace: &Namespace,
    group: &BackupGroup,
    keep: &KeepOptions,
    zone: &TimeZone,
    odd: &mut dyn OddNames,
) -> Result<GroupPlan> {
    let infos = store.snapshots(namespace, group, odd)?;
    let candidates: Vec<Candidate> = infos.iter().map(Candidate::from).collect();
    let marks = select(&candidates, keep, zone);
    let snapshots =
        infos.into_iter().zip(marks).map(|(info, mark)| Planned { info, mark }).collect();
    Ok(GroupPlan { namespace: namespace.clone(), group: group.clone(), snapshots })
}

/// Decides about all groups of a scope and changes nothing. A folder that cannot be listed is left
/// alone and told in the second list.
pub fn plan(
    store: &Datastore,
    scope: &Scope,
    keep: &KeepOptions,
    zone: &TimeZone,
    odd: &mut dyn OddNames,
) -> Result<(Vec<GroupPlan>, Vec<Error>)> {
    let found = scope.groups(store, odd)?;
    let mut failures = found.failures;
    let mut plans = Vec::with_capacity(found.groups.len());
    for (namespace, group) in found.groups {
        match plan_group(store, &namespace, &group, keep, zone, odd) {
            Ok(plan) => plans.push(plan),
            Err(error) => failures.push(error),
        }
    }
    Ok((plans, failures))
}

/// Removes what a plan says, oldest first. What cannot be removed is a warning. `Err` only if the
/// run is aborted, between two snapshots.
pub fn execute(store: &Datastore, plan: &GroupPlan, progress: &dyn Progress) -> Result<Removals> {
    let mut removals = Removals::default();
    for planned in plan.removals() {
        if progress.is_aborted() {
            return Err(Error::Aborted);
        }
        match remove(store, &plan.namespace, planned) {
            Ok(()) => removals.removed += 1,
            Err(error) => {
                removals.failed += 1;
                let name = qualified_name(&plan.namespace, &planned.info.path);
                progress.warn(&format!("{name} was not removed: {error}"));
            }
        }
    }
    Ok(removals)
}

fn remove(store: &Datastore, namespace: &Namespace, planned: &Planned) -> Result<()> {
    // What somebody finished since the plan was made is worth keeping.
    if planned.mark == Mark::Remove(Reason::Unfinished) {
        store.forget_unfinished_snapshot(namespace, &planned.info.path)?;
    } else {
        store.forget_snapshot(namespace, &planned.info.path)?;
    }
    Ok(())
}
