//! The LTO generations: one table of what tells a cartridge and a drive of each from the others.
//!
//! Numbers are those published in drive manuals (density codes, medium types, REPORT DENSITY
//! descriptors) and by the LTO programme (compatibility).

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// An LTO generation, of a drive or a cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// LTO-4.
    Lto4,
    /// LTO-5.
    Lto5,
    /// LTO-6.
    Lto6,
    /// LTO-7.
    Lto7,
    /// An LTO-7 cartridge initialised in an LTO-8 drive (type M). No drive is of this generation.
    #[serde(rename = "lto7m8")]
    Lto7M8,
    /// LTO-8.
    Lto8,
    /// LTO-9.
    Lto9,
}

/// What a drive can do with a cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read and write.
    ReadWrite,
    /// Read only: an older format.
    ReadOnly,
    /// The drive refuses the cartridge.
    None,
}

/// The facts of one generation.
#[derive(Debug, PartialEq, Eq)]
pub struct Facts {
    /// How people write it, and the option's value: `lto8`.
    pub name: &'static str,
    /// Density code (SSC-5, REPORT DENSITY SUPPORT).
    pub density: u8,
    /// Medium type of mode data for a data cartridge.
    pub medium_type: u8,
    /// Medium type of mode data for a WORM cartridge, where WORM exists.
    pub medium_type_worm: Option<u8>,
    /// Native capacity in bytes.
    pub capacity_bytes: u64,
    /// Bits per millimetre, 0 where not published.
    pub bits_per_mm: u32,
    /// Tracks, 0 where not published.
    pub tracks: u16,
    /// Density name of REPORT DENSITY SUPPORT.
    pub density_name: &'static str,
    /// Description of REPORT DENSITY SUPPORT.
    pub description: &'static str,
    /// Media characters of a data cartridge's bar code.
    pub suffix: &'static str,
    /// Media characters of a WORM cartridge's bar code.
    pub worm_suffix: Option<&'static str>,
    /// Cartridge formats that a drive of this generation writes (and reads).
    pub writes: &'static [Generation],
    /// Cartridge formats that a drive of this generation only reads.
    pub reads: &'static [Generation],
    /// Most additional partitions a cartridge can have.
    pub additional_partitions_max: u8,
    /// Tape length in metres (cartridge memory 0402h).
    pub length_m: u32,
    /// Size of the cartridge memory in bytes (0407h).
    pub memory_bytes: u64,
}

/// Largest block that a drive takes: 8 MiB, as READ BLOCK LIMITS of LTO drives says.
pub const BLOCK_BYTES_MAX: u32 = 0x80_0000;

impl Generation {
    /// Every generation, oldest first.
    pub const ALL: [Generation; 7] = [
        Generation::Lto4,
        Generation::Lto5,
        Generation::Lto6,
        Generation::Lto7,
        Generation::Lto7M8,
        Generation::Lto8,
        Generation::Lto9,
    ];

    /// The row of the table.
    pub fn facts(self) -> &'static Facts {
        match self {
            Generation::Lto4 => &LTO4,
            Generation::Lto5 => &LTO5,
            Generation::Lto6 => &LTO6,
            Generation::Lto7 => &LTO7,
            Generation::Lto7M8 => &LTO7M8,
            Generation::Lto8 => &LTO8,
            Generation::Lto9 => &LTO9,
        }
    }

    /// What a drive of this generation can do with a cartridge in the format `cartridge`.
    pub fn access(self, cartridge: Generation) -> Access {
        if self.facts().writes.contains(&cartridge) {
            Access::ReadWrite
        } else if self.facts().reads.contains(&cartridge) {
            Access::ReadOnly
        } else {
            Access::None
        }
    }

    /// Formats that a drive of this generation handles, by ascending density code, and whether it
    /// writes them.
    pub fn formats(self) -> Vec<(Generation, bool)> {
        let mut formats: Vec<_> = Generation::ALL
            .into_iter()
            .filter_map(|format| match self.access(format) {
                Access::ReadWrite => Some((format, true)),
                Access::ReadOnly => Some((format, false)),
                Access::None => None,
            })
            .collect();
        formats.sort_by_key(|(format, _)| format.facts().density);
        formats
    }
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.facts().name)
    }
}

impl std::str::FromStr for Generation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Generation> {
        let wanted = text.to_ascii_lowercase().replace('-', "");
        Generation::ALL.into_iter().find(|g| g.facts().name == wanted).ok_or_else(|| {
            Error::Options {
                reason: format!("{text:?} is no LTO generation; choose one of lto4 to lto9"),
            }
        })
    }
}

use Generation::{Lto4, Lto5, Lto6, Lto7, Lto7M8, Lto8, Lto9};

const MB: u64 = 1_000_000;

const LTO4: Facts = Facts {
    name: "lto4",
    density: 0x46,
    medium_type: 0x48,
    medium_type_worm: Some(0x4c),
    capacity_bytes: 800_000 * MB,
    bits_per_mm: 12_725,
    tracks: 896,
    density_name: "U-416",
    description: "Ultrium 4/16T",
    suffix: "L4",
    worm_suffix: Some("LU"),
    writes: &[Lto4],
    reads: &[],
    additional_partitions_max: 0,
    length_m: 820,
    memory_bytes: 8_160,
};

const LTO5: Facts = Facts {
    name: "lto5",
    density: 0x58,
    medium_type: 0x58,
    medium_type_worm: Some(0x5c),
    capacity_bytes: 1_500_000 * MB,
    bits_per_mm: 15_142,
    tracks: 1_280,
    density_name: "U-516",
    description: "Ultrium 5/16T",
    suffix: "L5",
    worm_suffix: Some("LV"),
    writes: &[Lto5, Lto4],
    reads: &[],
    additional_partitions_max: 1,
    length_m: 846,
    memory_bytes: 8_160,
};

const LTO6: Facts = Facts {
    name: "lto6",
    density: 0x5a,
    medium_type: 0x68,
    medium_type_worm: Some(0x6c),
    capacity_bytes: 2_500_000 * MB,
    bits_per_mm: 15_142,
    tracks: 2_176,
    density_name: "U-616",
    description: "Ultrium 6/16T",
    suffix: "L6",
    worm_suffix: Some("LW"),
    writes: &[Lto6, Lto5],
    reads: &[Lto4],
    additional_partitions_max: 3,
    length_m: 846,
    memory_bytes: 16_352,
};

const LTO7: Facts = Facts {
    name: "lto7",
    density: 0x5c,
    medium_type: 0x78,
    medium_type_worm: Some(0x7c),
    capacity_bytes: 6_000_000 * MB,
    bits_per_mm: 19_107,
    tracks: 3_584,
    density_name: "U-732",
    description: "Ultrium 7/32T",
    suffix: "L7",
    worm_suffix: Some("LX"),
    writes: &[Lto7, Lto6],
    reads: &[Lto5],
    additional_partitions_max: 3,
    length_m: 960,
    memory_bytes: 16_352,
};

const LTO7M8: Facts = Facts {
    name: "lto7m8",
    density: 0x5d,
    medium_type: 0x78,
    medium_type_worm: None,
    capacity_bytes: 9_000_000 * MB,
    bits_per_mm: 0,
    tracks: 0,
    density_name: "U-732M8",
    description: "Ultrium 7 type M",
    suffix: "M8",
    worm_suffix: None,
    writes: &[],
    reads: &[],
    additional_partitions_max: 3,
    length_m: 960,
    memory_bytes: 16_352,
};

const LTO8: Facts = Facts {
    name: "lto8",
    density: 0x5e,
    medium_type: 0x88,
    medium_type_worm: Some(0x8c),
    capacity_bytes: 12_000_000 * MB,
    bits_per_mm: 20_669,
    tracks: 6_656,
    density_name: "U-832",
    description: "Ultrium 8/32T",
    suffix: "L8",
    worm_suffix: Some("LY"),
    writes: &[Lto8, Lto7M8, Lto7],
    reads: &[],
    additional_partitions_max: 3,
    length_m: 960,
    memory_bytes: 16_352,
};

const LTO9: Facts = Facts {
    name: "lto9",
    density: 0x60,
    medium_type: 0x98,
    medium_type_worm: Some(0x9c),
    capacity_bytes: 18_000_000 * MB,
    bits_per_mm: 21_459,
    tracks: 8_960,
    density_name: "U-932",
    description: "Ultrium 9/32T",
    suffix: "L9",
    worm_suffix: Some("LZ"),
    writes: &[Lto9, Lto8],
    reads: &[],
    additional_partitions_max: 3,
    length_m: 1_035,
    memory_bytes: 16_352,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        for generation in Generation::ALL {
            assert_eq!(generation.to_string().parse::<Generation>().unwrap(), generation);
        }
        assert_eq!("LTO-8".parse::<Generation>().unwrap(), Generation::Lto8);
        assert!("lto3".parse::<Generation>().is_err());
    }

    #[test]
    fn compatibility_follows_the_programme() {
        assert_eq!(Generation::Lto8.access(Generation::Lto8), Access::ReadWrite);
        assert_eq!(Generation::Lto8.access(Generation::Lto7M8), Access::ReadWrite);
        assert_eq!(Generation::Lto8.access(Generation::Lto6), Access::None);
        assert_eq!(Generation::Lto7.access(Generation::Lto5), Access::ReadOnly);
        assert_eq!(Generation::Lto9.access(Generation::Lto7), Access::None);
        let densities: Vec<u8> =
            Generation::Lto8.formats().iter().map(|(f, _)| f.facts().density).collect();
        assert_eq!(densities, [0x5c, 0x5d, 0x5e]);
    }
}
