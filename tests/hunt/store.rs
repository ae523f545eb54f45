//! A datastore under attack, seen from outside.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::generations::{Tree, read, same};
use crate::world::{Run, World};

/// A snapshot: group and time.
pub type Name = (String, i64);

/// Arguments of a backup of a folder.
pub fn backup(store: &Path, source: &Path, id: &str, time: i64) -> Vec<OsString> {
    let mut source_argument = OsString::from("data.pxar:");
    source_argument.push(source);
    let mut arguments = args!["backup", source_argument, "--repository", store, "--backup-id", id];
    arguments.extend(args!["--backup-time", time.to_string(), "--chunk-size", "64"]);
    arguments
}

/// The finished snapshots.
pub fn finished(world: &World, store: &Path) -> Vec<Name> {
    let listed = world.json(args!["snapshot", "list", "--repository", store]);
    let listed = listed.as_array().unwrap().iter();
    listed
        // Only a finished snapshot has a size.
        .filter(|snapshot| snapshot.get("size").is_some())
        .map(|snapshot| {
            let field = |name: &str| snapshot[name].as_str().unwrap().to_owned();
            let group = format!("{}/{}", field("backup-type"), field("backup-id"));
            (group, snapshot["backup-time"].as_i64().unwrap())
        })
        .collect()
}

/// Restores a snapshot and compares it with what it was made from.
#[track_caller]
pub fn assert_restores(world: &World, store: &Path, (group, time): &Name, expected: &Tree) {
    let target = world.fast(format!("restored-{}", group.replace('/', "-")));
    let _ = fs::remove_dir_all(&target);
    let name = format!("{group}/{}", time_text(*time));
    world.run(args!["restore", name, "data.pxar", target, "--repository", store]);
    assert!(same(expected, &read(&target)), "{name} is not what was backed up");
    fs::remove_dir_all(&target).unwrap();
}

/// Every finished snapshot restores; each must be one of those that were tried.
#[track_caller]
pub fn assert_all_restore(world: &World, store: &Path, expected: &BTreeMap<Name, Tree>) -> usize {
    let names = finished(world, store);
    for name in &names {
        assert_restores(world, store, name, expected.get(name).expect("a snapshot of this test"));
    }
    names.len()
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
pub fn time_text(epoch: i64) -> String {
    datastore::time::to_utc_text(epoch).unwrap()
}

/// Makes every chunk look ten days old, as a store is that nobody has touched since, while nobody
/// writes to it: the lock that a collector takes is held meanwhile. False if somebody does write.
pub fn age(store: &Path) -> bool {
    let Some(lock) = hold_exclusively(store) else { return false };
    let old = TimeSpec::new(
        nix::time::clock_gettime(nix::time::ClockId::CLOCK_REALTIME).unwrap().tv_sec() - 864_000,
        0,
    );
    for folder in fs::read_dir(store.join(".chunks")).unwrap() {
        for chunk in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = chunk.unwrap().path();
            let leave = TimeSpec::UTIME_OMIT;
            utimensat(nix::fcntl::AT_FDCWD, &path, &old, &leave, UtimensatFlags::NoFollowSymlink)
                .unwrap();
        }
    }
    drop(lock);
    true
}

/// The lock that garbage collection holds, taken as another process would.
pub fn hold_exclusively(store: &Path) -> Option<File> {
    let path = store.join(".lock");
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let range = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&range)).is_ok().then_some(file)
}

/// Runs a command again while it says that something is in use, up to a minute.
pub fn until_free(world: &World, arguments: &[OsString]) -> Run {
    let start = Instant::now();
    loop {
        let run = world.attempt(arguments.to_vec());
        let busy = run.code() == Some(1) && run.stderr().contains("try again later");
        if !busy || start.elapsed() > Duration::from_secs(60) {
            return run;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Files in a store that are no chunk, index, blob, lock or folder of one: what is left lying about.
pub fn leftovers(store: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![store.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().unwrap().to_string_lossy().contains("tmp_") {
                found.push(path);
            }
        }
    }
    found
}
