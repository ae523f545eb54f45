//! The lock files that lie in a lock folder: what each stands for, and which nobody needs any more.
//!
//! A lock file says nothing by being there; it is a lock only while somebody holds it. Whoever
//! removes one holds it at that moment, so that nobody else does, and whoever waits for it finds
//! that the path names another file (or none) and takes that one.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::{Locks, Mode, try_acquire};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace, SnapshotPath};

/// What a lock file stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A backup group.
    Group(BackupGroup),
    /// A snapshot, or its manifest.
    Snapshot(SnapshotPath),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Group(group) => write!(f, "backup group {group}"),
            Object::Snapshot(snapshot) => write!(f, "snapshot {snapshot}"),
        }
    }
}

/// One lock file.
#[derive(Debug, Clone)]
pub struct LockFile {
    /// Where it lies.
    pub path: PathBuf,
    /// The namespace of its object.
    pub namespace: Namespace,
    /// What it stands for; `None` if the name cannot be read back, as those of very long names.
    pub object: Option<Object>,
}

impl Locks {
    /// Calls `each` for every lock file. A folder that is not there has none.
    pub fn for_each_file(&self, each: &mut dyn FnMut(LockFile) -> Result<()>) -> Result<()> {
        let mut folders = vec![(self.dir.clone(), Some(Namespace::root()))];
        while let Some((dir, namespace)) = folders.pop() {
            let listing = match std::fs::read_dir(&dir) {
                Ok(listing) => listing,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(Error::io("list", &dir, error)),
            };
            for entry in listing {
                let entry = entry.map_err(|e| Error::io("list", &dir, e))?;
                let path = entry.path();
                let name = entry.file_name().to_string_lossy().into_owned();
                let kind = entry.file_type().map_err(|e| Error::io("look at", &path, e))?;
                if kind.is_dir() && dir == self.dir {
                    // `a:b` is the namespace `a/b`; `hashed` may be one, too.
                    folders.push((path, name.replace(':', "/").parse().ok()));
                } else if kind.is_dir() && name == "hashed" {
                    folders.push((path, None));
                } else if kind.is_file() {
                    let object = namespace.as_ref().and_then(|_| object_of(&name));
                    let namespace = namespace.clone().unwrap_or_default();
                    each(LockFile { path, namespace, object })?;
                }
            }
        }
        Ok(())
    }

    /// True if somebody holds a lock file now.
    pub fn is_held(&self, path: &Path) -> Result<bool> {
        if !path.exists() {
            return Ok(false);
        }
        let lock = try_acquire(path, Mode::Exclusive, self.owner);
        Ok(lock.map_err(|e| Error::io("lock", path, e))?.is_none())
    }

    /// Removes a lock file unless somebody holds it. True if it is gone.
    pub fn remove_unheld(&self, path: &Path) -> Result<bool> {
        if !path.exists() {
            return Ok(true);
        }
        let lock = try_acquire(path, Mode::Exclusive, self.owner);
        let Some(_lock) = lock.map_err(|e| Error::io("lock", path, e))? else { return Ok(false) };
        std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e))?;
        Ok(true)
    }
}

/// The inverse of [`super::escape`] for names of groups, snapshots and manifests.
fn object_of(name: &str) -> Option<Object> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                let digits = rest.strip_prefix(b"x")?;
                let (digits, tail) = digits.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            byte => bytes.push(*byte),
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    if super::escape(&text) != name {
        return None;
    }
    let object = text.strip_suffix("/.index.json.lck").unwrap_or(&text);
    if let Ok(snapshot) = object.parse() {
        return Some(Object::Snapshot(snapshot));
    }
    object.parse().ok().map(Object::Group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let snapshot: SnapshotPath = "vm/a-b.c/2022-05-02T08:11:33Z".parse().unwrap();
        for (text, object) in [
            ("vm/a-b.c".to_owned(), Object::Group("vm/a-b.c".parse().unwrap())),
            (snapshot.to_string(), Object::Snapshot(snapshot.clone())),
            (format!("{snapshot}/.index.json.lck"), Object::Snapshot(snapshot.clone())),
        ] {
            assert_eq!(object_of(&super::super::escape(&text)), Some(object), "{text}");
        }
        for bad in ["", "vm", "vm-", r"vm-a\x2", r"vm-\x2fa", r"vm-a\", "disk-a", "vm-a-b", "vm/a"]
        {
            assert_eq!(object_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn files_are_listed_and_removed_unless_held() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path().join("locks"), None);
        locks.for_each_file(&mut |_| panic!("there are none")).unwrap();
        let snapshot: SnapshotPath = "vm/1/2022-05-02T08:11:33Z".parse().unwrap();
        let inner: Namespace = "a/b".parse().unwrap();
        let long = BackupGroup::new(crate::BackupType::Vm, "x".repeat(255)).unwrap();
        drop(locks.group(&Namespace::root(), snapshot.group()).unwrap());
        drop(locks.group(&inner, &long).unwrap());
        let held = locks.snapshot(&inner, &snapshot, Mode::Shared).unwrap();
        let mut files = Vec::new();
        let mut collect = |file: LockFile| {
            files.push(file);
            Ok(())
        };
        locks.for_each_file(&mut collect).unwrap();
        files.sort_by_key(|file| file.path.clone());
        assert_eq!(files.len(), 3);
        let objects: Vec<_> = files.iter().map(|file| file.object.clone()).collect();
        let (group, of_snapshot) = (snapshot.group().clone(), Object::Snapshot(snapshot));
        assert_eq!(objects, [None, Some(of_snapshot), Some(Object::Group(group))]);
        assert_eq!(files[1].namespace, inner);
        let is_held: Vec<bool> =
            files.iter().map(|file| locks.is_held(&file.path).unwrap()).collect();
        assert_eq!(is_held, [false, true, false]);
        assert!(!locks.remove_unheld(&files[1].path).unwrap());
        drop(held);
        for file in &files {
            assert!(locks.remove_unheld(&file.path).unwrap());
            assert!(!file.path.exists());
        }
    }
}
