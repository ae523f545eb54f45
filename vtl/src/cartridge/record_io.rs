//! One record to the log's file and back, in one system call where the system lets it.
//!
//! A read counts only after header and data matched their checks.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::FileExt;

use nix::sys::uio::{preadv, pwritev};

use super::index::Entry;
use super::object::{Fault, damaged};
use super::record::{Record, SLOT, SLOT_BYTES};
use crate::durable::crc64;

/// Header, data and padding in one system call, normally.
pub(super) fn write_all(
    file: &File,
    offset: u64,
    header: &[u8],
    data: &[u8],
    padding: &[u8],
) -> io::Result<()> {
    let total = header.len() + data.len() + padding.len();
    let position = i64::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let parts = [IoSlice::new(header), IoSlice::new(data), IoSlice::new(padding)];
    let mut done = loop {
        match pwritev(file, &parts, position) {
            Ok(done) => break done,
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    // A full disk or a signal may have cut it; the rest goes piece by piece.
    if done < total {
        let mut place = offset;
        for part in [header, data, padding] {
            let skip = done.min(part.len());
            done -= skip;
            file.write_all_at(part.get(skip..).unwrap_or_default(), place + skip as u64)?;
            place += part.len() as u64;
        }
    }
    Ok(())
}

/// Reads and verifies one block, the part that `direct` is too small for into `overflow`, and what
/// an encrypted block has behind its data into `seal` (empty for a plain one). On an error all of them may
/// hold bytes that are not to be believed.
pub(super) fn read_block(
    file: &File,
    id: u64,
    object: u64,
    entry: &Entry,
    direct: &mut [u8],
    overflow: &mut [u8],
    seal: &mut Vec<u8>,
) -> std::result::Result<(), Fault> {
    seal.clear();
    let mut header = [0u8; SLOT];
    let total = SLOT + direct.len() + overflow.len();
    let position =
        i64::try_from(entry.offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    let done = loop {
        let mut parts = [
            IoSliceMut::new(&mut header),
            IoSliceMut::new(&mut *direct),
            IoSliceMut::new(&mut *overflow),
        ];
        match preadv(file, &mut parts, position) {
            Ok(done) => break done,
            Err(nix::errno::Errno::EINTR) => {}
            // The disk under the library cannot read this place: damage of this record.
            Err(nix::errno::Errno::EIO) => {
                return Err(damaged(object, entry, "the disk cannot read it"));
            }
            Err(errno) => return Err(Fault::Host(errno.into())),
        }
    };
    if done < total {
        // Cut by a signal, or the file ends: reading piece by piece tells which.
        let mut place = entry.offset;
        for piece in [&mut header[..], &mut *direct, &mut *overflow] {
            let read = file.read_exact_at(piece, place);
            place += piece.len() as u64;
            match read {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(damaged(object, entry, "the log ends within it"));
                }
                Err(error) => return Err(Fault::Host(error)),
            }
        }
    }
    let Some((record, _)) = Record::decode(&header, id, entry.offset) else {
        return Err(damaged(object, entry, "its header does not match its check"));
    };
    if record.object != object || record.length != entry.length {
        return Err(damaged(object, entry, "its header is of another object"));
    }
    if record.seal_bytes > 0 {
        seal.resize(usize::from(record.seal_bytes), 0);
        let place = entry.offset + SLOT_BYTES + u64::from(record.length);
        match file.read_exact_at(seal, place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(object, entry, "the log ends within it"));
            }
            Err(error) => return Err(Fault::Host(error)),
        }
    }
    if record.data_crc != crc64(&[direct, overflow, seal]) {
        return Err(damaged(object, entry, "its data does not match its checksum"));
    }
    Ok(())
}
