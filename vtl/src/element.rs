//! The elements of a library: their kinds, addresses and numbers (SMC-3 §4.2).

use serde::Serialize;

/// Kinds of elements (SMC-3 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ElementKind {
    /// The robot's gripper.
    Transport,
    /// A storage slot.
    Slot,
    /// An import/export slot.
    ImportExport,
    /// A drive.
    Drive,
}

/// Element address of the robot's gripper.
pub(crate) const TRANSPORT_FIRST: u16 = 1;
/// Element address of the first import/export slot.
pub(crate) const IMPORT_EXPORT_FIRST: u16 = 16;
/// Element address of the first drive.
pub(crate) const DRIVE_FIRST: u16 = 256;
/// Element address of the first storage slot.
pub(crate) const SLOT_FIRST: u16 = 1024;
/// Ranges must not overlap.
pub(crate) const IMPORT_EXPORT_MAX: u16 = DRIVE_FIRST - IMPORT_EXPORT_FIRST;
/// See [`IMPORT_EXPORT_MAX`].
pub(crate) const DRIVES_MAX: u16 = SLOT_FIRST - DRIVE_FIRST;
/// See [`IMPORT_EXPORT_MAX`].
pub(crate) const SLOTS_MAX: u16 = u16::MAX - SLOT_FIRST;

/// The address of an element.
pub(crate) fn address_of(kind: ElementKind, number: u16) -> u16 {
    let first = match kind {
        ElementKind::Transport => TRANSPORT_FIRST,
        ElementKind::Slot => SLOT_FIRST,
        ElementKind::ImportExport => IMPORT_EXPORT_FIRST,
        ElementKind::Drive => DRIVE_FIRST,
    };
    first.saturating_add(number)
}

/// Kinds by ascending address.
pub(crate) const KINDS: [ElementKind; 4] =
    [ElementKind::Transport, ElementKind::ImportExport, ElementKind::Drive, ElementKind::Slot];
