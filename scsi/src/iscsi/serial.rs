//! Numbers that count commands and answers, and wrap (RFC 1982 with 32 bits; RFC 7143 §4.2.2).
//!
//! CmdSN, StatSN and DataSN go round after 2³². "Less" therefore means "less than half the circle behind".

use std::cmp::Ordering;

/// A number that wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Serial(pub u32);

impl Serial {
    /// The number behind this one.
    #[must_use]
    pub const fn next(self) -> Serial {
        self.plus(1)
    }

    /// `steps` numbers further, fewer than 2³¹.
    #[must_use]
    pub const fn plus(self, steps: u32) -> Serial {
        Serial(self.0.wrapping_add(steps))
    }

    /// How the numbers lie to each other on the circle. Two that are exactly half of it apart have no
    /// order: `None`.
    pub const fn compare(self, other: Serial) -> Option<Ordering> {
        match other.0.wrapping_sub(self.0) {
            0 => Some(Ordering::Equal),
            0x8000_0000 => None,
            1..=0x7fff_ffff => Some(Ordering::Less),
            _ => Some(Ordering::Greater),
        }
    }

    /// True if this number lies before `other`.
    pub fn is_before(self, other: Serial) -> bool {
        self.compare(other) == Some(Ordering::Less)
    }

    /// How many numbers from `self` to `last`, both counted; 0 if `last` lies before `self`. This is the
    /// size of a command window from ExpCmdSN to MaxCmdSN.
    pub fn window_to(self, last: Serial) -> u32 {
        match self.compare(last) {
            Some(Ordering::Less | Ordering::Equal) => last.0.wrapping_sub(self.0).saturating_add(1),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_goes_round_the_circle() {
        for (a, b, order) in [
            (0, 0, Some(Ordering::Equal)),
            (0, 1, Some(Ordering::Less)),
            (u32::MAX, 0, Some(Ordering::Less)),
            (0, u32::MAX, Some(Ordering::Greater)),
            (0, 0x7fff_ffff, Some(Ordering::Less)),
            (0, 0x8000_0000, None),
            (5, 0x8000_0006, Some(Ordering::Greater)),
        ] {
            assert_eq!(Serial(a).compare(Serial(b)), order, "{a} {b}");
        }
        assert_eq!(Serial(u32::MAX).next(), Serial(0));
    }

    #[test]
    fn a_window_counts_both_ends_and_closes() {
        assert_eq!(Serial(7).window_to(Serial(7)), 1);
        assert_eq!(Serial(u32::MAX).window_to(Serial(2)), 4);
        // RFC 7143 §4.2.2.1: MaxCmdSN = ExpCmdSN - 1 is a closed window.
        assert_eq!(Serial(7).window_to(Serial(6)), 0);
        assert_eq!(Serial(0).window_to(Serial(u32::MAX)), 0);
    }

    proptest! {
        #[test]
        fn adding_goes_forward(start: u32, steps in 1u32..0x8000_0000) {
            prop_assert!(Serial(start).is_before(Serial(start).plus(steps)));
            prop_assert!(!Serial(start).plus(steps).is_before(Serial(start)));
        }
    }
}
