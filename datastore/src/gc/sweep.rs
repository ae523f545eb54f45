//! Removing what nothing needs.
//!
//! Each file is judged alone, under the chunk store's mutex for its digest, so that a writer of this
//! process either takes the chunk into use first and it is kept, or finds it gone and writes it anew.
//! Between two files the mutex is free.

use std::collections::HashSet;
use std::io;
use std::path::Path;

use super::Run;
use super::marks::Marked;
use super::parallel::for_each;
use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::storage::{Entry, Kind, Meta, StorageDir};

/// Chunk folders that a thread takes at once: those whose chunks share a mutex, so that two threads
/// do not wait for each other.
const FOLDERS_AT_ONCE: u64 = 256;
const DIGEST_LEN: usize = 64;

/// What the sweep does with a file that nothing needs.
pub(super) enum Action<'a> {
    /// Remove it.
    Remove,
    /// Only tell which file it is and how long.
    Tell(&'a (dyn Fn(&Path, u64) + Sync)),
}

/// What was found, in the words of the status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub disk_bytes: u64,
    pub disk_chunks: u64,
    pub removed_bytes: u64,
    pub removed_chunks: u64,
    pub pending_bytes: u64,
    pub pending_chunks: u64,
    pub removed_bad: u64,
    pub still_bad: u64,
}

impl Counters {
    pub(super) fn add(&mut self, other: &Counters) {
        self.disk_bytes += other.disk_bytes;
        self.disk_chunks += other.disk_chunks;
        self.removed_bytes += other.removed_bytes;
        self.removed_chunks += other.removed_chunks;
        self.pending_bytes += other.pending_bytes;
        self.pending_chunks += other.pending_chunks;
        self.removed_bad += other.removed_bad;
        self.still_bad += other.still_bad;
    }
}

/// Sweeps the chunk folders that the marks are for.
pub(super) fn sweep(run: &Run<'_>, marked: &Marked, action: &Action<'_>) -> Result<Counters> {
    let folders = folders(run)?;
    let prefixes = marked.prefixes();
    let threads = match action {
        Action::Remove => run.options.threads,
        // One after the other, so that a list is in order.
        Action::Tell(_) => 1,
    };
    let tallies = for_each(
        prefixes.start.into()..prefixes.end.into(),
        FOLDERS_AT_ONCE,
        threads,
        |piece, counters| {
            let prefix = piece as u16; // Pieces are prefixes, and those have 16 bits.
            if folders.contains(&prefix) {
                sweep_folder(run, prefix, marked, action, counters)?;
            }
            Ok(())
        },
        |done| run.progress.step("sweep", done, prefixes.len() as u64),
    )?;
    let mut sum = Counters::default();
    for counters in &tallies {
        sum.add(counters);
    }
    Ok(sum)
}

/// The prefixes of the chunk folders that are there.
fn folders(run: &Run<'_>) -> Result<HashSet<u16>> {
    let dir = run.store.chunks().dir();
    let entries = run.store.storage().list(dir).map_err(|e| Error::io("list", dir, e))?;
    Ok(entries.iter().filter_map(|entry| prefix_of(entry.name.as_deref()?)).collect())
}

/// The prefix that a chunk folder has by its name: four digits, lower case.
fn prefix_of(name: &str) -> Option<u16> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_prefix = name.len() == 4 && name.bytes().all(is_digit);
    u16::from_str_radix(name, 16).ok().filter(|_| is_prefix)
}

fn sweep_folder(
    run: &Run<'_>,
    prefix: u16,
    marked: &Marked,
    action: &Action<'_>,
    counters: &mut Counters,
) -> Result<()> {
    run.check()?;
    let path = run.folder(prefix);
    let listed = run.store.storage().open_dir(&path).and_then(|mut dir| {
        let entries = dir.list()?;
        Ok((dir, entries))
    });
    let (dir, entries) = match listed {
        Ok(listed) => listed,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("list", &path, error)),
    };
    for entry in &entries {
        run.check()?;
        let Some(file) = ChunkFile::parse(entry) else { continue };
        let is_probed = !file.is_bad && run.probed == Some(file.digest);
        let in_use = is_probed || file.is_in_use(prefix, marked, &entries);
        let judged = run
            .store
            .chunks()
            .exclusively(&file.digest, || judge(run, &*dir, &file, in_use, action));
        match judged {
            Ok(Some((verdict, len))) => {
                if let (Verdict::Removed, Action::Tell(tell)) = (verdict, action) {
                    tell(&path.join(file.name), len);
                }
                file.count(verdict, len, counters);
            }
            Ok(None) => {}
            Err(error) => return Err(Error::io("remove", path.join(file.name), error)),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Verdict {
    InUse,
    Pending,
    Removed,
}

/// Decides about a file and acts; `None` if there is nothing to decide about any more.
fn judge(
    run: &Run<'_>,
    dir: &dyn StorageDir,
    file: &ChunkFile<'_>,
    in_use: bool,
    action: &Action<'_>,
) -> io::Result<Option<(Verdict, u64)>> {
    let Ok(Meta { kind: Kind::File, atime, len, .. }) = dir.meta(file.name) else {
        return Ok(None);
    };
    if in_use || (atime >= run.min_atime && atime >= run.oldest_writer) {
        return Ok(Some((Verdict::InUse, len)));
    }
    if atime >= run.min_atime {
        return Ok(Some((Verdict::Pending, len)));
    }
    if let Action::Remove = action {
        match dir.remove_file(file.name) {
            // Verification in another process set it aside since we looked.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            result => result?,
        }
    }
    Ok(Some((Verdict::Removed, len)))
}

/// A file that has the name of a chunk or of a bad copy of one.
struct ChunkFile<'a> {
    name: &'a str,
    digest: Digest,
    is_bad: bool,
}

impl<'a> ChunkFile<'a> {
    /// `None` for every other file: temporary ones, notes of people, folders.
    fn parse(entry: &'a Entry) -> Option<ChunkFile<'a>> {
        let name = entry.name.as_deref().filter(|_| entry.kind == Kind::File)?;
        let digest = name.get(..DIGEST_LEN)?;
        let is_bad = match name.as_bytes().get(DIGEST_LEN..)? {
            [] => false,
            [b'.', number, b'.', b'b', b'a', b'd'] if number.is_ascii_digit() => true,
            _ => return None,
        };
        Some(ChunkFile { name, digest: digest.parse().ok()?, is_bad })
    }

    /// True if an index needs this very file: the chunk under its own name in its own folder, or its
    /// bad copy where the chunk is missing. A file in the wrong place is found by nobody who looks for
    /// the chunk, so no index needs it.
    fn is_in_use(&self, prefix: u16, marked: &Marked, entries: &[Entry]) -> bool {
        let is_home = self.digest.prefix() == prefix
            && !self.name.bytes().any(|byte| byte.is_ascii_uppercase());
        if !is_home || !marked.contains(&self.digest) {
            return false;
        }
        let chunk = self.name.get(..DIGEST_LEN);
        !self.is_bad || !entries.iter().any(|entry| entry.name.as_deref() == chunk)
    }

    fn count(&self, verdict: Verdict, len: u64, counters: &mut Counters) {
        match verdict {
            Verdict::InUse => {
                counters.disk_bytes += len;
                counters.disk_chunks += u64::from(!self.is_bad);
            }
            Verdict::Pending => {
                counters.pending_bytes += len;
                counters.pending_chunks += u64::from(!self.is_bad);
                counters.still_bad += u64::from(self.is_bad);
            }
            Verdict::Removed => {
                counters.removed_bytes += len;
                counters.removed_chunks += u64::from(!self.is_bad);
                counters.removed_bad += u64::from(self.is_bad);
            }
        }
    }
}
