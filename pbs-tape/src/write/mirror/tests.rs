//! Mirrored jobs over drives of a library in memory.

use std::sync::{Arc, Mutex};

use datastore::progress::Silent;
use datastore::{Datastore, Digest, Progress};
use uuid::Uuid;

use super::{CopyTo, run_mirrored};
use crate::device::model::{Medium, ModelLibrary};
use crate::error::{Error, Result};
use crate::loader::MediaLoader;
use crate::media::{Inventory, PoolConfig};
use crate::operations::label::barcode_label;
use crate::testing::{World, add_snapshot, fingerprint, library, noise};
use crate::write::streams::tests::within_a_minute;
use crate::write::tests::{assert_conforming, restore_all};
use crate::write::{MirrorReport, TapeBackupOptions, run_backup};

/// A library with two drives and tapes of two pools, and a datastore.
struct Rig {
    world: World,
    store: Arc<Datastore>,
    drives: [ModelLibrary; 2],
    names: Vec<String>,
}

const POOLS: [&str; 2] = ["p1", "p2"];

impl Rig {
    fn new(tapes: usize, blocks: usize) -> Rig {
        let world = World::new();
        let store = world.store("source");
        let mut first = library(tapes, blocks, 24);
        barcode_label(&world.state, &mut first, Some("p1"), &Silent).unwrap();
        for number in 1..=tapes {
            let medium = Medium::with_capacity(blocks, 24);
            first.tapes.insert(format!("U{number:02}"), Arc::new(Mutex::new(medium)));
        }
        barcode_label(&world.state, &mut first, Some("p2"), &Silent).unwrap();
        first.unload(None).unwrap();
        let second = first.another_drive("second");
        Rig { world, store, drives: [first, second], names: Vec::new() }
    }

    fn add(&mut self, group: &str, time: i64, chunks: &[Vec<u8>]) {
        self.names.push(add_snapshot(&self.store, "", group, 1_700_000_000 + time, chunks));
    }

    fn fill(&mut self, groups: u64) {
        for group in 0..groups {
            let mut chunks = vec![noise(1, 50_000)];
            chunks.extend((0..4).map(|n| noise(1000 + group * 10 + n, 200_000)));
            self.add(&format!("g{group:02}"), 0, &chunks);
            chunks.push(noise(5000 + group, 120_000));
            self.add(&format!("g{group:02}"), 1, &chunks);
        }
    }

    fn run_as(&mut self, pools: [&str; 2], progress: &dyn Progress) -> Result<MirrorReport> {
        let [first, second] = &mut self.drives;
        let copies = vec![
            CopyTo { pool: PoolConfig::new(pools[0]), loader: first },
            CopyTo { pool: PoolConfig::new(pools[1]), loader: second },
        ];
        let mut options = TapeBackupOptions::new("main");
        // A few chunks: queues and buffer are full most of the time.
        options.buffer = crate::write::BufferSize::Fixed(1 << 20);
        run_mirrored(&self.world.state, &self.store, copies, &options, progress)
    }

    fn run(&mut self) -> Result<MirrorReport> {
        self.run_as(POOLS, &Silent)
    }

    fn take_all_out(&mut self) {
        for drive in &mut self.drives {
            drive.fuse = None;
            drive.unload(None).unwrap();
        }
    }

    /// The newest set of a pool is as the format says, and so many snapshots come back from it bit for bit.
    fn assert_back(&mut self, pool: &str, snapshots: &[String]) {
        self.take_all_out();
        let inventory = Inventory::load(&self.world.state).unwrap();
        let set: Uuid = inventory.latest_set(pool).unwrap();
        let members = inventory.media_set(&set).unwrap().require_complete().unwrap();
        let text = |media: &Uuid| inventory.get(media).unwrap().id.label.label_text.clone();
        let used: Vec<String> = members.iter().map(text).collect();
        assert_conforming(&self.world, &self.drives[0], &used);
        let target = self.world.store_for("target", &self.store);
        restore_all(&self.world, &mut self.drives[0], &target, set);
        for name in snapshots {
            assert_eq!(fingerprint(&self.store, name), fingerprint(&target, name), "{pool} {name}");
        }
        std::fs::remove_dir_all(target.base()).unwrap();
        self.take_all_out();
    }
}

#[test]
fn two_copies_are_two_complete_sets() {
    within_a_minute(|| {
        for blocks in [24, 40] {
            let mut rig = Rig::new(10, blocks);
            rig.fill(5);
            let report = rig.run().unwrap();
            assert!(report.is_complete(), "{report:?}");
            for (copy, pool) in report.copies.iter().zip(POOLS) {
                assert_eq!(copy.pool, pool);
                assert_eq!(copy.report.snapshots_written, rig.names, "{report:?}");
                assert_eq!(copy.report.chunks, report.copies[0].report.chunks);
            }
            let sets = report.copies.iter().map(|copy| copy.report.media_set_uuid);
            assert_eq!(sets.collect::<std::collections::BTreeSet<_>>().len(), 2);
            let names = rig.names.clone();
            rig.assert_back("p1", &names);
            rig.assert_back("p2", &names);
            let again = rig.run().unwrap();
            for copy in &again.copies {
                assert_eq!((copy.report.snapshots_skipped, copy.report.tape_bytes), (10, 0));
            }
        }
    });
}

/// Each copy gets what its own set lacks, and nothing that it holds.
#[test]
fn copies_that_hold_different_things_become_equal() {
    within_a_minute(|| {
        let mut rig = Rig::new(10, 60);
        rig.fill(3);
        let options = TapeBackupOptions::new("main");
        let pool = PoolConfig::new("p2");
        let [_, second] = &mut rig.drives;
        run_backup(&rig.world.state, &rig.store, pool, second, &options, &Silent).unwrap();
        rig.add("g01", 7, &[noise(1, 50_000), noise(1010, 200_000), noise(88, 70_000)]);
        let report = rig.run().unwrap();
        let [first, second] = report.copies.as_slice() else { panic!("{report:?}") };
        assert_eq!((first.report.snapshots_written.len(), first.report.snapshots_skipped), (7, 0));
        assert_eq!(
            (second.report.snapshots_written.len(), second.report.snapshots_skipped),
            (1, 6)
        );
        assert_eq!((first.report.chunks, second.report.chunks), (1 + 3 * 5 + 1, 1));
        let names = rig.names.clone();
        rig.assert_back("p1", &names);
        rig.assert_back("p2", &names);
    });
}

#[test]
fn a_copy_that_fails_ends_alone() {
    within_a_minute(|| {
        for (victim, fuse) in [(0, 0), (1, 0), (1, 2), (0, 4), (1, 7), (0, 13), (1, 29)] {
            let mut rig = Rig::new(10, 24);
            rig.fill(5);
            rig.drives[victim].fuse = Some(Arc::new(Mutex::new(fuse)));
            let report = rig.run().unwrap();
            let what = format!("{victim} after {fuse}: {report:?}");
            let error = report.copies[victim].error.as_deref().unwrap_or_default();
            assert!(error.contains("the power went") && !report.is_complete(), "{what}");
            let other = &report.copies[1 - victim];
            assert!(other.error.is_none(), "{what}");
            assert_eq!(other.report.snapshots_written, rig.names, "{what}");
            let names = rig.names.clone();
            rig.assert_back(POOLS[1 - victim], &names);
            // The next job brings the other copy up to it.
            let next = rig.run().unwrap();
            assert!(next.is_complete(), "{next:?}");
            assert_eq!(next.copies[1 - victim].report.snapshots_skipped, 10);
            rig.assert_back(POOLS[victim], &names);
        }
    });
}

#[test]
fn a_pool_without_tapes_fails_its_copy_and_both_fail_the_job() {
    within_a_minute(|| {
        let mut rig = Rig::new(2, 100);
        rig.fill(2);
        let report = rig.run_as(["p1", "empty"], &Silent).unwrap();
        // Free tapes there are none: all are labelled for a pool.
        let error = report.copies[1].error.as_deref().unwrap_or_default();
        assert!(error.contains("pool empty has no usable tape"), "{report:?}");
        assert!(report.copies[0].error.is_none());
        assert_eq!(report.copies[0].report.snapshots_written.len(), 4);
        rig.add("late", 0, &[noise(9, 9)]);
        for drive in &mut rig.drives {
            drive.fuse = Some(Arc::new(Mutex::new(0)));
        }
        let error = rig.run().unwrap_err();
        assert!(error.to_string().contains("the power went"), "{error}");
        rig.take_all_out();
        let error = rig.run_as(["p1", "p1"], &Silent).unwrap_err();
        assert!(error.to_string().contains("a pool of its own"), "{error}");
    });
}

/// What can't be read is read once, and missing in both; what counted on it is planned anew.
#[test]
fn a_damaged_chunk_fails_its_snapshot_in_each_copy() {
    within_a_minute(|| {
        let mut rig = Rig::new(10, 60);
        rig.fill(4);
        let victim = Digest::of(&noise(1012, 200_000));
        let path = rig.store.chunks().path(&victim);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let report = rig.run().unwrap();
        let (lost, good): (Vec<String>, Vec<String>) =
            rig.names.iter().cloned().partition(|name| name.contains("g01"));
        for copy in &report.copies {
            let failed: Vec<&String> =
                copy.report.snapshots_failed.iter().map(|(name, _)| name).collect();
            assert_eq!(failed, lost.iter().collect::<Vec<_>>(), "{report:?}");
            assert_eq!(copy.report.snapshots_written, good, "{report:?}");
        }
        assert!(!report.is_complete());
        rig.assert_back("p1", &good);
        rig.assert_back("p2", &good);
    });
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
fn an_abort_leaves_both_sets_usable() {
    within_a_minute(|| {
        for at in [1, 4, 15, 40, 90] {
            let mut rig = Rig::new(10, 24);
            rig.fill(4);
            let error = rig.run_as(POOLS, &AbortAt(Mutex::new(at))).unwrap_err();
            assert!(matches!(error, Error::Aborted), "{at}: {error}");
            rig.take_all_out();
            let next = rig.run().unwrap();
            assert!(next.is_complete(), "{at}: {next:?}");
            let names = rig.names.clone();
            rig.assert_back("p1", &names);
            rig.assert_back("p2", &names);
        }
    });
}
