//! What the system can refuse: space, descriptors, writing at all. Each refusal is a clear error, and
//! nothing that was finished is lost. (Single failing reads and writes are tried one by one on a
//! storage made for it, in the datastore's own tests.)

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::generations::{Tree, random_of, seed, tree, write};
use crate::store::{Name, age, assert_all_restore, backup, finished};
use crate::world::{World, is_root, note};

/// A file system of its own in memory, taken away when it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// None where mounting is not allowed.
    fn new(path: PathBuf, size: &str) -> Option<Mount> {
        if !is_root() {
            note("only root can mount file systems; this test has nothing to do");
            return None;
        }
        std::fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=0755");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(&path).output();
        match done {
            Ok(output) if output.status.success() => Some(Mount(path)),
            _ => {
                note("mounting is not allowed here; this test has nothing to do");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        let status = Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A store on a file system of its own with one snapshot in it.
fn store_on(mount: &Mount, world: &World, seed: u64) -> (PathBuf, BTreeMap<Name, Tree>) {
    let store = mount.0.join("store");
    world.run(args!["datastore", "create", "mounted", store]);
    let mut expected = BTreeMap::new();
    back_up(world, &store, seed, 0, &mut expected);
    (store, expected)
}

fn source(world: &World, seed: u64, generation: u64) -> (PathBuf, Tree) {
    let source = world.disk("source");
    // Another client each time: nothing is shared, so the store grows.
    let content = tree(seed, generation, generation);
    write(&source, &content);
    (source, content)
}

fn back_up(
    world: &World,
    store: &Path,
    seed: u64,
    generation: u64,
    expected: &mut BTreeMap<Name, Tree>,
) {
    let (source, content) = source(world, seed, generation);
    let time = 1_700_000_000 + generation as i64;
    world.run(backup(store, &source, "f", time));
    expected.insert(("host/f".into(), time), content);
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let seed = seed();
    let world = World::new();
    let Some(mount) = Mount::new(world.disk("mount"), "6m") else { return };
    let (store, mut expected) = store_on(&mount, &world, seed);
    let mut failures = 0;
    for generation in 1..20 {
        let (folder, content) = source(&world, seed, generation);
        let time = 1_700_000_000 + generation as i64;
        let run = world.attempt(backup(&store, &folder, "f", time));
        if run.code() == Some(0) {
            expected.insert(("host/f".into(), time), content);
        } else {
            assert_eq!(run.code(), Some(1), "{run}");
            run.says(&["No space left", "no snapshot was made"]);
            failures += 1;
        }
        if failures == 3 {
            break;
        }
    }
    assert_eq!(failures, 3, "the disk did not get full");
    assert_eq!(assert_all_restore(&world, &store, &expected), expected.len());
    // Room is made on the full disk itself.
    let oldest = finished(&world, &store).into_iter().min_by_key(|name| name.1).unwrap();
    let name = format!("{}/{}", oldest.0, crate::store::time_text(oldest.1));
    world.run(args!["snapshot", "forget", name, "--repository", store]);
    expected.remove(&oldest);
    assert!(age(&store));
    let status = world.json(args!["datastore", "gc", store]);
    assert!(status["removed-chunks"].as_u64().unwrap() > 0, "{status}");
    assert_eq!(assert_all_restore(&world, &store, &expected), expected.len());
    world.run(args!["datastore", "verify", store]);
    // What went was one snapshot, so it is that one's content that is sure to find room.
    let generation = oldest.1.unsigned_abs() - 1_700_000_000;
    let (folder, content) = source(&world, seed, generation);
    let time = 1_700_000_000 + 30;
    world.run(backup(&store, &folder, "f", time));
    expected.insert(("host/f".into(), time), content);
    assert_eq!(assert_all_restore(&world, &store, &expected), expected.len());
}

#[test]
fn a_file_system_that_turns_read_only_still_gives_everything_back() {
    let seed = seed();
    let world = World::new();
    let Some(mount) = Mount::new(world.disk("mount"), "64m") else { return };
    let (store, mut expected) = store_on(&mount, &world, seed);
    back_up(&world, &store, seed, 1, &mut expected);
    mount.remount("ro");
    let (folder, _) = source(&world, seed, 2);
    let snapshot = format!("host/f/{}", crate::store::time_text(1_700_000_001));
    let repository = ["--repository", store.to_str().unwrap()];
    let refused = [
        backup(&store, &folder, "f", 1_700_000_002),
        args!["datastore", "gc", store],
        args!["snapshot", "forget", snapshot, repository[0], repository[1]],
        args!["snapshot", "notes", "update", snapshot, "text", repository[0], repository[1]],
        args!["snapshot", "protected", "update", snapshot, "true", repository[0], repository[1]],
        args!["group", "forget", "host/f", repository[0], repository[1]],
        args!["namespace", "create", "new", repository[0], repository[1]],
    ];
    for arguments in refused {
        let run = world.attempt(arguments);
        assert_eq!(run.code(), Some(1), "{run}");
        assert!(run.stderr().to_lowercase().contains("read-only file"), "{run}");
    }
    assert_eq!(assert_all_restore(&world, &store, &expected), 2);
    world.run(args!["datastore", "verify", store, "--no-record"]);
    mount.remount("rw");
    back_up(&world, &store, seed, 2, &mut expected);
    assert_eq!(assert_all_restore(&world, &store, &expected), 3);
}

#[test]
fn too_few_descriptors_lose_nothing() {
    let seed = seed();
    let world = World::new();
    let store = world.create_store("store");
    let mut expected = BTreeMap::new();
    back_up(&world, &store, seed, 0, &mut expected);
    let (folder, content) = source(&world, seed, 1);
    let mut random = random_of(&[seed, 9]);
    let (mut failed, mut worked) = (0, 0);
    for limit in (4..32).step_by(2) {
        let time = 1_700_000_000 + limit;
        expected.insert(("host/f".into(), time), content.clone());
        let commands = [
            backup(&store, &folder, "f", time),
            args!["datastore", "gc", store],
            args!["datastore", "verify", store],
            args!["prune", "host/f", "--keep-last", "2", "--repository", store],
        ];
        if random.below(3) == 0 {
            assert!(age(&store));
        }
        for arguments in commands {
            let mut command = world.command(&arguments);
            let program = command.get_program().to_owned();
            // The shell lowers the limit and becomes the program.
            let mut limited = Command::new("sh");
            limited.arg("-c").arg(format!("ulimit -n {limit} && exec \"$0\" \"$@\""));
            limited.arg(program).args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => limited.env(name, value),
                    None => limited.env_remove(name),
                };
            }
            let output = limited.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!said.contains("panicked"), "limit {limit}: {arguments:?}\n{said}");
            if output.status.success() {
                worked += 1;
            } else {
                failed += 1;
                // With next to none not even the program's libraries can be loaded.
                let told = said.contains("Too many open files")
                    || said.contains("loading shared libraries")
                    // A backup that could not even open the folder to clean up after itself.
                    || said.contains("its backup was interrupted");
                assert!(told, "limit {limit}: {arguments:?}\n{said}");
            }
            let _ = &mut command;
        }
        assert!(assert_all_restore(&world, &store, &expected) > 0, "limit {limit}");
    }
    eprintln!("with 4 to 30 descriptors {worked} commands worked and {failed} failed");
    assert!(worked > 0 && failed > 0);
    world.run(args!["datastore", "verify", store]);
}
