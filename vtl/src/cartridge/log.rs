//! One partition of a cartridge: an append-only log of blocks and filemarks, cut when the tape is
//! overwritten before its end.
//!
//! # Why recorded data is safe
//!
//! * Records are appended; nothing that is still part of the tape is ever written over. Overwriting
//!   the tape at an object first lowers the checkpoint (durably) if it lies behind that object, then
//!   cuts the file, then appends.
//! * [`ObjectLog::flush`] is `fdatasync` of the log: when it returns, all objects before are on the
//!   disk, and later records say so in their headers.
//! * Opening starts from the checkpoint and follows the chain of record headers. Whatever a crash
//!   left behind the last flush is accepted only as far as headers chain and every block's data
//!   matches its checksum: a valid prefix of what was written. Objects that were flushed are never
//!   dropped: a bad header among them is reported as damage of that object (see
//!   [`super::recovery`]), and what lies behind stays readable.
//! * Every read verifies the record's header and data before its bytes count as read.
//! * After an I/O error while writing, the log is cut back to its last whole record. If even that
//!   fails, the log refuses further writes until the cartridge is opened again.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

use super::index::{Checkpoint, Entry, Index};
use super::object::{Fault, Object, damaged};
use super::record::{
    FILES_MAX, RECORD_BYTES_MAX, Record, SEAL_BYTES, SLOT, SLOT_BYTES, encode_log_header,
    is_log_header,
};
use super::record_io::{read_block, write_all};
use super::recovery::{self, Source};
use super::writeback;
use crate::durable::{self, crc64};
use crate::error::{Named, Result};

/// Filemarks written at once by one system call.
const FILEMARKS_PER_WRITE: u32 = 4096;
/// A flush writes a checkpoint when the log grew by this much since the last one, so that opening
/// after a crash never has to follow more than about this many bytes of headers.
const CHECKPOINT_EVERY_BYTES: u64 = 4 << 30;

/// An open partition.
#[derive(Debug)]
pub(crate) struct ObjectLog {
    pub(super) file: File,
    pub(super) index: Index,
    pub(super) id: u64,
    pub(super) partition: u32,
    /// Objects recorded: the end of data.
    pub(super) objects: u64,
    /// Filemarks recorded.
    pub(super) files: u32,
    /// Data bytes recorded.
    pub(super) bytes: u64,
    /// Offset behind the last record.
    pub(super) end: u64,
    /// Check of the last record.
    pub(super) chain: u64,
    pub(super) epoch: u32,
    /// Objects known to be on the disk.
    pub(super) durable: u64,
    /// Objects that a host may take for recorded: the drive's buffer holds those behind.
    synchronised: u64,
    /// What the index file vouches for.
    pub(super) checkpoint: Checkpoint,
    /// There may be bytes behind `end`, left by a crash or a failed write.
    pub(super) tail: bool,
    /// Offset up to which the disk was asked to write.
    writeback: u64,
    /// A write failed and its remains could not be removed.
    failed: bool,
    /// Takes the part of a block that the caller's buffer is too small for.
    overflow: Vec<u8>,
    /// Takes the seal of a block that is read without asking for it.
    unasked_seal: Vec<u8>,
}

impl ObjectLog {
    pub(super) fn paths(folder: &Path, partition: u32) -> (std::path::PathBuf, std::path::PathBuf) {
        (
            folder.join(format!("partition{partition}.log")),
            folder.join(format!("partition{partition}.index")),
        )
    }

    /// Creates an empty partition in a cartridge's folder.
    pub fn create(folder: &Path, partition: u32, id: u64) -> Result<()> {
        let (log_path, index_path) = ObjectLog::paths(folder, partition);
        let log = File::create_new(&log_path).named(&log_path)?;
        log.write_all_at(&encode_log_header(id, partition), 0).named(&log_path)?;
        log.sync_all().named(&log_path)?;
        let index_file = File::create_new(&index_path).named(&index_path)?;
        let index = Index::new(index_file, id);
        index.reset(partition).named(&index_path)?;
        index.set_checkpoint(&empty_checkpoint(id)).named(&index_path)?;
        durable::sync_folder(&log_path)
    }

    /// Opens a partition and brings it to a valid state, see the module's header.
    pub fn open(folder: &Path, partition: u32, id: u64) -> Result<ObjectLog> {
        let (log_path, index_path) = ObjectLog::paths(folder, partition);
        let file = OpenOptions::new().read(true).write(true).open(&log_path).named(&log_path)?;
        let index_file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&index_path)
            .named(&index_path)?;
        let index = Index::new(index_file, id);
        let found = if index.is_ours(partition) { index.checkpoint() } else { None };
        let checkpoint = match found {
            Some(checkpoint) => checkpoint,
            None => {
                index.reset(partition).named(&index_path)?;
                empty_checkpoint(id)
            }
        };
        // A hint only; some file systems do not take it.
        let _ = posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL);
        let mut log = ObjectLog {
            file,
            index,
            id,
            partition,
            objects: checkpoint.objects,
            files: checkpoint.files,
            bytes: checkpoint.bytes,
            end: checkpoint.end,
            chain: checkpoint.chain,
            epoch: checkpoint.epoch,
            durable: checkpoint.objects,
            synchronised: 0,
            checkpoint,
            tail: false,
            writeback: checkpoint.end,
            failed: false,
            overflow: Vec::new(),
            unasked_seal: Vec::new(),
        };
        log.roll_forward().named(&log_path)?;
        // What an earlier program left in the drive's buffer reached the tape when it ended.
        log.synchronised = log.objects;
        Ok(log)
    }

    /// What recovery walks over.
    fn source(&self) -> Source<'_> {
        Source { file: &self.file, index: &self.index, id: self.id }
    }

    /// Continues from the checkpoint to the end of what is recorded.
    fn roll_forward(&mut self) -> io::Result<()> {
        let size = self.file.metadata()?.len();
        let found = recovery::roll_forward(&self.source(), &self.checkpoint, size)?;
        self.objects = found.end.objects;
        self.files = found.end.files;
        self.bytes = found.end.bytes;
        self.end = found.end.end;
        self.chain = found.end.chain;
        self.epoch = found.end.epoch;
        self.verify_tail(found.durable)?;
        // What the walk found was read from the page cache or the disk; only a flush of this process
        // makes it durable, so `durable` stays at the checkpoint.
        self.tail = size > self.end;
        Ok(())
    }

    /// Reads the objects that no header calls durable; the first bad one ends the tape.
    fn verify_tail(&mut self, durable: u64) -> io::Result<()> {
        let mut buffer = Vec::new();
        for object in durable..self.objects {
            let fault = match self.kind(object).and_then(|kind| {
                if let Object::Block(length) = kind {
                    buffer.resize(length as usize, 0);
                }
                self.read(object, &mut buffer)
            }) {
                Ok(_) => continue,
                Err(fault) => fault,
            };
            match fault {
                Fault::Host(error) => return Err(error),
                Fault::Damaged { .. } => {
                    let entry = self
                        .index
                        .get(object)
                        .ok_or_else(|| io::Error::other("index cannot be read back"))?;
                    let (bytes, chain) = match self.end_state_at(object) {
                        Ok(state) => state,
                        Err(Fault::Host(error)) => return Err(error),
                        Err(Fault::Damaged { .. }) => (0, 0),
                    };
                    self.objects = object;
                    self.files = entry.file;
                    self.end = entry.offset;
                    self.bytes = bytes;
                    self.chain = chain;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Data bytes as of the last checkpoint, without opening the log.
    pub fn checkpointed_bytes(folder: &Path, partition: u32, id: u64) -> Option<u64> {
        let (_, index_path) = ObjectLog::paths(folder, partition);
        let index = Index::new(File::open(index_path).ok()?, id);
        if index.is_ours(partition) { Some(index.checkpoint()?.bytes) } else { None }
    }

    /// Objects recorded; also the object number of the end of data.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// Objects that do not lie in the drive's buffer any more: those before the last synchronisation.
    pub fn synchronised(&self) -> u64 {
        self.synchronised
    }

    /// Filemarks recorded.
    pub fn files(&self) -> u32 {
        self.files
    }

    /// Data bytes recorded.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// True if the header of the log is whole.
    pub fn header_is_whole(&self) -> bool {
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, 0).is_ok()
            && is_log_header(&bytes, self.id, self.partition)
    }

    /// The index entry of a recorded object. A damaged index is rebuilt from the log.
    pub(super) fn entry(&mut self, object: u64) -> std::result::Result<Entry, Fault> {
        debug_assert!(object < self.objects);
        if let Some(entry) = self.index.get(object) {
            return Ok(entry);
        }
        let size = self.file.metadata()?.len().min(self.end);
        recovery::rebuild_index(&self.source(), self.objects, self.files, size)?;
        self.index.get(object).ok_or_else(|| Fault::Host(io::Error::other("index cannot be read")))
    }

    /// Data bytes before a position.
    pub fn bytes_before(&mut self, position: u64) -> std::result::Result<u64, Fault> {
        if position >= self.objects {
            return Ok(self.bytes);
        }
        let entry = self.entry(position)?;
        match self.header(position, &entry) {
            Ok((record, _)) => Ok(record.bytes_before),
            // The header is gone: add up what the index knows since the last good one.
            Err(Fault::Damaged { .. }) => {
                let mut bytes = 0;
                for object in (0..position).rev() {
                    let entry = self.entry(object)?;
                    bytes += u64::from(entry.length);
                    if let Ok((record, _)) = self.header(object, &entry) {
                        return Ok(record.bytes_before + bytes);
                    }
                }
                Ok(bytes)
            }
            Err(fault) => Err(fault),
        }
    }

    fn header(&self, object: u64, entry: &Entry) -> std::result::Result<(Record, u64), Fault> {
        let mut bytes = [0; SLOT];
        match self.file.read_exact_at(&mut bytes, entry.offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(object, entry, "the log ends before it"));
            }
            Err(error) => return Err(error.into()),
        }
        Record::decode(&bytes, self.id, entry.offset)
            .filter(|(record, _)| record.object == object && record.length == entry.length)
            .ok_or_else(|| damaged(object, entry, "its header does not match its check"))
    }

    /// Reads and verifies one object. Of a block, as much as fits goes to `buffer`; the reply tells
    /// its whole length. A damaged block leaves zeros where it had been copied to.
    /// An encrypted block is delivered as it is stored.
    pub fn read(&mut self, object: u64, buffer: &mut [u8]) -> std::result::Result<Object, Fault> {
        let mut seal = std::mem::take(&mut self.unasked_seal);
        let read = self.read_sealed(object, buffer, &mut seal);
        self.unasked_seal = seal;
        read
    }

    /// The same, with the seal of an encrypted block; that of a plain one is empty.
    pub fn read_sealed(
        &mut self,
        object: u64,
        buffer: &mut [u8],
        seal: &mut Vec<u8>,
    ) -> std::result::Result<Object, Fault> {
        seal.clear();
        let entry = self.entry(object)?;
        if entry.damaged {
            return Err(damaged(object, &entry, "its header was lost"));
        }
        if entry.is_filemark() {
            let (record, _) = self.header(object, &entry)?;
            debug_assert!(record.filemark);
            return Ok(Object::Filemark);
        }
        let length = entry.length as usize;
        let direct = length.min(buffer.len());
        let (direct_buffer, _) = buffer.split_at_mut(direct);
        if self.overflow.len() < length - direct {
            self.overflow.resize(length - direct, 0);
        }
        let overflow = self.overflow.get_mut(..length - direct).unwrap_or_default();
        let result = read_block(&self.file, self.id, object, &entry, direct_buffer, overflow, seal);
        if result.is_err() {
            direct_buffer.fill(0);
        }
        result.map(|()| Object::Block(entry.length))
    }

    /// True if a recorded object is an encrypted block; `false` also for one whose header is damaged.
    pub fn is_sealed(&mut self, object: u64) -> std::result::Result<bool, Fault> {
        let entry = self.entry(object)?;
        match self.header(object, &entry) {
            Ok((record, _)) => Ok(record.seal_bytes > 0),
            Err(Fault::Damaged { .. }) => Ok(false),
            Err(fault) => Err(fault),
        }
    }

    /// Makes everything behind `position` go away, as a write there does on a tape.
    pub fn truncate(&mut self, position: u64) -> std::result::Result<(), Fault> {
        if position >= self.objects {
            return Ok(());
        }
        self.refuse_if_failed()?;
        let entry = self.entry(position)?;
        let (bytes, chain) = self.end_state_at(position)?;
        let epoch = self.epoch.checked_add(1).ok_or_else(|| {
            Fault::Host(io::Error::other("the cartridge was overwritten too often"))
        })?;
        if position < self.checkpoint.objects {
            let lowered = Checkpoint {
                objects: position,
                end: entry.offset,
                bytes,
                chain,
                epoch,
                files: entry.file,
            };
            self.index.set_checkpoint(&lowered)?;
            self.checkpoint = lowered;
        }
        self.epoch = epoch;
        self.objects = position;
        self.files = entry.file;
        self.bytes = bytes;
        self.end = entry.offset;
        self.writeback = entry.offset;
        self.chain = chain;
        self.durable = self.durable.min(position);
        self.synchronised = self.synchronised.min(position);
        self.tail = true;
        self.cut_tail()
    }

    /// Data bytes before a position and the check to chain to there.
    fn end_state_at(&mut self, position: u64) -> std::result::Result<(u64, u64), Fault> {
        let bytes = self.bytes_before(position)?;
        let chain = match position.checked_sub(1) {
            None => self.id,
            Some(previous) => {
                let entry = self.entry(previous)?;
                // A damaged predecessor has no check to chain to; a walk does not compare chains
                // behind damage.
                self.header(previous, &entry).map_or(0, |(_, check)| check)
            }
        };
        Ok((bytes, chain))
    }

    fn refuse_if_failed(&self) -> std::result::Result<(), Fault> {
        if self.failed {
            return Err(Fault::Host(io::Error::other(
                "an earlier write failed; unload the cartridge and load it again",
            )));
        }
        Ok(())
    }

    /// Removes bytes behind the end before anything is appended.
    fn cut_tail(&mut self) -> std::result::Result<(), Fault> {
        self.refuse_if_failed()?;
        if self.tail {
            self.file.set_len(self.end)?;
            self.index.truncate(self.objects)?;
            self.tail = false;
        }
        Ok(())
    }

    fn next_record(&self, filemark: bool, length: u32, seal_bytes: u16, data_crc: u64) -> Record {
        Record {
            filemark,
            length,
            seal_bytes,
            epoch: self.epoch,
            object: self.objects,
            file: self.files,
            durable: self.durable,
            bytes_before: self.bytes,
            chain: self.chain,
            data_crc,
        }
    }

    /// Appends a block of 1 to 16 MiB − 1 bytes at the end of data. What an encrypted one needs beside
    /// its data is its `seal`, empty for a plain one.
    pub fn append_block(&mut self, data: &[u8], seal: &[u8]) -> std::result::Result<(), Fault> {
        let seal_bytes = u16::try_from(seal.len())
            .ok()
            .filter(|bytes| *bytes == 0 || SEAL_BYTES.contains(bytes))
            .ok_or_else(|| Fault::Host(io::ErrorKind::InvalidInput.into()))?;
        let length = u32::try_from(data.len())
            .ok()
            .filter(|length| (1..=RECORD_BYTES_MAX).contains(length))
            .ok_or_else(|| Fault::Host(io::ErrorKind::InvalidInput.into()))?;
        self.cut_tail()?;
        let record = self.next_record(false, length, seal_bytes, crc64(&[data, seal]));
        let (header, check) = record.encode(self.id, self.end);
        // Seal and padding; without a seal, on the stack.
        let padding_bytes = record.stored_bytes() as usize - SLOT - data.len() - seal.len();
        let zeros = [0u8; SLOT];
        let padding = zeros.get(..padding_bytes).unwrap_or_default();
        let sealed;
        let tail = if seal.is_empty() {
            padding
        } else {
            sealed = [seal, padding].concat();
            &sealed
        };
        let written = write_all(&self.file, self.end, &header, data, tail);
        let entry = Entry { offset: self.end, length, file: self.files, damaged: false };
        let written = written.and_then(|()| self.index.put(self.objects, &entry));
        self.cut_back_after(written)?;
        self.objects += 1;
        self.bytes += u64::from(length);
        self.end += record.stored_bytes();
        self.chain = check;
        if self.end.saturating_sub(self.writeback) >= writeback::EVERY_BYTES {
            writeback::start(&self.file, self.writeback, self.end - self.writeback);
            self.writeback = self.end;
        }
        Ok(())
    }

    /// Appends filemarks at the end of data.
    pub fn append_filemarks(&mut self, count: u32) -> std::result::Result<(), Fault> {
        self.cut_tail()?;
        if count > FILES_MAX - self.files {
            return Err(Fault::Host(io::Error::other("the cartridge holds too many filemarks")));
        }
        let mut left = count;
        while left > 0 {
            let now = left.min(FILEMARKS_PER_WRITE);
            let mut record = self.next_record(true, 0, 0, 0);
            let mut offset = self.end;
            let mut bytes = Vec::with_capacity(now as usize * SLOT);
            let mut entries = Vec::with_capacity(now as usize);
            for _ in 0..now {
                let (header, check) = record.encode(self.id, offset);
                bytes.extend_from_slice(&header);
                entries.push(Entry { offset, length: 0, file: record.file, damaged: false });
                record.chain = check;
                record.object += 1;
                record.file += 1;
                offset += SLOT_BYTES;
            }
            let written = write_all(&self.file, self.end, &bytes, &[], &[])
                .and_then(|()| self.index.put_run(self.objects, &entries));
            self.cut_back_after(written)?;
            self.objects = record.object;
            self.files = record.file;
            self.end = offset;
            self.chain = record.chain;
            left -= now;
        }
        Ok(())
    }

    /// After a failed append: removes what it left, or refuses everything from here on.
    fn cut_back_after(&mut self, written: io::Result<()>) -> std::result::Result<(), Fault> {
        let Err(error) = written else { return Ok(()) };
        self.tail = true;
        if self.cut_tail().is_err() {
            self.failed = true;
        }
        Err(Fault::Host(error))
    }

    /// Makes everything recorded durable.
    pub fn flush(&mut self) -> std::result::Result<(), Fault> {
        if self.durable == self.objects {
            self.synchronised = self.objects;
            return Ok(());
        }
        // What lies behind the end stays until something is appended: if a reading of this log was
        // ever wrong about where it ends, merely looking at it has destroyed nothing.
        self.refuse_if_failed()?;
        if let Err(error) = self.file.sync_data() {
            // The kernel reports a lost page once and then forgets it, so a later success would
            // prove nothing.
            self.failed = true;
            return Err(error.into());
        }
        self.durable = self.objects;
        self.synchronised = self.objects;
        if self.end.saturating_sub(self.checkpoint.end) >= CHECKPOINT_EVERY_BYTES {
            self.write_checkpoint()?;
        }
        Ok(())
    }

    /// Flushes and makes the index vouch for all of it, so that the next opening is instant.
    pub fn checkpoint(&mut self) -> std::result::Result<(), Fault> {
        if self.failed {
            return Ok(());
        }
        self.flush()?;
        if self.checkpoint != self.state() {
            self.write_checkpoint()?;
        }
        Ok(())
    }

    fn write_checkpoint(&mut self) -> std::result::Result<(), Fault> {
        let checkpoint = self.state();
        self.index.set_checkpoint(&checkpoint)?;
        self.checkpoint = checkpoint;
        Ok(())
    }

    fn state(&self) -> Checkpoint {
        Checkpoint {
            objects: self.objects,
            end: self.end,
            bytes: self.bytes,
            chain: self.chain,
            epoch: self.epoch,
            files: self.files,
        }
    }
}

fn empty_checkpoint(id: u64) -> Checkpoint {
    Checkpoint { objects: 0, end: SLOT_BYTES, bytes: 0, chain: id, epoch: 0, files: 0 }
}
