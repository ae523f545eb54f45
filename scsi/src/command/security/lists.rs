//! The small pages: protocols, supported pages, key formats, management capabilities.
//!
//! | protocols (protocol 00h, 0000h) | off | size |
//! |---|--:|--:|
//! | reserved | 0 | 6 |
//! | list length | 6 | 2 |
//! | protocols | 8 | 1 each |
//!
//! | supported pages (0000h, 0001h) and key formats (0011h) | off | size |
//! |---|--:|--:|
//! | page code | 0 | 2 |
//! | page length | 2 | 2 |
//! | pages, or key formats | 4 | 2 each |
//!
//! Key formats: each 1 byte, 00h plain text. SSC-5 §8.5.2.5 has a list of bytes; the one that LTO drives
//! send is two bytes long, `00 00`, which reads as plain text twice.
//!
//! | management capabilities (0012h) | off | size |
//! |---|--:|--:|
//! | page code 0012h | 0 | 2 |
//! | page length 000Ch | 2 | 2 |
//! | LOCK_C 01h | 4 | 1 |
//! | CKOD_C 04h, CKORP_C 02h, CKORL_C 01h | 5 | 1 |
//! | reserved | 6 | 1 |
//! | AITN_C 04h, LOCAL_C 02h, PUBLIC_C 01h | 7 | 1 |
//! | reserved | 8 | 8 |

use super::{Fields, PAGE_KEY_FORMATS, PAGE_MANAGEMENT, build_page, page_fields, request_page};
use crate::command::opcode;
use crate::transport::{Error, Transport};

/// Key format of a key as it is, without wrapping.
pub const KEY_FORMAT_PLAIN: u8 = 0x00;

/// The list of security protocols.
pub fn protocols(protocols: &[u8]) -> Vec<u8> {
    let length = u16::try_from(protocols.len()).unwrap_or(u16::MAX);
    [&[0; 6][..], &length.to_be_bytes(), protocols].concat()
}

/// Decodes the list of security protocols.
pub fn parse_protocols(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let fields = Fields::new(opcode::SECURITY_PROTOCOL_IN, "list of security protocols", bytes);
    let length = usize::from(fields.u16(6)?);
    Ok(fields.cut(8, length).from(8).to_vec())
}

/// A list of supported pages, under its page code (0000h or 0001h).
pub fn page_list(page: u16, pages: &[u16]) -> Vec<u8> {
    let body: Vec<u8> = pages.iter().flat_map(|page| page.to_be_bytes()).collect();
    build_page(page, &body)
}

/// Decodes a list of supported pages.
pub fn parse_page_list(page: u16, bytes: &[u8]) -> Result<Vec<u16>, Error> {
    let fields =
        page_fields("list of encryption pages", page, opcode::SECURITY_PROTOCOL_IN, bytes)?;
    Ok(fields
        .from(4)
        .chunks_exact(2)
        .filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
        .collect())
}

/// The page of key formats: plain keys only.
pub fn key_formats() -> Vec<u8> {
    build_page(PAGE_KEY_FORMATS, &[KEY_FORMAT_PLAIN, KEY_FORMAT_PLAIN])
}

/// Decodes the page of key formats.
pub fn parse_key_formats(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let fields =
        page_fields("key format page", PAGE_KEY_FORMATS, opcode::SECURITY_PROTOCOL_IN, bytes)?;
    Ok(fields.from(4).to_vec())
}

/// What a drive offers around keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ManagementCapabilities {
    /// Parameters can be locked (LOCK_C).
    pub lock: bool,
    /// Keys can be cleared when the tape is demounted (CKOD_C).
    pub clear_on_demount: bool,
    /// Keys can be cleared when a reservation is pre-empted (CKORP_C).
    pub clear_on_preempt: bool,
    /// Keys can be cleared when a reservation is lost (CKORL_C).
    pub clear_on_reservation_loss: bool,
    /// Scopes that can be set.
    pub all_scope: bool,
    /// The scope of one host.
    pub local_scope: bool,
    /// The shared scope.
    pub public_scope: bool,
}

impl ManagementCapabilities {
    /// Asks a drive.
    pub fn request(transport: &mut dyn Transport) -> Result<ManagementCapabilities, Error> {
        ManagementCapabilities::parse(&request_page(transport, PAGE_MANAGEMENT)?)
    }

    /// Decodes the page.
    pub fn parse(bytes: &[u8]) -> Result<ManagementCapabilities, Error> {
        let fields = page_fields(
            "encryption management page",
            PAGE_MANAGEMENT,
            opcode::SECURITY_PROTOCOL_IN,
            bytes,
        )?;
        let (lock, clear, scopes) = (fields.u8(4)?, fields.u8(5)?, fields.u8(7)?);
        Ok(ManagementCapabilities {
            lock: lock & 0x01 != 0,
            clear_on_demount: clear & 0x04 != 0,
            clear_on_preempt: clear & 0x02 != 0,
            clear_on_reservation_loss: clear & 0x01 != 0,
            all_scope: scopes & 0x04 != 0,
            local_scope: scopes & 0x02 != 0,
            public_scope: scopes & 0x01 != 0,
        })
    }

    /// The page as a drive sends it.
    pub fn build(&self) -> Vec<u8> {
        let bits = |flags: [bool; 3]| flags.iter().fold(0, |bits, on| bits << 1 | u8::from(*on));
        let clear =
            bits([self.clear_on_demount, self.clear_on_preempt, self.clear_on_reservation_loss]);
        let scopes = bits([self.all_scope, self.local_scope, self.public_scope]);
        let mut body = vec![u8::from(self.lock), clear, 0, scopes];
        body.resize(12, 0);
        build_page(PAGE_MANAGEMENT, &body)
    }
}
