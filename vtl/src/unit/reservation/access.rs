//! Which commands a reservation of another host forbids (SPC-4 table 68, SSC-5 table 16, SMC-3
//! table 9).
//!
//! Three classes are enough. A command that is not named here works on the medium or changes
//! something, and conflicts: a new command is safe before anybody thinks of this table.

use scsi::command::opcode::*;
use scsi::command::reservation::Kind;

/// What a command needs of the unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Asks about the unit, or is part of reserving itself: always allowed.
    Free,
    /// The same, but not while another host has sent RESERVE.
    FreeUnlessReserved,
    /// Reads without moving anything: allowed under the types for exclusive writing.
    Reads,
    /// Everything else.
    Works,
}

impl Access {
    /// The class of a command.
    pub fn of(cdb: &[u8]) -> Access {
        let byte = |index: usize| cdb.get(index).copied().unwrap_or(0);
        match byte(0) {
            INQUIRY
            | REPORT_LUNS
            | REQUEST_SENSE
            | RELEASE_6
            | RELEASE_10
            | LOG_SENSE
            | READ_BLOCK_LIMITS
            | REPORT_DENSITY_SUPPORT => Access::Free,
            // They have rules of their own, see the module above.
            RESERVE_6 | RESERVE_10 => Access::Free,
            TEST_UNIT_READY | PERSISTENT_RESERVE_IN | PERSISTENT_RESERVE_OUT => {
                Access::FreeUnlessReserved
            }
            PREVENT_ALLOW_MEDIUM_REMOVAL if byte(4) & 0x03 == 0 => Access::Free,
            // CURDATA: does not move the robot.
            READ_ELEMENT_STATUS if byte(6) & 0x01 != 0 => Access::FreeUnlessReserved,
            READ_ATTRIBUTE | READ_BUFFER | READ_ELEMENT_STATUS | MAINTENANCE_IN
            | SECURITY_PROTOCOL_IN => Access::Reads,
            _ => Access::Works,
        }
    }

    /// True if it is refused while another host has sent RESERVE.
    pub fn conflicts_with_reserve(self) -> bool {
        self != Access::Free
    }

    /// True if it is refused under a persistent reservation that does not admit the sender.
    pub fn conflicts_with(self, kind: Kind) -> bool {
        match self {
            Access::Free | Access::FreeUnlessReserved => false,
            Access::Reads => !kind.lets_others_read(),
            Access::Works => true,
        }
    }
}
