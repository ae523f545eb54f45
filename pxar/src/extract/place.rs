//! Making entries in the target folder: every call is relative to an open directory and takes one
//! checked component, and none follows a link or writes to something that was there before.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, getegid, geteuid, unlinkat};

use super::options::Options;
use super::restore::Surroundings;
use crate::error::{Error, path_of};
use crate::metadata::FileType;
use crate::sys;

/// Nobody but the one who restores may enter an incomplete directory or read an incomplete file.
pub(super) const DIRECTORY_MODE: u32 = 0o700;
pub(super) const FILE_MODE: u32 = 0o600;

/// A directory of the target that is open.
pub(super) struct OpenDirectory {
    pub fd: OwnedFd,
    /// What its new entries get.
    pub inside: Surroundings,
    /// What it got itself.
    pub outside: Surroundings,
    pub gets_metadata: bool,
}

pub(super) fn of_existing(stat: &FileStat) -> Surroundings {
    Surroundings { uid: stat.st_uid, gid: Some(stat.st_gid), inherits_acl: false }
}

/// What new entries get in a directory that was there before.
pub(super) fn inside_of(fd: &OwnedFd, stat: &FileStat) -> Surroundings {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    // An entry gets the group of its directory (setgid, or a mount option) or that of the process:
    // certain only where these are the same.
    let gid = (stat.st_gid == gid).then_some(gid);
    let mut value = [0; 1];
    let inherits_acl = match sys::get_xattr(fd, c"system.posix_acl_default", &mut value) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::ERANGE),
    };
    Surroundings { uid, gid, inherits_acl }
}

fn kind_name(stat: &FileStat) -> &'static str {
    match FileType::of_mode(u64::from(stat.st_mode)) {
        Some(FileType::Regular) => "a regular file",
        Some(FileType::Directory) => "a directory",
        Some(FileType::Symlink) => "a symbolic link",
        Some(FileType::BlockDevice | FileType::CharDevice) => "a device",
        Some(FileType::Fifo) => "a named pipe",
        Some(FileType::Socket) => "a socket",
        None => "something unknown",
    }
}

/// The error about a name that is taken; also what took it.
fn exists(parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> (Error, Option<FileStat>) {
    let stat = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).ok();
    let found = stat.as_ref().map_or("something", kind_name);
    (Error::Exists { path: path_of(path), found }, stat)
}

fn is_of_type(stat: Option<FileStat>, kind: libc::mode_t) -> bool {
    stat.is_some_and(|stat| stat.st_mode & libc::S_IFMT == kind)
}

pub(super) fn create_directory(
    parent: &OpenDirectory,
    name: &CStr,
    path: &[u8],
    options: &Options,
) -> Result<OpenDirectory, Error> {
    let parent_fd = parent.fd.as_fd();
    // Without stored permissions the user's umask decides.
    let mode = if options.permissions { DIRECTORY_MODE } else { 0o777 };
    let is_new = match mkdirat(parent_fd, name, Mode::from_bits_truncate(mode)) {
        Ok(()) => true,
        Err(Errno::EEXIST) if options.allow_existing_dirs => false,
        Err(Errno::EEXIST) => return Err(exists(parent_fd, name, path).0),
        Err(errno) => return Err(Error::file("create the directory", path, errno)),
    };
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = match openat(parent_fd, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        // What is there is no directory: a link, for example.
        Err(Errno::ENOTDIR | Errno::ELOOP) => return Err(exists(parent_fd, name, path).0),
        Err(errno) => return Err(Error::file("open the directory", path, errno)),
    };
    let (outside, inside) = if is_new {
        // A new directory has what its parent gave it, and passes the same on.
        (parent.inside, parent.inside)
    } else {
        let stat = fstat(&fd).map_err(|errno| Error::file("stat the directory", path, errno))?;
        (of_existing(&stat), inside_of(&fd, &stat))
    };
    Ok(OpenDirectory { fd, inside, outside, gets_metadata: true })
}

pub(super) fn create_file(
    parent: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
    options: &Options,
) -> Result<File, Error> {
    let create = || {
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC
            | OFlag::O_NOCTTY;
        let mode = if options.permissions { FILE_MODE } else { 0o666 };
        openat(parent, name, flags, Mode::from_bits_truncate(mode))
    };
    let result = match create() {
        Err(Errno::EEXIST) => {
            let (error, stat) = exists(parent, name, path);
            if !options.overwrite_files || !is_of_type(stat, libc::S_IFREG) {
                return Err(error);
            }
            // Removing the name, not the content: the file may have other names elsewhere.
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| Error::file("replace", path, errno))?;
            create()
        }
        result => result,
    };
    result.map(File::from).map_err(|errno| Error::file("create the file", path, errno))
}

/// Make something that has no descriptor; if its name is taken and may be, by anything but a
/// directory, free the name first.
pub(super) fn make_replacing(
    make: &dyn Fn() -> Result<(), Errno>,
    parent: BorrowedFd<'_>,
    name: &CStr,
    path: &[u8],
    overwrite: bool,
    action: &'static str,
) -> Result<(), Error> {
    let result = match make() {
        Err(Errno::EEXIST) => {
            let (error, stat) = exists(parent, name, path);
            if !overwrite || is_of_type(stat, libc::S_IFDIR) {
                return Err(error);
            }
            unlinkat(parent, name, UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| Error::file("replace", path, errno))?;
            make()
        }
        result => result,
    };
    result.map_err(|errno| Error::file(action, path, errno))
}
