//! The names in a directory, sorted, in two allocations however many there are.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use nix::dir::{Dir, Type};
use nix::errno::Errno;

struct Name {
    start: usize,
    /// With the NUL.
    len: usize,
    kind: Option<Type>,
}

/// Names of a directory's entries in ascending byte order.
pub(super) struct Names {
    bytes: Vec<u8>,
    names: Vec<Name>,
    next: usize,
}

impl Names {
    /// Read a directory that was just opened. Gives the descriptor back inside its stream.
    pub(super) fn read(directory: OwnedFd) -> Result<(Self, Dir), Errno> {
        let mut stream = Dir::from_fd(directory)?;
        let mut names = Self { bytes: Vec::new(), names: Vec::new(), next: 0 };
        for entry in stream.iter() {
            let entry = entry?;
            let name = entry.file_name().to_bytes_with_nul();
            if name == b".\0" || name == b"..\0" {
                continue;
            }
            let start = names.bytes.len();
            names.bytes.extend_from_slice(name);
            names.names.push(Name { start, len: name.len(), kind: entry.file_type() });
        }
        let bytes = &names.bytes;
        // Comparing with the NULs is the same order: NUL is less than every byte of a name.
        names.names.sort_unstable_by(|a, b| slice(bytes, a).cmp(slice(bytes, b)));
        Ok((names, stream))
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn contains(&self, name: &[u8]) -> bool {
        let bytes = &self.bytes;
        let found = self.names.binary_search_by(|probe| {
            let probe = slice(bytes, probe);
            probe.strip_suffix(b"\0").unwrap_or(probe).cmp(name)
        });
        found.is_ok()
    }

    /// Take the next name and what the directory says it is, if it says.
    pub(super) fn next(&mut self) -> Option<(&CStr, Option<Type>)> {
        let name = self.names.get(self.next)?;
        self.next += 1;
        // Names come from C strings, so this can't fail; an empty name would fail at `openat`.
        let text = CStr::from_bytes_with_nul(slice(&self.bytes, name)).unwrap_or_default();
        Some((text, name.kind))
    }
}

fn slice<'a>(bytes: &'a [u8], name: &Name) -> &'a [u8] {
    bytes.get(name.start..name.start + name.len).unwrap_or_default()
}
