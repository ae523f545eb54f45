//! Which names are leftovers of writers (`docs/formats/datastore.md`).

use std::path::{Path, PathBuf};

use crate::digest::Digest;
use crate::storage::Entry;

/// The path of an entry. A name that is no text becomes one that nothing has; it is only shown.
pub fn join(dir: &Path, entry: &Entry) -> PathBuf {
    dir.join(entry.name.as_deref().unwrap_or("(a name that is no text)"))
}

/// True for names that garbage collection does not see.
pub fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// True for `tmp_` and six letters or digits.
fn is_temporary_extension(extension: &str) -> bool {
    extension.strip_prefix("tmp_").is_some_and(|random| {
        random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

/// True for the unfinished version of a file `name` that is replaced in one step.
pub fn is_temporary_of(text: &str, name: &str) -> bool {
    text.strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('.'))
        .is_some_and(is_temporary_extension)
}

/// True for the unfinished version of any file of a snapshot: `root.pxar.tmp_b3dk7q`, and the
/// reference's `root.pxar.tmp_didx`, `root.pxar.tmp_fidx`, `root.pxar.tmp`, `root.pxar.tmpdec`.
pub fn is_temporary(text: &str) -> bool {
    text.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (is_temporary_extension(extension)
                || matches!(extension, "tmp" | "tmpdec" | "tmp_didx" | "tmp_fidx"))
    })
}

/// What a name in a folder of chunks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkFile {
    /// A chunk; its name may be in upper case.
    Chunk(Digest),
    /// A damaged one.
    Bad(Digest),
    /// Unfinished work.
    Temporary,
    /// A mark of the reference for stores that cache an object store.
    ObjectStoreMark,
    /// Nothing that the format knows.
    Unknown,
}

/// Takes a name in a folder of chunks apart.
pub fn chunk_file(name: &str) -> ChunkFile {
    let (stem, rest) = name.split_at_checked(64).unwrap_or((name, ""));
    let Ok(digest) = stem.parse::<Digest>() else { return ChunkFile::Unknown };
    match rest.as_bytes() {
        b"" => ChunkFile::Chunk(digest),
        b".using" => ChunkFile::ObjectStoreMark,
        [b'.', b'0'..=b'9', b'.', b'b', b'a', b'd'] => ChunkFile::Bad(digest),
        [b'.', ..] if is_temporary_of(name, stem) => ChunkFile::Temporary,
        _ => ChunkFile::Unknown,
    }
}

/// The number of a folder of chunks by its name, and whether the name is written as it should be.
pub fn chunk_folder(name: &str) -> Option<(u16, bool)> {
    if name.len() != 4 || !name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let number = u16::from_str_radix(name, 16).ok()?;
    Some((number, !name.bytes().any(|b| b.is_ascii_uppercase())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_of_all_writers() {
        for name in [
            "index.json.tmp_aB3dE9",
            "index.json.blob.tmp_aB3dE9",
            "root.pxar.tmp_didx",
            "disk.img.tmp_fidx",
            "root.pxar.tmp",
            "index.json.tmp",
            "root.pxar.tmpdec",
        ] {
            assert!(is_temporary(name), "{name}");
        }
        let own = crate::storage::temp_path(Path::new("/x/index.json.blob"));
        assert!(is_temporary(own.file_name().unwrap().to_str().unwrap()));
        for name in [
            "index.json.blob",
            "root.pxar.didx",
            "x.tmp_",
            "x.tmp_12345",
            "x.tmp_1234567",
            "x.tmp_12-456",
            "tmp_123456",
            ".tmp_didx",
            ".tmp",
            ".protected",
            "tmp",
            "x.temp",
        ] {
            assert!(!is_temporary(name), "{name}");
        }
        assert!(is_temporary_of(".gc-status.tmp_abcdef", ".gc-status"));
        assert!(!is_temporary_of(".gc-status", ".gc-status"));
        assert!(!is_temporary_of("x.gc-status.tmp_abcdef", ".gc-status"));
    }

    #[test]
    fn names_in_chunk_folders() {
        let digest = Digest::of(b"x");
        let with = |rest: &str| chunk_file(&format!("{digest}{rest}"));
        assert_eq!(with(""), ChunkFile::Chunk(digest));
        assert_eq!(chunk_file(&digest.to_string().to_uppercase()), ChunkFile::Chunk(digest));
        assert_eq!(with(".0.bad"), ChunkFile::Bad(digest));
        assert_eq!(with(".tmp_abc123"), ChunkFile::Temporary);
        assert_eq!(with(".using"), ChunkFile::ObjectStoreMark);
        for rest in [".12.bad", ".x.bad", ".bad", ".tmp", ".tmp_didx", "0", ".", ".0.bad2"] {
            assert_eq!(with(rest), ChunkFile::Unknown, "{rest}");
        }
        for name in ["", "abc", "ä", &"ä".repeat(40), &"g".repeat(64)] {
            assert_eq!(chunk_file(name), ChunkFile::Unknown, "{name}");
        }
        assert_eq!(chunk_folder("00ff"), Some((255, true)));
        assert_eq!(chunk_folder("00fF"), Some((255, false)));
        for name in ["", "0", "+0ff", "00fg", "000ff"] {
            assert_eq!(chunk_folder(name), None, "{name}");
        }
    }
}
