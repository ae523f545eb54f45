//! Key-associated data (SSC-5 §8.5.4.3): what a host attaches to a key, and gets back with each block
//! that was written with it.
//!
//! | descriptor | off | size |
//! |---|--:|--:|
//! | type: 0 unauthenticated, 1 authenticated, 2 nonce, 3 metadata | 0 | 1 |
//! | flags: authenticated in the low three bits, in replies only | 1 | 1 |
//! | length | 2 | 2 |
//! | data | 4 | length |

use crate::command::fields::Fields;
use crate::transport::Error;

/// What the data is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssociatedKind {
    /// Stored beside the block, for example the name of the key.
    Unauthenticated,
    /// The same, and reading fails if it was changed.
    Authenticated,
    /// A host's part of the nonce.
    Nonce,
    /// About the key itself.
    Metadata,
    /// A type that this crate does not know.
    Other(u8),
}

impl AssociatedKind {
    const fn from_byte(byte: u8) -> AssociatedKind {
        match byte {
            0 => AssociatedKind::Unauthenticated,
            1 => AssociatedKind::Authenticated,
            2 => AssociatedKind::Nonce,
            3 => AssociatedKind::Metadata,
            other => AssociatedKind::Other(other),
        }
    }

    const fn to_byte(self) -> u8 {
        match self {
            AssociatedKind::Unauthenticated => 0,
            AssociatedKind::Authenticated => 1,
            AssociatedKind::Nonce => 2,
            AssociatedKind::Metadata => 3,
            AssociatedKind::Other(other) => other,
        }
    }
}

/// One descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssociatedData {
    /// Type.
    pub kind: AssociatedKind,
    /// At most 65535 bytes; drives take 32 or fewer.
    pub data: Vec<u8>,
}

const HEADER: usize = 4;

impl AssociatedData {
    /// Reads descriptors up to the end of `fields`, from `offset`. One that is cut off is an error.
    pub(super) fn parse_all(
        fields: &Fields<'_>,
        offset: usize,
    ) -> Result<Vec<AssociatedData>, Error> {
        let mut all = Vec::new();
        let mut at = offset;
        while !fields.from(at).is_empty() {
            let length = usize::from(fields.u16(at + 2)?);
            let kind = AssociatedKind::from_byte(fields.u8(at)?);
            let data = fields.slice(at + HEADER, length)?.to_vec();
            all.push(AssociatedData { kind, data });
            at += HEADER + length;
        }
        Ok(all)
    }

    /// The descriptors of a reply, as far as they are whole: drives that announce more than they send
    /// are common, and this data is for display.
    pub(super) fn parse_whole(fields: &Fields<'_>, offset: usize) -> Vec<AssociatedData> {
        let mut all = Vec::new();
        let mut at = offset;
        while let Ok(length) = fields.u16(at + 2) {
            let length = usize::from(length);
            let (Ok(kind), Ok(data)) = (fields.u8(at), fields.slice(at + HEADER, length)) else {
                break;
            };
            all.push(AssociatedData { kind: AssociatedKind::from_byte(kind), data: data.to_vec() });
            at += HEADER + length;
        }
        all
    }

    /// The descriptors' bytes. `flags` go into each.
    pub(super) fn build_all(all: &[AssociatedData], flags: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for one in all {
            let length = one.data.len().min(usize::from(u16::MAX));
            bytes.extend([one.kind.to_byte(), flags]);
            bytes.extend((length as u16).to_be_bytes());
            bytes.extend(one.data.get(..length).unwrap_or_default());
        }
        bytes
    }

    /// The data of the first descriptor of this type.
    pub fn find(all: &[AssociatedData], kind: AssociatedKind) -> Option<&[u8]> {
        all.iter().find(|one| one.kind == kind).map(|one| one.data.as_slice())
    }
}
