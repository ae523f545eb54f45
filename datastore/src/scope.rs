//! Which part of a datastore an operation goes over: a namespace with those in it, to some depth.
//!
//! Operations on a whole store must not stop at the first folder that cannot be listed: what is
//! broken is told, the rest is done, and the run counts as failed in the end. (Garbage collection is
//! the exception. It must see everything or nothing, and does not use this.)

use crate::datastore::{Datastore, OddNames};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace};

/// A part of a datastore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// The namespace where it begins.
    pub namespace: Namespace,
    /// How many levels deeper it reaches; 0 is the namespace alone, `None` all.
    pub depth: Option<usize>,
}

/// The groups of a scope, and what could not be listed.
#[derive(Debug, Default)]
pub struct ScopedGroups {
    /// Groups of all namespaces as one list, ordered as listings order groups; one that several
    /// namespaces have comes once for each, outer namespaces first.
    pub groups: Vec<(Namespace, BackupGroup)>,
    /// Folders that could not be listed. What they hold is not in the list.
    pub failures: Vec<Error>,
}

impl Scope {
    /// Lists the groups. Fails only if the namespace where the scope begins is not there.
    pub fn groups(&self, store: &Datastore, odd: &mut dyn OddNames) -> Result<ScopedGroups> {
        store.require_namespace(&self.namespace)?;
        let mut found = ScopedGroups::default();
        walk(store, &self.namespace, self.depth, &mut found, odd);
        found.groups.sort_by(|left, right| left.1.cmp(&right.1));
        Ok(found)
    }
}

fn walk(
    store: &Datastore,
    namespace: &Namespace,
    depth: Option<usize>,
    found: &mut ScopedGroups,
    odd: &mut dyn OddNames,
) {
    match store.groups(namespace) {
        Ok(groups) => {
            found.groups.extend(groups.into_iter().map(|group| (namespace.clone(), group)));
        }
        // Removed since its parent was listed.
        Err(error) if error.is_missing() => return,
        Err(error) => found.failures.push(error),
    }
    if depth == Some(0) {
        return;
    }
    match store.namespaces(namespace, Some(1), odd) {
        Ok(here_and_below) => {
            for inner in here_and_below.into_iter().skip(1) {
                walk(store, &inner, depth.map(|depth| depth - 1), found, odd);
            }
        }
        Err(error) if error.is_missing() => {}
        Err(error) => found.failures.push(error),
    }
}
