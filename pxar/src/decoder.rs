//! Reading an archive from front to back, in one pass over any [`Read`].
//!
//! The decoder is total: whatever bytes it gets, it ends with the root's GOODBYE or with an error that
//! names the offset. It holds one entry, the path of the current one and a buffer; nothing grows
//! with sizes that an archive merely claims. What it hands out was checked against the grammar of
//! [`format`](mod@crate::format): names are single path components, mode bits agree with the items of
//! the entry, contents have the announced size. Each directory's table must have as many records as
//! the directory had children; the records themselves are for random access and not looked at.
//!
//! Split archives come with their payload stream ([`Decoder::split`]) or without
//! ([`Decoder::new`]): metadata can be listed without it.

use std::io::{self, BufRead, BufReader, Read};

use crate::error::{Damage, Error, Stream};
use crate::format::{HEADER_LEN, ItemType, PRELUDE_LEN_MAX, goodbye};
use crate::items::{Body, Item, ItemReader};
use crate::metadata::Metadata;

pub use crate::entry::EntryKind;

const BUFFER_BYTES: usize = 1 << 20;
/// Longest path of nested directories. Far more than a kernel lets anybody name, and it bounds how
/// deep a hostile archive can nest.
const PATH_BYTES_MAX: usize = 1 << 20;

/// An entry that the decoder met. Its path is [`Decoder::path`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Offset of its FILENAME item; for the root, of its ENTRY item.
    pub offset: u64,
    /// Its metadata; all zero for a hardlink.
    pub metadata: Metadata,
    /// What it is.
    pub kind: EntryKind,
}

/// What comes next in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every event is an entry; a box would cost an allocation each"
)]
pub enum Event {
    /// An entry. After a directory its children follow, then [`Event::LeaveDirectory`].
    Entry(Entry),
    /// The directory [`Decoder::path`] is complete.
    LeaveDirectory,
}

/// Where the content of the current file is.
enum Content {
    None,
    /// Next in the archive.
    Inline {
        remaining: u64,
    },
    /// In the payload stream, not looked up yet.
    Referenced {
        offset: u64,
        size: u64,
    },
    /// Next in the payload stream.
    Payload {
        remaining: u64,
    },
}

struct OpenDirectory {
    path_len: usize,
    children: u64,
}

/// Reads one archive. See the module's documentation.
pub struct Decoder<R: Read, P: Read = io::Empty> {
    items: ItemReader<BufReader<R>>,
    payload: Option<ItemReader<BufReader<P>>>,
    version: u64,
    prelude: Option<Vec<u8>>,
    /// Path of the current entry: empty for the root, else `/a/b`.
    path: Vec<u8>,
    directories: Vec<OpenDirectory>,
    /// A header that was read already: the root's ENTRY, or what stood behind an entry.
    lookahead: Option<Item>,
    content: Content,
    /// After an error or the end there is nothing more.
    is_finished: bool,
}

impl<R: Read> Decoder<R> {
    /// Begin to read an archive, or the metadata stream of a split one.
    ///
    /// # Errors
    /// The first items are damaged or can't be read.
    pub fn new(archive: R) -> Result<Self, Error> {
        Self::begin(archive, None)
    }
}

impl<R: Read, P: Read> Decoder<R, P> {
    /// Begin to read a split archive with its contents.
    ///
    /// # Errors
    /// The first items are damaged or can't be read, or the payload stream has no start marker.
    pub fn split(archive: R, payload: P) -> Result<Self, Error> {
        Self::begin(archive, Some(payload))
    }

    pub(crate) fn begin(archive: R, payload: Option<P>) -> Result<Self, Error> {
        let buffered = BufReader::with_capacity(BUFFER_BYTES, archive);
        let mut items = ItemReader::new(buffered, Stream::Archive, 0);
        let mut first = items.header()?;
        let mut version = crate::format::FORMAT_VERSION_1;
        let mut prelude = None;
        if first.kind == ItemType::FormatVersion {
            version = items.version(first)?;
            first = items.header()?;
            if first.kind == ItemType::Prelude {
                prelude = Some(items.prelude(first, PRELUDE_LEN_MAX)?);
                first = items.header()?;
            }
        }
        let payload = match payload {
            None => None,
            Some(payload) => {
                let buffered = BufReader::with_capacity(BUFFER_BYTES, payload);
                let mut items = ItemReader::new(buffered, Stream::Payload, 0);
                let marker = items.header()?;
                if marker.kind != ItemType::PayloadStartMarker {
                    return Err(items.unexpected(marker, "PAYLOAD_START_MARKER"));
                }
                Some(items)
            }
        };
        Ok(Self {
            items,
            payload,
            version,
            prelude,
            path: Vec::new(),
            directories: Vec::new(),
            lookahead: Some(first),
            content: Content::None,
            is_finished: false,
        })
    }

    /// Version of the format: 1 (unified) or 2 (split).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the archiver stored before the root.
    #[must_use]
    pub fn prelude(&self) -> Option<&[u8]> {
        self.prelude.as_deref()
    }

    /// Path of the current entry, or of the directory that was just left: `/` and the components
    /// joined by `/`.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        if self.path.is_empty() { b"/" } else { &self.path }
    }

    /// Last component of [`Decoder::path`]; empty for the root.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Bytes read of the archive (of the metadata stream) so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.items.position()
    }

    /// The next event, or `None` behind the root's end. Content of the current file that was not read
    /// is skipped.
    ///
    /// # Errors
    /// The archive is damaged or can't be read. After an error there are no more events.
    pub fn next_event(&mut self) -> Result<Option<Event>, Error> {
        if self.is_finished {
            return Ok(None);
        }
        let result = self.advance();
        self.is_finished |= result.is_err();
        if matches!(result, Ok(Some(Event::LeaveDirectory))) && self.directories.is_empty() {
            self.is_finished = true;
        }
        result
    }

    fn advance(&mut self) -> Result<Option<Event>, Error> {
        self.skip_content()?;
        let item = match self.lookahead.take() {
            Some(item) => item,
            None => self.items.header()?,
        };
        if self.directories.is_empty() {
            return self.root(item).map(Some);
        }
        match item.kind {
            ItemType::Filename => self.child(item).map(Some),
            ItemType::Goodbye => self.goodbye(item).map(Some),
            _ => Err(self.items.unexpected(item, "FILENAME or GOODBYE")),
        }
    }

    fn root(&mut self, item: Item) -> Result<Event, Error> {
        let (metadata, following) = self.items.entry(item)?;
        match self.items.body(&metadata, item.offset, following)? {
            Body::Directory(following) => {
                self.lookahead = Some(following);
                self.directories.push(OpenDirectory { path_len: 0, children: 0 });
                let kind = EntryKind::Directory;
                Ok(Event::Entry(Entry { offset: item.offset, metadata, kind }))
            }
            Body::Leaf(_) | Body::Bare(..) => {
                let damage = Damage::Mode { mode: metadata.mode, shape: "is the root directory" };
                Err(self.items.damaged(item.offset, damage))
            }
        }
    }

    fn child(&mut self, name_item: Item) -> Result<Event, Error> {
        let offset = name_item.offset;
        let name = self.items.file_name(name_item)?;
        if let Some(directory) = self.directories.last_mut() {
            directory.children += 1;
            self.path.truncate(directory.path_len);
        }
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        if self.path.len() > PATH_BYTES_MAX {
            let damage = Damage::Other("directories are nested deeper than any path can name");
            return Err(self.items.damaged(offset, damage));
        }
        let item = self.items.header()?;
        if item.kind == ItemType::Hardlink {
            let kind = self.items.hardlink(item, offset)?;
            return Ok(Event::Entry(Entry { offset, metadata: Metadata::default(), kind }));
        }
        let (metadata, following) = self.items.entry(item)?;
        let kind = match self.items.body(&metadata, item.offset, following)? {
            Body::Directory(following) => {
                self.lookahead = Some(following);
                let path_len = self.path.len();
                self.directories.push(OpenDirectory { path_len, children: 0 });
                EntryKind::Directory
            }
            Body::Bare(kind, following) => {
                self.lookahead = following;
                kind
            }
            Body::Leaf(kind) => {
                self.content = match kind {
                    EntryKind::File { size, payload_offset: None } => {
                        Content::Inline { remaining: size }
                    }
                    EntryKind::File { size, payload_offset: Some(offset) } => {
                        Content::Referenced { offset, size }
                    }
                    _ => Content::None,
                };
                kind
            }
        };
        Ok(Event::Entry(Entry { offset, metadata, kind }))
    }

    fn goodbye(&mut self, item: Item) -> Result<Event, Error> {
        if let Some(directory) = self.directories.pop() {
            self.path.truncate(directory.path_len);
            let expected = goodbye::RECORD_LEN.checked_mul(directory.children + 1);
            if expected != Some(item.content_len) {
                let full_size = item.content_len + HEADER_LEN;
                let damage = Damage::ItemSize { item: item.kind.name(), full_size };
                return Err(self.items.damaged(item.offset, damage));
            }
        }
        skip(&mut self.items, item.content_len, item.kind.name())?;
        Ok(Event::LeaveDirectory)
    }

    fn skip_content(&mut self) -> Result<(), Error> {
        match std::mem::replace(&mut self.content, Content::None) {
            Content::None | Content::Referenced { .. } => Ok(()),
            Content::Inline { remaining } => skip(&mut self.items, remaining, "PAYLOAD"),
            Content::Payload { remaining } => match &mut self.payload {
                Some(payload) => skip(payload, remaining, "PAYLOAD"),
                None => Ok(()),
            },
        }
    }

    /// Whether the content of files can be read: always for unified archives, for split ones only
    /// with their payload stream.
    #[must_use]
    pub fn has_contents(&self) -> bool {
        self.version == crate::format::FORMAT_VERSION_1 || self.payload.is_some()
    }

    /// True if something follows the archive in its stream, of which the decoder may have read a part already. Asked behind
    /// the last event.
    ///
    /// # Errors
    /// What the stream says.
    pub fn is_followed(&mut self) -> io::Result<bool> {
        Ok(!self.items.inner().fill_buf()?.is_empty())
    }

    /// The content of the current file as a reader; empty if the current entry is no file.
    ///
    /// Its errors are this crate's [`Error`] inside an [`io::Error`].
    pub fn content(&mut self) -> ContentReader<'_, R, P> {
        ContentReader { decoder: self }
    }

    /// The next piece of the current file's content; empty at its end. Take it with
    /// [`Decoder::consume_content`].
    ///
    /// # Errors
    /// The archive is damaged or can't be read, or the content is in a payload stream that was not
    /// given.
    pub fn content_piece(&mut self) -> Result<&[u8], Error> {
        if self.is_finished {
            return Ok(&[]);
        }
        if let Content::Referenced { offset, size } = self.content {
            let result = self.open_payload(offset, size);
            self.is_finished |= result.is_err();
            result?;
        }
        let (remaining, is_inline) = match self.content {
            Content::Inline { remaining } => (remaining, true),
            Content::Payload { remaining } => (remaining, false),
            Content::None | Content::Referenced { .. } => (0, true),
        };
        if remaining == 0 {
            return Ok(&[]);
        }
        let piece = if is_inline {
            piece(&mut self.items, remaining)
        } else {
            match &mut self.payload {
                Some(payload) => piece(payload, remaining),
                None => Ok(&[][..]),
            }
        };
        self.is_finished |= piece.is_err();
        piece
    }

    /// Take bytes of the last [`Decoder::content_piece`].
    pub fn consume_content(&mut self, bytes: usize) {
        match &mut self.content {
            Content::Inline { remaining } => {
                *remaining = remaining.saturating_sub(bytes as u64);
                self.items.inner().consume(bytes);
                self.items.advance(bytes as u64);
            }
            Content::Payload { remaining } => {
                *remaining = remaining.saturating_sub(bytes as u64);
                if let Some(payload) = &mut self.payload {
                    payload.inner().consume(bytes);
                    payload.advance(bytes as u64);
                }
            }
            Content::None | Content::Referenced { .. } => {}
        }
    }

    /// Go forward in the payload stream to the header at `offset` and check it.
    fn open_payload(&mut self, offset: u64, expected: u64) -> Result<(), Error> {
        let Some(payload) = &mut self.payload else {
            return Err(Error::Misuse("the payload stream of the split archive was not given"));
        };
        let Some(distance) = offset.checked_sub(payload.position()) else {
            let damage = Damage::Other("a payload reference leads backwards");
            return Err(payload.damaged(offset, damage));
        };
        skip(payload, distance, "the bytes before a referenced payload")?;
        let item = payload.header()?;
        if item.kind != ItemType::Payload {
            return Err(payload.unexpected(item, "PAYLOAD"));
        }
        if item.content_len != expected {
            let damage = Damage::PayloadSize { offset, found: item.content_len, expected };
            return Err(payload.damaged(offset, damage));
        }
        self.content = Content::Payload { remaining: expected };
        Ok(())
    }
}

/// At most `remaining` buffered bytes; never empty.
fn piece<R: Read>(items: &mut ItemReader<BufReader<R>>, remaining: u64) -> Result<&[u8], Error> {
    loop {
        match items.inner().fill_buf() {
            Ok([]) => return Err(items.truncated("PAYLOAD")),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(items.read_error(error)),
        }
    }
    let buffer = items.inner().buffer();
    let len = usize::try_from(remaining).map_or(buffer.len(), |len| len.min(buffer.len()));
    Ok(buffer.split_at(len).0)
}

/// Read over `bytes` bytes.
fn skip<R: Read>(
    items: &mut ItemReader<BufReader<R>>,
    mut bytes: u64,
    what: &'static str,
) -> Result<(), Error> {
    while bytes > 0 {
        let len = match items.inner().fill_buf() {
            Ok([]) => return Err(items.truncated(what)),
            Ok(buffer) => bytes.min(buffer.len() as u64),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(items.read_error(error)),
        };
        items.inner().consume(len as usize);
        items.advance(len);
        bytes -= len;
    }
    Ok(())
}

/// Content of the current file of a [`Decoder`].
pub struct ContentReader<'a, R: Read, P: Read> {
    decoder: &'a mut Decoder<R, P>,
}

impl<R: Read, P: Read> Read for ContentReader<'_, R, P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let len = piece.len().min(buffer.len());
        let (from, to) = (piece.split_at(len).0, buffer.split_at_mut(len).0);
        to.copy_from_slice(from);
        self.consume(len);
        Ok(len)
    }
}

impl<R: Read, P: Read> BufRead for ContentReader<'_, R, P> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.decoder.content_piece().map_err(io::Error::other)
    }

    fn consume(&mut self, bytes: usize) {
        self.decoder.consume_content(bytes);
    }
}
