//! Calls of a storage, numbered, and the faults that can be put in their way.

use std::io;
use std::path::{Path, PathBuf};

/// What a call of the storage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum CallKind {
    Open,
    Read,
    Create,
    Write,
    SyncFile,
    SyncDir,
    OpenFilesystem,
    SyncFilesystem,
    Rename,
    RemoveFile,
    RemoveDir,
    CreateDir,
    List,
    OpenDir,
    Meta,
    Touch,
}

impl CallKind {
    /// True if a file system that is mounted read-only refuses it.
    pub fn is_change(self) -> bool {
        use CallKind::{Create, CreateDir, RemoveDir, RemoveFile, Rename, Touch, Write};
        matches!(self, Create | CreateDir | RemoveDir | RemoveFile | Rename | Touch | Write)
    }

    /// The errors that a real system gives here, one by one.
    pub fn errors(self) -> &'static [i32] {
        use CallKind::*;
        match self {
            Open | Read => &[libc::EIO, libc::EMFILE],
            Create => &[libc::EIO, libc::ENOSPC, libc::EMFILE, libc::EROFS],
            Write => &[libc::EIO, libc::ENOSPC],
            SyncFile | SyncFilesystem => &[libc::EIO, libc::ENOSPC],
            SyncDir | OpenFilesystem | List | OpenDir => &[libc::EIO, libc::EMFILE],
            Rename | CreateDir => &[libc::EIO, libc::ENOSPC, libc::EROFS],
            RemoveFile | RemoveDir | Touch => &[libc::EIO, libc::EROFS],
            Meta => &[libc::EIO],
        }
    }
}

/// One call of the storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What it does.
    pub kind: CallKind,
    /// To which file or folder.
    pub path: PathBuf,
}

/// Which calls fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultAt {
    /// The call with this number, counted from 0.
    Call(u64),
    /// Every call of these kinds from this number on: a disk that is full or read-only.
    From(u64, Vec<CallKind>),
    /// Every call of this kind to a path that contains the text.
    Path(CallKind, String),
}

/// A fault put in the way of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which calls fail.
    pub at: FaultAt,
    /// How: one of the system's error numbers.
    pub errno: i32,
    /// A write that fails has written its first half before.
    pub short: bool,
}

impl Fault {
    /// The call with this number fails.
    pub fn at_call(number: u64, errno: i32) -> Fault {
        Fault { at: FaultAt::Call(number), errno, short: true }
    }

    pub(super) fn hits(&self, number: u64, kind: CallKind, path: &Path) -> bool {
        match &self.at {
            FaultAt::Call(at) => *at == number,
            FaultAt::From(from, kinds) => number >= *from && kinds.contains(&kind),
            FaultAt::Path(of, text) => {
                *of == kind && path.to_string_lossy().contains(text.as_str())
            }
        }
    }

    pub(super) fn error(&self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}
