//! [`TapeDevice`] over a SCSI drive.

use std::sync::Arc;

use datastore::Progress;

use scsi::command::tape_alert::TapeAlerts;

use super::TapeDevice;
use crate::care::{Event, Recorder};
use crate::drive::{self, Drive, DriveKey, Encryption, Written};
use crate::error::{Error, Result};
use crate::format::block::{
    AlignedBlock, BLOCK_BYTES, BlockRead, BlockSink, BlockSource, EarlyWarning,
};
use crate::format::label::{Labels, MediaLabel};

/// What a drive would say if it were asked to write.
const WRITE_PROTECTED: scsi::Sense = scsi::Sense::WRITE_PROTECTED;

/// A SCSI drive with a tape in it.
pub struct LtoTape {
    drive: Drive,
    abort: Arc<dyn Progress>,
    /// Number of the object that is read next, where that is known. A drive that could not read a block may stand before
    /// or behind it.
    next_object: Option<u64>,
    account: Option<Account>,
}

/// What is kept for the statistics until the tape is let go of.
struct Account {
    recorder: Arc<Recorder>,
    /// The label that the job read.
    label: Option<MediaLabel>,
    /// Flags that were read so far: some drives clear them then.
    seen: TapeAlerts,
}

impl LtoTape {
    /// Takes a drive that was opened with media. `abort` can end long commands.
    pub fn new(drive: Drive, abort: Arc<dyn Progress>) -> LtoTape {
        LtoTape { drive, abort, next_object: None, account: None }
    }

    /// Has the tape's statistics recorded when it is ejected, or when this is dropped before.
    #[must_use]
    pub fn with_recorder(mut self, recorder: Arc<Recorder>) -> LtoTape {
        self.account = Some(Account { recorder, label: None, seen: TapeAlerts::EMPTY });
        self
    }

    /// Records the statistics, once.
    fn settle(&mut self, event: Event) -> drive::Result<()> {
        let Some(account) = self.account.take() else { return Ok(()) };
        account.recorder.record(event, &mut self.drive, account.label.as_ref(), account.seen)
    }

    /// The drive.
    pub fn drive(&mut self) -> &mut Drive {
        &mut self.drive
    }
}

impl BlockSink for LtoTape {
    fn write_block(&mut self, block: &[u8]) -> Result<EarlyWarning> {
        early_warning(self.drive.write_block(block))
    }

    fn write_block_in_place(&mut self, block: &mut AlignedBlock) -> Result<EarlyWarning> {
        early_warning(self.drive.write_block_in_place(block.with_room(), BLOCK_BYTES))
    }

    fn write_filemark(&mut self) -> Result<()> {
        Ok(self.drive.write_filemarks(1, true)?)
    }
}

fn early_warning(written: drive::Result<Written>) -> Result<EarlyWarning> {
    match written {
        Ok(written) => Ok(written.early_warning),
        Err(e) if e.is_volume_overflow() => Err(Error::TapeFull),
        Err(e) => Err(e.into()),
    }
}

impl LtoTape {
    fn block_read(&mut self, read: drive::Result<drive::Read>) -> Result<BlockRead> {
        let read = match read {
            Ok(drive::Read::Block(bytes)) => BlockRead::Block { bytes },
            Ok(drive::Read::Filemark) => BlockRead::Filemark,
            Ok(drive::Read::EndOfData) => return Ok(BlockRead::EndOfData),
            Err(drive::Error::BlockTooLong { block_bytes, .. }) => {
                BlockRead::Block { bytes: usize::try_from(block_bytes).unwrap_or(usize::MAX) }
            }
            Err(e) => return Err(e.into()),
        };
        self.next_object = self.next_object.and_then(|object| object.checked_add(1));
        Ok(read)
    }
}

impl BlockSource for LtoTape {
    fn read_block(&mut self, buffer: &mut [u8]) -> Result<BlockRead> {
        let read = self.drive.read_block(buffer);
        self.block_read(read)
    }

    fn read_block_in_place(&mut self, block: &mut AlignedBlock) -> Result<BlockRead> {
        let read = self.drive.read_block_in_place(block.with_room(), BLOCK_BYTES);
        self.block_read(read)
    }

    fn pass_unreadable_block(&mut self) -> Result<()> {
        let stands_at = self.drive.position()?.object;
        self.next_object = match self.next_object.and_then(|object| object.checked_add(1)) {
            Some(behind) if stands_at != behind => Some(self.drive.move_to_object(behind)?.object),
            // Without a number the drive is believed. If it stands before the block, that fails once more, and then
            // there is one.
            _ => Some(stands_at),
        };
        Ok(())
    }
}

impl TapeDevice for LtoTape {
    fn rewind(&mut self) -> Result<()> {
        self.next_object = None;
        self.drive.rewind()?;
        self.next_object = Some(0);
        Ok(())
    }

    fn move_to_file(&mut self, file: u64) -> Result<()> {
        self.next_object = None;
        Ok(self.drive.move_to_file(file)?)
    }

    fn move_to_end_for_append(&mut self) -> Result<u64> {
        self.next_object = None;
        Ok(self.drive.to_end_of_data_for_append()?.file)
    }

    fn move_to_last_file(&mut self) -> Result<Option<u64>> {
        self.next_object = None;
        match self.drive.move_to_last_file() {
            Ok(file) => Ok(Some(file)),
            Err(drive::Error::Blank { .. }) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    fn file_number(&mut self) -> Result<u64> {
        let position = self.drive.position()?;
        self.next_object = Some(position.object);
        Ok(position.file)
    }

    fn object_number(&mut self) -> Result<u64> {
        Ok(self.drive.position()?.object)
    }

    fn move_to_object(&mut self, object: u64) -> Result<()> {
        self.drive.move_to_object(object)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.drive.sync()?)
    }

    fn note_labels(&mut self, labels: &Labels) {
        if let Some(account) = &mut self.account {
            account.label = Some(labels.media.clone());
        }
    }

    fn is_worm(&mut self) -> Result<bool> {
        Ok(self.drive.medium_kind()?.worm)
    }

    fn require_erasable(&mut self) -> Result<()> {
        let kind = self.drive.medium_kind()?;
        let drive = self.drive.name().to_string();
        if kind.worm {
            let reason = "it holds data and cannot be formatted".to_string();
            return Err(drive::Error::Worm { drive, reason }.into());
        }
        if kind.write_protected {
            return Err(drive::Error::WriteProtected { drive, sense: WRITE_PROTECTED }.into());
        }
        Ok(())
    }

    fn format(&mut self, fast: bool) -> Result<()> {
        Ok(self.drive.format(fast, &*self.abort)?)
    }

    fn bytes_used(&mut self) -> Result<Option<u64>> {
        Ok(self.drive.used_bytes()?)
    }

    fn bytes_remaining(&mut self) -> Result<Option<u64>> {
        let attributes = self.drive.attributes()?;
        let mib = attributes
            .iter()
            .find(|one| one.id == scsi::command::attribute::REMAINING_CAPACITY)
            .and_then(|one| one.number());
        Ok(mib.and_then(|mib| mib.checked_mul(1 << 20)))
    }

    fn slowest_bytes_per_s(&mut self) -> Result<Option<u64>> {
        let density = self.drive.medium_kind()?.density;
        Ok(drive::slowest_mb_per_s(density).map(|speed| u64::from(speed) * 1_000_000))
    }

    fn critical_alerts(&mut self) -> Result<Vec<String>> {
        let alerts = self.drive.tape_alerts()?;
        if let Some(account) = &mut self.account {
            account.seen = account.seen.union(alerts);
        }
        if !alerts.is_critical() {
            return Ok(Vec::new());
        }
        Ok(alerts.named().filter(|flag| flag.refuse).map(|flag| flag.name.to_string()).collect())
    }

    fn encryption_off(&mut self) -> Result<()> {
        Ok(self.drive.encryption_off()?)
    }

    fn set_key(&mut self, key: &DriveKey) -> Result<()> {
        Ok(self.drive.set_key(key)?)
    }

    fn assert_encryption(&mut self, expected: Encryption) -> Result<()> {
        Ok(self.drive.assert_encryption(expected)?)
    }

    fn set_cartridge_labels(&mut self, label_text: Option<&str>, pool: Option<&str>) -> Result<()> {
        // The cartridge memory is a courtesy to other programs: a drive that can't is fine.
        let _refused = self.drive.write_application_attributes(label_text, pool);
        Ok(())
    }

    fn eject(&mut self) -> Result<()> {
        self.settle(Event::Leave)?;
        Ok(self.drive.eject()?)
    }
}

/// The job is over, and the tape stays in the drive. Whatever the drive has to tell now concerns nobody any more: what the job relies
/// on was synchronised before.
impl Drop for LtoTape {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = self.settle(Event::JobEnd);
        }
    }
}
