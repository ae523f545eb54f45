//! Calendar dates for the cartridge memory, from seconds since 1970 in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970 now, 0 on a clock before that.
pub(crate) fn now_epoch() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970 now, 0 on a clock before that.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// `YYYYMMDD` of a moment, in the proleptic Gregorian calendar.
pub(crate) fn yyyymmdd(epoch: u64) -> String {
    // Days are counted from 0000-03-01, so that a leap day ends its year; 400 years have 146097
    // days. The month formula spreads the 153 days of five months from March on.
    let days = epoch / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}{month:02}{day:02}")
}

#[cfg(test)]
mod tests {
    use super::yyyymmdd;

    #[test]
    fn known_days() {
        assert_eq!(yyyymmdd(0), "19700101");
        assert_eq!(yyyymmdd(951_782_400), "20000229");
        assert_eq!(yyyymmdd(1_714_557_600), "20240501");
        assert_eq!(yyyymmdd(4_107_542_399), "21000228");
    }
}
