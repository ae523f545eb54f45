//! What is to be archived, and what came of it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::encoder::Sizes;
use crate::exclude::PatternList;

/// Which mounted file systems are entered. Virtual ones (proc, sysfs, ...) never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileSystems {
    /// Only the one of the source.
    #[default]
    OfSource,
    /// Also those with these device numbers ([`device_number`]).
    Also(Vec<u64>),
    /// All.
    All,
}

/// The number of the file system that a path is on, for [`FileSystems::Also`].
///
/// # Errors
/// The path can't be asked.
pub fn device_number(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|metadata| metadata.dev())
}

/// How to create an archive.
#[derive(Clone, Debug)]
pub struct Options {
    /// Patterns given by the user; recorded in the archive.
    pub excludes: PatternList,
    /// Leave `lost+found` out, wherever it is.
    pub skip_lost_and_found: bool,
    /// Obey the `.pxarexclude` files met on the way.
    pub exclude_files: bool,
    /// Let a line `/name` of a `.pxarexclude` file below the root exclude `name` of its directory. The
    /// reference implementation documents this, but there such lines have no effect below the
    /// root. Off by default: who relies on what the reference archives loses nothing, and every such
    /// line is reported.
    pub anchors_below_root: bool,
    /// Which file systems are entered.
    pub file_systems: FileSystems,
    /// How many entries may lie in the directories that are open at one time. Bounds memory.
    pub entries_max: usize,
    /// Store extended attributes.
    pub xattrs: bool,
    /// Store access control lists.
    pub acls: bool,
    /// Store file capabilities.
    pub fcaps: bool,
    /// Store block and character devices.
    pub device_nodes: bool,
    /// Store named pipes.
    pub fifos: bool,
    /// Store sockets.
    pub sockets: bool,
    /// Leave out extended attributes that are too big for the kernel to return, instead of failing.
    pub skip_e2big_xattr: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            excludes: PatternList::default(),
            skip_lost_and_found: false,
            exclude_files: true,
            anchors_below_root: false,
            file_systems: FileSystems::OfSource,
            entries_max: 1 << 20,
            xattrs: true,
            acls: true,
            fcaps: true,
            device_nodes: true,
            fifos: true,
            sockets: true,
            skip_e2big_xattr: false,
        }
    }
}

/// What an archive got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Directories, without the root.
    pub directories: u64,
    /// Regular files (with the recorded excludes, if any).
    pub files: u64,
    /// Further names of regular files.
    pub hardlinks: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, named pipes and sockets.
    pub specials: u64,
    /// Bytes of file content.
    pub content_bytes: u64,
    /// Entries that are missing because they vanished or may not be read. Not zero means that the
    /// archive is not the whole tree, which the user must learn.
    pub skipped: u64,
    /// Files whose size changed while they were read.
    pub changed_files: u64,
    /// Mount points whose contents were left out.
    pub mount_points: u64,
    /// Bytes written.
    pub sizes: Sizes,
}

impl Summary {
    pub(super) fn new() -> Self {
        Self {
            directories: 0,
            files: 0,
            hardlinks: 0,
            symlinks: 0,
            specials: 0,
            content_bytes: 0,
            skipped: 0,
            changed_files: 0,
            mount_points: 0,
            sizes: Sizes { archive_bytes: 0, payload_bytes: 0 },
        }
    }

    /// Entries of all kinds, without the root.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.directories + self.files + self.hardlinks + self.symlinks + self.specials
    }
}
