//! The worked example, the reference's answers, an independent model, and laws.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> i64 {
    crate::time::from_utc_text(text).unwrap()
}

fn finished(time: i64) -> Candidate {
    Candidate { time, finished: true, protected: false }
}

fn keep(counts: [u64; 6]) -> KeepOptions {
    let [last, hourly, daily, weekly, monthly, yearly] = counts;
    KeepOptions { last, hourly, daily, weekly, monthly, yearly }
}

fn words(snapshots: &[Candidate], keep: &KeepOptions) -> Vec<&'static str> {
    select(snapshots, keep, &TimeZone::UTC).into_iter().map(Mark::as_str).collect()
}

/// The table of `docs/formats/prune.md`.
#[test]
fn the_worked_example() {
    use Mark::{Keep, KeepPartial, Protected, Remove};
    use Reason::{Period, Unfinished, Unneeded};
    let rows = [
        ("2024-03-10T20:00:00Z", "unfinished", KeepPartial),
        ("2024-03-10T12:00:00Z", "", Keep(Some(Rule::Last))),
        ("2024-03-10T04:00:00Z", "", Remove(Unneeded)),
        ("2024-03-09T12:00:00Z", "", Keep(Some(Rule::Daily))),
        ("2024-03-09T04:00:00Z", "protected", Protected),
        ("2024-03-08T12:00:00Z", "", Keep(Some(Rule::Daily))),
        ("2024-03-08T04:00:00Z", "unfinished", Remove(Unfinished)),
        ("2024-03-03T12:00:00Z", "", Keep(Some(Rule::Weekly))),
        ("2024-03-02T12:00:00Z", "", Remove(Period(Rule::Weekly))),
        ("2024-02-25T12:00:00Z", "", Keep(Some(Rule::Monthly))),
        ("2024-02-10T12:00:00Z", "", Remove(Period(Rule::Monthly))),
        ("2024-01-05T12:00:00Z", "", Keep(Some(Rule::Monthly))),
        ("2023-12-31T12:00:00Z", "", Remove(Unneeded)),
    ];
    let snapshots: Vec<Candidate> = rows
        .iter()
        .map(|(time, state, _)| Candidate {
            time: at(time),
            finished: *state != "unfinished",
            protected: *state == "protected",
        })
        .collect();
    let marks = select(&snapshots, &keep([1, 0, 2, 1, 2, 0]), &TimeZone::UTC);
    for ((time, _, wanted), mark) in rows.iter().zip(marks) {
        assert_eq!(mark, *wanted, "{time}");
    }
}

#[test]
fn without_a_rule_everything_stays() {
    let mut snapshots = [finished(100), finished(200), finished(300)];
    snapshots[0].finished = false;
    snapshots[1].protected = true;
    let nothing = KeepOptions::default();
    assert_eq!(words(&snapshots, &nothing), ["keep", "protected", "keep"]);
    assert!(nothing.keeps_everything() && !keep([0, 0, 0, 0, 0, 1]).keeps_everything());
}

/// Hours and days are those of the zone, also where the clock is set back; ISO weeks have a year of
/// their own.
#[test]
fn periods_are_those_of_the_zone() {
    let vienna = TimeZone::get("Europe/Vienna").unwrap();
    let marks = |times: &[&str], keep: &KeepOptions, zone: &TimeZone| {
        let snapshots: Vec<Candidate> = times.iter().map(|time| finished(at(time))).collect();
        let marks = select(&snapshots, keep, zone);
        marks.into_iter().map(Mark::keeps).collect::<Vec<bool>>()
    };
    // 23:30 in UTC is the next day in Vienna.
    let night = ["2024-01-01T22:30:00Z", "2024-01-01T23:30:00Z"];
    assert_eq!(marks(&night, &keep([0, 0, 9, 0, 0, 0]), &TimeZone::UTC), [false, true]);
    assert_eq!(marks(&night, &keep([0, 0, 9, 0, 0, 0]), &vienna), [true, true]);
    // On 27 October 2024 the hour from 2 to 3 came twice, and is one hour.
    let folded = ["2024-10-27T00:30:00Z", "2024-10-27T01:30:00Z", "2024-10-27T02:30:00Z"];
    assert_eq!(marks(&folded, &keep([0, 9, 0, 0, 0, 0]), &vienna), [false, true, true]);
    assert_eq!(marks(&folded, &keep([0, 9, 0, 0, 0, 0]), &TimeZone::UTC), [true, true, true]);
    // 30 December 2024 and 5 January 2025 are both of week 1 of 2025; 1 January 2024 is of week 1 too.
    let new_year = ["2024-01-01T12:00:00Z", "2024-12-30T12:00:00Z", "2025-01-05T12:00:00Z"];
    assert_eq!(marks(&new_year, &keep([0, 0, 0, 9, 0, 0]), &TimeZone::UTC), [true, false, true]);
    // 3 January 2021 is of week 53 of 2020.
    let week_53 = ["2020-12-28T12:00:00Z", "2021-01-03T12:00:00Z", "2021-01-04T12:00:00Z"];
    assert_eq!(marks(&week_53, &keep([0, 0, 0, 9, 0, 0]), &TimeZone::UTC), [false, true, true]);
}

#[test]
fn the_end_of_time_has_periods_too() {
    let times = ["9999-12-30T12:00:00Z", "9999-12-31T12:00:00Z", "9999-12-31T23:59:59Z"];
    let snapshots: Vec<Candidate> = times.iter().map(|time| finished(at(time))).collect();
    assert_eq!(words(&snapshots, &keep([0, 0, 9, 0, 0, 0])), ["keep", "remove", "keep"]);
    let snapshots = [finished(i64::MAX), finished(i64::MAX - 1), finished(i64::MIN)];
    assert_eq!(words(&snapshots, &keep([0, 0, 9, 9, 9, 9])), ["keep"; 3]);
}

/// More to keep does not always keep the same ones and more: here one more week takes the newest
/// of February out of the running, and the month is served by an older one.
#[test]
fn a_larger_number_may_keep_other_snapshots() {
    let times = [
        "2024-02-10T12:00:00Z",
        "2024-02-28T12:00:00Z",
        "2024-03-01T12:00:00Z",
        "2024-03-09T12:00:00Z",
    ];
    let snapshots: Vec<Candidate> = times.iter().map(|time| finished(at(time))).collect();
    assert_eq!(words(&snapshots, &keep([0, 0, 0, 1, 1, 0])), ["remove", "keep", "remove", "keep"]);
    assert_eq!(words(&snapshots, &keep([0, 0, 0, 2, 1, 0])), ["keep", "remove", "keep", "keep"]);
}

/// Nor does it always keep as many: weeks do not fit into months. The second week takes the only
/// snapshot of January out of the running.
#[test]
fn one_more_week_may_keep_one_less() {
    let times = [
        "2024-01-30T12:00:00Z",
        "2024-02-03T12:00:00Z",
        "2024-02-28T12:00:00Z",
        "2024-03-03T12:00:00Z",
    ];
    let snapshots: Vec<Candidate> = times.iter().map(|time| finished(at(time))).collect();
    assert_eq!(words(&snapshots, &keep([0, 0, 0, 1, 2, 0])), ["keep", "keep", "remove", "keep"]);
    assert_eq!(words(&snapshots, &keep([0, 0, 0, 2, 2, 0])), ["remove", "keep", "remove", "keep"]);
}

#[test]
fn options_are_read_and_written_with_their_names() {
    let options = keep([3, 0, 7, 0, 0, 1]);
    let text = serde_json::to_string(&options).unwrap();
    assert_eq!(text, r#"{"keep-last":3,"keep-daily":7,"keep-yearly":1}"#);
    assert_eq!(serde_json::from_str::<KeepOptions>(&text).unwrap(), options);
}

/// The reference's selection over the snapshots of `gen/prune-snapshots.py`, all cases.
#[test]
fn the_golden_selections() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let snapshots = golden_snapshots();
    let mut cases: Vec<_> =
        std::fs::read_dir(golden.join("prune")).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 5, "{cases:?}");
    for case in cases {
        let text = std::fs::read_to_string(&case).unwrap();
        let (options, lines) = text.split_once('\n').unwrap();
        let keep = parse_options(options.trim_start_matches("# "));
        let wanted: Vec<(i64, &str)> = lines
            .lines()
            .map(|line| {
                let (path, mark) = line.split_once(' ').unwrap();
                (at(path.rsplit('/').next().unwrap()), mark)
            })
            .collect();
        assert_eq!(wanted.len(), 450, "{}", case.display());
        let found: Vec<(i64, &str)> =
            snapshots.iter().map(|s| s.time).zip(words(&snapshots, &keep)).collect();
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_eq!(found, wanted, "{}: {options}", case.display());
        }
    }
}

fn parse_options(text: &str) -> KeepOptions {
    let mut parsed = KeepOptions::default();
    let mut words = text.split_whitespace();
    while let (Some(name), Some(number)) = (words.next(), words.next()) {
        let number = number.parse().unwrap();
        match name {
            "--keep-last" => parsed.last = number,
            "--keep-hourly" => parsed.hourly = number,
            "--keep-daily" => parsed.daily = number,
            "--keep-weekly" => parsed.weekly = number,
            "--keep-monthly" => parsed.monthly = number,
            "--keep-yearly" => parsed.yearly = number,
            other => panic!("{other}"),
        }
    }
    parsed
}

/// What the generator beside the golden data prints.
fn golden_snapshots() -> Vec<Candidate> {
    let mut snapshots = Vec::new();
    let (mut time, mut number) = (at("2021-12-20T03:30:00Z"), 0);
    while time < at("2024-03-12T00:00:00Z") {
        snapshots.push(Candidate {
            time,
            finished: number % 37 != 5,
            protected: number % 101 == 7,
        });
        number += 1;
        let hours = [6, 1, 17, 30, 3, 49, 11][number as usize % 7];
        let stretch = if time >= at("2024-01-01T00:00:00Z") { 1 } else { 3 };
        time += hours * stretch * 3600 + number * 7 % 60 * 60;
    }
    snapshots
}

/// The text of the algorithm, word by word, with the keys as text: slow and plain.
fn model(snapshots: &[Candidate], keep: &KeepOptions, zone: &TimeZone) -> Vec<String> {
    let mut sorted = snapshots.to_vec();
    sorted.sort_by_key(|snapshot| -i128::from(snapshot.time));
    let mut marks: HashMap<i64, &str> = HashMap::new();
    let set = Rule::ALL.into_iter().filter(|rule| keep.count(*rule) > 0).count();
    if set == 0 {
        for snapshot in &sorted {
            marks.insert(snapshot.time, "keep");
        }
    } else {
        let mut partial = true;
        for snapshot in &sorted {
            if !snapshot.finished {
                marks.insert(snapshot.time, if partial { "keep-partial" } else { "remove" });
            }
            partial = false;
        }
    }
    for (rule, format) in [
        (Rule::Last, ""),
        (Rule::Hourly, "%Y/%m/%d/%H"),
        (Rule::Daily, "%Y/%m/%d"),
        (Rule::Weekly, "%G/%V"),
        (Rule::Monthly, "%Y/%m"),
        (Rule::Yearly, "%Y"),
    ] {
        let key = |snapshot: &Candidate| match rule {
            Rule::Last => crate::time::to_utc_text(snapshot.time).unwrap(),
            _ => {
                let time = Timestamp::from_second(snapshot.time).unwrap();
                time.to_zoned(zone.clone()).strftime(format).to_string()
            }
        };
        let already: BTreeSet<String> = sorted
            .iter()
            .filter(|snapshot| marks.get(&snapshot.time) == Some(&"keep"))
            .map(key)
            .collect();
        let mut ours = BTreeSet::new();
        for snapshot in &sorted {
            if marks.contains_key(&snapshot.time) {
                continue;
            }
            if snapshot.protected {
                marks.insert(snapshot.time, "protected");
                continue;
            }
            let key = key(snapshot);
            if already.contains(&key) {
                continue;
            }
            if !ours.contains(&key) {
                if ours.len() as u64 >= keep.count(rule) {
                    break;
                }
                ours.insert(key);
                marks.insert(snapshot.time, "keep");
            } else {
                marks.insert(snapshot.time, "remove");
            }
        }
    }
    let result = |snapshot: &Candidate| match marks.get(&snapshot.time) {
        _ if snapshot.protected => "protected".to_owned(),
        Some(mark) => (*mark).to_owned(),
        None => "remove".to_owned(),
    };
    snapshots.iter().map(result).collect()
}

prop_compose! {
    /// Snapshots close together and far apart, so that every kind of period is shared and not.
    fn any_snapshots()(
        start in 1i64..4_000_000_000,
        steps in prop::collection::vec(
            (prop_oneof![1i64..7200, 3600i64..200_000, 86_400i64..6_000_000], 0u8..12, 0u8..12), 0..60),
    ) -> Vec<Candidate> {
        let mut time = start;
        steps.into_iter().map(|(step, unfinished, protected)| {
            time += step;
            Candidate { time, finished: unfinished != 0, protected: protected == 0 }
        }).collect()
    }
}

fn any_counts() -> impl Strategy<Value = [u64; 6]> {
    prop::array::uniform6(prop_oneof![Just(0u64), 1u64..4, 1u64..12])
}

fn any_zone() -> impl Strategy<Value = TimeZone> {
    let zones = ["UTC", "Europe/Vienna", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"];
    prop::sample::select(zones.to_vec()).prop_map(|name| TimeZone::get(name).unwrap())
}

proptest! {
    #[test]
    fn the_model_agrees(snapshots in any_snapshots(), counts in any_counts(), zone in any_zone()) {
        let keep = keep(counts);
        let found: Vec<_> =
            select(&snapshots, &keep, &zone).into_iter().map(|m| m.as_str().to_owned()).collect();
        // The model writes "keep" for protected ones too if there is no rule.
        let mut wanted = model(&snapshots, &keep, &zone);
        for (snapshot, mark) in snapshots.iter().zip(&mut wanted) {
            if snapshot.protected { *mark = "protected".into(); }
        }
        prop_assert_eq!(found, wanted);
    }

    #[test]
    fn laws(
        snapshots in any_snapshots(), counts in any_counts(), zone in any_zone(), seed in any::<u64>(),
    ) {
        let options = keep(counts);
        let marks = select(&snapshots, &options, &zone);
        for (snapshot, mark) in snapshots.iter().zip(&marks) {
            prop_assert_eq!(snapshot.protected, *mark == Mark::Protected);
            if !snapshot.finished && !options.keeps_everything() {
                prop_assert!(!matches!(mark, Mark::Keep(_)));
            }
        }
        // The newest that is finished and not kept anyway always stays.
        let newest = snapshots.iter().zip(&marks).rev().find(|(s, _)| s.finished && !s.protected);
        prop_assert!(newest.is_none_or(|(_, mark)| mark.keeps()));
        // No rule keeps more than it was asked to.
        for rule in Rule::ALL {
            let kept = marks.iter().filter(|mark| **mark == Mark::Keep(Some(rule))).count() as u64;
            prop_assert!(kept <= options.count(rule) || options.keeps_everything());
        }
        // The order in which snapshots are listed means nothing.
        let mut shuffled: Vec<(Candidate, Mark)> =
            snapshots.iter().copied().zip(marks.iter().copied()).collect();
        shuffled.sort_by_key(|(snapshot, _)| {
            (snapshot.time as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        let (candidates, wanted): (Vec<_>, Vec<_>) = shuffled.into_iter().unzip();
        prop_assert_eq!(select(&candidates, &options, &zone), wanted);
        // What was pruned once stays as it is: nothing is removed by a second run.
        let left: Vec<Candidate> =
            snapshots.iter().zip(&marks).filter(|(_, m)| m.keeps()).map(|(s, _)| *s).collect();
        prop_assert!(select(&left, &options, &zone).into_iter().all(Mark::keeps));
    }

    /// Without weeks every period lies in one of the next kind, and a larger number never keeps
    /// fewer. With weeks it may: see `one_more_week_may_keep_one_less`.
    #[test]
    fn more_never_keeps_fewer_without_weeks(
        snapshots in any_snapshots(), mut counts in any_counts(), zone in any_zone(),
        which in prop::sample::select(vec![0usize, 1, 2, 4, 5]), more in 1u64..5,
    ) {
        counts[3] = 0;
        prop_assume!(!keep(counts).keeps_everything());
        let mut larger = counts;
        larger[which] += more;
        let count = |counts| {
            select(&snapshots, &keep(counts), &zone).into_iter().filter(|m| m.keeps()).count()
        };
        prop_assert!(count(counts) <= count(larger));
    }
}
