//! What several tests share.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::media::catalog::CatalogContent;

/// The folder of data written by the reference; `None`, with a note, if there is none here.
pub(crate) fn golden() -> Option<PathBuf> {
    match std::env::var_os("CAPSTAN_GOLDEN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.join("tape/dump.jsonl").is_file(), "CAPSTAN_GOLDEN has no tape data");
            Some(path)
        }
        None => {
            println!("CAPSTAN_GOLDEN is not set: nothing compared");
            None
        }
    }
}

/// Compares a catalog with the reference's own dump of it: one line a datastore.
pub(crate) fn assert_catalog_equals_dump(content: &CatalogContent, dump: &Path) {
    let text = std::fs::read_to_string(dump).unwrap();
    let mut expected = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        expected.insert(line["store"].as_str().unwrap().to_string(), line);
    }
    let mut found = BTreeMap::new();
    for (store, content) in content.stores() {
        let mut chunks: Vec<(u64, String)> =
            content.chunks().map(|(digest, file)| (file, digest.to_string())).collect();
        chunks.sort();
        let mut snapshots: Vec<(u64, String)> =
            content.snapshots.iter().map(|(name, file)| (*file, name.clone())).collect();
        snapshots.sort();
        let line =
            serde_json::json!({"store": store, "chunks": chunks, "snapshots": snapshots});
        found.insert(store.clone(), line);
    }
    assert_eq!(found, expected, "{}", dump.display());
}
