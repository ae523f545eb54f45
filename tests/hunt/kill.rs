//! The program is killed at random times, again and again, over one store that lives on.
//!
//! `CAPSTAN_KILLS` is the number of rounds. Before each collection every chunk is made old, so that
//! a chunk which is not marked is removed at once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::generations::{Tree, random_of, seed, setting, tree, write};
use crate::store::{Name, age, assert_all_restore, assert_restores, backup, finished};
use crate::world::World;

/// Rounds without `CAPSTAN_KILLS`.
const ROUNDS: u64 = 40;
/// Snapshots that pruning keeps.
const KEEP: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    Backup,
    Collect,
    Prune,
    Verify,
}

/// Runs a command and kills it after `delay`, if it is not faster. True if it ended by itself, and well.
fn run_and_kill(world: &World, arguments: &[OsString], delay: Duration) -> bool {
    let mut command = world.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while start.elapsed() < delay {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    // The kernel delivers nothing to a process that has ended but is not waited for.
    child.kill().unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("panicked"), "{said}");
    match output.status.code() {
        None => false,
        Some(0) => true,
        // Verification calls what a killed backup left behind failed, and nothing else may be.
        Some(1) if interrupted_only(&said) => true,
        Some(code) => panic!("it failed by itself with {code}: {arguments:?}\n{said}"),
    }
}

fn interrupted_only(said: &str) -> bool {
    let mut warnings = said.lines().filter(|line| line.starts_with("warning:")).peekable();
    warnings.peek().is_some() && warnings.all(|line| line.contains("its backup was interrupted"))
}

#[test]
fn nothing_finished_is_lost_when_the_program_is_killed() {
    let seed = seed();
    let rounds = setting("CAPSTAN_KILLS", ROUNDS);
    let mut random = random_of(&[seed, 1]);
    let world = World::new();
    let store = world.create_store("store");
    let source = world.fast("source");
    let group = "host/k".to_owned();
    let mut expected: BTreeMap<Name, Tree> = BTreeMap::new();
    // What a restore must find: it was seen finished, and nothing was asked to remove it.
    let mut sure: Vec<Name> = Vec::new();
    let mut usual: BTreeMap<Action, Duration> = BTreeMap::new();
    let (mut killed, mut ended) = (BTreeMap::new(), BTreeMap::new());

    for round in 0..rounds {
        let action = match random.below(10) {
            // There must be something to prune.
            _ if sure.is_empty() => Action::Backup,
            0..5 => Action::Backup,
            5..7 => Action::Collect,
            7..9 => Action::Prune,
            _ => Action::Verify,
        };
        let time = 1_700_000_000 + round as i64;
        let arguments = match action {
            Action::Backup => {
                let content = tree(seed, 0, round);
                write(&source, &content);
                expected.insert((group.clone(), time), content);
                backup(&store, &source, "k", time)
            }
            Action::Collect => {
                assert!(age(&store), "nobody else is there");
                args!["datastore", "gc", store]
            }
            Action::Prune => {
                args!["prune", group, "--keep-last", KEEP.to_string(), "--repository", store]
            }
            Action::Verify => args!["datastore", "verify", store],
        };
        // The first of each kind ends by itself and shows how long that takes.
        let start = Instant::now();
        let delay = usual.get(&action).map_or(Duration::from_secs(600), |usual| {
            usual.mul_f64(random.below(1100) as f64 / 1000.0)
        });
        let done = run_and_kill(&world, &arguments, delay);
        if done {
            usual.insert(action, start.elapsed());
        }
        *if done { &mut ended } else { &mut killed }.entry(action).or_insert(0) += 1;

        let now = finished(&world, &store);
        let must_stay = match action {
            Action::Prune => &sure[sure.len().saturating_sub(KEEP)..],
            _ => &sure[..],
        };
        for name in must_stay {
            assert!(now.contains(name), "round {round}: {action:?} lost {name:?}");
        }
        if action == Action::Backup && done {
            assert!(now.contains(&(group.clone(), time)), "round {round}: it said it was finished");
        }
        if action == Action::Prune && done {
            assert!(now.len() <= KEEP, "round {round}: {now:?}");
        }
        sure = now;
        if let Some(name) = sure.get(random.below(sure.len())) {
            assert_restores(&world, &store, name, &expected[name]);
        }
        if round % 20 == 19 {
            assert_all_restore(&world, &store, &expected);
        }
    }
    // And after all of it the store is as good as new. Pruning keeps a backup that was interrupted if it
    // is the newest, so one that is whole comes behind it.
    let (content, time) = (tree(seed, 0, rounds), 1_700_000_000 + rounds as i64);
    write(&source, &content);
    world.run(backup(&store, &source, "k", time));
    expected.insert((group.clone(), time), content);
    world.run(args!["prune", group, "--keep-last", "3", "--repository", store]);
    assert!(age(&store));
    world.run(args!["datastore", "gc", store]);
    world.run(args!["datastore", "verify", store]);
    assert!(assert_all_restore(&world, &store, &expected) <= 3);
    eprintln!("killed: {killed:?}, ended by themselves: {ended:?}");
    let kills: u64 = killed.values().sum();
    assert!(kills > rounds / 4, "too few were killed in the middle: {kills} of {rounds}");
}
