//! Restores that meet trouble: missing chunks, damaged tapes, wrong owners, half-restored sets.

use std::sync::Arc;

use datastore::Datastore;
use datastore::progress::Silent;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::device::model::{ModelLibrary, Record};
use crate::media::{MediaCatalog, PoolConfig};
use crate::operations::catalog::{CatalogOptions, catalog};
use crate::operations::inventory::{InventoryOptions, inventory};
use crate::operations::label::barcode_label;
use crate::testing::{World, add_snapshot, fingerprint, library, noise};
use crate::write::{TapeBackupOptions, run_backup};

mod mapping;
mod order;
mod plan;
mod resume;

struct Set {
    world: World,
    store: Arc<Datastore>,
    names: Vec<String>,
    library: ModelLibrary,
    uuid: Uuid,
    tapes: Vec<String>,
}

/// Three snapshots on at least three tapes; the second needs chunks of the first.
fn written() -> Set {
    let world = World::new();
    let store = world.store("source");
    let data: Vec<Vec<u8>> = (0..6).map(|n| noise(n, 600_000)).collect();
    let mut names = vec![add_snapshot(&store, "", "a", 1_700_000_000, &data)];
    let mut second = data[..3].to_vec();
    second.extend((10..14).map(|n| noise(n, 600_000)));
    names.push(add_snapshot(&store, "", "a", 1_700_000_100, &second));
    let third: Vec<Vec<u8>> = (20..26).map(|n| noise(n, 600_000)).collect();
    names.push(add_snapshot(&store, "x/y", "b", 1_700_000_200, &third));
    let mut library = library(6, 20, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let options = TapeBackupOptions::new("main");
    let pool = PoolConfig::new("p1");
    let report = run_backup(&world.state, &store, pool, &mut library, &options, &Silent).unwrap();
    assert!(report.tapes.len() >= 3, "{:?}", report.tapes);
    Set { world, store, names, library, uuid: report.media_set_uuid, tapes: report.tapes }
}

impl Set {
    fn options(&self, target: &Arc<Datastore>, snapshots: &[usize]) -> RestoreOptions {
        RestoreOptions {
            media_set: self.uuid,
            stores: StoreMap::all_to("target", target.clone()),
            snapshots: snapshots.iter().map(|n| format!("main:{}", self.names[*n])).collect(),
            owner: "root@pam".into(),
            wait: MediaWait::NONE,
            writers: 2,
        }
    }

    fn target(&self) -> Arc<Datastore> {
        self.world.store_for("target", &self.store)
    }

    fn restore(&mut self, target: &Arc<Datastore>, snapshots: &[usize]) -> RestoreReport {
        let options = self.options(target, snapshots);
        run_restore(&self.world.state, &mut self.library, &options, &Silent).unwrap()
    }

    fn assert_restored(&self, target: &Arc<Datastore>, which: &[usize]) {
        for (number, name) in self.names.iter().enumerate() {
            let (namespace, path) = datastore::hierarchy::parse_qualified_name(name).unwrap();
            let there = unpack::exists(target, &namespace, &path).unwrap();
            assert_eq!(there, which.contains(&number), "{name}");
            if there {
                assert_eq!(fingerprint(&self.store, name), fingerprint(target, name));
            }
        }
    }

    /// Damages the n-th block that satisfies `which` on a tape, behind its labels.
    fn damage(&mut self, tape: &str, file: usize, block: usize, at: usize) {
        let mut medium = self.library.tapes[tape].lock().unwrap();
        let mut files = 0;
        let mut blocks = 0;
        for record in &mut medium.records {
            match record {
                Record::Filemark => {
                    files += 1;
                    blocks = 0;
                }
                Record::Block(bytes) => {
                    if files == file && blocks == block {
                        let mut changed = bytes.to_vec();
                        changed[at] ^= 0x10;
                        *bytes = changed.into();
                        return;
                    }
                    blocks += 1;
                }
            }
        }
        panic!("no such block");
    }
}

#[test]
fn chosen_snapshots_come_alone() {
    let mut set = written();
    let target = set.target();
    let report = set.restore(&target, &[1]);
    assert_eq!(report.snapshots_restored, [format!("main:{}", set.names[1])]);
    assert_eq!(report.chunks, 7);
    set.assert_restored(&target, &[1]);
    // The third as well; what is there is left alone.
    let report = set.restore(&target, &[1, 2]);
    assert_eq!((report.snapshots_restored.len(), report.snapshots_skipped.len()), (1, 1));
    assert_eq!(report.chunks, 6);
    set.assert_restored(&target, &[1, 2]);
    assert!(!target.base().join(".tmp").join(set.uuid.to_string()).exists());
    // And the whole set completes what is missing.
    let report = set.restore(&target, &[]);
    assert_eq!((report.snapshots_restored.len(), report.snapshots_skipped.len()), (1, 2));
    set.assert_restored(&target, &[0, 1, 2]);
    assert_eq!(target.owner(&"".parse().unwrap(), &"host/a".parse().unwrap()).unwrap(), "root@pam");
}

#[test]
fn unknown_snapshots_and_stores_are_told() {
    let mut set = written();
    let target = set.target();
    let mut options = set.options(&target, &[0]);
    options.snapshots.push("main:host/a/2020-01-01T00:00:00Z".into());
    let report = run_restore(&set.world.state, &mut set.library, &options, &Silent).unwrap();
    assert_eq!(report.snapshots_failed.len(), 1);
    assert_eq!(report.snapshots_restored.len(), 1);
    options.snapshots = vec!["nonsense".into()];
    assert!(run_restore(&set.world.state, &mut set.library, &options, &Silent).is_err());
    options.media_set = Uuid::new_v4();
    let error = run_restore(&set.world.state, &mut set.library, &options, &Silent).unwrap_err();
    assert!(error.is_missing(), "{error}");
}

/// A damaged block costs what depends on it, by name, and nothing else.
#[test]
fn damage_costs_only_what_depends_on_it() {
    // File 2 of the first tape is the first chunk archive; block 1 is in its middle.
    for (block, at) in [(1, 3000), (1, 0), (3, 5), (0, 20), (0, 70)] {
        let mut set = written();
        let target = set.target();
        set.damage("T01", 2, block, at);
        let report = set.restore(&target, &[]);
        assert!(!report.damage.is_empty(), "{block} {at}");
        assert!(report.damage[0].contains("T01, file 2"), "{:?}", report.damage);
        let failed: Vec<&str> = report.snapshots_failed.iter().map(|f| f.0.as_str()).collect();
        let first = format!("main:{}", set.names[0]);
        assert!(failed.contains(&first.as_str()), "{failed:?}");
        assert!(report.snapshots_failed[0].1.contains("of its chunks are on none"));
        assert!(report.snapshots_restored.contains(&format!("main:{}", set.names[2])));
        assert!(report.into_result().is_err());
        // The catalog of the damaged tape is still the one that was there.
        let inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        let entry = inventory.find_by_label_text("T01").unwrap().unwrap();
        let catalog = MediaCatalog::load(&set.world.state, &entry.id).unwrap();
        assert!(catalog.content().snapshot("main", &set.names[0]).is_some());
        // What could not be restored is not visible, not even half.
        let (namespace, path) = datastore::hierarchy::parse_qualified_name(&set.names[0]).unwrap();
        assert!(!target.snapshot_dir(&namespace, &path).exists());
    }
}

#[test]
fn groups_of_another_owner_are_not_touched() {
    let mut set = written();
    let target = set.target();
    add_snapshot(&target, "", "a", 1_600_000_000, &[noise(77, 10)]);
    let mut options = set.options(&target, &[]);
    options.owner = "somebody@pbs".into();
    let report = run_restore(&set.world.state, &mut set.library, &options, &Silent).unwrap();
    assert_eq!(report.snapshots_failed.len(), 2);
    assert!(report.snapshots_failed[0].1.contains("belongs to root@pam"));
    set.assert_restored(&target, &[2]);
}

#[test]
fn a_set_in_use_is_refused() {
    let mut set = written();
    let target = set.target();
    let _writing = set.world.state.lock_media_set(&set.uuid).unwrap();
    let options = set.options(&target, &[]);
    let error = run_restore(&set.world.state, &mut set.library, &options, &Silent).unwrap_err();
    assert!(error.is_retryable(), "{error}");
}

/// Nothing but the tapes is left: inventory, catalogs and data come back from them.
#[test]
fn everything_comes_back_from_the_tapes_alone() {
    let mut set = written();
    let old = set.world.state.clone();
    let fresh = crate::media::StateDir::open(set.world.folder.path().join("fresh")).unwrap();
    set.world.state = fresh.clone();
    let options = InventoryOptions { catalog: true, ..InventoryOptions::default() };
    let report = inventory(&fresh, &mut set.library, &options, &Silent).unwrap();
    assert!(report.failed.is_empty(), "{report:?}");
    assert_eq!(report.catalogs.len(), set.tapes.len());
    for text in &set.tapes {
        let known = crate::media::Inventory::load(&fresh).unwrap();
        let media = known.find_by_label_text(text).unwrap().unwrap().id.label.uuid;
        let (ours, theirs) = (fresh.catalog_file(&media), old.catalog_file(&media));
        assert!(std::fs::read(ours).unwrap() == std::fs::read(theirs).unwrap(), "{text}");
    }
    let target = set.target();
    set.restore(&target, &[2, 1]);
    set.restore(&target, &[]);
    set.assert_restored(&target, &[0, 1, 2]);
}

/// Reading every file finds what the job had registered, and a copy of a chunk more at most.
#[test]
fn a_scan_finds_what_the_job_registered() {
    let mut set = written();
    for text in set.tapes.clone() {
        let inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        let id = inventory.find_by_label_text(&text).unwrap().unwrap().id.clone();
        let path = set.world.state.catalog_file(&id.label.uuid);
        let before = std::fs::read(&path).unwrap();
        set.library.loaded = Some(text.clone());
        let refused =
            catalog(&set.world.state, &mut set.library, CatalogOptions::default(), &Silent);
        assert!(matches!(refused, Err(Error::CatalogExists { .. })));
        let options = CatalogOptions { force: true, scan: true };
        let report = catalog(&set.world.state, &mut set.library, options, &Silent).unwrap();
        assert!(report.scanned && report.damage.is_empty());
        assert!(std::fs::read(&path).unwrap() == before, "{text}");
    }
}

#[test]
fn mappings_are_parsed() {
    let world = World::new();
    let open = |name: &str| -> Result<SharedStore> { Ok(world.store(name)) };
    let map = StoreMap::parse("a=one,b=two,three", &open).unwrap();
    let name = |source: &str| map.target(source).map(|target| target.name.clone());
    assert_eq!(name("a").as_deref(), Some("one"));
    assert_eq!(name("b").as_deref(), Some("two"));
    assert_eq!(name("z").as_deref(), Some("three"));
    assert_eq!(map.targets().len(), 3);
    let map = StoreMap::parse("a=one,b=one", &open).unwrap();
    assert_eq!(map.targets().len(), 1);
    assert!(map.target("z").is_none());
    for bad in ["", "a=", "=x", "one,two", "a=one,a=two", "a=one,"] {
        assert!(StoreMap::parse(bad, &open).is_err(), "{bad}");
    }
}

/// Damage in the archive of a snapshot costs that snapshot and nothing else.
#[test]
fn a_damaged_snapshot_archive_costs_one_snapshot() {
    for at in [0, 12, 30, 80, 300, 5000] {
        let mut set = written();
        let target = set.target();
        // Labels, chunks, then the archive of the first snapshot.
        set.damage("T01", 3, 0, at);
        let report = set.restore(&target, &[]);
        let restored = report.snapshots_restored.len();
        assert!(report.into_result().is_err(), "{at}");
        assert_eq!(restored, 2, "{at}");
        set.assert_restored(&target, &[1, 2]);
    }
}

/// The power went while the last file was written: whatever is whole before it comes back, with no
/// error, wherever the tape was cut off.
#[test]
fn a_torn_last_file_hides_nothing_before_it() {
    let records = written().library.medium("T01").records;
    // Behind the labels. A cut behind a filemark tears nothing.
    for cut in 4..records.len() {
        if records.get(cut - 1) == Some(&Record::Filemark) {
            continue;
        }
        let mut set = written();
        let target = set.target();
        set.library.tapes["T01"].lock().unwrap().records.truncate(cut);
        let archives = set.library.medium("T01").files()[2..].len();
        let report = set.restore(&target, &[]);
        assert!(report.damage.is_empty(), "{cut}: {:?}", report.damage);
        assert_eq!(report.tapes.len(), set.tapes.len(), "{cut}: the later tapes were read");
        assert!(report.snapshots_restored.contains(&format!("main:{}", set.names[2])), "{cut}");
        set.library.loaded = Some("T01".into());
        let options = CatalogOptions { force: true, scan: true };
        let report = catalog(&set.world.state, &mut set.library, options, &Silent).unwrap();
        assert!(report.damage.is_empty(), "{cut}: {:?}", report.damage);
        let inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        let id = inventory.find_by_label_text("T01").unwrap().unwrap().id.clone();
        let catalog = MediaCatalog::load(&set.world.state, &id).unwrap();
        let mut known = std::collections::BTreeSet::new();
        for (store, content) in catalog.content().stores() {
            known.extend(content.snapshots.values().copied());
            catalog.each_chunk(store, &mut |_, file| _ = known.insert(file)).unwrap();
        }
        // Everything but the torn file is known.
        assert_eq!(known.len(), archives - 1, "{cut}");
    }
}

/// The catalog that a job left on the tape says nothing about what a later job wrote behind it: the
/// tape is read instead.
#[test]
fn an_outdated_catalog_on_tape_is_not_taken() {
    let world = World::new();
    let store = world.store("source");
    let mut tapes = library(1, 100, 6);
    barcode_label(&world.state, &mut tapes, Some("p1"), &Silent).unwrap();
    let options = TapeBackupOptions::new("main");
    let pool = || PoolConfig::new("p1");
    add_snapshot(&store, "", "a", 1_700_000_000, &[noise(1, 1000)]);
    run_backup(&world.state, &store, pool(), &mut tapes, &options, &Silent).unwrap();
    let files = tapes.medium("T01").files();
    let own = files.last().unwrap().clone();
    let inventory_now = || crate::media::Inventory::load(&world.state).unwrap();
    let id = inventory_now().find_by_label_text("T01").unwrap().unwrap().id.clone();
    let path = world.state.catalog_file(&id.label.uuid);
    let true_content = MediaCatalog::load(&world.state, &id).unwrap();
    assert!(true_content.content().snapshot("main", "host/a/2023-11-14T22:13:20Z").is_some());
    for middle in [false, true] {
        // [labels][own catalog][data] and [labels][data][own catalog][torn data].
        let mut order: Vec<&Vec<Arc<[u8]>>> = files[..2].iter().collect();
        if middle {
            order.extend(&files[2..]);
            order.push(&files[2]);
        } else {
            order.push(&own);
            order.extend(&files[2..files.len() - 1]);
        }
        let mut medium = tapes.tapes["T01"].lock().unwrap();
        medium.records.clear();
        for file in order {
            medium.records.extend(file.iter().cloned().map(Record::Block));
            medium.records.push(Record::Filemark);
        }
        drop(medium);
        tapes.loaded = Some("T01".into());
        let options = CatalogOptions { force: true, scan: false };
        let report = catalog(&world.state, &mut tapes, options, &Silent).unwrap();
        assert!(report.scanned, "{middle}");
        let rebuilt = MediaCatalog::load(&world.state, &id).unwrap();
        assert!(rebuilt.content().snapshot("main", "host/a/2023-11-14T22:13:20Z").is_some());
        // Where no catalog may be scanned for, its lack is told.
        std::fs::remove_file(&path).unwrap();
        let options = InventoryOptions { catalog: true, ..InventoryOptions::default() };
        let report = inventory(&world.state, &mut tapes, &options, &Silent).unwrap();
        assert_eq!((report.failed.len(), report.catalogs.len()), (1, 0), "{report:?}");
        assert!(!path.exists(), "{middle}");
        tapes.loaded = Some("T01".into());
        catalog(&world.state, &mut tapes, CatalogOptions::default(), &Silent).unwrap();
    }
}

/// What the inventory says about a set is read when nobody can change it any more.
#[test]
fn a_set_that_is_taken_away_while_waiting_for_it_is_not_read() {
    let set = written();
    let target = set.target();
    let held = set.world.state.lock_media_set(&set.uuid).unwrap();
    let options = set.options(&target, &[]);
    let patient = set.world.state.clone().with_lock_wait(Duration::from_secs(60));
    let mut tapes = set.library;
    std::thread::scope(|scope| {
        let restoring =
            scope.spawn(|| run_restore(&patient, &mut tapes, &options, &Silent).map(|r| r.tapes));
        // Long enough to get to the lock; whatever happens in it, the result must be the same.
        std::thread::sleep(Duration::from_millis(100));
        let mut inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        let members = inventory.media_set(&set.uuid).unwrap();
        for media in members.members().iter().flatten() {
            inventory.remove(media).unwrap();
        }
        drop(held);
        let error = restoring.join().unwrap().unwrap_err();
        assert!(matches!(error, Error::UnknownMediaSet { .. }), "{error}");
    });
}

/// Who names a snapshot wants it: one that can't be brought back is a failure, whatever the reason.
#[test]
fn a_chosen_snapshot_of_an_unmapped_store_is_a_failure() {
    let mut set = written();
    let target = set.target();
    let mut options = set.options(&target, &[0, 1]);
    let only = |_: &str| -> Result<SharedStore> { Ok(target.clone()) };
    options.stores = StoreMap::parse("elsewhere=target", &only).unwrap();
    let report = run_restore(&set.world.state, &mut set.library, &options, &Silent).unwrap();
    assert_eq!(report.snapshots_failed.len(), 2);
    assert!(report.snapshots_failed[0].1.contains("main"), "{:?}", report.snapshots_failed);
    assert!(report.snapshots_skipped.is_empty());
    assert!(report.into_result().is_err());
}

/// A tape that can't be loaded costs what is on it; the others are read nevertheless.
#[test]
fn a_tape_that_does_not_load_does_not_hide_the_others() {
    for chosen in [&[][..], &[0, 1, 2]] {
        let mut set = written();
        let target = set.target();
        set.library.exported.push(set.tapes[0].clone());
        let report = set.restore(&target, chosen);
        assert!(set.tapes[1..].iter().all(|text| report.tapes.contains(text)), "{chosen:?}");
        assert!(report.damage.iter().any(|text| text.contains("T01")), "{:?}", report.damage);
        assert_eq!(report.snapshots_restored, [format!("main:{}", set.names[2])]);
        assert!(!report.snapshots_failed.is_empty(), "{chosen:?}");
        set.assert_restored(&target, &[2]);
        assert!(report.into_result().is_err());
        set.library.exported.clear();
        set.restore(&target, &[]);
        set.assert_restored(&target, &[0, 1, 2]);
    }
}

/// A tape that the inventory lost takes with it only what is on no other.
#[test]
fn a_hole_in_the_set_costs_only_what_was_there() {
    for chosen in [&[][..], &[0, 2]] {
        let mut set = written();
        let target = set.target();
        let mut inventory = crate::media::Inventory::load(&set.world.state).unwrap();
        let lost = inventory.media_set(&set.uuid).unwrap().members()[0].unwrap();
        inventory.remove(&lost).unwrap();
        let report = set.restore(&target, chosen);
        assert!(set.tapes[1..].iter().all(|text| report.tapes.contains(text)), "{chosen:?}");
        assert_eq!(report.snapshots_restored, [format!("main:{}", set.names[2])]);
        set.assert_restored(&target, &[2]);
        // The user must hear that there is more.
        assert!(report.into_result().is_err());
    }
}

/// So does a tape without catalog when chosen snapshots are looked for.
#[test]
fn a_lost_catalog_does_not_hide_those_of_other_tapes() {
    let mut set = written();
    let target = set.target();
    let inventory = crate::media::Inventory::load(&set.world.state).unwrap();
    let first = inventory.find_by_label_text("T01").unwrap().unwrap().id.label.uuid;
    MediaCatalog::destroy(&set.world.state, &first).unwrap();
    let report = set.restore(&target, &[2]);
    assert_eq!(report.snapshots_restored, [format!("main:{}", set.names[2])]);
    report.into_result().unwrap();
    set.assert_restored(&target, &[2]);
    let report = set.restore(&target, &[0]);
    assert_eq!(report.snapshots_failed.len(), 1);
    set.assert_restored(&target, &[2]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any damage anywhere behind the labels: what is visible after a restore is right, what is not
    /// was reported, and a scan survives it, too.
    #[test]
    fn no_damage_makes_a_wrong_snapshot_visible(
        hits in prop::collection::vec((0usize..3, any::<prop::sample::Index>(), 0usize..262_144, 1u8..), 1..5),
        lost in prop::option::of((0usize..3, any::<prop::sample::Index>())),
    ) {
        let mut set = written();
        let target = set.target();
        for (tape, record, at, flip) in &hits {
            let text = set.tapes[*tape % set.tapes.len()].clone();
            let mut medium = set.library.tapes[&text].lock().unwrap();
            let record = 4 + record.index(medium.records.len() - 4);
            if let Record::Block(bytes) = &mut medium.records[record] {
                let mut changed = bytes.to_vec();
                changed[*at] ^= flip;
                *bytes = changed.into();
            }
        }
        if let Some((tape, record)) = lost {
            let text = set.tapes[tape % set.tapes.len()].clone();
            let mut medium = set.library.tapes[&text].lock().unwrap();
            let record = 4 + record.index(medium.records.len() - 4);
            medium.records.remove(record);
        }
        let report = set.restore(&target, &[]);
        let mut visible = 0;
        for name in &set.names {
            let (namespace, path) = datastore::hierarchy::parse_qualified_name(name).unwrap();
            if unpack::exists(&target, &namespace, &path).unwrap() {
                prop_assert_eq!(fingerprint(&set.store, name), fingerprint(&target, name));
                visible += 1;
            }
        }
        prop_assert_eq!(visible, report.snapshots_restored.len());
        prop_assert!(visible == 3 || report.into_result().is_err());
        for text in set.tapes.clone() {
            set.library.loaded = Some(text);
            let options = CatalogOptions { force: true, scan: true };
            catalog(&set.world.state, &mut set.library, options, &Silent).unwrap();
        }
    }
}
