//! Reading a disk image for its chunks: what the file system knows to be a hole is not read.
//!
//! A file of 100 GB that holds 3 GB costs the reading of about 3 GB. Only holes that make up whole
//! chunks count: one question a chunk, however the file is cut up, and everything else is read, so
//! that nothing but the kernel's answer "there is no data up to here" stands in for reading. Where
//! nobody can answer (a block device, an old file system) everything is read.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use datastore::Progress;
use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use crate::pipeline::ChunkWriter;

/// Hands `size` bytes of the image to `stream`, which cuts it every `chunk_bytes` bytes. The number
/// of bytes is less than `size` only if the image ends earlier.
pub(crate) fn copy(
    file: &File,
    size: u64,
    chunk_bytes: u64,
    stream: &mut ChunkWriter,
    progress: &dyn Progress,
) -> io::Result<u64> {
    let mut at = 0;
    // Whether to go on asking for holes.
    let mut asks = file.metadata()?.is_file();
    let step = |bytes| {
        progress.advance_bytes(bytes);
        if progress.is_aborted() { Err(io::Error::other("aborted")) } else { Ok(()) }
    };
    while at < size {
        if asks {
            match hole_at(file, at, size)? {
                Some(bytes) => {
                    // The last chunk of the image may be shorter than the others.
                    let whole =
                        if at + bytes == size { bytes } else { bytes - bytes % chunk_bytes };
                    stream.add_zeros(whole, step)?;
                    at += whole;
                    if whole > 0 {
                        continue;
                    }
                }
                None => asks = false,
            }
        }
        let mut input = At { file, at, end: at.saturating_add(chunk_bytes).min(size) };
        let copied = stream.copy_from(&mut input, step)?;
        at += copied;
        if copied < chunk_bytes {
            break;
        }
    }
    Ok(at)
}

/// Length of the hole at an offset, 0 for data; `None` if the file system cannot tell.
fn hole_at(file: &File, at: u64, size: u64) -> io::Result<Option<u64>> {
    let Ok(offset) = i64::try_from(at) else { return Ok(None) };
    match lseek(file, offset, Whence::SeekData) {
        Ok(data) => Ok(Some(data.unsigned_abs().min(size).saturating_sub(at))),
        // No data up to the end of the file; but a file that shrank meanwhile has another end.
        Err(Errno::ENXIO) => Ok(Some(file.metadata()?.len().min(size).saturating_sub(at))),
        Err(_) => Ok(None),
    }
}

/// A range of a file.
struct At<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let len = buffer.len().min(rest);
        let count = self.file.read_at(buffer.get_mut(..len).unwrap_or_default(), self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
