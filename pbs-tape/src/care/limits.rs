//! How much a cartridge is made for.
//!
//! | figure | LTO-1 | LTO-2 | LTO-3 on | from |
//! |---|--:|--:|--:|---|
//! | loads | 5,000 | 10,000 | 20,000 | table "Nominal cartridge life" of a drive maker's LTO-7 user's guide |
//! | passes of the tape over the heads, end to end | 16,000 | 16,000 | 16,000 | what programs for these drives count as 1.0 of wear (`docs/formats/care-history.md`) |
//!
//! Writing or reading a whole tape takes a pass for each of its wraps, which follow from published track counts (tracks ÷ heads). So
//! 16,000 passes are 285 full tapes of LTO-4 and 57 of LTO-9. A drive that tells what is left of a cartridge's life
//! (volume statistics, parameter 0019h) knows better; the worst of all figures counts.

use scsi::command::density::Density;

/// Passes over the heads in a cartridge's life.
pub const PASSES: u64 = 16_000;

/// Loads in the life of a cartridge of this format.
pub fn loads(density: Density) -> u64 {
    match density.rank() {
        1 => 5_000,
        2 => 10_000,
        _ => 20_000,
    }
}

/// Passes that it takes to write all of a tape of this format; `None` for formats that are not known.
pub fn wraps(density: Density) -> Option<u64> {
    Some(match density.rank() {
        1 => 48,
        2 => 64,
        3 => 44,
        4 => 56,
        5 => 80,
        6 => 136,
        7 => 112,
        8 => 168,
        9 => 208,
        10 => 280,
        11 | 12 => 472,
        _ => return None,
    })
}

/// How often a whole tape of this format may be written or read.
pub fn full_passes(density: Density) -> Option<f64> {
    Some(PASSES as f64 / wraps(density)? as f64)
}
