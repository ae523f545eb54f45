//! Making an index of a log, in bounded memory.
//!
//! The log is read once: what is no chunk goes straight to the file, chunks go through the sorter.
//! Everything is written under `<uuid>.tmp`, which is locked meanwhile, synced, and renamed. What a
//! process left behind that was killed is used again by the next.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use uuid::Uuid;
use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromZeros, IntoBytes};

use super::ChunkIndex;
use super::identity::{LogIdentity, sample};
use super::layout::{
    BLOCK_BYTES, BLOCK_CHUNKS, HEADER_BYTES, Header, MAGIC, RawChunk, VERSION, chunk_place, crc,
    digest_prefix, encode_store, seal_block,
};
use super::sort::{Entry, RUN_ENTRIES, Sorted, Sorter};
use crate::error::Error;
use crate::media::catalog::content::CatalogContent;
use crate::media::catalog::log::read_log;
use crate::media::catalog::record::Record;
use crate::media::inventory::MediaId;

const FOLDER_MODE: u32 = 0o750;
const INDEX_MODE: u32 = 0o640;
const WRITE_BUFFER_BYTES: usize = 1 << 20;
/// How long another process is waited for that makes the same index. Then memory has to do.
const BUILD_WAIT: Duration = Duration::from_secs(60);
const BUILD_POLL: Duration = Duration::from_millis(20);

/// Why there is no index.
#[derive(Debug)]
pub(in crate::media::catalog) enum BuildError {
    /// The log itself is damaged or can't be read.
    Log(Error),
    /// The index can't be written. The catalog does without, and why is nobody's business.
    Cache,
}

impl From<io::Error> for BuildError {
    fn from(_: io::Error) -> BuildError {
        BuildError::Cache
    }
}

/// What an index is made from.
#[derive(Debug)]
pub(in crate::media::catalog) struct Builder<'a> {
    /// Name of the index.
    pub path: &'a Path,
    pub media: &'a MediaId,
    pub log: &'a File,
    pub log_path: &'a Path,
    /// How much of the log there is. The index covers it up to the last complete record.
    pub end: u64,
    /// An index that is known to be damaged although its header fits.
    pub damaged: Option<Uuid>,
}

impl Builder<'_> {
    /// Makes the index and opens it; takes one that another process made meanwhile, if it fits.
    pub fn build(&self) -> Result<(ChunkIndex, CatalogContent), BuildError> {
        self.build_with(RUN_ENTRIES)
    }

    /// The same with so many records in memory while sorting.
    pub(super) fn build_with(
        &self,
        run_entries: usize,
    ) -> Result<(ChunkIndex, CatalogContent), BuildError> {
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        }
        let temp = self.path.with_extension("tmp");
        let draft = lock_draft(&temp)?;
        if let Some(opened) = self.made_by_another() {
            let _ = std::fs::remove_file(&temp);
            return Ok(opened);
        }
        let written = self.write(&draft, run_entries).and_then(|()| {
            draft.sync_all()?;
            std::fs::rename(&temp, self.path)?;
            let folder = self.path.parent().unwrap_or(Path::new("."));
            Ok(File::open(folder)?.sync_all()?)
        });
        if let Err(e) = written {
            let _ = std::fs::remove_file(&temp);
            return Err(e);
        }
        ChunkIndex::open(self.path, self.log, self.media).map_err(|_| BuildError::Cache)
    }

    fn made_by_another(&self) -> Option<(ChunkIndex, CatalogContent)> {
        let (index, content) = ChunkIndex::open(self.path, self.log, self.media).ok()?;
        let is_enough = index.covered_bytes() >= self.end && Some(index.build()) != self.damaged;
        is_enough.then_some((index, content))
    }

    fn write(&self, draft: &File, run_entries: usize) -> Result<(), BuildError> {
        let identity = LogIdentity::of(&self.log.metadata()?);
        let mut end = self.end;
        loop {
            draft.set_len(0)?;
            let mut file = Draft::begin(draft, self.path.with_extension("runs"), run_entries)?;
            let mut content = CatalogContent::default();
            let mut each = |record: &Record, content: &CatalogContent| file.take(record, content);
            let extent =
                read_log(self.log, self.log_path, self.media, end, &mut content, &mut each)
                    .map_err(BuildError::Log)?;
            if extent.torn {
                // What an unfinished archive added must not be found.
                end = extent.good_bytes;
                continue;
            }
            let mut header = Header::new_zeroed();
            header.magic = MAGIC;
            header.version = U32::new(VERSION);
            header.media = *self.media.label.uuid.as_bytes();
            header.build = *Uuid::new_v4().as_bytes();
            header.covered_bytes = U64::new(extent.good_bytes);
            header.sample = sample(self.log, extent.good_bytes)?.0;
            identity.write(&mut header);
            return Ok(file.finish(header)?);
        }
    }
}

/// Opens the temporary file with the right to write to it.
fn lock_draft(temp: &Path) -> Result<Flock<File>, BuildError> {
    let start = Instant::now();
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(INDEX_MODE);
        let mut file = options.open(temp)?;
        let locked = loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => break locked,
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if start.elapsed() < BUILD_WAIT => {
                    file = back;
                    thread::sleep(BUILD_POLL);
                }
                Err(_) => return Err(BuildError::Cache),
            }
        };
        // Whoever had the lock may have renamed the file: then it is an index that is in use.
        let mine = locked.metadata()?;
        match std::fs::symlink_metadata(temp) {
            Ok(named) if (named.dev(), named.ino()) == (mine.dev(), mine.ino()) => {
                return Ok(locked);
            }
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// An index on its way.
struct Draft<'a> {
    file: &'a File,
    out: BufWriter<&'a File>,
    out_bytes: u64,
    record: Vec<u8>,
    head_crc: u32,
    sorter: Sorter,
    /// Names of datastores with their numbers, in the order in which they were met.
    stores: BTreeMap<String, u32>,
    store: u32,
    /// What went wrong; after that nothing is taken any more.
    failure: Option<io::Error>,
}

impl<'a> Draft<'a> {
    fn begin(file: &'a File, spill: PathBuf, run_entries: usize) -> io::Result<Draft<'a>> {
        let mut draft = Draft {
            file,
            out: BufWriter::with_capacity(WRITE_BUFFER_BYTES, file),
            out_bytes: 0,
            record: Vec::new(),
            head_crc: 0,
            sorter: Sorter::new(spill, run_entries),
            stores: BTreeMap::new(),
            store: 0,
            failure: None,
        };
        // Until the end an index without header.
        std::io::Seek::rewind(&mut draft.out)?;
        draft.put(&[0; HEADER_BYTES])?;
        Ok(draft)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out_bytes += bytes.len() as u64;
        Ok(())
    }

    fn take(&mut self, record: &Record, content: &CatalogContent) {
        if self.failure.is_none() {
            self.failure = self.try_take(record, content).err();
        }
    }

    fn try_take(&mut self, record: &Record, content: &CatalogContent) -> io::Result<()> {
        if let Record::Chunk(digest) = record {
            let Some(open) = content.open_archive() else { return Ok(()) };
            return self.sorter.push(Entry {
                store: self.store,
                digest: digest.0,
                file_number: open.file_number,
            });
        }
        if let Record::ArchiveStart { store, .. } = record {
            let next = u32::try_from(self.stores.len()).map_err(io::Error::other)?;
            self.store = *self.stores.entry(store.clone()).or_insert(next);
        }
        let mut bytes = std::mem::take(&mut self.record);
        bytes.clear();
        record.encode(&mut bytes).map_err(io::Error::other)?;
        self.head_crc = crc(self.head_crc, &bytes);
        self.put(&bytes)?;
        self.record = bytes;
        Ok(())
    }

    /// Writes what is left, and last of all the header.
    fn finish(mut self, mut header: Header) -> io::Result<()> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        header.head_bytes = U64::new(self.out_bytes - HEADER_BYTES as u64);
        let padding = self.out_bytes.next_multiple_of(BLOCK_BYTES as u64) - self.out_bytes;
        let zeros = vec![0; padding as usize];
        self.put(&zeros)?;
        header.head_crc = U32::new(crc(self.head_crc, &zeros));

        let sorted =
            std::mem::replace(&mut self.sorter, Sorter::new(PathBuf::new(), 1)).finish()?;
        let written = self.put_blocks(sorted, header.block_salt())?;
        header.chunks = U64::new(written.chunks);
        header.fence_crc = U32::new(crc(0, &written.fence));
        self.put(&written.fence)?;

        let mut stores = Vec::new();
        let mut names: Vec<(&String, &u32)> = self.stores.iter().collect();
        names.sort_by_key(|(_, number)| **number);
        for (name, number) in names {
            let chunks = written.store_chunks.get(number).copied().unwrap_or_default();
            encode_store(name, chunks, &mut stores)
                .ok_or_else(|| io::Error::other("the name of a datastore is too long"))?;
        }
        header.stores_bytes = U64::new(stores.len() as u64);
        header.stores_crc = U32::new(crc(0, &stores));
        self.put(&stores)?;
        self.out.flush()?;
        self.file.write_all_at(header.encode().as_bytes(), 0)
    }

    fn put_blocks(&mut self, mut sorted: Sorted, salt: u32) -> io::Result<Written> {
        let mut written = Written { chunks: 0, fence: Vec::new(), store_chunks: BTreeMap::new() };
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        let mut number = 0;
        while let Some(entry) = sorted.next()? {
            if filled == BLOCK_CHUNKS {
                seal_block(&mut block, number, filled, salt);
                self.put(&block)?;
                number += 1;
                filled = 0;
            }
            if filled == 0 {
                written.fence.extend_from_slice(&digest_prefix(&entry.digest).to_le_bytes());
            }
            let chunk = RawChunk::new(entry.digest, entry.file_number);
            block[chunk_place(filled)].copy_from_slice(chunk.as_bytes());
            filled += 1;
            written.chunks += 1;
            *written.store_chunks.entry(entry.store).or_default() += 1;
        }
        if filled > 0 {
            seal_block(&mut block, number, filled, salt);
            self.put(&block)?;
        }
        Ok(written)
    }
}

/// What the blocks hold.
struct Written {
    chunks: u64,
    /// Beginning of the first digest of each block.
    fence: Vec<u8>,
    /// Number of a datastore → its chunks.
    store_chunks: BTreeMap<u32, u64>,
}
