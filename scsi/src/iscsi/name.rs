//! Names of iSCSI nodes (RFC 7143 §4.2.7).
//!
//! | kind | form |
//! |---|---|
//! | iqn | `iqn.YYYY-MM.REVERSED.DOMAIN` and, behind a colon, what the owner of the domain likes |
//! | eui | `eui.` and 16 hexadecimal digits |
//! | naa | `naa.` and 16 or 32 hexadecimal digits |
//!
//! Names are at most 223 bytes and compared without regard to case: [`Name`] keeps lower case.

use std::fmt;
use std::str::FromStr;

use super::{Error, Result};

/// Longest name in bytes.
pub const BYTES_MAX: usize = 223;

/// The name of an initiator or a target, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Name {
    type Err = Error;

    fn from_str(text: &str) -> Result<Name> {
        let refuse =
            |reason: &str| Err(Error::malformed("node name", format!("'{text}' {reason}")));
        if text.len() > BYTES_MAX {
            return refuse("is longer than 223 bytes");
        }
        // What stringprep forbids in ASCII; letters of other alphabets pass as they are.
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-.:".contains(c) || !c.is_ascii();
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || !is_allowed(c)) {
            return refuse("has characters other than letters, digits, '-', '.' and ':'");
        }
        let lower = text.to_lowercase();
        let is_hex = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_sound = match lower.split_once('.') {
            Some(("iqn", rest)) => is_iqn(rest),
            Some(("eui", digits)) => digits.len() == 16 && is_hex(digits),
            Some(("naa", digits)) => matches!(digits.len(), 16 | 32) && is_hex(digits),
            _ => false,
        };
        if !is_sound {
            return refuse("is not of the form iqn.YYYY-MM.DOMAIN[:…], eui.… or naa.…");
        }
        Ok(Name(lower))
    }
}

/// `YYYY-MM.domain`, and anything behind a colon.
fn is_iqn(rest: &str) -> bool {
    let (authority, _) = rest.split_once(':').unwrap_or((rest, ""));
    let Some((date, domain)) = authority.split_once('.') else { return false };
    let is_date = matches!(date.as_bytes(), [y @ .., b'-', m1, m2]
        if y.len() == 4 && y.iter().chain([m1, m2]).all(u8::is_ascii_digit));
    is_date && !domain.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_what_is_none() {
        for (text, kept) in [
            ("iqn.2001-04.com.example:storage:diskarrays-sn-a8675309", None),
            ("iqn.2026-01.test", None),
            ("IQN.2026-01.Test:Lib0", Some("iqn.2026-01.test:lib0")),
            ("eui.02004567A425678D", Some("eui.02004567a425678d")),
            ("naa.62004567BA64678D0123456789ABCDEF", Some("naa.62004567ba64678d0123456789abcdef")),
            ("iqn.1993-08.org.debian:01:ab", None),
        ] {
            let name: Name = text.parse().unwrap();
            assert_eq!(name.to_string(), kept.unwrap_or(text));
        }
        let long = format!("iqn.2026-01.test:{}", "x".repeat(300));
        for text in [
            "",
            "iqn",
            "iqn.",
            "iqn.2026-01",
            "iqn.2026-1.test",
            "iqn.26-01.test",
            "iqn.2026-01.:x",
            "eui.123",
            "eui.02004567A425678G",
            "naa.1",
            "lib0",
            "iqn.2026-01.te st",
            "iqn.2026-01.t/x",
            "iqn.2026-01.test:a\0b",
            &long,
        ] {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }
}
