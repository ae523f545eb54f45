//! Which snapshots on which tapes hold a file, by the file lists: no tape is loaded.
//!
//! A pattern is a glob of the kind that selects files of an archive ([`pxar::exclude`]), held against `/` and the path in the archive.
//! What is not known is told, snapshot by snapshot: silence would be taken for "it is not there".

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use pxar::exclude::{Effect, Pattern};
use serde::Serialize;

use super::file_lists::{FileLists, Group, List, Names};
use super::find::{FoundSnapshot, SnapshotPattern, find_snapshots};
use super::listing::ContentFilter;
use super::policy::PoolConfig;
use super::state::StateDir;
use crate::error::{Error, Result};

/// Selects files.
#[derive(Debug, Clone)]
pub struct FilePattern(Pattern);

impl FilePattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<FilePattern> {
        let bad =
            |reason: String| Error::BadArgument { what: "pattern", value: text.to_owned(), reason };
        if text.starts_with('!') {
            return Err(bad("it can only say what is looked for, not what is left out".into()));
        }
        let pattern = Pattern::parse(text.as_bytes(), Effect::Include);
        pattern.map(FilePattern).map_err(|e| bad(e.to_string()))
    }
}

/// A file, or another entry of an archive, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FoundFile {
    /// Datastore and group: `store:[ns/…/]type/id`.
    pub group: String,
    /// The archive, as it was called at backup.
    pub archive: String,
    /// `/` and the path in it.
    pub path: String,
    /// Letter of its type as in listings: `f` a file, `d` a directory, `l` a link …
    pub kind: char,
    /// The snapshots that have it, with their tapes, newest first.
    pub snapshots: Vec<FoundSnapshot>,
}

/// Why the names of a snapshot were not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsearched {
    /// They were not read yet, or their file list was damaged.
    Unknown,
    /// They are encrypted, and nobody has read them with the key.
    Encrypted,
    /// It has no catalog of names: it holds images, or was made without one.
    NoCatalog,
}

/// A snapshot whose names were not looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NotSearched {
    /// `store:[ns/…/]type/id/time`.
    pub snapshot: String,
    /// Why.
    pub reason: Unsearched,
    /// Where it is on tape.
    #[serde(skip)]
    pub places: Vec<FoundSnapshot>,
}

/// What a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct FileSearch {
    /// By group, archive and path.
    pub found: Vec<FoundFile>,
    /// By snapshot.
    pub not_searched: Vec<NotSearched>,
    /// Tapes whose catalog is not here; what is on them is not known at all.
    pub without_catalog: Vec<String>,
}

impl FileSearch {
    /// True if there may be more than was found.
    pub fn is_incomplete(&self) -> bool {
        !self.without_catalog.is_empty()
            || self.not_searched.iter().any(|one| one.reason != Unsearched::NoCatalog)
    }
}

/// The snapshots of one group: by time, with their places on tape.
type Snapshots = BTreeMap<i64, Vec<FoundSnapshot>>;

/// Looks for files in the snapshots that fit any of `snapshots`; none of these is all. Over as many threads as there are processors.
pub fn find_files(
    state: &StateDir,
    pools: &[PoolConfig],
    files: &[FilePattern],
    snapshots: &[SnapshotPattern],
    filter: &ContentFilter,
) -> Result<FileSearch> {
    let everything = [SnapshotPattern::parse("*")?];
    let snapshots = if snapshots.is_empty() { &everything[..] } else { snapshots };
    let (content, without_catalog) = find_snapshots(state, pools, snapshots, filter)?;
    let mut groups: BTreeMap<Group, Snapshots> = BTreeMap::new();
    for one in content {
        let (group, time) = Group::of(&one.content.store, &one.content.snapshot)?;
        groups.entry(group).or_default().entry(time).or_default().push(one);
    }
    let groups: Vec<(Group, Snapshots)> = groups.into_iter().collect();
    let (next, search) = (AtomicUsize::new(0), Mutex::new(FileSearch::default()));
    let work = || {
        while let Some((group, snapshots)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (mut found, mut not_searched) = in_group(state, files, group, snapshots);
            let mut search = search.lock().unwrap_or_else(|e| e.into_inner());
            search.found.append(&mut found);
            search.not_searched.append(&mut not_searched);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 1..threads.min(groups.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut search = search.into_inner().unwrap_or_else(|e| e.into_inner());
    search.without_catalog = without_catalog;
    search.sort();
    Ok(search)
}

impl FileSearch {
    /// Adds what was found elsewhere.
    pub fn add(&mut self, mut found: Vec<FoundFile>) {
        self.found.append(&mut found);
        self.sort();
    }

    fn sort(&mut self) {
        self.found.sort_by(|a, b| {
            (&a.group, &a.archive, &a.path, a.kind).cmp(&(&b.group, &b.archive, &b.path, b.kind))
        });
        self.not_searched.sort_by(|a, b| a.snapshot.cmp(&b.snapshot));
    }
}

fn in_group(
    state: &StateDir,
    files: &[FilePattern],
    group: &Group,
    snapshots: &Snapshots,
) -> (Vec<FoundFile>, Vec<NotSearched>) {
    let lists = FileLists::of(state).load(group);
    let mut not_searched = Vec::new();
    // List → the places of its snapshots, newest first.
    let mut wanted: BTreeMap<u32, Vec<&FoundSnapshot>> = BTreeMap::new();
    let mut leave_out = |places: &Vec<FoundSnapshot>, reason| {
        let first = places.first().map(|place| &place.content);
        not_searched.extend(first.map(|content| NotSearched {
            snapshot: format!("{}:{}", content.store, content.snapshot),
            reason,
            places: places.clone(),
        }));
    };
    for (time, places) in snapshots.iter().rev() {
        match lists.as_ref().and_then(|lists| lists.list_of(*time)) {
            Some(List::Number(number)) => wanted.entry(number).or_default().extend(places),
            Some(List::Encrypted) => leave_out(places, Unsearched::Encrypted),
            Some(List::NoCatalog) => leave_out(places, Unsearched::NoCatalog),
            None => leave_out(places, Unsearched::Unknown),
        }
    }
    let Some(lists) = lists.filter(|_| !wanted.is_empty()) else {
        return (Vec::new(), not_searched);
    };
    let mut found = Vec::new();
    let searched = lists.each(&mut |path| {
        if let Some(parts) = hit(files, &path.name, path.letter) {
            let having = wanted.iter().filter(|(list, _)| path.is_in(**list));
            let places: Vec<&FoundSnapshot> =
                having.flat_map(|(_, places)| places).copied().collect();
            if !places.is_empty() {
                found.push(found_file(group, parts, path.letter, places));
            }
        }
        Ok(())
    });
    // The checksum was right, so this is nothing that happens. Half a list is no list.
    if searched.is_err() {
        for places in snapshots.values() {
            leave_out(places, Unsearched::Unknown);
        }
        return (Vec::new(), not_searched);
    }
    (found, not_searched)
}

/// Which of these names fit, as files of one snapshot on tape.
pub fn in_names(
    files: &[FilePattern],
    group: &Group,
    names: &Names,
    places: &[FoundSnapshot],
) -> Vec<FoundFile> {
    let hits =
        names.iter().filter_map(|(name, letter)| Some((hit(files, name, *letter)?, *letter)));
    hits.map(|(parts, letter)| found_file(group, parts, letter, places.iter().collect())).collect()
}

/// Archive and path, if a pattern fits the path.
fn hit<'n>(files: &[FilePattern], name: &'n [u8], letter: u8) -> Option<(&'n [u8], &'n [u8])> {
    let parts = name.split_at_checked(name.iter().position(|byte| *byte == b'/')?)?;
    files.iter().any(|FilePattern(file)| file.matches(parts.1, letter == b'd')).then_some(parts)
}

fn found_file(
    group: &Group,
    (archive, path): (&[u8], &[u8]),
    letter: u8,
    mut places: Vec<&FoundSnapshot>,
) -> FoundFile {
    places.sort_by_key(|place| {
        (-place.content.backup_time, -place.content.media_set_ctime, place.content.seq_nr)
    });
    let archive = String::from_utf8_lossy(archive);
    FoundFile {
        group: format!("{}:{}", group.store, group.name),
        archive: archive.strip_suffix(".didx").unwrap_or(&archive).to_owned(),
        path: String::from_utf8_lossy(path).into_owned(),
        kind: char::from(letter),
        snapshots: places.into_iter().cloned().collect(),
    }
}
