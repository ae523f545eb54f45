//! Mode parameters (SPC-4 §7.5, SSC-5 §8.5, SMC-3 §7.3): MODE SENSE and MODE SELECT in both sizes.
//!
//! A parameter list is a header, at most one block descriptor (as tape drives have it) and pages:
//!
//! | size | header |
//! |---|---|
//! | (6) | length\[1\] (excluding itself), medium type, device-specific, descriptor length\[1\] |
//! | (10) | length\[2\] (excluding itself), medium type, device-specific, 2 reserved, descriptor length\[2\] |
//!
//! Device-specific byte of tape drives: write protected 80h, buffered mode bits 6–4, speed 3–0.
//! Block descriptor (8 bytes): density code, blocks\[3\], reserved, block length\[3\] (0 = variable).
//! Page: code (low six bits; PS 80h, SPF 40h), length\[1\], data; with SPF: code, subpage, length\[2\], data.

use super::fields::{Fields, be24};
use super::{Cdb, fetch, opcode, put, timeout};
use crate::transport::{Error, Transport};

/// Data compression page.
pub const PAGE_COMPRESSION: u8 = 0x0f;
/// Device configuration page; with subpage 01h its extension.
pub const PAGE_DEVICE_CONFIGURATION: u8 = 0x10;
/// Medium configuration page of drives, element address assignment page of changers.
pub const PAGE_MEDIUM_CONFIGURATION: u8 = 0x1d;
/// Element address assignment page of changers.
pub const PAGE_ELEMENT_ADDRESSES: u8 = 0x1d;
/// No page: header and block descriptor only.
pub const PAGE_NONE: u8 = 0x00;

const DESCRIPTOR: usize = 8;

/// Which of the two CDB and header sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// MODE SENSE(6), MODE SELECT(6).
    Six,
    /// MODE SENSE(10), MODE SELECT(10).
    Ten,
}

impl Size {
    const fn header(self) -> usize {
        match self {
            Size::Six => 4,
            Size::Ten => 8,
        }
    }

    const fn sense_opcode(self) -> u8 {
        match self {
            Size::Six => opcode::MODE_SENSE_6,
            Size::Ten => opcode::MODE_SENSE_10,
        }
    }
}

/// Block descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlockDescriptor {
    /// Density code of the medium, 0 without one.
    pub density: u8,
    /// Number of blocks (0 = all), 24 bits.
    pub blocks: u32,
    /// Block length in bytes, 24 bits; 0 = variable.
    pub block_bytes: u32,
}

/// A mode parameter list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parameters {
    /// Medium type.
    pub medium_type: u8,
    /// Device-specific parameter.
    pub device_specific: u8,
    /// Block descriptor, if there is one.
    pub descriptor: Option<BlockDescriptor>,
    /// The pages, one behind the other, as on the wire.
    pub pages: Vec<u8>,
}

impl Parameters {
    /// The medium is write protected.
    pub fn write_protected(&self) -> bool {
        self.device_specific & 0x80 != 0
    }

    /// Buffered mode: 0 = each WRITE waits for the tape, 1 = WRITE returns from the buffer.
    pub fn buffered_mode(&self) -> u8 {
        self.device_specific >> 4 & 0x07
    }

    /// Sets the buffered mode (0 to 7).
    pub fn set_buffered_mode(&mut self, mode: u8) {
        self.device_specific = self.device_specific & 0x8f | (mode & 0x07) << 4;
    }

    /// The medium type says WORM, where the drive family codes it there (low digit Ch).
    pub fn medium_type_is_worm(&self) -> bool {
        self.medium_type & 0x0f == 0x0c
    }

    /// Decodes the reply to MODE SENSE of this size, cut to the length that it announces.
    pub fn parse(size: Size, bytes: &[u8]) -> Result<Parameters, Error> {
        let fields = Fields::new(size.sense_opcode(), "mode parameters", bytes);
        let (fields, medium_type, device_specific, descriptors) = match size {
            Size::Six => {
                let fields = fields.cut(1, usize::from(fields.u8(0)?));
                (fields, fields.u8(1)?, fields.u8(2)?, usize::from(fields.u8(3)?))
            }
            Size::Ten => {
                let fields = fields.cut(2, usize::from(fields.u16(0)?));
                (fields, fields.u8(2)?, fields.u8(3)?, usize::from(fields.u16(6)?))
            }
        };
        let header = size.header();
        let all = fields.slice(header, descriptors)?;
        let descriptor = if all.len() >= DESCRIPTOR {
            let first = Fields::new(size.sense_opcode(), "block descriptor", all);
            Some(BlockDescriptor {
                density: first.u8(0)?,
                blocks: first.u24(1)?,
                block_bytes: first.u24(5)?,
            })
        } else {
            None
        };
        Ok(Parameters {
            medium_type,
            device_specific,
            descriptor,
            pages: fields.from(header + descriptors).to_vec(),
        })
    }

    /// The list as a device sends it: the length field tells the whole length.
    pub fn build(&self, size: Size) -> Vec<u8> {
        let mut bytes = self.build_for_select(size);
        match size {
            Size::Six => {
                let length = (bytes.len() - 1).min(0xff) as u8;
                if let Some(first) = bytes.first_mut() {
                    *first = length;
                }
            }
            Size::Ten => {
                let length = (bytes.len() - 2).min(0xffff) as u16;
                if let Some(first) = bytes.first_chunk_mut::<2>() {
                    *first = length.to_be_bytes();
                }
            }
        }
        bytes
    }

    /// The list as a host sends it: the length field is reserved and 0.
    pub fn build_for_select(&self, size: Size) -> Vec<u8> {
        let descriptor_bytes = if self.descriptor.is_some() { DESCRIPTOR as u8 } else { 0 };
        let mut bytes = match size {
            Size::Six => vec![0, self.medium_type, self.device_specific, descriptor_bytes],
            Size::Ten => {
                vec![0, 0, self.medium_type, self.device_specific, 0, 0, 0, descriptor_bytes]
            }
        };
        if let Some(descriptor) = &self.descriptor {
            bytes.push(descriptor.density);
            bytes.extend_from_slice(&be24(descriptor.blocks));
            bytes.push(0);
            bytes.extend_from_slice(&be24(descriptor.block_bytes));
        }
        bytes.extend_from_slice(&self.pages);
        bytes
    }

    /// Decodes what a host sent with MODE SELECT. The length field is ignored, as SPC demands.
    pub fn parse_select(size: Size, bytes: &[u8]) -> Result<Parameters, Error> {
        let mut whole = bytes.to_vec();
        // Put in the length that parse() expects; it is at most what fits the field.
        match size {
            Size::Six => {
                if let Some(first) = whole.first_mut() {
                    *first = bytes.len().saturating_sub(1).min(0xff) as u8;
                }
            }
            Size::Ten => {
                if let Some(first) = whole.first_chunk_mut::<2>() {
                    *first = (bytes.len().saturating_sub(2).min(0xffff) as u16).to_be_bytes();
                }
            }
        }
        Parameters::parse(size, &whole)
    }

    /// Page `code` with `subpage` (0 = the page itself), header included; `None` if it is not there
    /// or is cut off.
    pub fn page(&self, code: u8, subpage: u8) -> Option<&[u8]> {
        self.split_pages()
            .find(|page| page.code == code && page.subpage == subpage)
            .map(|p| p.bytes)
    }

    /// All whole pages in their order.
    pub fn split_pages(&self) -> impl Iterator<Item = Page<'_>> {
        let mut rest = self.pages.as_slice();
        std::iter::from_fn(move || {
            let first = *rest.first()?;
            let (subpage, length) = if first & 0x40 != 0 {
                let [_, subpage, high, low] = *rest.first_chunk::<4>()?;
                (subpage, 4 + usize::from(u16::from_be_bytes([high, low])))
            } else {
                (0, 2 + usize::from(*rest.get(1)?))
            };
            let bytes = rest.get(..length)?;
            rest = rest.get(length..)?;
            Some(Page { code: first & 0x3f, subpage, bytes })
        })
    }
}

/// One mode page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page<'a> {
    /// Page code, 0 to 3Fh.
    pub code: u8,
    /// Subpage code, 0 for pages in the short format.
    pub subpage: u8,
    /// The whole page with its header.
    pub bytes: &'a [u8],
}

/// MODE SENSE for the current values of a page. `no_descriptor` is DBD.
pub const fn sense_cdb(size: Size, page: u8, subpage: u8, no_descriptor: bool) -> Cdb {
    let dbd = if no_descriptor { 0x08 } else { 0 };
    match size {
        Size::Six => Cdb::new([opcode::MODE_SENSE_6, dbd, page, subpage, 0xff, 0]),
        Size::Ten => {
            let [high, low] = SENSE_10_ALLOCATION.to_be_bytes();
            Cdb::new([opcode::MODE_SENSE_10, dbd, page, subpage, 0, 0, 0, high, low, 0])
        }
    }
}

const SENSE_10_ALLOCATION: u16 = 0x1000;

/// MODE SELECT of `length` bytes in page format (PF=1).
pub const fn select_cdb(size: Size, length: u16) -> Cdb {
    let [high, low] = length.to_be_bytes();
    match size {
        Size::Six => Cdb::new([opcode::MODE_SELECT_6, 0x10, 0, 0, low, 0]),
        Size::Ten => Cdb::new([opcode::MODE_SELECT_10, 0x10, 0, 0, 0, 0, 0, high, low, 0]),
    }
}

/// Asks for a page in one size.
pub fn sense_sized(
    transport: &mut dyn Transport,
    size: Size,
    page: u8,
    subpage: u8,
    no_descriptor: bool,
) -> Result<Parameters, Error> {
    let allocation = match size {
        Size::Six => 0xff,
        Size::Ten => usize::from(SENSE_10_ALLOCATION),
    };
    let cdb = sense_cdb(size, page, subpage, no_descriptor);
    Parameters::parse(size, &fetch(transport, &cdb, allocation, timeout::SHORT)?)
}

/// Asks for a page: the 10-byte command first, the 6-byte one where the device does not know it.
/// Also tells which size worked, because MODE SELECT must use the same.
pub fn sense(
    transport: &mut dyn Transport,
    page: u8,
    subpage: u8,
) -> Result<(Parameters, Size), Error> {
    match sense_sized(transport, Size::Ten, page, subpage, false) {
        Err(error) if error.sense().is_some_and(|sense| sense.is_invalid_opcode()) => {
            Ok((sense_sized(transport, Size::Six, page, subpage, false)?, Size::Six))
        }
        other => other.map(|parameters| (parameters, Size::Ten)),
    }
}

/// Sends a parameter list. PS, which devices set and hosts must not, is cleared in each page.
pub fn select(
    transport: &mut dyn Transport,
    size: Size,
    parameters: &Parameters,
) -> Result<(), Error> {
    let mut cleared = Parameters { pages: Vec::new(), ..parameters.clone() };
    for page in parameters.split_pages() {
        let start = cleared.pages.len();
        cleared.pages.extend_from_slice(page.bytes);
        if let Some(first) = cleared.pages.get_mut(start) {
            *first &= 0x7f;
        }
    }
    let bytes = cleared.build_for_select(size);
    // More than 255 bytes cannot come about: lists to send hold one page.
    let cdb = select_cdb(size, bytes.len().min(0xffff) as u16);
    put(transport, &cdb, &bytes, timeout::SHORT)
}

fn page_fields<'a>(
    parameters: &'a Parameters,
    code: u8,
    subpage: u8,
    length: usize,
    what: &'static str,
) -> Result<Fields<'a>, Error> {
    let bytes = parameters.page(code, subpage).unwrap_or(&[]);
    let fields = Fields::new(opcode::MODE_SENSE_10, what, bytes);
    if bytes.is_empty() {
        return Err(fields.malformed("page missing or cut off"));
    }
    fields.slice(0, length)?;
    Ok(fields)
}

/// Data compression page 0Fh (SSC-5 §8.5.2): byte 2 {DCE 80h, DCC 40h}, byte 3 {DDE 80h, RED 60h},
/// compression algorithm\[4\], decompression algorithm\[4\], 4 reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// DCE: the drive compresses what is written.
    pub enabled: bool,
    /// DCC: the drive can compress.
    pub capable: bool,
    /// DDE: the drive decompresses what is read.
    pub decompression: bool,
    /// RED: how an exception on decompression is reported.
    pub report_exception: u8,
    /// Compression algorithm in use.
    pub compression_algorithm: u32,
    /// Decompression algorithm of the last block.
    pub decompression_algorithm: u32,
}

impl Compression {
    const LENGTH: usize = 16;

    /// From a reply that contains the page.
    pub fn parse(parameters: &Parameters) -> Result<Compression, Error> {
        let fields =
            page_fields(parameters, PAGE_COMPRESSION, 0, Self::LENGTH, "data compression page")?;
        let (compression, decompression) = (fields.u8(2)?, fields.u8(3)?);
        Ok(Compression {
            enabled: compression & 0x80 != 0,
            capable: compression & 0x40 != 0,
            decompression: decompression & 0x80 != 0,
            report_exception: decompression >> 5 & 0x03,
            compression_algorithm: fields.u32(4)?,
            decompression_algorithm: fields.u32(8)?,
        })
    }

    /// The page.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let mut page = [0u8; Self::LENGTH];
        page[0] = PAGE_COMPRESSION;
        page[1] = (Self::LENGTH - 2) as u8;
        page[2] = u8::from(self.enabled) << 7 | u8::from(self.capable) << 6;
        page[3] = u8::from(self.decompression) << 7 | (self.report_exception & 0x03) << 5;
        page[4..8].copy_from_slice(&self.compression_algorithm.to_be_bytes());
        page[8..12].copy_from_slice(&self.decompression_algorithm.to_be_bytes());
        page
    }
}

/// Device configuration extension page 10h/01h (SSC-5 §8.5.8): byte 4 {TARPF 08h, TASER 04h, TARPC
/// 02h, TAPLSD 01h}, byte 5 {write mode 7–4, short erase mode 3–0}, PEWS\[2\], byte 8 {VCELBRE 01h}.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeviceConfigurationExtension {
    /// The four flags of byte 4.
    pub tape_alert_flags: u8,
    /// Write mode (1 = append-only).
    pub write_mode: u8,
    /// What ERASE with LONG=0 does (2 = it has an effect).
    pub short_erase_mode: u8,
    /// Programmable early warning so many megabytes before early warning; 0 = off.
    pub early_warning_mb: u16,
    /// Report encryption of a volume (VCELBRE).
    pub volume_encryption_report: bool,
}

impl DeviceConfigurationExtension {
    const LENGTH: usize = 32;
    /// Subpage code.
    pub const SUBPAGE: u8 = 0x01;

    /// From a reply that contains the page. Some drives answer with a page in the short format
    /// instead; that counts as missing.
    pub fn parse(parameters: &Parameters) -> Result<DeviceConfigurationExtension, Error> {
        let fields = page_fields(
            parameters,
            PAGE_DEVICE_CONFIGURATION,
            Self::SUBPAGE,
            Self::LENGTH,
            "device configuration extension page",
        )?;
        let modes = fields.u8(5)?;
        Ok(DeviceConfigurationExtension {
            tape_alert_flags: fields.u8(4)? & 0x0f,
            write_mode: modes >> 4,
            short_erase_mode: modes & 0x0f,
            early_warning_mb: fields.u16(6)?,
            volume_encryption_report: fields.u8(8)? & 0x01 != 0,
        })
    }

    /// The page.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let mut page = [0u8; Self::LENGTH];
        page[0] = 0x40 | PAGE_DEVICE_CONFIGURATION;
        page[1] = Self::SUBPAGE;
        page[2..4].copy_from_slice(&((Self::LENGTH - 4) as u16).to_be_bytes());
        page[4] = self.tape_alert_flags & 0x0f;
        page[5] = self.write_mode << 4 | self.short_erase_mode & 0x0f;
        page[6..8].copy_from_slice(&self.early_warning_mb.to_be_bytes());
        page[8] = u8::from(self.volume_encryption_report);
        page
    }
}

/// Medium configuration page 1Dh of drives (SSC-5 §8.5.9): byte 2 {WORMM 01h}, byte 4 WORM label
/// restrictions, byte 5 WORM filemark restrictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MediumConfiguration {
    /// The medium is a WORM tape.
    pub worm: bool,
    /// What of a label may be overwritten on WORM.
    pub label_restrictions: u8,
    /// Which filemarks before the end of data may be overwritten on WORM.
    pub filemark_restrictions: u8,
}

impl MediumConfiguration {
    const LENGTH: usize = 32;

    /// From a reply that contains the page.
    pub fn parse(parameters: &Parameters) -> Result<MediumConfiguration, Error> {
        let fields = page_fields(
            parameters,
            PAGE_MEDIUM_CONFIGURATION,
            0,
            Self::LENGTH,
            "medium configuration page",
        )?;
        Ok(MediumConfiguration {
            worm: fields.u8(2)? & 0x01 != 0,
            label_restrictions: fields.u8(4)?,
            filemark_restrictions: fields.u8(5)?,
        })
    }

    /// The page.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let mut page = [0u8; Self::LENGTH];
        page[0] = PAGE_MEDIUM_CONFIGURATION;
        page[1] = (Self::LENGTH - 2) as u8;
        page[2] = u8::from(self.worm);
        page[4] = self.label_restrictions;
        page[5] = self.filemark_restrictions;
        page
    }
}

/// A range of element addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElementRange {
    /// First address.
    pub first: u16,
    /// How many elements.
    pub count: u16,
}

/// Element address assignment page 1Dh of changers (SMC-3 §7.3.3): {first\[2\], count\[2\]} for transport,
/// storage, import/export and data transfer elements, 2 reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElementAddresses {
    /// Robot arms.
    pub transport: ElementRange,
    /// Slots.
    pub storage: ElementRange,
    /// Slots an operator can reach.
    pub import_export: ElementRange,
    /// Drives.
    pub drives: ElementRange,
}

impl ElementAddresses {
    const LENGTH: usize = 20;

    /// From a reply that contains the page.
    pub fn parse(parameters: &Parameters) -> Result<ElementAddresses, Error> {
        let fields = page_fields(
            parameters,
            PAGE_ELEMENT_ADDRESSES,
            0,
            // Some changers leave out the two reserved bytes at the end.
            Self::LENGTH - 2,
            "element address assignment page",
        )?;
        let range = |offset: usize| -> Result<ElementRange, Error> {
            Ok(ElementRange { first: fields.u16(offset)?, count: fields.u16(offset + 2)? })
        };
        Ok(ElementAddresses {
            transport: range(2)?,
            storage: range(6)?,
            import_export: range(10)?,
            drives: range(14)?,
        })
    }

    /// The page.
    pub fn build(&self) -> [u8; Self::LENGTH] {
        let mut page = [0u8; Self::LENGTH];
        page[0] = PAGE_ELEMENT_ADDRESSES;
        page[1] = (Self::LENGTH - 2) as u8;
        let ranges = [self.transport, self.storage, self.import_export, self.drives];
        for (range, field) in ranges.iter().zip(page[2..].chunks_exact_mut(4)) {
            field[..2].copy_from_slice(&range.first.to_be_bytes());
            field[2..].copy_from_slice(&range.count.to_be_bytes());
        }
        page
    }

    /// Asks a changer, with the 6-byte command that all of them know.
    pub fn request(transport: &mut dyn Transport) -> Result<ElementAddresses, Error> {
        let parameters = sense_sized(transport, Size::Six, PAGE_ELEMENT_ADDRESSES, 0, true)?;
        ElementAddresses::parse(&parameters)
    }
}

#[cfg(test)]
mod tests;
