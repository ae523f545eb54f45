//! Counting what went wrong: in the drive since it was switched on (log pages 02h, 03h, 14h), and in the cartridge for this load and
//! its life (log page 17h, attribute 0340h).

use super::{Drive, Medium};

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// To the tape.
    Write,
    /// From the tape.
    Read,
}

impl Drive {
    /// A read or write failed.
    pub(super) fn count_failure(&mut self, direction: Direction) {
        match direction {
            Direction::Write => self.record.write_errors += 1,
            Direction::Read => self.record.read_errors += 1,
        }
        if let Medium::Threaded(cartridge) = &mut self.medium {
            for counts in cartridge.state.present_errors() {
                match direction {
                    Direction::Write => counts.write_errors += 1,
                    Direction::Read => counts.read_errors += 1,
                }
            }
        }
    }

    /// A read or write succeeded after so many more tries.
    pub(super) fn count_retries(&mut self, direction: Direction, retries: u32) {
        let counter = match direction {
            Direction::Write => &mut self.record.write_retries,
            Direction::Read => &mut self.record.read_retries,
        };
        *counter = counter.saturating_add(retries);
        if let Medium::Threaded(cartridge) = &mut self.medium {
            for counts in cartridge.state.present_errors() {
                match direction {
                    Direction::Write => counts.write_retries += u64::from(retries),
                    Direction::Read => counts.read_retries += u64::from(retries),
                }
            }
        }
    }
}
