//! Cleaning a drive with its library's cleaning cartridge, and whether it helped.
//!
//! The robot brings the cartridge, the drive cleans by itself and gives it back ([`changer::Changer::clean`]).
//! Afterwards the drive is asked: a cleaning cartridge that is used up or of the wrong kind shows in its
//! TapeAlert flags and nowhere else, and a drive that was not really cleaned must not count as clean.

use datastore::Progress;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::station::DriveStation;

/// A drive that was cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cleaned {
    /// The drive's name.
    pub drive: String,
    /// Bar code of the cleaning cartridge.
    pub label_text: String,
    /// The slot in which it is again.
    pub slot: u64,
    /// The drive still asks to be cleaned.
    pub still_requested: bool,
}

/// Cleans the station's drive. A tape in it is put back first.
///
/// # Errors
///
/// A drive without changer; no cleaning cartridge; [`Error::CriticalAlerts`] if the drive reports trouble
/// afterwards, among it a cleaning cartridge that is used up.
pub fn clean(station: &DriveStation, progress: &dyn Progress) -> Result<Cleaned> {
    let drive = station.config().name.clone();
    progress.note(&format!("cleaning drive {drive}, which takes some minutes"));
    let done = station.open_changer()?.clean(station.config().changer_drive)?;
    let alerts = station.open_drive()?.tape_alerts()?;
    if alerts.is_critical() {
        let names: Vec<&str> =
            alerts.named().filter(|flag| flag.refuse).map(|flag| flag.name).collect();
        return Err(Error::CriticalAlerts { tape: done.label, alerts: names.join(" | ") });
    }
    Ok(Cleaned {
        drive,
        label_text: done.label,
        slot: done.slot,
        still_requested: alerts.is_cleaning_request(),
    })
}
