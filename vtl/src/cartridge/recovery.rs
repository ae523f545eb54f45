//! Bringing a log to a valid state when it is opened, and rebuilding its index.
//!
//! The walk follows record headers from a known good place. Where a header is not the one that must
//! come next, there are two explanations, and the record headers themselves tell which is true:
//!
//! * *Some later record, written to this log at its place, says that the missing object was durable
//!   when it was written.* Then recorded data is damaged. The missing objects are entered in the
//!   index as damaged (reading them is a medium error) and the walk goes on behind them.
//! * *There is none.* Then the tape ended here when the crash came: nothing behind was ever
//!   synchronised, and the first object that did not survive whole ends the tape.
//!
//! The objects behind the last durable one are then read once by the log: a power cut may have kept a
//! header and lost its data.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::index::{Checkpoint, Entry, Index};
use super::record::{Record, SLOT, SLOT_BYTES};

/// Bytes searched at once for the next record header.
const SEARCH_BYTES: usize = 1 << 20;
/// Index entries written at once.
const ENTRIES_PER_WRITE: usize = 4096;

/// The files of a partition, and the number that its records carry.
pub(super) struct Source<'a> {
    pub file: &'a File,
    pub index: &'a Index,
    pub id: u64,
}

/// What is recorded behind a checkpoint.
pub(super) struct Found {
    /// Where the chain of headers ends.
    pub end: Checkpoint,
    /// Most objects that any header seen called durable.
    pub durable: u64,
}

/// Where a walk stands: everything before is accounted for.
struct Walk {
    object: u64,
    file: u32,
    bytes: u64,
    offset: u64,
    /// Check of the record before, `None` behind damage.
    chain: Option<u64>,
    epoch: u32,
    /// Most objects that any header seen called durable.
    durable: u64,
    /// Entries not yet written; the last belongs to object `object − 1`.
    entries: Vec<Entry>,
}

/// Follows the headers from the checkpoint to the end of what is recorded in a log of `size` bytes.
pub(super) fn roll_forward(
    source: &Source<'_>,
    checkpoint: &Checkpoint,
    size: u64,
) -> io::Result<Found> {
    let mut walk = Walk {
        object: checkpoint.objects,
        file: checkpoint.files,
        bytes: checkpoint.bytes,
        offset: checkpoint.end,
        chain: Some(checkpoint.chain),
        epoch: checkpoint.epoch,
        durable: checkpoint.objects,
        entries: Vec::new(),
    };
    walk_records(source, &mut walk, size, None)?;
    let end = Checkpoint {
        objects: walk.object,
        end: walk.offset,
        bytes: walk.bytes,
        chain: walk.chain.unwrap_or(0),
        epoch: walk.epoch,
        files: walk.file,
    };
    Ok(Found { end, durable: walk.durable })
}

/// Writes all index entries again from the first `size` bytes of the log alone. They are known to
/// have held `objects` objects, `files` of them filemarks.
pub(super) fn rebuild_index(
    source: &Source<'_>,
    objects: u64,
    files: u32,
    size: u64,
) -> io::Result<()> {
    let mut walk = Walk {
        object: 0,
        file: 0,
        bytes: 0,
        offset: SLOT_BYTES,
        chain: Some(source.id),
        epoch: 0,
        durable: 0,
        entries: Vec::new(),
    };
    walk_records(source, &mut walk, size, Some(objects))?;
    // The log ends before the objects that it is known to have held.
    if walk.object < objects {
        let missing = Missing { until: objects, files, offset: walk.offset };
        note_missing(source, &mut walk, &missing)?;
        write_entries(source, &mut walk)?;
    }
    Ok(())
}

/// Follows records until the end. With `known`, that many objects are known to be recorded, so
/// whatever header comes next in the log is of this tape.
fn walk_records(
    source: &Source<'_>,
    walk: &mut Walk,
    size: u64,
    known: Option<u64>,
) -> io::Result<()> {
    loop {
        if known.is_some_and(|known| walk.object >= known) {
            break;
        }
        if let Some((record, check)) = record_at(source, walk.offset, size)? {
            let follows = record.object == walk.object
                && record.file == walk.file
                && record.epoch >= walk.epoch
                && walk.chain.is_none_or(|chain| chain == record.chain);
            if follows {
                accept(source, walk, &record, check)?;
                continue;
            }
        }
        match search(source, walk, size, known)? {
            Some((offset, record)) => {
                let missing = Missing { until: record.object, files: record.file, offset };
                note_missing(source, walk, &missing)?;
                walk.offset = offset;
                walk.bytes = record.bytes_before;
                walk.chain = None;
            }
            None => break,
        }
    }
    write_entries(source, walk)
}

fn accept(source: &Source<'_>, walk: &mut Walk, record: &Record, check: u64) -> io::Result<()> {
    walk.entries.push(Entry {
        offset: walk.offset,
        length: record.length,
        file: record.file,
        damaged: false,
    });
    walk.object += 1;
    walk.file += u32::from(record.filemark);
    walk.bytes += u64::from(record.length);
    walk.offset += record.stored_bytes();
    walk.chain = Some(check);
    walk.epoch = record.epoch;
    walk.durable = walk.durable.max(record.durable);
    if walk.entries.len() >= ENTRIES_PER_WRITE { write_entries(source, walk) } else { Ok(()) }
}

fn write_entries(source: &Source<'_>, walk: &mut Walk) -> io::Result<()> {
    let first = walk.object - walk.entries.len() as u64;
    source.index.put_run(first, &walk.entries)?;
    walk.entries.clear();
    Ok(())
}

/// Objects that are recorded but whose headers are gone.
struct Missing {
    /// The first object behind them.
    until: u64,
    /// Filemarks before that one.
    files: u32,
    /// Where that one lies.
    offset: u64,
}

fn note_missing(source: &Source<'_>, walk: &mut Walk, missing: &Missing) -> io::Result<()> {
    let count = missing.until.saturating_sub(walk.object);
    let filemarks = u64::from(missing.files.saturating_sub(walk.file)).min(count);
    for index in 0..count {
        // Which of them were filemarks is not known; taking the last ones keeps every file number
        // behind the damage right.
        let filemark = index >= count - filemarks;
        let room = missing.offset.saturating_sub(walk.offset + SLOT_BYTES);
        let length = if filemark { 0 } else { room.clamp(1, 0xff_ffff) as u32 };
        walk.entries.push(Entry { offset: walk.offset, length, file: walk.file, damaged: true });
        walk.object += 1;
        walk.file += u32::from(filemark);
        if walk.entries.len() >= ENTRIES_PER_WRITE {
            write_entries(source, walk)?;
        }
    }
    walk.file = missing.files.max(walk.file);
    Ok(())
}

/// The record at `offset` if its header is good and its data lies within the log.
fn record_at(source: &Source<'_>, offset: u64, size: u64) -> io::Result<Option<(Record, u64)>> {
    if offset.checked_add(SLOT_BYTES).is_none_or(|behind| behind > size) {
        return Ok(None);
    }
    let mut bytes = [0; SLOT];
    source.file.read_exact_at(&mut bytes, offset)?;
    Ok(Record::decode(&bytes, source.id, offset)
        .filter(|(record, _)| offset + SLOT_BYTES + record.content_bytes() <= size))
}

/// The next record behind a bad place, if the tape is proven to go on there.
///
/// The proof may come from a record further on: the first good one need not itself have been
/// written after the missing object was flushed.
fn search(
    source: &Source<'_>,
    walk: &mut Walk,
    size: u64,
    known: Option<u64>,
) -> io::Result<Option<(u64, Record)>> {
    let mut offset = walk.offset + SLOT_BYTES;
    let rest = usize::try_from(size.saturating_sub(offset)).unwrap_or(SEARCH_BYTES);
    let mut buffer = vec![0u8; rest.min(SEARCH_BYTES)];
    let mut first: Option<(u64, Record)> = None;
    while offset + SLOT_BYTES <= size {
        let length = usize::try_from(size - offset).unwrap_or(SEARCH_BYTES).min(SEARCH_BYTES);
        let Some(window) = buffer.get_mut(..length) else { break };
        source.file.read_exact_at(window, offset)?;
        for (slot, place) in window.chunks_exact(SLOT).zip((offset..).step_by(SLOT)) {
            let Some((record, _)) =
                slot.try_into().ok().and_then(|slot| Record::decode(slot, source.id, place))
            else {
                continue;
            };
            let whole = place + SLOT_BYTES + record.content_bytes() <= size;
            let later = record.object > walk.object && record.epoch >= walk.epoch;
            if !(whole && later) {
                continue;
            }
            let resume = *first.get_or_insert((place, record));
            walk.durable = walk.durable.max(record.durable);
            if walk.durable > walk.object || known.is_some_and(|known| resume.1.object < known) {
                return Ok(Some(resume));
            }
        }
        offset += (length - length % SLOT).max(SLOT) as u64;
    }
    Ok(None)
}
