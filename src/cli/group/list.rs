//! `capstan group list`

use anyhow::Result;
use clap::Args;
use datastore::{BackupGroup, Datastore, Namespace, SnapshotPath};
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::config::Places;
use crate::output::{OutputArgs, short, table};
use crate::progress::Bar;

/// List backup groups
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan group list --repository archive")]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A group with the reference's field names.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    backup_type: String,
    backup_id: String,
    /// Finished snapshots.
    backup_count: usize,
    /// Time of the newest finished snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_backup: Option<i64>,
    /// What the newest finished snapshot consists of.
    files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    newest: Option<SnapshotPath>,
}

fn describe(
    store: &Datastore,
    namespace: &Namespace,
    group: &BackupGroup,
    odd: &mut Vec<String>,
    bar: &Bar,
) -> Result<Listed> {
    let snapshots = store.snapshots(namespace, group, odd)?;
    let finished = || snapshots.iter().filter(|info| info.finished);
    let newest = finished().next_back();
    let owner = store.owner(namespace, group).inspect_err(|error| bar.warn(&error.to_string()));
    let notes =
        store.group_notes(namespace, group).inspect_err(|error| bar.warn(&error.to_string()));
    Ok(Listed {
        backup_type: group.backup_type().to_string(),
        backup_id: group.id().to_owned(),
        backup_count: finished().count(),
        last_backup: newest.map(|info| info.path.time()),
        files: newest.map(|info| info.files.clone()).unwrap_or_default(),
        owner: owner.ok(),
        comment: notes.ok().and_then(|notes| notes.lines().next().map(str::to_owned)),
        name: group.to_string(),
        newest: newest.map(|info| info.path.clone()),
    })
}

pub fn run(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let (repository, namespace) = args.place.open(places)?;
    let store = &repository.store;
    let bar = Bar::bytes("list");
    let mut odd = Vec::new();
    let mut listed = Vec::new();
    for group in store.groups(&namespace)? {
        listed.push(describe(store, &namespace, &group, &mut odd, &bar)?);
    }
    for line in &odd {
        bar.warn(line);
    }
    args.output.print(&listed, |listed| {
        let rows = listed.iter().map(|group| {
            vec![
                group.name.clone(),
                group.newest.as_ref().map(SnapshotPath::time_text).unwrap_or_default(),
                group.backup_count.to_string(),
                group.owner.clone().unwrap_or_default(),
                group.comment.as_deref().map(short).unwrap_or_default(),
            ]
        });
        table(&["group", "last-backup", "backup-count", "owner", "comment"], rows)
    })?;
    Ok(if bar.warnings() == 0 { Outcome::Complete } else { Outcome::Incomplete })
}
