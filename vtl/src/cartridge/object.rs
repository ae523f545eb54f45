//! What an object of a tape is, and why one can't be had.

use std::io;

use super::index::Entry;

/// Why an object could not be read or written.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The record is damaged: a medium error.
    Damaged { object: u64, offset: u64, reason: &'static str },
    /// The host's file system failed.
    Host(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Host(error)
    }
}

/// What lies at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// A block of so many bytes.
    Block(u32),
    /// A filemark.
    Filemark,
}

/// Damage of the object that an index entry is about.
pub(super) fn damaged(object: u64, entry: &Entry, reason: &'static str) -> Fault {
    Fault::Damaged { object, offset: entry.offset, reason }
}
