//! What an archive keeps of a file besides its name and content.

use crate::acl::list::Acl;

/// A time, as the kernel counts: seconds rounded down, nanoseconds always positive. Half a second
/// before 1970 is `secs: -1, nanos: 500_000_000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970.
    pub secs: i64,
    /// 0..999999999.
    pub nanos: u32,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// Name with its namespace (`user.comment`), without NUL.
    pub name: Vec<u8>,
    /// Value, any bytes.
    pub value: Vec<u8>,
}

/// Metadata of one entry. Empty lists cost no allocation, so a plain file is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The complete `st_mode`: type and permission bits.
    pub mode: u64,
    /// Inode flags and FAT attributes, see [`flags`](crate::format::flags).
    pub flags: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Timestamp,
    /// Extended attributes in the order in which the kernel listed them.
    pub xattrs: Vec<Xattr>,
    /// Access control lists beyond the mode bits.
    pub acl: Acl,
    /// Value of `security.capability`.
    pub fcaps: Option<Vec<u8>>,
    /// Quota project id, if not zero.
    pub quota_project_id: Option<u64>,
}

/// The file types that `mode` can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Block device.
    BlockDevice,
    /// Character device.
    CharDevice,
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
}

impl FileType {
    /// The type in a `st_mode`.
    #[must_use]
    pub fn of_mode(mode: u64) -> Option<Self> {
        if mode > u64::from(u32::MAX) {
            return None;
        }
        Some(match (mode as u32) & libc::S_IFMT {
            libc::S_IFREG => Self::Regular,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFBLK => Self::BlockDevice,
            libc::S_IFCHR => Self::CharDevice,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            _ => return None,
        })
    }
}

impl Metadata {
    /// Metadata of an entry with these type and permission bits; everything else is zero or absent.
    #[must_use]
    pub fn with_mode(mode: u32) -> Self {
        Self { mode: u64::from(mode), ..Self::default() }
    }

    /// A directory with these permission bits.
    #[must_use]
    pub fn directory(permissions: u32) -> Self {
        Self::with_mode(libc::S_IFDIR | permissions)
    }

    /// A regular file with these permission bits.
    #[must_use]
    pub fn regular(permissions: u32) -> Self {
        Self::with_mode(libc::S_IFREG | permissions)
    }

    /// The type in `mode`.
    #[must_use]
    pub fn file_type(&self) -> Option<FileType> {
        FileType::of_mode(self.mode)
    }

    /// Permission bits with setuid, setgid and sticky.
    #[must_use]
    pub fn permissions(&self) -> u32 {
        (self.mode & 0o7777) as u32
    }
}
