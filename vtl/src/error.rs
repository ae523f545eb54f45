//! What can go wrong on the host side of an emulated library.
//!
//! Conditions that a host must see as sense data never come through here; these are for the doors
//! of [`crate::Library`].

use std::io;
use std::path::PathBuf;

use thiserror::Error as ThisError;

/// Result of the library's doors.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a door of the library did not do what it was asked for.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A library is created only in an empty or new folder.
    #[error("{dir}: the folder is not empty; choose a new one for the tape library")]
    NotEmpty {
        /// The folder.
        dir: PathBuf,
    },
    /// There is no emulated library in the folder.
    #[error("{dir}: no tape library here ({reason}); create one with `capstan vtl create`")]
    NotALibrary {
        /// The folder.
        dir: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// A state file does not hold what it must.
    #[error("{path}: malformed: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which field, and what was found.
        reason: String,
    },
    /// The options given make no library or cartridge.
    #[error("{reason}")]
    Options {
        /// Which option, and its limits.
        reason: String,
    },
    /// Not a bar code.
    #[error("{barcode:?} is no bar code: {reason}")]
    Barcode {
        /// What was given.
        barcode: String,
        /// The rule it breaks.
        reason: String,
    },
    /// The library has no cartridge of that name.
    #[error("{barcode}: no such cartridge in the library")]
    CartridgeUnknown {
        /// The bar code.
        barcode: String,
    },
    /// The library has a cartridge of that name already.
    #[error("{barcode}: the library has a cartridge with this bar code already")]
    CartridgeExists {
        /// The bar code.
        barcode: String,
    },
    /// The cartridge holds blocks that a drive encrypted.
    #[error(
        "{barcode}: a drive encrypted what is recorded from object {object} on; plain files can't hold that, so load the cartridge and read it through a drive with its key"
    )]
    Encrypted {
        /// The bar code.
        barcode: String,
        /// The first encrypted block.
        object: u64,
    },
    /// The cartridge is in a drive or in use elsewhere.
    #[error("{barcode}: {reason}")]
    CartridgeBusy {
        /// The bar code.
        barcode: String,
        /// Who holds it and what to do.
        reason: String,
    },
    /// Refusal to overwrite recorded data.
    #[error(
        "{barcode}: the cartridge is not blank ({objects} objects); force the import to overwrite it"
    )]
    CartridgeNotBlank {
        /// The bar code.
        barcode: String,
        /// How many objects are recorded.
        objects: u64,
    },
    /// No element of that kind is free.
    #[error("no free {kind}; move a cartridge out first")]
    NoFreeElement {
        /// "slot" or "import/export slot".
        kind: &'static str,
    },
    /// Somebody's cartridge is in the way.
    #[error("{place} holds {barcode}; take that out first")]
    Occupied {
        /// Which slot or drive.
        place: String,
        /// The bar code of what is in it.
        barcode: String,
    },
    /// No such drive or slot.
    #[error("the library has no {unit}")]
    UnitUnknown {
        /// What was asked for.
        unit: String,
    },
    /// Another process has the drive open.
    #[error("{unit} is in use by another process; wait until it ends")]
    UnitBusy {
        /// Which drive of which library.
        unit: String,
    },
    /// A record does not match its checksum, or cannot be found.
    #[error("{barcode}: object {object} at offset {offset} of its log is damaged: {reason}")]
    Damaged {
        /// The cartridge.
        barcode: String,
        /// Logical object number.
        object: u64,
        /// Byte offset in the log.
        offset: u64,
        /// What did not match.
        reason: &'static str,
    },
    /// The folder to import does not hold a cartridge.
    #[error("{path}: cannot be imported: {reason}")]
    Import {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The data does not fit.
    #[error("{barcode}: {needed_bytes} bytes do not fit a cartridge of {capacity_bytes} bytes")]
    TooSmall {
        /// The cartridge.
        barcode: String,
        /// What the data takes.
        needed_bytes: u64,
        /// What the cartridge holds.
        capacity_bytes: u64,
    },
    /// The target cannot wait for connections there.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Address and port.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Plain files have no partitions.
    #[error(
        "{barcode}: it has {partitions} partitions, and plain files have one; format it to one partition first"
    )]
    Partitioned {
        /// The cartridge.
        barcode: String,
        /// How many.
        partitions: u8,
    },
    /// The caller's [`crate::Progress`] asked to stop.
    #[error("aborted")]
    Aborted,
}

impl Error {
    /// The thing asked for does not exist.
    pub fn is_missing(&self) -> bool {
        match self {
            Error::CartridgeUnknown { .. }
            | Error::UnitUnknown { .. }
            | Error::NotALibrary { .. } => true,
            Error::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// The same call may work later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Error::UnitBusy { .. } | Error::CartridgeBusy { .. })
    }

    /// Stored data or state is damaged.
    pub fn is_damaged(&self) -> bool {
        matches!(self, Error::Damaged { .. } | Error::Malformed { .. })
    }
}

/// Names the file an I/O error belongs to.
pub(crate) trait Named<T> {
    /// Attaches `path`.
    fn named(self, path: &std::path::Path) -> Result<T>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, path: &std::path::Path) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.to_path_buf(), source })
    }
}

impl<T> Named<T> for nix::Result<T> {
    fn named(self, path: &std::path::Path) -> Result<T> {
        self.map_err(|errno| Error::Io { path: path.to_path_buf(), source: errno.into() })
    }
}
