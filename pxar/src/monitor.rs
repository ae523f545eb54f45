//! How long operations report, and how they are told to stop.

use std::path::PathBuf;

use crate::error::Error;

/// Something worth telling the user that did not stop the work.
#[derive(Debug)]
#[non_exhaustive]
pub enum Warning {
    /// An entry is not in the archive: it vanished, or may not be read.
    Skipped {
        /// Path in the source.
        path: PathBuf,
        /// What failed.
        error: Error,
    },
    /// A file became shorter while it was read; zeros fill the rest.
    Shrunk {
        /// Path in the source.
        path: PathBuf,
        /// How many zero bytes were written.
        missing_bytes: u64,
    },
    /// A file became longer while it was read; the archive has its size from before.
    Grown {
        /// Path in the source.
        path: PathBuf,
    },
    /// Contents of a mount point are not in the archive.
    MountPoint {
        /// Path in the source.
        path: PathBuf,
    },
    /// Some metadata of an entry are not in the archive, or were not restored.
    MetadataSkipped {
        /// Path of the entry.
        path: PathBuf,
        /// Which, and why.
        reason: String,
    },
    /// A line of a `.pxarexclude` file, or the whole file, is not used.
    ExcludeIgnored {
        /// The file.
        path: PathBuf,
        /// Which line, and why.
        reason: String,
    },
    /// Extraction of an entry failed and goes on with the next.
    Failed(Error),
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Skipped { path, error } => write!(f, "skipped {path:?}: {error}"),
            Self::Shrunk { path, missing_bytes } => {
                write!(
                    f,
                    "{path:?} shrank while it was read: {missing_bytes} bytes stored as zeros"
                )
            }
            Self::Grown { path } => {
                write!(f, "{path:?} grew while it was read: stored with its size from before")
            }
            Self::MountPoint { path } => write!(f, "skipping mount point {path:?}"),
            Self::MetadataSkipped { path, reason } => write!(f, "{path:?}: {reason}"),
            Self::ExcludeIgnored { path, reason } => write!(f, "{path:?}: {reason}"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

/// Follows a running creation or extraction. All methods may be called very often and should be
/// cheap.
pub trait Monitor {
    /// Work on the next entry begins; `path` starts with `/`, the root is `/`.
    fn entry(&self, path: &[u8]) {
        let _ = path;
    }

    /// So many bytes of file content were moved since the last call.
    fn content(&self, bytes: u64) {
        let _ = bytes;
    }

    /// Something went wrong that does not stop the work.
    fn warning(&self, warning: &Warning) {
        let _ = warning;
    }

    /// Whether to stop; asked before each entry and at least every few MiB of content.
    fn is_aborted(&self) -> bool {
        false
    }
}

/// A monitor that ignores everything and never aborts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Monitor for Silent {}
