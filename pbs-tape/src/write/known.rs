//! What a media set holds already, as one writer of it may count on it.
//!
//! A snapshot that is left a chunk out of must find it on a tape when it is restored, so:
//!
//! * of its own tapes a writer counts on all that is registered: it is synced with or before whatever relies on it;
//! * of tapes that other streams of the job write it counts on what they have *committed* and nothing else. What they have only
//!   registered may be lost with them;
//! * and of those only on tapes that come before its own in the set. A restore reads a set in its order, and the format promises
//!   that the chunks of a snapshot lie before it. Sequence numbers only grow, so what came before stays before. A writer that has no tape yet will
//!   get one behind all that there are.
//!
//! Whether a *snapshot* is on tape is another question: a committed one counts wherever it is.
//!
//! What others committed is read from the catalogs on disk, which is where it is true.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use datastore::Digest;
use uuid::Uuid;

use crate::chunk_workers::lock;
use crate::error::Result;
use crate::media::set::SetCatalogs;
use crate::media::{MediaCatalog, MediaId, StateDir};

/// No tape yet.
const NO_TAPE: u64 = u64::MAX;

/// What the streams of a job have committed.
#[derive(Debug, Default)]
pub struct Commits {
    tapes: Mutex<BTreeMap<Uuid, Committed>>,
}

#[derive(Debug, Clone)]
struct Committed {
    media: MediaId,
    stream: usize,
    count: u64,
}

impl Commits {
    /// Stream number `stream` has committed more for this tape.
    pub fn tell(&self, media: &MediaId, stream: usize) {
        let mut tapes = lock(&self.tapes);
        let entry = tapes.entry(media.label.uuid);
        let known = entry.or_insert_with(|| Committed { media: media.clone(), stream, count: 0 });
        known.stream = stream;
        known.count += 1;
    }
}

/// What a set holds.
pub struct Known {
    catalogs: RwLock<SetCatalogs>,
    /// Sequence number of the tape that is written.
    own_seq_nr: AtomicU64,
    is_given_up: AtomicBool,
    beside: Option<Beside>,
}

/// The other streams of the job.
struct Beside {
    state: StateDir,
    stream: usize,
    commits: Arc<Commits>,
    /// How many commits of each tape were looked at.
    seen: Mutex<BTreeMap<Uuid, u64>>,
}

impl Known {
    /// What these catalogs know, for the only writer of a set.
    pub fn new(catalogs: SetCatalogs) -> Known {
        Known {
            catalogs: RwLock::new(catalogs),
            own_seq_nr: AtomicU64::new(NO_TAPE),
            is_given_up: AtomicBool::new(false),
            beside: None,
        }
    }

    /// The same for one of several.
    pub fn beside_others(
        catalogs: SetCatalogs,
        state: StateDir,
        stream: usize,
        commits: Arc<Commits>,
    ) -> Known {
        let seen = Mutex::default();
        Known { beside: Some(Beside { state, stream, commits, seen }), ..Known::new(catalogs) }
    }

    /// The catalogs, to ask them.
    pub fn catalogs(&self) -> RwLockReadGuard<'_, SetCatalogs> {
        self.catalogs.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The catalogs, to add to them.
    pub fn catalogs_mut(&self) -> RwLockWriteGuard<'_, SetCatalogs> {
        self.catalogs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer has taken a tape. No other stream gets one before this was told.
    pub fn set_own_tape(&self, seq_nr: u64) {
        self.own_seq_nr.store(seq_nr, Ordering::SeqCst);
    }

    /// The writer has ended: nothing is to be written for its sake any more.
    pub fn give_up(&self) {
        self.is_given_up.store(true, Ordering::SeqCst);
    }

    fn is_own(&self, media: &MediaId) -> bool {
        let own = self.own_seq_nr.load(Ordering::SeqCst);
        media.assigned_set().is_some_and(|label| label.seq_nr == own)
    }

    /// True if a chunk need not be written.
    pub fn contains_chunk(&self, store: &str, digest: &Digest) -> Result<bool> {
        if self.is_given_up.load(Ordering::SeqCst) {
            return Ok(true);
        }
        let own = self.own_seq_nr.load(Ordering::SeqCst);
        let comes_before = |catalog: &MediaCatalog| {
            let set = catalog.media().assigned_set();
            set.is_none_or(|label| label.seq_nr <= own)
        };
        let catalogs = self.catalogs();
        for catalog in catalogs.iter().filter(|catalog| comes_before(catalog)) {
            if catalog.chunk(store, digest)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// True if a snapshot need not be written.
    pub fn contains_snapshot(&self, store: &str, snapshot: &str) -> bool {
        self.is_given_up.load(Ordering::SeqCst)
            || self.catalogs().contains_snapshot(store, snapshot)
    }

    /// Takes in what other streams have committed since the last time. What can't be read is not counted on, and is looked at
    /// again: then more is written than must be.
    pub fn look_beside(&self) {
        let Some(beside) = &self.beside else { return };
        let tapes: Vec<Committed> = lock(&beside.commits.tapes).values().cloned().collect();
        for tape in tapes.iter().filter(|tape| tape.stream != beside.stream) {
            let media = tape.media.label.uuid;
            if lock(&beside.seen).get(&media).is_some_and(|seen| *seen >= tape.count) {
                continue;
            }
            if let Ok(catalog) = MediaCatalog::load_one_of(&beside.state, &tape.media, tapes.len())
            {
                let mut catalogs = self.catalogs_mut();
                // A tape that another stream gave up may be this one's meanwhile, with a catalog that it adds to.
                if !self.is_own(&tape.media) {
                    catalogs.insert(catalog);
                }
                lock(&beside.seen).insert(media, tape.count);
            }
        }
    }
}
