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

/// The reads of chunks that a backup of what is there already costs beside a mark of this name, if mark
/// and chunks were written at these times.
fn reads_beside(mark: &str, mark_time: i64, chunk_time: i64) -> (usize, World) {
    let world = World::new(SyncLevel::Filesystem);
    back_up(&world.store(), &name("", FIRST), &content(1)).unwrap();
    let base = world.base().canonicalize().unwrap();
    drop(world.fs.storage().create_new(&base.join(mark), 0o644).unwrap());
    world.fs.set_times("/.chunks/", chunk_time);
    world.fs.set_times(MARK_PREFIX, mark_time);
    world.fs.note_calls();
    let other = name("", "host/other/2024-01-01T00:00:00Z");
    back_up(&world.store(), &other, &content(1)).unwrap();
    let is_read = |call: &&datastore::testing::Call| {
        call.kind == CallKind::Read && call.path.to_string_lossy().contains("/.chunks/")
    };
    (world.fs.calls().iter().filter(is_read).count(), world)
}

/// A backup that was killed a month ago must not make every backup read all chunks of that month.
#[test]
fn a_mark_does_not_outlive_its_owner() {
    const DAY: i64 = 86_400;
    let now = datastore::time::now();
    let open = format!("{MARK_PREFIX}0123");
    let closed = format!("{open}-until-{}", now - 20 * DAY);
    // (mark, when it was made, when the chunks were written, whether they are suspect)
    for (mark, since, written, is_suspect) in [
        (&open, now - 30 * DAY, now - 32 * DAY, false),
        (&open, now - 30 * DAY, now - 30 * DAY, true),
        (&open, now - 30 * DAY, now, true),
        (&closed, now - 30 * DAY, now - 32 * DAY, false),
        (&closed, now - 30 * DAY, now - 25 * DAY, true),
        (&closed, now - 30 * DAY, now - 20 * DAY, true),
        (&closed, now - 30 * DAY, now - 18 * DAY, false),
        (&format!("{open}-until-soon"), now - 30 * DAY, now - 18 * DAY, true),
    ] {
        let (reads, world) = reads_beside(mark, since, written);
        assert_eq!(reads > 0, is_suspect, "{mark} {since} {written}");
        assert_eq!(marks(&world), 1);
        let closed = world.fs.files().iter().any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            name.starts_with(&open) && name.contains("-until-")
        });
        assert!(closed, "nobody else writes, so {mark} is closed");
        collect(&world);
        assert_eq!(marks(&world), 0, "{mark}");
    }
}

/// After a power cut a machine without a clock of its own does not know how late it is: a mark from the
/// future says so.
#[test]
fn a_mark_is_not_closed_by_a_clock_that_was_set_back() {
    const DAY: i64 = 86_400;
    let now = datastore::time::now();
    let open = format!("{MARK_PREFIX}0123");
    let (reads, world) = reads_beside(&open, now + 10 * DAY, now + 12 * DAY);
    assert!(reads > 0);
    assert!(world.fs.files().iter().any(|path| path.ends_with(&open)));
}

/// A process that writes somewhere keeps marks open: one of them may be its own.
#[test]
fn a_mark_is_not_closed_while_another_process_writes() {
    let world = World::new(SyncLevel::Filesystem);
    back_up(&world.store(), &name("", FIRST), &content(1)).unwrap();
    let base = world.base().canonicalize().unwrap();
    let mark = base.join(format!("{MARK_PREFIX}0123"));
    drop(world.fs.storage().create_new(&mark, 0o644).unwrap());
    let script = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_SH); print(flush=True); sys.stdin.read()";
    let mut other = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(base.join(".lock"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let said = other.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(said), &mut line).unwrap();
    drop(begun(&world));
    assert!(world.fs.files().contains(&mark));
    drop(other.stdin.take());
    other.wait().unwrap();
    drop(begun(&world));
    assert!(!world.fs.files().contains(&mark));
    assert_eq!(marks(&world), 1);
}

/// A mark that outlived the session it was made for, and was closed, covers nothing that comes later.
#[test]
fn a_closed_mark_is_replaced_by_a_new_one() {
    let world = World::new(SyncLevel::Filesystem);
    let (store, chunk) = (world.store(), |seed| noise(seed, 500));
    let insert = |content: &[u8]| {
        let blob = DataBlob::encode(content, None, true).unwrap();
        store.chunks().insert(&Digest::of(content), &blob).unwrap();
    };
    insert(&chunk(1));
    let own =
        || world.fs.files().into_iter().find(|path| path.to_string_lossy().contains(MARK_PREFIX));
    let mark = own().unwrap();
    let closed = mark.with_file_name("closed");
    world.fs.storage().rename(&mark, &closed).unwrap();
    insert(&chunk(2));
    assert!(own().is_some_and(|path| path != mark));
}

/// As a restore from tape: chunks first, the session long after. What was lost in between and was told
/// to somebody else meanwhile is not believed.
#[test]
fn chunks_that_were_stored_before_the_session_are_its_own() {
    let world = World::new(SyncLevel::Filesystem);
    let store = world.store();
    let path = name("", FIRST);
    let pieces: Vec<Vec<u8>> = (0..3).map(|seed| noise(seed, 500)).collect();
    for piece in &pieces {
        let blob = DataBlob::encode(piece, None, true).unwrap();
        store.chunks().insert(&Digest::of(piece), &blob).unwrap();
    }
    world.fs.lose_unsynced_data();
    // Somebody else syncs the file system and is told.
    let chunks = store.chunks().dir();
    assert!(world.fs.storage().open_filesystem(chunks).unwrap().sync().is_err());
    let group = GroupWriter::open(&store, &path.0, path.1.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_restore(&group, path.1.time()).unwrap();
    let entries: Vec<(u64, Digest)> = pieces.iter().map(|piece| (500, Digest::of(piece))).collect();
    let mut manifest = datastore::Manifest::new(&path.1);
    let file =
        writer.add_dynamic_index("a.pxar.didx", &entries, datastore::CryptMode::None).unwrap();
    manifest.add(file).unwrap();
    assert!(writer.finish_restore(manifest).is_err());
    drop((writer, group));
    assert_eq!(marks(&world), 1, "left for a collector");
}

/// The lost chunk may be one that the reference wrote, which leaves no marks.
#[test]
fn a_failed_sync_leaves_a_mark_even_if_nothing_was_written() {
    let world = World::new(SyncLevel::Filesystem);
    back_up(&world.store(), &name("", FIRST), &content(1)).unwrap();
    let lost = world.store().chunks().path(&Digest::of(&noise(5, 500)));
    let blob = DataBlob::encode(&noise(5, 500), None, true).unwrap();
    let other = name("", "host/other/2024-01-01T00:00:00Z");
    let group = GroupWriter::open(&world.store(), &other.0, other.1.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_backup(&group, other.1.time()).unwrap();
    let mut file = world.fs.storage().create_new(&lost, 0o644).unwrap();
    file.write_all(blob.as_bytes()).unwrap();
    world.fs.lose_unsynced_data();
    assert!(writer.reuse_chunk(&Digest::of(&noise(5, 500))).unwrap(), "nobody knows yet");
    let entries = [(500, Digest::of(&noise(5, 500)))];
    let mut manifest = datastore::Manifest::new(&other.1);
    let file =
        writer.add_dynamic_index("a.pxar.didx", &entries, datastore::CryptMode::None).unwrap();
    manifest.add(file).unwrap();
    assert!(writer.finish(manifest).is_err());
    drop((writer, group));
    assert_eq!(marks(&world), 1);
    // In a new process, too.
    let group = GroupWriter::open(&world.store(), &other.0, other.1.group(), OWNER).unwrap();
    let writer = SnapshotWriter::begin_backup(&group, other.1.time()).unwrap();
    assert!(!writer.reuse_chunk(&Digest::of(&noise(5, 500))).unwrap());
}
