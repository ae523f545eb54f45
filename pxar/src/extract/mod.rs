//! Restoring an archive to a real directory.
//!
//! # Why an archive can't leave the target folder
//!
//! Nothing is ever addressed by a path. Each directory of the archive is a descriptor that was opened
//! below its parent's with `O_NOFOLLOW | O_DIRECTORY`, and every entry is made relative to such a
//! descriptor under a single component that is neither `..` nor contains a slash (checked once more
//! in `extractor`). Files are created with `O_EXCL | O_NOFOLLOW`; "overwriting" removes the old name and creates
//! a new file, so that neither a link nor a pipe nor another name of a foreign file is ever written
//! through. A hardlink must name, by offset *and* by path, a regular file that this very extraction
//! created; its directory is looked up component by component from the target folder without
//! following links. A partly written file is removed.
//!
//! While a tree is being restored its new directories are 0700: nobody else can get in between, and
//! their stored metadata, applied when the directory is complete, survive.
//!
//! # Cost
//!
//! A plain file takes `openat`, one `pwrite` a MiB, `fchown` only if its owner is another one than the
//! kernel gave it, `fchmod`, `utimensat`, `close`; attributes, ACLs and flags cost nothing where none
//! are stored.

mod extractor;
mod options;
mod place;
mod reporter;
mod restore;
mod selected;
mod sparse;
#[cfg(test)]
mod tests;

use std::io::Read;
use std::path::Path;

use crate::decoder::{Decoder, Event};
use crate::error::Error;
use crate::monitor::Monitor;
use extractor::Extractor;

pub use options::{OnError, Options, Summary};
pub use selected::extract_selected;

/// Restore an archive from front to back into the directory `target`, which is created if missing.
///
/// `payload` is the payload stream of a split archive.
///
/// # Errors
/// The archive is damaged or can't be read; the target can't be opened; the monitor aborted; and
/// with [`OnError::Abort`] the first entry that can't be restored. With [`OnError::Continue`] such
/// entries are counted in [`Summary::failed`].
pub fn extract(
    archive: impl Read,
    payload: Option<&mut dyn Read>,
    target: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    let mut decoder = Decoder::begin(archive, payload)?;
    if !decoder.has_contents() {
        return Err(Error::Misuse("a split archive is restored with its payload stream"));
    }
    let mut extractor = Extractor::open(target, options, monitor)?;
    while let Some(event) = decoder.next_event()? {
        let entry = match event {
            Event::LeaveDirectory => {
                extractor.leave_directory(decoder.path())?;
                continue;
            }
            Event::Entry(entry) => entry,
        };
        // The decoder is borrowed for the content, so its path has to be copied; the buffer is kept.
        extractor.set_path(decoder.path());
        extractor.entry(entry.offset, &entry.metadata, &entry.kind, &mut decoder.content())?;
    }
    Ok(extractor.reporter.summary)
}
