//! INQUIRY: standard data and vital product data pages (SPC-4 §6.6, §7.8; SSC-5 §8.5).

use scsi::Sense;

use super::{Command, Done};

/// Who a unit says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Peripheral device type: 01h or 08h.
    pub device_type: u8,
    /// Up to 8 characters.
    pub vendor: &'static str,
    /// Up to 16 characters.
    pub product: String,
    /// Up to 4 characters.
    pub revision: &'static str,
    /// Unit serial number, 10 characters.
    pub serial: String,
    /// World wide name, NAA 5h.
    pub name: u64,
    /// Byte 55 says that the library reads bar codes.
    pub bar_code_reader: bool,
    /// VPD pages beside 00h, 80h and 83h, ascending.
    pub extra_pages: Vec<(u8, Vec<u8>)>,
}

/// Text in a fixed field, padded with blanks.
pub(crate) fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().get(..length.min(text.len())).unwrap_or_default().to_vec();
    bytes.resize(length, b' ');
    bytes
}

impl Identity {
    fn standard(&self) -> Vec<u8> {
        let mut data = vec![self.device_type, 0x80, 0x06, 0x02, 0x00, 0x00, 0x00, 0x02];
        data.extend(padded(self.vendor, 8));
        data.extend(padded(&self.product, 16));
        data.extend(padded(self.revision, 4));
        if self.bar_code_reader {
            data.resize(56, 0);
            if let Some(byte) = data.last_mut() {
                *byte = 0x01;
            }
        }
        set_byte(&mut data, 4, |length| length - 5);
        data
    }

    /// The designator `T10 vendor identification` of page 83h: also what a changer tells of its
    /// drives.
    pub fn designator(&self) -> Vec<u8> {
        let text =
            [padded(self.vendor, 8), padded(&self.product, 16), self.serial.as_bytes().to_vec()]
                .concat();
        [&[0x02, 0x01, 0x00, text.len() as u8][..], &text].concat()
    }

    fn page(&self, code: u8) -> Option<Vec<u8>> {
        let body = match code {
            0x00 => [0x00, 0x80, 0x83]
                .into_iter()
                .chain(self.extra_pages.iter().map(|(code, _)| *code))
                .collect(),
            0x80 => self.serial.as_bytes().to_vec(),
            0x83 => {
                let mut body = self.designator();
                body.extend([0x01, 0x03, 0x00, 0x08]);
                body.extend(self.name.to_be_bytes());
                body
            }
            code => self.extra_pages.iter().find(|(page, _)| *page == code)?.1.clone(),
        };
        let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
        Some([&[self.device_type, code], &length[..], &body].concat())
    }

    /// Answers INQUIRY.
    pub fn inquiry(&self, command: &mut Command<'_, '_>) -> Done {
        let allocation = command.number(3, 2);
        let evpd = command.byte(1) & 0x01 != 0;
        let code = command.byte(2);
        let reply = match (evpd, code) {
            (false, 0) => self.standard(),
            (true, code) => self.page(code).ok_or(Sense::INVALID_FIELD_IN_CDB)?,
            (false, _) => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
        };
        command.reply(&reply, allocation);
        Ok(())
    }
}

/// Answers INQUIRY for a logical unit that does not exist (SPC-4 §6.6.2: qualifier 011b, type 1Fh).
pub(crate) fn of_missing_unit(command: &mut Command<'_, '_>) -> Done {
    if command.byte(1) & 0x01 != 0 {
        return Err(Sense::NO_SUCH_UNIT.into());
    }
    let mut data = vec![0x7f, 0x00, 0x06, 0x02, 0x1f, 0x00, 0x00, 0x00];
    data.resize(36, b' ');
    command.reply(&data, command.number(3, 2));
    Ok(())
}

fn set_byte(data: &mut [u8], index: usize, value: impl Fn(usize) -> usize) {
    let length = value(data.len());
    if let Some(byte) = data.get_mut(index) {
        *byte = length as u8;
    }
}
