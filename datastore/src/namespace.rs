//! Removing namespaces.
//!
//! The deepest goes first, and folders go with a plain `rmdir` only: what somebody puts into a
//! namespace while it is being removed keeps it, and so does whatever this version does not know.
//! Backups are removed only group by group, each as [`crate::group`] does it, and only if asked for.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use crate::datastore::{Datastore, OddNames};
use crate::error::{Error, Result};
use crate::group::{GroupPlan, GroupRemoval};
use crate::hierarchy::{BackupType, Namespace};
use crate::progress::Progress;

/// What happens to the backup groups of a namespace that is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveGroups {
    /// They stay, and so does the namespace if it has any.
    No,
    /// They are removed, but for what is protected or in use.
    Yes,
}

/// What the removal of one namespace would meet now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespacePlan {
    /// The namespace.
    pub namespace: Namespace,
    /// Its groups, in the order of listings.
    pub groups: Vec<GroupPlan>,
    /// Odd things in it that keep it.
    pub foreign: Vec<String>,
}

/// What the removal of namespaces did.
#[derive(Debug, Default)]
pub struct NamespaceRemoval {
    /// Namespaces that are gone, in the order in which they went.
    pub removed: Vec<Namespace>,
    /// Namespaces that stay, and why.
    pub kept: Vec<(Namespace, String)>,
    /// What became of the groups.
    pub groups: Vec<(Namespace, GroupRemoval)>,
}

impl NamespaceRemoval {
    /// True if nothing is left.
    pub fn is_complete(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Datastore {
    /// What [`Datastore::remove_namespace`] would do now, in its order. Changes nothing.
    pub fn plan_remove_namespace(&self, namespace: &Namespace) -> Result<Vec<NamespacePlan>> {
        let mut plans = Vec::new();
        for namespace in self.namespaces_to_remove(namespace)? {
            let mut groups = Vec::new();
            for group in self.groups(&namespace)? {
                groups.push(self.plan_forget_group(&namespace, &group)?);
            }
            let foreign = self.foreign_in_namespace(&namespace)?;
            plans.push(NamespacePlan { namespace, groups, foreign });
        }
        Ok(plans)
    }

    /// Removes a namespace and those in it, deepest first; never the root. With
    /// [`RemoveGroups::Yes`] their backups are removed before, but for what is protected or in use.
    /// What stays is told in the result.
    pub fn remove_namespace(
        &self,
        namespace: &Namespace,
        groups: RemoveGroups,
        progress: &dyn Progress,
    ) -> Result<NamespaceRemoval> {
        let mut removal = NamespaceRemoval::default();
        for namespace in self.namespaces_to_remove(namespace)? {
            if groups == RemoveGroups::Yes {
                for group in self.groups(&namespace)? {
                    match self.forget_group(&namespace, &group, progress) {
                        Ok(done) => removal.groups.push((namespace.clone(), done)),
                        Err(Error::Aborted) => return Err(Error::Aborted),
                        Err(error) if error.is_missing() => {}
                        Err(error) => progress.warn(&format!("group {group} stays: {error}")),
                    }
                }
            }
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            match self.remove_namespace_folder(&namespace)? {
                None => {
                    progress.note(&format!("removed namespace '{namespace}'"));
                    removal.removed.push(namespace);
                }
                Some(reason) => {
                    progress.warn(&format!("namespace '{namespace}' stays: {reason}"));
                    removal.kept.push((namespace, reason));
                }
            }
        }
        Ok(removal)
    }

    /// A namespace and those in it, deepest first.
    fn namespaces_to_remove(&self, namespace: &Namespace) -> Result<Vec<Namespace>> {
        if namespace.is_root() {
            return Err(Error::Refused {
                reason: "the root namespace is the datastore itself and cannot be removed".into(),
            });
        }
        let mut namespaces = self.namespaces(namespace, None, &mut ())?;
        namespaces.reverse();
        Ok(namespaces)
    }

    /// Removes the empty folders of a namespace; if it stays, why.
    fn remove_namespace_folder(&self, namespace: &Namespace) -> Result<Option<String>> {
        let dir = self.namespace_dir(namespace);
        let inner = BackupType::ALL.iter().map(|ty| ty.as_str()).chain(["ns"]);
        for name in inner {
            // What cannot go keeps the namespace, and is told below.
            let _ = self.storage().remove_dir(&dir.join(name));
        }
        match self.storage().remove_dir(&dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Ok(Some(
                    self.why_not_empty(namespace, &dir)?
                        .unwrap_or_else(|| Error::io("remove", &dir, error).to_string()),
                ));
            }
        }
        Ok(None)
    }

    /// What lies in a namespace that should be empty.
    fn why_not_empty(&self, namespace: &Namespace, dir: &Path) -> Result<Option<String>> {
        let groups = self.groups(namespace)?.len();
        if groups > 0 {
            let plural = if groups == 1 { "" } else { "s" };
            return Ok(Some(format!("it holds {groups} backup group{plural}")));
        }
        if self.namespaces(namespace, Some(1), &mut ())?.len() > 1 {
            return Ok(Some("it holds namespaces that stay".into()));
        }
        let foreign = self.foreign_in_namespace(namespace)?;
        if foreign.is_empty() {
            return Ok(None);
        }
        Ok(Some(format!(
            "{} holds what is neither a backup nor a namespace: {}",
            dir.display(),
            foreign.join(", ")
        )))
    }

    /// What in a namespace's folder belongs to no group and no namespace, relative to the folder.
    fn foreign_in_namespace(&self, namespace: &Namespace) -> Result<Vec<String>> {
        let dir = self.namespace_dir(namespace);
        let mut foreign = Vec::new();
        let mut known: Vec<&str> = BackupType::ALL.iter().map(|ty| ty.as_str()).collect();
        let groups: HashSet<String> =
            self.groups(namespace)?.iter().map(ToString::to_string).collect();
        for ty in known.clone() {
            for entry in self.list_or_none(&dir.join(ty))? {
                let name = entry.name.unwrap_or_else(|| "a name that is not text".into());
                let path = format!("{ty}/{name}");
                if !groups.contains(&path) {
                    foreign.push(path);
                }
            }
        }
        known.push("ns");
        for entry in self.list_or_none(&dir)? {
            let name = entry.name.unwrap_or_else(|| "a name that is not text".into());
            if !known.contains(&name.as_str()) {
                foreign.push(name);
            }
        }
        let mut odd = OddPaths(Vec::new());
        self.namespaces(namespace, Some(1), &mut odd)?;
        foreign.extend(odd.0);
        for entry in self.list_or_none(&dir.join("ns"))? {
            if entry.kind != crate::storage::Kind::Dir {
                foreign.push(format!("ns/{}", entry.name.unwrap_or_default()));
            }
        }
        foreign.sort();
        Ok(foreign)
    }
}

/// Collects the last names of odd paths.
struct OddPaths(Vec<String>);

impl OddNames for OddPaths {
    fn odd(&mut self, path: &Path, _why: &str) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.0.push(format!("ns/{name}"));
    }
}
