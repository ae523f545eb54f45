//! The cached list of a tape's snapshots, `<uuid>.index`: listing the content of a thousand tapes
//! must not load a thousand catalogs with their millions of chunks.
//!
//! Text: line 1 is `%016X-%016X-%016X` of the catalog file's inode, size and time of change in
//! seconds; each further line is `store:snapshot`. If line 1 does not fit the catalog, the list is
//! made anew. The list is only a cache: failing to write it is no failure.

use std::os::unix::fs::MetadataExt;

use super::load::load_without_chunks;
use crate::error::{Error, Result};
use crate::media::inventory::MediaId;
use crate::media::state::{StateDir, replace_file};

const LIST_MODE: u32 = 0o640;

/// The snapshots in a tape's catalog: pairs of datastore and snapshot name.
pub fn snapshot_list(state: &StateDir, media: &MediaId) -> Result<Vec<(String, String)>> {
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
        return Ok(list);
    }
    let catalog = load_without_chunks(state, media)?;
    let mut numbered = Vec::new();
    for (store, content) in catalog.stores() {
        for (snapshot, file) in &content.snapshots {
            numbered.push((*file, store.clone(), snapshot.clone()));
        }
    }
    numbered.sort();
    let list: Vec<(String, String)> =
        numbered.into_iter().map(|(_, store, snapshot)| (store, snapshot)).collect();
    let mut text = version + "\n";
    for (store, snapshot) in &list {
        text.push_str(&format!("{store}:{snapshot}\n"));
    }
    let _ = replace_file(&list_path, text.as_bytes(), LIST_MODE);
    Ok(list)
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
