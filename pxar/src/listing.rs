//! Entries as lines for people.
//!
//! Paths are quoted like a Rust string, so that a name with a newline or bytes that are no UTF-8 is
//! still one unambiguous line.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;

use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;

use crate::catalog;
use crate::decoder::EntryKind;
use crate::metadata::{FileType, Metadata};

/// A path or name in quotes, unprintable bytes escaped.
#[must_use]
pub fn quote(path: &[u8]) -> String {
    format!("{:?}", OsStr::from_bytes(path))
}

/// `ls`-like mode string: type letter, nine permission letters, then `+` or a blank for ACLs and the
/// same for extended attributes. Hardlinks have the letter `L` and no permissions of their own.
#[must_use]
pub fn mode_string(metadata: &Metadata, kind: &EntryKind) -> String {
    let mode = metadata.mode;
    let letter = match (kind, metadata.file_type()) {
        (EntryKind::Hardlink { .. }, _) => 'L',
        (EntryKind::Directory, _) => 'd',
        (EntryKind::File { .. }, _) => '-',
        (EntryKind::Symlink { .. }, _) => 'l',
        (EntryKind::Fifo, _) => 'p',
        (EntryKind::Socket, _) => 's',
        (EntryKind::Device { .. }, Some(FileType::BlockDevice)) => 'b',
        (EntryKind::Device { .. }, _) => 'c',
    };
    let mut out = String::from(letter);
    // (shift of the three bits, special bit, its letter with and without execute permission)
    for (shift, special, with, without) in
        [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')]
    {
        let bits = mode >> shift;
        out.push(if bits & 4 != 0 { 'r' } else { '-' });
        out.push(if bits & 2 != 0 { 'w' } else { '-' });
        out.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    out.push(if metadata.acl.is_empty() { ' ' } else { '+' });
    let has_xattrs = !metadata.xattrs.is_empty() || metadata.fcaps.is_some();
    out.push(if has_xattrs { '+' } else { ' ' });
    out
}

/// A time as `YYYY-MM-DD HH:MM:SS` in the time zone, or its number where no calendar reaches.
#[must_use]
pub fn time_string(secs: i64, zone: &TimeZone) -> String {
    match Instant::from_second(secs) {
        Ok(instant) => instant.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => secs.to_string(),
    }
}

/// One line for an entry: mode, owner, time, size or device numbers, path, target, and in split
/// archives where the content lies in the payload stream.
#[must_use]
pub fn entry_line(path: &[u8], metadata: &Metadata, kind: &EntryKind, zone: &TimeZone) -> String {
    let size = match kind {
        EntryKind::File { size, .. } => size.to_string(),
        EntryKind::Device { major, minor } => format!("{major},{minor}"),
        _ => "0".to_owned(),
    };
    let owner = format!("{}/{}", metadata.uid, metadata.gid);
    let mut line = format!(
        "{} {owner:<13} {} {size:>10} {}",
        mode_string(metadata, kind),
        time_string(metadata.mtime.secs, zone),
        quote(path),
    );
    // Writing into a String can't fail.
    let _ = match kind {
        EntryKind::Symlink { target } | EntryKind::Hardlink { target, .. } => {
            write!(line, " -> {}", quote(target))
        }
        EntryKind::File { payload_offset: Some(offset), .. } => write!(line, " {offset}"),
        _ => Ok(()),
    };
    line
}

/// One line of a catalog dump: type letter, quoted path from `./`, and for files size and time.
#[must_use]
pub fn catalog_line(found: catalog::Found<'_>, zone: &TimeZone) -> String {
    let letter = char::from(found.entry.kind.letter());
    let path = quote(&[b".", found.path].concat());
    match found.entry.kind {
        catalog::Kind::File { size, mtime } => {
            let time = match Instant::from_second(mtime) {
                Ok(instant) => {
                    instant.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
                }
                Err(_) => mtime.to_string(),
            };
            format!("{letter} {path} {size} {time}")
        }
        _ => format!("{letter} {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::Named;
    use crate::metadata::{Timestamp, Xattr};

    #[test]
    fn lines() {
        let mut metadata = Metadata {
            uid: 1000,
            gid: 100,
            mtime: Timestamp { secs: 1_600_000_000, nanos: 5 },
            ..Metadata::regular(0o6755)
        };
        let kind = EntryKind::File { size: 42, payload_offset: None };
        assert_eq!(
            entry_line(b"/a\nb", &metadata, &kind, &TimeZone::UTC),
            r#"-rwsr-sr-x   1000/100      2020-09-13 12:26:40         42 "/a\nb""#
        );
        metadata.mode = 0o101_644;
        metadata.acl.users.push(Named { id: 1, permissions: 4 });
        metadata.xattrs.push(Xattr { name: b"user.a".to_vec(), value: Vec::new() });
        let kind = EntryKind::File { size: 42, payload_offset: Some(16) };
        let line = entry_line(b"/\xff", &metadata, &kind, &TimeZone::UTC);
        assert!(line.starts_with("-rw-r--r-T++ "), "{line}");
        assert!(line.ends_with(r#" "/\xFF" 16"#), "{line}");
        let link = EntryKind::Symlink { target: b"x y".to_vec() };
        let line = entry_line(b"/l", &Metadata::with_mode(0o120_777), &link, &TimeZone::UTC);
        assert!(line.starts_with("lrwxrwxrwx") && line.ends_with(r#""/l" -> "x y""#), "{line}");
        let device = EntryKind::Device { major: 8, minor: 17 };
        let line = entry_line(b"/d", &Metadata::with_mode(0o60644), &device, &TimeZone::UTC);
        assert!(line.starts_with("brw-r--r--") && line.contains(" 8,17 "), "{line}");
        assert_eq!(time_string(i64::MAX, &TimeZone::UTC), i64::MAX.to_string());
    }
}
