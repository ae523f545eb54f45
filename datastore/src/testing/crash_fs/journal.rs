//! What was done to a file system since all of it was durable, and what a crash can make of it.
//!
//! # The model
//!
//! * A change of names (create, rename, unlink, mkdir, rmdir) is one step. It is durable after a sync
//!   of a folder that it touched, or of the file system, and until then it is kept or lost on its
//!   own: the only order that a crash respects is that of changes of one and the same name. Journaling
//!   file systems keep far more order than that; nothing may rely on it.
//! * Syncing a folder does not make the folder's own name durable, nor does syncing a file.
//! * Written data is durable after a sync of the file or of the file system. Until then the file is,
//!   after a crash, what it was when it was last synced, or what it is now, or the first part of that,
//!   or zeros of the right length, or it has a sector of garbage: whether its name is durable or not.
//! * The time of last access is lost or kept as data is.
//! * A sync that fails, or data that the system could not write back, makes that data *doomed*: no
//!   later sync makes it durable although it succeeds. This is what Linux does.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::image::{Image, Inode, Names, Node};

/// What power loss makes of everything that was not durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CrashMode {
    /// All of it is lost.
    Lost,
    /// All of it is kept.
    Kept,
    /// Names are kept, data is lost: the classic empty file.
    NamesOnly,
    /// Names are kept, of data only a first part.
    TornPrefix,
    /// Names and lengths are kept, the data is zeros.
    TornZeros,
    /// Everything is kept, but one sector of each file is garbage.
    TornGarbage,
    /// All is kept but one thing, counted from the last one that is not durable.
    SingleLost(usize),
    /// All is lost but one thing, counted from the last one that is not durable.
    SingleKept(usize),
    /// Anything, by the seed.
    Random,
}

#[derive(Debug, Clone)]
pub(super) enum Change {
    Names {
        names: Names,
        born: Option<(Inode, Arc<Node>)>,
    },
    Write {
        file: Inode,
        offset: u64,
        bytes: Arc<[u8]>,
        now: i64,
    },
    Atime {
        file: Inode,
        atime: i64,
    },
    SyncFile(Inode),
    SyncDir(Inode),
    SyncAll,
    /// Unsynced data of this file (of all files) will never reach the disk.
    Doom(Option<Inode>),
}

impl Change {
    /// True for what decides about the fate of earlier changes.
    fn settles(&self) -> bool {
        matches!(self, Change::SyncFile(_) | Change::SyncDir(_) | Change::SyncAll | Change::Doom(_))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) change: Change,
    pub(super) what: String,
}

/// What was done since a moment when all was durable.
#[derive(Debug, Clone)]
pub struct Journal {
    pub(super) start: Image,
    pub(super) records: Vec<Record>,
}

/// Pseudo-random numbers (splitmix64); a seed gives the same row on every machine.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next_u64() % (limit.max(1) as u64)) as usize
    }
}

/// What a crash makes of the data of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Old,
    New,
    Prefix,
    Zeros,
    Garbage,
}

/// A thing that is lost or kept as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    /// The change of names at this position.
    Names(usize),
    /// The data of this file.
    Data(Inode),
    /// The times of access of this file.
    Atime(Inode),
}

impl Journal {
    /// Number of operations that changed or synced something. There is a moment to crash before
    /// each of them and one after the last.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if nothing was done.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What the operation at a position did.
    pub fn what(&self, position: usize) -> &str {
        self.records.get(position).map_or("the end", |record| &record.what)
    }

    /// Number of things that a crash before operation `n` keeps or loses one by one: the arguments
    /// of [`CrashMode::SingleLost`] and [`CrashMode::SingleKept`] are below it.
    pub fn pending(&self, n: usize) -> usize {
        self.units(&self.durable(n)).len()
    }

    /// The image that a machine finds after power was lost before operation `n`.
    pub fn crash_at(&self, n: usize, mode: CrashMode, seed: u64) -> Image {
        let durable = self.durable(n);
        let units = self.units(&durable);
        let mut rng = Rng(seed ^ (n as u64).wrapping_mul(0x1_0000_0001));
        let chosen = |number: usize| units.len().checked_sub(number + 1).and_then(|i| units.get(i));
        let (mut kept, torn): (HashSet<Unit>, Fate) = match mode {
            CrashMode::Lost => (HashSet::new(), Fate::Old),
            CrashMode::Kept => (units.iter().copied().collect(), Fate::New),
            CrashMode::NamesOnly => (units.iter().copied().collect(), Fate::Old),
            CrashMode::TornPrefix => (units.iter().copied().collect(), Fate::Prefix),
            CrashMode::TornZeros => (units.iter().copied().collect(), Fate::Zeros),
            CrashMode::TornGarbage => (units.iter().copied().collect(), Fate::Garbage),
            CrashMode::SingleLost(number) => {
                let lost = chosen(number);
                (units.iter().filter(|unit| Some(*unit) != lost).copied().collect(), Fate::New)
            }
            CrashMode::SingleKept(number) => {
                (chosen(number).copied().into_iter().collect(), Fate::New)
            }
            CrashMode::Random => {
                // Some crashes lose little, some lose much.
                let share = rng.below(5) as u64;
                let kept = units.iter().filter(|_| rng.next_u64() % 4 < share).copied();
                (kept.collect(), Fate::New)
            }
        };
        let keep_earlier = !matches!(mode, CrashMode::SingleLost(_) | CrashMode::Random);
        self.respect_order(&durable, &mut kept, keep_earlier);

        let mut image = self.start.clone();
        let mut old = HashMap::new();
        for (position, record) in self.records.iter().take(durable.len()).enumerate() {
            let is_durable = durable.get(position).copied().unwrap_or(false);
            match &record.change {
                Change::Names { names, born } => {
                    if let Some((inode, node)) = born {
                        image.insert(*inode, node);
                    }
                    if is_durable || kept.contains(&Unit::Names(position)) {
                        image.apply(names);
                    }
                }
                Change::Write { file, offset, bytes, now } => {
                    // The data as it is now; what the crash makes of it follows below.
                    if !is_durable && let Ok(node) = image.file(*file) {
                        old.entry(*file).or_insert(node.content);
                    } else if let Some(old) = old.get_mut(file) {
                        write(Arc::make_mut(old), *offset, bytes);
                    }
                    image.edit_file(*file, |node| {
                        write(Arc::make_mut(&mut node.content), *offset, bytes);
                        node.mtime = *now;
                    });
                }
                Change::Atime { file, atime } => {
                    if is_durable || kept.contains(&Unit::Atime(*file)) {
                        image.edit_file(*file, |node| node.atime = *atime);
                    }
                }
                Change::SyncFile(_) | Change::SyncDir(_) | Change::SyncAll | Change::Doom(_) => {}
            }
        }
        let mut torn_files: Vec<_> = old.into_iter().collect();
        torn_files.sort_by_key(|(file, _)| *file);
        for (file, old) in torn_files {
            let fate = if mode == CrashMode::Random {
                match rng.below(6) {
                    0 => Fate::Old,
                    1 => Fate::Prefix,
                    2 => Fate::Zeros,
                    3 => Fate::Garbage,
                    _ => Fate::New,
                }
            } else if kept.contains(&Unit::Data(file)) {
                torn
            } else {
                Fate::Old
            };
            image.edit_file(file, |node| node.content = tear(&old, &node.content, fate, &mut rng));
        }
        image
    }

    /// The content of a file if what is doomed had never been written; `None` if nothing of it is.
    pub(super) fn content_without_doomed(&self, of: Inode) -> Option<Arc<Vec<u8>>> {
        let doomed = self.fates(self.len()).1;
        let is_write =
            |record: &Record| matches!(&record.change, Change::Write { file, .. } if *file == of);
        if !self.records.iter().zip(&doomed).any(|(record, doomed)| *doomed && is_write(record)) {
            return None;
        }
        let mut content =
            self.start.file(of).map_or_else(|_| Vec::new(), |file| file.content.to_vec());
        for (record, doomed) in self.records.iter().zip(doomed) {
            if let Change::Write { file, offset, bytes, .. } = &record.change
                && *file == of
                && !doomed
            {
                write(&mut content, *offset, bytes);
            }
        }
        Some(Arc::new(content))
    }

    /// Files with data that is neither durable nor lost.
    pub(super) fn unsynced_files(&self) -> HashSet<Inode> {
        let (durable, doomed) = self.fates(self.len());
        let open = durable.iter().zip(&doomed).map(|(durable, doomed)| !durable && !doomed);
        let written = self.records.iter().zip(open).filter(|(_, is_open)| *is_open);
        let file_of = |record: &Record| match &record.change {
            Change::Write { file, .. } => Some(*file),
            _ => None,
        };
        written.filter_map(|(record, _)| file_of(record)).collect()
    }

    /// Which of the first `n` records are durable.
    fn durable(&self, n: usize) -> Vec<bool> {
        self.fates(n).0
    }

    /// Which of the first `n` records are durable, and which never will be.
    fn fates(&self, n: usize) -> (Vec<bool>, Vec<bool>) {
        let records = self.records.get(..n).unwrap_or(&self.records);
        let mut durable = vec![false; records.len()];
        let mut doomed = vec![false; records.len()];
        // Everything before this position is settled: durable or doomed.
        let mut settled = 0;
        for (position, record) in records.iter().enumerate() {
            if !record.change.settles() {
                continue;
            }
            let before = records.iter().enumerate().take(position).skip(settled);
            for (earlier, other) in before {
                let (Some(durable), Some(doomed)) =
                    (durable.get_mut(earlier), doomed.get_mut(earlier))
                else {
                    continue;
                };
                let data_of = match &other.change {
                    Change::Write { file, .. } | Change::Atime { file, .. } => Some(*file),
                    _ => None,
                };
                match (&record.change, &other.change) {
                    (Change::SyncAll, _) => *durable |= !*doomed,
                    (Change::SyncFile(file), _) => *durable |= data_of == Some(*file) && !*doomed,
                    (Change::SyncDir(dir), Change::Names { names, .. }) => {
                        *durable |= names.iter().any(|(of, ..)| of == dir);
                    }
                    (Change::Doom(file), Change::Write { .. }) => {
                        *doomed |= !*durable && (file.is_none() || data_of == *file);
                    }
                    _ => {}
                }
            }
            if matches!(record.change, Change::SyncAll) {
                settled = position;
            }
        }
        // A durable change of a name makes the earlier ones of that name durable (or meaningless).
        let mut names_durable = HashSet::new();
        for (position, record) in records.iter().enumerate().rev() {
            if let Change::Names { names, .. } = &record.change
                && let Some(durable) = durable.get_mut(position)
            {
                let key = |(dir, name, _): &(Inode, String, Option<Inode>)| (*dir, name.clone());
                *durable |= names.iter().any(|change| names_durable.contains(&key(change)));
                if *durable {
                    names_durable.extend(names.iter().map(key));
                }
            }
        }
        (durable, doomed)
    }

    /// Everything that is not durable yet, in the order in which it came.
    fn units(&self, durable: &[bool]) -> Vec<Unit> {
        let mut seen = HashSet::new();
        let mut units = Vec::new();
        for (position, (record, durable)) in self.records.iter().zip(durable).enumerate() {
            let unit = match &record.change {
                Change::Names { .. } => Unit::Names(position),
                Change::Write { file, .. } => Unit::Data(*file),
                Change::Atime { file, .. } => Unit::Atime(*file),
                _ => continue,
            };
            if !durable && seen.insert(unit) {
                units.push(unit);
            }
        }
        units
    }

    /// Changes of one name take place in order: if a later one is kept, so are the earlier ones, or
    /// if an earlier one is lost, so are the later ones.
    fn respect_order(&self, durable: &[bool], kept: &mut HashSet<Unit>, keep_earlier: bool) {
        let mut touched: HashSet<(Inode, &str)> = HashSet::new();
        let positions: Box<dyn Iterator<Item = usize>> = if keep_earlier {
            Box::new((0..durable.len()).rev())
        } else {
            Box::new(0..durable.len())
        };
        for position in positions {
            let Some(Change::Names { names, .. }) = self.records.get(position).map(|r| &r.change)
            else {
                continue;
            };
            if durable.get(position).copied().unwrap_or(false) {
                continue;
            }
            let unit = Unit::Names(position);
            let mut of_touched = names.iter().map(|(dir, name, _)| (*dir, name.as_str()));
            let follows = of_touched.any(|name| touched.contains(&name));
            if follows && keep_earlier {
                kept.insert(unit);
            } else if follows {
                kept.remove(&unit);
            }
            if kept.contains(&unit) == keep_earlier {
                touched.extend(names.iter().map(|(dir, name, _)| (*dir, name.as_str())));
            }
        }
    }
}

/// Writes at a position; a gap is zeros.
pub(super) fn write(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let start = offset as usize;
    let end = start + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    if let Some(place) = content.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

fn tear(old: &Arc<Vec<u8>>, new: &Arc<Vec<u8>>, fate: Fate, rng: &mut Rng) -> Arc<Vec<u8>> {
    match fate {
        Fate::Old => Arc::clone(old),
        Fate::New => Arc::clone(new),
        Fate::Prefix => {
            let len = rng.below(new.len());
            Arc::new(new.get(..len).unwrap_or_default().to_vec())
        }
        Fate::Zeros => {
            let mut content = old.to_vec();
            content.resize(new.len(), 0);
            Arc::new(content)
        }
        Fate::Garbage => {
            const SECTOR_BYTES: usize = 512;
            let mut content = new.to_vec();
            let first = rng.below(content.len().div_ceil(SECTOR_BYTES)) * SECTOR_BYTES;
            for byte in content.iter_mut().skip(first).take(SECTOR_BYTES) {
                *byte = rng.next_u64() as u8;
            }
            Arc::new(content)
        }
    }
}
