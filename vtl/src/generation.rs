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
    /// LTO-2: cartridges only, which LTO-4 drives still read. No drive is of this generation.
    Lto2,
    /// LTO-3: cartridges only, for LTO-4 and LTO-5 drives. No drive is of this generation.
    Lto3,
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
    /// LTO-10.
    Lto10,
    /// The larger cartridge of LTO-10 drives ("premium"). No drive is of this generation.
    #[serde(rename = "lto10p")]
    Lto10P,
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
    pub const ALL: [Generation; 11] = [
        Generation::Lto2,
        Generation::Lto3,
        Generation::Lto4,
        Generation::Lto5,
        Generation::Lto6,
        Generation::Lto7,
        Generation::Lto7M8,
        Generation::Lto8,
        Generation::Lto9,
        Generation::Lto10,
        Generation::Lto10P,
    ];

    /// The row of the table.
    pub fn facts(self) -> &'static Facts {
        match self {
            Generation::Lto2 => &LTO2,
            Generation::Lto3 => &LTO3,
            Generation::Lto4 => &LTO4,
            Generation::Lto5 => &LTO5,
            Generation::Lto6 => &LTO6,
            Generation::Lto7 => &LTO7,
            Generation::Lto7M8 => &LTO7M8,
            Generation::Lto8 => &LTO8,
            Generation::Lto9 => &LTO9,
            Generation::Lto10 => &LTO10,
            Generation::Lto10P => &LTO10P,
        }
    }

    /// True if there are drives of this generation here; the others are formats of cartridges.
    pub fn has_drives(self) -> bool {
        self.facts().writes.contains(&self)
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
                reason: format!(
                    "{text:?} is no LTO generation; choose one of lto2 to lto10, lto7m8 or lto10p"
                ),
            }
        })
    }
}

use Generation::{Lto2, Lto3, Lto4, Lto5, Lto6, Lto7, Lto7M8, Lto8, Lto9, Lto10, Lto10P};

const MB: u64 = 1_000_000;

const LTO2: Facts = Facts {
    name: "lto2",
    density: 0x42,
    medium_type: 0x28,
    medium_type_worm: None,
    capacity_bytes: 200_000 * MB,
    bits_per_mm: 7_398,
    tracks: 512,
    density_name: "U-28",
    description: "Ultrium 2/8T",
    suffix: "L2",
    worm_suffix: None,
    writes: &[],
    reads: &[],
    additional_partitions_max: 0,
    length_m: 609,
    memory_bytes: 4_096,
};

const LTO3: Facts = Facts {
    name: "lto3",
    density: 0x44,
    medium_type: 0x38,
    medium_type_worm: Some(0x3c),
    capacity_bytes: 400_000 * MB,
    bits_per_mm: 9_638,
    tracks: 704,
    density_name: "U-316",
    description: "Ultrium 3/16T",
    suffix: "L3",
    worm_suffix: Some("LT"),
    writes: &[],
    reads: &[],
    additional_partitions_max: 0,
    length_m: 680,
    memory_bytes: 4_096,
};

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
    writes: &[Lto4, Lto3],
    reads: &[Lto2],
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
    reads: &[Lto3],
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

/// The WORM media characters are taken from one source, as are the texts of the density descriptors.
const LTO10: Facts = Facts {
    name: "lto10",
    density: 0x62,
    medium_type: 0xa8,
    medium_type_worm: Some(0xac),
    capacity_bytes: 30_000_000 * MB,
    bits_per_mm: 21_657,
    tracks: 15_104,
    density_name: "U-1032A",
    description: "Ultrium 10/32T A",
    suffix: "LA",
    worm_suffix: Some("LH"),
    writes: &[Lto10, Lto10P],
    reads: &[],
    additional_partitions_max: 3,
    length_m: 1_035,
    memory_bytes: 16_352,
};

const LTO10P: Facts = Facts {
    name: "lto10p",
    density: 0x63,
    medium_type: 0xa9,
    medium_type_worm: None,
    capacity_bytes: 40_000_000 * MB,
    bits_per_mm: 22_441,
    tracks: 15_104,
    density_name: "U-1032P",
    description: "Ultrium 10/32T P",
    suffix: "PA",
    worm_suffix: None,
    writes: &[],
    reads: &[],
    additional_partitions_max: 3,
    length_m: 1_337,
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
        assert!("lto1".parse::<Generation>().is_err());
    }

    /// Rows: drive; formats that it writes; formats that it only reads. Everything else is refused.
    #[test]
    fn compatibility_follows_the_programme() {
        let rows: [(Generation, &[Generation], &[Generation]); 7] = [
            (Lto4, &[Lto4, Lto3], &[Lto2]),
            (Lto5, &[Lto5, Lto4], &[Lto3]),
            (Lto6, &[Lto6, Lto5], &[Lto4]),
            (Lto7, &[Lto7, Lto6], &[Lto5]),
            (Lto8, &[Lto8, Lto7M8, Lto7], &[]),
            (Lto9, &[Lto9, Lto8], &[]),
            (Lto10, &[Lto10, Lto10P], &[]),
        ];
        let drives: Vec<Generation> =
            Generation::ALL.into_iter().filter(|generation| generation.has_drives()).collect();
        assert_eq!(drives, rows.map(|(drive, _, _)| drive));
        for (drive, writes, reads) in rows {
            for cartridge in Generation::ALL {
                let expected = match cartridge {
                    cartridge if writes.contains(&cartridge) => Access::ReadWrite,
                    cartridge if reads.contains(&cartridge) => Access::ReadOnly,
                    _ => Access::None,
                };
                assert_eq!(drive.access(cartridge), expected, "{cartridge} in {drive}");
            }
        }
        let densities: Vec<u8> = Lto8.formats().iter().map(|(f, _)| f.facts().density).collect();
        assert_eq!(densities, [0x5c, 0x5d, 0x5e]);
    }

    #[test]
    fn what_hosts_tell_cartridges_by_is_unique() {
        for (number, one) in Generation::ALL.into_iter().enumerate() {
            for other in Generation::ALL.into_iter().skip(number + 1) {
                let (one, other) = (one.facts(), other.facts());
                assert_ne!(one.density, other.density);
                assert_ne!(one.suffix, other.suffix);
                assert!(one.worm_suffix.is_none() || one.worm_suffix != other.worm_suffix);
                assert!(one.density < other.density, "{} {}", one.name, other.name);
            }
        }
    }
}
