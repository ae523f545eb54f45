//! Operation codes: the first byte of a CDB (SPC-4, SSC-5 and SMC-3, tables of commands).

#![allow(missing_docs)]

pub const TEST_UNIT_READY: u8 = 0x00;
pub const REWIND: u8 = 0x01;
pub const REQUEST_SENSE: u8 = 0x03;
pub const FORMAT_MEDIUM: u8 = 0x04;
pub const READ_BLOCK_LIMITS: u8 = 0x05;
/// Changers only.
pub const INITIALIZE_ELEMENT_STATUS: u8 = 0x07;
pub const READ_6: u8 = 0x08;
pub const WRITE_6: u8 = 0x0a;
pub const SET_CAPACITY: u8 = 0x0b;
pub const WRITE_FILEMARKS_6: u8 = 0x10;
pub const SPACE_6: u8 = 0x11;
pub const INQUIRY: u8 = 0x12;
pub const VERIFY_6: u8 = 0x13;
pub const MODE_SELECT_6: u8 = 0x15;
pub const RESERVE_6: u8 = 0x16;
pub const RELEASE_6: u8 = 0x17;
pub const ERASE_6: u8 = 0x19;
pub const MODE_SENSE_6: u8 = 0x1a;
pub const LOAD_UNLOAD: u8 = 0x1b;
pub const SEND_DIAGNOSTIC: u8 = 0x1d;
pub const PREVENT_ALLOW_MEDIUM_REMOVAL: u8 = 0x1e;
pub const LOCATE_10: u8 = 0x2b;
/// Changers only; shares its code with LOCATE(10) of drives.
pub const POSITION_TO_ELEMENT: u8 = 0x2b;
pub const READ_POSITION: u8 = 0x34;
/// Changers only.
pub const INITIALIZE_ELEMENT_STATUS_WITH_RANGE: u8 = 0x37;
pub const WRITE_BUFFER: u8 = 0x3b;
pub const READ_BUFFER: u8 = 0x3c;
pub const REPORT_DENSITY_SUPPORT: u8 = 0x44;
pub const LOG_SELECT: u8 = 0x4c;
pub const LOG_SENSE: u8 = 0x4d;
pub const MODE_SELECT_10: u8 = 0x55;
pub const RESERVE_10: u8 = 0x56;
pub const RELEASE_10: u8 = 0x57;
pub const MODE_SENSE_10: u8 = 0x5a;
pub const PERSISTENT_RESERVE_IN: u8 = 0x5e;
pub const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
pub const ALLOW_OVERWRITE: u8 = 0x82;
pub const READ_ATTRIBUTE: u8 = 0x8c;
pub const WRITE_ATTRIBUTE: u8 = 0x8d;
pub const SPACE_16: u8 = 0x91;
pub const LOCATE_16: u8 = 0x92;
pub const REPORT_LUNS: u8 = 0xa0;
pub const SECURITY_PROTOCOL_IN: u8 = 0xa2;
pub const MAINTENANCE_IN: u8 = 0xa3;
pub const MAINTENANCE_OUT: u8 = 0xa4;
/// Changers only.
pub const MOVE_MEDIUM: u8 = 0xa5;
/// Changers only.
pub const EXCHANGE_MEDIUM: u8 = 0xa6;
pub const SECURITY_PROTOCOL_OUT: u8 = 0xb5;
/// Changers only.
pub const READ_ELEMENT_STATUS: u8 = 0xb8;
/// Older vendor code of INITIALIZE ELEMENT STATUS WITH RANGE.
pub const INITIALIZE_ELEMENT_STATUS_WITH_RANGE_VENDOR: u8 = 0xe7;

/// Length in bytes of a CDB with this operation code (SPC-4 §4.2.5.1); 16 for codes of vendors, which
/// may be shorter.
pub const fn cdb_bytes(opcode: u8) -> usize {
    match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    }
}

/// The command's name, for messages. `None` for codes that this crate does not know. 2Bh is named
/// by its meaning for tape drives.
pub const fn name(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        TEST_UNIT_READY => "TEST UNIT READY",
        REWIND => "REWIND",
        REQUEST_SENSE => "REQUEST SENSE",
        FORMAT_MEDIUM => "FORMAT MEDIUM",
        READ_BLOCK_LIMITS => "READ BLOCK LIMITS",
        INITIALIZE_ELEMENT_STATUS => "INITIALIZE ELEMENT STATUS",
        READ_6 => "READ",
        WRITE_6 => "WRITE",
        SET_CAPACITY => "SET CAPACITY",
        WRITE_FILEMARKS_6 => "WRITE FILEMARKS",
        SPACE_6 | SPACE_16 => "SPACE",
        INQUIRY => "INQUIRY",
        VERIFY_6 => "VERIFY",
        MODE_SELECT_6 | MODE_SELECT_10 => "MODE SELECT",
        RESERVE_6 | RESERVE_10 => "RESERVE",
        RELEASE_6 | RELEASE_10 => "RELEASE",
        ERASE_6 => "ERASE",
        MODE_SENSE_6 | MODE_SENSE_10 => "MODE SENSE",
        LOAD_UNLOAD => "LOAD UNLOAD",
        SEND_DIAGNOSTIC => "SEND DIAGNOSTIC",
        PREVENT_ALLOW_MEDIUM_REMOVAL => "PREVENT ALLOW MEDIUM REMOVAL",
        LOCATE_10 | LOCATE_16 => "LOCATE",
        READ_POSITION => "READ POSITION",
        INITIALIZE_ELEMENT_STATUS_WITH_RANGE | INITIALIZE_ELEMENT_STATUS_WITH_RANGE_VENDOR => {
            "INITIALIZE ELEMENT STATUS WITH RANGE"
        }
        WRITE_BUFFER => "WRITE BUFFER",
        READ_BUFFER => "READ BUFFER",
        REPORT_DENSITY_SUPPORT => "REPORT DENSITY SUPPORT",
        LOG_SELECT => "LOG SELECT",
        LOG_SENSE => "LOG SENSE",
        PERSISTENT_RESERVE_IN => "PERSISTENT RESERVE IN",
        PERSISTENT_RESERVE_OUT => "PERSISTENT RESERVE OUT",
        ALLOW_OVERWRITE => "ALLOW OVERWRITE",
        READ_ATTRIBUTE => "READ ATTRIBUTE",
        WRITE_ATTRIBUTE => "WRITE ATTRIBUTE",
        REPORT_LUNS => "REPORT LUNS",
        SECURITY_PROTOCOL_IN => "SECURITY PROTOCOL IN",
        MAINTENANCE_IN => "MAINTENANCE IN",
        MAINTENANCE_OUT => "MAINTENANCE OUT",
        MOVE_MEDIUM => "MOVE MEDIUM",
        EXCHANGE_MEDIUM => "EXCHANGE MEDIUM",
        SECURITY_PROTOCOL_OUT => "SECURITY PROTOCOL OUT",
        READ_ELEMENT_STATUS => "READ ELEMENT STATUS",
        _ => return None,
    })
}
