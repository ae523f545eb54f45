//! Taking names out of a transcript: bar codes and serial numbers.
//!
//! What the decoders recognise as a bar code or serial number is replaced by other text of the same length,
//! *wherever its bytes stand* in what the device sent: also in identification pages and in the makers' own bytes, which
//! nobody decodes. The same text always becomes the same, and what agrees in its first ten characters (a drive's serial
//! number, and the part of it that a library knows) still does, so that a masked transcript behaves like the original.
//! What stays is what tells a cartridge's kind: the prefix `CLN` and the media identifier at the end.
//!
//! Binary identifiers (page 83h) hold a serial number in no form that could be recognised: they become zeros.

use std::collections::BTreeMap;

use super::Transcript;
use crate::command::element::parse_status;
use crate::command::{inquiry, opcode};

/// Characters of a serial number that libraries know at least.
const SERIAL_HEAD: usize = 10;
/// Length of a bar code with media identifier (LTO: six characters and two).
const BAR_CODE: usize = 8;

/// Shorter text names nothing, and may stand anywhere by chance.
const NAME_MIN: usize = 4;

/// Replaced texts: bar codes and serial numbers, each with what stands for it.
#[derive(Default)]
struct Mask {
    texts: BTreeMap<String, String>,
    bar_codes: usize,
    serial_heads: BTreeMap<String, String>,
}

impl Mask {
    fn bar_code(&mut self, text: &str) {
        if text.len() < NAME_MIN || self.texts.contains_key(text) {
            return;
        }
        self.bar_codes += 1;
        let kept_end = if text.len() == BAR_CODE { 2 } else { 0 };
        let kept_start = if text.starts_with("CLN") && text.len() > 3 { 3 } else { 0 };
        let start = text.get(..kept_start).unwrap_or("");
        let end = text.get(text.len() - kept_end..).unwrap_or("");
        let width = text.len() - start.len() - end.len();
        let masked = format!("{start}{}{end}", numbered('V', self.bar_codes, width));
        self.texts.insert(text.to_string(), masked);
    }

    fn serial(&mut self, text: &str) {
        if text.len() < NAME_MIN || self.texts.contains_key(text) {
            return;
        }
        let head = text.get(..SERIAL_HEAD).unwrap_or(text).to_string();
        let number = self.serial_heads.len() + 1;
        let width = head.len();
        let start =
            self.serial_heads.entry(head).or_insert_with(|| numbered('S', number, width)).clone();
        let masked = format!("{start}{}", "0".repeat(text.len() - start.len()));
        self.texts.insert(text.to_string(), masked);
    }

    /// At each place the longest text that stands there: what contains another is not taken apart by it.
    fn apply(&self, data: &mut [u8]) {
        let mut lengths: Vec<usize> = self.texts.keys().map(String::len).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        lengths.dedup();
        let mut at = 0;
        while at < data.len() {
            let found = lengths.iter().find_map(|length| {
                let window = data.get(at..at.checked_add(*length)?)?;
                let masked = self.texts.get(std::str::from_utf8(window).ok()?)?;
                Some(masked.as_bytes())
            });
            match found {
                Some(masked) => {
                    let end = at + masked.len();
                    data.get_mut(at..end).unwrap_or_default().copy_from_slice(masked);
                    at = end;
                }
                None => at += 1,
            }
        }
    }
}

/// `V0007` in `width` characters; the number's last digits if it has more.
fn numbered(letter: char, number: usize, width: usize) -> String {
    let text = format!("{letter}{number:0>digits$}", digits = width.saturating_sub(1));
    let excess = text.len().saturating_sub(width);
    text.get(excess..).unwrap_or("").to_string()
}

impl Transcript {
    /// Replaces bar codes and serial numbers.
    pub fn mask(&mut self) {
        let mut mask = Mask::default();
        for exchange in &self.exchanges {
            match exchange.cdb.as_slice() {
                [opcode::READ_ELEMENT_STATUS, ..] => {
                    let Ok(reply) = parse_status(&exchange.data_in) else { continue };
                    for element in reply.pages.iter().flat_map(|page| &page.elements) {
                        if let Some(tag) = &element.tag {
                            mask.bar_code(tag);
                        }
                        let identifier = element.identifier.as_ref();
                        if let Some(serial) = identifier.and_then(|one| one.serial.as_ref()) {
                            mask.serial(serial);
                        }
                    }
                }
                [opcode::INQUIRY, 1, inquiry::VPD_SERIAL, ..] => {
                    let page = inquiry::parse_vpd(inquiry::VPD_SERIAL, &exchange.data_in);
                    if let Some(serial) = page.ok().and_then(inquiry::serial) {
                        mask.serial(&serial);
                    }
                }
                _ => {}
            }
        }
        for exchange in &mut self.exchanges {
            if let [opcode::INQUIRY, 1, inquiry::VPD_IDENTIFICATION, ..] = exchange.cdb.as_slice() {
                inquiry::blank_binary_designators(&mut exchange.data_in);
            }
            mask.apply(&mut exchange.data_in);
            mask.apply(&mut exchange.data_out);
        }
        self.is_masked = true;
    }
}
