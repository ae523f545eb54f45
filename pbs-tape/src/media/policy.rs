//! Pool configuration: when a new media set begins, and how long tapes keep their data.

use std::fmt;
use std::str::FromStr;

use datastore::calendar::CalendarEvent;
use jiff::Timestamp;
use jiff::fmt::strtime::{BrokenDownTime, Config, PosixCustom};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::error::{Error, Result};

/// When a write session begins a new media set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Allocation {
    /// Only when the current one can't be used.
    #[default]
    Continue,
    /// Every time.
    Always,
    /// If this event has happened since the current one was started.
    Event(Box<CalendarEvent>),
}

impl Allocation {
    /// The first moment after `start` at which a set that began then is to be left, if the policy
    /// names moments and there is one. Events are those of the local time zone.
    pub(crate) fn next_event(&self, start: i64) -> Option<i64> {
        match self {
            Allocation::Continue | Allocation::Always => None,
            Allocation::Event(event) => event.next_after(start, &TimeZone::system()),
        }
    }
}

impl FromStr for Allocation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Allocation> {
        match text {
            "continue" => Ok(Allocation::Continue),
            "always" => Ok(Allocation::Always),
            event => match event.parse() {
                Ok(event) => Ok(Allocation::Event(Box::new(event))),
                Err(e) => Err(Error::BadArgument {
                    what: "allocation policy",
                    value: event.to_string(),
                    reason: format!("it is neither 'continue' nor 'always', and {e}"),
                }),
            },
        }
    }
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Allocation::Continue => f.write_str("continue"),
            Allocation::Always => f.write_str("always"),
            Allocation::Event(event) => event.fmt(f),
        }
    }
}

/// How long a full tape's data is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Retention {
    /// For ever.
    #[default]
    Keep,
    /// Until the set is not written any more.
    Overwrite,
    /// So long after the set was written last.
    Protect(TimeSpan),
}

impl FromStr for Retention {
    type Err = Error;

    fn from_str(text: &str) -> Result<Retention> {
        match text {
            "keep" => Ok(Retention::Keep),
            "overwrite" => Ok(Retention::Overwrite),
            span => Ok(Retention::Protect(span.parse()?)),
        }
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Retention::Keep => f.write_str("keep"),
            Retention::Overwrite => f.write_str("overwrite"),
            Retention::Protect(span) => write!(f, "{span}"),
        }
    }
}

/// A time span such as `2 weeks 3d`: integers with units, summed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeSpan {
    text: String,
    /// Whole seconds; the rest does not count for expiry.
    seconds: u64,
}

impl TimeSpan {
    /// Whole seconds.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

const NANOS_PER_SECOND: u128 = 1_000_000_000;

fn unit_nanos(unit: &str) -> Option<u128> {
    let seconds = |seconds: u128| Some(seconds * NANOS_PER_SECOND);
    match unit {
        "y" | "year" | "years" => seconds(31_557_600),
        "M" | "month" | "months" => seconds(2_630_016),
        "w" | "week" | "weeks" => seconds(7 * 86_400),
        "d" | "day" | "days" => seconds(86_400),
        "h" | "hr" | "hour" | "hours" => seconds(3_600),
        "m" | "min" | "minute" | "minutes" => seconds(60),
        "" | "s" | "sec" | "second" | "seconds" => seconds(1),
        "ms" | "msec" => Some(1_000_000),
        "us" | "usec" | "µs" => Some(1_000),
        "ns" | "nsec" => Some(1),
        _ => None,
    }
}

impl FromStr for TimeSpan {
    type Err = Error;

    fn from_str(text: &str) -> Result<TimeSpan> {
        let bad = |reason: &str| Error::BadArgument {
            what: "time span",
            value: text.to_string(),
            reason: reason.to_string(),
        };
        let mut rest = text.trim_matches(' ');
        if rest.is_empty() {
            return Err(bad("it is empty; write for example '2 weeks'"));
        }
        let mut nanos: u128 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, after) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| bad("a number below 2^64 is expected"))?;
            let after = after.trim_start_matches(' ');
            let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(letters);
            let factor = unit_nanos(unit)
                .ok_or_else(|| bad("units are y, M, w, d, h, m, s, ms, us, ns and their names"))?;
            nanos = u128::from(number)
                .checked_mul(factor)
                .and_then(|part| nanos.checked_add(part))
                .ok_or_else(|| bad("it is too long"))?;
            rest = after.trim_start_matches(' ');
        }
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| bad("it is too long"))?;
        Ok(TimeSpan { text: text.to_string(), seconds })
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

macro_rules! serde_as_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_text!(Allocation);
serde_as_text!(Retention);

/// Template of a set's name without another one: date and time of its start.
pub const DEFAULT_TEMPLATE: &str = "%c";

/// Length of a template (`docs/media.md`).
const TEMPLATE_CHARS: std::ops::RangeInclusive<usize> = 2..=64;

/// A media pool: tapes that are used for one purpose under one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolConfig {
    /// Its name; 2 to 32 characters as [`crate::format::label::check_pool_name`] allows.
    pub name: String,
    /// When a new set begins.
    #[serde(default)]
    pub allocation: Allocation,
    /// How long data is kept.
    #[serde(default)]
    pub retention: Retention,
    /// Name of a set: strftime of its start, `%id%` is its UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Fingerprint of the key that new sets are encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

impl PoolConfig {
    /// A pool with the default policy: continue, keep.
    pub fn new(name: &str) -> PoolConfig {
        PoolConfig {
            name: name.to_string(),
            allocation: Allocation::default(),
            retention: Retention::default(),
            template: None,
            encrypt: None,
            comment: None,
        }
    }

    /// Refuses what could not be used later: a template that names no set or that nobody can read, a
    /// comment of several lines.
    pub fn check(&self) -> Result<()> {
        let bad = |what, value: &str, reason: String| {
            Err(Error::BadArgument { what, value: value.to_string(), reason })
        };
        if let Some(template) = &self.template {
            if !TEMPLATE_CHARS.contains(&template.chars().count()) {
                return bad("template", template, "it must have 2 to 64 characters".into());
            }
            if template.contains(char::is_control) {
                return bad("template", template, "it must be one line".into());
            }
            let config = Config::new().custom(PosixCustom::new());
            let time = BrokenDownTime::from(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC));
            let text = template.replace("%id%", "");
            if let Err(e) = time.to_string_with_config(&config, &text) {
                return bad("template", template, format!("{e}; a percent sign itself is %%"));
            }
        }
        if let Some(comment) = self.comment.as_ref().filter(|text| text.contains(char::is_control))
        {
            return bad("comment", comment, "it must be one line".into());
        }
        Ok(())
    }

    /// The name of the set that began at `start`.
    pub fn set_name(&self, set: &Uuid, start: i64) -> String {
        let template = self.template.as_deref().unwrap_or(DEFAULT_TEMPLATE);
        let template = template.replace("%id%", &set.to_string());
        let Ok(time) = Timestamp::from_second(start) else {
            return set.to_string();
        };
        let time = BrokenDownTime::from(&time.to_zoned(TimeZone::system()));
        let config = Config::new().custom(PosixCustom::new()).lenient(true);
        time.to_string_with_config(&config, &template).unwrap_or_else(|_| set.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_spans_are_summed() {
        for (text, seconds) in [
            ("0", 0),
            ("12", 12),
            (" 1h 30min ", 5400),
            ("1d1d", 172_800),
            ("2 weeks 1 s", 1_209_601),
            ("1999ms", 1),
            ("1y", 31_557_600),
            ("1M", 2_630_016),
            ("500ms 500 ms", 1),
        ] {
            assert_eq!(text.parse::<TimeSpan>().unwrap().seconds(), seconds, "{text}");
        }
        for bad in ["1mon", "1mins", "1hrs", "1secs", "1yr", "1H", "1.5h", "-1", "h", "", "1 d x"] {
            assert!(bad.parse::<TimeSpan>().is_err(), "{bad}");
        }
        assert!("18446744073709551616".parse::<TimeSpan>().is_err());
    }

    #[test]
    fn policies_are_read_back() {
        for text in ["keep", "overwrite", "3 days"] {
            assert_eq!(text.parse::<Retention>().unwrap().to_string(), text);
        }
        for text in ["continue", "always", "sat 10:00", "weekly"] {
            assert_eq!(text.parse::<Allocation>().unwrap().to_string(), text);
        }
        let error = "often".parse::<Allocation>().unwrap_err().to_string();
        assert!(error.contains("'continue'") && error.contains("mon..fri"), "{error}");
    }

    #[test]
    fn set_names_follow_the_template() {
        let set = Uuid::nil();
        let mut pool = PoolConfig::new("p1");
        pool.template = Some("%Y set %id%".into());
        assert_eq!(pool.set_name(&set, 1_795_288_969), format!("2026 set {set}"));
        pool.template = None;
        let name = pool.set_name(&set, 1_795_288_969);
        assert!(name.starts_with("S") && name.ends_with("2026"), "{name}");
        pool.template = Some("%".into());
        assert!(!pool.set_name(&set, 0).is_empty());
    }

    #[test]
    fn what_could_not_be_used_later_is_refused() {
        let mut pool = PoolConfig::new("p1");
        let longest = "x".repeat(64);
        for good in ["%c", "%id%", "%Y-%m-%d %H:%M set", "100%%", &longest] {
            pool.template = Some(good.into());
            pool.check().unwrap();
        }
        let too_long = "x".repeat(65);
        for bad in ["", "x", "%", "a %~", "%Y\n", &too_long] {
            pool.template = Some(bad.into());
            let error = pool.check().unwrap_err().to_string();
            assert!(error.starts_with("template"), "{bad}: {error}");
        }
        pool.template = None;
        pool.comment = Some("two\nlines".into());
        assert!(pool.check().is_err());
    }
}
