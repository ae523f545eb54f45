//! What a label of an LTO cartridge may say: six characters of the volume, then two that tell what kind
//! of medium it is.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Characters of the volume.
const VOLUME_CHARACTERS: usize = 6;
/// What cleaning cartridges begin with.
const CLEANING_PREFIX: &str = "CLN";
/// Media identifiers: data cartridges by generation (M8: LTO-7 type M; PA: LTO-10 of 40 TB), then WORM
/// cartridges from LTO-3 on.
const MEDIA: [&str; 20] = [
    "L1", "L2", "L3", "L4", "L5", "L6", "L7", "M8", "L8", "L9", "LA", "PA", "LT", "LU", "LV", "LW",
    "LX", "LY", "LZ", "LH",
];
/// Of cleaning cartridges: any generation.
const CLEANING: &str = "CU";
/// And of one generation, which old libraries want.
const CLEANING_FIRST: &str = "L1";

/// The text of a label, checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelText(String);

impl LabelText {
    /// All eight characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The six characters of the volume.
    pub fn volume(&self) -> &str {
        self.0.get(..VOLUME_CHARACTERS).unwrap_or_default()
    }

    /// The two characters of the medium.
    pub fn medium(&self) -> &str {
        self.0.get(VOLUME_CHARACTERS..).unwrap_or_default()
    }

    /// This one and those that follow, `count` in all: the number at the end of the volume goes up and
    /// keeps its digits.
    pub fn series(&self, count: u32) -> Result<Vec<LabelText>> {
        let volume = self.volume();
        let prefix = volume.trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = volume.len() - prefix.len();
        if digits == 0 && count > 1 {
            return Err(bad(&self.0, "its sixth character is no digit, so nothing follows it"));
        }
        // At most six digits.
        let first: u32 = volume.get(prefix.len()..).unwrap_or_default().parse().unwrap_or_default();
        let room = 10u32.saturating_pow(digits as u32) - first;
        if count > room {
            return Err(bad(
                &self.0,
                &format!(
                    "only {room} labels from it on have {digits} digits; {count} are too many"
                ),
            ));
        }
        if count == 1 {
            return Ok(vec![self.clone()]);
        }
        (first..first + count)
            .map(|number| format!("{prefix}{number:0digits$}{}", self.medium()).parse())
            .collect()
    }
}

impl fmt::Display for LabelText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LabelText {
    type Err = Error;

    fn from_str(text: &str) -> Result<LabelText> {
        if text.len() != VOLUME_CHARACTERS + 2 {
            return Err(bad(
                text,
                "it must have six characters and a media identifier, such as ABC001L8",
            ));
        }
        if !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) {
            return Err(bad(text, "a library reads only the letters A to Z and digits"));
        }
        let label = LabelText(text.to_owned());
        let medium = label.medium();
        let fits = if text.starts_with(CLEANING_PREFIX) {
            medium == CLEANING || medium == CLEANING_FIRST || MEDIA.contains(&medium)
        } else {
            MEDIA.contains(&medium)
        };
        if !fits {
            return Err(bad(
                text,
                &format!(
                    "{medium} is no media identifier: they are L1 to L9, LA, PA, M8 (type M), LT to LZ and \
                     LH (WORM), and CU of cleaning cartridges, whose text begins with CLN"
                ),
            ));
        }
        Ok(label)
    }
}

fn bad(text: &str, reason: &str) -> Error {
    Error::BadArgument { what: "label text", value: text.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_that_a_library_reads_are_taken() {
        for good in
            ["ABC001L5", "000000LA", "ZZZZZZM8", "ABC001LY", "ABC001PA", "CLNU01L1", "CLNU01CU"]
        {
            let label: LabelText = good.parse().unwrap();
            assert_eq!(format!("{}{}", label.volume(), label.medium()), good);
        }
        for (wrong, why) in [
            ("", "six characters"),
            ("ABC001", "six characters"),
            ("ABC0001L8", "six characters"),
            ("abc001L8", "letters A to Z"),
            ("ABC-01L8", "letters A to Z"),
            ("ABC*01L8", "letters A to Z"),
            ("ÄBC01L8", "letters A to Z"),
            ("ABC001XX", "XX is no media identifier"),
            ("ABC001LB", "LB is no media identifier"),
            ("ABC001CU", "CU is no media identifier"),
            ("CLNU01ZZ", "ZZ is no media identifier"),
        ] {
            let error = wrong.parse::<LabelText>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains(wrong), "{wrong}: {error}");
        }
    }

    /// What the emulated library takes for a cartridge can be printed, and the other way round.
    #[test]
    fn the_emulated_library_reads_every_label() {
        for medium in MEDIA {
            let text = format!("ABC001{medium}");
            text.parse::<LabelText>().unwrap();
            // The library has drives from LTO-4 on, and media that they can read.
            if !["L1", "LT"].contains(&medium) {
                vtl::barcode::classify(&text).unwrap_or_else(|e| panic!("{medium}: {e}"));
            }
        }
        for generation in vtl::Generation::ALL {
            let facts = generation.facts();
            for suffix in [Some(facts.suffix), facts.worm_suffix].into_iter().flatten() {
                format!("ABC001{suffix}").parse::<LabelText>().unwrap();
            }
        }
    }

    #[test]
    fn a_series_counts_and_keeps_its_digits() {
        let series = |from: &str, count| -> Result<Vec<String>> {
            let from: LabelText = from.parse().unwrap();
            Ok(from.series(count)?.iter().map(LabelText::to_string).collect())
        };
        assert_eq!(series("ABC008L8", 3).unwrap(), ["ABC008L8", "ABC009L8", "ABC010L8"]);
        assert_eq!(series("A00099M8", 2).unwrap(), ["A00099M8", "A00100M8"]);
        assert_eq!(series("999998LA", 2).unwrap(), ["999998LA", "999999LA"]);
        assert_eq!(series("A1B2C9L8", 1).unwrap(), ["A1B2C9L8"]);
        assert_eq!(series("ABCDEFL8", 1).unwrap(), ["ABCDEFL8"]);
        assert!(series("ABC001L8", 0).unwrap().is_empty());
        assert!(series("A1B2C9L8", 2).unwrap_err().to_string().contains("only 1 labels"));
        assert!(series("999998LA", 3).is_err());
        assert!(series("ABCDEFL8", 2).unwrap_err().to_string().contains("no digit"));
        assert!(series("ABC001L8", u32::MAX).is_err());
    }
}
