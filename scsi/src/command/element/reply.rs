//! Decoding replies of READ ELEMENT STATUS, in all the shapes that robots send.
//!
//! What is guaranteed: *no element is lost silently.* Whatever deviates from SMC-3 is either harmless (nothing
//! that was sent is misread) and told as an [`Oddity`], or the reply is an error or marked as cut. Why that
//! holds:
//!
//! * A descriptor is used only if all its bytes came. If fewer elements came whole than the header counts and
//!   the bytes announced did not come, the reply is cut ([`StatusReply::is_cut`]), never just short.
//! * A byte count that is wrong in itself does no harm as long as the pages are whole and the number of elements
//!   is right: two of the three counts must agree against the third.
//! * Options of a descriptor (tags, identifier) are read only where the descriptor's length leaves room for them;
//!   a missing option never shifts another field, because the twelve bytes before the options are fixed.

use std::fmt;

use super::{
    DESCRIPTOR, DriveIdentifier, Element, ElementType, HEADER, IDENTIFIER_HEADER, PAGE_HEADER,
    Page, TAG, TAG_TEXT,
};
use crate::command::fields::{Fields, text};
use crate::command::opcode;
use crate::transport::Error;

const PRIMARY_TAG: u8 = 0x80;
const ALTERNATE_TAG: u8 = 0x40;

/// A decoded reply of READ ELEMENT STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReply {
    /// The elements, by type, as far as they were sent whole.
    pub pages: Vec<Page>,
    /// The reply ends before what it announces: elements are missing behind the last one.
    pub is_cut: bool,
    /// Bytes that the reply announces, its header included.
    pub announced: usize,
    /// In what the reply deviates from SMC-3, each kind of deviation once a page.
    pub oddities: Vec<Oddity>,
}

/// A deviation from SMC-3 that is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oddity {
    /// The header's first address is not that of the lowest element.
    FirstAddress {
        /// What the header says.
        announced: u16,
        /// Lowest address sent.
        lowest: u16,
    },
    /// The header counts other elements than were sent.
    ElementCount {
        /// What the header says.
        announced: u16,
        /// Elements sent.
        sent: usize,
    },
    /// The header's byte count is not the length of the pages, which are whole.
    ByteCount {
        /// What the header says.
        announced: usize,
        /// Bytes behind the header.
        sent: usize,
    },
    /// A page's byte count is not that of its descriptors.
    PageByteCount {
        /// Type of the page's elements.
        kind: ElementType,
        /// What the page says.
        announced: usize,
        /// Bytes of whole descriptors.
        used: usize,
    },
    /// A page of a type that does not exist.
    UnknownType {
        /// The type's code.
        code: u8,
    },
    /// The page announces bar codes that its descriptors have no room for.
    NoRoomForTag {
        /// Type of the page's elements.
        kind: ElementType,
    },
    /// The page announces alternate bar codes that its descriptors have no room for.
    NoRoomForAlternateTag {
        /// Type of the page's elements.
        kind: ElementType,
    },
}

impl Oddity {
    /// Nothing can be missing or misread because of it.
    pub const fn is_harmless(&self) -> bool {
        matches!(
            self,
            Oddity::FirstAddress { .. }
                | Oddity::ByteCount { .. }
                | Oddity::NoRoomForAlternateTag { .. }
        )
    }
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Oddity::FirstAddress { announced, lowest } => {
                write!(f, "first address {announced} announced, {lowest} is the lowest sent")
            }
            Oddity::ElementCount { announced, sent } => {
                write!(f, "{announced} elements announced, {sent} sent")
            }
            Oddity::ByteCount { announced, sent } => {
                write!(f, "{announced} bytes announced, {sent} sent with all elements in them")
            }
            Oddity::PageByteCount { kind, announced, used } => {
                write!(f, "page of {kind} elements: {announced} bytes announced, {used} used")
            }
            Oddity::UnknownType { code } => write!(f, "a page of the unknown type {code:02x}h"),
            Oddity::NoRoomForTag { kind } => {
                write!(f, "{kind} elements: bar codes announced, no room for them")
            }
            Oddity::NoRoomForAlternateTag { kind } => {
                write!(f, "{kind} elements: alternate bar codes announced, no room for them")
            }
        }
    }
}

/// Decodes the reply of READ ELEMENT STATUS. No elements give an empty list.
///
/// # Errors
///
/// [`Error::Malformed`] if there is no header, or a page with data has descriptors shorter than the twelve
/// bytes that each of them must have.
pub fn parse_status(bytes: &[u8]) -> Result<StatusReply, Error> {
    let header = Fields::new(opcode::READ_ELEMENT_STATUS, "element status", bytes);
    let (first, count) = (header.u16(0)?, header.u16(2)?);
    let byte_count = header.u24(5)? as usize;
    let mut reply = StatusReply {
        pages: Vec::new(),
        is_cut: false,
        announced: HEADER + byte_count,
        oddities: Vec::new(),
    };
    let received = header.from(HEADER);
    let mut found = 0usize;
    let mut offset = 0usize;
    let mut page_is_cut = false;
    let limit = byte_count.min(received.len());
    while offset.saturating_add(PAGE_HEADER) <= limit {
        let rest = received.get(offset..).unwrap_or(&[]);
        let page = Fields::new(opcode::READ_ELEMENT_STATUS, "element status page", rest);
        let (code, flags) = (page.u8(0)?, page.u8(1)?);
        let length = usize::from(page.u16(2)?);
        let announced = page.u24(5)? as usize;
        // Behind the header's byte count may be anything, unless the elements that the header counts are
        // there: then that count is the one that is wrong.
        let expected = found.saturating_add(announced.checked_div(length).unwrap_or(0));
        let end = if expected <= usize::from(count) { received.len() } else { limit };
        let room = end.saturating_sub(offset + PAGE_HEADER);
        let data = page.cut(PAGE_HEADER, announced.min(room)).from(PAGE_HEADER);
        offset = offset.saturating_add(PAGE_HEADER).saturating_add(announced);
        if data.is_empty() {
            page_is_cut |= announced > 0;
            continue;
        }
        if length < DESCRIPTOR {
            return Err(page.malformed(format_args!(
                "descriptors of {length} bytes for elements of type {code}, at least {DESCRIPTOR} needed"
            )));
        }
        // Types beyond the standard's four are skipped, not refused.
        let Some(kind) = ElementType::from_code(code) else {
            note(&mut reply.oddities, Oddity::UnknownType { code });
            continue;
        };
        let elements = data
            .chunks_exact(length)
            .map(|descriptor| parse_descriptor(kind, flags, descriptor, &mut reply.oddities))
            .collect::<Result<Vec<_>, _>>()?;
        let used = elements.len().saturating_mul(length);
        if used != announced {
            page_is_cut |= used < announced && data.len() < announced;
            note(&mut reply.oddities, Oddity::PageByteCount { kind, announced, used });
        }
        found += elements.len();
        reply.pages.push(Page { kind, elements });
    }
    let lacks_bytes = byte_count > received.len() || page_is_cut;
    reply.is_cut = lacks_bytes && (found < usize::from(count) || count == 0);
    if !reply.is_cut {
        // Not a page in it that could be short: the header's own count is the one that is wrong.
        if lacks_bytes || offset > byte_count {
            let sent = received.len();
            note(&mut reply.oddities, Oddity::ByteCount { announced: byte_count, sent });
        }
        if found != usize::from(count) {
            note(&mut reply.oddities, Oddity::ElementCount { announced: count, sent: found });
        }
    }
    let lowest = reply.pages.iter().flat_map(|page| &page.elements).map(|one| one.address).min();
    if let Some(lowest) = lowest.filter(|lowest| *lowest != first) {
        note(&mut reply.oddities, Oddity::FirstAddress { announced: first, lowest });
    }
    Ok(reply)
}

/// Each oddity is told once a reply.
fn note(oddities: &mut Vec<Oddity>, oddity: Oddity) {
    if !oddities.contains(&oddity) {
        oddities.push(oddity);
    }
}

fn parse_descriptor(
    kind: ElementType,
    page_flags: u8,
    bytes: &[u8],
    oddities: &mut Vec<Oddity>,
) -> Result<Element, Error> {
    let fields = Fields::new(opcode::READ_ELEMENT_STATUS, "element descriptor", bytes);
    let flags = fields.u8(2)?;
    let byte_9 = fields.u8(9)?;
    let full = flags & 0x01 != 0;
    let (tag, identifier) = parse_options(kind, page_flags, &fields, oddities);
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
        // A tag that outlives its cartridge says nothing.
        tag: tag.filter(|_| full),
        identifier,
    })
}

/// What stands behind the twelve bytes: tags as the page's flags announce them, then a drive's identifier.
///
/// Some robots announce tags that the descriptors have no room for. An identifier is recognised by its own
/// header, so it is looked for where each missing tag would put it.
fn parse_options(
    kind: ElementType,
    page_flags: u8,
    fields: &Fields<'_>,
    oddities: &mut Vec<Oddity>,
) -> (Option<String>, Option<DriveIdentifier>) {
    let identifier_at = |offset: usize| match kind {
        ElementType::Drive => parse_identifier(fields.from(offset)),
        _ => None,
    };
    // Text never begins with the 02h of an identifier's code set.
    let is_identifier_at = |offset: usize| {
        fields.u8(offset).is_ok_and(|code_set| code_set == 2) && identifier_at(offset).is_some()
    };
    let has_primary = page_flags & PRIMARY_TAG != 0;
    let has_alternate = page_flags & ALTERNATE_TAG != 0;
    let mut offset = DESCRIPTOR;
    let mut tag = None;
    if has_primary {
        match fields.slice(offset, TAG_TEXT) {
            Ok(field) if !is_identifier_at(offset) => {
                tag = Some(text(field)).filter(|tag| !tag.is_empty());
                offset += TAG;
            }
            _ => note(oddities, Oddity::NoRoomForTag { kind }),
        }
    }
    if has_alternate {
        if fields.slice(offset, TAG).is_ok() && !is_identifier_at(offset) {
            offset += TAG;
        } else {
            note(oddities, Oddity::NoRoomForAlternateTag { kind });
        }
    }
    (tag, identifier_at(offset))
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
