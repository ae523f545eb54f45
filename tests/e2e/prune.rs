//! Pruning and its simulation, selections of verify, and backups that are verified at once.

use std::ffi::OsString;
use std::fs;

use serde_json::Value;

use crate::round_trip::source;
use crate::tree::write;
use crate::world::{World, field_of_all, text};

/// 2024-01-01T12:00:00Z.
const FIRST_DAY: i64 = 1_704_110_400;

fn back_up_day(world: &World, namespace: &str, id: &str, day: i64) {
    let time = (FIRST_DAY + (day - 1) * 86_400).to_string();
    let mut backup = args!["backup", source("x.conf", &world.disk("x.conf"))];
    backup.extend(args!["--repository", "store", "--ns", namespace]);
    backup.extend(args!["--backup-id", id, "--backup-time", time]);
    world.run(backup);
}

fn world_with_days(days: std::ops::RangeInclusive<i64>) -> World {
    let mut world = World::new();
    world.set_env("TZ", "UTC");
    world.create_store("store");
    write(world.disk("x.conf"), "some: setting\n");
    for day in days {
        back_up_day(&world, "", "x", day);
    }
    world
}

fn days_left(world: &World, namespace: &str, id: &str) -> Vec<i64> {
    let group = format!("host/{id}");
    let list = args!["snapshot", "list", group, "--repository", "store", "--ns", namespace];
    let times = field_of_all(&world.json(list), "backup-time");
    let mut days: Vec<i64> =
        times.iter().map(|time| (time.parse::<i64>().unwrap() - FIRST_DAY) / 86_400 + 1).collect();
    days.sort_unstable();
    days
}

fn prune(group: &str, more: &[&str]) -> Vec<OsString> {
    let mut prune = args!["prune", group, "--repository", "store"];
    prune.extend(more.iter().map(OsString::from));
    prune
}

#[test]
fn a_group_is_pruned_as_the_dry_run_said() {
    let world = world_with_days(1..=10);
    let protect = "host/x/2024-01-02T12:00:00Z";
    world.run(args!["snapshot", "protected", "update", protect, "true", "--repository", "store"]);
    let options = ["--keep-last", "2", "--keep-weekly", "2"];
    let dry: Vec<&str> = options.iter().copied().chain(["--dry-run"]).collect();
    let plan = world.json(prune("host/x", &dry));
    let marks: Vec<(i64, String)> = plan
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["backup-time"].as_i64().unwrap(), text(&s["mark"])))
        .collect();
    assert_eq!(marks.len(), 10);
    assert_eq!(marks[0], (FIRST_DAY, "remove".into()));
    assert_eq!(marks[1].1, "protected");
    assert_eq!(plan[1]["protected"], Value::Bool(true));
    // Sunday 7 January is the newest of its week; the week of the 8th is that of the last two.
    assert_eq!(plan[6]["rule"], "weekly");
    assert_eq!(plan[6]["keep"], Value::Bool(true));
    assert_eq!(plan[9]["rule"], "last");
    assert_eq!(days_left(&world, "", "x").len(), 10, "a dry run removes nothing");
    let shown = world.run(prune("host/x", &dry)).stdout();
    assert!(shown.contains("4 would stay, 6 would be removed"), "{shown}");
    assert!(shown.contains("keep-weekly keeps a newer one of that week"), "{shown}");
    let shown = world.run(prune("host/x", &options)).stdout();
    assert!(shown.contains("4 stay, 6 removed"), "{shown}");
    assert_eq!(days_left(&world, "", "x"), [2, 7, 9, 10]);
    // Nothing to keep means everything.
    let run = world.run(prune("host/x", &[]));
    run.says(&["everything stays"]);
    assert_eq!(days_left(&world, "", "x").len(), 4);
    world.fails(prune("host/nobody", &options), &["host/nobody"]);
    world.fails(prune("host/x", &["--ns", "none"]), &["none"]);
}

#[test]
fn a_store_is_pruned_and_verified_as_deep_as_asked() {
    let world = world_with_days(1..=3);
    world.run(args!["namespace", "create", "a/b", "--parents", "--repository", "store"]);
    for namespace in ["a", "a/b"] {
        for day in 1..=3 {
            back_up_day(&world, namespace, "x", day);
        }
    }
    let prune = args!["datastore", "prune", "store", "--keep-last", "1"];
    let mut shallow = prune.clone();
    shallow.extend(args!["--ns", "a", "--max-depth", "0"]);
    let plan = world.json(shallow);
    assert_eq!(field_of_all(&plan, "ns"), ["a"; 3]);
    let left = || ["", "a", "a/b"].map(|namespace| days_left(&world, namespace, "x").len());
    assert_eq!(left(), [3, 1, 3]);

    let verify = |more: &[&str]| {
        let mut verify = args!["datastore", "verify", "store"];
        verify.extend(more.iter().map(OsString::from));
        world.json(verify).as_array().unwrap().clone()
    };
    assert_eq!(verify(&["--ns", "a", "--max-depth", "0"]).len(), 1);
    assert_eq!(verify(&["--group", "host/x", "--max-depth", "0"]).len(), 3);
    let skipped =
        |reports: Vec<Value>| reports.iter().filter(|r| r.get("skipped").is_some()).count();
    assert_eq!(skipped(verify(&["--ignore-verified"])), 4);
    assert_eq!(skipped(verify(&["--outdated-after", "1"])), 7);
    assert_eq!(skipped(verify(&[])), 0);
    let one = args!["snapshot", "verify", "host/x", "--repository", "store"];
    let report = world.json(one.clone());
    assert_eq!(report[0]["snapshot"], "host/x/2024-01-03T12:00:00Z");
    assert_eq!(report[0]["ok"], Value::Bool(true));
    let blob = world.fast("store/host/x/2024-01-03T12:00:00Z/x.conf.blob");
    fs::write(&blob, "damaged").unwrap();
    world.fails(one, &["x.conf", "failed verification"]);
    let missing = "host/x/2020-01-01T00:00:00Z";
    world.fails(args!["snapshot", "verify", missing, "--repository", "store"], &[missing]);

    world.run(prune);
    assert_eq!(left(), [1, 1, 1]);
}

#[test]
fn a_backup_is_verified_at_once_where_the_store_wants_it() {
    let world = world_with_days(1..=1);
    world.run(args!["datastore", "update", "store", "--verify-new", "true"]);
    back_up_day(&world, "", "x", 2);
    let listed = world.json(args!["snapshot", "list", "host/x", "--repository", "store"]);
    let states: Vec<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|snapshot| text(&snapshot["verification"]["state"]))
        .collect();
    assert!(states.contains(&"ok".into()) && states.contains(&"null".into()), "{states:?}");
}

/// In a zone that was mistyped other snapshots would go.
#[test]
fn a_time_zone_that_nobody_knows_prunes_nothing() {
    let mut world = world_with_days(1..=2);
    world.set_env("TZ", "Europe/Nowhere");
    world.fails(prune("host/x", &["--keep-daily", "1"]), &["Europe/Nowhere", "time zone"]);
    let whole = args!["datastore", "prune", "store", "--keep-daily", "1"];
    world.fails(whole, &["Europe/Nowhere"]);
    world.fails(args!["prune-simulator", "--keep-daily", "1"], &["Europe/Nowhere"]);
    assert_eq!(days_left(&world, "", "x"), [1, 2]);
    // An empty one is UTC, and so is what the C library reads as such.
    for zone in ["", "UTC", ":UTC", "CET-1CEST,M3.5.0,M10.5.0/3"] {
        world.set_env("TZ", zone);
        world.run(prune("host/x", &["--keep-daily", "2", "--dry-run"]));
    }
}

#[test]
fn the_simulator_shows_a_calendar_and_touches_nothing() {
    let world = world_with_days(1..=3);
    let simulate = |more: &[&str]| {
        let mut simulate = args!["prune-simulator"];
        simulate.extend(more.iter().map(OsString::from));
        simulate
    };
    let usual = ["--keep-daily", "3", "--keep-weekly", "2", "--until", "2024-03-10T20:00"];
    let shown = world.run(simulate(&usual)).stdout();
    for words in ["March 2024", "10  4·  5·  6·  7·  8d  9d 10d", " 3w", "5 of 48 snapshots stay"]
    {
        assert!(shown.contains(words), "{words}\n{shown}");
    }
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let value = world.json(simulate(&usual));
    assert_eq!((&value["kept"], &value["total"]), (&5.into(), &48.into()));
    assert_eq!(value["keep"]["keep-daily"], 3);
    assert_eq!(value["snapshots"][47]["rule"], "daily");
    let each = [&usual[..], &["--every", "0/6:00", "--days", "30", "--after-each"]].concat();
    assert_eq!(world.json(simulate(&each))["kept"], 5);
    let real = ["host/x", "--repository", "store", "--keep-last", "1", "--list"];
    let shown = world.run(simulate(&real)).stdout();
    assert!(
        shown.contains("1 of 3 snapshots stay") && shown.contains("no rule keeps it"),
        "{shown}"
    );
    assert_eq!(days_left(&world, "", "x").len(), 3);
    let run = world.attempt(simulate(&["--every", "sometimes"]));
    assert_eq!(run.code(), Some(2));
    run.says(&["0/4:00"]);
}
