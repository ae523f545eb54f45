//! One cell of the table: what is expected, and the run.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::acts::{Act, Kind, Outcome};
use crate::holder::{Holder, Where};
use crate::world::{Model, Snapshot, World, new_model};

/// A refusal comes within this time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// What waits for a manifest's lock gives up after this time, and not much later.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Long enough to see that something waits.
const LONG_ENOUGH: Duration = Duration::from_millis(300);
/// Whatever has not ended by then hangs.
const HANGS: Duration = Duration::from_secs(45);

/// What becomes of the second operation while the first one stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// It runs to its end.
    Runs,
    /// Refused at once because something is locked; nothing is changed.
    Refused,
    /// Fails at once because what it works on is not there; nothing is changed.
    Missing,
    /// It runs to its end, or what it works on is not there.
    RunsOrMissing,
    /// A verification leaves the snapshot out; nothing is changed.
    Skipped,
    /// A prune leaves the snapshot, warns, and goes on.
    Warned,
    /// It waits until the first one is through and then does its work.
    Waits,
    /// It waits until the first one is through, and then what it works on is not there.
    WaitsAndMisses,
    /// It waits as long as anybody waits for a manifest and then fails; nothing is changed.
    GivesUp,
}

/// Two operations and what comes of them.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    first: Act,
    second: Act,
    same: Option<Expect>,
    other: Option<Expect>,
    /// Only with the first one held at this place.
    stop: Option<usize>,
    /// The first one ends with a warning.
    first_warns: bool,
}

/// While `first` is held, `second` starts, and does what is expected wherever `first` runs.
pub const fn case(first: Act, second: Act, expect: Expect) -> Case {
    let both = Some(expect);
    Case { first, second, same: both, other: both, stop: None, first_warns: false }
}

/// While `first` is held, `second` starts; what comes of it depends on whether both are in the same
/// process.
pub const fn by_process(first: Act, second: Act, same: Expect, other: Expect) -> Case {
    let (same, other) = (Some(same), Some(other));
    Case { first, second, same, other, stop: None, first_warns: false }
}

impl Case {
    /// Only with the first one held at its place of this number.
    pub const fn at(self, stop: usize) -> Case {
        Case { stop: Some(stop), ..self }
    }

    /// The first one ends with a warning.
    pub const fn first_warns(self) -> Case {
        Case { first_warns: true, ..self }
    }

    fn run(self, place: Where) {
        let expect = match place {
            Where::SameProcess => self.same,
            Where::OtherProcess => self.other,
        };
        let Some(expect) = expect else { return };
        for (stop, held_at) in self.first.kind.places().iter().enumerate() {
            if self.stop.is_none_or(|only| only == stop) {
                let (first, second) = (self.first, self.second);
                let name = format!("{first:?} {}, then {second:?} -> {expect:?}", held_at.name);
                eprintln!("{name}");
                self.run_at(place, stop, expect);
            }
        }
    }

    fn run_at(self, place: Where, stop: usize, expect: Expect) {
        let world = World::new();
        let mut holder = Holder::start(place, &world, self.first, stop);
        let before = world.tree();
        let unchanged = |why: &str| world.assert_unchanged(&before, why);
        let (first, second) = match expect {
            Expect::Waits | Expect::WaitsAndMisses => {
                let running = Running::start(&world, self.second);
                assert_eq!(running.wait(LONG_ENOUGH), None, "it should wait");
                unchanged("while it waits");
                assert!(holder.is_holding());
                let first = holder.release();
                (first, running.wait(HANGS).expect("it hangs"))
            }
            _ => {
                let (outcome, time) = run_second(&world, self.second, expect);
                assert!(holder.is_holding(), "the first one should stand still all the time");
                match expect {
                    Expect::Refused | Expect::Missing | Expect::Skipped => {
                        unchanged("refused");
                        assert!(time < AT_ONCE, "that took {time:?}");
                    }
                    Expect::GivesUp => {
                        // A prune that gives up one snapshot goes on with the next.
                        if self.second.kind != Kind::Prune {
                            unchanged("given up");
                        }
                        assert!(time >= WAIT_MAX && time < WAIT_MAX * 2, "that took {time:?}");
                    }
                    _ => {}
                }
                (holder.release(), outcome)
            }
        };
        let fits = match (expect, &second) {
            (Expect::Runs | Expect::RunsOrMissing | Expect::Waits, Outcome::Done) => true,
            (
                Expect::Missing | Expect::RunsOrMissing | Expect::WaitsAndMisses,
                Outcome::Missing(_),
            ) => true,
            (Expect::Refused | Expect::GivesUp, Outcome::Locked(_)) => true,
            (Expect::Skipped, Outcome::Skipped(_)) => true,
            (Expect::Warned, Outcome::Warned(_)) => true,
            (Expect::GivesUp, Outcome::Warned(_)) => self.second.kind == Kind::Prune,
            _ => false,
        };
        assert!(fits, "the second one: {second:?}");
        match (&first, self.first_warns) {
            (Outcome::Done, false) | (Outcome::Warned(_), true) => {}
            _ => panic!("the first one: {first:?}"),
        }
        let mut model = new_model();
        apply(&mut model, self.first, 'A', &first, None);
        // A prune leaves what the first one has.
        apply(&mut model, self.second, 'B', &second, Some(self.first));
        world.check(&model);
    }
}

/// Runs the second operation to its end. A refusal is tried again, because it may be asked for as
/// often as one likes and a busy machine may be slow once: the fastest counts.
fn run_second(world: &World, act: Act, expect: Expect) -> (Outcome, Duration) {
    let mut tries = match expect {
        Expect::Refused | Expect::Missing | Expect::Skipped => 3,
        _ => 1,
    };
    loop {
        let start = Instant::now();
        let outcome = Running::start(world, act).wait(HANGS).expect("it hangs");
        let time = start.elapsed();
        tries -= 1;
        if tries == 0 || time < AT_ONCE {
            return (outcome, time);
        }
    }
}

struct Running(mpsc::Receiver<Outcome>);

impl Running {
    fn start(world: &World, act: Act) -> Running {
        let (send, receive) = mpsc::channel();
        let store = Arc::clone(&world.store);
        std::thread::spawn(move || {
            let outcome = act.run(&store, 'B', &mut || {});
            // The store is closed before the world looks at it.
            drop(store);
            let _ = send.send(outcome);
        });
        Running(receive)
    }

    fn wait(&self, time: Duration) -> Option<Outcome> {
        match self.0.recv_timeout(time) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("it panicked"),
        }
    }
}

/// What an operation that ended so makes of a store.
fn apply(model: &mut Model, act: Act, who: char, outcome: &Outcome, first: Option<Act>) {
    match (act.kind, outcome) {
        (Kind::Backup | Kind::CreateIndex, Outcome::Done) => {
            model.insert(act.on.to_owned(), Snapshot::default());
        }
        (Kind::Forget, Outcome::Done) => {
            model.remove(act.on);
        }
        (Kind::Prune, Outcome::Done | Outcome::Warned(_)) => {
            let in_use = first.filter(|_| matches!(outcome, Outcome::Warned(_)));
            for name in ["a1", "a2"] {
                if in_use.is_none_or(|first| first.on != name) {
                    model.remove(name);
                }
            }
        }
        (Kind::UpdateManifest, Outcome::Done) => {
            // Whoever removed it meanwhile came later.
            if let Some(snapshot) = model.get_mut(act.on) {
                snapshot.notes.push(who);
            }
        }
        (Kind::Verify, Outcome::Done) => {
            if let Some(snapshot) = model.get_mut(act.on) {
                snapshot.verified = true;
            }
        }
        _ => {}
    }
}

/// Runs all cases of a cell.
pub fn run(place: Where, cases: &[Case]) {
    assert!(!cases.is_empty());
    for case in cases {
        case.run(place);
    }
}
