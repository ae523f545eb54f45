//! Whether an index is one of the log that lies there now.
//!
//! A log grows at its end; what is in it does not change. It is replaced as a whole by renaming
//! (rebuilt from tape, begun anew), and cut back only to the end of its last whole record, behind
//! which no index ever reaches. So an index covers the beginning of a log if
//!
//! * the log is the same file (inode) and at least as long as what is covered;
//! * if it is not longer, nobody changed it since (time of change);
//! * samples of what is covered are the same: the first 4 KiB, which name tape and set, and the last
//!   64 KiB, in which the random UUIDs of the last tape files stand at their places. Another log
//!   would have to have the same UUIDs at the same offsets.
//!
//! This program also removes the index before it replaces a log, so the rest is for others' hands.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use datastore::Digest;
use zerocopy::byteorder::little_endian::{I64, U32, U64};

use super::layout::Header;

const FIRST_SAMPLE_BYTES: u64 = 4 << 10;
const LAST_SAMPLE_BYTES: u64 = 64 << 10;

/// What the system says of a log.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogIdentity {
    inode: u64,
    mtime_s: i64,
    mtime_ns: u32,
    len: u64,
}

impl LogIdentity {
    pub fn of(meta: &Metadata) -> LogIdentity {
        LogIdentity {
            inode: meta.ino(),
            mtime_s: meta.mtime(),
            mtime_ns: u32::try_from(meta.mtime_nsec()).unwrap_or_default(),
            len: meta.len(),
        }
    }

    /// Writes it into a header.
    pub fn write(&self, header: &mut Header) {
        header.log_inode = U64::new(self.inode);
        header.log_mtime_s = I64::new(self.mtime_s);
        header.log_mtime_ns = U32::new(self.mtime_ns);
    }

    /// True if the header is about the beginning of this log, its samples aside.
    pub fn fits(&self, header: &Header) -> bool {
        let covered = header.covered_bytes.get();
        let is_unchanged =
            header.log_mtime_s.get() == self.mtime_s && header.log_mtime_ns.get() == self.mtime_ns;
        header.log_inode.get() == self.inode
            && (covered < self.len || (covered == self.len && is_unchanged))
    }
}

/// SHA-256 of the samples of a log's first `covered` bytes.
pub(super) fn sample(log: &File, covered: u64) -> io::Result<Digest> {
    let mut bytes = vec![0; covered.min(FIRST_SAMPLE_BYTES) as usize];
    log.read_exact_at(&mut bytes, 0)?;
    let last_bytes = covered.min(LAST_SAMPLE_BYTES);
    let mut last = vec![0; last_bytes as usize];
    log.read_exact_at(&mut last, covered - last_bytes)?;
    Ok(Digest::of_parts(&bytes, &last))
}
