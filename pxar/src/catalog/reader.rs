//! Reading a catalog, totally.
//!
//! Blocks lead only backwards (distances are checked to be positive and to stay behind the magic), so
//! a walk can't run in circles. A walk over the whole tree also refuses to enter a block twice: no
//! writer shares blocks, and a hostile catalog that does could make a walk exponentially long.

use std::collections::HashSet;
use std::io;

use super::varint::{take_signed, take_unsigned};
use super::{Kind, MAGIC, NAME_LEN_LIMIT, TRAILER_LEN};
use crate::accessor::ReadAt;
use crate::error::{Damage, Error, Stream, path_of};
use crate::exclude::{Effect, PatternList};

const HEAD_LEN: u64 = MAGIC.len() as u64;
/// Bytes read at once of a block.
const READ_BYTES: usize = 64 << 10;
/// Longest number before a block's content.
const LEN_BYTES_MAX: usize = 10;

/// A catalog opened for reading.
pub struct Reader<R> {
    storage: R,
    root: u64,
    /// Where the trailer starts.
    end: u64,
}

/// An entry of a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name; empty for the root.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
}

/// An entry met by a walk.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// `/` and the path relative to where the walk started.
    pub path: &'a [u8],
    /// The entry.
    pub entry: &'a Entry,
}

/// The entries of one directory, decoded one after the other.
pub struct Directory {
    /// Offset of the block.
    start: u64,
    content: Vec<u8>,
    taken: usize,
    left: u64,
    is_failed: bool,
}

impl<R: ReadAt> Reader<R> {
    /// Open a catalog.
    ///
    /// # Errors
    /// The magic or the trailer is damaged, or the storage fails.
    pub fn open(storage: R) -> Result<Self, Error> {
        let end = storage.size().checked_sub(TRAILER_LEN);
        let Some(end) = end.filter(|end| *end >= HEAD_LEN + 2) else {
            return Err(damaged(0, Damage::Truncated { item: "the catalog" }));
        };
        let mut reader = Self { storage, root: 0, end };
        let mut magic = [0; MAGIC.len()];
        reader.read_exact(&mut magic, 0)?;
        if magic != MAGIC {
            return Err(damaged(0, Damage::Other("this is not a catalog")));
        }
        let mut trailer = [0; TRAILER_LEN as usize];
        reader.read_exact(&mut trailer, end)?;
        reader.root = u64::from_le_bytes(trailer);
        if reader.root < HEAD_LEN || reader.root >= end {
            return Err(damaged(end, Damage::Other("the root's offset lies outside the catalog")));
        }
        Ok(reader)
    }

    /// The root; its entries are the archives.
    #[must_use]
    pub fn root(&self) -> Entry {
        Entry { name: Vec::new(), kind: Kind::Directory { block: self.root } }
    }

    /// The entries of a directory.
    ///
    /// # Errors
    /// The entry is no directory, its block is damaged, or the storage fails.
    pub fn directory(&self, entry: &Entry) -> Result<Directory, Error> {
        let Kind::Directory { block } = entry.kind else {
            return Err(Error::WrongKind { path: path_of(&entry.name), expected: "directory" });
        };
        let available = self.end.saturating_sub(block);
        let mut head = [0; LEN_BYTES_MAX];
        let head_len = available.min(head.len() as u64) as usize;
        let (head, _) = head.split_at_mut(head_len);
        self.read_exact(head, block)?;
        let mut rest = &*head;
        let len = take_unsigned(&mut rest);
        let len_len = (head_len - rest.len()) as u64;
        let Some(len) = len.filter(|len| *len >= 1 && *len <= available - len_len) else {
            return Err(damaged(block, Damage::Other("a directory is longer than the catalog")));
        };
        // Grows with what is really there, whatever the length says.
        let mut content = Vec::new();
        while (content.len() as u64) < len {
            let filled = content.len();
            let step = (len - filled as u64).min(READ_BYTES as u64) as usize;
            content.resize(filled + step, 0);
            let (_, room) = content.split_at_mut(filled);
            self.read_exact(room, block + len_len + filled as u64)?;
        }
        let mut rest = &content[..];
        let Some(left) = take_unsigned(&mut rest) else {
            return Err(damaged(block, Damage::Other("the number of entries has no end")));
        };
        let taken = content.len() - rest.len();
        Ok(Directory { start: block, content, taken, left, is_failed: false })
    }

    /// Look a path up; a leading `/` is ignored, the empty path is the root.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongKind`] for a path through something that is no directory,
    /// or the catalog is damaged or can't be read.
    pub fn lookup(&self, path: &[u8]) -> Result<Entry, Error> {
        let mut entry = self.root();
        for component in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            entry = self
                .child(&entry, component)?
                .ok_or_else(|| Error::NotFound { stream: Stream::Catalog, path: path_of(path) })?;
        }
        Ok(entry)
    }

    /// The entry of this name in a directory.
    ///
    /// # Errors
    /// The entry is no directory, or the catalog is damaged or can't be read.
    pub fn child(&self, directory: &Entry, name: &[u8]) -> Result<Option<Entry>, Error> {
        for child in self.directory(directory)? {
            let child = child?;
            if child.name == name {
                return Ok(Some(child));
            }
        }
        Ok(None)
    }

    /// Visit everything below a directory, depth first. `visit` says of each entry whether a directory
    /// is to be entered.
    ///
    /// # Errors
    /// Those of `visit`, or the catalog is damaged or can't be read.
    pub fn walk(
        &self,
        start: &Entry,
        visit: &mut dyn FnMut(Found<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let mut entered = HashSet::new();
        let mut path = Vec::new();
        let mut open = vec![(self.directory(start)?, 0)];
        while let Some((directory, path_len)) = open.last_mut() {
            path.truncate(*path_len);
            let Some(entry) = directory.next().transpose()? else {
                open.pop();
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(&entry.name);
            let enter = visit(Found { path: &path, entry: &entry })?;
            if let (true, Kind::Directory { block }) = (enter, entry.kind) {
                if !entered.insert(block) {
                    return Err(damaged(block, Damage::Other("a directory has two parents")));
                }
                open.push((self.directory(&entry)?, path.len()));
            }
        }
        Ok(())
    }

    /// Report everything below `start` that the patterns include. What they exclude is not entered.
    ///
    /// # Errors
    /// Those of `report`, or the catalog is damaged or can't be read.
    pub fn find(
        &self,
        start: &Entry,
        patterns: &PatternList,
        report: &mut dyn FnMut(Found<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.walk(start, &mut |found| {
            let is_directory = matches!(found.entry.kind, Kind::Directory { .. });
            match patterns.decide(found.path, is_directory) {
                Some(Effect::Exclude) => Ok(false),
                Some(Effect::Include) => report(found).map(|()| true),
                None => Ok(true),
            }
        })
    }

    fn read_exact(&self, buffer: &mut [u8], offset: u64) -> Result<(), Error> {
        let mut filled = 0;
        while let Some(room) = buffer.get_mut(filled..).filter(|room| !room.is_empty()) {
            let at = offset + filled as u64;
            match self.storage.read_at(room, at) {
                Ok(0) => return Err(damaged(at, Damage::Truncated { item: "a directory" })),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Error::Read { stream: Stream::Catalog, offset: at, source });
                }
            }
        }
        Ok(())
    }
}

impl Directory {
    fn take(&mut self) -> Result<Entry, Error> {
        let start = self.start;
        let damaged = |reason| damaged(start, Damage::Other(reason));
        let mut rest = self.content.get(self.taken..).unwrap_or_default();
        let Some((letter, behind)) = rest.split_first() else {
            return Err(damaged("a directory has fewer entries than it says"));
        };
        rest = behind;
        let len = take_unsigned(&mut rest).filter(|len| *len < NAME_LEN_LIMIT);
        let name = len.and_then(|len| rest.split_at_checked(len as usize));
        let Some((name, behind)) = name else {
            return Err(damaged("a name is longer than its directory, or than 4095 bytes"));
        };
        rest = behind;
        // The root's names are archives, and whoever wrote them may have used a slash; everything
        // else that is no file name could lead a restore astray.
        if crate::format::invalid_name_reason(name).is_some_and(|_| !name.contains(&b'/'))
            || name.contains(&0)
        {
            return Err(damaged("an entry has an impossible name"));
        }
        let kind = match letter {
            b'd' => {
                let distance = take_unsigned(&mut rest).filter(|distance| *distance > 0);
                let block = distance.and_then(|distance| start.checked_sub(distance));
                let Some(block) = block.filter(|block| *block >= HEAD_LEN) else {
                    return Err(damaged("a directory entry does not lead back into the catalog"));
                };
                Kind::Directory { block }
            }
            b'f' => {
                let (size, mtime) = (take_unsigned(&mut rest), take_signed(&mut rest));
                let (Some(size), Some(mtime)) = (size, mtime) else {
                    return Err(damaged("a size or time has no end"));
                };
                Kind::File { size, mtime }
            }
            letter => match Kind::of_plain_letter(*letter) {
                Some(kind) => kind,
                None => return Err(damaged("an entry has an unknown type letter")),
            },
        };
        let entry = Entry { name: name.to_vec(), kind };
        self.taken = self.content.len() - rest.len();
        Ok(entry)
    }
}

impl Iterator for Directory {
    type Item = Result<Entry, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_failed {
            return None;
        }
        let result = if self.left > 0 {
            self.left -= 1;
            self.take()
        } else if self.taken < self.content.len() {
            let damage = Damage::Other("a directory has more bytes than its entries need");
            Err(damaged(self.start, damage))
        } else {
            return None;
        };
        self.is_failed = result.is_err();
        Some(result)
    }
}

fn damaged(offset: u64, damage: Damage) -> Error {
    Error::Damaged { stream: Stream::Catalog, offset, damage }
}
