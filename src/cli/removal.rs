//! How plans and results of removals are shown.
//!
//! Both have the same form, so that a script that reads a dry run also reads the real one: `keep`
//! tells whether something stays, `reason` why.

use datastore::group::{GroupPlan, GroupRemoval};
use datastore::snapshot::GroupFolder;
use datastore::snapshot::remove::{Obstacle, SnapshotPlan};
use datastore::{Error, SnapshotPath};
use serde::Serialize;

use crate::output::table;

/// A snapshot that goes or stays.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SnapshotLine {
    backup_type: String,
    backup_id: String,
    backup_time: i64,
    /// True if it stays.
    pub keep: bool,
    protected: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip)]
    name: String,
}

impl SnapshotLine {
    fn new(snapshot: &SnapshotPath, reason: Option<String>, protected: bool) -> SnapshotLine {
        SnapshotLine {
            backup_type: snapshot.group().backup_type().to_string(),
            backup_id: snapshot.group().id().to_owned(),
            backup_time: snapshot.time(),
            keep: reason.is_some(),
            protected,
            reason,
            name: snapshot.to_string(),
        }
    }

    /// What would happen to a snapshot.
    pub fn planned(plan: &SnapshotPlan) -> SnapshotLine {
        let reason = plan.obstacle.as_ref().map(Obstacle::to_string);
        SnapshotLine::new(&plan.info.path, reason, plan.info.protected)
    }

    /// The same snapshot, gone.
    pub fn removed(&self) -> SnapshotLine {
        SnapshotLine { keep: false, reason: None, protected: false, ..self.clone() }
    }

    /// The same snapshot, which stayed because of an error.
    pub fn kept(&self, error: &Error) -> SnapshotLine {
        SnapshotLine {
            keep: true,
            protected: matches!(error, Error::Protected { .. }),
            reason: Some(reason_of(error)),
            ..self.clone()
        }
    }
}

fn reason_of(error: &Error) -> String {
    match error {
        Error::Protected { .. } => Obstacle::Protected.to_string(),
        Error::Locked { .. } => Obstacle::InUse.to_string(),
        other => other.to_string(),
    }
}

/// A group that goes or stays.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GroupLine {
    backup_type: String,
    backup_id: String,
    /// True if it stays.
    pub keep: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Its snapshots, oldest first.
    snapshots: Vec<SnapshotLine>,
    #[serde(skip)]
    name: String,
}

impl GroupLine {
    /// What would happen to a group.
    pub fn planned(plan: &GroupPlan) -> GroupLine {
        let mut snapshots: Vec<_> = plan.snapshots.iter().map(SnapshotLine::planned).collect();
        let reason = if plan.in_use {
            // Then nothing at all would be removed.
            for line in &mut snapshots {
                line.keep = true;
                line.reason.get_or_insert_with(|| "its group is in use".into());
            }
            Some(Obstacle::InUse.to_string())
        } else if snapshots.iter().any(|line| line.keep) {
            Some("snapshots stay".into())
        } else {
            plan.foreign.clone()
        };
        GroupLine::new(&plan.group, reason, snapshots)
    }

    /// What happened to a group.
    pub fn done(removal: &GroupRemoval) -> GroupLine {
        let mut snapshots = Vec::new();
        for path in &removal.removed {
            snapshots.push((path, SnapshotLine::new(path, None, false)));
        }
        for path in &removal.protected {
            let reason = Some(Obstacle::Protected.to_string());
            snapshots.push((path, SnapshotLine::new(path, reason, true)));
        }
        for (path, error) in &removal.failed {
            snapshots.push((path, SnapshotLine::new(path, Some(reason_of(error)), false)));
        }
        snapshots.sort_by_key(|(path, _)| path.time());
        let reason = match &removal.folder {
            GroupFolder::Removed => None,
            GroupFolder::HoldsSnapshots => Some("snapshots stay".into()),
            GroupFolder::InUse => Some(Obstacle::InUse.to_string()),
            GroupFolder::Stays { reason } => Some(reason.clone()),
        };
        let lines = snapshots.into_iter().map(|(_, line)| line).collect();
        GroupLine::new(&removal.group, reason, lines)
    }

    fn new(
        group: &datastore::BackupGroup,
        reason: Option<String>,
        snapshots: Vec<SnapshotLine>,
    ) -> GroupLine {
        GroupLine {
            backup_type: group.backup_type().to_string(),
            backup_id: group.id().to_owned(),
            keep: reason.is_some(),
            reason,
            snapshots,
            name: group.to_string(),
        }
    }

    /// Its rows of a table: each snapshot, then the group.
    pub fn rows(&self, planned: bool) -> Vec<[String; 2]> {
        let mut rows: Vec<_> = self.snapshots.iter().map(|line| line.row(planned)).collect();
        rows.push([self.name.clone(), state(self.keep, self.reason.as_deref(), planned)]);
        rows
    }
}

impl SnapshotLine {
    fn row(&self, planned: bool) -> [String; 2] {
        [self.name.clone(), state(self.keep, self.reason.as_deref(), planned)]
    }
}

/// What happens or happened, in words.
pub fn state(keep: bool, reason: Option<&str>, planned: bool) -> String {
    match (keep, reason, planned) {
        (true, Some(reason), _) => format!("stays: {reason}"),
        (true, None, _) => "stays".into(),
        (false, _, true) => "would be removed".into(),
        (false, _, false) => "removed".into(),
    }
}

/// The end of a removal of many things by an error.
pub fn ended_by(error: Error) -> anyhow::Error {
    match error {
        Error::Aborted => anyhow::anyhow!(
            "aborted: what was removed by then is gone, and --dry-run shows what is left"
        ),
        other => other.into(),
    }
}

/// A table of snapshots.
pub fn snapshot_table(lines: &[SnapshotLine], planned: bool) -> String {
    table(&["snapshot", "state"], lines.iter().map(|line| line.row(planned).to_vec()))
}
