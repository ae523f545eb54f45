//! Which entries of an archive are wanted, found out in rounds.
//!
//! An archive is entered through the tables of its directories, which lie in its chunks, and those are on tape. A tape that is asked for
//! one chunk after the other winds to and fro. So everything that can go on does, until all of it lacks chunks; then
//! these are fetched together, and it goes on. A round goes a level of directories deeper.
//!
//! A name is found in a table without reading the other children. So patterns that are plain paths lead straight
//! there, and other patterns are first held against the snapshot's catalog of names, if it has one. Without it, each
//! child of each directory has to be looked at.
//!
//! What can't be read is named, and costs what is below it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use client::random::RandomAccess;
use client::session::RestoreSession;
use datastore::index::Index;
use datastore::{CryptConfig, Digest};
use pxar::accessor::{Accessor, Directory, Entry};
use pxar::exclude::{Effect, PatternList};
use pxar::{EntryKind, Stream};
use serde::Serialize;

use super::snapshot::TapeSnapshot;
use super::spool::Spool;
use crate::error::{Error, Result};

/// Bytes of a table's tail, with which a directory ends.
const TAIL_BYTES: u64 = 24;

/// Something that was wanted and can't be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lost {
    /// Path in the archive.
    pub path: String,
    /// Why.
    pub reason: String,
}

impl Lost {
    pub(crate) fn new(path: &[u8], reason: impl std::fmt::Display) -> Lost {
        Lost { path: String::from_utf8_lossy(path).into_owned(), reason: reason.to_string() }
    }
}

/// An entry that is wanted, or a directory on the way to one.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// `/` and the path below the root; the root's is empty.
    pub path: Vec<u8>,
    pub entry: Entry,
    /// The file that has the content; another one than `entry` for a hardlink.
    pub source: Option<Entry>,
}

/// What was selected, in the order of the archive.
pub(crate) struct Selected {
    pub nodes: Vec<Node>,
    pub lost: Vec<Lost>,
    pub content_bytes: u64,
    pub rounds: u64,
}

/// Names to go to in a directory.
#[derive(Debug, Default, Clone)]
pub(crate) struct Guide {
    children: BTreeMap<Vec<u8>, Arc<Guide>>,
    /// Everything below is looked at.
    whole: bool,
}

impl Guide {
    /// Of patterns that are plain paths from the root; `None` if one of them is not.
    pub fn of_paths(patterns: &[String]) -> Option<Guide> {
        let mut paths = Vec::new();
        for pattern in patterns {
            let has_glob = pattern.contains(['*', '?', '[', '\\']);
            let is_odd = pattern.split('/').any(|part| part == "." || part == "..");
            if !pattern.starts_with('/') || has_glob || is_odd {
                return None;
            }
            paths.push(pattern.as_bytes());
        }
        (!paths.is_empty()).then(|| Guide::of(paths, true))
    }

    /// Of paths; `whole`: with all that is below them.
    pub fn of<'p>(paths: impl IntoIterator<Item = &'p [u8]>, whole: bool) -> Guide {
        let mut root = Guide::default();
        for path in paths {
            let mut guide = &mut root;
            for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
                guide = Arc::make_mut(guide.children.entry(name.to_vec()).or_default());
            }
            guide.whole |= whole;
        }
        root
    }
}

/// What the patterns say about an entry below a directory that is selected or not.
pub(crate) fn is_selected(
    patterns: &PatternList,
    path: &[u8],
    is_directory: bool,
    inherited: bool,
) -> bool {
    match patterns.decide(path, is_directory) {
        _ if patterns.is_empty() => true,
        Some(effect) => effect == Effect::Include,
        None => inherited,
    }
}

/// An archive of files on tape.
pub(crate) struct TapeArchive {
    snapshot: Arc<TapeSnapshot>,
    name: String,
    key: Option<Arc<CryptConfig>>,
    index: Index,
    /// Of the stream that holds the contents, if it is another.
    payload: Option<(String, Index)>,
}

struct Task {
    path: Vec<u8>,
    /// `None`: the root.
    entry: Option<Entry>,
    selected: bool,
    guide: Option<Arc<Guide>>,
}

impl TapeArchive {
    /// The archive of this stored name; with the name of its payload archive, if it has one.
    pub fn open(
        snapshot: &Arc<TapeSnapshot>,
        name: &str,
        payload: Option<String>,
        key: Option<Arc<CryptConfig>>,
    ) -> Result<TapeArchive> {
        let index = |name: &str| snapshot.index(name).map_err(|e| failed(name, e));
        let payload =
            payload.map(|name| Ok::<_, Error>((name.clone(), index(&name)?))).transpose()?;
        let index = index(name)?;
        Ok(TapeArchive { snapshot: Arc::clone(snapshot), name: name.into(), key, index, payload })
    }

    fn stream(&self, name: &str) -> Result<RandomAccess> {
        random(&self.snapshot, name, self.key.clone())
    }

    fn spool(&self) -> &Spool {
        &self.snapshot.spool
    }

    /// What has to be there before anything can be looked at. A stream of metadata is taken whole if most of it will be
    /// looked at.
    pub fn first_chunks(&self, guided: bool) -> BTreeSet<Digest> {
        let mut first = BTreeSet::new();
        if self.payload.is_some() && !guided {
            first.extend(self.index.digests());
        }
        let last = self.index.content_size().saturating_sub(1);
        for (index, at) in [(Some(&self.index), 0), (Some(&self.index), last)]
            .into_iter()
            .chain([(self.payload.as_ref().map(|(_, index)| index), 0)])
        {
            first.extend(index.into_iter().flat_map(|index| digests_of(index, at..at + 1)));
        }
        first
    }

    /// The archive itself, once its first chunks are there.
    pub fn accessor(&self) -> Result<Accessor> {
        let archive = self.stream(&self.name)?;
        let opened = match &self.payload {
            None => Accessor::open(archive),
            Some((name, _)) => Accessor::open_split(archive, self.stream(name)?),
        };
        opened.map_err(|e| failed(&self.name, e))
    }

    /// The chunks with the content of a file.
    pub fn content_chunks(&self, accessor: &Accessor, file: &Entry) -> Vec<Digest> {
        match accessor.content_range(file) {
            Some((Stream::Payload, range)) => self
                .payload
                .iter()
                .flat_map(|(_, index)| digests_of(index, range.clone()))
                .collect(),
            Some((_, range)) => digests_of(&self.index, range).collect(),
            None => Vec::new(),
        }
    }

    /// Why a file can't be had, if it can't.
    pub fn lacking(&self, accessor: &Accessor, file: &Entry) -> Option<String> {
        let chunks = self.content_chunks(accessor, file);
        chunks.iter().find_map(|digest| self.spool().failure(digest))
    }

    /// Bytes of these chunks before they were compressed.
    pub fn plain_bytes(&self, chunks: &BTreeSet<Digest>) -> u64 {
        let mut counted = BTreeSet::new();
        let payload = self.payload.iter().flat_map(|(_, index)| index.entries());
        self.index
            .entries()
            .chain(payload)
            .filter(|entry| chunks.contains(&entry.digest) && counted.insert(entry.digest))
            .map(|entry| entry.len())
            .sum()
    }

    /// Finds what is selected. `fetch` settles chunks.
    pub fn select(
        &self,
        accessor: &Accessor,
        patterns: &PatternList,
        guide: Option<Guide>,
        fetch: &mut dyn FnMut(&BTreeSet<Digest>) -> Result<()>,
    ) -> Result<Selected> {
        let guide = guide.map(Arc::new);
        let root = Task { path: Vec::new(), entry: None, selected: patterns.is_empty(), guide };
        let mut walk = Walk {
            archive: self,
            accessor,
            patterns,
            hints: BTreeSet::new(),
            directories: BTreeMap::new(),
            chosen: Vec::new(),
            lost: Vec::new(),
        };
        let mut waiting = vec![root];
        let mut rounds = 0;
        loop {
            let mut ready = std::mem::take(&mut waiting);
            while let Some(task) = ready.pop() {
                match walk.directory(&task) {
                    Some(below) => ready.extend(below),
                    None => waiting.push(task),
                }
            }
            let mut wanted = self.spool().take_missing();
            if waiting.is_empty() {
                break;
            }
            wanted.append(&mut walk.hints);
            wanted.retain(|digest| !self.spool().is_settled(digest));
            if wanted.is_empty() {
                return Err(failed(&self.name, "its directories can't be read"));
            }
            rounds += 1;
            fetch(&wanted)?;
        }
        Ok(walk.finish(rounds))
    }
}

/// One archive of a snapshot at any offset.
pub(crate) fn random(
    snapshot: &Arc<TapeSnapshot>,
    name: &str,
    key: Option<Arc<CryptConfig>>,
) -> Result<RandomAccess> {
    let index = snapshot.index(name).map_err(|e| failed(name, e))?;
    let session: Arc<dyn RestoreSession> = Arc::clone(snapshot) as Arc<dyn RestoreSession>;
    Ok(RandomAccess::new(&session, index, key))
}

pub(crate) fn failed(archive: &str, reason: impl std::fmt::Display) -> Error {
    Error::Archive { archive: archive.to_owned(), reason: reason.to_string() }
}

/// The chunks of a range of an archive.
pub(crate) fn digests_of(index: &Index, range: Range<u64>) -> impl Iterator<Item = Digest> + '_ {
    // An empty file needs no chunk, and may end where the archive does.
    let first = if range.is_empty() { None } else { index.position_of(range.start) };
    let positions = first.map_or(0..0, |first| first..index.len());
    let entries = positions.filter_map(|position| index.entry(position));
    entries.take_while(move |entry| entry.start < range.end).map(|entry| entry.digest)
}

struct Walk<'a> {
    archive: &'a TapeArchive,
    accessor: &'a Accessor,
    patterns: &'a PatternList,
    /// Chunks that will be asked for next, as far as can be foreseen.
    hints: BTreeSet<Digest>,
    directories: BTreeMap<Vec<u8>, Entry>,
    chosen: Vec<Node>,
    lost: Vec<Lost>,
}

impl Walk<'_> {
    /// What is selected in a directory, and the directories to go on with; `None` if chunks are lacking.
    fn directory(&mut self, task: &Task) -> Option<Vec<Task>> {
        let spool = self.archive.spool();
        let before = spool.missing();
        let opened = match &task.entry {
            None => self.accessor.root(),
            Some(entry) => self.accessor.open_directory(entry),
        };
        let directory = match opened {
            Ok(directory) => directory,
            Err(_) if spool.missing() > before => return None,
            Err(error) => {
                self.lost.push(Lost::new(&task.path, error));
                return Some(Vec::new());
            }
        };
        let names = task.guide.as_ref().filter(|guide| !guide.whole).map(|guide| &guide.children);
        let children: Vec<std::result::Result<Entry, pxar::Error>> = match names {
            Some(names) => names
                .keys()
                .filter_map(|name| {
                    self.foresee(&directory, name);
                    directory.lookup(name).transpose()
                })
                .collect(),
            None => directory.entries().collect(),
        };
        if spool.missing() > before {
            return None;
        }
        let mut found = Vec::new();
        let mut below = Vec::new();
        let mut lost = Vec::new();
        for child in children {
            match child {
                Ok(child) => match self.child(task, child) {
                    Ok((node, task)) => {
                        found.extend(node);
                        below.extend(task);
                    }
                    Err(error) => lost.push(error),
                },
                Err(error) => lost.push(Lost::new(&task.path, error)),
            }
        }
        if spool.missing() > before {
            return None;
        }
        self.directories.insert(task.path.clone(), directory.entry().clone());
        self.chosen.append(&mut found);
        self.lost.append(&mut lost);
        Some(below)
    }

    fn child(&self, task: &Task, child: Entry) -> Result<(Option<Node>, Option<Task>), Lost> {
        let mut path = task.path.clone();
        path.push(b'/');
        path.extend_from_slice(&child.name);
        let is_directory = child.kind == EntryKind::Directory;
        let selected = is_selected(self.patterns, &path, is_directory, task.selected);
        let below = is_directory.then(|| {
            let guide = task.guide.as_ref().and_then(|guide| match guide.whole {
                true => Some(Arc::clone(guide)),
                false => guide.children.get(&child.name).map(Arc::clone),
            });
            Task { path: path.clone(), entry: Some(child.clone()), selected, guide }
        });
        if !selected {
            return Ok((None, below));
        }
        let source = match &child.kind {
            EntryKind::File { .. } => Some(child.clone()),
            EntryKind::Hardlink { .. } => {
                let target = self.accessor.follow_hardlink(&child);
                Some(target.map_err(|error| Lost::new(&path, error))?)
            }
            _ => None,
        };
        Ok((Some(Node { path, entry: child, source }), below))
    }

    /// A directory is asked for its end and its beginning: both can be fetched in one round.
    fn foresee(&mut self, directory: &Directory, name: &[u8]) {
        for range in directory.ranges_of(name) {
            let tail = range.end.saturating_sub(TAIL_BYTES).max(range.start);
            let index = &self.archive.index;
            self.hints.extend(digests_of(index, range.start..range.start + 1));
            self.hints.extend(digests_of(index, tail..range.end));
        }
    }

    fn finish(mut self, rounds: u64) -> Selected {
        let mut nodes = Vec::new();
        let mut on_the_way = BTreeSet::new();
        on_the_way.insert(Vec::new());
        for node in &self.chosen {
            for (at, _) in node.path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                on_the_way.insert(node.path.get(..at).unwrap_or_default().to_vec());
            }
        }
        let chosen: BTreeSet<&[u8]> = self.chosen.iter().map(|node| node.path.as_slice()).collect();
        for path in on_the_way {
            if let Some(entry) = self.directories.remove(&path)
                && !chosen.contains(path.as_slice())
            {
                nodes.push(Node { path, entry, source: None });
            }
        }
        let mut sources = BTreeSet::new();
        let content_bytes = self
            .chosen
            .iter()
            .filter_map(|node| node.source.as_ref())
            .filter(|source| sources.insert(source.offset))
            .map(|source| match source.kind {
                EntryKind::File { size, .. } => size,
                _ => 0,
            })
            .sum();
        nodes.append(&mut self.chosen);
        // A directory begins before what is in it: this is the order of a walk, depth first.
        nodes.sort_by_key(|node| node.entry.offset);
        Selected { nodes, lost: self.lost, content_bytes, rounds }
    }
}
