//! `cartridge.json`: everything about a cartridge that is not recorded data.
//!
//! The file is replaced atomically. It is written when a cartridge is loaded or unloaded and when a
//! host changes its memory; what a drive counts in between is lost by a crash, as the memory chip of
//! a real cartridge loses what was not written to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Marks;
use crate::barcode;
use crate::durable;
use crate::error::{Error, Result};
use crate::generation::Generation;

/// Version of the cartridge folder that this code reads and writes.
const VERSION: u32 = 1;
/// Most partitions that a cartridge of any generation has.
const PARTITIONS_MAX: usize = 4;
/// How many uses a new cleaning cartridge has.
pub(crate) const CLEANINGS: u16 = 50;

/// What a cartridge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Records data, may be overwritten.
    Data,
    /// Records data once.
    Worm,
    /// Cleans drives.
    Cleaning,
}

/// A host's attribute in the cartridge memory (SPC-4 §7.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostAttribute {
    /// 0 binary, 1 ASCII, 2 text.
    pub format: u8,
    /// The value as given, padded to its fixed length; hexadecimal in the file.
    #[serde(with = "hexadecimal")]
    pub value: Vec<u8>,
}

/// What went wrong with a cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorCounts {
    pub write_retries: u64,
    pub write_errors: u64,
    pub read_retries: u64,
    pub read_errors: u64,
}

impl ErrorCounts {
    fn is_none(&self) -> bool {
        *self == ErrorCounts::default()
    }
}

/// The content of `cartridge.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CartridgeState {
    pub version: u32,
    pub barcode: String,
    /// Random; ties log and index to this cartridge.
    #[serde(with = "hexadecimal_id")]
    pub id: u64,
    pub purpose: Purpose,
    pub generation: Generation,
    /// Data bytes until the hard end.
    pub capacity_bytes: u64,
    /// Data bytes between early warning and the hard end, if there is one partition.
    pub early_warning_bytes: u64,
    /// Capacity of each partition if there is more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_bytes: Vec<u64>,
    pub write_protected: bool,
    /// A host wants it never to be written (PERSWP).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub persistently_protected: bool,
    /// Capacity before SET CAPACITY cut it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_capacity_bytes: Option<u64>,
    /// Seconds since 1970.
    pub created: u64,
    #[serde(default)]
    pub load_count: u64,
    /// Vendor (8) and serial number (32) of the drives of the last loads, the latest first.
    #[serde(default)]
    pub last_drives: Vec<String>,
    #[serde(default)]
    pub lifetime_written_bytes: u64,
    #[serde(default)]
    pub lifetime_read_bytes: u64,
    #[serde(default)]
    pub last_load_written_bytes: u64,
    #[serde(default)]
    pub last_load_read_bytes: u64,
    #[serde(default)]
    pub previous_load_written_bytes: u64,
    #[serde(default)]
    pub previous_load_read_bytes: u64,
    /// Errors in its life, in this load and in the load before.
    #[serde(default, skip_serializing_if = "ErrorCounts::is_none")]
    pub lifetime_errors: ErrorCounts,
    #[serde(default, skip_serializing_if = "ErrorCounts::is_none")]
    pub last_load_errors: ErrorCounts,
    #[serde(default, skip_serializing_if = "ErrorCounts::is_none")]
    pub previous_load_errors: ErrorCounts,
    /// Loads in which something was written.
    #[serde(default)]
    pub write_mounts: u64,
    /// TapeAlert flags raised in this load, and in the load before.
    #[serde(default)]
    pub alerts: u64,
    #[serde(default)]
    pub last_load_alerts: u64,
    /// How often a host went to another partition.
    #[serde(default)]
    pub partition_changes: u64,
    /// How often the tape was formatted.
    #[serde(default)]
    pub initialization_count: u16,
    /// Changes whenever recorded data may have changed.
    #[serde(default)]
    pub change_reference: u32,
    /// What is known of encryption in each partition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encryption_marks: Vec<Marks>,
    /// Uses left of a cleaning cartridge.
    #[serde(default)]
    pub cleanings_left: u16,
    /// The last use of a cleaning cartridge was counted, and its cleaning did not end yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cleaning_begun: bool,
    /// A drive has calibrated it (LTO-9).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calibrated: bool,
    /// Attributes that hosts wrote, by identifier.
    #[serde(default)]
    pub attributes: BTreeMap<u16, HostAttribute>,
}

impl CartridgeState {
    /// A new cartridge. `capacity_bytes` `None` takes the generation's native capacity.
    pub fn new(
        barcode: &str,
        library: Generation,
        capacity_bytes: Option<u64>,
    ) -> Result<CartridgeState> {
        let (purpose, generation) = match barcode::classify(barcode)? {
            barcode::Kind::Data(generation) => (Purpose::Data, generation),
            barcode::Kind::Worm(generation) => (Purpose::Worm, generation),
            barcode::Kind::Cleaning => (Purpose::Cleaning, library),
        };
        let capacity_bytes = capacity_bytes.unwrap_or(generation.facts().capacity_bytes);
        if !(CAPACITY_BYTES_MIN..=CAPACITY_BYTES_MAX).contains(&capacity_bytes) {
            return Err(Error::Options {
                reason: format!(
                    "a cartridge's capacity must lie between {CAPACITY_BYTES_MIN} and \
                     {CAPACITY_BYTES_MAX} bytes; {capacity_bytes} was asked for"
                ),
            });
        }
        Ok(CartridgeState {
            version: VERSION,
            barcode: barcode.into(),
            id: durable::random_u64()?,
            purpose,
            generation,
            capacity_bytes,
            early_warning_bytes: early_warning_bytes(capacity_bytes),
            partition_bytes: Vec::new(),
            write_protected: false,
            persistently_protected: false,
            whole_capacity_bytes: None,
            created: crate::date::now_epoch(),
            load_count: 0,
            last_drives: Vec::new(),
            lifetime_written_bytes: 0,
            lifetime_read_bytes: 0,
            last_load_written_bytes: 0,
            last_load_read_bytes: 0,
            previous_load_written_bytes: 0,
            previous_load_read_bytes: 0,
            lifetime_errors: ErrorCounts::default(),
            last_load_errors: ErrorCounts::default(),
            previous_load_errors: ErrorCounts::default(),
            write_mounts: 0,
            alerts: 0,
            last_load_alerts: 0,
            partition_changes: 0,
            initialization_count: 0,
            change_reference: 0,
            encryption_marks: Vec::new(),
            cleanings_left: if purpose == Purpose::Cleaning { CLEANINGS } else { 0 },
            cleaning_begun: false,
            calibrated: false,
            attributes: BTreeMap::new(),
        })
    }

    fn path(folder: &Path) -> PathBuf {
        folder.join("cartridge.json")
    }

    /// Reads the state of the cartridge in `folder`.
    pub fn read(folder: &Path) -> Result<CartridgeState> {
        let path = CartridgeState::path(folder);
        let state: CartridgeState = durable::read_json(&path)?;
        let refuse = |reason: String| Err(Error::Malformed { path: path.clone(), reason });
        if state.version != VERSION {
            return refuse(format!("version {} is not known", state.version));
        }
        barcode::classify(&state.barcode)?;
        let sum = state.partition_bytes.iter().try_fold(0u64, |sum, one| sum.checked_add(*one));
        if sum.is_none_or(|sum| sum > state.capacity_bytes)
            || state.partition_bytes.len() > PARTITIONS_MAX
        {
            return refuse("its partitions do not fit it".into());
        }
        if state.early_warning_bytes > state.capacity_bytes {
            return refuse("early warning lies before the beginning".into());
        }
        Ok(state)
    }

    /// Replaces the state of the cartridge in `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        durable::replace_json(&CartridgeState::path(folder), self)
    }

    /// Serial number of the medium, 16 characters.
    pub fn serial(&self) -> String {
        format!("{:016X}", self.id)
    }

    /// How many partitions there are, at least one.
    pub fn partitions(&self) -> u8 {
        // `read` checked the number.
        self.partition_bytes.len().max(1) as u8
    }

    /// Capacity of a partition in data bytes.
    pub fn partition_capacity_bytes(&self, number: u8) -> u64 {
        let only = if number == 0 { self.capacity_bytes } else { 0 };
        self.partition_bytes.get(usize::from(number)).copied().unwrap_or(only)
    }

    /// Data bytes before early warning in a partition.
    pub fn partition_early_warning_at(&self, number: u8) -> u64 {
        let capacity = self.partition_capacity_bytes(number);
        let zone = if self.partition_bytes.is_empty() {
            self.early_warning_bytes
        } else {
            early_warning_bytes(capacity)
        };
        capacity.saturating_sub(zone)
    }

    /// Uses so many 65535ths of the whole tape from here on.
    pub fn scale_capacity(&mut self, proportion: u16) {
        let whole = self.whole_capacity_bytes.unwrap_or(self.capacity_bytes);
        let part = u128::from(whole) * u128::from(proportion) / u128::from(u16::MAX);
        let part = u64::try_from(part).unwrap_or(whole).clamp(CAPACITY_BYTES_MIN.min(whole), whole);
        self.whole_capacity_bytes = (part < whole).then_some(whole);
        self.capacity_bytes = part;
        self.early_warning_bytes = early_warning_bytes(part);
    }

    /// Where an error of this load is counted.
    pub fn present_errors(&mut self) -> [&mut ErrorCounts; 2] {
        [&mut self.lifetime_errors, &mut self.last_load_errors]
    }

    /// Notes that a drive threads the cartridge.
    pub fn note_load(&mut self, drive: &str) {
        self.load_count += 1;
        self.last_drives.insert(0, drive.to_owned());
        self.last_drives.truncate(4);
        self.previous_load_read_bytes = std::mem::take(&mut self.last_load_read_bytes);
        self.previous_load_written_bytes = std::mem::take(&mut self.last_load_written_bytes);
        self.previous_load_errors = std::mem::take(&mut self.last_load_errors);
        self.last_load_alerts = std::mem::take(&mut self.alerts);
    }
}

/// Smallest capacity that leaves room before and behind early warning.
pub(crate) const CAPACITY_BYTES_MIN: u64 = 1 << 20;
/// Largest capacity that the index format can address, with room for headers.
pub(crate) const CAPACITY_BYTES_MAX: u64 = 1 << 45;

/// Size of the zone between early warning and the hard end.
///
/// 64 MiB from a capacity of 1 GiB on: room for several of the largest blocks and a writer's
/// trailer. Below, 16 MiB, but at most 5/16 of the tape, so that a cartridge of 8 MiB, as tests use,
/// still takes nine blocks of 256 KiB behind the one that met early warning.
pub(crate) fn early_warning_bytes(capacity_bytes: u64) -> u64 {
    if capacity_bytes >= 1 << 30 { 64 << 20 } else { (capacity_bytes / 16 * 5).min(16 << 20) }
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        match digits {
            Some(digits) if digits.len() % 2 == 0 => Ok(digits
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
                .collect()),
            _ => Err(serde::de::Error::custom("not hexadecimal")),
        }
    }
}

mod hexadecimal_id {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{id:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_cartridges_keep_room_behind_early_warning() {
        let block = 256 * 1024;
        for capacity in [8u64 << 20, 16 << 20, 100 << 20, 1 << 30, 12_000_000_000_000] {
            let zone = early_warning_bytes(capacity);
            // The block that meets early warning may reach into the zone by almost its length.
            assert!(zone >= 9 * block, "{capacity}");
            assert!(zone * 3 <= capacity, "{capacity}");
        }
    }

    #[test]
    fn survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut state = CartridgeState::new("CAP001L8", Generation::Lto8, Some(8 << 20)).unwrap();
        state.note_load("CAPSTAN 1234");
        state.attributes.insert(0x803, HostAttribute { format: 2, value: vec![0, 255, 65] });
        state.write(folder.path()).unwrap();
        assert_eq!(CartridgeState::read(folder.path()).unwrap(), state);
    }

    #[test]
    fn damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cartridge.json");
        for content in ["", "{}", "{\"version\":1", "[]"] {
            std::fs::write(&path, content).unwrap();
            let error = CartridgeState::read(folder.path()).unwrap_err();
            assert!(error.is_damaged() && error.to_string().contains("cartridge.json"), "{error}");
        }
    }
}
