//! How slowly drives can write.
//!
//! A drive matches its speed to its host's in steps, down to a slowest one. Below that it stops and starts.
//!
//! | format | slowest step in MB/s | from |
//! |---|--:|---|
//! | LTO-9 | 177 | user's guide of a full-height drive |
//! | LTO-8 | 112 | the same |
//! | LTO-10 | 177 | as LTO-9: none is published |
//! | LTO-4 to LTO-7, M8 | 40 | vendors' tables give "about 40" |
//!
//! Older formats are slower than any disk.

use scsi::command::density::Density;

/// Slowest speed in MB/s with a tape of this format; `None` for formats that are not known.
pub fn slowest_mb_per_s(density: Density) -> Option<u32> {
    match density {
        Density::LTO4 | Density::LTO5 | Density::LTO6 | Density::LTO7 | Density::LTO7M8 => Some(40),
        Density::LTO8 => Some(112),
        Density::LTO9 | Density::LTO10 | Density::LTO10P => Some(177),
        _ => None,
    }
}
