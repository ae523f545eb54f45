//! The buffered end of an encoder: counts positions, and remembers that a write failed.

use std::io::{self, Read, Write};

use super::CopyError;
use crate::error::{Error, Stream};

/// Content is read straight into this buffer, so its size is also that of the largest read.
const BUFFER_BYTES: usize = 1 << 20;
/// Reads go on in the buffer while it has at least this much room; else it is emptied first, so that
/// a small file takes one read wherever it falls.
const ROOM_BYTES_MIN: usize = 64 << 10;

/// A stream of an archive being written.
pub(super) struct Output<W> {
    inner: W,
    stream: Stream,
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes handed to `inner` (or skipped).
    flushed: u64,
    broken: bool,
}

/// What one read into the buffer brought.
pub(super) struct Filled {
    pub bytes: u64,
    pub is_end: bool,
    /// The source had a byte more than wanted.
    pub has_more: bool,
}

impl From<Error> for CopyError {
    fn from(error: Error) -> Self {
        Self::Archive(error)
    }
}

impl<W: Write> Output<W> {
    pub(super) fn new(inner: W, stream: Stream) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { inner, stream, buffer, filled: 0, flushed: 0, broken: false }
    }

    pub(super) fn position(&self) -> u64 {
        self.flushed + self.filled as u64
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        if let Some(room) = self.buffer.get_mut(self.filled..self.filled + bytes.len()) {
            room.copy_from_slice(bytes);
            self.filled += bytes.len();
            return Ok(());
        }
        self.empty()?;
        if bytes.len() < self.buffer.len() {
            return self.write(bytes);
        }
        let result = self.inner.write_all(bytes);
        self.check(result)?;
        self.flushed += bytes.len() as u64;
        Ok(())
    }

    /// One read of at most `wanted` bytes into the buffer. The read asks for a byte more, to learn
    /// whether there is one.
    pub(super) fn fill_from(
        &mut self,
        source: &mut dyn Read,
        wanted: u64,
    ) -> Result<Filled, CopyError> {
        if self.broken {
            return Err(Error::Broken.into());
        }
        let ask = usize::try_from(wanted).unwrap_or(usize::MAX).saturating_add(1);
        let room = self.buffer.len() - self.filled;
        if room < ask.min(ROOM_BYTES_MIN) {
            self.empty()?;
        }
        let (_, room) = self.buffer.split_at_mut(self.filled);
        let len = room.len().min(ask);
        let (room, _) = room.split_at_mut(len);
        let read = loop {
            match source.read(room) {
                Ok(read) => break read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CopyError::Source(error)),
            }
        };
        let bytes = read.min(wanted);
        self.filled += bytes as usize;
        // A file whose last bytes came without the one that was asked for on top has ended; nothing
        // is lost if a pipe would have had one more later.
        let is_end = read == 0 || (read == wanted && len == ask);
        Ok(Filled { bytes, is_end, has_more: read > wanted })
    }

    pub(super) fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        self.empty()?;
        self.flushed = self
            .flushed
            .checked_add(bytes)
            .filter(|position| *position < u64::MAX / 2)
            .ok_or(Error::Misuse("the payload stream can't be that long"))?;
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Error> {
        self.empty()?;
        let result = self.inner.flush();
        self.check(result)
    }

    fn empty(&mut self) -> Result<(), Error> {
        if self.broken {
            return Err(Error::Broken);
        }
        let (filled, _) = self.buffer.split_at(self.filled);
        let result = if filled.is_empty() { Ok(()) } else { self.inner.write_all(filled) };
        self.check(result)?;
        self.flushed += self.filled as u64;
        self.filled = 0;
        Ok(())
    }

    fn check(&mut self, result: io::Result<()>) -> Result<(), Error> {
        result.map_err(|source| {
            self.broken = true;
            Error::Write { stream: self.stream, offset: self.flushed, source }
        })
    }
}
