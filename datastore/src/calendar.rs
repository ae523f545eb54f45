//! Calendar events: `mon..fri 21:30`, `*-*-1`, `0/4:00`, `weekly`; and when the next one is.
//!
//! ```text
//! event    = KEYWORD [UTC] | [WEEKDAYS] [DATE] [TIME] [UTC]    at least one of the three
//! DATE     = [YEARS-]MONTHS-DAYS
//! TIME     = HOURS:MINUTES[:SECONDS] | MINUTES[:SECONDS]
//! numbers  = * | */STEP | a list of N, N..M, N/STEP, N..M/STEP with commas
//! ```
//!
//! What is guaranteed: [`CalendarEvent::next_after`] is later than the moment asked about, matches every
//! part of the event on the wall clock of the time zone, and nothing between the two matches. That
//! holds because it goes over the matching dates, and on each over the matching times, in ascending
//! order and takes the first that the zone's clock really shows later on. A time that the clock skips
//! in spring does not fire that day; one that it shows twice in autumn fires once.
//!
//! One difference from the reference is deliberate: an open repetition whose step does not divide its
//! range (`*/7:00`) starts anew each period here, and is carried over there.
//!
//! The grammar, with what the words and numbers may be, is described in `docs/calendar.md`. It lies
//! on this floor because pools, and jobs of the disk side, are told by it when to act.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Error;

/// Moments that repeat, as text and as the numbers that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarEvent {
    text: String,
    /// Monday first.
    weekdays: [bool; 7],
    years: Numbers,
    months: Numbers,
    days: Numbers,
    hours: Numbers,
    minutes: Numbers,
    seconds: Numbers,
    is_utc: bool,
}

impl CalendarEvent {
    /// The first moment later than `after` that matches, both in seconds since 1970. `None`: there is
    /// no more. Wall-clock time is that of `zone` unless the event itself says UTC.
    pub fn next_after(&self, after: i64, zone: &TimeZone) -> Option<i64> {
        let utc = TimeZone::UTC;
        let zone = if self.is_utc { &utc } else { zone };
        let after = Timestamp::from_second(after).ok()?;
        let wall = zone.to_datetime(after);
        for date in self.dates_from(wall.date()) {
            // On the day itself only what the clock shows later; on every other day all.
            let later_than = (date == wall.date()).then(|| wall.time());
            for time in self.times_after(later_than) {
                if let Some(moment) = moment_of(date.to_datetime(time), after, zone) {
                    return Some(moment.as_second());
                }
            }
        }
        None
    }

    /// All matching moments later than `after` and not later than `until`, ascending.
    pub fn between(&self, after: i64, until: i64, zone: &TimeZone) -> impl Iterator<Item = i64> {
        let next = move |from: i64| self.next_after(from, zone).filter(|next| *next <= until);
        std::iter::successors(next(after), move |last| next(*last))
    }

    /// Matching dates from `first` on. At most one pass over the years, months and days that there
    /// can be, so an event that never matches ends as well.
    fn dates_from(&self, first: Date) -> impl Iterator<Item = Date> {
        let months = self
            .years
            .from(first.year())
            .flat_map(|year| self.months.iter().map(move |month| (year, month)));
        let months = months.filter(move |month| *month >= (first.year(), i16::from(first.month())));
        let days = months.flat_map(|month| self.days.iter().map(move |day| (month, day)));
        days.filter_map(move |((year, month), day)| {
            let date = Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
            let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
            let fits = self.weekdays.get(weekday).copied().unwrap_or(false);
            (fits && date >= first).then_some(date)
        })
    }

    /// Matching times of a day, those later than `bound` if there is one.
    fn times_after(&self, bound: Option<Time>) -> impl Iterator<Item = Time> {
        let first_hour = bound.map_or(0, |bound| i16::from(bound.hour()));
        let hours = self.hours.from(first_hour);
        let minutes = hours.flat_map(|hour| self.minutes.iter().map(move |minute| (hour, minute)));
        let times = minutes.flat_map(|(hour, minute)| {
            self.seconds.iter().filter_map(move |second| {
                let small = |number: i16| i8::try_from(number).ok();
                Time::new(small(hour)?, small(minute)?, small(second)?, 0).ok()
            })
        });
        times.filter(move |time| bound.is_none_or(|bound| *time > bound))
    }
}

/// The moment at which the clock shows `wall`, if it ever does later than `after`.
fn moment_of(wall: DateTime, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let moment = zone.to_ambiguous_timestamp(wall);
    let (earlier, later) = match moment.offset() {
        AmbiguousOffset::Gap { .. } => return None,
        AmbiguousOffset::Unambiguous { .. } => (moment.unambiguous().ok()?, None),
        AmbiguousOffset::Fold { .. } => (moment.earlier().ok()?, moment.later().ok()),
    };
    Some(earlier).into_iter().chain(later).find(|moment| *moment > after)
}

const KEYWORDS: [(&str, &str); 10] = [
    ("minutely", "*:*"),
    ("hourly", "*:0"),
    ("daily", "0:0"),
    ("weekly", "mon"),
    ("monthly", "*-*-1"),
    ("quarterly", "*-1,4,7,10-1"),
    ("semiannually", "*-1,7-1"),
    ("semi-annually", "*-1,7-1"),
    ("yearly", "*-1-1"),
    ("annually", "*-1-1"),
];

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// What a field may hold.
struct Field {
    name: &'static str,
    max: i16,
    /// The least that is real: month 0 and day 0 can be written but are never.
    least: i16,
}

const YEARS: Field = Field { name: "years", max: 2199, least: 0 };
const MONTHS: Field = Field { name: "months", max: 12, least: 1 };
const DAYS: Field = Field { name: "days", max: 31, least: 1 };
const HOURS: Field = Field { name: "hours", max: 23, least: 0 };
const MINUTES: Field = Field { name: "minutes", max: 59, least: 0 };
const SECONDS: Field = Field { name: "seconds", max: 59, least: 0 };

/// The numbers of one field: ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers(Vec<i16>);

impl Numbers {
    fn iter(&self) -> impl Iterator<Item = i16> {
        self.0.iter().copied()
    }

    /// Those that are not less than `least`.
    fn from(&self, least: i16) -> impl Iterator<Item = i16> {
        let less = self.0.partition_point(|number| *number < least);
        self.0.iter().copied().skip(less)
    }

    fn all(field: &Field) -> Numbers {
        Numbers((field.least..=field.max).collect())
    }

    fn zero() -> Numbers {
        Numbers(vec![0])
    }

    /// The numbers that `text` names, or what is wrong with it.
    fn parse(text: &str, field: &Field) -> Result<Numbers, String> {
        let name = field.name;
        let number = |text: &str| -> Result<i16, String> {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("'{text}' in the {name} is not a number"));
            }
            text.parse::<i16>().ok().filter(|number| *number <= field.max).ok_or_else(|| {
                format!("{text} is not among the {name}, which end at {}", field.max)
            })
        };
        if text == "*" {
            return Ok(Numbers::all(field));
        }
        if let Some(step) = text.strip_prefix("*/") {
            let step = usize::try_from(number(step)?).unwrap_or(0);
            if step == 0 {
                return Err(format!("the {name} can't repeat every 0"));
            }
            return Ok(Numbers((field.least..=field.max).step_by(step).collect()));
        }
        let mut numbers = Vec::new();
        for part in text.split(',') {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(number(step)?)),
                None => (part, None),
            };
            let (first, last) = match range.split_once("..") {
                Some((first, last)) => (number(first)?, Some(number(last)?)),
                None => (number(range)?, None),
            };
            let last = match (last, step) {
                (Some(last), _) if last < first => {
                    return Err(format!("{range} in the {name} ends before it begins"));
                }
                (Some(_), Some(0)) => return Err(format!("the {name} can't repeat every 0")),
                (Some(last), _) => last,
                (None, Some(1..)) => field.max,
                (None, _) => first,
            };
            let step = step.and_then(|step| usize::try_from(step).ok()).unwrap_or(1).max(1);
            numbers.extend((first..=last).step_by(step));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Numbers(numbers))
    }
}

impl FromStr for CalendarEvent {
    type Err = Error;

    fn from_str(text: &str) -> Result<CalendarEvent, Error> {
        let bad = |reason: String| Error::BadCalendarEvent { text: text.to_owned(), reason };
        let mut event = parse(text).map_err(bad)?;
        text.clone_into(&mut event.text);
        Ok(event)
    }
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

fn parse(text: &str) -> Result<CalendarEvent, String> {
    let (text, is_utc) = match text.strip_suffix("UTC") {
        Some(rest) => (rest.trim_end_matches(is_blank), true),
        None => (text, false),
    };
    if text.is_empty() {
        return Err("it names no day and no time".into());
    }
    if text.starts_with(is_blank) || text.ends_with(is_blank) {
        return Err("it begins or ends with a blank".into());
    }
    let text = KEYWORDS.iter().find(|(word, _)| *word == text).map_or(text, |(_, same)| *same);
    let mut event = CalendarEvent {
        text: String::new(),
        weekdays: [true; 7],
        years: Numbers::all(&YEARS),
        months: Numbers::all(&MONTHS),
        days: Numbers::all(&DAYS),
        hours: Numbers::zero(),
        minutes: Numbers::zero(),
        seconds: Numbers::zero(),
        is_utc,
    };
    let mut parts = text.split(is_blank).filter(|part| !part.is_empty()).peekable();
    if let Some(part) = parts.next_if(|part| part.starts_with(|c: char| c.is_alphabetic())) {
        event.weekdays = parse_weekdays(part)?;
    }
    if let Some(part) = parts.next_if(|part| part.contains('-')) {
        event.parse_date(part)?;
    }
    if let Some(part) = parts.next() {
        event.parse_time(part)?;
    }
    match parts.next() {
        Some(part) => Err(format!("'{part}' follows the time")),
        None => Ok(event),
    }
}

impl CalendarEvent {
    fn parse_date(&mut self, text: &str) -> Result<(), String> {
        let fields: Vec<&str> = text.split('-').collect();
        let (months, days) = match fields[..] {
            [months, days] => (months, days),
            [years, months, days] => {
                self.years = Numbers::parse(years, &YEARS)?;
                (months, days)
            }
            _ => return Err(format!("'{text}' is not a date like 2030-12-24, *-*-1 or 12-24")),
        };
        self.months = Numbers::parse(months, &MONTHS)?;
        self.days = Numbers::parse(days, &DAYS)?;
        Ok(())
    }

    /// What comes before the first colon are hours if it can be; otherwise the time is that of every
    /// hour.
    fn parse_time(&mut self, text: &str) -> Result<(), String> {
        let fields: Vec<&str> = text.split(':').collect();
        let (minutes, seconds) = match fields[..] {
            [minutes] => {
                self.hours = Numbers::all(&HOURS);
                (minutes, None)
            }
            [first, second] => match Numbers::parse(first, &HOURS) {
                Ok(hours) => {
                    self.hours = hours;
                    (second, None)
                }
                Err(_) => {
                    self.hours = Numbers::all(&HOURS);
                    (first, Some(second))
                }
            },
            [hours, minutes, seconds] => {
                self.hours = Numbers::parse(hours, &HOURS)?;
                (minutes, Some(seconds))
            }
            _ => return Err(format!("'{text}' is not a time like 21:30 or 0/4:00")),
        };
        self.minutes = Numbers::parse(minutes, &MINUTES)?;
        if let Some(seconds) = seconds {
            self.seconds = Numbers::parse(seconds, &SECONDS)?;
        }
        Ok(())
    }
}

/// `mon,wed`, `Monday..friday`, `fri..mon`.
fn parse_weekdays(text: &str) -> Result<[bool; 7], String> {
    let number = |name: &str| {
        let lower = name.to_ascii_lowercase();
        WEEKDAYS
            .iter()
            .position(|day| *day == lower || day.get(..3) == Some(lower.as_str()))
            .ok_or_else(|| format!("'{name}' is neither a day of the week nor a known word"))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once("..").unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // A range may go over the end of the week.
        let count = (last + WEEKDAYS.len() - first) % WEEKDAYS.len() + 1;
        for day in (0..count).map(|day| (first + day) % WEEKDAYS.len()) {
            if let Some(day) = days.get_mut(day) {
                *day = true;
            }
        }
    }
    Ok(days)
}

impl fmt::Display for CalendarEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for CalendarEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for CalendarEvent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CalendarEvent, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
