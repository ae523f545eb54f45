//! Set data encryption (SSC-5 §8.5.3.2), SECURITY PROTOCOL OUT page 0010h.
//!
//! | page | off | size |
//! |---|--:|--:|
//! | page code 0010h | 0 | 2 |
//! | page length | 2 | 2 |
//! | scope bits 7–5, LOCK 01h | 4 | 1 |
//! | CEEM bits 7–6, RDMC bits 5–4, SDK 08h, CKOD 04h, CKORP 02h, CKORL 01h | 5 | 1 |
//! | encryption mode | 6 | 1 |
//! | decryption mode | 7 | 1 |
//! | algorithm index | 8 | 1 |
//! | key format, 00h plain | 9 | 1 |
//! | format of the key-associated data | 10 | 1 |
//! | reserved | 11 | 7 |
//! | key length | 18 | 2 |
//! | key | 20 | |
//! | key-associated data | | |

use std::fmt;

use zeroize::Zeroizing;

use super::{
    AssociatedData, DecryptionMode, EncryptionMode, Fields, KEY_FORMAT_PLAIN, PAGE_SET, Scope,
    page_fields, protocol_out_cdb, send_aligned,
};
use crate::command::{Cdb, opcode};
use crate::transport::{Error, Transport};

/// Bytes of a page without a key.
pub(super) const SET_BYTES: usize = 20;

/// Whether blocks written with these parameters may be read raw (RDMC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum RawReads {
    /// As the algorithm has it.
    #[default]
    Default = 0,
    /// Allowed.
    Allowed = 2,
    /// Forbidden.
    Forbidden = 3,
}

/// The page.
#[derive(Clone, PartialEq, Eq)]
pub struct SetEncryption {
    /// Whom the parameters are for.
    pub scope: Scope,
    /// Fail commands of this host if somebody else changes the parameters (LOCK).
    pub lock: bool,
    /// CEEM as a number, 0 to 3: how blocks that a host encrypted itself are checked.
    pub check_external: u8,
    /// Raw reads.
    pub raw_reads: RawReads,
    /// The key is one more to decrypt with (SDK).
    pub supplemental: bool,
    /// Clear the key when the tape is demounted (CKOD).
    pub clear_on_demount: bool,
    /// Clear the key when a reservation is pre-empted (CKORP).
    pub clear_on_preempt: bool,
    /// Clear the key when a reservation is lost (CKORL).
    pub clear_on_reservation_loss: bool,
    /// Writing.
    pub encryption: EncryptionMode,
    /// Reading.
    pub decryption: DecryptionMode,
    /// Index of the algorithm.
    pub algorithm: u8,
    /// Format of the key.
    pub key_format: u8,
    /// The key; empty for none.
    pub key: Zeroizing<Vec<u8>>,
    /// What belongs to the key.
    pub associated: Vec<AssociatedData>,
}

/// Without the key.
impl fmt::Debug for SetEncryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetEncryption")
            .field("scope", &self.scope)
            .field("encryption", &self.encryption)
            .field("decryption", &self.decryption)
            .field("algorithm", &self.algorithm)
            .field("key_bytes", &self.key.len())
            .finish_non_exhaustive()
    }
}

impl SetEncryption {
    /// Encryption and decryption off, no key.
    pub fn off(scope: Scope) -> SetEncryption {
        SetEncryption {
            scope,
            lock: false,
            check_external: 0,
            raw_reads: RawReads::Default,
            supplemental: false,
            clear_on_demount: false,
            clear_on_preempt: false,
            clear_on_reservation_loss: false,
            encryption: EncryptionMode::Off,
            decryption: DecryptionMode::Off,
            algorithm: 0,
            key_format: KEY_FORMAT_PLAIN,
            key: Zeroizing::new(Vec::new()),
            associated: Vec::new(),
        }
    }

    /// Everything written is encrypted, encrypted and plain blocks are read, for every host.
    pub fn mixed(algorithm: u8, key: &[u8]) -> SetEncryption {
        SetEncryption {
            encryption: EncryptionMode::Encrypt,
            decryption: DecryptionMode::Mixed,
            algorithm,
            key: Zeroizing::new(key.to_vec()),
            ..SetEncryption::off(Scope::All)
        }
    }

    /// The command that carries the page.
    pub fn cdb(&self) -> Cdb {
        // A page is some hundred bytes at most.
        protocol_out_cdb(PAGE_SET, self.build().len() as u32)
    }

    /// Sends the page. Whether the drive obeyed is told by its status.
    pub fn send(&self, transport: &mut dyn Transport) -> Result<(), Error> {
        send_aligned(transport, &self.cdb(), &self.build())
    }

    /// The page as a host sends it.
    pub fn build(&self) -> Zeroizing<Vec<u8>> {
        let flag = |on: bool, bit: u8| if on { bit } else { 0 };
        let associated = AssociatedData::build_all(&self.associated, 0);
        let key_length = u16::try_from(self.key.len()).unwrap_or(u16::MAX);
        let total = SET_BYTES + self.key.len() + associated.len();
        let length = u16::try_from(total - 4).unwrap_or(u16::MAX);
        // Room for all of it: a vector that grows would leave copies of the key behind.
        let mut page = Zeroizing::new(Vec::with_capacity(total));
        page.extend(PAGE_SET.to_be_bytes());
        page.extend(length.to_be_bytes());
        page.push((self.scope as u8) << 5 | u8::from(self.lock));
        page.push(
            (self.check_external & 0x03) << 6
                | (self.raw_reads as u8) << 4
                | flag(self.supplemental, 0x08)
                | flag(self.clear_on_demount, 0x04)
                | flag(self.clear_on_preempt, 0x02)
                | flag(self.clear_on_reservation_loss, 0x01),
        );
        page.extend([self.encryption as u8, self.decryption as u8, self.algorithm]);
        page.push(self.key_format);
        page.extend([0; 8]);
        page.extend(key_length.to_be_bytes());
        page.extend_from_slice(&self.key);
        page.extend(associated);
        page
    }

    /// Decodes the page as a drive does: it must be whole, and its values must exist.
    pub fn parse(bytes: &[u8]) -> Result<SetEncryption, Error> {
        let fields = page_fields(
            "set data encryption page",
            PAGE_SET,
            opcode::SECURITY_PROTOCOL_OUT,
            bytes,
        )?;
        let announced = usize::from(fields.u16(2)?);
        fields.slice(4, announced)?;
        let (scope, control) = (fields.u8(4)?, fields.u8(5)?);
        let key_length = usize::from(fields.u16(18)?);
        let unknown = |fields: &Fields<'_>, what: &str, value: u8| {
            fields.malformed(format_args!("{what} {value} is not known"))
        };
        let (encryption, decryption) = (fields.u8(6)?, fields.u8(7)?);
        Ok(SetEncryption {
            scope: Scope::from_byte(scope >> 5)
                .ok_or_else(|| unknown(&fields, "scope", scope >> 5))?,
            lock: scope & 0x01 != 0,
            check_external: control >> 6,
            raw_reads: match control >> 4 & 0x03 {
                0 => RawReads::Default,
                2 => RawReads::Allowed,
                3 => RawReads::Forbidden,
                other => return Err(unknown(&fields, "raw decryption control", other)),
            },
            supplemental: control & 0x08 != 0,
            clear_on_demount: control & 0x04 != 0,
            clear_on_preempt: control & 0x02 != 0,
            clear_on_reservation_loss: control & 0x01 != 0,
            encryption: EncryptionMode::from_byte(encryption)
                .ok_or_else(|| unknown(&fields, "encryption mode", encryption))?,
            decryption: DecryptionMode::from_byte(decryption)
                .ok_or_else(|| unknown(&fields, "decryption mode", decryption))?,
            algorithm: fields.u8(8)?,
            key_format: fields.u8(9)?,
            key: Zeroizing::new(fields.slice(SET_BYTES, key_length)?.to_vec()),
            associated: AssociatedData::parse_all(&fields, SET_BYTES + key_length)?,
        })
    }
}
