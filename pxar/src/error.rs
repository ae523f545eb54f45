//! What can go wrong with an archive, with the evidence.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which stream of an archive an offset counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// A unified archive, or the metadata stream of a split one.
    Archive,
    /// The payload stream of a split archive.
    Payload,
    /// A catalog.
    Catalog,
}

impl std::fmt::Display for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Archive => "archive",
            Self::Payload => "payload stream",
            Self::Catalog => "catalog",
        })
    }
}

/// How bytes break the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The input ends before the item does.
    #[error("the input ends inside {item}")]
    Truncated {
        /// What was being read.
        item: &'static str,
    },
    /// A type number the format does not have.
    #[error("unknown item type {found:#018x}")]
    UnknownItem {
        /// The number.
        found: u64,
    },
    /// An item that exists but must not stand here.
    #[error("{found} where {expected} was expected")]
    UnexpectedItem {
        /// The item.
        found: &'static str,
        /// What the grammar allows.
        expected: &'static str,
    },
    /// A size the item can't have.
    #[error("{item} with an impossible size of {full_size} bytes")]
    ItemSize {
        /// The item.
        item: &'static str,
        /// Its `full_size` field.
        full_size: u64,
    },
    /// An attribute that may exist once was there again.
    #[error("second {item} for one entry")]
    Repeated {
        /// The item.
        item: &'static str,
    },
    /// FORMAT_VERSION holds a number that no reader knows.
    #[error("format version {found} is not known")]
    UnknownVersion {
        /// The number.
        found: u64,
    },
    /// A file name or link path that could leave its folder.
    #[error("{what} {name:?} {reason}")]
    Name {
        /// Which string.
        what: &'static str,
        /// Its bytes, unprintable ones escaped.
        name: PathBuf,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A string without its terminating NUL, or with one inside.
    #[error("{item} is not a string that ends with its only NUL")]
    Unterminated {
        /// The item.
        item: &'static str,
    },
    /// Type bits in `mode` that do not go with the items of the entry.
    #[error("mode {mode:o} does not fit an entry that {shape}")]
    Mode {
        /// The stored mode.
        mode: u64,
        /// What the items say.
        shape: &'static str,
    },
    /// The payload stream does not hold what the metadata stream refers to.
    #[error("the payload at offset {offset} has {found} bytes, but {expected} are referred to")]
    PayloadSize {
        /// Offset of the PAYLOAD header.
        offset: u64,
        /// Size according to the header.
        found: u64,
        /// Size according to the reference.
        expected: u64,
    },
    /// Anything else, in words.
    #[error("{0}")]
    Other(&'static str),
}

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes of an archive or catalog break the format.
    #[error("the {stream} is damaged at offset {offset}: {damage}")]
    Damaged {
        /// Which stream.
        stream: Stream,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        damage: Damage,
    },
    /// The bytes of an archive or catalog could not be read.
    #[error("can't read the {stream} at offset {offset}: {source}")]
    Read {
        /// Which stream.
        stream: Stream,
        /// Where in it, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The bytes of an archive or catalog could not be written.
    #[error("can't write the {stream} at offset {offset}: {source}")]
    Write {
        /// Which stream.
        stream: Stream,
        /// Where in it, in bytes.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A system call on a file failed.
    #[error("can't {action} {path:?}: {source}")]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// On which file: below the source when creating, in the archive when extracting.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A name that must not get into an archive, or out of one.
    #[error("{name:?} can't be used as a name: it {reason}")]
    InvalidName {
        /// The name.
        name: PathBuf,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Metadata that the format can't hold.
    #[error("metadata of {name:?} can't be stored: {reason}")]
    Unstorable {
        /// The entry's name.
        name: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// A file's content had another size than announced.
    #[error("the content of {path:?} has {found} bytes instead of {expected}")]
    ContentSize {
        /// The file.
        path: PathBuf,
        /// Bytes that were announced.
        expected: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The calls of an encoder or catalog writer came in an impossible order.
    #[error("archive writer misused: {0}")]
    Misuse(&'static str),
    /// An earlier write failed, so the stream is not what the encoder believes.
    #[error("an earlier write of this archive failed, it can't be continued")]
    Broken,
    /// Something in the target folder is in the way.
    #[error("{path:?} exists already and is {found}: remove it or allow overwriting")]
    Exists {
        /// Path in the archive.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// A hardlink to something this extraction did not create.
    #[error(
        "{path:?} is a hardlink to {target:?}, which this extraction did not create as a regular file"
    )]
    HardlinkTarget {
        /// Path of the link in the archive.
        path: PathBuf,
        /// Path of its target in the archive.
        target: PathBuf,
    },
    /// More entries in open directories than allowed.
    #[error(
        "{path:?}: more than {entries_max} entries in the directories on this path; exclude some or raise the limit (entries-max)"
    )]
    TooManyEntries {
        /// The directory that broke the limit.
        path: PathBuf,
        /// The limit.
        entries_max: usize,
    },
    /// The source is on a file system whose files are not data.
    #[error("{path:?} is on a virtual file system (magic {magic:#x}), which can't be archived")]
    VirtualFileSystem {
        /// The source.
        path: PathBuf,
        /// The file system's magic number.
        magic: u64,
    },
    /// A pattern that can't be understood.
    #[error("pattern {pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: &'static str,
    },
    /// A path that does not exist in an archive or catalog.
    #[error("{path:?} not found in the {stream}")]
    NotFound {
        /// Where it was looked for.
        stream: Stream,
        /// The path.
        path: PathBuf,
    },
    /// A path or entry of another kind than the operation needs.
    #[error("{path:?} is not a {expected}")]
    WrongKind {
        /// The path or name.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The operation was aborted through its monitor.
    #[error("aborted")]
    Aborted,
}

impl Error {
    /// Whether the archive's or catalog's bytes are wrong (and not the file system, or the caller).
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether something that was asked for does not exist.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::File { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// Whether trying again without a change can succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } | Self::File { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::Interrupted
                        | io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::ResourceBusy
                )
            }
            _ => false,
        }
    }

    /// Whether the caller's monitor asked to stop.
    #[must_use]
    pub fn is_aborted(&self) -> bool {
        matches!(self, Self::Aborted)
    }

    pub(crate) fn file(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::File { action, path: path_of(path), source: source.into() }
    }
}

/// Bytes as a path, for messages.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    Path::new(OsStr::from_bytes(bytes)).to_path_buf()
}
