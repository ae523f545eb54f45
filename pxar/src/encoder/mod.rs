//! Writing an archive: the low-level encoder.
//!
//! It guarantees what random access and hardlinks rest on: every offset in a GOODBYE table and in a
//! HARDLINK item is the position at which the item it names really begins, because positions are
//! counted here, at the only place through which bytes leave. A failed write makes the encoder refuse
//! all further calls ([`Error::Broken`]): after it, positions would be guesses.
//!
//! A unified archive is version 1, one stream ([`Encoder::new`]); a split archive is version 2, a
//! metadata and a payload stream ([`Encoder::split`]). Children are written in the order of the calls;
//! customary is ascending byte order of their names. Names are checked, their uniqueness is the
//! caller's.
//!
//! ```
//! # fn main() -> Result<(), pxar::Error> {
//! use pxar::{Encoder, Metadata};
//!
//! let mut bytes = Vec::new();
//! let mut encoder = Encoder::new(&mut bytes, &Metadata::directory(0o755))?;
//! encoder.add_file(b"hello", &Metadata::regular(0o644), 5, &mut &b"world"[..])?;
//! encoder.finish()?;
//! # Ok(())
//! # }
//! ```

mod file;
mod items;
mod output;
#[cfg(test)]
pub(crate) mod tests;

use std::io::{self, Read, Write};

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::U64;

use crate::error::{Error, Stream, path_of};
use crate::format::goodbye::{self, RawRecord, Record};
use crate::format::{self, FORMAT_VERSION_2, HEADER_LEN, ItemType, RawDevice, RawHeader};
use crate::metadata::{FileType, Metadata};
use items::{expect_type, push_entry, push_item, push_payload_ref, push_string};
use output::Output;

pub use file::{Copied, CopyError, FileWriter};

/// Where an entry begins in the (metadata) stream: what a hardlink to it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkOffset(u64);

impl LinkOffset {
    /// Offset of the FILENAME item in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

/// What [`Encoder::finish`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of the unified archive, or of the metadata stream.
    pub archive_bytes: u64,
    /// Bytes of the payload stream; 0 for a unified archive.
    pub payload_bytes: u64,
}

/// A directory whose GOODBYE is not written yet.
struct OpenDirectory {
    /// Offset of its FILENAME item (for the root: of the archive).
    name_start: u64,
    /// Offset its tail record leads to: of the ENTRY item, for the root 0 in both versions.
    entry_start: u64,
    name_hash: u64,
    /// Here `offset` is the absolute offset of the child until the table is written.
    children: Vec<Record>,
}

/// Writes one archive. See the module's documentation.
pub struct Encoder<W: Write, P: Write = io::Empty> {
    archive: Output<W>,
    payload: Option<Output<P>>,
    directories: Vec<OpenDirectory>,
    /// Items of one entry are put together here.
    items: Vec<u8>,
    /// Set while a [`FileWriter`] lives, and for ever if it was dropped unfinished.
    file_open: bool,
    /// Payload offset below which the next reference must not lie.
    payload_floor: u64,
}

impl<W: Write> Encoder<W> {
    /// Begin a unified archive (version 1) whose root directory has these metadata.
    ///
    /// # Errors
    /// The root is not a directory, its metadata can't be stored, or the output fails.
    pub fn new(archive: W, root: &Metadata) -> Result<Self, Error> {
        Self::begin(archive, None, None, root)
    }
}

impl<W: Write, P: Write> Encoder<W, P> {
    /// Begin a split archive (version 2): metadata go to `archive`, contents to `payload`.
    ///
    /// `prelude` is kept as it is; backup clients store a JSON object with their exclude patterns.
    ///
    /// # Errors
    /// The root is not a directory, its metadata can't be stored, or an output fails.
    pub fn split(
        archive: W,
        payload: P,
        prelude: Option<&[u8]>,
        root: &Metadata,
    ) -> Result<Self, Error> {
        Self::begin(archive, Some(payload), prelude, root)
    }

    pub(crate) fn begin(
        archive: W,
        payload: Option<P>,
        prelude: Option<&[u8]>,
        root: &Metadata,
    ) -> Result<Self, Error> {
        let mut encoder = Self {
            archive: Output::new(archive, Stream::Archive),
            payload: payload.map(|payload| Output::new(payload, Stream::Payload)),
            directories: Vec::new(),
            items: Vec::new(),
            file_open: false,
            payload_floor: 0,
        };
        if let Some(payload) = &mut encoder.payload {
            payload.write(RawHeader::new(ItemType::PayloadStartMarker, 0).as_bytes())?;
            push_item(
                &mut encoder.items,
                ItemType::FormatVersion,
                U64::new(FORMAT_VERSION_2).as_bytes(),
            );
            if let Some(prelude) = prelude {
                push_item(&mut encoder.items, ItemType::Prelude, prelude);
            }
        }
        expect_type(b"/", root, &[FileType::Directory], "a directory")?;
        push_entry(&mut encoder.items, b"/", root)?;
        encoder.archive.write(&encoder.items)?;
        encoder.directories.push(OpenDirectory {
            name_start: 0,
            entry_start: 0,
            name_hash: 0,
            children: Vec::new(),
        });
        Ok(encoder)
    }

    /// Bytes of the (metadata) stream so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.archive.position()
    }

    /// Where the next PAYLOAD header will stand: the boundary to suggest to a chunker. `None` for a
    /// unified archive.
    #[must_use]
    pub fn payload_position(&self) -> Option<u64> {
        self.payload.as_ref().map(Output::position)
    }

    /// Hand everything so far to the writers, so that a caller who watches them (or injects bytes
    /// into the payload stream) sees the stream exactly up to the current position.
    ///
    /// # Errors
    /// The output fails.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.archive.flush()?;
        self.payload.as_mut().map_or(Ok(()), Output::flush)
    }

    /// Add a regular file with exactly `size` bytes from `content`.
    ///
    /// # Errors
    /// Besides those of [`Encoder::begin_file`]: `content` fails or ends early; the archive can't be
    /// continued then.
    pub fn add_file(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<LinkOffset, Error> {
        let mut file = self.begin_file(name, metadata, size)?;
        file.copy_from(content, &mut |_| true).map_err(|source| source.into_error(name))?;
        file.finish()
    }

    /// Begin a regular file of exactly `size` bytes; write them to the [`FileWriter`].
    ///
    /// # Errors
    /// An invalid name, metadata that can't be stored or are not of a regular file, or a failing
    /// output.
    pub fn begin_file<'a>(
        &'a mut self,
        name: &'a [u8],
        metadata: &Metadata,
        size: u64,
    ) -> Result<FileWriter<'a, W, P>, Error> {
        if size > u64::MAX / 4 {
            return Err(Error::Unstorable {
                name: path_of(name),
                reason: "the size is impossible",
            });
        }
        expect_type(name, metadata, &[FileType::Regular], "a regular file")?;
        let start = self.begin_child(name)?;
        push_entry(&mut self.items, name, metadata)?;
        let header = RawHeader::new(ItemType::Payload, size);
        if let Some(payload) = &mut self.payload {
            let offset = payload.position();
            push_payload_ref(&mut self.items, offset, size);
            self.archive.write(&self.items)?;
            payload.write(header.as_bytes())?;
            self.payload_floor = offset + 1;
        } else {
            self.items.extend_from_slice(header.as_bytes());
            self.archive.write(&self.items)?;
        }
        self.file_open = true;
        let hash = goodbye::hash_name(name);
        Ok(FileWriter { encoder: self, start, hash, size, remaining: size, name })
    }

    /// Add a regular file whose content is in the payload stream already, because it was injected
    /// there ([`Encoder::skip_payload`]): its PAYLOAD header stands at `offset`.
    ///
    /// # Errors
    /// Besides those of [`Encoder::begin_file`]: the archive is not split, or the reference does not
    /// lie behind the previous one and inside the payload stream.
    pub fn add_file_reference(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        offset: u64,
        size: u64,
    ) -> Result<LinkOffset, Error> {
        let Some(payload) = &self.payload else {
            return Err(Error::Misuse("a unified archive has no payload stream to refer to"));
        };
        let end = offset.checked_add(HEADER_LEN).and_then(|start| start.checked_add(size));
        if offset < self.payload_floor.max(HEADER_LEN)
            || end.is_none_or(|end| end > payload.position())
        {
            return Err(Error::Misuse("payload references must ascend inside the payload stream"));
        }
        expect_type(name, metadata, &[FileType::Regular], "a regular file")?;
        let start = self.begin_child(name)?;
        push_entry(&mut self.items, name, metadata)?;
        push_payload_ref(&mut self.items, offset, size);
        self.payload_floor = offset + 1;
        self.end_child(start, goodbye::hash_name(name), 0)
    }

    /// Count `bytes` of payload stream that the caller put behind everything written so far by other
    /// means (reused chunks). Flush first.
    ///
    /// # Errors
    /// The archive is not split, or the position would overflow.
    pub fn skip_payload(&mut self, bytes: u64) -> Result<(), Error> {
        match &mut self.payload {
            Some(payload) => payload.skip(bytes),
            None => Err(Error::Misuse("a unified archive has no payload stream")),
        }
    }

    /// Add a symbolic link.
    ///
    /// # Errors
    /// An invalid name or target, metadata of another kind, or a failing output.
    pub fn add_symlink(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        target: &[u8],
    ) -> Result<(), Error> {
        if target.len() > format::PATH_LEN_MAX || target.contains(&0) {
            return Err(Error::Unstorable {
                name: path_of(name),
                reason: "the target of the symbolic link is too long or contains a NUL byte",
            });
        }
        expect_type(name, metadata, &[FileType::Symlink], "a symbolic link")?;
        let start = self.begin_child(name)?;
        push_entry(&mut self.items, name, metadata)?;
        push_string(&mut self.items, ItemType::Symlink, &[], target);
        self.end_child(start, goodbye::hash_name(name), 0).map(drop)
    }

    /// Add a further name of a regular file that was added before.
    ///
    /// `target_path` is that file's path relative to the archive's root, `target` what adding it
    /// returned.
    ///
    /// # Errors
    /// An invalid name or path, a target that does not lie before, or a failing output.
    pub fn add_hardlink(
        &mut self,
        name: &[u8],
        target_path: &[u8],
        target: LinkOffset,
    ) -> Result<(), Error> {
        if let Some(reason) = format::invalid_link_path_reason(target_path) {
            return Err(Error::InvalidName { name: path_of(target_path), reason });
        }
        let start = self.begin_child(name)?;
        let distance = start.checked_sub(target.0).filter(|distance| *distance > 0);
        let Some(distance) = distance else {
            return Err(Error::Misuse("a hardlink must come behind its target"));
        };
        let distance = U64::new(distance);
        push_string(&mut self.items, ItemType::Hardlink, distance.as_bytes(), target_path);
        self.end_child(start, goodbye::hash_name(name), 0).map(drop)
    }

    /// Add a block or character device (`metadata.mode` says which).
    ///
    /// # Errors
    /// An invalid name, metadata of another kind, or a failing output.
    pub fn add_device(
        &mut self,
        name: &[u8],
        metadata: &Metadata,
        major: u64,
        minor: u64,
    ) -> Result<(), Error> {
        expect_type(name, metadata, &[FileType::BlockDevice, FileType::CharDevice], "a device")?;
        let start = self.begin_child(name)?;
        push_entry(&mut self.items, name, metadata)?;
        let device = RawDevice { major: U64::new(major), minor: U64::new(minor) };
        push_item(&mut self.items, ItemType::Device, device.as_bytes());
        self.end_child(start, goodbye::hash_name(name), 0).map(drop)
    }

    /// Add a named pipe.
    ///
    /// # Errors
    /// An invalid name, metadata of another kind, or a failing output.
    pub fn add_fifo(&mut self, name: &[u8], metadata: &Metadata) -> Result<(), Error> {
        expect_type(name, metadata, &[FileType::Fifo], "a named pipe")?;
        self.add_plain(name, metadata)
    }

    /// Add a socket.
    ///
    /// # Errors
    /// An invalid name, metadata of another kind, or a failing output.
    pub fn add_socket(&mut self, name: &[u8], metadata: &Metadata) -> Result<(), Error> {
        expect_type(name, metadata, &[FileType::Socket], "a socket")?;
        self.add_plain(name, metadata)
    }

    fn add_plain(&mut self, name: &[u8], metadata: &Metadata) -> Result<(), Error> {
        let start = self.begin_child(name)?;
        push_entry(&mut self.items, name, metadata)?;
        self.end_child(start, goodbye::hash_name(name), 0).map(drop)
    }

    /// Begin a directory; what is added until [`Encoder::leave_directory`] goes into it.
    ///
    /// # Errors
    /// An invalid name, metadata of another kind, or a failing output.
    pub fn enter_directory(&mut self, name: &[u8], metadata: &Metadata) -> Result<(), Error> {
        expect_type(name, metadata, &[FileType::Directory], "a directory")?;
        let name_start = self.begin_child(name)?;
        let entry_start = name_start + self.items.len() as u64;
        push_entry(&mut self.items, name, metadata)?;
        self.archive.write(&self.items)?;
        self.directories.push(OpenDirectory {
            name_start,
            entry_start,
            name_hash: goodbye::hash_name(name),
            children: Vec::new(),
        });
        Ok(())
    }

    /// End the directory that was entered last.
    ///
    /// # Errors
    /// Only the root is open, or the output fails.
    pub fn leave_directory(&mut self) -> Result<(), Error> {
        self.check_usable()?;
        if self.directories.len() < 2 {
            return Err(Error::Misuse("the root directory is left by finishing the archive"));
        }
        let (name_start, name_hash) = self.write_goodbye()?;
        self.record_child(name_start, name_hash, 0);
        Ok(())
    }

    /// Write what is missing and flush.
    ///
    /// # Errors
    /// A directory is still open, or the output fails.
    pub fn finish(mut self) -> Result<Sizes, Error> {
        self.check_usable()?;
        if self.directories.len() != 1 {
            return Err(Error::Misuse("a directory is still open"));
        }
        self.write_goodbye()?;
        self.archive.flush()?;
        let mut payload_bytes = 0;
        if let Some(payload) = &mut self.payload {
            payload.write(RawHeader::new(ItemType::PayloadTailMarker, 0).as_bytes())?;
            payload.flush()?;
            payload_bytes = payload.position();
        }
        Ok(Sizes { archive_bytes: self.archive.position(), payload_bytes })
    }

    fn check_usable(&self) -> Result<(), Error> {
        if self.file_open {
            return Err(Error::Misuse("the content of a file was not finished"));
        }
        if self.archive.is_broken() || self.payload.as_ref().is_some_and(Output::is_broken) {
            return Err(Error::Broken);
        }
        Ok(())
    }

    /// Start collecting the items of a child; the value is where it will begin.
    fn begin_child(&mut self, name: &[u8]) -> Result<u64, Error> {
        self.check_usable()?;
        if let Some(reason) = format::invalid_name_reason(name) {
            return Err(Error::InvalidName { name: path_of(name), reason });
        }
        self.items.clear();
        push_string(&mut self.items, ItemType::Filename, &[], name);
        Ok(self.archive.position())
    }

    /// Write the collected items and note the child for the table.
    fn end_child(&mut self, start: u64, hash: u64, elsewhere: u64) -> Result<LinkOffset, Error> {
        self.archive.write(&self.items)?;
        self.record_child(start, hash, elsewhere);
        Ok(LinkOffset(start))
    }

    /// `elsewhere` is the size of freshly written content in the payload stream: the format counts it
    /// although it is not in this stream.
    fn record_child(&mut self, start: u64, hash: u64, elsewhere: u64) {
        let size = self.archive.position() - start + elsewhere;
        if let Some(directory) = self.directories.last_mut() {
            directory.children.push(Record { hash, offset: start, size });
        }
    }

    /// End the innermost directory; the value is its FILENAME offset and name hash.
    fn write_goodbye(&mut self) -> Result<(u64, u64), Error> {
        let Some(mut directory) = self.directories.pop() else {
            return Err(Error::Misuse("no directory is open"));
        };
        let goodbye_start = self.archive.position();
        goodbye::arrange(&mut directory.children);
        let content_len = goodbye::RECORD_LEN * (directory.children.len() as u64 + 1);
        self.items.clear();
        self.items.extend_from_slice(RawHeader::new(ItemType::Goodbye, content_len).as_bytes());
        for child in &directory.children {
            let record = Record { offset: goodbye_start - child.offset, ..*child };
            self.items.extend_from_slice(RawRecord::from(record).as_bytes());
        }
        let tail = Record {
            hash: goodbye::TAIL_MARKER,
            offset: goodbye_start - directory.entry_start,
            size: content_len + HEADER_LEN,
        };
        self.items.extend_from_slice(RawRecord::from(tail).as_bytes());
        self.archive.write(&self.items)?;
        // A table of a huge directory must not stay allocated for the rest of the archive.
        self.items.shrink_to(1 << 20);
        Ok((directory.name_start, directory.name_hash))
    }
}
