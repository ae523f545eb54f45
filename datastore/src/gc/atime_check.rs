//! Whether touching works.
//!
//! Writers say that they need a chunk by touching it, and the collector believes them. On a file
//! system that ignores the time of access (some network file systems, some mount options of
//! stacked ones) a chunk that was just taken into use looks as old as ever. So before anything is
//! removed one chunk is touched twice, with a second between, and the later time must be later. That
//! goes on beside the marking, which it ends if it fails.

use std::time::{Duration, Instant};

use super::Run;
use crate::blob::DataBlob;
use crate::datastore::Datastore;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::storage::Meta;

/// Length of the chunk that is used, which holds zeros: every store with a disk image has it.
const CONTENT_BYTES: usize = 4 << 20;
/// Time between the touches. Times are compared in whole seconds, and a kernel's clock for files is up
/// to ten milliseconds behind, so a second alone might not be seen.
const PAUSE: Duration = Duration::from_millis(1050);

/// Fails unless the store's file system keeps the time of access of a chunk that is touched. Leaves
/// the chunk of 4 MiB of zeros in the store.
pub fn check_atime(store: &Datastore, progress: &dyn Progress) -> Result<()> {
    let (digest, blob) = probe()?;
    let path = store.chunks().path(&digest);
    // Somebody may replace the chunk in between, once: then the times of two files were compared.
    for _ in 0..2 {
        store.chunks().insert(&digest, &blob).map_err(|error| Error::Refused {
            reason: format!(
                "cannot try out whether the file system keeps times of access, which takes one \
                 chunk: {error}; if it is known to keep them, the check can be left out"
            ),
        })?;
        let look = || store.storage().meta(&path).map_err(|e| Error::io("look at", &path, e));
        let before = look()?;
        pause(progress)?;
        // Compared with the time of our own first touch: a backup, or the collection that this runs
        // beside, may have touched the chunk during the pause, and that is no sign of anything.
        let after = store.chunks().exclusively(&digest, || -> Result<Meta> {
            store.storage().touch(&path).map_err(|e| Error::io("touch", &path, e))?;
            look()
        })?;
        if before.inode != after.inode {
            continue;
        }
        if before.atime < after.atime {
            return Ok(());
        }
        return Err(Error::Refused {
            reason: format!(
                "the file system of {} does not keep the time of last access that is set ({} \
                 before, {} after a touch): garbage collection could remove chunks that a backup \
                 is about to use; mount it so that it keeps them",
                store.base().display(),
                before.atime,
                after.atime
            ),
        });
    }
    Err(Error::Refused {
        reason: format!(
            "{} was replaced twice while the file system's times of access were tried out; try \
             again later",
            path.display()
        ),
    })
}

/// The chunk that is used.
pub(super) fn probe() -> Result<(Digest, DataBlob)> {
    let content = vec![0; CONTENT_BYTES];
    Ok((Digest::of(&content), DataBlob::encode(&content, None, true)?))
}

fn pause(progress: &dyn Progress) -> Result<()> {
    let end = Instant::now() + PAUSE;
    loop {
        Run::check_abort(progress)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(Duration::from_millis(100)));
    }
}
