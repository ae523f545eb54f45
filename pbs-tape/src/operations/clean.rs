//! Cleaning a drive with its library's cleaning cartridge because an operator says so, and whether it helped.
//!
//! The robot brings the cartridge, the drive cleans by itself and gives it back. Afterwards the drive is asked: a
//! cleaning cartridge that is used up or of the wrong kind shows in its TapeAlert flags and nowhere else, and a drive
//! that was not really cleaned must not count as clean ([`crate::care::cleaning`]).

use datastore::Progress;

pub use crate::care::cleaning::Cleaned;
use crate::error::Result;
use crate::station::DriveStation;

/// Cleans the station's drive with the cartridge of bar code `label`, or with one that is not used up. A tape in the drive is put
/// back first.
///
/// # Errors
///
/// A drive without changer; no cleaning cartridge, or none with uses left;
/// [`CriticalAlerts`](crate::Error::CriticalAlerts) if the drive reports trouble afterwards.
pub fn clean(
    station: &DriveStation,
    label: Option<&str>,
    progress: &dyn Progress,
) -> Result<Cleaned> {
    station.clean(label, progress)
}
