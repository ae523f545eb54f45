//! The questions that sense data is asked: conditions by name, so that no other module compares codes.
//!
//! A deferred condition belongs to an earlier command and never answers a question about the present
//! one with good news.

use super::{Sense, SenseKey};

/// Questions about the condition.
impl Sense {
    /// Key, code and qualifier, for matching.
    pub const fn code(&self) -> (u8, u8, u8) {
        (self.key.to_byte(), self.asc, self.ascq)
    }

    /// True if the condition is of this command and has this additional code and qualifier.
    const fn has(&self, asc: u8, ascq: u8) -> bool {
        !self.deferred && self.asc == asc && self.ascq == ascq
    }

    const fn harmless_key(&self) -> bool {
        matches!(self.key, SenseKey::NoSense | SenseKey::RecoveredError | SenseKey::Completed)
    }

    /// The command did what it should, and nothing else needs to be known: no flag, key NO SENSE,
    /// RECOVERED ERROR or COMPLETED (also "cleaning requested").
    pub const fn is_success(&self) -> bool {
        !self.deferred
            && self.harmless_key()
            && !self.filemark
            && !self.end_of_medium
            && !self.incorrect_length
            && !matches!((self.asc, self.ascq), (0x00, 0x01..=0x05 | 0x07))
    }

    /// READ or SPACE met a filemark. After READ the position is behind it.
    pub const fn is_filemark(&self) -> bool {
        self.harmless_key() && !self.deferred && (self.filemark || self.has(0x00, 0x01))
    }

    /// READ, SPACE or LOCATE came to the end of the recorded data.
    pub const fn is_end_of_data(&self) -> bool {
        matches!(self.key, SenseKey::BlankCheck) && (self.has(0x00, 0x05) || self.has(0x14, 0x03))
    }

    /// WRITE: the block is on the tape, but the end of the medium is near (LEOM). Includes the
    /// programmable early warning.
    pub const fn is_early_warning(&self) -> bool {
        self.harmless_key()
            && !self.deferred
            && (self.has(0x00, 0x02)
                || self.has(0x00, 0x07)
                || (self.end_of_medium && !self.has(0x00, 0x04)))
    }

    /// The programmable early warning (PEWS) in particular.
    pub const fn is_programmable_early_warning(&self) -> bool {
        self.harmless_key() && self.has(0x00, 0x07)
    }

    /// Spacing backwards ended at the beginning of the medium.
    pub const fn is_beginning_of_medium(&self) -> bool {
        self.harmless_key() && self.has(0x00, 0x04)
    }

    /// WRITE: physical end of the medium, the block is *not* on the tape.
    pub const fn is_volume_overflow(&self) -> bool {
        !self.deferred && matches!(self.key, SenseKey::VolumeOverflow)
    }

    /// The block read had another length than asked for, and nothing else happened.
    pub const fn is_incorrect_length(&self) -> bool {
        self.harmless_key() && !self.deferred && self.incorrect_length && !self.is_filemark()
    }

    /// SPACE or LOCATE did not find the filemark or end of data it looked for.
    pub const fn is_entity_not_found(&self) -> bool {
        !self.deferred
            && self.asc == 0x14
            && matches!(
                self.key,
                SenseKey::BlankCheck | SenseKey::MediumError | SenseKey::AbortedCommand
            )
    }

    /// No cartridge in the drive (also: only its memory is readable).
    pub const fn is_medium_not_present(&self) -> bool {
        matches!(self.key, SenseKey::NotReady) && self.asc == 0x3a && !self.is_station_open()
    }

    /// A changer's import/export station or magazine is open.
    pub const fn is_station_open(&self) -> bool {
        matches!(self.key, SenseKey::NotReady) && self.has(0x3a, 0x02)
    }

    /// Getting ready by itself: wait. Includes 2/31/00, which drives show while a load goes on.
    pub const fn is_becoming_ready(&self) -> bool {
        matches!(self.key, SenseKey::NotReady) && (self.has(0x04, 0x01) || self.has(0x31, 0x00))
    }

    /// A cartridge is there but not threaded: LOAD makes the drive ready.
    pub const fn needs_load(&self) -> bool {
        matches!(self.key, SenseKey::NotReady) && self.has(0x04, 0x02)
    }

    /// Formatting, erasing or another immediate operation is going on: wait.
    pub const fn is_operation_in_progress(&self) -> bool {
        match self.key {
            SenseKey::NotReady => self.has(0x04, 0x04) || self.has(0x04, 0x07),
            SenseKey::NoSense => {
                self.has(0x00, 0x16)
                    || self.has(0x00, 0x18)
                    || self.has(0x00, 0x19)
                    || self.has(0x00, 0x1a)
                    || self.has(0x04, 0x04)
            }
            _ => false,
        }
    }

    /// Only a person can make the unit ready: door open, manual intervention, off line.
    pub const fn needs_operator(&self) -> bool {
        matches!(self.key, SenseKey::NotReady)
            && self.asc == 0x04
            && matches!(self.ascq, 0x03 | 0x12 | 0x18)
    }

    /// Something that moves did not get where it should: a robot that is stuck (SPC-4 annex D, 15h).
    pub const fn is_positioning_failure(&self) -> bool {
        matches!(self.key, SenseKey::NotReady | SenseKey::HardwareError) && self.asc == 0x15
    }

    /// Loading, unloading or threading failed.
    pub const fn is_load_failure(&self) -> bool {
        matches!(self.key, SenseKey::NotReady | SenseKey::MediumError | SenseKey::HardwareError)
            && (self.has(0x53, 0x00) || self.has(0x53, 0x04))
    }

    /// A cleaning cartridge is in the drive, or cleaning failed.
    pub const fn is_cleaning_cartridge(&self) -> bool {
        matches!(self.key, SenseKey::NotReady)
            && self.asc == 0x30
            && matches!(self.ascq, 0x03 | 0x07 | 0x0b | 0x13)
    }

    /// The command succeeded and the drive asks for cleaning.
    pub const fn is_cleaning_requested(&self) -> bool {
        self.harmless_key() && (self.has(0x00, 0x17) || self.has(0x82, 0x82))
    }

    /// Something happened to the unit since the last command: medium changed, reset, parameters
    /// changed. The command was *not* executed; position and options are lost.
    pub const fn is_unit_attention(&self) -> bool {
        matches!(self.key, SenseKey::UnitAttention)
    }

    /// Unit attention: the medium may be another one.
    pub const fn is_medium_changed(&self) -> bool {
        self.is_unit_attention() && self.asc == 0x28
    }

    /// Unit attention: power on, reset or nexus loss.
    pub const fn is_reset(&self) -> bool {
        self.is_unit_attention() && self.asc == 0x29
    }

    /// The tape cannot be written: tab, operator, or a generation this drive only reads.
    pub const fn is_write_protected(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect)
            && (self.asc == 0x27
                || self.has(0x5a, 0x02)
                || self.has(0x30, 0x00)
                || self.has(0x30, 0x05))
    }

    /// A WORM tape refused overwriting, or its integrity check failed.
    pub const fn is_worm_violation(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect) && (self.has(0x30, 0x0c) || self.has(0x30, 0x0d))
    }

    /// The drive cannot take or read this kind of medium (generation, format).
    pub const fn is_incompatible_medium(&self) -> bool {
        self.asc == 0x30 && matches!(self.ascq, 0x00 | 0x01 | 0x02 | 0x05)
    }

    /// The block is encrypted and the present key and settings cannot read it.
    pub const fn is_undecryptable(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect)
            && self.asc == 0x74
            && !self.is_encryption_prevented()
    }

    /// Unit attention: somebody changed the encryption parameters that were in force. Neither tape nor
    /// position changed.
    pub const fn is_encryption_changed(&self) -> bool {
        self.is_unit_attention() && self.asc == 0x2a && matches!(self.ascq, 0x11..=0x13)
    }

    /// Hosts may not set encryption parameters: a library or a key manager does.
    pub const fn is_encryption_prevented(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect | SenseKey::IllegalRequest)
            && (self.has(0x74, 0x21) || self.has(0x74, 0x61))
    }

    /// Too many keys did not fit: the drive takes no more until the tape is unloaded.
    pub const fn is_key_fail_limit(&self) -> bool {
        matches!(self.key, SenseKey::DataProtect) && self.has(0x26, 0x10)
    }

    /// The drive or the way to it does not do security protocols as hosts need them: IBM's vendor codes
    /// for its own key service.
    pub const fn is_vendor_key_service(&self) -> bool {
        matches!(self.asc, 0xee | 0xef)
    }

    /// Logical block protection: a block's check value was wrong between host and drive.
    pub const fn is_protection_failure(&self) -> bool {
        matches!(self.key, SenseKey::HardwareError)
            && (self.has(0x10, 0x01) || self.has(0x10, 0x04))
    }

    /// Damaged medium.
    pub const fn is_medium_error(&self) -> bool {
        matches!(self.key, SenseKey::MediumError)
    }

    /// Failing device.
    pub const fn is_hardware_error(&self) -> bool {
        matches!(self.key, SenseKey::HardwareError)
    }

    /// The device does not know the operation code.
    pub const fn is_invalid_opcode(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest) && self.has(0x20, 0x00)
    }

    /// The device does not know the command, a field of it or a value in its parameters: a feature
    /// it lacks rather than a fault.
    pub const fn is_unsupported(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest)
            && (self.has(0x20, 0x00) || self.has(0x24, 0x00) || self.has(0x26, 0x00))
    }

    /// The device understood the command and does not want to, whatever the reason: nothing happened to
    /// tape or device.
    pub const fn is_refusal(&self) -> bool {
        !self.deferred && matches!(self.key, SenseKey::IllegalRequest | SenseKey::DataProtect)
    }

    /// An element address behind the last one (some devices call it an invalid CDB field).
    pub const fn is_invalid_element(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest) && self.has(0x21, 0x01)
    }

    /// MOVE MEDIUM: the destination holds a cartridge.
    pub const fn is_destination_full(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest | SenseKey::HardwareError)
            && self.has(0x3b, 0x0d)
    }

    /// MOVE MEDIUM: the source holds none.
    pub const fn is_source_empty(&self) -> bool {
        matches!(self.key, SenseKey::IllegalRequest | SenseKey::HardwareError)
            && self.has(0x3b, 0x0e)
    }

    /// MOVE MEDIUM: the drive has not unloaded the cartridge, or its removal is prevented.
    pub const fn is_removal_prevented(&self) -> bool {
        self.asc == 0x53 && matches!(self.ascq, 0x01..=0x03)
    }
}
