//! Finding chunks in a chunk archive without reading it from its beginning.
//!
//! A media catalog tells in which tape file a chunk is, but not where in its 4 GiB: the format records no offsets. Yet
//! the catalog lists an archive's chunks in the order in which they lie there, and an entry says itself which chunk it
//! is. So a block out of the middle, once an entry begins in it, tells where in the list it is, and with two such places
//! the third is estimated: an interpolation search, of which each step costs one locate and a few blocks.
//!
//! # Why it finds the right bytes
//!
//! A place is *known* if an entry's head was read there whose digest is in the archive's list at a number between those of the
//! known places around it. Content may look like a head (somebody backs up an image of a tape), and a catalog may be in
//! another order than the tape; so what is found counts only if the caller proves it by checksum and digest. Whatever
//! does not fit, and whatever is not proved, ends the search, and the archive is read from its beginning to its end, which
//! needs neither list nor order. The search can cost time; it can't cost a chunk.
//!
//! # How much it reads
//!
//! It stops estimating when the rest of the way is at most a 64th of the archive, and at most 64 MiB: a locate takes as
//! long as reading hundreds of megabytes, but whoever fetches a megabyte should not read gigabytes. Steps are bounded, so that
//! no list of sizes that defies estimates makes it wander.

use std::collections::{BTreeMap, BTreeSet};

use datastore::Digest;

use super::file_blocks::{FileBlocks, place};
use crate::error::{Error, Result};
use crate::format::block::PAYLOAD_BYTES;
use crate::format::chunk_archive::{
    ARCHIVE_SENT_BYTES_MAX, ENTRY_HEAD_BYTES, EntryHead, archive_start,
};
use crate::media::catalog::DigestMap;

const PAYLOAD: u64 = PAYLOAD_BYTES as u64;
/// Estimates for one chunk; then the rest of the way is read.
const PROBES_MAX: u32 = 16;
/// Damaged blocks that are passed on the way to one chunk.
const JUMPS_MAX: u32 = 3;
/// The rest of the way that is read rather than estimated.
const WALK_BYTES_MAX: u64 = 64 << 20;
/// And the share of the archive that it is at most.
const WALK_SHARE: u64 = 64;
/// Blocks in which the head of an entry must begin: the longest chunk has 16 MiB.
const PROBE_BLOCKS_MAX: u32 = 66;
/// What is learnt about a datastore's chunks from one archive to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Experience {
    /// Mean length of an entry in bytes, head included, once some were seen.
    pub mean_entry_bytes: Option<u64>,
}

/// What became of chunks that were looked for.
pub(super) enum Found {
    /// Its blob, of the length that its head announces. Nothing else about it was checked.
    Blob(Digest, Vec<u8>),
    /// It could not be read.
    Damaged(Digest, Error),
}

/// Whether a blob is what its digest says.
pub(super) type Proof = bool;

/// An archive in which chunks are looked for.
pub(super) struct ArchiveSearch<'d, 'a> {
    blocks: FileBlocks<'d>,
    /// In the order of the tape, if the catalog is right.
    chunks: &'a [Digest],
    numbers: DigestMap<usize>,
    /// Where entries were met, by their number in the list.
    known: BTreeMap<usize, u64>,
    content_start: u64,
    /// The stream is shorter than this.
    end_max: u64,
    mean: u64,
}

/// The search met what it can't explain.
struct Lost;

type Step<T> = Result<Result<T, Lost>>;

enum Probe {
    Entry { number: usize, offset: u64 },
    BeyondEnd,
    Nothing,
}

impl<'d, 'a> ArchiveSearch<'d, 'a> {
    /// Begins a search in an archive that holds `chunks` of the datastore `store`, as the catalog says.
    pub fn new(
        mut blocks: FileBlocks<'d>,
        chunks: &'a [Digest],
        store: &str,
        experience: Experience,
    ) -> Result<ArchiveSearch<'d, 'a>> {
        let first = blocks.payload(0)?.ok_or(Error::UnexpectedEndOfData { blocks: 0 })?;
        let (found, content_start) = archive_start(first)?;
        if found != store {
            let reason = format!("it is of datastore {found}, the catalog says {store}");
            return Err(Error::malformed("chunk archive", reason));
        }
        // Where nothing is known, the first chunk stands for all.
        let head = usize::try_from(content_start).ok().and_then(|start| first.get(start..));
        let sample = head.and_then(EntryHead::parse).map_or(PAYLOAD, |head| after(0, head));
        let mean = experience.mean_entry_bytes.unwrap_or(sample);
        let mean_max = ARCHIVE_SENT_BYTES_MAX / chunks.len().max(1) as u64;
        Ok(ArchiveSearch {
            blocks,
            chunks,
            numbers: chunks.iter().enumerate().map(|(number, digest)| (*digest, number)).collect(),
            known: BTreeMap::from([(0, content_start)]),
            content_start,
            end_max: u64::MAX,
            mean: mean.clamp(1, mean_max + 1),
        })
    }

    /// Gives each of the wanted chunks to `take`, in the order of the tape, which proves it. What is not proved is
    /// read again by way of the whole archive before it counts as damaged.
    pub fn fetch(
        &mut self,
        wanted: &BTreeSet<Digest>,
        take: &mut dyn FnMut(Found) -> Result<Proof>,
    ) -> Result<()> {
        let mut left = wanted.clone();
        let mut numbers: Vec<usize> =
            wanted.iter().filter_map(|digest| self.numbers.get(digest).copied()).collect();
        numbers.sort_unstable();
        let mut damaged = BTreeMap::new();
        for number in numbers {
            let Some(digest) = self.chunks.get(number).copied() else { continue };
            match self.one(number, &digest) {
                Ok(Ok(blob)) => {
                    if take(Found::Blob(digest, blob))? {
                        left.remove(&digest);
                    }
                }
                Ok(Err(Lost)) => break,
                Err(e) if is_about_the_tape(&e) => {
                    damaged.insert(digest, e);
                }
                Err(e) => return Err(e),
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        // A damaged block was met at the chunk's own place: going there from the beginning would not mend it.
        let again: BTreeSet<Digest> =
            left.iter().filter(|digest| !damaged.contains_key(*digest)).copied().collect();
        if !again.is_empty() {
            let end = self.read_all(&again, &mut left, take)?;
            for digest in &again {
                if left.contains(digest) {
                    let reason = match &end {
                        Some(error) => error.to_string(),
                        None => "the archive does not hold it undamaged".into(),
                    };
                    damaged.insert(*digest, Error::malformed("chunk archive", reason));
                }
            }
        }
        for (digest, error) in damaged {
            take(Found::Damaged(digest, error))?;
        }
        Ok(())
    }

    /// What is known of the mean length of entries now.
    pub fn experience(&self) -> Experience {
        Experience { mean_entry_bytes: Some(self.mean) }
    }

    /// Blocks read and locates made.
    pub fn effort(&self) -> (u64, u64) {
        (self.blocks.blocks_read, self.blocks.locates)
    }

    fn one(&mut self, number: usize, digest: &Digest) -> Step<Vec<u8>> {
        let offset = match self.seek(number)? {
            Ok(offset) => offset,
            Err(Lost) => return Ok(Err(Lost)),
        };
        match self.entry(offset)? {
            Some(head) if head.digest == *digest => {
                let blob = self.blob(offset, head)?;
                self.known.insert(number + 1, after(offset, head));
                Ok(blob.ok_or(Lost))
            }
            _ => Ok(Err(Lost)),
        }
    }

    /// The place of an entry.
    fn seek(&mut self, number: usize) -> Step<u64> {
        let mut shortened = 0u32;
        let mut jumps = 0;
        for _ in 0..PROBES_MAX {
            let Some((&below, &below_at)) = self.known.range(..=number).next_back() else {
                return Ok(Err(Lost));
            };
            if below == number {
                return Ok(Ok(below_at));
            }
            let above = self.known.range(number..).next().map(|(above, at)| (*above, *at));
            let steps = (number - below) as u64;
            let mean = self.mean_between(below, below_at, above);
            let ahead = steps.saturating_mul(mean);
            let walk_bytes_max = self.walk_bytes_max();
            self.blocks.gap_blocks_max =
                u32::try_from(walk_bytes_max / PAYLOAD).unwrap_or(u32::MAX);
            if steps <= 2 || ahead <= walk_bytes_max {
                match self.walk_or_jump(below, below_at, number, &mut jumps)? {
                    Some(done) => return Ok(done),
                    None => continue,
                }
            }
            // Before the place rather than behind it: from there it is read forward.
            let spread = steps.min(above.map_or(u64::MAX, |(above, _)| (above - number) as u64));
            let margin = mean.saturating_mul(1 + spread.isqrt() / 2) + PAYLOAD / 2;
            let aim = (ahead.saturating_sub(margin)) >> shortened;
            if aim <= walk_bytes_max {
                match self.walk_or_jump(below, below_at, number, &mut jumps)? {
                    Some(done) => return Ok(done),
                    None => continue,
                }
            }
            let limit = above.map_or(self.end_max, |(_, at)| at);
            match self.probe(below_at + aim, limit) {
                Ok(Probe::Entry { number: met, offset }) if offset > below_at => {
                    let fits = met > below && above.is_none_or(|(above, _)| met < above);
                    if !fits {
                        return Ok(Err(Lost));
                    }
                    self.known.insert(met, offset);
                    shortened = 0;
                }
                Ok(Probe::BeyondEnd) => {
                    self.end_max = self.end_max.min(below_at + aim);
                    self.mean = (self.mean / 2).max(1);
                }
                // Nothing begins there, or it can't be read: nearer is better than nothing.
                Ok(_) => shortened += 1,
                Err(e) if is_about_the_tape(&e) => shortened += 1,
                Err(e) => return Err(e),
            }
        }
        let Some((&below, &below_at)) = self.known.range(..=number).next_back() else {
            return Ok(Err(Lost));
        };
        self.walk(below, &mut { below_at }, number)
    }

    /// Reads on to an entry; or, if a block on the way is damaged, finds a place behind it and answers `None`.
    fn walk_or_jump(
        &mut self,
        from: usize,
        mut offset: u64,
        number: usize,
        jumps: &mut u32,
    ) -> Result<Option<Result<u64, Lost>>> {
        match self.walk(from, &mut offset, number) {
            Ok(done) => Ok(Some(done)),
            Err(e) if is_about_the_tape(&e) && *jumps < JUMPS_MAX => {
                *jumps += 1;
                // The head may lie across two blocks of which the second is the damaged one.
                let (block, _) = place(offset.saturating_add(ENTRY_HEAD_BYTES as u64))?;
                let behind = (u64::from(block) + 1) * PAYLOAD;
                match self.probe(behind, u64::MAX) {
                    Ok(Probe::Entry { number: met, offset }) if met > from && met <= number => {
                        self.known.insert(met, offset);
                        Ok(None)
                    }
                    _ => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    /// The rest of the way that is read rather than estimated.
    fn walk_bytes_max(&self) -> u64 {
        let archive_bytes = self.mean.saturating_mul(self.chunks.len() as u64);
        (archive_bytes / WALK_SHARE).clamp(2 * PAYLOAD, WALK_BYTES_MAX)
    }

    /// Mean length of the entries from a known place on.
    fn mean_between(&mut self, below: usize, below_at: u64, above: Option<(usize, u64)>) -> u64 {
        if let Some((above, at)) = above {
            return (at.saturating_sub(below_at) / ((above - below).max(1) as u64)).max(1);
        }
        if below >= 4 {
            self.mean = ((below_at - self.content_start) / below as u64).max(1);
        }
        let rest = self.chunks.len().saturating_sub(below).max(1) as u64;
        self.mean.min(self.end_max.saturating_sub(below_at) / rest).max(1)
    }

    /// Looks for an entry that begins in the block of a place or in those that follow, before `limit`.
    fn probe(&mut self, offset: u64, limit: u64) -> Result<Probe> {
        let (first, _) = place(offset)?;
        // What may be the beginning of a head at the end of a block.
        let mut window: Vec<u8> = Vec::new();
        let mut window_at = u64::from(first) * PAYLOAD;
        for number in first..first.saturating_add(PROBE_BLOCKS_MAX) {
            let Some(payload) = self.blocks.payload(number)? else {
                return Ok(if number == first { Probe::BeyondEnd } else { Probe::Nothing });
            };
            window.extend_from_slice(payload);
            let mut from = 0;
            while let Some(at) = EntryHead::next_candidate(&window, from) {
                let candidate = window.get(at..).unwrap_or_default();
                if window_at + at as u64 >= limit {
                    return Ok(Probe::Nothing);
                }
                if candidate.len() < ENTRY_HEAD_BYTES {
                    break;
                }
                let head = EntryHead::parse(candidate);
                if let Some(number) = head.and_then(|head| self.numbers.get(&head.digest)) {
                    let offset = window_at + at as u64;
                    return Ok(Probe::Entry { number: *number, offset });
                }
                from = at + 1;
            }
            let kept = window.len().min(ENTRY_HEAD_BYTES - 1);
            let gone = window.len() - kept;
            window.drain(..gone);
            window_at += gone as u64;
        }
        Ok(Probe::Nothing)
    }

    /// Goes from one entry to the next, as far as the wanted one.
    fn walk(&mut self, from: usize, offset: &mut u64, number: usize) -> Step<u64> {
        let mut at = from;
        loop {
            let Some(head) = self.entry(*offset)? else { return Ok(Err(Lost)) };
            match self.numbers.get(&head.digest) {
                Some(_) if self.chunks.get(at) == Some(&head.digest) => {
                    self.known.insert(at, *offset);
                    if at == number {
                        return Ok(Ok(*offset));
                    }
                    at += 1;
                }
                Some(_) => return Ok(Err(Lost)),
                // Not registered, because it is damaged.
                None => {}
            }
            *offset = after(*offset, head);
        }
    }

    fn entry(&mut self, offset: u64) -> Result<Option<EntryHead>> {
        let mut head = [0; ENTRY_HEAD_BYTES];
        let read = self.blocks.read_at(offset, &mut head)?;
        Ok(if read == head.len() { EntryHead::parse(&head) } else { None })
    }

    /// The blob of an entry; `None` if the file ends inside it.
    fn blob(&mut self, offset: u64, head: EntryHead) -> Result<Option<Vec<u8>>> {
        let mut blob = Vec::new();
        // Grows with what is really there, so that a damaged length costs no memory.
        while (blob.len() as u64) < head.blob_bytes {
            let filled = blob.len();
            let now = (head.blob_bytes - filled as u64).min(PAYLOAD) as usize;
            blob.resize(filled + now, 0);
            let at = offset + (ENTRY_HEAD_BYTES + filled) as u64;
            let room = blob.get_mut(filled..).unwrap_or_default();
            if self.blocks.read_at(at, room)? < now {
                return Ok(None);
            }
        }
        Ok(Some(blob))
    }

    /// From the first entry to the last, without list or estimate. The error is where it ended early.
    fn read_all(
        &mut self,
        wanted: &BTreeSet<Digest>,
        left: &mut BTreeSet<Digest>,
        take: &mut dyn FnMut(Found) -> Result<Proof>,
    ) -> Result<Option<Error>> {
        let mut offset = self.content_start;
        loop {
            let head = match self.entry(offset) {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(None),
                Err(e) if is_about_the_tape(&e) => return Ok(Some(e)),
                Err(e) => return Err(e),
            };
            if wanted.contains(&head.digest) && left.contains(&head.digest) {
                match self.blob(offset, head) {
                    Ok(Some(blob)) => {
                        if take(Found::Blob(head.digest, blob))? {
                            left.remove(&head.digest);
                        }
                    }
                    Ok(None) => return Ok(None),
                    Err(e) if is_about_the_tape(&e) => {}
                    Err(e) => return Err(e),
                }
                if wanted.is_disjoint(left) {
                    return Ok(None);
                }
            }
            offset = after(offset, head);
        }
    }
}

/// Where the next entry begins.
fn after(offset: u64, head: EntryHead) -> u64 {
    offset.saturating_add(ENTRY_HEAD_BYTES as u64).saturating_add(head.blob_bytes)
}

/// The rest of the tape is worth a try.
fn is_about_the_tape(error: &Error) -> bool {
    match error {
        Error::Drive(e) => e.is_damaged(),
        error => error.is_damaged(),
    }
}

#[cfg(test)]
mod tests;
