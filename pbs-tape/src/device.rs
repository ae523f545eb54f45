//! A loaded tape as the jobs of this crate see it.
//!
//! The trait stands between the jobs and [`crate::drive::Drive`] so that tests can put a tape in its
//! place that ends, fails or is taken away at any block. It adds to blocks and filemarks what a job
//! needs to know *where* it is. File numbers always come from the device, never from a catalog: a
//! catalog may know less than the tape.

use crate::drive::{DriveKey, Encryption};
use crate::error::Result;
use crate::format::block::{BlockSink, BlockSource};
use crate::format::label::Labels;

/// A tape in a drive, opened.
pub trait TapeDevice: BlockSink + BlockSource + Send {
    /// Moves to the beginning of file 0.
    fn rewind(&mut self) -> Result<()>;

    /// Moves to the beginning of a file; there may be nothing behind it, but the file before it must
    /// be there.
    fn move_to_file(&mut self, file: u64) -> Result<()>;

    /// Moves behind the last file and makes sure that a filemark ends it, so that what is written
    /// next is a file of its own. The number of that next file.
    fn move_to_end_for_append(&mut self) -> Result<u64>;

    /// Moves to the beginning of the last file and tells its number; `None` on a blank tape.
    fn move_to_last_file(&mut self) -> Result<Option<u64>>;

    /// Number of the file that the tape stands in or before.
    fn file_number(&mut self) -> Result<u64>;

    /// Number of the block or filemark that the tape stands before, counted from 0 over the whole tape.
    fn object_number(&mut self) -> Result<u64>;

    /// Moves before the block or filemark of this number. An error that says
    /// [`is_missing`](crate::drive::Error::is_missing) if the tape ends before.
    fn move_to_object(&mut self, object: u64) -> Result<()>;

    /// Waits until everything written is on the medium.
    fn sync(&mut self) -> Result<()>;

    /// The labels that were found on the tape, for whoever keeps account of it.
    fn note_labels(&mut self, _labels: &Labels) {}

    /// True if the tape can be written once only.
    fn is_worm(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// Refuses a tape that [`TapeDevice::format`] can't make blank: a write-protected one, or WORM.
    /// Asked before anything about the tape is forgotten.
    fn require_erasable(&mut self) -> Result<()>;

    /// Makes the tape blank. `fast` leaves the old data physically in place.
    fn format(&mut self, fast: bool) -> Result<()>;

    /// Native capacity in use in bytes, if the drive tells.
    fn bytes_used(&mut self) -> Result<Option<u64>>;

    /// Native capacity left in bytes, if the drive tells.
    fn bytes_remaining(&mut self) -> Result<Option<u64>>;

    /// The slowest speed that the drive can write this tape with, in bytes a second, if it is known: with less data it stops
    /// again and again.
    fn slowest_bytes_per_s(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Names of the raised alerts that make going on unsafe.
    fn critical_alerts(&mut self) -> Result<Vec<String>>;

    /// Makes sure that blocks are written and read as they are, without drive encryption.
    fn encryption_off(&mut self) -> Result<()>;

    /// Makes the drive encrypt what is written with this key, and read encrypted and plain blocks, until
    /// [`TapeDevice::encryption_off`] or until the device is dropped.
    fn set_key(&mut self, key: &DriveKey) -> Result<()>;

    /// Refuses to go on unless the drive's encryption is in this state. Asked before data is written.
    fn assert_encryption(&mut self, expected: Encryption) -> Result<()>;

    /// Writes label text and pool into the cartridge memory, where the drive can; `None` removes.
    fn set_cartridge_labels(&mut self, label_text: Option<&str>, pool: Option<&str>) -> Result<()>;

    /// Rewinds and ejects.
    fn eject(&mut self) -> Result<()>;
}

mod lto;
#[cfg(test)]
pub(crate) mod model;

pub use lto::LtoTape;
