//! Why an element of a library is in an abnormal state: the ASC and ASCQ of its descriptor (SMC-3 §6.11,
//! EXCEPT), which are no sense data of a command.
//!
//! Code 83h is the makers' own. In element descriptors several of them (Exabyte, Tandberg and the makers of the
//! libraries that they sold) mean the same by it, as their manuals say; in sense data it means other things, so those
//! words are used here only.

use std::fmt;

use super::text;

/// ASC and ASCQ of an element in an abnormal state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementException {
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
}

impl ElementException {
    /// The cartridge is there and its bar code could not be read: it can be used by its slot.
    pub const fn is_bar_code_unread(&self) -> bool {
        matches!((self.asc, self.ascq), (0x83, 0x00 | 0x01 | 0x09 | 0x0a))
    }

    /// The place itself is not there: magazine taken out, drive not installed.
    pub const fn is_absent(&self) -> bool {
        matches!((self.asc, self.ascq), (0x3b, 0x11 | 0x12 | 0x1a) | (0x83, 0x02 | 0x04))
    }

    const fn words(&self) -> Option<&'static str> {
        match (self.asc, self.ascq) {
            (0x83, 0x00) => Some("bar code questionable"),
            (0x83, 0x01) => Some("bar code unreadable"),
            (0x83, 0x02) => Some("magazine not there"),
            (0x83, 0x03) => Some("bar code and occupancy questionable, take inventory"),
            (0x83, 0x04) => Some("drive not installed"),
            (0x83, 0x09) => Some("no bar code on the cartridge"),
            (0x83, 0x0a) => Some("the bar code reader failed"),
            _ => None,
        }
    }
}

/// In words, with the numbers that the library's manual explains: `magazine removed (3b/12)`.
impl fmt::Display for ElementException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words().or_else(|| text::describe(self.asc, self.ascq));
        let words = words.unwrap_or(if self.asc >= 0x80 || self.ascq >= 0x80 {
            "a condition of the maker's own, see the library's manual"
        } else {
            "abnormal state"
        });
        write!(f, "{words} ({:02x}/{:02x})", self.asc, self.ascq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(asc: u8, ascq: u8) -> ElementException {
        ElementException { asc, ascq }
    }

    #[test]
    fn makers_codes_and_those_of_the_standard_are_words() {
        for (asc, ascq, words) in [
            (0x83, 0x01, "bar code unreadable (83/01)"),
            (0x3b, 0x12, "magazine removed (3b/12)"),
            (0x04, 0x18, "a door is open (04/18)"),
            (0x00, 0x00, "abnormal state (00/00)"),
        ] {
            assert_eq!(exception(asc, ascq).to_string(), words);
        }
        assert!(exception(0x99, 0x12).to_string().contains("manual"));
    }

    #[test]
    fn what_it_means_for_the_cartridge() {
        assert!(exception(0x83, 0x09).is_bar_code_unread());
        assert!(!exception(0x83, 0x04).is_bar_code_unread() && exception(0x83, 0x04).is_absent());
        assert!(exception(0x3b, 0x12).is_absent() && !exception(0x04, 0x18).is_absent());
    }
}
