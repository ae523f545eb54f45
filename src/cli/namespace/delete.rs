//! `capstan namespace delete`

use anyhow::{Result, bail};
use clap::Args;
use datastore::namespace::{NamespacePlan, NamespaceRemoval, RemoveGroups};
use datastore::{Namespace, group::GroupPlan};
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::removal::{GroupLine, ended_by, state};
use crate::config::Places;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;
use crate::repository;

/// Remove a namespace and those in it
///
/// Backups in them are removed only with --delete-groups, and protected snapshots and those in use
/// stay even then, with their groups and namespaces. What is no backup keeps a namespace too.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan namespace delete site/old --delete-groups --dry-run \
                  --repository archive\n  \
                  capstan namespace delete site/old --delete-groups --repository archive")]
pub struct DeleteArgs {
    /// Its name, with the names of those around it: site/old
    ns: String,
    /// Remove the backups in it too
    #[arg(long)]
    delete_groups: bool,
    /// Only show what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// A namespace that goes or stays.
#[derive(Serialize)]
struct Line {
    ns: String,
    /// True if it stays.
    keep: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    groups: Vec<GroupLine>,
}

pub fn run(places: &Places, args: &DeleteArgs) -> Result<Outcome> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = repository::open(places, &args.repository)?;
    let store = &repository.store;
    let plans = store.plan_remove_namespace(&namespace)?;
    let groups: usize = plans.iter().map(|plan| plan.groups.len()).sum();
    if groups > 0 && !args.delete_groups {
        bail!(
            "namespace '{namespace}' holds {groups} backup group{}; give --delete-groups to remove \
             them too",
            if groups == 1 { "" } else { "s" }
        );
    }
    let lines = if args.dry_run {
        planned(&plans)
    } else {
        let mode = if args.delete_groups { RemoveGroups::Yes } else { RemoveGroups::No };
        let bar = Bar::quiet("delete");
        done(store.remove_namespace(&namespace, mode, &bar).map_err(ended_by)?)
    };
    args.output.print(&lines, |lines| {
        let rows = lines.iter().flat_map(|line| {
            let groups = line.groups.iter().flat_map(|group| group.rows(args.dry_run));
            let last = state(line.keep, line.reason.as_deref(), args.dry_run);
            groups
                .map(|[object, state]| vec![line.ns.clone(), object, state])
                .chain([vec![line.ns.clone(), String::new(), last]])
                .collect::<Vec<_>>()
        });
        table(&["ns", "object", "state"], rows)
    })?;
    let stays = lines.iter().any(|line| line.keep);
    Ok(if stays && !args.dry_run { Outcome::Incomplete } else { Outcome::Complete })
}

fn planned(plans: &[NamespacePlan]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    // Inner ones come first, so that what stays in them is known.
    for plan in plans {
        let kept_inside = lines.iter().zip(plans).any(|(line, inner)| {
            line.keep && inner.namespace.strip_prefix(&plan.namespace).is_some()
        });
        let reason = if !plan.groups.iter().all(GroupPlan::is_complete) {
            Some("backup groups stay".into())
        } else if kept_inside {
            Some("namespaces in it stay".into())
        } else if !plan.foreign.is_empty() {
            Some(format!("it holds what is no backup: {}", plan.foreign.join(", ")))
        } else {
            None
        };
        lines.push(Line {
            ns: plan.namespace.to_string(),
            keep: reason.is_some(),
            reason,
            groups: plan.groups.iter().map(GroupLine::planned).collect(),
        });
    }
    lines
}

fn done(removal: NamespaceRemoval) -> Vec<Line> {
    let removed = removal.removed.into_iter().map(|namespace| (namespace, None));
    let kept = removal.kept.into_iter().map(|(namespace, reason)| (namespace, Some(reason)));
    removed
        .chain(kept)
        .map(|(namespace, reason)| Line {
            keep: reason.is_some(),
            reason,
            groups: removal
                .groups
                .iter()
                .filter(|(of, _)| *of == namespace)
                .map(|(_, group)| GroupLine::done(group))
                .collect(),
            ns: namespace.to_string(),
        })
        .collect()
}
