//! The names under which the units of a library present themselves.
//!
//! A library uses its own vendor and product texts. Some host software accepts only listed ones, so
//! a library can be made with those of a family of drives; nothing else about it changes. The texts
//! are the published INQUIRY data of the makers.

use serde::{Deserialize, Serialize};

use crate::generation::Generation;

/// Whose INQUIRY texts the units of a library show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Personality {
    /// This program's own.
    #[default]
    Capstan,
    /// Full-height drives and a library of the IBM family.
    Ibm,
    /// HP drives, HPE from LTO-8 on, and their library.
    Hpe,
    /// Quantum drives and library.
    Quantum,
}

/// Vendor and product identification of INQUIRY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Texts {
    /// At most 8 characters.
    pub vendor: &'static str,
    /// At most 16 characters.
    pub product: String,
}

impl Texts {
    fn new(vendor: &'static str, product: impl Into<String>) -> Texts {
        Texts { vendor, product: product.into() }
    }
}

/// Vendor text of this program's units.
const OWN: &str = "CAPSTAN";

impl Personality {
    /// The texts of a drive of `generation`.
    pub(crate) fn drive(self, generation: Generation) -> Texts {
        // Only generations with drives come here; cartridge formats have no number of their own.
        let digits = generation.facts().name.trim_start_matches("lto");
        match self {
            Personality::Capstan => Texts::new(OWN, format!("VTL-LTO{digits}")),
            // One character tells the generation, hexadecimal for LTO-10.
            Personality::Ibm if generation >= Generation::Lto10 => Texts::new("IBM", "ULT3580-TDA"),
            Personality::Ibm => Texts::new("IBM", format!("ULT3580-TD{digits}")),
            Personality::Hpe => Texts::new(hp(generation), format!("Ultrium {digits}-SCSI")),
            Personality::Quantum => Texts::new("QUANTUM", format!("ULTRIUM {digits}")),
        }
    }

    /// The texts of the robot of a library with drives of `generation`.
    pub(crate) fn changer(self, generation: Generation) -> Texts {
        match self {
            Personality::Capstan => Texts::new(OWN, "VTL-LIBRARY"),
            Personality::Ibm => Texts::new("IBM", "3573-TL"),
            Personality::Hpe => Texts::new(hp(generation), "MSL G3 Series"),
            Personality::Quantum => Texts::new("QUANTUM", "Scalar i6"),
        }
    }
}

/// The maker's name changed with LTO-8.
fn hp(generation: Generation) -> &'static str {
    if generation >= Generation::Lto8 { "HPE" } else { "HP" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_that_hosts_list() {
        let rows = [
            (Personality::Capstan, Generation::Lto8, "CAPSTAN", "VTL-LTO8"),
            (Personality::Ibm, Generation::Lto5, "IBM", "ULT3580-TD5"),
            (Personality::Ibm, Generation::Lto10, "IBM", "ULT3580-TDA"),
            (Personality::Hpe, Generation::Lto7, "HP", "Ultrium 7-SCSI"),
            (Personality::Hpe, Generation::Lto9, "HPE", "Ultrium 9-SCSI"),
            (Personality::Quantum, Generation::Lto6, "QUANTUM", "ULTRIUM 6"),
        ];
        for (personality, generation, vendor, product) in rows {
            assert_eq!(personality.drive(generation), Texts::new(vendor, product));
        }
    }

    #[test]
    fn texts_fit_their_fields() {
        for personality in
            [Personality::Capstan, Personality::Ibm, Personality::Hpe, Personality::Quantum]
        {
            for generation in Generation::ALL {
                for texts in [personality.drive(generation), personality.changer(generation)] {
                    assert!(texts.vendor.len() <= 8 && texts.product.len() <= 16, "{texts:?}");
                }
            }
        }
    }
}
