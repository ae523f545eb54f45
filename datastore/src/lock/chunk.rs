//! The mutex between the insertion of a chunk and the decision to remove it.
//!
//! It belongs to the store, not to a handle of it: a program that opens a store twice may back up
//! through one handle and collect through the other, and a collector that does not hold up the
//! writer's "is it there?" removes the chunk that the writer was just told of. So all handles of a
//! process get the same mutexes, through a registry like that of [`super::process`].
//!
//! Between processes the process lock keeps insertion and removal apart, and nothing is needed here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use crate::digest::Digest;
use crate::sync::{Mutex, MutexGuard};

/// Parts of the digests that are locked each on its own.
const SHARDS: usize = 256;

/// The mutexes of one store, one for each part of the digests.
#[derive(Debug)]
pub(crate) struct ChunkMutexes(Box<[Mutex<()>]>);

type Registry = std::sync::Mutex<HashMap<PathBuf, Weak<ChunkMutexes>>>;

impl ChunkMutexes {
    /// Those of the store at `base`, shared with every other handle of this process.
    pub(crate) fn of(base: &Path) -> Arc<ChunkMutexes> {
        static REGISTRY: OnceLock<Registry> = OnceLock::new();
        // A folder that cannot be resolved has one name only, the one given.
        let base = base.canonicalize().unwrap_or_else(|_| base.to_path_buf());
        let registry = REGISTRY.get_or_init(Registry::default);
        let mut known = registry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mutexes) = known.get(&base).and_then(Weak::upgrade) {
            return mutexes;
        }
        let mutexes = Arc::new(ChunkMutexes((0..SHARDS).map(|_| Mutex::default()).collect()));
        known.retain(|_, mutexes| mutexes.strong_count() > 0);
        known.insert(base, Arc::downgrade(&mutexes));
        mutexes
    }

    /// Locks the part that a digest belongs to.
    pub(crate) fn lock(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        // The digest's first byte chooses; the remainder is always inside. A panic of another thread
        // cannot leave a chunk half inserted: the rename decides.
        #[expect(clippy::indexing_slicing, reason = "there are SHARDS of them")]
        let shard = &self.0[usize::from(digest.prefix() >> 8) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_handles_of_a_store_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&other).unwrap();
        let mutexes = ChunkMutexes::of(&one);
        assert!(Arc::ptr_eq(&mutexes, &ChunkMutexes::of(&one.join("..").join("one"))));
        assert!(!Arc::ptr_eq(&mutexes, &ChunkMutexes::of(&other)));
        let weak = Arc::downgrade(&mutexes);
        drop(mutexes);
        assert!(weak.upgrade().is_none(), "the registry keeps none alive");
    }
}
