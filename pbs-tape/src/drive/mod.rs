//! An LTO tape drive: blocks, filemarks, positions, and what the drive tells about itself and the
//! tape.
//!
//! # What keeps data safe here
//!
//! A tape has no addresses on it: a write goes wherever the tape stands and makes everything behind
//! that place unreadable. So the one thing that must never happen is a write at a place other than
//! the one the caller believes in, or on another tape.
//!
//! * After a command that may have moved the tape and failed, the position is *unknown*: reading,
//!   writing and relative spacing are refused ([`Error::PositionUnknown`]) until the caller asks for
//!   the position, rewinds or locates.
//! * After a unit attention (reset, changed medium, another host) even the tape may be another one:
//!   the position is *lost*, and only rewinding ends that. The caller is told once
//!   ([`Error::PositionLost`]) and must read the labels again. Nothing here swallows a unit attention
//!   of a working drive; they are consumed only while a drive is opened, and by REWIND after the caller
//!   has been told.
//! * Going to a file is always checked against the file number that the drive then reports.
//!   The one exception is in [`encryption`]: it concerns neither tape nor position.
//! * An error of an earlier, buffered write is never mistaken for one of the present command
//!   ([`Error::Deferred`]).
//! * Early warning is good news (the block *is* written) and physical end of tape is not (it is
//!   *not*); they are different results, not flags of one.

mod access_order;
mod adopt;
mod data;
mod encryption;
mod error;
mod key_by_hand;
mod medium;
mod options;
mod position;
mod protection;
mod ready;
mod speed;
mod status;
mod usage;

#[cfg(test)]
mod tests;

use std::time::Duration;

use datastore::Progress;
use scsi::command::block::{self, BlockLimits};
use scsi::command::inquiry::{self, Inquiry};
use scsi::command::mode::{self, Compression, DeviceConfigurationExtension};
use scsi::command::unit;
use scsi::timeouts::Timeouts;
use scsi::{Sense, Transport, transport};

pub use access_order::BlockRange;
pub use data::{Read, Written};
pub use encryption::{DriveKey, Encryption};
pub use error::{Error, Result};
pub use key_by_hand::EncryptionReport;
pub use medium::MediumKind;
pub use options::{BLOCK_BYTES_MAX, OptionChanges, Options};
pub use position::{Position, Spaced};
pub use ready::Patience;
pub use speed::slowest_mb_per_s;
pub use status::{MemoryAttribute, Status};
pub use usage::Usage;

/// How much of what we believe about the tape's position holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// It stands where the last command left it.
    Sure,
    /// A command failed underway: ask the drive.
    Unknown,
    /// Even the tape may be another one: rewind and read the labels.
    Lost,
}

/// What was learnt about LOCATE by file number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LocateByFile {
    /// Not used yet.
    Untried,
    /// Add this to the number: drive families disagree about which place a number means.
    Offset(i64),
    /// The drive refuses it.
    Unsupported,
}

/// A tape drive. After opening, and again after each unit attention, whoever uses it rewinds and reads
/// the labels: only they say which tape it is.
pub struct Drive {
    transport: Timeouts,
    inquiry: Inquiry,
    trust: Trust,
    locate_by_file: LocateByFile,
    block_bytes_max: u32,
    is_cleaning_requested: bool,
    patience: Patience,
    /// The position may still be taken over from the drive ([`Drive::adopt_position`]).
    may_adopt: bool,
    encryption: encryption::Knowledge,
    protection: protection::Guard,
}

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Drive")
            .field("name", &self.transport.name())
            .field("inquiry", &self.inquiry)
            .field("trust", &self.trust)
            .field("locate_by_file", &self.locate_by_file)
            .finish_non_exhaustive()
    }
}

impl Drive {
    /// Opens the drive behind `transport` without touching a tape: enough for status, alerts,
    /// loading and ejecting. It is asked once how long its commands may take ([`Timeouts`]).
    ///
    /// # Errors
    ///
    /// [`Error::NotATapeDrive`] if it is something else.
    pub fn open(transport: Box<dyn Transport>) -> Result<Drive> {
        let mut transport = transport;
        let drive = transport.name().to_string();
        let inquiry = Inquiry::request(&mut transport).map_err(|source| Error::Scsi {
            drive: drive.clone(),
            doing: "asking what it is",
            source,
        })?;
        if inquiry.kind != inquiry::TYPE_TAPE {
            return Err(Error::NotATapeDrive { drive, kind: inquiry.kind });
        }
        Ok(Drive {
            transport: Timeouts::learn(transport, &inquiry),
            inquiry,
            trust: Trust::Unknown,
            locate_by_file: LocateByFile::Untried,
            block_bytes_max: block::TRANSFER_BYTES_MAX,
            is_cleaning_requested: false,
            patience: Patience::default(),
            may_adopt: true,
            encryption: encryption::Knowledge::default(),
            protection: protection::Guard::default(),
        })
    }

    /// Opens the drive and waits until the tape in it can be used, then sets the options that this
    /// house writes and reads with: variable blocks, buffered writing, compression on, no programmable
    /// early warning.
    ///
    /// `load`: the drive belongs to a changer, so that a cartridge that was ejected but still lies in
    /// the drive is threaded again. The tape's position is unknown afterwards.
    pub fn open_with_media(
        transport: Box<dyn Transport>,
        load: bool,
        progress: &dyn Progress,
    ) -> Result<Drive> {
        let mut drive = Drive::open(transport)?;
        drive.prepare_media(load, progress)?;
        Ok(drive)
    }

    /// The second half of [`Drive::open_with_media`], for a drive that is open already.
    pub fn prepare_media(&mut self, load: bool, progress: &dyn Progress) -> Result<()> {
        self.may_adopt = false;
        self.wait_ready(load, progress)?;
        self.while_opening("setting options", Drive::set_default_options)?;
        let limits = self.while_opening("reading block limits", |drive| {
            BlockLimits::request(&mut drive.transport)
                .map_err(|error| drive.fail("reading block limits", error))
        })?;
        self.while_opening("setting block protection", Drive::protect)?;
        let maximum_bytes = match limits.maximum_bytes {
            0 => block::TRANSFER_BYTES_MAX,
            maximum => maximum.min(block::TRANSFER_BYTES_MAX),
        };
        // The limit counts the check value, which is not the caller's business.
        self.block_bytes_max = maximum_bytes.saturating_sub(self.check_bytes() as u32);
        self.encryption_off_at_open(progress)?;
        // A unit attention met while opening is dealt with; where the tape stands is still open.
        self.trust = Trust::Unknown;
        Ok(())
    }

    /// The drive as the user named it.
    pub fn name(&self) -> &str {
        self.transport.name()
    }

    /// Vendor, product and revision.
    pub fn inquiry(&self) -> &Inquiry {
        &self.inquiry
    }

    /// Largest block in bytes that the drive takes. Known after opening with media.
    pub fn block_bytes_max(&self) -> u32 {
        self.block_bytes_max
    }

    /// True if the drive asked for cleaning since it was opened.
    pub fn is_cleaning_requested(&self) -> bool {
        self.is_cleaning_requested
    }

    /// Changes how long and how often is waited.
    pub fn set_patience(&mut self, patience: Patience) {
        self.patience = patience;
    }

    /// The way to the device, for commands that do not move the tape.
    pub fn transport(&mut self) -> &mut dyn Transport {
        &mut self.transport
    }

    /// Serial number of the drive (VPD page 80h), if it has one.
    pub fn serial(&mut self) -> Result<Option<String>> {
        let page = inquiry::request_vpd(&mut self.transport, inquiry::VPD_SERIAL);
        match page {
            Ok(data) => Ok(inquiry::serial(&data)),
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => Ok(None),
            Err(error) => Err(self.fail("reading the serial number", error)),
        }
    }

    /// Sets compression on, variable block length, buffered mode 1 and no programmable early warning.
    fn set_default_options(&mut self) -> Result<()> {
        const DOING: &str = "setting options";
        let sensed = mode::sense(&mut self.transport, mode::PAGE_COMPRESSION, 0);
        let (mut parameters, size) = match sensed {
            // A drive that does not compress: header and descriptor are enough.
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                mode::sense(&mut self.transport, mode::PAGE_NONE, 0)
                    .map_err(|error| self.fail(DOING, error))?
            }
            other => other.map_err(|error| self.fail(DOING, error))?,
        };
        let before = parameters.clone();
        parameters.pages = match Compression::parse(&parameters) {
            Ok(mut page) => {
                page.enabled = page.capable || page.enabled;
                page.build().to_vec()
            }
            Err(_) => Vec::new(),
        };
        if let Some(descriptor) = &mut parameters.descriptor {
            descriptor.block_bytes = 0;
        }
        parameters.set_buffered_mode(1);
        // Medium type and write protection are not for the host to set; density 0 = no change.
        let unchanged = before.descriptor == parameters.descriptor
            && before.buffered_mode() == parameters.buffered_mode()
            && Compression::parse(&before).ok() == Compression::parse(&parameters).ok();
        if !unchanged {
            parameters.device_specific &= 0x7f;
            mode::select(&mut self.transport, size, &parameters)
                .map_err(|error| self.fail(DOING, error))?;
        }
        self.clear_programmable_early_warning();
        Ok(())
    }

    /// Best effort: LTO-4 lacks the page, and some drives refuse to change it.
    fn clear_programmable_early_warning(&mut self) {
        let page = mode::PAGE_DEVICE_CONFIGURATION;
        let subpage = DeviceConfigurationExtension::SUBPAGE;
        let Ok((mut parameters, size)) = mode::sense(&mut self.transport, page, subpage) else {
            return;
        };
        if let Ok(mut page) = DeviceConfigurationExtension::parse(&parameters)
            && page.early_warning_mb != 0
        {
            page.early_warning_mb = 0;
            parameters.pages = page.build().to_vec();
            parameters.device_specific &= 0x7f;
            let _ = mode::select(&mut self.transport, size, &parameters);
        }
    }

    /// Runs a step of opening again if a unit attention came first. Several may be queued; more
    /// than a handful is a device gone mad.
    fn while_opening<T>(
        &mut self,
        doing: &'static str,
        mut step: impl FnMut(&mut Drive) -> Result<T>,
    ) -> Result<T> {
        const UNIT_ATTENTIONS_MAX: usize = 4;
        for _ in 0..UNIT_ATTENTIONS_MAX {
            match step(self) {
                Err(Error::PositionLost { .. }) => {}
                other => return other,
            }
        }
        step(self).map_err(|error| match error {
            Error::PositionLost { drive, sense, .. } => Error::PositionLost { drive, doing, sense },
            other => other,
        })
    }

    /// Refuses what relies on the position if that is not known.
    fn require_position(&self, doing: &'static str) -> Result<()> {
        match self.trust {
            Trust::Sure => Ok(()),
            Trust::Unknown | Trust::Lost => Err(self.position_unknown(doing)),
        }
    }

    fn position_unknown(&self, doing: &'static str) -> Error {
        Error::PositionUnknown { drive: self.name().to_string(), doing }
    }

    /// Turns a failed command into the error a caller can act on, and remembers what it means for
    /// the position.
    fn fail(&mut self, doing: &'static str, source: transport::Error) -> Error {
        let drive = self.name().to_string();
        let Some(sense) = source.sense().copied() else {
            self.trust = self.trust.after_failure();
            return Error::Scsi { drive, doing, source };
        };
        if sense.deferred {
            self.trust = self.trust.after_failure();
            return Error::Deferred { drive, doing, sense };
        }
        if sense.is_unit_attention() {
            if sense.is_encryption_changed() {
                self.encryption_was_changed();
            }
            self.protection_may_be_lost();
            self.trust = Trust::Lost;
            return Error::PositionLost { drive, doing, sense };
        }
        if sense.is_medium_not_present() {
            self.trust = Trust::Lost;
            return Error::NoMedium { drive, sense };
        }
        if sense.is_cleaning_cartridge() {
            self.trust = Trust::Lost;
            return Error::CleaningCartridge { drive, sense };
        }
        // These refuse the command before the tape moves, or leave it where it stood.
        if sense.is_volume_overflow() {
            return Error::VolumeOverflow { drive };
        }
        if sense.is_worm_violation() {
            return Error::Worm { drive, reason: sense.to_string() };
        }
        if sense.is_write_protected() {
            return Error::WriteProtected { drive, sense };
        }
        if sense.is_undecryptable() {
            return Error::Undecryptable { drive, sense };
        }
        if sense.key == scsi::SenseKey::IllegalRequest {
            return Error::Scsi { drive, doing, source };
        }
        self.trust = self.trust.after_failure();
        if sense.is_incompatible_medium() {
            return Error::IncompatibleMedium { drive, sense };
        }
        if sense.is_medium_error() {
            return Error::Medium { drive, doing, sense };
        }
        Error::Scsi { drive, doing, source }
    }

    /// REQUEST SENSE. It takes a pending condition off the drive, so what that means for the position is
    /// remembered here. `None` if the drive does not answer.
    fn take_sense(&mut self) -> Option<Sense> {
        let sense = unit::request_sense(&mut self.transport).ok()?;
        self.note_sense(&sense);
        Some(sense)
    }

    fn note_sense(&mut self, sense: &Sense) {
        if sense.is_unit_attention() {
            self.trust = Trust::Lost;
            self.protection_may_be_lost();
        } else if sense.deferred {
            self.trust = self.trust.after_failure();
        }
    }

    /// Waits one polling interval, in slices so that an abort is seen soon.
    fn pause(&self, doing: &'static str, progress: &dyn Progress) -> Result<()> {
        const SLICE: Duration = Duration::from_millis(100);
        let mut left = self.patience.poll_interval;
        loop {
            if progress.is_aborted() {
                return Err(Error::Aborted { drive: self.name().to_string(), doing });
            }
            if left.is_zero() {
                return Ok(());
            }
            let slice = left.min(SLICE);
            std::thread::sleep(slice);
            left -= slice;
        }
    }
}

impl Trust {
    /// A failed command makes a sure position unknown; a lost one stays lost.
    fn after_failure(self) -> Trust {
        match self {
            Trust::Lost => Trust::Lost,
            Trust::Sure | Trust::Unknown => Trust::Unknown,
        }
    }
}

/// What this handle set in the drive for itself does not outlive it.
impl Drop for Drive {
    fn drop(&mut self) {
        self.remove_key_quietly();
        self.unprotect_quietly();
    }
}
