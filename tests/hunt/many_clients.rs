//! Many clients back up generations of changing data to one store at once, while collection, pruning,
//! verification and removal run. Afterwards every generation of every client restores bit for bit.
//!
//! `CAPSTAN_CLIENTS` and `CAPSTAN_GENERATIONS` make it larger. Data of one client is also backed up as
//! a *victim* whose snapshots are removed at once, so that chunks in use lose references all the
//! time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::generations::{Tree, random_of, seed, setting, tree, write};
use crate::store::{Name, age, assert_restores, backup, finished, leftovers, until_free};
use crate::world::World;

const CLIENTS: u64 = 8;
const GENERATIONS: u64 = 25;
const EPOCH: i64 = 1_700_000_000;

#[test]
fn every_generation_of_every_client_restores() {
    let seed = seed();
    let (clients, generations) =
        (setting("CAPSTAN_CLIENTS", CLIENTS), setting("CAPSTAN_GENERATIONS", GENERATIONS));
    let world = World::new();
    let store = world.create_store("store");
    let expected: Mutex<BTreeMap<Name, Tree>> = Mutex::default();
    let over = AtomicBool::new(false);
    let (collections, removals) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (verifications, prunings) = (AtomicUsize::new(0), AtomicUsize::new(0));

    // What one client has is backed up once more and removed.
    let victim = |id: &str, remove: &dyn Fn(i64)| {
        let mut random = random_of(&[seed, 8, id.len() as u64]);
        let source = world.fast(format!("source-{id}"));
        let mut round = 0;
        while !over.load(Ordering::Relaxed) {
            write(
                &source,
                &tree(seed, random.next_u64() % clients, random.next_u64() % generations),
            );
            let time = EPOCH + round;
            round += 1;
            let mut arguments = backup(&store, &source, id, time);
            arguments.extend(args!["--wait", "5m"]);
            world.run(arguments);
            remove(time);
        }
    };

    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..clients)
            .map(|client| {
                let (world, store, expected) = (&world, &store, &expected);
                scope.spawn(move || {
                    let mut random = random_of(&[seed, 7, client]);
                    let source = world.fast(format!("source-{client}"));
                    for generation in 0..generations {
                        let content = tree(seed, client, generation);
                        write(&source, &content);
                        let time = EPOCH + generation as i64;
                        let mut arguments = backup(store, &source, &format!("c{client}"), time);
                        arguments.extend(args!["--wait", "5m"]);
                        world.run(arguments);
                        let name = (format!("host/c{client}"), time);
                        expected.lock().unwrap().insert(name, content);
                        std::thread::sleep(Duration::from_millis(random.below(60) as u64));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            victim("forgotten", &|time| {
                let name = format!("host/forgotten/{}", crate::store::time_text(time));
                let forget = args!["snapshot", "forget", name, "--repository", store];
                let run = until_free(&world, &forget);
                assert_eq!(run.code(), Some(0), "{run}");
                removals.fetch_add(1, Ordering::Relaxed);
            });
        });
        scope.spawn(|| {
            victim("pruned", &|_| {
                let group = "host/pruned";
                world.run(args!["prune", group, "--keep-last", "2", "--repository", store]);
                prunings.fetch_add(1, Ordering::Relaxed);
            });
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // Old chunks go at once. It may be refused, because somebody is writing.
                age(&store);
                world.run(args!["datastore", "gc", store, "--wait", "5m"]);
                collections.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                world.run(args!["datastore", "verify", store, "--threads", "1"]);
                verifications.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let outcomes: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        over.store(true, Ordering::Relaxed);
        assert!(outcomes.iter().all(Result::is_ok), "a client failed");
    });

    let expected = expected.into_inner().unwrap();
    assert_eq!(expected.len() as u64, clients * generations);
    assert!(age(&store));
    let status = world.json(args!["datastore", "gc", store]);
    let names = finished(&world, &store);
    for (name, content) in &expected {
        assert!(names.contains(name), "{name:?} is gone");
        assert_restores(&world, &store, name, content);
    }
    world.run(args!["datastore", "verify", store]);
    world.run(args!["datastore", "check", store]);
    assert_eq!(leftovers(&store), Vec::<std::path::PathBuf>::new());
    eprintln!(
        "{clients} clients x {generations} generations restored; {collections:?} collections, \
         {removals:?} removals, {prunings:?} prunings, {verifications:?} verifications beside them; \
         {} chunks at the end",
        status["disk-chunks"]
    );
    for (what, count) in [
        ("collections", collections),
        ("removals", removals),
        ("prunings", prunings),
        ("verifications", verifications),
    ] {
        assert!(count.into_inner() > 0, "no {what} ran");
    }
}
