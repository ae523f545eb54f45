//! What can go wrong in a backup or restore session.

use std::io;
use std::path::{Path, PathBuf};

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong in a backup or restore session.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The datastore, or data in it.
    #[error(transparent)]
    Datastore(#[from] datastore::Error),
    /// The file archive, or the files that it is made of.
    #[error(transparent)]
    Archive(#[from] pxar::Error),
    /// A source or target that cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb: "read", "create" …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A request that makes no sense or would do harm.
    #[error("{reason}")]
    Refused {
        /// Why, and what to do instead.
        reason: String,
    },
    /// The operation was asked to stop.
    #[error("aborted")]
    Aborted,
    /// A thread of this program died; nothing was published.
    #[error("a worker thread failed; the backup was given up")]
    WorkerDied,
}

impl Error {
    /// An operating system error with its object.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        Error::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// A refusal.
    pub fn refused(reason: impl Into<String>) -> Error {
        Error::Refused { reason: reason.into() }
    }

    /// True if the object asked for is simply not there.
    pub fn is_missing(&self) -> bool {
        match self {
            Error::Datastore(error) => error.is_missing(),
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// True if the same call may work later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Datastore(error) if error.is_retryable())
    }

    /// True if stored bytes were found to be wrong.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Error::Datastore(error) if error.is_damaged())
    }
}
