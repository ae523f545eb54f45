//! An archive that is no folder, an image for instance: whole, or a range of its bytes.
//!
//! It goes out in order, as many chunks at a time as the spool takes. What can't be read is zeros, and its range is
//! named: what follows stays at its place.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::session::RestoreSession;
use datastore::{CryptConfig, Digest, Progress};

use super::output::Written;
use super::select::{Lost, failed};
use super::snapshot::TapeSnapshot;
use super::spool::Fetch;
use crate::error::{Error, IoResultExt, Result};
use crate::loader::check_abort;

/// Share of the spool that is filled at once: a stored chunk can be a little longer than its content.
const FILL_SHARE: u64 = 2;

/// Takes bytes in order.
pub(crate) enum Sink<'a> {
    Stream(&'a mut dyn Write),
    File(NewFile),
}

/// A file that appears when it is whole.
pub(crate) struct NewFile {
    file: File,
    temp: PathBuf,
    path: PathBuf,
    at: u64,
    is_finished: bool,
}

impl NewFile {
    /// Refuses to replace a file, unless told to.
    pub fn create(folder: &Path, name: &str, overwrite: bool) -> Result<NewFile> {
        std::fs::create_dir_all(folder).at(folder)?;
        let path = folder.join(name);
        if path.symlink_metadata().is_ok() && !overwrite {
            return Err(Error::BadArgument {
                what: "target",
                value: path.display().to_string(),
                reason: "it exists already; remove it, or give --overwrite".into(),
            });
        }
        let temp = folder.join(format!("{name}.tmp_{}", std::process::id()));
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp).at(&temp)?;
        Ok(NewFile { file, temp, path, at: 0, is_finished: false })
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_finished {
            // Half a file is of no use; the error that led here is the one to tell.
            let _ = std::fs::remove_file(&self.temp);
        }
    }
}

impl Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Sink::Stream(stream) => {
                stream.write_all(bytes).map_err(|e| Error::io("the standard output", e))
            }
            Sink::File(target) => {
                // Zeros need no room in a new file.
                if bytes.iter().any(|byte| *byte != 0) {
                    target.file.write_all_at(bytes, target.at).at(&target.path)?;
                }
                target.at += bytes.len() as u64;
                Ok(())
            }
        }
    }

    fn zeros(&mut self, len: u64) -> Result<()> {
        match self {
            Sink::Stream(stream) => io::copy(&mut io::Read::take(io::repeat(0), len), stream)
                .map(drop)
                .map_err(|e| Error::io("the standard output", e)),
            Sink::File(target) => {
                target.at += len;
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Sink::Stream(stream) => stream.flush().map_err(|e| Error::io("the standard output", e)),
            Sink::File(mut target) => {
                let (file, path) = (&target.file, &target.path);
                file.set_len(target.at).and_then(|()| file.sync_all()).at(path)?;
                std::fs::rename(&target.temp, path).at(path)?;
                target.is_finished = true;
                Ok(())
            }
        }
    }
}

/// A small file.
pub(crate) fn blob(
    snapshot: &TapeSnapshot,
    name: &str,
    key: Option<&CryptConfig>,
    mut sink: Sink<'_>,
) -> Result<Written> {
    let content = snapshot
        .blob(name)
        .and_then(|blob| Ok(blob.decode(key, datastore::blob::BLOB_BYTES_MAX, &name)?))
        .map_err(|e| failed(name, e))?;
    sink.write(&content)?;
    sink.finish()?;
    Ok(Written { entries: 1, content_bytes: content.len() as u64, lost: Vec::new() })
}

/// A range of an archive that is listed in an index.
pub(crate) fn range(
    snapshot: &Arc<TapeSnapshot>,
    source: &mut dyn Fetch,
    name: &str,
    key: Option<Arc<CryptConfig>>,
    range: Option<Range<u64>>,
    mut sink: Sink<'_>,
    progress: &dyn Progress,
) -> Result<Written> {
    let index = snapshot.index(name).map_err(|e| failed(name, e))?;
    let range = range.unwrap_or(0..index.content_size());
    if range.end > index.content_size() || range.start > range.end {
        return Err(Error::BadArgument {
            what: "range",
            value: format!("{}:{}", range.start, range.end),
            reason: format!("{name} has {} bytes", index.content_size()),
        });
    }
    let mut written = Written { entries: 1, ..Written::default() };
    let mut position = index.position_of(range.start).filter(|_| !range.is_empty());
    while let Some(first) = position {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut next = first;
        while let Some(entry) = index.entry(next).filter(|entry| entry.start < range.end) {
            if !batch.is_empty() && bytes + entry.len() > snapshot.spool.bytes_max() / FILL_SHARE {
                break;
            }
            bytes += entry.len();
            batch.push(entry);
            next += 1;
        }
        if batch.is_empty() {
            break;
        }
        let digests: BTreeSet<Digest> = batch.iter().map(|entry| entry.digest).collect();
        source.fetch(&snapshot.spool, &digests)?;
        for entry in &batch {
            check_abort(progress)?;
            let from = range.start.max(entry.start);
            let to = range.end.min(entry.start + entry.len());
            let len = usize::try_from(entry.len()).unwrap_or(usize::MAX);
            let content = snapshot
                .chunk(&entry.digest)
                .and_then(|blob| Ok(blob.decode_chunk(key.as_deref(), &entry.digest, len)?));
            let wanted = (from - entry.start) as usize..(to - entry.start) as usize;
            match content.as_ref().map(|content| content.get(wanted)) {
                Ok(Some(part)) => sink.write(part)?,
                Ok(None) => sink.zeros(to - from)?,
                Err(reason) => {
                    let place = format!("{name}, bytes {from} to {to}");
                    progress.warn(&format!("{place}: {reason}; they are zeros now"));
                    written.lost.push(Lost::new(place.as_bytes(), reason));
                    sink.zeros(to - from)?;
                }
            }
            written.content_bytes += to - from;
        }
        snapshot.spool.clear()?;
        position = Some(next);
    }
    sink.finish()?;
    Ok(written)
}
