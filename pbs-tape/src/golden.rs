//! The tapes that the reference wrote: read file by file, catalogued, restored.

use std::collections::BTreeMap;
use std::path::Path;

use datastore::progress::Silent;
use datastore::{DataBlob, Digest};
use serde_json::{Value, json};

use crate::device::model::{Medium, ModelDrive, ModelLibrary};
use crate::format::block::{BLOCK_BYTES, Opened, StreamReader};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::{ContentHeader, ContentKind};
use crate::format::snapshot_archive::{read_snapshot_archive_header, read_snapshot_files};
use crate::loader::MediaWait;
use crate::media::listing::{
    ContentFilter, MediaFilter, media_content, media_list, media_set_list,
};
use crate::media::{Inventory, PoolConfig};
use crate::operations::catalog::{CatalogOptions, catalog};
use crate::operations::inventory::{InventoryOptions, inventory};
use crate::restore::{RestoreOptions, StoreMap, run_restore};
use crate::testing::{World, allow_chunk, assert_catalog_equals_dump, golden};

const TAPES: [&str; 3] = ["GOLD01L8", "GOLD02L8", "GOLD03L8"];

fn medium(golden: &Path, label: &str) -> Medium {
    let folder = golden.join("tape/virtual");
    let mut files = Vec::new();
    while let Ok(file) =
        std::fs::read(folder.join(format!("tapefile-{}-{label}.json", files.len())))
    {
        files.push(file);
    }
    assert!(files.len() > 2);
    Medium::from_files(&files)
}

pub(crate) fn library(golden: &Path) -> ModelLibrary {
    ModelLibrary::new(TAPES.map(|label| (label.to_string(), medium(golden, label))))
}

/// One file as the reference's dump tool describes it.
fn describe(file: &[u8]) -> Value {
    let mut drive = ModelDrive::new(Medium::from_files(&[file.to_vec()]));
    let Opened::File(mut stream) = StreamReader::open(&mut drive).unwrap() else { panic!() };
    let header = ContentHeader::read(&mut stream).unwrap();
    let name = match header.kind {
        ContentKind::MediaLabel => "Tape Label v1.0",
        ContentKind::MediaSetLabel => "MediaSet Label v1.0",
        ContentKind::ChunkArchiveV1_1 => "Chunk Archive v1.1",
        ContentKind::SnapshotArchiveV1_1 => "Snapshot Archive v1.1",
        ContentKind::SnapshotArchiveV1_2 => "Snapshot Archive v1.2",
        ContentKind::CatalogArchiveV1_1 => "Catalog Archive v1.1",
        other => panic!("{other:?}"),
    };
    let mut found = json!({
        "blocks": file.len() / BLOCK_BYTES,
        "content-magic": format!("Proxmox Backup {name}"),
        "file-size": file.len(),
        "part": header.part_number,
        "size": header.size,
        "uuid": header.uuid,
    });
    match header.kind {
        ContentKind::ChunkArchiveV1_1 => {
            let mut archive = ChunkArchiveReader::new(&mut stream, &header).unwrap();
            found["header"] = json!({"store": archive.store()});
            let mut list = Vec::new();
            let mut blob = Vec::new();
            while let Some(digest) = archive.next_chunk(&mut blob).unwrap() {
                list.push(json!([digest, blob.len()]));
                DataBlob::from_bytes(blob.clone(), &"chunk").unwrap();
            }
            found["chunks"] = list.len().into();
            found["list"] = list.into();
        }
        ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
            let archive = read_snapshot_archive_header(&mut stream, &header).unwrap();
            found["header"] = json!({"snapshot": archive.snapshot, "store": archive.store});
            let stat = |mode: u64, uid: u32, gid: u32, secs: i64, nanos: u32| {
                format!(
                    "Stat {{ mode: {mode}, flags: 0, uid: {uid}, gid: {gid}, mtime: StatxTimestamp \
                     {{ secs: {secs}, nanos: {nanos}, _zero: 0 }} }}"
                )
            };
            let mut entries = vec![json!(["/", stat(0o040_664, 0, 0, 0, 0), null])];
            read_snapshot_files(&mut stream, |name, meta, size, _| {
                let mtime = &meta.mtime;
                let stat = stat(meta.mode, meta.uid, meta.gid, mtime.secs, mtime.nanos);
                entries.push(json!([format!("/{name}"), stat, size]));
                Ok(())
            })
            .unwrap();
            found["entries"] = entries.into();
            return found;
        }
        _ => {
            found["header"] = header.read_data(&mut stream).unwrap();
            let mut rest = Vec::new();
            std::io::Read::read_to_end(&mut stream, &mut rest).unwrap();
            found["rest-len"] = rest.len().into();
        }
    }
    found["end-marker"] = stream.has_end_marker().unwrap().into();
    found["incomplete"] = stream.is_incomplete().unwrap().into();
    found
}

#[test]
fn every_golden_tape_file_is_what_its_dump_says() {
    let Some(golden) = golden() else { return };
    let dump = std::fs::read_to_string(golden.join("tape/dump.jsonl")).unwrap();
    let mut files = 0;
    for line in dump.lines() {
        let (name, expected) = line.split_once(": ").unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        let file = std::fs::read(golden.join("tape/virtual").join(name)).unwrap();
        assert_eq!(describe(&file), expected, "{name}");
        files += 1;
    }
    assert_eq!(files, 30);
}

/// Snapshot archives are written as the reference writes them, byte for byte.
#[test]
fn golden_archives_are_written_back_byte_for_byte() {
    let Some(golden) = golden() else { return };
    for label in TAPES {
        for (number, file) in medium(&golden, label).files().iter().enumerate() {
            let bytes: Vec<u8> = file.iter().flat_map(|block| block.to_vec()).collect();
            let mut drive = ModelDrive::new(Medium::from_files(std::slice::from_ref(&bytes)));
            let Opened::File(mut stream) = StreamReader::open(&mut drive).unwrap() else {
                panic!()
            };
            let header = ContentHeader::read(&mut stream).unwrap();
            let mut again = ModelDrive::new(Medium::default());
            match header.kind {
                ContentKind::SnapshotArchiveV1_1 | ContentKind::SnapshotArchiveV1_2 => {
                    let archive = read_snapshot_archive_header(&mut stream, &header).unwrap();
                    let mut files = Vec::new();
                    read_snapshot_files(&mut stream, |name, metadata, size, content| {
                        let mut bytes = Vec::new();
                        content.read_to_end(&mut bytes).unwrap();
                        files.push(Ok(crate::format::snapshot_archive::SnapshotFile {
                            name: name.into(),
                            metadata: metadata.clone(),
                            size,
                            content: Box::new(std::io::Cursor::new(bytes)),
                        }));
                        Ok(())
                    })
                    .unwrap();
                    crate::format::snapshot_archive::write_snapshot_archive(
                        &mut again,
                        &archive,
                        files,
                        header.ctime,
                    )
                    .unwrap();
                }
                ContentKind::ChunkArchiveV1_1 => {
                    let mut archive = ChunkArchiveReader::new(&mut stream, &header).unwrap();
                    let mut chunks = Vec::new();
                    let mut blob = Vec::new();
                    while let Some(digest) = archive.next_chunk(&mut blob).unwrap() {
                        chunks.push((digest, blob.clone()));
                    }
                    if archive.cut().is_some() {
                        continue;
                    }
                    let store = archive.store().to_string();
                    let mut writer = crate::format::chunk_archive::ChunkArchiveWriter::new(
                        &mut again,
                        &store,
                        header.ctime,
                    )
                    .unwrap();
                    for (digest, blob) in chunks {
                        writer.append(&digest, &blob).unwrap();
                    }
                    writer.finish().unwrap();
                }
                _ => continue,
            }
            let mut ours: Vec<u8> = again.medium.lock().unwrap().files()[0]
                .iter()
                .flat_map(|block| block.to_vec())
                .collect();
            // The content UUID is random.
            ours[32..48].copy_from_slice(&bytes[32..48]);
            assert!(ours == bytes, "{label} file {number}");
        }
    }
}

fn assert_catalogs(world: &World, golden: &Path) {
    for entry in Inventory::load(&world.state).unwrap().entries() {
        let catalog = crate::media::MediaCatalog::load(&world.state, &entry.id).unwrap();
        let dump = golden.join(format!("tape/catalog-{}.dump.jsonl", entry.id.label.uuid));
        assert_catalog_equals_dump(&catalog, &dump);
    }
}

fn take_inventory(world: &World, library: &mut ModelLibrary, catalog: bool) {
    let options = InventoryOptions { read_labels: true, catalog, ..InventoryOptions::default() };
    let report = inventory(&world.state, library, &options, &Silent).unwrap();
    assert_eq!(report.media.len(), 3);
    assert!(report.failed.is_empty(), "{report:?}");
}

#[test]
fn golden_tapes_are_inventoried_and_catalogued_fast() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    let mut library = library(&golden);
    take_inventory(&world, &mut library, true);
    assert_catalogs(&world, &golden);

    // The lists are those of the reference, but for the drive's name.
    let mut pool = PoolConfig::new("goldenpool");
    pool.template = Some("%Y-%m-%d set".into());
    let pools = [pool];
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(golden.join("tape").join(name)).unwrap()).unwrap()
    };
    let ours = serde_json::to_value(media_set_list(&world.state, &pools).unwrap()).unwrap();
    assert_eq!(ours, read("media-sets.json"));

    let (content, without) =
        media_content(&world.state, &pools, &ContentFilter::default()).unwrap();
    assert!(without.is_empty());
    let by_name = |list: Value| -> BTreeMap<String, Value> {
        let list = list.as_array().unwrap().clone();
        list.into_iter().map(|one| (one["snapshot"].as_str().unwrap().into(), one)).collect()
    };
    let ours = by_name(serde_json::to_value(content).unwrap());
    assert_eq!(ours, by_name(read("media-content.json")));

    let mut known = Inventory::load(&world.state).unwrap();
    for (text, full) in [("GOLD01L8", true), ("GOLD02L8", true), ("GOLD03L8", false)] {
        let uuid = known.find_by_label_text(text).unwrap().unwrap().id.label.uuid;
        known.set_bytes_used(&uuid, Some(0)).unwrap();
        known.set_location(&uuid, "online-vtape".parse().unwrap()).unwrap();
        if full {
            known.set_status(&uuid, Some(crate::media::MediaStatus::Full)).unwrap();
        }
    }
    let ours = media_list(&world.state, &pools, &MediaFilter::default(), 1_795_300_000).unwrap().0;
    assert_eq!(serde_json::to_value(&ours).unwrap(), read("media-list.json"));
    let text = serde_json::to_string_pretty(&ours).unwrap();
    assert_eq!(text, std::fs::read_to_string(golden.join("tape/media-list.json")).unwrap().trim());
    let inventory = std::fs::read_to_string(world.state.inventory_file()).unwrap();
    let expected = std::fs::read_to_string(golden.join("tape/state/inventory.json")).unwrap();
    assert_eq!(inventory, expected);
}

#[test]
fn golden_tapes_are_scanned() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    let mut library = library(&golden);
    take_inventory(&world, &mut library, false);
    for label in TAPES {
        library.loaded = Some(label.into());
        let options = CatalogOptions { force: true, scan: true };
        let report = catalog(&world.state, &mut library, options, &Silent).unwrap();
        assert!(report.scanned && report.damage.is_empty(), "{report:?}");
    }
    assert_catalogs(&world, &golden);
}

fn restore_target(world: &World, golden: &Path) -> std::sync::Arc<datastore::Datastore> {
    let target = world.store("target");
    for folder in std::fs::read_dir(golden.join("datastore/.chunks")).unwrap() {
        for chunk in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let name = chunk.unwrap().file_name().into_string().unwrap();
            if let Ok(digest) = name.parse::<Digest>() {
                allow_chunk(&target, &digest);
            }
        }
    }
    target
}

pub(crate) fn assert_restored(target: &datastore::Datastore, golden: &Path, snapshot: &str) {
    let (ours, theirs) = (target.base().join(snapshot), golden.join("datastore").join(snapshot));
    let mut files = 0;
    for entry in std::fs::read_dir(&theirs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name == "index.json.blob" || name == ".protected" {
            continue;
        }
        let (ours, theirs) = (ours.join(&name), theirs.join(&name));
        assert!(std::fs::read(&ours).unwrap() == std::fs::read(theirs).unwrap(), "{name}");
        files += 1;
    }
    assert!(files > 0 && ours.join("index.json.blob").is_file(), "{snapshot}");
}

#[test]
fn golden_tapes_are_restored() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    let mut library = library(&golden);
    take_inventory(&world, &mut library, true);
    let target = restore_target(&world, &golden);
    let set = std::fs::read_to_string(golden.join("tape/media-set-uuid")).unwrap();
    let (content, _) = media_content(&world.state, &[], &ContentFilter::default()).unwrap();
    let mut options = RestoreOptions {
        media_set: set.trim().parse().unwrap(),
        stores: StoreMap::parse("golden=target", &|_| Ok(target.clone())).unwrap(),
        snapshots: vec!["golden:vm/101/2024-05-01T11:01:40Z".into()],
        owner: "root@pam".into(),
        wait: MediaWait::NONE,
        writers: 2,
    };
    let report = run_restore(&world.state, &mut library, &options, &Silent).unwrap();
    let report = report.into_result().unwrap();
    assert_eq!(report.snapshots_restored.len(), 1);
    assert_restored(&target, &golden, "vm/101/2024-05-01T11:01:40Z");

    options.snapshots.clear();
    let report = run_restore(&world.state, &mut library, &options, &Silent).unwrap();
    let report = report.into_result().unwrap();
    assert_eq!((report.snapshots_restored.len(), report.snapshots_skipped.len()), (9, 1));
    for one in content {
        assert_restored(&target, &golden, &one.snapshot);
        let (namespace, path) = datastore::hierarchy::parse_qualified_name(&one.snapshot).unwrap();
        let reader = datastore::SnapshotReader::open(&target, &namespace, &path).unwrap();
        for file in reader.manifest().files() {
            if file.filename.ends_with("idx") {
                for digest in reader.index(&file.filename).unwrap().digests() {
                    target.chunks().read(&digest).unwrap();
                }
            }
        }
        assert!(reader.manifest().verify_state().is_none());
    }
    assert_catalogs(&world, &golden);
}
