//! Giving a restored entry its metadata, in the order in which they survive one another: changing the
//! owner clears setuid bits and capabilities, setting an ACL changes the mode, everything changes the
//! times, and an immutable file lets nothing be changed any more.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat};
use nix::sys::stat::{
    FchmodatFlags, Mode, UtimensatFlags, fchmod, fchmodat, fstat, futimens, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

use super::reporter::Reporter;
use crate::acl::{access_xattr, default_xattr};
use crate::create::metadata::is_kept_xattr;
use crate::error::Error;
use crate::format::flags;
use crate::metadata::Metadata;
use crate::sys;

const ACL_ACCESS: &CStr = c"system.posix_acl_access";
const ACL_DEFAULT: &CStr = c"system.posix_acl_default";
const FCAPS: &CStr = c"security.capability";

/// What is known of a new file's surroundings, to spare calls.
#[derive(Clone, Copy)]
pub(super) struct Surroundings {
    /// Who creates files.
    pub uid: u32,
    /// Group that a new entry gets, if it is certain.
    pub gid: Option<u32>,
    /// Whether a new entry inherits an ACL that the archive does not have.
    pub inherits_acl: bool,
}

/// An open regular file or directory that gets its metadata.
pub(super) struct OpenEntry<'a> {
    pub fd: BorrowedFd<'a>,
    pub metadata: &'a Metadata,
    pub is_directory: bool,
    pub surroundings: Surroundings,
    /// Inode flags that were set before the content.
    pub flags_set: u64,
}

impl Reporter<'_> {
    /// The flags that only work on an empty file. The value is what was set.
    pub(super) fn apply_early_flags(
        &mut self,
        fd: BorrowedFd<'_>,
        metadata: &Metadata,
    ) -> Result<u64, Error> {
        let early = metadata.flags & flags::BEFORE_CONTENT;
        if early == 0 || !self.options.flags {
            return Ok(0);
        }
        self.add_inode_flags(fd, early)?;
        Ok(early)
    }

    pub(super) fn apply(&mut self, entry: &OpenEntry<'_>) -> Result<(), Error> {
        let OpenEntry { fd, metadata, .. } = *entry;
        let is_owned = self.apply_owner(entry)?;
        let are_xattrs_supported = self.apply_xattrs(fd, metadata)?;
        if let (Some(fcaps), true, true) =
            (&metadata.fcaps, self.options.fcaps, are_xattrs_supported)
        {
            let result = sys::set_xattr(fd, FCAPS, fcaps);
            self.check("set the capabilities of", result, &[Errno::EOPNOTSUPP])?;
        }
        self.apply_acl(entry)?;
        if let Some(id) = metadata.quota_project_id {
            // Only 32 bits have a meaning.
            let result = sys::set_project_id(fd, id as u32);
            self.check("set the quota project id of", result, &[])?;
        }
        if self.options.permissions {
            let permissions = self.permissions(metadata, is_owned || entry.is_directory);
            let result = fchmod(fd, Mode::from_bits_truncate(permissions));
            self.check("set the permissions of", io_result(result), &[Errno::EOPNOTSUPP])?;
        }
        let result = futimens(fd, &TimeSpec::UTIME_OMIT, &mtime(metadata));
        self.check("set the time of", io_result(result), &[Errno::EOPNOTSUPP])?;
        if self.options.flags {
            let late = metadata.flags & !entry.flags_set;
            if flags::to_chattr(late) != 0 {
                self.add_inode_flags(fd, late)?;
            }
            if flags::to_fat(late) != 0 {
                let result = sys::fat_attributes(fd)
                    .and_then(|found| sys::set_fat_attributes(fd, found | flags::to_fat(late)));
                if is_unsupported(&result) {
                    self.skipped_metadata("the file system has no FAT attributes".to_owned());
                } else {
                    self.check("set the FAT attributes of", result, &[])?;
                }
            }
        }
        Ok(())
    }

    /// Whether the entry now belongs to whom the archive says.
    fn apply_owner(&mut self, entry: &OpenEntry<'_>) -> Result<bool, Error> {
        let metadata = entry.metadata;
        let known = entry.surroundings;
        if known.uid == metadata.uid && known.gid == Some(metadata.gid) {
            return Ok(true);
        }
        if !self.options.ownership {
            return Ok(false);
        }
        let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
        let result = fchown(entry.fd, Some(uid), Some(gid));
        self.check("set the owner of", io_result(result), &[Errno::EOPNOTSUPP])?;
        Ok(result.is_ok())
    }

    /// Permission bits to set. A file that could not get its owner does not get to run with the
    /// rights of whoever it belongs to instead.
    fn permissions(&mut self, metadata: &Metadata, may_be_setuid: bool) -> u32 {
        let permissions = metadata.permissions();
        let setuid = permissions & (libc::S_ISUID | libc::S_ISGID);
        if setuid != 0 && !may_be_setuid {
            let reason = "setuid and setgid bits are not restored without the owner".to_owned();
            self.skipped_metadata(reason);
            return permissions & !setuid;
        }
        permissions
    }

    /// Whether the file system takes extended attributes.
    fn apply_xattrs(&mut self, fd: BorrowedFd<'_>, metadata: &Metadata) -> Result<bool, Error> {
        if !self.options.xattrs {
            return Ok(true);
        }
        for xattr in &metadata.xattrs {
            let Some(name) =
                CString::new(&xattr.name[..]).ok().filter(|_| is_kept_xattr(&xattr.name))
            else {
                let name = crate::listing::quote(&xattr.name);
                self.skipped_metadata(format!("extended attribute {name} is not restored"));
                continue;
            };
            let result = sys::set_xattr(fd, &name, &xattr.value);
            if result.as_ref().is_err_and(|e| e.raw_os_error() == Some(libc::EOPNOTSUPP)) {
                let reason = "the file system has no extended attributes".to_owned();
                self.skipped_metadata(reason);
                return Ok(false);
            }
            self.check("set an extended attribute of", result, &[])?;
        }
        Ok(true)
    }

    fn apply_acl(&mut self, entry: &OpenEntry<'_>) -> Result<(), Error> {
        if !self.options.acls {
            return Ok(());
        }
        let OpenEntry { fd, metadata, is_directory, surroundings, .. } = *entry;
        let acl = &metadata.acl;
        if acl.has_access() {
            if acl.group_obj.is_none() {
                let reason = "the access control list has no entry of the owning group; the group \
                              bits of the mode stand in"
                    .to_owned();
                self.skipped_metadata(reason);
            }
            let result = match access_xattr(metadata) {
                Some(value) => sys::set_xattr(fd, ACL_ACCESS, &value),
                None => Err(io::Error::from(Errno::EINVAL)),
            };
            self.check("set the access control list of", result, &[])?;
        } else if surroundings.inherits_acl {
            let result = sys::remove_xattr(fd, ACL_ACCESS);
            self.check("remove the inherited access control list of", result, &[])?;
        }
        if acl.has_default() && is_directory {
            let result = match default_xattr(acl) {
                Some(value) => sys::set_xattr(fd, ACL_DEFAULT, &value),
                None => Err(io::Error::from(Errno::EINVAL)),
            };
            self.check("set the default access control list of", result, &[])?;
        } else if surroundings.inherits_acl && is_directory {
            let result = sys::remove_xattr(fd, ACL_DEFAULT);
            self.check("remove the inherited access control list of", result, &[])?;
        }
        Ok(())
    }

    fn add_inode_flags(&mut self, fd: BorrowedFd<'_>, stored: u64) -> Result<(), Error> {
        let wanted = flags::to_chattr(stored);
        if wanted == 0 {
            return Ok(());
        }
        let result = sys::inode_flags(fd).and_then(|found| {
            if found & wanted == wanted { Ok(()) } else { sys::set_inode_flags(fd, found | wanted) }
        });
        if is_unsupported(&result) {
            self.skipped_metadata(format!("the file system can't set inode flags {wanted:#x}"));
            return Ok(());
        }
        self.check("set the inode flags of", result, &[])
    }

    /// Owner and time of a symbolic link, and also permissions of a device, pipe or socket. None of
    /// them is ever opened for anything but looking at it.
    pub(super) fn apply_by_name(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &CStr,
        metadata: &Metadata,
        surroundings: Surroundings,
        has_permissions: bool,
    ) -> Result<(), Error> {
        let mut is_owned =
            surroundings.uid == metadata.uid && surroundings.gid == Some(metadata.gid);
        if !is_owned && self.options.ownership {
            let (uid, gid) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
            let result = fchownat(directory, name, Some(uid), Some(gid), flags);
            self.check("set the owner of", io_result(result), &[Errno::EOPNOTSUPP])?;
            is_owned = result.is_ok();
        }
        if has_permissions && self.options.permissions {
            let permissions = self.permissions(metadata, is_owned);
            let result = set_permissions_by_name(directory, name, permissions);
            self.check("set the permissions of", io_result(result), &[Errno::EOPNOTSUPP])?;
        }
        if !metadata.xattrs.is_empty() || !metadata.acl.is_empty() || metadata.fcaps.is_some() {
            let reason =
                "extended attributes of anything but files and directories are not restored";
            self.skipped_metadata(reason.to_owned());
        }
        let flags = UtimensatFlags::NoFollowSymlink;
        let result = utimensat(directory, name, &TimeSpec::UTIME_OMIT, &mtime(metadata), flags);
        self.check("set the time of", io_result(result), &[Errno::EOPNOTSUPP])
    }
}

/// `mknodat` obeys the umask, and the kernel has no call that changes permissions by name without
/// following a link: the way through `/proc` leads to exactly the object that was opened.
fn set_permissions_by_name(
    directory: BorrowedFd<'_>,
    name: &CStr,
    permissions: u32,
) -> Result<(), Errno> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let object = openat(directory, name, flags, Mode::empty())?;
    let stat = fstat(&object)?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFLNK {
        return Err(Errno::ELOOP);
    }
    if stat.st_mode & 0o7777 == permissions {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", object.as_fd().as_raw_fd());
    let mode = Mode::from_bits_truncate(permissions);
    fchmodat(AT_FDCWD, path.as_str(), mode, FchmodatFlags::FollowSymlink)
}

fn mtime(metadata: &Metadata) -> TimeSpec {
    TimeSpec::new(metadata.mtime.secs, i64::from(metadata.mtime.nanos))
}

fn io_result(result: Result<(), Errno>) -> io::Result<()> {
    result.map_err(io::Error::from)
}

fn is_unsupported(result: &io::Result<()>) -> bool {
    const UNSUPPORTED: [i32; 4] = [libc::ENOTTY, libc::EOPNOTSUPP, libc::ENOSYS, libc::EINVAL];
    let number = result.as_ref().err().and_then(io::Error::raw_os_error);
    number.is_some_and(|number| UNSUPPORTED.contains(&number))
}
