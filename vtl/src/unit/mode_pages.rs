//! MODE SENSE and MODE SELECT (SPC-4 §6.11 to §6.14, §7.5): everything but what the pages mean.

use scsi::Sense;
use scsi::command::opcode;

use super::{Command, Done, Stop};

/// Which values MODE SENSE asks for (the PC field).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    Current,
    /// A mask: ones where MODE SELECT may change a bit.
    Changeable,
    Default,
}

/// A page's place: page and subpage code.
pub(crate) type PageCode = (u8, u8);

/// The mode data of a unit.
pub(crate) trait ModePages {
    /// Medium type and device-specific parameter.
    fn header(&self) -> [u8; 2];
    /// The block descriptor, for units that have one.
    fn block_descriptor(&self) -> Option<[u8; 8]>;
    /// All pages, ascending by page, then subpage.
    fn codes(&self) -> &'static [PageCode];
    /// A page's bytes behind its header.
    fn page(&self, code: PageCode, values: Values) -> Vec<u8>;
}

/// A page with its header: two bytes, or four with a subpage.
fn with_header(code: PageCode, body: &[u8]) -> Vec<u8> {
    match code {
        (page, 0) => [&[page, body.len() as u8], body].concat(),
        (page, subpage) => {
            let [high, low] = (body.len() as u16).to_be_bytes();
            [&[page | 0x40, subpage, high, low], body].concat()
        }
    }
}

/// Answers MODE SENSE(6) and (10).
pub(crate) fn sense(unit: &impl ModePages, command: &mut Command<'_, '_>) -> Done {
    let long = command.byte(0) == opcode::MODE_SENSE_10;
    let allocation = if long { command.number(7, 2) } else { command.number(4, 1) };
    let values = match command.byte(2) >> 6 {
        0 => Values::Current,
        1 => Values::Changeable,
        2 => Values::Default,
        _ => return Err(Sense::SAVING_NOT_SUPPORTED.into()),
    };
    let wanted = (command.byte(2) & 0x3f, command.byte(3));
    let codes = unit.codes().iter().copied();
    let selected: Vec<PageCode> = match wanted {
        // Page 0 is vendor specific; hosts ask for it to get header and descriptor only.
        (0x00, 0x00) => Vec::new(),
        (0x3f, 0x00) => codes.filter(|code| code.1 == 0).collect(),
        (0x3f, 0xff) => codes.collect(),
        (page, 0xff) => codes.filter(|code| code.0 == page).collect(),
        wanted => codes.filter(|code| *code == wanted).collect(),
    };
    if selected.is_empty() && wanted != (0, 0) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let pages: Vec<u8> =
        selected.iter().flat_map(|code| with_header(*code, &unit.page(*code, values))).collect();
    let no_descriptor = command.byte(1) & 0x08 != 0;
    let descriptor = match unit.block_descriptor() {
        Some(descriptor) if !no_descriptor => descriptor.to_vec(),
        _ => Vec::new(),
    };
    let [medium_type, device_specific] = unit.header();
    let mut reply = if long {
        let length = 6 + descriptor.len() + pages.len();
        let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        vec![high, low, medium_type, device_specific, 0, 0, 0, descriptor.len() as u8]
    } else {
        let length = 3 + descriptor.len() + pages.len();
        // One byte cannot tell more (SPC-4 §6.11): a host that wants it all uses the long form.
        let length = u8::try_from(length).map_err(|_| Sense::INVALID_FIELD_IN_CDB)?;
        vec![length, medium_type, device_specific, descriptor.len() as u8]
    };
    reply.extend(descriptor);
    reply.extend(pages);
    command.reply(&reply, allocation);
    Ok(())
}

/// What a MODE SELECT asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Device-specific parameter of the header.
    pub device_specific: u8,
    /// Block descriptor, if one was sent.
    pub descriptor: Option<[u8; 8]>,
    /// Pages: code and bytes behind the page's header, checked against what may change.
    pub pages: Vec<(PageCode, Vec<u8>)>,
}

/// Reads and checks the parameter list of MODE SELECT(6) or (10). `None` for an empty list.
pub(crate) fn select(
    unit: &impl ModePages,
    command: &mut Command<'_, '_>,
) -> Result<Option<Selection>, Stop> {
    let long = command.byte(0) == opcode::MODE_SELECT_10;
    if command.byte(1) & 0x01 != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let length = if long { command.number(7, 2) } else { command.number(4, 1) };
    if length == 0 {
        return Ok(None);
    }
    let list = command.parameters(length as usize)?;
    parse_list(unit, list, long).map(Some)
}

fn parse_list(unit: &impl ModePages, list: &[u8], long: bool) -> Result<Selection, Stop> {
    let cut = || Stop::from(Sense::PARAMETER_LIST_LENGTH);
    let wrong = || Stop::from(Sense::INVALID_FIELD_IN_PARAMETERS);
    let (header, rest) = list.split_at_checked(if long { 8 } else { 4 }).ok_or_else(cut)?;
    let (device_specific, descriptor_length) = match header {
        [_, _, specific, length] => (*specific, usize::from(*length)),
        [_, _, _, specific, _, _, high, low] => {
            (*specific, usize::from(u16::from_be_bytes([*high, *low])))
        }
        _ => return Err(cut()),
    };
    let (descriptor, mut rest) = rest.split_at_checked(descriptor_length).ok_or_else(cut)?;
    let descriptor = match descriptor_length {
        0 => None,
        8 => Some(descriptor.try_into().map_err(|_| cut())?),
        _ => return Err(wrong()),
    };
    let mut pages = Vec::new();
    while let [first, second, ..] = rest {
        let page = first & 0x3f;
        // PS is reserved here (SPC-4 §6.9), yet hosts send back what MODE SENSE gave them, and no
        // page of ours sets it: a set bit is a mistake of the host.
        if first & 0x80 != 0 {
            return Err(wrong());
        }
        let (code, header_length, length) = if first & 0x40 == 0 {
            ((page, 0), 2, usize::from(*second))
        } else {
            let [_, subpage, high, low, ..] = rest else { return Err(cut()) };
            ((page, *subpage), 4, usize::from(u16::from_be_bytes([*high, *low])))
        };
        if !unit.codes().contains(&code) {
            return Err(wrong());
        }
        let current = unit.page(code, Values::Current);
        if length != current.len() {
            return Err(wrong());
        }
        let body = rest.get(header_length..header_length + length).ok_or_else(cut)?;
        let mask = unit.page(code, Values::Changeable);
        let touches_fixed_bits = body
            .iter()
            .zip(&current)
            .zip(&mask)
            .any(|((new, current), mask)| (new ^ current) & !mask != 0);
        if touches_fixed_bits {
            return Err(wrong());
        }
        pages.push((code, body.to_vec()));
        rest = rest.get(header_length + length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        return Err(cut());
    }
    Ok(Selection { device_specific, descriptor, pages })
}
