//! Excludes: the files in the tree that list them, and how those of the user are recorded in the
//! archive.

use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{getegid, geteuid};

use super::Walker;
use crate::catalog::Kind as CatalogKind;
use crate::error::{Error, path_of};
use crate::exclude::Pattern;
use crate::metadata::Metadata;
use crate::monitor::Warning;

/// Name of the file that lists excludes in a directory.
pub(super) const EXCLUDE_FILE: &CStr = c".pxarexclude";
/// Name of the synthetic file that records the excludes given by the user.
pub(super) const RECORDED_EXCLUDES: &[u8] = b".pxarexclude-cli";
/// Longest exclude file that is read.
const EXCLUDE_FILE_BYTES_MAX: u64 = 16 << 20;

/// The JSON object that a split archive keeps its excludes in.
pub(super) fn prelude(recorded: &[u8]) -> Vec<u8> {
    let mut json = String::from(r#"{"exclude-patterns":""#);
    for character in String::from_utf8_lossy(recorded).chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\t' => json.push_str("\\t"),
            '\r' => json.push_str("\\r"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            control if control < ' ' => {
                json.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => json.push(other),
        }
    }
    json.push_str("\"}");
    json.into_bytes()
}

impl Walker<'_> {
    /// Append the patterns of the exclude file in a directory. It never fails: what can't be used is
    /// reported, and more is archived than wanted.
    pub(super) fn read_exclude_file(&mut self, directory: BorrowedFd<'_>) {
        let mut file_path = self.context.path.clone();
        file_path.push(b'/');
        file_path.extend_from_slice(EXCLUDE_FILE.to_bytes());
        let monitor = self.context.monitor;
        let warn = |reason: String| {
            monitor.warning(&Warning::ExcludeIgnored { path: path_of(&file_path), reason });
        };
        let text = match read_small_file(directory, EXCLUDE_FILE) {
            Ok(text) => text,
            Err(error) => return warn(format!("not used, it can't be read: {error}")),
        };
        for line in text.split(|byte| *byte == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let is_anchored = line.strip_prefix(b"!").unwrap_or(line).starts_with(b"/");
            if is_anchored
                && !self.context.path.is_empty()
                && !self.context.options.anchors_below_root
            {
                warn(format!(
                    "the line {} has no effect below the root of the archive",
                    crate::listing::quote(line)
                ));
                continue;
            }
            match Pattern::parse_line(line, &self.context.path) {
                Ok(pattern) => self.patterns.push(pattern),
                Err(error) => warn(error.to_string()),
            }
        }
    }

    /// The synthetic last file of the root.
    pub(super) fn record_excludes(&mut self, recorded: &[u8]) -> Result<(), Error> {
        let metadata = Metadata {
            uid: geteuid().as_raw(),
            gid: getegid().as_raw(),
            ..Metadata::regular(0o600)
        };
        let size = recorded.len() as u64;
        self.encoder.add_file(RECORDED_EXCLUDES, &metadata, size, &mut &*recorded)?;
        self.context.summary.files += 1;
        self.context.summary.content_bytes += size;
        self.catalog(RECORDED_EXCLUDES, CatalogKind::File { size, mtime: 0 })
    }
}

fn read_small_file(directory: BorrowedFd<'_>, name: &CStr) -> std::io::Result<Vec<u8>> {
    let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let file = File::from(openat(directory, name, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("not a regular file"));
    }
    if metadata.len() > EXCLUDE_FILE_BYTES_MAX {
        return Err(std::io::Error::other("longer than 16 MiB"));
    }
    let mut text = Vec::new();
    file.take(EXCLUDE_FILE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}
