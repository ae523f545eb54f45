//! Data encryption status (SSC-5 §8.5.2.7), SECURITY PROTOCOL IN page 0020h.
//!
//! | page | off | size |
//! |---|--:|--:|
//! | page code 0020h | 0 | 2 |
//! | page length | 2 | 2 |
//! | scope of this host bits 7–5, scope of the key bits 2–0 | 4 | 1 |
//! | encryption mode | 5 | 1 |
//! | decryption mode | 6 | 1 |
//! | algorithm index | 7 | 1 |
//! | key instance counter | 8 | 4 |
//! | parameters control bits 6–4, VCELB 08h, CEEMS bits 2–1, RDMD 01h | 12 | 1 |
//! | format of the key-associated data | 13 | 1 |
//! | available supplemental decryption keys | 14 | 2 |
//! | reserved | 16 | 8 |
//! | key-associated data | 24 | |

use std::fmt;

use super::{
    AssociatedData, DecryptionMode, EncryptionMode, Fields, PAGE_STATUS, Scope, build_page,
    protocol_in_cdb, request_page,
};
use crate::command::{Cdb, opcode};
use crate::transport::{Error, Transport};

/// So much must be there, whatever the page announces: some drives announce more than they send,
/// some less.
const FIXED: usize = 24;

/// Who set the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ParametersControl {
    /// Not told.
    #[default]
    Unknown,
    /// No one in particular: hosts, or whoever else may.
    Shared,
    /// Hosts only.
    Hosts,
    /// The library, through its own port of the drive.
    Library,
    /// Somebody else: a management interface.
    Management,
    /// A value of a later standard.
    Reserved,
}

/// What a drive does with the blocks that it writes and reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncryptionStatus {
    /// Scope of this host's parameters. Some devices report another than was set.
    pub scope: Scope,
    /// Scope of the key in use.
    pub key_scope: Scope,
    /// The byte of the encryption mode: 0 off, 1 external, 2 encrypt.
    pub encryption_mode: u8,
    /// The byte of the decryption mode: 0 off, 1 raw, 2 decrypt, 3 mixed.
    pub decryption_mode: u8,
    /// Index of the algorithm.
    pub algorithm: u8,
    /// Changes with each setting of parameters.
    pub key_instance: u32,
    /// Who set the parameters.
    pub control: ParametersControl,
    /// The tape holds encrypted blocks (VCELB).
    pub volume_has_encrypted: bool,
    /// Blocks written now can't be read raw (RDMD).
    pub raw_read_disabled: bool,
    /// What came with the key.
    pub associated: Vec<AssociatedData>,
}

/// `off`, or `on (modes 2/3)`, and who is in charge if that is no host.
impl fmt::Display for EncryptionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            f.write_str("off")?;
        } else {
            write!(f, "on (modes {}/{})", self.encryption_mode, self.decryption_mode)?;
        }
        match self.control {
            ParametersControl::Library => f.write_str(", managed by the library"),
            ParametersControl::Management => f.write_str(", managed outside"),
            _ => Ok(()),
        }
    }
}

impl EncryptionStatus {
    /// The command that [`EncryptionStatus::request`] sends.
    pub const fn cdb() -> Cdb {
        protocol_in_cdb(PAGE_STATUS, super::ALLOCATION)
    }

    /// A state with these modes and nothing else to tell.
    pub fn of(encryption: EncryptionMode, decryption: DecryptionMode) -> EncryptionStatus {
        EncryptionStatus {
            encryption_mode: encryption as u8,
            decryption_mode: decryption as u8,
            ..EncryptionStatus::default()
        }
    }

    /// Asks a drive. Many fail without a medium.
    pub fn request(transport: &mut dyn Transport) -> Result<EncryptionStatus, Error> {
        EncryptionStatus::parse(&request_page(transport, PAGE_STATUS)?)
    }

    /// Blocks are written and read as they are.
    pub fn is_off(&self) -> bool {
        self.modes() == (Some(EncryptionMode::Off), Some(DecryptionMode::Off))
    }

    /// Blocks are encrypted, and both kinds can be read.
    pub fn is_mixed(&self) -> bool {
        self.modes() == (Some(EncryptionMode::Encrypt), Some(DecryptionMode::Mixed))
    }

    /// The modes, where they are known ones.
    pub fn modes(&self) -> (Option<EncryptionMode>, Option<DecryptionMode>) {
        (
            EncryptionMode::from_byte(self.encryption_mode),
            DecryptionMode::from_byte(self.decryption_mode),
        )
    }

    /// Decodes the page. The fixed part must be there; key-associated data is read as far as it is whole
    /// and announced.
    pub fn parse(bytes: &[u8]) -> Result<EncryptionStatus, Error> {
        let fields =
            Fields::new(opcode::SECURITY_PROTOCOL_IN, "data encryption status page", bytes);
        let page = fields.u16(0)?;
        if page != PAGE_STATUS {
            return Err(
                fields.malformed(format_args!("page {page:04x}h instead of {PAGE_STATUS:04x}h"))
            );
        }
        fields.slice(0, FIXED)?;
        let announced = usize::from(fields.u16(2)?);
        let (scopes, flags) = (fields.u8(4)?, fields.u8(12)?);
        Ok(EncryptionStatus {
            scope: Scope::from_byte(scopes >> 5).unwrap_or_default(),
            key_scope: Scope::from_byte(scopes & 0x07).unwrap_or_default(),
            encryption_mode: fields.u8(5)?,
            decryption_mode: fields.u8(6)?,
            algorithm: fields.u8(7)?,
            key_instance: fields.u32(8)?,
            control: match flags >> 4 & 0x07 {
                0 => ParametersControl::Unknown,
                1 => ParametersControl::Shared,
                2 => ParametersControl::Hosts,
                3 => ParametersControl::Library,
                4 => ParametersControl::Management,
                _ => ParametersControl::Reserved,
            },
            volume_has_encrypted: flags & 0x08 != 0,
            raw_read_disabled: flags & 0x01 != 0,
            associated: AssociatedData::parse_whole(&fields.cut(4, announced), FIXED),
        })
    }

    /// The page as a drive sends it.
    pub fn build(&self) -> Vec<u8> {
        let control = match self.control {
            ParametersControl::Unknown | ParametersControl::Reserved => 0,
            ParametersControl::Shared => 1,
            ParametersControl::Hosts => 2,
            ParametersControl::Library => 3,
            ParametersControl::Management => 4,
        };
        let flags = control << 4
            | u8::from(self.volume_has_encrypted) << 3
            | u8::from(self.raw_read_disabled);
        let mut body = vec![
            (self.scope as u8) << 5 | self.key_scope as u8,
            self.encryption_mode,
            self.decryption_mode,
            self.algorithm,
        ];
        body.extend(self.key_instance.to_be_bytes());
        body.extend([flags, 0, 0, 0]);
        body.resize(FIXED - 4, 0);
        body.extend(AssociatedData::build_all(&self.associated, 0));
        build_page(PAGE_STATUS, &body)
    }
}
