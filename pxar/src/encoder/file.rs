//! Content of one file on its way into the archive.

use std::io::{self, Read, Write};

use super::{Encoder, LinkOffset};
use crate::error::{Error, path_of};

/// What [`FileWriter::copy_from`] found at the end of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Bytes that the source did not have; the writer still wants them.
    pub missing_bytes: u64,
    /// Whether the source goes on behind the file's announced size.
    pub has_more: bool,
}

/// Why [`FileWriter::copy_from`] stopped.
#[derive(Debug)]
pub enum CopyError {
    /// The source failed.
    Source(io::Error),
    /// The archive could not be written.
    Archive(Error),
    /// The callback asked to stop.
    Stopped,
}

impl CopyError {
    /// As an error about the file with this name or path.
    #[must_use]
    pub fn into_error(self, path: &[u8]) -> Error {
        match self {
            Self::Source(source) => Error::file("read", path, source),
            Self::Archive(error) => error,
            Self::Stopped => Error::Aborted,
        }
    }
}

/// Takes the content of one file, exactly as many bytes as were announced.
///
/// Dropping it unfinished leaves an archive that can't be continued.
pub struct FileWriter<'a, W: Write, P: Write> {
    pub(super) encoder: &'a mut Encoder<W, P>,
    /// Offset of the file's FILENAME item.
    pub(super) start: u64,
    pub(super) hash: u64,
    pub(super) size: u64,
    pub(super) remaining: u64,
    pub(super) name: &'a [u8],
}

impl<W: Write, P: Write> FileWriter<'_, W, P> {
    /// Bytes still wanted.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Append content.
    ///
    /// # Errors
    /// More bytes than announced, or the output fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = bytes.len() as u64;
        if len > self.remaining {
            return Err(Error::ContentSize {
                path: path_of(self.name),
                expected: self.size,
                found: self.size - self.remaining + len,
            });
        }
        self.write_content(bytes)?;
        self.remaining -= len;
        Ok(())
    }

    fn write_content(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match &mut self.encoder.payload {
            Some(payload) => payload.write(bytes),
            None => self.encoder.archive.write(bytes),
        }
    }

    /// Take the rest of the content from a reader, straight into the output's buffer.
    ///
    /// Each read asks for one byte more than the file still has, so that a file that grew is noticed
    /// without a further call. `progress` gets the size of each piece and says whether to go on.
    ///
    /// # Errors
    /// See [`CopyError`].
    pub fn copy_from(
        &mut self,
        source: &mut dyn Read,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Copied, CopyError> {
        loop {
            let result = match &mut self.encoder.payload {
                Some(payload) => payload.fill_from(source, self.remaining),
                None => self.encoder.archive.fill_from(source, self.remaining),
            };
            let filled = result?;
            self.remaining -= filled.bytes;
            if filled.bytes > 0 && !progress(filled.bytes) {
                return Err(CopyError::Stopped);
            }
            if filled.is_end || filled.has_more {
                return Ok(Copied { missing_bytes: self.remaining, has_more: filled.has_more });
            }
        }
    }

    /// Append zeros until the file has its announced size.
    ///
    /// # Errors
    /// The output fails.
    pub fn pad_with_zeros(&mut self) -> Result<(), Error> {
        static ZEROS: [u8; 65536] = [0; 65536];
        while self.remaining > 0 {
            let len = self.remaining.min(ZEROS.len() as u64);
            let (piece, _) = ZEROS.split_at(len as usize);
            self.write(piece)?;
        }
        Ok(())
    }

    /// End the file.
    ///
    /// # Errors
    /// Fewer bytes than announced came; the archive can't be continued then.
    pub fn finish(self) -> Result<LinkOffset, Error> {
        if self.remaining > 0 {
            return Err(Error::ContentSize {
                path: path_of(self.name),
                expected: self.size,
                found: self.size - self.remaining,
            });
        }
        let elsewhere = if self.encoder.payload.is_some() { self.size } else { 0 };
        self.encoder.file_open = false;
        self.encoder.record_child(self.start, self.hash, elsewhere);
        Ok(LinkOffset(self.start))
    }
}
