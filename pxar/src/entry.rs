//! What kinds of entries an archive has.
//!
//! Whoever reads entries, in whatever order, says with this what was met.

/// What an entry is, with what only its kind has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A directory; its children follow.
    Directory,
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
        /// Where its PAYLOAD header stands in the payload stream, in a split archive.
        payload_offset: Option<u64>,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, uninterpreted.
        target: Vec<u8>,
    },
    /// A further name of an earlier regular file. It has no metadata of its own.
    Hardlink {
        /// Path of that file relative to the archive's root.
        target: Vec<u8>,
        /// Offset of that file's FILENAME item ([`Entry::offset`](crate::decoder::Entry::offset)).
        target_offset: u64,
    },
    /// A block or character device, as the mode says.
    Device {
        /// Major number.
        major: u64,
        /// Minor number.
        minor: u64,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}
