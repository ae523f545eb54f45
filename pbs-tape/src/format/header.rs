//! The content header: what a tape file is.
//!
//! Every tape file's stream starts with it; JSON header data of `size` bytes follows, then content.
//!
//! | offset | size | field |
//! |--:|--:|---|
//! | 0 | 8 | magic `63 ee 14 9f cd f2 9b 0c` |
//! | 8 | 8 | content magic: the file's type, see [`ContentKind`] |
//! | 16 | 16 | UUID of this tape file |
//! | 32 | 8 | creation time, seconds since the epoch, i64 little-endian |
//! | 40 | 4 | length of the header data, little-endian |
//! | 44 | 1 | part number, always 0 |
//! | 45 | 3 | reserved, 0 |

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;
use zerocopy::byteorder::little_endian::{I64, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::block::{StreamReader, StreamWriter};
use crate::error::{Error, Result};

/// First 8 bytes of SHA-256 of "Proxmox Backup Content Header v1.0".
const HEADER_MAGIC: [u8; 8] = [0x63, 0xee, 0x14, 0x9f, 0xcd, 0xf2, 0x9b, 0x0c];
const HEADER_BYTES: usize = size_of::<RawHeader>();
const _: () = assert!(HEADER_BYTES == 48);

/// Longest header data that a label may have; the reference refuses more.
pub const LABEL_HEADER_DATA_BYTES_MAX: u32 = 65_536;
/// Longest header data that is accepted for other files; the format sets no limit, memory does.
pub const HEADER_DATA_BYTES_MAX: u32 = 1 << 20;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawHeader {
    magic: [u8; 8],
    content_magic: [u8; 8],
    uuid: [u8; 16],
    ctime: I64,
    size: U32,
    part_number: u8,
    reserved: [u8; 3],
}

/// The types of tape files. Each magic is the first 8 bytes of SHA-256 of the name given in the
/// comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ContentKind {
    /// "Proxmox Backup Tape Label v1.0"
    MediaLabel,
    /// "Proxmox Backup MediaSet Label v1.0"
    MediaSetLabel,
    /// "Proxmox Backup Chunk Archive v1.0": never written any more, refused by readers.
    ChunkArchiveV1_0,
    /// "Proxmox Backup Chunk Archive v1.1"
    ChunkArchiveV1_1,
    /// "Proxmox Backup Snapshot Archive v1.0": never written any more, refused by readers.
    SnapshotArchiveV1_0,
    /// "Proxmox Backup Snapshot Archive v1.1": a snapshot of the root namespace.
    SnapshotArchiveV1_1,
    /// "Proxmox Backup Snapshot Archive v1.2": a snapshot of another namespace.
    SnapshotArchiveV1_2,
    /// "Proxmox Backup Catalog Archive v1.0": the job could not touch namespaces.
    CatalogArchiveV1_0,
    /// "Proxmox Backup Catalog Archive v1.1"
    CatalogArchiveV1_1,
}

const CONTENT_MAGICS: [(ContentKind, [u8; 8]); 9] = [
    (ContentKind::MediaLabel, [0x2a, 0x05, 0xbf, 0x3c, 0xb0, 0x30, 0xaa, 0x39]),
    (ContentKind::MediaSetLabel, [0x08, 0x60, 0x63, 0xf9, 0x2f, 0x97, 0x53, 0xd8]),
    (ContentKind::ChunkArchiveV1_0, [0x3e, 0xad, 0xa7, 0x5f, 0x31, 0x4c, 0x06, 0x6e]),
    (ContentKind::ChunkArchiveV1_1, [0x6d, 0x31, 0x63, 0x6d, 0xd7, 0x02, 0x83, 0xbf]),
    (ContentKind::SnapshotArchiveV1_0, [0x09, 0xb6, 0x02, 0x1f, 0x7d, 0xe8, 0x72, 0x85]),
    (ContentKind::SnapshotArchiveV1_1, [0xda, 0x16, 0x15, 0xd0, 0x11, 0xe2, 0x9a, 0x62]),
    (ContentKind::SnapshotArchiveV1_2, [0x62, 0x10, 0x36, 0x9b, 0xba, 0x10, 0x33, 0x1d]),
    (ContentKind::CatalogArchiveV1_0, [0xb7, 0xcf, 0xc7, 0x25, 0x9e, 0x99, 0x1e, 0x73]),
    (ContentKind::CatalogArchiveV1_1, [0xb3, 0xec, 0x71, 0xf0, 0xad, 0xec, 0x02, 0x60]),
];

impl ContentKind {
    /// The type with this magic.
    pub fn from_magic(magic: [u8; 8]) -> Option<ContentKind> {
        CONTENT_MAGICS.iter().find(|(_, known)| *known == magic).map(|(kind, _)| *kind)
    }

    /// The magic on tape.
    pub fn magic(self) -> [u8; 8] {
        // Every variant has a row (a test walks them all), so the zero magic never gets out.
        CONTENT_MAGICS
            .iter()
            .find(|(kind, _)| *kind == self)
            .map(|(_, magic)| *magic)
            .unwrap_or_default()
    }

    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            ContentKind::MediaLabel => "media label",
            ContentKind::MediaSetLabel => "media-set label",
            ContentKind::ChunkArchiveV1_0 => "chunk archive (old version 1.0)",
            ContentKind::ChunkArchiveV1_1 => "chunk archive",
            ContentKind::SnapshotArchiveV1_0 => "snapshot archive (old version 1.0)",
            ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
                "snapshot archive"
            }
            ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1 => "catalog archive",
        }
    }

    /// True for both versions of the catalog archive.
    pub fn is_catalog_archive(self) -> bool {
        matches!(self, ContentKind::CatalogArchiveV1_0 | ContentKind::CatalogArchiveV1_1)
    }

    /// True for the readable versions of the snapshot archive.
    pub fn is_snapshot_archive(self) -> bool {
        matches!(self, ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2)
    }

    fn header_data_bytes_max(self) -> u32 {
        match self {
            ContentKind::MediaLabel | ContentKind::MediaSetLabel => LABEL_HEADER_DATA_BYTES_MAX,
            _ => HEADER_DATA_BYTES_MAX,
        }
    }
}

/// The decoded content header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentHeader {
    /// Type of the file.
    pub kind: ContentKind,
    /// Unique name of this tape file; media catalogs repeat it.
    pub uuid: Uuid,
    /// When the file was begun, seconds since the epoch.
    pub ctime: i64,
    /// Bytes of JSON that follow.
    pub size: u32,
    /// Always 0.
    pub part_number: u8,
    /// Always 0.
    pub reserved: [u8; 3],
}

impl ContentHeader {
    /// Starts a file: writes a header with a new UUID, and `header_data` as pretty JSON.
    ///
    /// The keys must be in the order of the format's tables: byte for byte, they are part of it.
    pub fn write<T: Serialize>(
        stream: &mut StreamWriter<'_>,
        kind: ContentKind,
        ctime: i64,
        header_data: &T,
    ) -> Result<ContentHeader> {
        let json = serde_json::to_vec_pretty(header_data)
            .map_err(|e| Error::malformed(kind.name(), e.to_string()))?;
        let size = u32::try_from(json.len())
            .ok()
            .filter(|size| (1..=kind.header_data_bytes_max()).contains(size))
            .ok_or_else(|| {
                Error::malformed(kind.name(), format!("{} bytes of header data", json.len()))
            })?;
        let uuid = Uuid::new_v4();
        let header = ContentHeader { kind, uuid, ctime, size, part_number: 0, reserved: [0; 3] };
        stream.append(header.encode().as_bytes())?;
        stream.append(&json)?;
        Ok(header)
    }

    /// Reads the header of the file that `stream` has just opened.
    pub fn read(stream: &mut StreamReader<'_>) -> Result<ContentHeader> {
        let mut bytes = [0u8; HEADER_BYTES];
        stream.read_exact(&mut bytes, "content header")?;
        ContentHeader::decode(&bytes)
    }

    /// Header and header data from the first bytes of a file's stream; with them, where the content begins. Files of
    /// chunks have all of it in their first block.
    pub(crate) fn at_start<T: DeserializeOwned>(
        stream: &[u8],
        kind: ContentKind,
    ) -> Result<(T, usize)> {
        let short = || Error::malformed(kind.name(), "its first block ends inside its head");
        let (head, rest) = stream.split_first_chunk::<HEADER_BYTES>().ok_or_else(short)?;
        let header = ContentHeader::decode(head)?;
        header.must_be(kind)?;
        let json = rest.get(..header.size as usize).ok_or_else(short)?;
        let data = serde_json::from_slice(json)
            .map_err(|e| Error::malformed(kind.name(), format!("header data: {e}")))?;
        Ok((data, HEADER_BYTES + json.len()))
    }

    /// Reads the JSON that follows the header.
    pub fn read_data<T: DeserializeOwned>(&self, stream: &mut StreamReader<'_>) -> Result<T> {
        let json = self.read_raw_data(stream)?;
        serde_json::from_slice(&json)
            .map_err(|e| Error::malformed(self.kind.name(), format!("header data: {e}")))
    }

    /// Reads the header data undecoded.
    pub fn read_raw_data(&self, stream: &mut StreamReader<'_>) -> Result<Vec<u8>> {
        let max = self.kind.header_data_bytes_max();
        if !(1..=max).contains(&self.size) {
            return Err(Error::malformed(
                self.kind.name(),
                format!("header data of {} bytes (1 to {max} are allowed)", self.size),
            ));
        }
        // At most 1 MiB by the check above.
        let mut json = vec![0u8; self.size as usize];
        stream.read_exact(&mut json, "header data")?;
        Ok(json)
    }

    fn encode(&self) -> RawHeader {
        RawHeader {
            magic: HEADER_MAGIC,
            content_magic: self.kind.magic(),
            uuid: *self.uuid.as_bytes(),
            ctime: I64::new(self.ctime),
            size: U32::new(self.size),
            part_number: self.part_number,
            reserved: self.reserved,
        }
    }

    fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<ContentHeader> {
        let raw = RawHeader::read_from_bytes(bytes)
            .map_err(|e| Error::malformed("content header", e.to_string()))?;
        if raw.magic != HEADER_MAGIC {
            return Err(Error::malformed(
                "content header",
                format!("wrong magic {}", hex::encode(raw.magic)),
            ));
        }
        let kind = ContentKind::from_magic(raw.content_magic)
            .ok_or(Error::UnknownContent { magic: raw.content_magic })?;
        Ok(ContentHeader {
            kind,
            uuid: Uuid::from_bytes(raw.uuid),
            ctime: raw.ctime.get(),
            size: raw.size.get(),
            part_number: raw.part_number,
            reserved: raw.reserved,
        })
    }

    pub(crate) fn must_be(&self, kind: ContentKind) -> Result<()> {
        if self.kind == kind {
            Ok(())
        } else {
            Err(Error::UnexpectedContent { expected: kind.name(), found: self.kind.name() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_magic() {
        let names = [
            (ContentKind::MediaLabel, "Proxmox Backup Tape Label v1.0"),
            (ContentKind::MediaSetLabel, "Proxmox Backup MediaSet Label v1.0"),
            (ContentKind::ChunkArchiveV1_0, "Proxmox Backup Chunk Archive v1.0"),
            (ContentKind::ChunkArchiveV1_1, "Proxmox Backup Chunk Archive v1.1"),
            (ContentKind::SnapshotArchiveV1_0, "Proxmox Backup Snapshot Archive v1.0"),
            (ContentKind::SnapshotArchiveV1_1, "Proxmox Backup Snapshot Archive v1.1"),
            (ContentKind::SnapshotArchiveV1_2, "Proxmox Backup Snapshot Archive v1.2"),
            (ContentKind::CatalogArchiveV1_0, "Proxmox Backup Catalog Archive v1.0"),
            (ContentKind::CatalogArchiveV1_1, "Proxmox Backup Catalog Archive v1.1"),
        ];
        assert_eq!(names.len(), CONTENT_MAGICS.len());
        for (kind, name) in names {
            let digest = openssl::sha::sha256(name.as_bytes());
            assert_eq!(kind.magic(), digest[..8], "{name}");
            assert_eq!(ContentKind::from_magic(kind.magic()), Some(kind));
        }
        let digest = openssl::sha::sha256(b"Proxmox Backup Content Header v1.0");
        assert_eq!(HEADER_MAGIC, digest[..8]);
    }

    #[test]
    fn hostile_bytes_are_refused_by_name() {
        let header = ContentHeader {
            kind: ContentKind::MediaLabel,
            uuid: Uuid::nil(),
            ctime: -1,
            size: u32::MAX,
            part_number: 0,
            reserved: [0; 3],
        };
        let raw = header.encode();
        let mut bytes = [0u8; HEADER_BYTES];
        bytes.copy_from_slice(raw.as_bytes());
        assert_eq!(ContentHeader::decode(&bytes).unwrap(), header);
        bytes[8] ^= 1;
        assert!(matches!(ContentHeader::decode(&bytes), Err(Error::UnknownContent { .. })));
        bytes[0] ^= 1;
        assert!(matches!(ContentHeader::decode(&bytes), Err(Error::Malformed { .. })));
    }
}
