//! Reading everything an archive keeps of a file, with as few calls as possible: one `flistxattr`
//! into a reused buffer, a `fgetxattr` only for what is kept, one `ioctl` for the flags.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

use nix::sys::stat::FileStat;

use super::file_system::Gates;
use crate::acl::{XATTR_ACCESS, XATTR_DEFAULT};
use crate::format::{XATTR_NAME_LEN_MAX, flags};
use crate::metadata::{FileType, Metadata, Timestamp, Xattr};
use crate::sys;

/// Extended attribute that holds file capabilities.
pub(crate) const XATTR_FCAPS: &[u8] = b"security.capability";

/// Whether an extended attribute is kept in an archive under its name.
pub(crate) fn is_kept_xattr(name: &[u8]) -> bool {
    (1..=XATTR_NAME_LEN_MAX).contains(&name.len())
        && (name.starts_with(b"user.")
            || name.starts_with(b"trusted.")
            || name == b"security.NTACL")
}

/// What `stat` tells.
pub(super) fn of_stat(stat: &FileStat) -> Metadata {
    Metadata {
        mode: u64::from(stat.st_mode),
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime: Timestamp { secs: stat.st_mtime, nanos: stat.st_mtime_nsec as u32 },
        ..Metadata::default()
    }
}

/// Which metadata the caller wants at all.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub xattrs: bool,
    pub acls: bool,
    pub fcaps: bool,
    pub skip_too_big: bool,
}

/// Why metadata of an open file could not be read.
pub(super) enum Failed {
    /// The call failed in a way that stops the archive.
    Call(&'static str, io::Error),
    /// Something was left out.
    Skipped(&'static str),
}

/// Reads metadata of open files; owns the buffers.
pub(super) struct Reader {
    names: Box<[u8]>,
    value: Box<[u8]>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let buffer = || vec![0; sys::XATTR_BYTES_MAX].into_boxed_slice();
        Self { names: buffer(), value: buffer() }
    }

    /// Add to `metadata` what only an open regular file or directory can tell. What is left out is
    /// reported through the result after everything else was read.
    pub(super) fn complete(
        &mut self,
        fd: BorrowedFd<'_>,
        gates: &mut Gates,
        wanted: Wanted,
        metadata: &mut Metadata,
    ) -> Result<(), Failed> {
        if gates.inode_flags {
            match sys::inode_flags(fd) {
                Ok(attributes) => metadata.flags |= flags::from_chattr(attributes),
                Err(error) => match error.raw_os_error() {
                    // No file of a file system without the call has flags.
                    Some(libc::ENOTTY | libc::ENOSYS) => gates.inode_flags = false,
                    Some(libc::EBADF | libc::EOPNOTSUPP | libc::EINVAL) => {}
                    _ => return Err(Failed::Call("read the inode flags of", error)),
                },
            }
        }
        if gates.fat_attributes {
            match sys::fat_attributes(fd) {
                Ok(attributes) => metadata.flags |= flags::from_fat(attributes),
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOTTY | libc::ENOSYS) => gates.fat_attributes = false,
                    Some(libc::EBADF | libc::EOPNOTSUPP | libc::EINVAL) => {}
                    _ => return Err(Failed::Call("read the FAT attributes of", error)),
                },
            }
        }
        if gates.quota_project {
            match sys::project_id(fd) {
                Ok(0) => {}
                Ok(id) => metadata.quota_project_id = Some(u64::from(id)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::ENOTTY | libc::ENOSYS | libc::EOPNOTSUPP) => {
                        gates.quota_project = false;
                    }
                    Some(libc::EBADF | libc::EINVAL) => {}
                    _ => return Err(Failed::Call("read the quota project id of", error)),
                },
            }
        }
        if gates.xattrs && (wanted.xattrs || wanted.acls || wanted.fcaps) {
            return self.xattrs(fd, gates, wanted, metadata);
        }
        Ok(())
    }

    fn xattrs(
        &mut self,
        fd: BorrowedFd<'_>,
        gates: &mut Gates,
        wanted: Wanted,
        metadata: &mut Metadata,
    ) -> Result<(), Failed> {
        const TOO_BIG: Failed =
            Failed::Skipped("extended attributes are larger than the kernel returns: left out");
        let len = match sys::list_xattrs(fd, &mut self.names) {
            Ok(len) => len,
            Err(error) => match error.raw_os_error() {
                Some(libc::EOPNOTSUPP) => {
                    gates.xattrs = false;
                    return Ok(());
                }
                Some(libc::EBADF) => return Ok(()),
                Some(libc::E2BIG) if wanted.skip_too_big => return Err(TOO_BIG),
                _ => return Err(Failed::Call("list the extended attributes of", error)),
            },
        };
        let names = self.names.split_at(len.min(self.names.len())).0;
        let is_directory = metadata.file_type() == Some(FileType::Directory);
        let mut is_acl_malformed = false;
        for name in names.split_inclusive(|byte| *byte == 0) {
            let Ok(c_name) = CStr::from_bytes_with_nul(name) else { continue };
            let name = c_name.to_bytes();
            let is_fcaps = name == XATTR_FCAPS;
            let is_access = name == XATTR_ACCESS;
            let is_default = name == XATTR_DEFAULT;
            let is_wanted = if is_fcaps {
                wanted.fcaps && gates.fcaps
            } else if is_access || is_default {
                wanted.acls && gates.acls && (is_access || is_directory)
            } else {
                wanted.xattrs && is_kept_xattr(name)
            };
            if !is_wanted {
                continue;
            }
            let value = match sys::get_xattr(fd, c_name, &mut self.value) {
                Ok(len) => self.value.split_at(len.min(self.value.len())).0,
                Err(error) => match error.raw_os_error() {
                    // Removed since it was listed.
                    Some(libc::ENODATA | libc::EBADF) => continue,
                    Some(libc::EOPNOTSUPP) => {
                        if is_fcaps {
                            gates.fcaps = false;
                        } else if is_access || is_default {
                            gates.acls = false;
                        } else {
                            gates.xattrs = false;
                            return Ok(());
                        }
                        continue;
                    }
                    Some(libc::E2BIG | libc::ERANGE) if wanted.skip_too_big => {
                        return Err(TOO_BIG);
                    }
                    _ => return Err(Failed::Call("read an extended attribute of", error)),
                },
            };
            if is_fcaps {
                metadata.fcaps = Some(value.to_vec());
            } else if is_access {
                is_acl_malformed |= metadata.acl.add_access_xattr(value).is_none();
            } else if is_default {
                is_acl_malformed |= metadata.acl.add_default_xattr(value).is_none();
            } else {
                metadata.xattrs.push(Xattr { name: name.to_vec(), value: value.to_vec() });
            }
        }
        if is_acl_malformed {
            return Err(Failed::Skipped("an access control list can't be understood: left out"));
        }
        Ok(())
    }
}
