//! Media changers (SMC-3): READ ELEMENT STATUS, MOVE MEDIUM, INITIALIZE ELEMENT STATUS.
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
//! Libraries deviate from this in every way one can think of, so [`parse_status`] uses what it can:
//! counts that disagree with the data are cut to the data, a descriptor too short for its tags has no
//! tag, an identifier that does not decode is no identifier. A reply whose own structure is broken (no
//! header, descriptors of length 0) is an error, and one that announces more than was sent says so
//! ([`StatusReply::is_cut`]), since otherwise elements would be missing silently.

use super::fields::{Fields, be24, padded, text};
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

/// A decoded reply of READ ELEMENT STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReply {
    /// The elements, by type, as far as they were sent whole.
    pub pages: Vec<Page>,
    /// The header announces more bytes than there are: elements are missing behind the last one.
    pub is_cut: bool,
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
                reason: format!("only {} bytes sent, the header announces more", bytes.len()),
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

/// Decodes the reply of READ ELEMENT STATUS. No elements give an empty list.
pub fn parse_status(bytes: &[u8]) -> Result<StatusReply, Error> {
    let header = Fields::new(opcode::READ_ELEMENT_STATUS, "element status", bytes);
    let count = header.u16(2)?;
    let byte_count = header.u24(5)? as usize;
    if count == 0 || byte_count == 0 {
        return Ok(StatusReply { pages: Vec::new(), is_cut: false });
    }
    let is_cut = bytes.len() < HEADER + byte_count;
    let mut rest = header.cut(HEADER, byte_count).from(HEADER);
    let mut pages = Vec::new();
    while rest.len() >= PAGE_HEADER || (!rest.is_empty() && !is_cut) {
        let page = Fields::new(opcode::READ_ELEMENT_STATUS, "element status page", rest);
        let (code, flags) = (page.u8(0)?, page.u8(1)?);
        let descriptor_length = usize::from(page.u16(2)?);
        let page_length = page.u24(5)? as usize;
        let data = page.cut(PAGE_HEADER, page_length).from(PAGE_HEADER);
        rest = page.from(PAGE_HEADER.saturating_add(page_length));
        if data.is_empty() {
            continue;
        }
        if descriptor_length < DESCRIPTOR {
            return Err(page.malformed(format_args!(
                "descriptors of {descriptor_length} bytes, at least {DESCRIPTOR} needed"
            )));
        }
        // Types beyond the standard's four are skipped, not refused.
        let Some(kind) = ElementType::from_code(code) else { continue };
        let elements = data
            .chunks_exact(descriptor_length)
            .map(|descriptor| parse_descriptor(kind, flags, descriptor))
            .collect::<Result<_, _>>()?;
        pages.push(Page { kind, elements });
    }
    Ok(StatusReply { pages, is_cut })
}

fn parse_descriptor(kind: ElementType, page_flags: u8, bytes: &[u8]) -> Result<Element, Error> {
    let fields = Fields::new(opcode::READ_ELEMENT_STATUS, "element descriptor", bytes);
    let flags = fields.u8(2)?;
    let byte_9 = fields.u8(9)?;
    let full = flags & 0x01 != 0;
    let mut offset = DESCRIPTOR;
    let mut tag = None;
    if page_flags & 0x80 != 0 {
        // Some drives' descriptors are too short for the tag that the page announces.
        tag = fields.slice(offset, TAG_TEXT).ok().map(text).filter(|tag| full && !tag.is_empty());
        offset += TAG;
    }
    if page_flags & 0x40 != 0 {
        offset += TAG;
    }
    let identifier = match kind {
        ElementType::Drive => parse_identifier(fields.from(offset)),
        _ => None,
    };
    Ok(Element {
        address: fields.u16(0)?,
        full,
        by_operator: kind == ElementType::ImportExport && flags & 0x02 != 0,
        exception: (flags & 0x04 != 0).then_some((fields.u8(4)?, fields.u8(5)?)),
        accessible: flags & 0x08 != 0,
        export_enabled: kind == ElementType::ImportExport && flags & 0x10 != 0,
        import_enabled: kind == ElementType::ImportExport && flags & 0x20 != 0,
        disabled: byte_9 & 0x08 != 0,
        medium_type: byte_9 & 0x07,
        source: (byte_9 & 0x80 != 0).then_some(fields.u16(10)?),
        tag,
        identifier,
    })
}

/// A drive's identifier; `None` for padding and forms that are not understood.
fn parse_identifier(bytes: &[u8]) -> Option<DriveIdentifier> {
    let (head, rest) = bytes.split_first_chunk::<IDENTIFIER_HEADER>()?;
    let [code_set, kind, _, length] = *head;
    let data = rest.get(..usize::from(length))?;
    // Only ASCII identifiers (code set 2) say something that can be compared with a drive.
    if code_set & 0x0f != 2 {
        return None;
    }
    let some = |field: &[u8]| Some(text(field)).filter(|text| !text.is_empty());
    let identifier = match kind & 0x0f {
        0 => DriveIdentifier { serial: some(data), ..DriveIdentifier::default() },
        1 if data.len() >= 24 => DriveIdentifier {
            vendor: some(data.get(..8)?),
            model: some(data.get(8..24)?),
            serial: some(data.get(24..)?),
        },
        _ => return None,
    };
    (identifier != DriveIdentifier::default()).then_some(identifier)
}

/// The reply of a changer with these elements. `tags` and `identifiers` are VOLTAG and DVCID of the
/// request. Pages without elements are left out. The changer cuts the result to the allocation
/// length; the counts in it describe the whole.
pub fn build_status(pages: &[Page], tags: bool, identifiers: bool) -> Vec<u8> {
    let mut body = Vec::new();
    let elements = || pages.iter().flat_map(|page| &page.elements);
    for page in pages.iter().filter(|page| !page.elements.is_empty()) {
        let identifier_length = match (identifiers, page.kind) {
            (true, ElementType::Drive) => IDENTIFIER_HEADER + 34,
            (true, _) => IDENTIFIER_HEADER,
            (false, _) => 0,
        };
        let length = DESCRIPTOR + if tags { TAG } else { 0 } + identifier_length;
        body.extend_from_slice(&[page.kind.code(), if tags { 0x80 } else { 0 }]);
        body.extend_from_slice(&(length as u16).to_be_bytes());
        body.push(0);
        body.extend_from_slice(&be24((length * page.elements.len()) as u32));
        for element in &page.elements {
            build_descriptor(&mut body, page.kind, element, tags, identifiers);
        }
    }
    let first = elements().map(|element| element.address).min().unwrap_or(0);
    let mut bytes = first.to_be_bytes().to_vec();
    bytes.extend_from_slice(&(elements().count().min(0xffff) as u16).to_be_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&be24(body.len() as u32));
    bytes.extend_from_slice(&body);
    bytes
}

fn build_descriptor(
    body: &mut Vec<u8>,
    kind: ElementType,
    element: &Element,
    tags: bool,
    identifiers: bool,
) {
    let (asc, ascq) = element.exception.unwrap_or((0, 0));
    let flags = u8::from(element.full)
        | u8::from(element.by_operator) << 1
        | u8::from(element.exception.is_some()) << 2
        | u8::from(element.accessible) << 3
        | u8::from(element.export_enabled) << 4
        | u8::from(element.import_enabled) << 5;
    let byte_9 = u8::from(element.source.is_some()) << 7
        | u8::from(element.disabled) << 3
        | element.medium_type & 0x07;
    body.extend_from_slice(&element.address.to_be_bytes());
    body.extend_from_slice(&[flags, 0, asc, ascq, 0, 0, 0, byte_9]);
    body.extend_from_slice(&element.source.unwrap_or(0).to_be_bytes());
    if tags {
        match &element.tag {
            Some(tag) if element.full => {
                body.extend_from_slice(&padded::<TAG_TEXT>(tag));
                body.extend_from_slice(&[0; TAG - TAG_TEXT]);
            }
            _ => body.extend_from_slice(&[0; TAG]),
        }
    }
    match (identifiers, kind, &element.identifier) {
        (false, ..) => {}
        (true, ElementType::Drive, Some(identifier)) => {
            let part = |part: &Option<String>| part.clone().unwrap_or_default();
            body.extend_from_slice(&[0x02, 0x01, 0x00, 34]);
            body.extend_from_slice(&padded::<8>(&part(&identifier.vendor)));
            body.extend_from_slice(&padded::<16>(&part(&identifier.model)));
            body.extend_from_slice(&padded::<10>(&part(&identifier.serial)));
        }
        (true, ElementType::Drive, None) => {
            body.extend_from_slice(&[0; IDENTIFIER_HEADER + 34]);
        }
        (true, ..) => body.extend_from_slice(&[0; IDENTIFIER_HEADER]),
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

/// INITIALIZE ELEMENT STATUS: the library looks at every element again (SMC-3 §6.4).
pub const fn initialize_cdb() -> Cdb {
    Cdb::new([opcode::INITIALIZE_ELEMENT_STATUS, 0, 0, 0, 0, 0])
}

/// Takes inventory.
pub fn initialize(transport: &mut dyn Transport) -> Result<(), Error> {
    send(transport, &initialize_cdb(), timeout::INVENTORY)
}

#[cfg(test)]
mod tests;
