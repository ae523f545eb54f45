//! What a job will write, found out ahead of the drive.
//!
//! For each snapshot in order: skipped if the set holds it; opened with its lock, so that it stays until it is written; its blobs
//! proved against the manifest, because on tape they would never be looked at again until a restore refuses them; the
//! chunks that neither the catalogs of the set nor the plan before it know, index by index in the manifest's reverse order, each in disk order.
//!
//! *Known* is asked of the catalogs as they are now, and of what is planned and not registered yet. A chunk that goes from the plan to
//! the catalog in between is in the plan's list until its snapshot's end was given out, which is after it was registered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crossbeam_channel::{Receiver, Sender};
use datastore::hierarchy::{ArchiveKind, qualified_name};
use datastore::{BackupGroup, Datastore, Digest, Namespace, SnapshotPath, SnapshotReader};

use super::ring::{Kind, Ring};
use super::{ChunkOrder, Step};
use crate::chunk_workers::lock;
use crate::error::{Error, Result};
use crate::media::catalog::DigestSet;
use crate::media::set::SetCatalogs;

/// Digests are looked up in portions of this size between two looks for an end.
const LOOK_EVERY: usize = 1024;

/// What the set holds, and what it will hold by the plan.
#[derive(Default)]
pub struct Known {
    catalogs: RwLock<SetCatalogs>,
    /// Chunks of planned snapshots whose end was not given out yet, oldest first.
    planned: Mutex<VecDeque<DigestSet>>,
}

impl Known {
    /// What the catalogs know, and nothing planned.
    pub fn new(catalogs: SetCatalogs) -> Known {
        Known { catalogs: RwLock::new(catalogs), planned: Mutex::default() }
    }

    /// The catalogs, to ask them.
    pub fn catalogs(&self) -> RwLockReadGuard<'_, SetCatalogs> {
        self.catalogs.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The catalogs, to add to them.
    pub fn catalogs_mut(&self) -> RwLockWriteGuard<'_, SetCatalogs> {
        self.catalogs.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn contains(&self, store: &str, digest: &Digest) -> Result<bool> {
        // The plan first: what leaves it has come into the catalogs before.
        if lock(&self.planned).iter().any(|chunks| chunks.contains(digest)) {
            return Ok(true);
        }
        self.catalogs().contains_chunk(store, digest)
    }

    fn add(&self, chunks: DigestSet) {
        lock(&self.planned).push_back(chunks);
    }

    pub(super) fn forget_oldest(&self) {
        lock(&self.planned).pop_front();
    }

    pub(super) fn forget_all(&self) {
        lock(&self.planned).clear();
    }
}

/// Which snapshot.
#[derive(Debug)]
pub struct SnapshotAt {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its group and time.
    pub snapshot: SnapshotPath,
    /// Its name on tape.
    pub name: String,
    group: usize,
}

impl SnapshotAt {
    pub(super) fn position(&self) -> Position {
        Position { group: self.group, behind: Some(self.snapshot.time()) }
    }
}

/// A snapshot in the plan.
pub struct PlannedSnapshot {
    /// Which one.
    pub at: SnapshotAt,
    /// The snapshot, locked against removal.
    pub reader: SnapshotReader,
}

/// Where a plan begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    group: usize,
    /// In that group, only snapshots that are younger.
    behind: Option<i64>,
}

impl Position {
    pub const START: Position = Position { group: 0, behind: None };
}

/// A chunk to read.
pub(super) struct Wanted {
    pub digest: Digest,
    pub archive: Arc<str>,
    pub snapshot: Arc<str>,
}

/// What goes from the planner to the dispatcher.
pub(super) enum Planned {
    Step(Step),
    Snapshot(PlannedSnapshot, Vec<ChunkList>),
    /// That was all. Only this ends a plan well: a planner that died sends no such thing.
    End,
}

/// The chunks that one index adds, in the order in which they are to be read, with the sizes of their files.
pub(super) struct ChunkList {
    archive: String,
    chunks: Vec<(Digest, u64)>,
}

/// What is to be planned.
pub struct Plan {
    /// The datastore.
    pub source: Arc<Datastore>,
    /// Its name on tape.
    pub store_name: String,
    /// Groups in their order.
    pub groups: Vec<(Namespace, BackupGroup)>,
    /// Only the newest snapshot of each.
    pub latest_only: bool,
    /// In which order chunks are read.
    pub order: ChunkOrder,
    /// What need not be written.
    pub known: Arc<Known>,
}

impl Plan {
    /// Plans everything from a position on, as long as anybody wants to know.
    pub(super) fn run(
        &self,
        from: Position,
        is_closed: &dyn Fn() -> bool,
        planned: &Sender<Planned>,
    ) {
        for (number, (namespace, group)) in self.groups.iter().enumerate().skip(from.group) {
            let behind = from.behind.filter(|_| number == from.group);
            let last = match self.group(number, namespace, group, behind, is_closed, planned) {
                Ok(true) => Step::GroupDone(number + 1),
                Ok(false) => return,
                Err(error) => Step::Failed(error),
            };
            if planned.send(Planned::Step(last)).is_err() {
                return;
            }
        }
        let _nobody_waits_for_it = planned.send(Planned::End);
    }

    /// Plans a group; false if nobody wants to know.
    fn group(
        &self,
        number: usize,
        namespace: &Namespace,
        group: &BackupGroup,
        behind: Option<i64>,
        is_closed: &dyn Fn() -> bool,
        planned: &Sender<Planned>,
    ) -> Result<bool> {
        let mut odd: Vec<String> = Vec::new();
        let mut snapshots: Vec<SnapshotPath> = self
            .source
            .snapshots(namespace, group, &mut odd)?
            .into_iter()
            .filter(|info| info.finished)
            .map(|info| info.path)
            .collect();
        if behind.is_none() {
            for text in odd {
                if planned.send(Planned::Step(Step::Warning(text))).is_err() {
                    return Ok(false);
                }
            }
        }
        if self.latest_only {
            snapshots = snapshots.pop().into_iter().collect();
        }
        snapshots.retain(|snapshot| behind.is_none_or(|time| snapshot.time() > time));
        for snapshot in snapshots {
            let name = qualified_name(namespace, &snapshot);
            let next = if self.known.catalogs().contains_snapshot(&self.store_name, &name) {
                Planned::Step(Step::Skipped)
            } else {
                match self.snapshot(number, namespace, snapshot, name, is_closed) {
                    Some(next) => next,
                    None => return Ok(false),
                }
            };
            if planned.send(next).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Plans one snapshot; `None` if nobody wants to know.
    fn snapshot(
        &self,
        group: usize,
        namespace: &Namespace,
        snapshot: SnapshotPath,
        name: String,
        is_closed: &dyn Fn() -> bool,
    ) -> Option<Planned> {
        let at = SnapshotAt { namespace: namespace.clone(), snapshot, name, group };
        let prepared = SnapshotReader::open(&self.source, namespace, &at.snapshot)
            .map_err(Error::from)
            .and_then(|reader| {
                check_blobs(&reader)?;
                let lists = self.lacking_chunks(&reader, is_closed)?;
                Ok((reader, lists))
            });
        match prepared {
            Ok((reader, Some(lists))) => {
                Some(Planned::Snapshot(PlannedSnapshot { at, reader }, lists))
            }
            Ok((_, None)) => None,
            Err(error) => Some(Planned::Step(Step::Unreadable(at, error))),
        }
    }

    /// The chunks of a snapshot that are not known, index by index in reverse order of the manifest, each once; `None` if nobody wants
    /// to know.
    fn lacking_chunks(
        &self,
        reader: &SnapshotReader,
        is_closed: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<ChunkList>>> {
        let mut seen = DigestSet::default();
        let mut lists = Vec::new();
        for file in reader.manifest().files().iter().rev() {
            if !matches!(
                ArchiveKind::of(&file.filename),
                Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex)
            ) {
                continue;
            }
            let index = reader.index(&file.filename)?;
            let mut chunks = Vec::new();
            for (number, digest) in index.digests().enumerate() {
                if number % LOOK_EVERY == 0 && is_closed() {
                    return Ok(None);
                }
                if !seen.contains(&digest) && !self.known.contains(&self.store_name, &digest)? {
                    seen.insert(digest);
                    // A missing chunk has no place; reading it will give the error.
                    let file = self.source.chunks().meta(&digest);
                    chunks.push((digest, file.map_or((0, 0), |file| (file.inode, file.len))));
                }
            }
            if self.order == ChunkOrder::Inode {
                chunks.sort_by_key(|(_, (inode, _))| *inode);
            }
            let chunks = chunks.into_iter().map(|(digest, (_, bytes))| (digest, bytes)).collect();
            lists.push(ChunkList { archive: file.filename.clone(), chunks });
        }
        // Only a snapshot that will be tried makes its chunks known.
        self.known.add(seen);
        Ok(Some(lists))
    }
}

/// Gives everything planned its place in the buffer. True if it came to the plan's end, or nobody wants more.
pub(super) fn dispatch(
    store_name: &str,
    planned: &Receiver<Planned>,
    ring: &Ring<Wanted, Step>,
) -> bool {
    for next in planned {
        let is_wanted = match next {
            Planned::Step(step) => ring.put(Kind::News, step),
            Planned::Snapshot(snapshot, lists) => {
                dispatch_snapshot(store_name, snapshot, lists, ring)
            }
            Planned::End => {
                ring.end_plan();
                return true;
            }
        };
        if !is_wanted {
            return true;
        }
    }
    ring.is_closed()
}

fn dispatch_snapshot(
    store_name: &str,
    snapshot: PlannedSnapshot,
    lists: Vec<ChunkList>,
    ring: &Ring<Wanted, Step>,
) -> bool {
    let name: Arc<str> = format!("{store_name}:{}", snapshot.at.name).into();
    let snapshot = Arc::new(snapshot);
    if !ring.put(Kind::Snapshot, Step::Begin(Arc::clone(&snapshot))) {
        return false;
    }
    for list in lists {
        let archive: Arc<str> = list.archive.into();
        for (digest, bytes) in list.chunks {
            let wanted =
                Wanted { digest, archive: Arc::clone(&archive), snapshot: Arc::clone(&name) };
            if !ring.plan(bytes, wanted) {
                return false;
            }
        }
    }
    ring.put(Kind::Data, Step::End(snapshot))
}

fn check_blobs(reader: &SnapshotReader) -> Result<()> {
    for file in reader.manifest().files() {
        if ArchiveKind::of(&file.filename) == Some(ArchiveKind::Blob) {
            reader.blob(&file.filename)?;
        }
    }
    Ok(())
}
