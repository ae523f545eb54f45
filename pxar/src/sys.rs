//! The system calls that no library of ours wraps: extended attributes by descriptor into reused
//! buffers, inode flags, project ids and FAT attributes. The only `unsafe` code of the crate.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Longest list of attribute names, and longest value, that the kernel returns.
pub(crate) const XATTR_BYTES_MAX: usize = 65536;

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct FsXattr {
    xflags: u32,
    extsize: u32,
    nextents: u32,
    project_id: u32,
    cowextsize: u32,
    padding: [u8; 8],
}

const FS_IOC_GETFLAGS: libc::c_ulong =
    nix::request_code_read!(b'f', 1, size_of::<libc::c_long>()) as libc::c_ulong;
const FS_IOC_SETFLAGS: libc::c_ulong =
    nix::request_code_write!(b'f', 2, size_of::<libc::c_long>()) as libc::c_ulong;
const FS_IOC_FSGETXATTR: libc::c_ulong =
    nix::request_code_read!(b'X', 31, size_of::<FsXattr>()) as libc::c_ulong;
const FS_IOC_FSSETXATTR: libc::c_ulong =
    nix::request_code_write!(b'X', 32, size_of::<FsXattr>()) as libc::c_ulong;
const FAT_IOCTL_GET_ATTRIBUTES: libc::c_ulong =
    nix::request_code_read!(b'r', 0x10, size_of::<u32>()) as libc::c_ulong;
const FAT_IOCTL_SET_ATTRIBUTES: libc::c_ulong =
    nix::request_code_write!(b'r', 0x11, size_of::<u32>()) as libc::c_ulong;

fn check(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Names of the extended attributes, each ended by NUL, into the buffer; the value is their length.
pub(crate) fn list_xattrs(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the pointer and length describe a buffer that is ours alone for the call.
    check(unsafe { libc::flistxattr(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// The value of an extended attribute into the buffer; the value is its length.
pub(crate) fn get_xattr(fd: impl AsFd, name: &CStr, buffer: &mut [u8]) -> io::Result<usize> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the name ends with NUL; pointer and length describe a buffer that is ours alone.
    check(unsafe { libc::fgetxattr(fd, name.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// Set an extended attribute, replacing an older value.
pub(crate) fn set_xattr(fd: impl AsFd, name: &CStr, value: &[u8]) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the name ends with NUL; pointer and length describe a live slice that is only read.
    let result =
        unsafe { libc::fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    check(result as isize).map(drop)
}

/// Remove an extended attribute; that it does not exist is no error.
pub(crate) fn remove_xattr(fd: impl AsFd, name: &CStr) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the name ends with NUL.
    match check(unsafe { libc::fremovexattr(fd, name.as_ptr()) } as isize) {
        Err(error) if error.raw_os_error() == Some(libc::ENODATA) => Ok(()),
        result => result.map(drop),
    }
}

/// Flags that `chattr` sets.
pub(crate) fn inode_flags(fd: impl AsFd) -> io::Result<u32> {
    // The request is declared with a long, the kernel's file systems write an int, and FUSE copies
    // as many bytes as declared: the first int of a long's room serves all of them.
    let mut flags = [0_u32; 2];
    // SAFETY: the kernel writes at most a long, which is the size of the array.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), FS_IOC_GETFLAGS as _, flags.as_mut_ptr()) };
    check(result as isize)?;
    let [flags, _] = flags;
    Ok(flags)
}

/// Set the flags that `chattr` sets.
pub(crate) fn set_inode_flags(fd: impl AsFd, flags: u32) -> io::Result<()> {
    let flags = [flags, 0];
    // SAFETY: the kernel reads at most a long, which is the size of the array.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), FS_IOC_SETFLAGS as _, flags.as_ptr()) };
    check(result as isize).map(drop)
}

fn fs_xattr(fd: impl AsFd) -> io::Result<FsXattr> {
    let mut attributes = FsXattr::default();
    let pointer = &raw mut attributes;
    // SAFETY: the request's size is that of the struct, whose layout is the kernel's.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), FS_IOC_FSGETXATTR as _, pointer) };
    check(result as isize)?;
    Ok(attributes)
}

/// Quota project id.
pub(crate) fn project_id(fd: impl AsFd) -> io::Result<u32> {
    fs_xattr(fd).map(|attributes| attributes.project_id)
}

/// Set the quota project id.
pub(crate) fn set_project_id(fd: impl AsFd, project_id: u32) -> io::Result<()> {
    let attributes = FsXattr { project_id, ..fs_xattr(&fd)? };
    let pointer = &raw const attributes;
    // SAFETY: the request's size is that of the struct, whose layout is the kernel's.
    let result = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), FS_IOC_FSSETXATTR as _, pointer) };
    check(result as isize).map(drop)
}

/// FAT attributes.
pub(crate) fn fat_attributes(fd: impl AsFd) -> io::Result<u32> {
    let mut attributes = 0_u32;
    let pointer = &raw mut attributes;
    // SAFETY: the request writes one u32.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), FAT_IOCTL_GET_ATTRIBUTES as _, pointer) };
    check(result as isize)?;
    Ok(attributes)
}

/// Set FAT attributes.
pub(crate) fn set_fat_attributes(fd: impl AsFd, attributes: u32) -> io::Result<()> {
    let pointer = &raw const attributes;
    // SAFETY: the request reads one u32.
    let result =
        unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), FAT_IOCTL_SET_ATTRIBUTES as _, pointer) };
    check(result as isize).map(drop)
}
