//! What can go wrong on the tape side.
//!
//! Every variant carries its evidence: which tape, which file on it, which block, which chunk. The
//! readers of the on-tape formats know only their stream; whoever opened the file adds the place
//! with [`ResultExt::on_tape`], so that a message always leads an operator to a cartridge. Every message
//! that reaches one names the object and the next step; a test holds each variant to that.

mod advice;

use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;
use uuid::Uuid;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a block is not what its place in a tape file requires (`docs/formats/tape.md`, blocks).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[non_exhaustive]
pub enum BlockFault {
    /// The drive delivered another length than 262144 bytes.
    #[error("it has {bytes} bytes instead of 262144")]
    Length {
        /// Bytes that the drive delivered.
        bytes: usize,
    },
    /// The first eight bytes are not the block magic.
    #[error(
        "it does not start with the block magic (not written by this software, or an incompatible tape)"
    )]
    Magic,
    /// Blocks are missing, doubled or mixed up.
    #[error("it says that it is block {found} of its file")]
    Sequence {
        /// Number in the block.
        found: u32,
    },
    /// The size field is beyond the payload area.
    #[error("it claims {size} bytes of payload, more than a block can hold")]
    Size {
        /// Value of the field.
        size: u32,
    },
    /// Only the last block of a file may be empty.
    #[error("it is empty but not the last of its file")]
    Empty,
    /// Something follows the end marker where the filemark belongs.
    #[error("it follows the block that marks the end of the file")]
    AfterEnd,
}

/// An error of the tape side.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// Something went wrong in a certain file of a certain tape.
    #[error("tape {tape}, file {file}: {source}{}", advice::on_tape(source))]
    OnTape {
        /// Label text of the tape.
        tape: String,
        /// Number of the tape file, from 0.
        file: u64,
        /// What went wrong.
        source: Box<Error>,
    },
    /// What lies at the beginning of the tape is no label of ours.
    #[error(
        "the label of the tape in drive {drive} can't be read: {source}; the tape is damaged or another program's, and 'tape format' makes it blank if its data is not needed"
    )]
    LabelUnreadable {
        /// Name of the drive.
        drive: String,
        /// What is there instead.
        source: Box<Error>,
    },
    /// The drive or the way to it failed.
    #[error(transparent)]
    Drive(Box<crate::drive::Error>),
    /// The media changer failed.
    #[error(transparent)]
    Changer(Box<changer::Error>),
    /// The disk side failed.
    #[error(transparent)]
    Datastore(Box<datastore::Error>),
    /// A file of the state directory could not be used.
    #[error("{}: {source}{}", path.display(), advice::about_file(source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// An archive of a snapshot can't be read, or does not fit what was asked for.
    #[error(
        "archive {archive}: {reason}; 'snapshot files' and 'tape verify' show what a snapshot has and what of it is damaged"
    )]
    Archive {
        /// Its name in the snapshot.
        archive: String,
        /// What is wrong.
        reason: String,
    },
    /// Writing to the medium failed at its physical end.
    #[error(
        "the tape is full: no space left behind early warning; run the job again, it goes on with another tape"
    )]
    TapeFull,

    /// A block of a tape file is damaged or misplaced.
    #[error("block {block} is damaged: {fault}")]
    Block {
        /// Number that the block should have in its file, from 0.
        block: u32,
        /// What is wrong with it.
        fault: BlockFault,
    },
    /// The recorded data ends inside a file: there is no filemark.
    #[error(
        "the recorded data ends after block {blocks} without a filemark (power loss while writing?)"
    )]
    UnexpectedEndOfData {
        /// Blocks of the file that are there.
        blocks: u32,
    },
    /// A filemark came before the block that marks the end of the file.
    #[error(
        "the file ends after {blocks} blocks without an end marker (the job that wrote it was interrupted)"
    )]
    NoEndMarker {
        /// Blocks of the file that are there.
        blocks: u32,
    },
    /// A file was read on after a read error, or asked for its end before it was reached.
    #[error("internal error: tape file used {0}; please report this")]
    StreamMisuse(&'static str),
    /// A tape file holds no block at all.
    #[error("there is a filemark where a file should start")]
    StrayFilemark,
    /// The structure inside a tape file is malformed.
    #[error("{what}: {reason}")]
    Malformed {
        /// Which structure.
        what: &'static str,
        /// Which field, and what was found.
        reason: String,
    },
    /// The file has another type than expected.
    #[error("found a {found} where a {expected} belongs")]
    UnexpectedContent {
        /// Type wanted.
        expected: &'static str,
        /// Type found.
        found: &'static str,
    },
    /// The file's type is unknown.
    #[error("unknown content magic {}", hex::encode(magic))]
    UnknownContent {
        /// The eight bytes.
        magic: [u8; 8],
    },

    /// A media catalog breaks its own rules.
    #[error(
        "media catalog {}: at byte {offset}: {reason}; load its tape and rebuild it with 'tape catalog --force'",
        path.display()
    )]
    CatalogDamaged {
        /// The catalog file (or a name for one that is on tape).
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Which rule.
        reason: String,
    },
    /// A media catalog record would break the catalog's order.
    #[error(
        "media catalog of {tape}: {reason}; load the tape and rebuild it with 'tape catalog --force'"
    )]
    CatalogOrder {
        /// Label text or UUID of the tape.
        tape: String,
        /// Which rule.
        reason: String,
    },
    /// No catalog is known for a tape.
    #[error("there is no media catalog for tape {tape}; load it and run 'tape catalog'")]
    CatalogMissing {
        /// Label text of the tape.
        tape: String,
    },
    /// A catalog exists already.
    #[error("tape {tape} has a media catalog already; use --force to replace it")]
    CatalogExists {
        /// Label text of the tape.
        tape: String,
    },
    /// The inventory file is not readable.
    #[error(
        "inventory {}: {reason}; put it aside and run 'tape inventory --read-all-labels', which builds it from the tapes",
        path.display()
    )]
    InventoryDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// No such tape in the inventory.
    #[error(
        "tape {tape} is not in the inventory; 'tape media list' shows what is, 'tape inventory' takes tapes in"
    )]
    UnknownTape {
        /// Label text or UUID.
        tape: String,
    },
    /// Nothing was recorded yet about what a tape or drive went through.
    #[error(
        "there are no statistics of {what} {name} yet; they are recorded whenever a job has used it"
    )]
    NoStatistics {
        /// `tape` or `drive`.
        what: &'static str,
        /// As it was asked for.
        name: String,
    },
    /// Several tapes share a label text.
    #[error(
        "label text {label_text} belongs to several tapes in the inventory; name the tape by its UUID, one of {}",
        tapes.iter().map(Uuid::to_string).collect::<Vec<_>>().join(", ")
    )]
    AmbiguousLabel {
        /// The text.
        label_text: String,
        /// Media UUIDs of those that have it.
        tapes: Vec<Uuid>,
    },
    /// A tape that holds data is to be forgotten.
    #[error(
        "tape {label_text} is number {number}{} of media set {set} of pool {pool}, which can't be restored whole without it; use --force to forget it all the same",
        tapes.map(|tapes| format!(" of {tapes}")).unwrap_or_default()
    )]
    MediaNeeded {
        /// Its label text.
        label_text: String,
        /// Its set.
        set: Uuid,
        /// The set's pool.
        pool: String,
        /// Its place in the set, from 1.
        number: u64,
        /// How many tapes the set has, where that is known.
        tapes: Option<usize>,
    },
    /// A label text is in use.
    #[error("label text {label_text} is already in use by tape {uuid}; choose another")]
    LabelTextInUse {
        /// The text.
        label_text: String,
        /// Media UUID of the tape that has it.
        uuid: Uuid,
    },
    /// A label text, pool name or the like does not follow its pattern.
    #[error("{what} '{value}' is not valid: {reason}; choose another")]
    InvalidName {
        /// What is named.
        what: &'static str,
        /// The name.
        value: String,
        /// What is allowed.
        reason: &'static str,
    },
    /// A media set's members contradict each other.
    #[error(
        "media set {set}: {reason}; 'tape inventory --read-all-labels' with all its tapes shows what is so"
    )]
    MediaSetInconsistent {
        /// Media set UUID.
        set: Uuid,
        /// What contradicts what.
        reason: String,
    },
    /// The current media set can't be used for writing.
    #[error("media set can't be used: {reason}; run the job again, it begins another set")]
    MediaSetUnusable {
        /// Why.
        reason: String,
    },
    /// No such media set.
    #[error("media set {set} is not in the inventory; run 'tape inventory' with its tapes first")]
    UnknownMediaSet {
        /// Media set UUID.
        set: Uuid,
    },
    /// Nothing to write on.
    #[error(
        "pool {pool} has no usable tape: no empty, expired or free tape is available{hint}; label a new tape or add one"
    )]
    NoUsableMedia {
        /// Pool name.
        pool: String,
        /// What was considered and why not, may be empty.
        hint: String,
    },
    /// A lock is held by someone else.
    #[error(
        "{what} is in use by {} (waited {waited_s} s for {}); try again when it has ended",
        holder.as_deref().unwrap_or("another process"),
        path.display()
    )]
    Locked {
        /// What is locked.
        what: String,
        /// Lock file.
        path: PathBuf,
        /// How long was waited.
        waited_s: u64,
        /// Who holds it, where that is known.
        holder: Option<String>,
    },

    /// The tape in the drive is blank.
    #[error("the tape in drive {drive} has no label; label it first")]
    NotLabelled {
        /// Drive name.
        drive: String,
    },
    /// The tape in the drive holds data of unknown origin.
    #[error(
        "the tape in drive {drive} is not empty; use 'tape format' if its data is not needed any more"
    )]
    NotBlank {
        /// Drive name.
        drive: String,
    },
    /// Another tape than the wanted one is in the drive.
    #[error(
        "wrong tape in drive {drive}: wanted {wanted} ({wanted_uuid}), found {found} ({found_uuid}); load the wanted one"
    )]
    WrongTape {
        /// Drive name.
        drive: String,
        /// Label text wanted.
        wanted: String,
        /// Media UUID wanted.
        wanted_uuid: Uuid,
        /// Label text found.
        found: String,
        /// Media UUID found.
        found_uuid: Uuid,
    },
    /// A tape could not be brought into the drive.
    #[error(
        "can't load tape {label_text} into drive {drive}: {reason}; please insert it{}",
        believed.as_ref().map(|place| format!(", it should be {place}")).unwrap_or_default()
    )]
    LoadFailed {
        /// Label text.
        label_text: String,
        /// Drive name.
        drive: String,
        /// Why.
        reason: String,
        /// Where the inventory believes it to be, in words.
        believed: Option<String>,
    },
    /// Two names of drives given for one job mean one drive.
    #[error("drives {first} and {second} are the same drive; name another one")]
    DriveTwice {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// A tape that something is on was not read, for a reason that was told.
    #[error(
        "its archive is on tape {tape}, which was not to be had; run the same again with the tape at hand"
    )]
    UnreachedTape {
        /// Label text.
        tape: String,
    },
    /// What the tape says about its media set contradicts the inventory.
    #[error(
        "tape {tape} does not fit its media set: {reason}; run 'tape inventory --read-all-labels' with it in the library"
    )]
    WrongMediaSet {
        /// Label text.
        tape: String,
        /// Which field, and what was found.
        reason: String,
    },
    /// The label read back is not the label written.
    #[error(
        "tape {tape}: the label read back differs from the one written: {reason}; clean the drive and try again, or use another tape"
    )]
    LabelReadBack {
        /// Label text.
        tape: String,
        /// Which field.
        reason: String,
    },
    /// The drive reports a problem that makes going on unsafe.
    #[error(
        "tape {tape}: the drive raised critical alerts: {alerts}; 'tape alert-flags' says what to do about them, then run the job again"
    )]
    CriticalAlerts {
        /// Label text.
        tape: String,
        /// Names of the alerts.
        alerts: String,
    },
    /// There are cleaning cartridges, and none that cleans any more.
    #[error(
        "drive {drive} can't be cleaned: the cleaning cartridges in its library are used up ({}); put a new one in",
        cartridges.join(", ")
    )]
    CleaningCartridgesUsedUp {
        /// Name of the drive.
        drive: String,
        /// Bar codes.
        cartridges: Vec<String>,
    },
    /// A fresh tape could not take a single chunk or archive.
    #[error(
        "{what} does not fit on a fresh tape ({tape}); use larger tapes, or run the job again if this one ended early: it goes on with another"
    )]
    DoesNotFit {
        /// What was to be written.
        what: String,
        /// Label text of the tape.
        tape: String,
    },
    /// An end of data at a place where a job must not write.
    #[error(
        "tape {tape}: end of data is at file {file}, before the end of the labels; run 'tape inventory' for this tape"
    )]
    BadAppendPosition {
        /// Label text.
        tape: String,
        /// File number that the drive reports.
        file: u64,
    },

    /// The key of an encrypted tape is not here.
    #[error(
        "tape {tape} is encrypted with key {fingerprint}{}, which is not here; {}",
        advice::hint(hint.as_deref()),
        advice::missing_key(*is_on_tape, drive)
    )]
    KeyMissing {
        /// Label text.
        tape: String,
        /// Which key.
        fingerprint: String,
        /// What reminds of its passphrase, from the tape.
        hint: Option<String>,
        /// The tape carries the key, locked with the passphrase.
        is_on_tape: bool,
        /// Name of the drive that the tape is in.
        drive: String,
    },
    /// A rescue has no key for an encrypted tape.
    #[error(
        "tape {tape} is encrypted with key {fingerprint}{}: {reason}; give its passphrase with --password-file, or the key with --paper-key, and go on",
        advice::hint(hint.as_deref())
    )]
    RescueKeyMissing {
        /// Label text.
        tape: String,
        /// Which key.
        fingerprint: String,
        /// What reminds of its passphrase, from the tape.
        hint: Option<String>,
        /// Why the tape's own copy does not help.
        reason: String,
    },
    /// No such key in the key store.
    #[error(
        "there is no tape key {fingerprint}, or more than one; 'tape key list' shows those that are here, 'tape key restore' and 'tape key import' bring others"
    )]
    UnknownKey {
        /// Fingerprint, or the part of one that was given.
        fingerprint: String,
    },
    /// A key that is taken in is there.
    #[error("tape key {fingerprint} is here already; use --force to put this one in its place")]
    KeyExists {
        /// Which key.
        fingerprint: String,
    },
    /// A key was changed by another command meanwhile.
    #[error(
        "tape key {fingerprint} was changed by another command meanwhile; nothing was done, try again"
    )]
    KeyChanged {
        /// Which key.
        fingerprint: String,
    },
    /// A key has no passphrase: on tape it would be there for everybody.
    #[error(
        "tape key {fingerprint} is not locked with a passphrase; 'tape key import' locks it with one"
    )]
    KeyWithoutPassphrase {
        /// Which key.
        fingerprint: String,
    },
    /// The tape in the drive carries no key.
    #[error(
        "tape {tape} carries no key{}; take it from a copy with 'tape key import'",
        if *is_encrypted { "" } else { ": it is not encrypted" }
    )]
    NoKeyOnTape {
        /// Label text.
        tape: String,
        /// Its set label names a key.
        is_encrypted: bool,
    },
    /// A file with tape keys is not what it should be.
    #[error(
        "tape keys {}: {reason}; nothing is read from it or written to it: put it aside and take the keys from their copies, 'tape key import', or from tapes, 'tape key restore'",
        path.display()
    )]
    KeysDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },

    /// A chunk to be written could not be read.
    #[error(
        "snapshot {snapshot}: chunk {digest} of {archive} can't be written to tape: {reason}; run 'datastore verify'"
    )]
    UnreadableChunk {
        /// `store:ns/…/type/id/time`.
        snapshot: String,
        /// Index file that refers to it.
        archive: String,
        /// Chunk digest, hex.
        digest: String,
        /// What is wrong.
        reason: String,
    },
    /// The threads that read chunks ended before they had read all.
    #[error(
        "internal error: reading snapshot {snapshot} ended with {missing} chunks to go; it was not written, run the job again"
    )]
    FeedEnded {
        /// `store:ns/…/type/id/time`.
        snapshot: String,
        /// Chunks that did not come.
        missing: usize,
    },
    /// Chunks that snapshots need are on none of the tapes.
    #[error(
        "{snapshot}: {missing} of its chunks are on none of the tapes read (first: {first}); the snapshot was not restored, restore again with all tapes of the set"
    )]
    MissingChunks {
        /// `store:ns/…/type/id/time`.
        snapshot: String,
        /// How many.
        missing: u64,
        /// Digest of the first.
        first: String,
    },
    /// A verification of tapes found damage.
    #[error(
        "media set {set}: verification found {findings} pieces of damage, the first: {first}; copy what is still good to other tapes"
    )]
    VerificationFailed {
        /// Media set UUID.
        set: Uuid,
        /// How many.
        findings: u64,
        /// The first.
        first: String,
    },
    /// A verification of tapes found no damage and did not see everything.
    #[error(
        "media set {set}: not everything was verified: {first}; verify again when that is put right"
    )]
    NotAllVerified {
        /// Media set UUID.
        set: Uuid,
        /// The first thing that was not.
        first: String,
    },
    /// A datastore mapping or other argument can't be understood.
    #[error("{what} '{value}': {reason}")]
    BadArgument {
        /// Which argument.
        what: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        reason: String,
    },
    /// A benchmark must not write over this tape.
    #[error(
        "tape {tape} is not written over: {reason}; name one that is blank, or labelled and in no media set"
    )]
    BenchmarkRefused {
        /// Its label text.
        tape: String,
        /// Why not.
        reason: String,
    },
    /// What a benchmark had written did not come back as it was.
    #[error(
        "tape {tape}: block {block} came back as another one than was written; trust neither drive nor tape"
    )]
    BenchmarkReadBack {
        /// Its label text.
        tape: String,
        /// Number of the block from the beginning of the tape.
        block: u64,
    },
    /// This is not possible with this drive or configuration.
    #[error("{0}")]
    Unsupported(String),
    /// The operator or a signal ended the job.
    #[error("aborted by request; run it again to go on")]
    Aborted,
    /// The job did what it could, but not everything.
    #[error("finished with {failed} errors, the first: {first}")]
    Partial {
        /// How many things failed.
        failed: usize,
        /// The first failure.
        first: String,
    },
}

impl Error {
    /// An operating system error on `path`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Error {
        Error::Io { path: path.as_ref().to_path_buf(), source }
    }

    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Error {
        Error::Malformed { what, reason: reason.into() }
    }

    /// The error itself, without the places that were added on its way up.
    pub fn cause(&self) -> &Error {
        match self {
            Error::OnTape { source, .. } | Error::LabelUnreadable { source, .. } => source.cause(),
            other => other,
        }
    }

    /// True if the object asked for is not there.
    pub fn is_missing(&self) -> bool {
        match self.cause() {
            Error::UnknownTape { .. } | Error::UnknownMediaSet { .. } => true,
            Error::CatalogMissing { .. } | Error::NotLabelled { .. } => true,
            Error::UnknownKey { .. } | Error::KeyMissing { .. } => true,
            Error::RescueKeyMissing { .. } => true,
            Error::NoStatistics { .. } => true,
            Error::Io { source, .. } => source.kind() == std::io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// True if the same request may work later without any change by an operator.
    pub fn is_retryable(&self) -> bool {
        matches!(self.cause(), Error::Locked { .. })
    }

    /// True if data on tape or in the state directory is not what it should be.
    pub fn is_damaged(&self) -> bool {
        matches!(
            self.cause(),
            Error::Block { .. }
                | Error::UnexpectedEndOfData { .. }
                | Error::NoEndMarker { .. }
                | Error::StrayFilemark
                | Error::Malformed { .. }
                | Error::UnknownContent { .. }
                | Error::CatalogDamaged { .. }
                | Error::InventoryDamaged { .. }
                | Error::UnreadableChunk { .. }
                | Error::MissingChunks { .. }
                | Error::LabelReadBack { .. }
                | Error::VerificationFailed { .. }
        )
    }

    /// True if what is on the tape is encrypted with a key that the drive does not have.
    pub fn is_undecryptable(&self) -> bool {
        matches!(self.cause(), Error::Drive(error) if error.is_undecryptable())
    }

    /// True if the job was ended by request.
    pub fn is_aborted(&self) -> bool {
        matches!(self.cause(), Error::Aborted)
    }
}

impl From<changer::Error> for Error {
    fn from(error: changer::Error) -> Error {
        Error::Changer(Box::new(error))
    }
}

impl From<datastore::Error> for Error {
    fn from(error: datastore::Error) -> Error {
        Error::Datastore(Box::new(error))
    }
}

impl From<crate::drive::Error> for Error {
    fn from(error: crate::drive::Error) -> Error {
        Error::Drive(Box::new(error))
    }
}

/// Adds the place to errors.
pub trait ResultExt<T> {
    /// Names the tape and the file on it, unless a deeper level did so already.
    fn on_tape(self, tape: &str, file: u64) -> Result<T>;
}

impl<T> ResultExt<T> for Result<T> {
    fn on_tape(self, tape: &str, file: u64) -> Result<T> {
        self.map_err(|source| match source {
            placed @ (Error::OnTape { .. } | Error::Aborted) => placed,
            source => Error::OnTape { tape: tape.to_string(), file, source: Box::new(source) },
        })
    }
}

/// Adds the path to operating system errors.
pub(crate) trait IoResultExt<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoResultExt<T> for std::io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::io(path, source))
    }
}

#[cfg(test)]
mod tests;
