//! Which snapshots of the set are restored, and where to: decided from the catalogs and the targets, before a tape is asked for.

use std::collections::BTreeSet;

use datastore::hierarchy::{parse_qualified_name, qualified_name};
use datastore::{Namespace, SnapshotPath};
use uuid::Uuid;

use super::pending::Pending;
use super::unpack::{exists, refusal};
use super::{RestoreOptions, Target};
use crate::error::{Error, Result};
use crate::format::snapshot_archive::SnapshotArchiveHeader;
use crate::media::set::SetCatalogs;

/// A snapshot that is to be restored.
#[derive(Clone)]
pub(super) struct Choice {
    /// `store:snapshot`, for messages.
    pub name: String,
    /// As its archive on tape calls it.
    pub archive: SnapshotArchiveHeader,
    pub snapshot: SnapshotPath,
    pub target: Target,
    /// The namespaces of the target that lack it.
    pub into: Vec<Namespace>,
    /// Where its files wait for its chunks.
    namespace: Namespace,
}

impl Choice {
    /// Its place among those that wait.
    pub fn pending(&self, options: &RestoreOptions) -> Result<Pending> {
        let set = &options.media_set;
        Pending::of(&self.target, set, &self.archive.store, &self.namespace, &self.snapshot)
    }
}

/// A snapshot of the catalogs that is to be restored.
pub(super) struct OnTape {
    pub choice: Choice,
    /// The tape and the file of its archive.
    pub media: Uuid,
    pub file: u64,
}

/// What is to become of a snapshot.
pub(super) enum Fate {
    Restore(Choice),
    /// There is nothing to do, and why.
    Skip(String),
    /// It was not to be restored: its store or its namespace is not mapped, see there.
    Unmapped(String),
    /// It can't be restored, and why.
    Refuse(String),
}

/// Decides about one snapshot.
pub(super) fn fate(options: &RestoreOptions, store: &str, name: &str) -> Result<Fate> {
    let Some(target) = options.stores.target(store) else {
        return Ok(Fate::Unmapped(format!("datastore {store} is not mapped")));
    };
    let (namespace, snapshot) = match parse_qualified_name(name) {
        Ok(parsed) => parsed,
        Err(e) => return Ok(Fate::Refuse(e.to_string())),
    };
    let mapped = match options.stores.namespaces_for(store, &namespace) {
        Ok(mapped) => mapped,
        Err(e) => return Ok(Fate::Refuse(e.to_string())),
    };
    if mapped.is_empty() {
        return Ok(Fate::Unmapped(format!("namespace '{namespace}' of {store} is not mapped")));
    }
    let mut into = Vec::new();
    let mut refused = None;
    for namespace in mapped {
        if exists(&target.store, &namespace, &snapshot)? {
            continue;
        }
        match refusal(&target.store, &namespace, snapshot.group(), &options.owner) {
            Some(reason) => refused = Some(reason),
            None => into.push(namespace),
        }
    }
    Ok(match refused {
        Some(reason) if into.is_empty() => Fate::Refuse(reason),
        None if into.is_empty() => Fate::Skip("it exists already".into()),
        _ => Fate::Restore(Choice {
            name: format!("{store}:{}", qualified_name(&namespace, &snapshot)),
            archive: SnapshotArchiveHeader { snapshot: name.into(), store: store.into() },
            snapshot,
            target: target.clone(),
            into,
            namespace,
        }),
    })
}

/// What of the catalogs is restored, with reasons for the rest.
#[derive(Default)]
pub(super) struct Selection {
    pub wanted: Vec<OnTape>,
    pub skipped: Vec<(String, String)>,
    pub failed: Vec<(String, String)>,
}

impl Selection {
    /// Names of all that was decided about.
    pub fn names(&self) -> BTreeSet<String> {
        let left_out = self.skipped.iter().chain(&self.failed).map(|(name, _)| name);
        self.wanted.iter().map(|one| &one.choice.name).chain(left_out).cloned().collect()
    }
}

/// Decides about the snapshots that were chosen, or about all that the catalogs know.
///
/// # Errors
///
/// A name that can't be one of a snapshot.
pub(super) fn select(options: &RestoreOptions, catalogs: &SetCatalogs) -> Result<Selection> {
    let mut selection = Selection::default();
    let is_chosen = !options.snapshots.is_empty();
    for (store, name) in names(options, catalogs)? {
        let full = format!("{store}:{name}");
        let Some((media, file)) = catalogs.find_snapshot(&store, &name) else {
            let reason =
                format!("none of the catalogs of media set {} knows it", options.media_set);
            selection.failed.push((full, reason));
            continue;
        };
        match fate(options, &store, &name)? {
            Fate::Restore(choice) => selection.wanted.push(OnTape { choice, media, file }),
            // Who names a snapshot wants it: leaving it out is no success.
            Fate::Unmapped(reason) if is_chosen => selection.failed.push((full, reason)),
            Fate::Unmapped(reason) | Fate::Skip(reason) => selection.skipped.push((full, reason)),
            Fate::Refuse(reason) => selection.failed.push((full, reason)),
        }
    }
    Ok(selection)
}

/// Datastore and name of each snapshot that there is something to decide about, each once.
fn names(options: &RestoreOptions, catalogs: &SetCatalogs) -> Result<Vec<(String, String)>> {
    let mut names: Vec<(String, String)> = Vec::new();
    for text in &options.snapshots {
        let bad =
            |reason: String| Error::BadArgument { what: "snapshot", value: text.clone(), reason };
        let (store, name) = text
            .split_once(':')
            .ok_or_else(|| bad("it must have the form store:[ns/…/]type/id/time".into()))?;
        parse_qualified_name(name).map_err(|e| bad(e.to_string()))?;
        let name = (store.to_owned(), name.to_owned());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if options.snapshots.is_empty() {
        let all: BTreeSet<(String, String)> = catalogs
            .iter()
            .flat_map(|catalog| catalog.content().stores())
            .flat_map(|(store, content)| {
                content.snapshots.keys().map(|name| (store.clone(), name.clone()))
            })
            .collect();
        names.extend(all);
    }
    Ok(names)
}
