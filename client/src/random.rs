//! Random access to an archive: for single files out of a large one, and for getting at the rest
//! when a part is damaged. Every chunk that is used is proved; those read last are kept.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use datastore::CryptConfig;
use datastore::index::{Index, IndexEntry};

use crate::error::Result;
use crate::session::RestoreSession;

/// Chunks that are kept: enough for a directory's table and the files beside it.
const RECENT_CHUNKS_MAX: usize = 4;

/// The content of an archive at any offset.
pub struct RandomAccess {
    session: Arc<dyn RestoreSession>,
    index: Index,
    key: Option<Arc<CryptConfig>>,
    recent: Mutex<Vec<(usize, Arc<Vec<u8>>)>>,
}

impl RandomAccess {
    /// Opens the archive that `index` describes.
    pub fn new(
        session: &Arc<dyn RestoreSession>,
        index: Index,
        key: Option<Arc<CryptConfig>>,
    ) -> RandomAccess {
        RandomAccess { session: Arc::clone(session), index, key, recent: Mutex::default() }
    }

    fn chunk(&self, position: usize, entry: &IndexEntry) -> Result<Arc<Vec<u8>>> {
        let recent = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = recent().iter().find(|(at, _)| *at == position) {
            return Ok(Arc::clone(&found.1));
        }
        let blob = self.session.chunk(&entry.digest)?;
        let len = usize::try_from(entry.len()).unwrap_or(usize::MAX);
        let content = Arc::new(blob.decode_chunk(self.key.as_deref(), &entry.digest, len)?);
        let mut recent = recent();
        if recent.len() >= RECENT_CHUNKS_MAX {
            recent.remove(0);
        }
        recent.push((position, Arc::clone(&content)));
        Ok(content)
    }
}

impl pxar::accessor::ReadAt for RandomAccess {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let Some(position) = self.index.position_of(at) else { break };
            let Some(entry) = self.index.entry(position) else { break };
            let content = match self.chunk(position, &entry) {
                Ok(content) => content,
                // What was read before the damage is good; the next call tells of it.
                Err(_) if done > 0 => break,
                Err(error) => return Err(io::Error::other(error)),
            };
            let from = content.get((at - entry.start) as usize..).unwrap_or_default();
            let count = from.len().min(rest.len());
            if let (Some(to), Some(from)) = (rest.get_mut(..count), from.get(..count)) {
                to.copy_from_slice(from);
            }
            done += count;
        }
        Ok(done)
    }

    fn size(&self) -> u64 {
        self.index.content_size()
    }
}
