//! The catalog (pcat1): names, sizes and times of all file archives of a snapshot, for browsing without
//! reading the archives.
//!
//! ```text
//! offset 0    magic, 8 bytes
//! offset 8    directory blocks, children before parents, no padding; the root's block is the last
//! end - 8     u64 little endian: offset of the root's block
//!
//! block  :=  varint bytes of the rest of the block,  varint number of entries,  entry*
//! entry  :=  u8 type letter,  varint length of the name,  name,  tail
//! tail   :=  directory: varint (start of this block - start of the child's block)
//!            regular file: varint size, signed varint mtime in Unix seconds
//!            anything else: nothing
//! ```
//!
//! The root's entries are one directory per archive, named like the archive on the server
//! (`root.pxar.didx`). `docs/formats/catalog.md` explains it with an example.

mod reader;
#[cfg(test)]
mod tests;
mod varint;
mod writer;

pub use reader::{Directory, Entry, Found, Reader};
pub use writer::Writer;

use crate::error::Error;

/// First bytes of a catalog.
pub const MAGIC: [u8; 8] = [0x91, 0xfd, 0x60, 0xf9, 0xc4, 0x67, 0x58, 0xd5];
/// Bytes of the trailer.
const TRAILER_LEN: u64 = 8;
/// Names must be shorter than this.
const NAME_LEN_LIMIT: u64 = 4096;

/// What a catalog knows of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory; the number is the offset of its block (as written by a [`Writer`]: ignored).
    Directory {
        /// Offset of its block in bytes.
        block: u64,
    },
    /// A regular file.
    File {
        /// Bytes of content.
        size: u64,
        /// Unix seconds.
        mtime: i64,
    },
    /// A symbolic link.
    Symlink,
    /// A further name of a regular file.
    Hardlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl Kind {
    /// The type letter.
    #[must_use]
    pub fn letter(self) -> u8 {
        match self {
            Self::Directory { .. } => b'd',
            Self::File { .. } => b'f',
            Self::Symlink => b'l',
            Self::Hardlink => b'h',
            Self::BlockDevice => b'b',
            Self::CharDevice => b'c',
            Self::Fifo => b'p',
            Self::Socket => b's',
        }
    }

    /// The kind of a letter that has no tail.
    fn of_plain_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'l' => Self::Symlink,
            b'h' => Self::Hardlink,
            b'b' => Self::BlockDevice,
            b'c' => Self::CharDevice,
            b'p' => Self::Fifo,
            b's' => Self::Socket,
            _ => return None,
        })
    }
}

/// Something that learns the entries of archives while they are created, depth first.
pub trait Sink {
    /// The archive of this name begins.
    ///
    /// # Errors
    /// The name is impossible, an archive is open already, or the output fails.
    fn start_archive(&mut self, name: &[u8]) -> Result<(), Error>;

    /// The current archive is complete.
    ///
    /// # Errors
    /// A directory of it is still open, or the output fails.
    fn end_archive(&mut self) -> Result<(), Error>;

    /// A directory begins; its entries follow.
    ///
    /// # Errors
    /// The name is impossible, no archive is open, or the output fails.
    fn start_directory(&mut self, name: &[u8]) -> Result<(), Error>;

    /// The current directory is complete.
    ///
    /// # Errors
    /// None is open, or the output fails.
    fn end_directory(&mut self) -> Result<(), Error>;

    /// An entry that is no directory.
    ///
    /// # Errors
    /// The name is impossible, no archive is open, or the output fails.
    fn add(&mut self, name: &[u8], kind: Kind) -> Result<(), Error>;
}
