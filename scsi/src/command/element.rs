//! Media changers (SMC-3): READ ELEMENT STATUS, MOVE MEDIUM, POSITION TO ELEMENT, INITIALIZE ELEMENT STATUS.
//!
//! Reply of READ ELEMENT STATUS:
//!
//! | part | layout |
//! |---|---|
//! | header (8) | first address\[2\], number of elements\[2\], reserved, byte count\[3\] of what follows |
//! | page (8) | type, flags {PVolTag 80h, AVolTag 40h}, descriptor length\[2\], reserved, byte count\[3\] |
//! | descriptor (12) | address\[2\], flags, reserved, ASC, ASCQ, 3 bytes, byte 9, source address\[2\] |
//! | … tag (36) | if PVolTag: bar code\[32\], 2 reserved, sequence\[2\]; if AVolTag another one |
//! | … identifier | with DVCID: code set, type, reserved, length, data |
//!
//! Flags of a descriptor: FULL 01h, ImpExp 02h, EXCEPT 04h, ACCESS 08h, ExEnab 10h, InEnab 20h. Byte 9:
//! SVALID 80h, INVERT 40h, ED 08h, medium type bits 2–0.
//!
//! Libraries deviate from this in every way one can think of: how replies are read in spite of that is told in
//! `reply`, how they are asked for so that every library answers is the business of crate `changer`.

mod build;
mod reply;

pub use build::build_status;
pub use reply::{Oddity, StatusReply, parse_status};

use std::fmt;

use super::fields::be24;
use super::{Cdb, fetch, opcode, send, timeout};
use crate::transport::{Error, Transport};

const HEADER: usize = 8;
const PAGE_HEADER: usize = 8;
const DESCRIPTOR: usize = 12;
const TAG: usize = 36;
/// Bytes of a tag that hold the bar code.
pub const TAG_TEXT: usize = 32;
const IDENTIFIER_HEADER: usize = 4;

/// Type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ElementType {
    /// Robot arm.
    Transport,
    /// Slot.
    Storage,
    /// Slot that an operator can reach.
    ImportExport,
    /// Drive.
    Drive,
}

impl ElementType {
    /// The code on the wire, 1 to 4.
    pub const fn code(self) -> u8 {
        match self {
            ElementType::Transport => 1,
            ElementType::Storage => 2,
            ElementType::ImportExport => 3,
            ElementType::Drive => 4,
        }
    }

    /// From the code on the wire.
    pub const fn from_code(code: u8) -> Option<ElementType> {
        match code {
            1 => Some(ElementType::Transport),
            2 => Some(ElementType::Storage),
            3 => Some(ElementType::ImportExport),
            4 => Some(ElementType::Drive),
            _ => None,
        }
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ElementType::Transport => "transport",
            ElementType::Storage => "storage",
            ElementType::ImportExport => "import/export",
            ElementType::Drive => "drive",
        })
    }
}

/// Who a drive is, as the library knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DriveIdentifier {
    /// Vendor, if the library tells it.
    pub vendor: Option<String>,
    /// Model, if the library tells it.
    pub model: Option<String>,
    /// Serial number; in the common form of 34 bytes only its first 10 characters.
    pub serial: Option<String>,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    /// Element address.
    pub address: u16,
    /// FULL: a cartridge is here.
    pub full: bool,
    /// ImpExp: an operator put it in (import/export elements only).
    pub by_operator: bool,
    /// ASC and ASCQ if the element is in an abnormal state (EXCEPT).
    pub exception: Option<(u8, u8)>,
    /// ACCESS: the robot can reach it. 0 for a drive whose cartridge is still loaded.
    pub accessible: bool,
    /// ExEnab: export supported.
    pub export_enabled: bool,
    /// InEnab: import supported.
    pub import_enabled: bool,
    /// ED: switched off.
    pub disabled: bool,
    /// Medium type: 0 unspecified, 1 data, 2 cleaning, 3 diagnostic, 4 WORM.
    pub medium_type: u8,
    /// Element the cartridge came from (SVALID).
    pub source: Option<u16>,
    /// Bar code; `None` if the page has no tags, the tag is empty or the element is.
    pub tag: Option<String>,
    /// Identifier of a drive (DVCID).
    pub identifier: Option<DriveIdentifier>,
}

impl Element {
    /// An empty, accessible element.
    pub fn empty(address: u16) -> Element {
        Element {
            address,
            full: false,
            by_operator: false,
            exception: None,
            accessible: true,
            export_enabled: false,
            import_enabled: false,
            disabled: false,
            medium_type: 0,
            source: None,
            tag: None,
            identifier: None,
        }
    }
}

/// Elements of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Their type.
    pub kind: ElementType,
    /// The elements, in the order sent.
    pub elements: Vec<Element>,
}

/// What is asked of READ ELEMENT STATUS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRequest {
    /// Only this type; `None` = all.
    pub kind: Option<ElementType>,
    /// VOLTAG: bar codes wanted.
    pub tags: bool,
    /// DVCID: drive identifiers wanted.
    pub identifiers: bool,
    /// CURDATA: answer from memory, do not move the robot.
    pub current: bool,
    /// First address.
    pub first: u16,
    /// At most so many elements.
    pub count: u16,
    /// Allocation length, 24 bits. Some changers cannot take more than 65535.
    pub allocation: u32,
}

impl StatusRequest {
    /// Largest allocation length that all changers take.
    pub const ALLOCATION_MAX: u32 = 0x00_ffff;

    /// The command.
    pub const fn cdb(&self) -> Cdb {
        let kind = match self.kind {
            Some(kind) => kind.code(),
            None => 0,
        };
        let [s0, s1] = self.first.to_be_bytes();
        let [n0, n1] = self.count.to_be_bytes();
        let [a, b, c] = be24(self.allocation);
        let options = (self.current as u8) << 1 | self.identifiers as u8;
        Cdb::new([
            opcode::READ_ELEMENT_STATUS,
            (self.tags as u8) << 4 | kind,
            s0,
            s1,
            n0,
            n1,
            options,
            a,
            b,
            c,
            0,
            0,
        ])
    }

    /// Decodes the command on the changer's side. `None` if it is none, or asks for a type that does
    /// not exist.
    pub fn parse(cdb: &[u8]) -> Option<StatusRequest> {
        let [opcode::READ_ELEMENT_STATUS, kind, s0, s1, n0, n1, options, a, b, c, _, _] = *cdb
        else {
            return None;
        };
        let code = kind & 0x0f;
        let kind_asked = ElementType::from_code(code);
        if kind_asked.is_none() && code != 0 {
            return None;
        }
        Some(StatusRequest {
            kind: kind_asked,
            tags: kind & 0x10 != 0,
            identifiers: options & 0x01 != 0,
            current: options & 0x02 != 0,
            first: u16::from_be_bytes([s0, s1]),
            count: u16::from_be_bytes([n0, n1]),
            allocation: u32::from_be_bytes([0, a, b, c]),
        })
    }

    /// Asks a changer. A cut reply is an error unless it is cut to the allocation length: then the
    /// rest can be asked for.
    pub fn request(&self, transport: &mut dyn Transport) -> Result<StatusReply, Error> {
        let allocation = self.allocation as usize;
        let bytes = fetch(transport, &self.cdb(), allocation, timeout::ELEMENT_STATUS)?;
        let reply = parse_status(&bytes)?;
        if reply.is_cut && bytes.len() < allocation {
            return Err(Error::Malformed {
                opcode: opcode::READ_ELEMENT_STATUS,
                reason: format!(
                    "the reply is {} bytes short: {} sent, {} announced, so that elements behind {} are \
                     missing; look for newer firmware of the library",
                    reply.announced.saturating_sub(bytes.len()).max(1),
                    bytes.len(),
                    reply.announced,
                    reply
                        .pages
                        .iter()
                        .flat_map(|page| &page.elements)
                        .map(|one| one.address)
                        .max()
                        .map_or_else(|| "the first".to_string(), |last| format!("address {last}")),
                ),
            });
        }
        // A changer that starts below the address asked for would make a loop over addresses endless.
        let elements = reply.pages.iter().flat_map(|page| &page.elements);
        let lowest = elements.map(|one| one.address).min();
        match lowest {
            Some(address) if address < self.first => Err(Error::Malformed {
                opcode: opcode::READ_ELEMENT_STATUS,
                reason: format!("element {address} sent, asked for {} and up", self.first),
            }),
            _ => Ok(reply),
        }
    }
}

/// MOVE MEDIUM by the transport element `transport` (SMC-3 §6.8).
pub const fn move_cdb(transport: u16, source: u16, destination: u16) -> Cdb {
    let [t0, t1] = transport.to_be_bytes();
    let [s0, s1] = source.to_be_bytes();
    let [d0, d1] = destination.to_be_bytes();
    Cdb::new([opcode::MOVE_MEDIUM, 0, t0, t1, s0, s1, d0, d1, 0, 0, 0, 0])
}

/// Moves a cartridge.
pub fn move_medium(
    transport: &mut dyn Transport,
    arm: u16,
    source: u16,
    destination: u16,
) -> Result<(), Error> {
    send(transport, &move_cdb(arm, source, destination), timeout::MOVE_MEDIUM)
}

/// POSITION TO ELEMENT: the transport element `transport` goes before the element `destination` and takes nothing
/// (SMC-3, POSITION TO ELEMENT command).
pub const fn position_cdb(transport: u16, destination: u16) -> Cdb {
    let [t0, t1] = transport.to_be_bytes();
    let [d0, d1] = destination.to_be_bytes();
    Cdb::new([opcode::POSITION_TO_ELEMENT, 0, t0, t1, d0, d1, 0, 0, 0, 0])
}

/// Sends the robot before an element.
pub fn position(transport: &mut dyn Transport, arm: u16, destination: u16) -> Result<(), Error> {
    send(transport, &position_cdb(arm, destination), timeout::MOVE_MEDIUM)
}

/// INITIALIZE ELEMENT STATUS: the library looks at every element again (SMC-3 §6.4).
pub const fn initialize_cdb() -> Cdb {
    Cdb::new([opcode::INITIALIZE_ELEMENT_STATUS, 0, 0, 0, 0, 0])
}

/// INITIALIZE ELEMENT STATUS WITH RANGE: `count` elements from address `first` on, by the code of SMC-3 (37h) or
/// by the maker's code that was there before (E7h).
pub const fn initialize_range_cdb(first: u16, count: u16, by_vendor_code: bool) -> Cdb {
    let code = if by_vendor_code {
        opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE_VENDOR
    } else {
        opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE
    };
    let [s0, s1] = first.to_be_bytes();
    let [n0, n1] = count.to_be_bytes();
    // Bit 0 of byte 1: the range counts; without it the whole library is looked at.
    Cdb::new([code, 0x01, s0, s1, 0, 0, n0, n1, 0, 0])
}

/// Looks at a range of elements again, by whichever of the two codes the library knows.
pub fn initialize_range(
    transport: &mut dyn Transport,
    first: u16,
    count: u16,
) -> Result<(), Error> {
    match send(transport, &initialize_range_cdb(first, count, false), timeout::INVENTORY) {
        Err(error) if error.sense().is_some_and(crate::Sense::is_invalid_opcode) => {
            send(transport, &initialize_range_cdb(first, count, true), timeout::INVENTORY)
        }
        done => done,
    }
}

/// Takes inventory.
pub fn initialize(transport: &mut dyn Transport) -> Result<(), Error> {
    send(transport, &initialize_cdb(), timeout::INVENTORY)
}

#[cfg(test)]
mod tests;
