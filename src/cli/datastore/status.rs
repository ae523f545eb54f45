//! `capstan datastore status`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use datastore::gc::{self, Status as GcStatus};
use datastore::time;
use datastore::usage::{self, Counts, FullDate, HISTORY_DELTA, MoreCounts, Space};
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};
use crate::progress::Bar;
use crate::{history, repository};

/// Show what a datastore holds, how full it is and when it will be full
///
/// The date is an estimate from samples of the last 30 days, which this command, backups and garbage
/// collections leave in the state folder. It needs a datastore of the configuration and a few days.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore status archive")]
pub struct StatusArgs {
    /// A folder, or a name from the configuration
    store: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// The names are the reference's where it has one.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    store: String,
    name: String,
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(flatten)]
    space: Space,
    counts: Counts,
    namespaces: u64,
    groups: u64,
    snapshots: u64,
    unfinished: u64,
    protected: u64,
    gc_status: GcStatus,
    deduplication_factor: f64,
    /// Missing if there is no ground for an estimate; in the past if the space does not grow.
    #[serde(skip_serializing_if = "Option::is_none")]
    estimated_full_date: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history_delta: Option<i64>,
    /// Used part of the whole, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Option<f64>>>,
}

pub fn run(places: &Places, args: &StatusArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let bar = Bar::bytes("status");
    let mut odd = Vec::new();
    let (counts, more) = usage::counts(store, &bar, &mut odd)?;
    let space = history::sample(places, &repository)?;
    let history = history::load(places, &repository)?;
    let now = time::now();
    let full = history.full_date(now, &space);
    let (start, points) = history.points();
    let has_history = !points.is_empty();
    let part = |space: Space| space.used as f64 / (space.total.max(1)) as f64;
    let gc = gc::status(store)?;
    let gc_status = gc.clone().unwrap_or_default();
    let types = [counts.ct, counts.host, counts.vm];
    let MoreCounts { namespaces, unfinished, protected } = more;
    let shown = Shown {
        store: repository.name.clone(),
        name: repository.name.clone(),
        path: store.base().to_path_buf(),
        comment: repository.config.comment.clone(),
        space,
        counts,
        namespaces,
        groups: types.iter().map(|ty| ty.groups).sum(),
        snapshots: types.iter().map(|ty| ty.snapshots).sum(),
        unfinished,
        protected,
        deduplication_factor: gc_status.deduplication_factor(),
        gc_status,
        estimated_full_date: match full {
            FullDate::Unknown => None,
            FullDate::Never => Some(0),
            FullDate::At(time) => Some(time),
        },
        history_start: has_history.then_some(start),
        history_delta: has_history.then_some(HISTORY_DELTA),
        history: has_history
            .then(|| points.into_iter().map(|p| p.map(|sample| part(sample.space))).collect()),
    };
    drop(bar);
    args.output.print(&shown, |shown| text(shown, gc.as_ref(), full, now))?;
    let bar = Bar::bytes("status");
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn text(shown: &Shown, gc: Option<&GcStatus>, full: FullDate, now: i64) -> String {
    let percent = |part: u64| {
        format!("{} ({:.1} %)", bytes(part), part as f64 * 100.0 / shown.space.total.max(1) as f64)
    };
    let mut rows = vec![
        ("name", shown.name.clone()),
        ("path", shown.path.display().to_string()),
        ("namespaces", shown.namespaces.to_string()),
    ];
    let types = [("host", shown.counts.host), ("vm", shown.counts.vm), ("ct", shown.counts.ct)];
    for (name, counts) in types {
        rows.push((name, format!("{} groups, {} snapshots", counts.groups, counts.snapshots)));
    }
    rows.push(("unfinished", shown.unfinished.to_string()));
    rows.push(("protected", shown.protected.to_string()));
    rows.push(("disk total", bytes(shown.space.total)));
    rows.push(("disk used", percent(shown.space.used)));
    rows.push(("disk available", percent(shown.space.avail)));
    rows.push(("full", full_text(full, now)));
    match gc {
        None => rows.push(("garbage collection", "never".into())),
        Some(gc) => {
            let count = |chunks: u64, size: u64| format!("{chunks} chunks, {}", bytes(size));
            let backed_up =
                format!("{} in {} indexes", bytes(gc.index_data_bytes), gc.index_file_count);
            let at = gc.upid.as_deref().and_then(time::of_task).and_then(time::to_utc_text);
            rows.push(("garbage collection", at.unwrap_or_else(|| "at an unknown time".into())));
            rows.push(("backed up", backed_up));
            rows.push(("stored", count(gc.disk_chunks, gc.disk_bytes)));
            rows.push(("deduplication factor", format!("{:.2}", shown.deduplication_factor)));
            rows.push(("pending removal", count(gc.pending_chunks, gc.pending_bytes)));
        }
    }
    let rows = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]);
    table(&["", ""], rows).trim_start().to_owned()
}

fn full_text(full: FullDate, now: i64) -> String {
    match full {
        FullDate::Unknown => "unknown: too few samples so far".into(),
        FullDate::Never => "never: the space in use does not grow".into(),
        FullDate::At(at) => {
            let day = time::to_utc_text(at).unwrap_or_default();
            let day = day.split('T').next().unwrap_or_default();
            format!("about {day}, in {} days", at.saturating_sub(now) / 86_400)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_told_in_words() {
        assert_eq!(
            full_text(FullDate::At(1_700_000_000), 1_699_900_000),
            "about 2023-11-14, in 1 days"
        );
        assert!(full_text(FullDate::Unknown, 0).starts_with("unknown"));
        assert!(full_text(FullDate::Never, 0).starts_with("never"));
    }
}
