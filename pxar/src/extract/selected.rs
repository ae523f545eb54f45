//! Restoring a selection out of an archive opened for random access.
//!
//! It walks the tables of the directories and reads only what is wanted; how an entry is made, and why
//! it can't leave the target folder, is `extractor`'s.

use std::collections::HashMap;
use std::io::{self, BufReader};
use std::path::Path;

use super::extractor::Extractor;
use super::options::{Options, Summary};
use crate::accessor::{Accessor, Directory, Entry, FileContent, ReadAt};
use crate::entry::EntryKind;
use crate::error::Error;
use crate::monitor::Monitor;

const CONTENT_BUFFER_BYTES: usize = 1 << 20;

/// Restore what the options select out of an archive opened for random access: content that is not
/// selected is not read, and a hardlink whose first name is not selected becomes a file of its own.
///
/// With [`OnError::Continue`](super::OnError::Continue) damage does not end it: what cannot be read is counted in
/// [`Summary::failed`], and the rest is found through the tables of its directories.
///
/// # Errors
/// Those of [`extract`](super::extract).
pub fn extract_selected(
    archive: &Accessor,
    target: &Path,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    let mut extractor = Extractor::open(target, options, monitor)?;
    let root = archive.root()?;
    extractor.set_path(b"/");
    extractor.entry(0, root.metadata(), &EntryKind::Directory, &mut io::empty())?;
    // Open directories, the number of their next entry, and the length of their path.
    let mut open = vec![(root, 0, 0)];
    let mut path = Vec::new();
    // By the offset of a file that is not selected: a link to the first of its names that is.
    let mut stand_ins: HashMap<u64, EntryKind> = HashMap::new();
    while let Some((directory, next, path_len)) = open.last_mut() {
        path.truncate(*path_len);
        extractor.set_path(&path);
        let entry = match directory.entry_at(*next) {
            None => {
                extractor.leave_directory(&path)?;
                open.pop();
                continue;
            }
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                *next += 1;
                extractor.reporter.pass_over(error)?;
                continue;
            }
        };
        *next += 1;
        path.push(b'/');
        path.extend_from_slice(&entry.name);
        extractor.set_path(&path);
        match extract_entry(archive, &mut extractor, &entry, &path, &mut stand_ins) {
            Ok(None) => {}
            Ok(Some(directory)) => open.push((directory, 0, path.len())),
            Err(error) => extractor.reporter.pass_over(error)?,
        }
    }
    Ok(extractor.reporter.summary)
}

/// Restores one entry of an archive opened for random access; a directory is returned to be entered.
fn extract_entry(
    archive: &Accessor,
    extractor: &mut Extractor<'_>,
    entry: &Entry,
    path: &[u8],
    stand_ins: &mut HashMap<u64, EntryKind>,
) -> Result<Option<Directory>, Error> {
    match &entry.kind {
        EntryKind::Directory => {
            let directory = archive.open_directory(entry)?;
            extractor.entry(entry.offset, &entry.metadata, &entry.kind, &mut io::empty())?;
            return Ok(Some(directory));
        }
        EntryKind::File { .. } if extractor.is_selected(false) => {
            let mut content = buffered(archive.content(entry)?);
            extractor.entry(entry.offset, &entry.metadata, &entry.kind, &mut content)?;
        }
        EntryKind::Hardlink { target, target_offset }
            if extractor.is_selected(false) && !extractor.is_created(*target_offset, target) =>
        {
            let stand_in = stand_ins.get(target_offset).filter(|link| match link {
                EntryKind::Hardlink { target, target_offset } => {
                    extractor.is_created(*target_offset, target)
                }
                _ => false,
            });
            if let Some(link) = stand_in {
                extractor.entry(entry.offset, &entry.metadata, link, &mut io::empty())?;
            } else {
                let file = archive.follow_hardlink(entry)?;
                let mut content = buffered(archive.content(&file)?);
                extractor.entry(entry.offset, &file.metadata, &file.kind, &mut content)?;
                let relative = path.get(1..).unwrap_or_default().to_vec();
                let link = EntryKind::Hardlink { target: relative, target_offset: entry.offset };
                stand_ins.insert(*target_offset, link);
            }
        }
        _ => {
            extractor.entry(entry.offset, &entry.metadata, &entry.kind, &mut io::empty())?;
        }
    }
    Ok(None)
}

fn buffered(content: FileContent) -> BufReader<FileContent> {
    let capacity = content.size().clamp(1, CONTENT_BUFFER_BYTES as u64) as usize;
    BufReader::with_capacity(capacity, content)
}
