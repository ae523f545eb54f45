//! Density codes and REPORT DENSITY SUPPORT (SSC-5 §7.8).
//!
//! Reply: length\[2\] (bytes behind itself), 2 reserved, then descriptors of 52 bytes: primary code,
//! secondary code, flags {WRTOK 80h, DUP 40h, DEFLT 20h, DLV 01h}, descriptor length\[2\] (valid with
//! DLV), bits/mm\[3\], width\[2\], tracks\[2\], capacity in MB\[4\], organisation\[8\], name\[8\], description\[20\].

use std::cmp::Ordering;
use std::fmt;

use super::fields::{Fields, be24, padded, text};
use super::{Cdb, fetch, opcode, timeout};
use crate::transport::{Error, Transport};

const DESCRIPTOR: usize = 52;

/// A density code: the recording format of a tape.
///
/// Ordered by age of the format: unknown codes first, then LTO-1 to LTO-10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Density(pub u8);

impl Density {
    /// No medium, or the drive does not tell.
    pub const UNKNOWN: Density = Density(0x00);
    /// LTO-4.
    pub const LTO4: Density = Density(0x46);
    /// LTO-5.
    pub const LTO5: Density = Density(0x58);
    /// LTO-6.
    pub const LTO6: Density = Density(0x5a);
    /// LTO-7.
    pub const LTO7: Density = Density(0x5c);
    /// LTO-7 cartridge in LTO-8 format (type M).
    pub const LTO7M8: Density = Density(0x5d);
    /// LTO-8.
    pub const LTO8: Density = Density(0x5e);
    /// LTO-9.
    pub const LTO9: Density = Density(0x60);
    /// LTO-10.
    pub const LTO10: Density = Density(0x62);
    /// LTO-10 with the premium cartridge.
    pub const LTO10P: Density = Density(0x63);

    /// Name in the field's words.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x00 => "unknown",
            0x40 => "LTO1",
            0x42 => "LTO2",
            0x44 => "LTO3",
            0x46 => "LTO4",
            0x58 => "LTO5",
            0x5a => "LTO6",
            0x5c => "LTO7",
            0x5d => "LTO7M8",
            0x5e => "LTO8",
            0x60 => "LTO9",
            0x62 => "LTO10",
            0x63 => "LTO10P",
            _ => return None,
        })
    }

    /// Order of age; 0 for unknown codes.
    pub const fn rank(self) -> u8 {
        match self.0 {
            0x40 => 1,
            0x42 => 2,
            0x44 => 3,
            0x46 => 4,
            0x58 => 5,
            0x5a => 6,
            0x5c => 7,
            0x5d => 8,
            0x5e => 9,
            0x60 => 10,
            0x62 => 11,
            0x63 => 12,
            _ => 0,
        }
    }

    /// True from LTO-5 on to LTO-8: FORMAT MEDIUM is quick and gives one partition.
    pub const fn formats_quickly(self) -> bool {
        matches!(self.rank(), 5..=9)
    }

    /// True from LTO-9 on: FORMAT MEDIUM runs the media optimisation of up to two hours.
    pub const fn needs_media_optimisation(self) -> bool {
        self.rank() >= 10
    }
}

impl PartialOrd for Density {
    fn partial_cmp(&self, other: &Density) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Density {
    fn cmp(&self, other: &Density) -> Ordering {
        (self.rank(), self.0).cmp(&(other.rank(), other.0))
    }
}

impl fmt::Display for Density {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "unknown ({:02x}h)", self.0),
        }
    }
}

/// One format that a drive handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DensitySupport {
    /// Primary density code.
    pub primary: Density,
    /// Secondary density code, equal to the primary one on LTO.
    pub secondary: Density,
    /// WRTOK: the drive can write it.
    pub writable: bool,
    /// DEFLT: what the drive writes on a medium without format.
    pub is_default: bool,
    /// Bits per millimetre, 24 bits.
    pub bits_per_mm: u32,
    /// Width of the tape in 1/10 mm.
    pub width: u16,
    /// Tracks.
    pub tracks: u16,
    /// Capacity in 10⁶ bytes.
    pub capacity_mb: u32,
    /// Assigning organisation, at most 8 characters.
    pub organization: String,
    /// Name, at most 8 characters.
    pub name: String,
    /// Description, at most 20 characters.
    pub description: String,
}

/// REPORT DENSITY SUPPORT; `loaded` restricts the list to what fits the loaded cartridge (MEDIA=1).
pub const fn report_cdb(loaded: bool) -> Cdb {
    let [high, low] = ALLOCATION.to_be_bytes();
    Cdb::new([opcode::REPORT_DENSITY_SUPPORT, loaded as u8, 0, 0, 0, 0, 0, high, low, 0])
}

const ALLOCATION: u16 = 0x2000;

/// Decodes the reply. Bytes behind the announced length are ignored; descriptors longer than 52
/// bytes are stepped over by their length.
pub fn parse_report(bytes: &[u8]) -> Result<Vec<DensitySupport>, Error> {
    let fields = Fields::new(opcode::REPORT_DENSITY_SUPPORT, "density support", bytes);
    let length = usize::from(fields.u16(0)?);
    let mut rest = fields.cut(2, length).from(4);
    let mut list = Vec::new();
    while !rest.is_empty() {
        let one = Fields::new(opcode::REPORT_DENSITY_SUPPORT, "density descriptor", rest);
        one.slice(0, DESCRIPTOR)?;
        let flags = one.u8(2)?;
        list.push(DensitySupport {
            primary: Density(one.u8(0)?),
            secondary: Density(one.u8(1)?),
            writable: flags & 0x80 != 0,
            is_default: flags & 0x20 != 0,
            bits_per_mm: one.u24(5)?,
            width: one.u16(8)?,
            tracks: one.u16(10)?,
            capacity_mb: one.u32(12)?,
            organization: text(one.slice(16, 8)?),
            name: text(one.slice(24, 8)?),
            description: text(one.slice(32, 20)?),
        });
        // With DLV the length counts from byte 5 or is the whole 52, depending on the maker; only a
        // larger one tells something.
        let step = match flags & 0x01 {
            0 => DESCRIPTOR,
            _ => usize::from(one.u16(3)?).max(DESCRIPTOR),
        };
        rest = rest.get(step..).unwrap_or(&[]);
    }
    Ok(list)
}

/// The reply of a drive that handles these formats.
pub fn build_report(list: &[DensitySupport]) -> Vec<u8> {
    let length = 2 + DESCRIPTOR * list.len();
    let mut bytes = (length.min(0xffff) as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[0, 0]);
    for one in list {
        let flags = u8::from(one.writable) << 7 | u8::from(one.is_default) << 5 | 0x01;
        bytes.extend_from_slice(&[one.primary.0, one.secondary.0, flags, 0, DESCRIPTOR as u8]);
        bytes.extend_from_slice(&be24(one.bits_per_mm));
        bytes.extend_from_slice(&one.width.to_be_bytes());
        bytes.extend_from_slice(&one.tracks.to_be_bytes());
        bytes.extend_from_slice(&one.capacity_mb.to_be_bytes());
        bytes.extend_from_slice(&padded::<8>(&one.organization));
        bytes.extend_from_slice(&padded::<8>(&one.name));
        bytes.extend_from_slice(&padded::<20>(&one.description));
    }
    bytes
}

/// Asks a drive for the formats it handles.
pub fn report(transport: &mut dyn Transport, loaded: bool) -> Result<Vec<DensitySupport>, Error> {
    parse_report(&fetch(transport, &report_cdb(loaded), ALLOCATION.into(), timeout::SHORT)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn formats() -> Vec<DensitySupport> {
        [(Density::LTO7, false, "U-732"), (Density::LTO8, true, "U-832")]
            .into_iter()
            .map(|(density, is_default, name)| DensitySupport {
                primary: density,
                secondary: density,
                writable: true,
                is_default,
                bits_per_mm: 20669,
                width: 127,
                tracks: 6656,
                capacity_mb: 12_000_000,
                organization: "LTO-CVE".into(),
                name: name.into(),
                description: "Ultrium 8/32T".into(),
            })
            .collect()
    }

    #[test]
    fn round_trip_and_padding_to_the_allocation() {
        let mut bytes = build_report(&formats());
        assert_eq!(bytes[..2], [0, 106]);
        assert_eq!(bytes[4..9], [0x5c, 0x5c, 0x81, 0, 0x34]);
        assert_eq!(parse_report(&bytes).unwrap(), formats());
        bytes.resize(0x2000, 0);
        assert_eq!(parse_report(&bytes).unwrap(), formats());
        assert!(parse_report(&bytes[..100]).is_err());
        assert_eq!(&*report_cdb(true), &[0x44, 1, 0, 0, 0, 0, 0, 0x20, 0, 0]);
    }

    #[test]
    fn order_is_by_age() {
        let mut codes: Vec<_> =
            [0x63, 0x5e, 0x00, 0x5d, 0x40, 0x60, 0x5c, 0x62].map(Density).to_vec();
        codes.sort();
        assert_eq!(codes, [0x00, 0x40, 0x5c, 0x5d, 0x5e, 0x60, 0x62, 0x63].map(Density));
        assert_eq!(Density(0x99).to_string(), "unknown (99h)");
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_report(&bytes);
        }
    }

    /// Code, name and how it is made blank, oldest first.
    #[test]
    fn the_table_of_densities_is_complete() {
        let (by_erasing, by_formatting, by_optimising) =
            ((false, false), (true, false), (false, true));
        let table = [
            (0x00, "unknown", by_erasing),
            (0x40, "LTO1", by_erasing),
            (0x42, "LTO2", by_erasing),
            (0x44, "LTO3", by_erasing),
            (0x46, "LTO4", by_erasing),
            (0x58, "LTO5", by_formatting),
            (0x5a, "LTO6", by_formatting),
            (0x5c, "LTO7", by_formatting),
            (0x5d, "LTO7M8", by_formatting),
            (0x5e, "LTO8", by_formatting),
            (0x60, "LTO9", by_optimising),
            (0x62, "LTO10", by_optimising),
            (0x63, "LTO10P", by_optimising),
        ];
        for (code, name, blank) in table {
            let density = Density(code);
            assert_eq!(density.name(), Some(name));
            let found = (density.formats_quickly(), density.needs_media_optimisation());
            assert_eq!(found, blank, "{name}");
        }
        assert!(table.windows(2).all(|pair| Density(pair[0].0) < Density(pair[1].0)));
        // All other codes are unknown, older than all, and made blank with care.
        for code in (0..=0xff).filter(|code| table.iter().all(|row| row.0 != *code)) {
            let density = Density(code);
            assert_eq!((density.name(), density.rank()), (None, 0), "{code:02x}");
            assert!(density < Density(0x40) && !density.formats_quickly());
        }
    }
}
