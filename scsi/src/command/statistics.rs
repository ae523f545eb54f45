//! Volume statistics, log page 17h (SSC-5 §8.3.9): what the cartridge has gone through and how full
//! it is. LTO-5 and newer.
//!
//! Counters are big-endian numbers of 1 to 8 bytes, differing between makers; all bits set means
//! "unknown". Byte amounts are counted in 10⁶ bytes on the wire and in bytes here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fields::text;
use super::log::{LogPage, PAGE_VOLUME_STATISTICS, Parameter};
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
    /// What the reference's list of fields does not have.
    #[serde(flatten)]
    pub more: MoreStatistics,
}

/// Statistics that not every drive keeps; what it does not tell is absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
#[allow(missing_docs)]
pub struct MoreStatistics {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_suspended_reads: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_fatal_suspended_reads: Option<u64>,
    /// Bytes that the cartridge is made for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_design_capacity: Option<u64>,
    /// Percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub useful_life_remaining: Option<u64>,
    /// Times that the cartridge was loaded and written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_write_mounts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barcode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<String>,
    /// The tape path was too hot at least once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tape_path_temperature_exceeded: Option<bool>,
    /// Bytes that fit, used bytes and bytes that are left, partition by partition.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<PartitionCapacity>,
}

/// Native capacity of one partition, in bytes; what the drive does not tell is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub struct PartitionCapacity {
    pub partition: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_capacity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used_native_capacity: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_native_capacity: Option<u64>,
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
            more: MoreStatistics::parse(page),
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

impl MoreStatistics {
    fn parse(page: &LogPage) -> MoreStatistics {
        let number = |code| page.parameter(code).and_then(Parameter::number);
        let words = |code| {
            let found = page.parameter(code).map(|one| text(&one.value));
            found.filter(|text| !text.is_empty())
        };
        MoreStatistics {
            volume_suspended_reads: number(0x000a),
            volume_fatal_suspended_reads: number(0x000b),
            application_design_capacity: number(0x0018).map(|mb| mb.saturating_mul(MEGABYTE)),
            useful_life_remaining: number(0x0019),
            volume_write_mounts: number(0x0100),
            lot: words(0x0041),
            barcode: words(0x0042),
            manufacturer: words(0x0043),
            license_code: words(0x0044),
            personality: words(0x0045),
            tape_path_temperature_exceeded: number(0x0082).map(|value| value & 1 != 0),
            partitions: partitions(page),
        }
    }
}

/// The capacities of partitions: three lists of {length of the rest, reserved, partition\[2\], MB}, put together
/// by partition.
fn partitions(page: &LogPage) -> Vec<PartitionCapacity> {
    let mut found: BTreeMap<u16, PartitionCapacity> = BTreeMap::new();
    let mut fill = |code: u16, set: fn(&mut PartitionCapacity, u64)| {
        let mut rest = page.parameter(code).map_or(&[][..], |one| &one.value);
        while let Some((length, behind)) = rest.split_first() {
            let length = usize::from(*length);
            let Some(record) = behind.get(..length) else { break };
            rest = behind.get(length..).unwrap_or(&[]);
            if let [_, high, low, value @ ..] = record
                && !value.is_empty()
                && value.len() <= 8
                && value.iter().any(|byte| *byte != 0xff)
            {
                let partition = u16::from_be_bytes([*high, *low]);
                let mb = value.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
                let entry = found.entry(partition).or_default();
                entry.partition = partition;
                set(entry, mb.saturating_mul(MEGABYTE));
            }
        }
    };
    fill(0x0202, |one, bytes| one.native_capacity = Some(bytes));
    fill(0x0203, |one, bytes| one.used_native_capacity = Some(bytes));
    fill(0x0204, |one, bytes| one.remaining_native_capacity = Some(bytes));
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
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

    /// Code, name in JSON, unit.
    const COUNTERS: &[(u16, &str, u64)] = &[
        (0x0001, "volume-mounts", 1),
        (0x0002, "volume-datasets-written", 1),
        (0x0003, "volume-recovered-write-data-errors", 1),
        (0x0004, "volume-unrecovered-write-data-errors", 1),
        (0x0005, "volume-write-servo-errors", 1),
        (0x0006, "volume-unrecovered-write-servo-errors", 1),
        (0x0007, "volume-datasets-read", 1),
        (0x0008, "volume-recovered-read-errors", 1),
        (0x0009, "volume-unrecovered-read-errors", 1),
        (0x000a, "volume-suspended-reads", 1),
        (0x000b, "volume-fatal-suspended-reads", 1),
        (0x000c, "last-mount-unrecovered-write-errors", 1),
        (0x000d, "last-mount-unrecovered-read-errors", 1),
        (0x000e, "last-mount-bytes-written", MEGABYTE),
        (0x000f, "last-mount-bytes-read", MEGABYTE),
        (0x0010, "lifetime-bytes-written", MEGABYTE),
        (0x0011, "lifetime-bytes-read", MEGABYTE),
        (0x0014, "medium-mount-time", 1),
        (0x0015, "medium-ready-time", 1),
        (0x0016, "total-native-capacity", MEGABYTE),
        (0x0017, "total-used-native-capacity", MEGABYTE),
        (0x0018, "application-design-capacity", MEGABYTE),
        (0x0019, "useful-life-remaining", 1),
        (0x0100, "volume-write-mounts", 1),
        (0x0101, "beginning-of-medium-passes", 1),
        (0x0102, "middle-of-tape-passes", 1),
    ];

    /// Code and name in JSON; texts, padded with blanks.
    const TEXTS: &[(u16, &str)] = &[
        (0x0040, "serial"),
        (0x0041, "lot"),
        (0x0042, "barcode"),
        (0x0043, "manufacturer"),
        (0x0044, "license-code"),
        (0x0045, "personality"),
    ];

    /// Each parameter is given another value, and must come out under its own name and nowhere else.
    #[test]
    fn the_table_of_statistics_is_complete() {
        let mut parameters = vec![(0x0000, vec![1])];
        parameters
            .extend(COUNTERS.iter().map(|(code, ..)| (*code, vec![0, 1, code.to_be_bytes()[1]])));
        parameters
            .extend(TEXTS.iter().map(|(code, name)| (*code, format!("{name:<32}").into_bytes())));
        parameters.extend([(0x0012, vec![1, 44]), (0x0013, vec![0, 150])]);
        parameters.extend([(0x0080, vec![1]), (0x0081, vec![0]), (0x0082, vec![1])]);
        let borrowed: Vec<(u16, &[u8])> =
            parameters.iter().map(|(code, value)| (*code, value.as_slice())).collect();
        let statistics = VolumeStatistics::parse(&page(&borrowed)).unwrap();
        let json = serde_json::to_value(&statistics).unwrap();
        for (code, name, unit) in COUNTERS {
            let value = (0x100 + u64::from(code.to_be_bytes()[1])) * unit;
            assert_eq!(json[name].as_u64(), Some(value), "{code:04x} {name}");
        }
        for (code, name) in TEXTS {
            assert_eq!(json[name].as_str(), Some(*name), "{code:04x}");
        }
        assert_eq!(json["last-load-write-compression-ratio"].as_f64(), Some(3.0));
        assert_eq!(json["last-load-read-compression-ratio"].as_f64(), Some(1.5));
        for (name, value) in
            [("write-protect", true), ("worm", false), ("tape-path-temperature-exceeded", true)]
        {
            assert_eq!(json[name].as_bool(), Some(value), "{name}");
        }
        let fields = COUNTERS.len() + TEXTS.len() + 5;
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(fields));
        assert_eq!(serde_json::from_value::<VolumeStatistics>(json).unwrap(), statistics);
    }

    #[test]
    fn capacities_of_partitions_are_put_together() {
        let statistics = VolumeStatistics::parse(&page(&[
            (0x0000, &[1]),
            (0x0202, &[7, 0, 0, 0, 0, 0, 0, 9, 7, 0, 0, 1, 0, 0, 0, 8]),
            (0x0203, &[7, 0, 0, 1, 0, 0, 0, 3]),
            // Unknown, a record that is cut, an empty one.
            (0x0204, &[7, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 7, 0, 0, 1]),
        ]))
        .unwrap();
        let first =
            PartitionCapacity { native_capacity: Some(9_000_000), ..PartitionCapacity::default() };
        let second = PartitionCapacity {
            partition: 1,
            native_capacity: Some(8_000_000),
            used_native_capacity: Some(3_000_000),
            remaining_native_capacity: None,
        };
        assert_eq!(statistics.more.partitions, [first, second]);
        // What a drive does not tell is not there, and not 0.
        let bare = VolumeStatistics::parse(&page(&[(0, &[1])])).unwrap();
        assert_eq!(bare.more, MoreStatistics::default());
    }
}
