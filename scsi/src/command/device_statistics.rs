//! Device statistics, log page 14h (SSC-4 §8.3.7): what a drive counts over its whole life.
//!
//! Counters are big-endian numbers of 1 to 8 bytes, differing between makers; what a drive does not count is absent.

use serde::{Deserialize, Serialize};

use super::log::{LogPage, PAGE_DEVICE_STATISTICS, Parameter};
use crate::transport::{Error, Transport};

/// What a drive has done since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct DeviceStatistics {
    /// Cartridges loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loads: Option<u64>,
    /// Times that it was cleaned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanings: Option<u64>,
    /// Hours switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_on_hours: Option<u64>,
    /// Hours in which a tape moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub motion_hours: Option<u64>,
    /// Hours in which a tape moved since the last cleaning that worked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub motion_hours_since_cleaning: Option<u64>,
    /// Times that it was switched on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power_cycles: Option<u64>,
    /// Writes that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_write_errors: Option<u64>,
    /// Reads that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_read_errors: Option<u64>,
}

impl DeviceStatistics {
    /// From page 14h.
    pub fn parse(page: &LogPage) -> DeviceStatistics {
        let number = |code| page.parameter(code).and_then(Parameter::number);
        DeviceStatistics {
            loads: number(0x0000),
            cleanings: number(0x0001),
            power_on_hours: number(0x0002),
            motion_hours: number(0x0003),
            motion_hours_since_cleaning: number(0x0008),
            power_cycles: number(0x000c),
            hard_write_errors: number(0x000e),
            hard_read_errors: number(0x000f),
        }
    }

    /// Asks a drive.
    pub fn request(transport: &mut dyn Transport) -> Result<DeviceStatistics, Error> {
        Ok(DeviceStatistics::parse(&LogPage::request(transport, PAGE_DEVICE_STATISTICS)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Script;

    /// Code of each parameter, and its field's name in JSON.
    const TABLE: &[(u16, &str)] = &[
        (0x0000, "loads"),
        (0x0001, "cleanings"),
        (0x0002, "power-on-hours"),
        (0x0003, "motion-hours"),
        (0x0008, "motion-hours-since-cleaning"),
        (0x000c, "power-cycles"),
        (0x000e, "hard-write-errors"),
        (0x000f, "hard-read-errors"),
    ];

    #[test]
    fn each_parameter_comes_out_under_its_own_name() {
        let parameters = TABLE
            .iter()
            .map(|(code, _)| Parameter { code: *code, control: 3, value: vec![1, *code as u8] })
            .collect();
        let page = LogPage { page: PAGE_DEVICE_STATISTICS, subpage: 0, parameters };
        let mut script = Script::new();
        script.expect_in(&LogPage::cdb(0x14, 0, 0x4000), &page.build());
        let found = DeviceStatistics::request(&mut script).unwrap();
        let json = serde_json::to_value(found).unwrap();
        assert_eq!(json.as_object().unwrap().len(), TABLE.len());
        for (code, name) in TABLE {
            assert_eq!(json[name].as_u64(), Some(0x100 + u64::from(*code)), "{name}");
        }
    }

    #[test]
    fn what_a_drive_does_not_count_is_absent() {
        let parameters = vec![
            Parameter { code: 0x0000, control: 3, value: vec![0xff; 4] },
            Parameter { code: 0x0001, control: 3, value: vec![0, 0, 0, 7] },
        ];
        let page = LogPage { page: PAGE_DEVICE_STATISTICS, subpage: 0, parameters };
        let found = DeviceStatistics::parse(&page);
        let expected = DeviceStatistics { cleanings: Some(7), ..DeviceStatistics::default() };
        assert_eq!(found, expected);
    }
}
