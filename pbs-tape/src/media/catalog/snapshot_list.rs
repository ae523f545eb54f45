//! The cached list of a tape's snapshots, `<uuid>.index`: listing the content of a thousand tapes
//! must not load a thousand catalogs with their millions of chunks.
//!
//! Text: line 1 is `%016X-%016X-%016X` of the catalog file's inode, size and time of change in
//! seconds; each further line is `store:snapshot`. If line 1 does not fit the catalog, the list is
//! made anew. The list is only a cache: failing to write it is no failure.
//!
//! A list that a power cut had cut short would be believed, because its first line is right. So what is in it is durable
//! before it gets its name; whoever makes many lists waits once for all of them ([`SnapshotLists`]).

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use super::load::load_without_chunks;
use crate::error::{Error, Result};
use crate::media::inventory::MediaId;
use crate::media::state::StateDir;

const LIST_MODE: u32 = 0o640;
/// So many lists are synced one by one; more, with the whole file system at once.
const SYNCED_ALONE_MAX: usize = 4;

/// Lists of snapshots that are read one after the other. Those that were made anew are kept when it is dropped.
pub struct SnapshotLists<'s> {
    state: &'s StateDir,
    /// Lists with content, and the names that they are to get.
    pending: Vec<(PathBuf, PathBuf)>,
}

/// The snapshots in a tape's catalog: pairs of datastore and snapshot name.
pub fn snapshot_list(state: &StateDir, media: &MediaId) -> Result<Vec<(String, String)>> {
    SnapshotLists::new(state).of(media)
}

impl<'s> SnapshotLists<'s> {
    /// None was asked for so far.
    pub fn new(state: &'s StateDir) -> SnapshotLists<'s> {
        SnapshotLists { state, pending: Vec::new() }
    }

    /// The snapshots in a tape's catalog: pairs of datastore and snapshot name.
    pub fn of(&mut self, media: &MediaId) -> Result<Vec<(String, String)>> {
        let (list, made) = read_or_make(self.state, media)?;
        if let Some(text) = made {
            let path = self.state.snapshot_list_file(&media.label.uuid);
            let temp = path.with_extension(format!("index_{}", std::process::id()));
            if write(&temp, &text).is_ok() {
                self.pending.push((temp, path));
            } else {
                let _ = std::fs::remove_file(&temp);
            }
        }
        Ok(list)
    }

    fn sync(&self) -> std::io::Result<()> {
        if self.pending.len() <= SYNCED_ALONE_MAX {
            return self.pending.iter().try_for_each(|(temp, _)| File::open(temp)?.sync_all());
        }
        Ok(nix::unistd::syncfs(File::open(self.state.path())?)?)
    }
}

impl Drop for SnapshotLists<'_> {
    fn drop(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let is_durable = self.sync().is_ok();
        for (temp, path) in &self.pending {
            if !is_durable || std::fs::rename(temp, path).is_err() {
                let _ = std::fs::remove_file(temp);
            }
        }
    }
}

fn write(temp: &std::path::Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).write(true).truncate(true).mode(LIST_MODE).open(temp)?;
    file.write_all(text.as_bytes())
}

type List = Vec<(String, String)>;

/// The list, and the text of its file if that is to be written.
fn read_or_make(state: &StateDir, media: &MediaId) -> Result<(List, Option<String>)> {
    let catalog_path = state.catalog_file(&media.label.uuid);
    let meta = match std::fs::metadata(&catalog_path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::CatalogMissing { tape: media.label.label_text.clone() });
        }
        Err(e) => return Err(Error::io(catalog_path, e)),
    };
    let version = format!("{:016X}-{:016X}-{:016X}", meta.ino(), meta.len(), meta.mtime());
    let list_path = state.snapshot_list_file(&media.label.uuid);
    if let Ok(text) = std::fs::read_to_string(&list_path)
        && let Some(list) = parse(&text, &version)
    {
        return Ok((list, None));
    }
    let catalog = load_without_chunks(state, media)?;
    let mut numbered = Vec::new();
    for (store, content) in catalog.stores() {
        for (snapshot, file) in &content.snapshots {
            numbered.push((*file, store.clone(), snapshot.clone()));
        }
    }
    numbered.sort();
    let list: List = numbered.into_iter().map(|(_, store, snapshot)| (store, snapshot)).collect();
    let mut text = version + "\n";
    for (store, snapshot) in &list {
        text.push_str(&format!("{store}:{snapshot}\n"));
    }
    Ok((list, Some(text)))
}

fn parse(text: &str, version: &str) -> Option<Vec<(String, String)>> {
    let mut lines = text.lines();
    if lines.next()? != version {
        return None;
    }
    lines
        .map(|line| line.split_once(':').map(|(store, name)| (store.into(), name.into())))
        .collect()
}
