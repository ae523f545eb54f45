use proptest::prelude::*;

use super::*;

const GIB: u64 = 1 << 30;
const DAY: i64 = 86_400;
const NOW: i64 = 1_800_000_000;

fn sample(time: i64, used: u64) -> Sample {
    let total = 1000 * GIB;
    Sample { time, space: Space { total, used, avail: total - used } }
}

/// A sample every `step` seconds for `days` days up to now.
fn history(days: i64, step: i64, used: impl Fn(i64) -> u64) -> History {
    let times = (0..).map(|n| NOW - n * step).take_while(|time| *time > NOW - days * DAY);
    History::new(times.map(|time| sample(time, used(time))).collect(), NOW)
}

fn grows(time: i64) -> u64 {
    // 10 GiB a day, 500 GiB now.
    500 * GIB - (NOW - time) as u64 * (10 * GIB) / DAY as u64
}

#[test]
fn steady_growth_is_followed_to_the_end() {
    let history = history(30, 3600, grows);
    let FullDate::At(full) = history.full_date(NOW, &sample(NOW, 500 * GIB).space) else {
        panic!("there is a date")
    };
    assert!((full - NOW - 50 * DAY).abs() < DAY / 10, "{} days", (full - NOW) / DAY);
}

#[test]
fn one_big_removal_does_not_hide_the_growth() {
    // A week ago 200 GiB were given back at once.
    let saw = |time: i64| grows(time) + if time < NOW - 7 * DAY { 200 * GIB } else { 0 };
    let history = history(30, 3600, saw);
    let FullDate::At(full) = history.full_date(NOW, &sample(NOW, 500 * GIB).space) else {
        panic!("there is a date")
    };
    assert!(((full - NOW) / DAY - 50).abs() < 15, "{} days", (full - NOW) / DAY);
}

#[test]
fn what_does_not_grow_is_never_full() {
    let space = sample(NOW, 500 * GIB).space;
    assert_eq!(history(30, 3600, |_| 500 * GIB).full_date(NOW, &space), FullDate::Never);
    let shrinks = |time: i64| 500 * GIB + (NOW - time) as u64 * 1000;
    assert_eq!(history(30, 3600, shrinks).full_date(NOW, &space), FullDate::Never);
}

#[test]
fn too_little_is_no_ground_for_a_date() {
    let space = sample(NOW, 500 * GIB).space;
    assert_eq!(History::default().full_date(NOW, &space), FullDate::Unknown);
    // Many samples of one day; few of a month; all of last year.
    assert_eq!(history(1, 3600, grows).full_date(NOW, &space), FullDate::Unknown);
    assert_eq!(history(30, 5 * DAY, grows).full_date(NOW, &space), FullDate::Unknown);
    let old = (0..300).map(|n| sample(NOW - 300 * DAY - n * 3600, 1)).collect();
    assert_eq!(History::new(old, NOW).full_date(NOW, &space), FullDate::Unknown);
}

#[test]
fn samples_are_recorded_once_an_hour_and_survive_torn_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("datastore/archive.history");
    assert_eq!(History::load(&path, NOW).unwrap(), History::default());
    for (time, count) in [(0, 1), (10, 1), (3599, 1), (3600, 2), (7300, 3)] {
        History::record(&path, &sample(NOW + time, 5)).unwrap();
        assert_eq!(History::load(&path, NOW + 9000).unwrap().samples.len(), count, "{time}");
    }
    let mut torn = std::fs::read(&path).unwrap();
    torn.truncate(torn.len() - 10);
    std::fs::write(&path, torn).unwrap();
    History::record(&path, &sample(NOW + 20_000, 7)).unwrap();
    let history = History::load(&path, NOW + 20_000).unwrap();
    assert_eq!(history.samples.len(), 3);
    assert_eq!(history.samples.last(), Some(&sample(NOW + 20_000, 7)));
    // A clock that was wrong does not stop the history.
    History::record(&path, &sample(NOW, 8)).unwrap();
    assert_eq!(History::load(&path, NOW).unwrap().samples.last(), Some(&sample(NOW, 8)));
}

#[test]
fn the_file_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("archive.history");
    for hour in 0..4000 {
        History::record(&path, &sample(NOW + hour * 3600, 5)).unwrap();
    }
    let len = std::fs::metadata(&path).unwrap().len();
    assert!(len < HISTORY_FILE_BYTES_MAX + 1000, "{len}");
    let last = NOW + 3999 * 3600;
    let history = History::load(&path, last).unwrap();
    assert_eq!(history.samples.len(), 720);
    assert_eq!(history.samples.last().unwrap().time, last);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "no leftover");
}

#[test]
fn points_are_equally_far_apart() {
    let (start, points) = history(30, 3600, grows).points();
    assert_eq!(start % HISTORY_DELTA, 0);
    assert!((120..=121).contains(&points.len()), "{}", points.len());
    let gap = History::new(vec![sample(NOW - DAY, 1), sample(NOW, 2)], NOW).points().1;
    assert_eq!(gap.len(), 5);
    assert!(gap[1..4].iter().all(Option::is_none));
    assert_eq!(gap[4], Some(sample(NOW, 2)));
}

proptest! {
    #[test]
    fn any_history_has_an_answer(samples in prop::collection::vec((any::<i64>(), any::<u64>()), 0..50)) {
        let samples: Vec<Sample> = samples
            .into_iter()
            .map(|(time, used)| {
                // Half of them within the month.
                let time = if time % 2 == 0 { NOW - time.rem_euclid(40 * DAY) } else { time };
                Sample { time, space: Space { total: used, used, avail: used } }
            })
            .collect();
        let history = History::new(samples, NOW);
        let space = Space { total: u64::MAX, used: 0, avail: u64::MAX };
        if let FullDate::At(time) = history.full_date(NOW, &space) {
            prop_assert!(time >= NOW);
        }
        prop_assert!(history.points().1.len() <= 122);
    }
}
