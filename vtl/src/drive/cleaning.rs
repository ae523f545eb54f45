//! A cleaning cartridge in the drive.
//!
//! The drive begins to clean when it threads one, and unloads it at the end; the robot can take it then. Uses are
//! counted in the cartridge's memory before the cleaning begins: one that a killed program interrupted is used, as
//! with a real cartridge, and is begun again by the next program. A cartridge without uses left cleans nothing and is
//! refused (2/30/0B, TapeAlert 22).

use std::path::Path;

use scsi::{Sense, SenseKey};

use super::device_statistics::Event;
use super::{Drive, alert, flag_bit};
use crate::cartridge::CartridgeState;
use crate::error::Result;
use crate::unit::Done;

/// Cleaning cartridge expired (SPC-4 annex D).
const USED_UP: Sense = Sense::new(SenseKey::NotReady, 0x30, 0x0b);

impl Drive {
    /// Threads a cleaning cartridge and counts the use; the condition that the medium commands meet.
    pub(super) fn take_cleaning_cartridge(
        &mut self,
        folder: &Path,
        mut state: CartridgeState,
    ) -> Result<Sense> {
        self.raise_alert(alert::CLEANING_MEDIA);
        let Some(left) = state.cleanings_left.checked_sub(1) else {
            self.raise_alert(alert::CLEANING_USED_UP);
            return Ok(USED_UP);
        };
        state.cleanings_left = left;
        state.write(folder)?;
        Ok(Sense::CLEANING_CARTRIDGE)
    }

    /// The heads are clean: nothing asks for it any more, and the cartridge is unloaded.
    pub(super) fn end_cleaning(&mut self) -> Done {
        self.lifetime.count(Event::Cleaning)?;
        self.record.cleaning_wanted = false;
        self.record.cleaning_needed = false;
        // Flag 11 only says that the cartridge in the drive cleans; it goes with it (SSC-5 annex A).
        let over = [alert::CLEAN_NOW, alert::CLEAN_PERIODIC, alert::CLEANING_MEDIA];
        self.record.alerts &= !over.into_iter().fold(0, |flags, number| flags | flag_bit(number));
        self.unthread()?;
        self.record.unloaded = true;
        self.settle_record()
    }
}
