//! Namespaces, groups and snapshots: folders, names, and manifests against the files beside them.

use std::collections::BTreeSet;
use std::path::Path;

use super::names;
use super::{Checker, Kind, Remedy, Repair, Severity};
use crate::error::Result;
use crate::hierarchy::{
    ArchiveKind, BackupGroup, BackupType, CLIENT_LOG_NAME, MANIFEST_NAME, NOTES_NAME, Namespace,
    OWNER_NAME, PROTECTED_NAME, SnapshotPath,
};
use crate::lock::Mode;
use crate::snapshot::reader::load_manifest;
use crate::storage::{Entry, Kind as EntryKind, Meta};
use crate::time;

/// What lies in the folder of a snapshot.
#[derive(Default)]
struct Content {
    archives: BTreeSet<String>,
    temporary: Vec<(String, i64)>,
    is_protected: bool,
    /// Last change of the folder or anything in it.
    newest: i64,
    /// Things that no writer makes.
    odd: Vec<Entry>,
}

impl Checker<'_> {
    /// A folder of the tree; `None` if it is gone. Its mode and owner are looked at.
    fn tree_folder(&mut self, path: &Path) -> Result<Option<(Meta, Vec<Entry>)>> {
        let Some(meta) = self.meta(path) else { return Ok(None) };
        self.usable_folder(path, &meta);
        self.ownership(path, &meta);
        // A group may well be called `x.didx`.
        self.index_by_name(path, EntryKind::Dir)?;
        Ok(self.list(path)?.map(|entries| (meta, entries)))
    }

    /// A namespace with everything in it. What else lies in the store's own folder is known to the
    /// caller.
    pub(super) fn namespace(&mut self, namespace: &Namespace) -> Result<()> {
        let dir = self.store.namespace_dir(namespace);
        let listed = if namespace.is_root() {
            self.list(&dir)?
        } else {
            self.tree_folder(&dir)?.map(|(_, entries)| entries)
        };
        for entry in listed.unwrap_or_default() {
            let path = names::join(&dir, &entry);
            let name = entry.name.as_deref().unwrap_or_default();
            let ty = name.parse::<BackupType>();
            match (ty, entry.kind) {
                (Ok(ty), EntryKind::Dir) => self.type_folder(namespace, ty, &path)?,
                (Ok(_), kind) => self.wrong_kind(&path, kind, "a folder of backup groups")?,
                (Err(_), EntryKind::Dir) if name == "ns" => self.inner(namespace, &path)?,
                (Err(_), kind) if name == "ns" => {
                    self.wrong_kind(&path, kind, "a folder of namespaces")?;
                }
                _ if namespace.is_root() => {}
                _ => self.stray(&path, entry.kind)?,
            }
        }
        Ok(())
    }

    /// The folder `ns` of a namespace.
    fn inner(&mut self, namespace: &Namespace, dir: &Path) -> Result<()> {
        let Some((_, entries)) = self.tree_folder(dir)? else { return Ok(()) };
        for entry in entries {
            let path = names::join(dir, &entry);
            if entry.kind != EntryKind::Dir {
                self.stray(&path, entry.kind)?;
                continue;
            }
            match namespace.child(entry.name.as_deref().unwrap_or_default()) {
                Ok(child) => self.namespace(&child)?,
                Err(error) => {
                    let detail = format!("{error}: garbage collection stops at it");
                    self.odd_name(Kind::OddNamespace, Severity::Error, &path, detail)?;
                }
            }
        }
        Ok(())
    }

    fn type_folder(&mut self, namespace: &Namespace, ty: BackupType, dir: &Path) -> Result<()> {
        let Some((_, entries)) = self.tree_folder(dir)? else { return Ok(()) };
        for entry in entries {
            let path = names::join(dir, &entry);
            if entry.kind != EntryKind::Dir {
                self.stray(&path, entry.kind)?;
                continue;
            }
            match BackupGroup::new(ty, entry.name.as_deref().unwrap_or_default()) {
                Ok(group) => self.group(namespace, &group)?,
                Err(error) => {
                    let detail = format!("{error}: listings leave it out");
                    self.odd_name(Kind::OddGroupName, Severity::Warning, &path, detail)?;
                }
            }
        }
        Ok(())
    }

    /// A folder where one of the format's stands, under a name that the format does not allow there.
    fn odd_name(
        &mut self,
        kind: Kind,
        severity: Severity,
        path: &Path,
        detail: impl Into<String>,
    ) -> Result<()> {
        let remedy = Remedy::ByHand("rename it or move it elsewhere".into());
        self.report(kind, severity, path, detail, remedy);
        self.stray(path, EntryKind::Dir)
    }

    fn group(&mut self, namespace: &Namespace, group: &BackupGroup) -> Result<()> {
        let dir = self.store.group_dir(namespace, group);
        let Some((meta, entries)) = self.tree_folder(&dir)? else { return Ok(()) };
        let is_empty = entries.is_empty();
        let (mut snapshots, mut foreign) = (0_u64, 0);
        for entry in entries {
            let path = names::join(&dir, &entry);
            let name = entry.name.as_deref().unwrap_or_default();
            match entry.kind {
                EntryKind::File => {
                    foreign += u64::from(self.meta(&path).is_some_and(|m| self.is_foreign(&m)));
                    if [OWNER_NAME, NOTES_NAME]
                        .iter()
                        .any(|file| names::is_temporary_of(name, file))
                    {
                        self.temporary(&path);
                    } else if !matches!(name, OWNER_NAME | NOTES_NAME) {
                        self.stray(&path, entry.kind)?;
                    }
                }
                EntryKind::Dir => match time::from_utc_text(name).filter(|time| *time >= 1) {
                    Some(time) => {
                        snapshots += 1;
                        self.snapshot(namespace, &SnapshotPath::new(group.clone(), time)?)?;
                    }
                    None if name.len() == 20 && name.ends_with('Z') => {
                        let detail = "its name is that of no time: the reference cannot list the \
                                      group, and Capstan leaves it out";
                        self.odd_name(Kind::OddSnapshotName, Severity::Error, &path, detail)?;
                    }
                    None => self.stray(&path, entry.kind)?,
                },
                kind if matches!(name, OWNER_NAME | NOTES_NAME) => {
                    self.wrong_kind(&path, kind, "a file of the group")?;
                }
                kind => self.stray(&path, kind)?,
            }
        }
        self.foreign_files(&dir, foreign);
        if is_empty {
            // What a crash between making the folder and writing its owner leaves.
            let detail = format!("an empty group without an owner, {}", self.age(meta.mtime));
            let remedy = if self.is_old(meta.mtime) {
                Remedy::Repair(Repair::RemoveEmptyGroup {
                    namespace: namespace.clone(),
                    group: group.clone(),
                })
            } else {
                Remedy::ByHand("it may be in use: it is younger than a day".into())
            };
            let severity = self.leftover_severity(meta.mtime);
            self.report(Kind::EmptyGroup, severity, &dir, detail, remedy);
            return Ok(());
        }
        if snapshots == 0 {
            let detail = "a group without snapshots";
            let reason = "its owner keeps the name; 'capstan group forget' removes it";
            let remedy = Remedy::ByHand(reason.into());
            self.report(Kind::EmptyGroup, Severity::Info, &dir, detail, remedy);
        }
        if let Err(error) = self.store.owner(namespace, group)
            && self.meta(&dir).is_some()
        {
            let detail = format!("nobody can back up to this group: {error}");
            let reason = "'capstan group change-owner' gives it one";
            let remedy = Remedy::ByHand(reason.into());
            self.report(Kind::GroupOwner, Severity::Error, &dir, detail, remedy);
        }
        Ok(())
    }

    fn snapshot(&mut self, namespace: &Namespace, snapshot: &SnapshotPath) -> Result<()> {
        let dir = self.store.snapshot_dir(namespace, snapshot);
        let Some((meta, entries)) = self.tree_folder(&dir)? else { return Ok(()) };
        let content = self.content(&dir, &meta, &entries);
        for (name, mtime) in &content.temporary {
            self.temporary_in(namespace, snapshot, &dir.join(name), *mtime);
        }
        for entry in &content.odd {
            let path = names::join(&dir, entry);
            let name = entry.name.as_deref().unwrap_or_default();
            if ArchiveKind::of(name).is_some() {
                self.wrong_kind(&path, entry.kind, "a file of the snapshot")?;
            } else {
                self.stray(&path, entry.kind)?;
            }
        }
        for name in &content.archives {
            if !matches!(ArchiveKind::of(name), Some(ArchiveKind::Blob)) {
                self.references_of(&dir.join(name))?;
            }
        }
        if content.archives.contains(MANIFEST_NAME) {
            return self.finished(namespace, snapshot, &dir);
        }
        self.unfinished(namespace, snapshot, &dir, &content);
        Ok(())
    }

    fn content(&mut self, dir: &Path, meta: &Meta, entries: &[Entry]) -> Content {
        let mut content = Content { newest: meta.mtime, ..Content::default() };
        let mut foreign = 0;
        for entry in entries {
            let Some(name) = &entry.name else {
                content.odd.push(entry.clone());
                continue;
            };
            content.is_protected |= name == PROTECTED_NAME;
            if entry.kind != EntryKind::File {
                if name != PROTECTED_NAME {
                    content.odd.push(entry.clone());
                }
                continue;
            }
            let Some(meta) = self.meta(&dir.join(name)) else { continue };
            content.newest = content.newest.max(meta.mtime);
            foreign += u64::from(self.is_foreign(&meta));
            if ArchiveKind::of(name).is_some() {
                content.archives.insert(name.clone());
            } else if names::is_temporary(name) {
                content.temporary.push((name.clone(), meta.mtime));
            } else if name != PROTECTED_NAME {
                content.odd.push(entry.clone());
            }
        }
        self.foreign_files(dir, foreign);
        content
    }

    /// Unfinished work in a snapshot: its writer holds the snapshot's lock.
    fn temporary_in(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        path: &Path,
        mtime: i64,
    ) {
        let detail = format!("unfinished work of a writer, {}", self.age(mtime));
        let remedy = if self.is_old(mtime) {
            Remedy::Repair(Repair::RemoveTemporary {
                path: path.to_path_buf(),
                snapshot: Some((namespace.clone(), snapshot.clone())),
            })
        } else {
            Remedy::ByHand("it may be in use: it is younger than a day".into())
        };
        let severity = self.leftover_severity(mtime);
        self.report(Kind::Temporary, severity, path, detail, remedy);
    }

    /// A snapshot without a manifest is a backup that runs or was interrupted, or a finished one that
    /// lost its manifest. Only what holds nothing complete is taken for the former.
    fn unfinished(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        dir: &Path,
        content: &Content,
    ) {
        // Forget removes the manifest like anything else; a folder that is gone was forgotten.
        if self.meta(dir).is_none() {
            return;
        }
        let detail = format!("a snapshot without a manifest, {}", self.age(content.newest));
        let remedy = if !self.is_old(content.newest) {
            Remedy::ByHand("a backup may be writing it: it is younger than a day".into())
        } else if content.is_protected {
            Remedy::ByHand("it is protected".into())
        } else if !content.archives.is_empty() || !content.odd.is_empty() {
            let count = content.archives.len() + content.odd.len();
            Remedy::ByHand(format!(
                "{count} complete files in it may still be of use, e.g. if the manifest was lost; \
                 'capstan snapshot forget' or prune removes it"
            ))
        } else {
            Remedy::Repair(Repair::RemoveUnfinished {
                namespace: namespace.clone(),
                snapshot: snapshot.clone(),
            })
        };
        let severity = self.leftover_severity(content.newest);
        self.report(Kind::UnfinishedSnapshot, severity, dir, detail, remedy);
    }

    /// A manifest against the files beside it. A snapshot that seems to lack something may be on its
    /// way out, so it is looked at again under its lock before it is a finding.
    fn finished(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        dir: &Path,
    ) -> Result<()> {
        if self.differences(namespace, snapshot, dir)?.is_empty() {
            return Ok(());
        }
        let guard = match self.store.locks().snapshot(namespace, snapshot, Mode::Shared) {
            Err(error) if error.is_retryable() => return Ok(()),
            guard => guard?,
        };
        let differences = self.differences(namespace, snapshot, dir)?;
        drop(guard);
        for (kind, severity, name, detail) in differences {
            let by_hand = match kind {
                Kind::MissingFile => "restore the snapshot from another copy, or forget it",
                Kind::UnlistedFile => "nothing restores it; remove it by hand if it is not needed",
                _ => "restore the snapshot from another copy; its indexes may still be of use",
            };
            let path = dir.join(name);
            self.report(kind, severity, &path, detail, Remedy::ByHand(by_hand.into()));
        }
        Ok(())
    }

    fn differences(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        dir: &Path,
    ) -> Result<Vec<(Kind, Severity, String, String)>> {
        let manifest = match load_manifest(self.store, namespace, snapshot) {
            Ok(manifest) => manifest,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => {
                let name = MANIFEST_NAME.to_owned();
                return Ok(vec![(Kind::Manifest, Severity::Error, name, error.to_string())]);
            }
        };
        let mut differences = Vec::new();
        if !manifest.belongs_to(snapshot) {
            let detail = "the manifest is that of another snapshot: type, id or time differ from \
                          the folder";
            let name = MANIFEST_NAME.to_owned();
            differences.push((Kind::Manifest, Severity::Error, name, detail.to_owned()));
        }
        let files: BTreeSet<String> = self
            .list(dir)?
            .unwrap_or_default()
            .into_iter()
            .filter(|entry| entry.kind == EntryKind::File)
            .filter_map(|entry| entry.name)
            .filter(|name| ArchiveKind::of(name).is_some())
            .collect();
        for file in manifest.files() {
            if !files.contains(&file.filename) {
                let detail = "the manifest lists it, but it is not there".to_owned();
                let name = file.filename.clone();
                differences.push((Kind::MissingFile, Severity::Error, name, detail));
            }
        }
        for name in files {
            if name != MANIFEST_NAME && name != CLIENT_LOG_NAME && manifest.file(&name).is_none() {
                let detail = "the manifest does not list it".to_owned();
                differences.push((Kind::UnlistedFile, Severity::Warning, name, detail));
            }
        }
        Ok(differences)
    }
}
