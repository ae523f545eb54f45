//! `capstan datastore show`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use datastore::Namespace;
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};
use crate::progress::Bar;
use crate::repository;

/// Show what a datastore holds
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore show /srv/archive")]
pub struct ShowArgs {
    /// A folder, or a name from the configuration
    store: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    name: String,
    path: PathBuf,
    namespaces: u64,
    groups: u64,
    snapshots: u64,
    unfinished: u64,
    protected: u64,
    total: u64,
    used: u64,
    avail: u64,
}

pub fn run(places: &Places, args: &ShowArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let mut shown = Shown {
        name: repository.name.clone(),
        path: store.base().to_path_buf(),
        ..Shown::default()
    };
    let mut odd = Vec::new();
    for namespace in store.namespaces(&Namespace::root(), None, &mut odd)? {
        shown.namespaces += 1;
        for group in store.groups(&namespace)? {
            shown.groups += 1;
            for info in store.snapshots(&namespace, &group, &mut odd)? {
                if info.finished {
                    shown.snapshots += 1;
                } else {
                    shown.unfinished += 1;
                }
                shown.protected += u64::from(info.protected);
            }
        }
    }
    let space = nix::sys::statvfs::statvfs(store.base())
        .with_context(|| format!("cannot ask for the space of {}", store.base().display()))?;
    let unit = space.fragment_size();
    shown.total = space.blocks() * unit;
    shown.avail = space.blocks_available() * unit;
    shown.used = (space.blocks() - space.blocks_free()) * unit;
    args.output.print(&shown, |s| {
        table(
            &["", ""],
            [
                ("name", s.name.clone()),
                ("path", s.path.display().to_string()),
                ("namespaces", s.namespaces.to_string()),
                ("groups", s.groups.to_string()),
                ("snapshots", s.snapshots.to_string()),
                ("unfinished", s.unfinished.to_string()),
                ("protected", s.protected.to_string()),
                ("disk total", bytes(s.total)),
                ("disk used", bytes(s.used)),
                ("disk available", bytes(s.avail)),
            ]
            .map(|(key, value)| vec![key.to_owned(), value]),
        )
        .trim_start()
        .to_owned()
    })?;
    let bar = Bar::bytes("show");
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}
