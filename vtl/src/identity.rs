//! What the units of a library say of who they are.

use crate::config::LibraryConfig;

/// Who made the cartridges of all libraries, whatever their drives show.
pub(crate) const VENDOR: &str = "CAPSTAN";
/// Product revision of all units.
pub(crate) const REVISION: &str = "0100";

/// An NAA 5h name that is unique to the unit of this library.
pub(crate) fn world_wide_name(id: u64, unit: u16) -> u64 {
    5 << 60 | (id & 0x0000_ffff_ffff) << 12 | u64::from(unit & 0x0fff)
}

/// The library's serial number.
pub(crate) fn library_serial(config: &LibraryConfig) -> String {
    format!("{:06X}L000", config.id & 0xff_ffff)
}
