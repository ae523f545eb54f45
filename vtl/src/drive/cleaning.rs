//! A cleaning cartridge in the drive.
//!
//! The drive begins to clean when it threads one, and unloads it at the end; the robot can take it then. A use is
//! counted in the cartridge's memory before the cleaning begins, together with a note that it began; the note goes
//! when the cleaning ends. So a cleaning that a killed program interrupted is begun again by the next one and costs no
//! second use, and one that ended is never taken for interrupted. A cartridge without uses left cleans nothing and is
//! refused (2/30/0B, TapeAlert 22).

use std::path::{Path, PathBuf};

use scsi::{Sense, SenseKey};

use super::device_statistics::Event;
use super::{Drive, alert, flag_bit};
use crate::cartridge::CartridgeState;
use crate::error::Result;
use crate::unit::Done;

/// Cleaning cartridge expired (SPC-4 annex D).
const USED_UP: Sense = Sense::new(SenseKey::NotReady, 0x30, 0x0b);

/// The cleaning cartridge that the drive has threaded. Its memory can be read, its tape can't.
#[derive(Debug)]
pub(super) struct Cleaner {
    folder: PathBuf,
    pub memory: CartridgeState,
}

impl Drive {
    /// Threads a cleaning cartridge and counts the use; the condition that the medium commands meet.
    pub(super) fn take_cleaning_cartridge(
        &mut self,
        folder: &Path,
        mut memory: CartridgeState,
    ) -> Result<Sense> {
        self.raise_alert(alert::CLEANING_MEDIA);
        let sense = if memory.cleaning_begun {
            Sense::CLEANING_CARTRIDGE
        } else if let Some(left) = memory.cleanings_left.checked_sub(1) {
            memory.cleanings_left = left;
            memory.cleaning_begun = true;
            memory.write(folder)?;
            Sense::CLEANING_CARTRIDGE
        } else {
            self.raise_alert(alert::CLEANING_USED_UP);
            USED_UP
        };
        self.cleaner = Some(Box::new(Cleaner { folder: folder.to_path_buf(), memory }));
        Ok(sense)
    }

    /// The heads are clean: nothing asks for it any more, and the cartridge is unloaded.
    pub(super) fn end_cleaning(&mut self) -> Done {
        self.lifetime.count(Event::Cleaning)?;
        self.record.cleaning_wanted = false;
        self.record.cleaning_needed = false;
        // Flag 11 only says that the cartridge in the drive cleans; it goes with it (SSC-5 annex A).
        let over = [alert::CLEAN_NOW, alert::CLEAN_PERIODIC, alert::CLEANING_MEDIA];
        self.record.alerts &= !over.into_iter().fold(0, |flags, number| flags | flag_bit(number));
        if let Some(mut cleaner) = self.cleaner.take() {
            cleaner.memory.cleaning_begun = false;
            cleaner.memory.write(&cleaner.folder)?;
        }
        self.unthread()?;
        self.record.unloaded = true;
        self.settle_record()
    }
}
