//! Names and places: namespaces, backup groups, snapshots and archives, as text and as folders
//! below the datastore (`docs/formats/datastore.md`).
//!
//! Every name that becomes a part of a path is checked here, once, when it becomes one of these
//! types; a value of such a type can be joined to a path without leaving the store.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};
use crate::time;

/// Deepest namespace.
pub const NAMESPACE_DEPTH_MAX: usize = 7;
/// Longest printed namespace in bytes.
const NAMESPACE_LEN_MAX: usize = 256;

/// Name of the manifest in a snapshot's folder; where it is, the snapshot is finished.
pub const MANIFEST_NAME: &str = "index.json.blob";
/// Name of the client's log in a snapshot's folder; it is in no manifest.
pub const CLIENT_LOG_NAME: &str = "client.log.blob";
/// Name of the key that is encrypted for the holder of the master key.
pub const ENCRYPTED_KEY_NAME: &str = "rsa-encrypted.key.blob";
/// Name of the catalog archive.
pub const CATALOG_NAME: &str = "catalog.pcat1.didx";
/// Marks a snapshot that must not be removed.
pub const PROTECTED_NAME: &str = ".protected";
/// Name of the file with a group's owner.
pub const OWNER_NAME: &str = "owner";
/// Name of the file with a group's notes.
pub const NOTES_NAME: &str = "notes";

/// True for `[A-Za-z0-9_][A-Za-z0-9._-]*`: what ids, namespace components and names of archives
/// are made of.
pub fn is_safe_id(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

const SAFE_ID_RULE: &str =
    "only letters, digits, '.', '_' and '-' are allowed, and it may not begin with '.' or '-'";

/// Checks the name of a datastore: a safe id of 3 to 32 characters.
pub fn check_datastore_name(name: &str) -> Result<()> {
    let invalid = |rule| Error::InvalidName { kind: "datastore name", name: name.to_owned(), rule };
    if !is_safe_id(name) {
        return Err(invalid(SAFE_ID_RULE));
    }
    if !(3..=32).contains(&name.len()) {
        return Err(invalid("it must have 3 to 32 characters"));
    }
    Ok(())
}

/// What a backup is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackupType {
    /// A container.
    Ct,
    /// A machine's files.
    Host,
    /// A virtual machine.
    Vm,
}

impl BackupType {
    /// All types in the order of listings.
    pub const ALL: [BackupType; 3] = [BackupType::Ct, BackupType::Host, BackupType::Vm];

    /// The name of the type and of its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupType::Ct => "ct",
            BackupType::Host => "host",
            BackupType::Vm => "vm",
        }
    }
}

impl fmt::Display for BackupType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for BackupType {
    type Err = Error;

    fn from_str(text: &str) -> Result<BackupType> {
        BackupType::ALL.into_iter().find(|ty| ty.as_str() == text).ok_or_else(|| {
            Error::InvalidName {
                kind: "backup type",
                name: text.to_owned(),
                rule: "it is one of host, vm and ct",
            }
        })
    }
}

/// A namespace: the empty one is the root. Printed as `a/b`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(Vec<String>);

impl Namespace {
    /// The root namespace.
    pub fn root() -> Namespace {
        Namespace::default()
    }

    /// True for the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of components; the root has none.
    pub fn depth(&self) -> usize {
        self.0.len()
    }

    /// The components, outermost first.
    pub fn components(&self) -> &[String] {
        &self.0
    }

    /// The namespace `name` in this one.
    pub fn child(&self, name: &str) -> Result<Namespace> {
        let invalid = |rule| Error::InvalidName { kind: "namespace", name: name.to_owned(), rule };
        if !is_safe_id(name) {
            return Err(invalid(SAFE_ID_RULE));
        }
        if self.depth() >= NAMESPACE_DEPTH_MAX {
            return Err(invalid("namespaces are at most 7 deep"));
        }
        // The format charges one byte for a separator even for the first component.
        if self.to_string().len() + name.len() + 1 > NAMESPACE_LEN_MAX {
            return Err(invalid("a namespace has at most 255 characters"));
        }
        let mut components = self.0.clone();
        components.push(name.to_owned());
        Ok(Namespace(components))
    }

    /// The namespace around this one; `None` for the root.
    pub fn parent(&self) -> Option<Namespace> {
        let (_, outer) = self.0.split_last()?;
        Some(Namespace(outer.to_vec()))
    }

    /// The part of `self` below `outer`, or `None` if it does not lie in it.
    pub fn strip_prefix(&self, outer: &Namespace) -> Option<&[String]> {
        self.0.strip_prefix(outer.0.as_slice())
    }

    /// The folder relative to the datastore, `ns/a/ns/b`; empty for the root.
    pub fn path(&self) -> String {
        let mut path = String::new();
        for component in &self.0 {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str("ns/");
            path.push_str(component);
        }
        path
    }

    /// The inverse of [`Namespace::path`].
    pub fn from_path(path: &str) -> Result<Namespace> {
        let mut namespace = Namespace::root();
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        while let Some(marker) = parts.next() {
            match (marker, parts.next()) {
                ("ns", Some(component)) => namespace = namespace.child(component)?,
                _ => {
                    return Err(Error::InvalidName {
                        kind: "namespace path",
                        name: path.to_owned(),
                        rule: "it has the form ns/a/ns/b",
                    });
                }
            }
        }
        Ok(namespace)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

impl FromStr for Namespace {
    type Err = Error;

    fn from_str(text: &str) -> Result<Namespace> {
        if text.is_empty() {
            return Ok(Namespace::root());
        }
        text.split('/').try_fold(Namespace::root(), |outer, name| outer.child(name))
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Namespace, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// All snapshots of one machine: `host/elsa`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BackupGroup {
    ty: BackupType,
    id: String,
}

impl BackupGroup {
    /// A group by type and id.
    pub fn new(ty: BackupType, id: impl Into<String>) -> Result<BackupGroup> {
        let id = id.into();
        if !is_safe_id(&id) || id.len() > 255 {
            return Err(Error::InvalidName { kind: "backup id", name: id, rule: SAFE_ID_RULE });
        }
        Ok(BackupGroup { ty, id })
    }

    /// What it is a backup of.
    pub fn backup_type(&self) -> BackupType {
        self.ty
    }

    /// Which one.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl fmt::Display for BackupGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ty, self.id)
    }
}

impl FromStr for BackupGroup {
    type Err = Error;

    fn from_str(text: &str) -> Result<BackupGroup> {
        match text.split_once('/') {
            Some((ty, id)) => BackupGroup::new(ty.parse()?, id),
            None => Err(Error::InvalidName {
                kind: "backup group",
                name: text.to_owned(),
                rule: "it has the form type/id, e.g. host/elsa",
            }),
        }
    }
}

/// The order of listings: by type, then numeric ids by number before all others by bytes.
impl Ord for BackupGroup {
    fn cmp(&self, other: &BackupGroup) -> Ordering {
        let key = |group: &BackupGroup| match group.id.parse::<u64>() {
            Ok(number) => (0, number),
            Err(_) => (1, 0),
        };
        self.ty
            .cmp(&other.ty)
            .then_with(|| key(self).cmp(&key(other)))
            .then_with(|| self.id.cmp(&other.id))
    }
}

impl PartialOrd for BackupGroup {
    fn partial_cmp(&self, other: &BackupGroup) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One snapshot of a group: `host/elsa/2024-05-01T10:00:00Z`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotPath {
    group: BackupGroup,
    time: i64,
}

impl SnapshotPath {
    /// A snapshot by group and time in seconds since 1970, which lies between 1970 and 9999.
    pub fn new(group: BackupGroup, time: i64) -> Result<SnapshotPath> {
        if time < 1 || time::to_utc_text(time).is_none() {
            return Err(Error::InvalidName {
                kind: "backup time",
                name: time.to_string(),
                rule: "it lies between 1970 and the year 9999, in seconds since 1970",
            });
        }
        Ok(SnapshotPath { group, time })
    }

    /// The group.
    pub fn group(&self) -> &BackupGroup {
        &self.group
    }

    /// Seconds since 1970.
    pub fn time(&self) -> i64 {
        self.time
    }

    /// The name of its folder: the time in UTC.
    pub fn time_text(&self) -> String {
        // `new` made sure that the time can be printed.
        time::to_utc_text(self.time).unwrap_or_default()
    }
}

impl fmt::Display for SnapshotPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.time_text())
    }
}

impl FromStr for SnapshotPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<SnapshotPath> {
        let parsed = text
            .rsplit_once('/')
            .and_then(|(group, time)| Some((group, time::from_utc_text(time)?)));
        match parsed {
            Some((group, time)) => SnapshotPath::new(group.parse()?, time),
            None => Err(Error::InvalidName {
                kind: "snapshot",
                name: text.to_owned(),
                rule: "it has the form type/id/time, e.g. host/elsa/2024-05-01T10:00:00Z",
            }),
        }
    }
}

/// `ns/a/ns/b/host/elsa/2024-05-01T10:00:00Z`: the folder of a snapshot relative to the datastore,
/// and its name on tapes.
pub fn qualified_name(namespace: &Namespace, snapshot: &SnapshotPath) -> String {
    match namespace.path() {
        path if path.is_empty() => snapshot.to_string(),
        path => format!("{path}/{snapshot}"),
    }
}

/// The inverse of [`qualified_name`].
pub fn parse_qualified_name(text: &str) -> Result<(Namespace, SnapshotPath)> {
    let invalid = || Error::InvalidName {
        kind: "snapshot",
        name: text.to_owned(),
        rule: "it has the form [ns/a/ns/b/]type/id/time",
    };
    let mut slashes = text.rmatch_indices('/').map(|(at, _)| at);
    let third = slashes.nth(2);
    if third.is_none() && text.matches('/').count() != 2 {
        return Err(invalid());
    }
    match third {
        None => Ok((Namespace::root(), text.parse()?)),
        Some(at) => {
            let namespace = Namespace::from_path(text.get(..at).unwrap_or_default())?;
            let snapshot = text.get(at + 1..).unwrap_or_default().parse()?;
            if qualified_name(&namespace, &snapshot) != text {
                return Err(invalid());
            }
            Ok((namespace, snapshot))
        }
    }
}

/// What the last extension of a stored file says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// `.didx`: chunks of varying size.
    DynamicIndex,
    /// `.fidx`: chunks of one size.
    FixedIndex,
    /// `.blob`: one small file.
    Blob,
}

impl ArchiveKind {
    /// The kind of a stored file by its name; `None` for anything that is no archive.
    pub fn of(name: &str) -> Option<ArchiveKind> {
        match name.rsplit_once('.')?.1 {
            "didx" => Some(ArchiveKind::DynamicIndex),
            "fidx" => Some(ArchiveKind::FixedIndex),
            "blob" => Some(ArchiveKind::Blob),
            _ => None,
        }
    }
}

/// True if a name can be that of a file of a snapshot: it stays in the snapshot's folder, and its
/// extension is that of an archive.
pub fn is_archive_name(name: &str) -> bool {
    is_safe_id(name) && ArchiveKind::of(name).is_some()
}

/// The name under which an archive is stored: `root.pxar` is `root.pxar.didx`, `disk.img` is
/// `disk.img.fidx`, `vm.conf` is `vm.conf.blob`. A name that carries its kind already is kept.
pub fn stored_name(name: &str) -> Result<String> {
    let invalid = |rule| Error::InvalidName { kind: "archive name", name: name.to_owned(), rule };
    if !is_safe_id(name) {
        return Err(invalid(SAFE_ID_RULE));
    }
    if ArchiveKind::of(name).is_some() {
        return Ok(name.to_owned());
    }
    let suffix = match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("pxar" | "mpxar" | "ppxar" | "pcat1") => "didx",
        Some("img") => "fidx",
        Some("conf" | "json" | "key" | "log") => "blob",
        _ => {
            return Err(invalid(
                "its extension tells what it is: .pxar for a folder, .img for a disk image, .conf for a small file",
            ));
        }
    };
    Ok(format!("{name}.{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_ids() {
        for good in ["a", "_", "0", "A.b-c_d", "x..", "100"] {
            assert!(is_safe_id(good), "{good}");
        }
        for bad in ["", ".", "..", "-a", ".a", "a/b", "a b", "ä", "a@b", "a\n"] {
            assert!(!is_safe_id(bad), "{bad}");
        }
        assert!(check_datastore_name("ab").is_err());
        assert!(check_datastore_name(&"a".repeat(33)).is_err());
        assert!(check_datastore_name("abc").is_ok());
    }

    #[test]
    fn namespaces_have_a_depth_and_a_length() {
        let deep: Namespace = "a/b/c/d/e/f/g".parse().unwrap();
        assert_eq!(deep.depth(), 7);
        assert!(deep.child("h").is_err());
        assert_eq!(deep.path(), "ns/a/ns/b/ns/c/ns/d/ns/e/ns/f/ns/g");
        assert_eq!(Namespace::from_path(&deep.path()).unwrap(), deep);
        assert!(Namespace::root().child(&"x".repeat(255)).is_ok());
        assert!(Namespace::root().child(&"x".repeat(256)).is_err());
        let outer = Namespace::root().child(&"x".repeat(200)).unwrap();
        assert!(outer.child(&"y".repeat(55)).is_ok());
        assert!(outer.child(&"y".repeat(56)).is_err());
        for bad in ["/", "a//b", "a/", "/a", "..", "a/../b"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
        assert_eq!(deep.parent().unwrap().to_string(), "a/b/c/d/e/f");
        assert_eq!(Namespace::root().parent(), None);
    }

    #[test]
    fn groups_sort_by_type_then_number_then_text() {
        let mut groups: Vec<BackupGroup> =
            ["vm/9", "vm/100", "host/b", "ct/7", "host/a", "host/10", "vm/x", "host/9"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        groups.sort();
        let text: Vec<_> = groups.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            ["ct/7", "host/9", "host/10", "host/a", "host/b", "vm/9", "vm/100", "vm/x"]
        );
        assert!("host".parse::<BackupGroup>().is_err());
        assert!("disk/a".parse::<BackupGroup>().is_err());
        assert!("host/..".parse::<BackupGroup>().is_err());
    }

    #[test]
    fn qualified_names_round_trip() {
        for text in [
            "host/elsa/2024-01-02T03:04:05Z",
            "ns/prod/ns/db/host/elsa/2024-01-02T03:04:05Z",
            "ns/ns/vm/ns/2024-01-02T03:04:05Z",
        ] {
            let (namespace, snapshot) = parse_qualified_name(text).unwrap();
            assert_eq!(qualified_name(&namespace, &snapshot), text);
        }
        for bad in [
            "",
            "elsa/2024-01-02T03:04:05Z",
            "/host/elsa/2024-01-02T03:04:05Z",
            "prod/host/elsa/2024-01-02T03:04:05Z",
            "ns//host/elsa/2024-01-02T03:04:05Z",
            "ns/a//host/elsa/2024-01-02T03:04:05Z",
            "host/elsa/2024-02-30T03:04:05Z",
            "ns/../host/elsa/2024-01-02T03:04:05Z",
        ] {
            assert!(parse_qualified_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn stored_names_follow_the_extension() {
        assert_eq!(stored_name("root.pxar").unwrap(), "root.pxar.didx");
        assert_eq!(stored_name("disk.img").unwrap(), "disk.img.fidx");
        assert_eq!(stored_name("vm.conf").unwrap(), "vm.conf.blob");
        assert_eq!(stored_name("root.pxar.didx").unwrap(), "root.pxar.didx");
        for bad in ["root", "root.tar", "../x.pxar", "a/b.pxar", ".pxar", ""] {
            assert!(stored_name(bad).is_err(), "{bad}");
        }
    }
}
