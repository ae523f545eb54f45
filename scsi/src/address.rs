//! The one form in which a user names a device.

/// Placeholder until parsed forms exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `/dev/sgN` or a link to it.
    Sg(std::path::PathBuf),
    /// `iscsi://host[:port]/target-iqn/lun`.
    Iscsi {
        /// Host name or address.
        host: String,
        /// TCP port.
        port: u16,
        /// Target name.
        target: String,
        /// Logical unit number.
        lun: u64,
    },
    /// `vtl:DIR#drive0` or `vtl:DIR#changer`.
    Vtl {
        /// The library's folder.
        dir: std::path::PathBuf,
        /// Which unit of it.
        unit: VtlUnit,
    },
}

/// A unit of an emulated library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VtlUnit {
    /// Drive number, from 0.
    Drive(u16),
    /// The robot.
    Changer,
}
