//! What a job will write, found out ahead of the drive.
//!
//! For each snapshot in order: skipped if the set holds it; opened with its lock, so that it stays until it is written; its blobs
//! proved against the manifest, because on tape they would never be looked at again until a restore refuses them; the
//! chunks that neither the catalogs of the set nor the plan before it know, index by index in the manifest's reverse order, each in disk order.
//!
//! *Known* is asked of the catalogs as they are now, and of what is planned and not registered yet. A chunk that goes from the plan to
//! the catalog in between is in the plan's list until its snapshot's end was given out, which is after it was registered.
//!
//! Groups come from whoever deals them: to one job all of them, to the streams of a job each its own. Which were dealt is kept, so that
//! a plan can be made anew from any place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender};
use datastore::hierarchy::{ArchiveKind, qualified_name};
use datastore::{Datastore, Digest, Namespace, SnapshotPath, SnapshotReader};

use super::ring::{Kind, Ring};
use super::{ChunkOrder, Step};
use crate::chunk_workers::lock;
use crate::error::{Error, Result};
use crate::media::catalog::DigestSet;
use crate::write::known::Known;
use crate::write::streams::queue::{Dealt, DealtGroup};

/// Digests are looked up in portions of this size between two looks for an end.
const LOOK_EVERY: usize = 1024;

/// How often a plan that waits for a group looks whether there is one.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// Chunks of planned snapshots that are not registered yet, oldest first, with the number of the snapshot in the plan.
#[derive(Default)]
struct Planned {
    last: u64,
    chunks: VecDeque<(u64, DigestSet)>,
}

/// Where a plan's groups come from.
pub trait Dealer: Send + Sync {
    /// The next group for this plan.
    fn next(&self) -> Dealt;

    /// True if no more groups wait for anybody.
    fn is_all_dealt(&self) -> bool;
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
    /// Its number in the plan.
    pub(super) number: u64,
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
pub(super) enum News {
    Step(Step),
    Snapshot(Arc<PlannedSnapshot>, Vec<ChunkList>),
    /// Nothing more comes before something of what came was done.
    Pause,
    /// That was all. Only this ends a plan well: a planner that died sends no such thing.
    End,
}

/// The chunks that one index adds, in the order in which they are to be read, with the sizes of their files.
pub(super) struct ChunkList {
    archive: String,
    chunks: Vec<(Digest, u64)>,
}

/// Says that the chunks of a planned snapshot are registered, when it is dropped.
pub struct Registered {
    plan: Arc<Plan>,
    snapshot: u64,
}

impl Registered {
    pub(super) fn new(plan: Arc<Plan>, snapshot: u64) -> Registered {
        Registered { plan, snapshot }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.plan.forget(self.snapshot);
    }
}

/// What is to be planned.
pub struct Plan {
    /// The datastore.
    pub source: Arc<Datastore>,
    /// Its name on tape.
    pub store_name: String,
    /// Who deals the groups.
    pub dealer: Arc<dyn Dealer>,
    /// Only the newest snapshot of each.
    pub latest_only: bool,
    /// In which order chunks are read.
    pub order: ChunkOrder,
    /// What need not be written: what all of these know.
    pub known: Vec<Arc<Known>>,
    state: PlanState,
}

/// What a plan remembers.
#[derive(Default)]
struct PlanState {
    dealt: Mutex<Vec<DealtGroup>>,
    planned: Mutex<Planned>,
}

impl Plan {
    /// Of a datastore, with nothing planned yet.
    pub fn new(
        source: Arc<Datastore>,
        store_name: String,
        dealer: Arc<dyn Dealer>,
        known: Vec<Arc<Known>>,
    ) -> Plan {
        Plan {
            source,
            store_name,
            dealer,
            latest_only: false,
            order: ChunkOrder::default(),
            known,
            state: PlanState::default(),
        }
    }

    fn is_known(&self, digest: &Digest) -> Result<bool> {
        // The plan first: what leaves it has come into the catalogs before.
        if lock(&self.state.planned).chunks.iter().any(|(_, chunks)| chunks.contains(digest)) {
            return Ok(true);
        }
        for known in &self.known {
            if !known.contains_chunk(&self.store_name, digest)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add(&self, chunks: DigestSet) -> u64 {
        let mut planned = lock(&self.state.planned);
        planned.last += 1;
        let number = planned.last;
        planned.chunks.push_back((number, chunks));
        number
    }

    /// All chunks of this snapshot are registered.
    pub(super) fn forget(&self, snapshot: u64) {
        lock(&self.state.planned).chunks.retain(|(number, _)| *number != snapshot);
    }

    pub(super) fn forget_all(&self) {
        lock(&self.state.planned).chunks.clear();
    }

    /// The group at a place of this plan, dealt now or before; `None` if there is none any more, or nobody wants to know.
    fn group_at(
        &self,
        place: usize,
        is_closed: &dyn Fn() -> bool,
        planned: &Sender<News>,
    ) -> Option<DealtGroup> {
        let (mut is_paused, mut was_idle) = (false, false);
        loop {
            {
                // Held while it is asked: each group that is dealt has its place.
                let mut dealt = lock(&self.state.dealt);
                if let Some(group) = dealt.get(place) {
                    return Some(group.clone());
                }
                match self.dealer.next() {
                    Dealt::Group(group) => dealt.push(group),
                    Dealt::Over => return None,
                    Dealt::NoneNow => {}
                }
                if dealt.len() > place {
                    continue;
                }
            }
            if !std::mem::replace(&mut is_paused, true) {
                planned.send(News::Pause).ok()?;
            }
            if !was_idle && self.dealer.is_all_dealt() {
                was_idle = true;
                planned.send(News::Step(Step::Idle)).ok()?;
                // It goes through the buffer, after which there is nothing again.
                planned.send(News::Pause).ok()?;
            }
            if is_closed() {
                return None;
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    /// Plans everything from a position on, as long as anybody wants to know.
    pub(super) fn run(&self, from: Position, is_closed: &dyn Fn() -> bool, planned: &Sender<News>) {
        let mut place = from.group;
        while let Some(group) = self.group_at(place, is_closed, planned) {
            let behind = from.behind.filter(|_| place == from.group);
            let last = match self.group(place, &group, behind, is_closed, planned) {
                Ok(true) => Step::GroupDone(group.number),
                Ok(false) => return,
                Err(error) => Step::Failed(error),
            };
            if planned.send(News::Step(last)).is_err() {
                return;
            }
            place += 1;
        }
        if !is_closed() {
            let _nobody_waits_for_it = planned.send(News::End);
        }
    }

    /// Plans a group; false if nobody wants to know.
    fn group(
        &self,
        place: usize,
        group: &DealtGroup,
        behind: Option<i64>,
        is_closed: &dyn Fn() -> bool,
        planned: &Sender<News>,
    ) -> Result<bool> {
        let DealtGroup { namespace, group, .. } = group;
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
                if planned.send(News::Step(Step::Warning(text))).is_err() {
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
            for known in &self.known {
                known.look_beside();
            }
            let mut known = self.known.iter();
            let next = if known.all(|known| known.contains_snapshot(&self.store_name, &name)) {
                News::Step(Step::Skipped)
            } else {
                match self.snapshot(place, namespace, snapshot, name, is_closed) {
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
    ) -> Option<News> {
        let at = SnapshotAt { namespace: namespace.clone(), snapshot, name, group };
        let prepared = SnapshotReader::open(&self.source, namespace, &at.snapshot)
            .map_err(Error::from)
            .and_then(|reader| {
                check_blobs(&reader)?;
                let lists = self.lacking_chunks(&reader, is_closed)?;
                Ok((reader, lists))
            });
        match prepared {
            Ok((reader, Some((number, lists)))) => {
                Some(News::Snapshot(Arc::new(PlannedSnapshot { at, reader, number }), lists))
            }
            Ok((_, None)) => None,
            Err(error) => Some(News::Step(Step::Unreadable(Arc::new(at), error))),
        }
    }

    /// The chunks of a snapshot that are not known, index by index in reverse order of the manifest, each once, with the number that
    /// the snapshot gets; `None` if nobody wants to know.
    fn lacking_chunks(
        &self,
        reader: &SnapshotReader,
        is_closed: &dyn Fn() -> bool,
    ) -> Result<Option<(u64, Vec<ChunkList>)>> {
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
                if !seen.contains(&digest) && !self.is_known(&digest)? {
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
        Ok(Some((self.add(seen), lists)))
    }
}

/// Gives everything planned its place in the buffer. True if it came to the plan's end, or nobody wants more.
pub(super) fn dispatch(
    store_name: &str,
    planned: &Receiver<News>,
    ring: &Ring<Wanted, Step>,
) -> bool {
    for next in planned {
        let is_wanted = match next {
            News::Step(step) => ring.put(Kind::News, step),
            News::Snapshot(snapshot, lists) => dispatch_snapshot(store_name, snapshot, lists, ring),
            News::Pause => {
                ring.pause();
                true
            }
            News::End => {
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
    snapshot: Arc<PlannedSnapshot>,
    lists: Vec<ChunkList>,
    ring: &Ring<Wanted, Step>,
) -> bool {
    let name: Arc<str> = format!("{store_name}:{}", snapshot.at.name).into();
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
