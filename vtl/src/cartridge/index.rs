//! The index of a log: where each object lies, so that locating needs no reading of the tape.
//!
//! It can be rebuilt from the log alone, so it may be deleted. `docs/formats/vtl-cartridge.md` is
//! the format's page. All numbers are little-endian.
//!
//! | offset | size | content |
//! |--:|--:|---|
//! | 0 | 8 | `CAPVTIDX` |
//! | 8 | 4 | version, 1 |
//! | 12 | 4 | partition number |
//! | 16 | 8 | cartridge id |
//! | 24 | 32 | zero |
//! | 56 | 8 | CRC-64 of bytes 0 to 55 |
//! | 64 | 64 | checkpoint, below |
//! | 128 + 16 n | 16 | entry of object n, below |
//!
//! Checkpoint: objects\[8\], end offset\[8\], data bytes\[8\], chain\[8\], epoch\[4\], filemarks\[4\],
//! zero\[16\], CRC-64 of the 56 bytes before and the cartridge id\[8\]. It says: so many objects, and
//! the entries for them, are durable. It is written only after both were synchronised, and it is
//! lowered, durably, *before* the tape is cut below it. Entries up to it can therefore be trusted
//! after any crash; those behind are checked against the log when the cartridge is opened.
//!
//! Entry: place\[8\] = log offset / 64 in the upper 40 bits, data bytes in the lower 24 (0 means
//! filemark); filemarks before the object\[4\], the highest bit set if the object is damaged;
//! check\[4\] = lower half of the CRC-64 of the 12 bytes, the object number and the cartridge id.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::record::{FILES_MAX, SLOT, SLOT_BYTES};
use crate::durable::crc64;

const MAGIC: &[u8; 8] = b"CAPVTIDX";
const VERSION: u32 = 1;
const CHECKPOINT_OFFSET: u64 = 64;
const ENTRIES_OFFSET: u64 = 128;
const ENTRY: usize = 16;
const ENTRY_BYTES: u64 = 16;
const LENGTH_BITS: u32 = 24;
const LENGTH_MASK: u64 = 0xff_ffff;
/// Largest log that entries can address.
const END_MAX: u64 = SLOT_BYTES << 40;
const DAMAGED: u32 = 0x8000_0000;

/// Where an object lies and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Offset of its header in the log.
    pub offset: u64,
    /// Data bytes; 0 for a filemark.
    pub length: u32,
    /// Filemarks before it.
    pub file: u32,
    /// Its header could not be found; kind and length are a guess.
    pub damaged: bool,
}

impl Entry {
    pub fn is_filemark(&self) -> bool {
        self.length == 0
    }
}

/// State of the log up to which everything is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checkpoint {
    pub objects: u64,
    pub end: u64,
    pub bytes: u64,
    pub chain: u64,
    pub epoch: u32,
    pub files: u32,
}

/// An open index file.
#[derive(Debug)]
pub(super) struct Index {
    file: File,
    id: u64,
}

impl Index {
    /// Takes the file as it is. [`Index::checkpoint`] tells whether it is of any use.
    pub fn new(file: File, id: u64) -> Index {
        Index { file, id }
    }

    fn header(&self, partition: u32) -> [u8; SLOT] {
        let mut header = [0u8; SLOT];
        let (fields, check) = header.split_at_mut(56);
        let parts: [&[u8]; 4] =
            [MAGIC, &VERSION.to_le_bytes(), &partition.to_le_bytes(), &self.id.to_le_bytes()];
        for (place, byte) in fields.iter_mut().zip(parts.concat()) {
            *place = byte;
        }
        check.copy_from_slice(&crc64(&[fields]).to_le_bytes());
        header
    }

    /// Empties the index and writes its header.
    pub fn reset(&self, partition: u32) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.write_all_at(&self.header(partition), 0)
    }

    /// True if the file is an index of this cartridge and partition.
    pub fn is_ours(&self, partition: u32) -> bool {
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, 0).is_ok() && bytes == self.header(partition)
    }

    /// The checkpoint, if there is a whole one that makes sense and has its entries.
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let checkpoint = self.stored_checkpoint()?;
        let entries = self.file.metadata().ok()?.len().saturating_sub(ENTRIES_OFFSET) / ENTRY_BYTES;
        let room = checkpoint.objects.checked_add(1)?.checked_mul(SLOT_BYTES)?;
        let sensible = checkpoint.objects <= entries
            && room <= checkpoint.end
            && checkpoint.end % SLOT_BYTES == 0
            && checkpoint.end <= END_MAX
            && checkpoint.bytes <= checkpoint.end
            && u64::from(checkpoint.files) <= checkpoint.objects
            && checkpoint.files <= FILES_MAX;
        sensible.then_some(checkpoint)
    }

    fn stored_checkpoint(&self) -> Option<Checkpoint> {
        let mut bytes = [0; SLOT];
        self.file.read_exact_at(&mut bytes, CHECKPOINT_OFFSET).ok()?;
        let (fields, check) = bytes.split_at(56);
        if check != crc64(&[fields, &self.id.to_le_bytes()]).to_le_bytes() {
            return None;
        }
        let u64_at = |at: usize| {
            fields.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
        };
        let u32_at = |at: usize| {
            fields.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
        };
        Some(Checkpoint {
            objects: u64_at(0),
            end: u64_at(8),
            bytes: u64_at(16),
            chain: u64_at(24),
            epoch: u32_at(32),
            files: u32_at(36),
        })
    }

    /// Writes and synchronises a checkpoint, and everything written to the index before.
    pub fn set_checkpoint(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        // The entries first: the checkpoint vouches for them.
        self.file.sync_data()?;
        let fields: [u8; 56] = {
            let mut fields = [0; 56];
            let parts: [&[u8]; 6] = [
                &checkpoint.objects.to_le_bytes(),
                &checkpoint.end.to_le_bytes(),
                &checkpoint.bytes.to_le_bytes(),
                &checkpoint.chain.to_le_bytes(),
                &checkpoint.epoch.to_le_bytes(),
                &checkpoint.files.to_le_bytes(),
            ];
            for (place, byte) in fields.iter_mut().zip(parts.concat()) {
                *place = byte;
            }
            fields
        };
        let check = crc64(&[&fields, &self.id.to_le_bytes()]).to_le_bytes();
        self.file.write_all_at(&[&fields[..], &check].concat(), CHECKPOINT_OFFSET)?;
        self.file.sync_data()
    }

    fn encode(&self, object: u64, entry: &Entry) -> [u8; ENTRY] {
        let place = (entry.offset / SLOT_BYTES) << LENGTH_BITS | u64::from(entry.length);
        let file = entry.file | if entry.damaged { DAMAGED } else { 0 };
        let mut bytes = [0; ENTRY];
        let (fields, check) = bytes.split_at_mut(12);
        let (place_bytes, file_bytes) = fields.split_at_mut(8);
        place_bytes.copy_from_slice(&place.to_le_bytes());
        file_bytes.copy_from_slice(&file.to_le_bytes());
        check.copy_from_slice(&self.entry_check(fields, object));
        bytes
    }

    fn entry_check(&self, fields: &[u8], object: u64) -> [u8; 4] {
        let crc = crc64(&[fields, &object.to_le_bytes(), &self.id.to_le_bytes()]);
        // The lower half is enough: an entry is confirmed by the record it points to.
        (crc as u32).to_le_bytes()
    }

    /// The entry of an object, `None` if it is missing or damaged.
    pub fn get(&self, object: u64) -> Option<Entry> {
        let offset = object.checked_mul(ENTRY_BYTES)?.checked_add(ENTRIES_OFFSET)?;
        let mut bytes = [0; ENTRY];
        self.file.read_exact_at(&mut bytes, offset).ok()?;
        let (fields, check) = bytes.split_at(12);
        if check != self.entry_check(fields, object) {
            return None;
        }
        let (place, file) = fields.split_at(8);
        let place = u64::from_le_bytes(place.try_into().ok()?);
        let file = u32::from_le_bytes(file.try_into().ok()?);
        Some(Entry {
            offset: (place >> LENGTH_BITS) * SLOT_BYTES,
            length: (place & LENGTH_MASK) as u32,
            file: file & !DAMAGED,
            damaged: file & DAMAGED != 0,
        })
    }

    /// Writes the entry of an object.
    pub fn put(&self, object: u64, entry: &Entry) -> io::Result<()> {
        self.put_run(object, std::slice::from_ref(entry))
    }

    /// Writes the entries of consecutive objects.
    pub fn put_run(&self, first: u64, entries: &[Entry]) -> io::Result<()> {
        let bytes: Vec<u8> =
            (first..).zip(entries).flat_map(|(object, entry)| self.encode(object, entry)).collect();
        self.file.write_all_at(&bytes, ENTRIES_OFFSET + first * ENTRY_BYTES)
    }

    /// Cuts the entries behind the first `objects`.
    pub fn truncate(&self, objects: u64) -> io::Result<()> {
        self.file.set_len(ENTRIES_OFFSET + objects * ENTRY_BYTES)
    }
}
