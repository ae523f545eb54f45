//! Writing a catalog in one forward pass.
//!
//! Memory holds the entries of the *open* directories only: a directory's block leaves as soon as the
//! directory ends. Entries are kept encoded; what can't be encoded yet is where a child directory's
//! block lies relative to this one, so those numbers are put in when the block is written.

use std::io::Write;

use super::varint::{push_signed, push_unsigned};
use super::{Kind, MAGIC, NAME_LEN_LIMIT, Sink};
use crate::error::{Error, Stream, path_of};

#[derive(Default)]
struct OpenDirectory {
    name: Vec<u8>,
    entry_count: u64,
    /// Encoded entries without the distances of directories.
    entries: Vec<u8>,
    /// Where in `entries` a distance is missing, and the absolute offset of the block it leads to.
    directories: Vec<(usize, u64)>,
}

/// Writes one catalog. Several archives follow one another.
pub struct Writer<W: Write> {
    inner: W,
    position: u64,
    is_broken: bool,
    /// The virtual root, the current archive and the directories below it.
    open: Vec<OpenDirectory>,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begin a catalog.
    ///
    /// # Errors
    /// The output fails.
    pub fn new(inner: W) -> Result<Self, Error> {
        let mut writer = Self {
            inner,
            position: 0,
            is_broken: false,
            open: vec![OpenDirectory::default()],
            block: Vec::new(),
        };
        writer.write(&MAGIC)?;
        Ok(writer)
    }

    /// Write the root and the trailer, flush, and give the output back.
    ///
    /// # Errors
    /// An archive is still open, or the output fails.
    pub fn finish(mut self) -> Result<W, Error> {
        if self.open.len() != 1 {
            return Err(Error::Misuse("an archive of the catalog is still open"));
        }
        let (_, root) = self.write_block()?;
        self.write(&root.to_le_bytes())?;
        let position = self.position;
        self.inner.flush().map_err(|source| write_error(position, source))?;
        Ok(self.inner)
    }

    /// Memory that grows with the catalog's content.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        let of = |d: &OpenDirectory| d.entries.capacity() + 16 * d.directories.capacity();
        self.open.iter().map(of).sum::<usize>() + self.block.capacity()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if self.is_broken {
            return Err(Error::Broken);
        }
        if let Err(source) = self.inner.write_all(bytes) {
            self.is_broken = true;
            return Err(write_error(self.position, source));
        }
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Write the block of the innermost directory; the value is its name and the block's offset.
    fn write_block(&mut self) -> Result<(Vec<u8>, u64), Error> {
        let Some(directory) = self.open.pop() else {
            return Err(Error::Misuse("no directory of the catalog is open"));
        };
        let start = self.position;
        let mut block = std::mem::take(&mut self.block);
        block.clear();
        push_unsigned(&mut block, directory.entry_count);
        let mut copied = 0;
        for (at, child) in directory.directories {
            block.extend_from_slice(directory.entries.get(copied..at).unwrap_or_default());
            push_unsigned(&mut block, start - child);
            copied = at;
        }
        block.extend_from_slice(directory.entries.get(copied..).unwrap_or_default());
        let mut len = Vec::new();
        push_unsigned(&mut len, block.len() as u64);
        let result = self.write(&len).and_then(|()| self.write(&block));
        // The block of one huge directory must not stay allocated.
        block.shrink_to(1 << 20);
        self.block = block;
        result?;
        Ok((directory.name, start))
    }

    fn push(&mut self, name: &[u8], kind: Kind) -> Result<(), Error> {
        let Some(directory) = self.open.last_mut() else {
            return Err(Error::Misuse("no directory of the catalog is open"));
        };
        directory.entry_count += 1;
        let out = &mut directory.entries;
        out.push(kind.letter());
        push_unsigned(out, name.len() as u64);
        out.extend_from_slice(name);
        match kind {
            Kind::Directory { block } => directory.directories.push((out.len(), block)),
            Kind::File { size, mtime } => {
                push_unsigned(out, size);
                push_signed(out, mtime);
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, name: &[u8]) -> Result<(), Error> {
        check_name(name)?;
        self.open.push(OpenDirectory { name: name.to_vec(), ..OpenDirectory::default() });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let (name, block) = self.write_block()?;
        self.push(&name, Kind::Directory { block })
    }
}

impl<W: Write> Sink for Writer<W> {
    fn start_archive(&mut self, name: &[u8]) -> Result<(), Error> {
        if self.open.len() != 1 {
            return Err(Error::Misuse("an archive of the catalog is still open"));
        }
        self.open(name)
    }

    fn end_archive(&mut self) -> Result<(), Error> {
        if self.open.len() != 2 {
            return Err(Error::Misuse("no archive, or a directory in it, is open"));
        }
        self.close()
    }

    fn start_directory(&mut self, name: &[u8]) -> Result<(), Error> {
        if self.open.len() < 2 {
            return Err(Error::Misuse("no archive of the catalog is open"));
        }
        self.open(name)
    }

    fn end_directory(&mut self) -> Result<(), Error> {
        if self.open.len() < 3 {
            return Err(Error::Misuse("no directory of the catalog is open"));
        }
        self.close()
    }

    fn add(&mut self, name: &[u8], kind: Kind) -> Result<(), Error> {
        check_name(name)?;
        if self.open.len() < 2 {
            return Err(Error::Misuse("no archive of the catalog is open"));
        }
        if matches!(kind, Kind::Directory { .. }) {
            return Err(Error::Misuse("directories are started and ended"));
        }
        self.push(name, kind)
    }
}

fn check_name(name: &[u8]) -> Result<(), Error> {
    let reason = match crate::format::invalid_name_reason(name) {
        None if name.len() as u64 >= NAME_LEN_LIMIT => "is longer than 4095 bytes",
        None => return Ok(()),
        Some(reason) => reason,
    };
    Err(Error::InvalidName { name: path_of(name), reason })
}

fn write_error(offset: u64, source: std::io::Error) -> Error {
    Error::Write { stream: Stream::Catalog, offset, source }
}
