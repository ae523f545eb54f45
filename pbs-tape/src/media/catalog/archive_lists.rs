//! The chunks of chosen archives in the order in which they lie on tape, which is the order of the log's records. The
//! index beside a log is sorted by digest, so this reads the log; nothing but the wanted lists is kept.

use std::collections::{BTreeMap, BTreeSet};

use datastore::Digest;

use super::content::CatalogContent;
use super::load::{open_log, whole_commits};
use super::log::read_log;
use super::record::Record;
use crate::error::Result;
use crate::media::inventory::MediaId;
use crate::media::state::StateDir;

/// For each of these tape files that is a chunk archive, its chunks in the order of the records.
pub fn archive_lists(
    state: &StateDir,
    media: &MediaId,
    files: &BTreeSet<u64>,
) -> Result<BTreeMap<u64, Vec<Digest>>> {
    let mut lists = BTreeMap::new();
    let (log, path) = open_log(state, media, false)?;
    let (log, end) = whole_commits(log, &path)?;
    let mut content = CatalogContent::default();
    let mut open: Option<(u64, Vec<Digest>)> = None;
    read_log(&log, &path, media, end, &mut content, &mut |record, _| match record {
        Record::ArchiveStart { file_number, .. } => {
            open = files.contains(file_number).then(|| (*file_number, Vec::new()));
        }
        Record::Chunk(digest) => {
            if let Some((_, chunks)) = &mut open {
                chunks.push(*digest);
            }
        }
        // Only here is known that the archive was committed as a whole.
        Record::ArchiveEnd { .. } => lists.extend(open.take()),
        Record::Label { .. } | Record::Snapshot { .. } => {}
    })?;
    Ok(lists)
}
