//! Random stores against a plain model of the rules, and writers beside collectors.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use datastore::gc::{CacheStats, Status};
use datastore::{DataBlob, Digest};
use proptest::prelude::*;

use crate::world::{DAY, World, chunk_path, digest, now};

/// A store that can be built more than once.
#[derive(Debug, Clone)]
struct Plan {
    /// Ages of chunks; the position is the name.
    chunks: Vec<Option<i64>>,
    /// Bad copies: chunk, number, age.
    bad: Vec<(usize, u8, i64)>,
    /// Indexes: place, whether fixed, the chunks that they name.
    indexes: Vec<(usize, bool, Vec<usize>)>,
}

const PLACES: [&str; 6] = [
    "host/elsa/2024-05-01T10:00:00Z",
    "host/elsa/2024-05-02T10:00:00Z",
    "vm/100/2024-05-01T10:00:00Z",
    "ns/a/ct/7/2024-05-01T10:00:00Z",
    "stray/folder",
    ".",
];

fn plans() -> impl Strategy<Value = Plan> {
    // Ages of both sides of the cut-off, with room for a run that takes some seconds.
    let age = || prop::sample::select(vec![-100, 60, 3600, 86_600, 86_800, 10 * DAY]);
    let count = 24usize;
    (
        prop::collection::vec(prop::option::weighted(0.8, age()), count),
        prop::collection::vec((0..count, 0u8..10, age()), 0..8),
        prop::collection::vec(
            (0..PLACES.len(), any::<bool>(), prop::collection::vec(0..count, 1..12)),
            0..7,
        ),
    )
        .prop_map(|(chunks, bad, indexes)| Plan { chunks, bad, indexes })
}

fn name(chunk: usize) -> String {
    format!("chunk {chunk}")
}

impl Plan {
    fn build(&self, s: i64) -> World {
        let world = World::new();
        for (chunk, age) in self.chunks.iter().enumerate() {
            if let Some(age) = age {
                world.chunk(&name(chunk), s - age);
            }
        }
        for (chunk, number, age) in &self.bad {
            let path = format!("{}.{number}.bad", chunk_path(&digest(&name(*chunk))));
            world.file(&path, b"rotten", s - age);
        }
        for (position, (place, fixed, chunks)) in self.indexes.iter().enumerate() {
            let kind = if *fixed { "fidx" } else { "didx" };
            let path = format!("{}/{position}.{kind}", PLACES[*place]);
            let names: Vec<String> = chunks.iter().map(|chunk| name(*chunk)).collect();
            world.index(&path, &names.iter().map(String::as_str).collect::<Vec<_>>());
        }
        world
    }

    /// What the rules say, file by file.
    fn model(&self) -> (Status, BTreeSet<String>) {
        let mut status = Status::default();
        let mut kept = BTreeSet::new();
        let mut live = BTreeSet::new();
        let mut entries = 0;
        for (_, fixed, chunks) in &self.indexes {
            let len = chunks.len() as u64;
            status.index_file_count += 1;
            status.index_data_bytes += if *fixed { len * (4 << 20) - 1 } else { len * 10 };
            entries += len;
            live.extend(chunks.iter().copied());
        }
        let misses = live.len() as u64;
        status.cache_stats = Some(CacheStats { hits: entries - misses, misses });
        let mut file = |path: String, len: u64, age: i64, is_used: bool, is_bad: bool| {
            let (chunk, bad) = (u64::from(!is_bad), u64::from(is_bad));
            if is_used || age < 0 {
                status.disk_bytes += len;
                status.disk_chunks += chunk;
            } else if age < 86_700 {
                status.pending_bytes += len;
                status.pending_chunks += chunk;
                status.still_bad += bad;
            } else {
                status.removed_bytes += len;
                status.removed_chunks += chunk;
                status.removed_bad += bad;
                return;
            }
            kept.insert(path);
        };
        for (chunk, age) in self.chunks.iter().enumerate() {
            if let Some(age) = age {
                let path = chunk_path(&digest(&name(chunk)));
                file(path, name(chunk).len() as u64, *age, live.contains(&chunk), false);
            }
        }
        let mut seen = BTreeSet::new();
        // Of several with one name the last was written.
        for (chunk, number, age) in self.bad.iter().rev() {
            if seen.insert((chunk, number)) {
                let path = format!("{}.{number}.bad", chunk_path(&digest(&name(*chunk))));
                let is_used = live.contains(chunk) && self.chunks[*chunk].is_none();
                file(path, 6, *age, is_used, true);
            }
        }
        (status, kept)
    }
}

fn chunk_files(world: &World) -> BTreeSet<String> {
    world.names().into_iter().filter(|name| name.starts_with(".chunks/")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// However many threads and parts: the same files stay, with the same numbers, and a dry run
    /// says so before.
    #[test]
    fn the_store_is_what_the_model_says(
        plan in plans(),
        threads in 1usize..5,
        limit in prop::sample::select(vec![usize::MAX, 512, 128, 32]),
    ) {
        let (wanted, kept) = plan.model();
        let s = now();
        let mut world = plan.build(s);
        world.options.threads = threads;
        world.options.marks_bytes_max = limit;
        let before = world.listing();
        let (told, planned) = world.plan().unwrap();
        // The system notes that indexes were read, with the seconds in which it was done.
        let without_times_of_indexes = |listing: Vec<(String, i64)>| -> Vec<(String, Option<i64>)> {
            let time = |(name, time): (String, i64)| {
                let time = name.starts_with(".chunks/").then_some(time);
                (name, time)
            };
            listing.into_iter().map(time).collect()
        };
        prop_assert_eq!(without_times_of_indexes(world.listing()), without_times_of_indexes(before.clone()));
        prop_assert_eq!(&planned, &wanted);
        let status = world.collect().unwrap();
        prop_assert_eq!(&status, &wanted);
        prop_assert_eq!(&chunk_files(&world), &kept);
        prop_assert_eq!(told.len() + kept.len(), before.iter().filter(|(name, _)| name.starts_with(".chunks/")).count());
        // Every chunk in use was touched, nothing else was.
        for (path, atime) in world.listing() {
            let Some((_, old)) = before.iter().find(|(name, _)| *name == path) else { continue };
            prop_assert!(atime == *old || atime >= s - 1, "{}", path);
        }
        let live: BTreeSet<usize> = plan.indexes.iter().flat_map(|(_, _, chunks)| chunks.iter().copied()).collect();
        for chunk in live.iter().filter(|chunk| plan.chunks[**chunk].is_some()) {
            prop_assert!(world.atime(&chunk_path(&digest(&name(*chunk)))) >= s - 1);
        }
        // A second run finds nothing more to do.
        let again = world.collect().unwrap();
        prop_assert_eq!(again, Status { removed_bytes: 0, removed_chunks: 0, removed_bad: 0, ..wanted });
    }
}

/// Writers of this process insert chunks that lie there untouched for years, while one collection
/// follows the other: what an insertion has answered for is there afterwards.
#[test]
fn a_writer_finds_what_it_was_promised() {
    let world = World::new();
    let names: Vec<String> = (0..300).map(|number| format!("shared {number}")).collect();
    let digests: Vec<Digest> = names.iter().map(|name| digest(name)).collect();
    for digest in &digests {
        world.make_dir(&chunk_path(digest)[..12]);
    }
    let stop = AtomicBool::new(false);
    let removed = std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut removed = 0;
            while !stop.load(Ordering::Relaxed) {
                removed += world.collect().unwrap().removed_chunks;
            }
            removed
        });
        for round in 0..30 {
            // Garbage of long ago.
            for name in &names {
                world.chunk(name, 1);
            }
            let writer = world.store.process_lock().try_shared().unwrap();
            for (name, digest) in names.iter().zip(&digests) {
                let blob = DataBlob::encode(name.as_bytes(), None, true).unwrap();
                world.store.chunks().insert(digest, &blob).unwrap();
            }
            for digest in &digests {
                assert!(world.has(&chunk_path(digest)), "round {round}: {digest} is gone");
            }
            drop(writer);
            for digest in &digests {
                let _ = world.store.storage().remove_file(&world.path(&chunk_path(digest)));
            }
        }
        stop.store(true, Ordering::Relaxed);
        collector.join().unwrap()
    });
    assert!(removed > 0, "the collector never had anything to do");
}
