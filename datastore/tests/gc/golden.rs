//! The reference's own store.

use std::fs;
use std::path::{Path, PathBuf};

use datastore::gc;

use crate::world::World;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Everything in a store of the reference is needed, whatever its times say, and the reference's last
/// status says the same numbers as ours.
#[test]
fn a_store_of_the_reference_keeps_everything() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(PathBuf::from) else {
        eprintln!("note: CAPSTAN_GOLDEN is not set; this test has nothing to do");
        return;
    };
    let world = World::new();
    copy(&golden.join("datastore"), world.store.base());
    let theirs = gc::status(&world.store).unwrap().expect("the reference wrote a status");
    let before: Vec<String> = world.listing().into_iter().map(|(name, _)| name).collect();
    for name in before.iter().filter(|name| name.starts_with(".chunks/")) {
        world.set_atime(name, 1);
    }
    let ours = world.collect().unwrap();
    let after: Vec<String> = world.listing().into_iter().map(|(name, _)| name).collect();
    assert_eq!(before, after);
    assert_eq!(ours.index_file_count, theirs.index_file_count);
    assert_eq!(ours.index_data_bytes, theirs.index_data_bytes);
    assert_eq!((ours.disk_chunks, ours.disk_bytes), (theirs.disk_chunks, theirs.disk_bytes));
    assert!(world.ear.warnings.lock().unwrap().is_empty());
}
