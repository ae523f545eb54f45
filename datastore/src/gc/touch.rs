//! Touching every chunk in use, once.
//!
//! This collector's own sweep goes by its marks and would not need it. Other implementations of the
//! format have no marks when they sweep: they keep what was touched, and a chunk that only this
//! collector kept alive must not look abandoned to them.
//!
//! A chunk that is missing is no reason to stop, for it is no worse afterwards; but its bad copies, if
//! verification set some aside, are then the only thing left of it, and are touched in its place.

use std::io;

use super::Run;
use super::marks::Marked;
use super::parallel::for_each;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::storage::StorageDir;

/// Chunk folders that a thread takes at once: those whose chunks share a mutex, so that two threads
/// do not wait for each other.
const FOLDERS_AT_ONCE: u64 = 256;

/// What was touched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Touched {
    /// Chunks.
    pub chunks: u64,
    /// Chunks that are not there.
    pub missing: u64,
}

pub(super) fn touch(run: &Run<'_>, marked: &Marked) -> Result<Touched> {
    let prefixes = marked.prefixes();
    let tallies = for_each(
        prefixes.start.into()..prefixes.end.into(),
        FOLDERS_AT_ONCE,
        run.options.threads,
        |piece, touched| {
            let prefix = piece as u16; // Pieces are prefixes, and those have 16 bits.
            touch_folder(run, prefix, marked.of_prefix(prefix), touched)
        },
        |done| run.progress.step("touch", done, prefixes.len() as u64),
    )?;
    let mut sum = Touched::default();
    for touched in tallies {
        sum.chunks += touched.chunks;
        sum.missing += touched.missing;
    }
    Ok(sum)
}

fn touch_folder(
    run: &Run<'_>,
    prefix: u16,
    digests: &[Digest],
    touched: &mut Touched,
) -> Result<()> {
    if digests.is_empty() {
        return Ok(());
    }
    let path = run.folder(prefix);
    let dir = match run.store.storage().open_dir(&path) {
        Ok(dir) => Some(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Error::io("open", &path, error)),
    };
    for digest in digests {
        run.check()?;
        let is_there = match &dir {
            // Not while verification renames it: either it is touched, or its new name is.
            Some(dir) => run
                .store
                .chunks()
                .exclusively(digest, || touch_chunk(&**dir, digest))
                .map_err(|error| Error::io("touch", path.join(digest.to_string()), error))?,
            None => false,
        };
        if is_there {
            touched.chunks += 1;
        } else {
            touched.missing += 1;
            run.warn_missing(digest);
        }
    }
    Ok(())
}

/// `false` if the chunk is missing; its bad copies are touched then.
fn touch_chunk(dir: &dyn StorageDir, digest: &Digest) -> io::Result<bool> {
    let name = digest.to_string();
    if touch_if_there(dir, &name)? {
        return Ok(true);
    }
    for number in 0..10 {
        touch_if_there(dir, &format!("{name}.{number}.bad"))?;
    }
    Ok(false)
}

fn touch_if_there(dir: &dyn StorageDir, name: &str) -> io::Result<bool> {
    match dir.touch(name) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
