//! udev's database: what its rules have found out about a device.
//!
//! One text file a device, `data/c21:3` for the character device 21:3. Lines `E:NAME=value` are properties;
//! others (links, tags, times) do not matter here. The format is udev's own and not promised, so nothing
//! relies on it: a file that is missing or makes no sense has no properties.

use std::fs;
use std::path::Path;

/// Largest file that is looked at, in bytes; real ones have a few kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Properties of one device.
#[derive(Debug, Clone, Default)]
pub(super) struct Properties(Vec<(String, String)>);

impl Properties {
    /// Those of a character device, in udev's folder (`/run/udev`).
    pub fn read(udev: &Path, major: u32, minor: u32) -> Properties {
        let path = udev.join(format!("data/c{major}:{minor}"));
        let is_small = fs::metadata(&path).is_ok_and(|file| file.len() <= FILE_BYTES_MAX);
        let bytes = if is_small { fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let text = String::from_utf8_lossy(&bytes);
        let properties = text
            .lines()
            .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
            .map(|(name, value)| (name.to_string(), value.trim().to_string()));
        Properties(properties.collect())
    }

    /// The value of a property, if it has one.
    pub fn get(&self, name: &str) -> Option<String> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then(|| value.clone())
    }
}
