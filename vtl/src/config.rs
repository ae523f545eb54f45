//! `library.json`: what a library is.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::Timing;
use crate::durable;
use crate::element::{DRIVES_MAX, IMPORT_EXPORT_MAX, SLOTS_MAX};
use crate::error::{Error, Result};
use crate::generation::Generation;
use crate::personality::Personality;

/// Version of the folder's layout.
const VERSION: u32 = 1;
/// Content of `format` in `library.json`.
const FORMAT: &str = "capstan-vtl-library";

/// The content of `library.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LibraryConfig {
    format: String,
    version: u32,
    /// Random; serial numbers and world wide names come from it.
    pub id: u64,
    pub generation: Generation,
    pub drives: u16,
    pub slots: u16,
    pub import_export: u16,
    /// Capacity of cartridges that are added without saying.
    pub capacity_bytes: Option<u64>,
    /// Whose INQUIRY texts the units show.
    #[serde(default)]
    pub personality: Personality,
    /// Which time the library keeps.
    #[serde(default)]
    pub timing: Timing,
    /// How many times faster than the machine's clock the real one runs.
    #[serde(default = "machine_speed")]
    pub time_scale: u32,
}

/// Fastest real clock: a day goes by in 9 seconds.
const TIME_SCALE_MAX: u32 = 10_000;

fn machine_speed() -> u32 {
    1
}

/// Refuses a clock that stands still or runs too fast to be of use.
pub(crate) fn check_time_scale(scale: u32) -> Result<()> {
    if (1..=TIME_SCALE_MAX).contains(&scale) {
        return Ok(());
    }
    let reason =
        format!("a clock runs 1 to {TIME_SCALE_MAX} times as fast as the machine's, not {scale}");
    Err(Error::Options { reason })
}

/// How many elements a library has, apart from its one transport.
pub(crate) struct Counts {
    pub drives: u16,
    pub slots: u16,
    pub import_export: u16,
}

impl LibraryConfig {
    /// The configuration of a new library. `timing` has the scale of a real clock beside it.
    pub fn new(
        id: u64,
        generation: Generation,
        counts: &Counts,
        capacity_bytes: Option<u64>,
        personality: Personality,
        timing: (Timing, u32),
    ) -> LibraryConfig {
        LibraryConfig {
            format: FORMAT.into(),
            version: VERSION,
            id,
            generation,
            drives: counts.drives,
            slots: counts.slots,
            import_export: counts.import_export,
            capacity_bytes,
            personality,
            timing: timing.0,
            time_scale: timing.1,
        }
    }

    /// Reads the configuration of the library in `dir`.
    pub fn read(dir: &Path) -> Result<LibraryConfig> {
        let path = dir.join("library.json");
        let config: LibraryConfig = match durable::read_json(&path) {
            Ok(config) => config,
            Err(error) if error.is_missing() => {
                return Err(Error::NotALibrary {
                    dir: dir.to_path_buf(),
                    reason: "library.json is missing".into(),
                });
            }
            Err(error) => return Err(error),
        };
        if config.format != FORMAT || config.version != VERSION {
            return Err(Error::Malformed {
                path,
                reason: format!("{} version {} is not known", config.format, config.version),
            });
        }
        Counts { drives: config.drives, slots: config.slots, import_export: config.import_export }
            .check()?;
        check_time_scale(config.time_scale)?;
        if !config.generation.has_drives() {
            let reason = format!("there are no drives of {}", config.generation);
            return Err(Error::Malformed { path, reason });
        }
        Ok(config)
    }
}

impl Counts {
    /// Refuses numbers that the element addresses have no room for.
    pub fn check(&self) -> Result<()> {
        let Counts { drives, slots, import_export } = *self;
        let refuse = |reason: String| Err(Error::Options { reason });
        if !(1..=DRIVES_MAX).contains(&drives) {
            return refuse(format!("a library has 1 to {DRIVES_MAX} drives, not {drives}"));
        }
        if !(1..=SLOTS_MAX).contains(&slots) {
            return refuse(format!("a library has 1 to {SLOTS_MAX} slots, not {slots}"));
        }
        if import_export > IMPORT_EXPORT_MAX {
            return refuse(format!(
                "a library has at most {IMPORT_EXPORT_MAX} import/export slots, not {import_export}"
            ));
        }
        Ok(())
    }
}
