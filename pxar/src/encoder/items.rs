//! Putting items together.

use zerocopy::IntoBytes;
use zerocopy::byteorder::little_endian::{I64, U32, U64};

use crate::acl::Named;
use crate::error::{Error, path_of};
use crate::format::{
    ItemType, RawAclDefault, RawAclNamed, RawEntry, RawHeader, RawPayloadRef, XATTR_NAME_LEN_MAX,
    XATTR_VALUE_LEN_MAX,
};
use crate::metadata::{FileType, Metadata};

pub(super) fn push_item(out: &mut Vec<u8>, kind: ItemType, content: &[u8]) {
    out.extend_from_slice(RawHeader::new(kind, content.len() as u64).as_bytes());
    out.extend_from_slice(content);
}

/// An item of a fixed head and a string with its NUL.
pub(super) fn push_string(out: &mut Vec<u8>, kind: ItemType, head: &[u8], string: &[u8]) {
    let len = head.len() + string.len() + 1;
    out.extend_from_slice(RawHeader::new(kind, len as u64).as_bytes());
    out.extend_from_slice(head);
    out.extend_from_slice(string);
    out.push(0);
}

pub(super) fn push_payload_ref(out: &mut Vec<u8>, offset: u64, size: u64) {
    let reference = RawPayloadRef { offset: U64::new(offset), size: U64::new(size) };
    push_item(out, ItemType::PayloadRef, reference.as_bytes());
}

pub(super) fn push_named(out: &mut Vec<u8>, kind: ItemType, list: &[Named]) {
    for named in list {
        let raw = RawAclNamed { id: U64::new(named.id), permissions: U64::new(named.permissions) };
        push_item(out, kind, raw.as_bytes());
    }
}

pub(super) fn expect_type(
    name: &[u8],
    metadata: &Metadata,
    allowed: &[FileType],
    what: &'static str,
) -> Result<(), Error> {
    if metadata.file_type().is_some_and(|found| allowed.contains(&found)) {
        Ok(())
    } else {
        Err(Error::WrongKind { path: path_of(name), expected: what.trim_start_matches("a ") })
    }
}

/// ENTRY and attribute items in the format's order.
pub(super) fn push_entry(out: &mut Vec<u8>, name: &[u8], metadata: &Metadata) -> Result<(), Error> {
    let unstorable = |reason| Error::Unstorable { name: path_of(name), reason };
    if metadata.mtime.nanos > 999_999_999 {
        return Err(unstorable("nanoseconds of the modification time exceed a second"));
    }
    let entry = RawEntry {
        mode: U64::new(metadata.mode),
        flags: U64::new(metadata.flags),
        uid: U32::new(metadata.uid),
        gid: U32::new(metadata.gid),
        mtime_secs: I64::new(metadata.mtime.secs),
        mtime_nanos: U32::new(metadata.mtime.nanos),
        zero: U32::new(0),
    };
    push_item(out, ItemType::Entry, entry.as_bytes());
    for xattr in &metadata.xattrs {
        if xattr.name.is_empty()
            || xattr.name.len() > XATTR_NAME_LEN_MAX
            || xattr.name.contains(&0)
            || xattr.name.len() + 1 + xattr.value.len() > XATTR_NAME_LEN_MAX + XATTR_VALUE_LEN_MAX
        {
            return Err(unstorable("an extended attribute exceeds the format's limits"));
        }
        let len = xattr.name.len() + 1 + xattr.value.len();
        out.extend_from_slice(RawHeader::new(ItemType::Xattr, len as u64).as_bytes());
        out.extend_from_slice(&xattr.name);
        out.push(0);
        out.extend_from_slice(&xattr.value);
    }
    let acl = &metadata.acl;
    push_named(out, ItemType::AclUser, &acl.users);
    push_named(out, ItemType::AclGroup, &acl.groups);
    if let Some(permissions) = acl.group_obj {
        push_item(out, ItemType::AclGroupObj, U64::new(permissions).as_bytes());
    }
    if let Some(base) = &acl.default {
        let raw = RawAclDefault {
            user_obj: U64::new(base.user_obj),
            group_obj: U64::new(base.group_obj),
            other: U64::new(base.other),
            mask: U64::new(base.mask),
        };
        push_item(out, ItemType::AclDefault, raw.as_bytes());
    }
    push_named(out, ItemType::AclDefaultUser, &acl.default_users);
    push_named(out, ItemType::AclDefaultGroup, &acl.default_groups);
    if let Some(fcaps) = &metadata.fcaps {
        if fcaps.len() > XATTR_NAME_LEN_MAX + XATTR_VALUE_LEN_MAX {
            return Err(unstorable("the file capabilities exceed the format's limits"));
        }
        push_item(out, ItemType::Fcaps, fcaps);
    }
    if let Some(id) = metadata.quota_project_id {
        push_item(out, ItemType::QuotaProjectId, U64::new(id).as_bytes());
    }
    Ok(())
}
