//! Which unit of a library is meant.

use scsi::address::VtlUnit;

/// A logical unit of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unit {
    /// Drive number, from 0.
    Drive(u16),
    /// The robot.
    Changer,
}

impl From<VtlUnit> for Unit {
    fn from(unit: VtlUnit) -> Unit {
        match unit {
            VtlUnit::Drive(number) => Unit::Drive(number),
            VtlUnit::Changer => Unit::Changer,
        }
    }
}
