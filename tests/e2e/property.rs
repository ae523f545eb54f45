//! Any tree comes back as it was, before and after a change.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::listing::{assert_same_entries, list};
use crate::round_trip::source;
use crate::tree::{bytes, set_mtime, write};
use crate::world::World;

const CASES: u32 = 24;

/// One thing in a generated tree.
#[derive(Debug, Clone)]
enum Node {
    File {
        seed: u64,
        size: usize,
        mode: u32,
        mtime: (i64, i64),
    },
    Link {
        target: Vec<u8>,
    },
    Folder {
        mode: u32,
        entries: BTreeMap<Vec<u8>, Node>,
    },
    /// A second name for an earlier file, if there is one.
    SecondName {
        which: usize,
    },
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    // Bytes that a name may have: all but the slash and NUL; not "." and "..".
    let byte = prop_oneof![4 => b'a'..=b'e', 1 => 1_u8..=255]
        .prop_filter("no slash in a name", |byte| *byte != b'/');
    prop::collection::vec(byte, 1..12).prop_filter("a name of its own", |name| {
        name != b"." && name != b".." && name != b".pxarexclude"
    })
}

fn node() -> impl Strategy<Value = Node> {
    let size = prop_oneof![
        3 => 0_usize..200,
        2 => 200_usize..70_000,
        1 => 70_000_usize..900_000,
    ];
    let mode = (0_u32..0o1000).prop_map(|mode| mode | 0o400);
    let time = (-(1_i64 << 31)..1 << 33, 0_i64..1_000_000_000);
    let file = (0_u64..12, size, mode, time).prop_map(|(seed, size, mode, mtime)| Node::File {
        seed,
        size,
        mode,
        mtime,
    });
    let link = prop::collection::vec(1_u8..=255, 1..40).prop_map(|target| Node::Link { target });
    let second = (0_usize..20).prop_map(|which| Node::SecondName { which });
    let leaf = prop_oneof![6 => file, 1 => link, 1 => second];
    leaf.prop_recursive(3, 24, 8, |inner| {
        let mode = (0_u32..0o1000).prop_map(|mode| mode | 0o700);
        (mode, prop::collection::btree_map(name(), inner, 0..8))
            .prop_map(|(mode, entries)| Node::Folder { mode, entries })
    })
}

fn tree() -> impl Strategy<Value = BTreeMap<Vec<u8>, Node>> {
    prop::collection::btree_map(name(), node(), 0..8)
}

/// Makes the entries in a folder; those that are there with other kinds are replaced.
fn grow(folder: &Path, entries: &BTreeMap<Vec<u8>, Node>, files: &mut Vec<PathBuf>) {
    fs::create_dir_all(folder).unwrap();
    for (name, node) in entries {
        let path = folder.join(OsStr::from_bytes(name));
        let is_folder = fs::symlink_metadata(&path).map(|meta| meta.is_dir());
        match (is_folder, node) {
            (Ok(true), Node::Folder { .. }) | (Err(_), _) => {}
            (Ok(true), _) => fs::remove_dir_all(&path).unwrap(),
            (Ok(false), _) => fs::remove_file(&path).unwrap(),
        }
        // What was removed has no second names to give any more.
        files.retain(|file| file.exists());
        match node {
            Node::File { seed, size, mode, mtime } => {
                write(&path, bytes(*seed, *size));
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                set_mtime(&path, mtime.0, mtime.1);
                files.push(path);
            }
            Node::Link { target } => {
                std::os::unix::fs::symlink(OsStr::from_bytes(target), &path).unwrap();
            }
            Node::Folder { mode, entries } => {
                grow(&path, entries, files);
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
            }
            Node::SecondName { which } => {
                if let Some(first) = files.get(*which % files.len().max(1)) {
                    fs::hard_link(first, &path).unwrap();
                }
            }
        }
    }
}

#[test]
fn any_tree_comes_back_before_and_after_a_change() {
    let seed: u64 = std::env::var("CAPSTAN_TEST_SEED").ok().map_or_else(
        || {
            u64::from(std::process::id())
                ^ std::time::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64
        },
        |text| text.parse().expect("CAPSTAN_TEST_SEED is a number"),
    );
    eprintln!("CAPSTAN_TEST_SEED={seed} repeats this run");
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        max_shrink_iters: 60,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed_bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);

    let world = World::new();
    world.create_store("store");
    let case = Cell::new(0);
    let strategy = (tree(), tree(), prop::sample::select(vec!["64", "256", "4096"]));
    let result = runner.run(&strategy, |(before, after, chunk_size)| {
        case.set(case.get() + 1);
        let folder = world.disk(format!("case{}", case.get()));
        let id = format!("case{}", case.get());
        let mut files = Vec::new();
        let mut wanted = Vec::new();
        for (number, entries) in [before, after].iter().enumerate() {
            let tree = folder.join("tree");
            grow(&tree, entries, &mut files);
            wanted.push(list(&tree));
            let mut backup = args!["backup", source("root.pxar", &tree), "--repository", "store"];
            backup.extend(args!["--backup-id", id, "--chunk-size", chunk_size]);
            backup.extend(args!["--backup-time", (1_700_000_000 + number).to_string()]);
            world.run(backup);
        }
        for (wanted, time) in wanted.iter().zip(["2023-11-14T22:13:20Z", "2023-11-14T22:13:21Z"]) {
            let target = folder.join(time);
            let snapshot = format!("host/{id}/{time}");
            world.run(args!["restore", snapshot, "root.pxar", target, "--repository", "store"]);
            assert_same_entries(wanted, &list(&target));
        }
        fs::remove_dir_all(&folder).unwrap();
        Ok(())
    });
    if let Err(error) = result {
        panic!("CAPSTAN_TEST_SEED={seed}: {error}");
    }
    world.run(args!["datastore", "verify", "store"]);
}
