//! Pruning a store: what a plan says goes and nothing else, whatever happens between the plan and
//! the removal.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod small_store;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use datastore::lock::Mode;
use datastore::progress::{Progress, Silent};
use datastore::prune::{GroupPlan, KeepOptions, Mark, Reason, Removals, execute, plan, plan_group};
use datastore::scope::Scope;
use datastore::{Error, Namespace, SnapshotReader};
use jiff::tz::TimeZone;

use small_store::{SmallStore, ns, snapshot};

const GROUP: &str = "host/elsa";

fn day(day: u32) -> String {
    format!("{GROUP}/2024-01-{day:02}T12:00:00Z")
}

fn with_days(days: std::ops::RangeInclusive<u32>) -> SmallStore {
    let world = SmallStore::new();
    for number in days {
        world.back_up("", &day(number));
    }
    world
}

fn keep_last(last: u64) -> KeepOptions {
    KeepOptions { last, ..KeepOptions::default() }
}

fn plan_of(world: &SmallStore, keep: KeepOptions) -> GroupPlan {
    let group = GROUP.parse().unwrap();
    let root = Namespace::root();
    plan_group(&world.store, &root, &group, &keep, &TimeZone::UTC, &mut ()).unwrap()
}

/// Keeps warnings, and aborts when it is asked for the so manyth time.
#[derive(Default)]
struct Watch {
    warnings: Mutex<Vec<String>>,
    asked: AtomicUsize,
    abort_at: usize,
}

impl Progress for Watch {
    fn is_aborted(&self) -> bool {
        self.abort_at > 0 && self.asked.fetch_add(1, Ordering::SeqCst) + 1 >= self.abort_at
    }

    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_owned());
    }
}

#[test]
fn a_plan_changes_nothing_and_its_execution_removes_what_it_says() {
    let world = with_days(1..=5);
    world.leave_unfinished(&day(3).replace("T12", "T13"));
    world.leave_unfinished(&day(6));
    let plan = plan_of(&world, keep_last(2));
    let marks: Vec<Mark> = plan.snapshots.iter().map(|planned| planned.mark).collect();
    assert_eq!(marks.iter().filter(|mark| mark.keeps()).count(), 3);
    assert_eq!(marks[3], Mark::Remove(Reason::Unfinished));
    assert_eq!(marks[6], Mark::KeepPartial);
    assert_eq!(world.times("", GROUP).len(), 7);
    let done = execute(&world.store, &plan, &Silent).unwrap();
    assert_eq!(done, Removals { removed: 4, failed: 0 });
    let left = ["2024-01-04T12:00:00Z", "2024-01-05T12:00:00Z", "2024-01-06T12:00:00Z"];
    assert_eq!(world.times("", GROUP), left);
    // Without options nothing goes.
    assert_eq!(plan_of(&world, KeepOptions::default()).removals().count(), 0);
}

#[test]
fn what_cannot_be_removed_is_a_warning_and_the_rest_goes() {
    let world = with_days(1..=6);
    let plan = plan_of(&world, keep_last(1));
    let root = Namespace::root();
    // After the plan: somebody reads one, protects one, removes one.
    let reader = SnapshotReader::open(&world.store, &root, &snapshot(&day(1))).unwrap();
    world.store.set_protected(&root, &snapshot(&day(2)), true).unwrap();
    world.store.forget_snapshot(&root, &snapshot(&day(3))).unwrap();
    let watch = Watch::default();
    let done = execute(&world.store, &plan, &watch).unwrap();
    assert_eq!(done, Removals { removed: 2, failed: 3 });
    let warnings = watch.warnings.lock().unwrap();
    assert!(warnings[0].contains("2024-01-01") && warnings[0].contains("in use"), "{warnings:?}");
    assert!(
        warnings[1].contains("2024-01-02") && warnings[1].contains("protected"),
        "{warnings:?}"
    );
    assert!(warnings[2].contains("2024-01-03"), "{warnings:?}");
    drop(reader);
    let left = ["2024-01-01T12:00:00Z", "2024-01-02T12:00:00Z", "2024-01-06T12:00:00Z"];
    assert_eq!(world.times("", GROUP), left);
}

/// A restore from tape may bring an old snapshot while we plan.
#[test]
fn a_snapshot_that_was_finished_since_the_plan_stays() {
    let world = with_days(3..=4);
    world.leave_unfinished(&day(1));
    let plan = plan_of(&world, keep_last(2));
    assert_eq!(plan.removals().count(), 1);
    std::fs::remove_dir_all(world.base.join(day(1))).unwrap();
    let path = snapshot(&day(1));
    let root = Namespace::root();
    let source = SnapshotReader::open(&world.store, &root, &snapshot(&day(3))).unwrap();
    let index = std::fs::read(world.base.join(day(3)).join("root.pxar.didx")).unwrap();
    let group =
        datastore::snapshot::GroupWriter::open(&world.store, &root, path.group(), "root@pam")
            .unwrap();
    let writer = datastore::snapshot::SnapshotWriter::begin_restore(&group, path.time()).unwrap();
    let mut manifest = datastore::Manifest::new(&path);
    manifest.add(source.manifest().files()[0].clone()).unwrap();
    writer.copy_file("root.pxar.didx", &mut &index[..]).unwrap();
    writer.finish_restore(manifest).unwrap();
    drop((writer, group));
    let watch = Watch::default();
    let done = execute(&world.store, &plan, &watch).unwrap();
    assert_eq!(done, Removals { removed: 0, failed: 1 });
    assert!(watch.warnings.lock().unwrap()[0].contains("finished now"));
    assert_eq!(world.times("", GROUP).len(), 3);
}

#[test]
fn a_busy_snapshot_is_not_even_looked_into() {
    let world = with_days(1..=2);
    world.leave_unfinished(&day(1).replace("T12", "T11"));
    let plan = plan_of(&world, keep_last(1));
    let root = Namespace::root();
    let leftover = snapshot(&day(1).replace("T12", "T11"));
    let guard = world.store.locks().snapshot(&root, &leftover, Mode::Exclusive).unwrap();
    assert_eq!(execute(&world.store, &plan, &Silent).unwrap(), Removals { removed: 1, failed: 1 });
    drop(guard);
    assert_eq!(world.times("", GROUP), ["2024-01-01T11:00:00Z", "2024-01-02T12:00:00Z"]);
}

#[test]
fn an_aborted_run_has_removed_the_oldest() {
    let world = with_days(1..=5);
    let plan = plan_of(&world, keep_last(1));
    let watch = Watch { abort_at: 3, ..Watch::default() };
    assert!(matches!(execute(&world.store, &plan, &watch), Err(Error::Aborted)));
    assert_eq!(world.times("", GROUP)[0], "2024-01-03T12:00:00Z");
}

#[test]
fn two_runs_at_once_both_come_to_their_end() {
    let world = with_days(1..=20);
    let plans = [plan_of(&world, keep_last(3)), plan_of(&world, keep_last(5))];
    let done: Vec<Removals> = std::thread::scope(|scope| {
        let runs =
            plans.each_ref().map(|plan| scope.spawn(|| execute(&world.store, plan, &Silent)));
        runs.into_iter().map(|run| run.join().unwrap().unwrap()).collect()
    });
    assert_eq!(done.iter().map(|done| done.removed).sum::<u64>(), 17, "{done:?}");
    assert_eq!(world.times("", GROUP).len(), 3);
}

#[test]
fn a_whole_store_is_pruned_group_by_group_as_deep_as_asked() {
    let world = SmallStore::new();
    let places = [("", "host/a"), ("", "vm/100"), ("x", "host/a"), ("x/y", "host/a")];
    for (namespace, group) in places {
        for number in 1..=3 {
            world.back_up(namespace, &format!("{group}/2024-01-0{number}T00:00:00Z"));
        }
    }
    let prune = |namespace: &str, depth| {
        let scope = Scope { namespace: ns(namespace), depth };
        let keep = keep_last(1);
        let (plans, failures) = plan(&world.store, &scope, &keep, &TimeZone::UTC, &mut ()).unwrap();
        for plan in &plans {
            execute(&world.store, plan, &Silent).unwrap();
        }
        let left = places.map(|(namespace, group)| world.times(namespace, group).len());
        (plans.len(), failures.len(), left)
    };
    assert_eq!(prune("x", Some(0)), (1, 0, [3, 3, 1, 3]));
    // What cannot be listed is told, and the rest is pruned.
    std::fs::write(world.base.join("ns/x/ct"), "no folder").unwrap();
    assert_eq!(prune("", Some(1)), (2, 1, [1, 1, 1, 3]));
    std::fs::remove_file(world.base.join("ns/x/ct")).unwrap();
    assert_eq!(prune("", None), (4, 0, [1, 1, 1, 1]));
    let scope = Scope { namespace: ns("none"), depth: None };
    let missing = plan(&world.store, &scope, &keep_last(1), &TimeZone::UTC, &mut ());
    assert!(missing.unwrap_err().is_missing());
}
