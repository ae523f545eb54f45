//! Data encryption capabilities (SSC-5 §8.5.2.4), SECURITY PROTOCOL IN page 0010h.
//!
//! | page | off | size |
//! |---|--:|--:|
//! | page code 0010h | 0 | 2 |
//! | page length | 2 | 2 |
//! | EXTDECC bits 3–2, CFG_P bits 1–0 | 4 | 1 |
//! | reserved | 5 | 15 |
//! | algorithm descriptors | 20 | 24 each |
//!
//! | algorithm descriptor | off | size |
//! |---|--:|--:|
//! | algorithm index | 0 | 1 |
//! | reserved | 1 | 1 |
//! | descriptor length 0014h | 2 | 2 |
//! | AVFMV 80h, SDK_C 40h, MAC_C 20h, DELB_C 10h, DECRYPT_C bits 3–2, ENCRYPT_C bits 1–0 | 4 | 1 |
//! | AVFCLP bits 7–6, NONCE_C bits 5–4, KADF_C 08h, VCELB_C 04h, UKADF 02h, AKADF 01h | 5 | 1 |
//! | most unauthenticated key-associated data | 6 | 2 |
//! | most authenticated key-associated data | 8 | 2 |
//! | key size | 10 | 2 |
//! | DKAD_C bits 7–6, EEMC_C bits 5–4, RDMC_C bits 3–1, EAREM 01h | 12 | 1 |
//! | reserved | 13 | 1 |
//! | most supplemental decryption keys | 14 | 2 |
//! | reserved | 16 | 4 |
//! | security algorithm code | 20 | 4 |

use super::{Fields, PAGE_CAPABILITIES, build_page, page_fields, request_page};
use crate::command::opcode;
use crate::transport::{Error, Transport};

/// AES-256 in Galois/counter mode with a tag of 128 bits.
pub const AES_256_GCM_128: u32 = 0x0001_0014;

const HEADER: usize = 20;
const DESCRIPTOR: usize = 24;
/// What the length field of a descriptor counts.
const DESCRIPTOR_LENGTH: u16 = 0x14;

/// Whether hosts may set encryption parameters (CFG_P).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostControl {
    /// Not told.
    #[default]
    Unknown,
    /// They may.
    Allowed,
    /// They may not: a library or a key manager does.
    Prevented,
    /// A value that the standard keeps for later.
    Reserved,
}

/// Whether something other than hosts can set encryption parameters (EXTDECC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExternalControl {
    /// Not told.
    #[default]
    Unknown,
    /// It can't.
    Absent,
    /// It can.
    Present,
    /// A value that the standard keeps for later.
    Reserved,
}

/// What a drive can do with an algorithm in one direction (ENCRYPT_C, DECRYPT_C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ability {
    /// Nothing.
    #[default]
    None,
    /// In software.
    Software,
    /// In hardware.
    Hardware,
    /// Only when it is told to by a library or a key manager.
    ExternalControl,
}

/// Whether encrypted blocks may be read raw by default (RDMC_C).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RawReadDefault {
    /// No control over it, or not told.
    #[default]
    Unknown,
    /// Hosts decide for each key; without a word it is allowed.
    Allowed,
    /// Hosts decide for each key; without a word it is not.
    Forbidden,
}

/// One algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Algorithm {
    /// How the algorithm is named in other pages.
    pub index: u8,
    /// It can be used with the tape that is loaded (AVFMV).
    pub valid_for_volume: bool,
    /// Blocks carry a code that tells whether they were changed (MAC_C).
    pub authenticates: bool,
    /// Encrypted and plain blocks are told apart (DELB_C).
    pub distinguishes: bool,
    /// Reading.
    pub decrypt: Ability,
    /// Writing.
    pub encrypt: Ability,
    /// Byte 5 as sent: rules for nonce and key-associated data.
    pub associated_rules: u8,
    /// Most bytes of unauthenticated key-associated data.
    pub unauthenticated_bytes_max: u16,
    /// Most bytes of authenticated key-associated data.
    pub authenticated_bytes_max: u16,
    /// Bytes of a key.
    pub key_bytes: u16,
    /// Raw reads.
    pub raw_read: RawReadDefault,
    /// Blocks remember whether a host encrypted them itself (EAREM).
    pub remembers_encryption_mode: bool,
    /// Security algorithm code.
    pub code: u32,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncryptionCapabilities {
    /// Whether somebody else can set parameters.
    pub external_control: ExternalControl,
    /// Whether hosts may.
    pub host_control: HostControl,
    /// The algorithms. Drives list several with the same code.
    pub algorithms: Vec<Algorithm>,
}

const fn ability(bits: u8) -> Ability {
    match bits & 0x03 {
        0 => Ability::None,
        1 => Ability::Software,
        2 => Ability::Hardware,
        _ => Ability::ExternalControl,
    }
}

impl Algorithm {
    fn parse(fields: &Fields<'_>, at: usize) -> Result<Algorithm, Error> {
        let flags = fields.u8(at + 4)?;
        let raw = fields.u8(at + 12)?;
        Ok(Algorithm {
            index: fields.u8(at)?,
            valid_for_volume: flags & 0x80 != 0,
            authenticates: flags & 0x20 != 0,
            distinguishes: flags & 0x10 != 0,
            decrypt: ability(flags >> 2),
            encrypt: ability(flags),
            associated_rules: fields.u8(at + 5)?,
            unauthenticated_bytes_max: fields.u16(at + 6)?,
            authenticated_bytes_max: fields.u16(at + 8)?,
            key_bytes: fields.u16(at + 10)?,
            raw_read: match raw >> 1 & 0x07 {
                4 => RawReadDefault::Allowed,
                5 => RawReadDefault::Forbidden,
                _ => RawReadDefault::Unknown,
            },
            remembers_encryption_mode: raw & 0x01 != 0,
            code: fields.u32(at + 20)?,
        })
    }

    fn build(&self) -> [u8; DESCRIPTOR] {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let [length_high, length_low] = DESCRIPTOR_LENGTH.to_be_bytes();
        let [u_high, u_low] = self.unauthenticated_bytes_max.to_be_bytes();
        let [a_high, a_low] = self.authenticated_bytes_max.to_be_bytes();
        let [key_high, key_low] = self.key_bytes.to_be_bytes();
        let [c0, c1, c2, c3] = self.code.to_be_bytes();
        let flags = flag(self.valid_for_volume, 0x80)
            | flag(self.authenticates, 0x20)
            | flag(self.distinguishes, 0x10)
            | (self.decrypt as u8) << 2
            | self.encrypt as u8;
        let raw = match self.raw_read {
            RawReadDefault::Unknown => 0,
            RawReadDefault::Allowed => 4 << 1,
            RawReadDefault::Forbidden => 5 << 1,
        } | flag(self.remembers_encryption_mode, 0x01);
        [
            self.index,
            0,
            length_high,
            length_low,
            flags,
            self.associated_rules,
            u_high,
            u_low,
            a_high,
            a_low,
            key_high,
            key_low,
            raw,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            c0,
            c1,
            c2,
            c3,
        ]
    }
}

impl EncryptionCapabilities {
    /// Asks a drive. Many fail without a medium.
    pub fn request(transport: &mut dyn Transport) -> Result<EncryptionCapabilities, Error> {
        EncryptionCapabilities::parse(&request_page(transport, PAGE_CAPABILITIES)?)
    }

    /// Decodes the page. What lies behind the announced length is not looked at; a descriptor that is
    /// cut off, or of another length, ends the list.
    pub fn parse(bytes: &[u8]) -> Result<EncryptionCapabilities, Error> {
        let fields = page_fields(
            "data encryption capabilities page",
            PAGE_CAPABILITIES,
            opcode::SECURITY_PROTOCOL_IN,
            bytes,
        )?;
        let control = fields.u8(4)?;
        let mut algorithms = Vec::new();
        let mut at = HEADER;
        while fields.slice(at, DESCRIPTOR).is_ok() && fields.u16(at + 2)? == DESCRIPTOR_LENGTH {
            algorithms.push(Algorithm::parse(&fields, at)?);
            at += DESCRIPTOR;
        }
        Ok(EncryptionCapabilities {
            external_control: match control >> 2 & 0x03 {
                0 => ExternalControl::Unknown,
                1 => ExternalControl::Absent,
                2 => ExternalControl::Present,
                _ => ExternalControl::Reserved,
            },
            host_control: match control & 0x03 {
                0 => HostControl::Unknown,
                1 => HostControl::Allowed,
                2 => HostControl::Prevented,
                _ => HostControl::Reserved,
            },
            algorithms,
        })
    }

    /// The page as a drive sends it.
    pub fn build(&self) -> Vec<u8> {
        let mut body = vec![0; HEADER - 4];
        if let Some(first) = body.first_mut() {
            *first = (self.external_control as u8) << 2 | self.host_control as u8;
        }
        for algorithm in &self.algorithms {
            body.extend(algorithm.build());
        }
        build_page(PAGE_CAPABILITIES, &body)
    }

    /// The algorithm to encrypt with: the first AES-256-GCM with keys of 32 bytes that the drive does
    /// in hardware both ways and on a host's word, whatever its index.
    pub fn aes_256_gcm(&self) -> Option<&Algorithm> {
        self.algorithms.iter().find(|one| {
            one.code == AES_256_GCM_128
                && one.key_bytes == 32
                && one.encrypt == Ability::Hardware
                && one.decrypt == Ability::Hardware
        })
    }

    /// Something other than hosts is in charge of encryption: a library, or a key manager behind it.
    pub fn is_managed_elsewhere(&self) -> bool {
        self.host_control == HostControl::Prevented
            || (!self.algorithms.is_empty()
                && self.algorithms.iter().all(|one| {
                    one.encrypt == Ability::ExternalControl
                        || one.decrypt == Ability::ExternalControl
                }))
    }
}
