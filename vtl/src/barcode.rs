//! Bar codes: six characters A–Z 0–9, then two media characters that tell the kind of cartridge.

use crate::error::{Error, Result};
use crate::generation::Generation;

/// What a library can tell from a bar code alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A data cartridge of this generation.
    Data(Generation),
    /// A WORM cartridge of this generation.
    Worm(Generation),
    /// A cleaning cartridge (`CLN…`).
    Cleaning,
}

/// Checks a bar code and tells what kind of cartridge it names.
///
/// Eight characters are required: the library tells media by the last two.
pub fn classify(barcode: &str) -> Result<Kind> {
    let refuse =
        |reason: &str| Err(Error::Barcode { barcode: barcode.into(), reason: reason.into() });
    if barcode.len() != 8 {
        return refuse("it has six characters and two media characters, such as CAP001L8");
    }
    if !barcode.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
        return refuse("only A-Z and 0-9 are allowed");
    }
    if barcode.starts_with("CLN") {
        return Ok(Kind::Cleaning);
    }
    let suffix = barcode.get(6..).unwrap_or_default();
    for generation in Generation::ALL {
        if suffix == generation.facts().suffix {
            return Ok(Kind::Data(generation));
        }
        if generation.facts().worm_suffix == Some(suffix) {
            return Ok(Kind::Worm(generation));
        }
    }
    refuse("its last two characters name no LTO medium (L2 to L9, LA, M8, PA; WORM LT to LZ, LH)")
}

/// The `number`th bar code of a prefix: `CAP` and 1 make `CAP001L8`, or `CAP001LY` for a WORM
/// cartridge.
pub fn numbered(prefix: &str, number: u32, generation: Generation, worm: bool) -> Result<String> {
    let facts = generation.facts();
    let suffix = if worm {
        facts.worm_suffix.ok_or_else(|| Error::Options {
            reason: format!("there are no WORM cartridges of {generation}"),
        })?
    } else {
        facts.suffix
    };
    let digits = 6usize.saturating_sub(prefix.len());
    let barcode = format!("{prefix}{number:0digits$}{suffix}");
    classify(&barcode)?;
    Ok(barcode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_characters_tell_the_kind() {
        assert_eq!(classify("CAP001L8").unwrap(), Kind::Data(Generation::Lto8));
        assert_eq!(classify("CAP001M8").unwrap(), Kind::Data(Generation::Lto7M8));
        assert_eq!(classify("CAP001LY").unwrap(), Kind::Worm(Generation::Lto8));
        assert_eq!(classify("CAP001LA").unwrap(), Kind::Data(Generation::Lto10));
        assert_eq!(classify("CAP001PA").unwrap(), Kind::Data(Generation::Lto10P));
        assert_eq!(classify("CAP001LH").unwrap(), Kind::Worm(Generation::Lto10));
        assert_eq!(classify("CLNU01CU").unwrap(), Kind::Cleaning);
    }

    #[test]
    fn refuses_what_a_label_printer_would_not_print() {
        for wrong in
            ["", "CAP001", "cap001L8", "CAP 01L8", "CAP001XX", "CAP0001L8", "../../L8", "ÄÖ01L8"]
        {
            assert!(classify(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn numbers_fill_six_characters() {
        assert_eq!(numbered("CAP", 7, Generation::Lto8, false).unwrap(), "CAP007L8");
        assert_eq!(numbered("A", 12345, Generation::Lto9, false).unwrap(), "A12345L9");
        assert_eq!(numbered("CAP", 7, Generation::Lto8, true).unwrap(), "CAP007LY");
        assert!(numbered("CAP", 7, Generation::Lto7M8, true).is_err());
        assert!(numbered("CAP", 1000, Generation::Lto8, false).is_err());
        assert!(numbered("CAPSTAN", 1, Generation::Lto8, false).is_err());
    }
}
