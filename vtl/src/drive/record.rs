//! `driveN/state`: what a drive remembers from command to command and from program to program.
//!
//! One record of 128 bytes, written in place without synchronisation after each command that changed
//! it. A killed program leaves it as of its last command (the page cache survives it; one write of
//! 128 aligned bytes is not torn). A restart of the machine makes it stale, and the boot id in it
//! says so: then the drive powers on.
//!
//! | offset | size | content (little-endian) |
//! |--:|--:|---|
//! | 0 | 8 | `CAPVTDR1` |
//! | 8 | 8 | CRC-64 of the machine's boot id |
//! | 16 | 8 | number of the load that this is about (`robot.json`) |
//! | 24 | 8 | position: number of the next object |
//! | 32 | 4 | flags, below |
//! | 36 | 4 | mode block length |
//! | 40 | 4 | programmable early warning in MB |
//! | 44 | 1 | compression 0 or 1 |
//! | 45 | 1 | buffered mode 0 or 1 |
//! | 46 | 1 | D_SENSE 0 or 1 |
//! | 47 | 1 | partition |
//! | 48 | 8 | TapeAlert flags, flag 1 most significant |
//! | 56 | 8 | bytes written since power on |
//! | 64 | 8 | bytes read since power on |
//! | 72 | 8 | write errors |
//! | 80 | 8 | read errors |
//! | 88 | 12 | layout that MODE SELECT of page 11h asked for, for the next FORMAT MEDIUM |
//! | 100 | 8 | what the machine's clock showed, in ms since 1970, when the drive's timestamp was 0 |
//! | 108 | 4 | writes that needed another try |
//! | 112 | 4 | reads that needed another try |
//! | 116 | 4 | zero |
//! | 120 | 8 | CRC-64 of bytes 0 to 119 |
//!
//! Flags: 1 unloaded, 2 removal prevented, 4 power on to be told, 8 new medium to be told, 16 removal prevented by a session,
//! 32 cleaning requested, 64 cleaning required, 128 software write protection, 256 associated write protection, 512 early
//! warning told to READ, 1024 append-only mode, 2048 and 4096 what happens to the position on reset (a number of two
//! bits), 8192 a host has set the timestamp.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::layout::{LAYOUT_BYTES, Layout};
use crate::date;
use crate::durable::crc64;
use crate::error::{Named, Result};
use crate::home::boot_id;

const MAGIC: [u8; 8] = *b"CAPVTDR1";
const RECORD: usize = 128;
const CHECKED: usize = 120;
const UNLOADED: u32 = 1;
const PREVENTED: u32 = 2;
const POWER_ON: u32 = 4;
const NEW_MEDIUM: u32 = 8;
const PREVENTED_BY_SESSION: u32 = 16;
const CLEANING_WANTED: u32 = 0x20;
const CLEANING_NEEDED: u32 = 0x40;
const PROTECTED_BY_SOFTWARE: u32 = 0x80;
const PROTECTED_UNTIL_UNLOAD: u32 = 0x100;
const WARNS_READERS: u32 = 0x200;
const APPEND_ONLY: u32 = 0x400;
const REWIND_ON_RESET_SHIFT: u32 = 11;
const TIMESTAMP_SET: u32 = 0x2000;

#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RecordBytes {
    magic: [u8; 8],
    boot: U64,
    load: U64,
    position: U64,
    flags: U32,
    block_length: U32,
    pews_mb: U32,
    compression: u8,
    buffered: u8,
    descriptor_sense: u8,
    partition: u8,
    alerts: U64,
    written_bytes: U64,
    read_bytes: U64,
    write_errors: U64,
    read_errors: U64,
    layout: [u8; LAYOUT_BYTES],
    timestamp_zero_ms: U64,
    write_retries: U32,
    read_retries: U32,
    reserved: [u8; 4],
    check: U64,
}

const _: () = assert!(size_of::<RecordBytes>() == RECORD);

/// The decoded record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DriveRecord {
    /// Number of the load that this is about; 0 without a cartridge.
    pub load: u64,
    /// Number of the next object in the partition.
    pub position: u64,
    /// Partition that the tape stands in.
    pub partition: u8,
    /// Partitions that the next FORMAT MEDIUM may make.
    pub layout: Option<Layout>,
    /// The cartridge is in the drive but not threaded.
    pub unloaded: bool,
    /// PREVENT ALLOW MEDIUM REMOVAL is in force for this machine.
    pub prevented: bool,
    /// It is in force for another host, which the process that has the drive open serves. Without
    /// such a process it means nothing.
    pub prevented_by_session: bool,
    /// This machine has not been told of the power on yet.
    pub power_on_waits: bool,
    /// This machine has not been told of the new cartridge yet.
    pub new_medium_waits: bool,
    /// The drive wants to be cleaned.
    pub cleaning_wanted: bool,
    /// The drive must be cleaned.
    pub cleaning_needed: bool,
    /// SWP: nothing is written until a host takes it back.
    pub protected_by_software: bool,
    /// ASOCWP: nothing is written to the loaded cartridge until it is unloaded.
    pub protected_until_unload: bool,
    /// REW: READ tells of early warning, as WRITE does.
    pub warns_readers: bool,
    /// Append-only mode: what is recorded is not written over.
    pub append_only: bool,
    /// REWIND ON RESET: 1 the tape is rewound, 0 and 2 it stays where it is.
    pub rewind_on_reset: u8,
    /// A host has set the timestamp.
    pub timestamp_set: bool,
    /// What the machine's clock showed, in milliseconds since 1970, when the timestamp was 0.
    pub timestamp_zero_ms: u64,
    /// Block length of the mode block descriptor, 0 for variable.
    pub block_length: u32,
    /// Programmable early warning in MB, 0 for none.
    pub pews_mb: u16,
    /// Compression is on (it has no effect on what a cartridge holds).
    pub compression: bool,
    /// Buffered mode; without it each WRITE is synchronised.
    pub buffered: bool,
    /// Sense data in descriptor format.
    pub descriptor_sense: bool,
    /// TapeAlert flags, flag 1 most significant.
    pub alerts: u64,
    /// Bytes written since power on.
    pub written_bytes: u64,
    /// Bytes read since power on.
    pub read_bytes: u64,
    /// Failed writes since power on.
    pub write_errors: u64,
    /// Failed reads since power on.
    pub read_errors: u64,
    /// Tries more than one that writes needed since power on.
    pub write_retries: u32,
    /// Tries more than one that reads needed since power on.
    pub read_retries: u32,
}

impl DriveRecord {
    /// A drive that was just switched on.
    pub fn power_on() -> DriveRecord {
        DriveRecord {
            load: 0,
            position: 0,
            partition: 0,
            layout: None,
            unloaded: false,
            prevented: false,
            prevented_by_session: false,
            power_on_waits: true,
            new_medium_waits: false,
            cleaning_wanted: false,
            cleaning_needed: false,
            protected_by_software: false,
            protected_until_unload: false,
            warns_readers: false,
            append_only: false,
            rewind_on_reset: 0,
            timestamp_set: false,
            timestamp_zero_ms: date::now_ms(),
            block_length: 0,
            pews_mb: 0,
            compression: true,
            buffered: true,
            descriptor_sense: false,
            alerts: 0,
            written_bytes: 0,
            read_bytes: 0,
            write_errors: 0,
            read_errors: 0,
            write_retries: 0,
            read_retries: 0,
        }
    }

    fn encode(&self, boot: u64) -> [u8; RECORD] {
        let flag = |on: bool, bit: u32| if on { bit } else { 0 };
        let flags = flag(self.unloaded, UNLOADED)
            | flag(self.prevented, PREVENTED)
            | flag(self.prevented_by_session, PREVENTED_BY_SESSION)
            | flag(self.power_on_waits, POWER_ON)
            | flag(self.new_medium_waits, NEW_MEDIUM)
            | flag(self.cleaning_wanted, CLEANING_WANTED)
            | flag(self.cleaning_needed, CLEANING_NEEDED)
            | flag(self.protected_by_software, PROTECTED_BY_SOFTWARE)
            | flag(self.protected_until_unload, PROTECTED_UNTIL_UNLOAD)
            | flag(self.warns_readers, WARNS_READERS)
            | flag(self.append_only, APPEND_ONLY)
            | u32::from(self.rewind_on_reset & 0x03) << REWIND_ON_RESET_SHIFT
            | flag(self.timestamp_set, TIMESTAMP_SET);
        let mut record = RecordBytes {
            magic: MAGIC,
            boot: boot.into(),
            load: self.load.into(),
            position: self.position.into(),
            flags: flags.into(),
            block_length: self.block_length.into(),
            pews_mb: u32::from(self.pews_mb).into(),
            compression: self.compression.into(),
            buffered: self.buffered.into(),
            descriptor_sense: self.descriptor_sense.into(),
            partition: self.partition,
            alerts: self.alerts.into(),
            written_bytes: self.written_bytes.into(),
            read_bytes: self.read_bytes.into(),
            write_errors: self.write_errors.into(),
            read_errors: self.read_errors.into(),
            layout: self.layout.map_or([0; LAYOUT_BYTES], |layout| layout.to_bytes()),
            timestamp_zero_ms: self.timestamp_zero_ms.into(),
            write_retries: self.write_retries.into(),
            read_retries: self.read_retries.into(),
            reserved: [0; 4],
            check: 0.into(),
        };
        record.check = crc64(&[record.as_bytes().get(..CHECKED).unwrap_or_default()]).into();
        let mut bytes = [0; RECORD];
        bytes.copy_from_slice(record.as_bytes());
        bytes
    }

    /// `None` if the record is damaged or of an earlier start of the machine.
    fn decode(bytes: &[u8; RECORD], boot: u64) -> Option<DriveRecord> {
        let record = RecordBytes::ref_from_bytes(bytes).ok()?;
        let check = crc64(&[bytes.get(..CHECKED)?]);
        if record.magic != MAGIC || record.check.get() != check || record.boot.get() != boot {
            return None;
        }
        let flags = record.flags.get();
        Some(DriveRecord {
            load: record.load.get(),
            position: record.position.get(),
            partition: record.partition,
            layout: Layout::from_bytes(&record.layout),
            unloaded: flags & UNLOADED != 0,
            prevented: flags & PREVENTED != 0,
            prevented_by_session: flags & PREVENTED_BY_SESSION != 0,
            power_on_waits: flags & POWER_ON != 0,
            new_medium_waits: flags & NEW_MEDIUM != 0,
            cleaning_wanted: flags & CLEANING_WANTED != 0,
            cleaning_needed: flags & CLEANING_NEEDED != 0,
            protected_by_software: flags & PROTECTED_BY_SOFTWARE != 0,
            protected_until_unload: flags & PROTECTED_UNTIL_UNLOAD != 0,
            warns_readers: flags & WARNS_READERS != 0,
            append_only: flags & APPEND_ONLY != 0,
            rewind_on_reset: (flags >> REWIND_ON_RESET_SHIFT) as u8 & 0x03,
            timestamp_set: flags & TIMESTAMP_SET != 0,
            timestamp_zero_ms: record.timestamp_zero_ms.get(),
            block_length: record.block_length.get(),
            pews_mb: u16::try_from(record.pews_mb.get()).unwrap_or(0),
            compression: record.compression != 0,
            buffered: record.buffered != 0,
            descriptor_sense: record.descriptor_sense != 0,
            alerts: record.alerts.get(),
            written_bytes: record.written_bytes.get(),
            read_bytes: record.read_bytes.get(),
            write_errors: record.write_errors.get(),
            read_errors: record.read_errors.get(),
            write_retries: record.write_retries.get(),
            read_retries: record.read_retries.get(),
        })
    }
}

/// The record's file.
#[derive(Debug)]
pub(crate) struct RecordFile {
    file: File,
    boot: u64,
    stored: DriveRecord,
    is_power_on: bool,
}

impl RecordFile {
    /// Opens the record of the drive in `folder`; a missing, damaged or stale one reads as power on.
    pub fn open(folder: &Path) -> Result<RecordFile> {
        let path = folder.join("state");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .named(&path)?;
        let boot = boot_id();
        let stored = RecordFile::read(&file, boot);
        let is_power_on = stored.is_none();
        let stored = stored.unwrap_or_else(DriveRecord::power_on);
        Ok(RecordFile { file, boot, stored, is_power_on })
    }

    fn read(file: &File, boot: u64) -> Option<DriveRecord> {
        let mut bytes = [0; RECORD];
        file.read_exact_at(&mut bytes, 0).ok()?;
        DriveRecord::decode(&bytes, boot)
    }

    /// True if there was no record of this start of the machine.
    pub fn is_power_on(&self) -> bool {
        self.is_power_on
    }

    /// The record as it was last stored.
    pub fn stored(&self) -> &DriveRecord {
        &self.stored
    }

    /// Stores the record if it changed.
    pub fn store(&mut self, record: &DriveRecord) -> io::Result<()> {
        if self.stored != *record {
            self.file.write_all_at(&record.encode(self.boot), 0)?;
            self.stored = record.clone();
        }
        Ok(())
    }

    /// The record of a drive that another handle or process may have open.
    pub fn peek(folder: &Path) -> Option<DriveRecord> {
        let file = File::open(folder.join("state")).ok()?;
        RecordFile::read(&file, boot_id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_its_file_but_not_a_restart() {
        let mut record = DriveRecord::power_on();
        record.load = 7;
        record.position = u64::MAX - 1;
        record.partition = 3;
        record.layout = Layout::from_bytes(&[1, 0x3c, 9, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0]);
        assert!(record.layout.is_some());
        record.unloaded = true;
        record.pews_mb = 512;
        record.alerts = 1 << 63;
        record.rewind_on_reset = 2;
        record.append_only = true;
        record.write_retries = 7;
        record.read_retries = u32::MAX;
        record.timestamp_set = true;
        let bytes = record.encode(42);
        assert_eq!(DriveRecord::decode(&bytes, 42), Some(record));
        assert_eq!(DriveRecord::decode(&bytes, 43), None);
        for index in 0..RECORD {
            let mut bad = bytes;
            bad[index] ^= 1;
            assert_eq!(DriveRecord::decode(&bad, 42), None, "byte {index}");
        }
    }
}
