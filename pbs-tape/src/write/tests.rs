//! Whole jobs over tapes in memory: spanning, continuing, crashing at every block.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use datastore::progress::Silent;
use datastore::{Datastore, Progress};

use super::pool_writer::PoolWriter;
use super::streams::job_set::JobSet;
use super::*;
use crate::device::TapeDevice;
use crate::device::model::{Medium, ModelDrive, ModelLibrary};
use crate::error::{Error, Result};
use crate::format::block::{Opened, StreamReader};
use crate::format::catalog_archive::read_catalog_archive;
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::{ContentHeader, ContentKind};
use crate::format::label::read_labels;
use crate::format::snapshot_archive::read_snapshot_archive_header;
use crate::loader::MediaLoader;
use crate::media::{Inventory, MediaCatalog, MediaStatus, PoolConfig};
use crate::operations::label::barcode_label;
use crate::restore::{RestoreOptions, StoreMap, run_restore};
use crate::testing::{World, add_snapshot, fingerprint, library, noise};

fn backup(
    world: &World,
    store: &Arc<Datastore>,
    library: &mut ModelLibrary,
) -> Result<TapeBackupReport> {
    let options = TapeBackupOptions::new("main");
    run_backup(&world.state, store, PoolConfig::new("p1"), library, &options, &Silent)
}

pub(crate) fn restore_all(
    world: &World,
    library: &mut ModelLibrary,
    target: &Arc<Datastore>,
    set: uuid::Uuid,
) {
    let options = RestoreOptions {
        media_set: set,
        stores: StoreMap::all_to("target", target.clone()),
        snapshots: Vec::new(),
        owner: "root@pam".into(),
        wait: crate::loader::MediaWait::NONE,
        writers: 2,
    };
    run_restore(&world.state, library, &options, &Silent).unwrap().into_result().unwrap();
}

/// Chunk sizes that make every interesting cut: small, odd, multiples of the slice, several blocks.
fn chunks(seed: u64) -> Vec<Vec<u8>> {
    [100, 70_000, 262_132, 262_144 - 12, 524_288 - 12, 600_001, 900_000, 33]
        .iter()
        .enumerate()
        .map(|(number, len)| noise(seed * 100 + number as u64, *len))
        .collect()
}

fn filled_store(world: &World) -> (Arc<Datastore>, Vec<String>) {
    let store = world.store("source");
    let mut names = Vec::new();
    let mut data = chunks(1);
    names.push(add_snapshot(&store, "", "a", 1_700_000_000, &data));
    data.truncate(5);
    data.extend(chunks(2));
    names.push(add_snapshot(&store, "", "a", 1_700_000_100, &data));
    names.push(add_snapshot(&store, "prod/db", "b", 1_700_000_200, &chunks(3)));
    (store, names)
}

/// Everything that the format promises about the tapes of one set, read from the tapes alone.
pub(crate) fn assert_conforming(world: &World, library: &ModelLibrary, used: &[String]) {
    let inventory = Inventory::load(&world.state).unwrap();
    let mut catalogs_before = Vec::new();
    for (seq_nr, text) in used.iter().enumerate() {
        let medium = library.medium(text);
        for file in medium.files() {
            for (number, block) in file.iter().enumerate() {
                let is_last = number + 1 == file.len();
                let flags = block[8];
                assert!(is_last || flags & 1 == 0, "{text}: end marker inside a file");
                let size = u32::from_le_bytes([block[9], block[10], block[11], 0]) as usize;
                assert!(block[16 + size..].iter().all(|byte| *byte == 0), "padding");
            }
        }
        let mut drive = ModelDrive::new(medium);
        let labels = read_labels(&mut drive).unwrap().unwrap();
        let set = labels.media_set.unwrap().label;
        assert_eq!((labels.media.label_text.as_str(), set.seq_nr), (text.as_str(), seq_nr as u64));
        let entry = inventory.get(&labels.media.uuid).unwrap();
        assert_eq!(entry.id.media_set_label.as_ref(), Some(&set));
        let catalog = MediaCatalog::load(&world.state, &entry.id).unwrap();
        let mut known: BTreeSet<u64> = BTreeSet::new();
        for (store, content) in catalog.content().stores() {
            known.extend(content.snapshots.values());
            catalog.each_chunk(store, &mut |_, file| _ = known.insert(file)).unwrap();
        }
        let mut number = 2;
        let mut leading = Vec::new();
        loop {
            let mut stream = match StreamReader::open(&mut drive) {
                // The power went before the filemark.
                Err(Error::UnexpectedEndOfData { .. }) => break,
                Err(error) => panic!("{text} file {number}: {error}"),
                Ok(Opened::File(stream)) => stream,
                Ok(Opened::Filemark) => {
                    number += 1;
                    continue;
                }
                Ok(Opened::EndOfData) => break,
            };
            let Ok(header) = ContentHeader::read(&mut stream) else {
                stream.skip_to_end().unwrap();
                assert!(!stream.has_end_marker().unwrap());
                number += 1;
                continue;
            };
            match header.kind {
                ContentKind::CatalogArchiveV1_1 => {
                    let archive = read_catalog_archive(&mut stream, &header).unwrap();
                    if archive.seq_nr < seq_nr as u64 {
                        leading.push(archive.uuid);
                    } else {
                        assert_eq!(archive.uuid, labels.media.uuid);
                    }
                    assert!(!known.contains(&number));
                }
                ContentKind::ChunkArchiveV1_1 => {
                    let mut archive = ChunkArchiveReader::new(&mut stream, &header).unwrap();
                    let mut blob = Vec::new();
                    let mut found = 0;
                    let mut unregistered = false;
                    while let Ok(Some(digest)) = archive.next_chunk(&mut blob) {
                        assert!(!unregistered, "{text} file {number}: an unregistered chunk");
                        found += 1;
                        if known.contains(&number) {
                            let at = catalog.chunk("main", &digest).unwrap();
                            // A last chunk of whole slices counts as cut although all of it is there.
                            unregistered = at.is_none();
                            assert!(at.is_some() || blob.len() % 262_144 == 0);
                        }
                    }
                    if known.contains(&number) {
                        assert!(found > 0);
                        assert!(!stream.is_incomplete().unwrap(), "chunk archives end with 01h");
                    }
                }
                _ => {
                    let archive = read_snapshot_archive_header(&mut stream, &header).unwrap();
                    let in_namespace = archive.snapshot.starts_with("ns/");
                    assert_eq!(header.kind == ContentKind::SnapshotArchiveV1_2, in_namespace);
                    stream.skip_to_end().unwrap();
                    let counts =
                        stream.has_end_marker().unwrap() && !stream.is_incomplete().unwrap();
                    if known.contains(&number) {
                        assert!(counts);
                        let at = catalog.content().snapshot("main", &archive.snapshot);
                        assert!(at.is_some());
                    }
                }
            }
            number += 1;
            match drive.move_to_file(number) {
                // The power went in the middle of the last file, and nobody has written behind it.
                Err(Error::Drive(error)) if error.is_missing() => break,
                moved => moved.unwrap(),
            }
        }
        // One that a drive failed on before anything else was written there is begun anew by the job that goes on with it,
        // and by none once others follow it.
        let is_cut_off = known.is_empty();
        let expected =
            if is_cut_off { &catalogs_before[..leading.len()] } else { &catalogs_before };
        assert_eq!(leading, expected, "{text} starts with its predecessors' catalogs");
        catalogs_before.push(labels.media.uuid);
    }
}

#[test]
fn a_set_spans_tapes_and_comes_back() {
    for blocks in [14, 15, 16, 17, 19, 24] {
        let world = World::new();
        let (store, names) = filled_store(&world);
        let mut library = library(12, blocks, 6);
        barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
        let report = backup(&world, &store, &mut library).unwrap();
        assert_eq!(report.snapshots_written.len(), names.len());
        assert!(report.tapes.len() >= 2, "{blocks}: {:?}", report.tapes);
        assert_conforming(&world, &library, &report.tapes);

        let target = world.store_for("target", &store);
        restore_all(&world, &mut library, &target, report.media_set_uuid);
        for name in &names {
            assert_eq!(fingerprint(&store, name), fingerprint(&target, name), "{blocks} {name}");
        }
        // Nothing left to do, and nothing written.
        let before: Vec<_> = report.tapes.iter().map(|t| library.medium(t).records.len()).collect();
        let again = backup(&world, &store, &mut library).unwrap();
        assert_eq!((again.snapshots_skipped, again.tape_bytes), (3, 0));
        let after: Vec<_> = report.tapes.iter().map(|t| library.medium(t).records.len()).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn a_later_job_continues_the_set_with_what_is_new() {
    let world = World::new();
    let store = world.store("source");
    let mut library = library(3, 100, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    add_snapshot(&store, "", "a", 1_700_000_000, &chunks(1));
    let first = backup(&world, &store, &mut library).unwrap();
    let mut data = chunks(1);
    data.push(noise(99, 5000));
    add_snapshot(&store, "", "a", 1_700_000_100, &data);
    let second = backup(&world, &store, &mut library).unwrap();
    assert_eq!(first.media_set_uuid, second.media_set_uuid);
    assert_eq!(
        (second.chunks, second.snapshots_written.len(), second.snapshots_skipped),
        (1, 1, 1)
    );
    assert_eq!(library.medium("T01").files().len(), 8);
    assert_conforming(&world, &library, &["T01".to_string()]);
}

/// The power goes at any block: what the catalogs know afterwards is on the tapes, the next job
/// completes the set, and everything comes back.
#[test]
fn a_crash_at_any_block_leaves_a_set_that_can_be_continued() {
    for fuse in 0..48 {
        let world = World::new();
        let (store, names) = filled_store(&world);
        let mut library = library(12, 14, 6);
        barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
        library.fuse = Some(Arc::new(Mutex::new(fuse)));
        let crashed = backup(&world, &store, &mut library);
        let error = crashed.unwrap_err().to_string();
        assert!(error.contains("the power went"), "{fuse}: {error}");
        library.fuse = None;
        library.loaded = None;
        let report = backup(&world, &store, &mut library).unwrap_or_else(|e| panic!("{fuse}: {e}"));
        let inventory = Inventory::load(&world.state).unwrap();
        let set = inventory.media_set(&report.media_set_uuid).unwrap();
        let used: Vec<String> = set
            .require_complete()
            .unwrap()
            .iter()
            .map(|media| inventory.get(media).unwrap().id.label.label_text.clone())
            .collect();
        assert_conforming(&world, &library, &used);
        let target = world.store_for("target", &store);
        restore_all(&world, &mut library, &target, report.media_set_uuid);
        for name in &names {
            assert_eq!(fingerprint(&store, name), fingerprint(&target, name), "{fuse} {name}");
        }
    }
}

/// Aborts at the n-th question.
struct AbortAt(Mutex<u64>);

impl Progress for AbortAt {
    fn is_aborted(&self) -> bool {
        let mut left = self.0.lock().unwrap();
        *left = left.saturating_sub(1);
        *left == 0
    }
}

#[test]
fn an_abort_keeps_what_is_done() {
    for at in [1, 3, 8, 15, 25] {
        let world = World::new();
        let (store, _) = filled_store(&world);
        let mut library = library(12, 40, 6);
        barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
        let options = TapeBackupOptions::new("main");
        let abort = AbortAt(Mutex::new(at));
        let pool = PoolConfig::new("p1");
        let result = run_backup(&world.state, &store, pool, &mut library, &options, &abort);
        assert!(result.unwrap_err().is_aborted());
        let report = backup(&world, &store, &mut library).unwrap();
        assert_eq!(report.snapshots_written.len() as u64 + report.snapshots_skipped, 3);
        let target = world.store_for("target", &store);
        restore_all(&world, &mut library, &target, report.media_set_uuid);
    }
}

#[test]
fn no_free_tape_is_a_clear_error_and_nothing_is_lost() {
    let world = World::new();
    let (store, _) = filled_store(&world);
    let mut library = library(1, 14, 6);
    let error = backup(&world, &store, &mut library).unwrap_err();
    assert!(error.to_string().contains("pool p1 has no usable tape"), "{error}");
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let error = backup(&world, &store, &mut library).unwrap_err();
    assert!(matches!(error.cause(), Error::NoUsableMedia { .. }), "{error}");
    // What went onto the only tape counts: more tapes complete the set.
    library.tapes.extend(crate::testing::library(9, 14, 6).tapes.into_iter().skip(1));
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let report = backup(&world, &store, &mut library).unwrap();
    let target = world.store_for("target", &store);
    restore_all(&world, &mut library, &target, report.media_set_uuid);
}

/// Archives of a single block raised early warning one after the other and went on, because each of them was whole,
/// until the tape had no room for the next one and the job failed. A year of jobs found it.
#[test]
fn many_small_snapshots_end_a_tape_at_early_warning() {
    let world = World::new();
    let store = world.store("source");
    let mut names = Vec::new();
    for number in 0..16 {
        let chunk = [noise(number, 1_000)];
        names.push(add_snapshot(&store, "", "a", 1_700_000_000 + number as i64, &chunk));
    }
    let mut library = library(4, 12, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let report = backup(&world, &store, &mut library).unwrap();
    assert_eq!((report.snapshots_written.len(), report.tapes.len()), (16, 3), "{report:?}");
    assert_conforming(&world, &library, &report.tapes);
    let target = world.store_for("target", &store);
    restore_all(&world, &mut library, &target, report.media_set_uuid);
}

#[test]
fn a_chunk_that_fits_on_no_tape_ends_the_job() {
    let world = World::new();
    let store = world.store("source");
    add_snapshot(&store, "", "a", 1_700_000_000, &[noise(1, 3_000_000)]);
    let mut library = library(5, 5, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let error = backup(&world, &store, &mut library).unwrap_err();
    assert!(matches!(error.cause(), Error::DoesNotFit { .. }), "{error}");
}

#[test]
fn a_damaged_chunk_is_named_and_never_written() {
    let world = World::new();
    let (store, names) = filled_store(&world);
    let victim = datastore::Digest::of(&chunks(2)[6]);
    let path = store.chunks().path(&victim);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut library = library(3, 100, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let report = backup(&world, &store, &mut library).unwrap();
    assert_eq!(report.snapshots_failed.len(), 1);
    let error = report.snapshots_failed[0].1.clone();
    for part in [victim.to_string().as_str(), &names[1], "root.pxar.didx", "CRC"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    // The snapshots before and behind it are safe.
    assert_eq!(report.snapshots_written, [names[0].clone(), names[2].clone()]);
    let inventory = Inventory::load(&world.state).unwrap();
    let entry = inventory.find_by_label_text("T01").unwrap().unwrap();
    let catalog = MediaCatalog::load(&world.state, &entry.id).unwrap();
    assert!(catalog.content().snapshot("main", &names[0]).is_some());
    assert!(catalog.content().snapshot("main", &names[1]).is_none());
    assert!(catalog.chunk("main", &victim).unwrap().is_none());
}

#[test]
fn a_snapshot_that_cannot_be_read_is_reported_and_the_rest_goes_on() {
    let world = World::new();
    let (store, names) = filled_store(&world);
    let (namespace, snapshot) = datastore::hierarchy::parse_qualified_name(&names[0]).unwrap();
    let dir = store.snapshot_dir(&namespace, &snapshot);
    std::fs::write(dir.join("root.pxar.didx"), b"rubbish").unwrap();
    let mut library = library(3, 100, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let report = backup(&world, &store, &mut library).unwrap();
    assert_eq!(report.snapshots_failed[0].0, names[0]);
    assert_eq!(report.snapshots_written.len(), 2);
    assert!(matches!(report.into_result(), Err(Error::Partial { failed: 1, .. })));
}

#[test]
fn a_tape_of_another_set_is_not_overwritten() {
    // The same tape was labelled, then used by somebody with another state directory.
    for first_job_cannot_load in [false, true] {
        another_set(first_job_cannot_load);
    }
}

fn another_set(first_job_cannot_load: bool) {
    let world = World::new();
    let (store, _) = filled_store(&world);
    let mut tapes = library(2, 100, 6);
    barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    let copy = world.folder.path().join("other-state");
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(world.state.inventory_file(), copy.join("inventory.json")).unwrap();
    let other = crate::media::StateDir::open(&copy).unwrap();
    let options = TapeBackupOptions::new("main");
    run_backup(&other, &store, PoolConfig::new("p1"), &mut tapes, &options, &Silent).unwrap();
    let foreign = tapes.medium("T01").records;

    tapes.loaded = None;
    if first_job_cannot_load {
        // It takes the tape into its set all the same, and the second job finds it there.
        tapes.elsewhere = Some("T01".into());
        backup(&world, &store, &mut tapes).unwrap_err();
        tapes.elsewhere = None;
    }
    let report = backup(&world, &store, &mut tapes).unwrap();
    assert_eq!(report.tapes, ["T02"]);
    assert!(tapes.medium("T01").records == foreign, "the foreign set is untouched");
    let inventory = Inventory::load(&world.state).unwrap();
    let entry = inventory.find_by_label_text("T01").unwrap().unwrap();
    assert!(entry.id.assigned_set().is_some(), "and known now");
}

/// A reservation for another pool is respected even where only the tape knows of it.
#[test]
fn a_tape_reserved_for_another_pool_is_not_taken() {
    for (pool, is_taken) in [("p1", true), ("p2", false)] {
        let world = World::new();
        let (store, _) = filled_store(&world);
        let mut tapes = library(1, 100, 6);
        barcode_label(&world.state, &mut tapes, None, &Silent).unwrap();
        let reservation = crate::format::label::MediaSetLabel {
            ctime: 1_700_000_000,
            encryption_key_fingerprint: None,
            pool: pool.into(),
            seq_nr: 0,
            uuid: uuid::Uuid::nil(),
        };
        let mut drive = ModelDrive::at(tapes.tapes["T01"].clone());
        drive.move_to_file(1).unwrap();
        crate::format::label::write_media_set_label(&mut drive, &reservation, None).unwrap();
        let before = tapes.medium("T01").records;
        match backup(&world, &store, &mut tapes) {
            Ok(_) => assert!(is_taken),
            Err(e) => {
                assert!(!is_taken && matches!(e.cause(), Error::NoUsableMedia { .. }), "{e}");
                assert!(tapes.medium("T01").records == before);
            }
        }
    }
}

/// Snapshots and chunks are left out because a catalog says that the tape has them; so a tape that
/// turns out to have nothing must not be begun anew behind that catalog's back.
#[test]
fn a_catalog_is_not_believed_when_its_tape_left_the_set() {
    let world = World::new();
    let store = world.store("source");
    let mut tapes = library(1, 100, 6);
    barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    let first = add_snapshot(&store, "", "a", 1_700_000_000, &chunks(1));
    backup(&world, &store, &mut tapes).unwrap();
    // Somebody else labelled the tape again under the same UUID.
    let end_of_label = 2;
    tapes.tapes["T01"].lock().unwrap().records.truncate(end_of_label);
    tapes.loaded = None;
    let before = tapes.medium("T01").records;
    add_snapshot(&store, "", "a", 1_700_000_100, &chunks(1));
    let error = backup(&world, &store, &mut tapes).unwrap_err();
    assert!(matches!(error.cause(), Error::WrongMediaSet { .. }), "{error}");
    assert!(error.to_string().contains("tape inventory --read-all-labels"), "{error}");
    assert!(tapes.medium("T01").records == before);
    let inventory = Inventory::load(&world.state).unwrap();
    let entry = inventory.find_by_label_text("T01").unwrap().unwrap();
    let catalog = MediaCatalog::load(&world.state, &entry.id).unwrap();
    assert!(catalog.content().snapshot("main", &first).is_some(), "the evidence is kept");
}

/// A blob on disk that is not what its manifest says does not go to tape, and stops nobody else.
#[test]
fn a_damaged_or_missing_blob_fails_its_snapshot_only() {
    for is_missing in [false, true] {
        let world = World::new();
        let (store, names) = filled_store(&world);
        let (namespace, snapshot) = datastore::hierarchy::parse_qualified_name(&names[0]).unwrap();
        let path = store.snapshot_dir(&namespace, &snapshot).join("etc.conf.blob");
        let mut bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        if !is_missing {
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
        let mut tapes = library(3, 100, 6);
        barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
        let report = backup(&world, &store, &mut tapes).unwrap();
        assert_eq!(report.snapshots_written, [names[1].clone(), names[2].clone()]);
        assert_eq!(report.snapshots_failed.len(), 1, "{is_missing}");
        let (name, reason) = &report.snapshots_failed[0];
        assert_eq!(name, &names[0]);
        assert!(reason.contains("etc.conf.blob") && !reason.contains("T01"), "{reason}");
    }
}

/// A single chunk.
struct One(Option<feed::FedChunk>);

impl feed::ChunkSource for One {
    fn next_chunk(&mut self) -> Option<Result<feed::FedChunk>> {
        self.0.take().map(Ok)
    }

    fn put_back(&mut self, chunk: feed::FedChunk) {
        self.0 = Some(chunk);
    }

    fn has_chunk(&mut self) -> bool {
        self.0.is_some()
    }
}

/// What was registered for a tape is committed before the tape is taken out of the drive, whatever
/// becomes of the numbers that are only for display.
#[test]
fn a_tape_is_not_put_away_before_its_catalog_is_committed() {
    for inventory_is_behind in [false, true] {
        let world = World::new();
        let (store, _) = filled_store(&world);
        let mut tapes = library(1, 100, 6);
        barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
        let pool = crate::media::MediaPool::open_for_writing(
            &world.state,
            PoolConfig::new("p1"),
            tapes.reach(),
        )
        .unwrap();
        let wait = crate::loader::MediaWait::NONE;
        let set = Arc::new(JobSet::begin(pool, None, false, 1, &Silent).unwrap());
        let mut writer = PoolWriter::new(set, 0, &mut tapes, &Silent, wait, false).unwrap();
        let digest = datastore::Digest::of(&chunks(1)[0]);
        let blob = store.chunks().read(&digest).unwrap();
        let mut feed = One(Some(feed::FedChunk { digest, blob: Arc::new(blob) }));
        writer.append_chunk_archive(&mut feed, "main").unwrap();
        let mut inventory = Inventory::load(&world.state).unwrap();
        let id = inventory.find_by_label_text("T01").unwrap().unwrap().id.clone();
        if inventory_is_behind {
            // The fill level can't be stored now.
            inventory.remove(&id.label.uuid).unwrap();
            writer.commit().unwrap();
        }
        writer.put_away().unwrap();
        let catalog = MediaCatalog::load(&world.state, &id).unwrap();
        assert!(catalog.chunk("main", &digest).unwrap().is_some(), "{inventory_is_behind}");
    }
}

#[test]
fn the_wrong_tape_is_refused_by_its_uuid() {
    let world = World::new();
    let (store, _) = filled_store(&world);
    let mut tapes = library(1, 100, 6);
    barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    // Another tape with the same label text.
    let elsewhere = World::new();
    let mut impostor = library(1, 100, 6);
    barcode_label(&elsewhere.state, &mut impostor, None, &Silent).unwrap();
    let before = impostor.medium("T01").records;
    let error = backup(&world, &store, &mut impostor).unwrap_err();
    assert!(matches!(error.cause(), Error::WrongTape { .. }), "{error}");
    assert!(impostor.medium("T01").records == before);
}

/// The end of the tape comes while the job's own catalog is written: the next tape gets it.
#[test]
fn a_catalog_that_does_not_fit_goes_to_the_next_tape() {
    let world = World::new();
    let store = world.store("source");
    add_snapshot(&store, "", "a", 1_700_000_000, &[noise(1, 200_000)]);
    // Labels, chunk archive, snapshot archive: four blocks, and no reserve at all.
    let mut tapes = ModelLibrary::new([
        ("T01".to_string(), Medium { records: Vec::new(), warning_blocks: 9, end_blocks: 4 }),
        ("T02".to_string(), Medium::default()),
    ]);
    barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    let report = backup(&world, &store, &mut tapes).unwrap();
    assert_eq!(report.tapes, ["T01", "T02"]);
    let inventory = Inventory::load(&world.state).unwrap();
    let first = inventory.find_by_label_text("T01").unwrap().unwrap();
    assert_eq!(first.status, Some(MediaStatus::Full));
    assert_conforming(&world, &tapes, &report.tapes);
    assert_eq!(tapes.medium("T02").files().len(), 4, "labels, both catalogs");
}

#[test]
fn export_and_eject_happen_at_the_end() {
    let world = World::new();
    let (store, _) = filled_store(&world);
    let mut tapes = library(3, 100, 6);
    barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    let mut options = TapeBackupOptions::new("main");
    options.export_media_set = true;
    run_backup(&world.state, &store, PoolConfig::new("p1"), &mut tapes, &options, &Silent).unwrap();
    assert_eq!((tapes.exported.clone(), tapes.loaded.clone()), (vec!["T01".to_string()], None));
    assert_eq!(tapes.online_label_texts().unwrap().unwrap().len(), 2);
}
