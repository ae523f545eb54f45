//! Cartridge memory (MAM): READ ATTRIBUTE and WRITE ATTRIBUTE (SPC-4 §6.22, §6.50, §7.4).
//!
//! A list of attributes: length\[4\] (bytes behind itself), then {id\[2\], flags (read-only 80h, format
//! bits 1–0: 0 binary, 1 ASCII, 2 text), length\[2\], value}.

use super::fields::Fields;
use super::{Cdb, fetch, opcode, put, timeout};
use crate::transport::{Error, Transport};

/// Application vendor, 8 bytes.
pub const APPLICATION_VENDOR: u16 = 0x0800;
/// Application name, 32 bytes.
pub const APPLICATION_NAME: u16 = 0x0801;
/// Application version, 8 bytes.
pub const APPLICATION_VERSION: u16 = 0x0802;
/// User medium text label, 160 bytes.
pub const USER_LABEL: u16 = 0x0803;
/// Bar code, 32 bytes.
pub const BARCODE: u16 = 0x0806;
/// Media pool, 160 bytes.
pub const MEDIA_POOL: u16 = 0x0808;
/// Remaining capacity in partition, MiB.
pub const REMAINING_CAPACITY: u16 = 0x0000;
/// Times that the cartridge was loaded.
pub const LOAD_COUNT: u16 = 0x0003;
/// Format that is recorded.
pub const FORMATTED_DENSITY: u16 = 0x0006;
/// MBytes (of 1048576 bytes) written in the medium's life.
pub const LIFETIME_WRITTEN: u16 = 0x0220;
/// MBytes (of 1048576 bytes) read in the medium's life.
pub const LIFETIME_READ: u16 = 0x0221;
/// Serial number of the medium.
pub const MEDIUM_SERIAL: u16 = 0x0401;
/// Format that the medium is made for.
pub const MEDIUM_DENSITY: u16 = 0x0405;
/// Date of manufacture, YYYYMMDD.
pub const MANUFACTURE_DATE: u16 = 0x0406;
/// Kind of medium: 00h data, 01h cleaning, 80h WORM.
pub const MEDIUM_TYPE: u16 = 0x0408;
/// Of a cleaning cartridge: how many cleanings it is made for.
pub const MEDIUM_TYPE_INFORMATION: u16 = 0x0409;
/// [`MEDIUM_TYPE`] of a cleaning cartridge.
pub const MEDIUM_TYPE_CLEANING: u64 = 0x01;
/// [`MEDIUM_TYPE`] of a cartridge that is written once only.
pub const MEDIUM_TYPE_WORM: u64 = 0x80;

const READ_ALLOCATION: u32 = 0x8000;
const ATTRIBUTE_HEADER: usize = 5;

/// How an attribute's value is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Bytes, shown in hexadecimal.
    Binary,
    /// A big-endian number; on the wire the same as binary.
    Decimal,
    /// ASCII.
    Ascii,
    /// Text in the encoding of attribute 0805h.
    Text,
}

impl Format {
    /// The two format bits on the wire.
    pub const fn to_byte(self) -> u8 {
        match self {
            Format::Binary | Format::Decimal => 0,
            Format::Ascii => 1,
            Format::Text => 2,
        }
    }
}

/// What is known about an attribute id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Attribute id.
    pub id: u16,
    /// Length in bytes, 0 = any.
    pub length: u16,
    /// How the value is meant.
    pub format: Format,
    /// Name.
    pub name: &'static str,
}

use Format::{Ascii, Binary, Decimal, Text};

const fn known(id: u16, length: u16, format: Format, name: &'static str) -> Known {
    Known { id, length, format, name }
}

impl Known {
    /// True for attributes that hosts may write (SPC-4 §7.4.1: 0800h to 0BFFh); those of drive and medium
    /// are theirs.
    pub const fn is_of_host(&self) -> bool {
        matches!(self.id, 0x0800..=0x0bff)
    }
}

/// The attributes that LTO cartridges have, ascending by id.
pub const KNOWN: &[Known] = &[
    known(0x0000, 8, Decimal, "Remaining Capacity In Partition"),
    known(0x0001, 8, Decimal, "Maximum Capacity In Partition"),
    known(0x0002, 8, Decimal, "Tapealert Flags"),
    known(0x0003, 8, Decimal, "Load Count"),
    known(0x0004, 8, Decimal, "MAM Space Remaining"),
    known(0x0005, 8, Ascii, "Assigning Organization"),
    known(0x0006, 1, Binary, "Formatted Density Code"),
    known(0x0007, 2, Decimal, "Initialization Count"),
    known(0x0008, 32, Ascii, "Volume Identifier"),
    known(0x0009, 0, Binary, "Volume Change Reference"),
    known(0x020a, 40, Ascii, "Device Vendor/Serial Number at Last Load"),
    known(0x020b, 40, Ascii, "Device Vendor/Serial Number at Load-1"),
    known(0x020c, 40, Ascii, "Device Vendor/Serial Number at Load-2"),
    known(0x020d, 40, Ascii, "Device Vendor/Serial Number at Load-3"),
    known(0x0220, 8, Decimal, "Total MBytes Written in Medium Life"),
    known(0x0221, 8, Decimal, "Total MBytes Read in Medium Life"),
    known(0x0222, 8, Decimal, "Total MBytes Written in Current Load"),
    known(0x0223, 8, Decimal, "Total MBytes Read in Current/Last Load"),
    known(0x0224, 8, Binary, "Logical Position of First Encrypted Block"),
    known(0x0225, 8, Binary, "Logical Position of First Unencrypted Block after it"),
    known(0x0340, 90, Binary, "Medium Usage History"),
    known(0x0341, 60, Binary, "Partition Usage History"),
    known(0x0400, 8, Ascii, "Medium Manufacturer"),
    known(0x0401, 32, Ascii, "Medium Serial Number"),
    known(0x0402, 4, Decimal, "Medium Length"),
    known(0x0403, 4, Decimal, "Medium Width"),
    known(0x0404, 8, Ascii, "Assigning Organization"),
    known(0x0405, 1, Binary, "Medium Density Code"),
    known(0x0406, 8, Ascii, "Medium Manufacture Date"),
    known(0x0407, 8, Decimal, "MAM Capacity"),
    known(0x0408, 1, Binary, "Medium Type"),
    known(0x0409, 2, Binary, "Medium Type Information"),
    known(0x040b, 10, Binary, "Supported Density Codes"),
    known(0x0800, 8, Ascii, "Application Vendor"),
    known(0x0801, 32, Ascii, "Application Name"),
    known(0x0802, 8, Ascii, "Application Version"),
    known(0x0803, 160, Text, "User Medium Text Label"),
    known(0x0804, 12, Ascii, "Date And Time Last Written"),
    known(0x0805, 1, Binary, "Text Localization Identifier"),
    known(0x0806, 32, Ascii, "Barcode"),
    known(0x0807, 80, Text, "Owning Host Textual Name"),
    known(0x0808, 160, Text, "Media Pool"),
    known(0x0809, 16, Ascii, "Partition User Text Label"),
    known(0x080a, 1, Binary, "Load/Unload at Partition"),
    known(0x080b, 16, Ascii, "Application Format Version"),
    known(0x080c, 0, Binary, "Volume Coherency Information"),
    known(0x0820, 36, Binary, "Medium Globally Unique Identifier"),
    known(0x0821, 36, Binary, "Media Pool Globally Unique Identifier"),
    known(0x1000, 28, Binary, "Unique Cartridge Identity"),
    known(0x1001, 24, Binary, "Alternate Unique Cartridge Identity"),
];

/// What is known about `id`.
pub fn lookup(id: u16) -> Option<&'static Known> {
    KNOWN.binary_search_by_key(&id, |known| known.id).ok().and_then(|index| KNOWN.get(index))
}

/// One attribute of a cartridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Attribute id.
    pub id: u16,
    /// The host cannot write it.
    pub read_only: bool,
    /// Format bits, 0 to 3.
    pub format: u8,
    /// The value.
    pub value: Vec<u8>,
}

impl Attribute {
    /// A host attribute for WRITE ATTRIBUTE: `text` padded with NULs to the attribute's length (some
    /// drives overwrite only as many bytes as they get) and cut at a character if it is longer. Empty
    /// text gives an attribute of length 0, which deletes. `None` for ids that are not known, not text or not
    /// for hosts to write.
    pub fn host_text(id: u16, text: &str) -> Option<Attribute> {
        let is_text = |known: &&Known| matches!(known.format, Ascii | Text);
        let known = lookup(id).filter(|known| known.is_of_host()).filter(is_text)?;
        let length = usize::from(known.length);
        let mut end = text.len().min(length);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut value = text.as_bytes().get(..end).unwrap_or(&[]).to_vec();
        if !value.is_empty() {
            value.resize(length, 0);
        }
        Some(Attribute { id, read_only: false, format: known.format.to_byte(), value })
    }

    /// The value as a person reads it, by the known format of the id: text without padding, a
    /// decimal number, or hexadecimal digits. `None` if the id is not known or the length is wrong.
    pub fn render(&self) -> Option<String> {
        let known = lookup(self.id)?;
        if known.length != 0 && usize::from(known.length) != self.value.len() {
            // Dates of other lengths occur and are plain text.
            if self.id != MANUFACTURE_DATE {
                return None;
            }
        }
        Some(match known.format {
            Ascii | Text => {
                let text = String::from_utf8_lossy(&self.value);
                text.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_string()
            }
            Decimal => self.number()?.to_string(),
            Binary => self.value.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// The value as a big-endian number of at most 8 bytes.
    pub fn number(&self) -> Option<u64> {
        if self.value.is_empty() || self.value.len() > 8 {
            return None;
        }
        Some(self.value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// READ ATTRIBUTE for the values from id `first` on (service action 0).
pub const fn read_cdb(first: u16, allocation: u32) -> Cdb {
    let [high, low] = first.to_be_bytes();
    let [a, b, c, d] = allocation.to_be_bytes();
    Cdb::new([opcode::READ_ATTRIBUTE, 0, 0, 0, 0, 0, 0, 0, high, low, a, b, c, d, 0, 0])
}

/// WRITE ATTRIBUTE of a list of `length` bytes, through to the cartridge (WTC=1).
pub const fn write_cdb(length: u32) -> Cdb {
    let [a, b, c, d] = length.to_be_bytes();
    Cdb::new([opcode::WRITE_ATTRIBUTE, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d, 0, 0])
}

/// Decodes a list. A list that announces more than there is is an error; bytes behind the announced
/// length are ignored.
pub fn parse(bytes: &[u8]) -> Result<Vec<Attribute>, Error> {
    let fields = Fields::new(opcode::READ_ATTRIBUTE, "attributes", bytes);
    let length = usize::try_from(fields.u32(0)?).unwrap_or(usize::MAX);
    let mut rest = fields.slice(4, length)?;
    let mut list = Vec::new();
    while !rest.is_empty() {
        let one = Fields::new(opcode::READ_ATTRIBUTE, "attribute", rest);
        let flags = one.u8(2)?;
        let length = usize::from(one.u16(3)?);
        list.push(Attribute {
            id: one.u16(0)?,
            read_only: flags & 0x80 != 0,
            format: flags & 0x03,
            value: one.slice(ATTRIBUTE_HEADER, length)?.to_vec(),
        });
        rest = one.from(ATTRIBUTE_HEADER + length);
    }
    Ok(list)
}

/// The list as it travels in either direction. Values of more than 65535 bytes are cut.
pub fn build(list: &[Attribute]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    for one in list {
        let length = one.value.len().min(0xffff);
        bytes.extend_from_slice(&one.id.to_be_bytes());
        bytes.push(u8::from(one.read_only) << 7 | one.format & 0x03);
        bytes.extend_from_slice(&(length as u16).to_be_bytes());
        bytes.extend_from_slice(one.value.get(..length).unwrap_or(&[]));
    }
    let length = (bytes.len() - 4) as u32;
    if let Some(field) = bytes.first_chunk_mut::<4>() {
        *field = length.to_be_bytes();
    }
    bytes
}

/// Asks a drive for all attributes of the loaded cartridge.
pub fn read_all(transport: &mut dyn Transport) -> Result<Vec<Attribute>, Error> {
    let cdb = read_cdb(0, READ_ALLOCATION);
    parse(&fetch(transport, &cdb, READ_ALLOCATION as usize, timeout::SHORT)?)
}

/// Writes one attribute.
pub fn write(transport: &mut dyn Transport, attribute: &Attribute) -> Result<(), Error> {
    let bytes = build(std::slice::from_ref(attribute));
    put(transport, &write_cdb(bytes.len() as u32), &bytes, timeout::SHORT)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_ids_are_sorted() {
        assert!(KNOWN.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert_eq!(lookup(0x0808).unwrap().name, "Media Pool");
        assert!(lookup(0x1623).is_none());
    }

    /// Id, length (0 = any) and format of each attribute.
    const TABLE: &str = "
        0000 8 dec
        0001 8 dec
        0002 8 dec
        0003 8 dec
        0004 8 dec
        0005 8 ascii
        0006 1 bin
        0007 2 dec
        0008 32 ascii
        0009 0 bin
        020a 40 ascii
        020b 40 ascii
        020c 40 ascii
        020d 40 ascii
        0220 8 dec
        0221 8 dec
        0222 8 dec
        0223 8 dec
        0224 8 bin
        0225 8 bin
        0340 90 bin
        0341 60 bin
        0400 8 ascii
        0401 32 ascii
        0402 4 dec
        0403 4 dec
        0404 8 ascii
        0405 1 bin
        0406 8 ascii
        0407 8 dec
        0408 1 bin
        0409 2 bin
        040b 10 bin
        0800 8 ascii
        0801 32 ascii
        0802 8 ascii
        0803 160 text
        0804 12 ascii
        0805 1 bin
        0806 32 ascii
        0807 80 text
        0808 160 text
        0809 16 ascii
        080a 1 bin
        080b 16 ascii
        080c 0 bin
        0820 36 bin
        0821 36 bin
        1000 28 bin
        1001 24 bin
    ";

    #[test]
    fn the_table_of_attributes_is_complete() {
        let found: Vec<String> = KNOWN
            .iter()
            .map(|known| {
                let format = match known.format {
                    Binary => "bin",
                    Decimal => "dec",
                    Ascii => "ascii",
                    Text => "text",
                };
                format!("{:04x} {} {format}", known.id, known.length)
            })
            .collect();
        let expected: Vec<&str> = TABLE.trim().lines().map(str::trim).collect();
        assert_eq!(found, expected);
        assert_eq!(found.len(), 50);
        // Names are unique but for one, which the standard has twice.
        let mut names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KNOWN.len() - 1);
    }

    #[test]
    fn hosts_write_their_own_attributes_only() {
        for known in KNOWN {
            let is_text = matches!(known.format, Ascii | Text);
            let expected = (0x0800..0x0c00).contains(&known.id) && is_text;
            assert_eq!(Attribute::host_text(known.id, "x").is_some(), expected, "{:04x}", known.id);
        }
    }

    #[test]
    fn host_attributes_are_padded_and_cut() {
        let vendor = Attribute::host_text(APPLICATION_VENDOR, "Capstan").unwrap();
        assert_eq!(vendor.value, b"Capstan\0");
        assert_eq!(
            build(&[vendor]),
            [0, 0, 0, 13, 0x08, 0x00, 0x01, 0, 8, b'C', b'a', b'p', b's', b't', b'a', b'n', 0]
        );
        let long = Attribute::host_text(APPLICATION_VERSION, "1.2.3-beta4").unwrap();
        assert_eq!(long.value, b"1.2.3-be");
        // Never half a character.
        let text = Attribute::host_text(USER_LABEL, &"é".repeat(100)).unwrap();
        assert_eq!(text.value, "é".repeat(80).as_bytes());
        assert!(Attribute::host_text(USER_LABEL, "").unwrap().value.is_empty());
        assert_eq!(Attribute::host_text(0x0220, "1"), None);
        assert_eq!(&*write_cdb(17), &[0x8d, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0]);
    }

    #[test]
    fn values_are_rendered_by_their_format() {
        let render = |id, value: &[u8]| {
            Attribute { id, read_only: true, format: 0, value: value.to_vec() }.render()
        };
        assert_eq!(render(0x0003, &[0, 0, 0, 0, 0, 0, 1, 2]).as_deref(), Some("258"));
        assert_eq!(render(0x0006, &[0x5e]).as_deref(), Some("5e"));
        assert_eq!(render(0x0400, b"FUJIFILM").as_deref(), Some("FUJIFILM"));
        assert_eq!(
            render(0x0806, b"CAP001L8\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0").as_deref(),
            Some("CAP001L8")
        );
        assert_eq!(render(0x0406, b"2019").as_deref(), Some("2019"));
        assert_eq!(render(0x0003, &[1]), None);
    }

    #[test]
    fn length_is_what_counts() {
        let list =
            vec![Attribute { id: 0x0400, read_only: true, format: 1, value: b"SONY    ".to_vec() }];
        let mut bytes = build(&list);
        assert!(parse(&bytes[..bytes.len() - 1]).is_err());
        bytes.resize(0x8000, 0);
        assert_eq!(parse(&bytes).unwrap(), list);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(list) = parse(&bytes) {
                for one in &list {
                    let _ = one.render();
                }
                prop_assert_eq!(parse(&build(&list)).unwrap(), list);
            }
        }
    }
}
