//! What can go wrong on the disk side, with the evidence.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::{Digest, InvalidHex};
use crate::fingerprint::Fingerprint;

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong on the disk side.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// A verb: "open", "write", "rename" …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A folder is not a datastore, or not one that can be used.
    #[error("{} is not a usable datastore: {reason}", path.display())]
    NotADatastore {
        /// The folder.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// A name breaks the rules of its kind.
    #[error("invalid {kind} '{name}': {rule}")]
    InvalidName {
        /// What the name is for.
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Text that is no calendar event.
    #[error(
        "'{text}' is not a calendar event: {reason}; examples are daily, 'mon..fri 21:30', *-*-1 and 0/4:00 (every four hours)"
    )]
    BadCalendarEvent {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Text that is not a digest or fingerprint.
    #[error(transparent)]
    InvalidHex(#[from] InvalidHex),
    /// Something is there already and is never overwritten.
    #[error("{what} already exists")]
    Exists {
        /// The object.
        what: String,
    },
    /// Something is not there.
    #[error("{what} does not exist")]
    NotFound {
        /// The object.
        what: String,
    },
    /// Somebody else is using the object.
    #[error("{what} is in use: {holder}; try again later")]
    Locked {
        /// The object.
        what: String,
        /// Who may hold it.
        holder: &'static str,
    },
    /// Something must not be removed.
    #[error("{what} is protected; take its protection away first")]
    Protected {
        /// The object.
        what: String,
    },
    /// Bytes that are not what they should be.
    #[error("{what} is damaged: {reason}")]
    Damaged {
        /// The object: a file, or a part of one.
        what: String,
        /// Which check failed, with the values.
        reason: String,
    },
    /// A chunk that an index needs is not in the store.
    #[error("chunk {digest} is missing from the datastore")]
    ChunkMissing {
        /// Its digest.
        digest: Digest,
    },
    /// Data is encrypted and no key was given.
    #[error("{what} is encrypted: its key is needed (--keyfile)")]
    KeyNeeded {
        /// The object.
        what: String,
    },
    /// The given key is not the one that the data was made with.
    #[error("{what} was made with key {wanted}, but the given key is {given}")]
    WrongKey {
        /// The object.
        what: String,
        /// Fingerprint recorded with the data.
        wanted: Fingerprint,
        /// Fingerprint of the key at hand.
        given: Fingerprint,
    },
    /// A signature does not fit its manifest.
    #[error("the signature of {what} does not match: it was altered after it was signed")]
    BadSignature {
        /// The manifest.
        what: String,
    },
    /// A key file that cannot be used.
    #[error("key file: {reason}")]
    Key {
        /// What is wrong.
        reason: String,
    },
    /// A master key that cannot be used.
    #[error("master key: {reason}")]
    MasterKey {
        /// What is wrong.
        reason: String,
    },
    /// A passphrase did not open a key.
    #[error("wrong passphrase for key{}", hint.as_ref().map(|h| format!(" (hint: {h})")).unwrap_or_default())]
    Passphrase {
        /// The hint stored with the key.
        hint: Option<String>,
    },
    /// The cryptographic library failed.
    #[error("cryptography: {0}")]
    Crypto(#[from] openssl::error::ErrorStack),
    /// The request contradicts itself or a rule of the datastore.
    #[error("{reason}")]
    Refused {
        /// Why, and what to do instead.
        reason: String,
    },
    /// The operation was asked to stop.
    #[error("aborted")]
    Aborted,
}

impl Error {
    /// An operating system error with its object.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: io::Error) -> Error {
        Error::Io { action, path: path.as_ref().to_path_buf(), source }
    }

    /// A failed check with its object.
    pub fn damaged(what: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Damaged { what: what.into(), reason: reason.into() }
    }

    /// True if the object asked for is simply not there.
    pub fn is_missing(&self) -> bool {
        match self {
            Error::NotFound { .. } | Error::ChunkMissing { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// True if the same call may work later without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::Locked { .. })
    }

    /// True if the disk itself could not deliver the bytes, or the file system found its own
    /// structures damaged.
    pub fn is_unreadable(&self) -> bool {
        const CODES: [i32; 3] = [libc::EIO, libc::EUCLEAN, libc::EBADMSG];
        self.has_code(&CODES)
    }

    /// True if the system refused for a reason that says nothing of the data: no descriptors, no
    /// memory, no permission, a server that did not answer.
    pub fn is_inconclusive(&self) -> bool {
        const CODES: [i32; 9] = [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOMEM,
            libc::EACCES,
            libc::EPERM,
            libc::EAGAIN,
            libc::EINTR,
            libc::ESTALE,
            libc::ETIMEDOUT,
        ];
        self.has_code(&CODES)
    }

    fn has_code(&self, codes: &[i32]) -> bool {
        matches!(self, Error::Io { source, .. }
            if source.raw_os_error().is_some_and(|code| codes.contains(&code)))
    }

    /// True if stored bytes were found to be wrong.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Error::Damaged { .. } | Error::BadSignature { .. })
    }
}
