//! The content of one file of an archive.

use std::io::{self, Read, Seek, SeekFrom};

use super::{ReadAt, Storage};
use crate::error::{Damage, Error, Stream};

/// Content of a regular file: readable at any offset, or as a stream from its start.
#[derive(Clone)]
pub struct FileContent {
    storage: Storage,
    stream: Stream,
    start: u64,
    size: u64,
    position: u64,
}

impl FileContent {
    pub(super) fn new(storage: Storage, stream: Stream, start: u64, size: u64) -> Self {
        Self { storage, stream, start, size, position: 0 }
    }
}

impl ReadAt for FileContent {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = self.size.saturating_sub(offset);
        let len = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        if len == 0 {
            return Ok(0);
        }
        let at = self.start + offset;
        match self.storage.read_at(buffer.split_at_mut(len).0, at)? {
            // The archive claims content here; its storage has none.
            0 => Err(io::Error::other(Error::Damaged {
                stream: self.stream,
                offset: at,
                damage: Damage::Truncated { item: "PAYLOAD" },
            })),
            read => Ok(read),
        }
    }

    fn size(&self) -> u64 {
        self.size
    }
}

impl Read for FileContent {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for FileContent {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(distance) => self.size.checked_add_signed(distance),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
