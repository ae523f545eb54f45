//! An LTO tape drive.

mod error;

pub use error::{Error, Result};

/// What [`Drive::read_block`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A block of this many bytes; the tape stands behind it.
    Block(usize),
    /// A filemark; the tape stands behind it.
    Filemark,
    /// The end of the recorded data; the tape did not move.
    EndOfData,
}

/// A block is on its way to the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "early warning means that the tape must be finished soon"]
pub struct Written {
    /// The end of the tape is near (LEOM, or the programmable early warning). This block is written;
    /// what must still go onto this tape should go now.
    pub early_warning: bool,
}

/// Where the tape stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// File number: filemarks before the position.
    pub file: u64,
    /// Logical object number: blocks and filemarks before the position.
    pub object: u64,
}

/// A drive.
pub struct Drive {
    #[expect(dead_code, reason = "used as soon as the commands are here")]
    transport: Box<dyn scsi::Transport>,
}
