//! Reading items one after the other, totally: shared by the sequential decoder and the accessor.
//!
//! Every size is checked against the format's bounds before anything is allocated, every offset
//! computed with overflow checks, and every error carries the offset of the item it is about.

use std::io::{self, Read};

use zerocopy::byteorder::little_endian::U64;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::acl::{DefaultBase, Named};
use crate::entry::EntryKind;
use crate::error::{Damage, Error, Stream, path_of};
use crate::format::{
    self, HEADER_LEN, ItemType, RawAclDefault, RawAclNamed, RawDevice, RawEntry, RawEntryV1,
    RawHeader, RawPayloadRef, XATTR_NAME_LEN_MAX,
};
use crate::metadata::{FileType, Metadata, Timestamp, Xattr};

/// A header that was read; its content was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub kind: ItemType,
    /// Offset of the header.
    pub offset: u64,
    pub content_len: u64,
}

impl Item {
    pub(crate) fn content_start(&self) -> u64 {
        // `next_header` proved that even the end of the item fits.
        self.offset + HEADER_LEN
    }
}

/// What stands behind the attributes of an entry.
pub(crate) enum Body {
    /// The entry is complete, or only its file content follows.
    Leaf(EntryKind),
    /// A directory; the item is its first child or its table.
    Directory(Item),
    /// A FIFO or socket, with the item that was met behind it (if the input goes on).
    Bare(EntryKind, Option<Item>),
}

pub(crate) struct ItemReader<R> {
    inner: R,
    stream: Stream,
    position: u64,
    scratch: Vec<u8>,
}

impl<R: Read> ItemReader<R> {
    /// `position` is the offset of the reader's first byte in its stream.
    pub(crate) fn new(inner: R, stream: Stream, position: u64) -> Self {
        Self { inner, stream, position, scratch: Vec::new() }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn inner(&mut self) -> &mut R {
        &mut self.inner
    }

    /// Count bytes that were taken through [`ItemReader::inner`].
    pub(crate) fn advance(&mut self, bytes: u64) {
        self.position += bytes;
    }

    pub(crate) fn damaged(&self, offset: u64, damage: Damage) -> Error {
        Error::Damaged { stream: self.stream, offset, damage }
    }

    pub(crate) fn truncated(&self, item: &'static str) -> Error {
        self.damaged(self.position, Damage::Truncated { item })
    }

    pub(crate) fn read_error(&self, source: io::Error) -> Error {
        Error::Read { stream: self.stream, offset: self.position, source }
    }

    fn read_exact(&mut self, buffer: &mut [u8], item: &'static str) -> Result<(), Error> {
        match self.read_full(buffer)? {
            read if read == buffer.len() => Ok(()),
            _ => Err(self.truncated(item)),
        }
    }

    /// Read until the buffer is full or the input ends.
    fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            match self.inner.read(room) {
                Ok(0) => break,
                Ok(read) => {
                    filled += read;
                    self.position += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
        Ok(filled)
    }

    /// The next header, or `None` if the input ends exactly here.
    pub(crate) fn next_header(&mut self) -> Result<Option<Item>, Error> {
        let offset = self.position;
        let mut header = RawHeader::new_zeroed();
        match self.read_full(header.as_mut_bytes())? {
            0 => return Ok(None),
            read if read as u64 == HEADER_LEN => {}
            _ => return Err(self.truncated("an item header")),
        }
        let Some(kind) = ItemType::from_raw(header.kind.get()) else {
            let found = header.kind.get();
            return Err(self.damaged(offset, Damage::UnknownItem { found }));
        };
        let full_size = header.full_size.get();
        let (min, max) = kind.content_len_bounds();
        let content_len = full_size.checked_sub(HEADER_LEN);
        let end = offset.checked_add(full_size);
        match content_len {
            Some(content_len) if content_len >= min && content_len <= max && end.is_some() => {
                Ok(Some(Item { kind, offset, content_len }))
            }
            _ => Err(self.damaged(offset, Damage::ItemSize { item: kind.name(), full_size })),
        }
    }

    /// The next header; it is an error if the input ends here.
    pub(crate) fn header(&mut self) -> Result<Item, Error> {
        match self.next_header()? {
            Some(item) => Ok(item),
            None => Err(self.truncated("an item header")),
        }
    }

    pub(crate) fn unexpected(&self, item: Item, expected: &'static str) -> Error {
        self.damaged(item.offset, Damage::UnexpectedItem { found: item.kind.name(), expected })
    }

    /// Content of an item whose type has a (small) maximum.
    fn content(&mut self, item: Item) -> Result<&[u8], Error> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // At most the type's maximum, 64 KiB and some: `next_header` checked it.
        scratch.resize(item.content_len as usize, 0);
        let result = self.read_exact(&mut scratch, item.kind.name());
        self.scratch = scratch;
        result?;
        Ok(&self.scratch)
    }

    fn fixed<T>(&mut self, item: Item) -> Result<T, Error>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
    {
        let mut value = T::new_zeroed();
        if value.as_bytes().len() as u64 != item.content_len {
            let full_size = item.content_len + HEADER_LEN;
            let damage = Damage::ItemSize { item: item.kind.name(), full_size };
            return Err(self.damaged(item.offset, damage));
        }
        self.read_exact(value.as_mut_bytes(), item.kind.name())?;
        Ok(value)
    }

    /// Content of a string item behind a head of `head_len` bytes, without its NUL.
    fn string(&mut self, item: Item, head_len: usize) -> Result<&[u8], Error> {
        let stream = self.stream;
        let content = self.content(item)?;
        match content.get(head_len..).and_then(<[u8]>::split_last) {
            Some((0, string)) if !string.contains(&0) => Ok(string),
            _ => Err(Error::Damaged {
                stream,
                offset: item.offset,
                damage: Damage::Unterminated { item: item.kind.name() },
            }),
        }
    }

    /// The number in a FORMAT_VERSION item.
    pub(crate) fn version(&mut self, item: Item) -> Result<u64, Error> {
        let found = self.fixed::<U64>(item)?.get();
        if found == format::FORMAT_VERSION_1 || found == format::FORMAT_VERSION_2 {
            Ok(found)
        } else {
            Err(self.damaged(item.offset, Damage::UnknownVersion { found }))
        }
    }

    /// Content of a PRELUDE item of at most `len_max` bytes; grows only with what is really read.
    pub(crate) fn prelude(&mut self, item: Item, len_max: u64) -> Result<Vec<u8>, Error> {
        if item.content_len > len_max {
            let full_size = item.content_len + HEADER_LEN;
            let damage = Damage::ItemSize { item: item.kind.name(), full_size };
            return Err(self.damaged(item.offset, damage));
        }
        let mut prelude = Vec::new();
        let result = (&mut self.inner).take(item.content_len).read_to_end(&mut prelude);
        result.map_err(|error| self.read_error(error))?;
        self.position += prelude.len() as u64;
        if (prelude.len() as u64) < item.content_len {
            return Err(self.truncated(item.kind.name()));
        }
        Ok(prelude)
    }

    /// The name in a FILENAME item.
    pub(crate) fn file_name(&mut self, item: Item) -> Result<&[u8], Error> {
        let stream = self.stream;
        let name = self.string(item, 0)?;
        match format::invalid_name_reason(name) {
            None => Ok(name),
            Some(reason) => Err(Error::Damaged {
                stream,
                offset: item.offset,
                damage: Damage::Name { what: "file name", name: path_of(name), reason },
            }),
        }
    }

    /// A HARDLINK item of the entry whose FILENAME stands at `name_start`.
    pub(crate) fn hardlink(&mut self, item: Item, name_start: u64) -> Result<EntryKind, Error> {
        let stream = self.stream;
        let damaged = |damage| Error::Damaged { stream, offset: item.offset, damage };
        let target = self.string(item, size_of::<U64>())?.to_vec();
        if let Some(reason) = format::invalid_link_path_reason(&target) {
            let name = path_of(&target);
            return Err(damaged(Damage::Name { what: "hardlink target", name, reason }));
        }
        let distance = U64::read_from_prefix(&self.scratch).map_or(0, |(raw, _)| raw.get());
        if distance == 0 || distance > name_start {
            return Err(damaged(Damage::Other("a hardlink does not point backwards")));
        }
        Ok(EntryKind::Hardlink { target, target_offset: name_start - distance })
    }

    fn stat(&mut self, item: Item) -> Result<Metadata, Error> {
        let metadata = match item.kind {
            ItemType::Entry => {
                let raw: RawEntry = self.fixed(item)?;
                Metadata {
                    mode: raw.mode.get(),
                    flags: raw.flags.get(),
                    uid: raw.uid.get(),
                    gid: raw.gid.get(),
                    mtime: Timestamp { secs: raw.mtime_secs.get(), nanos: raw.mtime_nanos.get() },
                    ..Metadata::default()
                }
            }
            ItemType::EntryV1 => {
                let raw: RawEntryV1 = self.fixed(item)?;
                let nanos = raw.mtime_nanos.get();
                Metadata {
                    mode: raw.mode.get(),
                    flags: raw.flags.get(),
                    uid: raw.uid.get(),
                    gid: raw.gid.get(),
                    mtime: Timestamp {
                        secs: (nanos / 1_000_000_000) as i64,
                        nanos: (nanos % 1_000_000_000) as u32,
                    },
                    ..Metadata::default()
                }
            }
            _ => return Err(self.unexpected(item, "ENTRY")),
        };
        if metadata.mtime.nanos > 999_999_999 {
            let damage = Damage::Other("nanoseconds of a modification time exceed a second");
            return Err(self.damaged(item.offset, damage));
        }
        Ok(metadata)
    }

    /// An ENTRY with its attributes; also the item behind them, if the input goes on.
    pub(crate) fn entry(&mut self, item: Item) -> Result<(Metadata, Option<Item>), Error> {
        let mut metadata = self.stat(item)?;
        let mut xattr_bytes = 0;
        loop {
            let Some(item) = self.next_header()? else { return Ok((metadata, None)) };
            let repeated = |reader: &Self| {
                reader.damaged(item.offset, Damage::Repeated { item: item.kind.name() })
            };
            match item.kind {
                ItemType::Xattr => {
                    let xattr = self.xattr(item)?;
                    xattr_bytes += xattr.value.len();
                    metadata.xattrs.push(xattr);
                }
                ItemType::AclUser => metadata.acl.users.push(self.named(item)?),
                ItemType::AclGroup => metadata.acl.groups.push(self.named(item)?),
                ItemType::AclDefaultUser => metadata.acl.default_users.push(self.named(item)?),
                ItemType::AclDefaultGroup => metadata.acl.default_groups.push(self.named(item)?),
                ItemType::AclGroupObj => {
                    let permissions = self.fixed::<U64>(item)?.get();
                    if metadata.acl.group_obj.replace(permissions).is_some() {
                        return Err(repeated(self));
                    }
                }
                ItemType::AclDefault => {
                    let raw: RawAclDefault = self.fixed(item)?;
                    let base = DefaultBase {
                        user_obj: raw.user_obj.get(),
                        group_obj: raw.group_obj.get(),
                        other: raw.other.get(),
                        mask: raw.mask.get(),
                    };
                    if metadata.acl.default.replace(base).is_some() {
                        return Err(repeated(self));
                    }
                }
                ItemType::Fcaps => {
                    let value = self.content(item)?.to_vec();
                    if metadata.fcaps.replace(value).is_some() {
                        return Err(repeated(self));
                    }
                }
                ItemType::QuotaProjectId => {
                    let id = self.fixed::<U64>(item)?.get();
                    if metadata.quota_project_id.replace(id).is_some() {
                        return Err(repeated(self));
                    }
                }
                _ => return Ok((metadata, Some(item))),
            }
            // The kernel holds at most 64 KiB of attribute names for a file, so honest lists are
            // short; without a bound a hostile archive could fill the memory with one entry.
            let acl = &metadata.acl;
            let attributes = metadata.xattrs.len()
                + acl.users.len()
                + acl.groups.len()
                + acl.default_users.len()
                + acl.default_groups.len();
            if attributes > ATTRIBUTES_MAX {
                let damage = Damage::Other("an entry has more than 65536 attributes");
                return Err(self.damaged(item.offset, damage));
            }
            if xattr_bytes > XATTR_BYTES_MAX {
                let damage = Damage::Other("an entry has more than 64 MiB of extended attributes");
                return Err(self.damaged(item.offset, damage));
            }
        }
    }

    fn named(&mut self, item: Item) -> Result<Named, Error> {
        let raw: RawAclNamed = self.fixed(item)?;
        Ok(Named { id: raw.id.get(), permissions: raw.permissions.get() })
    }

    fn xattr(&mut self, item: Item) -> Result<Xattr, Error> {
        let stream = self.stream;
        let content = self.content(item)?;
        let nul = content.iter().position(|byte| *byte == 0);
        let reason = match nul {
            None => "an extended attribute has no NUL behind its name",
            Some(0) => "an extended attribute has no name",
            Some(len) if len > XATTR_NAME_LEN_MAX => {
                "the name of an extended attribute is longer than 255 bytes"
            }
            Some(len) => {
                let (name, value) = content.split_at(len);
                let value = value.get(1..).unwrap_or_default();
                return Ok(Xattr { name: name.to_vec(), value: value.to_vec() });
            }
        };
        Err(Error::Damaged { stream, offset: item.offset, damage: Damage::Other(reason) })
    }

    /// What the item behind the attributes makes of an entry.
    pub(crate) fn body(
        &mut self,
        metadata: &Metadata,
        entry_offset: u64,
        item: Option<Item>,
    ) -> Result<Body, Error> {
        let file_type = metadata.file_type();
        let mode = metadata.mode;
        let expect = |types: &[FileType], shape| {
            if file_type.is_some_and(|found| types.contains(&found)) {
                return Ok(());
            }
            let damage = Damage::Mode { mode, shape };
            Err(Error::Damaged { stream: Stream::Archive, offset: entry_offset, damage })
        };
        match item.map(|item| (item, item.kind)) {
            Some((item, ItemType::Payload)) => {
                expect(&[FileType::Regular], "has content")?;
                Ok(Body::Leaf(EntryKind::File { size: item.content_len, payload_offset: None }))
            }
            Some((item, ItemType::PayloadRef)) => {
                expect(&[FileType::Regular], "has content")?;
                let raw: RawPayloadRef = self.fixed(item)?;
                let (offset, size) = (raw.offset.get(), raw.size.get());
                if offset
                    .checked_add(HEADER_LEN)
                    .and_then(|start| start.checked_add(size))
                    .is_none()
                {
                    let damage = Damage::Other("a payload reference leads past every offset");
                    return Err(self.damaged(item.offset, damage));
                }
                Ok(Body::Leaf(EntryKind::File { size, payload_offset: Some(offset) }))
            }
            Some((item, ItemType::Symlink)) => {
                expect(&[FileType::Symlink], "is a symbolic link")?;
                let target = self.string(item, 0)?.to_vec();
                Ok(Body::Leaf(EntryKind::Symlink { target }))
            }
            Some((item, ItemType::Device)) => {
                expect(&[FileType::BlockDevice, FileType::CharDevice], "is a device")?;
                let raw: RawDevice = self.fixed(item)?;
                let (major, minor) = (raw.major.get(), raw.minor.get());
                Ok(Body::Leaf(EntryKind::Device { major, minor }))
            }
            Some((item, ItemType::Filename | ItemType::Goodbye)) => match file_type {
                Some(FileType::Fifo) => Ok(Body::Bare(EntryKind::Fifo, Some(item))),
                Some(FileType::Socket) => Ok(Body::Bare(EntryKind::Socket, Some(item))),
                _ => {
                    expect(&[FileType::Directory], "has no content")?;
                    Ok(Body::Directory(item))
                }
            },
            Some((item, _)) => Err(self.unexpected(item, "the content of an entry")),
            None => match file_type {
                Some(FileType::Fifo) => Ok(Body::Bare(EntryKind::Fifo, None)),
                Some(FileType::Socket) => Ok(Body::Bare(EntryKind::Socket, None)),
                _ => Err(self.truncated("an entry")),
            },
        }
    }
}

/// See [`ItemReader::entry`].
const ATTRIBUTES_MAX: usize = 65536;
/// See [`ItemReader::entry`]. ext4 and XFS hold at most a few MiB for one inode in practice.
const XATTR_BYTES_MAX: usize = 64 << 20;
