//! Commands that every kind of unit knows (SPC-4): TEST UNIT READY, REQUEST SENSE, REPORT LUNS,
//! PREVENT ALLOW MEDIUM REMOVAL.

use super::fields::Fields;
use super::{Cdb, fetch, opcode, send, timeout};
use crate::sense::Sense;
use crate::transport::{Error, Transport};

const REQUEST_SENSE_ALLOCATION: u8 = 0xfc;

/// TEST UNIT READY (SPC-4 §6.47).
pub const fn test_unit_ready_cdb() -> Cdb {
    Cdb::new([opcode::TEST_UNIT_READY, 0, 0, 0, 0, 0])
}

/// Sends TEST UNIT READY.
pub fn test_unit_ready(transport: &mut dyn Transport) -> Result<(), Error> {
    send(transport, &test_unit_ready_cdb(), timeout::READY)
}

/// REQUEST SENSE for fixed-format data (SPC-4 §6.39).
pub const fn request_sense_cdb() -> Cdb {
    Cdb::new([opcode::REQUEST_SENSE, 0, 0, 0, REQUEST_SENSE_ALLOCATION, 0])
}

/// Sends REQUEST SENSE: takes a pending condition off the device, or tells the progress of a running
/// operation.
pub fn request_sense(transport: &mut dyn Transport) -> Result<Sense, Error> {
    let allocation = usize::from(REQUEST_SENSE_ALLOCATION);
    let reply = fetch(transport, &request_sense_cdb(), allocation, timeout::READY)?;
    Sense::parse(&reply).ok_or_else(|| Error::Malformed {
        opcode: opcode::REQUEST_SENSE,
        reason: format!("{} bytes that are no sense data", reply.len()),
    })
}

/// PREVENT ALLOW MEDIUM REMOVAL (SSC-5 §7.3, SMC-3 §6.12).
pub const fn prevent_removal_cdb(prevent: bool) -> Cdb {
    Cdb::new([opcode::PREVENT_ALLOW_MEDIUM_REMOVAL, 0, 0, 0, prevent as u8, 0])
}

/// Locks or unlocks the medium. Not every device enforces it.
pub fn prevent_removal(transport: &mut dyn Transport, prevent: bool) -> Result<(), Error> {
    send(transport, &prevent_removal_cdb(prevent), timeout::SHORT)
}

/// REPORT LUNS for all logical units (SPC-4 §6.33).
pub const fn report_luns_cdb(allocation: u32) -> Cdb {
    let [a, b, c, d] = allocation.to_be_bytes();
    Cdb::new([opcode::REPORT_LUNS, 0, 0, 0, 0, 0, a, b, c, d, 0, 0])
}

/// The logical unit numbers in a reply to REPORT LUNS: {length\[4\], 4 reserved, 8 bytes each}, where
/// numbers below 16384 stand in the first two bytes (peripheral and flat addressing, SAM-5 §4.7);
/// others are returned as the whole 64 bits.
pub fn parse_report_luns(bytes: &[u8]) -> Result<Vec<u64>, Error> {
    let fields = Fields::new(opcode::REPORT_LUNS, "list of logical units", bytes);
    let length = usize::try_from(fields.u32(0)?).unwrap_or(usize::MAX);
    let list = fields.cut(8, length).from(8);
    Ok(list
        .chunks_exact(8)
        .filter_map(|entry| entry.try_into().ok())
        .map(u64::from_be_bytes)
        .map(|lun| match (lun >> 62, lun & 0x0000_ffff_ffff_ffff) {
            (0 | 1, 0) => lun >> 48 & 0x3fff,
            _ => lun,
        })
        .collect())
}

/// The reply to REPORT LUNS of a target with these units (numbers below 16384).
pub fn build_report_luns(luns: &[u16]) -> Vec<u8> {
    let mut bytes = (luns.len() as u32 * 8).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    for lun in luns {
        // Peripheral addressing up to 255, flat space addressing (01b) above.
        let field = if *lun < 256 { *lun } else { 0x4000 | (lun & 0x3fff) };
        bytes.extend_from_slice(&field.to_be_bytes());
        bytes.extend_from_slice(&[0; 6]);
    }
    bytes
}

/// Asks a target for its logical units.
pub fn report_luns(transport: &mut dyn Transport) -> Result<Vec<u64>, Error> {
    let allocation = 8 + 8 * 512;
    let reply =
        fetch(transport, &report_luns_cdb(allocation), allocation as usize, timeout::SHORT)?;
    parse_report_luns(&reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        assert_eq!(&*test_unit_ready_cdb(), &[0; 6]);
        assert_eq!(&*request_sense_cdb(), &[3, 0, 0, 0, 0xfc, 0]);
        assert_eq!(&*prevent_removal_cdb(true), &[0x1e, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn logical_units_round_trip() {
        let bytes = build_report_luns(&[0, 1, 255, 300]);
        assert_eq!(bytes[..8], [0, 0, 0, 32, 0, 0, 0, 0]);
        assert_eq!(parse_report_luns(&bytes).unwrap(), [0, 1, 255, 300]);
        // Announced more than sent: what is there counts.
        assert_eq!(parse_report_luns(&bytes[..20]).unwrap(), [0]);
        assert!(parse_report_luns(&[0, 0]).is_err());
    }
}
