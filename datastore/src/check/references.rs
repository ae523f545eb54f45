//! That the chunks which indexes name are there.

use std::collections::HashSet;
use std::path::Path;

use super::{Checker, Kind, Remedy, Severity};
use crate::blob::ENCODED_CHUNK_BYTES_MAX;
use crate::digest::Digest;
use crate::error::Result;
use crate::index::Index;
use crate::storage::Kind as EntryKind;

/// Most digests that are remembered: what fills a table of 2^21 places, 70 MB. When it is full it
/// is begun anew, which costs a second look at chunks and is never wrong.
const SEEN_MAX: usize = (1 << 21) / 8 * 7;
/// Shortest chunk: a header.
const CHUNK_BYTES_MIN: u64 = 12;

/// The chunks that are known to be there.
#[derive(Default)]
pub(super) struct References {
    seen: HashSet<Digest>,
}

impl Checker<'_> {
    /// Looks for every chunk of one index, if that was asked for.
    pub(super) fn references_of(&mut self, path: &Path) -> Result<()> {
        let Some(mut references) = self.references.take() else { return Ok(()) };
        let result = self.chunks_of(path, &mut references);
        self.references = Some(references);
        result
    }

    fn chunks_of(&mut self, path: &Path, references: &mut References) -> Result<()> {
        let by_hand = |text: &str| Remedy::ByHand(text.to_owned());
        let index = match Index::load(self.storage, path) {
            Ok(index) => index,
            Err(error) if error.is_missing() => return Ok(()),
            Err(error) => {
                let remedy = by_hand("'datastore verify' tells which snapshots are whole");
                let detail = format!("its chunks are unknown: {error}");
                self.report(Kind::MissingChunks, Severity::Error, path, detail, remedy);
                return Ok(());
            }
        };
        let mut missing: u64 = 0;
        let mut first = None;
        for digest in index.digests() {
            if references.seen.contains(&digest) {
                continue;
            }
            self.check_abort()?;
            let is_there =
                self.storage.meta(&self.store.chunks().path(&digest)).is_ok_and(|meta| {
                    meta.kind == EntryKind::File
                        && (CHUNK_BYTES_MIN..=ENCODED_CHUNK_BYTES_MAX).contains(&meta.len)
                });
            if !is_there {
                missing += 1;
                first.get_or_insert(digest);
                continue;
            }
            if references.seen.len() >= SEEN_MAX {
                references.seen.clear();
            }
            references.seen.insert(digest);
        }
        // Whoever forgot the snapshot meanwhile may have collected its chunks too.
        if let Some(first) = first
            && self.meta(path).is_some()
        {
            let detail = format!(
                "{missing} of its {} chunks are missing or of impossible length, the first is {first}",
                index.len()
            );
            let remedy = by_hand(
                "a new backup of the same content heals it, and so does a restore from tape",
            );
            self.report(Kind::MissingChunks, Severity::Error, path, detail, remedy);
        }
        Ok(())
    }
}
