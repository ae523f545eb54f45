//! What the tests with whole worlds share: bytes, folders, and a place for a chunk.

use std::path::Path;

use datastore::{Datastore, Digest};
use tempfile::TempDir;

/// A folder in memory where there is one.
pub fn memory_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Bytes that do not compress and are the same in each run.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut value = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
        (value >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Makes the folder of a chunk, which stores without all their folders lack.
pub fn allow_chunk(store: &Datastore, digest: &Digest) {
    std::fs::create_dir_all(store.chunks().path(digest).parent().unwrap()).unwrap();
}

/// Copies a folder with all below it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
