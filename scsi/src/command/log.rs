//! LOG SENSE (SPC-4 §6.8, §7.3): the pages of counters and states a device keeps.
//!
//! A page: byte 0 {DS 80h, SPF 40h, page code}, subpage code, length\[2\], then parameters {code\[2\],
//! control, length, value}. What the parameters of a page mean is told by [`super::tape_alert`],
//! [`super::statistics`], [`super::device_statistics`], [`super::error_counters`] and, here, [`DeviceActivity`].

use std::fmt;

use super::fields::Fields;
use super::{Cdb, fetch, opcode, timeout};
use crate::transport::{Error, Transport};

/// Write error counters page.
pub const PAGE_WRITE_ERRORS: u8 = 0x02;
/// Read error counters page.
pub const PAGE_READ_ERRORS: u8 = 0x03;
/// DT device status page: what the drive is doing.
pub const PAGE_DEVICE_STATUS: u8 = 0x11;
/// TapeAlert response page: reading it does not clear the flags.
pub const PAGE_TAPE_ALERT_RESPONSE: u8 = 0x12;
/// Device statistics page: the drive's own life.
pub const PAGE_DEVICE_STATISTICS: u8 = 0x14;
/// Volume statistics page.
pub const PAGE_VOLUME_STATISTICS: u8 = 0x17;
/// TapeAlert page: reading it clears the flags.
pub const PAGE_TAPE_ALERT: u8 = 0x2e;

const HEADER: usize = 4;
const PARAMETER_HEADER: usize = 4;
const ALLOCATION: u16 = 0x4000;

/// One parameter of a log page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Parameter code.
    pub code: u16,
    /// Control byte (format: 03h binary list, 01h ASCII list).
    pub control: u8,
    /// Value, at most 255 bytes.
    pub value: Vec<u8>,
}

impl Parameter {
    /// The value as a big-endian number of 1 to 8 bytes. `None` if it has another length, or if
    /// all its bits are set, which means "unknown".
    pub fn number(&self) -> Option<u64> {
        if self.value.is_empty() || self.value.len() > 8 || self.value.iter().all(|b| *b == 0xff) {
            return None;
        }
        Some(self.value.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

/// A log page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// Page code, 0 to 3Fh.
    pub page: u8,
    /// Subpage code.
    pub subpage: u8,
    /// The parameters in the order sent.
    pub parameters: Vec<Parameter>,
}

impl LogPage {
    /// The command for the current cumulative values (PC = 01b).
    pub const fn cdb(page: u8, subpage: u8, allocation: u16) -> Cdb {
        let [high, low] = allocation.to_be_bytes();
        Cdb::new([opcode::LOG_SENSE, 0, 0x40 | page, subpage, 0, 0, 0, high, low, 0])
    }

    /// Decodes a reply, which must be page `page`, cut to the length that it announces.
    pub fn parse(page: u8, bytes: &[u8]) -> Result<LogPage, Error> {
        let fields = Fields::new(opcode::LOG_SENSE, "log page", bytes);
        let first = fields.u8(0)?;
        let subpage = if first & 0x40 != 0 { fields.u8(1)? } else { 0 };
        if first & 0x3f != page {
            return Err(
                fields.malformed(format_args!("page {:02x}h instead of {page:02x}h", first & 0x3f))
            );
        }
        let mut rest = fields.cut(HEADER, usize::from(fields.u16(2)?)).from(HEADER);
        let mut parameters = Vec::new();
        while !rest.is_empty() {
            let one = Fields::new(opcode::LOG_SENSE, "log parameter", rest);
            let length = usize::from(one.u8(3)?);
            parameters.push(Parameter {
                code: one.u16(0)?,
                control: one.u8(2)?,
                value: one.slice(PARAMETER_HEADER, length)?.to_vec(),
            });
            rest = one.from(PARAMETER_HEADER + length);
        }
        Ok(LogPage { page, subpage, parameters })
    }

    /// The page as a device sends it. Values of more than 255 bytes are cut.
    pub fn build(&self) -> Vec<u8> {
        let spf = if self.subpage != 0 { 0x40 } else { 0 };
        let mut bytes = vec![spf | self.page & 0x3f, self.subpage, 0, 0];
        for parameter in &self.parameters {
            let length = parameter.value.len().min(0xff);
            bytes.extend_from_slice(&parameter.code.to_be_bytes());
            bytes.extend_from_slice(&[parameter.control, length as u8]);
            bytes.extend_from_slice(parameter.value.get(..length).unwrap_or(&[]));
        }
        let length = (bytes.len() - HEADER).min(0xffff) as u16;
        if let Some(field) = bytes.get_mut(2..4) {
            field.copy_from_slice(&length.to_be_bytes());
        }
        bytes
    }

    /// The first parameter with this code that has a value. Some drives pad the page with zeros,
    /// which parse as empty parameters of code 0.
    pub fn parameter(&self, code: u16) -> Option<&Parameter> {
        self.parameters.iter().find(|one| one.code == code && !one.value.is_empty())
    }

    /// Asks a device.
    pub fn request(transport: &mut dyn Transport, page: u8) -> Result<LogPage, Error> {
        let cdb = LogPage::cdb(page, 0, ALLOCATION);
        LogPage::parse(page, &fetch(transport, &cdb, ALLOCATION.into(), timeout::SHORT)?)
    }
}

/// What the drive is doing (byte 2 of the very high frequency data of page 11h, SSC-5 §8.3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Activity {
    None,
    Cleaning,
    Loading,
    Unloading,
    Other,
    Reading,
    Writing,
    Locating,
    Rewinding,
    Erasing,
    Formatting,
    Calibrating,
    OtherDt,
    MicrocodeUpdate,
    ReadingEncrypted,
    WritingEncrypted,
    /// A code that the standard did not define when this was written.
    Unknown(u8),
}

impl Activity {
    /// From the byte on the wire.
    pub const fn from_byte(byte: u8) -> Activity {
        match byte {
            0x0 => Activity::None,
            0x1 => Activity::Cleaning,
            0x2 => Activity::Loading,
            0x3 => Activity::Unloading,
            0x4 => Activity::Other,
            0x5 => Activity::Reading,
            0x6 => Activity::Writing,
            0x7 => Activity::Locating,
            0x8 => Activity::Rewinding,
            0x9 => Activity::Erasing,
            0xa => Activity::Formatting,
            0xb => Activity::Calibrating,
            0xc => Activity::OtherDt,
            0xd => Activity::MicrocodeUpdate,
            0xe => Activity::ReadingEncrypted,
            0xf => Activity::WritingEncrypted,
            other => Activity::Unknown(other),
        }
    }

    /// To the byte on the wire.
    pub const fn to_byte(self) -> u8 {
        match self {
            Activity::None => 0x0,
            Activity::Cleaning => 0x1,
            Activity::Loading => 0x2,
            Activity::Unloading => 0x3,
            Activity::Other => 0x4,
            Activity::Reading => 0x5,
            Activity::Writing => 0x6,
            Activity::Locating => 0x7,
            Activity::Rewinding => 0x8,
            Activity::Erasing => 0x9,
            Activity::Formatting => 0xa,
            Activity::Calibrating => 0xb,
            Activity::OtherDt => 0xc,
            Activity::MicrocodeUpdate => 0xd,
            Activity::ReadingEncrypted => 0xe,
            Activity::WritingEncrypted => 0xf,
            Activity::Unknown(byte) => byte,
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activity::None => "no-activity",
            Activity::Cleaning => "cleaning",
            Activity::Loading => "loading",
            Activity::Unloading => "unloading",
            Activity::Other => "other",
            Activity::Reading => "reading",
            Activity::Writing => "writing",
            Activity::Locating => "locating",
            Activity::Rewinding => "rewinding",
            Activity::Erasing => "erasing",
            Activity::Formatting => "formatting",
            Activity::Calibrating => "calibrating",
            Activity::OtherDt => "other-dt",
            Activity::MicrocodeUpdate => "microcode-update",
            Activity::ReadingEncrypted => "reading-encrypted",
            Activity::WritingEncrypted => "writing-encrypted",
            Activity::Unknown(byte) => return write!(f, "unknown-{byte:02x}h"),
        })
    }
}

/// Very high frequency data of page 11h, parameter 0000h: 4 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceActivity {
    flags: [u8; 2],
    activity: Activity,
    last: u8,
}

impl DeviceActivity {
    const VALID: u8 = 0x01;

    /// From page 11h.
    pub fn parse(page: &LogPage) -> Result<DeviceActivity, Error> {
        let bytes = page.parameter(0).map(|one| one.value.as_slice()).unwrap_or(&[]);
        let fields = Fields::new(opcode::LOG_SENSE, "device activity", bytes);
        let first = fields.u8(0)?;
        if first & Self::VALID == 0 {
            return Err(fields.malformed("marked as not valid"));
        }
        Ok(DeviceActivity {
            flags: [first, fields.u8(1)?],
            activity: Activity::from_byte(fields.u8(2)?),
            last: fields.u8(3)?,
        })
    }

    /// The activity field.
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// CRQRD: cleaning is required.
    pub fn cleaning_required(&self) -> bool {
        self.flags[0] & 0x02 != 0
    }

    /// CRQST: cleaning is requested.
    pub fn cleaning_requested(&self) -> bool {
        self.flags[0] & 0x04 != 0
    }

    /// WRTP: the medium is write protected.
    pub fn write_protected(&self) -> bool {
        self.flags[0] & 0x08 != 0
    }

    /// MPRSNT: a cartridge is in the drive.
    pub fn medium_present(&self) -> bool {
        self.flags[1] & 0x10 != 0
    }

    /// MOUNTED: the cartridge can be read and written.
    pub fn mounted(&self) -> bool {
        self.flags[1] & 0x01 != 0
    }

    /// TAFC: a TapeAlert flag changed.
    pub fn tape_alert_changed(&self) -> bool {
        self.last & 0x01 != 0
    }

    /// A cartridge is being brought into position. Some drives leave the activity at "none"
    /// meanwhile and tell it only through "present, not mounted".
    pub fn is_loading(&self) -> bool {
        self.activity == Activity::Loading
            || (self.activity == Activity::None && self.medium_present() && !self.mounted())
    }

    /// Asks a drive.
    ///
    /// The page answers at once, also while the drive is busy. The time-out is nevertheless the
    /// usual one: when it expires the kernel resets the device, and that must not happen to a drive
    /// somebody else is writing to.
    pub fn request(transport: &mut dyn Transport) -> Result<DeviceActivity, Error> {
        DeviceActivity::parse(&LogPage::request(transport, PAGE_DEVICE_STATUS)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn device_activity_of_a_loading_drive() {
        let bytes = [0x11, 0, 0, 8, 0, 0, 3, 4, 0x11, 0x34, 0x02, 0x00];
        let page = LogPage::parse(PAGE_DEVICE_STATUS, &bytes).unwrap();
        assert_eq!(page.build(), bytes);
        let state = DeviceActivity::parse(&page).unwrap();
        assert_eq!(state.activity(), Activity::Loading);
        assert!(state.is_loading() && state.medium_present() && !state.mounted());
        // The same drive without the activity field, and idle with a mounted tape.
        let state = |bytes: [u8; 4]| {
            let parameters = vec![Parameter { code: 0, control: 3, value: bytes.to_vec() }];
            DeviceActivity::parse(&LogPage { page: 0x11, subpage: 0, parameters })
        };
        assert!(state([0x11, 0x34, 0, 0]).unwrap().is_loading());
        assert!(!state([0x31, 0x37, 0, 0]).unwrap().is_loading());
        assert!(state([0x30, 0x37, 0, 0]).is_err());
    }

    #[test]
    fn bytes_behind_the_page_are_cut_and_cut_pages_refused() {
        let mut bytes = vec![0x17, 0, 0, 5, 0, 0, 3, 1, 1];
        bytes.extend_from_slice(&[9; 7]);
        let page = LogPage::parse(PAGE_VOLUME_STATISTICS, &bytes).unwrap();
        assert_eq!(page.parameters.len(), 1);
        assert!(LogPage::parse(PAGE_VOLUME_STATISTICS, &bytes[..8]).is_err());
        assert!(LogPage::parse(PAGE_TAPE_ALERT, &bytes).is_err());
        assert_eq!(&*LogPage::cdb(0x17, 0, 0x4000), &[0x4d, 0, 0x57, 0, 0, 0, 0, 0x40, 0, 0]);
    }

    #[test]
    fn numbers_of_any_length() {
        let number =
            |value: &[u8]| Parameter { code: 1, control: 3, value: value.to_vec() }.number();
        assert_eq!(number(&[0x01, 0x02]), Some(0x0102));
        assert_eq!(number(&[0, 0, 0, 0, 0, 0, 1, 0]), Some(256));
        assert_eq!(number(&[0xff; 6]), None);
        assert_eq!(number(&[]), None);
        assert_eq!(number(&[0; 9]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let page = bytes.first().map_or(0, |byte| byte & 0x3f);
            if let Ok(page) = LogPage::parse(page, &bytes) {
                let _ = DeviceActivity::parse(&page);
                prop_assert_eq!(LogPage::parse(page.page, &page.build()).unwrap(), page);
            }
        }
    }
}
