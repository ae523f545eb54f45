use std::path::Path;

use proptest::prelude::*;

use super::record::{DecodeError, MAGIC_V1_1, Record};
use super::*;
use crate::format::label::{MediaLabel, MediaSetLabel};
use crate::media::inventory::MediaId;
use crate::media::state::StateDir;
use datastore::Digest;
use uuid::Uuid;

fn example_media() -> MediaId {
    MediaId {
        label: MediaLabel {
            ctime: 0,
            label_text: "TEST01L8".into(),
            pool: None,
            uuid: "7f42c4dd-9626-4d89-9f2b-c7bc6da7d533".parse().unwrap(),
        },
        media_set_label: Some(MediaSetLabel {
            ctime: 0,
            encryption_key_fingerprint: None,
            pool: "daily".into(),
            seq_nr: 0,
            uuid: "9da37a55-aac7-4deb-91c6-482b3b675f30".parse().unwrap(),
        }),
    }
}

fn example_digest() -> Digest {
    Digest(std::array::from_fn(|i| i as u8))
}

fn archive_uuid() -> Uuid {
    "0a0b0c0d-1111-4222-8333-444455556666".parse().unwrap()
}

fn snapshot_uuid() -> Uuid {
    "0a0b0c0d-1111-4222-8333-777788889999".parse().unwrap()
}

const EXAMPLE: &str = "4c8ee8c120a889714c0000000000000000
    7f42c4dd96264d899f2bc7bc6da7d53300000000000000004c0100000000000000
    9da37a55aac74deb91c6482b3b675f300000000000000000410200000000000000
    0a0b0c0d11114222833344445555666608000000000000 00766d73746f726531
    43000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
    4502000000000000000a0b0c0d111142228333444455556666
    5303000000000000000a0b0c0d11114222833377778888999908001e0000000000
    766d73746f7265313a686f73742f656c73612f323032342d30312d30325430333a30343a30355a";

fn example_bytes() -> Vec<u8> {
    let text: String = EXAMPLE.chars().filter(|c| !c.is_whitespace()).collect();
    hex::decode(text).unwrap()
}

fn state() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().unwrap();
    let state = StateDir::open(folder.path()).unwrap();
    (folder, state)
}

fn write_example(state: &StateDir) -> MediaCatalog {
    let mut catalog = MediaCatalog::overwrite(state, &example_media()).unwrap();
    catalog.register_chunk_archive(2, archive_uuid(), "vmstore1", &[example_digest()]).unwrap();
    let name = "host/elsa/2024-01-02T03:04:05Z";
    catalog.register_snapshot(3, snapshot_uuid(), "vmstore1", name).unwrap();
    catalog.commit().unwrap();
    catalog
}

#[test]
fn a_catalog_has_the_published_bytes() {
    let (_folder, state) = state();
    let catalog = write_example(&state);
    let path = state.catalog_file(&catalog.media().label.uuid);
    assert_eq!(std::fs::read(&path).unwrap(), example_bytes());
    assert_eq!(example_bytes().len(), 245);

    let loaded = MediaCatalog::load(&state, &example_media()).unwrap();
    let content = loaded.content();
    assert_eq!(content.snapshot("vmstore1", "host/elsa/2024-01-02T03:04:05Z"), Some(3));
    assert_eq!(loaded.chunk("vmstore1", &example_digest()).unwrap(), Some(2));
    assert_eq!(loaded.chunk("other", &example_digest()).unwrap(), None);
    check_catalog_stream(&mut &example_bytes()[..], Path::new("x"), &example_media()).unwrap();
}

#[test]
fn fresh_catalogs_have_their_labels() {
    let (_folder, state) = state();
    let mut media = example_media();
    MediaCatalog::overwrite(&state, &media).unwrap();
    let path = state.catalog_file(&media.label.uuid);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 74);
    media.media_set_label.as_mut().unwrap().uuid = Uuid::nil();
    MediaCatalog::overwrite(&state, &media).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 41, "a reservation is no set");
    assert!(!state.catalog_temp_file(&media.label.uuid).exists());
}

/// A power cut while appending: whatever prefix of the last commit is left, loading to read finds
/// what was committed before and nothing of the rest, and loading to write goes on from there.
#[test]
fn every_torn_tail_is_cut_back_to_the_last_whole_entry() {
    let whole = example_bytes();
    let good_ends = [0u64, 8, 41, 74, 173, 245];
    for len in 0..=whole.len() {
        for zeros in [0usize, 3, 4000] {
            let (_folder, state) = state();
            let media = example_media();
            let path = state.catalog_file(&media.label.uuid);
            let mut bytes = whole[..len].to_vec();
            bytes.resize(len + zeros, 0);
            std::fs::write(&path, &bytes).unwrap();
            // Zeros behind a cut record may complete it; then they are part of it.
            let read = match MediaCatalog::load(&state, &media) {
                Ok(read) => read,
                Err(e) if zeros > 0 => {
                    assert!(e.is_damaged(), "{e}");
                    continue;
                }
                Err(e) => panic!("{len}: {e}"),
            };
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "reading must not change the file");
            if zeros > 0 {
                continue;
            }
            let good = *good_ends.iter().filter(|end| **end <= len as u64).max().unwrap();
            let has_chunk = good >= 173;
            let found = read.chunk("vmstore1", &example_digest()).unwrap();
            assert_eq!(found.is_some(), has_chunk, "{len}");

            let mut append = MediaCatalog::load_for_append(&state, &media).unwrap();
            let torn = state.path().join(format!("{}.torn", media.label.uuid));
            assert_eq!(torn.exists(), good != len as u64, "{len}");
            if good == 0 || good >= 74 {
                append.register_snapshot(9, snapshot_uuid(), "s", "ct/1/x").unwrap();
                append.commit().unwrap();
                let again = MediaCatalog::load(&state, &media).unwrap();
                assert_eq!(again.content().snapshot("s", "ct/1/x"), Some(9), "{len}");
            }
        }
    }
}

#[test]
fn a_tail_of_zeros_is_torn_not_damaged() {
    let (_folder, state) = state();
    let media = example_media();
    let path = state.catalog_file(&media.label.uuid);
    let mut bytes = example_bytes();
    bytes.resize(bytes.len() + 300_000, 0);
    std::fs::write(&path, &bytes).unwrap();
    MediaCatalog::load_for_append(&state, &media).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), example_bytes());
}

#[test]
fn damage_in_the_middle_is_an_error() {
    let (_folder, state) = state();
    let media = example_media();
    let path = state.catalog_file(&media.label.uuid);
    for (at, value, what) in [
        (0usize, 0u8, "magic"),
        (8, b'X', "unknown record type"),
        (9, 1, "file 1 where 0"),
        (17, 0, "UUID"),
        (50, 0, "media set"),
        (66, 7, "sequence number"),
        (75, 1, "is a label"),
        (148, b'L', "inside a chunk archive"),
        (149, 3, "end of chunk archive"),
        (174, 2, "after file 2"),
        (214, b';', "colon"),
    ] {
        let mut bytes = example_bytes();
        bytes[at] = value;
        std::fs::write(&path, &bytes).unwrap();
        let error = MediaCatalog::load_for_append(&state, &media).unwrap_err();
        assert!(error.is_damaged() && error.to_string().contains(what), "{what}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    let mut old = example_bytes();
    old[..8].copy_from_slice(&record::MAGIC_V1_0);
    std::fs::write(&path, old).unwrap();
    let error = MediaCatalog::load(&state, &media).unwrap_err().to_string();
    assert!(error.contains("no longer supported"), "{error}");
}

#[test]
fn order_is_checked_when_records_are_added() {
    let (_folder, state) = state();
    let mut catalog = write_example(&state);
    assert!(catalog.register_snapshot(3, snapshot_uuid(), "s", "ct/1/x").is_err());
    assert!(catalog.register_snapshot(1, snapshot_uuid(), "s", "ct/1/x").is_err());
    assert!(catalog.register_chunk_archive(3, archive_uuid(), "s", &[]).is_err());
    let too_long = "x".repeat(256);
    assert!(catalog.register_chunk_archive(7, archive_uuid(), &too_long, &[]).is_err());
    // Gaps are fine, and a refused record leaves nothing behind.
    catalog.register_chunk_archive(7, archive_uuid(), "s", &[]).unwrap();
    catalog.commit().unwrap();
    MediaCatalog::load(&state, &example_media()).unwrap();
}

#[test]
fn a_file_that_somebody_else_changed_is_not_appended_to() {
    let (_folder, state) = state();
    let mut catalog = write_example(&state);
    let path = state.catalog_file(&catalog.media().label.uuid);
    let mut bytes = example_bytes();
    bytes.push(b'C');
    std::fs::write(&path, &bytes).unwrap();
    catalog.register_snapshot(9, snapshot_uuid(), "s", "ct/1/x").unwrap();
    let error = catalog.commit().unwrap_err().to_string();
    assert!(error.contains("somebody else"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

#[test]
fn unrelated_catalogs_go_and_related_stay() {
    let (_folder, state) = state();
    let media = example_media();
    let path = state.catalog_file(&media.label.uuid);
    write_example(&state);
    MediaCatalog::destroy_unrelated(&state, &media).unwrap();
    assert!(path.exists());
    let mut other = media.clone();
    other.media_set_label.as_mut().unwrap().uuid = Uuid::new_v4();
    MediaCatalog::destroy_unrelated(&state, &other).unwrap();
    assert!(!path.exists());
    std::fs::write(&path, b"").unwrap();
    MediaCatalog::destroy_unrelated(&state, &other).unwrap();
    assert!(path.exists(), "an empty file is kept");
    other.media_set_label = None;
    MediaCatalog::destroy_unrelated(&state, &other).unwrap();
    assert!(!path.exists());
    MediaCatalog::destroy_unrelated(&state, &other).unwrap();
}

#[test]
fn the_snapshot_list_is_cached_and_made_anew() {
    let (_folder, state) = state();
    let mut catalog = write_example(&state);
    let media = example_media();
    let one = vec![("vmstore1".to_string(), "host/elsa/2024-01-02T03:04:05Z".to_string())];
    assert_eq!(snapshot_list(&state, &media).unwrap(), one);
    let list = state.snapshot_list_file(&media.label.uuid);
    let text = std::fs::read_to_string(&list).unwrap();
    let (version, rest) = text.split_once('\n').unwrap();
    assert_eq!((version.len(), rest), (50, "vmstore1:host/elsa/2024-01-02T03:04:05Z\n"));
    // A fitting list is believed, a stale one is not.
    std::fs::write(&list, format!("{version}\na:b:c\n")).unwrap();
    let cached = vec![("a".to_string(), "b:c".to_string())];
    assert_eq!(snapshot_list(&state, &media).unwrap(), cached);
    catalog.register_snapshot(9, snapshot_uuid(), "s", "ct/1/x").unwrap();
    catalog.commit().unwrap();
    assert_eq!(snapshot_list(&state, &media).unwrap().len(), 2);
}

/// Sets the bytes that the format leaves undefined to zero.
fn mask_padding(bytes: &mut [u8]) {
    let mut at = MAGIC_V1_1.len();
    while at < bytes.len() {
        let (record, len) = Record::decode(&bytes[at..]).unwrap();
        match record {
            Record::ArchiveStart { .. } => bytes[at + 26..at + 33].fill(0),
            Record::Snapshot { .. } => {
                bytes[at + 26] = 0;
                bytes[at + 29..at + 33].fill(0);
            }
            _ => {}
        }
        at += len;
    }
}

/// The reference's catalogs load, say what its own dump says, and are written back byte for byte.
#[test]
fn the_golden_catalogs_are_read_and_written_back() {
    let Some(golden) = crate::testing::golden() else { return };
    let (_folder, state) = state();
    let text = std::fs::read_to_string(golden.join("tape/state/inventory.json")).unwrap();
    std::fs::write(state.inventory_file(), text).unwrap();
    let inventory = crate::media::Inventory::load(&state).unwrap();
    assert_eq!(inventory.entries().count(), 3);
    for entry in inventory.entries() {
        let uuid = entry.id.label.uuid;
        let bytes = std::fs::read(golden.join(format!("tape/state/{uuid}.log"))).unwrap();
        std::fs::write(state.catalog_file(&uuid), &bytes).unwrap();
        let catalog = MediaCatalog::load(&state, &entry.id).unwrap();
        let dump = golden.join(format!("tape/catalog-{uuid}.dump.jsonl"));
        crate::testing::assert_catalog_equals_dump(&catalog, &dump);

        let mut again = MAGIC_V1_1.to_vec();
        let mut at = MAGIC_V1_1.len();
        while at < bytes.len() {
            let (record, len) = Record::decode(&bytes[at..]).unwrap();
            record.encode(&mut again).unwrap();
            at += len;
        }
        let mut masked = bytes.clone();
        mask_padding(&mut masked);
        assert_eq!(again, masked);

        let listed = snapshot_list(&state, &entry.id).unwrap();
        let golden_list =
            std::fs::read_to_string(golden.join(format!("tape/state/{uuid}.index"))).unwrap();
        let mut expected: Vec<&str> = golden_list.lines().skip(1).collect();
        let mut listed: Vec<String> = listed.iter().map(|(s, n)| format!("{s}:{n}")).collect();
        expected.sort();
        listed.sort();
        assert_eq!(listed, expected);
    }
}

fn any_record() -> impl Strategy<Value = Record> {
    let uuid = any::<[u8; 16]>().prop_map(Uuid::from_bytes);
    prop_oneof![
        (any::<u64>(), uuid.clone(), any::<u64>())
            .prop_map(|(file_number, uuid, seq_nr)| Record::Label { file_number, uuid, seq_nr }),
        (any::<u64>(), uuid.clone(), "[a-z]{0,255}").prop_map(|(file_number, uuid, store)| {
            Record::ArchiveStart { file_number, uuid, store }
        }),
        any::<[u8; 32]>().prop_map(|digest| Record::Chunk(Digest(digest))),
        (any::<u64>(), uuid.clone())
            .prop_map(|(file_number, uuid)| Record::ArchiveEnd { file_number, uuid }),
        (any::<u64>(), uuid, "[a-z]{0,255}", "[a-z/:]{0,300}").prop_map(
            |(file_number, uuid, store, snapshot)| Record::Snapshot {
                file_number,
                uuid,
                store,
                snapshot
            }
        ),
    ]
}

proptest! {
    #[test]
    fn records_come_back(record in any_record()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes).unwrap();
        prop_assert_eq!(Record::decode(&bytes).unwrap(), (record, bytes.len()));
        for cut in 0..bytes.len() {
            let is_short = matches!(Record::decode(&bytes[..cut]), Err(DecodeError::Short { .. }));
            prop_assert!(is_short);
        }
    }

    #[test]
    fn hostile_catalogs_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut all = MAGIC_V1_1.to_vec();
        all.extend(bytes);
        let _ = check_catalog_stream(&mut &all[..], Path::new("x"), &example_media());
    }
}

/// A catalog that is no catalog at all must not stand in the way of a new one.
#[test]
fn an_unreadable_catalog_is_put_aside() {
    let (_folder, state) = state();
    let media = example_media();
    let path = state.catalog_file(&media.label.uuid);
    let aside = path.with_extension("bad");
    let mut older = example_bytes();
    older[..8].copy_from_slice(&super::record::MAGIC_V1_0);
    for bytes in [b"rubbish that is long enough".to_vec(), older] {
        std::fs::write(&path, &bytes).unwrap();
        MediaCatalog::destroy_unrelated(&state, &media).unwrap();
        assert!(!path.exists());
        assert_eq!(std::fs::read(&aside).unwrap(), bytes);
    }
    // What loading heals by itself stays, and so does a sound one.
    for bytes in [Vec::new(), MAGIC_V1_1[..5].to_vec(), vec![0; 40], example_bytes()] {
        std::fs::write(&path, &bytes).unwrap();
        MediaCatalog::destroy_unrelated(&state, &media).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

/// Each list was synced by itself, and the first listing of a thousand tapes took five seconds.
#[test]
fn many_snapshot_lists_get_their_names_together() {
    let (folder, state) = state();
    let mut tapes = Vec::new();
    for number in 0..7u64 {
        let mut media = example_media();
        media.label.uuid = Uuid::new_v4();
        let mut catalog = MediaCatalog::overwrite(&state, &media).unwrap();
        let name = format!("ct/{number}/2024-01-02T03:04:05Z");
        catalog.register_snapshot(2, snapshot_uuid(), "s", &name).unwrap();
        catalog.commit().unwrap();
        tapes.push((media, vec![("s".to_string(), name)]));
    }
    let has_list = |media: &MediaId| state.snapshot_list_file(&media.label.uuid).exists();
    let mut lists = SnapshotLists::new(&state);
    for (media, wanted) in &tapes {
        assert_eq!(lists.of(media).unwrap(), *wanted);
        assert!(!has_list(media), "a list has its name before it is durable");
    }
    drop(lists);
    let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let leftovers: Vec<_> = names.filter(|n| n.to_string_lossy().contains("index_")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    for (media, wanted) in &tapes {
        assert!(has_list(media));
        assert_eq!(snapshot_list(&state, media).unwrap(), *wanted);
    }
}
