//! Times as the formats write them: seconds since 1970 and RFC 3339 text.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// Seconds since 1970-01-01T00:00:00Z, now.
pub fn now() -> i64 {
    Timestamp::now().as_second()
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// `YYYY-MM-DDTHH:MM:SSZ`, or `None` outside the years 0 to 9999.
pub fn to_utc_text(epoch: i64) -> Option<String> {
    let time = EPOCH.checked_add(SignedDuration::from_secs(epoch)).ok()?;
    if !(0..=9999).contains(&time.year()) {
        return None;
    }
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// The inverse of [`to_utc_text`]. Text that no real time is printed as (month 13, 30 February,
/// second 60, lower case) is `None`, so that `to_utc_text(from_utc_text(x)) == x` for every `Some`.
pub fn from_utc_text(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 20 {
        return None;
    }
    let shape = b"dddd-dd-ddTdd:dd:ddZ";
    for (byte, wanted) in bytes.iter().zip(shape) {
        let fits = if *wanted == b'd' { byte.is_ascii_digit() } else { byte == wanted };
        if !fits {
            return None;
        }
    }
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
    let small = |range: std::ops::Range<usize>| text.get(range)?.parse::<i8>().ok();
    let time = DateTime::new(
        number(0..4)?,
        small(5..7)?,
        small(8..10)?,
        small(11..13)?,
        small(14..16)?,
        small(17..19)?,
        0,
    )
    .ok()?;
    let epoch = time.duration_since(EPOCH).as_secs();
    (to_utc_text(epoch).as_deref() == Some(text)).then_some(epoch)
}

/// RFC 3339 in local time with a numeric offset (`2020-06-26T15:56:05+02:00`; UTC is `+00:00`), as
/// key files carry it.
pub fn to_local_text(epoch: i64) -> String {
    let time = match Timestamp::from_second(epoch) {
        Ok(time) => time.to_zoned(TimeZone::system()),
        Err(_) => return epoch.to_string(),
    };
    let offset = time.offset().seconds();
    let sign = if offset < 0 { '-' } else { '+' };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
        time.year(),
        time.month(),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        offset.abs() / 3600,
        offset.abs() / 60 % 60
    )
}

/// Any RFC 3339 time (`Z` or a numeric offset) as seconds since 1970; `None` if it is not one.
pub fn from_text(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(|time| time.as_second())
}

/// When a task began, in seconds since 1970, if its identifier
/// (`UPID:node:pid:pstart:task-id:starttime:worker-type:worker-id:auth-id:`, numbers in hexadecimal
/// digits) can be read.
pub fn of_task(upid: &str) -> Option<i64> {
    let fields: Vec<&str> = upid.split(':').collect();
    let ["UPID", _node, _pid, _start, _task, time, _worker, _id, _auth, ""] = fields.as_slice()
    else {
        return None;
    };
    i64::from_str_radix(time, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_text_round_trips() {
        for (epoch, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_593_179_765, "2020-06-26T13:56:05Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(to_utc_text(epoch).as_deref(), Some(text));
            assert_eq!(from_utc_text(text), Some(epoch));
        }
    }

    #[test]
    fn unreal_times_are_refused() {
        for bad in [
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-00-01T00:00:00Z",
            "2024-01-01T00:00:00z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00+00:00",
            "+024-01-01T00:00:00Z",
        ] {
            assert_eq!(from_utc_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn local_text_is_read_back() {
        let text = to_local_text(1_700_000_000);
        assert_eq!(from_text(&text), Some(1_700_000_000));
        assert_eq!(from_text("2023-11-14T22:13:20Z"), Some(1_700_000_000));
        assert_eq!(from_text("2023-11-14T23:13:20+01:00"), Some(1_700_000_000));
    }
}
