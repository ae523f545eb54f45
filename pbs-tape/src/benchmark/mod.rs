//! How fast disk and drive are, each alone and both together, and what follows for the feed: what `tape benchmark` measures.
//!
//! | part | what is done | file |
//! |---|---|---|
//! | disk | chunks are read as a job reads them, with 1, 2, 4 and 8 readers, none of them from memory | `disk` |
//! | drive | bytes that do not compress are written, read back and compared, and the tape is moved | `drive` |
//! | together | a feed reads the datastore into the drive | `together` |
//! | advice | readers and buffer for `[feed]`, a pure function of these figures | `advice` |
//!
//! The drive's parts write over a cartridge. Which one may be written over, and what is left on it, is decided in `cartridge`, and
//! that is where its safety is argued.
//!
//! No figure is believed because of the data sheet: where a part could not measure something it says nothing.

mod advice;
mod cartridge;
mod disk;
mod drive;
mod noise;
mod together;

use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};

pub use advice::{Advice, advise};
pub use cartridge::{CartridgePlan, DriveOptions, look, run_on_cartridge};
pub use disk::{DiskOptions, DiskReport, DiskRun, measure_disk};
pub use drive::{DriveFigures, Locate};
pub use together::TogetherReport;

/// What time it is. Emulated libraries have a time of their own.
pub trait Clock: Sync {
    /// Time since some moment; never goes back.
    fn now(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct MachineClock(Instant);

impl MachineClock {
    /// Counts from now on.
    pub fn start() -> MachineClock {
        MachineClock(Instant::now())
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Everything that was measured.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BenchmarkReport {
    /// The disk side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<DiskReport>,
    /// The drive side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drive: Option<DriveFigures>,
    /// A feed into the drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub together: Option<TogetherReport>,
    /// What follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
}

fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests;
