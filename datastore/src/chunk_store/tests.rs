use std::sync::Arc;

use super::*;
use crate::crypt::CryptConfig;
use crate::storage::RealStorage;

fn store() -> (tempfile::TempDir, ChunkStore) {
    let dir = tempfile::tempdir().unwrap();
    let storage: SharedStorage = Arc::new(RealStorage::new(dir.path()).unwrap());
    // Only the folders that these tests use; 65536 take a second.
    storage.create_dir(&dir.path().join(CHUNKS_DIR), CHUNKS_DIR_MODE).unwrap();
    for name in ["2cf2", "0000"] {
        let chunk_dir = dir.path().join(CHUNKS_DIR).join(name);
        storage.create_dir(&chunk_dir, CHUNKS_DIR_MODE).unwrap();
    }
    let store = ChunkStore::open(storage, dir.path(), SyncLevel::File);
    (dir, store)
}

fn long_ago(path: &Path) {
    let time = std::fs::FileTimes::new()
        .set_accessed(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1));
    std::fs::File::open(path).unwrap().set_times(time).unwrap();
}

#[test]
fn a_chunk_is_written_once_and_touched_later() {
    let (_dir, store) = store();
    let digest = Digest::of(b"hello");
    let blob = DataBlob::encode(b"hello", None, true).unwrap();
    assert!(matches!(store.read(&digest), Err(Error::ChunkMissing { .. })));
    assert!(!store.touch(&digest).unwrap());
    assert_eq!(
        store.insert(&digest, &blob).unwrap(),
        Inserted { duplicate: false, stored_bytes: 17 }
    );
    assert!(store.path(&digest).ends_with(format!(".chunks/2cf2/{digest}")));
    long_ago(&store.path(&digest));
    assert!(store.insert(&digest, &blob).unwrap().duplicate);
    let atime = store.storage.meta(&store.path(&digest)).unwrap().atime;
    assert!(atime > 1_000_000_000, "touched: {atime}");
    long_ago(&store.path(&digest));
    assert!(store.touch(&digest).unwrap());
    assert!(store.storage.meta(&store.path(&digest)).unwrap().atime > 1_000_000_000);
    assert_eq!(store.read(&digest).unwrap(), blob);
}

/// Every row of the insertion rules: what is there × what comes.
#[test]
fn the_rules_for_chunks_of_another_length() {
    let key = CryptConfig::new([3; 32]).unwrap();
    let zeros = vec![0; 1000];
    let encode = |key: Option<&CryptConfig>, compress| {
        DataBlob::encode(&zeros, key, compress).unwrap().into_bytes()
    };
    let (plain, packed) = (encode(None, false), encode(None, true));
    let (secret, secret_packed) = (encode(Some(&key), false), encode(Some(&key), true));
    let mut unknown = plain.clone();
    unknown[0] ^= 0xff;
    // (stored, offered, kept): `None` is a refusal.
    let rows: [(&[u8], &[u8], Option<bool>); 11] = [
        (&plain, &plain, Some(true)),
        (b"", &plain, Some(false)),
        (b"", &secret, Some(false)),
        (&packed, &plain, Some(true)),
        (&plain, &packed, Some(false)),
        (&secret_packed, &secret, Some(true)),
        (&secret, &secret_packed, Some(true)),
        (&packed, &secret, None),
        (b"short", &secret, None),
        (&unknown, &secret, Some(false)),
        (&packed[..packed.len() - 1], &plain, Some(false)),
    ];
    for (row, (stored, offered, kept)) in rows.into_iter().enumerate() {
        let (_dir, store) = store();
        let digest = Digest([0; 32]);
        std::fs::write(store.path(&digest), stored).unwrap();
        let blob = DataBlob::from_bytes(offered.to_vec(), &"offered").unwrap();
        let result = store.insert(&digest, &blob);
        let now = std::fs::read(store.path(&digest)).unwrap();
        match kept {
            None => {
                assert!(result.unwrap_err().is_damaged(), "row {row}");
                assert_eq!(now, stored, "row {row}");
            }
            Some(true) => {
                assert!(result.unwrap().duplicate, "row {row}");
                assert_eq!(now, stored, "row {row}");
            }
            Some(false) => {
                assert!(!result.unwrap().duplicate, "row {row}");
                assert_eq!(now, offered, "row {row}");
            }
        }
    }
    // Two uncompressed encrypted chunks of one content have one length.
    let (_dir, store) = store();
    let digest = Digest([0; 32]);
    std::fs::write(store.path(&digest), &secret[..secret.len() - 1]).unwrap();
    let blob = DataBlob::from_bytes(secret, &"offered").unwrap();
    assert!(store.insert(&digest, &blob).unwrap_err().is_damaged());
}

#[test]
fn damaged_chunks_are_set_aside_ten_times_and_healed() {
    let (_dir, store) = store();
    let digest = Digest::of(b"hello");
    let blob = DataBlob::encode(b"hello", None, true).unwrap();
    for number in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9] {
        store.insert(&digest, &blob).unwrap();
        let bad = store.set_aside(&digest, &|_| false).unwrap().unwrap();
        assert!(bad.to_str().unwrap().ends_with(&format!("{digest}.{number}.bad")));
        assert!(matches!(store.read(&digest), Err(Error::ChunkMissing { .. })));
    }
    assert_eq!(store.set_aside(&digest, &|_| false).unwrap(), None);
    // What was healed meanwhile keeps its name.
    store.insert(&digest, &blob).unwrap();
    assert_eq!(store.set_aside(&digest, &|_| true).unwrap(), None);
    assert_eq!(store.read(&digest).unwrap(), blob);
}

/// What would be stored could not be read again.
#[test]
fn a_chunk_that_is_too_long_is_refused() {
    let (_dir, store) = store();
    let digest = Digest([0; 32]);
    let blob = |len: u64| {
        let content = vec![7; len as usize];
        DataBlob::encode(&content, None, false).unwrap()
    };
    let longest = ENCODED_CHUNK_BYTES_MAX - blob(1).encoded_len() + 1;
    store.insert(&digest, &blob(longest)).unwrap();
    assert_eq!(store.read(&digest).unwrap().encoded_len(), ENCODED_CHUNK_BYTES_MAX);
    assert!(store.insert(&Digest([0x2c; 32]), &blob(longest + 1)).is_err());
}

#[test]
fn a_chunk_folder_that_is_missing_is_an_error() {
    let (_dir, store) = store();
    let blob = DataBlob::encode(b"x", None, true).unwrap();
    let error = store.insert(&Digest([0xff; 32]), &blob).unwrap_err();
    assert!(error.to_string().contains("ffff"), "{error}");
    assert!(store.storage.list(&store.dir).unwrap().len() == 2);
}
