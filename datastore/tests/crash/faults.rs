//! Failing disks: every single call of every operation fails once, in every way that a system fails
//! there; or everything fails from one call on, as on a disk that is full or read-only.
//!
//! The operation may fail, with an error that names what it was about, or get along without. What
//! was finished stays whole, then and after a power cut, and the same operation succeeds once the
//! fault is gone.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use datastore::Error;
use datastore::testing::{Call, CallKind, CrashMode, Fault, FaultAt, Image};

use crate::cases::{self, Case};
use crate::images::seeds;
use crate::world::{Name, World, check_snapshots, finished};

/// What is put in the way.
#[derive(Debug, Clone)]
enum Trouble {
    Fault(Fault),
    /// Unsynced data is lost in the background just before this call.
    LostWrites(u64),
}

/// Everything that can go wrong in an operation that makes these calls.
fn troubles(calls: &[Call]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let number = number as u64;
        let kind = call.kind;
        let once = kind.errors().iter().map(|errno| Fault::at_call(number, *errno));
        troubles.extend(once.map(Trouble::Fault));
        let from = |kinds: &[CallKind], errno| {
            let at = FaultAt::From(number, kinds.to_vec());
            Trouble::Fault(Fault { at, errno, short: true })
        };
        use CallKind::*;
        if matches!(kind, Create | Write | CreateDir | Rename) {
            troubles.push(from(&[Create, Write, CreateDir, Rename], libc::ENOSPC));
        }
        if kind.is_change() {
            let changes = [Create, CreateDir, RemoveDir, RemoveFile, Rename, Touch, Write];
            troubles.push(from(&changes, libc::EROFS));
        }
        if kind.is_change() || matches!(kind, SyncFile | SyncDir | SyncFilesystem | OpenFilesystem)
        {
            troubles.push(Trouble::LostWrites(number));
        }
        if matches!(kind, Open | Read | Create | OpenDir | List | SyncDir | OpenFilesystem) {
            let opens = [Open, Read, Create, OpenDir, List, SyncDir, OpenFilesystem];
            troubles.push(from(&opens, libc::EMFILE));
        }
    }
    troubles
}

/// Says which file, folder, snapshot or chunk it is about.
fn names_an_object(error: &Error) -> bool {
    let text = error.to_string();
    text.contains('/') || text.contains("chunk ")
}

fn check(case: &Case, image: &Image, trouble: &Trouble) -> Result<(), String> {
    let mut world = World::new(case.sync_level);
    world.switch_on(image.clone());
    let store = world.store();
    match trouble {
        Trouble::Fault(fault) => world.fs.inject(fault.clone()),
        Trouble::LostWrites(number) => world.fs.lose_unsynced_data_at(*number),
    }
    let result = (case.run)(&store);
    world.fs.heal();
    if let Err(error) = &result
        && !names_an_object(error)
    {
        return Err(format!("the error names nothing: {error}"));
    }
    let must_stay = |name: &Name| case.before.contains_key(name) && !case.removes.contains(name);
    let found = check_snapshots(&store, &case.possible(), &case.damaged, &|name| {
        must_stay(name) || (result.is_ok() && !case.removes.contains(name))
    })
    .map_err(|e| format!("after {result:?}: {e}"))?;

    let again = match ((case.again)(&store), trouble) {
        // The system tells of a loss until it was heard of by a sync of the file system.
        (Err(_), Trouble::LostWrites(_)) => (case.again)(&store),
        (result, _) => result,
    };
    again.map_err(|e| format!("the same again, after {result:?}: {e}"))?;
    let mut must = case.possible();
    must.retain(|name, _| found.contains(name) && !case.removes.contains(name));
    for name in finished(&store).map_err(|e| e.to_string())?.difference(&found) {
        must.insert(name.clone(), case.makes.values().next().cloned().unwrap_or_default());
    }
    check_snapshots(&store, &must, &case.damaged, &|_| true)
        .map_err(|e| format!("after the second time (first {result:?}): {e}"))?;
    drop(store);
    // What a failed sync lost must not be part of anything that is finished.
    let journal = world.fs.journal();
    for mode in [CrashMode::Lost, CrashMode::TornZeros] {
        world.switch_on(journal.crash_at(journal.len(), mode, 0));
        check_snapshots(&world.store(), &must, &case.damaged, &|_| true)
            .map_err(|e| format!("after {result:?} and a crash ({mode:?}): {e}"))?;
    }
    Ok(())
}

#[test]
fn every_call_of_every_operation_fails() {
    let only = std::env::var("CAPSTAN_CRASH_CASE").ok();
    // The trial of times of access takes a second each time, and the check looks for 65,536 folders
    // that this file system does not show.
    let cases: Vec<Case> = cases::all()
        .into_iter()
        .filter(|case| !case.title.contains("tries times") && !case.title.contains("check and"))
        .collect();
    let cases: Vec<&Case> =
        cases.iter().filter(|case| only.as_ref().is_none_or(|only| case.title == only)).collect();
    let next = AtomicUsize::new(0);
    let outcome = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (tried, failures) = try_case(case);
                    let mut outcome = outcome.lock().unwrap();
                    outcome.0 += tried;
                    outcome.1.extend(failures);
                }
            });
        }
    });
    let (tried, failures) = outcome.into_inner().unwrap();
    println!("faults tried: {tried}");
    let shown: Vec<_> = failures.iter().take(12).cloned().collect();
    assert!(failures.is_empty(), "{} of {tried} faults:\n{}", failures.len(), shown.join("\n"));
}

fn try_case(case: &Case) -> (usize, Vec<String>) {
    let image = case.world().fs.image();
    let mut world = World::new(case.sync_level);
    world.switch_on(image.clone());
    let store = world.store();
    // Opening made calls too, which every attempt makes in the same way.
    world.fs.checkpoint();
    let opening = {
        let mut other = World::new(case.sync_level);
        other.switch_on(image.clone());
        let _store = other.store();
        other.fs.call_count()
    };
    world.fs.note_calls();
    (case.run)(&store).unwrap_or_else(|e| panic!("{}: {e}", case.title));
    let calls = world.fs.calls();
    let mut troubles = troubles(&calls);
    if calls.iter().any(|call| call.kind == CallKind::OpenDir) && seeds() < 10 {
        // Collections take long here; some of the faults have to do.
        let mut number = 0;
        troubles.retain(|_| (number += 1, number % 4 == 0).1);
    }
    let mut failures = Vec::new();
    let mut seen = BTreeSet::new();
    for trouble in &troubles {
        let shifted = shift(trouble, opening);
        if let Err(error) = check(case, &image, &shifted) {
            let number = match trouble {
                Trouble::Fault(Fault { at: FaultAt::Call(n) | FaultAt::From(n, _), .. })
                | Trouble::LostWrites(n) => *n as usize,
                Trouble::Fault(_) => 0,
            };
            let call = &calls[number];
            // One of a kind is enough to read.
            if seen.insert((format!("{:?}", call.kind), error.clone())) {
                let (kind, path) = (call.kind, call.path.display());
                failures.push(format!("{}: {trouble:?} ({kind:?} {path}): {error}", case.title));
            }
        }
    }
    println!(
        "{:40} {:5} calls {:6} faults {:4} failures",
        case.title,
        calls.len(),
        troubles.len(),
        failures.len()
    );
    (troubles.len(), failures)
}

/// The same trouble for a store that was just opened.
fn shift(trouble: &Trouble, by: u64) -> Trouble {
    match trouble.clone() {
        Trouble::LostWrites(number) => Trouble::LostWrites(number + by),
        Trouble::Fault(mut fault) => {
            match &mut fault.at {
                FaultAt::Call(number) | FaultAt::From(number, _) => *number += by,
                FaultAt::Path(..) => {}
            }
            Trouble::Fault(fault)
        }
    }
}
