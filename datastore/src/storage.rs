//! The thin layer between the datastore and the file system.
//!
//! Every file operation of this crate goes through [`Storage`], so that a test can put a file system
//! in its place that forgets what was not synced, tears writes or runs full. Locks are the one
//! exception: they are state of the kernel, not of the disk (see [`crate::lock`]).
//!
//! What the callers rely on, and an implementation must give:
//!
//! * [`StorageFile::sync`] makes the bytes of that file durable, nothing else;
//! * [`Storage::rename`] replaces its target in one step for every reader, and is durable after
//!   [`Storage::sync_dir`] of the folder (or [`Storage::sync_filesystem`]);
//! * [`Storage::create_new`] fails if the name exists;
//! * no operation follows a symbolic link in the last component of a path that it creates.

mod real;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Result};

pub use real::{RealStorage, owner_for_new_files};

/// What kind of thing a name stands for; symbolic links are not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Symlink,
    /// Anything else.
    Other,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name; names that are not UTF-8 are never ours and come with `None`.
    pub name: Option<String>,
    /// What it is.
    pub kind: Kind,
    /// Inode number: the order in which files lie on the disk, roughly.
    pub inode: u64,
}

/// What is known of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Length in bytes.
    pub len: u64,
    /// Inode number.
    pub inode: u64,
    /// Number of the file system that it is on.
    pub device: u64,
    /// Last access, seconds since 1970.
    pub atime: i64,
    /// Last change of content, seconds since 1970.
    pub mtime: i64,
    /// Permission bits.
    pub mode: u32,
    /// Number of the user that it belongs to.
    pub uid: u32,
    /// Number of the group that it belongs to.
    pub gid: u32,
}

/// A file open for reading at any position.
pub trait ReadAt: Send + Sync {
    /// Fills `buffer` from `offset` on as far as the file goes; the number of bytes read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Length of the file in bytes.
    fn len(&self) -> io::Result<u64>;

    /// True for an empty file.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// A file being written.
pub trait StorageFile: Send {
    /// Appends bytes, or writes them where the last write ended.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Writes bytes at a position and leaves the appending position alone.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the content durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file system as the datastore uses it. All paths are absolute.
pub trait Storage: Send + Sync {
    /// The whole content of a file, at most `limit` bytes (longer is an error).
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// Opens a file for reading.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>>;
    /// Creates a file that must not exist.
    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn StorageFile>>;
    /// Renames, replacing the target.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes one folder, which must not exist.
    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()>;
    /// The names in a folder, in the order of the folder, without `.` and `..`.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// Opens a folder to work on many names in it.
    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn StorageDir>>;
    /// What is known of a name; links are not followed.
    fn meta(&self, path: &Path) -> io::Result<Meta>;
    /// Sets the time of last access to now and leaves the rest alone; links are not followed.
    fn touch(&self, path: &Path) -> io::Result<()>;
    /// Sets the permission bits of a file or folder. The caller has made sure that it is no link.
    fn set_mode(&self, _path: &Path, _mode: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Gives a name to a user and a group; links are not followed.
    fn set_owner(&self, _path: &Path, _uid: u32, _gid: u32) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    /// Makes the names in a folder durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything durable on the file system that holds `path`.
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        self.open_filesystem(path)?.sync()
    }
    /// Opens the file system that holds `path`, to sync it later.
    fn open_filesystem(&self, path: &Path) -> io::Result<Box<dyn FilesystemHandle>>;
    /// Makes the next read of a file come from the disk, as far as the system allows it: what was
    /// written but never reached the disk must not be proved from memory.
    fn forget_cached(&self, path: &Path) -> io::Result<()>;
}

/// A file system held open by a session of writing.
///
/// The system writes back in the background and reports what failed once to each descriptor that
/// was open by then. A descriptor that is opened only for the sync may come too late to be told, so
/// whoever relies on a sync opens the file system before its first write.
pub trait FilesystemHandle: Send + Sync {
    /// Makes everything durable, and fails if anything since the opening could not be written.
    fn sync(&self) -> io::Result<()>;
}

/// An open folder: what is done to many names in it needs no look-up of the way there each time.
pub trait StorageDir: Send {
    /// The names in the folder, in the order of the folder, without `.` and `..`. Inode and kind
    /// come with the name and cost no further look.
    fn list(&mut self) -> io::Result<Vec<Entry>>;
    /// As [`Storage::meta`], of a name in this folder.
    fn meta(&self, name: &str) -> io::Result<Meta>;
    /// As [`Storage::touch`], of a name in this folder.
    fn touch(&self, name: &str) -> io::Result<()>;
    /// As [`Storage::remove_file`], of a name in this folder.
    fn remove_file(&self, name: &str) -> io::Result<()>;
}

/// A shared storage.
pub type SharedStorage = Arc<dyn Storage>;

/// A name next to `path` that no listing takes for an archive or chunk:
/// the last extension is replaced by `tmp_` and six letters (`docs/formats/datastore.md`).
pub fn temp_path(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut value = COUNTER.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (u64::from(std::process::id()) << 17)
        ^ std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos() as u64);
    let mut extension = String::from("tmp_");
    for _ in 0..6 {
        value = value.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let letter = LETTERS.get((value >> 59) as usize).copied().unwrap_or(b'a');
        extension.push(char::from(letter));
    }
    path.with_extension(extension)
}

/// Whether a replaced file must survive a power cut as soon as the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A later sync of the file system takes care of it.
    Later,
    /// The content is synced before the rename: whenever the name is there, the content is. A later
    /// sync of the file system takes care of the name.
    Content,
    /// The file is synced before the rename and its folder after it.
    Now,
}

/// Writes a file under a temporary name and renames it into place, so that every reader sees the
/// old content or the new one, complete. On an error nothing but the old content is left.
pub fn replace_file(
    storage: &dyn Storage,
    path: &Path,
    content: &[&[u8]],
    mode: u32,
    durability: Durability,
) -> Result<()> {
    let (temp, mut file) = create_temp(storage, path, mode)?;
    let write = || -> Result<()> {
        for part in content {
            file.write_all(part).map_err(|e| Error::io("write", &temp, e))?;
        }
        if durability != Durability::Later {
            file.sync().map_err(|e| Error::io("sync", &temp, e))?;
        }
        drop(file);
        storage.rename(&temp, path).map_err(|e| Error::io("rename", &temp, e))
    };
    if let Err(error) = write() {
        // The first error is the one to report; a leftover is harmless.
        let _ = storage.remove_file(&temp);
        return Err(error);
    }
    if durability == Durability::Now
        && let Some(dir) = path.parent()
    {
        storage.sync_dir(dir).map_err(|e| Error::io("sync", dir, e))?;
    }
    Ok(())
}

/// Creates a file with a fresh temporary name beside `path`.
pub fn create_temp(
    storage: &dyn Storage,
    path: &Path,
    mode: u32,
) -> Result<(PathBuf, Box<dyn StorageFile>)> {
    // A name that is taken is another process's work or a leftover: try another one.
    for _ in 0..16 {
        let temp = temp_path(path);
        match storage.create_new(&temp, mode) {
            Ok(file) => return Ok((temp, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io("create", &temp, error)),
        }
    }
    Err(Error::io("create", temp_path(path), io::ErrorKind::AlreadyExists.into()))
}

/// Removes a folder and everything in it; a name that vanishes meanwhile is fine.
pub fn remove_tree(storage: &dyn Storage, path: &Path) -> Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    let entries = match storage.list(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", path, error)),
    };
    for entry in entries {
        let Some(name) = entry.name else {
            return Err(Error::Refused {
                reason: format!(
                    "{} holds a name that is not text; remove it by hand",
                    path.display()
                ),
            });
        };
        let child = path.join(name);
        if entry.kind == Kind::Dir {
            remove_tree(storage, &child)?;
        } else {
            gone(storage.remove_file(&child)).map_err(|e| Error::io("remove", &child, e))?;
        }
    }
    gone(storage.remove_dir(path)).map_err(|e| Error::io("remove", path, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_replace_the_extension() {
        let temp = temp_path(Path::new("/a/index.json.blob"));
        let name = temp.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("index.json.tmp_"), "{name}");
        assert_eq!(name.len(), "index.json.tmp_".len() + 6);
        assert_ne!(temp, temp_path(Path::new("/a/index.json.blob")));
    }

    #[test]
    fn a_failed_replace_leaves_the_old_content_and_no_leftover() {
        let dir = tempfile::tempdir().unwrap();
        let storage = RealStorage::new(dir.path()).unwrap();
        let path = dir.path().join("notes");
        replace_file(&storage, &path, &[b"one"], 0o644, Durability::Now).unwrap();
        // A folder cannot be replaced by a file.
        let blocked = dir.path().join("blocked");
        std::fs::create_dir(&blocked).unwrap();
        assert!(replace_file(&storage, &blocked, &[b"two"], 0o644, Durability::Now).is_err());
        assert_eq!(storage.read(&path, 10).unwrap(), b"one");
        let mut names: Vec<_> =
            storage.list(dir.path()).unwrap().into_iter().map(|e| e.name.unwrap()).collect();
        names.sort();
        assert_eq!(names, ["blocked", "notes"]);
        assert!(storage.read(&path, 2).is_err(), "the limit holds");
    }
}
