//! Power loss at every moment of every operation.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use datastore::gc;
use datastore::progress::Silent;
use datastore::testing::{CrashMode, Image, Journal};
use datastore::unsynced::MARK_PREFIX;
use datastore::{Datastore, Error};

use crate::cases::{self, Case, LATER};
use crate::world::{Name, Snapshots, World, back_up, check_snapshots, content, name};

/// Backups that are made afterwards, by the number of their content.
const NEXT_BACKUPS: [(&str, u64); 3] =
    [(LATER, 1), ("host/fresh/2024-01-01T00:00:00Z", 20), ("vm/100/2024-01-04T00:00:00Z", 6)];

/// Everything that was not touched for a minute goes.
const COLLECT: gc::Options = gc::Options {
    upid: None,
    cutoff_minutes: 1,
    atime_safety_check: false,
    threads: 1,
    marks_bytes_max: 1 << 20,
};

/// Random crashes a moment.
pub fn seeds() -> u64 {
    std::env::var("CAPSTAN_CRASH_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4)
}

/// Things that are lost or kept alone, at most, at one moment.
fn singles_max() -> usize {
    if seeds() > 10 { usize::MAX } else { 40 }
}

/// Every way to lose power at one moment.
fn modes(journal: &Journal, n: usize) -> Vec<(CrashMode, u64)> {
    use CrashMode::*;
    let mut modes = vec![(Lost, 0), (Kept, 0), (NamesOnly, 0), (TornZeros, 0)];
    modes.extend([(TornPrefix, 1), (TornPrefix, 2), (TornGarbage, 1)]);
    let pending = journal.pending(n);
    let step = pending.div_ceil(singles_max()).max(1);
    modes.extend((0..pending).step_by(step).flat_map(|i| [(SingleLost(i), 0), (SingleKept(i), 0)]));
    modes.extend((0..seeds()).map(|seed| (Random, seed)));
    modes
}

#[derive(Default)]
struct Tally {
    images: u64,
    different: u64,
    failures: Vec<String>,
}

/// Loses power at the given moments in every way and checks what is found.
fn try_all(
    title: &str,
    journal: &Journal,
    moments: impl Iterator<Item = usize>,
    check: impl Fn(Image, bool) -> Result<(), String>,
) -> Tally {
    let mut tally = Tally::default();
    let mut seen = HashSet::new();
    for n in moments {
        let is_over = n == journal.len();
        for (mode, seed) in modes(journal, n) {
            tally.images += 1;
            let image = journal.crash_at(n, mode, seed);
            if !seen.insert((image.fingerprint(), is_over)) {
                continue;
            }
            tally.different += 1;
            if let Err(error) = check(image, is_over) {
                let what = journal.what(n);
                let text = format!("{title}: {mode:?} (seed {seed}) before {n} ({what}): {error}");
                tally.failures.push(text);
            }
        }
    }
    tally
}

/// What must hold on a machine that was switched on again.
fn check(case: &Case, image: Image, is_over: bool) -> Result<(), String> {
    // A collection looks for 65,536 folders and costs as much as all the rest.
    let collects = seeds() > 10 || image.fingerprint().is_multiple_of(4);
    let mut world = World::new(case.sync_level);
    world.switch_on(image);
    let open = |world: &World| world.open().map_err(|e| format!("opening: {e}"));
    let store = open(&world)?;
    let mut may = case.possible();
    let found = check_snapshots(&store, &may, &case.damaged, &|name| {
        !case.removes.contains(name) && (is_over || case.before.contains_key(name))
    })?;
    if let Some(kept) = found.iter().find(|name| is_over && case.removes.contains(name)) {
        return Err(format!("snapshot {} was removed and is there again", kept.1));
    }
    // From here on everything that was found must stay.
    may.retain(|name, _| found.contains(name));
    let mut must = may.clone();

    (case.again)(&store).map_err(|e| format!("the same again: {e}"))?;
    must.retain(|name, _| !case.removes.contains(name));
    let again = crate::world::finished(&store).map_err(|e| e.to_string())?;
    for name in again.difference(&found) {
        // What the second attempt made.
        let content = case.makes.values().next().cloned().unwrap_or_default();
        must.insert(name.clone(), content);
    }
    // Every group can be backed up to, with content that the operation had in hand and other.
    for (snapshot, number) in NEXT_BACKUPS {
        let next = (name("", snapshot), content(number));
        match back_up(&store, &next.0, &next.1) {
            // The operation that gives a group to somebody else.
            Err(Error::Refused { reason }) if reason.contains("belongs to elsa@pbs") => continue,
            result => result.map_err(|e| format!("the next backup: {e}"))?,
        }
        must.insert(next.0, next.1);
    }
    let damaged = &case.damaged;
    check_snapshots(&store, &must, damaged, &|_| true)
        .map_err(|e| format!("after it went on: {e}"))?;

    if collects {
        collect(&world, &store, &must, damaged)?;
    }
    drop(store);
    // What is finished is durable: a second power cut takes nothing.
    let journal = world.fs.journal();
    for mode in [CrashMode::Lost, CrashMode::TornZeros] {
        world.switch_on(journal.crash_at(journal.len(), mode, 0));
        check_snapshots(&open(&world)?, &must, damaged, &|_| true)
            .map_err(|e| format!("after a second crash ({mode:?}): {e}"))?;
    }
    Ok(())
}

/// Garbage collection finds everything old, and still nothing that is needed goes.
fn collect(
    world: &World,
    store: &Arc<Datastore>,
    must: &Snapshots,
    damaged: &BTreeSet<Name>,
) -> Result<(), String> {
    world.fs.set_atime("", 0);
    gc::collect(store, &COLLECT, &Silent).map_err(|e| format!("garbage collection: {e}"))?;
    let is_mark = |path: &&PathBuf| path.to_string_lossy().contains(MARK_PREFIX);
    if let Some(mark) = world.fs.files().iter().find(is_mark) {
        return Err(format!("{} is there after garbage collection", mark.display()));
    }
    check_snapshots(store, must, damaged, &|_| true)
        .map(|_| ())
        .map_err(|e| format!("after a collection: {e}"))
}

fn report(tally: &Tally) {
    // One of each kind.
    let mut seen = HashSet::new();
    let kind = |text: &&String| {
        let reason = text.split("): ").last().unwrap_or_default();
        let digits = |c: char| c.is_ascii_hexdigit() || c == '/' || c == '.';
        seen.insert(reason.split(digits).filter(|part| part.len() > 3).collect::<String>())
    };
    let shown: Vec<_> = tally.failures.iter().filter(kind).take(12).cloned().collect();
    assert!(
        tally.failures.is_empty(),
        "{} of {} different images:\n{}",
        tally.failures.len(),
        tally.different,
        shown.join("\n")
    );
}

#[test]
fn power_loss_in_the_middle_of_every_operation() {
    let only = std::env::var("CAPSTAN_CRASH_CASE").ok();
    let mut sum = Tally::default();
    let cases: Vec<Case> = cases::all();
    let cases: Vec<&Case> =
        cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.title == only)).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let tallies = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) =
                    cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let begun = std::time::Instant::now();
                    let world = case.world();
                    (case.run)(&world.store()).unwrap_or_else(|e| panic!("{}: {e}", case.title));
                    let journal = world.fs.journal();
                    let tally =
                        try_all(case.title, &journal, 0..=journal.len(), |image, is_over| {
                            check(case, image, is_over)
                        });
                    println!(
                        "{:40} {:4} operations {:6} images {:6} different {:4} failures {:?}",
                        case.title,
                        journal.len(),
                        tally.images,
                        tally.different,
                        tally.failures.len(),
                        begun.elapsed()
                    );
                    tallies.lock().unwrap().push(tally);
                }
            });
        }
    });
    for tally in tallies.into_inner().unwrap() {
        sum.images += tally.images;
        sum.different += tally.different;
        sum.failures.extend(tally.failures);
    }
    println!("crash images tried: {} ({} different)", sum.images, sum.different);
    report(&sum);
}

#[test]
fn power_loss_while_a_store_is_made() {
    let world = World::bare();
    Datastore::create_on(world.base(), world.fs.storage(), &world.options).unwrap();
    let journal = world.fs.journal();
    let end = journal.len();
    let moments = [0, 1, 2, 3, 1000, 40_000].into_iter().chain(end - 6..=end);
    let check = |image: Image, is_over: bool| -> Result<(), String> {
        let mut world = World::bare();
        world.switch_on(image);
        let store = match world.open() {
            Ok(store) => store,
            Err(error) if is_over => return Err(format!("opening: {error}")),
            Err(_) => Datastore::create_on(world.base(), world.fs.storage(), &world.options)
                .map_err(|e| format!("making it again: {e}"))?,
        };
        world.fs.set_sparse(false);
        let folders = store.storage().list(store.chunks().dir()).unwrap().len();
        if folders != 65536 {
            return Err(format!("it has {folders} chunk folders"));
        }
        let first = Snapshots::from([(name("", LATER), content(1))]);
        back_up(&store, &name("", LATER), &content(1)).map_err(|e| format!("backup: {e}"))?;
        check_snapshots(&store, &first, &BTreeSet::new(), &|_| true).map(|_| ())
    };
    let tally = try_all("create", &journal, moments, check);
    println!(
        "crash images tried: {} ({} different) of {end} operations",
        tally.images, tally.different
    );
    report(&tally);
}

/// Two stores over one file system do not disturb each other's worlds.
#[test]
fn a_world_is_what_it_was_made_of() {
    let case = &cases::all()[0];
    let world = case.world();
    let store: Arc<Datastore> = world.store();
    check_snapshots(&store, &case.possible(), &BTreeSet::new(), &|name| {
        case.before.contains_key(name)
    })
    .unwrap();
}
