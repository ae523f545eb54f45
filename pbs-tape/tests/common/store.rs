//! A datastore in memory, and what is in a snapshot of one.

use std::path::Path;
use std::sync::Arc;

use datastore::chunk_store::SyncLevel;
use datastore::datastore::Options as StoreOptions;
use datastore::hierarchy::parse_qualified_name;
use datastore::{Datastore, Digest, SnapshotReader};

/// Files of a snapshot and the digests of their contents.
pub type Print = Vec<(String, Digest)>;

/// Without the 65,536 folders for chunks, which take long to make.
pub fn open_store(path: &Path) -> Arc<Datastore> {
    std::fs::create_dir_all(path.join(".chunks")).unwrap();
    let options = StoreOptions { sync_level: SyncLevel::None, ..StoreOptions::default() };
    Datastore::open(path, &options).unwrap()
}

/// What is in the files of a snapshot.
pub fn fingerprint(store: &Arc<Datastore>, name: &str) -> Result<Print, datastore::Error> {
    let (namespace, snapshot) = parse_qualified_name(name)?;
    let reader = SnapshotReader::open(store, &namespace, &snapshot)?;
    let mut found = Vec::new();
    for file in reader.manifest().files() {
        let content = if file.filename.ends_with(".blob") {
            reader.blob(&file.filename)?.as_bytes().to_vec()
        } else {
            let mut all = Vec::new();
            for entry in reader.index(&file.filename)?.entries() {
                let blob = store.chunks().read(&entry.digest)?;
                all.extend(blob.decode_chunk(None, &entry.digest, entry.len() as usize)?);
            }
            all
        };
        found.push((file.filename.clone(), Digest::of(&content)));
    }
    Ok(found)
}
