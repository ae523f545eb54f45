//! How long commands may take.
//!
//! The makers of LTO drives publish a recommended time-out for each command and generation. A host
//! that waits less aborts commands that are merely slow, and an abort in the middle of a locate or an
//! erase costs the position or the job. Each value here is at least the longest published one of
//! LTO-5 to LTO-10.

use std::time::Duration;

/// Commands that need neither the tape nor the robot.
pub const SHORT: Duration = Duration::from_secs(60);
/// TEST UNIT READY and REQUEST SENSE.
pub const READY: Duration = Duration::from_secs(60);
/// READ: published 1500–2340 s (the drive's own error recovery).
pub const READ: Duration = Duration::from_secs(2400);
/// WRITE: published 1500–1560 s.
pub const WRITE: Duration = Duration::from_secs(1800);
/// WRITE FILEMARKS, which flushes the buffer: published 1620–1740 s.
pub const WRITE_FILEMARKS: Duration = Duration::from_secs(1800);
/// SPACE and LOCATE over the whole tape: published 2040–2940 s.
pub const POSITION: Duration = Duration::from_secs(3000);
/// REWIND: published 600–780 s.
pub const REWIND: Duration = Duration::from_secs(900);
/// LOAD UNLOAD: published 780–1020 s. The first load of an LTO-9 or LTO-10 cartridge may go on in
/// the background for two hours after the command.
pub const LOAD: Duration = Duration::from_secs(1200);
/// FORMAT MEDIUM: published 1560–3840 s, plus the media optimisation of LTO-9 (up to 7200 s).
pub const FORMAT: Duration = Duration::from_secs(3 * 3600);
/// ERASE with LONG=0.
pub const ERASE_SHORT: Duration = Duration::from_secs(3000);
/// ERASE with LONG=1: published up to 166370 s (half-high LTO-9).
pub const ERASE_LONG: Duration = Duration::from_secs(48 * 3600);
/// READ ELEMENT STATUS: a library may be taking inventory.
pub const ELEMENT_STATUS: Duration = Duration::from_secs(300);
/// MOVE MEDIUM: some libraries return only when the drive has loaded (38 minutes were seen).
pub const MOVE_MEDIUM: Duration = Duration::from_secs(2700);
/// INITIALIZE ELEMENT STATUS: every bar code is read again.
pub const INVENTORY: Duration = Duration::from_secs(1800);
