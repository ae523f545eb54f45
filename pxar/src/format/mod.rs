//! The pxar byte format: the only module of the crate that knows item types, layouts and limits.
//!
//! An archive is a flat run of *items*, all integers little endian, no alignment, no padding. Each
//! item starts with the same header; the next item starts at `start + full_size`:
//!
//! | offset | size | field       | meaning                                          |
//! |--------|------|-------------|--------------------------------------------------|
//! | 0      | 8    | `type`      | one of the constants of [`ItemType`]             |
//! | 8      | 8    | `full_size` | bytes of the item including this header (>= 16)  |
//!
//! ```text
//! archive        := [ FORMAT_VERSION [ PRELUDE ] ] directory-body       (the root has no FILENAME)
//! directory-body := ENTRY attribute* child* GOODBYE
//! child          := FILENAME ( directory-body | leaf | HARDLINK )
//! leaf           := ENTRY attribute* ( PAYLOAD | PAYLOAD_REF | SYMLINK | DEVICE | nothing )
//! attributes     := XATTR* ACL_USER* ACL_GROUP* [ACL_GROUP_OBJ] [ACL_DEFAULT]
//!                   ACL_DEFAULT_USER* ACL_DEFAULT_GROUP* [FCAPS] [QUOTA_PROJID]
//! ```
//!
//! Contents behind the header (all fixed layouts are the zerocopy structs below):
//!
//! | item           | content                                                                    |
//! |----------------|----------------------------------------------------------------------------|
//! | FORMAT_VERSION | u64, always 2                                                              |
//! | PRELUDE        | opaque bytes                                                               |
//! | ENTRY          | mode u64, flags u64, uid u32, gid u32, secs i64, nanos u32, zero u32       |
//! | ENTRY_V1       | mode u64, flags u64, uid u32, gid u32, nanoseconds since 1970 u64          |
//! | FILENAME       | name, NUL                                                                  |
//! | SYMLINK        | target, NUL                                                                |
//! | HARDLINK       | u64 distance between the two FILENAME headers, path of the target, NUL     |
//! | DEVICE         | major u64, minor u64                                                       |
//! | XATTR          | name, NUL, value                                                           |
//! | FCAPS          | value of `security.capability`                                             |
//! | QUOTA_PROJID   | u64                                                                        |
//! | ACL_*          | id u64 (where named), permissions u64                                      |
//! | ACL_DEFAULT    | user_obj, group_obj, other, mask: u64 each, all ones = absent              |
//! | PAYLOAD        | the file's bytes                                                           |
//! | PAYLOAD_REF    | offset of the PAYLOAD header in the payload stream u64, content size u64   |
//! | GOODBYE        | the directory's lookup table, see [`goodbye`]                              |
//!
//! The page `docs/formats/pxar.md` has worked examples; tests at the end of `encoder` check them
//! byte by byte.

pub mod flags;
pub mod goodbye;

use zerocopy::byteorder::little_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of an item header.
pub const HEADER_LEN: u64 = 16;
/// Longest file name, symlink target and hardlink path, without the terminating NUL.
pub const PATH_LEN_MAX: usize = 4096;
/// Longest name of an extended attribute (the kernel's limit).
pub const XATTR_NAME_LEN_MAX: usize = 255;
/// Longest value of an extended attribute (the kernel's limit).
pub const XATTR_VALUE_LEN_MAX: usize = 65536;
/// The version a FORMAT_VERSION item announces for split archives.
pub const FORMAT_VERSION_2: u64 = 2;
/// The version that is implied by a missing FORMAT_VERSION item.
pub const FORMAT_VERSION_1: u64 = 1;
/// The smallest archive that can be opened for random access holds at least this much.
pub const ARCHIVE_LEN_MIN: u64 = 24;
/// Longest prelude a reader takes, in bytes; the format itself sets no limit. Clients store their
/// exclude patterns there.
pub const PRELUDE_LEN_MAX: u64 = 64 << 20;
/// Permission value of an ACL_DEFAULT entry that does not exist.
pub const ACL_ABSENT: u64 = u64::MAX;
/// The lowest bytes a child can take: a FILENAME item with one byte of name and a HARDLINK item
/// with one byte of path. Bounds how many records a lookup table can honestly have.
pub const CHILD_LEN_MIN: u64 = (HEADER_LEN + 2) + (HEADER_LEN + 10);

/// What an item is; the discriminant is its `type` field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ItemType {
    /// First item of a version 2 archive.
    FormatVersion = 0x730f_6c75_df16_a40d,
    /// Opaque bytes of the archiver, directly behind [`ItemType::FormatVersion`].
    Prelude = 0xe309_d79d_9f7b_771b,
    /// Stat data.
    Entry = 0xd595_6474_e588_acef,
    /// Stat data in the older layout; read, never written.
    EntryV1 = 0x11da_850a_1c1c_ceff,
    /// Name of the entry that follows.
    Filename = 0x1670_1121_0639_17b3,
    /// Target of a symbolic link.
    Symlink = 0x27f9_71e7_dbf5_dc5f,
    /// A further name of an earlier regular file.
    Hardlink = 0x5126_9c84_22bd_7275,
    /// Device numbers.
    Device = 0x9fc9_e906_586d_5ce9,
    /// One extended attribute.
    Xattr = 0x0dab_0229_b57d_cd03,
    /// File capabilities.
    Fcaps = 0x2da9_dd9d_b5f7_fb67,
    /// Quota project id.
    QuotaProjectId = 0xe075_40e8_2f7d_1cbb,
    /// Named user of the access ACL.
    AclUser = 0x2ce8_540a_457d_55b8,
    /// Named group of the access ACL.
    AclGroup = 0x136e_3ece_b04c_03ab,
    /// Owning group of an access ACL that has a mask.
    AclGroupObj = 0x1086_8031_e958_2876,
    /// Base entries of the default ACL.
    AclDefault = 0xbbbb_1341_5a68_96f5,
    /// Named user of the default ACL.
    AclDefaultUser = 0xc893_57b4_0532_cd1f,
    /// Named group of the default ACL.
    AclDefaultGroup = 0xf90a_8a58_1603_8ffe,
    /// File content.
    Payload = 0x2814_7a1b_0b7c_1a25,
    /// Where file content lies in the payload stream.
    PayloadRef = 0x419d_3d6b_c4ba_977e,
    /// Lookup table, last item of a directory.
    Goodbye = 0x2fec_4fa6_42d5_731d,
    /// First item of a payload stream.
    PayloadStartMarker = 0x834c_68c2_194a_4ed2,
    /// Last item of a payload stream.
    PayloadTailMarker = 0x6c72_b78b_984c_81b5,
}

const ITEM_TYPES: [ItemType; 22] = [
    ItemType::FormatVersion,
    ItemType::Prelude,
    ItemType::Entry,
    ItemType::EntryV1,
    ItemType::Filename,
    ItemType::Symlink,
    ItemType::Hardlink,
    ItemType::Device,
    ItemType::Xattr,
    ItemType::Fcaps,
    ItemType::QuotaProjectId,
    ItemType::AclUser,
    ItemType::AclGroup,
    ItemType::AclGroupObj,
    ItemType::AclDefault,
    ItemType::AclDefaultUser,
    ItemType::AclDefaultGroup,
    ItemType::Payload,
    ItemType::PayloadRef,
    ItemType::Goodbye,
    ItemType::PayloadStartMarker,
    ItemType::PayloadTailMarker,
];

impl ItemType {
    /// The type behind the number in a header, or `None` for a number the format does not know.
    #[must_use]
    pub fn from_raw(raw: u64) -> Option<Self> {
        ITEM_TYPES.into_iter().find(|kind| *kind as u64 == raw)
    }

    /// The format's name of the item, for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FormatVersion => "FORMAT_VERSION",
            Self::Prelude => "PRELUDE",
            Self::Entry => "ENTRY",
            Self::EntryV1 => "ENTRY_V1",
            Self::Filename => "FILENAME",
            Self::Symlink => "SYMLINK",
            Self::Hardlink => "HARDLINK",
            Self::Device => "DEVICE",
            Self::Xattr => "XATTR",
            Self::Fcaps => "FCAPS",
            Self::QuotaProjectId => "QUOTA_PROJID",
            Self::AclUser => "ACL_USER",
            Self::AclGroup => "ACL_GROUP",
            Self::AclGroupObj => "ACL_GROUP_OBJ",
            Self::AclDefault => "ACL_DEFAULT",
            Self::AclDefaultUser => "ACL_DEFAULT_USER",
            Self::AclDefaultGroup => "ACL_DEFAULT_GROUP",
            Self::Payload => "PAYLOAD",
            Self::PayloadRef => "PAYLOAD_REF",
            Self::Goodbye => "GOODBYE",
            Self::PayloadStartMarker => "PAYLOAD_START_MARKER",
            Self::PayloadTailMarker => "PAYLOAD_TAIL_MARKER",
        }
    }

    /// Smallest and largest content size in bytes that a reader accepts. Items without a maximum
    /// are streamed, never held in memory as a whole.
    #[must_use]
    pub fn content_len_bounds(self) -> (u64, u64) {
        const ATTRIBUTE_LEN_MAX: u64 = (XATTR_NAME_LEN_MAX + XATTR_VALUE_LEN_MAX) as u64;
        const STRING_LEN_MAX: u64 = PATH_LEN_MAX as u64 + 1;
        match self {
            Self::FormatVersion | Self::QuotaProjectId | Self::AclGroupObj => (8, 8),
            Self::Entry => (40, 40),
            Self::EntryV1 | Self::AclDefault => (32, 32),
            Self::Filename => (2, STRING_LEN_MAX),
            Self::Symlink => (1, STRING_LEN_MAX),
            Self::Hardlink => (9, 8 + STRING_LEN_MAX),
            Self::Device
            | Self::PayloadRef
            | Self::AclUser
            | Self::AclGroup
            | Self::AclDefaultUser
            | Self::AclDefaultGroup => (16, 16),
            Self::Xattr => (1, ATTRIBUTE_LEN_MAX),
            Self::Fcaps => (0, ATTRIBUTE_LEN_MAX),
            Self::Goodbye => (goodbye::RECORD_LEN, u64::MAX - HEADER_LEN),
            Self::Prelude | Self::Payload => (0, u64::MAX - HEADER_LEN),
            Self::PayloadStartMarker | Self::PayloadTailMarker => (0, 0),
        }
    }
}

/// An item header as it lies in the archive.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// `type`, see [`ItemType`].
    pub kind: U64,
    /// Bytes of the whole item including this header.
    pub full_size: U64,
}

impl RawHeader {
    /// The header of an item of this type with `content_len` bytes of content.
    #[must_use]
    pub fn new(kind: ItemType, content_len: u64) -> Self {
        Self { kind: U64::new(kind as u64), full_size: U64::new(content_len + HEADER_LEN) }
    }
}

/// Content of an ENTRY item.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawEntry {
    /// The complete `st_mode`.
    pub mode: U64,
    /// Feature bits, see [`flags`].
    pub flags: U64,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Seconds since 1970, rounded down.
    pub mtime_secs: I64,
    /// Nanoseconds, always 0..999999999.
    pub mtime_nanos: U32,
    /// Always zero.
    pub zero: U32,
}

/// Content of an ENTRY_V1 item.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawEntryV1 {
    /// The complete `st_mode`.
    pub mode: U64,
    /// Feature bits, see [`flags`].
    pub flags: U64,
    /// Owner.
    pub uid: U32,
    /// Group.
    pub gid: U32,
    /// Nanoseconds since 1970.
    pub mtime_nanos: U64,
}

/// Content of a DEVICE item.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawDevice {
    /// Major number.
    pub major: U64,
    /// Minor number.
    pub minor: U64,
}

/// Content of a PAYLOAD_REF item.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawPayloadRef {
    /// Offset of the PAYLOAD header in the payload stream.
    pub offset: U64,
    /// Bytes of content behind that header.
    pub size: U64,
}

/// Content of ACL_USER, ACL_GROUP, ACL_DEFAULT_USER and ACL_DEFAULT_GROUP items.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawAclNamed {
    /// uid or gid.
    pub id: U64,
    /// 4 read, 2 write, 1 execute.
    pub permissions: U64,
}

/// Content of an ACL_DEFAULT item; [`ACL_ABSENT`] for an entry that does not exist.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawAclDefault {
    /// Owner.
    pub user_obj: U64,
    /// Owning group.
    pub group_obj: U64,
    /// Everybody else.
    pub other: U64,
    /// Upper bound of all groups and named users.
    pub mask: U64,
}

/// Why a name can't be a file name of an archive, or `None` if it can.
///
/// This rule is what keeps an extraction inside its target folder, so it is checked when an archive
/// is written, when it is read and once more before a name reaches the file system.
#[must_use]
pub fn invalid_name_reason(name: &[u8]) -> Option<&'static str> {
    if name.is_empty() {
        Some("is empty")
    } else if name == b"." || name == b".." {
        Some("is a reference to a directory")
    } else if name.len() > PATH_LEN_MAX {
        Some("is longer than 4096 bytes")
    } else if name.contains(&b'/') {
        Some("contains a slash")
    } else if name.contains(&0) {
        Some("contains a NUL byte")
    } else {
        None
    }
}

/// Why a path can't be the target of a hardlink, or `None` if it can: it must be relative, and
/// every component a valid name.
#[must_use]
pub fn invalid_link_path_reason(path: &[u8]) -> Option<&'static str> {
    if path.len() > PATH_LEN_MAX {
        return Some("is longer than 4096 bytes");
    }
    path.split(|byte| *byte == b'/').find_map(invalid_name_reason)
}

/// Major and minor number in a Linux `dev_t`.
#[must_use]
pub fn split_device(dev: u64) -> (u64, u64) {
    let major = ((dev >> 8) & 0xfff) | ((dev >> 32) & 0xffff_f000);
    let minor = (dev & 0xff) | ((dev >> 12) & 0xffff_ff00);
    (major, minor)
}

/// The Linux `dev_t` of a major and minor number, or `None` if they don't fit (both have 32 bits).
#[must_use]
pub fn join_device(major: u64, minor: u64) -> Option<u64> {
    if major > u64::from(u32::MAX) || minor > u64::from(u32::MAX) {
        return None;
    }
    Some(
        ((major & 0xfff) << 8)
            | ((major & 0xffff_f000) << 32)
            | (minor & 0xff)
            | ((minor & 0xffff_ff00) << 12),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_number() {
        for kind in ITEM_TYPES {
            assert_eq!(ItemType::from_raw(kind as u64), Some(kind));
            let (min, max) = kind.content_len_bounds();
            assert!(min <= max, "{}", kind.name());
        }
        assert_eq!(ItemType::from_raw(0), None);
        assert_eq!(ItemType::from_raw(goodbye::TAIL_MARKER), None);
    }

    #[test]
    fn layouts_have_the_sizes_of_their_items() {
        assert_eq!(size_of::<RawHeader>() as u64, HEADER_LEN);
        assert_eq!(size_of::<RawEntry>(), 40);
        assert_eq!(size_of::<RawEntryV1>(), 32);
        assert_eq!(size_of::<RawDevice>(), 16);
        assert_eq!(size_of::<RawPayloadRef>(), 16);
        assert_eq!(size_of::<RawAclNamed>(), 16);
        assert_eq!(size_of::<RawAclDefault>(), 32);
    }

    #[test]
    fn names_that_could_leave_a_folder_are_refused() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0", &[b'x'; 4097]] {
            assert!(invalid_name_reason(bad).is_some(), "{bad:?}");
        }
        for good in [&b"a"[..], b"...", b".a", b"\xff\xfe", b" ", &[b'x'; 4096]] {
            assert_eq!(invalid_name_reason(good), None, "{good:?}");
        }
        for bad in [&b""[..], b"/a", b"../a", b"a/../b", b"a//b", b"a/", b"a/./b"] {
            assert!(invalid_link_path_reason(bad).is_some(), "{bad:?}");
        }
        assert_eq!(invalid_link_path_reason(b"a/b/c"), None);
    }

    #[test]
    fn device_numbers_are_the_kernels() {
        assert_eq!(split_device(0x0801), (8, 1));
        for (major, minor) in [(1, 3), (8, 17), (259, 1_048_575), (0xabcd_1234, 0xdcba_5678)] {
            let dev = join_device(major, minor).unwrap();
            assert_eq!(split_device(dev), (major, minor));
            assert_eq!(dev, libc::makedev(major as u32, minor as u32));
        }
        assert_eq!(join_device(1 << 32, 0), None);
    }
}
