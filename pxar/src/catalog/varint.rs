//! Integers of variable length: seven bits a byte, lowest first, bit 7 set while more follow.
//!
//! A negative number is its magnitude with bit 7 set on *every* byte, then one byte `00`.

/// Longest unsigned number in bytes.
const UNSIGNED_LEN_MAX: usize = 10;
/// Longest signed number in bytes.
const SIGNED_LEN_MAX: usize = 11;

/// Append an unsigned number.
pub(super) fn push_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Append a signed number.
pub(super) fn push_signed(out: &mut Vec<u8>, value: i64) {
    let mut magnitude = value.unsigned_abs();
    if value >= 0 {
        push_unsigned(out, magnitude);
        return;
    }
    while magnitude != 0 {
        out.push((magnitude as u8) | 0x80);
        magnitude >>= 7;
    }
    out.push(0);
}

/// Take bytes from the front of `input`: the collected bits and the byte that ended the number.
fn take(input: &mut &[u8], len_max: usize) -> Option<(u128, u8)> {
    let mut bits = 0_u128;
    for index in 0..len_max {
        let (byte, rest) = input.split_first()?;
        *input = rest;
        bits |= u128::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((bits, *byte));
        }
    }
    None
}

/// Take an unsigned number from the front; `None` if it has no end or does not fit.
pub(super) fn take_unsigned(input: &mut &[u8]) -> Option<u64> {
    let (bits, _) = take(input, UNSIGNED_LEN_MAX)?;
    u64::try_from(bits).ok()
}

/// Take a signed number from the front; `None` if it has no end or does not fit.
pub(super) fn take_signed(input: &mut &[u8]) -> Option<i64> {
    let (bits, end) = take(input, SIGNED_LEN_MAX)?;
    if end == 0 {
        0_i64.checked_sub_unsigned(u64::try_from(bits).ok()?)
    } else {
        i64::try_from(bits).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tables() {
        for (value, bytes) in [
            (0, "00"),
            (127, "7f"),
            (128, "8001"),
            (300, "ac02"),
            (u64::MAX, "ffffffffffffffffff01"),
        ] {
            let mut out = Vec::new();
            push_unsigned(&mut out, value);
            assert_eq!(hex::encode(&out), bytes);
            assert_eq!(take_unsigned(&mut &out[..]), Some(value));
        }
        for (value, bytes) in [
            (0, "00"),
            (1, "01"),
            (1_430_487_000, "d8ff8daa05"),
            (-1, "8100"),
            (-126, "fe00"),
            (-128, "808100"),
            (i64::MIN, "8080808080808080808100"),
            (i64::MAX, "ffffffffffffffff7f"),
        ] {
            let mut out = Vec::new();
            push_signed(&mut out, value);
            assert_eq!(hex::encode(&out), bytes);
            assert_eq!(take_signed(&mut &out[..]), Some(value));
        }
    }

    #[test]
    fn numbers_without_end_or_too_large() {
        for bad in ["", "80", "ffffffffffffffffffff01", "ffffffffffffffffff02"] {
            assert_eq!(take_unsigned(&mut &hex::decode(bad).unwrap()[..]), None, "{bad}");
        }
        for bad in ["", "80", "8080808080808080808080", "ffffffffffffffffff01"] {
            assert_eq!(take_signed(&mut &hex::decode(bad).unwrap()[..]), None, "{bad}");
        }
        // One more than the magnitude of the smallest number.
        assert_eq!(take_signed(&mut &hex::decode("8180808080808080808100").unwrap()[..]), None);
    }

    proptest! {
        #[test]
        fn round_trip(unsigned: u64, signed: i64) {
            let mut out = Vec::new();
            push_unsigned(&mut out, unsigned);
            push_signed(&mut out, signed);
            let mut rest = &out[..];
            prop_assert_eq!(take_unsigned(&mut rest), Some(unsigned));
            prop_assert_eq!(take_signed(&mut rest), Some(signed));
            prop_assert!(rest.is_empty());
        }
    }
}
