//! What lies in a folder, and whether two folders are the same.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::world::{has_program, is_root, note};

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Folder,
    File,
    Link,
    Fifo,
    Socket,
    Device,
}

/// One entry with everything that a backup must keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the root, which is empty itself.
    pub path: PathBuf,
    pub kind: Kind,
    /// File type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Number of a device.
    pub device: u64,
    pub size: u64,
    /// Of a file's content.
    pub sha256: String,
    /// Of a link.
    pub target: Vec<u8>,
    /// Extended attributes that belong to the content, access control lists among them.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first of the names that this file has in the tree.
    pub first_name: PathBuf,
}

/// SHA-256 of a file.
pub fn sha256_of_file(path: &Path) -> String {
    let mut file = fs::File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).unwrap();
        if count == 0 {
            return hex::encode(hasher.finalize());
        }
        hasher.update(&buffer[..count]);
    }
}

/// SHA-256 of bytes.
pub fn sha256(content: &[u8]) -> String {
    hex::encode(Sha256::digest(content))
}

/// Everything in and below a folder, sorted by path.
pub fn list(root: &Path) -> Vec<Entry> {
    let mut entries = Vec::new();
    collect(root, PathBuf::new(), &mut entries);
    entries.sort_by(|left, right| left.1.path.cmp(&right.1.path));
    let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    entries
        .into_iter()
        .map(|(identity, mut entry)| {
            let first = first_names.entry(identity).or_insert_with(|| entry.path.clone());
            entry.first_name.clone_from(first);
            entry
        })
        .collect()
}

fn collect(root: &Path, relative: PathBuf, entries: &mut Vec<((u64, u64), Entry)>) {
    let path = root.join(&relative);
    let meta = fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let ty = meta.file_type();
    let kind = if ty.is_dir() {
        Kind::Folder
    } else if ty.is_file() {
        Kind::File
    } else if ty.is_symlink() {
        Kind::Link
    } else if ty.is_fifo() {
        Kind::Fifo
    } else if ty.is_socket() {
        Kind::Socket
    } else {
        Kind::Device
    };
    let is_file = kind == Kind::File;
    let mut xattrs = BTreeMap::new();
    if matches!(kind, Kind::File | Kind::Folder) {
        for name in xattr::list(&path).into_iter().flatten() {
            let name = name.as_bytes().to_vec();
            let belongs = name.starts_with(b"user.")
                || name.starts_with(b"trusted.")
                || name.starts_with(b"system.posix_acl_")
                || name == b"security.capability";
            if let Some(value) = xattr::get(&path, OsStr::from_bytes(&name)).unwrap()
                && belongs
            {
                xattrs.insert(name, value);
            }
        }
    }
    entries.push((
        (meta.dev(), meta.ino()),
        Entry {
            kind,
            mode: meta.mode(),
            uid: meta.uid(),
            gid: meta.gid(),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            device: if kind == Kind::Device { meta.rdev() } else { 0 },
            size: if is_file { meta.len() } else { 0 },
            sha256: if is_file { sha256_of_file(&path) } else { String::new() },
            target: if kind == Kind::Link {
                fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
            } else {
                Vec::new()
            },
            xattrs,
            first_name: PathBuf::new(),
            path: relative.clone(),
        },
    ));
    if kind == Kind::Folder {
        for found in fs::read_dir(&path).unwrap() {
            collect(root, relative.join(found.unwrap().file_name()), entries);
        }
    }
}

/// Fails with a readable difference unless both listings are the same.
#[track_caller]
pub fn assert_same_entries(wanted: &[Entry], found: &[Entry]) {
    let by_path = |entries: &[Entry]| -> BTreeMap<PathBuf, Entry> {
        entries.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
    };
    let (wanted, found) = (by_path(wanted), by_path(found));
    let mut difference = String::new();
    for (path, entry) in &wanted {
        match found.get(path) {
            None => writeln!(difference, "missing: {path:?}").unwrap(),
            Some(other) if other != entry => {
                writeln!(difference, "differs:\n  wanted {entry:?}\n  found  {other:?}").unwrap();
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !wanted.contains_key(*path)) {
        writeln!(difference, "too many: {path:?}").unwrap();
    }
    assert!(difference.is_empty(), "the trees differ\n{difference}");
}

/// Fails unless two folders are the same for us and for `rsync`, which is not ours.
#[track_caller]
pub fn assert_same_trees(wanted: &Path, found: &Path) {
    assert_same_entries(&list(wanted), &list(found));
    if !has_program("rsync") {
        note("rsync is not installed; only our own comparison was made");
        return;
    }
    let slash = |path: &Path| {
        let mut path = path.as_os_str().to_owned();
        path.push("/");
        path
    };
    let output = Command::new("rsync")
        .args(["-nacAXH", "--delete", "--itemize-changes"])
        .args([slash(wanted), slash(found)])
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    // A user who is not root can't read all attributes; rsync says so and goes on.
    assert!(stdout.is_empty(), "rsync finds differences:\n{stdout}{stderr}");
    assert!(output.status.success() || !is_root(), "rsync failed:\n{stderr}");
}

/// What lies in folders, for a comparison of before and after: names, kinds, content.
pub fn picture(roots: &[&Path]) -> BTreeMap<PathBuf, String> {
    picture_of(roots, true)
}

/// The same without the chunks of datastores.
pub fn picture_without_chunks(roots: &[&Path]) -> BTreeMap<PathBuf, String> {
    picture_of(roots, false)
}

fn picture_of(roots: &[&Path], with_chunks: bool) -> BTreeMap<PathBuf, String> {
    let mut picture = BTreeMap::new();
    let mut folders: Vec<PathBuf> = roots.iter().map(|root| root.to_path_buf()).collect();
    while let Some(folder) = folders.pop() {
        let is_chunk_store = folder.file_name() == Some(OsStr::new(".chunks"));
        if is_chunk_store && !with_chunks {
            continue;
        }
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(_) if folder.is_file() => {
                picture.insert(folder.clone(), sha256_of_file(&folder));
                continue;
            }
            Err(_) => continue,
        };
        for entry in entries {
            let entry = entry.unwrap();
            let path = entry.path();
            let ty = entry.file_type().unwrap();
            if ty.is_dir() {
                // A chunk folder that is empty says nothing, and there are 65536.
                if !is_chunk_store {
                    picture.insert(path.clone(), "folder".to_owned());
                }
                folders.push(path);
            } else if ty.is_file() {
                picture.insert(path.clone(), sha256_of_file(&path));
            } else {
                picture.insert(path, "other".to_owned());
            }
        }
    }
    picture
}

/// The comparison itself: each kind of difference must be found, or the tests above prove nothing.
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::tree::{set_mtime, write};

    fn differs(change: impl FnOnce(&Path)) {
        let dir = tempfile::Builder::new().prefix("capstan-e2e-").tempdir().unwrap();
        let make = |name: &str| {
            let root = dir.path().join(name);
            write(root.join("file"), "content");
            write(root.join("other"), "content");
            fs::hard_link(root.join("file"), root.join("second-name")).unwrap();
            std::os::unix::fs::symlink("file", root.join("link")).unwrap();
            for entry in ["file", "other", "link", ""] {
                set_mtime(&root.join(entry), 1_600_000_000, 1);
            }
            root
        };
        let (wanted, found) = (make("wanted"), make("found"));
        assert_same_trees(&wanted, &found);
        change(&found);
        set_mtime(&found, 1_600_000_000, 1);
        let compared = std::panic::catch_unwind(|| assert_same_trees(&wanted, &found));
        assert!(compared.is_err(), "a difference was not found");
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let keep_time = |path: &Path| set_mtime(path, 1_600_000_000, 1);
        differs(|root| fs::remove_file(root.join("other")).unwrap());
        differs(|root| write(root.join("one-more"), ""));
        differs(|root| {
            fs::write(root.join("other"), "CONTENT").unwrap();
            keep_time(&root.join("other"));
        });
        differs(|root| {
            fs::set_permissions(root.join("other"), fs::Permissions::from_mode(0o4711)).unwrap();
        });
        differs(|root| set_mtime(&root.join("other"), 1_600_000_000, 2));
        differs(|root| set_mtime(&root.join("link"), 1_600_000_000, 2));
        differs(|root| {
            fs::remove_file(root.join("second-name")).unwrap();
            fs::copy(root.join("file"), root.join("second-name")).unwrap();
            keep_time(&root.join("second-name"));
        });
        differs(|root| {
            fs::remove_file(root.join("link")).unwrap();
            std::os::unix::fs::symlink("other", root.join("link")).unwrap();
            keep_time(&root.join("link"));
        });
        differs(|root| xattr::set(root.join("other"), "user.x", b"").unwrap());
    }
}
