//! Logical unit numbers as the eight bytes of a header (SAM-5 §4.7; RFC 7143 §11.2.1.7).
//!
//! Numbers below 256 use peripheral device addressing (method 00b), up to 16383 flat space addressing
//! (01b); both stand in the first two bytes. Anything else is a structured number that is kept as the
//! whole 64 bits, as REPORT LUNS does ([`crate::command::unit::parse_report_luns`]).

/// Eight bytes of logical unit `number`.
pub const fn encode(number: u64) -> [u8; 8] {
    match number {
        0..=0xff => (number << 48).to_be_bytes(),
        0x100..=0x3fff => (0x4000_u64 << 48 | number << 48).to_be_bytes(),
        _ => number.to_be_bytes(),
    }
}

/// The number in eight bytes of a header.
pub const fn decode(bytes: [u8; 8]) -> u64 {
    let whole = u64::from_be_bytes(bytes);
    match (whole >> 62, whole & 0x0000_ffff_ffff_ffff) {
        (0 | 1, 0) => whole >> 48 & 0x3fff,
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_of_addressing() {
        for (number, bytes) in [
            (0, [0, 0, 0, 0, 0, 0, 0, 0]),
            (3, [0, 3, 0, 0, 0, 0, 0, 0]),
            (255, [0, 255, 0, 0, 0, 0, 0, 0]),
            (256, [0x41, 0, 0, 0, 0, 0, 0, 0]),
            (0x3fff, [0x7f, 0xff, 0, 0, 0, 0, 0, 0]),
            (0x0102_0304_0000_0000, [1, 2, 3, 4, 0, 0, 0, 0]),
        ] {
            assert_eq!(encode(number), bytes, "{number}");
            assert_eq!(decode(bytes), number);
        }
    }

    #[test]
    fn numbers_are_those_that_report_luns_tells() {
        let list = crate::command::unit::build_report_luns(&[0, 1, 255, 256, 16383]);
        let numbers = crate::command::unit::parse_report_luns(&list).unwrap();
        for (number, entry) in numbers.iter().zip(list[8..].chunks_exact(8)) {
            assert_eq!(encode(*number), entry);
            assert_eq!(decode(entry.try_into().unwrap()), *number);
        }
    }
}
