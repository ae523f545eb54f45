//! POSIX access control lists: as an archive keeps them, and as the kernel keeps them in the
//! extended attributes `system.posix_acl_access` and `system.posix_acl_default`.
//!
//! The kernel's form (`linux/posix_acl_xattr.h`), little endian: u32 version 2, then 8 bytes an
//! entry: tag u16, permissions u16, id u32 (all ones where the tag names nobody). Entries are ordered
//! owner, named users by uid, group, named groups by gid, mask, other.
//!
//! An archive keeps less of an access ACL, because owner, others and (if there is a mask) the mask
//! are the bits of `mode` anyway: named entries, and the owning group's permissions exactly if a mask
//! exists (then the group bits of `mode` are the mask). A default ACL is kept whole.

pub(crate) mod list;

use crate::format::ACL_ABSENT;
use crate::metadata::Metadata;

pub use list::{Acl, DefaultBase, Named};

/// Extended attribute that holds the access ACL.
pub const XATTR_ACCESS: &[u8] = b"system.posix_acl_access";
/// Extended attribute that holds the default ACL of a directory.
pub const XATTR_DEFAULT: &[u8] = b"system.posix_acl_default";

const VERSION: u32 = 2;
const HEADER_LEN: usize = 4;
const ENTRY_LEN: usize = 8;
const ID_NONE: u32 = u32::MAX;

const TAG_USER_OBJ: u16 = 0x01;
const TAG_USER: u16 = 0x02;
const TAG_GROUP_OBJ: u16 = 0x04;
const TAG_GROUP: u16 = 0x08;
const TAG_MASK: u16 = 0x10;
const TAG_OTHER: u16 = 0x20;

impl Acl {
    /// Take over an access ACL in the kernel's form. `None` if it can't be understood.
    #[must_use]
    pub fn add_access_xattr(&mut self, value: &[u8]) -> Option<()> {
        let mut group_obj = 0;
        let mut has_mask = false;
        for (tag, permissions, id) in entries(value)? {
            let named = Named { id: u64::from(id), permissions: u64::from(permissions) };
            match tag {
                TAG_USER => self.users.push(named),
                TAG_GROUP => self.groups.push(named),
                TAG_GROUP_OBJ => group_obj = named.permissions,
                TAG_MASK => has_mask = true,
                TAG_USER_OBJ | TAG_OTHER => {}
                _ => return None,
            }
        }
        if has_mask {
            self.group_obj = Some(group_obj);
        }
        self.users.sort_unstable();
        self.groups.sort_unstable();
        Some(())
    }

    /// Take over a default ACL in the kernel's form. `None` if it can't be understood.
    #[must_use]
    pub fn add_default_xattr(&mut self, value: &[u8]) -> Option<()> {
        let mut base = DefaultBase {
            user_obj: ACL_ABSENT,
            group_obj: ACL_ABSENT,
            other: ACL_ABSENT,
            mask: ACL_ABSENT,
        };
        let mut has_base = false;
        for (tag, permissions, id) in entries(value)? {
            let named = Named { id: u64::from(id), permissions: u64::from(permissions) };
            match tag {
                TAG_USER => self.default_users.push(named),
                TAG_GROUP => self.default_groups.push(named),
                TAG_USER_OBJ => base.user_obj = named.permissions,
                TAG_GROUP_OBJ => base.group_obj = named.permissions,
                TAG_OTHER => base.other = named.permissions,
                TAG_MASK => base.mask = named.permissions,
                _ => return None,
            }
            has_base |= !matches!(tag, TAG_USER | TAG_GROUP);
        }
        if has_base {
            self.default = Some(base);
        }
        self.default_users.sort_unstable();
        self.default_groups.sort_unstable();
        Some(())
    }
}

/// Entries of the kernel's form: tag, permissions, id.
fn entries(value: &[u8]) -> Option<impl Iterator<Item = (u16, u16, u32)> + '_> {
    let (version, rest) = value.split_first_chunk::<HEADER_LEN>()?;
    let (entries, tail) = rest.as_chunks::<ENTRY_LEN>();
    if u32::from_le_bytes(*version) != VERSION || !tail.is_empty() {
        return None;
    }
    Some(entries.iter().map(|[t0, t1, p0, p1, i0, i1, i2, i3]| {
        (
            u16::from_le_bytes([*t0, *t1]),
            u16::from_le_bytes([*p0, *p1]),
            u32::from_le_bytes([*i0, *i1, *i2, *i3]),
        )
    }))
}

struct XattrBuilder(Vec<u8>);

impl XattrBuilder {
    fn new() -> Self {
        Self(VERSION.to_le_bytes().to_vec())
    }

    fn push(&mut self, tag: u16, permissions: u64, id: u32) {
        self.0.extend_from_slice(&tag.to_le_bytes());
        self.0.extend_from_slice(&((permissions & 7) as u16).to_le_bytes());
        self.0.extend_from_slice(&id.to_le_bytes());
    }

    fn push_named(&mut self, tag: u16, list: &[Named]) -> Option<()> {
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        for named in sorted {
            // All ones would mean "nobody", so it is no id either.
            let id = u32::try_from(named.id).ok().filter(|id| *id != ID_NONE)?;
            self.push(tag, named.permissions, id);
        }
        Some(())
    }
}

/// The access ACL of an entry in the kernel's form. `None` if an id does not fit the kernel's 32
/// bits.
///
/// Named entries without a stored group entry (which no correct archive has) would leave the kernel's
/// form without its mask; the group bits of `mode` then serve as both.
#[must_use]
pub fn access_xattr(metadata: &Metadata) -> Option<Vec<u8>> {
    let mode = metadata.mode;
    let group_bits = (mode >> 3) & 7;
    let acl = &metadata.acl;
    let mut out = XattrBuilder::new();
    out.push(TAG_USER_OBJ, mode >> 6, ID_NONE);
    out.push_named(TAG_USER, &acl.users)?;
    out.push(TAG_GROUP_OBJ, acl.group_obj.unwrap_or(group_bits), ID_NONE);
    out.push_named(TAG_GROUP, &acl.groups)?;
    if acl.has_access() {
        out.push(TAG_MASK, group_bits, ID_NONE);
    }
    out.push(TAG_OTHER, mode, ID_NONE);
    Some(out.0)
}

/// The default ACL of a directory in the kernel's form. `None` if an id does not fit the kernel's 32
/// bits.
#[must_use]
pub fn default_xattr(acl: &Acl) -> Option<Vec<u8>> {
    let base = acl.default.unwrap_or(DefaultBase {
        user_obj: ACL_ABSENT,
        group_obj: ACL_ABSENT,
        other: ACL_ABSENT,
        mask: ACL_ABSENT,
    });
    let mut out = XattrBuilder::new();
    let push_base = |out: &mut XattrBuilder, tag, permissions| {
        if permissions != ACL_ABSENT {
            out.push(tag, permissions, ID_NONE);
        }
    };
    push_base(&mut out, TAG_USER_OBJ, base.user_obj);
    out.push_named(TAG_USER, &acl.default_users)?;
    push_base(&mut out, TAG_GROUP_OBJ, base.group_obj);
    out.push_named(TAG_GROUP, &acl.default_groups)?;
    push_base(&mut out, TAG_MASK, base.mask);
    push_base(&mut out, TAG_OTHER, base.other);
    Some(out.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut out = vec![2, 0, 0, 0];
        for (tag, permissions, id) in entries {
            out.extend_from_slice(&tag.to_le_bytes());
            out.extend_from_slice(&permissions.to_le_bytes());
            out.extend_from_slice(&id.to_le_bytes());
        }
        out
    }

    #[test]
    fn access_acl_goes_both_ways() {
        let value = kernel(&[
            (1, 6, ID_NONE),
            (2, 6, 1000),
            (2, 4, 1001),
            (4, 4, ID_NONE),
            (8, 5, 2000),
            (16, 6, ID_NONE),
            (32, 0, ID_NONE),
        ]);
        let mut metadata = Metadata::regular(0o660);
        metadata.acl.add_access_xattr(&value).unwrap();
        assert_eq!(metadata.acl.users.len(), 2);
        assert_eq!(metadata.acl.group_obj, Some(4));
        assert_eq!(access_xattr(&metadata).unwrap(), value);
    }

    #[test]
    fn an_acl_of_mode_bits_alone_is_nothing() {
        let mut acl = Acl::default();
        acl.add_access_xattr(&kernel(&[(1, 6, ID_NONE), (4, 4, ID_NONE), (32, 0, ID_NONE)]))
            .unwrap();
        assert!(acl.is_empty());
    }

    #[test]
    fn default_acl_goes_both_ways() {
        let value = kernel(&[
            (1, 7, ID_NONE),
            (2, 7, 1000),
            (4, 5, ID_NONE),
            (8, 5, 2000),
            (16, 7, ID_NONE),
            (32, 0, ID_NONE),
        ]);
        let mut acl = Acl::default();
        acl.add_default_xattr(&value).unwrap();
        assert_eq!(default_xattr(&acl).unwrap(), value);
        let minimal = kernel(&[(1, 7, ID_NONE), (4, 5, ID_NONE), (32, 0, ID_NONE)]);
        let mut acl = Acl::default();
        acl.add_default_xattr(&minimal).unwrap();
        assert_eq!(acl.default.unwrap().mask, ACL_ABSENT);
        assert_eq!(default_xattr(&acl).unwrap(), minimal);
    }

    #[test]
    fn malformed_values_are_refused() {
        for bad in [&b""[..], b"\x02\0\0", b"\x03\0\0\0", b"\x02\0\0\0\x01"] {
            assert!(Acl::default().add_access_xattr(bad).is_none());
            assert!(Acl::default().add_default_xattr(bad).is_none());
        }
        assert!(Acl::default().add_access_xattr(&kernel(&[(64, 0, 0)])).is_none());
        let mut metadata = Metadata::regular(0o600);
        metadata.acl.users.push(Named { id: u64::from(u32::MAX), permissions: 7 });
        assert!(access_xattr(&metadata).is_none());
    }
}
