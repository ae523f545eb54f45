//! The chunk index of a media catalog: which tape file holds a chunk, without holding all chunks in
//! memory (`docs/formats/catalog-index.md`).
//!
//! The log stays the truth. An index is a sorted copy of its beginning in a file of its own; it can be
//! removed at any time, and is made anew when it does not fit. In memory are 4 bytes for each 50
//! chunks; a look-up finds the block there, reads its 2048 bytes, and searches in them.
//!
//! Safety argument. A backup skips what a catalog knows, so a chunk must never be found that the log
//! does not list:
//!
//! * whatever is believed was checked in this process: header, records, fence and table of
//!   datastores when the index is opened, a block each time it is read. Check values of blocks begin
//!   with bytes of this one making, and a block knows its number, so a block of an older index or of
//!   another place is none;
//! * whether the index is one of this log is argued in `identity`;
//! * blocks are read, not mapped: a disk that can't give a page makes an error here, where a mapping
//!   would end the process in the middle of a tape. It costs nothing: both take about a microsecond;
//! * an index appears under its name when it is complete and synced, and is never changed. Its file
//!   can be replaced while it is open: whoever has it open keeps what was opened;
//! * two processes that make it at once take turns at its temporary name.
//!
//! Hostile logs: digests with the same beginning make the fence useless for them; then blocks are
//! halved by reading, so a look-up reads at most as many blocks as their number has bits.

mod build;
mod identity;
mod layout;
mod sort;

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use datastore::Digest;
use uuid::Uuid;

use super::content::CatalogContent;
use super::log::LogRange;
use super::record::{Next, RecordReader};
use crate::media::inventory::MediaId;
use identity::LogIdentity;
use layout::{BLOCK_BYTES, BLOCK_CHUNKS, HEADER_BYTES, Header, Places, RawChunk, Stores};

pub(super) use build::{BuildError, Builder};

/// An index, or a part of it, can't be read, is not what was written, or is of another log. Which does
/// not matter: the log is asked instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

impl From<io::Error> for Unfit {
    fn from(_: io::Error) -> Unfit {
        Unfit
    }
}

/// An open index.
#[derive(Debug)]
pub(super) struct ChunkIndex {
    file: File,
    header: Header,
    places: Places,
    salt: u32,
    /// For each block how its first digest begins.
    fence: Vec<u32>,
    stores: Stores,
}

impl ChunkIndex {
    /// Opens the index at `path` if it is whole and of this log; with it, what the records that it
    /// covers say besides chunks.
    pub fn open(
        path: &Path,
        log: &File,
        media: &MediaId,
    ) -> Result<(ChunkIndex, CatalogContent), Unfit> {
        let file = File::open(path)?;
        let mut bytes = [0; HEADER_BYTES];
        file.read_exact_at(&mut bytes, 0)?;
        let header = Header::decode(&bytes).ok_or(Unfit)?;
        let places = header.places().ok_or(Unfit)?;
        if file.metadata()?.len() != places.end {
            return Err(Unfit);
        }
        if header.media != *media.label.uuid.as_bytes()
            || !LogIdentity::of(&log.metadata()?).fits(&header)
            || identity::sample(log, header.covered_bytes.get())?.0 != header.sample
        {
            return Err(Unfit);
        }
        let fence = read_part(&file, places.fence_at..places.stores_at, header.fence_crc.get())?;
        let fence =
            fence.as_chunks::<4>().0.iter().map(|prefix| u32::from_le_bytes(*prefix)).collect();
        let stores = read_part(&file, places.stores_at..places.end, header.stores_crc.get())?;
        let stores = layout::decode_stores(&stores, header.chunks.get()).ok_or(Unfit)?;
        let content = read_head(&file, &header, places.blocks_at, media)?;
        let salt = header.block_salt();
        Ok((ChunkIndex { file, header, places, salt, fence, stores }, content))
    }

    /// How much of the log it covers.
    pub fn covered_bytes(&self) -> u64 {
        self.header.covered_bytes.get()
    }

    /// Which making of the index this is.
    pub fn build(&self) -> Uuid {
        self.header.build()
    }

    /// True if the index was made of what `log` begins with now.
    pub fn is_sampled_from(&self, log: &File) -> io::Result<bool> {
        Ok(identity::sample(log, self.covered_bytes())?.0 == self.header.sample)
    }

    /// Tape file of a chunk.
    pub fn find(&self, store: &str, digest: &Digest) -> Result<Option<u64>, Unfit> {
        let Some(range) = self.stores.get(store).filter(|range| !range.is_empty()) else {
            return Ok(None);
        };
        let (first, last) = blocks_of(range);
        // Every block but the first begins with a chunk of this datastore.
        let later = self.fence.get(first + 1..=last).unwrap_or_default();
        let prefix = layout::digest_prefix(&digest.0);
        // Digests are spread evenly unless somebody chose them.
        let guess = (later.len() as u64 * u64::from(prefix)) >> 32;
        let below = partition_near(later, guess as usize, |start| start < prefix);
        let upto = partition_near(later, below, |start| start <= prefix);
        let (mut low, mut high) = (first + below, first + upto);
        let mut buffer = [0; BLOCK_BYTES];
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let chunks = self.read_block(middle, &mut buffer)?;
            match chunks.first() {
                Some(chunk) if chunk.digest <= digest.0 => low = middle,
                _ => high = middle - 1,
            }
        }
        let chunks = within(self.read_block(low, &mut buffer)?, low, range);
        Ok(match chunks.binary_search_by(|chunk| chunk.digest.cmp(&digest.0)) {
            Ok(at) => chunks.get(at).map(|chunk| chunk.file_number.get()),
            Err(_) => None,
        })
    }

    /// Calls `each` for the chunks of a datastore in the order of their digests, leaving out the first
    /// `skip`.
    pub fn each(
        &self,
        store: &str,
        skip: u64,
        each: &mut dyn FnMut(&Digest, u64),
    ) -> Result<(), Unfit> {
        let Some(range) = self.stores.get(store) else { return Ok(()) };
        let range = range.start.saturating_add(skip)..range.end;
        if range.is_empty() {
            return Ok(());
        }
        let (first, last) = blocks_of(&range);
        let mut buffer = [0; BLOCK_BYTES];
        for number in first..=last {
            let chunks = within(self.read_block(number, &mut buffer)?, number, &range);
            for chunk in chunks {
                each(&chunk.digest(), chunk.file_number.get());
            }
        }
        Ok(())
    }

    fn read_block<'a>(
        &self,
        number: usize,
        buffer: &'a mut [u8; BLOCK_BYTES],
    ) -> Result<&'a [RawChunk], Unfit> {
        let number = number as u64;
        if number >= self.places.blocks {
            return Err(Unfit);
        }
        self.file.read_exact_at(buffer, self.places.blocks_at + number * BLOCK_BYTES as u64)?;
        let left = self.header.chunks.get() - number * BLOCK_CHUNKS as u64;
        match layout::block_chunks(buffer, number, self.salt) {
            Some(chunks) if chunks.len() as u64 == left.min(BLOCK_CHUNKS as u64) => Ok(chunks),
            _ => Err(Unfit),
        }
    }
}

/// `slice::partition_point`, fast if the result is near `guess`: a look-up in a fence of megabytes would
/// wait for memory at each halving.
fn partition_near(values: &[u32], guess: usize, is_below: impl Fn(u32) -> bool) -> usize {
    let guess = guess.min(values.len());
    let (mut from, mut to) = (guess, guess);
    let mut step = 1;
    if values.get(guess).is_some_and(|value| is_below(*value)) {
        while values.get(to).is_some_and(|value| is_below(*value)) {
            from = to + 1;
            to = (to + step).min(values.len());
            step *= 2;
        }
    } else {
        while from > 0 && values.get(from - 1).is_some_and(|value| !is_below(*value)) {
            to = from - 1;
            from = from.saturating_sub(step);
            step *= 2;
        }
    }
    let between = values.get(from..to).unwrap_or_default();
    from + between.partition_point(|value| is_below(*value))
}

/// First and last block of some chunks.
fn blocks_of(range: &Range<u64>) -> (usize, usize) {
    let block = |chunk: u64| (chunk / BLOCK_CHUNKS as u64) as usize;
    (block(range.start), block(range.end - 1))
}

/// The chunks of a block that are in `range`.
fn within<'a>(chunks: &'a [RawChunk], block: usize, range: &Range<u64>) -> &'a [RawChunk] {
    let start = block as u64 * BLOCK_CHUNKS as u64;
    let from = range.start.saturating_sub(start) as usize;
    let to = (range.end - start).min(chunks.len() as u64) as usize;
    chunks.get(from..to).unwrap_or_default()
}

/// Reads a part of the file whose length was compared with that of the file.
fn read_part(file: &File, range: Range<u64>, crc: u32) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    LogRange::new(file, range.start, range.end).read_to_end(&mut bytes)?;
    if layout::crc(0, &bytes) != crc {
        return Err(Unfit);
    }
    Ok(bytes)
}

/// Reads what the log says besides chunks, with the checks of every catalog.
fn read_head(
    file: &File,
    header: &Header,
    blocks_at: u64,
    media: &MediaId,
) -> Result<CatalogContent, Unfit> {
    let start = HEADER_BYTES as u64;
    let mut input = Checked { input: LogRange::new(file, start, blocks_at), crc: 0 };
    let mut content = CatalogContent::default();
    let mut reader = RecordReader::new(input.by_ref().take(header.head_bytes.get()), 0);
    loop {
        match reader.next_record()? {
            Next::Record(record) => content.apply(media, &record).map_err(|_| Unfit)?,
            Next::End if !content.is_archive_open() => break,
            _ => return Err(Unfit),
        }
    }
    io::copy(&mut input, &mut io::sink())?;
    // Only now is known that what was read is what was written; nobody has seen it yet.
    if input.crc != header.head_crc.get() {
        return Err(Unfit);
    }
    Ok(content)
}

/// Keeps a check value of what went through.
struct Checked<R> {
    input: R,
    crc: u32,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        self.crc = layout::crc(self.crc, &buffer[..bytes]);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
