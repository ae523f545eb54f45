//! What the table says beside who may run: which chunks survive, what a reader sees, what is left.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use datastore::snapshot::reader::load_manifest;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::testing::{Action, When};
use datastore::{CryptMode, DataBlob, Digest, Manifest, Namespace, gc, progress::Silent};

use crate::acts::{Act, Outcome, bk, collect, fo, gm, gs, pr, ra, ri, rm, um, ve};
use crate::holder::{Holder, Where};
use crate::world::{OLD, OWNER, REVIVED, Snapshot, World, image, new_model, path};

const SAME: Where = Where::SameProcess;
const LONG: Duration = Duration::from_secs(30);
const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn run(world: &World, act: Act) -> Outcome {
    act.run(&world.store, 'B', &mut || {})
}

#[track_caller]
fn runs(world: &World, act: Act) {
    assert_eq!(run(world, act), Outcome::Done, "{act:?}");
}

#[track_caller]
fn is_locked(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Locked(_)), "{outcome:?}");
}

/// An operation in a thread of its own, held at a gate that the caller has set.
fn spawn(world: &World, act: Act) -> mpsc::Receiver<Outcome> {
    let (send, receive) = mpsc::channel();
    let store = Arc::clone(&world.store);
    std::thread::spawn(move || {
        let outcome = act.run(&store, 'C', &mut || {});
        drop(store);
        let _ = send.send(outcome);
    });
    receive
}

/// GM>FO, GM>PR: the newest snapshot of a listed group vanishes, and one that appeared since then
/// has its chunks. The group is listed again, or those chunks are lost.
fn newest_vanishes(remove: Act) {
    let world = World::new();
    let mut model = new_model();
    // Before the first index is opened: the group is listed.
    let holder = Holder::start(SAME, &world, gm(), 1);
    runs(&world, bk("a4"));
    model.insert("a4".into(), Snapshot::default());
    if remove == pr("a1") {
        runs(&world, bk("a5"));
        model.insert("a5".into(), Snapshot::default());
        runs(&world, fo("a4"));
        model.remove("a4");
        runs(&world, remove);
        for name in ["a1", "a2", "a3"] {
            model.remove(name);
        }
    } else {
        runs(&world, remove);
        model.remove(remove.on);
    }
    // As if the new snapshot had only named the chunks of the old one, as other clients do: nothing
    // but its index tells that they are needed.
    world.age_chunks(OLD);
    assert_eq!(holder.release(), Outcome::Done);
    world.check(&model);
}

#[test]
fn gm_fo_the_group_is_listed_again_when_its_newest_snapshot_vanished() {
    newest_vanishes(fo("a3"));
}

#[test]
fn gm_pr_the_group_is_listed_again_when_its_newest_snapshot_vanished() {
    newest_vanishes(pr("a1"));
}

/// GM>FO: an older one vanishes, and the rest of the group is marked.
#[test]
fn gm_fo_an_older_snapshot_that_vanished_is_passed_over() {
    let world = World::new();
    let holder = Holder::start(SAME, &world, gm(), 1);
    for name in ["a1", "a2"] {
        runs(&world, fo(name));
    }
    world.age_chunks(OLD);
    assert_eq!(holder.release(), Outcome::Done);
    let mut model = new_model();
    model.remove("a1");
    model.remove("a2");
    assert!(!world.chunk("never").exists());
    world.check(&model);
}

/// RI>FO: the chunks of a reader without a lock live as long as the cut-off says, and no longer.
#[test]
fn ri_fo_chunks_without_a_lock_live_until_the_cut_off() {
    let world = World::new();
    let holder = Holder::start(SAME, &world, ri("a1"), 0);
    runs(&world, fo("a1"));
    let own = ["a1".to_owned(), image("a1")];
    // Touched within the cut-off.
    own.iter().for_each(|content| world.age_chunk(content, Duration::from_secs(24 * 3600)));
    collect(&world.store).unwrap();
    assert!(own.iter().all(|content| world.chunk(content).exists()));
    own.iter().for_each(|content| world.age_chunk(content, OLD));
    collect(&world.store).unwrap();
    assert!(!own.iter().any(|content| world.chunk(content).exists()));
    assert_eq!(holder.release(), Outcome::Done);
    let mut model = new_model();
    model.remove("a1");
    world.check(&model);
}

/// RA>GS, RA>FO: who holds the snapshot's lock keeps its chunks, however old they are.
#[test]
fn ra_gs_chunks_of_a_snapshot_that_is_read_stay() {
    let world = World::new();
    let holder = Holder::start(SAME, &world, ra("a1"), 0);
    is_locked(&run(&world, fo("a1")));
    assert!(matches!(run(&world, pr("a1")), Outcome::Warned(_)));
    world.age_chunks(OLD);
    collect(&world.store).unwrap();
    assert_eq!(holder.release(), Outcome::Done);
    let mut model = new_model();
    model.remove("a2");
    world.check(&model);
}

/// GS>BK: the sweep has decided that a chunk goes, and a backup comes to use it: it waits for the end
/// of the decision and then writes the chunk anew.
#[test]
fn gs_bk_a_chunk_is_touched_first_and_kept_or_removed_first_and_written_anew() {
    for when in [When::Before, When::After] {
        let world = World::new();
        let chunk = world.chunk(REVIVED);
        let gate = world.stops.stop(Action::RemoveFile, when, move |path| path == chunk);
        let sweep = spawn(&world, gs());
        assert!(gate.wait_held(LONG));
        let backup = spawn(&world, bk("a4"));
        // Whoever said "it is there" now would be wrong.
        assert!(backup.recv_timeout(LONG_ENOUGH).is_err(), "the backup did not wait");
        gate.open();
        assert_eq!(sweep.recv_timeout(LONG), Ok(Outcome::Done));
        assert_eq!(backup.recv_timeout(LONG), Ok(Outcome::Done));
        let mut model = new_model();
        model.insert("a4".into(), Snapshot::default());
        world.check(&model);
    }
}

/// GS>BK, the other way round: the sweep has listed the folder, and the backup uses the chunk before
/// its turn has come. `gs_bk` in the table has it; here the chunk is looked at before the backup is
/// over and its index could tell.
#[test]
fn gs_bk_a_chunk_that_was_touched_after_the_listing_stays() {
    let world = World::new();
    let chunk = world.chunk(REVIVED);
    let folder = chunk.parent().unwrap().to_path_buf();
    let gate = world.stops.stop(Action::List, When::After, move |path| path == folder);
    let sweep = spawn(&world, gs());
    assert!(gate.wait_held(LONG));
    let backup = Holder::start(SAME, &world, bk("a4"), 2);
    gate.open();
    assert_eq!(sweep.recv_timeout(LONG), Ok(Outcome::Done));
    assert!(chunk.exists());
    assert_eq!(backup.release(), Outcome::Done);
    let mut model = new_model();
    model.insert("a4".into(), Snapshot::default());
    world.check(&model);
}

/// Two handles of one process exclude each other over a chunk as one handle does with itself.
#[test]
fn gs_bk_two_handles_of_one_process() {
    let world = World::new();
    let chunk = world.chunk(REVIVED);
    let gate = world.stops.stop(Action::RemoveFile, When::Before, move |path| path == chunk);
    let sweep = spawn(&world, gs());
    assert!(gate.wait_held(LONG));
    let (send, backup) = mpsc::channel();
    let other = world.fresh();
    assert!(!Arc::ptr_eq(&other, &world.store));
    std::thread::spawn(move || {
        let outcome = bk("a4").run(&other, 'C', &mut || {});
        drop(other);
        let _ = send.send(outcome);
    });
    let early = backup.recv_timeout(LONG_ENOUGH);
    gate.open();
    assert_eq!(sweep.recv_timeout(LONG), Ok(Outcome::Done));
    assert_eq!(early.or_else(|_| backup.recv_timeout(LONG)), Ok(Outcome::Done));
    let mut model = new_model();
    model.insert("a4".into(), Snapshot::default());
    world.check(&model);
}

/// BK>GM, BK>GS: whatever was touched since five minutes before a session began stays while it
/// runs, however long that is; and only that.
#[test]
fn bk_gm_chunks_younger_than_the_oldest_session_stay() {
    let world = World::new();
    // Long ago, so that the day of the cut-off is not what keeps them.
    let age = |seconds: i64| OLD + Duration::from_secs(u64::try_from(seconds).unwrap());
    // No index names its chunks yet.
    let holder = Holder::start(SAME, &world, bk("a4"), 2);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let begun = i64::try_from(now.as_secs()).unwrap() - i64::try_from(OLD.as_secs()).unwrap();
    world.store.process_lock().backdate_shared(begun);
    // Uploaded at the beginning of the session, or just before it by somebody else.
    world.age_chunk("a4", age(0));
    world.age_chunk(REVIVED, age(290));
    world.age_chunk(crate::world::DEAD, age(310));
    let status = gc::collect(
        &world.store,
        &gc::Options { atime_safety_check: true, ..gc::Options::default() },
        &Silent,
    )
    .unwrap();
    assert!(world.chunk("a4").exists() && world.chunk(REVIVED).exists());
    assert!(!world.chunk(crate::world::DEAD).exists());
    assert_eq!(status.removed_chunks, 1);
    assert_eq!(holder.release(), Outcome::Done);
    let mut model = new_model();
    model.insert("a4".into(), Snapshot::default());
    world.check(&model);
}

/// CI>CI: one session makes two indexes at once.
#[test]
fn ci_ci_two_archives_of_one_session() {
    let world = World::new();
    let snapshot = path("c1");
    let group = GroupWriter::open(&world.store, &Namespace::root(), snapshot.group(), OWNER);
    let writer = SnapshotWriter::begin_backup(&group.unwrap(), snapshot.time()).unwrap();
    let contents = crate::world::contents("c1");
    let insert = |content: &str| {
        let digest = Digest::of(content.as_bytes());
        let blob = DataBlob::encode(content.as_bytes(), None, true).unwrap();
        writer.insert_chunk(&digest, &blob, content.len() as u64).unwrap();
        (content.len() as u64, digest)
    };
    let entries: Vec<_> = contents.iter().map(|content| insert(content)).collect();
    let (size, image) = insert(&image("c1"));
    let none = CryptMode::None;
    let gate = world.stops.stop(Action::Rename, When::Before, |to| to.ends_with("data.didx"));
    let mut manifest = Manifest::new(&snapshot);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| writer.add_dynamic_index("data.didx", &entries, none));
        assert!(gate.wait_held(LONG));
        manifest
            .add(writer.add_fixed_index("disk.fidx", size, vec![image], none).unwrap())
            .unwrap();
        assert!(world.dir("c1").join("disk.fidx").exists());
        assert!(!world.dir("c1").join("data.didx").exists());
        gate.open();
        manifest.add(first.join().unwrap().unwrap()).unwrap();
    });
    let blob = DataBlob::encode(b"c1", None, true).unwrap();
    manifest.add(writer.add_blob("name.blob", &blob, none).unwrap()).unwrap();
    writer.finish(manifest).unwrap();
    drop(writer);
    let mut model = new_model();
    model.insert("c1".into(), Snapshot::default());
    world.check(&model);
}

/// BK>UM, BK>RM: from the manifest on, the snapshot can be seen and its notes be changed, although
/// the session has not let go of it; it cannot be removed or read under a lock yet.
#[test]
fn bk_um_works_as_soon_as_there_is_a_manifest() {
    let world = World::new();
    let manifest = world.dir("a4").join("index.json.blob");
    let gate = world.stops.stop(Action::Rename, When::After, move |path| path == manifest);
    let backup = spawn(&world, bk("a4"));
    assert!(gate.wait_held(LONG));
    runs(&world, rm("a4"));
    runs(&world, um("a4"));
    is_locked(&run(&world, fo("a4")));
    is_locked(&run(&world, ra("a4")));
    assert!(matches!(run(&world, ve("a4")), Outcome::Skipped(_)));
    gate.open();
    assert_eq!(backup.recv_timeout(LONG), Ok(Outcome::Done));
    let mut model = new_model();
    model.insert("a4".into(), Snapshot { notes: "B".into(), verified: false });
    world.check(&model);
}

/// BK>PR: a prune that would remove the running snapshot and its base leaves both and warns.
#[test]
fn bk_pr_the_running_snapshot_and_its_base_stay() {
    for place in [Where::SameProcess, Where::OtherProcess] {
        let world = World::new();
        // A newer snapshot that comes while the backup runs: put back by hand, for example.
        runs(&world, bk("a5"));
        let aside = world.base().parent().unwrap().join("aside");
        fs::rename(world.dir("a5"), &aside).unwrap();
        let holder = Holder::start(place, &world, bk("a4"), 2);
        fs::rename(&aside, world.dir("a5")).unwrap();
        let Outcome::Warned(warning) = run(&world, pr("a1")) else { panic!("no warning") };
        assert!(warning.contains(&path("a4").to_string()), "{warning}");
        assert!(warning.contains(&path("a3").to_string()), "{warning}");
        assert_eq!(holder.release(), Outcome::Done);
        let mut model = new_model();
        for gone in ["a1", "a2"] {
            model.remove(gone);
        }
        for new in ["a4", "a5"] {
            model.insert(new.into(), Snapshot::default());
        }
        world.check(&model);
    }
}

/// FO>BK: the last snapshot of a group goes while a new backup has the group: the group stays, with
/// its owner.
#[test]
fn fo_bk_a_group_that_is_being_backed_up_to_is_left_alone() {
    let world = World::new();
    // After the first unlink: without its manifest it is no base.
    let forget = Holder::start(SAME, &world, fo("b1"), 1);
    let backup = Holder::start(SAME, &world, bk("b2"), 0);
    assert_eq!(forget.release(), Outcome::Done);
    assert!(!world.dir("b1").exists() && world.dir("b2").exists());
    assert_eq!(world.store.owner(&Namespace::root(), path("b1").group()).unwrap(), OWNER);
    assert_eq!(backup.release(), Outcome::Done);
    let mut model = new_model();
    model.remove("b1");
    model.insert("b2".into(), Snapshot::default());
    world.check(&model);
}

/// FO: without anybody there, the group goes with its last snapshot.
#[test]
fn fo_removes_a_group_that_nobody_needs() {
    let world = World::new();
    runs(&world, fo("b1"));
    assert!(!world.dir("b1").parent().unwrap().exists());
    let mut model = new_model();
    model.remove("b1");
    world.check(&model);
}

/// UM>RM, RM>UM: a reader sees the old manifest or the new one, whole.
#[test]
fn um_rm_a_reader_sees_the_old_or_the_new_manifest() {
    let world = World::new();
    let notes = || {
        let manifest = load_manifest(&world.store, &Namespace::root(), &path("a3")).unwrap();
        manifest.notes().unwrap_or_default().to_owned()
    };
    let writer = Holder::start(SAME, &world, um("a3"), 1);
    assert_eq!(notes(), "");
    let gate = world.stops.stop(Action::Open, When::After, |p| p.ends_with("index.json.blob"));
    std::thread::scope(|scope| {
        let reader = scope.spawn(notes);
        assert!(gate.wait_held(LONG));
        assert_eq!(writer.release(), Outcome::Done);
        assert_eq!(notes(), "A");
        gate.open();
        // It had the old one open.
        assert_eq!(reader.join().unwrap(), "");
    });
    let mut model = new_model();
    model.insert("a3".into(), Snapshot { notes: "A".into(), verified: false });
    world.check(&model);
}

/// VE>GS, VE>GM: a chunk that verification sets aside under the eyes of a sweep disturbs neither, and
/// the next backup heals the snapshot.
#[test]
fn ve_gs_a_chunk_may_be_set_aside_under_the_eyes_of_a_sweep() {
    let world = World::new();
    let chunk = world.chunk("a1");
    let good = fs::read(&chunk).unwrap();
    let mut bad = good.clone();
    bad[13] ^= 1;
    fs::write(&chunk, bad).unwrap();
    let folder = chunk.parent().unwrap().to_path_buf();
    let gate = world.stops.stop(Action::List, When::After, move |path| path == folder);
    let sweep = spawn(&world, gs());
    assert!(gate.wait_held(LONG));
    let Outcome::Failed(found) = run(&world, ve("a1")) else { panic!("nothing was found") };
    assert!(found.contains("data.didx"), "{found}");
    assert!(!chunk.exists());
    gate.open();
    assert_eq!(sweep.recv_timeout(LONG), Ok(Outcome::Done));
    assert!(chunk.with_extension("0.bad").exists(), "an index names it, and nothing replaced it");
    let digest = Digest::of(b"a1");
    let blob = DataBlob::from_bytes(good, &"chunk").unwrap();
    assert!(!world.store.chunks().insert(&digest, &blob).unwrap().duplicate);
    let mut model = new_model();
    model.get_mut("a1").unwrap().verified = true;
    world.check(&model);
}

/// VE>VE: the later result is the one that stays.
#[test]
fn ve_ve_the_last_result_wins() {
    let world = World::new();
    let first = Holder::start(SAME, &world, ve("a3"), 0);
    // The second one finds a damaged chunk, the first one has not looked at it yet.
    let chunk = world.chunk("a3");
    let good = fs::read(&chunk).unwrap();
    fs::write(&chunk, b"").unwrap();
    assert!(matches!(run(&world, ve("a3")), Outcome::Failed(_)));
    fs::write(&chunk, good).unwrap();
    let state = || {
        let manifest = load_manifest(&world.store, &Namespace::root(), &path("a3")).unwrap();
        format!("{:?}", manifest.verify_state().unwrap().state)
    };
    assert_eq!(state(), "Failed");
    assert_eq!(first.release(), Outcome::Done);
    assert_eq!(state(), "Ok");
}

/// Locks end with their process, however it ends.
#[test]
fn a_process_that_is_killed_holds_nothing() {
    for (act, stop) in [(bk("a4"), 3), (gm(), 1), (fo("a1"), 0), (um("a3"), 1), (ra("a3"), 0)] {
        let world = World::new();
        let mut holder = Holder::start(Where::OtherProcess, &world, act, stop);
        let Holder::Process { child, .. } = &mut holder else { unreachable!() };
        child.kill().unwrap();
        child.wait().unwrap();
        drop(holder);
        collect(&world.store).unwrap();
        runs(&world, bk("a5"));
        runs(&world, um("a3"));
        runs(&world, fo("a3"));
        runs(&world, ra("a1"));
        runs(&world, pr("a1"));
    }
}
