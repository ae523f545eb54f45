//! The journal of moves that the reference keeps while it moves groups between namespaces
//! (`docs/formats/locks.md`).
//!
//! An index that is renamed while a collector reads the store may be seen in neither place. So the
//! mover first writes down where each index is going to be, one absolute path a line, in
//! `move-journal` in the lock folder, under an exclusive `flock`. The collector marks what is
//! written there after everything else, and empties the file once the marks are in force. Lines that
//! were added meanwhile stay for the next run.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::Run;
use crate::error::{Error, Result};

/// Name of the file in the lock folder.
const JOURNAL_NAME: &str = "move-journal";
/// Longest wait for a mover, who only appends lines.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// A journal of a million moves is less.
const JOURNAL_BYTES_MAX: u64 = 256 << 20;

/// What the journal held.
#[derive(Default)]
pub(super) struct Journal {
    path: PathBuf,
    content: Vec<u8>,
}

impl Journal {
    /// Reads the journal; a missing one is empty.
    pub(super) fn read(run: &Run<'_>) -> Result<Journal> {
        let path = run.store.locks().dir().join(JOURNAL_NAME);
        let Some(mut file) = lock(run, &path)? else { return Ok(Journal::default()) };
        let content = read(&mut file, &path)?;
        Ok(Journal { path, content })
    }

    /// The indexes that were on the move.
    pub(super) fn indexes(&self) -> Result<Vec<PathBuf>> {
        let damaged = |reason: &str| Error::damaged(self.path.display().to_string(), reason);
        let text = std::str::from_utf8(&self.content).map_err(|_| damaged("it is not text"))?;
        let mut indexes = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if !line.starts_with('/') {
                return Err(damaged("it has a line that is not an absolute path"));
            }
            indexes.push(PathBuf::from(line));
        }
        Ok(indexes)
    }

    /// Empties the journal if nothing was added since it was read; lines that come twice are only
    /// marked twice.
    pub(super) fn empty(&self, run: &Run<'_>) -> Result<()> {
        if self.content.is_empty() {
            return Ok(());
        }
        let Some(mut file) = lock(run, &self.path)? else { return Ok(()) };
        if read(&mut file, &self.path)? == self.content {
            file.set_len(0).map_err(|e| Error::io("empty", &self.path, e))?;
        }
        Ok(())
    }
}

fn lock(run: &Run<'_>, path: &Path) -> Result<Option<Flock<File>>> {
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path, error)),
    };
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((back, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => {
                file = back;
                run.check()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                return Err(Error::Locked {
                    what: path.display().to_string(),
                    holder: "groups are being moved",
                });
            }
            Err((_, errno)) => return Err(Error::io("lock", path, errno.into())),
        }
    }
}

fn read(file: &mut Flock<File>, path: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = Read::by_ref(&mut **file).take(JOURNAL_BYTES_MAX + 1).read_to_end(&mut content);
    let count = read.map_err(|e| Error::io("read", path, e))?;
    if count as u64 > JOURNAL_BYTES_MAX {
        return Err(Error::damaged(path.display().to_string(), "it is too long to be a journal"));
    }
    Ok(content)
}
