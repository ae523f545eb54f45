//! When the backups of a simulation are made: `daily`, `mon..fri 8..18:00`, `0/4:00`.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Times of day on some days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    days: Days,
    hours: Vec<i8>,
    minutes: Vec<i8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Days {
    /// By weekday, Monday first.
    Week([bool; 7]),
    FirstOfMonth,
    FirstOfYear,
}

impl Schedule {
    /// The times from the first day to the last moment, ascending; in seconds since 1970. Where the
    /// clock is set forward a time that there is not is the one an hour later.
    pub fn times(&self, first: Date, last: Timestamp, zone: &TimeZone) -> Vec<i64> {
        let mut times = Vec::new();
        let end = zone.to_datetime(last).date();
        for date in first.series(jiff::Span::new().days(1)).take_while(|date| *date <= end) {
            if !self.days.include(date) {
                continue;
            }
            for hour in &self.hours {
                for minute in &self.minutes {
                    let time = date.at(*hour, *minute, 0, 0).to_zoned(zone.clone());
                    // Beyond the calendar there is nothing to simulate.
                    if let Ok(time) = time
                        && time.timestamp() <= last
                    {
                        times.push(time.timestamp().as_second());
                    }
                }
            }
        }
        times.sort_unstable();
        times.dedup();
        times
    }
}

impl Days {
    fn include(&self, date: Date) -> bool {
        match self {
            Days::Week(days) => {
                let number = date.weekday().to_monday_zero_offset();
                usize::try_from(number).ok().and_then(|day| days.get(day)).copied().unwrap_or(false)
            }
            Days::FirstOfMonth => date.day() == 1,
            Days::FirstOfYear => date.day() == 1 && date.month() == 1,
        }
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Schedule, String> {
        let every_day = Days::Week([true; 7]);
        let midnight = |days| Schedule { days, hours: vec![0], minutes: vec![0] };
        let bad = || {
            format!(
                "'{text}' is not a schedule; give daily, hourly, weekly, monthly, yearly, or times \
                 like 21:30, 0/4:00 (every four hours), 8..18:00/30 or 'mon..fri 6,18:00'"
            )
        };
        match text {
            "hourly" => {
                return Ok(Schedule {
                    days: every_day,
                    hours: (0..24).collect(),
                    minutes: vec![0],
                });
            }
            "daily" => return Ok(midnight(every_day)),
            "weekly" => {
                let monday = DAYS.map(|day| day == "mon");
                return Ok(midnight(Days::Week(monday)));
            }
            "monthly" => return Ok(midnight(Days::FirstOfMonth)),
            "yearly" => return Ok(midnight(Days::FirstOfYear)),
            _ => {}
        }
        let (days, times) = match text.split_once(' ') {
            Some((days, times)) => (Days::Week(weekdays(days).ok_or_else(bad)?), times.trim()),
            None if text.contains(':') => (every_day, text),
            None => return Ok(midnight(Days::Week(weekdays(text).ok_or_else(bad)?))),
        };
        let (hours, minutes) = times.split_once(':').ok_or_else(bad)?;
        Ok(Schedule {
            days,
            hours: numbers(hours, 24).ok_or_else(bad)?,
            minutes: numbers(minutes, 60).ok_or_else(bad)?,
        })
    }
}

/// `mon,wed` or `mon..fri`.
fn weekdays(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        days.get_mut(first..=last)?.fill(true);
    }
    Some(days)
}

/// `7`, `7,19`, `8..18`, `0/4`, `8..18/2`, `*`, `*/2`.
fn numbers(text: &str, end: i8) -> Option<Vec<i8>> {
    let mut found = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|s| *s > 0)?)),
            None => (part, None),
        };
        let number =
            |text: &str| text.parse::<i8>().ok().filter(|number| (0..end).contains(number));
        let (first, last) = match (range, range.split_once("..")) {
            ("*", _) => (0, end - 1),
            (_, Some((first, last))) => (number(first)?, number(last)?),
            (one, None) => (number(one)?, if step.is_some() { end - 1 } else { number(one)? }),
        };
        if first > last {
            return None;
        }
        found.extend((first..=last).step_by(step.unwrap_or(1)));
    }
    found.sort_unstable();
    found.dedup();
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(schedule: &str, first: &str, last: &str, zone: &TimeZone) -> Vec<String> {
        let schedule: Schedule = schedule.parse().unwrap();
        let times = schedule.times(first.parse().unwrap(), last.parse().unwrap(), zone);
        let text = |time: i64| datastore::time::to_utc_text(time).unwrap();
        times.into_iter().map(|time| text(time)[5..16].to_owned()).collect()
    }

    #[test]
    fn schedules_give_their_times() {
        let utc = TimeZone::UTC;
        for (schedule, wanted) in [
            ("daily", &["03-08T00:00", "03-09T00:00", "03-10T00:00", "03-11T00:00"][..]),
            ("weekly", &["03-11T00:00"]),
            ("sat..sun", &["03-09T00:00", "03-10T00:00"]),
            ("Fri,sun 6,18:30", &["03-08T06:30", "03-08T18:30", "03-10T06:30", "03-10T18:30"]),
            ("mon 0/12:00", &["03-11T00:00", "03-11T12:00"]),
            ("fri 8..9:15/30", &["03-08T08:15", "03-08T08:45", "03-08T09:15", "03-08T09:45"]),
            ("monthly", &[]),
        ] {
            let found = times(schedule, "2024-03-08", "2024-03-11T12:00:00Z", &utc);
            assert_eq!(found, wanted, "{schedule}");
        }
        assert_eq!(times("*:0", "2024-03-08", "2024-03-08T23:59:59Z", &utc).len(), 24);
        assert_eq!(times("hourly", "2024-03-08", "2024-03-09T23:59:59Z", &utc).len(), 48);
        assert_eq!(times("monthly", "2023-12-31", "2024-02-01T00:00:00Z", &utc).len(), 2);
        assert_eq!(times("yearly", "2020-06-01", "2024-02-01T00:00:00Z", &utc).len(), 4);
        let vienna = TimeZone::get("Europe/Vienna").unwrap();
        let spring = times("2:30", "2024-03-30", "2024-04-01T12:00:00Z", &vienna);
        assert_eq!(spring, ["03-30T01:30", "03-31T01:30", "04-01T00:30"]);
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for bad in [
            "", "often", "25:00", "8", "8:60", "mon..", "fri..mon", "x 8:00", "8..:00", "0/0:00",
            "-1:00",
        ] {
            let error = bad.parse::<Schedule>().unwrap_err();
            assert!(error.contains("0/4:00"), "{bad}: {error}");
        }
    }
}
