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
//! The objects behind the last durable one are then read once: a power cut may have kept a header
//! and lost its data.

use std::io;
use std::os::unix::fs::FileExt;

use super::index::Entry;
use super::log::{Fault, ObjectLog};
use super::record::{Record, SLOT, SLOT_BYTES};

/// Bytes searched at once for the next record header.
const SEARCH_BYTES: usize = 1 << 20;
/// Index entries written at once.
const ENTRIES_PER_WRITE: usize = 4096;

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

/// Continues from the checkpoint to the end of what is recorded.
pub(super) fn roll_forward(log: &mut ObjectLog) -> io::Result<()> {
    let size = log.file.metadata()?.len();
    let checkpoint = log.checkpoint;
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
    walk_records(log, &mut walk, size, None)?;
    log.objects = walk.object;
    log.files = walk.file;
    log.bytes = walk.bytes;
    log.end = walk.offset;
    log.chain = walk.chain.unwrap_or(0);
    log.epoch = walk.epoch;
    verify_tail(log, walk.durable)?;
    // What the walk found was read from the page cache or the disk; only a flush of this process
    // makes it durable, so `durable` stays at the checkpoint.
    log.tail = size > log.end;
    Ok(())
}

/// Writes all index entries again from the log alone.
pub(super) fn rebuild_index(log: &mut ObjectLog) -> Result<(), Fault> {
    let size = log.file.metadata()?.len().min(log.end);
    let mut walk = Walk {
        object: 0,
        file: 0,
        bytes: 0,
        offset: SLOT_BYTES,
        chain: Some(log.id),
        epoch: 0,
        durable: 0,
        entries: Vec::new(),
    };
    let expected = log.objects;
    walk_records(log, &mut walk, size, Some(expected))?;
    // The log ends before the objects that it is known to have held.
    if walk.object < expected {
        let missing = Missing { until: expected, files: log.files, offset: walk.offset };
        note_missing(log, &mut walk, &missing)?;
        write_entries(log, &mut walk)?;
    }
    Ok(())
}

/// Follows records until the end. With `known`, that many objects are known to be recorded, so
/// whatever header comes next in the log is of this tape.
fn walk_records(log: &ObjectLog, walk: &mut Walk, size: u64, known: Option<u64>) -> io::Result<()> {
    loop {
        if known.is_some_and(|known| walk.object >= known) {
            break;
        }
        if let Some((record, check)) = record_at(log, walk.offset, size)? {
            let follows = record.object == walk.object
                && record.file == walk.file
                && record.epoch >= walk.epoch
                && walk.chain.is_none_or(|chain| chain == record.chain);
            if follows {
                accept(log, walk, &record, check)?;
                continue;
            }
        }
        match search(log, walk, size, known)? {
            Some((offset, record)) => {
                let missing = Missing { until: record.object, files: record.file, offset };
                note_missing(log, walk, &missing)?;
                walk.offset = offset;
                walk.bytes = record.bytes_before;
                walk.chain = None;
            }
            None => break,
        }
    }
    write_entries(log, walk)
}

fn accept(log: &ObjectLog, walk: &mut Walk, record: &Record, check: u64) -> io::Result<()> {
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
    if walk.entries.len() >= ENTRIES_PER_WRITE { write_entries(log, walk) } else { Ok(()) }
}

fn write_entries(log: &ObjectLog, walk: &mut Walk) -> io::Result<()> {
    let first = walk.object - walk.entries.len() as u64;
    log.index.put_run(first, &walk.entries)?;
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

fn note_missing(log: &ObjectLog, walk: &mut Walk, missing: &Missing) -> io::Result<()> {
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
            write_entries(log, walk)?;
        }
    }
    walk.file = missing.files.max(walk.file);
    Ok(())
}

/// The record at `offset` if its header is good and its data lies within the log.
fn record_at(log: &ObjectLog, offset: u64, size: u64) -> io::Result<Option<(Record, u64)>> {
    if offset.checked_add(SLOT_BYTES).is_none_or(|behind| behind > size) {
        return Ok(None);
    }
    let mut bytes = [0; SLOT];
    log.file.read_exact_at(&mut bytes, offset)?;
    Ok(Record::decode(&bytes, log.id, offset)
        .filter(|(record, _)| offset + SLOT_BYTES + u64::from(record.length) <= size))
}

/// The next record behind a bad place, if the tape is proven to go on there.
///
/// The proof may come from a record further on: the first good one need not itself have been
/// written after the missing object was flushed.
fn search(
    log: &ObjectLog,
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
        log.file.read_exact_at(window, offset)?;
        for (slot, place) in window.chunks_exact(SLOT).zip((offset..).step_by(SLOT)) {
            let Some((record, _)) =
                slot.try_into().ok().and_then(|slot| Record::decode(slot, log.id, place))
            else {
                continue;
            };
            let whole = place + SLOT_BYTES + u64::from(record.length) <= size;
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

/// Reads the objects that no header calls durable; the first bad one ends the tape.
fn verify_tail(log: &mut ObjectLog, durable: u64) -> io::Result<()> {
    let mut buffer = Vec::new();
    for object in durable..log.objects {
        let fault = match log.kind(object).and_then(|kind| {
            if let super::log::Object::Block(length) = kind {
                buffer.resize(length as usize, 0);
            }
            log.read(object, &mut buffer)
        }) {
            Ok(_) => continue,
            Err(fault) => fault,
        };
        match fault {
            Fault::Host(error) => return Err(error),
            Fault::Damaged { .. } => {
                let entry = log
                    .index
                    .get(object)
                    .ok_or_else(|| io::Error::other("index cannot be read back"))?;
                let (bytes, chain) = match log.end_state_at(object) {
                    Ok(state) => state,
                    Err(Fault::Host(error)) => return Err(error),
                    Err(Fault::Damaged { .. }) => (0, 0),
                };
                log.objects = object;
                log.files = entry.file;
                log.end = entry.offset;
                log.bytes = bytes;
                log.chain = chain;
                return Ok(());
            }
        }
    }
    Ok(())
}
