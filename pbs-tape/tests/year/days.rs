//! The model's calendar: when a night's jobs run, and when sets are over, by the clock on the wall.
//!
//! Reckoned here from civil dates, without the calendar events of the code under test.

use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

/// When the jobs of a night run. Summer time skips this once a year, and once it comes twice.
const JOBS_AT: (i8, i8) = (2, 45);

fn moment(date: Date, (hour, minute): (i8, i8)) -> i64 {
    // Twice: the first; skipped: so much later as was skipped.
    let zone = TimeZone::system();
    zone.to_zoned(date.at(hour, minute, 0, 0)).unwrap().timestamp().as_second()
}

/// The date of night `day`, counted from `first`.
pub fn date(first: Date, day: u64) -> Date {
    first.checked_add((day as i64).days()).unwrap()
}

/// When the jobs of that night run.
pub fn jobs_at(date: Date) -> i64 {
    moment(date, JOBS_AT)
}

/// When the backups on disk are made that the night before.
pub fn backups_at(date: Date) -> i64 {
    moment(date.yesterday().unwrap(), (22, 0))
}

/// A calendar event of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `sat 12:00`
    Saturday,
    /// `monthly`
    Month,
}

impl Event {
    /// The first one after a moment.
    pub fn after(self, time: i64) -> i64 {
        let zone = TimeZone::system();
        let mut date = Timestamp::from_second(time).unwrap().to_zoned(zone.clone()).date();
        loop {
            let (is_day, at) = match self {
                Event::Saturday => (date.weekday() == Weekday::Saturday, date.at(12, 0, 0, 0)),
                Event::Month => (date.day() == 1, date.at(0, 0, 0, 0)),
            };
            if is_day {
                let found = zone.to_ambiguous_timestamp(at);
                assert!(matches!(found.offset(), AmbiguousOffset::Unambiguous { .. }));
                let event = found.compatible().unwrap().as_second();
                if event > time {
                    return event;
                }
            }
            date = date.tomorrow().unwrap();
        }
    }
}
