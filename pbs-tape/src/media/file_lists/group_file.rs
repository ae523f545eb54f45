//! The names of a backup group as a file (`docs/formats/file-lists.md`).
//!
//! ```text
//! magic, 8 bytes
//! length u32, blob        the head, JSON
//! length u32, blob  …     blocks of paths, sorted over all of them
//! SHA-256 of everything before, 32 bytes
//! ```
//!
//! A blob is one of the datastore's format: compressed, with a checksum. A block is a sequence of entries; numbers are LEB128:
//!
//! ```text
//! bytes shared with the path before (0 at the beginning of a block), length of the rest, rest,
//! type letter (1 byte), number of ranges n, n × (gap to the end of the range before, length)
//! ```
//!
//! The ranges are numbers of lists that the path is in; n = 0: all of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path as FilePath;

use datastore::{DataBlob, Digest};
use serde::{Deserialize, Serialize};

use super::{Group, Learned, Names};
use crate::error::{Error, IoResultExt, Result};
use crate::media::state::replace_file;

const MAGIC: [u8; 8] = [0x43, 0x46, 0x4c, 0x31, 0x9e, 0x0a, 0xd2, 0x77];
const SUM_BYTES: usize = 32;
/// A block is closed at this length.
const BLOCK_BYTES: usize = 1 << 20;
/// No block is longer: one entry more than `BLOCK_BYTES`, whose ranges are the longest part of it.
const BLOCK_BYTES_MAX: usize = 15 << 20;
/// No path is longer: names have 4 KiB, and no file system goes so deep.
const PATH_BYTES_MAX: u64 = 1 << 20;
const FILE_MODE: u32 = 0o640;

/// What is known of the names of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum List {
    /// They are list number so and so.
    Number(u32),
    /// They are encrypted, and not here.
    Encrypted,
    /// It has no catalog of names.
    NoCatalog,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    store: String,
    group: String,
    /// Digests of the indexes of the catalogs, by number.
    lists: Vec<String>,
    /// By time.
    snapshots: BTreeMap<i64, List>,
}

/// A path of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The archive's stored name, `/` and the path in it.
    pub name: Vec<u8>,
    /// Letter of its type: `d`, `f`, `l` …
    pub letter: u8,
    /// Numbers of the lists that it is in, as ranges; none: all.
    ranges: Vec<(u32, u32)>,
}

impl Path {
    /// True if it is in that list.
    pub fn is_in(&self, list: u32) -> bool {
        self.ranges.is_empty() || self.ranges.iter().any(|(from, to)| (*from..*to).contains(&list))
    }

    fn key(&self) -> (&[u8], u8) {
        (&self.name, self.letter)
    }
}

/// The lists of a group in memory, compressed.
pub struct GroupFile {
    head: Head,
    blocks: Vec<DataBlob>,
}

fn damaged(reason: impl Into<String>) -> Error {
    Error::malformed("file list", reason)
}

impl GroupFile {
    /// Loads and checks a file.
    ///
    /// # Errors
    ///
    /// It is not there, can't be read, is damaged, or is another group's.
    pub fn load(path: &FilePath, group: &Group) -> Result<GroupFile> {
        let file = GroupFile::decode(&std::fs::read(path).at(path)?)?;
        match (&file.head.store, &file.head.group) == (&group.store, &group.name) {
            true => Ok(file),
            false => Err(damaged("it is another group's")),
        }
    }

    /// Reads bytes.
    pub fn decode(bytes: &[u8]) -> Result<GroupFile> {
        let (body, sum) = bytes
            .len()
            .checked_sub(SUM_BYTES)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or_else(|| damaged("it is too short"))?;
        if openssl::sha::sha256(body) != sum {
            return Err(damaged("its checksum is wrong"));
        }
        let mut rest = body.strip_prefix(&MAGIC).ok_or_else(|| damaged("it is none"))?;
        let mut blobs = Vec::new();
        while !rest.is_empty() {
            let (len, behind) =
                rest.split_first_chunk().ok_or_else(|| damaged("it ends in a length"))?;
            let (blob, behind) = behind
                .split_at_checked(u32::from_le_bytes(*len) as usize)
                .ok_or_else(|| damaged("it ends in a block"))?;
            blobs.push(DataBlob::from_bytes(blob.to_vec(), &"a block of a file list")?);
            rest = behind;
        }
        let mut blobs = blobs.into_iter();
        let head = blobs.next().ok_or_else(|| damaged("it has no head"))?;
        let head = head.decode(None, BLOCK_BYTES_MAX, &"the head of a file list")?;
        let head: Head = serde_json::from_slice(&head).map_err(|e| damaged(e.to_string()))?;
        let lists = head.lists.len() as u32;
        if head.snapshots.values().any(|list| matches!(list, List::Number(n) if *n >= lists)) {
            return Err(damaged("a snapshot has a list that is not there"));
        }
        Ok(GroupFile { head, blocks: blobs.collect() })
    }

    /// The bytes of the file.
    fn encode(&self) -> Result<Vec<u8>> {
        let head = serde_json::to_vec(&self.head).map_err(|e| damaged(e.to_string()))?;
        let mut bytes = MAGIC.to_vec();
        for blob in std::iter::once(&DataBlob::encode(&head, None, true)?).chain(&self.blocks) {
            bytes.extend_from_slice(&(blob.encoded_len() as u32).to_le_bytes());
            bytes.extend_from_slice(blob.as_bytes());
        }
        let sum = openssl::sha::sha256(&bytes);
        bytes.extend_from_slice(&sum);
        Ok(bytes)
    }

    /// Replaces the file.
    pub fn store(&self, path: &FilePath) -> Result<()> {
        replace_file(path, &self.encode()?, FILE_MODE)
    }

    /// Times of the snapshots that something is known of.
    pub fn times(&self) -> impl Iterator<Item = i64> + '_ {
        self.head.snapshots.keys().copied()
    }

    /// What is known of a snapshot's names.
    pub fn list_of(&self, time: i64) -> Option<List> {
        self.head.snapshots.get(&time).copied()
    }

    /// True if the names of this catalog are known.
    pub fn knows(&self, catalog: &Digest) -> bool {
        self.head.lists.contains(&catalog.to_string())
    }

    /// Calls `each` for every path, in order.
    ///
    /// # Errors
    ///
    /// A block is not what it should be.
    pub fn each(&self, each: &mut dyn FnMut(&Path) -> Result<()>) -> Result<()> {
        let mut path = Path { name: Vec::new(), letter: 0, ranges: Vec::new() };
        for blob in &self.blocks {
            let block = blob.decode(None, BLOCK_BYTES_MAX, &"a block of a file list")?;
            path.name.clear();
            let mut rest = &*block;
            while !rest.is_empty() {
                take_path(&mut rest, &mut path).ok_or_else(|| damaged("a path can't be read"))?;
                each(&path)?;
            }
        }
        Ok(())
    }

    /// The same without snapshots of which `is_stale` is true.
    pub fn without(self, is_stale: &dyn Fn(i64) -> bool) -> Result<GroupFile> {
        let mut head = self.head.clone();
        head.snapshots.retain(|time, _| !is_stale(*time));
        rewrite(Some(self), head, Vec::new())
    }
}

/// Adds what was learnt to what was known.
pub(super) fn merge(
    old: Option<GroupFile>,
    group: &Group,
    learned: BTreeMap<i64, Learned>,
) -> Result<GroupFile> {
    let mut head = match &old {
        Some(old) => old.head.clone(),
        None => Head {
            store: group.store.clone(),
            group: group.name.clone(),
            lists: Vec::new(),
            snapshots: BTreeMap::new(),
        },
    };
    let mut new: Vec<(u32, Names)> = Vec::new();
    for (time, learned) in learned {
        let list = match learned {
            Learned::Encrypted => List::Encrypted,
            Learned::NoCatalog => List::NoCatalog,
            Learned::Names(catalog, names) => {
                let catalog = catalog.to_string();
                let known = head.lists.iter().position(|known| *known == catalog);
                match (known, names) {
                    (Some(number), _) => List::Number(number as u32),
                    (None, Some(names)) => {
                        head.lists.push(catalog);
                        let number = (head.lists.len() - 1) as u32;
                        new.push((number, names));
                        List::Number(number)
                    }
                    // It was known and is not any more: nothing is learnt.
                    (None, None) => continue,
                }
            }
        };
        head.snapshots.insert(time, list);
    }
    rewrite(old, head, new)
}

/// Writes the lists that `head` still needs anew: old paths and `new` ones in one order, lists that no snapshot has left out.
fn rewrite(old: Option<GroupFile>, mut head: Head, new: Vec<(u32, Names)>) -> Result<GroupFile> {
    let used: BTreeSet<u32> = head
        .snapshots
        .values()
        .filter_map(|list| match list {
            List::Number(number) => Some(*number),
            _ => None,
        })
        .collect();
    // Old number → new number.
    let mut renumbered: Vec<Option<u32>> = vec![None; head.lists.len()];
    for (to, from) in used.iter().enumerate() {
        if let Some(place) = renumbered.get_mut(*from as usize) {
            *place = Some(to as u32);
        }
    }
    let to_new = |number: u32| renumbered.get(number as usize).copied().flatten();
    let before = old.as_ref().map_or(0, |old| old.head.lists.len() as u32);
    head.lists = head
        .lists
        .iter()
        .enumerate()
        .filter(|(number, _)| to_new(*number as u32).is_some())
        .map(|(_, digest)| digest.clone())
        .collect();
    for list in head.snapshots.values_mut() {
        if let List::Number(number) = list {
            *number = to_new(*number).ok_or_else(|| damaged("a list has no number"))?;
        }
    }
    let mut writer = BlockWriter::new(head.lists.len() as u32);
    let mut added = added_paths(new, &to_new).into_iter().peekable();
    if let Some(old) = &old {
        old.each(&mut |path| {
            let mut numbers = path.numbers(before, &to_new);
            while let Some((name, letter, _)) = added.peek() {
                match (&name[..], *letter).cmp(&path.key()) {
                    Ordering::Less => {
                        if let Some((name, letter, numbers)) = added.next() {
                            writer.add(&name, letter, &numbers)?;
                        }
                    }
                    Ordering::Equal => {
                        numbers.extend(added.next().into_iter().flat_map(|added| added.2));
                        break;
                    }
                    Ordering::Greater => break,
                }
            }
            numbers.sort_unstable();
            writer.add(&path.name, path.letter, &numbers)
        })?;
    }
    for (name, letter, numbers) in added {
        writer.add(&name, letter, &numbers)?;
    }
    Ok(GroupFile { head, blocks: writer.finish()? })
}

type Added = (Vec<u8>, u8, Vec<u32>);

/// The paths of new lists, sorted, each once with its lists.
fn added_paths(new: Vec<(u32, Names)>, to_new: &dyn Fn(u32) -> Option<u32>) -> Vec<Added> {
    let mut all: Vec<(Vec<u8>, u8, u32)> = Vec::new();
    for (number, names) in new {
        let Some(number) = to_new(number) else { continue };
        all.extend(names.into_iter().map(|(name, letter)| (name, letter, number)));
    }
    all.sort_unstable();
    let mut added: Vec<Added> = Vec::new();
    for (name, letter, number) in all {
        match added.last_mut() {
            Some(last) if (&last.0, last.1) == (&name, letter) => {
                if last.2.last() != Some(&number) {
                    last.2.push(number);
                }
            }
            _ => added.push((name, letter, vec![number])),
        }
    }
    added
}

impl Path {
    /// Numbers of its lists after renumbering; there were `before`.
    fn numbers(&self, before: u32, to_new: &dyn Fn(u32) -> Option<u32>) -> Vec<u32> {
        let all = [(0, before)];
        let ranges = if self.ranges.is_empty() { &all[..] } else { &self.ranges };
        let within = ranges.iter().map(|(from, to)| *from..(*to).min(before));
        within.flatten().filter_map(to_new).collect()
    }
}

/// Entries into blocks.
struct BlockWriter {
    lists: u32,
    blocks: Vec<DataBlob>,
    block: Vec<u8>,
    last: Vec<u8>,
}

impl BlockWriter {
    fn new(lists: u32) -> BlockWriter {
        BlockWriter { lists, blocks: Vec::new(), block: Vec::new(), last: Vec::new() }
    }

    /// Adds a path that is in these lists, sorted; one that is in none, or too long to be one, is left out.
    fn add(&mut self, name: &[u8], letter: u8, numbers: &[u32]) -> Result<()> {
        if numbers.is_empty() || name.len() as u64 > PATH_BYTES_MAX {
            return Ok(());
        }
        if self.block.len() >= BLOCK_BYTES {
            self.close()?;
        }
        let shared = self.last.iter().zip(name).take_while(|(a, b)| a == b).count();
        let rest = name.get(shared..).unwrap_or_default();
        put(&mut self.block, shared as u64);
        put(&mut self.block, rest.len() as u64);
        self.block.extend_from_slice(rest);
        self.block.push(letter);
        if numbers.len() as u64 == u64::from(self.lists) {
            put(&mut self.block, 0);
        } else {
            let mut ranges: Vec<(u32, u32)> = Vec::new();
            for number in numbers {
                match ranges.last_mut() {
                    Some((_, to)) if *to == *number => *to += 1,
                    _ => ranges.push((*number, number + 1)),
                }
            }
            put(&mut self.block, ranges.len() as u64);
            let mut end = 0;
            for (from, to) in ranges {
                put(&mut self.block, u64::from(from - end));
                put(&mut self.block, u64::from(to - from));
                end = to;
            }
        }
        self.last.clear();
        self.last.extend_from_slice(name);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if !self.block.is_empty() {
            self.blocks.push(DataBlob::encode(&self.block, None, true)?);
        }
        self.block.clear();
        self.last.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<DataBlob>> {
        self.close()?;
        Ok(self.blocks)
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        let bits = u64::from(byte & 0x7f);
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The next entry over the one before; `None`: the bytes are none.
fn take_path(rest: &mut &[u8], path: &mut Path) -> Option<()> {
    let shared = take(rest)?;
    let len = take(rest).filter(|len| len.saturating_add(shared) <= PATH_BYTES_MAX)?;
    if shared > path.name.len() as u64 {
        return None;
    }
    let (name, behind) = rest.split_at_checked(len as usize)?;
    path.name.truncate(shared as usize);
    path.name.extend_from_slice(name);
    let (letter, behind) = behind.split_first()?;
    path.letter = *letter;
    *rest = behind;
    path.ranges.clear();
    let count = take(rest)?;
    let mut end = 0u32;
    for _ in 0..count {
        let from = end.checked_add(u32::try_from(take(rest)?).ok()?)?;
        let len = u32::try_from(take(rest)?).ok().filter(|len| *len > 0)?;
        end = from.checked_add(len)?;
        path.ranges.push((from, end));
    }
    Some(())
}
