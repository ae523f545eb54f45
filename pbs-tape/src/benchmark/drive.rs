//! What the drive takes and gives: blocks of noise from the beginning of the tape, back again, and motions between.
//!
//! A drive takes blocks into its buffer first, as fast as they come, and runs up before it writes the first. So the speed is that of the second half of the
//! blocks, in which buffer and tape are in balance; if that is far above the speed of the whole with its synchronisation, the
//! buffer was never full, and the whole is all that can be believed. What is read back is compared.
//!
//! No standard counter tells how often a drive had to stop and go back. A WRITE that waits for longer than [`STOP_MIN`]
//! while the tape should run is counted as such.

use std::time::Duration;

use datastore::Progress;
use serde::Serialize;

use super::noise::Noise;
use super::{Clock, seconds};
use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::block::{AlignedBlock, BLOCK_BYTES, BlockRead};
use crate::loader::check_abort;
use crate::write::feed::bytes_per_s;

/// To stop, go back and run up again takes 2 to 4 seconds; no block of 256 KiB takes a second at any speed.
const STOP_MIN: Duration = Duration::from_secs(1);
/// The second half may be so much faster than the whole, in percent, if it was the tape that was measured.
const BALANCE_PERCENT: u64 = 130;

/// What the drive did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DriveFigures {
    /// The drive's name.
    pub drive: String,
    /// Label text of the tape.
    pub label_text: String,
    /// From the order to load it to a tape that can be read: robot and drive.
    #[serde(serialize_with = "seconds", rename = "load-seconds")]
    pub load: Duration,
    /// What was written and read.
    pub bytes: u64,
    /// Bytes a second while writing.
    pub write_bytes_per_second: u64,
    /// Bytes a second from the first block to the end of the synchronisation.
    pub write_and_sync_bytes_per_second: u64,
    /// Blocks that the drive made wait for so long that the tape must have stopped.
    pub write_stops: u64,
    /// The longest that a block had to wait.
    #[serde(serialize_with = "seconds", rename = "write-longest-wait-seconds")]
    pub write_longest_wait: Duration,
    /// Writing out the drive's buffer at the end.
    #[serde(serialize_with = "seconds", rename = "sync-seconds")]
    pub sync: Duration,
    /// Bytes a second while reading.
    pub read_bytes_per_second: u64,
    /// Motions within what was written.
    pub locates: Vec<Locate>,
    /// The slowest speed of the drive with this tape, in bytes a second, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowest_bytes_per_second: Option<u64>,
}

/// A motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Locate {
    /// Blocks from the beginning of the tape to where it began.
    pub from_block: u64,
    /// And to where it ended.
    pub to_block: u64,
    /// How long it took.
    #[serde(serialize_with = "seconds", rename = "seconds")]
    pub time: Duration,
}

/// Writes `bytes` of noise from the beginning of the tape, and reads them. What was on the tape is lost.
pub(super) fn measure(
    device: &mut dyn TapeDevice,
    label_text: &str,
    bytes: u64,
    seed: u64,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<DriveFigures> {
    let noise = Noise::new(seed);
    let mut figures = DriveFigures {
        label_text: label_text.to_string(),
        slowest_bytes_per_second: device.slowest_bytes_per_s()?,
        ..DriveFigures::default()
    };
    device.rewind()?;
    let blocks = write(device, bytes, &noise, &mut figures, clock, progress)?;
    let mut at = blocks;
    at = locate(device, at, 0, &mut figures, clock)?;
    read(device, blocks, &noise, &mut figures, clock, progress)?;
    // From the end to the middle, on, and back: a quarter of the distance, and half of it.
    at = at.saturating_add(blocks);
    for quarters in [2, 3, 1] {
        check_abort(progress)?;
        at = locate(device, at, blocks * quarters / 4, &mut figures, clock)?;
    }
    Ok(figures)
}

/// Writes; how many blocks there was room for.
fn write(
    device: &mut dyn TapeDevice,
    bytes: u64,
    noise: &Noise,
    figures: &mut DriveFigures,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<u64> {
    let wanted = (bytes / BLOCK_BYTES as u64).max(2);
    let mut block = AlignedBlock::new();
    let began = clock.now();
    let mut half = (0, began);
    let mut blocks = 0;
    while blocks < wanted {
        check_abort(progress)?;
        block.bytes_mut().copy_from_slice(noise.block(blocks));
        let asked = clock.now();
        let early_warning = device.write_block_in_place(&mut block)?;
        let waited = clock.now().saturating_sub(asked);
        blocks += 1;
        figures.write_longest_wait = figures.write_longest_wait.max(waited);
        figures.write_stops += u64::from(waited >= STOP_MIN);
        progress.advance_bytes(BLOCK_BYTES as u64);
        if blocks == wanted / 2 {
            half = (blocks, clock.now());
        }
        if early_warning {
            break;
        }
    }
    let written = clock.now();
    device.write_filemark()?;
    device.sync()?;
    let synced = clock.now();
    figures.sync = synced.saturating_sub(written);
    figures.bytes = blocks * BLOCK_BYTES as u64;
    let whole = rate(blocks, began, synced);
    let second_half = rate(blocks - half.0, half.1, written);
    figures.write_and_sync_bytes_per_second = whole;
    let is_balanced = second_half <= whole.saturating_mul(BALANCE_PERCENT) / 100;
    figures.write_bytes_per_second = if is_balanced { second_half } else { whole };
    Ok(blocks)
}

fn read(
    device: &mut dyn TapeDevice,
    blocks: u64,
    noise: &Noise,
    figures: &mut DriveFigures,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<()> {
    let mut block = AlignedBlock::new();
    let mut half = (0, clock.now());
    for number in 0..blocks {
        check_abort(progress)?;
        let read = device.read_block_in_place(&mut block)?;
        let is_same = read == BlockRead::Block { bytes: BLOCK_BYTES }
            && block.bytes_mut() == noise.block(number);
        if !is_same {
            let tape = figures.label_text.clone();
            return Err(Error::BenchmarkReadBack { tape, block: number });
        }
        progress.advance_bytes(BLOCK_BYTES as u64);
        if number + 1 == blocks / 2 {
            half = (number + 1, clock.now());
        }
    }
    figures.read_bytes_per_second = rate(blocks - half.0, half.1, clock.now());
    Ok(())
}

fn locate(
    device: &mut dyn TapeDevice,
    from_block: u64,
    to_block: u64,
    figures: &mut DriveFigures,
    clock: &dyn Clock,
) -> Result<u64> {
    let began = clock.now();
    match to_block {
        0 => device.rewind()?,
        object => device.move_to_object(object)?,
    }
    let time = clock.now().saturating_sub(began);
    figures.locates.push(Locate { from_block, to_block, time });
    Ok(to_block)
}

fn rate(blocks: u64, from: Duration, to: Duration) -> u64 {
    let bytes = blocks.saturating_mul(BLOCK_BYTES as u64);
    bytes_per_s(bytes, to.saturating_sub(from)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use datastore::progress::Silent;

    use super::super::MachineClock;
    use super::*;
    use crate::device::model::{Medium, ModelDrive, Record};

    #[test]
    fn a_block_that_comes_back_changed_is_told_with_its_place() {
        let (noise, clock) = (Noise::new(3), MachineClock::start());
        let mut device = ModelDrive::new(Medium::default());
        let mut figures = DriveFigures { label_text: "T01".into(), ..DriveFigures::default() };
        let bytes = 9 * BLOCK_BYTES as u64;
        let blocks = write(&mut device, bytes, &noise, &mut figures, &clock, &Silent).unwrap();
        assert_eq!((blocks, figures.bytes), (9, bytes));
        let medium = std::sync::Arc::clone(&device.medium);
        let mut again = || {
            device.rewind().unwrap();
            read(&mut device, blocks, &noise, &mut figures, &clock, &Silent)
        };
        again().unwrap();
        let mut damaged = noise.block(5).to_vec();
        damaged[BLOCK_BYTES - 1] ^= 1;
        medium.lock().unwrap().records[5] = Record::Block(damaged.into());
        let error = again().unwrap_err();
        assert!(matches!(error, Error::BenchmarkReadBack { block: 5, .. }), "{error}");
        // One that is missing, too.
        medium.lock().unwrap().records.truncate(4);
        let error = again().unwrap_err();
        assert!(matches!(error, Error::BenchmarkReadBack { block: 4, .. }), "{error}");
    }

    #[test]
    fn a_tape_that_is_too_short_is_measured_as_far_as_it_goes() {
        let mut device = ModelDrive::new(Medium::with_capacity(6, 4));
        let clock = MachineClock::start();
        let measured = measure(&mut device, "T01", 1 << 30, 3, &clock, &Silent).unwrap();
        // With the block that raised early warning.
        assert_eq!(measured.bytes, 7 * BLOCK_BYTES as u64);
        assert_eq!(measured.locates.len(), 4);
    }
}
