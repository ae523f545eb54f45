//! LOG SENSE (SPC-4 §6.6, §7.3): everything but what the parameters mean.

use scsi::Sense;

use super::{Command, Done};

/// A log parameter: code and value. The control byte says whether it is a number or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    pub code: u16,
    pub control: u8,
    pub value: Vec<u8>,
}

/// Control byte of binary list parameters.
const BINARY: u8 = 0x03;
/// Control byte of ASCII list parameters.
const ASCII: u8 = 0x01;

impl Parameter {
    /// A big-endian number of `length` bytes; a number too large for them reads as all ones, which
    /// means "unknown".
    pub fn number(code: u16, value: u64, length: usize) -> Parameter {
        let bytes = value.to_be_bytes();
        let fits = length >= 8 || value < 1 << (8 * length);
        let value = match bytes.get(8usize.saturating_sub(length)..) {
            Some(low) if fits => low.to_vec(),
            _ => vec![0xff; length],
        };
        Parameter { code, control: BINARY, value }
    }

    /// Bytes as they are.
    pub fn binary(code: u16, value: &[u8]) -> Parameter {
        Parameter { code, control: BINARY, value: value.to_vec() }
    }

    /// Text.
    pub fn text(code: u16, value: &str) -> Parameter {
        Parameter { code, control: ASCII, value: value.as_bytes().to_vec() }
    }
}

/// Answers LOG SENSE. `page` gives the parameters of a page, ascending, or `None` if the unit lacks
/// it; `codes` lists all pages beside 00h. All values of PC are answered with the current ones.
pub(crate) fn sense(
    command: &mut Command<'_, '_>,
    codes: &[u8],
    page: impl FnOnce(u8) -> Option<Vec<Parameter>>,
) -> Done {
    let code = command.byte(2) & 0x3f;
    let subpage = command.byte(3);
    let first = command.number(5, 2) as u16;
    let allocation = command.number(7, 2);
    if subpage != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let body: Vec<u8> = if code == 0x00 {
        std::iter::once(0).chain(codes.iter().copied()).collect()
    } else {
        if !codes.contains(&code) {
            return Err(Sense::INVALID_FIELD_IN_CDB.into());
        }
        let parameters = page(code).ok_or(Sense::INVALID_FIELD_IN_CDB)?;
        let selected: Vec<&Parameter> = parameters.iter().filter(|p| p.code >= first).collect();
        if selected.is_empty() && first != 0 {
            return Err(Sense::INVALID_FIELD_IN_CDB.into());
        }
        selected
            .into_iter()
            .flat_map(|parameter| {
                let [high, low] = parameter.code.to_be_bytes();
                [&[high, low, parameter.control, parameter.value.len() as u8], &parameter.value[..]]
                    .concat()
            })
            .collect()
    };
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let reply = [&[code, subpage], &length[..], &body].concat();
    command.reply(&reply, allocation);
    Ok(())
}

/// Page 0Dh (SPC-4 §7.3.19): the temperature in degrees Celsius. It is always agreeable here.
pub(crate) fn temperature() -> Vec<Parameter> {
    const CELSIUS: u8 = 28;
    vec![Parameter::binary(0x0000, &[0, CELSIUS])]
}

/// Bytes of a whole reply with page 2Eh.
pub(crate) const TAPE_ALERT_BYTES: usize = 4 + 64 * 5;

/// The 64 TapeAlert flags of page 2Eh, flag 1 in the most significant bit of `flags`.
pub(crate) fn tape_alert(flags: u64) -> Vec<Parameter> {
    (1..=64u16)
        .map(|flag| Parameter::binary(flag, &[(flags >> (64 - flag)) as u8 & 0x01]))
        .collect()
}
