//! Transcripts: commands of a device with its answers, as text.
//!
//! A robot that answers oddly stands in somebody else's computer room. Its owner records what it answers
//! ([`Recorder`], a [`Transport`] around the real one), looks at the text, and sends it; here it is played
//! ([`Replay`], a [`Transport`] without a device) and stays as a test. The format is documented in
//! `docs/formats/transcript.md`; [`Transcript`] is what it means, `format` the only place that knows its letters.
//!
//! Reading is total: any bytes give a transcript or an error with the line's number, and what is kept is
//! bounded ([`BYTES_MAX`]) however much a line like `00*99999999` asks for.

mod format;
mod mask;
mod record;
mod replay;

#[cfg(test)]
mod tests;

pub use record::Recorder;
pub use replay::Replay;

use thiserror::Error as ThisError;

/// Most bytes of commands and data that a transcript holds.
pub const BYTES_MAX: usize = 64 << 20;

/// Commands and answers of one device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// Vendor of the INQUIRY data.
    pub vendor: String,
    /// Product of the INQUIRY data.
    pub product: String,
    /// Revision of the INQUIRY data.
    pub revision: String,
    /// How it came about (`recorded`, `described`).
    pub origin: String,
    /// Bar codes and serial numbers were replaced.
    pub is_masked: bool,
    /// What happened, in order.
    pub exchanges: Vec<Exchange>,
}

/// One command and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The command: 6, 10, 12 or 16 bytes.
    pub cdb: Vec<u8>,
    /// What the host sent.
    pub data_out: Vec<u8>,
    /// What the device sent.
    pub data_in: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The device ended it.
    Status {
        /// SCSI status byte.
        status: u8,
        /// Sense data as sent, empty without.
        sense: Vec<u8>,
    },
    /// No answer within this time.
    Timeout {
        /// What was allowed, in seconds.
        seconds: u64,
    },
    /// The command was not carried.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

/// Why a text is no transcript.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("line {line}: {reason}")]
pub struct TranscriptError {
    /// Number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}
