//! The media set of a job, shared by the streams that write it.
//!
//! * **One number after the other.** Tapes are taken into the set one at a time ([`JobSet::turn`]): a stream keeps its turn until its tape was loaded and
//!   has its label. So no number is given out while the one before could still turn out to be no member, and a set never
//!   has a hole.
//! * **A tape is one stream's.** Who took it keeps it to the end of the job, also behind that stream's back: what a stream failed on is not
//!   tried again by another one. The exception is a tape whose label may never have been written: it is the last of the set, and as long as
//!   it is without label no other may follow.
//! * **What others may count on** is told by [`Commits`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use datastore::Progress;
use uuid::Uuid;

use crate::chunk_workers::lock;
use crate::error::Result;
use crate::keys::{KeyStore, PoolKey};
use crate::loader::check_abort;
use crate::media::pool::{TapeOrigin, Usability, Writer};
use crate::media::set::SetCatalogs;
use crate::media::{MediaId, MediaPool, Reach, StateDir};
use crate::write::known::{Commits, Known};

/// How often a wait looks for an abort.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The set, and who writes on which of its tapes.
pub struct JobSet {
    state: StateDir,
    uuid: Uuid,
    pool_name: String,
    key: Option<PoolKey>,
    shared: Mutex<Shared>,
    is_taken: Mutex<bool>,
    turn_is_free: Condvar,
    commits: Arc<Commits>,
    sent_bytes: AtomicU64,
}

struct Shared {
    pool: MediaPool,
    held: Vec<Option<Uuid>>,
    failed: BTreeSet<Uuid>,
}

/// The right to take a tape into the set.
pub struct Turn<'a> {
    set: &'a JobSet,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.set.is_taken) = false;
        self.set.turn_is_free.notify_one();
    }
}

/// How a stream left its tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// With all that it wrote committed.
    Well,
    /// It failed; the tape is a member of the set.
    Failed,
    /// It failed before anybody could know that the tape has its label.
    Unlabelled,
}

impl JobSet {
    /// Begins a write session of so many streams: decides about a new set.
    pub fn begin(
        mut pool: MediaPool,
        keys: Option<&KeyStore>,
        force_new_set: bool,
        streams: usize,
        progress: &dyn Progress,
    ) -> Result<JobSet> {
        let encrypt = pool.config().encrypt.as_deref();
        let key = encrypt.map(|name| PoolKey::find(keys, name)).transpose()?;
        let state = pool.inventory().state().clone();
        if let Some(reason) = pool.start_write_session(state.now(), force_new_set)? {
            progress.note(&format!("starting new media set - reason: {reason}"));
        }
        let uuid = *pool.current_set().uuid();
        progress.note(&format!("media set uuid: {uuid}"));
        Ok(JobSet {
            state,
            uuid,
            pool_name: pool.config().name.clone(),
            key,
            shared: Mutex::new(Shared { pool, held: vec![None; streams], failed: BTreeSet::new() }),
            is_taken: Mutex::new(false),
            turn_is_free: Condvar::new(),
            commits: Arc::default(),
            sent_bytes: AtomicU64::new(0),
        })
    }

    /// The set's UUID.
    pub fn uuid(&self) -> &Uuid {
        &self.uuid
    }

    /// How many writers it has.
    pub fn streams(&self) -> usize {
        lock(&self.shared).held.len()
    }

    /// True if it has several writers.
    pub fn is_shared(&self) -> bool {
        self.streams() > 1
    }

    /// The pool's name.
    pub fn pool_name(&self) -> &str {
        &self.pool_name
    }

    /// The state folder.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    /// Of a pool whose sets are encrypted.
    pub fn key(&self) -> Option<&PoolKey> {
        self.key.as_ref()
    }

    /// What the streams have committed.
    pub fn commits(&self) -> &Commits {
        &self.commits
    }

    /// What a stream may count on, from the catalogs as they are now.
    pub fn known(&self, stream: usize) -> Result<Known> {
        let shared = lock(&self.shared);
        let pool = &shared.pool;
        let catalogs = SetCatalogs::load(&self.state, pool.inventory(), pool.current_set())?;
        if shared.held.len() == 1 {
            return Ok(Known::new(catalogs));
        }
        let commits = Arc::clone(&self.commits);
        Ok(Known::beside_others(catalogs, self.state.clone(), stream, commits))
    }

    /// Looks at the pool, or changes what the inventory says of its tapes.
    pub fn with_pool<R>(&self, use_it: impl FnOnce(&mut MediaPool) -> R) -> R {
        use_it(&mut lock(&self.shared).pool)
    }

    /// The last tape of the set if it takes more, with its label text; of those that the drives reach in turn.
    pub fn last_writable(&self, reach: &Reach) -> Result<Option<(Uuid, String)>> {
        let mut shared = lock(&self.shared);
        let none = BTreeSet::new();
        let writer = Writer { reach, own: None, held: &none, failed: &none };
        shared.pool.may_go_on(&writer)?;
        let Usability::LastTapeWritable(media) = shared.pool.usability()? else { return Ok(None) };
        let text = shared.pool.inventory().require(&media)?.id.label.label_text.clone();
        Ok(Some((media, text)))
    }

    /// Keeps a tape for a stream.
    pub fn hold(&self, stream: usize, media: Uuid) {
        if let Some(held) = lock(&self.shared).held.get_mut(stream) {
            *held = Some(media);
        }
    }

    /// Waits for the turn of a stream to take a tape.
    pub fn turn(&self, progress: &dyn Progress) -> Result<Turn<'_>> {
        let mut is_taken = lock(&self.is_taken);
        while *is_taken {
            check_abort(progress)?;
            is_taken = match self.turn_is_free.wait_timeout(is_taken, LOOK_EVERY) {
                Ok((is_taken, _)) => is_taken,
                Err(poisoned) => PoisonError::into_inner(poisoned).0,
            };
        }
        *is_taken = true;
        Ok(Turn { set: self })
    }

    /// True if a stream may go on with its tape.
    pub fn may_go_on(&self, stream: usize, reach: &Reach) -> Result<bool> {
        lock(&self.shared).as_writer(stream, reach, |pool, writer| pool.may_go_on(writer))
    }

    /// Gives a stream its next tape, with what was known of it before.
    pub fn allocate(
        &self,
        _turn: &Turn<'_>,
        stream: usize,
        reach: &Reach,
    ) -> Result<(MediaId, TapeOrigin, MediaId)> {
        let now = self.state.now();
        let mut shared = lock(&self.shared);
        // It is asked again below, under the pool's lock; what a tape was changes only with that.
        shared.pool.inventory_mut().reload()?;
        let before = shared.pool.inventory().clone();
        let (media, origin) =
            shared.as_writer(stream, reach, |pool, writer| pool.allocate_for(writer, now))?;
        if let Some(held) = shared.held.get_mut(stream) {
            *held = Some(media);
        }
        let id = shared.pool.inventory().require(&media)?.id.clone();
        let before = before.get(&media).map_or_else(|| id.clone(), |entry| entry.id.clone());
        Ok((id, origin, before))
    }

    /// Gives back a tape that could not be loaded, of which nothing was written. It is not tried again.
    pub fn give_back(&self, _turn: &Turn<'_>, stream: usize, before: MediaId) -> Result<()> {
        let mut shared = lock(&self.shared);
        let media = before.label.uuid;
        shared.failed.insert(media);
        if let Some(held) = shared.held.get_mut(stream) {
            *held = None;
        }
        shared.pool.give_back(before)
    }

    /// The tape is none of the set's.
    pub fn forget_member(&self, stream: usize, true_id: MediaId) -> Result<()> {
        let mut shared = lock(&self.shared);
        if let Some(held) = shared.held.get_mut(stream) {
            *held = None;
        }
        shared.pool.forget_member(true_id)
    }

    /// A stream has ended.
    pub fn leave(&self, stream: usize, how: Left) {
        let mut shared = lock(&self.shared);
        let Shared { held, failed, .. } = &mut *shared;
        let Some(held) = held.get_mut(stream) else { return };
        match how {
            Left::Well => {}
            Left::Failed => failed.extend(held.take()),
            Left::Unlabelled => *held = None,
        }
    }

    /// So many bytes more went to tapes.
    pub fn add_sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that all streams have sent to tapes.
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn as_writer<R>(
        &mut self,
        stream: usize,
        reach: &Reach,
        ask: impl FnOnce(&mut MediaPool, &Writer<'_>) -> R,
    ) -> R {
        let own = self.held.get(stream).copied().flatten();
        let others = self.held.iter().enumerate().filter(|(number, _)| *number != stream);
        let held: BTreeSet<Uuid> = others.filter_map(|(_, media)| *media).collect();
        ask(&mut self.pool, &Writer { reach, own, held: &held, failed: &self.failed })
    }
}
