//! INQUIRY and the vital product data pages (SPC-4 §6.6, §7.8).
//!
//! Standard data: byte 0 qualifier (bits 7–5) and device type (4–0), byte 1 RMB 80h, byte 2 version,
//! byte 4 length of the rest, 8–15 vendor, 16–31 product, 32–35 revision, blank padded.
//! A VPD page: byte 0 as above, page code, length\[2\], data.

use super::fields::{Fields, padded, text};
use super::{Cdb, fetch, opcode, timeout};
use crate::transport::{Error, Transport};

/// Peripheral device type of tape drives.
pub const TYPE_TAPE: u8 = 0x01;
/// Peripheral device type of media changers.
pub const TYPE_CHANGER: u8 = 0x08;
/// Length of the standard data that hosts ask for.
pub const STANDARD_LENGTH: usize = 36;

/// VPD page with the list of pages.
pub const VPD_SUPPORTED: u8 = 0x00;
/// VPD page with the unit serial number.
pub const VPD_SERIAL: u8 = 0x80;
/// VPD page with device identifiers.
pub const VPD_IDENTIFICATION: u8 = 0x83;
/// VPD page with sequential-access capabilities (WORM).
pub const VPD_SEQUENTIAL_ACCESS: u8 = 0xb0;

const HEADER: usize = 4;
const VENDOR_OFFSET: usize = 8;
const PRODUCT_OFFSET: usize = VENDOR_OFFSET + 8;
const REVISION_OFFSET: usize = PRODUCT_OFFSET + 16;

/// Standard INQUIRY data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Peripheral qualifier (0 = connected).
    pub qualifier: u8,
    /// Peripheral device type.
    pub kind: u8,
    /// RMB: the medium is removable.
    pub removable: bool,
    /// Version of SPC claimed (5 = SPC-3).
    pub version: u8,
    /// Vendor, at most 8 characters.
    pub vendor: String,
    /// Product, at most 16 characters.
    pub product: String,
    /// Firmware revision, at most 4 characters.
    pub revision: String,
}

impl Inquiry {
    /// The command, asking for `allocation` bytes of standard data.
    pub const fn cdb(allocation: u16) -> Cdb {
        let [high, low] = allocation.to_be_bytes();
        Cdb::new([opcode::INQUIRY, 0, 0, high, low, 0])
    }

    /// Decodes standard data. Text fields that a short reply lacks are empty.
    pub fn parse(bytes: &[u8]) -> Result<Inquiry, Error> {
        let fields = Fields::new(opcode::INQUIRY, "standard data", bytes);
        let first = fields.u8(0)?;
        let fields = fields.cut(5, usize::from(fields.u8(4)?));
        let field = |offset: usize, length: usize| {
            let rest = fields.from(offset);
            text(rest.get(..length).unwrap_or(rest))
        };
        Ok(Inquiry {
            qualifier: first >> 5,
            kind: first & 0x1f,
            removable: fields.u8(1)? & 0x80 != 0,
            version: fields.u8(2)?,
            vendor: field(VENDOR_OFFSET, 8),
            product: field(PRODUCT_OFFSET, 16),
            revision: field(REVISION_OFFSET, 4),
        })
    }

    /// Standard data of a device that answers this.
    pub fn build(&self) -> [u8; STANDARD_LENGTH] {
        let mut bytes = [0u8; STANDARD_LENGTH];
        bytes[0] = self.qualifier << 5 | self.kind & 0x1f;
        bytes[1] = if self.removable { 0x80 } else { 0 };
        bytes[2] = self.version;
        // Response data format 2: this layout.
        bytes[3] = 0x02;
        bytes[4] = (STANDARD_LENGTH - 5) as u8;
        bytes[VENDOR_OFFSET..PRODUCT_OFFSET].copy_from_slice(&padded::<8>(&self.vendor));
        bytes[PRODUCT_OFFSET..REVISION_OFFSET].copy_from_slice(&padded::<16>(&self.product));
        bytes[REVISION_OFFSET..].copy_from_slice(&padded::<4>(&self.revision));
        bytes
    }

    /// Asks a device.
    pub fn request(transport: &mut dyn Transport) -> Result<Inquiry, Error> {
        let cdb = Inquiry::cdb(STANDARD_LENGTH as u16);
        Inquiry::parse(&fetch(transport, &cdb, STANDARD_LENGTH, timeout::SHORT)?)
    }
}

/// INQUIRY for a vital product data page.
pub const fn vpd_cdb(page: u8, allocation: u16) -> Cdb {
    let [high, low] = allocation.to_be_bytes();
    Cdb::new([opcode::INQUIRY, 0x01, page, high, low, 0])
}

/// The data of VPD page `page` behind its header, cut to the length that it announces.
pub fn parse_vpd(page: u8, bytes: &[u8]) -> Result<&[u8], Error> {
    let fields = Fields::new(opcode::INQUIRY, "vital product data", bytes);
    let found = fields.u8(1)?;
    if found != page {
        return Err(fields.malformed(format_args!("page {found:02x}h instead of {page:02x}h")));
    }
    Ok(fields.cut(HEADER, usize::from(fields.u16(2)?)).from(HEADER))
}

/// VPD page `page` of a device of type `kind` with `data` behind the header. `data` of more than
/// 65535 bytes is cut.
pub fn build_vpd(kind: u8, page: u8, data: &[u8]) -> Vec<u8> {
    let length = data.len().min(usize::from(u16::MAX));
    let mut bytes = vec![kind, page];
    bytes.extend_from_slice(&(length as u16).to_be_bytes());
    bytes.extend_from_slice(data.get(..length).unwrap_or(data));
    bytes
}

/// Asks a device for the data of a VPD page.
pub fn request_vpd(transport: &mut dyn Transport, page: u8) -> Result<Vec<u8>, Error> {
    let allocation = 0x00fc;
    let reply = fetch(transport, &vpd_cdb(page, allocation), allocation.into(), timeout::SHORT)?;
    parse_vpd(page, &reply).map(<[u8]>::to_vec)
}

/// Puts zeros into the binary identifiers of a whole VPD page 83h (SPC-4 §7.8.6): designators {code set in the low
/// four bits, type, reserved, length, data} whose code set is 1.
pub fn blank_binary_designators(page: &mut [u8]) {
    const BINARY: u8 = 1;
    let mut at = HEADER;
    while let Some(head) = page.get(at..at + HEADER) {
        let [code_set, _, _, length] = *head else { return };
        let start = at + HEADER;
        let end = (start + usize::from(length)).min(page.len());
        if code_set & 0x0f == BINARY {
            page.get_mut(start..end).unwrap_or_default().fill(0);
        }
        at = start + usize::from(length);
    }
}

/// The serial number in the data of VPD page 80h: blanks and NULs around it do not count. `None`
/// if nothing is left.
pub fn serial(data: &[u8]) -> Option<String> {
    let start = data.iter().position(|byte| *byte != 0).unwrap_or(data.len());
    let text = text(data.get(start..).unwrap_or(data));
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LTO8: Inquiry = Inquiry {
        qualifier: 0,
        kind: TYPE_TAPE,
        removable: true,
        version: 5,
        vendor: String::new(),
        product: String::new(),
        revision: String::new(),
    };

    fn lto8() -> Inquiry {
        Inquiry {
            vendor: "IBM".into(),
            product: "ULT3580-TD8".into(),
            revision: "K4K1".into(),
            ..LTO8
        }
    }

    #[test]
    fn standard_data_round_trips() {
        let bytes = lto8().build();
        assert_eq!(&bytes[..8], &[0x01, 0x80, 0x05, 0x02, 0x1f, 0, 0, 0]);
        assert_eq!(&bytes[8..], b"IBM     ULT3580-TD8     K4K1");
        assert_eq!(Inquiry::parse(&bytes).unwrap(), lto8());
        assert_eq!(&*Inquiry::cdb(36), &[0x12, 0, 0, 0, 0x24, 0]);
    }

    #[test]
    fn stale_bytes_behind_the_announced_length_do_not_count() {
        let mut bytes = lto8().build();
        bytes[4] = 27;
        assert_eq!(Inquiry::parse(&bytes).unwrap().revision, "");
        assert!(Inquiry::parse(&bytes[..4]).is_err());
    }

    #[test]
    fn vital_product_data() {
        let page = build_vpd(TYPE_TAPE, VPD_SERIAL, b"  1013000042\0\0");
        assert_eq!(page[..4], [1, 0x80, 0, 14]);
        let data = parse_vpd(VPD_SERIAL, &page).unwrap();
        assert_eq!(serial(data).as_deref(), Some("1013000042"));
        assert_eq!(serial(b"\0\0  "), None);
        assert!(parse_vpd(VPD_IDENTIFICATION, &page).is_err());
        assert_eq!(&*vpd_cdb(0x80, 0xfc), &[0x12, 1, 0x80, 0, 0xfc, 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Inquiry::parse(&bytes);
            let _ = parse_vpd(0x80, &bytes).map(serial);
        }
    }
}
