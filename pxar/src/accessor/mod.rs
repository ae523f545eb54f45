//! Random access: single entries out of the middle of an archive, through its GOODBYE tables.
//!
//! It is total like the decoder, and it ends: everything a directory leads to lies strictly inside the
//! directory's own range, and children's ranges do not overlap ([`Directory`] checks both), so that no
//! table can make a walk run in circles or visit the same bytes twice. Only a hardlink leads outside,
//! and only to a regular file.
//!
//! Sizes in tables are upper bounds except for directories (in a split archive they may count content
//! that lies in the other stream), so a child ends at the latest where the next one starts.

mod content;
mod read_at;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use zerocopy::{FromZeros, IntoBytes};

use crate::decoder::EntryKind;
use crate::error::{Damage, Error, Stream, path_of};
use crate::format::goodbye::{self, RawRecord, Record};
use crate::format::{ARCHIVE_LEN_MIN, CHILD_LEN_MIN, HEADER_LEN, ItemType, PRELUDE_LEN_MAX};
use crate::items::{Body, ItemReader};
use crate::metadata::Metadata;

pub use content::FileContent;
pub use read_at::{FileReadAt, ReadAt};

/// Bytes read at once for an entry: enough for a name, stat and usual attributes.
const ENTRY_READ_BYTES: usize = 1024;
/// Bytes read at once for a table.
const TABLE_READ_BYTES: usize = 64 << 10;

type Storage = Arc<dyn ReadAt + Send + Sync>;

/// An archive opened for random access. Cheap to clone.
#[derive(Clone)]
pub struct Accessor {
    archive: Storage,
    payload: Option<Storage>,
    version: u64,
}

/// An entry found in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; empty for the root.
    pub name: Vec<u8>,
    /// Its metadata; all zero for a hardlink (see [`Accessor::follow_hardlink`]).
    pub metadata: Metadata,
    /// What it is.
    pub kind: EntryKind,
    /// Offset of its FILENAME item; for the root, of the archive.
    pub offset: u64,
    /// Where its content starts in the archive, for a file of a unified one; where its range ends, for
    /// a directory.
    anchor: u64,
}

/// An open directory: its table, checked and in memory.
pub struct Directory {
    accessor: Accessor,
    entry: Entry,
    goodbye_start: u64,
    /// In table order.
    table: Vec<Record>,
    /// Where children start, ascending.
    starts: Vec<u64>,
}

impl Accessor {
    /// Open a unified archive, or the metadata stream of a split one without its contents.
    ///
    /// # Errors
    /// The archive is damaged at its start or can't be read.
    pub fn open(archive: impl ReadAt + Send + Sync + 'static) -> Result<Self, Error> {
        Self::begin(Arc::new(archive), None)
    }

    /// Open a split archive with its contents.
    ///
    /// # Errors
    /// One of the streams is damaged at its start or can't be read.
    pub fn open_split(
        archive: impl ReadAt + Send + Sync + 'static,
        payload: impl ReadAt + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        Self::begin(Arc::new(archive), Some(Arc::new(payload)))
    }

    fn begin(archive: Storage, payload: Option<Storage>) -> Result<Self, Error> {
        if archive.size() < ARCHIVE_LEN_MIN {
            return Err(damaged(0, Damage::Truncated { item: "the archive" }));
        }
        let mut items = reader(&archive, Stream::Archive, 0, archive.size());
        let first = items.header()?;
        let version = match first.kind {
            ItemType::FormatVersion => items.version(first)?,
            ItemType::Entry | ItemType::EntryV1 => crate::format::FORMAT_VERSION_1,
            _ => return Err(items.unexpected(first, "FORMAT_VERSION or ENTRY")),
        };
        if let Some(payload) = &payload {
            let mut items = reader(payload, Stream::Payload, 0, payload.size());
            let marker = items.header()?;
            if marker.kind != ItemType::PayloadStartMarker {
                return Err(items.unexpected(marker, "PAYLOAD_START_MARKER"));
            }
        }
        Ok(Self { archive, payload, version })
    }

    /// Version of the format: 1 (unified) or 2 (split).
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the archiver stored before the root, if anything.
    ///
    /// # Errors
    /// The item is damaged or can't be read.
    pub fn prelude(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut items = reader(&self.archive, Stream::Archive, 0, self.archive.size());
        let first = items.header()?;
        if first.kind != ItemType::FormatVersion {
            return Ok(None);
        }
        items.version(first)?;
        let second = items.header()?;
        if second.kind == ItemType::Prelude {
            items.prelude(second, PRELUDE_LEN_MAX).map(Some)
        } else {
            Ok(None)
        }
    }

    /// The root directory.
    ///
    /// # Errors
    /// Its table or stat data are damaged or can't be read.
    pub fn root(&self) -> Result<Directory, Error> {
        self.directory(Vec::new(), 0, 0, self.archive.size())
    }

    /// Open an entry that is a directory.
    ///
    /// # Errors
    /// It is none, or it is damaged or can't be read.
    pub fn open_directory(&self, entry: &Entry) -> Result<Directory, Error> {
        if entry.kind != EntryKind::Directory {
            return Err(Error::WrongKind { path: path_of(&entry.name), expected: "directory" });
        }
        let name = entry.name.clone();
        let name_item_len = if name.is_empty() { 0 } else { HEADER_LEN + name.len() as u64 + 1 };
        self.directory(name, entry.offset, entry.offset + name_item_len, entry.anchor)
    }

    /// A directory whose ENTRY can't lie before `range_start` and whose table ends at `end`.
    fn directory(
        &self,
        name: Vec<u8>,
        offset: u64,
        range_start: u64,
        end: u64,
    ) -> Result<Directory, Error> {
        let tail_start = end
            .checked_sub(goodbye::RECORD_LEN)
            .filter(|start| *start >= range_start)
            .ok_or_else(|| damaged(end, Damage::Truncated { item: "GOODBYE" }))?;
        let mut tail = [RawRecord::new_zeroed()];
        self.read_records(&mut tail, tail_start)?;
        let [tail] = tail;
        let tail = Record::from(tail);
        if tail.hash != goodbye::TAIL_MARKER {
            let damage = Damage::Other("a directory does not end with the tail of its table");
            return Err(damaged(tail_start, damage));
        }
        let bounds = Damage::Other("the tail of a table leads outside its directory");
        let goodbye_start = end.checked_sub(tail.size);
        let entry_start = goodbye_start.and_then(|start| start.checked_sub(tail.offset));
        let (Some(goodbye_start), Some(entry_start)) = (goodbye_start, entry_start) else {
            return Err(damaged(tail_start, bounds));
        };
        // Of the root's ENTRY nobody knows where it has to stand (a prelude may lie before it).
        let is_root = range_start == 0;
        if entry_start < range_start || (entry_start != range_start && !is_root) {
            return Err(damaged(tail_start, bounds));
        }
        let mut items = reader(&self.archive, Stream::Archive, goodbye_start, end);
        let header = items.header()?;
        let table_len = header.content_len;
        if header.kind != ItemType::Goodbye || table_len + HEADER_LEN != tail.size {
            let damage = Damage::Other("the tail of a table does not lead to its GOODBYE item");
            return Err(damaged(tail_start, damage));
        }
        let count = table_len / goodbye::RECORD_LEN - 1;
        let honest_max = (goodbye_start - range_start) / CHILD_LEN_MIN;
        if table_len % goodbye::RECORD_LEN != 0 || count > honest_max {
            let damage = Damage::ItemSize { item: "GOODBYE", full_size: tail.size };
            return Err(damaged(goodbye_start, damage));
        }
        let (metadata, children_start) = self.directory_entry(entry_start, goodbye_start)?;
        let table = self.table(goodbye_start + HEADER_LEN, count)?;
        let starts = child_starts(&table, goodbye_start, children_start)?;
        let entry = Entry { name, metadata, kind: EntryKind::Directory, offset, anchor: end };
        Ok(Directory { accessor: self.clone(), entry, goodbye_start, table, starts })
    }

    /// Stat data of a directory, and where its first child can start. In a version 2 archive the
    /// root's tail leads to the FORMAT_VERSION item instead of its ENTRY.
    fn directory_entry(&self, start: u64, end: u64) -> Result<(Metadata, u64), Error> {
        let mut items = reader(&self.archive, Stream::Archive, start, end);
        let mut item = items.header()?;
        if start == 0 && item.kind == ItemType::FormatVersion {
            items.version(item)?;
            item = items.header()?;
            if item.kind == ItemType::Prelude {
                let behind = item.content_start() + item.content_len;
                items = reader(&self.archive, Stream::Archive, behind, end.max(behind));
                item = items.header()?;
            }
        }
        let (metadata, following) = items.entry(item)?;
        let children_start = following.map_or(end, |item| item.offset);
        match following.map(|item| item.kind) {
            None | Some(ItemType::Filename)
                if metadata.file_type() == Some(crate::metadata::FileType::Directory) =>
            {
                Ok((metadata, children_start))
            }
            None | Some(ItemType::Filename) => {
                let damage = Damage::Mode { mode: metadata.mode, shape: "is a directory" };
                Err(damaged(item.offset, damage))
            }
            Some(kind) => {
                let found = kind.name();
                let damage = Damage::UnexpectedItem { found, expected: "FILENAME or GOODBYE" };
                Err(damaged(children_start, damage))
            }
        }
    }

    fn table(&self, start: u64, count: u64) -> Result<Vec<Record>, Error> {
        const PIECE: u64 = TABLE_READ_BYTES as u64 / goodbye::RECORD_LEN;
        let mut table = Vec::new();
        let mut raw = vec![RawRecord::new_zeroed(); count.min(PIECE) as usize];
        let mut done = 0;
        while done < count {
            let (piece, _) = raw.split_at_mut((count - done).min(PIECE) as usize);
            self.read_records(piece, start + done * goodbye::RECORD_LEN)?;
            table.extend(piece.iter().copied().map(Record::from));
            done += piece.len() as u64;
        }
        Ok(table)
    }

    fn read_records(&self, records: &mut [RawRecord], offset: u64) -> Result<(), Error> {
        let bytes = records.as_mut_bytes();
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = offset + filled as u64;
            match self.archive.read_at(room, at) {
                Ok(0) => return Err(damaged(at, Damage::Truncated { item: "GOODBYE" })),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::Read { stream: Stream::Archive, offset: at, source });
                }
            }
        }
        Ok(())
    }

    /// The child whose FILENAME stands at `start`; it ends at or before `end`.
    fn child(&self, start: u64, end: u64) -> Result<Entry, Error> {
        let mut items = reader(&self.archive, Stream::Archive, start, end);
        let item = items.header()?;
        if item.kind != ItemType::Filename {
            return Err(items.unexpected(item, "FILENAME"));
        }
        let name = items.file_name(item)?.to_vec();
        let item = items.header()?;
        if item.kind == ItemType::Hardlink {
            let kind = items.hardlink(item, start)?;
            let metadata = Metadata::default();
            return Ok(Entry { name, metadata, kind, offset: start, anchor: 0 });
        }
        let (metadata, following) = items.entry(item)?;
        let (kind, anchor) = match items.body(&metadata, item.offset, following)? {
            Body::Directory(_) => (EntryKind::Directory, end),
            Body::Bare(kind, _) => (kind, 0),
            Body::Leaf(kind) => {
                let content_start = following.map_or(0, |item| item.content_start());
                (kind, content_start)
            }
        };
        if let EntryKind::File { size, payload_offset: None } = &kind
            && anchor.checked_add(*size).is_none_or(|content_end| content_end > end)
        {
            let damage = Damage::ItemSize { item: "PAYLOAD", full_size: size + HEADER_LEN };
            return Err(damaged(anchor - HEADER_LEN, damage));
        }
        Ok(Entry { name, metadata, kind, offset: start, anchor })
    }

    /// Look a path up. A leading `/` and `.` components mean nothing; the empty path is the root.
    /// Symbolic links and hardlinks are not followed.
    ///
    /// # Errors
    /// The path contains `..`, leads through something that is not a directory, or the archive is
    /// damaged or can't be read.
    pub fn lookup(&self, path: &[u8]) -> Result<Option<Entry>, Error> {
        let mut entry = self.root()?.entry;
        for component in path.split(|byte| *byte == b'/') {
            if component.is_empty() || component == b"." {
                continue;
            }
            if component == b".." {
                let reason = "leads upwards";
                return Err(Error::InvalidName { name: path_of(path), reason });
            }
            match self.open_directory(&entry)?.lookup(component)? {
                Some(child) => entry = child,
                None => return Ok(None),
            }
        }
        Ok(Some(entry))
    }

    /// The regular file that a hardlink is a further name of.
    ///
    /// # Errors
    /// The entry is no hardlink, does not lead to a regular file of the name it says, or the archive
    /// is damaged or can't be read.
    pub fn follow_hardlink(&self, entry: &Entry) -> Result<Entry, Error> {
        let EntryKind::Hardlink { target, target_offset } = &entry.kind else {
            return Err(Error::WrongKind { path: path_of(&entry.name), expected: "hardlink" });
        };
        let found = self.child(*target_offset, self.archive.size())?;
        let name = target.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if found.name != name || !matches!(found.kind, EntryKind::File { .. }) {
            let damage = Damage::Other("a hardlink does not lead to the regular file it names");
            return Err(damaged(entry.offset, damage));
        }
        Ok(found)
    }

    /// What has to be read of which stream for the content of a regular file. Nothing is read for the answer. `None` for
    /// what is no regular file.
    #[must_use]
    pub fn content_range(&self, entry: &Entry) -> Option<(Stream, Range<u64>)> {
        match entry.kind {
            EntryKind::File { size, payload_offset: None } => {
                Some((Stream::Archive, entry.anchor..entry.anchor.saturating_add(size)))
            }
            EntryKind::File { size, payload_offset: Some(offset) } => {
                let end = offset.saturating_add(HEADER_LEN).saturating_add(size);
                Some((Stream::Payload, offset..end))
            }
            _ => None,
        }
    }

    /// The content of a regular file, or of the file behind a hardlink.
    ///
    /// # Errors
    /// The entry has no content, its PAYLOAD header disagrees, or the archive was opened without
    /// its payload stream.
    pub fn content(&self, entry: &Entry) -> Result<FileContent, Error> {
        let target;
        let entry = if matches!(entry.kind, EntryKind::Hardlink { .. }) {
            target = self.follow_hardlink(entry)?;
            &target
        } else {
            entry
        };
        match entry.kind {
            EntryKind::File { size, payload_offset: None } => {
                Ok(FileContent::new(self.archive.clone(), Stream::Archive, entry.anchor, size))
            }
            EntryKind::File { size, payload_offset: Some(offset) } => {
                let Some(payload) = &self.payload else {
                    let reason = "the payload stream of the split archive was not given";
                    return Err(Error::Misuse(reason));
                };
                let mut items = reader(payload, Stream::Payload, offset, payload.size());
                let item = items.header()?;
                if item.kind != ItemType::Payload {
                    return Err(items.unexpected(item, "PAYLOAD"));
                }
                if item.content_len != size {
                    let found = item.content_len;
                    let damage = Damage::PayloadSize { offset, found, expected: size };
                    return Err(items.damaged(offset, damage));
                }
                if item.content_start() + size > payload.size() {
                    return Err(items.damaged(offset, Damage::Truncated { item: "PAYLOAD" }));
                }
                let start = item.content_start();
                Ok(FileContent::new(payload.clone(), Stream::Payload, start, size))
            }
            _ => Err(Error::WrongKind { path: path_of(&entry.name), expected: "regular file" }),
        }
    }
}

/// Absolute starts of a table's children, ascending; they must be distinct and inside the directory.
fn child_starts(
    table: &[Record],
    goodbye_start: u64,
    children_start: u64,
) -> Result<Vec<u64>, Error> {
    let mut starts = Vec::with_capacity(table.len());
    for record in table {
        match goodbye_start.checked_sub(record.offset) {
            Some(start) if start >= children_start && start < goodbye_start => starts.push(start),
            _ => {
                let damage = Damage::Other("a table leads to a child outside its directory");
                return Err(damaged(goodbye_start, damage));
            }
        }
    }
    starts.sort_unstable();
    if starts.is_sorted_by(|a, b| a < b) {
        Ok(starts)
    } else {
        let damage = Damage::Other("a table leads to one child twice");
        Err(damaged(goodbye_start, damage))
    }
}

impl Directory {
    /// The directory's own entry.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// Its metadata.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.entry.metadata
    }

    /// How many children it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// Whether it has no children.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// All children in the order of the archive (customarily by name).
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry, Error>> + '_ {
        (0..self.len()).filter_map(|index| self.entry_at(index))
    }

    /// The child of this number in the order of the archive; `None` behind the last.
    #[must_use]
    pub fn entry_at(&self, index: usize) -> Option<Result<Entry, Error>> {
        let start = *self.starts.get(index)?;
        let end = self.starts.get(index + 1).copied().unwrap_or(self.goodbye_start);
        Some(self.accessor.child(start, end))
    }

    /// Where in the archive a child of this name must be, with all that is below it; nothing is read for the answer. Names
    /// of the same hash make several.
    #[must_use]
    pub fn ranges_of(&self, name: &[u8]) -> Vec<Range<u64>> {
        let wanted = goodbye::hash_name(name);
        goodbye::positions_of_hash(&self.table, |record| record.hash, wanted)
            .filter_map(|position| self.table.get(position))
            .map(|record| {
                // `child_starts` proved that this does not underflow.
                let start = self.goodbye_start - record.offset;
                let behind = self.starts.partition_point(|other| *other <= start);
                start..self.starts.get(behind).copied().unwrap_or(self.goodbye_start)
            })
            .collect()
    }

    /// The child of this name.
    ///
    /// # Errors
    /// The archive is damaged or can't be read.
    pub fn lookup(&self, name: &[u8]) -> Result<Option<Entry>, Error> {
        let wanted = goodbye::hash_name(name);
        for position in goodbye::positions_of_hash(&self.table, |record| record.hash, wanted) {
            let Some(record) = self.table.get(position) else { continue };
            // `child_starts` proved that this does not underflow.
            let start = self.goodbye_start - record.offset;
            let behind = self.starts.partition_point(|other| *other <= start);
            let next = self.starts.get(behind).copied().unwrap_or(self.goodbye_start);
            let end = start.checked_add(record.size).map_or(next, |end| end.min(next));
            let entry = self.accessor.child(start, end)?;
            if entry.name == name {
                if entry.kind == EntryKind::Directory && start.checked_add(record.size) != Some(end)
                {
                    let damage = Damage::Other("a directory's size in the table is wrong");
                    return Err(damaged(start, damage));
                }
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

/// Items of a range of a stream.
fn reader<'a>(
    storage: &'a Storage,
    stream: Stream,
    start: u64,
    end: u64,
) -> ItemReader<RangeReader<'a>> {
    let range = RangeReader { storage, position: start, end, buffer: Vec::new(), taken: 0 };
    ItemReader::new(range, stream, start)
}

fn damaged(offset: u64, damage: Damage) -> Error {
    Error::Damaged { stream: Stream::Archive, offset, damage }
}

/// Reads a range through a small buffer.
struct RangeReader<'a> {
    storage: &'a Storage,
    /// Offset behind the buffer.
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    taken: usize,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.buffer.len() {
            let left = self.end.saturating_sub(self.position);
            self.buffer
                .resize(ENTRY_READ_BYTES.min(usize::try_from(left).unwrap_or(usize::MAX)), 0);
            self.taken = 0;
            let read = self.storage.read_at(&mut self.buffer, self.position);
            self.buffer.truncate(read.as_ref().map_or(0, |read| *read));
            self.position += read? as u64;
        }
        let available = self.buffer.get(self.taken..).unwrap_or_default();
        let len = available.len().min(out.len());
        out.split_at_mut(len).0.copy_from_slice(available.split_at(len).0);
        self.taken += len;
        Ok(len)
    }
}
