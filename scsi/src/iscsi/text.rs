//! `key=value` text of logins and text exchanges (RFC 7143 §6.1, §6.2).
//!
//! Each pair ends with a NUL byte. A text may be cut anywhere and go on in the next message; [`Collector`]
//! puts it together again, up to a limit.

use super::{Error, Result};

/// Longest key in bytes.
const KEY_BYTES_MAX: usize = 63;

/// Value that means: I don't know this key.
pub const NOT_UNDERSTOOD: &str = "NotUnderstood";
/// Value that means: this key has no meaning here.
pub const IRRELEVANT: &str = "Irrelevant";
/// Value that means: I can't accept what was proposed.
pub const REJECT: &str = "Reject";
/// Value that means nothing, or no digest, or no authentication.
pub const NONE: &str = "None";

/// Pairs in the order in which they were sent. A key may come several times (TargetName in an answer to
/// SendTargets).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(Vec<(String, String)>);

impl Text {
    /// No pairs.
    pub fn new() -> Text {
        Text::default()
    }

    /// Parses the text in data segments.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for what is no pair of a key and a value. A missing NUL behind the last pair
    /// and empty pairs are let pass.
    pub fn parse(bytes: &[u8]) -> Result<Text> {
        let mut pairs = Vec::new();
        for pair in bytes.split(|byte| *byte == 0).filter(|pair| !pair.is_empty()) {
            let refuse = |reason: &str| {
                let shown: String = String::from_utf8_lossy(pair).chars().take(80).collect();
                Err(Error::malformed("text", format!("'{}' {reason}", shown.escape_debug())))
            };
            let Ok(pair) = std::str::from_utf8(pair) else { return refuse("is not UTF-8") };
            let Some((key, value)) = pair.split_once('=') else { return refuse("has no '='") };
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+@_#".contains(&byte);
            if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(is_allowed) {
                return refuse("has no key before '='");
            }
            pairs.push((key.to_string(), value.to_string()));
        }
        Ok(Text(pairs))
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            bytes.extend_from_slice(key.as_bytes());
            bytes.push(b'=');
            bytes.extend_from_slice(value.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    /// Adds a pair. The key is one of the RFC's; a NUL in the value would end it.
    pub fn push(&mut self, key: impl Into<String>, value: impl Into<String>) -> &mut Text {
        self.0.push((key.into(), value.into()));
        self
    }

    /// Value of the first pair with this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// The pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// True without pairs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Puts the parts of a text together.
#[derive(Debug)]
pub struct Collector {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Collector {
    /// For texts of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Collector {
        Collector { bytes: Vec::new(), bytes_max }
    }

    /// Takes a data segment; with the last one (`is_continued` false) it gives the whole text and is
    /// empty again.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] beyond the limit, and as [`Text::parse`].
    pub fn push(&mut self, data: &[u8], is_continued: bool) -> Result<Option<Text>> {
        if data.len() > self.bytes_max.saturating_sub(self.bytes.len()) {
            return Err(Error::malformed(
                "text",
                format!("it is longer than {} bytes", self.bytes_max),
            ));
        }
        self.bytes.extend_from_slice(data);
        if is_continued {
            return Ok(None);
        }
        Text::parse(&std::mem::take(&mut self.bytes)).map(Some)
    }
}

/// A number: decimal, or hexadecimal behind `0x` (RFC 7143 §6.1, numerical-value).
pub fn parse_number(value: &str) -> Option<u64> {
    let (digits, radix) = match value.strip_prefix("0x").or_else(|| value.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (value, 10),
    };
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// `Yes` or `No`.
pub fn parse_boolean(value: &str) -> Option<bool> {
    match value {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    }
}

/// `Yes` or `No`.
pub fn boolean(value: bool) -> &'static str {
    if value { "Yes" } else { "No" }
}

/// Bytes of a binary value, hexadecimal behind `0x` or base64 behind `0b` (§6.1, large-binary-value).
/// `None` if it is neither or longer than `bytes_max`.
pub fn parse_binary(value: &str, bytes_max: usize) -> Option<Vec<u8>> {
    let (kind, digits) = value.split_at_checked(2)?;
    if digits.len() > bytes_max.saturating_mul(2).saturating_add(4) {
        return None;
    }
    let bytes = match kind {
        "0x" | "0X" => from_hex(digits)?,
        "0b" | "0B" => from_base64(digits)?,
        _ => return None,
    };
    (bytes.len() <= bytes_max).then_some(bytes)
}

/// A binary value, hexadecimal: what every peer reads.
pub fn binary(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("0x");
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    // An odd number of digits lacks the leading zero.
    let mut nibbles = Vec::with_capacity(digits.len() + 1);
    if digits.len() % 2 == 1 {
        nibbles.push(0);
    }
    for digit in digits.chars() {
        nibbles.push(u8::try_from(digit.to_digit(16)?).ok()?);
    }
    let byte = |pair: &[u8]| pair.iter().fold(0u8, |byte, nibble| byte << 4 | nibble);
    Some(nibbles.chunks(2).map(byte).collect())
}

fn from_base64(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.trim_end_matches('=').as_bytes();
    let value = |digit: u8| -> Option<u32> {
        Some(u32::from(match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }))
    };
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let mut bits = 0;
        for digit in group {
            bits = bits << 6 | value(*digit)?;
        }
        let whole = match group.len() {
            4 => 3,
            3 => 2,
            2 => 1,
            _ => return None,
        };
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(bits.to_be_bytes().get(1..=whole)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_and_what_is_none() {
        let text =
            Text::parse(b"InitiatorName=iqn.2026-01.test:a\0SessionType=Normal\0X=a=b\0E=\0")
                .unwrap();
        assert_eq!(text.get("SessionType"), Some("Normal"));
        assert_eq!(text.get("X"), Some("a=b"));
        assert_eq!(text.get("E"), Some(""));
        assert_eq!(text.get("sessiontype"), None);
        assert_eq!(Text::parse(b"A=1").unwrap().iter().count(), 1);
        assert!(Text::parse(b"").unwrap().is_empty());
        for bytes in [&b"A"[..], b"=1", b"A B=1", b"A=\xff", &[b'K'; 70]] {
            assert!(Text::parse(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_text_in_parts_has_a_limit() {
        let mut collector = Collector::new(16);
        assert_eq!(collector.push(b"Targ", true).unwrap(), None);
        let text = collector.push(b"etName=x\0", false).unwrap().unwrap();
        assert_eq!(text.get("TargetName"), Some("x"));
        assert_eq!(collector.push(b"0123456789", true).unwrap(), None);
        assert!(collector.push(b"0123456", true).is_err());
    }

    #[test]
    fn numbers() {
        for (text, number) in [
            ("0", Some(0)),
            ("262144", Some(262_144)),
            ("0x40000", Some(262_144)),
            ("0Xff", Some(255)),
            ("", None),
            ("0x", None),
            ("-1", None),
            ("+1", None),
            (" 1", None),
            ("1k", None),
            ("ff", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_number(text), number, "{text:?}");
        }
    }

    #[test]
    fn binary_values() {
        for (text, bytes) in [
            ("0x", Some(&b""[..])),
            ("0x0aFF", Some(&[0x0a, 0xff])),
            ("0xaff", Some(&[0x0a, 0xff])),
            ("0bQUI=", Some(b"AB")),
            ("0bQUI", Some(b"AB")),
            ("0bQUJD", Some(b"ABC")),
            ("0bQ", None),
            ("0bQ*==", None),
            ("0xzz", None),
            ("ff", None),
            ("", None),
            ("0x000000000000000000", None),
        ] {
            assert_eq!(parse_binary(text, 8).as_deref(), bytes, "{text}");
        }
        assert_eq!(binary(&[0, 0xab]), "0x00ab");
    }

    proptest! {
        #[test]
        fn texts_round_trip(pairs in prop::collection::vec(("[A-Za-z0-9._-]{1,63}", "[^\0]{0,40}"), 0..8)) {
            let mut text = Text::new();
            for (key, value) in pairs {
                text.push(key, value);
            }
            prop_assert_eq!(Text::parse(&text.to_bytes()).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_a_text_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(text) = Text::parse(&bytes) {
                prop_assert_eq!(Text::parse(&text.to_bytes()).unwrap(), text);
            }
        }

        #[test]
        fn binary_round_trips(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(parse_binary(&binary(&bytes), 64), Some(bytes));
        }
    }
}
