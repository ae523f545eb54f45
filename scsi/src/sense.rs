//! Sense data (SPC-4 §4.5): what a device says when a command did not simply work.

use std::fmt;

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
    /// Response codes 71h/73h: the condition belongs to an earlier command.
    pub deferred: bool,
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:02x}/{:02x}", self.key, self.asc, self.ascq)
    }
}
