//! The grammar and the clock as tables, the reference's answers, and an independent model.

use proptest::prelude::*;

use super::*;

fn at(text: &str) -> i64 {
    crate::time::from_utc_text(text).unwrap()
}

fn utc_text(moment: i64) -> String {
    crate::time::to_utc_text(moment).unwrap()
}

fn next_times(event: &str, after: &str, zone: &TimeZone, count: usize) -> Vec<String> {
    let event: CalendarEvent = event.parse().unwrap();
    let last = at("2199-12-31T00:00:00Z");
    event.between(at(after), last, zone).take(count).map(utc_text).collect()
}

#[test]
fn the_golden_events() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let text = std::fs::read_to_string(golden.join("calendar/next.txt")).unwrap();
    let (mut times, mut refusals) = (0, 0);
    let mut expected: Option<Box<dyn Iterator<Item = i64>>> = None;
    for line in text.lines() {
        if let Some(question) = line.strip_prefix("# ") {
            let (event, after) = question.rsplit_once(" from ").unwrap();
            let after: i64 = after.parse().unwrap();
            expected = event.parse::<CalendarEvent>().ok().map(|event| {
                let times: Vec<i64> =
                    event.between(after, i64::MAX, &TimeZone::UTC).take(6).collect();
                Box::new(times.into_iter()) as Box<dyn Iterator<Item = i64>>
            });
        } else if line.starts_with("Error:") {
            assert!(expected.is_none(), "{line}");
            refusals += 1;
        } else if let Some((moment, _)) = line.split_once(' ')
            && let Ok(moment) = moment.parse::<i64>()
        {
            assert_eq!(expected.as_mut().unwrap().next(), Some(moment), "{line}");
            times += 1;
        }
    }
    assert!(times >= 100 && refusals >= 2, "{times} times, {refusals} refusals");
}

#[test]
fn events_mean_what_the_grammar_says() {
    for (event, wanted) in [
        ("12:05", ["05-01T12:05:00", "05-02T12:05:00"]),
        ("30", ["05-01T10:30:00", "05-01T11:30:00"]),
        ("24:00", ["05-01T10:24:00", "05-01T11:24:00"]),
        ("*/5:30", ["05-01T10:30:00", "05-01T15:30:00"]),
        ("*/30:15", ["05-01T10:00:15", "05-01T10:30:15"]),
        ("0/15", ["05-01T10:15:00", "05-01T10:30:00"]),
        ("*:*:*", ["05-01T10:00:01", "05-01T10:00:02"]),
        ("2024-5-2 10", ["05-02T00:10:00", "05-02T01:10:00"]),
        ("Mon  *-*-1..7", ["05-06T00:00:00", "06-03T00:00:00"]),
        ("thursday\t8:0", ["05-02T08:00:00", "05-09T08:00:00"]),
        ("fri..mon 1:00", ["05-03T01:00:00", "05-04T01:00:00"]),
        ("wed..wed", ["05-08T00:00:00", "05-15T00:00:00"]),
        ("*-*-*/10", ["05-11T00:00:00", "05-21T00:00:00"]),
        ("*-*/3-1", ["07-01T00:00:00", "10-01T00:00:00"]),
        ("008:07", ["05-02T08:07:00", "05-03T08:07:00"]),
        ("11/0:5/0", ["05-01T11:05:00", "05-02T11:05:00"]),
        ("8..12/2:59", ["05-01T10:59:00", "05-01T12:59:00"]),
        ("*/7:00", ["05-01T14:00:00", "05-01T21:00:00"]),
        ("dailyUTC", ["05-02T00:00:00", "05-03T00:00:00"]),
        ("semi-annually UTC", ["07-01T00:00:00", "01-01T00:00:00"]),
    ] {
        let found = next_times(event, "2024-05-01T10:00:00Z", &TimeZone::UTC, 2);
        let found: Vec<&str> = found.iter().map(|time| &time[5..19]).collect();
        assert_eq!(found, wanted, "{event}");
    }
    // An open repetition starts anew each day, unlike the reference's.
    let found = next_times("*/7:00", "2024-05-01T21:00:00Z", &TimeZone::UTC, 1);
    assert_eq!(found, ["2024-05-02T00:00:00Z"]);
}

#[test]
fn what_is_no_event_is_refused() {
    for bad in [
        "",
        " ",
        "UTC",
        " daily",
        "daily ",
        "often",
        "Daily",
        "dailyutc",
        "2015",
        "24:60",
        "30:15:10",
        "1:2:3:4",
        "60",
        "*/60",
        "*/0",
        "*/0:0",
        "*,5",
        "*/7,5",
        "5..3",
        "1, 2",
        "mon, tue 3:00",
        "thurs",
        "mon..",
        "..fri",
        "mon mon",
        "10:00 mon",
        "10:00 2024-1-1",
        "1-1-1-1",
        "2200-1-1",
        "*-13-1",
        "*-1-32",
        "1..2/0",
        "-1",
        "1:+5",
        "1:-5",
        "weekly 3:00",
        "mon 10:00 11:00",
        "٣",
        "µ",
        "99999999999999999999",
    ] {
        let error = bad.parse::<CalendarEvent>().unwrap_err().to_string();
        assert!(error.contains("0/4:00"), "{bad}: {error}");
    }
}

#[test]
fn rare_events_are_found_and_impossible_ones_end() {
    let none: Vec<String> = Vec::new();
    let from = "2024-05-01T10:00:00Z";
    assert_eq!(
        next_times("mon 2-29", from, &TimeZone::UTC, 2),
        ["2044-02-29T00:00:00Z", "2072-02-29T00:00:00Z"]
    );
    for never in ["2-30", "*-0-1", "*-*-0", "1999-1-1", "2024-5-1 9:0"] {
        assert_eq!(next_times(never, from, &TimeZone::UTC, 1), none, "{never}");
    }
    // Beyond what a clock can show.
    for after in [i64::MIN, i64::MAX] {
        assert_eq!(
            "daily".parse::<CalendarEvent>().unwrap().next_after(after, &TimeZone::UTC),
            None
        );
    }
}

#[test]
fn a_time_that_the_clock_skips_or_repeats_fires_once_or_not_at_all() {
    let vienna = TimeZone::get("Europe/Vienna").unwrap();
    for (event, after, wanted) in [
        // 31 March 2024: from 2:00 to 3:00.
        ("2:30", "2024-03-30T00:00:00Z", &["2024-03-30T01:30:00Z", "2024-04-01T00:30:00Z"][..]),
        ("hourly", "2024-03-31T00:00:00Z", &["2024-03-31T01:00:00Z", "2024-03-31T02:00:00Z"]),
        // 27 October 2024: from 3:00 back to 2:00.
        ("2:30", "2024-10-26T12:00:00Z", &["2024-10-27T00:30:00Z", "2024-10-28T01:30:00Z"]),
        ("2:30", "2024-10-27T01:00:00Z", &["2024-10-27T01:30:00Z", "2024-10-28T01:30:00Z"]),
        ("hourly", "2024-10-26T23:00:00Z", &["2024-10-27T00:00:00Z", "2024-10-27T02:00:00Z"]),
        ("2:30 UTC", "2024-10-27T00:00:00Z", &["2024-10-27T02:30:00Z"]),
    ] {
        assert_eq!(
            next_times(event, after, &vienna, wanted.len()),
            wanted,
            "{event} after {after}"
        );
    }
    // Midnight itself is skipped.
    let beirut = TimeZone::get("Asia/Beirut").unwrap();
    let found = next_times("daily", "2024-03-30T12:00:00Z", &beirut, 1);
    assert_eq!(found, ["2024-03-31T21:00:00Z"]);
}

#[test]
fn an_event_is_written_as_it_was_read() {
    for text in ["mon..fri 21:30", "weekly", "*-*-1 UTC"] {
        let event: CalendarEvent = text.parse().unwrap();
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<CalendarEvent>(&json).unwrap(), event);
    }
    assert!(serde_json::from_str::<CalendarEvent>("\"never\"").is_err());
}

/// A list of numbers as text, and which numbers it means.
fn numbers(max: i16) -> impl Strategy<Value = (String, Vec<i16>)> {
    let part = (0..4, 0..=max, 0..=max, 1..=max).prop_map(move |(kind, one, other, step)| {
        let (first, last) = (one.min(other), one.max(other));
        let stepped = |last: i16| (first..=last).filter(|n| (n - first) % step == 0).collect();
        match kind {
            0 => (format!("{first}..{last}"), (first..=last).collect()),
            1 => (format!("{first}..{last}/{step}"), stepped(last)),
            2 => (format!("{first}/{step}"), stepped(max)),
            _ => (format!("{first}"), vec![first]),
        }
    });
    prop::collection::vec(part, 1..4).prop_map(|parts| {
        let (text, meant): (Vec<String>, Vec<Vec<i16>>) = parts.into_iter().unzip();
        (text.join(","), meant.concat())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// The model looks at every minute of ten days, one by one.
    #[test]
    fn random_events_fire_at_the_minutes_that_match_and_at_no_other(
        (year, month) in (1996i16..2100, 1i8..=12),
        (weekday, span) in (0usize..7, 0usize..7),
        (days, day_numbers) in numbers(31),
        (hours, hour_numbers) in numbers(23),
        (minutes, minute_numbers) in numbers(59),
    ) {
        let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
        let last_name = names[(weekday + span) % 7];
        let event = format!("{}..{last_name} *-{days} {hours}:{minutes}", names[weekday]);
        let first = Date::new(year, month, 1).unwrap().to_zoned(TimeZone::UTC).unwrap();
        let begin = first.timestamp().as_second();
        let end = begin + 10 * 86_400;
        let matches = |moment: &i64| {
            let wall = TimeZone::UTC.to_datetime(Timestamp::from_second(*moment).unwrap());
            let today = wall.weekday().to_monday_zero_offset() as usize;
            (today + 7 - weekday) % 7 <= span
                && day_numbers.contains(&i16::from(wall.day()))
                && hour_numbers.contains(&i16::from(wall.hour()))
                && minute_numbers.contains(&i16::from(wall.minute()))
        };
        let wanted: Vec<i64> = (begin..=end).step_by(60).filter(matches).collect();
        let parsed: CalendarEvent = event.parse().unwrap();
        let found: Vec<i64> = parsed.between(begin - 1, end, &TimeZone::UTC).collect();
        prop_assert_eq!(found, wanted, "{} from {}", event, first);
    }

    #[test]
    fn any_text_is_an_event_or_an_error(text in "[mon.,*/0-9: UTC-]{0,20}|\\PC{0,20}", after: i64) {
        if let Ok(event) = text.parse::<CalendarEvent>() {
            prop_assert_eq!(event.to_string(), text);
            if let Some(next) = event.next_after(after, &TimeZone::UTC) {
                prop_assert!(next > after);
            }
        }
    }
}
