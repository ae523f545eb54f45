//! Volume statistics, log page 17h (SSC-5 §8.3.9): what the cartridge has gone through and how full
//! it is. LTO-5 and newer.
//!
//! Counters are big-endian numbers of 1 to 8 bytes, differing between makers; all bits set means
//! "unknown". Byte amounts are counted in 10⁶ bytes on the wire and in bytes here.

use serde::{Deserialize, Serialize};

use super::fields::text;
use super::log::{LogPage, PAGE_VOLUME_STATISTICS};
use super::opcode;
use crate::transport::{Error, Transport};

const MEGABYTE: u64 = 1_000_000;
const USED_NATIVE_CAPACITY: u16 = 0x0017;

/// The statistics of the cartridge in a drive. Counters that the drive does not report are 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct VolumeStatistics {
    pub volume_mounts: u64,
    pub volume_datasets_written: u64,
    pub volume_recovered_write_data_errors: u64,
    pub volume_unrecovered_write_data_errors: u64,
    pub volume_write_servo_errors: u64,
    pub volume_unrecovered_write_servo_errors: u64,
    pub volume_datasets_read: u64,
    pub volume_recovered_read_errors: u64,
    pub volume_unrecovered_read_errors: u64,
    pub last_mount_unrecovered_write_errors: u64,
    pub last_mount_unrecovered_read_errors: u64,
    pub last_mount_bytes_written: u64,
    pub last_mount_bytes_read: u64,
    pub lifetime_bytes_written: u64,
    pub lifetime_bytes_read: u64,
    pub last_load_write_compression_ratio: f64,
    pub last_load_read_compression_ratio: f64,
    /// Milliseconds.
    pub medium_mount_time: u64,
    /// Milliseconds.
    pub medium_ready_time: u64,
    /// Bytes that fit without compression.
    pub total_native_capacity: u64,
    /// Bytes of native capacity that are in use: how full the tape is.
    pub total_used_native_capacity: u64,
    pub beginning_of_medium_passes: u64,
    pub middle_of_tape_passes: u64,
    /// Serial number of the cartridge.
    pub serial: String,
    pub worm: bool,
    pub write_protect: bool,
}

impl VolumeStatistics {
    /// From page 17h, whose parameter 0000h must say that the page is valid.
    pub fn parse(page: &LogPage) -> Result<VolumeStatistics, Error> {
        let valid = page.parameter(0x0000).and_then(|one| one.value.first()).copied();
        if valid.unwrap_or(0) == 0 {
            return Err(Error::Malformed {
                opcode: opcode::LOG_SENSE,
                reason: "volume statistics are marked as not valid".to_string(),
            });
        }
        let number = |code| page.parameter(code).and_then(|one| one.number()).unwrap_or(0);
        let bytes = |code| number(code).saturating_mul(MEGABYTE);
        let ratio = |code| number(code) as f64 / 100.0;
        Ok(VolumeStatistics {
            volume_mounts: number(0x0001),
            volume_datasets_written: number(0x0002),
            volume_recovered_write_data_errors: number(0x0003),
            volume_unrecovered_write_data_errors: number(0x0004),
            volume_write_servo_errors: number(0x0005),
            volume_unrecovered_write_servo_errors: number(0x0006),
            volume_datasets_read: number(0x0007),
            volume_recovered_read_errors: number(0x0008),
            volume_unrecovered_read_errors: number(0x0009),
            last_mount_unrecovered_write_errors: number(0x000c),
            last_mount_unrecovered_read_errors: number(0x000d),
            last_mount_bytes_written: bytes(0x000e),
            last_mount_bytes_read: bytes(0x000f),
            lifetime_bytes_written: bytes(0x0010),
            lifetime_bytes_read: bytes(0x0011),
            last_load_write_compression_ratio: ratio(0x0012),
            last_load_read_compression_ratio: ratio(0x0013),
            medium_mount_time: number(0x0014),
            medium_ready_time: number(0x0015),
            total_native_capacity: bytes(0x0016),
            total_used_native_capacity: bytes(USED_NATIVE_CAPACITY),
            serial: page.parameter(0x0040).map(|one| text(&one.value)).unwrap_or_default(),
            write_protect: number(0x0080) == 1,
            worm: number(0x0081) == 1,
            beginning_of_medium_passes: number(0x0101),
            middle_of_tape_passes: number(0x0102),
        })
    }

    /// Bytes of native capacity in use, from page 17h; `None` if the drive does not tell, which the 0 of
    /// [`VolumeStatistics::total_used_native_capacity`] would hide.
    pub fn used_capacity(page: &LogPage) -> Option<u64> {
        Some(page.parameter(USED_NATIVE_CAPACITY)?.number()?.saturating_mul(MEGABYTE))
    }

    /// Passes over the tape that count for its wear: the larger of the two counters.
    pub fn medium_passes(&self) -> u64 {
        self.beginning_of_medium_passes.max(self.middle_of_tape_passes)
    }

    /// Wear of the tape, 1.0 = the 16000 passes it is made for.
    pub fn medium_wearout(&self) -> f64 {
        self.medium_passes() as f64 / 16000.0
    }

    /// Asks a drive.
    pub fn request(transport: &mut dyn Transport) -> Result<VolumeStatistics, Error> {
        VolumeStatistics::parse(&LogPage::request(transport, PAGE_VOLUME_STATISTICS)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::Parameter;
    use super::*;

    fn page(parameters: &[(u16, &[u8])]) -> LogPage {
        let parameters = parameters
            .iter()
            .map(|(code, value)| Parameter { code: *code, control: 3, value: value.to_vec() })
            .collect();
        LogPage { page: PAGE_VOLUME_STATISTICS, subpage: 0, parameters }
    }

    #[test]
    fn lengths_vary_and_all_ones_is_unknown() {
        let statistics = VolumeStatistics::parse(&page(&[
            (0x0000, &[1]),
            (0x0001, &[0, 0, 0, 12]),
            (0x0010, &[0xff; 8]),
            (0x0012, &[0, 250]),
            (0x0016, &[0, 0, 0, 0xb7, 0x1b, 0x00]),
            (0x0017, &[0, 0, 0, 5]),
            (0x0040, b"HA1B2C3D4E      "),
            (0x0080, &[0]),
            (0x0081, &[1]),
            (0x0101, &[0, 0, 0x3e, 0x80]),
            // Zero padding that parses as parameters must not overwrite what came first.
            (0x0000, &[]),
            (0x0000, &[]),
        ]))
        .unwrap();
        assert_eq!(statistics.volume_mounts, 12);
        assert_eq!(statistics.lifetime_bytes_written, 0);
        assert_eq!(statistics.last_load_write_compression_ratio, 2.5);
        assert_eq!(statistics.total_native_capacity, 12_000_000_000_000);
        assert_eq!(statistics.total_used_native_capacity, 5_000_000);
        assert_eq!(statistics.serial, "HA1B2C3D4E");
        assert!(statistics.worm && !statistics.write_protect);
        assert_eq!(statistics.medium_wearout(), 1.0);
    }

    #[test]
    fn used_capacity_may_be_unknown() {
        let used =
            |value: &[u8]| VolumeStatistics::used_capacity(&page(&[(0, &[1]), (0x17, value)]));
        assert_eq!(used(&[0, 0, 0, 5]), Some(5_000_000));
        assert_eq!(used(&[0, 0, 0, 0]), Some(0));
        assert_eq!(used(&[0xff; 4]), None);
        assert_eq!(VolumeStatistics::used_capacity(&page(&[(0, &[1])])), None);
    }

    #[test]
    fn a_page_that_is_not_valid_is_refused() {
        assert!(VolumeStatistics::parse(&page(&[(0, &[0]), (1, &[5])])).is_err());
        assert!(VolumeStatistics::parse(&page(&[(1, &[5])])).is_err());
    }
}
