//! The storage that random access needs, and its usual implementations.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that can be read at any offset, from several threads at once.
pub trait ReadAt {
    /// Read some bytes at `offset`; 0 only at or behind the end (or for an empty buffer).
    ///
    /// # Errors
    /// The storage fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How many bytes there are.
    fn size(&self) -> u64;
}

/// A file, with the size it had when it was wrapped.
#[derive(Debug)]
pub struct FileReadAt {
    file: File,
    size: u64,
}

impl FileReadAt {
    /// Wrap an open regular file.
    ///
    /// # Errors
    /// Its size can't be asked.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for FileReadAt {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.file, buffer, offset)
    }

    fn size(&self) -> u64 {
        self.size
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = self.get(start..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer.split_at_mut(len).0.copy_from_slice(rest.split_at(len).0);
        Ok(len)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        ReadAt::read_at(self.as_slice(), buffer, offset)
    }

    fn size(&self) -> u64 {
        self.len() as u64
    }
}

macro_rules! delegate {
    ($($wrapper:ty),*) => {$(
        impl<T: ReadAt + ?Sized> ReadAt for $wrapper {
            fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
                (**self).read_at(buffer, offset)
            }

            fn size(&self) -> u64 {
                (**self).size()
            }
        }
    )*};
}

delegate!(&T, Box<T>, Arc<T>);
