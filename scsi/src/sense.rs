//! Sense data (SPC-4 §4.5): what a device says when a command did not simply work.
//!
//! Half of what tape drives report this way is no error: a filemark met by READ, early warning on a
//! WRITE whose block *is* on the tape, the end of the recorded data. [`Sense`] therefore answers
//! questions ("is this early warning?") instead of leaving codes to be compared all over the house,
//! and it is used from both sides: [`Sense::parse`] by a host, [`Sense::to_fixed`] and
//! [`Sense::to_descriptor`] by an emulated device.
//!
//! Fixed format (response code 70h current, 71h deferred):
//!
//! | byte | content |
//! |--:|---|
//! | 0 | VALID 80h, response code |
//! | 2 | FILEMARK 80h, EOM 40h, ILI 20h, sense key in the low four bits |
//! | 3–6 | INFORMATION, signed for tape drives, valid if VALID |
//! | 7 | additional length: bytes behind this one |
//! | 12, 13 | additional sense code and qualifier |
//! | 15–17 | SKSV 80h, then progress of 65536 (keys 0 and 2) |
//!
//! Descriptor format (72h, 73h): key in byte 1, code and qualifier in bytes 2 and 3, additional
//! length in byte 7, then descriptors {type, length, …}: 00h information, 02h sense key specific,
//! 04h stream commands (the three flags).

use std::fmt;

mod condition;
mod exception;
mod text;

pub use exception::ElementException;

#[cfg(test)]
mod tests;

/// Length of the fixed-format sense data that [`Sense::to_fixed`] builds.
pub const FIXED_LENGTH: usize = 18;

/// Sense key (SPC-4 table 48).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum SenseKey {
    NoSense = 0x0,
    RecoveredError = 0x1,
    NotReady = 0x2,
    MediumError = 0x3,
    HardwareError = 0x4,
    IllegalRequest = 0x5,
    UnitAttention = 0x6,
    DataProtect = 0x7,
    BlankCheck = 0x8,
    VendorSpecific = 0x9,
    CopyAborted = 0xa,
    AbortedCommand = 0xb,
    Reserved = 0xc,
    VolumeOverflow = 0xd,
    Miscompare = 0xe,
    Completed = 0xf,
}

impl SenseKey {
    /// From the low four bits of `byte`.
    pub const fn from_byte(byte: u8) -> SenseKey {
        match byte & 0x0f {
            0x0 => SenseKey::NoSense,
            0x1 => SenseKey::RecoveredError,
            0x2 => SenseKey::NotReady,
            0x3 => SenseKey::MediumError,
            0x4 => SenseKey::HardwareError,
            0x5 => SenseKey::IllegalRequest,
            0x6 => SenseKey::UnitAttention,
            0x7 => SenseKey::DataProtect,
            0x8 => SenseKey::BlankCheck,
            0x9 => SenseKey::VendorSpecific,
            0xa => SenseKey::CopyAborted,
            0xb => SenseKey::AbortedCommand,
            0xc => SenseKey::Reserved,
            0xd => SenseKey::VolumeOverflow,
            0xe => SenseKey::Miscompare,
            _ => SenseKey::Completed,
        }
    }

    /// The number on the wire, 0 to 15.
    pub const fn to_byte(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SenseKey::NoSense => "no error",
            SenseKey::RecoveredError => "recovered error",
            SenseKey::NotReady => "not ready",
            SenseKey::MediumError => "medium error",
            SenseKey::HardwareError => "hardware error",
            SenseKey::IllegalRequest => "request refused",
            SenseKey::UnitAttention => "unit attention",
            SenseKey::DataProtect => "data protected",
            SenseKey::BlankCheck => "blank check",
            SenseKey::VendorSpecific => "vendor specific condition",
            SenseKey::CopyAborted => "copy aborted",
            SenseKey::AbortedCommand => "command aborted by the device",
            SenseKey::Reserved => "reserved sense key",
            SenseKey::VolumeOverflow => "end of medium",
            SenseKey::Miscompare => "miscompare",
            SenseKey::Completed => "completed",
        })
    }
}

/// Decoded sense data, of fixed or descriptor format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sense {
    /// Sense key.
    pub key: SenseKey,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// FILEMARK bit: a filemark was met.
    pub filemark: bool,
    /// EOM bit: at or behind early warning, or at the beginning of the medium.
    pub end_of_medium: bool,
    /// ILI bit: the block had another length than asked for.
    pub incorrect_length: bool,
    /// INFORMATION field if VALID: residual of a read or write, count not done of a SPACE.
    pub information: Option<i64>,
    /// Progress of a running operation in 1/65536 (keys NO SENSE and NOT READY only).
    pub progress: Option<u16>,
    /// Response codes 71h/73h: the condition belongs to an earlier command.
    pub deferred: bool,
}

/// Building, and the conditions that an emulated device reports by name.
impl Sense {
    /// No condition pending: answer of REQUEST SENSE when there is nothing to tell.
    pub const NONE: Sense = Sense::new(SenseKey::NoSense, 0x00, 0x00);
    /// READ or SPACE met a filemark (0/00/01, FILEMARK bit).
    pub const FILEMARK: Sense = Sense::new(SenseKey::NoSense, 0x00, 0x01).with_filemark();
    /// Behind early warning; the block is written (0/00/02, EOM bit, INFORMATION 0).
    pub const EARLY_WARNING: Sense =
        Sense::new(SenseKey::NoSense, 0x00, 0x02).with_end_of_medium().with_information(0);
    /// Behind the programmable early warning; the block is written (0/00/07, EOM bit).
    pub const PROGRAMMABLE_EARLY_WARNING: Sense =
        Sense::new(SenseKey::NoSense, 0x00, 0x07).with_end_of_medium().with_information(0);
    /// Spaced back to the beginning of the partition (0/00/04, EOM bit).
    pub const BEGINNING_OF_MEDIUM: Sense =
        Sense::new(SenseKey::NoSense, 0x00, 0x04).with_end_of_medium();
    /// End of the recorded data (8/00/05).
    pub const END_OF_DATA: Sense = Sense::new(SenseKey::BlankCheck, 0x00, 0x05);
    /// Physical end of the medium, the block was not written (D/00/02, EOM bit).
    pub const VOLUME_OVERFLOW: Sense =
        Sense::new(SenseKey::VolumeOverflow, 0x00, 0x02).with_end_of_medium();
    /// No cartridge (2/3A/00).
    pub const MEDIUM_NOT_PRESENT: Sense = Sense::new(SenseKey::NotReady, 0x3a, 0x00);
    /// Import/export station or magazine open (2/3A/02).
    pub const STATION_OPEN: Sense = Sense::new(SenseKey::NotReady, 0x3a, 0x02);
    /// Getting ready by itself (2/04/01).
    pub const BECOMING_READY: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x01);
    /// In the drive but not threaded: LOAD needed (2/04/02).
    pub const NEEDS_LOAD: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x02);
    /// FORMAT MEDIUM in progress (2/04/04).
    pub const FORMAT_IN_PROGRESS: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x04);
    /// An immediate operation is in progress (2/04/07).
    pub const OPERATION_IN_PROGRESS: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x07);
    /// The unit is off line (2/04/12).
    pub const OFFLINE: Sense = Sense::new(SenseKey::NotReady, 0x04, 0x12);
    /// Cleaning cartridge in the drive (2/30/03).
    pub const CLEANING_CARTRIDGE: Sense = Sense::new(SenseKey::NotReady, 0x30, 0x03);
    /// A medium that this drive cannot take (2/30/00).
    pub const INCOMPATIBLE_MEDIUM: Sense = Sense::new(SenseKey::NotReady, 0x30, 0x00);
    /// Power on or reset (6/29/00).
    pub const POWER_ON: Sense = Sense::new(SenseKey::UnitAttention, 0x29, 0x00);
    /// The connection to the unit was lost and made anew (6/29/07, I_T NEXUS LOSS OCCURRED).
    pub const NEXUS_LOSS: Sense = Sense::new(SenseKey::UnitAttention, 0x29, 0x07);
    /// The medium may have changed (6/28/00).
    pub const MEDIUM_CHANGED: Sense = Sense::new(SenseKey::UnitAttention, 0x28, 0x00);
    /// Import or export element accessed (6/28/01).
    pub const STATION_ACCESSED: Sense = Sense::new(SenseKey::UnitAttention, 0x28, 0x01);
    /// Mode parameters changed by another host (6/2A/01).
    pub const MODE_PARAMETERS_CHANGED: Sense = Sense::new(SenseKey::UnitAttention, 0x2a, 0x01);
    /// Encryption parameters changed by another host (6/2A/11).
    pub const ENCRYPTION_CHANGED: Sense = Sense::new(SenseKey::UnitAttention, 0x2a, 0x11);
    /// Encryption parameters changed by somebody who is no host (6/2A/12).
    pub const ENCRYPTION_CHANGED_ELSEWHERE: Sense = Sense::new(SenseKey::UnitAttention, 0x2a, 0x12);
    /// The parameters that this host locked are no longer in force (7/2A/13).
    pub const LOCKED_KEY_CHANGED: Sense = Sense::new(SenseKey::DataProtect, 0x2a, 0x13);
    /// Too many keys that did not fit (7/26/10).
    pub const KEY_FAIL_LIMIT: Sense = Sense::new(SenseKey::DataProtect, 0x26, 0x10);
    /// An encrypted block and no key (7/74/01).
    pub const NO_KEY: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x01);
    /// A plain block while only encrypted ones are read (7/74/02).
    pub const NOT_ENCRYPTED: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x02);
    /// A block that was encrypted with another key (7/74/03).
    pub const WRONG_KEY: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x03);
    /// An encrypted block that was changed (7/74/04).
    pub const ENCRYPTED_BLOCK_CHANGED: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x04);
    /// An encrypted block that this drive cannot decrypt (7/74/05).
    pub const DECRYPTION_FAILED: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x05);
    /// Encryption parameters that do not go with this tape (7/74/07).
    pub const ENCRYPTION_NOT_USABLE: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x07);
    /// An encrypted block that may not be read raw (7/74/0A).
    pub const NOT_RAW_READABLE: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x0a);
    /// Hosts may not set encryption parameters (7/74/21).
    pub const ENCRYPTION_PREVENTED: Sense = Sense::new(SenseKey::DataProtect, 0x74, 0x21);
    /// Unknown operation code (5/20/00).
    pub const INVALID_OPCODE: Sense = Sense::new(SenseKey::IllegalRequest, 0x20, 0x00);
    /// Invalid field in the CDB (5/24/00).
    pub const INVALID_FIELD_IN_CDB: Sense = Sense::new(SenseKey::IllegalRequest, 0x24, 0x00);
    /// Invalid field in the parameter list (5/26/00).
    pub const INVALID_FIELD_IN_PARAMETERS: Sense = Sense::new(SenseKey::IllegalRequest, 0x26, 0x00);
    /// Parameter list cut in the middle (5/1A/00).
    pub const PARAMETER_LIST_LENGTH: Sense = Sense::new(SenseKey::IllegalRequest, 0x1a, 0x00);
    /// No such logical unit (5/25/00).
    pub const NO_SUCH_UNIT: Sense = Sense::new(SenseKey::IllegalRequest, 0x25, 0x00);
    /// Saving parameters not supported (5/39/00).
    pub const SAVING_NOT_SUPPORTED: Sense = Sense::new(SenseKey::IllegalRequest, 0x39, 0x00);
    /// FORMAT MEDIUM away from the beginning (5/3B/0C).
    pub const NOT_AT_BEGINNING: Sense = Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0c);
    /// Element address that does not exist (5/21/01).
    pub const INVALID_ELEMENT: Sense = Sense::new(SenseKey::IllegalRequest, 0x21, 0x01);
    /// The destination of a move is full (5/3B/0D).
    pub const DESTINATION_FULL: Sense = Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0d);
    /// The source of a move is empty (5/3B/0E).
    pub const SOURCE_EMPTY: Sense = Sense::new(SenseKey::IllegalRequest, 0x3b, 0x0e);
    /// The medium's removal is prevented (5/53/02).
    pub const REMOVAL_PREVENTED: Sense = Sense::new(SenseKey::IllegalRequest, 0x53, 0x02);
    /// The tape is write protected (7/27/00).
    pub const WRITE_PROTECTED: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x00);
    /// WORM medium: overwriting refused (7/30/0C).
    pub const WORM_OVERWRITE: Sense = Sense::new(SenseKey::DataProtect, 0x30, 0x0c);
    /// Unrecovered read error (3/11/00).
    pub const READ_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x11, 0x00);
    /// Write error (3/0C/00).
    pub const WRITE_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x0c, 0x00);
    /// The check value of a block was wrong, and it was not written (4/10/01).
    pub const PROTECTION_CHECK_FAILED: Sense = Sense::new(SenseKey::HardwareError, 0x10, 0x01);
    /// A method of block protection that the drive does not have (5/10/05).
    pub const PROTECTION_METHOD: Sense = Sense::new(SenseKey::IllegalRequest, 0x10, 0x05);
    /// Positioning failed on the medium (3/3B/00).
    pub const POSITIONING_ERROR: Sense = Sense::new(SenseKey::MediumError, 0x3b, 0x00);
    /// Loading or unloading the medium failed (4/53/00).
    pub const LOAD_FAILED: Sense = Sense::new(SenseKey::HardwareError, 0x53, 0x00);
    /// The robot's mechanics failed to position (4/15/01).
    pub const ROBOT_FAILED: Sense = Sense::new(SenseKey::HardwareError, 0x15, 0x01);

    /// A current condition without flags and information.
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Sense {
        Sense {
            key,
            asc,
            ascq,
            filemark: false,
            end_of_medium: false,
            incorrect_length: false,
            information: None,
            progress: None,
            deferred: false,
        }
    }

    /// The same with the FILEMARK bit.
    pub const fn with_filemark(mut self) -> Sense {
        self.filemark = true;
        self
    }

    /// The same with the EOM bit.
    pub const fn with_end_of_medium(mut self) -> Sense {
        self.end_of_medium = true;
        self
    }

    /// The same with the ILI bit.
    pub const fn with_incorrect_length(mut self) -> Sense {
        self.incorrect_length = true;
        self
    }

    /// The same with VALID and INFORMATION.
    pub const fn with_information(mut self, information: i64) -> Sense {
        self.information = Some(information);
        self
    }

    /// The same with a progress indication in 1/65536.
    pub const fn with_progress(mut self, progress: u16) -> Sense {
        self.progress = Some(progress);
        self
    }

    /// The same as a deferred condition, which belongs to an earlier command.
    pub const fn as_deferred(mut self) -> Sense {
        self.deferred = true;
        self
    }
}

/// The byte formats.
impl Sense {
    /// Decodes fixed (70h, 71h) or descriptor (72h, 73h) sense data.
    ///
    /// `None` if the bytes are no sense data: empty, cut before the key, or an unknown response
    /// code. Missing later fields read as zero, as SPC-4 §4.5.3 tells hosts to take them.
    pub fn parse(bytes: &[u8]) -> Option<Sense> {
        match bytes.first()? & 0x7f {
            0x70 | 0x71 => Sense::parse_fixed(bytes),
            0x72 | 0x73 => Sense::parse_descriptors(bytes),
            _ => None,
        }
    }

    fn parse_fixed(bytes: &[u8]) -> Option<Sense> {
        let first = *bytes.first()?;
        let flags = *bytes.get(2)?;
        // Byte 7 tells how much the device really filled in; what lies behind may be stale.
        let length = match bytes.get(7) {
            Some(additional) => bytes.len().min(8 + usize::from(*additional)),
            None => bytes.len(),
        };
        let bytes = bytes.get(..length)?;
        let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
        let key = SenseKey::from_byte(flags);
        let information = (first & 0x80 != 0 && bytes.len() >= 7)
            .then(|| i64::from(i32::from_be_bytes([at(3), at(4), at(5), at(6)])));
        let progress = progress_of(key, &[at(15), at(16), at(17)]);
        Some(Sense {
            key,
            asc: at(12),
            ascq: at(13),
            filemark: flags & 0x80 != 0,
            end_of_medium: flags & 0x40 != 0,
            incorrect_length: flags & 0x20 != 0,
            information,
            progress,
            deferred: first & 0x7f == 0x71,
        })
    }

    fn parse_descriptors(bytes: &[u8]) -> Option<Sense> {
        let (head, rest) = bytes.split_first_chunk::<4>()?;
        let [response, key, asc, ascq] = *head;
        let mut sense = Sense::new(SenseKey::from_byte(key), asc, ascq);
        sense.deferred = response & 0x7f == 0x73;
        let additional = usize::from(rest.get(3).copied().unwrap_or(0));
        let mut descriptors = rest.get(4..).unwrap_or(&[]);
        descriptors = descriptors.get(..additional.min(descriptors.len())).unwrap_or(&[]);
        // Each round consumes at least the two bytes of a descriptor's head.
        while let [kind, length, tail @ ..] = descriptors {
            let length = usize::from(*length).min(tail.len());
            let (body, next) = tail.split_at(length);
            match (kind, body) {
                (0x00, [valid, _, a, b, c, d, e, f, g, h, ..]) if valid & 0x80 != 0 => {
                    sense.information = Some(i64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
                }
                (0x02, [_, _, a, b, c, ..]) => {
                    sense.progress = progress_of(sense.key, &[*a, *b, *c]);
                }
                (0x04, [_, flags, ..]) => {
                    sense.filemark = flags & 0x80 != 0;
                    sense.end_of_medium = flags & 0x40 != 0;
                    sense.incorrect_length = flags & 0x20 != 0;
                }
                _ => {}
            }
            descriptors = next;
        }
        Some(sense)
    }

    /// Fixed-format sense data. An INFORMATION that needs more than 32 bits is left out (VALID
    /// clear), as SPC-4 §4.5.3 demands.
    pub fn to_fixed(&self) -> [u8; FIXED_LENGTH] {
        let mut bytes = [0u8; FIXED_LENGTH];
        bytes[0] = if self.deferred { 0x71 } else { 0x70 };
        bytes[2] = self.key.to_byte() | self.flags();
        if let Some(information) = self.information.and_then(|i| i32::try_from(i).ok()) {
            bytes[0] |= 0x80;
            bytes[3..7].copy_from_slice(&information.to_be_bytes());
        }
        bytes[7] = (FIXED_LENGTH - 8) as u8;
        bytes[12] = self.asc;
        bytes[13] = self.ascq;
        if let Some(progress) = self.progress {
            bytes[15] = 0x80;
            bytes[16..18].copy_from_slice(&progress.to_be_bytes());
        }
        bytes
    }

    /// Descriptor-format sense data with the descriptors that this condition needs.
    pub fn to_descriptor(&self) -> Vec<u8> {
        let mut descriptors = Vec::with_capacity(24);
        if let Some(information) = self.information {
            descriptors.extend_from_slice(&[0x00, 0x0a, 0x80, 0x00]);
            descriptors.extend_from_slice(&information.to_be_bytes());
        }
        if let Some(progress) = self.progress {
            let [high, low] = progress.to_be_bytes();
            descriptors.extend_from_slice(&[0x02, 0x06, 0x00, 0x00, 0x80, high, low, 0x00]);
        }
        if self.flags() != 0 {
            descriptors.extend_from_slice(&[0x04, 0x02, 0x00, self.flags()]);
        }
        let response = if self.deferred { 0x73 } else { 0x72 };
        let mut bytes = vec![response, self.key.to_byte(), self.asc, self.ascq, 0, 0, 0];
        bytes.push(descriptors.len() as u8);
        bytes.extend_from_slice(&descriptors);
        bytes
    }

    fn flags(&self) -> u8 {
        u8::from(self.filemark) << 7
            | u8::from(self.end_of_medium) << 6
            | u8::from(self.incorrect_length) << 5
    }
}

fn progress_of(key: SenseKey, specific: &[u8; 3]) -> Option<u16> {
    // The sense-key specific bytes mean progress only for these two keys (SPC-4 table 49).
    let applies = matches!(key, SenseKey::NoSense | SenseKey::NotReady);
    (applies && specific[0] & 0x80 != 0).then(|| u16::from_be_bytes([specific[1], specific[2]]))
}

/// The condition in words a person understands, with the numbers a manual explains:
/// `not ready: medium not present (2/3a/00)`.
impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.deferred {
            f.write_str("error of an earlier command: ")?;
        }
        write!(f, "{}", self.key)?;
        match text::describe(self.asc, self.ascq) {
            Some(text) => write!(f, ": {text}")?,
            None if self.asc >= 0x80 || self.ascq >= 0x80 => f.write_str(": vendor code")?,
            None => {}
        }
        write!(f, " ({:x}/{:02x}/{:02x})", self.key.to_byte(), self.asc, self.ascq)
    }
}
