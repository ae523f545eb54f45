//! Next block encryption status (SSC-5 §8.5.2.8), SECURITY PROTOCOL IN page 0021h: what a READ would meet.
//!
//! | page | off | size |
//! |---|--:|--:|
//! | page code 0021h | 0 | 2 |
//! | page length | 2 | 2 |
//! | logical object number | 4 | 8 |
//! | compression bits 7–4, encryption bits 3–0 | 12 | 1 |
//! | algorithm index | 13 | 1 |
//! | EMES 02h, RDMDS 01h | 14 | 1 |
//! | format of the key-associated data | 15 | 1 |
//! | key-associated data | 16 | |

use super::{AssociatedData, PAGE_NEXT_BLOCK, build_page, page_fields, request_page};
use crate::command::opcode;
use crate::transport::{Error, Transport};

const FIXED: usize = 16;

/// How the next object is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum BlockEncryption {
    /// The drive can't tell.
    NotCapable = 0,
    /// The drive can't tell now.
    NotNow = 1,
    /// No block: a filemark or the end of data.
    NotABlock = 2,
    /// Not encrypted.
    Plain = 3,
    /// Encrypted with an algorithm that the drive does not know.
    UnknownAlgorithm = 4,
    /// Encrypted; the present key and settings read it.
    Readable = 5,
    /// Encrypted; the present key and settings do not read it.
    NotReadable = 6,
}

/// The page. Drives are not exact about it: for display only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextBlockStatus {
    /// Logical object number of the object.
    pub object: u64,
    /// How it is encrypted; `None` for a value of a later standard.
    pub encryption: Option<BlockEncryption>,
    /// Index of the algorithm.
    pub algorithm: u8,
    /// A host encrypted it itself (EMES).
    pub is_external: bool,
    /// Raw reads of it are not allowed (RDMDS).
    pub raw_read_disabled: bool,
    /// What came with the key that it was written with.
    pub associated: Vec<AssociatedData>,
}

impl NextBlockStatus {
    /// Asks a drive. Needs a medium.
    pub fn request(transport: &mut dyn Transport) -> Result<NextBlockStatus, Error> {
        NextBlockStatus::parse(&request_page(transport, PAGE_NEXT_BLOCK)?)
    }

    /// Decodes the page.
    pub fn parse(bytes: &[u8]) -> Result<NextBlockStatus, Error> {
        let fields = page_fields(
            "next block encryption status page",
            PAGE_NEXT_BLOCK,
            opcode::SECURITY_PROTOCOL_IN,
            bytes,
        )?;
        let flags = fields.u8(14)?;
        fields.u8(FIXED - 1)?;
        Ok(NextBlockStatus {
            object: fields.u64(4)?,
            encryption: match fields.u8(12)? & 0x0f {
                0 => Some(BlockEncryption::NotCapable),
                1 => Some(BlockEncryption::NotNow),
                2 => Some(BlockEncryption::NotABlock),
                3 => Some(BlockEncryption::Plain),
                4 => Some(BlockEncryption::UnknownAlgorithm),
                5 => Some(BlockEncryption::Readable),
                6 => Some(BlockEncryption::NotReadable),
                _ => None,
            },
            algorithm: fields.u8(13)?,
            is_external: flags & 0x02 != 0,
            raw_read_disabled: flags & 0x01 != 0,
            associated: AssociatedData::parse_whole(&fields, FIXED),
        })
    }

    /// The page as a drive sends it. It does not tell about compression.
    pub fn build(&self) -> Vec<u8> {
        let encryption = self.encryption.map_or(0, |encryption| encryption as u8);
        let flags = u8::from(self.is_external) << 1 | u8::from(self.raw_read_disabled);
        let mut body = self.object.to_be_bytes().to_vec();
        body.extend([encryption, self.algorithm, flags, 0]);
        body.extend(AssociatedData::build_all(&self.associated, 0));
        build_page(PAGE_NEXT_BLOCK, &body)
    }
}
