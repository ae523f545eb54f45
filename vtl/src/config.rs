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
}

/// How many elements a library has, apart from its one transport.
pub(crate) struct Counts {
    pub drives: u16,
    pub slots: u16,
    pub import_export: u16,
}

impl LibraryConfig {
    /// The configuration of a new library.
    pub fn new(
        id: u64,
        generation: Generation,
        counts: &Counts,
        capacity_bytes: Option<u64>,
        personality: Personality,
        timing: Timing,
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
            timing,
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
