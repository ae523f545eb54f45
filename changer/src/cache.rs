//! The last status of a library in a file, for those who would rather have an old answer at once than wait for a
//! robot.
//!
//! Only who asks for it gets it: no operation moves a tape by what is in a cache. The file is removed *before* the library
//! is asked and written when it has answered, so that it never shows what a library said before an error or a
//! crash in between. It is JSON of [`Status`]; what cannot be read counts as not there.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::status::Status;

/// Larger files are none of ours: 65536 elements with everything that can be told of them.
const BYTES_MAX: u64 = 64 << 20;

/// The file of one library.
#[derive(Debug, Clone)]
pub struct StatusCache {
    path: PathBuf,
}

impl StatusCache {
    /// The file of the changer `name` in `folder`, which need not exist yet.
    pub fn new(folder: &Path, name: &str) -> StatusCache {
        // A name is no path, whoever made it.
        let name: String =
            name.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
        StatusCache { path: folder.join(format!("{name}.json")) }
    }

    /// What the library said last.
    pub fn load(&self) -> Option<Status> {
        let mut text = Vec::new();
        fs::File::open(&self.path).ok()?.take(BYTES_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Forgets it.
    pub(crate) fn remove(&self) {
        // Without a file there is nothing to forget; with one that stays, storing replaces it.
        let _ = fs::remove_file(&self.path);
    }

    /// Keeps `status`. A cache that cannot be written is no cache: the operation goes on without.
    pub(crate) fn store(&self, status: &Status) {
        if self.write(status).is_err() {
            self.remove();
        }
    }

    fn write(&self, status: &Status) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temp = self.path.with_extension(format!("tmp_{}", std::process::id()));
        let written = || -> io::Result<()> {
            let mut file = fs::File::create(&temp)?;
            file.write_all(&serde_json::to_vec(status)?)?;
            // It may be lost with the power, but never half of it be there.
            file.sync_data()?;
            fs::rename(&temp, &self.path)
        };
        written().inspect_err(|_| {
            let _ = fs::remove_file(&temp);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::status;

    #[test]
    fn what_was_stored_is_loaded_until_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = StatusCache::new(&folder.path().join("changer-state"), "../lib");
        assert_eq!(cache.load(), None);
        cache.store(&status());
        assert_eq!(cache.load(), Some(status()));
        let names: Vec<_> = fs::read_dir(folder.path().join("changer-state"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [".._lib.json"]);
        cache.remove();
        assert_eq!(cache.load(), None);
    }

    #[test]
    fn a_file_that_is_no_status_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let cache = StatusCache::new(folder.path(), "lib");
        for text in ["", "{}", "[1]", "\u{0}"] {
            fs::write(folder.path().join("lib.json"), text).unwrap();
            assert_eq!(cache.load(), None, "{text}");
        }
    }
}
