//! Verifying a store: which snapshots are looked at, in which order, and what the verdicts are worth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod small_store;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datastore::progress::{Progress, Silent};
use datastore::scope::Scope;
use datastore::snapshot::reader::load_manifest;
use datastore::verify::{
    self, Observer, Options, Selection, SkipVerified, SnapshotReport, Summary, TaskName,
};
use datastore::{CryptConfig, DataBlob, Digest, Error, Namespace, SnapshotPath};

use small_store::{SmallStore, ns, snapshot};

const FIRST: &str = "host/elsa/2024-01-01T00:00:00Z";
const SECOND: &str = "host/elsa/2024-01-02T00:00:00Z";

#[derive(Default)]
struct Log {
    begun: Vec<String>,
    reports: Vec<SnapshotReport>,
}

impl Observer for Log {
    fn begin(&mut self, namespace: &Namespace, snapshot: &SnapshotPath) {
        self.begun.push(datastore::hierarchy::qualified_name(namespace, snapshot));
    }

    fn done(&mut self, report: SnapshotReport) {
        assert_eq!(report.ok, report.errors.is_empty());
        assert_eq!(report.ok, report.error_count == 0);
        self.reports.push(report);
    }
}

fn at(time: i64) -> TaskName {
    TaskName { upid: format!("UPID:elsa:00000001:00000002:00000000:{time:08X}:verify:s:root@pam:") }
}

fn run(world: &SmallStore, selection: &Selection, skip: SkipVerified) -> (Summary, Log) {
    run_with(world, selection, skip, Vec::new(), None)
}

fn run_with(
    world: &SmallStore,
    selection: &Selection,
    skip: SkipVerified,
    keys: Vec<Arc<CryptConfig>>,
    record: Option<TaskName>,
) -> (Summary, Log) {
    let options = Options { keys, threads: 3, record };
    let mut log = Log::default();
    let summary =
        verify::run(&world.store, selection, skip, &options, &Silent, &mut (), &mut log).unwrap();
    (summary, log)
}

fn everything() -> Selection {
    Selection::default()
}

#[test]
fn groups_of_all_namespaces_are_one_list_and_the_newest_comes_first() {
    let world = SmallStore::new();
    for (namespace, name) in [
        ("", "vm/100/2024-01-01T00:00:00Z"),
        ("", FIRST),
        ("", SECOND),
        ("x", FIRST),
        ("x/y", "ct/5/2024-01-01T00:00:00Z"),
        ("", "host/benchmark/2024-01-01T00:00:00Z"),
    ] {
        world.back_up(namespace, name);
    }
    let names = |selection: &Selection| run(&world, selection, SkipVerified::No).1.begun;
    let wanted = [
        "ns/x/ns/y/ct/5/2024-01-01T00:00:00Z",
        "host/benchmark/2024-01-01T00:00:00Z",
        SECOND,
        FIRST,
        "ns/x/host/elsa/2024-01-01T00:00:00Z",
        "vm/100/2024-01-01T00:00:00Z",
    ];
    assert_eq!(names(&everything()), wanted);
    let scope = |text: &str, depth| Scope { namespace: ns(text), depth };
    let shallow = Selection { scope: scope("x", Some(0)), group: None };
    assert_eq!(names(&shallow), wanted[4..5]);
    let one = Selection { scope: scope("", Some(1)), group: Some("host/elsa".parse().unwrap()) };
    assert_eq!(names(&one), wanted[2..5]);
    let (summary, log) = run(&world, &everything(), SkipVerified::No);
    assert!(summary.is_ok());
    assert_eq!((summary.snapshots, summary.skipped, summary.chunks), (6, 1, 4));
    assert!(log.reports[1].skipped.is_some());
    // Nothing to look at is not "all is well".
    let options = Options { keys: vec![], threads: 1, record: None };
    for selection in [
        Selection { scope: scope("none", None), group: None },
        Selection { group: Some("vm/1".parse().unwrap()), ..everything() },
    ] {
        let result = verify::run(
            &world.store,
            &selection,
            SkipVerified::No,
            &options,
            &Silent,
            &mut (),
            &mut Log::default(),
        );
        assert!(result.unwrap_err().is_missing());
    }
}

#[test]
fn what_cannot_be_listed_fails_the_run_and_the_rest_is_verified() {
    let world = SmallStore::new();
    world.back_up("", FIRST);
    world.back_up("x", FIRST);
    world.back_up("z", FIRST);
    std::fs::write(world.base.join("ns/x/vm"), "no folder").unwrap();
    std::fs::write(world.base.join("ns/z/ns"), "no folder").unwrap();
    let (summary, log) = run(&world, &everything(), SkipVerified::No);
    assert!(!summary.is_ok());
    assert_eq!((summary.failed, summary.unlisted.len()), (0, 2));
    assert_eq!(log.begun, [FIRST, "ns/z/host/elsa/2024-01-01T00:00:00Z"]);
}

#[test]
fn results_are_recorded_and_what_was_verified_is_left_out() {
    let world = SmallStore::new();
    world.back_up("", FIRST);
    world.back_up("", SECOND);
    std::fs::remove_file(world.store.chunks().path(&Digest::of(FIRST.as_bytes()))).unwrap();
    let now = datastore::time::now();
    let old = Some(at(now - 40 * 86_400));
    let (summary, _) = run_with(&world, &everything(), SkipVerified::Ever, vec![], old);
    assert_eq!((summary.failed, summary.skipped), (1, 0));
    let state = |name: &str| {
        let manifest = load_manifest(&world.store, &Namespace::root(), &snapshot(name)).unwrap();
        serde_json::to_value(manifest.verify_state().unwrap().state).unwrap()
    };
    assert_eq!((state(FIRST), state(SECOND)), ("failed".into(), "ok".into()));
    // Also the one that failed.
    let (summary, log) = run(&world, &everything(), SkipVerified::Ever);
    assert_eq!((summary.failed, summary.skipped, summary.chunks), (0, 2, 0));
    assert!(log.reports[1].skipped.as_ref().unwrap().contains("failed"), "{:?}", log.reports);
    let (summary, _) = run(&world, &everything(), SkipVerified::Within { days: 40 });
    assert_eq!(summary.skipped, 2);
    let (summary, _) = run(&world, &everything(), SkipVerified::Within { days: 39 });
    assert_eq!((summary.failed, summary.skipped), (1, 0));
    // A run that records nothing leaves the state as it was.
    assert_eq!(state(FIRST), "failed");
    // A backup of the missing content heals the old snapshot too.
    world.back_up_chunks("", "host/elsa/2024-01-03T00:00:00Z", &[FIRST.as_bytes()], None);
    let (summary, _) = run_with(&world, &everything(), SkipVerified::No, vec![], Some(at(now)));
    assert!(summary.is_ok());
    assert_eq!(state(FIRST), "ok");
}

#[test]
fn a_damaged_chunk_is_set_aside_and_counts_as_often_as_it_is_needed() {
    let world = SmallStore::new();
    let (good, bad): (&[u8], &[u8]) = (b"good", b"bad");
    world.back_up_chunks("", FIRST, &[bad, good, bad, bad], None);
    world.back_up_chunks("", SECOND, &[good, bad], None);
    let path = world.store.chunks().path(&Digest::of(bad));
    // Sound as a blob, but of other content.
    std::fs::write(&path, DataBlob::encode(b"abd", None, true).unwrap().as_bytes()).unwrap();
    let (summary, log) = run_with(&world, &everything(), SkipVerified::No, vec![], Some(at(1)));
    assert_eq!((summary.failed, summary.chunks), (2, 1));
    assert_eq!(log.reports[0].error_count, 1);
    assert_eq!(log.reports[1].error_count, 3);
    assert!(log.reports[1].errors[0].contains("known to be damaged (3 references)"));
    assert!(!path.exists() && path.with_extension("0.bad").exists());
    // A backup that has the content heals all.
    world.back_up_chunks("", "host/elsa/2024-01-03T00:00:00Z", &[bad], None);
    assert!(run(&world, &everything(), SkipVerified::No).0.is_ok());
}

/// A chunk that was read without its key must not pass for one whose content was proved.
#[test]
fn a_chunk_read_without_its_key_is_read_again_with_it() {
    let world = SmallStore::new();
    let key = Arc::new(CryptConfig::new([5; 32]).unwrap());
    let content: &[u8] = b"secret";
    world.back_up_chunks("", FIRST, &[content], Some(&key));
    world.back_up_chunks("", SECOND, &[content], Some(&key));
    // The newer one, which is read first, does not say which key made it.
    let root = Namespace::root();
    world
        .store
        .update_manifest(&root, &snapshot(SECOND), &mut |manifest| {
            manifest.unprotected.remove("key-fingerprint");
            Ok(())
        })
        .unwrap();
    let path = world.store.chunks().path(&key.digest(content));
    let other = DataBlob::encode(b"terces", Some(&key), true).unwrap();
    std::fs::write(&path, other.as_bytes()).unwrap();
    let keys = vec![Arc::clone(&key)];
    let (summary, log) = run_with(&world, &everything(), SkipVerified::No, keys, Some(at(1)));
    assert_eq!(summary.failed, 1);
    assert!(log.reports[0].ok, "{:?}", log.reports);
    assert!(!log.reports[1].ok, "{:?}", log.reports);
    assert!(!path.exists());
}

#[test]
fn an_unfinished_snapshot_is_skipped_while_it_is_written_and_told_when_it_is_not() {
    let world = SmallStore::new();
    world.back_up("x", FIRST);
    let writer = world.begin("x", SECOND);
    let (summary, log) = run(&world, &everything(), SkipVerified::No);
    assert!(summary.is_ok());
    assert!(log.reports[0].skipped.is_some() && log.reports[1].skipped.is_none());
    drop(writer);
    world.leave_unfinished(&format!("ns/x/{SECOND}"));
    let (summary, log) = run_with(&world, &everything(), SkipVerified::No, vec![], Some(at(1)));
    assert_eq!(summary.failed, 1);
    let error = &log.reports[0].errors[0];
    let command = format!("'capstan snapshot forget {SECOND} --ns x'");
    assert!(error.contains(&command), "{error}");
}

/// Asks for an end when it is asked for the so manyth time.
struct AbortAt(AtomicUsize, usize);

impl Progress for AbortAt {
    fn is_aborted(&self) -> bool {
        self.0.fetch_add(1, Ordering::SeqCst) >= self.1
    }
}

#[test]
fn an_aborted_run_judges_only_what_it_has_read() {
    let world = SmallStore::new();
    let contents: Vec<Vec<u8>> = (0..20u8).map(|number| vec![number; 100]).collect();
    let contents: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
    world.back_up_chunks("", FIRST, &contents[..10], None);
    world.back_up_chunks("", SECOND, &contents[10..], None);
    let mut verdicts = Vec::new();
    for limit in 0..40 {
        let options = Options { keys: vec![], threads: 2, record: Some(at(limit as i64 + 1)) };
        let abort = AbortAt(AtomicUsize::new(0), limit);
        let mut log = Log::default();
        let selection = everything();
        let result = verify::run(
            &world.store,
            &selection,
            SkipVerified::No,
            &options,
            &abort,
            &mut (),
            &mut log,
        );
        assert!(log.reports.iter().all(|report| report.ok));
        match result {
            Err(error) => assert!(matches!(error, Error::Aborted)),
            Ok(summary) => assert_eq!(summary.chunks, 20),
        }
        verdicts.push(log.reports.len());
    }
    assert!(verdicts.is_sorted() && verdicts[0] == 0 && verdicts[39] == 2, "{verdicts:?}");
}
