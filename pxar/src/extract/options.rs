//! What is to be extracted, and what came of it.

use crate::exclude::PatternList;

/// What happens when an entry can't be restored. A damaged archive always ends the extraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Give up at once.
    #[default]
    Abort,
    /// Report it, count it in [`Summary::failed`] and go on.
    Continue,
}

/// How to extract an archive.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to extract: patterns whose plain form includes. Empty means everything.
    pub patterns: PatternList,
    /// Extract into directories that exist (and give them the stored metadata).
    pub allow_existing_dirs: bool,
    /// Replace existing regular files.
    pub overwrite_files: bool,
    /// Replace what is in the way of a symbolic link, except directories.
    pub overwrite_symlinks: bool,
    /// Replace what is in the way of a hardlink, except directories.
    pub overwrite_hardlinks: bool,
    /// Restore owner and group.
    pub ownership: bool,
    /// Restore permission bits.
    pub permissions: bool,
    /// Restore extended attributes.
    pub xattrs: bool,
    /// Restore access control lists.
    pub acls: bool,
    /// Restore file capabilities.
    pub fcaps: bool,
    /// Restore inode flags and FAT attributes.
    pub flags: bool,
    /// Create block and character devices.
    pub device_nodes: bool,
    /// Create named pipes.
    pub fifos: bool,
    /// Create sockets.
    pub sockets: bool,
    /// Report devices that can't be created, but do not count them as failed.
    pub ignore_device_errors: bool,
    /// What to do about entries that can't be restored.
    pub on_error: OnError,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patterns: PatternList::default(),
            allow_existing_dirs: false,
            overwrite_files: false,
            overwrite_symlinks: false,
            overwrite_hardlinks: false,
            ownership: true,
            permissions: true,
            xattrs: true,
            acls: true,
            fcaps: true,
            flags: true,
            device_nodes: true,
            fifos: true,
            sockets: true,
            ignore_device_errors: false,
            on_error: OnError::Abort,
        }
    }
}

/// What was restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Directories, without the target itself.
    pub directories: u64,
    /// Regular files.
    pub files: u64,
    /// Further names of regular files.
    pub hardlinks: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Devices, named pipes and sockets.
    pub specials: u64,
    /// Bytes of file content.
    pub content_bytes: u64,
    /// Errors that were reported and passed over ([`OnError::Continue`]). Not zero means that the
    /// result is not what the archive holds: the caller must not call it a success.
    pub failed: u64,
}

impl Summary {
    /// Entries of all kinds, without the target itself.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.directories + self.files + self.hardlinks + self.symlinks + self.specials
    }
}
