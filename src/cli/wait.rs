//! `--wait`: what a command does when somebody else uses the datastore.

use std::time::Duration;

use clap::Args;

/// How long a command waits for its turn.
#[derive(Debug, Clone, Copy, Args)]
pub struct WaitArgs {
    /// If the datastore is in use in a way that does not go together, wait so long for it (30s, 5m,
    /// 2h) instead of failing at once
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "0s",
          hide_default_value = true)]
    pub wait: Duration,
}

/// A length of time as options have it.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| format!("'{text}' is not a length of time; 30s, 5m and 2h are"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        assert_eq!(parse_duration("0s").unwrap(), Duration::ZERO);
        assert_eq!(parse_duration("5m").unwrap(), Duration::from_secs(300));
        assert_eq!(parse_duration("1h 30m").unwrap(), Duration::from_secs(5400));
        for bad in ["", "5", "-5s", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
