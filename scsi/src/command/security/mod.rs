//! Tape data encryption (SSC-5 §8.5) through SECURITY PROTOCOL IN and OUT (SPC-4 §6.40, §6.41).
//!
//! Each page has a file that knows its bytes, for hosts and for emulated drives alike:
//!
//! | page | direction | file |
//! |---|---|---|
//! | security protocol 00h, 0000h: supported protocols | IN | `lists` |
//! | 20h, 0000h and 0001h: supported IN and OUT pages | IN | `lists` |
//! | 20h, 0010h: capabilities | IN | `capabilities` |
//! | 20h, 0010h: set data encryption | OUT | `set` |
//! | 20h, 0011h and 0012h: key formats, management capabilities | IN | `lists` |
//! | 20h, 0020h: status | IN | `status` |
//! | 20h, 0021h: next block status | IN | `next_block` |
//!
//! Key-associated data, which several pages carry, is in `associated`.
//!
//! Drives announce more than they send, and send more than they announce. A reply is cut to the length in
//! its page header; a page that is cut itself is read as far as its fixed part is there. Replies are
//! asked for with 8192 bytes: some drives refuse other allocation lengths. What carries a key is page-aligned, so
//! that no way to a device copies it to a buffer of its own, and is wiped when it is dropped.

mod associated;
mod capabilities;
mod lists;
mod next_block;
mod set;
mod status;

pub use associated::{AssociatedData, AssociatedKind};
pub use capabilities::{
    AES_256_GCM_128, Ability, Algorithm, EncryptionCapabilities, ExternalControl, HostControl,
    RawReadDefault,
};
pub use lists::{
    KEY_FORMAT_PLAIN, ManagementCapabilities, key_formats, page_list, parse_key_formats,
    parse_page_list, parse_protocols, protocols,
};
pub use next_block::{BlockEncryption, NextBlockStatus};
pub use set::{RawReads, SetEncryption};
pub use status::{EncryptionStatus, ParametersControl};

use zeroize::Zeroizing;

use super::fields::Fields;
use super::{Cdb, fetch, opcode, put, timeout};
use crate::transport::{Error, Transport};

/// Security protocol that lists the protocols.
pub const PROTOCOL_INFORMATION: u8 = 0x00;
/// Security protocol of tape data encryption.
pub const PROTOCOL_TAPE_DATA_ENCRYPTION: u8 = 0x20;
/// IN: supported IN pages (under protocol 00h: supported protocols).
pub const PAGE_IN_LIST: u16 = 0x0000;
/// IN: supported OUT pages.
pub const PAGE_OUT_LIST: u16 = 0x0001;
/// IN: capabilities.
pub const PAGE_CAPABILITIES: u16 = 0x0010;
/// OUT: set data encryption.
pub const PAGE_SET: u16 = 0x0010;
/// IN: supported key formats.
pub const PAGE_KEY_FORMATS: u16 = 0x0011;
/// IN: management capabilities.
pub const PAGE_MANAGEMENT: u16 = 0x0012;
/// IN: status.
pub const PAGE_STATUS: u16 = 0x0020;
/// IN: next block status.
pub const PAGE_NEXT_BLOCK: u16 = 0x0021;

/// Some drives refuse more, some less.
const ALLOCATION: u32 = 8192;

/// What a drive does with blocks on their way to the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum EncryptionMode {
    /// Written as they are.
    #[default]
    Off = 0,
    /// The host sends blocks that are encrypted already.
    External = 1,
    /// Encrypted by the drive.
    Encrypt = 2,
}

/// What a drive does with blocks on their way to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum DecryptionMode {
    /// Plain blocks only; an encrypted one is an error.
    #[default]
    Off = 0,
    /// Encrypted blocks are delivered as they are stored.
    Raw = 1,
    /// Encrypted blocks are decrypted; a plain one is an error.
    Decrypt = 2,
    /// Encrypted blocks are decrypted, plain ones delivered as they are.
    Mixed = 3,
}

impl EncryptionMode {
    /// From the number on the wire.
    pub const fn from_byte(byte: u8) -> Option<EncryptionMode> {
        match byte {
            0 => Some(EncryptionMode::Off),
            1 => Some(EncryptionMode::External),
            2 => Some(EncryptionMode::Encrypt),
            _ => None,
        }
    }
}

impl DecryptionMode {
    /// From the number on the wire.
    pub const fn from_byte(byte: u8) -> Option<DecryptionMode> {
        match byte {
            0 => Some(DecryptionMode::Off),
            1 => Some(DecryptionMode::Raw),
            2 => Some(DecryptionMode::Decrypt),
            3 => Some(DecryptionMode::Mixed),
            _ => None,
        }
    }
}

/// Whom a set of encryption parameters is for (SSC-5 §4.2.22).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Scope {
    /// Whatever other hosts share, or the default: off.
    #[default]
    Public = 0,
    /// The host that set it.
    Local = 1,
    /// Every host that has none of its own.
    All = 2,
}

impl Scope {
    /// From the number on the wire.
    pub const fn from_byte(byte: u8) -> Option<Scope> {
        match byte {
            0 => Some(Scope::Public),
            1 => Some(Scope::Local),
            2 => Some(Scope::All),
            _ => None,
        }
    }
}

const fn protocol_cdb(opcode: u8, protocol: u8, page: u16, length: u32) -> Cdb {
    let [high, low] = page.to_be_bytes();
    let [a, b, c, d] = length.to_be_bytes();
    Cdb::new([opcode, protocol, high, low, 0, 0, a, b, c, d, 0, 0])
}

/// SECURITY PROTOCOL IN for a page of tape data encryption; the allocation length counts bytes.
pub const fn protocol_in_cdb(page: u16, allocation: u32) -> Cdb {
    protocol_cdb(opcode::SECURITY_PROTOCOL_IN, PROTOCOL_TAPE_DATA_ENCRYPTION, page, allocation)
}

/// SECURITY PROTOCOL OUT for a page of tape data encryption of `length` bytes.
pub const fn protocol_out_cdb(page: u16, length: u32) -> Cdb {
    protocol_cdb(opcode::SECURITY_PROTOCOL_OUT, PROTOCOL_TAPE_DATA_ENCRYPTION, page, length)
}

/// SECURITY PROTOCOL IN for the list of security protocols.
pub const fn protocols_cdb() -> Cdb {
    protocol_cdb(opcode::SECURITY_PROTOCOL_IN, PROTOCOL_INFORMATION, PAGE_IN_LIST, ALLOCATION)
}

fn request_page(transport: &mut dyn Transport, page: u16) -> Result<Vec<u8>, Error> {
    fetch(transport, &protocol_in_cdb(page, ALLOCATION), ALLOCATION as usize, timeout::SHORT)
}

/// The list of security protocols that a device knows.
pub fn request_protocols(transport: &mut dyn Transport) -> Result<Vec<u8>, Error> {
    parse_protocols(&fetch(transport, &protocols_cdb(), ALLOCATION as usize, timeout::SHORT)?)
}

/// The fields of a page whose code must be `page`, cut to the length that its header announces.
fn page_fields<'a>(
    what: &'static str,
    page: u16,
    opcode: u8,
    bytes: &'a [u8],
) -> Result<Fields<'a>, Error> {
    let fields = Fields::new(opcode, what, bytes);
    let found = fields.u16(0)?;
    if found != page {
        return Err(fields.malformed(format_args!("page {found:04x}h instead of {page:04x}h")));
    }
    let announced = usize::from(fields.u16(2)?);
    Ok(fields.cut(4, announced))
}

/// A page: code, length, body.
fn build_page(page: u16, body: &[u8]) -> Vec<u8> {
    // Bodies are a few hundred bytes.
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    [&page.to_be_bytes()[..], &length.to_be_bytes(), body].concat()
}

/// Sends a set-encryption page from a page-aligned buffer that is wiped afterwards.
fn send_aligned(transport: &mut dyn Transport, cdb: &Cdb, page: &[u8]) -> Result<(), Error> {
    let mut store = Zeroizing::new(vec![0u8; page.len() + PAGE_ALIGNMENT]);
    let start = store.as_ptr().align_offset(PAGE_ALIGNMENT).min(PAGE_ALIGNMENT);
    let Some(aligned) = store.get_mut(start..start + page.len()) else {
        return put(transport, cdb, page, timeout::SHORT);
    };
    aligned.copy_from_slice(page);
    put(transport, cdb, aligned, timeout::SHORT)
}

const PAGE_ALIGNMENT: usize = 4096;

/// The command that [`clear_encryption`] sends.
pub const fn clear_encryption_cdb() -> Cdb {
    protocol_out_cdb(PAGE_SET, set::SET_BYTES as u32)
}

/// The page that turns encryption and decryption off for every host, and removes the key.
pub fn clear_encryption_page() -> Vec<u8> {
    SetEncryption::off(Scope::All).build().to_vec()
}

/// Turns encryption and decryption off. Whether the drive obeyed is told by its status.
pub fn clear_encryption(transport: &mut dyn Transport) -> Result<(), Error> {
    SetEncryption::off(Scope::All).send(transport)
}

#[cfg(test)]
mod tests;
