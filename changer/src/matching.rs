//! Which of a library's drives is that drive there: told by its serial number.
//!
//! The number of a drive in its library is not its number on the host: cables and start-up decide that. Moving a tape
//! into one drive and opening another would read or write the wrong tape. The library tells the serial numbers of its
//! drives (DVCID), the drive tells its own (VPD page 80h). They are compared without blanks around them, and a
//! library's number of exactly 10 characters may be the beginning of a longer one, because the usual identifier has no
//! room for more. A match counts only if it is the only one.

use scsi::Transport;
use scsi::command::inquiry;

use crate::status::Status;

/// Characters that the usual identifier of a drive has room for.
const IDENTIFIER_CHARACTERS: usize = 10;

/// What a library says about a serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DriveMatch {
    /// It is this drive's, and no other's.
    Drive(u64),
    /// It may be that of any of these drives.
    Several(Vec<u64>),
    /// It is none of those that the library tells.
    None,
    /// The library tells no serial numbers.
    Unknown,
}

impl DriveMatch {
    /// The drive, if it is certain.
    pub fn drive(&self) -> Option<u64> {
        match self {
            DriveMatch::Drive(number) => Some(*number),
            DriveMatch::Several(_) | DriveMatch::None | DriveMatch::Unknown => None,
        }
    }
}

impl Status {
    /// Which drive has this serial number.
    pub fn match_drive(&self, serial: &str) -> DriveMatch {
        let serial = serial.trim();
        let known = || {
            self.numbered_drives().filter_map(|(number, one)| {
                let known = one.drive_serial_number.as_deref()?.trim();
                (!known.is_empty()).then_some((number, known))
            })
        };
        if known().next().is_none() || serial.is_empty() {
            return DriveMatch::Unknown;
        }
        let matching = |is_same: &dyn Fn(&str) -> bool| -> Vec<u64> {
            known().filter(|(_, known)| is_same(known)).map(|(number, _)| number).collect()
        };
        let mut found = matching(&|known| known == serial);
        if found.is_empty() {
            found = matching(&|known| {
                known.len() == IDENTIFIER_CHARACTERS && serial.starts_with(known)
            });
        }
        match found.as_slice() {
            [] => DriveMatch::None,
            [number] => DriveMatch::Drive(*number),
            _ => DriveMatch::Several(found),
        }
    }

    /// The drive with this serial number, if exactly one can be meant.
    pub fn drive_of_serial(&self, serial: &str) -> Option<u64> {
        self.match_drive(serial).drive()
    }
}

/// The serial number of a unit (VPD page 80h); `None` if it does not tell one. Reads identification only: no other
/// program's unit attention is used up, and no tape is touched.
///
/// # Errors
///
/// What the way to the unit reports.
pub fn serial_number(transport: &mut dyn Transport) -> Result<Option<String>, scsi::Error> {
    match inquiry::request_vpd(transport, inquiry::VPD_SERIAL) {
        Ok(page) => Ok(inquiry::serial(&page)),
        Err(error) if error.sense().is_some_and(scsi::Sense::is_unsupported) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use scsi::Sense;
    use scsi::testing::Script;

    use super::*;
    use crate::status::tests::status;

    #[test]
    fn serial_numbers_cut_to_ten_characters() {
        let mut status = status();
        for (serial, drive) in [
            ("1013000042", DriveMatch::Drive(0)),
            (" 1013000042AB ", DriveMatch::Drive(0)),
            ("10130000", DriveMatch::None),
            ("", DriveMatch::Unknown),
        ] {
            assert_eq!(status.match_drive(serial), drive, "'{serial}'");
        }
        // The whole number counts more than a beginning.
        status.drives[1].drive_serial_number = Some("1013000042AB".into());
        assert_eq!(status.drive_of_serial("1013000042AB"), Some(1));
        status.drives[1].drive_serial_number = Some("1013000042 ".into());
        assert_eq!(status.match_drive("1013000042"), DriveMatch::Several(vec![0, 1]));
        assert_eq!(status.drive_of_serial("1013000042"), None);
        for drive in &mut status.drives {
            drive.drive_serial_number = None;
        }
        assert_eq!(status.match_drive("1013000042"), DriveMatch::Unknown);
    }

    #[test]
    fn a_unit_without_serial_number() {
        let mut script = Script::new();
        let cdb = inquiry::vpd_cdb(inquiry::VPD_SERIAL, 0xfc);
        script.expect_check(&cdb, Sense::INVALID_FIELD_IN_CDB);
        assert_eq!(serial_number(&mut script).unwrap(), None);
        script.expect_in(&cdb, &inquiry::build_vpd(1, inquiry::VPD_SERIAL, b" 10130000 "));
        assert_eq!(serial_number(&mut script).unwrap().as_deref(), Some("10130000"));
    }
}
