//! Starting the disk early.
//!
//! Without it the kernel collects gigabytes in memory, and the flush at the end of an archive waits
//! for all of it while the program above has nothing to do. [`start`] asks for the pages written so
//! far to go out now and does not wait; it promises nothing and needs no answer.

use std::fs::File;
use std::os::fd::AsRawFd;

/// How much to collect between two calls of [`start`].
pub(super) const EVERY_BYTES: u64 = 16 << 20;

/// Begins to write `length` bytes from `offset` of a file to the disk. A hint: failures are left to
/// the flush that follows, which reports them.
pub(super) fn start(file: &File, offset: u64, length: u64) {
    let (Ok(offset), Ok(length)) = (i64::try_from(offset), i64::try_from(length)) else { return };
    // SAFETY: the call takes a descriptor, which `file` keeps open, and numbers; it touches no memory
    // of this process.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE);
    }
}
