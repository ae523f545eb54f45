//! An operation that is held in the middle: in a thread, or in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use datastore::testing::Gate;

use crate::acts::{Act, Kind, Outcome};
use crate::world::{self, World};

/// Where the first operation runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// In a thread of this process, with the same handle of the store.
    SameProcess,
    /// In another process.
    OtherProcess,
}

/// Tells this program to be a holder: the operation, its snapshot, the place and the store.
const HOLDER: &str = "CAPSTAN_LOCKS_HOLDER";
/// Comes before everything that a holder says; the test harness talks on the same line.
const MARK: char = '\u{1}';
/// An operation that has not come to its place after this time will not.
const ARRIVAL_MAX: Duration = Duration::from_secs(50);

/// An operation that stands still.
pub enum Holder {
    Thread { gate: Arc<Gate>, thread: Option<JoinHandle<Outcome>> },
    Process { child: Child, stdin: Option<ChildStdin>, stdout: BufReader<ChildStdout> },
}

impl Holder {
    /// Starts an operation and waits until it is held.
    #[track_caller]
    pub fn start(place: Where, world: &World, act: Act, stop: usize) -> Holder {
        match place {
            Where::SameProcess => Holder::in_thread(world, act, stop),
            Where::OtherProcess => Holder::in_process(world.base(), act, stop),
        }
    }

    #[track_caller]
    fn in_thread(world: &World, act: Act, stop: usize) -> Holder {
        let held = act.arm(stop, &world.store, &world.stops);
        let gate = Arc::clone(&held.gate);
        let store = Arc::clone(&world.store);
        let (ended, end) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let outcome = act.run(&store, 'A', &mut || held.pause());
            // Held or not, whoever waits must learn that it is over.
            let _ = ended.send(());
            outcome
        });
        let mut waited = Duration::ZERO;
        let step = Duration::from_millis(5);
        while !gate.wait_held(step) {
            waited += step;
            if end.try_recv().is_ok() || waited > ARRIVAL_MAX {
                gate.open();
                let outcome = thread.join().unwrap();
                panic!("{act:?} never came to the place where it is to be held: {outcome:?}");
            }
        }
        Holder::Thread { gate, thread: Some(thread) }
    }

    #[track_caller]
    fn in_process(base: &Path, act: Act, stop: usize) -> Holder {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "holder::be_a_holder", "--nocapture", "--test-threads=1"])
            .env(HOLDER, format!("{:?} {} {stop} {}", act.kind, act.on, base.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut holder = Holder::Process { child, stdin, stdout };
        let said = holder.hear();
        assert_eq!(said, "held", "{act:?} never came to the place where it is to be held");
        holder
    }

    /// The next line from the other process.
    #[track_caller]
    fn hear(&mut self) -> String {
        let Holder::Process { stdout, .. } = self else { unreachable!() };
        loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "the holder died");
            if let Some((_, said)) = line.trim_end().split_once(MARK) {
                return said.to_owned();
            }
        }
    }

    /// True if it stands still.
    pub fn is_holding(&mut self) -> bool {
        match self {
            Holder::Thread { gate, .. } => gate.is_holding(),
            // It waits for us, or it died.
            Holder::Process { child, .. } => child.try_wait().unwrap().is_none(),
        }
    }

    /// Lets it go on and waits for its end.
    #[track_caller]
    pub fn release(mut self) -> Outcome {
        if let Holder::Thread { gate, thread } = &mut self {
            gate.open();
            return thread.take().unwrap().join().unwrap();
        }
        if let Holder::Process { stdin, .. } = &mut self {
            stdin.take();
        }
        let outcome = self.hear().parse().unwrap();
        if let Holder::Process { child, .. } = &mut self {
            assert!(child.wait().unwrap().success());
        }
        outcome
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        match self {
            Holder::Thread { gate, thread } => {
                gate.open();
                if let Some(thread) = thread.take() {
                    let _ = thread.join();
                }
            }
            Holder::Process { child, stdin, .. } => {
                stdin.take();
                let _ = child.wait();
            }
        }
    }
}

fn say(text: &str) {
    println!("\n{MARK}{text}");
    std::io::stdout().flush().unwrap();
}

/// Not a test: what this program does when it is started as a holder.
#[test]
fn be_a_holder() {
    let Ok(task) = std::env::var(HOLDER) else { return };
    let words: Vec<&str> = task.splitn(4, ' ').collect();
    let [kind, on, stop, base] = words[..] else { panic!("{task}") };
    let kind = Kind::named(kind);
    let act = Act { kind, on: Box::leak(on.to_owned().into_boxed_str()) };
    let (stops, store) = world::open(Path::new(base));
    let held = act.arm(stop.parse().unwrap(), &store, &stops);
    let gate = Arc::clone(&held.gate);
    let thread = std::thread::spawn(move || act.run(&store, 'A', &mut || held.pause()));
    while !gate.wait_held(Duration::from_millis(5)) {
        if thread.is_finished() {
            say(&thread.join().unwrap().to_string());
            return;
        }
    }
    say("held");
    // The parent closes our input to let us go, also by dying.
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    gate.open();
    say(&thread.join().unwrap().to_string());
}
