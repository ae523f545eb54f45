//! The cells of the locking table (`docs/formats/locks.md`) whose locks are between processes, with
//! the real program.
//!
//! An operation in progress is, to other processes, nothing but the locks that it holds. So a
//! helper (this test) holds what A would hold, by the documented names of the lock files and with a
//! classic record lock on `.lock` as other implementations take it, and the program runs B. That
//! also proves the names: nothing here asks the program where its locks are.
//!
//! `datastore/tests/locks` has all cells, with operations that really stand still.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::world::{World, read, text};

/// A refusal comes within this time.
const AT_ONCE: Duration = Duration::from_secs(1);
/// So long a manifest's lock is waited for.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Long enough to see that something waits.
const LONG_ENOUGH: Duration = Duration::from_millis(700);

/// The snapshots at the beginning: the letter is the group, the digit the day.
const SNAPSHOTS: [&str; 4] = ["a1", "a2", "a3", "b1"];
/// Every snapshot that is made here.
const NAMES: [&str; 6] = ["a1", "a2", "a3", "a4", "b1", "b2"];

fn day(name: &str) -> String {
    format!("2024-01-0{}T00:00:00Z", &name[1..])
}

fn group(name: &str) -> String {
    format!("host/{}", &name[..1])
}

fn snapshot(name: &str) -> String {
    format!("{}/{}", group(name), day(name))
}

/// The content of the only archive of a snapshot.
fn content(name: &str) -> String {
    format!("content of {name}")
}

/// A store that has only the folders of chunks that these contents need; a whole one takes long.
struct Store {
    world: World,
    base: PathBuf,
}

type Tree = BTreeMap<PathBuf, (u32, Vec<u8>)>;

impl Store {
    fn new() -> Store {
        let world = World::new();
        let base = world.fast("store");
        fs::create_dir_all(base.join(".chunks")).unwrap();
        let zeros = vec![0; 4 << 20];
        let contents = NAMES.iter().map(|name| content(name).into_bytes());
        for content in contents.chain([zeros]) {
            let digest = hex::encode(Sha256::digest(&content));
            fs::create_dir_all(base.join(".chunks").join(&digest[..4])).unwrap();
        }
        let store = Store { world, base };
        for name in SNAPSHOTS {
            store.world.run(store.arguments(B::Backup(name)));
        }
        store
    }

    fn arguments(&self, act: B) -> Vec<std::ffi::OsString> {
        let repository = || args!["--repository", self.base];
        let mut arguments = match act {
            B::Collect => args!["datastore", "gc", self.base],
            B::Notes(name) => args!["snapshot", "notes", "update", snapshot(name), "new"],
            B::Forget(name) => args!["snapshot", "forget", snapshot(name)],
            B::Prune => args!["prune", "host/a", "--keep-last", "1"],
            B::Backup(name) => {
                let image = self.world.fast(format!("{name}.image"));
                fs::write(&image, content(name)).unwrap();
                let source = format!("disk.img:{}", image.display());
                let (id, time) = (&name[..1], day(name));
                args!["backup", source, "--backup-id", id, "--backup-time", time]
            }
            B::Verify(name) => {
                let mut verify = args!["datastore", "verify", self.base, "--group", group(name)];
                verify.extend(args!["--output-format", "json"]);
                verify
            }
            B::Restore(name) => args!["restore", snapshot(name), "disk.img", "-"],
            B::List(name) => args!["snapshot", "files", snapshot(name)],
        };
        if !matches!(act, B::Collect | B::Verify(_)) {
            arguments.extend(repository());
        }
        arguments
    }

    /// Everything but the lock files and times.
    fn tree(&self) -> Tree {
        fn add(base: &Path, dir: &Path, tree: &mut Tree) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.ends_with(".locks") {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let content = if meta.is_dir() {
                    add(base, &path, tree);
                    Vec::new()
                } else if path.ends_with(".lock") {
                    // Closing any descriptor of it would end the record lock of this process.
                    Vec::new()
                } else {
                    read(&path)
                };
                tree.insert(path.strip_prefix(base).unwrap().into(), (meta.mode(), content));
            }
        }
        let mut tree = Tree::new();
        add(&self.base, &self.base, &mut tree);
        tree
    }

    #[track_caller]
    fn assert_unchanged(&self, before: &Tree, why: &str) {
        let after = self.tree();
        for path in before.keys().chain(after.keys()) {
            assert!(before.get(path) == after.get(path), "{why}: {} changed", path.display());
        }
    }

    /// Every snapshot in the store can be restored, and only those that should be are there.
    #[track_caller]
    fn check(&self, expected: &[&'static str]) {
        self.world.run(args!["datastore", "gc", self.base, "--no-atime-safety-check"]);
        let listed = self.world.json(args!["snapshot", "list", "--repository", self.base]);
        assert_eq!(listed.as_array().unwrap().len(), expected.len(), "{listed}");
        for name in expected {
            let restored = self.world.run(self.arguments(B::Restore(name)));
            assert_eq!(restored.stdout(), content(name));
        }
    }

    fn start(&self, act: B) -> Child {
        let mut command = self.world.command(&self.arguments(act));
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// What the program does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum B {
    Collect,
    Notes(&'static str),
    Forget(&'static str),
    /// Keeps the newest of group a.
    Prune,
    Backup(&'static str),
    /// Verifies the group of a snapshot, and tells of this one.
    Verify(&'static str),
    Restore(&'static str),
    List(&'static str),
}

/// What the helper holds.
#[derive(Clone, Copy, Debug)]
enum Hold {
    /// The lock of a snapshot, shared: it is read or verified.
    Reading(&'static str),
    /// The locks of a snapshot and its manifest: it is removed.
    Removing(&'static str),
    /// The lock of a manifest: it is changed.
    Changing(&'static str),
    /// Group, new snapshot, base, and `.lock` shared: a backup runs.
    BackingUp(&'static str, &'static str),
    /// `.lock` exclusively: a collection runs.
    Collecting,
}

/// Held locks.
#[allow(dead_code, reason = "they are held, not read")]
enum Lock {
    Flock(Flock<File>),
    Record(File),
}

/// As the documentation of the lock files has it, for the characters that occur here.
fn escaped(object: &str) -> String {
    object.replace('-', "\\x2d").replace(':', "\\x3a").replace('/', "-")
}

fn flock(base: &Path, object: &str, arg: FlockArg) -> Lock {
    let dir = base.join(".locks");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(escaped(object));
    let mut options = OpenOptions::new();
    let file = options.read(true).append(true).create(true).mode(0o660).open(&path).unwrap();
    file.set_permissions(Permissions::from_mode(0o660)).unwrap();
    Lock::Flock(Flock::lock(file, arg).map_err(|(_, errno)| errno).unwrap())
}

fn record(base: &Path, kind: nix::libc::c_int) -> Lock {
    let file = OpenOptions::new().read(true).write(true).open(base.join(".lock")).unwrap();
    let range = nix::libc::flock {
        l_type: i16::try_from(kind).unwrap(),
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // Classic, not of the open file description: as other implementations take it.
    fcntl(&file, FcntlArg::F_SETLK(&range)).unwrap();
    Lock::Record(file)
}

impl Hold {
    fn take(self, store: &Store) -> Vec<Lock> {
        use FlockArg::{LockExclusiveNonblock as Exclusive, LockSharedNonblock as Shared};
        let base = &store.base;
        let manifest = |name: &str| format!("{}/.index.json.lck", snapshot(name));
        match self {
            Hold::Reading(name) => vec![flock(base, &snapshot(name), Shared)],
            Hold::Removing(name) => vec![
                flock(base, &snapshot(name), Exclusive),
                flock(base, &manifest(name), Exclusive),
            ],
            Hold::Changing(name) => vec![flock(base, &manifest(name), Exclusive)],
            Hold::BackingUp(new, of) => {
                // Its folder is there, and has no manifest yet.
                fs::create_dir(base.join(snapshot(new))).unwrap();
                vec![
                    flock(base, &group(new), Exclusive),
                    flock(base, &snapshot(new), Exclusive),
                    flock(base, &snapshot(of), Shared),
                    record(base, nix::libc::F_RDLCK),
                ]
            }
            Hold::Collecting => vec![record(base, nix::libc::F_WRLCK)],
        }
    }
}

/// What becomes of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    /// It works at once.
    Runs,
    /// It fails at once, says that something is in use, and changes nothing.
    Refused,
    /// It fails at once, says that something is not there, and changes nothing.
    Missing,
    /// A verification leaves the snapshot out, and changes nothing of it.
    LeftOut,
    /// A prune leaves what is held, warns, and goes on.
    Warned,
    /// It waits for the helper and then works; and if the helper holds on, it gives up after 5 s and
    /// changes nothing.
    Waits,
}

use Expect::{LeftOut, Missing, Refused, Runs, Waits, Warned};

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    time: Duration,
}

fn end(child: Child, since: Instant) -> Ended {
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        time: since.elapsed(),
    }
}

fn run(store: &Store, act: B) -> Ended {
    let since = Instant::now();
    end(store.start(act), since)
}

/// Tried again if the machine was slow: a refusal may be asked for as often as one likes, and the
/// fastest counts.
fn run_fast(store: &Store, act: B) -> Ended {
    let mut ended = run(store, act);
    for _ in 0..4 {
        if ended.time < AT_ONCE {
            break;
        }
        ended = run(store, act);
    }
    ended
}

fn cases(cases: &[(Hold, B, Expect)]) {
    for &(hold, act, expect) in cases {
        eprintln!("{hold:?}, then {act:?} -> {expect:?}");
        try_case(hold, act, expect);
    }
}

fn try_case(hold: Hold, act: B, expect: Expect) {
    let store = Store::new();
    let held = hold.take(&store);
    let before = store.tree();
    let mut expected: Vec<&'static str> = SNAPSHOTS.to_vec();
    match expect {
        Runs => {
            let ended = run(&store, act);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            apply(&mut expected, act);
        }
        Refused | Missing => {
            let ended = run_fast(&store, act);
            assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
            let word = if expect == Refused { "in use" } else { "does not exist" };
            assert!(ended.stderr.contains(word), "{}", ended.stderr);
            assert!(ended.time < AT_ONCE, "that took {:?}", ended.time);
            store.assert_unchanged(&before, "refused");
        }
        LeftOut => {
            let B::Verify(name) = act else { panic!("only a verification leaves out") };
            let ended = run_fast(&store, act);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let reports: Value = serde_json::from_str(&ended.stdout).unwrap();
            let reports = reports.as_array().unwrap();
            let about = reports.iter().find(|report| text(&report["snapshot"]) == snapshot(name));
            let skipped = &about.unwrap()["skipped"];
            assert!(skipped.is_string(), "{}", ended.stdout);
            let dir = Path::new("").join(snapshot(name));
            let of_it = |tree: &Tree| -> Tree {
                tree.iter()
                    .filter(|(path, _)| path.starts_with(&dir))
                    .map(|(path, content)| (path.clone(), content.clone()))
                    .collect()
            };
            assert!(of_it(&before) == of_it(&store.tree()));
        }
        Warned => {
            let ended = run(&store, act);
            assert_eq!(ended.code, Some(3), "{}", ended.stderr);
            assert!(ended.stderr.contains("was not removed"), "{}", ended.stderr);
            assert!(ended.time < WAIT_MAX, "that took {:?}", ended.time);
            // The helper holds the older one, and the other is gone.
            expected.retain(|name| *name != "a2");
        }
        Waits => {
            // It gives up …
            let ended = run(&store, act);
            let code = if act == B::Prune { 3 } else { 1 };
            assert_eq!(ended.code, Some(code), "{}", ended.stderr);
            assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
            assert!(ended.time >= WAIT_MAX && ended.time < WAIT_MAX * 2, "{:?}", ended.time);
            if act != B::Prune {
                store.assert_unchanged(&before, "given up");
            }
            // … or gets its turn.
            let since = Instant::now();
            let mut child = store.start(act);
            while since.elapsed() < LONG_ENOUGH {
                assert!(child.try_wait().unwrap().is_none(), "it did not wait");
                std::thread::sleep(Duration::from_millis(10));
            }
            drop(held);
            let ended = end(child, since);
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            assert!(ended.time < WAIT_MAX);
            apply(&mut expected, act);
            store.check(&expected);
            return;
        }
    }
    drop(held);
    if let Hold::BackingUp(new, _) = hold {
        fs::remove_dir(store.base.join(snapshot(new))).unwrap();
    }
    store.check(&expected);
}

fn apply(expected: &mut Vec<&'static str>, act: B) {
    match act {
        B::Backup(name) => expected.push(name),
        B::Forget(name) => expected.retain(|known| *known != name),
        B::Prune => expected.retain(|known| !["a1", "a2"].contains(known)),
        _ => {}
    }
}

macro_rules! table {
    ($($name:ident: [$($case:expr),+ $(,)?],)+) => {
        $(#[test] fn $name() { cases(&[$($case),+]); })+
    };
}

const BACKUP: Hold = Hold::BackingUp("a4", "a3");
const COLLECTION: Hold = Hold::Collecting;

table! {
    // A backup, of which an index in the making is a part.
    bk_gm: [(BACKUP, B::Collect, Refused)],
    bk_um: [(BACKUP, B::Notes("a4"), Missing), (BACKUP, B::Notes("a3"), Runs)],
    bk_fo: [
        (BACKUP, B::Forget("a4"), Refused),
        (BACKUP, B::Forget("a3"), Refused),
        (BACKUP, B::Forget("a2"), Runs),
        (BACKUP, B::Forget("b1"), Runs),
    ],
    bk_pr: [(BACKUP, B::Prune, Runs)],
    bk_bk: [(BACKUP, B::Backup("a4"), Refused), (BACKUP, B::Backup("b2"), Runs)],
    bk_ve: [(BACKUP, B::Verify("a4"), LeftOut), (BACKUP, B::Verify("b1"), Runs)],
    bk_ra: [(BACKUP, B::Restore("a4"), Refused), (BACKUP, B::Restore("a3"), Runs)],
    bk_rm: [(BACKUP, B::List("a4"), Missing), (BACKUP, B::List("a3"), Runs)],

    // A collection, marking or sweeping.
    gm_gm: [(COLLECTION, B::Collect, Refused)],
    gm_um: [(COLLECTION, B::Notes("a3"), Runs)],
    gm_fo: [(COLLECTION, B::Forget("a3"), Runs), (COLLECTION, B::Forget("b1"), Runs)],
    gm_pr: [(COLLECTION, B::Prune, Runs)],
    gm_bk: [(COLLECTION, B::Backup("a4"), Refused), (COLLECTION, B::Backup("b2"), Refused)],
    gm_ve: [(COLLECTION, B::Verify("a3"), Runs)],
    gm_ra: [(COLLECTION, B::Restore("a3"), Runs)],
    gm_rm: [(COLLECTION, B::List("a3"), Runs)],

    // A change of a manifest.
    um_gm: [(Hold::Changing("a3"), B::Collect, Runs)],
    um_um: [
        (Hold::Changing("a3"), B::Notes("a3"), Waits),
        (Hold::Changing("a3"), B::Notes("a2"), Runs),
    ],
    um_fo: [
        (Hold::Changing("a3"), B::Forget("a3"), Waits),
        (Hold::Changing("a3"), B::Forget("a2"), Runs),
    ],
    um_pr: [
        (Hold::Changing("a2"), B::Prune, Waits),
        (Hold::Changing("a3"), B::Prune, Runs),
    ],
    um_bk: [(Hold::Changing("a3"), B::Backup("a4"), Runs)],
    um_ve: [(Hold::Changing("a3"), B::Verify("b1"), Runs)],
    um_ra: [(Hold::Changing("a3"), B::Restore("a3"), Runs)],
    um_rm: [(Hold::Changing("a3"), B::List("a3"), Runs)],

    // A removal, by itself or by a prune.
    fo_gm: [(Hold::Removing("a3"), B::Collect, Runs)],
    fo_um: [(Hold::Removing("a3"), B::Notes("a2"), Runs)],
    fo_fo: [
        (Hold::Removing("a3"), B::Forget("a3"), Refused),
        (Hold::Removing("a3"), B::Forget("a2"), Runs),
    ],
    fo_pr: [(Hold::Removing("a1"), B::Prune, Warned), (Hold::Removing("b1"), B::Prune, Runs)],
    fo_bk: [
        (Hold::Removing("a3"), B::Backup("a4"), Refused),
        (Hold::Removing("a1"), B::Backup("a4"), Runs),
        (Hold::Removing("a3"), B::Backup("b2"), Runs),
    ],
    fo_ve: [(Hold::Removing("a3"), B::Verify("a3"), LeftOut)],
    fo_ra: [
        (Hold::Removing("a3"), B::Restore("a3"), Refused),
        (Hold::Removing("a3"), B::Restore("a2"), Runs),
    ],
    fo_rm: [(Hold::Removing("a3"), B::List("a3"), Runs)],

    // A reader or a verification.
    ra_gm: [(Hold::Reading("a3"), B::Collect, Runs)],
    ra_um: [(Hold::Reading("a3"), B::Notes("a3"), Runs)],
    ra_fo: [
        (Hold::Reading("a3"), B::Forget("a3"), Refused),
        (Hold::Reading("a3"), B::Forget("a2"), Runs),
    ],
    ra_pr: [(Hold::Reading("a1"), B::Prune, Warned), (Hold::Reading("a3"), B::Prune, Runs)],
    ra_bk: [(Hold::Reading("a3"), B::Backup("a4"), Runs)],
    ra_ve: [(Hold::Reading("a3"), B::Verify("a3"), Runs)],
    ra_ra: [(Hold::Reading("a3"), B::Restore("a3"), Runs)],
    ra_rm: [(Hold::Reading("a3"), B::List("a3"), Runs)],
}

/// FO>UM: a change that waited for a removal finds nothing, and brings nothing back.
#[test]
fn fo_um_what_waited_for_a_removal_finds_nothing() {
    let store = Store::new();
    let held = Hold::Removing("a3").take(&store);
    let since = Instant::now();
    let mut child = store.start(B::Notes("a3"));
    while since.elapsed() < LONG_ENOUGH {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::sleep(Duration::from_millis(10));
    }
    // What the removal does.
    fs::remove_dir_all(store.base.join(snapshot("a3"))).unwrap();
    drop(held);
    let ended = end(child, since);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("does not exist"), "{}", ended.stderr);
    store.check(&["a1", "a2", "b1"]);
}

/// UM>VE: the verification runs, waits when it records its result, and both changes stay.
#[test]
fn um_ve_a_result_waits_for_its_turn() {
    let store = Store::new();
    let held = Hold::Changing("b1").take(&store);
    let since = Instant::now();
    let mut child = store.start(B::Verify("b1"));
    while since.elapsed() < LONG_ENOUGH {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(held);
    let ended = end(child, since);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let listed = store.world.json(args!["snapshot", "list", "host/b", "--repository", store.base]);
    assert_eq!(listed[0]["verification"]["state"], "ok");
    store.check(&SNAPSHOTS);
}

/// Two programs: one stands still in the middle of a backup, and the other one may do what the table
/// says.
#[test]
fn bk_bk_two_programs() {
    let store = Store::new();
    let large = store.world.fast("large");
    // Zeros are one chunk, however many: long to read, and of a known name.
    File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let source = format!("disk.img:{}", large.display());
    let mut arguments = args!["backup", source, "--repository", store.base, "--backup-id", "a"];
    arguments.extend(args!["--backup-time", "2024-01-05T00:00:00Z", "--threads", "1"]);
    let mut first = store.world.command(&arguments);
    let mut first = first.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !store.base.join("host/a/2024-01-05T00:00:00Z").exists() {
        assert!(first.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(1));
    }
    let signal = |signal| kill(Pid::from_raw(first.id().cast_signed()), signal).unwrap();
    signal(Signal::SIGSTOP);
    let before = store.tree();
    for act in [B::Backup("a4"), B::Forget("a3"), B::Collect] {
        let ended = run_fast(&store, act);
        assert_eq!(ended.code, Some(1), "{act:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("in use"), "{}", ended.stderr);
        assert!(ended.time < AT_ONCE, "that took {:?}", ended.time);
    }
    store.assert_unchanged(&before, "refused");
    for act in [B::Restore("a3"), B::Verify("b1"), B::Notes("a3"), B::Backup("b2"), B::Forget("a1")]
    {
        let ended = run(&store, act);
        assert_eq!(ended.code, Some(0), "{act:?}: {}", ended.stderr);
    }
    signal(Signal::SIGCONT);
    assert!(first.wait().unwrap().success());
    assert_eq!(run(&store, B::Forget("a3")).code, Some(0));
    assert_eq!(run(&store, B::Collect).code, Some(0));
    let restored = store.world.fast("restored");
    store.world.run(args!["restore", "host/a", "disk.img", restored, "--repository", store.base]);
    assert_eq!(fs::metadata(&restored).unwrap().len(), 1 << 30);
}
