//! Loading a catalog: its index as far as it reaches, then the log from there on.
//!
//! A log that has grown much since its index was made, or has none, gets one first; where that fails,
//! memory holds what it would. The log is locked only to see where it ends: what lies before does not
//! change any more.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::chunks::CoveredChunks;
use super::content::CatalogContent;
use super::index::{BuildError, Builder, ChunkIndex};
use super::log::{Extent, read_log, read_records};
use crate::error::{Error, IoResultExt, Result};
use crate::media::inventory::MediaId;
use crate::media::state::{LOCK_WAIT, StateDir};

pub(super) fn open_log(state: &StateDir, media: &MediaId, append: bool) -> Result<(File, PathBuf)> {
    let path = state.catalog_file(&media.label.uuid);
    match OpenOptions::new().read(true).append(append).open(&path) {
        Ok(file) => Ok((file, path)),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            Err(Error::CatalogMissing { tape: media.label.label_text.clone() })
        }
        Err(e) => Err(Error::io(path, e)),
    }
}

/// How long the log is while nobody is in the middle of a commit. What lies before does not change
/// any more, so reading it needs no lock, however long it takes.
pub(super) fn whole_commits(file: File, path: &Path) -> Result<(File, u64)> {
    let locked = lock_file(file, path)?;
    let len = locked.metadata().at(path)?.len();
    Ok((unlock_file(locked, path)?, len))
}

/// The snapshots in a tape's catalog with their tape files, by datastore; chunks are neither kept nor
/// looked at if there is an index.
pub(super) fn load_without_chunks(state: &StateDir, media: &MediaId) -> Result<CatalogContent> {
    let (file, path) = open_log(state, media, false)?;
    let (file, len) = whole_commits(file, &path)?;
    let source = Source { state, media, file: &file, path: &path };
    Ok(source.read(len, source.open_index(), CatalogContent::default)?.content)
}

/// A log that is being loaded.
pub(super) struct Source<'a> {
    pub state: &'a StateDir,
    pub media: &'a MediaId,
    pub file: &'a File,
    pub path: &'a Path,
}

/// What of a log is in memory, and what is where it was.
pub(super) struct Loaded {
    pub content: CatalogContent,
    pub chunks: CoveredChunks,
    pub extent: Extent,
}

/// An index with what it says besides chunks.
type Opened = (ChunkIndex, CatalogContent);

impl Source<'_> {
    fn open_index(&self) -> Option<Opened> {
        let path = self.state.catalog_index_file(&self.media.label.uuid);
        ChunkIndex::open(&path, self.file, self.media).ok()
    }

    /// Makes the index of the first `end` bytes.
    pub fn build(&self, end: u64) -> Result<Opened, BuildError> {
        Builder {
            path: &self.state.catalog_index_file(&self.media.label.uuid),
            media: self.media,
            log: self.file,
            log_path: self.path,
            end,
            damaged: None,
        }
        .build()
    }

    /// Loads the first `end` bytes. If so many of them are behind the index, it is made anew.
    pub fn load(&self, end: u64, tail_bytes_max: u64) -> Result<Loaded> {
        let mut opened = self.open_index();
        let covered = opened.as_ref().map_or(0, |(index, _)| index.covered_bytes());
        if end.saturating_sub(covered) > tail_bytes_max {
            match self.build(end) {
                Ok(built) => opened = Some(built),
                Err(BuildError::Log(e)) => return Err(e),
                // The log can be read all the same.
                Err(BuildError::Cache) => {}
            }
        }
        self.read(end, opened, CatalogContent::with_chunks)
    }

    /// Reads what the index does not cover.
    fn read(
        &self,
        end: u64,
        opened: Option<Opened>,
        empty: fn() -> CatalogContent,
    ) -> Result<Loaded> {
        let mut chunks = CoveredChunks::nothing(self.state, self.media);
        let mut content = empty();
        let extent = match opened {
            // Another process may have made an index of more than is wanted here.
            Some((index, head)) if index.covered_bytes() <= end => {
                let covered = index.covered_bytes();
                let keeps_chunks = content.recent().is_some();
                content = head;
                if keeps_chunks {
                    content.keep_chunks();
                }
                chunks.set_index(index);
                let (file, path, media) = (self.file, self.path, self.media);
                read_records(file, path, media, covered, end, &mut content, &mut |_, _| {})?
            }
            _ => {
                let (file, path, media) = (self.file, self.path, self.media);
                read_log(file, path, media, end, &mut content, &mut |_, _| {})?
            }
        };
        Ok(Loaded { content, chunks, extent })
    }
}

/// Locks a log as whoever appends to it does.
pub(super) fn lock_file(file: File, path: &Path) -> Result<Flock<File>> {
    const POLL: Duration = Duration::from_millis(20);
    let mut file = file;
    let start = std::time::Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(locked) => return Ok(locked),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                if start.elapsed() >= LOCK_WAIT {
                    return Err(Error::Locked {
                        what: "media catalog".into(),
                        path: path.to_path_buf(),
                        waited_s: LOCK_WAIT.as_secs(),
                        holder: None,
                    });
                }
                file = back;
                std::thread::sleep(POLL);
            }
            Err((_, errno)) => return Err(Error::io(path, errno.into())),
        }
    }
}

/// Gives the lock back.
pub(super) fn unlock_file(file: Flock<File>, path: &Path) -> Result<File> {
    file.unlock().map_err(|(_, errno)| Error::io(path, errno.into()))
}
