//! The mark of chunks that may not be durable: when it is there, what it costs, who removes it.

use datastore::chunk_store::SyncLevel;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::testing::{CallKind, CrashMode};
use datastore::unsynced::MARK_PREFIX;
use datastore::{DataBlob, Digest, gc};

use crate::world::{OWNER, World, back_up, content, name, noise};

const FIRST: &str = "host/elsa/2024-01-01T00:00:00Z";
const SECOND: &str = "host/elsa/2024-01-02T00:00:00Z";

fn marks(world: &World) -> usize {
    let files = world.fs.files();
    files.iter().filter(|path| path.to_string_lossy().contains(MARK_PREFIX)).count()
}

/// A backup that has stored one new chunk.
fn begun(world: &World) -> SnapshotWriter {
    let path = name("", SECOND).1;
    let store = world.store();
    let group = GroupWriter::open(&store, &name("", SECOND).0, path.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_backup(&group, path.time()).unwrap();
    let piece = noise(77, 500);
    let blob = DataBlob::encode(&piece, None, true).unwrap();
    writer.insert_chunk(&Digest::of(&piece), &blob, 500).unwrap();
    writer
}

fn collect(world: &World) {
    let options = gc::Options { atime_safety_check: false, threads: 1, ..gc::Options::default() };
    gc::collect(&world.store(), &options, &Silent).unwrap();
}

#[test]
fn a_mark_is_there_only_while_something_is_not_durable() {
    let world = World::new(SyncLevel::Filesystem);
    back_up(&world.store(), &name("", FIRST), &content(1)).unwrap();
    assert_eq!(marks(&world), 0, "finished");
    let writer = begun(&world);
    assert_eq!(marks(&world), 1, "writing");
    drop(writer);
    assert_eq!(marks(&world), 0, "given up, and synced all the same");
}

/// The mark is durable before the first chunk is there in any way.
#[test]
fn no_crash_leaves_a_chunk_without_a_mark() {
    let mut world = World::new(SyncLevel::Filesystem);
    world.fs.checkpoint();
    std::mem::forget(begun(&world));
    let journal = world.fs.journal();
    let chunk = Digest::of(&noise(77, 500)).to_string();
    let mut with_chunk = 0;
    for n in 0..=journal.len() {
        for seed in 0..20 {
            world.switch_on(journal.crash_at(n, CrashMode::Random, seed));
            let files = world.fs.files();
            if files.iter().any(|path| path.to_string_lossy().contains(&chunk)) {
                with_chunk += 1;
                assert_eq!(marks(&world), 1, "before {n} ({}), seed {seed}", journal.what(n));
            }
        }
    }
    assert!(with_chunk > 0);
}

#[test]
fn a_collector_leaves_the_mark_of_another_handle_alone_and_removes_a_dead_one() {
    let mut world = World::new(SyncLevel::Filesystem);
    let writer = begun(&world);
    collect(&world);
    assert_eq!(marks(&world), 1, "somebody in this process is writing");
    let image = world.fs.image();
    drop(writer);
    world.switch_on(image);
    assert_eq!(marks(&world), 1, "the machine died meanwhile");
    collect(&world);
    assert_eq!(marks(&world), 0);
}

/// What is there is not read unless there is a reason.
#[test]
fn a_repeated_backup_reads_no_chunks() {
    let world = World::new(SyncLevel::Filesystem);
    back_up(&world.store(), &name("", FIRST), &content(1)).unwrap();
    let other = name("", "host/other/2024-01-01T00:00:00Z");
    let reads = |world: &World| {
        let calls = world.fs.calls();
        let is_read = |call: &&datastore::testing::Call| {
            call.kind == CallKind::Read && call.path.to_string_lossy().contains("/.chunks/")
        };
        calls.iter().filter(is_read).count()
    };
    world.fs.note_calls();
    back_up(&world.store(), &other, &content(1)).unwrap();
    assert_eq!(reads(&world), 0);
    // Somebody else's mark makes the same chunks suspect.
    let mark = world.base().canonicalize().unwrap().join(format!("{MARK_PREFIX}0123"));
    drop(world.fs.storage().create_new(&mark, 0o644).unwrap());
    let other = name("", "host/third/2024-01-01T00:00:00Z");
    back_up(&world.store(), &other, &content(1)).unwrap();
    assert_eq!(reads(&world), 5, "each chunk once");
}
