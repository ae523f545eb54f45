//! State files that are whole after any crash, and locks that end with their process.
//!
//! [`replace`] writes to a temporary name, fsyncs, renames and fsyncs the folder: a reader finds
//! the old content or the new, never a mixture, also after a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Named, Result};

/// Replaces `path` by `content`, atomically and durably.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    // Every writer of a state file holds the lock that guards it, so one name is enough, and a
    // leftover of a killed process is simply overwritten.
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = File::create(&temporary).named(&temporary)?;
    file.write_all(content).named(&temporary)?;
    file.sync_all().named(&temporary)?;
    drop(file);
    fs::rename(&temporary, path).named(path)?;
    sync_folder(path)
}

/// Makes creation, renaming or removal of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder).and_then(|folder| folder.sync_all()).named(folder)
}

/// Writes `value` as JSON, atomically and durably.
pub(crate) fn replace_json<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| Error::Malformed {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })?;
    text.push(b'\n');
    replace(path, &text)
}

/// Reads a JSON state file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).named(path)?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::Malformed { path: path.to_path_buf(), reason: error.to_string() })
}

/// Opens (and creates) a file to lock.
pub(crate) fn open_lock_file(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).named(path)
}

/// Takes an exclusive lock if nobody holds it.
pub(crate) fn try_lock(path: &Path) -> Result<Option<Flock<File>>> {
    let file = open_lock_file(path)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(Error::Io { path: path.to_path_buf(), source: errno.into() }),
    }
}

/// An unpredictable number, for identities.
pub(crate) fn random_u64() -> Result<u64> {
    use std::io::Read;
    let path = Path::new("/dev/urandom");
    let mut bytes = [0u8; 8];
    File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).named(path)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Check value used by every binary format of this crate (CRC-64/XZ).
pub(crate) fn crc64(parts: &[&[u8]]) -> u64 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Xz);
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}
