//! Error counters, log pages 02h (writing) and 03h (reading) (SPC-4 §7.3.7): what a drive had to correct, and what it could not.
//!
//! When they begin anew differs: with each cartridge, or only when the drive is switched on.

use serde::{Deserialize, Serialize};

use super::log::{LogPage, PAGE_READ_ERRORS, PAGE_WRITE_ERRORS, Parameter};
use crate::transport::{Error, Transport};

/// Counters of one direction; what a drive does not count is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct ErrorCounters {
    /// Errors that were corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrected: Option<u64>,
    /// Errors that were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncorrected: Option<u64>,
    /// Bytes that were moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

impl ErrorCounters {
    /// From page 02h or 03h.
    pub fn parse(page: &LogPage) -> ErrorCounters {
        let number = |code| page.parameter(code).and_then(Parameter::number);
        ErrorCounters {
            corrected: number(0x0003),
            uncorrected: number(0x0006),
            bytes: number(0x0005),
        }
    }

    /// Asks a drive for those of writing.
    pub fn of_writing(transport: &mut dyn Transport) -> Result<ErrorCounters, Error> {
        Ok(ErrorCounters::parse(&LogPage::request(transport, PAGE_WRITE_ERRORS)?))
    }

    /// Asks a drive for those of reading.
    pub fn of_reading(transport: &mut dyn Transport) -> Result<ErrorCounters, Error> {
        Ok(ErrorCounters::parse(&LogPage::request(transport, PAGE_READ_ERRORS)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;

    #[test]
    fn both_directions_have_the_same_parameters() {
        let bytes = [
            0x02, 0, 0, 0x1c, 0x00, 0x03, 3, 4, 0, 0, 0, 9, 0x00, 0x05, 3, 8, 0, 0, 0, 1, 0, 0, 0,
            0, 0x00, 0x06, 3, 0x00, 0x00, 0x06, 3, 4, 0, 0, 0, 2,
        ];
        let mut bytes = bytes.to_vec();
        bytes[3] = (bytes.len() - 4) as u8;
        let mut script = Script::new();
        script.expect_in(&LogPage::cdb(0x02, 0, 0x4000), &bytes);
        bytes[0] = 0x03;
        script.expect_in(&LogPage::cdb(0x03, 0, 0x4000), &bytes);
        let expected =
            ErrorCounters { corrected: Some(9), uncorrected: Some(2), bytes: Some(1 << 32) };
        assert_eq!(ErrorCounters::of_writing(&mut script).unwrap(), expected);
        assert_eq!(ErrorCounters::of_reading(&mut script).unwrap(), expected);
    }
}
