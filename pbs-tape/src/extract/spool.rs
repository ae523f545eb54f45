//! Chunks between tape and target: a file without a name, so that nothing is left of it whatever happens, and no more than
//! the bytes that were allowed.
//!
//! Or, for a rescue, the chunks of a datastore: then all that can be had is there, and what is not there can't be had.
//!
//! What lies in it was proved when it came. It also remembers what could not be had, so that nobody asks a tape twice, and
//! what was asked for and is not there yet, which is how a round of reading is planned.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datastore::blob::ChunkName;
use datastore::{DataBlob, Datastore, Digest};

use crate::error::{Error, IoResultExt, Result};
use crate::media::catalog::DigestMap;

/// Proved chunks of one snapshot.
pub(crate) struct Spool {
    place: Place,
    bytes_max: u64,
    state: Mutex<State>,
}

/// Where they are.
enum Place {
    /// In a file without a name, in this folder.
    File { folder: PathBuf, file: File },
    /// In a datastore.
    Store(Arc<Datastore>),
}

/// Brings chunks into a spool. Each of those asked for is settled afterwards: there, or failed for a reason.
pub(crate) trait Fetch {
    /// Fetches them.
    fn fetch(&mut self, spool: &Spool, digests: &BTreeSet<Digest>) -> Result<()>;
}

/// Where all is settled.
pub(crate) struct NothingToFetch;

impl Fetch for NothingToFetch {
    fn fetch(&mut self, _spool: &Spool, _digests: &BTreeSet<Digest>) -> Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct State {
    end: u64,
    places: DigestMap<(u64, u64)>,
    failed: DigestMap<String>,
    missing: BTreeSet<Digest>,
}

/// What the spool knows of a chunk.
pub(crate) enum Lookup {
    Blob(DataBlob),
    /// It can't be had, and why.
    Failed(String),
    /// Nobody fetched it; it is noted as missing.
    Missing,
}

impl Spool {
    /// A new spool in a folder of its own file system.
    pub fn new(folder: &Path, bytes_max: u64) -> Result<Spool> {
        let path = folder.join(format!(".capstan-extract-{}", uuid::Uuid::new_v4()));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .at(&path)?;
        std::fs::remove_file(&path).at(&path)?;
        let place = Place::File { folder: folder.to_path_buf(), file };
        Ok(Spool { place, bytes_max, state: Mutex::default() })
    }

    /// The chunks of a datastore. `bytes_max` is how much is worked on at once.
    pub fn over(store: Arc<Datastore>, bytes_max: u64) -> Spool {
        Spool { place: Place::Store(store), bytes_max, state: Mutex::default() }
    }

    /// Most bytes that it takes.
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a proved chunk.
    pub fn put(&self, digest: &Digest, blob: &DataBlob) -> Result<()> {
        let Place::File { folder, file } = &self.place else { return Ok(()) };
        let mut state = self.state();
        let (at, bytes) = (state.end, blob.encoded_len());
        if at.saturating_add(bytes) > self.bytes_max {
            return Err(Error::BadArgument {
                what: "size of the spool",
                value: self.bytes_max.to_string(),
                reason: "what is to be extracted needs more at once: allow more, choose less, or restore the snapshot into a datastore".into(),
            });
        }
        file.write_all_at(blob.as_bytes(), at).at(folder)?;
        state.end += bytes;
        state.places.insert(*digest, (at, bytes));
        Ok(())
    }

    /// Notes that a chunk can't be had.
    pub fn fail(&self, digest: &Digest, reason: String) {
        self.state().failed.insert(*digest, reason);
    }

    /// True if nothing has to be fetched for an answer about this chunk.
    pub fn is_settled(&self, digest: &Digest) -> bool {
        if let Place::Store(_) = self.place {
            return true;
        }
        let state = self.state();
        state.places.contains_key(digest) || state.failed.contains_key(digest)
    }

    /// Why a chunk can't be had, if it can't.
    pub fn failure(&self, digest: &Digest) -> Option<String> {
        if let Place::Store(store) = &self.place {
            return match store.chunks().touch(digest) {
                Ok(true) => None,
                Ok(false) => Some(format!(
                    "chunk {digest} was on none of the tapes read, or is damaged there"
                )),
                Err(error) => Some(error.to_string()),
            };
        }
        self.state().failed.get(digest).cloned()
    }

    /// A chunk.
    pub fn get(&self, digest: &Digest) -> Result<Lookup> {
        let (folder, file) = match &self.place {
            Place::File { folder, file } => (folder, file),
            Place::Store(store) => {
                return Ok(match store.chunks().read(digest) {
                    Ok(blob) => Lookup::Blob(blob),
                    Err(error) => Lookup::Failed(error.to_string()),
                });
            }
        };
        let (at, bytes) = {
            let mut state = self.state();
            if let Some(reason) = state.failed.get(digest) {
                return Ok(Lookup::Failed(reason.clone()));
            }
            let Some(place) = state.places.get(digest).copied() else {
                state.missing.insert(*digest);
                return Ok(Lookup::Missing);
            };
            place
        };
        // As long as what was put in.
        let mut blob = vec![0; usize::try_from(bytes).unwrap_or_default()];
        file.read_exact_at(&mut blob, at).at(folder)?;
        Ok(Lookup::Blob(DataBlob::from_bytes(blob, &ChunkName(digest))?))
    }

    /// How many chunks were asked for in vain.
    pub fn missing(&self) -> usize {
        self.state().missing.len()
    }

    /// Gives away what was asked for in vain, and begins anew.
    pub fn take_missing(&self) -> BTreeSet<Digest> {
        std::mem::take(&mut self.state().missing)
    }

    /// Makes room: all chunks are forgotten, what failed is not.
    pub fn clear(&self) -> Result<()> {
        let Place::File { folder, file } = &self.place else { return Ok(()) };
        let mut state = self.state();
        state.places.clear();
        state.end = 0;
        file.set_len(0).at(folder)
    }
}
